//! From bytes of a process that nobody trusts to columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMillisecondType,
};
use chrono::{DateTime, Datelike};
use chrono_tz::Tz;
use feitian_functions::time::millis_of;
use feitian_types::DataType;
use feitian_types::arrow::engine_type;

use super::Framed;

/// The days of the years 1 to 9999, from 1970-01-01.
const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;

/// Cuts an answer into buffers.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next buffer of `size` bytes.
    fn take(&mut self, size: usize) -> Framed<&'a [u8]> {
        let padded = size.checked_next_multiple_of(8).filter(|padded| *padded <= self.0.len());
        let Some(padded) = padded else { return Err("a buffer is cut short".to_string()) };
        let (buffer, rest) = self.0.split_at(padded);
        self.0 = rest;
        Ok(&buffer[..size])
    }

    fn nulls(&mut self, rows: usize) -> Framed<Option<NullBuffer>> {
        match self.take(8)? {
            [0, 0, 0, 0, 0, 0, 0, 0] => Ok(None),
            [1, 0, 0, 0, 0, 0, 0, 0] => Ok(Some(NullBuffer::new(self.bits(rows)?))),
            _ => Err("a column says neither that it has NULLs nor that it has none".to_string()),
        }
    }

    fn bits(&mut self, rows: usize) -> Framed<BooleanBuffer> {
        let bytes = self.take(rows.div_ceil(8))?;
        Ok(BooleanBuffer::new(Buffer::from_slice_ref::<u8, _>(bytes), 0, rows))
    }

    fn values<T: ArrowPrimitiveType>(&mut self, rows: usize) -> Framed<ScalarBuffer<T::Native>> {
        let size = rows.checked_mul(size_of::<T::Native>()).ok_or("a column is too long")?;
        // The copy is aligned for every type.
        Ok(ScalarBuffer::new(Buffer::from_slice_ref::<u8, _>(self.take(size)?), 0, rows))
    }

    fn numbers<T: ArrowPrimitiveType>(&mut self, rows: usize, nulls: Option<NullBuffer>) -> Framed<PrimitiveArray<T>> {
        PrimitiveArray::try_new(self.values::<T>(rows)?, nulls).map_err(|e| e.to_string())
    }

    /// The offsets of `rows` values, and where the last one ends.
    fn offsets(&mut self, rows: usize) -> Framed<(OffsetBuffer<i32>, usize)> {
        let count = rows.checked_add(1).ok_or("a column is too long")?;
        let offsets = self.values::<Int32Type>(count)?;
        let rises = offsets.first() == Some(&0) && offsets.windows(2).all(|two| two[0] <= two[1]);
        let last = offsets.last().and_then(|last| usize::try_from(*last).ok());
        match last {
            Some(last) if rises => Ok((OffsetBuffer::new(offsets), last)),
            _ => Err("offsets do not rise from 0".to_string()),
        }
    }
}

/// The next column, of `rows` values of `ty`, in engine form.
pub(crate) fn column(from: &mut Cursor<'_>, rows: usize, ty: &DataType, zone: Tz) -> Framed<ArrayRef> {
    let nulls = from.nulls(rows)?;
    Ok(match ty {
        DataType::TinyInt => Arc::new(from.numbers::<Int8Type>(rows, nulls)?),
        DataType::SmallInt => Arc::new(from.numbers::<Int16Type>(rows, nulls)?),
        DataType::Int => Arc::new(from.numbers::<Int32Type>(rows, nulls)?),
        DataType::BigInt => Arc::new(from.numbers::<Int64Type>(rows, nulls)?),
        DataType::Float => Arc::new(from.numbers::<Float32Type>(rows, nulls)?),
        DataType::Double => Arc::new(from.numbers::<Float64Type>(rows, nulls)?),
        DataType::Boolean => Arc::new(BooleanArray::new(from.bits(rows)?, nulls)),
        DataType::Decimal(precision, scale) => {
            let array = from.numbers::<Decimal128Type>(rows, nulls)?;
            let scale = i8::try_from(*scale).map_err(|e| e.to_string())?;
            let array = array.with_precision_and_scale(*precision, scale).map_err(|e| e.to_string())?;
            array.validate_decimal_precision(*precision).map_err(|e| e.to_string())?;
            Arc::new(array)
        }
        DataType::Date => {
            let array = from.numbers::<Date32Type>(rows, nulls)?;
            if array.iter().flatten().any(|day| !DAYS.contains(&day)) {
                return Err("a DATE is outside the years 1 to 9999".to_string());
            }
            Arc::new(array)
        }
        DataType::Datetime => Arc::new(instants(from, rows, nulls, zone)?),
        DataType::String => {
            let (offsets, last) = from.offsets(rows)?;
            let bytes = Buffer::from_slice_ref::<u8, _>(from.take(last)?);
            Arc::new(StringArray::try_new(offsets, bytes, nulls).map_err(|e| e.to_string())?)
        }
        DataType::Binary => {
            let (offsets, last) = from.offsets(rows)?;
            let bytes = Buffer::from_slice_ref::<u8, _>(from.take(last)?);
            Arc::new(BinaryArray::try_new(offsets, bytes, nulls).map_err(|e| e.to_string())?)
        }
        DataType::Array(..) | DataType::Map(..) | DataType::Struct(..) => nested(from, rows, nulls, ty, zone)?,
        other => return Err(format!("no column of {other} can come back")),
    })
}

fn instants(
    from: &mut Cursor<'_>,
    rows: usize,
    nulls: Option<NullBuffer>,
    zone: Tz,
) -> Framed<PrimitiveArray<TimestampMillisecondType>> {
    let clocks = from.numbers::<Int64Type>(rows, nulls)?;
    let instant = |micros: i64| {
        let local = DateTime::from_timestamp_micros(micros).map(|t| t.naive_utc());
        let local = local.filter(|t| (1..=9999).contains(&t.year()));
        local.map(|t| millis_of(t, zone)).ok_or("a DATETIME is outside the years 1 to 9999")
    };
    let mut values = Vec::with_capacity(clocks.len());
    for clock in &clocks {
        values.push(clock.map(instant).transpose()?);
    }
    let array: PrimitiveArray<TimestampMillisecondType> = values.into_iter().collect();
    Ok(array.with_timezone("UTC"))
}

fn nested(from: &mut Cursor<'_>, rows: usize, nulls: Option<NullBuffer>, ty: &DataType, zone: Tz) -> Framed<ArrayRef> {
    Ok(match (ty, engine_type(ty)) {
        (DataType::Array(items), ArrowType::List(field)) => {
            let (offsets, last) = from.offsets(rows)?;
            let items = column(from, last, items, zone)?;
            Arc::new(ListArray::try_new(field, offsets, items, nulls).map_err(|e| e.to_string())?)
        }
        (DataType::Map(keys, items), ArrowType::Map(field, sorted)) => {
            let ArrowType::Struct(fields) = field.data_type() else { return Err("a MAP without entries".to_string()) };
            let (offsets, last) = from.offsets(rows)?;
            let columns = vec![column(from, last, keys, zone)?, column(from, last, items, zone)?];
            let entries = StructArray::try_new(fields.clone(), columns, None).map_err(|e| e.to_string())?;
            Arc::new(MapArray::try_new(field, offsets, entries, nulls, sorted).map_err(|e| e.to_string())?)
        }
        (DataType::Struct(types), ArrowType::Struct(fields)) => {
            let columns = types.iter().map(|(_, ty)| column(from, rows, ty, zone)).collect::<Framed<Vec<_>>>()?;
            Arc::new(StructArray::try_new(fields, columns, nulls).map_err(|e| e.to_string())?)
        }
        _ => return Err(format!("no column of {ty} can come back")),
    })
}
