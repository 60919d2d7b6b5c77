//! Values as the text that MaxCompute shows for them.
//!
//! | type | text |
//! |---|---|
//! | BOOLEAN, whole numbers | `true`, `-7` |
//! | FLOAT, DOUBLE | shortest digits that read back, `1.0`, `1e20`, `NaN`, `Infinity` |
//! | DECIMAL | no zeros at the end of the fraction: `1.5` |
//! | DATE, DATETIME | `2024-01-02`, `2024-01-02 03:04:05` in the session's zone, milliseconds not shown |
//! | TIMESTAMP, TIMESTAMP_NTZ | as DATETIME with up to nine digits of fraction; NTZ without a zone |
//! | BINARY | printable ASCII, other bytes and `=` as `=E4` |
//! | INTERVAL_DAY_TIME, INTERVAL_YEAR_MONTH | `1 02:03:04.000000005`, `16-8` |
//! | ARRAY, MAP, STRUCT | `[a, b]`, `{k:v, l:w}`, `{f:v}`; text inside in double quotes, NULL inside as `\N` |

use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, DurationNanosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{Array, PrimitiveArray};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use feitian_base::{Error, Result};
use feitian_types::DataType;

use crate::decimal;

/// What stands for NULL.
pub const NULL: &str = "\\N";

/// The values of one array, ready to be written as text.
pub struct TextColumn<'a> {
    ty: &'a DataType,
    array: &'a dyn Array,
    kind: Kind<'a>,
    zone: Tz,
}

enum Kind<'a> {
    Plain(Write<'a>),
    Text,
    List(Box<TextColumn<'a>>),
    Map(Box<TextColumn<'a>>, Box<TextColumn<'a>>),
    Struct(Vec<(&'a str, TextColumn<'a>)>),
}

type Write<'a> = Box<dyn Fn(usize, &mut String) -> Result<()> + 'a>;

/// The text of the value in `row`; `None` for NULL. `zone` is the session's, for DATETIME and TIMESTAMP.
///
/// Fails if `array` is not the engine form of `ty`, or a time lies beyond the calendar. For many values of one array make
/// a [`TextColumn`] once.
pub fn to_text(ty: &DataType, array: &dyn Array, row: usize, zone: Tz) -> Result<Option<String>> {
    let column = TextColumn::new(ty, array, zone)?;
    if array.is_null(row) {
        return Ok(None);
    }
    let mut out = String::new();
    column.write(row, &mut out)?;
    Ok(Some(out))
}

impl<'a> TextColumn<'a> {
    /// Fails if `array` is not the engine form of `ty`.
    pub fn new(ty: &'a DataType, array: &'a dyn Array, zone: Tz) -> Result<Self> {
        let wrong = || Error::internal(format!("{} is not the engine form of {ty}", array.data_type()));
        Ok(Self { ty, array, kind: Kind::new(ty, array, zone)?.ok_or_else(wrong)?, zone })
    }

    /// True if the value in `row` is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }

    /// Appends the text of the value in `row`; nothing may be expected of a NULL.
    pub fn write(&self, row: usize, out: &mut String) -> Result<()> {
        match &self.kind {
            Kind::Plain(write) => write(row, out),
            Kind::Text => {
                out.push_str(self.array.as_string::<i32>().value(row));
                Ok(())
            }
            Kind::List(items) => {
                let offsets = self.array.as_list::<i32>().value_offsets();
                out.push('[');
                for (i, slot) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    items.write_inside(slot, out)?;
                }
                out.push(']');
                Ok(())
            }
            Kind::Map(keys, values) => {
                let offsets = self.array.as_map().value_offsets();
                out.push('{');
                for (i, slot) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    keys.write_inside(slot, out)?;
                    out.push(':');
                    values.write_inside(slot, out)?;
                }
                out.push('}');
                Ok(())
            }
            Kind::Struct(fields) => {
                out.push('{');
                for (i, (name, field)) in fields.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    out.push_str(name);
                    out.push(':');
                    field.write_inside(row, out)?;
                }
                out.push('}');
                Ok(())
            }
        }
    }

    /// A value inside a collection: NULL as [`NULL`], text in quotes.
    fn write_inside(&self, row: usize, out: &mut String) -> Result<()> {
        if self.is_null(row) {
            out.push_str(NULL);
            return Ok(());
        }
        if !self.ty.is_text() {
            return self.write(row, out);
        }
        out.push('"');
        out.push_str(&self.array.as_string::<i32>().value(row).replace('"', "\\\""));
        out.push('"');
        Ok(())
    }

    /// The zone that times are shown in.
    pub fn zone(&self) -> Tz {
        self.zone
    }
}

impl<'a> Kind<'a> {
    fn new(ty: &'a DataType, array: &'a dyn Array, zone: Tz) -> Result<Option<Self>> {
        let inner = |ty, array| TextColumn::new(ty, array, zone).map(Box::new);
        Ok(Some(match ty {
            DataType::Array(e) => match array.as_list_opt::<i32>() {
                Some(list) => Self::List(inner(e, list.values())?),
                None => return Ok(None),
            },
            DataType::Map(k, v) => match array.as_map_opt() {
                Some(map) => Self::Map(inner(k, map.keys())?, inner(v, map.values())?),
                None => return Ok(None),
            },
            DataType::Struct(fields) => match array.as_struct_opt() {
                Some(row) if row.num_columns() == fields.len() => {
                    let field = |((name, ty), array): (&'a (String, DataType), &'a arrow_array::ArrayRef)| {
                        Ok((name.as_str(), TextColumn::new(ty, array, zone)?))
                    };
                    Self::Struct(fields.iter().zip(row.columns()).map(field).collect::<Result<_>>()?)
                }
                _ => return Ok(None),
            },
            ty if ty.is_text() => match array.as_string_opt::<i32>() {
                Some(_) => Self::Text,
                None => return Ok(None),
            },
            ty => return Ok(plain(ty, array, zone).map(Self::Plain)),
        }))
    }
}

/// A writer of the values of `array`, which must be of type `T`.
fn each<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    write: impl Fn(T::Native, &mut String) -> Result<()> + 'a,
) -> Option<Write<'a>> {
    let array = array.as_any().downcast_ref::<PrimitiveArray<T>>()?;
    Some(Box::new(move |row, out| write(array.value(row), out)))
}

fn show(out: &mut String, value: impl std::fmt::Display) -> Result<()> {
    write!(out, "{value}").map_err(|_| Error::internal("writing to a string failed"))
}

fn plain<'a>(ty: &DataType, array: &'a dyn Array, zone: Tz) -> Option<Write<'a>> {
    match ty {
        DataType::TinyInt => each::<Int8Type>(array, |v, out| show(out, v)),
        DataType::SmallInt => each::<Int16Type>(array, |v, out| show(out, v)),
        DataType::Int => each::<Int32Type>(array, |v, out| show(out, v)),
        DataType::BigInt => each::<Int64Type>(array, |v, out| show(out, v)),
        DataType::Float => each::<Float32Type>(array, |v, out| float(v.into(), format_args!("{v:?}"), out)),
        DataType::Double => each::<Float64Type>(array, |v, out| float(v, format_args!("{v:?}"), out)),
        DataType::Boolean => {
            let array = array.as_boolean_opt()?;
            Some(Box::new(move |row, out| show(out, array.value(row))))
        }
        DataType::Binary => {
            let array = array.as_binary_opt::<i32>()?;
            Some(Box::new(move |row, out| binary(array.value(row), out)))
        }
        DataType::Decimal(_, scale) => {
            let scale = usize::from(*scale);
            each::<Decimal128Type>(array, move |v, out| {
                let mut buf = [0; decimal::TEXT_MAX];
                let text = std::str::from_utf8(decimal::format(v, scale, &mut buf)).unwrap_or_default();
                show(out, if scale > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { text })
            })
        }
        DataType::Date => each::<Date32Type>(array, |v, out| {
            let day = DateTime::UNIX_EPOCH.checked_add_signed(TimeDelta::days(v.into()));
            show(out, day.ok_or_else(|| beyond(v.into(), "days"))?.format("%Y-%m-%d"))
        }),
        DataType::Datetime => each::<TimestampMillisecondType>(array, move |v, out| {
            let time = DateTime::from_timestamp_millis(v).ok_or_else(|| beyond(v, "milliseconds"))?;
            show(out, time.with_timezone(&zone).naive_local().format("%Y-%m-%d %H:%M:%S"))
        }),
        DataType::Timestamp => each::<TimestampNanosecondType>(array, move |v, out| {
            timestamp(DateTime::<Utc>::from_timestamp_nanos(v).with_timezone(&zone).naive_local(), out)
        }),
        DataType::TimestampNtz => each::<TimestampNanosecondType>(array, |v, out| {
            timestamp(DateTime::<Utc>::from_timestamp_nanos(v).naive_utc(), out)
        }),
        DataType::IntervalDayTime => each::<DurationNanosecondType>(array, day_time),
        DataType::IntervalYearMonth => each::<IntervalYearMonthType>(array, |v, out| {
            let (sign, months) = (if v < 0 { "-" } else { "" }, v.unsigned_abs());
            show(out, format_args!("{sign}{}-{}", months / 12, months % 12))
        }),
        _ => None,
    }
}

fn beyond(value: i64, unit: &str) -> Error {
    Error::invalid(format!("{value} {unit} from 1970 lie beyond the calendar"))
}

fn float(value: f64, shortest: std::fmt::Arguments<'_>, out: &mut String) -> Result<()> {
    match value {
        v if v == f64::INFINITY => show(out, "Infinity"),
        v if v == f64::NEG_INFINITY => show(out, "-Infinity"),
        _ => show(out, shortest),
    }
}

fn binary(bytes: &[u8], out: &mut String) -> Result<()> {
    for &b in bytes {
        match b {
            b' '..=b'~' if b != b'=' => out.push(b.into()),
            _ => show(out, format_args!("={b:02X}"))?,
        }
    }
    Ok(())
}

fn timestamp(time: NaiveDateTime, out: &mut String) -> Result<()> {
    show(out, time.format("%Y-%m-%d %H:%M:%S"))?;
    let nanos = time.nanosecond();
    if nanos > 0 {
        show(out, format!(".{nanos:09}").trim_end_matches('0'))?;
    }
    Ok(())
}

fn day_time(nanos: i64, out: &mut String) -> Result<()> {
    const SECOND: u64 = 1_000_000_000;
    let (sign, rest) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let (seconds, nanos) = (rest / SECOND, rest % SECOND);
    let (days, h, m, s) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    show(out, format_args!("{sign}{days} {h:02}:{m:02}:{s:02}.{nanos:09}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BinaryArray, Date32Array, Decimal128Array, DurationNanosecondArray, Float32Array, Float64Array,
        IntervalYearMonthArray, StringArray, TimestampMillisecondArray, TimestampNanosecondArray,
    };

    use super::*;

    fn shown(ty: &str, array: impl Array + 'static) -> Vec<Option<String>> {
        let ty = DataType::parse(ty).unwrap();
        let array: ArrayRef = Arc::new(array);
        (0..array.len()).map(|row| to_text(&ty, &array, row, Tz::Asia__Shanghai).unwrap()).collect()
    }

    // 1704135845 seconds are 2024-01-01 19:04:05 UTC (`date -u -d @1704135845`), 8 hours later in Shanghai; before 1901
    // Shanghai was at +08:05:43 (tz database, Asia/Shanghai, local mean time).
    #[test]
    fn times_are_shown_in_the_session_zone() {
        let millis = TimestampMillisecondArray::from(vec![Some(1_704_135_845_678), None, Some(-2_208_988_800_000)]);
        assert_eq!(
            shown("datetime", millis),
            [Some("2024-01-02 03:04:05".into()), None, Some("1900-01-01 08:05:43".into())]
        );
        let nanos = TimestampNanosecondArray::from(vec![1_704_135_845_000_000_000, 1_704_135_845_120_000_000, -1]);
        assert_eq!(
            shown("timestamp", nanos.clone()),
            ["2024-01-02 03:04:05", "2024-01-02 03:04:05.12", "1970-01-01 07:59:59.999999999"].map(|t| Some(t.into()))
        );
        assert_eq!(shown("timestamp_ntz", nanos)[0].as_deref(), Some("2024-01-01 19:04:05"));
        assert_eq!(
            shown("date", Date32Array::from(vec![2, -719_528])),
            [Some("1970-01-03".into()), Some("0000-01-01".into())]
        );
        let ty = DataType::Datetime;
        assert!(to_text(&ty, &TimestampMillisecondArray::from(vec![i64::MAX]), 0, Tz::UTC).is_err());
    }

    // `16-8` for 200 months: MaxCompute documentation, "INTERVAL data type".
    #[test]
    fn numbers_and_intervals_are_shown_as_documented() {
        let some = |texts: &[&str]| texts.iter().map(|t| Some(t.to_string())).collect::<Vec<_>>();
        assert_eq!(shown("interval_year_month", IntervalYearMonthArray::from(vec![200, -40])), some(&["16-8", "-3-4"]));
        let spans = DurationNanosecondArray::from(vec![93_784_000_000_005, -1]);
        assert_eq!(shown("interval_day_time", spans), some(&["1 02:03:04.000000005", "-0 00:00:00.000000001"]));
        let doubles = Float64Array::from(vec![1.0, 0.1, 1e20, f64::NAN, f64::NEG_INFINITY]);
        assert_eq!(shown("double", doubles), some(&["1.0", "0.1", "1e20", "NaN", "-Infinity"]));
        assert_eq!(shown("float", Float32Array::from(vec![0.1])), some(&["0.1"]));
        let decimals = Decimal128Array::from(vec![150, 100, -5]).with_precision_and_scale(10, 2).unwrap();
        assert_eq!(shown("decimal(10,2)", decimals), some(&["1.5", "1", "-0.05"]));
        let whole = Decimal128Array::from(vec![100]).with_precision_and_scale(10, 0).unwrap();
        assert_eq!(shown("decimal(10,0)", whole), some(&["100"]));
        assert_eq!(shown("binary", BinaryArray::from(vec![&b"a=\xe4"[..]])), some(&["a=3D=E4"]));
    }

    #[test]
    fn a_wrong_array_is_named() {
        let e = to_text(&DataType::BigInt, &StringArray::from(vec!["x"]), 0, Tz::UTC).unwrap_err();
        assert_eq!(e.message(), "Utf8 is not the engine form of bigint");
    }
}
