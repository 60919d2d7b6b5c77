//! Dates: parts, arithmetic by unit, truncation, and the clock of the statement.

mod parts;
mod text;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, TimestampMillisecondArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMillisecondType, TimestampNanosecondType};
use chrono::{Datelike, Duration, NaiveDateTime, NaiveTime, Timelike, Weekday};
use chrono_tz::Tz;
use datafusion::common::Result;

use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, Function, Texts};
use crate::time::{
    add_months, date_of_days, days_of, instant_of, local_of_millis, local_of_nanos, millis_of, nanos_of, parse_loose,
};

pub(crate) fn docs() -> Vec<Entry> {
    [parts::DOCS, text::DOCS].concat()
}

pub(crate) fn functions() -> Vec<Function> {
    let mut all = parts::functions();
    all.extend(text::functions());
    all
}

/// A unit of time as functions name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Milli,
    Micro,
    Nano,
}

impl Unit {
    fn parse(call: &Call<'_>, text: &str) -> Result<Self> {
        let lower = text.trim().to_lowercase();
        Ok(match lower.strip_prefix('-').unwrap_or(&lower) {
            "yyyy" | "year" => Self::Year,
            "q" | "quarter" => Self::Quarter,
            "mm" | "month" | "mon" => Self::Month,
            "w" | "week" | "isoweek" | "week(monday)" => Self::Week,
            "dd" | "day" => Self::Day,
            "hh" | "hour" => Self::Hour,
            "mi" | "minute" => Self::Minute,
            "ss" | "second" => Self::Second,
            "ff3" | "millisecond" => Self::Milli,
            "ff6" | "microsecond" => Self::Micro,
            "ff9" | "nanosecond" => Self::Nano,
            _ => return Err(FunctionError::arguments(format!("{}: unknown date part '{text}'", call.name)).into()),
        })
    }

    /// The unit that literal argument `index` names.
    pub(crate) fn of(call: &Call<'_>, index: usize) -> Result<Option<Self>> {
        call.literal_text(index)?.map(|text| Self::parse(call, &text)).transpose()
    }
}

/// A column of times as readings of the session's clock.
pub(crate) enum Times {
    Text(Texts),
    Array(ArrayRef),
}

impl Times {
    pub(crate) fn of(call: &Call<'_>, index: usize) -> Result<Self> {
        let array = call.array(index)?;
        Ok(match array.data_type() {
            DataType::Utf8 | DataType::Null => Self::Text(call.texts(index)?),
            _ => Self::Array(array),
        })
    }

    /// The reading in `row`; NULL and text that is no date give `None`.
    pub(crate) fn get(&self, row: usize, zone: Tz) -> Option<NaiveDateTime> {
        match self {
            Self::Text(texts) => parse_loose(texts.get(row)?),
            Self::Array(array) if array.is_null(row) => None,
            Self::Array(array) => match array.data_type() {
                DataType::Date32 => date_of_days(array.as_primitive::<Date32Type>().value(row))?.and_hms_opt(0, 0, 0),
                DataType::Timestamp(TimeUnit::Millisecond, _) => {
                    local_of_millis(array.as_primitive::<TimestampMillisecondType>().value(row), zone)
                }
                DataType::Timestamp(TimeUnit::Nanosecond, zoned) => {
                    let zone = if zoned.is_some() { zone } else { chrono_tz::UTC };
                    Some(local_of_nanos(array.as_primitive::<TimestampNanosecondType>().value(row), zone))
                }
                _ => None,
            },
        }
    }

    /// The text in `row`, when the column is text.
    pub(crate) fn text(&self, row: usize) -> Option<&str> {
        match self {
            Self::Text(texts) => texts.get(row),
            Self::Array(_) => None,
        }
    }
}

/// Readings as a column of the type that the function returns.
pub(crate) fn make_times(
    call: &Call<'_>,
    mut f: impl FnMut(usize) -> Result<Option<NaiveDateTime>>,
) -> Result<ArrayRef> {
    let rows = (0..call.rows).map(&mut f).collect::<Result<Vec<_>>>()?;
    let zone = call.context.zone;
    Ok(match call.return_type {
        DataType::Date32 => Arc::new(rows.into_iter().map(|t| t.map(|t| days_of(t.date()))).collect::<Date32Array>()),
        DataType::Timestamp(TimeUnit::Millisecond, tz) => {
            let ms = rows.into_iter().map(|t| t.map(|t| millis_of(t, zone)));
            Arc::new(ms.collect::<TimestampMillisecondArray>().with_timezone_opt(tz.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, tz) => {
            let zone = if tz.is_some() { zone } else { chrono_tz::UTC };
            let ns = rows.into_iter().map(|t| match t {
                None => Ok(None),
                Some(t) => nanos_of(t, zone)
                    .map(Some)
                    .ok_or_else(|| FunctionError::overflow(format!("{}: {t} is outside TIMESTAMP", call.name))),
            });
            let ns = ns.collect::<std::result::Result<TimestampNanosecondArray, FunctionError>>()?;
            Arc::new(ns.with_timezone_opt(tz.clone()))
        }
        other => return Err(FunctionError::internal(format!("{} returns {other}", call.name)).into()),
    })
}

/// `t` moved by `n` units; months end where the month ends. Hours and smaller move the instant, not the reading.
pub(crate) fn add(t: NaiveDateTime, n: i64, unit: Unit, zone: Tz) -> Option<NaiveDateTime> {
    let exact = |d: Duration| {
        let moved = instant_of(t, zone).checked_add_signed(d)?;
        Some(moved.with_timezone(&zone).naive_local())
    };
    match unit {
        Unit::Year => add_months(t, n.checked_mul(12)?),
        Unit::Quarter => add_months(t, n.checked_mul(3)?),
        Unit::Month => add_months(t, n),
        Unit::Week => t.checked_add_signed(Duration::try_days(n.checked_mul(7)?)?),
        Unit::Day => t.checked_add_signed(Duration::try_days(n)?),
        Unit::Hour => exact(Duration::try_hours(n)?),
        Unit::Minute => exact(Duration::try_minutes(n)?),
        Unit::Second => exact(Duration::try_seconds(n)?),
        Unit::Milli => exact(Duration::try_milliseconds(n)?),
        Unit::Micro => exact(Duration::microseconds(n)),
        Unit::Nano => exact(Duration::nanoseconds(n)),
    }
}

/// `t` without everything smaller than `unit`.
pub(crate) fn truncate(t: NaiveDateTime, unit: Unit) -> Option<NaiveDateTime> {
    let midnight = |d: chrono::NaiveDate| d.and_time(NaiveTime::MIN);
    let date = t.date();
    Some(match unit {
        Unit::Year => midnight(date.with_ordinal(1)?),
        Unit::Quarter => midnight(date.with_day(1)?.with_month0(date.month0() / 3 * 3)?),
        Unit::Month => midnight(date.with_day(1)?),
        Unit::Week => midnight(date.week(Weekday::Mon).checked_first_day()?),
        Unit::Day => midnight(date),
        Unit::Hour => midnight(date).with_hour(t.hour())?,
        Unit::Minute => midnight(date).with_hour(t.hour())?.with_minute(t.minute())?,
        Unit::Second => t.with_nanosecond(0)?,
        Unit::Milli => t.with_nanosecond(t.nanosecond() / 1_000_000 * 1_000_000)?,
        Unit::Micro => t.with_nanosecond(t.nanosecond() / 1_000 * 1_000)?,
        Unit::Nano => t,
    })
}

/// How many borders of `unit` lie between `b` and `a`; `None` when that is more than a BIGINT.
pub(crate) fn difference(a: NaiveDateTime, b: NaiveDateTime, unit: Unit) -> Option<i64> {
    let months = |t: NaiveDateTime| i64::from(t.year()) * 12 + i64::from(t.month0());
    let days = |t: NaiveDateTime| i64::from(days_of(t.date()));
    let seconds = |t: NaiveDateTime| t.and_utc().timestamp();
    Some(match unit {
        Unit::Year => i64::from(a.year()) - i64::from(b.year()),
        Unit::Quarter => months(a).div_euclid(3) - months(b).div_euclid(3),
        Unit::Month => months(a) - months(b),
        // 1970-01-01 was a Thursday, so weeks begin three days earlier.
        Unit::Week => (days(a) + 3).div_euclid(7) - (days(b) + 3).div_euclid(7),
        Unit::Day => days(a) - days(b),
        Unit::Hour => seconds(a).div_euclid(3600) - seconds(b).div_euclid(3600),
        Unit::Minute => seconds(a).div_euclid(60) - seconds(b).div_euclid(60),
        Unit::Second => seconds(a) - seconds(b),
        Unit::Milli => a.and_utc().timestamp_millis() - b.and_utc().timestamp_millis(),
        Unit::Micro => a.and_utc().timestamp_micros() - b.and_utc().timestamp_micros(),
        Unit::Nano => a.and_utc().timestamp_nanos_opt()?.checked_sub(b.and_utc().timestamp_nanos_opt()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        crate::time::parse_timestamp(text).expect("a reading")
    }

    // The example of MaxCompute's documentation of DATEDIFF.
    #[test]
    fn differences_count_borders() {
        let (a, b) = (at("2006-01-01 00:00:00"), at("2005-12-31 23:59:59"));
        for unit in [Unit::Year, Unit::Month, Unit::Day, Unit::Hour, Unit::Minute, Unit::Second] {
            assert_eq!(difference(a, b, unit), Some(1), "{unit:?}");
        }
        assert_eq!(difference(at("2013-05-31 13:00:00"), at("2013-05-31 12:30:00"), Unit::Second), Some(1800));
    }

    // The examples of MaxCompute's documentation of DATETRUNC and DATEADD.
    #[test]
    fn truncation_and_addition_by_unit() {
        let t = at("2011-12-07 16:28:46");
        assert_eq!(truncate(t, Unit::Year), Some(at("2011-01-01 00:00:00")));
        assert_eq!(truncate(t, Unit::Month), Some(at("2011-12-01 00:00:00")));
        assert_eq!(truncate(t, Unit::Day), Some(at("2011-12-07 00:00:00")));
        let zone = chrono_tz::Asia::Shanghai;
        assert_eq!(add(at("2005-02-28 00:00:00"), 1, Unit::Day, zone), Some(at("2005-03-01 00:00:00")));
        assert_eq!(add(at("2005-02-18 00:00:00"), 20, Unit::Month, zone), Some(at("2006-10-18 00:00:00")));
        assert_eq!(add(at("2005-03-30 00:00:00"), -1, Unit::Month, zone), Some(at("2005-02-28 00:00:00")));
    }
}
