//! Columns under construction: one typed buffer each, chosen once, filled value by value from the stream.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, DurationNanosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray, StructArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType as ArrowType, FieldRef, Fields};
use feitian_types::DataType;
use feitian_types::arrow::engine_type;

use super::input::{Cursor, Fault, Got, Input};
use super::varint::{Lead, Sink, unzigzag};
use super::{RecordCrc, WINDOW};
use crate::check::Problem;
use crate::decimal;

/// What is left for the row being read, in bytes as held in memory.
pub(super) struct Budget {
    pub(super) left: usize,
    pub(super) row_limit: usize,
    pub(super) field_limit: usize,
}

impl Budget {
    #[inline]
    fn charge(&mut self, bytes: usize) -> Got<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Fault::bad(format!("the row is larger than {} bytes", self.row_limit))),
        }
    }
}

/// A column, or the values inside one.
pub(super) struct Builder {
    arrow: ArrowType,
    /// Values so far, NULLs included.
    len: usize,
    /// One more than the place of the last NULL.
    null_end: usize,
    /// Reaches to `null_end`: a value, the common case, leaves it alone.
    nulls: NullBufferBuilder,
    slots: Slots,
    /// Bytes that one more NULL takes, children included.
    slot_bytes: usize,
}

enum Slots {
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    Date(Vec<i32>),
    Months(Vec<i32>),
    I64(Vec<i64>),
    Millis(Vec<i64>),
    Nanos(Vec<i64>),
    Spans(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(BooleanBufferBuilder),
    Text(Bytes),
    Binary(Bytes),
    Decimal { values: Vec<i128>, precision: u8, scale: u8, text: Vec<u8> },
    List { field: FieldRef, offsets: Vec<i32>, items: Box<Builder> },
    Map { entries: FieldRef, kv: Fields, offsets: Vec<i32>, keys: Box<Builder>, values: Box<Builder> },
    Struct { fields: Fields, columns: Vec<Builder> },
}

struct Bytes {
    offsets: Vec<i32>,
    bytes: Sink,
}

impl Bytes {
    fn new() -> Self {
        Self { offsets: vec![0], bytes: Sink::new(WINDOW) }
    }

    #[inline]
    fn end_value(&mut self) -> Got<()> {
        self.offsets.push(offset(self.bytes.len())?);
        Ok(())
    }

    /// The offsets and values so far; starts anew.
    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let next = Vec::with_capacity(self.bytes.len());
        let bytes = std::mem::replace(&mut self.bytes, Sink::over(next, WINDOW));
        (finish_offsets(&mut self.offsets), Buffer::from_vec(bytes.into_vec()))
    }
}

#[inline]
fn offset(n: usize) -> Got<i32> {
    i32::try_from(n).map_err(|_| Fault::bad("a batch holds more than 2 GiB of one column"))
}

fn finish_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let done = std::mem::replace(offsets, Vec::with_capacity(offsets.len()));
    offsets.push(0);
    OffsetBuffer::new(ScalarBuffer::from(done))
}

impl Builder {
    pub(super) fn new(ty: &DataType) -> Self {
        let arrow = engine_type(ty);
        let slots = Slots::new(ty, &arrow);
        let slot_bytes = slots.slot_bytes() + 1;
        Self { arrow, len: 0, null_end: 0, nulls: NullBufferBuilder::new(0), slots, slot_bytes }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that one more NULL takes.
    pub(super) fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// Appends NULL. Children of a struct grow with it.
    pub(super) fn push_null(&mut self) {
        self.nulls.append_n_non_nulls(self.len - self.null_end);
        self.nulls.append_null();
        self.len += 1;
        self.null_end = self.len;
        match &mut self.slots {
            Slots::I8(v) => v.push(0),
            Slots::I16(v) => v.push(0),
            Slots::I32(v) | Slots::Date(v) | Slots::Months(v) => v.push(0),
            Slots::I64(v) | Slots::Millis(v) | Slots::Nanos(v) | Slots::Spans(v) => v.push(0),
            Slots::F32(v) => v.push(0.0),
            Slots::F64(v) => v.push(0.0),
            Slots::Bool(v) => v.append(false),
            Slots::Decimal { values, .. } => values.push(0),
            Slots::Text(Bytes { offsets, .. })
            | Slots::Binary(Bytes { offsets, .. })
            | Slots::List { offsets, .. }
            | Slots::Map { offsets, .. } => offsets.push(offsets.last().copied().unwrap_or(0)),
            Slots::Struct { columns, .. } => columns.iter_mut().for_each(Self::push_null),
        }
    }

    /// Appends one value from the stream. The checksum takes `lead`, then the value.
    #[inline(always)]
    pub(super) fn read(&mut self, input: &mut Cursor, lead: Lead, crc: &mut RecordCrc, budget: &mut Budget) -> Got<()> {
        match &mut self.slots {
            Slots::I8(v) => v.push(narrow(int(input, lead, crc)?, "tinyint")?),
            Slots::I16(v) => v.push(narrow(int(input, lead, crc)?, "smallint")?),
            Slots::I32(v) => v.push(narrow(int(input, lead, crc)?, "int")?),
            Slots::Date(v) => v.push(narrow(int(input, lead, crc)?, "date")?),
            Slots::Months(v) => v.push(narrow(int(input, lead, crc)?, "interval_year_month")?),
            Slots::I64(v) | Slots::Millis(v) => v.push(int(input, lead, crc)?),
            Slots::Nanos(v) | Slots::Spans(v) => v.push(nanos(input, lead, crc)?),
            Slots::F32(v) => {
                let bytes = input.fixed::<4>()?;
                crc.word(lead, u32::from_le_bytes(bytes).into(), 4);
                v.push(f32::from_le_bytes(bytes));
            }
            Slots::F64(v) => {
                let bytes = input.fixed::<8>()?;
                crc.word(lead, u64::from_le_bytes(bytes), 8);
                v.push(f64::from_le_bytes(bytes));
            }
            Slots::Bool(v) => {
                let value = flag(input)?;
                crc.word(lead, value.into(), 1);
                v.append(value);
            }
            Slots::Text(v) | Slots::Binary(v) => {
                read_bytes(input, lead, crc, budget, &mut v.bytes)?;
                v.end_value()?;
            }
            Slots::Decimal { values, precision, scale, text } => {
                let n = length(input, budget)?;
                let value = match input.short(n) {
                    Some(window) => {
                        crc.short(lead, window, n);
                        decimal::parse_short(window, n, *precision, *scale)
                    }
                    None => {
                        text.clear();
                        crc.lead(lead);
                        input.away(|input| read_pieces(n, input, crc, |bytes| text.extend_from_slice(bytes)))?;
                        decimal::parse(text, *precision, *scale)
                    }
                };
                values.push(value.map_err(Fault::bad)?);
            }
            nested => {
                crc.lead(lead);
                input.away(|input| nested.read_nested(input, crc, budget))?;
            }
        }
        self.len += 1;
        Ok(())
    }

    /// Appends a value that stands inside another: a flag for NULL first.
    fn read_element(&mut self, input: &mut Input, crc: &mut RecordCrc, budget: &mut Budget) -> Got<()> {
        crc.element();
        let mut cursor = input.cursor();
        if flag(&mut cursor)? {
            self.push_null();
        } else {
            self.read(&mut cursor, Lead::NOTHING, crc, budget)?;
        }
        cursor.done();
        Ok(())
    }

    fn read_elements(&mut self, count: u64, input: &mut Input, crc: &mut RecordCrc, budget: &mut Budget) -> Got<()> {
        for _ in 0..count {
            budget.charge(self.slot_bytes)?;
            self.read_element(input, crc, budget)?;
        }
        Ok(())
    }

    /// The array of all values so far; starts anew. The problem of a value that the engine cannot hold names its slot.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, Problem> {
        let nulls = self.finish_nulls();
        let broken = |e: arrow_schema::ArrowError| Problem { slot: 0, reason: e.to_string() };
        Ok(match &mut self.slots {
            Slots::I8(v) => primitive::<Int8Type>(v, nulls),
            Slots::I16(v) => primitive::<Int16Type>(v, nulls),
            Slots::I32(v) => primitive::<Int32Type>(v, nulls),
            Slots::Date(v) => primitive::<Date32Type>(v, nulls),
            Slots::Months(v) => primitive::<IntervalYearMonthType>(v, nulls),
            Slots::I64(v) => primitive::<Int64Type>(v, nulls),
            Slots::Millis(v) => Arc::new(
                PrimitiveArray::<TimestampMillisecondType>::new(renew(v), nulls).with_data_type(self.arrow.clone()),
            ),
            Slots::Nanos(v) => Arc::new(
                PrimitiveArray::<TimestampNanosecondType>::new(renew(v), nulls).with_data_type(self.arrow.clone()),
            ),
            Slots::Spans(v) => primitive::<DurationNanosecondType>(v, nulls),
            Slots::F32(v) => primitive::<Float32Type>(v, nulls),
            Slots::F64(v) => primitive::<Float64Type>(v, nulls),
            Slots::Bool(v) => Arc::new(BooleanArray::new(v.finish(), nulls)),
            Slots::Decimal { values, .. } => {
                Arc::new(PrimitiveArray::<Decimal128Type>::new(renew(values), nulls).with_data_type(self.arrow.clone()))
            }
            Slots::Text(v) => {
                let (offsets, bytes) = v.finish();
                match StringArray::try_new(offsets.clone(), bytes.clone(), nulls) {
                    Ok(array) => Arc::new(array),
                    Err(_) => return Err(Problem::not_utf8(&offsets, &bytes)),
                }
            }
            Slots::Binary(v) => {
                let (offsets, bytes) = v.finish();
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
            Slots::List { field, offsets, items } => {
                let offsets = finish_offsets(offsets);
                let items = items.finish().map_err(|p| p.lift(&offsets))?;
                Arc::new(ListArray::try_new(field.clone(), offsets, items, nulls).map_err(broken)?)
            }
            Slots::Map { entries, kv, offsets, keys, values } => {
                let offsets = finish_offsets(offsets);
                let keys = keys.finish().map_err(|p| p.lift(&offsets))?;
                let values = values.finish().map_err(|p| p.lift(&offsets))?;
                let pairs = StructArray::try_new(kv.clone(), vec![keys, values], None).map_err(broken)?;
                Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, false).map_err(broken)?)
            }
            Slots::Struct { fields, columns } => {
                let columns = columns.iter_mut().map(Self::finish).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new(fields.clone(), columns, nulls).map_err(broken)?)
            }
        })
    }
}

impl Slots {
    fn new(ty: &DataType, arrow: &ArrowType) -> Self {
        match (ty, arrow) {
            (DataType::TinyInt, _) => Self::I8(vec![]),
            (DataType::SmallInt, _) => Self::I16(vec![]),
            (DataType::Int, _) => Self::I32(vec![]),
            (DataType::BigInt, _) => Self::I64(vec![]),
            (DataType::Float, _) => Self::F32(vec![]),
            (DataType::Double, _) => Self::F64(vec![]),
            (DataType::Boolean, _) => Self::Bool(BooleanBufferBuilder::new(0)),
            (DataType::Date, _) => Self::Date(vec![]),
            (DataType::Datetime, _) => Self::Millis(vec![]),
            (DataType::Timestamp | DataType::TimestampNtz, _) => Self::Nanos(vec![]),
            (DataType::IntervalDayTime, _) => Self::Spans(vec![]),
            (DataType::IntervalYearMonth, _) => Self::Months(vec![]),
            (DataType::Decimal(precision, scale), _) => {
                Self::Decimal { values: vec![], precision: *precision, scale: *scale, text: vec![] }
            }
            (DataType::Binary, _) => Self::Binary(Bytes::new()),
            (DataType::Array(e), ArrowType::List(field)) => {
                Self::List { field: field.clone(), offsets: vec![0], items: Box::new(Builder::new(e)) }
            }
            (DataType::Map(k, v), ArrowType::Map(entries, _)) => {
                let kv = match entries.data_type() {
                    ArrowType::Struct(kv) => kv.clone(),
                    _ => Fields::empty(),
                };
                let (keys, values) = (Box::new(Builder::new(k)), Box::new(Builder::new(v)));
                Self::Map { entries: entries.clone(), kv, offsets: vec![0], keys, values }
            }
            (DataType::Struct(columns), ArrowType::Struct(fields)) => Self::Struct {
                fields: fields.clone(),
                columns: columns.iter().map(|(_, ty)| Builder::new(ty)).collect(),
            },
            _ => Self::Text(Bytes::new()),
        }
    }

    fn slot_bytes(&self) -> usize {
        match self {
            Self::I8(_) | Self::Bool(_) => 1,
            Self::I16(_) => 2,
            Self::I32(_) | Self::Date(_) | Self::Months(_) | Self::F32(_) => 4,
            Self::Text(_) | Self::Binary(_) | Self::List { .. } | Self::Map { .. } => 4,
            Self::I64(_) | Self::Millis(_) | Self::Nanos(_) | Self::Spans(_) | Self::F64(_) => 8,
            Self::Decimal { .. } => 16,
            Self::Struct { columns, .. } => columns.iter().map(Builder::slot_bytes).sum(),
        }
    }

    fn read_nested(&mut self, input: &mut Input, crc: &mut RecordCrc, budget: &mut Budget) -> Got<()> {
        match self {
            Self::List { offsets, items, .. } => {
                let count = input.varint()?;
                items.read_elements(count, input, crc, budget)?;
                offsets.push(offset(items.len())?);
            }
            Self::Map { offsets, keys, values, .. } => {
                let count = input.varint()?;
                let first = keys.len();
                keys.read_elements(count, input, crc, budget)?;
                if keys.has_null_from(first) {
                    return Err(Fault::bad("a map has a NULL key"));
                }
                let again = input.varint()?;
                if again != count {
                    return Err(Fault::bad(format!("a map has {count} keys and {again} values")));
                }
                values.read_elements(count, input, crc, budget)?;
                offsets.push(offset(keys.len())?);
            }
            Self::Struct { columns, .. } => {
                for column in columns {
                    column.read_element(input, crc, budget)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Builder {
    fn has_null_from(&self, first: usize) -> bool {
        self.null_end > first
    }

    fn finish_nulls(&mut self) -> Option<NullBuffer> {
        self.nulls.append_n_non_nulls(self.len - self.null_end);
        (self.len, self.null_end) = (0, 0);
        self.nulls.finish()
    }
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(renew(values), nulls))
}

/// Takes the values and leaves a vector of the same capacity, for the next batch.
fn renew<T: arrow_buffer::ArrowNativeType>(values: &mut Vec<T>) -> ScalarBuffer<T> {
    let capacity = values.len();
    std::mem::replace(values, Vec::with_capacity(capacity)).into()
}

#[inline(always)]
fn int(input: &mut Cursor, lead: Lead, crc: &mut RecordCrc) -> Got<i64> {
    let value = unzigzag(input.varint()?);
    crc.word(lead, value as u64, 8);
    Ok(value)
}

#[inline(always)]
fn narrow<T: TryFrom<i64>>(value: i64, ty: &str) -> Got<T> {
    T::try_from(value).map_err(|_| Fault::bad(format!("{value} is out of range for {ty}")))
}

#[inline(always)]
fn flag(input: &mut Cursor) -> Got<bool> {
    match input.varint()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Fault::bad(format!("{other} stands where 0 or 1 is expected"))),
    }
}

#[inline(always)]
fn nanos(input: &mut Cursor, lead: Lead, crc: &mut RecordCrc) -> Got<i64> {
    let seconds = int(input, lead, crc)?;
    let nanos = unzigzag(input.varint()?);
    crc.word(Lead::NOTHING, nanos as u64, 4);
    if !(-999_999_999..=999_999_999).contains(&nanos) {
        return Err(Fault::bad(format!("{nanos} nanoseconds are not less than a second")));
    }
    // The sum may fit where the product alone does not.
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    i64::try_from(total)
        .map_err(|_| Fault::bad(format!("{seconds} seconds are outside the years 1677 to 2262 that fit nanoseconds")))
}

/// The length in front of text or bytes, once it is known to be allowed.
#[inline(always)]
fn length(input: &mut Cursor, budget: &mut Budget) -> Got<usize> {
    let n = input.varint()?;
    if n > budget.field_limit as u64 {
        let limit = budget.field_limit;
        return Err(Fault::bad(format!("the value is larger than the {limit} bytes a field may have")));
    }
    budget.charge(n as usize)?;
    Ok(n as usize)
}

#[inline(always)]
fn read_bytes(input: &mut Cursor, lead: Lead, crc: &mut RecordCrc, budget: &mut Budget, into: &mut Sink) -> Got<()> {
    let n = length(input, budget)?;
    let Some(window) = input.short(n) else {
        crc.lead(lead);
        return input.away(|input| read_pieces(n, input, crc, |bytes| into.bytes(bytes)));
    };
    crc.short(lead, window, n);
    into.room(0);
    into.short(window, n);
    Ok(())
}

#[inline(never)]
fn read_pieces(n: usize, input: &mut Input, crc: &mut RecordCrc, mut into: impl FnMut(&[u8])) -> Got<()> {
    input.pieces(n, |bytes| {
        into(bytes);
        crc.bytes(bytes);
    })
}
