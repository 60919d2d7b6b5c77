//! LIFECYCLE: what nobody has changed for so many days goes, once, and nothing else. Time is what the test says it is.

use feitian_meta::Step;
use feitian_warehouse::Warehouse;

use crate::old::{World, put};
use crate::sql::Bench;

/// MaxCompute documentation, "Lifecycle": counted in days.
const DAY_MS: i64 = 24 * 3600 * 1000;

async fn sql(bench: &Bench, text: &str) {
    let ended = bench.run(text, &[]).await;
    assert_eq!(ended.error, None, "{text}");
}

async fn partitions(w: &Warehouse, project: &str, table: &str) -> Vec<String> {
    let page = w.list_partitions(project, table, None, false, None, 100).await.expect("partitions");
    page.items.into_iter().map(|p| p.spec).collect()
}

async fn modified_ms(w: &Warehouse, table: &str) -> i64 {
    w.meta().table_named("demo", table).await.expect("readable").expect("the table").modified_ms
}

async fn exists(w: &Warehouse, table: &str) -> bool {
    w.meta().table_named("demo", table).await.expect("readable").is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_goes_when_its_last_change_is_older_than_its_lifecycle() {
    let bench = Bench::open().await;
    let w = &bench.warehouse;
    sql(&bench, "create table t (a bigint) lifecycle 2; insert into t values (1); create table for_ever (a bigint)")
        .await;
    sql(&bench, "create table kept (a bigint) lifecycle 1; alter table kept disable lifecycle").await;
    let changed = modified_ms(w, "t").await;
    assert_eq!(w.end_lifecycles(changed + 2 * DAY_MS).await.expect("looked"), 0);
    assert!(exists(w, "t").await);
    assert_eq!(w.end_lifecycles(changed + 2 * DAY_MS + 1).await.expect("looked"), 1);
    assert!(!exists(w, "t").await && exists(w, "for_ever").await && exists(w, "kept").await);
    // The name is free, and a change makes a table young again.
    sql(&bench, "create table t (a bigint) lifecycle 1").await;
    let made = modified_ms(w, "t").await;
    sql(&bench, "insert into t values (2)").await;
    assert_eq!(w.end_lifecycles(made + DAY_MS + 1).await.expect("looked"), 0);
    sql(&bench, "alter table kept enable lifecycle").await;
    assert_eq!(w.end_lifecycles(modified_ms(w, "t").await + 366 * DAY_MS).await.expect("looked"), 2);
    assert!(exists(w, "for_ever").await);
    w.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_go_one_by_one_and_their_table_stays() {
    let bench = Bench::open().await;
    let w = &bench.warehouse;
    sql(&bench, "create table p (a bigint) partitioned by (ds string) lifecycle 1").await;
    sql(&bench, "insert into p partition (ds='1') values (1); alter table p add partition (ds='2') partition (ds='3')")
        .await;
    sql(&bench, "alter table p partition (ds='3') disable lifecycle").await;
    let changed = modified_ms(w, "p").await.max(feitian_base::clock::tick_ms());
    sql(&bench, "insert into p partition (ds='4') values (4)").await;
    // `4` was changed later than the others.
    assert_eq!(w.end_lifecycles(changed + DAY_MS + 1).await.expect("looked"), 2);
    assert_eq!(partitions(w, "demo", "p").await, ["ds=3", "ds=4"]);
    // Off was the partition of that time, not its name.
    sql(&bench, "alter table p drop partition (ds='3'); alter table p add partition (ds='3')").await;
    assert_eq!(w.end_lifecycles(changed + 366 * DAY_MS).await.expect("looked"), 2);
    assert_eq!(partitions(w, "demo", "p").await, Vec::<String>::new());
    assert!(exists(w, "p").await);
    assert_eq!(w.table("demo", "p").await.expect("the table").num_rows, 0);
    w.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_end_each_partition_once_and_keep_what_comes_meanwhile() {
    let world = World::new().await;
    let (here, there) = (world.open().await, world.open().await);
    crate::old::create(&here, &["ds"]).await;
    let row = here.meta().table_named("p", "t").await.expect("readable").expect("the table");
    let row = feitian_meta::Table { lifecycle: 1, ..row };
    here.meta().update_table(&row, row.schema_version, &Step::None).await.expect("a lifecycle");
    for ds in ["ds=1", "ds=2"] {
        put(&here, Some(ds), &[1]).await.expect("written");
    }
    let later = feitian_base::clock::tick_ms() + 2 * DAY_MS;
    let (a, b) = tokio::join!(here.end_lifecycles(later), there.end_lifecycles(later));
    assert_eq!(a.expect("looked") + b.expect("looked"), 2);
    assert_eq!(partitions(&there, "p", "t").await, Vec::<String>::new());
    assert!(here.meta().open_commit_records(None).await.expect("readable").is_empty());
    // What is written afterwards is there, for both.
    put(&there, Some("ds=1"), &[7]).await.expect("written");
    assert_eq!(here.table("p", "t").await.expect("the table").num_rows, 1);
    assert_eq!(here.end_lifecycles(feitian_base::clock::tick_ms()).await.expect("looked"), 0);
    assert_eq!(partitions(&here, "p", "t").await, ["ds=1"]);
}
