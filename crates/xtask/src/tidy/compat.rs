//! `docs/compat.md` is printed from the table that routes requests; what is written by hand stands below a mark.

use std::process::Command;

use anyhow::{Context, Result};

use super::Finding;
use crate::cargo;
use crate::process::{self, Stream};
use crate::workspace::Workspace;

const PAGE: &str = "docs/compat.md";
/// What follows this line is left alone.
const BY_HAND: &str = "<!-- Below this line: written by hand. -->";

/// Compares the page with the routes, or writes it anew.
pub fn check(workspace: &Workspace, write: bool) -> Result<Vec<Finding>> {
    let printed = print(workspace)?;
    let path = workspace.root.join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    let (generated, by_hand) = match page.split_once(BY_HAND) {
        Some((generated, by_hand)) => (generated, by_hand),
        None => (page.as_str(), "\n"),
    };
    if generated.trim() == printed.trim() {
        return Ok(Vec::new());
    }
    if write {
        std::fs::write(&path, format!("{}\n\n{BY_HAND}{by_hand}", printed.trim())).with_context(|| PAGE)?;
        println!("written: {PAGE}");
        return Ok(Vec::new());
    }
    let line = generated.lines().zip(printed.lines()).take_while(|(a, b)| a == b).count() + 1;
    Ok(vec![Finding::new(PAGE, line, "is not what the routes say; refresh it with: cargo xtask tidy --write")])
}

fn print(workspace: &Workspace) -> Result<String> {
    // The whole workspace is selected, so that dependencies are the ones that the tests use.
    let mut build = workspace.cargo();
    cargo::build("building the list of routes", build.args(["build", "--workspace", "--example", "compat"]))?;
    let mut command = Command::new(workspace.program("examples/compat"));
    let (mut page, mut errors) = (String::new(), String::new());
    let status = process::run(&mut command, |stream, line| {
        let to = if stream == Stream::Out { &mut page } else { &mut errors };
        to.push_str(line);
        to.push('\n');
    })?;
    anyhow::ensure!(status.success(), "printing the page failed:\n{}", process::tail(&errors, 20));
    Ok(page)
}
