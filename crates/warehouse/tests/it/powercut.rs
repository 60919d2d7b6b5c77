//! The power goes at a random step of uploads: every acknowledged commit is there afterwards, exactly once, and every other
//! one wholly or not at all. The disk forgets what was not fsynced; the metadata is durable by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use feitian_base::{Result, Tasks};
use feitian_meta::{Account, Meta, Project, Step};
use feitian_store::LocalStore;
use feitian_store::sim::SimDisk;
use feitian_types::arrow::engine_schema;
use feitian_types::{Column, DataType, TableSchema};
use feitian_warehouse::{BatchSource, Config, NewTable, RowRange, SessionInfo, SessionRequest, UserCode, Warehouse};
use futures::StreamExt;

/// Seeds of the short form; `FEITIAN_TEST_LONG=1` runs ten times as many.
const SEEDS: u64 = 1000;
const ROWS: i64 = 3;

fn config(dir: &std::path::Path) -> Config {
    Config {
        data_dir: "/data".into(),
        tmp_dir: dir.join("tmp"),
        memory_per_instance: 64 << 20,
        spill_limit: 64 << 20,
        running_per_project: 1,
        running_total: 1,
        node: "test".into(),
        default_project_timezone: "Asia/Shanghai".into(),
        user_code: UserCode::default(),
        settings: Vec::new(),
        table_store: None,
    }
}

async fn open(disk: &SimDisk, meta: &Meta, dir: &std::path::Path) -> Result<Warehouse> {
    let store = LocalStore::open_on(disk.clone(), "/data")?;
    Warehouse::open_idle(config(dir), meta.clone(), Arc::new(store), Tasks::new()).await
}

fn columns() -> Vec<Column> {
    vec![Column::new("session", DataType::BigInt), Column::new("row", DataType::BigInt)]
}

fn batch(session: i64) -> RecordBatch {
    let ids = Int64Array::from(vec![session; ROWS as usize]);
    let rows = Int64Array::from((0..ROWS).collect::<Vec<_>>());
    RecordBatch::try_new(engine_schema(&columns()), vec![Arc::new(ids), Arc::new(rows)]).expect("columns fit")
}

fn a_project() -> Project {
    Project {
        name: String::new(),
        owner_id: "1".into(),
        owner_name: "test".into(),
        comment: String::new(),
        properties: "{}".into(),
        created_ms: 1,
        modified_ms: 1,
    }
}

fn request(project: &str, overwrite: bool) -> SessionRequest {
    SessionRequest {
        project: project.into(),
        table: "t".into(),
        partition: None,
        overwrite,
        create_partition: false,
        schema_version: None,
    }
}

/// What the client knows when the power goes.
#[derive(Default)]
struct Client {
    /// Sessions whose commit was acknowledged, in order, with whether they overwrote.
    acknowledged: Vec<(i64, bool)>,
    /// The one whose commit had no answer.
    in_flight: Option<(i64, bool, SessionInfo)>,
}

async fn work(w: &Warehouse, project: &str, seed: u64, client: &mut Client) -> Result<()> {
    let schema = TableSchema { columns: columns(), partition_columns: Vec::new() };
    let new = NewTable {
        dir: None,
        project: project.into(),
        name: "t".into(),
        kind: "MANAGED_TABLE".into(),
        owner: "test".into(),
        schema,
        comment: String::new(),
        properties: serde_json::Map::new(),
        lifecycle: -1,
        view_text: None,
    };
    w.catalog().create(new, None, &Step::None).await?;
    for session in 1..=6_i64 {
        let overwrite = (seed + session as u64).is_multiple_of(4);
        let info = w.create_upload("test", request(project, overwrite)).await?;
        for block in 0..2 {
            let rows: BatchSource = Box::new(std::iter::once(Ok(batch(session))));
            w.write_block(&info, block, rows).await?;
        }
        client.in_flight = Some((session, overwrite, info.clone()));
        w.commit_upload(&info).await?;
        client.in_flight = None;
        client.acknowledged.push((session, overwrite));
        if session % 2 == 0 {
            join(w, project).await?;
        }
    }
    Ok(())
}

/// Makes one file of all that the sessions wrote.
async fn join(w: &Warehouse, project: &str) -> Result<()> {
    let id = w.catalog().open(project, "t").await?.row.id;
    w.join_files(&id, &[], 2).await.map(|_| ())
}

async fn rows_by_session(w: &Warehouse, project: &str) -> Result<BTreeMap<i64, Vec<i64>>> {
    let info = w.create_download("test", request(project, false)).await?;
    let range = RowRange { start: 0, count: u64::MAX };
    let (_, mut batches) = w.read_download(&info, range, None).await?;
    let mut found: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let (sessions, rows) =
            (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
        for i in 0..batch.num_rows() {
            found.entry(sessions.value(i)).or_default().push(rows.value(i));
        }
    }
    Ok(found)
}

/// The sessions that are visible after these commits, by the meaning of append and overwrite.
fn visible(commits: &[(i64, bool)]) -> Vec<i64> {
    let start = commits.iter().rposition(|(_, overwrite)| *overwrite).unwrap_or(0);
    commits[start..].iter().map(|(s, _)| *s).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_commit_is_lost_or_doubled_when_the_power_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    let meta = Meta::open(&format!("sqlite://{}/meta.db", dir.path().display())).await.expect("metadata");
    let owner = Account { id: "1".into(), name: "test".into(), enabled: true, admin: false, created_ms: 1 };
    meta.create_account(&owner).await.expect("an account");
    let seeds = if std::env::var_os("FEITIAN_TEST_LONG").is_some() { SEEDS * 10 } else { SEEDS };
    let (mut cut_short, mut acknowledged) = (0, 0);
    for seed in 0..seeds {
        let project = format!("p{seed}");
        meta.create_project(&Project { name: project.clone(), ..a_project() }).await.expect("a project");
        let disk = SimDisk::new(seed);
        let mut client = Client::default();
        let w = open(&disk, &meta, dir.path()).await.expect("an empty disk opens");
        // The whole workload makes some 150 changes; the cut falls anywhere in it, or after its end.
        let cut = seed * 7919 % 170;
        disk.cut_power_at(cut);
        let ended = work(&w, &project, seed, &mut client).await;
        cut_short += u64::from(ended.is_err());
        if let Err(e) = ended
            && disk.changes() < cut
        {
            panic!("seed {seed}: an error with the power on: {e:?}");
        }
        acknowledged += client.acknowledged.len();
        if seed % 2 == 1 {
            // At first only the process dies: another one finds what was not fsynced, too, and says that it is done.
            disk.cut_power_at(u64::MAX);
            let w = open(&disk, &meta, dir.path()).await.unwrap_or_else(|e| panic!("seed {seed}: take over: {e:?}"));
            if let Some((session, overwrite, info)) = client.in_flight.take() {
                let again = w.session("upload", &project, "t", &info.session.id).await.expect("the session survives");
                w.commit_upload(&again).await.unwrap_or_else(|e| panic!("seed {seed}: a commit taken over: {e:?}"));
                client.acknowledged.push((session, overwrite));
            }
        }
        let w = open(&disk.crash(), &meta, dir.path()).await.unwrap_or_else(|e| panic!("seed {seed}: reopen: {e:?}"));
        let mut expected = client.acknowledged.clone();
        let found = match rows_by_session(&w, &project).await {
            Ok(found) => found,
            Err(e) if e.code() == "ODPS-0130131" && expected.is_empty() => continue,
            Err(e) => panic!("seed {seed}: {e:?}"),
        };
        if let Some((session, overwrite, info)) = client.in_flight {
            let with = visible(&[expected.clone(), vec![(session, overwrite)]].concat());
            let now: Vec<i64> = found.keys().copied().collect();
            assert!(now == visible(&expected) || now == with, "seed {seed}: half a commit: {now:?}");
            // The client asks again, as it must after a lost answer.
            let again = w.session("upload", &project, "t", &info.session.id).await.expect("the session survives");
            w.commit_upload(&again).await.unwrap_or_else(|e| panic!("seed {seed}: second commit: {e:?}"));
            expected.push((session, overwrite));
        }
        join(&w, &project).await.unwrap_or_else(|e| panic!("seed {seed}: joining: {e:?}"));
        let found = rows_by_session(&w, &project).await.expect("readable");
        let twice: Vec<i64> = (0..ROWS).chain(0..ROWS).collect();
        for (session, rows) in &found {
            assert_eq!(rows, &twice, "seed {seed}, session {session}: both blocks once, in order");
        }
        let now: Vec<i64> = found.into_keys().collect();
        assert_eq!(now, visible(&expected), "seed {seed}");
    }
    assert!(cut_short > seeds / 2, "the cut must fall inside the work: {cut_short} of {seeds}");
    assert!(acknowledged as u64 > seeds, "there must be something to lose: {acknowledged}");
}
