//! INSERT INTO and INSERT OVERWRITE, also after WITH and after FROM, where several may follow each other.

use sqlparser::ast::{Select, SetExpr, With};

use super::cursor::{Parser, QUERY_HEIGHT};
use super::from::plain_query;
use crate::lexer::Symbol;
use crate::statement::{Insert, Statement};
use crate::{Result, SqlError};

/// Documented limit of targets after one FROM.
const MAX_TARGETS: usize = 256;

impl Parser<'_> {
    /// INSERT comes next; the queries of `with`, read before it, go to the source.
    pub(super) fn insert(&mut self, with: Option<With>) -> Result<Statement> {
        let at = self.position();
        Ok(match self.insert_into(with, None)? {
            Some(insert) => Statement::Insert(Box::new(insert)),
            None => self.skip("INSERT OVERWRITE DIRECTORY", at),
        })
    }

    /// `FROM t SELECT …` or `FROM t INSERT … SELECT … INSERT … SELECT …`; the queries of `with` were read before it.
    pub(super) fn statement_with_from(&mut self, with: Option<With>) -> Result<Statement> {
        let at = self.position();
        let tables = self.leading_from()?;
        self.grow(QUERY_HEIGHT)?;
        if !self.is("insert") {
            let mut query = self.query_from(tables)?;
            query.with = with;
            return Ok(Statement::Query(query));
        }
        let mut inserts = Vec::new();
        while self.is("insert") {
            if inserts.len() == MAX_TARGETS {
                return Err(SqlError::semantic(self.position(), format!("more than {MAX_TARGETS} targets of INSERT")));
            }
            match self.insert_into(with.clone(), Some(tables.clone()))? {
                Some(insert) => inserts.push(insert),
                None => return Ok(self.skip("INSERT OVERWRITE DIRECTORY", at)),
            }
        }
        Ok(Statement::MultiInsert(inserts))
    }

    /// One INSERT, whose query reads `tables` if FROM stood before it; `None` if it writes to a directory.
    fn insert_into(&mut self, with: Option<With>, tables: Option<Select>) -> Result<Option<Insert>> {
        self.expect("insert")?;
        let overwrite = self.eat(&["overwrite"]);
        if !overwrite {
            self.expect("into")?;
        }
        if self.is("directory") || (self.is("local") && self.is_at(1, "directory")) {
            return Ok(None);
        }
        self.eat(&["table"]);
        let table = self.object_name()?;
        let mut columns = self.insert_columns()?;
        let partition = if self.is("partition") { Some(self.partition_terms()?) } else { None };
        let if_not_exists = self.eat(&["if", "not", "exists"]);
        if columns.is_empty() {
            columns = self.insert_columns()?;
        }
        let mut source = match tables {
            Some(tables) => self.query_from(tables)?,
            None if self.eat(&["values"]) => Box::new(plain_query(SetExpr::Values(self.rows()?))),
            None => self.query()?,
        };
        if let Some(mut outer) = with {
            if let Some(inner) = source.with.take() {
                outer.recursive |= inner.recursive;
                outer.cte_tables.extend(inner.cte_tables);
            }
            source.with = Some(outer);
        }
        Ok(Some(Insert { table, overwrite, partition, if_not_exists, columns, source }))
    }

    /// `(a, b)`, unless the parenthesis begins the query.
    fn insert_columns(&mut self) -> Result<Vec<crate::statement::ColumnRef>> {
        let is_list =
            self.is_symbol(Symbol::LParen) && !self.starts_query_at(1) && self.symbol_at(1) != Some(Symbol::LParen);
        if is_list { self.column_names() } else { Ok(Vec::new()) }
    }
}
