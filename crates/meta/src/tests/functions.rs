//! Functions: the registry and what it refers to.

use super::*;

fn function(name: &str) -> Function {
    Function {
        at: at("default", name),
        owner: "ALIYUN$u1".into(),
        class_type: "my_mod.MyPlus".into(),
        resources: vec![at("default", "my_mod.py")],
        sql: None,
        created_ms: 2_700,
        modified_ms: 2_700,
    }
}

#[tokio::test]
async fn a_function_needs_its_resources_and_comes_back_as_it_was_written() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        refused(m.create_function(&function("f"), &Step::None).await, Kind::NotFound, "NoSuchObject");
        m.create_resource(&resource("default", "my_mod.py"), &[]).await.unwrap();
        m.create_function(&function("f"), &Step::None).await.unwrap();
        assert_eq!(m.function(&at("default", "f")).await.unwrap(), Some(function("f")));
        assert_eq!(m.function(&at("s1", "f")).await.unwrap(), None);
        refused(m.create_function(&function("f"), &Step::None).await, Kind::Conflict, "ObjectAlreadyExists");
        let outside = Function { at: at("s1", "f"), ..function("f") };
        refused(m.create_function(&outside, &Step::None).await, Kind::NotFound, "NoSuchObject");
        assert!(refused(m.delete_project("p").await, Kind::Conflict, "ProjectNotEmpty").contains("'f'"));
    })
    .await;
}

#[tokio::test]
async fn class_resources_and_owner_change_and_the_rest_stays() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        m.create_schema(&schema("s1"), &Step::None).await.unwrap();
        for r in [resource("default", "my_mod.py"), resource("s1", "b.jar")] {
            m.create_resource(&r, &[]).await.unwrap();
        }
        let changed = Function {
            class_type: "other.Class".into(),
            resources: vec![at("s1", "b.jar"), at("default", "my_mod.py")],
            modified_ms: 3_000,
            ..function("f")
        };
        refused(m.update_function(&changed).await, Kind::NotFound, "NoSuchObject");
        m.create_function(&function("f"), &Step::None).await.unwrap();
        m.update_function(&Function { owner: "nobody".into(), created_ms: 1, ..changed.clone() }).await.unwrap();
        assert_eq!(m.function(&at("default", "f")).await.unwrap(), Some(changed.clone()));
        let missing = Function { resources: vec![at("s1", "missing")], ..changed.clone() };
        refused(m.update_function(&missing).await, Kind::NotFound, "NoSuchObject");
        let to = async |owner: &str| m.change_function_owner(&at("default", "f"), owner, 4_000).await;
        refused(to("ALIYUN$u2").await, Kind::NotFound, "NoSuchObject");
        m.create_account(&account("u2")).await.unwrap();
        to("ALIYUN$u2").await.unwrap();
        let want = Function { owner: "ALIYUN$u2".into(), modified_ms: 4_000, ..changed };
        assert_eq!(m.function(&at("default", "f")).await.unwrap(), Some(want));
    })
    .await;
}

#[tokio::test]
async fn a_sql_function_keeps_its_text_and_gives_way_with_its_owner_kept() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        let text = |sql: &str| Function {
            class_type: String::new(),
            resources: Vec::new(),
            sql: Some(sql.into()),
            ..function("f")
        };
        m.create_function(&text("create sql function f() as '\"'"), &Step::None).await.unwrap();
        assert_eq!(m.function(&at("default", "f")).await.unwrap(), Some(text("create sql function f() as '\"'")));
        let other = Function { owner: "ALIYUN$u2".into(), created_ms: 9_000, modified_ms: 9_000, ..text("b") };
        m.replace_function(&other, &Step::None).await.unwrap();
        let want = Function { modified_ms: 9_000, ..text("b") };
        assert_eq!(m.function(&at("default", "f")).await.unwrap(), Some(want));
        m.create_resource(&resource("default", "my_mod.py"), &[]).await.unwrap();
        m.update_function(&Function { modified_ms: 9_500, ..function("f") }).await.unwrap();
        let want = Function { modified_ms: 9_500, ..function("f") };
        assert_eq!(m.function(&at("default", "f")).await.unwrap(), Some(want));
        m.replace_function(&text("c"), &Step::None).await.unwrap();
        m.drop_function(&at("default", "f"), &Step::None).await.unwrap();
        m.replace_function(&text("d"), &Step::None).await.unwrap();
        assert_eq!(m.function(&at("default", "f")).await.unwrap(), Some(text("d")));
        let outside = Function { at: at("s1", "f"), ..text("e") };
        refused(m.replace_function(&outside, &Step::None).await, Kind::NotFound, "NoSuchObject");
    })
    .await;
}

#[tokio::test]
async fn functions_are_listed_by_name_and_dropped_once() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        m.create_resource(&resource("default", "my_mod.py"), &[]).await.unwrap();
        for name in ["g", "f", "ff"] {
            m.create_function(&function(name), &Step::None).await.unwrap();
        }
        let names = async |prefix: &str, owner: Option<&str>, after: Option<&str>| {
            let page = m.list_functions("p", "default", (prefix, owner), after, 10).await.unwrap();
            page.into_iter().map(|f| f.at.name).collect::<Vec<_>>()
        };
        assert_eq!(names("", None, None).await, ["f", "ff", "g"]);
        assert_eq!(names("f", Some("ALIYUN$u1"), Some("f")).await, ["ff"]);
        assert_eq!(names("", Some("ALIYUN$u2"), None).await, [""; 0]);
        m.drop_function(&at("default", "f"), &Step::None).await.unwrap();
        refused(m.drop_function(&at("default", "f"), &Step::None).await, Kind::NotFound, "NoSuchObject");
        assert_eq!(names("", None, None).await, ["ff", "g"]);
    })
    .await;
}
