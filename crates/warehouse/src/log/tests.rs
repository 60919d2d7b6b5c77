//! The power goes at a random step of writing, checkpointing and cleaning a log: no version is lost, and other readers read
//! what we read. The disk forgets what was not synced.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use feitian_base::clock;
use feitian_store::LocalStore;
use feitian_store::sim::SimDisk;
use feitian_types::{Column, DataType};

use super::*;
use crate::disk;

const LAST: i64 = 24;
const SEEDS: u64 = 20;

fn name(version: i64) -> String {
    format!("{version:04}.parquet")
}

fn file(version: i64) -> Arc<DataFile> {
    let stats = Some(format!(r#"{{"numRecords":{}}}"#, version + 1));
    let (num_bytes, num_rows) = (100 + version, version + 1);
    Arc::new(DataFile { path: name(version), partition_values: Vec::new(), num_bytes, num_rows, modified_ms: 1, stats })
}

/// Every version adds a file, every fifth removes the one of three versions before.
fn commit(version: i64) -> Commit {
    let schema_json = disk::delta_schema(&[Column::new("n", DataType::BigInt)], &[]);
    let described =
        MetadataAction { table_id: "t".into(), schema_json, with_protocol: true, ..MetadataAction::default() };
    Commit {
        operation: "WRITE",
        timestamp_ms: clock::now_ms(),
        txn: Some((format!("owner{version}"), 0)),
        read_version: (version > 0).then_some(version - 1),
        reads: BTreeMap::from([("other".to_string(), 7)]),
        metadata: (version == 0).then_some(described),
        add: vec![file(version)],
        remove: if version % 5 == 4 { vec![file(version - 3)] } else { Vec::new() },
        partition_columns: Vec::new(),
        keeps_rows: false,
        is_blind_append: false,
    }
}

fn expected(version: i64) -> BTreeSet<String> {
    let gone = (0..=version).filter(|v| v % 5 == 4).map(|v| name(v - 3)).collect::<BTreeSet<_>>();
    (0..=version).map(name).filter(|n| !gone.contains(n)).collect()
}

fn log_on(disk: &SimDisk) -> Result<DeltaLog> {
    Ok(DeltaLog::new(Arc::new(LocalStore::open_on(disk.clone(), "/data")?), "warehouse/p/t-1"))
}

/// Writes the versions after `done`, which becomes the last one that was acknowledged.
async fn work(log: &DeltaLog, done: &mut i64) -> Result<()> {
    for version in *done + 1..=LAST {
        assert!(log.put(version, &commit(version)).await?, "version {version} is new");
        *done = version;
        if version % 8 == 0 {
            log.checkpoint(version).await?;
        }
        if version % 10 == 0 {
            log.clean(i64::MAX, version).await?;
        }
    }
    log.clean(i64::MAX, LAST).await.map(|_| ())
}

fn paths(files: &[Arc<DataFile>]) -> BTreeSet<String> {
    files.iter().map(|f| f.path.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_version_is_lost_when_the_power_goes_while_a_log_is_checkpointed_and_cleaned() {
    let whole = SimDisk::new(0);
    work(&log_on(&whole).unwrap(), &mut -1).await.unwrap();
    let (changes, mut cut_short) = (whole.changes(), 0);
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        disk.cut_power_at(seed * 7919 % changes);
        let mut done = -1;
        let ended = match log_on(&disk) {
            Ok(log) => work(&log, &mut done).await,
            Err(e) => Err(e),
        };
        cut_short += u64::from(ended.is_err());
        let log = log_on(&disk.crash()).unwrap();
        let found = match log.load(None).await {
            Ok(found) => found.version,
            Err(_) if done < 0 => -1,
            Err(e) => panic!("seed {seed}: after version {done}: {e:?}"),
        };
        assert!(found == done || found == done + 1, "seed {seed}: version {found}, {done} was acknowledged");
        for version in (0..=found).rev().take(3) {
            let owner = format!("owner{version}");
            assert_eq!(log.txn_in_log(found, &owner).await.unwrap(), Some(0), "seed {seed}: {owner}");
        }
        if found >= 0 {
            assert_eq!(paths(log.load(None).await.unwrap().files()), expected(found), "seed {seed}");
        }
        done = found;
        work(&log, &mut done).await.unwrap_or_else(|e| panic!("seed {seed}: going on: {e:?}"));
        assert_eq!(paths(log.load(None).await.unwrap().files()), expected(LAST), "seed {seed}");
        let others = log.load_by_library(LAST).await.unwrap_or_else(|e| panic!("seed {seed}: other readers: {e:?}"));
        assert_eq!(paths(&others.files), expected(LAST), "seed {seed}: other readers");
        // A cut just before it takes the last checkpoint, at 24; the one before is at 16.
        let left = log.log_files().await.unwrap().iter().map(|f| f.version).min();
        assert!(matches!(left, Some(16 | 24)), "seed {seed}: the log begins at version {left:?}");
    }
    assert!(cut_short > SEEDS / 2, "the cut must fall inside the work: {cut_short} of {SEEDS}");
}
