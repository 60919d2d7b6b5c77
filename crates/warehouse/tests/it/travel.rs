//! Time travel ends where files were collected, and a restored version is one commit like any other.

use std::time::Duration;

use feitian_warehouse::check;

use crate::sql::Bench;

async fn sql(bench: &Bench, text: &str) {
    let ended = bench.run(text, &[]).await;
    assert_eq!(ended.error, None, "{text}");
}

async fn rows(bench: &Bench, query: &str) -> Vec<String> {
    let ended = bench.run(query, &[]).await;
    assert_eq!(ended.error, None, "{query}");
    bench.rows(&ended).await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_whose_files_were_collected_is_refused_by_its_name() {
    let bench = Bench::open().await;
    sql(&bench, "create table t (a bigint) tblproperties ('transactional'='true'); insert into t values (1)").await;
    sql(&bench, "insert overwrite table t values (2)").await;
    assert_eq!(rows(&bench, "select a from t version as of 1").await, ["1"]);
    bench.warehouse.collect(Duration::ZERO).await.expect("collected");
    for query in ["select a from t version as of 1", "restore table t to lsn '1'"] {
        let error = bench.run(query, &[]).await.error.unwrap_or_default();
        assert!(error.starts_with("ODPS-0130071:[1,"), "{query}: {error}");
        assert!(error.contains("that version of table demo.t is not kept any more"), "{query}: {error}");
    }
    assert_eq!(rows(&bench, "select a from t version as of 2").await, ["2"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_version_survives_the_collection_of_what_it_was() {
    let bench = Bench::open().await;
    sql(&bench, "create table t (a bigint); insert into t values (1); insert overwrite table t values (2)").await;
    sql(&bench, "restore table t to lsn '1'").await;
    bench.warehouse.collect(Duration::ZERO).await.expect("collected");
    assert_eq!(rows(&bench, "select a from t").await, ["1"]);
    sql(&bench, "create table p (a bigint) partitioned by (ds string); insert into p partition (ds='1') values (1)")
        .await;
    sql(&bench, "insert into p partition (ds='2') values (2); insert overwrite table p partition (ds='1') values (9)")
        .await;
    sql(&bench, "restore table p to lsn '1'").await;
    assert_eq!(rows(&bench, "select a, ds from p where ds > ''").await, ["1 | 1"]);
    let report = check::run(&bench.warehouse, false).await.expect("a report");
    assert_eq!(report.problems, Vec::<String>::new());
    bench.warehouse.shutdown().await;
}
