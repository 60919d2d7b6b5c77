//! Schemas: the one that every project has, and those that are made.

use super::*;

#[tokio::test]
async fn a_project_has_the_default_schema_and_those_that_are_made() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        let default = m.schema("p", "default").await.unwrap().unwrap();
        assert_eq!((default.owner.as_str(), default.created_ms), ("ALIYUN$u1", 2_000));
        assert_eq!(m.schema("q", "default").await.unwrap(), None);
        m.create_schema(&schema("s1"), &Step::None).await.unwrap();
        assert_eq!(m.schema("p", "s1").await.unwrap(), Some(schema("s1")));
        refused(m.create_schema(&schema("s1"), &Step::None).await, Kind::Conflict, "ObjectAlreadyExists");
        refused(m.create_schema(&schema("default"), &Step::None).await, Kind::Conflict, "ObjectAlreadyExists");
        let elsewhere = Schema { project: "q".into(), ..schema("s1") };
        refused(m.create_schema(&elsewhere, &Step::None).await, Kind::NotFound, "NoSuchProject");
    })
    .await;
}

#[tokio::test]
async fn schemas_are_listed_by_name_with_the_default_in_its_place() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        for name in ["a", "z", "dev"] {
            m.create_schema(&schema(name), &Step::None).await.unwrap();
        }
        let names = async |prefix: &str, after: Option<&str>, limit: i64| {
            let page = m.list_schemas("p", prefix, after, limit).await.unwrap();
            page.into_iter().map(|s| s.name).collect::<Vec<_>>()
        };
        assert_eq!(names("", None, 10).await, ["a", "default", "dev", "z"]);
        assert_eq!(names("", None, 2).await, ["a", "default"]);
        assert_eq!(names("", Some("default"), 2).await, ["dev", "z"]);
        assert_eq!(names("de", None, 10).await, ["default", "dev"]);
        assert_eq!(names("x", None, 10).await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_schema_with_anything_in_it_is_not_dropped() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        m.create_schema(&schema("s1"), &Step::None).await.unwrap();
        let drop = async || m.drop_schema("p", "s1", &Step::None).await;
        let inside = Table { schema_name: "s1".into(), ..table("t1", "t") };
        m.create_table(&inside, &[], &Step::None).await.unwrap();
        assert!(refused(drop().await, Kind::Conflict, "SchemaNotEmpty").contains("'t'"));
        m.drop_table("t1", 9_000, &Step::None).await.unwrap();
        m.create_resource(&resource("s1", "r.py"), &[]).await.unwrap();
        assert!(refused(drop().await, Kind::Conflict, "SchemaNotEmpty").contains("r.py"));
        assert!(refused(m.delete_project("p").await, Kind::Conflict, "ProjectNotEmpty").contains("s1"));
        m.drop_resource(&at("s1", "r.py"), &Step::None).await.unwrap();
        drop().await.unwrap();
        refused(drop().await, Kind::NotFound, "NoSuchObject");
        refused(m.drop_schema("p", "default", &Step::None).await, Kind::Invalid, "InvalidParameter");
        m.delete_project("p").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn tables_of_two_schemas_may_have_one_name() {
    on_both(async |db| {
        let m = &db.meta;
        with_table(m).await;
        let inside = Table { schema_name: "s1".into(), ..table("t2", "t") };
        refused(m.create_table(&inside, &[], &Step::None).await, Kind::NotFound, "NoSuchObject");
        m.create_schema(&schema("s1"), &Step::None).await.unwrap();
        m.create_table(&inside, &[], &Step::None).await.unwrap();
        let id = async |local: &str| m.table_named("p", local).await.unwrap().map(|t| t.id);
        assert_eq!(id("t").await.as_deref(), Some("t1"));
        assert_eq!(id("s1.t").await.as_deref(), Some("t2"));
        assert_eq!(id("default.t").await.as_deref(), Some("t1"));
        assert_eq!(id("s2.t").await, None);
        assert_eq!(inside.local_name(), "s1.t");
    })
    .await;
}

#[tokio::test]
async fn a_schema_is_made_together_with_its_step() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        running(m, "i1").await;
        m.create_schema(&schema("s1"), &step("i1", 1, 0)).await.unwrap();
        assert_eq!(m.instance("p", "i1").await.unwrap().unwrap().step, 1);
        refused(m.create_schema(&schema("s2"), &step("i1", 1, 0)).await, Kind::Conflict, "ODPS-0110061");
        assert_eq!(m.schema("p", "s2").await.unwrap(), None);
        refused(m.drop_schema("p", "s1", &step("i1", 7, 1)).await, Kind::Conflict, "ODPS-0110061");
        m.drop_schema("p", "s1", &step("i1", 1, 1)).await.unwrap();
        assert_eq!(m.instance("p", "i1").await.unwrap().unwrap().step, 2);
    })
    .await;
}
