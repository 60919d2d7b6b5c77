//! The page of a job.

use feitian_api::Settings;
use serde_json::json;

use crate::client::Credentials;
use crate::jobs::submit;
use crate::world::World;

/// The policy that PyODPS (`odps/models/instance.py`) asks for.
fn policy(id: &str) -> serde_json::Value {
    let resource = format!("acs:odps:*:projects/p/instances/{id}");
    json!({"Version": "1", "Statement": [{"Action": ["odps:Read"], "Effect": "Allow", "Resource": resource}]})
}

/// The address that PyODPS prints, token and all unescaped.
fn address(id: &str, token: &str) -> String {
    format!("/logview/?h=http://feitian.test:7700/api&p=p&i={id}&token={token}")
}

#[tokio::test]
async fn the_page_shows_the_job_and_nothing_that_runs() {
    let world = World::new().await;
    let id = submit(&world.demo(), "fail <script>alert(1)</script>").await;
    let token = world.token(policy(&id)).await;
    let browser = world.with_credentials(Credentials::Nothing);
    let page = browser.get(&address(&id, &token)).await.ok();
    let text = page.text();
    assert!(text.contains("<td>Failed</td>") && text.contains("ALIYUN$demo") && text.contains("odps.sql.timezone"));
    assert!(text.contains("FAILED: ODPS-0130131:[1,15] Table not found - table p.&lt;t&gt; cannot be resolved"));
    assert!(text.contains("&lt;script&gt;") && !text.contains("<script"));
    assert!(!text.contains(&token), "the page does not repeat its token");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; style-src 'nonce-"));
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(page.header("content-type").starts_with("text/html"));
    let queued = submit(&world.demo(), "queue").await;
    let token = world.token(policy(&queued)).await;
    let text = browser.get(&address(&queued, &token)).await.ok().text();
    assert!(text.contains("<th>Place in the queue</th><td>3</td>") && text.contains("http-equiv=\"refresh\""));
}

#[tokio::test]
async fn a_token_opens_only_its_own_job() {
    let world = World::new().await;
    let (id, other) = (submit(&world.demo(), "select 1;").await, submit(&world.demo(), "select 2;").await);
    let token = world.token(policy(&id)).await;
    world.fake.calls();
    let browser = world.with_credentials(Credentials::Nothing);
    for (target, status) in [
        (address(&other, &token), 403),
        (address(&id, &token).replace("&p=p", "&p=q"), 403),
        (address(&id, "nonsense"), 401),
        (format!("/logview/?p=p&i={id}"), 401),
    ] {
        let page = browser.get(&target).await;
        assert_eq!(page.status.as_u16(), status, "{target}");
        assert!(page.text().starts_with("<!doctype html>"));
        assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
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
    let id = submit(&world.demo(), "select 1;").await;
    let token = world.token(policy(&id)).await;
    let browser = world.with_credentials(Credentials::Nothing);
    assert_eq!(browser.get(&address(&id, &token)).await.status.as_u16(), 404);
    world.demo().get("/api/logview/host").await.refused(404, "NoSuchObject");
}
