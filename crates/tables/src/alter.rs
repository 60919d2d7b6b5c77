//! Changes of a table that is there: options, throughput, stream, defined columns, secondary indexes.
//!
//! Each goes by the numbered steps of `catalog.rs`. An index that shall have the rows from before it is made *building*
//! in the commit that makes it: from then on every write keeps it, and `backfill.rs` adds the rest.

use std::sync::Arc;

use feitian_base::Result;

use crate::catalog::{Change, add_past, check_names, new_index, new_stream};
use crate::define;
use crate::errors::{invalid, no_index};
use crate::inner::{Inner, Name};
use crate::keys;
use crate::meter;
use crate::model::{DefinedColumn, IndexMeta, TableChange, ThroughputChange};
use crate::table::{Record, Table};

/// Merges options, throughput and stream into those that are.
pub(crate) async fn update_table(inner: &Inner, instance: &str, name: &str, to: TableChange) -> Result<()> {
    if to == TableChange::default() {
        return Err(invalid("No reserved throughput, table options or stream specification is given."));
    }
    // 1.
    let mut change = Change::begin(inner).await;
    let table = inner.table(instance, name)?;
    let _alone = table.gate.write().await;
    // 2.
    let mut record = (*table.record()?).clone();
    if let Some(throughput) = to.throughput {
        change_throughput(inner, &mut record, throughput)?;
    }
    if let Some(options) = &to.options {
        let options = define::changed(&record.options, options)?;
        if !record.indexes.is_empty() {
            define::for_indexes(&options)?;
        }
        record.has_surplus |= options.max_versions < record.options.max_versions;
        record.options = options;
    }
    match (to.stream, record.stream.take()) {
        (None, stream) => record.stream = stream,
        (Some(spec), None) if spec.enable => {
            let now_us = inner.now_us();
            record.stream = Some(new_stream(name, &spec, change.generation(), now_us)?);
        }
        (Some(spec), Some(mut stream)) if spec.enable => {
            stream.expiration_h = define::stream(&spec)?;
            record.stream = Some(stream);
        }
        (Some(_), Some(stream)) => change.kill(stream.generation),
        (Some(_), None) => {}
    }
    finish(inner, &mut change, &table, record).await
}

/// Steps 3 and 4. The caller has the gate alone.
async fn finish(inner: &Inner, change: &mut Change<'_>, table: &Table, record: Record) -> Result<()> {
    change.put(table, &record)?;
    change.commit(inner).await?;
    table.replace(Some(record));
    Ok(())
}

fn change_throughput(inner: &Inner, record: &mut Record, to: ThroughputChange) -> Result<()> {
    let before = record.throughput;
    let after = &mut record.throughput;
    after.read = to.read.unwrap_or(before.read);
    after.write = to.write.unwrap_or(before.write);
    if after.read < 0 || after.write < 0 {
        return Err(invalid("The reserved throughput cannot be less than 0."));
    }
    let now_ms = inner.now_ms();
    if after.read > before.read || after.write > before.write {
        record.last_increase_ms = now_ms;
    }
    if after.read < before.read || after.write < before.write {
        record.last_decrease_ms = Some(now_ms);
    }
    Ok(())
}

/// Fixes the types of further columns.
pub(crate) async fn add_columns(inner: &Inner, instance: &str, name: &str, columns: Vec<DefinedColumn>) -> Result<()> {
    let mut change = Change::begin(inner).await;
    let table = inner.table(instance, name)?;
    let _alone = table.gate.write().await;
    let mut record = (*table.record()?).clone();
    if columns.is_empty() {
        return Err(invalid("No defined column is specified."));
    }
    record.defined.extend(columns);
    define::defined(&record.key, &record.defined)?;
    finish(inner, &mut change, &table, record).await
}

/// Frees the types of columns that no index uses. What rows have in them stays.
pub(crate) async fn delete_columns(inner: &Inner, instance: &str, name: &str, columns: &[String]) -> Result<()> {
    let mut change = Change::begin(inner).await;
    let table = inner.table(instance, name)?;
    let _alone = table.gate.write().await;
    let mut record = (*table.record()?).clone();
    for column in columns {
        let Some(at) = record.defined.iter().position(|defined| defined.name == *column) else {
            return Err(invalid(format!("Column '{column}' is not a defined column.")));
        };
        let uses = |index: &IndexMeta| index.key.contains(column) || index.columns.contains(column);
        if let Some(index) = record.indexes.iter().find(|index| uses(&index.meta)) {
            return Err(invalid(format!("Defined column '{column}' is used by index '{}'.", index.meta.name)));
        }
        record.defined.remove(at);
    }
    finish(inner, &mut change, &table, record).await
}

/// Makes an index; the answer is its table and its generation if rows from before it are still to be added.
pub(crate) async fn create_index(
    inner: &Inner,
    instance: &str,
    name: &str,
    meta: IndexMeta,
    with_base_data: bool,
) -> Result<Option<(Arc<Table>, u64)>> {
    // 1.
    let mut change = Change::begin(inner).await;
    let table = inner.table(instance, name)?;
    let _alone = table.gate.write().await;
    check_names(inner, instance, &[meta.name.as_str()])?;
    // 2.
    let mut record = (*table.record()?).clone();
    let index_name = meta.name.clone();
    let mut index = new_index(&record, meta, change.generation())?;
    index.is_building = with_base_data;
    index.is_whole = with_base_data;
    let generation = index.generation;
    record.indexes.push(index);
    // 3. and 4. A transaction's own writes have no entries for the new index: it is over.
    finish(inner, &mut change, &table, record).await?;
    inner.transactions.end_all_of(&table);
    let shown = Name { table: table.clone(), is_index: true };
    inner.names.write().entry(instance.to_owned()).or_default().insert(index_name, shown);
    Ok(with_base_data.then_some((table.clone(), generation)))
}

/// Takes an index away.
pub(crate) async fn drop_index(inner: &Inner, instance: &str, name: &str, index_name: &str) -> Result<()> {
    // 1.
    let mut change = Change::begin(inner).await;
    let table = inner.table(instance, name)?;
    let _alone = table.gate.write().await;
    // 2.
    let mut record = (*table.record()?).clone();
    let at = record.indexes.iter().position(|index| index.meta.name == index_name);
    let index = record.indexes.remove(at.ok_or_else(|| no_index(index_name))?);
    change.kill(index.generation);
    change.frees = true;
    let past = add_past(inner, instance, table.meters.sum(index.generation));
    change.writes.put(keys::past_units(instance), meter::pair(past.0, past.1));
    // 3. and 4. A transaction's own writes may have entries of the dead index: it is over.
    finish(inner, &mut change, &table, record).await?;
    inner.past.lock().insert(instance.to_owned(), past);
    table.meters.forget(index.generation);
    inner.transactions.end_all_of(&table);
    if let Some(names) = inner.names.write().get_mut(instance) {
        names.remove(index_name);
    }
    Ok(())
}
