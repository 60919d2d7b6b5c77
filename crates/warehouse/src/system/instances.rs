//! `sys.instances`: one row for each job, for as long as it is remembered.

use std::collections::VecDeque;
use std::sync::Arc;

use feitian_base::Result;
use feitian_meta::{
    Instance, InstanceFilter, InstanceParts, InstancePlace, InstanceScan, InstanceState, Meta, StateClass,
};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::column::{Cell, Col, Type, may, must};
use super::viewer::Viewer;
use super::{Pages, Reading};

/// The texts of one page are at most so many bytes, or one row of each scope.
const PAGE_BYTES: i64 = 8 << 20;

/// Of many scopes, each brings so many rows at once.
const SCOPE_ROWS: i64 = 100;

/// The columns that are made of texts, which may be long.
const TEXTS: [&str; 4] = ["error_code", "error", "operation_text", "settings"];

/// The columns that the place of a job gives.
const PLACE: [&str; 2] = ["instance_id", "submit_time"];

/// How much of each job the wanted columns need.
pub(super) fn parts(reading: &Reading) -> InstanceParts {
    if reading.wants(&TEXTS) {
        InstanceParts::Texts
    } else if reading.wants_only(&PLACE) {
        InstanceParts::Place
    } else {
        InstanceParts::Thin
    }
}

/// A job, and when it was looked at.
pub(super) struct Row {
    job: Instance,
    now_ms: i64,
}

impl Row {
    /// From submission to start; for one that waits until now.
    fn wait_ms(&self) -> i64 {
        let until = self.job.started_ms.or(self.job.ended_ms).unwrap_or(self.now_ms);
        (until - self.job.submitted_ms).max(0)
    }

    /// From start to end; for one that runs until now.
    fn run_ms(&self) -> Option<i64> {
        let started = self.job.started_ms?;
        // A job that was sent back into the queue has a start and waits.
        if self.job.state == InstanceState::Waiting {
            return None;
        }
        Some((self.job.ended_ms.unwrap_or(self.now_ms) - started).max(0))
    }

    fn result_rows(&self) -> Option<i64> {
        (self.job.is_select && self.job.state == InstanceState::Success).then_some(self.job.result_rows)
    }
}

/// `ODPS-0130131` of `ODPS-0130131:[1,15] Table not found - …`.
fn code(error: &str) -> Option<&str> {
    let digits = error.strip_prefix("ODPS-")?.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| &error[.."ODPS-".len() + digits])
}

fn start(row: &Row) -> Cell<'_> {
    if row.job.state == InstanceState::Waiting { Cell::Null } else { row.job.started_ms.into() }
}

impl Pages for Instances {
    type Row = Row;

    const COLUMNS: &'static [Col<Row>] = &[
        must("project", Type::Text, "Project that the job was submitted to.", |r| (&r.job.project).into()),
        must("instance_id", Type::Text, "Id of the instance.", |r| (&r.job.id).into()),
        must("owner", Type::Text, "Account that submitted it.", |r| (&r.job.owner).into()),
        must("task_name", Type::Text, "Name of its task.", |r| (&r.job.task_name).into()),
        must("task_type", Type::Text, "SQL, SQLCost, SQLRT or Merge.", |r| (&r.job.task_type).into()),
        must("status", Type::Text, "Waiting, Running, Success, Failed or Cancelled.", |r| r.job.state.as_str().into()),
        must("priority", Type::Int, "0 is the most urgent, 9 the least.", |r| r.job.priority.into()),
        must("submit_time", Type::Time, "When it was submitted.", |r| r.job.submitted_ms.into()),
        may("start_time", Type::Time, "When its last attempt started; NULL while it waits.", start),
        may("end_time", Type::Time, "When it ended; NULL before.", |r| r.job.ended_ms.into()),
        must("wait_ms", Type::Int, "Milliseconds in the queue, up to now for one that waits.", |r| r.wait_ms().into()),
        may("run_ms", Type::Int, "Milliseconds from start to end, up to now for one that runs.", |r| r.run_ms().into()),
        may("result_rows", Type::Int, "Rows of the result; NULL without a result.", |r| r.result_rows().into()),
        may("error_code", Type::Text, "Code of the error, such as ODPS-0130131; NULL without an error.", |r| {
            r.job.error.as_deref().and_then(code).into()
        }),
        may("error", Type::Text, "Text of the error; NULL without an error.", |r| r.job.error.as_ref().into()),
        must("operation_text", Type::Text, "The SQL that was submitted.", |r| (&r.job.query).into()),
        must("settings", Type::Text, "Settings of the job, a JSON object.", |r| (&r.job.settings).into()),
    ];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Row>>>> {
        async move {
            let now_ms = self.viewer.now_ms;
            let page = self.page().await?;
            Ok(page.map(|jobs| jobs.into_iter().map(|job| Row { job, now_ms }).collect()))
        }
        .boxed()
    }
}

/// Jobs of one project, or of all.
struct Scope {
    project: Option<String>,
    /// Read and not yet given out, newest first.
    read: VecDeque<Instance>,
    /// Where the last page ended.
    after: Option<InstancePlace>,
}

impl Scope {
    fn newest(&self) -> Option<(i64, &str)> {
        self.read.front().map(|job| (job.submitted_ms, job.id.as_str()))
    }
}

/// Reads the jobs that a viewer may see, newest first.
pub(super) struct Instances {
    meta: Meta,
    viewer: Arc<Viewer>,
    /// The one that is asked for.
    one: Option<String>,
    /// Those that may have more.
    scopes: Vec<Scope>,
    scan: InstanceScan,
    page: i64,
}

impl Instances {
    pub(super) fn new(reading: &Reading, parts: InstanceParts) -> Self {
        let (ask, viewer) = (&reading.ask, reading.viewer.clone());
        let scopes =
            if ask.nothing || !viewer.sees_jobs { VecDeque::new() } else { viewer.scopes(ask.equal("project")) };
        let filter = InstanceFilter {
            class: ask.class(),
            from_ms: ask.from_ms,
            to_ms: ask.to_ms,
            owner: ask.equal("owner").map(str::to_string),
        };
        Self {
            meta: reading.warehouse.meta().clone(),
            viewer,
            one: ask.equal("instance_id").map(str::to_string),
            scopes: scopes.into_iter().map(|project| Scope { project, read: VecDeque::new(), after: None }).collect(),
            scan: InstanceScan { project: None, filter, parts },
            page: reading.page_rows,
        }
    }

    /// The next jobs; `None` at the end.
    pub(super) async fn page(&mut self) -> Result<Option<Vec<Instance>>> {
        if let Some(id) = &self.one {
            let scopes = std::mem::take(&mut self.scopes);
            if scopes.is_empty() {
                return Ok(None);
            }
            let found = self.meta.instance_with_id(id).await?;
            return Ok(Some(found.into_iter().filter(|i| self.fits(&scopes, i)).collect()));
        }
        self.fill().await?;
        let mut jobs = Vec::new();
        while (jobs.len() as i64) < self.page {
            let newest = self.scopes.iter_mut().max_by(|a, b| a.newest().cmp(&b.newest()));
            let Some(scope) = newest else { break };
            jobs.extend(scope.read.pop_front());
            if scope.read.is_empty() {
                // What comes next may be among what has not been read.
                break;
            }
        }
        Ok(Some(jobs).filter(|jobs| !jobs.is_empty()))
    }

    /// How many jobs there are; that a job is asked for by its id is not looked at.
    async fn count(&mut self) -> Result<i64> {
        let mut jobs = 0;
        for scope in &self.scopes {
            self.scan.project.clone_from(&scope.project);
            jobs += self.meta.count_instances(&self.scan).await?;
        }
        Ok(jobs)
    }

    /// Reads on where everything has been given out; a scope that brings nothing is over.
    async fn fill(&mut self) -> Result<()> {
        let share = self.scopes.len().max(1) as i64;
        let rows = (self.page / share).max(SCOPE_ROWS).min(self.page);
        for scope in self.scopes.iter_mut().filter(|s| s.read.is_empty()) {
            self.scan.project.clone_from(&scope.project);
            let page = self.meta.scan_instances(&self.scan, scope.after.as_ref(), rows, PAGE_BYTES / share).await?;
            scope.after = page.last().map(|job| (job.submitted_ms, job.id.clone()));
            scope.read = page.into();
        }
        self.scopes.retain(|s| !s.read.is_empty());
        Ok(())
    }

    /// True if a job that was found by its id is one that the viewer may see, and what else is asked for.
    fn fits(&self, scopes: &[Scope], job: &Instance) -> bool {
        let InstanceFilter { class, from_ms, to_ms, owner } = &self.scan.filter;
        let in_class = match class {
            Some(StateClass::Waiting) => job.state == InstanceState::Waiting,
            Some(StateClass::Running) => job.state == InstanceState::Running,
            Some(StateClass::Terminal) => job.state.is_terminal(),
            Some(StateClass::Failed) => job.state == InstanceState::Failed,
            Some(StateClass::Cancelled) => job.state == InstanceState::Cancelled,
            None => true,
        };
        self.viewer.sees(&job.project)
            && scopes.iter().any(|s| s.project.as_ref().is_none_or(|project| *project == job.project))
            && from_ms.is_none_or(|from| job.submitted_ms >= from)
            && to_ms.is_none_or(|to| job.submitted_ms < to)
            && owner.as_ref().is_none_or(|owner| *owner == job.owner)
            && in_class
    }
}

/// So many jobs are counted in one batch: expressions over them make columns of that length.
const COUNTED: i64 = 8192;

/// Counts the jobs that a viewer may see, for queries that want no column of them.
pub(super) struct Count {
    jobs: Instances,
    /// Those that have not been told yet; `None` until they are counted.
    left: Option<i64>,
}

impl Count {
    pub(super) fn new(reading: &Reading) -> Self {
        Self { jobs: Instances::new(reading, InstanceParts::Place), left: None }
    }
}

impl Pages for Count {
    type Row = ();

    const COLUMNS: &'static [Col<()>] = &[];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<()>>>> {
        async move {
            let left = match self.left {
                Some(left) => left,
                None => self.jobs.count().await?,
            };
            let told = left.clamp(0, COUNTED);
            self.left = Some(left - told);
            Ok(Some(vec![(); told as usize]).filter(|rows| !rows.is_empty()))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The shape of failure texts: PyODPS odps/errors.py splits them at `:` and takes what begins with `ODPS-`.
    #[test]
    fn the_code_of_an_error_is_its_front() {
        assert_eq!(code("ODPS-0130131:[1,15] Table not found - table p.t"), Some("ODPS-0130131"));
        for without in ["ODPS-", "ODPS-x", "Table not found", ""] {
            assert_eq!(code(without), None, "{without}");
        }
    }
}
