//! Parts of a time, arithmetic by unit, and functions that give a time.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int32Type, TimestampMillisecondType, TimestampNanosecondType};
use chrono::{Datelike, Duration, NaiveDateTime, Timelike};
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;

use super::{Times, Unit, add, difference, make_times, truncate};
use crate::coercion::{Param, coerce_arguments, is_time};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns};
use crate::time::{days_in_month, local_of_millis, millis_of, nanos_of};

const INT: Returns = Returns::Type(DataType0::Int);
const BIG: Returns = Returns::Type(DataType0::Big);
const DATE: Returns = Returns::Type(DataType0::Date);
const DATETIME: Returns = Returns::Type(DataType0::Datetime);
const TIMESTAMP: Returns = Returns::Type(DataType0::Timestamp);
const TIMESTAMP_NTZ: Returns = Returns::Type(DataType0::TimestampNtz);

pub(super) const DOCS: &[Entry] = &[
    ("current_date", "current_date()", "The day on which the statement runs."),
    ("current_timestamp", "current_timestamp()", "The instant at which the statement runs, as TIMESTAMP."),
    ("current_timestamp_ntz", "current_timestamp_ntz()", "What a clock of UTC shows when the statement runs."),
    ("date_add", "date_add(date, days)", "The date so many days later."),
    ("date_sub", "date_sub(date, days)", "The date so many days earlier."),
    ("dateadd", "dateadd(date, n, unit)", "The time n units later; months end where the month ends."),
    ("datediff", "datediff(a, b[, unit])", "How many borders of the unit lie between b and a: BIGINT, or days as INT."),
    ("datepart", "datepart(date, unit)", "One part of a time."),
    ("datetrunc", "datetrunc(date, unit)", "The time without everything smaller than the unit."),
    ("day", "day(date)", "The day of the month."),
    ("dayofmonth", "dayofmonth(date)", "The same as DAY."),
    ("dayofweek", "dayofweek(date)", "1 for Sunday to 7 for Saturday."),
    ("dayofyear", "dayofyear(date)", "The day of the year from 1."),
    ("from_unixtime", "from_unixtime(seconds)", "The DATETIME so many seconds after 1970."),
    ("from_utc_timestamp", "from_utc_timestamp(time | milliseconds, zone)", "A clock of UTC as a clock of the zone."),
    ("getdate", "getdate()", "The instant at which the statement runs, as DATETIME."),
    ("hour", "hour(time)", "The hour."),
    ("lastday", "lastday(date)", "The last day of the month, as DATETIME."),
    ("localtimestamp", "localtimestamp()", "The same as CURRENT_TIMESTAMP."),
    ("minute", "minute(time)", "The minute."),
    ("month", "month(date)", "The month."),
    ("months_between", "months_between(a, b)", "Months from b to a; odd days count 1/31."),
    ("now", "now()", "The same as GETDATE."),
    ("quarter", "quarter(date)", "The quarter, from 1 to 4."),
    ("second", "second(time)", "The second."),
    ("to_millis", "to_millis(time)", "Milliseconds since 1970."),
    ("to_utc_timestamp", "to_utc_timestamp(time | milliseconds, zone)", "A clock of the zone as a clock of UTC."),
    ("unix_timestamp", "unix_timestamp(time)", "Seconds since 1970."),
    ("weekday", "weekday(date)", "0 for Monday to 6 for Sunday."),
    ("weekofyear", "weekofyear(date)", "The ISO week of the year."),
    ("year", "year(date)", "The year."),
];

/// One number of a reading as an INT.
macro_rules! part {
    ($name:literal, $f:expr) => {
        Function::new($name, &[Param::TimeOrText], INT, |call| ints(call, $f))
    };
}

pub(super) fn functions() -> Vec<Function> {
    use Param::{Big, Text, Time, TimeOrText};
    let mut all = vec![
        part!("year", |t| t.year()),
        part!("quarter", |t| t.month0() as i32 / 3 + 1),
        part!("month", |t| t.month() as i32),
        part!("day", |t| t.day() as i32),
        part!("dayofmonth", |t| t.day() as i32),
        part!("dayofyear", |t| t.ordinal() as i32),
        part!("dayofweek", |t| t.weekday().number_from_sunday() as i32),
        part!("hour", |t| t.hour() as i32),
        part!("minute", |t| t.minute() as i32),
        part!("second", |t| t.second() as i32),
        Function::new("weekday", &[TimeOrText], BIG, |c| bigs(c, |t| i64::from(t.weekday().num_days_from_monday()))),
        Function::new("weekofyear", &[TimeOrText], BIG, |c| bigs(c, |t| i64::from(t.iso_week().week()))),
        Function::new("datepart", &[Time, Text], BIG, datepart),
        Function::new("extract", &[Text, TimeOrText], INT, extract),
        Function::new("dateadd", &[Time, Big, Text], Returns::Argument(0), dateadd),
        Function::new("datediff", &[], Returns::With(datediff_type), datediff).coerce(datediff_arguments),
        Function::new("datetrunc", &[Time, Text], Returns::Argument(0), datetrunc),
        Function::new("date_add", &[TimeOrText, Big], DATE, |c| date_add(c, 1)),
        Function::new("date_sub", &[TimeOrText, Big], DATE, |c| date_add(c, -1)),
        Function::new("lastday", &[Time], DATETIME, |c| {
            let x = Times::of(c, 0)?;
            make_times(c, |i| Ok(x.get(i, c.context.zone).and_then(last_day)))
        }),
        Function::new("months_between", &[TimeOrText, TimeOrText], Returns::Type(DataType0::Double), months_between),
        Function::new("from_unixtime", &[Big], DATETIME, from_unixtime),
        Function::new("unix_timestamp", &[Time], BIG, |c| instants(c, 1_000)),
        Function::new("to_millis", &[Time], BIG, |c| instants(c, 1)),
        Function::new("from_utc_timestamp", &[Param::Any, Text], TIMESTAMP, |c| other_zone(c, true)),
        Function::new("to_utc_timestamp", &[Param::Any, Text], TIMESTAMP, |c| other_zone(c, false)),
        // Stable, not immutable: a plan that is kept must not keep the clock.
        Function::new("current_date", &[], DATE, |c| {
            make_times(c, |_| Ok(local_of_millis(c.context.statement_ms, c.context.zone)))
        })
        .volatility(Volatility::Stable),
    ];
    for name in ["getdate", "now"] {
        let clock = Function::new(name, &[], DATETIME, |c| {
            c.make::<TimestampMillisecondType>(|_| Ok(Some(c.context.statement_ms)))
        });
        all.push(clock.volatility(Volatility::Stable));
    }
    // Without a zone it is the clock of UTC, as PyODPS computes it for its tables (`odps/expressions/functions.py`).
    for (name, returns) in
        [("current_timestamp", TIMESTAMP), ("localtimestamp", TIMESTAMP), ("current_timestamp_ntz", TIMESTAMP_NTZ)]
    {
        let clock = Function::new(name, &[], returns, |c| {
            c.make::<TimestampNanosecondType>(|_| Ok(c.context.statement_ms.checked_mul(1_000_000)))
        });
        all.push(clock.volatility(Volatility::Stable));
    }
    all
}

/// HOUR, MINUTE and SECOND also read a clock alone.
fn reading(call: &Call<'_>, times: &Times, row: usize) -> Option<NaiveDateTime> {
    times.get(row, call.context.zone).or_else(|| {
        let text = times.text(row).filter(|_| matches!(call.name, "hour" | "minute" | "second"))?;
        crate::time::parse_loose(&format!("1970-01-01 {text}"))
    })
}

fn ints(call: &Call<'_>, f: fn(NaiveDateTime) -> i32) -> Result<ArrayRef> {
    let x = Times::of(call, 0)?;
    call.make::<Int32Type>(|i| Ok(reading(call, &x, i).map(f)))
}

fn bigs(call: &Call<'_>, f: fn(NaiveDateTime) -> i64) -> Result<ArrayRef> {
    let x = Times::of(call, 0)?;
    call.make_big(|i| Ok(reading(call, &x, i).map(f)))
}

fn part_of(t: NaiveDateTime, unit: Unit) -> i64 {
    let nanos = i64::from(t.nanosecond() % 1_000_000_000);
    match unit {
        Unit::Year => t.year().into(),
        Unit::Quarter => i64::from(t.month0() / 3 + 1),
        Unit::Month => t.month().into(),
        Unit::Week => t.iso_week().week().into(),
        Unit::Day => t.day().into(),
        Unit::Hour => t.hour().into(),
        Unit::Minute => t.minute().into(),
        Unit::Second => t.second().into(),
        Unit::Milli => nanos / 1_000_000,
        Unit::Micro => nanos / 1_000,
        Unit::Nano => nanos,
    }
}

fn datepart(call: &Call<'_>) -> Result<ArrayRef> {
    let (x, unit) = (Times::of(call, 0)?, Unit::of(call, 1)?);
    call.make_big(|i| Ok(x.get(i, call.context.zone).zip(unit).map(|(t, u)| part_of(t, u))))
}

fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let (unit, x) = (Unit::of(call, 0)?, Times::of(call, 1)?);
    call.make::<Int32Type>(|i| Ok(x.get(i, call.context.zone).zip(unit).map(|(t, u)| part_of(t, u) as i32)))
}

fn dateadd(call: &Call<'_>) -> Result<ArrayRef> {
    let (x, n, unit) = (Times::of(call, 0)?, call.bigs(1)?, Unit::of(call, 2)?);
    let zone = match call.return_type {
        DataType::Timestamp(_, Some(_)) => call.context.zone,
        _ => chrono_tz::UTC,
    };
    make_times(call, |i| {
        let (Some(t), Some(n), Some(unit)) = (x.get(i, call.context.zone), n.get(i), unit) else { return Ok(None) };
        match add(t, n, unit, zone) {
            Some(t) => Ok(Some(t)),
            None => Err(FunctionError::overflow(format!("dateadd: {t} plus {n} is outside the calendar")).into()),
        }
    })
}

/// Without a unit, text is a date and the result is INT; with one, text is a DATETIME and the result is BIGINT
/// (MaxCompute documentation, "DATEDIFF").
fn datediff_arguments(name: &str, types: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
    use Param::{Text, Time, TimeOrText};
    let days = types.len() == 2;
    let times: &[Param] = if days { &[TimeOrText, TimeOrText] } else { &[Time, Time] };
    coerce_arguments(name, times, &[Text], None, types)
}

fn datediff_type(types: &[DataType]) -> Result<DataType> {
    Ok(if types.len() == 2 { DataType::Int32 } else { DataType::Int64 })
}

fn datediff(call: &Call<'_>) -> Result<ArrayRef> {
    let (a, b) = (Times::of(call, 0)?, Times::of(call, 1)?);
    let zone = call.context.zone;
    let too_far = || FunctionError::overflow("datediff: the result is too large").into();
    if call.count() == 2 {
        return call.make::<Int32Type>(|i| {
            let (Some(a), Some(b)) = (a.get(i, zone), b.get(i, zone)) else { return Ok(None) };
            let days = difference(a, b, Unit::Day).and_then(|days| i32::try_from(days).ok());
            days.map(Some).ok_or_else(too_far)
        });
    }
    let unit = Unit::of(call, 2)?;
    call.make_big(|i| {
        let (Some(a), Some(b), Some(unit)) = (a.get(i, zone), b.get(i, zone), unit) else { return Ok(None) };
        difference(a, b, unit).map(Some).ok_or_else(too_far)
    })
}

fn datetrunc(call: &Call<'_>) -> Result<ArrayRef> {
    let (x, unit) = (Times::of(call, 0)?, Unit::of(call, 1)?);
    make_times(call, |i| Ok(x.get(i, call.context.zone).zip(unit).and_then(|(t, u)| truncate(t, u))))
}

fn date_add(call: &Call<'_>, sign: i64) -> Result<ArrayRef> {
    let (x, n) = (Times::of(call, 0)?, call.bigs(1)?);
    make_times(call, |i| {
        let (Some(t), Some(n)) = (x.get(i, call.context.zone), n.get(i)) else { return Ok(None) };
        let days = n.checked_mul(sign).and_then(Duration::try_days);
        match days.and_then(|d| t.checked_add_signed(d)) {
            Some(t) => Ok(Some(t)),
            None => Err(FunctionError::overflow(format!("{}: the result is outside the calendar", call.name)).into()),
        }
    })
}

pub(super) fn last_day(t: NaiveDateTime) -> Option<NaiveDateTime> {
    t.date().with_day(days_in_month(t.year(), t.month())?)?.and_hms_opt(0, 0, 0)
}

/// Whole months when both are the same day of the month or both the last; else days count 1/31.
fn months_between(call: &Call<'_>) -> Result<ArrayRef> {
    let (a, b) = (Times::of(call, 0)?, Times::of(call, 1)?);
    let zone = call.context.zone;
    call.make_double(|i| {
        let (Some(a), Some(b)) = (a.get(i, zone), b.get(i, zone)) else { return Ok(None) };
        let months = difference(a, b, Unit::Month).unwrap_or(0) as f64;
        let is_last = |t: NaiveDateTime| days_in_month(t.year(), t.month()) == Some(t.day());
        if a.day() == b.day() || (is_last(a) && is_last(b)) {
            return Ok(Some(months));
        }
        let days = f64::from(a.day()) - f64::from(b.day());
        let seconds = f64::from(a.num_seconds_from_midnight()) - f64::from(b.num_seconds_from_midnight());
        let exact = months + (days + seconds / 86_400.0) / 31.0;
        Ok(Some((exact * 1e8).round() / 1e8))
    })
}

fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef> {
    let x = call.bigs(0)?;
    call.make::<TimestampMillisecondType>(|i| match x.get(i) {
        None => Ok(None),
        // The calendar of DATETIME ends with the year 9999.
        Some(s @ -62_135_596_800..=253_402_300_799) => Ok(Some(s * 1_000)),
        Some(s) => Err(FunctionError::range(format!("from_unixtime: {s} is outside the calendar")).into()),
    })
}

fn instants(call: &Call<'_>, unit: i64) -> Result<ArrayRef> {
    let x = Times::of(call, 0)?;
    let zone = call.context.zone;
    call.make_big(|i| Ok(x.get(i, zone).map(|t| millis_of(t, zone).div_euclid(unit))))
}

/// FROM_UTC_TIMESTAMP reads the clock of UTC and shows it in the zone; TO_UTC_TIMESTAMP goes the other way.
fn other_zone(call: &Call<'_>, from_utc: bool) -> Result<ArrayRef> {
    let array = call.array(0)?;
    if !is_time(array.data_type()) && !array.data_type().is_integer() && *array.data_type() != DataType::Utf8 {
        let has = crate::coercion::type_name(array.data_type());
        return Err(FunctionError::argument_type(call.name, 1, &has, "TIMESTAMP").into());
    }
    let millis =
        if array.data_type().is_integer() { Some(arrow::compute::cast(&array, &DataType::Int64)?) } else { None };
    let millis = millis.as_ref().map(arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>);
    let (x, zones, session) = (Times::of(call, 0)?, call.texts(1)?, call.context.zone);
    call.make::<TimestampNanosecondType>(|i| {
        let local = match millis {
            Some(m) if arrow::array::Array::is_null(m, i) => None,
            Some(m) => local_of_millis(m.value(i), session),
            None => x.get(i, session),
        };
        let (Some(local), Some(zone)) = (local, zones.get(i)) else { return Ok(None) };
        let zone = crate::options::parse_zone(zone)?;
        let (read, show) = if from_utc { (chrono_tz::UTC, zone) } else { (zone, chrono_tz::UTC) };
        let shown = crate::time::instant_of(local, read).with_timezone(&show).naive_local();
        Ok(nanos_of(shown, session))
    })
}
