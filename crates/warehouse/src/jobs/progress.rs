//! How far a job is, from the engine's own counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use datafusion::physical_plan::{ExecutionPlan, displayable};
use feitian_meta::InstanceState;
use parking_lot::Mutex;
use serde_json::{Value, json};

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
    /// 0 to 100.
    pub percent: u64,
}

const STAGE: &str = "M1_job_0";

impl Stage {
    fn new(ended: bool, rows_in: u64, rows_out: u64) -> Self {
        let (workers_running, workers_done) = if ended { (0, 1) } else { (1, 0) };
        let percent = if ended { 100 } else { 0 };
        Self { id: STAGE.to_string(), workers_total: 1, workers_running, workers_done, rows_in, rows_out, percent }
    }

    /// The stage of a job that does not run here: what its summary says.
    pub(super) fn from_summary(summary: &str, state: InstanceState) -> Self {
        let summary: Value = serde_json::from_str(summary).unwrap_or_default();
        let number = |key: &str| summary.get(key).and_then(Value::as_u64).unwrap_or(0);
        match state {
            InstanceState::Waiting => Self { workers_running: 0, ..Self::new(false, 0, 0) },
            state => Self::new(state.is_terminal(), number("rows_in"), number("rows_out")),
        }
    }
}

/// What one running job has done so far.
pub struct Progress {
    started: Instant,
    plan: Mutex<Option<Arc<dyn ExecutionPlan>>>,
    rows_out: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { started: Instant::now(), plan: Mutex::default(), rows_out: AtomicU64::new(0) }
    }
}

impl Progress {
    /// The plan that runs now; its operators' counters are read from here on.
    pub(crate) fn set_plan(&self, plan: Arc<dyn ExecutionPlan>) {
        *self.plan.lock() = Some(plan);
    }

    /// Counts rows of the result or rows written.
    pub(crate) fn add_rows(&self, n: u64) {
        self.rows_out.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn stage(&self, ended: bool) -> Stage {
        let rows_in = self.plan.lock().as_ref().map_or(0, rows_read);
        Stage::new(ended, rows_in, self.rows_out.load(Ordering::Relaxed))
    }

    /// The summary JSON that an ended job keeps.
    pub(super) fn summary(&self, result_rows: i64) -> String {
        let plan = self.plan.lock().take();
        let rows_out = self.rows_out.load(Ordering::Relaxed).max(result_rows.max(0) as u64);
        let mut operators = Vec::new();
        if let Some(plan) = &plan {
            list_operators(plan, 0, &mut operators);
        }
        json!({
            "elapsed_ms": self.started.elapsed().as_millis() as u64,
            "rows_in": plan.as_ref().map_or(0, rows_read),
            "rows_out": rows_out,
            "operators": operators,
        })
        .to_string()
    }
}

/// Rows that the leaves of the plan have given out.
fn rows_read(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let children = plan.children();
    if children.is_empty() {
        return plan.metrics().and_then(|m| m.output_rows()).unwrap_or(0) as u64;
    }
    children.into_iter().map(rows_read).sum()
}

fn list_operators(plan: &Arc<dyn ExecutionPlan>, depth: usize, out: &mut Vec<Value>) {
    let metrics = plan.metrics();
    let compute = metrics.as_ref().and_then(|m| m.elapsed_compute()).unwrap_or(0);
    let spilled = metrics.as_ref().and_then(|m| m.spilled_bytes()).unwrap_or(0);
    let text: String = displayable(plan.as_ref()).one_line().to_string().trim().chars().take(400).collect();
    out.push(json!({
        "depth": depth,
        "operator": plan.name(),
        "text": text,
        "rows": metrics.as_ref().and_then(|m| m.output_rows()).unwrap_or(0),
        "cpu_us": compute / 1000,
        "spilled_bytes": spilled,
    }));
    for child in plan.children() {
        list_operators(child, depth + 1, out);
    }
}
