//! A plan cut into stages at its exchanges, and what each stage has done so far.
//!
//! An exchange gives the rows of its input to other workers: it begins a stage, and what is below it is another one. A
//! stage's name says what it does, as MaxCompute's do: `M1_job_0` reads tables, `R2_1_job_0` works on what stage 1 gives,
//! `J3_1_2_job_0` joins what stages 1 and 2 give. Stages are numbered from 1, a stage after those it reads from.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use datafusion::physical_plan::{ExecutionPlan, displayable};
use serde::Serialize;

use super::counters::{Counters, Worker, skew};
use crate::query::shared::{PARTS, part_read_by};

/// The operators that give rows to other workers.
const EXCHANGES: [&str; 3] = ["RepartitionExec", "CoalescePartitionsExec", "SortPreservingMergeExec"];
/// The operators that change nothing about the rows and count nothing; nobody asks for them.
const SILENT: [&str; 4] = ["CooperativeExec", "SpillExec", "NoSpillExec", "StepsExec"];
/// All but its first input are plans of their own, which run before it.
const SUBQUERIES: &str = "ScalarSubqueryExec";
/// More operators of a plan are not told: those nearest to its result are.
pub(super) const OPERATORS: usize = 200;
/// An operator's text is cut to so many characters.
const TEXT_CHARS: usize = 400;
/// Rows of so many partitions are told one by one.
const PARTITIONS_SHOWN: usize = 64;
/// An error takes at most about so long from the stage that raises it to the end of the plan: one that ended earlier ended
/// well.
const ERROR_TRAVELS_MS: i64 = 10;

/// A stage of a job as its profile shows it. Counts are totals so far, times are Unix milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct StageProfile {
    pub(super) id: String,
    /// The statement of the text that it belongs to, from 0.
    pub(super) step: i64,
    /// Ids of the stages that it reads from.
    pub(super) inputs: Vec<String>,
    pub(super) state: State,
    pub(super) started_ms: Option<i64>,
    pub(super) ended_ms: Option<i64>,
    /// Partitions that it gives out.
    pub(super) workers: usize,
    pub(super) workers_running: usize,
    pub(super) workers_done: usize,
    /// Rows and bytes that tables and exchanges gave it.
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    pub(super) bytes_in: u64,
    pub(super) cpu_us: u64,
    pub(super) spilled_bytes: u64,
    /// That of the operator through which most rows went.
    pub(super) skew: f64,
    /// In plan order: an operator stands before those it reads from.
    pub(super) operators: Vec<OperatorProfile>,
    /// Operators that are not in the list.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) omitted_operators: usize,
    /// The plan of the instance that it belongs to.
    #[serde(skip)]
    pub(super) job: usize,
    /// What it read from tables.
    #[serde(skip)]
    pub(super) table_rows: u64,
    #[serde(skip)]
    pub(super) table_bytes: u64,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Waiting,
    Running,
    Done,
    /// It had not ended when its statement failed or was stopped.
    Failed,
}

/// An operator of a stage.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OperatorProfile {
    /// Its place in the stage's list.
    pub(super) id: usize,
    /// The operator of the same stage that reads from it.
    pub(super) parent: Option<usize>,
    pub(super) name: String,
    pub(super) text: String,
    pub(super) rows: u64,
    /// Bytes read from files, or else given out in memory, where the engine counts them.
    pub(super) bytes: u64,
    pub(super) cpu_us: u64,
    pub(super) spilled_bytes: u64,
    /// Rows that each of the first 64 partitions gave out; empty when they are not counted.
    pub(super) partition_rows: Vec<u64>,
    pub(super) skew: f64,
}

/// What happens to a plan outside of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Outside {
    /// When the plan was started, in Unix milliseconds.
    pub(super) started_ms: i64,
    /// Rows that have left the plan.
    pub(super) rows: u64,
    pub(super) sink: Option<Sink>,
    /// `None` while there is more to come or to write.
    pub(super) end: Option<End>,
}

/// Where rows are written that no operator of the plan writes.
#[derive(Debug, Clone, Default)]
pub(super) struct Sink {
    pub(super) table: String,
    /// Bytes of finished files.
    pub(super) bytes: u64,
    /// How long the plan waited for the writer.
    pub(super) busy_us: u64,
}

/// The end of a plan's run, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) at_ms: i64,
    pub(super) ok: bool,
}

struct Operator {
    plan: Arc<dyn ExecutionPlan>,
    parent: Option<usize>,
    partitions: usize,
    is_leaf: bool,
    /// It gets its rows from outside of the stage.
    is_source: bool,
    text: OnceLock<String>,
}

impl Operator {
    fn profile(&self, id: usize, counters: &Counters) -> OperatorProfile {
        let text = || -> String {
            let line = displayable(self.plan.as_ref()).one_line().to_string();
            line.trim().chars().take(TEXT_CHARS).collect()
        };
        let mut partition_rows = counters.partition_rows();
        let skew = skew(&partition_rows);
        partition_rows.truncate(PARTITIONS_SHOWN);
        OperatorProfile {
            id,
            parent: self.parent,
            name: self.plan.name().to_string(),
            text: self.text.get_or_init(text).clone(),
            rows: counters.rows,
            bytes: counters.bytes,
            cpu_us: counters.cpu_us,
            spilled_bytes: counters.spilled_bytes,
            partition_rows,
            skew,
        }
    }
}

#[derive(Default)]
struct Shape {
    /// An operator stands before those it reads from.
    operators: Vec<Operator>,
    /// So many of them are told.
    shown: usize,
    /// Places of other stages in the list.
    inputs: Vec<usize>,
    workers: usize,
}

impl Shape {
    fn id(&self, place: usize, job: usize) -> String {
        let joins = self.operators.iter().any(|o| o.plan.name().ends_with("JoinExec"));
        let kind = match self.inputs.len() {
            2.. if joins => 'J',
            0 => 'M',
            _ if self.operators.iter().any(|o| o.is_leaf) => 'M',
            _ => 'R',
        };
        let inputs: String = self.inputs.iter().map(|i| format!("_{}", i + 1)).collect();
        format!("{kind}{}{inputs}_job_{job}", place + 1)
    }
}

/// The stages of one plan.
pub(super) struct Stages {
    /// A stage stands after those it reads from; the last one gives the plan's rows out.
    shapes: Vec<Shape>,
    ids: Vec<String>,
    job: usize,
    step: i64,
}

impl Stages {
    /// Cuts the `job`-th plan of an instance, which is of statement `step`.
    pub(super) fn cut(plan: &Arc<dyn ExecutionPlan>, job: usize, step: i64) -> Self {
        let mut cut = Cut::default();
        cut.add_stage(plan);
        let mut shapes = cut.shapes;
        let mut left = OPERATORS;
        for shape in shapes.iter_mut().rev() {
            shape.shown = shape.operators.len().min(left);
            left -= shape.shown;
        }
        let ids = shapes.iter().enumerate().map(|(place, s)| s.id(place, job)).collect();
        Self { shapes, ids, job, step }
    }

    /// What they have done so far: every counter is read once.
    pub(super) fn read(&self, outside: &Outside) -> Vec<StageProfile> {
        (0..self.shapes.len()).map(|place| self.read_one(place, outside)).collect()
    }

    fn read_one(&self, place: usize, outside: &Outside) -> StageProfile {
        let shape = &self.shapes[place];
        let is_last = place + 1 == self.shapes.len();
        let counters: Vec<Counters> =
            shape.operators.iter().map(|o| Counters::read(o.plan.as_ref(), o.partitions)).collect();
        let pairs = || shape.operators.iter().zip(&counters);
        let sum = |which: fn(&Operator) -> bool, of: fn(&Counters) -> u64| -> u64 {
            pairs().filter(|(o, _)| which(o)).map(|(_, c)| of(c)).sum()
        };
        // The first operator that knows when it began stands for the stage.
        let top = counters.iter().find(|c| c.started_ms.is_some());
        let workers = |is: fn(&Worker) -> bool| top.map_or(0, |c| c.workers.iter().filter(|w| is(w)).count());
        let mut stage = StageProfile {
            id: self.ids[place].clone(),
            step: self.step,
            inputs: shape.inputs.iter().map(|i| self.ids[*i].clone()).collect(),
            state: State::Waiting,
            started_ms: counters.iter().filter_map(|c| c.started_ms).min(),
            ended_ms: counters.iter().filter_map(|c| c.ended_ms).max(),
            workers: shape.workers,
            workers_running: workers(|w| w.started && !w.is_done()),
            workers_done: workers(|w| w.is_done()).min(shape.workers),
            rows_in: sum(|o| o.is_source, |c| c.rows),
            rows_out: counters.iter().find(|c| c.counts_rows).map_or(0, |c| c.rows),
            bytes_in: sum(|o| o.is_source, |c| c.bytes),
            cpu_us: sum(|_| true, |c| c.cpu_us),
            spilled_bytes: sum(|_| true, |c| c.spilled_bytes),
            skew: counters.iter().map(rows_and_skew).max_by(fuller).map_or(1.0, |(_, skew)| skew),
            operators: pairs().take(shape.shown).enumerate().map(|(id, (o, c))| o.profile(id, c)).collect(),
            omitted_operators: shape.operators.len() - shape.shown,
            job: self.job,
            table_rows: sum(|o| o.is_leaf, |c| c.rows),
            table_bytes: sum(|o| o.is_leaf, |c| c.scanned),
        };
        if is_last {
            stage.add_outside(outside);
        }
        stage.settle(is_last, outside.end);
        stage
    }
}

impl StageProfile {
    /// The last stage gives the rows away and may write them.
    fn add_outside(&mut self, outside: &Outside) {
        self.rows_out = outside.rows;
        self.started_ms = self.started_ms.or(Some(outside.started_ms));
        let Some(sink) = &outside.sink else { return };
        self.cpu_us += sink.busy_us;
        for operator in &mut self.operators {
            operator.id += 1;
            operator.parent = Some(operator.parent.map_or(0, |p| p + 1));
        }
        let sink = OperatorProfile {
            id: 0,
            parent: None,
            name: "TableSink".to_string(),
            text: format!("TableSink: {}", sink.table),
            rows: outside.rows,
            bytes: sink.bytes,
            cpu_us: sink.busy_us,
            spilled_bytes: 0,
            partition_rows: vec![outside.rows],
            skew: 1.0,
        };
        self.operators.insert(0, sink);
    }

    /// Finds the state, and makes workers and times fit it.
    fn settle(&mut self, is_last: bool, end: Option<End>) {
        let started = self.started_ms.is_some();
        let all_ended = started && self.workers_done == self.workers;
        let ended_well = |at_ms: i64| self.ended_ms.is_some_and(|ended| ended + ERROR_TRAVELS_MS < at_ms);
        self.state = match end {
            Some(End { ok: true, .. }) => State::Done,
            Some(End { at_ms, .. }) if all_ended && !is_last && ended_well(at_ms) => State::Done,
            None if all_ended && !is_last => State::Done,
            _ if !started => State::Waiting,
            Some(_) => State::Failed,
            None => State::Running,
        };
        match self.state {
            State::Done => {
                (self.workers_running, self.workers_done) = (0, self.workers);
                // The last stage goes on until its rows are where they belong.
                let until = end.filter(|_| is_last || self.ended_ms.is_none()).map(|e| e.at_ms);
                self.ended_ms = until.or(self.ended_ms).filter(|_| started);
            }
            State::Failed => {
                self.workers_running = 0;
                self.workers_done = self.workers_done.min(self.workers.saturating_sub(1));
                // Some of its operators may have ended long before.
                self.ended_ms = self.ended_ms.max(end.map(|e| e.at_ms));
            }
            State::Running => {
                self.workers_done = self.workers_done.min(self.workers.saturating_sub(1));
                self.workers_running = self.workers_running.clamp(1, (self.workers - self.workers_done).max(1));
                self.ended_ms = None;
            }
            State::Waiting => self.ended_ms = None,
        }
    }
}

fn rows_and_skew(counters: &Counters) -> (u64, f64) {
    (counters.rows, skew(&counters.partition_rows()))
}

fn fuller(a: &(u64, f64), b: &(u64, f64)) -> Ordering {
    a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
}

/// A plan on its way into stages.
#[derive(Default)]
struct Cut {
    shapes: Vec<Shape>,
    /// The places of the stages that make what is shared, by the numbers of the parts.
    shared: HashMap<usize, usize>,
}

impl Cut {
    /// Adds the stage that ends at `plan`, after those that it reads from; returns its place.
    fn add_stage(&mut self, plan: &Arc<dyn ExecutionPlan>) -> usize {
        let mut shape = Shape { workers: partitions(plan), ..Shape::default() };
        self.add_operators(plan, None, &mut shape);
        shape.inputs.sort_unstable();
        shape.inputs.dedup();
        self.shapes.push(shape);
        self.shapes.len() - 1
    }

    fn add_operators(&mut self, plan: &Arc<dyn ExecutionPlan>, parent: Option<usize>, shape: &mut Shape) {
        let mut children = plan.children();
        let of_part = part_read_by(plan);
        // Of two exchanges in a row only the lower one cuts: nothing is done between them.
        let cuts = is_exchange(plan) && !children.iter().any(|c| is_exchange(c));
        let parent = if SILENT.contains(&plan.name()) {
            parent
        } else {
            shape.operators.push(Operator {
                plan: plan.clone(),
                parent,
                partitions: partitions(plan),
                is_leaf: children.is_empty() && of_part.is_none(),
                is_source: children.is_empty() || cuts,
                text: OnceLock::new(),
            });
            Some(shape.operators.len() - 1)
        };
        shape.inputs.extend(of_part.and_then(|number| self.shared.get(&number)));
        if plan.name() == PARTS {
            // A part reads those after it only, and the first input reads all of them.
            for (i, part) in children.drain(1..).enumerate().rev() {
                let place = self.add_stage(part);
                self.shared.insert(i, place);
            }
        }
        for (i, child) in children.into_iter().enumerate() {
            if cuts || (i > 0 && plan.name() == SUBQUERIES) {
                let input = self.add_stage(child);
                shape.inputs.push(input);
            } else {
                self.add_operators(child, parent, shape);
            }
        }
    }
}

fn is_exchange(plan: &Arc<dyn ExecutionPlan>) -> bool {
    EXCHANGES.contains(&plan.name())
}

fn partitions(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.properties().output_partitioning().partition_count()
}

/// A number that two plans share when they have the same operators in the same places.
pub(super) fn fingerprint(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    fn mix(hash: &mut u64, bytes: &[u8]) {
        for b in bytes {
            *hash = (*hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    fn add(hash: &mut u64, plan: &Arc<dyn ExecutionPlan>) {
        mix(hash, plan.name().as_bytes());
        mix(hash, b"(");
        plan.children().into_iter().for_each(|child| add(hash, child));
        mix(hash, b")");
    }
    let mut hash = 0xcbf2_9ce4_8422_2325;
    add(&mut hash, plan);
    hash
}
