//! Decimal text to scaled integers and back.

/// 10 to the power of the index.
const POW10: [i128; 39] = {
    let mut table = [1i128; 39];
    let mut i = 1;
    while i < table.len() {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// True if `value` has at most `precision` digits.
pub(crate) fn fits(value: i128, precision: u8) -> bool {
    POW10.get(usize::from(precision)).is_none_or(|bound| value.unsigned_abs() < bound.unsigned_abs())
}

/// Room for every decimal: 39 digits, a sign, a point and a leading zero.
pub(crate) const TEXT_MAX: usize = 42;

/// Writes `value / 10^scale` with exactly `scale` digits after the point; the text is the returned tail of `buf`.
pub(crate) fn format(value: i128, scale: usize, buf: &mut [u8; TEXT_MAX]) -> &[u8] {
    let scale = scale.min(38);
    let mut at = TEXT_MAX;
    let mut rest = value.unsigned_abs();
    let mut done = 0;
    let mut put = |digit: u8, done: &mut usize| {
        if *done == scale && scale > 0 {
            at -= 1;
            buf[at] = b'.';
        }
        at -= 1;
        buf[at] = b'0' + digit;
        *done += 1;
    };
    // Division of 64-bit words is several times as fast; nearly every decimal fits one.
    while rest > u128::from(u64::MAX) {
        put((rest % 10) as u8, &mut done);
        rest /= 10;
    }
    let mut rest = rest as u64;
    while rest > 0 || done <= scale {
        put((rest % 10) as u8, &mut done);
        rest /= 10;
    }
    if value < 0 {
        at -= 1;
        buf[at] = b'-';
    }
    &buf[at..]
}

/// Parses decimal text such as `-1.50` or `1E+3` into an integer of the given scale. Digits beyond the scale are rounded,
/// half away from zero, as MaxCompute does. The error says why there is no such value.
pub(crate) fn parse(text: &[u8], precision: u8, scale: u8) -> Result<i128, String> {
    if let Some(value) = parse_short(text, scale)
        && fits(value, precision)
    {
        return Ok(value);
    }
    parse_long(text, precision, scale)
}

/// At most 18 digits, no exponent, no digit to round away; `None` for anything else.
fn parse_short(text: &[u8], scale: u8) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let (mut value, mut point) = (0i64, None);
    for (i, &b) in digits.iter().enumerate() {
        match b {
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(i64::from(b - b'0'))?,
            b'.' if point.is_none() && digits.len() > 1 => point = Some(i + 1),
            _ => return None,
        }
    }
    let fraction = point.map_or(0, |at| digits.len() - at);
    let shift = usize::from(scale).checked_sub(fraction)?;
    let value = i128::from(value).checked_mul(*POW10.get(shift)?)?;
    Some(if negative { -value } else { value })
}

/// An exponent outside this range has no decimal of 38 digits anyway.
const MAX_EXPONENT: i64 = 100_000;

fn parse_long(text: &[u8], precision: u8, scale: u8) -> Result<i128, String> {
    let shown = || String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
    let not_decimal = || format!("'{}' is not a decimal", shown());
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let split = rest.iter().position(|b| matches!(b, b'e' | b'E'));
    let (mantissa, exponent) = match split {
        Some(at) => (&rest[..at], parse_exponent(&rest[at + 1..]).ok_or_else(not_decimal)?),
        None => (rest, 0),
    };
    let point = mantissa.iter().position(|&b| b == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    if whole.len() + fraction.len() == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(not_decimal());
    }
    let zeros = whole.iter().chain(fraction).take_while(|&&b| b == b'0').count();
    let mut digits = whole.iter().chain(fraction).skip(zeros).map(|b| i128::from(b - b'0'));
    if zeros == whole.len() + fraction.len() {
        return Ok(0);
    }
    // How many of the digits, from the first that is not zero, stand before the place of the scale.
    let keep = whole.len() as i64 - zeros as i64 + exponent + i64::from(scale);
    let overflow = || format!("'{}' does not fit decimal({precision},{scale})", shown());
    if keep > 38 {
        return Err(overflow());
    }
    if keep < 0 {
        return Ok(0);
    }
    let mut value = 0i128;
    for _ in 0..keep {
        value = value * 10 + digits.next().unwrap_or(0);
    }
    if digits.next().is_some_and(|next| next >= 5) {
        value += 1;
    }
    if !fits(value, precision) {
        return Err(overflow());
    }
    Ok(if negative { -value } else { value })
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 18 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse::<i64>().ok().map(|e| e.clamp(-MAX_EXPONENT, MAX_EXPONENT))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn text(value: i128, scale: usize) -> String {
        String::from_utf8(format(value, scale, &mut [0; TEXT_MAX]).to_vec()).unwrap()
    }

    #[test]
    fn decimals_print_with_their_scale() {
        for (value, scale, want) in [
            (150, 2, "1.50"),
            (-5, 2, "-0.05"),
            (0, 0, "0"),
            (0, 3, "0.000"),
            (7, 0, "7"),
            (i128::from(u64::MAX), 0, "18446744073709551615"),
            (10i128.pow(38) - 1, 38, "0.99999999999999999999999999999999999999"),
            (i128::MIN, 1, "-17014118346046923173168730371588410572.8"),
        ] {
            assert_eq!(text(value, scale), want);
        }
    }

    // Exponents: Python prints Decimal('1000').normalize() as 1E+3. Rounding: ROUND_HALF_UP in PyODPS odps/types.py.
    #[test]
    fn every_spelling_of_a_decimal_is_read() {
        for (spelling, precision, scale, want) in [
            ("1.50", 10, 2, 150),
            ("+1.5", 10, 2, 150),
            ("-.5", 10, 1, -5),
            ("5.", 10, 1, 50),
            ("1E+3", 10, 2, 100_000),
            ("1.25e-1", 10, 2, 13),
            ("-1.125", 10, 2, -113),
            ("0.004", 10, 2, 0),
            ("0.005", 10, 2, 1),
            ("0E-999999999", 10, 2, 0),
            ("1e-999999", 10, 2, 0),
            ("000000000000000000000000000000000000000000001", 1, 0, 1),
            ("99999999999999999999999999999999999999", 38, 0, 10i128.pow(38) - 1),
        ] {
            assert_eq!(parse(spelling.as_bytes(), precision, scale), Ok(want), "{spelling}");
        }
        for bad in ["", "-", ".", "+", "1.2.3", "NaN", "Infinity", "1e", "e1", "0x1", " 1", "1 ", "--1", "1-"] {
            assert!(parse(bad.as_bytes(), 38, 2).unwrap_err().contains("not a decimal"), "{bad}");
        }
        for big in ["100", "99.995", "1e2", "1e999999999999999999", "-123456789012345678901234567890123456789012"] {
            let e = parse(big.as_bytes(), 4, 2).unwrap_err();
            assert!(e.contains("does not fit decimal(4,2)") || big.len() > 20, "{big}: {e}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(value in any::<i128>(), scale in 0u8..=38, short in any::<bool>()) {
            let value = if short { value % 1_000_000_000 } else { value % POW10[38] };
            prop_assert_eq!(parse(text(value, scale.into()).as_bytes(), 38, scale), Ok(value));
        }

        #[test]
        fn any_bytes_are_a_decimal_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let _ = parse(&bytes, 38, 18);
        }

        #[test]
        fn any_number_like_text_is_a_decimal_or_an_error(spelling in "[-+]?[0-9]{0,45}[.]?[0-9]{0,45}([eE][-+]?[0-9]{1,20})?") {
            let _ = parse(spelling.as_bytes(), 38, 18);
        }
    }
}
