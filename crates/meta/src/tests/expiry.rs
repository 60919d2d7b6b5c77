//! Tables and partitions whose lifecycle is over go only as they were seen.

use super::*;

async fn short_lived(meta: &Meta) -> Table {
    with_project(meta).await;
    let t = Table { lifecycle: 2, ..table("t1", "t") };
    meta.create_table(&t, &[partition("1"), partition("2")], &Step::None).await.unwrap();
    t
}

#[tokio::test]
async fn tables_with_a_lifecycle_are_found_while_they_live() {
    on_both(async |db| {
        let m = &db.meta;
        let t = short_lived(m).await;
        m.create_table(&table("t2", "for_ever"), &[], &Step::None).await.unwrap();
        assert_eq!(m.tables_with_lifecycle().await.unwrap(), std::slice::from_ref(&t));
        assert!(m.expire_table(&t, 9_000).await.unwrap());
        assert_eq!(m.tables_with_lifecycle().await.unwrap(), []);
        assert_eq!(m.table_by_id("t1").await.unwrap().unwrap().dropped_ms, Some(9_000));
        // Whoever comes second.
        assert!(!db.another().await.expire_table(&t, 9_001).await.unwrap());
        assert_eq!(m.table_by_id("t1").await.unwrap().unwrap().dropped_ms, Some(9_000));
    })
    .await;
}

#[tokio::test]
async fn a_table_that_was_changed_since_it_was_seen_stays() {
    on_both(async |db| {
        let m = &db.meta;
        let t = short_lived(m).await;
        let others = [
            Table { lifecycle: 3, ..t.clone() },
            Table { properties: "{\"lifecycle.enabled\":\"false\"}".into(), ..t.clone() },
            Table { schema_version: 1, ..t.clone() },
            Table { modified_ms: 2_999, ..t.clone() },
        ];
        for other in &others {
            assert!(!m.expire_table(other, 9_000).await.unwrap(), "{other:?}");
        }
        // A commit is under way.
        m.put_commit_record(&record("r1", "u", 0, 0), 0).await.unwrap();
        assert!(!m.expire_table(&t, 9_000).await.unwrap());
        m.abandon_commit("r1").await.unwrap();
        // Somebody writes into it, until the session expires. Who reads does not keep it.
        m.create_session(&session("s1", "upload")).await.unwrap();
        m.create_session(&Session { expires_ms: 200_000, ..session("s2", "download") }).await.unwrap();
        m.create_session(&Session { expires_ms: 200_000, ..session("s3", "storage_read") }).await.unwrap();
        assert!(!m.expire_table(&t, 9_000).await.unwrap());
        assert!(m.expire_table(&t, 100_000).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn partitions_are_announced_once_and_only_while_nobody_has_changed_them() {
    on_both(async |db| {
        let m = &db.meta;
        let t = short_lived(m).await;
        let both = texts(&["ds=1", "ds=2"]);
        // The partitions of the harness were changed at 4,000.
        assert_eq!(m.partitions_unchanged("t1", 4_000).await.unwrap(), []);
        assert_eq!(m.partitions_unchanged("t1", 4_001).await.unwrap(), [partition("1"), partition("2")]);
        let first = record("r1", "a", 0, 0);
        assert!(!m.put_expiry(&first, &t, &both, 4_000).await.unwrap());
        assert!(!m.put_expiry(&first, &t, &texts(&["ds=3"]), 4_001).await.unwrap());
        m.touch_partition("t1", "ds=2", 5_000, &Step::None).await.unwrap();
        assert!(!m.put_expiry(&first, &t, &both, 4_001).await.unwrap());
        assert!(m.open_commit_records(None).await.unwrap().is_empty());
        let one = texts(&["ds=1"]);
        assert!(m.put_expiry(&first, &t, &one, 4_001).await.unwrap());
        assert_eq!(m.open_commit_records(None).await.unwrap(), std::slice::from_ref(&first));
        // What its announcement came before cannot be answered as if the partition stayed.
        let drops = CommitRecord { actions: r#"{"files":[],"drop":["ds=2"]}"#.into(), ..record("r3", "c", 0, 0) };
        m.put_commit_record(&drops, 0).await.unwrap();
        let touched = db.another().await.touch_partition("t1", "ds=2", 6_000, &Step::None).await;
        refused(touched, Kind::Conflict, "ODPS-0110061");
        assert_eq!(m.partition("t1", "ds=2").await.unwrap().unwrap().modified_ms, 5_000);
        m.abandon_commit("r3").await.unwrap();
        assert!(!db.another().await.put_expiry(&record("r2", "b", 0, 0), &t, &one, 4_001).await.unwrap());
        m.finish_commit("r1", "t1", 1, &[], &one, &[], 1, &Step::None).await.unwrap();
        assert!(!m.put_expiry(&record("r2", "b", 0, 0), &t, &one, 4_001).await.unwrap());
    })
    .await;
}
