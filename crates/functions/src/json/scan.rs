//! JSON values as they stand in a text: checked once, then looked at without copying.

use std::borrow::Cow;

/// Deeper values are refused, so that foreign text cannot exhaust the stack.
const MAX_DEPTH: usize = 200;

/// One well-formed JSON value, without blanks around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Json<'a>(&'a str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Bool,
    Null,
}

impl<'a> Json<'a> {
    /// The value that `text` is; `None` if it is not exactly one.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut scanner = Scanner { text, at: 0 };
        scanner.blanks();
        let value = scanner.value(0)?;
        scanner.blanks();
        (scanner.at == text.len()).then_some(value)
    }

    pub(crate) fn raw(self) -> &'a str {
        self.0
    }

    pub(crate) fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::Text,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    pub(crate) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The members of an object in their order; nothing for other values.
    pub(crate) fn members(self) -> Vec<(Cow<'a, str>, Json<'a>)> {
        let mut out = Vec::new();
        self.walk(b'{', |scanner| {
            let name = scanner.string()?;
            scanner.blanks();
            scanner.eat(b':')?;
            scanner.blanks();
            out.push((unescape(name), scanner.value(0)?));
            Some(())
        });
        out
    }

    /// The items of an array; nothing for other values.
    pub(crate) fn items(self) -> Vec<Json<'a>> {
        let mut out = Vec::new();
        self.walk(b'[', |scanner| {
            out.push(scanner.value(0)?);
            Some(())
        });
        out
    }

    /// The first member of this name; several of one name are legal JSON.
    pub(crate) fn member(self, name: &str) -> Option<Json<'a>> {
        self.members().into_iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// What a string holds; `None` for other values.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::Text).then(|| unescape(self.0))
    }

    /// The value as people want to read it: a string without quotes, everything else as it stands.
    pub(crate) fn plain(self) -> Cow<'a, str> {
        self.text().unwrap_or(Cow::Borrowed(self.0))
    }

    /// Calls `each` at the beginning of every entry of the container that begins with `open`.
    fn walk(self, open: u8, mut each: impl FnMut(&mut Scanner<'a>) -> Option<()>) {
        let mut scanner = Scanner { text: self.0, at: 0 };
        if scanner.eat(open).is_none() {
            return;
        }
        scanner.blanks();
        while !matches!(scanner.peek(), None | Some(b'}' | b']')) {
            if each(&mut scanner).is_none() {
                return;
            }
            scanner.blanks();
            if scanner.eat(b',').is_none() {
                return;
            }
            scanner.blanks();
        }
    }

    /// The value without the blanks between its parts.
    pub(crate) fn compact(self) -> String {
        let mut out = String::with_capacity(self.0.len());
        let (mut inside, mut escaped) = (false, false);
        for c in self.0.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if inside => escaped = true,
                '"' => inside = !inside,
                ' ' | '\t' | '\n' | '\r' if !inside => continue,
                _ => {}
            }
            out.push(c);
        }
        out
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let start = self.at;
        match self.peek()? {
            b'{' => self.container(b'}', depth, true)?,
            b'[' => self.container(b']', depth, false)?,
            b'"' => {
                self.string()?;
            }
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        Some(Json(&self.text[start..self.at]))
    }

    fn container(&mut self, close: u8, depth: usize, named: bool) -> Option<()> {
        self.at += 1;
        self.blanks();
        if self.eat(close).is_some() {
            return Some(());
        }
        loop {
            self.blanks();
            if named {
                self.string()?;
                self.blanks();
                self.eat(b':')?;
                self.blanks();
            }
            self.value(depth + 1)?;
            self.blanks();
            if self.eat(close).is_some() {
                return Some(());
            }
            self.eat(b',')?;
        }
    }

    /// A string with its quotes. Control characters may stand in it unescaped, as Hive's reader allows.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.eat(b'"')?;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(&self.text[start..self.at]);
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        b'u' => {
                            let digits = self.text.as_bytes().get(self.at + 1..self.at + 5)?;
                            digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                            self.at += 5;
                        }
                        _ => return None,
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let _sign = self.eat(b'-');
        if self.eat(b'0').is_none() {
            self.digits()?;
        }
        if self.eat(b'.').is_some() {
            self.digits()?;
        }
        if self.eat(b'e').or_else(|| self.eat(b'E')).is_some() {
            let _sign = self.eat(b'-').or_else(|| self.eat(b'+'));
            self.digits()?;
        }
        Some(())
    }
}

/// What a checked string with quotes holds.
fn unescape(quoted: &str) -> Cow<'_, str> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (c, used) = match rest.as_bytes().first() {
            Some(b'u') => unicode(rest),
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            Some(b) => (char::from(*b), 1),
            None => break,
        };
        out.push(c);
        rest = &rest[used..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of `uXXXX` or of a pair `uXXXX\uXXXX`, and how many bytes it took. Half a pair is U+FFFD.
fn unicode(text: &str) -> (char, usize) {
    let unit = |at: usize| text.get(at..at + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let high = unit(1).unwrap_or(0xFFFD);
    if (0xD800..0xDC00).contains(&high)
        && text.get(5..7) == Some("\\u")
        && let Some(low) = unit(7).filter(|low| (0xDC00..0xE000).contains(low))
    {
        let c = char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00));
        return (c.unwrap_or(char::REPLACEMENT_CHARACTER), 11);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 5)
}

/// Appends `text` as a JSON string, with quotes.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8259.
    #[test]
    fn only_whole_values_are_json() {
        for good in ["{}", " [1, 2] ", "\"a\\u00e9\"", "-1.5e+3", "null", "{\"a\":{\"b\":[true,false]}}"] {
            assert!(Json::parse(good).is_some(), "{good}");
        }
        for bad in ["", "{", "[1,]", "{\"a\" 1}", "01", "1.", "tru", "\"\\x\"", "1 2", "{a:1}", "'a'", "-"] {
            assert!(Json::parse(bad).is_none(), "{bad}");
        }
        let deep = "[".repeat(100_000);
        assert!(Json::parse(&deep).is_none());
    }

    // RFC 8259: strings hold escapes, and pairs of them for characters beyond U+FFFF.
    #[test]
    fn strings_are_unescaped() {
        let json = Json::parse(r#"{"a\nb":"\u4e2d\ud83d\ude00\"","x":[1, "y"]}"#).expect("json");
        let members = json.members();
        assert_eq!(members[0].0, "a\nb");
        assert_eq!(members[0].1.plain(), "中😀\"");
        assert_eq!(json.member("x").expect("there").compact(), "[1,\"y\"]");
        let mut out = String::new();
        quote("a\"\n\u{1}", &mut out);
        assert_eq!(out, r#""a\"\n\u0001""#);
    }
}
