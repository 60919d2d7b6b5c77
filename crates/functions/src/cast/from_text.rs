//! STRING to every scalar type.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, PrimitiveArray, StringArray,
    TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::Result;
use feitian_types::DataType as OdpsType;

use super::capital;
use crate::error::FunctionError;
use crate::options::Context;
use crate::time::{days_of, instant_of, millis_of, nanos_of, parse_date, parse_datetime, parse_timestamp};

/// `texts` as `to`. What is no such value is an error when `context.strict`, else NULL.
pub(super) fn parse(texts: &StringArray, to: &OdpsType, context: &Context) -> Result<ArrayRef> {
    let zone = context.zone;
    Ok(match to {
        OdpsType::TinyInt => integers::<Int8Type>(texts, to, context)?,
        OdpsType::SmallInt => integers::<Int16Type>(texts, to, context)?,
        OdpsType::Int => integers::<Int32Type>(texts, to, context)?,
        OdpsType::BigInt => integers::<Int64Type>(texts, to, context)?,
        OdpsType::Double => numbers::<Float64Type>(texts, to, context, |s| s.trim().parse().ok())?,
        OdpsType::Float => numbers::<Float32Type>(texts, to, context, |s| s.trim().parse().ok())?,
        OdpsType::Decimal(p, s) => {
            let values = each(texts, to, context, |t| parse_decimal(t, *p, *s))?;
            Arc::new(values.into_iter().collect::<Decimal128Array>().with_precision_and_scale(*p, *s as i8)?)
        }
        OdpsType::Boolean => Arc::new(BooleanArray::from(each(texts, to, context, parse_bool)?)),
        OdpsType::Binary => Arc::new(texts.iter().map(|t| t.map(str::as_bytes)).collect::<BinaryArray>()),
        OdpsType::Date => Arc::new(Date32Array::from(each(texts, to, context, |t| parse_date(t).map(days_of))?)),
        OdpsType::Datetime => {
            let ms = each(texts, to, context, |t| parse_datetime(t).map(|t| millis_of(t, zone)))?;
            Arc::new(TimestampMillisecondArray::from(ms).with_timezone("UTC"))
        }
        OdpsType::Timestamp => {
            let ns = each(texts, to, context, |t| nanos_of(parse_timestamp(t)?, zone))?;
            Arc::new(TimestampNanosecondArray::from(ns).with_timezone("UTC"))
        }
        OdpsType::TimestampNtz => {
            let utc = |t: &str| instant_of(parse_timestamp(t)?, chrono_tz::UTC).timestamp_nanos_opt();
            Arc::new(TimestampNanosecondArray::from(each(texts, to, context, utc)?))
        }
        other => return Err(FunctionError::semantic(format!("STRING cannot be cast to {other}")).into()),
    })
}

fn each<T>(
    texts: &StringArray,
    to: &OdpsType,
    context: &Context,
    f: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>> {
    let convert = |text: Option<&str>| match text {
        None => Ok(None),
        Some(text) => match f(text) {
            Some(value) => Ok(Some(value)),
            None if context.strict => Err(FunctionError::cast(text, "String", &capital(&to.to_string())).into()),
            None => Ok(None),
        },
    };
    texts.iter().map(convert).collect()
}

fn numbers<T: ArrowPrimitiveType>(
    texts: &StringArray,
    to: &OdpsType,
    context: &Context,
    f: impl Fn(&str) -> Option<T::Native>,
) -> Result<ArrayRef> {
    Ok(Arc::new(each(texts, to, context, f)?.into_iter().collect::<PrimitiveArray<T>>()))
}

/// Whole numbers are exact; `1.6` goes through DOUBLE and loses its fraction.
fn integers<T>(texts: &StringArray, to: &OdpsType, context: &Context) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i64>,
{
    let convert = |text: &str| {
        let text = text.trim();
        let whole = text.parse::<i64>().ok().or_else(|| {
            let v = text.parse::<f64>().ok()?.trunc();
            // Beyond 2^63 a float is no BIGINT; NaN compares false.
            (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v).then_some(v as i64)
        })?;
        T::Native::try_from(whole).ok()
    };
    numbers::<T>(texts, to, context, convert)
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// `text` as an integer count of `10^-scale`, rounded half away from zero; `None` if it does not fit `precision`.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let text = text.trim();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // Digit `i` of whole and fraction together counts 10^(point - 1 - i).
    let point = whole.len() as i64 + i64::from(exponent);
    let keep = point + i64::from(scale);
    let mut value: i128 = 0;
    let mut round_up = false;
    let mut count: i64 = 0;
    for b in whole.bytes().chain(fraction.bytes()) {
        if !b.is_ascii_digit() {
            return None;
        }
        if count < keep {
            value = value.checked_mul(10)?.checked_add(i128::from(b - b'0'))?;
        } else if count == keep {
            round_up = b >= b'5';
        }
        count += 1;
    }
    for _ in count..keep.min(count + 64) {
        value = value.checked_mul(10)?;
    }
    if value != 0 && keep > count + 64 {
        return None;
    }
    value = value.checked_add(i128::from(round_up))?;
    let limit = 10i128.checked_pow(u32::from(precision))?;
    (value < limit).then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Arithmetic.
    #[test]
    fn decimals_are_read_digit_by_digit() {
        assert_eq!(parse_decimal("1.005", 10, 2), Some(101));
        assert_eq!(parse_decimal("-1.5", 10, 2), Some(-150));
        assert_eq!(parse_decimal("1e3", 10, 2), Some(100_000));
        assert_eq!(parse_decimal("12.5e-1", 10, 2), Some(125));
        assert_eq!(parse_decimal("0.004", 10, 2), Some(0));
        assert_eq!(parse_decimal("100", 4, 2), None);
        for bad in ["", ".", "-", "1x", "1e", "1e99999999999", "0x10"] {
            assert_eq!(parse_decimal(bad, 38, 18), None, "{bad}");
        }
        assert_eq!(parse_decimal("0e2000000000", 38, 18), Some(0));
    }
}
