//! The table store's edge, over an engine in memory: who gets in, what an answer carries, instances and their owners.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use feitian_api::keys::issue_key;
use feitian_api::{Ots, ots_router};
use feitian_base::clock;
use feitian_meta::OtsInstance;
use feitian_tables::engine::memory::{Disk, Memory};
use feitian_tables::{Settings, SystemClock, Tables};
use feitian_wire::ots::messages::*;
use feitian_wire::ots::sign::{content_md5, date, key_v4, sign_response, sign_v2, sign_v4, string_to_sign};
use feitian_wire::ots::{Cell, KeyColumn, KeyValue, Row, Value, decode_row, encode_key, encode_row};
use serde_json::json;
use tower::ServiceExt;

use crate::client::Reply;
use crate::world::{World, secret};

/// The world with a table store: instance `shop` belongs to `ALIYUN$demo`, `theirs` to `ALIYUN$other`.
struct Store {
    world: World,
    router: Router,
}

/// What a request has that a test may want otherwise.
struct Ask<'a> {
    operation: &'a str,
    body: Vec<u8>,
    instance: &'a str,
    access_id: &'a str,
    secret: String,
    /// Taken into the signature.
    extra: Vec<(&'static str, String)>,
    region: Option<&'static str>,
    /// Added to the clock.
    seconds: i64,
    /// Not sent, though signed.
    without: &'static str,
}

impl<'a> Ask<'a> {
    fn new(operation: &'a str, body: Vec<u8>) -> Self {
        Self {
            operation,
            body,
            instance: "shop",
            access_id: "demokey1",
            secret: secret("demokey1"),
            extra: Vec::new(),
            region: None,
            seconds: 0,
            without: "",
        }
    }

    /// The key that signs, as text.
    fn key(&self) -> String {
        match self.region {
            Some(region) => key_v4(&self.secret, "20240102", region),
            None => self.secret.clone(),
        }
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("x-ots-date", date(clock::now_ms() + self.seconds * 1000)),
            ("x-ots-apiversion", "2015-12-31".to_string()),
            ("x-ots-accesskeyid", self.access_id.to_string()),
            ("x-ots-instancename", self.instance.to_string()),
            ("x-ots-contentmd5", content_md5(&self.body)),
        ];
        headers.extend(self.extra.iter().cloned());
        if let Some(region) = self.region {
            headers.push(("x-ots-signdate", "20240102".to_string()));
            headers.push(("x-ots-signregion", region.to_string()));
        }
        let text = string_to_sign(self.operation, headers.iter().map(|(name, value)| (*name, value.as_str())));
        match self.region {
            Some(_) => headers.push(("x-ots-signaturev4", sign_v4(&self.key(), &text))),
            None => headers.push(("x-ots-signature", sign_v2(&self.secret, &text))),
        }
        headers.retain(|(name, _)| *name != self.without);
        headers
    }
}

impl Store {
    async fn new() -> Self {
        let ots = Ots::default();
        let engine = Arc::new(Memory::open(&Disk::new()));
        let settings = Settings { background: false, ..Settings::default() };
        ots.open(Tables::open(engine, Arc::new(SystemClock), settings).await.unwrap());
        Self::with(ots).await
    }

    async fn with(ots: Ots) -> Self {
        let mut world = World::new().await;
        world.state = world.state.with_ots(ots);
        world.router = feitian_api::router(world.state.clone());
        for (id, name, account) in [("i1", "shop", "demo"), ("i2", "theirs", "other")] {
            let instance = OtsInstance {
                id: id.into(),
                name: name.into(),
                account_id: account.into(),
                account_name: String::new(),
                created_ms: 1_704_067_200_000,
            };
            world.state.meta.create_ots_instance(&instance).await.unwrap();
        }
        let router = ots_router(world.state.clone());
        Self { world, router }
    }

    async fn send(&self, method: &str, target: &str, headers: &[(&'static str, String)], body: Vec<u8>) -> Reply {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        Reply::of(answer).await
    }

    /// Sends the request; checks of the answer what every client checks.
    async fn ask(&self, ask: &Ask<'_>) -> Reply {
        let reply = self.send("POST", &format!("/{}", ask.operation), &ask.headers(), ask.body.clone()).await;
        assert_eq!(reply.header("x-ots-contentmd5"), content_md5(&reply.body));
        assert!(!reply.header("x-ots-requestid").is_empty());
        assert_eq!(reply.header("x-ots-contenttype"), "protocol buffer");
        assert!(reply.header("x-ots-date").ends_with('Z') && reply.header("x-ots-date").contains('.'));
        let said = reply.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let signed = sign_response(ask.access_id, &ask.key(), ask.operation, said);
        match reply.header("authorization") {
            "" => assert!(!reply.status.is_success(), "a success that is not signed"),
            found => assert_eq!(found, signed),
        }
        reply
    }

    /// The answer to a request of the owner of `shop`, which must succeed.
    async fn well<M: answers::Answer>(&self, operation: &str, request: Vec<u8>) -> M {
        let reply = self.ask(&Ask::new(operation, request)).await;
        assert_eq!(reply.status.as_u16(), 200, "{operation}: {:?}", told(&reply));
        M::read(&reply.body)
    }

    async fn table(&self, name: &str) {
        let request = CreateTableRequest {
            table_meta: TableMeta {
                table_name: name.into(),
                primary_key: vec![PrimaryKeySchema {
                    name: "k".into(),
                    r#type: PrimaryKeyType::String as i32,
                    option: None,
                }],
                defined_column: Vec::new(),
            },
            reserved_throughput: ReservedThroughput { capacity_unit: CapacityUnit { read: Some(0), write: Some(0) } },
            table_options: Some(TableOptions {
                time_to_live: Some(-1),
                max_versions: Some(1),
                ..TableOptions::default()
            }),
            ..CreateTableRequest::default()
        };
        let CreateTableResponse {} = self.well("CreateTable", encode(&request)).await;
    }
}

/// The answers that tests read.
mod answers {
    use super::*;

    pub trait Answer {
        fn read(body: &[u8]) -> Self;
    }

    macro_rules! answers {
        ($($message:ident,)*) => {
            $(impl Answer for $message {
                fn read(body: &[u8]) -> Self {
                    decode_answer(body).unwrap()
                }
            })*
        };
    }

    answers! { CreateTableResponse, ListTableResponse, PutRowResponse, GetRowResponse, ListSearchIndexResponse, }
}

/// Status, code and words of a refusal.
fn told(reply: &Reply) -> (u16, String, String) {
    let error: Error = decode_answer(&reply.body).unwrap();
    (reply.status.as_u16(), error.code, error.message.unwrap_or_default())
}

fn refusal(status: u16, code: &str, words: &str) -> (u16, String, String) {
    (status, code.to_string(), words.to_string())
}

fn key(value: &str) -> Vec<KeyColumn> {
    vec![KeyColumn { name: "k".into(), value: KeyValue::Str(value.into()) }]
}

fn put(table: &str, value: &str, existence: RowExistenceExpectation) -> Vec<u8> {
    let cell = Cell { name: "c".into(), value: Some(Value::Int(7)), op: None, version: None };
    let row = Row { key: key(value), cells: vec![cell], deleted: false };
    encode(&PutRowRequest {
        table_name: table.into(),
        row: encode_row(&row),
        condition: Condition { row_existence: existence as i32, column_condition: None },
        return_content: None,
        transaction_id: None,
    })
}

#[tokio::test]
async fn a_row_is_written_and_read_and_every_answer_is_signed() {
    let store = Store::new().await;
    store.table("t").await;
    let listed: ListTableResponse = store.well("ListTable", Vec::new()).await;
    assert_eq!(listed.table_names, ["t"]);
    let put: PutRowResponse = store.well("PutRow", put("t", "a", RowExistenceExpectation::Ignore)).await;
    // The first write of a row of less than 4 KB takes one unit (Tablestore's documentation of capacity units).
    assert_eq!((put.consumed, put.row), (ConsumedCapacity::of(0, 1), None));
    let get = |value: &str| {
        encode(&GetRowRequest {
            table_name: "t".into(),
            primary_key: encode_key(&key(value)),
            max_versions: Some(1),
            ..GetRowRequest::default()
        })
    };
    let got: GetRowResponse = store.well("GetRow", get("a")).await;
    let row = decode_row(&got.row).unwrap();
    assert_eq!((row.key, row.cells[0].value.clone()), (key("a"), Some(Value::Int(7))));
    let missing: GetRowResponse = store.well("GetRow", get("b")).await;
    assert_eq!((missing.consumed, missing.row), (ConsumedCapacity::of(1, 0), Vec::new()));
    let indexes: ListSearchIndexResponse = store.well("ListSearchIndex", Vec::new()).await;
    assert!(indexes.indices.is_empty());
}

#[tokio::test]
async fn an_error_after_the_signature_is_signed_and_one_before_is_not() {
    let store = Store::new().await;
    store.table("t").await;
    // The client for Python fails on a 403 without a signature, unless the code is OTSAuthFailed.
    let failed = store.ask(&Ask::new("PutRow", put("t", "a", RowExistenceExpectation::ExpectExist))).await;
    assert_eq!(told(&failed), refusal(403, "OTSConditionCheckFail", "Condition check failed."));
    assert!(failed.header("authorization").starts_with("OTS demokey1:"));
    let stranger = store.ask(&Ask { access_id: "nobody", ..Ask::new("ListTable", Vec::new()) }).await;
    assert_eq!(told(&stranger), refusal(403, "OTSAuthFailed", "The AccessKeyID does not exist."));
    assert_eq!(stranger.header("authorization"), "");
}

#[tokio::test]
async fn version_4_of_the_signature_is_answered_with_its_key() {
    let store = Store::new().await;
    let ask = || Ask { region: Some("cn-local"), ..Ask::new("ListTable", Vec::new()) };
    let reply = store.ask(&ask()).await;
    assert_eq!(reply.status.as_u16(), 200);
    let reply = store.ask(&Ask { secret: "another".into(), ..ask() }).await;
    assert_eq!(told(&reply), refusal(403, "OTSAuthFailed", "Signature mismatch."));
}

// The words: Tablestore's documentation of its errors.
#[tokio::test]
async fn whoever_does_not_prove_it_does_not_get_in() {
    let store = Store::new().await;
    let list = || Ask::new("ListTable", Vec::new());
    let wrong = store.ask(&Ask { secret: "another".into(), ..list() }).await;
    assert_eq!(told(&wrong), refusal(403, "OTSAuthFailed", "Signature mismatch."));
    for name in ["x-ots-date", "x-ots-apiversion", "x-ots-accesskeyid", "x-ots-instancename", "x-ots-contentmd5"] {
        let reply = store.ask(&Ask { without: name, ..list() }).await;
        assert_eq!(told(&reply), refusal(400, "OTSParameterInvalid", &format!("Missing header: '{name}'.")));
    }
    for seconds in [-901, 901] {
        let (status, code, words) = told(&store.ask(&Ask { seconds, ..list() }).await);
        assert_eq!((status, code.as_str()), (403, "OTSAuthFailed"), "{words}");
        assert!(words.starts_with("Mismatch between system time and x-ots-date: "), "{words}");
    }
    for seconds in [-890, 890] {
        assert_eq!(store.ask(&Ask { seconds, ..list() }).await.status.as_u16(), 200);
    }
    let given = list().headers();
    let reply = store.send("POST", "/ListTable", &given, b"other".to_vec()).await;
    let words = "Mismatch between MD5 value of request body and x-ots-contentmd5 in header.";
    assert_eq!(told(&reply), refusal(403, "OTSAuthFailed", words));
    // One of the two would be read by nobody.
    let twice: Vec<_> = given.iter().chain([&given[3]]).cloned().collect();
    assert_eq!(told(&store.send("POST", "/ListTable", &twice, Vec::new()).await).0, 400);
    store.world.state.meta.set_key_enabled("demokey1", false).await.unwrap();
    let disabled = refusal(403, "OTSAuthFailed", "The AccessKeyID is disabled.");
    assert_eq!(told(&store.ask(&list()).await), disabled);
    // Only who has the secret learns that the key is disabled.
    let wrong = store.ask(&Ask { secret: "another".into(), ..list() }).await;
    assert_eq!(told(&wrong).2, "Signature mismatch.");
    store.world.state.meta.set_key_enabled("demokey1", true).await.unwrap();
    store.world.state.meta.set_account_enabled("demo", false).await.unwrap();
    assert_eq!(told(&store.ask(&list()).await), disabled);
}

#[tokio::test]
async fn a_temporary_key_needs_its_token_until_it_ends() {
    let store = Store::new().await;
    let (meta, secrets) = (&store.world.state.meta, &store.world.state.secrets);
    for (ttl_ms, ends) in [(3_600_000, false), (-1, true)] {
        let sts = issue_key(meta, secrets, "demo", Some(ttl_ms), None).await.unwrap();
        let token = sts.sts_token.unwrap().as_str().unwrap().to_string();
        let ask = |extra: Vec<(&'static str, String)>| Ask {
            access_id: &sts.row.access_id,
            secret: sts.secret.as_str().unwrap().to_string(),
            extra,
            ..Ask::new("ListTable", Vec::new())
        };
        let reply = store.ask(&ask(vec![("x-ots-ststoken", token.clone())])).await;
        assert_eq!(reply.status.as_u16(), if ends { 403 } else { 200 });
        for extra in [vec![], vec![("x-ots-ststoken", format!("{token}x"))]] {
            assert_eq!(told(&store.ask(&ask(extra)).await).1, "OTSAuthFailed");
        }
    }
    // A lasting key has no token.
    let extra = vec![("x-ots-ststoken", "x".to_string())];
    assert_eq!(told(&store.ask(&Ask { extra, ..Ask::new("ListTable", Vec::new()) }).await).1, "OTSAuthFailed");
}

#[tokio::test]
async fn an_instance_of_another_account_is_as_one_that_is_not_there() {
    let store = Store::new().await;
    store.table("t").await;
    for (access_id, instance) in
        [("demokey1", "theirs"), ("demokey1", "nobodys"), ("otherkey", "shop"), ("rootkey1", "shop")]
    {
        let ask = Ask { access_id, secret: secret(access_id), instance, ..Ask::new("ListTable", Vec::new()) };
        let reply = store.ask(&ask).await;
        assert_eq!(told(&reply), refusal(403, "OTSAuthFailed", "The instance is not found."), "{access_id} {instance}");
    }
    let ask = Ask { instance: "SHOP", ..Ask::new("ListTable", Vec::new()) };
    assert_eq!(store.ask(&ask).await.status.as_u16(), 200, "names of instances have no case");
    let reply = store.ask(&Ask { instance: "a_b", ..Ask::new("ListTable", Vec::new()) }).await;
    assert_eq!(told(&reply), refusal(400, "OTSParameterInvalid", "Invalid instance name: 'a_b'."));
}

#[tokio::test]
async fn what_is_not_there_is_refused_by_name_and_signed() {
    let store = Store::new().await;
    for name in ["Nothing", "listtable", "Search", "SQLQuery", "CreateTimeseriesTable", "tunnel/create"] {
        let reply = store.ask(&Ask::new(name, Vec::new())).await;
        let (status, code, words) = told(&reply);
        assert_eq!((status, code.as_str()), (400, "OTSParameterInvalid"), "{words}");
        assert!(words.starts_with(&format!("Unsupported operation: '{name}'")), "{words}");
        assert!(!reply.header("authorization").is_empty(), "{name}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        let reply = store.send(method, "/ListTable", &Ask::new("ListTable", Vec::new()).headers(), Vec::new()).await;
        assert_eq!((told(&reply).0, told(&reply).1.as_str()), (405, "OTSMethodNotAllowed"));
    }
    let list = Ask::new("ListTable", Vec::new());
    let reply = store.send("POST", "/ListTable?x=1", &list.headers(), Vec::new()).await;
    assert_eq!(told(&reply).1, "OTSParameterInvalid");
    // An endpoint with a path of its own is not signed.
    assert_eq!(store.send("POST", "/proxy/ListTable", &list.headers(), Vec::new()).await.status.as_u16(), 200);
    let extra = vec![("x-ots-request-compress-type", "deflate".to_string())];
    let reply = store.ask(&Ask { extra, ..Ask::new("ListTable", Vec::new()) }).await;
    assert!(told(&reply).2.contains("x-ots-request-compress-type"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let store = Store::new().await;
    let most = feitian_api::Limits::default().ots_body_bytes;
    let reply = store.ask(&Ask::new("PutRow", vec![0; most + 1])).await;
    assert_eq!(told(&reply), refusal(413, "OTSRequestBodyTooLarge", "The size of POST data is too large."));
}

#[tokio::test]
async fn a_process_without_the_table_store_says_that_nothing_was_written() {
    let store = Store::with(Ots::default()).await;
    let reply = store.ask(&Ask::new("ListTable", Vec::new())).await;
    // The code after which clients send any request again.
    assert_eq!(told(&reply), refusal(503, "OTSPartitionUnavailable", "The partition is not available."));
    let demo = store.world.demo();
    demo.delete("/admin/v1/ots/instances/shop").await.refused(503, "ServiceUnavailable");
    for path in ["tables", "tables/t", "tables/t/rows"] {
        demo.get(&format!("/admin/v1/ots/instances/shop/{path}")).await.refused(503, "ServiceUnavailable");
        demo.get(&format!("/admin/v1/ots/instances/theirs/{path}")).await.refused(404, "NoSuchObject");
    }
    // Whose the instances are is known everywhere, what they hold is not.
    let shop = demo.get("/admin/v1/ots/instances/shop").await.ok().json();
    assert_eq!((&shop["name"], shop.get("usage")), (&json!("shop"), None));
}

#[tokio::test]
async fn what_is_in_an_instance_of_another_account_is_as_what_is_not_there() {
    let store = Store::new().await;
    store.table("t").await;
    let (other, root) = (store.world.client("otherkey"), store.world.client("rootkey1"));
    for path in ["", "/tables", "/tables/t", "/tables/nothing", "/tables/t/rows", "/tables/t/rows?key=%5B%22a%22%5D"] {
        let told = async |instance: &str| {
            let reply = other.get(&format!("/admin/v1/ots/instances/{instance}{path}")).await;
            reply.refused(404, "NoSuchObject").json()["Message"].as_str().unwrap().replace(instance, "…")
        };
        assert_eq!(told("shop").await, told("nobodys").await, "{path}");
        if !path.contains("nothing") {
            root.get(&format!("/admin/v1/ots/instances/shop{path}")).await.ok();
        }
    }
}

#[tokio::test]
async fn rows_are_read_in_pages_either_way_and_reads_are_counted() {
    let store = Store::new().await;
    store.table("t").await;
    for value in ["a", "b", "c", "d", "e"] {
        store.well::<PutRowResponse>("PutRow", put("t", value, RowExistenceExpectation::Ignore)).await;
    }
    let demo = store.world.demo();
    let base = "/admin/v1/ots/instances/SHOP/tables/t";
    for (direction, want) in [("forward", ["ab", "cd", "e"]), ("backward", ["ed", "cb", "a"])] {
        let (mut start, mut pages) = (json!([]), Vec::new());
        while !start.is_null() {
            let mut query = url::form_urlencoded::Serializer::new(format!("direction={direction}&count=2"));
            let query = query.append_pair("start", &start.to_string()).finish();
            let page = demo.get(&format!("{base}/rows?{query}")).await.ok().json();
            let keys = page["rows"].as_array().unwrap().iter().map(|row| row["key"][0].as_str().unwrap());
            pages.push(keys.collect::<String>());
            // The rows of a page have less than 4 KB (Tablestore's documentation of capacity units).
            assert_eq!(page["read_units"], 1);
            start = page["next"].clone();
        }
        assert_eq!(pages, want, "{direction}");
    }
    let row = demo.get(&format!("{base}/rows?key=%5B%22a%22%5D&versions=9")).await.ok().json();
    let cell = &row["rows"][0]["cells"][0];
    assert_eq!((&cell["name"], &cell["type"], &cell["value"]), (&json!("c"), &json!("integer"), &json!("7")));
    let chosen = demo.get(&format!("{base}/rows?columns=%5B%22x%22%5D&count=1")).await.ok().json();
    assert_eq!(chosen["rows"], json!([{"key": ["a"], "cells": [], "more_cells": 0}]), "a row without the column");
    assert_eq!(demo.get(&format!("{base}/rows?key=%5B%22z%22%5D")).await.ok().json()["rows"], json!([]));
    let table = demo.get(base).await.ok().json();
    assert_eq!(table["key"], json!([{"name": "k", "type": "string", "auto_increment": false}]));
    // Three pages either way, two rows and a page more; five writes.
    assert_eq!((&table["read_units"], &table["write_units"]), (&json!(9), &json!(5)));
    for (query, status, code) in [
        ("rows?start=a", 400, "InvalidParameter"),
        ("rows?start=%5B1%5D", 400, "OTSInvalidPK"),
        ("rows?start=%5B%22a%22%2C1%5D", 400, "OTSInvalidPK"),
        ("rows?key=%5B%5D", 400, "OTSInvalidPK"),
        ("rows?key=%5B%22a%22%5D&count=1", 405, "MethodNotAllowed"),
        ("rows?direction=sideways", 400, "InvalidParameter"),
        ("rows?columns=a", 400, "InvalidParameter"),
        ("rows?versions=0", 400, "OTSParameterInvalid"),
    ] {
        demo.get(&format!("{base}/{query}")).await.refused(status, code);
    }
    demo.get("/admin/v1/ots/instances/shop/tables/T").await.refused(404, "OTSObjectNotExist");
    let shop = demo.get("/admin/v1/ots/instances/shop").await.ok().json();
    let used = &shop["usage"];
    assert_eq!((&used["tables"], &used["read_units"], &used["write_units"]), (&json!(1), &json!(9), &json!(5)));
}

#[tokio::test]
async fn accounts_look_after_their_own_instances_and_administrators_after_all() {
    let store = Store::new().await;
    let (demo, other, root) = (store.world.demo(), store.world.client("otherkey"), store.world.client("rootkey1"));
    let made = demo.post("/admin/v1/ots/instances", json!({"name": "New-1"}).to_string()).await.ok();
    assert_eq!((made.status.as_u16(), &made.json()["name"]), (201, &json!("new-1")));
    assert_eq!(made.json()["account"], "ALIYUN$demo");
    // The same request again answers the same; another account's does not get it.
    let again = demo.post("/admin/v1/ots/instances", json!({"name": "new-1"}).to_string()).await.ok();
    assert_eq!(again.json(), made.json());
    let body = json!({"name": "new-1"}).to_string();
    other.post("/admin/v1/ots/instances", body.clone()).await.refused(409, "ObjectAlreadyExists");
    let for_other = json!({"name": "gift", "account": "ALIYUN$other"}).to_string();
    demo.post("/admin/v1/ots/instances", for_other.clone()).await.refused(403, "NoPermission");
    root.post("/admin/v1/ots/instances", for_other).await.ok();
    for bad in ["ab", "1abc", "abc-", "a_bc", "a2345678901234567"] {
        demo.post("/admin/v1/ots/instances", json!({"name": bad}).to_string()).await.refused(400, "InvalidArgument");
    }
    let names = async |client: &crate::client::Client| {
        let list = client.get("/admin/v1/ots/instances").await.ok().json();
        let names = list["instances"].as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap().to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&demo).await, ["new-1", "shop"]);
    assert_eq!(names(&other).await, ["gift", "theirs"]);
    assert_eq!(names(&root).await, ["gift", "new-1", "shop", "theirs"]);
    other.delete("/admin/v1/ots/instances/shop").await.refused(403, "NoPermission");
    root.get("/admin/v1/ots/instances/shop").await.ok();
    // What is gone is gone: the answer to an earlier request may have been lost.
    other.delete("/admin/v1/ots/instances/nobodys").await.ok();
}

#[tokio::test]
async fn an_instance_with_tables_stays_and_the_next_of_its_name_has_none_of_them() {
    let store = Store::new().await;
    let demo = store.world.demo();
    store.table("t").await;
    store.well::<PutRowResponse>("PutRow", put("t", "a", RowExistenceExpectation::Ignore)).await;
    let tables = demo.get("/admin/v1/ots/instances/shop/tables").await.ok().json();
    assert_eq!((&tables["tables"][0]["table"], &tables["tables"][0]["write_units"]), (&json!("t"), &json!(1)));
    let refused = demo.delete("/admin/v1/ots/instances/shop").await.refused(409, "InstanceNotEmpty");
    assert!(refused.text().contains("'t'"), "{}", refused.text());
    let delete = encode(&DeleteTableRequest { table_name: "t".into() });
    assert_eq!(store.ask(&Ask::new("DeleteTable", delete)).await.status.as_u16(), 200);
    demo.delete("/admin/v1/ots/instances/shop").await.ok();
    // The answer may have been lost.
    demo.delete("/admin/v1/ots/instances/shop").await.ok();
    let gone = store.ask(&Ask::new("ListTable", Vec::new())).await;
    assert_eq!(told(&gone), refusal(403, "OTSAuthFailed", "The instance is not found."));
    let other = store.world.client("otherkey");
    other.post("/admin/v1/ots/instances", json!({"name": "shop"}).to_string()).await.ok();
    let ask = Ask { access_id: "otherkey", secret: secret("otherkey"), ..Ask::new("ListTable", Vec::new()) };
    let listed: ListTableResponse = decode_answer(&store.ask(&ask).await.body).unwrap();
    assert_eq!(listed.table_names, Vec::<String>::new());
}
