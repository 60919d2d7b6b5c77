//! How many different values columns have: what files say of it, who changes that, and what plans know.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use feitian_base::Kind;
use feitian_meta::Step;
use feitian_warehouse::{Change, DataFile, OpenTable, Replace, provider};
use serde_json::{Map, Value};

use crate::sql::{Bench, OWNER};
use crate::users::{USER_ID, refused, text};

const MEMBER: &str = "feitianDistinct";

async fn table(bench: &Bench) -> OpenTable {
    bench.warehouse.catalog().open("demo", "t").await.unwrap()
}

fn stats(file: &DataFile) -> Map<String, Value> {
    serde_json::from_str(file.stats.as_deref().unwrap()).unwrap()
}

/// The sketches of the table's only file.
async fn sketches(bench: &Bench) -> Option<Value> {
    let open = table(bench).await;
    let files = open.data().unwrap().files();
    assert_eq!(files.len(), 1);
    stats(&files[0]).get(MEMBER).cloned()
}

/// What plans know of the columns.
async fn known(bench: &Bench) -> Vec<Precision<usize>> {
    let known = provider(&table(bench).await, bench.warehouse.catalog()).statistics().unwrap();
    known.column_statistics.iter().map(|c| c.distinct_count).collect()
}

/// The files as a feitian wrote them that knew no sketches.
async fn forget(bench: &Bench) {
    let open = table(bench).await;
    let without = |file: &Arc<DataFile>| {
        let mut stats = stats(file);
        stats.remove(MEMBER).unwrap();
        DataFile { stats: Some(Value::Object(stats).to_string()), ..file.as_ref().clone() }
    };
    let files: Vec<DataFile> = open.data().unwrap().files().iter().map(without).collect();
    let replace = Replace::Described(files.iter().map(|f| f.path.clone()).collect());
    let change = Change { replace, ..Change::append(open.row, files) };
    bench.warehouse.catalog().commit(vec![change], "forgets", 0, 0, &Step::None).await.unwrap();
}

async fn rows(bench: &Bench) -> Vec<String> {
    let query = bench.run("select a, b from t order by a, b", &[]).await;
    assert_eq!(query.error, None);
    bench.rows(&query).await.1
}

// Arithmetic: the values that were written, without NULL. So few are counted exactly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_writes_a_file_counts_its_values() {
    let bench = Bench::open().await;
    text(&bench, OWNER, "create table t (a bigint, b string) tblproperties ('transactional'='true')").await;
    text(&bench, OWNER, "insert into t values (1, 'x'), (2, 'x'), (2, null)").await;
    let members: Vec<String> = sketches(&bench).await.unwrap().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["a", "b"]);
    let some = Precision::Inexact;
    assert_eq!(known(&bench).await, [some(2), some(1)]);
    text(&bench, OWNER, "insert into t values (3, 'y')").await;
    assert_eq!(known(&bench).await, [some(3), some(2)]);
    let id = table(&bench).await.row.id;
    assert_eq!(bench.warehouse.join_files(&id, &[], 2).await.unwrap(), 2);
    assert!(sketches(&bench).await.is_some());
    assert_eq!(known(&bench).await, [some(3), some(2)]);
    text(&bench, OWNER, "delete from t where a = 3").await;
    assert_eq!(known(&bench).await, [some(2), some(1)]);
    bench.warehouse.shutdown().await;
}

// What ANALYZE finds is what the writer of the file found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analyze_tells_what_a_file_does_not() {
    let bench = Bench::open().await;
    text(&bench, OWNER, "create table t (a bigint, b string)").await;
    text(&bench, OWNER, "insert into t values (1, 'x'), (2, 'x'), (2, null)").await;
    let (written, before) = (sketches(&bench).await.unwrap(), table(&bench).await);
    text(&bench, OWNER, "analyze table t compute statistics").await;
    let version = |open: &OpenTable| open.data().unwrap().version;
    assert_eq!(version(&table(&bench).await), version(&before), "there is nothing to do");
    forget(&bench).await;
    assert_eq!(sketches(&bench).await, None);
    assert_eq!(known(&bench).await, [Precision::Absent; 2]);
    text(&bench, OWNER, "analyze table t compute statistics for columns (b)").await;
    assert_eq!(sketches(&bench).await.unwrap(), serde_json::json!({"b": written["b"]}));
    text(&bench, OWNER, "analyze table t compute statistics").await;
    assert_eq!(sketches(&bench).await.unwrap(), written);
    let after = table(&bench).await;
    assert_eq!(version(&after), version(&before) + 3);
    text(&bench, OWNER, "analyze table t compute statistics for columns").await;
    assert_eq!(version(&table(&bench).await), version(&after), "the second time finds nothing to do");
    // No row has changed, and nobody is told that one has.
    assert_eq!(rows(&bench).await, ["1 | x", "2 | NULL", "2 | x"]);
    assert_eq!(after.row.modified_ms, before.row.modified_ms);
    let report = feitian_warehouse::check::run(&bench.warehouse, false).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analyze_of_a_partition_leaves_the_others() {
    let bench = Bench::open().await;
    text(&bench, OWNER, "create table t (a bigint, b string) partitioned by (ds string, hh bigint)").await;
    for spec in ["ds='1', hh=1", "ds='1', hh=2", "ds='2', hh=1"] {
        text(&bench, OWNER, &format!("insert into t partition ({spec}) values (1, 'x')")).await;
    }
    forget(&bench).await;
    text(&bench, OWNER, "analyze table t partition (ds='1', hh=2) compute statistics for columns").await;
    let told = async || {
        let open = table(&bench).await;
        open.data().unwrap().files().iter().filter(|f| stats(f).contains_key(MEMBER)).count()
    };
    assert_eq!(told().await, 1);
    text(&bench, OWNER, "analyze table t partition (ds='1') compute statistics for columns (a)").await;
    assert_eq!(told().await, 2);
    text(&bench, OWNER, "analyze table t compute statistics").await;
    assert_eq!(told().await, 3);
    bench.warehouse.shutdown().await;
}

// A file that has gone is not to come back by being described.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_gives_way_when_its_file_is_gone() {
    let bench = Bench::open().await;
    text(&bench, OWNER, "create table t (a bigint, b string)").await;
    text(&bench, OWNER, "insert into t values (1, 'x')").await;
    let open = table(&bench).await;
    let files: Vec<DataFile> = open.data().unwrap().files().iter().map(|f| f.as_ref().clone()).collect();
    text(&bench, OWNER, "insert overwrite table t values (2, 'y')").await;
    let paths = files.iter().map(|f| f.path.clone()).collect();
    let late = Change { replace: Replace::Described(paths), ..Change::append(open.row, files) };
    let refusal = bench.warehouse.catalog().commit(vec![late], "late", 0, 0, &Step::None).await.unwrap_err();
    assert_eq!(refusal.kind(), Kind::Conflict);
    assert_eq!(rows(&bench).await, ["2 | y"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analyze_needs_the_right_to_alter_the_table() {
    let bench = Bench::open().await;
    text(&bench, OWNER, "create table t (a bigint)").await;
    bench.warehouse.meta().add_user("demo", USER_ID, &Step::None).await.unwrap();
    text(&bench, OWNER, "grant describe, select on table t to user ALIYUN$other").await;
    refused(&bench, "analyze table t compute statistics", "odps:Alter").await;
    bench.warehouse.shutdown().await;
}
