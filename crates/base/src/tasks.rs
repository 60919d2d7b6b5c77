//! Background work with an owner: every task has a name, is counted, and ends when its owner says so.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts named background tasks and waits for them at shutdown. Cheap to clone; clones share one set of tasks.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    running: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The token that tells every task to finish what it does and return.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// True once [`Tasks::shutdown`] has begun.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Runs `work` in the background under `name`. The task must watch [`Tasks::stop_token`] if it waits for anything.
    pub fn spawn<F>(&self, name: impl Into<String>, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (name, running) = (name.into(), self.running.clone());
        *running.lock().entry(name.clone()).or_default() += 1;
        let guard = Running { name, running };
        self.tracker.spawn(async move {
            let _guard = guard;
            work.await
        })
    }

    /// Names of the tasks that run now, with how many of each.
    pub fn running(&self) -> BTreeMap<String, usize> {
        self.running.lock().clone()
    }

    /// Tells every task to stop and waits until all have, or until `limit` passes. Returns the names still running.
    pub async fn shutdown(&self, limit: std::time::Duration) -> BTreeMap<String, usize> {
        self.stop.cancel();
        self.tracker.close();
        let _ = tokio::time::timeout(limit, self.tracker.wait()).await;
        self.running()
    }
}

struct Running {
    name: String,
    running: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        if let Some(n) = running.get_mut(&self.name) {
            *n -= 1;
            if *n == 0 {
                running.remove(&self.name);
            }
        }
    }
}
