//! SQL functions: `CREATE SQL FUNCTION f(@a BIGINT) AS @a + 1`, and `FUNCTION f(…) AS …` for the text that it stands in.
//!
//! In a body `@name` is a parameter, or what was assigned to the name between BEGIN and END, which is read again where it
//! is used. A body has no queries, so that nothing in it can be taken for a column of the caller.

use std::ops::ControlFlow;

use feitian_types::DataType;
use sqlparser::ast::{CastKind, Expr, Ident, ObjectName, Query, Visit, Visitor};

use super::cursor::Parser;
use super::script::MAX_EXPANDED;
use crate::lexer::{Symbol, Token};
use crate::sql_function::{CreateSqlFunction, SqlFunction, SqlParameter};
use crate::{Position, Result, SqlError, Statement, types};

/// The table of the parameters in the syntax tree of a body: `@a` is its column `a`.
pub const PARAMETERS: &str = "@";

/// A function may have this many parameters, as a table may have columns.
const MAX_PARAMETERS: usize = 1200;

/// What a name with `@` means in a body.
pub(super) struct Local<'a> {
    name: String,
    /// The tokens from the value on, and the type that the assignment gives it; `None` for a parameter.
    value: Option<(&'a [Token], Option<DataType>)>,
}

/// What stands before the parameters.
pub(super) struct Head {
    pub(super) first: Token,
    pub(super) or_replace: bool,
    pub(super) if_not_exists: bool,
    pub(super) temporary: bool,
    pub(super) name: ObjectName,
}

/// Finds a query.
struct Inside;

impl Visitor for Inside {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

impl<'a> Parser<'a> {
    /// `FUNCTION f(…) …`
    pub(super) fn function_of_text(&mut self) -> Result<Statement> {
        let first = self.expect("function")?;
        if !self.is_name() || self.symbol_at(1) != Some(Symbol::LParen) {
            return self.unexpected(Some("the name of a function and its parameters"));
        }
        let name = ObjectName::from(vec![self.ident()?]);
        self.sql_function(Head { first, or_replace: false, if_not_exists: false, temporary: true, name })
    }

    /// `(@a type [= value] [COMMENT 'c'], …) [RETURNS @r type] [COMMENT 'c'] AS expression` or `… AS BEGIN … END`
    pub(super) fn sql_function(&mut self, head: Head) -> Result<Statement> {
        // Whatever else is assigned in the text, a body knows nothing but what is its own.
        self.locals = Some(Vec::new());
        let parameters = self.parameters()?;
        let named = head.name.0.last().and_then(|part| part.as_ident());
        let mut result = named.map_or_else(String::new, |name| name.value.clone());
        let mut returns = None;
        if self.eat(&["returns"]) {
            result = self.variable_name()?;
            returns = Some(self.parameter_type()?);
        }
        if self.eat(&["comment"]) {
            self.string()?;
        }
        self.expect("as")?;
        let at = self.position();
        let local = |p: &SqlParameter| Local { name: p.name.clone(), value: None };
        self.locals = Some(parameters.iter().map(local).collect());
        let body = self.body(&result)?;
        self.locals = None;
        let mut exprs = parameters.iter().filter_map(|p| p.default.as_ref()).chain(std::iter::once(&body));
        if exprs.any(|e| e.visit(&mut Inside).is_break()) {
            return self.unsupported(at, "a query in a SQL function");
        }
        let Head { first, or_replace, if_not_exists, temporary, name } = head;
        let function = SqlFunction { parameters, returns, body };
        let text = self.source_since(first).to_string();
        let create = CreateSqlFunction { or_replace, if_not_exists, temporary, name, function, text };
        Ok(Statement::CreateSqlFunction(Box::new(create)))
    }

    fn parameters(&mut self) -> Result<Vec<SqlParameter>> {
        let mut parameters: Vec<SqlParameter> = Vec::new();
        self.open()?;
        while !self.is_symbol(Symbol::RParen) {
            if !parameters.is_empty() {
                self.expect_symbol(Symbol::Comma, "','")?;
            }
            let position = self.position();
            if parameters.len() >= MAX_PARAMETERS {
                let detail = format!("a function has more than {MAX_PARAMETERS} parameters");
                return Err(SqlError::semantic(position, detail));
            }
            let name = self.variable_name()?;
            if parameters.iter().any(|p| p.name == name) {
                return Err(SqlError::semantic(position, format!("parameter @{name} is repeated")));
            }
            let ty = self.parameter_type()?;
            let default = if self.eat_symbol(Symbol::Eq) { Some(self.expr()?) } else { None };
            if self.eat(&["comment"]) {
                self.string()?;
            }
            parameters.push(SqlParameter { name, ty, default, position });
        }
        self.close()?;
        Ok(parameters)
    }

    /// `@name`
    fn variable_name(&mut self) -> Result<String> {
        self.expect_symbol(Symbol::At, "@ and a name")?;
        self.name()
    }

    fn parameter_type(&mut self) -> Result<DataType> {
        let at = self.position();
        for (word, what) in [
            ("function", "a parameter of type FUNCTION"),
            ("table", "a parameter of type TABLE"),
            ("any", "a parameter of type ANY"),
        ] {
            if self.is(word) {
                return self.unsupported(at, what);
            }
        }
        self.data_type()
    }

    /// The expression that the function stands for; `result` is the name of what BEGIN … END makes.
    fn body(&mut self, result: &str) -> Result<Expr> {
        if self.starts_query() {
            return self.unsupported(self.position(), "a query in a SQL function");
        }
        if !self.eat(&["begin"]) {
            return self.expr();
        }
        loop {
            while self.eat_symbol(Symbol::Semicolon) {}
            let at = self.position();
            if self.eat(&["end"]) {
                let ident = Ident::with_span(self.span(self.peek()), result);
                return self.value_of(at, ident);
            }
            self.assign_local()?;
        }
    }

    /// `@name [type] := expression;`
    fn assign_local(&mut self) -> Result<()> {
        let at = self.position();
        if !self.is_symbol(Symbol::At) {
            return self.unsupported(at, "a statement other than @name := expression in a SQL function");
        }
        let name = self.variable_name()?;
        let ty = if self.is_symbol(Symbol::Assign) { None } else { Some(self.data_type()?) };
        self.expect_symbol(Symbol::Assign, "':='")?;
        if self.starts_query() {
            return self.unsupported(self.position(), "a query in a SQL function");
        }
        let (tokens, from) = (self.ahead(), self.index());
        self.expr()?;
        // With what follows the value, where reading it again stops.
        let tokens = &tokens[..=self.index() - from];
        if !self.is("end") {
            self.expect_symbol(Symbol::Semicolon, "';'")?;
        }
        self.locals.get_or_insert_default().push(Local { name, value: Some((tokens, ty)) });
        Ok(())
    }

    /// `@name` in a body.
    pub(super) fn local(&mut self) -> Result<Expr> {
        let at = self.take().position;
        let ident = self.ident()?;
        if self.is_symbol(Symbol::LParen) {
            return self.unsupported(at, "a call of a parameter");
        }
        Ok(Expr::Nested(Box::new(self.value_of(at, ident)?)))
    }

    fn value_of(&mut self, at: Position, ident: Ident) -> Result<Expr> {
        let mut locals = self.locals.take().unwrap_or_default();
        let Some(index) = locals.iter().rposition(|local| local.name == ident.value) else {
            let name = &ident.value;
            let detail =
                format!("variable @{name} cannot be resolved: it is no parameter, and nothing is assigned to it");
            return Err(SqlError::semantic(at, detail));
        };
        let Some((tokens, ty)) = locals[index].value.clone() else {
            self.locals = Some(locals);
            let name = |value: &str| Ident::with_quote_and_span('`', ident.span, value);
            return Ok(Expr::CompoundIdentifier(vec![name(PARAMETERS), name(&ident.value)]));
        };
        self.variables.expanded += tokens.len();
        if self.variables.expanded > MAX_EXPANDED {
            let detail = format!("the uses of variables have more than {MAX_EXPANDED} tokens together");
            return Err(SqlError::semantic(at, detail));
        }
        // The value sees the names as they were when it was assigned.
        let later = locals.split_off(index);
        self.locals = Some(locals);
        let back = self.exchange(tokens, 0);
        let expr = self.expr();
        self.exchange(back.0, back.1);
        self.locals.get_or_insert_default().extend(later);
        let expr = Box::new(expr?);
        Ok(match ty.map(|ty| types::to_sql(&ty)) {
            Some(data_type) => Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None },
            None => Expr::Nested(expr),
        })
    }
}
