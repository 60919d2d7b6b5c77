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
    for target in
        ["/projects/p/tables/t/upserts?slotnum=1", "/projects/p/tunnel/uploads?type=volumefile&target=p%2Fv%2Fx%2F"]
    {
        client.post(target, "").await.refused(405, "MethodNotAllowed");
    }
}
