//! What the tables of the project `sys` are read from: rows of every project, in pages that follow an index.

use std::collections::HashMap;

use feitian_base::Result;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use crate::cells::{Cells, all, one};
use crate::db::Meta;
use crate::fault::Fault;
use crate::instances::{self, read_brief};
use crate::range::TOP;
use crate::rows::{Instance, InstanceFilter, Session, Table};
use crate::sessions::{read_session_cells, session_columns};
use crate::tables::{read_table, table_columns};

/// The place of an instance among all: when it was submitted, and its id.
pub type InstancePlace = (i64, String);

/// Which instances [`Meta::scan_instances`] reads, and how much of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceScan {
    pub project: Option<String>,
    pub filter: InstanceFilter,
    pub parts: InstanceParts,
}

/// How much of an instance is read; the rest is empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InstanceParts {
    /// Id and time of submission, which an index holds: the rows are left alone.
    Place,
    /// All but texts that may be long.
    #[default]
    Thin,
    /// With `query`, `settings`, `error` and `summary`.
    Texts,
}

/// Which live tables and views [`Meta::scan_tables`] reads; the default reads all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableScan {
    pub project: Option<String>,
    pub schema_name: Option<String>,
    pub name: Option<String>,
    /// Adds up the partition rows of each table.
    pub with_sums: bool,
}

/// What the partition rows of a table add up to. All zero when it has none, or when nobody asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionSums {
    /// Without the row that is the whole of an unpartitioned table.
    pub num_partitions: i64,
    pub num_rows: i64,
    pub num_bytes: i64,
    pub num_files: i64,
}

/// A tunnel session with what is known of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    pub session: Session,
    /// Schema and name of the table as they are now; `None` once it has been forgotten.
    pub table: Option<(String, String)>,
    /// Rows in the blocks that an upload has noted.
    pub block_rows: i64,
}

/// What the indexes on the time of submission hold.
pub(crate) const PLACE: &str = "SELECT submitted_ms, id";

/// The query of [`Meta::count_instances`] before and after its range.
const COUNT: [&str; 2] = ["SELECT COUNT(*) FROM (SELECT 1", ") page"];

/// The columns of `instances::read_brief` without the long ones, whose places hold nothing.
const THIN: &str = "SELECT id, project, owner, guid, priority, '', task_name, task_type, '', '', state, node, attempt, \
     step, stop_requested, submitted_ms, started_ms, ended_ms, is_select, result_path, result_rows, NULL, ''";

/// The same with the texts that are asked for; never the source, which says nothing that these do not.
const FULL: &str = "SELECT id, project, owner, guid, priority, '', task_name, task_type, query, settings, state, node, \
     attempt, step, stop_requested, submitted_ms, started_ms, ended_ms, is_select, result_path, result_rows, error, \
     summary";

/// The bytes of one row's texts. Both databases know them without reading the texts.
const SIZES: &str = "SELECT CAST(octet_length(query) AS BIGINT) + CAST(octet_length(settings) AS BIGINT) \
     + CAST(octet_length(summary) AS BIGINT) + CAST(COALESCE(octet_length(error), 0) AS BIGINT)";

/// The page of [`Meta::scan_tables`]; parameters: the place after which it begins, the last project, the limit, schema
/// and name.
pub(crate) const TABLES: &str = concat!(
    "SELECT ",
    table_columns!(),
    " FROM tables WHERE dropped_ms IS NULL AND (project, schema_name, name) > ($1, $2, $3) AND project <= $4 \
     AND ($6 IS NULL OR schema_name = $6) AND ($7 IS NULL OR name = $7) \
     ORDER BY project, schema_name, name LIMIT $5"
);

/// The sums of the tables of such a page; parameters: the place after which it begins, its last table, schema and name.
/// It ends at a table, not after a number of them: tables may have been created since the page was read. The casts:
/// PostgreSQL adds BIGINTs up to a NUMERIC.
pub(crate) const SUMS: &str = "SELECT t.id, COUNT(CASE WHEN p.spec <> '' THEN 1 END), CAST(SUM(p.num_rows) AS BIGINT), \
     CAST(SUM(p.num_bytes) AS BIGINT), CAST(SUM(p.num_files) AS BIGINT) \
     FROM tables t JOIN partitions p ON p.table_id = t.id \
     WHERE t.dropped_ms IS NULL AND (t.project, t.schema_name, t.name) > ($1, $2, $3) \
     AND (t.project, t.schema_name, t.name) <= ($4, $5, $6) \
     AND ($7 IS NULL OR t.schema_name = $7) AND ($8 IS NULL OR t.name = $8) GROUP BY t.id";

/// The query of [`Meta::table_sums`]; parameters: the table, and how many of its rows are looked at.
pub(crate) const SUMS_OF_ONE: &str = "SELECT COUNT(*), COUNT(CASE WHEN spec <> '' THEN 1 END), \
     CAST(COALESCE(SUM(num_rows), 0) AS BIGINT), CAST(COALESCE(SUM(num_bytes), 0) AS BIGINT), \
     CAST(COALESCE(SUM(num_files), 0) AS BIGINT) \
     FROM (SELECT spec, num_rows, num_bytes, num_files FROM partitions WHERE table_id = $1 LIMIT $2) p";

/// The page of [`Meta::scan_sessions`].
pub(crate) const SESSIONS: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", (SELECT t.schema_name FROM tables t WHERE t.id = sessions.table_id), ",
    "(SELECT t.name FROM tables t WHERE t.id = sessions.table_id), ",
    "(SELECT CAST(COALESCE(SUM(b.num_rows), 0) AS BIGINT) FROM blocks b WHERE b.session_id = sessions.id) ",
    "FROM sessions WHERE id > $1 AND ($2 IS NULL OR project = $2) ORDER BY id LIMIT $3"
);

/// How many of the next rows, at most `max_bytes` together; at least one.
fn fitting(sizes: &[i64], max_bytes: i64) -> i64 {
    let mut total = 0_i64;
    let more = sizes.iter().take_while(|size| {
        total = total.saturating_add(**size);
        total <= max_bytes
    });
    more.count().max(1) as i64
}

fn read_place(row: &AnyRow) -> Result<Instance, Fault> {
    let mut c = Cells::new(row);
    Ok(Instance { submitted_ms: c.int()?, id: c.text()?, ..Instance::default() })
}

fn read_session_row(row: &AnyRow) -> Result<SessionRow, Fault> {
    let mut c = Cells::new(row);
    let session = read_session_cells(&mut c)?;
    let table = c.opt_text()?.zip(c.opt_text()?);
    Ok(SessionRow { session, table, block_rows: c.int()? })
}

fn read_sums(row: &AnyRow) -> Result<(String, PartitionSums), Fault> {
    let mut c = Cells::new(row);
    Ok((c.text()?, read_sum_cells(&mut c)?))
}

/// How many rows were looked at, and what they add up to.
fn read_counted_sums(row: &AnyRow) -> Result<(i64, PartitionSums), Fault> {
    let mut c = Cells::new(row);
    Ok((c.int()?, read_sum_cells(&mut c)?))
}

fn read_sum_cells(c: &mut Cells<'_>) -> Result<PartitionSums, Fault> {
    Ok(PartitionSums { num_partitions: c.int()?, num_rows: c.int()?, num_bytes: c.int()?, num_files: c.int()? })
}

/// Makes an instance of a row.
type Read = fn(&AnyRow) -> Result<Instance, Fault>;

impl Meta {
    /// At most `limit` instances, newest submission first, that come after `after`; empty at the end. With texts the
    /// page ends early, after its first row at the soonest, rather than bring more than `max_bytes` of them. Never
    /// brings `source`, `result_columns` and `result_inline`.
    pub async fn scan_instances(
        &self,
        scan: &InstanceScan,
        after: Option<&InstancePlace>,
        limit: i64,
        max_bytes: i64,
    ) -> Result<Vec<Instance>> {
        // Rows with (submitted_ms, id) below this pair; no id is below the empty text.
        let mut end = (scan.filter.to_ms.unwrap_or(i64::MAX), String::new());
        if let Some(after) = after {
            end = end.min(after.clone());
        }
        let mut limit = limit.max(0);
        if scan.parts == InstanceParts::Texts {
            let sizes = self.instances_below([SIZES, ""], scan, &end, limit).await?;
            if sizes.is_empty() {
                return Ok(Vec::new());
            }
            limit = fitting(&all(&sizes, |r| Cells::new(r).int())?, max_bytes);
        }
        let (columns, read): (_, Read) = match scan.parts {
            InstanceParts::Place => (PLACE, read_place),
            InstanceParts::Thin => (THIN, read_brief),
            InstanceParts::Texts => (FULL, read_brief),
        };
        Ok(all(&self.instances_below([columns, ""], scan, &end, limit).await?, read)?)
    }

    /// How many instances [`Meta::scan_instances`] would bring in all.
    pub async fn count_instances(&self, scan: &InstanceScan) -> Result<i64> {
        let end = (scan.filter.to_ms.unwrap_or(i64::MAX), String::new());
        let rows = self.instances_below(COUNT, scan, &end, i64::MAX).await?;
        Ok(all(&rows, |r| Cells::new(r).int())?.into_iter().sum())
    }

    async fn instances_below(
        &self,
        [before, after]: [&str; 2],
        scan: &InstanceScan,
        end: &InstancePlace,
        limit: i64,
    ) -> Result<Vec<AnyRow>> {
        let InstanceScan { project, filter, .. } = scan;
        let range = instances::range_sql(filter.class, project.is_some(), filter.owner.is_some());
        let from_ms = filter.from_ms.unwrap_or(i64::MIN);
        let page = query(AssertSqlSafe(format!("{before}{range}{after}"))).bind(end.0).bind(end.1.as_str());
        let page = page.bind(from_ms).bind(limit);
        let equal = project.as_deref().into_iter().chain(filter.owner.as_deref());
        let page = equal.fold(page, |page, value| page.bind(value));
        Ok(page.fetch_all(self.reader()).await.map_err(Fault::from)?)
    }

    /// The instance with this id, in whatever project, as [`Meta::scan_instances`] brings it with texts.
    pub async fn instance_with_id(&self, id: &str) -> Result<Option<Instance>> {
        let sql = AssertSqlSafe(format!("{FULL} FROM instances WHERE id = $1"));
        let row = query(sql).bind(id).fetch_optional(self.reader()).await.map_err(Fault::from)?;
        Ok(one(row, read_brief)?)
    }

    /// At most `limit` live tables and views that come after `after`, by project, schema and name; fewer at the end.
    pub async fn scan_tables(
        &self,
        scan: &TableScan,
        after: Option<&Table>,
        limit: i64,
    ) -> Result<Vec<(Table, PartitionSums)>> {
        let project = scan.project.as_deref();
        let (low, high) = (project.unwrap_or_default(), project.unwrap_or(TOP));
        let low = after.map_or((low, "", ""), |t| (t.project.as_str(), t.schema_name.as_str(), t.name.as_str()));
        let (schema, name) = (scan.schema_name.as_deref(), scan.name.as_deref());
        let page = query(TABLES).bind(low.0).bind(low.1).bind(low.2).bind(high).bind(limit.max(0));
        let rows = page.bind(schema).bind(name).fetch_all(self.reader()).await.map_err(Fault::from)?;
        let tables = all(&rows, read_table)?;
        let mut sums: HashMap<String, PartitionSums> = HashMap::new();
        if let Some(last) = tables.last().filter(|_| scan.with_sums) {
            let range = query(SUMS).bind(low.0).bind(low.1).bind(low.2);
            let range = range.bind(&last.project).bind(&last.schema_name).bind(&last.name).bind(schema).bind(name);
            let rows = range.fetch_all(self.reader()).await.map_err(Fault::from)?;
            sums.extend(all(&rows, read_sums)?);
        }
        let with_sums = |t: Table| {
            let sums = sums.get(&t.id).copied().unwrap_or_default();
            (t, sums)
        };
        Ok(tables.into_iter().map(with_sums).collect())
    }

    /// What the partition rows of one table add up to; `None` when there are more than `most`, of which no more are read.
    pub async fn table_sums(&self, table_id: &str, most: i64) -> Result<Option<PartitionSums>> {
        let found = query(SUMS_OF_ONE).bind(table_id).bind(most.max(0).saturating_add(1));
        let row = found.fetch_optional(self.reader()).await.map_err(Fault::from)?;
        let (looked_at, sums) = one(row, read_counted_sums)?.unwrap_or_default();
        Ok((looked_at <= most.max(0)).then_some(sums))
    }

    /// At most `limit` tunnel sessions of any status, of one project or all, that come after the id `after`, by id.
    pub async fn scan_sessions(
        &self,
        project: Option<&str>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<SessionRow>> {
        let page = query(SESSIONS).bind(after.unwrap_or_default()).bind(project).bind(limit.max(0));
        let rows = page.fetch_all(self.reader()).await.map_err(Fault::from)?;
        Ok(all(&rows, read_session_row)?)
    }
}
