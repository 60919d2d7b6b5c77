//! Rewrites a syntax tree into the form in which the planner gives it MaxCompute's meaning.
//!
//! - Unnamed columns are named `_c0`, `_c1` … by their position.
//! - Columns of the result that repeat a name get a mark, which [`output_name`] takes off again.
//! - Whole numbers in GROUP BY and ORDER BY are constants, unless a flag makes them positions.
//! - SORT BY and CLUSTER BY are the ORDER BY of a machine that works alone.
//! - IN and EXISTS with a query of one row, as totals are, compare with that row.
//! - IN with several columns and a query is EXISTS, IN and EXISTS in a SELECT list are scalar subqueries; so is IN in a
//!   condition where it may not be taken for FALSE when it is NULL.
//! - DECODE is a CASE; WITHIN GROUP moves into the arguments.

use std::ops::ControlFlow;

use feitian_base::{Error, Kind, Result};
use feitian_functions::registry;
use feitian_sql::Position;
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, DataType, Distinct, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArguments, GroupByExpr, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Query,
    Select, SelectItem, SetExpr, Spanned, Value, VisitMut, VisitorMut,
};

use super::columns::{self, output_name};
use super::errors::{semantic, statement_error};
use super::grouping;
use super::lambdas;
use super::settings::Settings;
use super::subqueries;
use super::values;

/// Rewrites `query` in place.
pub(super) fn prepare(query: &mut Query, settings: &Settings) -> Result<()> {
    lambdas::check_depth(query)?;
    columns::mark_repeated(&mut query.body);
    match query.visit(&mut Rewrite { settings, in_lists: subqueries::MAX_IN_LISTS }) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewrite<'a> {
    settings: &'a Settings,
    /// How many queries of IN and EXISTS may still be rewritten.
    in_lists: usize,
}

fn is_whole_number(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(v) if matches!(&v.value, Value::Number(n, _) if n.bytes().all(|b| b.is_ascii_digit())))
}

impl Rewrite<'_> {
    fn group_by(&self, select: &mut Select) -> Result<()> {
        let GroupByExpr::Expressions(items, _) = &mut select.group_by else { return Ok(()) };
        if matches!(select.distinct, Some(Distinct::Distinct)) && !items.is_empty() {
            let at = items.first().map_or(Position::UNKNOWN, |e| e.span().into());
            return Err(semantic(at, "SELECT DISTINCT and GROUP BY can not be in the same query"));
        }
        for item in items.iter_mut() {
            match item {
                Expr::GroupingSets(sets) => {
                    for item in sets.iter_mut().flatten().filter(|e| is_whole_number(e)) {
                        if self.settings.group_by_position() {
                            let text = format!("position {item} cannot stand in GROUPING SETS, ROLLUP or CUBE");
                            return Err(semantic(item.span().into(), text));
                        }
                        constant(item);
                    }
                }
                item if is_whole_number(item) && !self.settings.group_by_position() => constant(item),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sorted within each worker, and there is one.
    fn sort_by(&self, query: &mut Query) {
        let SetExpr::Select(select) = &mut *query.body else { return };
        let mut items = std::mem::take(&mut select.sort_by);
        let options = OrderByOptions { asc: None, nulls_first: None };
        let cluster = std::mem::take(&mut select.cluster_by).into_iter();
        items.extend(cluster.map(|expr| OrderByExpr { expr, options, with_fill: None }));
        items.retain(|item| !is_whole_number(&item.expr));
        if !items.is_empty() {
            query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(items), interpolate: None });
        }
    }

    fn order_by(&self, query: &mut Query) -> Result<()> {
        let Some(order_by) = &mut query.order_by else { return Ok(()) };
        let OrderByKind::Expressions(items) = &mut order_by.kind else { return Ok(()) };
        ambiguous(&query.body, items)?;
        if query.limit_clause.is_none() && self.settings.order_by_needs_limit() {
            let at = items.first().map_or(Position::UNKNOWN, |o| o.expr.span().into());
            return Err(semantic(at, "ORDER BY must be used with a LIMIT clause"));
        }
        if !self.settings.order_by_position() {
            items.retain(|item| !is_whole_number(&item.expr));
        }
        if items.is_empty() {
            query.order_by = None;
        }
        Ok(())
    }
}

/// ODPS-0130071 if ORDER BY names a column of FROM that is in the result and so is another one under its name.
fn ambiguous(body: &SetExpr, items: &[OrderByExpr]) -> Result<()> {
    let SetExpr::Select(select) = body else { return Ok(()) };
    for item in items {
        let Expr::Identifier(name) = &item.expr else { continue };
        let mut plain = None;
        let mut other = false;
        for (i, shown) in select.projection.iter().enumerate() {
            match shown {
                SelectItem::UnnamedExpr(e) if columns::last_name(e).is_some_and(|n| n.value == name.value) => {
                    plain = Some(e);
                }
                SelectItem::ExprWithAlias { expr, alias } if output_name(&alias.value, i) == name.value => {
                    let same = columns::last_name(expr).is_some_and(|n| n.value == name.value);
                    if same { plain = Some(expr) } else { other = true }
                }
                _ => {}
            }
        }
        if let (Some(plain), true) = (plain, other) {
            let column = &name.value;
            let detail = format!("{column} is ambiguous, can be both {plain} or null.{column}");
            return Err(semantic(name.span.into(), detail));
        }
    }
    Ok(())
}

/// A number that is no position.
fn constant(number: &mut Expr) {
    let expr = Box::new(number.clone());
    let data_type = DataType::BigInt(None);
    *number = Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None };
}

/// The planner takes the names at the front of `a.b.c[0].d` for a column; the others it wants as texts.
fn fields_as_text(root: &Expr, chain: &mut [AccessExpr]) {
    let mut front = matches!(root, Expr::Identifier(_));
    for access in chain {
        match access {
            AccessExpr::Dot(Expr::Identifier(_)) if front => {}
            AccessExpr::Dot(field) => lambdas::as_text(field),
            AccessExpr::Subscript(_) => front = false,
        }
    }
}

fn has_two(function: &Function) -> bool {
    matches!(&function.args, FunctionArguments::List(list) if list.args.len() == 2)
}

/// `DECODE(x, a, r, …, default)`: NULL equals NULL.
fn decode(function: &Function) -> Result<Expr> {
    let at = Position::from(function.name.span());
    let FunctionArguments::List(list) = &function.args else {
        return Err(semantic(at, "function decode needs at least 3 parameters, actually have 0"));
    };
    let mut args = Vec::new();
    for arg in &list.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => args.push(e.clone()),
            _ => return Err(semantic(at, "function decode takes expressions only")),
        }
    }
    if args.len() < 3 {
        let text = format!("function decode needs at least 3 parameters, actually have {}", args.len());
        return Err(semantic(at, text));
    }
    let mut rest = args.split_off(1).into_iter();
    let subject = args.swap_remove(0);
    let (mut conditions, mut else_result) = (Vec::new(), None);
    while let Some(value) = rest.next() {
        match rest.next() {
            None => else_result = Some(Box::new(value)),
            Some(result) => {
                let (left, right) = (Box::new(subject.clone()), Box::new(value));
                let condition = Expr::BinaryOp { left, op: BinaryOperator::Spaceship, right };
                conditions.push(CaseWhen { condition, result });
            }
        }
    }
    let token = AttachedToken::empty();
    Ok(Expr::Case { case_token: token.clone(), end_token: token, operand: None, conditions, else_result })
}

/// Refuses the clauses of aggregates and windows at a function that is neither: the planner would forget them.
fn refuse_clauses(function: &Function) -> Result<()> {
    let name = function.name.to_string().to_lowercase();
    let functions = registry();
    let is_aggregate = functions.aggregate.contains_key(&name);
    let is_window = functions.window.contains_key(&name);
    let is_plain = functions.scalar.contains_key(&name) || functions.higher.contains_key(&name);
    if is_aggregate || !(is_plain || is_window) {
        return Ok(());
    }
    let at = Position::from(function.name.span());
    if !is_window && (function.over.is_some() || function.null_treatment.is_some()) {
        let detail = format!("function {name} is no window function");
        return Err(statement_error(Kind::Invalid, "ODPS-0130181", at, "Window function exception", &detail));
    }
    let distinct = matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment.is_some());
    let clauses = [
        (distinct, "DISTINCT"),
        (function.filter.is_some(), "FILTER"),
        (!function.within_group.is_empty(), "WITHIN GROUP"),
    ];
    match clauses.iter().find(|(there, _)| *there) {
        Some((_, clause)) => Err(semantic(at, format!("{clause} is for aggregates, and function {name} is none"))),
        None => Ok(()),
    }
}

impl VisitorMut for Rewrite<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        values::hide_cells(&mut query.body);
        match self.order_by(query).and_then(|()| grouping::rewrite(query)) {
            Ok(()) => self.sort_by(query),
            Err(e) => return ControlFlow::Break(e),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let grouped = grouping::rewrite_select(select, &mut None);
        columns::name_columns(select);
        subqueries::of_one_row(select);
        let grouped = grouped.and_then(|()| subqueries::in_select_list(select, &mut self.in_lists));
        let grouped = grouped.and_then(|()| subqueries::in_conditions(select, &mut self.in_lists));
        match grouped.and_then(|()| self.group_by(select)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::CompoundFieldAccess { root, access_chain } = expr {
            fields_as_text(root, access_chain);
        }
        if let Expr::Lambda(lambda) = expr {
            lambdas::fields_of_parameters(lambda);
        }
        if let Err(e) = subqueries::several_columns(expr) {
            return ControlFlow::Break(e);
        }
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        // With two arguments it turns bytes of a character set into text, and is a function.
        if function.name.to_string().eq_ignore_ascii_case("decode") && !has_two(function) {
            match decode(function) {
                Ok(case) => *expr = case,
                Err(e) => return ControlFlow::Break(e),
            }
            return ControlFlow::Continue(());
        }
        if let Err(e) = refuse_clauses(function) {
            return ControlFlow::Break(e);
        }
        if !function.within_group.is_empty()
            && let FunctionArguments::List(list) = &mut function.args
        {
            list.clauses.push(FunctionArgumentClause::OrderBy(std::mem::take(&mut function.within_group)));
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn prepared(text: &str) -> String {
        let mut query = feitian_sql::parse_query(text).unwrap();
        prepare(&mut query, &Settings::default()).unwrap();
        query.to_string()
    }

    // MaxCompute documentation, "SELECT syntax": unnamed columns are _c0, _c1 … counting all columns.
    #[test]
    fn unnamed_columns_are_named_by_position() {
        assert_eq!(prepared("select a, 1, count(*) from t"), "SELECT a, 1 AS `_c1`, count(*) AS `_c2` FROM t");
        assert_eq!(output_name("__unnamed1", 4), "_c4");
    }

    #[test]
    fn repeated_names_of_the_top_query_are_marked() {
        assert_eq!(prepared("select a, b.a from t b"), "SELECT a, b.a AS `__repeated1_a` FROM t b");
        assert_eq!(output_name("__repeated1_a", 1), "a");
        assert_eq!(output_name("__repeated12_a_b", 1), "a_b");
    }

    // MaxCompute documentation of the flags odps.sql.groupby.position.alias and odps.sql.orderby.position.alias: off.
    #[test]
    fn numbers_in_group_by_and_order_by_are_constants() {
        let text = prepared("select a from t group by a, 1 order by 1 limit 3");
        assert_eq!(text, "SELECT a FROM t GROUP BY a, CAST(1 AS BIGINT) LIMIT 3");
    }

    // SQL:1999 defines ROLLUP and CUBE by the grouping sets that they stand for.
    #[test]
    fn every_spelling_of_grouping_sets_becomes_one() {
        let sets = |group_by: &str| {
            let text = prepared(&format!("select count(*) from t group by {group_by}"));
            text.split_once("GROUP BY ").unwrap().1.to_string()
        };
        let rollup = "GROUPING SETS ((a, b), (a), ())";
        assert_eq!(sets("rollup(a, b)"), rollup);
        assert_eq!(sets("a, b with rollup"), rollup);
        assert_eq!(sets("a, b grouping sets ((a, b), a, ())"), rollup);
        let cube = "GROUPING SETS ((a, b), (a), (b), ())";
        assert_eq!(sets("cube(a, b)"), cube);
        assert_eq!(sets("a, b with cube"), cube);
        assert_eq!(sets("a, rollup((b, c), d)"), "GROUPING SETS ((a, b, c, d), (a, b, c), (a))");
        assert_eq!(sets("grouping sets (a, b), cube(c)"), "GROUPING SETS ((a, c), (a), (b, c), (b))");
    }

    // MaxCompute documentation, "GROUPING SETS": GROUPING__ID is GROUPING_ID of all columns of GROUP BY.
    #[test]
    fn grouping_id_is_grouping_of_all_columns() {
        let text = prepared(
            "select grouping__id, grouping_id(b) from t group by a, b with cube order by grouping__id limit 1",
        );
        // It is a BIGINT; a cast of a cast changes nothing.
        let plain = text.replace("CAST(", "").replace(" AS BIGINT)", "");
        assert!(plain.starts_with("SELECT grouping(a, b) AS `grouping__id`, grouping(b) AS `_c1` FROM"), "{text}");
        assert!(plain.ends_with("ORDER BY grouping(a, b) LIMIT 1"), "{text}");
    }

    #[test]
    fn decode_is_a_case() {
        let text = prepared("select decode(a, 1, 'x', 'y') from t");
        assert_eq!(text, "SELECT CASE WHEN a <=> 1 THEN 'x' ELSE 'y' END AS `_c0` FROM t");
    }
}
