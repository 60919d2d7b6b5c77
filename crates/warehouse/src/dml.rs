//! UPDATE, DELETE and MERGE INTO: rows of a transactional table change, all of a statement in one commit.
//!
//! 1. One query finds the rows: what happens to each, where the old row lies (its file and its number there), and the
//!    values of the new one. It runs once, so that a condition is asked once for each row.
//! 2. New rows go into new files, as those of INSERT do; the places of old rows are marked. One that is marked twice ends
//!    the statement: two rows of its source want to change it. Of a table with a key, old rows with the keys of the new
//!    ones are marked, too.
//! 3. Each file with marked rows is written again without these; one of which none is left just goes.
//! 4. One commit exchanges the files, and brings what the INSERTs behind the statement write if they stand in one script.
//!    It is refused when somebody has changed the table since the query read it, and the statement begins again. UPDATE
//!    and DELETE may come before appends that have read nothing of the table; MERGE may not, because what it inserts
//!    depends on rows that are not there.
//!
//! The old files stay for those who read an older version until they are collected.

pub(crate) mod marks;
mod plan;
mod query;

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use feitian_base::{Error, Kind, Result, failpoint, id};
use feitian_sql::{Dml, Position, RowChange};
use futures::StreamExt;
use parking_lot::Mutex;
use sqlparser::ast::Spanned;

use crate::catalog::OpenTable;
use crate::commit::{Change, Replace, RowsBy};
use crate::ddl::is_transactional;
use crate::insert::ATTEMPTS;
use crate::keys::{Keys, New, Rows};
use crate::query::errors::{self, semantic};
use crate::query::{Pinned, Planned, Session, names, rights, run_plan};
use crate::writer::write_partitioned;
use marks::{Marks, Rewritten};

/// Runs statement `index` of the session's job.
pub(crate) async fn run(session: &Session, dml: &Dml, index: i64) -> Result<()> {
    session.settings.refuse_modes()?;
    let mut attempt = 1;
    loop {
        match once(session, dml, index).await {
            Err(e) if e.kind() == Kind::Conflict && attempt < ATTEMPTS => {
                tracing::info!(attempt, error = %e, "the table changed meanwhile; the statement runs again");
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// The plan of the query that finds the rows of `dml`, for those who want to see it.
pub(crate) async fn plan(session: &Session, dml: &Dml) -> Result<Planned> {
    let table = target(session, dml).await?;
    plan::plan(session, &session.state()?, dml, &table, &mut Pinned::default()).await
}

fn statement_of(dml: &Dml) -> RowsBy {
    match dml.change {
        RowChange::Update { .. } => RowsBy::Update,
        RowChange::Delete { .. } => RowsBy::Delete,
        RowChange::Merge { .. } => RowsBy::Merge,
    }
}

/// The table that the statement changes.
pub(crate) async fn target(session: &Session, dml: &Dml) -> Result<OpenTable> {
    let at = Position::from(dml.table.span());
    let (project, name, _) = names::table_name(&dml.table, session)?;
    rights::enter(session, &project).await?;
    let table = session.warehouse.catalog().open(&project, &name).await.map_err(|e| match e.code() {
        "ODPS-0130131" => errors::no_table(at, &project, &name),
        _ => e,
    })?;
    // A condition tells of the rows, and what they become may, too.
    for action in ["Select", "Update"] {
        rights::check_table(session, &table.row, action, at).await?;
    }
    if table.row.view_text.is_some() {
        return Err(semantic(at, format!("{project}.{name} is a view, its rows cannot be changed")));
    }
    crate::materialized::refuse_writes(&table.row, at)?;
    let word = statement_of(dml).word();
    if crate::external::is_external(&table.row) {
        return Err(semantic(at, format!("{project}.{name} is an external table, {word} cannot change its rows")));
    }
    if !is_transactional(&table.row) {
        let detail = format!(
            "table {project}.{name} is not a transactional table, so {word} cannot change it; ALTER TABLE {project}.{name} \
             SET TBLPROPERTIES('transactional'='true') makes it one"
        );
        return Err(semantic(at, detail));
    }
    Ok(table)
}

async fn once(session: &Session, dml: &Dml, index: i64) -> Result<()> {
    session.progress.begin_step(index);
    let Some(change) = change(session, dml, &mut Pinned::default()).await? else { return Ok(()) };
    failpoint::hit("dml.before_commit");
    let (owner, attempt, step) = (&session.instance.id, session.instance.attempt, session.step(index));
    session.warehouse.catalog().commit(vec![change], owner, attempt, index, &step).await
}

/// Writes the files of `dml`, which sees the tables as `pinned` has them; `None` if that changes nothing.
pub(crate) async fn change(session: &Session, dml: &Dml, pinned: &mut Pinned) -> Result<Option<Change>> {
    let table = target(session, dml).await?;
    let (row, snapshot) = (&table.row, table.data()?.clone());
    let name = format!("{}.{}", row.project, row.local_name());
    let state = session.state()?;
    let planned = plan::plan(session, &state, dml, &table, pinned).await?;
    let reads = planned.reads(&row.id);
    let rows = run_plan(session, &state, planned).await?;
    session.progress.begin_sink(name.clone());
    let (catalog, attempt) = (session.warehouse.catalog(), session.instance.attempt);
    let marks = Arc::new(Mutex::new(Marks::new(snapshot.clone(), name)));
    let new = new_rows(rows.stream, marks.clone())?;
    let mut files = write_partitioned(catalog, &table.dir(), &row.schema, &[], new, &id::ulid(), attempt).await?;
    failpoint::hit("dml.before_rewrite");
    let mut marks = std::mem::take(&mut *marks.lock());
    let by = statement_of(dml);
    if by == RowsBy::Merge
        && let Some(keys) = Keys::of(&session.warehouse, &table, &state.runtime_env().memory_pool)?
    {
        keys.settle(&mut New::all(&files), Rows::Merged, Some(&mut marks)).await?;
    }
    let rewritten = marks.rewrite(&session.warehouse, &table, attempt).await?;
    let Rewritten { paths, partitions, files: rewritten } = rewritten;
    files.extend(rewritten);
    session.progress.end_sink(files.iter().map(|f| f.num_bytes).sum());
    if paths.is_empty() && files.is_empty() {
        return Ok(None);
    }
    Ok(Some(Change {
        read_version: snapshot.version,
        reads,
        replace: Replace::Rows { by, paths, partitions },
        must_be_unchanged: true,
        spares_appends: by != RowsBy::Merge,
        ..Change::append(row.clone(), files)
    }))
}

/// The new rows among `rows`; the places of old ones are marked.
fn new_rows(rows: SendableRecordBatchStream, marks: Arc<Mutex<Marks>>) -> Result<SendableRecordBatchStream> {
    let schema = rows.schema();
    let values: Vec<usize> = (plan::VALUES..schema.fields().len()).collect();
    let schema = Arc::new(schema.project(&values).map_err(|e| Error::internal(e.to_string()))?);
    let take = move |batch: DfResult<RecordBatch>| -> DfResult<RecordBatch> {
        let taken = marks.lock().take(&batch?);
        taken.map_err(|e| DataFusionError::External(Box::new(e)))
    };
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows.map(take))))
}
