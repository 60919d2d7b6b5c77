//! Two processes on one directory and one PostgreSQL.

use std::str::FromStr;
use std::time::{Duration, Instant};

use feitian_base::clock;
use feitian_wire::ots::sign::sign_request;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::process::{Up, expect, json};

/// A new database of the server that `FEITIAN_TEST_POSTGRES` names, dropped with the value.
struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    fn new() -> Self {
        let server = std::env::var("FEITIAN_TEST_POSTGRES").expect(
            "FEITIAN_TEST_POSTGRES must be a postgres:// URL of a server where the tests may create databases; \
             `cargo xtask test` starts one and sets it",
        );
        let name = format!("feitian_up_{}", feitian_base::id::random_text(16));
        let url = PgConnectOptions::from_str(&server).unwrap().database(&name).to_url_lossy().to_string();
        let database = Self { server, name, url };
        database.run(&format!("CREATE DATABASE {}", database.name));
        database
    }

    fn run(&self, sql: &str) {
        sqlx::any::install_default_drivers();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut admin = AnyConnection::connect(&self.server).await.unwrap();
            admin.execute(AssertSqlSafe(sql.to_string())).await.unwrap();
        });
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.run(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// What the table store of a server answers to the owner of `demo`, who asks for its tables.
fn ots_status(up: &Up) -> u16 {
    let c = up.credentials();
    let headers = sign_request((&c.access_id, &c.secret), "demo", "ListTable", b"", clock::now_ms());
    let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{}/ListTable", up.ots_endpoint()));
    let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    request.send().unwrap().status().as_u16()
}

#[test]
fn one_of_two_processes_has_the_table_store_and_the_other_takes_it_over() {
    let database = Database::new();
    let dir = tempfile::tempdir().unwrap();
    let meta = ["--meta", database.url.as_str()];
    let first = Up::start_with(dir.path(), &meta);
    let second = Up::start_with(dir.path(), &meta);
    assert_eq!(ots_status(&first), 200);
    // Tablestore's documentation: OTSPartitionUnavailable is a 503, after which clients try again.
    assert_eq!(ots_status(&second), 503);
    first.stop();
    let end = Instant::now() + Duration::from_secs(60);
    while ots_status(&second) != 200 {
        assert!(Instant::now() < end, "nobody has taken the table store over");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    second.stop();
}

#[test]
fn two_processes_serve_one_directory() {
    let database = Database::new();
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let meta = ["--meta", database.url.as_str()];
    let first = Up::start_with(d, &meta);
    let second = Up::start_with(d, &meta);
    assert!(first.banner.contains(&first.credentials().secret) && !second.banner.contains(&first.credentials().secret));
    let (one, two) = (first.endpoint(), second.endpoint());
    assert_ne!(one, two);

    expect(d, 0, &["sql", "-e", "create table t as select 1 as x", "--endpoint", &one]);
    let rows = json(d, &["sql", "-e", "select x from t", "--endpoint", &two]);
    assert_eq!(rows["rows"], json!([["1"]]));
    expect(d, 0, &["project", "create", "other", "--endpoint", &two]);
    expect(d, 0, &["project", "show", "other", "--endpoint", &one]);

    // SQLite in the same directory would be a second truth.
    let (_, err) = expect(d, 2, &["up", "--listen", "127.0.0.1:0"]);
    assert!(err.contains("in use"), "{err}");
    // Another directory has none of the files that this database speaks of.
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, err) = expect(elsewhere.path(), 2, &["up", "--listen", "127.0.0.1:0", "--meta", &database.url]);
    assert!(err.contains("another data directory"), "{err}");

    first.stop();
    let rows = json(d, &["sql", "-e", "select x from t", "--endpoint", &two]);
    assert_eq!(rows["rows"], json!([["1"]]));
    second.stop();
    let report = json(d, &["check", "feitian-data", "--meta", &database.url]);
    assert_eq!(report["problems"], json!([]));
}
