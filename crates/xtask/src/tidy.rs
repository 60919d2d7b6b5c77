//! The house rules as a test: what breaks one is named with file, line and what to do.

mod arrows;
mod compat;
mod errors;
mod licences;
mod papers;
mod provenance;
mod source;
mod words;

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;

use crate::progress::Bar;
use crate::stage::{Options, Outcome};
use crate::workspace::Workspace;

/// One breach of a rule.
pub struct Finding {
    pub file: PathBuf,
    /// 1 is the first line; 0 when the whole file is meant.
    pub line: usize,
    pub what: String,
}

impl Finding {
    fn new(file: impl Into<PathBuf>, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.into(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.what),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.what),
        }
    }
}

/// A group of rules, which counts as one check.
struct Rule {
    about: &'static str,
    check: fn(&Workspace, &Options) -> Result<Vec<Finding>>,
}

const RULES: &[Rule] = &[
    Rule { about: "Rust files: purpose first, short, no unwrap, no ignored test", check: |w, _| source::check(w) },
    Rule { about: "no path of a machine and no word from outside the product", check: |w, _| words::check(w) },
    Rule {
        about: "papers are there, their links lead somewhere, every crate is on the map",
        check: |w, _| papers::check(w),
    },
    Rule { about: "dependencies point the way ARCHITECTURE.md says", check: |w, _| arrows::check(w) },
    Rule { about: "SQL tests: every block says who vouches for it", check: |w, _| provenance::check(w) },
    Rule { about: "licences are those of deny.toml", check: |w, _| licences::check(w) },
    Rule {
        about: "every error code has its page, with its three parts, in English and in Chinese",
        check: |w, _| errors::check(w),
    },
    Rule { about: "docs/compat.md is what the routes say", check: |w, o| compat::check(w, o.write) },
];

/// Checks every rule.
pub fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for rule in RULES {
        let mut bar = Bar::start("tidy");
        bar.note(rule.about);
        let found = (rule.check)(workspace, options);
        drop(bar);
        let good = matches!(&found, Ok(findings) if findings.is_empty());
        println!("{} {}", if good { "ok    " } else { "FAILED" }, rule.about);
        match found {
            Ok(findings) => findings.iter().for_each(|finding| println!("  {finding}")),
            Err(error) => println!("  {error:#}"),
        }
        outcome.add(Outcome::one(good));
    }
    Ok(outcome)
}
