//! `cargo xtask bench engines`: the engine below the table store beside a bare file.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::{BY_HAND, by_hand, head, measure};
use crate::cargo;
use crate::progress::shown;
use crate::workspace::{Workspace, without_settings};

/// Measures and writes the page. True unless something that was answered got lost, which fails the run.
pub(super) fn run(workspace: &Workspace) -> Result<bool> {
    let begun = Instant::now();
    let mut build = workspace.cargo();
    build.args(["build", "--workspace", "--bin", "feitian-engine-bench"]);
    cargo::build("building the bench", &mut build)?;
    let folder = workspace.own("bench-engines")?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    std::fs::create_dir_all(&folder)?;
    // The page that is about to be written is no part of what was measured.
    let head = head(
        workspace,
        &folder,
        "# The table store's engine, measured",
        "engines",
        "`crates/tables/src/bin/feitian-engine-bench.rs` says how each number is taken. The engine lies on a directory \
         and answers a commit after its sync.",
        "the `dev` profile of this repository",
    )?;

    let mut command = Command::new(workspace.program("feitian-engine-bench"));
    without_settings(&mut command);
    command.arg("--data").arg(folder.join("data")).current_dir(&folder);
    let found = measure("engines", &mut command)?;

    let page = workspace.root.join("docs/bench/engines.md");
    let before = std::fs::read_to_string(&page).unwrap_or_default();
    let text = format!("{head}\n{found}\n{BY_HAND}\n\n{}\n", by_hand(&before));
    std::fs::write(&page, &text).with_context(|| format!("write {}", page.display()))?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    println!("written: docs/bench/engines.md; {} in all", shown(begun.elapsed()));
    Ok(true)
}
