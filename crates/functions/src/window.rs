//! Window functions under MaxCompute's names; ranks are BIGINT.

mod moving;
mod planned;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_window as df;
use datafusion::logical_expr::expr::NullTreatment;
use datafusion::logical_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::planner::RawWindowExpr;
use datafusion::logical_expr::window_state::WindowAggState;
use datafusion::logical_expr::{
    Expr, LimitEffect, PartitionEvaluator, Signature, WindowFunctionDefinition, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

pub(crate) use planned::plan as plan_by_others;

use crate::docs::Entry;
use crate::error::FunctionError;

/// Functions that mean nothing without an order.
const NEED_ORDER: [&str; 8] = ["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"];

pub(crate) const DOCS: &[Entry] = &[
    (
        "cluster_sample",
        "cluster_sample(n[, m]) over (…)",
        "TRUE for n rows of the partition by chance; with m for m of n parts of them.",
    ),
    ("cume_dist", "cume_dist() over (…)", "Which part of the rows is not after this one."),
    ("dense_rank", "dense_rank() over (…)", "The rank, without gaps after rows that are equal."),
    ("first_value", "first_value(value[, ignore_nulls]) over (…)", "The value of the frame's first row."),
    ("lag", "lag(value[, offset[, default]]) over (…)", "The value of an earlier row."),
    ("last_value", "last_value(value[, ignore_nulls]) over (…)", "The value of the frame's last row."),
    ("lead", "lead(value[, offset[, default]]) over (…)", "The value of a later row."),
    ("nth_value", "nth_value(value, n[, ignore_nulls]) over (…)", "The value of the frame's nth row."),
    ("ntile", "ntile(n) over (…)", "Which of n parts of nearly equal size the row falls into."),
    ("percent_rank", "percent_rank() over (…)", "The rank from 0 to 1."),
    ("rank", "rank() over (…)", "One more than the number of rows before this one."),
    ("ratio_to_report", "ratio_to_report(x) over (…)", "Which part of the partition's sum the value is, as DOUBLE."),
    ("row_number", "row_number() over (…)", "The number of the row from 1."),
];

/// Every window function by its name.
pub(crate) fn functions() -> HashMap<&'static str, Arc<WindowUDF>> {
    let mut all = HashMap::from([
        ("cume_dist", df::cume_dist::cume_dist_udwf()),
        ("dense_rank", bigint(df::rank::dense_rank_udwf())),
        ("first_value", df::nth_value::first_value_udwf()),
        ("lag", df::lead_lag::lag_udwf()),
        ("last_value", df::nth_value::last_value_udwf()),
        ("lead", df::lead_lag::lead_udwf()),
        ("nth_value", df::nth_value::nth_value_udwf()),
        ("ntile", bigint(df::ntile::ntile_udwf())),
        ("percent_rank", df::rank::percent_rank_udwf()),
        ("rank", bigint(df::rank::rank_udwf())),
        ("row_number", bigint(df::row_number::row_number_udwf())),
    ]);
    all.extend(planned::functions());
    all
}

fn bigint(inner: Arc<WindowUDF>) -> Arc<WindowUDF> {
    Arc::new(WindowUDF::from(Bigint { inner }))
}

/// Checks a call with OVER and gives it its shape: FIRST_VALUE and its like take `ignore_nulls` as a last argument.
pub fn shape_window(mut raw: RawWindowExpr) -> Result<RawWindowExpr> {
    let name = raw.func_def.name().to_string();
    if NEED_ORDER.contains(&name.as_str()) && raw.order_by.is_empty() {
        let text = format!("ORDER BY clause must be specified for window function {name}");
        return Err(FunctionError::window(text).into());
    }
    if matches!(raw.func_def, WindowFunctionDefinition::AggregateUDF(_)) {
        if raw.distinct && !raw.order_by.is_empty() {
            return Err(FunctionError::window("DISTINCT is not allowed in a window function with ORDER BY").into());
        }
        if name == "count" && !raw.window_frame.start_bound.is_unbounded() {
            raw.func_def = WindowFunctionDefinition::AggregateUDF(moving::count());
        }
        return Ok(raw);
    }
    let values = match name.as_str() {
        "first_value" | "last_value" => 1,
        "nth_value" => 2,
        _ => return Ok(raw),
    };
    if raw.args.len() == values + 1
        && let Some(Expr::Literal(ScalarValue::Boolean(Some(ignore)), _)) = raw.args.last()
    {
        raw.null_treatment = ignore.then_some(NullTreatment::IgnoreNulls);
        raw.args.truncate(values);
    }
    Ok(raw)
}

/// A window function of DataFusion whose unsigned result is BIGINT here.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bigint {
    inner: Arc<WindowUDF>,
}

impl WindowUDFImpl for Bigint {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        self.inner.inner().expressions(args)
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator(self.inner.inner().partition_evaluator(args)?)))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let field = self.inner.inner().field(args)?;
        Ok(Arc::new(field.as_ref().clone().with_data_type(DataType::Int64)))
    }

    fn sort_options(&self) -> Option<SortOptions> {
        self.inner.inner().sort_options()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(types)
    }

    fn limit_effect(&self, args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.inner.inner().limit_effect(args)
    }
}

#[derive(Debug)]
struct Evaluator(Box<dyn PartitionEvaluator>);

fn to_bigint(array: ArrayRef) -> Result<ArrayRef> {
    Ok(arrow::compute::cast(&array, &DataType::Int64)?)
}

impl PartitionEvaluator for Evaluator {
    fn memoize(&mut self, state: &mut WindowAggState) -> Result<()> {
        self.0.memoize(state)
    }

    fn get_range(&self, idx: usize, n_rows: usize) -> Result<Range<usize>> {
        self.0.get_range(idx, n_rows)
    }

    fn is_causal(&self) -> bool {
        self.0.is_causal()
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        to_bigint(self.0.evaluate_all(values, num_rows)?)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        self.0.evaluate(values, range)?.cast_to(&DataType::Int64)
    }

    fn evaluate_all_with_rank(&self, num_rows: usize, ranks: &[Range<usize>]) -> Result<ArrayRef> {
        to_bigint(self.0.evaluate_all_with_rank(num_rows, ranks)?)
    }

    fn supports_bounded_execution(&self) -> bool {
        self.0.supports_bounded_execution()
    }

    fn uses_window_frame(&self) -> bool {
        self.0.uses_window_frame()
    }

    fn include_rank(&self) -> bool {
        self.0.include_rank()
    }
}
