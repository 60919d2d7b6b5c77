//! CREATE MATERIALIZED VIEW.

use super::cursor::Parser;
use crate::lexer::Symbol;
use crate::statement::{Clustering, CreateMaterialized, Statement};
use crate::{Result, SqlError};

/// What may stand once each, in any order, before AS. Tools write LIFECYCLE before the columns, people behind them.
#[derive(Default)]
struct Clauses {
    columns: Option<Vec<(String, Option<String>)>>,
    comment: Option<String>,
    lifecycle: Option<u32>,
    deferred: Option<()>,
    no_rewrite: Option<()>,
    partitioned_on: Option<Vec<String>>,
    clustering: Option<Clustering>,
    properties: Option<Vec<(String, String)>>,
}

impl Parser<'_> {
    /// `CREATE MATERIALIZED VIEW [IF NOT EXISTS] v … AS query`; MATERIALIZED comes next.
    pub(super) fn create_materialized(&mut self) -> Result<Statement> {
        self.expect("materialized")?;
        self.expect("view")?;
        let if_not_exists = self.eat(&["if", "not", "exists"]);
        let name = self.object_name()?;
        let mut clauses = Clauses::default();
        while self.materialized_clause(&mut clauses)? {}
        self.expect("as")?;
        let (query, query_text) = self.query_with_text()?;
        Ok(Statement::CreateMaterialized(Box::new(CreateMaterialized {
            if_not_exists,
            name,
            columns: clauses.columns.unwrap_or_default(),
            comment: clauses.comment,
            lifecycle: clauses.lifecycle,
            deferred: clauses.deferred.is_some(),
            rewrite: clauses.no_rewrite.is_none(),
            partitioned_on: clauses.partitioned_on.unwrap_or_default(),
            clustering: clauses.clustering,
            properties: clauses.properties.unwrap_or_default(),
            query,
            query_text,
        })))
    }

    /// Reads one clause; `false` if none comes next.
    fn materialized_clause(&mut self, clauses: &mut Clauses) -> Result<bool> {
        let first = self.position();
        let once = |again: bool| if again { Err(SqlError::parse(first, "the clause appears twice")) } else { Ok(()) };
        if self.is_symbol(Symbol::LParen) {
            once(clauses.columns.is_some())?;
            clauses.columns = Some(self.view_columns()?);
        } else if self.eat(&["comment"]) {
            once(clauses.comment.is_some())?;
            clauses.comment = Some(self.string()?);
        } else if self.eat(&["lifecycle"]) {
            once(clauses.lifecycle.is_some())?;
            clauses.lifecycle = Some(self.count(1)?);
        } else if self.eat(&["build", "deferred"]) {
            once(clauses.deferred.is_some())?;
            clauses.deferred = Some(());
        } else if self.eat(&["disable", "rewrite"]) {
            once(clauses.no_rewrite.is_some())?;
            clauses.no_rewrite = Some(());
        } else if self.eat(&["partitioned", "on"]) || self.eat(&["partitioned", "by"]) {
            once(clauses.partitioned_on.is_some())?;
            clauses.partitioned_on = Some(self.view_columns()?.into_iter().map(|(name, _)| name).collect());
        } else if self.is("clustered") || (self.is("range") && self.is_at(1, "clustered")) {
            once(clauses.clustering.is_some())?;
            clauses.clustering = Some(self.clustering()?);
        } else if self.eat(&["tblproperties"]) {
            once(clauses.properties.is_some())?;
            clauses.properties = Some(self.properties()?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// `(column [COMMENT 'c'], …)`
    fn view_columns(&mut self) -> Result<Vec<(String, Option<String>)>> {
        self.parens(|p| {
            let name = p.name()?;
            let comment = if p.eat(&["comment"]) { Some(p.string()?) } else { None };
            Ok((name, comment))
        })
    }
}
