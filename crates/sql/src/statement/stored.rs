//! Statements about tables whose rows come from elsewhere: files of buckets, and queries.

use feitian_types::Column;
use sqlparser::ast::{ObjectName, Query};

use super::{Clustering, PartitionTerm};
use crate::Position;

/// What SHOW lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Tables and views of every kind.
    All,
    Views,
    Materialized,
    External,
}

/// `CREATE EXTERNAL TABLE`: a table over files that are not the table's own.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateExternal {
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub columns: Vec<Column>,
    /// PARTITIONED BY: each combination of their values is a directory.
    pub partition_columns: Vec<Column>,
    pub comment: Option<String>,
    /// TBLPROPERTIES in the order written.
    pub properties: Vec<(String, String)>,
    pub files: Files,
}

/// `MSCK [REPAIR] TABLE t [ADD|DROP PARTITIONS]`
#[derive(Debug, Clone, PartialEq)]
pub struct Repair {
    pub table: ObjectName,
    /// Partitions without files go; otherwise directories become partitions.
    pub drop: bool,
}

/// Files of a bucket, and how they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Where LOCATION stands.
    pub position: Position,
    /// As written; it may hold a secret.
    pub location: String,
    /// The class after ROW FORMAT SERDE.
    pub row_format: Option<String>,
    /// The word after STORED AS, lower case.
    pub stored_as: Option<String>,
    /// The class after STORED BY.
    pub handler: Option<String>,
    /// SERDEPROPERTIES in the order written.
    pub options: Vec<(String, String)>,
}

/// `LOAD OVERWRITE|INTO TABLE t [PARTITION (…)] FROM LOCATION '…' …`
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    pub table: ObjectName,
    pub overwrite: bool,
    pub partition: Option<Vec<PartitionTerm>>,
    pub files: Files,
}

/// `UNLOAD FROM t [PARTITION (…)]|(query) INTO LOCATION '…' …`
#[derive(Debug, Clone, PartialEq)]
pub struct Unload {
    pub query: Box<Query>,
    pub files: Files,
}

/// `CREATE MATERIALIZED VIEW`. `query_text` is what [`crate::parse_query`] reads again when the view is rebuilt.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateMaterialized {
    pub if_not_exists: bool,
    pub name: ObjectName,
    /// Column names with their comments, empty if there is no list.
    pub columns: Vec<(String, Option<String>)>,
    pub comment: Option<String>,
    /// Days, at least 1.
    pub lifecycle: Option<u32>,
    /// BUILD DEFERRED: it has no rows before it is rebuilt.
    pub deferred: bool,
    /// False after DISABLE REWRITE.
    pub rewrite: bool,
    pub partitioned_on: Vec<String>,
    pub clustering: Option<Clustering>,
    pub properties: Vec<(String, String)>,
    pub query: Box<Query>,
    pub query_text: String,
}
