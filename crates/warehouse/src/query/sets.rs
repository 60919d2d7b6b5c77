//! INTERSECT ALL and EXCEPT ALL: each occurrence of a row gets a number, and then all rows are different.
//!
//! The parser writes them as a semi or anti join without a condition, which no text makes; see its `sets`.

use std::sync::Arc;

use datafusion::common::{Column, Result, plan_err};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFunctionDefinition};
use feitian_functions::registry;
use sqlparser::ast::{Join, JoinConstraint, JoinOperator, Select, SetExpr, TableFactor, TableWithJoins};

/// The number of an occurrence. No name that a user writes is like it.
const OCCURRENCE: &str = "__occurrence";

pub(super) fn is_set_operation(tables: &TableWithJoins) -> bool {
    let set = |join: &Join| {
        matches!(
            join.join_operator,
            JoinOperator::Semi(JoinConstraint::None) | JoinOperator::Anti(JoinConstraint::None)
        )
    };
    matches!(tables.joins.as_slice(), [join] if set(join))
}

/// The branches of the set operation that `select` stands for.
pub(super) fn branches(select: &mut Select) -> Option<[&mut SetExpr; 2]> {
    let [TableWithJoins { relation: TableFactor::NestedJoin { table_with_joins, alias: None }, .. }] =
        select.from.as_mut_slice()
    else {
        return None;
    };
    if !is_set_operation(table_with_joins) {
        return None;
    }
    let TableWithJoins { relation, joins } = &mut **table_with_joins;
    match (relation, joins.as_mut_slice()) {
        (
            TableFactor::Derived { subquery: left, .. },
            [Join { relation: TableFactor::Derived { subquery: right, .. }, .. }],
        ) => Some([&mut *left.body, &mut *right.body]),
        _ => None,
    }
}

pub(super) fn plan(tables: TableWithJoins, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let TableWithJoins { relation, mut joins } = tables;
    let Some(Join { relation: right, join_operator, .. }) = joins.pop() else {
        return plan_err!("a set operation with one branch");
    };
    let (left, right) = (context.plan(relation)?, context.plan(right)?);
    let (width, other) = (left.schema().fields().len(), right.schema().fields().len());
    let is_intersect = matches!(join_operator, JoinOperator::Semi(_));
    let name = if is_intersect { "INTERSECT" } else { "EXCEPT" };
    if width != other {
        return plan_err!("{name} queries have different number of columns");
    }
    let (left, right) = (numbered(left)?, numbered(right)?);
    let plan = match is_intersect {
        true => LogicalPlanBuilder::intersect(left, right, true)?,
        false => LogicalPlanBuilder::except(left, right, true)?,
    };
    let shown: Vec<Expr> = columns(&plan).into_iter().take(width).map(|(column, name)| column.alias(name)).collect();
    LogicalPlanBuilder::from(plan).project(shown)?.build()
}

/// The columns of a plan with their names.
fn columns(plan: &LogicalPlan) -> Vec<(Expr, String)> {
    let schema = plan.schema().iter();
    schema.map(|(q, f)| (Expr::Column(Column::from((q, f))), f.name().clone())).collect()
}

/// The rows with the number of each among its equals, from 1.
fn numbered(plan: LogicalPlan) -> Result<LogicalPlan> {
    let all = columns(&plan);
    let params = WindowFunctionParams {
        args: Vec::new(),
        partition_by: all.iter().map(|(column, _)| column.clone()).collect(),
        order_by: Vec::new(),
        window_frame: WindowFrame::new(None),
        filter: None,
        null_treatment: None,
        distinct: false,
    };
    let fun = WindowFunctionDefinition::WindowUDF(Arc::clone(&registry().window["row_number"]));
    let number = Expr::from(WindowFunction { fun, params });
    let plan = LogicalPlanBuilder::window_plan(plan, [number])?;
    let number = columns(&plan).pop().map(|(column, _)| column.alias(OCCURRENCE));
    let shown = all.into_iter().map(|(column, name)| column.alias(name)).chain(number);
    LogicalPlanBuilder::from(plan).project(shown.collect::<Vec<_>>())?.build()
}
