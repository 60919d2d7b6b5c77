//! `cargo xtask bench sql`: TPC-H through the ODPS API beside DataFusion, DuckDB and Spark over the same files.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{BY_HAND, by_hand, head, measure};
use crate::cargo;
use crate::progress::shown;
use crate::python::{self, CLIENTS};
use crate::stage::Options;
use crate::workspace::{Workspace, without_settings};

/// TPC-H's scale factor unless another one is asked for: gigabytes of text, about. Only its numbers are kept as a page.
const SCALE: f64 = 10.0;

/// The clients, the other engines, and what makes the tables.
const REQUIREMENTS: [&str; 3] = ["requirements.txt", "requirements-spark.txt", "requirements-bench.txt"];

/// Loads what is not loaded yet, measures what a run before this one has not, and writes the page. True only if every target
/// was met.
pub(super) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let begun = Instant::now();
    let scale = options.scale.unwrap_or(SCALE);
    ensure!(scale > 0.0 && scale.is_finite(), "the scale factor {scale} is not above 0");
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--workspace", "--bin", "feitian", "--bin", "feitian-select-bench"]);
    cargo::build("building feitian and the bench", &mut build)?;
    let workspace = &workspace.released();
    let python = python::environment(workspace, &REQUIREMENTS)?;
    // The tables stay for the next run: loading them takes minutes.
    let folder = workspace.own(&format!("bench-sql-{scale}"))?;
    // The page that is about to be written is no part of what was measured.
    let head = head(
        workspace,
        &folder,
        "# SQL, measured",
        "sql",
        "`tests/clients/bench_sql.py` says how each number is taken, `tests/clients/tpch.py` has the queries.",
        "the `release` profile of this repository, with overflow checks in its own crates. What stands beside it are release \
         builds from PyPI",
    )?;

    let mut command = Command::new(python);
    without_settings(&mut command);
    command.arg("-B").arg(workspace.root.join(CLIENTS).join("bench_sql.py"));
    command.arg("--data").arg(&folder).arg("--scale").arg(scale.to_string()).current_dir(&folder);
    command.arg("--select-bench").arg(workspace.program("feitian-select-bench"));
    command.env("FEITIAN_TEST_BIN", workspace.feitian()).env("FEITIAN_TEST_LOGS", &folder);
    command.env_remove("FEITIAN_TEST_META");
    let found = measure("sql", &mut command)?;

    if scale != SCALE {
        println!("a page is written for scale factor {SCALE} alone; {} in all", shown(begun.elapsed()));
        return Ok(!found.contains("| miss |"));
    }
    let page = workspace.root.join("docs/bench/sql.md");
    let old = std::fs::read_to_string(&page).unwrap_or_default();
    let text = format!("{head}\n{found}\n{BY_HAND}\n\n{}\n", by_hand(&old));
    std::fs::write(&page, &text).with_context(|| format!("write {}", page.display()))?;
    let missed = text.matches("| miss |").count();
    println!("written: docs/bench/sql.md; {missed} targets missed; {} in all", shown(begun.elapsed()));
    Ok(missed == 0)
}
