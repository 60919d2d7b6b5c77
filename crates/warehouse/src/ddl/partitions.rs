//! Partitions: ADD, DROP, RENAME, MERGE, TOUCH, and TRUNCATE of partitions and tables.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::time::Duration;

use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::Partition;
use feitian_sql::{AlterOp, ColumnRef, PartitionCondition, PartitionOp, Position, SqlError, Truncate};
use feitian_types::{Column, PartitionSpec};
use sqlparser::ast::{ObjectName, Spanned};

use super::rewrite::{Source, commit, copy_partitions, part_of, rewritten};
use super::{invalid_view, open, open_for};
use crate::auto_partition::AutoPartition;
use crate::catalog::OpenTable;
use crate::commit::{Change, Replace};
use crate::external::{self, Added};
use crate::insert::ATTEMPTS;
use crate::keys::key_of;
use crate::lifecycle::lives_for_ever;
use crate::query::Session;
use crate::query::errors::{self, semantic, statement_error};
use crate::writer::partition_value;

fn missing(at: Position, table: &OpenTable, spec: &str) -> Error {
    let name = format!("{}.{}", table.row.project, table.row.local_name());
    let detail =
        format!("partition {spec} of table {name} does not exist; SHOW PARTITIONS {name} lists those that exist");
    statement_error(Kind::NotFound, "ODPS-0130271", at, "Partition does not exist", &detail)
}

fn bad_key(at: Position, detail: String) -> Error {
    statement_error(Kind::Invalid, "ODPS-0130191", at, "Invalid column or partition key", &detail)
}

fn require_partitioned(table: &OpenTable, at: Position) -> Result<&[Column]> {
    match table.row.schema.partition_columns.as_slice() {
        [] => Err(semantic(
            at,
            format!("table {}.{} is not a partitioned table", table.row.project, table.row.local_name()),
        )),
        columns => Ok(columns),
    }
}

/// The canonical spec and the values of a full partition specification.
fn canonical(table: &OpenTable, spec: &PartitionSpec, at: Position) -> Result<(String, Vec<String>)> {
    let columns = require_partitioned(table, at)?;
    let names = || columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    let values = spec.values_for(columns);
    let values = values.ok_or_else(|| bad_key(at, format!("({spec}) must give a value for each of {}", names())))?;
    let values = columns.iter().zip(&values).map(|(c, v)| partition_value(c, v)).collect::<Result<Vec<_>>>()?;
    let pairs: Vec<String> = columns.iter().zip(&values).map(|(c, v)| format!("{}={v}", c.name)).collect();
    Ok((pairs.join("/"), values))
}

/// The partition that `spec` names.
pub(super) async fn known(
    session: &Session,
    table: &OpenTable,
    spec: &PartitionSpec,
    at: Position,
) -> Result<Partition> {
    let (canonical, _) = canonical(table, spec, at)?;
    let found = session.warehouse.meta().partition(&table.row.id, &canonical).await?;
    found.ok_or_else(|| missing(at, table, &canonical))
}

/// The partition operations of ALTER TABLE.
pub(super) async fn alter(session: &Session, name: &ObjectName, op: AlterOp, index: i64) -> Result<()> {
    let at = Position::from(name.span());
    let table = open(session, name).await?;
    let (meta, step) = (session.warehouse.meta(), session.step(index));
    match op {
        AlterOp::AddPartitions { if_not_exists, specs, locations } => {
            let mut added = Vec::new();
            for (spec, location) in specs.iter().zip(locations) {
                let (spec, values) = canonical(&table, spec, at)?;
                added.push(Added { spec, values, location });
            }
            add(session, &table, added, if_not_exists, (index, at)).await
        }
        AlterOp::Touch { partition: None } => {
            let now = clock::tick_ms();
            meta.touch_table(&table.row.id, now, now, &step).await
        }
        AlterOp::Touch { partition: Some(spec) } => touch(session, &table, &spec, index, at).await,
        AlterOp::DropPartitions { if_exists, specs, .. } => drop(session, &table, if_exists, &specs, index, at).await,
        AlterOp::RenamePartition { from, to } => rename(session, name, &from, &to, index, at).await,
        AlterOp::MergePartitions { if_exists, sources, to } => {
            merge(session, name, (&sources, if_exists), &to, index, at).await
        }
        _ => Err(Error::internal("no operation on partitions")),
    }
}

async fn add(
    session: &Session,
    table: &OpenTable,
    added: Vec<Added>,
    if_not_exists: bool,
    (index, at): (i64, Position),
) -> Result<()> {
    if external::is_external(&table.row) {
        return external::add_partitions(session, &table.row, added, if_not_exists, (index, at)).await;
    }
    if let Some((at, _)) = added.iter().find_map(|a| a.location.as_ref()) {
        let what = "ADD PARTITION … LOCATION of a table that is not external";
        return Err(errors::front_end(SqlError::unsupported(*at, what)));
    }
    let now = clock::tick_ms();
    let row = |Added { spec, values, .. }: Added| Partition {
        table_id: table.row.id.clone(),
        spec,
        values,
        created_ms: now,
        ddl_ms: now,
        modified_ms: now,
        num_rows: 0,
        num_bytes: 0,
        num_files: 0,
    };
    let rows: Vec<Partition> = added.into_iter().map(row).collect();
    session.warehouse.meta().add_partitions(&table.row.id, &rows, if_not_exists, &session.step(index)).await
}

/// Runs again while the end of the partition is announced: a moment later it is gone, or it stays.
async fn touch(session: &Session, table: &OpenTable, spec: &PartitionSpec, index: i64, at: Position) -> Result<()> {
    let (meta, step) = (session.warehouse.meta(), session.step(index));
    let mut attempt = 1;
    loop {
        let partition = known(session, table, spec, at).await?;
        match meta.touch_partition(&table.row.id, &partition.spec, clock::tick_ms(), &step).await {
            Err(e) if e.kind() == Kind::Conflict && attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            result => return result,
        }
    }
}

async fn drop(
    session: &Session,
    table: &OpenTable,
    if_exists: bool,
    specs: &[Vec<PartitionCondition>],
    index: i64,
    at: Position,
) -> Result<()> {
    let gone = matching(session, table, if_exists, specs, at).await?;
    if gone.is_empty() {
        return Ok(());
    }
    if external::is_external(&table.row) {
        return external::drop_partitions(session, &table.row, gone, (index, at)).await;
    }
    let drop_partitions = gone.into_iter().collect();
    let change = Change { drop_partitions, ..Change::append(table.row.clone(), Vec::new()) };
    commit(session, change, index).await
}

/// The partitions that meet one of the lists of conditions; each list must find some, unless `if_exists`.
async fn matching(
    session: &Session,
    table: &OpenTable,
    if_exists: bool,
    specs: &[Vec<PartitionCondition>],
    at: Position,
) -> Result<BTreeSet<String>> {
    let columns = require_partitioned(table, at)?;
    let all = session.warehouse.meta().all_partitions(&table.row.id).await?;
    let mut found = BTreeSet::new();
    for conditions in specs {
        let mut tests = Vec::new();
        for c in conditions {
            let Some(place) = columns.iter().position(|k| k.name == c.name) else {
                let table = format!("{}.{}", table.row.project, table.row.local_name());
                return Err(bad_key(at, format!("{} is no partition column of {table}", c.name)));
            };
            tests.push((place, c));
        }
        let holds = |p: &&Partition| tests.iter().all(|(i, c)| matches(&columns[*i], &p.values[*i], c));
        let mut some = all.iter().filter(holds).map(|p| p.spec.clone()).peekable();
        if some.peek().is_none() && !if_exists {
            let text = conditions.iter().map(|c| format!("{}{}'{}'", c.name, sign(c.op), c.value));
            return Err(missing(at, table, &format!("({})", text.collect::<Vec<_>>().join(","))));
        }
        found.extend(some);
    }
    Ok(found)
}

fn sign(op: PartitionOp) -> &'static str {
    match op {
        PartitionOp::Eq => "=",
        PartitionOp::NotEq => "<>",
        PartitionOp::Lt => "<",
        PartitionOp::LtEq => "<=",
        PartitionOp::Gt => ">",
        PartitionOp::GtEq => ">=",
        PartitionOp::Like => " like ",
    }
}

/// True if a partition value meets a condition. Whole numbers compare as numbers, everything else as text.
fn matches(column: &Column, value: &str, condition: &PartitionCondition) -> bool {
    let wanted = condition.value.as_str();
    let order = match (column.ty.is_integer(), value.trim().parse::<i64>(), wanted.trim().parse::<i64>()) {
        (true, Ok(a), Ok(b)) => a.cmp(&b),
        _ => value.cmp(wanted),
    };
    match condition.op {
        PartitionOp::Eq => order == Ordering::Equal,
        PartitionOp::NotEq => order != Ordering::Equal,
        PartitionOp::Lt => order == Ordering::Less,
        PartitionOp::LtEq => order != Ordering::Greater,
        PartitionOp::Gt => order == Ordering::Greater,
        PartitionOp::GtEq => order != Ordering::Less,
        PartitionOp::Like => like(value, wanted),
    }
}

/// LIKE with `%`, `_` and backslash escapes, in time proportional to the product of the lengths.
fn like(value: &str, pattern: &str) -> bool {
    let (value, mut pattern) = (value.chars().collect::<Vec<_>>(), pattern.chars());
    // Which prefixes of the value the pattern so far can match.
    let mut reach = vec![false; value.len() + 1];
    reach[0] = true;
    while let Some(c) = pattern.next() {
        let mut next = vec![false; reach.len()];
        match c {
            '%' => {
                let first = reach.iter().position(|r| *r).unwrap_or(reach.len());
                next[first..].fill(true);
            }
            c => {
                let (c, any) = match c {
                    '\\' => (pattern.next().unwrap_or('\\'), false),
                    '_' => ('_', true),
                    c => (c, false),
                };
                for i in 0..value.len() {
                    next[i + 1] = reach[i] && (any || value[i] == c);
                }
            }
        }
        reach = next;
    }
    reach[value.len()]
}

async fn rename(
    session: &Session,
    name: &ObjectName,
    from: &PartitionSpec,
    to: &PartitionSpec,
    index: i64,
    at: Position,
) -> Result<()> {
    let mut attempt = 1;
    loop {
        let table = open(session, name).await?;
        let old = known(session, &table, from, at).await?;
        let (spec, values) = canonical(&table, to, at)?;
        if spec == old.spec {
            return Ok(());
        }
        if session.warehouse.meta().partition(&table.row.id, &spec).await?.is_some() {
            let list = values.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(",");
            let detail = format!("AlreadyExistsException(message:Partition already exists, existed values:[{list}])");
            return Err(statement_error(Kind::Conflict, "ODPS-0110061", at, "Failed to run ddltask", &detail));
        }
        if lives_for_ever(&table.row, &old) {
            let detail =
                format!("the lifecycle of partition {} is disabled, and would not be under a new name", old.spec);
            return Err(semantic(at, format!("{detail}; enable it before and disable it afterwards")));
        }
        let columns = &table.row.schema.partition_columns;
        let fixed: Vec<_> = columns.iter().map(|c| c.name.clone()).zip(values.clone()).collect();
        let files = copy_partitions(session, &table, &BTreeSet::from([old.spec.clone()]), &fixed).await?;
        let change = Change {
            read_version: table.data()?.version,
            create_partitions: vec![values],
            drop_partitions: vec![old.spec],
            must_be_unchanged: true,
            ..Change::append(table.row.clone(), files)
        };
        match commit(session, change, index).await {
            Err(e) if e.kind() == Kind::Conflict && attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

/// MERGE PARTITION: the rows of the sources become those of `to`, and the sources go. With IF EXISTS and no source nothing
/// happens.
async fn merge(
    session: &Session,
    name: &ObjectName,
    (sources, if_exists): (&[Vec<PartitionCondition>], bool),
    to: &PartitionSpec,
    index: i64,
    at: Position,
) -> Result<()> {
    let mut attempt = 1;
    loop {
        let table = open(session, name).await?;
        if !key_of(&table.row).is_empty() {
            // Two partitions may have rows of one key, and neither is the later one.
            let what = "MERGE PARTITION of a table with PRIMARY KEY";
            return Err(errors::front_end(SqlError::unsupported(at, what)));
        }
        let (spec, values) = canonical(&table, to, at)?;
        let from = matching(session, &table, if_exists, sources, at).await?;
        if from.is_empty() {
            return Ok(());
        }
        let columns = &table.row.schema.partition_columns;
        let fixed: Vec<_> = columns.iter().map(|c| c.name.clone()).zip(values.clone()).collect();
        let files = copy_partitions(session, &table, &from, &fixed).await?;
        let change = Change {
            read_version: table.data()?.version,
            replace: Replace::Partitions(vec![spec.clone()]),
            create_partitions: vec![values],
            drop_partitions: from.into_iter().filter(|source| *source != spec).collect(),
            must_be_unchanged: true,
            ..Change::append(table.row.clone(), files)
        };
        match commit(session, change, index).await {
            Err(e) if e.kind() == Kind::Conflict && attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

/// `TRUNCATE TABLE t [PARTITION (…), …]`: the rows go, the partitions stay. With COLUMNS only the values of these go.
pub(super) async fn truncate(session: &Session, truncate: Truncate, index: i64) -> Result<()> {
    let at = Position::from(truncate.table.span());
    let mut attempt = 1;
    loop {
        let table = open_for(session, &truncate.table, "Update").await?;
        let replace = truncated(session, &table, &truncate, at).await?;
        let change = match truncate.columns.as_slice() {
            [] => Change { replace, ..Change::append(table.row.clone(), Vec::new()) },
            columns => without_values(session, &table, columns, replace).await?,
        };
        match commit(session, change, index).await {
            Err(e) if e.kind() == Kind::Conflict && !truncate.columns.is_empty() && attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

/// What TRUNCATE names.
async fn truncated(session: &Session, table: &OpenTable, truncate: &Truncate, at: Position) -> Result<Replace> {
    let name = format!("{}.{}", table.row.project, table.row.local_name());
    if table.row.view_text.is_some() {
        return Err(invalid_view(at, format!("{name} is a view, it has no rows of its own")));
    }
    crate::materialized::refuse_writes(&table.row, at)?;
    if table.snapshot.is_none() {
        let who = if external::has_files(&table.row) { "INSERT OVERWRITE" } else { "a client of the table store" };
        return Err(semantic(at, format!("{name} is an external table, {who} takes its rows away")));
    }
    match (table.row.schema.is_partitioned(), truncate.partitions.as_slice()) {
        (false, []) => Ok(Replace::Table),
        (false, _) => Err(semantic(at, format!("table {name} is not a partitioned table"))),
        (true, []) => {
            let detail = format!("table {name} is partitioned, name the partitions to truncate");
            Err(semantic(at, detail))
        }
        (true, specs) => {
            let mut named = Vec::new();
            for spec in specs {
                named.push(known(session, table, spec, at).await?.spec);
            }
            Ok(Replace::Partitions(named))
        }
    }
}

/// The rows that `replace` names, written again with NULL in `columns`.
async fn without_values(
    session: &Session,
    table: &OpenTable,
    columns: &[ColumnRef],
    replace: Replace,
) -> Result<Change> {
    let schema = &table.row.schema;
    let mut sources: Vec<Source> = (0..schema.columns.len()).map(Source::Column).collect();
    for c in columns {
        let Some(i) = schema.columns.iter().position(|has| has.name == c.name) else {
            return Err(semantic(c.position, format!("column {} cannot be resolved", c.name)));
        };
        if !schema.columns[i].nullable {
            return Err(semantic(c.position, format!("column {} is NOT NULL and cannot be emptied", c.name)));
        }
        if let Some(auto) = AutoPartition::of(&table.row).filter(|a| a.source == c.name) {
            let detail = format!("column {} cannot be emptied: {} is the partition", c.name, auto.sql());
            return Err(semantic(c.position, detail));
        }
        sources[i] = Source::Null;
    }
    let files = match &replace {
        Replace::Partitions(specs) => {
            let part = part_of(table, &specs.iter().cloned().collect())?;
            rewritten(session, &part, schema, &sources).await?
        }
        _ => rewritten(session, table, schema, &sources).await?,
    };
    let read_version = table.data()?.version;
    Ok(Change { read_version, replace, must_be_unchanged: true, ..Change::append(table.row.clone(), files) })
}

#[cfg(test)]
mod tests {
    use super::*;

    // SQL: `%` is any text, `_` one character, a backslash takes the next character as it is.
    #[test]
    fn like_matches_as_sql_defines_it() {
        for (value, pattern, wanted) in [
            ("20230101", "2023%", true),
            ("20240101", "2023%", false),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("a%c", r"a\%c", true),
            ("abc", r"a\%c", false),
            ("", "%", true),
            ("xaay", "%aa%", true),
        ] {
            assert_eq!(like(value, pattern), wanted, "{value} like {pattern}");
        }
    }
}
