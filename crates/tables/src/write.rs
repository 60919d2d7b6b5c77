//! How one row changes.
//!
//! 1. Share the table's gate, so that neither its schema nor its indexes change meanwhile, and check the request.
//! 2. Take the row's latch (the whole partition's, where the server chooses the key); refuse if a transaction has the
//!    partition.
//! 3. Read the row if anything depends on it, check the condition, work out the new row and its index entries (`plan.rs`).
//! 4. Commit all of it with the stream's record and the write units as one batch; it is durable or it is not there.
//! 5. Let go and answer.
//!
//! Deletions remove keys, so they order by commit: a later write with an older version is seen. All steps run on a task
//! of their own (`Inner::to_the_end`): a caller that goes away does not open a latch under a commit.

use std::collections::BTreeMap;

use feitian_base::{Result, failpoint};
use feitian_wire::ots::{KeyColumn, KeyValue, Row};

use crate::cells::{decode_u64, encode_u64};
use crate::check;
use crate::engine::unknown;
use crate::errors::{condition_failed, invalid};
use crate::hot::Known;
use crate::index::Charges;
use crate::inner::Inner;
use crate::keys;
use crate::latch::Held;
use crate::meter::Charged;
use crate::model::{Action, RowChange, RowWrite, Units, Written};
use crate::plan::{self, Planned};
use crate::stream;
use crate::table::{Record, Table};
use crate::view::{View, Writes};

/// Changes one row, outside of transactions.
pub(crate) async fn write_row(inner: &Inner, table: &Table, mut write: RowWrite) -> Result<Written> {
    // 1.
    let _gate = table.gate.read().await;
    let record = table.record()?;
    check::write(&record, &write, inner.now_ms(), inner.settings.write_bytes)?;
    // 2.
    let partition = record.partition(check::changed_key(&write.change));
    let auto = auto_column(&record, check::changed_key(&write.change));
    let held = match auto {
        Some(_) => inner.latches.partition(&partition).await,
        None => {
            let row = keys::row(record.generation, check::changed_key(&write.change));
            inner.latches.row(&partition, &row).await
        }
    };
    inner.transactions.refuse_locked(inner, table, &partition)?;
    // 3.
    let (now_us, mut writes) = (inner.stamp_us(), Writes::default());
    if let Some(at) = auto {
        let number = next_number(inner, &record, &write, at, now_us, &mut writes).await?;
        plan::fill(&mut write, at, number);
    }
    let planned = plan::plan(View::of_rows(inner), (table, &record), &write, now_us / 1000).await;
    let planned = planned.inspect_err(|e| count_failure(table, &record, e))?;
    // 4.
    let Planned { writes: planned_writes, told, answer, charges, after, .. } = planned;
    writes.append(planned_writes);
    let frees = matches!(write.change, RowChange::Delete(_));
    let change =
        Change { writes, told: told.into_iter().collect(), units: answer.consumed.write, charges, frees, after };
    commit(inner, table, &record, &held, change).await?;
    table.meters.count(record.generation, Units { read: answer.consumed.read, write: 0 });
    // 5.
    Ok(answer)
}

/// A condition that does not hold costs a unit of each kind.
pub(crate) fn count_failure(table: &Table, record: &Record, error: &feitian_base::Error) {
    if error.code() == condition_failed().code() {
        table.meters.count(record.generation, Units { read: 1, write: 1 });
    }
}

/// The column that the server is asked to fill in.
pub(crate) fn auto_column(record: &Record, key: &[KeyColumn]) -> Option<usize> {
    record.auto_column().filter(|at| key.get(*at).is_some_and(|column| column.value == KeyValue::Auto))
}

/// A number above all that this partition key was given. The caller has the partition alone.
async fn next_number(
    inner: &Inner,
    record: &Record,
    write: &RowWrite,
    at: usize,
    now_us: i64,
    writes: &mut Writes,
) -> Result<i64> {
    let mut key = check::changed_key(&write.change).to_vec();
    let counter = keys::auto(record.generation, &record.partition(&key)[8..]);
    let last = i64::try_from(decode_u64(inner.engine.get(&counter).await?.as_ref())?).unwrap_or(i64::MAX);
    let used_up = || invalid("The auto-increment primary key has no value left.");
    let mut number = now_us.max(last.checked_add(1).ok_or_else(used_up)?);
    loop {
        // Callers may have written numbers of their own: no row is written over.
        key[at].value = KeyValue::Int(number);
        if inner.engine.get(&keys::marker(&keys::row(record.generation, &key))).await?.is_none() {
            break;
        }
        number = number.checked_add(1).ok_or_else(used_up)?;
    }
    writes.put(counter, encode_u64(number.unsigned_abs()));
    Ok(number)
}

/// What one commit carries.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub writes: Writes,
    pub told: Vec<(Action, Row)>,
    /// The table's write units.
    pub units: i32,
    /// Those of its indexes.
    pub charges: Charges,
    /// It takes away more than it adds, so that it goes on where the disk is full.
    pub frees: bool,
    /// One row as it is then, if it is known.
    pub after: Option<(Vec<u8>, Known)>,
}

/// Whether a commit with this error may be there all the same.
pub(crate) fn may_have_happened(error: &feitian_base::Error) -> bool {
    error.code() == unknown("").code()
}

/// Step 4. The caller shares the gate and holds the latches of all that is changed.
pub(crate) async fn commit(
    inner: &Inner,
    table: &Table,
    record: &Record,
    held: &Held<'_>,
    change: Change,
) -> Result<()> {
    let Change { mut writes, told, units, charges, frees, after } = change;
    if writes.is_empty() && told.is_empty() {
        // Nothing to make durable: the units are written down with the next sums.
        table.meters.count(record.generation, Units { read: 0, write: units });
        return Ok(());
    }
    let mut by_generation = BTreeMap::from([(record.generation, units)]);
    for (generation, units) in charges {
        let sum = by_generation.entry(generation).or_default();
        *sum = sum.saturating_add(units);
    }
    let mut charged = Charged::default();
    for (generation, units) in by_generation {
        table.meters.charge(generation, held.counter, units, &mut writes, &mut charged);
    }
    let on_their_way = record.stream.as_ref().map(|stream| {
        let times = table.tail.take(inner.now_us(), told.len());
        for (time, (action, row)) in times.times.iter().zip(&told) {
            writes.put(keys::stream(stream.generation, *time), stream::encode(*action, row));
        }
        times
    });
    failpoint::hit("tables.before_commit");
    let batch = writes.into_batch();
    let outcome = inner.commit(if frees { batch.that_frees() } else { batch }).await;
    match (outcome, on_their_way) {
        (Ok(begun), times) => {
            failpoint::hit("tables.after_commit");
            if let Some((row, known)) = after {
                inner.hot.learn(&row, known, &begun);
            }
            table.meters.settle(charged);
            drop(times);
            Ok(())
        }
        (Err(e), times) => {
            // A change that may be there is in the log once the engine is opened again: until then nobody goes past it.
            if let Some(times) = times.filter(|_| may_have_happened(&e)) {
                times.keep();
            }
            Err(e)
        }
    }
}
