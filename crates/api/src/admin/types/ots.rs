//! Tables and rows of the table store, as the admin API tells them.

use serde::{Deserialize, Serialize};

/// What an instance holds and has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsUsage {
    pub tables: u64,
    /// Of tables and indexes, as the engine estimates them.
    pub bytes: u64,
    /// Capacity units since the instance was made, those of deleted tables included.
    pub read_units: u64,
    pub write_units: u64,
}

/// `GET /admin/v1/ots/instances/{ots}/tables`: tables, each followed by its indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsTableList {
    pub tables: Vec<OtsTableView>,
}

/// A table of the table store, or an index of one, with what it has used since it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsTableView {
    pub table: String,
    /// Set for an index of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// `ready`, or `building` for an index that is being filled.
    pub state: String,
    /// As the engine estimates it.
    pub bytes: u64,
    pub read_units: u64,
    pub write_units: u64,
    #[serde(default)]
    pub key: Vec<OtsKeyColumn>,
    #[serde(default)]
    pub max_versions: i32,
    /// -1: for ever.
    #[serde(default)]
    pub time_to_live_s: i32,
    /// Whether a stream is on.
    #[serde(default)]
    pub stream: bool,
}

/// A column of a primary key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsKeyColumn {
    pub name: String,
    /// `integer`, `string` or `binary`.
    #[serde(rename = "type")]
    pub ty: String,
    /// The server fills it in.
    #[serde(default)]
    pub auto_increment: bool,
}

/// A column that the table defines beside its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsColumn {
    pub name: String,
    /// `integer`, `double`, `boolean`, `string` or `binary`.
    #[serde(rename = "type")]
    pub ty: String,
}

/// `GET /admin/v1/ots/instances/{ots}/tables/{ots_table}`: a table, or an index as if it were one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsTableInfo {
    pub name: String,
    /// The table, when this is an index of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_of: Option<String>,
    /// `ready`, or `building` for an index that is being filled, which nobody can read.
    pub state: String,
    pub key: Vec<OtsKeyColumn>,
    pub columns: Vec<OtsColumn>,
    pub max_versions: i32,
    /// -1: for ever.
    pub time_to_live_s: i32,
    /// How far, in seconds, a version that a client chooses may lie from now.
    pub deviation_s: i64,
    pub allow_update: bool,
    /// Whether local transactions may begin.
    pub transactions: bool,
    pub reserved_read_units: i32,
    pub reserved_write_units: i32,
    /// Missing where none is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<OtsStreamView>,
    pub indexes: Vec<OtsIndexView>,
    pub created_ms: i64,
    /// As the engine estimates it, without indexes.
    pub bytes: u64,
    pub read_units: u64,
    pub write_units: u64,
}

/// The log of a table's changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsStreamView {
    pub id: String,
    /// How long changes are kept.
    pub expiration_h: i32,
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsIndexView {
    pub name: String,
    /// `local` or `global`.
    pub kind: String,
    /// `ready`, or `building`.
    pub state: String,
    /// Names of its key columns without those of the table that follow them.
    pub key: Vec<String>,
    pub columns: Vec<String>,
    pub bytes: u64,
    pub read_units: u64,
    pub write_units: u64,
}

/// The value of a key column: a number, a text, or `{"hex": "00ff"}`. Lists of them come in the parameters `key` and
/// `start`, and in answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OtsKeyPart {
    Integer(i64),
    String(String),
    Binary(OtsHex),
}

/// Bytes in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtsHex {
    pub hex: String,
}

/// `GET /admin/v1/ots/instances/{ots}/tables/{ots_table}/rows`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsRows {
    pub rows: Vec<OtsRowView>,
    /// The key of the first row behind these, for `start`; missing at the end of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Vec<OtsKeyPart>>,
    /// What the read cost. It counts as the read of any client does.
    pub read_units: i32,
}

/// A row. Its cells are in the order of their names, versions of one column from the newest on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsRowView {
    pub key: Vec<OtsKeyPart>,
    pub cells: Vec<OtsCellView>,
    /// How many cells there was no room for in the answer; they are the last ones.
    #[serde(default)]
    pub more_cells: u64,
}

/// A version of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtsCellView {
    pub name: String,
    /// `integer`, `double`, `boolean`, `string` or `binary`.
    #[serde(rename = "type")]
    pub ty: String,
    /// The value as text, bytes in hexadecimal; of a long one the beginning.
    pub value: String,
    /// Bytes of the whole value.
    pub bytes: u64,
    /// `value` is only the beginning.
    #[serde(default)]
    pub cut: bool,
    /// Milliseconds since 1970-01-01 UTC, or whatever number the writer chose.
    pub version: i64,
}
