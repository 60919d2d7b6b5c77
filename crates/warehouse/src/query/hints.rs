//! What stands behind the original's words in an error: the name that was perhaps meant, and the next step.
//!
//! Clients match the beginning of a message, so that everything here goes to its end.

use datafusion::common::Column;

/// Names that a message lists when none of them resembles the one that was written.
const MOST_LISTED: usize = 8;
/// Longer words are not compared: nobody meant a name of ours with them.
const LONGEST_WORD: usize = 128;

/// `; did you mean 'x'?`, or nothing when none of `known` resembles `word`.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}

/// The column of `known` that was perhaps meant by `wanted`, or those that there are if they are few.
pub(super) fn columns(wanted: &Column, known: &[Column]) -> String {
    let same_table = |c: &&Column| wanted.relation.is_none() || c.relation == wanted.relation;
    let mut names: Vec<&str> = Vec::new();
    for name in known.iter().filter(same_table).map(|c| c.name.as_str()).filter(|name| is_plain(name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match nearest(&wanted.name, names.iter().copied()) {
        Some(name) => format!("; did you mean '{name}'?"),
        None if names.is_empty() || names.len() > MOST_LISTED => String::new(),
        None => format!("; the columns here are {}", names.join(", ")),
    }
}

/// The first of `names`, as many as a person reads.
pub(crate) fn list(names: &[&str]) -> String {
    const MOST: usize = 20;
    let more = if names.len() > MOST { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(MOST)].join(", "))
}

/// The name that most resembles `word`, if any does. Of equally near ones the first in the alphabet, so that the same
/// mistake always gets the same words.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST_WORD {
        return None;
    }
    let word_chars: Vec<char> = word.chars().collect();
    let alike = |name: &'a str| {
        let chars: Vec<char> = name.chars().collect();
        (1.0 - n_mistakes(&word_chars, &chars) as f64 / word_chars.len().max(chars.len()) as f64, name)
    };
    let better =
        |(a, x): (f64, &'a str), (b, y): (f64, &'a str)| if b > a || (b == a && y < x) { (b, y) } else { (a, x) };
    let (score, name) = known.filter(|name| is_plain(name)).map(alike).reduce(better)?;
    (score >= 0.6 && name != word).then_some(name)
}

/// How many letters are missing, too many, wrong or exchanged with their neighbour (the optimal string alignment).
fn n_mistakes(a: &[char], b: &[char]) -> usize {
    let mut two_up: Vec<usize> = Vec::new();
    let mut up: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut n = (up[j + 1] + 1).min(row[j] + 1).min(up[j] + usize::from(x != y));
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                n = n.min(two_up[j - 1] + 1);
            }
            row.push(n);
        }
        two_up = std::mem::replace(&mut up, row);
    }
    up[b.len()]
}

/// A name that a user may have given or may write, not one that the planner made.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_WORD
        && !name.starts_with("__")
        && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour_and_nonsense_finds_none() {
        let known = || ["concat", "concat_ws", "+", "substr"].into_iter();
        assert_eq!(did_you_mean("concta", known()), "; did you mean 'concat'?");
        assert_eq!(did_you_mean("sbstr", known()), "; did you mean 'substr'?");
        assert_eq!(did_you_mean("frobnicate", known()), "");
        assert_eq!(did_you_mean(&"x".repeat(1 << 20), known()), "");
    }

    #[test]
    fn mistakes_are_counted_by_letters() {
        let count = |a: &str, b: &str| n_mistakes(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        // By hand: two wrong and one missing; one pair exchanged; everything missing.
        assert_eq!(count("kitten", "sitting"), 3);
        assert_eq!(
            (count("cuont", "count"), count("飞天", "天飞"), count("", "abc"), count("abc", "abc")),
            (1, 1, 3, 0)
        );
    }

    #[test]
    fn columns_of_the_named_table_are_offered_or_listed() {
        let known = [
            Column::new(Some("t"), "origin"),
            Column::new(Some("t"), "delay"),
            Column::new(Some("u"), "delya"),
            Column::new(Some("t"), "__hidden"),
            Column::new_unqualified("sum(t.delay)"),
        ];
        assert_eq!(columns(&Column::new(Some("t"), "dely"), &known), "; did you mean 'delay'?");
        assert_eq!(columns(&Column::new(Some("t"), "x"), &known), "; the columns here are origin, delay");
        assert_eq!(columns(&Column::new_unqualified("x"), &known), "; the columns here are origin, delay, delya");
        assert_eq!(columns(&Column::new(Some("w"), "x"), &known), "");
    }
}
