//! Tables that have grown old: many small writes are joined without anybody noticing, logs are cleaned under those who
//! read them, and what a log knows is not read from files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use feitian_base::{Kind, Result, Tasks};
use feitian_meta::{Account, Meta, PartitionSums, Project, Step, Table, TableFilter};
use feitian_store::LocalStore;
use feitian_types::arrow::engine_schema;
use feitian_types::{Column, DataType, PartitionSpec, TableSchema};
use feitian_warehouse::{
    BatchSource, Change, Config, NewFile, NewTable, Replace, RowRange, SessionInfo, SessionRequest, UserCode,
    Warehouse, check,
};
use futures::StreamExt;
use object_store::ObjectStore;

use crate::sql::Bench;

/// A directory with metadata, in which warehouses are opened.
pub struct World {
    pub dir: tempfile::TempDir,
    pub meta: Meta,
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let meta = Meta::open(&format!("sqlite://{}/meta.db", dir.path().display())).await.expect("metadata");
        let owner = Account { id: "1".into(), name: "test".into(), enabled: true, admin: false, created_ms: 1 };
        meta.create_account(&owner).await.expect("an account");
        let project = Project {
            name: "p".into(),
            owner_id: "1".into(),
            owner_name: "test".into(),
            comment: String::new(),
            properties: "{}".into(),
            created_ms: 1,
            modified_ms: 1,
        };
        meta.create_project(&project).await.expect("a project");
        Self { dir, meta }
    }

    /// A warehouse whose background loops do not run, so that nothing is joined but what the test joins.
    pub async fn open(&self) -> Warehouse {
        self.open_on(Arc::new(LocalStore::open(self.dir.path()).expect("a store"))).await
    }

    /// The same on a store of the test's own.
    pub async fn open_on(&self, store: Arc<dyn ObjectStore>) -> Warehouse {
        let tmp = self.dir.path().join("tmp");
        std::fs::create_dir_all(&tmp).expect("a directory");
        let config = Config {
            data_dir: self.dir.path().into(),
            tmp_dir: tmp,
            memory_per_instance: 64 << 20,
            spill_limit: 64 << 20,
            running_per_project: 1,
            running_total: 1,
            node: "test".into(),
            default_project_timezone: "Asia/Shanghai".into(),
            user_code: UserCode::default(),
            settings: Vec::new(),
            table_store: None,
        };
        Warehouse::open_idle(config, self.meta.clone(), store, Tasks::new()).await.expect("a warehouse")
    }
}

/// Table `t` of one number.
pub async fn create(w: &Warehouse, partition_columns: &[&str]) {
    let schema = TableSchema {
        columns: vec![Column::new("n", DataType::BigInt)],
        partition_columns: partition_columns.iter().map(|c| Column::new(*c, DataType::String)).collect(),
    };
    let new = NewTable {
        dir: None,
        project: "p".into(),
        name: "t".into(),
        kind: "MANAGED_TABLE".into(),
        owner: "test".into(),
        schema,
        comment: String::new(),
        properties: serde_json::Map::new(),
        lifecycle: -1,
        view_text: None,
    };
    w.catalog().create(new, None, &Step::None).await.expect("a table");
}

fn request(partition: Option<&str>) -> SessionRequest {
    SessionRequest {
        project: "p".into(),
        table: "t".into(),
        partition: partition.map(|p| PartitionSpec::parse(p).expect("a partition")),
        overwrite: false,
        create_partition: partition.is_some(),
        schema_version: None,
    }
}

/// One stream write of these numbers.
pub async fn put(w: &Warehouse, partition: Option<&str>, numbers: &[i64]) -> Result<()> {
    let info = w.create_stream("test", request(partition)).await?;
    let columns = [Column::new("n", DataType::BigInt)];
    let batch = RecordBatch::try_new(engine_schema(&columns), vec![Arc::new(Int64Array::from(numbers.to_vec()))]);
    let rows: BatchSource = Box::new(std::iter::once(Ok(batch.expect("columns fit"))));
    w.write_stream(&info, rows).await?;
    w.close_stream(&info).await
}

async fn read(w: &Warehouse, session: &SessionInfo) -> Vec<i64> {
    let all = RowRange { start: 0, count: u64::MAX };
    let (_, mut batches) = w.read_download(session, all, None).await.expect("readable");
    let mut found = Vec::new();
    while let Some(batch) = batches.next().await {
        found.extend(batch.expect("a batch").column(0).as_primitive::<Int64Type>().values());
    }
    found
}

async fn download(w: &Warehouse, partition: Option<&str>) -> SessionInfo {
    let request = SessionRequest { create_partition: false, ..request(partition) };
    w.create_download("test", request).await.expect("a session")
}

pub async fn rows(w: &Warehouse) -> Vec<i64> {
    let session = download(w, None).await;
    read(w, &session).await
}

/// Writes of one millisecond have no order among each other.
fn sorted(mut numbers: Vec<i64>) -> Vec<i64> {
    numbers.sort_unstable();
    numbers
}

async fn row(w: &Warehouse) -> Table {
    w.table("p", "t").await.expect("the table").table
}

fn log_of(world: &World, table: &Table) -> BTreeSet<String> {
    let log = world.dir.path().join(&table.location).join("_delta_log");
    let entries = std::fs::read_dir(log).expect("a log");
    entries.map(|e| e.expect("a file").file_name().to_string_lossy().into_owned()).collect()
}

fn data_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true if !path.ends_with("_delta_log") => found.extend(data_files(&path)),
            false => found.push(path),
            true => {}
        }
    }
    found
}

pub async fn assert_sound(w: &Warehouse) {
    let report = check::run(w, false).await.expect("a report");
    assert_eq!(report.problems, Vec::<String>::new());
}

// Arithmetic: 40 writes of two rows are the numbers 0 to 79.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_small_files_changes_neither_rows_nor_their_order_nor_times() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &[]).await;
    let mut early = None;
    for n in 0..40 {
        put(&w, None, &[2 * n, 2 * n + 1]).await.expect("written");
        if n == 9 {
            early = Some(download(&w, None).await);
        }
    }
    let (early, late) = (early.expect("a session"), download(&w, None).await);
    let (ten, all) = (read(&w, &early).await, read(&w, &late).await);
    assert_eq!(sorted(ten.clone()), (0..20).collect::<Vec<_>>());
    assert_eq!(sorted(all.clone()), (0..80).collect::<Vec<_>>());
    let before = w.table("p", "t").await.expect("the table");
    let partition = w.meta().partition(&before.table.id, "").await.expect("metadata").expect("a row");
    assert_eq!((before.num_files, before.num_rows), (40, 80));

    assert_eq!(w.join_files(&before.table.id, &[], 2).await.expect("joined"), 40);
    let after = w.table("p", "t").await.expect("the table");
    assert_eq!((after.num_files, after.num_rows), (1, 80));
    assert_eq!(after.table.modified_ms, before.table.modified_ms, "no row changed");
    let now = w.meta().partition(&before.table.id, "").await.expect("metadata").expect("a row");
    assert_eq!((now.num_rows, now.num_files, now.modified_ms), (80, 1, partition.modified_ms));
    assert_eq!(rows(&w).await, all);
    assert_eq!(w.join_files(&before.table.id, &[], 2).await.expect("nothing to do"), 0);

    // Whoever began to read before goes on, also when what nobody needs has been removed.
    w.collect(Duration::ZERO).await.expect("collected");
    assert_eq!(read(&w, &late).await, all);
    assert_eq!(read(&w, &early).await, ten);
    assert_sound(&w).await;
    put(&w, None, &[80]).await.expect("written");
    assert_eq!(sorted(rows(&w).await), (0..81).collect::<Vec<_>>());
    assert_sound(&world.open().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_partition_is_joined_by_itself() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &["ds", "hh"]).await;
    for n in 0..6 {
        put(&w, Some("ds=a,hh=1"), &[n]).await.expect("written");
        put(&w, Some("ds=a,hh=2"), &[10 + n]).await.expect("written");
        put(&w, Some("ds=b,hh=1"), &[20 + n]).await.expect("written");
    }
    let id = row(&w).await.id;
    let files = async || {
        let all = w.meta().all_partitions(&id).await.expect("metadata");
        all.into_iter().map(|p| (p.spec, p.num_files, p.num_rows)).collect::<Vec<_>>()
    };
    assert_eq!(w.join_files(&id, &["a".into(), "2".into()], 2).await.expect("joined"), 6);
    let of = |spec: &str, files: i64| (spec.to_string(), files, 6);
    assert_eq!(files().await, [of("ds=a/hh=1", 6), of("ds=a/hh=2", 1), of("ds=b/hh=1", 6)]);
    assert_eq!(w.join_files(&id, &["c".into()], 2).await.expect("nothing there"), 0);
    assert_eq!(w.join_files(&id, &[], 2).await.expect("joined"), 12);
    assert_eq!(files().await, [of("ds=a/hh=1", 1), of("ds=a/hh=2", 1), of("ds=b/hh=1", 1)]);
    for (spec, first) in [("ds=a,hh=1", 0), ("ds=a,hh=2", 10), ("ds=b,hh=1", 20)] {
        let session = download(&w, Some(spec)).await;
        assert_eq!(sorted(read(&w, &session).await), (first..first + 6).collect::<Vec<_>>(), "{spec}");
    }
    assert_sound(&w).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_joined_while_others_write_and_no_row_is_lost_or_doubled() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &[]).await;
    let id = row(&w).await.id;
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let w = w.clone();
            tokio::spawn(async move {
                for n in 0..30 {
                    put(&w, None, &[writer * 1000 + n]).await.expect("written");
                }
            })
        })
        .collect();
    while !writers.iter().all(|writer| writer.is_finished()) {
        w.join_files(&id, &[], 4).await.expect("appends are no obstacle");
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    w.join_files(&id, &[], 2).await.expect("joined");
    let wanted: Vec<i64> = (0..3).flat_map(|writer| (0..30).map(move |n| writer * 1000 + n)).collect();
    assert_eq!(sorted(rows(&w).await), wanted);
    assert_sound(&w).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_gives_way_when_its_files_are_gone_and_is_no_change_to_those_who_read() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &[]).await;
    for n in 0..4 {
        put(&w, None, &[n]).await.expect("written");
    }
    let open = w.catalog().open("p", "t").await.expect("the table");
    let snapshot = open.data().expect("a table").clone();
    let paths: Vec<String> = snapshot.files().iter().map(|f| f.path.clone()).collect();
    // A statement that read the table, a join beside it, and the statement's commit: nothing it read has changed.
    w.join_files(&open.row.id, &[], 2).await.expect("joined");
    let overwrite = Change {
        read_version: snapshot.version,
        replace: Replace::Table,
        must_be_unchanged: true,
        ..Change::append(open.row.clone(), Vec::new())
    };
    w.catalog().commit(vec![overwrite.clone()], "first", 0, 0, &Step::None).await.expect("no conflict");
    assert_eq!(rows(&w).await, Vec::<i64>::new());
    // The same beside an append is one.
    put(&w, None, &[7]).await.expect("written");
    let clash = w.catalog().commit(vec![overwrite], "second", 0, 0, &Step::None).await.expect_err("a conflict");
    assert_eq!(clash.kind(), Kind::Conflict);
    // A join of files that an overwrite has replaced meanwhile.
    let late = Change { replace: Replace::Files(paths), ..Change::append(open.row, Vec::new()) };
    let given_up = w.catalog().commit(vec![late], "third", 0, 0, &Step::None).await.expect_err("a conflict");
    assert_eq!(given_up.kind(), Kind::Conflict);
    assert!(w.meta().open_commit_records(None).await.expect("metadata").is_empty());
    assert_eq!(rows(&w).await, [7]);
    assert_sound(&w).await;
}

// Checkpoints are written at versions 100 and 200; version 0 creates the table and each write adds one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_cleaned_behind_its_last_checkpoint_but_not_under_readers() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &["ds"]).await;
    for n in 0..150 {
        put(&w, Some(if n % 2 == 0 { "ds=a" } else { "ds=b~ %" }), &[n]).await.expect("written");
    }
    let reader = download(&w, Some("ds=a")).await;
    // Waits for the checkpoint.
    w.shutdown().await;
    let w = world.open().await;
    for n in 150..230 {
        put(&w, Some(if n % 2 == 0 { "ds=a" } else { "ds=b~ %" }), &[n]).await.expect("written");
    }
    w.shutdown().await;
    let w = world.open().await;
    let table = row(&w).await;
    assert!(log_of(&world, &table).contains("00000000000000000200.checkpoint.parquet"));
    let evens = |end: i64| (0..end).step_by(2).collect::<Vec<_>>();
    assert_eq!(sorted(read(&w, &reader).await), evens(150), "an old version, from an old checkpoint");

    w.collect(Duration::ZERO).await.expect("collected");
    let log = log_of(&world, &table);
    let commits = log.iter().filter(|f| f.ends_with(".json")).count();
    assert_eq!(commits, 131, "versions 100 to 230, for the reader of version 150");
    let w = world.open().await;
    assert_eq!(sorted(read(&w, &reader).await), evens(150));
    w.meta().set_session_status(&reader.session.id, "normal", "closed").await.expect("closed");
    w.collect(Duration::ZERO).await.expect("collected");
    let log = log_of(&world, &table);
    assert_eq!(log.iter().filter(|f| f.ends_with(".json")).count(), 31, "versions 200 to 230");
    assert_eq!(log.iter().filter(|f| f.contains(".checkpoint.")).count(), 1);

    let w = world.open().await;
    let session = download(&w, Some("ds=a")).await;
    assert_eq!(sorted(read(&w, &session).await), evens(230));
    let session = download(&w, Some("ds=b~ %")).await;
    assert_eq!(sorted(read(&w, &session).await), (1..230).step_by(2).collect::<Vec<_>>());
    // Where the log says, for readers that know nothing of feitian.
    let dir = world.dir.path().join(&table.location);
    let open = w.catalog().open("p", "t").await.expect("the table");
    for file in open.data().expect("a table").files() {
        assert!(dir.join(&file.path).is_file(), "{}", file.path);
    }
    put(&w, Some("ds=a"), &[230]).await.expect("written");
    assert_sound(&w).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_slept_while_the_log_was_cleaned_goes_on_at_its_end() {
    let world = World::new().await;
    let (busy, idle) = (world.open().await, world.open().await);
    create(&busy, &[]).await;
    put(&idle, None, &[-1]).await.expect("written");
    assert_eq!(rows(&idle).await, [-1]);
    for n in 0..120 {
        put(&busy, None, &[n]).await.expect("written");
    }
    busy.shutdown().await;
    // The sessions of the reader above would hold its version.
    for session in busy.meta().open_sessions(Some("download"), None).await.expect("metadata") {
        busy.meta().set_session_status(&session.id, "normal", "closed").await.expect("closed");
    }
    busy.collect(Duration::ZERO).await.expect("collected");
    let table = row(&busy).await;
    assert!(!log_of(&world, &table).contains("00000000000000000002.json"), "the versions after the sleeper's are gone");
    put(&idle, None, &[120]).await.expect("written");
    assert_eq!(sorted(rows(&idle).await), (-1..=120).collect::<Vec<_>>());
    assert_eq!(sorted(rows(&world.open().await).await), (-1..=120).collect::<Vec<_>>());
    assert_sound(&idle).await;
}

// What a writer leaves that slept between reading the log and adding a version, while the log was cleaned, and died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_file_in_a_cleaned_place_is_no_part_of_the_table() {
    let world = World::new().await;
    let (busy, idle) = (world.open().await, world.open().await);
    create(&busy, &[]).await;
    put(&idle, None, &[-1]).await.expect("written");
    for n in 0..120 {
        put(&busy, None, &[n]).await.expect("written");
    }
    busy.shutdown().await;
    let table = row(&busy).await;
    let log = world.dir.path().join(&table.location).join("_delta_log");
    let foreign = std::fs::read(log.join("00000000000000000050.json")).expect("a commit file");
    busy.collect(Duration::ZERO).await.expect("collected");
    let stray = log.join("00000000000000000002.json");
    assert!(!stray.exists(), "the log begins at its checkpoint");
    std::fs::write(&stray, foreign).expect("written");
    let wanted: Vec<i64> = (-1..120).collect();
    assert_eq!(sorted(rows(&idle).await), wanted, "a reader that knows version 1");
    put(&idle, None, &[120]).await.expect("written");
    for w in [&idle, &world.open().await] {
        assert_eq!(sorted(rows(w).await), (-1..=120).collect::<Vec<_>>());
        assert_sound(w).await;
    }
    for session in busy.meta().open_sessions(Some("download"), None).await.expect("metadata") {
        busy.meta().set_session_status(&session.id, "normal", "closed").await.expect("closed");
    }
    busy.collect(Duration::ZERO).await.expect("collected");
    assert!(!stray.exists(), "the next cleaning takes it along");
}

// 150 writes leave the checkpoint of version 100. "Last Checkpoint File" of the Delta protocol: it only saves listing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_opens_without_its_checkpoint_and_loses_nothing_to_a_broken_one() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &[]).await;
    for n in 0..150 {
        put(&w, None, &[n]).await.expect("written");
    }
    w.shutdown().await;
    let table = row(&w).await;
    let log = world.dir.path().join(&table.location).join("_delta_log");
    let (hint, checkpoint) = (log.join("_last_checkpoint"), log.join("00000000000000000100.checkpoint.parquet"));
    let whole = std::fs::read(&checkpoint).expect("a checkpoint");
    let good_hint = std::fs::read(&hint).expect("a hint");
    let wanted: Vec<i64> = (0..150).collect();
    let commits = || log_of(&world, &table).iter().filter(|f| f.ends_with(".json")).count();
    let collected = async || {
        let w = world.open().await;
        for session in w.meta().open_sessions(Some("download"), None).await.expect("metadata") {
            w.meta().set_session_status(&session.id, "normal", "closed").await.expect("closed");
        }
        w.collect(Duration::ZERO).await.expect("collected");
        assert_eq!(sorted(rows(&w).await), wanted);
        assert_sound(&w).await;
    };

    // Torn in the middle: nothing that leads to it may go.
    std::fs::write(&checkpoint, &whole[..whole.len() / 2]).expect("written");
    assert_eq!(sorted(rows(&world.open().await).await), wanted);
    collected().await;
    assert_eq!(commits(), 151, "a checkpoint that nobody can read replaces nothing");
    // Whole, but of another version.
    std::fs::write(&checkpoint, &whole).expect("written");
    let wrong = log.join("00000000000000000140.checkpoint.parquet");
    std::fs::write(&wrong, &whole).expect("written");
    collected().await;
    assert_eq!(commits(), 151, "a checkpoint without the files of its version replaces nothing");
    std::fs::remove_file(&wrong).expect("removed");
    // The hint is torn, missing, or names what is not there.
    std::fs::write(&hint, &good_hint[..9]).expect("written");
    assert_eq!(sorted(rows(&world.open().await).await), wanted);
    std::fs::remove_file(&hint).expect("removed");
    assert_eq!(sorted(rows(&world.open().await).await), wanted);
    std::fs::write(&hint, br#"{"version":140,"size":9}"#).expect("written");
    assert_eq!(sorted(rows(&world.open().await).await), wanted);
    collected().await;
    assert_eq!(commits(), 51, "versions 100 to 150");
    let mended: serde_json::Value = serde_json::from_slice(&std::fs::read(&hint).expect("a hint")).expect("JSON");
    assert_eq!(mended["version"], 100, "other readers open nothing while it names what is not there");
    // A writer that slept since version 0 ends its hint late.
    std::fs::write(&hint, br#"{"version":0,"size":9}"#).expect("written");
    assert_eq!(sorted(rows(&world.open().await).await), wanted);
    collected().await;
    let mended: serde_json::Value = serde_json::from_slice(&std::fs::read(&hint).expect("a hint")).expect("JSON");
    assert_eq!(mended["version"], 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_whose_new_file_is_lost_is_given_up() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &[]).await;
    for n in 0..4 {
        put(&w, None, &[n]).await.expect("written");
    }
    let open = w.catalog().open("p", "t").await.expect("the table");
    let files = open.data().expect("a table").files().to_vec();
    let paths: Vec<String> = files.iter().map(|f| f.path.clone()).collect();
    let lost = NewFile { path: "01k-0000000000-1.parquet".into(), num_rows: 4, ..files[0].as_ref().clone() };
    let join = Change { replace: Replace::Files(paths), ..Change::append(open.row, vec![lost]) };
    let given_up = w.catalog().commit(vec![join], "somebody", 0, 0, &Step::None).await.expect_err("a conflict");
    assert_eq!(given_up.kind(), Kind::Conflict);
    assert_eq!(sorted(rows(&w).await), [0, 1, 2, 3]);
    assert!(w.meta().open_commit_records(None).await.expect("metadata").is_empty());
    assert_sound(&w).await;
}

// Arithmetic: each round adds five numbers; what replaces or rewrites the table keeps those it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_joined_while_statements_replace_rewrite_and_drop() {
    let bench = Bench::open().await;
    let run = async |sql: &str| {
        let done = bench.run(sql, &[]).await;
        assert_eq!(done.error, None, "{sql}");
        done
    };
    run("create table t (n bigint);").await;
    let id = bench.warehouse.catalog().open("demo", "t").await.expect("the table").row.id;
    let over = Arc::new(AtomicBool::new(false));
    let (w, stop) = (bench.warehouse.clone(), over.clone());
    let joining = tokio::spawn(async move {
        let mut joined = 0;
        while !stop.load(Ordering::SeqCst) {
            match w.join_files(&id, &[], 2).await {
                Ok(files) => joined += files,
                Err(e) => assert!(matches!(e.kind(), Kind::Conflict | Kind::NotFound), "{e:?}"),
            }
            tokio::task::yield_now().await;
        }
        joined
    });
    let statements = [
        "insert overwrite table t select n from t",
        "alter table t add columns (b string)",
        "alter table t drop columns b",
        "insert into t select n from t where n < 0",
        "alter table t change column n n bigint comment 'x'",
        "insert overwrite table t select n from t order by n limit 1000",
    ];
    for (round, statement) in statements.into_iter().enumerate() {
        for n in 0..5 {
            run(&format!("insert into t (n) values ({})", round * 5 + n)).await;
        }
        run(statement).await;
    }
    let done = run("select n from t order by n limit 1000").await;
    assert_eq!(bench.rows(&done).await.1, (0..30).map(|n| n.to_string()).collect::<Vec<_>>());
    run("truncate table t").await;
    let done = run("select count(*) from t").await;
    assert_eq!(bench.rows(&done).await.1, ["0"]);
    run("drop table t").await;
    over.store(true, Ordering::SeqCst);
    assert!(joining.await.expect("no panic") > 0, "something was joined meanwhile");
    assert!(bench.warehouse.meta().open_commit_records(None).await.expect("metadata").is_empty());
    assert_sound(&bench.warehouse).await;
    bench.warehouse.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_commit_that_began_before_the_first_one_ended_answers_as_it() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &[]).await;
    let session = w.create_upload("test", request(None)).await.expect("a session");
    let columns = [Column::new("n", DataType::BigInt)];
    let batch = RecordBatch::try_new(engine_schema(&columns), vec![Arc::new(Int64Array::from(vec![1, 2]))]);
    let rows_of: BatchSource = Box::new(std::iter::once(Ok(batch.expect("columns fit"))));
    w.write_block(&session, 0, rows_of).await.expect("written");
    for _ in 0..2 {
        // Both found the session open.
        let answer = w.commit_upload(&session).await.expect("the same answer");
        assert_eq!((answer.session.status.as_str(), answer.blocks.len()), ("closed", 1));
    }
    assert_eq!(rows(&w).await, [1, 2]);
}

// Arithmetic on 3 partitions of 2, 3 and 4 rows. The files are removed first, so that whoever opens one fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_rows_opens_no_file() {
    let bench = Bench::open().await;
    let allow = [("odps.sql.allow.fullscan".to_string(), "true".to_string())];
    let setup = "create table t (a bigint, b string) partitioned by (ds string, n bigint);
        insert into t partition (ds, n) select a, 'x', ds, n from values
        (1, 'a', 1), (2, 'a', 1), (3, 'b', 10), (4, 'b', 10), (5, 'b', 10),
        (6, 'c', 9), (7, 'c', 9), (8, 'c', 9), (9, 'c', 9) v(a, ds, n);";
    let done = bench.run(setup, &allow).await;
    assert_eq!(done.error, None);
    let open = bench.warehouse.catalog().open("demo", "t").await.expect("the table");
    let files = data_files(&bench.dir().join(&open.row.location));
    assert_eq!(files.len(), 3);
    files.iter().for_each(|f| std::fs::remove_file(f).expect("removed"));
    for (query, wanted) in [
        ("select count(*) from t", vec!["9"]),
        ("select count(1) from t where ds = 'b'", vec!["3"]),
        ("select count(*) from t where ds = 'nothing'", vec!["0"]),
        ("select count(*) from t where n > 9", vec!["3"]),
        ("select count(*) from t where ds > 'a' and n between 1 and 9", vec!["4"]),
        ("select count(*) + 1 from t where ds in ('a', 'c')", vec!["7"]),
        ("select 7 from t where ds = 'a'", vec!["7", "7"]),
        ("select 7 from t limit 3", vec!["7", "7", "7"]),
        ("select count(*), sum(2) from t where ds = 'c'", vec!["4 | 8"]),
        ("select count(*) from (select 1 x from t where ds <> 'a') s", vec!["7"]),
        ("select max_pt('t')", vec!["c"]),
    ] {
        let done = bench.run(query, &allow).await;
        assert_eq!(done.error, None, "{query}");
        assert_eq!(bench.rows(&done).await.1, wanted, "{query}");
    }
    let failed = bench.run("select sum(a) from t where ds = 'a'", &allow).await;
    assert!(failed.error.is_some(), "the files are gone");
    bench.warehouse.shutdown().await;
}

// The log of each table is the truth; a list asks the metadata, which reflect it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_says_what_each_table_holds_without_its_log() {
    let bench = Bench::open().await;
    let w = &bench.warehouse;
    for text in [
        "create table a (n bigint); insert into a values (1), (2), (3)",
        "create table b (n bigint) partitioned by (ds string); insert into b partition (ds='1') values (1), (2)",
        "alter table b add partition (ds='2')",
        "create table c (n bigint)",
        "create view v as select n from a",
    ] {
        assert_eq!(bench.run(text, &[]).await.error, None, "{text}");
    }
    let listed = w.list_tables("demo", "default", TableFilter::default(), None, 10).await.expect("tables").items;
    let names: Vec<&str> = listed.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "v"]);
    let mut wanted = Vec::new();
    for (name, num_partitions) in [("a", 0), ("b", 2), ("c", 0)] {
        let of_log = w.table("demo", name).await.expect("the table");
        let (num_rows, num_bytes, num_files) = (of_log.num_rows, of_log.num_bytes, of_log.num_files);
        wanted.push(Some(PartitionSums { num_partitions, num_rows, num_bytes, num_files }));
    }
    // A view holds nothing of its own.
    wanted.push(None);
    let sizes = w.table_sizes(&listed).await.expect("sizes");
    assert_eq!(sizes, wanted);
    let rows: Vec<Option<i64>> = sizes.iter().map(|sums| sums.map(|s| s.num_rows)).collect();
    assert_eq!(rows, [Some(3), Some(2), Some(0), None]);
    // Without the logs the list is as it was.
    for table in &listed[..3] {
        let log = bench.dir().join(&table.location).join("_delta_log");
        std::fs::remove_dir_all(log).expect("removed");
    }
    assert_eq!(w.table_sizes(&listed).await.expect("sizes"), wanted);
    w.shutdown().await;
}
