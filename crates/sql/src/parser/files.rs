//! Statements over files of a bucket: CREATE EXTERNAL TABLE, LOAD, UNLOAD, MSCK.

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, ObjectName, SelectItem, SetExpr, TableFactor, TableWithJoins, Value,
    WildcardAdditionalOptions,
};

use super::columns::ColumnDef;
use super::cursor::Parser;
use super::from::plain_query;
use super::query::empty_select;
use crate::lexer::Symbol;
use crate::statement::{CreateExternal, Files, Load, PartitionTerm, Repair, Statement, Unload};
use crate::{Position, Result, SqlError};

/// What may stand once each, in any order, around LOCATION.
#[derive(Default)]
struct Clauses {
    partitioned: Option<Vec<ColumnDef>>,
    comment: Option<String>,
    properties: Option<Vec<(String, String)>>,
    location: Option<(Position, String)>,
    row_format: Option<String>,
    stored_as: Option<String>,
    handler: Option<String>,
    options: Option<Vec<(String, String)>>,
}

impl Clauses {
    /// What they say of the files; an error at the next token without a LOCATION.
    fn files(&mut self, parser: &Parser<'_>) -> Result<Files> {
        let Some((position, location)) = self.location.take() else {
            return parser.unexpected(Some("LOCATION 'oss://bucket/path/'"));
        };
        Ok(Files {
            position,
            location,
            row_format: self.row_format.take(),
            stored_as: self.stored_as.take(),
            handler: self.handler.take(),
            options: self.options.take().unwrap_or_default(),
        })
    }
}

impl Parser<'_> {
    /// `CREATE EXTERNAL TABLE [IF NOT EXISTS] t (columns) …`; EXTERNAL comes next.
    pub(super) fn create_external(&mut self, at: Position) -> Result<Statement> {
        self.expect("external")?;
        if !self.is("table") {
            return Ok(self.skip("CREATE EXTERNAL", at));
        }
        self.take();
        let if_not_exists = self.eat(&["if", "not", "exists"]);
        let name = self.object_name()?;
        if !self.is_symbol(Symbol::LParen) {
            return Ok(self.skip("CREATE EXTERNAL TABLE without columns", at));
        }
        let defs = self.parens(Self::column_def)?;
        let mut clauses = Clauses::default();
        while self.partitioned_clause(&mut clauses)? || self.files_clause(&mut clauses)? {}
        let partitioned = clauses.partitioned.take().unwrap_or_default();
        if let Some(key) = defs.iter().chain(&partitioned).find(|d| d.primary_key) {
            return self.unsupported(key.position, "PRIMARY KEY of an external table");
        }
        if let Some(what) = self.lacking_clause() {
            return Ok(self.skip(what, at));
        }
        let files = clauses.files(self)?;
        Ok(Statement::CreateExternal(Box::new(CreateExternal {
            if_not_exists,
            name,
            columns: defs.into_iter().map(|d| d.column).collect(),
            partition_columns: partitioned.into_iter().map(|d| d.column).collect(),
            comment: clauses.comment,
            properties: clauses.properties.unwrap_or_default(),
            files,
        })))
    }

    /// A clause of CREATE EXTERNAL TABLE that MaxCompute has and feitian lacks.
    fn lacking_clause(&self) -> Option<&'static str> {
        const LACKING: [(&str, &str); 6] = [
            ("auto", "AUTO PARTITIONED BY of an external table"),
            ("clustered", "CLUSTERED BY of an external table"),
            ("range", "CLUSTERED BY of an external table"),
            ("using", "USING of an external table"),
            ("lifecycle", "LIFECYCLE of an external table"),
            ("as", "AS of an external table"),
        ];
        LACKING.iter().find(|(word, _)| self.is(word)).map(|(_, what)| *what)
    }

    /// `PARTITIONED BY (column, …)`; `false` if it does not come next.
    fn partitioned_clause(&mut self, clauses: &mut Clauses) -> Result<bool> {
        let first = self.position();
        if !self.eat(&["partitioned", "by"]) {
            return Ok(false);
        }
        if clauses.partitioned.is_some() {
            return Err(SqlError::parse(first, "the clause appears twice"));
        }
        clauses.partitioned = Some(self.parens(Self::column_def)?);
        Ok(true)
    }

    /// `MSCK [REPAIR] TABLE t [ADD|DROP PARTITIONS]`; MSCK comes next.
    pub(super) fn repair(&mut self) -> Result<Statement> {
        self.expect("msck")?;
        self.eat(&["repair"]);
        self.expect("table")?;
        let table = self.object_name()?;
        let drop = self.is("drop");
        if self.is_any(&["add", "drop"]) {
            self.take();
            self.expect("partitions")?;
        } else if self.is("sync") {
            return self.unsupported(self.position(), "SYNC PARTITIONS of MSCK");
        }
        if self.is("with") {
            return self.unsupported(self.position(), "properties of MSCK");
        }
        Ok(Statement::Repair(Repair { table, drop }))
    }

    /// `LOAD OVERWRITE|INTO TABLE t [PARTITION (…)] FROM LOCATION '…' …`; LOAD comes next.
    pub(super) fn load(&mut self) -> Result<Statement> {
        let at = self.position();
        self.expect("load")?;
        let overwrite = self.eat(&["overwrite"]);
        if !overwrite && !self.eat(&["into"]) {
            return Ok(self.skip("LOAD DATA", at));
        }
        self.expect("table")?;
        let table = self.object_name()?;
        let partition = if self.is("partition") { Some(self.partition_terms()?) } else { None };
        self.expect("from")?;
        let files = self.files()?;
        Ok(Statement::Load(Box::new(Load { table, overwrite, partition, files })))
    }

    /// `UNLOAD FROM t [PARTITION (…)]|(query) INTO LOCATION '…' …`; UNLOAD comes next.
    pub(super) fn unload(&mut self) -> Result<Statement> {
        self.expect("unload")?;
        self.expect("from")?;
        let query = if self.is_symbol(Symbol::LParen) {
            self.query()?
        } else {
            let token = self.peek();
            let name = self.object_name()?;
            let terms = if self.is("partition") { self.partition_terms()? } else { Vec::new() };
            let mut select = empty_select(self.attached(token));
            select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
            select.from = vec![TableWithJoins { relation: table_factor(name), joins: Vec::new() }];
            select.selection = of_partition(terms)?;
            Box::new(plain_query(SetExpr::Select(Box::new(select))))
        };
        self.expect("into")?;
        let files = self.files()?;
        Ok(Statement::Unload(Box::new(Unload { query, files })))
    }

    /// `LOCATION '…'` with what is said of its files.
    fn files(&mut self) -> Result<Files> {
        let mut clauses = Clauses::default();
        while self.files_clause(&mut clauses)? {}
        if clauses.comment.is_some() || clauses.properties.is_some() {
            return Err(SqlError::parse(self.position(), "COMMENT and TBLPROPERTIES are for tables"));
        }
        clauses.files(self)
    }

    /// Reads one clause; `false` if none comes next.
    fn files_clause(&mut self, clauses: &mut Clauses) -> Result<bool> {
        let first = self.position();
        let once = |again: bool| if again { Err(SqlError::parse(first, "the clause appears twice")) } else { Ok(()) };
        if self.eat(&["comment"]) {
            once(clauses.comment.is_some())?;
            clauses.comment = Some(self.string()?);
        } else if self.eat(&["tblproperties"]) {
            once(clauses.properties.is_some())?;
            clauses.properties = Some(self.properties()?);
        } else if self.eat(&["location"]) {
            once(clauses.location.is_some())?;
            let position = self.position();
            clauses.location = Some((position, self.string()?));
        } else if self.eat(&["row", "format"]) {
            once(clauses.row_format.is_some())?;
            if !self.eat(&["serde"]) {
                return self.unsupported(first, "ROW FORMAT DELIMITED");
            }
            clauses.row_format = Some(self.string()?);
        } else if self.eat(&["with", "serdeproperties"]) {
            once(clauses.options.is_some())?;
            clauses.options = Some(self.properties()?);
        } else if self.eat(&["stored", "by"]) {
            once(clauses.handler.is_some() || clauses.stored_as.is_some())?;
            clauses.handler = Some(self.string()?);
        } else if self.eat(&["stored", "as"]) {
            once(clauses.handler.is_some() || clauses.stored_as.is_some())?;
            if self.is("inputformat") {
                return self.unsupported(first, "STORED AS INPUTFORMAT");
            }
            clauses.stored_as = Some(self.name()?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

fn table_factor(name: ObjectName) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// `PARTITION (a='1', b='2')` as a condition; values are compared as those of the column's type.
fn of_partition(terms: Vec<PartitionTerm>) -> Result<Option<Expr>> {
    let mut conditions = Vec::with_capacity(terms.len());
    for PartitionTerm { name, value, position } in terms {
        let Some(value) = value else {
            return Err(SqlError::partition_key(position, format!("partition column {name} needs a value here")));
        };
        let column = Expr::Identifier(Ident::with_quote('`', name));
        let value = Expr::Value(Value::SingleQuotedString(value).with_empty_span());
        conditions.push(binary(column, BinaryOperator::Eq, value));
    }
    Ok(conditions.into_iter().reduce(|left, right| binary(left, BinaryOperator::And, right)))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}
