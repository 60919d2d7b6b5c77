//! Times to text and back: TO_CHAR, TO_DATE, DATE_FORMAT and the functions that give a date as text.

use std::borrow::Cow;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use chrono::{Datelike, Duration, NaiveDateTime, Weekday};
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;

use super::{Times, Unit, make_times};
use crate::coercion::{Param, datetime, is_time};
use crate::docs::Entry;
use crate::error::FunctionError;
use crate::kernel::{Call, DataType0, Function, Returns, owned};
use crate::pattern::{Pattern, java_format};
use crate::time::{add_months, date_text, parse_date};

const TEXT: Returns = Returns::Type(DataType0::Text);
const BOOL: Returns = Returns::Type(DataType0::Bool);

pub(super) const DOCS: &[Entry] = &[
    ("add_months", "add_months(date, n)", "The date n months later, as text."),
    ("current_timezone", "current_timezone()", "The time zone of the session."),
    (
        "date_format",
        "date_format(date, pattern)",
        "The time by a pattern of Java, where `MM` is months and `mm` minutes.",
    ),
    ("isdate", "isdate(text, pattern)", "Whether the text is a time of this pattern."),
    ("last_day", "last_day(date)", "The last day of the month, as text."),
    ("next_day", "next_day(date, weekday)", "The first such weekday after the date, as text."),
    (
        "to_char",
        "to_char(value[, pattern])",
        "A number or truth value as text; a time by a pattern such as `yyyy-mm-dd hh:mi:ss`.",
    ),
    ("to_date", "to_date(text[, pattern])", "A DATE; with a pattern a DATETIME."),
    ("trunc_time", "trunc_time(time, unit)", "The time cut to a unit on the clock of UTC, as text."),
];

pub(super) fn functions() -> Vec<Function> {
    use Param::{Any, Big, Text, TextOnly, TimeOrText};
    vec![
        Function::new("to_char", &[Any], TEXT, to_char).optional(&[Text]),
        Function::new("date_format", &[TimeOrText, Text], TEXT, date_format),
        Function::new("to_date", &[TimeOrText], Returns::With(to_date_type), to_date).optional(&[Text]),
        Function::new("isdate", &[TextOnly, Text], BOOL, isdate),
        Function::new("add_months", &[TimeOrText, Big], TEXT, |c| {
            let n = c.bigs(1)?;
            dates(c, |t, i| add_months(t, n.get(i)?))
        }),
        Function::new("last_day", &[TimeOrText], TEXT, |c| dates(c, |t, _| super::parts::last_day(t))),
        Function::new("next_day", &[TimeOrText, Text], TEXT, next_day),
        Function::new("trunc_time", &[Any, Text], TEXT, trunc_time),
        Function::new("current_timezone", &[], TEXT, |c| {
            c.make_text(|_| Ok(Some(Cow::Owned(c.context.zone.name().to_string()))))
        })
        .volatility(Volatility::Stable),
    ]
}

/// The result as `yyyy-mm-dd`; NULL for what is no date.
fn dates(call: &Call<'_>, f: impl Fn(NaiveDateTime, usize) -> Option<NaiveDateTime>) -> Result<ArrayRef> {
    let x = Times::of(call, 0)?;
    call.make_text(|i| {
        let t = x.get(i, call.context.zone).and_then(|t| f(t, i));
        Ok(t.map(|t| Cow::Owned(date_text(t.date()))))
    })
}

/// With a pattern the first argument is a time (text is read as DATETIME), without one it is a number or a truth value.
fn to_char(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    if call.count() == 1 {
        return crate::string::to_char(call, &array);
    }
    if !is_time(array.data_type()) && !matches!(array.data_type(), DataType::Utf8 | DataType::Null) {
        let has = crate::coercion::type_name(array.data_type());
        return Err(FunctionError::argument_type("to_char", 1, &has, "DATETIME").into());
    }
    let Some(pattern) = call.literal_text(1)? else { return call.make_text(|_| Ok(None)) };
    let pattern = Pattern::parse(&pattern)?;
    let x = if *array.data_type() == DataType::Utf8 {
        Times::Array(crate::cast::cast_array(&array, &feitian_types::DataType::Datetime, &call.context)?)
    } else {
        Times::of(call, 0)?
    };
    call.make_text(|i| x.get(i, call.context.zone).map_or(Ok(None), |t| owned(pattern.format(t))))
}

fn date_format(call: &Call<'_>) -> Result<ArrayRef> {
    let (x, pattern) = (Times::of(call, 0)?, call.texts(1)?);
    call.make_text(|i| match (x.get(i, call.context.zone), pattern.get(i)) {
        (Some(t), Some(p)) => owned(java_format(p, t)?),
        _ => Ok(None),
    })
}

/// With a pattern DATETIME, without one DATE.
fn to_date_type(types: &[DataType]) -> Result<DataType> {
    Ok(if types.len() > 1 { datetime() } else { DataType::Date32 })
}

fn to_date(call: &Call<'_>) -> Result<ArrayRef> {
    let x = Times::of(call, 0)?;
    let fail = |text: &str, why: &str| -> Result<Option<NaiveDateTime>> {
        if !call.context.strict {
            return Ok(None);
        }
        Err(FunctionError::arguments(format!("to_date: '{text}' {why}")).into())
    };
    if call.count() == 1 {
        return make_times(call, |i| match x.text(i) {
            None => Ok(x.get(i, call.context.zone)),
            Some(text) => {
                match parse_date(text.get(..10).unwrap_or(text)).filter(|_| x.get(i, call.context.zone).is_some()) {
                    Some(date) => Ok(date.and_hms_opt(0, 0, 0)),
                    None => fail(text, "is no date yyyy-mm-dd"),
                }
            }
        });
    }
    let Some(pattern) = call.literal_text(1)? else { return make_times(call, |_| Ok(None)) };
    let pattern = Pattern::parse(&pattern)?;
    pattern.require_year()?;
    make_times(call, |i| match x.text(i) {
        None => Ok(None),
        Some(text) => match pattern.read(text) {
            Some(t) => Ok(Some(t)),
            None => fail(text, "does not match the format string"),
        },
    })
}

fn isdate(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, pattern) = (call.texts(0)?, call.literal_text(1)?);
    let Some(pattern) = pattern else { return call.make_bool(|_| Ok(None)) };
    let pattern = Pattern::parse(&pattern)?;
    pattern.require_year()?;
    call.make_bool(|i| Ok(text.get(i).map(|t| pattern.read(t).is_some())))
}

fn weekday(text: &str) -> Option<Weekday> {
    let name = text.trim().to_lowercase();
    const DAYS: [(&str, Weekday); 7] = [
        ("monday", Weekday::Mon),
        ("tuesday", Weekday::Tue),
        ("wednesday", Weekday::Wed),
        ("thursday", Weekday::Thu),
        ("friday", Weekday::Fri),
        ("saturday", Weekday::Sat),
        ("sunday", Weekday::Sun),
    ];
    let hit = |full: &str| name == full || (matches!(name.len(), 2 | 3) && full.starts_with(&name));
    DAYS.iter().find(|(full, _)| hit(full)).map(|(_, day)| *day)
}

/// The first such weekday after the date.
fn next_day(call: &Call<'_>) -> Result<ArrayRef> {
    let day = call.texts(1)?;
    dates(call, |t, i| {
        let wanted = weekday(day.get(i)?)?;
        let ahead = (wanted.num_days_from_monday() + 7 - t.weekday().num_days_from_monday()) % 7;
        t.checked_add_signed(Duration::days(if ahead == 0 { 7 } else { ahead.into() }))
    })
}

/// The text of a time cut to a unit, on the clock of UTC whatever the session's zone.
fn trunc_time(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    if !is_time(array.data_type()) {
        let has = crate::coercion::type_name(array.data_type());
        return Err(FunctionError::argument_type("trunc_time", 1, &has, "TIMESTAMP").into());
    }
    let (x, unit) = (Times::Array(array), Unit::of(call, 1)?);
    let pattern = match unit {
        Some(Unit::Year) => "yyyy",
        Some(Unit::Month) => "yyyy-mm",
        Some(Unit::Day) => "yyyy-mm-dd",
        Some(Unit::Hour) => "yyyy-mm-dd hh:00:00",
        None => return call.make_text(|_| Ok(None)),
        Some(_) => return Err(FunctionError::arguments("trunc_time: the unit must be year, month, day or hour").into()),
    };
    let pattern = Pattern::parse(pattern)?;
    call.make_text(|i| x.get(i, chrono_tz::UTC).map_or(Ok(None), |t| owned(pattern.format(t))))
}
