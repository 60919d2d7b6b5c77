//! Operands: what stands between operators.

use sqlparser::ast::{
    AccessExpr, CaseWhen, CastKind, Expr, Ident, LambdaFunction, LambdaFunctionParameter, LambdaSyntax,
    OneOrManyWithParens, Subscript, TypedString, UnaryOperator, Value,
};

use super::cursor::Parser;
use super::expr::{NOT, UNARY};
use super::function;
use crate::lexer::{Kind, Symbol, Token};
use crate::{Result, types};

impl Parser<'_> {
    /// An operand with its subscripts and fields.
    pub(super) fn operand(&mut self) -> Result<Expr> {
        let token = self.peek();
        let root = match token.kind {
            Kind::Number => self.number(false)?,
            Kind::Text => {
                let value = Value::SingleQuotedString(self.string()?);
                Expr::Value(value.with_span(self.span_since(token)))
            }
            Kind::Hex => self.binary()?,
            Kind::Quoted => self.name_or_call()?,
            Kind::Word => self.word_operand()?,
            Kind::Symbol(symbol) => return self.symbol_operand(symbol),
            Kind::Hint | Kind::End => return self.unexpected(Some("an expression")),
        };
        self.accesses(root)
    }

    fn symbol_operand(&mut self, symbol: Symbol) -> Result<Expr> {
        match symbol {
            Symbol::LParen => {
                let root = self.parenthesised()?;
                self.accesses(root)
            }
            Symbol::Minus | Symbol::Plus | Symbol::Tilde => {
                self.take();
                if symbol == Symbol::Minus && self.peek().kind == Kind::Number {
                    return self.number(true);
                }
                let op = match symbol {
                    Symbol::Minus => UnaryOperator::Minus,
                    Symbol::Plus => UnaryOperator::Plus,
                    _ => UnaryOperator::BitwiseNot,
                };
                Ok(Expr::UnaryOp { op, expr: Box::new(self.expr_above(UNARY)?) })
            }
            Symbol::Bang => {
                self.take();
                Ok(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(self.expr_above(NOT)?) })
            }
            Symbol::At => {
                let root = self.literal_variable()?;
                self.accesses(root)
            }
            Symbol::DoubleColon => {
                // `::f(…)` forces the built-in function; there are no others.
                self.take();
                let name = self.ident()?;
                self.call(vec![name])
            }
            _ => self.unexpected(Some("an expression")),
        }
    }

    /// `( expr )`, `( query )`, a tuple, or the parameters of a lambda.
    fn parenthesised(&mut self) -> Result<Expr> {
        if let Some(parameters) = self.lambda_parameters() {
            return self.lambda(OneOrManyWithParens::Many(parameters));
        }
        self.open()?;
        if self.starts_query() {
            let query = self.query()?;
            self.close()?;
            return Ok(Expr::Subquery(query));
        }
        let first = self.expr()?;
        if let Expr::Subquery(_) = first
            && self.is_set_operator()
        {
            let whole = self.set_operation_after(first)?;
            self.close()?;
            return Ok(whole);
        }
        if self.eat_symbol(Symbol::Comma) {
            let mut items = vec![first];
            items.append(&mut self.list(Self::expr)?);
            self.close()?;
            return Ok(Expr::Tuple(items));
        }
        self.close()?;
        Ok(Expr::Nested(Box::new(first)))
    }

    /// Takes `(a, b) ->`, if that comes next. The look-ahead stops at the first token that cannot belong to it.
    fn lambda_parameters(&mut self) -> Option<Vec<Ident>> {
        let mut n = 1;
        while self.is_name_at(n) && self.symbol_at(n + 1) == Some(Symbol::Comma) {
            n += 2;
        }
        let closes = self.is_name_at(n) && self.symbol_at(n + 1) == Some(Symbol::RParen);
        if !closes || self.symbol_at(n + 2) != Some(Symbol::Arrow) {
            return None;
        }
        let tokens: Vec<Token> = (0..n + 3).map(|_| self.take()).collect();
        Some(tokens[1..=n].iter().step_by(2).map(|t| self.ident_of(*t)).collect())
    }

    /// The body of a lambda; its arrow has been read.
    fn lambda(&mut self, parameters: OneOrManyWithParens<Ident>) -> Result<Expr> {
        let parameter = |name| LambdaFunctionParameter { name, data_type: None };
        let params = match parameters {
            OneOrManyWithParens::One(name) => OneOrManyWithParens::One(parameter(name)),
            OneOrManyWithParens::Many(names) => OneOrManyWithParens::Many(names.into_iter().map(parameter).collect()),
        };
        let body = Box::new(self.expr()?);
        Ok(Expr::Lambda(LambdaFunction { params, body, syntax: LambdaSyntax::Arrow }))
    }

    fn word_operand(&mut self) -> Result<Expr> {
        let token = self.peek();
        let calls = self.symbol_at(1) == Some(Symbol::LParen);
        let before_text = self.peek_at(1).kind == Kind::Text;
        match self.source(token).to_ascii_lowercase().as_str() {
            "null" => self.constant(Value::Null),
            "true" => self.constant(Value::Boolean(true)),
            "false" => self.constant(Value::Boolean(false)),
            "case" => self.case(),
            "cast" if calls => self.cast(),
            "not" => self.not(),
            "exists" if calls && self.starts_query_at(2) => self.exists(false),
            "interval" if self.starts_interval() => self.interval(),
            "extract" if calls => self.extract(),
            "trim" if calls => self.trim(),
            "substr" | "substring" if calls => self.substring(),
            "date" | "datetime" | "timestamp" | "timestamp_ntz" | "json" if before_text => self.typed_string(),
            // Calls that need no parentheses.
            "current_timestamp" | "current_date" | "localtimestamp"
                if !calls && self.symbol_at(1) != Some(Symbol::Dot) =>
            {
                self.take();
                Ok(Expr::Function(function::bare(self.ident_of(token))))
            }
            _ => self.name_or_call(),
        }
    }

    fn constant(&mut self, value: Value) -> Result<Expr> {
        let token = self.take();
        Ok(Expr::Value(value.with_span(self.span(token))))
    }

    /// `a`, `a.b.c`, `f(…)`, `p.f(…)`, `p:f(…)` or `x -> body`.
    fn name_or_call(&mut self) -> Result<Expr> {
        if !self.is_name() {
            return self.unexpected(Some("an expression"));
        }
        let mut names = vec![self.ident()?];
        if self.eat_symbol(Symbol::Arrow) {
            let name = names.swap_remove(0);
            return self.lambda(OneOrManyWithParens::One(name));
        }
        if self.is_symbol(Symbol::Colon) && self.is_name_at(1) && self.symbol_at(2) == Some(Symbol::LParen) {
            self.take();
            names.push(self.ident()?);
        }
        while self.is_symbol(Symbol::Dot) && matches!(self.peek_at(1).kind, Kind::Word | Kind::Quoted) {
            self.take();
            names.push(self.ident_after_dot()?);
        }
        if self.is_symbol(Symbol::LParen) {
            return self.call(names);
        }
        match names.len() {
            1 => Ok(Expr::Identifier(names.swap_remove(0))),
            fields => {
                // Names behind the column are fields, and each becomes a level of the plan.
                self.grow(fields as u32 - 1)?;
                Ok(Expr::CompoundIdentifier(names))
            }
        }
    }

    /// `root[i].field…`
    pub(super) fn accesses(&mut self, root: Expr) -> Result<Expr> {
        let mut chain = Vec::new();
        loop {
            if self.eat_symbol(Symbol::LBracket) {
                let index = self.expr()?;
                self.expect_symbol(Symbol::RBracket, "']'")?;
                chain.push(AccessExpr::Subscript(Subscript::Index { index }));
            } else if self.is_symbol(Symbol::Dot) && self.symbol_at(1) != Some(Symbol::Star) {
                self.take();
                let at = self.position();
                let field = self.ident_after_dot()?;
                if self.is_symbol(Symbol::LParen) {
                    return self.unsupported(at, "a method call (UDT)");
                }
                chain.push(AccessExpr::Dot(Expr::Identifier(field)));
            } else {
                break;
            }
        }
        if chain.is_empty() {
            return Ok(root);
        }
        self.grow(chain.len() as u32)?;
        // The planner resolves `t.c[0]` from its first name onwards.
        let (root, mut access_chain) = match root {
            Expr::CompoundIdentifier(names) => {
                let mut names = names.into_iter();
                let first = names.next().map_or(Expr::Tuple(Vec::new()), Expr::Identifier);
                (first, names.map(|n| AccessExpr::Dot(Expr::Identifier(n))).collect())
            }
            other => (other, Vec::new()),
        };
        access_chain.append(&mut chain);
        Ok(Expr::CompoundFieldAccess { root: Box::new(root), access_chain })
    }

    fn not(&mut self) -> Result<Expr> {
        self.expect("not")?;
        if self.is("exists") && self.symbol_at(1) == Some(Symbol::LParen) && self.starts_query_at(2) {
            return self.exists(true);
        }
        Ok(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(self.expr_above(NOT)?) })
    }

    fn exists(&mut self, negated: bool) -> Result<Expr> {
        self.expect("exists")?;
        self.open()?;
        let subquery = self.query()?;
        self.close()?;
        Ok(Expr::Exists { subquery, negated })
    }

    fn case(&mut self) -> Result<Expr> {
        let first = self.expect("case")?;
        let operand = if self.is("when") { None } else { Some(Box::new(self.expr()?)) };
        let mut conditions = Vec::new();
        while self.eat(&["when"]) {
            self.count_argument()?;
            let condition = self.expr()?;
            self.expect("then")?;
            conditions.push(CaseWhen { condition, result: self.expr()? });
        }
        if conditions.is_empty() {
            return self.unexpected(Some("WHEN"));
        }
        let else_result = if self.eat(&["else"]) { Some(Box::new(self.expr()?)) } else { None };
        let last = self.expect("end")?;
        Ok(Expr::Case {
            case_token: self.attached(first),
            end_token: self.attached(last),
            operand,
            conditions,
            else_result,
        })
    }

    fn cast(&mut self) -> Result<Expr> {
        self.expect("cast")?;
        self.open()?;
        let expr = Box::new(self.expr()?);
        self.expect("as")?;
        let data_type = types::to_sql(&self.data_type()?);
        self.close()?;
        Ok(Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None })
    }

    fn typed_string(&mut self) -> Result<Expr> {
        let data_type = types::to_sql(&self.data_type()?);
        let first = self.peek();
        let value = Value::SingleQuotedString(self.string()?).with_span(self.span_since(first));
        Ok(Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }))
    }
}
