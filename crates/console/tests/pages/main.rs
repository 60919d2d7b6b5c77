//! The pages over the path that every request takes: identity, rights, headers, events. The warehouse in memory and the
//! signing client are those of feitian-api's own tests.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../../../api/tests/edge/client.rs"]
mod client;
mod console;
#[allow(dead_code)]
#[path = "../../../api/tests/edge/fake.rs"]
mod fake;
#[allow(dead_code)]
#[path = "../../../api/tests/edge/world.rs"]
mod world;

use std::time::{Duration, Instant};

use feitian_api::{Settings, router};
use serde_json::json;

use client::{Client, Credentials, Reply, between};
use world::World;

/// The policy that PyODPS (`odps/models/instance.py`) asks for.
fn policy(id: &str) -> serde_json::Value {
    let resource = format!("acs:odps:*:projects/p/instances/{id}");
    json!({"Version": "1", "Statement": [{"Action": ["odps:Read"], "Effect": "Allow", "Resource": resource}]})
}

/// A page's address as PyODPS prints it, token and all unescaped.
fn address(page: &str, id: &str, token: &str) -> String {
    format!("/logview/{page}?h=http://feitian.test:7700/api&p=p&i={id}&token={token}")
}

/// A browser without a login, on a server that has the pages.
fn browser(world: &World) -> Client {
    let router = router(world.state.clone().with_pages(feitian_console::GROUPS));
    Client::new(&router, Credentials::Nothing)
}

/// Submits a query, as odps/models/instances.py does.
async fn submit(world: &World, query: &str) -> String {
    let job = format!(
        "<Instance><Job><Priority>9</Priority><Tasks><SQL><Name>T</Name><Config/><Query><![CDATA[{query}]]></Query></SQL>\
         </Tasks><DAG><RunMode>Sequence</RunMode></DAG></Job></Instance>"
    );
    let reply = world.demo().post("/api/projects/p/instances", job).await;
    reply.header("location").rsplit('/').next().unwrap().to_string()
}

fn is_hardened(reply: &Reply) {
    assert!(reply.header("content-security-policy").starts_with("default-src 'none'"), "{:?}", reply.headers);
    assert_eq!(reply.header("referrer-policy"), "no-referrer");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("x-frame-options"), "DENY");
}

#[tokio::test]
async fn the_page_shows_the_job_under_a_strict_policy() {
    let world = World::new().await;
    let id = submit(&world, "fail <script>alert(1)</script>").await;
    let token = world.token(policy(&id)).await;
    let page = browser(&world).get(&address("", &id, &token)).await.ok();
    let text = page.text();
    assert!(text.contains("<strong>Failed</strong>") && text.contains("ALIYUN$demo"));
    assert!(text.contains("FAILED: ODPS-0130131:[1,15] Table not found - table p.&#60;t&#62; cannot be resolved"));
    assert!(text.contains("&#60;") && !text.contains("<script>"));
    is_hardened(&page);
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("content-language"), "en");
    assert!(page.header("content-type").starts_with("text/html"));
    // What the page loads carries the nonce that its policy names.
    let policy = page.header("content-security-policy").to_string();
    let nonce = between(&policy, "style-src 'nonce-", "'").to_string();
    assert!(policy.contains(&format!("script-src 'nonce-{nonce}'")) && !policy.contains("unsafe"), "{policy}");
    assert!(text.contains(&format!("nonce=\"{nonce}\"")));
    let again = browser(&world).get(&address("", &id, &token)).await.ok();
    assert!(!again.header("content-security-policy").contains(&nonce), "a nonce is for one answer");
}

#[tokio::test]
async fn the_language_is_the_addresss_or_the_browsers() {
    let world = World::new().await;
    let id = submit(&world, "queue").await;
    let token = world.token(policy(&id)).await;
    let browser = browser(&world);
    let chinese = [("accept-language", "zh-CN,zh;q=0.9,en;q=0.8")];
    let page = browser.send("GET", &address("", &id, &token), &chinese, "".into()).await.ok();
    assert!(page.text().contains("排在第 3 位") && page.text().contains("上限为 4 个"));
    assert_eq!((page.header("content-language"), page.header("vary")), ("zh-CN", "accept-language"));
    let english = format!("{}&lang=en", address("", &id, &token));
    let page = browser.send("GET", &english, &chinese, "".into()).await.ok();
    assert!(page.text().contains("place 3 in the queue") && page.text().contains("&#38;lang=zh"));
    let other = browser.get(&format!("{}&lang=fr", address("", &id, &token))).await;
    assert_eq!(other.status.as_u16(), 400);
    assert!(other.text().contains("must be en or zh"));
}

#[tokio::test]
async fn a_token_opens_only_its_own_job_and_what_is_about_it() {
    let world = World::new().await;
    let (id, other) = (submit(&world, "select 1;").await, submit(&world, "select 2;").await);
    let token = world.token(policy(&id)).await;
    world.fake.calls();
    let browser = browser(&world);
    for page in ["", "events", "profile"] {
        for (target, status) in [
            (address(page, &other, &token), 403),
            (address(page, &id, &token).replace("&p=p", "&p=q"), 403),
            (address(page, &id, "nonsense"), 401),
            (format!("/logview/{page}?p=p&i={id}"), 401),
            (format!("/logview/{page}"), 401),
        ] {
            let page = browser.get(&target).await;
            assert_eq!(page.status.as_u16(), status, "{target}");
            assert!(page.text().starts_with("<!doctype html>"));
            is_hardened(&page);
        }
    }
    assert_eq!(world.fake.calls(), Vec::<String>::new());
    // What the address opens, the same token opens over REST, and no more.
    let bearer = world.with_credentials(Credentials::Bearer(token));
    bearer.get(&format!("/api/projects/p/instances/{id}?result")).await.ok();
    bearer.get(&format!("/api/projects/p/instances/{other}?result")).await.refused(403, "NoPermission");
    bearer.post("/api/projects/p/instances", "x").await.refused(403, "NoPermission");
}

#[tokio::test]
async fn pages_can_be_switched_off() {
    let world = World::with(Settings { logview: false, ..Settings::default() }).await;
    let id = submit(&world, "select 1;").await;
    let token = world.token(policy(&id)).await;
    for page in ["", "events", "profile"] {
        assert_eq!(browser(&world).get(&address(page, &id, &token)).await.status.as_u16(), 404);
    }
    world.demo().get("/api/logview/host").await.refused(404, "NoSuchObject");
}

#[tokio::test]
async fn the_rows_of_a_result_and_the_run_before_are_on_the_page() {
    let world = World::new().await;
    let first = submit(&world, "select 1;").await;
    let id = submit(&world, "select 1;").await;
    let token = world.token(policy(&id)).await;
    let text = browser(&world).get(&address("", &id, &token)).await.ok().text();
    // The rows of the warehouse in memory: ("a", 1) and (NULL, -5).
    assert!(text.contains("All rows: 2") && text.contains("<bdi>-5</bdi>") && text.contains(">NULL<"));
    assert!(text.contains(&format!("This run beside {first} of ")));
}

#[tokio::test]
async fn the_profile_is_a_file() {
    let world = World::new().await;
    let id = submit(&world, "select 1;").await;
    let token = world.token(policy(&id)).await;
    let reply = browser(&world).get(&address("profile", &id, &token)).await.ok();
    is_hardened(&reply);
    assert_eq!(reply.header("content-disposition"), format!("attachment; filename=\"{id}.json\""));
    let document = reply.json();
    assert_eq!((document["instance"].as_str(), document["query"].as_str()), (Some(id.as_str()), Some("select 1;")));
    assert!(document["profile"]["stages"][0]["id"].as_str().unwrap().contains("_job_"));
}

#[tokio::test]
async fn files_of_the_pages_keep_and_their_names_are_in_the_page() {
    let world = World::new().await;
    let id = submit(&world, "queue").await;
    let token = world.token(policy(&id)).await;
    let browser = browser(&world);
    let text = browser.get(&address("", &id, &token)).await.ok().text();
    for (from, kind) in [
        ("<link rel=\"stylesheet\" href=\"", "text/css"),
        ("<script src=\"", "text/javascript"),
        ("<link rel=\"icon\" href=\"", "image/svg+xml"),
    ] {
        let reply = browser.get(between(&text, from, "\"")).await.ok();
        assert!(reply.header("content-type").starts_with(kind));
        assert!(reply.header("cache-control").contains("immutable"));
        is_hardened(&reply);
    }
    assert_eq!(browser.get("/console/assets/style.css").await.status.as_u16(), 404);
}

#[tokio::test]
async fn error_codes_are_explained_to_everybody() {
    let world = World::new().await;
    let browser = browser(&world);
    let list = browser.get("/logview/errors").await.ok();
    is_hardened(&list);
    assert!(list.text().contains("href=\"/logview/errors/ODPS-0130131\""));
    let page = browser.get("/logview/errors/odps-0130131?lang=zh").await.ok().text();
    assert!(page.contains("<html lang=\"zh-CN\"") && page.contains("ODPS-0130131"));
    assert!(page.contains("<h2>可能的原因</h2>") && !page.contains("Likely cause"), "{page}");
    let list = browser.get("/logview/errors?lang=zh").await.ok().text();
    assert!(list.contains("href=\"/logview/errors/NoSuchTable?lang=zh\">NoSuchTable</a>: 表已不存在"), "{list}");
    // What a page leads to speaks the language that its address names.
    let page = browser.get("/logview/errors/NoSuchTable?lang=zh").await.ok().text();
    assert!(page.contains("href=\"/logview/errors/ODPS-0130131?lang=zh\""), "{page}");
    assert_eq!(browser.get("/logview/errors/ODPS-9999999").await.status.as_u16(), 404);
}

/// The events of a stream: names, and ids of parts.
fn events(text: &str) -> Vec<String> {
    let event = |event: &str| {
        let name = event.lines().find_map(|l| l.strip_prefix("event: "))?;
        let id = event.lines().find_map(|l| l.strip_prefix("data: ")).unwrap_or_default();
        Some(format!("{name} {id}").trim().to_string())
    };
    text.split("\n\n").filter_map(event).collect()
}

#[tokio::test]
async fn events_of_a_job_that_has_ended_hold_the_whole_page_and_end() {
    let world = World::new().await;
    let id = submit(&world, "select 1;").await;
    let token = world.token(policy(&id)).await;
    let reply = browser(&world).get(&address("events", &id, &token)).await.ok();
    is_hardened(&reply);
    assert_eq!((reply.header("content-type"), reply.header("cache-control")), ("text/event-stream", "no-store"));
    assert_eq!(events(&reply.text()), ["part state", "part facts", "part rest", "end"]);
}

#[tokio::test]
async fn events_follow_a_job_to_its_end() {
    let world = World::new().await;
    let id = submit(&world, "sleep").await;
    let token = world.token(policy(&id)).await;
    let (browser, target) = (browser(&world), address("events", &id, &token));
    let end = async {
        world.fake.waiting.notified().await;
        world.fake.end(&id);
    };
    let (reply, ()) = tokio::join!(browser.get(&target), end);
    let text = reply.ok().text();
    let found = events(&text);
    assert_eq!(found[..3], ["part state", "part facts", "part stages"]);
    assert_eq!(found[found.len() - 4..], ["part state", "part facts", "part rest", "end"]);
    assert!(text.contains("<strong>Running</strong>") && text.contains("<strong>Succeeded</strong>"));
}

#[tokio::test]
async fn events_end_when_the_server_stops() {
    let world = World::new().await;
    let id = submit(&world, "sleep").await;
    let token = world.token(policy(&id)).await;
    let (browser, target) = (browser(&world), address("events", &id, &token));
    let started = Instant::now();
    let stop = async {
        world.fake.waiting.notified().await;
        world.tasks.stop_token().cancel();
    };
    let (reply, ()) = tokio::join!(browser.get(&target), stop);
    assert_eq!(events(&reply.ok().text()), ["part state", "part facts", "part stages"]);
    assert!(started.elapsed() < Duration::from_secs(5));
}
