//! Projects and admissions.

use super::*;

#[tokio::test]
async fn a_project_has_an_owner_whose_name_is_looked_up() {
    on_both(async |db| {
        let m = &db.meta;
        refused(m.create_project(&project("p")).await, Kind::NotFound, "NoSuchObject");
        with_project(m).await;
        refused(m.create_project(&project("p")).await, Kind::Conflict, "ObjectAlreadyExists");
        assert_eq!(m.project("p").await.unwrap(), Some(project("p")));
        assert_eq!(m.project("q").await.unwrap(), None);
        m.update_project("p", Some("c"), None, 2_500).await.unwrap();
        m.update_project("p", None, Some("{\"a\":\"1\"}"), 2_600).await.unwrap();
        let want =
            Project { comment: "c".into(), properties: "{\"a\":\"1\"}".into(), modified_ms: 2_600, ..project("p") };
        assert_eq!(m.project("p").await.unwrap(), Some(want));
        refused(m.update_project("q", None, None, 1).await, Kind::NotFound, "NoSuchProject");
    })
    .await;
}

#[tokio::test]
async fn project_pages_go_by_name_in_byte_order() {
    on_both(async |db| {
        let m = &db.meta;
        m.create_account(&account("u1")).await.unwrap();
        // In a locale's order `b_1` and `B` would stand elsewhere.
        for name in ["b", "a", "b_1", "b1", "B", "c"] {
            m.create_project(&project(name)).await.unwrap();
        }
        let names = async |prefix: &str, after: Option<&str>, limit: i64| {
            let page = m.list_projects(prefix, after, limit).await.unwrap();
            page.into_iter().map(|p| p.name).collect::<Vec<_>>()
        };
        assert_eq!(names("", None, 100).await, ["B", "a", "b", "b1", "b_1", "c"]);
        assert_eq!(names("b", None, 2).await, ["b", "b1"]);
        assert_eq!(names("b", Some("b1"), 2).await, ["b_1"]);
        assert_eq!(names("", Some("b_1"), 2).await, ["c"]);
        assert!(names("", None, -1).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_project_with_live_tables_stays() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        let message = refused(m.delete_project("p").await, Kind::Conflict, "ProjectNotEmpty");
        assert!(message.contains("'t'"), "{message}");
        assert!(m.project("p").await.unwrap().is_some());
        m.drop_table("t1", 9, &Step::None).await.unwrap();
        m.admit("p", "u1").await.unwrap();
        m.delete_project("p").await.unwrap();
        assert_eq!(m.project("p").await.unwrap(), None);
        assert_eq!(m.admitted("p").await.unwrap(), vec![]);
        refused(m.delete_project("p").await, Kind::NotFound, "NoSuchProject");
    })
    .await;
}

// A name is no right to what somebody else ran under it.
#[tokio::test]
async fn the_next_project_of_a_name_has_none_of_the_jobs() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        let job = Instance { project: "p".into(), ..instance("i1", 1) };
        m.create_instance(&job).await.unwrap();
        let message = refused(m.delete_project("p").await, Kind::Conflict, "ProjectNotEmpty");
        assert!(message.contains("'i1'"), "{message}");
        m.request_stop("i1").await.unwrap();
        m.delete_project("p").await.unwrap();
        m.create_project(&project("p")).await.unwrap();
        assert_eq!(m.instance("p", "i1").await.unwrap(), None);
        assert_eq!(m.list_instances(Some("p"), &InstanceFilter::default(), None, 9).await.unwrap(), vec![]);
    })
    .await;
}

#[tokio::test]
async fn the_owner_and_the_admitted_may_enter() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        m.create_account(&account("u2")).await.unwrap();
        assert!(m.is_admitted("p", "u1").await.unwrap());
        assert!(!m.is_admitted("p", "u2").await.unwrap());
        m.admit("p", "u2").await.unwrap();
        m.admit("p", "u2").await.unwrap();
        assert!(m.is_admitted("p", "u2").await.unwrap());
        assert_eq!(m.admitted("p").await.unwrap(), [account("u2")]);
        let other = Project { owner_id: "u2".into(), ..project("o") };
        m.create_project(&other).await.unwrap();
        assert_eq!(m.projects_of("u1").await.unwrap(), ["p"]);
        assert_eq!(m.projects_of("u2").await.unwrap(), ["o", "p"]);
        assert!(m.projects_of("u9").await.unwrap().is_empty());
        m.expel("p", "u2").await.unwrap();
        m.expel("p", "u2").await.unwrap();
        assert_eq!(m.projects_of("u2").await.unwrap(), ["o"]);
        assert!(!m.is_admitted("p", "u2").await.unwrap());
        refused(m.admit("p", "u9").await, Kind::NotFound, "NoSuchObject");
        refused(m.admit("q", "u2").await, Kind::NotFound, "NoSuchProject");
    })
    .await;
}

#[tokio::test]
async fn the_name_of_the_system_is_taken() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        let message = refused(m.create_project(&project("sys")).await, Kind::Invalid, "InvalidArgument");
        assert!(message.contains("'sys'"), "{message}");
        refused(m.create_schema(&schema("sys"), &Step::None).await, Kind::Invalid, "InvalidParameter");
    })
    .await;
}
