//! Formatting and clippy.

use anyhow::Result;

use crate::cargo;
use crate::process;
use crate::progress::Bar;
use crate::stage::{Options, Outcome};
use crate::workspace::Workspace;

/// Every Rust file is as rustfmt would write it.
pub fn fmt(workspace: &Workspace, _: &Options) -> Result<Outcome> {
    let bar = Bar::start("cargo fmt");
    let mut shown = 0;
    let status = process::run(workspace.cargo().args(["fmt", "--all", "--check"]), |_, line| {
        shown += 1;
        if shown <= 40 {
            bar.print(line);
        }
    })?;
    if !status.success() {
        bar.print("some files are not formatted; mend them with: cargo fmt --all");
    }
    Ok(Outcome::one(status.success()))
}

/// Clippy has nothing to say about any target.
pub fn clippy(workspace: &Workspace, _: &Options) -> Result<Outcome> {
    let mut command = workspace.cargo();
    // Behind the dashes the flag reaches our crates alone: as a general flag it would compile every dependency anew.
    command.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    Ok(Outcome::one(cargo::build("cargo clippy", &mut command).is_ok()))
}
