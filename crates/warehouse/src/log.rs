//! One table's Delta log: reading it into a [`Snapshot`], advancing a snapshot commit by commit, and adding a version.
//!
//! A snapshot that we hold is advanced with the commits that came since, so opening a table costs what changed and not
//! what is there; the first open starts at the last checkpoint.

mod actions;
mod checkpoint;
mod clean;
mod history;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use feitian_base::{Error, Kind, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

pub(crate) use actions::{Commit, MetadataAction};
use actions::{Txn, data_file, lines};
pub(crate) use history::Version;

use crate::writer::NULL_PARTITION;

/// A checkpoint is written after every so many versions.
pub(crate) const CHECKPOINT_INTERVAL: i64 = 100;
/// A version that adds and removes so many files gets one, too: reading it again is slow.
pub(crate) const CHECKPOINT_FILES: usize = 5000;

/// Versions, the tombstones of removed files and the `txn` actions of finished work are kept this long before a
/// checkpoint may forget them. The data files of a version live for a day. A commit record that is left open is carried
/// out within minutes wherever a process lives, and nobody writes checkpoints where none does.
const RETENTION_DAYS: u32 = 2;

/// So many `txn` actions are kept in memory at least, once there have been more.
const KEPT_TXNS: i64 = 10_000;

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
    /// The last version that changed rows or columns, as joining files does not. A snapshot that was read from a
    /// checkpoint takes the checkpoint for it.
    pub(crate) data_version: i64,
    /// When `data_version` was committed.
    pub(crate) data_ms: i64,
    /// The last version that did more to rows or columns than a blind append; a checkpoint is taken for one, too.
    pub(crate) rewritten_version: i64,
    /// The last version that described the table anew, at most; a checkpoint is taken for one, too.
    pub(crate) described_version: i64,
    /// Names of the partition columns, in order.
    pub partition_columns: Vec<String>,
    /// By path: the order in which readers go.
    files: Vec<Arc<DataFile>>,
    /// Shared by all snapshots of one log: it only learns, and the newest state is what a writer asks for.
    txns: Arc<Mutex<Txns>>,
}

/// The `txn` actions in commits that this process read.
#[derive(Debug, Default)]
struct Txns {
    /// By application id: the last version of the `txn`, and the version of the log that holds it.
    seen: HashMap<String, (i64, i64)>,
    /// Those of versions of the log before this one may be missing.
    from: i64,
}

impl Txns {
    fn note(&mut self, txn: Txn, log_version: i64) {
        let known = self.seen.entry(txn.app_id).or_insert((txn.version, log_version));
        if txn.version > known.0 {
            *known = (txn.version, log_version);
        }
        if self.seen.len() as i64 > 2 * KEPT_TXNS {
            self.from = self.from.max(log_version - KEPT_TXNS);
            let from = self.from;
            self.seen.retain(|_, (_, at)| *at >= from);
        }
    }
}

impl Snapshot {
    /// What there is before version 0.
    pub(crate) fn before_first() -> Self {
        Self { version: -1, data_version: -1, rewritten_version: -1, described_version: -1, ..Self::default() }
    }

    fn txns_from(from: i64) -> Arc<Mutex<Txns>> {
        Arc::new(Mutex::new(Txns { seen: HashMap::new(), from }))
    }

    /// The files of this version in reading order.
    pub fn files(&self) -> &[Arc<DataFile>] {
        &self.files
    }

    /// The file with this path, if it is part of this version.
    pub(crate) fn file(&self, path: &str) -> Option<&Arc<DataFile>> {
        self.files.get(self.place_of(path)?)
    }

    /// The place of the file with this path among [`Snapshot::files`].
    pub(crate) fn place_of(&self, path: &str) -> Option<usize> {
        self.files.binary_search_by(|f| f.path.as_str().cmp(path)).ok()
    }

    /// This version as if it had only the files that `keep` picks: for reading a part of the table.
    pub(crate) fn only(&self, keep: impl Fn(&DataFile) -> bool) -> Self {
        Self {
            partition_columns: self.partition_columns.clone(),
            files: self.files.iter().filter(|f| keep(f)).cloned().collect(),
            txns: self.txns.clone(),
            ..*self
        }
    }

    /// Rows of this version.
    pub fn num_rows(&self) -> u64 {
        self.files.iter().map(|f| f.num_rows.max(0) as u64).sum()
    }

    /// The canonical partition spec of `file`; empty for an unpartitioned table.
    pub fn spec_of(&self, file: &DataFile) -> String {
        spec_text(&self.partition_columns, &file.partition_values)
    }

    /// Whether every `txn` of the versions after `after` is known without looking into the log, where old ones are forgotten.
    pub(crate) fn knows_txns_after(&self, after: i64) -> bool {
        self.txns.lock().from <= after + 1
    }

    /// Whether `spec` is what [`Snapshot::spec_of`] gives for `file`, without making the text.
    pub(crate) fn is_in(&self, file: &DataFile, spec: &str) -> bool {
        let mut rest = spec;
        for (i, (column, value)) in self.partition_columns.iter().zip(&file.partition_values).enumerate() {
            let value = value.as_deref().unwrap_or(NULL_PARTITION);
            let start = if i == 0 { Some(rest) } else { rest.strip_prefix('/') };
            let after = start.and_then(|r| r.strip_prefix(column.as_str())).and_then(|r| r.strip_prefix('='));
            match after.and_then(|r| r.strip_prefix(value)) {
                Some(r) => rest = r,
                None => return false,
            }
        }
        rest.is_empty()
    }
}

/// `ds=1/hh=2`; NULL is written as MaxCompute writes it.
pub(crate) fn spec_text(columns: &[String], values: &[Option<String>]) -> String {
    let mut text = String::new();
    for (column, value) in columns.iter().zip(values) {
        if !text.is_empty() {
            text.push('/');
        }
        text.extend([column.as_str(), "=", value.as_deref().unwrap_or(NULL_PARTITION)]);
    }
    text
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

    /// Adds `version` to a log that has been read up to the one before; `false` when somebody else has it already.
    ///
    /// Durable once this returns `true`. A `true` is only final when [`DeltaLog::has_version`] holds for the version before:
    /// else others may have gone on and the log was cleaned meanwhile, and the commit file lies where nobody reads it.
    pub(crate) async fn put(&self, version: i64, commit: &Commit) -> Result<bool> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&self.version_path(version), PutPayload::from(commit.to_bytes()), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(e) => Err(store_error(e)),
        }
    }

    /// Takes back a commit file that nobody reads.
    pub(crate) async fn take_back(&self, version: i64) -> Result<()> {
        match self.store.delete(&self.version_path(version)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(store_error(e)),
        }
    }

    /// Makes the names of all versions durable that are there. A process that was killed between the name of its version and
    /// the sync of the directory leaves one that readers see and a power cut takes back.
    pub(crate) async fn sync_names(&self) -> Result<()> {
        // The store answers a deletion, also of what is not there, only when the directory is synced.
        match self.store.delete(&Path::from(format!("{}/_delta_log/none", self.location))).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(store_error(e)),
        }
    }

    /// The newest version, or exactly `version`.
    ///
    /// # Errors
    /// `Corrupt` when the directory holds no readable log, or none that reaches `version`.
    pub(crate) async fn load(&self, version: Option<i64>) -> Result<Snapshot> {
        let mut before = None;
        loop {
            let snapshot = self.replay(version).await?;
            match version {
                Some(want) if snapshot.version == want => return Ok(snapshot),
                Some(want) => return Err(self.corrupt(format!("version {want} is missing"))),
                None if snapshot.version < 0 => return Err(self.corrupt("no version 0")),
                None => {}
            }
            // What followed may have been cleaned away while this was reading; then a newer checkpoint is there.
            if before == Some(snapshot.version) || self.has_version(snapshot.version).await? {
                return Ok(snapshot);
            }
            before = Some(snapshot.version);
        }
    }

    /// What the newest readable checkpoint and the commit files after it make, up to `version`.
    async fn replay(&self, version: Option<i64>) -> Result<Snapshot> {
        let mut snapshot = self.newest_readable(version).await?.unwrap_or_else(Snapshot::before_first);
        while version.is_none_or(|want| snapshot.version < want) {
            let Some(bytes) = self.read_version(snapshot.version + 1).await? else { break };
            snapshot = self.apply(&snapshot, &bytes)?;
        }
        Ok(snapshot)
    }

    /// `snapshot` with the commits since; the same one when there are none.
    pub(crate) async fn advance(&self, snapshot: Arc<Snapshot>) -> Result<Arc<Snapshot>> {
        let mut newest = snapshot.clone();
        while let Some(bytes) = self.read_version(newest.version + 1).await? {
            newest = Arc::new(self.apply(&newest, &bytes)?);
        }
        // Asked last and of the first: what was read is the log only if none of it had been cleaned away by then. A commit
        // file that a sleeper put into a cleaned place is not.
        if self.has_version(snapshot.version).await? {
            return Ok(newest);
        }
        Ok(Arc::new(self.load(None).await?))
    }

    /// Whether the commit file of `version` is there. Cleaning removes the oldest first, so while it is, none that followed
    /// has gone.
    pub(crate) async fn has_version(&self, version: i64) -> Result<bool> {
        self.has(&self.version_path(version)).await
    }

    async fn read_version(&self, version: i64) -> Result<Option<Bytes>> {
        self.bytes_of(&self.version_path(version)).await
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
            data_version: base.data_version,
            data_ms: base.data_ms,
            rewritten_version: base.rewritten_version,
            described_version: base.described_version,
            partition_columns: base.partition_columns.clone(),
            files: Vec::new(),
            txns: base.txns.clone(),
        };
        let (mut added, mut removed) = (Vec::new(), HashSet::new());
        let (mut changes_data, mut takes_data, mut is_blind) = (false, false, false);
        for (i, line) in lines(bytes) {
            let line = line.map_err(|e| self.corrupt(format!("version {version}, line {i}: {e}")))?;
            takes_data |= line.meta_data.is_some() || line.remove.as_ref().is_some_and(|r| r.data_change);
            changes_data |= takes_data || line.add.as_ref().is_some_and(|a| a.data_change);
            if line.add.as_ref().is_some_and(|a| a.deletion_vector.is_some()) {
                let why = format!("version {version}, line {i}: deletion vectors are not supported");
                return Err(self.corrupt(why));
            }
            if let Some(m) = line.meta_data {
                next.partition_columns = m.partition_columns;
                next.described_version = version;
            }
            if let Some(t) = line.txn {
                next.txns.lock().note(t, version);
            }
            if let Some(c) = line.commit_info {
                next.timestamp_ms = c.timestamp;
                is_blind |= c.is_blind_append.as_bool().unwrap_or_default();
            }
            removed.extend(line.remove.map(|r| r.file()));
            added.extend(line.add);
        }
        if bytes.is_empty() {
            return Err(self.corrupt(format!("version {version} is empty")));
        }
        if changes_data {
            (next.data_version, next.data_ms) = (version, next.timestamp_ms);
        }
        if takes_data || (changes_data && !is_blind) {
            next.rewritten_version = version;
        }
        let added: Vec<_> = added.into_iter().map(|a| Arc::new(data_file(a, &next.partition_columns))).collect();
        next.files = merge(&base.files, added, &removed);
        Ok(next)
    }

    /// The last `txn` version of `app_id` that a version of the log after `after` holds, up to `snapshot`.
    pub(crate) async fn txn_version(&self, snapshot: &Snapshot, app_id: &str, after: i64) -> Result<Option<i64>> {
        {
            let txns = snapshot.txns.lock();
            if let Some((version, _)) = txns.seen.get(app_id) {
                return Ok(Some(*version));
            }
            if txns.from <= after + 1 {
                return Ok(None);
            }
        }
        self.txn_in_log(snapshot.version, app_id).await
    }

    /// Paths of files that were removed by versions committed since `since_ms`: retained versions still name them.
    pub(crate) async fn removed_since(&self, newest: i64, since_ms: i64) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        for version in (0..=newest).rev() {
            // Commit files older than the log's own retention may be gone.
            let Some(bytes) = self.read_version(version).await? else { break };
            let (mut committed_ms, mut removed) = (None, Vec::new());
            for (_, line) in lines(&bytes) {
                let line = line.map_err(|e| self.corrupt(e))?;
                removed.extend(line.remove.map(|r| r.file()));
                committed_ms = line.commit_info.map(|c| c.timestamp).filter(|t| *t > 0).or(committed_ms);
            }
            // Other writers may leave the time out: such a version ends nothing.
            if committed_ms.is_some_and(|t| t < since_ms) {
                break;
            }
            paths.extend(removed);
        }
        Ok(paths)
    }

    /// The specs of the partitions whose files the versions after `from` up to `snapshot` touch; `None` when the log
    /// does not tell.
    pub(crate) async fn touched_since(&self, from: i64, snapshot: &Snapshot) -> Result<Option<HashSet<String>>> {
        let columns = &snapshot.partition_columns;
        let mut specs = HashSet::new();
        for version in (from + 1).max(0)..=snapshot.version {
            let Some(bytes) = self.read_version(version).await? else { return Ok(None) };
            for (_, line) in lines(&bytes) {
                let line = line.map_err(|e| self.corrupt(e))?;
                if let Some(add) = line.add {
                    specs.insert(spec_text(columns, &data_file(add, columns).partition_values));
                }
                let Some(removed) = line.remove else { continue };
                let Some(values) = removed.partition_values else { return Ok(None) };
                let values: Vec<_> = columns.iter().map(|c| values.get(c).cloned().flatten()).collect();
                specs.insert(spec_text(columns, &values));
            }
        }
        Ok(Some(specs))
    }
}

/// `base` without `removed`, with `added`, by path. A path that is both removed and added is there.
fn merge(base: &[Arc<DataFile>], mut added: Vec<Arc<DataFile>>, removed: &HashSet<String>) -> Vec<Arc<DataFile>> {
    added.sort_by(|a, b| a.path.cmp(&b.path));
    let is_new = |path: &str| added.binary_search_by(|f| f.path.as_str().cmp(path)).is_ok();
    let kept = base.iter().filter(|f| !removed.contains(&f.path) && !is_new(&f.path)).cloned();
    let mut files: Vec<_> = kept.chain(added.iter().cloned()).collect();
    // Two sorted runs, which the sort merges.
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

#[cfg(test)]
mod tests;
