//! Writing rows.

use super::{EXTENSION_BYTES, SEQUENCE_BYTES, Variant, crc, op, tag, variant as ty};
use crate::ots::value::{Cell, CellOp, KeyColumn, Row, Sequence, Value};

/// The most bytes that a row and a header take, if it says nothing of a sequence.
pub(super) fn room(row: &Row) -> usize {
    // The marks of a cell, its version and the lengths of name and value are less, and so are the marks of a row.
    const BESIDE: usize = 40;
    let key = row.key.iter().map(|column| column.name.len() + column.value.size() + BESIDE);
    let cells = row.cells.iter().map(|cell| cell.name.len() + cell.value.as_ref().map_or(0, Value::size) + BESIDE);
    key.sum::<usize>() + cells.sum::<usize>() + BESIDE
}

/// Appends one row, without a header.
pub(super) fn row(out: &mut Vec<u8>, key: &[KeyColumn], cells: &[Cell], deleted: bool, sequence: Option<Sequence>) {
    let mut sum = 0;
    out.push(tag::ROW_PK);
    for column in key {
        let written = cell(out, &column.name, Some((&column.value).into()), None, None);
        sum = crc::update(sum, &[written]);
    }
    if !cells.is_empty() {
        out.push(tag::ROW_DATA);
    }
    for at in cells {
        let written = cell(out, &at.name, at.value.as_ref().map(Variant::from), at.op, at.version);
        sum = crc::update(sum, &[written]);
    }
    if deleted {
        out.push(tag::DELETE_MARKER);
    }
    if let Some(sequence) = sequence {
        extension(out, sequence);
    }
    sum = crc::update(sum, &[u8::from(deleted)]);
    out.extend_from_slice(&[tag::ROW_CHECKSUM, sum]);
}

/// Appends one cell and returns its checksum.
fn cell(out: &mut Vec<u8>, name: &str, value: Option<Variant<'_>>, op: Option<CellOp>, version: Option<i64>) -> u8 {
    out.extend_from_slice(&[tag::CELL, tag::CELL_NAME]);
    sized(out, name.as_bytes());
    let mut sum = crc::update(0, name.as_bytes());
    if let Some(value) = value {
        out.push(tag::CELL_VALUE);
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        variant(out, value);
        let length = length(out.len() - at - 4);
        out[at..at + 4].copy_from_slice(&length);
        sum = crc::update(sum, &out[at + 4..]);
    }
    let op = op.map(|op| match op {
        CellOp::DeleteAll => op::DELETE_ALL,
        CellOp::DeleteOne => op::DELETE_ONE,
        CellOp::Increment => op::INCREMENT,
    });
    if let Some(op) = op {
        out.extend_from_slice(&[tag::CELL_OP, op]);
    }
    if let Some(version) = version {
        out.push(tag::CELL_VERSION);
        out.extend_from_slice(&version.to_le_bytes());
        sum = crc::update(sum, &version.to_le_bytes());
    }
    // After the version, although it stands before it.
    if let Some(op) = op {
        sum = crc::update(sum, &[op]);
    }
    out.extend_from_slice(&[tag::CELL_CHECKSUM, sum]);
    sum
}

/// Appends the type and payload of a value.
pub(super) fn variant(out: &mut Vec<u8>, value: Variant<'_>) {
    match value {
        Variant::Int(v) => {
            out.push(ty::INTEGER);
            out.extend_from_slice(&v.to_le_bytes());
        }
        Variant::Double(v) => {
            out.push(ty::DOUBLE);
            out.extend_from_slice(&v.to_le_bytes());
        }
        Variant::Bool(v) => out.extend_from_slice(&[ty::BOOLEAN, u8::from(v)]),
        Variant::Str(text) => {
            out.push(ty::STRING);
            sized(out, text.as_bytes());
        }
        Variant::Bin(bytes) => {
            out.push(ty::BLOB);
            sized(out, bytes);
        }
        Variant::InfMin => out.push(ty::INF_MIN),
        Variant::InfMax => out.push(ty::INF_MAX),
        Variant::Auto => out.push(ty::AUTO_INCREMENT),
    }
}

fn extension(out: &mut Vec<u8>, sequence: Sequence) {
    out.push(tag::EXTENSION);
    out.extend_from_slice(&EXTENSION_BYTES.to_le_bytes());
    out.push(tag::SEQUENCE);
    out.extend_from_slice(&SEQUENCE_BYTES.to_le_bytes());
    out.push(tag::SEQUENCE_EPOCH);
    out.extend_from_slice(&sequence.epoch.to_le_bytes());
    out.push(tag::SEQUENCE_TIMESTAMP);
    out.extend_from_slice(&sequence.timestamp_us.to_le_bytes());
    out.push(tag::SEQUENCE_ROW_INDEX);
    out.extend_from_slice(&sequence.row_index.to_le_bytes());
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&length(bytes.len()));
    out.extend_from_slice(bytes);
}

fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).expect("names and values come from requests, which are a few MiB").to_le_bytes()
}
