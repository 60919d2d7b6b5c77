//! The order of joins, and which side of a join is kept in memory, by how many rows are expected of each.
//!
//! DataFusion leaves joins in the order in which they are written. Here the inner joins that hang together are taken apart
//! and put together in the order that costs least, semi and anti joins at the one input that they speak of or after all
//! others; and every join keeps its smaller side in memory.

mod estimate;
mod region;
mod search;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, Projection};
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::optimize_projections::OptimizeProjections;

use self::region::Region;

/// A plan with more joins than these stays in its order: looking at all of them would take longer than they are worth.
const MOST_JOINS: usize = 64;
/// What a row takes in a hash table beside its columns.
const ENTRY_BYTES: f64 = 16.0;
/// What is thought of a text's length.
const TEXT_BYTES: f64 = 24.0;

/// An optimized plan with its joins in order.
pub(super) fn joins(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    if !(1..=MOST_JOINS).contains(&count(&plan)?) {
        return Ok(plan);
    }
    let plan = sided(reordered(plan)?)?;
    // Which columns each join hands on depends on what comes after it.
    Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())]).optimize(plan, state, |_, _| {})
}

fn count(plan: &LogicalPlan) -> Result<usize> {
    let mut joins = 0;
    plan.apply(|node| {
        joins += usize::from(matches!(node, LogicalPlan::Join(_)));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(joins)
}

fn reordered(plan: LogicalPlan) -> Result<LogicalPlan> {
    if let Some(mut region) = Region::below(&plan) {
        for input in &mut region.inputs {
            *input = Arc::new(reordered(input.as_ref().clone())?);
        }
        for reducer in &mut region.reducers {
            reducer.join.right = Arc::new(reordered(reducer.join.right.as_ref().clone())?);
        }
        if let Some(ordered) = search::cheapest(&region)? {
            return with_columns(ordered, plan.schema());
        }
    }
    let below = |plan: LogicalPlan| reordered(plan).map(Transformed::yes);
    plan.map_subqueries(below)?.transform_data(|plan| plan.map_children(below)).map(|t| t.data)
}

/// The plan with the columns of `schema` in its order.
fn with_columns(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    let columns = schema.columns();
    if plan.schema().columns() == columns {
        return Ok(plan);
    }
    let exprs = columns.into_iter().map(Expr::Column).collect();
    Projection::try_new(exprs, Arc::new(plan)).map(LogicalPlan::Projection)
}

/// The plan with the smaller side of each join on the left, which is the one that is kept in memory.
fn sided(plan: LogicalPlan) -> Result<LogicalPlan> {
    let node = |node: LogicalPlan| match node {
        LogicalPlan::Join(join) if is_to_be_turned(&join) => {
            let schema = join.schema.clone();
            with_columns(turned(join)?, &schema).map(Transformed::yes)
        }
        other => Ok(Transformed::no(other)),
    };
    plan.transform_up_with_subqueries(node).map(|t| t.data)
}

fn is_to_be_turned(join: &Join) -> bool {
    let has_mark = matches!(join.join_type, JoinType::LeftMark | JoinType::RightMark);
    let can_be = join.join_type.supports_swap() && !has_mark && !join.null_aware;
    can_be && num_bytes(&join.left) > num_bytes(&join.right)
}

/// How many rows are expected of `plan`.
pub(super) fn rows(plan: &LogicalPlan) -> f64 {
    estimate::of(plan).rows
}

/// The memory of a hash table of the rows of `plan`.
pub(super) fn num_bytes(plan: &LogicalPlan) -> f64 {
    let width = |ty: &DataType| ty.primitive_width().map_or(TEXT_BYTES, |bytes| bytes as f64);
    let row = plan.schema().fields().iter().map(|f| width(f.data_type())).sum::<f64>();
    estimate::of(plan).rows * (ENTRY_BYTES + row)
}

fn turned(join: Join) -> Result<LogicalPlan> {
    let on = join.on.into_iter().map(|(l, r)| (r, l)).collect();
    let turned = Join::try_new(
        join.right,
        join.left,
        on,
        join.filter,
        join.join_type.swap(),
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    Ok(LogicalPlan::Join(turned))
}
