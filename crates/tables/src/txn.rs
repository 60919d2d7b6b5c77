//! Local transactions: the writes of one partition key, seen by their owner alone until one commit makes them durable.
//!
//! 1. Start takes the partition's latch alone, so that no write to it is under way, and its lock, which outside writers
//!    look for once they have a latch.
//! 2. Writes are worked out over the engine with the transaction's own writes on top, and added to those.
//! 3. Commit takes the latch alone and commits all of it as one batch. If that fails, the transaction stays, and the
//!    same commit may be asked for again: it writes the same.
//! 4. The lock goes, and with it the transaction. Without a commit, its time or a change of the table ends it.
//!
//! Nothing of a transaction is in the engine before step 3, so a crash leaves nothing of it. Its requests have cost
//! units all the same: those that no commit carries are counted when it ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use feitian_base::{Error, Kind, Result, id};
use feitian_wire::ots::{KeyColumn, KeyValue, Row};
use parking_lot::Mutex;

use crate::check::{self, KeyUse};
use crate::errors::{bad_transaction_id, invalid, no_session, out_of_scope, row_conflict};
use crate::inner::Inner;
use crate::model::{Action, RowWrite, Units, Written};
use crate::plan::{self, Planned};
use crate::settings::Settings;
use crate::table::{Record, Table};
use crate::view::{View, Writes};
use crate::write::{self, Change};

/// What every id begins with.
const PREFIX: &str = "txn-";
/// Keys that a deletion takes away count too, but they are more than what the caller sent.
const RAW_FACTOR: usize = 16;
/// What a changed key, and a column of a record, take in memory beside their bytes.
const ENTRY_BYTES: usize = 128;

/// The open transactions.
#[derive(Default)]
pub(crate) struct Transactions {
    by_id: Mutex<BTreeMap<String, Arc<Txn>>>,
    /// Bytes that all of them hold.
    held: Arc<AtomicUsize>,
    /// What those of one instance have, for as long as it has any: no instance takes all that there is.
    shares: Mutex<BTreeMap<String, Weak<Share>>>,
}

/// What the open transactions of one instance have.
#[derive(Default)]
struct Share {
    open: AtomicUsize,
    held: AtomicUsize,
}

/// A transaction's part of a share: itself, and the bytes that it holds. They are free again when it is over.
struct Weight {
    own: usize,
    all: Arc<AtomicUsize>,
    share: Arc<Share>,
}

impl Weight {
    /// Counts a transaction that holds nothing yet, unless its instance has as many as it may.
    fn new(all: &Arc<AtomicUsize>, share: Arc<Share>, most: usize) -> Result<Self> {
        if !take(&share.open, 1, most) {
            return Err(busy("Too many transactions of the instance are open."));
        }
        Ok(Self { own: 0, all: all.clone(), share })
    }

    fn add(&mut self, bytes: usize, settings: &Settings) -> Result<()> {
        if !take(&self.share.held, bytes, settings.instance_transactions_bytes) {
            return Err(busy("The open transactions of the instance hold too many bytes."));
        }
        if !take(&self.all, bytes, settings.transactions_bytes) {
            self.share.held.fetch_sub(bytes, Ordering::SeqCst);
            return Err(busy("The open transactions hold too many bytes."));
        }
        self.own += bytes;
        Ok(())
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::SeqCst);
        self.share.held.fetch_sub(self.own, Ordering::SeqCst);
        self.share.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Adds to a sum, unless there would be more than `most`.
fn take(sum: &AtomicUsize, more: usize, most: usize) -> bool {
    let fits = sum.fetch_add(more, Ordering::SeqCst).saturating_add(more) <= most;
    if !fits {
        sum.fetch_sub(more, Ordering::SeqCst);
    }
    fits
}

fn busy(words: &str) -> Error {
    Error::new(Kind::Throttled, "OTSServerBusy", words)
}

pub(crate) struct Txn {
    id: String,
    table: Arc<Table>,
    partition: Vec<u8>,
    first: KeyColumn,
    expires_us: i64,
    began: Instant,
    /// The table changed under it.
    is_void: AtomicBool,
    /// `None`: it is over. One request at a time has it.
    state: tokio::sync::Mutex<Option<Own>>,
}

/// A transaction's own writes.
pub(crate) struct Own {
    pub writes: Writes,
    told: Vec<(Action, Row)>,
    charges: BTreeMap<u64, i32>,
    bill: Bill,
    size: usize,
    weight: Weight,
}

impl Own {
    fn new(weight: Weight, table: Arc<Table>, generation: u64) -> Self {
        let bill = Bill { table, generation, units: 0, is_carried: false };
        Self { writes: Writes::default(), told: Vec::new(), charges: BTreeMap::new(), bill, size: 0, weight }
    }
}

/// Write units that the transaction's requests were answered with.
struct Bill {
    table: Arc<Table>,
    generation: u64,
    units: i32,
    /// A commit counts them, or may have.
    is_carried: bool,
}

impl Drop for Bill {
    fn drop(&mut self) {
        if !self.is_carried && self.units > 0 {
            self.table.meters.count(self.generation, Units { read: 0, write: self.units });
        }
    }
}

impl Transactions {
    /// Step 1.
    pub(crate) async fn start(&self, inner: &Inner, table: Arc<Table>, key: &[KeyColumn]) -> Result<String> {
        let _gate = table.gate.read().await;
        let record = table.record()?;
        let first = first_column(&record, key)?;
        let partition = record.partition(key);
        let _held = inner.latches.partition(&partition).await;
        self.refuse_locked(inner, &table, &partition)?;
        if self.by_id.lock().len() >= inner.settings.open_transactions {
            return Err(busy("Too many transactions are open."));
        }
        let share = self.share(&table.instance);
        let weight = Weight::new(&self.held, share, inner.settings.instance_transactions)?;
        let id = new_id();
        table.lock(&partition, &id)?;
        let life_us = i64::try_from(inner.settings.transaction_life.as_micros()).unwrap_or(i64::MAX);
        let txn = Txn {
            id: id.clone(),
            table: table.clone(),
            partition,
            first,
            expires_us: inner.now_us().saturating_add(life_us),
            began: Instant::now(),
            is_void: AtomicBool::new(false),
            state: tokio::sync::Mutex::new(Some(Own::new(weight, table.clone(), record.generation))),
        };
        self.by_id.lock().insert(id.clone(), Arc::new(txn));
        Ok(id)
    }

    /// What the open transactions of an instance have.
    fn share(&self, instance: &str) -> Arc<Share> {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get(instance).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share::default());
        shares.insert(instance.to_owned(), Arc::downgrade(&share));
        share
    }

    /// The open transaction of an id.
    pub(crate) fn find(&self, inner: &Inner, instance: &str, id: &str) -> Result<Arc<Txn>> {
        check_id(id)?;
        let found = self.by_id.lock().get(id).cloned();
        let txn = found.filter(|txn| txn.table.instance == instance).ok_or_else(no_session)?;
        if txn.is_over(inner) {
            self.end_if_idle(&txn);
            return Err(no_session());
        }
        Ok(txn)
    }

    /// Refuses an outside writer while a transaction has the partition. The caller holds the partition's latch.
    pub(crate) fn refuse_locked(&self, inner: &Inner, table: &Table, partition: &[u8]) -> Result<()> {
        let Some(id) = table.holder(partition) else { return Ok(()) };
        let Some(txn) = self.by_id.lock().get(&id).cloned() else { return Err(row_conflict()) };
        if txn.is_over(inner) && self.end_if_idle(&txn) { Ok(()) } else { Err(row_conflict()) }
    }

    /// Ends what has outlived its time.
    pub(crate) fn expire(&self, inner: &Inner) {
        let over: Vec<_> = self.by_id.lock().values().filter(|txn| txn.is_over(inner)).cloned().collect();
        for txn in over {
            self.end_if_idle(&txn);
        }
    }

    /// Ends every transaction of a table that is about to change. The caller has the gate alone.
    pub(crate) fn end_all_of(&self, table: &Table) {
        let of_it: Vec<_> =
            self.by_id.lock().values().filter(|txn| std::ptr::eq(&*txn.table, table)).cloned().collect();
        for txn in of_it {
            txn.is_void.store(true, Ordering::SeqCst);
            self.forget(&txn);
        }
    }

    /// Ends all of them, so that their units are counted before they are written down for the last time.
    pub(crate) fn end_all(&self) {
        let open = std::mem::take(&mut *self.by_id.lock());
        for txn in open.values() {
            self.end_if_idle(txn);
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.by_id.lock().len()
    }

    /// Ends a transaction that no request uses now; false if one does.
    fn end_if_idle(&self, txn: &Txn) -> bool {
        let Ok(mut state) = txn.state.try_lock() else { return false };
        *state = None;
        self.forget(txn);
        true
    }

    /// Step 4.
    fn forget(&self, txn: &Txn) {
        txn.table.unlock(&txn.partition, &txn.id);
        self.by_id.lock().remove(&txn.id);
    }
}

impl Txn {
    /// Whether its time has passed, on either clock: that of versions stands still for as long as it was set back, and
    /// nobody should wait for a lock until then.
    fn is_over(&self, inner: &Inner) -> bool {
        self.expires_us <= inner.now_us() || self.began.elapsed() >= inner.settings.transaction_life
    }

    /// A transaction is of one table, whose indexes it reads too.
    pub(crate) fn check_table(&self, name: &str) -> Result<()> {
        let own = &self.table.name;
        if own == name {
            Ok(())
        } else {
            Err(invalid(format!("The transaction is of table '{own}', not of '{name}'.")))
        }
    }

    /// The transaction's own writes, for one request.
    pub(crate) fn own(&self) -> Result<tokio::sync::MutexGuard<'_, Option<Own>>> {
        let state = self.state.try_lock().map_err(|_| row_conflict())?;
        if state.is_none() || self.is_void.load(Ordering::SeqCst) { Err(no_session()) } else { Ok(state) }
    }

    /// Step 2.
    pub(crate) async fn write(&self, inner: &Inner, write: &RowWrite) -> Result<Written> {
        let mut state = self.own()?;
        let _gate = self.table.gate.read().await;
        let record = self.table.record()?;
        if self.is_void.load(Ordering::SeqCst) {
            return Err(no_session());
        }
        let most = inner.settings.write_bytes;
        check::write(&record, write, inner.now_ms(), most)?;
        let key = check::changed_key(&write.change);
        if record.partition(key) != self.partition {
            return Err(out_of_scope(&key_text(&self.first.value), &key_text(&key[0].value)));
        }
        let own = state.as_mut().ok_or_else(no_session)?;
        let view = View::over(&*inner.engine, Some(&own.writes));
        let planned = plan::plan(view, (&self.table, &record), write, inner.stamp_us() / 1000).await;
        let planned = planned.inspect_err(|e| write::count_failure(&self.table, &record, e))?;
        let size = own.size.saturating_add(planned.size);
        let raw = own.writes.bytes().saturating_add(planned.writes.bytes());
        if size > most || raw > most.saturating_mul(RAW_FACTOR) {
            return Err(check::too_large("transaction", most, size.max(raw)));
        }
        own.weight.add(weight_of(&own.writes, &planned), &inner.settings)?;
        own.size = size;
        own.writes.append(planned.writes);
        own.told.extend(planned.told);
        own.bill.units = own.bill.units.saturating_add(planned.answer.consumed.write);
        for (generation, units) in planned.charges {
            *own.charges.entry(generation).or_default() += units;
        }
        self.table.meters.count(record.generation, Units { read: planned.answer.consumed.read, write: 0 });
        Ok(planned.answer)
    }

    /// Step 3, and 4 once it is durable.
    pub(crate) async fn commit(&self, inner: &Inner) -> Result<()> {
        let mut state = self.own()?;
        let _gate = self.table.gate.read().await;
        let record = self.table.record()?;
        if self.is_void.load(Ordering::SeqCst) {
            return Err(no_session());
        }
        let own = state.as_ref().ok_or_else(no_session)?;
        let change = Change {
            writes: own.writes.clone(),
            told: own.told.clone(),
            units: own.bill.units,
            charges: own.charges.iter().map(|(generation, units)| (*generation, *units)).collect(),
            frees: false,
            after: None,
        };
        let held = inner.latches.partition(&self.partition).await;
        let outcome = write::commit(inner, &self.table, &record, &held, change).await;
        let is_in_doubt = matches!(&outcome, Err(e) if write::may_have_happened(e));
        if let Some(own) = state.as_mut() {
            // What is in doubt is not counted either: it would count twice if it is there.
            own.bill.is_carried |= outcome.is_ok() || is_in_doubt;
        }
        outcome?;
        *state = None;
        inner.transactions.forget(self);
        Ok(())
    }

    /// Drops everything.
    pub(crate) fn abort(&self, inner: &Inner) -> Result<()> {
        let mut state = self.own()?;
        *state = None;
        inner.transactions.forget(self);
        Ok(())
    }
}

/// What a write takes in memory until the end. Of small rows that is far more than their bytes.
fn weight_of(before: &Writes, planned: &Planned) -> usize {
    let told = planned.told.as_ref().map_or(0, |(_, row)| 1 + row.key.len() + row.cells.len());
    before.growth(&planned.writes, ENTRY_BYTES) + planned.size + told * ENTRY_BYTES
}

fn first_column(record: &Record, key: &[KeyColumn]) -> Result<KeyColumn> {
    if !record.transactions {
        let words = "Try to call method using explicit transaction on explicit-transaction-disabled table.";
        return Err(invalid(words));
    }
    if record.auto_column().is_some() {
        return Err(invalid("Local transactions are not supported for tables with an auto-increment primary key."));
    }
    let [column] = key else { return Err(invalid("StartLocalTransaction support only one primary key.")) };
    check::key_column(&record.key[0], column, KeyUse::Read)?;
    Ok(column.clone())
}

/// A first key value in an error's words.
pub(crate) fn key_text(value: &KeyValue) -> String {
    match value {
        KeyValue::Int(v) => v.to_string(),
        KeyValue::Str(v) => v.clone(),
        KeyValue::Bin(v) => v.iter().map(|byte| format!("{byte:02x}")).collect(),
        KeyValue::InfMin | KeyValue::InfMax | KeyValue::Auto => value.type_name().to_owned(),
    }
}

fn new_id() -> String {
    let ulid = id::ulid();
    format!("{PREFIX}{ulid}{}", check_letter(&ulid))
}

/// Tells an id that we may have given from one that nobody gave.
fn check_id(id: &str) -> Result<()> {
    let body = id.strip_prefix(PREFIX).filter(|body| body.is_ascii() && body.len() == 27);
    let is_ours = body.is_some_and(|body| {
        let (ulid, letter) = body.split_at(26);
        id::ulid_ms(ulid).is_some() && letter == check_letter(ulid).to_string()
    });
    if is_ours { Ok(()) } else { Err(bad_transaction_id()) }
}

/// Each place counts differently, so that exchanged characters are found.
fn check_letter(ulid: &str) -> char {
    let sum = ulid.bytes().zip(1u32..).map(|(byte, place)| u32::from(byte) * place).sum::<u32>();
    char::from(b'a' + u8::try_from(sum % 26).expect("a remainder of 26 fits"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // From the reference, part 2.10: malformed ids are told from unknown ones.
    #[test]
    fn ids_are_recognised() {
        let id = new_id();
        assert!(check_id(&id).is_ok());
        // The example of the ULID specification, its last two digits exchanged, and its check letter another one.
        let (ulid, exchanged) = ("01arz3ndektsv4rrffq69g5fav", "01arz3ndektsv4rrffq69g5fva");
        let letter = check_letter(ulid);
        assert!(check_id(&format!("txn-{ulid}{letter}")).is_ok());
        let exchanged = format!("txn-{exchanged}{letter}");
        let other = format!("txn-{ulid}{}", if letter == 'a' { 'b' } else { 'a' });
        for bad in ["", "1", "txn-", "txn-é", &id[1..], &id[..30], &exchanged[..], &other[..]] {
            assert_eq!(check_id(bad).unwrap_err().message(), "TransactionID is invalid.", "{bad}");
        }
    }
}
