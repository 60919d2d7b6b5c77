//! Stages and profiles of plans made by hand.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{JoinType, NullEquality};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning, collect, execute_stream};
use feitian_meta::InstanceState;
use futures::TryStreamExt;
use serde_json::{Value, json};

use super::Stage;
use super::progress::Progress;
use super::stages::{End, Outside, Sink, StageProfile, Stages, State, fingerprint};

type Plan = Arc<dyn ExecutionPlan>;

/// A table of one column `a` with these rows in its partitions. The engine does not count what it reads from memory.
fn values(partitions: &[&[i64]]) -> Plan {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
    let batch = |rows: &&[i64]| {
        vec![RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(rows.to_vec()))]).unwrap()]
    };
    let batches: Vec<Vec<RecordBatch>> = partitions.iter().map(batch).collect();
    MemorySourceConfig::try_new_exec(&batches, schema, None).unwrap()
}

fn a() -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new("a", 0))
}

fn distinct(mode: AggregateMode, input: Plan) -> Plan {
    let group = PhysicalGroupBy::new_single(vec![(a(), "a".to_string())]);
    let schema = input.schema();
    Arc::new(AggregateExec::try_new(mode, group, vec![], vec![], input, schema).unwrap())
}

fn hashed(input: Plan) -> Plan {
    Arc::new(RepartitionExec::try_new(input, Partitioning::Hash(vec![a()], 2)).unwrap())
}

fn spread(input: Plan, partitions: usize) -> Plan {
    Arc::new(RepartitionExec::try_new(input, Partitioning::RoundRobinBatch(partitions)).unwrap())
}

fn gathered(input: Plan) -> Plan {
    Arc::new(CoalescePartitionsExec::new(input))
}

fn joined(left: Plan, right: Plan, mode: PartitionMode) -> Plan {
    let on = vec![(a(), a())];
    let null = NullEquality::NullEqualsNothing;
    Arc::new(HashJoinExec::try_new(left, right, on, None, &JoinType::Inner, None, mode, null, false).unwrap())
}

fn renamed(input: Plan, name: &str) -> Plan {
    Arc::new(ProjectionExec::try_new([ProjectionExpr::new(a(), name)], input).unwrap())
}

/// `SELECT DISTINCT a` over (1, 1, 2, 3) and (3, 3): the first step leaves 3 and 1 rows, the second one 3.
fn grouping() -> Plan {
    let partial = distinct(AggregateMode::Partial, values(&[&[1, 1, 2, 3], &[3, 3]]));
    gathered(distinct(AggregateMode::FinalPartitioned, hashed(partial)))
}

async fn run(plan: &Plan) {
    collect(plan.clone(), Arc::new(TaskContext::default())).await.unwrap();
}

fn ids(plan: &Plan) -> Vec<String> {
    Stages::cut(plan, 0, 0).read(&Outside::default()).into_iter().map(|s| s.id).collect()
}

fn names(stage: &StageProfile) -> Vec<&str> {
    stage.operators.iter().map(|o| o.name.as_str()).collect()
}

const LATE: i64 = i64::MAX / 2;

#[test]
fn a_plan_without_exchange_is_one_stage() {
    assert_eq!(ids(&values(&[&[1]])), ["M1_job_0"]);
    let both = UnionExec::try_new(vec![values(&[&[1]]), values(&[&[2]])]).unwrap();
    assert_eq!(ids(&both), ["M1_job_0"]);
}

// MaxCompute documentation, "Use Logview to view job information": M1, R2_1, J3_1_2 are a map, a reduce and a join task
// after the tasks whose numbers follow.
#[test]
fn exchanges_cut_a_plan_and_stages_are_named_after_their_inputs() {
    assert_eq!(ids(&grouping()), ["M1_job_0", "R2_1_job_0", "R3_2_job_0"]);
    let join = joined(hashed(values(&[&[1]])), hashed(values(&[&[1]])), PartitionMode::Partitioned);
    assert_eq!(ids(&join), ["M1_job_0", "M2_job_0", "J3_1_2_job_0"]);
    let union = UnionExec::try_new(vec![hashed(values(&[&[1]])), hashed(values(&[&[1]]))]).unwrap();
    assert_eq!(ids(&gathered(union)), ["M1_job_0", "M2_job_0", "R3_1_2_job_0", "R4_3_job_0"]);
}

#[test]
fn a_join_with_a_table_that_every_worker_holds_reads_the_other_table_itself() {
    let join = joined(gathered(values(&[&[1], &[2]])), values(&[&[1], &[2]]), PartitionMode::CollectLeft);
    assert_eq!(ids(&join), ["M1_job_0", "M2_1_job_0"]);
}

#[test]
fn two_exchanges_in_a_row_are_one() {
    let plan = gathered(spread(values(&[&[1]]), 2));
    assert_eq!(ids(&plan), ["M1_job_0", "R2_1_job_0"]);
    let stages = Stages::cut(&plan, 0, 0).read(&Outside::default());
    assert_eq!(names(&stages[1]), ["CoalescePartitionsExec", "RepartitionExec"]);
    assert_eq!((stages[1].workers, &stages[1].inputs), (1, &vec!["M1_job_0".to_string()]));
}

// Expected: arithmetic on the rows of `grouping`.
#[tokio::test]
async fn rows_are_counted_for_each_stage_worker_and_operator() {
    let plan = grouping();
    let stages = Stages::cut(&plan, 3, 7);
    run(&plan).await;
    let end = Some(End { at_ms: LATE, ok: true });
    let read = stages.read(&Outside { rows: 3, end, ..Outside::default() });
    let rows: Vec<_> = read.iter().map(|s| (s.id.as_str(), s.rows_in, s.rows_out, s.workers)).collect();
    assert_eq!(rows, [("M1_job_3", 0, 4, 2), ("R2_1_job_3", 4, 3, 2), ("R3_2_job_3", 3, 3, 1)]);
    assert!(read.iter().all(|s| s.step == 7 && s.state == State::Done && s.workers_done == s.workers));
    assert_eq!(names(&read[0]), ["AggregateExec", "DataSourceExec"]);
    assert_eq!(read[0].operators[0].partition_rows, [3, 1]);
    assert_eq!((read[0].operators[0].skew, read[0].skew), (1.5, 1.5));
    assert_eq!((read[0].operators[0].parent, read[0].operators[1].parent), (None, Some(0)));
    assert_eq!(names(&read[1]), ["AggregateExec", "RepartitionExec"]);
    assert_eq!(read[1].operators[1].partition_rows.iter().sum::<u64>(), 4);
    assert!(read.iter().all(|s| s.started_ms.unwrap() > 0 && s.ended_ms >= s.started_ms));
}

#[test]
fn what_has_not_begun_waits_and_the_last_stage_runs() {
    let read = Stages::cut(&grouping(), 0, 0).read(&Outside { started_ms: 5, ..Outside::default() });
    let states: Vec<_> = read.iter().map(|s| (s.state, s.started_ms, s.workers_running, s.workers_done)).collect();
    assert_eq!(states[..2], [(State::Waiting, None, 0, 0); 2]);
    assert_eq!(states[2], (State::Running, Some(5), 1, 0));
}

#[tokio::test]
async fn of_a_failed_plan_the_stages_that_had_ended_before_are_done() {
    let plan = grouping();
    let stages = Stages::cut(&plan, 0, 0);
    run(&plan).await;
    let states = |at_ms: i64| {
        let end = Some(End { at_ms, ok: false });
        stages.read(&Outside { end, ..Outside::default() }).iter().map(|s| s.state).collect::<Vec<_>>()
    };
    assert_eq!(states(LATE), [State::Done, State::Done, State::Failed]);
    assert_eq!(states(0), [State::Failed, State::Failed, State::Failed]);
    let end = Some(End { at_ms: LATE, ok: false });
    let last = stages.read(&Outside { end, ..Outside::default() }).pop().unwrap();
    assert_eq!(last.ended_ms, Some(LATE));
}

#[test]
fn the_stage_that_writes_has_the_table_on_top() {
    let sink = Sink { table: "p.t".into(), bytes: 70, busy_us: 5 };
    let read = Stages::cut(&grouping(), 0, 0).read(&Outside { rows: 3, sink: Some(sink), ..Outside::default() });
    assert_eq!(names(&read[2]), ["TableSink", "CoalescePartitionsExec"]);
    let top = &read[2].operators[0];
    assert_eq!((top.text.as_str(), top.rows, top.bytes, top.cpu_us), ("TableSink: p.t", 3, 70, 5));
    let places: Vec<_> = read[2].operators.iter().map(|o| (o.id, o.parent)).collect();
    assert_eq!(places, [(0, None), (1, Some(0))]);
    assert_eq!(names(&read[0]), ["AggregateExec", "DataSourceExec"]);
}

// The bounds: 200 operators, 400 characters, 64 partitions.
#[tokio::test]
async fn a_profile_is_bounded() {
    let many = UnionExec::try_new((0..300).map(|i| values(&[&[i]])).collect()).unwrap();
    let plan = spread(renamed(many, &"long".repeat(200)), 100);
    let stages = Stages::cut(&plan, 0, 0);
    run(&plan).await;
    let read = stages.read(&Outside::default());
    assert_eq!(read.iter().map(|s| s.operators.len()).sum::<usize>(), 200);
    // The first stage has a projection, a union and 300 tables; the second one has one operator.
    assert_eq!((read[0].omitted_operators, read[1].omitted_operators), (302 + 1 - 200, 0));
    assert_eq!(read[0].operators[0].text.chars().count(), 400);
    assert_eq!(read[1].operators[0].partition_rows.len(), 64);
    assert_eq!(read[1].workers, 100);
}

#[test]
fn plans_of_the_same_shape_have_the_same_fingerprint() {
    assert_eq!(fingerprint(&grouping()), fingerprint(&grouping()));
    let other = distinct(AggregateMode::Single, gathered(values(&[&[1]])));
    assert_ne!(fingerprint(&grouping()), fingerprint(&other));
    // One below the other is not one beside the other.
    let below = UnionExec::try_new(vec![gathered(gathered(values(&[&[1]]))), values(&[&[1]])]).unwrap();
    let beside = UnionExec::try_new(vec![gathered(values(&[&[1]])), gathered(values(&[&[1]]))]).unwrap();
    assert_ne!(fingerprint(&below), fingerprint(&beside));
}

/// Runs the plan as a job does.
async fn run_in(progress: &Progress, plan: &Plan) {
    let run = progress.begin(plan);
    let stream = execute_stream(plan.clone(), Arc::new(TaskContext::default())).unwrap();
    run.counted(stream).try_collect::<Vec<_>>().await.unwrap();
}

fn stage_ids(profile: &Value) -> Vec<(&str, i64)> {
    let stages = profile["stages"].as_array().unwrap();
    stages.iter().map(|s| (s["id"].as_str().unwrap(), s["step"].as_i64().unwrap())).collect()
}

#[tokio::test]
async fn the_statements_of_a_script_add_up() {
    let progress = Progress::default();
    progress.begin_step(0);
    run_in(&progress, &grouping()).await;
    progress.begin_step(2);
    progress.begin_step(3);
    run_in(&progress, &values(&[&[1, 2]])).await;
    let summary: Value = serde_json::from_str(&progress.summary(InstanceState::Success, 2)).unwrap();
    let want = [("M1_job_0", 0), ("R2_1_job_0", 0), ("R3_2_job_0", 0), ("M1_job_1", 3)];
    assert_eq!(stage_ids(&summary), want);
    // 3 rows of the first plan, 2 of the second.
    assert_eq!(summary["rows_out"], 5);
    assert_eq!(summary["plan_hash"].as_str().unwrap().len(), 16);
}

#[tokio::test]
async fn a_statement_that_runs_again_replaces_what_it_did_before() {
    let progress = Progress::default();
    progress.begin_step(0);
    run_in(&progress, &values(&[&[7]])).await;
    for _ in 0..3 {
        progress.begin_step(1);
        run_in(&progress, &values(&[&[1, 2]])).await;
        run_in(&progress, &values(&[&[3]])).await;
    }
    let profile = progress.profile();
    assert_eq!(stage_ids(&profile), [("M1_job_0", 0), ("M1_job_1", 1), ("M1_job_2", 1)]);
    assert_eq!(profile["rows_out"], 1 + 2 + 1);
}

#[tokio::test]
async fn a_query_whose_rows_come_last_keeps_its_place() {
    let progress = Progress::default();
    progress.begin_step(0);
    let plan = values(&[&[1, 2, 3]]);
    let query = progress.begin(&plan);
    progress.begin_step(1);
    run_in(&progress, &values(&[&[4]])).await;
    progress.begin_step(2);
    let states = |profile: &Value| -> Vec<String> {
        let stages = profile["stages"].as_array().unwrap();
        stages.iter().map(|s| format!("{} {}", s["id"].as_str().unwrap(), s["state"].as_str().unwrap())).collect()
    };
    assert_eq!(states(&progress.profile()), ["M1_job_0 running", "M1_job_1 done"]);
    let rows = execute_stream(plan, Arc::new(TaskContext::default())).unwrap();
    query.counted(rows).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(states(&progress.profile()), ["M1_job_0 done", "M1_job_1 done"]);
    assert_eq!(progress.profile()["rows_out"], 4);
}

#[tokio::test]
async fn a_sink_ends_when_its_files_are_written() {
    let progress = Progress::default();
    progress.begin_step(0);
    let plan = values(&[&[1, 2]]);
    let run = progress.begin(&plan);
    progress.begin_sink("p.t".into());
    let rows = execute_stream(plan, Arc::new(TaskContext::default())).unwrap();
    run.counted(rows).try_collect::<Vec<_>>().await.unwrap();
    let stage = &progress.profile()["stages"][0];
    assert_eq!((&stage["state"], &stage["workers_done"]), (&json!("running"), &json!(0)));
    assert_eq!(progress.stages()[0].percent, 0);
    progress.end_sink(99);
    let stage = &progress.profile()["stages"][0];
    assert_eq!((&stage["state"], &stage["operators"][0]["bytes"]), (&json!("done"), &json!(99)));
    assert_eq!((&stage["operators"][0]["name"], &stage["rows_out"]), (&json!("TableSink"), &json!(2)));
}

#[tokio::test]
async fn a_plan_in_place_of_one_that_failed_has_its_number_and_its_sink() {
    let progress = Progress::default();
    progress.begin_step(0);
    let plan = values(&[&[1, 2]]);
    let failed = progress.begin(&plan);
    progress.begin_sink("p.t".into());
    let again = progress.begin_again(&failed, &plan);
    let rows = execute_stream(plan, Arc::new(TaskContext::default())).unwrap();
    again.counted(rows).try_collect::<Vec<_>>().await.unwrap();
    progress.end_sink(99);
    run_in(&progress, &values(&[&[3]])).await;
    let profile = progress.profile();
    assert_eq!(stage_ids(&profile), [("M1_job_0", 0), ("M1_job_1", 0)]);
    let sink = &profile["stages"][0]["operators"][0];
    assert_eq!((&sink["text"], &sink["rows"], &sink["bytes"]), (&json!("TableSink: p.t"), &json!(2), &json!(99)));
    assert_eq!(profile["rows_out"], 3);
}

#[tokio::test]
async fn a_long_script_keeps_its_last_stages() {
    let progress = Progress::default();
    for step in 0..250 {
        progress.begin_step(step);
        run_in(&progress, &values(&[&[1]])).await;
    }
    let profile = progress.profile();
    let ids = stage_ids(&profile);
    assert_eq!((ids.len(), ids[0], ids[199]), (200, ("M1_job_50", 50), ("M1_job_249", 249)));
    assert_eq!((&profile["omitted_stages"], &profile["rows_out"]), (&json!(50), &json!(250)));
}

#[test]
fn a_job_without_a_plan_has_one_stage_for_clients_and_none_in_its_profile() {
    let progress = Progress::default();
    assert_eq!(progress.stages()[0].id, "M1_job_0");
    let summary = progress.summary(InstanceState::Success, 0);
    assert_eq!(serde_json::from_str::<Value>(&summary).unwrap()["stages"], json!([]));
    let stages = Stage::of_summary(&summary, InstanceState::Success);
    assert_eq!((stages.len(), stages[0].id.as_str(), stages[0].percent), (1, "M1_job_0", 100));
    let old = Stage::of_summary(r#"{"rows_in": 5, "rows_out": 2}"#, InstanceState::Success);
    assert_eq!((old[0].rows_in, old[0].rows_out, old[0].workers_done), (5, 2, 1));
    let waiting = Stage::of_summary("{}", InstanceState::Waiting);
    assert_eq!((waiting[0].workers_running, waiting[0].percent), (0, 0));
}

#[tokio::test]
async fn the_stages_of_a_summary_are_those_of_the_run() {
    let progress = Progress::default();
    run_in(&progress, &grouping()).await;
    let running = progress.stages();
    let summary = progress.summary(InstanceState::Success, 3);
    assert_eq!(Stage::of_summary(&summary, InstanceState::Success), running);
    assert_eq!(running.iter().map(|s| s.percent).collect::<Vec<_>>(), [100, 100, 100]);
}

// Arithmetic: 199 of 200 workers are 99.5 percent, and a stage that is not done is never at 100.
#[test]
fn a_stage_that_has_not_ended_is_below_100_percent() {
    let of = |state: &str, done: u64| {
        let stage = json!({"id": "R2_1_job_0", "state": state, "workers": 200, "workers_done": done});
        Stage::of_summary(&json!({"stages": [stage]}).to_string(), InstanceState::Running)[0].percent
    };
    assert_eq!([of("running", 50), of("running", 199), of("failed", 200), of("done", 200)], [25, 99, 99, 100]);
}
