//! The stages of a job: the graph, the timeline, and the tables that say the same in text.

use askama::Template;
use feitian_base::Result;

use super::{Frame, rendered};
use crate::dag::{self, BOX_HEIGHT, BOX_WIDTH, Layout};
use crate::gantt::{self, Chart, Of};
use crate::job::Job;
use crate::profile::{Operator, Profile, Stage, State};
use crate::show::{self, fill};
use crate::words::Words;

/// More boxes than this are only in the table.
const MOST_BOXES: usize = 60;
/// From here on the rows of a stage are called uneven.
const UNEVEN: f64 = 2.0;
const MANY_ROWS: u64 = 1000;
/// Below this nothing is called slow.
const LEAST_US: u64 = 2000;
/// Characters of a stage's name that fit into its box.
const NAME_IN_BOX: usize = 24;
/// Characters of a remark that fit into a box.
const REMARK_IN_BOX: usize = 30;
/// Between the edges of a box and what stands in it.
const PADDING: i64 = 12;

#[derive(Template)]
#[template(path = "stages.html")]
struct StagesTemplate<'a> {
    w: &'a Words,
    none: &'static str,
    /// Where the time went; empty when there is nothing to compare.
    insight: String,
    stages: Vec<StageView>,
    graph: Layout,
    graph_cut: String,
    nodes: Vec<Node>,
    box_width: i64,
    box_height: i64,
    /// Length of the bar in a box that stands for all of the CPU time.
    bar_width: i64,
    chart: Chart,
    chart_width: i64,
    ticks: Vec<Tick>,
    bars: Vec<BarView>,
    many_steps: bool,
    has_operators: bool,
}

struct StageView {
    number: usize,
    name: String,
    state: &'static str,
    class: &'static str,
    step: u64,
    inputs: String,
    workers: String,
    rows_in: String,
    rows_out: String,
    bytes_in: String,
    began: String,
    time: String,
    cpu: String,
    /// Percent of the job's CPU time.
    share: u64,
    spilled: String,
    skew: String,
    remark: String,
    operators_of: String,
    summary: String,
    unfolded: bool,
    operators: Vec<OperatorView>,
}

struct OperatorView {
    number: usize,
    indent: String,
    name: String,
    text: String,
    rows: String,
    bytes: String,
    cpu: String,
    share: u64,
    spilled: String,
    skew: String,
    remark: String,
}

/// A box of the graph.
struct Node {
    x: i64,
    y: i64,
    class: &'static str,
    title: String,
    name: String,
    state: String,
    rows: String,
    bytes: String,
    cpu: String,
    remark: String,
    /// Length of the bar of its CPU time.
    bar: i64,
}

struct Tick {
    x: i64,
    text: String,
}

struct BarView {
    x: i64,
    y: i64,
    text_y: i64,
    width: i64,
    after: i64,
    class: &'static str,
    title: String,
    name: String,
    time: String,
}

/// The part of the page about stages.
pub(super) fn stages(frame: &Frame, job: &Job) -> Result<String> {
    let w = frame.w;
    let profile = &job.profile;
    let slow = Slowest::of(profile);
    let stages: Vec<StageView> = (0..profile.stages.len()).map(|at| stage_view(w, job, at, &slow)).collect();
    let drawn = profile.stages.len().min(MOST_BOXES);
    let edges = profile.edges().into_iter().take(drawn);
    let edges: Vec<Vec<usize>> = edges.map(|from| from.into_iter().filter(|i| *i < drawn).collect()).collect();
    let graph = dag::layout(&edges);
    let nodes = graph.corners.iter().zip(&stages).map(|(corner, stage)| node(w, *corner, stage)).collect();
    let left_out = profile.stages.len() - drawn;
    let graph_cut = if left_out == 0 { String::new() } else { fill(w.graph_cut, &[("n", &left_out.to_string())]) };
    let chart = gantt::chart(job.instance.submitted_ms, job.instance.started_ms, job.end_ms(), profile);
    let ticks = chart.scale.iter().map(|(x, ms)| Tick { x: *x, text: show::duration(w, *ms) }).collect();
    let bars = chart.bars.iter().map(|bar| bar_view(w, bar, &stages)).collect();
    rendered(&StagesTemplate {
        w,
        insight: if job.is_over() { insight(w, profile, &slow) } else { String::new() },
        none: if job.is_over() { w.stages_none } else { w.stages_not_yet },
        many_steps: profile.stages.iter().any(|s| s.step != profile.stages[0].step),
        has_operators: stages.iter().any(|s| !s.operators.is_empty()),
        stages,
        graph,
        graph_cut,
        nodes,
        box_width: BOX_WIDTH,
        box_height: BOX_HEIGHT,
        bar_width: BOX_WIDTH - 2 * PADDING,
        chart,
        chart_width: gantt::WIDTH,
        ticks,
        bars,
    })
}

/// What took longest, where there is something to compare.
struct Slowest {
    /// CPU time of all stages.
    whole_us: u64,
    stage: Option<usize>,
    /// Stage and place of the operator in it.
    operator: Option<(usize, usize)>,
}

impl Slowest {
    /// By CPU time: stages run side by side and wait for each other, so that their wall clocks say little.
    fn of(profile: &Profile) -> Self {
        let stages = &profile.stages;
        let stage = (0..stages.len()).max_by_key(|s| stages[*s].cpu_us);
        let operators: Vec<(usize, usize)> =
            stages.iter().enumerate().flat_map(|(s, stage)| (0..stage.operators.len()).map(move |o| (s, o))).collect();
        let cpu = |(s, o): &(usize, usize)| stages[*s].operators[*o].cpu_us;
        let operator = operators.iter().copied().max_by_key(cpu);
        Self {
            whole_us: stages.iter().fold(0, |sum, s| sum.saturating_add(s.cpu_us)),
            stage: stage.filter(|s| stages.len() > 1 && stages[*s].cpu_us >= LEAST_US),
            operator: operator.filter(|at| operators.len() > 1 && cpu(at) >= LEAST_US),
        }
    }

    /// Percent of the CPU time of all stages.
    fn share(&self, cpu_us: u64) -> u64 {
        (cpu_us as f64 / self.whole_us.max(1) as f64 * 100.0).round().min(100.0) as u64
    }
}

/// The sentence about the slowest stage and what was slow in it.
fn insight(w: &Words, profile: &Profile, slow: &Slowest) -> String {
    let Some(stage) = slow.stage.map(|at| &profile.stages[at]) else { return String::new() };
    let Some(operator) = stage.operators.iter().max_by_key(|o| o.cpu_us) else { return String::new() };
    let [n, m] = [stage.cpu_us, operator.cpu_us].map(|us| slow.share(us).to_string());
    let (stage, operator) = (show::short(&stage.id, 60), show::short(&operator.name, 80));
    fill(w.insight, &[("stage", &stage), ("n", &n), ("operator", &operator), ("m", &m)])
}

/// How long a stage ran or has run; none before it has started.
fn time_of(stage: &Stage, job: &Job) -> Option<i64> {
    let started = stage.started_ms?;
    let end = match (stage.ended_ms, stage.state) {
        (Some(end), _) => end,
        (None, State::Running) => job.end_ms(),
        (None, _) => return None,
    };
    Some(end.saturating_sub(started).max(0))
}

fn stage_view(w: &Words, job: &Job, at: usize, slow: &Slowest) -> StageView {
    let stage = &job.profile.stages[at];
    let name = show::short(&stage.id, 60);
    let (state, class) = match stage.state {
        State::Waiting => (w.not_started, "wait"),
        State::Running => (w.running, "busy"),
        State::Done => (w.done, "good"),
        State::Failed => (w.failed, "bad"),
    };
    let operators = operators(w, &job.profile, at, slow);
    let began = stage.started_ms.map(|ms| ms.saturating_sub(job.instance.submitted_ms));
    let span = |ms: Option<i64>| ms.map_or_else(|| "-".to_string(), |ms| show::duration(w, ms));
    let n_operators = operators.len().to_string();
    StageView {
        number: at + 1,
        state,
        class,
        step: stage.step + 1,
        inputs: stage.inputs.iter().map(|id| show::short(id, 60)).collect::<Vec<_>>().join(", "),
        workers: show::count(stage.workers),
        rows_in: show::count(stage.rows_in),
        rows_out: show::count(stage.rows_out),
        bytes_in: show::bytes(stage.bytes_in),
        began: span(began),
        time: span(time_of(stage, job)),
        cpu: show::micros(w, stage.cpu_us),
        share: slow.share(stage.cpu_us),
        spilled: show::bytes(stage.spilled_bytes),
        skew: skew(w, stage.skew),
        remark: remarks(
            w,
            (slow.stage == Some(at)).then(|| slow.share(stage.cpu_us)),
            is_uneven(stage.skew, stage.rows_in),
            stage.spilled_bytes,
        ),
        operators_of: fill(w.operators_of, &[("stage", &name)]),
        summary: fill(w.operators_summary, &[("stage", &name), ("n", &n_operators)]),
        unfolded: job.is_over() && at == slow.operator.map_or(0, |(s, _)| s),
        operators,
        name,
    }
}

fn operators(w: &Words, profile: &Profile, at: usize, slow: &Slowest) -> Vec<OperatorView> {
    let all = &profile.stages[at].operators;
    let view = |(place, op): (usize, &Operator)| OperatorView {
        number: place + 1,
        // Two blanks for each operator that it feeds; they do not break.
        indent: "\u{a0}\u{a0}".repeat(depth(all, op)),
        name: show::short(&op.name, 80),
        text: show::short(&op.text, 400),
        rows: show::count(op.rows),
        bytes: show::bytes(op.bytes),
        cpu: show::micros(w, op.cpu_us),
        share: slow.share(op.cpu_us),
        spilled: show::bytes(op.spilled_bytes),
        skew: skew(w, op.skew),
        remark: remarks(
            w,
            (slow.operator == Some((at, place))).then(|| slow.share(op.cpu_us)),
            is_uneven(op.skew, op.rows),
            op.spilled_bytes,
        ),
    };
    all.iter().enumerate().map(view).collect()
}

/// How many operators of its stage stand above `op`; bounded, since nothing keeps a profile from going in circles.
fn depth(all: &[Operator], op: &Operator) -> usize {
    let mut depth = 0;
    let mut parent = op.parent;
    while let Some(above) = parent.and_then(|id| all.iter().find(|o| o.id == id)) {
        if depth == 12 {
            break;
        }
        depth += 1;
        parent = above.parent;
    }
    depth
}

fn skew(w: &Words, skew: f64) -> String {
    if skew < 1.05 { w.even.to_string() } else { format!("{skew:.1}×") }
}

/// What stands out, in words. `slowest` is the share of CPU time of what took longest.
fn remarks(w: &Words, slowest: Option<u64>, is_uneven: bool, spilled: u64) -> String {
    let slowest = slowest.map(|n| fill(w.slowest, &[("n", &n.to_string())]));
    let others = [(is_uneven, w.uneven), (spilled > 0, w.spills)];
    let others = others.into_iter().filter(|(holds, _)| *holds).map(|(_, words)| words.to_string());
    slowest.into_iter().chain(others).collect::<Vec<_>>().join("; ")
}

/// Whether it matters that one worker has more rows than the others: few rows are nowhere even.
fn is_uneven(skew: f64, rows: u64) -> bool {
    skew >= UNEVEN && rows >= MANY_ROWS
}

fn node(w: &Words, (x, y): (i64, i64), stage: &StageView) -> Node {
    let rows = format!("{}: {} → {}", w.rows, stage.rows_in, stage.rows_out);
    let state = format!("{} · {}", stage.state, stage.time);
    let bytes = format!("{}: {}", w.bytes_read, stage.bytes_in);
    let cpu = format!("{}: {} · {}: {}", w.cpu, stage.cpu, w.balance, stage.skew);
    Node {
        x,
        y,
        class: stage.class,
        title: format!("{}: {state}; {rows}; {bytes}; {cpu}; {}", stage.name, stage.remark),
        name: show::short(&stage.name, NAME_IN_BOX),
        state,
        rows,
        bytes,
        cpu,
        remark: show::short(&stage.remark, REMARK_IN_BOX),
        bar: (BOX_WIDTH - 2 * PADDING) * stage.share as i64 / 100,
    }
}

fn bar_view(w: &Words, bar: &gantt::Bar, stages: &[StageView]) -> BarView {
    let (name, class) = match bar.of {
        Of::Queue => (w.waited.to_string(), "wait"),
        Of::Stage(at) => stages.get(at).map_or((String::new(), ""), |s| (s.name.clone(), s.class)),
    };
    let time = show::duration(w, bar.length_ms);
    BarView {
        x: bar.x,
        y: bar.y,
        text_y: bar.y + 13,
        width: bar.width,
        after: bar.x + bar.width + 6,
        class,
        title: format!("{name}: {time}; {} {}", w.began, show::duration(w, bar.from_ms)),
        name: show::short(&name, NAME_IN_BOX),
        time,
    }
}
