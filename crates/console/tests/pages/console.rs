//! The console over the path that every request takes: sessions, where changes come from, rights, pages and files.

use axum::body::Body;
use feitian_api::keys::issue_key;
use feitian_api::operations::{Operation, Surface, each};
use feitian_api::rights::Right;
use feitian_api::{Limits, Settings, router};
use feitian_console::{GROUPS, refusal_page};

use crate::client::{Client, Credentials, Reply, between};
use crate::world::{World, secret};

const ORIGIN: (&str, &str) = ("origin", "http://feitian.test:7700");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// A browser with the cookies that it was given.
struct Browser {
    client: Client,
    cookie: String,
}

impl Browser {
    fn new(world: &World) -> Self {
        let state = world.state.clone().with_pages(GROUPS).with_refusal_page(refusal_page);
        Self { client: Client::new(&router(state), Credentials::Nothing), cookie: String::new() }
    }

    /// A browser whose owner has signed in with this key.
    async fn of(world: &World, access_id: &str) -> Self {
        let mut browser = Self::new(world);
        let reply = browser.sign_in(access_id, &secret(access_id), "").await;
        assert_eq!(reply.status.as_u16(), 303, "{}", reply.text());
        browser
    }

    async fn sign_in(&mut self, access_id: &str, secret: &str, sts_token: &str) -> Reply {
        let fields =
            [("access_id", access_id), ("secret", secret), ("sts_token", sts_token), ("next", "/console/keys")];
        let reply = self.post("/console/login", &fields).await;
        let cookie = reply.header("set-cookie");
        if !cookie.is_empty() {
            self.cookie = cookie.split(';').next().unwrap().to_string();
        }
        reply
    }

    async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let cookie = [("cookie", self.cookie.as_str())];
        let headers: Vec<(&str, &str)> = cookie.iter().chain(headers).copied().filter(|(_, v)| !v.is_empty()).collect();
        self.client.send(method, target, &headers, body.into()).await
    }

    async fn get(&self, target: &str) -> Reply {
        self.send("GET", target, &[], "").await
    }

    async fn post(&self, target: &str, fields: &[(&str, &str)]) -> Reply {
        self.send("POST", target, &[ORIGIN, FORM], form(fields)).await
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// A request for the operation, on project `p`.
fn target(op: &Operation) -> String {
    let path = op.path.replace("{project}", "p").replace("{table}", "t").replace("{instance}", "i");
    path.replace("{name}", "x").replace("{ots}", "shop").replace("{ots_table}", "t")
}

fn console() -> impl Iterator<Item = &'static Operation> {
    each(GROUPS).map(|(_, op)| op).filter(|op| op.path.starts_with("/console"))
}

fn is_hardened(reply: &Reply) {
    assert!(reply.header("content-security-policy").starts_with("default-src 'none'"), "{:?}", reply.headers);
    assert!(!reply.header("content-security-policy").contains("unsafe"));
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("x-frame-options"), "DENY");
    assert_eq!(reply.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_key_signs_in_and_the_cookie_is_kept_from_scripts_and_other_sites() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let page = browser.get("/console/login?next=/console/projects/p").await.ok();
    is_hardened(&page);
    assert!(page.text().contains("name=\"next\" value=\"/console/projects/p\""));
    let reply = browser.sign_in("demokey1", &secret("demokey1"), "").await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/console/keys"));
    let cookie = reply.header("set-cookie").to_string();
    assert!(cookie.starts_with("feitian_session=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"));
    assert!(!cookie.contains("secret"), "{cookie}");
    let home = browser.get("/console").await.ok();
    is_hardened(&home);
    assert!(home.text().contains("/console/projects/p\"") && !home.text().contains("/console/projects/q\""));
    assert!(home.text().contains("ALIYUN$demo"));
    // A form leads only to ourselves, and its origin is told (Fetch standard: not so under `no-referrer`).
    assert!(home.header("content-security-policy").contains("form-action 'self'"));
    assert_eq!(home.header("referrer-policy"), "same-origin");
}

#[tokio::test]
async fn over_tls_the_cookie_stays_on_tls() {
    let settings = Settings { tls: true, ..Settings::default() };
    let world = World::with(settings).await;
    let mut browser = Browser::new(&world);
    let fields = form(&[("access_id", "demokey1"), ("secret", &secret("demokey1"))]);
    let https = ("origin", "https://feitian.test:7700");
    let reply = browser.send("POST", "/console/login", &[https, FORM], fields).await;
    let cookie = reply.header("set-cookie").to_string();
    assert!(cookie.starts_with("__Host-feitian_session=") && cookie.ends_with("; Secure"), "{cookie}");
    browser.cookie = cookie.split(';').next().unwrap().to_string();
    browser.get("/console").await.ok();
    browser.cookie = browser.cookie.replace("__Host-", "");
    assert_eq!(browser.get("/console").await.status.as_u16(), 303);
}

#[tokio::test]
async fn an_unknown_id_and_a_wrong_secret_get_the_same_answer() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let mut answers = Vec::new();
    for (id, secret) in [("demokey1", "wrong"), ("nobodyid", "wrong"), ("demokey1", ""), ("", "")] {
        let reply = browser.sign_in(id, secret, "").await;
        assert_eq!(reply.status.as_u16(), 403);
        assert_eq!(reply.header("set-cookie"), "");
        answers.push(between(&reply.text(), "role=\"alert\">", "</div>").to_string());
    }
    assert!(answers[0].contains("no such access id") && answers.iter().all(|a| *a == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn one_id_cannot_be_tried_without_end() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    for _ in 0..10 {
        assert_eq!(browser.sign_in("demokey1", "wrong", "").await.status.as_u16(), 403);
    }
    assert_eq!(browser.sign_in("demokey1", &secret("demokey1"), "").await.status.as_u16(), 429);
    // Others are not held back, nor are signatures.
    assert_eq!(browser.sign_in("otherkey", &secret("otherkey"), "").await.status.as_u16(), 303);
    world.demo().get("/api/projects/p").await.ok();
}

#[tokio::test]
async fn a_session_ends_with_its_key_its_account_and_when_its_owner_signs_out() {
    let world = World::new().await;
    let meta = &world.state.meta;
    let browser = Browser::of(&world, "demokey1").await;
    browser.get("/console").await.ok();
    meta.set_key_enabled("demokey1", false).await.unwrap();
    assert_eq!(browser.get("/console").await.status.as_u16(), 303);
    meta.set_key_enabled("demokey1", true).await.unwrap();
    browser.get("/console").await.ok();
    meta.set_account_enabled("demo", false).await.unwrap();
    assert_eq!(browser.get("/console").await.status.as_u16(), 403);
    meta.set_account_enabled("demo", true).await.unwrap();

    let reply = browser.post("/console/logout", &[]).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/console/login"));
    assert!(reply.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(browser.get("/console").await.status.as_u16(), 303, "a copy of the cookie is of no use");

    let other = Browser::of(&world, "otherkey").await;
    meta.delete_key("otherkey").await.unwrap();
    assert_eq!(other.get("/console").await.status.as_u16(), 303);
    // The same id again is another key.
    let chosen = feitian_api::keys::ChosenKey {
        access_id: "otherkey".into(),
        secret: feitian_api::secrets::Secret::new(secret("otherkey")),
    };
    issue_key(meta, &world.state.secrets, "other", None, Some(chosen)).await.unwrap();
    assert_eq!(other.get("/console").await.status.as_u16(), 303);
}

#[tokio::test]
async fn a_temporary_key_needs_its_token() {
    let world = World::new().await;
    let key = issue_key(&world.state.meta, &world.state.secrets, "demo", Some(60_000), None).await.unwrap();
    let (id, secret) = (key.row.access_id.as_str(), key.secret.as_str().unwrap());
    let token = key.sts_token.as_ref().unwrap();
    let mut browser = Browser::new(&world);
    for (given, words) in [("", "security token is needed"), ("x", "not the one of this key")] {
        let reply = browser.sign_in(id, secret, given).await;
        assert_eq!(reply.status.as_u16(), 403);
        assert!(reply.text().contains(words), "{}", reply.text());
    }
    assert_eq!(browser.sign_in(id, secret, token.as_str().unwrap()).await.status.as_u16(), 303);
    browser.get("/console/projects/p").await.ok();
    let ended = issue_key(&world.state.meta, &world.state.secrets, "demo", Some(-1), None).await.unwrap();
    let (id, secret) = (ended.row.access_id.as_str(), ended.secret.as_str().unwrap());
    let reply = browser.sign_in(id, secret, ended.sts_token.as_ref().unwrap().as_str().unwrap()).await;
    assert_eq!(reply.status.as_u16(), 403);
}

#[tokio::test]
async fn a_made_up_session_and_one_of_another_kind_are_no_session() {
    let world = World::new().await;
    let mut browser = Browser::of(&world, "demokey1").await;
    let good = browser.cookie.clone();
    let bearer =
        world.token(serde_json::json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})).await;
    for wrong in [
        format!("{}AAAA", &good[..good.len() - 4]),
        "feitian_session=x".to_string(),
        format!("feitian_session={bearer}"),
        format!("{good}; {good}"),
        good.replace("feitian_session", "__Host-feitian_session"),
    ] {
        browser.cookie = wrong.clone();
        assert_eq!(browser.get("/console").await.status.as_u16(), 303, "{wrong}");
    }
    // And a session is no bearer token.
    let token = good.strip_prefix("feitian_session=").unwrap().to_string();
    world
        .with_credentials(Credentials::Bearer(token.clone()))
        .get("/api/projects/p")
        .await
        .refused(401, "Unauthorized");
    browser.cookie = String::new();
    assert_eq!(browser.get(&format!("/console?token={token}")).await.status.as_u16(), 401);
}

#[tokio::test]
async fn whoever_has_not_signed_in_goes_there_first_and_scripts_are_told() {
    let world = World::new().await;
    let browser = Browser::new(&world);
    for op in console().filter(|op| op.right != Right::Public) {
        let reply = browser.send(op.method, &target(op), &[ORIGIN, FORM], "a=b").await;
        assert_eq!(reply.status.as_u16(), 303, "{}: {}", op.name, reply.text());
        assert_eq!(reply.header("location"), format!("/console/login?next={}", target(op)), "{}", op.name);
        let json = [ORIGIN, ("accept", "application/json")];
        let reply = browser.send(op.method, &target(op), &json, "").await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (401, "Unauthorized"), "{}", op.name);
    }
    assert_eq!(world.fake.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_foreign_account_and_a_token_reach_nothing_of_the_project() {
    let world = World::new().await;
    let id = crate::submit(&world, "select 1;").await;
    let statement = serde_json::json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let token = world.token(serde_json::json!({ "Statement": statement })).await;
    let (foreign, nobody) = (Browser::of(&world, "otherkey").await, Browser::new(&world));
    world.fake.calls();
    let mut walked = 0;
    for op in console().filter(|op| matches!(op.right, Right::Member | Right::Owner)) {
        let target = target(op).replace("/jobs/i", &format!("/jobs/{id}"));
        let reply = foreign.send(op.method, &target, &[ORIGIN, FORM], "action=stop&text=select+1").await;
        assert_eq!(reply.status.as_u16(), 403, "{}: {}", op.name, reply.text());
        assert!(!reply.text().contains("comment"), "{}", op.name);
        // The project that rights are asked for is the one of the path.
        let reply = foreign.send(op.method, &format!("{target}?p=q&i=x"), &[ORIGIN, FORM], "").await;
        assert_eq!(reply.status.as_u16(), 403, "{}", op.name);
        let reply = nobody.send(op.method, &format!("{target}?token={token}"), &[ORIGIN, FORM], "").await;
        assert_eq!(reply.status.as_u16(), 403, "{}", op.name);
        walked += 1;
    }
    assert!(walked > 10, "{walked}");
    assert_eq!(world.fake.calls(), Vec::<String>::new());
    // A member is no owner.
    world.state.meta.admit("p", "other").await.unwrap();
    foreign.get("/console/projects/p/members").await.ok();
    let reply = foreign.post("/console/projects/p/members", &[("action", "admit"), ("account", "root")]).await;
    assert_eq!(reply.status.as_u16(), 403);
}

#[tokio::test]
async fn a_disabled_account_an_expired_token_and_one_of_another_project_open_no_page() {
    let world = World::new().await;
    let id = crate::submit(&world, "select 1;").await;
    let policy = serde_json::json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let token = world.token(policy.clone()).await;
    let expired = world.ending_in(&token, 0).await;
    // The account is in both projects, so that nothing but the token's project stops it.
    world.state.meta.admit("p", "other").await.unwrap();
    let elsewhere = world.token_of("otherkey", "q", policy).await;
    let (browser, nobody) = (Browser::of(&world, "demokey1").await, Browser::new(&world));
    nobody.get(&format!("/logview?p=p&i={id}&token={token}")).await.ok();
    browser.get(&format!("/console/projects/p/jobs/{id}")).await.ok();
    world.state.meta.set_account_enabled("demo", false).await.unwrap();
    world.fake.calls();
    for op in each(GROUPS).map(|(_, op)| op).filter(|op| op.right != Right::Public) {
        let page = format!("{}?p=p&i={id}", target(op).replace("/jobs/i", &format!("/jobs/{id}")));
        for (who, target, status) in [
            (&browser, page.clone(), 403),
            (&nobody, format!("{page}&token={token}"), 403),
            (&nobody, format!("{page}&token={expired}"), 401),
            (&nobody, format!("{page}&token={elsewhere}"), 403),
        ] {
            let reply = who.send(op.method, &target, &[ORIGIN, FORM], "action=stop&text=select+1").await;
            assert_eq!(reply.status.as_u16(), status, "{} {target}: {}", op.name, reply.text());
            assert!(!reply.text().contains("select 1"), "{}: {}", op.name, reply.text());
        }
    }
    assert_eq!(world.fake.calls(), Vec::<String>::new());
    assert_eq!(world.state.meta.list_keys(None).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let world = World::new().await;
    let browser = Browser::of(&world, "demokey1").await;
    world.fake.calls();
    for op in console().filter(|op| op.method == "POST") {
        for from in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://feitian.test:8080"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "cross-site"),
            ("x-nothing", "x"),
        ] {
            let body = "action=create&name=evil&life=&text=select+1&access_id=a&secret=b";
            let reply = browser.send("POST", &target(op), &[from, FORM], body).await;
            assert_eq!(reply.status.as_u16(), 403, "{} {from:?}: {}", op.name, reply.text());
            assert_eq!(reply.header("set-cookie"), "");
        }
    }
    assert_eq!(world.fake.calls(), Vec::<String>::new());
    assert_eq!(world.state.meta.list_keys(Some("demo")).await.unwrap().len(), 1);
    assert!(world.state.meta.project("evil").await.unwrap().is_none());
    browser.get("/console").await.ok();
}

#[tokio::test]
async fn a_statement_is_run_and_its_rows_and_files_are_there() {
    let world = World::new().await;
    let browser = Browser::of(&world, "demokey1").await;
    let page = browser.get("/console/projects/p/sql?table=s.t").await.ok();
    assert!(page.text().contains("SELECT * FROM `s`.`t` LIMIT 100;"));
    let fields = [("text", "select 1;\r\n-- <b>"), ("form", "abc")];
    let reply = browser.post("/console/projects/p/sql", &fields).await;
    let job = reply.header("location").to_string();
    assert!(reply.status.as_u16() == 303 && job.starts_with("/console/projects/p/jobs/"), "{job}");
    let again = browser.post("/console/projects/p/sql", &fields).await;
    assert_eq!(again.header("location"), job, "a form that is sent twice is one job");
    let page = browser.get(&job).await.ok();
    is_hardened(&page);
    let text = page.text();
    // The rows of the warehouse in memory: ("a", 1) and (NULL, -5).
    assert!(text.contains("Rows 1 to 2 of 2") && text.contains("<bdi>-5</bdi>") && text.contains(">NULL<"));
    assert!(text.contains("&#60;b&#62;") && !text.contains("<b>"), "{text}");
    assert!(text.contains("feitian instance result "));
    let csv = browser.get(&format!("{job}/result.csv")).await.ok();
    assert_eq!(csv.text(), "\"s\",\"n\"\n\"a\",1\n\\N,-5\n");
    assert!(csv.header("content-disposition").starts_with("attachment; filename=\""));
    let parquet = browser.get(&format!("{job}/result.parquet")).await.ok();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(parquet.body.clone(), 1024).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].columns(), crate::fake::two_rows().columns());
    let rows = browser.send("GET", &format!("{job}/rows?start=1"), &[("accept", "application/json")], "").await.ok();
    assert_eq!(rows.json()["rows"], serde_json::json!([[null, "-5"]]));
    assert_eq!(rows.json()["total"], serde_json::json!(2));
    let history = browser.get("/console/projects/p/sql").await.ok().text();
    assert!(history.contains("data-text=\"select 1;\n-- &#60;b&#62;\""), "{history}");
}

#[tokio::test]
async fn files_of_results_are_downloads_like_others() {
    let limits = Limits { streams: 0, stream_wait: std::time::Duration::from_millis(10), ..Limits::default() };
    let world = World::with(Settings { limits, ..Settings::default() }).await;
    let id = crate::submit(&world, "select 1;").await;
    let browser = Browser::of(&world, "demokey1").await;
    for file in ["result.csv", "result.parquet"] {
        let reply = browser.get(&format!("/console/projects/p/jobs/{id}/{file}")).await;
        assert_eq!(reply.status.as_u16(), 429, "{file}: {}", reply.text());
    }
}

#[tokio::test]
async fn scripts_run_watch_and_stop_a_job() {
    let world = World::new().await;
    let browser = Browser::of(&world, "demokey1").await;
    let json = [ORIGIN, FORM, ("accept", "application/json")];
    let job = browser.send("POST", "/console/projects/p/sql", &json, "text=sleep+1").await.ok();
    is_hardened(&job);
    let id = job.json()["id"].as_str().unwrap().to_string();
    let state = browser.send("GET", &format!("/console/projects/p/jobs/{id}/state"), &json, "").await.ok();
    assert_eq!(state.json()["state"], "Running");
    let page = browser.get(&format!("/console/projects/p/jobs/{id}")).await.ok().text();
    assert!(page.contains("data-poll=") && page.contains("http-equiv=\"refresh\""));
    let stopped = browser.send("POST", &format!("/console/projects/p/jobs/{id}"), &json, "action=stop").await.ok();
    assert_eq!(stopped.json()["state"], "Cancelled");
    let refused = browser.send("POST", "/console/projects/p/sql", &json, "text=+").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "InvalidArgument"));
    let failed = browser.post("/console/projects/p/sql", &[("text", "fail")]).await;
    let page = browser.get(failed.header("location")).await.ok().text();
    assert!(page.contains("FAILED: ODPS-0130131:[1,15] Table not found - table p.&#60;t&#62; cannot be resolved"));
    let missing = browser.get("/console/projects/p/jobs/nothing").await;
    assert_eq!(missing.status.as_u16(), 404);
    assert!(missing.text().contains("Not found") && missing.text().contains("NoSuchObject"));
}

#[tokio::test]
async fn tables_show_columns_partitions_and_rows_as_text() {
    let world = World::new().await;
    let browser = Browser::of(&world, "demokey1").await;
    let list = browser.get("/console/projects/P").await.ok().text();
    assert!(
        list.contains("/console/projects/p/tables/pt\"") && list.contains("a ]]&#62; comment &#38; &#60;more&#62;")
    );
    // The warehouse in memory has no rows, 1,234,567 bytes and 3 files for `t`, and too many partitions for `pt`.
    let row = |name: &str| between(&list, &format!("/tables/{name}\">"), "</tr>").to_string();
    assert!(
        row("t").contains("<td class=\"number\">0</td><td class=\"number\">1.2 MiB</td><td class=\"number\">3</td>")
    );
    assert!(row("pt").contains("<td colspan=\"3\" class=\"quiet\">many partitions: see its page</td>"), "{list}");
    let page = browser.get("/console/projects/p/tables/pt?partition=ds%3D20240101").await.ok();
    is_hardened(&page);
    let text = page.text();
    assert!(text.contains("<bdi>ds=20240101</bdi>") && text.contains("2.0 KiB") && text.contains("partition column"));
    assert!(text.contains("SHOW PARTITIONS `pt`"), "{text}");
    for (target, status) in [
        ("/console/projects/p/tables/nothing", 404),
        ("/console/projects/p/tables/pt?partition=x", 400),
        ("/console/projects/p/tables/pt?order=x", 400),
        ("/console/projects/p/jobs?status=x", 400),
        ("/console/projects/p/jobs?from=x", 400),
        ("/console?lang=fr", 400),
        ("/console/nowhere", 404),
    ] {
        assert_eq!(browser.get(target).await.status.as_u16(), status, "{target}");
    }
    // A form that was left empty sends parameters without values.
    browser.get("/console/projects/p/jobs?status=&owner=&from=&to=").await.ok();
    browser.get("/console/projects/p?prefix=").await.ok();
    let known = browser.get("/console/projects/p/complete").await.ok().json();
    assert_eq!((known["tables"][0].as_str(), known["functions"][0].as_str()), (Some("pt"), Some("abs(number)")));
    let columns = browser.get("/console/projects/p/complete?table=t").await.ok().json();
    assert_eq!(columns["columns"][1], serde_json::json!({"name": "n", "type": "bigint"}));
}

#[tokio::test]
async fn jobs_that_did_not_end_well_are_found_by_the_address() {
    let world = World::new().await;
    let good = crate::submit(&world, "select 1;").await;
    let failed = crate::submit(&world, "fail").await;
    let stopped = crate::submit(&world, "queue").await;
    world.demo().post(&format!("/admin/v1/projects/p/instances/{stopped}/stop"), "").await.ok();
    let browser = Browser::of(&world, "demokey1").await;
    for (query, shown) in [
        ("status=failed", [false, true, false]),
        ("status=Failed&owner=ALIYUN%24demo&from=2001-01-01T00%3A00", [false, true, false]),
        ("status=failed&owner=ALIYUN%24other", [false, false, false]),
        ("status=cancelled", [false, false, true]),
        ("status=terminated", [true, true, true]),
        ("status=", [true, true, true]),
    ] {
        let page = browser.get(&format!("/console/projects/p/jobs?{query}")).await.ok().text();
        assert_eq!([&good, &failed, &stopped].map(|id| page.contains(id.as_str())), shown, "{query}");
    }
    let page = browser.get("/console/projects/p/jobs?status=failed").await.ok().text();
    assert!(page.contains("<option value=\"Failed\" selected>"), "the form keeps what was chosen");
    for same in
        ["feitian instance list --project p --status failed", "GET /admin/v1/projects/p/instances?status=Failed"]
    {
        assert!(page.contains(same), "{same}");
    }
    let listed = world.demo().get("/admin/v1/projects/p/instances?status=Failed").await.ok().json();
    assert_eq!(listed["instances"][0]["id"], failed.as_str());
    assert_eq!(listed["instances"].as_array().unwrap().len(), 1);
    world.demo().get("/admin/v1/projects/p/instances?status=Broken").await.refused(400, "InvalidArgument");
}

/// The id of a form for loading a file, as the page has it.
fn form_id(page: &Reply) -> String {
    between(&page.text(), "name=\"form\" value=\"", "\"").to_string()
}

async fn load(browser: &Browser, form: &str, table: &str, file: &str) -> Reply {
    let body = format!(
        "--X\r\nContent-Disposition: form-data; name=\"form\"\r\n\r\n{form}\r\n\
         --X\r\nContent-Disposition: form-data; name=\"table\"\r\n\r\n{table}\r\n\
         --X\r\nContent-Disposition: form-data; name=\"header\"\r\n\r\nyes\r\n\
         --X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.csv\"\r\n\r\n{file}\r\n--X--\r\n"
    );
    let kind = ("content-type", "multipart/form-data; boundary=X");
    browser.send("POST", "/console/projects/p/upload", &[ORIGIN, kind], body).await
}

#[tokio::test]
async fn a_file_is_loaded_into_a_table() {
    let world = World::new().await;
    let browser = Browser::of(&world, "demokey1").await;
    let form = form_id(&browser.get("/console/projects/p/upload").await.ok());
    let reply = load(&browser, &form, "t", "n,s\r\n7,\"a,b\"\r\n-1,\r\n").await;
    assert_eq!(reply.status.as_u16(), 303, "{}", reply.text());
    let page = browser.get(reply.header("location")).await.ok();
    is_hardened(&page);
    assert!(page.text().contains("2 rows were added to table t."), "{}", page.text());
    assert_eq!(world.fake.visible("t"), [(Some("a,b".to_string()), 7), (None, -1)]);
    let refused = load(&browser, &form_id(&page), "t", "n,s\r\nx,y\r\n").await;
    assert_eq!(refused.status.as_u16(), 400);
    assert!(refused.text().contains("row 1, column n: &#39;x&#39; is no bigint"), "{}", refused.text());
    assert_eq!(world.fake.visible("t").len(), 2, "a file that does not fit leaves nothing");
    assert_eq!(load(&browser, &form_id(&refused), "<script>", "n\r\n1\r\n").await.status.as_u16(), 400);
}

#[tokio::test]
async fn a_form_with_a_file_that_is_sent_again_adds_nothing() {
    let world = World::new().await;
    let browser = Browser::of(&world, "demokey1").await;
    let form = form_id(&browser.get("/console/projects/p/upload").await.ok());
    let file = "n,s\r\n7,a\r\n";
    let first = load(&browser, &form, "t", file).await;
    let again = load(&browser, &form, "t", file).await;
    let there = first.header("location").to_string();
    assert_eq!((again.status.as_u16(), again.header("location")), (303, there.as_str()));
    let rows = [(Some("a".to_string()), 7)];
    assert_eq!(world.fake.visible("t"), rows);
    // Where it cannot go, the form is followed by a new one.
    let refused = load(&browser, &form, "pt", file).await;
    assert!(refused.status.is_client_error(), "{}", refused.text());
    let fresh = form_id(&refused);
    assert!(fresh != form && fresh.len() == form.len());
    // With another file it is another upload, and so it is by another account of the project.
    world.state.meta.admit("p", "other").await.unwrap();
    let other = Browser::of(&world, "otherkey").await;
    let rows = [&rows[..], &[(Some("b".to_string()), 8)], &rows[..]].concat();
    for (who, file) in [(&browser, "n,s\r\n8,b\r\n"), (&other, file), (&other, file)] {
        let loaded = load(who, &form, "t", file).await;
        assert_eq!(loaded.status.as_u16(), 303, "{}", loaded.text());
        assert_ne!(loaded.header("location"), there);
    }
    assert_eq!(other.get(&there).await.status.as_u16(), 404, "what became of it is the sender's business");
    // No id, no id of ours, and the example of the ULID specification, which is of 2016.
    for form in ["", "'; drop table t", "01arz3ndektsv4rrffq69g5fav"] {
        assert_eq!(load(&browser, form, "t", file).await.status.as_u16(), 400, "{form}");
    }
    assert_eq!(world.fake.visible("t"), rows);
    assert!(world.fake.visible("pt").is_empty());
}

#[tokio::test]
async fn keys_and_projects_are_made_and_managed() {
    let world = World::new().await;
    let browser = Browser::of(&world, "demokey1").await;
    assert!(browser.get("/console/keys").await.ok().text().contains("signed in with it"));
    let made = browser.post("/console/keys", &[("action", "create"), ("life", "")]).await.ok().text();
    let id = between(&made, "<bdi class=\"mono\">", "</bdi>").to_string();
    let rest = made.split_once(&id).unwrap().1.to_string();
    let secret = between(&rest, "<bdi class=\"mono\">", "</bdi>").to_string();
    let mut other = Browser::new(&world);
    assert_eq!(other.sign_in(&id, &secret, "").await.status.as_u16(), 303);
    assert!(!browser.get("/console/keys").await.ok().text().contains(&secret), "a secret is shown once");
    let act = async |action: &str| browser.post("/console/keys", &[("action", action), ("key", &id)]).await;
    assert_eq!(act("disable").await.status.as_u16(), 303);
    assert_eq!(other.get("/console").await.status.as_u16(), 303);
    assert_eq!(act("enable").await.status.as_u16(), 303);
    other.get("/console").await.ok();
    assert!(act("delete").await.ok().text().contains("for ever?"));
    assert!(world.state.meta.key(&id).await.unwrap().is_some());
    assert_eq!(act("really delete").await.status.as_u16(), 303);
    assert!(world.state.meta.key(&id).await.unwrap().is_none());
    assert_eq!(act("anything").await.status.as_u16(), 400);
    // Somebody else's key.
    let foreign = browser.post("/console/keys", &[("action", "disable"), ("key", "otherkey")]).await;
    assert_eq!(foreign.status.as_u16(), 403);
    assert!(world.state.meta.key("otherkey").await.unwrap().unwrap().enabled);

    let create = async |name: &str| browser.post("/console", &[("action", "create"), ("name", name)]).await;
    let made = create("lab").await;
    assert_eq!((made.status.as_u16(), made.header("location")), (303, "/console/projects/lab"));
    let refused = create("1 \"lab").await;
    assert_eq!(refused.status.as_u16(), 400);
    assert!(refused.text().contains("value=\"1 &#34;lab\""));
    let change = async |action: &str, account: &str| {
        browser.post("/console/projects/lab/members", &[("action", action), ("account", account)]).await
    };
    assert_eq!(change("admit", "ALIYUN$other").await.status.as_u16(), 303);
    assert!(world.state.meta.is_admitted("lab", "other").await.unwrap());
    assert_eq!(change("admit", "nobody").await.status.as_u16(), 404);
    assert_eq!(change("expel", "other").await.status.as_u16(), 303);
    assert!(!world.state.meta.is_admitted("lab", "other").await.unwrap());
}

#[tokio::test]
async fn pages_speak_chinese_and_remember_the_choice() {
    let world = World::new().await;
    let mut browser = Browser::of(&world, "demokey1").await;
    let page = browser.get("/console?lang=zh").await.ok();
    assert!(page.text().contains("<html lang=\"zh-CN\"") && page.text().contains("退出登录"));
    let chosen = page.header("set-cookie").split(';').next().unwrap().to_string();
    assert_eq!(chosen, "feitian_lang=zh");
    browser.cookie = format!("{}; {chosen}", browser.cookie);
    for target in ["/console", "/console/keys", "/console/projects/p", "/console/projects/p/sql"] {
        assert!(browser.get(target).await.ok().text().contains("退出登录"), "{target}");
    }
    assert!(browser.get("/console/nowhere").await.text().contains("没有找到"));
}

#[tokio::test]
async fn every_page_says_how_to_do_the_same_without_it() {
    let world = World::new().await;
    let id = crate::submit(&world, "select 1;").await;
    let browser = Browser::of(&world, "rootkey1").await;
    let mut calls = std::collections::BTreeSet::new();
    // Signing out is about the browser alone, and files are no pages. Those of the table store are asked where one is open:
    // tests/clients/test_console_ots.py.
    let others = |op: &&Operation| {
        op.method == "GET" && !["ConsoleSignOut", "GetAsset"].contains(&op.name) && !op.path.starts_with("/console/ots")
    };
    for op in console().filter(others) {
        let target = target(op).replace("/jobs/i", &format!("/jobs/{id}"));
        let reply = browser.get(&target).await.ok();
        if reply.header("content-type").starts_with("text/html") {
            let text = reply.text();
            assert!(text.contains("<code><bdi>feitian "), "{}", op.name);
            let shown = text.split("<code><bdi>GET ").skip(1).filter_map(|rest| rest.split_once("</bdi>"));
            let before = calls.len();
            calls.extend(shown.map(|(call, _)| call.replace("&#38;", "&")));
            // Whoever signs in has asked for nothing yet; a file that is loaded is written, not read.
            let reads = !["ConsoleSignIn", "ConsoleUpload"].contains(&op.name);
            assert_eq!(calls.len() > before, reads, "{}: {calls:?}", op.name);
        }
        assert_eq!(op.surface, Surface::Page);
    }
    // What they name is there, for whoever may see the page.
    for call in calls {
        world.client("rootkey1").get(&call).await.ok();
        world.with_credentials(Credentials::Nothing).get(&call).await.refused(401, "Unauthorized");
    }
}

/// A world with an instance of the table store for each of two accounts, whose table store is not open here.
async fn with_instances() -> World {
    let world = World::new().await;
    for (id, name, account) in [("i1", "shop", "demo"), ("i2", "theirs", "other")] {
        let instance = feitian_meta::OtsInstance {
            id: id.into(),
            name: name.into(),
            account_id: account.into(),
            account_name: String::new(),
            created_ms: 1_704_067_200_000,
        };
        world.state.meta.create_ots_instance(&instance).await.unwrap();
    }
    world
}

const OTS_PAGES: [&str; 5] = ["", "/tables/t", "/tables/t/rows", "/tables/t/row?key=%5B1%5D", "/tables/t/rows?key1="];

#[tokio::test]
async fn where_another_process_has_the_table_store_its_pages_say_so() {
    let world = with_instances().await;
    let browser = Browser::of(&world, "demokey1").await;
    let list = browser.get("/console/ots").await;
    assert_eq!(list.status.as_u16(), 503);
    // Which instances there are is known all the same.
    assert!(list.text().contains("/console/ots/shop\"") && !list.text().contains("theirs"), "{}", list.text());
    let mut pages = vec![list];
    for page in OTS_PAGES {
        pages.push(browser.get(&format!("/console/ots/shop{page}")).await);
    }
    for page in pages {
        assert_eq!(page.status.as_u16(), 503, "{}", page.text());
        is_hardened(&page);
        assert!(page.text().contains("The table store is not open in this process"), "{}", page.text());
        assert!(page.text().contains("href=\"/logview/errors/OTSPartitionUnavailable\""));
        assert!(page.text().contains("<code><bdi>feitian ots instance ") && page.text().contains("<code><bdi>GET "));
    }
    let chinese = [("accept-language", "zh-CN")];
    let page = browser.send("GET", "/console/ots/shop", &chinese, "").await;
    assert!(page.status.as_u16() == 503 && page.text().contains("表格存储未在本进程中打开"), "{}", page.text());
    let delete = browser.post("/console/ots/shop", &[("action", "really delete")]).await;
    assert!(delete.status.as_u16() == 503 && delete.text().contains("not open in this process"), "{}", delete.text());
    assert!(world.state.meta.ots_instance("shop").await.unwrap().is_some());
}

#[tokio::test]
async fn an_instance_of_another_account_is_as_one_that_is_not_there() {
    let world = with_instances().await;
    let browser = Browser::of(&world, "demokey1").await;
    for page in OTS_PAGES {
        let told = async |instance: &str| {
            let reply = browser.get(&format!("/console/ots/{instance}{page}")).await;
            assert_eq!(reply.status.as_u16(), 404, "{}", reply.text());
            between(&reply.text(), "role=\"alert\">", "</div>").replace(instance, "…")
        };
        let said = told("theirs").await;
        assert!(said.contains("there is no instance"), "{said}");
        assert_eq!(said, told("nobodys").await, "{page}");
    }
    let asked = browser.post("/console/ots/theirs", &[("action", "delete")]).await;
    assert_eq!(asked.status.as_u16(), 404);
    let deleted = browser.post("/console/ots/theirs", &[("action", "really delete")]).await;
    assert!(deleted.status.is_client_error(), "{}", deleted.text());
    assert!(world.state.meta.ots_instance("theirs").await.unwrap().is_some());
    let root = Browser::of(&world, "rootkey1").await;
    assert_eq!(root.get("/console/ots/theirs").await.status.as_u16(), 503, "an administrator sees it");
}

#[tokio::test]
async fn instances_of_the_table_store_are_made() {
    let world = with_instances().await;
    let browser = Browser::of(&world, "demokey1").await;
    let create = async |name: &str| browser.post("/console/ots", &[("action", "create"), ("name", name)]).await;
    for _ in 0..2 {
        let made = create("Lab-1").await;
        assert_eq!((made.status.as_u16(), made.header("location")), (303, "/console/ots/lab-1"));
    }
    let made = world.state.meta.ots_instance("lab-1").await.unwrap().unwrap();
    assert_eq!(made.account_id, "demo");
    let refused = create("1 \"lab").await;
    assert_eq!(refused.status.as_u16(), 400);
    let text = refused.text();
    assert!(text.contains("value=\"1 &#34;lab\"") && text.contains("is no name for an instance"), "{text}");
    assert_eq!(create("theirs").await.status.as_u16(), 409);
    assert_eq!(browser.post("/console/ots", &[("action", "x")]).await.status.as_u16(), 400);
}
