//! What the page of a job says about its surroundings: what it waits for, and how the same SQL went before.

use feitian_base::Result;
use feitian_meta::{Access, Instance};

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
    /// `result_columns` and `result_inline`. None if it is somebody else's and the owner of `instance` may look at his own
    /// jobs only: whoever guesses a text must not learn how it went for others.
    pub async fn earlier_run(&self, instance: &Instance) -> Result<Option<Instance>> {
        let found = self.meta.earlier_run(instance).await?;
        let is_foreign = found.as_ref().is_some_and(|run| run.owner != instance.owner);
        if is_foreign && !self.owner_sees_all(instance).await? {
            return Ok(None);
        }
        Ok(found)
    }

    /// True if the owner of the job may look at every job of its project.
    async fn owner_sees_all(&self, instance: &Instance) -> Result<bool> {
        let Some(owner) = self.meta.account_by_name(&instance.owner).await? else { return Ok(false) };
        Ok(owner.admin || self.meta.access(&instance.project, &owner.id).await? == Access::Whole)
    }
}
