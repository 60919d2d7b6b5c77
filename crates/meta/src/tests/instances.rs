//! Jobs: submission, claims, ends, lost nodes, listings.

use super::*;

#[tokio::test]
async fn a_submission_that_arrives_twice_is_one_job() {
    on_both(async |db| {
        let m = &db.meta;
        let first = Instance { guid: "g".into(), result_inline: Some(vec![0, 1]), ..instance("i1", 5) };
        assert_eq!(m.create_instance(&first).await.unwrap(), (first.clone(), false));
        let second = Instance { guid: "g".into(), ..instance("i2", 6) };
        assert_eq!(m.create_instance(&second).await.unwrap(), (first.clone(), true));
        assert_eq!(m.instance("p", "i2").await.unwrap(), None);
        // Another project's guid and no guid at all are other jobs.
        let elsewhere = Instance { project: "q".into(), ..Instance { id: "i3".into(), ..second } };
        assert!(!m.create_instance(&elsewhere).await.unwrap().1);
        assert!(!m.create_instance(&instance("i4", 1)).await.unwrap().1);
        assert!(!m.create_instance(&instance("i5", 1)).await.unwrap().1);
        refused(m.create_instance(&instance("i4", 1)).await, Kind::Conflict, "ObjectAlreadyExists");
        assert_eq!(m.instance("p", "i1").await.unwrap(), Some(first));
        assert_eq!(m.instance("q", "i1").await.unwrap(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_submission_to_two_processes_at_once_is_one_job() {
    on_both(async |db| {
        let other = db.another().await;
        for i in 0..20 {
            let a = Instance { guid: format!("g{i}"), ..instance(&format!("a{i}"), 5) };
            let b = Instance { guid: format!("g{i}"), ..instance(&format!("b{i}"), 5) };
            let (a, b) = tokio::join!(db.meta.create_instance(&a), other.create_instance(&b));
            let ((a, a_existed), (b, b_existed)) = (a.unwrap(), b.unwrap());
            assert_eq!(a, b);
            assert_ne!(a_existed, b_existed);
        }
        other.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_that_claim_a_job_exactly_one_gets_it() {
    on_both(async |db| {
        let other = db.another().await;
        for i in 0..30 {
            let id = format!("i{i}");
            db.meta.create_instance(&instance(&id, i)).await.unwrap();
            let (a, b) = tokio::join!(db.meta.claim(&id, "na", 100), other.claim(&id, "nb", 200));
            let (a, b) = (a.unwrap(), b.unwrap());
            assert_ne!(a.is_some(), b.is_some(), "{id}");
            let won = a.or(b).unwrap();
            assert_eq!((won.state, won.attempt), (InstanceState::Running, 1));
            assert_eq!(won.started_ms, Some(if won.node == "na" { 100 } else { 200 }));
            assert_eq!(db.meta.instance("p", &id).await.unwrap(), Some(won));
        }
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn the_queue_goes_by_priority_then_time() {
    on_both(async |db| {
        let m = &db.meta;
        for (id, priority, at) in [("late", 9, 30), ("early", 9, 10), ("urgent", 1, 40), ("runs", 0, 1)] {
            m.create_instance(&Instance { priority, ..instance(id, at) }).await.unwrap();
        }
        m.claim("runs", "n1", 1).await.unwrap().unwrap();
        m.create_instance(&Instance { project: "q".into(), ..instance("other", 1) }).await.unwrap();
        m.claim("other", "n1", 1).await.unwrap().unwrap();
        let ids = |v: Vec<Instance>| v.into_iter().map(|i| i.id).collect::<Vec<_>>();
        assert_eq!(ids(m.waiting(9).await.unwrap()), ["urgent", "early", "late"]);
        assert_eq!(ids(m.waiting(1).await.unwrap()), ["urgent"]);
        let counts = m.running_counts().await.unwrap();
        assert_eq!(counts, [("p".to_string(), 1), ("q".to_string(), 1)].into());
    })
    .await;
}

#[tokio::test]
async fn an_attempt_ends_its_job_once_and_a_replaced_one_never() {
    on_both(async |db| {
        let m = &db.meta;
        running(m, "i1").await;
        let outcome = Outcome {
            is_select: true,
            result_columns: Some("[]".into()),
            result_inline: Some(vec![0, 159, 146, 150]),
            result_path: Some("results/p/i1.arrow".into()),
            result_rows: 3,
            error: None,
            summary: "{\"x\":1}".into(),
        };
        let end = async |attempt| m.finish_instance("i1", attempt, InstanceState::Success, &outcome, 99).await.unwrap();
        assert!(!end(2).await);
        assert!(m.update_summary("i1", 1, "{\"p\":1}").await.unwrap());
        assert!(!m.update_summary("i1", 2, "{}").await.unwrap());
        assert_eq!(m.instance_state("p", "i1").await.unwrap(), Some((InstanceState::Running, 1)));
        refused(
            m.finish_instance("i1", 1, InstanceState::Waiting, &outcome, 99).await,
            Kind::Internal,
            "InternalServerError",
        );
        assert!(end(1).await);
        assert!(!end(1).await);
        let i = m.instance("p", "i1").await.unwrap().unwrap();
        assert_eq!((i.state, i.ended_ms, i.summary.as_str()), (InstanceState::Success, Some(99), "{\"x\":1}"));
        assert_eq!((i.is_select, i.result_rows, i.result_inline), (true, 3, outcome.result_inline.clone()));
        assert_eq!((i.result_columns, i.result_path), (outcome.result_columns.clone(), outcome.result_path.clone()));
        assert!(!m.update_summary("i1", 1, "{}").await.unwrap());
        assert!(!m.requeue("i1", 1).await.unwrap());
        assert_eq!(m.instance_state("p", "none").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_stop_ends_a_waiting_job_at_once_and_marks_a_running_one() {
    on_both(async |db| {
        let m = &db.meta;
        m.create_instance(&instance("i1", 1)).await.unwrap();
        assert!(m.request_stop("i1").await.unwrap());
        let i = m.instance("p", "i1").await.unwrap().unwrap();
        assert_eq!(i.state, InstanceState::Cancelled);
        // ODPS-0120031 is MaxCompute's code for a cancelled instance.
        assert!(i.ended_ms.is_some() && i.error.unwrap().starts_with("ODPS-0120031"));
        assert!(m.claim("i1", "n1", 1).await.unwrap().is_none());
        assert!(!m.request_stop("i1").await.unwrap());
        running(m, "i2").await;
        assert_eq!(m.stops_requested().await.unwrap(), Vec::<String>::new());
        assert!(m.request_stop("i2").await.unwrap());
        let i = m.instance("p", "i2").await.unwrap().unwrap();
        assert_eq!((i.state, i.stop_requested, i.ended_ms, i.error), (InstanceState::Running, true, None, None));
        assert_eq!(m.stops_requested().await.unwrap(), ["i2"]);
        // Its node dies before it has heard: nobody else will run it.
        assert!(m.requeue("i2", 1).await.unwrap());
        let i = m.instance("p", "i2").await.unwrap().unwrap();
        assert_eq!((i.state, i.ended_ms.is_some()), (InstanceState::Cancelled, true));
        assert!(!m.request_stop("none").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn jobs_of_a_lost_node_wait_again_and_start_as_a_new_attempt() {
    on_both(async |db| {
        let m = &db.meta;
        for (id, node) in [("i1", "n1"), ("i2", "n2"), ("i3", "n3"), ("i4", "n3")] {
            m.create_instance(&instance(id, 1)).await.unwrap();
            m.claim(id, node, 1).await.unwrap().unwrap();
        }
        assert_eq!(m.requeue_lost(&texts(&["n1", "n3"])).await.unwrap(), 1);
        assert_eq!(m.requeue_node("n3").await.unwrap(), 2);
        assert_eq!(m.requeue_lost(&texts(&["n1"])).await.unwrap(), 0);
        assert!(!m.requeue("i1", 7).await.unwrap());
        let i = m.instance("p", "i2").await.unwrap().unwrap();
        assert_eq!((i.state, i.node.as_str(), i.attempt), (InstanceState::Waiting, "", 1));
        let again = m.claim("i2", "n1", 5).await.unwrap().unwrap();
        assert_eq!((again.attempt, again.started_ms), (2, Some(5)));
        // The first attempt wakes up.
        let out = Outcome::default();
        assert!(!m.finish_instance("i2", 1, InstanceState::Success, &out, 9).await.unwrap());
        assert!(m.finish_instance("i2", 2, InstanceState::Failed, &out, 9).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_listing_has_the_beginning_of_a_statement_and_the_job_all_of_it() {
    on_both(async |db| {
        let (m, most) = (&db.meta, crate::LISTED_QUERY);
        let long = Instance { query: "表".repeat(most + 1), ..instance("b", 2) };
        let short = Instance { query: "x".repeat(most - 1), ..instance("a", 1) };
        for row in [&long, &short] {
            m.create_instance(row).await.unwrap();
        }
        let listed = m.list_instances(Some("p"), &InstanceFilter::default(), None, 9).await.unwrap();
        let listed: Vec<_> = listed.into_iter().map(|i| (i.query, i.source)).collect();
        assert_eq!(listed, [("表".repeat(most), String::new()), (short.query, String::new())]);
        assert_eq!(m.instance("p", "b").await.unwrap(), Some(long));
    })
    .await;
}

#[tokio::test]
async fn listings_are_newest_first_and_filter_and_go_on() {
    on_both(async |db| {
        let m = &db.meta;
        // Two jobs of one millisecond are ordered by id.
        for (id, project, owner, at) in [
            ("a", "p", "o1", 10),
            ("c", "p", "o1", 20),
            ("b", "p", "o2", 20),
            ("d", "p", "o1", 30),
            ("e", "q", "o1", 25),
        ] {
            let row = Instance { project: project.into(), owner: owner.into(), ..instance(id, at) };
            m.create_instance(&row).await.unwrap();
        }
        m.claim("b", "n1", 1).await.unwrap().unwrap();
        m.claim("c", "n1", 1).await.unwrap().unwrap();
        let out = Outcome { result_inline: Some(vec![1]), ..Outcome::default() };
        m.finish_instance("c", 1, InstanceState::Failed, &out, 50).await.unwrap();
        let ids = async |project: Option<&str>, filter: InstanceFilter, before: Option<&str>, limit: i64| {
            let page = m.list_instances(project, &filter, before, limit).await.unwrap();
            assert!(page.iter().all(|i| i.result_inline.is_none()));
            page.into_iter().map(|i| i.id).collect::<String>()
        };
        let all = InstanceFilter::default;
        assert_eq!(ids(Some("p"), all(), None, 9).await, "dcba");
        assert_eq!(ids(None, all(), None, 9).await, "decba");
        assert_eq!(ids(Some("p"), all(), Some("c"), 9).await, "ba");
        assert_eq!(ids(Some("p"), all(), Some("d"), 1).await, "c");
        assert_eq!(ids(Some("p"), all(), Some("forgotten"), 9).await, "");
        let class = |class| InstanceFilter { class: Some(class), ..all() };
        assert_eq!(ids(Some("p"), class(StateClass::Waiting), None, 9).await, "da");
        assert_eq!(ids(None, class(StateClass::Running), None, 9).await, "b");
        assert_eq!(ids(Some("p"), class(StateClass::Terminal), None, 9).await, "c");
        assert_eq!(ids(Some("p"), class(StateClass::Failed), None, 9).await, "c");
        assert_eq!(ids(None, class(StateClass::Failed), None, 9).await, "c");
        assert_eq!(ids(Some("q"), class(StateClass::Failed), None, 9).await, "");
        // One that is stopped before it starts has been cancelled.
        assert!(m.request_stop("a").await.unwrap());
        assert_eq!(ids(Some("p"), class(StateClass::Cancelled), None, 9).await, "a");
        assert_eq!(ids(Some("p"), class(StateClass::Terminal), None, 9).await, "ca");
        let failed = |owner: &str| InstanceFilter { owner: Some(owner.into()), ..class(StateClass::Failed) };
        assert_eq!(ids(Some("p"), failed("o1"), None, 9).await, "c");
        assert_eq!(ids(None, failed("o1"), None, 9).await, "c");
        assert_eq!(ids(Some("p"), failed("o2"), None, 9).await, "");
        let before = InstanceFilter { to_ms: Some(20), ..class(StateClass::Failed) };
        assert_eq!(ids(Some("p"), before, None, 9).await, "");
        assert_eq!(ids(Some("p"), class(StateClass::Terminal), Some("c"), 9).await, "a");
        let o1 = InstanceFilter { owner: Some("o1".into()), ..all() };
        assert_eq!(ids(Some("p"), o1.clone(), None, 9).await, "dca");
        assert_eq!(ids(None, o1, None, 9).await, "deca");
        let time = InstanceFilter { from_ms: Some(20), to_ms: Some(30), ..all() };
        assert_eq!(ids(Some("p"), time.clone(), None, 9).await, "cb");
        assert_eq!(ids(Some("p"), time, Some("c"), 9).await, "b");
    })
    .await;
}

#[tokio::test]
async fn ended_jobs_are_forgotten_after_their_time_with_their_results() {
    on_both(async |db| {
        let m = &db.meta;
        for id in ["i1", "i2", "i3"] {
            running(m, id).await;
        }
        let out = Outcome { result_path: Some("results/p/i1.arrow".into()), ..Outcome::default() };
        m.finish_instance("i1", 1, InstanceState::Success, &out, 100).await.unwrap();
        m.finish_instance("i2", 1, InstanceState::Success, &Outcome::default(), 200).await.unwrap();
        assert!(m.expire_instances(100).await.unwrap().is_empty());
        let mut gone = m.expire_instances(201).await.unwrap();
        gone.sort();
        assert_eq!(gone, [("i1".to_string(), Some("results/p/i1.arrow".to_string())), ("i2".to_string(), None)]);
        assert_eq!(m.instance("p", "i1").await.unwrap(), None);
        assert!(m.instance("p", "i3").await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn the_earlier_run_is_the_newest_ended_one_of_the_same_text() {
    on_both(async |db| {
        let m = &db.meta;
        let add = async |id: &str, project: &str, query: &str, at: i64, state: InstanceState| {
            let row = Instance { project: project.into(), query: query.into(), state, ..instance(id, at) };
            m.create_instance(&row).await.unwrap();
            row
        };
        use InstanceState::{Cancelled, Failed, Running, Success};
        let first = add("a", "p", "select 1", 10, Success).await;
        add("b", "p", "select 1", 20, Failed).await;
        add("c", "p", "select 1 ", 30, Success).await;
        add("d", "q", "select 1", 31, Success).await;
        add("e", "p", "select 1", 32, Running).await;
        let later = add("g", "p", "select 1", 40, Running).await;
        // Two jobs of one millisecond are ordered by id.
        add("f", "p", "select 1", 40, Cancelled).await;
        add("h", "p", "select 1", 40, Success).await;
        let before = async |of: &Instance| m.earlier_run(of).await.unwrap().map(|i| i.id);
        assert_eq!(before(&later).await.as_deref(), Some("f"));
        let between = Instance { submitted_ms: 39, ..later };
        assert_eq!(before(&between).await.as_deref(), Some("b"));
        assert_eq!(before(&first).await, None);
    })
    .await;
}

// The FNV specification (Fowler, Noll, Vo), FNV-1a of 64 bits: the offset basis, and the test vector "foobar".
#[test]
fn the_number_of_a_text_never_changes() {
    assert_eq!(crate::instances::query_hash("") as u64, 0xcbf2_9ce4_8422_2325);
    assert_eq!(crate::instances::query_hash("foobar") as u64, 0x8594_4171_f739_67e8);
}

// A database of version 2 has jobs without the number; they stay readable and later ones are found.
#[tokio::test]
async fn jobs_from_before_the_number_of_their_text_stay() {
    on_both(async |db| {
        let m = &db.meta;
        let old = Instance { state: InstanceState::Success, ..instance("a", 10) };
        m.create_instance(&old).await.unwrap();
        for undo in [
            "DROP TABLE ots_instances",
            "DROP TABLE volumes",
            "DROP TABLE volume_entries",
            "DROP INDEX instances_failed",
            "DROP INDEX instances_cancelled",
            "DROP TABLE policies",
            "DROP TABLE security_switches",
            "DROP TABLE labels",
            "DROP TABLE holder_labels",
            "DROP TABLE label_grants",
            "DROP INDEX instances_query",
            "DROP INDEX instances_project_owner",
            "ALTER TABLE instances DROP COLUMN query_hash",
            "ALTER TABLE sessions DROP COLUMN options",
            "DROP TABLE project_users",
            "DROP TABLE roles",
            "DROP TABLE role_members",
            "DROP TABLE grants",
            "UPDATE schema_version SET version = 2",
        ] {
            m.writer().execute(undo).await.unwrap();
        }
        let again = db.another().await;
        assert_eq!(again.instance("p", "a").await.unwrap(), Some(old));
        let late = [instance("b", 20), instance("c", 30)];
        assert_eq!(again.earlier_run(&late[0]).await.unwrap(), None);
        again.create_instance(&Instance { state: InstanceState::Success, ..late[0].clone() }).await.unwrap();
        assert_eq!(again.earlier_run(&late[1]).await.unwrap().map(|i| i.id).as_deref(), Some("b"));
        again.close().await;
    })
    .await;
}
