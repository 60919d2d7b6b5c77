//! The error of a job taken apart: its code, its place in the SQL, and what the code means.

use feitian_base::codes::{self, Page};

use crate::markdown::{append, inline};

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

/// The first paragraph of a page's first part, which says what happened, or of the page when it has no parts. It is HTML,
/// made of our own paper alone; `beside` is as for [`crate::markdown::html`].
pub(crate) fn first_words(text: &str, beside: &str) -> String {
    let part = text.split_once("\n## ").and_then(|(_, part)| part.split_once('\n'));
    let text = part.map_or(text, |(_, rest)| rest);
    let is_mark = |line: &str| ["#", "- ", "```"].into_iter().any(|mark| line.starts_with(mark));
    let is_text = |line: &&str| line.starts_with(|c: char| !c.is_whitespace()) && !is_mark(line);
    let mut words = String::new();
    text.lines().skip_while(|line| !is_text(line)).take_while(is_text).for_each(|line| append(&mut words, line.trim()));
    inline(&words, beside)
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
        let words = |text| first_words(text, "/e/{}");
        assert_eq!(words(text), "The <code>table</code> is not there.");
        assert_eq!(words("# X: t\n\n- a\n\nSo it < is."), "So it &lt; is.");
        assert_eq!(words("# X: t"), "");
        // Code at the front of a line is a part of the sentence, and so is a link.
        let text = "# X: t\n\n## A\n\n`DROP` was\n`[0,0]`, see [Y](Y.md).\n\n- b\n";
        assert_eq!(words(text), "<code>DROP</code> was <code>[0,0]</code>, see <a href=\"/e/Y\">Y</a>.");
        // Chinese sentences stand without blanks between them.
        let text = "# X: t\n\n- 类别：无效\n\n## 发生了什么\n\n表 `t`\n不存在。\n没有改动。\n\n## 处理办法\n\n无。\n";
        assert_eq!(words(text), "表 <code>t</code> 不存在。没有改动。");
    }
}
