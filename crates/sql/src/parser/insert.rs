//! INSERT INTO and INSERT OVERWRITE, also after WITH.

use sqlparser::ast::{SetExpr, With};

use super::cursor::Parser;
use super::from::plain_query;
use crate::Result;
use crate::lexer::Symbol;
use crate::statement::{Insert, Statement};

impl Parser<'_> {
    /// INSERT comes next; the queries of `with`, read before it, go to the source.
    pub(super) fn insert(&mut self, with: Option<With>) -> Result<Statement> {
        let at = self.position();
        self.expect("insert")?;
        let overwrite = self.eat(&["overwrite"]);
        if !overwrite {
            self.expect("into")?;
        }
        if self.is("directory") || (self.is("local") && self.is_at(1, "directory")) {
            return Ok(self.skip("INSERT OVERWRITE DIRECTORY", at));
        }
        self.eat(&["table"]);
        let table = self.object_name()?;
        let mut columns = self.insert_columns()?;
        let partition = if self.is("partition") { Some(self.partition_terms()?) } else { None };
        let if_not_exists = self.eat(&["if", "not", "exists"]);
        if columns.is_empty() {
            columns = self.insert_columns()?;
        }
        let mut source =
            if self.eat(&["values"]) { Box::new(plain_query(SetExpr::Values(self.rows()?))) } else { self.query()? };
        if let Some(mut outer) = with {
            if let Some(inner) = source.with.take() {
                outer.recursive |= inner.recursive;
                outer.cte_tables.extend(inner.cte_tables);
            }
            source.with = Some(outer);
        }
        Ok(Statement::Insert(Box::new(Insert { table, overwrite, partition, if_not_exists, columns, source })))
    }

    /// `(a, b)`, unless the parenthesis begins the query.
    fn insert_columns(&mut self) -> Result<Vec<crate::statement::ColumnRef>> {
        let is_list =
            self.is_symbol(Symbol::LParen) && !self.starts_query_at(1) && self.symbol_at(1) != Some(Symbol::LParen);
        if is_list { self.column_names() } else { Ok(Vec::new()) }
    }
}
