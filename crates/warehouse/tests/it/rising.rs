//! Groups in the order of rows: which files say that their columns rise, which plans use it, and that answers stay.

use serde_json::Value;

use crate::sql::{Bench, OWNER};
use crate::users::text;

const MEMBER: &str = "feitianRising";
const FORCED: &str = "set odps.optimizer.force.ordered.groups=true;";

/// The columns by which each file of the table rises.
async fn rising(bench: &Bench, table: &str) -> Vec<Vec<String>> {
    let open = bench.warehouse.catalog().open("demo", table).await.unwrap();
    let of = |stats: &str| -> Vec<String> {
        let stats: Value = serde_json::from_str(stats).unwrap();
        let names = stats[MEMBER]["columns"].as_array().cloned().unwrap_or_default();
        names.iter().map(|name| name.as_str().unwrap().to_string()).collect()
    };
    open.data().unwrap().files().iter().map(|f| of(f.stats.as_deref().unwrap())).collect()
}

/// Whether the plan makes groups in the order of rows.
async fn is_ordered(bench: &Bench, flags: &str, query: &str) -> bool {
    let plan = text(bench, OWNER, &format!("{flags} explain {query}")).await;
    let is_ordered = plan.contains("KeyRangesExec");
    assert_eq!(is_ordered, plan.contains("ordering_mode=Sorted"), "{plan}");
    is_ordered
}

/// The rows of a query, which are the same in both ways.
async fn rows(bench: &Bench, query: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for flags in [FORCED, "set odps.optimizer.enable.ordered.groups=false;"] {
        let job = bench.run(&format!("{flags} {query}"), &[]).await;
        assert_eq!(job.error, None, "{query}");
        answers.push(bench.rows(&job).await.1);
    }
    assert_eq!(answers[0], answers[1], "{query}");
    answers.swap_remove(0)
}

// Arithmetic: no value is less than the one before it in the order in which they were written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_writes_a_file_notes_what_rises() {
    let bench = Bench::open().await;
    let properties = "tblproperties ('transactional'='true')";
    text(&bench, OWNER, &format!("create table t (a bigint, d date, s string, n int) {properties}")).await;
    text(&bench, OWNER, "insert into t values (1, date '2024-01-01', 'a', 5), (2, date '2024-01-01', 'b', 4)").await;
    text(&bench, OWNER, "insert into t values (4, null, 'c', 1), (3, null, 'd', null)").await;
    assert_eq!(rising(&bench, "t").await, [vec!["a", "d"], vec![]]);
    let id = bench.warehouse.catalog().open("demo", "t").await.unwrap().row.id;
    assert_eq!(bench.warehouse.join_files(&id, &[], 2).await.unwrap(), 2);
    assert_eq!(rising(&bench, "t").await, [Vec::<String>::new()]);
    text(&bench, OWNER, "delete from t where a = 3").await;
    assert_eq!(rising(&bench, "t").await, [["a"]]);
    text(&bench, OWNER, "clone table t to u").await;
    assert_eq!(rising(&bench, "u").await, [["a"]]);
    text(&bench, OWNER, "alter table u change column a rename to z").await;
    assert_eq!(rising(&bench, "u").await, [["z"]]);
    text(&bench, OWNER, "update t set a = 9 where a = 2").await;
    assert_eq!(rows(&bench, "select a, count(*) from t group by a order by a").await, ["1 | 1", "4 | 1", "9 | 1"]);
    bench.warehouse.shutdown().await;
}

// Arithmetic on the rows that were inserted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_uses_the_order_while_there_is_one() {
    let bench = Bench::open().await;
    text(&bench, OWNER, "create table t (k bigint, v int)").await;
    for values in ["(5, 6)", "(1, 1), (1, 2), (2, 3)", "(2, 4), (3, 5)"] {
        text(&bench, OWNER, &format!("insert into t values {values}")).await;
    }
    let sums = "select k, count(*) as c, sum(v) as s from t group by k";
    assert!(is_ordered(&bench, FORCED, sums).await, "the first file has the last keys");
    assert!(!is_ordered(&bench, "", sums).await, "of few rows nothing is expected");
    assert!(!is_ordered(&bench, "set odps.optimizer.enable.ordered.groups=false;", sums).await);
    let sorted = format!("{sums} order by k");
    assert_eq!(rows(&bench, &sorted).await, ["1 | 2 | 3", "2 | 2 | 7", "3 | 1 | 5", "5 | 1 | 6"]);
    let having = "select k from t where v > 1 group by k having sum(v) > 5";
    assert!(is_ordered(&bench, FORCED, having).await);
    assert_eq!(rows(&bench, &format!("{having} order by k")).await, ["2", "5"]);
    assert!(is_ordered(&bench, FORCED, "select distinct k from t").await);
    assert_eq!(rows(&bench, "select distinct k from t where k between 2 and 4 order by k").await, ["2", "3"]);
    // Groups below joins.
    let joined = format!("select a.k, a.c, b.s from ({sums}) a join ({sums}) b on a.k = b.k order by a.k");
    assert_eq!(rows(&bench, &joined).await, ["1 | 2 | 3", "2 | 2 | 7", "3 | 1 | 5", "5 | 1 | 6"]);
    let semi = "select v from t where k in (select k from t group by k having count(*) > 1) order by v";
    assert_eq!(rows(&bench, semi).await, ["1", "2", "3", "4"]);
    for other in ["k, v", "k + 1", "k with rollup"] {
        assert!(!is_ordered(&bench, FORCED, &format!("select count(*) from t group by {other}")).await, "{other}");
    }
    assert_eq!(rows(&bench, "select k, v from t group by k, v having k < 2 order by k, v").await, ["1 | 1", "1 | 2"]);
    // A file between two others, and one over two.
    text(&bench, OWNER, "insert into t values (4, 7)").await;
    assert!(is_ordered(&bench, FORCED, sums).await);
    text(&bench, OWNER, "insert into t values (2, 8), (4, 9)").await;
    assert!(!is_ordered(&bench, FORCED, sums).await);
    let wanted = ["1 | 2 | 3", "2 | 3 | 15", "3 | 1 | 5", "4 | 2 | 16", "5 | 1 | 6"];
    assert_eq!(rows(&bench, &sorted).await, wanted);
    // The first file that was written has the greatest key and not the greatest value: one file of all does not rise.
    let id = bench.warehouse.catalog().open("demo", "t").await.unwrap().row.id;
    assert_eq!(bench.warehouse.join_files(&id, &[], 2).await.unwrap(), 5);
    assert_eq!(rising(&bench, "t").await, [Vec::<String>::new()]);
    assert!(!is_ordered(&bench, FORCED, sums).await);
    assert_eq!(rows(&bench, &sorted).await, wanted);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_and_columns_that_files_do_not_have_are_no_order() {
    let bench = Bench::open().await;
    text(&bench, OWNER, "create table t (k bigint, v int)").await;
    text(&bench, OWNER, "insert into t values (1, 1), (2, null)").await;
    text(&bench, OWNER, "insert into t values (3, 3)").await;
    let groups = |column: &str| format!("select {column}, count(*) from t group by {column}");
    assert!(is_ordered(&bench, FORCED, &groups("k")).await);
    assert!(!is_ordered(&bench, FORCED, &groups("v")).await);
    text(&bench, OWNER, "alter table t add columns (w bigint)").await;
    text(&bench, OWNER, "insert into t values (4, 4, 1)").await;
    assert!(is_ordered(&bench, FORCED, &groups("k")).await);
    assert!(!is_ordered(&bench, FORCED, &groups("w")).await);
    // Arithmetic: NULL is the smallest.
    assert_eq!(rows(&bench, &format!("{} order by w", groups("w"))).await, ["NULL | 3", "1 | 1"]);
    assert_eq!(rows(&bench, &format!("{} order by v", groups("v"))).await, ["NULL | 1", "1 | 1", "3 | 1", "4 | 1"]);
    bench.warehouse.shutdown().await;
}

/// Three files with the numbers from 0 to 89,999, four of each key: a key has rows in two files twice. The first one has
/// many batches of rows; each of what it is joined of, and of the others, is one batch, which nothing brings out of order.
async fn load_many(bench: &Bench) {
    text(bench, OWNER, "create table big (k bigint, n bigint)").await;
    let insert = async |from: i64, to: i64| {
        let numbers = format!("(select explode(sequence({from}, {to})) as n) x");
        text(bench, OWNER, &format!("insert into big select n div 4, n from {numbers}")).await;
    };
    for from in (0..75_000).step_by(7_500) {
        insert(from, if from == 67_500 { 75_001 } else { from + 7_499 }).await;
    }
    let id = bench.warehouse.catalog().open("demo", "big").await.unwrap().row.id;
    assert_eq!(bench.warehouse.join_files(&id, &[], 2).await.unwrap(), 10);
    insert(75_002, 82_501).await;
    insert(82_502, 89_999).await;
    assert_eq!(rising(bench, "big").await, vec![vec!["k", "n"]; 3]);
}

// Arithmetic: 90,000 * 89,999 / 2, and 16 k + 6 is more than 359,000 from 22,438 to 22,499.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_batches_of_files_that_touch_are_whole_groups() {
    let bench = Bench::open().await;
    load_many(&bench).await;
    let sums = "select k, count(*) as c, sum(n) as s from big group by k";
    assert!(is_ordered(&bench, FORCED, sums).await);
    let all = format!("select count(*), min(c), max(c), sum(s) from ({sums}) x");
    assert_eq!(rows(&bench, &all).await, ["22500 | 4 | 4 | 4049955000"]);
    let few = "select count(*) from (select k from big group by k having sum(n) > 359000) x";
    assert_eq!(rows(&bench, few).await, ["62"]);
    let one = "select k, count(*), sum(n) from big where k in (18750, 20625) group by k order by k";
    assert_eq!(rows(&bench, one).await, ["18750 | 4 | 300006", "20625 | 4 | 330006"]);
    bench.warehouse.shutdown().await;
}
