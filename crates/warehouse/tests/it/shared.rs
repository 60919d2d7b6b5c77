//! What stands in a query twice and is computed once.
//!
//! The table `big` has the numbers from 0 to 199,999 as `id` and `v`, and in `g` the last two digits of each: the sum of a
//! group is 2,000 times its number and 100 * (0 + 1 + … + 1,999) = 199,900,000 more. Expected values are arithmetic on that.

use feitian_meta::{Instance, InstanceState};
use serde_json::Value;

use super::sql::Bench;

const FLAG: &str = "odps.optimizer.enable.shared.parts";
const SUMS: &str = "with r as (select g, sum(v) as total from big group by g)";

async fn bench_of(bench: Bench) -> Bench {
    let cartesian = [("odps.sql.allow.cartesian".to_string(), "true".to_string())];
    let text = "create table big (id bigint, g bigint, v bigint, pad string); \
                insert into big select n, n % 100, n, repeat('x', 100) from (select x.n * 1000 + y.n as n \
                from (select explode(sequence(0, 199)) as n) x, (select explode(sequence(0, 999)) as n) y) z;";
    let made = bench.run(text, &cartesian).await;
    assert_eq!(made.state, InstanceState::Success, "{:?}", made.error);
    bench
}

async fn bench() -> Bench {
    bench_of(Bench::open().await).await
}

async fn run(bench: &Bench, query: &str, shares: bool) -> Instance {
    let flags = [(FLAG.to_string(), shares.to_string())];
    bench.run(query, &flags).await
}

/// How often an operator stands in the profile.
fn count(profile: &Value, name: &str) -> usize {
    let stages = profile["stages"].as_array().unwrap().iter();
    stages.flat_map(|s| s["operators"].as_array().unwrap()).filter(|o| o["name"] == name).count()
}

/// The rows of the query in order, how many rows its scans read, and how many leaves read what is shared.
async fn rows(bench: &Bench, query: &str, shares: bool) -> (Vec<String>, u64, usize) {
    let job = run(bench, query, shares).await;
    assert_eq!(job.state, InstanceState::Success, "{query}: {:?}", job.error);
    let profile = bench.warehouse.profile(&job).await.unwrap();
    let mut rows = bench.rows(&job).await.1;
    rows.sort();
    (rows, profile["rows_in"].as_u64().unwrap(), count(&profile, "SharedRowsExec"))
}

/// The query gives these rows in both ways, and reads the table once or twice.
async fn check(bench: &Bench, query: &str, wanted: &[&str]) {
    let wanted: Vec<String> = wanted.iter().map(|row| row.to_string()).collect();
    assert_eq!(rows(bench, query, true).await, (wanted.clone(), 200_000, 2), "{query}");
    assert_eq!(rows(bench, query, false).await, (wanted, 400_000, 0), "{query}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_of_with_that_is_read_twice_is_computed_once() {
    let bench = bench().await;
    // As in query 15 of TPC-H.
    let best = format!("{SUMS} select g, total from r where total = (select max(total) from r);");
    check(&bench, &best, &["99 | 200098000"]).await;
    let joined =
        format!("{SUMS} select count(*), sum(a.total - b.total), max(b.total) from r a join r b on a.g = b.g;");
    check(&bench, &joined, &["100 | 0 | 200098000"]).await;
    let ends = format!("{SUMS} select max(total) from r union all select min(total) from r;");
    check(&bench, &ends, &["199900000", "200098000"]).await;
    // Ten groups have more than 200,098,000 - 2,000 * 10.
    let above = "select count(total) from r where total > 200078000";
    check(&bench, &format!("{SUMS} {above} union all select count(total) from r;"), &["10", "100"]).await;
    let limited = "select count(total) from (select total from r limit 5) x union all select count(total) from r";
    check(&bench, &format!("{SUMS} {limited};"), &["100", "5"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_is_read_twice_is_computed_once_and_explain_says_so() {
    let bench = bench().await;
    let made = bench.run("create view r as select g, sum(v) as total from big group by g;", &[]).await;
    assert_eq!(made.state, InstanceState::Success, "{:?}", made.error);
    let best = "select g, total from r where total = (select max(total) from r);";
    check(&bench, best, &["99 | 200098000"]).await;
    for (shares, parts, leaves, scans) in [(true, 1, 2, 1), (false, 0, 0, 2)] {
        let job = run(&bench, &format!("explain {best}"), shares).await;
        let text = String::from_utf8(job.result_inline.unwrap_or_default()).unwrap();
        let count = |part: &str| text.matches(part).count();
        let found = (count("SharedPartsExec: parts=1"), count("SharedRowsExec: part=1"), count("DataSourceExec"));
        assert_eq!(found, (parts, leaves, scans), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shared_is_a_stage_that_others_read() {
    let bench = bench().await;
    let query = format!("{SUMS} select g, total from r where total = (select max(total) from r);");
    let job = run(&bench, &query, true).await;
    let profile = bench.warehouse.profile(&job).await.unwrap();
    let stages = profile["stages"].as_array().unwrap();
    let reads = |stage: &&Value| stage["operators"].as_array().unwrap().iter().any(|o| o["name"] == "SharedRowsExec");
    let mut inputs: Vec<&Value> = Vec::new();
    for stage in stages.iter().filter(reads) {
        inputs.extend(stage["inputs"].as_array().unwrap());
    }
    let made = inputs.first().copied().unwrap();
    let of_part = stages.iter().find(|stage| stage["id"] == *made).unwrap();
    assert_eq!((&of_part["state"], of_part["rows_out"].as_u64()), (&Value::from("done"), Some(100)), "{of_part}");
    assert!(inputs.iter().filter(|input| **input == made).count() == 2, "{inputs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_or_may_differ_is_computed_twice() {
    let bench = bench().await;
    let halves = "select count(total) from r where g < 10 union all select count(total) from r where g >= 10";
    let (found, _, leaves) = rows(&bench, &format!("{SUMS} {halves};"), true).await;
    assert_eq!((found, leaves), (vec!["10".to_string(), "90".to_string()], 0));
    let random = "with r as (select g, sum(v + rand()) as total from big group by g) \
                  select count(a.total), count(b.total) from r a join r b on a.g = b.g;";
    assert_eq!(rows(&bench, random, true).await, (vec!["100 | 100".to_string()], 400_000, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_in_what_is_shared_is_that_of_the_query() {
    let bench = bench().await;
    let text = "with r as (select g, sum(cast(concat('x', cast(v as string)) as bigint)) as total from big group by g) \
                select max(total) from r union all select min(total) from r;";
    let code = |job: Instance| {
        assert_eq!(job.state, InstanceState::Failed);
        job.error.unwrap_or_default().split(':').next().unwrap_or_default().to_string()
    };
    let (shared, alone) = (code(run(&bench, text, true).await), code(run(&bench, text, false).await));
    assert!(shared.starts_with("ODPS-"), "{shared}");
    assert_eq!(shared, alone);
}

// Arithmetic: 200,000 keys with 100 letters are 20 MB, and what is shared has an eighth of 128 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shared_may_be_larger_than_its_memory() {
    let bench = bench_of(Bench::open_small(128 << 20).await).await;
    let query = "with r as (select id, max(pad) as p from big group by id) \
                 select count(*), sum(length(p)) from r union all select max(id), sum(length(p)) from r;";
    let wanted = ["199999 | 20000000", "200000 | 20000000"].map(String::from).to_vec();
    assert_eq!(rows(&bench, query, true).await, (wanted, 200_000, 2));
    let profile = bench.warehouse.profile(&run(&bench, query, true).await).await.unwrap();
    let mut operators = profile["stages"].as_array().unwrap().iter().flat_map(|s| s["operators"].as_array().unwrap());
    let parts = operators.find(|o| o["name"] == "SharedPartsExec").unwrap();
    assert!(parts["spilled_bytes"].as_u64().unwrap() > 0, "{parts}");
}
