//! Instants and wall clocks: between milliseconds, calendar readings in a zone, and MaxCompute's text forms.

use chrono::{DateTime, Datelike, Duration, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

const NANOS: i64 = 1_000_000_000;

/// What a clock in `zone` shows at `ns` nanoseconds since 1970-01-01 UTC.
pub fn local_of_nanos(ns: i64, zone: Tz) -> NaiveDateTime {
    DateTime::<Utc>::from_timestamp_nanos(ns).with_timezone(&zone).naive_local()
}

/// What a clock in `zone` shows at `ms` milliseconds since 1970-01-01 UTC; `None` outside the calendar.
pub fn local_of_millis(ms: i64, zone: Tz) -> Option<NaiveDateTime> {
    Some(DateTime::<Utc>::from_timestamp_millis(ms)?.with_timezone(&zone).naive_local())
}

/// The instant at which a clock in `zone` shows `local`.
///
/// A reading that occurs twice means the earlier instant; one that is skipped means the instant after the gap.
pub fn instant_of(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => t.with_timezone(&Utc),
        LocalResult::None => {
            let earlier = local - Duration::hours(3);
            let offset = match zone.from_local_datetime(&earlier) {
                LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => t.naive_utc() - earlier,
                LocalResult::None => Duration::zero(),
            };
            (local + offset).and_utc()
        }
    }
}

/// Milliseconds since 1970-01-01 UTC at which a clock in `zone` shows `local`.
pub fn millis_of(local: NaiveDateTime, zone: Tz) -> i64 {
    instant_of(local, zone).timestamp_millis()
}

/// Nanoseconds since 1970-01-01 UTC; `None` outside the years 1677 to 2262.
pub fn nanos_of(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    instant_of(local, zone).timestamp_nanos_opt()
}

/// The date `days` after 1970-01-01; `None` outside the calendar.
pub fn date_of_days(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(Duration::days(days.into()))
}

/// Days since 1970-01-01.
pub fn days_of(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - 719_163
}

/// `yyyy-mm-dd`.
pub fn date_text(date: NaiveDate) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

/// `yyyy-mm-dd hh:mi:ss`.
pub fn datetime_text(t: NaiveDateTime) -> String {
    format!("{} {:02}:{:02}:{:02}", date_text(t.date()), t.hour(), t.minute(), t.second())
}

/// `yyyy-mm-dd hh:mi:ss` and as many digits of the second as it has.
pub fn timestamp_text(t: NaiveDateTime) -> String {
    let nanos = t.nanosecond() as i64 % NANOS;
    if nanos == 0 {
        return datetime_text(t);
    }
    let digits = format!("{nanos:09}");
    format!("{}.{}", datetime_text(t), digits.trim_end_matches('0'))
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

/// Reads `yyyy-mm-dd`, every part padded with zeros.
pub fn parse_date(text: &str) -> Option<NaiveDate> {
    let b = text.as_bytes();
    if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
        return None;
    }
    NaiveDate::from_ymd_opt(digits(&b[..4])? as i32, digits(&b[5..7])?, digits(&b[8..])?)
}

fn parse_clock(b: &[u8]) -> Option<NaiveTime> {
    if b.len() != 8 || b[2] != b':' || b[5] != b':' {
        return None;
    }
    NaiveTime::from_hms_opt(digits(&b[..2])?, digits(&b[3..5])?, digits(&b[6..])?)
}

/// Reads `yyyy-mm-dd hh:mi:ss`, every part present and padded with zeros.
pub fn parse_datetime(text: &str) -> Option<NaiveDateTime> {
    let b = text.as_bytes();
    if b.len() != 19 || b[10] != b' ' {
        return None;
    }
    Some(parse_date(text.get(..10)?)?.and_time(parse_clock(&b[11..])?))
}

/// Reads `yyyy-mm-dd hh:mi:ss` with up to nine digits of the second.
pub fn parse_timestamp(text: &str) -> Option<NaiveDateTime> {
    let (whole, fraction) = match text.split_once('.') {
        None => (text, 0),
        Some((whole, f)) if !f.is_empty() && f.len() <= 9 => {
            (whole, digits(f.as_bytes())? * 10u32.pow(9 - f.len() as u32))
        }
        Some(_) => return None,
    };
    parse_datetime(whole)?.with_nanosecond(fraction)
}

/// Reads what functions such as YEAR take: a date that begins `yyyy-mm-dd`, with an optional clock.
///
/// The year may have fewer digits (`70-01-01` is the year 70), as MaxCompute's date functions allow.
pub fn parse_loose(text: &str) -> Option<NaiveDateTime> {
    let (date, clock) = match text.split_once(' ') {
        Some((d, c)) => (d, Some(c)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (y, m, d) = (parts.next()?, parts.next()?, parts.next()?);
    let sized = |s: &str, most: usize| !s.is_empty() && s.len() <= most;
    if parts.next().is_some() || !sized(y, 4) || !sized(m, 2) || !sized(d, 2) {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(digits(y.as_bytes())? as i32, digits(m.as_bytes())?, digits(d.as_bytes())?)?;
    match clock {
        None => date.and_hms_opt(0, 0, 0),
        Some(c) => {
            let (whole, fraction) = c.split_once('.').unwrap_or((c, "0"));
            if fraction.is_empty() || fraction.len() > 9 {
                return None;
            }
            let nanos = digits(fraction.as_bytes())? * 10u32.pow(9 - fraction.len() as u32);
            Some(date.and_time(parse_clock(whole.as_bytes())?.with_nanosecond(nanos)?))
        }
    }
}

/// `months` after `t`; the day is clamped to the end of the month.
pub fn add_months(t: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let index = (t.year() as i64).checked_mul(12)?.checked_add(t.month0() as i64)?.checked_add(months)?;
    let (year, month) = (i32::try_from(index.div_euclid(12)).ok()?, index.rem_euclid(12) as u32 + 1);
    let day = t.day().min(days_in_month(year, month)?);
    Some(NaiveDate::from_ymd_opt(year, month, day)?.and_time(t.time()))
}

/// How many days the month has.
pub fn days_in_month(year: i32, month: u32) -> Option<u32> {
    let (y, m) = if month == 12 { (year.checked_add(1)?, 1) } else { (year, month + 1) };
    Some(NaiveDate::from_ymd_opt(y, m, 1)?.pred_opt()?.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    // MaxCompute documentation of CAST: every part of a DATETIME text must be there and padded.
    #[test]
    fn datetime_text_is_read_only_when_it_is_complete() {
        assert!(parse_datetime("2013-12-31 02:34:34").is_some());
        for bad in ["2013-12-31 2:34:34", "20131231023434", "2013/12/31 02:34:34", "2013-02-30 00:00:00", "2013-12-31"]
        {
            assert_eq!(parse_datetime(bad), None, "{bad}");
        }
        let t = parse_timestamp("2017-11-11 00:00:00.120").expect("fraction");
        assert_eq!(timestamp_text(t), "2017-11-11 00:00:00.12");
    }

    // Shanghai moved its clocks from 1940-06-01 00:00 to 01:00 (IANA time zone database).
    #[test]
    fn readings_that_a_zone_skips_are_the_instant_after_the_gap() {
        let zone = chrono_tz::Asia::Shanghai;
        let skipped = parse_datetime("1940-06-01 00:30:00").expect("a reading");
        let local = local_of_millis(millis_of(skipped, zone), zone).expect("in range");
        assert_eq!(datetime_text(local), "1940-06-01 01:30:00");
        let plain = parse_datetime("2024-01-01 08:00:00").expect("a reading");
        assert_eq!(millis_of(plain, zone), 1_704_067_200_000);
    }

    #[test]
    fn months_end_where_the_month_ends() {
        let t = parse_datetime("2024-01-31 10:00:00").expect("a reading");
        assert_eq!(datetime_text(add_months(t, 1).expect("in range")), "2024-02-29 10:00:00");
        assert_eq!(datetime_text(add_months(t, -2).expect("in range")), "2023-11-30 10:00:00");
    }
}
