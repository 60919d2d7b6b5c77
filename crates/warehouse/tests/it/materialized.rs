//! Materialized views: with whose rights they are rebuilt, and rebuilds at the same time.

use feitian_meta::InstanceState;

use crate::sql::OWNER;
use crate::users::{self, USER, refused, rows, run_as, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_who_rebuilds_and_who_owns_must_be_allowed_to_read() {
    let bench = users::open().await;
    text(&bench, OWNER, "grant createtable on project demo to user ALIYUN$other").await;
    refused(&bench, "create materialized view mine as select a from secret", "odps:Select").await;
    text(&bench, OWNER, "grant select on table secret to user ALIYUN$other").await;
    text(&bench, USER, "create materialized view mine as select a from secret").await;
    assert_eq!(rows(&bench, "select a from mine").await, ["42"]);
    text(&bench, OWNER, "insert into secret values (43); alter materialized view mine rebuild").await;
    assert_eq!(rows(&bench, "select a from mine order by a").await, ["42", "43"]);
    text(&bench, OWNER, "revoke select on table secret from user ALIYUN$other").await;
    text(&bench, OWNER, "insert into secret values (44)").await;
    // The owner of the view would read what another one has rebuilt.
    let rebuilt = run_as(&bench, OWNER, "alter materialized view mine rebuild", &[]).await;
    assert!(rebuilt.error.unwrap_or_default().starts_with("ODPS-0130013:"));
    refused(&bench, "alter materialized view mine rebuild", "odps:Select").await;
    assert_eq!(rows(&bench, "select a from mine order by a").await, ["42", "43"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn privileges_on_it_are_those_on_a_table() {
    let bench = users::open().await;
    text(&bench, OWNER, "create materialized view mv as select a from secret").await;
    refused(&bench, "select a from mv", "odps:Select").await;
    refused(&bench, "select materialized_view_is_valid('mv')", "odps:Select").await;
    refused(&bench, "alter materialized view mv rebuild", "odps:Alter").await;
    refused(&bench, "drop materialized view mv", "odps:Drop").await;
    refused(&bench, "create materialized view mine as select 1 as a", "odps:CreateTable").await;
    text(&bench, OWNER, "grant select on table mv to user ALIYUN$other").await;
    assert_eq!(rows(&bench, "select a from mv").await, ["42"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rebuilds_at_the_same_time_leave_one_set_of_rows() {
    let bench = users::open().await;
    text(&bench, OWNER, "create materialized view mv as select a from secret").await;
    let run = |query: &'static str| {
        let bench = &bench;
        async move { run_as(bench, OWNER, query, &[]).await.state }
    };
    let (first, second, insert) = futures::join!(
        run("alter materialized view mv rebuild"),
        run("alter materialized view mv rebuild"),
        run("insert into secret values (43)")
    );
    assert_eq!([first, second, insert], [InstanceState::Success; 3]);
    text(&bench, OWNER, "alter materialized view mv rebuild").await;
    let ended = run_as(&bench, OWNER, "select count(*), materialized_view_is_valid('mv') from mv", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["2 | TRUE"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_asks_for_tables_which_it_does_not_read_is_never_called_valid() {
    let bench = users::open().await;
    text(&bench, OWNER, "create materialized view mv as select a, table_exists('later') as b from secret").await;
    text(&bench, OWNER, "create table later (a bigint)").await;
    let ended = run_as(&bench, OWNER, "select b, materialized_view_is_valid('mv') from mv", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["FALSE | FALSE"]);
    text(&bench, OWNER, "alter materialized view mv rebuild").await;
    let ended = run_as(&bench, OWNER, "select b from mv", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["TRUE"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_goes_by_the_name_of_what_it_reads() {
    let bench = users::open().await;
    text(&bench, OWNER, "create materialized view mv as select a from secret").await;
    text(&bench, OWNER, "alter table secret rename to before").await;
    let valid = "select materialized_view_is_valid('mv')";
    let ended = run_as(&bench, OWNER, valid, &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["FALSE"]);
    let failed = run_as(&bench, OWNER, "alter materialized view mv rebuild", &[]).await;
    assert!(failed.error.unwrap_or_default().starts_with("ODPS-0130131:"));
    text(&bench, OWNER, "create table secret (a bigint); insert into secret values (7)").await;
    text(&bench, OWNER, "alter materialized view mv rebuild").await;
    let ended = run_as(&bench, OWNER, "select a, materialized_view_is_valid('mv') from mv", &[]).await;
    assert_eq!(bench.rows(&ended).await.1, ["7 | TRUE"]);
    bench.warehouse.shutdown().await;
}
