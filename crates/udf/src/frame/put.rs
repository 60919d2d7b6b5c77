//! From columns to bytes.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{
    BinaryType, ByteArrayType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMillisecondType, Utf8Type,
};
use chrono_tz::Tz;
use feitian_functions::time::local_of_millis;
use feitian_types::DataType;

use super::Framed;

/// Appends a column of `ty` in engine form.
pub(crate) fn put_column(array: &ArrayRef, ty: &DataType, zone: Tz, out: &mut Vec<u8>) -> Framed<()> {
    nulls(array, out);
    match ty {
        DataType::TinyInt => numbers::<Int8Type>(array, out),
        DataType::SmallInt => numbers::<Int16Type>(array, out),
        DataType::Int => numbers::<Int32Type>(array, out),
        DataType::BigInt => numbers::<Int64Type>(array, out),
        DataType::Float => numbers::<Float32Type>(array, out),
        DataType::Double => numbers::<Float64Type>(array, out),
        DataType::Date => numbers::<Date32Type>(array, out),
        DataType::Decimal(..) => numbers::<Decimal128Type>(array, out),
        DataType::String | DataType::Varchar(_) | DataType::Char(_) => runs::<Utf8Type>(array, out),
        DataType::Binary => runs::<BinaryType>(array, out),
        DataType::Boolean => {
            let typed = array.as_boolean_opt().ok_or_else(|| unexpected(array))?;
            bits(typed.values(), out);
            Ok(())
        }
        DataType::Datetime => clocks(array, zone, out),
        DataType::Array(items) => {
            let typed = array.as_list_opt::<i32>().ok_or_else(|| unexpected(array))?;
            let (first, count) = offsets(typed.offsets(), out);
            put_column(&typed.values().slice(first, count), items, zone, out)
        }
        DataType::Map(keys, items) => {
            let typed = array.as_map_opt().ok_or_else(|| unexpected(array))?;
            let (first, count) = offsets(typed.offsets(), out);
            put_column(&typed.keys().slice(first, count), keys, zone, out)?;
            put_column(&typed.values().slice(first, count), items, zone, out)
        }
        DataType::Struct(fields) => {
            let typed = array.as_struct_opt().ok_or_else(|| unexpected(array))?;
            if typed.num_columns() != fields.len() {
                return Err(unexpected(array));
            }
            typed.columns().iter().zip(fields).try_for_each(|(column, (_, ty))| put_column(column, ty, zone, out))
        }
        DataType::Timestamp
        | DataType::TimestampNtz
        | DataType::IntervalDayTime
        | DataType::IntervalYearMonth
        | DataType::Json => super::supported(ty),
    }
}

fn unexpected(array: &ArrayRef) -> String {
    format!("a column of {} where another type was expected", array.data_type())
}

/// Appends `bytes` and fills up.
fn put(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(8), 0);
}

fn nulls(array: &ArrayRef, out: &mut Vec<u8>) {
    let some = array.nulls().filter(|nulls| nulls.null_count() > 0);
    put(&u64::from(some.is_some()).to_le_bytes(), out);
    if let Some(nulls) = some {
        bits(nulls.inner(), out);
    }
}

fn bits(values: &BooleanBuffer, out: &mut Vec<u8>) {
    let buffer = values.sliced();
    let bytes = buffer.as_slice();
    put(bytes.get(..values.len().div_ceil(8)).unwrap_or(bytes), out);
}

fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef, out: &mut Vec<u8>) -> Framed<()> {
    let typed = array.as_primitive_opt::<T>().ok_or_else(|| unexpected(array))?;
    let bytes = typed.values().inner().as_slice();
    put(bytes.get(..typed.len() * size_of::<T::Native>()).unwrap_or(bytes), out);
    Ok(())
}

/// Appends offsets that begin at 0; returns the first of the old ones and how far they reach from it.
fn offsets(offsets: &[i32], out: &mut Vec<u8>) -> (usize, usize) {
    let first = offsets.first().copied().unwrap_or(0);
    let last = offsets.last().copied().unwrap_or(0);
    for offset in offsets {
        out.extend_from_slice(&(offset - first).to_le_bytes());
    }
    put(&[], out);
    // Offsets of Arrow are never negative and never fall.
    (first.unsigned_abs() as usize, (last - first).unsigned_abs() as usize)
}

fn runs<T: ByteArrayType<Offset = i32>>(array: &ArrayRef, out: &mut Vec<u8>) -> Framed<()> {
    let typed = array.as_bytes_opt::<T>().ok_or_else(|| unexpected(array))?;
    let (first, count) = offsets(typed.offsets(), out);
    put(typed.value_data().get(first..first + count).unwrap_or_default(), out);
    Ok(())
}

/// What a clock in `zone` shows.
fn clocks(array: &ArrayRef, zone: Tz, out: &mut Vec<u8>) -> Framed<()> {
    let typed = array.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(|| unexpected(array))?;
    for value in typed {
        let micros = match value {
            Some(ms) => local_of_millis(ms, zone)
                .ok_or_else(|| format!("the DATETIME of {ms} milliseconds is outside the calendar"))?
                .and_utc()
                .timestamp_micros(),
            None => 0,
        };
        out.extend_from_slice(&micros.to_le_bytes());
    }
    Ok(())
}
