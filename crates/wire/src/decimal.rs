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

/// Eight digits of a number below 10^8, the first in the lowest byte, leading zeros included.
fn digits(value: u64) -> u64 {
    // Halves of four digits, then quarters of two, then single ones, side by side.
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens | (twos - tens * 10) << 8) + ZEROS
}

/// Eight characters `0`.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Writes `value / 10^scale` with exactly `scale` digits after the point; the text is the returned tail of `buf`.
pub(crate) fn format(value: i128, scale: usize, buf: &mut [u8; TEXT_MAX]) -> &[u8] {
    const BLOCK: u64 = 100_000_000;
    let scale = scale.min(38);
    // Where the digits begin if there is one before the point and no more.
    let least = TEXT_MAX - 1 - scale;
    let (mut rest, mut at) = (value.unsigned_abs(), TEXT_MAX);
    while rest > 0 || at > least {
        // Division of 64-bit words is several times as fast; nearly every decimal fits one.
        let block = match u64::try_from(rest) {
            Ok(word) => {
                rest = (word / BLOCK).into();
                word % BLOCK
            }
            Err(_) => {
                let block = rest % u128::from(BLOCK);
                rest /= u128::from(BLOCK);
                block as u64
            }
        };
        at -= 8;
        buf[at..at + 8].copy_from_slice(&digits(block).to_le_bytes());
    }
    at += buf[at..least].iter().take_while(|&&b| b == b'0').count();
    if scale > 0 {
        buf.copy_within(at..TEXT_MAX - scale, at - 1);
        buf[least] = b'.';
        at -= 1;
    }
    if value < 0 {
        at -= 1;
        buf[at] = b'-';
    }
    &buf[at..]
}

/// What [`format`] writes as a word and its length; `None` if it does not fit 16 bytes.
#[inline]
pub(crate) fn format_short(value: i128, scale: usize) -> Option<([u8; 16], usize)> {
    const BLOCK: u64 = 100_000_000;
    let rest = u64::try_from(value.unsigned_abs()).ok().filter(|&v| v < BLOCK * BLOCK)?;
    let all = u128::from(digits(rest / BLOCK)) | u128::from(digits(rest % BLOCK)) << 64;
    let zeros = (all ^ (u128::from(ZEROS) << 64 | u128::from(ZEROS))).trailing_zeros() as usize / 8;
    let (sign, point) = (usize::from(value < 0), usize::from(scale > 0));
    // Leading zeros that do not count, which make place for the sign and the point.
    let skip = zeros.min(15usize.checked_sub(scale)?);
    if skip < sign + point {
        return None;
    }
    let mut text = all >> (8 * skip);
    if point > 0 {
        let before = 8 * (16 - scale - skip);
        let mask = (1 << before) - 1;
        text = text & mask | u128::from(b'.') << before | (text & !mask) << 8;
    }
    if sign > 0 {
        text = text << 8 | u128::from(b'-');
    }
    Some((text.to_le_bytes(), 16 - skip + sign + point))
}

/// Parses decimal text such as `-1.50` or `1E+3` into an integer of the given scale. Digits beyond the scale are rounded,
/// half away from zero, as MaxCompute does. The error says why there is no such value.
pub(crate) fn parse(text: &[u8], precision: u8, scale: u8) -> Result<i128, String> {
    if let Some(value) = parse_plain(text, scale)
        && fits(value, precision)
    {
        return Ok(value);
    }
    parse_long(text, precision, scale)
}

/// [`parse`] of the first `n` of `bytes`.
#[inline]
pub(crate) fn parse_short(bytes: &[u8; 32], n: usize, precision: u8, scale: u8) -> Result<i128, String> {
    if let Some(value) = parse_common(bytes, n, scale.into())
        && fits(value.into(), precision)
    {
        return Ok(value.into());
    }
    parse(&bytes[..n], precision, scale)
}

/// Up to eight digits on each side of the point, exactly `scale` of them behind it; `None` for anything else.
#[inline]
fn parse_common(bytes: &[u8; 32], n: usize, scale: usize) -> Option<i64> {
    let eight_at = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let negative = bytes[0] == b'-';
    let sign = usize::from(negative);
    let point = n.checked_sub(scale + usize::from(scale > 0))?;
    let mut value = number(eight_at(sign)?, point.checked_sub(sign)?)?;
    if scale > 0 {
        if bytes.get(point) != Some(&b'.') {
            return None;
        }
        let fraction = number(eight_at(point + 1)?, scale)?;
        value = value * POW10[scale] as u64 + fraction;
    }
    Some(if negative { -(value as i64) } else { value as i64 })
}

/// The number of the first `n` digits, of which the first is in the lowest byte; `None` if they are none, not all digits,
/// or more than eight.
#[inline]
fn number(digits: u64, n: usize) -> Option<u64> {
    if n.wrapping_sub(1) >= 8 {
        return None;
    }
    // What is behind the digits goes, zeros come before them.
    let v = (digits ^ ZEROS) << (64 - 8 * n);
    if (v | v.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    // Neighbours join: two digits, then four, then eight. What overflows is not looked at.
    let twos = v.wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (twos & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    Some((fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32)
}

/// Digits with at most one point, nothing to round away; `None` for anything else, and where 38 digits may not do.
fn parse_plain(text: &[u8], scale: u8) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let point = digits.iter().take(40).position(|&b| b == b'.').unwrap_or(digits.len());
    let (whole, fraction) = (&digits[..point], digits.get(point + 1..).unwrap_or_default());
    let count = whole.len() + fraction.len();
    let shift = usize::from(scale).checked_sub(fraction.len())?;
    if count == 0 || count + shift > 38 {
        return None;
    }
    let mut value = 0i128;
    for piece in whole.chunks(8).chain(fraction.chunks(8)) {
        let mut eight = [0; 8];
        eight[..piece.len()].copy_from_slice(piece);
        value = value * POW10[piece.len()] + i128::from(number(u64::from_le_bytes(eight), piece.len())?);
    }
    value *= POW10[shift];
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
            (-7, 0, "-7"),
            (99_999_999, 8, "0.99999999"),
            (100_000_000, 8, "1.00000000"),
            (-12_345_678_901_234, 2, "-123456789012.34"),
            (123_456_789_012_345, 15, "0.123456789012345"),
            (9_999_999_999_999_999, 0, "9999999999999999"),
            (10_000_000_000_000_000, 0, "10000000000000000"),
            (1_500_000_000_000_000_000, 18, "1.500000000000000000"),
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

    /// Text in a window, with something behind it.
    fn window(text: &[u8], behind: u8) -> Option<[u8; 32]> {
        let mut bytes = [behind; 32];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(bytes)
    }

    proptest! {
        // Rust's own formatting of integers says what the digits are.
        #[test]
        fn short_and_long_ways_write_the_same(value in any::<i128>(), shift in 0u32..128, scale in 0usize..=38) {
            let value = value >> shift;
            let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let (sign, point) = (if value < 0 { "-" } else { "" }, if scale > 0 { "." } else { "" });
            let want = format!("{sign}{whole}{point}{fraction}");
            prop_assert_eq!(&text(value, scale), &want);
            match format_short(value, scale) {
                Some((bytes, n)) => prop_assert_eq!(&bytes[..n], want.as_bytes()),
                None => prop_assert!(want.len() > 16 || value.unsigned_abs() >= 10u128.pow(16) || scale > 15),
            }
        }

        #[test]
        fn short_and_long_ways_read_the_same(spelling in "[-+]?[0-9]{0,12}[.]?[0-9]{0,9}[x/:e]?", behind in any::<u8>(), scale in 0u8..=12) {
            if let Some(bytes) = window(spelling.as_bytes(), behind) {
                let n = spelling.len();
                let long = parse_long(spelling.as_bytes(), 15, scale);
                prop_assert_eq!(&parse(spelling.as_bytes(), 15, scale), &long);
                prop_assert_eq!(&parse_short(&bytes, n, 15, scale), &long);
            }
        }

        #[test]
        fn what_is_printed_is_read_back(value in any::<i128>(), scale in 0u8..=38, short in any::<bool>()) {
            let value = if short { value % 1_000_000_000 } else { value % POW10[38] };
            prop_assert_eq!(parse(text(value, scale.into()).as_bytes(), 38, scale), Ok(value));
        }

        #[test]
        fn any_bytes_are_a_decimal_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let _ = parse(&bytes, 38, 18);
            if let Some(window) = window(&bytes, b'1') {
                prop_assert_eq!(parse_short(&window, bytes.len(), 38, 2), parse_long(&bytes, 38, 2));
            }
        }

        #[test]
        fn any_number_like_text_is_a_decimal_or_an_error(spelling in "[-+]?[0-9]{0,45}[.]?[0-9]{0,45}([eE][-+]?[0-9]{1,20})?") {
            let _ = parse(spelling.as_bytes(), 38, 18);
        }
    }
}
