//! Which crate may know which: the arrows of ARCHITECTURE.md, checked on what cargo resolves.

use anyhow::{Context, Result};

use super::Finding;
use crate::process;
use crate::workspace::Workspace;

/// Every crate of ours with the crates of ours that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("types", &["base"]),
    ("meta", &["base", "types"]),
    ("store", &["base"]),
    ("sched", &["base"]),
    ("sql", &["base", "types"]),
    ("wire", &["base", "types"]),
    ("functions", &["base", "types"]),
    ("udf", &["functions", "types", "base"]),
    ("warehouse", &["meta", "store", "sched", "udf", "functions", "sql", "types", "base"]),
    ("tables", &["store", "wire", "types", "base"]),
    ("api", &["tables", "meta", "wire", "sql", "types", "base"]),
    ("console", &["api", "tables", "meta", "sql", "types", "base"]),
    (
        "feitian",
        &[
            "console",
            "api",
            "warehouse",
            "tables",
            "meta",
            "store",
            "sched",
            "udf",
            "sql",
            "wire",
            "functions",
            "types",
            "base",
        ],
    ),
    ("fuzz", &["wire", "sql", "types", "base"]),
    ("drive", &["wire", "types", "base"]),
    ("xtask", &[]),
];

/// A foreign crate (all whose names begin so), the only crates of ours that may name it, and why.
struct Only {
    foreign: &'static str,
    crates: &'static [&'static str],
    /// Whether others may not even reach it through third parties.
    transitive: bool,
    why: &'static str,
}

const ONLY: &[Only] = &[
    Only {
        foreign: "datafusion",
        crates: &["warehouse", "functions"],
        transitive: false,
        why: "the engine stays behind the warehouse's door",
    },
    Only {
        foreign: "deltalake",
        crates: &["warehouse"],
        transitive: false,
        why: "only the warehouse knows how tables lie on disk",
    },
    Only { foreign: "sqlx", crates: &["meta"], transitive: false, why: "SQL text for databases lives in meta" },
    Only {
        foreign: "sqlparser",
        crates: &["sql", "warehouse", "functions"],
        transitive: false,
        why: "parsing lives in sql",
    },
    Only {
        foreign: "axum",
        crates: &["api", "console", "feitian"],
        transitive: true,
        why: "HTTP servers are api's, pages are console's",
    },
    Only { foreign: "hyper", crates: &["api", "feitian"], transitive: false, why: "HTTP servers are api's" },
    Only {
        foreign: "anyhow",
        crates: &["feitian", "xtask", "fuzz", "drive"],
        transitive: false,
        why: "errors between crates are feitian_base::Error",
    },
];

/// What the two crates that fuzz targets and test clients link must never reach, however far away.
const HEAVY: &[&str] = &["datafusion", "deltalake", "sqlx", "axum", "hyper", "reqwest", "object_store", "parquet"];
const LIGHT: &[&str] = &["sql", "wire", "types", "base"];

/// xtask is the first thing that a newcomer waits for.
const XTASK_MAY: &[&str] = &["anyhow", "indicatif"];

/// One line of `cargo tree`.
pub struct Node {
    pub depth: usize,
    pub name: String,
    pub licence: String,
}

/// Every crate of ours.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for entry in std::fs::read_dir(workspace.root.join("crates")).context("read crates")? {
        let folder = entry?.file_name().to_string_lossy().into_owned();
        let nodes = tree(workspace, &["--package", &package(&folder)])?;
        let file = format!("crates/{folder}/Cargo.toml");
        match ARROWS.iter().find(|(name, _)| *name == folder) {
            Some((_, allowed)) => {
                findings
                    .extend(check_crate(&folder, allowed, &nodes).into_iter().map(|what| Finding::new(&file, 0, what)));
            }
            None => findings.push(Finding::new(&file, 0, "a new crate: give it its arrows in xtask's tidy/arrows.rs")),
        }
    }
    Ok(findings)
}

/// The package in a folder of `crates`.
fn package(folder: &str) -> String {
    if matches!(folder, "feitian" | "xtask") { folder.to_string() } else { format!("feitian-{folder}") }
}

fn check_crate(folder: &str, allowed: &[&str], nodes: &[Node]) -> Vec<String> {
    let mut found = Vec::new();
    let direct = || nodes.iter().filter(|n| n.depth == 1);
    for node in direct() {
        let ours = node.name.strip_prefix("feitian-");
        if let Some(other) = ours.filter(|other| !allowed.contains(other)) {
            found.push(format!("{folder} must not depend on {other}"));
        }
        if folder == "xtask" && !XTASK_MAY.contains(&node.name.as_str()) {
            found.push(format!("xtask must not depend on {}: it has to compile in seconds", node.name));
        }
    }
    for only in ONLY.iter().filter(|only| !only.crates.contains(&folder)) {
        let hits = nodes.iter().filter(|n| n.depth >= 1 && (only.transitive || n.depth == 1));
        if let Some(node) = hits.into_iter().find(|n| is_family(&n.name, only.foreign)) {
            found.push(format!("{folder} must not depend on {}: {}", node.name, only.why));
        }
    }
    if LIGHT.contains(&folder) {
        for heavy in HEAVY {
            if let Some(node) = nodes.iter().find(|n| is_family(&n.name, heavy)) {
                found.push(format!("{folder} reaches {}: it must stay light", node.name));
            }
        }
    }
    found
}

/// `datafusion` and `datafusion-expr` are of the family `datafusion`; `hyper-util` is of `hyper`.
fn is_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// What `cargo tree` says of normal and build dependencies.
pub fn tree(workspace: &Workspace, args: &[&str]) -> Result<Vec<Node>> {
    let mut command = workspace.cargo();
    command.args(["tree", "--edges", "normal,build", "--prefix", "depth", "--format", " {p}|{l}"]).args(args);
    let mut nodes = Vec::new();
    let mut errors = String::new();
    let status = process::run(&mut command, |stream, line| match stream {
        process::Stream::Out => nodes.extend(parse_node(line)),
        process::Stream::Err => errors.push_str(&format!("{line}\n")),
    })?;
    anyhow::ensure!(status.success(), "cargo tree failed:\n{errors}");
    Ok(nodes)
}

/// Reads `1 serde v1.0.0|MIT OR Apache-2.0 (*)`.
fn parse_node(line: &str) -> Option<Node> {
    let (depth, rest) = line.split_once(' ')?;
    let (package, licence) = rest.split_once('|')?;
    let name = package.split(' ').next()?.to_string();
    Some(Node { depth: depth.parse().ok()?, name, licence: licence.trim_end_matches(" (*)").trim().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(lines: &[&str]) -> Vec<Node> {
        lines.iter().filter_map(|l| parse_node(l)).collect()
    }

    #[test]
    fn arrows_against_the_direction_are_found() {
        let found =
            check_crate("meta", &["base"], &nodes(&["0 feitian-meta v1|A", "1 feitian-api v1|A", "2 axum v1|MIT"]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            check_crate(
                "meta",
                &["base"],
                &nodes(&["0 feitian-meta v1|A", "1 feitian-base v1|A", "1 sqlx v1|MIT (*)"])
            )
            .is_empty()
        );
    }

    #[test]
    fn light_crates_stay_light_at_any_distance() {
        let far = nodes(&["0 feitian-sql v1|A", "1 x v1|MIT", "2 datafusion-expr v55|Apache-2.0"]);
        assert_eq!(check_crate("sql", &[], &far).len(), 1);
    }
}
