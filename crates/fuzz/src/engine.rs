//! The loop over one target: mutate, run, keep what behaves in a new way, report what must not happen.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::hash::BuildHasher;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::mutate::{MAX_BYTES, mutate};
use crate::rng::Rng;
use crate::targets::Target;

/// No input of at most [`MAX_BYTES`] may keep a parser busy for so long. The bound is generous, since other work may share
/// the machine: it finds what is quadratic or worse.
const SLOW: Duration = Duration::from_secs(5);
/// Inputs with a behaviour of their own are kept until they are so many bytes. What a parser under test allocates must show
/// in the memory of the process, so that the fuzzer itself needs little.
const MAX_CORPUS_BYTES: usize = 32 << 20;
/// After so many findings a target is left alone.
const MAX_FINDINGS: usize = 5;

/// What was found in one target.
pub struct Report {
    name: &'static str,
    runs: u64,
    behaviours: usize,
    took: Duration,
    /// What must not happen, each with the file of its input.
    pub findings: Vec<(String, PathBuf)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.findings.is_empty() { "ok" } else { "FAILED" };
        let (runs, behaviours, seconds) = (self.runs, self.behaviours, self.took.as_secs());
        write!(f, "{:<14} {word:<6} {runs:>9} inputs, {behaviours:>6} behaviours, {seconds:>4} s", self.name)?;
        for (what, file) in &self.findings {
            write!(f, "\n  {what}\n  input: {}", file.display())?;
        }
        Ok(())
    }
}

/// Runs `target` for `limit`. Inputs under test are written to `folder`, so that one that ends the process is known.
pub fn run(target: &'static Target, seed: u64, limit: Duration, folder: &Path) -> Result<Report> {
    let mut rng = Rng::new(seed);
    let current = CurrentInput::create(&folder.join(format!("{}.current", target.name)))?;
    let mut corpus = (target.seeds)();
    let mut kept_bytes = 0;
    // Hashes, since the words are long and many.
    let (mut seen, hasher) = (HashSet::new(), std::hash::RandomState::new());
    let started = Instant::now();
    let mut report = Report { name: target.name, runs: 0, behaviours: 0, took: Duration::ZERO, findings: Vec::new() };
    let mut fresh: Vec<Vec<u8>> = corpus.clone();
    while started.elapsed() < limit && report.findings.len() < MAX_FINDINGS {
        // Seeds as they are first, then damaged ones.
        let input = match fresh.pop() {
            Some(seed) => seed,
            None => {
                let empty = Vec::new();
                let base = rng.pick(&corpus).unwrap_or(&empty).clone();
                let other = rng.pick(&corpus).unwrap_or(&empty).clone();
                mutate(&mut rng, &base, &other, target.words)
            }
        };
        current.write(&input)?;
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        let took = begun.elapsed();
        report.runs += 1;
        match outcome {
            Ok(signature) => {
                let is_new = seen.insert(hasher.hash_one(signature));
                if is_new && kept_bytes + input.len() <= MAX_CORPUS_BYTES && input.len() <= MAX_BYTES {
                    kept_bytes += input.len();
                    corpus.push(input.clone());
                }
            }
            Err(panic) => {
                report.findings.push(keep(folder, target, report.findings.len(), &panic_text(&*panic), &input)?)
            }
        }
        if took > SLOW {
            let what = format!("{} bytes took {} s", input.len(), took.as_secs());
            report.findings.push(keep(folder, target, report.findings.len(), &what, &input)?);
        }
    }
    report.behaviours = seen.len();
    report.took = started.elapsed();
    println!("progress {} done", target.name);
    Ok(report)
}

fn keep(folder: &Path, target: &Target, n: usize, what: &str, input: &[u8]) -> Result<(String, PathBuf)> {
    let file = folder.join(format!("{}-{n}", target.name));
    std::fs::write(&file, input).with_context(|| file.display().to_string())?;
    Ok((what.to_string(), file))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}

/// The file that holds the input which is being run.
struct CurrentInput(File);

impl CurrentInput {
    fn create(path: &Path) -> Result<Self> {
        Ok(Self(File::create(path).with_context(|| path.display().to_string())?))
    }

    fn write(&self, input: &[u8]) -> Result<()> {
        self.0.write_all_at(input, 0)?;
        self.0.set_len(input.len() as u64)?;
        Ok(())
    }
}
