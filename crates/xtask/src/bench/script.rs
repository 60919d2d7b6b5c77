//! The benches that are one Python script over feitian alone, and one page.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{BY_HAND, by_hand, head, measure};
use crate::cargo;
use crate::progress::shown;
use crate::python::{self, CLIENTS};
use crate::workspace::{Workspace, without_settings};

/// Runs `tests/clients/bench_NAME.py` and writes `docs/bench/NAME.md`. True only if every target was met.
pub(super) fn run(workspace: &Workspace, name: &str, title: &str) -> Result<bool> {
    let begun = Instant::now();
    let mut build = workspace.cargo();
    build.args(["build", "--workspace", "--bin", "feitian"]);
    cargo::build("building feitian", &mut build)?;
    let python = python::environment(workspace, &["requirements.txt"])?;
    let folder = workspace.own(&format!("bench-{name}"))?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    std::fs::create_dir_all(&folder)?;
    // The page that is about to be written is no part of what was measured.
    let head = head(
        workspace,
        &folder,
        title,
        name,
        &format!("`tests/clients/bench_{name}.py` says how each number is taken."),
        "the `dev` profile of this repository",
    )?;

    let mut command = Command::new(python);
    without_settings(&mut command);
    command.arg("-B").arg(workspace.root.join(CLIENTS).join(format!("bench_{name}.py")));
    command.arg("--data").arg(folder.join("data")).current_dir(&folder);
    command.env("FEITIAN_TEST_BIN", workspace.feitian()).env("FEITIAN_TEST_LOGS", &folder);
    command.env_remove("FEITIAN_TEST_META");
    let found = measure(name, &mut command)?;

    let page = workspace.root.join(format!("docs/bench/{name}.md"));
    let before = std::fs::read_to_string(&page).unwrap_or_default();
    let text = format!("{head}\n{found}\n{BY_HAND}\n\n{}\n", by_hand(&before));
    std::fs::write(&page, &text).with_context(|| format!("write {}", page.display()))?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    let missed = text.matches("| miss |").count();
    println!("written: docs/bench/{name}.md; {missed} targets missed; {} in all", shown(begun.elapsed()));
    Ok(missed == 0)
}
