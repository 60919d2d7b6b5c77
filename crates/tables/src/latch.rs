//! Latches over rows and over partition keys: who changes a row holds its latch until the change is durable.
//!
//! A partition key is a first key value. A writer of one row shares the partition's latch and has the row's alone; an
//! atomic batch, a transaction's start and its commit have the partition's alone. Latches are striped by hash,
//! partitions first and never two of a kind, so nobody waits in a circle. Each stripe owns a counter of write units:
//! its holder alone changes it.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

const STRIPES: usize = 1024;

pub(crate) struct Latches {
    partitions: Vec<RwLock<()>>,
    rows: Vec<Mutex<()>>,
}

/// What a writer holds.
pub(crate) struct Held<'a> {
    /// The counter that it may change.
    pub counter: u16,
    _partition: Partition<'a>,
    _row: Option<MutexGuard<'a, ()>>,
}

/// Held, never looked at: a guard does its work by being there.
#[allow(dead_code)]
enum Partition<'a> {
    Shared(RwLockReadGuard<'a, ()>),
    Alone(RwLockWriteGuard<'a, ()>),
}

impl Latches {
    pub(crate) fn new() -> Self {
        Self {
            partitions: (0..STRIPES).map(|_| RwLock::new(())).collect(),
            rows: (0..STRIPES).map(|_| Mutex::new(())).collect(),
        }
    }

    /// One row. `partition` and `row` are prefixes in the engine, which begin with the generation.
    pub(crate) async fn row(&self, partition: &[u8], row: &[u8]) -> Held<'_> {
        let shared = self.partitions[stripe(partition)].read().await;
        let at = stripe(row);
        let own = self.rows[at].lock().await;
        Held { counter: counter(at), _partition: Partition::Shared(shared), _row: Some(own) }
    }

    /// Every row of a partition key.
    pub(crate) async fn partition(&self, partition: &[u8]) -> Held<'_> {
        let at = stripe(partition);
        let alone = self.partitions[at].write().await;
        Held { counter: counter(STRIPES + at), _partition: Partition::Alone(alone), _row: None }
    }
}

fn stripe(bytes: &[u8]) -> usize {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    (hasher.finish() % STRIPES as u64) as usize
}

fn counter(at: usize) -> u16 {
    u16::try_from(at).expect("there are twice 1024 latches")
}
