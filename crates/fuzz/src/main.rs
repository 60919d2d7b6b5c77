//! `feitian-fuzz`: feeds malformed input to every parser of foreign bytes, on the stable toolchain.
//!
//! Inputs are mutated seeds. An input whose *outcome* (which error, how many rows, which statements) was not seen before
//! joins the corpus, so that the search goes deeper where behaviour is new, without instrumentation. A panic, a broken
//! promise (see each target), an input that takes long, or much memory is a finding; it is kept as a file that
//! `--replay` runs again. The process dies at a stack overflow or an abort; the file of the input that did it is named
//! before.

mod engine;
mod mutate;
mod rng;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::engine::Report;
use crate::targets::{TARGETS, Target};

/// The memory that all of it may take: half a gigabyte.
const MEMORY_LIMIT_BYTES: u64 = 512 << 20;

struct Args {
    seconds: u64,
    seed: u64,
    only: Option<String>,
    replay: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let args = parse(std::env::args().skip(1))?;
    let targets: Vec<&Target> =
        TARGETS.iter().filter(|t| args.only.as_ref().is_none_or(|name| name == t.name)).collect();
    if targets.is_empty() {
        let names: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
        bail!("there is no such target; there are: {}", names.join(", "));
    }
    if let Some(file) = &args.replay {
        let input = std::fs::read(file).with_context(|| file.display().to_string())?;
        for target in &targets {
            println!("{}: {}", target.name, (target.run)(&input));
        }
        return Ok(true);
    }
    println!("seed {} ({} targets, {} s)", args.seed, targets.len(), args.seconds);
    let reports = run_all(&targets, &args)?;
    let (mut passed, mut failed) = (0, 0);
    for report in &reports {
        println!("{report}");
        if report.findings.is_empty() { passed += 1 } else { failed += 1 }
    }
    let peak = peak_memory_bytes();
    if peak > MEMORY_LIMIT_BYTES {
        println!("memory: {} MiB at most, more than {} MiB", peak >> 20, MEMORY_LIMIT_BYTES >> 20);
        failed += 1;
    } else {
        println!("memory: {} MiB at most", peak >> 20);
        passed += 1;
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

/// Shares the targets and the time among as many threads as there are cores.
fn run_all(targets: &[&'static Target], args: &Args) -> Result<Vec<Report>> {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(targets.len());
    let each = Duration::from_secs(args.seconds) * n_threads as u32 / targets.len() as u32;
    let folder = std::env::temp_dir().join(format!("feitian-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    println!("inputs under test are in {}", folder.display());
    let queue = Mutex::new(targets.iter().enumerate());
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().ok().and_then(|mut q| q.next());
                    let Some((at, target)) = next else { break };
                    let (seed, folder) = (args.seed.wrapping_add(at as u64), &folder);
                    let work = move || engine::run(target, seed, each, folder);
                    let thread = std::thread::Builder::new().stack_size(target.stack_bytes);
                    let report = thread.spawn_scoped(scope, work).map(ScopedJoinHandle::join);
                    if let (Ok(Ok(report)), Ok(mut all)) = (report, reports.lock()) {
                        all.push((at, report));
                    }
                }
            });
        }
    });
    let mut reports = reports.into_inner().map_err(|_| anyhow::anyhow!("a fuzzing thread panicked"))?;
    reports.sort_by_key(|(at, _)| *at);
    if reports.len() != targets.len() {
        bail!("a fuzzing thread ended early");
    }
    let reports: Vec<Report> = reports.into_iter().map(|(_, r)| r).collect::<Result<_>>()?;
    if reports.iter().all(|r| r.findings.is_empty()) {
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    Ok(reports)
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Args> {
    let mut parsed = Args { seconds: 60, seed: rng::fresh_seed(), only: None, replay: None };
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seconds" => parsed.seconds = value()?.parse().context("--seconds takes a whole number")?,
            "--seed" => parsed.seed = value()?.parse().context("--seed takes a whole number")?,
            "--target" => parsed.only = Some(value()?),
            "--replay" => parsed.replay = Some(value()?.into()),
            other => bail!("unknown argument {other}; there are --seconds N, --seed N, --target NAME, --replay FILE"),
        }
    }
    Ok(parsed)
}

/// The most memory that this process has held, as Linux counts it; 0 where that cannot be told.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}
