//! The queries of listings and hot paths read a range of an index and sort nothing.

use super::*;
use crate::rows::StateClass::{Cancelled, Failed, Running, Waiting};
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
        (crate::tables::LIST_NAMES.to_string(), "tables_live"),
        (crate::partitions::LIST.to_string(), "partitions_order"),
        (crate::partitions::LIST_BACKWARDS.to_string(), "partitions_order"),
        (crate::partitions::LARGEST.to_string(), "partitions_order"),
        (crate::instances::WAITING.to_string(), "instances_waiting"),
        (crate::instances::RUNNING.to_string(), "instances_running"),
        (crate::instances::STOPS.to_string(), "instances_running"),
        (crate::instances::EARLIER.to_string(), "instances_query"),
        (list(None, false, false), "instances_time"),
        (list(None, true, false), "instances_project"),
        (list(None, true, true), "instances_project_owner"),
        (list(None, false, true), "instances_owner"),
        (list(Some(Failed), true, false), "instances_failed"),
        (list(Some(Failed), true, true), "instances_failed"),
        (list(Some(Cancelled), true, false), "instances_cancelled"),
        (list(Some(Cancelled), true, true), "instances_cancelled"),
        (crate::sessions::OPEN_OF_TABLE.to_string(), "sessions_open"),
        (crate::sessions::EXPIRE.to_string(), "sessions_expiry"),
        (crate::requeue::EXPIRE.to_string(), "instances_ended"),
        (crate::system::TABLES.to_string(), "tables_live"),
        (crate::system::SESSIONS.to_string(), "sqlite_autoindex_sessions_1"),
        (crate::volumes::LIST.to_string(), "volumes_name"),
        (crate::volume_entries::LIST.to_string(), "sqlite_autoindex_volume_entries_1"),
    ] {
        let plan = plan(&m, &sql).await;
        assert!(plan.contains(index), "{sql}\n{plan}");
        // The open sessions of one table are few; they are sorted by id.
        assert!(!plan.contains("TEMP B-TREE") || index == "sessions_open", "{sql}\n{plan}");
    }
    // The places of jobs come from the index alone.
    for (project, index) in [(false, "COVERING INDEX instances_time"), (true, "COVERING INDEX instances_project ")] {
        let sql = crate::system::PLACE.to_string() + &crate::instances::range_sql(None, project, false);
        let plan = plan(&m, &sql).await;
        assert!(plan.contains(index), "{sql}\n{plan}");
    }
    // Sums are grouped after that.
    let sums = plan(&m, crate::system::SUMS).await;
    assert!(sums.contains("SEARCH t USING INDEX tables_live") && !sums.contains("SCAN"), "{sums}");
    let sums = plan(&m, crate::system::SUMS_OF_ONE).await;
    assert!(sums.contains("SEARCH partitions USING INDEX"), "{sums}");
    // The jobs that run or wait are few, and the index of their state holds no others; they are sorted after that.
    for (class, index) in [(Running, "USING INDEX instances_running"), (Waiting, "USING INDEX instances_waiting")] {
        for (project, owner) in [(true, true), (true, false), (false, true), (false, false)] {
            let plan = plan(&m, &list(Some(class), project, owner)).await;
            assert!(plan.contains(index), "{plan}");
        }
    }
}
