//! HASH and SAMPLE: the hash by which Hive puts rows into buckets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampNanosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;

use crate::coercion::{Param, type_name};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns};

pub(crate) const DOCS: &[Entry] = &[
    ("hash", "hash(value, …)", "A whole number that equal values share; the hash of Hive."),
    ("sample", "sample(n[, k[, value, …]])", "TRUE for one row in n: bucket k of the values' hash, or by chance."),
];

pub(crate) fn functions() -> Vec<Function> {
    use Param::{Any, Big};
    vec![
        Function::new("hash", &[Any], Returns::Type(DataType0::Big), hash).rest(Any),
        Function::new("sample", &[Big], Returns::Type(DataType0::Bool), sample)
            .optional(&[Big])
            .rest(Any)
            .volatility(Volatility::Volatile),
    ]
}

fn fold(v: u64) -> i32 {
    (v ^ (v >> 32)) as i32
}

/// java.math.BigDecimal: 31 times the hash of the digits, plus the scale. Trailing zeros do not count.
fn decimal(value: i128, scale: i8) -> i32 {
    let (mut value, mut scale) = (value, i32::from(scale));
    while value != 0 && value % 10 == 0 && scale > 0 {
        value /= 10;
        scale -= 1;
    }
    if value == 0 {
        return 0;
    }
    let magnitude = value.unsigned_abs();
    let words = (0..4).rev().map(|n| (magnitude >> (32 * n)) as u32 as i32).skip_while(|w| *w == 0);
    let hash = words.fold(0i32, |h, w| h.wrapping_mul(31).wrapping_add(w));
    let hash = if value < 0 { hash.wrapping_neg() } else { hash };
    hash.wrapping_mul(31).wrapping_add(scale)
}

/// The hash of every row of one column; NULL is 0. Apache Hive, `ObjectInspectorUtils.hashCode`.
fn column(call: &Call<'_>, at: usize) -> Result<Vec<i32>> {
    let array = call.array(at)?;
    let each = |f: &dyn Fn(usize) -> i32| -> Vec<i32> {
        (0..array.len()).map(|i| if array.is_valid(i) { f(i) } else { 0 }).collect()
    };
    Ok(match array.data_type() {
        DataType::Null => vec![0; array.len()],
        DataType::Boolean => each(&|i| i32::from(array.as_boolean().value(i))),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => {
            let v = cast(&array, &DataType::Int32)?;
            each(&|i| v.as_primitive::<Int32Type>().value(i))
        }
        DataType::Int64 => each(&|i| fold(array.as_primitive::<Int64Type>().value(i) as u64)),
        DataType::Float32 => each(&|i| array.as_primitive::<Float32Type>().value(i).to_bits() as i32),
        DataType::Float64 => each(&|i| fold(array.as_primitive::<Float64Type>().value(i).to_bits())),
        DataType::Decimal128(_, s) => each(&|i| decimal(array.as_primitive::<Decimal128Type>().value(i), *s)),
        DataType::Date32 => each(&|i| array.as_primitive::<Date32Type>().value(i)),
        DataType::Timestamp(_, zone) => {
            let ns = cast(&array, &DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))?;
            each(&|i| {
                let ns = ns.as_primitive::<TimestampNanosecondType>().value(i);
                fold(((ns.div_euclid(1_000_000_000) as u64) << 30) | ns.rem_euclid(1_000_000_000) as u64)
            })
        }
        DataType::Utf8 | DataType::Binary => {
            let bytes = crate::cast::binary(&array)?;
            let add = |h: i32, b: &u8| h.wrapping_mul(31).wrapping_add(i32::from(*b as i8));
            each(&|i| bytes.value(i).iter().fold(0, add))
        }
        other => return Err(FunctionError::argument_type(call.name, at + 1, &type_name(other), "a scalar type").into()),
    })
}

fn hash_of(call: &Call<'_>, from: usize) -> Result<Vec<i32>> {
    let mut all = vec![0i32; call.rows];
    for at in from..call.count() {
        for (hash, value) in all.iter_mut().zip(column(call, at)?) {
            *hash = hash.wrapping_mul(31).wrapping_add(value);
        }
    }
    Ok(all)
}

/// MaxCompute documentation of HASH: a BIGINT outside Hive's mode; `hash(0, 2, 4)` is 66.
fn hash(call: &Call<'_>) -> Result<ArrayRef> {
    let all = hash_of(call, 0)?.into_iter().map(i64::from);
    Ok(Arc::new(Int64Array::from_iter_values(all)))
}

/// MaxCompute documentation of SAMPLE: n parts, the k-th of them (the first if k is not given).
fn sample(call: &Call<'_>) -> Result<ArrayRef> {
    static ROW: AtomicU64 = AtomicU64::new(0);
    let (parts, part) = (call.bigs(0)?, call.bigs_or(1, 1)?);
    let hashes = if call.count() > 2 { Some(hash_of(call, 2)?) } else { None };
    let first = ROW.fetch_add(call.rows as u64, Ordering::Relaxed);
    call.make_bool(|i| {
        let (Some(parts), Some(part)) = (parts.get(i), part.get(i)) else { return Ok(None) };
        if parts < 1 || !(1..=parts).contains(&part) {
            return Err(FunctionError::range(format!("sample: part {part} of {parts}")).into());
        }
        let at = match &hashes {
            Some(hashes) => i64::from(hashes[i] & i32::MAX),
            None => (crate::math::mix(call.context.seed, first.wrapping_add(i as u64)) >> 1) as i64,
        };
        Ok(Some(at % parts == part - 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Java: new BigDecimal("1.5").hashCode() is 31 * 15 + 1, and of -1.5 it is 31 * -15 + 1.
    #[test]
    fn decimals_hash_as_in_java() {
        assert_eq!(decimal(150, 2), 466);
        assert_eq!(decimal(-150, 2), -464);
        assert_eq!(decimal(0, 5), 0);
        assert_eq!(fold(1u64 << 32 | 1), 0);
    }
}
