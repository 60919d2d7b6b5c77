//! A walk over the whole table of operations: whoever lacks the right is refused, and the warehouse never hears of it.

use feitian_api::keys::issue_key;
use feitian_api::operations::{Operation, Status, Surface, all};
use feitian_api::rights::Right;
use feitian_meta::rows::Step;
use serde_json::json;

use crate::client::{Client, Credentials, key};
use crate::users::{with_job, with_table};
use crate::world::{World, secret};

/// A request for the operation, on project `p`.
fn target(op: &Operation) -> String {
    let path: Vec<String> = op
        .full_path()
        .split('/')
        .map(|segment| match segment {
            "{project}" => "p".into(),
            "{table}" => "t".into(),
            "{schema}" => "default".into(),
            s if s.starts_with('{') => "x".into(),
            s => s.to_string(),
        })
        .collect();
    let mut query = op.query.join("&");
    if op.surface == Surface::Page {
        query = "p=p&i=x".into();
    }
    let path = path.join("/");
    // Versions 2 and 3 of the storage API name the object in the query.
    if let Some(object) = path.strip_prefix("/api/storage/v2/") {
        return format!("/api/storage/v2?{query}&Target={}", object.replace('/', "."));
    }
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

/// Accounts, keys, projects and their members, as the database has them.
async fn kept(world: &World) -> String {
    let meta = &world.state.meta;
    let projects = meta.list_projects("", None, 1000).await.unwrap();
    let mut members = Vec::new();
    for project in &projects {
        members.push(meta.admitted(&project.name).await.unwrap());
    }
    let (accounts, keys) = (meta.list_accounts().await.unwrap(), meta.list_keys(None).await.unwrap());
    format!("{accounts:#?}{keys:#?}{projects:#?}{members:#?}")
}

async fn refused_everywhere(world: &World, client: &Client, of: impl Fn(&Operation) -> Option<(u16, &'static str)>) {
    let before = kept(world).await;
    for (_, op) in all() {
        let Some((status, code)) = of(op) else { continue };
        let reply = client.send(op.method, &target(op), &[], "x".into()).await;
        assert_eq!(reply.status.as_u16(), status, "{}: {}", op.name, reply.text());
        if op.surface != Surface::Page && op.surface != Surface::Probe {
            assert_eq!(reply.code(), code, "{}", op.name);
        }
        assert!(!reply.header("x-odps-request-id").is_empty(), "{}", op.name);
        assert_eq!(world.fake.calls(), Vec::<String>::new(), "{} reached the warehouse", op.name);
    }
    assert_eq!(kept(world).await, before, "something that was refused has changed accounts, keys or projects");
}

fn needs_identity(op: &Operation) -> bool {
    op.right != Right::Public
}

/// The policy of a token that may do whatever a token may.
fn everything() -> serde_json::Value {
    json!({ "Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}] })
}

/// Pages take tokens only.
fn takes_keys(op: &Operation) -> bool {
    needs_identity(op) && op.surface != Surface::Page
}

#[tokio::test]
async fn nobody_gets_in_without_credentials() {
    let world = World::new().await;
    let client = world.with_credentials(Credentials::Nothing);
    refused_everywhere(&world, &client, |op| needs_identity(op).then_some((401, "Unauthorized"))).await;
}

#[tokio::test]
async fn nobody_gets_in_with_an_unknown_key_or_a_wrong_secret() {
    let world = World::new().await;
    let unknown = world.with_credentials(key("nobody", "secret"));
    refused_everywhere(&world, &unknown, |op| takes_keys(op).then_some((401, "Unauthorized"))).await;
    let wrong = world.with_credentials(key("demokey1", "not the secret"));
    refused_everywhere(&world, &wrong, |op| takes_keys(op).then_some((403, "SignatureNotMatch"))).await;
}

#[tokio::test]
async fn nobody_gets_in_with_a_disabled_or_expired_key() {
    let world = World::new().await;
    world.state.meta.set_key_enabled("demokey1", false).await.unwrap();
    refused_everywhere(&world, &world.demo(), |op| takes_keys(op).then_some((401, "Unauthorized"))).await;
    let (meta, secrets) = (&world.state.meta, &world.state.secrets);
    let sts = issue_key(meta, secrets, "demo", Some(-1), None).await.unwrap();
    let expired = world.with_credentials(Credentials::Sts {
        id: sts.row.access_id.clone(),
        secret: sts.secret.as_str().unwrap().into(),
        token: sts.sts_token.unwrap().as_str().unwrap().into(),
    });
    refused_everywhere(&world, &expired, |op| takes_keys(op).then_some((401, "AuthenticationRequestExpired"))).await;
}

#[tokio::test]
async fn nobody_gets_in_with_what_a_disabled_account_has() {
    let world = World::new().await;
    let (meta, secrets) = (&world.state.meta, &world.state.secrets);
    let sts = issue_key(meta, secrets, "demo", Some(3_600_000), None).await.unwrap();
    let token = world.token(everything()).await;
    let temporary = Credentials::Sts {
        id: sts.row.access_id.clone(),
        secret: sts.secret.as_str().unwrap().into(),
        token: sts.sts_token.unwrap().as_str().unwrap().into(),
    };
    // An administrator that is disabled is none.
    let all = [key("demokey1", &secret("demokey1")), key("rootkey1", &secret("rootkey1")), temporary];
    let all = all.into_iter().chain([Credentials::Bearer(token)]).map(|c| world.with_credentials(c));
    let all: Vec<Client> = all.collect();
    meta.admit("p", "root").await.unwrap();
    for client in &all {
        client.get("/api/projects/p").await.ok();
    }
    for account in ["demo", "root"] {
        meta.set_account_enabled(account, false).await.unwrap();
    }
    world.fake.calls();
    for client in &all {
        refused_everywhere(&world, client, |op| takes_keys(op).then_some((403, "NoPermission"))).await;
    }
}

#[tokio::test]
async fn nobody_gets_in_with_an_expired_token() {
    let world = World::new().await;
    let token = world.token(everything()).await;
    let (valid, expired) = (world.ending_in(&token, 3600).await, world.ending_in(&token, 0).await);
    world.with_credentials(Credentials::Bearer(valid)).get("/api/projects/p").await.ok();
    world.fake.calls();
    let client = world.with_credentials(Credentials::Bearer(expired));
    refused_everywhere(&world, &client, |op| takes_keys(op).then_some((401, "AuthenticationRequestExpired"))).await;
}

#[tokio::test]
async fn a_token_of_another_project_reaches_nothing_of_this_one() {
    let world = World::new().await;
    // The account is in both projects, so that nothing but the token's project stops it.
    world.state.meta.admit("p", "other").await.unwrap();
    world.client("otherkey").get("/api/projects/p").await.ok();
    let client = world.with_credentials(Credentials::Bearer(world.token_of("otherkey", "q", everything()).await));
    client.get("/api/projects/q").await.ok();
    world.fake.calls();
    refused_everywhere(&world, &client, |op| match op.right {
        Right::Public | Right::Signed => None,
        _ if op.surface == Surface::Page => None,
        _ => Some((403, "NoPermission")),
    })
    .await;
}

#[tokio::test]
async fn a_foreign_account_reaches_nothing_of_the_project() {
    let world = World::new().await;
    let foreign = world.client("otherkey");
    refused_everywhere(&world, &foreign, |op| match op.right {
        Right::Public | Right::Signed | Right::Account => None,
        _ if op.surface == Surface::Page => None,
        _ => Some((403, "NoPermission")),
    })
    .await;
}

#[tokio::test]
async fn a_user_without_a_grant_reaches_nothing_of_the_project() {
    let world = World::new().await;
    // A table and a job of somebody else, which the requests name.
    with_table(&world, "ALIYUN$demo").await;
    with_job(&world, "x", "ALIYUN$demo").await;
    world.state.meta.add_user("p", "other", &Step::None).await.unwrap();
    let user = world.client("otherkey");
    refused_everywhere(&world, &user, |op| match op.right {
        Right::Public | Right::Signed | Right::Account | Right::AnyUser(_) | Right::Signer => None,
        _ if op.surface == Surface::Page => None,
        _ => Some((403, "NoPermission")),
    })
    .await;
}

#[tokio::test]
async fn a_token_reaches_only_what_its_policy_names() {
    let world = World::new().await;
    let statement =
        json!({"Effect": "Allow", "Action": ["odps:*"], "Resource": "acs:odps:*:projects/p/instances/another"});
    let token = world.token(json!({ "Version": "1", "Statement": [statement] })).await;
    world.fake.calls();
    let client = world.with_credentials(Credentials::Bearer(token));
    refused_everywhere(&world, &client, |op| match op.right {
        Right::Public | Right::Signed => None,
        _ if op.surface == Surface::Page => None,
        _ => Some((403, "NoPermission")),
    })
    .await;
}

#[tokio::test]
async fn a_token_of_the_whole_project_does_not_reach_another() {
    let world = World::new().await;
    let token = world.token(everything()).await;
    // The account is in both projects; the token is for one of them.
    world.state.meta.admit("q", "demo").await.unwrap();
    let client = world.with_credentials(Credentials::Bearer(token));
    client.get("/api/projects/p").await.ok();
    client.get("/api/projects/q").await.refused(403, "NoPermission");
    client.post("/api/projects/q/instances", "x").await.refused(403, "NoPermission");
    // An account that is expelled takes its tokens with it.
    world.state.meta.set_account_enabled("demo", false).await.unwrap();
    client.get("/api/projects/p").await.refused(403, "NoPermission");
}

#[tokio::test]
async fn what_is_refused_says_so_and_changes_nothing() {
    let world = World::new().await;
    world.state.meta.admit("p", "root").await.unwrap();
    let root = world.client("rootkey1");
    refused_everywhere(&world, &root, |op| (op.status == Status::Refused).then_some((405, "MethodNotAllowed"))).await;
}

#[tokio::test]
async fn unknown_paths_are_not_found_and_unknown_actions_not_allowed() {
    let world = World::new().await;
    let client = world.demo();
    for target in
        ["/api", "/api/nowhere", "/api/projects/p/tables/t/more", "/nowhere", "/logview/host", "/admin/v2/x", "/", "//"]
    {
        client.get(target).await.refused_or_page(404);
    }
    client.get("/api/projects/p/tables/t?shards").await.refused(405, "MethodNotAllowed");
    client.delete("/api/projects/p/tables/t").await.refused(405, "MethodNotAllowed");
    client.send("PATCH", "/projects/p/tables/t", &[], "x".into()).await.refused(405, "MethodNotAllowed");
    assert_eq!(world.fake.calls(), Vec::<String>::new());
}
