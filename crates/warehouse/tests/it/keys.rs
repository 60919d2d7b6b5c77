//! Upsert sessions: which rows count, what is refused, and what happens beside statements and other sessions.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int8Array, Int64Array, ListArray, RecordBatch, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use feitian_meta::Step;
use feitian_types::arrow::engine_schema;
use feitian_types::{Column, DataType, TableSchema};
use feitian_warehouse::{BatchSource, NewTable, RowRange, SessionInfo, SessionRequest, Warehouse};
use futures::StreamExt;
use serde_json::json;

use crate::dml::World;
use crate::old::{World as Plain, assert_sound};
use crate::sql::OWNER;

const TABLE: &str = "create table t (id bigint not null, n bigint, primary key (id)) \
                     tblproperties ('transactional'='true', 'write.bucket.num'='4')";

/// The key, the other value, and `U` or `D`.
type Row = (Option<i64>, Option<i64>, u8);

fn up(id: i64, n: i64) -> Row {
    (Some(id), Some(n), b'U')
}

fn down(id: i64) -> Row {
    (Some(id), None, b'D')
}

/// Rows with the columns that PyODPS sends (`odps/tunnel/tabletunnel.py`), of which it fills one.
fn batch(rows: &[Row]) -> RecordBatch {
    let list = || DataType::Array(Box::new(DataType::BigInt));
    let columns = [
        Column::new("id", DataType::BigInt),
        Column::new("n", DataType::BigInt),
        Column::new("__version", DataType::BigInt),
        Column::new("__app_version", DataType::BigInt),
        Column::new("__operation", DataType::TinyInt),
        Column::new("__key_cols", list()),
        Column::new("__value_cols", list()),
    ];
    let schema = engine_schema(&columns);
    let nulls = |i: usize| new_null_array(schema.field(i).data_type(), rows.len());
    let ids: Int64Array = rows.iter().map(|r| r.0).collect();
    let ns: Int64Array = rows.iter().map(|r| r.1).collect();
    let operations: Int8Array = rows.iter().map(|r| Some(r.2 as i8)).collect();
    let arrays: Vec<ArrayRef> =
        vec![Arc::new(ids), Arc::new(ns), nulls(2), nulls(3), Arc::new(operations), nulls(5), nulls(6)];
    RecordBatch::try_new(schema.clone(), arrays).expect("columns fit")
}

fn source(batch: RecordBatch) -> BatchSource {
    Box::new(std::iter::once(Ok(batch)))
}

fn request(project: &str) -> SessionRequest {
    SessionRequest {
        project: project.into(),
        table: "t".into(),
        partition: None,
        overwrite: false,
        create_partition: false,
        schema_version: None,
    }
}

async fn open(w: &Warehouse) -> SessionInfo {
    w.create_upsert(OWNER, request("demo")).await.expect("a session")
}

async fn put(w: &Warehouse, session: &SessionInfo, bucket: u64, rows: &[Row]) {
    w.write_upsert(session, bucket, rows.len() as u64, source(batch(rows))).await.expect("taken");
}

/// A session of one request.
async fn upsert(w: &Warehouse, rows: &[Row]) {
    let session = open(w).await;
    put(w, &session, 0, rows).await;
    w.commit_upload(&session).await.expect("committed");
}

/// Commits in the background.
fn commit(w: &Warehouse, session: &SessionInfo) -> tokio::task::JoinHandle<feitian_base::Result<SessionInfo>> {
    let (w, session) = (w.clone(), session.clone());
    tokio::spawn(async move { w.commit_upload(&session).await })
}

// Arithmetic: what the last row of each key says, in the order in which the requests came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_row_of_a_key_counts_and_only_with_the_commit() {
    let world = World::of(TABLE, "").await;
    let w = &world.bench.warehouse;
    let first = open(w).await;
    put(w, &first, 3, &[up(1, 10), up(2, 20), up(2, 21)]).await;
    put(w, &first, 0, &[down(1), up(3, 30), up(4, 40), down(4), up(3, 31)]).await;
    assert!(world.rows().await.is_empty());
    for _ in 0..2 {
        assert_eq!(w.commit_upload(&first).await.expect("committed").session.status, "closed");
    }
    assert_eq!(world.rows().await, ["2 | 21", "3 | 31"]);
    let second = open(w).await;
    put(w, &second, 1, &[up(2, 22), down(3), down(9)]).await;
    let found = w.session("upsert", "demo", "t", &second.session.id).await.expect("whoever asks");
    w.commit_upload(&found).await.expect("committed");
    assert_eq!(world.rows().await, ["2 | 22"]);
    for _ in 0..2 {
        upsert(w, &[down(2)]).await;
        let table = w.table("demo", "t").await.expect("the table");
        assert_eq!((table.num_rows, table.num_files), (0, 0));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_refused_leaves_nothing() {
    let world = World::of(TABLE, "").await;
    let w = &world.bench.warehouse;
    let session = open(w).await;
    let no_key = (None, Some(1), b'U');
    for (rows, count, bucket, code) in [
        (vec![up(1, 1), no_key], 2, 0, "ODPS-0121055"),
        (vec![(None, None, b'D')], 1, 0, "ODPS-0121055"),
        (vec![up(1, 1), (Some(2), None, b'X')], 2, 0, "InvalidArgument"),
        (vec![up(1, 1)], 2, 0, "InvalidArgument"),
        (vec![up(1, 1), up(2, 2)], 1, 0, "InvalidArgument"),
        (vec![up(1, 1)], 1, 4, "InvalidArgument"),
    ] {
        let refused = w.write_upsert(&session, bucket, count, source(batch(&rows))).await.expect_err("refused");
        assert_eq!(refused.code(), code, "{rows:?}: {refused}");
    }
    // Only some columns: of the others nobody would know what they are to be.
    let whole = batch(&[up(1, 1)]);
    let mut arrays = whole.columns().to_vec();
    let ArrowType::List(item) = whole.schema().field(6).data_type().clone() else { panic!("a list") };
    let columns: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    arrays[6] = Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([1]), columns, None));
    let part = RecordBatch::try_new(whole.schema(), arrays).expect("columns fit");
    let refused = w.write_upsert(&session, 0, 1, source(part)).await.expect_err("refused");
    assert_eq!(refused.code(), "MethodNotAllowed", "{refused}");
    put(w, &session, 0, &[up(7, 70)]).await;
    w.commit_upload(&session).await.expect("committed");
    assert_eq!(world.rows().await, ["7 | 70"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_ways_to_write_are_refused_where_a_key_decides() {
    let world = World::of(TABLE, "").await;
    let w = &world.bench.warehouse;
    for refused in [
        w.create_upload(OWNER, request("demo")).await,
        w.create_stream(OWNER, request("demo")).await,
        w.create_write(OWNER, request("demo"), 1).await,
    ] {
        assert_eq!(refused.expect_err("refused").code(), "MethodNotAllowed");
    }
    world
        .run("create table plain (id bigint not null, primary key (id)); drop table t; alter table plain rename to t")
        .await;
    let refused = w.create_upsert(OWNER, request("demo")).await.expect_err("refused");
    assert_eq!(refused.code(), "InvalidArgument");
    world.bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_session_has_no_rows_and_takes_none() {
    let world = World::of(TABLE, "").await;
    let w = &world.bench.warehouse;
    let session = open(w).await;
    put(w, &session, 0, &[up(1, 1)]).await;
    for _ in 0..2 {
        w.abort_upsert(&session).await.expect("aborted");
    }
    let late = w.write_upsert(&session, 0, 1, source(batch(&[up(2, 2)]))).await.expect_err("too late");
    let lost = w.commit_upload(&session).await.expect_err("aborted");
    assert_eq!((late.code(), lost.code()), ("StatusConflict", "StatusConflict"));
    assert!(world.rows().await.is_empty());
    // What is committed cannot be aborted.
    let session = open(w).await;
    w.commit_upload(&session).await.expect("committed");
    assert_eq!(w.abort_upsert(&session).await.expect_err("committed").code(), "StatusConflict");
    world.end().await;
}

// Arithmetic: the upserts come after the two statements.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_the_table_meanwhile_is_not_lost() {
    let world = World::of(TABLE, "(1, 10), (2, 20)").await;
    let w = &world.bench.warehouse;
    let session = open(w).await;
    put(w, &session, 0, &[up(1, 11), up(3, 30)]).await;
    w.collect(Duration::ZERO).await.expect("collected");
    let (reached, go_on) = world.gate.close();
    let committed = commit(w, &session);
    tokio::time::timeout(Duration::from_secs(120), reached).await.expect("in time").expect("it writes a file");
    world.run("update t set n = n + 100").await;
    world.run("insert into t values (3, 0), (4, 40)").await;
    go_on.send(()).expect("it waits");
    committed.await.expect("an end").expect("committed");
    assert_eq!(world.rows().await, ["1 | 11", "2 | 120", "3 | 30", "4 | 40"]);
    world.end().await;
}

// A file that was removed here would be in the log if the commit had looked for it just before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_commit_has_written_is_not_collected() {
    let world = World::of(TABLE, "(1, 10), (2, 20)").await;
    let w = &world.bench.warehouse;
    let session = open(w).await;
    put(w, &session, 0, &[up(1, 11)]).await;
    w.collect(Duration::ZERO).await.expect("collected");
    let (reached, first) = world.gate.close();
    let committed = commit(w, &session);
    tokio::time::timeout(Duration::from_secs(120), reached).await.expect("in time").expect("it writes the new row");
    let (reached, second) = world.gate.close();
    first.send(()).expect("it waits");
    tokio::time::timeout(Duration::from_secs(120), reached).await.expect("in time").expect("it writes the old one");
    assert_eq!(w.collect(Duration::ZERO).await.expect("collected"), 0);
    second.send(()).expect("it waits");
    committed.await.expect("an end").expect("committed");
    assert_eq!(world.rows().await, ["1 | 11", "2 | 20"]);
    world.end().await;
}

// A session that expires has lost the names of its rows: a commit that is under way must not say that it has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_session_expires_meanwhile_fails_and_changes_nothing() {
    let world = World::of(TABLE, "(1, 10)").await;
    let w = &world.bench.warehouse;
    let session = open(w).await;
    put(w, &session, 0, &[up(1, 50), up(2, 20)]).await;
    let (reached, go_on) = world.gate.close();
    let committed = commit(w, &session);
    tokio::time::timeout(Duration::from_secs(120), reached).await.expect("in time").expect("it writes a file");
    w.meta().expire_sessions(session.session.expires_ms).await.expect("expired");
    world.run("update t set n = n + 1").await;
    go_on.send(()).expect("it waits");
    assert_eq!(committed.await.expect("an end").expect_err("too late").code(), "StatusConflict");
    // Arithmetic: only the UPDATE.
    assert_eq!(world.rows().await, ["1 | 11"]);
    world.end().await;
}

// Arithmetic: each statement comes after the upserts that were committed while it ran.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_begin_again_after_upserts() {
    let world = World::of(TABLE, "(1, 10)").await;
    let change = async |w: &World, rows: &[Row]| upsert(&w.bench.warehouse, rows).await;
    world.cross("update t set n = n + 1 where id = 1", async |w: &World| change(w, &[up(1, 50)]).await).await;
    assert_eq!(world.rows().await, ["1 | 51"]);
    world.cross("insert into t values (2, 1), (3, 3)", async |w: &World| change(w, &[up(2, 2), up(4, 4)]).await).await;
    assert_eq!(world.rows().await, ["1 | 51", "2 | 1", "3 | 3", "4 | 4"]);
    world
        .cross("insert overwrite table t select id, n + 1 from t", async |w: &World| change(w, &[down(4)]).await)
        .await;
    assert_eq!(world.rows().await, ["1 | 52", "2 | 2", "3 | 4"]);
    world.end().await;
}

// Arithmetic: of eight sessions each has a key of its own and all have one in common.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_at_the_same_time_come_one_after_the_other() {
    let world = World::of(TABLE, "").await;
    let w = &world.bench.warehouse;
    let mut commits = Vec::new();
    for i in 1..9 {
        let session = open(w).await;
        put(w, &session, 0, &[up(0, i), up(100 + i, i)]).await;
        commits.push(commit(w, &session));
    }
    for committed in commits {
        committed.await.expect("an end").expect("committed");
    }
    let rows = world.rows().await;
    assert_eq!(rows[1..], (1..9).map(|i| format!("{} | {i}", 100 + i)).collect::<Vec<_>>());
    assert!(rows[0].starts_with("0 | "), "{rows:?}");
    world.end().await;
}

/// A table with a key in a world of several processes.
async fn keyed(w: &Warehouse) {
    let id = Column { nullable: false, ..Column::new("id", DataType::BigInt) };
    let columns = vec![id, Column::new("n", DataType::BigInt)];
    let properties = json!({ "transactional": "true", "feitian.primary_key": "[\"id\"]" });
    let new = NewTable {
        dir: None,
        project: "p".into(),
        name: "t".into(),
        kind: "MANAGED_TABLE".into(),
        owner: "test".into(),
        schema: TableSchema { columns, partition_columns: Vec::new() },
        comment: String::new(),
        properties: properties.as_object().cloned().unwrap_or_default(),
        lifecycle: -1,
        view_text: None,
    };
    w.catalog().create(new, None, &Step::None).await.expect("a table");
}

/// All rows, by key.
async fn rows_of(w: &Warehouse) -> Vec<(i64, i64)> {
    let session = w.create_download("test", request("p")).await.expect("a session");
    let all = RowRange { start: 0, count: u64::MAX };
    let (_, mut batches) = w.read_download(&session, all, None).await.expect("readable");
    let mut found = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch.expect("a batch");
        let column = |i: usize| batch.column(i).as_primitive::<Int64Type>().values().to_vec();
        found.extend(column(0).into_iter().zip(column(1)));
    }
    found.sort_unstable();
    found
}

// A second delivery of everything, to another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_twice_to_two_processes_counts_once() {
    let world = Plain::new().await;
    let (here, there) = (world.open().await, world.open().await);
    keyed(&here).await;
    let a = here.create_upsert("test", request("p")).await.expect("a session");
    let b = there.create_upsert("test", request("p")).await.expect("another");
    for w in [&here, &there] {
        put(w, &a, 0, &[up(1, 1), up(2, 2), down(3)]).await;
    }
    put(&here, &b, 0, &[up(3, 30), up(4, 40)]).await;
    let (x, y, z) = tokio::join!(here.commit_upload(&a), there.commit_upload(&a), there.commit_upload(&b));
    for done in [x, y, z] {
        assert_eq!(done.expect("committed").session.status, "closed");
    }
    let found = rows_of(&here).await;
    // Arithmetic: key 3 is there if the session that writes it came after the one that takes it away.
    assert!(found == [(1, 1), (2, 2), (4, 40)] || found == [(1, 1), (2, 2), (3, 30), (4, 40)], "{found:?}");
    assert_eq!(there.commit_upload(&a).await.expect("the same answer").session.status, "closed");
    assert_eq!(rows_of(&there).await, found);
    assert_sound(&here).await;
}

// Arithmetic: of the keys 0 to 199,999 the even ones go and the odd ones become 1. An instance here has 64 MiB, of which a
// quarter is less than the keys take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_keys_than_are_held_at_once_are_told_apart() {
    const KEYS: i64 = 200_000;
    let world = Plain::new().await;
    let w = world.open().await;
    keyed(&w).await;
    let all: Vec<Row> = (0..KEYS).map(|id| up(id, 0)).collect();
    let even: Vec<Row> = (0..KEYS).step_by(2).map(down).collect();
    let odd: Vec<Row> = (1..KEYS).step_by(2).map(|id| up(id, 1)).collect();
    for rows in [vec![&all, &even], vec![&all], vec![&even, &odd]] {
        let session = w.create_upsert("test", request("p")).await.expect("a session");
        for part in rows {
            put(&w, &session, 0, part).await;
        }
        w.commit_upload(&session).await.expect("committed");
    }
    assert_eq!(rows_of(&w).await, (1..KEYS).step_by(2).map(|id| (id, 1)).collect::<Vec<_>>());
    assert_sound(&w).await;
}
