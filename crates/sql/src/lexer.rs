//! Cuts SQL text into tokens, each with its place in the original text.
//!
//! Comments and blanks vanish, except that a hint (`/*+ … */`) right after SELECT or FROM is a token. Literals keep their
//! source form; [`crate::literal`] decodes them. Full-width `（ ） ， ；` are the same tokens as `( ) , ;`.

use crate::{Position, Result, SqlError};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a plain name; also `${name}`.
    Word,
    /// A name in back quotes.
    Quoted,
    /// A string in single or double quotes.
    Text,
    /// `X'6162'`.
    Hex,
    /// A number with its suffix.
    Number,
    /// `/*+ … */`.
    Hint,
    Symbol(Symbol),
    /// After the last token of a statement.
    End,
}

/// Operators and separators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbol {
    LParen,
    RParen,
    LBracket,
    RBracket,
    LBrace,
    RBrace,
    Comma,
    Semicolon,
    Dot,
    Colon,
    DoubleColon,
    Assign,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Caret,
    Tilde,
    Bang,
    Amp,
    Pipe,
    Concat,
    Eq,
    Neq,
    Lt,
    LtEq,
    Gt,
    GtEq,
    NullSafeEq,
    Arrow,
    At,
    Hash,
    Question,
}

/// A token: its kind, its bytes in the text and where it begins. Small and without text of its own, because a statement
/// of 2 MB may have two million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    start: u32,
    end: u32,
    pub position: Position,
}

impl Token {
    /// Byte offsets of the token in the text it was cut from.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The token's source form. `source` must be the text that it was cut from.
    pub fn text(self, source: &str) -> &str {
        source.get(self.range()).unwrap_or_default()
    }

    /// The end of a statement, standing where this token stands.
    pub(crate) fn into_end(self) -> Self {
        Self { kind: Kind::End, ..self }
    }

    /// True for an unquoted word that equals `keyword` in any letter case.
    pub(crate) fn is_word(self, source: &str, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text(source).eq_ignore_ascii_case(keyword)
    }
}

/// Reads tokens from the front of a text.
#[derive(Clone)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    position: Position,
    before: Kind,
    hint_may_follow: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, position: Position::START, before: Kind::End, hint_may_follow: false }
    }

    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Moves over the next `bytes` bytes, which must end between two characters.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.position = self.position.after(&self.text[self.at..self.at + bytes]);
        self.at += bytes;
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Moves over blanks and comments; stops before a hint if one may stand here.
    pub(crate) fn skip_blanks(&mut self) -> Result<()> {
        loop {
            let rest = self.rest();
            let blanks = rest.find(|c: char| !is_blank(c)).unwrap_or(rest.len());
            self.advance(blanks);
            let rest = self.rest();
            if rest.starts_with("--") {
                self.advance(rest.find('\n').unwrap_or(rest.len()));
            } else if rest.starts_with("/*") && !(self.hint_may_follow && rest.starts_with("/*+")) {
                self.advance(self.comment_length()?);
            } else {
                return Ok(());
            }
        }
    }

    fn comment_length(&self) -> Result<usize> {
        match self.rest()[2..].find("*/") {
            Some(end) => Ok(end + 4),
            None => Err(SqlError::parse(self.position, "the comment is not closed")),
        }
    }

    /// The next token; [`Kind::End`] for ever after the last one.
    pub(crate) fn next_token(&mut self) -> Result<Token> {
        self.skip_blanks()?;
        let (start, position) = (self.at, self.position);
        let (kind, length) = self.measure()?;
        self.advance(length);
        let token = Token { kind, start: start as u32, end: self.at as u32, position };
        self.before = kind;
        self.hint_may_follow = token.is_word(self.text, "select") || token.is_word(self.text, "from");
        Ok(token)
    }

    /// Kind and length in bytes of the token that begins here.
    fn measure(&self) -> Result<(Kind, usize)> {
        let rest = self.rest();
        let Some(c) = self.peek() else { return Ok((Kind::End, 0)) };
        match c {
            '\'' | '"' => Ok((Kind::Text, self.text_length(rest, c)?)),
            '`' => Ok((Kind::Quoted, self.quoted_length(rest)?)),
            'x' | 'X' if rest[1..].starts_with('\'') => {
                let body = rest[2..].find('\'').ok_or_else(|| self.unclosed("literal"))?;
                Ok((Kind::Hex, body + 3))
            }
            '/' if rest.starts_with("/*+") => Ok((Kind::Hint, self.comment_length()?)),
            '0'..='9' => Ok(number_or_word(rest)),
            '.' if self.is_fraction(rest) => Ok(number_or_word(rest)),
            c if is_name(c) => Ok((Kind::Word, word_length(rest))),
            _ => match symbol(rest) {
                Some((symbol, length)) => Ok((Kind::Symbol(symbol), length)),
                None => Err(SqlError::invalid_token(self.position, &c.to_string(), None)),
            },
        }
    }

    /// True if the dot here begins a number: in `t.1a` it separates two names.
    fn is_fraction(&self, rest: &str) -> bool {
        let after_name =
            matches!(self.before, Kind::Word | Kind::Quoted | Kind::Symbol(Symbol::RParen | Symbol::RBracket));
        let glued = self.text[..self.at].chars().next_back().is_some_and(|c| is_name(c) || "`)]".contains(c));
        rest[1..].starts_with(|c: char| c.is_ascii_digit()) && !(after_name && glued)
    }

    fn unclosed(&self, what: &str) -> SqlError {
        SqlError::parse(self.position, format!("the {what} is not closed"))
    }

    fn text_length(&self, rest: &str, quote: char) -> Result<usize> {
        let mut escaped = false;
        for (i, b) in rest.bytes().enumerate().skip(1) {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b if b == quote as u8 => return Ok(i + 1),
                _ => {}
            }
        }
        Err(self.unclosed("string"))
    }

    fn quoted_length(&self, rest: &str) -> Result<usize> {
        let mut end = 1;
        while let Some(next) = rest[end..].find('`') {
            end += next + 1;
            if !rest[end..].starts_with('`') {
                return if end == 2 {
                    Err(SqlError::invalid_token(self.position, "``", Some("a name")))
                } else {
                    Ok(end)
                };
            }
            end += 1;
        }
        Err(self.unclosed("back quote"))
    }
}

/// Blanks between tokens, including the ideographic space and the byte order mark that editors leave.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}' || c == '\0'
}

/// Characters of plain names: letters and digits of any script, `_` and `$`.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// `${…}` is at most this long. The bound keeps the search for its end from reading the whole text again and again.
const MAX_VARIABLE: usize = 256;

/// Length of the name here; `${…}` inside it counts as part of it, as scheduling systems leave such variables in texts.
fn word_length(rest: &str) -> usize {
    let mut end = 0;
    loop {
        let tail = &rest[end..];
        if tail.starts_with("${") {
            let ends = |b: u8| matches!(b, b'}' | b'\n' | b'\'' | b'"' | b';' | b'`');
            if let Some(close) = tail.bytes().take(MAX_VARIABLE).position(ends)
                && tail.as_bytes()[close] == b'}'
            {
                end += close + 1;
                continue;
            }
        }
        match tail.chars().next() {
            Some(c) if is_name(c) => end += c.len_utf8(),
            _ => return end,
        }
    }
}

/// A number, or a name that begins with a digit.
fn number_or_word(rest: &str) -> (Kind, usize) {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = digits(0);
    let mut plain = true;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        let name_follows = rest[end + 1..].starts_with(is_name) && fraction == 0;
        if !name_follows {
            end += 1 + fraction;
            plain = false;
        }
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = bytes.get(end + 1 + sign..).map_or(0, |_| digits(end + 1 + sign));
        if exponent > 0 {
            end += 1 + sign + exponent;
            plain &= sign == 0;
        }
    }
    end += suffix_length(&rest[end..]);
    let runs_on = rest[end..].starts_with(is_name);
    if runs_on && plain { (Kind::Word, word_length(rest)) } else { (Kind::Number, end) }
}

fn suffix_length(rest: &str) -> usize {
    match rest.as_bytes() {
        [b'b' | b'B', b'd' | b'D', ..] => 2,
        [b'l' | b'L' | b's' | b'S' | b'y' | b'Y' | b'f' | b'F', ..] => 1,
        _ => 0,
    }
}

fn symbol(rest: &str) -> Option<(Symbol, usize)> {
    use Symbol::*;
    // Longest first, so that `<=>` is not `<=` and `>`. `>>` must stay two tokens: it closes two types.
    const SYMBOLS: &[(&str, Symbol)] = &[
        ("<=>", NullSafeEq),
        ("<=", LtEq),
        (">=", GtEq),
        ("<>", Neq),
        ("!=", Neq),
        ("==", Eq),
        ("||", Concat),
        ("->", Arrow),
        (":=", Assign),
        ("::", DoubleColon),
        ("(", LParen),
        (")", RParen),
        ("[", LBracket),
        ("]", RBracket),
        ("{", LBrace),
        ("}", RBrace),
        (",", Comma),
        (";", Semicolon),
        (".", Dot),
        (":", Colon),
        ("+", Plus),
        ("-", Minus),
        ("*", Star),
        ("/", Slash),
        ("%", Percent),
        ("^", Caret),
        ("~", Tilde),
        ("!", Bang),
        ("&", Amp),
        ("|", Pipe),
        ("=", Eq),
        ("<", Lt),
        (">", Gt),
        ("@", At),
        ("#", Hash),
        ("?", Question),
        ("（", LParen),
        ("）", RParen),
        ("，", Comma),
        ("；", Semicolon),
    ];
    SYMBOLS.iter().find(|(text, _)| rest.starts_with(text)).map(|(text, symbol)| (*symbol, text.len()))
}

/// All tokens of `text`, without the final [`Kind::End`].
///
/// ODPS-0130161 for a string, a name or a comment that is not closed and for a character that begins no token.
pub fn lex(text: &str) -> Result<Vec<Token>> {
    crate::splitter::check_size(text)?;
    let mut lexer = Lexer::new(text);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next_token()?;
        if token.kind == Kind::End {
            return Ok(tokens);
        }
        tokens.push(token);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        lex(text).unwrap().into_iter().map(|t| t.text(text)).collect()
    }

    fn kinds(text: &str) -> Vec<Kind> {
        lex(text).unwrap().into_iter().map(|t| t.kind).collect()
    }

    // Comments and hints: MaxCompute documentation, "HINT" and "Comments"; only a hint after SELECT or FROM is one.
    #[test]
    fn comments_vanish_and_hints_stay() {
        assert_eq!(cut("a -- b\n/* c ; ' */ d"), ["a", "d"]);
        assert_eq!(cut("SELECT /*+ mapjoin(a) */ 1"), ["SELECT", "/*+ mapjoin(a) */", "1"]);
        assert_eq!(cut("a /*+ mapjoin(a) */ b"), ["a", "b"]);
        assert_eq!(
            lex("a /* b").unwrap_err().to_string(),
            "ODPS-0130161:[1,3] Parse exception - the comment is not closed"
        );
    }

    // Identifiers: OdpsLexer.g4 of the Java SDK: letters of any script, digits first allowed, `${name}` inside.
    #[test]
    fn names_may_begin_with_digits_and_hold_any_letters() {
        for name in ["abc", "_a$1", "2024_orders", "1day", "订单表", "t_${bizdate}", "${yyyymmdd-1}", "0x1f", "1e3x"]
        {
            assert_eq!((cut(name), kinds(name)), (vec![name], vec![Kind::Word]), "{name}");
        }
        assert_eq!(cut("t.1a"), ["t", ".", "1a"]);
        assert_eq!(cut("`a``b`"), ["`a``b`"]);
    }

    // Number forms: MaxCompute documentation, "Data types", literal suffixes.
    #[test]
    fn numbers_keep_their_suffix() {
        for number in ["1", "1.5", ".5", "1.", "1e3", "1.5E-3", "1Y", "2S", "3L", "3BD", "1.5bd", "3.14F"] {
            assert_eq!((cut(number), kinds(number)), (vec![number], vec![Kind::Number]), "{number}");
        }
        assert_eq!(cut("1-1"), ["1", "-", "1"]);
    }

    // Separators: OdpsLexer.g4 accepts the full-width forms; inside strings they are characters.
    #[test]
    fn full_width_punctuation_separates_outside_strings() {
        use Symbol::*;
        assert_eq!(kinds("（，）；"), [LParen, Comma, RParen, Semicolon].map(Kind::Symbol));
        assert_eq!(cut("'（，'"), ["'（，'"]);
    }

    #[test]
    fn positions_count_characters_and_lines_of_the_original() {
        let text = "a '中\n文' b\r\n  c";
        let places: Vec<_> = lex(text).unwrap().iter().map(|t| (t.position.line, t.position.column)).collect();
        assert_eq!(places, [(1, 1), (1, 3), (2, 4), (3, 3)]);
    }

    #[test]
    fn what_is_no_token_is_refused_with_its_place() {
        for (text, at) in
            [("a 'b", "[1,3]"), ("a\n  \"b\\\"", "[2,3]"), ("`a", "[1,1]"), ("``", "[1,1]"), ("a \\", "[1,3]")]
        {
            let e = lex(text).unwrap_err().to_string();
            assert!(e.starts_with(&format!("ODPS-0130161:{at} Parse exception - ")), "{text}: {e}");
        }
    }
}
