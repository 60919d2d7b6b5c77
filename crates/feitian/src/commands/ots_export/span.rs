//! Ranges of column names, and how to halve them: for rows that are too wide for one answer.

/// A name of a column has so many bytes at most.
const MAX_NAME_BYTES: usize = 255;

/// Names from the first, with it, to the second, without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// Empty: from the first name.
    pub from: String,
    /// `None`: to the last name.
    pub to: Option<String>,
}

impl Span {
    /// All names.
    pub(super) fn all() -> Self {
        Self { from: String::new(), to: None }
    }

    /// Two spans that are this one together; `None` if it has no more than one name.
    pub(super) fn halves(&self) -> Option<(Self, Self)> {
        let middle = between(&self.from, self.to.as_deref())?;
        let first = Self { from: self.from.clone(), to: Some(middle.clone()) };
        Some((first, Self { from: middle, to: self.to.clone() }))
    }
}

/// The number of a character in the order of names, above that of the end of a name, which is 0.
fn rank(c: Option<char>) -> u32 {
    c.map_or(0, |c| u32::from(c) + 1)
}

/// What comes after the characters that most names are made of, and after all.
const AFTER_ASCII: u32 = 0x81;
const AFTER_ALL: u32 = 0x11_0001;

/// A name above `from` and below `to`, about in the middle. Names are in the order of their characters, as their bytes
/// are.
fn between(from: &str, to: Option<&str>) -> Option<String> {
    let (mut lower, mut upper) = (from.chars(), to.map(str::chars));
    let mut name = String::new();
    while name.len() <= MAX_NAME_BYTES {
        let next = lower.next();
        let low = rank(next);
        let high = match &mut upper {
            Some(upper) => rank(upper.next()),
            None if low + 1 < AFTER_ASCII => AFTER_ASCII,
            None => AFTER_ALL,
        };
        if low < high {
            let goes_on = upper.as_ref().is_some_and(|upper| upper.clone().next().is_some());
            // Next to each other: the character of `to` alone is below it if more follows there.
            let found = character(low, high).or_else(|| char::from_u32(high - 1).filter(|_| goes_on));
            if let Some(c) = found {
                name.push(c);
                return Some(name);
            }
            // Whatever follows the character of `from` is below `to`.
            upper = None;
        } else if high < low {
            return None;
        }
        name.push(next?);
    }
    None
}

/// A character whose rank is between two, about in the middle; the ranks from 0xD801 to 0xE000 have none.
fn character(low: u32, high: u32) -> Option<char> {
    let middle = low + (high - low) / 2;
    let fits = |rank: u32| low < rank && rank < high;
    [middle, 0xD800, 0xE001].into_iter().filter(|rank| fits(*rank)).find_map(|rank| char::from_u32(rank - 1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn span(from: &str, to: Option<&str>) -> Span {
        Span { from: from.to_string(), to: to.map(str::to_string) }
    }

    /// Halves until no span has more than one of the names, and gives those spans in order.
    fn apart(names: &[&str]) -> Vec<Span> {
        let (mut left, mut done, mut steps) = (vec![Span::all()], Vec::new(), 0);
        while let Some(next) = left.pop() {
            steps += 1;
            assert!(steps < 20_000, "it does not end");
            let inside = |name: &&&str| **name >= next.from.as_str() && next.to.as_deref().is_none_or(|to| **name < to);
            if names.iter().filter(inside).count() <= 1 {
                done.push(next);
                continue;
            }
            let (first, second) = next.halves().unwrap();
            left.extend([second, first]);
        }
        done
    }

    // The definition: spans follow each other without a gap, and names that differ are told apart.
    #[test]
    fn every_two_names_are_told_apart() {
        let long = "n".repeat(254);
        let longer = format!("{long}a");
        let odd = ["\0", "\0\0", "a\0", "a\0\0", "\u{D7FF}", "\u{E000}", "\u{10FFFF}"];
        let names = ["a", "aa", "b", "col1", "col10", "é", "字", "🐘", long.as_str(), longer.as_str()];
        let names: Vec<&str> = names.into_iter().chain(odd).collect();
        let spans = apart(&names);
        assert_eq!((spans[0].from.as_str(), spans.last().unwrap().to.as_deref()), ("", None));
        for pair in spans.windows(2) {
            assert_eq!(pair[0].to.as_deref(), Some(pair[1].from.as_str()));
            assert!(pair[0].from < pair[1].from);
        }
    }

    #[test]
    fn a_span_of_one_name_has_no_halves() {
        for one in [span("a", Some("a\0")), span("\u{10FFFF}", Some("\u{10FFFF}\0")), span("b", Some("a"))] {
            assert_eq!(one.halves(), None);
        }
        // However a span is halved towards one name, that ends.
        let mut around = Span::all();
        let mut steps = 0;
        while let Some((first, second)) = around.halves() {
            around = if second.from.as_str() <= "payload" { second } else { first };
            steps += 1;
            assert!(steps < 1000, "it does not end: {around:?}");
        }
        assert_eq!(around, span("payload", Some("payload\0")));
    }
}
