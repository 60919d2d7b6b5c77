//! The ordered, durable store below a range of rows: one trait, and what each engine behind it must keep.
//!
//! # What an engine promises
//!
//! **Order.** Keys are bytes and are ordered as bytes. A key has 1 to [`MAX_KEY_BYTES`] bytes, a value up to
//! [`MAX_VALUE_BYTES`].
//!
//! **Durability.** When [`Engine::commit`] answers `Ok`, the whole batch survives the loss of power. No read shows a
//! batch before that: what [`Engine::get`] and [`Engine::scan`] answer is durable already, so nobody is told of a row
//! that is lost afterwards.
//!
//! **Atomicity.** A batch is there as a whole or not at all: for readers, after a crash, after a commit that failed.
//!
//! **Order of commits.** Batches take effect in the order in which their futures were first polled. A read that begins
//! after a commit was answered sees it.
//!
//! **One fsync for many.** Batches that come while another one is being written wait for it and then share one sync. A
//! lonely batch is written at once: nothing waits for company.
//!
//! **Cancellation.** A commit whose future is dropped after it was polled may go on: its outcome is not known. So
//! whoever holds a latch on a row must hold it until the commit has answered, and commit on a task that nobody cancels.
//! A dropped [`Engine::get`] has no effect. A [`Scan`] whose `next_batch` was dropped answers an error afterwards.
//!
//! # What an error means
//!
//! The retry policy of the clients hangs on the code, so each one says whether the write can have happened:
//!
//! | code | the batch | what the engine does afterwards |
//! |---|---|---|
//! | `OTSServerBusy` | did not happen | the disk is full: reads and [`Batch::that_frees`] go on, writes once there is room |
//! | `OTSPartitionUnavailable` | did not happen | fenced or closed: every call is answered so from then on |
//! | `OTSTimeout` | is there or not, as a whole | the disk failed: reads go on, later writes get the code above |
//! | `OTSInternalServerError` | did not happen | a fault of the caller's, such as a key of 0 bytes |
//!
//! A batch whose outcome is not known is not shown to readers either, until the engine is opened again. That it should be is
//! what [`Engine::is_broken`] says.
//!
//! # Who owns the data
//!
//! Each opening has an epoch above all before it. Where nothing keeps a second process from opening the same data (an
//! object store), the later opening fences the earlier one, whose commits fail from then on and leave nothing. Where an
//! operating system's lock does (a directory), the second one is refused; the epoch catches who gets round the lock.

pub mod fjall;
mod group;
pub mod memory;
pub(crate) mod size;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::ops::Bound;

use async_trait::async_trait;
use bytes::Bytes;
use feitian_base::{Error, Kind, Result};

/// The most bytes that a key can have: what the engines write their lengths in.
pub const MAX_KEY_BYTES: usize = 65_535;

/// The most bytes that a value can have. Cells have up to 2 MB; 64 MiB leave room for what is written together.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// A key and its value.
pub type Pair = (Bytes, Bytes);

/// An ordered, durable map from bytes to bytes. The module says what every method promises.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// The value of `key`, if it has one.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// The pairs between two bounds, as they are at this moment whatever is written later. Bounds that cross each other
    /// have nothing between them. A scan keeps old values alive: do not keep it for longer than an answer takes.
    async fn scan(&self, from: Bound<Bytes>, to: Bound<Bytes>, order: Order) -> Result<Box<dyn Scan>>;

    /// Carries out the batch as a whole and makes it durable. An empty batch does nothing.
    async fn commit(&self, batch: Batch) -> Result<()>;

    /// Removes every key from `from` (with it) to `to` (without it) and gives the space back in time. This is no batch:
    /// it goes piece by piece, what a reader of the range sees meanwhile is not defined, and who was interrupted calls
    /// it again. Nobody may write to the range meanwhile.
    async fn delete_range(&self, from: Bytes, to: Bytes) -> Result<()>;

    /// Roughly the bytes that the keys from `from` to `to` take on the disk, without reading them.
    fn size(&self, from: &[u8], to: &[u8]) -> Result<u64>;

    /// Keys from `from` on and before `to`, each once, in their order, with roughly the bytes from `from` to there: where most
    /// is known of these, as of one moment, so that they do not fall. Some hundreds at most.
    fn borders(&self, from: &[u8], to: &[u8]) -> Result<Vec<(Bytes, u64)>>;

    /// Refuses where a read would be refused: the engine is fenced or closed.
    fn check_readable(&self) -> Result<()>;

    /// The number of this opening of the data; each one is above all before it.
    fn epoch(&self) -> u64;

    /// True once a write has failed, after which none is taken. Whoever keeps the engine open closes it then and opens the
    /// data again. Not so once it was fenced: the data are somebody else's and to be left alone.
    fn is_broken(&self) -> bool;

    /// Answers what was begun, refuses what comes later, and lets go of the data. Closing twice is closing once.
    async fn close(&self) -> Result<()>;
}

/// The pairs of a range, some at a time.
#[async_trait]
pub trait Scan: Send {
    /// The next pairs: at most `max_rows`, and no more once they have `max_bytes` together; one at least, unless the
    /// range is at its end, where the answer is empty. Both are taken as 1 if they are 0.
    async fn next_batch(&mut self, max_rows: usize, max_bytes: usize) -> Result<Vec<Pair>>;
}

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From the smallest key to the greatest.
    Forward,
    /// From the greatest key to the smallest.
    Backward,
}

/// Changes that happen together. Of two changes to one key, the later one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    writes: Vec<Write>,
    bytes: usize,
    frees: bool,
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What is changed.
    pub key: Bytes,
    /// Its new value; without one the key goes.
    pub value: Option<Bytes>,
}

impl Batch {
    /// A batch that changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives `key` a value.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.push(Write { key: key.into(), value: Some(value.into()) });
    }

    /// Takes `key` away, if it is there.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.push(Write { key: key.into(), value: None });
    }

    /// Says that the batch takes away what is more than it adds: it may have the last room of a full disk, without which
    /// nothing there could ever be deleted.
    #[must_use]
    pub fn that_frees(mut self) -> Self {
        self.frees = true;
        self
    }

    /// Whether the last room is for it.
    pub(crate) fn frees(&self) -> bool {
        self.frees
    }

    /// Appends the changes of another batch, which count as the later ones. The last room is for both or for neither.
    pub fn append(&mut self, other: Batch) {
        self.bytes += other.bytes;
        self.frees &= other.frees;
        self.writes.extend(other.writes);
    }

    /// The changes in the order in which they came.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, write: Write) {
        self.bytes += write.key.len() + write.value.as_ref().map_or(0, Bytes::len);
        self.writes.push(write);
    }

    /// The changes with the last one for each key alone, ordered by key: an engine that stamps a whole batch with one
    /// number cannot tell which of two came later.
    pub(crate) fn into_distinct(mut self) -> Vec<Write> {
        // The sort is stable, so the last of a run of equal keys is the latest one.
        self.writes.sort_by(|a, b| a.key.cmp(&b.key));
        let mut distinct: Vec<Write> = Vec::with_capacity(self.writes.len());
        for write in self.writes {
            match distinct.last_mut().filter(|last| last.key == write.key) {
                Some(last) => *last = write,
                None => distinct.push(write),
            }
        }
        distinct
    }

    /// Refuses keys and values that no engine can hold.
    pub(crate) fn check(&self) -> Result<()> {
        for write in &self.writes {
            check_key(&write.key)?;
            let bytes = write.value.as_ref().map_or(0, Bytes::len);
            if bytes > MAX_VALUE_BYTES {
                return Err(misused(format!("a value of {bytes} bytes; {MAX_VALUE_BYTES} is the most")));
            }
        }
        Ok(())
    }
}

/// Refuses a key that no engine can hold.
pub(crate) fn check_key(key: &[u8]) -> Result<()> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        bytes => Err(misused(format!("a key of {bytes} bytes; it has 1 to {MAX_KEY_BYTES}"))),
    }
}

/// The bounds of a scan; `None` if no key lies between them. Engines panic or fail on bounds that cross each other, and
/// on those that no key can have, so they are not asked about these.
pub(crate) fn between(from: Bound<Bytes>, to: Bound<Bytes>) -> Option<(Bound<Bytes>, Bound<Bytes>)> {
    // No key is empty, so an empty bound below is none, and nothing lies below an empty bound above.
    let from = match from {
        Bound::Included(from) | Bound::Excluded(from) if from.is_empty() => Bound::Unbounded,
        from => from,
    };
    let is_empty = match (&from, &to) {
        (_, Bound::Included(to) | Bound::Excluded(to)) if to.is_empty() => true,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    };
    (!is_empty).then_some((from, to))
}

/// What one answer of a scan holds so far.
pub(crate) struct Page {
    pairs: Vec<Pair>,
    bytes: usize,
    max_rows: usize,
    max_bytes: usize,
}

impl Page {
    pub(crate) fn new(max_rows: usize, max_bytes: usize) -> Self {
        Self { pairs: Vec::new(), bytes: 0, max_rows: max_rows.max(1), max_bytes: max_bytes.max(1) }
    }

    /// Takes one more pair. True once there is no room for another one.
    pub(crate) fn push(&mut self, pair: Pair) -> bool {
        self.bytes += pair.0.len() + pair.1.len();
        self.pairs.push(pair);
        self.pairs.len() >= self.max_rows || self.bytes >= self.max_bytes
    }

    pub(crate) fn into_pairs(self) -> Vec<Pair> {
        self.pairs
    }
}

/// The scan of a range that has nothing in it.
pub(crate) struct Nothing;

#[async_trait]
impl Scan for Nothing {
    async fn next_batch(&mut self, _max_rows: usize, _max_bytes: usize) -> Result<Vec<Pair>> {
        Ok(Vec::new())
    }
}

/// The data belong to somebody else or the engine is closed; nothing was written.
pub(crate) fn unavailable(why: impl Into<String>) -> Error {
    let why: String = why.into();
    Error::new(Kind::Unavailable, "OTSPartitionUnavailable", "The partition is not available.").with_source(why)
}

/// The disk is full; nothing was written.
pub(crate) fn full(why: impl Into<String>) -> Error {
    let why: String = why.into();
    Error::new(Kind::Unavailable, "OTSServerBusy", "The server has no room for writes.").with_source(why)
}

/// Nobody knows whether it was written before the engine is opened again.
pub(crate) fn unknown(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Unavailable, "OTSTimeout", "Operation timeout.").with_source(why)
}

/// A read that failed below us.
pub(crate) fn unreadable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Internal, "OTSInternalServerError", "Internal server error.").with_source(why)
}

/// The caller asks for what no engine can do.
pub(crate) fn misused(why: impl Into<String>) -> Error {
    let why: String = why.into();
    Error::new(Kind::Internal, "OTSInternalServerError", "Internal server error.").with_source(why)
}
