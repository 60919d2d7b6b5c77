//! CAST and the minus before an expression: calls of functions.
//!
//! The engine's planner names a cast as it names what is cast, so that `max(a)` and `max(cast(a as bigint))` would be one
//! column. A call has a name of its own; `coerce` makes of it what converts best. And the planner refuses the minus before
//! a text, which is a DOUBLE here.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use feitian_functions::Cast;
use feitian_types::DataType;
use sqlparser::ast::{
    CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    Query, Spanned, UnaryOperator, Value, VisitMut, VisitorMut,
};

/// Precedes the type in the name of the function. No name that a user can write is like it.
const CAST_TO: &str = "cast to ";

/// Makes every CAST and every minus in `query` a call, but those before numbers.
pub(super) fn as_calls(query: &mut Query) {
    let ControlFlow::Continue(()) = VisitMut::visit(query, &mut AsCalls);
}

/// The function that such a call names.
pub(super) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let to = DataType::parse(name.strip_prefix(CAST_TO)?).ok()?;
    Some(Arc::new(Cast::udf(&to, false)))
}

struct AsCalls;

impl VisitorMut for AsCalls {
    type Break = std::convert::Infallible;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let (name, inner) = match expr {
            Expr::Cast { kind: CastKind::Cast, expr: inner, data_type, array: false, format: None } => {
                match feitian_sql::types::from_sql(data_type) {
                    Some(to) => (format!("{CAST_TO}{to}"), inner),
                    None => return ControlFlow::Continue(()),
                }
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } if !is_literal(inner) => ("negative".into(), inner),
            _ => return ControlFlow::Continue(()),
        };
        let span = inner.span();
        let inner = std::mem::replace(&mut **inner, Expr::Identifier(Ident::new("")));
        *expr = Expr::Function(call(Ident { value: name, quote_style: Some('`'), span }, inner));
        ControlFlow::Continue(())
    }
}

/// What the planner makes a literal of, the minus included.
fn is_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(v) if matches!(v.value, Value::Number(..))) || matches!(expr, Expr::Interval(_))
}

fn call(name: Ident, arg: Expr) -> Function {
    let args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))];
    Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_cast_names_its_type_and_a_minus_before_an_expression_is_a_call() {
        let mut query =
            feitian_sql::parse_query("select -max(cast(a as decimal(10,2))), -3 from t where cast(b as int) = 1")
                .unwrap();
        as_calls(&mut query);
        let text = "SELECT `negative`(max(`cast to decimal(10,2)`(a))), -3 FROM t WHERE `cast to int`(b) = 1";
        assert_eq!(query.to_string(), text);
        assert!(function("cast to decimal(10,2)").is_some());
        assert!(function("cast to").is_none() && function("castle").is_none() && function("cast to wibble").is_none());
    }
}
