//! `cargo xtask bench old`: many small writes, many partitions, many tables, a long history.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{BY_HAND, by_hand, head, measure};
use crate::cargo;
use crate::progress::shown;
use crate::python::{self, CLIENTS};
use crate::workspace::{Workspace, without_settings};

/// Measures and writes the page. True only if every target was met.
pub(super) fn run(workspace: &Workspace) -> Result<bool> {
    let begun = Instant::now();
    let mut build = workspace.cargo();
    build.args(["build", "--workspace", "--bin", "feitian"]);
    cargo::build("building feitian", &mut build)?;
    let python = python::environment(workspace, &["requirements.txt"])?;
    let folder = workspace.own("bench-old")?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    std::fs::create_dir_all(&folder)?;
    // The page that is about to be written is no part of what was measured.
    let head = head(
        workspace,
        &folder,
        "# Grown old, measured",
        "old",
        "`tests/clients/bench_old.py` says how each number is taken.",
        "the `dev` profile of this repository",
    )?;

    let mut command = Command::new(python);
    without_settings(&mut command);
    command.arg("-B").arg(workspace.root.join(CLIENTS).join("bench_old.py"));
    command.arg("--data").arg(folder.join("data")).current_dir(&folder);
    command.env("FEITIAN_TEST_BIN", workspace.feitian()).env("FEITIAN_TEST_LOGS", &folder);
    command.env_remove("FEITIAN_TEST_META");
    let found = measure("old", &mut command)?;

    let page = workspace.root.join("docs/bench/old.md");
    let before = std::fs::read_to_string(&page).unwrap_or_default();
    let text = format!("{head}\n{found}\n{BY_HAND}\n\n{}\n", by_hand(&before));
    std::fs::write(&page, &text).with_context(|| format!("write {}", page.display()))?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    let missed = text.matches("| miss |").count();
    println!("written: docs/bench/old.md; {missed} targets missed; {} in all", shown(begun.elapsed()));
    Ok(missed == 0)
}
