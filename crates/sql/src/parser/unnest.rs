//! UNNEST in FROM: alone, after a comma, and as the right side of a join. It becomes what LATERAL VIEW becomes.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Spanned, TableAlias,
    TableWithJoins, Value,
};

use super::cursor::{JOIN_HEIGHT, Parser};
use super::lateral::with_rows_of;
use crate::lexer::Symbol;
use crate::{Result, SqlError};

/// What UNNEST with an offset is called in the syntax tree, where a second argument names the column of the offset. No name
/// that a user writes is like it.
pub const UNNEST_WITH_OFFSET: &str = "\u{1}unnest with offset";

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

    /// `UNNEST (array) [[AS] alias] [WITH OFFSET [[AS] name]]` after `from`, which becomes one table with it. `join` says
    /// whether it is a LEFT JOIN, and that `ON TRUE` may follow.
    pub(super) fn unnest(&mut self, from: Vec<TableWithJoins>, join: Option<bool>) -> Result<TableWithJoins> {
        self.grow(JOIN_HEIGHT)?;
        let Expr::Function(call) = self.operand()? else {
            return self.unexpected(Some("an array in parentheses"));
        };
        let unnamed =
            || TableAlias { explicit: true, name: Ident::with_quote('`', UNNAMED), columns: Vec::new(), at: None };
        let alias = self.table_alias()?.unwrap_or_else(unnamed);
        let call = if self.eat(&["with", "offset"]) { self.with_offset(call)? } else { call };
        if join.is_some() && self.is("on") && !self.eat(&["on", "true"]) {
            return self.unsupported(self.position(), "a join with UNNEST and a condition other than TRUE");
        }
        let relation = with_rows_of(from, call, alias, join == Some(true))?;
        Ok(TableWithJoins { relation, joins: self.joins()? })
    }

    /// `[[AS] name]` behind WITH OFFSET: the call under the name that says so, with the name of the column that counts.
    fn with_offset(&mut self, mut call: Function) -> Result<Function> {
        let first = self.peek();
        let column = match self.table_alias()? {
            None => "offset".to_string(),
            Some(TableAlias { name, columns, .. }) if columns.is_empty() => name.value,
            Some(_) => return Err(SqlError::parse(first.position, "the offset of UNNEST is one column")),
        };
        let span = call.name.span();
        call.name = ObjectName::from(vec![Ident { value: UNNEST_WITH_OFFSET.into(), quote_style: Some('`'), span }]);
        if let FunctionArguments::List(list) = &mut call.args {
            let name = Expr::Value(Value::SingleQuotedString(column).with_span(span));
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(name)));
        }
        Ok(call)
    }
}
