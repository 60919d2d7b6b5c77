//! fjall on one directory: one sync for all commits that wait, reads of what is durable alone, one owner.
//!
//! A commit goes through these steps; their numbers stand beside the code.
//!
//! 1. Its batch joins the queue. One thread empties the queue: all that it finds is one group.
//! 2. Before anything is written: the epoch on the disk is still ours, there is room, and fjall can take more.
//! 3. Each batch goes into fjall's journal, as a whole by its checksum, and into the tables in memory. Nobody sees it.
//! 4. One `fdatasync` of the journal makes the group durable.
//! 5. Readers get a view that has the group in it.
//! 6. The callers get their answers.
//!
//! Killed before step 4, the journal may hold some batches of the group, each of them whole, and opening it again shows
//! them: nobody was told either way. After an error in step 3 or 4 nothing is written any more: behind a batch that was
//! cut off, recovery would drop what comes later. Whoever opens the data next, this process or another one, puts on the disk
//! what may be in the system's memory alone, before anybody reads it (`files.rs`).
//!
//! ```text
//! DIR/lock     an flock for as long as the data are open
//! DIR/epoch    how often they were opened; who finds another number than its own has lost them
//! DIR/open     there from an opening until it is closed; who finds it knows that the last one was not
//! DIR/rows/    fjall's files
//! DIR/new/     the same while they are made for the first time: fjall cannot go on with a half of them
//! DIR/torn-*   what the loss of power left of a group that nobody was answered about
//! ```

mod commit;
mod files;
mod merge;
mod torn;

use std::cell::Cell;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ::fjall::{Database, Iter, Keyspace, PersistMode, Readable, Snapshot};
use async_trait::async_trait;
use bytes::Bytes;
use feitian_base::{Kind, Result, failpoint};
use feitian_store::{DirLock, RealDisk, atomic_write, create_dir_all};
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use self::commit::Committer;
use self::files::{borders, estimate, note_closed, note_open, open_database, read_epoch};
use self::merge::{Merger, Merging, Removal};
use super::group::{Request, State, check_readable, lower};
use super::{Batch, Engine, Nothing, Order, Page, Pair, Scan, between, check_key, unavailable, unknown, unreadable};

/// How long the files are held after fjall said that it has let go of them.
const LET_GO: Duration = Duration::from_millis(500);

/// After so many batches of deletions, of 1 MiB at most, files that lie in a range which is deleted go. In tests after
/// fewer, so that their ranges take several turns.
const TURN: usize = if cfg!(test) { 2 } else { 64 };

/// What is read on the thread of the caller: a value, or so many pairs and bytes of a scan. Most of it is in memory, where
/// reading takes a tenth of what it takes to have another thread do it; what is not takes the time of some blocks.
const AT_ONCE_PAIRS: usize = 64;
const AT_ONCE_BYTES: usize = 64 << 10;

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of blocks kept in memory.
    pub cache_bytes: u64,
    /// Bytes that are written into one table in memory before it goes to the disk.
    pub memtable_bytes: u64,
    /// Bytes of the disk that commits leave free, of which those that free some leave a quarter. fjall stops for good
    /// when it cannot write a table; this is what it takes to write those in memory. Merges need theirs beside it.
    pub spare_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, memtable_bytes: 32 << 20, spare_bytes: 256 << 20 }
    }
}

/// One opening of a directory.
pub struct Fjall {
    dir: PathBuf,
    epoch: u64,
    state: Arc<Mutex<State>>,
    store: Arc<tokio::sync::RwLock<Option<Store>>>,
    queue: Queue,
    committer: Mutex<Option<JoinHandle<()>>>,
    /// Without a sender the thread ends.
    merger: Mutex<Option<(Sender<Removal>, JoinHandle<()>)>>,
}

/// Where batches wait, for as long as the engine is not closed.
type Queue = Arc<Mutex<Option<Sender<Request>>>>;

/// fjall's handles. The last one that goes frees the directory, so the lock stands last.
#[derive(Clone)]
struct Store {
    /// What readers see: everything durable and nothing else.
    view: Arc<RwLock<Arc<Snapshot>>>,
    rows: Keyspace,
    db: Database,
    lock: Arc<DirLock>,
}

impl Fjall {
    /// Opens the data in `dir`, which is made if it is not there. While another one has them open, this fails with
    /// `OTSPartitionUnavailable`.
    pub async fn open(dir: &Path, settings: Settings) -> Result<Self> {
        let dir = dir.to_path_buf();
        blocking(move || Self::open_now(&dir, &settings)).await
    }

    fn open_now(dir: &Path, settings: &Settings) -> Result<Self> {
        let dir = std::path::absolute(dir)?;
        create_dir_all(&RealDisk, &dir)?;
        let lock = DirLock::acquire(&dir).map_err(|e| match e.kind() {
            Kind::Conflict => unavailable(e.message()),
            _ => e,
        })?;
        // Whoever got round the lock reads this number before it writes.
        let epoch = read_epoch(&dir)?.unwrap_or(0) + 1;
        atomic_write(&RealDisk, &dir.join("epoch"), format!("{epoch}\n").as_bytes(), 0o644)?;
        let was_closed = note_open(&dir)?;
        let (db, rows) = open_database(&dir, settings, was_closed)?;
        let view = Arc::new(RwLock::new(Arc::new(db.snapshot())));
        let store = Store { view, rows, db, lock: Arc::new(lock) };
        let state = Arc::new(Mutex::new(State::Open));
        let (sender, requests) = channel();
        let (queue, merging) = (Arc::new(Mutex::new(Some(sender))), Arc::new(Merging::default()));
        let committer = Committer {
            dir: dir.clone(),
            epoch,
            spare_bytes: settings.spare_bytes,
            memtable_bytes: settings.memtable_bytes,
            state: state.clone(),
            store: store.clone(),
            merging: merging.clone(),
            refuses: Cell::new(false),
        };
        let thread = std::thread::Builder::new().name("tables-commit".into());
        let committer = thread.spawn(move || committer.run(&requests))?;
        let (removals, removed) = channel();
        let merger = Merger {
            dir: dir.clone(),
            epoch,
            spare_bytes: settings.spare_bytes,
            state: state.clone(),
            store: store.clone(),
            merging,
            queue: queue.clone(),
        };
        let thread = std::thread::Builder::new().name("tables-merge".into());
        let merger = thread.spawn(move || merger.run(&removed))?;
        Ok(Self {
            dir,
            epoch,
            state,
            store: Arc::new(tokio::sync::RwLock::new(Some(store))),
            queue,
            committer: Mutex::new(Some(committer)),
            merger: Mutex::new(Some((removals, merger))),
        })
    }

    /// Step 1.
    fn enqueue(&self, batch: Batch) -> Result<oneshot::Receiver<Result<()>>> {
        check_readable(&self.state)?;
        let (request, answered) = Request::new(batch);
        match self.queue.lock().as_ref().map(|queue| queue.send(request)) {
            Some(Ok(())) => Ok(answered),
            Some(Err(_)) => {
                lower(&self.state, State::Broken);
                Err(unavailable("the thread that writes has ended"))
            }
            None => Err(closed()),
        }
    }

    /// Sends a batch to the thread that writes.
    async fn write(&self, batch: Batch) -> Result<()> {
        let answered = self.enqueue(batch)?;
        answered.await.unwrap_or_else(|_| {
            lower(&self.state, State::Broken);
            Err(unknown("the thread that writes has ended"))
        })
    }

    /// Runs `work` where it may block; the engine is not closed meanwhile.
    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Store) -> Result<T> + Send + 'static) -> Result<T> {
        check_readable(&self.state)?;
        let store = self.store.clone().read_owned().await;
        blocking(move || match store.as_ref() {
            Some(store) => work(store),
            None => Err(closed()),
        })
        .await
    }

    /// Has the files removed that lie in a range, behind the merge that is under way.
    async fn remove_files(&self, from: Bytes, to: Bytes) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let removal = Removal { from, to, answer };
        let sent = self.merger.lock().as_ref().is_some_and(|(removals, _)| removals.send(removal).is_ok());
        match sent {
            true => answered.await.unwrap_or_else(|_| Err(closed())),
            false => Err(closed()),
        }
    }

    /// Deletes the keys of a range one by one, in `most` batches. The answer is where it must go on; `None` at the end.
    async fn bury(&self, from: &Bytes, to: &Bytes, most: usize) -> Result<Option<Bytes>> {
        let bounds = (Bound::Included(from.clone()), Bound::Excluded(to.clone()));
        let mut scan = self.scan(bounds.0, bounds.1, Order::Forward).await?;
        for _ in 0..most {
            let pairs = scan.next_batch(4096, 1 << 20).await?;
            if pairs.is_empty() {
                return Ok(None);
            }
            let mut batch = Batch::new().that_frees();
            pairs.into_iter().for_each(|(key, _)| batch.delete(key));
            self.write(batch).await?;
        }
        Ok(scan.next_batch(1, 1).await?.pop().map(|(key, _)| key))
    }
}

#[async_trait]
impl Engine for Fjall {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        check_key(key)?;
        check_readable(&self.state)?;
        let store = self.store.read().await;
        let store = store.as_ref().ok_or_else(closed)?;
        let value = store.view().get(&store.rows, key).map_err(|e| unreadable(e.to_string()))?;
        Ok(value.map(Bytes::from))
    }

    async fn scan(&self, from: Bound<Bytes>, to: Bound<Bytes>, order: Order) -> Result<Box<dyn Scan>> {
        check_readable(&self.state)?;
        let Some(bounds) = between(from, to) else { return Ok(Box::new(Nothing)) };
        let store = self.store.read().await;
        let store = store.as_ref().ok_or_else(closed)?;
        let iter = store.view().range(&store.rows, bounds);
        Ok(Box::new(FjallScan { rest: Rest::Some(iter), order, state: self.state.clone(), is_new: true }))
    }

    async fn commit(&self, batch: Batch) -> Result<()> {
        batch.check()?;
        match batch.is_empty() {
            true => check_readable(&self.state),
            false => self.write(batch).await,
        }
    }

    /// Whole files go at once. That alone would not do: the journal still has the rows and would bring them back after
    /// a crash, and files that lie across a border stay. So:
    ///
    /// 1. every key is deleted, which the journal has behind the rows;
    /// 2. the files that lie in the range go, with rows and deletions. These two go on by turns through a large range: on
    ///    a full disk there is no room for the deletions of all of it before the first file goes;
    /// 3. one deletion more, after which readers, ourselves among them, have a view that is newer than the removal: one
    ///    that is older still has those files. It also makes fjall look for views that are not in use any more when it
    ///    changes its table in memory, which it does only if that has something in it;
    /// 4. what comes to light again, from the files across the borders, is deleted once more.
    async fn delete_range(&self, from: Bytes, to: Bytes) -> Result<()> {
        let first = if from.is_empty() { Bytes::from_static(&[0]) } else { from };
        if first >= to {
            return check_readable(&self.state);
        }
        let mut from = Some(first.clone());
        while let Some(at) = from {
            from = self.bury(&at, &to, TURN).await?;
            failpoint::hit("engine.buried");
            // A file may lie in several turns.
            let end = from.as_ref().unwrap_or(&to).clone();
            self.remove_files(first.clone(), end).await?;
        }
        failpoint::hit("engine.dropped");
        let mut once_more = Batch::new().that_frees();
        once_more.delete(first.clone());
        self.commit(once_more).await?;
        self.bury(&first, &to, usize::MAX).await?;
        self.read(|store| {
            if let Err(error) = store.rows.rotate_memtable() {
                tracing::warn!(%error, "the space of deleted rows is given back later");
            }
            Ok(())
        })
        .await
    }

    fn size(&self, from: &[u8], to: &[u8]) -> Result<u64> {
        check_readable(&self.state)?;
        let store = self.store.try_read().map_err(|_| unavailable("the engine is being closed"))?;
        let store = store.as_ref().ok_or_else(closed)?;
        Ok(estimate(&store.rows, from, to))
    }

    fn borders(&self, from: &[u8], to: &[u8]) -> Result<Vec<(Bytes, u64)>> {
        check_readable(&self.state)?;
        let store = self.store.try_read().map_err(|_| unavailable("the engine is being closed"))?;
        let store = store.as_ref().ok_or_else(closed)?;
        Ok(borders(&store.rows, from, to))
    }

    fn check_readable(&self) -> Result<()> {
        check_readable(&self.state)
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_broken(&self) -> bool {
        *self.state.lock() == State::Broken
    }

    async fn close(&self) -> Result<()> {
        // Without a sender the thread ends, once it has written what is in the queue.
        drop(self.queue.lock().take());
        let committer = self.committer.lock().take();
        if let Some(committer) = committer {
            blocking(move || Ok(committer.join().is_err())).await?;
        }
        let merger = self.merger.lock().take();
        if let Some((removals, merger)) = merger {
            drop(removals);
            blocking(move || Ok(merger.join().is_err())).await?;
        }
        let was = lower(&self.state, State::Closed);
        let store = self.store.write().await.take();
        match (store, was) {
            // fjall waits for its threads, one of which may have died of the error that broke us.
            (Some(store), State::Broken) => drop_aside(store),
            (Some(store), was) => {
                let dir = self.dir.clone();
                blocking(move || {
                    close_now(store, was, &dir);
                    Ok(())
                })
                .await?;
            }
            (None, _) => {}
        }
        Ok(())
    }
}

impl Drop for Fjall {
    fn drop(&mut self) {
        if let Some(store) = self.store.try_write().ok().and_then(|mut store| store.take()) {
            drop_aside(store);
        }
    }
}

impl Store {
    fn view(&self) -> Arc<Snapshot> {
        self.view.read().clone()
    }
}

/// What is left of a range.
struct FjallScan {
    rest: Rest,
    order: Order,
    state: Arc<Mutex<State>>,
    /// Nothing was read yet.
    is_new: bool,
}

enum Rest {
    Some(Iter),
    /// A page is being read. Found at the beginning of another one, that page was given up or failed.
    Away,
    Nothing,
}

#[async_trait]
impl Scan for FjallScan {
    async fn next_batch(&mut self, max_rows: usize, max_bytes: usize) -> Result<Vec<Pair>> {
        check_readable(&self.state)?;
        let iter = match std::mem::replace(&mut self.rest, Rest::Away) {
            Rest::Some(iter) => iter,
            Rest::Away => return Err(unreadable("an earlier page of this scan was given up")),
            Rest::Nothing => {
                self.rest = Rest::Nothing;
                return Ok(Vec::new());
            }
        };
        let order = self.order;
        // Most scans are of one row: their only page is a small one.
        let (rest, pairs) = match std::mem::take(&mut self.is_new) {
            true => page(iter, order, Page::new(max_rows.min(AT_ONCE_PAIRS), max_bytes.min(AT_ONCE_BYTES)))?,
            false => blocking(move || page(iter, order, Page::new(max_rows, max_bytes))).await?,
        };
        self.rest = rest;
        Ok(pairs)
    }
}

/// Fills a page.
fn page(mut iter: Iter, order: Order, mut page: Page) -> Result<(Rest, Vec<Pair>)> {
    loop {
        let next = match order {
            Order::Forward => iter.next(),
            Order::Backward => iter.next_back(),
        };
        let Some(pair) = next else { return Ok((Rest::Nothing, page.into_pairs())) };
        let (key, value) = pair.into_inner().map_err(|e| unreadable(e.to_string()))?;
        if page.push((key.into(), value.into())) {
            return Ok((Rest::Some(iter), page.into_pairs()));
        }
    }
}

fn closed() -> feitian_base::Error {
    unavailable("the engine is closed")
}

/// Runs what may block away from the threads of the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(unreadable)?
}

/// The end of an opening none of whose writes failed.
fn close_now(store: Store, was: State, dir: &Path) {
    // The second line fails if one of fjall's threads has died.
    let synced = store.db.persist(PersistMode::SyncData).and_then(|()| store.db.persist(PersistMode::Buffer));
    if synced.is_err() {
        return drop_aside(store);
    }
    // Before the lock goes: behind it, the note would be somebody else's.
    if was == State::Open
        && let Err(error) = note_closed(dir)
    {
        tracing::debug!(%error, "the next opening of the table store takes longer");
    }
    drop(store);
}

/// Lets go of fjall where it may take as long as it likes. One of its threads may have the journal for a moment longer than
/// fjall waits for it, and write then what an error left in the journal's buffer: nobody opens the files before that.
fn drop_aside(store: Store) {
    let thread = std::thread::Builder::new().name("tables-close".into());
    let let_go = move || {
        let lock = store.lock.clone();
        drop(store);
        std::thread::sleep(LET_GO);
        drop(lock);
    };
    if let Err(error) = thread.spawn(let_go) {
        tracing::warn!(%error, "the table store was closed without a thread of its own");
    }
}
