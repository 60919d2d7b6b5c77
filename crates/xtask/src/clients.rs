//! The client tests: real Python clients against the real binary, over SQLite and again over PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::cargo;
use crate::npm;
use crate::postgres::Cluster;
use crate::process;
use crate::progress::Bar;
use crate::python::{self, CLIENTS};
use crate::stage::{Options, Outcome};
use crate::tools;
use crate::workspace::{Workspace, without_settings};

/// The packages of the clients.
const PACKAGES: &str = "requirements.txt";

/// The packages of dbt, which do not go with those of the other clients.
const DBT: &str = "requirements-dbt.txt";

/// The newest SDK of Tablestore, which does not go with the one among the other clients.
const OTS_NEWEST: &str = "requirements-ots-newest.txt";

/// The SDK of Tablestore on npm.
const OTS_NPM: &str = "tablestore@5.6.5";

/// Every client test, once for each metadata database. Words choose modules (`test_tunnel`), others tests by name.
pub fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    tools::ensure(tools::FOR_PAGES)?;
    let mut session = Session { is_long: options.long, ..Session::prepare(workspace)? };
    let modules: Vec<&str> = options.words.iter().map(String::as_str).filter(|w| w.starts_with("test_")).collect();
    let wants = |name: &str| modules.is_empty() || modules.contains(&name);
    if wants("test_dbt") {
        session.dbt = Some(python::environment(workspace, &[DBT])?.with_file_name("dbt"));
    }
    if wants("test_ots_sdk") {
        let source = python::source(workspace, "requirements.txt", "tablestore")?;
        session.ots = Some(Ots { source, newest: python::environment(workspace, &[OTS_NEWEST])? });
    }
    if wants("test_ots_node") {
        session.node = Some(npm::folder(workspace, OTS_NPM)?);
    }
    let mut args: Vec<String> = Vec::new();
    for word in &options.words {
        if word.starts_with("test_") { args.push(word.clone()) } else { args.extend(["--only".into(), word.clone()]) }
    }
    let mut outcome = session.run("clients on SQLite", None, &args)?;
    let cluster = Cluster::start()?;
    outcome.add(session.run("clients on PostgreSQL", Some(&cluster), &args)?);
    Ok(outcome)
}

/// Two processes on one directory and one PostgreSQL.
pub fn two_process(workspace: &Workspace, _: &Options) -> Result<Outcome> {
    let session = Session::prepare(workspace)?;
    let cluster = Cluster::start()?;
    let modules = ["test_two_processes_own", "test_ots_two_own", "test_ots_system_own"].map(String::from);
    session.run("two processes", Some(&cluster), &modules)
}

/// What the SQL tests say is Spark's, computed again by Spark (DuckDB's part is a client test), and in the long form random
/// queries beside it. Words choose: `test_spark_own` the random queries, others files of SQL tests.
pub fn spark(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    tools::ensure(tools::FOR_SPARK)?;
    let packages = [PACKAGES, "requirements-spark.txt"];
    let (modules, files): (Vec<String>, Vec<String>) =
        options.words.iter().cloned().partition(|w| w.starts_with("test_"));
    let mut outcome = Outcome::default();
    if modules.is_empty() || !files.is_empty() {
        let mut command = Command::new(python::environment(workspace, &packages)?);
        without_settings(&mut command);
        command.arg("-B").arg(workspace.root.join(CLIENTS).join("spark_oracle.py")).args(&files);
        outcome.add(run_script("Spark", &mut command)?);
    }
    if !modules.is_empty() || (options.long && files.is_empty()) {
        let session = Session { is_long: options.long, ..Session::with(workspace, &packages)? };
        let modules = if modules.is_empty() { vec!["test_spark_own".to_string()] } else { modules };
        outcome.add(session.run("queries beside Spark", None, &modules)?);
    }
    Ok(outcome)
}

/// The queries of TPC-DS over small tables, beside DuckDB. Their texts come from a package of PyPI.
pub fn tpcds(workspace: &Workspace, _: &Options) -> Result<Outcome> {
    let session = Session::prepare(workspace)?;
    let folder = workspace.own("tpcds")?;
    let script = |name: &str| workspace.root.join(CLIENTS).join(name);
    let mut texts = Command::new(python::environment(workspace, &["requirements-tpcds.txt"])?);
    without_settings(&mut texts);
    process::run_quietly(texts.arg("-B").arg(script("tpcds_texts.py")).arg(&folder))?;
    let mut command = Command::new(&session.python);
    without_settings(&mut command);
    command.env("FEITIAN_TEST_BIN", workspace.feitian()).env("FEITIAN_TEST_LOGS", workspace.own("logs")?);
    run_script("TPC-DS", command.arg("-B").arg(script("tpcds_run.py")).arg(&folder))
}

/// What every run of client tests needs.
struct Session<'a> {
    workspace: &'a Workspace,
    python: PathBuf,
    /// The program dbt, for runs that have its tests.
    dbt: Option<PathBuf>,
    /// The same of the tests that the SDK of Tablestore has of its own.
    ots: Option<Ots>,
    /// The folder with the SDK of npm, likewise.
    node: Option<PathBuf>,
    /// Random tests go on for longer.
    is_long: bool,
}

/// What runs the SDK's own tests.
struct Ots {
    /// The archive that has them.
    source: PathBuf,
    /// The interpreter with the newest SDK.
    newest: PathBuf,
}

impl<'a> Session<'a> {
    fn prepare(workspace: &'a Workspace) -> Result<Self> {
        Self::with(workspace, &[PACKAGES])
    }

    fn with(workspace: &'a Workspace, packages: &[&str]) -> Result<Self> {
        tools::ensure(tools::FOR_TESTS)?;
        cargo::build_feitian(workspace)?;
        let python = python::environment(workspace, packages)?;
        Ok(Self { workspace, python, dbt: None, ots: None, node: None, is_long: false })
    }

    fn run(&self, label: &str, cluster: Option<&Cluster>, args: &[String]) -> Result<Outcome> {
        let logs = self.workspace.own("logs")?.join(label.replace(' ', "-"));
        if logs.exists() {
            std::fs::remove_dir_all(&logs)?;
        }
        std::fs::create_dir_all(&logs)?;
        let outcome = run_script(label, &mut self.command(&logs, cluster, args))?;
        if outcome.is_good() {
            std::fs::remove_dir_all(&logs)?;
        } else {
            println!("server logs of {label}: {}", logs.display());
        }
        Ok(outcome)
    }

    fn command(&self, logs: &Path, cluster: Option<&Cluster>, args: &[String]) -> Command {
        let mut command = Command::new(&self.python);
        without_settings(&mut command);
        command.arg("-B").arg(self.workspace.root.join(CLIENTS).join("run.py")).args(args);
        command.env("FEITIAN_TEST_BIN", self.workspace.feitian()).env("FEITIAN_TEST_LOGS", logs);
        // Drawings of pages are kept: whether a page looks right is for people to see.
        command.env("FEITIAN_TEST_SCREENSHOTS", logs.with_extension("screenshots"));
        command.env_remove("FEITIAN_TEST_META").env_remove("FEITIAN_TEST_DBT");
        command.env_remove("FEITIAN_TEST_OTS_SOURCE").env_remove("FEITIAN_TEST_OTS_NEWEST");
        command.env_remove("FEITIAN_TEST_OTS_NODE");
        if self.is_long {
            command.env("FEITIAN_TEST_LONG", "1");
        }
        if let Some(dbt) = &self.dbt {
            command.env("FEITIAN_TEST_DBT", dbt);
        }
        if let Some(ots) = &self.ots {
            command.env("FEITIAN_TEST_OTS_SOURCE", &ots.source).env("FEITIAN_TEST_OTS_NEWEST", &ots.newest);
        }
        if let Some(folder) = &self.node {
            command.env("FEITIAN_TEST_OTS_NODE", folder);
        }
        if let Some(cluster) = cluster {
            command.env("FEITIAN_TEST_META", cluster.url("postgres"));
        }
        command
    }
}

/// Runs a test script that prints a line for each test and ends with `N passed, N failed`; libraries may have a last word. What
/// it prints after `proof: ` is for the report.
pub fn run_script(label: &str, command: &mut Command) -> Result<Outcome> {
    let mut bar = Bar::start(label);
    let (mut tally, mut report) = (None, Vec::new());
    let status = process::run(command, |_, line| {
        if let Some(kept) = line.strip_prefix("proof: ") {
            bar.print(kept);
            report.push(kept.to_string());
        } else if line.starts_with("test ") && line.contains(" ... ok") {
            bar.note(line);
        } else {
            bar.print(line);
        }
        tally = parse_tally(line).or(tally.take());
    })?;
    let outcome = Outcome { report, ..tally.unwrap_or_else(|| Outcome::one(false)) };
    // A script that died after its last line is no success.
    let fell = !status.success() && outcome.failed == 0;
    Ok(if fell { Outcome { failed: 1, ..outcome } } else { outcome })
}

/// The numbers of `12 passed, 3 failed`.
pub fn parse_tally(line: &str) -> Option<Outcome> {
    let (passed, failed) = line.trim().split_once(" passed, ")?;
    let failed = failed.strip_suffix(" failed")?;
    Some(Outcome { passed: passed.parse().ok()?, failed: failed.parse().ok()?, report: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_script_is_its_tally() {
        let found = parse_tally("12 passed, 3 failed").map(|o| (o.passed, o.failed));
        assert_eq!(found, Some((12, 3)));
        assert!(parse_tally("Traceback (most recent call last):").is_none());
    }
}
