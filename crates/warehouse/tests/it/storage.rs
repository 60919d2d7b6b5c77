//! Sessions of the storage API: versions that stay readable, blocks that stay until their session ends, commits that come
//! twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use feitian_types::arrow::engine_schema;
use feitian_types::{Column, DataType};
use feitian_warehouse::{
    BatchSource, RowRange, ScanInfo, ScanOptions, SessionInfo, SessionRequest, Split, StreamName, StreamPart,
    StreamPlace, Warehouse,
};
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

async fn streamed(w: &Warehouse, overwrite: bool) -> SessionInfo {
    let request = SessionRequest {
        project: "p".into(),
        table: "t".into(),
        partition: None,
        overwrite,
        create_partition: false,
        schema_version: None,
    };
    w.create_streamed("test", request).await.expect("a session")
}

fn stream(id: &str, version: i64) -> StreamName {
    StreamName { id: id.into(), version }
}

async fn found(w: &Warehouse, session: &SessionInfo) -> SessionInfo {
    w.session("storage_stream", "p", "t", &session.session.id).await.expect("the session")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_takes_the_streams_that_it_names_or_the_newest_of_each_once() {
    let world = World::new().await;
    let (here, there) = (world.open().await, world.open().await);
    create(&here, &[]).await;
    put(&here, None, &[0]).await.expect("written");
    let session = streamed(&here, false).await;
    for (name, numbers) in [(stream("a", 1), [1, 2]), (stream("a", 2), [3, 4]), (stream("b", 1), [5, 6])] {
        here.open_write_stream(&session, &name, false).await.expect("begun");
        // Begun twice, it is the one.
        there.open_write_stream(&session, &name, false).await.expect("begun");
        for number in numbers {
            here.write_to_stream(&session, &name, StreamPart::default(), rows(&[number], None)).await.expect("written");
        }
    }
    let missing = here.write_to_stream(&session, &stream("c", 1), StreamPart::default(), rows(&[9], None)).await;
    assert_eq!(missing.expect_err("never begun").code(), "NoSuchObject");
    let closed = here.close_write_stream(&session, &stream("b", 1)).await.expect("closed");
    assert_eq!((closed.num_rows, closed.is_closed), (2, true));
    assert_eq!(here.close_write_stream(&session, &stream("b", 1)).await.expect("closed"), closed);
    let late = here.write_to_stream(&session, &stream("b", 1), StreamPart::default(), rows(&[9], None)).await;
    assert_eq!(late.expect_err("closed").code(), "StatusConflict");
    for (names, code) in
        [(vec![stream("a", 3)], "NoSuchObject"), (vec![stream("a", 1), stream("a", 2)], "InvalidArgument")]
    {
        assert_eq!(here.commit_streams(&session, &names).await.expect_err("wrong names").code(), code);
    }
    // What an open session has written stays, however old it is.
    here.collect(Duration::ZERO).await.expect("collected");
    let (a, b) = tokio::join!(here.commit_streams(&session, &[]), there.commit_streams(&session, &[]));
    assert_eq!(a.expect("committed").session.status, "closed");
    assert_eq!(b.expect("committed").session.status, "closed");
    assert_eq!(all(&there).await, [0, 3, 4, 5, 6]);
    let again = found(&there, &session).await;
    assert_eq!(there.commit_streams(&again, &[]).await.expect("a second time").session.status, "closed");
    assert_eq!(all(&here).await, [0, 3, 4, 5, 6]);
    let late = here.write_to_stream(&again, &stream("a", 2), StreamPart::default(), rows(&[9], None)).await;
    assert_eq!(late.expect_err("committed").code(), "StatusConflict");

    let session = streamed(&here, true).await;
    for (name, number) in [(stream("a", 1), 7), (stream("a", 2), 8), (stream("b", 1), 9)] {
        here.open_write_stream(&session, &name, false).await.expect("begun");
        here.write_to_stream(&session, &name, StreamPart::default(), rows(&[number], None)).await.expect("written");
    }
    here.commit_streams(&session, &[stream("a", 1)]).await.expect("committed");
    assert_eq!(all(&there).await, [7]);

    // A session that ends without its rows.
    let session = streamed(&here, true).await;
    here.open_write_stream(&session, &stream("a", 1), false).await.expect("begun");
    here.write_to_stream(&session, &stream("a", 1), StreamPart::default(), rows(&[1], None)).await.expect("written");
    here.abort_upsert(&session).await.expect("aborted");
    there.abort_upsert(&session).await.expect("aborted");
    let refused = here.commit_streams(&found(&here, &session).await, &[]).await;
    assert_eq!(refused.expect_err("aborted").code(), "StatusConflict");
    assert_eq!(all(&there).await, [7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_their_client_counts_come_once_however_often_they_are_sent() {
    let world = World::new().await;
    let (here, there) = (world.open().await, world.open().await);
    create(&here, &[]).await;
    let session = streamed(&here, false).await;
    let name = stream("a", 1);
    let old = here.open_write_stream(&session, &name, true).await.expect("begun").token.expect("a token");
    let token = here.open_write_stream(&session, &name, true).await.expect("begun").token.expect("a token");
    let place = |row: i64, token: &str| StreamPart {
        place: Some(StreamPlace { row, token: token.into() }),
        ..StreamPart::default()
    };
    let first = || rows(&[1, 2], None);
    let (a, b) = tokio::join!(
        here.write_to_stream(&session, &name, place(0, &token), first()),
        there.write_to_stream(&session, &name, place(0, &token), first())
    );
    assert_eq!((a.expect("written").num_rows, b.expect("written").num_rows), (2, 2));
    let next = here.write_to_stream(&session, &name, place(2, &token), rows(&[3], None)).await;
    assert_eq!(next.expect("written").num_rows, 3);
    // It comes late, when the stream has gone on.
    let late = there.write_to_stream(&session, &name, place(0, &token), first()).await;
    assert_eq!(late.expect("known").num_rows, 3);
    for (place, code) in [
        // A gap, rows that overlap, a client that has been replaced, one that does not count.
        (place(4, &token), "InvalidArgument"),
        (place(1, &token), "InvalidArgument"),
        (place(3, &old), "StatusConflict"),
        (StreamPart::default(), "InvalidArgument"),
    ] {
        let refused = here.write_to_stream(&session, &name, place, rows(&[9, 9], None)).await;
        assert_eq!(refused.expect_err("refused").code(), code);
    }
    // Of a client that does not count, but says that it sends a request again.
    let again = |id: &str, is_again| StreamPart { request: Some((id.into(), is_again)), ..StreamPart::default() };
    here.open_write_stream(&session, &stream("b", 1), false).await.expect("begun");
    // The first attempt at the last one comes behind the second.
    let parts = [(again("x", false), 1), (again("x", true), 1), (again("y", true), 2), (again("y", false), 2)];
    for (part, rows_then) in parts {
        let written = there.write_to_stream(&session, &stream("b", 1), part, rows(&[4], None)).await;
        assert_eq!(written.expect("written").num_rows, rows_then);
    }
    here.commit_streams(&session, &[]).await.expect("committed");
    assert_eq!(all(&there).await, [1, 2, 3, 4, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_stream_name_their_partitions() {
    let world = World::new().await;
    let w = world.open().await;
    create(&w, &["ds"]).await;
    let session = streamed(&w, false).await;
    for (id, numbers, days) in [("a", [1, 2], ["x", "y"]), ("b", [3, 4], ["y", "y"])] {
        w.open_write_stream(&session, &stream(id, 1), false).await.expect("begun");
        let rows = rows(&numbers, Some(&days));
        let written = w.write_to_stream(&session, &stream(id, 1), StreamPart::default(), rows).await;
        assert_eq!(written.expect("written").num_rows, 2);
    }
    w.collect(Duration::ZERO).await.expect("collected");
    w.commit_streams(&session, &[]).await.expect("committed");
    assert_eq!(all(&w).await, [1, 2, 3, 4]);
    let only = ScanOptions { partitions: vec!["ds=y".into()], ..everything(Split::Count(1)) };
    let mut numbers = read(&w, &open(&w, only).await).await.concat();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3, 4]);
}
