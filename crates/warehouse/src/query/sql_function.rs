//! SQL functions: the expression that a user registered takes the place of the calls.
//!
//! A body is planned over a table of the parameters, where its function was made: its names mean what they mean there, and
//! none of them is taken for a column of the caller. `coerce` puts the arguments, as values of the parameters' types, where
//! the body has those columns.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Diagnostic, Location, Result as PlanResult, ScalarValue, Span};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalTableSource, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use feitian_base::{Error, Result};
use feitian_functions::coercion::type_name;
use feitian_functions::{Cast, FunctionError};
use feitian_meta::Function as Registered;
use feitian_sql::{PARAMETERS, Position, SqlError, SqlFunction, parse_sql_function};
use feitian_types::Column;
use feitian_types::arrow::{engine_field, engine_type};

use super::errors::{engine, front_end, semantic};
use super::select::{assignable, plan_body};
use super::{Session, coerce};

/// Functions may call each other this deep.
const MAX_DEPTH: usize = 32;

/// A call may become an expression of so many parts.
const MAX_PARTS: usize = 20_000;

/// What a call becomes may be this high: whoever copies or drops it recurses.
const MAX_HEIGHT: usize = 1000;

/// A SQL function that a query calls.
#[derive(Debug)]
pub(super) struct SqlCall {
    /// Project, schema and name.
    id: [String; 3],
    /// Where the query calls it first.
    at: Position,
    parameters: Vec<Parameter>,
    body: Expr,
    size: Size,
    has_lambda: bool,
    returns: DataType,
    signature: Signature,
}

#[derive(Debug)]
struct Parameter {
    column: Column,
    default: Option<Expr>,
    /// How often the body has it.
    uses: usize,
}

#[derive(Debug, Clone, Copy)]
struct Size {
    parts: usize,
    height: usize,
}

fn size(e: &Expr) -> PlanResult<Size> {
    let mut whole = Size { parts: 1, height: 1 };
    e.apply_children(|child| {
        let part = size(child)?;
        whole.parts += part.parts;
        whole.height = whole.height.max(part.height + 1);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(whole)
}

/// The name of the parameter that `e` is.
fn parameter(e: &Expr) -> Option<&str> {
    match e {
        Expr::Column(column) => {
            let table = column.relation.as_ref()?.table();
            (table == PARAMETERS).then_some(column.name.as_str())
        }
        _ => None,
    }
}

/// The registered function as a query calls it at `at`. `depth` is how many views and functions are around the query.
pub(super) async fn load(
    session: &Session,
    state: &SessionState,
    row: &Registered,
    at: Position,
    depth: usize,
) -> Result<ScalarUDF> {
    let name = &row.at.name;
    if depth >= MAX_DEPTH {
        let detail = format!("function {name} calls itself, or functions are nested deeper than {MAX_DEPTH}");
        return Err(semantic(at, detail));
    }
    // Places are those in the text of the function.
    let resolving = |e: Error| {
        let text = e.message().replacen(" - ", &format!(" - while resolving function {name} - "), 1);
        Error::new(e.kind(), e.code().to_string(), text)
    };
    let text = row.sql.as_deref().unwrap_or_default();
    let function = parse_sql_function(text).map_err(|e| resolving(front_end(e)))?;
    let call = define(&session.in_function(row), state, row, function, depth + 1).await.map_err(resolving)?;
    Ok(ScalarUDF::from(SqlCall { at, ..call }))
}

/// Refuses a function that could not be called. `session` is the one in which its names have a meaning, and places are
/// those in its text.
pub(crate) async fn check(session: &Session, row: &Registered, function: SqlFunction) -> Result<()> {
    session.settings.refuse_modes()?;
    define(session, &session.state()?, row, function, 1).await.map(drop)
}

/// What stands for a call of the function, if it is a good one. `session` is the one in which its names have a meaning.
async fn define(
    session: &Session,
    state: &SessionState,
    row: &Registered,
    function: SqlFunction,
    depth: usize,
) -> Result<SqlCall> {
    let SqlFunction { parameters, returns, body } = function;
    let columns: Vec<Column> = parameters.iter().map(|p| Column::new(p.name.clone(), p.ty.clone())).collect();
    let schema = Schema::new(columns.iter().map(engine_field).collect::<Vec<_>>());
    let source = Arc::new(LogicalTableSource::new(Arc::new(schema)));
    let defaults = parameters.iter().filter_map(|p| p.default.clone());
    let exprs = std::iter::once(body).chain(defaults).collect();
    let plan = plan_body(session, state, exprs, source, depth).await?;
    let (exprs, schema) = over_parameters(plan)?;
    let typed = |e: Expr, to: &Column, what: &str, at: Position| {
        let from = e.get_type(&schema).map_err(engine)?;
        match assigned(e, &from, to) {
            Some(e) => e.map_err(engine),
            None => {
                let (has, wants) = (type_name(&from), to.ty.to_string().to_uppercase());
                Err(semantic(at, format!("{what} is of type {wants}, and its value of the incompatible type {has}")))
            }
        }
    };
    let mut exprs = exprs.into_iter();
    let mut body = exprs.next().ok_or_else(|| Error::internal("a function without a body"))?;
    if let Some(ty) = returns {
        let what = format!("the result of function {}", row.at.name);
        body = typed(body, &Column::new("", ty), &what, Position::UNKNOWN)?;
    }
    let mut known = Vec::with_capacity(columns.len());
    for (p, column) in parameters.into_iter().zip(columns) {
        let default = match p.default.and_then(|_| exprs.next()) {
            Some(e) => Some(typed(e, &column, &format!("parameter @{}", p.name), p.position)?),
            None => None,
        };
        known.push(Parameter { uses: uses(&body, &column.name)?, column, default });
    }
    let returns = body.get_type(&schema).map_err(engine)?;
    let size = size(&body).map_err(engine)?;
    let has_lambda = body.exists(|e| Ok(matches!(e, Expr::Lambda(_)))).map_err(engine)?;
    let id = [row.at.project.clone(), row.at.schema_name.clone(), row.at.name.clone()];
    let signature = Signature::user_defined(Volatility::Volatile);
    Ok(SqlCall { id, at: Position::UNKNOWN, parameters: known, body, size, has_lambda, returns, signature })
}

/// The expressions of a plan that computes them from nothing but the parameters, and the columns that these are.
fn over_parameters(plan: LogicalPlan) -> Result<(Vec<Expr>, DFSchema)> {
    if let LogicalPlan::Projection(projection) = plan
        && let LogicalPlan::SubqueryAlias(alias) = projection.input.as_ref()
        && matches!(alias.input.as_ref(), LogicalPlan::TableScan(_))
    {
        let schema = projection.input.schema().as_ref().clone();
        return Ok((projection.expr.into_iter().map(Expr::unalias).collect(), schema));
    }
    let what = "an aggregate, a window or a table function in a SQL function";
    Err(front_end(SqlError::unsupported(Position::UNKNOWN, what)))
}

fn uses(body: &Expr, name: &str) -> Result<usize> {
    let mut uses = 0;
    let counted = body.apply(|e| {
        uses += usize::from(parameter(e) == Some(name));
        Ok(TreeNodeRecursion::Continue)
    });
    counted.map_err(engine)?;
    Ok(uses)
}

/// `e`, which is of type `from`, as INSERT would convert it for the column `to`; `None` if it would not.
fn assigned(e: Expr, from: &DataType, to: &Column) -> Option<PlanResult<Expr>> {
    let target = engine_type(&to.ty);
    if !assignable(from, &target) {
        return None;
    }
    let sized = to.ty.is_text() && to.ty != feitian_types::DataType::String;
    Some(if sized { Ok(Cast::udf(&to.ty, false).call(vec![e])) } else { coerce::convert(e, from, &target, false) })
}

/// A function without arguments that stands for this value of `field`.
pub(super) fn constant(name: &str, value: ScalarValue, field: &Field) -> ScalarUDF {
    let returns = value.data_type();
    let body = Expr::Literal(value, Some(FieldMetadata::new_from_field(field)));
    ScalarUDF::from(SqlCall {
        id: [String::new(), String::new(), name.to_string()],
        at: Position::UNKNOWN,
        parameters: Vec::new(),
        body,
        size: Size { parts: 1, height: 1 },
        has_lambda: false,
        returns,
        signature: Signature::user_defined(Volatility::Volatile),
    })
}

/// The SQL function that `func` is; `None` if it is another one.
pub(super) fn of(func: &ScalarUDF) -> Option<&SqlCall> {
    func.inner().downcast_ref::<SqlCall>()
}

impl SqlCall {
    fn called(&self) -> &str {
        &self.id[2]
    }

    /// What a call with these arguments, whose types are final, stands for.
    pub(super) fn inline(&self, args: Vec<Expr>, schema: &DFSchema) -> PlanResult<Expr> {
        self.substituted(args, schema).map_err(|e| placed(e, self.at))
    }

    fn substituted(&self, mut args: Vec<Expr>, schema: &DFSchema) -> PlanResult<Expr> {
        let (has, given) = (self.parameters.len(), args.len());
        let least = self.parameters.iter().rposition(|p| p.default.is_none()).map_or(0, |last| last + 1);
        if given < least || given > has {
            let needs = if least == has { has.to_string() } else { format!("{least} to {has}") };
            return Err(FunctionError::arity(self.called(), &needs, given).into());
        }
        args.extend(self.parameters[given..].iter().filter_map(|p| p.default.clone()));
        let mut whole = self.size;
        let mut values = Vec::with_capacity(has);
        for (i, (arg, parameter)) in args.into_iter().zip(&self.parameters).enumerate() {
            let from = arg.get_type(schema)?;
            let Some(value) = assigned(arg, &from, &parameter.column) else {
                let expects = parameter.column.ty.to_string().to_uppercase();
                return Err(FunctionError::argument_type(self.called(), i + 1, &type_name(&from), &expects).into());
            };
            let value = value?;
            if self.has_lambda && value.exists(|e| Ok(matches!(e, Expr::LambdaVariable(_))))? {
                let name = self.called();
                let what = format!("a call of function {name}, which has a lambda, in a lambda is not supported");
                return Err(FunctionError::unsupported(what).into());
            }
            let part = size(&value)?;
            whole.parts = whole.parts.saturating_add(part.parts.saturating_mul(parameter.uses));
            whole.height = whole.height.max(self.size.height + part.height);
            values.push(value);
        }
        if whole.parts > MAX_PARTS || whole.height > MAX_HEIGHT {
            let text = format!("a call of function {} becomes an expression that is too large", self.called());
            return Err(FunctionError::semantic(text).into());
        }
        let place = |name: &str| self.parameters.iter().position(|p| p.column.name == name);
        let value = |e: Expr| match parameter(&e).and_then(place) {
            Some(i) => Ok(Transformed::yes(values[i].clone())),
            None => Ok(Transformed::no(e)),
        };
        self.body.clone().transform_up(value).map(|t| t.data)
    }
}

/// The error with the place of the call.
fn placed(e: DataFusionError, at: Position) -> DataFusionError {
    let place = Location { line: u64::from(at.line), column: u64::from(at.column) };
    let words = e.to_string();
    e.with_diagnostic(Diagnostic::new_error(words, Some(Span::new(place, place))))
}

impl PartialEq for SqlCall {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.body == other.body
    }
}

impl Eq for SqlCall {}

impl Hash for SqlCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// Until `coerce` replaces it.
impl ScalarUDFImpl for SqlCall {
    fn name(&self) -> &str {
        self.called()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What the arguments are is looked at when the call is replaced.
    fn coerce_types(&self, types: &[DataType]) -> PlanResult<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        Err(FunctionError::internal(format!("a call of function {} was not replaced", self.called())).into())
    }
}
