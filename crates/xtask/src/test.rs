//! `cargo test` over the workspace, with what the tests expect around them: tools, and a PostgreSQL of their own.

use anyhow::Result;

use crate::cargo;
use crate::postgres::Cluster;
use crate::stage::{Options, Outcome};
use crate::tools;
use crate::workspace::Workspace;

/// Runs the Rust tests of the whole workspace, with the PostgreSQL that they expect. Words choose tests by name;
/// `--long` gives property tests more seeds.
///
/// The whole workspace is selected, as in every other build: then features are the same and dependencies compile once.
pub fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    tools::ensure(tools::FOR_TESTS)?;
    // Built before the database starts, so that a slow build does not leave it idle.
    cargo::build("building the tests", workspace.cargo().args(["test", "--workspace", "--no-run"]))?;
    let cluster = Cluster::start()?;
    let mut command = workspace.cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast", "--color", "never"])
        .env("FEITIAN_TEST_POSTGRES", cluster.url("postgres"));
    if options.long {
        command.env("FEITIAN_TEST_LONG", "1");
    }
    if !options.words.is_empty() {
        command.arg("--").args(&options.words);
    }
    cargo::test("testing", &mut command)
}
