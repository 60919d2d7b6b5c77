//! INSERT into a table of another part of the program, such as the table store's. OVERWRITE is no other statement
//! there: as in the original, rows of other keys stay.
//!
//! 1. The query gives rows; a batch in which a column of the key is NULL is refused before any row of it is written.
//! 2. The job is asked for: one that was stopped, or that runs elsewhere by now, writes no more.
//! 3. Some rows are written, each under its key, and are durable. Then 1 or 2 again.
//! 4. The table's row notes the change and the step is done, in one transaction.
//!
//! Others see rows as they are written, and those that were written before an error stay. A statement that a crash cut
//! short runs again and writes the same rows under the same keys.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Schema;
use feitian_base::{Error, Result, clock, failpoint};
use feitian_meta::{InstanceState, Table};
use feitian_sql::{Insert, Position, SqlError};
use feitian_types::arrow::engine_field;
use futures::StreamExt;
use sqlparser::ast::Spanned;

use super::mapping::Mapping;
use super::source::{RowTable, SourceWrite};
use super::{Clauses, changed, is_external, refused};
use crate::catalog::OpenTable;
use crate::insert::project_files;
use crate::query::{Planned, Session, errors, plan_query, run_plan};

/// So many rows are written before the job is asked for again.
const ROWS: usize = 1000;

/// `INSERT INTO|OVERWRITE` the table that the mapping names: statement `index` of the session's job.
pub(super) async fn insert(
    session: &Session,
    insert: &Insert,
    (table, mapping): (OpenTable, Mapping),
    index: i64,
) -> Result<()> {
    let at = Position::from(insert.table.span());
    let row = table.row.clone();
    let source = mapping.open(session, at).await?;
    check(&row, &mapping, source.as_ref(), insert, at)?;
    session.progress.begin_step(index);
    let state = session.state()?;
    let planned = plan_query(session, &state, *insert.source.clone()).await?;
    refuse_itself(session, &planned, &mapping, at).await?;
    let planned = project_files(session, &state, planned, (table, (Vec::new(), Vec::new())), insert).await?;
    let mut rows = run_plan(session, &state, planned).await?;
    session.progress.begin_sink(format!("{}.{}", row.project, row.local_name()));
    let fields = row.schema.columns.iter().map(|c| engine_field(c).with_nullable(true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let replaces = mapping.replaces || session.settings.puts_rows();
    let write = SourceWrite { columns: mapping.columns.clone(), replaces };
    let mut num_bytes = 0;
    while let Some(batch) = rows.stream.next().await {
        let batch = batch.map_err(crate::engine_error)?;
        let strange = |e: arrow::error::ArrowError| Error::internal(format!("rows for {}: {e}", mapping.shown()));
        let batch = RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).map_err(strange)?;
        check_keys(&batch, &mapping)?;
        for from in (0..batch.num_rows()).step_by(ROWS) {
            check_job(session).await?;
            let some = batch.slice(from, ROWS.min(batch.num_rows() - from));
            source.write(&some, &write).await?;
            failpoint::hit("external.after_rows");
        }
        num_bytes += i64::try_from(batch.get_array_memory_size()).unwrap_or(i64::MAX);
    }
    session.progress.end_sink(num_bytes);
    failpoint::hit("external.before_step");
    let (meta, now, step) = (session.warehouse.meta(), clock::tick_ms(), session.step(index));
    meta.touch_table(&row.id, now, row.ddl_ms, &step).await
}

/// Refuses a statement of which no row could be written.
fn check(row: &Table, mapping: &Mapping, source: &dyn RowTable, insert: &Insert, at: Position) -> Result<()> {
    let columns = &row.schema.columns;
    mapping.check_columns(columns, at)?;
    mapping.check_key(columns, source.key(), at)?;
    if let Some(table) = source.index_of() {
        let what = format!("INSERT into {}, an index of {table}", mapping.shown());
        return Err(errors::front_end(SqlError::unsupported(at, what)));
    }
    if let Some(key) = source.key().iter().find(|key| key.is_generated) {
        let what = format!("INSERT into {}, which makes the values of its key column {}", mapping.shown(), key.name);
        return Err(errors::front_end(SqlError::unsupported(at, what)));
    }
    let is_left_out = |name: &str| !insert.columns.is_empty() && !insert.columns.iter().any(|c| c.name == name);
    let mut key = columns.iter().zip(&mapping.columns).filter(|(_, source)| source.is_key);
    match key.find(|(column, _)| is_left_out(&column.name)) {
        Some((column, _)) => Err(refused(at, format!("column {} is part of the key and needs a value", column.name))),
        None => Ok(()),
    }
}

/// Refuses a query over the table that it writes, or over an index of it: it would find its own rows as it goes on, and
/// may never end.
async fn refuse_itself(session: &Session, planned: &Planned, target: &Mapping, at: Position) -> Result<()> {
    for table in planned.tables.iter().filter(|table| is_external(&table.row)) {
        let Some(read) = Mapping::of(&Clauses::of(&table.row)?, at)? else { continue };
        if read.instance != target.instance {
            continue;
        }
        if read.table == target.table || read.open(session, at).await?.index_of() == Some(target.table.as_str()) {
            let what = format!("INSERT into {} of a query that reads it", target.shown());
            return Err(errors::front_end(SqlError::unsupported(at, what)));
        }
    }
    Ok(())
}

/// Refuses rows with NULL in a column of the key.
fn check_keys(batch: &RecordBatch, mapping: &Mapping) -> Result<()> {
    let columns = mapping.columns.iter().zip(batch.columns()).enumerate();
    let mut key = columns.filter(|(_, (source, _))| source.is_key);
    match key.find(|(_, (_, values))| values.null_count() > 0) {
        Some((place, _)) => {
            let schema = batch.schema();
            let name = schema.field(place).name();
            Err(refused(Position::UNKNOWN, format!("column {name} is part of the key and cannot be NULL")))
        }
        None => Ok(()),
    }
}

/// Step 2. Whoever was slow must not write over what others have written since.
async fn check_job(session: &Session) -> Result<()> {
    let job = &session.instance;
    let now = session.warehouse.meta().instance_state(&job.project, &job.id).await?;
    if now != Some((InstanceState::Running, job.attempt)) {
        return Err(changed("the job has ended, or runs elsewhere by now".to_string()));
    }
    Ok(())
}
