//! Sessions of the storage API: versions that stay readable, blocks that stay until their session ends, commits that come
//! twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use feitian_types::arrow::engine_schema;
use feitian_types::{Column, DataType};
use feitian_warehouse::{BatchSource, RowRange, ScanInfo, ScanOptions, SessionInfo, SessionRequest, Split, Warehouse};
use futures::StreamExt;

use crate::old::{World, create, put};

fn everything(split: Split) -> ScanOptions {
    ScanOptions {
        columns: vec![],
        partition_columns: vec![],
        partitions: vec![],
        split,
        cross_partition: true,
        filter: String::new(),
    }
}

async fn open(w: &Warehouse, options: ScanOptions) -> ScanInfo {
    w.create_scan("test", "p", "t", options).await.expect("a session")
}

/// The numbers of each split.
async fn read(w: &Warehouse, scan: &ScanInfo) -> Vec<Vec<i64>> {
    let mut splits = Vec::new();
    for split in 0..scan.num_splits {
        let (_, mut batches) = w.read_scan(scan, split, None).await.expect("readable");
        let mut found: Vec<i64> = Vec::new();
        while let Some(batch) = batches.next().await {
            found.extend(batch.expect("a batch").column(0).as_primitive::<Int64Type>().values());
        }
        splits.push(found);
    }
    splits
}

async fn all(w: &Warehouse) -> Vec<i64> {
    let mut numbers = read(w, &open(w, everything(Split::Count(3))).await).await.concat();
    numbers.sort_unstable();
    numbers
}

async fn write(w: &Warehouse, overwrite: bool, limit: u64) -> SessionInfo {
    let request = SessionRequest {
        project: "p".into(),
        table: "t".into(),
        partition: None,
        overwrite,
        create_partition: false,
        schema_version: None,
    };
    w.create_write("test", request, limit).await.expect("a session")
}

/// Rows of a table without partitions, or with the partition that each is of.
fn rows(numbers: &[i64], days: Option<&[&str]>) -> BatchSource {
    let mut columns = vec![Column::new("n", DataType::BigInt)];
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(numbers.to_vec()))];
    if let Some(days) = days {
        columns.push(Column::new("ds", DataType::String));
        arrays.push(Arc::new(StringArray::from(days.to_vec())));
    }
    let batch = RecordBatch::try_new(engine_schema(&columns), arrays);
    Box::new(std::iter::once(Ok(batch.expect("columns fit"))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_session_keeps_its_version_in_every_process() {
    let world = World::new().await;
    let (here, there) = (world.open().await, world.open().await);
    create(&here, &[]).await;
    for first in [0, 4, 8] {
        put(&here, None, &[first, first + 1, first + 2, first + 3]).await.expect("written");
    }
    let scan = open(&here, everything(Split::Count(5))).await;
    let splits = read(&here, &scan).await;
    // Twelve rows in five splits.
    assert_eq!(splits.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 3, 2, 3]);
    let mut sorted = splits.concat();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..12).collect::<Vec<_>>());

    let session = write(&here, true, 1).await;
    here.write_block(&session, 0, rows(&[99], None)).await.expect("written");
    here.commit_write(&session, &BTreeSet::from([0])).await.expect("committed");
    here.collect(Duration::ZERO).await.expect("collected");
    assert_eq!(all(&there).await, [99]);
    let found = there.scan("p", "t", &scan.session.id).await.expect("the session");
    assert_eq!((found.num_splits, found.session.record_count), (5, 12));
    assert_eq!(read(&there, &found).await, splits);
    assert_eq!(there.scan("p", "t", &session.session.id).await.expect_err("a write session").code(), "NoSuchDownload");
    assert_eq!(
        there.read_scan(&found, 5, None).await.err().map(|e| e.code().to_string()).as_deref(),
        Some("InvalidArgument")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_stay_until_their_session_ends_and_the_unnamed_go_then() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &["ds"]).await;
    let session = write(&w, true, 3).await;
    w.write_block(&session, 0, rows(&[666, 667], Some(&["a", "lost"]))).await.expect("written");
    w.write_block(&session, 1, rows(&[1, 2, 3], Some(&["a", "b", "a"]))).await.expect("written");
    w.write_block(&session, 2, rows(&[4], Some(&["c"]))).await.expect("written");
    assert_eq!(w.collect(Duration::ZERO).await.expect("collected"), 0, "an open session keeps its files");
    let missing = w.commit_write(&session, &BTreeSet::from([1, 7])).await.expect_err("block 7 was never written");
    assert_eq!(missing.code(), "InvalidArgument");
    for _ in 0..2 {
        let done = w.commit_write(&session, &BTreeSet::from([1, 2])).await.expect("committed");
        assert_eq!(done.session.status, "closed");
        assert_eq!(all(&w).await, [1, 2, 3, 4]);
    }
    assert_eq!(w.collect(Duration::ZERO).await.expect("collected"), 2, "the two files of block 0");
    assert_eq!(all(&w).await, [1, 2, 3, 4]);
    let listed = w.list_partitions("p", "t", None, false, None, 10).await.expect("partitions");
    assert_eq!(listed.items.iter().map(|p| p.spec.as_str()).collect::<Vec<_>>(), ["ds=a", "ds=b", "ds=c"]);
    // Only what gets rows is overwritten; a fourth partition is one too many for the session.
    let session = write(&w, true, 3).await;
    let four = w.write_block(&session, 0, rows(&[1, 2, 3, 4], Some(&["a", "b", "c", "d"]))).await;
    assert_eq!(four.expect_err("four partitions").code(), "ODPS-0123031");
    w.write_block(&session, 0, rows(&[5], Some(&["b"]))).await.expect("written");
    w.commit_write(&session, &BTreeSet::from([0])).await.expect("committed");
    assert_eq!(all(&w).await, [1, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_commits_at_once_are_one() {
    let world = World::new().await;
    let (here, there) = (world.open().await, world.open().await);
    create(&here, &["ds"]).await;
    let session = write(&here, false, 2).await;
    here.write_block(&session, 0, rows(&[1, 2], Some(&["a", "b"]))).await.expect("written");
    let named = BTreeSet::from([0]);
    let (a, b) = tokio::join!(here.commit_write(&session, &named), there.commit_write(&session, &named));
    assert_eq!(a.expect("committed").session.status, "closed");
    assert_eq!(b.expect("committed").session.status, "closed");
    assert_eq!(all(&here).await, [1, 2]);
    let late = here.write_block(&session, 1, rows(&[3], Some(&["a"]))).await;
    assert_eq!(late.expect_err("the session has ended").code(), "StatusConflict");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_look_at_rows_and_partitions() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &["ds"]).await;
    let session = write(&w, false, 10).await;
    w.write_block(&session, 0, rows(&[1, 2, 3, 4], Some(&["a", "a", "b", "b"]))).await.expect("written");
    w.commit_write(&session, &BTreeSet::from([0])).await.expect("committed");
    for (filter, want) in [
        ("n > 1", vec![2, 3, 4]),
        ("ds = 'b' AND n % 2 = 0", vec![4]),
        ("t.ds = 'a' OR n IS NULL", vec![1, 2]),
        ("n > 9", vec![]),
    ] {
        for count in [1, 4] {
            let options = ScanOptions { filter: filter.into(), ..everything(Split::Count(count)) };
            assert_eq!(read(&w, &open(&w, options).await).await.concat(), want, "{filter}");
        }
    }
    let only_b = ScanOptions { partitions: vec!["ds=b".into()], ..everything(Split::Count(1)) };
    assert_eq!(read(&w, &open(&w, only_b).await).await, [[3, 4]]);
    let by_number = open(&w, everything(Split::Rows)).await;
    let range = RowRange { start: 1, count: 2 };
    let (columns, mut batches) = w.read_scan(&by_number, 0, Some(range)).await.expect("readable");
    assert_eq!(columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["n", "ds"]);
    let mut found: Vec<i64> = Vec::new();
    while let Some(batch) = batches.next().await {
        found.extend(batch.expect("a batch").column(0).as_primitive::<Int64Type>().values());
    }
    assert_eq!(found, [2, 3]);
    for filter in ["n IN (SELECT n FROM t)", "n = 1 LIMIT 1", "n", "m = 1", "rand() < 2"] {
        let options = ScanOptions { filter: filter.into(), ..everything(Split::Count(1)) };
        let refused = w.create_scan("test", "p", "t", options).await.expect_err("no condition on a row");
        assert!(refused.code().starts_with("ODPS-01"), "{filter}: {refused:?}");
    }
}
