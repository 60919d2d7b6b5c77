//! Resources: rows whose files are elsewhere, and parts that become one.

use super::*;

#[tokio::test]
async fn a_resource_comes_back_as_it_was_written_in_its_own_schema() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        let r = resource("default", "My.py");
        m.create_resource(&r, &[]).await.unwrap();
        assert_eq!(m.resource(&r.at).await.unwrap(), Some(r.clone()));
        assert_eq!(m.resource(&at("default", "my.py")).await.unwrap(), None);
        assert_eq!(m.resource(&at("s1", "My.py")).await.unwrap(), None);
        refused(m.create_resource(&r, &[]).await, Kind::Conflict, "ObjectAlreadyExists");
        refused(m.create_resource(&resource("s1", "My.py"), &[]).await, Kind::NotFound, "NoSuchObject");
        m.create_schema(&schema("s1"), &Step::None).await.unwrap();
        m.create_resource(&resource("s1", "My.py"), &[]).await.unwrap();
        assert!(refused(m.delete_project("p").await, Kind::Conflict, "ProjectNotEmpty").contains("s1"));
    })
    .await;
}

#[tokio::test]
async fn an_update_keeps_owner_and_creation_time() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        let old = resource("default", "r");
        refused(m.update_resource(&old, &[]).await, Kind::NotFound, "NoSuchObject");
        m.create_resource(&old, &[]).await.unwrap();
        let new = Resource {
            owner: "somebody".into(),
            updator: "ALIYUN$u2".into(),
            kind: "table".into(),
            is_temp: true,
            path: String::new(),
            md5: String::new(),
            num_bytes: 0,
            source: "p.t partition(ds='1')".into(),
            created_ms: 9,
            modified_ms: 3_000,
            ..old.clone()
        };
        m.update_resource(&new, &[]).await.unwrap();
        let want = Resource { owner: old.owner, created_ms: old.created_ms, ..new };
        assert_eq!(m.resource(&want.at).await.unwrap(), Some(want));
        assert_eq!(m.all_resource_files().await.unwrap(), []);
        m.drop_resource(&at("default", "r"), &Step::None).await.unwrap();
        refused(m.drop_resource(&at("default", "r"), &Step::None).await, Kind::NotFound, "NoSuchObject");
    })
    .await;
}

#[tokio::test]
async fn parts_go_with_the_resource_that_they_became_or_stay_all() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        for part in ["a", "b"] {
            m.create_resource(&resource("default", part), &[]).await.unwrap();
        }
        let part = |name: &str, path: &str| (name.to_string(), path.to_string());
        let replaced = [part("a", "resources/p/a-1"), part("b", "resources/p/b-0")];
        let whole = resource("default", "whole");
        refused(m.create_resource(&whole, &replaced).await, Kind::NotFound, "NoSuchObject");
        assert!(m.resource(&at("default", "a")).await.unwrap().is_some());
        assert_eq!(m.resource(&whole.at).await.unwrap(), None);
        let parts = [part("a", "resources/p/a-1"), part("b", "resources/p/b-1")];
        m.create_resource(&whole, &parts).await.unwrap();
        assert_eq!(m.all_resource_files().await.unwrap(), [whole]);
    })
    .await;
}

#[tokio::test]
async fn listings_filter_and_go_on_behind_a_name() {
    on_both(async |db| {
        let m = &db.meta;
        with_project(m).await;
        for (i, name) in ["ab", "a", "abc", "B"].into_iter().enumerate() {
            let r = Resource { owner: format!("o{}", i % 2), ..resource("default", name) };
            m.create_resource(&r, &[]).await.unwrap();
        }
        let names = async |prefix: &str, owner: Option<&str>, after: Option<&str>, limit: i64| {
            let page = m.list_resources("p", "default", (prefix, owner), after, limit).await.unwrap();
            page.into_iter().map(|r| r.at.name).collect::<Vec<_>>()
        };
        // Byte order: capitals come first.
        assert_eq!(names("", None, None, 10).await, ["B", "a", "ab", "abc"]);
        assert_eq!(names("a", None, Some("a"), 1).await, ["ab"]);
        assert_eq!(names("a", Some("o1"), None, 10).await, ["a"]);
        assert_eq!(m.list_resources("p", "s1", ("", None), None, 10).await.unwrap(), []);
    })
    .await;
}
