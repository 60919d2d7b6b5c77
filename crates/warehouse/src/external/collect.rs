//! Collection in buckets: what statements have left under hidden names.
//!
//! As long as its job has not ended, a statement may run again, and asks for its marker. After that a marker that is not
//! empty is carried out, an empty one goes, and so do files that no marker names.

use std::collections::HashSet;

use feitian_base::{Result, failpoint};
use feitian_meta::{InstanceFilter, StateClass};
use futures::TryStreamExt;
use object_store::path::Path;

use super::files::{Directory, is_carried_out, statement_of};
use super::location::OBJECTS;
use crate::Warehouse;
use crate::log::store_error;

/// With more jobs than this that wait or run, nothing is collected.
const MAX_JOBS: i64 = 10_000;

/// A hidden file.
struct Left {
    dir: Path,
    path: Path,
    statement: String,
    /// It says what is still to be done.
    is_open: bool,
}

impl Warehouse {
    /// Removes what is older than `cutoff` and of jobs that have ended; returns how many files went.
    pub(crate) async fn collect_buckets(&self, cutoff: i64) -> Result<u64> {
        let buckets = match self.catalog.store().list_with_delimiter(Some(&Path::from(OBJECTS))).await {
            Ok(found) => found.common_prefixes,
            // A symbolic link among them, for one: all else was collected.
            Err(e) => {
                tracing::error!(error = ?e, "buckets were not collected");
                return Ok(0);
            }
        };
        // Listed before the jobs are: of one that comes meanwhile nothing is in the lists.
        let mut all = Vec::new();
        for bucket in buckets {
            match self.left_in(&bucket, cutoff).await {
                Ok(left) => all.extend(left),
                // One bucket that cannot be listed must not keep what is left in others.
                Err(e) => tracing::error!(%bucket, error = ?e, "a bucket was not collected"),
            }
        }
        if all.is_empty() {
            return Ok(0);
        }
        let Some(jobs) = self.unended_jobs().await? else { return Ok(0) };
        let mut gone = 0;
        for left in all {
            let is_known = left.statement.split('-').next().is_some_and(|job| jobs.contains(job));
            if is_known {
                continue;
            }
            gone += self.collect_left(&left).await.unwrap_or_else(|e| {
                tracing::error!(path = %left.path, error = ?e, "a file of a bucket was not collected");
                0
            });
        }
        Ok(gone)
    }

    async fn left_in(&self, bucket: &Path, cutoff: i64) -> Result<Vec<Left>> {
        let mut left = Vec::new();
        let mut files = self.catalog.store().list(Some(bucket));
        while let Some(file) = files.try_next().await.map_err(store_error)? {
            let Some((statement, is_marker)) = file.location.filename().and_then(statement_of) else { continue };
            let Some(dir) = file.location.parent() else { continue };
            if file.last_modified.timestamp_millis() <= cutoff {
                let is_open = is_marker && !is_carried_out(file.size);
                left.push(Left { dir, path: file.location, statement, is_open });
            }
        }
        Ok(left)
    }

    /// The jobs that have not ended; `None` if they are too many.
    async fn unended_jobs(&self) -> Result<Option<HashSet<String>>> {
        let mut jobs = HashSet::new();
        // One that goes back to those that wait is seen by one look or the other.
        for class in [StateClass::Waiting, StateClass::Running, StateClass::Waiting] {
            let filter = InstanceFilter { class: Some(class), ..InstanceFilter::default() };
            let found = self.meta.list_instances(None, &filter, None, MAX_JOBS).await?;
            if found.len() as i64 >= MAX_JOBS {
                return Ok(None);
            }
            jobs.extend(found.into_iter().map(|job| job.id));
        }
        Ok(Some(jobs))
    }

    async fn collect_left(&self, left: &Left) -> Result<u64> {
        let entry = self.catalog.entry(left.dir.as_ref());
        // A job that was stopped may just be giving its files their names.
        let _guard = entry.lock.lock().await;
        Directory::new(self.catalog.store(), left.dir.clone()).is_done(&left.statement).await?;
        if left.is_open {
            return Ok(0);
        }
        failpoint::hit("collect.before_delete");
        self.remove(&left.path).await
    }
}
