//! Script variables: `@name := SELECT …`, and later `FROM @name`; `@name STRING := '…'`, and later `@name` for the literal.
//!
//! A variable is read again wherever it is used, so that each limit of a statement counts what its variables hold.

use feitian_types::DataType;
use sqlparser::ast::{CastKind, Expr, TableAlias, TableFactor};

use super::cursor::Parser;
use crate::lexer::{Kind, Symbol, Token};
use crate::statement::{AlterOp, AlterTable};
use crate::{Result, SqlError, Statement, types};

/// A script may read this many tokens of variables: what is read again costs again.
const MAX_EXPANDED: usize = 50_000;

/// What a variable stands for.
pub(super) enum Holds {
    Query,
    /// A literal, as a value of this type if one was given.
    Literal(Option<DataType>),
}

/// A variable, with the tokens of its query or literal.
pub(super) struct Variable<'a> {
    pub(super) name: String,
    pub(super) holds: Holds,
    pub(super) tokens: &'a [Token],
    /// How many statements stand before its assignment, or before that of a variable in its query.
    pub(super) since: usize,
}

/// What a parser knows of the variables of its script.
#[derive(Clone, Copy, Default)]
pub(super) struct Variables<'a> {
    /// Those that were assigned before the text that is being read: a query sees the variables as they were then.
    known: &'a [Variable<'a>],
    /// Tokens of variables that the script has read so far.
    pub(super) expanded: usize,
    /// The statement has used some: the least [`Variable::since`] of them.
    pub(super) since: Option<usize>,
    /// The statement has used one that holds a literal.
    literals: bool,
    /// WITH has been read: its names would hide tables that a variable means.
    pub(super) with: bool,
}

impl<'a> Variables<'a> {
    pub(super) fn new(known: &'a [Variable<'a>], expanded: usize) -> Self {
        Self { known, expanded, ..Self::default() }
    }
}

impl<'a> Parser<'a> {
    /// `@name := query` or `@name [type] := literal`: the name, what it holds, and the number of tokens before that. `None`
    /// if another statement comes next, or a value that is neither.
    pub(super) fn assignment(&mut self) -> Result<Option<(String, Holds, usize)>> {
        let before = match (self.symbol_at(2), self.symbol_at(3)) {
            (Some(Symbol::Assign), _) => 3,
            (None, Some(Symbol::Assign)) => 4,
            _ => return Ok(None),
        };
        let is_query = before == 3 && self.is_query_at(before);
        if !self.is_symbol(Symbol::At) || !self.is_name_at(1) || !(is_query || self.is_literal_at(before)) {
            return Ok(None);
        }
        self.take();
        let name = self.name()?;
        let ty = if before == 4 { Some(self.data_type()?) } else { None };
        self.take();
        if is_query {
            self.query()?;
        } else {
            self.expr()?;
        }
        self.expect_end()?;
        Ok(Some((name, if is_query { Holds::Query } else { Holds::Literal(ty) }, before)))
    }

    /// A text, a number with or without a minus, or a time, and nothing behind it.
    fn is_literal_at(&self, n: usize) -> bool {
        let is_minus = self.symbol_at(n) == Some(Symbol::Minus);
        let is_time = ["date", "datetime", "timestamp"].iter().any(|word| self.is_at(n, word));
        let last = n + usize::from(is_minus || is_time);
        let fits = match self.peek_at(last).kind {
            Kind::Number => !is_time,
            Kind::Text => !is_minus,
            _ => false,
        };
        fits && self.peek_at(last + 1).kind == Kind::End
    }

    /// Takes `@name`, which must hold a literal: its tokens and its type.
    fn literal(&mut self) -> Result<(&'a [Token], Option<DataType>)> {
        let (at, known) = (self.position(), self.variables.known);
        if known.is_empty() {
            return self.unsupported(at, "a script variable (@name)");
        }
        self.take();
        let name = self.name()?;
        match known.iter().rfind(|v| v.name == name) {
            Some(Variable { holds: Holds::Literal(ty), tokens, .. }) => {
                self.variables.literals = true;
                Ok((*tokens, ty.clone()))
            }
            Some(_) => self.unsupported(at, "a script variable that holds a query, outside FROM,"),
            None => Err(SqlError::semantic(
                at,
                format!("variable @{name} cannot be resolved: nothing is assigned to it before"),
            )),
        }
    }

    /// `@name` in an expression.
    pub(super) fn literal_variable(&mut self) -> Result<Expr> {
        let (tokens, ty) = self.literal()?;
        let back = self.exchange(tokens, 0);
        let expr = self.expr();
        self.exchange(back.0, back.1);
        let expr = Box::new(expr?);
        Ok(match ty.map(|ty| types::to_sql(&ty)) {
            Some(data_type) => Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None },
            None => *expr,
        })
    }

    /// `@name` as the value of a partition column.
    pub(super) fn partition_variable(&mut self) -> Result<String> {
        let at = self.position();
        let (tokens, ty) = self.literal()?;
        let is_text = tokens.first().is_some_and(|first| first.kind == Kind::Text);
        if is_text && ty.is_some_and(|ty| !ty.is_text()) {
            return self.unsupported(at, "a script variable that converts a text, in PARTITION,");
        }
        let back = self.exchange(tokens, 0);
        let value = self.partition_value();
        self.exchange(back.0, back.1);
        value
    }

    fn is_query_at(&self, n: usize) -> bool {
        let first = (n..).find(|n| self.symbol_at(*n) != Some(Symbol::LParen)).unwrap_or(n);
        ["select", "with", "values"].iter().any(|word| self.is_at(first, word))
    }

    /// `@name [[AS] alias]` in FROM: the variable's query in parentheses.
    pub(super) fn variable(&mut self) -> Result<TableFactor> {
        let (at, outer) = (self.position(), self.variables);
        if outer.known.is_empty() {
            return self.unsupported(at, "a script variable (@name)");
        }
        self.take();
        let ident = self.ident()?;
        let Some(index) = outer.known.iter().rposition(|v| v.name == ident.value) else {
            let detail = format!("variable @{} cannot be resolved: no query is assigned to it before", ident.value);
            return Err(SqlError::semantic(at, detail));
        };
        if outer.with {
            return self.unsupported(at, "a script variable in a statement with WITH");
        }
        if matches!(outer.known[index].holds, Holds::Literal(_)) {
            return Err(SqlError::semantic(at, format!("variable @{} holds a value, and no table", ident.value)));
        }
        let Variable { tokens, since, .. } = outer.known[index];
        let expanded = outer.expanded + tokens.len();
        if expanded > MAX_EXPANDED {
            let detail = format!("the uses of script variables have more than {MAX_EXPANDED} tokens together");
            return Err(SqlError::semantic(at, detail));
        }
        self.variables = Variables { known: &outer.known[..index], expanded, since: None, with: false, ..outer };
        let back = self.exchange(tokens, 0);
        let query = self.query()?;
        self.exchange(back.0, back.1);
        let since = Some(outer.since.map_or(since, |least| least.min(since)));
        self.variables = Variables { expanded: self.variables.expanded, since, ..outer };
        let mut table = self.derived(false, query)?;
        if let TableFactor::Derived { alias: alias @ None, .. } = &mut table {
            *alias = Some(TableAlias { explicit: true, name: ident, columns: Vec::new(), at: None });
        }
        Ok(table)
    }

    /// Refuses what would mean another thing to a variable, which is read where it is used.
    pub(super) fn check_variables(&self, statement: &Statement) -> Result<()> {
        let uses = self.variables.since.is_some() || self.variables.literals;
        let what = match statement {
            Statement::CreateView(_) | Statement::CreateMaterialized(_) if uses => "a view on a script variable",
            Statement::AlterTable(alter) if uses && is_of_query(alter) => "a view on a script variable",
            Statement::Use { .. } if !self.variables.known.is_empty() => "USE after a script variable",
            _ => return Ok(()),
        };
        self.unsupported(self.first_position(), what)
    }
}

/// A view keeps its query as text.
fn is_of_query(alter: &AlterTable) -> bool {
    matches!(alter.op, AlterOp::SetQuery { .. })
}
