//! Users of a project who have what was granted, and the documents about them. PyODPS: `odps/models/security`.

use feitian_meta::rows::{Grantee, Instance, InstanceState, Securable, Step, Table};
use feitian_types::TableSchema;

use crate::client::{Client, Credentials, between};
use crate::fake::two_columns;
use crate::jobs::submit;
use crate::world::World;

/// The row of the table `t` in project `p`. What is in it, the warehouse in memory knows.
pub async fn with_table(world: &World, owner: &str) {
    let table = Table {
        id: "t1".into(),
        project: "p".into(),
        schema_name: "default".into(),
        name: "t".into(),
        kind: "MANAGED_TABLE".into(),
        owner: owner.into(),
        location: "warehouse/p/t-t1".into(),
        schema: TableSchema { columns: two_columns(), partition_columns: Vec::new() },
        schema_version: 0,
        comment: String::new(),
        properties: "{}".into(),
        lifecycle: -1,
        view_text: None,
        created_ms: 1,
        ddl_ms: 1,
        modified_ms: 1,
        log_version: 0,
        dropped_ms: None,
    };
    world.state.meta.create_table(&table, &[], &Step::None).await.unwrap();
}

/// The row of a job in project `p`.
pub async fn with_job(world: &World, id: &str, owner: &str) {
    let job = Instance {
        id: id.into(),
        project: "p".into(),
        owner: owner.into(),
        state: InstanceState::Success,
        settings: "{}".into(),
        summary: "{}".into(),
        submitted_ms: 1,
        ..Instance::default()
    };
    world.state.meta.create_instance(&job).await.unwrap();
}

async fn grant(world: &World, object: &Securable, action: &str) {
    let to = Grantee::User("other".into());
    world.state.meta.grant("p", &to, object, &[action.to_string()], &Step::None).await.unwrap();
}

/// `ALIYUN$other` as a user of project `p` with the table `t`, which is the owner's.
async fn with_user() -> (World, Client) {
    let world = World::new().await;
    with_table(&world, "ALIYUN$demo").await;
    world.state.meta.add_user("p", "other", &Step::None).await.unwrap();
    let user = world.client("otherkey");
    (world, user)
}

#[tokio::test]
async fn a_grant_opens_the_actions_that_it_names_on_its_object() {
    let (world, user) = with_user().await;
    let table = Securable::Table("t1".into());
    user.get("/api/projects/p/tables/t").await.refused(403, "NoPermission");
    grant(&world, &table, "Describe").await;
    user.get("/api/projects/p/tables/t").await.ok();
    user.get("/api/projects/p/tables/t?data&linenum=1").await.refused(403, "NoPermission");
    user.post("/projects/p/tables/t?downloads", "").await.refused(403, "NoPermission");
    grant(&world, &table, "Select").await;
    user.get("/api/projects/p/tables/t?data&linenum=1").await.ok();
    user.post("/projects/p/tables/t?downloads", "").await.ok();
    user.post("/projects/p/tables/t?uploads", "").await.refused(403, "NoPermission");
    grant(&world, &table, "Update").await;
    user.post("/projects/p/tables/t?uploads", "").await.ok();
    user.get("/api/projects/p/tables/missing").await.refused(404, "NoSuchTable");
    user.get("/api/projects/p/tables").await.refused(403, "NoPermission");
    grant(&world, &Securable::Project, "List").await;
    user.get("/api/projects/p/tables").await.ok();
    user.get("/api/projects/p/tables?extended").await.refused(403, "NoPermission");
    user.get("/api/projects/p").await.refused(403, "NoPermission");
    grant(&world, &Securable::Project, "Read").await;
    user.get("/api/projects/p").await.ok();
    user.post("/api/projects/p/schemas", "<Schema><Name>s</Name></Schema>").await.refused(403, "NoPermission");
}

#[tokio::test]
async fn a_user_sees_its_own_jobs_and_submits_them_when_that_was_granted() {
    let (world, user) = with_user().await;
    let job = "<Instance><Job><Tasks><SQL><Name>a</Name><Query>select 1;</Query></SQL></Tasks></Job></Instance>";
    user.post("/api/projects/p/instances", job).await.refused(403, "NoPermission");
    grant(&world, &Securable::Project, "CreateInstance").await;
    let own = submit(&user, "select 1;").await;
    let foreign = submit(&world.demo(), "select 2;").await;
    with_job(&world, &own, "ALIYUN$other").await;
    with_job(&world, &foreign, "ALIYUN$demo").await;
    user.get(&format!("/api/projects/p/instances/{own}")).await.ok();
    for action in ["", "?result", "?source", "?instancesummary"] {
        user.get(&format!("/api/projects/p/instances/{foreign}{action}")).await.refused(403, "NoPermission");
    }
    user.put(&format!("/api/projects/p/instances/{foreign}"), "<Instance/>").await.refused(403, "NoPermission");
    user.get("/api/projects/p/instances").await.refused(403, "NoPermission");
    grant(&world, &Securable::Project, "List").await;
    // The same by the admin API, which `feitian sql` uses.
    user.get(&format!("/admin/v1/projects/p/instances/{own}")).await.ok();
    user.get(&format!("/admin/v1/projects/p/instances/{foreign}")).await.refused(403, "NoPermission");
    user.post(&format!("/admin/v1/projects/p/instances/{foreign}/stop"), "").await.refused(403, "NoPermission");
    user.post("/admin/v1/projects/p/sql", r#"{"sql": "select 3;"}"#).await.ok();
    user.get("/admin/v1/projects/p/instances").await.refused(403, "NoPermission");
    // A known guid finds the job that has it, and this one is somebody else's.
    let known = r#"{"sql": "select 4;", "guid": "g-1"}"#;
    world.demo().post("/admin/v1/projects/p/sql", known).await.ok();
    user.post("/admin/v1/projects/p/sql", known).await.refused(403, "NoPermission");
    let listed = user.get("/api/projects/p/instances").await.ok().text();
    assert!(listed.contains(&own) && !listed.contains(&foreign), "{listed}");
    let listed = world.demo().get("/api/projects/p/instances").await.ok().text();
    assert!(listed.contains(&own) && listed.contains(&foreign), "{listed}");
}

#[tokio::test]
async fn an_owner_of_a_table_needs_no_grant_on_it() {
    let world = World::new().await;
    with_table(&world, "ALIYUN$other").await;
    let user = world.client("otherkey");
    user.get("/api/projects/p/tables/t").await.refused(403, "NoPermission");
    world.state.meta.add_user("p", "other", &Step::None).await.unwrap();
    user.get("/api/projects/p/tables/t").await.ok();
    user.post("/projects/p/tables/t?uploads", "").await.ok();
    world.state.meta.remove_user("p", "other", &Step::None).await.unwrap();
    user.get("/api/projects/p/tables/t").await.refused(403, "NoPermission");
}

// A policy says what a token may at most: PyODPS asks for one that opens a job's Logview, odps/models/instance.py.
#[tokio::test]
async fn a_token_of_a_user_goes_no_further_than_the_user() {
    let (world, user) = with_user().await;
    let all = serde_json::json!({ "Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}] });
    let token = world.with_credentials(Credentials::Bearer(world.token_of("otherkey", "p", all).await));
    token.get("/api/projects/p/tables/t").await.refused(403, "NoPermission");
    grant(&world, &Securable::Table("t1".into()), "Describe").await;
    token.get("/api/projects/p/tables/t").await.ok();
    token.get("/api/projects/p/tables/t?data&linenum=1").await.refused(403, "NoPermission");
    user.get("/admin/v1/projects/p/instances").await.refused(403, "NoPermission");
    // Every user asks who he is, finds the tunnel, and has the statements about rights answered.
    let ask = "<Authorization><Query>whoami</Query></Authorization>";
    user.post("/api/projects/p/authorization", ask).await.ok();
    user.get("/api/projects/p/tunnel?service").await.ok();
    world.fake.calls();
    token.post("/api/projects/p/authorization", ask).await.ok();
    assert_eq!(world.fake.calls(), ["security p ALIYUN$other token default false whoami"]);
}

// Clients ask for the end of what does not answer with 200: odps/models/project.py, AuthQueryInstance.
#[tokio::test]
async fn a_package_is_not_installed_and_the_client_learns_why() {
    let world = World::new().await;
    let demo = world.demo();
    let ask = "<Authorization><Query>INSTALL PACKAGE q.pack</Query></Authorization>";
    let reply = demo.post("/api/projects/p/authorization", ask).await.ok();
    assert_eq!(reply.status.as_u16(), 202);
    let id = between(&reply.text(), "<Result>", "</Result>").to_string();
    let end = demo.get(&format!("/api/projects/p/authorization/{id}")).await.ok().text();
    assert_eq!(between(&end, "<Status>", "</Status>"), "FAILED");
    assert!(between(&end, "<Result>", "</Result>").contains("packages are not supported"), "{end}");
    demo.get("/api/projects/p/authorization/another").await.refused(404, "NoSuchObject");
    assert_eq!(world.fake.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn users_and_roles_are_documents() {
    let (world, _) = with_user().await;
    let (meta, demo) = (&world.state.meta, world.demo());
    let users = demo.get("/api/projects/p/users").await.ok().text();
    assert!(users.contains("ALIYUN$demo") && users.contains("ALIYUN$other"), "{users}");
    demo.get("/api/projects/p/users/ALIYUN%24other?type=displayname").await.ok();
    demo.get("/api/projects/p/users/ALIYUN%24root?type=displayname").await.refused(404, "NoSuchObject");
    meta.create_role("p", "reader", 5, &Step::None).await.unwrap();
    meta.create_role("p", "writer", 5, &Step::None).await.unwrap();
    meta.assign_role("p", "reader", "other", &Step::None).await.unwrap();
    let roles = demo.get("/api/projects/p/roles").await.ok().text();
    assert!(roles.contains("<Name>reader</Name>") && roles.contains("<Name>writer</Name>"), "{roles}");
    demo.get("/api/projects/p/roles/reader").await.ok();
    demo.get("/api/projects/p/roles/nobody").await.refused(404, "NoSuchObject");
    let users = demo.get("/api/projects/p/roles/reader?users").await.ok().text();
    assert!(users.contains("ALIYUN$other") && !users.contains("ALIYUN$demo"), "{users}");
    demo.get("/api/projects/p/roles/nobody?users").await.refused(404, "NoSuchObject");
    // The client names the user by its id and says that this is the displayed name: odps/models/security/users.py.
    for name in ["other", "ALIYUN%24other"] {
        let roles = demo.get(&format!("/api/projects/p/users/{name}?roles&type=displayname")).await.ok().text();
        assert!(roles.contains("reader") && !roles.contains("writer"), "{roles}");
    }
}
