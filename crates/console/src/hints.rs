//! The command line or the call of the API that does what a page did.

use feitian_meta::rows::Instance;
use url::form_urlencoded::Serializer;

use crate::show::seen;

/// A word as a POSIX shell takes it: as it is when it is plain, else in single quotes.
///
/// Lines are copied into terminals, which obey control characters even inside of quotes; a value may come from a link that
/// somebody else made. They are shown by their numbers, and the line is then about another value, which is not there.
pub(crate) fn word(text: &str) -> String {
    let text = seen(text);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:=@%+,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_string()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// `feitian` and these words.
pub(crate) fn feitian<const N: usize>(words: [&str; N]) -> String {
    words.into_iter().fold("feitian".to_string(), |line, w| format!("{line} {}", word(w)))
}

/// The call of the admin API that reads what a page shows: the names of its path, and those parameters that have a value.
pub(crate) fn get<const N: usize>(path: [&str; N], query: &[(&str, &str)]) -> String {
    let call = path.into_iter().fold("GET /admin/v1".to_string(), |call, name| format!("{call}/{}", segment(name)));
    let given = query.iter().filter(|(_, value)| !value.is_empty());
    let query = Serializer::new(String::new()).extend_pairs(given).finish();
    if query.is_empty() { call } else { format!("{call}?{query}") }
}

/// What shows a job, stops it while it goes on, and fetches its rows if it has some.
pub(crate) fn of_job(job: &Instance) -> Vec<String> {
    let (id, project) = (job.id.as_str(), job.project.as_str());
    let mut hints = vec![feitian(["instance", "show", id, "--project", project])];
    if job.is_select {
        hints.push(feitian(["instance", "result", id, "--project", project, "--output", "csv"]));
    }
    if !job.state.is_terminal() {
        hints.push(feitian(["instance", "stop", id, "--project", project]));
    }
    hints.push(get(["projects", project, "instances", id], &[]));
    hints
}

/// A path as a segment of an address.
pub(crate) fn segment(text: &str) -> String {
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

    // HTML standard, "application/x-www-form-urlencoded serializing": a blank is `+`, others are percent-encoded.
    #[test]
    fn a_call_names_what_it_asks_for_and_nothing_hides_in_it() {
        let query = [("partition", "ds=1/hh=2"), ("marker", ""), ("prefix", "a b&c\u{202e}\n")];
        assert_eq!(
            get(["projects", "p", "tables", "s.t \u{1b}"], &query),
            "GET /admin/v1/projects/p/tables/s.t%20%1B?partition=ds%3D1%2Fhh%3D2&prefix=a+b%26c%E2%80%AE%0A"
        );
        assert_eq!(get(["functions"], &[("marker", "")]), "GET /admin/v1/functions");
    }

    // RFC 3986, section 2.3: the unreserved characters.
    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("ds=1/hh=2 ü"), "ds%3D1%2Fhh%3D2%20%C3%BC");
        assert_eq!(segment("a-b.c_d~e"), "a-b.c_d~e");
    }
}
