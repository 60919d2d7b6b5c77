//! Cargo as a child: builds with a bar, and the results of `cargo test`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{self, Stream, tail};
use crate::progress::Bar;
use crate::stage::Outcome;
use crate::workspace::Workspace;

/// What a build did.
pub struct Built {
    /// Units that cargo compiled anew.
    pub compiled: u64,
}

/// Builds the server and the programs that prove it. The whole workspace is selected, as in `cargo test --workspace`: then
/// features are the same and dependencies compile once.
pub fn build_feitian(workspace: &Workspace) -> Result<Built> {
    let mut command = workspace.cargo();
    command.args(["build", "--workspace", "--bin", "feitian", "--bin", "feitian-kill"]);
    build("building feitian", &mut command)
}

/// Runs a cargo command that only builds; warnings and errors are printed as they come.
pub fn build(label: &str, command: &mut Command) -> Result<Built> {
    let mut watch = Watch::start(label);
    // Not a flag: the caller's may end with flags for another program.
    command.env("CARGO_TERM_COLOR", "never");
    show_progress(command);
    let status = process::run(command, |_, line| watch.line(line))?;
    let compiled = watch.compiled;
    drop(watch);
    if !status.success() {
        bail!("{label} failed ({status})");
    }
    Ok(Built { compiled })
}

/// Cargo knows best how much is left, so that it draws its own bar and we read the numbers off it.
fn show_progress(command: &mut Command) {
    command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "120");
}

/// Reads cargo's messages and moves a bar by them.
struct Watch {
    bar: Bar,
    compiled: u64,
}

impl Watch {
    fn start(label: &str) -> Self {
        Self { bar: Bar::start(label), compiled: 0 }
    }

    fn line(&mut self, line: &str) {
        let words = line.trim();
        if let Some((done, total, what)) = parse_progress(words) {
            self.bar.at(done, total, what);
        } else if words.starts_with("Compiling ") || words.starts_with("Checking ") {
            self.compiled += 1;
        } else if ["Downloading ", "Downloaded ", "Updating ", "Blocking ", "Locking "]
            .iter()
            .any(|w| words.starts_with(w))
        {
            self.bar.note(words);
        } else if !["Finished ", "Fresh ", "Dirty ", "Adding ", "Executable "].iter().any(|w| words.starts_with(w)) {
            self.bar.print(line);
        }
    }
}

/// The numbers in `Building [====>   ] 12/345: syn, tokio`.
fn parse_progress(line: &str) -> Option<(u64, u64, &str)> {
    let (_, rest) = line.strip_prefix("Building [")?.split_once("] ")?;
    let (done, rest) = rest.split_once('/')?;
    let (total, what) = rest.split_once(':').unwrap_or((rest, ""));
    Some((done.trim().parse().ok()?, total.trim().parse().ok()?, what.trim()))
}

/// Runs `cargo test` and counts. Test programs run one after the other, and all of them, whatever fails.
pub fn test(label: &str, command: &mut Command) -> Result<Outcome> {
    show_progress(command);
    let mut run =
        TestRun { watch: Watch::start(label), tally: Outcome::default(), current: String::new(), tail: String::new() };
    let status = process::run(command, |stream, line| run.line(stream, line))?;
    let TestRun { watch, mut tally, tail: printed, .. } = run;
    drop(watch);
    if !status.success() && tally.failed == 0 {
        // It did not compile, or a test program died before it could count.
        println!("{}", tail(&printed, 40));
        tally.failed += 1;
    }
    Ok(tally)
}

struct TestRun {
    watch: Watch,
    tally: Outcome,
    /// The test program that runs now.
    current: String,
    /// What was printed besides the results of single tests.
    tail: String,
}

impl TestRun {
    fn line(&mut self, stream: Stream, line: &str) {
        let words = line.trim();
        if stream == Stream::Err {
            match words.strip_prefix("Running ").or_else(|| words.strip_prefix("Doc-tests ")) {
                Some(program) => {
                    self.current = program_name(program);
                    self.watch.bar.note(&self.current);
                }
                None => self.watch.line(line),
            }
        } else if let Some(counts) = words.strip_prefix("test result: ") {
            self.result(counts);
        } else if words.starts_with("test ")
            && (words.ends_with(" ... ok") || words.ends_with(" - should panic ... ok"))
        {
            self.watch.bar.note(words);
        } else if !words.is_empty() && !words.starts_with("running ") {
            // Failures and what they printed.
            self.watch.bar.print(line);
            self.tail.push_str(line);
            self.tail.push('\n');
        }
    }

    fn result(&mut self, counts: &str) {
        let (passed, failed, ignored) = parse_counts(counts);
        self.tally.passed += passed;
        // A test that is not run has not been shown to pass.
        self.tally.failed += failed + ignored;
        if passed + failed + ignored > 0 {
            let ignored =
                if ignored > 0 { format!(", {ignored} ignored, which counts as failed") } else { String::new() };
            self.watch.bar.print(&format!("{:<50} {passed} passed, {failed} failed{ignored}", self.current));
        }
    }
}

/// `unittests src/lib.rs (target/debug/deps/feitian_base-0123456789abcdef)` is `feitian_base unittests`.
fn program_name(text: &str) -> String {
    let (what, path) = text.split_once(" (").unwrap_or((text, ""));
    let file = path.trim_end_matches(')').rsplit('/').next().unwrap_or("");
    let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
    let what = what.split_whitespace().next().unwrap_or(what);
    if name.is_empty() { format!("{what} doc tests") } else { format!("{name} {what}") }
}

/// The numbers in `ok. 12 passed; 0 failed; 1 ignored; 0 measured; …`.
fn parse_counts(text: &str) -> (u64, u64, u64) {
    let count = |word: &str| {
        let before = text.split(&format!(" {word}")).next().unwrap_or("");
        before.rsplit([' ', '.']).next().and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    (count("passed"), count("failed"), count("ignored"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The lines are cargo's and libtest's own, as Rust 1.95 prints them.
    #[test]
    fn the_bar_of_cargo_is_read() {
        let line = "Building [=====>                    ] 12/345: syn, tokio(build.rs)";
        assert_eq!(parse_progress(line), Some((12, 345, "syn, tokio(build.rs)")));
        assert_eq!(parse_progress("Compiling syn v2.0.0"), None);
    }

    #[test]
    fn the_counts_of_libtest_are_read() {
        let line = "FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(parse_counts(line), (12, 3, 1));
    }

    #[test]
    fn test_programs_have_short_names() {
        assert_eq!(
            program_name("unittests src/lib.rs (/t/debug/deps/feitian_base-0123456789abcdef)"),
            "feitian_base unittests"
        );
        assert_eq!(program_name("feitian_wire"), "feitian_wire doc tests");
    }
}
