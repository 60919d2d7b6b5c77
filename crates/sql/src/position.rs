//! Where a token stands in the text that the user sent.

use std::fmt;

use sqlparser::tokenizer::{Location, Span};

/// A place in the original text: line and column count from 1, in characters. `[0,0]` means unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    /// No place is known.
    pub const UNKNOWN: Self = Self { line: 0, column: 0 };

    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place after reading `text` from here.
    #[must_use]
    pub fn after(self, text: &str) -> Self {
        text.chars().fold(self, Self::step)
    }

    /// The place after reading one character from here.
    #[must_use]
    pub(crate) fn step(self, c: char) -> Self {
        if c == '\n' {
            Self { line: self.line.saturating_add(1), column: 1 }
        } else {
            Self { line: self.line, column: self.column.saturating_add(1) }
        }
    }

    /// The syntax tree's form of this place.
    pub(crate) fn location(self) -> Location {
        Location { line: u64::from(self.line), column: u64::from(self.column) }
    }
}

impl From<Location> for Position {
    fn from(at: Location) -> Self {
        Self { line: u32::try_from(at.line).unwrap_or(u32::MAX), column: u32::try_from(at.column).unwrap_or(u32::MAX) }
    }
}

impl From<Span> for Position {
    fn from(span: Span) -> Self {
        span.start.into()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{},{}]", self.line, self.column)
    }
}
