//! Every dependency has a licence that `deny.toml` allows. The file itself is in the format of cargo-deny.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::Finding;
use super::arrows::tree;
use crate::workspace::Workspace;

/// Every package that cargo resolves for the workspace.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let text = std::fs::read_to_string(workspace.root.join("deny.toml")).context("read deny.toml")?;
    let allowed = list_after(&text, "allow = [");
    let excepted: Vec<(String, String)> = text.lines().filter_map(exception).collect();
    // A package may come in several versions with several licences.
    let mut packages: BTreeMap<(String, String), ()> = BTreeMap::new();
    for node in tree(workspace, &["--workspace"])? {
        packages.insert((node.name, node.licence), ());
    }
    let bad = packages.into_keys().filter(|(name, licence)| {
        let mut may: Vec<&str> = allowed.iter().map(String::as_str).collect();
        may.extend(excepted.iter().filter(|(c, _)| c == name).map(|(_, l)| l.as_str()));
        !is_allowed(licence, &may)
    });
    let say = |(name, licence): (String, String)| {
        let licence = if licence.is_empty() { "none".to_string() } else { licence };
        Finding::new("deny.toml", 0, format!("{name} has the licence {licence}, which is not allowed"))
    };
    Ok(bad.map(say).collect())
}

/// The quoted texts between `start` and the next `]`.
fn list_after(text: &str, start: &str) -> Vec<String> {
    let inside = text.split_once(start).and_then(|(_, rest)| rest.split_once(']')).map_or("", |(inside, _)| inside);
    inside
        .lines()
        .map(|l| l.split('#').next().unwrap_or(""))
        .flat_map(|l| l.split('"').skip(1).step_by(2))
        .map(str::to_string)
        .collect()
}

/// Crate and licence of `{ crate = "x", allow = ["MPL-2.0"] },`.
fn exception(line: &str) -> Option<(String, String)> {
    let rest = line.trim().strip_prefix("{ crate = \"")?;
    let (name, rest) = rest.split_once('"')?;
    let (_, rest) = rest.split_once("allow = [\"")?;
    Some((name.to_string(), rest.split_once('"')?.0.to_string()))
}

/// Whether an SPDX expression can be met with the licences of `may`. Old manifests write `/` for OR.
fn is_allowed(expression: &str, may: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let fine = any(&words, &mut at, may);
    fine && at == words.len()
}

fn any(words: &[&str], at: &mut usize, may: &[&str]) -> bool {
    let mut fine = all(words, at, may);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        fine |= all(words, at, may);
    }
    fine
}

fn all(words: &[&str], at: &mut usize, may: &[&str]) -> bool {
    let mut fine = one(words, at, may);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        fine &= one(words, at, may);
    }
    fine
}

fn one(words: &[&str], at: &mut usize, may: &[&str]) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let fine = any(words, at, may);
        *at += 1;
        return fine;
    }
    if words.get(*at) == Some(&"WITH") {
        let whole = format!("{word} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
        return may.contains(&whole.as_str());
    }
    may.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        let may = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "Unlicense/MIT",
            "(MIT OR GPL-3.0) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_allowed(good, &may), "{good}");
        }
        for bad in
            ["", "GPL-3.0", "MIT AND GPL-3.0", "GPL-2.0 WITH Classpath-exception-2.0", "(GPL-3.0 OR AGPL-3.0) AND MIT"]
        {
            assert!(!is_allowed(bad, &may), "{bad}");
        }
    }

    #[test]
    fn lists_and_exceptions_are_read() {
        let text = "[licenses]\nallow = [\n  \"MIT\", # fine\n  \"ISC\",\n]\n  { crate = \"option-ext\", allow = [\"MPL-2.0\"] },\n";
        assert_eq!(list_after(text, "allow = ["), ["MIT", "ISC"]);
        assert_eq!(
            text.lines().filter_map(exception).collect::<Vec<_>>(),
            [("option-ext".to_string(), "MPL-2.0".to_string())]
        );
    }
}
