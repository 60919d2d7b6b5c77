//! Pages of the table store made from tables and rows that are written by hand.
#![allow(clippy::unwrap_used)]

use askama::Template;
use feitian_api::admin::types::{
    OtsCellView, OtsColumn, OtsHex, OtsIndexView, OtsInstanceView, OtsKeyColumn, OtsKeyPart, OtsRowView, OtsRows,
    OtsStreamView, OtsTableInfo, OtsTableView, OtsUsage,
};
use feitian_api::{Origin, Query};
use feitian_base::{Error, Result};

use super::instance::InstancePage;
use super::key;
use super::place::Place;
use super::row::RowPage;
use super::rows::{Choice, RowsPage};
use super::table::TablePage;
use crate::app::shell::Shell;
use crate::lang::Lang;

/// A tag, quotes that would end an attribute, a mark that turns the direction, and a control character.
const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}\u{1b}";
/// The same as text: escaped for HTML (OWASP's five characters), the invisible ones by their numbers.
const HARMLESS: &str = "&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;\\u{202e}\\u{1b}";

fn shell(lang: Lang) -> Shell {
    let origin = Origin { scheme: "http".into(), host: "feitian.test:7700".into(), prefix: String::new() };
    let mut shell = Shell::plain(lang, &origin, "t");
    shell.hints = place().hints(&[HOSTILE, "rows"], &[("start", HOSTILE)]);
    shell
}

fn place() -> Place {
    Place { ots: "shop".into(), table: "t".into() }
}

fn key_column(name: &str, ty: &str) -> OtsKeyColumn {
    OtsKeyColumn { name: name.into(), ty: ty.into(), auto_increment: false }
}

/// A table whose names are `name`, with an integer, a text and bytes in its key.
fn table(name: &str) -> OtsTableInfo {
    OtsTableInfo {
        name: name.into(),
        index_of: None,
        state: "ready".into(),
        key: vec![key_column(name, "integer"), key_column(name, "string"), key_column(name, "binary")],
        columns: vec![OtsColumn { name: name.into(), ty: "double".into() }],
        max_versions: 3,
        time_to_live_s: -1,
        deviation_s: 86_400,
        allow_update: true,
        transactions: false,
        reserved_read_units: 0,
        reserved_write_units: 0,
        stream: Some(OtsStreamView { id: name.into(), expiration_h: 24 }),
        indexes: vec![OtsIndexView {
            name: name.into(),
            kind: "local".into(),
            state: "building".into(),
            key: vec![name.into()],
            columns: vec![name.into()],
            bytes: 1536,
            read_units: 0,
            write_units: 0,
        }],
        created_ms: 1_704_067_200_000,
        bytes: 0,
        read_units: 1_234_567,
        write_units: 7,
    }
}

fn cell(name: &str, ty: &str, value: &str, bytes: u64, cut: bool) -> OtsCellView {
    OtsCellView { name: name.into(), ty: ty.into(), value: value.into(), bytes, cut, version: 1_704_067_200_000 }
}

fn parts(number: i64, text: &str) -> Vec<OtsKeyPart> {
    let bytes = OtsHex { hex: "00ff".into() };
    vec![OtsKeyPart::Integer(number), OtsKeyPart::String(text.into()), OtsKeyPart::Binary(bytes)]
}

fn row(number: i64, text: &str, cells: Vec<OtsCellView>) -> OtsRowView {
    OtsRowView { key: parts(number, text), cells, more_cells: 0 }
}

fn rows(rows: Vec<OtsRowView>, next: Option<Vec<OtsKeyPart>>) -> OtsRows {
    OtsRows { rows, next, read_units: 1 }
}

fn rows_page(shell: &Shell, info: &OtsTableInfo, query: &str, found: &Result<(Choice, OtsRows)>) -> String {
    RowsPage::new(shell, &place(), info, &Query::parse(query), found).render().unwrap()
}

fn row_page(shell: &Shell, info: &OtsTableInfo, query: &str, found: &Result<(Vec<OtsKeyPart>, OtsRows)>) -> String {
    RowPage::new(shell, &place(), info, &Query::parse(query), found).render().unwrap()
}

#[test]
fn whatever_a_user_wrote_is_text() {
    let instance = OtsInstanceView {
        name: HOSTILE.into(),
        account: HOSTILE.into(),
        created_ms: 0,
        usage: Some(OtsUsage::default()),
    };
    let tables = [OtsTableView {
        table: HOSTILE.into(),
        index: Some(HOSTILE.into()),
        state: HOSTILE.into(),
        bytes: 0,
        read_units: 0,
        write_units: 0,
        key: table(HOSTILE).key,
        max_versions: 1,
        time_to_live_s: 1,
        stream: true,
    }];
    let info = table(HOSTILE);
    let index = OtsTableInfo { index_of: Some(HOSTILE.into()), ..info.clone() };
    let cells = vec![cell(HOSTILE, "string", HOSTILE, 30, true), cell("n", "double", HOSTILE, 3, false)];
    let found = || rows(vec![row(7, HOSTILE, cells.clone())], Some(parts(8, HOSTILE)));
    let choice = Choice { start: parts(7, HOSTILE), backward: true, columns: HOSTILE.into() };
    let typed = "key1=7&key2=%3Cscript%3E%22'%26&columns=%3Cscript%3E%22'%26%E2%80%AE%1B";
    let refused = || Error::invalid(HOSTILE);
    for lang in [Lang::En, Lang::Zh] {
        let shell = shell(lang);
        let pages = [
            InstancePage::new(&shell, &place(), &instance, &tables, Some(&refused())).render().unwrap(),
            TablePage::new(&shell, &place(), &info).render().unwrap(),
            TablePage::new(&shell, &place(), &index).render().unwrap(),
            rows_page(&shell, &info, typed, &Ok((choice.clone(), found()))),
            rows_page(&shell, &info, typed, &Err(refused())),
            row_page(&shell, &info, typed, &Ok((parts(7, HOSTILE), found()))),
            row_page(&shell, &info, typed, &Err(refused())),
        ];
        for page in pages {
            assert!(!page.contains("<script>") && !page.contains("alert(1)</"), "{page}");
            assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}') && !page.contains("\"'"), "{page}");
            let (_, main) = page.split_once("<main").unwrap();
            assert!(main.contains(HARMLESS), "{page}");
        }
    }
}

#[test]
fn a_page_of_rows_leads_on_and_back_and_says_what_it_cost() {
    let shell = shell(Lang::En);
    let info = table("k");
    let cells = || vec![cell("a", "integer", "5", 8, false), cell("b", "binary", "00ff", 2, false)];
    let found = rows(vec![row(1, "x", cells()), row(2, "", Vec::new())], Some(parts(3, "y")));
    // JSON of the keys (RFC 8259) in `application/x-www-form-urlencoded` of the HTML standard.
    let key = |number: i64, text: &str| format!("%5B{number}%2C%22{text}%22%2C%7B%22hex%22%3A%2200ff%22%7D%5D");
    let start = rows_page(&shell, &info, "", &Ok((Choice::default(), found.clone())));
    let next = format!("/console/ots/shop/tables/t/rows?start={}\" rel=\"next\"", key(3, "y"));
    assert!(start.contains(&next), "{start}");
    assert!(start.contains("/console/ots/shop/tables/t/rows?direction=backward\">From the end"), "{start}");
    assert!(!start.contains("From the beginning"), "{start}");
    assert!(start.contains(&format!("/console/ots/shop/tables/t/row?key={}\"", key(1, "x"))), "{start}");
    assert!(start.contains("<bdi>00ff</bdi> <span class=\"type\">binary, 2 B</span>"), "{start}");
    assert!(start.contains("<bdi></bdi> <span class=\"type\">empty</span>"), "{start}");
    assert!(start.contains("Read units that this page used: 1."), "{start}");
    let choice = Choice { start: parts(1, "x"), backward: false, columns: "a, b".into() };
    let later = rows_page(&shell, &info, "", &Ok((choice, found.clone())));
    for link in [
        format!("rows?start={}&#38;columns=a%2C+b\" rel=\"next\"", key(3, "y")),
        format!("rows?start={}&#38;direction=backward&#38;columns=a%2C+b\">Backward", key(1, "x")),
        "rows?columns=a%2C+b\">From the beginning".to_string(),
    ] {
        assert!(later.contains(&link), "{link} in {later}");
    }
    let backward = Choice { start: parts(1, "x"), backward: true, columns: String::new() };
    let last = rows_page(&shell, &info, "direction=backward", &Ok((backward, OtsRows { next: None, ..found })));
    assert!(!last.contains("rel=\"next\"") && last.contains("<option value=\"backward\" selected>"), "{last}");
    assert!(last.contains(&format!("rows?start={}\">Forward", key(1, "x"))), "{last}");
    let none = rows_page(&shell, &info, "", &Ok((Choice::default(), rows(Vec::new(), None))));
    assert!(none.contains("There are no rows here."), "{none}");
}

#[test]
fn more_columns_than_fit_are_counted() {
    let (shell, info) = (shell(Lang::En), table("k"));
    let cells = (0..45).map(|n| cell(&format!("c{n:02}"), "integer", "1", 8, false)).collect();
    let full = OtsRowView { more_cells: 1_000, ..row(1, "x", cells) };
    let page = rows_page(&shell, &info, "", &Ok((Choice::default(), rows(vec![full], None))));
    assert!(page.contains("<bdi>c39</bdi>") && !page.contains("<bdi>c40</bdi>"), "{page}");
    assert!(page.contains("Columns that are not shown: 5."), "{page}");
    assert!(page.contains("Cells that are not shown: 1,000"), "{page}");
}

#[test]
fn a_row_shows_every_version_with_its_time_and_size() {
    let (shell, info) = (shell(Lang::En), table("k"));
    let mut far = cell("a", "integer", "5", 8, false);
    // The service takes versions up to the greatest number divided by a thousand.
    far.version = i64::MAX / 1000 - 1;
    let long = cell("b", "string", "abc", 2 << 20, true);
    let found = rows(vec![row(1, "x", vec![far, cell("a", "integer", "4", 8, false), long])], None);
    let page = row_page(&shell, &info, "", &Ok((parts(1, "x"), found)));
    assert!(page.contains("<td class=\"number\">9223372036854774</td><td></td>"), "{page}");
    assert!(page.contains("<time datetime=\"2024-01-01T00:00:00.000Z\">2024-01-01 00:00:00</time>"), "{page}");
    assert!(page.contains("<bdi>abc…</bdi> <span class=\"type\">2.0 MiB, cut</span>"), "{page}");
    let missing = row_page(&shell, &info, "", &Ok((parts(1, "x"), rows(Vec::new(), None))));
    assert!(missing.contains("There is no row with this key.") && missing.contains("id=\"key3\""), "{missing}");
    let bare = row_page(&shell, &info, "", &Ok((parts(1, "x"), rows(vec![row(1, "x", Vec::new())], None))));
    assert!(bare.contains("The row has no cells."), "{bare}");
}

#[test]
fn a_table_says_what_it_is() {
    let shell = shell(Lang::En);
    let page = TablePage::new(&shell, &place(), &table("k")).render().unwrap();
    for fact in ["1,234,567", "for ever", "86,400 seconds", "k, kept for 24 hours"] {
        assert!(page.contains(&format!("<bdi>{fact}</bdi>")), "{fact} in {page}");
    }
    assert!(page.contains("<td>local</td><td>is being filled</td>") && page.contains("1.5 KiB"), "{page}");
    assert!(page.contains("href=\"/console/ots/shop/tables/t/rows\""), "{page}");
}

fn columns() -> Vec<OtsKeyColumn> {
    vec![key_column("a", "integer"), key_column("b", "string"), key_column("c", "binary")]
}

#[test]
fn a_key_is_typed_in_by_its_columns() {
    let start = |query: &str| key::typed_start(&columns(), &Query::parse(query));
    assert_eq!(start("").unwrap(), []);
    assert_eq!(start("key1=+-5+&key2=&key3=").unwrap(), [OtsKeyPart::Integer(-5)]);
    // Blanks are part of a text, and nothing of bytes.
    let want = [
        OtsKeyPart::Integer(i64::MAX),
        OtsKeyPart::String(" x ".into()),
        OtsKeyPart::Binary(OtsHex { hex: "00ff".into() }),
    ];
    assert_eq!(start("key1=9223372036854775807&key2=+x+&key3=0x00+FF").unwrap(), want);
    for (query, words) in [
        ("key1=9223372036854775808", "'a' must be a whole number"),
        ("key1=1.5", "'a' must be a whole number"),
        ("key1=1&key2=x&key3=0", "'c' must be hexadecimal"),
        ("key1=1&key2=x&key3=%2B1", "'c' must be hexadecimal"),
        ("key1=1&key3=00", "'c' has a value, and 'b' before it has none"),
    ] {
        let e = start(query).unwrap_err();
        assert!(e.code() == "InvalidParameter" && e.message().contains(words), "{query}: {e:?}");
    }
    let whole = |query: &str| key::typed_whole(&columns(), &Query::parse(query));
    let empty =
        [OtsKeyPart::Integer(1), OtsKeyPart::String(String::new()), OtsKeyPart::Binary(OtsHex { hex: String::new() })];
    assert_eq!(whole("key1=1&key2=&key3=").unwrap(), empty);
    assert!(whole("key2=x").is_err());
}
