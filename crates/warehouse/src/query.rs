//! Statements: from the text of a job to what it answers.
//!
//! A query goes: check (nothing that the engine would ignore), `names` (its tables and functions), `user_code` (functions
//! that users registered; `sql_function` for those of SQL), `fold` (functions of the catalog), `travel` (tables as they
//! were), `patterns` (columns by regular expressions), `prepare` (MaxCompute's meaning in the syntax tree, with `columns`,
//! `grouping`, `lambdas` and `subqueries`),
//! `planner` (a logical plan; `casts` for what DataFusion would name otherwise, `lateral`, `rows`, `pivot` and `sets` for
//! tables that it does not know), `coerce` (types), DataFusion's optimizer with `pushdown` (filters do not take one column
//! for another), `scans` (no full scan of a partitioned table), `cartesian` (no join without an equality), `order` (of
//! joins), `shared` (what stands there twice is computed once), `kept` (how hash joins keep rows), `rising` (groups in the
//! order of rows), `late` (which columns a scan reads first), `physical` (pauses in joins), execution, and once more where
//! memory is too little for it (`again`). `settings` are the flags of the session, `hive` what one of them allows, `errors`
//! the words of the original, `condition` a filter without a query.
//!
//! Statements that change something are in `insert`, `dml` and `ddl`, those that describe in `show`; `script` lets the INSERTs
//! of a script, and a change of rows before them, take effect together, and `program` runs scripts that ask on their way.

mod again;
mod cartesian;
mod casts;
mod cheap;
mod coerce;
mod columns;
mod condition;
mod constants;
pub(crate) mod errors;
mod fold;
mod grouping;
pub(crate) mod hints;
mod hive;
mod kept;
mod lambdas;
mod late;
mod lateral;
pub(crate) mod names;
mod order;
mod patterns;
mod physical;
mod pivot;
mod planner;
mod prepare;
mod program;
mod pushdown;
pub(crate) mod rights;
mod rising;
mod rows;
mod scans;
mod script;
mod select;
mod sets;
pub(crate) mod settings;
pub(crate) mod shared;
mod sorted;
pub(crate) mod sql_function;
mod subqueries;
mod tasks;
mod travel;
mod unsorted;
pub(crate) mod user_code;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{ScalarUDF, TableSource};
use feitian_base::{Error, Result, clock};
use feitian_functions::FunctionOptions;
use feitian_meta::{Function, Instance, Step, Table};
use feitian_sql::{Position, Script, SqlError, Statement, parse_script};
use feitian_udf::Crew;

use crate::Warehouse;
use crate::jobs::{JobContext, JobOutput, Progress};

pub(crate) use condition::{Condition, RowFilter};
pub(crate) use fold::asks_metadata;
use script::Together;
pub(crate) use select::{
    Pinned, Planned, Rows, convert_column, convert_value, output_columns, physical_plan, plan_change, plan_pinned,
    plan_query, run_plan, type_of_column,
};
use settings::Settings;

/// What the statements of one job share.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) warehouse: Warehouse,
    pub(crate) instance: Instance,
    pub(crate) settings: Settings,
    pub(crate) progress: Arc<Progress>,
    /// The processes of the job's user code.
    crew: Arc<Crew>,
    /// The project of names without one: the instance's, until USE.
    project: String,
    /// The schema of names without one: `odps.default.schema`, until USE SCHEMA.
    schema: String,
    /// What GETDATE returns.
    statement_ms: i64,
    /// Project and owner of the view whose query is being planned.
    view: Option<(String, String)>,
    /// The functions that the text has made for itself.
    functions: BTreeMap<String, Function>,
    /// The values that the text has computed, by the names of the functions that give them.
    values: BTreeMap<String, Arc<ScalarUDF>>,
    /// The rows that it has kept, by the names of their tables.
    cached: BTreeMap<String, Arc<dyn TableSource>>,
}

impl Session {
    /// The project of names without one.
    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    /// The schema of names without one.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The same session where names without project and schema mean these.
    pub(crate) fn in_schema(&self, project: &str, schema: &str) -> Self {
        Self { project: project.to_string(), schema: schema.to_string(), ..self.clone() }
    }

    /// The session in which the query of this view is planned.
    pub(crate) fn in_view(&self, view: &Table) -> Self {
        let inner = self.in_schema(&view.project, &view.schema_name).lasting();
        Self { view: Some((view.project.clone(), view.owner.clone())), ..inner }
    }

    /// The session in which the body of this function is planned. It reads with the rights of the job's account alone:
    /// whoever may change the function is not whoever owns a view that calls it.
    pub(crate) fn in_function(&self, function: &Function) -> Self {
        let inner = match self.functions.get(&function.at.name) == Some(function) {
            true => self.clone(),
            false => self.in_schema(&function.at.project, &function.at.schema_name).lasting(),
        };
        Self { view: None, ..inner }
    }

    /// Whether the text has made a function of this name.
    pub(crate) fn has_temporary(&self, name: &str) -> bool {
        self.functions.contains_key(name)
    }

    pub(crate) fn add_temporary(&mut self, function: Function) {
        self.functions.insert(function.at.name.clone(), function);
    }

    /// The same session without the functions of the text, which what lasts longer than it may not call.
    pub(crate) fn lasting(self) -> Self {
        Self { functions: BTreeMap::new(), ..self }
    }

    /// The same session with the rights of another account, to ask what that may read.
    pub(crate) fn of_account(&self, owner: &str) -> Self {
        let instance = Instance { owner: owner.to_string(), ..self.instance.clone() };
        Self { instance, ..self.clone() }
    }

    /// How statement `index` of this attempt takes effect.
    pub(crate) fn step(&self, index: i64) -> Step {
        Step::Instance { id: self.instance.id.clone(), attempt: self.instance.attempt, step: index }
    }

    /// What GETDATE returns, in milliseconds since 1970-01-01 UTC.
    pub(crate) fn statement_ms(&self) -> i64 {
        self.statement_ms
    }

    /// Whether the text has a MAPJOIN hint, wherever in it.
    fn has_mapjoin(&self) -> bool {
        let text = self.instance.query.to_ascii_lowercase();
        text.split("/*+").skip(1).any(|rest| rest.split("*/").next().is_some_and(|hint| hint.contains("mapjoin")))
    }

    /// An engine session with the flags of this one.
    pub(crate) fn state(&self) -> Result<SessionState> {
        let state = self.warehouse.engine.session(&Default::default())?;
        let mut options = FunctionOptions::default();
        options.time_zone = self.settings.time_zone()?;
        options.strict = self.settings.is_strict();
        options.statement_ms = u64::try_from(self.statement_ms).unwrap_or(0);
        options.seed = seed(&self.instance.id);
        let mut config = state.config().clone();
        config.options_mut().execution.time_zone = Some(options.time_zone.clone());
        config.options_mut().extensions.insert(options);
        // Which side of a join is kept in memory is chosen with its order.
        config.options_mut().optimizer.join_reordering = false;
        // UNION and INTERSECT make a column that is never NULL in a plan one that may be when it runs. It may not the other
        // way round, and what the types are is seen to before.
        config.options_mut().execution.skip_physical_aggregate_schema_check = true;
        // The engine's groups of the few greatest keys take NaN for a new one each time, and lose the greatest.
        config.options_mut().optimizer.enable_topk_aggregation = false;
        // What MIN or MAX of one column has found leaves out files that another one beside it needs: one of an expression, or
        // one that has seen NULLs only.
        config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        let mut rules = pushdown::guarded(state.physical_optimizers());
        rules.insert(0, Arc::new(kept::OneTable));
        rules.insert(0, Arc::new(user_code::InOrder));
        sorted::add(&mut rules);
        rules.push(Arc::new(unsorted::Unsorted));
        rules.push(Arc::new(kept::NoWaiting));
        rules.push(Arc::new(cheap::CheapFirst));
        if self.settings.has_ordered_groups() {
            rules.push(Arc::new(rising::OrderedGroups { all: self.settings.forces_ordered_groups() }));
        }
        if self.settings.has_late_scans() {
            rules.push(Arc::new(late::LateScans { all: self.settings.forces_late_scans() }));
        }
        let builder = SessionStateBuilder::new_from_existing(state.clone()).with_config(config);
        let builder = builder.with_optimizer_rules(constants::kept_above(state.optimizers()));
        let state = builder.with_physical_optimizer_rules(rules).build();
        let memory = self.warehouse.config.memory_per_instance;
        Ok(if self.settings.sorts_joins() { again::sorting(state, memory) } else { state })
    }
}

/// A number that is the same for every attempt of an instance.
fn seed(instance_id: &str) -> u64 {
    instance_id.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Runs the statements of an instance that have not taken effect yet; the output is the last one's.
pub(crate) async fn run(ctx: &JobContext) -> Result<JobOutput> {
    let warehouse = ctx.warehouse.clone();
    let project = warehouse.meta().project(&ctx.instance.project).await?;
    let zone = &warehouse.config.default_project_timezone;
    let settings = Settings::of(project.as_ref(), &ctx.instance, zone);
    let mut session = Session {
        schema: settings.default_schema(),
        settings,
        instance: ctx.instance.clone(),
        progress: ctx.progress.clone(),
        crew: ctx.crew.clone(),
        project: ctx.instance.project.clone(),
        statement_ms: clock::now_ms(),
        view: None,
        functions: BTreeMap::new(),
        values: BTreeMap::new(),
        cached: BTreeMap::new(),
        warehouse,
    };
    match ctx.instance.task_type.to_ascii_uppercase().as_str() {
        "SQL" => run_script(&mut session).await,
        "SQLCOST" => tasks::cost(&mut session).await,
        "MERGE" => tasks::merge(&session).await,
        // An interactive session holds nothing: its queries are jobs of their own.
        "SQLRT" => Ok(JobOutput::Text(String::new())),
        other => Err(crate::unsupported(format!("a task of type {other}"))),
    }
}

/// The text; its leading SETs are in the session's flags.
fn parse(session: &mut Session) -> Result<Script> {
    let script = parse_script(&session.instance.query).map_err(errors::front_end)?;
    for (key, value) in &script.settings {
        session.settings.set(key, value);
    }
    session.schema = session.settings.default_schema();
    Ok(script)
}

fn second_query(at: Position) -> Error {
    errors::semantic(at, "only one SELECT of a text can give its rows, this is the second")
}

async fn run_script(session: &mut Session) -> Result<JobOutput> {
    let script = parse(session)?;
    // Of branches one is taken.
    if script.control.is_none() {
        let mut queries = script.statements.iter().filter(|s| s.statement.is_query());
        if let (Some(_), Some(second)) = (queries.next(), queries.next()) {
            return Err(second_query(second.position));
        }
    }
    if script.computes {
        return program::run(session, &script).await;
    }
    let mut statements = script.statements;
    let together = script::gather(session, &mut statements)?;
    let mut output = JobOutput::Text(String::new());
    for (index, parsed) in statements.into_iter().enumerate() {
        let index = index as i64;
        let together = together.as_ref().filter(|together| together.index == index);
        step(session, parsed.statement, index, together, &mut output).await?;
    }
    Ok(output)
}

/// Runs a statement unless it has taken effect. `together` is there if it is all INSERTs of a script.
async fn step(
    session: &mut Session,
    statement: Statement,
    index: i64,
    together: Option<&Together>,
    output: &mut JobOutput,
) -> Result<()> {
    session.statement_ms = clock::now_ms();
    session.progress.begin_step(index);
    match statement {
        Statement::Set { key, value } => {
            session.settings.set(&key, &value);
            if key == "odps.default.schema" {
                session.schema = session.settings.default_schema();
            }
        }
        Statement::Use { name, schema: false } => use_project(session, &name).await?,
        Statement::Use { name, schema: true } => use_schema(session, &name).await?,
        // It changes nothing, so that it can run again for its rows.
        Statement::Query(query) => *output = query_rows(session, *query).await?,
        statement if statement.is_temporary() => crate::ddl::make_temporary(session, statement).await?,
        _ if index < session.instance.step => {}
        // It waits for the last INSERT of its script.
        Statement::MultiInsert(inserts) if inserts.is_empty() => {}
        statement => {
            let text = match together {
                Some(together) => together.run(session, &statement, index).await?,
                None => run_statement(session, statement, index).await?,
            };
            // Rows of an earlier query stay the answer of a text that goes on with statements without one.
            if matches!(output, JobOutput::Text(_)) {
                *output = JobOutput::Text(text);
            }
        }
    }
    Ok(())
}

async fn query_rows(session: &Session, query: sqlparser::ast::Query) -> Result<JobOutput> {
    session.settings.refuse_modes()?;
    let state = session.state()?;
    let planned = plan_query(session, &state, query).await?;
    let Rows { columns, stream } = run_plan(session, &state, planned).await?;
    Ok(JobOutput::Rows { columns, rows: stream })
}

async fn use_project(session: &mut Session, name: &sqlparser::ast::ObjectName) -> Result<()> {
    let project = feitian_sql::object_parts(name).concat();
    rights::enter(session, &project).await?;
    (session.project, session.schema) = (project, feitian_meta::DEFAULT_SCHEMA.to_string());
    Ok(())
}

/// `USE SCHEMA s`: for the rest of the text.
async fn use_schema(session: &mut Session, name: &sqlparser::ast::ObjectName) -> Result<()> {
    let at = names::schema_of(session, name)?;
    rights::enter(session, &at.project).await?;
    names::check_schema_exists(session, &at).await?;
    (session.project, session.schema) = (at.project, at.name);
    Ok(())
}

/// A statement that answers with text; most answer with none.
async fn run_statement(session: &Session, statement: Statement, index: i64) -> Result<String> {
    crate::system::refuse_change(session, &statement).await?;
    let nothing = |()| String::new();
    match statement {
        Statement::Insert(insert) => crate::insert::run(session, &[*insert], index).await.map(nothing),
        Statement::MultiInsert(inserts) => crate::insert::run(session, &inserts, index).await.map(nothing),
        Statement::Dml(dml) => crate::dml::run(session, &dml, index).await.map(nothing),
        Statement::CreateTable(create) => crate::ddl::create_table(session, *create, index).await.map(nothing),
        Statement::CreateExternal(create) => crate::external::create(session, *create, index).await.map(nothing),
        Statement::Load(load) => crate::external::load(session, *load, index).await.map(nothing),
        Statement::Unload(unload) => crate::external::unload(session, *unload, index).await.map(nothing),
        Statement::Repair(repair) => crate::external::repair(session, repair, index).await.map(nothing),
        Statement::CreateView(create) => crate::ddl::create_view(session, *create, index).await.map(nothing),
        Statement::CreateMaterialized(create) => {
            crate::materialized::create(session, *create, index).await.map(nothing)
        }
        Statement::DropTable(drop) => crate::ddl::drop_table(session, drop, index).await.map(nothing),
        Statement::AlterTable(alter) => crate::ddl::alter_table(session, *alter, index).await.map(nothing),
        Statement::Truncate(truncate) => crate::ddl::truncate(session, truncate, index).await.map(nothing),
        Statement::CloneTable(clone) => crate::ddl::clone_table(session, clone, index).await.map(nothing),
        Statement::RestoreTable(restore) => crate::ddl::restore_table(session, restore, index).await.map(nothing),
        Statement::ShowTables { scope, like, listed } => {
            crate::show::tables(session, scope.as_ref(), like.as_deref(), listed).await
        }
        Statement::ShowPartitions { table, partition } => {
            crate::show::partitions(session, &table, partition.as_ref()).await
        }
        Statement::ShowCreateTable { table } => crate::show::create_table(session, &table).await,
        Statement::ShowHistory { table } => crate::show::history(session, &table).await,
        Statement::ShowSchemas { project } => crate::show::schemas(session, project.as_ref()).await,
        Statement::Desc { table, extended, partition } => {
            crate::show::desc(session, &table, extended, partition.as_ref()).await
        }
        Statement::Explain { statement, .. } => tasks::explain(session, *statement).await,
        Statement::CreateSchema { if_not_exists, name, comment } => {
            crate::ddl::create_schema(session, &name, comment, if_not_exists, index).await.map(nothing)
        }
        Statement::DropSchema { if_exists, name } => {
            crate::ddl::drop_schema(session, &name, if_exists, index).await.map(nothing)
        }
        Statement::DescSchema { name } => crate::show::schema(session, &name).await,
        Statement::CreateFunction { .. }
        | Statement::CreateSqlFunction(_)
        | Statement::DropFunction { .. }
        | Statement::DropResource { .. }
        | Statement::ShowFunctions { .. }
        | Statement::ListResources
        | Statement::DescFunction { .. }
        | Statement::DescResource { .. } => run_registry(session, statement, index).await,
        Statement::ShowJobs { from, to, limit } => {
            crate::show::jobs(session, from.as_deref(), to.as_deref(), limit).await
        }
        Statement::JobStatus { id } => crate::show::job_status(session, &id).await,
        Statement::KillJob { id } => crate::show::kill(session, &id).await,
        Statement::DescribeJob { id } => crate::show::job(session, &id).await,
        Statement::ShowFlags { project } => crate::show::flags(session, project).await,
        Statement::Statistic { show, table, partition, columns } => {
            crate::show::statistic(session, &table, partition.as_ref(), &columns, show).await
        }
        Statement::Security(statement) => crate::security::statement(session, *statement, index).await,
        Statement::Unsupported { what, position } => Err(errors::front_end(SqlError::unsupported(position, what))),
        Statement::Query(_) | Statement::Set { .. } | Statement::Use { .. } => {
            Err(Error::internal("a statement that has been handled"))
        }
    }
}

/// The same for functions that users register, and their resources.
async fn run_registry(session: &Session, statement: Statement, index: i64) -> Result<String> {
    let nothing = |()| String::new();
    match statement {
        Statement::CreateFunction { name, class, resources, .. } => {
            crate::ddl::create_function(session, &name, class, &resources, index).await.map(nothing)
        }
        Statement::CreateSqlFunction(create) => {
            crate::ddl::create_sql_function(session, *create, index).await.map(nothing)
        }
        Statement::DropFunction { if_exists, name } => {
            crate::ddl::drop_function(session, &name, if_exists, index).await.map(nothing)
        }
        Statement::DropResource { if_exists, name } => {
            crate::ddl::drop_resource(session, &name, if_exists, index).await.map(nothing)
        }
        Statement::ShowFunctions { scope, like } => {
            crate::show::functions(session, scope.as_ref(), like.as_deref()).await
        }
        Statement::ListResources => crate::show::resources(session).await,
        Statement::DescFunction { name } => crate::show::desc_function(session, &name).await,
        Statement::DescResource { name } => crate::show::desc_resource(session, &name).await,
        _ => Err(Error::internal("no statement of the registry")),
    }
}
