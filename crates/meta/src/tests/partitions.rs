//! Partition rows: order, pages, additions, and the way up to the log.

use super::*;

fn two_level(ds: &str, hh: &str) -> Partition {
    Partition { spec: format!("ds={ds}/hh={hh}"), values: texts(&[ds, hh]), ..partition(ds) }
}

#[tokio::test]
async fn pages_follow_the_values_column_by_column_in_both_directions() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        // By spec `ds=1-/hh=0` would come before `ds=1/hh=9`, as `-` is below `/`; by value `1` is below `1-`.
        let ordered = [two_level("1", "0"), two_level("1", "9"), two_level("1-", "0"), two_level("2", "a")];
        let mixed = [&ordered[2], &ordered[0], &ordered[3], &ordered[1]].map(Clone::clone);
        m.add_partitions("t1", &mixed, false, &Step::None).await.unwrap();
        assert_eq!(m.all_partitions("t1").await.unwrap(), ordered);
        let page = async |prefix: &[&str], after: Option<&str>, limit: i64, reverse: bool| {
            let rows = m.list_partitions("t1", &texts(prefix), after, limit, reverse).await.unwrap();
            rows.into_iter().map(|p| p.values.concat()).collect::<Vec<_>>()
        };
        assert_eq!(page(&[], None, 9, false).await, ["10", "19", "1-0", "2a"]);
        assert_eq!(page(&[], None, 9, true).await, ["2a", "1-0", "19", "10"]);
        assert_eq!(page(&["1"], None, 9, false).await, ["10", "19"]);
        assert_eq!(page(&["1"], None, 1, true).await, ["19"]);
        assert_eq!(page(&["1", "9"], None, 9, false).await, ["19"]);
        assert_eq!(page(&[], Some("ds=1/hh=9"), 1, false).await, ["1-0"]);
        assert_eq!(page(&[], Some("ds=1/hh=9"), 9, true).await, ["10"]);
        assert_eq!(page(&["1"], Some("ds=1/hh=0"), 9, false).await, ["19"]);
        // A marker whose partition was dropped between two pages.
        m.drop_partition_rows("t1", &texts(&["ds=1/hh=9", "ds=none/hh=none"]), &Step::None).await.unwrap();
        assert_eq!(page(&[], Some("ds=1/hh=9"), 9, false).await, ["1-0", "2a"]);
        assert_eq!(page(&[], Some("ds=1/hh=9"), 9, true).await, ["10"]);
        let bad = m.list_partitions("t1", &[], Some("nothing"), 9, false).await;
        refused(bad, Kind::Invalid, "InvalidArgument");
    })
    .await;
}

#[tokio::test]
async fn the_largest_partition_is_the_last_by_value_that_has_rows() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        assert_eq!(m.largest_partition("t1").await.unwrap(), None);
        let rows = |n: i64, p: Partition| Partition { num_rows: n, ..p };
        // `10` is below `9`: values are compared as text. The last one has no rows.
        let all = [rows(1, two_level("10", "b")), rows(1, two_level("9", "a")), rows(0, two_level("9", "b"))];
        m.add_partitions("t1", &all, false, &Step::None).await.unwrap();
        assert_eq!(m.largest_partition("t1").await.unwrap(), Some(all[1].clone()));
    })
    .await;
}

// The text: MaxCompute's answer to ALTER TABLE .. ADD PARTITION of an existing partition.
#[tokio::test]
async fn adding_is_all_or_nothing_unless_existing_ones_may_stay() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        let old = Partition { num_rows: 5, ..two_level("1", "x") };
        m.add_partitions("t1", std::slice::from_ref(&old), false, &Step::None).await.unwrap();
        let both = [two_level("0", "x"), two_level("1", "x")];
        assert_eq!(
            refused(m.add_partitions("t1", &both, false, &Step::None).await, Kind::Conflict, "ODPS-0110061"),
            "ODPS-0110061:[0,0] Failed to run ddltask - \
             AlreadyExistsException(message:Partition already exists, existed values:[\"1\",\"x\"])"
        );
        assert_eq!(m.all_partitions("t1").await.unwrap(), std::slice::from_ref(&old));
        m.add_partitions("t1", &both, true, &Step::None).await.unwrap();
        assert_eq!(m.all_partitions("t1").await.unwrap(), [both[0].clone(), old]);
        let twice = [two_level("7", "x"), two_level("7", "x")];
        refused(m.add_partitions("t1", &twice, false, &Step::None).await, Kind::Conflict, "ODPS-0110061");
        assert_eq!(m.partition("t1", "ds=7/hh=x").await.unwrap(), None);
        refused(m.add_partitions("t9", &both, false, &Step::None).await, Kind::NotFound, "NoSuchTable");
    })
    .await;
}

#[tokio::test]
async fn hundreds_of_partitions_are_written_whole() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        let rows: Vec<Partition> = (0..301).map(|i| partition(&format!("{i:05}"))).collect();
        m.add_partitions("t1", &rows, false, &Step::None).await.unwrap();
        assert_eq!(m.all_partitions("t1").await.unwrap(), rows);
        let changes: Vec<PartitionChange> = (0..301).map(|i| change(&format!("{i:05}"), i)).collect();
        assert!(m.catch_up("t1", 0, 1, &changes, &[], 5_000).await.unwrap());
        let sum: i64 = m.all_partitions("t1").await.unwrap().iter().map(|p| p.num_rows).sum();
        assert_eq!(sum, 300 * 301 / 2);
    })
    .await;
}

#[tokio::test]
async fn the_whole_of_an_unpartitioned_table_has_the_empty_spec() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        let whole = Partition { spec: String::new(), values: vec![], ..partition("") };
        m.create_table(&table("t1", "t"), std::slice::from_ref(&whole), &Step::None).await.unwrap();
        assert_eq!(m.partition("t1", "").await.unwrap(), Some(whole.clone()));
        assert_eq!(m.list_partitions("t1", &[], None, 9, false).await.unwrap(), [whole]);
    })
    .await;
}

#[tokio::test]
async fn rows_go_up_to_the_log_from_the_version_they_have() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        m.add_partitions("t1", &[partition("1"), partition("2")], false, &Step::None).await.unwrap();
        assert!(!m.catch_up("t1", 3, 4, &[change("1", 9)], &[], 1).await.unwrap());
        assert!(m.catch_up("t1", 0, 2, &[change("1", 9), change("3", 7)], &texts(&["ds=2"]), 5_000).await.unwrap());
        assert!(!m.catch_up("t1", 0, 2, &[change("1", 0)], &[], 1).await.unwrap());
        let old = Partition { num_rows: 9, num_bytes: 90, num_files: 1, modified_ms: 5_000, ..partition("1") };
        let new = Partition {
            num_rows: 7,
            num_bytes: 70,
            num_files: 1,
            created_ms: 5_000,
            ddl_ms: 5_000,
            modified_ms: 5_000,
            ..partition("3")
        };
        assert_eq!(m.all_partitions("t1").await.unwrap(), [old, new]);
        let t = m.table_by_id("t1").await.unwrap().unwrap();
        assert_eq!((t.log_version, t.modified_ms), (2, 5_000));
        // The same rows in other files: a change without a time.
        let joined = PartitionChange { num_bytes: 60, modified_ms: 0, ..change("1", 9) };
        assert!(m.catch_up("t1", 2, 3, &[joined], &[], 0).await.unwrap());
        let now = m.partition("t1", "ds=1").await.unwrap().unwrap();
        assert_eq!((now.num_bytes, now.modified_ms), (60, 5_000));
        assert_eq!(m.table_by_id("t1").await.unwrap().unwrap().modified_ms, 5_000);
    })
    .await;
}

#[tokio::test]
async fn touch_and_repair() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        m.add_partitions("t1", &[partition("1")], false, &Step::None).await.unwrap();
        m.touch_partition("t1", "ds=1", 77, &Step::None).await.unwrap();
        assert_eq!(m.partition("t1", "ds=1").await.unwrap().unwrap().modified_ms, 77);
        refused(m.touch_partition("t1", "ds=9", 77, &Step::None).await, Kind::NotFound, "NoSuchPartition");
        m.replace_partitions("t1", &[partition("5")], 12).await.unwrap();
        assert_eq!(m.all_partitions("t1").await.unwrap(), [partition("5")]);
        assert_eq!(m.table_by_id("t1").await.unwrap().unwrap().log_version, 12);
        refused(m.replace_partitions("t9", &[], 1).await, Kind::NotFound, "NoSuchTable");
    })
    .await;
}

#[tokio::test]
async fn partitions_of_a_table_without_a_log_change_together_with_its_row() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        let before = m.table_by_id("t1").await.unwrap().unwrap();
        let (properties, schema_version) = (r#"{"a":"1"}"#.to_string(), before.schema_version + 1);
        let now = Table { schema_version, properties, ..before.clone() };
        let row = Some((&now, &before));
        m.change_partitions("t1", row, &[], &[partition("1"), partition("2")], &Step::None).await.unwrap();
        assert_eq!(m.table_by_id("t1").await.unwrap().unwrap().properties, now.properties);
        // The row is another one by now, a partition is there, one was changed since, and one is not there.
        let (one, two) = (partition("1"), partition("2"));
        let gone = |p: &Partition, ms: i64| (p.spec.clone(), ms);
        let again = m.change_partitions("t1", row, &[], &[partition("3")], &Step::None).await;
        refused(again, Kind::Conflict, "ODPS-0110061");
        let there = m.change_partitions("t1", None, &[], std::slice::from_ref(&one), &Step::None).await;
        refused(there, Kind::Conflict, "ODPS-0110061");
        let changed = [gone(&two, two.modified_ms), gone(&one, one.modified_ms + 1)];
        refused(m.change_partitions("t1", None, &changed, &[], &Step::None).await, Kind::Conflict, "ODPS-0110061");
        let lacking = [gone(&partition("9"), 1)];
        refused(m.change_partitions("t1", None, &lacking, &[], &Step::None).await, Kind::Conflict, "ODPS-0110061");
        assert_eq!(m.all_partitions("t1").await.unwrap(), [one.clone(), two.clone()]);
        m.change_partitions("t1", None, &[gone(&two, two.modified_ms)], &[], &Step::None).await.unwrap();
        assert_eq!(m.all_partitions("t1").await.unwrap(), std::slice::from_ref(&one));
        refused(m.change_partitions("t9", None, &[], &[one], &Step::None).await, Kind::NotFound, "NoSuchTable");
    })
    .await;
}

#[tokio::test]
async fn rows_that_come_touch_their_partitions_and_bring_back_those_that_are_gone() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        m.add_partitions("t1", &[partition("1"), partition("2")], false, &Step::None).await.unwrap();
        let (kept, specs) = ([partition("1"), partition("3")], texts(&["ds=1", "ds=3", "ds=9"]));
        m.touch_partitions("t1", &kept, &specs, 9_000, &Step::None).await.unwrap();
        let times: Vec<_> =
            m.all_partitions("t1").await.unwrap().into_iter().map(|p| (p.spec, p.modified_ms == 9_000)).collect();
        assert_eq!(times, [("ds=1".to_string(), true), ("ds=2".to_string(), false), ("ds=3".to_string(), true)]);
        assert_eq!(m.table_by_id("t1").await.unwrap().unwrap().modified_ms, 9_000);
        refused(m.touch_partitions("t9", &[], &[], 1, &Step::None).await, Kind::NotFound, "NoSuchTable");
    })
    .await;
}
