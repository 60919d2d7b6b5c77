//! ALTER TABLE and ALTER VIEW.

use feitian_types::{Column, PartitionSpec};

use super::columns::repeated;
use super::cursor::Parser;
use crate::lexer::Symbol;
use crate::statement::{AlterOp, AlterTable, Place, Statement};
use crate::{Position, Result, SqlError};

/// A change that we read, or the name of one that feitian lacks.
enum Change {
    Op(AlterOp),
    Lacking(&'static str),
}

impl Parser<'_> {
    pub(super) fn alter(&mut self) -> Result<Statement> {
        let at = self.position();
        self.expect("alter")?;
        if self.is("materialized") && self.is_at(1, "view") {
            return self.alter_materialized(at);
        }
        if self.is_any(&["materialized", "project", "user", "role", "resource", "function", "schema"]) {
            let what = format!("ALTER {}", self.source(self.peek()).to_uppercase());
            return Ok(self.skip(&what, at));
        }
        let view = self.eat(&["view"]);
        if !view {
            self.expect("table")?;
        }
        let name = self.object_name()?;
        let partition = self.optional_partition()?;
        match self.change(view, partition)? {
            Change::Op(op) => Ok(Statement::AlterTable(Box::new(AlterTable { name, view, materialized: false, op }))),
            Change::Lacking(what) => Ok(self.skip(what, at)),
        }
    }

    /// `ALTER MATERIALIZED VIEW v REBUILD [PARTITION (…)]`, `ENABLE|DISABLE REWRITE`, and changes that tables have.
    fn alter_materialized(&mut self, at: Position) -> Result<Statement> {
        self.expect("materialized")?;
        self.expect("view")?;
        let name = self.object_name()?;
        let op = if self.eat(&["rebuild"]) {
            let partition = self.optional_partition()?;
            if self.is_symbol(Symbol::Comma) {
                return Ok(self.skip("REBUILD of several partitions", at));
            }
            AlterOp::Rebuild { partition }
        } else if self.is_any(&["enable", "disable"]) && self.is_at(1, "rewrite") {
            let enabled = self.is("enable");
            self.take();
            self.take();
            AlterOp::SetRewrite { enabled }
        } else {
            match self.change(false, None)? {
                Change::Op(op) => op,
                Change::Lacking(what) => return Ok(self.skip(what, at)),
            }
        };
        Ok(Statement::AlterTable(Box::new(AlterTable { name, view: false, materialized: true, op })))
    }

    fn change(&mut self, view: bool, partition: Option<PartitionSpec>) -> Result<Change> {
        const LACKING: [(&str, &str); 9] = [
            ("exchange", "ALTER TABLE … EXCHANGE PARTITION"),
            ("archive", "ALTER TABLE … ARCHIVE"),
            ("freeze", "ALTER TABLE … FREEZE"),
            ("restore", "ALTER TABLE … RESTORE"),
            ("concatenate", "ALTER TABLE … CONCATENATE"),
            ("update", "ALTER TABLE … UPDATE STATISTICS"),
            ("skewed", "ALTER TABLE … SKEWED BY"),
            ("recover", "ALTER TABLE … RECOVER"),
            ("lock", "ALTER TABLE … LOCK"),
        ];
        if let Some((_, what)) = LACKING.iter().find(|(word, _)| self.is(word)) {
            return Ok(Change::Lacking(what));
        }
        if !view && self.is_any(&["merge", "compact"]) {
            return self.merge(partition).map(Change::Op);
        }
        if let Some(partition) = partition {
            return self.change_partition(partition);
        }
        if view && self.eat(&["as"]) {
            let (query, query_text) = self.query_with_text()?;
            return Ok(Change::Op(AlterOp::SetQuery { query, query_text }));
        }
        if self.is("set") {
            return self.change_setting();
        }
        if self.is_any(&["add", "drop", "change", "replace"]) || (self.is("rename") && self.is_at(1, "column")) {
            return self.change_columns();
        }
        Ok(Change::Op(if self.eat(&["rename"]) {
            self.expect("to")?;
            AlterOp::RenameTo { name: self.object_name()? }
        } else if self.eat(&["changeowner"]) {
            self.expect("to")?;
            AlterOp::ChangeOwner { owner: self.string()? }
        } else if self.eat(&["touch"]) {
            AlterOp::Touch { partition: self.optional_partition()? }
        } else if self.eat(&["unset"]) {
            self.expect("tblproperties")?;
            AlterOp::UnsetProperties { keys: self.parens(Self::property_name)? }
        } else if self.eat(&["not", "clustered"]) {
            AlterOp::NotClustered
        } else if self.is_any(&["range", "clustered"]) {
            AlterOp::SetClustering { clustering: self.clustering()? }
        } else if self.is_any(&["enable", "disable"]) {
            return self.enable(None);
        } else {
            return self.unexpected(Some("what to change"));
        }))
    }

    /// `MERGE SMALLFILES`, `COMPACT MAJOR|MINOR`, or `MERGE [IF EXISTS] PARTITION (…), … OVERWRITE PARTITION (…) [PURGE]`
    fn merge(&mut self, partition: Option<PartitionSpec>) -> Result<AlterOp> {
        if self.eat(&["compact"]) {
            if !self.is_any(&["major", "minor"]) {
                return self.unexpected(Some("MAJOR or MINOR"));
            }
            self.take();
            return Ok(AlterOp::MergeFiles { partition, compact: true });
        }
        self.expect("merge")?;
        if partition.is_some() || self.is("smallfiles") {
            self.expect("smallfiles")?;
            return Ok(AlterOp::MergeFiles { partition, compact: false });
        }
        let if_exists = self.eat(&["if", "exists"]);
        let sources = self.list(Self::partition_conditions)?;
        self.expect("overwrite")?;
        let to = self.partition_spec()?;
        // The partitions that go are gone at once, as they are after DROP.
        self.eat(&["purge"]);
        Ok(AlterOp::MergePartitions { if_exists, sources, to })
    }

    fn change_partition(&mut self, partition: PartitionSpec) -> Result<Change> {
        if self.eat(&["rename"]) {
            self.expect("to")?;
            return Ok(Change::Op(AlterOp::RenamePartition { from: partition, to: self.partition_spec()? }));
        }
        if self.is("set") && self.is_at(1, "partitionproperties") {
            self.take();
            self.take();
            return Ok(Change::Op(AlterOp::SetPartitionProperties { partition, properties: self.properties()? }));
        }
        if self.eat(&["touch"]) {
            return Ok(Change::Op(AlterOp::Touch { partition: Some(partition) }));
        }
        if self.is_any(&["enable", "disable"]) {
            return self.enable(Some(partition));
        }
        if self.is_any(&["set", "change"]) {
            return Ok(Change::Lacking("this change of a partition"));
        }
        self.unexpected(Some("RENAME TO, TOUCH, ENABLE, DISABLE, MERGE, COMPACT or SET PARTITIONPROPERTIES"))
    }

    /// `ENABLE|DISABLE LIFECYCLE`
    fn enable(&mut self, partition: Option<PartitionSpec>) -> Result<Change> {
        let enabled = self.is("enable");
        self.take();
        if self.eat(&["lifecycle"]) {
            return Ok(Change::Op(AlterOp::EnableLifecycle { partition, enabled }));
        }
        if self.is_any(&["no_drop", "offline", "rewrite"]) {
            return Ok(Change::Lacking("ALTER TABLE … ENABLE or DISABLE of something else than LIFECYCLE"));
        }
        self.unexpected(Some("LIFECYCLE"))
    }

    fn change_setting(&mut self) -> Result<Change> {
        self.expect("set")?;
        Ok(if self.eat(&["comment"]) {
            Change::Op(AlterOp::SetComment { comment: self.string()? })
        } else if self.eat(&["lifecycle"]) {
            Change::Op(AlterOp::SetLifecycle { days: self.count(1)? })
        } else if self.eat(&["tblproperties"]) {
            Change::Op(AlterOp::SetProperties { properties: self.properties()? })
        } else if self.is_any(&["changelogs", "hublifecycle", "fileformat", "serde", "serdeproperties", "location"]) {
            Change::Lacking("this SET of ALTER TABLE")
        } else {
            return self.unexpected(Some("COMMENT, LIFECYCLE or TBLPROPERTIES"));
        })
    }

    fn change_columns(&mut self) -> Result<Change> {
        if self.eat(&["add"]) {
            return self.add();
        }
        if self.eat(&["drop"]) {
            return self.drop_parts();
        }
        if self.eat(&["rename", "column"]) {
            let old = self.name()?;
            self.expect("to")?;
            return Ok(Change::Op(AlterOp::RenameColumn { old, new: self.name()? }));
        }
        if self.eat(&["replace"]) {
            self.expect("columns")?;
            return Ok(Change::Op(AlterOp::ReplaceColumns { columns: self.added_columns()? }));
        }
        self.expect("change")?;
        self.eat(&["column"]);
        let old = self.name()?;
        if self.is_symbol(Symbol::Dot) {
            return self.unsupported(self.position(), "a column inside a STRUCT");
        }
        Ok(Change::Op(if self.eat(&["rename", "to"]) {
            AlterOp::RenameColumn { old, new: self.name()? }
        } else if self.eat(&["comment"]) {
            AlterOp::SetColumnComment { name: old, comment: self.string()? }
        } else if self.eat(&["null"]) {
            AlterOp::DropNotNull { name: old }
        } else {
            self.change_column(old)?
        }))
    }

    /// `new type [NOT NULL] [COMMENT 'c'] [FIRST | AFTER x]`
    fn change_column(&mut self, old: String) -> Result<AlterOp> {
        let new = self.name()?;
        let ty = self.data_type()?;
        let not_null = self.eat(&["not", "null"]);
        let comment = if self.eat(&["comment"]) { Some(self.string()?) } else { None };
        let place = self.place()?;
        Ok(AlterOp::ChangeColumn { old, new, ty, not_null, comment, place })
    }

    /// `[FIRST | AFTER x]`
    fn place(&mut self) -> Result<Place> {
        Ok(if self.eat(&["first"]) {
            Place::First
        } else if self.eat(&["after"]) {
            Place::After(self.name()?)
        } else {
            Place::Stay
        })
    }

    /// ADD: columns or partitions.
    fn add(&mut self) -> Result<Change> {
        if self.is_any(&["constraint", "primary"]) {
            return Ok(Change::Lacking("ALTER TABLE … ADD CONSTRAINT"));
        }
        if self.eat(&["columns"]) || self.eat(&["column"]) {
            let if_not_exists = self.eat(&["if", "not", "exists"]);
            let columns = self.added_columns()?;
            return Ok(Change::Op(AlterOp::AddColumns { if_not_exists, columns, place: self.place()? }));
        }
        let if_not_exists = self.eat(&["if", "not", "exists"]);
        let (mut specs, mut locations) = (Vec::new(), Vec::new());
        while specs.is_empty() || self.is("partition") || self.eat_symbol(Symbol::Comma) {
            specs.push(self.partition_spec()?);
            locations.push(match self.eat(&["location"]) {
                true => Some((self.position(), self.string()?)),
                false => None,
            });
        }
        Ok(Change::Op(AlterOp::AddPartitions { if_not_exists, specs, locations }))
    }

    /// Definitions with or without parentheses; a primary key cannot be added.
    fn added_columns(&mut self) -> Result<Vec<Column>> {
        let at = self.position();
        let defs =
            if self.is_symbol(Symbol::LParen) { self.parens(Self::column_def)? } else { self.list(Self::column_def)? };
        if defs.iter().any(|d| d.primary_key) {
            return self.unsupported(at, "PRIMARY KEY in ALTER TABLE");
        }
        if let Some(i) = repeated(defs.iter().map(|d| d.column.name.as_str())) {
            let detail = format!("column repeated in creation: {}", defs[i].column.name);
            return Err(SqlError::semantic(defs[i].position, detail));
        }
        Ok(defs.into_iter().map(|d| d.column).collect())
    }

    /// DROP: columns or partitions.
    fn drop_parts(&mut self) -> Result<Change> {
        if self.is_any(&["constraint", "primary"]) {
            return Ok(Change::Lacking("ALTER TABLE … DROP CONSTRAINT"));
        }
        if self.eat(&["columns"]) || self.eat(&["column"]) {
            let names = if self.is_symbol(Symbol::LParen) { self.parens(Self::name)? } else { self.list(Self::name)? };
            return Ok(Change::Op(AlterOp::DropColumns { names }));
        }
        let if_exists = self.eat(&["if", "exists"]);
        let mut specs = Vec::new();
        while specs.is_empty() || self.is("partition") || self.eat_symbol(Symbol::Comma) {
            specs.push(self.partition_conditions()?);
        }
        let purge = self.eat(&["purge"]);
        Ok(Change::Op(AlterOp::DropPartitions { if_exists, specs, purge }))
    }
}
