//! The thread that merges files, for as long as there is something to merge and room for it.
//!
//! fjall itself merges once for each table that it writes, too seldom for all levels, and with one thread the next tables wait
//! behind it. With several threads the first one takes what is to be merged out of their queue and puts it back, without a
//! pause, while another one merges: a core of two (fjall 3.1, `worker_pool.rs`). So new data tell fjall that there is never
//! anything to merge ([`never`]), and it is done here by fjall's own rules. Data from before go on as well: a file is
//! merged by one thread alone.
//!
//! Files that are merged stay until the merged ones are there. So a merge begins only if the disk has room for both, beyond
//! what commits leave free, and commits leave that free as well until it ends. What is left behind by a merge that fails
//! goes when the data are opened again.
//!
//! A view keeps the files that it was made over, and fjall lets go of them when the next table in memory begins: never, where
//! nobody writes. So when nothing is left to merge, readers get a view that is newer than the files, and the older ones go.
//!
//! Files that lie in a deleted range are removed by this thread too: fjall would do that when no merge is under way, and let
//! nobody write tables until then.

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use ::fjall::compaction::Leveled;
use ::fjall::{AbstractTree, LsmError};
use bytes::Bytes;
use feitian_base::Result;
use feitian_store::free_bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::files::{is_full, read_epoch};
use super::{Queue, Store};
use crate::engine::group::{Request, State, lower};
use crate::engine::{Batch, unreadable};

/// How often it is looked whether there is something.
const PAUSE: Duration = Duration::from_millis(100);

/// fjall's rules: so many files of the first level are merged at once, the second one has so many bytes, each further one ten
/// times as many, and a file of them has so many.
const L0_FILES: u64 = 4;
const L1_BYTES: u64 = 256 << 20;
const FILE_BYTES: u64 = 64 << 20;

/// At each so many views that are closed, fjall looks which ones are open yet.
const VIEWS: usize = 10_000;

/// Rules by which nothing is ever merged: files are only moved to where nothing overlaps them.
pub(super) fn never() -> Arc<Leveled> {
    Arc::new(Leveled::default().with_l0_threshold(u8::MAX).with_table_target_size(1 << 40))
}

/// What the thread that writes is told.
#[derive(Default)]
pub(super) struct Merging {
    /// What the merge that is under way may take of the disk, in bytes.
    takes: AtomicU64,
    halt: Mutex<Option<Halt>>,
}

/// Why nothing is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Halt {
    /// There is no room for it on the disk, for now.
    NoRoom,
    /// It failed, and is not tried again before the data are opened again: each time would leave files behind.
    Failed(String),
}

impl Merging {
    pub(super) fn takes(&self) -> u64 {
        self.takes.load(Ordering::SeqCst)
    }

    pub(super) fn halt(&self) -> Option<Halt> {
        self.halt.lock().clone()
    }
}

/// A range whose files go. Their rows were deleted before.
pub(super) struct Removal {
    pub(super) from: Bytes,
    pub(super) to: Bytes,
    pub(super) answer: oneshot::Sender<Result<()>>,
}

/// What is to be done for the room of files that were merged.
enum Room {
    Given,
    Owed,
    /// A newer view was asked for.
    Asked(oneshot::Receiver<Result<()>>),
}

pub(super) struct Merger {
    pub(super) dir: PathBuf,
    pub(super) epoch: u64,
    pub(super) spare_bytes: u64,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) store: Store,
    pub(super) merging: Arc<Merging>,
    pub(super) queue: Queue,
}

impl Merger {
    /// Ends when the sender is gone, behind the merge that is under way.
    pub(super) fn run(self, removals: &Receiver<Removal>) {
        let rules = Arc::new(Leveled::default());
        let (mut pause, mut room) = (PAUSE, Room::Given);
        loop {
            match removals.recv_timeout(pause) {
                Ok(removal) => self.remove(removal),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let has_changed = self.merge(&rules);
                    pause = if has_changed { Duration::ZERO } else { PAUSE };
                    room = if has_changed { Room::Owed } else { self.give_back(room) };
                }
            }
        }
    }

    fn is_open(&self) -> bool {
        *self.state.lock() == State::Open
    }

    /// Whoever was passed by another opening changes no file any more.
    fn is_ours(&self) -> bool {
        match read_epoch(&self.dir) {
            Ok(Some(epoch)) if epoch == self.epoch => true,
            Ok(_) => {
                lower(&self.state, State::Fenced);
                false
            }
            // The thread that writes refuses meanwhile.
            Err(_) => false,
        }
    }

    fn remove(&self, removal: Removal) {
        let bounds = (Bound::Included(removal.from), Bound::Excluded(removal.to));
        let removed = match self.is_open() && self.is_ours() {
            true => self.store.rows.tree.drop_range(bounds).map_err(|e| unreadable(e.to_string())),
            false => Err(unreadable("the files of a deleted range stay: the engine takes no writes")),
        };
        let _ = removal.answer.send(removed);
    }

    /// Merges once, if there is something to merge; whether anything changed.
    fn merge(&self, rules: &Arc<Leveled>) -> bool {
        if !self.is_open() || matches!(self.merging.halt(), Some(Halt::Failed(_))) || !self.is_ours() {
            return false;
        }
        let most = {
            let version = self.store.rows.tree.current_version();
            let levels = version.iter_levels().map(|level| (level.size(), level.table_count() as u64));
            most_merged(&levels.collect::<Vec<_>>())
        };
        if !self.has_room(most) {
            return false;
        }
        self.merging.takes.store(most, Ordering::SeqCst);
        let merged = self.merge_once(rules);
        self.merging.takes.store(0, Ordering::SeqCst);
        merged.unwrap_or_else(|error| {
            self.fail(&error);
            false
        })
    }

    /// Whether a merge that writes so many bytes leaves free what commits leave free.
    fn has_room(&self, most: u64) -> bool {
        let has_room = free_bytes(&self.dir).is_ok_and(|free| free >= self.spare_bytes.saturating_add(most));
        let halt = (!has_room).then_some(Halt::NoRoom);
        let was = std::mem::replace(&mut *self.merging.halt.lock(), halt.clone());
        if most > 0 && halt.is_some() && was.is_none() {
            tracing::warn!(bytes = most, "files of the table store are merged when the disk has room for it");
        }
        has_room
    }

    /// Whether anything changed.
    fn merge_once(&self, rules: &Arc<Leveled>) -> Result<bool, LsmError> {
        let tree = &self.store.rows.tree;
        let before = tree.current_version().id();
        // What no view that is open can see any more.
        let unseen = self.store.db.supervisor.snapshot_tracker.get_seqno_safe_to_gc();
        tree.compact(rules.clone(), unseen)?;
        Ok(tree.current_version().id() != before)
    }

    /// A full disk may have room again, and with it the store is opened again. What else failed, most often a file that
    /// cannot be read, fails then too: what can be read is read, and writes go on until there are too many files.
    fn fail(&self, error: &LsmError) {
        if matches!(error, LsmError::Io(error) if is_full(error)) {
            tracing::error!(%error, "the table store takes no writes until it is opened again");
            lower(&self.state, State::Broken);
        } else {
            tracing::error!(%error, "files of the table store are not merged any more until it is opened again");
        }
        *self.merging.halt.lock() = Some(Halt::Failed(error.to_string()));
    }

    /// Gives back the room of files that were merged. This thread does not wait for the one that writes, which may wait for it.
    fn give_back(&self, room: Room) -> Room {
        match room {
            Room::Given => Room::Given,
            room if !self.is_open() => room,
            Room::Owed => {
                // Nothing is written.
                let (request, answered) = Request::new(Batch::new());
                let sent = self.queue.lock().as_ref().is_some_and(|queue| queue.send(request).is_ok());
                if sent { Room::Asked(answered) } else { Room::Owed }
            }
            Room::Asked(mut answered) => match answered.try_recv() {
                Ok(Ok(())) => {
                    self.forget_old_files();
                    Room::Given
                }
                Ok(Err(_)) | Err(TryRecvError::Closed) => Room::Owed,
                Err(TryRecvError::Empty) => Room::Asked(answered),
            },
        }
    }

    /// Lets go of the files that no view needs any more.
    fn forget_old_files(&self) {
        (0..VIEWS).for_each(|_| drop(self.store.db.snapshot()));
        let unseen = self.store.db.supervisor.snapshot_tracker.get_seqno_safe_to_gc();
        let rows = &self.store.rows;
        if let Err(error) = rows.tree.get_version_history_lock().maintenance(rows.path(), unseen) {
            tracing::warn!(%error, "the room of merged files is given back later");
        }
    }
}

impl Drop for Merger {
    /// Without it, writers would wait for files to be merged, without an end.
    fn drop(&mut self) {
        if std::thread::panicking() {
            lower(&self.state, State::Broken);
        }
    }
}

/// The most bytes that the next merge by fjall's rules may write, by the bytes and the files of each level; 0 if nothing is
/// to be merged. All of the first level is merged with what it overlaps of the next one that has any. Of another level that
/// is too large, those files are chosen which make the smallest merge, which is no larger than one of the mean size with a
/// file more at each end.
fn most_merged(levels: &[(u64, u64)]) -> u64 {
    let Some((l0, deeper)) = levels.split_first() else { return 0 };
    let deeper = &deeper[deeper.iter().take_while(|level| level.0 == 0).count()..];
    let beside = deeper.first().map_or(0, |level| level.0);
    let mut most = if l0.1 >= L0_FILES { l0.0 + beside } else { 0 };
    let mut limit = L1_BYTES;
    for pair in deeper.windows(2) {
        let ((bytes, files), next) = (pair[0], pair[1].0);
        if bytes > limit {
            most = most.max((bytes + next) / files.max(1) + 2 * FILE_BYTES);
        }
        limit = limit.saturating_mul(10);
    }
    most
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::engine::Engine;
    use crate::engine::fjall::{Fjall, Settings};

    const MB: u64 = 1 << 20;

    /// How long a test waits for what happens in the background.
    const AT_MOST: Duration = Duration::from_secs(120);

    /// Small enough for many tables, and no room kept free.
    async fn open(place: &TempDir) -> Fjall {
        let settings = Settings { cache_bytes: 1 << 20, memtable_bytes: 64 << 10, spare_bytes: 0 };
        Fjall::open(place.path(), settings).await.unwrap()
    }

    /// More than a table in memory has, which no compression makes shorter.
    fn value(round: u64) -> Vec<u8> {
        let mut number = round + 1;
        let mut next = || {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 56) as u8
        };
        (0..70 << 10).map(|_| next()).collect()
    }

    async fn put(engine: &Fjall, key: &'static str, round: u64) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(key, value(round));
        engine.commit(batch).await
    }

    /// The files of the rows, in the directory of a first opening.
    fn tables(place: &TempDir) -> Vec<PathBuf> {
        let keyspaces = std::fs::read_dir(place.path().join("rows/keyspaces")).unwrap().flatten();
        // fjall has one of its own, 0.
        let rows = keyspaces.map(|entry| entry.path()).find(|path| !path.ends_with("0")).unwrap();
        std::fs::read_dir(rows.join("tables")).unwrap().flatten().map(|entry| entry.path()).collect()
    }

    // Arithmetic on fjall's rules: 4 files of the first level, 256 MiB in the second, ten times as many in each further one.
    #[test]
    fn a_merge_needs_room_for_all_that_it_may_write() {
        let of = |levels: &[(u64, u64)]| {
            most_merged(&levels.iter().map(|(mb, files)| (mb * MB, *files)).collect::<Vec<_>>()) / MB
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[(96, 3), (0, 0), (0, 0), (200, 4)]), 0);
        assert_eq!(of(&[(128, 4), (0, 0), (0, 0), (200, 4)]), 328);
        assert_eq!(of(&[(128, 4), (0, 0), (0, 0), (0, 0)]), 128);
        // 300 MiB in five files over 2,700 MiB: 600 for each, and two files of 64.
        assert_eq!(of(&[(32, 1), (0, 0), (300, 5), (2700, 42)]), 728);
        assert_eq!(of(&[(32, 1), (0, 0), (256, 4), (2700, 42)]), 0);
        // The last level is never too large, the one before it is with more than 2,560 MiB.
        assert_eq!(of(&[(0, 0), (200, 4), (2700, 45), (9000, 140)]), 388);
    }

    // Only the files of the newest list are left in the end, although nothing is written any more.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn merged_files_go_where_nobody_writes() {
        let place = TempDir::new().unwrap();
        let engine = open(&place).await;
        for round in 0..40 {
            put(&engine, ["a", "b", "c", "d"][round as usize % 4], round).await.unwrap();
        }
        let is_clean = async || {
            let store = engine.store.read().await;
            let tree = &store.as_ref().unwrap().rows.tree;
            tree.sealed_memtable_count() == 0
                && tree.l0_run_count() < L0_FILES as usize
                && tables(&place).len() == tree.current_version().table_count()
        };
        let wait = async {
            while !is_clean().await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(AT_MOST, wait).await.expect("old files stay");
        assert_eq!(engine.get(b"d").await.unwrap().unwrap(), value(39));
        engine.close().await.unwrap();
    }

    // The files are made unreadable where their first rows lie; what is written later is in other files.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_that_cannot_be_merged_is_not_the_end_of_the_others() {
        let place = TempDir::new().unwrap();
        let engine = open(&place).await;
        for round in 0..3 {
            put(&engine, "old", round).await.unwrap();
        }
        let wait = async {
            while tables(&place).len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(AT_MOST, wait).await.expect("no tables are written");
        engine.close().await.unwrap();
        for table in tables(&place) {
            let mut bytes = std::fs::read(&table).unwrap();
            bytes[64..4096].iter_mut().for_each(|byte| *byte ^= 0xff);
            std::fs::write(&table, bytes).unwrap();
        }
        let engine = open(&place).await;
        let mut last = 0;
        let write = async {
            for round in 100..200 {
                match put(&engine, "new", round).await {
                    Ok(()) => last = round,
                    Err(refusal) => return refusal,
                }
            }
            panic!("a hundred tables are taken and not merged");
        };
        let refusal = tokio::time::timeout(AT_MOST, write).await.expect("a writer waits without an end");
        assert_eq!(refusal.code(), "OTSPartitionUnavailable");
        assert!(format!("{refusal:?}").contains("cannot be merged"), "{refusal:?}");
        assert!(last >= 110, "{last}");
        assert!(!engine.is_broken());
        assert_eq!(engine.get(b"new").await.unwrap().unwrap(), value(last));
        engine.close().await.unwrap();
    }
}
