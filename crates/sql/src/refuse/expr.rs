//! The same for expressions, calls and windows.

use sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Interval, LambdaFunction, LambdaSyntax, OrderByExpr, Spanned, Subscript, TypedString,
    UnaryOperator, Value, WindowFrame, WindowFrameBound, WindowSpec, WindowType,
};

use super::{check, check_order, first_of, refuse};
use crate::{Position, Result, types};

pub(super) fn check_exprs<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> Result<()> {
    exprs.into_iter().try_for_each(check_expr)
}

#[recursive::recursive]
pub(super) fn check_expr(expr: &Expr) -> Result<()> {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Ok(()),
        Expr::Value(value) => check_value(&value.value, value.span.into()),
        Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax }) => {
            check_type(data_type, value)?;
            first_of(value, &[(*uses_odbc_syntax, "the ODBC form of a literal")])
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            check_expr(root)?;
            access_chain.iter().try_for_each(check_access)
        }
        Expr::IsFalse(e) | Expr::IsNotFalse(e) | Expr::IsTrue(e) | Expr::IsNotTrue(e) => check_expr(e),
        Expr::IsNull(e) | Expr::IsNotNull(e) | Expr::Nested(e) => check_expr(e),
        Expr::IsDistinctFrom(a, b) | Expr::IsNotDistinctFrom(a, b) => check_exprs([&**a, b]),
        Expr::InList { expr, list, negated: _ } => {
            check_expr(expr)?;
            check_exprs(list)
        }
        Expr::InSubquery { expr, subquery, negated: _ } => {
            check_expr(expr)?;
            check(subquery)
        }
        Expr::Between { expr, negated: _, low, high } => check_exprs([&**expr, low, high]),
        Expr::BinaryOp { left, op, right } => check_binary(left, op, right),
        Expr::Like { negated: _, any, expr, pattern, escape_char } => {
            first_of(&**pattern, &[(*any, "LIKE ANY")])?;
            if let Some(escape) = escape_char {
                check_value(&escape.value, escape.span.into())?;
            }
            check_exprs([&**expr, pattern])
        }
        Expr::UnaryOp { op, expr } => match op {
            UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not => check_expr(expr),
            _ => refuse(expr.span(), &format!("the operator {op}")),
        },
        Expr::Cast { kind, expr, data_type, array, format } => {
            check_type(data_type, &**expr)?;
            let plain = *kind == CastKind::Cast;
            let others = [(!plain, "this form of CAST"), (*array, "CAST … ARRAY"), (format.is_some(), "FORMAT")];
            first_of(&**expr, &others)?;
            check_expr(expr)
        }
        Expr::Function(function) => check_function(function),
        Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
            check_exprs(operand.as_deref())?;
            for CaseWhen { condition, result } in conditions {
                check_exprs([condition, result])?;
            }
            check_exprs(else_result.as_deref())
        }
        Expr::Exists { subquery, negated: _ } | Expr::Subquery(subquery) => {
            let _: &sqlparser::ast::Query = subquery;
            check(subquery)
        }
        Expr::Tuple(items) => check_exprs(items),
        Expr::Interval(interval) => check_interval(interval),
        Expr::Lambda(LambdaFunction { params: _, body, syntax }) => {
            first_of(&**body, &[(*syntax != LambdaSyntax::Arrow, "LAMBDA")])?;
            check_expr(body)
        }
        Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
            refuse(grouped_position(expr), "GROUPING SETS, ROLLUP or CUBE")
        }
        other => refuse_other(other),
    }
}

/// Forms that other dialects of sqlparser make; our parser makes none of them.
fn refuse_other(expr: &Expr) -> Result<()> {
    let what = match expr {
        Expr::IsUnknown(_) | Expr::IsNotUnknown(_) => "IS UNKNOWN",
        Expr::IsNormalized { .. } => "IS NORMALIZED",
        Expr::InUnnest { .. } => "IN UNNEST",
        Expr::ILike { .. } => "ILIKE",
        Expr::SimilarTo { .. } => "SIMILAR TO",
        Expr::RLike { .. } => "this form of RLIKE",
        Expr::AnyOp { .. } | Expr::AllOp { .. } => "a comparison with ANY or ALL",
        Expr::AtTimeZone { .. } => "AT TIME ZONE",
        Expr::Collate { .. } => "COLLATE",
        Expr::JsonAccess { .. } => "a JSON path",
        Expr::Array(_) => "an array in brackets",
        _ => "this expression",
    };
    refuse(expr.span(), what)
}

/// A grouping has no place of its own in the tree.
fn grouped_position(expr: &Expr) -> Position {
    let (Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets)) = expr else { return Position::UNKNOWN };
    sets.iter().flatten().next().map_or(Position::UNKNOWN, |e| e.span().into())
}

fn check_value(value: &Value, at: Position) -> Result<()> {
    match value {
        Value::Number(_, _) | Value::SingleQuotedString(_) | Value::HexStringLiteral(_) => Ok(()),
        Value::Boolean(_) | Value::Null => Ok(()),
        Value::Placeholder(_) => refuse(at, "a placeholder"),
        _ => refuse(at, "this form of literal"),
    }
}

fn check_type(ty: &sqlparser::ast::DataType, node: &impl Spanned) -> Result<()> {
    match types::from_sql(ty) {
        Some(_) => Ok(()),
        None => refuse(node.span(), &format!("the type {ty}")),
    }
}

fn check_access(access: &AccessExpr) -> Result<()> {
    match access {
        AccessExpr::Dot(Expr::Identifier(_)) => Ok(()),
        AccessExpr::Dot(field) => refuse(field.span(), "a call after a dot"),
        AccessExpr::Subscript(Subscript::Index { index }) => check_expr(index),
        AccessExpr::Subscript(slice @ Subscript::Slice { .. }) => refuse(slice.span(), "an array slice"),
    }
}

/// A chain like `a + b + …` leans to the left: walk down that side instead of recursing.
fn check_binary(left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<()> {
    let (mut left, mut op, mut right) = (left, op, right);
    loop {
        check_operator(op, right)?;
        check_expr(right)?;
        let Expr::BinaryOp { left: l, op: o, right: r } = left else { return check_expr(left) };
        (left, op, right) = (l, o, r);
    }
}

fn check_operator(op: &BinaryOperator, right: &Expr) -> Result<()> {
    use BinaryOperator::*;
    match op {
        Plus | Minus | Multiply | Divide | Modulo | MyIntegerDivide | StringConcat => Ok(()),
        Gt | Lt | GtEq | LtEq | Eq | NotEq | Spaceship | And | Or => Ok(()),
        BitwiseOr | BitwiseAnd | BitwiseXor | PGRegexMatch | PGRegexNotMatch => Ok(()),
        other => refuse(right.span(), &format!("the operator {other}")),
    }
}

fn check_interval(interval: &Interval) -> Result<()> {
    let Interval { value, leading_field: _, leading_precision, last_field, fractional_seconds_precision } = interval;
    let precision = leading_precision.is_some() || fractional_seconds_precision.is_some();
    let others = [(precision, "a precision of an interval"), (last_field.is_some(), "TO in an interval")];
    first_of(&**value, &others)?;
    check_expr(value)
}

fn check_function(function: &Function) -> Result<()> {
    let Function { name, uses_odbc_syntax, parameters, args, filter, null_treatment: _, over, within_group } = function;
    let at = Position::from(name.span());
    let parametric = *parameters != FunctionArguments::None;
    first_of(name, &[(*uses_odbc_syntax, "the ODBC form of a call"), (parametric, "parameters before the arguments")])?;
    match args {
        FunctionArguments::None => {}
        FunctionArguments::Subquery(_) => return refuse(at, "a subquery as the only argument"),
        FunctionArguments::List(FunctionArgumentList { duplicate_treatment: _, args, clauses }) => {
            first_of(name, &[(!clauses.is_empty(), "a clause inside the arguments")])?;
            args.iter().try_for_each(|arg| check_argument(arg, at))?;
        }
    }
    check_exprs(filter.as_deref())?;
    check_order(within_group)?;
    match over {
        Some(WindowType::WindowSpec(window)) => check_window(window),
        Some(WindowType::NamedWindow(_)) | None => Ok(()),
    }
}

pub(super) fn check_argument(arg: &FunctionArg, at: Position) -> Result<()> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => check_expr(e),
        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => Ok(()),
        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => refuse(name.span(), "t.* as an argument"),
        FunctionArg::Unnamed(FunctionArgExpr::WildcardWithOptions(_)) => refuse(at, "* with options as an argument"),
        FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => refuse(at, "a named argument"),
    }
}

pub(super) fn check_window(window: &WindowSpec) -> Result<()> {
    let WindowSpec { window_name: _, partition_by, order_by, window_frame } = window;
    check_exprs(partition_by)?;
    let order_by: &[OrderByExpr] = order_by;
    check_order(order_by)?;
    let Some(WindowFrame { units: _, start_bound, end_bound }) = window_frame else { return Ok(()) };
    [Some(start_bound), end_bound.as_ref()].into_iter().flatten().try_for_each(|bound| match bound {
        WindowFrameBound::CurrentRow => Ok(()),
        WindowFrameBound::Preceding(size) | WindowFrameBound::Following(size) => check_exprs(size.as_deref()),
    })
}
