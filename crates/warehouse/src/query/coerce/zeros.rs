//! -0.0 = 0.0: comparisons and keys of DOUBLE and FLOAT, which the engine orders and hashes bit by bit.
//!
//! A range is right when its bound is the right zero: `x < 0` as `x < -0.0`, `x <= 0` as `x <= 0.0`. The column stays as it
//! is, and files are left out by their bounds as before. `x = 0` is a range too, from -0.0 to 0.0, which meets the bounds of
//! a file whichever zeros its writer put there. A literal that is no zero changes nothing. Everywhere else both sides, and
//! whatever is grouped by, become plain with a function.
//!
//! Values within arrays, structs and maps stay as they are. The plan of a view comes by twice, so that a second look changes
//! nothing.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, Alias, InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Between, BinaryExpr, Case, Cast, Distinct, Expr, ExprSchemable, LogicalPlan, Operator, Projection, Sort,
    SortExpr, lit,
};
use feitian_functions::{Negate, OneZero, Zero};
use feitian_types::DataType as OdpsType;

pub(super) fn is_floating(ty: &DataType) -> bool {
    matches!(ty, DataType::Float32 | DataType::Float64)
}

/// `e`, which is DOUBLE or FLOAT, with 0.0 for either zero.
pub(super) fn one_zero(e: Expr, schema: &DFSchema) -> Expr {
    if is_whole(&e, schema) { e } else { with_zero(e, Zero::Plus) }
}

/// The same if `e` is DOUBLE or FLOAT; anything else as it is.
pub(super) fn key(e: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(if is_floating(&e.get_type(schema)?) { one_zero(e, schema) } else { e })
}

fn with_zero(e: Expr, zero: Zero) -> Expr {
    let e = bare(e);
    if is_other(&e) { e } else { OneZero::udf(zero).call(vec![e]) }
}

fn is_call(e: &Expr) -> bool {
    matches!(e, Expr::ScalarFunction(f) if f.args.len() == 1 && f.func.inner().downcast_ref::<OneZero>().is_some())
}

/// What stands in such a call; anything else as it is.
fn bare(e: Expr) -> Expr {
    if !is_call(&e) {
        return e;
    }
    match e {
        Expr::ScalarFunction(mut f) => f.args.remove(0),
        e => e,
    }
}

/// A whole number as DOUBLE, which is never -0.0.
fn is_whole(e: &Expr, schema: &DFSchema) -> bool {
    matches!(e, Expr::Cast(Cast { expr, .. }) if expr.get_type(schema).is_ok_and(|ty| ty.is_integer()))
}

/// A literal that equals no zero.
pub(super) fn is_other(e: &Expr) -> bool {
    literal(e).is_some_and(|v| v != 0.0)
}

fn is_zero(e: &Expr) -> bool {
    literal(e).is_some_and(|v| v == 0.0)
}

/// The value of a literal that became DOUBLE or FLOAT, exact enough to tell whether it is zero; NaN for NULL.
fn literal(e: &Expr) -> Option<f64> {
    match e {
        Expr::Literal(value, _) => Some(match value {
            v if v.is_null() => f64::NAN,
            ScalarValue::Float64(Some(v)) => *v,
            ScalarValue::Float32(Some(v)) => f64::from(*v),
            v => exact(v)?,
        }),
        Expr::Cast(Cast { expr, .. }) => literal(expr),
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let [arg] = args.as_slice() else { return None };
            if is_call(e) {
                return literal(arg);
            }
            if func.inner().downcast_ref::<Negate>().is_some() {
                return literal(arg).map(|v| -v);
            }
            let cast = func.inner().downcast_ref::<feitian_functions::Cast>()?;
            match (arg, cast.target()) {
                (Expr::Literal(ScalarValue::Utf8(Some(text)), _), OdpsType::Double) => text.trim().parse().ok(),
                (Expr::Literal(value, _), OdpsType::Double | OdpsType::Float) => exact(value),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A number of a type in which none is so small that it becomes zero elsewhere.
fn exact(value: &ScalarValue) -> Option<f64> {
    Some(match value {
        ScalarValue::Int8(Some(v)) => f64::from(*v),
        ScalarValue::Int16(Some(v)) => f64::from(*v),
        ScalarValue::Int32(Some(v)) => f64::from(*v),
        ScalarValue::Int64(Some(v)) => *v as f64,
        ScalarValue::Decimal128(Some(v), ..) => *v as f64,
        _ => return None,
    })
}

/// The zero that a bound on the right of `op` must be.
fn of_bound(op: Operator) -> Option<Zero> {
    match op {
        Operator::Lt | Operator::GtEq => Some(Zero::Minus),
        Operator::LtEq | Operator::Gt => Some(Zero::Plus),
        _ => None,
    }
}

/// A comparison of two values of one type.
pub(super) fn compare(left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> Expr {
    let make = |l, r| Expr::BinaryExpr(BinaryExpr::new(Box::new(l), op, Box::new(r)));
    if let Some(zero) = of_bound(op) {
        // One bound is enough: the side that reads no column, so that the other one stays what files have bounds of.
        let is_left = !left.any_column_refs() && right.any_column_refs();
        return match op.swap().and_then(of_bound) {
            Some(zero) if is_left => make(with_zero(left, zero), right),
            _ => make(left, with_zero(right, zero)),
        };
    }
    if is_other(&left) || is_other(&right) {
        return make(left, right);
    }
    match (op, is_zero(&left), is_zero(&right)) {
        (Operator::Eq | Operator::NotEq, false, true) if is_read(&left, schema) => {
            between(left, op == Operator::NotEq, right.clone(), right)
        }
        (Operator::Eq | Operator::NotEq, true, false) if is_read(&right, schema) => {
            between(right, op == Operator::NotEq, left.clone(), left)
        }
        _ => make(one_zero(left, schema), one_zero(right, schema)),
    }
}

/// A column that may have both zeros.
fn is_read(e: &Expr, schema: &DFSchema) -> bool {
    e.get_as_join_column().is_some() && !is_whole(e, schema)
}

pub(super) fn between(e: Expr, negated: bool, low: Expr, high: Expr) -> Expr {
    let (low, high) = (with_zero(low, Zero::Minus), with_zero(high, Zero::Plus));
    Expr::Between(Between::new(Box::new(e), negated, Box::new(low), Box::new(high)))
}

pub(super) fn in_list(e: Expr, list: Vec<Expr>, negated: bool, schema: &DFSchema) -> Expr {
    let make = |e, list, negated| Expr::InList(InList::new(Box::new(e), list, negated));
    if list.iter().all(is_other) {
        return make(e, list, negated);
    }
    let (zeros, others): (Vec<Expr>, Vec<Expr>) = list.into_iter().partition(is_zero);
    match zeros.first() {
        Some(zero) if is_read(&e, schema) && others.iter().all(is_other) => {
            let either = between(e.clone(), false, zero.clone(), zero.clone());
            let found = if others.is_empty() { either } else { either.or(make(e, others, false)) };
            if negated { Expr::Not(Box::new(found)) } else { found }
        }
        _ => {
            let list = zeros.into_iter().chain(others).map(|e| one_zero(e, schema)).collect();
            make(one_zero(e, schema), list, negated)
        }
    }
}

/// `NULLIF (value, other)`, which compares where nobody sees it.
pub(super) fn nullif(value: Expr, other: Expr, schema: &DFSchema) -> Expr {
    let same = compare(value.clone(), Operator::Eq, other, schema);
    Expr::Case(Case::new(None, vec![(Box::new(same.is_not_true()), Box::new(value))], None))
}

/// An argument of an aggregate that looks at different values only. `count(DISTINCT a, b)` counts structs, and none where one
/// of them is NULL.
pub(super) fn different(e: Expr, schema: &DFSchema) -> Result<Expr> {
    match e {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "struct" => {
            let args = args.into_iter().map(|e| key(e, schema)).collect::<Result<_>>()?;
            Ok(Expr::ScalarFunction(ScalarFunction::new_udf(func, args)))
        }
        Expr::Case(mut case) if case.expr.is_none() && case.else_expr.is_none() => {
            for (_, then) in &mut case.when_then_expr {
                **then = different(std::mem::take(&mut **then), schema)?;
            }
            Ok(Expr::Case(case))
        }
        e => key(e, schema),
    }
}

/// Keys of an order in which rows with either zero tie.
pub(super) fn sort_keys(keys: &mut [SortExpr], schema: &DFSchema) -> Result<()> {
    for sort in keys {
        sort.expr = key(std::mem::take(&mut sort.expr).unalias(), schema)?;
    }
    Ok(())
}

/// ORDER BY: the key behind a tie decides. Rows that tie in all keys come in any order.
pub(super) fn sort(mut sort: Sort) -> Result<LogicalPlan> {
    if let [keys @ .., _] = sort.expr.as_mut_slice() {
        sort_keys(keys, sort.input.schema())?;
    }
    Ok(LogicalPlan::Sort(sort))
}

/// DISTINCT.
pub(super) fn distinct(distinct: Distinct) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Distinct(match distinct {
        Distinct::All(input) => Distinct::All(one_of_each(input)?),
        other => other,
    }))
}

/// `plan` with one zero in all of its columns.
pub(super) fn one_of_each(plan: Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
    in_columns(plan, |_| true)
}

/// `plan` with one zero in those of its columns that `is_key` chooses by their numbers.
fn in_columns(plan: Arc<LogicalPlan>, is_key: impl Fn(usize) -> bool) -> Result<Arc<LogicalPlan>> {
    let mut changes = false;
    let mut exprs = Vec::with_capacity(plan.schema().fields().len());
    for (i, (qualifier, field)) in plan.schema().iter().enumerate() {
        let column = Expr::Column(Column::from((qualifier, field)));
        if is_floating(field.data_type()) && is_key(i) && !has_one_zero(&plan, i) {
            changes = true;
            exprs.push(with_zero(column, Zero::Plus).alias_qualified(qualifier.cloned(), field.name()));
        } else {
            exprs.push(column);
        }
    }
    if !changes {
        return Ok(plan);
    }
    Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, plan)?)))
}

/// Whether column `i` of `plan` was made so below. Not only does it spare work: where a query is joined by a column of its
/// rows, the engine adds that column to those that the query shows, and knows it only as it is.
fn has_one_zero(plan: &LogicalPlan, i: usize) -> bool {
    let (exprs, input) = match plan {
        LogicalPlan::Projection(made) => (&made.expr, &made.input),
        LogicalPlan::Aggregate(made) => (&made.group_expr, &made.input),
        LogicalPlan::Filter(filter) => return has_one_zero(&filter.input, i),
        LogicalPlan::SubqueryAlias(named) => return has_one_zero(&named.input, i),
        LogicalPlan::Sort(sort) => return has_one_zero(&sort.input, i),
        LogicalPlan::Limit(limit) => return has_one_zero(&limit.input, i),
        LogicalPlan::Distinct(Distinct::All(input)) => return has_one_zero(input, i),
        _ => return false,
    };
    let e = match exprs.get(i) {
        Some(Expr::Alias(alias)) => &*alias.expr,
        Some(e) => e,
        None => return false,
    };
    match e {
        Expr::Column(c) => input.schema().maybe_index_of_column(c).is_some_and(|i| has_one_zero(input, i)),
        e => is_call(e),
    }
}

/// GROUP BY. Its columns keep their names.
///
/// The columns of grouping sets, and those that GROUPING asks about, stay columns: they are made below.
pub(super) fn group(aggregate: Aggregate) -> Result<LogicalPlan> {
    let schema = Arc::clone(aggregate.input.schema());
    let is_set = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
    if is_set || aggregate.aggr_expr.iter().any(is_grouping) {
        let columns = aggregate.group_expr.iter().flat_map(|e| match e {
            Expr::Column(_) | Expr::GroupingSet(_) => e.column_refs(),
            _ => HashSet::new(),
        });
        let keys: HashSet<usize> = columns.filter_map(|c| schema.maybe_index_of_column(c)).collect();
        let input = in_columns(Arc::clone(&aggregate.input), |i| keys.contains(&i))?;
        let made = Aggregate::try_new(input, aggregate.group_expr, aggregate.aggr_expr)?;
        return Ok(LogicalPlan::Aggregate(made));
    }
    let names = NamePreserver::new_for_projection();
    let input = aggregate.input;
    let is_done = |e: &Expr| match e {
        Expr::Column(c) => schema.maybe_index_of_column(c).is_some_and(|i| has_one_zero(&input, i)),
        _ => false,
    };
    let mut keys = Vec::with_capacity(aggregate.group_expr.len());
    for e in aggregate.group_expr {
        if is_floating(&e.get_type(schema.as_ref())?) && !is_done(&e) {
            let name = names.save(&e);
            keys.push(name.restore(one_zero(e.unalias(), &schema)));
        } else {
            keys.push(e);
        }
    }
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, keys, aggregate.aggr_expr)?))
}

fn is_grouping(e: &Expr) -> bool {
    match e {
        Expr::AggregateFunction(AggregateFunction { func, .. }) => func.name() == "grouping",
        Expr::Alias(Alias { expr, .. }) => is_grouping(expr),
        _ => false,
    }
}

/// A condition of a query within another one, and its rows. The columns by which both belong together are made below, and
/// `inner = outer` compares plain columns: the engine joins a query that has an aggregate by nothing else.
pub(super) fn correlated(condition: Expr, input: Arc<LogicalPlan>) -> Result<(Expr, Arc<LogicalPlan>)> {
    if !condition.contains_outer() {
        return Ok((condition, input));
    }
    let schema = Arc::clone(input.schema());
    let (mut keys, mut parts) = (HashSet::new(), Vec::new());
    for part in split_conjunction_owned(condition) {
        if part.contains_outer() {
            keys.extend(part.column_refs().into_iter().filter_map(|c| schema.maybe_index_of_column(c)));
        }
        parts.push(match part {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
                if left.contains_outer() != right.contains_outer() =>
            {
                plain_column(*left).eq(plain_column(*right))
            }
            part => part,
        });
    }
    let input = in_columns(input, |i| keys.contains(&i))?;
    // The split of a condition has one part at least.
    let condition = conjunction(parts).unwrap_or_else(|| lit(true));
    Ok((condition, input))
}

/// A column with one zero as the column.
fn plain_column(e: Expr) -> Expr {
    let is_column = |e: &Expr| e.get_as_join_column().is_some();
    let is_made = matches!(&e, Expr::ScalarFunction(f) if is_call(&e) && f.args.iter().all(is_column));
    if is_made { bare(e) } else { e }
}
