//! `odps.sql.hive.compatible=true`: taken for queries that mean the same with it, refused by name for all others.
//!
//! The flag changes functions, operators, the types that two sides of them agree on, and what a failed conversion gives
//! (MaxCompute documentation, "Hive-compatible data type edition"). A query that has none of these may run: it selects
//! columns, constants and intervals. A conversion that fails gives NULL, which [`super::settings`] sees to.

use std::ops::ControlFlow;

use feitian_base::{Error, Result};
use feitian_sql::{Position, SqlError, types::from_sql};
use feitian_types::DataType;
use sqlparser::ast::{
    BinaryOperator, Expr, Function, Query, Select, SetExpr, Spanned, TableFactor, UnaryOperator, Value, Visit, Visitor,
};
use sqlparser::tokenizer::Span;

use super::errors::front_end;

/// Functions with one meaning: they neither convert nor invent a type.
const SAME: [&str; 5] = ["count", "current_timestamp_ntz", "max", "min", "trunc_time"];

/// ODPS-0121125 for a query that may mean something else in this mode.
pub(super) fn check(query: &Query) -> Result<()> {
    match Visit::visit(query, &mut Check) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Check;

impl Visitor for Check {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        match &*query.body {
            SetExpr::Select(select) => check_select(select),
            SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
            body => refuse(body.span(), "a set operation"),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        let what = match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Nested(_) | Expr::Interval(_) => return CONTINUE,
            Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::Subquery(_) => return CONTINUE,
            Expr::UnaryOp { op: UnaryOperator::Not, .. } => return CONTINUE,
            Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. } => return CONTINUE,
            Expr::Value(value) if is_plain(&value.value) => return CONTINUE,
            Expr::Value(_) => "a number with a fraction",
            Expr::Cast { expr, data_type, .. } if is_time_of_text(expr, from_sql(data_type)) => return CONTINUE,
            Expr::Cast { .. } => "a CAST of anything but a literal text to a time",
            Expr::Function(f) if is_same(f) => return CONTINUE,
            Expr::Function(f) => {
                return refuse(f.name.span(), &format!("function {}", f.name.to_string().to_lowercase()));
            }
            _ => "an operator or a typed literal",
        };
        refuse(expr.span(), what)
    }
}

const CONTINUE: ControlFlow<Error> = ControlFlow::Continue(());

fn refuse(span: Span, what: &str) -> ControlFlow<Error> {
    let what = format!("odps.sql.hive.compatible=true with {what}");
    ControlFlow::Break(front_end(SqlError::unsupported(Position::from(span), what)))
}

/// Joins compare columns whose types may differ, and table functions are functions.
fn check_select(select: &Select) -> ControlFlow<Error> {
    for from in &select.from {
        if !from.joins.is_empty() {
            return refuse(from.span(), "a join");
        }
        match &from.relation {
            TableFactor::Table { args: None, .. } | TableFactor::Derived { .. } => {}
            table => return refuse(table.span(), "a table function"),
        }
    }
    if select.lateral_views.is_empty() { CONTINUE } else { refuse(select.span(), "LATERAL VIEW") }
}

/// Texts, whole numbers, booleans and NULL are of the same type in both modes.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::SingleQuotedString(_) | Value::DoubleQuotedString(_) | Value::Boolean(_) | Value::Null => true,
        Value::Number(digits, _) => digits.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

fn is_time_of_text(expr: &Expr, to: Option<DataType>) -> bool {
    let is_text = match expr {
        Expr::Value(value) => matches!(value.value, Value::SingleQuotedString(_) | Value::DoubleQuotedString(_)),
        _ => false,
    };
    let is_time = |ty| matches!(ty, DataType::Date | DataType::Datetime | DataType::Timestamp | DataType::TimestampNtz);
    is_text && to.is_some_and(is_time)
}

fn is_same(f: &Function) -> bool {
    f.over.is_none() && f.filter.is_none() && SAME.contains(&f.name.to_string().to_lowercase().as_str())
}
