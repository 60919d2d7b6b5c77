//! The lines of a commit file: how they are written and read.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{CHECKPOINT_INTERVAL, DataFile, RETENTION_DAYS};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddAction {
    path: String,
    partition_values: BTreeMap<String, Option<String>>,
    size: i64,
    modification_time: i64,
    pub(super) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stats: Option<String>,
    /// Rows of the file that are no rows of the table. We write none and read none.
    #[serde(default, skip_serializing)]
    pub(super) deletion_vector: Option<IgnoredAny>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoveAction {
    path: String,
    deletion_timestamp: i64,
    data_change: bool,
    extended_file_metadata: bool,
    partition_values: BTreeMap<String, Option<String>>,
    size: i64,
}

/// What is read of a `remove`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Removed {
    path: String,
    #[serde(default = "yes")]
    pub(super) data_change: bool,
    /// Optional in the protocol; ours always have it.
    pub(super) partition_values: Option<BTreeMap<String, Option<String>>>,
}

fn yes() -> bool {
    true
}

impl Removed {
    /// The path as the snapshot has it.
    pub(super) fn file(&self) -> String {
        decode_path(&self.path)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Txn {
    pub(super) app_id: String,
    pub(super) version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_updated: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetaData {
    pub(super) partition_columns: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommitInfo {
    #[serde(default)]
    pub(super) timestamp: i64,
    /// Whether whoever added the files has read nothing of the table. Older feitians do not tell, and other writers may
    /// put anything here.
    #[serde(default)]
    pub(super) is_blind_append: serde_json::Value,
    /// A text, unless another writer thinks otherwise.
    pub(super) operation: Option<serde_json::Value>,
}

/// One line of a commit file; actions that do not matter to us have none of these.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) add: Option<AddAction>,
    pub(super) remove: Option<Removed>,
    pub(super) txn: Option<Txn>,
    pub(super) meta_data: Option<MetaData>,
    pub(super) commit_info: Option<CommitInfo>,
}

/// The lines of a commit file, each with its number from 1.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, serde_json::Result<Line>)> + '_ {
    let lines = bytes.split(|b| *b == b'\n').enumerate().filter(|(_, l)| !l.is_empty());
    lines.map(|(i, l)| (i + 1, serde_json::from_slice(l)))
}

/// What one version adds to the log.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    pub operation: &'static str,
    pub timestamp_ms: i64,
    /// Application id and version of the `txn` action.
    pub txn: Option<(String, i64)>,
    /// The version of the table that its writer knew, and those of other tables that it read, by their ids.
    pub read_version: Option<i64>,
    pub reads: BTreeMap<String, i64>,
    /// Table id, name, Delta schema JSON, partition columns, needs `timestampNtz`: sets `protocol` and `metaData`.
    pub metadata: Option<MetadataAction>,
    pub add: Vec<Arc<DataFile>>,
    pub remove: Vec<Arc<DataFile>>,
    /// The names of the partition columns, for the files' partition values.
    pub partition_columns: Vec<String>,
    /// The added files hold the rows of the removed ones, and no others.
    pub keeps_rows: bool,
    /// Files come, and what was there has not been looked at.
    pub is_blind_append: bool,
}

/// The table's own description in its log.
#[derive(Debug, Clone, Default)]
pub(crate) struct MetadataAction {
    pub table_id: String,
    pub name: String,
    pub comment: String,
    pub schema_json: String,
    pub created_ms: i64,
    pub needs_ntz: bool,
    pub with_protocol: bool,
}

impl Commit {
    /// The bytes of the commit file: one JSON object a line.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut info = json!({"timestamp": self.timestamp_ms, "operation": self.operation,
            "operationParameters": {}, "isBlindAppend": self.is_blind_append,
            "engineInfo": concat!("feitian/", env!("CARGO_PKG_VERSION"))});
        if let Some(version) = self.read_version {
            info["readVersion"] = version.into();
        }
        if !self.reads.is_empty() {
            info["readTables"] = json!(self.reads);
        }
        let mut lines = vec![json!({"commitInfo": info})];
        if let Some(m) = &self.metadata {
            if m.with_protocol {
                lines.push(match m.needs_ntz {
                    true => json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7,
                                   "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"]}}),
                    false => json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
                });
            }
            let retention = format!("interval {RETENTION_DAYS} days");
            lines.push(json!({"metaData": {
                "id": m.table_id, "name": m.name, "description": m.comment, "format": {"provider": "parquet", "options": {}},
                "schemaString": m.schema_json, "partitionColumns": self.partition_columns, "createdTime": m.created_ms,
                "configuration": {
                    "delta.logRetentionDuration": retention,
                    "delta.setTransactionRetentionDuration": retention,
                    "delta.deletedFileRetentionDuration": retention,
                    "delta.checkpointInterval": CHECKPOINT_INTERVAL.to_string(),
                }}}));
        }
        if let Some((app_id, version)) = &self.txn {
            let txn = Txn { app_id: app_id.clone(), version: *version, last_updated: Some(self.timestamp_ms) };
            lines.push(json!({"txn": txn}));
        }
        for f in &self.remove {
            lines.push(json!({"remove": RemoveAction {
                path: encode_path(&f.path), deletion_timestamp: self.timestamp_ms, data_change: !self.keeps_rows,
                extended_file_metadata: true, partition_values: self.values_map(f), size: f.num_bytes }}));
        }
        for f in &self.add {
            lines.push(json!({"add": AddAction {
                path: encode_path(&f.path), partition_values: self.values_map(f), size: f.num_bytes,
                modification_time: f.modified_ms, data_change: !self.keeps_rows, stats: f.stats.clone(),
                deletion_vector: None }}));
        }
        let mut text = String::new();
        for line in lines {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        text.into()
    }

    fn values_map(&self, file: &DataFile) -> BTreeMap<String, Option<String>> {
        self.partition_columns.iter().cloned().zip(file.partition_values.iter().cloned()).collect()
    }
}

// Paths that we write hold only unreserved characters, but other writers' may not.
fn encode_path(path: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEEP: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b'=');
    utf8_percent_encode(path, KEEP).to_string()
}

pub(super) fn decode_path(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// The rows that Delta statistics tell; -1 when they do not.
pub(super) fn rows_in(stats: Option<&str>) -> i64 {
    #[derive(Deserialize)]
    struct Rows {
        #[serde(rename = "numRecords")]
        num_records: Option<i64>,
    }
    let parsed: Option<Rows> = stats.and_then(|s| serde_json::from_str(s).ok());
    parsed.and_then(|r| r.num_records).unwrap_or(-1)
}

/// The file of an `add`.
pub(super) fn data_file(a: AddAction, columns: &[String]) -> DataFile {
    DataFile {
        path: decode_path(&a.path),
        partition_values: columns.iter().map(|c| a.partition_values.get(c).cloned().flatten()).collect(),
        num_bytes: a.size,
        num_rows: rows_in(a.stats.as_deref()),
        modified_ms: a.modification_time,
        stats: a.stats,
    }
}
