//! Checkpoints: finding them, reading one into a snapshot, and having one written.
//!
//! A checkpoint in one Parquet file, as feitian, Spark and delta-rs write it, is read here, with the columns that a
//! snapshot needs and no others. Any other kind is left to the delta library, as is the writing of ours.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use bytes::Bytes;
use deltalake_core::kernel::EagerSnapshot;
use deltalake_core::logstore::{LogStore, StorageConfig, default_logstore};
use feitian_base::{Error, Kind, Result, failpoint};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use super::actions::{decode_path, lines, rows_in};
use super::{DataFile, DeltaLog, Snapshot, store_error};

/// Leaves of a checkpoint that make a snapshot.
const STATE: [&str; 8] = [
    "add.path",
    "add.partitionValues",
    "add.size",
    "add.modificationTime",
    "add.stats",
    "add.deletionVector.storageType",
    "metaData.partitionColumns",
    "sidecar.path",
];
const TXNS: [&str; 3] = ["txn.appId", "txn.version", "sidecar.path"];
const BATCH_ROWS: usize = 8192;

/// What a checkpoint file holds of the table.
#[derive(Default)]
pub(super) struct State {
    partition_columns: Vec<String>,
    pub(super) files: Vec<Arc<DataFile>>,
}

/// The newest checkpoint as `_last_checkpoint` names it ("Last Checkpoint File" of the Delta protocol).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hint {
    pub(super) version: i64,
    parts: Option<i64>,
    v2_checkpoint: Option<IgnoredAny>,
}

impl Hint {
    /// Whether it is of a kind that only other writers write: in parts, or under a name of its own.
    pub(super) fn is_special(&self) -> bool {
        self.parts.is_some() || self.v2_checkpoint.is_some()
    }
}

impl DeltaLog {
    pub(super) fn checkpoint_path(&self, version: i64) -> Path {
        Path::from(format!("{}/_delta_log/{version:020}.checkpoint.parquet", self.location))
    }

    /// The snapshot of the newest checkpoint up to `at_most` that can be read; `None` when there is none, and the log begins
    /// at version 0.
    pub(super) async fn newest_readable(&self, at_most: Option<i64>) -> Result<Option<Snapshot>> {
        let (mut at_most, mut unreadable) = (at_most, None);
        while let Some(at) = self.newest_checkpoint(at_most).await? {
            match self.load_checkpoint(at).await {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(e) => {
                    tracing::error!(table = %self.location, version = at, error = ?e, "a checkpoint cannot be read");
                    unreadable.get_or_insert(e);
                    at_most = Some(at - 1);
                }
            }
        }
        match unreadable {
            Some(e) if !self.has_version(0).await? => Err(e),
            _ => Ok(None),
        }
    }

    /// The version of the newest checkpoint up to `at_most`; `None` when the log begins at version 0.
    async fn newest_checkpoint(&self, at_most: Option<i64>) -> Result<Option<i64>> {
        let reaches = |version: i64| at_most.is_none_or(|most| version <= most);
        let hint = self.last_checkpoint().await?;
        match &hint {
            Some(h) if reaches(h.version) && self.is_true(h).await? => return Ok(Some(h.version)),
            None if self.has_version(0).await? => return Ok(None),
            _ => {}
        }
        let files = self.log_files().await?;
        Ok(files.iter().filter(|f| f.is_checkpoint && reaches(f.version)).map(|f| f.version).max())
    }

    /// Whether the log goes on from the checkpoint that `hint` names. Cleaning keeps the commit file of the checkpoint from
    /// which the log begins: without it, the checkpoint is of somebody who slept while the log was cleaned beyond it.
    async fn is_true(&self, hint: &Hint) -> Result<bool> {
        let version = hint.version;
        Ok(hint.is_special() || (self.has(&self.checkpoint_path(version)).await? && self.has_version(version).await?))
    }

    /// What `_last_checkpoint` says; `None` when it is not there or not readable, which readers take for the same.
    pub(super) async fn last_checkpoint(&self) -> Result<Option<Hint>> {
        let bytes = self.bytes_of(&self.hint_path()).await?;
        Ok(bytes.and_then(|b| serde_json::from_slice(&b).ok()))
    }

    /// Makes `_last_checkpoint` name the checkpoint of `version`.
    pub(super) async fn set_last_checkpoint(&self, version: i64) -> Result<()> {
        let bytes = self.bytes_of(&self.checkpoint_path(version)).await?;
        let bytes = bytes.ok_or_else(|| self.corrupt(format!("checkpoint {version} is missing")))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| self.corrupt(e))?;
        let actions = builder.metadata().file_metadata().num_rows();
        let text = serde_json::json!({"version": version, "size": actions}).to_string();
        self.store.put(&self.hint_path(), text.into()).await.map_err(store_error)?;
        Ok(())
    }

    pub(super) fn hint_path(&self) -> Path {
        Path::from(format!("{}/_delta_log/_last_checkpoint", self.location))
    }

    /// The table at the checkpoint of `version`. No `txn` of it is noted: [`DeltaLog::txn_version`] looks for those.
    pub(super) async fn load_checkpoint(&self, version: i64) -> Result<Snapshot> {
        let read = match self.bytes_of(&self.checkpoint_path(version)).await? {
            Some(bytes) => self.decode(bytes, state_of).await?,
            None => None,
        };
        let mut state = match read {
            Some(state) => state,
            None => self.load_by_library(version).await?,
        };
        state.files.sort_by(|a, b| a.path.cmp(&b.path));
        let timestamp_ms = self.commit_time(version).await?;
        Ok(Snapshot {
            version,
            timestamp_ms,
            data_version: version,
            data_ms: timestamp_ms,
            rewritten_version: version,
            described_version: version,
            partition_columns: state.partition_columns,
            files: state.files,
            txns: Snapshot::txns_from(version + 1),
        })
    }

    /// When `version`, which has a checkpoint, was committed; when its commit file is gone, a time soon after that.
    async fn commit_time(&self, version: i64) -> Result<i64> {
        if let Some(bytes) = self.read_version(version).await? {
            return Ok(lines(&bytes).filter_map(|(_, l)| l.ok()?.commit_info).map(|c| c.timestamp).last().unwrap_or(0));
        }
        match self.store.head(&self.checkpoint_path(version)).await {
            Ok(found) => Ok(found.last_modified.timestamp_millis()),
            Err(object_store::Error::NotFound { .. }) => Ok(0),
            Err(e) => Err(store_error(e)),
        }
    }

    pub(super) async fn load_by_library(&self, version: i64) -> Result<State> {
        let logs = self.log_store()?;
        let state = EagerSnapshot::try_new(logs.as_ref(), Some(version as u64)).await.map_err(delta_error)?;
        let partition_columns: Vec<String> = state.metadata().partition_columns().to_vec();
        let views: Vec<_> = state.file_views(logs.as_ref(), None).try_collect().await.map_err(delta_error)?;
        let mut files: Vec<Arc<DataFile>> = Vec::with_capacity(views.len());
        for view in &views {
            let values = view.partition_values_map();
            let stats = view.stats();
            files.push(Arc::new(DataFile {
                path: view.path().into_owned(),
                partition_values: partition_columns.iter().map(|c| values.get(c).cloned().flatten()).collect(),
                num_bytes: view.size(),
                num_rows: rows_in(stats.as_deref()),
                modified_ms: view.modification_time(),
                stats,
            }));
        }
        Ok(State { partition_columns, files })
    }

    /// The last `txn` version of `app_id` in the whole log up to `version`.
    pub(super) async fn txn_in_log(&self, version: i64, app_id: &str) -> Result<Option<i64>> {
        let (mut at_most, mut found, mut next) = (version, None, 0);
        while let Some(at) = self.newest_checkpoint(Some(at_most)).await? {
            match self.txn_in_checkpoint(at, app_id).await {
                Ok(there) => {
                    (found, next) = (there, at + 1);
                    break;
                }
                // What it holds is in the versions before it, too, if those are there.
                Err(e) => {
                    tracing::error!(table = %self.location, version = at, error = ?e, "a checkpoint cannot be read");
                    at_most = at - 1;
                }
            }
        }
        for v in next..=version {
            let bytes = self.read_version(v).await?;
            let bytes = bytes.ok_or_else(|| self.corrupt(format!("version {v} is missing")))?;
            for (i, line) in lines(&bytes) {
                let line = line.map_err(|e| self.corrupt(format!("version {v}, line {i}: {e}")))?;
                found = line.txn.filter(|t| t.app_id == app_id).map(|t| t.version).max(found);
            }
        }
        Ok(found)
    }

    async fn txn_in_checkpoint(&self, at: i64, app_id: &str) -> Result<Option<i64>> {
        if let Some(bytes) = self.bytes_of(&self.checkpoint_path(at)).await?
            && let Some(txns) = self.decode(bytes, txns_of).await?
        {
            return Ok(txns.get(app_id).copied());
        }
        let logs = self.log_store()?;
        let state = EagerSnapshot::try_new(logs.as_ref(), Some(at as u64)).await.map_err(delta_error)?;
        state.transaction_version(logs.as_ref(), app_id).await.map_err(delta_error)
    }

    /// Runs `read` on the bytes of a checkpoint where it may take its time.
    async fn decode<T: Send + 'static>(
        &self,
        bytes: Bytes,
        read: fn(Bytes) -> Result<Option<T>, String>,
    ) -> Result<Option<T>> {
        let done = tokio::task::spawn_blocking(move || read(bytes)).await;
        let done = done.map_err(|e| Error::internal(format!("reading a checkpoint: {e}")))?;
        done.map_err(|why| self.corrupt(format!("checkpoint: {why}")))
    }

    fn log_store(&self) -> Result<Arc<dyn LogStore>> {
        let url = Url::parse(&format!("memory:///{}/", self.location)).map_err(|e| self.corrupt(e))?;
        let prefixed: Arc<dyn ObjectStore> =
            Arc::new(PrefixStore::new(self.store.clone(), Path::from(self.location.as_str())));
        Ok(default_logstore(prefixed, self.store.clone(), &url, &StorageConfig::default()))
    }

    /// Writes the checkpoint of `version`. Losing it costs time at the next open, nothing else.
    pub(crate) async fn checkpoint(&self, version: i64) -> Result<()> {
        self.mend_hint().await?;
        failpoint::hit("checkpoint.before_write");
        let logs = self.log_store()?;
        let mut table = deltalake_core::DeltaTable::new(logs);
        table.load_version(version as u64).await.map_err(delta_error)?;
        deltalake_core::checkpoints::create_checkpoint(&table, None).await.map_err(delta_error)?;
        failpoint::hit("checkpoint.after_write");
        Ok(())
    }

    /// `_last_checkpoint` must not name a checkpoint that is not there: other readers then open no version at all. A writer
    /// that slept between its checkpoint and this file can leave it so.
    pub(super) async fn mend_hint(&self) -> Result<()> {
        let Some(hint) = self.last_checkpoint().await? else { return Ok(()) };
        if self.is_true(&hint).await? {
            return Ok(());
        }
        let newest = self.log_files().await?.iter().filter(|f| f.is_checkpoint).map(|f| f.version).max();
        tracing::warn!(table = %self.location, named = hint.version, there = ?newest, "the last checkpoint is another one");
        match newest {
            Some(version) => self.set_last_checkpoint(version).await,
            None => self.store.delete(&self.hint_path()).await.map_err(store_error),
        }
    }

    /// The whole object, `None` when it is not there.
    pub(super) async fn bytes_of(&self, path: &Path) -> Result<Option<Bytes>> {
        match self.store.get(path).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(store_error)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(store_error(e)),
        }
    }

    pub(super) async fn has(&self, path: &Path) -> Result<bool> {
        match self.store.head(path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(store_error(e)),
        }
    }
}

/// Calls `take` with each batch of these leaves; false when the checkpoint is not all in this file.
fn for_each_batch(
    bytes: Bytes,
    leaves: &[&str],
    mut take: impl FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<bool, String> {
    let text = |e: parquet::errors::ParquetError| e.to_string();
    // Without the hint of the writer every text is the same Arrow type, whoever wrote it.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).map_err(text)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), leaves.iter().copied());
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(text)?;
    for batch in reader {
        let batch = batch.map_err(|e| e.to_string())?;
        if action(&batch, "sidecar").is_some_and(|s| s.null_count() < s.len()) {
            return Ok(false);
        }
        take(&batch)?;
    }
    Ok(true)
}

/// The actions of one kind: a struct that is NULL in the rows of other kinds.
fn action<'a>(batch: &'a RecordBatch, kind: &str) -> Option<&'a StructArray> {
    batch.column_by_name(kind)?.as_struct_opt()
}

fn texts(action: &StructArray, name: &str) -> Result<StringArray, String> {
    let column = action.column_by_name(name).ok_or_else(|| format!("no column {name}"))?;
    as_texts(column)
}

fn as_texts(column: &ArrayRef) -> Result<StringArray, String> {
    let column = cast(column, &ArrowType::Utf8).map_err(|e| e.to_string())?;
    Ok(column.as_string::<i32>().clone())
}

fn numbers<'a>(action: &'a StructArray, name: &str) -> Result<&'a arrow::array::Int64Array, String> {
    let column = action.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int64Type>());
    column.ok_or_else(|| format!("no column {name} of numbers"))
}

fn state_of(bytes: Bytes) -> Result<Option<State>, String> {
    let mut partition_columns = None;
    // Which column is which is known only at the end: the table's description may come after its files.
    let mut found: Vec<(DataFile, HashMap<String, Option<String>>)> = Vec::new();
    let whole = for_each_batch(bytes.clone(), &STATE, |batch| {
        if let Some(described) = action(batch, "metaData") {
            for row in (0..described.len()).filter(|r| described.is_valid(*r)) {
                let list = described.column_by_name("partitionColumns").and_then(|c| c.as_list_opt::<i32>());
                let names = as_texts(&list.ok_or("no column partitionColumns")?.value(row))?;
                partition_columns = Some(names.iter().flatten().map(str::to_string).collect::<Vec<_>>());
            }
        }
        match action(batch, "add") {
            Some(add) => add_files(add, &mut found),
            None => Ok(()),
        }
    })?;
    if !whole || (found.iter().any(|(f, _)| f.stats.is_none()) && has_parsed_stats(bytes)?) {
        return Ok(None);
    }
    let partition_columns: Vec<String> = partition_columns.ok_or("no metaData")?;
    let file = |(mut file, mut values): (DataFile, HashMap<String, Option<String>>)| {
        file.partition_values = partition_columns.iter().map(|c| values.remove(c).flatten()).collect();
        Arc::new(file)
    };
    let files = found.into_iter().map(file).collect();
    Ok(Some(State { partition_columns, files }))
}

/// Whether the statistics of files are in columns of their own, as Spark can be told to write them instead of the text.
fn has_parsed_stats(bytes: Bytes) -> Result<bool, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| e.to_string())?;
    let leaves = builder.parquet_schema().columns().iter();
    Ok(leaves.map(|leaf| leaf.path().parts()).any(|p| p.len() > 2 && p[0] == "add" && p[1] == "stats_parsed"))
}

fn add_files(add: &StructArray, found: &mut Vec<(DataFile, HashMap<String, Option<String>>)>) -> Result<(), String> {
    let vectors = add.column_by_name("deletionVector").and_then(|c| c.as_struct_opt());
    if vectors.is_some_and(|v| (0..v.len()).any(|i| add.is_valid(i) && v.is_valid(i))) {
        return Err("it has deletion vectors, which feitian does not read".to_string());
    }
    let (paths, sizes, times) = (texts(add, "path")?, numbers(add, "size")?, numbers(add, "modificationTime")?);
    let stats = add.column_by_name("stats").map(as_texts).transpose()?;
    let maps = add.column_by_name("partitionValues").and_then(|c| c.as_map_opt()).ok_or("no column partitionValues")?;
    let (keys, values) = (as_texts(maps.keys())?, as_texts(maps.values())?);
    for row in (0..add.len()).filter(|r| add.is_valid(*r)) {
        let (from, to) = (maps.value_offsets()[row] as usize, maps.value_offsets()[row + 1] as usize);
        let value = |i: usize| (keys.value(i).to_string(), values.is_valid(i).then(|| values.value(i).to_string()));
        let stats = stats.as_ref().filter(|s| s.is_valid(row)).map(|s| s.value(row).to_string());
        let file = DataFile {
            path: decode_path(paths.value(row)),
            partition_values: Vec::new(),
            num_bytes: sizes.value(row),
            num_rows: rows_in(stats.as_deref()),
            modified_ms: times.value(row),
            stats,
        };
        found.push((file, (from..to).map(value).collect()));
    }
    Ok(())
}

fn txns_of(bytes: Bytes) -> Result<Option<HashMap<String, i64>>, String> {
    let mut found = HashMap::new();
    let whole = for_each_batch(bytes, &TXNS, |batch| {
        let Some(txn) = action(batch, "txn") else { return Ok(()) };
        let (ids, versions) = (texts(txn, "appId")?, numbers(txn, "version")?);
        for row in (0..txn.len()).filter(|r| txn.is_valid(*r)) {
            found.insert(ids.value(row).to_string(), versions.value(row));
        }
        Ok(())
    })?;
    Ok(whole.then_some(found))
}

pub(super) fn delta_error(e: deltalake_core::DeltaTableError) -> Error {
    Error::new(Kind::Internal, "InternalServerError", format!("table log: {e}")).with_source(e)
}
