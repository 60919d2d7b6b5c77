//! Table functions: `LATERAL VIEW f(x) t AS a`, and `SELECT f(x) AS a`, which is the same over the whole of FROM.
//!
//! Both become a join in parentheses whose right side is the call: `(from CROSS JOIN LATERAL f(x) t)`, or LEFT OUTER for
//! `LATERAL VIEW OUTER`. No other text makes that form, so that the planner can tell it from every other join.

use sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Spanned, TableAlias, TableAliasColumnDef, TableFactor,
    TableWithJoins, Value,
};

use super::cursor::{JOIN_HEIGHT, Parser};
use super::from::plain_query;
use super::query::empty_select;
use super::words::among;
use crate::lexer::Symbol;
use crate::{Position, Result, SqlError, object_parts};

/// Functions that make any number of rows of one row.
const TABLE_FUNCTIONS: &[&str] = &[
    "explode",
    "inline",
    "json_explode",
    "json_tuple",
    "keyvalue_tuple",
    "parse_url_tuple",
    "posexplode",
    "stack",
    "trans_array",
    "trans_cols",
];

/// The table that a call in the SELECT list makes, and what its columns begin with: nothing that a user would write.
const OF_SELECT: &str = "__udtf";

/// True if `name` is a function that makes rows, which no expression can hold.
pub fn is_table_function(name: &str) -> bool {
    among(name, TABLE_FUNCTIONS)
}

impl Parser<'_> {
    /// True if `LATERAL VIEW` comes next.
    pub(super) fn is_lateral_view(&self) -> bool {
        self.is("lateral") && self.is_at(1, "view")
    }

    /// `LATERAL VIEW [OUTER] f(x) t [AS a, b]` after `from`, which becomes one table with it.
    pub(super) fn lateral_view(&mut self, from: Vec<TableWithJoins>) -> Result<TableWithJoins> {
        self.grow(JOIN_HEIGHT)?;
        self.expect("lateral")?;
        self.expect("view")?;
        let outer = self.is("outer");
        if outer {
            self.take();
        }
        let Expr::Function(call) = self.operand()? else {
            return self.unexpected(Some("a call of a table function"));
        };
        // It stands in FROM and after JOIN only; see `unnest`.
        if among(&object_parts(&call.name).join("."), &["unnest"]) {
            return Err(SqlError::semantic(call.name.span().into(), "function 'unnest' is not a table function"));
        }
        let name = self.ident()?;
        let columns = match self.eat(&["as"]) {
            false => Vec::new(),
            true if self.is_symbol(Symbol::LParen) => self.column_aliases()?,
            true => self.list(|p| Ok(TableAliasColumnDef { name: p.ident()?, data_type: None }))?,
        };
        let alias = TableAlias { explicit: true, name, columns, at: None };
        let relation = with_rows_of(from, call, alias, outer)?;
        Ok(TableWithJoins { relation, joins: self.joins()? })
    }
}

/// Moves a table function of ours in the SELECT list to FROM.
pub(super) fn lift_from_list(select: &mut Select) -> Result<()> {
    lift_table_function(select, &is_table_function)
}

/// Moves a function in the SELECT list to FROM whose name is one of a table function.
///
/// ODPS-0130071 beside other columns and with the clauses that MaxCompute does not allow there.
pub fn lift_table_function(select: &mut Select, is_one: &dyn Fn(&str) -> bool) -> Result<()> {
    let Some(at) = select.projection.iter().find_map(|item| table_call(item, is_one)) else { return Ok(()) };
    if select.projection.len() > 1 {
        return Err(SqlError::semantic(at, "a table function must be the only item of a SELECT list"));
    }
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(items, _) if items.is_empty());
    let windows = !select.named_window.is_empty() || select.qualify.is_some();
    let others = [
        (grouped, "GROUP BY"),
        (select.having.is_some(), "HAVING"),
        (windows, "WINDOW or QUALIFY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
    ];
    if let Some((_, clause)) = others.iter().find(|(there, _)| *there) {
        return Err(forbidden(at, clause));
    }
    let (expr, aliases) = match select.projection.pop() {
        Some(SelectItem::UnnamedExpr(expr)) => (expr, Vec::new()),
        Some(SelectItem::ExprWithAlias { expr, alias }) => (expr, vec![alias]),
        Some(SelectItem::ExprWithAliases { expr, aliases }) => (expr, aliases),
        _ => return Ok(()),
    };
    let Expr::Function(call) = expr else { return Ok(()) };
    let table = |span| Ident { value: OF_SELECT.to_string(), quote_style: Some('`'), span };
    let inner = |i: usize, span| Ident { value: format!("{OF_SELECT}{i}"), quote_style: Some('`'), span };
    // The columns have names of their own inside, so that WHERE cannot mean them.
    let columns = aliases.iter().enumerate();
    let columns = columns.map(|(i, a)| TableAliasColumnDef { name: inner(i, a.span), data_type: None }).collect();
    let span = call.name.span();
    let alias = TableAlias { explicit: true, name: table(span), columns, at: None };
    let from = std::mem::take(&mut select.from);
    let from = if from.is_empty() { vec![one_row(select)] } else { from };
    let relation = with_rows_of(from, call, alias, false)?;
    select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    select.projection = match aliases.is_empty() {
        true => {
            let name = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![table(span)]));
            vec![SelectItem::QualifiedWildcard(name, Default::default())]
        }
        false => {
            let item = |(i, alias): (usize, Ident)| SelectItem::ExprWithAlias {
                expr: Expr::CompoundIdentifier(vec![table(alias.span), inner(i, alias.span)]),
                alias,
            };
            aliases.into_iter().enumerate().map(item).collect()
        }
    };
    Ok(())
}

/// ODPS-0130071 if `select` had a table function in its list: `clause` may not follow.
pub(super) fn refuse_after_list(select: &Select, clause: &str, at: Position) -> Result<()> {
    let lifted = |t: &TableWithJoins| match &t.relation {
        TableFactor::NestedJoin { table_with_joins, .. } => table_with_joins
            .joins
            .iter()
            .any(|j| matches!(&j.relation, TableFactor::Function { alias: Some(a), .. } if a.name.value == OF_SELECT)),
        _ => false,
    };
    if select.from.iter().any(lifted) { Err(forbidden(at, clause)) } else { Ok(()) }
}

fn forbidden(at: Position, clause: &str) -> SqlError {
    SqlError::semantic(at, format!("{clause} cannot be in the same query as a table function in the SELECT list"))
}

/// Where the table function of an item stands.
fn table_call(item: &SelectItem, is_one: &dyn Fn(&str) -> bool) -> Option<Position> {
    let expr = match item {
        SelectItem::UnnamedExpr(expr)
        | SelectItem::ExprWithAlias { expr, .. }
        | SelectItem::ExprWithAliases { expr, .. } => expr,
        _ => return None,
    };
    match expr {
        Expr::Function(call) if is_one(&object_parts(&call.name).join(".")) => Some(call.name.span().into()),
        _ => None,
    }
}

/// A table of one row, for a SELECT without FROM.
pub(super) fn one_row(select: &Select) -> TableWithJoins {
    let mut inner = empty_select(select.select_token.clone());
    let one = Expr::Value(Value::Number("1".to_string(), false).into());
    inner.projection = vec![SelectItem::ExprWithAlias { expr: one, alias: Ident::with_quote('`', "__one") }];
    let subquery = Box::new(plain_query(SetExpr::Select(Box::new(inner))));
    let alias = TableAlias { explicit: true, name: Ident::with_quote('`', "__one"), columns: Vec::new(), at: None };
    let relation = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
    TableWithJoins { relation, joins: Vec::new() }
}

/// `(from CROSS|LEFT OUTER JOIN LATERAL call alias)`
pub(super) fn with_rows_of(
    from: Vec<TableWithJoins>,
    call: Function,
    alias: TableAlias,
    outer: bool,
) -> Result<TableFactor> {
    let at = Position::from(call.name.span());
    let name = object_parts(&call.name).join(".");
    let plain = call.filter.is_none()
        && call.over.is_none()
        && call.null_treatment.is_none()
        && call.within_group.is_empty()
        && matches!(&call.args, FunctionArguments::List(list) if list.duplicate_treatment.is_none());
    let FunctionArguments::List(list) = call.args else {
        return Err(SqlError::semantic(at, format!("table function {name} needs arguments")));
    };
    if !plain {
        return Err(SqlError::semantic(at, format!("table function {name} takes arguments and nothing else")));
    }
    let relation = TableFactor::Function {
        lateral: true,
        name: call.name,
        args: list.args,
        with_ordinality: false,
        alias: Some(alias),
    };
    let join_operator = match outer {
        true => JoinOperator::LeftOuter(JoinConstraint::None),
        false => JoinOperator::CrossJoin(JoinConstraint::None),
    };
    let Some(left) = one_table(from) else {
        return Err(SqlError::semantic(at, format!("table function {name} needs a table before it")));
    };
    let joins = vec![Join { relation, global: false, join_operator }];
    Ok(in_parentheses(TableWithJoins { relation: left, joins }))
}

/// The tables of a FROM as one; `None` if there are none.
fn one_table(from: Vec<TableWithJoins>) -> Option<TableFactor> {
    let plain = |TableWithJoins { relation, joins }: TableWithJoins| match joins.is_empty() {
        true => relation,
        false => in_parentheses(TableWithJoins { relation, joins }),
    };
    let cross = |mut left: TableWithJoins, right: TableWithJoins| {
        let join_operator = JoinOperator::CrossJoin(JoinConstraint::None);
        left.joins.push(Join { relation: plain(right), global: false, join_operator });
        left
    };
    from.into_iter().reduce(cross).map(plain)
}

fn in_parentheses(tables: TableWithJoins) -> TableFactor {
    TableFactor::NestedJoin { table_with_joins: Box::new(tables), alias: None }
}
