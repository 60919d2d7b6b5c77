//! The queries of listings and hot paths read a range of an index and sort nothing.

use super::*;
use crate::rows::StateClass::{Running, Waiting};
use sqlx::Row;

/// SQLite's plan, one line an operation; sqlite.org/eqp.html explains the words.
async fn plan(m: &Meta, sql: &str) -> String {
    let rows = m.writer().fetch_all(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).await.unwrap();
    rows.iter().map(|r| r.try_get::<String, _>("detail").unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn listings_and_hot_paths_are_index_ranges() {
    let dir = tempfile::tempdir().unwrap();
    let m = Meta::open(&format!("sqlite://{}/meta.db", dir.path().display())).await.unwrap();
    let list = crate::instances::list_sql;
    for (sql, index) in [
        (crate::tables::BY_NAME.to_string(), "tables_live"),
        (crate::tables::LIST.to_string(), "tables_live"),
        (crate::partitions::LIST.to_string(), "partitions_order"),
        (crate::partitions::LIST_BACKWARDS.to_string(), "partitions_order"),
        (crate::instances::WAITING.to_string(), "instances_waiting"),
        (crate::instances::RUNNING.to_string(), "instances_running"),
        (list(None, false, false), "instances_time"),
        (list(None, true, false), "instances_project"),
        (list(None, true, true), "instances_owner"),
        (list(None, false, true), "instances_owner"),
        (list(Some(Running), true, false), "instances_running"),
        (crate::sessions::OPEN_OF_TABLE.to_string(), "sessions_open"),
        (crate::sessions::EXPIRE.to_string(), "sessions_expiry"),
        (crate::requeue::EXPIRE.to_string(), "instances_ended"),
    ] {
        let plan = plan(&m, &sql).await;
        assert!(plan.contains(index), "{sql}\n{plan}");
        // The open sessions of one table are few; they are sorted by id.
        assert!(!plan.contains("TEMP B-TREE") || index == "sessions_open", "{sql}\n{plan}");
    }
    assert!(!plan(&m, &list(Some(Waiting), true, false)).await.contains("SCAN"));
}
