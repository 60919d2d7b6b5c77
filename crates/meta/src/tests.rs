//! Every repository on SQLite and on PostgreSQL: the harness and the rows that the tests start from.
#![allow(clippy::unwrap_used)]

use std::str::FromStr;

use feitian_base::{Error, Kind, id};
use feitian_types::{Column, DataType, TableSchema};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::Meta;
use crate::rows::*;

mod accounts;
mod commits;
mod expiry;
mod functions;
mod instances;
mod open;
mod ots;
mod partitions;
mod plans;
mod projects;
mod resources;
mod rules;
mod schemas;
mod security;
mod sessions;
mod system;
mod tables;
mod volumes;

/// A new, empty database of one kind.
struct Db {
    url: String,
    meta: Meta,
}

impl Db {
    /// A second process on the same database.
    async fn another(&self) -> Meta {
        Meta::open(&self.url).await.unwrap()
    }
}

/// Runs `test` on a new SQLite file, then on a new PostgreSQL database.
async fn on_both(test: impl AsyncFn(&Db)) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/meta.db", dir.path().display());
    let db = Db { meta: Meta::open(&url).await.unwrap(), url };
    test(&db).await;
    db.meta.close().await;
    on_postgres(test).await;
}

/// Runs `test` on a new database of the server that `FEITIAN_TEST_POSTGRES` names.
async fn on_postgres(test: impl AsyncFn(&Db)) {
    let server = std::env::var("FEITIAN_TEST_POSTGRES").expect(
        "FEITIAN_TEST_POSTGRES must be a postgres:// URL of a server where the tests may create databases; \
         `cargo xtask test` starts one and sets it",
    );
    sqlx::any::install_default_drivers();
    let mut admin = AnyConnection::connect(&server).await.unwrap();
    let name = format!("feitian_meta_{}", id::random_text(16));
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let url = PgConnectOptions::from_str(&server).unwrap().database(&name).to_url_lossy().to_string();
    let db = Db { meta: Meta::open(&url).await.unwrap(), url };
    test(&db).await;
    db.meta.close().await;
    admin.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
}

/// Asserts kind and code, and returns the error's message.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, kind: Kind, code: &str) -> String {
    let e = result.expect_err("this must be refused");
    assert_eq!((e.kind(), e.code()), (kind, code), "{e:?}");
    e.message().to_string()
}

fn account(id: &str) -> Account {
    Account { id: id.into(), name: format!("ALIYUN${id}"), enabled: true, admin: false, created_ms: 1_000 }
}

fn project(name: &str) -> Project {
    Project {
        name: name.into(),
        owner_id: "u1".into(),
        owner_name: "ALIYUN$u1".into(),
        comment: String::new(),
        properties: "{}".into(),
        created_ms: 2_000,
        modified_ms: 2_000,
    }
}

/// Account `u1` and its project `p`.
async fn with_project(meta: &Meta) {
    meta.create_account(&account("u1")).await.unwrap();
    meta.create_project(&project("p")).await.unwrap();
}

fn table(id: &str, name: &str) -> Table {
    Table {
        id: id.into(),
        project: "p".into(),
        schema_name: "default".into(),
        name: name.into(),
        kind: "MANAGED_TABLE".into(),
        owner: "ALIYUN$u1".into(),
        location: format!("warehouse/p/{name}-{id}"),
        schema: TableSchema {
            columns: vec![Column::new("x", DataType::BigInt)],
            partition_columns: vec![Column::new("ds", DataType::String)],
        },
        schema_version: 0,
        comment: String::new(),
        properties: "{}".into(),
        lifecycle: -1,
        view_text: None,
        created_ms: 3_000,
        ddl_ms: 3_000,
        modified_ms: 3_000,
        log_version: 0,
        dropped_ms: None,
    }
}

/// Project `p` with the table `t1` named `t`.
async fn with_table(meta: &Meta) {
    with_project(meta).await;
    meta.create_table(&table("t1", "t"), &[], &Step::None).await.unwrap();
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|s| s.to_string()).collect()
}

/// An empty partition `ds=<value>` of `t1`.
fn partition(value: &str) -> Partition {
    Partition {
        table_id: "t1".into(),
        spec: format!("ds={value}"),
        values: texts(&[value]),
        created_ms: 4_000,
        ddl_ms: 4_000,
        modified_ms: 4_000,
        num_rows: 0,
        num_bytes: 0,
        num_files: 0,
    }
}

/// New numbers of the partition `ds=<value>`: `rows` rows in one file.
fn change(value: &str, rows: i64) -> PartitionChange {
    PartitionChange {
        spec: format!("ds={value}"),
        values: texts(&[value]),
        num_rows: rows,
        num_bytes: rows * 10,
        num_files: 1,
        modified_ms: 5_000,
    }
}

/// A waiting job of project `p`.
fn instance(id: &str, submitted_ms: i64) -> Instance {
    Instance {
        id: id.into(),
        project: "p".into(),
        owner: "ALIYUN$u1".into(),
        guid: String::new(),
        priority: 9,
        source: "<Job/>".into(),
        task_name: "AnonymousSQLTask".into(),
        task_type: "SQL".into(),
        query: "select 1;".into(),
        settings: "{}".into(),
        state: InstanceState::Waiting,
        node: String::new(),
        attempt: 0,
        step: 0,
        stop_requested: false,
        submitted_ms,
        started_ms: None,
        ended_ms: None,
        is_select: false,
        result_columns: None,
        result_inline: None,
        result_path: None,
        result_rows: 0,
        error: None,
        summary: "{}".into(),
    }
}

/// The instance `id`, running as attempt 1 on `n1`.
async fn running(meta: &Meta, id: &str) -> Instance {
    meta.create_instance(&instance(id, 6_000)).await.unwrap();
    meta.claim(id, "n1", 7_000).await.unwrap().unwrap()
}

fn step(id: &str, attempt: i64, step: i64) -> Step {
    Step::Instance { id: id.into(), attempt, step }
}

fn record(id: &str, owner: &str, attempt: i64, step: i64) -> CommitRecord {
    CommitRecord {
        id: id.into(),
        owner: owner.into(),
        step,
        attempt,
        table_id: "t1".into(),
        read_version: 0,
        actions: "{\"add\":[]}".into(),
        created_ms: 8_000,
    }
}

fn schema(name: &str) -> Schema {
    Schema {
        project: "p".into(),
        name: name.into(),
        owner: "ALIYUN$u1".into(),
        comment: "说明".into(),
        created_ms: 2_500,
        modified_ms: 2_500,
    }
}

fn at(schema_name: &str, name: &str) -> ObjectName {
    ObjectName { project: "p".into(), schema_name: schema_name.into(), name: name.into() }
}

/// A file resource of project `p`.
fn resource(schema_name: &str, name: &str) -> Resource {
    Resource {
        at: at(schema_name, name),
        kind: "py".into(),
        owner: "ALIYUN$u1".into(),
        updator: "ALIYUN$u1".into(),
        is_temp: false,
        num_bytes: 3,
        md5: "900150983cd24fb0d6963f7d28e17f72".into(),
        path: format!("resources/p/{name}-1"),
        source: String::new(),
        comment: "说明".into(),
        created_ms: 2_600,
        modified_ms: 2_600,
    }
}

fn session(id: &str, kind: &str) -> Session {
    Session {
        id: id.into(),
        kind: kind.into(),
        project: "p".into(),
        table_id: "t1".into(),
        schema_version: 0,
        log_version: -1,
        partition: "ds=1".into(),
        overwrite: false,
        status: "normal".into(),
        owner: "u1".into(),
        record_count: 0,
        created_ms: 9_000,
        expires_ms: 100_000,
        options: String::new(),
    }
}
