//! Columns of a batch as typed slices, and how one value of each is written.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, DurationNanosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{Array, PrimitiveArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use feitian_types::DataType;

use super::RecordCrc;
use super::varint::{Sink, zigzag};
use crate::decimal;

/// One column, or the values inside one, typed once per batch.
pub(super) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    Bool(&'a BooleanBuffer),
    F32(&'a [f32]),
    F64(&'a [f64]),
    Text { offsets: &'a [i32], bytes: &'a [u8] },
    Char { offsets: &'a [i32], bytes: &'a [u8], width: usize },
    Decimal { values: &'a [i128], scale: usize },
    Nanos(&'a [i64]),
    List { offsets: &'a [i32], items: Box<Cells<'a>> },
    Map { offsets: &'a [i32], keys: Box<Cells<'a>>, values: Box<Cells<'a>> },
    Struct(Vec<Cells<'a>>),
}

/// Room for a tag and any value of fixed width, and for the slack of one store.
const ROOM: usize = 48;

const NANOS: i64 = 1_000_000_000;

fn slice<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array.as_any().downcast_ref::<PrimitiveArray<T>>().map(|a| &a.values()[..])
}

impl<'a> Cells<'a> {
    /// `None` if `array` is not the engine form of `ty`.
    pub(super) fn new(ty: &DataType, array: &'a dyn Array) -> Option<Self> {
        Some(Self { nulls: array.nulls(), values: Values::new(ty, array)? })
    }

    #[inline]
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Writes `tag` and the value in `row`, which must not be NULL.
    #[inline]
    pub(super) fn put_field(&self, row: usize, tag: (u64, usize), number: u32, out: &mut Sink, crc: &mut RecordCrc) {
        out.room(ROOM);
        out.word(tag.0, tag.1);
        crc.word(number.into(), 4);
        self.put(row, out, crc);
    }

    #[inline]
    fn put(&self, row: usize, out: &mut Sink, crc: &mut RecordCrc) {
        match &self.values {
            Values::I8(v) => put_int(v[row].into(), out, crc),
            Values::I16(v) => put_int(v[row].into(), out, crc),
            Values::I32(v) => put_int(v[row].into(), out, crc),
            Values::I64(v) => put_int(v[row], out, crc),
            Values::Bool(v) => {
                let v = u64::from(v.value(row));
                out.room(8);
                out.word(v, 1);
                crc.word(v, 1);
            }
            Values::F32(v) => {
                let bits = v[row].to_bits().into();
                out.room(8);
                out.word(bits, 4);
                crc.word(bits, 4);
            }
            Values::F64(v) => {
                let bits = v[row].to_bits();
                out.room(8);
                out.word(bits, 8);
                crc.word(bits, 8);
            }
            Values::Text { offsets, bytes } => put_bytes(text(offsets, bytes, row), out, crc),
            Values::Char { offsets, bytes, width } => put_padded(text(offsets, bytes, row), *width, out, crc),
            Values::Decimal { values, scale } => {
                put_bytes(decimal::format(values[row], *scale, &mut [0; decimal::TEXT_MAX]), out, crc);
            }
            Values::Nanos(v) => put_nanos(v[row], out, crc),
            Values::List { offsets, items } => items.put_range(range(offsets, row), out, crc),
            Values::Map { offsets, keys, values } => {
                keys.put_range(range(offsets, row), out, crc);
                values.put_range(range(offsets, row), out, crc);
            }
            Values::Struct(fields) => {
                for field in fields {
                    field.put_element(row, out, crc);
                }
            }
        }
    }

    fn put_range(&self, range: std::ops::Range<usize>, out: &mut Sink, crc: &mut RecordCrc) {
        out.room(ROOM);
        out.varint(range.len() as u64);
        for row in range {
            self.put_element(row, out, crc);
        }
    }

    /// A value inside another: a flag for NULL, then the value.
    fn put_element(&self, row: usize, out: &mut Sink, crc: &mut RecordCrc) {
        out.room(ROOM);
        let null = self.is_null(row);
        out.word(null.into(), 1);
        if !null {
            self.put(row, out, crc);
        }
    }
}

impl<'a> Values<'a> {
    fn new(ty: &DataType, array: &'a dyn Array) -> Option<Self> {
        Some(match ty {
            DataType::TinyInt => Self::I8(slice::<Int8Type>(array)?),
            DataType::SmallInt => Self::I16(slice::<Int16Type>(array)?),
            DataType::Int => Self::I32(slice::<Int32Type>(array)?),
            DataType::BigInt => Self::I64(slice::<Int64Type>(array)?),
            DataType::Float => Self::F32(slice::<Float32Type>(array)?),
            DataType::Double => Self::F64(slice::<Float64Type>(array)?),
            DataType::Boolean => Self::Bool(array.as_boolean_opt()?.values()),
            DataType::Date => Self::I32(slice::<Date32Type>(array)?),
            DataType::Datetime => Self::I64(slice::<TimestampMillisecondType>(array)?),
            DataType::IntervalYearMonth => Self::I32(slice::<IntervalYearMonthType>(array)?),
            DataType::Timestamp | DataType::TimestampNtz => Self::Nanos(slice::<TimestampNanosecondType>(array)?),
            DataType::IntervalDayTime => Self::Nanos(slice::<DurationNanosecondType>(array)?),
            DataType::Decimal(_, scale) => {
                Self::Decimal { values: slice::<Decimal128Type>(array)?, scale: usize::from(*scale) }
            }
            DataType::String | DataType::Varchar(_) | DataType::Json => {
                let text = array.as_string_opt::<i32>()?;
                Self::Text { offsets: text.value_offsets(), bytes: text.value_data() }
            }
            DataType::Char(n) => {
                let text = array.as_string_opt::<i32>()?;
                Self::Char { offsets: text.value_offsets(), bytes: text.value_data(), width: *n as usize }
            }
            DataType::Binary => {
                let bytes = array.as_binary_opt::<i32>()?;
                Self::Text { offsets: bytes.value_offsets(), bytes: bytes.value_data() }
            }
            DataType::Array(e) => {
                let list = array.as_list_opt::<i32>()?;
                Self::List { offsets: list.value_offsets(), items: Box::new(Cells::new(e, list.values())?) }
            }
            DataType::Map(k, v) => {
                let map = array.as_map_opt()?;
                let keys = Box::new(Cells::new(k, map.keys())?);
                Self::Map { offsets: map.value_offsets(), keys, values: Box::new(Cells::new(v, map.values())?) }
            }
            DataType::Struct(fields) => {
                let row = array.as_struct_opt()?;
                if row.num_columns() != fields.len() {
                    return None;
                }
                let cells = fields.iter().zip(row.columns()).map(|((_, ty), array)| Cells::new(ty, array));
                Self::Struct(cells.collect::<Option<_>>()?)
            }
        })
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

#[inline]
fn text<'a>(offsets: &[i32], bytes: &'a [u8], row: usize) -> &'a [u8] {
    &bytes[range(offsets, row)]
}

#[inline]
fn put_int(v: i64, out: &mut Sink, crc: &mut RecordCrc) {
    out.room(16);
    out.varint(zigzag(v));
    crc.word(v as u64, 8);
}

#[inline]
fn put_bytes(bytes: &[u8], out: &mut Sink, crc: &mut RecordCrc) {
    out.room(16 + bytes.len());
    out.varint(bytes.len() as u64);
    out.bytes(bytes);
    crc.bytes(bytes);
}

/// CHAR(n) is n characters on the wire, whatever is stored.
fn put_padded(bytes: &[u8], width: usize, out: &mut Sink, crc: &mut RecordCrc) {
    const BLANKS: [u8; 255] = [b' '; 255];
    let characters = bytes.iter().filter(|&&b| b & 0xc0 != 0x80).count();
    let blanks = &BLANKS[..width.saturating_sub(characters).min(BLANKS.len())];
    out.room(16 + bytes.len() + blanks.len());
    out.varint((bytes.len() + blanks.len()) as u64);
    out.bytes(bytes);
    out.bytes(blanks);
    crc.bytes(bytes);
    crc.bytes(blanks);
}

/// Seconds round down, so that the nanoseconds are never negative.
fn put_nanos(v: i64, out: &mut Sink, crc: &mut RecordCrc) {
    let (seconds, nanos) = (v.div_euclid(NANOS), v.rem_euclid(NANOS));
    out.room(32);
    out.varint(zigzag(seconds));
    out.varint(zigzag(nanos));
    crc.word(seconds as u64, 8);
    crc.word(nanos as u64, 4);
}
