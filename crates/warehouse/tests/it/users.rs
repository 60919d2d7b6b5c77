//! What a user of a project may do with SQL: what was granted, what it owns, and nothing else.

use std::time::Duration;

use feitian_meta::{Grantee, Instance, InstanceState, Securable, Step, TOKEN_JOBS, TOKEN_SETTING, TOKEN_TABLES};
use feitian_warehouse::{NewJob, SecurityAnswer, SecurityRequest};

use crate::sql::{Bench, OWNER};

pub(crate) const USER: &str = "ALIYUN$other";
pub(crate) const USER_ID: &str = "2";

pub(crate) async fn run_as(bench: &Bench, who: &str, query: &str, settings: &[(&str, &str)]) -> Instance {
    let job = NewJob {
        priority: 9,
        task_name: "AnonymousSQLTask".into(),
        task_type: "SQL".into(),
        query: query.into(),
        settings: settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        ..NewJob::default()
    };
    let submitted = bench.warehouse.submit(who, "demo", job).await.unwrap();
    bench.warehouse.wait("demo", &submitted.id, Duration::from_secs(120)).await.unwrap()
}

pub(crate) async fn rows(bench: &Bench, query: &str) -> Vec<String> {
    let ended = run_as(bench, USER, query, &[]).await;
    assert_eq!(ended.state, InstanceState::Success, "{query}: {:?}", ended.error);
    bench.rows(&ended).await.1
}

pub(crate) async fn text(bench: &Bench, who: &str, query: &str) -> String {
    let ended = run_as(bench, who, query, &[]).await;
    assert_eq!(ended.state, InstanceState::Success, "{query}: {:?}", ended.error);
    String::from_utf8(ended.result_inline.unwrap_or_default()).unwrap()
}

/// The user may not do this, and the error names what would have to be granted.
pub(crate) async fn refused(bench: &Bench, query: &str, privilege: &str) {
    let error = run_as(bench, USER, query, &[]).await.error.unwrap_or_default();
    assert!(error.starts_with("ODPS-0130013:") && error.contains(privilege), "{query}: {error}");
}

/// `demo` with the tables `t` and `secret`, and the account `USER` in it without any right.
pub(crate) async fn open() -> Bench {
    let bench = Bench::open().await;
    for query in [
        "create table t (a bigint) partitioned by (ds string); insert into t partition (ds='1') values (1), (2)",
        "create table secret (a bigint); insert into secret values (42)",
        "create view over_secret as select a from secret where a > 40",
    ] {
        text(&bench, OWNER, query).await;
    }
    bench.warehouse.meta().add_user("demo", USER_ID, &Step::None).await.unwrap();
    bench
}

const SELECT: &str = "odps:Select";
const FULL: (&str, &str) = ("odps.sql.allow.fullscan", "true");

// Actions: MaxCompute documentation, "MaxCompute permissions", as far as they are asked for here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_statement_asks_for_its_own_privilege() {
    let bench = open().await;
    for (query, privilege) in [
        ("select * from secret", "'odps:Select' on {acs:odps:*:projects/demo/tables/secret}"),
        ("select 1 as x where exists (select a from demo.secret)", SELECT),
        ("with s as (select a from secret) select * from s", SELECT),
        ("select * from over_secret", "tables/over_secret}"),
        ("select max_pt('t')", SELECT),
        ("select table_exists('secret')", SELECT),
        ("explain select * from secret", SELECT),
        ("explain insert into secret select 1", "odps:Update"),
        ("insert into secret values (1)", "odps:Update"),
        ("insert overwrite table t partition (ds='1') select 1", "odps:Update"),
        ("truncate table secret", "odps:Update"),
        ("truncate table secret columns (a)", "odps:Update"),
        ("update secret set a = 1", SELECT),
        ("delete from secret where a = 42", SELECT),
        ("merge into secret using t on secret.a = t.a when matched then delete", SELECT),
        ("explain delete from secret", SELECT),
        ("select a from secret version as of 1", SELECT),
        ("select a from t timestamp as of get_latest_timestamp('secret')", SELECT),
        ("clone table secret to mine", SELECT),
        ("restore table secret to lsn '0'", "odps:Update"),
        ("restore table secret to lsn '0' as mine", SELECT),
        ("show history for table secret", "odps:Describe"),
        ("alter table t merge partition (ds='1') overwrite partition (ds='2')", "odps:Alter"),
        ("alter table secret merge smallfiles", "odps:Alter"),
        ("alter table t add partition (ds='2')", "odps:Alter"),
        ("alter table t drop partition (ds='1')", "odps:Alter"),
        ("alter table secret rename to mine", "odps:Alter"),
        ("alter table secret changeowner to 'ALIYUN$other'", "odps:Alter"),
        ("alter view over_secret as select 1 as a", "odps:Alter"),
        ("drop table secret", "odps:Drop"),
        ("drop view over_secret", "odps:Drop"),
        ("desc secret", "odps:Describe"),
        ("show partitions t", "odps:Describe"),
        ("show create table secret", "odps:Describe"),
        ("show tables", "odps:List"),
        ("show schemas", "odps:List"),
        ("desc schema default", "odps:Read"),
        ("create table mine (a bigint)", "odps:CreateTable"),
        ("create table mine as select a from secret", "odps:CreateTable"),
        ("create view mine as select 1 as a", "odps:CreateTable"),
        ("create schema s", "odps:Write"),
        ("drop schema if exists s", "odps:Write"),
        ("create function f as 'mod.Class' using ''", "odps:Write"),
        ("drop function if exists f", "odps:Write"),
        ("drop resource if exists mod.py", "odps:Write"),
        ("show functions", "odps:List"),
        ("list resources", "odps:List"),
        ("desc resource mod.py", "odps:List"),
        ("setproject", "odps:Read"),
        ("add user ALIYUN$other", "ALIYUN$other"),
        ("create role r", "ALIYUN$other"),
        ("grant select on secret to user ALIYUN$other", "ALIYUN$other"),
        ("list users", "SHOW GRANTS"),
    ] {
        refused(&bench, query, privilege).await;
    }
    assert_eq!(rows(&bench, "select 1 + 1").await, ["2"]);
    let cost = NewJob { task_type: "SQLCost".into(), query: "select * from secret".into(), ..NewJob::default() };
    let cost = bench.warehouse.submit(USER, "demo", cost).await.unwrap();
    let cost = bench.warehouse.wait("demo", &cost.id, Duration::from_secs(120)).await.unwrap();
    assert!(cost.error.unwrap_or_default().starts_with("ODPS-0130013:"));
    assert_eq!(text(&bench, USER, "whoami").await, r#"{"DisplayName":"ALIYUN$other","ID":"2"}"#);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_opens_its_object_and_no_other_until_it_is_revoked() {
    let bench = open().await;
    text(&bench, OWNER, "grant select, describe on table t to user ALIYUN$other").await;
    assert_eq!(rows(&bench, "select sum(a) from t where ds = '1'").await, ["3"]);
    assert_eq!(rows(&bench, "select max_pt('t')").await, ["1"]);
    assert!(text(&bench, USER, "desc t").await.contains("bigint"));
    refused(&bench, "select t.a from t join secret on t.a = secret.a where t.ds = '1'", "tables/secret}").await;
    refused(&bench, "insert into t partition (ds='1') values (3)", "odps:Update").await;
    refused(&bench, "delete from t where ds = '1'", "odps:Update").await;
    refused(&bench, "clone table t to copied", "odps:CreateTable").await;
    text(&bench, OWNER, "create role writer; grant update on t to role writer; grant writer to ALIYUN$other").await;
    text(&bench, USER, "insert into t partition (ds='1') values (3)").await;
    assert_eq!(rows(&bench, "select count(*) from t where ds = '1'").await, ["3"]);
    text(&bench, OWNER, "revoke writer from ALIYUN$other").await;
    refused(&bench, "insert into t partition (ds='1') values (4)", "odps:Update").await;
    // Another table of that name is another table.
    text(&bench, OWNER, "drop table t; create table t (a bigint)").await;
    refused(&bench, "select * from t", SELECT).await;
    text(&bench, OWNER, "remove user ALIYUN$other").await;
    refused(&bench, "select a from t", "odps:Read").await;
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_owns_what_it_makes_and_may_share_it() {
    let bench = open().await;
    text(&bench, OWNER, "grant createtable, list on project to user ALIYUN$other").await;
    text(&bench, USER, "create table mine (a bigint); insert into mine values (7)").await;
    assert_eq!(rows(&bench, "select a from mine").await, ["7"]);
    assert!(text(&bench, USER, "show tables").await.contains("ALIYUN$other:mine"));
    refused(&bench, "create table copied as select a from secret", SELECT).await;
    refused(&bench, "create view mine_too as select a from secret", SELECT).await;
    refused(&bench, "create table alike like secret", "odps:Describe").await;
    text(&bench, OWNER, "create role reader").await;
    text(&bench, USER, "grant select on mine to role reader").await;
    assert!(text(&bench, USER, "show grants on mine").await.contains("role/reader"));
    refused(&bench, "show grants on secret", "SHOW GRANTS").await;
    text(&bench, USER, "drop table mine").await;
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_shows_what_its_owner_may_see_and_only_the_owner_changes_it() {
    let bench = open().await;
    text(&bench, OWNER, "grant select, alter on over_secret to user ALIYUN$other").await;
    text(&bench, OWNER, "grant createtable on project to user ALIYUN$other").await;
    assert_eq!(rows(&bench, "select a from over_secret").await, ["42"]);
    refused(&bench, "select a from secret", SELECT).await;
    for change in [
        "alter view over_secret as select 1 as a",
        "create or replace view over_secret as select 1 as a",
        "alter view over_secret changeowner to 'ALIYUN$other'",
    ] {
        refused(&bench, change, "odps:Alter").await;
    }
    // A view of the user reads with the user's rights, also for those who may do more.
    text(&bench, OWNER, "grant select on secret to user ALIYUN$other").await;
    text(&bench, USER, "create view own as select a from secret").await;
    assert_eq!(rows(&bench, "select a from own").await, ["42"]);
    // With another owner it would go on to read what was granted to the user only until now.
    refused(&bench, "alter view own changeowner to 'ALIYUN$demo'", "CHANGEOWNER").await;
    text(&bench, OWNER, "revoke select on secret from user ALIYUN$other").await;
    refused(&bench, "select a from own", "tables/secret}").await;
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_shown_and_killed_by_those_who_may_see_them() {
    let bench = open().await;
    let foreign = run_as(&bench, OWNER, "select 'a secret text'", &[]).await.id;
    let own = run_as(&bench, USER, "select 'mine'", &[]).await.id;
    let listed = text(&bench, USER, "show p").await;
    assert!(listed.contains(&own) && !listed.contains(&foreign) && !listed.contains("a secret text"), "{listed}");
    let listed = text(&bench, OWNER, "show p").await;
    assert!(listed.contains(&own) && listed.contains(&foreign), "{listed}");
    assert_eq!(text(&bench, USER, &format!("status {own}")).await, "Success\n");
    let described = text(&bench, OWNER, &format!("desc instance {own}")).await;
    // client: odpscmd prints each pair with "%-40s%-40s".
    assert!(described.contains(&format!("{:<40}{:<40}\n", "Owner", USER)), "{described}");
    assert!(described.contains("select 'mine'"), "{described}");
    for statement in ["status", "kill", "desc instance"] {
        refused(&bench, &format!("{statement} {foreign}"), &format!("instances/{foreign}")).await;
    }
    let ended = run_as(&bench, USER, &format!("kill {own}"), &[]).await.error.unwrap_or_default();
    assert!(ended.starts_with("ODPS-0130071:") && ended.contains("has ended already"), "{ended}");
    // A job that waits: no process has claimed it.
    let meta = bench.warehouse.meta();
    let waiting = Instance {
        id: "20240101000000000g2abcdefghjk".into(),
        project: "demo".into(),
        owner: USER.into(),
        // Another process has it, so that nothing here runs it.
        state: InstanceState::Running,
        node: "elsewhere".into(),
        query: "select 1".into(),
        settings: "{}".into(),
        summary: "{}".into(),
        submitted_ms: 1,
        ..Instance::default()
    };
    meta.create_instance(&waiting).await.unwrap();
    for _again in 0..2 {
        let killed = text(&bench, USER, &format!("kill {}", waiting.id)).await;
        assert_eq!(killed, format!("Instance {} is killed.\n", waiting.id));
    }
    assert!(meta.instance("demo", &waiting.id).await.unwrap().unwrap().stop_requested);
    // A page of a job shows how the same SQL went before.
    let again = run_as(&bench, USER, "select 'a secret text'", &[]).await;
    assert_eq!(bench.warehouse.earlier_run(&again).await.unwrap(), None);
    let again = run_as(&bench, OWNER, "select 'a secret text'", &[]).await;
    assert!(bench.warehouse.earlier_run(&again).await.unwrap().is_some());
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_about_rights_takes_effect_once_and_not_by_a_token() {
    let bench = open().await;
    let meta = bench.warehouse.meta();
    let token = [(TOKEN_SETTING, TOKEN_TABLES), FULL];
    for query in ["create role r", "show grants", "list roles"] {
        let error = run_as(&bench, OWNER, query, &token).await.error.unwrap_or_default();
        assert!(error.starts_with("ODPS-0130013:") && error.contains("bearer token"), "{query}: {error}");
    }
    let jobs = ["show p", "status x", "kill x", "desc instance x", "setproject"];
    // What is no table: the policy of the token was not asked about it.
    let others = ["drop function f", "drop resource r.py", "create schema s"];
    for query in jobs.into_iter().chain(others) {
        let error = run_as(&bench, OWNER, query, &token).await.error.unwrap_or_default();
        assert!(error.starts_with("ODPS-0130013:") && error.contains("bearer token"), "{query}: {error}");
    }
    let jobs = [(TOKEN_SETTING, TOKEN_JOBS)];
    assert_eq!(run_as(&bench, OWNER, "show p", &jobs).await.state, InstanceState::Success);
    assert_eq!(run_as(&bench, OWNER, "kill x", &jobs).await.state, InstanceState::Failed);
    assert!(meta.roles("demo", None).await.unwrap().is_empty());
    let ended = run_as(&bench, OWNER, "create role r; grant r to ALIYUN$other; select 1", &[]).await;
    assert_eq!((ended.state, ended.step), (InstanceState::Success, 2), "two statements have advanced the job");
    // The address of its own runs the same statements and refuses all others.
    let ask = |text: &str, account: &str, by_token: bool| SecurityRequest {
        account: account.into(),
        by_token,
        project: "demo".into(),
        schema: "default".into(),
        has_schemas: false,
        text: text.into(),
    };
    let answer = bench.warehouse.security(ask("LIST ROLES;", OWNER, false)).await.unwrap();
    assert_eq!(answer, SecurityAnswer::Text("r\n".into()));
    bench.warehouse.security(ask("grant select on t to role r", OWNER, false)).await.unwrap();
    assert_eq!(rows(&bench, "select count(a) from t where ds = '1'").await, ["2"]);
    let user = Grantee::Role("r".into());
    assert_eq!(meta.grants("demo", Some(&user)).await.unwrap().len(), 1);
    assert!(!meta.is_granted("demo", USER_ID, &Securable::Project, "Select").await.unwrap());
    for (text, account, by_token, code) in [
        ("select 1", OWNER, false, "MethodNotAllowed"),
        ("drop table t", OWNER, false, "MethodNotAllowed"),
        ("whoami; list roles", OWNER, false, "MethodNotAllowed"),
        ("put policy p.json", OWNER, false, "MethodNotAllowed"),
        ("drop role r", USER, false, "NoPermission"),
        ("list roles", OWNER, true, "NoPermission"),
        ("grant select on nothing to role r", OWNER, false, "NoSuchTable"),
        ("grant r to ALIYUN$nobody", OWNER, false, "NoSuchObject"),
    ] {
        let e = bench.warehouse.security(ask(text, account, by_token)).await.unwrap_err();
        assert_eq!(e.code(), code, "{text}: {e}");
    }
    bench.warehouse.shutdown().await;
}
