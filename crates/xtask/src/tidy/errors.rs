//! Every error code that production code raises has a page in `docs/errors`, and every page says what it must.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Finding;
use super::source::{is_production, production_lines};
use crate::workspace::Workspace;

/// Where the pages are.
const PAGES: &str = "docs/errors";
/// The list that carries the pages into the program.
const LIST: &str = "crates/base/src/codes.rs";
/// The parts of every page, in this order.
const PARTS: [&str; 3] = ["## What happened", "## Likely cause", "## What to do"];
/// The same in Chinese.
const CHINESE_PARTS: [&str; 3] = ["## 发生了什么", "## 可能的原因", "## 处理办法"];
/// What the name of a Chinese page ends with, before `.md`.
const CHINESE: &str = ".zh";
/// Crates that raise nothing towards users.
const ASIDE: [&str; 3] = ["crates/xtask", "crates/drive", "crates/fuzz"];

/// A name that begins or ends so is a code wherever it stands; others are codes beside a `Kind` only.
const BEGINNINGS: [&str; 4] = ["NoSuch", "Invalid", "Malformed", "Incomplete"];
const ENDINGS: [&str; 19] = [
    "NotFound",
    "NotEmpty",
    "NotMatch",
    "NotAllowed",
    "NotSupported",
    "NotTerminate",
    "AlreadyExists",
    "Modified",
    "Conflict",
    "Exceeded",
    "Expired",
    "Required",
    "Unavailable",
    "TooLarge",
    "TooSkewed",
    "InUse",
    "Failed",
    "Timeout",
    "Error",
];
/// Functions that take a code as their first argument.
const CONSTRUCTORS: [&str; 2] = ["not_found(", "conflict("];

/// Compares the sources with the pages, and the pages with their list.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let (mut raised, mut pages, mut findings) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    let (mut listed, mut texts) = (BTreeSet::new(), BTreeMap::new());
    for file in workspace.files()? {
        let read = || std::fs::read_to_string(workspace.root.join(&file)).with_context(|| file.display().to_string());
        let extension = file.extension().and_then(|e| e.to_str());
        if file.starts_with(PAGES) && extension == Some("md") {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = read()?;
            let found = match name.strip_suffix(CHINESE) {
                Some(code) => check_page(code, &text, CHINESE_PARTS),
                None => check_page(&name, &text, PARTS),
            };
            findings.extend(found.into_iter().map(|(line, what)| Finding::new(&file, line, what)));
            if !name.ends_with(CHINESE) {
                pages.insert(name.clone());
            }
            texts.insert(name, text);
        } else if file == Path::new(LIST) {
            listed.extend(literals(production_part(&read()?)).into_iter().map(|l| l.text.to_string()));
        } else if extension == Some("rs") && raises(&file) {
            for (line, code) in codes(&read()?) {
                raised.entry(code).or_insert((file.clone(), line));
            }
        }
    }
    findings.extend(compare(&raised, &pages, &listed));
    findings.extend(languages(&texts));
    Ok(findings)
}

/// Whether errors of this file reach users.
fn raises(file: &Path) -> bool {
    file.starts_with("crates") && !ASIDE.iter().any(|aside| file.starts_with(aside)) && is_production(file)
}

fn compare(
    raised: &BTreeMap<String, (PathBuf, usize)>,
    pages: &BTreeSet<String>,
    listed: &BTreeSet<String>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (code, (file, line)) in raised.iter().filter(|(code, _)| !pages.contains(*code)) {
        found.push(Finding::new(file, *line, format!("the code {code} has no page; write {PAGES}/{code}.md")));
    }
    for code in pages {
        let page = format!("{PAGES}/{code}.md");
        if !raised.contains_key(code) {
            found.push(Finding::new(&page, 0, format!("nothing raises {code}: delete the page")));
        }
        if !listed.contains(code) {
            found.push(Finding::new(page, 0, format!("`feitian explain` does not know it: add \"{code}\" to {LIST}")));
        }
    }
    found
}

/// Compares each page with the one in the other language. `texts` go by the name of their file without `.md`.
fn languages(texts: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, text) in texts {
        let file = format!("{PAGES}/{name}.md");
        if let Some(code) = name.strip_suffix(CHINESE) {
            if !texts.contains_key(code) {
                found.push(Finding::new(file, 0, format!("there is no {PAGES}/{code}.md: delete it")));
            }
            continue;
        }
        let Some(chinese) = texts.get(&format!("{name}{CHINESE}")) else {
            found.push(Finding::new(file, 0, format!("say the same in Chinese in {PAGES}/{name}{CHINESE}.md")));
            continue;
        };
        let (english, chinese) = (Fixed::of(text), Fixed::of(chinese));
        let file = format!("{PAGES}/{name}{CHINESE}.md");
        if english.code != chinese.code {
            found.push(Finding::new(&file, 0, format!("its code is not that of {name}.md; only comments may differ")));
        }
        for word in english.names.symmetric_difference(&chinese.names) {
            let told = if english.names.contains(word) { "only the English page has" } else { "only this page has" };
            found.push(Finding::new(&file, 0, format!("{told} `{word}`")));
        }
    }
    found
}

/// What a page says in every language alike.
#[derive(Debug, PartialEq, Eq)]
struct Fixed {
    /// The lines of messages and programs, without their comments.
    code: Vec<String>,
    /// What stands in back quotes, and where links lead.
    names: BTreeSet<String>,
}

impl Fixed {
    fn of(text: &str) -> Self {
        let (mut code, mut names, mut fenced) = (Vec::new(), BTreeSet::new(), false);
        for line in text.lines() {
            let is_fence = line.starts_with("```");
            fenced ^= is_fence;
            if is_fence || fenced || line.starts_with("    ") {
                code.push(without_comment(line).trim_end().to_string());
                continue;
            }
            names.extend(line.split('`').skip(1).step_by(2).map(str::to_string));
            let links = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            names.extend(links.map(|(target, _)| target.replace(".zh.md", ".md")));
        }
        Self { code, names }
    }
}

/// A line of SQL, Python or a shell up to its comment.
fn without_comment(line: &str) -> &str {
    if line.starts_with("-- ") || line.starts_with("# ") {
        return "";
    }
    let end = [" -- ", " # "].into_iter().filter_map(|mark| line.find(mark)).min();
    &line[..end.unwrap_or(line.len())]
}

/// The breaches in one page: line and what to do.
fn check_page(code: &str, text: &str, parts: [&str; 3]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let title = text.lines().next().and_then(|l| l.strip_prefix(&format!("# {code}: "))).unwrap_or_default();
    if title.trim().is_empty() {
        found.push((1, format!("begin with `# {code}: ` and a few words")));
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut from = 0;
    for part in parts {
        let Some(at) = lines[from..].iter().position(|l| *l == part).map(|at| from + at) else {
            found.push((0, format!("lacks the part `{part}`, or it is not in its place")));
            continue;
        };
        let words = lines[at + 1..].iter().find(|l| !l.trim().is_empty());
        if words.is_none_or(|l| l.starts_with('#')) {
            found.push((at + 1, format!("the part `{part}` is empty")));
        }
        from = at + 1;
    }
    found
}

/// The code that is built into the program: what stands above the tests.
fn production_part(text: &str) -> &str {
    let lines = production_lines(&text.lines().collect::<Vec<_>>());
    let end: usize = text.split_inclusive('\n').take(lines).map(str::len).sum();
    &text[..end]
}

/// Line and code of everything in a Rust file that looks like an error being made.
fn codes(text: &str) -> Vec<(usize, String)> {
    let text = production_part(text);
    let mut found = Vec::new();
    for literal in literals(text) {
        let (before, after) = (text[..literal.start].trim_end(), text[literal.end..].trim_start());
        if is_compared(before, after) {
            continue;
        }
        let line = text[..literal.start].matches('\n').count() + 1;
        found.extend(numbers(literal.text).map(|code| (line, code.to_string())));
        if is_name(literal.text) && (has_shape(literal.text) || is_beside_kind(before)) {
            found.push((line, literal.text.to_string()));
        }
    }
    found
}

/// True where a code is looked at, not given: a pattern, a comparison, an argument of `matches!`.
fn is_compared(before: &str, after: &str) -> bool {
    ["=>", "==", "!="].iter().any(|mark| after.starts_with(mark))
        || (after.starts_with('|') && !after.starts_with("||"))
        || (before.ends_with('|') && !before.ends_with("||"))
        || ["==", "!=", ".code(),"].iter().any(|mark| before.ends_with(mark))
}

/// `ODPS-` and seven digits, wherever they stand in a text.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("ODPS-").filter_map(|(at, mark)| {
        let digits = text.get(at + mark.len()..at + mark.len() + 7)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| &text[at..at + mark.len() + 7])
    })
}

/// Letters that begin with a capital one.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_alphabetic())
        && text.bytes().any(|b| b.is_ascii_lowercase())
}

fn has_shape(name: &str) -> bool {
    BEGINNINGS.iter().any(|b| name.strip_prefix(*b).is_some_and(|rest| !rest.is_empty()))
        || ENDINGS.iter().any(|e| name.strip_suffix(*e).is_some_and(|rest| !rest.is_empty()))
}

/// True behind `Kind::Conflict,` and at the first argument of a function that makes an error.
fn is_beside_kind(before: &str) -> bool {
    if CONSTRUCTORS.iter().any(|c| before.ends_with(c)) {
        return true;
    }
    let Some(before) = before.strip_suffix(',') else { return false };
    let before = before.trim_end();
    let head = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric());
    head.len() < before.len() && head.ends_with("Kind::")
}

/// A text in quotes.
struct Literal<'a> {
    /// Of the first quote, or of the `r` of a raw text.
    start: usize,
    /// Behind the last quote.
    end: usize,
    /// Between the quotes, as written.
    text: &'a str,
}

/// The texts in quotes of a Rust source, without those in comments.
fn literals(source: &str) -> Vec<Literal<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let next = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_start(&source[..at], rest) {
            let open = hashes + 2;
            let close = format!("\"{}", "#".repeat(hashes));
            let length = rest[open..].find(&close).unwrap_or(rest.len() - open);
            let end = (open + length + close.len()).min(rest.len());
            found.push(Literal { start: at, end: at + end, text: &rest[open..open + length] });
            end
        } else if c == '"' {
            let length = quoted(&rest[1..]);
            let end = (length + 2).min(rest.len());
            found.push(Literal { start: at, end: at + end, text: &rest[1..1 + length] });
            end
        } else if c == '\'' {
            character(rest)
        } else {
            c.len_utf8()
        };
        at += next;
    }
    found
}

/// The number of `#` of a raw text that begins here.
fn raw_start(before: &str, rest: &str) -> Option<usize> {
    // The `r` at the end of a word begins nothing; that of `br` does.
    let word = before.trim_end_matches('b').ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let inside = rest.strip_prefix('r').filter(|_| !word)?;
    let hashes = inside.bytes().take_while(|b| *b == b'#').count();
    inside[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a quoted text, up to its last quote.
fn quoted(inside: &str) -> usize {
    let mut escaped = false;
    let end = inside.char_indices().find(|(_, c)| match (escaped, c) {
        (true, _) => {
            escaped = false;
            false
        }
        (false, '\\') => {
            escaped = true;
            false
        }
        (false, c) => *c == '"',
    });
    end.map_or(inside.len(), |(at, _)| at)
}

/// The length of a character in quotes, or of the mark alone where it begins the name of a lifetime.
fn character(rest: &str) -> usize {
    let inside = &rest[1..];
    if let Some(escape) = inside.strip_prefix('\\') {
        // The escaped character may be a quote itself.
        let first = escape.chars().next().map_or(0, char::len_utf8);
        return escape[first..].find('\'').map_or(rest.len(), |end| 2 + first + end + 1);
    }
    match inside.chars().next() {
        Some(c) if inside[c.len_utf8()..].starts_with('\'') => c.len_utf8() + 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<String> {
        codes(source).into_iter().map(|(_, code)| code).collect()
    }

    #[test]
    fn codes_are_found_where_errors_are_made() {
        for source in [
            r#"Error::new(Kind::NotFound, "Gone", "x")"#,
            "Error::new(\n    Kind::NotFound,\n    \"Gone\",\n    \"x\",\n)",
            r#"return (Kind::Denied, "Gone");"#,
            r#"not_found("Gone", text)"#,
            r#"conflict( "Gone", text)"#,
        ] {
            assert_eq!(found(source), ["Gone"], "{source}");
        }
        assert_eq!(found(r#"let code = match kind { "upload" => "NoSuchUpload", _ => "FlowExceeded" };"#).len(), 2);
        assert_eq!(found(r##"let t = format!("ODPS-0130131:{at} {x}"); let u = r#"ODPS-0130071: a"#;"##).len(), 2);
        assert_eq!(found("fn a<'a>(x: &'a str) -> char { let q = '\"'; f(\"ODPS-0130131\", '\\'', q) }").len(), 1);
    }

    #[test]
    fn what_is_only_looked_at_or_told_is_not_raised() {
        for source in [
            r#"match e.code() { "SchemaModified" | "NoSuchTable" => 1, "ODPS-0130131" => 2 }"#,
            r#"if e.code() == "SchemaModified" || "NoSuchTable" != code {}"#,
            r#"matches!(e.code(), "NoSuchObject" | "SchemaNotEmpty")"#,
            r#"// Error::new(Kind::NotFound, "Gone", "ODPS-0130131")"#,
            r#"/* "NoSuchTable" */ op("ListTables"); title("Failed"); "no such NoSuchTable""#,
            "a(\"ODPS-013\");\n#[cfg(test)]\nmod tests { f(\"ODPS-0130131\") }\n",
        ] {
            assert!(found(source).is_empty(), "{source}: {:?}", found(source));
        }
    }

    #[test]
    fn a_code_is_named_by_its_line() {
        assert_eq!(codes("a\n\"x\ny\"; f(\n\"NoSuchTable\")"), [(4, "NoSuchTable".to_string())]);
    }

    #[test]
    fn codes_without_page_and_pages_without_code_are_found() {
        let set = |codes: &[&str]| codes.iter().map(|c| c.to_string()).collect::<BTreeSet<_>>();
        let raised = |codes: &[&str]| codes.iter().map(|c| (c.to_string(), (PathBuf::from("a.rs"), 7))).collect();
        assert!(compare(&raised(&["A", "B"]), &set(&["A", "B"]), &set(&["A", "B", "C"])).is_empty());
        let lines = |found: Vec<Finding>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
        let missing = lines(compare(&raised(&["A", "B"]), &set(&["A"]), &set(&["A"])));
        assert!(missing.len() == 1 && missing[0].starts_with("a.rs:7: the code B"), "{missing:?}");
        let idle = lines(compare(&raised(&["A"]), &set(&["A", "B"]), &set(&["A", "B"])));
        assert!(idle.len() == 1 && idle[0].starts_with("docs/errors/B.md: nothing raises"), "{idle:?}");
        let unlisted = lines(compare(&raised(&["A"]), &set(&["A"]), &set(&[])));
        assert!(unlisted.len() == 1 && unlisted[0].contains("feitian explain"), "{unlisted:?}");
    }

    #[test]
    fn a_page_has_its_heading_and_three_parts_with_words() {
        let page = "# A: words\n\n## What happened\n\nx\n\n## Likely cause\n\nx\n\n## What to do\n\nx\n";
        let found = |code: &str, text: &str| check_page(code, text, PARTS);
        assert!(found("A", page).is_empty());
        assert_eq!(found("B", page).len(), 1);
        for part in PARTS {
            assert_eq!(found("A", &page.replace(part, "## Other")).len(), 1, "{part}");
        }
        assert_eq!(found("A", page.trim_end_matches("x\n")), [(11, format!("the part `{}` is empty", PARTS[2]))]);
        assert_eq!(found("A", &page.replace("happened\n\nx", "happened")).len(), 1);
        assert_eq!(check_page("A", page, CHINESE_PARTS).len(), 3);
    }

    #[test]
    fn a_page_says_the_same_in_both_languages() {
        let english =
            "# A: words\n\n    A: no `t`\n\nSee `a` and [B](B.md).\n\n```sql\nSELECT 1;   -- one\n-- two\n```\n";
        let chinese = "# A: 词\n\n    A: no `t`\n\n见 [B](B.zh.md) 和 `a`。\n\n```sql\nSELECT 1;  -- 一\n-- 二\n```\n";
        let found = |pages: &[(&str, &str)]| {
            let texts = pages.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
            languages(&texts).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found(&[("A", english), ("A.zh", chinese)]), Vec::<String>::new());
        let alone = found(&[("A", english), ("B.zh", chinese)]);
        assert!(alone[0].starts_with("docs/errors/A.md: say the same in Chinese in docs/errors/A.zh.md"), "{alone:?}");
        assert!(alone[1].starts_with("docs/errors/B.zh.md: there is no docs/errors/B.md"), "{alone:?}");
        for (other, words) in [
            (chinese.replace("SELECT 1", "SELECT 2"), "its code is not that of A.md"),
            (chinese.replace("`a`", "它"), "only the English page has `a`"),
            (chinese.replace("B.zh.md", "C.zh.md"), "only the English page has `B.md`"),
            (chinese.replace("词", "`词`"), "only this page has `词`"),
        ] {
            let found = found(&[("A", english), ("A.zh", other.as_str())]);
            assert!(found.iter().any(|f| f.starts_with("docs/errors/A.zh.md: ") && f.contains(words)), "{found:?}");
        }
    }
}
