//! Forgetting old versions: which files of a log nobody can need any more, and their removal.

use std::sync::Arc;

use feitian_base::{Result, failpoint};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{DataFile, DeltaLog, Snapshot, store_error};

/// A commit file or a checkpoint in one file. Others are of other writers, and stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogFile {
    pub(super) version: i64,
    pub(super) is_checkpoint: bool,
    path: Path,
    modified_ms: i64,
}

/// The version of a commit file or a checkpoint, and whether it is a checkpoint.
fn parse(name: &str) -> Option<(i64, bool)> {
    let (digits, rest) = name.split_at_checked(20)?;
    let version = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    match rest {
        ".json" => Some((version, false)),
        ".checkpoint.parquet" => Some((version, true)),
        _ => None,
    }
}

/// The checkpoint at which the log may begin: the newest one from which every version that is needed can be reached.
/// Needed are those committed since `before_ms`, the one before them, which was the newest until then, and everything from
/// `oldest_needed` on.
fn first_needed(files: &[LogFile], before_ms: i64, oldest_needed: i64) -> Option<i64> {
    let young = files.iter().filter(|f| !f.is_checkpoint && f.modified_ms >= before_ms).map(|f| f.version).min();
    let most = young.map_or(oldest_needed, |v| oldest_needed.min(v - 1));
    files.iter().filter(|f| f.is_checkpoint && f.version <= most).map(|f| f.version).max()
}

impl DeltaLog {
    /// Every commit file and checkpoint, in no order.
    pub(super) async fn log_files(&self) -> Result<Vec<LogFile>> {
        let prefix = Path::from(format!("{}/_delta_log", self.location));
        let found: Vec<_> = self.store.list(Some(&prefix)).try_collect().await.map_err(store_error)?;
        let file = |m: object_store::ObjectMeta| {
            let (version, is_checkpoint) = parse(m.location.filename()?)?;
            let modified_ms = m.last_modified.timestamp_millis();
            Some(LogFile { version, is_checkpoint, path: m.location, modified_ms })
        };
        Ok(found.into_iter().filter_map(file).collect())
    }

    /// Removes the commit files and checkpoints that only lead to versions before `oldest_needed` which were committed
    /// before `before_ms`; returns how many went.
    ///
    /// 1. The checkpoint at which the log will begin is proved: it holds what the versions that go lead to.
    /// 2. `_last_checkpoint` names it or a later one.
    /// 3. The files go one by one, the oldest version first: while the commit file of a version is there, so are all that
    ///    follow it. Readers and writers whose snapshot is older than the log rely on it ([`DeltaLog::has_version`]).
    ///
    /// # Errors
    /// `Corrupt` when the checkpoint is not what it should be; nothing was removed.
    pub(crate) async fn clean(&self, before_ms: i64, oldest_needed: i64) -> Result<u64> {
        self.mend_hint().await?;
        let mut files = self.log_files().await?;
        let Some(first) = first_needed(&files, before_ms, oldest_needed) else { return Ok(0) };
        files.retain(|f| f.version < first);
        if files.is_empty() {
            return Ok(0);
        }
        self.prove(first).await?;
        failpoint::hit("clean.before_hint");
        if self.last_checkpoint().await?.is_none_or(|hint| hint.version < first) {
            self.set_last_checkpoint(first).await?;
        }
        files.sort_by_key(|f| f.version);
        for file in &files {
            failpoint::hit("clean.before_delete");
            match self.store.delete(&file.path).await {
                // Another process cleans at the same time, in the same order.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(store_error(e)),
            }
        }
        Ok(files.len() as u64)
    }

    /// Fails unless the checkpoint of `version` holds the files that the versions up to it lead to.
    async fn prove(&self, version: i64) -> Result<()> {
        let kept = self.load_checkpoint(version).await?;
        let mut snapshot = match self.newest_readable(Some(version - 1)).await {
            Ok(found) => found.unwrap_or_else(Snapshot::before_first),
            // Nothing can be read without it: a cleaning that did not come to its end has removed the beginning.
            Err(_) => return Ok(()),
        };
        while snapshot.version < version {
            let Some(bytes) = self.read_version(snapshot.version + 1).await? else { return Ok(()) };
            snapshot = self.apply(&snapshot, &bytes)?;
        }
        let same = |(a, b): (&Arc<DataFile>, &Arc<DataFile>)| {
            (&a.path, &a.partition_values, a.num_bytes, a.num_rows)
                == (&b.path, &b.partition_values, b.num_bytes, b.num_rows)
        };
        let is_same = kept.files().len() == snapshot.files().len()
            && kept.partition_columns == snapshot.partition_columns
            && kept.files().iter().zip(snapshot.files()).all(same);
        if is_same {
            return Ok(());
        }
        let (has, needs) = (kept.files().len(), snapshot.files().len());
        let text = format!("checkpoint {version} does not hold its version: {has} files for {needs}; the log stays");
        Err(self.corrupt(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: i64, is_checkpoint: bool, modified_ms: i64) -> LogFile {
        LogFile { version, is_checkpoint, path: Path::default(), modified_ms }
    }

    // The names are those of the Delta protocol ("Delta Log Entries", "Checkpoints").
    #[test]
    fn only_commit_files_and_classic_checkpoints_are_known() {
        assert_eq!(parse("00000000000000000007.json"), Some((7, false)));
        assert_eq!(parse("00000000000000000100.checkpoint.parquet"), Some((100, true)));
        for other in [
            "_last_checkpoint",
            "00000000000000000100.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000100.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json",
            "00000000000000000007.crc",
            "0000000000000000000é.json",
            "7.json",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    // Arithmetic on ten versions with checkpoints at 3, 6 and 9; version n was committed at n seconds.
    #[test]
    fn a_log_begins_at_the_last_checkpoint_that_reaches_all_that_is_needed() {
        let mut files: Vec<_> = (0..=9).map(|v| file(v, false, v * 1000)).collect();
        files.extend([3, 6, 9].map(|v| file(v, true, v * 1000)));
        assert_eq!(first_needed(&files, 20_000, 9), Some(9), "all are old");
        assert_eq!(first_needed(&files, 7_500, 9), Some(6), "8 and 9 are young");
        assert_eq!(first_needed(&files, 8_500, 9), Some(6), "9 is young, 8 was read until it came");
        assert_eq!(first_needed(&files, 20_000, 5), Some(3), "somebody reads version 5");
        assert_eq!(first_needed(&files, 20_000, 2), None, "no checkpoint leads to version 2");
        assert_eq!(first_needed(&files, 0, 9), None, "all are young");
    }
}
