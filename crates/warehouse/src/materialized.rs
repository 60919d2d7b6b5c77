//! Materialized views: tables whose rows are those of a query, as they were when it was last run.
//!
//! The query is kept in a property of the table's row; in all else the table is one like others, into which nobody else
//! writes. A rebuild runs the query and replaces all rows, or those of one partition, in one commit:
//!
//! 1. the table is opened, then the tables that the query reads: what it reads is no older than what was read for the
//!    rows that are there;
//! 2. new files, and a commit that gives way to any other change of the table since step 1, so that 1 stays true;
//! 3. the row notes which versions were read. A crash before it leaves older ones, and then the view counts as outdated
//!    until it is built again, which it may not be.
//!
//! Queries are never rewritten to read a materialized view.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::Column as PlanColumn;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection};
use feitian_base::{Error, Kind, Result, id};
use feitian_meta::{Step, Table, split_local_name};
use feitian_sql::{AlterOp, AlterTable, CreateMaterialized, Position, SqlError, parse_query};
use feitian_types::{Column, PartitionSpec, TableSchema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlparser::ast::{ObjectName, Query, Spanned, Visit, Visitor};

use crate::catalog::{NewTable, OpenTable};
use crate::commit::{Change, Replace};
use crate::ddl::{CLUSTERING, check_columns, check_comment, check_name, clustering_text, exists, update_row};
use crate::insert::ATTEMPTS;
use crate::query::errors::{front_end, semantic, statement_error};
use crate::query::{
    Planned, Session, asks_metadata, convert_column, names, output_columns, physical_plan, plan_query, rights, run_plan,
};
use crate::scan::scalar;
use crate::system::SystemTable;
use crate::writer::{NewFile, TableDir, partition_value, write_partitioned};

/// The kind of a row.
pub(crate) const MATERIALIZED_VIEW: &str = "MATERIALIZED_VIEW";
/// The table property that keeps the query.
const MATERIALIZED: &str = "feitian.materialized";

/// The id of each table, the version of its rows and that of its columns, by `project.name`: the query goes by names.
type Built = BTreeMap<String, (String, i64, i64)>;

/// What a materialized view keeps beside its rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) query: String,
    /// Whether queries may be rewritten to read it. None is.
    pub(crate) rewrite: bool,
    /// What the rows were read from; `None` if that is not known, or has no versions.
    built: Option<Built>,
    /// Whether these are not the newest, in rows that were looked up to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outdated: Option<bool>,
}

impl Kept {
    /// That of a materialized view.
    pub(crate) fn of(table: &Table) -> Option<Self> {
        if !is_materialized(table) {
            return None;
        }
        let all: Map<String, Value> = serde_json::from_str(&table.properties).unwrap_or_default();
        serde_json::from_str(all.get(MATERIALIZED)?.as_str()?).ok()
    }

    fn put(&self, table: &mut Table) {
        let mut all: Map<String, Value> = serde_json::from_str(&table.properties).unwrap_or_default();
        let text = serde_json::to_string(self).unwrap_or_default();
        all.insert(MATERIALIZED.to_string(), Value::String(text));
        table.properties = Value::Object(all).to_string();
    }
}

/// Whether the table's rows are those of a query.
pub(crate) fn is_materialized(table: &Table) -> bool {
    table.kind == MATERIALIZED_VIEW
}

/// Refuses statements that would put other rows into a materialized view than those of its query.
pub(crate) fn refuse_writes(table: &Table, at: Position) -> Result<()> {
    if !is_materialized(table) {
        return Ok(());
    }
    let name = format!("{}.{}", table.project, table.local_name());
    Err(semantic(at, format!("{name} is a materialized view, ALTER MATERIALIZED VIEW {name} REBUILD brings its rows")))
}

/// `CREATE MATERIALIZED VIEW`
pub(crate) async fn create(session: &Session, create: CreateMaterialized, index: i64) -> Result<()> {
    let at = Position::from(create.name.span());
    let (project, name, _) = names::table_name(&create.name, session)?;
    rights::check_project(session, &project, "CreateTable").await?;
    check_name(&name, at)?;
    names::check_schema(session, &project, &name, at).await?;
    check_comment(create.comment.as_deref().unwrap_or_default(), at)?;
    check_properties(&create.properties, at)?;
    session.settings.refuse_modes()?;
    let session = &of_all(session);
    let state = session.state()?;
    let planned = plan(session, &state, (&project, &name), &create.query).await?;
    let schema = schema_of(output_columns(&planned.plan)?, &create, at)?;
    check_columns(&schema, at)?;
    if session.warehouse.meta().table_named(&project, &name).await?.is_some() {
        return if create.if_not_exists { Ok(()) } else { Err(exists(at, &project, &name)) };
    }
    let catalog = session.warehouse.catalog();
    let dir = catalog.reserve(&project, &name);
    let (mut files, mut built) = (Vec::new(), None);
    if !create.deferred {
        built = versions(&planned, &create.query);
        files = write(session, &state, planned, (&schema, &dir), &format!("{project}.{name}"), None).await?;
    }
    let kept = Kept { query: create.query_text, rewrite: create.rewrite, built, outdated: None };
    let kept = serde_json::to_string(&kept).map_err(|e| Error::internal(e.to_string()))?;
    let mut properties: Map<String, Value> =
        create.properties.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    properties.insert(MATERIALIZED.to_string(), Value::String(kept));
    if let Some(clustering) = &create.clustering {
        properties.insert(CLUSTERING.to_string(), Value::String(clustering_text(clustering)));
    }
    let new = NewTable {
        dir: Some(dir),
        project,
        name,
        kind: MATERIALIZED_VIEW.to_string(),
        owner: session.instance.owner.clone(),
        schema,
        comment: create.comment.unwrap_or_default(),
        properties,
        lifecycle: create.lifecycle.map_or(-1, i64::from),
        view_text: None,
    };
    match catalog.create(new, Some(files), &session.step(index)).await {
        // Another job was faster.
        Err(e) if e.code() == "ODPS-0130211" && create.if_not_exists => Ok(()),
        result => result,
    }
}

/// The columns of the query under the names of the list; the last ones are partition columns if they are named as such.
fn schema_of(mut columns: Vec<Column>, create: &CreateMaterialized, at: Position) -> Result<TableSchema> {
    let list = &create.columns;
    if !list.is_empty() && list.len() != columns.len() {
        let detail = format!("the view names {} columns, its query has {}", list.len(), columns.len());
        return Err(statement_error(Kind::Invalid, "ODPS-0130171", at, "Creating view exception", &detail));
    }
    for (column, (name, comment)) in columns.iter_mut().zip(list) {
        column.name.clone_from(name);
        column.comment = comment.clone().unwrap_or_default();
    }
    let data = columns.len().saturating_sub(create.partitioned_on.len());
    let partition_columns = columns.split_off(data);
    let is_last = partition_columns.iter().map(|c| &c.name).eq(create.partitioned_on.iter());
    if !is_last {
        let named = create.partitioned_on.join(", ");
        return Err(semantic(at, format!("the last columns of the query must be those of PARTITIONED ON: {named}")));
    }
    Ok(TableSchema { columns, partition_columns })
}

/// Refuses what nobody would act on.
fn check_properties(properties: &[(String, String)], at: Position) -> Result<()> {
    for (key, value) in properties {
        let is_off = value.eq_ignore_ascii_case("false");
        let is_lacking = match key.to_lowercase().as_str() {
            "enable_auto_refresh" | "enable_auto_substitute" => !is_off,
            "refresh_interval_minutes" | "refresh_cron" | "transactional" => true,
            _ => false,
        };
        if is_lacking {
            return Err(front_end(SqlError::unsupported(at, format!("'{key}' of a materialized view"))));
        }
    }
    Ok(())
}

/// The same session in which partitioned tables may be read as a whole: that is what the rows of a view are made of.
fn of_all(session: &Session) -> Session {
    let mut session = session.clone();
    session.settings.set("odps.sql.allow.fullscan", "true");
    session
}

/// The relations of a query.
#[derive(Default)]
struct Relations(Vec<ObjectName>);

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.0.push(relation.clone());
        ControlFlow::Continue(())
    }
}

/// Plans the query of the view `name`. Over views and tables of the system nobody could say whether it is outdated.
async fn plan(
    session: &Session,
    state: &SessionState,
    (project, name): (&str, &str),
    query: &Query,
) -> Result<Planned> {
    let inner = session.in_schema(project, split_local_name(name).0);
    let mut relations = Relations::default();
    let _ = query.visit(&mut relations);
    for relation in &relations.0 {
        let (project, table, at) = names::table_name(relation, &inner)?;
        let is_system = SystemTable::named(&project, &table).is_some();
        let row = session.warehouse.meta().table_named(&project, &table).await?;
        if is_system || row.is_some_and(|row| row.view_text.is_some()) {
            let what = "a materialized view over a view or a table of the system";
            return Err(front_end(SqlError::unsupported(at, what)));
        }
    }
    plan_query(&inner, state, query.clone()).await
}

/// The versions of the tables that the plan reads; `None` if one of them has none, or if the query also asks for partitions
/// and tables before any is opened.
fn versions(planned: &Planned, query: &Query) -> Option<Built> {
    if asks_metadata(query) {
        return None;
    }
    let version = |t: &OpenTable| {
        let row = &t.row;
        let name = format!("{}.{}", row.project, row.local_name());
        Some((name, (row.id.clone(), t.snapshot.as_ref()?.data_version, row.schema_version)))
    };
    planned.tables.iter().map(version).collect()
}

/// Writes the rows of the plan, or those of the partition with these values.
async fn write(
    session: &Session,
    state: &SessionState,
    planned: Planned,
    (schema, dir): (&TableSchema, &TableDir),
    sink: &str,
    partition: Option<&[String]>,
) -> Result<Vec<NewFile>> {
    let mut exprs = Vec::new();
    for (i, column) in schema.all_columns().enumerate() {
        let Some(expr) = convert_column(&planned.plan, i, column)? else {
            let ty = column.ty.to_string().to_uppercase();
            let detail = format!("column {} of {sink} is {ty}, and that of its query is no longer", column.name);
            return Err(semantic(Position::UNKNOWN, detail));
        };
        exprs.push(expr.alias(&column.name));
    }
    let engine = crate::query::errors::engine;
    let plan = Projection::try_new(exprs, Arc::new(planned.plan)).map_err(engine)?;
    let mut plan = LogicalPlan::Projection(plan);
    for (column, value) in schema.partition_columns.iter().zip(partition.into_iter().flatten()) {
        let value = Expr::Literal(scalar(column, Some(value.as_str())), None);
        let is_in = Expr::Column(PlanColumn::from_name(&column.name)).eq(value);
        plan = LogicalPlanBuilder::from(plan).filter(is_in).and_then(LogicalPlanBuilder::build).map_err(engine)?;
    }
    let rows = run_plan(session, state, Planned { plan, tables: planned.tables }).await?;
    session.progress.begin_sink(sink.to_string());
    let (catalog, attempt) = (session.warehouse.catalog(), session.instance.attempt);
    let files = write_partitioned(catalog, dir, schema, &[], rows.stream, &id::ulid(), attempt).await?;
    session.progress.end_sink(files.iter().map(|f| f.num_bytes).sum());
    Ok(files)
}

/// Changes a materialized view; `false` if the change is one of tables, too, and is still to be made.
pub(crate) async fn alter(session: &Session, table: &OpenTable, alter: &AlterTable, index: i64) -> Result<bool> {
    let at = Position::from(alter.name.span());
    match &alter.op {
        AlterOp::Rebuild { partition } => rebuild(session, table, partition.as_ref(), at, index).await.map(|()| true),
        AlterOp::SetRewrite { enabled } => {
            let change = |row: &mut Table| {
                if let Some(kept) = Kept::of(row) {
                    Kept { rewrite: *enabled, ..kept }.put(row);
                }
                Ok(())
            };
            update_row(session, &alter.name, &session.step(index), change).await.map(|()| true)
        }
        AlterOp::SetProperties { properties } => check_properties(properties, at).map(|()| false),
        AlterOp::RenameTo { .. }
        | AlterOp::SetComment { .. }
        | AlterOp::SetColumnComment { .. }
        | AlterOp::SetLifecycle { .. }
        | AlterOp::EnableLifecycle { partition: None, .. }
        | AlterOp::UnsetProperties { .. }
        | AlterOp::ChangeOwner { .. } => Ok(false),
        _ => Err(front_end(SqlError::unsupported(at, "this change of a materialized view"))),
    }
}

/// `REBUILD [PARTITION (…)]`; runs again when the view was changed meanwhile.
async fn rebuild(
    session: &Session,
    table: &OpenTable,
    partition: Option<&PartitionSpec>,
    at: Position,
    index: i64,
) -> Result<()> {
    session.settings.refuse_modes()?;
    let session = &of_all(session);
    let mut attempt = 1;
    loop {
        session.progress.begin_step(index);
        // Step 1.
        let now = session.warehouse.catalog().open_id(&table.row.id).await?;
        match rebuild_once(session, &now, partition, at, index).await {
            Err(e) if e.kind() == Kind::Conflict && attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

async fn rebuild_once(
    session: &Session,
    table: &OpenTable,
    partition: Option<&PartitionSpec>,
    at: Position,
    index: i64,
) -> Result<()> {
    let row = &table.row;
    let name = row.local_name();
    let kept = Kept::of(row).ok_or_else(|| Error::internal(format!("{}.{name} has lost its query", row.project)))?;
    let query = parse_query(&kept.query).map_err(front_end)?;
    let state = session.state()?;
    // Whoever rebuilds reads for whoever owns the view, and grants on it: both must be allowed to.
    if row.owner != session.instance.owner {
        let owner = session.of_account(&row.owner);
        let planned = plan(&owner, &state, (&row.project, &name), &query).await?;
        physical_plan(&owner, &state, &planned).await?;
    }
    let planned = plan(session, &state, (&row.project, &name), &query).await?;
    if planned.plan.schema().fields().len() != row.schema.all_columns().count() {
        return Err(semantic(at, format!("the query of {}.{name} has other columns now", row.project)));
    }
    let built = versions(&planned, &query);
    let values = partition.map(|spec| values_of(row, spec, at)).transpose()?;
    let sink = format!("{}.{name}", row.project);
    let files = write(session, &state, planned, (&row.schema, &table.dir()), &sink, values.as_deref()).await?;
    // Step 2.
    let (replace, drop_partitions) = replaced(session, table, values.as_deref(), &files).await?;
    let change = Change {
        read_version: table.data()?.version,
        replace,
        drop_partitions,
        create_partitions: values.iter().cloned().collect(),
        must_be_unchanged: true,
        ..Change::append(row.clone(), files)
    };
    let (owner, attempt) = (&session.instance.id, session.instance.attempt);
    session.warehouse.catalog().commit(vec![change], owner, attempt, index, &session.step(index)).await?;
    // Step 3. The other partitions are as old as they were.
    if values.is_none() {
        note(session, &row.id, built).await;
    }
    Ok(())
}

/// The values of a partition, one for each partition column.
fn values_of(row: &Table, spec: &PartitionSpec, at: Position) -> Result<Vec<String>> {
    let columns = &row.schema.partition_columns;
    let values = spec.values_for(columns).filter(|_| !columns.is_empty()).ok_or_else(|| {
        let detail = format!("({spec}) must give a value for every partition column of {}", row.local_name());
        statement_error(Kind::Invalid, "ODPS-0130191", at, "Invalid column or partition key", &detail)
    })?;
    columns.iter().zip(&values).map(|(c, v)| partition_value(c, v)).collect()
}

/// What the new files replace, and the partitions that go.
async fn replaced(
    session: &Session,
    table: &OpenTable,
    values: Option<&[String]>,
    files: &[NewFile],
) -> Result<(Replace, Vec<String>)> {
    let columns = &table.row.schema.partition_columns;
    if let Some(values) = values {
        let pairs: Vec<String> = columns.iter().zip(values).map(|(c, v)| format!("{}={v}", c.name)).collect();
        return Ok((Replace::Partitions(vec![pairs.join("/")]), Vec::new()));
    }
    if columns.is_empty() {
        return Ok((Replace::Table, Vec::new()));
    }
    let snapshot = table.data()?;
    let new: BTreeSet<String> = files.iter().map(|f| snapshot.spec_of(f)).collect();
    let there = session.warehouse.meta().all_partitions(&table.row.id).await?;
    let gone = there.into_iter().map(|p| p.spec).filter(|spec| !new.contains(spec)).collect();
    Ok((Replace::Partitions(new.into_iter().collect()), gone))
}

/// Notes the versions that were read. Without them the view counts as outdated.
async fn note(session: &Session, table_id: &str, built: Option<Built>) {
    let meta = session.warehouse.meta();
    for _ in 0..ATTEMPTS {
        let Ok(Some(mut row)) = meta.table_by_id(table_id).await else { break };
        let Some(kept) = Kept::of(&row) else { break };
        Kept { built: built.clone(), ..kept }.put(&mut row);
        match meta.update_table(&row, row.schema_version, &Step::None).await {
            Ok(()) => return,
            Err(e) if e.kind() == Kind::Conflict => {}
            Err(e) => return tracing::warn!(table = %table_id, error = ?e, "a materialized view counts as outdated"),
        }
    }
    tracing::warn!(table = %table_id, "a materialized view counts as outdated, because its row changes all the time");
}

/// Whether the rows are those that the query would give now.
pub(crate) async fn is_valid(session: &Session, table: &Table) -> Result<bool> {
    is_newest(&session.warehouse, table).await
}

async fn is_newest(warehouse: &crate::Warehouse, table: &Table) -> Result<bool> {
    let Some(built) = Kept::of(table).and_then(|kept| kept.built) else { return Ok(false) };
    for (name, (id, rows, columns)) in &built {
        let (project, local) = name.split_once('.').unwrap_or_default();
        match warehouse.catalog().open(project, local).await {
            Ok(open)
                if open.row.id == *id
                    && open.row.schema_version == *columns
                    && open.snapshot.as_ref().is_some_and(|s| s.data_version == *rows) => {}
            Ok(_) => return Ok(false),
            Err(e) if e.kind() == Kind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// Puts into a row that is to be shown whether the view is outdated.
pub(crate) async fn describe(warehouse: &crate::Warehouse, table: &mut Table) {
    if let Some(kept) = Kept::of(table) {
        // A table that cannot be opened is no reason not to show the view.
        let outdated = Some(!is_newest(warehouse, table).await.unwrap_or(false));
        Kept { outdated, ..kept }.put(table);
    }
}
