//! Rewrites a syntax tree into the form in which the planner gives it MaxCompute's meaning.
//!
//! - Unnamed columns are named `_c0`, `_c1` … by their position.
//! - Columns of the result that repeat a name get a mark, which [`output_name`] takes off again.
//! - Whole numbers in GROUP BY and ORDER BY are constants, unless a flag makes them positions.
//! - DECODE is a CASE; WITHIN GROUP moves into the arguments.

use std::collections::HashSet;
use std::ops::ControlFlow;

use feitian_base::{Error, Result};
use feitian_sql::Position;
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, DataType, Distinct, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArguments, GroupByExpr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr,
    Spanned, Value, VisitMut, VisitorMut,
};

use super::errors::semantic;
use super::settings::Settings;
use super::values;

/// Precedes the name of a result column that repeats another's, with a number and `_` after it.
const REPEATED: &str = "__repeated";
/// Precedes the position of an unnamed column after a `*`, whose width only the planner knows.
const UNNAMED: &str = "__unnamed";

/// Rewrites `query` in place.
pub(super) fn prepare(query: &mut Query, settings: &Settings) -> Result<()> {
    mark_repeated(&mut query.body);
    match query.visit(&mut Rewrite { settings }) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The name of a result column at `position` as the user sees it.
pub(super) fn output_name(name: &str, position: usize) -> String {
    if name.starts_with(UNNAMED) {
        return format!("_c{position}");
    }
    match name.strip_prefix(REPEATED).and_then(|rest| rest.split_once('_')) {
        Some((_, name)) => name.to_string(),
        None => name.to_string(),
    }
}

fn last_name(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(names) => names.last(),
        Expr::Nested(inner) => last_name(inner),
        _ => None,
    }
}

/// A top query may give several columns one name; the planner wants them distinct.
fn mark_repeated(body: &mut SetExpr) {
    let select = match body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { left, right, .. } => {
            mark_repeated(left);
            mark_repeated(right);
            return;
        }
        SetExpr::Query(query) => return mark_repeated(&mut query.body),
        _ => return,
    };
    let wild = select.projection.iter().any(is_wildcard);
    let mut seen = HashSet::new();
    for (i, item) in select.projection.iter_mut().enumerate() {
        let (name, span, expr) = match item {
            SelectItem::UnnamedExpr(e) => match last_name(e) {
                Some(name) => (name.value.clone(), name.span, e.clone()),
                None => continue,
            },
            SelectItem::ExprWithAlias { expr, alias } => (alias.value.clone(), alias.span, expr.clone()),
            _ => continue,
        };
        let plain = matches!(item, SelectItem::UnnamedExpr(_));
        if !seen.insert(name.clone()) || (wild && plain) {
            let alias = Ident { value: format!("{REPEATED}{i}_{name}"), quote_style: Some('`'), span };
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

fn is_wildcard(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
}

struct Rewrite<'a> {
    settings: &'a Settings,
}

fn is_whole_number(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(v) if matches!(&v.value, Value::Number(n, _) if n.bytes().all(|b| b.is_ascii_digit())))
}

impl Rewrite<'_> {
    fn name_columns(&self, select: &mut Select) {
        let mut after_wildcard = false;
        for (i, item) in select.projection.iter_mut().enumerate() {
            after_wildcard |= is_wildcard(item);
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            if last_name(expr).is_some()
                || matches!(expr, Expr::CompoundFieldAccess { .. }) && field_name(expr).is_some()
            {
                continue;
            }
            let span = expr.span();
            let value = if after_wildcard { format!("{UNNAMED}{i}") } else { format!("_c{i}") };
            let alias = Ident { value, quote_style: Some('`'), span };
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
        for item in &mut select.projection {
            // A field of a struct is shown under the field's name.
            if let SelectItem::UnnamedExpr(expr @ Expr::CompoundFieldAccess { .. }) = item
                && let Some(alias) = field_name(expr)
            {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
    }

    fn group_by(&self, select: &mut Select) -> Result<()> {
        let GroupByExpr::Expressions(items, _) = &mut select.group_by else { return Ok(()) };
        if matches!(select.distinct, Some(Distinct::Distinct)) && !items.is_empty() {
            let at = items.first().map_or(Position::UNKNOWN, |e| e.span().into());
            return Err(semantic(at, "SELECT DISTINCT and GROUP BY can not be in the same query"));
        }
        if !self.settings.group_by_position() {
            for item in items.iter_mut().filter(|e| is_whole_number(e)) {
                let expr = Box::new(item.clone());
                let data_type = DataType::BigInt(None);
                *item = Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None };
            }
        }
        Ok(())
    }

    fn order_by(&self, query: &mut Query) -> Result<()> {
        let Some(order_by) = &mut query.order_by else { return Ok(()) };
        let OrderByKind::Expressions(items) = &mut order_by.kind else { return Ok(()) };
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

/// The name of the last field in `a.b[0].c`.
fn field_name(expr: &Expr) -> Option<Ident> {
    let Expr::CompoundFieldAccess { access_chain, .. } = expr else { return None };
    match access_chain.last()? {
        AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
        _ => None,
    }
}

/// The planner takes the names at the front of `a.b.c[0].d` for a column; the others it wants as texts.
fn fields_as_text(root: &Expr, chain: &mut [AccessExpr]) {
    let mut front = matches!(root, Expr::Identifier(_));
    for access in chain {
        match access {
            AccessExpr::Dot(Expr::Identifier(_)) if front => {}
            AccessExpr::Dot(field) => {
                if let Expr::Identifier(name) = field {
                    *field = Expr::Value(Value::SingleQuotedString(name.value.clone()).with_span(name.span));
                }
            }
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

impl VisitorMut for Rewrite<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        values::hide_cells(&mut query.body);
        match self.order_by(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        self.name_columns(select);
        match self.group_by(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::CompoundFieldAccess { root, access_chain } = expr {
            fields_as_text(root, access_chain);
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

    #[test]
    fn decode_is_a_case() {
        let text = prepared("select decode(a, 1, 'x', 'y') from t");
        assert_eq!(text, "SELECT CASE WHEN a <=> 1 THEN 'x' ELSE 'y' END AS `_c0` FROM t");
    }
}
