//! Which columns a regular expression in a SELECT list stands for, as in `` SELECT `(ds|pt)?+.+` ``.

use regex::Regex;

use crate::error::FunctionError;

/// A pattern of whole column names.
#[derive(Debug)]
pub struct ColumnPattern {
    /// `(…)?+` at the front, which keeps what it has matched: a name that is no more than that does not match.
    front: Option<Regex>,
    rest: Regex,
}

/// True for what may be a pattern; a name may look like one.
pub fn is_column_pattern(text: &str) -> bool {
    text.contains(['*', '+', '?', '|', '(', ')', '[', ']', '{', '}', '^', '$', '\\', '.'])
}

fn compiled(pattern: &str) -> Result<Regex, FunctionError> {
    // MaxCompute's patterns are Java's, where a second `+` forbids to give back what was matched; here it would repeat.
    if ["?+", "*+", "++", "}+"].iter().any(|possessive| pattern.contains(possessive)) {
        let text = format!("a possessive quantifier in '{pattern}', other than (…)?+ at its beginning,");
        return Err(FunctionError::unsupported(format!("{text} is not supported yet")));
    }
    Regex::new(pattern).map_err(|e| FunctionError::pattern(format!("'{pattern}': {e}")))
}

/// The group at the beginning of `text` and what follows `(…)?+`.
fn split_front(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('(')?;
    let (mut depth, mut escaped) = (1, false);
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&inside[..at], inside[at + 1..].strip_prefix("?+")?));
        }
    }
    None
}

impl ColumnPattern {
    /// ODPS-0121011 for what is no regular expression, ODPS-0121125 for one that we cannot follow.
    pub fn parse(text: &str) -> Result<Self, FunctionError> {
        let (front, rest) = match split_front(text) {
            Some((group, rest)) => (Some(compiled(&format!("(?i)^(?:{group})"))?), rest),
            None => (None, text),
        };
        Ok(Self { front, rest: compiled(&format!("(?i)^(?:{rest})$"))? })
    }

    /// True if the pattern matches the whole name.
    pub fn matches(&self, name: &str) -> bool {
        let kept = self.front.as_ref().and_then(|front| front.find(name)).map_or(0, |found| found.end());
        name.get(kept..).is_some_and(|rest| self.rest.is_match(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // MaxCompute documentation, "SELECT syntax": `abc.*` are the columns that begin with abc, `(ds|pt)?+.+` all but ds and pt,
    // `(d.*)?+.+` all that do not begin with d.
    #[test]
    fn patterns_match_whole_names() {
        let matching = |pattern: &str| -> Vec<&str> {
            let pattern = ColumnPattern::parse(pattern).expect("a pattern");
            ["abc", "abcd", "ds", "dsx", "pt", "xabc"].into_iter().filter(|name| pattern.matches(name)).collect()
        };
        assert_eq!(matching("abc.*"), ["abc", "abcd"]);
        assert_eq!(matching("(ds|pt)?+.+"), ["abc", "abcd", "dsx", "xabc"]);
        assert_eq!(matching("(d.*)?+.+"), ["abc", "abcd", "pt", "xabc"]);
        assert_eq!(matching("(ds|pt)"), ["ds", "pt"]);
        assert!(ColumnPattern::parse("a++").is_err());
        assert!(ColumnPattern::parse("(").is_err());
    }
}
