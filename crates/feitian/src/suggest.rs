//! "Did you mean": the known word nearest to a misspelt one.

/// The word of `known` that most resembles `word`, if any resembles it at all.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut best: Option<(f64, &str)> = None;
    for candidate in known {
        // A key is often right but for its section, so that the last part alone counts as well.
        let tail = candidate.rsplit('.').next().unwrap_or(candidate);
        let own_tail = word.rsplit('.').next().unwrap_or(word);
        let whole = strsim::normalized_damerau_levenshtein(word, candidate);
        let score = whole.max(strsim::normalized_damerau_levenshtein(own_tail, tail) - 0.1);
        if score >= 0.6 && best.is_none_or(|(s, _)| score > s) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelt_word_finds_its_neighbour_and_nonsense_finds_none() {
        let known = || ["listen", "query.memory", "query.spill", "log.format"].into_iter();
        assert_eq!(nearest("lisen", known()), Some("listen"));
        assert_eq!(nearest("query.memroy", known()), Some("query.memory"));
        assert_eq!(nearest("memory", known()), Some("query.memory"));
        assert_eq!(nearest("colour", known()), None);
    }
}
