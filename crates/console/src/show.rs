//! Values as people read them: counts, sizes, durations and times, and texts that hide nothing.

use std::borrow::Cow;
use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

use crate::words::Words;

/// `text` with every character shown that would otherwise be invisible or turn its neighbours around: control
/// characters and marks of direction appear as `\u{202e}`. Line ends and tabs stay.
///
/// What comes out is text, not HTML: templates escape it.
pub(crate) fn seen(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Control characters, the marks, embeddings, overrides and isolates of the Unicode Bidirectional Algorithm (UAX 9),
/// and characters without width that separate what looks joined.
fn is_hidden(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` without hidden characters, at most `most` characters of it.
pub(crate) fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", seen(&text[..end])),
        None => seen(text).into_owned(),
    }
}

/// `{name}` in `pattern` replaced by the values. What a value holds is not looked at again.
pub(crate) fn fill(pattern: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let known = after.split_once('}').and_then(|(name, tail)| {
            let (_, value) = values.iter().find(|(n, _)| *n == name)?;
            Some((*value, tail))
        });
        match known {
            Some((value, tail)) => {
                out.push_str(value);
                rest = tail;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// `1,234,567`
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `512 B`, `1.5 KiB`, `20 MiB`
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 10.0 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// `250 ms`, `1.25 s`, `2 min 5 s`, `3 h 20 min`, in the page's language. Never negative.
pub(crate) fn duration(w: &Words, ms: i64) -> String {
    let ms = ms.max(0);
    let text = |n: i64| n.to_string();
    let (seconds, minutes) = (ms / 1000, ms / 60_000);
    match ms {
        0..1000 => fill(w.unit_ms, &[("n", &text(ms))]),
        1000..60_000 => {
            let n =
                if ms < 10_000 { format!("{:.2}", ms as f64 / 1000.0) } else { format!("{:.1}", ms as f64 / 1000.0) };
            fill(w.unit_s, &[("n", &n)])
        }
        60_000..3_600_000 => fill(w.unit_min, &[("m", &text(minutes)), ("s", &text(seconds % 60))]),
        _ => fill(w.unit_h, &[("h", &text(minutes / 60)), ("m", &text(minutes % 60))]),
    }
}

/// The same for microseconds; below a millisecond they are shown as such.
pub(crate) fn micros(w: &Words, us: u64) -> String {
    if us < 1000 {
        return fill(w.unit_us, &[("n", &us.to_string())]);
    }
    duration(w, i64::try_from(us / 1000).unwrap_or(i64::MAX))
}

/// How many times `a` is `b`: `2.5`, `0.4`, `12`.
pub(crate) fn times(a: f64, b: f64) -> String {
    let ratio = a / b;
    if ratio >= 9.95 { format!("{ratio:.0}") } else { format!("{ratio:.1}") }
}

/// A point in time on the wall clock of `zone`, and as machines read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Time {
    /// `2024-01-01 08:00:00`
    pub(crate) text: String,
    /// `2024-01-01T00:00:00.000Z`
    pub(crate) iso: String,
}

/// Milliseconds since 1970-01-01 UTC as a [`Time`].
pub(crate) fn time(ms: i64, zone: Tz) -> Time {
    let utc: DateTime<Utc> = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    Time {
        text: utc.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string(),
        iso: utc.to_rfc3339_opts(SecondsFormat::Millis, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{EN, ZH};

    // UAX 9: U+202E overrides the direction of what follows it; U+2066 to U+2069 isolate. "Trojan Source",
    // CVE-2021-42574, hides code with them.
    #[test]
    fn what_would_hide_or_turn_text_is_shown_by_its_number() {
        assert_eq!(seen("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(seen("\u{2067}x\u{2069}\0\u{1b}[1m"), "\\u{2067}x\\u{2069}\\u{0}\\u{1b}[1m");
        assert_eq!(seen("订单\t1\n"), "订单\t1\n");
        assert_eq!(seen("<script>"), "<script>", "escaping is the template's");
        assert_eq!(short("abcdef", 3), "abc…");
        assert_eq!(short("订单表", 3), "订单表");
    }

    #[test]
    fn a_value_is_not_read_as_a_pattern() {
        assert_eq!(fill("{a} and {b}", &[("a", "{b}"), ("b", "x")]), "{b} and x");
        assert_eq!(fill("{c} {", &[("a", "1")]), "{c} {");
    }

    // Arithmetic: 1 KiB is 1024 bytes.
    #[test]
    fn numbers_are_grouped_and_sizes_have_units() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(count).each_ref().map(String::as_str)
        );
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(20 << 20), "20 MiB");
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
    }

    #[test]
    fn durations_speak_the_language_of_the_page() {
        for (ms, en, zh) in [
            (-5, "0 ms", "0 毫秒"),
            (999, "999 ms", "999 毫秒"),
            (1250, "1.25 s", "1.25 秒"),
            (59_940, "59.9 s", "59.9 秒"),
            (125_000, "2 min 5 s", "2 分 5 秒"),
            (12_000_000, "3 h 20 min", "3 小时 20 分"),
        ] {
            assert_eq!((duration(&EN, ms), duration(&ZH, ms)), (en.to_string(), zh.to_string()));
        }
        assert_eq!(micros(&EN, 17), "17 µs");
    }

    // 2024-01-01 00:00 UTC is 19,723 days after 1970-01-01; Shanghai is eight hours ahead.
    #[test]
    fn times_are_on_the_clock_of_the_zone() {
        let at = time(19_723 * 86_400_000, chrono_tz::Asia::Shanghai);
        assert_eq!((at.text.as_str(), at.iso.as_str()), ("2024-01-01 08:00:00", "2024-01-01T00:00:00.000Z"));
    }
}
