//! Columns of a batch as typed slices, and how one value of each is written.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, DurationNanosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{Array, PrimitiveArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use feitian_types::DataType;

use super::varint::{Lead, Sink, zigzag};
use super::{RecordCrc, WINDOW};
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

    /// Writes `tag` and the value in `row`, which must not be NULL. The checksum takes `lead`, then the value. There must
    /// be room for it in `out` and `crc`.
    #[inline]
    pub(super) fn put(&self, row: usize, tag: Lead, lead: Lead, out: &mut Sink, crc: &mut RecordCrc) {
        let mut word = |bits: u64, n: usize| {
            out.led(tag, &bits.to_le_bytes(), n);
            crc.word(lead, bits, n);
        };
        match &self.values {
            Values::Bool(v) => word(v.value(row).into(), 1),
            Values::F32(v) => word(v[row].to_bits().into(), 4),
            Values::F64(v) => word(v[row].to_bits(), 8),
            Values::I8(v) => put_int(v[row].into(), tag, lead, out, crc),
            Values::I16(v) => put_int(v[row].into(), tag, lead, out, crc),
            Values::I32(v) => put_int(v[row].into(), tag, lead, out, crc),
            Values::I64(v) => put_int(v[row], tag, lead, out, crc),
            Values::Text { offsets, bytes } => put_text(bytes, range(offsets, row), tag, lead, out, crc),
            Values::Decimal { values, scale } => match decimal::format_short(values[row], *scale) {
                Some((text, n)) => put_short(&text, n, tag, lead, out, crc),
                None => {
                    out.word(tag.word, tag.len);
                    crc.lead(lead);
                    put_bytes(decimal::format(values[row], *scale, &mut [0; decimal::TEXT_MAX]), &[], out, crc);
                }
            },
            other => {
                out.word(tag.word, tag.len);
                crc.lead(lead);
                other.put_rare(row, out, crc);
            }
        }
    }

    fn put_range(&self, range: std::ops::Range<usize>, out: &mut Sink, crc: &mut RecordCrc) {
        out.room(0);
        out.varint(range.len() as u64);
        for row in range {
            self.put_element(row, out, crc);
        }
    }

    /// A value inside another: a flag for NULL, then the value.
    fn put_element(&self, row: usize, out: &mut Sink, crc: &mut RecordCrc) {
        out.room(0);
        if self.is_null(row) {
            out.word(1, 1);
        } else {
            crc.element();
            self.put(row, Lead { word: 0, len: 1 }, Lead::NOTHING, out, crc);
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

impl Values<'_> {
    fn put_rare(&self, row: usize, out: &mut Sink, crc: &mut RecordCrc) {
        match self {
            Values::Char { offsets, bytes, width } => put_padded(&bytes[range(offsets, row)], *width, out, crc),
            Values::Nanos(v) => put_nanos(v[row], out, crc),
            Values::List { offsets, items } => items.put_range(range(offsets, row), out, crc),
            Values::Map { offsets, keys, values } => {
                keys.put_range(range(offsets, row), out, crc);
                values.put_range(range(offsets, row), out, crc);
            }
            Values::Struct(fields) => fields.iter().for_each(|field| field.put_element(row, out, crc)),
            _ => {}
        }
    }
}

#[inline]
fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

#[inline]
fn put_int(v: i64, tag: Lead, lead: Lead, out: &mut Sink, crc: &mut RecordCrc) {
    out.led_varint(tag, zigzag(v));
    crc.word(lead, v as u64, 8);
}

/// Most texts are short, and a call that copies any length costs more than they do.
#[inline]
fn put_text(bytes: &[u8], at: std::ops::Range<usize>, tag: Lead, lead: Lead, out: &mut Sink, crc: &mut RecordCrc) {
    match bytes.get(at.start..).and_then(|bytes| bytes.first_chunk::<WINDOW>()) {
        Some(window) if at.len() <= WINDOW => put_short(window, at.len(), tag, lead, out, crc),
        _ => {
            out.word(tag.word, tag.len);
            crc.lead(lead);
            put_bytes(&bytes[at], &[], out, crc);
        }
    }
}

/// The first `n` of `bytes`.
#[inline]
fn put_short<const N: usize>(bytes: &[u8; N], n: usize, tag: Lead, lead: Lead, out: &mut Sink, crc: &mut RecordCrc) {
    let length = Lead { word: tag.word | (n as u64) << (8 * tag.len), len: tag.len + 1 };
    out.led(length, bytes, n);
    crc.short(lead, bytes, n);
}

/// `bytes`, then `more`.
#[inline(never)]
fn put_bytes(bytes: &[u8], more: &[u8], out: &mut Sink, crc: &mut RecordCrc) {
    out.varint((bytes.len() + more.len()) as u64);
    for piece in [bytes, more] {
        out.bytes(piece);
        crc.bytes(piece);
    }
}

/// CHAR(n) is n characters on the wire, whatever is stored.
fn put_padded(bytes: &[u8], width: usize, out: &mut Sink, crc: &mut RecordCrc) {
    const BLANKS: [u8; 255] = [b' '; 255];
    let characters = bytes.iter().filter(|&&b| b & 0xc0 != 0x80).count();
    put_bytes(bytes, &BLANKS[..width.saturating_sub(characters).min(BLANKS.len())], out, crc);
}

/// Seconds round down, so that the nanoseconds are never negative.
fn put_nanos(v: i64, out: &mut Sink, crc: &mut RecordCrc) {
    let (seconds, nanos) = (v.div_euclid(NANOS), v.rem_euclid(NANOS));
    out.varint(zigzag(seconds));
    out.varint(zigzag(nanos));
    crc.word(Lead::NOTHING, seconds as u64, 8);
    crc.word(Lead::NOTHING, nanos as u64, 4);
}
