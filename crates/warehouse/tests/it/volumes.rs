//! Files of volumes: what somebody names stays, what nobody names is collected, and an upload that breaks off leaves nothing.
//! Expected contents are what was written.

use std::time::Duration;

use bytes::Bytes;
use feitian_base::{Error, Result};
use feitian_meta::{FS_VOLUME, Meta, ObjectName, Session, Volume, VolumeEntry};
use feitian_warehouse::{ByteStream, Warehouse, check};
use futures::{StreamExt, TryStreamExt};

use crate::old::World;

async fn with_volume(meta: &Meta) {
    let volume = Volume {
        id: "v1".into(),
        at: ObjectName { project: "p".into(), schema_name: "default".into(), name: "v".into() },
        kind: FS_VOLUME.into(),
        owner: "test".into(),
        comment: String::new(),
        created_ms: 1,
        modified_ms: 1,
    };
    meta.create_volume(&volume).await.expect("a volume");
}

fn session(id: &str, kind: &str) -> Session {
    Session {
        id: id.into(),
        kind: kind.into(),
        project: "p".into(),
        table_id: "v1".into(),
        schema_version: 0,
        log_version: -1,
        partition: "f".into(),
        overwrite: false,
        status: "normal".into(),
        owner: "test".into(),
        record_count: 0,
        created_ms: 1,
        expires_ms: i64::MAX,
        options: String::new(),
    }
}

fn pieces(pieces: Vec<Result<Bytes>>) -> ByteStream {
    futures::stream::iter(pieces).boxed()
}

async fn put(w: &Warehouse, id: &str, name: &str, content: &'static [u8]) -> VolumeEntry {
    let file = VolumeEntry { name: name.into(), ..VolumeEntry::default() };
    let bytes = pieces(vec![Ok(Bytes::from_static(content))]);
    w.put_volume_file(&session(id, "volume_upload"), true, file, bytes).await.expect("written")
}

async fn read(w: &Warehouse, file: &VolumeEntry) -> Vec<u8> {
    let bytes = w.read_volume_file(file, 0..file.num_bytes.unsigned_abs()).await.expect("read");
    bytes.try_collect::<Vec<_>>().await.expect("read").concat()
}

/// How many contents are on the disk.
fn on_disk(world: &World) -> usize {
    std::fs::read_dir(world.dir.path().join("volumes/p")).map_or(0, |entries| entries.count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_stay_as_long_as_somebody_names_them() {
    let world = World::new().await;
    with_volume(&world.meta).await;
    let (w, meta) = (world.open().await, &world.meta);
    put(&w, "s1", "f", b"first").await;
    w.commit_volume_upload(&session("s1", "volume_upload"), "").await.expect("committed");
    let reading = meta.open_volume_download(&session("r1", "volume_download"), "", "f").await.expect("a session");
    put(&w, "s2", "f", b"second").await;
    for _ in 0..2 {
        w.commit_volume_upload(&session("s2", "volume_upload"), "").await.expect("committed");
    }
    let pending = put(&w, "s3", "g", b"third").await;
    w.collect(Duration::ZERO).await.expect("collected");
    assert_eq!(on_disk(&world), 3);
    assert_eq!(read(&w, &reading).await, b"first");
    assert_eq!(read(&w, &pending).await, b"third");
    let now = meta.volume_entry("v1", "", "f").await.expect("asked").expect("there");
    assert_eq!(read(&w, &now).await, b"second");
    assert_eq!(check::run(&w, false).await.expect("checked").problems, Vec::<String>::new());
    // The sessions end: what was read and what was never committed goes.
    meta.expire_sessions(i64::MAX).await.expect("expired");
    w.collect(Duration::ZERO).await.expect("collected");
    assert_eq!((on_disk(&world), read(&w, &now).await), (1, b"second".to_vec()));
    std::fs::remove_file(world.dir.path().join(&now.object)).expect("removed");
    assert_eq!(check::run(&w, false).await.expect("checked").problems.len(), 1);
    meta.drop_volume(&ObjectName { project: "p".into(), schema_name: "default".into(), name: "v".into() })
        .await
        .expect("dropped");
    assert!(meta.all_volume_contents().await.expect("asked").is_empty());
    w.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let world = World::new().await;
    with_volume(&world.meta).await;
    let w = world.open().await;
    let file = VolumeEntry { name: "f".into(), ..VolumeEntry::default() };
    // More than one part of the store, then an error.
    let part = || Ok(Bytes::from(vec![7u8; 9 << 20]));
    let broken = pieces(vec![part(), part(), Err(Error::invalid("it broke off"))]);
    let e = w.put_volume_file(&session("s1", "volume_upload"), true, file.clone(), broken).await.unwrap_err();
    assert_eq!(e.message(), "it broke off");
    assert_eq!(world.meta.session("s1").await.unwrap(), None);
    assert!(world.meta.all_volume_contents().await.unwrap().is_empty());
    // The same in whole: 18 MiB, of which a range crosses the parts.
    let whole = pieces(vec![part(), part()]);
    let file = w.put_volume_file(&session("s1", "volume_upload"), true, file, whole).await.unwrap();
    assert_eq!(file.num_bytes, 18 << 20);
    let range = w.read_volume_file(&file, (9 << 20) - 2..(9 << 20) + 2).await.unwrap();
    assert_eq!(range.try_collect::<Vec<_>>().await.unwrap().concat(), [7u8; 4]);
    w.collect(Duration::ZERO).await.unwrap();
    assert_eq!(on_disk(&world), 1);
    w.shutdown().await;
}
