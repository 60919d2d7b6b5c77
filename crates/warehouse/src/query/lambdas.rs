//! Lambdas: `p.field`, in which the planner would take the parameter `p` for a table, and how deep they may nest.

use std::convert::Infallible;
use std::ops::ControlFlow;

use feitian_base::{Error, Result};
use sqlparser::ast::{AccessExpr, Expr, LambdaFunction, Query, Spanned, Value, Visit, VisitMut, Visitor, VisitorMut};

use super::errors::semantic;

/// ARRAY_REDUCE may nest this deep: each level reads the lambdas in it twice, once for their types.
const MAX_REDUCES: usize = 6;

/// ODPS-0130071 beyond [`MAX_REDUCES`].
pub(super) fn check_depth(query: &Query) -> Result<()> {
    match Visit::visit(query, &mut Reduces(0)) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// How many ARRAY_REDUCE stand around the expression.
struct Reduces(usize);

fn is_reduce(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("array_reduce"))
}

impl Visitor for Reduces {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        self.0 += usize::from(is_reduce(expr));
        if self.0 <= MAX_REDUCES {
            return ControlFlow::Continue(());
        }
        let detail = format!("array_reduce is nested deeper than {MAX_REDUCES} levels");
        ControlFlow::Break(semantic(expr.span().into(), detail))
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        self.0 -= usize::from(is_reduce(expr));
        ControlFlow::Continue(())
    }
}

/// Writes every `p.field` in the lambda as an access to the value of the parameter `p`.
pub(super) fn fields_of_parameters(lambda: &mut LambdaFunction) {
    let names = lambda.params.iter().map(|parameter| parameter.name.value.clone()).collect();
    let ControlFlow::Continue(()) = VisitMut::visit(&mut lambda.body, &mut Parameters(names));
}

/// The name of a field as the text by which the planner wants it.
pub(super) fn as_text(field: &mut Expr) {
    if let Expr::Identifier(name) = field {
        *field = Expr::Value(Value::SingleQuotedString(name.value.clone()).with_span(name.span));
    }
}

struct Parameters(Vec<String>);

impl Parameters {
    fn has(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Identifier(name) if self.0.contains(&name.value))
    }
}

impl VisitorMut for Parameters {
    type Break = Infallible;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        match expr {
            Expr::CompoundIdentifier(names) if names.first().is_some_and(|name| self.0.contains(&name.value)) => {
                let mut parts = std::mem::take(names).into_iter().map(Expr::Identifier);
                let Some(root) = parts.next() else { return ControlFlow::Continue(()) };
                let field = |mut field: Expr| {
                    as_text(&mut field);
                    AccessExpr::Dot(field)
                };
                *expr = Expr::CompoundFieldAccess { root: Box::new(root), access_chain: parts.map(field).collect() };
            }
            Expr::CompoundFieldAccess { root, access_chain } if self.has(root) => {
                for access in access_chain {
                    if let AccessExpr::Dot(field) = access {
                        as_text(field);
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
