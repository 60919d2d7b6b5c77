//! The text form of every scalar type, as CAST to STRING and string functions see it.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, TimeUnit, TimestampMillisecondType,
    TimestampNanosecondType,
};
use datafusion::common::Result;

use crate::coercion::type_name;
use crate::error::FunctionError;
use crate::options::Context;
use crate::time::{date_of_days, date_text, datetime_text, local_of_millis, local_of_nanos, timestamp_text};

/// `array` as text; rows whose value has no text form are an error.
pub(crate) fn texts(array: &ArrayRef, from: &DataType, context: &Context) -> Result<StringArray> {
    let n = array.len();
    let each = |f: &dyn Fn(usize) -> Option<String>| -> StringArray {
        (0..n).map(|i| if array.is_valid(i) { f(i) } else { None }).collect()
    };
    let out = match from {
        DataType::Null => each(&|_| None),
        DataType::Boolean => {
            let b = array.as_boolean();
            each(&|i| Some(if b.value(i) { "TRUE" } else { "FALSE" }.to_string()))
        }
        DataType::Float64 => {
            let v = array.as_primitive::<Float64Type>();
            each(&|i| Some(double_text(v.value(i))))
        }
        DataType::Float32 => {
            let v = array.as_primitive::<Float32Type>();
            each(&|i| Some(shape(format!("{:?}", v.value(i)))))
        }
        DataType::Decimal128(_, scale) => {
            let v = array.as_primitive::<Decimal128Type>();
            each(&|i| Some(decimal_text(v.value(i), *scale)))
        }
        DataType::Date32 => {
            let v = array.as_primitive::<Date32Type>();
            each(&|i| date_of_days(v.value(i)).map(date_text))
        }
        DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => {
            let v = array.as_primitive::<TimestampMillisecondType>();
            each(&|i| local_of_millis(v.value(i), context.zone).map(datetime_text))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zoned) => {
            let v = array.as_primitive::<TimestampNanosecondType>();
            let zone = if zoned.is_some() { context.zone } else { chrono_tz::UTC };
            each(&|i| Some(timestamp_text(local_of_nanos(v.value(i), zone))))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let bytes = super::binary(array)?;
            let decode = |b: Option<&[u8]>| match b {
                None => Ok(None),
                Some(b) => match std::str::from_utf8(b) {
                    Ok(text) => Ok(Some(text.to_string())),
                    Err(_) if context.strict => Err(FunctionError::cast(&hex(b), "Binary", "String")),
                    Err(_) => Ok(None),
                },
            };
            bytes.iter().map(decode).collect::<Result<StringArray, _>>()?
        }
        f if f.is_numeric() || matches!(f, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            arrow::compute::cast(array, &DataType::Utf8)?.as_string::<i32>().clone()
        }
        other => return Err(FunctionError::semantic(format!("{} cannot be cast to STRING", type_name(other))).into()),
    };
    Ok(out)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut s, b| {
        let _ = write!(s, "{b:02X}");
        s
    })
}

/// A DOUBLE as text: as many digits as tell it apart, always with a fraction or an exponent.
pub fn double_text(v: f64) -> String {
    shape(format!("{v:?}"))
}

/// Turns Rust's form of a float into C's: `1e16` becomes `1e+16`, `1e-7` becomes `1e-07`, `inf` becomes `Infinity`.
fn shape(text: String) -> String {
    match text.as_str() {
        "inf" => return "Infinity".to_string(),
        "-inf" => return "-Infinity".to_string(),
        _ => {}
    }
    match text.split_once('e') {
        None => text,
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(d) => ('-', d),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
    }
}

/// A DECIMAL as text, without trailing zeros (`odps.sql.decimal.tostring.trimzero` is on by default).
pub(crate) fn decimal_text(value: i128, scale: i8) -> String {
    let scale = scale.max(0) as usize;
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // MaxCompute documentation: DOUBLE prints with a fractional part; DECIMAL text drops trailing zeros.
    #[test]
    fn numbers_print_as_maxcompute_prints_them() {
        assert_eq!(double_text(100.0), "100.0");
        assert_eq!(double_text(0.1), "0.1");
        assert_eq!(double_text(1e20), "1e+20");
        assert_eq!(decimal_text(150, 2), "1.5");
        assert_eq!(decimal_text(-100, 2), "-1");
        assert_eq!(decimal_text(5, 3), "0.005");
    }
}
