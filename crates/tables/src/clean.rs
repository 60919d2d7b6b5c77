//! Removing what nobody can read any more: dead generations, expired changes of streams, expired and surplus versions.
//!
//! A dead generation: 1. remove its keys, 2. remove its counters, 3. forget it. Who was interrupted begins again.
//! A row: under its latch, as a write does it; nobody sees a difference. Rows of an open transaction are left for
//! later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use feitian_base::{Result, failpoint};

use crate::backfill;
use crate::catalog::{self, Change};
use crate::engine::Order;
use crate::index;
use crate::inner::Inner;
use crate::keys::{self, space};
use crate::model::Options;
use crate::stream;
use crate::table::{Record, Table};
use crate::view::{Needed, View, Writes};
use crate::write::{self, Change as RowChange};

/// A table whose versions expire is walked through so many times in their life.
const WALKS_PER_LIFE: i64 = 10;

/// When each table is due again, by generation.
#[derive(Debug, Default)]
pub(crate) struct Due(BTreeMap<u64, i64>);

impl Due {
    /// Whether a table whose versions live for `ttl_s` is to be walked through now. A time that lies further ahead than
    /// the next one would is of a longer life, which was shortened since.
    fn has_come(&self, generation: u64, ttl_s: i64, now_ms: i64) -> bool {
        let next_ms = now_ms.saturating_add(pause_ms(ttl_s));
        self.0.get(&generation).is_none_or(|at| *at <= now_ms || *at > next_ms)
    }
}

fn pause_ms(ttl_s: i64) -> i64 {
    ttl_s.saturating_mul(1000) / WALKS_PER_LIFE
}

/// One round over everything. What fails of one table is tried again in the next round, and holds up no other table;
/// the first error is the answer.
pub(crate) async fn round(inner: &Arc<Inner>, due: &mut Due) -> Result<()> {
    let mut outcome = remove_dead(inner).await;
    due.0.retain(|generation, _| inner.tables().iter().any(|t| t.record().is_ok_and(|r| r.generation == *generation)));
    for table in inner.tables() {
        if inner.tasks.is_stopping() {
            break;
        }
        let own = clean_if_due(inner, &table, due).await;
        outcome = outcome.and(own);
    }
    outcome
}

async fn clean_if_due(inner: &Arc<Inner>, table: &Arc<Table>, due: &mut Due) -> Result<()> {
    let Ok(record) = table.record() else { return Ok(()) };
    expire_stream(inner, table).await?;
    let ttl_s = i64::from(record.options.time_to_live_s);
    let now_ms = inner.now_ms();
    let is_due = ttl_s != -1 && due.has_come(record.generation, ttl_s, now_ms);
    if is_due || record.has_surplus {
        clean_table(inner, table, &record).await?;
        due.0.insert(record.generation, now_ms.saturating_add(pause_ms(ttl_s)));
    }
    Ok(())
}

/// Generations that the catalog has given up.
async fn remove_dead(inner: &Inner) -> Result<()> {
    let from = keys::catalog(space::DEAD);
    let (to, at) = (keys::after(&from), from.len());
    let mut dead = Vec::new();
    let mut pairs = View::of(&*inner.engine).pairs(from, to, Order::Forward).await?;
    while let Some((key, _)) = pairs.next().await? {
        dead.push(key.slice(at..));
    }
    drop(pairs);
    for generation in dead {
        if inner.tasks.is_stopping() {
            break;
        }
        // 1.
        remove_prefix(inner, generation.to_vec()).await?;
        failpoint::hit("tables.clean.after_range");
        // 2.
        for space in [space::WRITE_UNITS, space::READ_UNITS, space::AUTO] {
            let mut prefix = keys::catalog(space);
            prefix.extend_from_slice(&generation);
            remove_prefix(inner, prefix).await?;
        }
        failpoint::hit("tables.clean.before_forget");
        // 3.
        let mut writes = Writes::default();
        for space in [space::APART, space::DEAD] {
            let mut key = keys::catalog(space);
            key.extend_from_slice(&generation);
            writes.delete(key);
        }
        inner.commit(writes.into_batch().that_frees()).await?;
    }
    Ok(())
}

async fn remove_prefix(inner: &Inner, prefix: Vec<u8>) -> Result<()> {
    let to = keys::after(&prefix);
    inner.engine.delete_range(prefix.into(), to.into()).await
}

/// Changes that were kept long enough. The last one stays: it says what time the next one must be behind.
async fn expire_stream(inner: &Inner, table: &Table) -> Result<()> {
    // A stream that is switched off meanwhile dies with its generation, which may be removed twice.
    let Some(stream) = table.record().ok().and_then(|record| record.stream.clone()) else { return Ok(()) };
    let last_us = table.tail.settled_us().saturating_sub(1);
    let to_us = stream::oldest_us(inner, &stream).min(last_us);
    let (from, to) = (keys::stream(stream.generation, 0), keys::stream(stream.generation, to_us));
    // A removal costs a commit and a file even where there is nothing.
    let mut expired = View::of(&*inner.engine).pairs(from.clone(), to.clone(), Order::Forward).await?;
    if expired.next().await?.is_some() {
        drop(expired);
        inner.engine.delete_range(from.into(), to.into()).await?;
    }
    Ok(())
}

/// Every row of a table.
async fn clean_table(inner: &Arc<Inner>, table: &Arc<Table>, record: &Record) -> Result<()> {
    let (mut from, mut is_complete) = (record.generation.to_be_bytes().to_vec(), true);
    loop {
        let page = backfill::page(inner, record, from).await?;
        let Some(last) = page.last() else { break };
        from = keys::row_end(last);
        for prefix in page {
            let (own, table, generation) = (inner.clone(), table.clone(), record.generation);
            is_complete &= inner.to_the_end(async move { clean_row(&own, &table, generation, &prefix).await }).await?;
        }
        if inner.tasks.is_stopping() || table.record().is_err() {
            return Ok(());
        }
    }
    if is_complete && record.has_surplus { forget_surplus(inner, table, &record.options).await } else { Ok(()) }
}

/// False if the row must be looked at again.
async fn clean_row(inner: &Inner, table: &Table, generation: u64, prefix: &Bytes) -> Result<bool> {
    let _gate = table.gate.read().await;
    let Some(record) = table.record().ok().filter(|record| record.generation == generation) else { return Ok(true) };
    let key = keys::read_row(prefix, &record.key)?;
    let partition = record.partition(&key);
    let held = inner.latches.row(&partition, prefix).await;
    if table.holder(&partition).is_some() {
        return Ok(false);
    }
    let mut columns = BTreeSet::new();
    index::columns(&record, &mut columns);
    let old = View::of_rows(inner).row(prefix, &Needed::Named(columns)).await?;
    let mut new = old.clone();
    if !new.trim(&record.live(inner.now_ms())) {
        return Ok(true);
    }
    // The newest version goes only if it has expired: then the row is over, as documented.
    new.exists = old.exists && !new.columns.is_empty();
    let mut writes = Writes::default();
    new.changes_from(&old, prefix, &mut writes);
    index::change(&record, &key, (&old, &new), &mut writes)?;
    failpoint::hit("tables.clean.before_row");
    // What is left of a small row is written again.
    let frees = !new.exists || old.has_cell_keys;
    write::commit(inner, table, &record, &held, RowChange { writes, frees, ..RowChange::default() }).await?;
    Ok(true)
}

/// Notes that no version is left above the most that there may be, unless that number changed meanwhile.
async fn forget_surplus(inner: &Inner, table: &Table, options: &Options) -> Result<()> {
    let mut change = Change::begin(inner).await;
    let _alone = table.gate.write().await;
    let Ok(record) = table.record() else { return Ok(()) };
    if record.options != *options {
        return Ok(());
    }
    let mut record = (*record).clone();
    record.has_surplus = false;
    change.put(table, &record)?;
    change.commit(inner).await?;
    table.replace(Some(record));
    Ok(())
}

/// Writes every table's read units down, and the time of the latest write.
pub(crate) async fn flush(inner: &Inner) -> Result<()> {
    let _one = inner.flushing.lock().await;
    let clock = inner.flush_clock().await;
    for table in inner.tables() {
        let _gate = table.gate.read().await;
        if let Ok(record) = table.record() {
            table.meters.flush(&*inner.engine, &catalog::generations(&record)).await?;
        }
    }
    clock
}

#[cfg(test)]
mod tests {
    use super::*;

    // Arithmetic: a life of ten days is walked through every day, one of a day every 8,640,000 ms.
    #[test]
    fn a_shorter_life_is_walked_through_at_once_and_not_after_the_longer_one() {
        const DAY_S: i64 = 86_400;
        assert!(Due::default().has_come(7, 10 * DAY_S, 1000));
        let due = Due(BTreeMap::from([(7, 1000 + DAY_S * 1000)]));
        assert!(!due.has_come(7, 10 * DAY_S, 1000));
        assert!(!due.has_come(7, 10 * DAY_S, DAY_S * 1000));
        assert!(due.has_come(7, 10 * DAY_S, 1000 + DAY_S * 1000));
        assert!(due.has_come(7, DAY_S, 2000));
        let soon = Due(BTreeMap::from([(7, 1000 + 8_640_000)]));
        assert!(!soon.has_come(7, DAY_S, 1000) && soon.has_come(8, DAY_S, 1000));
    }
}
