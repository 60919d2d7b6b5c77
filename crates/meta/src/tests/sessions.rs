//! Tunnel sessions and blocks.

use super::*;

fn block(id: i64, path: &str) -> Block {
    Block {
        session_id: "s1".into(),
        block_id: id,
        path: path.into(),
        num_rows: 2,
        num_bytes: 30,
        stats: "{\"numRecords\":2}".into(),
    }
}

#[tokio::test]
async fn sessions_keep_their_fields_and_move_by_status() {
    on_both(async |db| {
        let m = &db.meta;
        let s = Session {
            overwrite: true,
            log_version: 4,
            record_count: 8,
            options: "{}".into(),
            ..session("s1", "download")
        };
        m.create_session(&s).await.unwrap();
        refused(m.create_session(&s).await, Kind::Conflict, "ObjectAlreadyExists");
        assert_eq!(m.session("s1").await.unwrap(), Some(s));
        assert_eq!(m.session("s9").await.unwrap(), None);
        assert!(m.set_session_status("s1", "normal", "closing").await.unwrap());
        assert!(!m.set_session_status("s1", "normal", "closing").await.unwrap());
        assert_eq!(m.session("s1").await.unwrap().unwrap().status, "closing");
        assert!(!m.set_session_status("s9", "normal", "closing").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn open_sessions_are_the_normal_and_the_closing() {
    on_both(async |db| {
        let m = &db.meta;
        for (id, kind, table_id, status) in [
            ("s1", "upload", "t1", "normal"),
            ("s2", "download", "t1", "closing"),
            ("s3", "upload", "t2", "normal"),
            ("s4", "upload", "t1", "closed"),
            ("s5", "upload", "t1", "expired"),
        ] {
            let s = Session { table_id: table_id.into(), status: status.into(), ..session(id, kind) };
            m.create_session(&s).await.unwrap();
        }
        let ids = async |kind: Option<&str>, table: Option<&str>| {
            let open = m.open_sessions(kind, table).await.unwrap();
            open.into_iter().map(|s| s.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(None, None).await, ["s1", "s2", "s3"]);
        assert_eq!(ids(Some("upload"), None).await, ["s1", "s3"]);
        assert_eq!(ids(None, Some("t1")).await, ["s1", "s2"]);
        assert_eq!(ids(Some("download"), Some("t1")).await, ["s2"]);
    })
    .await;
}

#[tokio::test]
async fn a_block_written_again_replaces_the_first_and_hands_it_back() {
    on_both(async |db| {
        let m = &db.meta;
        m.create_session(&session("s1", "upload")).await.unwrap();
        assert_eq!(m.put_block(&block(10, "a")).await.unwrap(), None);
        assert_eq!(m.put_block(&block(2, "b")).await.unwrap(), None);
        assert_eq!(m.put_block(&block(10, "c")).await.unwrap(), Some(block(10, "a")));
        assert_eq!(m.blocks("s1").await.unwrap(), [block(2, "b"), block(10, "c")]);
        let lost = Block { session_id: "s9".into(), ..block(1, "d") };
        refused(m.put_block(&lost).await, Kind::NotFound, "NoSuchObject");
    })
    .await;
}

#[tokio::test]
async fn a_block_is_added_behind_those_that_are_there() {
    on_both(async |db| {
        let m = &db.meta;
        m.create_session(&Session { expires_ms: 50, ..session("s1", "upsert") }).await.unwrap();
        m.add_block(&block(7, "a")).await.unwrap();
        m.add_block(&block(7, "b")).await.unwrap();
        assert_eq!(m.blocks("s1").await.unwrap(), [block(0, "a"), block(1, "b")]);
        m.set_session_status("s1", "normal", "aborted").await.unwrap();
        refused(m.add_block(&block(0, "c")).await, Kind::Conflict, "StatusConflict");
        let day = 24 * 3600 * 1000;
        m.expire_sessions(50 + day).await.unwrap();
        assert_eq!((m.session("s1").await.unwrap(), m.blocks("s1").await.unwrap().len()), (None, 0));
    })
    .await;
}

// Whoever has counted the blocks before adds one behind them, or learns that another one was quicker.
#[tokio::test]
async fn a_block_is_noted_unless_its_number_is_taken() {
    on_both(async |db| {
        let m = &db.meta;
        m.create_session(&session("s1", "storage_stream")).await.unwrap();
        assert!(m.try_block(&block(0, "a")).await.unwrap());
        assert!(!m.try_block(&block(0, "b")).await.unwrap());
        assert!(m.try_block(&block(1, "b")).await.unwrap());
        assert_eq!(m.blocks("s1").await.unwrap(), [block(0, "a"), block(1, "b")]);
        m.set_session_status("s1", "normal", "closing").await.unwrap();
        refused(m.try_block(&block(2, "c")).await, Kind::Conflict, "StatusConflict");
        let lost = Block { session_id: "s9".into(), ..block(1, "d") };
        refused(m.try_block(&lost).await, Kind::NotFound, "NoSuchObject");
    })
    .await;
}

// A commit deletes nothing that it has read: the replaced file would be one of the committed ones.
#[tokio::test]
async fn a_closing_session_takes_no_blocks() {
    on_both(async |db| {
        let m = &db.meta;
        m.create_session(&session("s1", "upload")).await.unwrap();
        m.put_block(&block(1, "a")).await.unwrap();
        m.set_session_status("s1", "normal", "closing").await.unwrap();
        let message = refused(m.put_block(&block(1, "b")).await, Kind::Conflict, "StatusConflict");
        assert!(message.contains("closing"), "{message}");
        assert_eq!(m.blocks("s1").await.unwrap(), [block(1, "a")]);
    })
    .await;
}

#[tokio::test]
async fn sessions_expire_with_their_blocks_unless_a_commit_is_under_way() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        for (id, expires_ms) in [("s1", 50), ("s2", 51), ("s3", 50), ("s4", 50), ("s5", 50)] {
            m.create_session(&Session { expires_ms, ..session(id, "upload") }).await.unwrap();
        }
        m.put_block(&block(1, "a")).await.unwrap();
        for id in ["s3", "s4", "s5"] {
            m.set_session_status(id, "normal", "closing").await.unwrap();
        }
        m.put_commit_record(&record("r1", "s3", 0, 0), 0).await.unwrap();
        m.set_session_status("s5", "closing", "closed").await.unwrap();
        let expired = m.expire_sessions(50).await.unwrap();
        let seen: Vec<_> = expired.iter().map(|s| (s.id.as_str(), s.status.as_str())).collect();
        assert_eq!(seen, [("s1", "expired"), ("s4", "expired")]);
        assert!(m.blocks("s1").await.unwrap().is_empty());
        assert_eq!(m.session("s3").await.unwrap().unwrap().status, "closing");
        assert!(m.expire_sessions(50).await.unwrap().is_empty());
        // An expired session has lost its blocks: its commit must not begin.
        refused(m.put_commit_record(&record("r2", "s4", 0, 0), 0).await, Kind::Conflict, "StatusConflict");
    })
    .await;
}

#[tokio::test]
async fn sessions_that_are_over_are_forgotten_a_day_later() {
    on_both(async |db| {
        let m = &db.meta;
        m.create_session(&Session { expires_ms: 50, ..session("s1", "upload") }).await.unwrap();
        m.put_block(&block(1, "a")).await.unwrap();
        m.set_session_status("s1", "normal", "closed").await.unwrap();
        let day = 24 * 3600 * 1000;
        m.expire_sessions(49 + day).await.unwrap();
        assert_eq!(m.blocks("s1").await.unwrap().len(), 1);
        assert!(m.expire_sessions(50 + day).await.unwrap().is_empty());
        assert_eq!(m.session("s1").await.unwrap(), None);
        assert!(m.blocks("s1").await.unwrap().is_empty());
    })
    .await;
}
