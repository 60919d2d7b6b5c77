//! `cargo xtask bench`: measurements, each kept as a page of `docs/bench/` with the machine and the commit.

mod engines;
mod script;
mod soak;
mod sql;
mod tables;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo;
use crate::process::{self, Stream};
use crate::progress::{Bar, shown};
use crate::python::{self, CLIENTS};
use crate::stage::Options;
use crate::workspace::{Workspace, without_settings};

/// The heading of the section that is written by hand, from a profile; it is the last one of its page.
const BY_HAND: &str = "## What bounds it";

/// What stands there until somebody has looked.
const NOT_YET: &str = "Not written yet: it takes a profile of this run.";

/// Runs the bench that is named. True only if every target was met.
pub fn run(options: &Options) -> Result<bool> {
    let workspace = Workspace::find()?;
    match options.words.as_slice() {
        [name] if name == "tables" && options.long => soak::run(&workspace, options),
        [name] if options.long => bail!("the bench `{name}` has no long form"),
        [name] if name == "sql" => sql::run(&workspace, options),
        [name] if name == "tables" => tables::run(&workspace, options),
        [name] if options.scale.is_some() => bail!("the bench `{name}` has no scale"),
        [name] if name == "tunnel" => tunnel(&workspace),
        [name] if name == "old" => script::run(&workspace, name, "# Grown old, measured"),
        [name] if name == "udf" => script::run(&workspace, name, "# Functions in Python, measured"),
        [name] if name == "load" => script::run(&workspace, name, "# Under load, measured"),
        [name] if name == "engines" => engines::run(&workspace),
        _ => bail!(
            "`cargo xtask {}` takes the name of one bench; there are: tunnel, sql, old, load, udf, engines, tables",
            options.command
        ),
    }
}

/// The tunnel's throughput and memory, and the time of `select 1`.
fn tunnel(workspace: &Workspace) -> Result<bool> {
    let begun = Instant::now();
    let mut build = workspace.cargo();
    build.args(["build", "--workspace", "--bin", "feitian"]);
    build.args(["--bin", "feitian-tunnel-bench", "--bin", "feitian-tunnel-peer"]);
    cargo::build("building feitian and the bench", &mut build)?;
    let python = python::environment(workspace, &["requirements.txt"])?;
    let folder = workspace.own("bench")?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    std::fs::create_dir_all(&folder)?;
    // The page that is about to be written is no part of what was measured.
    let head = head(
        workspace,
        &folder,
        "# The tunnel, measured",
        "tunnel",
        "`crates/drive/src/tunnel_bench.rs` and `tests/clients/bench_select1.py` say how each number is taken.",
        "the `dev` profile of this repository, for the server and for what stands beside it",
    )?;

    let mut command = Command::new(workspace.program("feitian-tunnel-bench"));
    without_settings(&mut command);
    command.arg("--feitian").arg(workspace.feitian());
    command.arg("--peer").arg(workspace.program("feitian-tunnel-peer"));
    command.arg("--data").arg(folder.join("data")).current_dir(&folder);
    let transfers = measure("tunnel", &mut command)?;

    let mut command = Command::new(python);
    without_settings(&mut command);
    command.arg("-B").arg(workspace.root.join(CLIENTS).join("bench_select1.py"));
    command.arg("--data").arg(folder.join("select1")).current_dir(&folder);
    command.env("FEITIAN_TEST_BIN", workspace.feitian()).env("FEITIAN_TEST_LOGS", &folder);
    command.env_remove("FEITIAN_TEST_META");
    let select = measure("select 1", &mut command)?;

    let page = workspace.root.join("docs/bench/tunnel.md");
    let old = std::fs::read_to_string(&page).unwrap_or_default();
    let text = format!("{head}\n{transfers}\n{select}\n{BY_HAND}\n\n{}\n", by_hand(&old));
    std::fs::create_dir_all(workspace.root.join("docs/bench"))?;
    std::fs::write(&page, &text).with_context(|| format!("write {}", page.display()))?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    let missed = text.matches("| miss |").count();
    println!("written: docs/bench/tunnel.md; {missed} targets missed; {} in all", shown(begun.elapsed()));
    Ok(missed == 0)
}

/// Runs a program that prints its results, and `step N/M what` on its standard error.
fn measure(label: &str, command: &mut Command) -> Result<String> {
    let mut bar = Bar::start(label);
    let mut report = String::new();
    let status = process::run(command, |stream, line| match (stream, parse_step(line)) {
        (Stream::Err, Some((step, of, what))) => bar.at(step.saturating_sub(1), of, what),
        (Stream::Err, None) => bar.print(line),
        (Stream::Out, _) => {
            bar.print(line);
            report.push_str(line);
            report.push('\n');
        }
    })?;
    drop(bar);
    ensure!(status.success(), "the bench `{label}` failed ({status})");
    Ok(report)
}

/// The parts of `step 3/40 what`.
fn parse_step(line: &str) -> Option<(u64, u64, &str)> {
    let (count, what) = line.strip_prefix("step ")?.split_once(' ')?;
    let (step, of) = count.split_once('/')?;
    Some((step.parse().ok()?, of.parse().ok()?, what))
}

/// What was written by hand in the page as it is.
fn by_hand(page: &str) -> &str {
    let found = page.split_once(&format!("\n{BY_HAND}\n")).map(|(_, text)| text.trim());
    found.filter(|text| !text.is_empty()).unwrap_or(NOT_YET)
}

/// The top of the page of one bench: how, what, where and when. `source` says where each number comes from, `build` what
/// was compiled how; the data lie in `folder`.
fn head(workspace: &Workspace, folder: &Path, title: &str, bench: &str, source: &str, build: &str) -> Result<String> {
    let date = process::run_quietly(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let lines = [
        title.to_string(),
        String::new(),
        format!("`cargo xtask bench {bench}` writes this page, except for its last section."),
        source.to_string(),
        String::new(),
        format!("- Date: {}", date.trim()),
        format!("- Commit: {}", commit(workspace)?),
        format!("- Machine: {}", machine()?),
        format!("- Data: {}", disk(folder)?),
        format!("- Build: {build}"),
        String::new(),
    ];
    Ok(lines.join("\n"))
}

fn commit(workspace: &Workspace) -> Result<String> {
    let git = |args: &[&str]| process::run_quietly(Command::new("git").args(args).current_dir(&workspace.root));
    let head = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--", "crates", "tests", "Cargo.toml", "Cargo.lock"])?;
    let changes = if changed.trim().is_empty() { "" } else { " + changes" };
    Ok(format!("{}{changes}", head.trim()))
}

/// Processor, cores, memory and kernel.
fn machine() -> Result<String> {
    let read = |file: &str| std::fs::read_to_string(file).with_context(|| format!("read {file}"));
    let (cpus, memory) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?);
    let kernel = read("/proc/sys/kernel/osrelease")?;
    let model = field(&cpus, "model name").unwrap_or("unknown processor");
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kib = field(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let gigabytes = kib.unwrap_or_default() * 1024.0 / 1e9;
    Ok(format!("{model}, {cores} cores, {gigabytes:.0} GB of memory, Linux {}", kernel.trim()))
}

/// The value of `name : value`, the way `/proc` has it.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':')).map(str::trim)
}

/// The file system of `folder` and what it lies on.
fn disk(folder: &Path) -> Result<String> {
    let printed = process::run_quietly(Command::new("df").arg("--output=fstype,source").arg(folder))?;
    let mut words = printed.lines().last().unwrap_or_default().split_whitespace();
    let (kind, source) = (words.next().unwrap_or("unknown"), words.next().unwrap_or("unknown"));
    let device = source.strip_prefix("/dev/").unwrap_or("none");
    // A partition has no queue: the disk above it has.
    let read = |queue: &str| std::fs::read_to_string(format!("/sys/class/block/{device}/{queue}/rotational")).ok();
    let rotates = read("queue").or_else(|| read("../queue"));
    Ok(match rotates.as_deref().map(str::trim) {
        Some("1") => format!("{kind} on {device}, a disk that says it rotates"),
        Some(_) => format!("{kind} on {device}, a disk that says it does not rotate"),
        None => format!("{kind} on {source}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read() {
        assert_eq!(parse_step("step 3/40 upload, Arrow"), Some((3, 40, "upload, Arrow")));
        assert_eq!(parse_step("Traceback (most recent call last):"), None);
    }

    #[test]
    fn what_was_written_by_hand_is_kept() {
        let page = format!("# Title\n\ntext\n\n{BY_HAND}\n\nThe disk.\nMore.\n");
        assert_eq!(by_hand(&page), "The disk.\nMore.");
        assert_eq!(by_hand("# Title\n"), NOT_YET);
        assert_eq!(by_hand(&format!("# Title\n\n{BY_HAND}\n\n")), NOT_YET);
    }

    // The lines are those of /proc/cpuinfo and /proc/meminfo.
    #[test]
    fn fields_of_proc_are_read() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2.50GHz\nMemTotal:       24624708 kB\n";
        assert_eq!(field(text, "model name"), Some("A CPU @ 2.50GHz"));
        assert_eq!(field(text, "MemTotal"), Some("24624708 kB"));
        assert_eq!(field(text, "MemFree"), None);
    }
}
