//! Reading rows from foreign bytes.

use std::fmt::Display;

use feitian_base::{Error, Result};

use super::{EXTENSION_BYTES, HEADER, SEQUENCE_BYTES, Variant, crc, op, tag, variant as ty};
use crate::ots::errors::parameter_invalid;
use crate::ots::value::{Cell, CellOp, KeyColumn, Row, Sequence};

/// The part of a buffer that was not read yet.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// A cell as it stands in the buffer, its checksum known to be right.
struct RawCell<'a> {
    name: &'a str,
    value: Option<Variant<'a>>,
    op: Option<CellOp>,
    version: Option<i64>,
    crc: u8,
}

impl<'a> Reader<'a> {
    /// Reads the header.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self> {
        let rest = bytes.strip_prefix(&HEADER);
        let rest = rest.ok_or_else(|| parameter_invalid("The header of the PlainBuffer does not match."))?;
        Ok(Self { rest })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Refuses bytes after the last row. Zeros are let pass: the SDK of npm takes more room than it fills.
    pub(super) fn end(&self) -> Result<()> {
        if self.rest.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        Err(parameter_invalid(format!("The PlainBuffer goes on for {} bytes after its row.", self.rest.len())))
    }

    /// Reads one row, and keeps the first `most` columns of its key and the first `most` cells. Only a record of a stream may
    /// have a sequence.
    pub(super) fn row(&mut self, of_stream: bool, most: usize) -> Result<(Row, Option<Sequence>)> {
        let (mut row, mut sequence, mut sum) = (Row::default(), None, 0);
        let mut tag = self.byte()?;
        if tag == tag::ROW_PK {
            tag = self.byte()?;
            while tag == tag::CELL {
                let cell = self.cell()?;
                sum = crc::update(sum, &[cell.crc]);
                if row.key.len() < most {
                    row.key.push(key_column(&cell)?);
                }
                tag = self.byte()?;
            }
        }
        if tag == tag::ROW_DATA {
            tag = self.byte()?;
            while tag == tag::CELL {
                let cell = self.cell()?;
                sum = crc::update(sum, &[cell.crc]);
                if row.cells.len() < most {
                    row.cells.push(attribute(&cell)?);
                }
                tag = self.byte()?;
            }
        }
        if tag == tag::DELETE_MARKER {
            row.deleted = true;
            tag = self.byte()?;
        }
        if tag == tag::EXTENSION && of_stream {
            sequence = Some(self.sequence()?);
            tag = self.byte()?;
        }
        expect(tag, tag::ROW_CHECKSUM)?;
        sum = crc::update(sum, &[u8::from(row.deleted)]);
        if self.byte()? != sum {
            return Err(parameter_invalid("The checksum of the row does not match."));
        }
        Ok((row, sequence))
    }

    /// Reads one cell, the tag before it taken.
    fn cell(&mut self) -> Result<RawCell<'a>> {
        expect(self.byte()?, tag::CELL_NAME)?;
        let name = self.sized()?;
        let mut sum = crc::update(0, name);
        let name = std::str::from_utf8(name).map_err(|_| parameter_invalid("The name of a column is not UTF-8."))?;
        let mut cell = RawCell { name, value: None, op: None, version: None, crc: 0 };
        let mut tag = self.byte()?;
        if tag == tag::CELL_VALUE {
            let bytes = self.sized()?;
            sum = crc::update(sum, bytes);
            cell.value = Some(variant(bytes, name)?);
            tag = self.byte()?;
        }
        let mut op = None;
        if tag == tag::CELL_OP {
            let byte = self.byte()?;
            cell.op = Some(operation(byte, name)?);
            op = Some(byte);
            tag = self.byte()?;
        }
        if tag == tag::CELL_VERSION {
            let bytes = self.array::<8>()?;
            sum = crc::update(sum, &bytes);
            cell.version = Some(i64::from_le_bytes(bytes));
            tag = self.byte()?;
        }
        // After the version, although it stands before it.
        if let Some(byte) = op {
            sum = crc::update(sum, &[byte]);
        }
        expect(tag, tag::CELL_CHECKSUM)?;
        if self.byte()? != sum {
            return Err(parameter_invalid(format!("The checksum of the cell '{}' does not match.", short(name))));
        }
        cell.crc = sum;
        Ok(cell)
    }

    /// Reads where a record stands in its stream, the tag before it taken.
    fn sequence(&mut self) -> Result<Sequence> {
        let wrong = || parameter_invalid("The sequence of the row has another length.");
        if u32::from_le_bytes(self.array()?) != EXTENSION_BYTES {
            return Err(wrong());
        }
        expect(self.byte()?, tag::SEQUENCE)?;
        if u32::from_le_bytes(self.array()?) != SEQUENCE_BYTES {
            return Err(wrong());
        }
        expect(self.byte()?, tag::SEQUENCE_EPOCH)?;
        let epoch = u32::from_le_bytes(self.array()?);
        expect(self.byte()?, tag::SEQUENCE_TIMESTAMP)?;
        let timestamp_us = i64::from_le_bytes(self.array()?);
        expect(self.byte()?, tag::SEQUENCE_ROW_INDEX)?;
        let row_index = u32::from_le_bytes(self.array()?);
        Ok(Sequence { epoch, timestamp_us, row_index })
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk().ok_or_else(ends_early)?;
        self.rest = rest;
        Ok(*array)
    }

    /// Reads a length and as many bytes.
    fn sized(&mut self) -> Result<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        let (bytes, rest) = self.rest.split_at_checked(length as usize).ok_or_else(ends_early)?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// Reads a type and its payload, which are all of `bytes`. `of` says whose they are.
pub(super) fn variant<'a>(bytes: &'a [u8], of: &str) -> Result<Variant<'a>> {
    let wrong = |what: &dyn Display| parameter_invalid(format!("The value of '{}' {what}.", short(of)));
    let (kind, payload) = bytes.split_first().ok_or_else(|| wrong(&"has no type"))?;
    let eight = || <[u8; 8]>::try_from(payload).map_err(|_| wrong(&"has another length than its type"));
    let sized = || {
        let (length, bytes) = payload.split_first_chunk::<4>().ok_or_else(|| wrong(&"ends early"))?;
        if u32::from_le_bytes(*length) as usize == bytes.len() {
            Ok(bytes)
        } else {
            Err(wrong(&"has another length than it says"))
        }
    };
    match *kind {
        ty::INTEGER => Ok(Variant::Int(i64::from_le_bytes(eight()?))),
        ty::DOUBLE => {
            let value = f64::from_le_bytes(eight()?);
            if value.is_nan() {
                return Err(parameter_invalid("NaN can't be set to double value."));
            }
            if value.is_infinite() {
                return Err(parameter_invalid("Infinity can't be set to double value."));
            }
            Ok(Variant::Double(value))
        }
        ty::BOOLEAN => match payload {
            [0] => Ok(Variant::Bool(false)),
            [1] => Ok(Variant::Bool(true)),
            _ => Err(wrong(&"is no boolean")),
        },
        ty::STRING => {
            let text = std::str::from_utf8(sized()?);
            text.map(Variant::Str).map_err(|_| wrong(&"is a string that is not UTF-8; send it as a blob"))
        }
        ty::BLOB => sized().map(Variant::Bin),
        ty::INF_MIN | ty::INF_MAX | ty::AUTO_INCREMENT if !payload.is_empty() => {
            Err(wrong(&"has another length than its type"))
        }
        ty::INF_MIN => Ok(Variant::InfMin),
        ty::INF_MAX => Ok(Variant::InfMax),
        ty::AUTO_INCREMENT => Ok(Variant::Auto),
        other => Err(wrong(&format_args!("has the unknown type {other:#04x}"))),
    }
}

fn operation(byte: u8, name: &str) -> Result<CellOp> {
    match byte {
        op::DELETE_ALL => Ok(CellOp::DeleteAll),
        op::DELETE_ONE => Ok(CellOp::DeleteOne),
        op::INCREMENT => Ok(CellOp::Increment),
        other => Err(parameter_invalid(format!("The cell '{}' has the unknown type {other:#04x}.", short(name)))),
    }
}

fn key_column(cell: &RawCell<'_>) -> Result<KeyColumn> {
    let name = cell.name;
    if cell.op.is_some() || cell.version.is_some() {
        let name = short(name);
        return Err(parameter_invalid(format!("The primary key column '{name}' has a type or timestamp of a cell.")));
    }
    let missing = || parameter_invalid(format!("The primary key column '{}' has no value.", short(name)));
    let value = cell.value.ok_or_else(missing)?;
    Ok(KeyColumn { name: name.to_string(), value: value.into_key_value()? })
}

fn attribute(cell: &RawCell<'_>) -> Result<Cell> {
    let value = cell.value.map(Variant::into_value).transpose()?;
    Ok(Cell { name: cell.name.to_string(), value, op: cell.op, version: cell.version })
}

fn expect(found: u8, wanted: u8) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(parameter_invalid(format!("The PlainBuffer has the tag {found:#04x} where {wanted:#04x} belongs.")))
}

fn ends_early() -> Error {
    parameter_invalid("The PlainBuffer ends early.")
}

/// A name is as long as its sender likes.
fn short(name: &str) -> &str {
    const MAX_BYTES: usize = 255;
    &name[..name.floor_char_boundary(MAX_BYTES)]
}
