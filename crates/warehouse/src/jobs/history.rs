//! What the page of a job says about its surroundings: what it waits for, and how the same SQL went before.

use feitian_base::Result;
use feitian_meta::Instance;

use crate::Warehouse;

/// How many jobs run, and how many may at once: what a waiting job waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueLoad {
    /// Jobs of the project that run, in every process.
    pub project_running: usize,
    pub project_limit: usize,
    /// Jobs of any project that run in this process.
    pub process_running: usize,
    pub process_limit: usize,
}

impl Warehouse {
    /// The limits on jobs that run at once, as they stand for `project`.
    pub async fn queue_load(&self, project: &str) -> Result<QueueLoad> {
        let running = self.meta.running_counts().await?;
        Ok(QueueLoad {
            project_running: running.get(project).map_or(0, |n| usize::try_from(*n).unwrap_or(0)),
            project_limit: self.config.running_per_project,
            process_running: self.jobs.inner.running.lock().len(),
            process_limit: self.config.running_total,
        })
    }

    /// The newest ended instance of the project with the same SQL that was submitted before `instance`, without
    /// `result_columns` and `result_inline`.
    pub async fn earlier_run(&self, instance: &Instance) -> Result<Option<Instance>> {
        self.meta.earlier_run(instance).await
    }
}
