//! Where everything lies in the engine: the layout of keys, which is a format for ever (docs/format-tables.md).
//!
//! A key begins with a generation, eight bytes, most significant first. Generation 0 is the catalog's; every table,
//! index and stream has one of its own, never given twice, so that what is dead never shows in what is new. A row's
//! columns follow in an order-preserving form, then a tag: the row's marker, or a cell with its column's name and its
//! version, the newest first.

use feitian_base::Result;
use feitian_wire::ots::{KeyColumn, KeyValue};

use crate::errors::corrupt;
use crate::model::{KeySchema, KeyType};

/// Minus infinity: in bounds alone.
const MIN: u8 = 0x01;
const INTEGER: u8 = 0x10;
const STRING: u8 = 0x20;
const BINARY: u8 = 0x30;
/// Plus infinity: in bounds alone.
const MAX: u8 = 0xff;

/// The row is there.
pub(crate) const MARKER: u8 = 0x01;
/// A version of a column.
pub(crate) const CELL: u8 = 0x02;
/// Above every tag.
const AFTER_TAGS: u8 = 0xff;

/// Generation 0 is the catalog's.
pub(crate) const CATALOG: u64 = 0;

/// What the catalog keeps under its own tags.
pub(crate) mod space {
    /// The last generation given.
    pub(crate) const LAST_GENERATION: u8 = 0x01;
    /// A table's record, by instance and name.
    pub(crate) const TABLE: u8 = 0x02;
    /// A generation whose keys are to be removed.
    pub(crate) const DEAD: u8 = 0x03;
    /// Write units of a generation, one counter for each latch.
    pub(crate) const WRITE_UNITS: u8 = 0x04;
    /// Read units of a generation.
    pub(crate) const READ_UNITS: u8 = 0x05;
    /// Units of the tables that an instance had.
    pub(crate) const PAST_UNITS: u8 = 0x06;
    /// The last value of an auto-increment column, by generation and first key column.
    pub(crate) const AUTO: u8 = 0x07;
    /// A time that no version was given after, when it was written down.
    pub(crate) const CLOCK: u8 = 0x08;
    /// A generation that may have rows whose cells have keys of their own.
    pub(crate) const APART: u8 = 0x09;
}

/// The first key of a catalog space.
pub(crate) fn catalog(space: u8) -> Vec<u8> {
    let mut key = CATALOG.to_be_bytes().to_vec();
    key.push(space);
    key
}

/// A catalog key of a generation.
pub(crate) fn catalog_of(space: u8, generation: u64) -> Vec<u8> {
    let mut key = catalog(space);
    key.extend(generation.to_be_bytes());
    key
}

/// The record of a table.
pub(crate) fn table(instance: &str, name: &str) -> Vec<u8> {
    let mut key = catalog(space::TABLE);
    push_escaped(&mut key, instance.as_bytes());
    push_escaped(&mut key, name.as_bytes());
    key
}

/// The units of an instance's past tables.
pub(crate) fn past_units(instance: &str) -> Vec<u8> {
    let mut key = catalog(space::PAST_UNITS);
    push_escaped(&mut key, instance.as_bytes());
    key
}

/// The counter of write units that the holder of `latch` may change.
pub(crate) fn write_units(generation: u64, latch: u16) -> Vec<u8> {
    let mut key = catalog_of(space::WRITE_UNITS, generation);
    key.extend(latch.to_be_bytes());
    key
}

/// The counter of an auto-increment column; `first` is the first key column as [`push_value`] writes it.
pub(crate) fn auto(generation: u64, first: &[u8]) -> Vec<u8> {
    let mut key = catalog_of(space::AUTO, generation);
    key.extend(first);
    key
}

/// A record of a stream.
pub(crate) fn stream(generation: u64, at_us: i64) -> Vec<u8> {
    let mut key = generation.to_be_bytes().to_vec();
    key.extend(sign_flipped(at_us));
    key
}

/// When a record of a stream was written.
pub(crate) fn stream_time(key: &[u8]) -> Result<i64> {
    let bytes: [u8; 8] = key.get(8..).and_then(|rest| rest.try_into().ok()).ok_or_else(|| corrupt("a stream's key"))?;
    Ok(sign_restored(bytes))
}

/// The first key behind everything that begins with `prefix`; a generation never has only 0xff bytes.
pub(crate) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// The prefix of a row, or a bound among rows: the generation and the key's columns.
pub(crate) fn row(generation: u64, key: &[KeyColumn]) -> Vec<u8> {
    let mut bytes = generation.to_be_bytes().to_vec();
    for column in key {
        push_value(&mut bytes, &column.value);
    }
    bytes
}

/// The key columns of a row whose prefix this is.
pub(crate) fn read_row(prefix: &[u8], schema: &[KeySchema]) -> Result<Vec<KeyColumn>> {
    let mut rest = prefix.get(8..).ok_or_else(|| corrupt("a row's key without a generation"))?;
    let mut key = Vec::with_capacity(schema.len());
    for column in schema {
        let (value, after) = read_value(rest)?;
        key.push(KeyColumn { name: column.name.clone(), value });
        rest = after;
    }
    if rest.is_empty() { Ok(key) } else { Err(corrupt("a row's key with bytes behind it")) }
}

/// How many bytes of an engine key are its row's prefix.
pub(crate) fn row_len(key: &[u8], columns: usize) -> Result<usize> {
    let mut rest = key.get(8..).ok_or_else(|| corrupt("a key without a generation"))?;
    for _ in 0..columns {
        rest = &rest[value_len(rest)?..];
    }
    Ok(key.len() - rest.len())
}

/// The key of a row's marker.
pub(crate) fn marker(row: &[u8]) -> Vec<u8> {
    let mut key = row.to_vec();
    key.push(MARKER);
    key
}

/// The first key behind a row.
pub(crate) fn row_end(row: &[u8]) -> Vec<u8> {
    let mut key = row.to_vec();
    key.push(AFTER_TAGS);
    key
}

/// The prefix of a column's cells.
pub(crate) fn column(row: &[u8], name: &str) -> Vec<u8> {
    let mut key = row.to_vec();
    key.push(CELL);
    push_escaped(&mut key, name.as_bytes());
    key
}

/// The key of a cell.
pub(crate) fn cell(row: &[u8], name: &str, version: i64) -> Vec<u8> {
    let mut key = column(row, name);
    key.extend(sign_flipped(version).map(|byte| !byte));
    key
}

/// What stands behind a row's prefix.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    Marker,
    Cell { name: String, version: i64 },
}

/// Reads what stands behind a row's prefix.
pub(crate) fn read_tail(tail: &[u8]) -> Result<Tail> {
    match tail.split_first() {
        Some((&MARKER, [])) => Ok(Tail::Marker),
        Some((&CELL, rest)) => {
            let (name, rest) = read_escaped(rest)?;
            let version: [u8; 8] = rest.try_into().map_err(|_| corrupt("a cell's version"))?;
            let name = String::from_utf8(name).map_err(|_| corrupt("a column's name that is no text"))?;
            Ok(Tail::Cell { name, version: sign_restored(version.map(|byte| !byte)) })
        }
        _ => Err(corrupt("an unknown tag behind a row's key")),
    }
}

/// Appends a key column's value in its order-preserving form.
pub(crate) fn push_value(to: &mut Vec<u8>, value: &KeyValue) {
    match value {
        // A placeholder is replaced before a key is written; as a bound it is refused.
        KeyValue::InfMin | KeyValue::Auto => to.push(MIN),
        KeyValue::InfMax => to.push(MAX),
        KeyValue::Int(v) => {
            to.push(INTEGER);
            to.extend(sign_flipped(*v));
        }
        KeyValue::Str(v) => {
            to.push(STRING);
            push_escaped(to, v.as_bytes());
        }
        KeyValue::Bin(v) => {
            to.push(BINARY);
            push_escaped(to, v);
        }
    }
}

fn read_value(bytes: &[u8]) -> Result<(KeyValue, &[u8])> {
    let (tag, rest) = bytes.split_first().ok_or_else(|| corrupt("a key that ends early"))?;
    match *tag {
        INTEGER => {
            let (value, rest) = rest.split_first_chunk::<8>().ok_or_else(|| corrupt("an integer that ends early"))?;
            Ok((KeyValue::Int(sign_restored(*value)), rest))
        }
        STRING => {
            let (text, rest) = read_escaped(rest)?;
            let text = String::from_utf8(text).map_err(|_| corrupt("a key column that is no text"))?;
            Ok((KeyValue::Str(text), rest))
        }
        BINARY => {
            let (value, rest) = read_escaped(rest)?;
            Ok((KeyValue::Bin(value), rest))
        }
        _ => Err(corrupt("an unknown type in a key")),
    }
}

fn value_len(bytes: &[u8]) -> Result<usize> {
    match bytes.first() {
        Some(&INTEGER) if bytes.len() >= 9 => Ok(9),
        Some(&(STRING | BINARY)) => {
            let mut at = 1;
            loop {
                match (bytes.get(at), bytes.get(at + 1)) {
                    (Some(0), Some(1)) => return Ok(at + 2),
                    (Some(0), Some(_)) => at += 2,
                    (Some(_), _) => at += 1,
                    (None, _) => return Err(corrupt("a key column without an end")),
                }
            }
        }
        _ => Err(corrupt("an unknown type in a key")),
    }
}

/// The type whose values are so.
pub(crate) fn type_of(value: &KeyValue) -> Option<KeyType> {
    match value {
        KeyValue::Int(_) => Some(KeyType::Integer),
        KeyValue::Str(_) => Some(KeyType::String),
        KeyValue::Bin(_) => Some(KeyType::Binary),
        KeyValue::InfMin | KeyValue::InfMax | KeyValue::Auto => None,
    }
}

/// Bytes that sort like the text: 00 becomes 00 ff, and 00 01 ends them.
fn push_escaped(to: &mut Vec<u8>, bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0);
    to.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        to.extend_from_slice(&[0, 0xff]);
        to.extend_from_slice(part);
    }
    to.extend_from_slice(&[0, 1]);
}

fn read_escaped(mut bytes: &[u8]) -> Result<(Vec<u8>, &[u8])> {
    let mut out = Vec::new();
    loop {
        let zero = bytes.iter().position(|byte| *byte == 0);
        let (part, rest) = bytes.split_at(zero.unwrap_or(bytes.len()));
        out.extend_from_slice(part);
        match rest {
            [0, 0xff, rest @ ..] => {
                out.push(0);
                bytes = rest;
            }
            [0, 1, rest @ ..] => return Ok((out, rest)),
            _ => return Err(corrupt("an escaped text without an end")),
        }
    }
}

/// Two texts behind each other: instance and table of a record.
pub(crate) fn read_pair(bytes: &[u8]) -> Result<(String, String)> {
    let (first, rest) = read_escaped(bytes)?;
    let (second, _) = read_escaped(rest)?;
    let text = |bytes| String::from_utf8(bytes).map_err(|_| corrupt("a name that is no text"));
    Ok((text(first)?, text(second)?))
}

/// The instance of a catalog key.
pub(crate) fn read_one(bytes: &[u8]) -> Result<String> {
    let (text, _) = read_escaped(bytes)?;
    String::from_utf8(text).map_err(|_| corrupt("a name that is no text"))
}

fn sign_flipped(value: i64) -> [u8; 8] {
    (value as u64 ^ (1 << 63)).to_be_bytes()
}

fn sign_restored(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(value: KeyValue) -> KeyColumn {
        KeyColumn { name: "k".into(), value }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    // From docs/format-tables.md: written by hand from its rules.
    #[test]
    fn golden_bytes() {
        let row = row(7, &[column(KeyValue::Str("hz".into())), column(KeyValue::Int(100))]);
        assert_eq!(hex(&row), "000000000000000720687a0001108000000000000064");
        assert_eq!(hex(&marker(&row)), "000000000000000720687a000110800000000000006401");
        // 1700000000000 is 0000018bcfe56800; with the sign flipped, then all bits, it is the last eight bytes.
        let cell = cell(&row, "c1", 1_700_000_000_000);
        assert_eq!(hex(&cell), "000000000000000720687a000110800000000000006402633100017ffffe74301a97ff");
        let binary = super::row(7, &[column(KeyValue::Bin(vec![0, 1]))]);
        assert_eq!(hex(&binary), "00000000000000073000ff010001");
        assert_eq!(hex(&table("i", "t")), "000000000000000002690001740001");
        assert_eq!(hex(&catalog_of(space::DEAD, 7)), "0000000000000000030000000000000007");
        assert_eq!(hex(&write_units(7, 1)), "00000000000000000400000000000000070001");
        assert_eq!(hex(&stream(9, 5)), "00000000000000098000000000000005");
    }

    fn key_value() -> impl Strategy<Value = KeyValue> {
        prop_oneof![
            any::<i64>().prop_map(KeyValue::Int),
            proptest::collection::vec(0u8..3, 0..5).prop_map(KeyValue::Bin),
            "[ab\0]{0,4}".prop_map(KeyValue::Str),
        ]
    }

    // From the reference, part 5.1: integers, then strings, then binaries; each in its own order, shorter prefix first.
    fn rank(value: &KeyValue) -> (u8, i64, Vec<u8>) {
        match value {
            KeyValue::InfMin | KeyValue::Auto => (0, 0, Vec::new()),
            KeyValue::Int(v) => (1, *v, Vec::new()),
            KeyValue::Str(v) => (2, 0, v.as_bytes().to_vec()),
            KeyValue::Bin(v) => (3, 0, v.clone()),
            KeyValue::InfMax => (4, 0, Vec::new()),
        }
    }

    proptest! {
        #[test]
        fn encoded_keys_sort_like_their_columns(a in (key_value(), key_value()), b in (key_value(), key_value())) {
            let encode = |pair: &(KeyValue, KeyValue)| super::row(1, &[column(pair.0.clone()), column(pair.1.clone())]);
            let ranks = |pair: &(KeyValue, KeyValue)| (rank(&pair.0), rank(&pair.1));
            prop_assert_eq!(encode(&a).cmp(&encode(&b)), ranks(&a).cmp(&ranks(&b)));
            for bound in [KeyValue::InfMin, KeyValue::InfMax] {
                let edge = (a.0.clone(), bound);
                prop_assert_eq!(encode(&edge).cmp(&encode(&b)), ranks(&edge).cmp(&ranks(&b)));
            }
        }

        #[test]
        fn keys_come_back(a in key_value(), name in "[a\0]{0,4}", version in any::<i64>()) {
            let kind = type_of(&a).expect("no bound");
            let schema = [KeySchema { name: "k".into(), kind, auto_increment: false }];
            let row = super::row(3, &[column(a.clone())]);
            prop_assert_eq!(read_row(&row, &schema).unwrap(), vec![column(a)]);
            let cell = cell(&row, &name, version);
            prop_assert_eq!(row_len(&cell, 1).unwrap(), row.len());
            prop_assert_eq!(read_tail(&cell[row.len()..]).unwrap(), Tail::Cell { name, version });
            prop_assert_eq!(read_tail(&marker(&row)[row.len()..]).unwrap(), Tail::Marker);
        }

        #[test]
        fn foreign_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let schema = [KeySchema { name: "k".into(), kind: KeyType::Integer, auto_increment: false }];
            let _ = (row_len(&bytes, 2), read_row(&bytes, &schema), read_tail(&bytes), read_pair(&bytes));
        }
    }
}
