//! Ids that never repeat, and what a Chinese identity card number says about its holder.

use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::ArrayRef;
use arrow::datatypes::TimestampMillisecondType;
use chrono::{Datelike, NaiveDate};
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;

use crate::coercion::Param;
use crate::docs::Entry;
use crate::kernel::{Call, DataType0, Function, Returns, owned};
use crate::time::{local_of_millis, millis_of};

const TEXT: Returns = Returns::Type(DataType0::Text);

pub(crate) const DOCS: &[Entry] = &[
    ("get_idcard_age", "get_idcard_age(number)", "This year minus the year of birth; NULL if the number is wrong."),
    (
        "get_idcard_birthday",
        "get_idcard_birthday(number)",
        "The day of birth as DATETIME; NULL if the number is wrong.",
    ),
    ("get_idcard_sex", "get_idcard_sex(number)", "`M` or `F`; NULL if the number is wrong."),
    ("unique_id", "unique_id()", "A text that occurs once."),
    ("uuid", "uuid()", "A random UUID."),
];

pub(crate) fn functions() -> Vec<Function> {
    use Param::Text;
    vec![
        Function::new("get_idcard_age", &[Text], Returns::Type(DataType0::Big), age).volatility(Volatility::Stable),
        Function::new("get_idcard_birthday", &[Text], Returns::Type(DataType0::Datetime), birthday),
        Function::new("get_idcard_sex", &[Text], TEXT, sex),
        Function::new("unique_id", &[], TEXT, unique_id).volatility(Volatility::Volatile),
    ]
}

/// A UUID with the number of the call in this process behind it.
fn unique_id(call: &Call<'_>) -> Result<ArrayRef> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    call.make_text(|_| {
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        owned(format!("{}_{n}", uuid::Uuid::new_v4()))
    })
}

/// The day of birth and whether the holder is male (GB 11643: 18 digits with a check digit, or 15 of before 2000).
fn holder(number: &str) -> Option<(NaiveDate, bool)> {
    let b = number.as_bytes();
    let (year, month_at, order_at) = match b.len() {
        18 if is_checked(b) => (digits(&b[6..10])?, 10, 16),
        15 => (1900 + digits(&b[6..8])?, 8, 14),
        _ => return None,
    };
    let all_digits = b[..b.len().min(17)].iter().all(u8::is_ascii_digit);
    let day = NaiveDate::from_ymd_opt(
        year as i32,
        digits(&b[month_at..month_at + 2])?,
        digits(&b[month_at + 2..month_at + 4])?,
    )?;
    all_digits.then(|| (day, b[order_at] % 2 == 1))
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

/// ISO 7064, MOD 11-2.
fn is_checked(b: &[u8]) -> bool {
    let value = |b: u8| match b {
        b'0'..=b'9' => Some(u32::from(b - b'0')),
        b'X' | b'x' => Some(10),
        _ => None,
    };
    let weigh = |sum: u32, b: &u8| value(*b).map(|v| (sum * 2 + v) % 11);
    b.iter().try_fold(0, weigh) == Some(1)
}

fn age(call: &Call<'_>) -> Result<ArrayRef> {
    let number = call.texts(0)?;
    let year = local_of_millis(call.context.statement_ms, call.context.zone).map(|t| i64::from(t.year()));
    call.make_big(|i| {
        let born = number.get(i).and_then(holder).map(|(day, _)| i64::from(day.year()));
        // MaxCompute documentation of GET_IDCARD_AGE: above 100 it is NULL.
        Ok(year.zip(born).map(|(now, born)| now - born).filter(|age| (0..=100).contains(age)))
    })
}

fn birthday(call: &Call<'_>) -> Result<ArrayRef> {
    let number = call.texts(0)?;
    call.make::<TimestampMillisecondType>(|i| {
        let day = number.get(i).and_then(holder).and_then(|(day, _)| day.and_hms_opt(0, 0, 0));
        Ok(day.map(|t| millis_of(t, call.context.zone)))
    })
}

fn sex(call: &Call<'_>) -> Result<ArrayRef> {
    let number = call.texts(0)?;
    call.make_text(|i| match number.get(i).and_then(holder) {
        None => Ok(None),
        Some((_, male)) => owned(if male { "M" } else { "F" }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of GB 11643-1999: 11010519491231002X is a woman born on 1949-12-31.
    #[test]
    fn numbers_are_checked_and_read() {
        let day = NaiveDate::from_ymd_opt(1949, 12, 31).expect("a date");
        assert_eq!(holder("11010519491231002X"), Some((day, false)));
        assert_eq!(holder("110105194912310021"), None);
        assert_eq!(holder("110105491231002"), Some((day, false)));
        assert_eq!(holder("11010519491331002X"), None);
        assert_eq!(holder("é"), None);
    }
}
