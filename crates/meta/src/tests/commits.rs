//! The commit protocol: records, endings, repetitions and races.

use super::*;

/// Table `t1` and the running instance `i1`.
async fn with_instance(m: &Meta) {
    with_table(m).await;
    running(m, "i1").await;
}

async fn finish(m: &Meta, id: &str, version: i64, changes: &[PartitionChange], step: &Step) -> Result<(), Error> {
    m.finish_commit(id, "t1", version, changes, &[], &[], 5_000, step).await
}

#[tokio::test]
async fn a_step_has_one_record_and_later_attempts_get_it_back() {
    on_both(async |db| {
        let m = &db.meta;
        with_instance(m).await;
        let first = record("r1", "i1", 1, 0);
        assert_eq!(m.put_commit_record(&first, 0).await.unwrap(), first);
        assert!(m.requeue("i1", 1).await.unwrap());
        m.claim("i1", "n2", 1).await.unwrap().unwrap();
        assert_eq!(m.put_commit_record(&record("r2", "i1", 2, 0), 0).await.unwrap(), first);
        // The paused first attempt wakes up.
        refused(m.put_commit_record(&record("r3", "i1", 1, 0), 0).await, Kind::Conflict, "ODPS-0110061");
        assert_eq!(m.open_commit_records(None).await.unwrap(), std::slice::from_ref(&first));
        assert_eq!(m.open_commit_records(Some("t1")).await.unwrap(), std::slice::from_ref(&first));
        assert_eq!(m.commit_records_of("i1").await.unwrap(), [first]);
        assert!(m.open_commit_records(Some("t2")).await.unwrap().is_empty());
        assert!(m.commit_records_of("i2").await.unwrap().is_empty());
        m.abandon_commit("r1").await.unwrap();
        m.abandon_commit("r1").await.unwrap();
        assert!(m.open_commit_records(None).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_record_needs_the_table_as_the_writer_knew_it() {
    on_both(async |db| {
        let m = &db.meta;
        with_instance(m).await;
        refused(m.put_commit_record(&record("r1", "i1", 1, 0), 1).await, Kind::Conflict, "SchemaModified");
        let elsewhere = CommitRecord { table_id: "t9".into(), ..record("r1", "i1", 1, 0) };
        refused(m.put_commit_record(&elsewhere, 0).await, Kind::NotFound, "NoSuchTable");
        m.drop_table("t1", 1, &Step::None).await.unwrap();
        refused(m.put_commit_record(&record("r1", "i1", 1, 0), 0).await, Kind::NotFound, "NoSuchTable");
        assert!(m.open_commit_records(None).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn records_of_a_step_over_several_tables_are_put_together_or_not_at_all() {
    on_both(async |db| {
        let m = &db.meta;
        with_instance(m).await;
        m.create_table(&table("t2", "u"), &[], &Step::None).await.unwrap();
        let first = record("r1", "i1", 1, 0);
        let second = CommitRecord { table_id: "t2".into(), ..record("r2", "i1", 1, 0) };
        let stale = [(first.clone(), 0), (second.clone(), 1)];
        refused(m.put_commit_records(&stale).await, Kind::Conflict, "SchemaModified");
        assert!(m.open_commit_records(None).await.unwrap().is_empty());
        let both = [(first.clone(), 0), (second.clone(), 0)];
        assert_eq!(m.put_commit_records(&both).await.unwrap(), [first.clone(), second.clone()]);
        assert_eq!(m.commit_records_of("i1").await.unwrap(), [first, second.clone()]);
        // The step ends with the last of them.
        finish(m, "r1", 1, &[], &Step::None).await.unwrap();
        assert_eq!(m.instance("p", "i1").await.unwrap().unwrap().step, 0);
        m.finish_commit("r2", "t2", 1, &[], &[], &[], 1, &step("i1", 1, 0)).await.unwrap();
        assert_eq!(m.instance("p", "i1").await.unwrap().unwrap().step, 1);
    })
    .await;
}

#[tokio::test]
async fn an_open_record_keeps_the_columns_as_they_are() {
    on_both(async |db| {
        let m = &db.meta;
        with_instance(m).await;
        m.put_commit_record(&record("r1", "i1", 1, 0), 0).await.unwrap();
        let new = Table { schema_version: 1, ..table("t1", "t") };
        refused(m.update_table(&new, 0, &Step::None).await, Kind::Conflict, "ODPS-0110061");
        assert_eq!(m.table_by_id("t1").await.unwrap().unwrap().schema_version, 0);
        m.abandon_commit("r1").await.unwrap();
        m.update_table(&new, 0, &Step::None).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_end_writes_everything_at_once_and_only_once() {
    on_both(async |db| {
        let m = &db.meta;
        with_instance(m).await;
        m.add_partitions("t1", &[partition("1"), partition("2")], false, &Step::None).await.unwrap();
        m.put_commit_record(&record("r1", "i1", 1, 0), 0).await.unwrap();
        let end = async || {
            let (changes, dropped) = ([change("1", 3), change("3", 4)], texts(&["ds=2"]));
            let created = [partition("1"), partition("4")];
            m.finish_commit("r1", "t1", 1, &changes, &dropped, &created, 6_000, &step("i1", 1, 0)).await
        };
        end().await.unwrap();
        let rows = m.all_partitions("t1").await.unwrap();
        // created_ms: ds=1 keeps its 4000, ds=3 came with the change of 5000, ds=4 was made empty at 4000.
        let seen: Vec<_> = rows.iter().map(|p| (p.spec.as_str(), p.num_rows, p.created_ms, p.modified_ms)).collect();
        assert_eq!(seen, [("ds=1", 3, 4_000, 5_000), ("ds=3", 4, 5_000, 5_000), ("ds=4", 0, 4_000, 4_000)]);
        let t = m.table_by_id("t1").await.unwrap().unwrap();
        assert_eq!((t.log_version, t.modified_ms), (1, 6_000));
        assert_eq!(m.instance("p", "i1").await.unwrap().unwrap().step, 1);
        assert!(m.open_commit_records(None).await.unwrap().is_empty());
        // The answer was lost and the caller asks again, after somebody else has gone on.
        m.catch_up("t1", 1, 2, &[change("1", 100)], &[], 6_000).await.unwrap();
        end().await.unwrap();
        assert_eq!(m.partition("t1", "ds=1").await.unwrap().unwrap().num_rows, 100);
        // The step is over: no second record, so no second commit.
        refused(m.put_commit_record(&record("r2", "i1", 1, 0), 0).await, Kind::Conflict, "ODPS-0110061");
    })
    .await;
}

#[tokio::test]
async fn a_record_that_was_taken_back_cannot_be_ended() {
    on_both(async |db| {
        let m = &db.meta;
        with_instance(m).await;
        m.put_commit_record(&record("r1", "i1", 1, 0), 0).await.unwrap();
        m.abandon_commit("r1").await.unwrap();
        let late = finish(m, "r1", 1, &[change("1", 3)], &step("i1", 1, 0)).await;
        refused(late, Kind::Conflict, "ODPS-0110061");
        assert_eq!(m.table_by_id("t1").await.unwrap().unwrap().log_version, 0);
        assert!(m.all_partitions("t1").await.unwrap().is_empty());
    })
    .await;
}

// The log holds the commit, so whoever finds the record rolls it forward, even while the instance waits again.
#[tokio::test]
async fn recovery_ends_a_commit_for_an_attempt_that_is_gone() {
    on_both(async |db| {
        let m = &db.meta;
        with_instance(m).await;
        m.put_commit_record(&record("r1", "i1", 1, 0), 0).await.unwrap();
        m.requeue("i1", 1).await.unwrap();
        finish(m, "r1", 1, &[change("1", 3)], &step("i1", 1, 0)).await.unwrap();
        let claimed = m.claim("i1", "n2", 1).await.unwrap().unwrap();
        assert_eq!((claimed.attempt, claimed.step), (2, 1));
        // An instance that was forgotten is no obstacle either.
        let orphan = CommitRecord { attempt: 0, ..record("r2", "gone", 0, 0) };
        m.put_commit_record(&orphan, 0).await.unwrap();
        finish(m, "r2", 2, &[], &step("gone", 1, 0)).await.unwrap();
        assert!(m.open_commit_records(None).await.unwrap().is_empty());
    })
    .await;
}

// Versions 5 and 6 of the log, ended in the order 6, 5.
#[tokio::test]
async fn commits_ended_out_of_order_leave_the_newest_numbers() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        for i in ["i1", "i2", "i3"] {
            running(m, i).await;
        }
        m.add_partitions("t1", &[partition("old")], false, &Step::None).await.unwrap();
        for (r, i) in [("r5", "i1"), ("r6", "i2"), ("r7", "i3")] {
            m.put_commit_record(&record(r, i, 1, 0), 0).await.unwrap();
        }
        let gone = texts(&["ds=old", "ds=new"]);
        let joined = PartitionChange { modified_ms: 1, ..change("a", 20) };
        m.finish_commit("r6", "t1", 6, &[joined], &gone, &[], 1, &step("i2", 1, 0)).await.unwrap();
        let late = [change("a", 10), change("new", 1), change("b", 2)];
        finish(m, "r5", 5, &late, &step("i1", 1, 0)).await.unwrap();
        let seen = async || {
            let rows = m.all_partitions("t1").await.unwrap();
            rows.into_iter().map(|p| (p.spec, p.num_rows)).collect::<Vec<_>>()
        };
        assert_eq!(seen().await, [("ds=a".to_string(), 20), ("ds=b".to_string(), 2)]);
        assert_eq!(m.table_by_id("t1").await.unwrap().unwrap().log_version, 6);
        // A newer version that was one of files and not of rows has no time; the late one's is not lost beside it.
        let a = m.partition("t1", "ds=a").await.unwrap().unwrap();
        assert_eq!((a.modified_ms, a.num_rows), (5_000, 20));
        // A newer version may bring the partition back.
        finish(m, "r7", 7, &[change("new", 3)], &step("i3", 1, 0)).await.unwrap();
        assert_eq!(seen().await.last().unwrap(), &("ds=new".to_string(), 3));
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_changes_columns_writes_the_row_in_the_same_transaction() {
    on_both(async |db| {
        let m = &db.meta;
        with_instance(m).await;
        m.put_commit_record(&record("r1", "i1", 1, 0), 0).await.unwrap();
        let new = Table { schema_version: 1, comment: "new".into(), ..table("t1", "t") };
        let end = async |id: &str, row: &Table, version: i64, number: i64| {
            let step = step("i1", 1, number);
            m.finish_schema_commit(id, row, row.schema_version - 1, version, &[], &[], &[], 6_000, &step).await
        };
        end("r1", &new, 1, 0).await.unwrap();
        let want = Table { log_version: 1, modified_ms: 6_000, ..new.clone() };
        assert_eq!(m.table_by_id("t1").await.unwrap(), Some(want));
        end("r1", &new, 1, 0).await.unwrap();
        // Dropped between record and end: the log has the commit, the row stays as it was.
        m.put_commit_record(&record("r2", "i1", 1, 1), 1).await.unwrap();
        m.drop_table("t1", 9, &Step::None).await.unwrap();
        end("r2", &Table { schema_version: 2, ..new }, 2, 1).await.unwrap();
        let t = m.table_by_id("t1").await.unwrap().unwrap();
        assert_eq!((t.schema_version, t.log_version, t.dropped_ms), (1, 2, Some(9)));
        assert!(m.open_commit_records(None).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_upload_is_closed_by_its_commit() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        m.create_session(&session("s1", "upload")).await.unwrap();
        assert!(m.set_session_status("s1", "normal", "closing").await.unwrap());
        let r = m.put_commit_record(&record("r1", "s1", 0, 0), 0).await.unwrap();
        let done = Step::Session { id: "s1".into() };
        finish(m, &r.id, 1, &[change("1", 3)], &done).await.unwrap();
        assert_eq!(m.session("s1").await.unwrap().unwrap().status, "closed");
        finish(m, &r.id, 1, &[change("1", 3)], &done).await.unwrap();
        let again = m.put_commit_record(&record("r2", "s1", 0, 0), 0).await;
        assert!(refused(again, Kind::Conflict, "StatusConflict").contains("closed"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_one_step_agree_on_one_record() {
    on_both(async |db| {
        with_table(&db.meta).await;
        let other = db.another().await;
        for i in 0..20 {
            let owner = format!("bg{i}");
            let (a, b) = (record(&format!("a{i}"), &owner, 0, 0), record(&format!("b{i}"), &owner, 0, 0));
            let (a, b) = tokio::join!(db.meta.put_commit_record(&a, 0), other.put_commit_record(&b, 0));
            assert_eq!(a.unwrap(), b.unwrap());
        }
        assert_eq!(db.meta.open_commit_records(None).await.unwrap().len(), 20);
        other.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_and_a_change_of_columns_never_both_pass() {
    on_both(async |db| {
        with_table(&db.meta).await;
        let other = db.another().await;
        for i in 0..20 {
            let now = db.meta.table_by_id("t1").await.unwrap().unwrap();
            let new = Table { schema_version: now.schema_version + 1, ..now.clone() };
            let r = record(&format!("r{i}"), &format!("bg{i}"), 0, 0);
            let (put, updated) = tokio::join!(
                db.meta.put_commit_record(&r, now.schema_version),
                other.update_table(&new, now.schema_version, &Step::None)
            );
            assert_ne!(put.is_ok(), updated.is_ok(), "{put:?} {updated:?}");
            db.meta.abandon_commit(&r.id).await.unwrap();
        }
        other.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commits_at_once_all_take_effect() {
    on_both(async |db| {
        with_table(&db.meta).await;
        let other = db.another().await;
        let one = async |m: &Meta, i: i64| {
            let r = m.put_commit_record(&record(&format!("r{i}"), &format!("bg{i}"), 0, 0), 0).await.unwrap();
            // Every one touches a partition of its own and one that all share.
            let changes = [change(&format!("{i:03}"), i), change("all", i)];
            finish(m, &r.id, i, &changes, &Step::None).await.unwrap();
        };
        let odd = futures::future::join_all((1..=19).step_by(2).map(|i| one(&db.meta, i)));
        let even = futures::future::join_all((2..=20).step_by(2).map(|i| one(&other, i)));
        tokio::join!(odd, even);
        let rows = other.all_partitions("t1").await.unwrap();
        assert_eq!(rows.len(), 21);
        assert_eq!(rows.last().unwrap().num_rows, 20, "the shared partition has the numbers of the newest version");
        assert_eq!(other.table_by_id("t1").await.unwrap().unwrap().log_version, 20);
        other.close().await;
    })
    .await;
}
