//! How a command ends: the exit code, and for a failure the words `error: …` and `hint: …`.

use std::fmt;
use std::io;

use feitian_base::{Kind, codes};

use crate::output::printable_lines;

/// How a command that ran to its end answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It did what was asked: exit code 0.
    Done,
    /// The answer is no (not found, the job failed): exit code 1. The words are already out.
    No,
}

/// Why a command did not do what was asked.
///
/// Printed as `error: message`, one `cause: …` line for each cause, then `hint: …`, and where a code has a page, a last
/// hint that names the command which prints it.
pub struct Failure(Box<Inner>);

struct Inner {
    negative: bool,
    broken_pipe: bool,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    code: Option<&'static str>,
}

/// A result whose error ends the command.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// An error: exit code 2.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            negative: false,
            broken_pipe: false,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            code: None,
        }))
    }

    /// A negative answer, such as "not found": exit code 1.
    pub fn negative(message: impl Into<String>) -> Self {
        let mut failure = Self::new(message);
        failure.0.negative = true;
        failure
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Points to the page about the code that `text` holds, if there is one.
    #[must_use]
    pub fn explained_by(mut self, text: &str) -> Self {
        self.0.code = codes::explain(text).map(|page| page.code);
        self
    }

    /// Puts `what` before the message, as in `open /data: permission denied`.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// 1 for a negative answer, 2 for an error, 0 when the reader of our output has gone.
    pub fn exit_code(&self) -> u8 {
        match (self.0.broken_pipe, self.0.negative) {
            (true, _) => 0,
            (_, true) => 1,
            (_, false) => 2,
        }
    }

    /// The words, without `error: `, causes or hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Prints the failure to stderr; nothing for a broken pipe, because whoever listened has what it wanted.
    pub fn report(&self) {
        if self.0.broken_pipe {
            return;
        }
        let _ = io::Write::write_all(&mut io::stderr(), self.text(colours()).as_bytes());
    }

    /// All lines. They are the same whoever reads them: a log without the last hint would help nobody.
    fn text(&self, colours: bool) -> String {
        let (error, hint) =
            if colours { ("\x1b[1;31merror\x1b[0m", "\x1b[1;36mhint\x1b[0m") } else { ("error", "hint") };
        let mut text = format!("{error}: {}\n", printable_lines(&self.0.message));
        for cause in &self.0.causes {
            text.push_str(&format!("  cause: {}\n", printable_lines(cause)));
        }
        if let Some(words) = &self.0.hint {
            text.push_str(&format!("{hint}: {}\n", printable_lines(words)));
        }
        if let Some(code) = self.0.code {
            text.push_str(&format!("{hint}: `feitian explain {code}` says what it means and what to do\n"));
        }
        text
    }
}

/// Whether stderr may carry colours: a terminal, and `NO_COLOR` (no-color.org) is unset or empty.
pub fn colours() -> bool {
    io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.message)?;
        self.0.causes.iter().try_for_each(|cause| write!(f, "; cause: {cause}"))?;
        self.0.hint.iter().try_for_each(|hint| write!(f, "; hint: {hint}"))
    }
}

impl From<feitian_base::Error> for Failure {
    fn from(e: feitian_base::Error) -> Self {
        let mut failure = Self::new(e.message().to_string());
        failure.0.negative = e.kind() == Kind::NotFound;
        let mut source = std::error::Error::source(&e);
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many libraries repeat their source in their own words; one line of each is enough.
            if !failure.0.message.contains(&text) && !failure.0.causes.iter().any(|c| c.contains(&text)) {
                failure.0.causes.push(text);
            }
            source = cause.source();
        }
        match e.kind() {
            // An argument that is wrong needs no more than its own words.
            Kind::Invalid => failure,
            _ => failure.explained_by(e.code()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        let mut failure = Self::new(e.to_string());
        failure.0.broken_pipe = e.kind() == io::ErrorKind::BrokenPipe;
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_no_from_broken() {
        assert_eq!(Failure::new("x").exit_code(), 2);
        assert_eq!(Failure::negative("x").exit_code(), 1);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit_code(), 0);
        assert_eq!(Failure::from(feitian_base::Error::new(Kind::NotFound, "NoSuchTable", "x")).exit_code(), 1);
        assert_eq!(Failure::from(feitian_base::Error::invalid("x")).exit_code(), 2);
    }

    #[test]
    fn control_characters_of_the_words_never_reach_the_terminal() {
        let failure = Failure::new("no ds=\u{1b}]0;x\u{7}\n\there").hint("see \u{9b}2J");
        assert_eq!(failure.text(false), "error: no ds=\\u{1b}]0;x\\u{7}\n\there\nhint: see \\u{9b}2J\n");
    }

    #[test]
    fn a_code_with_a_page_is_pointed_to_once_and_last() {
        let text = "ODPS-0130131:[1,15] Table not found - table demo.t cannot be resolved";
        let failure = Failure::negative(text).hint("look again").explained_by(text);
        let want = format!(
            "error: {text}\nhint: look again\nhint: `feitian explain ODPS-0130131` says what it means and what to do\n"
        );
        assert_eq!(failure.text(false), want);
        for none in [Failure::new("x").explained_by("no code"), Failure::from(feitian_base::Error::invalid("x"))] {
            assert_eq!(none.text(false).matches("hint").count(), 0);
        }
        let conflict = feitian_base::Error::new(Kind::Conflict, "DirectoryInUse", "x");
        assert!(
            Failure::from(conflict)
                .text(false)
                .ends_with("hint: `feitian explain DirectoryInUse` says what it means and what to do\n")
        );
    }
}
