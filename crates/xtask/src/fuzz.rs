//! The fuzz stage: malformed input for every parser of foreign bytes, for a minute, or ten in the long form.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::cargo;
use crate::clients::parse_tally;
use crate::process;
use crate::progress::{Bar, shown};
use crate::stage::{Options, Outcome};
use crate::workspace::Workspace;

const SHORT: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(600);

/// Runs the fuzzer over all targets together.
pub fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    cargo::build("building the fuzzer", workspace.cargo().args(["build", "--workspace", "--bin", "feitian-fuzz"]))?;
    let limit = if options.long { LONG } else { SHORT };
    let mut bar = Bar::start("fuzzing");
    let mut command = Command::new(workspace.target.join("debug/feitian-fuzz"));
    command.arg("--seconds").arg(limit.as_secs().to_string());
    let mut report = Vec::new();
    let status = process::run(&mut command, |_, line| {
        bar.at(bar.elapsed().min(limit).as_secs(), limit.as_secs(), "");
        match line.strip_prefix("progress ") {
            Some(what) => bar.note(what),
            None => {
                bar.print(line);
                report.push(line.to_string());
            }
        }
    })?;
    drop(bar);
    let tally = report.last().and_then(|line| parse_tally(line));
    let mut outcome = tally.unwrap_or_else(|| Outcome::one(false));
    if !status.success() && outcome.failed == 0 {
        println!("the fuzzer ended with {status} before its time of {}", shown(limit));
        outcome.failed += 1;
    }
    outcome.report = report;
    Ok(outcome)
}
