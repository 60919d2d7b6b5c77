//! The two pattern languages for dates: MaxCompute's own (any case, `mi` is minutes) and Java's (DATE_FORMAT).

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};

use crate::error::FunctionError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// This many digits of the second.
    Fraction(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Part(Part),
    Literal(String),
}

/// A pattern of TO_CHAR, TO_DATE and ISDATE: `yyyy mm dd hh mi ss ff3 ff6 ff9` in any case, anything else is literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Piece>);

const PARTS: [(&str, Part); 9] = [
    ("yyyy", Part::Year),
    ("mm", Part::Month),
    ("dd", Part::Day),
    ("hh", Part::Hour),
    ("mi", Part::Minute),
    ("ss", Part::Second),
    ("ff3", Part::Fraction(3)),
    ("ff6", Part::Fraction(6)),
    ("ff9", Part::Fraction(9)),
];

impl Pattern {
    /// Reads a pattern. A part that is given without the larger one it belongs to is an error.
    pub(crate) fn parse(text: &str) -> Result<Self, FunctionError> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rest = text;
        'next: while let Some(c) = rest.chars().next() {
            for (word, part) in PARTS {
                if rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)) {
                    pieces.push(Piece::Part(part));
                    rest = &rest[word.len()..];
                    continue 'next;
                }
            }
            match pieces.last_mut() {
                Some(Piece::Literal(text)) => text.push(c),
                _ => pieces.push(Piece::Literal(c.to_string())),
            }
            rest = &rest[c.len_utf8()..];
        }
        let pattern = Self(pieces);
        pattern.require(Part::Second, "second", Part::Minute, "minute")?;
        pattern.require(Part::Minute, "minute", Part::Hour, "hour")?;
        Ok(pattern)
    }

    fn has(&self, part: Part) -> bool {
        self.0.contains(&Piece::Part(part))
    }

    fn require(&self, small: Part, small_name: &str, large: Part, large_name: &str) -> Result<(), FunctionError> {
        if self.has(small) && !self.has(large) {
            let text = format!("format string has {small_name} part, but doesn't have {large_name} part");
            return Err(FunctionError::arguments(text));
        }
        Ok(())
    }

    /// TO_DATE and ISDATE need a year.
    pub(crate) fn require_year(&self) -> Result<(), FunctionError> {
        if self.has(Part::Year) {
            Ok(())
        } else {
            Err(FunctionError::arguments("format string doesn't have year part"))
        }
    }

    pub(crate) fn format(&self, t: NaiveDateTime) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Part(Part::Year) => out.push_str(&format!("{:04}", t.year())),
                Piece::Part(Part::Month) => out.push_str(&format!("{:02}", t.month())),
                Piece::Part(Part::Day) => out.push_str(&format!("{:02}", t.day())),
                Piece::Part(Part::Hour) => out.push_str(&format!("{:02}", t.hour())),
                Piece::Part(Part::Minute) => out.push_str(&format!("{:02}", t.minute())),
                Piece::Part(Part::Second) => out.push_str(&format!("{:02}", t.second())),
                Piece::Part(Part::Fraction(n)) => {
                    out.push_str(&format!("{:09}", t.nanosecond() % 1_000_000_000)[..*n]);
                }
            }
        }
        out
    }

    /// Reads a whole text; every part has exactly its number of digits. A repeated part must repeat its value.
    pub(crate) fn read(&self, text: &str) -> Option<NaiveDateTime> {
        let mut values: [Option<u32>; 7] = [None; 7];
        let mut rest = text;
        for piece in &self.0 {
            let (slot, width) = match piece {
                Piece::Literal(literal) => {
                    rest = rest.strip_prefix(literal.as_str())?;
                    continue;
                }
                Piece::Part(Part::Year) => (0, 4),
                Piece::Part(Part::Month) => (1, 2),
                Piece::Part(Part::Day) => (2, 2),
                Piece::Part(Part::Hour) => (3, 2),
                Piece::Part(Part::Minute) => (4, 2),
                Piece::Part(Part::Second) => (5, 2),
                Piece::Part(Part::Fraction(n)) => (6, *n),
            };
            let digits = rest.get(..width)?;
            if !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let mut value = digits.parse::<u32>().ok()?;
            if slot == 6 {
                value *= 10u32.pow(9 - width as u32);
            }
            if values[slot].replace(value).is_some_and(|before| before != value) {
                return None;
            }
            rest = &rest[width..];
        }
        let value = |slot: usize, default: u32| values[slot].unwrap_or(default);
        let date = NaiveDate::from_ymd_opt(value(0, 0) as i32, value(1, 1), value(2, 1))?;
        rest.is_empty().then_some(())?;
        date.and_hms_nano_opt(value(3, 0), value(4, 0), value(5, 0), value(6, 0))
    }
}

/// Formats with a pattern of Java's SimpleDateFormat, where case matters: `MM` is months, `mm` minutes, `HH` 0 to 23.
pub(crate) fn java_format(pattern: &str, t: NaiveDateTime) -> Result<String, FunctionError> {
    let mut out = String::new();
    let chars: Vec<char> = pattern.chars().collect();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c == '\'' {
            i = quoted(&chars, i, &mut out).ok_or_else(|| {
                FunctionError::arguments(format!("date_format: a quote is not closed in '{pattern}'"))
            })?;
            continue;
        }
        let run = chars[i..].iter().take_while(|x| **x == c).count();
        i += run;
        if c.is_ascii_alphabetic() {
            java_field(c, run, t, &mut out)
                .ok_or_else(|| FunctionError::arguments(format!("date_format: unknown letter '{c}' in '{pattern}'")))?;
        } else {
            out.extend(std::iter::repeat_n(c, run));
        }
    }
    Ok(out)
}

/// Copies the quoted text that begins at `start`; two quotes are one. Returns where it ends.
fn quoted(chars: &[char], start: usize, out: &mut String) -> Option<usize> {
    if chars.get(start + 1) == Some(&'\'') {
        out.push('\'');
        return Some(start + 2);
    }
    let mut i = start + 1;
    loop {
        match (chars.get(i)?, chars.get(i + 1)) {
            ('\'', Some('\'')) => {
                out.push('\'');
                i += 2;
            }
            ('\'', _) => return Some(i + 1),
            (c, _) => {
                out.push(*c);
                i += 1;
            }
        }
    }
}

fn java_field(letter: char, run: usize, t: NaiveDateTime, out: &mut String) -> Option<()> {
    let number = match letter {
        'y' | 'Y' if run == 2 => {
            out.push_str(&format!("{:02}", t.year().rem_euclid(100)));
            return Some(());
        }
        'y' | 'Y' => t.year().unsigned_abs(),
        'M' if run == 3 => {
            out.push_str(&t.format("%b").to_string());
            return Some(());
        }
        'M' if run > 3 => {
            out.push_str(&t.format("%B").to_string());
            return Some(());
        }
        'M' => t.month(),
        'd' => t.day(),
        'D' => t.ordinal(),
        'H' => t.hour(),
        'h' => (t.hour() + 11) % 12 + 1,
        'k' => (t.hour() + 23) % 24 + 1,
        'm' => t.minute(),
        's' => t.second(),
        'S' => {
            let digits = format!("{:09}", t.nanosecond() % 1_000_000_000);
            out.push_str(&digits[..run.min(9)]);
            return Some(());
        }
        'a' => {
            out.push_str(if t.hour() < 12 { "AM" } else { "PM" });
            return Some(());
        }
        'E' if run < 4 => {
            out.push_str(&t.format("%a").to_string());
            return Some(());
        }
        'E' => {
            out.push_str(&t.format("%A").to_string());
            return Some(());
        }
        'u' => t.weekday().number_from_monday(),
        _ => return None,
    };
    let width = run.min(10);
    out.push_str(&format!("{number:0width$}"));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        crate::time::parse_timestamp(text).expect("a reading")
    }

    // MaxCompute documentation of TO_CHAR and TO_DATE: patterns ignore case, `mm` is always the month.
    #[test]
    fn own_patterns_ignore_case() {
        let p = Pattern::parse("YYYY-MM-DD hh:mi:ss").expect("a pattern");
        assert_eq!(p.format(at("2024-03-05 06:07:08")), "2024-03-05 06:07:08");
        assert_eq!(p.read("2024-03-05 06:07:08"), Some(at("2024-03-05 06:07:08")));
        assert_eq!(p.read("2024-3-05 06:07:08"), None);
        let e = Pattern::parse("yyyy-MM-dd HH:mm:ss").expect_err("minutes are mi");
        assert_eq!(e.details, "format string has second part, but doesn't have minute part");
        let p = Pattern::parse("阿里巴巴yyyymmdd").expect("literals");
        assert_eq!(p.format(at("2010-12-03 00:00:00")), "阿里巴巴20101203");
        assert_eq!(p.read("阿里巴巴20101203"), Some(at("2010-12-03 00:00:00")));
    }

    // java.text.SimpleDateFormat documentation.
    #[test]
    fn java_patterns_know_case() {
        let t = at("2024-03-05 16:07:08.123");
        assert_eq!(java_format("yyyy-MM-dd HH:mm:ss.SSS", t).expect("known"), "2024-03-05 16:07:08.123");
        assert_eq!(java_format("hh 'o''clock' a, EEE", t).expect("known"), "04 o'clock PM, Tue");
        assert!(java_format("yyyy-bb", t).is_err());
    }
}
