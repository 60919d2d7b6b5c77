//! `cargo xtask demo`: from a fresh checkout to checked answers about real data, in one command.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cargo;
use crate::progress::shown;
use crate::python::{self, CLIENTS};
use crate::server::Server;
use crate::stage::{Options, Outcome};
use crate::workspace::Workspace;

/// Fewer compiled packages than this is an edit, not a first build.
const COLD_UNITS: u64 = 100;

/// Builds, starts, loads, asks, compares. True only if every number agrees.
pub fn run(options: &Options) -> Result<bool> {
    let started = Instant::now();
    let workspace = Workspace::find()?;
    let built = cargo::build_feitian(&workspace)?;
    let build_took = started.elapsed();
    let python = python::environment(&workspace, &["requirements.txt"])?;
    let folder = fresh_folder()?;
    let server = Server::start(&workspace, &folder.join("data"), options.keep, options.keep)?;
    let agreed = drive(&workspace, &python, &server)?;
    let took = started.elapsed();

    let is_cold = built.compiled >= COLD_UNITS;
    println!();
    println!("build {}, demo {}, total {}", shown(build_took), shown(took - build_took), shown(took));
    println!("{}", remember(&workspace, is_cold, took)?);
    if !agreed {
        println!("not everything agreed; the server's log and data are in {}", folder.display());
        server.stop()?;
        return Ok(false);
    }
    if options.keep {
        keep(server);
    } else {
        server.stop()?;
        std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(true)
}

/// The demo as a stage of the tests: one check, and nothing stays up behind it.
pub fn stage(_: &Workspace, _: &Options) -> Result<Outcome> {
    run(&Options::default()).map(Outcome::one)
}

fn fresh_folder() -> Result<PathBuf> {
    let name = format!("feitian-demo-{}-{}", std::process::id(), std::time::UNIX_EPOCH.elapsed()?.as_secs());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

/// Runs the Python part with our own terminal, since it draws bars of its own.
fn drive(workspace: &Workspace, python: &Path, server: &Server) -> Result<bool> {
    let mut command = Command::new(python);
    // Written byte code would make the source tree look changed.
    command.arg("-B").arg(workspace.root.join(CLIENTS).join("demo.py"));
    command.arg("--credentials").arg(server.data.join("credentials"));
    Ok(command.status().context("run the demo")?.success())
}

/// Keeps the time of the last cold and the last warm run, and tells both.
fn remember(workspace: &Workspace, is_cold: bool, took: Duration) -> Result<String> {
    let dir = workspace.own("demo")?;
    let file = |is_cold: bool| dir.join(if is_cold { "cold" } else { "warm" });
    std::fs::write(file(is_cold), shown(took))?;
    let told =
        |is_cold: bool| std::fs::read_to_string(file(is_cold)).unwrap_or_else(|_| "not measured yet".to_string());
    Ok(format!("total time, cold (everything is compiled): {}; warm: {}", told(true), told(false)))
}

fn keep(server: Server) {
    let (endpoint, data) = (format!("http://127.0.0.1:{}/api", server.port), server.data.display().to_string());
    let log = server.log.display().to_string();
    let Some(id) = server.let_go() else { return };
    let bold =
        |text: &str| if std::io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() };
    println!();
    println!("{}", bold(&format!("feitian stays up at {endpoint}. In Python, after `pip install pyodps`:")));
    println!();
    println!("  import json");
    println!("  from odps import ODPS");
    println!("  key = json.load(open(\"{data}/credentials\"))");
    println!("  o = ODPS(key[\"access_id\"], key[\"secret\"], key[\"project\"], endpoint=key[\"endpoint\"])");
    println!("  print(o.execute_sql(\"SELECT COUNT(*) FROM airports\").open_reader().raw)");
    println!();
    println!("log: {log}");
    println!("stop it with: kill {id}");
}
