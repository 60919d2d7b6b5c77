//! Values in engine form that a MaxCompute type does not allow: too long, out of range, not JSON.

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Date32Type, Decimal128Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::OffsetBuffer;
use feitian_base::Error;
use feitian_types::DataType;

use crate::error::malformed;
use crate::{Limits, decimal};

/// What is wrong, and in which slot of the array.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) slot: usize,
    pub(crate) reason: String,
}

impl Problem {
    /// The same problem, seen from the list or map whose `offsets` point at the slot.
    pub(crate) fn lift(self, offsets: &OffsetBuffer<i32>) -> Self {
        let slot = offsets.partition_point(|&o| o as usize <= self.slot).saturating_sub(1);
        Self { slot, ..self }
    }

    /// The first value among `bytes` that is not UTF-8.
    pub(crate) fn not_utf8(offsets: &OffsetBuffer<i32>, bytes: &[u8]) -> Self {
        let bad = |w: &[i32]| std::str::from_utf8(&bytes[w[0] as usize..w[1] as usize]).err();
        let found = offsets.windows(2).enumerate().find_map(|(slot, w)| Some((slot, bad(w)?)));
        let (slot, at) = found.map_or((0, 0), |(slot, e)| (slot, e.valid_up_to()));
        Self { slot, reason: format!("the bytes are not UTF-8 from byte {at} on; use BINARY for such data") }
    }

    /// The error for a column whose slot 0 is row `first` of the stream.
    pub(crate) fn into_error(self, first: u64, column: &str) -> Error {
        malformed(format!("row {}, column {column}: {}", first + self.slot as u64, self.reason))
    }
}

/// A day more than the years 0000 to 9999, because the limits are readings of a clock in some zone.
const MILLIS: std::ops::RangeInclusive<i64> = -62_167_219_200_000 - 86_400_000..=253_402_300_799_999 + 86_400_000;
/// 0000-01-01 to 9999-12-31.
const DAYS: std::ops::RangeInclusive<i32> = -719_528..=2_932_896;

/// Checks every value of `array`, which is in the engine form of `ty`, nested ones included. Without `limits` the length
/// of texts and the digits of decimals are known to be right.
pub(crate) fn column(ty: &DataType, array: &ArrayRef, limits: Option<&Limits>) -> Result<(), Problem> {
    match ty {
        DataType::Datetime => all::<TimestampMillisecondType>(
            array,
            |v| MILLIS.contains(&v),
            |v| format!("{v} milliseconds are outside the years 0000 to 9999 of datetime"),
        ),
        DataType::Date => all::<Date32Type>(
            array,
            |v| DAYS.contains(&v),
            |v| format!("day {v} is outside the years 0000 to 9999 of date"),
        ),
        DataType::Decimal(p, s) if limits.is_some() => all::<Decimal128Type>(
            array,
            |v| decimal::fits(v, *p),
            |v| format!("{v}E-{s} does not fit decimal({p},{s})"),
        ),
        DataType::String | DataType::Binary => lengths(array, limits),
        DataType::Varchar(n) | DataType::Char(n) => {
            lengths(array, limits)?;
            characters(ty, *n as usize, array)
        }
        DataType::Json => {
            lengths(array, limits)?;
            json(array)
        }
        DataType::Array(e) => {
            let list = array.as_list::<i32>();
            column(e, list.values(), limits).map_err(|p| p.lift(list.offsets()))
        }
        DataType::Map(k, v) => {
            let map = array.as_map();
            column(k, map.keys(), limits).map_err(|p| p.lift(map.offsets()))?;
            column(v, map.values(), limits).map_err(|p| p.lift(map.offsets()))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            fields.iter().zip(columns).try_for_each(|((_, ty), array)| column(ty, array, limits))
        }
        _ => Ok(()),
    }
}

/// Checks that a column which is NOT NULL holds none.
pub(crate) fn nullable(nullable: bool, array: &ArrayRef) -> Result<(), Problem> {
    let nulls = array.nulls().filter(|n| !nullable && n.null_count() > 0);
    match nulls.and_then(|n| (0..n.len()).find(|&slot| n.is_null(slot))) {
        Some(slot) => Err(Problem { slot, reason: "NULL is not allowed here".into() }),
        None => Ok(()),
    }
}

fn all<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    good: impl Fn(T::Native) -> bool,
    reason: impl Fn(T::Native) -> String,
) -> Result<(), Problem> {
    let array = array.as_primitive::<T>();
    // Without a branch per value first; what stands under a NULL may be anything, so look closer only then.
    if array.values().iter().fold(true, |ok, &v| ok & good(v)) {
        return Ok(());
    }
    let bad = array.iter().enumerate().find_map(|(slot, v)| v.filter(|&v| !good(v)).map(|v| (slot, v)));
    bad.map_or(Ok(()), |(slot, v)| Err(Problem { slot, reason: reason(v) }))
}

/// Values of an array of text or bytes that are longer than `n` bytes.
fn longer(array: &ArrayRef, n: usize) -> impl Iterator<Item = usize> + '_ {
    let offsets = match array.as_string_opt::<i32>() {
        Some(text) => text.value_offsets(),
        None => array.as_binary::<i32>().value_offsets(),
    };
    let spans = offsets.windows(2).enumerate();
    spans.filter(move |(_, w)| (w[1] - w[0]) as usize > n).map(|(slot, _)| slot).filter(|&slot| array.is_valid(slot))
}

fn lengths(array: &ArrayRef, limits: Option<&Limits>) -> Result<(), Problem> {
    let Some(n) = limits.map(|limits| limits.max_field_bytes) else { return Ok(()) };
    match longer(array, n).next() {
        Some(slot) => Err(Problem { slot, reason: format!("the value is larger than the {n} bytes a field may have") }),
        None => Ok(()),
    }
}

fn characters(ty: &DataType, n: usize, array: &ArrayRef) -> Result<(), Problem> {
    let text = array.as_string::<i32>();
    for slot in longer(array, n) {
        let value = text.value(slot);
        // Blanks at the end of a CHAR mean nothing.
        let value = if matches!(ty, DataType::Char(_)) { value.trim_end_matches(' ') } else { value };
        let count = value.chars().count();
        if count > n {
            return Err(Problem { slot, reason: format!("{count} characters do not fit {ty}") });
        }
    }
    Ok(())
}

fn json(array: &ArrayRef) -> Result<(), Problem> {
    for (slot, value) in array.as_string::<i32>().iter().enumerate() {
        let Some(value) = value else { continue };
        if let Err(e) = serde_json::from_str::<serde::de::IgnoredAny>(value) {
            return Err(Problem { slot, reason: format!("the value is not JSON: {e}") });
        }
    }
    Ok(())
}
