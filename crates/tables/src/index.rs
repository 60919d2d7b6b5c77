//! Entries of secondary indexes: what a row adds to each, and what a change of the row changes there.
//!
//! An index is a table of its own generation. Its key is the listed columns and then the rest of the row's key, so that
//! an entry belongs to one row, and the row's latch is the entry's. Entries of local and of global indexes change in
//! the commit of their row: what the service promises of local ones holds for all.

use std::collections::{BTreeMap, BTreeSet};

use feitian_base::Result;
use feitian_wire::ots::{KeyColumn, KeyValue, Value};

use crate::cells::{StoredRow, Versions};
use crate::check;
use crate::keys;
use crate::model::KeyType;
use crate::table::{Index, Record};
use crate::units;
use crate::view::Writes;
use crate::whole;

/// An entry, and where it lies.
struct Entry {
    prefix: Vec<u8>,
    key: Vec<KeyColumn>,
    row: StoredRow,
}

/// Columns that the indexes of a table look at.
pub(crate) fn columns(record: &Record, to: &mut BTreeSet<String>) {
    for index in &record.indexes {
        to.extend(index.meta.key.iter().chain(&index.meta.columns).cloned());
    }
}

/// Units that each index is charged for a change.
pub(crate) type Charges = Vec<(u64, i32)>;

/// Carries a row's change over to the indexes.
pub(crate) fn change(
    record: &Record,
    key: &[KeyColumn],
    (old, new): (&StoredRow, &StoredRow),
    writes: &mut Writes,
) -> Result<Charges> {
    let mut charges = Charges::new();
    for index in &record.indexes {
        check_lengths(index, key, old, new)?;
        let (before, after) = (entry(index, key, old), entry(index, key, new));
        let mut units = 0;
        let nothing = StoredRow::default();
        let moves = match (&before, &after) {
            (Some(before), Some(after)) => before.prefix != after.prefix,
            _ => true,
        };
        if let Some(before) = before.as_ref().filter(|_| moves) {
            nothing.changes_from(&before.row, &before.prefix, writes);
            units += units::units(units::key_size(&before.key));
        }
        if let Some(after) = &after {
            let had = before.as_ref().filter(|_| !moves).map_or(&nothing, |before| &before.row);
            if *had != after.row || !index.is_whole {
                // In an index of later rows alone, the entry of a row from before is not there although it seems so.
                let base = if index.is_whole { had.clone() } else { only_stale(had, &after.row) };
                after.row.changes_from(&base, &after.prefix, writes);
                units += units::units(units::key_size(&after.key) + units::columns_size(&after.row.columns, false));
            }
        }
        if units > 0 {
            charges.push((index.generation, units));
        }
    }
    Ok(charges)
}

/// Refuses a new value that is too long for the key of an index. One from before the index stays as it is: its row has
/// no entry then, and can be changed and deleted all the same.
fn check_lengths(index: &Index, key: &[KeyColumn], old: &StoredRow, new: &StoredRow) -> Result<()> {
    for column in index.key.iter().filter(|column| key.iter().all(|own| own.name != column.name)) {
        let value = newest(new, &column.name).map(|(_, value)| value);
        if value == newest(old, &column.name).map(|(_, value)| value) {
            continue;
        }
        if let Some(value) = value.and_then(|value| key_value(value, column.kind)) {
            check::key_length(&column.name, value.size())?;
        }
    }
    Ok(())
}

/// Writes a row's entry in one index as if there were none: who adds old rows does so, and may do it twice.
pub(crate) fn add(index: &Index, key: &[KeyColumn], row: &StoredRow, writes: &mut Writes) {
    if let Some(entry) = entry(index, key, row) {
        entry.row.changes_from(&StoredRow::default(), &entry.prefix, writes);
    }
}

/// The part of an entry that must be deleted to become another one; the rest is taken for missing, and so written.
fn only_stale(old: &StoredRow, new: &StoredRow) -> StoredRow {
    let is_kept = |name: &String, version: &i64| new.columns.get(name).is_some_and(|v| v.contains_key(version));
    let is_stale = |name: &String, version: &i64| !new.has_cell_keys || !is_kept(name, version);
    let mut stale = StoredRow { exists: false, ..old.clone() };
    for (name, versions) in &mut stale.columns {
        versions.retain(|version, _| is_stale(name, version));
    }
    stale
}

/// A row's entry; a row that lacks a listed column, or has one of another type or too long for a key, has none.
fn entry(index: &Index, key: &[KeyColumn], row: &StoredRow) -> Option<Entry> {
    if !row.exists {
        return None;
    }
    let mut entry_key = Vec::with_capacity(index.key.len());
    for column in &index.key {
        let own = key.iter().find(|own| own.name == column.name);
        let value = match own {
            Some(own) => own.value.clone(),
            None => key_value(newest(row, &column.name)?.1, column.kind).filter(fits)?,
        };
        entry_key.push(KeyColumn { name: column.name.clone(), value });
    }
    let mut columns = BTreeMap::new();
    for name in &index.meta.columns {
        if let Some((version, value)) = newest(row, name) {
            columns.insert(name.clone(), Versions::from([(version, value.clone())]));
        }
    }
    let prefix = keys::row(index.generation, &entry_key);
    let row = StoredRow { exists: true, has_cell_keys: !whole::fits(&columns), columns };
    Some(Entry { prefix, key: entry_key, row })
}

fn fits(value: &KeyValue) -> bool {
    value.size() <= check::MAX_KEY_BYTES
}

fn newest<'a>(row: &'a StoredRow, name: &str) -> Option<(i64, &'a Value)> {
    row.columns.get(name)?.last_key_value().map(|(version, value)| (*version, value))
}

fn key_value(value: &Value, kind: KeyType) -> Option<KeyValue> {
    match (value, kind) {
        (Value::Int(v), KeyType::Integer) => Some(KeyValue::Int(*v)),
        (Value::Str(v), KeyType::String) => Some(KeyValue::Str(v.clone())),
        (Value::Bin(v), KeyType::Binary) => Some(KeyValue::Bin(v.clone())),
        _ => None,
    }
}
