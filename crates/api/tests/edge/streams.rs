//! Stream uploads, and what the tunnel refuses.

use serde_json::json;

use crate::tunnel::{ROWS, hex};
use crate::world::World;

#[tokio::test]
async fn a_stream_is_visible_at_once() {
    let world = World::new().await;
    let client = world.demo();
    let base = "/projects/p/tables/t/streams";
    let session = client.post(&format!("{base}?check_latest_schema=true"), "").await.ok().json();
    assert_eq!((&session["status"], &session["schema_version"]), (&json!("normal"), &json!("1")));
    assert_eq!(session["slots"], json!([["0", "feitian.test:7700"]]));
    let id = session["session_name"].as_str().unwrap();
    let put = client.put(&format!("{base}?uploadid={id}&slotid=0"), hex(ROWS)).await.ok();
    assert_eq!(put.header("odps-tunnel-slot-num"), "1");
    assert_eq!(put.header("odps-tunnel-routed-server"), "feitian.test:7700");
    assert_eq!(world.fake.visible("t"), [(Some("a".into()), 1), (None, -5)]);
    assert_eq!(client.get(&format!("{base}?uploadid={id}&read_only=true")).await.ok().json(), session);
    client.put(&format!("{base}?uploadid={id}&slotid=0"), vec![0xffu8; 9]).await.refused(400, "MalformedDataStream");
    assert_eq!(world.fake.visible("t").len(), 2);
    client.post(&format!("{base}?uploadid={id}"), "").await.ok();
    client.get(&format!("{base}?uploadid=x")).await.refused(404, "StreamSessionNotFound");
}

#[tokio::test]
async fn options_that_nobody_acts_on_are_refused_by_name() {
    let world = World::new().await;
    let client = world.demo();
    let base = "/projects/p/tables/t/streams";
    for option in ["zorder_columns=s", "dynamic_partition=true"] {
        let reply = client.post(&format!("{base}?{option}"), "").await.refused(405, "MethodNotAllowed");
        assert!(reply.text().contains(option.split('=').next().unwrap()), "{}", reply.text());
    }
    client.post(&format!("{base}?dynamic_partition=false"), "").await.ok();
    // Clients fetch the table's version and try again.
    client.post(&format!("{base}?schema_version=9"), "").await.refused(404, "NoSuchSchema");
    client.post(&format!("{base}?schema_version=x"), "").await.refused(404, "NoSuchSchema");
    client.post(&format!("{base}?schema_version=1"), "").await.ok();
}

// What clients read and send: odps/tunnel/tabletunnel.py of PyODPS, TableUpsertSession.
#[tokio::test]
async fn upserts_come_in_buckets_and_count_with_the_commit() {
    let world = World::new().await;
    let client = world.demo();
    let base = "/projects/p/tables/t/upserts";
    let session = client.post(&format!("{base}?slotnum=4&lifecycle=1"), "").await.ok().json();
    assert_eq!((&session["status"], &session["hash_key"]), (&json!("normal"), &json!(["n"])));
    let slot = json!({ "slot_id": "0", "worker_addr": "feitian.test:7700", "buckets": [0, 1] });
    assert_eq!((&session["slots"], &session["hasher"]), (&json!([slot]), &json!("default")));
    let id = session["id"].as_str().unwrap();
    let put = format!("{base}?upsertid={id}&bucketid=1&slotid=0&record_count=2");
    client.put(&put, hex(ROWS)).await.ok();
    assert!(world.fake.calls().contains(&"write_upsert 1 2".to_string()));
    assert!(world.fake.visible("t").is_empty());
    client.put(&put, vec![0xffu8; 9]).await.refused(400, "MalformedDataStream");
    client.put(&put.replace("slotid=0", "slotid=1"), hex(ROWS)).await.refused(400, "InvalidArgument");
    client.put(&put.replace("&record_count=2", ""), hex(ROWS)).await.refused(400, "InvalidParameter");
    for _ in 0..2 {
        let done = client.post(&format!("{base}?upsertid={id}"), "").await.ok().json();
        assert_eq!(done["status"], "committed");
    }
    assert_eq!(world.fake.visible("t"), [(Some("a".into()), 1), (None, -5)]);
    assert_eq!(client.get(&format!("{base}?upsertid={id}")).await.ok().json()["status"], "committed");
    client.put(&put, hex(ROWS)).await.refused(409, "StatusConflict");
}

#[tokio::test]
async fn an_upsert_session_that_is_aborted_takes_no_rows() {
    let world = World::new().await;
    let client = world.demo();
    let base = "/projects/p/tables/t/upserts";
    let session = client.post(&format!("{base}?slotnum=1"), "").await.ok().json();
    let of = format!("{base}?upsertid={}", session["id"].as_str().unwrap());
    client.delete(&of).await.ok();
    assert_eq!(client.get(&of).await.ok().json()["status"], "aborted");
    let put = format!("{of}&bucketid=0&slotid=0&record_count=2");
    client.put(&put, hex(ROWS)).await.refused(409, "StatusConflict");
    client.get(&format!("{base}?upsertid=x")).await.refused(404, "UpsertSessionNotFound");
    client.post(&format!("{base}?lifecycle=25"), "").await.refused(400, "InvalidArgument");
    client.post(&format!("{base}?overwrite=true"), "").await.refused(405, "MethodNotAllowed");
}
