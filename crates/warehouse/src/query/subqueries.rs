//! IN and EXISTS with a query where the planner does not know them: with several columns, in a SELECT list, where it matters
//! that IN may be NULL, and with a total over rows that there may be none of.

use std::ops::ControlFlow;

use feitian_base::{Error, Result};
use feitian_functions::registry;
use feitian_sql::{Position, SqlError, parse_query};
use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr, Spanned, TableAlias,
    TableAliasColumnDef, TableFactor, TableWithJoins, UnaryOperator, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::errors::{front_end, semantic};

/// So many queries of IN and EXISTS may be rewritten in a statement, copies counted.
pub(super) const MAX_IN_LISTS: usize = 64;

/// No name that a user would write is like it.
const TABLE: &str = "__in";

fn ident(name: String) -> Ident {
    Ident::with_quote('`', name)
}

fn column(i: usize) -> Ident {
    ident(format!("{TABLE}{i}"))
}

/// `select`, a text without FROM, over the rows of `subquery`, whose columns are `__in0`, `__in1` …
fn over(select: &str, subquery: &Query, columns: usize) -> Result<Box<Query>> {
    let columns = (0..columns).map(|i| TableAliasColumnDef { name: column(i), data_type: None }).collect();
    let alias = TableAlias { explicit: true, name: ident(TABLE.to_string()), columns, at: None };
    let subquery = Box::new(subquery.clone());
    let relation = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
    let mut query = parse_query(select).map_err(front_end)?;
    let SetExpr::Select(outer) = &mut *query.body else { return Err(Error::internal("a SELECT")) };
    outer.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    Ok(query)
}

/// Rewrites `(a, b) IN (SELECT x, y …)` as EXISTS over the same query.
pub(super) fn several_columns(expr: &mut Expr) -> Result<()> {
    let Expr::InSubquery { expr: left, subquery, negated } = expr else { return Ok(()) };
    let Expr::Tuple(items) = &**left else { return Ok(()) };
    if *negated {
        // With NULLs it is not the opposite of EXISTS.
        let at = Position::from(left.span());
        return Err(front_end(SqlError::unsupported(at, "NOT IN with several columns and a query")));
    }
    let equal = |(i, item): (usize, &Expr)| Expr::BinaryOp {
        left: Box::new(Expr::CompoundIdentifier(vec![ident(TABLE.to_string()), column(i)])),
        op: BinaryOperator::Eq,
        right: Box::new(Expr::Nested(Box::new(item.clone()))),
    };
    let both = |left, right| Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) };
    let mut query = over("SELECT 1 AS `_c0`", subquery, items.len())?;
    let SetExpr::Select(select) = &mut *query.body else { return Err(Error::internal("a SELECT")) };
    select.selection = items.iter().enumerate().map(equal).reduce(both);
    *expr = Expr::Exists { subquery: query, negated: false };
    Ok(())
}

/// Rewrites IN and EXISTS with a query that has one row whatever it finds: `x IN (SELECT count(*) …)` is `x = (SELECT …)`.
///
/// The engine joins such a query by the columns of the outer one, and takes a total over no rows for no row.
pub(super) fn of_one_row(select: &mut Select) {
    let _ = VisitMut::visit(&mut select.projection, &mut OneRow { depth: 0 });
    let conditions = [&mut select.selection, &mut select.having, &mut select.qualify];
    conditions.into_iter().flatten().for_each(one_row_in);
}

/// The same in a condition. Where IN has to hold, `coerce` knows whether the query is about a row: if not, a join finds out
/// which partitions are read.
fn one_row_in(condition: &mut Expr) {
    let stays = match &*condition {
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => is_plain_in(expr),
        e => is_plain_in(e),
    };
    match condition {
        _ if stays => {}
        Expr::Nested(e) => one_row_in(e),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            one_row_in(left);
            one_row_in(right);
        }
        other => {
            let _ = VisitMut::visit(other, &mut OneRow { depth: 0 });
        }
    }
}

fn is_plain_in(e: &Expr) -> bool {
    match e {
        Expr::Nested(e) => is_plain_in(e),
        Expr::InSubquery { subquery, .. } => having_of(subquery).is_none(),
        _ => false,
    }
}

struct OneRow {
    depth: usize,
}

impl VisitorMut for OneRow {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::InSubquery { expr: x, subquery, negated }
                if !matches!(**x, Expr::Tuple(_)) && is_one_row(subquery) && gives_total(subquery) =>
            {
                *expr = is_the_row(x, subquery, *negated);
            }
            Expr::Exists { subquery, negated } if is_one_row(subquery) => *expr = is_a_row(subquery, *negated),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn joined(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }))
}

/// `x IN (query)`, if that has one row.
fn is_the_row(x: &Expr, query: &Query, negated: bool) -> Expr {
    let (mut query, having) = (query.clone(), having_of(query));
    if let SetExpr::Select(select) = &mut *query.body {
        select.having = None;
    }
    let (x, row) = (Expr::Nested(Box::new(x.clone())), Expr::Subquery(Box::new(query)));
    match having {
        None => joined(x, if negated { BinaryOperator::NotEq } else { BinaryOperator::Eq }, row),
        Some(having) => {
            let found = joined(having, BinaryOperator::And, joined(x, BinaryOperator::Eq, row));
            if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(found) } } else { found }
        }
    }
}

/// `EXISTS (query)`, if that has one row unless HAVING takes it away.
fn is_a_row(query: &Query, negated: bool) -> Expr {
    if let Some(having) = having_of(query) {
        return if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(having) } } else { having };
    }
    // It is planned, so that what it names must be there.
    let mut query = query.clone();
    if let SetExpr::Select(select) = &mut *query.body {
        select.projection.truncate(1);
    }
    let asked = Expr::IsNull(Box::new(Expr::Subquery(Box::new(query))));
    let op = if negated { BinaryOperator::And } else { BinaryOperator::Or };
    joined(asked, op, Expr::Value(Value::Boolean(!negated).with_empty_span()))
}

/// Whether HAVING of `query` holds, as a query of its own.
fn having_of(query: &Query) -> Option<Expr> {
    let mut query = query.clone();
    let SetExpr::Select(select) = &mut *query.body else { return None };
    let having = select.having.take()?;
    select.projection = vec![SelectItem::UnnamedExpr(having)];
    Some(Expr::Nested(Box::new(Expr::IsTrue(Box::new(Expr::Subquery(Box::new(query)))))))
}

/// Whether `query` is a total over all that it finds, and nothing but HAVING takes that row away.
fn is_one_row(query: &Query) -> bool {
    let SetExpr::Select(select) = &*query.body else { return false };
    let is_whole = matches!(&select.group_by, GroupByExpr::Expressions(items, _) if items.is_empty());
    let is_kept = select.qualify.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    // HAVING may use names that the SELECT list gives; then it stays where they are known.
    is_whole && is_kept && select.having.as_ref().map_or_else(|| gives_total(query), has_total)
}

/// Whether a total stands in the first column of `query`.
fn gives_total(query: &Query) -> bool {
    let SetExpr::Select(select) = &*query.body else { return false };
    match select.projection.first() {
        Some(SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. }) => has_total(e),
        _ => false,
    }
}

/// Whether an aggregate function stands in `e`.
fn has_total(e: &Expr) -> bool {
    struct Totals(usize);
    impl Visitor for Totals {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(call) if self.0 == 0 && call.over.is_none() => {
                    let name = call.name.to_string().to_lowercase();
                    let is_total = registry().aggregate.contains_key(&name);
                    if is_total { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    Visit::visit(e, &mut Totals(0)).is_break()
}

/// Rewrites IN and EXISTS in the SELECT list: the planner knows them in conditions only.
///
/// `x IN (query)` asks the set of the query's values; it is NULL where x or one of the values is NULL and none is equal.
///
/// `left` is how many more may be rewritten in the statement: each makes copies of its query, which may hold others.
pub(super) fn in_select_list(select: &mut Select, left: &mut usize) -> Result<()> {
    match VisitMut::visit(&mut select.projection, &mut Lists { depth: 0, left, with_exists: true }) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Rewrites IN in WHERE, HAVING and QUALIFY where it is not one of the conditions that all have to hold.
///
/// There the planner takes IN for FALSE when it is NULL, which makes NOT IN and NOT (… IN …) true of rows that they are not
/// true of.
pub(super) fn in_conditions(select: &mut Select, left: &mut usize) -> Result<()> {
    let conditions = [&mut select.selection, &mut select.having, &mut select.qualify];
    conditions.into_iter().flatten().try_for_each(|condition| all_hold(condition, left))
}

/// `condition` is one of those that all have to hold. The planner knows IN and NOT IN there.
fn all_hold(condition: &mut Expr, left: &mut usize) -> Result<()> {
    match condition {
        Expr::Nested(e) => all_hold(e, left),
        Expr::BinaryOp { left: a, op: BinaryOperator::And, right: b } => {
            all_hold(a, left)?;
            all_hold(b, left)
        }
        Expr::InSubquery { .. } => Ok(()),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => match innermost(expr) {
            Expr::InSubquery { expr, subquery, negated } => {
                let (expr, subquery, negated) = (expr.clone(), subquery.clone(), !*negated);
                *condition = Expr::InSubquery { expr, subquery, negated };
                Ok(())
            }
            _ => part(expr, false, left),
        },
        other => part(other, true, left),
    }
}

fn innermost(expr: &mut Expr) -> &mut Expr {
    match expr {
        Expr::Nested(e) => innermost(e),
        other => other,
    }
}

/// `expr` is a part of a condition that asks whether it is `wanted`: NULL is then as good as the opposite.
fn part(expr: &mut Expr, wanted: bool, left: &mut usize) -> Result<()> {
    match expr {
        Expr::Nested(e) => part(e, wanted, left),
        Expr::BinaryOp { left: a, op: BinaryOperator::And | BinaryOperator::Or, right: b } => {
            part(a, wanted, left)?;
            part(b, wanted, left)
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => part(expr, !wanted, left),
        Expr::InSubquery { expr: x, negated, .. } if *negated != wanted || matches!(**x, Expr::Tuple(_)) => Ok(()),
        Expr::InSubquery { expr: x, subquery, negated } => {
            one_less(left, x)?;
            *expr = never_unknown(x, subquery, *negated)?;
            Ok(())
        }
        other => match VisitMut::visit(other, &mut Lists { depth: 0, left, with_exists: false }) {
            ControlFlow::Break(e) => Err(e),
            ControlFlow::Continue(()) => Ok(()),
        },
    }
}

/// `x NOT IN (query)` that is FALSE, or `x IN (query)` that is TRUE, where it would be NULL.
fn never_unknown(x: &Expr, subquery: &Query, negated: bool) -> Result<Expr> {
    let of = |select: &str| over(select, subquery, 1).map(Expr::Subquery);
    let found = Expr::InSubquery { expr: Box::new(x.clone()), subquery: Box::new(subquery.clone()), negated };
    let parts = [
        ("found", found),
        ("x", Expr::Nested(Box::new(x.clone()))),
        ("q1", of("SELECT count(*) AS `_c0`")?),
        ("q2", of("SELECT count(*) - count(`__in0`) AS `_c0`")?),
    ];
    let text = if negated {
        "SELECT found AND (x IS NOT NULL OR q1 = 0) AND q2 = 0"
    } else {
        "SELECT found OR (x IS NULL AND q1 > 0) OR q2 > 0"
    };
    template(text, &parts)
}

fn one_less(left: &mut usize, at: &Expr) -> Result<()> {
    if *left == 0 {
        let text = format!("more than {MAX_IN_LISTS} queries of IN and EXISTS inside each other");
        return Err(semantic(at.span().into(), text));
    }
    *left -= 1;
    Ok(())
}

struct Lists<'a> {
    depth: usize,
    left: &'a mut usize,
    /// Whether EXISTS is not known there either.
    with_exists: bool,
}

impl VisitorMut for Lists<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let new = match expr {
            Expr::InSubquery { expr: left, subquery, negated } if !matches!(**left, Expr::Tuple(_)) => {
                member(left, subquery, *negated)
            }
            Expr::Exists { subquery, negated } if self.with_exists => exists(subquery, *negated),
            _ => return ControlFlow::Continue(()),
        };
        if let Err(e) = one_less(self.left, expr) {
            return ControlFlow::Break(e);
        }
        match new {
            Ok(new) => *expr = new,
            Err(e) => return ControlFlow::Break(e),
        }
        ControlFlow::Continue(())
    }
}

/// The expression of the text `select <expression>`, in which the names `x`, `q0` … stand for `parts`.
fn template(text: &str, parts: &[(&str, Expr)]) -> Result<Expr> {
    struct Fill<'a>(&'a [(&'a str, Expr)]);
    impl VisitorMut for Fill<'_> {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Identifier(name) = expr
                && let Some((_, part)) = self.0.iter().find(|(n, _)| *n == name.value)
            {
                *expr = part.clone();
            }
            ControlFlow::Continue(())
        }
    }
    let mut query = parse_query(text).map_err(front_end)?;
    let SetExpr::Select(select) = &mut *query.body else { return Err(Error::internal("a SELECT")) };
    let Some(SelectItem::UnnamedExpr(mut expr)) = select.projection.pop() else {
        return Err(Error::internal("an expression"));
    };
    let _ = VisitMut::visit(&mut expr, &mut Fill(parts));
    Ok(Expr::Nested(Box::new(expr)))
}

fn member(left: &Expr, subquery: &Query, negated: bool) -> Result<Expr> {
    let of = |select: &str| over(select, subquery, 1).map(Expr::Subquery);
    let parts = [
        ("x", Expr::Nested(Box::new(left.clone()))),
        ("q0", of("SELECT collect_set(`__in0`) AS `_c0`")?),
        ("q1", of("SELECT count(*) AS `_c0`")?),
        ("q2", of("SELECT count(*) - count(`__in0`) AS `_c0`")?),
    ];
    let not = if negated { "NOT " } else { "" };
    let text = format!(
        "SELECT {not}CASE WHEN array_contains(q0, x) THEN TRUE WHEN q1 = 0 THEN FALSE \
         WHEN x IS NULL OR q2 > 0 THEN NULL ELSE FALSE END"
    );
    template(&text, &parts)
}

fn exists(subquery: &Query, negated: bool) -> Result<Expr> {
    let count = parse_query("SELECT count(*) AS `_c0`").map_err(front_end)?;
    let (SetExpr::Select(inner), SetExpr::Select(count_only)) = (&*subquery.body, &*count.body) else {
        return compared(over("SELECT count(*) AS `_c0`", subquery, 0)?, negated);
    };
    let grouped = !matches!(&inner.group_by, GroupByExpr::Expressions(items, _) if items.is_empty());
    let plain = !grouped && inner.having.is_none() && inner.qualify.is_none() && subquery.limit_clause.is_none();
    if !plain || inner.distinct.is_some() || inner.projection.iter().any(|item| item.to_string().contains('(')) {
        return compared(over("SELECT count(*) AS `_c0`", subquery, 0)?, negated);
    }
    // Counted in place, so that conditions on columns from outside stay where the planner looks for them.
    let mut query = subquery.clone();
    query.order_by = None;
    if let SetExpr::Select(select) = &mut *query.body {
        select.projection.clone_from(&count_only.projection);
    }
    compared(Box::new(query), negated)
}

fn compared(count: Box<Query>, negated: bool) -> Result<Expr> {
    let text = if negated { "SELECT q = 0" } else { "SELECT q > 0" };
    template(text, &[("q", Expr::Subquery(count))])
}
