//! What every user of an object store relies on, on the machine's disk and on the simulated one.

use std::time::Duration;

use bytes::Bytes;
use feitian_store::sim::SimDisk;
use feitian_store::{FileLayer, LocalStore, RealDisk};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyMode, CopyOptions, Error, GetOptions, GetRange, MultipartUpload, ObjectStore,
    ObjectStoreExt, PutMode, PutOptions, PutPayload, RenameOptions, RenameTargetMode, UpdateVersion,
};
use tempfile::TempDir;

fn real() -> (LocalStore<RealDisk>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (LocalStore::open(dir.path().join("root")).unwrap(), dir)
}

fn simulated() -> LocalStore<SimDisk> {
    LocalStore::open_on(SimDisk::new(1), "/data").unwrap()
}

/// Runs one body on both disks.
macro_rules! on_both {
    ($(#[$doc:meta])* async fn $name:ident($store:ident) $body:block) => {
        mod $name {
            use super::*;
            async fn check<L: FileLayer>($store: &LocalStore<L>) $body
            #[tokio::test]
            async fn real_disk() {
                let (store, _dir) = real();
                check(&store).await;
            }
            #[tokio::test]
            async fn simulated_disk() {
                check(&simulated()).await;
            }
        }
    };
}

async fn put<L: FileLayer>(store: &LocalStore<L>, name: &str, bytes: &str) {
    store.put(&Path::parse(name).unwrap(), bytes.to_string().into()).await.unwrap();
}

async fn text<L: FileLayer>(store: &LocalStore<L>, name: &str) -> String {
    let found = store.get(&Path::parse(name).unwrap()).await.unwrap();
    String::from_utf8(found.bytes().await.unwrap().to_vec()).unwrap()
}

async fn listed<L: FileLayer>(store: &LocalStore<L>, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(Path::from);
    store.list(prefix.as_ref()).map_ok(|m| m.location.to_string()).try_collect().await.unwrap()
}

fn is_not_found<T: std::fmt::Debug>(result: object_store::Result<T>) -> bool {
    matches!(result, Err(Error::NotFound { .. }))
}

fn is_taken<T: std::fmt::Debug>(result: object_store::Result<T>) -> bool {
    matches!(result, Err(Error::AlreadyExists { .. }))
}

on_both! {
    async fn create_refuses_a_taken_name_and_overwrite_replaces(store) {
        let name = Path::from("t/a");
        let created = store.put_opts(&name, "one".into(), PutMode::Create.into()).await.unwrap();
        assert!(is_taken(store.put_opts(&name, "two".into(), PutMode::Create.into()).await));
        assert_eq!(text(store, "t/a").await, "one");
        assert_eq!(store.head(&name).await.unwrap().e_tag, created.e_tag);

        let replaced = store.put(&name, "three".into()).await.unwrap();
        assert_ne!(replaced.e_tag, created.e_tag);
        assert_eq!(text(store, "t/a").await, "three");
        assert_eq!(listed(store, None).await, ["t/a"]);
    }
}

on_both! {
    async fn what_we_do_not_do_is_refused(store) {
        let name = Path::from("a");
        put(store, "a", "x").await;
        let update = PutMode::Update(UpdateVersion { e_tag: None, version: None });
        let attributes = Attributes::from_iter([(Attribute::ContentType, "text/plain")]);
        let with_attributes = PutOptions { attributes: attributes.clone(), ..Default::default() };
        let version = GetOptions::new().with_version(Some("1"));
        for refused in [
            store.put_opts(&name, "y".into(), update.into()).await.unwrap_err(),
            store.put_opts(&name, "y".into(), with_attributes).await.unwrap_err(),
            store.put_multipart_opts(&name, attributes.into()).await.unwrap_err(),
            store.get_opts(&name, version).await.unwrap_err(),
        ] {
            assert!(matches!(refused, Error::NotImplemented { .. }), "{refused}");
        }
        assert_eq!(text(store, "a").await, "x");
    }
}

on_both! {
    async fn parts_of_an_object_are_read_exactly(store) {
        put(store, "a", "0123456789").await;
        let name = Path::from("a");
        let ranges = [0..3, 9..10, 4..4, 0..10];
        let parts = store.get_ranges(&name, &ranges).await.unwrap();
        assert_eq!(parts, ["012", "9", "", "0123456789"]);
        assert_eq!(store.get_range(&name, 2..5).await.unwrap(), "234");

        let beyond = store.get_ranges(&name, &[8..11]).await.unwrap_err();
        assert!(beyond.to_string().contains("8..11") && beyond.to_string().contains("10 bytes"), "{beyond}");
        assert!(store.get_ranges(&name, &[u64::MAX - 1..u64::MAX]).await.is_err());
        assert!(store.get_ranges(&name, &[std::ops::Range { start: 5, end: 2 }]).await.is_err());
        assert!(store.get_range(&name, 10..11).await.is_err());

        // RFC 9110, 14.1.2: a suffix longer than the whole is the whole; an end beyond it is cut.
        let suffix = GetOptions::new().with_range(Some(GetRange::Suffix(100)));
        assert_eq!(store.get_opts(&name, suffix).await.unwrap().bytes().await.unwrap(), "0123456789");
        let cut = store.get_opts(&name, GetOptions::new().with_range(Some(7..100))).await.unwrap();
        assert_eq!((cut.range.clone(), cut.meta.size), (7..10, 10));
        assert_eq!(cut.bytes().await.unwrap(), "789");

        let head = store.get_opts(&name, GetOptions::new().with_head(true)).await.unwrap();
        assert_eq!(head.meta.size, 10);
        assert_eq!(head.into_stream().count().await, 0);
    }
}

on_both! {
    async fn conditions_of_a_get_are_checked(store) {
        let tag = store.put(&Path::from("a"), "x".into()).await.unwrap().e_tag.unwrap();
        let get = |options: GetOptions| async move { store.get_opts(&Path::from("a"), options).await.map(drop) };
        get(GetOptions::new().with_if_match(Some(tag.clone()))).await.unwrap();
        let other = get(GetOptions::new().with_if_match(Some("other"))).await;
        assert!(matches!(other, Err(Error::Precondition { .. })));
        let same = get(GetOptions::new().with_if_none_match(Some(tag))).await;
        assert!(matches!(same, Err(Error::NotModified { .. })));
    }
}

on_both! {
    async fn large_objects_come_whole_and_in_pieces(store) {
        // One byte above what is read at once, so that the last piece is a short one.
        let bytes = Bytes::from_iter((0..(8 << 20) + 1u32).map(|i| (i ^ (i >> 11)) as u8));
        let name = Path::from("big");
        store.put(&name, bytes.clone().into()).await.unwrap();
        assert_eq!(store.get(&name).await.unwrap().bytes().await.unwrap(), bytes);
        let pieces: Vec<Bytes> = store.get(&name).await.unwrap().into_stream().try_collect().await.unwrap();
        assert_eq!(pieces.iter().map(Bytes::len).max(), Some(1 << 20));
        assert_eq!(pieces.concat(), bytes);
        assert_eq!(store.get_range(&name, 0..8 << 20).await.unwrap(), bytes.slice(..8 << 20));
    }
}

on_both! {
    async fn an_empty_object_is_an_object(store) {
        store.put(&Path::from("empty"), PutPayload::default()).await.unwrap();
        assert_eq!(text(store, "empty").await, "");
        let mut upload = store.put_multipart(&Path::from("empty2")).await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(text(store, "empty2").await, "");
    }
}

on_both! {
    async fn listings_are_in_the_order_of_whole_paths(store) {
        // ASCII: space 20, '-' 2D, '.' 2E, '/' 2F, '0' 30, '=' 3D. "a-b" and "a.b" sort before "a/".
        let sorted = ["a b/x", "a-b", "a.b", "a/b=1/x", "a/b=1/y", "a/b", "a0", "é/😀"];
        let mut expected = sorted.to_vec();
        expected.sort_unstable_by_key(|name| name.as_bytes());
        for name in sorted.iter().rev() {
            put(store, name, "x").await;
        }
        assert_eq!(listed(store, None).await, expected);
        assert_eq!(listed(store, Some("a")).await, ["a/b", "a/b=1/x", "a/b=1/y"]);
        assert!(listed(store, Some("a/b")).await.is_empty());
        assert!(listed(store, Some("nothing/here")).await.is_empty());

        for offset in ["", "a", "a-b", "a/", "a/b", "a/b=1", "a/b=1/x", "a/c", "a0", "zz"] {
            for prefix in [None, Some("a")] {
                let (prefix, offset) = (prefix.map(Path::from), Path::from(offset));
                let found = store.list_with_offset(prefix.as_ref(), &offset);
                let found: Vec<_> = found.map_ok(|m| m.location.to_string()).try_collect().await.unwrap();
                let all = listed(store, prefix.as_ref().map(Path::as_ref)).await;
                let after: Vec<_> = all.into_iter().filter(|name| name.as_str() > offset.as_ref()).collect();
                assert_eq!(found, after, "{prefix:?} after {offset}");
            }
        }

        let level = store.list_with_delimiter(Some(&Path::from("a"))).await.unwrap();
        assert_eq!(level.common_prefixes, [Path::from("a/b=1")]);
        assert_eq!(level.objects.iter().map(|m| m.location.as_ref()).collect::<Vec<_>>(), ["a/b"]);
    }
}

/// More objects than two of the chunks in which the disk is read. Written by hand: 2,100 durable puts take long.
#[tokio::test]
async fn long_listings_are_complete() {
    let (store, _dir) = real();
    for i in 0..2_100 {
        let dir = store.root().join(format!("d{}", i % 3));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("{i:05}")), "x").unwrap();
    }
    let found = listed(&store, None).await;
    assert_eq!(found.len(), 2_100);
    assert!(found.is_sorted());
}

on_both! {
    async fn multipart_keeps_the_order_of_the_calls(store) {
        let name = Path::from("t/a");
        put(store, "t/a", "before").await;
        let mut upload = store.put_multipart(&name).await.unwrap();
        let parts: Vec<_> = (0..20).map(|i| upload.put_part(format!("part {i:02};").into())).collect();
        assert_eq!(listed(store, None).await, ["t/a"]);
        // Written in the opposite order.
        for part in parts.into_iter().rev() {
            part.await.unwrap();
        }
        assert_eq!(text(store, "t/a").await, "before");
        let done = upload.complete().await.unwrap();
        let expected: String = (0..20).map(|i| format!("part {i:02};")).collect();
        assert_eq!(text(store, "t/a").await, expected);
        assert_eq!(store.head(&name).await.unwrap().e_tag, done.e_tag);
        assert!(upload.put_part("late".into()).await.is_err());
        assert!(upload.abort().await.is_err());
        assert_eq!(listed(store, None).await, ["t/a"]);
    }
}

on_both! {
    async fn an_upload_with_a_part_missing_does_not_complete(store) {
        let mut upload = store.put_multipart(&Path::from("a")).await.unwrap();
        upload.put_part("here".into()).await.unwrap();
        let never_polled = upload.put_part("not here".into());
        let refused = upload.complete().await.unwrap_err().to_string();
        assert!(refused.contains("4 of 12 bytes"), "{refused}");
        drop(never_polled);
        assert!(is_not_found(store.head(&Path::from("a")).await));
    }
}

on_both! {
    async fn copies_and_renames_follow_their_modes(store) {
        put(store, "a", "A").await;
        put(store, "b", "B").await;
        let (a, b, deep, gone) = (Path::from("a"), Path::from("b"), Path::from("x/y/z"), Path::from("gone"));
        assert!(is_taken(store.copy_if_not_exists(&a, &b).await));
        assert!(is_taken(store.copy_if_not_exists(&a, &a).await));
        assert!(is_not_found(store.copy(&gone, &b).await));
        assert!(is_not_found(store.copy_if_not_exists(&gone, &deep).await));
        assert!(is_not_found(store.rename(&gone, &b).await));
        assert!(is_not_found(store.rename(&gone, &gone).await));
        assert_eq!(text(store, "b").await, "B");

        store.copy_opts(&a, &deep, CopyOptions::new().with_mode(CopyMode::Create)).await.unwrap();
        store.copy(&a, &a).await.unwrap();
        store.rename(&a, &a).await.unwrap();
        assert!(is_taken(store.rename_if_not_exists(&a, &a).await));
        let create = RenameOptions::new().with_target_mode(RenameTargetMode::Create);
        assert!(is_taken(store.rename_opts(&a, &b, create).await));
        assert_eq!(listed(store, None).await, ["a", "b", "x/y/z"]);

        store.rename(&a, &b).await.unwrap();
        assert!(is_not_found(store.head(&a).await));
        assert_eq!(text(store, "b").await, "A");
        // The copy is a thing of its own.
        store.put(&b, "new".into()).await.unwrap();
        assert_eq!(text(store, "x/y/z").await, "A");
    }
}

on_both! {
    /// POSIX rename does nothing where both names are one file already; the temporary name must go all the same.
    async fn a_second_copy_to_the_same_name_leaves_nothing_behind(store) {
        put(store, "t/a", "A").await;
        let (a, b) = (Path::from("t/a"), Path::from("t/b"));
        store.copy(&a, &b).await.unwrap();
        store.copy(&a, &b).await.unwrap();
        store.rename(&a, &b).await.unwrap();
        assert_eq!(text(store, "t/b").await, "A");
        assert_eq!(store.sweep_temporaries(Duration::ZERO).await.unwrap(), 0);
        assert_eq!(listed(store, None).await, ["t/b"]);
    }
}

on_both! {
    async fn deletes_report_each_path_in_order(store) {
        for name in ["a", "t/b", "t/c"] {
            put(store, name, "x").await;
        }
        let paths = ["a", "gone/x", "t/b", "t", "t/c"].map(Path::from);
        let locations = futures::stream::iter(paths.clone()).map(Ok).boxed();
        let results = store.delete_stream(locations).collect::<Vec<_>>().await;
        let expected = [true, false, true, false, true];
        for ((path, result), ok) in paths.iter().zip(results).zip(expected) {
            match result {
                Ok(deleted) => assert!(ok && deleted == *path),
                Err(e) => assert!(!ok && matches!(e, Error::NotFound { .. }), "{path}: {e}"),
            }
        }
        assert!(listed(store, None).await.is_empty());
    }
}

on_both! {
    async fn directories_and_what_is_below_objects_are_not_found(store) {
        put(store, "t/a", "x").await;
        for name in ["t", "t/a/b", "u"] {
            assert!(is_not_found(store.get(&Path::from(name)).await), "{name}");
            assert!(is_not_found(store.head(&Path::from(name)).await), "{name}");
            assert!(is_not_found(store.delete(&Path::from(name)).await), "{name}");
            assert!(is_not_found(store.copy(&Path::from(name), &Path::from("c")).await), "{name}");
        }
        assert!(store.put(&Path::from("t/a/b"), "x".into()).await.is_err());
        assert!(store.put(&Path::from("t"), "x".into()).await.is_err());
        assert_eq!(listed(store, None).await, ["t/a"]);
    }
}

on_both! {
    async fn reserved_and_empty_names_are_refused(store) {
        for name in ["", ".tmp-1", "t/.tmp-1", ".tmp-1/a"] {
            let name = Path::parse(name).unwrap();
            assert!(store.put(&name, "x".into()).await.is_err(), "{name}");
            assert!(store.get(&name).await.is_err(), "{name}");
            assert!(store.put_multipart(&name).await.is_err(), "{name}");
            assert!(store.delete(&name).await.is_err(), "{name}");
            assert!(store.copy(&Path::from("a"), &name).await.is_err(), "{name}");
        }
        // `object_store` itself lets no other bad segment through.
        assert!(Path::parse("a/../b").is_err());
        assert_eq!(store.path_to_filesystem(&Path::from("a/../b")).unwrap(), store.root().join("a/%2E%2E/b"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn one_of_thirty_two_creators_wins() {
    let (store, _dir) = real();
    for round in 0..8 {
        let name = Path::from(format!("t/log/{round}"));
        let puts = (0..32).map(|i| {
            let (store, name) = (store.clone(), name.clone());
            tokio::spawn(
                async move { store.put_opts(&name, format!("writer {i}").into(), PutMode::Create.into()).await },
            )
        });
        let results = futures::future::join_all(puts).await;
        let mut winners = Vec::new();
        for (i, result) in results.into_iter().enumerate() {
            match result.unwrap() {
                Ok(_) => winners.push(i),
                Err(e) => assert!(matches!(e, Error::AlreadyExists { .. }), "{e}"),
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(text(&store, name.as_ref()).await, format!("writer {}", winners[0]));
    }
    assert_eq!(listed(&store, None).await.len(), 8);
}

#[test]
fn the_store_works_without_a_runtime() {
    let (store, _dir) = real();
    futures::executor::block_on(async {
        put(&store, "t/a", "x").await;
        assert_eq!(text(&store, "t/a").await, "x");
        assert_eq!(listed(&store, None).await, ["t/a"]);
        drop(store.put_multipart(&Path::from("t/b")).await.unwrap());
        assert_eq!(std::fs::read_dir(store.root().join("t")).unwrap().count(), 1);
    });
}

/// The file of an upload goes when the upload does, even while a part is still held by somebody.
#[tokio::test]
async fn abandoned_uploads_remove_their_file() {
    let (store, _dir) = real();
    let files = || std::fs::read_dir(store.root()).unwrap().count();
    let mut aborted = store.put_multipart(&Path::from("a")).await.unwrap();
    let part = aborted.put_part("x".into());
    assert_eq!((files(), listed(&store, None).await.len()), (1, 0));
    aborted.abort().await.unwrap();
    assert_eq!(files(), 0);
    part.await.unwrap();
    drop(aborted);

    let mut dropped = store.put_multipart(&Path::from("a")).await.unwrap();
    let part = dropped.put_part("x".into());
    drop(dropped);
    // It is removed on another thread; each listing gives that one time.
    let mut waits = 0;
    while files() > 0 {
        listed(&store, None).await;
        waits += 1;
        assert!(waits < 100_000, "the file of a dropped upload stays");
    }
    drop(part);
}

#[tokio::test]
async fn sweeping_removes_what_dead_processes_left_and_nothing_in_use() {
    let (store, _dir) = real();
    put(&store, "t/a", "x").await;
    let leftovers = [store.root().join(".tmp-01"), store.root().join("t/.tmp-02")];
    for path in &leftovers {
        std::fs::write(path, "torn").unwrap();
    }
    assert_eq!(listed(&store, None).await, ["t/a"]);
    let mut upload = store.put_multipart(&Path::from("t/b")).await.unwrap();

    assert_eq!(store.sweep_temporaries(Duration::from_secs(3600)).await.unwrap(), 0);
    let two_hours_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
    std::fs::File::options().write(true).open(&leftovers[0]).unwrap().set_modified(two_hours_ago).unwrap();
    assert_eq!(store.sweep_temporaries(Duration::from_secs(3600)).await.unwrap(), 1);
    assert_eq!(store.sweep_temporaries(Duration::ZERO).await.unwrap(), 1);

    upload.put_part("y".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(listed(&store, None).await, ["t/a", "t/b"]);
}

#[tokio::test]
async fn symbolic_links_are_refused_where_they_are_met() {
    let (store, dir) = real();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "s").unwrap();
    put(&store, "t/a", "x").await;
    std::os::unix::fs::symlink(outside.join("secret"), store.root().join("t/link")).unwrap();
    assert!(store.get(&Path::from("t/link")).await.is_err());
    let error = store.list(None).try_collect::<Vec<_>>().await.unwrap_err().to_string();
    assert!(error.contains("t/link is a symbolic link"), "{error}");
    // A write replaces the link and does not go through it.
    put(&store, "t/link", "y").await;
    assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), "s");
    assert_eq!(listed(&store, None).await, ["t/a", "t/link"]);
}

/// A table is left by copying its directory: the file of an object has the object's name and bytes, nothing else.
#[tokio::test]
async fn objects_are_plain_files() {
    let (store, _dir) = real();
    let name = Path::parse("t/ds=2026-01-01%2000/part 1.parquet").unwrap();
    store.put(&name, "PAR1".into()).await.unwrap();
    let file = store.root().join("t/ds=2026-01-01%2000/part 1.parquet");
    assert_eq!(std::fs::read(&file).unwrap(), b"PAR1");
    assert_eq!(store.path_to_filesystem(&name).unwrap(), file);
    let meta = std::fs::metadata(&file).unwrap();
    let micros = meta.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    let tag = format!("{:x}-{micros:x}-4", std::os::unix::fs::MetadataExt::ino(&meta));
    assert_eq!(store.head(&name).await.unwrap().e_tag, Some(tag));
    assert!(store.free_bytes().await.unwrap() > 0);
    assert_eq!(store.to_string(), format!("LocalStore({})", store.root().display()));
}
