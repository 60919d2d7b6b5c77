//! Settings: which source wins, and that nothing unknown is passed over.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use feitian::config::{Config, KEYS, LogFormat, Sources};

fn file(dir: &Path, text: &str) -> Option<PathBuf> {
    let path = dir.join("feitian.toml");
    std::fs::write(&path, text).unwrap();
    Some(path)
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect()
}

fn flag(key: &str, value: &str) -> (String, String, String) {
    (key.to_string(), value.to_string(), format!("--{key}"))
}

fn refused(sources: &Sources) -> String {
    format!("{:?}", Config::load(sources).unwrap_err())
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let text = "listen = '127.0.0.1:1'\n[query]\nmemory = '64MiB'\nspill = '1GiB'\n[server]\ngrace = '5s'\n";
    let sources = Sources {
        file: file(dir.path(), text),
        environment: environment(&[
            ("FEITIAN_LISTEN", "127.0.0.1:2"),
            ("FEITIAN_QUERY__MEMORY", "128MiB"),
            ("HOME", "/"),
        ]),
        flags: vec![flag("listen", "127.0.0.1:3")],
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.listen.port(), 3, "flag");
    assert_eq!(config.query_memory, 128 << 20, "environment");
    assert_eq!(config.query_spill, 1 << 30, "file");
    assert_eq!(config.server_grace, Duration::from_secs(5), "file");
    assert_eq!(config.log_format, LogFormat::Text, "default");
    assert_eq!(Config::defaults().listen.to_string(), "127.0.0.1:7700");
}

#[test]
fn the_table_store_is_beside_the_server_unless_told_otherwise() {
    // The help of `feitian up` promises the next port; RFC 6335, section 6: there is none after 65535.
    for (listen, ots, want) in [
        ("127.0.0.1:7700", None, "127.0.0.1:7701"),
        ("0.0.0.0:80", None, "0.0.0.0:81"),
        ("127.0.0.1:0", None, "127.0.0.1:0"),
        ("[::1]:65535", None, "[::1]:0"),
        ("127.0.0.1:7700", Some("10.0.0.1:9"), "10.0.0.1:9"),
    ] {
        let mut flags = vec![flag("listen", listen)];
        flags.extend(ots.map(|ots| flag("ots.listen", ots)));
        let config = Config::load(&Sources { flags, ..Sources::default() }).unwrap();
        assert_eq!(config.ots_address().to_string(), want, "{listen} {ots:?}");
    }
}

#[test]
fn requests_get_30_seconds_after_sigterm_unless_told_otherwise() {
    // The help of `feitian up` promises so much.
    assert_eq!(Config::defaults().server_grace, Duration::from_secs(30));
}

#[test]
fn unknown_keys_are_refused_with_their_source_and_the_nearest_known_one() {
    let dir = tempfile::tempdir().unwrap();
    let said = refused(&Sources { file: file(dir.path(), "[query]\nmemori = '1GiB'"), ..Sources::default() });
    for word in ["feitian.toml", "`query.memori`", "`query.memory`"] {
        assert!(said.contains(word), "{said}");
    }
    let said = refused(&Sources { file: file(dir.path(), "[qery]\nmemory = '1GiB'"), ..Sources::default() });
    assert!(said.contains("`qery`") && said.contains("`query`"), "{said}");
    let said = refused(&Sources { environment: environment(&[("FEITIAN_LISTENN", "x")]), ..Sources::default() });
    assert!(said.contains("FEITIAN_LISTENN") && said.contains("`listen`"), "{said}");
    let said = refused(&Sources { flags: vec![flag("colour", "x")], ..Sources::default() });
    assert!(said.contains("`colour`") && said.contains("feitian up --help"), "{said}");
}

#[test]
fn variables_that_are_no_settings_are_passed_over() {
    let names = ["FEITIAN_KEY", "FEITIAN_ENDPOINT", "FEITIAN_FAILPOINTS", "FEITIAN_TEST_POSTGRES"];
    // Kubernetes documentation, "Discovering services": set in every pod for a service of this name.
    let kubernetes = ["FEITIAN_SERVICE_HOST", "FEITIAN_SERVICE_PORT", "FEITIAN_PORT", "FEITIAN_PORT_7700_TCP_ADDR"];
    let pairs: Vec<_> = names.iter().chain(&kubernetes).map(|name| (*name, "x")).collect();
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources { file: file(dir.path(), ""), environment: environment(&pairs), flags: Vec::new() };
    assert_eq!(Config::load(&sources).unwrap(), Config::defaults());
}

#[test]
fn a_wrong_value_is_refused_with_its_key_and_what_would_fit() {
    for (key, value, word) in [
        ("listen", "7700", "127.0.0.1:7700"),
        ("query.memory", "1", "16MiB"),
        ("query.memory", "lots", "512MiB"),
        ("query.running_per_project", "0", "at least 1"),
        ("query.running_per_project", "9", "query.running_total"),
        ("server.grace", "30", "30s"),
        ("ots.listen", "7701", "127.0.0.1:7701"),
        ("ots.transactions", "yes", "true"),
        ("ots.tables_per_instance", "0", "at least 1"),
        ("ots.cache", "1", "at least 1MiB"),
        ("server.proxies", "proxy.example", "10.0.0.0/8"),
        ("log.format", "xml", "json"),
        ("data", "", "path"),
    ] {
        let said = refused(&Sources { flags: vec![flag(key, value)], ..Sources::default() });
        assert!(said.contains(key) && said.contains(word), "{key}={value}: {said}");
    }
    let said = refused(&Sources { flags: vec![flag("meta", "mysql://u:hunter2@h/d")], ..Sources::default() });
    assert!(said.contains("postgres://") && !said.contains("hunter2"), "{said}");
}

#[test]
fn paths_in_a_file_are_beside_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources { file: file(dir.path(), "data = 'd'\nmaster_key = '/etc/k'"), ..Sources::default() };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.data, dir.path().join("d"));
    assert_eq!(config.master_key, Some(PathBuf::from("/etc/k")));
}

#[test]
fn a_named_file_must_be_there_and_be_toml() {
    let missing = Sources { file: Some(PathBuf::from("/nonexistent/feitian.toml")), ..Sources::default() };
    assert!(refused(&missing).contains("/nonexistent/feitian.toml"));
    let dir = tempfile::tempdir().unwrap();
    assert!(refused(&Sources { file: file(dir.path(), "listen = "), ..Sources::default() }).contains("feitian.toml"));
}

#[test]
fn every_key_is_documented_and_its_default_is_valid() {
    for key in KEYS {
        assert!(key.doc.ends_with('.'), "{}", key.name);
        assert!(key.name.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c)), "{}", key.name);
    }
    // Panics if a default does not parse.
    Config::defaults();
}

#[test]
fn the_list_of_settings_says_where_each_value_comes_from_and_tells_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let text = "data = 'd'\nlisten = '127.0.0.1:1'\nmaster_key = '/etc/hidden'\n";
    let sources = Sources {
        file: file(dir.path(), text),
        environment: environment(&[("FEITIAN_META", "postgres://u:hunter2@h/d"), ("FEITIAN_QUERY__SPILL", "1GiB")]),
        flags: vec![flag("listen", "127.0.0.1:3")],
    };
    let settings = Config::load(&sources).unwrap().settings();
    assert_eq!(settings.len(), KEYS.len());
    let path = dir.path().join("feitian.toml").display().to_string();
    let directory = dir.path().join("d").display().to_string();
    for (name, value, source, place, is_private) in [
        ("listen", Some("127.0.0.1:3"), "flag", "--listen", false),
        ("query.spill", Some("1GiB"), "environment", "FEITIAN_QUERY__SPILL", false),
        ("query.memory", Some("1GiB"), "default", "", false),
        ("server.proxies", None, "default", "", true),
        ("data", Some(directory.as_str()), "file", path.as_str(), true),
        ("meta", Some("******"), "environment", "FEITIAN_META", true),
        ("master_key", Some("******"), "file", path.as_str(), true),
    ] {
        let s = settings.iter().find(|s| s.name == name).unwrap();
        assert_eq!((s.value.as_deref(), s.source.as_str(), s.place.as_str()), (value, source, place), "{name}");
        assert_eq!(s.is_private, is_private, "{name}");
    }
    let all = format!("{settings:?}");
    assert!(!all.contains("hunter2") && !all.contains("hidden"), "{all}");
}
