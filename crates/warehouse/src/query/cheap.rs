//! Conditions in the order of what they cost: dates and numbers before texts, texts before patterns.
//!
//! The engine asks the conditions of an AND from the left, and those behind it only of the rows that are left once few are.
//! What moves forward cannot fail, so that a query fails for no row for which it would not have failed as it was written.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::Operator as Op;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, InListExpr, LikeExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};

/// Orders the conditions of filters. It comes after the rules that make filters or change them.
#[derive(Debug)]
pub(super) struct CheapFirst;

impl PhysicalOptimizerRule for CheapFirst {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let ordered = |node: Arc<dyn ExecutionPlan>| {
            let Some(filter) = node.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(node)) };
            let Some(predicate) = cheap_first(filter.predicate(), &filter.input().schema()) else {
                return Ok(Transformed::no(node));
            };
            let filter = FilterExecBuilder::from(filter).with_predicate(predicate).build()?;
            Ok(Transformed::yes(Arc::new(filter) as _))
        };
        plan.transform_up(ordered).map(|t| t.data)
    }

    fn name(&self) -> &str {
        "cheap_first"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What a condition costs, the least first. Those of one rank stay as they stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    /// A number or a time of at most 8 bytes beside a constant.
    Word,
    /// Two columns of such.
    Words,
    /// Other numbers.
    Number,
    /// A text or bytes beside a constant, or several.
    Text,
    /// A constant pattern.
    Pattern,
    /// Everything else, which may fail.
    Other,
}

/// The conditions in another order; `None` if they stand in it.
fn cheap_first(predicate: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Arc<dyn PhysicalExpr>> {
    let parts = split_conjunction(predicate);
    let mut ranked: Vec<_> = parts.into_iter().map(|part| (cost(part, schema), part)).collect();
    if ranked.is_sorted_by_key(|(cost, _)| *cost) {
        return None;
    }
    ranked.sort_by_key(|(cost, _)| *cost);
    Some(conjunction(ranked.into_iter().map(|(_, part)| part.clone())))
}

fn cost(e: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Cost {
    if let Some(binary) = e.downcast_ref::<BinaryExpr>() {
        let is_comparison = matches!(binary.op(), Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq);
        let sides = [binary.left(), binary.right()];
        if !is_comparison || !sides.into_iter().all(is_simple) {
            return Cost::Other;
        }
        let has_constant = sides.into_iter().any(|side| side.downcast_ref::<Literal>().is_some());
        return match of_type(binary.left(), schema) {
            Cost::Word if !has_constant => Cost::Words,
            cost => cost,
        };
    }
    if let Some(list) = e.downcast_ref::<InListExpr>() {
        let constants = list.list().iter().all(|value| value.downcast_ref::<Literal>().is_some());
        return if constants && is_simple(list.expr()) { of_type(list.expr(), schema) } else { Cost::Other };
    }
    match e.downcast_ref::<LikeExpr>() {
        Some(like) if is_simple(like.expr()) && like.pattern().downcast_ref::<Literal>().is_some() => Cost::Pattern,
        _ => Cost::Other,
    }
}

fn is_simple(e: &Arc<dyn PhysicalExpr>) -> bool {
    e.downcast_ref::<Column>().is_some() || e.downcast_ref::<Literal>().is_some()
}

fn of_type(e: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Cost {
    use DataType as T;
    match e.data_type(schema) {
        Ok(ty) if ty.is_numeric() || ty.is_temporal() || ty == T::Boolean => {
            if ty.primitive_width().is_none_or(|bytes| bytes <= 8) { Cost::Word } else { Cost::Number }
        }
        Ok(T::Utf8 | T::Utf8View | T::LargeUtf8 | T::Binary | T::BinaryView | T::LargeBinary) => Cost::Text,
        _ => Cost::Other,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use datafusion::common::ScalarValue;
    use datafusion::physical_expr::expressions::{binary, in_list, lit};

    use super::*;

    fn schema() -> Schema {
        let field = |name: &str, ty: DataType| Field::new(name, ty, true);
        Schema::new(vec![
            field("text", DataType::Utf8),
            field("day", DataType::Date32),
            field("other", DataType::Date32),
            field("sum", DataType::Decimal128(38, 2)),
        ])
    }

    fn column(name: &str) -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new_with_schema(name, &schema()).expect("a column"))
    }

    fn compared(a: Arc<dyn PhysicalExpr>, op: Op, b: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        binary(a, op, b, &schema()).expect("a comparison")
    }

    /// The ranks above, by hand.
    #[test]
    fn conditions_stand_in_the_order_of_what_they_cost() {
        let schema = schema();
        let text = in_list(column("text"), vec![lit("a"), lit("b")], &false, &schema).expect("a list");
        let sum = compared(column("sum"), Op::Gt, lit(ScalarValue::Decimal128(Some(1), 38, 2)));
        let days = compared(column("other"), Op::Lt, column("day"));
        let day = compared(column("day"), Op::GtEq, lit(ScalarValue::Date32(Some(1))));
        let fails = compared(compared(lit(1_i64), Op::Divide, lit(0_i64)), Op::Gt, lit(0_i64));
        let like: Arc<dyn PhysicalExpr> = Arc::new(LikeExpr::new(false, false, column("text"), lit("%a%b")));
        let all = [&fails, &like, &text, &sum, &days, &day].map(Clone::clone);
        let found = cheap_first(&conjunction(all), &schema).expect("another order");
        let found: Vec<_> = split_conjunction(&found).into_iter().map(ToString::to_string).collect();
        assert_eq!(found, [&day, &days, &sum, &text, &like, &fails].map(ToString::to_string));
    }

    #[test]
    fn what_stands_in_order_and_what_may_fail_stays() {
        let (day, text) =
            (compared(column("day"), Op::Eq, column("other")), compared(column("text"), Op::Eq, lit("a")));
        assert!(cheap_first(&conjunction([day.clone(), text]), &schema()).is_none());
        let first = compared(compared(lit(1_i64), Op::Divide, lit(1_i64)), Op::Eq, lit(1_i64));
        let second = compared(compared(lit(2_i64), Op::Divide, lit(1_i64)), Op::Eq, lit(1_i64));
        assert!(cheap_first(&conjunction([first, second]), &schema()).is_none());
        assert!(cheap_first(&day, &schema()).is_none());
    }
}
