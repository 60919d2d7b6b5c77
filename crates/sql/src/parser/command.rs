//! SHOW, DESC, EXPLAIN, DROP, TRUNCATE, USE, and the statements that feitian lacks.

use super::cursor::Parser;
use crate::lexer::{Kind, Symbol};
use crate::statement::{CloneTable, DropTable, Existing, Listed, RestoreTable, Statement, Truncate};
use crate::{Position, Result};

/// First words of statements that MaxCompute has and feitian lacks. Some are ordinary words elsewhere.
const LACKING: &[&str] = &[
    "add",
    "allow",
    "analyze",
    "begin",
    "clear",
    "copy",
    "cost",
    "count",
    "delete",
    "disallow",
    "export",
    "exstore",
    "get",
    "grant",
    "if",
    "import",
    "install",
    "kill",
    "list",
    "lock",
    "loop",
    "ls",
    "map",
    "merge",
    "pai",
    "purge",
    "put",
    "read",
    "reduce",
    "reload",
    "remove",
    "revoke",
    "set",
    "setproject",
    "status",
    "undo",
    "uninstall",
    "unlock",
    "whoami",
];

impl Parser<'_> {
    /// Any statement.
    pub(crate) fn statement(&mut self) -> Result<Statement> {
        let statement = self.any_statement()?;
        self.expect_end()?;
        Ok(statement)
    }

    fn any_statement(&mut self) -> Result<Statement> {
        let first = self.peek();
        let at = first.position;
        if self.is_symbol(Symbol::At) {
            return Ok(self.skip("script mode (@name := …)", at));
        }
        if self.is_symbol(Symbol::LParen) || self.is_any(&["select", "values"]) {
            return Ok(Statement::Query(self.query()?));
        }
        if first.kind != Kind::Word {
            return self.unexpected(None);
        }
        if let Some(statement) = self.about_jobs()? {
            return Ok(statement);
        }
        if let Some(statement) = self.security()? {
            return Ok(statement);
        }
        match self.source(first).to_ascii_lowercase().as_str() {
            "with" => self.with_statement(),
            "insert" => self.insert(None),
            _ if self.starts_dml() => self.dml(None),
            "from" => self.statement_with_from(None),
            "create" => self.create(),
            "drop" => self.drop_statement(),
            "alter" => self.alter(),
            "truncate" => self.truncate(),
            "show" => self.show(),
            "list" | "ls" if ["tables", "functions", "resources"].iter().any(|what| self.is_at(1, what)) => self.show(),
            "desc" | "describe" => self.desc(),
            "explain" => self.explain(),
            "use" => self.use_statement(),
            "clone" => self.clone_table(),
            "function" => self.function_of_text(),
            "load" => self.load(),
            "unload" => self.unload(),
            "msck" => self.repair(),
            "restore" => self.restore_table(),
            word if LACKING.contains(&word) => Ok(self.skip(&word.to_uppercase(), at)),
            _ => self.unexpected(None),
        }
    }

    /// Moves to the end of a statement that feitian lacks.
    pub(super) fn skip(&mut self, what: &str, position: Position) -> Statement {
        while self.peek().kind != Kind::End {
            self.take();
        }
        Statement::Unsupported { what: what.to_string(), position }
    }

    /// `WITH … SELECT`, `WITH … INSERT`, `WITH … FROM`, `WITH … UPDATE`, `WITH … DELETE` or `WITH … MERGE`
    fn with_statement(&mut self) -> Result<Statement> {
        let at = self.position();
        let with = self.with()?;
        if self.is("insert") {
            return self.insert(with);
        }
        if self.is("from") {
            return self.statement_with_from(with);
        }
        if self.starts_dml() {
            return self.dml(with);
        }
        let mut query = self.query()?;
        if query.with.is_some() {
            return Err(crate::SqlError::parse(at, "invalid token 'WITH': the query has two WITH clauses"));
        }
        query.with = with;
        Ok(Statement::Query(query))
    }

    fn drop_statement(&mut self) -> Result<Statement> {
        let at = self.position();
        self.expect("drop")?;
        let materialized = self.is("materialized") && self.is_at(1, "view");
        if materialized {
            self.take();
        }
        let view = self.is("view");
        if self.eat(&["schema"]) {
            let if_exists = self.eat(&["if", "exists"]);
            return Ok(Statement::DropSchema { if_exists, name: self.object_name()? });
        }
        if self.eat(&["function"]) {
            return self.drop_function();
        }
        if self.eat(&["resource"]) {
            return self.drop_resource();
        }
        if !view && !self.is("table") {
            if self.is_any(&["materialized", "role", "package", "index", "group", "user"]) {
                let what = format!("DROP {}", self.source(self.peek()).to_uppercase());
                return Ok(self.skip(&what, at));
            }
            return self.unexpected(Some("TABLE, VIEW or SCHEMA"));
        }
        self.take();
        if self.is("variables") && self.symbol_at(1) == Some(Symbol::At) {
            return Ok(self.skip("DROP TABLE VARIABLES", at));
        }
        let if_exists = self.eat(&["if", "exists"]);
        let name = self.object_name()?;
        let purge = !view && self.eat(&["purge"]);
        Ok(Statement::DropTable(DropTable { if_exists, name, purge, view: view && !materialized, materialized }))
    }

    fn truncate(&mut self) -> Result<Statement> {
        self.expect("truncate")?;
        self.expect("table")?;
        let table = self.object_name()?;
        let mut partitions = Vec::new();
        if self.is("partition") {
            partitions = self.list(Self::partition_spec)?;
        }
        let columns = if self.eat(&["columns"]) { self.column_names()? } else { Vec::new() };
        Ok(Statement::Truncate(Truncate { table, partitions, columns }))
    }

    fn show(&mut self) -> Result<Statement> {
        let at = self.position();
        let lists = !self.is("show");
        self.take();
        if lists && self.eat(&["resources"]) {
            return Ok(Statement::ListResources);
        }
        let functions = self.is("functions");
        let listed = self.listed();
        if functions || listed.is_some() {
            self.take();
            let scope = if self.is_any(&["in", "from"]) {
                self.take();
                Some(self.object_name()?)
            } else {
                None
            };
            let like = if self.eat(&["like"]) { Some(self.string()?) } else { None };
            return Ok(match listed {
                None => Statement::ShowFunctions { scope, like },
                Some(listed) => Statement::ShowTables { scope, like, listed },
            });
        }
        if self.eat(&["partitions"]) {
            let table = self.object_name()?;
            return Ok(Statement::ShowPartitions { table, partition: self.optional_partition()? });
        }
        if self.eat(&["create", "table"]) {
            return Ok(Statement::ShowCreateTable { table: self.object_name()? });
        }
        if self.is("history") && self.is_at(1, "for") && self.is_at(2, "table") {
            self.eat(&["history", "for", "table"]);
            let table = self.object_name()?;
            return Ok(match self.peek().kind {
                Kind::End => Statement::ShowHistory { table },
                _ => self.skip("SHOW HISTORY", at),
            });
        }
        if self.eat(&["schemas"]) {
            let scoped = self.eat(&["in"]) || self.eat(&["from"]);
            let project = if scoped { Some(self.object_name()?) } else { None };
            return Ok(Statement::ShowSchemas { project });
        }
        match self.peek().kind {
            Kind::Word => {
                let what = format!("SHOW {}", self.source(self.peek()).to_uppercase());
                Ok(self.skip(&what, at))
            }
            _ => self.unexpected(Some("what to show")),
        }
    }

    /// What SHOW lists, if it is tables or views; their last word comes next.
    fn listed(&mut self) -> Option<Listed> {
        if self.is("external") && self.is_at(1, "tables") {
            self.take();
            return Some(Listed::External);
        }
        if self.is("materialized") && self.is_at(1, "views") {
            self.take();
            return Some(Listed::Materialized);
        }
        match () {
            () if self.is("tables") => Some(Listed::All),
            () if self.is("views") => Some(Listed::Views),
            () => None,
        }
    }

    fn desc(&mut self) -> Result<Statement> {
        let at = self.position();
        self.take();
        // A table may have one of these names; then nothing but the statement's end follows.
        let has_operand = matches!(self.peek_at(1).kind, Kind::Word | Kind::Quoted);
        if has_operand && self.eat(&["schema"]) {
            return Ok(Statement::DescSchema { name: self.object_name()? });
        }
        if has_operand && self.eat(&["function"]) {
            return Ok(Statement::DescFunction { name: self.object_name()? });
        }
        if has_operand && self.eat(&["resource"]) {
            return Ok(Statement::DescResource { name: self.resource_name()? });
        }
        if has_operand && self.is_any(&["project", "instance", "role", "package"]) {
            let what = format!("DESC {}", self.source(self.peek()).to_uppercase());
            return Ok(self.skip(&what, at));
        }
        let extended = has_operand && self.eat(&["extended"]);
        let table = self.object_name()?;
        Ok(Statement::Desc { table, extended, partition: self.optional_partition()? })
    }

    fn explain(&mut self) -> Result<Statement> {
        let at = self.position();
        self.expect("explain")?;
        if self.is("rewrite") {
            return Ok(self.skip("EXPLAIN REWRITE", at));
        }
        let extended = self.eat(&["extended"]);
        if self.is("explain") {
            return self.unexpected(Some("a statement to explain"));
        }
        let statement = Box::new(self.any_statement()?);
        Ok(Statement::Explain { extended, statement })
    }

    /// `CLONE TABLE a [PARTITION (…), …] TO b [IF EXISTS OVERWRITE|IGNORE]`
    fn clone_table(&mut self) -> Result<Statement> {
        self.expect("clone")?;
        self.expect("table")?;
        let from = self.object_name()?;
        let partitions = if self.is("partition") { self.list(Self::partition_spec)? } else { Vec::new() };
        self.expect("to")?;
        let to = self.object_name()?;
        let existing = if !self.eat(&["if", "exists"]) {
            Existing::Refuse
        } else if self.eat(&["overwrite"]) {
            Existing::Overwrite
        } else {
            self.expect("ignore")?;
            Existing::Ignore
        };
        Ok(Statement::CloneTable(CloneTable { from, partitions, to, existing }))
    }

    /// `RESTORE TABLE t TO LSN 'version' [AS u]`; partitions and dropped tables, which a table's id names, are lacking.
    fn restore_table(&mut self) -> Result<Statement> {
        let at = self.position();
        self.expect("restore")?;
        self.expect("table")?;
        let table = self.object_name()?;
        if !self.eat(&["to", "lsn"]) {
            return Ok(self.skip("RESTORE", at));
        }
        let place = self.position();
        let lsn = self.string()?;
        let Ok(version) = lsn.trim().parse() else {
            let detail = format!("'{lsn}' is no LSN: SHOW HISTORY FOR TABLE lists those of a table");
            return Err(crate::SqlError::semantic(place, detail));
        };
        let to = if self.eat(&["as"]) { Some(self.object_name()?) } else { None };
        Ok(Statement::RestoreTable(RestoreTable { table, version, to }))
    }

    fn use_statement(&mut self) -> Result<Statement> {
        self.expect("use")?;
        let schema = self.is("schema") && self.peek_at(1).kind != Kind::End;
        if schema {
            self.take();
        }
        Ok(Statement::Use { name: self.object_name()?, schema })
    }
}
