//! What a request's keys and cells must be before anything is looked up: names, types, sizes, times.

use std::collections::BTreeMap;

use feitian_base::Result;
use feitian_wire::ots::{Cell, CellOp, KeyColumn, KeyValue, Row, Value};

use crate::errors::{invalid, invalid_key};
use crate::keys;
use crate::model::{Existence, KeySchema, KeyType, RowChange, RowWrite};
use crate::table::Record;
use crate::units;

pub(crate) const MAX_KEY_BYTES: usize = 1024;
const MAX_VALUE_BYTES: usize = 2 << 20;
const MAX_CELLS: usize = 1024;
const MAX_NAME_BYTES: usize = 255;
/// Versions are below this many milliseconds.
const MAX_VERSION_MS: i64 = i64::MAX / 1000;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyUse {
    Read,
    /// Infinities are values too.
    Bound,
    /// The server may be asked for a value.
    Write,
}

/// Compares a key with the table's: the number of columns, then each one's name, then its type.
pub(crate) fn key(schema: &[KeySchema], key: &[KeyColumn], usage: KeyUse) -> Result<()> {
    if key.len() != schema.len() {
        let words = format!("Validate PK size fail. Input: {}, Meta: {}.", key.len(), schema.len());
        return Err(invalid_key(words));
    }
    schema.iter().zip(key).try_for_each(|(schema, column)| key_column(schema, column, usage))
}

/// The same of one column.
pub(crate) fn key_column(schema: &KeySchema, column: &KeyColumn, usage: KeyUse) -> Result<()> {
    if column.name != schema.name {
        let words = format!("Validate PK name fail. Input: {}, Meta: {}.", column.name, schema.name);
        return Err(invalid_key(words));
    }
    let length = match &column.value {
        KeyValue::InfMin | KeyValue::InfMax if usage == KeyUse::Bound => return Ok(()),
        KeyValue::InfMin | KeyValue::InfMax => {
            return Err(invalid(format!("{} is an invalid type for the primary key.", column.value.type_name())));
        }
        KeyValue::Auto if usage != KeyUse::Write => {
            return Err(invalid("PKAutoIncr can't be used for read operations."));
        }
        KeyValue::Auto if schema.auto_increment => return Ok(()),
        KeyValue::Auto | KeyValue::Int(_) => 0,
        KeyValue::Str(text) => text.len(),
        KeyValue::Bin(bytes) => bytes.len(),
    };
    if keys::type_of(&column.value) != Some(schema.kind) {
        let (input, meta) = (column.value.type_name(), type_name(schema.kind));
        return Err(invalid_key(format!("Validate PK type fail. Input: {input}, Meta: {meta}.")));
    }
    key_length(&column.name, length)
}

/// Refuses a key column's value that is too long.
pub(crate) fn key_length(name: &str, length: usize) -> Result<()> {
    if length > MAX_KEY_BYTES {
        let words = format!(
            "The length of primary key column: '{name}' exceeds the MaxLength:{MAX_KEY_BYTES} with CurrentLength:{length}."
        );
        return Err(invalid(words));
    }
    Ok(())
}

fn type_name(kind: KeyType) -> &'static str {
    match kind {
        KeyType::Integer => "VT_INTEGER",
        KeyType::String => "VT_STRING",
        KeyType::Binary => "VT_BLOB",
    }
}

/// The key of the row that a write changes.
pub(crate) fn changed_key(change: &RowChange) -> &[KeyColumn] {
    match change {
        RowChange::Put(row) | RowChange::Update(row) => &row.key,
        RowChange::Delete(key) => key,
    }
}

/// Refuses a write that does not fit the table, without looking at any row.
pub(crate) fn write(record: &Record, write: &RowWrite, now_ms: i64, most_bytes: usize) -> Result<()> {
    let row_key = changed_key(&write.change);
    key(&record.key, row_key, KeyUse::Write)?;
    if row_key.iter().any(|column| column.value == KeyValue::Auto) {
        auto_increment(write)?;
    }
    match &write.change {
        RowChange::Put(row) => cells(record, row, false, now_ms, most_bytes),
        RowChange::Update(row) => {
            if !record.options.allow_update {
                return Err(invalid("UpdateRow is not allowed: the table's option AllowUpdate is false."));
            }
            if row.cells.is_empty() {
                return Err(invalid("Attribute column is missing."));
            }
            cells(record, row, true, now_ms, most_bytes)
        }
        RowChange::Delete(_) => Ok(()),
    }
}

fn auto_increment(write: &RowWrite) -> Result<()> {
    if matches!(write.change, RowChange::Delete(_)) {
        return Err(invalid("DeleteRow needs the value of the auto-increment primary key."));
    }
    if write.condition.existence != Existence::Ignore || write.condition.filter.is_some() {
        return Err(invalid("Can't set condition when modify row with pk auto increment."));
    }
    Ok(())
}

fn cells(record: &Record, row: &Row, is_update: bool, now_ms: i64, most_bytes: usize) -> Result<()> {
    let count = row.cells.len();
    if count > MAX_CELLS {
        let words = "The number of attribute columns exceeds the limit, limit count: 1024, column count: ";
        return Err(invalid(format!("{words}{count}.")));
    }
    let mut ops: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for cell in &row.cells {
        let name = &cell.name;
        let is_key = record.key.iter().any(|column| column.name == *name);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || is_key {
            return Err(invalid(format!("Invalid column name: '{name}'.")));
        }
        if cell.op.is_some() && !is_update {
            return Err(invalid(format!("PutRow takes values alone. Cell:{name}")));
        }
        shape(cell)?;
        version(record, cell, now_ms)?;
        let (all, increments) = ops.entry(name).or_default();
        *all += 1;
        *increments += usize::from(cell.op == Some(CellOp::Increment));
    }
    if let Some((name, _)) = ops.iter().find(|(_, (all, increments))| *increments > 0 && *all > 1) {
        return Err(invalid(format!("An increment cannot be combined with another change of its column. Cell:{name}")));
    }
    let size = units::row_size(row, units::counts_versions(&record.options));
    if size > most_bytes {
        let operation = if is_update { "UpdateRow" } else { "PutRow" };
        return Err(too_large(operation, most_bytes, size));
    }
    Ok(())
}

/// The words for a request with too much data.
pub(crate) fn too_large(operation: &str, limit: usize, size: usize) -> feitian_base::Error {
    let words = format!(
        "The total data size of {operation} request exceeds the limit, limit size: {limit}, data size: {size}."
    );
    invalid(words)
}

/// What each kind of change must have.
fn shape(cell: &Cell) -> Result<()> {
    let name = &cell.name;
    let refuse = |what: &str| Err(invalid(format!("{what} Cell:{name}")));
    match (cell.op, &cell.value) {
        (None, Some(value)) => value_is_legal(name, value),
        (None, None) => refuse("A value is missing."),
        (Some(CellOp::Increment), Some(Value::Int(_))) if cell.version.is_none() => Ok(()),
        (Some(CellOp::Increment), Some(Value::Int(_))) => refuse("An increment takes no timestamp."),
        (Some(CellOp::Increment), _) => refuse("An increment takes an integer."),
        (Some(_), Some(_)) => refuse("A deletion takes no value."),
        (Some(CellOp::DeleteOne), None) if cell.version.is_none() => refuse("The deletion of one version names it."),
        (Some(CellOp::DeleteAll), None) if cell.version.is_some() => {
            refuse("The deletion of a column takes no timestamp.")
        }
        (Some(CellOp::DeleteOne | CellOp::DeleteAll), None) => Ok(()),
    }
}

fn value_is_legal(name: &str, value: &Value) -> Result<()> {
    let length = match value {
        Value::Double(number) if number.is_nan() => return Err(invalid("NaN can't be set to double value.")),
        Value::Double(number) if number.is_infinite() => return Err(invalid("Infinity can't be set to double value.")),
        Value::Int(_) | Value::Double(_) | Value::Bool(_) => return Ok(()),
        Value::Str(text) => text.len(),
        Value::Bin(bytes) => bytes.len(),
    };
    if length > MAX_VALUE_BYTES {
        let words = format!(
            "The length of attribute column: '{name}' exceeds the MaxLength:{MAX_VALUE_BYTES} with CurrentLength:{length}."
        );
        return Err(invalid(words));
    }
    Ok(())
}

/// A given version lies near now and is not expired; one that is to go may lie anywhere.
fn version(record: &Record, cell: &Cell, now_ms: i64) -> Result<()> {
    let Some(version) = cell.version else { return Ok(()) };
    if !(0..MAX_VERSION_MS).contains(&version) {
        return Err(invalid("Timestamp must be in range [0, INT64_MAX/1000)."));
    }
    let deviation_ms = record.options.deviation_s.saturating_mul(1000);
    let from = now_ms.saturating_sub(deviation_ms).max(record.live(now_ms).oldest);
    let is_near = (from..now_ms.saturating_add(deviation_ms)).contains(&version);
    if cell.op.is_none() && !is_near {
        return Err(invalid(format!("Invalid timestamp. Cell:{}", cell.name)));
    }
    Ok(())
}
