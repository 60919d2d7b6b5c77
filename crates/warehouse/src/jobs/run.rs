//! One instance from its claim to its end.

use std::sync::Arc;
use std::time::Duration;

use feitian_base::{Error, Kind, Result, clock, failpoint};
use feitian_meta::{Instance, InstanceState, Outcome, Step};
use feitian_udf::Crew;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{JobContext, JobOutput, Progress, Running, results};
use crate::Warehouse;

/// User code that ends with its job, however that ends: other parts of a plan that failed may still be in it.
struct Ending(Arc<Crew>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Between two attempts to write the end of a job.
const END_RETRY: Duration = Duration::from_secs(1);

impl Warehouse {
    /// Runs a claimed instance in the background.
    pub(super) fn start(&self, instance: Instance) {
        let stop = CancellationToken::new();
        let progress = Arc::new(Progress::default());
        let crew = Arc::<Crew>::default();
        let running =
            Running { attempt: instance.attempt, stop: stop.clone(), progress: progress.clone(), crew: crew.clone() };
        self.jobs.inner.running.lock().insert(instance.id.clone(), running);
        let span = tracing::info_span!("job", instance = %instance.id, project = %instance.project);
        let warehouse = self.clone();
        let work = async move { warehouse.run_to_end(instance, stop, progress, crew).await };
        self.tasks.spawn("job", work.instrument(span));
    }

    async fn run_to_end(&self, instance: Instance, stop: CancellationToken, progress: Arc<Progress>, crew: Arc<Crew>) {
        let ended = self.run_cancellable(&instance, &stop, &progress, &crew).await;
        // Shutdown took the claim back: the next process runs it.
        let ours = self.jobs.running(&instance.id).is_some();
        if ours {
            failpoint::hit("job.before_finish");
            let (state, mut outcome) = match ended {
                Ok(outcome) => (InstanceState::Success, outcome),
                Err(e) => {
                    if e.kind() == Kind::Internal {
                        tracing::error!(error = ?e, "the job failed by a fault of ours");
                    }
                    let state =
                        if e.kind() == Kind::Cancelled { InstanceState::Cancelled } else { InstanceState::Failed };
                    (state, Outcome { error: Some(failure_text(&e)), ..Outcome::default() })
                }
            };
            outcome.summary = progress.summary(state, outcome.result_rows);
            results::store_log(self, &instance, crew.log().bytes()).await;
            self.write_end(&instance, state, &outcome).await;
        }
        self.jobs.inner.running.lock().remove(&instance.id);
        self.jobs.inner.ended.notify_waiters();
        self.jobs.inner.wake.notify_one();
    }

    /// Writes how the job ended. A full disk or a database that is away is waited for: a job whose end nobody wrote runs
    /// for ever in the eyes of its client.
    async fn write_end(&self, instance: &Instance, state: InstanceState, outcome: &Outcome) {
        while self.jobs.running(&instance.id).is_some() {
            match self.meta.finish_instance(&instance.id, instance.attempt, state, outcome, clock::now_ms()).await {
                Ok(true) => return,
                Ok(false) => return tracing::warn!("another attempt has taken this job over"),
                Err(e) if e.kind() == Kind::Unavailable => {
                    tracing::error!(error = ?e, "the end of the job could not be written; trying again");
                    tokio::time::sleep(END_RETRY).await;
                }
                Err(e) => {
                    tracing::error!(error = ?e, "the end of the job could not be written; a restart runs it again");
                    return;
                }
            }
        }
    }

    async fn run_cancellable(
        &self,
        instance: &Instance,
        stop: &CancellationToken,
        progress: &Arc<Progress>,
        crew: &Arc<Crew>,
    ) -> Result<Outcome> {
        let (warehouse, progress) = (self.clone(), progress.clone());
        let instance = instance.clone();
        let span = tracing::Span::current();
        let crew = Ending(crew.clone());
        let ours = crew.0.clone();
        let work = async move { warehouse.run_job(instance, progress, ours).await };
        let mut task = self.engine.runtime().spawn(work.instrument(span));
        let cancelled =
            || Error::new(Kind::Cancelled, "ODPS-0123105", "ODPS-0123105:[0,0] Job got killed - stopped on request");
        tokio::select! {
            ended = &mut task => match ended {
                Ok(result) => result,
                Err(e) if e.is_cancelled() => Err(cancelled()),
                Err(e) => Err(panicked(e)),
            },
            () = stop.cancelled() => {
                // A thread that waits for user code hears nothing else.
                crew.0.stop();
                // Dropping the plan frees its memory and spill files; wait, so that they are gone when we say so.
                task.abort();
                let _ = task.await;
                Err(cancelled())
            }
        }
    }

    async fn run_job(&self, instance: Instance, progress: Arc<Progress>, crew: Arc<Crew>) -> Result<Outcome> {
        let instance = self.resume(instance).await?;
        let ctx = JobContext { warehouse: self.clone(), instance, progress, crew };
        failpoint::hit("job.operator");
        Ok(match crate::query::run(&ctx).await? {
            JobOutput::Text(text) => Outcome { result_inline: Some(text.into_bytes()), ..Outcome::default() },
            JobOutput::Rows { columns, rows } => results::store(&ctx, columns, rows).await?,
        })
    }

    /// Completes what an earlier attempt had begun to commit, so that no statement takes effect twice.
    async fn resume(&self, instance: Instance) -> Result<Instance> {
        let left = self.meta.commit_records_of(&instance.id).await?;
        let last = left.len().saturating_sub(1);
        for (i, record) in left.iter().enumerate() {
            let own = Step::Instance { id: instance.id.clone(), attempt: instance.attempt, step: record.step };
            let step = if i == last { own } else { Step::None };
            match self.catalog.roll_forward(record, &step).await {
                Ok(()) => {}
                // Given up, and the records after it are gone as well or are for the statement, which runs again.
                Err(e) if e.kind() == Kind::Conflict => break,
                Err(e) => return Err(e),
            }
        }
        // Others may have completed it, too, since this attempt claimed the instance.
        if left.is_empty() && instance.attempt <= 1 {
            return Ok(instance);
        }
        let now = self.instance(&instance.project, &instance.id).await?;
        // Still as this attempt: if another node has begun one, this one is refused wherever it writes.
        Ok(Instance { attempt: instance.attempt, ..now })
    }
}

/// The text that a failed job's result shows after `FAILED: `.
fn failure_text(e: &Error) -> String {
    if e.message().starts_with("ODPS-") {
        return e.message().to_string();
    }
    let message = e.message();
    match (e.code().starts_with("ODPS-"), e.kind()) {
        (true, _) => format!("{}:[0,0] {message}", e.code()),
        // A full disk, or a database that is away: the same job works later.
        (false, Kind::Unavailable) => format!("ODPS-0123144:[0,0] Fuxi job failed - {message}"),
        (false, Kind::Corrupt | Kind::Internal) => format!("ODPS-0010000:[0,0] System internal error - {message}"),
        (false, _) => message.to_string(),
    }
}

fn panicked(e: tokio::task::JoinError) -> Error {
    let text = match e.try_into_panic() {
        Ok(payload) => match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(s), _) => (*s).to_string(),
            (_, Some(s)) => s.clone(),
            _ => "a panic".to_string(),
        },
        Err(e) => e.to_string(),
    };
    let text = format!("ODPS-0010000:[0,0] System internal error - {text}; only this job is affected");
    Error::new(Kind::Internal, "ODPS-0010000", text)
}
