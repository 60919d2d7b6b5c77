//! The commands that talk to a server: what they print, and how they end.

use std::io::Read;
use std::process::Stdio;

use clap::CommandFactory;
use feitian::cli::Cli;
use feitian::config::{Config, Sources};
use feitian::failure::{Answer, Result};
use feitian::up::Server;
use serde_json::{Value, json};

use crate::process::{Up, expect, feitian, json, run, text};

/// Runs a command line in this process; its answer and its stdout.
fn in_process(args: &[&str]) -> (Result<Answer>, String) {
    let args = ["feitian"].iter().chain(args).map(std::ffi::OsString::from);
    let cli: Cli = feitian::parse(args).unwrap();
    let mut out = Vec::new();
    let answer = feitian::run(cli.command, &mut out);
    (answer, text(&out))
}

#[test]
fn a_server_in_the_process_answers_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d").display().to_string();
    let flag = |key: &str, value: &str| (key.to_string(), value.to_string(), "test".to_string());
    let sources = Sources { flags: vec![flag("data", &data), flag("listen", "127.0.0.1:0")], ..Sources::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut server = runtime.block_on(Server::start(&Config::load(&sources).unwrap())).unwrap();
    assert!(server.first);
    let (answer, out) = in_process(&["project", "list", "--data", &data, "--output", "csv"]);
    assert_eq!(answer.unwrap(), Answer::Done);
    assert!(out.starts_with("name,owner,comment,created_ms,modified_ms\ndemo,ALIYUN$demo,,"), "{out}");
    let (answer, out) = in_process(&["status", "--data", &data, "--json"]);
    assert_eq!(answer.unwrap(), Answer::Done);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["endpoint"], server.endpoint);
    let (answer, _) = in_process(&["project", "show", "nowhere", "--data", &data]);
    assert_eq!(answer.unwrap_err().exit_code(), 1);
    runtime.block_on(server.stop());
    let (answer, _) = in_process(&["project", "list", "--data", &data]);
    let failure = answer.unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.message().contains("cannot reach"), "{failure:?}");
}

#[test]
fn instances_of_the_table_store_make_the_round() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let d = dir.path();
    let at = up.credentials().ots_endpoint.unwrap();
    assert!(up.banner.contains(&at) && at.starts_with("http://127.0.0.1:"), "{}", up.banner);
    let made = json(d, &["ots", "instance", "create", "Shop"]);
    assert_eq!((&made["name"], &made["account"]), (&json!("shop"), &json!("ALIYUN$demo")));
    let list = json(d, &["ots", "instance", "list"]);
    assert_eq!((&list[0]["name"], &list[1]["name"], &list[2]), (&json!("demo"), &json!("shop"), &Value::Null));
    assert_eq!(json(d, &["ots", "instance", "tables", "shop"]), json!([]));
    let (_, err) = expect(d, 2, &["ots", "instance", "create", "a_b"]);
    assert!(err.contains("3 to 16"), "{err}");
    let (_, err) = expect(d, 2, &["ots", "instance", "delete", "shop"]);
    assert!(err.contains("--yes"), "{err}");
    expect(d, 0, &["ots", "instance", "delete", "shop", "--yes"]);
    expect(d, 1, &["ots", "instance", "tables", "shop"]);
    up.stop();
}

// OTSObjectNotExist and OTSAuthFailed are what the service answers (its documentation, "Error codes").
#[test]
fn an_export_that_cannot_begin_makes_no_directory() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (up, d) = (Up::start(dir.path()), dir.path());
    let to = outside.path().join("out").display().to_string();
    let export = |code, more: &[&str]| {
        let args: Vec<&str> = ["ots", "export"].iter().chain(more).chain(&["--to", to.as_str()]).copied().collect();
        let (_, err) = expect(d, code, &args);
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "{more:?}");
        err
    };
    let err = export(1, &["demo", "nothing"]);
    assert!(err.contains("OTSObjectNotExist"), "{err}");
    let err = export(2, &["nobody", "nothing"]);
    assert!(err.contains("OTSAuthFailed"), "{err}");
    let err = export(2, &["demo", "nothing", "--endpoint", "http://127.0.0.1:1"]);
    assert!(err.contains("--ots-endpoint"), "{err}");
    // The server's other port is no table store.
    let other = format!("http://{}", up.address());
    let err = export(2, &["demo", "nothing", "--ots-endpoint", &other]);
    assert!(err.contains("without saying why") && err.contains("is this the port"), "{err}");
    up.stop();
    let err = export(2, &["demo", "nothing"]);
    assert!(err.contains("cannot reach the table store"), "{err}");
}

#[test]
fn accounts_keys_and_projects_make_the_round() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let d = dir.path();
    let anna = json(d, &["account", "create", "ALIYUN$anna"]);
    assert_eq!((&anna["name"], &anna["enabled"], &anna["admin"]), (&json!("ALIYUN$anna"), &json!(true), &json!(false)));
    let new = json(d, &["key", "create", "--account", "ALIYUN$anna"]);
    assert_eq!(new["account_id"], anna["id"]);
    assert_eq!(new["sts_token"], Value::Null);
    let id = new["access_id"].as_str().unwrap();
    let key = format!("{id}:{}", new["secret"].as_str().unwrap());

    let sales = json(d, &["project", "create", "sales", "--comment", "reports", "--set", "odps.sql.timezone=UTC"]);
    assert_eq!((&sales["owner"], &sales["comment"]), (&json!("ALIYUN$demo"), &json!("reports")));
    assert_eq!(sales["properties"]["odps.sql.timezone"], "UTC");
    let names = |value: Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(names(json(d, &["project", "list"])), ["demo", "sales"]);
    assert_eq!(names(json(d, &["project", "list", "--prefix", "sa"])), ["sales"]);
    assert!(names(json(d, &["project", "list", "--key", &key])).is_empty());
    expect(d, 2, &["project", "show", "sales", "--key", &key]);
    assert_eq!(names(json(d, &["project", "admit", "sales", "ALIYUN$anna"])), ["ALIYUN$demo", "ALIYUN$anna"]);
    assert_eq!(names(json(d, &["project", "list", "--key", &key])), ["sales"]);
    assert_eq!(names(json(d, &["project", "expel", "sales", "ALIYUN$anna", "--yes"])), ["ALIYUN$demo"]);
    let shown = json(d, &["project", "set", "sales", "odps.sql.timezone=", "a.b=c"]);
    assert_eq!(shown["properties"]["a.b"], "c");
    assert_ne!(shown["properties"]["odps.sql.timezone"], "UTC");
    expect(d, 0, &["project", "delete", "sales", "--yes"]);
    expect(d, 1, &["project", "show", "sales"]);

    expect(d, 0, &["key", "disable", id, "--yes"]);
    expect(d, 2, &["project", "list", "--key", &key]);
    expect(d, 0, &["key", "enable", id]);
    expect(d, 0, &["project", "list", "--key", &key]);
    expect(d, 0, &["account", "disable", "ALIYUN$anna", "--yes"]);
    expect(d, 2, &["project", "list", "--key", &key]);
    expect(d, 0, &["account", "enable", "ALIYUN$anna"]);
    expect(d, 2, &["account", "list", "--key", &key]);
    let all = names(json(d, &["account", "list"]));
    assert_eq!(all, ["ALIYUN$anna", "ALIYUN$demo"]);
    up.stop();
}

#[test]
fn a_temporary_key_needs_its_token() {
    let dir = tempfile::tempdir().unwrap();
    let _up = Up::start(dir.path());
    let new = json(dir.path(), &["key", "create", "--sts", "1h"]);
    let key = format!("{}:{}", new["access_id"].as_str().unwrap(), new["secret"].as_str().unwrap());
    let token = new["sts_token"].as_str().unwrap();
    expect(dir.path(), 0, &["project", "list", "--key", &key, "--sts-token", token]);
    expect(dir.path(), 2, &["project", "list", "--key", &key]);
    let age = new["expires_ms"].as_i64().unwrap() - feitian_base::clock::now_ms();
    assert!((3_500_000..=3_600_000).contains(&age), "an hour is 3,600,000 ms, not {age}");
}

#[test]
fn endpoint_and_key_come_from_the_environment_too() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let c = up.credentials();
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, err) = expect(elsewhere.path(), 2, &["project", "list"]);
    assert!(err.contains("credentials") && err.contains("hint: "), "{err}");
    let mut command = feitian(elsewhere.path());
    command.args(["project", "list"]).env("FEITIAN_ENDPOINT", &c.endpoint);
    command.env("FEITIAN_KEY", format!("{}:{}", c.access_id, c.secret));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let key = format!("{}:{}x", c.access_id, c.secret);
    let (_, err) = expect(dir.path(), 2, &["project", "list", "--key", &key]);
    assert!(err.contains("SignatureNotMatch") && !err.contains(&c.secret), "{err}");
}

#[test]
fn sql_prints_rows_and_ends_with_the_outcome_of_the_job() {
    let dir = tempfile::tempdir().unwrap();
    let _up = Up::start(dir.path());
    let d = dir.path();
    expect(d, 0, &["sql", "-e", "create table t (id bigint, name string)"]);
    expect(d, 0, &["sql", "-e", "insert into t values (1, 'a,b'), (2, null)"]);
    let query = "select id, name from t order by id limit 10";
    let rows = json(d, &["sql", "-e", query]);
    let want = json!({
        "columns": [{"name": "id", "type": "bigint"}, {"name": "name", "type": "string"}],
        "rows": [["1", "a,b"], ["2", null]],
    });
    assert_eq!(rows, want);
    assert_eq!(expect(d, 0, &["sql", "-e", query, "--output", "csv"]).0, "id,name\n1,\"a,b\"\n2,\n");
    assert_eq!(expect(d, 0, &["sql", "-e", query]).0, "id  name\n 1  a,b\n 2  NULL\n");
    std::fs::write(d.join("q.sql"), query).unwrap();
    assert_eq!(json(d, &["sql", "-f", "q.sql"]), want);

    let (out, err) = expect(d, 1, &["sql", "-e", "select * from nowhere"]);
    assert!(out.is_empty() && err.contains("ODPS-0130131") && err.contains("nowhere"), "{err}");
    expect(d, 2, &["sql"]);
    expect(d, 2, &["sql", "-e", "select 1", "--set", "novalue"]);
    expect(d, 2, &["sql", "-f", "missing.sql"]);
    expect(d, 1, &["sql", "-e", "select 1", "--project", "nowhere"]);

    let list = json(d, &["instance", "list", "--limit", "100"]);
    let states: Vec<_> = list.as_array().unwrap().iter().map(|i| i["state"].as_str().unwrap()).collect();
    // Newest first: the failed one, then the two statements and four queries before it.
    assert_eq!(states, ["Failed", "Success", "Success", "Success", "Success", "Success", "Success"]);
    let newest = list[0]["id"].as_str().unwrap();
    let shown = json(d, &["instance", "show", newest]);
    assert_eq!(shown["query"], "select * from nowhere");
    expect(d, 1, &["instance", "result", newest]);
    let query_id = list[1]["id"].as_str().unwrap();
    assert_eq!(json(d, &["instance", "result", query_id]), want);
    let (text, _) = expect(d, 0, &["instance", "show", query_id]);
    assert!(text.contains("SKEW") && text.contains("M1_job_0"), "{text}");
    let shown = json(d, &["instance", "show", query_id]);
    assert_eq!(shown["profile"]["rows_out"], 2, "{shown}");
    expect(d, 1, &["instance", "show", "20240101000000000gnothere"]);
}

#[test]
fn usage_errors_end_with_2_and_help_with_0() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["frobnicate"][..], &["project"], &["project", "list", "--nope"], &["key", "create", "--sts", "soon"]]
    {
        expect(dir.path(), 2, args);
    }
    for args in
        [&["--help"][..], &["up", "--help"], &["sql", "--help"], &["project", "create", "--help"], &["--version"]]
    {
        expect(dir.path(), 0, args);
    }
    let (help, _) = expect(dir.path(), 0, &["up", "--help"]);
    for key in feitian::config::KEYS {
        assert!(help.contains(key.name) && help.contains(key.default), "{}", key.name);
    }
}

#[test]
fn the_long_help_of_every_command_has_an_example() {
    let mut left = vec![Cli::command()];
    let mut walked: Vec<String> = Vec::new();
    while let Some(mut command) = left.pop() {
        let help = command.render_long_help().to_string();
        let has_one = help.contains("Example:\n") || help.contains("Examples:\n");
        assert!(has_one, "`{}` has none:\n{help}", command.get_name());
        walked.push(command.get_name().to_string());
        // clap adds `help` by itself; what is hidden is not offered.
        let below = command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help");
        left.extend(below.cloned());
    }
    for name in ["feitian", "up", "members", "expel", "enable", "stop", "explain"] {
        assert!(walked.iter().any(|w| w == name), "{name} is not among {walked:?}");
    }
}

#[test]
fn what_takes_something_away_asks_first() {
    let dir = tempfile::tempdir().unwrap();
    let _up = Up::start(dir.path());
    let (_, err) = expect(dir.path(), 2, &["project", "delete", "demo"]);
    assert!(err.contains("--yes"), "{err}");
    expect(dir.path(), 0, &["project", "show", "demo"]);
    expect(dir.path(), 0, &["project", "delete", "demo", "--yes"]);
    expect(dir.path(), 1, &["project", "show", "demo"]);
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let _up = Up::start(dir.path());
    let mut child =
        feitian(dir.path()).args(["project", "list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{err}");
    assert_eq!(err, "");
}

#[test]
fn check_proves_a_directory_that_no_server_uses() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    expect(dir.path(), 0, &["sql", "-e", "create table t as select 1 as x"]);
    up.stop();
    let report = json(dir.path(), &["check", "feitian-data"]);
    assert_eq!((&report["tables"], &report["rows"], &report["problems"]), (&json!(1), &json!(1), &json!([])));
    // A data file that is gone is a negative answer.
    let table = glob(&dir.path().join("feitian-data/warehouse/demo"));
    let file = std::fs::read_dir(&table).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some()).unwrap();
    std::fs::remove_file(&file).unwrap();
    let output = run(dir.path(), &["check", "feitian-data", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(report["problems"][0].as_str().unwrap().contains(name), "{report}");
    expect(dir.path(), 1, &["check", "nowhere"]);
}

/// The one directory in `dir`.
fn glob(dir: &std::path::Path) -> std::path::PathBuf {
    std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().path()
}
