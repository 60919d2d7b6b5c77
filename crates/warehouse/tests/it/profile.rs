//! The profile that a job leaves: its stages, what went through them, and how they ended.
//!
//! Expected values are arithmetic on the rows of [`TABLE`]. How many stages a plan has depends on the cores of the machine;
//! what goes into a stage is what came out of those before it on every machine.

use std::collections::BTreeMap;

use feitian_meta::{Instance, InstanceState};
use serde_json::Value;

use super::sql::Bench;

/// Two files of three and two rows: three keys, values 1 to 5.
const TABLE: &str = "create table t (k bigint, v bigint); insert into t values (1, 1), (1, 2), (2, 3); \
                     insert into t values (2, 4), (3, 5);";

async fn bench() -> Bench {
    let bench = Bench::open().await;
    assert_eq!(bench.run(TABLE, &[]).await.state, InstanceState::Success);
    bench
}

async fn profile(bench: &Bench, instance: &Instance) -> Value {
    bench.warehouse.profile(instance).await.unwrap()
}

fn stages(profile: &Value) -> &Vec<Value> {
    profile["stages"].as_array().unwrap()
}

fn operators(profile: &Value) -> impl Iterator<Item = &Value> {
    stages(profile).iter().flat_map(|s| s["operators"].as_array().unwrap())
}

fn number(of: &Value, key: &str) -> u64 {
    of[key].as_u64().unwrap()
}

/// Table, step and rows of each sink, in order.
fn sinks(profile: &Value) -> Vec<(&str, u64, u64)> {
    let with_sink = stages(profile).iter().filter(|s| s["operators"][0]["name"] == "TableSink");
    with_sink.map(|s| (s["operators"][0]["text"].as_str().unwrap(), number(s, "step"), number(s, "rows_out"))).collect()
}

#[tokio::test]
async fn a_grouping_over_two_files_tells_its_stages() {
    let bench = bench().await;
    let job = bench.run("select k, sum(v) from t group by k;", &[]).await;
    let profile = profile(&bench, &job).await;
    assert_eq!((number(&profile, "rows_in"), number(&profile, "rows_out")), (5, 3));
    let stages = stages(&profile);
    let out: BTreeMap<&str, u64> = stages.iter().map(|s| (s["id"].as_str().unwrap(), number(s, "rows_out"))).collect();
    for stage in stages {
        let inputs = stage["inputs"].as_array().unwrap();
        let given: u64 = inputs.iter().map(|i| out[i.as_str().unwrap()]).sum();
        assert_eq!(number(stage, "rows_in"), if inputs.is_empty() { 5 } else { given }, "{stage}");
        assert_eq!((&stage["state"], &stage["step"]), (&Value::from("done"), &Value::from(0)), "{stage}");
        assert!(stage["started_ms"].as_i64().unwrap() <= stage["ended_ms"].as_i64().unwrap(), "{stage}");
        assert!(number(stage, "workers") > 0 && stage["skew"].as_f64().unwrap() >= 1.0, "{stage}");
    }
    assert_eq!(stages[0]["id"], "M1_job_0");
    assert_eq!(number(stages.last().unwrap(), "rows_out"), 3);
    // Both files were read, and nothing else.
    assert!(number(&stages[0], "bytes_in") > 0);
    assert_eq!(number(&profile, "input_bytes"), number(&stages[0], "bytes_in"));
    let scan = operators(&profile).find(|o| o["name"] == "DataSourceExec").unwrap();
    assert_eq!(number(scan, "rows"), 5);
    let ids: Vec<String> = bench.warehouse.progress(&job).await.unwrap().into_iter().map(|s| s.id).collect();
    assert_eq!(ids, stages.iter().map(|s| s["id"].as_str().unwrap()).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_statements_of_a_script_have_stages_of_their_own() {
    let bench = bench().await;
    let script = "create table u (k bigint, v bigint); insert into u select k, sum(v) from t group by k; \
                  insert overwrite table u select k, v from t where v % 2 = 0;";
    let job = bench.run(script, &[]).await;
    let profile = profile(&bench, &job).await;
    assert_eq!(sinks(&profile), [("TableSink: demo.u", 1, 3), ("TableSink: demo.u", 2, 2)]);
    assert_eq!((number(&profile, "rows_in"), number(&profile, "rows_out")), (10, 5));
    assert!(stages(&profile).iter().any(|s| s["id"].as_str().unwrap().ends_with("_job_1")));
    let written: u64 = operators(&profile).filter(|o| o["name"] == "TableSink").map(|o| number(o, "bytes")).sum();
    assert!(written > 0);
}

#[tokio::test]
async fn every_branch_of_a_multi_insert_and_a_new_table_have_a_sink() {
    let bench = bench().await;
    bench.run("create table u (v bigint); create table w (v bigint);", &[]).await;
    let job = bench
        .run("from t insert into table u select v where v > 3 insert into table w select v where v <= 3;", &[])
        .await;
    let branches = profile(&bench, &job).await;
    assert_eq!(sinks(&branches), [("TableSink: demo.u", 0, 2), ("TableSink: demo.w", 0, 3)]);
    let job = bench.run("create table c as select v from t where v = 5;", &[]).await;
    assert_eq!(sinks(&profile(&bench, &job).await), [("TableSink: demo.c", 0, 1)]);
}

#[tokio::test]
async fn the_same_sql_has_the_same_plan_hash() {
    let bench = bench().await;
    let mut hashes = Vec::new();
    for sql in ["select k from t where v > 1;", "select k from t where v > 4;", "select sum(v) from t group by k;"] {
        let job = bench.run(sql, &[]).await;
        hashes.push(profile(&bench, &job).await["plan_hash"].as_str().unwrap().to_string());
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
}

#[tokio::test]
async fn a_failed_job_says_which_stages_had_not_ended() {
    let bench = bench().await;
    let job = bench.run("select v + 9223372036854775807 from t;", &[]).await;
    assert_eq!(job.state, InstanceState::Failed);
    let failed = profile(&bench, &job).await;
    assert_eq!(stages(&failed).last().unwrap()["state"], "failed");
    assert!(stages(&failed).iter().all(|s| s["state"] != "running"), "{failed}");
    assert!(bench.warehouse.progress(&job).await.unwrap().iter().any(|s| s.percent < 100));
    // A script that fails in its second statement keeps what the first one did.
    let script = "insert into t values (9, 9); insert into t select k, v + 9223372036854775807 from t;";
    let job = bench.run(script, &[]).await;
    let failed = profile(&bench, &job).await;
    assert_eq!(sinks(&failed)[0], ("TableSink: demo.t", 0, 1));
    let steps: Vec<_> = stages(&failed).iter().map(|s| (number(s, "step"), s["state"].as_str().unwrap())).collect();
    assert_eq!((steps[0], steps.last().unwrap()), ((0, "done"), &(1, "failed")));
}

#[tokio::test]
async fn a_job_without_a_plan_has_no_stage_but_progress() {
    let bench = bench().await;
    for sql in ["create table x (a bigint);", "nonsense;"] {
        let job = bench.run(sql, &[]).await;
        assert!(stages(&profile(&bench, &job).await).is_empty(), "{sql}");
        let shown = bench.warehouse.progress(&job).await.unwrap();
        assert_eq!((shown.len(), shown[0].id.as_str()), (1, "M1_job_0"), "{sql}");
    }
}

// The bounds: 200 operators, 400 characters of text.
#[tokio::test]
async fn the_profile_of_a_large_plan_is_bounded() {
    let bench = bench().await;
    let branches: Vec<String> = (0..210).map(|i| format!("select k + {i} as k from t")).collect();
    let job = bench.run(&format!("{};", branches.join(" union all ")), &[]).await;
    assert_eq!(job.state, InstanceState::Success, "{:?}", job.error);
    let profile = profile(&bench, &job).await;
    assert_eq!(operators(&profile).count(), 200);
    assert!(operators(&profile).all(|o| o["text"].as_str().unwrap().chars().count() <= 400));
    let omitted: u64 = stages(&profile).iter().filter_map(|s| s["omitted_operators"].as_u64()).sum();
    assert!(omitted > 0);
    assert_eq!(number(&profile, "rows_in"), 210 * 5);
}
