//! IN and EXISTS with a query where the planner does not know them: with several columns, and in a SELECT list.

use std::ops::ControlFlow;

use feitian_base::{Error, Result};
use feitian_sql::{Position, SqlError, parse_query};
use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, Query, Select, SetExpr, Spanned, TableAlias, TableAliasColumnDef,
    TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

use super::errors::{front_end, semantic};

/// So many queries of IN and EXISTS may stand in the SELECT lists of a statement, copies counted.
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

/// Rewrites IN and EXISTS in the SELECT list: the planner knows them in conditions only.
///
/// `x IN (query)` asks the set of the query's values; it is NULL where x or one of the values is NULL and none is equal.
///
/// `left` is how many more may be rewritten in the statement: each makes copies of its query, which may hold others.
pub(super) fn in_select_list(select: &mut Select, left: &mut usize) -> Result<()> {
    match select.projection.visit(&mut Lists { depth: 0, left }) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Lists<'a> {
    depth: usize,
    left: &'a mut usize,
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
            Expr::Exists { subquery, negated } => exists(subquery, *negated),
            _ => return ControlFlow::Continue(()),
        };
        if *self.left == 0 {
            let text = format!("more than {MAX_IN_LISTS} queries of IN and EXISTS inside each other's SELECT lists");
            return ControlFlow::Break(semantic(expr.span().into(), text));
        }
        *self.left -= 1;
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
    let Some(sqlparser::ast::SelectItem::UnnamedExpr(mut expr)) = select.projection.pop() else {
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
