//! The running table store behind its public face: the engine, the catalog in memory, latches, transactions, owned tasks.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use feitian_base::{Result, Tasks};
use parking_lot::{Mutex, RwLock};
use tokio_util::task::TaskTracker;

use crate::cells::{decode_u64, encode_u64};
use crate::clock::Clock;
use crate::engine::{Batch, Engine};
use crate::errors::{fault, invalid, no_table};
use crate::hot::{Begun, Hot};
use crate::keys::{self, space};
use crate::latch::Latches;
use crate::model::{KeySchema, Options};
use crate::settings::Settings;
use crate::table::{Index, Record, Table};
use crate::txn::Transactions;
use crate::view::Writes;
use crate::write::may_have_happened;

/// What a name of an instance stands for.
#[derive(Clone)]
pub(crate) struct Name {
    pub table: Arc<Table>,
    pub is_index: bool,
}

/// The names of every instance.
pub(crate) type Names = BTreeMap<String, BTreeMap<String, Name>>;

pub(crate) struct Inner {
    pub engine: Arc<dyn Engine>,
    pub hot: Hot,
    pub settings: Settings,
    pub latches: Latches,
    pub names: RwLock<Names>,
    /// Who changes the catalog holds it; inside is the last generation given.
    pub catalog: tokio::sync::Mutex<u64>,
    /// Units of deleted tables, by instance.
    pub past: Mutex<BTreeMap<String, (u64, u64)>>,
    pub transactions: Transactions,
    /// Background work, told to stop.
    pub tasks: Tasks,
    /// Requests that change something: they end on their own.
    pub writers: TaskTracker,
    /// One at a time writes read units down.
    pub flushing: tokio::sync::Mutex<()>,
    clock: Arc<dyn Clock>,
    latest_us: AtomicI64,
    /// The latest time that a write was given, and the latest that the engine has.
    stamped_us: AtomicI64,
    written_us: AtomicI64,
}

/// A stored time so far ahead of the clock is an error of the clock that wrote it.
const MAX_AHEAD_US: i64 = 3_600_000_000;

impl Inner {
    pub(crate) fn new(engine: Arc<dyn Engine>, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        Self {
            engine,
            hot: Hot::new(settings.row_cache_bytes),
            settings,
            latches: Latches::new(),
            names: RwLock::default(),
            catalog: tokio::sync::Mutex::new(0),
            past: Mutex::default(),
            transactions: Transactions::default(),
            tasks: Tasks::new(),
            writers: TaskTracker::new(),
            flushing: tokio::sync::Mutex::new(()),
            clock,
            latest_us: AtomicI64::new(0),
            stamped_us: AtomicI64::new(0),
            written_us: AtomicI64::new(0),
        }
    }

    /// Microseconds since 1970, never going back: a version given later is never older.
    pub(crate) fn now_us(&self) -> i64 {
        let now = self.clock.now_us();
        self.latest_us.fetch_max(now, Ordering::SeqCst).max(now)
    }

    /// The same for a write, whose versions must not be older than those of writes before it, after a restart either.
    pub(crate) fn stamp_us(&self) -> i64 {
        let now = self.now_us();
        self.stamped_us.fetch_max(now, Ordering::SeqCst);
        now
    }

    /// Goes on from the latest time that a write was given before the restart, if the clock went back since.
    pub(crate) async fn load_clock(&self) -> Result<()> {
        let stored = decode_u64(self.engine.get(&keys::catalog(space::CLOCK)).await?.as_ref())?;
        let stored = i64::try_from(stored).unwrap_or(i64::MAX);
        let ahead = stored.saturating_sub(self.now_us());
        if ahead > MAX_AHEAD_US {
            tracing::warn!(
                ahead_us = ahead,
                "the clock went back by more than an hour: new versions are older than old ones"
            );
            return Ok(());
        }
        self.latest_us.fetch_max(stored, Ordering::SeqCst);
        self.written_us.store(stored, Ordering::SeqCst);
        Ok(())
    }

    /// Writes the latest time down, if there were writes since.
    pub(crate) async fn flush_clock(&self) -> Result<()> {
        let stamped = self.stamped_us.load(Ordering::SeqCst);
        if stamped <= self.written_us.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut writes = Writes::default();
        writes.put(keys::catalog(space::CLOCK), encode_u64(stamped.unsigned_abs()));
        // What is written over takes no more room in the end.
        self.engine.commit(writes.into_batch().that_frees()).await?;
        self.written_us.store(stamped, Ordering::SeqCst);
        Ok(())
    }

    /// Milliseconds since 1970, never going back.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_us() / 1000
    }

    /// Carries out what may change rows. The answer is for [`Hot::learn`].
    pub(crate) async fn commit(&self, batch: Batch) -> Result<Begun> {
        let begun = self.hot.begin(&batch);
        let outcome = self.engine.commit(batch).await;
        if !outcome.as_ref().is_err_and(may_have_happened) {
            self.hot.end(&begun);
        }
        outcome.map(|()| begun)
    }

    /// What a name stands for.
    pub(crate) fn name(&self, instance: &str, name: &str) -> Result<Name> {
        self.names.read().get(instance).and_then(|names| names.get(name)).cloned().ok_or_else(no_table)
    }

    /// A table that may be written.
    pub(crate) fn table(&self, instance: &str, name: &str) -> Result<Arc<Table>> {
        let found = self.name(instance, name)?;
        if found.is_index { Err(invalid("Can't write index table directly.")) } else { Ok(found.table) }
    }

    /// Every table there is.
    pub(crate) fn tables(&self) -> Vec<Arc<Table>> {
        let names = self.names.read();
        names.values().flat_map(BTreeMap::values).filter(|name| !name.is_index).map(|name| name.table.clone()).collect()
    }

    /// Those of one instance, by name.
    pub(crate) fn tables_of(&self, instance: &str) -> Vec<Arc<Table>> {
        let names = self.names.read();
        let of_it = names.get(instance).into_iter().flat_map(BTreeMap::values);
        of_it.filter(|name| !name.is_index).map(|name| name.table.clone()).collect()
    }

    /// A table or index that may be read.
    pub(crate) fn source(&self, instance: &str, name: &str) -> Result<Source> {
        let found = self.name(instance, name)?;
        let record = found.table.record()?;
        let index = if found.is_index {
            let at = record.indexes.iter().position(|index| index.meta.name == name).ok_or_else(no_table)?;
            if record.indexes[at].is_building {
                return Err(invalid("Disallow read index table in building base state"));
            }
            Some(at)
        } else {
            None
        };
        Ok(Source { table: found.table, record, index })
    }

    /// Runs a change to its end, whoever stops waiting for it: latches are held until the commit has answered.
    pub(crate) async fn to_the_end<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        match self.writers.spawn(work).await {
            Ok(outcome) => outcome,
            Err(e) => Err(fault("a change of a table panicked").with_source(e)),
        }
    }
}

/// What a read reads.
pub(crate) struct Source {
    pub table: Arc<Table>,
    pub record: Arc<Record>,
    index: Option<usize>,
}

impl Source {
    fn as_index(&self) -> Option<&Index> {
        self.index.and_then(|at| self.record.indexes.get(at))
    }

    pub(crate) fn generation(&self) -> u64 {
        self.as_index().map_or(self.record.generation, |index| index.generation)
    }

    pub(crate) fn key(&self) -> &[KeySchema] {
        self.as_index().map_or(&self.record.key, |index| &index.key)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.record.options
    }

    /// What is dropped is being removed: an answer that was read meanwhile may lack any part of it.
    pub(crate) fn check_alive(&self) -> Result<()> {
        let record = self.table.record()?;
        let generation = self.generation();
        let has_index = || record.indexes.iter().any(|index| index.generation == generation);
        if record.generation == generation || has_index() { Ok(()) } else { Err(no_table()) }
    }
}
