//! Starting: what the first start creates, what a later one keeps, and what is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::process::{Up, expect, feitian, json, run, text};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_shows_the_secret_and_a_later_one_says_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let first = Up::start(dir.path());
    let c = first.credentials();
    for part in ["from odps import ODPS", &c.endpoint, &c.project, &c.access_id, &c.secret] {
        assert!(first.banner.contains(part), "{part} in {}", first.banner);
    }
    assert_eq!(c.project, "demo");
    for name in ["credentials", "master.key"] {
        assert_eq!(mode(&first.data().join(name)), 0o600, "{name}");
    }
    first.stop();
    let second = Up::start(dir.path());
    let later = second.credentials();
    assert_eq!((&later.access_id, &later.secret), (&c.access_id, &c.secret), "nothing was created again");
    assert!(!second.banner.contains(&c.secret) && second.banner.contains("credentials"), "{}", second.banner);
    expect(dir.path(), 0, &["project", "show", "demo"]);
}

#[test]
fn it_is_ready_within_a_second_on_an_empty_directory() {
    // The best of some: other tests run at the same time.
    let best = (0..5).map(|_| Up::start(tempfile::tempdir().unwrap().path()).took).min().unwrap();
    assert!(best < Duration::from_secs(1), "{best:?}");
}

#[test]
fn a_second_server_on_the_directory_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let first = Up::start(dir.path());
    let (_, err) = expect(dir.path(), 2, &["up", "--listen", "127.0.0.1:0"]);
    let data = first.data().canonicalize().unwrap();
    assert!(err.contains(data.to_str().unwrap()) && err.contains(&first.child.id().to_string()), "{err}");
    assert!(err.contains("hint: "), "{err}");
    let (_, err) = expect(dir.path(), 2, &["check", data.to_str().unwrap()]);
    assert!(err.contains("in use"), "{err}");
}

#[test]
fn a_taken_port_is_refused_and_leaves_no_account_behind() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_, err) = expect(dir.path(), 2, &["up", "--listen", &address]);
    assert!(err.contains(&address) && err.contains("--listen"), "{err}");
    let (_, err) = expect(dir.path(), 2, &["up", "--listen", "127.0.0.1:0", "--ots-listen", &address]);
    assert!(err.contains(&address) && err.contains("--ots-listen"), "{err}");
    assert!(!dir.path().join("feitian-data/credentials").exists());
}

#[test]
fn a_newer_data_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Up::start(dir.path()).stop();
    std::fs::write(dir.path().join("feitian-data/VERSION"), "999 x\n").unwrap();
    let (_, err) = expect(dir.path(), 2, &["up", "--listen", "127.0.0.1:0"]);
    assert!(err.contains("999") && err.contains("newer"), "{err}");
}

#[test]
fn a_master_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Up::start(dir.path()).stop();
    let key = dir.path().join("feitian-data/master.key");
    for wide in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(wide)).unwrap();
        let (_, err) = expect(dir.path(), 2, &["up", "--listen", "127.0.0.1:0"]);
        assert!(err.contains("master.key") && err.contains("chmod 600"), "{wide:o}: {err}");
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    Up::start(dir.path()).stop();
}

#[test]
fn a_master_key_that_does_not_open_the_secrets_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Up::start(dir.path()).stop();
    let key = dir.path().join("feitian-data/master.key");
    let right = std::fs::read(&key).unwrap();
    // 32 zero bytes are 43 `A` and one `=` in base64 (RFC 4648, section 4).
    std::fs::write(&key, format!("{}=\n", "A".repeat(43))).unwrap();
    let (_, err) = expect(dir.path(), 2, &["up", "--listen", "127.0.0.1:0"]);
    assert!(err.contains("is not the one"), "{err}");
    std::fs::remove_file(&key).unwrap();
    let (_, err) = expect(dir.path(), 2, &["up", "--listen", "127.0.0.1:0"]);
    assert!(err.contains("missing") && err.contains("--master-key"), "{err}");
    assert!(!key.exists(), "no other key was made in its place");
    // The key may be elsewhere.
    let elsewhere = dir.path().join("k");
    std::fs::write(&elsewhere, right).unwrap();
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o600)).unwrap();
    Up::start_with(dir.path(), &["--master-key", elsewhere.to_str().unwrap()]).stop();
}

#[test]
fn a_first_start_that_is_killed_between_any_two_steps_is_completed_by_the_next() {
    let points = [
        "start.after_master_key_file",
        "start.after_master_key",
        "start.after_credentials",
        "start.after_account",
        "start.after_key",
        "start.after_project",
        "start.after_instance",
        "start.after_done",
    ];
    for point in points {
        let dir = tempfile::tempdir().unwrap();
        let mut command = feitian(dir.path());
        command.args(["up", "--listen", "127.0.0.1:0"]).env("FEITIAN_FAILPOINTS", point).stderr(Stdio::null());
        let killed = command.output().unwrap();
        assert_eq!(killed.status.code(), None, "{point} ends the process by a signal: {}", text(&killed.stdout));
        let up = Up::start(dir.path());
        assert_eq!(up.banner.contains(&up.credentials().secret), point != "start.after_done", "{point}");
        let projects = json(dir.path(), &["project", "list"]);
        assert_eq!(projects[0]["name"], "demo", "{point}");
        assert_eq!(projects[0]["owner"], "ALIYUN$demo", "{point}");
        let instances = json(dir.path(), &["ots", "instance", "list"]);
        assert_eq!(instances.as_array().unwrap().len(), 1, "{point}: {instances}");
        assert_eq!(instances[0]["name"], "demo", "{point}");
        assert_eq!(instances[0]["account"], "ALIYUN$demo", "{point}");
        let keys = json(dir.path(), &["key", "list"]);
        assert_eq!(keys.as_array().unwrap().len(), 1, "{point}: {keys}");
        up.stop();
    }
}

#[test]
fn a_deleted_key_does_not_come_back_with_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let first = up.credentials().access_id;
    let new = json(dir.path(), &["key", "create"]);
    let key = format!("{}:{}", new["access_id"].as_str().unwrap(), new["secret"].as_str().unwrap());
    expect(dir.path(), 0, &["key", "delete", &first, "--yes", "--key", &key]);
    up.stop();
    let _up = Up::start(dir.path());
    let keys = json(dir.path(), &["key", "list", "--key", &key]);
    assert_eq!(keys.as_array().unwrap().len(), 1);
    let (_, err) = expect(dir.path(), 2, &["project", "list"]);
    assert!(err.starts_with("error: "), "{err}");
}

#[test]
fn misspelt_settings_are_refused_before_anything_is_created() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("feitian.toml"), "lisen = '127.0.0.1:0'\n").unwrap();
    let (_, err) = expect(dir.path(), 2, &["up"]);
    assert!(err.contains("lisen") && err.contains("did you mean `listen`?"), "{err}");
    assert!(!dir.path().join("feitian-data").exists());
    std::fs::remove_file(dir.path().join("feitian.toml")).unwrap();
    let (_, err) = expect(dir.path(), 2, &["up", "--set", "query.memoryy=1GiB"]);
    assert!(err.contains("query.memoryy"), "{err}");
}

#[test]
fn logs_are_json_lines_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = feitian(dir.path());
    command.args(["up", "--listen", "127.0.0.1:0", "--log-format", "json", "--log", "debug"]);
    command.env("FEITIAN_FAILPOINTS", "start.after_done").stdout(Stdio::null());
    let output = command.output().unwrap();
    let lines = text(&output.stderr);
    assert!(!lines.is_empty());
    for line in lines.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(event["level"].is_string() && event["timestamp"].is_string(), "{line}");
    }
}

#[test]
fn a_node_of_a_cluster_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["node", "--roles", "gateway"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("feitian node"), "{}", text(&output.stderr));
}
