//! Collection: removing files that nothing refers to any more.
//!
//! A file below a table's directory stays if it is younger than the age given, or if any of these names it: a version of
//! the log that is retained, an open upload session's block, an open commit record, an open download session's version, or
//! a running instance (its files begin with a name that was given later than the instance started, so every file younger
//! than the oldest running instance stays), or an upsert session that is closing (likewise). Of a log only what leads to
//! versions that are twice as old as those retained goes; the rest of `_delta_log` stays with its table. Of buckets go the
//! hidden files that statements have left (`external/collect.rs`), and nothing else.

use std::collections::HashSet;
use std::time::Duration;

use feitian_base::{Result, clock, failpoint};
use feitian_meta::rows::Table;
use feitian_meta::{InstanceFilter, StateClass};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::Warehouse;
use crate::commit::Intent;
use crate::jobs::results::{self, RESULTS};
use crate::log::store_error;
use crate::resources::RESOURCES;
use crate::storage::dynamic::files_of_block;
use crate::storage::streams::STREAMED;
use crate::upsert::UPSERT;
use crate::volumes::VOLUMES;
use crate::writer::object_path;

/// Versions of a table younger than this are kept readable, as MaxCompute keeps a day for RESTORE.
const RETAINED: Duration = Duration::from_secs(24 * 3600);
/// What the clocks of two processes, and the time between reading a version and opening a session for it, may differ by.
const CLOCKS_MS: i64 = 5 * 60 * 1000;

/// What of a table may not go.
struct References {
    files: HashSet<Path>,
    /// The oldest version that is read.
    oldest_version: i64,
}

impl Warehouse {
    /// Removes files that nothing refers to and that are older than `older_than`; returns how many went.
    ///
    /// With `older_than` below a day, versions are retained for that shorter time only.
    pub async fn collect(&self, older_than: Duration) -> Result<u64> {
        let retained = older_than.min(RETAINED);
        let mut cutoff = clock::now_ms() - older_than.as_millis() as i64;
        // What was retained when a running instance was started is what it may read.
        let mut since = clock::now_ms() - retained.as_millis() as i64;
        if let Some(oldest) = self.oldest_running_ms().await? {
            cutoff = cutoff.min(oldest - 1);
            since = since.min(oldest - retained.as_millis() as i64);
        }
        if let Some(oldest) = self.oldest_closing_ms().await? {
            cutoff = cutoff.min(oldest - 1);
        }
        let since = since.min(cutoff);
        self.meta.expire_sessions(clock::now_ms()).await?;
        let mut gone = 0;
        for table in self.meta.all_tables().await? {
            if table.location.is_empty() {
                continue;
            }
            gone += match table.dropped_ms {
                Some(dropped) if dropped < clock::now_ms() - retained.as_millis() as i64 => self.forget(&table).await?,
                // One table that cannot be read must not keep the garbage of all others.
                _ => self.collect_table(&table, cutoff, since, retained).await.unwrap_or_else(|e| {
                    tracing::error!(table = %table.id, error = ?e, "the files of a table were not collected");
                    0
                }),
            };
        }
        gone += self.collect_unknown(cutoff).await?;
        gone += self.collect_results(cutoff).await?;
        gone += self.collect_buckets(cutoff).await?;
        // Listed before the rows are read: a file that is named meanwhile is young.
        let listed = self.list_files(RESOURCES).await?;
        let named = self.meta.all_resource_files().await?;
        gone += self.collect_contents(listed, named.into_iter().map(|r| r.path).collect(), cutoff).await?;
        let listed = self.list_files(VOLUMES).await?;
        let named = self.meta.all_volume_contents().await?;
        gone += self.collect_contents(listed, named.into_iter().map(|(path, _)| path).collect(), cutoff).await?;
        Ok(gone)
    }

    /// Removes contents of resources or volumes that no row names: dropped or written over, or never named because of a
    /// crash.
    async fn collect_contents(&self, listed: Vec<(Path, i64)>, named: HashSet<String>, cutoff: i64) -> Result<u64> {
        let mut gone = 0;
        for (path, modified_ms) in listed {
            if modified_ms > cutoff || named.contains(AsRef::<str>::as_ref(&path)) {
                continue;
            }
            failpoint::hit("collect.before_delete");
            gone += self.remove(&path).await?;
        }
        Ok(gone)
    }

    /// Removes results that no instance names, and logs: of superseded attempts, and of instances that are forgotten.
    async fn collect_results(&self, cutoff: i64) -> Result<u64> {
        let mut gone = 0;
        for (path, modified_ms) in self.list_files(RESULTS).await? {
            if modified_ms > cutoff {
                continue;
            }
            if let Some((project, id, attempt)) = results::log_of(path.as_ref())
                && self.meta.instance(project, id).await?.is_some_and(|i| i.attempt == attempt)
            {
                continue;
            }
            let instance = match results::instance_of(path.as_ref()) {
                Some((project, id)) => self.meta.instance(project, id).await?,
                None => None,
            };
            if instance.and_then(|i| i.result_path).is_some_and(|p| p == path.as_ref()) {
                continue;
            }
            failpoint::hit("collect.before_delete");
            gone += self.remove(&path).await?;
        }
        Ok(gone)
    }

    /// Removes one file; returns how many that were. Another process may collect at the same time.
    pub(crate) async fn remove(&self, path: &Path) -> Result<u64> {
        match self.catalog.store().delete(path).await {
            Ok(()) => Ok(1),
            Err(object_store::Error::NotFound { .. }) => Ok(0),
            Err(e) => Err(store_error(e)),
        }
    }

    /// When the instance that has run longest was started; `None` when nothing runs.
    async fn oldest_running_ms(&self) -> Result<Option<i64>> {
        let filter = InstanceFilter { class: Some(StateClass::Running), ..InstanceFilter::default() };
        let running = self.meta.list_instances(None, &filter, None, 10_000).await?;
        Ok(running.iter().filter_map(|i| i.started_ms).min())
    }

    /// When the oldest upsert session was opened that is closing: its commit may have read the table and written files, long
    /// before it says which. `None` when none closes.
    async fn oldest_closing_ms(&self) -> Result<Option<i64>> {
        let open = self.meta.open_sessions(Some(UPSERT), None).await?;
        Ok(open.iter().filter(|s| s.status == "closing").map(|s| s.created_ms).min())
    }

    /// Removes what is older than `cutoff` and no version since `since` names.
    async fn collect_table(&self, table: &Table, cutoff: i64, since: i64, retained: Duration) -> Result<u64> {
        // Listed before the references are read: a file that is committed meanwhile is young or in an open record.
        let listed = self.list_files(&table.location).await?;
        let age = retained.as_millis() as i64;
        let References { files: keep, oldest_version } = self.references(table, since).await?;
        let mut gone = match self.catalog.log(table).clean(since - age, oldest_version).await {
            Ok(gone) => gone,
            // A log that is longer than it must be is no reason to keep files, here or of other tables.
            Err(e) => {
                tracing::error!(table = %table.id, error = ?e, "the log could not be cleaned");
                0
            }
        };
        let log_prefix = format!("{}/_delta_log/", table.location);
        for (path, modified_ms) in listed {
            if path.as_ref().starts_with(&log_prefix) || modified_ms > cutoff || keep.contains(&path) {
                continue;
            }
            failpoint::hit("collect.before_delete");
            gone += self.remove(&path).await?;
        }
        Ok(gone)
    }

    /// What of the table somebody may still read: the newest version, versions that downloads read, versions since
    /// `since`, and what uploads and commits that are not finished have written.
    async fn references(&self, table: &Table, since: i64) -> Result<References> {
        let mut files = HashSet::new();
        let at = |path: String| object_path(&table.location, &path);
        // In the order in which files go from one to the next, so that none slips through.
        for kind in ["upload", "storage_write", STREAMED, UPSERT] {
            for session in self.meta.open_sessions(Some(kind), Some(&table.id)).await? {
                for block in self.meta.blocks(&session.id).await? {
                    match block.path.is_empty() {
                        true => files.extend(files_of_block(&block)?.into_iter().map(|f| at(f.path))),
                        false => files.extend([at(block.path)]),
                    }
                }
            }
        }
        for record in self.meta.open_commit_records(Some(&table.id)).await? {
            if let Ok(intent) = serde_json::from_str::<Intent>(&record.actions) {
                files.extend(intent.files.into_iter().map(|f| at(f.path)));
            }
        }
        let newest = self.catalog.peek(table).await?;
        let mut reading = self.meta.open_sessions(Some("download"), Some(&table.id)).await?;
        reading.extend(self.meta.open_sessions(Some("storage_read"), Some(&table.id)).await?);
        let oldest_version = reading.iter().map(|s| s.log_version).fold(newest.version, i64::min);
        // What a younger session reads and the table has lost since was removed after `since`, and stays for that.
        let old = reading.iter().filter(|s| s.created_ms < since + CLOCKS_MS);
        let mut versions: HashSet<i64> = old.map(|s| s.log_version).collect();
        files.extend(self.catalog.log(table).removed_since(newest.version, since).await?.into_iter().map(at));
        files.extend(newest.files().iter().map(|f| at(f.path.clone())));
        versions.remove(&newest.version);
        for version in versions {
            // Not kept in memory: nobody reads it but this look.
            let old = self.catalog.log(table).load(Some(version)).await?;
            files.extend(old.files().iter().map(|f| at(f.path.clone())));
        }
        Ok(References { files, oldest_version })
    }

    async fn list_files(&self, location: &str) -> Result<Vec<(Path, i64)>> {
        let found = self.catalog.store().list(Some(&Path::from(location)));
        let files: Vec<_> = found.try_collect().await.map_err(store_error)?;
        Ok(files.into_iter().map(|m| (m.location, m.last_modified.timestamp_millis())).collect())
    }

    /// Removes a dropped table for good.
    async fn forget(&self, table: &Table) -> Result<u64> {
        let mut gone = 0;
        for (path, _) in self.list_files(&table.location).await? {
            failpoint::hit("collect.before_forget");
            gone += self.remove(&path).await?;
        }
        self.meta.forget_table(&table.id).await?;
        Ok(gone)
    }

    /// Removes directories of tables that never came to be: a crash between their log and their row.
    async fn collect_unknown(&self, cutoff: i64) -> Result<u64> {
        let listed = self.list_files("warehouse").await?;
        let known: HashSet<String> = self.meta.all_tables().await?.into_iter().map(|t| t.location).collect();
        let mut gone = 0;
        for (path, modified_ms) in listed {
            let location: String = path.as_ref().splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            if modified_ms > cutoff || known.contains(&location) || location.matches('/').count() < 2 {
                continue;
            }
            gone += self.remove(&path).await?;
        }
        Ok(gone)
    }
}
