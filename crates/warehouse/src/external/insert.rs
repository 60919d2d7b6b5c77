//! INSERT into an external table, and UNLOAD: the rows of a query become files of a bucket exactly once (see `files`).

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, Projection};
use feitian_base::{Error, Result, clock, failpoint};
use feitian_functions::Context;
use feitian_meta::{Instance, InstanceState, Meta, Partition, Step, Table};
use feitian_sql::{Insert, Position, SqlError, Unload};
use feitian_types::Column;
use object_store::path::Path;
use sqlparser::ast::Spanned;

use super::directories::{Places, live, new_partition, parts};
use super::files::Directory;
use super::format::Format;
use super::location::Location;
use super::mapping::Mapping;
use super::turn::Turn;
use super::write::{Open, Parting, Writing, Written};
use super::{Clauses, changed, is_external, put, refused};
use crate::insert::{partition_columns, project_files};
use crate::query::errors;
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
    if insert.if_not_exists {
        return Err(errors::front_end(SqlError::unsupported(at, "IF NOT EXISTS of INSERT into an external table")));
    }
    let (fixed, dynamic) = partition_columns(&table, insert.partition.as_deref(), at)?;
    let clauses = Clauses::of(&row)?;
    if let Some(mapping) = Mapping::of(&clauses, at)? {
        return put::insert(session, insert, (table, mapping), index).await;
    }
    let (location, format) = clauses.resolve(at)?;
    let into = Destination::new(&row, location, &fixed, !dynamic.is_empty())?;
    let target = Target { location: into.root.clone(), format, overwrite: insert.overwrite };
    target.check_writable(at)?;
    session.progress.begin_step(index);
    let directory = into.over(target.directory(session).await?);
    let statement = format!("{}-{index}", session.instance.id);
    let mut specs: Vec<String> = into.spec.iter().cloned().collect();
    let mut kept = into.kept();
    if !directory.is_done(&statement).await? {
        let state = session.state()?;
        let planned = plan_query(session, &state, *insert.source.clone()).await?;
        let planned = project_files(session, &state, planned, (table, (fixed, dynamic)), insert).await?;
        let sink = format!("{project}.{name}");
        let to = To { columns: &row.schema.columns, sink: &sink, into: Some(&into), at };
        let partitions = target.write(session, &state, planned, to, (&directory, &statement)).await?;
        if into.is_open() {
            specs = partitions.iter().map(|p| p.spec.clone()).collect();
            kept = partitions;
        }
    }
    // Notes the change, and that the statement has taken effect.
    let (meta, now, step) = (session.warehouse.meta(), clock::tick_ms(), session.step(index));
    match row.schema.is_partitioned() {
        true => meta.touch_partitions(&row.id, &kept, &specs, now, &step).await,
        false => meta.touch_table(&row.id, now, row.ddl_ms, &step).await,
    }
}

/// Where an INSERT puts its rows.
struct Destination {
    table: Table,
    /// The directory with markers and hidden files: the table's, or that of a partition with a LOCATION of its own.
    root: Location,
    /// The partition that the statement names as a whole.
    spec: Option<String>,
    /// Its values, or those of the first partition columns.
    values: Vec<String>,
    /// What the statement saw.
    places: Places,
}

impl Destination {
    fn new(table: &Table, location: Location, fixed: &[(String, String)], is_open: bool) -> Result<Self> {
        let places = Places::of(table)?;
        let values: Vec<String> = fixed.iter().map(|(_, value)| value.clone()).collect();
        let is_whole = table.schema.is_partitioned() && !is_open;
        let parts = parts(&table.schema.partition_columns, &values);
        let spec = is_whole.then(|| parts.join("/"));
        let root = match spec.as_ref().and_then(|spec| places.get(spec)) {
            Some(named) => Location::parse(named, Position::UNKNOWN)?,
            None => {
                location.below(&parts)?;
                location
            }
        };
        Ok(Self { table: table.clone(), root, spec, values, places })
    }

    /// Whether partitions come out of the rows.
    fn is_open(&self) -> bool {
        self.table.schema.is_partitioned() && self.spec.is_none()
    }

    /// Whether the partition has a LOCATION of its own.
    fn is_named(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| self.places.get(spec).is_some())
    }

    /// The partition that is to be there, unless ADD PARTITION alone can make it.
    fn kept(&self) -> Vec<Partition> {
        let spec = self.spec.iter().filter(|_| !self.is_named());
        let row = |spec: &String| new_partition(&self.table.id, spec.clone(), self.values.clone(), clock::tick_ms());
        spec.map(row).collect()
    }

    /// The root with what the statement needs to see of it.
    fn over(&self, root: Directory) -> Directory {
        match self.table.schema.is_partitioned() && !self.is_named() {
            true => root.over(BTreeSet::new()),
            false => root,
        }
    }

    fn parting(&self, at: Position) -> Parting<'_> {
        match &self.spec {
            Some(spec) if !self.is_named() => Parting::One(format!("{spec}/")),
            None if self.is_open() => Parting::Open(Open {
                location: &self.root,
                columns: &self.table.schema.partition_columns,
                fixed: self.values.clone(),
                places: &self.places,
                at,
            }),
            _ => Parting::One(String::new()),
        }
    }

    /// The directories of these partitions, of which none is a symbolic link.
    async fn directories(&self, partitions: &[Partition], data_dir: &std::path::Path) -> Result<BTreeSet<Path>> {
        let mut directories = BTreeSet::new();
        for partition in partitions {
            let location = self.root.below(&parts(&self.table.schema.partition_columns, &partition.values))?;
            location.check_links(data_dir).await?;
            directories.insert(location.dir().clone());
        }
        Ok(directories)
    }
}

/// Makes partitions be there before their files count, and fails if one is elsewhere than the statement thought: its rows
/// would be nowhere.
async fn register(meta: &Meta, table: &Table, places: &Places, kept: &[Partition], named: Option<&str>) -> Result<()> {
    meta.add_partitions(&table.id, kept, true, &Step::None).await?;
    let now = Places::of(&live(meta, table).await?)?;
    let is_there = match named {
        Some(spec) => meta.partition(&table.id, spec).await?.is_some(),
        None => true,
    };
    let mut specs = kept.iter().map(|p| p.spec.as_str()).chain(named);
    match is_there && specs.all(|spec| now.get(spec) == places.get(spec)) {
        true => Ok(()),
        false => Err(changed(format!("partitions of {}.{} were changed", table.project, table.local_name()))),
    }
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
        && !matches!(target.format, Format::Text(_))
    {
        return Err(refused(at, format!("column repeated in creation: {}", c.name)));
    }
    let planned = as_columns(planned, &columns, at)?;
    let sink = target.location.text();
    let to = To { columns: &columns, sink: &sink, into: None, at };
    target.write(session, &state, planned, to, (&directory, &statement)).await.map(|_| ())
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

/// What rows are, and who they are for.
struct To<'a> {
    columns: &'a [Column],
    sink: &'a str,
    /// The table, unless it is UNLOAD.
    into: Option<&'a Destination>,
    at: Position,
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

    /// Runs the plan and makes its rows files that count; the partitions that got rows, or are named as a whole.
    async fn write(
        &self,
        session: &Session,
        state: &SessionState,
        planned: Planned,
        to: To<'_>,
        (directory, statement): (&Directory, &str),
    ) -> Result<Vec<Partition>> {
        let context = Context::of(state.config().options()).map_err(|e| errors::engine(e.into()))?;
        let rows = run_plan(session, state, planned).await?;
        session.progress.begin_sink(to.sink.to_string());
        let attempt = session.instance.attempt;
        let parting = to.into.map_or_else(|| Parting::One(String::new()), |into| into.parting(to.at));
        let (format, columns) = (&self.format, to.columns);
        let writing = Writing { directory, format, columns, parting, context, statement, attempt };
        let written = match writing.write(rows.stream).await {
            Ok(written) => self.publishing(session, to.into, written, (directory, statement)).await,
            Err(e) => Err(e),
        };
        let (publishing, partitions) = match written {
            Ok(ready) => ready,
            Err(e) => {
                // Nobody counts them. Those of another attempt may still come to count.
                if let Err(left) = directory.clean(statement, Some(attempt)).await {
                    tracing::warn!(error = ?left, "files of a statement that failed are left");
                }
                return Err(e);
            }
        };
        let entry = session.warehouse.catalog.entry(self.location.dir().as_ref());
        // A job that is stopped meanwhile must not leave half of the names, so that another task does it.
        let work = async move {
            // One after the other: each takes away what the one before has written.
            let _guard = entry.lock.lock().await;
            publishing.run().await
        };
        let published = session.warehouse.tasks.spawn("external files", work).await;
        published.map_err(|e| Error::internal(format!("the files could not be published: {e}")))??;
        Ok(partitions)
    }

    /// What is left to do with files that are written, and the partitions that they are for.
    async fn publishing(
        &self,
        session: &Session,
        into: Option<&Destination>,
        written: Written,
        (directory, statement): (&Directory, &str),
    ) -> Result<(Publishing, Vec<Partition>)> {
        session.progress.end_sink(written.num_bytes);
        let now = clock::tick_ms();
        let (mut directory, mut partitions) = (directory.clone(), Vec::new());
        if let Some(into) = into {
            let new = |(spec, values)| new_partition(&into.table.id, spec, values, now);
            partitions = if into.is_open() { written.partitions.into_iter().map(new).collect() } else { into.kept() };
            if into.table.schema.is_partitioned() && !into.is_named() {
                directory = directory.over(into.directories(&partitions, &session.warehouse.config.data_dir).await?);
            }
        }
        let registering = into.filter(|into| into.table.schema.is_partitioned()).map(|into| Registering {
            table: into.table.clone(),
            places: into.places.clone(),
            kept: partitions.clone(),
            named: into.spec.clone().filter(|_| into.is_named()),
        });
        let publishing = Publishing {
            meta: session.warehouse.meta.clone(),
            job: session.instance.clone(),
            directory,
            statement: statement.to_string(),
            names: written.names,
            extension: self.format.extension(),
            overwrite: self.overwrite,
            registering,
        };
        Ok((publishing, partitions))
    }
}

/// What [`register`] wants to know.
struct Registering {
    table: Table,
    places: Places,
    kept: Vec<Partition>,
    named: Option<String>,
}

/// Files on their way to count.
struct Publishing {
    meta: Meta,
    job: Instance,
    directory: Directory,
    statement: String,
    names: Vec<(String, String)>,
    extension: &'static str,
    overwrite: bool,
    registering: Option<Registering>,
}

impl Publishing {
    async fn run(self) -> Result<()> {
        let turn = match self.ready().await {
            Ok(turn) => turn,
            Err(e) => {
                self.directory.clean(&self.statement, Some(self.job.attempt)).await?;
                return Err(e);
            }
        };
        let published = self.directory.publish(&self.statement, self.names, self.extension, turn.as_ref()).await;
        if let Some(turn) = turn {
            turn.end().await;
        }
        published
    }

    /// The last that is done before the files count; if they overwrite others, it is their turn.
    async fn ready(&self) -> Result<Option<Turn>> {
        let turn = match self.overwrite {
            true => Some(Turn::take(&self.directory, &self.meta, &self.job).await?),
            false => None,
        };
        // After the turn, for which it may have waited.
        let checked = self.check().await;
        match (checked, turn) {
            (Ok(()), turn) => Ok(turn),
            (Err(e), None) => Err(e),
            (Err(e), Some(turn)) => {
                turn.end().await;
                Err(e)
            }
        }
    }

    async fn check(&self) -> Result<()> {
        // Of a job that has ended nobody may remember that it has put a marker.
        let now = self.meta.instance_state(&self.job.project, &self.job.id).await?;
        if now != Some((InstanceState::Running, self.job.attempt)) {
            return Err(changed("the job has ended, or runs elsewhere by now".to_string()));
        }
        if let Some(Registering { table, places, kept, named }) = &self.registering {
            register(&self.meta, table, places, kept, named.as_deref()).await?;
            failpoint::hit("external.after_partitions");
        }
        Ok(())
    }
}
