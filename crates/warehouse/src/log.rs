//! One table's Delta log: reading it into a [`Snapshot`], advancing a snapshot commit by commit, and adding a version.
//!
//! A snapshot that we hold is advanced with the commits that came since, so opening a table costs what changed and not
//! what is there; the first open starts at the last checkpoint, which the delta library reads and writes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use deltalake_core::kernel::EagerSnapshot;
use deltalake_core::logstore::{LogStore, StorageConfig, default_logstore};
use feitian_base::{Error, Kind, Result};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

/// A checkpoint is written after every so many versions.
pub(crate) const CHECKPOINT_INTERVAL: i64 = 100;

/// Commit files and the `txn` actions of old jobs are kept this long before a checkpoint may forget them.
const RETENTION_DAYS: u32 = 30;

/// A data file of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// Path below the table's directory, not URL-encoded.
    pub path: String,
    /// In the order of the table's partition columns.
    pub partition_values: Vec<Option<String>>,
    pub num_bytes: i64,
    pub num_rows: i64,
    pub modified_ms: i64,
    /// Delta statistics JSON.
    pub stats: Option<String>,
}

/// A table at one version of its log. Never changes.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The version of the log, from 0.
    pub version: i64,
    /// When that version was committed.
    pub timestamp_ms: i64,
    /// Names of the partition columns, in order.
    pub partition_columns: Vec<String>,
    /// By path: the order in which readers go.
    files: Vec<Arc<DataFile>>,
    /// `txn` versions by application id, as far as they were seen in commits that this process read. Shared by all
    /// snapshots of one log: it only grows, and the newest state is what a writer asks for.
    txns: Arc<Mutex<HashMap<String, i64>>>,
    /// `txn` actions before this version may be missing from `txns`.
    txns_from: i64,
}

impl Snapshot {
    /// What there is before version 0.
    pub(crate) fn before_first() -> Self {
        Self { version: -1, ..Self::default() }
    }

    /// The files of this version in reading order.
    pub fn files(&self) -> &[Arc<DataFile>] {
        &self.files
    }

    /// Rows of this version.
    pub fn num_rows(&self) -> u64 {
        self.files.iter().map(|f| f.num_rows.max(0) as u64).sum()
    }

    /// The canonical partition spec of `file`; empty for an unpartitioned table.
    pub fn spec_of(&self, file: &DataFile) -> String {
        spec_text(&self.partition_columns, &file.partition_values)
    }
}

/// `ds=1/hh=2`; NULL is written as MaxCompute writes it.
pub(crate) fn spec_text(columns: &[String], values: &[Option<String>]) -> String {
    let text = |v: &Option<String>| v.clone().unwrap_or_else(|| crate::writer::NULL_PARTITION.to_string());
    columns.iter().zip(values).map(|(c, v)| format!("{c}={}", text(v))).collect::<Vec<_>>().join("/")
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddAction {
    path: String,
    partition_values: BTreeMap<String, Option<String>>,
    size: i64,
    modification_time: i64,
    data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stats: Option<String>,
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

#[derive(Debug, Deserialize)]
struct RemovedPath {
    path: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Txn {
    app_id: String,
    version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_updated: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetaData {
    partition_columns: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct CommitInfo {
    #[serde(default)]
    timestamp: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    add: Option<AddAction>,
    remove: Option<RemovedPath>,
    txn: Option<Txn>,
    meta_data: Option<MetaData>,
    commit_info: Option<CommitInfo>,
}

/// What one version adds to the log.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    pub operation: &'static str,
    pub timestamp_ms: i64,
    /// Application id and version of the `txn` action.
    pub txn: Option<(String, i64)>,
    /// Table id, name, Delta schema JSON, partition columns, needs `timestampNtz`: sets `protocol` and `metaData`.
    pub metadata: Option<MetadataAction>,
    pub add: Vec<Arc<DataFile>>,
    pub remove: Vec<Arc<DataFile>>,
    /// The names of the partition columns, for the files' partition values.
    pub partition_columns: Vec<String>,
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
        let mut lines = vec![json!({"commitInfo": {"timestamp": self.timestamp_ms, "operation": self.operation,
            "operationParameters": {}, "engineInfo": concat!("feitian/", env!("CARGO_PKG_VERSION"))}})];
        if let Some(m) = &self.metadata {
            if m.with_protocol {
                lines.push(match m.needs_ntz {
                    true => json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7,
                                   "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"]}}),
                    false => json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
                });
            }
            lines.push(json!({"metaData": {
                "id": m.table_id, "name": m.name, "description": m.comment, "format": {"provider": "parquet", "options": {}},
                "schemaString": m.schema_json, "partitionColumns": self.partition_columns, "createdTime": m.created_ms,
                "configuration": {
                    "delta.logRetentionDuration": format!("interval {RETENTION_DAYS} days"),
                    "delta.setTransactionRetentionDuration": format!("interval {RETENTION_DAYS} days"),
                    "delta.checkpointInterval": CHECKPOINT_INTERVAL.to_string(),
                }}}));
        }
        if let Some((app_id, version)) = &self.txn {
            let txn = Txn { app_id: app_id.clone(), version: *version, last_updated: Some(self.timestamp_ms) };
            lines.push(json!({"txn": txn}));
        }
        for f in &self.remove {
            lines.push(json!({"remove": RemoveAction {
                path: encode_path(&f.path), deletion_timestamp: self.timestamp_ms, data_change: true,
                extended_file_metadata: true, partition_values: self.values_map(f), size: f.num_bytes }}));
        }
        for f in &self.add {
            lines.push(json!({"add": AddAction {
                path: encode_path(&f.path), partition_values: self.values_map(f), size: f.num_bytes,
                modification_time: f.modified_ms, data_change: true, stats: f.stats.clone() }}));
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

fn decode_path(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn rows_in(stats: Option<&str>) -> i64 {
    let parsed: Option<serde_json::Value> = stats.and_then(|s| serde_json::from_str(s).ok());
    parsed.and_then(|v| v.get("numRecords").and_then(serde_json::Value::as_i64)).unwrap_or(-1)
}

/// The log of one table directory.
#[derive(Clone)]
pub(crate) struct DeltaLog {
    store: Arc<dyn ObjectStore>,
    location: String,
}

impl DeltaLog {
    /// The log of the table at `location` below the root of `store`.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, location: &str) -> Self {
        Self { store, location: location.to_string() }
    }

    fn version_path(&self, version: i64) -> Path {
        Path::from(format!("{}/_delta_log/{version:020}.json", self.location))
    }

    /// Adds `version`; `false` when somebody else has it already.
    ///
    /// Durable once this returns `true`.
    pub(crate) async fn put(&self, version: i64, commit: &Commit) -> Result<bool> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&self.version_path(version), PutPayload::from(commit.to_bytes()), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(e) => Err(store_error(e)),
        }
    }

    /// The newest version, or exactly `version`.
    ///
    /// # Errors
    /// `Corrupt` when the directory holds no readable log, or none that reaches `version`.
    pub(crate) async fn load(&self, version: Option<i64>) -> Result<Snapshot> {
        let mut snapshot = match self.last_checkpoint().await? {
            Some(v) if version.is_none_or(|want| v <= want) => self.load_checkpoint(v).await?,
            _ => Snapshot::before_first(),
        };
        while version.is_none_or(|want| snapshot.version < want) {
            let Some(bytes) = self.read_version(snapshot.version + 1).await? else { break };
            snapshot = self.apply(&snapshot, &bytes)?;
        }
        match version {
            Some(want) if snapshot.version != want => Err(self.corrupt(format!("version {want} is missing"))),
            None if snapshot.version < 0 => Err(self.corrupt("no version 0")),
            _ => Ok(snapshot),
        }
    }

    /// `snapshot` with the commits since; the same one when there are none.
    pub(crate) async fn advance(&self, snapshot: Arc<Snapshot>) -> Result<Arc<Snapshot>> {
        let mut snapshot = snapshot;
        while let Some(bytes) = self.read_version(snapshot.version + 1).await? {
            snapshot = Arc::new(self.apply(&snapshot, &bytes)?);
        }
        Ok(snapshot)
    }

    async fn read_version(&self, version: i64) -> Result<Option<Bytes>> {
        match self.store.get(&self.version_path(version)).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(store_error)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(store_error(e)),
        }
    }

    fn corrupt(&self, why: impl std::fmt::Display) -> Error {
        Error::new(Kind::Corrupt, "InternalServerError", format!("log of {}: {why}", self.location))
    }

    /// The snapshot after one more commit file.
    pub(crate) fn apply(&self, base: &Snapshot, bytes: &[u8]) -> Result<Snapshot> {
        let version = base.version + 1;
        let mut next = Snapshot {
            version,
            timestamp_ms: base.timestamp_ms,
            partition_columns: base.partition_columns.clone(),
            files: Vec::new(),
            txns: base.txns.clone(),
            txns_from: base.txns_from,
        };
        let (mut added, mut removed) = (Vec::new(), HashSet::new());
        for (i, line) in bytes.split(|b| *b == b'\n').enumerate().filter(|(_, l)| !l.is_empty()) {
            let line: Line = serde_json::from_slice(line)
                .map_err(|e| self.corrupt(format!("version {version}, line {}: {e}", i + 1)))?;
            if let Some(m) = line.meta_data {
                next.partition_columns = m.partition_columns;
            }
            if let Some(t) = line.txn {
                next.txns.lock().insert(t.app_id, t.version);
            }
            if let Some(c) = line.commit_info {
                next.timestamp_ms = c.timestamp;
            }
            removed.extend(line.remove.map(|r| decode_path(&r.path)));
            added.extend(line.add);
        }
        if bytes.is_empty() {
            return Err(self.corrupt(format!("version {version} is empty")));
        }
        let added: Vec<_> = added.into_iter().map(|a| Arc::new(data_file(a, &next.partition_columns))).collect();
        next.files = merge(&base.files, added, &removed);
        Ok(next)
    }

    async fn last_checkpoint(&self) -> Result<Option<i64>> {
        #[derive(Deserialize)]
        struct Hint {
            version: i64,
        }
        let path = Path::from(format!("{}/_delta_log/_last_checkpoint", self.location));
        match self.store.get(&path).await {
            Ok(found) => {
                let bytes = found.bytes().await.map_err(store_error)?;
                Ok(serde_json::from_slice::<Hint>(&bytes).ok().map(|h| h.version))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(store_error(e)),
        }
    }

    fn log_store(&self) -> Result<Arc<dyn LogStore>> {
        let url = Url::parse(&format!("memory:///{}/", self.location)).map_err(|e| self.corrupt(e))?;
        let prefixed: Arc<dyn ObjectStore> =
            Arc::new(PrefixStore::new(self.store.clone(), Path::from(self.location.as_str())));
        Ok(default_logstore(prefixed, self.store.clone(), &url, &StorageConfig::default()))
    }

    async fn load_checkpoint(&self, version: i64) -> Result<Snapshot> {
        let logs = self.log_store()?;
        let state = EagerSnapshot::try_new(logs.as_ref(), Some(version as u64)).await.map_err(delta_error)?;
        let columns: Vec<String> = state.metadata().partition_columns().to_vec();
        let views: Vec<_> = state.file_views(logs.as_ref(), None).try_collect().await.map_err(delta_error)?;
        let mut files: Vec<Arc<DataFile>> = Vec::with_capacity(views.len());
        for view in &views {
            let values = view.partition_values_map();
            let stats = view.stats();
            files.push(Arc::new(DataFile {
                path: view.path().into_owned(),
                partition_values: columns.iter().map(|c| values.get(c).cloned().flatten()).collect(),
                num_bytes: view.size(),
                num_rows: rows_in(stats.as_deref()),
                modified_ms: view.modification_time(),
                stats,
            }));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let timestamp_ms = state.version_timestamp(version as u64).unwrap_or(0);
        let (txns, txns_from) = (Arc::default(), version + 1);
        Ok(Snapshot { version, timestamp_ms, partition_columns: columns, files, txns, txns_from })
    }

    /// The last `txn` version of `app_id` up to `snapshot`.
    pub(crate) async fn txn_version(&self, snapshot: &Snapshot, app_id: &str) -> Result<Option<i64>> {
        let seen = snapshot.txns.lock().get(app_id).copied();
        if seen.is_some() {
            return Ok(seen);
        }
        if snapshot.txns_from == 0 {
            return Ok(None);
        }
        let logs = self.log_store()?;
        let at = Some((snapshot.txns_from - 1) as u64);
        let state = EagerSnapshot::try_new(logs.as_ref(), at).await.map_err(delta_error)?;
        state.transaction_version(logs.as_ref(), app_id).await.map_err(delta_error)
    }

    /// Paths of files that were removed by versions committed since `since_ms`: retained versions still name them.
    pub(crate) async fn removed_since(&self, newest: i64, since_ms: i64) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        for version in (0..=newest).rev() {
            // Commit files older than the log's own retention may be gone.
            let Some(bytes) = self.read_version(version).await? else { break };
            let (mut committed_ms, mut removed) = (0, Vec::new());
            for line in bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                let line: Line = serde_json::from_slice(line).map_err(|e| self.corrupt(e))?;
                removed.extend(line.remove.map(|r| decode_path(&r.path)));
                committed_ms = line.commit_info.map_or(committed_ms, |c| c.timestamp);
            }
            if committed_ms < since_ms {
                break;
            }
            paths.extend(removed);
        }
        Ok(paths)
    }

    /// Writes the checkpoint of `version`. Losing it costs time at the next open, nothing else.
    pub(crate) async fn checkpoint(&self, version: i64) -> Result<()> {
        let logs = self.log_store()?;
        let mut table = deltalake_core::DeltaTable::new(logs);
        table.load_version(version as u64).await.map_err(delta_error)?;
        deltalake_core::checkpoints::create_checkpoint(&table, None).await.map_err(delta_error)
    }
}

fn data_file(a: AddAction, columns: &[String]) -> DataFile {
    DataFile {
        path: decode_path(&a.path),
        partition_values: columns.iter().map(|c| a.partition_values.get(c).cloned().flatten()).collect(),
        num_bytes: a.size,
        num_rows: rows_in(a.stats.as_deref()),
        modified_ms: a.modification_time,
        stats: a.stats,
    }
}

/// `base` without `removed`, with `added`, by path. A path that is both removed and added is there.
fn merge(base: &[Arc<DataFile>], mut added: Vec<Arc<DataFile>>, removed: &HashSet<String>) -> Vec<Arc<DataFile>> {
    added.sort_by(|a, b| a.path.cmp(&b.path));
    let new: HashSet<&str> = added.iter().map(|f| f.path.as_str()).collect();
    let kept = base.iter().filter(|f| !removed.contains(&f.path) && !new.contains(f.path.as_str())).cloned();
    let mut files: Vec<_> = kept.chain(added.iter().cloned()).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// What the store says, in our words: a full disk is `Unavailable`, so that clients know that trying later helps.
pub(crate) fn store_error(e: object_store::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&e);
    while let Some(c) = cause {
        if let Some(io) = c.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        {
            let text = "no space left in the data directory; free some, then try again";
            return Error::new(Kind::Unavailable, "ServiceUnavailable", text).with_source(e);
        }
        cause = c.source();
    }
    let kind = if matches!(e, object_store::Error::NotFound { .. }) { Kind::Corrupt } else { Kind::Internal };
    Error::new(kind, "InternalServerError", format!("data store: {e}")).with_source(e)
}

fn delta_error(e: deltalake_core::DeltaTableError) -> Error {
    Error::new(Kind::Internal, "InternalServerError", format!("table log: {e}")).with_source(e)
}
