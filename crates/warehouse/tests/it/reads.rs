//! What opening a table reads: a snapshot that is held is advanced with the new versions, and a first one begins at the
//! last checkpoint.

use feitian_warehouse::Warehouse;

use crate::old::{World, create, put};
use crate::watched::Watched;

/// Opens the table; its version and rows.
async fn open(w: &Warehouse) -> (i64, u64) {
    let open = w.catalog().open("p", "t").await.expect("the table");
    let snapshot = open.data().expect("a table");
    (snapshot.version, snapshot.num_rows())
}

/// A look at the commit file of this version ("Delta Log Entries" of the Delta protocol).
fn version(how: &str, version: i64) -> String {
    format!("{how} {version:020}.json")
}

// Version 0 creates the table and each write of one row adds a version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_held_is_advanced_with_the_new_versions_only() {
    let world = World::new().await;
    let store = Watched::on(&world);
    let (busy, idle) = (world.open().await, world.open_on(store.clone()).await);
    create(&busy, &[]).await;
    for n in 0..10 {
        put(&busy, None, &[n]).await.expect("written");
    }
    assert_eq!(open(&idle).await, (10, 10));
    let mut known = 10;
    for new in [0, 1, 7, 30] {
        for n in 0..new {
            put(&busy, None, &[n]).await.expect("written");
        }
        store.take();
        assert_eq!(open(&idle).await, (known + new, (known + new) as u64));
        // The new ones, the one that is not there yet, and whether the log was cleaned meanwhile: two more than new ones.
        let mut wanted: Vec<_> = (known + 1..=known + new + 1).map(|v| version("get", v)).collect();
        wanted.push(version("head", known));
        assert_eq!(store.take(), wanted, "{new} versions after {known}");
        known += new;
    }
}

// A checkpoint is written at version 100; 130 writes of one row are versions 1 to 130.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_snapshot_begins_at_the_last_checkpoint() {
    let world = World::new().await;
    let busy = world.open().await;
    create(&busy, &[]).await;
    for n in 0..130 {
        put(&busy, None, &[n]).await.expect("written");
    }
    // Waits for the checkpoint.
    busy.shutdown().await;
    let store = Watched::on(&world);
    let cold = world.open_on(store.clone()).await;
    store.take();
    assert_eq!(open(&cold).await, (130, 130));
    let reads = store.take();
    let (commits, others): (Vec<_>, Vec<_>) =
        reads.into_iter().partition(|r| r.starts_with("get ") && r.ends_with(".json"));
    // The checkpoint's own version tells when it was committed; the last one asked for is not there yet.
    assert_eq!(commits, (100..=131).map(|v| version("get", v)).collect::<Vec<_>>());
    let checkpoint = format!("{:020}.checkpoint.parquet", 100);
    let wanted = [
        "get _last_checkpoint".to_string(),
        format!("head {checkpoint}"),
        version("head", 100),
        format!("get {checkpoint}"),
        version("head", 130),
    ];
    assert_eq!(others, wanted, "nothing is listed, and nothing of the versions before is looked at");
    assert_eq!(open(&cold).await, (130, 130));
    assert_eq!(store.take(), [version("get", 131), version("head", 130)], "it is held from now on");
}
