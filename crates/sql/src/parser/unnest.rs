//! UNNEST in FROM: alone, after a comma, and as the right side of a join. It becomes what LATERAL VIEW becomes.

use sqlparser::ast::{Expr, Ident, TableAlias, TableWithJoins};

use super::cursor::{JOIN_HEIGHT, Parser};
use super::lateral::with_rows_of;
use crate::Result;
use crate::lexer::Symbol;

/// The name of the column, and here of the table too, that has none (MaxCompute documentation of UNNEST).
const UNNAMED: &str = "__generated_unnest_col_c0";

impl Parser<'_> {
    /// True if `UNNEST (` comes next.
    pub(super) fn is_unnest(&self) -> bool {
        self.is_unnest_at(0)
    }

    fn is_unnest_at(&self, n: usize) -> bool {
        self.is_at(n, "unnest") && self.symbol_at(n + 1) == Some(Symbol::LParen)
    }

    /// If a join with UNNEST comes next: how many words stand before UNNEST.
    pub(super) fn unnest_join(&self) -> Option<usize> {
        let kind = match () {
            () if self.is("cross") || self.is("inner") => 1,
            () if self.is("left") => 1 + usize::from(self.is_at(1, "outer")),
            () => 0,
        };
        (self.is_at(kind, "join") && self.is_unnest_at(kind + 1)).then_some(kind + 1)
    }

    /// `tables` with the joins with UNNEST that follow, and what follows those.
    pub(super) fn unnest_joins(&mut self, mut tables: TableWithJoins) -> Result<TableWithJoins> {
        while let Some(words) = self.unnest_join() {
            let outer = self.is("left");
            (0..words).for_each(|_| {
                self.take();
            });
            tables = self.unnest(vec![tables], Some(outer))?;
        }
        Ok(tables)
    }

    /// `UNNEST (array) [[AS] alias]` after `from`, which becomes one table with it. `join` says whether it is a LEFT JOIN,
    /// and that `ON TRUE` may follow.
    pub(super) fn unnest(&mut self, from: Vec<TableWithJoins>, join: Option<bool>) -> Result<TableWithJoins> {
        self.grow(JOIN_HEIGHT)?;
        let Expr::Function(call) = self.operand()? else {
            return self.unexpected(Some("an array in parentheses"));
        };
        self.refuse_offset()?;
        let unnamed =
            || TableAlias { explicit: true, name: Ident::with_quote('`', UNNAMED), columns: Vec::new(), at: None };
        let alias = self.table_alias()?.unwrap_or_else(unnamed);
        self.refuse_offset()?;
        if join.is_some() && self.is("on") && !self.eat(&["on", "true"]) {
            return self.unsupported(self.position(), "a join with UNNEST and a condition other than TRUE");
        }
        let relation = with_rows_of(from, call, alias, join == Some(true))?;
        Ok(TableWithJoins { relation, joins: self.joins()? })
    }

    fn refuse_offset(&self) -> Result<()> {
        if self.is("with") && self.is_at(1, "offset") {
            return self.unsupported(self.position(), "UNNEST … WITH OFFSET");
        }
        Ok(())
    }
}
