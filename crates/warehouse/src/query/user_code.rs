//! Functions of users in queries: found by name, loaded with their resources, called in processes of their own.
//!
//! What a class says of itself is asked of the class, in its process, before the query is planned; it is remembered by the
//! files that the class is made of, which never change.

mod aggregate;
mod decided;
mod distinct;
mod lookup;
mod table;

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::new_empty_array;
use arrow::datatypes::{DataType, FieldRef};
use bytes::Bytes;
use chrono_tz::Tz;
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use feitian_base::{Error, Result};
use feitian_functions::coercion::type_name;
use feitian_functions::{FunctionError, parse_zone, registry};
use feitian_meta::{ALIASES_SETTING, Claim, Function as Registered, ObjectName, Resource as ResourceRow, Target};
use feitian_sql::{Position, SqlError, lift_table_function, object_parts};
use feitian_types::arrow::{column_type, engine_type, nearest_type};
use feitian_udf::{Call, Code, Kind, Pool, Resource, supported};
use futures::TryStreamExt;
use parking_lot::Mutex;
use sqlparser::ast::{Expr, Query, Select, SelectItem, Spanned, VisitMut, VisitorMut};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::errors::{front_end, semantic};
use super::hints;
use super::names::{self, OF_A_USER, UnknownCall};
use super::select::assignable;
use super::{Session, errors, rights, sql_function};

pub(super) use decided::decided_first;
pub(super) use table::InOrder;

/// The resources of all functions that an instance uses lie in memory meanwhile.
const MAX_RESOURCE_BYTES: u64 = 256 << 20;
/// More classes than one would use in a day; then all are asked again.
const MAX_REMEMBERED: usize = 1024;

/// What classes said of themselves, by the files that they are made of.
#[derive(Default)]
pub(crate) struct Signatures(Mutex<HashMap<String, feitian_udf::Signature>>);

/// The functions of users that one query calls, by the names that it calls them.
#[derive(Debug, Clone, Default)]
pub(super) struct UserFunctions {
    classes: HashMap<String, Arc<UserFunction>>,
    /// Those that are a text of SQL.
    texts: HashMap<String, Arc<ScalarUDF>>,
}

/// The query that calls functions.
pub(super) struct Around<'a> {
    pub(super) session: &'a Session,
    pub(super) state: &'a SessionState,
    /// How many views and functions the query stands in.
    pub(super) depth: usize,
}

impl UserFunctions {
    /// The function as the planner wants it.
    pub(super) fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if let Some(function) = name.strip_prefix(OF_A_USER).and_then(|name| self.texts.get(name)) {
            return Some(function.clone());
        }
        let function = self.planned(name).filter(|f| f.signature.kind != Kind::Aggregate)?.clone();
        let signature = Signature::user_defined(Volatility::Volatile);
        Some(Arc::new(ScalarUDF::from(UserCall { function, signature })))
    }

    /// The aggregate function as the planner wants it.
    pub(super) fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let function = self.planned(name).filter(|f| f.signature.kind == Kind::Aggregate)?;
        Some(Arc::new(aggregate::udaf(function.clone())))
    }

    /// The function that has this name in the syntax tree.
    fn planned(&self, name: &str) -> Option<&Arc<UserFunction>> {
        self.classes.get(name.strip_prefix(OF_A_USER)?)
    }

    /// Moves table functions of users that stand alone in SELECT lists to FROM, as the parser does with ours.
    pub(super) async fn lift(&mut self, query: &mut Query, around: &Around<'_>) -> Result<()> {
        let mut alone = Alone::default();
        let _ = query.visit(&mut alone);
        for (name, at) in alone.0 {
            if names::registered(around.session, &name).await?.is_some() {
                self.kind(around, &name, at).await?;
            }
        }
        let is_one = |name: &str| self.classes.get(name).is_some_and(|f| f.signature.kind == Kind::Table);
        if !self.have_order() {
            return Ok(());
        }
        match query.visit(&mut Lift(&is_one)) {
            ControlFlow::Break(e) => Err(e),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Whether one of them sees the order of its rows.
    pub(super) fn have_order(&self) -> bool {
        self.classes.values().any(|f| f.signature.kind == Kind::Table)
    }

    /// Finds and loads the functions of `calls`.
    ///
    /// # Errors
    /// `ODPS-0130071` for one that nobody registered, or that does not stand where its kind may stand.
    pub(super) async fn load(&mut self, around: &Around<'_>, calls: Vec<UnknownCall>) -> Result<()> {
        for call in calls {
            let kind = self.kind(around, &call.name, call.at).await?;
            check_place(&call, kind)?;
        }
        Ok(())
    }

    /// What the function `name` is, which is found and loaded unless it is known.
    async fn kind(&mut self, around: &Around<'_>, name: &str, at: Position) -> Result<Kind> {
        if let Some(function) = self.classes.get(name) {
            return Ok(function.signature.kind);
        }
        if self.texts.contains_key(name) {
            return Ok(Kind::Scalar);
        }
        let Around { session, state, depth } = around;
        if let Some(value) = session.values.get(name) {
            self.texts.insert(name.to_string(), value.clone());
            return Ok(Kind::Scalar);
        }
        let Some(row) = names::registered(session, name).await? else {
            let near = hints::did_you_mean(name, registry().names());
            return Err(semantic(at, format!("function or view '{name}' cannot be resolved{near}")));
        };
        if row.sql.is_some() {
            let function = sql_function::load(session, state, &row, at, *depth).await?;
            self.texts.insert(name.to_string(), Arc::new(function));
            return Ok(Kind::Scalar);
        }
        let function = find(session, row, name, at).await?;
        let kind = function.signature.kind;
        self.classes.insert(name.to_string(), Arc::new(function));
        Ok(kind)
    }
}

/// Functions that are not ours and the only item of a SELECT list.
#[derive(Default)]
struct Alone(Vec<(String, Position)>);

impl VisitorMut for Alone {
    type Break = Infallible;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Infallible> {
        let [
            SelectItem::UnnamedExpr(Expr::Function(call))
            | SelectItem::ExprWithAlias { expr: Expr::Function(call), .. }
            | SelectItem::ExprWithAliases { expr: Expr::Function(call), .. },
        ] = select.projection.as_slice()
        else {
            return ControlFlow::Continue(());
        };
        let name = object_parts(&call.name).join(".");
        if !names::is_ours(&name) {
            self.0.push((name, call.name.span().into()));
        }
        ControlFlow::Continue(())
    }
}

struct Lift<'a>(&'a dyn Fn(&str) -> bool);

impl VisitorMut for Lift<'_> {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match lift_table_function(select, self.0) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(front_end(e)),
        }
    }
}

fn check_place(call: &UnknownCall, kind: Kind) -> Result<()> {
    let UnknownCall { name, at, in_from, clause } = call;
    match (kind, in_from) {
        (Kind::Aggregate, false) => match clause {
            Some(names::DISTINCT) => Ok(()),
            Some(clause) => {
                Err(front_end(SqlError::unsupported(*at, format!("{clause} with {name}, which is a BaseUDAF,"))))
            }
            None => Ok(()),
        },
        (Kind::Scalar | Kind::Aggregate, true) => {
            Err(semantic(*at, format!("function '{name}' is not a table function")))
        }
        (Kind::Table, false) => {
            let places = "in LATERAL VIEW or alone in a SELECT list";
            Err(semantic(*at, format!("table function {name} can only stand {places}")))
        }
        _ => match clause {
            Some(clause) => {
                Err(semantic(*at, format!("{clause} is for aggregates and windows, and function {name} is neither")))
            }
            None => Ok(()),
        },
    }
}

/// The function `name`, with its class asked for its signature.
async fn find(session: &Session, row: Registered, name: &str, at: Position) -> Result<UserFunction> {
    // Code that is written for Python 2 means something else.
    if let Some(version) = session.settings.get("odps.sql.python.version").filter(|v| !v.starts_with("cp3")) {
        let what = format!("to run {name} with odps.sql.python.version={version}");
        return Err(front_end(SqlError::unsupported(at, what)));
    }
    let (module, class) = row.class_type.rsplit_once('.').unwrap_or(("", row.class_type.as_str()));
    let rows = resources(session, &row, at).await?;
    let is_python = rows.iter().any(|r| r.kind == "py" && r.at.name == format!("{module}.py"));
    if let Some(other) = rows.iter().find(|r| !matches!(r.kind.as_str(), "py" | "file" | "archive" | "table")) {
        let what = format!("to run {name} with its resource {} of type {}", other.at.name, other.kind);
        return Err(front_end(SqlError::unsupported(at, what)));
    }
    if !is_python {
        let what =
            format!("to run {name}, which a user registered for {} without a resource {module}.py,", row.class_type);
        return Err(front_end(SqlError::unsupported(at, what)));
    }
    let key = rows.iter().fold(row.class_type.clone(), |key, r| format!("{key}\n{} {} {}", r.path, r.kind, r.at.name));
    let zone = parse_zone(&session.settings.time_zone()?).map_err(|e| errors::engine(e.into()))?;
    let code = Code {
        name: name.to_string(),
        module: module.to_string(),
        class: class.to_string(),
        resources: contents(session, rows, zone, at, name).await?,
    };
    let settings = Arc::new(session.warehouse.config.user_code.clone());
    let pool = Pool::new(settings, session.crew.clone(), code);
    let remembered = &session.warehouse.signatures.0;
    let known = remembered.lock().get(&key).cloned();
    let signature = match known {
        Some(signature) => signature,
        None => {
            let signature = blocking(|| pool.signature()).map_err(|e| errors::moved(e, at))?;
            let mut remembered = remembered.lock();
            if remembered.len() >= MAX_REMEMBERED {
                remembered.clear();
            }
            remembered.insert(key, signature.clone());
            signature
        }
    };
    Ok(UserFunction { pool, signature, zone })
}

/// The resources that stand for others in this job, by the names of those. The query of a view reads with the rights of its
/// owner: whoever asks brings no code into it.
fn aliases(session: &Session) -> HashMap<String, String> {
    if session.view.is_some() {
        return HashMap::new();
    }
    // The job's own settings are asked, because a SET in its text is no alias.
    let settings: serde_json::Value = serde_json::from_str(&session.instance.settings).unwrap_or_default();
    let object = settings.get(ALIASES_SETTING).and_then(serde_json::Value::as_str).unwrap_or_default();
    serde_json::from_str(object).unwrap_or_default()
}

/// The rows of the function's resources, or of those that stand for them, under the names that its code asks for.
async fn resources(session: &Session, function: &Registered, at: Position) -> Result<Vec<ResourceRow>> {
    let aliases = aliases(session);
    let mut rows = Vec::with_capacity(function.resources.len());
    for known in &function.resources {
        let stands_for = aliases.get(&known.name).map(|other| ObjectName { name: other.clone(), ..known.clone() });
        let name = stands_for.as_ref().unwrap_or(known);
        // In another project whoever may register functions there may read what they read.
        if name.project != function.at.project {
            rights::check_project(session, &name.project, "Write").await?;
        }
        // Whoever may call a function may have it read what its maker gave it, and nothing else.
        let claim = if stands_for.is_some() { Claim::Nothing } else { Claim::Anybody };
        let target = Target::resource(name);
        if stands_for.is_some() && rights::token_scope(session).is_some() {
            let why = ", which is an alias; the job came with a bearer token, whose policy nobody asked about it";
            return Err(rights::denied("odps:Read", target.name(), why, at));
        }
        rights::check(session, &name.project, &[("Read", target)], claim).await?;
        let Some(row) = session.warehouse.meta().resource(name).await? else {
            let text = match &stands_for {
                None => format!("resource {} of function {} is not there any more", name.name, function.at.name),
                Some(other) => format!("there is no resource {} to stand for {}", other.name, known.name),
            };
            return Err(semantic(at, text));
        };
        rows.push(ResourceRow { at: known.clone(), ..row });
    }
    Ok(rows)
}

async fn contents(
    session: &Session,
    rows: Vec<ResourceRow>,
    zone: Tz,
    at: Position,
    name: &str,
) -> Result<Vec<Resource>> {
    let sizes = rows.iter().map(|r| r.num_bytes.unsigned_abs());
    let mut held = sizes.fold(session.crew.held(), u64::saturating_add);
    if held > MAX_RESOURCE_BYTES {
        let what =
            format!("to run {name} with more than {} MiB of resources in one statement", MAX_RESOURCE_BYTES >> 20);
        return Err(front_end(SqlError::unsupported(at, what)));
    }
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        if row.kind == "table" {
            let room = MAX_RESOURCE_BYTES.saturating_sub(held);
            let content = lookup::content(session, &row, zone, room, (name, at)).await?;
            held += content.len() as u64;
            found.push(Resource { name: row.at.name, kind: row.kind, content });
            continue;
        }
        let size = row.num_bytes.unsigned_abs();
        let pieces: Vec<Bytes> = session.warehouse.read_resource(&row, 0..size).await?.try_collect().await?;
        found.push(Resource { name: row.at.name, kind: row.kind, content: pieces.concat().into() });
    }
    Ok(found)
}

/// Lets the other work of this thread go on elsewhere while `work` waits for a process.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// A function of a user that a query calls.
#[derive(Debug)]
pub(super) struct UserFunction {
    pool: Pool,
    signature: feitian_udf::Signature,
    zone: Tz,
}

impl UserFunction {
    /// What a call makes: of a table function the list of its rows.
    fn result(&self) -> feitian_types::DataType {
        use feitian_types::DataType as T;
        let returns = &self.signature.returns;
        if self.signature.kind == Kind::Table {
            let fields = returns.iter().enumerate().map(|(i, ty)| (column_name(i), ty.clone()));
            return T::Array(Box::new(T::Struct(fields.collect())));
        }
        // A signature has a result; `Signature::parse` sees to it.
        returns.first().cloned().unwrap_or(T::String)
    }

    /// The types that arguments of `types` get.
    fn wanted(&self, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
        let (name, signature) = (self.pool.name(), &self.signature);
        let count = signature.arguments.len();
        if types.len() < count || (types.len() > count && !signature.rest) {
            let needs = if signature.rest { format!("at least {count}") } else { count.to_string() };
            return Err(FunctionError::arity(name, &needs, types.len()));
        }
        if types.is_empty() && signature.kind == Kind::Aggregate {
            // The engine says of such a call neither which rows nor how many there are.
            return Err(FunctionError::unsupported(format!("a BaseUDAF without arguments ({name}) is not supported")));
        }
        let wanted = types.iter().enumerate().map(|(i, from)| match signature.arguments.get(i) {
            Some(to) if assignable(from, &engine_type(to)) => Ok(engine_type(to)),
            Some(to) => {
                let expects = to.to_string().to_uppercase();
                Err(FunctionError::argument_type(name, i + 1, &type_name(from), &expects))
            }
            None => match nearest_type(from) {
                Some(ty) if supported(&ty).is_ok() => Ok(engine_type(&ty)),
                _ => Err(FunctionError::unsupported(format!("user code with {} is not supported", type_name(from)))),
            },
        });
        wanted.collect()
    }

    /// A call with arguments of `fields`.
    fn call_of(&self, fields: &[FieldRef]) -> Call {
        let types = fields.iter().enumerate().map(|(i, field)| self.argument(i, field)).collect();
        Call::new(types, self.result(), self.zone)
    }

    /// The type of argument `i` as the process knows it.
    fn argument(&self, i: usize, field: &FieldRef) -> feitian_types::DataType {
        let declared = self.signature.arguments.get(i).cloned();
        declared.or_else(|| column_type(field)).unwrap_or(feitian_types::DataType::String)
    }
}

/// What the columns of a table function are called that AS does not name.
fn column_name(i: usize) -> String {
    format!("c{i}")
}

/// The names of the columns that the table function `udf` makes; `None` if it is none of a user.
pub(super) fn table_columns(udf: &ScalarUDF) -> Option<Vec<String>> {
    let call = udf.inner().downcast_ref::<UserCall>()?;
    let signature = &call.function.signature;
    (signature.kind == Kind::Table).then(|| (0..signature.returns.len()).map(column_name).collect())
}

/// A [`UserFunction`] as DataFusion wants it.
#[derive(Debug)]
struct UserCall {
    function: Arc<UserFunction>,
    signature: Signature,
}

impl PartialEq for UserCall {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function)
    }
}

impl Eq for UserCall {}

impl Hash for UserCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.pool.name().hash(state);
    }
}

impl ScalarUDFImpl for UserCall {
    fn name(&self) -> &str {
        self.function.pool.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Errors wait for `return_type`: the planner turns those of this function into words of its own.
    fn coerce_types(&self, types: &[DataType]) -> PlanResult<Vec<DataType>> {
        Ok(self.function.wanted(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> PlanResult<DataType> {
        self.function.wanted(types)?;
        Ok(engine_type(&self.function.result()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let rows = args.number_rows;
        if rows == 0 {
            return Ok(ColumnarValue::Array(new_empty_array(args.return_field.data_type())));
        }
        let columns = args.args.iter().map(|arg| arg.to_array(rows)).collect::<PlanResult<Vec<_>>>()?;
        let function = &self.function;
        if function.signature.kind == Kind::Table {
            // `InOrder` has taken it out of every projection; here it would lose its order and its end.
            return Err(external(Error::internal(format!("table function {} is called row by row", self.name()))));
        }
        let call = function.call_of(&args.arg_fields);
        let array = blocking(|| function.pool.call(&call, &columns, rows)).map_err(external)?;
        Ok(ColumnarValue::Array(array))
    }
}

fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}
