//! SQL as lines of coloured pieces, with the place of an error marked. The text itself is not changed.

use std::ops::Range;

use feitian_sql::Position;
use feitian_sql::lexer::{Kind, Symbol, Token, lex};

use crate::show::seen;

/// A page shows at most so many bytes of a text: around the error, or from the beginning.
const MOST: usize = 64 << 10;

/// A text in lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) lines: Vec<Line>,
    /// Bytes of the whole text when some of it is left out.
    pub(crate) cut: Option<usize>,
}

/// One line of the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) pieces: Vec<Piece>,
    /// Something on it is marked.
    pub(crate) marked: bool,
    /// No line end follows.
    pub(crate) last: bool,
}

/// A run of characters that look alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// `k` keyword, `f` function, `q` quoted name, `s` text, `n` number, `c` comment; empty for the rest.
    pub(crate) class: &'static str,
    pub(crate) text: String,
    /// The error is here. A marked piece without text stands between two characters.
    pub(crate) marked: bool,
    /// The first of the marked pieces.
    pub(crate) first: bool,
}

/// `text` as lines, coloured when `is_sql`, with the token at `mark` (line and column from 1) marked.
pub(crate) fn listing(text: &str, is_sql: bool, mark: Option<(u32, u32)>) -> Listing {
    let spans = if is_sql { spans(text) } else { vec![(0..text.len(), "")] };
    let at = mark.and_then(|(line, column)| offset(text, Position { line, column }));
    let marked = at.map(|at| marked_range(text, at, &spans));
    let window = window(text, at);
    let first = 1 + text[..window.start].matches('\n').count();
    let mut lines = Lines(vec![Line { number: first, ..Line::default() }]);
    for (range, class) in &spans {
        let range = range.start.max(window.start)..range.end.min(window.end);
        if range.is_empty() {
            continue;
        }
        let Some(marked) = marked.clone().filter(|m| range.contains(&m.start)) else {
            lines.push(&text[range], class, false);
            continue;
        };
        let end = marked.end.min(range.end);
        lines.push(&text[range.start..marked.start], class, false);
        lines.push(&text[marked.start..end], class, true);
        lines.push(&text[end..range.end], class, false);
    }
    if marked.is_some_and(|m| m.start == text.len()) {
        lines.push("", "", true);
    }
    Listing { lines: lines.finish(), cut: (window.len() < text.len()).then_some(text.len()) }
}

struct Lines(Vec<Line>);

impl Lines {
    fn push(&mut self, text: &str, class: &'static str, marked: bool) {
        let mut parts = text.split('\n').peekable();
        let mut fresh = false;
        while let Some(part) = parts.next() {
            if fresh {
                let number = self.0.last().map_or(1, |line| line.number + 1);
                self.0.push(Line { number, ..Line::default() });
            }
            fresh = true;
            // A line end of two characters is one line end.
            let part = if parts.peek().is_some() { part.strip_suffix('\r').unwrap_or(part) } else { part };
            if let Some(line) = self.0.last_mut()
                && (!part.is_empty() || (marked && text.is_empty()))
            {
                line.pieces.push(Piece { class, text: seen(part).into_owned(), marked, first: false });
                line.marked |= marked;
            }
        }
    }

    fn finish(mut self) -> Vec<Line> {
        if let Some(last) = self.0.last_mut() {
            last.last = true;
        }
        if let Some(piece) = self.0.iter_mut().flat_map(|line| &mut line.pieces).find(|piece| piece.marked) {
            piece.first = true;
        }
        self.0
    }
}

/// The part of a long text that is shown.
fn window(text: &str, at: Option<usize>) -> Range<usize> {
    if text.len() <= MOST {
        return 0..text.len();
    }
    let from = at.map_or(0, |at| at.saturating_sub(MOST / 2)).min(text.len() - MOST);
    // From the beginning of a line, if there is one near.
    let from = text.floor_char_boundary(from);
    let from = match text[from..].find('\n') {
        Some(end) if from > 0 && end < MOST / 4 => from + end + 1,
        _ => from,
    };
    from..text.floor_char_boundary((from + MOST).min(text.len()))
}

/// The byte at which a place begins; `None` when the text does not reach it.
fn offset(text: &str, place: Position) -> Option<usize> {
    let mut at = Position::START;
    for (i, c) in text.char_indices() {
        if at == place {
            return Some(i);
        }
        at = at.after(c.encode_utf8(&mut [0; 4]));
    }
    (at == place).then_some(text.len())
}

/// What to mark for an error at `at`: the token there, else the character there, else the place alone.
fn marked_range(text: &str, at: usize, spans: &[(Range<usize>, &'static str)]) -> Range<usize> {
    let blank = |range: &Range<usize>| text[range.clone()].trim().is_empty();
    match spans.iter().map(|(range, _)| range).find(|range| range.contains(&at)) {
        Some(range) if range.start == at && !blank(range) => range.clone(),
        _ => match text[at..].chars().next() {
            Some(c) if c != '\n' && c != '\r' => at..at + c.len_utf8(),
            _ => at..at,
        },
    }
}

/// The whole text in pieces with their classes, in order and without gaps.
fn spans(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let tokens = tokens(text);
    let mut spans = Vec::with_capacity(tokens.len() * 2 + 1);
    let mut end = 0;
    for (i, token) in tokens.iter().enumerate() {
        let range = token.range();
        gap(text, end..range.start, &mut spans);
        let calls = tokens.get(i + 1).is_some_and(|next| next.kind == Kind::Symbol(Symbol::LParen));
        spans.push((range.clone(), class(*token, text, calls)));
        end = range.end;
    }
    gap(text, end..text.len(), &mut spans);
    spans
}

/// What stands between two tokens: blanks and comments.
fn gap(text: &str, range: Range<usize>, spans: &mut Vec<(Range<usize>, &'static str)>) {
    let inside = &text[range.clone()];
    let body = inside.trim();
    if body.starts_with("--") || body.starts_with("/*") {
        let start = range.start + (inside.len() - inside.trim_start().len());
        let end = start + body.len();
        spans.extend([(range.start..start, ""), (start..end, "c"), (end..range.end, "")]);
    } else {
        spans.push((range, ""));
    }
}

/// The tokens of a text, up to the first place where it has none: the text of a failed job may be wrong there.
fn tokens(text: &str) -> Vec<Token> {
    let wrong_at = match lex(text) {
        Ok(tokens) => return tokens,
        Err(e) => offset(text, e.position()),
    };
    wrong_at.and_then(|at| lex(&text[..at]).ok()).unwrap_or_default()
}

fn class(token: Token, text: &str, calls: bool) -> &'static str {
    match token.kind {
        Kind::Word => {
            let word = token.text(text);
            match is_keyword(word) {
                true => "k",
                false if calls => "f",
                false => "",
            }
        }
        Kind::Quoted => "q",
        Kind::Text | Kind::Hex => "s",
        Kind::Number => "n",
        Kind::Hint => "c",
        Kind::Symbol(_) | Kind::End => "",
    }
}

fn is_keyword(word: &str) -> bool {
    // Longer than every keyword.
    word.len() <= 13 && KEYWORDS.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

/// Words that structure a statement. Colour only: nothing depends on a word that is missing.
const KEYWORDS: &[&str] = &[
    "ADD",
    "ALL",
    "ALTER",
    "ANALYZE",
    "AND",
    "ANTI",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CHANGE",
    "CLUSTER",
    "CLUSTERED",
    "COLUMN",
    "COLUMNS",
    "COMMENT",
    "CREATE",
    "CROSS",
    "CUBE",
    "CURRENT",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DISTRIBUTE",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTENDED",
    "EXTERNAL",
    "FALSE",
    "FIRST",
    "FOLLOWING",
    "FROM",
    "FULL",
    "FUNCTION",
    "GROUP",
    "GROUPING",
    "HAVING",
    "IF",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LAST",
    "LATERAL",
    "LEFT",
    "LIFECYCLE",
    "LIKE",
    "LIMIT",
    "MERGE",
    "MINUS",
    "NATURAL",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "OVERWRITE",
    "PARTITION",
    "PARTITIONED",
    "PARTITIONS",
    "PIVOT",
    "PRECEDING",
    "QUALIFY",
    "RANGE",
    "READ",
    "RENAME",
    "REPLACE",
    "RIGHT",
    "RLIKE",
    "ROLLUP",
    "ROW",
    "ROWS",
    "SCHEMA",
    "SELECT",
    "SEMI",
    "SET",
    "SETS",
    "SHOW",
    "SORT",
    "TABLE",
    "TABLES",
    "TBLPROPERTIES",
    "THEN",
    "TO",
    "TRUE",
    "TRUNCATE",
    "UNBOUNDED",
    "UNION",
    "UNPIVOT",
    "UPDATE",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The lines as text, marks in brackets.
    fn shown(listing: &Listing) -> Vec<String> {
        let piece = |p: &Piece| if p.marked { format!("[{}]", p.text) } else { p.text.clone() };
        listing.lines.iter().map(|l| l.pieces.iter().map(piece).collect()).collect()
    }

    fn classes(text: &str) -> Vec<(String, &'static str)> {
        let lines = listing(text, true, None).lines;
        lines.into_iter().flat_map(|l| l.pieces).filter(|p| !p.class.is_empty()).map(|p| (p.text, p.class)).collect()
    }

    #[test]
    fn tokens_get_their_colour_and_nothing_is_lost() {
        let text = "SELECT  count(*) -- how many\nFROM `a b` /* x\ny */ WHERE s = 'it\\'s' AND n > 1.5L;\n";
        let want = [
            ("SELECT", "k"),
            ("count", "f"),
            ("-- how many", "c"),
            ("FROM", "k"),
            ("`a b`", "q"),
            ("/* x", "c"),
            ("y */", "c"),
            ("WHERE", "k"),
            ("'it\\'s'", "s"),
            ("AND", "k"),
            ("1.5L", "n"),
        ];
        assert_eq!(classes(text), want.map(|(t, c)| (t.to_string(), c)));
        assert_eq!(shown(&listing(text, true, None)).join("\n"), text);
        assert_eq!(shown(&listing("a\r\nb", true, None)), ["a", "b"]);
        assert!(KEYWORDS.is_sorted(), "binary search needs the order");
    }

    // [line,column] count from 1, in characters, as MaxCompute's compile errors do.
    #[test]
    fn the_token_at_the_place_of_the_error_is_marked() {
        for (text, at, want) in [
            ("select * from t", (1, 15), "select * from [t]"),
            ("select\n  名 fro t", (2, 5), "select\n  名 [fro] t"),
            ("select 'a", (1, 8), "select [']a"),
            ("select a b", (1, 9), "select a[ ]b"),
            ("select", (1, 7), "select[]"),
            ("a\nb", (1, 2), "a[]\nb"),
            ("select", (9, 9), "select"),
            ("", (1, 1), "[]"),
        ] {
            assert_eq!(shown(&listing(text, true, Some(at))).join("\n"), want, "{text:?} {at:?}");
        }
    }

    #[test]
    fn what_is_no_sql_and_what_does_not_lex_is_shown_all_the_same() {
        assert_eq!(shown(&listing("select \u{1} \\ 'x", true, None)), ["select \\u{1} \\ 'x"]);
        assert_eq!(classes("select 1 'x").len(), 2, "the part before the open quote is coloured");
        assert_eq!(listing("select 1", false, None).lines[0].pieces[0].class, "");
    }

    #[test]
    fn of_a_long_text_the_part_with_the_error_is_shown() {
        let text = "select 1;\n".repeat(20_000);
        let from_start = listing(&text, true, None);
        assert_eq!((from_start.lines[0].number, from_start.cut), (1, Some(200_000)));
        let around = listing(&text, true, Some((15_000, 8)));
        assert!(around.lines.len() < 10_000);
        let line = around.lines.iter().find(|l| l.number == 15_000).unwrap();
        assert!(line.pieces.iter().any(|p| p.marked && p.text == "1"));
    }
}
