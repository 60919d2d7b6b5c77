//! An engine in memory, for tests: it keeps the rules of the others and fails when it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use feitian_base::Result;
use parking_lot::Mutex;

use super::{Batch, Engine, Nothing, Order, Page, Pair, Scan, between, check_key, full, unavailable, unknown};

/// What outlives an engine that is closed or fenced: the data, and what is to go wrong next.
#[derive(Clone, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    /// Held by the commit that is being written. It is fair, so commits go in the order in which they came.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    pairs: Arc<BTreeMap<Bytes, Bytes>>,
    epoch: u64,
    commits: u64,
    full: bool,
    failures: VecDeque<Failure>,
}

/// How a commit fails. Both answer the same error: the caller cannot tell them from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The batch is not there.
    Lost,
    /// The batch is there, which a reader sees once the data are opened again.
    Kept,
}

/// Keeps every commit waiting for as long as it lives.
pub struct Held {
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

impl Disk {
    /// A disk with nothing on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next commit fail; called several times, the ones after it too.
    pub fn fail_next(&self, failure: Failure) {
        self.state.lock().failures.push_back(failure);
    }

    /// Says whether the disk is full but for the last room, which is for batches that free some.
    pub fn set_full(&self, full: bool) {
        self.state.lock().full = full;
    }

    /// Waits for the commit that is being written, and holds up those after it.
    pub async fn hold(&self) -> Held {
        Held { _turn: self.turn.clone().lock_owned().await }
    }

    /// How many batches were written, those that were answered with an error and are there among them.
    pub fn commits(&self) -> u64 {
        self.state.lock().commits
    }
}

/// One opening of a [`Disk`].
pub struct Memory {
    disk: Disk,
    epoch: u64,
    /// What readers see once a commit failed: the data before it.
    frozen: Mutex<Option<Arc<BTreeMap<Bytes, Bytes>>>>,
    closed: AtomicBool,
}

impl Memory {
    /// Opens the disk, and fences who has it open.
    pub fn open(disk: &Disk) -> Self {
        let mut state = disk.state.lock();
        state.epoch += 1;
        let epoch = state.epoch;
        drop(state);
        Self { disk: disk.clone(), epoch, frozen: Mutex::new(None), closed: AtomicBool::new(false) }
    }

    /// Refuses once the engine is closed or another one has opened the disk.
    fn check_owner(&self, state: &State) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(unavailable("the engine is closed"));
        }
        if state.epoch != self.epoch {
            return Err(unavailable(format!("epoch {} was fenced by epoch {}", self.epoch, state.epoch)));
        }
        Ok(())
    }

    /// The pairs as they are now.
    fn view(&self) -> Result<Arc<BTreeMap<Bytes, Bytes>>> {
        let state = self.disk.state.lock();
        self.check_owner(&state)?;
        let frozen = self.frozen.lock().clone();
        Ok(frozen.unwrap_or_else(|| state.pairs.clone()))
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let mut state = self.disk.state.lock();
        self.check_owner(&state)?;
        if self.frozen.lock().is_some() {
            return Err(unavailable("an earlier commit failed; the engine must be opened again"));
        }
        if state.full && !batch.frees() {
            return Err(full("the disk was told to be full"));
        }
        let failure = state.failures.pop_front();
        if failure.is_some() {
            *self.frozen.lock() = Some(state.pairs.clone());
        }
        if failure != Some(Failure::Lost) {
            let pairs = Arc::make_mut(&mut state.pairs);
            for write in batch.into_distinct() {
                match write.value {
                    Some(value) => pairs.insert(write.key, value),
                    None => pairs.remove(&write.key),
                };
            }
            state.commits += 1;
        }
        match failure {
            Some(failure) => Err(unknown(format!("the commit was told to fail: {failure:?}"))),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Engine for Memory {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        check_key(key)?;
        Ok(self.view()?.get(key).cloned())
    }

    async fn scan(&self, from: Bound<Bytes>, to: Bound<Bytes>, order: Order) -> Result<Box<dyn Scan>> {
        let pairs = self.view()?;
        let Some(left) = between(from, to) else { return Ok(Box::new(Nothing)) };
        let disk = self.disk.clone();
        Ok(Box::new(MemoryScan { pairs, left: Some(left), order, disk, epoch: self.epoch }))
    }

    async fn commit(&self, batch: Batch) -> Result<()> {
        batch.check()?;
        let _turn = self.disk.turn.lock().await;
        if batch.is_empty() {
            return self.view().map(drop);
        }
        self.write(batch)
    }

    async fn delete_range(&self, from: Bytes, to: Bytes) -> Result<()> {
        let mut batch = Batch::new().that_frees();
        let mut scan = self.scan(Bound::Included(from), Bound::Excluded(to), Order::Forward).await?;
        for (key, _) in scan.next_batch(usize::MAX, usize::MAX).await? {
            batch.delete(key);
        }
        self.commit(batch).await
    }

    fn size(&self, from: &[u8], to: &[u8]) -> Result<u64> {
        let pairs = self.view()?;
        let (from, to) = (Bytes::copy_from_slice(from), Bytes::copy_from_slice(to));
        let Some(bounds) = between(Bound::Included(from), Bound::Excluded(to)) else { return Ok(0) };
        let bytes: usize = pairs.range(bounds).map(|(key, value)| key.len() + value.len()).sum();
        Ok(bytes as u64)
    }

    fn borders(&self, _from: &[u8], _to: &[u8]) -> Result<Vec<(Bytes, u64)>> {
        self.check_readable()?;
        Ok(Vec::new())
    }

    fn check_readable(&self) -> Result<()> {
        self.check_owner(&self.disk.state.lock())
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_broken(&self) -> bool {
        let is_owner = self.check_owner(&self.disk.state.lock()).is_ok();
        is_owner && self.frozen.lock().is_some()
    }

    async fn close(&self) -> Result<()> {
        let _turn = self.disk.turn.lock().await;
        self.closed.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// What is left of a range.
struct MemoryScan {
    pairs: Arc<BTreeMap<Bytes, Bytes>>,
    left: Option<(Bound<Bytes>, Bound<Bytes>)>,
    order: Order,
    disk: Disk,
    epoch: u64,
}

#[async_trait]
impl Scan for MemoryScan {
    async fn next_batch(&mut self, max_rows: usize, max_bytes: usize) -> Result<Vec<Pair>> {
        if self.disk.state.lock().epoch != self.epoch {
            return Err(unavailable("the engine below this scan was fenced"));
        }
        let mut page = Page::new(max_rows, max_bytes);
        let Some((from, to)) = self.left.take() else { return Ok(Vec::new()) };
        let mut range = self.pairs.range((from.clone(), to.clone()));
        let mut next = || match self.order {
            Order::Forward => range.next(),
            Order::Backward => range.next_back(),
        };
        while let Some((key, value)) = next() {
            if page.push((key.clone(), value.clone())) {
                break;
            }
        }
        let pairs = page.into_pairs();
        self.left = pairs.last().and_then(|(last, _)| match self.order {
            Order::Forward => between(Bound::Excluded(last.clone()), to),
            Order::Backward => between(from, Bound::Excluded(last.clone())),
        });
        Ok(pairs)
    }
}
