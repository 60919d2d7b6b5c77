//! The error of a job taken apart: its code, its place in the SQL, and what the code means.

use feitian_base::codes::{self, Page};

/// A job's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// As clients print it after `FAILED: `.
    pub(crate) text: String,
    /// Line and column in the SQL, from 1.
    pub(crate) place: Option<(u32, u32)>,
    /// What the code means.
    pub(crate) page: Option<&'static Page>,
}

impl Failure {
    pub(crate) fn of(text: &str) -> Self {
        Self { text: text.to_string(), place: place(text), page: codes::explain(text) }
    }
}

/// The place in `ODPS-0130131:[1,15] Table not found - …`; `[0,0]` means that none is known.
fn place(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once(":[")?;
    let (inside, _) = rest.split_once(']')?;
    let (line, column) = inside.split_once(',')?;
    let place = (line.trim().parse().ok()?, column.trim().parse().ok()?);
    (place.0 > 0 && place.1 > 0).then_some(place)
}

/// The first paragraph of a page's part about what happened, or of the page when it has no such part.
pub(crate) fn first_words(page: &Page) -> String {
    let text = page.text.split_once("\n## What happened").map_or(page.text, |(_, rest)| rest);
    let is_text = |line: &&str| line.starts_with(|c: char| !c.is_whitespace() && !matches!(c, '#' | '-' | '`'));
    let lines = text.lines().skip_while(|line| !is_text(line)).take_while(is_text);
    lines.map(|line| line.trim().replace('`', "")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    // The form of MaxCompute's compile errors, which PyODPS reads in odps/errors.py.
    #[test]
    fn the_place_stands_behind_the_code() {
        for (text, want) in [
            ("ODPS-0130131:[1,15] Table not found - table p.t cannot be resolved", Some((1, 15))),
            ("ODPS-0130161:[12,3] Parse exception - invalid token ']'", Some((12, 3))),
            ("ODPS-0010000:[0,0] System internal error", None),
            ("ODPS-0130131: no place", None),
            ("it says:[a,b]", None),
            ("it says:[99999999999,1]", None),
            ("it says:[1,", None),
        ] {
            assert_eq!(place(text), want, "{text}");
        }
    }

    #[test]
    fn the_first_paragraph_says_what_happened() {
        let text = "# X: t\n\n    X: the message\n\n- Kind: a\n\n## What happened\n\nThe `table` is\nnot there.\n\n## Cause\n\nC.\n";
        let page = Page { code: "X", title: "t", text };
        assert_eq!(first_words(&page), "The table is not there.");
        let short = Page { text: "# X: t\n\n- a\n\nSo it is.", ..page };
        assert_eq!(first_words(&short), "So it is.");
        let empty = Page { text: "# X: t", ..page };
        assert_eq!(first_words(&empty), "");
    }
}
