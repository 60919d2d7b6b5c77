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
///
/// Not `cargo clippy`: that checks every dependency anew, which costs as long as half a cold build. Clippy stands in for
/// the compiler of our crates alone in an ordinary build, so that the compiled dependencies serve for both.
pub fn clippy(workspace: &Workspace, _: &Options) -> Result<Outcome> {
    let mut command = workspace.cargo();
    command.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver").env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__");
    // What this build makes is never run.
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
    command.args(["build", "--workspace", "--all-targets", "--config", "profile.dev.package.feitian-wire.opt-level=0"]);
    Ok(Outcome::one(cargo::build("clippy", &mut command).is_ok()))
}
