//! What policies and labels take from the users of a project and give to them, statement by statement.

use feitian_meta::InstanceState;

use crate::sql::{Bench, OWNER};
use crate::users::{USER, USER_ID, open, refused, rows, run_as, text};

const SELECT: &str = "odps:Select";

/// A policy of `demo` with one statement about `USER`.
async fn put(bench: &Bench, effect: &str, action: &str, name: &str) {
    let document = format!(
        r#"{{"Version":"1","Statement":[{{"Effect":"{effect}","Principal":"{USER}","Action":"{action}","Resource":"acs:odps:*:projects/demo{name}"}}]}}"#
    );
    bench.warehouse.meta().put_policy("demo", None, &document).await.unwrap();
}

/// How often the user sees rows of the query.
async fn count(bench: &Bench, query: &str) -> usize {
    rows(bench, query).await.len()
}

// MaxCompute documentation, "Policy-based access control".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_allows_and_denies_what_statements_ask_for() {
    let bench = open().await;
    put(&bench, "Allow", "odps:Select", "/tables/s*").await;
    assert_eq!(rows(&bench, "select a from secret").await, ["42"]);
    refused(&bench, "select * from t", SELECT).await;
    refused(&bench, "insert into secret values (1)", "odps:Update").await;
    text(&bench, OWNER, "grant all on table secret to user ALIYUN$other").await;
    put(&bench, "Deny", "odps:Select", "/tables/secret").await;
    for query in [
        "select * from secret",
        "select a from t where exists (select 1 from secret)",
        "create table mine as select a from secret",
        "clone table secret to mine",
        "explain select * from secret",
        "delete from secret where a = 42",
        "select table_exists('secret')",
        "analyze table secret compute statistics for columns",
    ] {
        let error = run_as(&bench, USER, query, &[]).await.error.unwrap_or_default();
        assert!(error.starts_with("ODPS-0130013:"), "{query}: {error}");
    }
    text(&bench, USER, "insert into secret values (1)").await;
    // Under another name the policy would not know it.
    refused(&bench, "alter table secret rename to opened", "the new name would give").await;
    // The owner of the project is free.
    text(&bench, OWNER, "alter table secret rename to opened").await;
    assert_eq!(count(&bench, "select a from opened").await, 2);
    // What belongs to the user is denied as well.
    text(&bench, OWNER, "grant createtable on project to user ALIYUN$other").await;
    text(&bench, USER, "create table secret (a bigint)").await;
    refused(&bench, "select a from secret", SELECT).await;
    put(&bench, "Deny", "odps:CreateTable", "").await;
    refused(&bench, "create table another (a bigint)", "odps:CreateTable").await;
    put(&bench, "Deny", "odps:CreateFunction", "").await;
    text(&bench, OWNER, "grant write on project to user ALIYUN$other").await;
    refused(&bench, "create function f as 'mod.Class' using ''", "odps:Write").await;
    text(&bench, USER, "drop function if exists f").await;
    put(&bench, "Deny", "odps:Delete", "/functions/f").await;
    refused(&bench, "drop function if exists f", "odps:Write").await;
    put(&bench, "Deny", "odps:Read", "/instances/*").await;
    let own = run_as(&bench, USER, "select 1", &[]).await.id;
    refused(&bench, &format!("status {own}"), &format!("instances/{own}")).await;
    put(&bench, "Deny", "odps:List", "").await;
    refused(&bench, "show p", "odps:List").await;
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admitted_account_that_is_denied_something_is_asked_for_everything() {
    let bench = Bench::open().await;
    bench.warehouse.meta().admit("demo", USER_ID).await.unwrap();
    text(&bench, OWNER, "create table secret (a bigint); insert into secret values (42)").await;
    text(&bench, OWNER, "create view over_secret as select a from secret; create table t (a bigint)").await;
    let foreign = run_as(&bench, OWNER, "select 'a secret text'", &[]).await.id;
    let sees = "select table_name from sys.tables where project = 'demo'";
    assert_eq!((count(&bench, "select a from secret").await, count(&bench, sees).await), (1, 3));
    put(&bench, "Deny", "odps:Select", "/tables/secret").await;
    refused(&bench, "select a from secret", SELECT).await;
    assert_eq!(rows(&bench, "select count(*) from t").await, ["0"]);
    text(&bench, USER, "create table mine (a bigint); insert into t values (1); drop table mine").await;
    // What others made of the table could hold its rows.
    assert_eq!(count(&bench, sees).await, 0);
    assert!(!text(&bench, USER, "show p").await.contains(&foreign));
    refused(&bench, &format!("desc instance {foreign}"), "odps:Read").await;
    for change in [
        "alter table secret rename to opened",
        "alter table secret changeowner to 'ALIYUN$other'",
        "alter view over_secret as select a from secret",
        "create view mine as select a from secret",
        "get policy",
    ] {
        let ended = run_as(&bench, USER, change, &[]).await;
        assert!(ended.error.unwrap_or_default().starts_with("ODPS-0130013:"), "{change}");
    }
    bench.warehouse.meta().put_policy("demo", None, "").await.unwrap();
    assert_eq!((count(&bench, "select a from secret").await, count(&bench, sees).await), (1, 3));
    bench.warehouse.shutdown().await;
}

/// `people (name, pay)`, of which `pay` has label 3, and a user with `All` on it and label 0.
async fn labelled() -> Bench {
    let bench = open().await;
    for query in [
        "create table people (name string, pay bigint) tblproperties ('transactional'='true')",
        "insert into people values ('anna', 7), ('bert', 9)",
        "create view pays as select name, pay from people",
        "grant all on people to user ALIYUN$other; grant select on pays to user ALIYUN$other",
        "grant select on t to user ALIYUN$other",
        "grant createtable on project to user ALIYUN$other",
        "set labelsecurity=true; set label 3 to table people(pay)",
    ] {
        text(&bench, OWNER, query).await;
    }
    bench
}

// MaxCompute documentation, "Label-based access control": No-ReadUp.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_reads_a_column_above_the_label_of_the_user() {
    let bench = labelled().await;
    assert_eq!(rows(&bench, "select name from people order by name limit 9").await, ["anna", "bert"]);
    assert_eq!(rows(&bench, "select count(*) from people").await, ["2"]);
    assert_eq!(rows(&bench, "select p.name from people p where p.name > 'b'").await, ["bert"]);
    for query in [
        "select * from people",
        "select pay from people",
        "select name from people where pay > 8",
        "select name from people where name > 'a' and pay = 9 limit 1",
        "select max(pay) from people",
        "select count(pay + 1) from people",
        "select name, pay from people order by pay limit 1",
        "select a.name from people a join people b on a.pay = b.pay",
        "select name from people group by name having max(pay) > 8",
        "select name from people where pay in (select 7 as x)",
        "select 1 as x where exists (select 1 from people where pay = 7)",
        "with w as (select * from people) select w.pay from w",
        "select name, row_number() over (order by pay) from people",
        "create table mine as select * from people",
        "explain select pay from people",
        "clone table people to mine",
        "select pay from people version as of 1",
        "restore table people to lsn '1' as mine",
        "show statistic people columns (pay)",
        "delete from people where pay = 7",
        "update people set name = 'x' where pay = 7",
        "merge into people using t on people.pay = t.a when matched then delete",
    ] {
        let error = run_as(&bench, USER, query, &[("odps.sql.allow.fullscan", "true")]).await.error.unwrap_or_default();
        assert!(error.starts_with("ODPS-0130013:") && error.contains("'pay'"), "{query}: {error}");
    }
    // A view shows what its owner may see: its labels are its own.
    assert_eq!(rows(&bench, "select sum(pay) from pays").await, ["16"]);
    text(&bench, USER, "insert into people values ('carl', 1)").await;
    text(&bench, OWNER, "set labelsecurity=false").await;
    assert_eq!(rows(&bench, "select sum(pay) from people").await, ["17"]);
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_of_a_user_a_role_or_a_grant_opens_a_column_and_its_name_stays() {
    let bench = labelled().await;
    let (read, hidden) = ("select max(pay) from people", "'pay'");
    refused(&bench, read, hidden).await;
    text(&bench, OWNER, "set label 2 to user ALIYUN$other").await;
    refused(&bench, read, hidden).await;
    text(&bench, OWNER, "grant label 3 on table people(pay) to user ALIYUN$other with exp 1").await;
    assert_eq!(rows(&bench, read).await, ["9"]);
    assert!(text(&bench, USER, "show label grants").await.starts_with("user/ALIYUN$other\tpeople\tpay\t3\t"));
    text(&bench, OWNER, "revoke label on table people(pay) from user ALIYUN$other").await;
    refused(&bench, read, hidden).await;
    text(&bench, OWNER, "create role clerk; set label 3 to role clerk; grant clerk to ALIYUN$other").await;
    assert_eq!(rows(&bench, read).await, ["9"]);
    text(&bench, OWNER, "revoke clerk from ALIYUN$other").await;
    refused(&bench, read, hidden).await;
    for change in [
        "alter table people rename column pay to opened",
        "alter table people change column pay opened bigint",
        "alter table people drop columns pay",
        "alter table people replace columns (name string)",
    ] {
        for who in [USER, OWNER] {
            let ended = run_as(&bench, who, change, &[]).await;
            assert!(ended.error.unwrap_or_default().contains("column pay has the label 3"), "{who} {change}");
        }
    }
    for statement in ["set label 0 to table people(pay)", "set label 9 to user ALIYUN$other", "set labelsecurity=false"]
    {
        refused(&bench, statement, "may not change who may do what").await;
    }
    text(&bench, OWNER, "set label 0 to table people(pay)").await;
    assert_eq!(rows(&bench, read).await, ["9"]);
    assert_eq!(run_as(&bench, OWNER, "alter table people drop columns pay", &[]).await.state, InstanceState::Success);
    // Nor does a column take the label or the grant that another one of its new name had.
    text(&bench, OWNER, "set label 3 to table people").await;
    let renamed = "alter table people rename column name to pay";
    let error = run_as(&bench, USER, renamed, &[]).await.error.unwrap_or_default();
    assert!(error.contains("column pay would have the label 0"), "{error}");
    text(&bench, OWNER, "grant label 3 on table people(name) to user ALIYUN$other").await;
    let renamed = "alter table people rename column name to other";
    let error = run_as(&bench, USER, renamed, &[]).await.error.unwrap_or_default();
    assert!(error.contains("a label was granted on column name"), "{error}");
    bench.warehouse.shutdown().await;
}
