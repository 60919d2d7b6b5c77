//! Accounts, keys, settings and nodes.

use super::*;

fn key(access_id: &str, expires_ms: Option<i64>) -> AccessKey {
    AccessKey {
        access_id: access_id.into(),
        account_id: "u1".into(),
        sealed_secret: vec![0, 255, 7],
        enabled: true,
        expires_ms,
        sts_token_sha256: expires_ms.map(|_| "ab12".into()),
        created_ms: 1_500,
    }
}

#[tokio::test]
async fn accounts_are_found_by_id_and_name_and_made_once() {
    on_both(async |db| {
        let m = &db.meta;
        m.create_account(&account("u2")).await.unwrap();
        m.create_account(&Account { admin: true, ..account("u1") }).await.unwrap();
        for twin in [Account { id: "u3".into(), ..account("u1") }, Account { name: "n".into(), ..account("u1") }] {
            refused(m.create_account(&twin).await, Kind::Conflict, "ObjectAlreadyExists");
        }
        assert_eq!(m.account_by_name("ALIYUN$u2").await.unwrap(), Some(account("u2")));
        assert_eq!(m.account("u9").await.unwrap(), None);
        m.set_account_enabled("u2", false).await.unwrap();
        let all = m.list_accounts().await.unwrap();
        let seen: Vec<_> = all.iter().map(|a| (a.id.as_str(), a.enabled, a.admin)).collect();
        assert_eq!(seen, [("u1", true, true), ("u2", false, false)]);
        refused(m.set_account_enabled("u9", true).await, Kind::NotFound, "NoSuchObject");
    })
    .await;
}

#[tokio::test]
async fn keys_keep_their_bytes_and_leave_when_their_time_has_passed() {
    on_both(async |db| {
        let m = &db.meta;
        refused(m.create_key(&key("k1", None)).await, Kind::NotFound, "NoSuchObject");
        m.create_account(&account("u1")).await.unwrap();
        m.create_account(&account("u2")).await.unwrap();
        m.create_key(&key("k2", Some(50))).await.unwrap();
        m.create_key(&key("k1", None)).await.unwrap();
        m.create_key(&AccessKey { account_id: "u2".into(), ..key("k3", Some(51)) }).await.unwrap();
        refused(m.create_key(&key("k1", None)).await, Kind::Conflict, "ObjectAlreadyExists");
        assert_eq!(m.key("k1").await.unwrap(), Some(key("k1", None)));
        assert_eq!(m.list_keys(Some("u1")).await.unwrap(), [key("k1", None), key("k2", Some(50))]);
        assert_eq!(m.list_keys(None).await.unwrap().len(), 3);
        m.set_key_enabled("k1", false).await.unwrap();
        assert!(!m.key("k1").await.unwrap().unwrap().enabled);
        refused(m.set_key_enabled("k9", false).await, Kind::NotFound, "NoSuchObject");
        // At the millisecond of its expiry a key is over; a key without one never is.
        assert_eq!(m.delete_expired_keys(50).await.unwrap(), 1);
        assert_eq!(m.key("k2").await.unwrap(), None);
        assert!(m.delete_key("k3").await.unwrap());
        assert!(!m.delete_key("k3").await.unwrap());
        assert!(m.key("k1").await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_value_of_a_setting_wins_for_all() {
    on_both(async |db| {
        let other = db.another().await;
        let (a, b) =
            tokio::join!(db.meta.put_setting_if_absent("cluster", "a"), other.put_setting_if_absent("cluster", "b"));
        let winner = a.unwrap();
        assert_eq!(winner, b.unwrap());
        assert_eq!(db.meta.put_setting_if_absent("cluster", "c").await.unwrap(), winner);
        assert_eq!(other.get_setting("cluster").await.unwrap(), Some(winner));
        assert_eq!(other.get_setting("none").await.unwrap(), None);
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn nodes_live_while_they_beat() {
    on_both(async |db| {
        let m = &db.meta;
        for (node, at) in [("n2", 10), ("n1", 20), ("n2", 30)] {
            m.beat(node, at).await.unwrap();
        }
        assert_eq!(m.live_nodes(20).await.unwrap(), ["n1", "n2"]);
        assert_eq!(m.live_nodes(21).await.unwrap(), ["n2"]);
        m.remove_node("n2").await.unwrap();
        m.remove_node("n2").await.unwrap();
        assert_eq!(m.live_nodes(0).await.unwrap(), ["n1"]);
    })
    .await;
}
