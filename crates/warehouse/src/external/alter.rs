//! ADD PARTITION, DROP PARTITION and MSCK of external tables: which directories are the table's. No file is touched.

use std::collections::{BTreeMap, BTreeSet};

use feitian_base::{Kind, Result, clock};
use feitian_meta::{Partition, Step, Table};
use feitian_sql::{Position, Repair, SqlError};
use object_store::path::Path;
use sqlparser::ast::Spanned;

use super::directories::{self, Places, live, new_partition, parts};
use super::location::Location;
use super::scan::Source;
use super::{Clauses, broken, is_external, unreadable};
use crate::insert::ATTEMPTS;
use crate::query::Session;
use crate::query::errors::{front_end, semantic};
use crate::writer::partition_value;

/// MSCK finds at most so many partitions.
const MAX_PARTITIONS: usize = 60_000;

/// A partition to add.
pub(crate) struct Added {
    pub(crate) spec: String,
    pub(crate) values: Vec<String>,
    /// LOCATION and where it stands.
    pub(crate) location: Option<(Position, String)>,
}

/// `ADD [IF NOT EXISTS] PARTITION (…) [LOCATION '…'] …`: statement `index` of the session's job.
pub(crate) async fn add_partitions(
    session: &Session,
    table: &Table,
    added: Vec<Added>,
    if_not_exists: bool,
    (index, at): (i64, Position),
) -> Result<()> {
    let (location, _) = Clauses::of(table)?.resolve(at)?;
    let columns = &table.schema.partition_columns;
    let mut wanted: Vec<Wanted> = Vec::new();
    for Added { spec, values, location: named } in added {
        let place = match named {
            Some((at, text)) => {
                let named = Location::parse(&text, at)?;
                // Whoever may read the table reads these files, so that they must be the project's own.
                named.check_rights(session, at).await?;
                if named.project() != table.project {
                    let what = "a partition in another project's bucket";
                    return Err(front_end(SqlError::unsupported(at, what)));
                }
                let is_elsewhere = location.below(&parts(columns, &values)).map_or(true, |own| own != named);
                is_elsewhere.then(|| named.text())
            }
            None => location.below(&parts(columns, &values)).map(|_| None)?,
        };
        // The second of two of a name meets the first.
        if !if_not_exists || !wanted.iter().any(|w| w.spec == spec) {
            wanted.push(Wanted { spec, values, location: place });
        }
    }
    change(session, table, &Op::Add { wanted, if_not_exists }, (&session.step(index), at)).await
}

/// `DROP PARTITION`: the partitions of these specs are no longer the table's; their files stay.
pub(crate) async fn drop_partitions(
    session: &Session,
    table: &Table,
    specs: BTreeSet<String>,
    (index, at): (i64, Position),
) -> Result<()> {
    change(session, table, &Op::Drop(specs), (&session.step(index), at)).await
}

/// `MSCK [REPAIR] TABLE t [ADD|DROP PARTITIONS]`: statement `index` of the session's job.
pub(crate) async fn repair(session: &Session, repair: Repair, index: i64) -> Result<()> {
    let at = Position::from(repair.table.span());
    let table = crate::ddl::open(session, &repair.table).await?.row;
    let name = format!("{}.{}", table.project, table.local_name());
    if !is_external(&table) {
        return Err(front_end(SqlError::unsupported(at, "MSCK of a table that is not external")));
    }
    if !table.schema.is_partitioned() {
        return Err(semantic(at, format!("table {name} is not a partitioned table")));
    }
    let (location, format) = Clauses::of(&table)?.resolve(at)?;
    let (warehouse, columns) = (session.warehouse.clone(), table.schema.columns.clone());
    let source = Source { warehouse, location, format, columns };
    let op = if repair.drop { Op::DropEmpty(source) } else { Op::Find(source) };
    change(session, &table, &op, (&session.step(index), at)).await
}

/// What is to be done with the partitions.
enum Op {
    Add {
        wanted: Vec<Wanted>,
        if_not_exists: bool,
    },
    Drop(BTreeSet<String>),
    /// Those go in whose directories no file counts.
    DropEmpty(Source),
    /// Directories become partitions.
    Find(Source),
}

impl Op {
    /// The change that this is for these partitions.
    async fn change(&self, table: &Table, partitions: &[Partition], at: Position) -> Result<Change> {
        let known: BTreeSet<&str> = partitions.iter().map(|p| p.spec.as_str()).collect();
        let (mut gone, mut added) = (Vec::new(), Vec::new());
        match self {
            Self::Add { wanted, if_not_exists } => {
                let is_wanted = |w: &&Wanted| !*if_not_exists || !known.contains(w.spec.as_str());
                added = wanted.iter().filter(is_wanted).cloned().collect();
            }
            Self::Drop(specs) => gone = partitions.iter().filter(|p| specs.contains(&p.spec)).cloned().collect(),
            Self::DropEmpty(source) => gone = without_files(source, table, partitions).await?,
            Self::Find(source) => {
                added = found(source, table, at).await?;
                added.retain(|w| !known.contains(w.spec.as_str()));
            }
        }
        Ok(Change { gone, added })
    }
}

/// A partition that is to be.
#[derive(Clone)]
struct Wanted {
    spec: String,
    values: Vec<String>,
    /// Where its files are, unless that is where its values say.
    location: Option<String>,
}

/// What becomes of a table's partitions.
struct Change {
    gone: Vec<Partition>,
    added: Vec<Wanted>,
}

/// Does it, again if somebody else was faster.
async fn change(session: &Session, table: &Table, op: &Op, (step, at): (&Step, Position)) -> Result<()> {
    let meta = session.warehouse.meta();
    let mut attempt = 1;
    loop {
        let before = live(meta, table).await?;
        let partitions = meta.all_partitions(&table.id).await?;
        let Change { gone, added } = op.change(table, &partitions, at).await?;
        if gone.is_empty() && added.is_empty() {
            return Ok(());
        }
        let (mut places, now) = (Places::of(&before)?, clock::tick_ms());
        let was = places.clone();
        gone.iter().for_each(|p| places.remove(&p.spec));
        let mut rows = Vec::with_capacity(added.len());
        for Wanted { spec, values, location } in added {
            match location {
                Some(location) => places.put(spec.clone(), location, at)?,
                None => places.remove(&spec),
            }
            rows.push(new_partition(&table.id, spec, values, now));
        }
        let row = if places == was { None } else { Some(places.row(&before)?) };
        let gone: Vec<_> = gone.into_iter().map(|p| (p.spec, p.modified_ms)).collect();
        let row = row.as_ref().map(|row| (row, &before));
        match meta.change_partitions(&table.id, row, &gone, &rows, step).await {
            Err(e) if e.kind() == Kind::Conflict && attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

/// The partitions in whose directories no file counts.
async fn without_files(source: &Source, table: &Table, partitions: &[Partition]) -> Result<Vec<Partition>> {
    let (_, places) = directories::partitions(&source.warehouse, table).await?;
    let files = directories::files(source, &table.schema.partition_columns, partitions, &places).await?;
    let full: BTreeSet<usize> = files.iter().map(|file| file.part.place).collect();
    let empty = partitions.iter().enumerate().filter(|(place, _)| !full.contains(place));
    Ok(empty.map(|(_, partition)| partition.clone()).collect())
}

/// A directory on the way to partitions.
struct Level {
    dir: Path,
    /// The names of the directories that lead there, and the values that they are for.
    names: Vec<String>,
    values: Vec<String>,
}

/// The directories `column=value/…` below that of the table. Others are none of the table's.
async fn found(source: &Source, table: &Table, at: Position) -> Result<Vec<Wanted>> {
    let (location, columns) = (&source.location, &table.schema.partition_columns);
    location.check_links(&source.warehouse.config.data_dir).await?;
    let store = source.warehouse.catalog.store();
    let mut levels = vec![Level { dir: location.dir().clone(), names: Vec::new(), values: Vec::new() }];
    for column in columns {
        let mut next = Vec::new();
        for Level { dir, names, values } in levels {
            let here = store.list_with_delimiter(Some(&dir)).await.map_err(|e| unreadable(&dir, e))?;
            for child in here.common_prefixes {
                let name = child.filename().unwrap_or_default().to_string();
                let Some((_, value)) = name.split_once('=').filter(|(key, _)| key.to_lowercase() == column.name) else {
                    continue;
                };
                let value = partition_value(column, value)?;
                let (names, values) = (with(&names, name), with(&values, value));
                next.push(Level { dir: child, names, values });
                if next.len() > MAX_PARTITIONS {
                    return Err(broken(location.dir(), None, format!("it has more than {MAX_PARTITIONS} partitions")));
                }
            }
        }
        levels = next;
    }
    let mut found: BTreeMap<String, Wanted> = BTreeMap::new();
    for Level { dir, names, values } in levels {
        let own = parts(columns, &values);
        let spec = own.join("/");
        // The name as it is: `DS=1`, or `ds=01` of a number.
        let named = location.below(&names)?;
        let location = match own == names {
            true => None,
            false => Some(Location::parse(&named.text(), at)?.text()),
        };
        if found.insert(spec.clone(), Wanted { spec: spec.clone(), values, location }).is_some() {
            return Err(broken(&dir, None, format!("another directory is partition {spec}, too")));
        }
    }
    Ok(found.into_values().collect())
}

/// One more.
fn with(all: &[String], last: String) -> Vec<String> {
    all.iter().cloned().chain([last]).collect()
}
