//! Rules for every text file: it speaks of the product, not of a machine or of how the product came to be.

use anyhow::Result;

use super::Finding;
use crate::workspace::Workspace;

/// Text that no tracked file may hold, and why. Spelt in two parts, so that this file does not find itself.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("../sha", "red"), "a paper that readers do not have"),
    (concat!("odps-", "api.md"), "a paper that readers do not have; cite PyODPS or the MaxCompute documentation"),
    (concat!("odps-", "api 4"), "a paper that readers do not have; cite PyODPS or the MaxCompute documentation"),
    (concat!("maxcompute-", "sql.md"), "a paper that readers do not have"),
    (concat!("reference", " part"), "a paper that readers do not have"),
    (concat!("PLAN", ".md"), "a paper that readers do not have"),
    (concat!("FIX", "ME"), "mend it before it lands"),
];

/// Files of these kinds are read.
const TEXT: &[&str] = &["rs", "toml", "md", "py", "sh", "txt", "yml", "yaml", "json", "sql", "test", "html", "css"];

/// Every tracked text file.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in workspace.files()? {
        let known = file.extension().and_then(|e| e.to_str()).is_some_and(|e| TEXT.contains(&e));
        if !known && !file.starts_with(".ci") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(workspace.root.join(&file)) else {
            findings.push(Finding::new(&file, 0, "is not UTF-8"));
            continue;
        };
        findings.extend(check_text(&text).into_iter().map(|(line, what)| Finding::new(&file, line, what)));
        if file.extension().is_some_and(|e| e == "py") && !text.starts_with("\"\"\"") {
            findings.push(Finding::new(&file, 1, "begin with a docstring that says the file's one job"));
        }
        let is_shell = file.starts_with(".ci") || file.extension().is_some_and(|e| e == "sh");
        if is_shell && text.lines().count() >= 10 {
            findings.push(Finding::new(&file, 0, "shell stays under ten lines; write the rest in xtask"));
        }
    }
    Ok(findings)
}

fn check_text(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for (word, why) in FORBIDDEN {
            if line.contains(word) {
                found.push((at + 1, format!("`{word}`: {why}")));
            }
        }
        if has_issue_number(line) {
            found.push((at + 1, "an issue number: say the thing itself".to_string()));
        }
    }
    found
}

/// Whether the line names an issue by number.
fn has_issue_number(line: &str) -> bool {
    let lower = line.to_lowercase();
    lower.match_indices("issue ").any(|(at, word)| {
        let rest = lower[at + word.len()..].trim_start_matches('#');
        rest.starts_with(|c: char| c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_papers_and_issue_numbers_are_found() {
        let text = format!("fine\n{}x\nas {} 2 says\n", concat!("/wo", "rk/"), concat!("iss", "ue"));
        assert_eq!(check_text(&text).into_iter().map(|(line, _)| line).collect::<Vec<_>>(), [2, 3]);
        assert!(check_text("an issue of trust\n").is_empty());
    }
}
