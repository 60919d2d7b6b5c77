//! `docs/proof/`: what the long forms of tests said, with date and commit.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::progress::shown;
use crate::stage::Outcome;
use crate::workspace::Workspace;

/// Writes `docs/proof/<stage>.txt`.
pub fn keep(workspace: &Workspace, stage: &str, outcome: &Outcome, took: Duration) -> Result<()> {
    let mut text = String::new();
    writeln!(text, "{stage}, long form: {} passed, {} failed in {}", outcome.passed, outcome.failed, shown(took))?;
    writeln!(text, "date: {}", printed(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?)?;
    writeln!(text, "commit: {}", commit(workspace)?)?;
    writeln!(text, "machine: {}", printed(Command::new("sh").args(["-c", "echo \"$(nproc) cores, $(uname -srm)\""]))?)?;
    if !outcome.report.is_empty() {
        writeln!(text, "\n{}", outcome.report.join("\n"))?;
    }
    let file = workspace.root.join("docs/proof").join(format!("{stage}.txt"));
    std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    println!("written: docs/proof/{stage}.txt");
    Ok(())
}

fn commit(workspace: &Workspace) -> Result<String> {
    let git = |args: &[&str]| printed(Command::new("git").args(args).current_dir(&workspace.root));
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--", "crates", "tests", "Cargo.toml", "Cargo.lock"])?;
    Ok(if changed.is_empty() { head } else { format!("{head} with uncommitted changes") })
}

fn printed(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("run {name}"))?;
    anyhow::ensure!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}
