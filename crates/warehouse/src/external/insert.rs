//! INSERT into an external table, and UNLOAD: the rows of a query become files of a bucket exactly once (see `files`).

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, Projection};
use feitian_base::{Result, clock};
use feitian_functions::Context;
use feitian_meta::{InstanceState, Table};
use feitian_sql::{Insert, Position, SqlError, Unload};
use feitian_types::Column;
use sqlparser::ast::Spanned;

use super::files::Directory;
use super::format::Format;
use super::location::Location;
use super::write::{Writing, Written};
use super::{Clauses, changed, is_external, refused};
use crate::insert::project_plain;
use crate::query::errors::{self, semantic};
use crate::query::{Planned, Session, convert_column, names, output_columns, plan_query, rights, run_plan};

/// Whether the statement inserts into an external table.
pub(crate) async fn is_target(session: &Session, insert: &Insert) -> Result<bool> {
    let (project, name, _) = names::table_name(&insert.table, session)?;
    Ok(session.warehouse.meta().table_named(&project, &name).await?.as_ref().is_some_and(is_external))
}

/// `INSERT INTO|OVERWRITE` an external table: statement `index` of the session's job.
pub(crate) async fn insert(session: &Session, insert: &Insert, index: i64) -> Result<()> {
    let at = Position::from(insert.table.span());
    let (project, name, _) = names::table_name(&insert.table, session)?;
    rights::enter(session, &project).await?;
    let table = session.warehouse.catalog().open(&project, &name).await.map_err(|e| match e.code() {
        "ODPS-0130131" => errors::no_table(at, &project, &name),
        _ => e,
    })?;
    let row = table.row.clone();
    rights::check_table(session, &row, "Update", at).await?;
    if !is_external(&row) {
        return Err(errors::no_table(at, &project, &name));
    }
    if insert.partition.is_some() {
        return Err(semantic(at, format!("table {project}.{name} is not a partitioned table")));
    }
    let (location, format) = Clauses::of(&row)?.resolve(at)?;
    let target = Target { location, format, overwrite: insert.overwrite };
    target.check_writable(at)?;
    session.progress.begin_step(index);
    let directory = target.directory(session).await?;
    let statement = format!("{}-{index}", session.instance.id);
    if !directory.is_done(&statement).await? {
        let state = session.state()?;
        let planned = plan_query(session, &state, *insert.source.clone()).await?;
        let planned = project_plain(session, &state, planned, table, insert).await?;
        let sink = format!("{project}.{name}");
        target.write(session, &state, planned, (&row.schema.columns, &sink), (&directory, &statement)).await?;
    }
    touch(session, &row, index).await
}

/// Notes the change, and that the statement has taken effect.
async fn touch(session: &Session, row: &Table, index: i64) -> Result<()> {
    session.warehouse.meta().touch_table(&row.id, clock::tick_ms(), row.ddl_ms, &session.step(index)).await
}

/// `UNLOAD`: statement `index` of the session's job. What is in the directory stays there.
pub(crate) async fn unload(session: &Session, unload: Unload, index: i64) -> Result<()> {
    session.settings.refuse_modes()?;
    let at = unload.files.position;
    let (location, format) = Clauses::from(&unload.files).resolve(at)?;
    location.check_rights(session, at).await?;
    let target = Target { location, format, overwrite: false };
    target.check_writable(at)?;
    session.progress.begin_step(index);
    let directory = target.directory(session).await?;
    let statement = format!("{}-{index}", session.instance.id);
    if directory.is_done(&statement).await? {
        return Ok(());
    }
    let state = session.state()?;
    let planned = plan_query(session, &state, *unload.query).await?;
    let columns = output_columns(&planned.plan)?;
    target.format.check_columns(&columns, at)?;
    let mut seen = BTreeSet::new();
    if let Some(c) = columns.iter().find(|c| !seen.insert(c.name.as_str()))
        && target.format == Format::Parquet
    {
        return Err(refused(at, format!("column repeated in creation: {}", c.name)));
    }
    let planned = as_columns(planned, &columns, at)?;
    let sink = target.location.text();
    target.write(session, &state, planned, (&columns, &sink), (&directory, &statement)).await
}

/// The query's columns in the form that columns of these types have.
fn as_columns(planned: Planned, columns: &[Column], at: Position) -> Result<Planned> {
    let mut exprs = Vec::with_capacity(columns.len());
    for (i, column) in columns.iter().enumerate() {
        let Some(expr) = convert_column(&planned.plan, i, column)? else {
            return Err(refused(at, format!("column {} has no type that a file can hold", column.name)));
        };
        // Two columns of one name are told apart by their places.
        exprs.push(expr.alias(format!("{i} {}", column.name)));
    }
    let plan = Projection::try_new(exprs, Arc::new(planned.plan)).map_err(errors::engine)?;
    Ok(Planned { plan: LogicalPlan::Projection(plan), tables: planned.tables })
}

/// Where rows go, and how.
struct Target {
    location: Location,
    format: Format,
    overwrite: bool,
}

impl Target {
    /// Refuses files that would be read with fewer rows than were written.
    fn check_writable(&self, at: Position) -> Result<()> {
        match &self.format {
            Format::Text(text) if text.header_lines > 0 => {
                let what = "writing files with 'odps.text.option.header.lines.count'";
                Err(errors::front_end(SqlError::unsupported(at, what)))
            }
            _ => Ok(()),
        }
    }

    async fn directory(&self, session: &Session) -> Result<Directory> {
        self.location.check_links(&session.warehouse.config.data_dir).await?;
        Ok(Directory::new(session.warehouse.catalog.store(), self.location.dir().clone()))
    }

    /// Runs the plan and makes its rows files that count.
    async fn write(
        &self,
        session: &Session,
        state: &SessionState,
        planned: Planned,
        (columns, sink): (&[Column], &str),
        (directory, statement): (&Directory, &str),
    ) -> Result<()> {
        let context = Context::of(state.config().options()).map_err(|e| errors::engine(e.into()))?;
        let rows = run_plan(session, state, planned).await?;
        session.progress.begin_sink(sink.to_string());
        let attempt = session.instance.attempt;
        let writing = Writing { directory, format: &self.format, columns, context, statement, attempt };
        let Written { names, num_bytes } = match writing.write(rows.stream).await {
            Ok(written) => written,
            Err(e) => {
                // Nobody counts them. Those of another attempt may still come to count.
                if let Err(left) = directory.clean(statement, Some(attempt)).await {
                    tracing::warn!(error = ?left, "files of a statement that failed are left");
                }
                return Err(e);
            }
        };
        session.progress.end_sink(num_bytes);
        let (directory, statement) = (directory.clone(), statement.to_string());
        let (extension, overwrite) = (self.format.extension(), self.overwrite);
        let entry = session.warehouse.catalog.entry(self.location.dir().as_ref());
        let (meta, instance) = (session.warehouse.meta.clone(), session.instance.clone());
        // A job that is stopped meanwhile must not leave half of the names, so that another task does it.
        let work = async move {
            // One after the other: each takes away what the one before has written.
            let _guard = entry.lock.lock().await;
            // Of a job that has ended nobody may remember that it has put a marker.
            let now = meta.instance_state(&instance.project, &instance.id).await?;
            if now != Some((InstanceState::Running, attempt)) {
                directory.clean(&statement, Some(attempt)).await?;
                return Err(changed("the job has ended, or runs elsewhere by now".to_string()));
            }
            directory.publish(&statement, names, extension, overwrite).await
        };
        let published = session.warehouse.tasks.spawn("external files", work).await;
        published.map_err(|e| feitian_base::Error::internal(format!("the files could not be published: {e}")))?
    }
}
