//! Queries: planning over the tables they name, and running the plan.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column as PlanColumn, DataFusionError};
use datafusion::config::ConfigOptions;
use datafusion::datasource::{DefaultTableSource, ViewTable};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, TableSource};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use feitian_base::{Kind, Result};
use feitian_functions::coercion::type_name;
use feitian_sql::{PARAMETERS, Position, parse_query};
use feitian_types::Column;
use feitian_types::arrow::column_type;
use futures::StreamExt;
use futures::future::BoxFuture;
use sqlparser::ast::{Expr as AstExpr, Ident, ObjectName, Query, SelectItem, SetExpr, TableFactor};

use super::names::TableName;
use super::user_code::{Around, UserFunctions, decided_first};
use super::{
    Session, again, cartesian, coerce, columns, errors, fold, hive, names, order, patterns, physical, planner, prepare,
    rights, scans, shared,
};
use crate::catalog::OpenTable;
use crate::external;
use crate::scan::{provider_of_places, provider_without};
use crate::system::SystemTable;

/// Views may be defined over views this deep.
const MAX_VIEW_DEPTH: usize = 32;

/// A query with final types, before optimization.
pub(crate) struct Planned {
    pub(crate) plan: LogicalPlan,
    /// The tables it reads, those behind views included, as they were when it was planned.
    pub(crate) tables: Vec<OpenTable>,
}

impl Planned {
    /// The versions of the tables that it reads, but for the one with the id `but`.
    pub(crate) fn reads(&self, but: &str) -> BTreeMap<String, i64> {
        let others = self.tables.iter().filter(|t| t.row.id != but);
        others.filter_map(|t| Some((t.row.id.clone(), t.snapshot.as_ref()?.version))).collect()
    }
}

/// The rows of a query.
pub(crate) struct Rows {
    pub(crate) columns: Vec<Column>,
    pub(crate) stream: SendableRecordBatchStream,
}

/// The tables of several queries at one version each.
#[derive(Default)]
pub(crate) struct Pinned(BTreeMap<TableName, OpenTable>);

/// Plans `query` in `session`.
pub(crate) async fn plan_query(session: &Session, state: &SessionState, query: Query) -> Result<Planned> {
    plan_pinned(session, state, query, &mut Pinned::default()).await
}

/// Plans `query` over the tables as the queries before it saw them.
pub(crate) async fn plan_pinned(
    session: &Session,
    state: &SessionState,
    query: Query,
    pinned: &mut Pinned,
) -> Result<Planned> {
    let plan = plan_at(session.clone(), state.clone(), query, 0, &mut pinned.0, Given::Nothing).await?;
    Ok(Planned { plan, tables: pinned.0.values().cloned().collect() })
}

/// Plans the query of a statement that changes `target`, which it knows with the places of rows under a name that ends in
/// [`names::TARGET`]. The queries behind it see the tables as it does.
pub(crate) async fn plan_change(
    session: &Session,
    state: &SessionState,
    query: Query,
    target: &OpenTable,
    pinned: &mut Pinned,
) -> Result<Planned> {
    pinned.0.insert(name_of(target), target.clone());
    let plan = plan_at(session.clone(), state.clone(), query, 0, &mut pinned.0, Given::Target(target)).await?;
    Ok(Planned { plan, tables: pinned.0.values().cloned().collect() })
}

/// Plans expressions over the parameters of a function, which are the columns of `source`.
pub(super) async fn plan_body(
    session: &Session,
    state: &SessionState,
    exprs: Vec<AstExpr>,
    source: Arc<dyn TableSource>,
    depth: usize,
) -> Result<LogicalPlan> {
    let mut query = *parse_query(&format!("SELECT 1 FROM t AS `{PARAMETERS}`")).map_err(errors::front_end)?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        let alias = |i: usize| Ident::with_quote('`', format!("c{i}"));
        let items = exprs.into_iter().enumerate();
        select.projection = items.map(|(i, expr)| SelectItem::ExprWithAlias { expr, alias: alias(i) }).collect();
        if let Some(TableFactor::Table { name, .. }) = select.from.first_mut().map(|from| &mut from.relation) {
            *name = ObjectName::from(vec![Ident::with_quote('`', names::OF_PARAMETERS)]);
        }
    }
    let mut read = BTreeMap::new();
    plan_at(session.clone(), state.clone(), query, depth, &mut read, Given::Parameters(source)).await
}

/// What a query knows beside the tables that it names.
enum Given<'a> {
    Nothing,
    /// The table that its statement changes.
    Target(&'a OpenTable),
    /// The parameters of the function that it belongs to.
    Parameters(Arc<dyn TableSource>),
}

fn name_of(table: &OpenTable) -> TableName {
    (table.row.project.clone(), table.row.local_name())
}

fn plan_at<'a>(
    session: Session,
    state: SessionState,
    mut query: Query,
    depth: usize,
    read: &'a mut BTreeMap<TableName, OpenTable>,
    given: Given<'a>,
) -> BoxFuture<'a, Result<LogicalPlan>> {
    Box::pin(async move {
        let (target, parameters) = match given {
            Given::Nothing => (None, None),
            Given::Target(target) => (Some(target), None),
            Given::Parameters(source) => (None, Some(source)),
        };
        let mut functions = UserFunctions::default();
        functions.lift(&mut query, &Around { session: &session, state: &state, depth }).await?;
        feitian_sql::check_query(&query).map_err(errors::front_end)?;
        if session.settings.is_hive() {
            hive::check(&query)?;
        }
        let (named, calls) = names::resolve(&mut query, &session, target.map(name_of))?;
        let names::Named { tables: named, travels } = named;
        functions.load(&Around { session: &session, state: &state, depth }, calls).await?;
        fold::fold(&mut query, &session).await?;
        let stored = named.keys().filter(|(project, table)| SystemTable::named(project, table).is_none());
        let projects: BTreeSet<&str> = stored.map(|(project, _)| project.as_str()).collect();
        for project in projects {
            rights::enter(&session, project).await?;
        }
        let mut sources = sources_given(&session, target, parameters).await?;
        for ((project, table), at) in named {
            if let Some(system) = SystemTable::named(&project, &table) {
                let source = DefaultTableSource::new(system.provider(&session).await?);
                sources.insert((project, table), Arc::new(source));
                continue;
            }
            let key = (project, table);
            let (open, hidden) = match travels.get(&key) {
                Some(travel) => travel.open(&session, at).await?,
                None => {
                    let open = open(&session, &key.0, &key.1, at).await?;
                    rights::check_table(&session, &open.row, "Select", at).await?;
                    let hidden = rights::hidden(&session, &open.row, &open.row.schema.columns).await?;
                    (open, hidden)
                }
            };
            let source: Arc<dyn TableSource> = if open.row.view_text.is_some() {
                view_source(&session, &state, &open, depth, read).await?
            } else if external::is_external(&open.row) {
                let provider = external::provider(&session, &open.row, hidden).await?;
                read.entry(key.clone()).or_insert(open);
                Arc::new(DefaultTableSource::new(provider))
            } else {
                read.entry(key.clone()).or_insert_with(|| open.clone());
                // A table that is read twice is read at one version.
                let pinned = read.get(&key).unwrap_or(&open);
                Arc::new(DefaultTableSource::new(provider_without(pinned, hidden)))
            };
            sources.insert(key, source);
        }
        patterns::expand(&mut query, &sources)?;
        prepare::prepare(&mut query, &session.settings)?;
        let keeping = functions.have_order().then(|| keeping_order(&state));
        let options = keeping.as_ref().unwrap_or(state.config_options());
        let plan = planner::Planner::new(options, sources, functions).plan(query).map_err(errors::engine)?;
        coerce::coerce(plan).map_err(errors::engine)
    })
}

/// What a query reads that is no table that it names.
async fn sources_given(
    session: &Session,
    target: Option<&OpenTable>,
    parameters: Option<Arc<dyn TableSource>>,
) -> Result<HashMap<TableName, Arc<dyn TableSource>>> {
    let mut sources: HashMap<TableName, Arc<dyn TableSource>> = HashMap::new();
    for (name, source) in &session.cached {
        sources.insert((String::new(), name.clone()), source.clone());
    }
    if let Some(parameters) = parameters {
        sources.insert((String::new(), names::OF_PARAMETERS.to_string()), parameters);
    }
    if let Some(target) = target {
        let (project, table) = name_of(target);
        let hidden = rights::hidden(session, &target.row, &target.row.schema.columns).await?;
        let source = DefaultTableSource::new(provider_of_places(target, hidden));
        sources.insert((project, table + names::TARGET), Arc::new(source));
    }
    Ok(sources)
}

/// The planner drops the order of a subquery, unless it is told that somebody sees it.
fn keeping_order(state: &SessionState) -> ConfigOptions {
    let mut options = ConfigOptions::clone(state.config_options());
    options.sql_parser.enable_subquery_sort_elimination = false;
    options
}

async fn open(session: &Session, project: &str, table: &str, at: Position) -> Result<OpenTable> {
    session.warehouse.catalog().open(project, table).await.map_err(|e| match e.code() {
        "ODPS-0130131" => errors::no_table(at, project, table),
        _ => e,
    })
}

/// The query of a view, planned in the view's own project.
async fn view_source(
    session: &Session,
    state: &SessionState,
    view: &OpenTable,
    depth: usize,
    read: &mut BTreeMap<TableName, OpenTable>,
) -> Result<Arc<dyn TableSource>> {
    let row = &view.row;
    let name = format!("{}.{}", row.project, row.local_name());
    if depth >= MAX_VIEW_DEPTH {
        return Err(errors::semantic(
            Position::UNKNOWN,
            format!("view {name} refers to itself or is nested too deeply"),
        ));
    }
    let resolving = |e: feitian_base::Error| {
        let text = e.message().replacen(" - ", &format!(" - while resolving view {name} - "), 1);
        feitian_base::Error::new(e.kind(), e.code().to_string(), text)
    };
    let text = row.view_text.as_deref().unwrap_or_default();
    let query = parse_query(text).map_err(|e| resolving(errors::front_end(e)))?;
    let inner = session.in_view(row);
    let plan = plan_at(inner, state.clone(), *query, depth + 1, read, Given::Nothing).await.map_err(resolving)?;
    let columns = &row.schema.columns;
    if plan.schema().fields().len() != columns.len() {
        let text = format!("while resolving view {name} - its query has {} columns now", plan.schema().fields().len());
        let detail = format!("{text}, it was created with {}", columns.len());
        return Err(errors::statement_error(Kind::Invalid, "ODPS-0130231", Position::UNKNOWN, "Invalid view", &detail));
    }
    let named = plan.schema().iter().zip(columns);
    let exprs = named.map(|((q, f), c)| Expr::Column(PlanColumn::from((q, f))).alias(&c.name)).collect();
    let plan = Projection::try_new(exprs, Arc::new(plan)).map_err(errors::engine)?;
    let view = ViewTable::new(LogicalPlan::Projection(plan), Some(text.to_string()));
    Ok(Arc::new(DefaultTableSource::new(Arc::new(view))))
}

/// The physical plan of `planned`.
pub(crate) async fn physical_plan(
    session: &Session,
    state: &SessionState,
    planned: &Planned,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = decided_first(&planned.plan).map_err(errors::engine)?;
    let optimized = state.optimize(&plan).map_err(errors::engine)?;
    if !session.settings.allows_full_scan() {
        scans::check(&optimized, &planned.tables)?;
    }
    if !session.settings.allows_cartesian() && !session.has_mapjoin() {
        cartesian::check(&optimized)?;
    }
    let ordered = order::joins(optimized, state).map_err(errors::engine)?;
    let plan = match session.settings.shares_parts() {
        true => shared::physical_plan(ordered, state).await,
        false => state.query_planner().create_physical_plan(&ordered, state).await,
    };
    physical::finish(plan.map_err(errors::engine)?, state.runtime_env()).map_err(errors::engine)
}

/// Starts the plan. Its rows come as they are made; dropping the stream ends the work.
pub(crate) async fn run_plan(session: &Session, state: &SessionState, planned: Planned) -> Result<Rows> {
    let columns = output_columns(&planned.plan)?;
    let plan = gathered(physical_plan(session, state, &planned).await?);
    let stream = again::run(session, state, planned, plan)?;
    let schema = stream.schema();
    let ours = stream.map(|batch| batch.map_err(|e| DataFusionError::External(Box::new(errors::engine(e)))));
    Ok(Rows { columns, stream: Box::pin(RecordBatchStreamAdapter::new(schema, ours)) })
}

/// The plan with one partition. The engine would add the same operator itself, but nobody could read its counters.
pub(super) fn gathered(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match plan.properties().output_partitioning().partition_count() {
        0 | 1 => plan,
        _ => Arc::new(CoalescePartitionsExec::new(plan)),
    }
}

/// Names and types of the result.
pub(crate) fn output_columns(plan: &LogicalPlan) -> Result<Vec<Column>> {
    let fields = plan.schema().fields().iter().enumerate();
    fields.map(|(i, field)| column_of(field, columns::output_name(field.name(), i))).collect()
}

/// The column that a field of a plan makes.
pub(crate) fn column_of(field: &arrow::datatypes::Field, name: String) -> Result<Column> {
    match column_type(field) {
        Some(ty) => Ok(Column::new(name, ty)),
        None => {
            let text = format!("column {name} has a type that no table can hold: {}", field.data_type());
            Err(errors::semantic(Position::UNKNOWN, text))
        }
    }
}

/// Column `index` of a plan as `to`; `None` when the types do not convert into each other without a cast.
pub(crate) fn convert_column(plan: &LogicalPlan, index: usize, to: &Column) -> Result<Option<Expr>> {
    let (qualifier, field) = plan.schema().qualified_field(index);
    let column = Expr::Column(PlanColumn::from((qualifier, field)));
    let from = field.data_type();
    let target = feitian_types::arrow::engine_type(&to.ty);
    if !assignable(from, &target) {
        return Ok(None);
    }
    let sized = to.ty.is_text() && to.ty != feitian_types::DataType::String;
    let converted = if sized && !matches!(from, DataType::Utf8) {
        coerce::convert(column, from, &DataType::Utf8, false)
    } else {
        coerce::convert(column, from, &target, false)
    };
    converted.map(Some).map_err(errors::engine)
}

/// `value`, which is of type `from`, as `to`.
pub(crate) fn convert_value(value: Expr, from: &DataType, to: &DataType) -> Result<Expr> {
    coerce::convert(value, from, to, false).map_err(errors::engine)
}

/// Implicit conversion on INSERT: what only widens, DOUBLE to DECIMAL (MaxCompute documentation, "Type conversion": of the
/// lossy ones only those to BIGINT and from DECIMAL went with the 2.0 types), anything to text, nested types part by part.
pub(super) fn assignable(from: &DataType, to: &DataType) -> bool {
    use feitian_functions::coercion::{is_text, is_time};
    let width = |t: &DataType| match t {
        DataType::Int8 => Some(1),
        DataType::Int16 => Some(2),
        DataType::Int32 => Some(3),
        DataType::Int64 | DataType::UInt64 => Some(4),
        _ => None,
    };
    match (from, to) {
        (DataType::Null, _) => true,
        (f, t) if f.equals_datatype(t) => true,
        (f, t) if width(f).is_some() && width(t).is_some() => width(f) <= width(t),
        (f, DataType::Decimal128(..)) => f.is_numeric(),
        (f, DataType::Float32) => f.is_integer(),
        (f, DataType::Float64) => f.is_numeric(),
        (f, t) if is_text(t) => is_text(f) || f.is_numeric() || is_time(f),
        (DataType::Date32 | DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, Some(_))) => true,
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, None)) => true,
        (DataType::List(f), DataType::List(t)) => assignable(f.data_type(), t.data_type()),
        (DataType::Struct(f), DataType::Struct(t)) => {
            f.len() == t.len() && f.iter().zip(t).all(|(f, t)| assignable(f.data_type(), t.data_type()))
        }
        (DataType::Map(f, _), DataType::Map(t, _)) => assignable(f.data_type(), t.data_type()),
        _ => false,
    }
}

/// The type of column `index` of a plan, as messages show it.
pub(crate) fn type_of_column(plan: &LogicalPlan, index: usize) -> String {
    let field = plan.schema().field(index);
    column_type(field).map_or_else(|| type_name(field.data_type()), |t| t.to_string().to_uppercase())
}
