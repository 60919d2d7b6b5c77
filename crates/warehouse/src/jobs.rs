//! Instances: written before anything runs, queued, run, stopped, remembered.
//!
//! The database row is the instance; what is kept here in memory is only what runs now. `jobs/run.rs` runs one instance,
//! `jobs/queue.rs` decides which, `jobs/results.rs` keeps row sets, `jobs/progress.rs` says what has been done so far, by
//! the stages of `jobs/stages.rs` and the engine's counters, which `jobs/counters.rs` reads.

mod counters;
mod history;
mod progress;
mod queue;
pub(crate) mod results;
mod run;
mod stages;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::execution::SendableRecordBatchStream;
use feitian_base::{Error, Kind, Result, clock, failpoint, id};
use feitian_meta::{Instance, InstanceFilter, InstanceState, StateClass};
use feitian_types::Column;
use feitian_udf::Crew;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Warehouse;
use crate::reader::{Batches, RowRange};
use crate::tables::Page;

pub use history::QueueLoad;
pub(crate) use progress::Run;
pub use progress::{Progress, Stage};
pub use results::RowSet;

/// A job to submit.
#[derive(Debug, Clone, Default)]
pub struct NewJob {
    /// The client's own id of this submission; empty when none.
    pub guid: String,
    /// 0 is the most urgent, 9 the least.
    pub priority: i64,
    /// The `<Job>` element as submitted.
    pub source: String,
    pub task_name: String,
    /// `SQL`, `SQLCost`, `SQLRT` or `Merge`.
    pub task_type: String,
    pub query: String,
    pub settings: Vec<(String, String)>,
}

/// Which instances to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// `Running` (waiting ones included), `Terminated`, or of these `Failed` or `Cancelled`; anything else lists all.
    pub status: Option<String>,
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    /// Only instances of this account name.
    pub owner: Option<String>,
}

/// A job that runs now: what statements need to know.
pub(crate) struct JobContext {
    pub(crate) warehouse: Warehouse,
    pub(crate) instance: Instance,
    pub(crate) progress: Arc<Progress>,
    /// The processes of its user code.
    pub(crate) crew: Arc<Crew>,
}

/// What the last statement of a job gives back.
pub(crate) enum JobOutput {
    Text(String),
    Rows { columns: Vec<Column>, rows: SendableRecordBatchStream },
}

/// What runs in this process.
#[derive(Clone, Default)]
pub struct Jobs {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    running: Mutex<HashMap<String, Running>>,
    /// Held from a claim in the database to the entry in `running`, so that shutdown misses no claim.
    claiming: tokio::sync::Mutex<()>,
    /// Something was submitted or a place became free.
    wake: Notify,
    /// An instance ended.
    ended: Notify,
}

#[derive(Clone)]
struct Running {
    attempt: i64,
    stop: CancellationToken,
    progress: Arc<Progress>,
    crew: Arc<Crew>,
}

impl Jobs {
    fn running(&self, instance_id: &str) -> Option<Running> {
        self.inner.running.lock().get(instance_id).cloned()
    }
}

impl Warehouse {
    /// Writes the instance and returns it; it runs later. A known `guid` returns the instance of that `guid`.
    ///
    /// The instance survives a crash once this returns.
    pub async fn submit(&self, owner: &str, project: &str, job: NewJob) -> Result<Instance> {
        let settings: serde_json::Map<String, serde_json::Value> =
            job.settings.into_iter().map(|(k, v)| (k, serde_json::Value::String(v))).collect();
        let instance = Instance {
            id: id::instance_id(),
            project: project.to_string(),
            owner: owner.to_string(),
            guid: job.guid,
            priority: job.priority.clamp(0, 9),
            source: job.source,
            task_name: job.task_name,
            task_type: job.task_type,
            query: job.query,
            settings: serde_json::Value::Object(settings).to_string(),
            state: InstanceState::Waiting,
            node: String::new(),
            attempt: 0,
            step: 0,
            stop_requested: false,
            submitted_ms: clock::now_ms(),
            started_ms: None,
            ended_ms: None,
            is_select: false,
            result_columns: None,
            result_inline: None,
            result_path: None,
            result_rows: 0,
            error: None,
            summary: "{}".to_string(),
        };
        failpoint::hit("submit.before_row");
        let (instance, existed) = self.meta.create_instance(&instance).await?;
        failpoint::hit("submit.after_row");
        if existed {
            tracing::info!(instance = %instance.id, "submitted again; the first submission stands");
        }
        self.jobs.inner.wake.notify_one();
        Ok(instance)
    }

    /// The instance as it is now.
    pub async fn instance(&self, project: &str, instance_id: &str) -> Result<Instance> {
        let missing = || {
            let text = format!("instance {instance_id} of project {project} does not exist");
            Error::new(Kind::NotFound, "NoSuchObject", text)
        };
        self.meta.instance(project, instance_id).await?.ok_or_else(missing)
    }

    /// Returns when the instance has ended, `limit` has passed or the server stops, whichever is first.
    pub async fn wait(&self, project: &str, instance_id: &str, limit: Duration) -> Result<Instance> {
        let deadline = Instant::now() + limit;
        let stop = self.tasks.stop_token();
        loop {
            let mut ended = std::pin::pin!(self.jobs.inner.ended.notified());
            // Registered before the state is read, so that an end in between is not missed.
            ended.as_mut().enable();
            let state = self.meta.instance_state(project, instance_id).await?;
            let over = state.is_none_or(|(s, _)| s.is_terminal());
            let left = deadline.saturating_duration_since(Instant::now());
            if over || left.is_zero() || stop.is_cancelled() {
                return self.instance(project, instance_id).await;
            }
            // Another process may run it: then nobody here is told of its end.
            let elsewhere = self.meta.is_shared() && self.jobs.running(instance_id).is_none();
            let left = if elsewhere { left.min(Duration::from_millis(200)) } else { left };
            tokio::select! {
                () = ended => {}
                () = stop.cancelled() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// Asks the instance to end; `InvalidStateSetting` when it has ended already.
    pub async fn stop(&self, project: &str, instance_id: &str) -> Result<()> {
        let instance = self.instance(project, instance_id).await?;
        if instance.state.is_terminal() || !self.meta.request_stop(instance_id).await? {
            let text = format!("instance {instance_id} has ended already ({:?})", instance.state);
            return Err(Error::new(Kind::Conflict, "InvalidStateSetting", text));
        }
        if let Some(running) = self.jobs.running(instance_id) {
            running.stop.cancel();
        }
        self.jobs.inner.ended.notify_waiters();
        Ok(())
    }

    /// Newest first, with the beginnings of their statements; `marker` is the last instance id seen.
    pub async fn list_instances(
        &self,
        project: &str,
        filter: JobFilter,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<Page<Instance>> {
        let class = match filter.status.as_deref() {
            Some("Running") => Some(StateClass::Running),
            Some("Terminated") => Some(StateClass::Terminal),
            Some("Failed") => Some(StateClass::Failed),
            Some("Cancelled") => Some(StateClass::Cancelled),
            // Nothing is ever suspended here.
            Some("Suspended") => return Ok(Page { items: Vec::new(), next: None }),
            _ => None,
        };
        let filter = InstanceFilter { class, from_ms: filter.from_ms, to_ms: filter.to_ms, owner: filter.owner };
        let mut rows = self.meta.list_instances(Some(project), &filter, marker, limit as i64 + 1).await?;
        if class == Some(StateClass::Running) && marker.is_none() {
            let waiting = InstanceFilter { class: Some(StateClass::Waiting), ..filter };
            let mut waiting = self.meta.list_instances(Some(project), &waiting, None, limit as i64 + 1).await?;
            waiting.extend(rows);
            rows = waiting;
        }
        Ok(Page::cut(rows, limit, |i| i.id.clone()))
    }

    /// At least one stage for an instance that has started.
    pub async fn progress(&self, instance: &Instance) -> Result<Vec<Stage>> {
        Ok(match self.jobs.running(&instance.id) {
            Some(running) if !instance.state.is_terminal() => running.progress.stages(),
            _ => Stage::of_summary(&instance.summary, instance.state),
        })
    }

    /// What the instance did or has done so far, as JSON: times, rows and bytes of its stages and of their operators. For
    /// one that waits or runs elsewhere it is empty.
    pub async fn profile(&self, instance: &Instance) -> Result<serde_json::Value> {
        Ok(match self.jobs.running(&instance.id) {
            Some(running) if !instance.state.is_terminal() => running.progress.profile(),
            _ => serde_json::from_str(&instance.summary).unwrap_or_else(|_| serde_json::json!({})),
        })
    }

    /// What the user code of the instance has written, the last of it.
    pub async fn worker_log(&self, instance: &Instance) -> Result<Vec<u8>> {
        match self.jobs.running(&instance.id) {
            Some(running) if !instance.state.is_terminal() => Ok(running.crew.log().bytes()),
            _ => results::read_log(self, instance).await,
        }
    }

    /// Place in the queue of a waiting instance, 1 is next; `None` when it does not wait.
    pub async fn queue_place(&self, instance: &Instance) -> Result<Option<usize>> {
        if instance.state != InstanceState::Waiting {
            return Ok(None);
        }
        Ok(feitian_sched::place(&self.inventory().await?, &instance.id))
    }

    /// The row set of a successful query.
    ///
    /// # Errors
    /// `InstanceTypeNotSupported` for statements without one, `InstanceNotTerminate` while it runs, the job's own error when
    /// it failed.
    pub async fn result(&self, instance: &Instance) -> Result<RowSet> {
        results::row_set(instance)
    }

    /// Rows of the result; `columns` selects by name, in the order of the result.
    pub async fn read_result(
        &self,
        instance: &Instance,
        range: RowRange,
        columns: Option<Vec<String>>,
    ) -> Result<(Vec<Column>, Batches)> {
        results::read(self, instance, range, columns).await
    }
}
