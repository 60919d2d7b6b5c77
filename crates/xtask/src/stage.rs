//! The table of commands and the table of test stages, and the run of stages with its summary.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::progress::shown;
use crate::workspace::Workspace;
use crate::{bench, clients, demo, fuzz, kill, lint, powercut, proof, test, tidy};

/// One entry of the menu.
pub struct Command {
    pub name: &'static str,
    /// The flags and words it takes, for the menu and for refusing others. Flags stand in brackets, WORDS for any word.
    pub usage: &'static str,
    pub about: &'static str,
    /// Whether everything was as it should be.
    pub run: fn(&Options) -> Result<bool>,
}

/// Everything that `cargo xtask` can do.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "demo",
        usage: "[--keep]",
        about: "build feitian, load real flights with PyODPS, check every answer",
        run: demo::run,
    },
    Command { name: "test", usage: "[--long]", about: "every test, in the order of the stages below", run: run_all },
    Command { name: "fmt", usage: "", about: "formatting is rustfmt's", run: |o| run_one("fmt", o) },
    Command { name: "clippy", usage: "", about: "clippy has nothing to say", run: |o| run_one("clippy", o) },
    Command {
        name: "tidy",
        usage: "[--write]",
        about: "the house rules; --write refreshes generated papers",
        run: |o| run_one("tidy", o),
    },
    Command {
        name: "unit",
        usage: "[--long] [WORDS...]",
        about: "cargo test of the workspace, with a PostgreSQL of its own; words choose tests by name",
        run: |o| run_one("unit", o),
    },
    Command {
        name: "fuzz",
        usage: "[--long]",
        about: "malformed input for every parser of foreign bytes",
        run: |o| run_one("fuzz", o),
    },
    Command {
        name: "clients",
        usage: "[--long] [WORDS...]",
        about: "the real Python clients against the real binary, on both databases",
        run: |o| run_one("clients", o),
    },
    Command {
        name: "two-process",
        usage: "",
        about: "two feitian processes on one directory and one PostgreSQL",
        run: |o| run_one("two-process", o),
    },
    Command {
        name: "tpcds",
        usage: "",
        about: "the 99 queries of TPC-DS over small tables: feitian's answers are DuckDB's",
        run: |o| run_one("tpcds", o),
    },
    Command {
        name: "spark",
        usage: "[--long] [WORDS...]",
        about: "the rows of SQL tests that Spark vouches for, computed again by it; with --long, random queries beside it, too; a part of test --long",
        run: |o| run_one("spark", o),
    },
    Command {
        name: "kill",
        usage: "[--long]",
        about: "kill -9 at every step of every protocol",
        run: |o| run_one("kill", o),
    },
    Command {
        name: "powercut",
        usage: "[--long]",
        about: "every answer leaves after its fsync, seen by strace; --long keeps what was found",
        run: |o| run_one("powercut", o),
    },
    Command {
        name: "bench",
        usage: "tunnel | sql [--scale N] | old | load | udf | engines | tables [--scale N] [--long]",
        about: "the tunnel beside the bare machine, TPC-H (scale factor 10) beside other engines, what has grown old, answers under load, the table store's engines, or the table store beside PostgreSQL and Redis (2 million rows, --scale 10: 10 million of feitian alone; --long: an hour of it, with --scale 0.1 six minutes); kept in docs/bench",
        run: bench::run,
    },
];

/// One stage of `cargo xtask test`.
pub struct Stage {
    pub name: &'static str,
    /// True for stages whose long form proves something worth keeping in `docs/proof/`.
    pub is_proof: bool,
    /// Runs in `cargo xtask test` without `--long`, too.
    pub in_short: bool,
    pub run: fn(&Workspace, &Options) -> Result<Outcome>,
}

/// The stages, in order: the cheap ones that fail most often come first.
const STAGES: &[Stage] = &[
    Stage { name: "fmt", is_proof: false, in_short: true, run: lint::fmt },
    Stage { name: "tidy", is_proof: false, in_short: true, run: tidy::run },
    Stage { name: "clippy", is_proof: false, in_short: true, run: lint::clippy },
    Stage { name: "unit", is_proof: true, in_short: true, run: test::run },
    Stage { name: "fuzz", is_proof: true, in_short: true, run: fuzz::run },
    Stage { name: "clients", is_proof: false, in_short: true, run: clients::run },
    Stage { name: "two-process", is_proof: false, in_short: true, run: clients::two_process },
    Stage { name: "demo", is_proof: false, in_short: true, run: demo::stage },
    Stage { name: "tpcds", is_proof: true, in_short: true, run: clients::tpcds },
    Stage { name: "spark", is_proof: true, in_short: false, run: clients::spark },
    Stage { name: "powercut", is_proof: true, in_short: true, run: powercut::run },
    Stage { name: "kill", is_proof: true, in_short: true, run: kill::run },
];

/// The flags of one call.
#[derive(Debug, Default)]
pub struct Options {
    /// The command's name.
    pub command: &'static str,
    pub long: bool,
    pub keep: bool,
    pub write: bool,
    /// The number after `--scale`.
    pub scale: Option<f64>,
    /// What is no flag, for commands that pass words on.
    pub words: Vec<String>,
}

impl Options {
    /// Reads flags and words, and refuses those that `command` does not take.
    pub fn parse(command: &'static Command, args: &[String]) -> Result<Self> {
        let mut options = Self { command: command.name, ..Self::default() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let taken = command.usage.contains(&format!("[{arg}]"));
            let valued = command.usage.contains(&format!("[{arg} "));
            let named = command.usage.contains("WORDS") || command.usage.split(' ').any(|w| w == arg.as_str());
            match arg.as_str() {
                "--long" if taken => options.long = true,
                "--keep" if taken => options.keep = true,
                "--write" if taken => options.write = true,
                "--scale" if valued => {
                    let value = args.next().context("--scale needs a number")?;
                    options.scale = Some(value.parse::<f64>().with_context(|| format!("`{value}` is no number"))?);
                }
                word if named && !word.starts_with('-') => options.words.push(word.into()),
                other => bail!("`cargo xtask {}` takes no `{other}`; it takes: {}", command.name, command.usage),
            }
        }
        Ok(options)
    }
}

/// What a stage found.
#[derive(Debug, Default)]
pub struct Outcome {
    pub passed: u64,
    pub failed: u64,
    /// Lines worth keeping as proof of a long run.
    pub report: Vec<String>,
}

impl Outcome {
    /// The outcome of a stage that is one check.
    pub fn one(passed: bool) -> Self {
        Self { passed: passed.into(), failed: (!passed).into(), report: Vec::new() }
    }

    /// Adds the counts and the report of another part of the stage.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.report.extend(other.report);
    }

    /// Whether it ran at all and nothing failed.
    pub fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

fn run_all(options: &Options) -> Result<bool> {
    let stages: Vec<&Stage> = STAGES.iter().filter(|s| s.in_short || options.long).collect();
    run_stages(&stages, options)
}

fn run_one(name: &str, options: &Options) -> Result<bool> {
    match STAGES.iter().position(|s| s.name == name) {
        Some(at) => run_stages(&[&STAGES[at]], options),
        None => bail!("there is no stage `{name}`"),
    }
}

/// Runs `stages` to the end, whatever fails, and prints what became of each. The last line is `N passed, N failed`.
fn run_stages(stages: &[&Stage], options: &Options) -> Result<bool> {
    let workspace = Workspace::find()?;
    let started = Instant::now();
    let mut rows: Vec<(&str, Outcome, Duration)> = Vec::new();
    for stage in stages {
        println!("== {}", stage.name);
        let begun = Instant::now();
        let outcome = (stage.run)(&workspace, options).unwrap_or_else(|error| {
            println!("{}: {error:#}", stage.name);
            Outcome::one(false)
        });
        let took = begun.elapsed();
        println!("== {}: {} passed, {} failed in {}\n", stage.name, outcome.passed, outcome.failed, shown(took));
        // Some tests, chosen by words, prove nothing about all of them.
        if options.long && stage.is_proof && options.words.is_empty() {
            proof::keep(&workspace, stage.name, &outcome, took)?;
        }
        rows.push((stage.name, outcome, took));
    }
    for (name, outcome, took) in &rows {
        let word = if outcome.is_good() { "ok" } else { "FAILED" };
        println!("{name:<12} {word:<6} {:>6} passed {:>4} failed {:>10}", outcome.passed, outcome.failed, shown(*took));
    }
    // A stage in which nothing ran has shown nothing: it counts as a failure of its own.
    let passed: u64 = rows.iter().map(|(_, o, _)| o.passed).sum();
    let failed: u64 = rows.iter().map(|(_, o, _)| if o.passed == 0 { o.failed.max(1) } else { o.failed }).sum();
    println!("total time {}", shown(started.elapsed()));
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}
