//! Opening: durability settings, paths, versions, and two processes at once.

use super::*;
use sqlx::{AnyPool, Row};

/// One value of a pragma or a setting, as text.
async fn value(pool: &AnyPool, sql: &'static str) -> String {
    let row = pool.fetch_one(sql).await.unwrap();
    row.try_get::<String, _>(0).or_else(|_| row.try_get::<i64, _>(0).map(|n| n.to_string())).unwrap()
}

// sqlite.org/pragma.html: synchronous 2 is FULL, which in WAL mode syncs the log at every commit.
#[tokio::test]
async fn sqlite_syncs_every_commit_and_readers_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let meta = Meta::open(&format!("sqlite://{}/meta.db", dir.path().display())).await.unwrap();
    for pool in [meta.writer(), meta.reader()] {
        assert_eq!(value(pool, "PRAGMA journal_mode").await, "wal");
        assert_eq!(value(pool, "PRAGMA synchronous").await, "2");
        assert_eq!(value(pool, "PRAGMA busy_timeout").await, "10000");
        assert_eq!(value(pool, "PRAGMA foreign_keys").await, "0");
    }
    assert_eq!(value(meta.reader(), "PRAGMA query_only").await, "1");
    assert!(meta.reader().execute("DELETE FROM accounts").await.is_err());
    assert_eq!((meta.writer().options().get_max_connections(), meta.is_shared()), (1, false));
}

#[tokio::test]
async fn postgres_ends_a_transaction_that_its_owner_forgot() {
    on_postgres(async |db| {
        assert!(db.meta.is_shared());
        assert_eq!(value(db.meta.writer(), "SHOW idle_in_transaction_session_timeout").await, "30s");
        assert_eq!(value(db.meta.writer(), "SHOW transaction_isolation").await, "read committed");
    })
    .await;
}

#[tokio::test]
async fn the_path_of_the_file_is_taken_literally() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("a b%41?mode=ro#é");
    std::fs::create_dir(&odd).unwrap();
    Meta::open(&format!("sqlite://{}/meta.db", odd.display())).await.unwrap();
    assert!(odd.join("meta.db").exists());
}

#[tokio::test]
async fn what_cannot_be_opened_is_named_without_the_password() {
    refused(Meta::open("mysql://root@h/x").await.map(|_| ()), Kind::Invalid, "InvalidArgument");
    refused(Meta::open("sqlite://meta.db").await.map(|_| ()), Kind::Invalid, "InvalidArgument");
    let message = refused(
        Meta::open("sqlite:///nowhere/at/all/meta.db").await.map(|_| ()),
        Kind::Unavailable,
        "ServiceUnavailable",
    );
    assert!(message.contains("/nowhere/at/all/meta.db"), "{message}");
    // Port 1 of the own machine answers nobody.
    let gone = Meta::open("postgres://u:secret@127.0.0.1:1/x").await.map(|_| ());
    assert!(!refused(gone, Kind::Unavailable, "ServiceUnavailable").contains("secret"));
    let bad = Meta::open("postgres://u:secret@[::1/x").await.map(|_| ());
    assert!(!refused(bad, Kind::Invalid, "InvalidArgument").contains("secret"));
}

#[tokio::test]
async fn a_database_keeps_its_rows_and_a_newer_one_is_refused_by_its_version() {
    on_both(async |db| {
        db.meta.create_account(&account("u1")).await.unwrap();
        let again = db.another().await;
        assert_eq!(again.account("u1").await.unwrap(), Some(account("u1")));
        again.writer().execute("UPDATE schema_version SET version = 9999").await.unwrap();
        let message = refused(Meta::open(&db.url).await.map(|_| ()), Kind::Unsupported, "MethodNotAllowed");
        assert!(message.contains("9999"), "{message}");
        again.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_make_the_tables_once() {
    on_both(async |db| {
        // Back to nothing, then four at once.
        let names = match db.meta.is_shared() {
            true => "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'public'",
            false => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        };
        for row in db.meta.writer().fetch_all(names).await.unwrap() {
            let name: String = row.try_get(0).unwrap();
            db.meta.writer().execute(AssertSqlSafe(format!("DROP TABLE {name}"))).await.unwrap();
        }
        let opened = tokio::join!(Meta::open(&db.url), Meta::open(&db.url), Meta::open(&db.url), Meta::open(&db.url));
        for meta in [opened.0, opened.1, opened.2, opened.3] {
            let meta = meta.unwrap();
            assert_eq!(meta.list_accounts().await.unwrap(), vec![]);
            meta.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_closed_database_is_unavailable() {
    on_both(async |db| {
        let second = db.another().await;
        second.close().await;
        refused(second.account("u1").await, Kind::Unavailable, "ServiceUnavailable");
        refused(second.create_account(&account("u1")).await, Kind::Unavailable, "ServiceUnavailable");
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_is_given_up_half_way_leaves_nothing() {
    on_both(async |db| {
        let mut tx = crate::tx::Tx::begin(&db.meta).await.unwrap_or_else(|_| panic!("begins"));
        tx.conn().execute("INSERT INTO settings (name, value) VALUES ('k', 'v')").await.unwrap();
        drop(tx);
        assert_eq!(db.meta.get_setting("k").await.unwrap(), None);
        assert_eq!(db.meta.put_setting_if_absent("k", "w").await.unwrap(), "w");
    })
    .await;
}

#[tokio::test]
async fn text_that_postgres_cannot_hold_is_the_callers_fault() {
    on_postgres(async |db| {
        refused(db.meta.put_setting_if_absent("k", "a\0b").await, Kind::Invalid, "InvalidArgument");
    })
    .await;
}

/// Request handlers and background tasks move between threads.
#[test]
fn every_future_can_be_sent_to_another_thread() {
    fn sent<T: Send>(_: T) {}
    fn check(m: &Meta, t: &Table, p: &[Partition], c: &[PartitionChange], s: &[String], step: &Step) {
        sent(m.create_table(t, p, step));
        sent(m.update_table(t, 0, step));
        sent(m.add_partitions("t", p, true, step));
        sent(m.list_partitions("t", s, None, 1, true));
        sent(m.catch_up("t", 0, 1, c, s, 0));
        sent(m.replace_partitions("t", p, 0));
        sent(m.finish_commit("r", "t", 1, c, s, p, 0, step));
        sent(m.finish_schema_commit("r", t, 0, 1, c, s, p, 0, step));
        sent(m.put_commit_records(&[]));
        sent(m.requeue_lost(s));
        sent(m.expire_instances(0));
        sent(m.expire_sessions(0));
        sent(m.list_instances(None, &InstanceFilter::default(), None, 1));
        sent(Meta::open("sqlite:///x"));
    }
    let _ = check;
}

// PostgreSQL manual, appendix A: 40001 is serialization_failure; the server has rolled the transaction back.
#[tokio::test]
async fn a_transaction_that_the_server_undid_is_run_again() {
    on_postgres(async |db| {
        let undo = "DO $$ BEGIN RAISE EXCEPTION 'undone' USING ERRCODE = '40001'; END $$";
        let runs = std::sync::atomic::AtomicU32::new(0);
        let run = async |fail_until: u32| -> Result<(), Error> {
            write_tx!(&db.meta, |tx| {
                tx.conn().execute("INSERT INTO settings (name, value) VALUES ('k', 'v')").await?;
                if runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 < fail_until {
                    tx.conn().execute(undo).await?;
                }
                Ok(())
            })
        };
        // The insert of the first two runs is gone: a third one would violate the primary key otherwise.
        run(3).await.unwrap();
        assert_eq!(runs.swap(0, std::sync::atomic::Ordering::SeqCst), 3);
        assert_eq!(db.meta.get_setting("k").await.unwrap().as_deref(), Some("v"));
        db.meta.writer().execute("DELETE FROM settings").await.unwrap();
        refused(run(u32::MAX).await, Kind::Unavailable, "ServiceUnavailable");
        assert_eq!(runs.into_inner(), 10);
        assert_eq!(db.meta.get_setting("k").await.unwrap(), None);
    })
    .await;
}
