//! `cargo xtask kill`: kill -9 at every step of every protocol under concurrent writers, then other people's readers over what
//! is left.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo;
use crate::process;
use crate::progress::Bar;
use crate::python::{self, CLIENTS};
use crate::stage::{Options, Outcome};
use crate::workspace::Workspace;

/// Enough that each fail point is reached six times, and random moments besides; the long form has each at least ten times.
const KILLS: u64 = 260;
const KILLS_LONG: u64 = 2000;

/// The loop, the readers from outside, and `feitian check`, three checks in all.
pub fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    cargo::build_feitian(workspace)?;
    let python = python::environment(workspace, &["requirements.txt"])?;
    let folder = workspace.own("kill")?;
    std::fs::remove_dir_all(&folder)?;
    std::fs::create_dir_all(&folder)?;
    let data = folder.join("data");
    let kills = if options.long { KILLS_LONG } else { KILLS };
    let mut outcome = Outcome::default();

    let mut command = Command::new(workspace.program("feitian-kill"));
    command.arg("--feitian").arg(workspace.feitian()).arg("--data").arg(&data);
    command.args(["--kills", &kills.to_string(), "--seed", &seed()]);
    outcome.add(step("kill loop", &mut command, kills)?);

    let mut command = Command::new(&python);
    command.arg("-B").arg(workspace.root.join(CLIENTS).join("outside.py")).arg(&data);
    command.arg(data.with_extension("expected.json"));
    outcome.add(step("readers from outside", &mut command, 0)?);

    let mut command = Command::new(workspace.feitian());
    command.arg("check").arg(&data);
    outcome.add(step("feitian check", &mut command, 0)?);
    if outcome.is_good() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    } else {
        println!("data and log of the failed run: {}", folder.display());
    }
    Ok(outcome)
}

/// Another run tries other moments; the loop prints its seed, and `FEITIAN_SEED` repeats it.
fn seed() -> String {
    let now = || std::time::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_secs()).to_string();
    std::env::var("FEITIAN_SEED").unwrap_or_else(|_| now())
}

fn step(label: &str, command: &mut Command, of: u64) -> Result<Outcome> {
    let mut bar = Bar::start(label);
    let (mut lines, mut done) = (Vec::new(), 0);
    let status = process::run(command, |_, line| {
        if line.starts_with("kill ") {
            done += 1;
            bar.at(done, of, line);
        } else {
            bar.print(line);
            lines.push(line.to_string());
        }
    });
    drop(bar);
    let status = status?;
    if status.code().is_none() {
        bail!("{label} was ended by a signal");
    }
    let mut outcome = Outcome::one(status.success());
    outcome.report = lines;
    Ok(outcome)
}
