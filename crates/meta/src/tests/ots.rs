//! Instances of the table store, and what a request to it asks.

use super::*;

fn ots_instance(id: &str, name: &str, account_id: &str) -> OtsInstance {
    OtsInstance {
        id: id.into(),
        name: name.into(),
        account_id: account_id.into(),
        account_name: format!("ALIYUN${account_id}"),
        created_ms: 3_000,
    }
}

fn key_of(access_id: &str, account_id: &str) -> AccessKey {
    AccessKey {
        access_id: access_id.into(),
        account_id: account_id.into(),
        sealed_secret: vec![1, 2, 3],
        enabled: false,
        expires_ms: Some(9_000),
        sts_token_sha256: Some("ab".into()),
        created_ms: 2_500,
    }
}

#[tokio::test]
async fn the_name_of_an_instance_belongs_to_one_account_until_it_is_forgotten() {
    on_both(async |db| {
        let m = &db.meta;
        let first = ots_instance("i1", "demo", "u1");
        refused(m.create_ots_instance(&first).await, Kind::NotFound, "NoSuchObject");
        m.create_account(&account("u1")).await.unwrap();
        m.create_account(&account("u2")).await.unwrap();
        m.create_ots_instance(&first).await.unwrap();
        let other = ots_instance("i2", "demo", "u2");
        let message = refused(m.create_ots_instance(&other).await, Kind::Conflict, "ObjectAlreadyExists");
        assert!(message.contains("'demo'"), "{message}");
        assert_eq!(m.ots_instance("demo").await.unwrap(), Some(first));
        assert_eq!(m.ots_instance("dem").await.unwrap(), None);
        assert!(m.delete_ots_instance("i1").await.unwrap());
        assert!(!m.delete_ots_instance("i1").await.unwrap(), "it is gone");
        m.create_ots_instance(&other).await.unwrap();
        assert_eq!(m.ots_instance("demo").await.unwrap(), Some(other));
    })
    .await;
}

#[tokio::test]
async fn instances_are_listed_by_name_for_one_account_or_all() {
    on_both(async |db| {
        let m = &db.meta;
        m.create_account(&account("u1")).await.unwrap();
        m.create_account(&account("u2")).await.unwrap();
        // In a locale's order `a-c` and `a1` would stand elsewhere.
        for (id, name, owner) in [("i1", "b", "u1"), ("i2", "a1", "u2"), ("i3", "a-c", "u1")] {
            m.create_ots_instance(&ots_instance(id, name, owner)).await.unwrap();
        }
        let names = async |account: Option<&str>| {
            let list = m.list_ots_instances(account).await.unwrap();
            list.into_iter().map(|i| i.name).collect::<Vec<_>>()
        };
        assert_eq!(names(None).await, ["a-c", "a1", "b"]);
        assert_eq!(names(Some("u1")).await, ["a-c", "b"]);
        assert!(names(Some("u3")).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn one_read_finds_the_key_its_account_and_the_instance_whosever_it_is() {
    on_both(async |db| {
        let m = &db.meta;
        m.create_account(&account("u1")).await.unwrap();
        m.create_account(&account("u2")).await.unwrap();
        let key = key_of("k1", "u1");
        m.create_key(&key).await.unwrap();
        let foreign = ots_instance("i1", "theirs", "u2");
        m.create_ots_instance(&foreign).await.unwrap();
        let caller = |instance| OtsCaller { key: key.clone(), account: account("u1"), instance };
        assert_eq!(m.ots_caller("k1", "theirs").await.unwrap(), Some(caller(Some(foreign))));
        assert_eq!(m.ots_caller("k1", "nothing").await.unwrap(), Some(caller(None)));
        assert_eq!(m.ots_caller("k2", "theirs").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_change_counts_from_its_end_on_however_often_was_asked_before() {
    on_both(async |db| {
        let m = &db.meta;
        m.create_account(&account("u1")).await.unwrap();
        m.create_key(&AccessKey { enabled: true, ..key_of("k1", "u1") }).await.unwrap();
        let now = async || m.ots_caller("k1", "demo").await.unwrap();
        assert_eq!(now().await.unwrap().instance, None);
        let instance = ots_instance("i1", "demo", "u1");
        m.create_ots_instance(&instance).await.unwrap();
        for _ in 0..2 {
            assert_eq!(now().await.unwrap().instance, Some(instance.clone()));
        }
        m.set_key_enabled("k1", false).await.unwrap();
        assert!(!now().await.unwrap().key.enabled);
        m.set_account_enabled("u1", false).await.unwrap();
        assert!(!now().await.unwrap().account.enabled);
        m.delete_ots_instance("i1").await.unwrap();
        assert_eq!(now().await.unwrap().instance, None);
        m.delete_key("k1").await.unwrap();
        assert_eq!(now().await, None);
    })
    .await;
}
