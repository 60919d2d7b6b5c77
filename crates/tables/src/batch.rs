//! Batches: many rows in one request, each with its own outcome, or all of one partition key together.
//!
//! Rows of a batch are written at the same time, so that they share the engine's syncs; changes of one row go one after
//! the other, in the order asked. An atomic batch is one commit:
//!
//! 1. Share the gate and take the partition's latch alone.
//! 2. Work out each change over the engine with those before it on top.
//! 3. Commit all of it as one batch, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use feitian_base::Result;
use futures::future::join_all;

use crate::check;
use crate::errors::{again, invalid, out_of_scope};
use crate::inner::Inner;
use crate::keys;
use crate::model::{BatchAnswer, BatchWrite, Got, RowChange, RowWrite, TableGets, TableWrites, Units, Written};
use crate::plan;
use crate::read;
use crate::table::{Record, Table};
use crate::txn::key_text;
use crate::units;
use crate::view::{Room, View};
use crate::write::{self, Change};

/// Rows of any tables.
pub(crate) async fn get(inner: &Inner, instance: &str, tables: &[TableGets]) -> Result<BatchAnswer<Got>> {
    let count: usize = tables.iter().map(|table| table.keys.len()).sum();
    if tables.is_empty() {
        return Err(invalid("No row specified in the request of BatchGetRow."));
    }
    too_many(count, inner.settings.batch_get_rows)?;
    named_once(tables.iter().map(|table| table.table.as_str()))?;
    // All names are looked up before anything is read: one that is missing fails the request.
    let sources = tables.iter().map(|table| inner.source(instance, &table.table)).collect::<Result<Vec<_>>>()?;
    let (mut answer, room) = (Vec::with_capacity(tables.len()), Room::default());
    for (table, source) in tables.iter().zip(&sources) {
        let look = (View::of_rows(inner), &room);
        let projector = read::projector(inner, source, &table.select);
        let rows = table.keys.iter().map(|key| read::row(source, look, key, &projector));
        answer.push((table.table.clone(), join_all(rows).await));
    }
    Ok(answer)
}

/// Changes of any tables.
pub(crate) async fn write(inner: &Arc<Inner>, instance: &str, batch: BatchWrite) -> Result<BatchAnswer<Written>> {
    if batch.tables.is_empty() {
        return Err(invalid("No row is specified in BatchWriteRow."));
    }
    if batch.atomic && batch.transaction.is_some() {
        return Err(invalid("A batch in a transaction cannot be atomic by itself: leave is_atomic out."));
    }
    if let Some(table) = batch.tables.iter().find(|table| table.rows.is_empty()) {
        return Err(invalid(format!("No operation is specified for table: '{}'.", table.table)));
    }
    too_many(batch.tables.iter().map(|table| table.rows.len()).sum(), inner.settings.batch_write_rows)?;
    named_once(batch.tables.iter().map(|table| table.table.as_str()))?;
    let size: usize = batch.tables.iter().flat_map(|table| &table.rows).map(bytes_of).sum();
    if size > inner.settings.write_bytes {
        return Err(check::too_large("BatchWriteRow", inner.settings.write_bytes, size));
    }
    let mut found = Vec::with_capacity(batch.tables.len());
    for table in batch.tables {
        found.push((inner.table(instance, &table.table)?, table));
    }
    if let Some(id) = &batch.transaction {
        return in_transaction(inner, instance, id, found).await;
    }
    let atomic = batch.atomic;
    let parts = found.into_iter().map(|(table, TableWrites { table: name, rows })| async move {
        let answers = if atomic { together(inner, table, rows).await } else { alone(inner, &table, rows).await };
        (name, answers)
    });
    Ok(join_all(parts).await)
}

/// Bytes of a change without the versions, which count only in some tables.
fn bytes_of(write: &RowWrite) -> usize {
    match &write.change {
        RowChange::Put(row) | RowChange::Update(row) => units::row_size(row, false),
        RowChange::Delete(key) => units::key_size(key),
    }
}

fn too_many(count: usize, most: usize) -> Result<()> {
    if count > most { Err(invalid(format!("Rows count exceeds the upper limit: {most}."))) } else { Ok(()) }
}

fn named_once<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(invalid(format!("Duplicated table name: '{name}'.")));
        }
    }
    Ok(())
}

async fn in_transaction(
    inner: &Arc<Inner>,
    instance: &str,
    id: &str,
    tables: Vec<(Arc<Table>, TableWrites)>,
) -> Result<BatchAnswer<Written>> {
    let txn = inner.transactions.find(inner, instance, id)?;
    for (_, writes) in &tables {
        txn.check_table(&writes.table)?;
    }
    let mut answer = Vec::with_capacity(tables.len());
    for (_, writes) in tables {
        let mut rows = Vec::with_capacity(writes.rows.len());
        for row in &writes.rows {
            rows.push(txn.write(inner, row).await);
        }
        answer.push((writes.table, rows));
    }
    Ok(answer)
}

/// Each row for itself; those of one key one after the other.
async fn alone(inner: &Arc<Inner>, table: &Arc<Table>, rows: Vec<RowWrite>) -> Vec<Result<Written>> {
    let count = rows.len();
    let mut by_key: BTreeMap<Vec<u8>, Vec<(usize, RowWrite)>> = BTreeMap::new();
    for (at, row) in rows.into_iter().enumerate() {
        by_key.entry(keys::row(0, check::changed_key(&row.change))).or_default().push((at, row));
    }
    let groups = by_key.into_values().map(|group| {
        let (inner, table) = (inner.clone(), table.clone());
        async move {
            let mut outcomes = Vec::with_capacity(group.len());
            for (at, row) in group {
                let (own, table) = (inner.clone(), table.clone());
                let outcome = inner.to_the_end(async move { write::write_row(&own, &table, row).await }).await;
                outcomes.push((at, outcome));
            }
            outcomes
        }
    });
    let mut outcomes: Vec<_> = join_all(groups).await.into_iter().flatten().collect();
    outcomes.sort_by_key(|(at, _)| *at);
    debug_assert_eq!(outcomes.len(), count);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// All rows or none; one that fails fails them all.
async fn together(inner: &Arc<Inner>, table: Arc<Table>, rows: Vec<RowWrite>) -> Vec<Result<Written>> {
    let (own, count) = (inner.clone(), rows.len());
    let outcome = inner.to_the_end(async move { write_together(&own, &table, &rows).await }).await;
    match outcome {
        Ok(written) => written.into_iter().map(Ok).collect(),
        Err(e) => (0..count).map(|_| Err(again(&e))).collect(),
    }
}

async fn write_together(inner: &Inner, table: &Table, rows: &[RowWrite]) -> Result<Vec<Written>> {
    // 1.
    let _gate = table.gate.read().await;
    let record = table.record()?;
    let partition = same_partition(inner, &record, rows)?;
    let held = inner.latches.partition(&partition).await;
    inner.transactions.refuse_locked(inner, table, &partition)?;
    // 2.
    let now_ms = inner.stamp_us() / 1000;
    let (mut change, mut answers) = (Change::default(), Vec::new());
    let mut read = 0_i32;
    for row in rows {
        let view = View::over(&*inner.engine, Some(&change.writes));
        let planned = plan::plan(view, (table, &record), row, now_ms).await;
        let planned = planned.inspect_err(|e| write::count_failure(table, &record, e))?;
        change.writes.append(planned.writes);
        change.told.extend(planned.told);
        change.charges.extend(planned.charges);
        change.units = change.units.saturating_add(planned.answer.consumed.write);
        read = read.saturating_add(planned.answer.consumed.read);
        answers.push(planned.answer);
    }
    // 3.
    write::commit(inner, table, &record, &held, change).await?;
    table.meters.count(record.generation, Units { read, write: 0 });
    Ok(answers)
}

/// The one partition of an atomic batch.
fn same_partition(inner: &Inner, record: &Record, rows: &[RowWrite]) -> Result<Vec<u8>> {
    let mut first = None;
    for row in rows {
        check::write(record, row, inner.now_ms(), inner.settings.write_bytes)?;
        let key = check::changed_key(&row.change);
        if write::auto_column(record, key).is_some() {
            return Err(invalid("An atomic batch cannot ask for values of an auto-increment primary key."));
        }
        let (first_key, partition) = first.get_or_insert_with(|| (key, record.partition(key)));
        if *partition != record.partition(key) {
            return Err(out_of_scope(&key_text(&first_key[0].value), &key_text(&key[0].value)));
        }
    }
    first.map(|(_, partition)| partition).ok_or_else(|| invalid("No row is specified in BatchWriteRow."))
}
