//! The loop that starts waiting instances, and the housekeeping of instances and sessions.

use std::collections::BTreeMap;
use std::time::Duration;

use feitian_base::{Result, clock, failpoint};
use feitian_meta::Instance;
use feitian_sched::{Inventory, Policy, Waiting, plan};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::Warehouse;

/// So many waiting instances are looked at; the rest wait unseen behind them.
const LOOK_AHEAD: i64 = 10_000;
/// A process that has not been heard of for this long is taken for dead.
const NODE_LOST: Duration = Duration::from_secs(15);
const BEAT: Duration = Duration::from_secs(3);
const HOUSEKEEPING: Duration = Duration::from_secs(600);
const FIRST_HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Old instances are forgotten batch by batch with so long a pause, in which others write.
const EXPIRY_PAUSE: Duration = Duration::from_millis(50);
/// A commit record that has been open for so long was left by somebody.
const RECORD_LEFT: Duration = Duration::from_secs(600);
/// Ended instances are remembered this long.
const HISTORY: Duration = Duration::from_secs(30 * 24 * 3600);

impl Warehouse {
    /// Queues again what a dead process left running, then starts taking jobs.
    pub(crate) async fn start_jobs(&self) -> Result<()> {
        let node = &self.config.node;
        if self.meta.is_shared() {
            self.meta.beat(node, clock::now_ms()).await?;
            self.meta.requeue_node(node).await?;
            let beating = self.clone();
            self.tasks.spawn("heartbeat", async move { beating.beat_loop().await });
        } else {
            // Only one process can have this directory, so everything that runs was left by a dead one.
            let left = self.meta.requeue_lost(&[]).await?;
            if left > 0 {
                tracing::info!(instances = left, "queued again after a restart");
            }
        }
        let queue = self.clone();
        self.tasks.spawn("job-queue", async move { queue.queue_loop().await });
        let housekeeping = self.clone();
        self.tasks.spawn("housekeeping", async move { housekeeping.housekeeping_loop().await });
        let joining = self.clone();
        self.tasks.spawn("join-files", async move { joining.join_loop().await });
        let ending = self.clone();
        self.tasks.spawn("lifecycle", async move { ending.lifecycle_loop().await });
        Ok(())
    }

    /// Stops what runs here and queues it again.
    pub(crate) async fn stop_jobs(&self) {
        self.tasks.stop_token().cancel();
        // A claim that has begun is among those below; none begins after this.
        let _claiming = self.jobs.inner.claiming.lock().await;
        let running: Vec<_> = self.jobs.inner.running.lock().drain().collect();
        for (id, job) in running {
            // The claim goes back first: the task that is cancelled then has nothing to finish.
            if let Err(e) = self.meta.requeue(&id, job.attempt).await {
                tracing::warn!(instance = %id, error = ?e, "not queued again; the next start does it");
            }
            job.stop.cancel();
        }
        if self.meta.is_shared() {
            let _ = self.meta.remove_node(&self.config.node).await;
        }
        self.jobs.inner.ended.notify_waiters();
    }

    async fn queue_loop(&self) {
        let stop = self.tasks.stop_token();
        while !stop.is_cancelled() {
            if self.meta.is_shared()
                && let Err(e) = self.hear_stops().await
            {
                tracing::warn!(error = ?e, "jobs that other processes were asked to stop go on for now");
            }
            if let Err(e) = self.start_planned().await {
                tracing::warn!(error = ?e, "the queue could not be read");
            }
            let wake = self.jobs.inner.wake.notified();
            // Other processes do not wake us.
            let poll = Duration::from_millis(if self.meta.is_shared() { 500 } else { 10_000 });
            tokio::select! {
                () = wake => {}
                () = tokio::time::sleep(poll) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Who waits and who runs, now.
    pub(super) async fn inventory(&self) -> Result<Inventory> {
        let as_waiting =
            |i: Instance| Waiting { id: i.id, project: i.project, priority: i.priority, submitted_ms: i.submitted_ms };
        let waiting: Vec<Waiting> = self.meta.waiting(LOOK_AHEAD).await?.into_iter().map(as_waiting).collect();
        let running = match waiting.is_empty() {
            true => BTreeMap::new(),
            false => self.meta.running_counts().await?.into_iter().map(|(p, n)| (p, n.max(0) as usize)).collect(),
        };
        Ok(Inventory { waiting, running, running_here: self.jobs.inner.running.lock().len() })
    }

    async fn start_planned(&self) -> Result<()> {
        let inventory = self.inventory().await?;
        let policy = Policy { per_project: self.config.running_per_project, total_here: self.config.running_total };
        for id in plan(&inventory, &policy) {
            let _claiming = self.jobs.inner.claiming.lock().await;
            if self.tasks.is_stopping() {
                break;
            }
            if let Some(instance) = self.meta.claim(&id, &self.config.node, clock::now_ms()).await? {
                failpoint::hit("job.claimed");
                self.start(instance);
            }
        }
        Ok(())
    }

    /// Stops what runs here and another process was asked to stop.
    async fn hear_stops(&self) -> Result<()> {
        if self.jobs.inner.running.lock().is_empty() {
            return Ok(());
        }
        for id in self.meta.stops_requested().await? {
            if let Some(running) = self.jobs.running(&id) {
                running.stop.cancel();
            }
        }
        Ok(())
    }

    async fn beat_loop(&self) {
        let stop = self.tasks.stop_token();
        while !stop.is_cancelled() {
            if let Err(e) = self.beat_once().await {
                tracing::warn!(error = ?e, "heartbeat failed");
            }
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn beat_once(&self) -> Result<()> {
        let now = clock::now_ms();
        self.meta.beat(&self.config.node, now).await?;
        let live = self.meta.live_nodes(now - NODE_LOST.as_millis() as i64).await?;
        if self.meta.requeue_lost(&live).await? > 0 {
            self.jobs.inner.wake.notify_one();
        }
        Ok(())
    }

    async fn housekeeping_loop(&self) {
        let stop = self.tasks.stop_token();
        // Soon at first, so that a server which is often started again keeps house too.
        let mut wait = FIRST_HOUSEKEEPING;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
            wait = HOUSEKEEPING;
            if let Err(e) = self.housekeeping().await {
                tracing::warn!(error = ?e, "housekeeping failed; it is tried again later");
            }
        }
    }

    /// Carries out commits that were left, forgets old instances, sessions and keys, and removes files that nothing refers
    /// to.
    async fn housekeeping(&self) -> Result<()> {
        let now = clock::now_ms();
        // What a dead process left beside others that live is not to wait for its restart.
        self.complete_commits(now - RECORD_LEFT.as_millis() as i64).await?;
        self.expire_history(now - HISTORY.as_millis() as i64).await?;
        self.meta.delete_expired_keys(now).await?;
        let gone = self.collect(Duration::from_secs(24 * 3600)).await?;
        if gone > 0 {
            tracing::info!(files = gone, "collected");
        }
        Ok(())
    }

    /// Forgets the instances that ended before `before_ms`, with their results. Whatever there is of them, each step is
    /// short.
    async fn expire_history(&self, before_ms: i64) -> Result<()> {
        let stop = self.tasks.stop_token();
        while !stop.is_cancelled() {
            let batch = self.meta.expire_instances(before_ms).await?;
            if batch.is_empty() {
                break;
            }
            for path in batch.into_iter().filter_map(|(_, path)| path) {
                // A result that stays is collected as one that no instance names.
                let _ = self.catalog.store().delete(&Path::from(path)).await;
            }
            tokio::time::sleep(EXPIRY_PAUSE).await;
        }
        Ok(())
    }
}
