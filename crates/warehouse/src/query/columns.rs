//! Names of result columns: `_c0` for what has none, a mark for what repeats one.

use std::collections::HashSet;

use sqlparser::ast::{
    AccessExpr, Expr, Ident, ObjectNamePart, Select, SelectItem, SetExpr, Spanned, TableFactor, TableWithJoins,
};

use super::sets;

/// Precedes the name of a result column that repeats another's, with a number and `_` after it.
const REPEATED: &str = "__repeated";
/// Precedes the position of an unnamed column after a `*`, whose width only the planner knows.
const UNNAMED: &str = "__unnamed";

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

pub(super) fn last_name(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(names) => names.last(),
        Expr::Nested(inner) => last_name(inner),
        _ => None,
    }
}

/// A top query may give several columns one name; the planner wants them distinct.
pub(super) fn mark_repeated(body: &mut SetExpr) {
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
    if let Some(branches) = sets::branches(select) {
        branches.into_iter().for_each(mark_repeated);
        return;
    }
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

/// The names by which a query knows its tables.
fn table_names(from: &[TableWithJoins]) -> HashSet<String> {
    let mut names = HashSet::new();
    for tables in from {
        collect_names(&tables.relation, &mut names);
        tables.joins.iter().for_each(|join| collect_names(&join.relation, &mut names));
    }
    names
}

fn collect_names(table: &TableFactor, names: &mut HashSet<String>) {
    let alias = match table {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::NestedJoin { alias, .. }
        | TableFactor::Pivot { alias, .. }
        | TableFactor::Unpivot { alias, .. } => alias.as_ref(),
        _ => None,
    };
    match (alias, table) {
        (Some(alias), _) => {
            names.insert(alias.name.value.clone());
        }
        (None, TableFactor::Table { name, .. }) => {
            names.extend(name.0.last().and_then(ObjectNamePart::as_ident).map(|i| i.value.clone()));
        }
        (None, TableFactor::NestedJoin { table_with_joins, .. }) => {
            names.extend(table_names(std::slice::from_ref(&**table_with_joins)));
        }
        (None, TableFactor::Pivot { table, .. } | TableFactor::Unpivot { table, .. }) => collect_names(table, names),
        (None, _) => {}
    }
}

/// Names the columns of `select` that have no name, and those that the planner would name otherwise.
pub(super) fn name_columns(select: &mut Select) {
    let tables = table_names(&select.from);
    let mut after_wildcard = false;
    for (i, item) in select.projection.iter_mut().enumerate() {
        after_wildcard |= is_wildcard(item);
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        // `column.field`, which the planner would name by the whole access.
        if let Expr::CompoundIdentifier(names) = expr
            && let [first, .., last] = names.as_slice()
            && (names.len() > 2 || !tables.contains(first.value.as_str()))
        {
            let alias = Ident { quote_style: Some('`'), ..last.clone() };
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            continue;
        }
        if last_name(expr).is_some() || matches!(expr, Expr::CompoundFieldAccess { .. }) && field_name(expr).is_some() {
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

/// The name of the last field in `a.b[0].c`.
fn field_name(expr: &Expr) -> Option<Ident> {
    let Expr::CompoundFieldAccess { access_chain, .. } = expr else { return None };
    match access_chain.last()? {
        AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
        _ => None,
    }
}
