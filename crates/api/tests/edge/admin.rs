//! The admin API: accounts, keys, projects, jobs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{Client, Credentials, key};
use crate::fake::two_rows;
use crate::world::World;

async fn post(client: &Client, target: &str, body: Value) -> crate::client::Reply {
    client.post(target, body.to_string()).await
}

#[tokio::test]
async fn an_administrator_makes_accounts_and_keys() {
    let world = World::new().await;
    let root = world.client("rootkey1");
    let made = post(&root, "/admin/v1/accounts", json!({"name": "ALIYUN$new"})).await.ok();
    assert_eq!(made.status.as_u16(), 201);
    // The same request again answers the same.
    let again = post(&root, "/admin/v1/accounts", json!({"name": "ALIYUN$new"})).await.ok();
    assert_eq!(made.json(), again.json());
    post(&root, "/admin/v1/accounts", json!({"name": "ALIYUN$new", "admin": true}))
        .await
        .refused(409, "ObjectAlreadyExists");
    post(&root, "/admin/v1/accounts", json!({"name": "a b"})).await.refused(400, "InvalidArgument");
    post(&root, "/admin/v1/accounts", json!({"name": "x", "colour": 1})).await.refused(400, "InvalidArgument");

    let issued = post(&root, "/admin/v1/keys", json!({"account": "ALIYUN$new"})).await.ok().json();
    let (id, secret) = (issued["key"]["access_id"].as_str().unwrap(), issued["secret"].as_str().unwrap());
    let new = world.with_credentials(key(id, secret));
    assert_eq!(new.get("/admin/v1/whoami").await.ok().json()["account"]["name"], "ALIYUN$new");
    // The secret is shown once.
    let keys = new.get("/admin/v1/keys").await.ok();
    assert!(keys.text().contains(id) && !keys.text().contains(secret));

    root.post("/admin/v1/accounts/ALIYUN%24new/disable", "").await.ok();
    new.get("/admin/v1/whoami").await.refused(403, "NoPermission");
    root.post("/admin/v1/accounts/ALIYUN%24new/enable", "").await.ok();
    new.get("/admin/v1/whoami").await.ok();
    root.post("/admin/v1/accounts/ALIYUN%24root/disable", "").await.refused(400, "InvalidArgument");
    assert_eq!(root.get("/admin/v1/accounts").await.ok().json()["accounts"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn accounts_manage_their_own_keys_only() {
    let world = World::new().await;
    let demo = world.demo();
    let chosen = json!({"access_id": "mykey123", "secret": "0123456789abcdef"});
    let first = post(&demo, "/admin/v1/keys", chosen.clone()).await.ok().json();
    assert_eq!(first["key"]["account_id"], "demo");
    // Sent again, it is the same key; with another secret it is not.
    assert_eq!(post(&demo, "/admin/v1/keys", chosen.clone()).await.ok().json(), first);
    let other_secret = json!({"access_id": "mykey123", "secret": "another-0123456789"});
    post(&demo, "/admin/v1/keys", other_secret).await.refused(409, "ObjectAlreadyExists");
    world.with_credentials(key("mykey123", "0123456789abcdef")).get("/api/projects/p").await.ok();

    for (method, target) in [
        ("POST", "/admin/v1/keys/otherkey/disable"),
        ("POST", "/admin/v1/keys/otherkey/enable"),
        ("DELETE", "/admin/v1/keys/otherkey"),
        ("GET", "/admin/v1/keys?account=ALIYUN%24other"),
        ("GET", "/admin/v1/keys?account=*"),
    ] {
        demo.send(method, target, &[], "".into()).await.refused(403, "NoPermission");
    }
    post(&demo, "/admin/v1/keys", json!({"account": "ALIYUN$other"})).await.refused(403, "NoPermission");
    post(&demo, "/admin/v1/keys", json!({"account": "ALIYUN$nobody"})).await.refused(403, "NoPermission");
    world.client("otherkey").get("/admin/v1/whoami").await.ok();

    demo.post("/admin/v1/keys/mykey123/disable", "").await.ok();
    world
        .with_credentials(key("mykey123", "0123456789abcdef"))
        .get("/api/projects/p")
        .await
        .refused(401, "Unauthorized");
    for _ in 0..2 {
        demo.delete("/admin/v1/keys/mykey123").await.ok();
    }
    demo.post("/admin/v1/keys/mykey123/enable", "").await.refused(404, "NoSuchObject");
    for bad in [
        json!({"access_id": "mykey123"}),
        json!({"access_id": "my key 123", "secret": "0123456789abcdef"}),
        json!({"sts_ttl_seconds": 0}),
    ] {
        post(&demo, "/admin/v1/keys", bad).await.refused(400, "InvalidArgument");
    }
}

#[tokio::test]
async fn temporary_keys_come_with_their_token_and_end() {
    let world = World::new().await;
    let demo = world.demo();
    let issued = post(&demo, "/admin/v1/keys", json!({"sts_ttl_seconds": 60})).await.ok().json();
    let text = |v: &Value| v.as_str().unwrap().to_string();
    let sts = world.with_credentials(Credentials::Sts {
        id: text(&issued["key"]["access_id"]),
        secret: text(&issued["secret"]),
        token: text(&issued["sts_token"]),
    });
    sts.get("/api/projects/p").await.ok();
    let end = issued["key"]["expires_ms"].as_i64().unwrap();
    assert!((end - chrono::Utc::now().timestamp_millis() - 60_000).abs() < 5_000);

    // Nothing that it makes outlives it, and it takes no other key away.
    post(&sts, "/admin/v1/keys", json!({})).await.refused(403, "NoPermission");
    post(&sts, "/admin/v1/keys", json!({"sts_ttl_seconds": 3600})).await.refused(403, "NoPermission");
    sts.post("/admin/v1/keys/demokey1/disable", "").await.refused(403, "NoPermission");
    sts.delete("/admin/v1/keys/demokey1").await.refused(403, "NoPermission");
    let wanted = json!({"expires_in_hours": 720, "policy": {"Version": "1", "Statement": []}}).to_string();
    let reply = sts.post("/api/projects/p/authorization?sign_bearer_token", wanted).await.ok();
    let token = crate::client::between(&reply.text(), "<Result>", "</Result>").to_string();
    // `id,scope,expiry,signature` in Base64: PyODPS, odps/accounts.py.
    let token = String::from_utf8(STANDARD.decode(token).unwrap()).unwrap();
    let expiry: i64 = token.split(',').rev().nth(1).unwrap().parse().unwrap();
    assert!(expiry <= end / 1000 + 60, "{expiry} {end}");
}

#[tokio::test]
async fn projects_are_made_shared_and_deleted_by_their_owner() {
    let world = World::new().await;
    let (demo, other, root) = (world.demo(), world.client("otherkey"), world.client("rootkey1"));
    let made = post(&demo, "/admin/v1/projects", json!({"name": "lab", "comment": "c"})).await.ok();
    assert_eq!((made.status.as_u16(), &made.json()["owner"]), (201, &json!("ALIYUN$demo")));
    let again = post(&demo, "/admin/v1/projects", json!({"name": "lab", "comment": "c"})).await.ok();
    assert_eq!(again.json(), made.json());
    post(&other, "/admin/v1/projects", json!({"name": "lab", "comment": "c"}))
        .await
        .refused(409, "ObjectAlreadyExists");
    post(&demo, "/admin/v1/projects", json!({"name": "x2", "owner": "ALIYUN$other"}))
        .await
        .refused(403, "NoPermission");
    post(&root, "/admin/v1/projects", json!({"name": "x2", "owner": "ALIYUN$other"})).await.ok();
    for name in ["", "a", "9a", "A1", "a-b", "a/b"] {
        post(&demo, "/admin/v1/projects", json!({ "name": name })).await.refused(400, "InvalidArgument");
    }
    let names = |v: Value| -> Vec<String> {
        v["projects"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(names(demo.get("/admin/v1/projects").await.ok().json()), ["lab", "p"]);
    assert_eq!(names(root.get("/admin/v1/projects").await.ok().json()), ["lab", "p", "q", "x2"]);
    let page = root.get("/admin/v1/projects?maxitems=2").await.ok().json();
    assert_eq!((names(page.clone()), &page["next"]), (vec!["lab".to_string(), "p".into()], &json!("p")));

    other.get("/api/projects/lab").await.refused(403, "NoPermission");
    post(&other, "/admin/v1/projects/lab/members", json!({"account": "ALIYUN$other"}))
        .await
        .refused(403, "NoPermission");
    for _ in 0..2 {
        let members = post(&demo, "/admin/v1/projects/lab/members", json!({"account": "ALIYUN$other"})).await.ok();
        assert_eq!(members.json()["accounts"].as_array().unwrap().len(), 2);
    }
    other.get("/api/projects/lab").await.ok();
    // A member is no owner.
    other.delete("/admin/v1/projects/lab").await.refused(403, "NoPermission");
    demo.delete("/admin/v1/projects/lab/members/ALIYUN%24other").await.ok();
    other.get("/api/projects/lab").await.refused(403, "NoPermission");
    demo.delete("/admin/v1/projects/lab/members/ALIYUN%24demo").await.refused(400, "InvalidArgument");

    let set = json!({"properties": {"READ_TABLE_MAX_ROW": "1", "odps.sql.timezone": "UTC"}}).to_string();
    let shown = demo.put("/admin/v1/projects/lab/properties", set).await.ok().json();
    assert_eq!(shown["properties"]["READ_TABLE_MAX_ROW"], "1");
    let unset = json!({"properties": {"READ_TABLE_MAX_ROW": null}}).to_string();
    let shown = demo.put("/admin/v1/projects/lab/properties", unset).await.ok().json();
    assert_eq!(shown["properties"]["READ_TABLE_MAX_ROW"], Value::Null);
    assert_eq!(shown["properties"]["odps.sql.timezone"], "UTC");
    // MaxCompute documentation, "Project operations": projects begin with the 2.0 types and without full scans.
    assert_eq!(shown["properties"]["odps.sql.type.system.odps2"], "true");
    assert_eq!(shown["properties"]["odps.sql.allow.fullscan"], "false");
    let bad = json!({"properties": {"odps.sql.timezone": "Moon"}}).to_string();
    demo.put("/admin/v1/projects/lab/properties", bad).await.refused(400, "InvalidArgument");
    demo.delete("/admin/v1/projects/lab").await.ok();
    demo.get("/admin/v1/projects/lab").await.refused(404, "NoSuchObject");
}

#[tokio::test]
async fn sql_is_run_waited_for_and_read() {
    let world = World::new().await;
    let demo = world.demo();
    let sql = json!({"sql": "select 1;", "guid": "g", "wait_ms": 1000, "settings": {"odps.sql.timezone": "UTC"}});
    let done = post(&demo, "/admin/v1/projects/p/sql", sql.clone()).await.ok().json();
    assert_eq!(
        (&done["state"], &done["is_select"], &done["result_rows"]),
        (&json!("Success"), &json!(true), &json!(2))
    );
    let again = post(&demo, "/admin/v1/projects/p/sql", sql).await.ok().json();
    assert_eq!(done["id"], again["id"]);
    let id = done["id"].as_str().unwrap();
    let base = format!("/admin/v1/projects/p/instances/{id}");
    let rows = demo.get(&format!("{base}/rows")).await.ok().json();
    assert_eq!(rows["columns"], json!([{"name":"s","type":"string"},{"name":"n","type":"bigint"}]));
    assert_eq!((&rows["rows"], &rows["total"]), (&json!([["a", "1"], [null, "-5"]]), &json!(2)));
    assert_eq!(demo.get(&format!("{base}/rows?start=1&format=csv")).await.ok().text(), "\"s\",\"n\"\n\\N,-5\n");
    demo.get(&format!("{base}/rows?format=xml")).await.refused(400, "InvalidParameter");
    // The job that the edge wrote is one that it reads.
    let source = demo.get(&format!("/api/projects/p/instances/{id}?source")).await.ok().text();
    let resent = demo.post("/api/projects/p/instances", format!("<Instance>{source}</Instance>")).await.ok();
    assert!(resent.header("location").ends_with(id), "the guid is in the job");

    let text = post(&demo, "/admin/v1/projects/p/sql", json!({"sql": "desc t;"})).await.ok().json();
    assert_eq!(text["text"], "hello\u{1}\n");
    let failed = post(&demo, "/admin/v1/projects/p/sql", json!({"sql": "fail"})).await.ok().json();
    assert!(failed["error"].as_str().unwrap().starts_with("ODPS-0130131:[1,15]"));
    let queued = post(&demo, "/admin/v1/projects/p/sql", json!({"sql": "queue"})).await.ok().json();
    assert_eq!(queued["queue_place"], 3);
    // The limits of the warehouse in memory.
    let limits = json!({"project_running": 4, "project_limit": 4, "process_running": 5, "process_limit": 8});
    assert_eq!((&queued["queue"], &queued["stopping"], &queued["earlier"]), (&limits, &json!(false), &Value::Null));
    let target = format!("/admin/v1/projects/p/instances/{}", queued["id"].as_str().unwrap());
    for _ in 0..2 {
        let stopped = demo.post(&format!("{target}/stop"), "").await.ok().json();
        assert_eq!(stopped["state"], "Cancelled");
    }
    let list = demo.get("/admin/v1/projects/p/instances?maxitems=2").await.ok().json();
    assert_eq!(list["instances"].as_array().unwrap().len(), 2);
    assert!(list["next"].is_string());
    for bad in [json!({"sql": " "}), json!({"sql": "x", "priority": 10}), json!({"query": "x"}), json!([])] {
        assert_eq!(post(&demo, "/admin/v1/projects/p/sql", bad).await.status.as_u16(), 400);
    }
}

// The warehouse in memory: tables `pt` and `t`, its two rows, and the numbers that it gives to both.
#[tokio::test]
async fn tables_are_listed_with_what_they_hold_and_looked_at() {
    let world = World::new().await;
    let demo = world.demo();
    world.fake.put_rows("t", two_rows());
    let tables = "/admin/v1/projects/p/tables";
    let names = |list: &Value| -> Vec<String> {
        list["tables"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_string()).collect()
    };
    let list = demo.get(tables).await.ok().json();
    assert_eq!((names(&list), &list["next"]), (vec!["pt".to_string(), "t".to_string()], &Value::Null));
    assert_eq!(list["tables"][1]["size"], json!({"num_rows": 2, "num_bytes": 1_234_567, "num_files": 3}));
    assert_eq!((&list["tables"][0]["size"], &list["tables"][0]["columns"]), (&Value::Null, &Value::Null));
    let page = demo.get(&format!("{tables}?maxitems=1")).await.ok().json();
    assert_eq!((names(&page), &page["next"]), (vec!["pt".to_string()], &json!("pt")));
    assert_eq!(names(&demo.get(&format!("{tables}?marker=pt")).await.ok().json()), ["t"]);
    assert_eq!(names(&demo.get(&format!("{tables}?prefix=P")).await.ok().json()), ["pt"]);

    let table = demo.get(&format!("{tables}/pt")).await.ok().json();
    assert_eq!((&table["is_partitioned"], &table["size"]["num_bytes"]), (&json!(true), &json!(2048)));
    let column = |at: usize| (&table["columns"][at]["name"], &table["columns"][at]["is_partition"]);
    assert_eq!((column(0), column(2)), ((&json!("s"), &json!(false)), (&json!("ds"), &json!(true))));
    let partitions = demo.get(&format!("{tables}/pt/partitions?reverse=true")).await.ok().json();
    assert_eq!(partitions["partitions"][0]["partition"], "ds=20240101");
    assert_eq!(partitions["partitions"][0]["size"], json!({"num_rows": 12, "num_bytes": 2048, "num_files": 1}));
    let rows = demo.get(&format!("{tables}/t/rows?count=1")).await.ok().json();
    assert_eq!(rows["rows"], json!([["a", "1"]]));
    demo.get(&format!("{tables}/t/rows?partition=x")).await.refused(400, "InvalidPartitionSpec");
    demo.get(&format!("{tables}/nothing")).await.refused(404, "NoSuchTable");
    let schemas = demo.get("/admin/v1/projects/p/schemas").await.ok().json();
    assert_eq!((&schemas["schemas"][0]["name"], &schemas["next"]), (&json!("default"), &Value::Null));
    assert_eq!(demo.get("/admin/v1/functions").await.ok().json()["functions"][0], "abs(number)");
}

#[tokio::test]
async fn the_server_tells_its_state_and_collects_for_administrators() {
    let world = World::new().await;
    let root = world.client("rootkey1");
    let status = world.demo().get("/admin/v1/status").await.ok().json();
    assert_eq!((&status["region"], &status["stopping"]), (&json!("cn-local"), &json!(false)));
    assert!(root.get("/admin/v1/tasks").await.ok().json()["tasks"].is_object());
    let collected = post(&root, "/admin/v1/collect", json!({"older_than_seconds": 10})).await.ok();
    assert_eq!(collected.json(), json!({"files": 7}));
    world.demo().post("/admin/v1/collect", "{}").await.refused(403, "NoPermission");
}
