//! What every engine keeps, as cases that run on each of them. Expected values are the data written.

mod cases;
mod model;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use feitian_base::{Kind, Result};
use tempfile::TempDir;

use super::fjall::{Fjall, Settings};
use super::memory::{Disk, Failure, Memory};
use super::*;

/// Where the data of one test lie, and how they are opened, the first time and again.
#[async_trait]
trait Place: Send + Sync {
    fn new() -> Self
    where
        Self: Sized;

    async fn open(&self) -> Result<Arc<dyn Engine>>;
}

struct InMemory(Disk);

#[async_trait]
impl Place for InMemory {
    fn new() -> Self {
        Self(Disk::new())
    }

    async fn open(&self) -> Result<Arc<dyn Engine>> {
        Ok(Arc::new(Memory::open(&self.0)))
    }
}

struct InFjall(TempDir);

/// Small enough that a test makes more than one table, and no room kept free: a test's disk may be a small one.
fn small() -> Settings {
    Settings { cache_bytes: 1 << 20, memtable_bytes: 64 << 10, spare_bytes: 0 }
}

#[async_trait]
impl Place for InFjall {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    async fn open(&self) -> Result<Arc<dyn Engine>> {
        Ok(Arc::new(Fjall::open(self.0.path(), small()).await?))
    }
}

/// Every case on one engine.
macro_rules! conformance {
    ($engine:ident, $place:ty) => {
        conformance!(
            $engine,
            $place,
            [
                keys_come_in_the_order_of_their_bytes,
                bounds_are_kept_both_ways,
                bounds_that_cross_have_nothing_between_them,
                a_page_is_as_large_as_was_asked_for,
                a_scan_does_not_see_what_is_written_later,
                of_two_changes_to_a_key_the_later_one_counts,
                a_batch_is_seen_as_a_whole,
                what_was_committed_is_there_after_opening_again,
                many_writers_at_once_lose_nothing,
                a_range_is_deleted_and_nothing_beside_it,
                a_deleted_range_stays_deleted_after_opening_again,
                a_range_that_shares_its_files_is_deleted,
                a_size_grows_with_the_range,
                of_two_openings_one_can_write,
                a_closed_engine_is_not_available,
                what_no_engine_can_hold_is_refused_and_changes_nothing,
                long_keys_and_large_values_come_back,
            ]
        );
    };
    ($engine:ident, $place:ty, [$($case:ident),* $(,)?]) => {
        mod $engine {
            use super::Place as _;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::cases::$case(&<$place>::new()).await;
                }
            )*

            #[test]
            fn a_model_and_the_engine_agree() {
                super::model::agree::<$place>();
            }
        }
    };
}

conformance!(on_memory, super::InMemory);
conformance!(on_fjall, super::InFjall);

/// A batch that gives each key the value behind it.
fn puts<K: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (K, V)>) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in pairs {
        batch.put(key.as_ref().to_vec(), value.as_ref().to_vec());
    }
    batch
}

/// All that a scan answers, in pages of `rows`.
async fn all(engine: &dyn Engine, from: Bound<Bytes>, to: Bound<Bytes>, order: Order, rows: usize) -> Vec<Pair> {
    let mut scan = engine.scan(from, to, order).await.unwrap();
    rest(&mut *scan, rows).await
}

/// What a scan has left.
async fn rest(scan: &mut dyn Scan, rows: usize) -> Vec<Pair> {
    let mut found = Vec::new();
    loop {
        let page = scan.next_batch(rows, usize::MAX).await.unwrap();
        if page.is_empty() {
            return found;
        }
        assert!(page.len() <= rows);
        found.extend(page);
    }
}

fn code_of<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "no error".into(),
        Err(error) => error.code().to_string(),
    }
}

/// The whole file tree, so that a test can look at what a crash would leave.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

// Writers wait at 28 runs of files that are not merged: who commits more tables than that gets through only if they are.
#[tokio::test]
async fn files_are_merged_while_writers_go_on() {
    let place = TempDir::new().unwrap();
    let engine = Fjall::open(place.path(), small()).await.unwrap();
    let value = |round: u8| vec![round; 70 << 10];
    let write = async {
        for round in 0..100 {
            let mut batch = Batch::new();
            batch.put(&b"a"[..], value(round));
            batch.put(&b"b"[..], vec![round]);
            engine.commit(batch).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(120), write).await.expect("nothing merges");
    assert_eq!(engine.get(b"a").await.unwrap().unwrap(), value(99));
    engine.close().await.unwrap();
    let again = Fjall::open(place.path(), small()).await.unwrap();
    assert_eq!(
        (again.get(b"a").await.unwrap().unwrap(), again.get(b"b").await.unwrap().unwrap()),
        (value(99).into(), vec![99].into())
    );
}

// The codes are those of the reference's retries: these two say that the write did not happen.
#[tokio::test]
async fn memory_that_is_full_refuses_and_can_be_read() {
    let disk = Disk::new();
    let engine = Memory::open(&disk);
    engine.commit(puts([("a", "1")])).await.unwrap();
    disk.set_full(true);
    assert_eq!(code_of(engine.commit(puts([("a", "2")])).await), "OTSServerBusy");
    assert_eq!(engine.get(b"a").await.unwrap().unwrap(), "1");
    engine.commit(puts([("a", "2")]).that_frees()).await.unwrap();
    disk.set_full(false);
    engine.commit(puts([("a", "3")])).await.unwrap();
    assert_eq!(engine.get(b"a").await.unwrap().unwrap(), "3");
}

#[tokio::test]
async fn a_commit_in_memory_fails_as_it_was_told() {
    for (failure, after) in [(Failure::Lost, "1"), (Failure::Kept, "2")] {
        let disk = Disk::new();
        let engine = Memory::open(&disk);
        engine.commit(puts([("a", "1")])).await.unwrap();
        disk.fail_next(failure);
        assert!(!engine.is_broken());
        assert_eq!(code_of(engine.commit(puts([("a", "2")])).await), "OTSTimeout");
        assert_eq!(engine.get(b"a").await.unwrap().unwrap(), "1", "{failure:?}: not known, so not shown");
        assert_eq!(code_of(engine.commit(puts([("a", "3")])).await), "OTSPartitionUnavailable");
        assert!(engine.is_broken());
        let again = Memory::open(&disk);
        assert!(!again.is_broken());
        assert!(!engine.is_broken(), "the data are another one's");
        assert_eq!(again.get(b"a").await.unwrap().unwrap(), after, "{failure:?}");
    }
}

#[tokio::test]
async fn commits_in_memory_wait_while_they_are_held_up() {
    let disk = Disk::new();
    let engine = Arc::new(Memory::open(&disk));
    let held = disk.hold().await;
    let commit = tokio::spawn({
        let engine = engine.clone();
        async move { engine.commit(puts([("a", "1")])).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(disk.commits(), 0);
    drop(held);
    commit.await.unwrap().unwrap();
    assert_eq!(disk.commits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fjall_without_room_refuses_writes_and_can_be_read() {
    let place = InFjall::new();
    let engine = place.open().await.unwrap();
    engine.commit(puts([("a", "1")])).await.unwrap();
    engine.close().await.unwrap();
    let settings = Settings { spare_bytes: u64::MAX / 2, ..small() };
    let engine = Fjall::open(place.0.path(), settings).await.unwrap();
    let refused = engine.commit(puts([("a", "2")])).await.unwrap_err();
    assert_eq!((refused.code(), refused.kind()), ("OTSServerBusy", Kind::Unavailable));
    assert!(!engine.is_broken(), "writes go on as soon as there is room");
    assert_eq!(engine.get(b"a").await.unwrap().unwrap(), "1");
    engine.close().await.unwrap();
}

// Arithmetic: commits leave twice of what is free, so there is no room for them; those that free some leave a quarter of
// that, which is half of what is free. A test's disk is not half filled meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn fjall_without_room_takes_what_frees_some() {
    let place = InFjall::new();
    let engine = place.open().await.unwrap();
    engine.commit(puts([("a", "1"), ("b", "1"), ("c", "1")])).await.unwrap();
    engine.close().await.unwrap();
    let spare_bytes = 2 * feitian_store::free_bytes(place.0.path()).unwrap();
    let engine = Fjall::open(place.0.path(), Settings { spare_bytes, ..small() }).await.unwrap();
    let mut deletion = Batch::new();
    deletion.delete("a");
    // Whether they meet in one group or not.
    let both = tokio::join!(engine.commit(deletion.that_frees()), engine.commit(puts([("b", "2")])));
    both.0.unwrap();
    assert_eq!(code_of(both.1), "OTSServerBusy");
    engine.delete_range("c".into(), "d".into()).await.unwrap();
    let seen = [engine.get(b"a").await, engine.get(b"b").await, engine.get(b"c").await];
    assert_eq!(seen.map(Result::unwrap), [None, Some(Bytes::from("1")), None]);
    assert!(!engine.is_broken());
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fjall_whose_epoch_is_not_its_own_writes_and_reads_no_more() {
    let place = InFjall::new();
    let engine = place.open().await.unwrap();
    engine.commit(puts([("a", "1")])).await.unwrap();
    let path = place.0.path().join("epoch");
    let own = std::fs::read(&path).unwrap();
    std::fs::write(&path, format!("{}\n", engine.epoch() + 1)).unwrap();
    assert_eq!(code_of(engine.commit(puts([("a", "2")])).await), "OTSPartitionUnavailable");
    assert!(!engine.is_broken(), "the data are another one's");
    std::fs::write(&path, own).unwrap();
    assert_eq!(code_of(engine.commit(puts([("a", "3")])).await), "OTSPartitionUnavailable");
    assert_eq!(code_of(engine.get(b"a").await), "OTSPartitionUnavailable");
    engine.close().await.unwrap();
    let again = place.open().await.unwrap();
    assert_eq!(again.get(b"a").await.unwrap().unwrap(), "1");
    again.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fjall_that_was_killed_while_it_was_made_is_made_again() {
    let place = InFjall::new();
    // What fjall itself leaves when it is killed early: a journal, and no version.
    std::fs::create_dir_all(place.0.path().join("new/keyspaces")).unwrap();
    std::fs::write(place.0.path().join("new/0.jnl"), "").unwrap();
    let engine = place.open().await.unwrap();
    engine.commit(puts([("a", "1")])).await.unwrap();
    engine.close().await.unwrap();
    assert!(!place.0.path().join("new").exists());
    let again = place.open().await.unwrap();
    assert_eq!(again.get(b"a").await.unwrap().unwrap(), "1");
    again.close().await.unwrap();
}

/// A copy of the files is what a process that is killed leaves: nothing is in them that was not written. The tables in
/// memory are large here, so that no file comes or goes while the others are copied.
#[tokio::test(flavor = "multi_thread")]
async fn fjall_that_is_killed_has_every_batch_that_was_answered() {
    let place = TempDir::new().unwrap();
    let settings = Settings { memtable_bytes: 32 << 20, ..small() };
    let engine = Fjall::open(place.path(), settings.clone()).await.unwrap();
    for number in 0..40_u32 {
        engine.commit(puts([(number.to_be_bytes(), [7_u8; 3000])])).await.unwrap();
        if number % 20 == 19 {
            let killed = TempDir::new().unwrap();
            copy(&place.path().join("rows"), &killed.path().join("rows"));
            let after = Fjall::open(killed.path(), settings.clone()).await.unwrap();
            let found = all(&after, Bound::Unbounded, Bound::Unbounded, Order::Forward, 1000).await;
            let keys: Vec<_> = found.iter().map(|(key, _)| key.to_vec()).collect();
            let expected: Vec<_> = (0..=number).map(|number| number.to_be_bytes().to_vec()).collect();
            assert_eq!(keys, expected);
            after.close().await.unwrap();
        }
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fjall_that_was_not_closed_is_opened_with_what_it_had() {
    let place = TempDir::new().unwrap();
    let settings = Settings { memtable_bytes: 32 << 20, ..small() };
    let engine = Fjall::open(place.path(), settings.clone()).await.unwrap();
    engine.commit(puts([("a", "1")])).await.unwrap();
    let killed = TempDir::new().unwrap();
    copy(place.path(), killed.path());
    engine.close().await.unwrap();
    for (dir, was_closed) in [(killed.path(), false), (killed.path(), true), (place.path(), true)] {
        assert_eq!(dir.join("open").exists(), !was_closed, "{}", dir.display());
        let engine = Fjall::open(dir, settings.clone()).await.unwrap();
        assert!(dir.join("open").exists());
        assert_eq!(engine.get(b"a").await.unwrap().unwrap(), "1");
        engine.commit(puts([("a", "1")])).await.unwrap();
        engine.close().await.unwrap();
    }
}

/// What fjall has in its journal after three commits, the last one of which is changed by `harm` where its value lies.
async fn harmed(harm: impl Fn(&mut [u8])) -> (TempDir, Result<Fjall>) {
    let place = TempDir::new().unwrap();
    let settings = Settings { memtable_bytes: 32 << 20, ..small() };
    let engine = Fjall::open(place.path(), settings.clone()).await.unwrap();
    for number in 1..=3_u8 {
        engine.commit(puts([([number], vec![number; 20_000])])).await.unwrap();
    }
    engine.close().await.unwrap();
    let journal = place.path().join("rows/0.jnl");
    let mut bytes = std::fs::read(&journal).unwrap();
    let value = bytes.windows(8).position(|window| window == [3; 8]).unwrap();
    harm(&mut bytes[value.next_multiple_of(4096)..][..4096]);
    std::fs::write(&journal, bytes).unwrap();
    let opened = Fjall::open(place.path(), settings).await;
    (place, opened)
}

fn torn(place: &TempDir) -> usize {
    let names = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("torn-")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn fjall_with_a_page_that_was_never_written_loses_that_commit_alone() {
    let (place, opened) = harmed(|page| page.fill(0)).await;
    let engine = opened.unwrap();
    let found = all(&engine, Bound::Unbounded, Bound::Unbounded, Order::Forward, 10).await;
    let expected: Vec<Pair> = (1..=2_u8).map(|number| (vec![number].into(), vec![number; 20_000].into())).collect();
    assert_eq!(found, expected);
    assert_eq!(torn(&place), 1);
    engine.commit(puts([("a", "1")])).await.unwrap();
    engine.close().await.unwrap();
    let again = Fjall::open(place.path(), small()).await.unwrap();
    assert_eq!(again.get(b"a").await.unwrap().unwrap(), "1");
    again.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fjall_with_a_byte_that_decayed_is_not_opened_and_not_changed() {
    let (place, opened) = harmed(|page| page[100] ^= 1).await;
    assert_eq!(code_of(opened), "OTSInternalServerError");
    assert_eq!(torn(&place), 0);
    let bytes = std::fs::read(place.path().join("rows/0.jnl")).unwrap();
    assert!(bytes.windows(8).any(|window| window == [3; 8]));
}
