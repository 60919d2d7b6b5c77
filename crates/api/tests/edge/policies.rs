//! Policies, the switches of a project's security, and labels at the edge. PyODPS: `odps/models/project.py`,
//! `odps/models/security`.

use feitian_meta::rows::{Grantee, Securable, Step, Switch};

use crate::client::{Client, Credentials, between};
use crate::jobs::submit;
use crate::users::{with_job, with_table};
use crate::world::World;

/// `ALIYUN$other` as a user of project `p` with the table `t`, which is the owner's.
async fn with_user() -> (World, Client) {
    let world = World::new().await;
    with_table(&world, "ALIYUN$demo").await;
    world.state.meta.add_user("p", "other", &Step::None).await.unwrap();
    let user = world.client("otherkey");
    (world, user)
}

/// A policy of project `p` with one statement about everybody.
fn policy(effect: &str, action: &str, resource: &str) -> String {
    let statement = serde_json::json!({
        "Effect": effect, "Principal": ["*"], "Action": [action], "Resource": format!("acs:odps:*:projects/{resource}"),
    });
    serde_json::json!({ "Version": "1", "Statement": [statement] }).to_string()
}

const POLICY: &str = "/api/projects/p?policy";
const CONFIGURATION: &str = "/api/projects/p?security_configuration";

#[tokio::test]
async fn a_policy_is_read_as_it_was_written_and_only_the_owner_writes_it() {
    let (world, user) = with_user().await;
    let demo = world.demo();
    // Clients read the answer as JSON whether there is a policy or not.
    let empty = demo.get(POLICY).await.ok().text();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&empty).unwrap()["Statement"], serde_json::json!([]));
    let written = policy("Allow", "odps:Select", "p/tables/*");
    demo.put(POLICY, written.clone()).await.ok();
    assert_eq!(demo.get(POLICY).await.ok().text(), written);
    demo.put(POLICY, empty.clone()).await.ok();
    assert_eq!(demo.get(POLICY).await.ok().text(), empty);
    demo.put(POLICY, "").await.ok();
    assert_eq!(demo.get(POLICY).await.ok().text(), empty);
    let role = "/api/projects/p/roles/reader?policy";
    for method in ["GET", "PUT"] {
        demo.send(method, role, &[], String::new().into()).await.refused(404, "NoSuchObject");
    }
    world.state.meta.create_role("p", "reader", 5, &Step::None).await.unwrap();
    let of_role = written.replace(r#""Principal":["*"],"#, "");
    demo.put(role, of_role.clone()).await.ok();
    assert_eq!(demo.get(role).await.ok().text(), of_role);
    demo.put(role, written.clone()).await.refused(400, "InvalidParameter");
    for target in [POLICY, role] {
        user.get(target).await.refused(403, "NoPermission");
        user.put(target, written.clone()).await.refused(403, "NoPermission");
    }
    let all = serde_json::json!({ "Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}] });
    let token = world.with_credentials(Credentials::Bearer(world.token(all).await));
    token.put(POLICY, written).await.refused(403, "NoPermission");
}

#[tokio::test]
async fn what_a_policy_cannot_do_is_refused_by_name_and_leaves_the_old_one() {
    let (world, _) = with_user().await;
    let demo = world.demo();
    let old = policy("Deny", "odps:Drop", "p/tables/t");
    demo.put(POLICY, old.clone()).await.ok();
    let condition = old.replace(r#""Effect":"#, r#""Condition":{"IpAddress":{"acs:SourceIp":"10.0.0.1"}},"Effect":"#);
    for (text, word) in [
        (condition, "Condition"),
        (policy("Deny", "odps:Download", "p/tables/t"), "odps:Download"),
        (policy("Deny", "odps:Drop", "q/tables/t"), "projects/q/tables/t"),
        (old.replace("[\"*\"]", "[\"ALIYUN$nobody\"]"), "ALIYUN$nobody"),
        ("{".to_string(), "JSON"),
    ] {
        let reply = demo.put(POLICY, text.clone()).await.refused(400, "InvalidParameter");
        assert!(reply.text().contains(word), "{text}: {}", reply.text());
    }
    assert_eq!(demo.get(POLICY).await.ok().text(), old);
}

#[tokio::test]
async fn a_policy_opens_and_closes_what_its_statements_name() {
    let (world, user) = with_user().await;
    let demo = world.demo();
    let (preview, download) = ("/api/projects/p/tables/t?data&linenum=1", "/projects/p/tables/t?downloads");
    user.get(preview).await.refused(403, "NoPermission");
    demo.put(POLICY, policy("Allow", "odps:Select", "p/tables/*")).await.ok();
    user.get(preview).await.ok();
    user.post(download, "").await.ok();
    user.get("/api/projects/p/tables/t").await.refused(403, "NoPermission");
    // A Deny beats the grant, on every way to the rows.
    let (meta, table) = (&world.state.meta, Securable::Table("t1".into()));
    meta.grant("p", &Grantee::User("other".into()), &table, &["All".into()], &Step::None).await.unwrap();
    demo.put(POLICY, policy("Deny", "odps:Select", "p/tables/t")).await.ok();
    user.get("/api/projects/p/tables/t").await.ok();
    for (method, target) in [
        ("GET", preview),
        ("POST", download),
        ("GET", "/projects/p/tables/t?downloadid=x"),
        ("GET", "/projects/p/tables/t?downloadid=x&data&rowrange=(0,1)"),
        ("GET", "/projects/p/tables/t/preview"),
        ("POST", "/api/storage/v1/projects/p/tables/t/sessions?session_type=batch_read"),
        ("GET", "/api/storage/v1/projects/p/tables/t/data?session_id=x&split_index=0"),
    ] {
        user.send(method, target, &[], "{}".into()).await.refused(403, "NoPermission");
    }
    demo.get(preview).await.ok();
    demo.put(POLICY, "").await.ok();
    user.get(preview).await.ok();
}

#[tokio::test]
async fn an_admitted_account_that_is_denied_something_keeps_the_rest() {
    let world = World::new().await;
    with_table(&world, "ALIYUN$demo").await;
    let (meta, demo, other) = (&world.state.meta, world.demo(), world.client("otherkey"));
    meta.admit("p", "other").await.unwrap();
    let (preview, jobs) = ("/api/projects/p/tables/t?data&linenum=1", "/admin/v1/projects/p/instances");
    let job = submit(&demo, "select 1;").await;
    with_job(&world, &job, "ALIYUN$demo").await;
    let job = format!("/api/projects/p/instances/{job}");
    for target in [preview, jobs, &job] {
        other.get(target).await.ok();
    }
    demo.put(POLICY, policy("Deny", "odps:Select", "p/tables/t")).await.ok();
    other.get("/api/projects/p/tables/t").await.ok();
    other.get("/api/projects/p/resources").await.ok();
    // The result of a job of others could hold the rows.
    for target in [preview, jobs, &job] {
        other.get(target).await.refused(403, "NoPermission");
    }
}

#[tokio::test]
async fn functions_and_resources_are_denied_by_their_own_names() {
    let world = World::new().await;
    let (meta, demo, other) = (&world.state.meta, world.demo(), world.client("otherkey"));
    meta.admit("p", "other").await.unwrap();
    let (mine, theirs) = ("/api/projects/p/resources/mine.py", "/api/projects/p/resources/theirs.py");
    demo.put(POLICY, policy("Deny", "odps:*", "p/resources/theirs*")).await.ok();
    other.get(mine).await.refused(404, "NoSuchObject");
    for method in ["GET", "DELETE", "PUT"] {
        other.send(method, theirs, &[], "x".into()).await.refused(403, "NoPermission");
    }
    let merge = "/api/projects/p/resources?rOpMerge";
    let headers = [("x-odps-resource-type", "file"), ("x-odps-resource-name", "mine")];
    let body = format!("{}|mine.py,theirs.py", "0".repeat(32));
    other.send("POST", merge, &headers, body.into()).await.refused(403, "NoPermission");
    demo.put(POLICY, policy("Deny", "odps:CreateFunction", "p")).await.ok();
    other.post("/api/projects/p/registration/functions", "x").await.refused(403, "NoPermission");
    other.delete("/api/projects/p/registration/functions/f").await.refused(404, "NoSuchObject");
}

// The document: odps/models/security/config.py of PyODPS, which sends back all that it has read.
#[tokio::test]
async fn switches_are_turned_by_their_document_and_what_nothing_would_switch_is_refused() {
    let (world, user) = with_user().await;
    let demo = world.demo();
    let document = demo.get(CONFIGURATION).await.ok().text();
    assert_eq!(between(&document, "<LabelSecurity>", "</LabelSecurity>"), "false");
    assert_eq!(between(&document, "<SupportACL>", "</SupportACL>"), "true");
    let on = document.replace("<LabelSecurity>false", "<LabelSecurity>true");
    demo.put(CONFIGURATION, on.clone()).await.ok();
    assert_eq!(demo.get(CONFIGURATION).await.ok().text(), on);
    let only =
        "<SecurityConfiguration><CheckPermissionUsingAcl>false</CheckPermissionUsingAcl></SecurityConfiguration>";
    demo.put(CONFIGURATION, only).await.ok();
    let switches = world.state.meta.switches("p").await.unwrap();
    assert!(switches.labels && !switches.acl && switches.policy);
    for (from, to) in [
        ("Protected=\"false\"", "Protected=\"true\""),
        ("<CreatePackage>false", "<CreatePackage>true"),
        ("<SupportPolicy>true", "<SupportPolicy>false"),
    ] {
        let changed = on.replace(from, to);
        assert_ne!(changed, on, "{from}");
        demo.put(CONFIGURATION, changed).await.refused(405, "MethodNotAllowed");
    }
    user.put(CONFIGURATION, on).await.refused(403, "NoPermission");
    user.get(CONFIGURATION).await.refused(403, "NoPermission");
}

#[tokio::test]
async fn a_table_with_a_column_above_the_label_of_a_user_is_read_by_sql_alone() {
    let (world, user) = with_user().await;
    let (meta, to) = (&world.state.meta, Grantee::User("other".into()));
    let table = meta.table_named("p", "t").await.unwrap().unwrap();
    meta.grant("p", &to, &Securable::Table("t1".into()), &["All".into()], &Step::None).await.unwrap();
    meta.turn_switches("p", &[(Switch::Labels, true)], &Step::None).await.unwrap();
    let preview = "/api/projects/p/tables/t?data&linenum=1";
    user.get(preview).await.ok();
    let column = table.schema.columns[0].name.clone();
    meta.label_table(&table, &[column], 2, &Step::None).await.unwrap();
    for (method, target) in [
        ("GET", preview),
        ("GET", "/projects/p/tables/t/preview"),
        ("POST", "/projects/p/tables/t?downloads"),
        ("GET", "/projects/p/tables/t?downloadid=x&data&rowrange=(0,1)"),
        ("POST", "/api/storage/v1/projects/p/tables/t/sessions?session_type=batch_read"),
        ("GET", "/api/storage/v1/projects/p/tables/t/data?session_id=x&split_index=0"),
    ] {
        user.send(method, target, &[], "{}".into()).await.refused(403, "NoPermission");
    }
    user.post("/projects/p/tables/t?uploads", "").await.ok();
    meta.label_holder("p", &to, 2, &Step::None).await.unwrap();
    user.get(preview).await.ok();
}
