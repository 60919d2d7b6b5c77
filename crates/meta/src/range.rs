//! Half-open key ranges for pages: names with a prefix, after a marker, in byte order.

/// Greater than every name and every partition key: no text that we store begins with eight of the last code point.
pub(crate) const TOP: &str = "\u{10FFFF}\u{10FFFF}\u{10FFFF}\u{10FFFF}\u{10FFFF}\u{10FFFF}\u{10FFFF}\u{10FFFF}";

/// The smallest text greater than every text that begins with `prefix`.
pub(crate) fn end_of(prefix: &str) -> String {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Skips the surrogates, which are no code points of text.
        let next = if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            chars.push(next);
            return chars.into_iter().collect();
        }
    }
    TOP.to_string()
}

/// The smallest text greater than `text`, since no text that we store holds U+0000.
pub(crate) fn just_after(text: &str) -> String {
    format!("{text}\u{1}")
}

/// `low <= name < high` for the names that begin with `prefix` and come after the marker.
pub(crate) fn page(prefix: &str, after: Option<&str>) -> (String, String) {
    let low = after.map(just_after).filter(|a| a.as_str() > prefix).unwrap_or_else(|| prefix.to_string());
    (low, end_of(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_above_all_its_names_and_below_all_others() {
        // Arithmetic on code points: c follows b; U+E000 is the first after the surrogates; a full suffix is cut.
        assert_eq!(end_of("ab"), "ac");
        assert_eq!(end_of("a\u{D7FF}"), "a\u{E000}");
        assert_eq!(end_of("a\u{10FFFF}"), "b");
        assert!("zzzz" < end_of("").as_str());
    }

    #[test]
    fn a_page_starts_at_the_later_of_prefix_and_marker() {
        assert_eq!(page("b", Some("a")), ("b".into(), "c".into()));
        assert_eq!(page("b", Some("bx")), ("bx\u{1}".into(), "c".into()));
        assert!(("bx"..).contains(&page("b", Some("bx")).0.as_str()));
    }
}
