//! Rules for Rust files: they say what they are for, fit on few screens, and never unwrap in production.

use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;
use crate::workspace::Workspace;

/// Lines of production code (neither blank nor comment) that one file may have.
const FILE_LINES: usize = 500;
/// Lines of one function, from its first line to its closing brace.
const FUNCTION_LINES: usize = 70;

/// Every Rust file of the source tree.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in workspace.files()? {
        if file.extension().is_some_and(|e| e == "rs") {
            let text =
                std::fs::read_to_string(workspace.root.join(&file)).with_context(|| file.display().to_string())?;
            let found = check_text(&text, is_production(&file));
            findings.extend(found.into_iter().map(|(line, what)| Finding::new(&file, line, what)));
        }
    }
    Ok(findings)
}

/// Whether the lint rules for production code hold: everything but tests, benches, examples.
pub(super) fn is_production(file: &Path) -> bool {
    let aside = |name: &str| matches!(name, "tests" | "benches" | "examples" | "fuzz" | "tests.rs");
    !file.components().any(|c| c.as_os_str().to_str().is_some_and(aside))
}

/// The breaches in one file: line and what to do.
fn check_text(text: &str, production: bool) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    if !text.starts_with("//! ") {
        found.push((1, "begin with `//! ` and the file's one job".to_string()));
    }
    let lines: Vec<&str> = text.lines().collect();
    let end = production_lines(&lines);
    for (at, line) in lines.iter().enumerate() {
        if code(line).trim_start().starts_with(concat!("#[ign", "ore")) {
            found.push((at + 1, "no ignored tests: assert what happens today and say so".to_string()));
        }
        // Spelt in two parts, so that this file does not find itself.
        if production && at < end && code(line).contains(concat!(".unw", "rap()")) {
            found.push((
                at + 1,
                "no unwrap in production: return the error, or `expect` with why it cannot fail".to_string(),
            ));
        }
    }
    if production {
        let n = lines[..end].iter().filter(|l| !l.trim().is_empty() && !l.trim().starts_with("//")).count();
        if n > FILE_LINES {
            found.push((0, format!("{n} lines of production code; split it below {FILE_LINES}")));
        }
        found.extend(long_functions(&lines[..end]));
    }
    found
}

/// How many lines stand above the tests at a file's end. Attributes may stand between the `cfg` and the module; a module
/// in a file of its own (`mod tests;`) ends nothing.
pub(super) fn production_lines(lines: &[&str]) -> usize {
    let opens =
        |rest: &[&str]| rest.iter().find(|l| !l.starts_with("#[")).is_some_and(|l| !l.trim_end().ends_with(';'));
    let is_end = |at: &usize| lines[*at].trim_end() == "#[cfg(test)]" && opens(&lines[at + 1..]);
    (0..lines.len()).find(is_end).unwrap_or(lines.len())
}

/// A line without its comment; good enough for rules, since `//` inside a string only hides what follows it.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or("")
}

/// Functions whose closing brace, at the indentation of their first line, is too far away.
fn long_functions(lines: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, &str)> = None;
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if let Some(name) = function_name(line) {
            open = Some((at, indent, name));
        } else if let Some((from, _, name)) = open.filter(|(_, i, _)| *i == indent && line.trim() == "}") {
            let n = at - from + 1;
            if n > FUNCTION_LINES {
                found.push((from + 1, format!("function {name} has {n} lines; split it below {FUNCTION_LINES}")));
            }
            open = None;
        }
    }
    found
}

/// The name of the function that begins on this line.
fn function_name(line: &str) -> Option<&str> {
    let words = line.trim_start();
    let at = if words.starts_with("fn ") { 0 } else { words.find(" fn ")? + 1 };
    let starts = ["pub", "fn", "async", "const", "unsafe", "extern"];
    if !starts.iter().any(|s| words.starts_with(s)) || words.ends_with(';') {
        return None;
    }
    words[at + 3..].split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|n| !n.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        check_text(text, true).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_file_begins_with_its_job() {
        assert_eq!(found("//! Job.\nfn a() {}\n"), []);
        assert_eq!(found("fn a() {}\n"), [1]);
    }

    #[test]
    fn unwrap_is_for_tests_only() {
        let unwrap = concat!("x.unw", "rap();");
        assert_eq!(found(&format!("//! Job.\nfn a() {{ {unwrap} }}\n")), [2]);
        assert_eq!(found(&format!("//! Job.\n// {unwrap}\n#[cfg(test)]\nmod tests {{ {unwrap} }}\n")), []);
    }

    #[test]
    fn tests_in_a_file_of_their_own_end_nothing() {
        let unwrap = concat!("x.unw", "rap();");
        assert_eq!(found(&format!("//! Job.\n#[cfg(test)]\nmod tests;\nfn a() {{ {unwrap} }}\n")), [4]);
        assert_eq!(found(&format!("//! Job.\n#[cfg(test)]\n#[allow(x)]\nmod tests {{\n{unwrap}\n}}\n")), []);
    }

    #[test]
    fn long_functions_are_named_by_their_first_line() {
        let body = "    x();\n".repeat(FUNCTION_LINES - 1);
        assert_eq!(found(&format!("//! Job.\n\npub(crate) async fn long() {{\n{body}}}\n")), [3]);
        let body = "    x();\n".repeat(FUNCTION_LINES - 2);
        assert_eq!(found(&format!("//! Job.\n\nfn short() {{\n{body}}}\n")), []);
    }

    #[test]
    fn long_files_are_found() {
        assert_eq!(found(&format!("//! Job.\n{}", "const A: u8 = 0;\n".repeat(FILE_LINES + 1))), [0]);
        assert_eq!(found(&format!("//! Job.\n{}", "// why\n\n".repeat(FILE_LINES))), []);
    }
}
