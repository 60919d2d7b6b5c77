//! What a job has done so far, statement by statement: its profile while it runs and after its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result as DfResult;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_plan::ExecutionPlan;
use feitian_base::clock;
use feitian_meta::InstanceState;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::stages::{End, OPERATORS, Outside, Sink, StageProfile, Stages, State, fingerprint};

/// Older stages of a job than these are not told.
const STAGES: usize = 200;
/// The stage of a job without a plan: clients want one.
const LONE_STAGE: &str = "M1_job_0";

/// One stage of a running or finished job. All counts are totals so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stage {
    /// Contains `_job_`: clients look for that.
    pub id: String,
    pub workers_total: u64,
    pub workers_running: u64,
    pub workers_done: u64,
    pub rows_in: u64,
    pub rows_out: u64,
    /// 0 to 100; below 100 until the stage has ended.
    pub percent: u64,
}

impl Stage {
    fn new(id: &str, is_done: bool, [total, running, done]: [u64; 3], [rows_in, rows_out]: [u64; 2]) -> Self {
        let share = (done * 100).checked_div(total).unwrap_or(0);
        let percent = if is_done { 100 } else { share.min(99) };
        let id = id.to_string();
        Self { id, workers_total: total, workers_running: running, workers_done: done, rows_in, rows_out, percent }
    }

    fn of(stage: &StageProfile) -> Self {
        let workers = [stage.workers as u64, stage.workers_running as u64, stage.workers_done as u64];
        Self::new(&stage.id, stage.state == State::Done, workers, [stage.rows_in, stage.rows_out])
    }

    /// The only stage of a job without any.
    fn lone(state: InstanceState, rows: [u64; 2]) -> Self {
        let workers = match state {
            InstanceState::Waiting => [1, 0, 0],
            InstanceState::Running => [1, 1, 0],
            _ => [1, 0, 1],
        };
        Self::new(LONE_STAGE, state.is_terminal(), workers, rows)
    }

    /// The stages of a job that does not run here: what its summary says.
    pub(super) fn of_summary(summary: &str, state: InstanceState) -> Vec<Self> {
        let summary: Value = serde_json::from_str(summary).unwrap_or_default();
        let number = |of: &Value, key: &str| of.get(key).and_then(Value::as_u64).unwrap_or(0);
        let one = |stage: &Value| {
            let text = |key: &str| stage.get(key).and_then(Value::as_str).unwrap_or_default();
            let workers = ["workers", "workers_running", "workers_done"].map(|key| number(stage, key));
            let rows = ["rows_in", "rows_out"].map(|key| number(stage, key));
            Self::new(text("id"), text("state") == "done", workers, rows)
        };
        match summary.get("stages").and_then(Value::as_array) {
            Some(stages) if !stages.is_empty() => stages.iter().map(one).collect(),
            _ => vec![Self::lone(state, ["rows_in", "rows_out"].map(|key| number(&summary, key)))],
        }
    }
}

/// What one job has done so far.
pub struct Progress {
    started: Instant,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    step: i64,
    /// Plans begun so far.
    jobs: usize,
    /// The plans of this statement, and of earlier ones whose rows are still to come.
    runs: Vec<Arc<Run>>,
    past: Past,
}

/// The plans of earlier statements.
#[derive(Default, Clone)]
struct Past {
    stages: Vec<StageProfile>,
    omitted_stages: usize,
    totals: Totals,
    /// Place and fingerprint of each.
    plans: Vec<(usize, u64)>,
}

#[derive(Default, Clone, Copy)]
struct Totals {
    table_rows: u64,
    table_bytes: u64,
    rows_out: u64,
}

impl Past {
    fn add(&mut self, run: &Run, now: Option<End>) {
        let stages = run.profiles(now);
        self.totals.table_rows += stages.iter().map(|s| s.table_rows).sum::<u64>();
        self.totals.table_bytes += stages.iter().map(|s| s.table_bytes).sum::<u64>();
        self.totals.rows_out += run.rows.load(Ordering::Relaxed);
        self.plans.push((run.job, run.fingerprint));
        self.stages.extend(stages);
        // A query whose rows come last began before the statements that follow it.
        self.stages.sort_by_key(|s| s.job);
        let omitted = self.stages.len().saturating_sub(STAGES);
        self.stages.drain(..omitted);
        self.omitted_stages += omitted;
        // What is too much goes from the beginning: what ran last is what people look for.
        let mut left = OPERATORS;
        for stage in self.stages.iter_mut().rev() {
            let shown = stage.operators.len().min(left);
            stage.omitted_operators += stage.operators.len() - shown;
            stage.operators.truncate(shown);
            left -= shown;
        }
    }

    fn plan_hash(&mut self) -> Option<String> {
        self.plans.sort_unstable();
        let mix = |hash: u64, (_, plan): &(usize, u64)| hash.rotate_left(5).wrapping_mul(0x0100_0000_01b3) ^ plan;
        (!self.plans.is_empty()).then(|| format!("{:016x}", self.plans.iter().fold(0, mix)))
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self { started: Instant::now(), log: Mutex::default() }
    }
}

impl Progress {
    /// Statement `step` begins, or begins again: what an earlier try of it did is forgotten, and of the plans of ended
    /// statements only the numbers stay, because a plan holds on to memory.
    pub(crate) fn begin_step(&self, step: i64) {
        let mut log = self.log.lock();
        log.step = step;
        let runs = std::mem::take(&mut log.runs);
        for run in runs {
            if run.step == step {
                log.jobs = log.jobs.min(run.job);
            } else if run.has_ended() {
                log.past.add(&run, None);
            } else {
                log.runs.push(run);
            }
        }
    }

    /// A plan of this statement begins; its operators' counters are read from here on.
    pub(crate) fn begin(&self, plan: &Arc<dyn ExecutionPlan>) -> Arc<Run> {
        let mut log = self.log.lock();
        log.runs.iter().for_each(|run| run.forget_plan());
        let run = Run::new(plan, log.jobs, log.step, None);
        log.jobs += 1;
        log.runs.push(run.clone());
        run
    }

    /// `plan` does the work of `failed`, which is forgotten: its rows go where those of `failed` would have gone.
    pub(crate) fn begin_again(&self, failed: &Arc<Run>, plan: &Arc<dyn ExecutionPlan>) -> Arc<Run> {
        let mut log = self.log.lock();
        let sink = failed.state.lock().sink.take();
        let run = Run::new(plan, failed.job, failed.step, sink);
        match log.runs.iter_mut().find(|run| Arc::ptr_eq(run, failed)) {
            Some(place) => *place = run.clone(),
            None => log.runs.push(run.clone()),
        }
        run
    }

    /// The rows of the plan begun last go into files of `table`.
    pub(crate) fn begin_sink(&self, table: String) {
        if let Some(run) = self.log.lock().runs.last() {
            run.state.lock().sink = Some(Sink { table, ..Sink::default() });
        }
    }

    /// All rows of the plan begun last are written, as `bytes` of files.
    pub(crate) fn end_sink(&self, bytes: i64) {
        if let Some(run) = self.log.lock().runs.last() {
            run.written(bytes.max(0) as u64);
        }
    }

    /// The stages now; one that stands for all when there is none.
    pub(super) fn stages(&self) -> Vec<Stage> {
        let now = self.now(None);
        if now.stages.is_empty() {
            return vec![Stage::lone(InstanceState::Running, [now.totals.table_rows, now.totals.rows_out])];
        }
        now.stages.iter().map(Stage::of).collect()
    }

    /// The profile of a job that runs.
    pub(super) fn profile(&self) -> Value {
        self.document(None, 0)
    }

    /// The profile that an ended job keeps. The plans go.
    pub(super) fn summary(&self, state: InstanceState, result_rows: i64) -> String {
        let end = End { at_ms: clock::now_ms(), ok: state == InstanceState::Success };
        let summary = self.document(Some(end), result_rows.max(0) as u64).to_string();
        let mut log = self.log.lock();
        for run in std::mem::take(&mut log.runs) {
            log.past.add(&run, Some(end));
        }
        summary
    }

    fn now(&self, end: Option<End>) -> Past {
        let (mut past, runs) = {
            let log = self.log.lock();
            (log.past.clone(), log.runs.clone())
        };
        runs.iter().for_each(|run| past.add(run, end));
        past
    }

    fn document(&self, end: Option<End>, result_rows: u64) -> Value {
        let mut now = self.now(end);
        let mut document = json!({
            "elapsed_ms": self.started.elapsed().as_millis() as u64,
            "rows_in": now.totals.table_rows,
            "rows_out": now.totals.rows_out.max(result_rows),
            "input_bytes": now.totals.table_bytes,
            "stages": now.stages,
        });
        if let Some(hash) = now.plan_hash() {
            document["plan_hash"] = Value::String(hash);
        }
        if now.omitted_stages > 0 {
            document["omitted_stages"] = Value::from(now.omitted_stages);
        }
        document
    }
}

/// One plan of a job, from its start.
pub(crate) struct Run {
    job: usize,
    step: i64,
    fingerprint: u64,
    /// Rows that have left the plan.
    rows: AtomicU64,
    /// How long the plan waited for those who take its rows.
    busy_us: AtomicU64,
    state: Mutex<RunState>,
}

struct RunState {
    stages: What,
    started_ms: i64,
    /// When the last row left the plan.
    drained: Option<Instant>,
    sink: Option<Sink>,
    end: Option<End>,
}

enum What {
    Plan(Stages),
    /// It has ended: its numbers stay.
    Numbers(Vec<StageProfile>),
}

impl Run {
    /// The `job`-th plan of an instance, which is of statement `step`.
    fn new(plan: &Arc<dyn ExecutionPlan>, job: usize, step: i64, sink: Option<Sink>) -> Arc<Self> {
        let stages = What::Plan(Stages::cut(plan, job, step));
        Arc::new(Self {
            job,
            step,
            fingerprint: fingerprint(plan),
            rows: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
            state: Mutex::new(RunState { stages, started_ms: clock::now_ms(), drained: None, sink, end: None }),
        })
    }

    /// The rows of `stream`, which is this plan's, are counted from here on.
    pub(crate) fn counted(self: Arc<Self>, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        Box::pin(Counted { inner: stream, run: self, given: None })
    }

    fn has_ended(&self) -> bool {
        self.state.lock().end.is_some()
    }

    fn took(&self, wait: Duration) {
        self.busy_us.fetch_add(wait.as_micros() as u64, Ordering::Relaxed);
    }

    /// No more rows come; with a sink the end is when they are written.
    fn drained(&self, ok: bool) {
        let mut state = self.state.lock();
        state.drained = Some(Instant::now());
        if state.sink.is_none() || !ok {
            state.end.get_or_insert(End { at_ms: clock::now_ms(), ok });
        }
    }

    fn written(&self, bytes: u64) {
        let mut state = self.state.lock();
        if let Some(drained) = state.drained {
            self.took(drained.elapsed());
        }
        if let Some(sink) = &mut state.sink {
            sink.bytes = bytes;
        }
        state.end.get_or_insert(End { at_ms: clock::now_ms(), ok: true });
    }

    /// The stages now. `end` is the job's, for a plan that it cut short.
    fn profiles(&self, end: Option<End>) -> Vec<StageProfile> {
        self.state.lock().profiles(self, end)
    }

    /// Lets go of a plan that has ended.
    pub(crate) fn forget_plan(&self) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            state.stages = What::Numbers(state.profiles(self, None));
        }
    }
}

impl RunState {
    fn profiles(&self, run: &Run, end: Option<End>) -> Vec<StageProfile> {
        let stages = match &self.stages {
            What::Plan(stages) => stages,
            What::Numbers(numbers) => return numbers.clone(),
        };
        let busy_us = run.busy_us.load(Ordering::Relaxed);
        stages.read(&Outside {
            started_ms: self.started_ms,
            rows: run.rows.load(Ordering::Relaxed),
            sink: self.sink.clone().map(|sink| Sink { busy_us, ..sink }),
            end: self.end.or(end),
        })
    }
}

/// The rows of a plan on their way out.
struct Counted {
    inner: SendableRecordBatchStream,
    run: Arc<Run>,
    /// When the last batch was given away.
    given: Option<Instant>,
}

impl Stream for Counted {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(given) = self.given.take() {
            self.run.took(given.elapsed());
        }
        let next = ready!(self.inner.poll_next_unpin(cx));
        match &next {
            Some(Ok(batch)) => {
                self.run.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                self.given = Some(Instant::now());
            }
            Some(Err(_)) => self.run.drained(false),
            None => self.run.drained(true),
        }
        Poll::Ready(next)
    }
}

impl RecordBatchStream for Counted {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}
