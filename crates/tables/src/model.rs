//! What callers ask and what they are told: plain structs with the protocol's fields under Rust names.

use feitian_base::Result;
use feitian_wire::ots::{Filter, KeyColumn, Row};
use serde::{Deserialize, Serialize};

/// The type of a primary-key column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyType {
    Integer,
    String,
    Binary,
}

/// A primary-key column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySchema {
    pub name: String,
    pub kind: KeyType,
    pub auto_increment: bool,
}

/// The type of a defined column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    Integer,
    Double,
    Boolean,
    String,
    Binary,
}

/// An attribute column whose type the table fixes, because an index may want it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinedColumn {
    pub name: String,
    pub kind: ColumnType,
}

/// A table's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Seconds that a version lives; -1 is for ever.
    pub time_to_live_s: i32,
    pub max_versions: i32,
    /// How far, in seconds, a given version may lie from now.
    pub deviation_s: i64,
    pub allow_update: bool,
    pub update_full_row: bool,
}

/// The options that a request names; others stay as they are, or have their defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OptionsChange {
    pub time_to_live_s: Option<i32>,
    pub max_versions: Option<i32>,
    pub deviation_s: Option<i64>,
    pub allow_update: Option<bool>,
    pub update_full_row: Option<bool>,
}

/// Reserved capacity units: stored and told, not enforced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throughput {
    pub read: i32,
    pub write: i32,
}

/// The reserved capacity units that a request names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ThroughputChange {
    pub read: Option<i32>,
    pub write: Option<i32>,
}

/// Whether a table keeps a log of its changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamSpec {
    pub enable: bool,
    /// How long changes are kept; needed when `enable` is set.
    pub expiration_h: Option<i32>,
    /// Columns of which records shall carry the state before the change; refused when there are any.
    pub columns_to_get: Vec<String>,
}

/// How soon an index shows a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexKind {
    /// Its first key column is the table's; entry and row change together.
    Local,
    /// Ordered by any columns.
    Global,
}

/// A secondary index, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexMeta {
    pub name: String,
    /// Key columns without those of the table that the service adds.
    pub key: Vec<String>,
    pub columns: Vec<String>,
    pub kind: IndexKind,
}

/// CreateTable.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTable {
    pub name: String,
    pub key: Vec<KeySchema>,
    pub defined: Vec<DefinedColumn>,
    pub throughput: Throughput,
    /// `None`: the request has no table options at all.
    pub options: Option<OptionsChange>,
    pub stream: Option<StreamSpec>,
    pub indexes: Vec<IndexMeta>,
    /// `None`: as [`Settings::transactions`](crate::Settings::transactions) says.
    pub transactions: Option<bool>,
}

/// UpdateTable: what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableChange {
    pub throughput: Option<ThroughputChange>,
    pub options: Option<OptionsChange>,
    pub stream: Option<StreamSpec>,
}

/// The stream of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    pub enable: bool,
    /// `None` where no stream is on.
    pub stream_id: Option<String>,
    pub expiration_h: Option<i32>,
    /// Microseconds since 1970.
    pub last_enable_us: Option<i64>,
}

/// DescribeTable's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct TableInfo {
    pub name: String,
    pub key: Vec<KeySchema>,
    pub defined: Vec<DefinedColumn>,
    pub options: Options,
    pub throughput: Throughput,
    /// Milliseconds since 1970; the time of creation before the first change.
    pub last_increase_ms: i64,
    pub last_decrease_ms: Option<i64>,
    pub stream: StreamInfo,
    pub indexes: Vec<IndexMeta>,
    /// The names of those that do not have all rows from before them yet.
    pub building: Vec<String>,
    pub created_ms: i64,
    pub transactions: bool,
}

/// Which versions a read wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeRange {
    /// Milliseconds, end excluded.
    Between {
        start_ms: i64,
        end_ms: i64,
    },
    Exactly(i64),
}

/// What a read wants of each row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Select {
    /// Empty: all.
    pub columns: Vec<String>,
    pub time: Option<TimeRange>,
    pub max_versions: Option<i32>,
    pub filter: Option<Filter>,
    pub start_column: Option<String>,
    /// Excluded.
    pub end_column: Option<String>,
    /// A place within a wide row. We give rows whole and never hand one out: any is refused.
    pub token: Option<Vec<u8>>,
}

/// GetRow.
#[derive(Debug, Clone, PartialEq)]
pub struct GetRow {
    pub table: String,
    pub key: Vec<KeyColumn>,
    pub select: Select,
    pub transaction: Option<String>,
}

/// Which way a range is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

/// GetRange.
#[derive(Debug, Clone, PartialEq)]
pub struct GetRange {
    pub table: String,
    pub direction: Direction,
    pub begin: Vec<KeyColumn>,
    /// Excluded.
    pub end: Vec<KeyColumn>,
    /// `None`: as many as a response may have.
    pub limit: Option<i32>,
    pub select: Select,
    pub transaction: Option<String>,
}

/// Capacity units that one request used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Units {
    pub read: i32,
    pub write: i32,
}

/// GetRow's answer; no row: it is not there, or the filter left it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Got {
    pub consumed: Units,
    pub row: Option<Row>,
    pub next_token: Option<Vec<u8>>,
}

/// GetRange's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub consumed: Units,
    pub rows: Vec<Row>,
    /// The first row that was not looked at; `None`: the range is read.
    pub next: Option<Vec<KeyColumn>>,
    pub next_token: Option<Vec<u8>>,
}

/// What a write expects of the row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existence {
    #[default]
    Ignore,
    Exists,
    Missing,
}

/// What must hold of the row before the write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Condition {
    pub existence: Existence,
    pub filter: Option<Filter>,
}

/// What a write sends back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Returns {
    #[default]
    Nothing,
    Key,
    /// The columns of `return_columns` that this write incremented.
    AfterModify,
}

/// One change to one row.
#[derive(Debug, Clone, PartialEq)]
pub enum RowChange {
    Put(Row),
    Update(Row),
    Delete(Vec<KeyColumn>),
}

/// One change with what it expects and sends back.
#[derive(Debug, Clone, PartialEq)]
pub struct RowWrite {
    pub change: RowChange,
    pub condition: Condition,
    pub returns: Returns,
    pub return_columns: Vec<String>,
}

/// PutRow, UpdateRow, DeleteRow.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteRow {
    pub table: String,
    pub write: RowWrite,
    pub transaction: Option<String>,
}

/// The answer to a write.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub consumed: Units,
    pub row: Option<Row>,
}

/// One table of BatchGetRow.
#[derive(Debug, Clone, PartialEq)]
pub struct TableGets {
    pub table: String,
    pub keys: Vec<Vec<KeyColumn>>,
    pub select: Select,
}

/// One table of BatchWriteRow.
#[derive(Debug, Clone, PartialEq)]
pub struct TableWrites {
    pub table: String,
    pub rows: Vec<RowWrite>,
}

/// BatchWriteRow.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchWrite {
    pub tables: Vec<TableWrites>,
    pub transaction: Option<String>,
    pub atomic: bool,
}

/// The answers of a batch: tables and rows in the order asked, each row with its own outcome.
pub type BatchAnswer<T> = Vec<(String, Vec<Result<T>>)>;

/// ComputeSplitPointsBySize's answer: `points` make one more splits.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitPoints {
    pub consumed: Units,
    pub schema: Vec<KeySchema>,
    /// Increasing, with the trailing columns that are minus infinity left out.
    pub points: Vec<Vec<KeyColumn>>,
    /// Where the splits lie and how many after each other lie there.
    pub locations: Vec<(String, i64)>,
}

/// One stream of ListStream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub stream_id: String,
    pub table: String,
    /// Microseconds since 1970.
    pub created_us: i64,
}

/// DescribeStream's answer. A stream has one shard, which never ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamDescription {
    pub stream: Stream,
    pub expiration_h: i32,
    pub shards: Vec<String>,
}

/// What a record of a stream did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Put,
    Update,
    Delete,
}

/// A record of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamRecord {
    pub action: Action,
    /// The key, and the cells as they were written: versions filled in, increments as their outcome.
    pub row: Row,
    /// Microseconds; rises from record to record of a stream.
    pub timestamp_us: i64,
}

/// GetStreamRecord's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamPage {
    pub consumed: Units,
    pub records: Vec<StreamRecord>,
    /// `None`: the stream is over.
    pub next_iterator: Option<String>,
    pub may_have_more: bool,
}

/// What one table or index has used and holds, for the platform's own pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableUsage {
    pub instance: String,
    pub table: String,
    /// The index of `table`, for the numbers of an index.
    pub index: Option<String>,
    pub generation: u64,
    /// Capacity units since the table was made.
    pub read_units: u64,
    pub write_units: u64,
    /// Those of the last sixty seconds, if this process has had the table store open for as long.
    pub recent_read_units: u64,
    pub recent_write_units: u64,
    /// As the engine estimates it.
    pub bytes: u64,
    /// `ready`, or `building` for an index that is still being filled.
    pub state: &'static str,
    /// When the table was made, also for an index.
    pub created_ms: i64,
    /// Those of the table, also for an index.
    pub options: Options,
    /// The stream of a table; never of an index.
    pub stream: Option<StreamUsage>,
}

/// What the stream of a table holds. Its units are the table's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamUsage {
    pub generation: u64,
    pub bytes: u64,
}

/// Capacity units of a whole instance since it was made, those of deleted tables included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstanceUsage {
    pub read_units: u64,
    pub write_units: u64,
}
