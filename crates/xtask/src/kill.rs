//! `cargo xtask kill`: kill -9 at every step of every protocol under concurrent writers, then other people's readers over what
//! is left; the same under writers of the same tables, then a model that does their statements in the order of the log; and
//! under clients of the table store, all of whose answers one row in memory must be able to give.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo;
use crate::process;
use crate::progress::Bar;
use crate::python::{self, CLIENTS};
use crate::stage::{Options, Outcome};
use crate::workspace::{Workspace, without_settings};

/// Enough that each fail point is reached six times, and random moments besides; the long form has each at least ten times.
const KILLS: u64 = 260;
const KILLS_LONG: u64 = 2000;

/// The same of the loop whose writers share their tables: each of its points twice, or thirty times.
const SHARED_KILLS: u64 = 20;
const SHARED_KILLS_LONG: u64 = 300;
const SHARED_WRITERS: u64 = 16;

/// The same of the loop over the table store: each of its points twice, or more than twenty times.
const TABLES_KILLS: u64 = 40;
const TABLES_KILLS_LONG: u64 = 500;

/// All loops, what judges the first two from outside, and `feitian check` of both: seven checks in all.
pub fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    cargo::build_feitian(workspace)?;
    let python = python::environment(workspace, &["requirements.txt"])?;
    let folder = workspace.own("kill")?;
    std::fs::remove_dir_all(&folder)?;
    std::fs::create_dir_all(&folder)?;
    let mut outcome = writers_of_their_own(workspace, &python, &folder.join("data"), options.long)?;
    outcome.add(writers_of_the_same(workspace, &python, &folder.join("shared"), options.long)?);
    outcome.add(clients_of_the_table_store(workspace, &python, &folder, options.long)?);
    if outcome.is_good() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    } else {
        println!("data and log of the failed run: {}", folder.display());
    }
    Ok(outcome)
}

fn writers_of_their_own(workspace: &Workspace, python: &Path, data: &Path, is_long: bool) -> Result<Outcome> {
    let kills = if is_long { KILLS_LONG } else { KILLS };
    let mut outcome = Outcome::default();

    let mut command = Command::new(workspace.program("feitian-kill"));
    command.arg("--feitian").arg(workspace.feitian()).arg("--data").arg(data);
    command.args(["--kills", &kills.to_string(), "--seed", &seed()]);
    outcome.add(step("kill loop", &mut command, kills)?);

    let mut command = Command::new(python);
    command.arg("-B").arg(workspace.root.join(CLIENTS).join("outside.py")).arg(data);
    command.arg(data.with_extension("expected.json"));
    outcome.add(step("readers from outside", &mut command, 0)?);
    outcome.add(check(workspace, data)?);
    Ok(outcome)
}

fn writers_of_the_same(workspace: &Workspace, python: &Path, data: &Path, is_long: bool) -> Result<Outcome> {
    let kills = if is_long { SHARED_KILLS_LONG } else { SHARED_KILLS };
    let mut outcome = Outcome::default();

    let mut command = Command::new(workspace.program("feitian-kill"));
    command.arg("--feitian").arg(workspace.feitian()).arg("--data").arg(data);
    command.args(["--kills", &kills.to_string(), "--seed", &seed(), "--shared", &SHARED_WRITERS.to_string()]);
    outcome.add(step("kill loop over shared tables", &mut command, kills)?);

    let mut command = Command::new(python);
    command.arg("-B").arg(workspace.root.join(CLIENTS).join("model.py")).arg(data);
    command.arg(data.with_extension("statements.json"));
    outcome.add(step("the statements in the order of the log", &mut command, 0)?);
    outcome.add(check(workspace, data)?);
    Ok(outcome)
}

/// The loop judges its own answers; nobody else reads these files.
fn clients_of_the_table_store(workspace: &Workspace, python: &Path, folder: &Path, is_long: bool) -> Result<Outcome> {
    let kills = if is_long { TABLES_KILLS_LONG } else { TABLES_KILLS };
    let mut command = Command::new(python);
    without_settings(&mut command);
    command.arg("-B").arg(workspace.root.join(CLIENTS).join("ots_kill.py")).arg("--data").arg(folder.join("tables"));
    command.args(["--kills", &kills.to_string(), "--seed", &seed()]);
    command.env("FEITIAN_TEST_BIN", workspace.feitian()).env("FEITIAN_TEST_LOGS", folder);
    command.env_remove("FEITIAN_TEST_META");
    step("kill loop over the table store", &mut command, kills)
}

fn check(workspace: &Workspace, data: &Path) -> Result<Outcome> {
    let mut command = Command::new(workspace.feitian());
    command.arg("check").arg(data);
    step("feitian check", &mut command, 0)
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
