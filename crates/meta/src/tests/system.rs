//! Pages over every project: what the tables of the project `sys` read.

use super::*;
use crate::{InstanceParts, InstanceScan, PartitionSums, TableScan};

const MANY: i64 = 1 << 40;

fn ids(page: &[Instance]) -> String {
    page.iter().map(|i| i.id.as_str()).collect()
}

/// All pages of at most `limit` rows, their lengths, and their ids one after the other.
async fn pages(m: &Meta, scan: &InstanceScan, limit: i64, max_bytes: i64) -> (Vec<usize>, String) {
    let (mut lengths, mut seen, mut after) = (Vec::new(), String::new(), None);
    loop {
        let page = m.scan_instances(scan, after.as_ref(), limit, max_bytes).await.unwrap();
        let Some(last) = page.last() else { return (lengths, seen) };
        after = Some((last.submitted_ms, last.id.clone()));
        lengths.push(page.len());
        seen += &ids(&page);
    }
}

#[tokio::test]
async fn instances_of_all_projects_come_newest_first_page_by_page() {
    on_both(async |db| {
        let m = &db.meta;
        // Two jobs of one millisecond are ordered by id.
        for (id, project, owner, at) in
            [("a", "p", "o1", 10), ("c", "p", "o1", 20), ("b", "q", "o2", 20), ("d", "p", "o2", 30)]
        {
            let row = Instance { project: project.into(), owner: owner.into(), ..instance(id, at) };
            m.create_instance(&row).await.unwrap();
        }
        m.claim("b", "n1", 1).await.unwrap().unwrap();
        let all = InstanceScan::default;
        assert_eq!(pages(m, &all(), 3, MANY).await, (vec![3, 1], "dcba".to_string()));
        assert_eq!(pages(m, &all(), 1, MANY).await.1, "dcba");
        let in_q = InstanceScan { project: Some("q".into()), ..all() };
        assert_eq!(pages(m, &in_q, 9, MANY).await.1, "b");
        let filter = |filter| InstanceScan { filter, ..all() };
        let time = InstanceFilter { from_ms: Some(20), to_ms: Some(30), ..InstanceFilter::default() };
        assert_eq!(pages(m, &filter(time.clone()), 1, MANY).await.1, "cb");
        let owner = InstanceFilter { owner: Some("o2".into()), ..time };
        assert_eq!(pages(m, &filter(owner.clone()), 9, MANY).await.1, "b");
        for (scan, jobs) in [(all(), 4), (in_q.clone(), 1), (filter(time.clone()), 2), (filter(owner.clone()), 1)] {
            assert_eq!(m.count_instances(&scan).await.unwrap(), jobs, "{scan:?}");
        }
        let running = InstanceFilter { class: Some(StateClass::Running), ..InstanceFilter::default() };
        assert_eq!(pages(m, &filter(running), 9, MANY).await.1, "b");
    })
    .await;
}

#[tokio::test]
async fn texts_come_when_asked_for_and_as_many_at_once_as_fit() {
    on_both(async |db| {
        let m = &db.meta;
        // 10 characters of 3 bytes in UTF-8; `{}` twice makes 4 more bytes a row.
        let query = "查".repeat(10);
        for (id, at) in [("a", 1), ("b", 2), ("c", 3)] {
            let failed = Some("ODPS-0130131".to_string());
            let row =
                Instance { query: query.clone(), error: failed, result_inline: Some(vec![1]), ..instance(id, at) };
            m.create_instance(&row).await.unwrap();
        }
        let thin = InstanceScan::default();
        let page = m.scan_instances(&thin, None, 9, 0).await.unwrap();
        assert_eq!(ids(&page), "cba");
        for i in &page {
            let texts = [&i.query, &i.settings, &i.source, &i.summary];
            assert!(texts.iter().all(|t| t.is_empty()) && i.error.is_none() && i.result_inline.is_none());
        }
        let place = InstanceScan { parts: InstanceParts::Place, project: Some("p".into()), ..thin.clone() };
        let page = m.scan_instances(&place, None, 9, 0).await.unwrap();
        assert_eq!(
            page.iter().map(|i| (i.id.as_str(), i.submitted_ms)).collect::<Vec<_>>(),
            [("c", 3), ("b", 2), ("a", 1)]
        );
        assert!(page.iter().all(|i| i.owner.is_empty() && i.query.is_empty() && i.started_ms.is_none()));
        let full = InstanceScan { parts: InstanceParts::Texts, ..thin };
        let page = m.scan_instances(&full, None, 9, MANY).await.unwrap();
        assert_eq!(ids(&page), "cba");
        let c = &page[0];
        assert_eq!((&c.query, c.settings.as_str(), c.summary.as_str()), (&query, "{}", "{}"));
        assert_eq!((c.error.as_deref(), c.source.as_str(), &c.result_inline), (Some("ODPS-0130131"), "", &None));
        // Arithmetic: 30 + 2 + 2 bytes and 12 of the error are 46 a row.
        for (max_bytes, lengths) in [(0, vec![1, 1, 1]), (46, vec![1, 1, 1]), (92, vec![2, 1]), (138, vec![3])] {
            assert_eq!(pages(m, &full, 9, max_bytes).await, (lengths, "cba".to_string()), "{max_bytes}");
        }
        assert_eq!(pages(m, &full, 2, MANY).await.0, [2, 1]);
        let one = m.instance_with_id("b").await.unwrap().unwrap();
        assert_eq!((one.project.as_str(), &one.query), ("p", &query));
        assert_eq!(m.instance_with_id("z").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn tables_of_all_projects_come_by_name_with_the_sums_of_their_partitions() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        m.create_project(&project("a")).await.unwrap();
        m.create_schema(&schema("s"), &Step::None).await.unwrap();
        let whole = Partition { table_id: "t2".into(), spec: String::new(), values: vec![], ..partition("") };
        let whole = Partition { num_rows: 7, num_bytes: 70, num_files: 2, ..whole };
        let in_a = Table { project: "a".into(), ..table("t2", "z") };
        m.create_table(&in_a, &[whole], &Step::None).await.unwrap();
        let in_s = Table { schema_name: "s".into(), ..table("t3", "b") };
        m.create_table(&in_s, &[], &Step::None).await.unwrap();
        m.create_table(&table("t4", "gone"), &[], &Step::None).await.unwrap();
        m.drop_table("t4", 5, &Step::None).await.unwrap();
        m.add_partitions("t1", &[partition("1"), partition("2")], false, &Step::None).await.unwrap();
        m.catch_up("t1", 0, 1, &[change("1", 3), change("2", 4)], &[], 9).await.unwrap();
        let scan = TableScan { with_sums: true, ..TableScan::default() };
        let sums = |num_partitions, num_rows, num_bytes, num_files| PartitionSums {
            num_partitions,
            num_rows,
            num_bytes,
            num_files,
        };
        let shown = |page: Vec<(Table, PartitionSums)>| page.into_iter().map(|(t, s)| (t.id, s)).collect::<Vec<_>>();
        // Arithmetic: `change` gives ten bytes a row and one file a partition.
        let wanted = [("t2", sums(0, 7, 70, 2)), ("t1", sums(2, 7, 70, 2)), ("t3", sums(0, 0, 0, 0))]
            .map(|(t, s)| (t.to_string(), s));
        assert_eq!(shown(m.scan_tables(&scan, None, 9).await.unwrap()), wanted);
        let (mut after, mut seen) = (None, Vec::new());
        while let Some((table, sums)) = m.scan_tables(&scan, after.as_ref(), 1).await.unwrap().pop() {
            seen.push((table.id.clone(), sums));
            after = Some(table);
        }
        assert_eq!(seen, wanted);
        let found = async |project: Option<&str>, schema: Option<&str>, name: Option<&str>| {
            let text = |t: Option<&str>| t.map(str::to_string);
            let scan =
                TableScan { project: text(project), schema_name: text(schema), name: text(name), with_sums: false };
            let page = m.scan_tables(&scan, None, 9).await.unwrap();
            assert!(page.iter().all(|(_, s)| *s == PartitionSums::default()));
            page.into_iter().map(|(t, _)| t.id).collect::<Vec<_>>()
        };
        assert_eq!(found(Some("p"), None, None).await, ["t1", "t3"]);
        assert_eq!(found(Some("p"), Some("s"), None).await, ["t3"]);
        assert_eq!(found(None, None, Some("z")).await, ["t2"]);
        assert!(found(Some("b"), None, None).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn one_table_is_added_up_unless_it_has_too_many_partitions() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        let whole = Partition { table_id: "t2".into(), spec: String::new(), values: vec![], ..partition("") };
        let whole = Partition { num_rows: 7, num_bytes: 70, num_files: 2, ..whole };
        m.create_table(&table("t2", "z"), &[whole], &Step::None).await.unwrap();
        m.add_partitions("t1", &[partition("1"), partition("2"), partition("3")], false, &Step::None).await.unwrap();
        m.catch_up("t1", 0, 1, &[change("1", 3), change("2", 4)], &[], 9).await.unwrap();
        let sums = |num_partitions, num_rows, num_bytes, num_files| {
            Some(PartitionSums { num_partitions, num_rows, num_bytes, num_files })
        };
        // Arithmetic: `change` gives ten bytes a row and one file a partition; the third partition is empty.
        for (table, most, want) in [
            ("t1", 3, sums(3, 7, 70, 2)),
            ("t1", i64::MAX, sums(3, 7, 70, 2)),
            ("t1", 2, None),
            ("t1", 0, None),
            ("t1", -1, None),
            ("t2", 1, sums(0, 7, 70, 2)),
            ("t2", 0, None),
            ("nowhere", 0, sums(0, 0, 0, 0)),
        ] {
            assert_eq!(m.table_sums(table, most).await.unwrap(), want, "{table} {most}");
        }
    })
    .await;
}

#[tokio::test]
async fn sessions_come_with_their_table_as_it_is_called_now() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        m.create_session(&session("s1", "upload")).await.unwrap();
        m.create_session(&Session { status: "closed".into(), ..session("s2", "download") }).await.unwrap();
        let lost = Session { project: "q".into(), table_id: "t9".into(), ..session("s3", "stream") };
        m.create_session(&lost).await.unwrap();
        for (block_id, num_rows) in [(1, 5), (2, 6)] {
            let (session_id, path, stats) = ("s1".to_string(), String::new(), String::new());
            m.put_block(&Block { session_id, block_id, path, num_rows, num_bytes: 1, stats }).await.unwrap();
        }
        let renamed = Table { name: "new".into(), ..table("t1", "t") };
        m.update_table(&renamed, 0, &Step::None).await.unwrap();
        let page = m.scan_sessions(None, None, 9).await.unwrap();
        let of = Some(("default".to_string(), "new".to_string()));
        let shown: Vec<_> = page.into_iter().map(|s| (s.session.id, s.table, s.block_rows)).collect();
        let wanted = [("s1", of.clone(), 11), ("s2", of, 0), ("s3", None, 0)].map(|(s, t, n)| (s.to_string(), t, n));
        assert_eq!(shown, wanted);
        let found = async |project: Option<&str>, after: Option<&str>, limit: i64| {
            let page = m.scan_sessions(project, after, limit).await.unwrap();
            page.into_iter().map(|s| s.session.id).collect::<Vec<_>>()
        };
        assert_eq!(found(Some("p"), None, 9).await, ["s1", "s2"]);
        assert_eq!(found(None, Some("s1"), 1).await, ["s2"]);
        assert!(found(Some("q"), Some("s3"), 9).await.is_empty());
    })
    .await;
}
