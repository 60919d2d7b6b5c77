//! `feitian explain`: pages without a server, and how failures lead to them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Up, expect, json};

/// The codes that have a file in `docs/errors`, with the text of each.
fn files() -> Vec<(String, String)> {
    of_language(|name| name.strip_suffix(".md").filter(|code| !code.contains('.')))
}

/// The same in Chinese.
fn chinese_files() -> Vec<(String, String)> {
    of_language(|name| name.strip_suffix(".zh.md"))
}

fn of_language(code: impl Fn(&str) -> Option<&str>) -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if let Some(code) = code(path.file_name().unwrap().to_str().unwrap()) {
            files.push((code.to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn a_code_prints_its_page_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let page = &files().into_iter().find(|(code, _)| code == "ODPS-0130131").unwrap().1;
    for args in [
        &["explain", "ODPS-0130131"][..],
        &["explain", "odps-0130131"],
        &["explain", "FAILED: ODPS-0130131:[1,15] Table not found - table demo.t cannot be resolved"],
        &["explain", "FAILED:", "ODPS-0130131:[1,15]", "Table", "not", "found", "-", "table", "demo.t"],
    ] {
        let (out, err) = expect(d, 0, args);
        assert_eq!((out.as_str(), err.as_str()), (page.as_str(), ""), "{args:?}");
    }
    assert!(expect(d, 0, &["explain", "nosuchtable"]).0.starts_with("# NoSuchTable: "));
    assert_eq!(std::fs::read_dir(d).unwrap().count(), 0, "nothing is written");
}

#[test]
fn every_page_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let listed = json(dir.path(), &["explain"]);
    let codes: BTreeSet<&str> = listed.as_array().unwrap().iter().map(|p| p["code"].as_str().unwrap()).collect();
    let files = files();
    assert_eq!(codes, files.iter().map(|(code, _)| code.as_str()).collect());
    // The title is what follows the code in the heading.
    let entry = listed.as_array().unwrap().iter().find(|p| p["code"] == "ODPS-0130131").unwrap();
    assert_eq!(*entry, json!({"code": "ODPS-0130131", "title": "Table not found"}));
    let (table, _) = expect(dir.path(), 0, &["explain"]);
    assert!(table.starts_with("CODE") && table.lines().count() == files.len() + 1, "{table}");
}

#[test]
fn every_page_is_there_in_chinese_too() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let files = chinese_files();
    for (code, text) in files.iter().step_by(20) {
        let page = json(d, &["explain", code.as_str(), "--lang", "zh"]);
        assert_eq!((&page["code"], &page["text"]), (&json!(code), &json!(text)));
    }
    let (out, _) = expect(d, 0, &["explain", "odps-0130131", "--lang", "zh"]);
    assert_eq!(out, files.iter().find(|(code, _)| code == "ODPS-0130131").unwrap().1);
    let listed = json(d, &["explain", "--lang", "zh"]);
    let titles = listed.as_array().unwrap().iter().map(|p| (p["code"].as_str().unwrap(), p["title"].as_str().unwrap()));
    let wanted: Vec<String> = files.iter().map(|(_, text)| text.lines().next().unwrap().to_string()).collect();
    assert_eq!(titles.map(|(code, title)| format!("# {code}: {title}")).collect::<Vec<_>>(), wanted);
    expect(d, 2, &["explain", "NoPermission", "--lang", "fr"]);
}

#[test]
fn programs_get_a_page_as_json_and_csv() {
    let dir = tempfile::tempdir().unwrap();
    let files = files();
    let text = &files.iter().find(|(code, _)| code == "NoPermission").unwrap().1;
    let page = json(dir.path(), &["explain", "NoPermission"]);
    assert_eq!((&page["code"], &page["text"]), (&json!("NoPermission"), &json!(text)));
    let (short, _) = expect(dir.path(), 0, &["explain", "NoPermission", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&short).unwrap(), page);
    let (csv, _) = expect(dir.path(), 0, &["explain", "NoPermission", "--output", "csv"]);
    assert!(csv.starts_with("code,title,text\nNoPermission,"), "{csv}");
}

#[test]
fn an_unknown_code_is_a_negative_answer_with_suggestions() {
    let dir = tempfile::tempdir().unwrap();
    let (out, err) = expect(dir.path(), 1, &["explain", "NoSuchTabel"]);
    assert!(out.is_empty() && err.contains("NoSuchTable") && err.contains("hint: "), "{err}");
    let (out, err) = expect(dir.path(), 1, &["explain", "ODPS-013O131"]);
    assert!(out.is_empty() && err.contains("ODPS-0130131"), "{err}");
    for nothing_near in ["frobnicate", ""] {
        let (out, err) = expect(dir.path(), 1, &["explain", nothing_near]);
        assert!(out.is_empty() && err.contains("`feitian explain` lists every code"), "{err}");
    }
    expect(dir.path(), 2, &["explain", "NoPermission", "--output", "xml"]);
}

#[test]
fn a_failure_with_a_code_ends_with_the_way_to_its_page() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let d = dir.path();
    let last = |err: &str| err.lines().last().unwrap_or_default().to_string();
    let (out, err) = expect(d, 1, &["sql", "-e", "select * from nowhere"]);
    assert!(out.is_empty() && err.starts_with("error: ODPS-0130131:[1,15] "), "{err}");
    assert!(last(&err).contains("`feitian explain ODPS-0130131`"), "{err}");
    assert_eq!(err.matches("feitian explain").count(), 1, "{err}");
    let key = format!("{}:wrong", up.credentials().access_id);
    let (_, err) = expect(d, 2, &["project", "list", "--key", &key]);
    assert!(last(&err).contains("`feitian explain SignatureNotMatch`"), "{err}");
    let (_, err) = expect(d, 2, &["project", "list", "--key", "nobody:wrong"]);
    // The number says more than the class beside it.
    assert!(last(&err).contains("`feitian explain ODPS-0410051`"), "{err}");
    // What goes well says nothing.
    let (_, err) = expect(d, 0, &["sql", "-e", "select 1"]);
    assert_eq!(err, "");
    up.stop();
    // A failure of the client's own has no code.
    let (_, err) = expect(d, 2, &["project", "list"]);
    assert!(err.contains("cannot reach") && !err.contains("feitian explain"), "{err}");
}
