//! Rules for SQL test files: every block says who vouches for what it expects.

use anyhow::{Context, Result};

use super::Finding;
use crate::workspace::Workspace;

/// Who may vouch, and whether words must say where exactly it stands.
const SOURCES: &[(&str, bool)] = &[
    ("duckdb", false),
    ("spark", false),
    ("arithmetic", false),
    ("documentation", true),
    ("client", true),
    ("text", true),
];
/// Engines whose answers are computed again.
const ENGINES: &[&str] = &["duckdb", "spark"];

/// Every file `*.test`.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in workspace.files()? {
        if file.extension().is_some_and(|e| e == "test") {
            let text =
                std::fs::read_to_string(workspace.root.join(&file)).with_context(|| file.display().to_string())?;
            let found = check_text(&text);
            findings.extend(found.into_iter().map(|(line, what)| Finding::new(&file, line, what)));
        }
    }
    Ok(findings)
}

/// The breaches in one file: line and what to do. Blocks stand between empty lines.
fn check_text(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut start = 0;
    for end in 0..=lines.len() {
        if lines.get(end).is_none_or(|line| line.trim().is_empty()) {
            if let Some(what) = breach(&lines[start..end]) {
                found.push((start + 1, what));
            }
            start = end + 1;
        }
    }
    found
}

/// What is wrong with one block. Remarks alone are no block, and a flag expects nothing.
fn breach(block: &[&str]) -> Option<String> {
    let directive = block.iter().find(|line| !line.starts_with('#'))?;
    let kind = directive.split_whitespace().next().unwrap_or_default();
    if kind == "set" {
        return None;
    }
    let mut said = block.iter().filter_map(|line| line.strip_prefix("# from: "));
    let names = || SOURCES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let Some(from) = said.next() else {
        return Some(format!("say who vouches for it: `# from: SOURCE[, WORDS]` with one of {}", names()));
    };
    if said.next().is_some() {
        return Some("two lines `# from:`: one block, one source".to_string());
    }
    let (source, words) = from.split_once(',').unwrap_or((from, ""));
    match SOURCES.iter().find(|(name, _)| *name == source.trim()) {
        None => Some(format!("`{}` is no source; known are {}", source.trim(), names())),
        Some((name, true)) if words.trim().is_empty() => {
            Some(format!("say after `{name},` where exactly it stands, so that a reader finds it"))
        }
        Some((name, _)) if ENGINES.contains(name) && kind != "query" => {
            Some(format!("`{name}` vouches for rows alone, and this is no query but a `{kind}`"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        check_text(text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_block_without_a_source_is_found_by_its_first_line() {
        let good = "# from: duckdb\nquery\nselect 1\n----\n1\n";
        assert_eq!(lines(good), []);
        assert_eq!(
            lines(&format!("{good}\nquery\nselect 2\n----\n2\n\n# a remark\nstatement\ndrop table t\n")),
            [7, 12]
        );
    }

    #[test]
    fn flags_and_remarks_need_no_source() {
        assert_eq!(lines("# What this file is about.\n\nset odps.sql.timezone=UTC\n"), []);
    }

    #[test]
    fn sources_are_the_known_ones_and_published_ones_are_named() {
        assert_eq!(lines("# from: feitian\nquery\nselect 1\n"), [1]);
        assert_eq!(lines("# from: documentation\nquery\nselect 1\n"), [1]);
        assert_eq!(lines("# from: documentation, MaxCompute, SELECT\nquery\nselect 1\n"), []);
        assert_eq!(lines("# from: arithmetic\n# from: spark\nquery\nselect 1\n"), [1]);
    }

    #[test]
    fn engines_vouch_for_rows_alone() {
        assert_eq!(lines("# from: spark\nerror ODPS-0130161\nselec 1\n"), [1]);
        assert_eq!(lines("# from: duckdb, by hand\n# duckdb: select 1\nquery int\nselect 1Y\n----\n1\n"), []);
    }
}
