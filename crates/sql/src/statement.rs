//! What a parsed statement says. Names are lower case; queries are sqlparser trees whose spans point into the user's text.

use feitian_types::{Column, PartitionSpec};
use sqlparser::ast::{Expr, Ident, ObjectName, Query, TableFactor, TableWithJoins, With};

use crate::Position;
use crate::sql_function::CreateSqlFunction;

mod alter;
mod security;
mod stored;

pub use alter::{AlterOp, AlterTable, PartitionCondition, PartitionOp, Place};
pub use security::{Holder, Security, SecurityObject};
pub use stored::{CreateExternal, CreateMaterialized, Files, Listed, Load, Repair, Unload};

/// One statement of MaxCompute SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    Query(Box<Query>),
    Insert(Box<Insert>),
    /// `FROM t INSERT … SELECT … INSERT … SELECT …`: every source has the same FROM.
    MultiInsert(Vec<Insert>),
    Dml(Box<Dml>),
    CreateTable(Box<CreateTable>),
    CreateExternal(Box<CreateExternal>),
    Load(Box<Load>),
    Unload(Box<Unload>),
    Repair(Repair),
    CreateMaterialized(Box<CreateMaterialized>),
    DropTable(DropTable),
    CreateView(Box<CreateView>),
    AlterTable(Box<AlterTable>),
    Truncate(Truncate),
    CloneTable(CloneTable),
    RestoreTable(RestoreTable),
    CreateSchema {
        if_not_exists: bool,
        name: ObjectName,
        comment: Option<String>,
    },
    DropSchema {
        if_exists: bool,
        name: ObjectName,
    },
    /// `SHOW TABLES [IN project[.schema]] [LIKE 'a*']`, `SHOW VIEWS` and the like.
    ShowTables {
        scope: Option<ObjectName>,
        like: Option<String>,
        listed: Listed,
    },
    ShowPartitions {
        table: ObjectName,
        partition: Option<PartitionSpec>,
    },
    ShowCreateTable {
        table: ObjectName,
    },
    /// `CREATE [TEMPORARY] FUNCTION f AS 'class' USING 'resource,…'`
    CreateFunction {
        /// It is forgotten with the text that it stands in.
        temporary: bool,
        name: ObjectName,
        class: String,
        resources: String,
    },
    CreateSqlFunction(Box<CreateSqlFunction>),
    DropFunction {
        if_exists: bool,
        name: ObjectName,
    },
    DropResource {
        if_exists: bool,
        name: String,
    },
    /// `SHOW FUNCTIONS [IN project[.schema]] [LIKE 'a*']`
    ShowFunctions {
        scope: Option<ObjectName>,
        like: Option<String>,
    },
    ListResources,
    DescFunction {
        name: ObjectName,
    },
    DescResource {
        name: String,
    },
    /// `SHOW HISTORY FOR TABLE t`
    ShowHistory {
        table: ObjectName,
    },
    ShowSchemas {
        project: Option<ObjectName>,
    },
    Desc {
        table: ObjectName,
        extended: bool,
        partition: Option<PartitionSpec>,
    },
    DescSchema {
        name: ObjectName,
    },
    Explain {
        extended: bool,
        statement: Box<Statement>,
    },
    /// `USE project`, or `USE SCHEMA schema`.
    Use {
        name: ObjectName,
        schema: bool,
    },
    /// A `SET` that follows another statement of its script; leading ones are [`crate::Script::settings`].
    Set {
        key: String,
        value: String,
    },
    /// `SHOW P`: jobs of the project that were submitted from the first day to the last, today's without days; the newest
    /// `limit`. Days are as written.
    ShowJobs {
        from: Option<String>,
        to: Option<String>,
        limit: Option<u32>,
    },
    /// `STATUS id`
    JobStatus {
        id: String,
    },
    /// `KILL id`
    KillJob {
        id: String,
    },
    /// `DESC INSTANCE id`
    DescribeJob {
        id: String,
    },
    /// `SHOW FLAGS` and `SET` alone: the settings in force. `SETPROJECT` alone: those of the project.
    ShowFlags {
        project: bool,
    },
    /// `ANALYZE TABLE t [PARTITION (…)] COMPUTE STATISTICS [FOR COLUMNS [(…)]]`, and what `show` is true for:
    /// `SHOW STATISTIC t [PARTITION (…)] COLUMNS [(…)]`. Without names of columns all are meant.
    Statistic {
        show: bool,
        table: ObjectName,
        partition: Option<PartitionSpec>,
        columns: Vec<ColumnRef>,
    },
    /// About users, roles and rights.
    Security(Box<Security>),
    /// MaxCompute has it, feitian does not yet. Only its first words were read.
    Unsupported {
        what: String,
        position: Position,
    },
}

impl Statement {
    /// True if the statement answers with rows.
    pub fn is_query(&self) -> bool {
        matches!(self, Self::Query(_))
    }

    /// True if the statement makes a function that is forgotten with its text.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::CreateFunction { temporary, .. } => *temporary,
            Self::CreateSqlFunction(create) => create.temporary,
            _ => false,
        }
    }

    /// True if queries may have other rows after the statement. One that makes a table changes no other.
    pub fn changes_rows(&self) -> bool {
        let changes = matches!(
            self,
            Self::Insert(_)
                | Self::MultiInsert(_)
                | Self::Dml(_)
                | Self::Load(_)
                | Self::Unload(_)
                | Self::Repair(_)
                | Self::CreateView(_)
                | Self::DropTable(_)
                | Self::AlterTable(_)
                | Self::Truncate(_)
                | Self::CloneTable(_)
                | Self::RestoreTable(_)
                | Self::CreateFunction { .. }
                | Self::CreateSqlFunction(_)
                | Self::DropFunction { .. }
                | Self::DropResource { .. }
                | Self::CreateSchema { .. }
                | Self::DropSchema { .. }
                | Self::Security(_)
                | Self::Unsupported { .. }
        );
        changes && !self.is_temporary()
    }
}

/// `INSERT INTO|OVERWRITE [TABLE] t [PARTITION (…)] [(columns)] query`. The queries of a leading WITH are in `source`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub table: ObjectName,
    pub overwrite: bool,
    /// The PARTITION clause in the order written.
    pub partition: Option<Vec<PartitionTerm>>,
    /// `PARTITION (…) IF NOT EXISTS`: write only partitions that do not exist yet.
    pub if_not_exists: bool,
    /// The column list, empty if there is none.
    pub columns: Vec<ColumnRef>,
    pub source: Box<Query>,
}

/// `UPDATE`, `DELETE` or `MERGE INTO`: rows that are there change.
#[derive(Debug, Clone, PartialEq)]
pub struct Dml {
    pub table: ObjectName,
    /// What the statement calls the table, if not by its name.
    pub alias: Option<Ident>,
    /// The queries of a leading WITH.
    pub with: Option<With>,
    pub change: RowChange,
}

/// What [`Dml`] does.
#[derive(Debug, Clone, PartialEq)]
pub enum RowChange {
    /// `SET … [FROM …] [WHERE …]`. No column is assigned twice.
    Update { set: Vec<Assignment>, from: Vec<TableWithJoins>, selection: Option<Box<Expr>> },
    /// `[PARTITION (…)] [WHERE …]`
    Delete { partition: Vec<PartitionTerm>, selection: Option<Box<Expr>> },
    /// `USING source ON condition WHEN …`: at least one clause, at most one of each action, each of which rows can reach.
    Merge { source: Box<TableFactor>, on: Box<Expr>, clauses: Vec<MergeClause> },
}

/// `column = value`
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    pub column: ColumnRef,
    pub value: Expr,
}

/// `WHEN [NOT] MATCHED [AND condition] THEN action`: NOT MATCHED if it is an INSERT.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeClause {
    pub position: Position,
    pub condition: Option<Expr>,
    pub action: MergeAction,
}

/// What MERGE does with a row.
#[derive(Debug, Clone, PartialEq)]
pub enum MergeAction {
    Update(Vec<Assignment>),
    Delete,
    /// The column list is empty if there is none.
    Insert {
        columns: Vec<ColumnRef>,
        values: Vec<Expr>,
    },
}

/// A name with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnRef {
    pub name: String,
    pub position: Position,
}

/// One `name` (dynamic) or `name=value` (static) of a PARTITION clause. Values are text; whole numbers lose leading zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionTerm {
    pub name: String,
    pub value: Option<String>,
    pub position: Position,
}

/// `CREATE TABLE`. Exactly one of `columns` (not empty), `like` and `as_query` describes the table.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub columns: Vec<Column>,
    pub partition_columns: Vec<Column>,
    /// AUTO PARTITIONED BY: what fills the one partition column.
    pub auto_partition: Option<AutoPartition>,
    pub comment: Option<String>,
    /// Days, at least 1.
    pub lifecycle: Option<u32>,
    /// TBLPROPERTIES in the order written.
    pub properties: Vec<(String, String)>,
    /// Names of data columns; empty if there is no PRIMARY KEY.
    pub primary_key: Vec<String>,
    pub clustering: Option<Clustering>,
    pub shards: Option<Shards>,
    /// The word after STORED AS, lower case. Of no effect on how data are stored.
    pub stored_as: Option<String>,
    pub like: Option<ObjectName>,
    pub as_query: Option<Box<Query>>,
}

/// `TRUNC_TIME (source, 'unit')` of AUTO PARTITIONED BY. The unit is lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoPartition {
    pub source: ColumnRef,
    pub unit: String,
}

/// `[RANGE] CLUSTERED BY (columns) [SORTED BY (…)] [INTO n BUCKETS]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clustering {
    pub range: bool,
    pub columns: Vec<String>,
    /// Column and whether it ascends.
    pub sorted_by: Vec<(String, bool)>,
    pub buckets: Option<u32>,
}

/// `INTO n SHARDS [HUBLIFECYCLE days]`. Of no effect on how data are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards {
    pub shards: u32,
    pub hub_lifecycle: Option<u32>,
}

/// `DROP TABLE`, `DROP VIEW` or `DROP MATERIALIZED VIEW`.
#[derive(Debug, Clone, PartialEq)]
pub struct DropTable {
    pub if_exists: bool,
    pub name: ObjectName,
    pub purge: bool,
    pub view: bool,
    pub materialized: bool,
}

/// `CREATE VIEW`. `query_text` is what [`crate::parse_query`] reads again when the view is used.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    /// Column names with their comments, empty if there is no list.
    pub columns: Vec<(String, Option<String>)>,
    pub comment: Option<String>,
    pub properties: Vec<(String, String)>,
    pub query: Box<Query>,
    pub query_text: String,
}

/// `TRUNCATE TABLE t [PARTITION (…), …] [COLUMNS (a, …)]`; without partitions the whole table, without columns its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Truncate {
    pub table: ObjectName,
    pub partitions: Vec<PartitionSpec>,
    /// Columns whose values become NULL while the rows stay; empty if the rows go.
    pub columns: Vec<ColumnRef>,
}

/// `CLONE TABLE a [PARTITION (…), …] TO b [IF EXISTS OVERWRITE|IGNORE]`; without partitions the whole table.
#[derive(Debug, Clone, PartialEq)]
pub struct CloneTable {
    pub from: ObjectName,
    pub partitions: Vec<PartitionSpec>,
    pub to: ObjectName,
    pub existing: Existing,
}

/// What CLONE TABLE does about a table or a partition that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Refuse,
    Overwrite,
    Ignore,
}

/// `RESTORE TABLE t TO LSN 'version' [AS u]`: `t`, or a new table `u`, has the rows of that version.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoreTable {
    pub table: ObjectName,
    pub version: i64,
    pub to: Option<ObjectName>,
}
