//! PlainBuffer: rows and keys as bytes, with a CRC-8 for each cell and for the row.
//!
//! ```text
//! buffer  = header row*                                 header: 75 00 00 00
//! row     = [01 cell*] [02 cell*] [08] [sequence] 09 u8(crc)   the key, attributes, the delete marker
//! cell    = 03 name [value] [op] [version] 0A u8(crc)
//! name    = 04 i32(length) bytes
//! value   = 05 i32(length of what follows) type payload
//! op      = 06 u8
//! version = 07 i64
//! ```
//!
//! Numbers are little-endian. A cell's checksum covers name, value (type and payload), version and op, in this order,
//! which is not that of the bytes. The row's covers those of its cells and one byte for the delete marker, and not the
//! sequence, which only records of streams have.
//!
//! Foreign bytes cost no more than they are: lengths are compared with what is there before anything is allocated.

mod crc;
mod read;
mod write;

use feitian_base::Result;

use super::errors::parameter_invalid;
use super::value::{KeyColumn, KeyValue, Row, Sequence, Value};

const HEADER: [u8; 4] = [0x75, 0, 0, 0];

/// The most cells of a change; a key has far fewer columns.
const MAX_CELLS: usize = 1024;

mod tag {
    pub(super) const ROW_PK: u8 = 0x01;
    pub(super) const ROW_DATA: u8 = 0x02;
    pub(super) const CELL: u8 = 0x03;
    pub(super) const CELL_NAME: u8 = 0x04;
    pub(super) const CELL_VALUE: u8 = 0x05;
    pub(super) const CELL_OP: u8 = 0x06;
    pub(super) const CELL_VERSION: u8 = 0x07;
    pub(super) const DELETE_MARKER: u8 = 0x08;
    pub(super) const ROW_CHECKSUM: u8 = 0x09;
    pub(super) const CELL_CHECKSUM: u8 = 0x0a;
    pub(super) const EXTENSION: u8 = 0x0b;
    pub(super) const SEQUENCE: u8 = 0x0c;
    pub(super) const SEQUENCE_EPOCH: u8 = 0x0d;
    pub(super) const SEQUENCE_TIMESTAMP: u8 = 0x0e;
    pub(super) const SEQUENCE_ROW_INDEX: u8 = 0x0f;
}

/// What the bytes of the sequence count as their own length: three tags, two numbers of 32 bits and one of 64.
const SEQUENCE_BYTES: u32 = 3 + 4 + 8 + 4;
/// The same with the tag and length before it.
const EXTENSION_BYTES: u32 = SEQUENCE_BYTES + 5;

mod variant {
    pub(super) const INTEGER: u8 = 0x00;
    pub(super) const DOUBLE: u8 = 0x01;
    pub(super) const BOOLEAN: u8 = 0x02;
    pub(super) const STRING: u8 = 0x03;
    pub(super) const BLOB: u8 = 0x07;
    pub(super) const INF_MIN: u8 = 0x09;
    pub(super) const INF_MAX: u8 = 0x0a;
    pub(super) const AUTO_INCREMENT: u8 = 0x0b;
}

mod op {
    pub(super) const DELETE_ALL: u8 = 0x01;
    pub(super) const DELETE_ONE: u8 = 0x03;
    pub(super) const INCREMENT: u8 = 0x04;
}

/// What a value is on the wire: that of a cell, or that of a column of a key.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Variant<'a> {
    Int(i64),
    Double(f64),
    Bool(bool),
    Str(&'a str),
    Bin(&'a [u8]),
    InfMin,
    InfMax,
    Auto,
}

impl<'a> From<&'a Value> for Variant<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Int(v) => Self::Int(*v),
            Value::Double(v) => Self::Double(*v),
            Value::Bool(v) => Self::Bool(*v),
            Value::Str(text) => Self::Str(text),
            Value::Bin(bytes) => Self::Bin(bytes),
        }
    }
}

impl<'a> From<&'a KeyValue> for Variant<'a> {
    fn from(value: &'a KeyValue) -> Self {
        match value {
            KeyValue::Int(v) => Self::Int(*v),
            KeyValue::Str(text) => Self::Str(text),
            KeyValue::Bin(bytes) => Self::Bin(bytes),
            KeyValue::InfMin => Self::InfMin,
            KeyValue::InfMax => Self::InfMax,
            KeyValue::Auto => Self::Auto,
        }
    }
}

impl Variant<'_> {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Int(_) => "VT_INTEGER",
            Self::Double(_) => "VT_DOUBLE",
            Self::Bool(_) => "VT_BOOLEAN",
            Self::Str(_) => "VT_STRING",
            Self::Bin(_) => "VT_BLOB",
            Self::InfMin => "VT_INF_MIN",
            Self::InfMax => "VT_INF_MAX",
            Self::Auto => "VT_AUTO_INCREMENT",
        }
    }

    fn into_value(self) -> Result<Value> {
        match self {
            Self::Int(v) => Ok(Value::Int(v)),
            Self::Double(v) => Ok(Value::Double(v)),
            Self::Bool(v) => Ok(Value::Bool(v)),
            Self::Str(text) => Ok(Value::Str(text.to_string())),
            Self::Bin(bytes) => Ok(Value::Bin(bytes.to_vec())),
            Self::InfMin | Self::InfMax | Self::Auto => {
                Err(parameter_invalid(format!("{} is an invalid type for the attribute column.", self.type_name())))
            }
        }
    }

    fn into_key_value(self) -> Result<KeyValue> {
        match self {
            Self::Int(v) => Ok(KeyValue::Int(v)),
            Self::Str(text) => Ok(KeyValue::Str(text.to_string())),
            Self::Bin(bytes) => Ok(KeyValue::Bin(bytes.to_vec())),
            Self::InfMin => Ok(KeyValue::InfMin),
            Self::InfMax => Ok(KeyValue::InfMax),
            Self::Auto => Ok(KeyValue::Auto),
            Self::Double(_) | Self::Bool(_) => {
                Err(parameter_invalid(format!("{} is an invalid type for the primary key.", self.type_name())))
            }
        }
    }
}

/// Reads a buffer of one row. What the cells of a change mean together is for the caller to check.
pub fn decode_row(bytes: &[u8]) -> Result<Row> {
    let mut reader = read::Reader::new(bytes)?;
    let (row, _) = reader.row(false, usize::MAX)?;
    reader.end()?;
    Ok(row)
}

/// The same of a request, which no table takes more than 1,024 cells of: of more, so many are kept that it is seen to have
/// too many, and no memory is spent on the others.
pub fn decode_change(bytes: &[u8]) -> Result<Row> {
    let mut reader = read::Reader::new(bytes)?;
    let (row, _) = reader.row(false, MAX_CELLS + 1)?;
    reader.end()?;
    Ok(row)
}

/// Reads a buffer of one row that is a key alone: no attributes, no delete marker.
pub fn decode_key(bytes: &[u8]) -> Result<Vec<KeyColumn>> {
    let row = decode_change(bytes)?;
    if !row.cells.is_empty() || row.deleted {
        return Err(parameter_invalid("The primary key must not carry attribute columns or a delete marker."));
    }
    Ok(row.key)
}

/// Reads what [`encode_rows`] writes. Every row has a key.
pub fn decode_rows(bytes: &[u8]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if bytes.is_empty() {
        return Ok(rows);
    }
    let mut reader = read::Reader::new(bytes)?;
    while !reader.is_empty() {
        let (row, _) = reader.row(false, usize::MAX)?;
        if row.key.is_empty() {
            return Err(parameter_invalid("A row has no primary key."));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Reads a record of a stream, with its place in the order of changes if it says so.
pub fn decode_stream_row(bytes: &[u8]) -> Result<(Row, Option<Sequence>)> {
    let mut reader = read::Reader::new(bytes)?;
    let row = reader.row(true, usize::MAX)?;
    reader.end()?;
    Ok(row)
}

/// Reads a value as filters carry it: a type byte and the payload.
pub fn decode_value(bytes: &[u8]) -> Result<Value> {
    read::variant(bytes, "the filter")?.into_value()
}

/// A buffer of one row.
pub fn encode_row(row: &Row) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    write::row(&mut out, &row.key, &row.cells, row.deleted, None);
    out
}

/// A buffer of all `rows`; no bytes at all if there are none.
pub fn encode_rows<'a>(rows: impl IntoIterator<Item = &'a Row, IntoIter: Clone>) -> Vec<u8> {
    let rows = rows.into_iter();
    // A page has megabytes, which should not move each time the buffer grows.
    let mut out = Vec::with_capacity(rows.clone().map(write::room).sum());
    for row in rows {
        if out.is_empty() {
            out.extend_from_slice(&HEADER);
        }
        write::row(&mut out, &row.key, &row.cells, row.deleted, None);
    }
    out
}

/// A buffer of one row that is a key alone.
pub fn encode_key(key: &[KeyColumn]) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    write::row(&mut out, key, &[], false, None);
    out
}

/// A record of a stream: a buffer of one row that says where it stands in the order of changes.
pub fn encode_stream_row(row: &Row, sequence: Sequence) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    write::row(&mut out, &row.key, &row.cells, row.deleted, Some(sequence));
    out
}

/// A value as filters carry it: a type byte and the payload.
pub fn encode_value(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write::variant(&mut out, value.into());
    out
}
