//! Tables: names, listings, changes that meet.

use super::*;

#[tokio::test]
async fn a_table_comes_back_as_it_was_written_with_its_first_partitions() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        let view = Table {
            kind: "VIRTUAL_VIEW".into(),
            view_text: Some("select 1".into()),
            comment: "说明".into(),
            lifecycle: 7,
            ..table("t1", "t")
        };
        m.create_table(&view, &[partition("1")], &Step::None).await.unwrap();
        assert_eq!(m.table("p", "default", "t").await.unwrap(), Some(view.clone()));
        assert_eq!(m.table_by_id("t1").await.unwrap(), Some(view));
        assert_eq!(m.all_partitions("t1").await.unwrap(), [partition("1")]);
        assert_eq!(m.table("p", "other", "t").await.unwrap(), None);
        refused(
            m.create_table(&Table { project: "q".into(), ..table("t2", "t") }, &[], &Step::None).await,
            Kind::NotFound,
            "NoSuchProject",
        );
    })
    .await;
}

// The text: MaxCompute's error code documentation, ODPS-0130211.
#[tokio::test]
async fn a_live_name_is_taken_and_a_dropped_one_is_free() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        let twin = m.create_table(&table("t2", "t"), &[partition("1")], &Step::None).await;
        assert_eq!(
            refused(twin, Kind::Conflict, "ODPS-0130211"),
            "ODPS-0130211:[0,0] Table or view already exists - table p.t is already defined"
        );
        assert!(m.all_partitions("t2").await.unwrap().is_empty());
        m.drop_table("t1", 500, &Step::None).await.unwrap();
        refused(m.drop_table("t1", 501, &Step::None).await, Kind::NotFound, "NoSuchTable");
        m.create_table(&table("t2", "t"), &[], &Step::None).await.unwrap();
        assert_eq!(m.table("p", "default", "t").await.unwrap().unwrap().id, "t2");
        assert_eq!(m.table_by_id("t1").await.unwrap().unwrap().dropped_ms, Some(500));
        assert_eq!(m.all_tables().await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_that_create_a_name_one_succeeds() {
    on_both(async |db| {
        with_project(&db.meta).await;
        let other = db.another().await;
        let (a, b) = (table("ta", "t"), table("tb", "t"));
        let (a, b) = tokio::join!(db.meta.create_table(&a, &[], &Step::None), other.create_table(&b, &[], &Step::None));
        assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1);
        refused(a.and(b), Kind::Conflict, "ODPS-0130211");
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn listings_filter_and_go_on_behind_a_name() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        for (i, name) in ["ab", "a", "abc", "b", "gone"].into_iter().enumerate() {
            let view = if name == "abc" { "VIRTUAL_VIEW" } else { "MANAGED_TABLE" };
            let row = Table { kind: view.into(), owner: format!("o{}", i % 2), ..table(&format!("t{i}"), name) };
            m.create_table(&row, &[], &Step::None).await.unwrap();
        }
        m.drop_table("t4", 1, &Step::None).await.unwrap();
        let names = async |filter: TableFilter, after: Option<&str>, limit: i64| {
            let page = m.list_tables("p", "default", &filter, after, limit).await.unwrap();
            page.into_iter().map(|t| t.name).collect::<Vec<_>>()
        };
        let all = TableFilter::default;
        assert_eq!(names(all(), None, 9).await, ["a", "ab", "abc", "b"]);
        assert_eq!(names(all(), Some("a"), 2).await, ["ab", "abc"]);
        assert_eq!(names(TableFilter { prefix: Some("ab".into()), ..all() }, None, 9).await, ["ab", "abc"]);
        assert_eq!(names(TableFilter { prefix: Some("ab".into()), ..all() }, Some("ab"), 9).await, ["abc"]);
        assert_eq!(names(TableFilter { owner: Some("o1".into()), ..all() }, None, 9).await, ["a", "b"]);
        assert_eq!(names(TableFilter { kind: Some("VIRTUAL_VIEW".into()), ..all() }, None, 9).await, ["abc"]);
        assert!(m.list_tables("p", "s", &all(), None, 9).await.unwrap().is_empty());
        let pairs = async |prefix: &str, kind: Option<&str>, after: Option<&str>, limit: i64| {
            let page = m.list_names("p", "default", prefix, kind, after, limit).await.unwrap();
            page.into_iter().map(|(name, owner)| format!("{name} {owner}")).collect::<Vec<_>>()
        };
        assert_eq!(pairs("", None, None, 9).await, ["a o1", "ab o0", "abc o0", "b o1"]);
        assert_eq!(pairs("ab", None, Some("ab"), 9).await, ["abc o0"]);
        assert_eq!(pairs("", Some("VIRTUAL_VIEW"), None, 9).await, ["abc o0"]);
        assert_eq!(pairs("", None, None, 1).await, ["a o1"]);
    })
    .await;
}

#[tokio::test]
async fn a_change_of_columns_needs_the_version_it_was_made_from() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        let mut new = Table { schema_version: 1, comment: "new".into(), ..table("t1", "t") };
        new.schema.columns.push(Column::new("y", DataType::String));
        // A commit raised these since the caller read the row; the caller's older values must not undo it.
        m.catch_up("t1", 0, 4, &[], &[], 3_500).await.unwrap();
        m.update_table(&new, 0, &Step::None).await.unwrap();
        let want = Table { log_version: 4, modified_ms: 3_500, ..new.clone() };
        assert_eq!(m.table_by_id("t1").await.unwrap(), Some(want));
        let late = refused(m.update_table(&new, 0, &Step::None).await, Kind::Conflict, "ODPS-0110061");
        assert!(late.starts_with("ODPS-0110061:[0,0] Failed to run ddltask - "), "{late}");
        m.drop_table("t1", 9, &Step::None).await.unwrap();
        refused(m.update_table(&new, 1, &Step::None).await, Kind::Conflict, "ODPS-0110061");
    })
    .await;
}

#[tokio::test]
async fn a_rename_cannot_take_a_live_name() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        m.create_table(&table("t2", "u"), &[], &Step::None).await.unwrap();
        let message = refused(m.update_table(&table("t2", "t"), 0, &Step::None).await, Kind::Conflict, "ODPS-0130211");
        assert_eq!(message, "ODPS-0130211:[0,0] Table or view already exists - table p.t is already defined");
        m.update_table(&table("t2", "v"), 0, &Step::None).await.unwrap();
        assert_eq!(m.table("p", "default", "v").await.unwrap().unwrap().id, "t2");
        assert_eq!(m.table("p", "default", "u").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn touched_times_and_forgotten_tables() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        m.touch_table("t1", 11, 12, &Step::None).await.unwrap();
        let t = m.table_by_id("t1").await.unwrap().unwrap();
        assert_eq!((t.modified_ms, t.ddl_ms), (11, 12));
        refused(m.touch_table("t9", 1, 1, &Step::None).await, Kind::NotFound, "NoSuchTable");
        m.add_partitions("t1", &[partition("1")], false, &Step::None).await.unwrap();
        refused(m.forget_table("t1").await, Kind::Conflict, "ODPS-0110061");
        m.drop_table("t1", 500, &Step::None).await.unwrap();
        assert!(m.list_dropped(500).await.unwrap().is_empty());
        assert_eq!(m.list_dropped(501).await.unwrap()[0].id, "t1");
        m.forget_table("t1").await.unwrap();
        m.forget_table("t1").await.unwrap();
        assert_eq!(m.table_by_id("t1").await.unwrap(), None);
        assert!(m.all_partitions("t1").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn ddl_takes_effect_for_the_attempt_that_owns_the_instance_and_once() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        running(m, "i1").await;
        let other = m.create_table(&table("t1", "t"), &[], &step("i1", 2, 0)).await;
        refused(other, Kind::Conflict, "ODPS-0110061");
        assert_eq!(m.table("p", "default", "t").await.unwrap(), None);
        m.create_table(&table("t1", "t"), &[], &step("i1", 1, 0)).await.unwrap();
        assert_eq!(m.instance("p", "i1").await.unwrap().unwrap().step, 1);
        // Statement 0 has taken effect; statement 1 fails and must leave the step where it is.
        refused(m.touch_table("t1", 1, 1, &step("i1", 1, 0)).await, Kind::Conflict, "ODPS-0110061");
        refused(m.create_table(&table("t2", "t"), &[], &step("i1", 1, 1)).await, Kind::Conflict, "ODPS-0130211");
        assert_eq!(m.instance("p", "i1").await.unwrap().unwrap().step, 1);
        m.drop_table("t1", 5, &step("i1", 1, 1)).await.unwrap();
        assert_eq!(m.instance("p", "i1").await.unwrap().unwrap().step, 2);
    })
    .await;
}
