//! The compile error of MaxCompute SQL: `ODPS-0130161:[1,15] Parse exception - invalid token 'x'`.

use std::borrow::Cow;
use std::fmt;

use feitian_base::{Error, Kind};

use crate::Position;

/// A result whose error is [`SqlError`].
pub type Result<T, E = SqlError> = std::result::Result<T, E>;

/// What is wrong with a statement, and where in the text that the user sent.
///
/// `Display` gives the documented form `ODPS-<code>:[<line>,<column>] <general> - <detail>`, which clients take apart at
/// the first `:` and ` - `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// `ODPS-0130161` and the like.
    pub code: Cow<'static, str>,
    /// From 1; 0 when unknown.
    pub line: u32,
    /// From 1, in characters; 0 when unknown.
    pub column: u32,
    /// The description that belongs to the code.
    pub general: Cow<'static, str>,
    /// What happened here.
    pub detail: String,
}

const PARSE: &str = "ODPS-0130161";
const UNSUPPORTED: &str = "ODPS-0121125";

impl SqlError {
    /// An error of any code.
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        general: impl Into<Cow<'static, str>>,
        at: Position,
        detail: impl Into<String>,
    ) -> Self {
        Self { code: code.into(), line: at.line, column: at.column, general: general.into(), detail: detail.into() }
    }

    /// ODPS-0130161: the text does not follow the grammar.
    pub fn parse(at: Position, detail: impl Into<String>) -> Self {
        Self::new(PARSE, "Parse exception", at, detail)
    }

    /// ODPS-0130161: `token` may not stand here. `expected` says what may, if that is short.
    pub fn invalid_token(at: Position, token: &str, expected: Option<&str>) -> Self {
        let shown = shorten(token);
        match expected {
            Some(expected) => Self::parse(at, format!("invalid token '{shown}', expected {expected}")),
            None => Self::parse(at, format!("invalid token '{shown}'")),
        }
    }

    /// ODPS-0130161: a backslash is followed by something that it cannot escape.
    pub fn unexpected_escape(at: Position) -> Self {
        Self::parse(at, "unexpected escape sequence")
    }

    /// ODPS-0130071: the text follows the grammar but cannot mean anything.
    pub fn semantic(at: Position, detail: impl Into<String>) -> Self {
        Self::new("ODPS-0130071", "Semantic analysis exception", at, detail)
    }

    /// ODPS-0130151: the name of a type is unknown or its arguments are wrong.
    pub fn illegal_type(at: Position, detail: impl Into<String>) -> Self {
        Self::new("ODPS-0130151", "Illegal data type", at, detail)
    }

    /// ODPS-0130191: a partition specification names a column twice or leaves a value out.
    pub fn partition_key(at: Position, detail: impl Into<String>) -> Self {
        Self::new("ODPS-0130191", "Invalid column or partition key", at, detail)
    }

    /// ODPS-0121125: MaxCompute has this; feitian does not yet.
    pub fn unsupported(at: Position, what: impl fmt::Display) -> Self {
        Self::new(UNSUPPORTED, "Unsupported function or operation", at, format!("{what} is not supported yet"))
    }

    /// Where the error is.
    pub fn position(&self) -> Position {
        Position { line: self.line, column: self.column }
    }
}

/// A token in a message is cut after 64 characters: it may be a literal of megabytes.
fn shorten(token: &str) -> Cow<'_, str> {
    match token.char_indices().nth(64) {
        Some((end, _)) => Cow::Owned(format!("{}...", &token[..end])),
        None => Cow::Borrowed(token),
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {} - {}", self.code, self.position(), self.general, self.detail)
    }
}

impl std::error::Error for SqlError {}

/// The code stays; the message is the whole text. What feitian lacks is [`Kind::Unsupported`], all else
/// [`Kind::Invalid`].
impl From<SqlError> for Error {
    fn from(e: SqlError) -> Self {
        let kind = if e.code == UNSUPPORTED { Kind::Unsupported } else { Kind::Invalid };
        let message = e.to_string();
        Error::new(kind, e.code, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Form: PyODPS odps/errors.py reads code and text of `FAILED: ODPS-0130161:[1,1] Parse exception - ...`.
    #[test]
    fn an_error_prints_code_place_description_and_detail() {
        let e = SqlError::invalid_token(Position { line: 1, column: 15 }, "x", None);
        assert_eq!(e.to_string(), "ODPS-0130161:[1,15] Parse exception - invalid token 'x'");
        let base = Error::from(e.clone());
        assert_eq!((base.code(), base.kind()), ("ODPS-0130161", Kind::Invalid));
        assert_eq!(base.message(), e.to_string());
        assert_eq!(Error::from(SqlError::unsupported(Position::UNKNOWN, "MERGE")).kind(), Kind::Unsupported);
    }

    #[test]
    fn a_long_token_is_cut_in_the_message() {
        let e = SqlError::invalid_token(Position::START, &"字".repeat(1000), None);
        assert!(e.detail.len() < 300, "{}", e.detail.len());
    }
}
