//! Credentials: what opens the door, and what keeps it shut.

use base64::Engine as _;
use feitian_api::keys::issue_key;
use serde_json::json;

use crate::client::{Client, Credentials, between, key};
use crate::world::{World, secret};

#[tokio::test]
async fn both_versions_of_the_signature_open_the_door() {
    let world = World::new().await;
    let v4 = Credentials::V4 { id: "demokey1".into(), secret: secret("demokey1"), region: "cn-hangzhou".into() };
    for client in [world.demo(), world.with_credentials(v4)] {
        client.get("/api/projects/p?curr_project=p").await.ok();
        // The path is signed decoded and the query decoded twice.
        client.get("/api/projects/p/registration%2Ffunctions").await.ok();
        client.get("/api/projects/p/tables?name=a%2520b&marker=x+y").await.ok();
        client.get("/projects/p/tables/t?downloadid=1%252F2").await.refused(404, "NoSuchDownload");
        client.get("/admin/v1/whoami").await.ok();
    }
}

#[tokio::test]
async fn a_request_older_or_newer_than_fifteen_minutes_is_refused() {
    let world = World::new().await;
    for (seconds, works) in [(0, true), (-880, true), (880, true), (-920, false), (920, false)] {
        let client = Client { clock_seconds: seconds, ..world.demo() };
        let reply = client.get("/api/projects/p").await;
        if works {
            reply.ok();
            continue;
        }
        // The three values are what PyODPS (odps/errors.py, RequestTimeTooSkewed) reads out of the message.
        let text = reply.refused(403, "RequestTimeTooSkewed").text();
        let message = between(&text, "<Message><![CDATA[", "]]>");
        let message = if message.is_empty() { between(&text, "<Message>", "</Message>") } else { message };
        let pairs: std::collections::HashMap<_, _> =
            message.split(',').map(|p| p.split_once(':').unwrap()).map(|(k, v)| (k.trim(), v.trim())).collect();
        assert_eq!(pairs["max_interval_date"], "900000");
        for key in ["expire_date", "now_date"] {
            chrono::NaiveDateTime::parse_from_str(pairs[key], "%Y-%m-%dT%H:%M:%S%.fZ").unwrap();
        }
    }
    let v4 = Credentials::V4 { id: "demokey1".into(), secret: secret("demokey1"), region: "r".into() };
    let late = Client { clock_seconds: -2 * 86_400, ..world.with_credentials(v4) };
    late.get("/api/projects/p").await.refused(403, "RequestTimeTooSkewed");
}

#[tokio::test]
async fn an_altered_request_does_not_fit_its_signature() {
    let world = World::new().await;
    let client = world.demo();
    let signed = client.headers("GET", "/api/projects/p", &[]);
    let other = |name: &str, value: &str| {
        signed.iter().map(|(k, v)| (k.clone(), if k == name { value.into() } else { v.clone() })).collect::<Vec<_>>()
    };
    let nothing = world.with_credentials(Credentials::Nothing);
    for (method, target, headers) in [
        ("GET", "/api/projects/q", signed.clone()),
        ("PUT", "/api/projects/p", signed.clone()),
        ("GET", "/api/projects/p?extended", signed.clone()),
        ("GET", "/api/projects/p", other("x-odps-user-agent", "changed")),
    ] {
        let headers: Vec<(&str, &str)> =
            headers.iter().filter(|(k, _)| k != "Host" && k != "Date").map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let reply = raw(&nothing, method, target, &headers, &signed).await;
        assert_eq!(reply.code(), "SignatureNotMatch", "{method} {target}");
    }
}

/// Sends exactly these headers, with the `Date` and `Host` of `signed`.
async fn raw(
    client: &Client,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    signed: &[(String, String)],
) -> crate::client::Reply {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    for (name, value) in signed.iter().filter(|(k, _)| k == "Date" || k == "Host") {
        request = request.header(name, value);
    }
    let response = client.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    crate::client::Reply { status: parts.status, headers: parts.headers, body, broken: false }
}

#[tokio::test]
async fn credentials_that_are_malformed_or_come_twice_are_refused() {
    let world = World::new().await;
    let client = world.demo();
    let nothing = world.with_credentials(Credentials::Nothing);
    for header in ["ODPS", "Basic abc", "ODPS a/b:c", "ODPS demokey1:", "ODPS a/20240101/r/odps/x:y"] {
        nothing
            .send("GET", "/api/projects/p", &[("Authorization", header)], "".into())
            .await
            .refused(401, "Unauthorized");
    }
    let both = client.send("GET", "/api/projects/p", &[("x-odps-bearer-token", "t")], "".into()).await;
    both.refused(401, "Unauthorized");
    let twice = client.send("GET", "/api/projects/p", &[("Date", "Mon, 01 Jan 2024 00:00:00 GMT")], "".into()).await;
    twice.refused(401, "Unauthorized");
}

#[tokio::test]
async fn a_temporary_key_works_with_its_token_only() {
    let world = World::new().await;
    let (meta, secrets) = (&world.state.meta, &world.state.secrets);
    let sts = issue_key(meta, secrets, "demo", Some(60_000), None).await.unwrap();
    let (id, key_secret) = (sts.row.access_id.clone(), sts.secret.as_str().unwrap().to_string());
    let token = sts.sts_token.unwrap().as_str().unwrap().to_string();
    let with = |token: &str| {
        world.with_credentials(Credentials::Sts { id: id.clone(), secret: key_secret.clone(), token: token.into() })
    };
    with(&token).get("/api/projects/p").await.ok();
    with("another").get("/api/projects/p").await.refused(401, "Unauthorized");
    world.with_credentials(key(&id, &key_secret)).get("/api/projects/p").await.refused(401, "Unauthorized");
    // A permanent key has no token, and an empty header is none (dbt omits it, others send it empty).
    let permanent =
        |token: &str| Credentials::Sts { id: "demokey1".into(), secret: secret("demokey1"), token: token.into() };
    world.with_credentials(permanent("x")).get("/api/projects/p").await.refused(401, "Unauthorized");
    world.with_credentials(permanent("")).get("/api/projects/p").await.ok();
}

#[tokio::test]
async fn the_accounts_of_a_project_are_its_owner_and_who_was_admitted() {
    let world = World::new().await;
    let other = world.client("otherkey");
    other.get("/api/projects/p").await.refused(403, "NoPermission");
    other.get("/api/projects/missing").await.refused(404, "NoSuchObject");
    // An administrator has the admin API, not the data of others.
    world.client("rootkey1").get("/api/projects/p").await.refused(403, "NoPermission");
    world.client("rootkey1").get("/admin/v1/projects/p").await.ok();
    world.state.meta.admit("p", "other").await.unwrap();
    other.get("/api/projects/P").await.ok();
    world.state.meta.set_account_enabled("other", false).await.unwrap();
    other.get("/api/projects/p").await.refused(403, "NoPermission");
}

#[tokio::test]
async fn an_application_must_vouch_with_a_right_signature() {
    use hmac::{Hmac, KeyInit, Mac};
    let world = World::new().await;
    let client = world.demo();
    let signed = client.headers("GET", "/api/projects/p", &[]);
    let authorization = &signed.iter().find(|(k, _)| k == "Authorization").unwrap().1;
    // PyODPS odps/accounts.py, AppAccount.
    let vouch = |secret: &str| {
        let mut mac = <Hmac<sha1::Sha1>>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(authorization.as_bytes());
        let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        format!("account_provider:aliyun,signature_method:hmac-sha1,access_id:otherkey,signature:{signature}")
    };
    for (header, status) in [(vouch(&secret("otherkey")), 200), (vouch("wrong"), 403), ("nonsense".into(), 401)] {
        let mut headers: Vec<(&str, &str)> =
            signed.iter().filter(|(k, _)| k != "Date" && k != "Host").map(|(k, v)| (k.as_str(), v.as_str())).collect();
        headers.push(("application-authentication", &header));
        let reply = raw(&client, "GET", "/api/projects/p", &headers, &signed).await;
        assert_eq!(reply.status.as_u16(), status, "{header}: {}", reply.text());
    }
}

#[tokio::test]
async fn tokens_are_issued_checked_and_end() {
    let world = World::new().await;
    let all = json!({"Statement": [{"Effect": "Allow", "Action": "odps:*", "Resource": "acs:odps:*:projects/p*"}]});
    let token = world.token(all.clone()).await;
    // PyODPS (odps/accounts.py) takes item 2 of the decoded token as the time of its end.
    let text = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(&token).unwrap()).unwrap();
    let end: i64 = text.split(',').nth(2).unwrap().parse().unwrap();
    assert!((end - chrono::Utc::now().timestamp() - 3600).abs() <= 2);
    let bearer = |t: &str| world.with_credentials(Credentials::Bearer(t.into()));
    bearer(&token).get("/api/projects/p").await.ok();
    bearer(&token).get("/api/tenants").await.ok();
    bearer("fake-token").get("/api/projects/p").await.refused(401, "Unauthorized");
    // Names are not columns.
    bearer(&token).get("/api/projects/p/tables?extended").await.ok();
    let list = json!({"Statement": {"Effect": "Allow", "Action": "odps:List", "Resource": "acs:odps:*:projects/p"}});
    let lists = world.token(list).await;
    bearer(&lists).get("/api/projects/p/tables").await.ok();
    bearer(&lists).get("/api/projects/p/tables?extended").await.refused(403, "NoPermission");
    // A token cannot make tokens, keys or projects.
    bearer(&token).post("/api/projects/p/authorization?sign_bearer_token", "{}").await.refused(403, "NoPermission");
    bearer(&token).get("/admin/v1/whoami").await.refused(403, "NoPermission");
    let sign = |hours: serde_json::Value| json!({ "expires_in_hours": hours, "policy": all }).to_string();
    for hours in [json!(0), json!(-1), json!(10_000), json!("x")] {
        let reply = world.demo().post("/api/projects/p/authorization?sign_bearer_token", sign(hours)).await;
        assert_eq!(reply.status.as_u16(), 400);
    }
    world.demo().post("/api/projects/p/authorization?sign_bearer_token", "{").await.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn a_table_is_looked_for_in_the_schema_that_the_request_names() {
    let world = World::new().await;
    let client = world.demo();
    client.get("/api/projects/p/tables/t?curr_schema=default").await.ok();
    // Clients of projects without schemas write the project there.
    client.get("/api/projects/p/tables/t?curr_schema=p").await.ok();
    client.get("/api/projects/p/tables/t?curr_schema=s1").await.refused(404, "NoSuchTable");
    client.get("/projects/p/schemas/s1/tables/t?downloadid=x").await.refused(404, "NoSuchTable");
    client.get("/projects/p/schemas/Default/tables/t?downloadid=x").await.refused(404, "NoSuchDownload");
    client.get("/api/projects/p/tables?curr_schema=s1").await.refused(404, "NoSuchObject");
    // Names join schema and table with a dot; neither may bring one along.
    client.get("/api/projects/p/tables/s1.t").await.refused(404, "NoSuchTable");
    client.get("/api/projects/p/tables/t?curr_schema=s1.x").await.refused(404, "NoSuchObject");
}

#[tokio::test]
async fn a_token_for_tables_does_not_reach_those_of_a_schema() {
    let world = World::new().await;
    let policy = |resource: &str| {
        let statement = json!({"Effect": "Allow", "Action": ["odps:*"], "Resource": resource});
        json!({ "Version": "1", "Statement": [statement] })
    };
    let token = world.token(policy("acs:odps:*:projects/p/tables/*")).await;
    let client = world.with_credentials(Credentials::Bearer(token));
    client.get("/api/projects/p/tables/t").await.ok();
    client.get("/api/projects/p/tables/t?curr_schema=s1").await.refused(403, "NoPermission");
    let token = world.token(policy("acs:odps:*:projects/p/schemas/s1/tables/*")).await;
    let client = world.with_credentials(Credentials::Bearer(token));
    client.get("/api/projects/p/tables/t").await.refused(403, "NoPermission");
    client.get("/api/projects/p/tables/t?curr_schema=s1").await.refused(404, "NoSuchTable");
}
