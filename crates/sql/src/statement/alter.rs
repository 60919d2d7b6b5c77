//! ALTER TABLE, ALTER VIEW and ALTER MATERIALIZED VIEW.

use feitian_types::{Column, DataType, PartitionSpec};
use sqlparser::ast::{ObjectName, Query};

use super::Clustering;
use crate::Position;

/// `ALTER TABLE`, `ALTER VIEW` or `ALTER MATERIALIZED VIEW`.
#[derive(Debug, Clone, PartialEq)]
pub struct AlterTable {
    pub name: ObjectName,
    /// Written `ALTER VIEW`.
    pub view: bool,
    /// Written `ALTER MATERIALIZED VIEW`.
    pub materialized: bool,
    pub op: AlterOp,
}

/// What to change.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterOp {
    /// `ADD COLUMNS [IF NOT EXISTS] (a type, …) [FIRST|AFTER x]`. Without a place they follow the others.
    AddColumns {
        if_not_exists: bool,
        columns: Vec<Column>,
        place: Place,
    },
    /// `REPLACE COLUMNS (a type, …)`: exactly these; one whose name is there keeps its values.
    ReplaceColumns {
        columns: Vec<Column>,
    },
    DropColumns {
        names: Vec<String>,
    },
    RenameColumn {
        old: String,
        new: String,
    },
    /// `CHANGE COLUMN old new type [NOT NULL] [COMMENT 'c'] [FIRST|AFTER x]`. Without a COMMENT the old one stays.
    ChangeColumn {
        old: String,
        new: String,
        ty: DataType,
        not_null: bool,
        comment: Option<String>,
        place: Place,
    },
    SetColumnComment {
        name: String,
        comment: String,
    },
    /// `CHANGE COLUMN c NULL`: the column may be null from now on.
    DropNotNull {
        name: String,
    },
    RenameTo {
        name: ObjectName,
    },
    SetComment {
        comment: String,
    },
    /// Days, at least 1.
    SetLifecycle {
        days: u32,
    },
    /// `[PARTITION (…)] ENABLE|DISABLE LIFECYCLE`.
    EnableLifecycle {
        partition: Option<PartitionSpec>,
        enabled: bool,
    },
    SetProperties {
        properties: Vec<(String, String)>,
    },
    UnsetProperties {
        keys: Vec<String>,
    },
    SetPartitionProperties {
        partition: PartitionSpec,
        properties: Vec<(String, String)>,
    },
    ChangeOwner {
        owner: String,
    },
    /// Sets the time of the last change to now.
    Touch {
        partition: Option<PartitionSpec>,
    },
    AddPartitions {
        if_not_exists: bool,
        specs: Vec<PartitionSpec>,
        /// The LOCATION behind each of them, with its place; they are directories of an external table then.
        locations: Vec<Option<(Position, String)>>,
    },
    /// Each element is one `PARTITION (…)`; its conditions hold together.
    DropPartitions {
        if_exists: bool,
        specs: Vec<Vec<PartitionCondition>>,
        purge: bool,
    },
    RenamePartition {
        from: PartitionSpec,
        to: PartitionSpec,
    },
    /// `MERGE [IF EXISTS] PARTITION (…), … OVERWRITE PARTITION (…) [PURGE]`.
    MergePartitions {
        if_exists: bool,
        sources: Vec<Vec<PartitionCondition>>,
        to: PartitionSpec,
    },
    /// `[PARTITION (…)] MERGE SMALLFILES`, or `COMPACT MAJOR|MINOR`. A partition may name the leading columns only.
    MergeFiles {
        partition: Option<PartitionSpec>,
        compact: bool,
    },
    SetClustering {
        clustering: Clustering,
    },
    NotClustered,
    /// `ALTER MATERIALIZED VIEW v REBUILD [PARTITION (…)]`
    Rebuild {
        partition: Option<PartitionSpec>,
    },
    /// `ALTER MATERIALIZED VIEW v ENABLE|DISABLE REWRITE`
    SetRewrite {
        enabled: bool,
    },
    /// `ALTER VIEW v AS query`.
    SetQuery {
        query: Box<Query>,
        query_text: String,
    },
}

/// Where a new or changed column goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Stay,
    First,
    After(String),
}

/// `ds='1'`, `ds<'20240101'`, `ds LIKE '2023%'` in DROP PARTITION.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCondition {
    pub name: String,
    pub op: PartitionOp,
    pub value: String,
}

/// How a partition value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionOp {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
    Like,
}
