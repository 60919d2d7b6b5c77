//! PIVOT as a filtered aggregate for each value, UNPIVOT as rows made of a row's columns.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::normalize_col;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use feitian_functions::FunctionError;
use sqlparser::ast::{BinaryOperator, Expr as Ast, ExprWithAlias, Ident, Value};

use super::lateral::with_rows;
use super::rows::{Made, array, item};

/// The parts of a PIVOT beside its table.
pub(super) struct Pivot {
    pub(super) aggregates: Vec<ExprWithAlias>,
    pub(super) column: Ast,
    pub(super) values: Vec<ExprWithAlias>,
}

/// Groups `input` by every column that neither the aggregates nor FOR use.
pub(super) fn pivot(input: LogicalPlan, pivot: Pivot, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let Pivot { aggregates, column, values } = pivot;
    let schema = input.schema().clone();
    let mut named = Vec::new();
    for value in &values {
        for aggregate in &aggregates {
            let Ast::Function(mut call) = aggregate.expr.clone() else {
                return Err(FunctionError::semantic("PIVOT takes aggregate functions only").into());
            };
            let (left, right) = (Box::new(column.clone()), Box::new(value.expr.clone()));
            let test = Ast::BinaryOp { left, op: BinaryOperator::Eq, right };
            call.filter = Some(Box::new(match call.filter.take() {
                None => test,
                Some(filter) => Ast::BinaryOp { left: filter, op: BinaryOperator::And, right: Box::new(test) },
            }));
            let expr = normalize_col(context.sql_to_expr(Ast::Function(call), &schema)?, &input)?;
            named.push((name(value, aggregate, aggregates.len() > 1), expr));
        }
    }
    let exprs: Vec<Expr> = named.iter().map(|(_, e)| e.clone()).collect();
    let found = find_aggregate_exprs(&exprs);
    if exprs.iter().any(|e| find_aggregate_exprs([e]).is_empty()) {
        return Err(FunctionError::semantic("PIVOT takes aggregate functions only").into());
    }
    let is_used = |c: &Column| exprs.iter().any(|e| e.column_refs().contains(c));
    let columns = schema.iter().map(Column::from).filter(|c| !is_used(c));
    let keys: Vec<Expr> = columns.map(Expr::Column).collect();
    let plan = LogicalPlanBuilder::from(input).aggregate(keys.clone(), found.clone())?;
    let result = |e: Expr| {
        let replaced = e.transform(|e| match found.contains(&e) {
            true => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(e.schema_name().to_string())))),
            false => Ok(Transformed::no(e)),
        });
        replaced.map(|t| t.data)
    };
    let mut output = keys;
    for (name, e) in named {
        output.push(result(e)?.alias(name));
    }
    plan.project(output)?.build()
}

/// `value_aggregate`, or the value alone if there is one aggregate.
fn name(value: &ExprWithAlias, aggregate: &ExprWithAlias, several: bool) -> String {
    let text = |e: &Ast| match e {
        Ast::Value(v) => match &v.value {
            Value::SingleQuotedString(text) => text.to_lowercase(),
            other => other.to_string().to_lowercase(),
        },
        other => other.to_string().to_lowercase(),
    };
    let of = |e: &ExprWithAlias| e.alias.as_ref().map_or_else(|| text(&e.expr), |a| a.value.clone());
    if several { format!("{}_{}", of(value), of(aggregate)) } else { of(value) }
}

/// The parts of an UNPIVOT beside its table.
pub(super) struct Unpivot {
    pub(super) value: Ident,
    pub(super) name: Ident,
    pub(super) columns: Vec<ExprWithAlias>,
    pub(super) without_nulls: bool,
}

/// The name of the table that the made columns belong to, until the text gives it one.
const UNPIVOTED: &str = "__unpivot";

/// One row for each of the columns, which go.
pub(super) fn unpivot(
    input: LogicalPlan,
    unpivot: Unpivot,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let Unpivot { value, name, columns, without_nulls } = unpivot;
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for column in columns {
        let label = column.alias.as_ref().map_or_else(|| column.expr.to_string().replace('`', ""), |a| a.value.clone());
        names.push(lit(label));
        values.push(normalize_col(context.sql_to_expr(column.expr, input.schema())?, &input)?);
    }
    let gone: Vec<Column> = values.iter().flat_map(Expr::column_refs).cloned().collect();
    let made = Made {
        lists: vec![array(names)?, array(values)?],
        columns: vec![(name.value, item(0)), (value.value.clone(), item(1))],
    };
    let plan = with_rows(input, made, false, UNPIVOTED)?;
    let kept = plan.schema().iter().map(Column::from).filter(|c| !gone.contains(c)).map(Expr::Column);
    let kept: Vec<Expr> = kept.collect();
    let mut builder = LogicalPlanBuilder::from(plan);
    if without_nulls {
        builder = builder.filter(Expr::Column(Column::new(Some(UNPIVOTED), value.value)).is_not_null())?;
    }
    builder.project(kept)?.build()
}
