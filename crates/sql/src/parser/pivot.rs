//! PIVOT and UNPIVOT after a table in FROM.

use sqlparser::ast::{Expr, ExprWithAlias, NullInclusion, PivotValueSource, TableFactor};

use super::cursor::{JOIN_HEIGHT, Parser};
use crate::lexer::Symbol;
use crate::{Result, SqlError};

impl Parser<'_> {
    /// `table` with the PIVOTs and UNPIVOTs that follow it.
    pub(super) fn pivots(&mut self, mut table: TableFactor) -> Result<TableFactor> {
        loop {
            if self.is("pivot") && self.symbol_at(1) == Some(Symbol::LParen) {
                table = self.pivot(table)?;
            } else if self.is("unpivot") {
                table = self.unpivot(table)?;
            } else {
                return Ok(table);
            }
            self.grow(JOIN_HEIGHT)?;
        }
    }

    /// `PIVOT (agg(x) [AS a], … FOR c IN (v [AS n], …)) [alias]`
    fn pivot(&mut self, table: TableFactor) -> Result<TableFactor> {
        self.expect("pivot")?;
        self.open()?;
        let aggregate_functions = self.list(|p| p.named_expr(&["for"]))?;
        self.expect("for")?;
        if self.is_symbol(Symbol::LParen) {
            return self.unsupported(self.position(), "PIVOT by several columns");
        }
        let value_column = vec![self.operand()?];
        self.expect("in")?;
        let value_source = PivotValueSource::List(self.parens(|p| p.named_expr(&[]))?);
        self.close()?;
        let alias = self.table_alias()?;
        let table = Box::new(table);
        Ok(TableFactor::Pivot { table, aggregate_functions, value_column, value_source, default_on_null: None, alias })
    }

    /// `UNPIVOT [INCLUDE|EXCLUDE NULLS] (v FOR k IN (c [AS n], …)) [alias]`
    fn unpivot(&mut self, table: TableFactor) -> Result<TableFactor> {
        self.expect("unpivot")?;
        let null_inclusion = match () {
            () if self.eat(&["exclude", "nulls"]) => Some(NullInclusion::ExcludeNulls),
            () if self.eat(&["include", "nulls"]) => Some(NullInclusion::IncludeNulls),
            () => None,
        };
        self.open()?;
        if self.is_symbol(Symbol::LParen) {
            return self.unsupported(self.position(), "UNPIVOT into several columns");
        }
        let value = Expr::Identifier(self.ident()?);
        self.expect("for")?;
        let name = self.ident()?;
        self.expect("in")?;
        let columns = self.parens(|p| p.named_expr(&[]))?;
        self.close()?;
        if let Some(other) = columns.iter().find(|c| !matches!(c.expr, Expr::Identifier(_))) {
            use sqlparser::ast::Spanned;
            return Err(SqlError::semantic(other.expr.span().into(), "UNPIVOT takes columns only"));
        }
        let alias = self.table_alias()?;
        Ok(TableFactor::Unpivot { table: Box::new(table), value, name, columns, null_inclusion, alias })
    }

    /// `expr [[AS] name]`; a word of `end` is no name.
    fn named_expr(&mut self, end: &[&str]) -> Result<ExprWithAlias> {
        let expr = self.expr()?;
        let token =
            if self.eat(&["as"]) || (!self.is_any(end) && self.peek_alias()) { Some(self.peek()) } else { None };
        let alias = token.map(|t| self.alias_of(t)).transpose()?;
        Ok(ExprWithAlias { expr, alias })
    }
}
