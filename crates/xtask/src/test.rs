//! `cargo test` over the workspace, with what the tests expect around them: tools, and a PostgreSQL of their own.

use anyhow::Result;

use crate::cargo;
use crate::postgres::Cluster;
use crate::stage::{Options, Outcome};
use crate::tools;
use crate::workspace::Workspace;

/// Crates whose tests link neither Arrow nor DataFusion: they are compiled and run in seconds.
const LIGHT: &[&str] = &["feitian-base", "feitian-types", "feitian-sched", "xtask"];

/// Runs the Rust tests: those of the light crates, and with `--long` those of the whole workspace, each with the PostgreSQL
/// that it expects. Words choose tests by name.
pub fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    tools::ensure(tools::FOR_TESTS)?;
    let mut packages: Vec<&str> = vec!["--workspace"];
    if !options.long {
        packages = LIGHT.iter().flat_map(|p| ["--package", p]).collect();
    }
    // Built before the database starts, so that a slow build does not leave it idle.
    cargo::build("building the tests", workspace.cargo().arg("test").args(&packages).arg("--no-run"))?;
    let cluster = Cluster::start()?;
    let mut command = workspace.cargo();
    command.arg("test").args(&packages).env("FEITIAN_TEST_POSTGRES", cluster.url("postgres"));
    if !options.words.is_empty() {
        command.arg("--").args(&options.words);
    }
    cargo::test("testing", &mut command)
}
