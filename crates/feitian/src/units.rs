//! Sizes such as `64MiB` and durations such as `1h30m`, read from and durations written for people.

use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

const DURATIONS_MS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a size in bytes: a whole number with an optional unit (`B`, `KB`, `KiB`, … `TiB`, any case).
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let help = || format!("`{text}` is no size; write for example 512MiB, 2GiB or a number of bytes");
    let (number, unit) = split_number(text.trim()).ok_or_else(help)?;
    let factor = match unit {
        "" => 1,
        _ => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(help)?.1,
    };
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is more than 2^64 bytes"))
}

/// Reads a duration: whole numbers with units `d`, `h`, `m`, `s`, `ms`, largest first or not, for example `1h30m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let help = || format!("`{text}` is no duration; write for example 500ms, 30s, 1h30m or 7d");
    let too_long = || format!("`{text}` is too long");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(help());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, tail) = split_number(rest).ok_or_else(help)?;
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let factor = DURATIONS_MS.iter().find(|(name, _)| *name == unit).ok_or_else(help)?.1;
        total = number.checked_mul(factor).and_then(|ms| total.checked_add(ms)).ok_or_else(too_long)?;
        rest = next;
    }
    // Times are signed 64-bit milliseconds everywhere else, so that a longer one could not be added to a clock.
    if total > i64::MAX as u64 / 2 { Err(too_long()) } else { Ok(Duration::from_millis(total)) }
}

/// `text` as its leading digits and what follows, spaces between them dropped.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, tail) = text.split_at(end);
    Some((digits.parse().ok()?, tail.trim_start()))
}

/// `ms` in the two largest units that matter: `1h 2m`, `3.2s`, `15ms`.
pub fn show_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}m {}s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{}h {}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{}d {}h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values: arithmetic on the definitions of the units (IEC 80000-13, SI).
    #[test]
    fn sizes_know_binary_and_decimal_units() {
        for (text, bytes) in
            [("0", 0), ("64MiB", 67_108_864), ("64 mib", 67_108_864), ("1GB", 1_000_000_000), ("7B", 7)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1", "1.5GiB", "1XB", "99999999999TiB", "1 GiB 2"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_add_up_their_parts() {
        for (text, ms) in [("500ms", 500), ("30s", 30_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("0s", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "30", "s", "1x", "1h-2m", "999999999999999d", "1.5h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shown_values_use_the_largest_unit_that_fits() {
        assert_eq!(show_ms(15), "15ms");
        assert_eq!(show_ms(3_210), "3.2s");
        assert_eq!(show_ms(3_720_000), "1h 2m");
    }
}
