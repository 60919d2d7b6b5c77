//! RATIO_TO_REPORT and CLUSTER_SAMPLE, which stand for other functions over the same rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::planner::RawWindowExpr;
use datafusion::logical_expr::{
    Expr, LimitEffect, PartitionEvaluator, Signature, SortExpr, Volatility, WindowFrame, WindowFunctionDefinition,
    WindowUDF, WindowUDFImpl, cast, lit,
};
use datafusion::physical_expr::PhysicalExpr;

use crate::arith::{Arithmetic, Op};
use crate::error::FunctionError;
use crate::registry;

const RATIO: &str = "ratio_to_report";
const SAMPLE: &str = "cluster_sample";

/// The names, whose calls [`plan`] replaces; they never reach execution.
pub(super) fn functions() -> [(&'static str, Arc<WindowUDF>); 2] {
    [RATIO, SAMPLE].map(|name| {
        let marker = Marker { name, signature: Signature::variadic_any(Volatility::Volatile) };
        (name, Arc::new(WindowUDF::from(marker)))
    })
}

/// What stands for a call; gives a call of another function back.
pub(crate) fn plan(raw: RawWindowExpr) -> Result<Result<Expr, RawWindowExpr>> {
    let name = match raw.func_def.name() {
        RATIO => RATIO,
        SAMPLE => SAMPLE,
        _ => return Ok(Err(raw)),
    };
    let other = raw.null_treatment.is_some() || raw.filter.is_some() || raw.distinct;
    if other || !raw.order_by.is_empty() || raw.window_frame != WindowFrame::new(None) {
        return Err(FunctionError::window(format!("{name} takes PARTITION BY in OVER and nothing else")).into());
    }
    let RawWindowExpr { args, partition_by, .. } = raw;
    let planned = if name == RATIO { ratio(args, &partition_by) } else { sample(&args, &partition_by) };
    planned.map(Ok)
}

fn over(
    fun: impl Into<WindowFunctionDefinition>,
    args: Vec<Expr>,
    partition_by: &[Expr],
    order_by: Vec<SortExpr>,
) -> Expr {
    let window_frame = WindowFrame::new((!order_by.is_empty()).then_some(false));
    let params = WindowFunctionParams {
        args,
        partition_by: partition_by.to_vec(),
        order_by,
        window_frame,
        filter: None,
        null_treatment: None,
        distinct: false,
    };
    Expr::from(WindowFunction { fun: fun.into(), params })
}

/// The value beside the sum of all values of the partition.
fn ratio(args: Vec<Expr>, partition_by: &[Expr]) -> Result<Expr> {
    let [x] = <[Expr; 1]>::try_from(args).map_err(|args| FunctionError::arity(RATIO, "1", args.len()))?;
    let sum = over(registry().aggregate["sum"].clone(), vec![x.clone()], partition_by, Vec::new());
    Ok(Arithmetic::udf(Op::Divide).call(vec![x, cast(sum, DataType::Float64)]))
}

/// The value of a literal whole number above 0; `None` for NULL.
fn number(args: &[Expr], at: usize) -> Result<Option<i64>> {
    match args.get(at) {
        Some(Expr::Literal(ScalarValue::Int64(Some(n)), _)) if *n > 0 => Ok(Some(*n)),
        Some(Expr::Literal(ScalarValue::Null | ScalarValue::Int64(None), _)) => Ok(None),
        Some(Expr::Literal(ScalarValue::Int64(_), _)) => {
            Err(FunctionError::range(format!("argument {} of function {SAMPLE} must be at least 1", at + 1)).into())
        }
        _ => Err(FunctionError::constant(SAMPLE, at + 1).into()),
    }
}

/// The rows of the partition by chance, of which the first `n`, or a part `m / n`, are taken.
///
/// MaxCompute documentation of CLUSTER_SAMPLE: with two numbers, the rows of the partition times M / N.
fn sample(args: &[Expr], partition_by: &[Expr]) -> Result<Expr> {
    if !(1..=2).contains(&args.len()) {
        return Err(FunctionError::arity(SAMPLE, "1 to 2", args.len()).into());
    }
    let n = number(args, 0)?;
    let m = if args.len() == 2 { Some(number(args, 1)?) } else { None };
    let (Some(n), true) = (n, m != Some(None)) else { return Ok(lit(ScalarValue::Boolean(None))) };
    let by_chance = registry().scalar["rand"].call(Vec::new()).sort(true, false);
    let place = over(registry().window["row_number"].clone(), Vec::new(), partition_by, vec![by_chance]);
    let wanted = match m.flatten() {
        None => lit(n),
        Some(m) => {
            let all = over(count_udaf(), vec![lit(1i64)], partition_by, Vec::new());
            let parts = Arithmetic::udf(Op::Multiply).call(vec![all, lit(m)]);
            Arithmetic::udf(Op::WholeDivide).call(vec![parts, lit(n)])
        }
    };
    Ok(place.lt_eq(wanted))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    name: &'static str,
    signature: Signature,
}

impl WindowUDFImpl for Marker {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Err(FunctionError::internal(format!("{} was not planned", self.name)).into())
    }

    fn field(&self, _: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name, DataType::Null, true)))
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}
