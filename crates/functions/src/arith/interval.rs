//! Times and spans of time: DATE, DATETIME and TIMESTAMP plus or minus INTERVAL, and the span between two times.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Datum, DurationNanosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit,
    TimestampMillisecondType, TimestampNanosecondType,
};
use chrono::{Duration, NaiveDateTime};

use super::Op;
use crate::coercion::{is_time, type_name};
use crate::error::FunctionError;
use crate::options::Context;
use crate::time::{add_months, date_of_days, days_of, instant_of, local_of_millis, local_of_nanos};

const DAY: i64 = 86_400_000_000_000;

/// A span: calendar months, calendar days, and nanoseconds.
#[derive(Clone, Copy)]
struct Span {
    months: i64,
    days: i64,
    nanos: i64,
}

fn span(array: &dyn Array, row: usize) -> Option<Span> {
    let plain = |nanos: i64| Span { months: 0, days: 0, nanos };
    Some(match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let v = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            Span { months: v.months.into(), days: v.days.into(), nanos: v.nanoseconds }
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            Span { months: array.as_primitive::<IntervalYearMonthType>().value(row).into(), days: 0, nanos: 0 }
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let v = array.as_primitive::<IntervalDayTimeType>().value(row);
            Span { months: 0, days: v.days.into(), nanos: i64::from(v.milliseconds) * 1_000_000 }
        }
        DataType::Duration(TimeUnit::Nanosecond) => plain(array.as_primitive::<DurationNanosecondType>().value(row)),
        DataType::Duration(TimeUnit::Microsecond) => {
            plain(array.as_primitive::<DurationMicrosecondType>().value(row).checked_mul(1_000)?)
        }
        DataType::Duration(TimeUnit::Millisecond) => {
            plain(array.as_primitive::<DurationMillisecondType>().value(row).checked_mul(1_000_000)?)
        }
        DataType::Duration(TimeUnit::Second) => {
            plain(array.as_primitive::<DurationSecondType>().value(row).checked_mul(1_000_000_000)?)
        }
        _ => return None,
    })
}

/// A row of a time column in its own unit: days, milliseconds or nanoseconds.
fn raw(array: &dyn Array, row: usize) -> i64 {
    match array.data_type() {
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).into(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => array.as_primitive::<TimestampMillisecondType>().value(row),
        _ => array.as_primitive::<TimestampNanosecondType>().value(row),
    }
}

fn shift(value: i64, ty: &DataType, by: Span, sign: i64, context: &Context) -> Option<i64> {
    let calendar = |local: NaiveDateTime| {
        add_months(local, by.months * sign)?.checked_add_signed(Duration::try_days(by.days * sign)?)
    };
    let nanos = by.nanos.checked_mul(sign)?;
    match ty {
        DataType::Date32 => {
            let day = calendar(date_of_days(i32::try_from(value).ok()?)?.and_hms_opt(0, 0, 0)?)?;
            Some(i64::from(days_of(day.date())) + nanos.div_euclid(DAY))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let moved = if by.months == 0 && by.days == 0 {
                value
            } else {
                instant_of(calendar(local_of_millis(value, context.zone)?)?, context.zone).timestamp_millis()
            };
            moved.checked_add(nanos.div_euclid(1_000_000))
        }
        DataType::Timestamp(_, zoned) => {
            let zone = if zoned.is_some() { context.zone } else { chrono_tz::UTC };
            let moved = if by.months == 0 && by.days == 0 {
                value
            } else {
                instant_of(calendar(local_of_nanos(value, zone))?, zone).timestamp_nanos_opt()?
            };
            moved.checked_add(nanos)
        }
        _ => None,
    }
}

pub(super) fn compute(op: Op, l: &dyn Datum, r: &dyn Datum, context: &Context) -> Result<ArrayRef, FunctionError> {
    let ((la, ls), (ra, rs)) = (l.get(), r.get());
    let rows = if ls { ra.len() } else { la.len() };
    let at = |i: usize| (if ls { 0 } else { i }, if rs { 0 } else { i });
    let range = || FunctionError::overflow(format!("time out of range in operator '{}'", op.sign()));
    let value = |i: usize| -> Result<Option<i64>, FunctionError> {
        let (i, j) = at(i);
        if la.is_null(i) || ra.is_null(j) {
            return Ok(None);
        }
        let sign = if op == Op::Minus { -1 } else { 1 };
        let out = match (is_time(la.data_type()), is_time(ra.data_type())) {
            (true, true) => {
                let unit = match la.data_type() {
                    DataType::Date32 => DAY,
                    DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
                    _ => 1,
                };
                raw(la, i).checked_sub(raw(ra, j)).and_then(|d| d.checked_mul(unit))
            }
            (true, false) => span(ra, j).and_then(|s| shift(raw(la, i), la.data_type(), s, sign, context)),
            _ => span(la, i).and_then(|s| shift(raw(ra, j), ra.data_type(), s, sign, context)),
        };
        out.map(Some).ok_or_else(range)
    };
    let values = (0..rows).map(value).collect::<Result<Vec<_>, _>>()?;
    let both = is_time(la.data_type()) && is_time(ra.data_type());
    let ty = if is_time(la.data_type()) { la.data_type() } else { ra.data_type() };
    Ok(match ty {
        _ if both => Arc::new(DurationNanosecondArray::from(values)),
        DataType::Date32 => {
            let days = values.into_iter().map(|v| v.map(|v| i32::try_from(v).map_err(|_| range())).transpose());
            Arc::new(days.collect::<Result<Date32Array, _>>()?)
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            Arc::new(TimestampMillisecondArray::from(values).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            Arc::new(TimestampNanosecondArray::from(values).with_timezone_opt(zone.clone()))
        }
        other => return Err(FunctionError::semantic(format!("invalid operand type {}", type_name(other)))),
    })
}
