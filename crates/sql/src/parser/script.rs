//! Script variables that stand for a query: `@name := SELECT …`, and later `FROM @name`.
//!
//! A variable is read again wherever it is used, so that each limit of a statement counts what its variables hold.

use sqlparser::ast::{TableAlias, TableFactor};

use super::cursor::Parser;
use crate::lexer::{Symbol, Token};
use crate::{Result, SqlError, Statement};

/// A script may read this many tokens of variables: what is read again costs again.
const MAX_EXPANDED: usize = 50_000;

/// A variable, with the tokens of its query.
pub(super) struct Variable<'a> {
    pub(super) name: String,
    pub(super) tokens: &'a [Token],
}

/// What a parser knows of the variables of its script.
#[derive(Clone, Copy, Default)]
pub(super) struct Variables<'a> {
    /// Those that were assigned before the text that is being read: a query sees the variables as they were then.
    known: &'a [Variable<'a>],
    /// Tokens of variables that the script has read so far.
    pub(super) expanded: usize,
    /// The statement has used one.
    used: bool,
    /// WITH has been read: its names would hide tables that a variable means.
    pub(super) with: bool,
}

impl<'a> Variables<'a> {
    pub(super) fn new(known: &'a [Variable<'a>], expanded: usize) -> Self {
        Self { known, expanded, ..Self::default() }
    }
}

impl<'a> Parser<'a> {
    /// `@name := query`: the name, and the number of tokens before the query. `None` if another statement comes next, or
    /// a value that is no query.
    pub(super) fn assignment(&mut self) -> Result<Option<(String, usize)>> {
        let starts = self.is_symbol(Symbol::At)
            && self.is_name_at(1)
            && self.symbol_at(2) == Some(Symbol::Assign)
            && self.is_query_at(3);
        if !starts {
            return Ok(None);
        }
        self.take();
        let name = self.name()?;
        self.take();
        self.query()?;
        self.expect_end()?;
        Ok(Some((name, 3)))
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
        let tokens = outer.known[index].tokens;
        let expanded = outer.expanded + tokens.len();
        if expanded > MAX_EXPANDED {
            let detail = format!("the uses of script variables have more than {MAX_EXPANDED} tokens together");
            return Err(SqlError::semantic(at, detail));
        }
        self.variables = Variables { known: &outer.known[..index], expanded, used: true, with: false };
        let back = self.exchange(tokens, 0);
        let query = self.query()?;
        self.exchange(back.0, back.1);
        self.variables = Variables { expanded: self.variables.expanded, used: true, ..outer };
        let mut table = self.derived(false, query)?;
        if let TableFactor::Derived { alias: alias @ None, .. } = &mut table {
            *alias = Some(TableAlias { explicit: true, name: ident, columns: Vec::new(), at: None });
        }
        Ok(table)
    }

    /// Refuses what would mean another thing to a variable, which is read where it is used. `changed`: a statement
    /// before may have changed what the variable reads.
    pub(super) fn check_variables(&self, statement: &Statement, changed: bool) -> Result<()> {
        let uses = self.variables.used;
        let what = match statement {
            _ if uses && changed => "a script variable after a statement that changes something",
            Statement::CreateView(_) if uses => "a view on a script variable",
            Statement::Use { .. } if !self.variables.known.is_empty() => "USE after a script variable",
            _ => return Ok(()),
        };
        self.unsupported(self.first_position(), what)
    }
}

/// True if tables may hold other rows after the statement. One that makes a table changes no other.
pub(super) fn changes(statement: &Statement) -> bool {
    use Statement::{
        AlterTable, CreateSchema, CreateView, DropSchema, DropTable, Insert, MultiInsert, Security, Truncate,
        Unsupported,
    };
    matches!(
        statement,
        Insert(_)
            | MultiInsert(_)
            | CreateView(_)
            | DropTable(_)
            | AlterTable(_)
            | Truncate(_)
            | CreateSchema { .. }
            | DropSchema { .. }
            | Security(_)
            | Unsupported { .. }
    )
}
