//! Decodes the source form of strings, quoted names and numbers.

use crate::{Position, Result, SqlError};

/// The characters of a string literal, its quotes removed and its escapes resolved.
///
/// Escapes: `\n \t \r \b \\ \' \" \; \Z \0`, `\ooo` with exactly three octal digits, `\uXXXX`. `\%` and `\_` keep the
/// backslash, because LIKE needs it. Before any other character the backslash falls away. `at` is where the literal
/// begins.
pub fn text_value(source: &str, at: Position) -> Result<String> {
    let body = source.get(1..source.len().saturating_sub(1)).unwrap_or_default();
    if !body.contains('\\') {
        return Ok(body.to_string());
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(slash) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..slash]);
        let escape = &rest[slash + 1..];
        let Some(length) = unescape(escape, &mut bytes) else {
            let read = source.len() - 1 - rest.len() + slash;
            return Err(SqlError::unexpected_escape(at.after(&source[..read])));
        };
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| SqlError::parse(at, "the escapes of the string do not form UTF-8 characters"))
}

/// Appends what the escape at the front of `rest` (after the backslash) stands for, and returns its length.
fn unescape(rest: &str, out: &mut Vec<u8>) -> Option<usize> {
    let c = rest.chars().next()?;
    let byte = match c {
        '0'..='9' => return octal(rest, out),
        'u' => return Some(unicode(rest, out)),
        'n' => b'\n',
        't' => b'\t',
        'r' => b'\r',
        'b' => 8,
        'Z' => 0x1a,
        '%' | '_' => {
            out.push(b'\\');
            c as u8
        }
        _ => {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(c.len_utf8());
        }
    };
    out.push(byte);
    Some(1)
}

/// `\0`, or three octal digits that no fourth digit follows.
fn octal(rest: &str, out: &mut Vec<u8>) -> Option<usize> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    match digits {
        1 if rest.starts_with('0') => out.push(0),
        3 => out.push(u8::from_str_radix(&rest[..3], 8).ok()?),
        _ => return None,
    }
    Some(digits)
}

fn unicode(rest: &str, out: &mut Vec<u8>) -> usize {
    let code = rest.get(1..5).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
    match code.and_then(|h| u32::from_str_radix(h, 16).ok()).and_then(char::from_u32) {
        Some(c) => {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            5
        }
        None => {
            out.push(b'u');
            1
        }
    }
}

/// The name inside back quotes, a doubled back quote standing for one. Lower case, as every name is stored and shown.
pub fn quoted_name(source: &str) -> String {
    let body = source.get(1..source.len().saturating_sub(1)).unwrap_or_default();
    body.replace("``", "`").to_lowercase()
}

/// Digits of `X'…'`: an odd count gets a leading 0. `None` if something else than hexadecimal digits is inside.
pub fn hex_digits(source: &str) -> Option<String> {
    let body = source.get(2..source.len().saturating_sub(1))?;
    let even = if body.len().is_multiple_of(2) { body.to_string() } else { format!("0{body}") };
    body.bytes().all(|b| b.is_ascii_hexdigit()).then_some(even)
}

/// The type that the suffix of a number asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suffix {
    None,
    TinyInt,
    SmallInt,
    BigInt,
    Decimal,
    Float,
}

/// Splits a number into its digits and its suffix.
pub fn split_number(source: &str) -> (&str, Suffix) {
    let cut = |n: usize| &source[..source.len() - n];
    match source.as_bytes() {
        [.., b'b' | b'B', b'd' | b'D'] => (cut(2), Suffix::Decimal),
        [.., b'y' | b'Y'] => (cut(1), Suffix::TinyInt),
        [.., b's' | b'S'] => (cut(1), Suffix::SmallInt),
        [.., b'l' | b'L'] => (cut(1), Suffix::BigInt),
        [.., b'f' | b'F'] => (cut(1), Suffix::Float),
        _ => (source, Suffix::None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // MaxCompute documentation, "Escape characters": the table of escapes, and the rule that an octal escape has exactly
    // three digits (`\01` and `\0001` are errors).
    #[test]
    fn escapes_are_resolved() {
        for (source, value) in [
            (r"'a\nb\tc\rd\be'", "a\nb\tc\rd\u{8}e"),
            (r#"'it\'s' "#.trim_end(), "it's"),
            (r#""a \"q\" \\ b""#, "a \"q\" \\ b"),
            (r"'\;\Z\0'", ";\u{1a}\0"),
            (r"'\001\101'", "\u{1}A"),
            (r"'\344\270\255'", "中"),
            (r"'\u4e2d\u'", "中u"),
            (r"'a\\%b\%c\_'", r"a\%b\%c\_"),
            (r"'\d\中'", "d中"),
            ("''", ""),
        ] {
            assert_eq!(text_value(source, Position::START).unwrap(), value, "{source}");
        }
        for (source, column) in [(r"'\01'", 2), (r"'ab\0001'", 4), (r"'\1'", 2), (r"'\888'", 2), (r"'中\777'", 3)] {
            let e = text_value(source, Position::START).unwrap_err();
            assert_eq!(
                e.to_string(),
                format!("ODPS-0130161:[1,{column}] Parse exception - unexpected escape sequence")
            );
        }
        assert!(text_value(r"'\377'", Position::START).is_err(), "not UTF-8");
    }

    #[test]
    fn names_and_binary_literals_are_decoded() {
        assert_eq!(quoted_name("`A``b`"), "a`b");
        assert_eq!(hex_digits("X'616'").as_deref(), Some("0616"));
        assert_eq!(hex_digits("X'6g'"), None);
        assert_eq!(split_number("1.5bd"), ("1.5", Suffix::Decimal));
        assert_eq!(split_number("12"), ("12", Suffix::None));
    }
}
