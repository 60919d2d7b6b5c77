//! SlateDB on an object store: ranges that any process can open next, and only the last one that did can write.
//!
//! A commit goes through these steps; their numbers stand beside the code.
//!
//! 1. Its batch joins the queue. One task empties the queue: all that it finds is one group.
//! 2. Before anything is written: nobody has fenced us, nothing has failed, there is room.
//! 3. The group goes into SlateDB's log in memory as one batch. Readers ask for what is durable, so nobody sees it.
//! 4. The log is flushed at once: one object, created only if nobody else has created it. Otherwise we are fenced.
//! 5. SlateDB says that the number of the batch is durable, and 6. the callers get their answers.
//!
//! What SlateDB would do by itself and must not:
//! - answer a write before it is durable: we wait for its handle (5);
//! - flush every 100 ms: we flush every group (4), and the timer finds nothing to do;
//! - show readers what is not durable: every read asks for what the store has;
//! - forget syncs on a directory: [`directory`] asks its store for them;
//! - delete nothing there: before it deletes manifests, it marks its place by replacing an object if it has not
//!   changed, which directories cannot. There it does without, and keeps manifests for a day, since a deleted one could
//!   be made again by a process that does not know that it was fenced;
//! - compress blocks: corruption with it is reported upstream, so blocks stay as they are.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use feitian_base::{Error, Result, failpoint};
use feitian_store::{RealDisk, create_dir_all};
use parking_lot::Mutex;
use slatedb::config::{
    DurabilityLevel, GarbageCollectorDirectoryOptions, GarbageCollectorOptions, ReadOptions, ScanOptions,
};
use slatedb::object_store::{ObjectStore, local::LocalFileSystem};
use slatedb::{CloseReason, Db, DbIterator, ErrorKind, IterationOrder, WriteBatch};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::group::{MAX_GROUP_BYTES, Refusal, Request, State, answer, check_readable, check_room, lower};
use super::size::share;
use super::{
    Batch, Engine, Nothing, Order, Page, Pair, Scan, between, check_key, unavailable, unknown, unreadable,
};

/// How old a manifest must be before it is deleted: older than any process gets that does not know that it was fenced.
const MANIFEST_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory below the store, if it is one: its free space is looked at, and objects are not replaced in place.
    pub directory: Option<PathBuf>,
    /// Bytes of it that commits leave free.
    pub spare_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { directory: None, spare_bytes: 256 << 20 }
    }
}

/// A store of objects in a directory, whose answers come after the syncs. The directory is made if it is not there.
pub fn directory(dir: &Path) -> Result<Arc<dyn ObjectStore>> {
    let dir = std::path::absolute(dir)?;
    create_dir_all(&RealDisk, &dir)?;
    let store = LocalFileSystem::new_with_prefix(&dir).map_err(|e| unreadable(e.to_string()))?;
    Ok(Arc::new(store.with_fsync(true)))
}

/// One opening of a path in an object store.
pub struct Slate {
    db: Db,
    epoch: u64,
    state: Arc<Mutex<State>>,
    queue: Mutex<Option<UnboundedSender<Request>>>,
    committer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// The task that writes.
struct Committer {
    db: Db,
    state: Arc<Mutex<State>>,
    settings: Settings,
}

impl Slate {
    /// Opens the data below `path`, which are made if they are not there, and fences who has them open.
    pub async fn open(store: Arc<dyn ObjectStore>, path: &str, settings: Settings) -> Result<Self> {
        let manifests = || Some(GarbageCollectorDirectoryOptions { min_age: MANIFEST_AGE, ..Default::default() });
        let collection = GarbageCollectorOptions {
            manifest_options: manifests(),
            compactions_options: manifests(),
            boundary_files_enabled: settings.directory.is_none(),
            ..Default::default()
        };
        let options = slatedb::Settings {
            compression_codec: None,
            garbage_collector_options: Some(collection),
            ..slatedb::Settings::default()
        };
        let db = Db::builder(path.to_string(), store).with_settings(options).build().await;
        let db = db.map_err(|e| unreadable(e.to_string()).context(format_args!("cannot open {path}")))?;
        let epoch = db.manifest().writer_epoch();
        let state = Arc::new(Mutex::new(State::Open));
        let (queue, requests) = unbounded_channel();
        let committer = Committer { db: db.clone(), state: state.clone(), settings };
        let committer = tokio::sync::Mutex::new(Some(tokio::spawn(committer.run(requests))));
        Ok(Self { db, epoch, state, queue: Mutex::new(Some(queue)), committer })
    }

    /// Step 1.
    fn enqueue(&self, request: Request) -> Result<()> {
        check_readable(&self.state)?;
        match self.queue.lock().as_ref().map(|queue| queue.send(request)) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(unavailable("the task that writes has ended")),
            None => Err(unavailable("the engine is closed")),
        }
    }
}

#[async_trait]
impl Engine for Slate {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        check_key(key)?;
        check_readable(&self.state)?;
        let options = ReadOptions::default().with_durability_filter(DurabilityLevel::Remote);
        self.db.get_with_options(key, &options).await.map_err(|e| failed(&self.state, &e))
    }

    async fn scan(&self, from: Bound<Bytes>, to: Bound<Bytes>, order: Order) -> Result<Box<dyn Scan>> {
        check_readable(&self.state)?;
        let Some(bounds) = between(from, to) else { return Ok(Box::new(Nothing)) };
        let order = match order {
            Order::Forward => IterationOrder::Ascending,
            Order::Backward => IterationOrder::Descending,
        };
        let options = ScanOptions {
            durability_filter: DurabilityLevel::Remote,
            order,
            read_ahead_bytes: 64 << 10,
            cache_blocks: true,
            ..ScanOptions::default()
        };
        let iter = self.db.scan_with_options(bounds, &options).await.map_err(|e| failed(&self.state, &e))?;
        Ok(Box::new(SlateScan { iter: Some(iter), ended: false, state: self.state.clone() }))
    }

    async fn commit(&self, batch: Batch) -> Result<()> {
        batch.check()?;
        if batch.is_empty() {
            return check_readable(&self.state);
        }
        let (request, answered) = Request::new(batch);
        self.enqueue(request)?;
        answered.await.unwrap_or_else(|_| Err(unknown("the task that writes has ended")))
    }

    /// Deletes key by key; SlateDB's compaction gives the space back.
    async fn delete_range(&self, from: Bytes, to: Bytes) -> Result<()> {
        let mut scan = self.scan(Bound::Included(from), Bound::Excluded(to), Order::Forward).await?;
        loop {
            let pairs = scan.next_batch(4096, 1 << 20).await?;
            if pairs.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            pairs.into_iter().for_each(|(key, _)| batch.delete(key));
            self.commit(batch).await?;
        }
    }

    /// What is not in tables yet is not counted.
    fn size(&self, from: &[u8], to: &[u8]) -> Result<u64> {
        check_readable(&self.state)?;
        let manifest = self.db.manifest();
        let runs = manifest.compacted().iter().flat_map(|run| run.sst_views());
        let tables = manifest.l0().iter().chain(runs);
        let sizes = tables.filter_map(|table| {
            let info = &table.sst.info;
            let (first, last) = (info.first_entry.as_ref()?, info.last_entry.as_ref()?);
            Some(share(from, to, first, last, table.estimate_size()))
        });
        Ok(sizes.sum())
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    async fn close(&self) -> Result<()> {
        // Without a sender the task ends, once it has written what is in the queue.
        drop(self.queue.lock().take());
        let Some(committer) = self.committer.lock().await.take() else { return Ok(()) };
        let ended = committer.await;
        let was = lower(&self.state, State::Closed);
        let closed = self.db.close().await;
        match (was, closed) {
            // Everything that was answered is durable, so nothing depends on how closing went once we are fenced.
            (State::Open, Err(error)) => Err(unreadable(error.to_string())),
            _ => ended.map_err(unreadable),
        }
    }
}

impl Committer {
    async fn run(self, mut requests: UnboundedReceiver<Request>) {
        while let Some(first) = requests.recv().await {
            let mut bytes = first.bytes;
            let mut group = vec![first];
            while bytes < MAX_GROUP_BYTES
                && let Ok(next) = requests.try_recv()
            {
                bytes += next.bytes;
                group.push(next);
            }
            let outcome = self.commit(&mut group, bytes).await;
            // Step 6.
            answer(group, &outcome);
        }
    }

    async fn commit(&self, group: &mut [Request], bytes: usize) -> Result<(), Refusal> {
        // Step 2.
        let state = *self.state.lock();
        if state != State::Open {
            return Err(Refusal::Unavailable(format!("the engine is {state:?}")));
        }
        if let Some(dir) = &self.settings.directory {
            check_room(dir, self.settings.spare_bytes, bytes)?;
        }
        failpoint::hit("engine.before_write");
        // Step 3. Of two changes to one key the later one stays: a batch keeps one for each key.
        let mut batch = WriteBatch::new();
        for write in group.iter_mut().flat_map(|request| std::mem::take(&mut request.writes)) {
            match write.value {
                Some(value) => batch.put_bytes(write.key, value),
                None => batch.delete(write.key),
            }
        }
        let handle = self.db.write(batch).await.map_err(|e| self.broke(&e))?;
        failpoint::hit("engine.before_sync");
        // Steps 4 and 5.
        self.db.flush().await.map_err(|e| self.broke(&e))?;
        handle.await_durable().await.map_err(|e| self.broke(&e))?;
        failpoint::hit("engine.after_sync");
        Ok(())
    }

    /// Notes that a write failed. It may have reached the store all the same, even if we hear that we are fenced.
    fn broke(&self, error: &slatedb::Error) -> Refusal {
        tracing::error!(%error, "the table store takes no writes until it is opened again");
        let fenced = matches!(error.kind(), ErrorKind::Closed(CloseReason::Fenced));
        lower(&self.state, if fenced { State::Fenced } else { State::Broken });
        Refusal::Unknown(error.to_string())
    }
}

/// The error of a read.
fn failed(state: &Mutex<State>, error: &slatedb::Error) -> Error {
    match error.kind() {
        ErrorKind::Closed(CloseReason::Fenced) => {
            lower(state, State::Fenced);
            unavailable(error.to_string())
        }
        ErrorKind::Closed(_) => unavailable(error.to_string()),
        _ => unreadable(error.to_string()),
    }
}

/// What is left of a range. The iterator is away while a page is read: one that was given up may have lost pairs.
struct SlateScan {
    iter: Option<DbIterator>,
    ended: bool,
    state: Arc<Mutex<State>>,
}

#[async_trait]
impl Scan for SlateScan {
    async fn next_batch(&mut self, max_rows: usize, max_bytes: usize) -> Result<Vec<Pair>> {
        check_readable(&self.state)?;
        if self.ended {
            return Ok(Vec::new());
        }
        let mut iter = self.iter.take().ok_or_else(|| unreadable("an earlier page of this scan was given up"))?;
        let mut page = Page::new(max_rows, max_bytes);
        loop {
            let Some(pair) = iter.next().await.map_err(|e| failed(&self.state, &e))? else {
                self.ended = true;
                return Ok(page.into_pairs());
            };
            if page.push((pair.key, pair.value)) {
                self.iter = Some(iter);
                return Ok(page.into_pairs());
            }
        }
    }
}
