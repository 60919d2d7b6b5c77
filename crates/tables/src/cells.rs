//! A row in memory, and what it is in the engine; the bytes of its cells' values are a format for ever (docs/format-tables.md).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use feitian_base::Result;
use feitian_wire::ots::Value;

use crate::errors::corrupt;
use crate::keys::{self, Tail};
use crate::view::{Wanted, Writes};
use crate::whole;

const INTEGER: u8 = 0;
const DOUBLE: u8 = 1;
const BOOLEAN: u8 = 2;
const STRING: u8 = 3;
const BINARY: u8 = 7;

/// What a cell takes in memory beside its bytes: its places in two maps and in the answer. Of small cells it is most.
const CELL_BYTES: usize = 128;

/// Stands for a value that was not read. No cell has it, so what is written in its place always differs from it.
const UNREAD: Value = Value::Double(f64::NAN);

/// Versions of a column; the newest is the last.
pub(crate) type Versions = BTreeMap<i64, Value>;

/// Versions by the name of their column.
pub(crate) type Columns = BTreeMap<String, Versions>;

/// What lies in the engine under one row, or the part of it that was asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StoredRow {
    /// Whether the row is there: it may be, without any column.
    pub exists: bool,
    /// Its cells lie under keys of their own and stay there: without this, all of them are in the marker as long as they fit.
    pub has_cell_keys: bool,
    pub columns: Columns,
}

impl StoredRow {
    /// Takes in what the engine has behind the row's prefix, without the columns that are not wanted; the answer is how
    /// many bytes that takes in memory.
    pub(crate) fn add_wanted(&mut self, tail: &[u8], value: &[u8], wanted: Wanted<'_>) -> Result<usize> {
        match keys::read_tail(tail)? {
            Tail::Marker => self.add_marker(value, wanted),
            Tail::Cell { name, version } if wanted(&name) => {
                self.columns.entry(name).or_default().insert(version, decode(value)?);
                Ok(tail.len() + value.len() + CELL_BYTES)
            }
            Tail::Cell { .. } => Ok(0),
        }
    }

    /// Takes in all cells, but the values of those columns alone that are named, where cells have keys of their own: what goes
    /// or stays needs no value. A row that is to be replaced may be far wider than what is written.
    pub(crate) fn add_named(&mut self, tail: &[u8], value: &[u8], names: &BTreeSet<String>) -> Result<()> {
        match keys::read_tail(tail)? {
            Tail::Marker => self.add_marker(value, &|_: &str| true).map(|_| ()),
            Tail::Cell { name, version } => {
                let value = if names.contains(&name) { decode(value)? } else { UNREAD };
                self.columns.entry(name).or_default().insert(version, value);
                Ok(())
            }
        }
    }

    fn add_marker(&mut self, value: &[u8], wanted: Wanted<'_>) -> Result<usize> {
        self.exists = true;
        let Some(cells) = whole::cells(value)? else {
            self.has_cell_keys = true;
            return Ok(0);
        };
        let mut taken = 0;
        for cell in cells {
            let (name, version, value) = cell?;
            if !wanted(name) {
                continue;
            }
            taken += name.len() + size_of_val(&version) + value.len() + CELL_BYTES;
            let value = decode(value)?;
            match self.columns.get_mut(name) {
                Some(versions) => versions.insert(version, value),
                None => self.columns.insert(name.to_owned(), Versions::from([(version, value)])).and(None),
            };
        }
        Ok(taken)
    }

    /// The changes that make `self` out of `old`, under the prefix `row`.
    pub(crate) fn changes_from(&self, old: &Self, row: &[u8], writes: &mut Writes) {
        let (whole, nothing) = (self.whole(), Columns::new());
        let before = if old.has_cell_keys { &old.columns } else { &nothing };
        let after = if whole.is_some() { &nothing } else { &self.columns };
        cell_changes(before, after, row, writes);
        let had = if old.exists && old.has_cell_keys { Some(whole::APART.to_vec()) } else { old.whole() };
        match self.exists.then(|| whole.unwrap_or_else(|| whole::APART.to_vec())) {
            // Bytes are compared, not values: 0.0 and -0.0 are equal and not the same.
            Some(marker) if had.as_ref() != Some(&marker) => writes.put(keys::marker(row), marker),
            None if old.exists => writes.delete(keys::marker(row)),
            _ => {}
        }
    }

    /// The marker that has all of the row; `None` if the row is not there, or is too large, or has keys of its own for cells.
    fn whole(&self) -> Option<Vec<u8>> {
        (self.exists && !self.has_cell_keys).then(|| whole::encode(&self.columns)).flatten()
    }

    /// Removes versions that nobody can read any more; true if there were any.
    pub(crate) fn trim(&mut self, live: &Live) -> bool {
        let mut trimmed = false;
        for versions in self.columns.values_mut() {
            trimmed |= live.trim(versions);
        }
        self.columns.retain(|_, versions| !versions.is_empty());
        trimmed
    }
}

/// Which versions can be read: the table's options at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live {
    pub max_versions: usize,
    /// The oldest version that lives, in milliseconds.
    pub oldest: i64,
}

impl Live {
    /// Everything lives.
    #[cfg(test)]
    pub(crate) const ALL: Self = Self { max_versions: usize::MAX, oldest: i64::MIN };

    /// Keeps the newest versions that have not expired; true if others went.
    fn trim(&self, versions: &mut Versions) -> bool {
        let before = versions.len();
        while versions.len() > self.max_versions || versions.first_key_value().is_some_and(|(v, _)| *v < self.oldest) {
            versions.pop_first();
        }
        versions.len() < before
    }
}

/// The changes of cells that have keys of their own.
fn cell_changes(before: &Columns, after: &Columns, row: &[u8], writes: &mut Writes) {
    let nothing = Versions::new();
    for (name, versions) in before {
        let kept = after.get(name).unwrap_or(&nothing);
        for version in versions.keys().filter(|version| !kept.contains_key(*version)) {
            writes.delete(keys::cell(row, name, *version));
        }
    }
    for (name, versions) in after {
        let had = before.get(name).unwrap_or(&nothing);
        for (version, value) in versions {
            let bytes = encode(value);
            if had.get(version).map(encode).as_ref() != Some(&bytes) {
                writes.put(keys::cell(row, name, *version), bytes);
            }
        }
    }
}

/// The value of a cell as the engine keeps it.
fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + value.size());
    encode_to(&mut bytes, value);
    bytes
}

/// Appends the value of a cell.
pub(crate) fn encode_to(to: &mut Vec<u8>, value: &Value) {
    let mut tagged = |tag: u8, payload: &[u8]| {
        to.push(tag);
        to.extend_from_slice(payload);
    };
    match value {
        Value::Int(v) => tagged(INTEGER, &v.to_be_bytes()),
        Value::Double(v) => tagged(DOUBLE, &v.to_bits().to_be_bytes()),
        Value::Bool(v) => tagged(BOOLEAN, &[u8::from(*v)]),
        Value::Str(v) => tagged(STRING, v.as_bytes()),
        Value::Bin(v) => tagged(BINARY, v),
    }
}

fn decode(bytes: &[u8]) -> Result<Value> {
    let (tag, payload) = bytes.split_first().ok_or_else(|| corrupt("a cell without a value"))?;
    let eight = || -> Result<[u8; 8]> { payload.try_into().map_err(|_| corrupt("a number that is not 8 bytes long")) };
    match (*tag, payload) {
        (INTEGER, _) => Ok(Value::Int(i64::from_be_bytes(eight()?))),
        (DOUBLE, _) => Ok(Value::Double(f64::from_bits(u64::from_be_bytes(eight()?)))),
        (BOOLEAN, [0]) => Ok(Value::Bool(false)),
        (BOOLEAN, [1]) => Ok(Value::Bool(true)),
        (STRING, text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(Value::Str(text.to_owned())),
            Err(_) => Err(corrupt("a string that is no text")),
        },
        (BINARY, bytes) => Ok(Value::Bin(bytes.to_vec())),
        _ => Err(corrupt("an unknown type of a cell")),
    }
}

/// A counter as the engine keeps it.
pub(crate) fn encode_u64(value: u64) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

/// A counter, 0 where there is none.
pub(crate) fn decode_u64(bytes: Option<&Bytes>) -> Result<u64> {
    let Some(bytes) = bytes else { return Ok(0) };
    let bytes: [u8; 8] = bytes[..].try_into().map_err(|_| corrupt("a counter that is not 8 bytes long"))?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // From docs/format-tables.md: written by hand from its rules.
    #[test]
    fn golden_bytes() {
        assert_eq!(encode(&Value::Int(5)), [0, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(encode(&Value::Double(1.5)), [1, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encode(&Value::Bool(true)), [2, 1]);
        assert_eq!(encode(&Value::Str("hz".into())), [3, 0x68, 0x7a]);
        assert_eq!(encode(&Value::Bin(vec![1, 2])), [7, 1, 2]);
        for value in [Value::Int(-1), Value::Double(-0.5), Value::Bool(false), Value::Str(String::new())] {
            assert_eq!(decode(&encode(&value)).unwrap(), value);
        }
        for bytes in [&[][..], &[0, 1], &[2, 2], &[3, 0xff], &[9]] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }

    // Arithmetic on the types of this file: what a column of one small cell takes at least.
    #[test]
    fn a_small_cell_weighs_what_holds_it() {
        let (tail, value) = (keys::cell(&[], "c", 1), encode(&Value::Bool(true)));
        let mut row = StoredRow::default();
        let taken = row.add_wanted(&tail, &value, &|_: &str| true).unwrap();
        let held = size_of::<String>() + size_of::<Versions>() + size_of::<(i64, Value)>();
        assert!(taken >= tail.len() + value.len() + held, "{taken}");
        assert_eq!(row.add_wanted(&tail, &value, &|_: &str| false).unwrap(), 0);
    }

    // From the reference, part 5.4: the newest versions alone can be read, and none that has expired.
    #[test]
    fn trimming_keeps_the_newest_that_live() {
        let versions = |at: &[i64]| at.iter().map(|v| (*v, Value::Int(*v))).collect::<Versions>();
        let mut row = StoredRow { exists: true, ..StoredRow::default() };
        row.columns.insert("a".into(), versions(&[1, 2, 3, 4]));
        row.columns.insert("b".into(), versions(&[1]));
        assert!(!row.clone().trim(&Live::ALL));
        assert!(row.trim(&Live { max_versions: 2, oldest: 2 }));
        assert_eq!(row.columns, BTreeMap::from([("a".to_owned(), versions(&[3, 4]))]));
    }
}
