//! A function of a user in a condition is called for the rows that the conditions before it leave open, and for no others.
//!
//! `x IS NULL OR f(x)` says that `f` knows nothing of NULL. The engine asks both sides of AND and OR for all rows of a batch,
//! and makes AND and OR of a CASE whose values are BOOLEAN. So what calls such a function becomes a CASE of numbers, which
//! the engine asks where its condition holds: `x IS NULL OR CASE WHEN (x IS NULL) IS NOT TRUE THEN f(x) ELSE 1 END = 1`.
//! The conditions stand where they stood too, so that files are left out by them as before.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::logical_expr::expr::{Case, Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{merge_schema, split_binary_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, binary_expr, lit};
use feitian_functions::registry;

use super::UserCall;
use crate::scan::has_subquery;

/// So many conditions decide for one that follows them, at most: each stands there once more.
const MAX_GUARDS: usize = 16;

/// `plan` with the calls of such functions behind the conditions that decide without them.
pub(in crate::query) fn decided_first(plan: &LogicalPlan) -> Result<Cow<'_, LogicalPlan>> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|e| {
            found |= calls(e);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !found {
        return Ok(Cow::Borrowed(plan));
    }
    plan.clone().transform_up_with_subqueries(of_node).map(|t| Cow::Owned(t.data))
}

/// The condition of a join is asked about the pairs that its keys find, and stays as it is.
fn of_node(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_)) {
        return Ok(Transformed::no(node));
    }
    let schema = merge_schema(&node.inputs());
    let names = NamePreserver::new(&node);
    let changed = node.map_expressions(|e| {
        if !calls(&e) {
            return Ok(Transformed::no(e));
        }
        let name = names.save(&e);
        Ok(Transformed::yes(name.restore(of_expr(e, &schema)?)))
    })?;
    if changed.transformed { changed.map_data(LogicalPlan::recompute_schema) } else { Ok(changed) }
}

/// Whether `e` calls a function of a user.
fn calls(e: &Expr) -> bool {
    let is_call = |e: &Expr| match e {
        Expr::ScalarFunction(f) => f.func.inner().downcast_ref::<UserCall>().is_some(),
        _ => false,
    };
    e.exists(|e| Ok(is_call(e))).unwrap_or(false)
}

fn of_expr(e: Expr, schema: &DFSchema) -> Result<Expr> {
    e.transform_down(|e| {
        if !calls(&e) {
            return Ok(Transformed::new(e, false, TreeNodeRecursion::Jump));
        }
        match &e {
            Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => {
                let op = *op;
                Ok(Transformed::new(conditions(e, op, schema)?, true, TreeNodeRecursion::Jump))
            }
            Expr::Case(_) if e.get_type(schema)? == DataType::Boolean => Ok(Transformed::yes(numbers(e))),
            Expr::ScalarFunction(f) if is_if(f) && e.get_type(schema)? == DataType::Boolean => {
                Ok(Transformed::yes(numbers(as_case(e))))
            }
            _ => Ok(Transformed::no(e)),
        }
    })
    .map(|t| t.data)
}

fn is_if(f: &ScalarFunction) -> bool {
    f.args.len() == 3 && Arc::ptr_eq(&f.func, &registry().scalar["if"])
}

/// `IF (condition, a, b)` as CASE.
fn as_case(e: Expr) -> Expr {
    match e {
        Expr::ScalarFunction(mut f) if is_if(&f) => {
            let (no, yes, condition) = (f.args.remove(2), f.args.remove(1), f.args.remove(0));
            Expr::Case(Case::new(None, vec![(Box::new(condition), Box::new(yes))], Some(Box::new(no))))
        }
        e => e,
    }
}

/// The conditions of `e`, which `op` joins.
fn conditions(e: Expr, op: Operator, schema: &DFSchema) -> Result<Expr> {
    let (mut guards, mut made): (Vec<Expr>, Vec<Expr>) = (Vec::new(), Vec::new());
    for part in split_binary_owned(e, op) {
        // What looks beyond the row is joined to it, which nothing within a CASE can be.
        let is_plain = !has_subquery(&part);
        if calls(&part) {
            let part = of_expr(part, schema)?;
            let guard = guards.iter().cloned().reduce(|a, b| binary_expr(a, op, b)).filter(|_| is_plain);
            made.push(match guard {
                Some(guard) => open(guard, op, part),
                None => part,
            });
            continue;
        }
        if is_plain && !part.is_volatile() && guards.len() < MAX_GUARDS {
            guards.push(part.clone());
        }
        made.push(part);
    }
    match made.into_iter().reduce(|a, b| binary_expr(a, op, b)) {
        Some(all) => Ok(all),
        None => internal_err!("AND or OR of nothing"),
    }
}

/// `part` for the rows about which `guard` has not decided; what `guard` says for the others.
fn open(guard: Expr, op: Operator, part: Expr) -> Expr {
    let (is_open, decided) = match op {
        Operator::Or => (guard.is_not_true(), 1_i8),
        _ => (guard.is_not_false(), 0_i8),
    };
    holds(Case::new(None, vec![(Box::new(is_open), Box::new(number(part)))], Some(Box::new(lit(decided)))))
}

fn number(condition: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(condition), DataType::Int8))
}

fn holds(case: Case) -> Expr {
    binary_expr(Expr::Case(case), Operator::Eq, lit(1_i8))
}

/// A CASE with numbers for its conditions, which the engine leaves a CASE.
fn numbers(e: Expr) -> Expr {
    let Expr::Case(mut case) = e else { return e };
    for (_, then) in &mut case.when_then_expr {
        **then = number(std::mem::take(&mut **then));
    }
    case.else_expr = case.else_expr.map(|e| Box::new(number(*e)));
    holds(case)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::logical_expr::{LogicalPlanBuilder, cast, col, when};

    use super::*;

    // Three-valued logic: NULL OR TRUE is TRUE, and NULL AND FALSE is FALSE, so that NULL decides nothing.
    #[test]
    fn what_is_unknown_leaves_a_row_open() {
        let number = || cast(col("b"), DataType::Int8);
        let wanted = |is_open, decided: i8| {
            binary_expr(when(is_open, number()).otherwise(lit(decided)).unwrap(), Operator::Eq, lit(1_i8))
        };
        assert_eq!(open(col("a"), Operator::Or, col("b")), wanted(col("a").is_not_true(), 1));
        assert_eq!(open(col("a"), Operator::And, col("b")), wanted(col("a").is_not_false(), 0));
    }

    #[test]
    fn a_plan_without_such_functions_is_not_copied() {
        let plan = LogicalPlanBuilder::empty(true).filter(lit(true).or(lit(false)));
        let plan = plan.unwrap().build().unwrap();
        assert!(matches!(decided_first(&plan).unwrap(), Cow::Borrowed(_)));
    }
}
