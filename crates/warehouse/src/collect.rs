//! Collection: removing files that nothing refers to any more.
//!
//! A file below a table's directory stays if it is younger than the age given, or if any of these names it: a version of
//! the log that is retained, an open upload session's block, an open commit record, an open download session's version, or
//! a running instance (its files begin with a name that was given later than the instance started, so every file younger
//! than the oldest running instance stays). Everything under `_delta_log` stays with its table.

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

/// Versions of a table younger than this are kept readable, as MaxCompute keeps a day for RESTORE.
const RETAINED: Duration = Duration::from_secs(24 * 3600);

impl Warehouse {
    /// Removes files that nothing refers to and that are older than `older_than`; returns how many went.
    ///
    /// With `older_than` below a day, versions are retained for that shorter time only.
    pub async fn collect(&self, older_than: Duration) -> Result<u64> {
        let retained = older_than.min(RETAINED);
        let mut cutoff = clock::now_ms() - older_than.as_millis() as i64;
        if let Some(oldest) = self.oldest_running_ms().await? {
            cutoff = cutoff.min(oldest - 1);
        }
        self.meta.expire_sessions(clock::now_ms()).await?;
        let mut gone = 0;
        for table in self.meta.all_tables().await? {
            if table.location.is_empty() {
                continue;
            }
            gone += match table.dropped_ms {
                Some(dropped) if dropped < clock::now_ms() - retained.as_millis() as i64 => self.forget(&table).await?,
                _ => self.collect_table(&table, cutoff, retained).await?,
            };
        }
        gone += self.collect_unknown(cutoff).await?;
        gone += self.collect_results(cutoff).await?;
        gone += self.collect_resources(cutoff).await?;
        Ok(gone)
    }

    /// Removes files of resources that no row names: dropped or written over, or never named because of a crash.
    async fn collect_resources(&self, cutoff: i64) -> Result<u64> {
        // Listed before the rows are read: a file that is named meanwhile is young.
        let listed = self.list_files(RESOURCES).await?;
        let named = self.meta.all_resource_files().await?;
        let named: HashSet<&str> = named.iter().map(|r| r.path.as_str()).collect();
        let mut gone = 0;
        for (path, modified_ms) in listed {
            if modified_ms > cutoff || named.contains(path.as_ref()) {
                continue;
            }
            failpoint::hit("collect.before_delete");
            self.catalog.store().delete(&path).await.map_err(store_error)?;
            gone += 1;
        }
        Ok(gone)
    }

    /// Removes results that no instance names: of superseded attempts, and of instances forgotten just before a crash.
    async fn collect_results(&self, cutoff: i64) -> Result<u64> {
        let mut gone = 0;
        for (path, modified_ms) in self.list_files(RESULTS).await? {
            if modified_ms > cutoff {
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
            self.catalog.store().delete(&path).await.map_err(store_error)?;
            gone += 1;
        }
        Ok(gone)
    }

    /// When the instance that has run longest was started; `None` when nothing runs.
    async fn oldest_running_ms(&self) -> Result<Option<i64>> {
        let filter = InstanceFilter { class: Some(StateClass::Running), ..InstanceFilter::default() };
        let running = self.meta.list_instances(None, &filter, None, 10_000).await?;
        Ok(running.iter().filter_map(|i| i.started_ms).min())
    }

    async fn collect_table(&self, table: &Table, cutoff: i64, retained: Duration) -> Result<u64> {
        // Listed before the references are read: a file that is committed meanwhile is young or in an open record.
        let listed = self.list_files(&table.location).await?;
        let keep = self.referenced(table, retained).await?;
        let prefix = format!("{}/", table.location);
        let mut gone = 0;
        for (path, modified_ms) in listed {
            let Some(name) = path.as_ref().strip_prefix(&prefix) else { continue };
            if name.starts_with("_delta_log/") || modified_ms > cutoff || keep.contains(name) {
                continue;
            }
            failpoint::hit("collect.before_delete");
            self.catalog.store().delete(&path).await.map_err(store_error)?;
            gone += 1;
        }
        Ok(gone)
    }

    async fn referenced(&self, table: &Table, retained: Duration) -> Result<HashSet<String>> {
        let mut keep = HashSet::new();
        for session in self.meta.open_sessions(Some("upload"), Some(&table.id)).await? {
            keep.extend(self.meta.blocks(&session.id).await?.into_iter().map(|b| b.path));
        }
        for record in self.meta.open_commit_records(Some(&table.id)).await? {
            if let Ok(intent) = serde_json::from_str::<Intent>(&record.actions) {
                keep.extend(intent.files.into_iter().map(|f| f.path));
            }
        }
        let newest = self.catalog.newest(table).await?;
        let mut versions: HashSet<i64> = HashSet::new();
        for session in self.meta.open_sessions(Some("download"), Some(&table.id)).await? {
            versions.insert(session.log_version);
        }
        let log = self.catalog.log(table);
        let since = clock::now_ms() - retained.as_millis() as i64;
        keep.extend(log.removed_since(newest.version, since).await?);
        versions.remove(&newest.version);
        keep.extend(newest.files().iter().map(|f| f.path.clone()));
        for version in versions {
            let old = self.catalog.at_version(table, version).await?;
            keep.extend(old.files().iter().map(|f| f.path.clone()));
        }
        Ok(keep)
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
            self.catalog.store().delete(&path).await.map_err(store_error)?;
            gone += 1;
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
            self.catalog.store().delete(&path).await.map_err(store_error)?;
            gone += 1;
        }
        Ok(gone)
    }
}
