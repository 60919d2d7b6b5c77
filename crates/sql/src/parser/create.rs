//! CREATE: tables, views, schemas.

use feitian_types::{Column, DataType};
use sqlparser::ast::ObjectName;

use super::columns::ColumnDef;
use super::cursor::Parser;
use crate::lexer::Symbol;
use crate::statement::{AutoPartition, Clustering, ColumnRef, CreateTable, CreateView, Shards, Statement};
use crate::{Position, Result, SqlError};

/// Documented limit of partition levels.
const MAX_PARTITION_LEVELS: usize = 6;

/// Formats that STORED AS may name. Rows lie in Parquet whatever it says.
const FORMATS: [&str; 10] =
    ["aliorc", "orc", "parquet", "textfile", "rcfile", "sequencefile", "avro", "csv", "json", "jsonfile"];

/// The optional clauses of CREATE TABLE that may stand once each, in any order, and that we keep.
#[derive(Default)]
struct Clauses {
    comment: Option<String>,
    partition_columns: Option<Vec<ColumnDef>>,
    auto_partition: Option<AutoPartition>,
    clustering: Option<Clustering>,
    stored_as: Option<String>,
    properties: Option<Vec<(String, String)>>,
    lifecycle: Option<u32>,
    shards: Option<Shards>,
}

/// A clause that was read, or the name of one that feitian lacks.
enum Clause {
    Read,
    Lacking(&'static str),
}

impl Parser<'_> {
    pub(super) fn create(&mut self) -> Result<Statement> {
        let at = self.position();
        let first = self.expect("create")?;
        let or_replace = self.eat(&["or", "replace"]);
        if self.eat(&["view"]) {
            return self.create_view(or_replace);
        }
        if or_replace && self.is("table") {
            return Ok(self.skip("CREATE OR REPLACE TABLE", at));
        }
        if self.eat(&["table"]) {
            return self.create_table(at);
        }
        if self.eat(&["schema"]) {
            let if_not_exists = self.eat(&["if", "not", "exists"]);
            let name = self.object_name()?;
            let comment = if self.eat(&["comment"]) { Some(self.string()?) } else { None };
            return Ok(Statement::CreateSchema { if_not_exists, name, comment });
        }
        if self.is("bloomfilter") {
            return Ok(self.skip("CREATE BLOOMFILTER INDEX", at));
        }
        if self.is_function() {
            return self.create_function(first, or_replace);
        }
        if self.is("external") && !or_replace {
            return self.create_external(at);
        }
        if self.is("materialized") && self.is_at(1, "view") && !or_replace {
            return self.create_materialized();
        }
        const OTHERS: [&str; 13] = [
            "external",
            "temporary",
            "materialized",
            "sql",
            "role",
            "package",
            "group",
            "index",
            "model",
            "user",
            "resource",
            "volume",
            "project",
        ];
        if self.is_any(&OTHERS) {
            let what = format!("CREATE {}", self.source(self.peek()).to_uppercase());
            return Ok(self.skip(&what, at));
        }
        self.unexpected(Some("TABLE, VIEW or SCHEMA"))
    }

    fn create_table(&mut self, at: Position) -> Result<Statement> {
        let if_not_exists = self.eat(&["if", "not", "exists"]);
        let name = self.object_name()?;
        let like = if self.eat(&["like"]) { Some(self.object_name()?) } else { None };
        let (mut defs, mut primary_key) = (Vec::new(), Vec::new());
        if like.is_none() && self.is_symbol(Symbol::LParen) {
            (defs, primary_key) = self.table_columns()?;
        }
        let mut clauses = Clauses::default();
        while let Some(clause) = self.table_clause(&mut clauses)? {
            if let Clause::Lacking(what) = clause {
                return Ok(self.skip(what, at));
            }
        }
        let as_query = if like.is_none() && self.eat(&["as"]) { Some(self.query()?) } else { None };
        let Clauses {
            comment,
            partition_columns,
            auto_partition,
            clustering,
            stored_as,
            properties,
            lifecycle,
            shards,
        } = clauses;
        let partition_defs = partition_columns.unwrap_or_default();
        check_columns(&defs, &partition_defs)?;
        if like.is_none() && as_query.is_none() {
            check_clustering(&defs, clustering.as_ref(), at)?;
        }
        let shape = usize::from(!defs.is_empty()) + usize::from(as_query.is_some()) + usize::from(like.is_some());
        if shape == 0 {
            return self.unexpected(Some("the columns, LIKE or AS"));
        }
        if shape > 1 || (defs.is_empty() && !partition_defs.is_empty()) {
            return Ok(self.skip("CREATE TABLE … AS or LIKE with columns or partitions", at));
        }
        let marked = defs.iter().filter(|d| d.primary_key);
        primary_key.extend(marked.map(|d| ColumnRef { name: d.column.name.clone(), position: d.position }));
        check_primary_key(&defs, &primary_key)?;
        let columns = |defs: Vec<ColumnDef>| defs.into_iter().map(|d| d.column).collect::<Vec<Column>>();
        Ok(Statement::CreateTable(Box::new(CreateTable {
            if_not_exists,
            name,
            columns: columns(defs),
            partition_columns: columns(partition_defs),
            auto_partition,
            comment,
            lifecycle,
            properties: properties.unwrap_or_default(),
            primary_key: primary_key.into_iter().map(|c| c.name).collect(),
            clustering,
            shards,
            stored_as,
            like,
            as_query,
        })))
    }

    /// `(column, …, [CONSTRAINT n] PRIMARY KEY (a) [ENABLE|DISABLE] …)`
    fn table_columns(&mut self) -> Result<(Vec<ColumnDef>, Vec<ColumnRef>)> {
        let (mut defs, mut key) = (Vec::new(), Vec::new());
        self.parens(|p| {
            if p.is("constraint") && p.is_at(2, "primary") {
                p.take();
                p.name()?;
            }
            if !p.eat(&["primary", "key"]) {
                defs.push(p.column_def()?);
                return Ok(());
            }
            key.append(&mut p.column_names()?);
            while p.is_any(&["enable", "disable", "validate", "novalidate", "rely", "norely"]) {
                p.take();
            }
            Ok(())
        })?;
        Ok((defs, key))
    }

    /// Reads one clause; `None` if none comes next.
    fn table_clause(&mut self, clauses: &mut Clauses) -> Result<Option<Clause>> {
        const LACKING: [(&[&str], &str); 7] = [
            (&["skewed", "by"], "SKEWED BY"),
            (&["row", "format"], "ROW FORMAT"),
            (&["stored", "by"], "STORED BY (an external table)"),
            (&["with", "serdeproperties"], "SERDEPROPERTIES (an external table)"),
            (&["location"], "LOCATION (an external table)"),
            (&["using"], "USING (an external table)"),
            (&["changelogs"], "CHANGELOGS"),
        ];
        for (words, what) in LACKING {
            if words.iter().enumerate().all(|(n, w)| self.is_at(n, w)) {
                return Ok(Some(Clause::Lacking(what)));
            }
        }
        let first = self.position();
        let once = |again: bool| if again { Err(SqlError::parse(first, "the clause appears twice")) } else { Ok(()) };
        if self.eat(&["comment"]) {
            once(clauses.comment.is_some())?;
            clauses.comment = Some(self.string()?);
        } else if self.eat(&["partitioned", "by"]) {
            once(clauses.partition_columns.is_some())?;
            clauses.partition_columns = Some(self.parens(Self::column_def)?);
        } else if self.eat(&["auto", "partitioned", "by"]) {
            once(clauses.partition_columns.is_some())?;
            let (def, auto) = self.auto_partition()?;
            (clauses.partition_columns, clauses.auto_partition) = (Some(vec![def]), Some(auto));
        } else if self.is("clustered") || (self.is("range") && self.is_at(1, "clustered")) {
            once(clauses.clustering.is_some())?;
            clauses.clustering = Some(self.clustering()?);
        } else if self.eat(&["stored", "as"]) {
            once(clauses.stored_as.is_some())?;
            if self.is("inputformat") {
                return Ok(Some(Clause::Lacking("STORED AS INPUTFORMAT")));
            }
            if !self.is_any(&FORMATS) {
                return self.unexpected(Some("a file format"));
            }
            clauses.stored_as = Some(self.name()?);
        } else if self.eat(&["tblproperties"]) {
            once(clauses.properties.is_some())?;
            clauses.properties = Some(self.properties()?);
        } else if self.eat(&["lifecycle"]) {
            once(clauses.lifecycle.is_some())?;
            clauses.lifecycle = Some(self.count(1)?);
        } else if self.eat(&["into"]) {
            once(clauses.shards.is_some())?;
            let shards = self.count(1)?;
            self.expect("shards")?;
            let hub_lifecycle = if self.eat(&["hublifecycle"]) { Some(self.count(1)?) } else { None };
            clauses.shards = Some(Shards { shards, hub_lifecycle });
        } else {
            return Ok(None);
        }
        Ok(Some(Clause::Read))
    }

    /// `(trunc_time(column, 'unit') [AS name] [COMMENT 'c'])`: one STRING column.
    fn auto_partition(&mut self) -> Result<(ColumnDef, AutoPartition)> {
        let at = self.position();
        let mut terms = self.parens(|p| {
            let position = p.position();
            if !p.eat(&["trunc_time"]) {
                return p.unexpected(Some("TRUNC_TIME (column, 'unit')"));
            }
            p.expect_symbol(Symbol::LParen, "'('")?;
            let source = ColumnRef { position: p.position(), name: p.name()? };
            p.expect_symbol(Symbol::Comma, "','")?;
            let unit = p.string()?.to_lowercase();
            p.expect_symbol(Symbol::RParen, "')'")?;
            // The name that MaxCompute gives.
            let name = if p.eat(&["as"]) { p.name()? } else { "_pt_col_0_".to_string() };
            let mut column = Column::new(name, DataType::String);
            if p.eat(&["comment"]) {
                column.comment = p.string()?;
            }
            Ok((ColumnDef { column, position, primary_key: false }, AutoPartition { source, unit }))
        })?;
        match (terms.pop(), terms.is_empty()) {
            (Some(term), true) => Ok(term),
            _ => Err(SqlError::semantic(at, "AUTO PARTITIONED BY takes one expression")),
        }
    }

    /// `[RANGE] CLUSTERED BY (a, b) [SORTED BY (a [ASC|DESC], …)] [INTO n BUCKETS]`
    pub(super) fn clustering(&mut self) -> Result<Clustering> {
        let range = self.eat(&["range"]);
        self.expect("clustered")?;
        self.expect("by")?;
        let columns = self.column_names()?.into_iter().map(|c| c.name).collect();
        let mut sorted_by = Vec::new();
        if self.eat(&["sorted", "by"]) {
            sorted_by = self.parens(|p| {
                let name = p.name()?;
                let ascending = !p.eat(&["desc"]);
                p.eat(&["asc"]);
                Ok((name, ascending))
            })?;
        }
        let buckets = if self.eat(&["into"]) {
            let n = self.count(1)?;
            self.expect("buckets")?;
            Some(n)
        } else {
            None
        };
        Ok(Clustering { range, columns, sorted_by, buckets })
    }

    fn create_view(&mut self, or_replace: bool) -> Result<Statement> {
        let at = self.position();
        let if_not_exists = self.eat(&["if", "not", "exists"]);
        let name: ObjectName = self.object_name()?;
        let (mut columns, mut comment, mut properties) = (Vec::new(), None, None);
        if self.is_symbol(Symbol::LParen) {
            if self.symbol_at(1) == Some(Symbol::At) {
                return Ok(self.skip("a view with parameters", at));
            }
            columns = self.parens(|p| {
                let name = p.name()?;
                let comment = if p.eat(&["comment"]) { Some(p.string()?) } else { None };
                Ok((name, comment))
            })?;
        }
        loop {
            let first = self.position();
            if comment.is_some() && self.is("comment") || properties.is_some() && self.is("tblproperties") {
                return Err(SqlError::parse(first, "the clause appears twice"));
            }
            if self.eat(&["comment"]) {
                comment = Some(self.string()?);
            } else if self.eat(&["tblproperties"]) {
                properties = Some(self.properties()?);
            } else if self.is("partitioned") {
                return Ok(self.skip("CREATE VIEW … PARTITIONED ON", at));
            } else if self.is("lifecycle") {
                return Ok(self.skip("CREATE VIEW … LIFECYCLE", at));
            } else {
                break;
            }
        }
        self.expect("as")?;
        let (query, query_text) = self.query_with_text()?;
        Ok(Statement::CreateView(Box::new(CreateView {
            or_replace,
            if_not_exists,
            name,
            columns,
            comment,
            properties: properties.unwrap_or_default(),
            query,
            query_text,
        })))
    }
}

/// Names are unique over data and partition columns.
fn check_columns(columns: &[ColumnDef], partitions: &[ColumnDef]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for def in columns.iter().chain(partitions) {
        if !seen.insert(&def.column.name) {
            let detail = format!("column repeated in creation: {}", def.column.name);
            return Err(SqlError::semantic(def.position, detail));
        }
    }
    match partitions.get(MAX_PARTITION_LEVELS) {
        Some(def) => {
            let detail = format!("a table has at most {MAX_PARTITION_LEVELS} partition columns");
            Err(SqlError::semantic(def.position, detail))
        }
        None => Ok(()),
    }
}

/// CLUSTERED BY and SORTED BY name data columns.
fn check_clustering(columns: &[ColumnDef], clustering: Option<&Clustering>, at: Position) -> Result<()> {
    let Some(Clustering { columns: clustered, sorted_by, .. }) = clustering else { return Ok(()) };
    let mut names = clustered.iter().chain(sorted_by.iter().map(|(name, _)| name));
    match names.find(|name| !columns.iter().any(|d| d.column.name == **name)) {
        Some(name) => Err(SqlError::semantic(at, format!("column {name} of CLUSTERED BY cannot be resolved"))),
        None => Ok(()),
    }
}

fn check_primary_key(columns: &[ColumnDef], key: &[ColumnRef]) -> Result<()> {
    let names: std::collections::HashSet<&str> = columns.iter().map(|d| d.column.name.as_str()).collect();
    if let Some(i) = super::columns::repeated(key.iter().map(|c| c.name.as_str())) {
        let detail = format!("column {} is in the primary key twice", key[i].name);
        return Err(SqlError::semantic(key[i].position, detail));
    }
    for ColumnRef { name, position } in key {
        if !names.contains(name.as_str()) {
            return Err(SqlError::semantic(
                *position,
                format!("primary key column {name} is not a column of the table"),
            ));
        }
    }
    Ok(())
}
