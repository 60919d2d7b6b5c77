//! Aggregate functions under MaxCompute's names.
//!
//! Most are DataFusion's own; [`plan`] gives those whose arguments or results differ their shape.

mod avg;
mod bins;
mod by_key;
mod doubles;
mod extremes;
mod hll;
mod keyed;
mod percentile;
mod sliding;
mod sum;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::is_not_null;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate as df;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::planner::{RawAggregateExpr, RawWindowExpr};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, WindowFunctionDefinition, cast, lit, when,
};

use self::doubles::doubles;
use crate::coercion::is_text;
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::Function;

/// A name whose calls [`plan`] replaces; it never reaches execution.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    name: &'static str,
    signature: Signature,
}

impl AggregateUDFImpl for Marker {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Null)
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Err(FunctionError::internal(format!("{} was not planned", self.name)).into())
    }
}

const MARKERS: [&str; 13] = [
    "approx_distinct",
    "approx_percentile",
    "bitwise_and_agg",
    "bitwise_or_agg",
    "bitwise_xor_agg",
    "collect_list",
    "collect_set",
    "count_if",
    "grouping_id",
    "median",
    "percentile",
    "percentile_approx",
    "wm_concat",
];

/// Points of the sketch behind PERCENTILE_APPROX.
const CENTROIDS: i64 = 1_000;

const DOCS: &[Entry] = &[
    ("any_value", "any_value(value)", "The value of any row."),
    ("approx_distinct", "approx_distinct(value)", "About how many different values, by HyperLogLog."),
    ("approx_percentile", "approx_percentile(x, p | array(p, …)[, accuracy])", "The same as PERCENTILE_APPROX."),
    ("arg_max", "arg_max(key, value)", "The value beside the largest key."),
    ("arg_min", "arg_min(key, value)", "The value beside the smallest key."),
    ("avg", "avg(x)", "The mean, as DOUBLE or DECIMAL."),
    ("bitwise_and_agg", "bitwise_and_agg(n)", "The bits that all numbers have."),
    ("bitwise_or_agg", "bitwise_or_agg(n)", "The bits that some number has."),
    ("bitwise_xor_agg", "bitwise_xor_agg(n)", "The bits that an odd count of numbers has."),
    ("collect_list", "collect_list(value)", "All values as an array; NULLs are left out."),
    ("collect_set", "collect_set(value)", "All different values as an array; NULL is left out."),
    ("corr", "corr(x, y)", "The correlation of Pearson."),
    ("count", "count(* | [distinct ]value, …)", "How many rows, or rows without NULL in the values."),
    ("count_if", "count_if(condition)", "How many rows for which the condition holds."),
    ("covar_pop", "covar_pop(x, y)", "The covariance of the population."),
    ("covar_samp", "covar_samp(x, y)", "The covariance of the sample."),
    ("grouping", "grouping(key)", "1 if the row is a total over the key, else 0."),
    ("grouping_id", "grouping_id(key, …)", "The bits of GROUPING of all keys, the first one highest."),
    ("histogram", "histogram(value)", "A map of each value to how often it occurs."),
    ("map_agg", "map_agg(key, value)", "A map of the keys and values; the last of several equal keys wins."),
    ("map_union", "map_union(map)", "The entries of all maps; the last of several equal keys wins."),
    ("map_union_sum", "map_union_sum(map)", "The entries of all maps; values of equal keys are added."),
    ("max", "max(value)", "The largest value."),
    ("max_by", "max_by(value, key)", "The value beside the largest key."),
    ("median", "median(x)", "The middle value, interpolated."),
    ("min", "min(value)", "The smallest value."),
    ("min_by", "min_by(value, key)", "The value beside the smallest key."),
    ("multimap_agg", "multimap_agg(key, value)", "A map of each key to an array of its values."),
    ("percentile", "percentile(x, p | array(p, …))", "The value below which the part p of all lies, interpolated."),
    (
        "percentile_approx",
        "percentile_approx(x, p | array(p, …)[, accuracy])",
        "About what PERCENTILE says, in little memory.",
    ),
    ("stddev", "stddev(x)", "The standard deviation of the population."),
    ("stddev_pop", "stddev_pop(x)", "The same as STDDEV."),
    ("stddev_samp", "stddev_samp(x)", "The standard deviation of the sample."),
    ("sum", "sum([distinct ]x)", "The sum; that of whole numbers is BIGINT, and overflow is an error."),
    ("var_pop", "var_pop(x)", "The same as VARIANCE."),
    ("var_samp", "var_samp(x)", "The variance of the sample."),
    ("variance", "variance(x)", "The variance of the population."),
    ("wm_concat", "wm_concat(separator, [distinct ]text)", "All texts with a literal separator between them."),
];

pub(crate) fn docs() -> Vec<Entry> {
    [DOCS, bins::DOCS, hll::DOCS].concat()
}

/// The scalar functions of this family.
pub(crate) fn scalars() -> Vec<Function> {
    vec![hll::extract()]
}

/// Every aggregate function by its name.
pub(crate) fn functions() -> HashMap<&'static str, Arc<AggregateUDF>> {
    let mut all: HashMap<&'static str, Arc<AggregateUDF>> = HashMap::from([
        ("any_value", df::any_value::any_value_udaf()),
        ("avg", Arc::new(avg::Avg::udaf())),
        ("corr", doubles(df::correlation::corr_udaf(), 2)),
        ("count", df::count::count_udaf()),
        ("covar_pop", doubles(df::covariance::covar_pop_udaf(), 2)),
        ("covar_samp", doubles(df::covariance::covar_samp_udaf(), 2)),
        ("grouping", df::grouping::grouping_udaf()),
        ("max", Arc::new(extremes::max())),
        ("min", Arc::new(extremes::min())),
        // Without a suffix it is the population's, unlike in DataFusion.
        ("stddev", doubles(df::stddev::stddev_pop_udaf(), 1)),
        ("stddev_pop", doubles(df::stddev::stddev_pop_udaf(), 1)),
        ("stddev_samp", doubles(df::stddev::stddev_udaf(), 1)),
        ("sum", Arc::new(sum::Sum::udaf())),
        ("var_pop", doubles(df::variance::var_pop_udaf(), 1)),
        ("var_samp", doubles(df::variance::var_samp_udaf(), 1)),
        ("variance", doubles(df::variance::var_pop_udaf(), 1)),
    ]);
    for name in MARKERS {
        let marker = Marker { name, signature: Signature::variadic_any(Volatility::Immutable) };
        all.insert(name, Arc::new(AggregateUDF::from(marker)));
    }
    let own = by_key::functions().into_iter().chain(keyed::functions()).chain(hll::functions());
    for (name, udaf) in own.chain([bins::function()]) {
        all.insert(name, Arc::new(udaf));
    }
    all
}

/// The type that an argument of a numeric aggregate gets: text is read as DOUBLE, and a median of whole numbers is one.
pub fn aggregate_argument(name: &str, ty: &DataType) -> Option<DataType> {
    const NUMERIC: [&str; 10] =
        ["avg", "corr", "covar_pop", "covar_samp", "median", "stddev", "stddev_pop", "sum", "var", "var_pop"];
    let interpolates = name == "median" && (ty.is_integer() || *ty == DataType::Float32);
    ((is_text(ty) && NUMERIC.contains(&name)) || interpolates).then_some(DataType::Float64)
}

/// A call of an aggregate function, inside or outside a window.
struct Aggregate {
    name: String,
    args: Vec<Expr>,
    distinct: bool,
    null_treatment: Option<NullTreatment>,
}

impl Aggregate {
    fn take<const N: usize>(&mut self) -> Result<[Expr; N]> {
        let has = self.args.len();
        let args: Result<[Expr; N], _> = std::mem::take(&mut self.args).try_into();
        args.map_err(|_| FunctionError::arity(&self.name, &N.to_string(), has).into())
    }
}

/// What stands for a call: the function, its arguments, and what happens to its result.
struct Plan {
    func: Arc<AggregateUDF>,
    args: Vec<Expr>,
    distinct: bool,
    null_treatment: Option<NullTreatment>,
    finish: fn(Expr) -> Expr,
}

fn same(e: Expr) -> Expr {
    e
}

fn to_bigint(e: Expr) -> Expr {
    cast(e, DataType::Int64)
}

/// COLLECT_LIST and COLLECT_SET of nothing are empty arrays.
fn or_empty(e: Expr) -> Expr {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(OrEmpty::default())));
    FUNCTION.call(vec![e])
}

/// An array, or an empty one of the same type for NULL. COALESCE with an empty array would not do: when the call is
/// planned, the type of the elements may not be final yet.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OrEmpty {
    signature: Signature,
}

impl Default for OrEmpty {
    fn default() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for OrEmpty {
    fn name(&self) -> &str {
        "array_or_empty"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(lists) = arrays.first().and_then(|a| a.as_list_opt::<i32>()) else {
            return Err(FunctionError::internal("array_or_empty wants an array").into());
        };
        if lists.null_count() == 0 {
            return Ok(ColumnarValue::Array(Arc::new(lists.clone())));
        }
        let DataType::List(field) = lists.data_type() else {
            return Err(FunctionError::internal("array_or_empty wants an array").into());
        };
        let elements = new_empty_array(field.data_type());
        let empty = ListArray::try_new(field.clone(), OffsetBuffer::new_zeroed(lists.len()), elements, None)?;
        Ok(ColumnarValue::Array(zip(&is_not_null(lists)?, lists, &empty)?))
    }
}

fn plan(mut call: Aggregate) -> Result<Option<Plan>> {
    let (distinct, nulls) = (call.distinct, call.null_treatment);
    let simple =
        |func: Arc<AggregateUDF>, args: Vec<Expr>| Plan { func, args, distinct, null_treatment: nulls, finish: same };
    let bits = |func: Arc<AggregateUDF>, [x]: [Expr; 1]| simple(func, vec![to_bigint(x)]);
    Ok(Some(match call.name.as_str() {
        "approx_distinct" => {
            Plan { finish: to_bigint, ..simple(df::approx_distinct::approx_distinct_udaf(), call.take::<1>()?.into()) }
        }
        "bitwise_and_agg" => bits(df::bit_and_or_xor::bit_and_udaf(), call.take()?),
        "bitwise_or_agg" => bits(df::bit_and_or_xor::bit_or_udaf(), call.take()?),
        "bitwise_xor_agg" => bits(df::bit_and_or_xor::bit_xor_udaf(), call.take()?),
        name @ ("collect_list" | "collect_set") => Plan {
            distinct: distinct || name == "collect_set",
            null_treatment: Some(NullTreatment::IgnoreNulls),
            finish: or_empty,
            ..simple(df::array_agg::array_agg_udaf(), call.take::<1>()?.into())
        },
        "count_if" => {
            let [condition] = call.take()?;
            simple(df::count::count_udaf(), vec![when(condition, lit(1i64)).end()?])
        }
        "grouping_id" => {
            let args = std::mem::take(&mut call.args);
            Plan { finish: to_bigint, ..simple(df::grouping::grouping_udaf(), args) }
        }
        "percentile_approx" | "approx_percentile" => {
            // The third argument trades memory for exactness; the sketch is finer than any default.
            if call.args.len() == 3 {
                call.args.truncate(2);
            }
            let [x, p] = call.take()?;
            if !matches!(p, Expr::Literal(..)) {
                return Err(FunctionError::constant(&call.name, 2).into());
            }
            let args = vec![cast(x, DataType::Float64), p, lit(CENTROIDS)];
            simple(df::approx_percentile_cont::approx_percentile_cont_udaf(), args)
        }
        "median" => {
            let [x] = call.take()?;
            simple(df::median::median_udaf(), vec![x])
        }
        "percentile" => {
            let [x, p] = call.take()?;
            let Expr::Literal(p, _) = p else { return Err(FunctionError::constant("percentile", 2).into()) };
            simple(Arc::new(percentile::Percentile::udaf(&p)?), vec![x])
        }
        "wm_concat" => {
            let [separator, x] = call.take()?;
            if !matches!(separator, Expr::Literal(ScalarValue::Utf8(_), _)) {
                let text = "The first argument of WM_CONCAT must be constant string.";
                return Err(FunctionError::semantic(text).into());
            }
            simple(df::string_agg::string_agg_udaf(), vec![x, separator])
        }
        "count" if distinct && call.args.len() > 1 => {
            let args = std::mem::take(&mut call.args);
            let any_null = args.iter().map(|a| a.clone().is_null()).reduce(Expr::or);
            let tuple = crate::registry().scalar["struct"].call(args);
            let counted = match any_null {
                Some(any_null) => when(any_null.is_not_true(), tuple).end()?,
                None => tuple,
            };
            simple(df::count::count_udaf(), vec![counted])
        }
        _ => return Ok(None),
    }))
}

/// The single values of `PERCENTILE(x, array(p, q))`; each is a call of its own, and the results make an array.
fn several_percentiles(name: &str, args: &[Expr]) -> Option<Vec<Expr>> {
    if !matches!(name, "percentile" | "percentile_approx" | "approx_percentile") {
        return None;
    }
    match args.get(1)? {
        Expr::ScalarFunction(array) if array.func.name() == "array" && !array.args.is_empty() => {
            Some(array.args.clone())
        }
        _ => None,
    }
}

/// The array of what `plan` makes of the call with each `p` in the place of the second argument.
fn array_of(ps: Vec<Expr>, args: &[Expr], mut plan: impl FnMut(Vec<Expr>) -> Result<Option<Expr>>) -> Result<Expr> {
    let one = |p: Expr| {
        let mut args = args.to_vec();
        args[1] = p;
        plan(args)?.ok_or_else(|| FunctionError::internal("a percentile was not planned").into())
    };
    let all = ps.into_iter().map(one).collect::<Result<Vec<_>>>()?;
    Ok(crate::registry().scalar["array"].call(all))
}

/// Replaces a call of an aggregate function by what stands for it; gives the call back if it stands for itself.
pub fn plan_aggregate(raw: RawAggregateExpr) -> Result<Result<Expr, RawAggregateExpr>> {
    if let Some(ps) = several_percentiles(raw.func.name(), &raw.args) {
        let plan = |args| Ok(plan_aggregate(RawAggregateExpr { args, ..raw.clone() })?.ok());
        return array_of(ps, &raw.args, plan).map(Ok);
    }
    let call = Aggregate {
        name: raw.func.name().to_string(),
        args: raw.args.clone(),
        distinct: raw.distinct,
        null_treatment: raw.null_treatment,
    };
    let Some(plan) = plan(call)? else { return Ok(Err(raw)) };
    let call =
        AggregateFunction::new_udf(plan.func, plan.args, plan.distinct, raw.filter, raw.order_by, plan.null_treatment);
    Ok(Ok((plan.finish)(Expr::AggregateFunction(call))))
}

/// As [`plan_aggregate`], for a call with OVER.
pub fn plan_window(raw: RawWindowExpr) -> Result<Result<Expr, RawWindowExpr>> {
    if let Some(ps) = several_percentiles(raw.func_def.name(), &raw.args) {
        let plan = |args| Ok(plan_window(RawWindowExpr { args, ..raw.clone() })?.ok());
        return array_of(ps, &raw.args, plan).map(Ok);
    }
    let WindowFunctionDefinition::AggregateUDF(func) = &raw.func_def else {
        return crate::window::plan_by_others(raw);
    };
    let call = Aggregate {
        name: func.name().to_string(),
        args: raw.args.clone(),
        distinct: raw.distinct,
        null_treatment: raw.null_treatment,
    };
    let Some(plan) = plan(call)? else { return Ok(Err(raw)) };
    let params = WindowFunctionParams {
        args: plan.args,
        partition_by: raw.partition_by,
        order_by: raw.order_by,
        window_frame: raw.window_frame,
        filter: raw.filter,
        null_treatment: plan.null_treatment,
        distinct: plan.distinct,
    };
    let fun = WindowFunctionDefinition::AggregateUDF(plan.func);
    Ok(Ok((plan.finish)(Expr::from(WindowFunction { fun, params }))))
}
