//! One table while the server runs: its record in the catalog, who may write, its counters, and the end of its stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use feitian_base::Result;
use feitian_wire::ots::KeyColumn;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::cells::Live;
use crate::errors::{no_table, row_conflict};
use crate::keys;
use crate::meter::Meters;
use crate::model::{DefinedColumn, IndexMeta, KeySchema, Options, Throughput};

/// The form of [`Record`]; another one is another feitian's.
pub(crate) const FORM: u32 = 3;
/// The form of those whose large rows are not noted ([`Table::note_apart`]).
pub(crate) const FORM_WITHOUT_NOTES: u32 = 2;

/// What the catalog keeps of a table, as JSON. Fields are added with `#[serde(default)]` and never change their
/// meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub form: u32,
    pub generation: u64,
    pub created_ms: i64,
    pub key: Vec<KeySchema>,
    pub defined: Vec<DefinedColumn>,
    pub options: Options,
    pub throughput: Throughput,
    pub last_increase_ms: i64,
    pub last_decrease_ms: Option<i64>,
    pub transactions: bool,
    pub stream: Option<StreamState>,
    pub indexes: Vec<Index>,
    /// Versions above the most that there may be are still in the engine, since the option was lowered.
    pub has_surplus: bool,
}

/// A stream that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamState {
    pub id: String,
    pub generation: u64,
    pub expiration_h: i32,
    pub enabled_us: i64,
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    pub meta: IndexMeta,
    pub generation: u64,
    /// The listed columns, then those of the table's key that are not listed.
    pub key: Vec<KeySchema>,
    /// Rows from before the index are still being added; nobody reads it.
    pub is_building: bool,
    /// Every row of the table has its entry; otherwise those alone that were written since.
    pub is_whole: bool,
}

impl Record {
    /// What can be read at a moment.
    pub(crate) fn live(&self, now_ms: i64) -> Live {
        let ttl_ms = i64::from(self.options.time_to_live_s).saturating_mul(1000);
        let oldest = if self.options.time_to_live_s == -1 { i64::MIN } else { now_ms.saturating_sub(ttl_ms) };
        Live { max_versions: usize::try_from(self.options.max_versions).unwrap_or(1).max(1), oldest }
    }

    /// The prefix of every row whose key begins as this one does.
    pub(crate) fn partition(&self, key: &[KeyColumn]) -> Vec<u8> {
        keys::row(self.generation, &key[..key.len().min(1)])
    }

    /// The place of the column that the server fills in.
    pub(crate) fn auto_column(&self) -> Option<usize> {
        self.key.iter().position(|column| column.auto_increment)
    }
}

/// A table while the server runs.
pub(crate) struct Table {
    pub instance: String,
    pub name: String,
    /// Writers share it from reading the record to the end of their commit; who changes the record has it alone.
    pub gate: tokio::sync::RwLock<()>,
    record: RwLock<Option<Arc<Record>>>,
    pub meters: Meters,
    pub tail: StreamTail,
    /// Some row's cells may have keys of their own: who puts a row must look for them.
    apart: AtomicBool,
    locks: Mutex<BTreeMap<Vec<u8>, String>>,
}

impl Table {
    pub(crate) fn new(instance: &str, name: &str, record: Record, meters: Meters, last_change_us: i64) -> Self {
        Self {
            instance: instance.to_owned(),
            name: name.to_owned(),
            gate: tokio::sync::RwLock::new(()),
            record: RwLock::new(Some(Arc::new(record))),
            meters,
            tail: StreamTail::from(last_change_us),
            apart: AtomicBool::new(false),
            locks: Mutex::new(BTreeMap::new()),
        }
    }

    /// Whether some row's cells may have keys of their own. The caller holds the latch of the row that it asks for: who wrote
    /// that row before has noted it.
    pub(crate) fn may_have_apart(&self) -> bool {
        self.apart.load(Ordering::SeqCst)
    }

    /// Notes that a row will get keys for its cells, before anybody can have written it. The commit that does it has the note.
    pub(crate) fn note_apart(&self) {
        self.apart.store(true, Ordering::SeqCst);
    }

    /// The table's record now; an error once it is deleted.
    pub(crate) fn record(&self) -> Result<Arc<Record>> {
        self.record.read().clone().ok_or_else(no_table)
    }

    /// Puts another record in place, or none. The caller has the gate alone.
    pub(crate) fn replace(&self, record: Option<Record>) {
        *self.record.write() = record.map(Arc::new);
    }

    /// Gives a partition key to a transaction, if nobody has it.
    pub(crate) fn lock(&self, partition: &[u8], transaction: &str) -> Result<()> {
        let mut locks = self.locks.lock();
        if locks.contains_key(partition) {
            return Err(row_conflict());
        }
        locks.insert(partition.to_vec(), transaction.to_owned());
        Ok(())
    }

    /// The transaction that has a partition key.
    pub(crate) fn holder(&self, partition: &[u8]) -> Option<String> {
        self.locks.lock().get(partition).cloned()
    }

    /// Takes a partition key from a transaction; nothing happens if it is another one's.
    pub(crate) fn unlock(&self, partition: &[u8], transaction: &str) {
        let mut locks = self.locks.lock();
        if locks.get(partition).is_some_and(|holder| holder == transaction) {
            locks.remove(partition);
        }
    }
}

/// The end of a table's stream: what time the next change has, and up to where readers may go.
///
/// Changes of different rows become durable in any order. A reader that went past one that is still on its way would
/// never see it, so it stops before the earliest of those.
pub(crate) struct StreamTail(Mutex<Tail>);

struct Tail {
    last_us: i64,
    on_their_way: BTreeSet<i64>,
}

impl StreamTail {
    /// `last_us` is the time of the last change in the log.
    fn from(last_us: i64) -> Self {
        Self(Mutex::new(Tail { last_us, on_their_way: BTreeSet::new() }))
    }

    /// Times for so many changes, each later than every one before. They are on their way until the answer is dropped.
    pub(crate) fn take(&self, now_us: i64, count: usize) -> Times<'_> {
        let mut tail = self.0.lock();
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            tail.last_us = now_us.max(tail.last_us.saturating_add(1));
            let time = tail.last_us;
            tail.on_their_way.insert(time);
            times.push(time);
        }
        Times { tail: self, times }
    }

    /// No change on its way is earlier than this, and none will be.
    pub(crate) fn settled_us(&self) -> i64 {
        let tail = self.0.lock();
        tail.on_their_way.first().copied().unwrap_or_else(|| tail.last_us.saturating_add(1))
    }
}

/// Times of changes that are being committed.
pub(crate) struct Times<'a> {
    tail: &'a StreamTail,
    pub times: Vec<i64>,
}

impl Times<'_> {
    /// Lets them be on their way for ever: nobody knows what came of the changes.
    pub(crate) fn keep(mut self) {
        self.times.clear();
    }
}

impl Drop for Times<'_> {
    fn drop(&mut self) {
        let mut tail = self.tail.0.lock();
        for time in &self.times {
            tail.on_their_way.remove(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // From docs/format-tables.md: a record that every later feitian reads.
    #[test]
    fn a_record_is_read() {
        let text = r#"{"form":3,"generation":3,"created_ms":1700000000000,
            "key":[{"name":"a","kind":"integer","auto_increment":false},{"name":"b","kind":"string","auto_increment":true}],
            "defined":[{"name":"n","kind":"double"}],
            "options":{"time_to_live_s":-1,"max_versions":1,"deviation_s":86400,"allow_update":true,"update_full_row":false},
            "throughput":{"read":1,"write":2},"last_increase_ms":1700000000000,"last_decrease_ms":null,"transactions":true,
            "stream":{"id":"t_1","generation":5,"expiration_h":24,"enabled_us":1},
            "indexes":[{"meta":{"name":"i","key":["n"],"columns":[],"kind":"local"},"generation":4,
                "key":[{"name":"n","kind":"binary","auto_increment":false}],"is_building":false,"is_whole":true}],
            "has_surplus":false}"#;
        let record: Record = serde_json::from_str(text).expect("a record");
        assert_eq!((record.generation, record.indexes[0].generation), (3, 4));
        assert_eq!(record.stream.as_ref().map(|stream| stream.expiration_h), Some(24));
        assert_eq!(record.auto_column(), Some(1));
        let again: Record = serde_json::from_slice(&serde_json::to_vec(&record).expect("JSON")).expect("JSON");
        assert_eq!(again, record);
    }

    // The rule above: a reader stops before the earliest change that is on its way.
    #[test]
    fn readers_wait_for_changes_on_their_way() {
        let tail = StreamTail::from(5);
        assert_eq!(tail.settled_us(), 6);
        let first = tail.take(3, 1);
        let second = tail.take(100, 2);
        assert_eq!((first.times.clone(), second.times.clone()), (vec![6], vec![100, 101]));
        drop(second);
        assert_eq!(tail.settled_us(), 6);
        drop(first);
        assert_eq!(tail.settled_us(), 102);
        // What nobody knows the outcome of is on its way for ever.
        tail.take(110, 1).keep();
        drop(tail.take(120, 1));
        assert_eq!(tail.settled_us(), 110);
    }
}
