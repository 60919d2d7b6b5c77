//! The command line or the call of the API that does what a page did.

use crate::show::seen;

/// A word as a POSIX shell takes it: as it is when it is plain, else in single quotes.
///
/// Lines are copied into terminals, which obey control characters even inside of quotes; a value may come from a link that
/// somebody else made. They are shown by their numbers, and the line is then about another value, which is not there.
pub(super) fn word(text: &str) -> String {
    let text = seen(text);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:=@%+,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_string()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// `feitian` and these words.
pub(super) fn feitian<const N: usize>(words: [&str; N]) -> String {
    words.into_iter().fold("feitian".to_string(), |line, w| format!("{line} {}", word(w)))
}

/// A path as a segment of an address.
pub(super) fn segment(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    // POSIX, "Shell Command Language", 2.2.2: nothing is special inside single quotes but the quote itself.
    #[test]
    fn a_shell_takes_each_word_as_it_is() {
        assert_eq!(feitian(["sql", "-e", "select 'a'"]), r"feitian sql -e 'select '\''a'\'''");
        assert_eq!(feitian(["project", "admit", "p", "ALIYUN$anna"]), "feitian project admit p 'ALIYUN$anna'");
        assert_eq!(word(""), "''");
        assert_eq!(word("a;b"), "'a;b'");
        // xterm, "Control Sequences": ESC [ 201 ~ ends a pasted text, what follows is typed. Line ends stay as they are.
        assert_eq!(word("a\u{1b}[201~\r\nb\u{202e}"), "'a\\u{1b}[201~\\u{d}\nb\\u{202e}'");
    }

    // RFC 3986, section 2.3: the unreserved characters.
    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("ds=1/hh=2 ü"), "ds%3D1%2Fhh%3D2%20%C3%BC");
        assert_eq!(segment("a-b.c_d~e"), "a-b.c_d~e");
    }
}
