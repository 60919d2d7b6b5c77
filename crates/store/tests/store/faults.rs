//! Disks that fail: failed syncs, a full disk, vanished directories, other mounts; and the order of the changes.

use std::io::ErrorKind;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use feitian_base::Kind;
use feitian_store::sim::SimDisk;
use feitian_store::{FileLayer, LocalStore, base_error, storage_full};
use futures::TryStreamExt;
use futures::executor::block_on;
use object_store::path::Path;
use object_store::{CopyMode, CopyOptions, Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode};

use crate::spy::{Spy, Verdict};

/// A store on a new disk that fails the first change for which `rule` says so, counting from the opening.
fn store_that(
    rule: impl Fn(&str, &FilePath) -> Verdict + Send + Sync + 'static,
) -> (LocalStore<Spy<SimDisk>>, SimDisk) {
    let disk = SimDisk::new(1);
    feitian_store::create_dir_all(&disk, FilePath::new("/data")).unwrap();
    let spy = Spy::new(disk.clone(), move |change, path| match path.starts_with("/data") {
        true => rule(change, path),
        false => Verdict::Do,
    });
    (LocalStore::open_on(spy, "/data").unwrap(), disk)
}

/// Fails the first change called `change`, later ones succeed.
fn failing_once(change: &'static str, kind: ErrorKind) -> impl Fn(&str, &FilePath) -> Verdict + Send + Sync + 'static {
    let seen = AtomicU32::new(0);
    move |this, _| match this == change && seen.fetch_add(1, Ordering::SeqCst) == 0 {
        true => Verdict::Fail(kind),
        false => Verdict::Do,
    }
}

fn names(disk: &SimDisk, dir: &str) -> Vec<String> {
    disk.list_dir(FilePath::new(dir)).unwrap().into_iter().map(|e| e.name.into_string().unwrap()).collect()
}

/// The order is the promise: a name never appears before its content is synced, and the directory comes last.
#[test]
fn every_write_syncs_content_before_name_and_name_before_the_answer() {
    let spy = Spy::new(SimDisk::new(1), |_, _| Verdict::Do);
    let store = LocalStore::open_on(spy.clone(), "/data").unwrap();
    assert_eq!(spy.take_log(), ["mkdir /data", "sync_dir /"]);

    let location = Path::from("t/p=1/a");
    block_on(store.put_opts(&location, "x".into(), PutMode::Create.into())).unwrap();
    assert_eq!(
        spy.take_log(),
        [
            "mkdir /data/t",
            "sync_dir /data",
            "mkdir /data/t/p=1",
            "sync_dir /data/t",
            "create /data/t/p=1/.tmp-*",
            "write /data/t/p=1/.tmp-*",
            "sync /data/t/p=1/.tmp-*",
            "link /data/t/p=1/a",
            "unlink /data/t/p=1/.tmp-*",
            "sync_dir /data/t/p=1",
        ]
    );

    block_on(store.put(&location, "y".into())).unwrap();
    let log = spy.take_log();
    assert_eq!(log[2..4], ["sync /data/t/p=1/.tmp-*", "rename /data/t/p=1/a"]);
    assert_eq!(log.last().unwrap(), "sync_dir /data/t/p=1");

    block_on(async {
        let mut upload = store.put_multipart(&location).await?;
        upload.put_part("1".into()).await?;
        upload.put_part("2".into()).await?;
        upload.complete().await
    })
    .unwrap();
    let log = spy.take_log();
    assert_eq!(log[3..5], ["sync /data/t/p=1/.tmp-*", "rename /data/t/p=1/a"]);
    assert_eq!(log.last().unwrap(), "sync_dir /data/t/p=1");

    block_on(store.delete(&location)).unwrap();
    assert_eq!(spy.take_log(), ["unlink /data/t/p=1/a", "sync_dir /data/t/p=1"]);
}

#[test]
fn a_failed_sync_of_a_file_fails_the_write_and_leaves_nothing() {
    let (store, disk) = store_that(failing_once("sync", ErrorKind::Other));
    let location = Path::from("t/a");
    block_on(store.put(&location, "x".into())).unwrap_err();
    assert!(names(&disk, "/data/t").is_empty());
    assert!(store.failure().is_none());
    // A new attempt writes and syncs another file, so its success means something.
    block_on(store.put(&location, "x".into())).unwrap();
    assert_eq!(names(&disk.crash(), "/data/t"), ["a"]);
}

#[test]
fn a_failed_sync_of_a_file_fails_the_upload_and_cannot_be_repeated() {
    let (store, disk) = store_that(failing_once("sync", ErrorKind::Other));
    block_on(async {
        let mut upload = store.put_multipart(&Path::from("t/a")).await.unwrap();
        upload.put_part("x".into()).await.unwrap();
        upload.complete().await.unwrap_err();
        upload.complete().await.unwrap_err();
    });
    assert!(names(&disk, "/data/t").is_empty());
}

/// After a failed fsync the kernel calls the lost pages clean, and the next fsync succeeds: PostgreSQL's "fsyncgate"
/// of 2018. The object is visible, so whoever reads it or finds it taken would build on sand.
#[test]
fn a_failed_sync_of_a_directory_stops_the_store() {
    let (store, disk) = store_that(failing_once("sync_dir", ErrorKind::Other));
    let location = Path::from("a");
    let first = block_on(store.put_opts(&location, "x".into(), PutMode::Create.into())).unwrap_err();
    assert!(!matches!(first, Error::AlreadyExists { .. }));

    let stopped = |error: Error| {
        let error = base_error(error);
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.message().contains("the directory /data could not be synced"), "{error}");
        assert!(error.message().contains("restart"), "{error}");
    };
    stopped(block_on(store.put_opts(&location, "x".into(), PutMode::Create.into())).unwrap_err());
    stopped(block_on(store.get(&location)).unwrap_err());
    stopped(block_on(store.get_ranges(&location, &[0..1])).unwrap_err());
    stopped(block_on(store.delete(&location)).unwrap_err());
    stopped(block_on(store.list(None).try_collect::<Vec<_>>()).unwrap_err());
    stopped(block_on(store.list_with_delimiter(None)).unwrap_err());
    stopped(block_on(store.put_multipart(&location)).unwrap_err());
    assert!(store.failure().is_some());

    let reopened = LocalStore::open_on(disk.crash(), "/data").unwrap();
    block_on(reopened.put(&location, "x".into())).unwrap();
}

#[test]
fn a_full_disk_is_recognised_leaves_nothing_and_hurts_nothing() {
    let disk = SimDisk::new(1);
    let store = LocalStore::open_on(disk.clone(), "/data").unwrap();
    block_on(store.put(&Path::from("a"), vec![1u8; 60].into())).unwrap();
    disk.limit_bytes(100);
    assert_eq!(block_on(store.free_bytes()).unwrap(), 40);

    let full = block_on(store.put(&Path::from("b"), vec![2u8; 60].into())).unwrap_err();
    assert!(storage_full(&full), "{full}");
    let full = base_error(full);
    assert_eq!((full.kind(), full.code()), (Kind::Unavailable, "ServiceUnavailable"));
    assert!(full.message().contains("the disk is full") && full.message().contains("/data/b"), "{full}");

    block_on(async {
        let mut upload = store.put_multipart(&Path::from("c")).await.unwrap();
        upload.put_part(vec![3u8; 30].into()).await.unwrap();
        assert!(storage_full(&upload.put_part(vec![3u8; 30].into()).await.unwrap_err()));
        let incomplete = upload.complete().await.unwrap_err().to_string();
        assert!(incomplete.contains("30 of 60 bytes"), "{incomplete}");
    });

    assert_eq!(names(&disk, "/data"), ["a"]);
    block_on(store.put(&Path::from("b"), vec![2u8; 40].into())).unwrap();
    assert_eq!(block_on(store.free_bytes()).unwrap(), 0);
}

#[test]
fn objects_leave_free_what_is_kept_and_small_ones_half_of_it() {
    let disk = SimDisk::new(1);
    let store = LocalStore::open_on(disk.clone(), "/data").unwrap();
    disk.limit_bytes(1_000_000);
    store.keep_free(400_000);
    let put = |name: &str, len: usize| block_on(store.put(&Path::from(name), vec![1u8; len].into()));
    put("a", 500_000).unwrap();
    let full = put("b", 100_001).unwrap_err();
    assert!(storage_full(&full), "{full}");
    block_on(async {
        let mut upload = store.put_multipart(&Path::from("c")).await.unwrap();
        upload.put_part(vec![3u8; 100_000].into()).await.unwrap();
        assert!(storage_full(&upload.put_part(vec![3u8; 70_000].into()).await.unwrap_err()));
        upload.abort().await.unwrap();
    });
    put("b", 100_000).unwrap();
    for name in ["d", "e", "f"] {
        put(name, 64 << 10).unwrap();
    }
    assert!(storage_full(&put("g", 64 << 10).unwrap_err()));
    assert_eq!(block_on(store.free_bytes()).unwrap(), 400_000 - 3 * (64 << 10));
    assert_eq!(names(&disk, "/data"), ["a", "b", "d", "e", "f"]);
}

#[test]
fn a_full_disk_is_seen_through_the_wrappers_of_other_libraries() {
    let io = std::io::Error::from(ErrorKind::StorageFull);
    let store: Error = Error::Generic { store: "x", source: Box::new(std::io::Error::other(io)) };
    let outer = std::io::Error::other(store);
    assert!(storage_full(&outer));
    assert!(storage_full(&std::io::Error::from(ErrorKind::QuotaExceeded)));
    assert!(!storage_full(&std::io::Error::other("no space left on device")));
}

#[test]
fn a_directory_that_vanished_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    block_on(store.put(&Path::from("t/p/a"), "x".into())).unwrap();
    std::fs::remove_dir_all(dir.path().join("t")).unwrap();
    block_on(store.put(&Path::from("t/p/a"), "y".into())).unwrap();
    std::fs::rename(dir.path().join("t/p/a"), dir.path().join("a")).unwrap();
    std::fs::remove_dir_all(dir.path().join("t")).unwrap();
    block_on(store.copy(&Path::from("a"), &Path::from("t/p/a"))).unwrap();
    assert_eq!(block_on(async { store.get(&Path::from("t/p/a")).await.unwrap().bytes().await.unwrap() }), "y");
}

/// A directory below the root may be another mount; a hard link cannot cross it, so the bytes are copied.
#[test]
fn a_copy_to_another_mount_copies_the_bytes() {
    let first_link = AtomicU32::new(0);
    let (store, disk) =
        store_that(move |change, _| match change == "link" && first_link.fetch_add(1, Ordering::SeqCst) == 1 {
            true => Verdict::Fail(ErrorKind::CrossesDevices),
            false => Verdict::Do,
        });
    // Create links once to publish; the second link is the copy's.
    let bytes: Vec<u8> = (0..(3 << 20) + 7u32).map(|i| i as u8).collect();
    block_on(async {
        store.put_opts(&Path::from("a"), bytes.clone().into(), PutMode::Create.into()).await.unwrap();
        let create = CopyOptions::new().with_mode(CopyMode::Create);
        store.copy_opts(&Path::from("a"), &Path::from("m/a"), create).await.unwrap();
        assert_eq!(store.get(&Path::from("m/a")).await.unwrap().bytes().await.unwrap(), bytes);
        let (a, m) = (store.head(&Path::from("a")).await.unwrap(), store.head(&Path::from("m/a")).await.unwrap());
        assert_ne!(a.e_tag, m.e_tag);
    });
    assert_eq!(names(&disk.crash(), "/data/m"), ["a"]);
}

#[test]
fn a_file_system_without_hard_links_is_named_as_the_reason() {
    let (store, _) = store_that(|change, _| match change {
        "link" => Verdict::Fail(ErrorKind::Unsupported),
        _ => Verdict::Do,
    });
    let error = block_on(store.put_opts(&Path::from("a"), "x".into(), PutMode::Create.into())).unwrap_err();
    assert!(error.to_string().contains("the file system must have hard links"), "{error}");
}

#[test]
fn thirty_two_creators_in_threads_have_one_winner_on_the_simulated_disk() {
    let disk = SimDisk::new(5);
    let store = LocalStore::open_on(disk.clone(), "/data").unwrap();
    let start = Arc::new(std::sync::Barrier::new(32));
    let threads: Vec<_> = (0..32)
        .map(|i| {
            let (store, start) = (store.clone(), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                let name = Path::from("t/log/0");
                block_on(store.put_opts(&name, format!("{i}").into(), PutMode::Create.into())).is_ok().then_some(i)
            })
        })
        .collect();
    let winners: Vec<i32> = threads.into_iter().filter_map(|t| t.join().unwrap()).collect();
    assert_eq!(winners.len(), 1);
    let after = LocalStore::open_on(disk.crash(), "/data").unwrap();
    let found = block_on(async { after.get(&Path::from("t/log/0")).await.unwrap().bytes().await.unwrap() });
    assert_eq!(found, winners[0].to_string());
}
