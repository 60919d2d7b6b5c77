//! Rules for the papers: the ones that readers look for exist, their links lead somewhere, and the map is complete.

use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;
use crate::workspace::Workspace;

/// Papers that readers expect at these places.
const EXPECTED: &[&str] = &[
    "README.md",
    "README.zh.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "deny.toml",
    "docs/compat.md",
    "docs/types-on-disk.md",
];

/// The two commands that the first screen of each README shows.
const COMMANDS: &[&str] = &["cargo xtask demo", "cargo xtask test"];
/// Lines of a first screen.
const SCREEN: usize = 30;

/// Every paper.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let read =
        |name: &Path| std::fs::read_to_string(workspace.root.join(name)).with_context(|| name.display().to_string());
    let mut findings: Vec<Finding> = EXPECTED
        .iter()
        .filter(|name| !workspace.root.join(name).is_file())
        .map(|name| Finding::new(*name, 0, "is missing"))
        .collect();
    for file in workspace.files()? {
        if file.extension().is_some_and(|e| e == "md") {
            let folder = workspace.root.join(file.parent().unwrap_or(Path::new("")));
            let text = read(&file)?;
            for (line, link) in links(&text) {
                if !folder.join(&link).exists() {
                    findings.push(Finding::new(&file, line, format!("the link to {link} leads nowhere")));
                }
            }
        }
    }
    for name in ["README.md", "README.zh.md"] {
        let screen: Vec<String> = read(Path::new(name))?.lines().take(SCREEN).map(str::to_string).collect();
        for command in COMMANDS.iter().filter(|c| !screen.iter().any(|line| line.trim() == **c)) {
            findings.push(Finding::new(
                name,
                0,
                format!("`{command}` must stand alone on a line of the first {SCREEN}"),
            ));
        }
    }
    let map = read(Path::new("ARCHITECTURE.md"))?;
    for entry in std::fs::read_dir(workspace.root.join("crates")).context("read crates")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !map.contains(&format!("`{name}`")) {
            findings.push(Finding::new("ARCHITECTURE.md", 0, format!("the crate `{name}` is not on the map")));
        }
    }
    Ok(findings)
}

/// Line and target of every link to a file.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for (_, rest) in line.match_indices("](").map(|(i, m)| (i, &line[i + m.len()..])) {
            let target = rest.split([')', '#']).next().unwrap_or("");
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push((at + 1, target.to_string()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found_and_others_are_not() {
        let text = "see [a](docs/a.md#part) and [b](https://example.org)\n[c](#here) [d](b.md)\n";
        assert_eq!(links(text), [(1, "docs/a.md".to_string()), (2, "b.md".to_string())]);
    }
}
