//! Joins that are larger than the memory of their job.
//!
//! Two tables have the numbers from 0 to 799,999 and 100 letters beside each: 90 MB, and a hash table more, are not kept in
//! 64 MiB. Expected values are arithmetic on that.

use feitian_meta::InstanceState;
use serde_json::Value;

use super::sql::Bench;

const MEMORY: usize = 64 << 20;

async fn bench() -> Bench {
    let bench = Bench::open_small(MEMORY).await;
    let cartesian = [("odps.sql.allow.cartesian".to_string(), "true".to_string())];
    for table in ["a", "b"] {
        let made = bench.run(&format!("create table {table} (id bigint, pad string);"), &[]).await;
        assert_eq!(made.state, InstanceState::Success, "{:?}", made.error);
        let rows = format!(
            "insert into {table} select x.n * 1000 + y.n, repeat('x', 100) \
             from (select explode(sequence(0, 799)) as n) x, (select explode(sequence(0, 999)) as n) y;"
        );
        let written = bench.run(&rows, &cartesian).await;
        assert_eq!(written.state, InstanceState::Success, "{:?}", written.error);
    }
    bench
}

fn operators(profile: &Value) -> Vec<&str> {
    let stages = profile["stages"].as_array().unwrap().iter();
    stages.flat_map(|s| s["operators"].as_array().unwrap()).map(|o| o["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_does_not_fit_sorts_and_its_profile_says_so() {
    let bench = bench().await;
    let sums = "count(*), sum(a.id), sum(length(a.pad) + length(b.pad))";
    let job = bench.run(&format!("select {sums} from a join b on a.id = b.id;"), &[]).await;
    assert_eq!(job.state, InstanceState::Success, "{:?}", job.error);
    assert_eq!(bench.rows(&job).await.1, ["800000 | 319999600000 | 160000000"]);
    let profile = bench.warehouse.profile(&job).await.unwrap();
    let operators = operators(&profile);
    for name in ["AgainExec", "SortMergeJoinExec"] {
        assert!(operators.contains(&name), "{operators:?}");
    }
    assert!(!operators.contains(&"HashJoinExec"), "{operators:?}");

    // The same on the way into a table: every row is written once.
    let job = bench.run("create table c as select a.id, b.pad from a left join b on a.id = b.id;", &[]).await;
    assert_eq!(job.state, InstanceState::Success, "{:?}", job.error);
    let profile = bench.warehouse.profile(&job).await.unwrap();
    let sinks: Vec<&Value> = profile["stages"].as_array().unwrap().iter().map(|s| &s["operators"][0]).collect();
    assert!(sinks.iter().any(|o| o["text"] == "TableSink: demo.c" && o["rows"] == 800_000), "{sinks:?}");
    let job = bench.run("select count(*), sum(id), sum(id * id), sum(length(pad)) from c;", &[]).await;
    assert_eq!(bench.rows(&job).await.1, ["800000 | 319999600000 | 170666346666800000 | 80000000"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_cannot_sort_fails_for_want_of_memory() {
    let bench = bench().await;
    let on = "cast(a.id as double) = cast(b.id as double)";
    let job = bench.run(&format!("select sum(length(a.pad) + length(b.pad)) from a join b on {on};"), &[]).await;
    assert_eq!(job.state, InstanceState::Failed);
    let error = job.error.unwrap_or_default();
    assert!(error.starts_with("ODPS-0123144:[0,0] Fuxi job failed"), "{error}");
}
