//! The rows of a table of the table store: a page from a key on, either way, with the columns that were chosen.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::http::StatusCode;
use feitian_api::admin::types::{OtsCellView, OtsKeyPart, OtsRowView, OtsRows, OtsTableInfo};
use feitian_api::admin::{OtsRead, OtsWhat};
use feitian_api::refusal::status;
use feitian_api::{Answer, Call, Query, admin};
use feitian_base::Result;
use url::form_urlencoded::Serializer;

use super::key::{self, Field, Shown};
use super::place::{Link, Place, refused};
use crate::app::home::is_of_the_form;
use crate::app::shell::Shell;
use crate::app::words::{self, Words};
use crate::show::{self, fill};

/// Rows of one page.
const PAGE: u64 = 50;
/// Columns that a page shows beside those of the key.
const COLUMNS: usize = 40;
/// Bytes of a value that a page shows.
const VALUE_BYTES: u64 = 256;

/// What the address asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub start: Vec<OtsKeyPart>,
    pub backward: bool,
    /// As it was typed in.
    pub columns: String,
}

impl Choice {
    fn of(query: &Query, info: &OtsTableInfo) -> Result<Self> {
        let start = match query.get("start") {
            Some(_) if key::is_typed(query) => {
                return Err(key::wrong("either 'start' says where to begin, or the fields of the form do".to_string()));
            }
            Some(start) => admin::ots_key("start", start)?,
            None => key::typed_start(&info.key, query)?,
        };
        let backward = admin::is_ots_backward(query.get("direction"))?;
        Ok(Self { start, backward, columns: query.get("columns").unwrap_or_default().trim().to_string() })
    }

    /// The names of the chosen columns.
    fn names(&self) -> Result<Vec<String>> {
        if self.columns.starts_with('[') {
            let words = "the columns are no list of names in JSON, for example [\"a,b\",\"c\"]";
            return serde_json::from_str(&self.columns).map_err(|_| key::wrong(words.to_string()));
        }
        let names = self.columns.split(',').map(str::trim).filter(|name| !name.is_empty());
        Ok(names.map(str::to_string).collect())
    }

    /// The address of the page that shows this.
    fn address(&self, shell: &Shell, place: &Place) -> String {
        let mut query = Serializer::new(String::new());
        if !self.start.is_empty() {
            query.append_pair("start", &key::json(&self.start));
        }
        if self.backward {
            query.append_pair("direction", "backward");
        }
        if !self.columns.is_empty() {
            query.append_pair("columns", &self.columns);
        }
        let (query, rows) = (query.finish(), place.rows(shell));
        if query.is_empty() { rows } else { format!("{rows}?{query}") }
    }

    fn read(&self) -> Result<OtsRead> {
        let what = OtsWhat::Range { start: self.start.clone(), backward: self.backward, count: PAGE };
        Ok(OtsRead { what, columns: self.names()?, versions: 1, value_bytes: VALUE_BYTES })
    }
}

#[derive(Template)]
#[template(path = "app/ots_rows.html")]
pub(super) struct RowsPage<'a> {
    shell: &'a Shell,
    trail: Vec<Link>,
    name: String,
    fields: Vec<Field>,
    /// Where the form shows rows, and where one row.
    rows: String,
    row: String,
    backward: bool,
    columns: String,
    /// Why nothing is shown; empty otherwise.
    failure: String,
    grid: Option<Grid>,
}

/// The rows with the ways on. Addresses that lead nowhere are empty.
struct Grid {
    caption: &'static str,
    keys: Vec<(String, String)>,
    columns: Vec<String>,
    lines: Vec<Line>,
    /// How many columns are not shown; empty for none.
    more_columns: String,
    /// What the read cost.
    costs: String,
    first: String,
    first_text: &'static str,
    next: String,
    turned: String,
    turned_text: &'static str,
    end: String,
    end_text: &'static str,
}

struct Line {
    address: String,
    key: Vec<Shown>,
    cells: Vec<Option<Shown>>,
    more: String,
}

/// A value of a cell, which may be the beginning of one.
pub(super) fn value(w: &Words, cell: &OtsCellView) -> Shown {
    let size = show::bytes(cell.bytes);
    let note = match (cell.ty.as_str(), cell.cut) {
        ("binary", false) => fill(w.ots_binary, &[("size", &size)]),
        ("binary", true) => fill(w.ots_binary_cut, &[("size", &size)]),
        (_, true) => fill(w.ots_cut, &[("size", &size)]),
        ("string", false) if cell.value.is_empty() => return key::empty(w),
        _ => String::new(),
    };
    let end = if cell.cut { "…" } else { "" };
    Shown { text: format!("{}{end}", show::seen(&cell.value)), note }
}

impl Line {
    fn of(shell: &Shell, place: &Place, row: &OtsRowView, columns: &[&str]) -> Self {
        let by_name: BTreeMap<&str, &OtsCellView> = row.cells.iter().map(|cell| (cell.name.as_str(), cell)).collect();
        let more = show::count(row.more_cells);
        Self {
            address: place.row(shell, &row.key),
            key: row.key.iter().map(|part| key::shown(shell.w, part)).collect(),
            cells: columns.iter().map(|name| by_name.get(name).map(|cell| value(shell.w, cell))).collect(),
            more: if row.more_cells > 0 { fill(shell.w.ots_more_cells, &[("n", &more)]) } else { String::new() },
        }
    }
}

impl Grid {
    fn of(shell: &Shell, place: &Place, info: &OtsTableInfo, choice: &Choice, rows: &OtsRows) -> Self {
        let w = shell.w;
        let names: BTreeSet<&str> = rows.rows.iter().flat_map(|row| &row.cells).map(|c| c.name.as_str()).collect();
        let columns: Vec<&str> = names.iter().copied().take(COLUMNS).collect();
        let hidden = show::count((names.len() - columns.len()) as u64);
        let to = |start: Vec<OtsKeyPart>, backward: bool| {
            Choice { start, backward, columns: choice.columns.clone() }.address(shell, place)
        };
        let turned = rows.rows.first().filter(|_| !choice.start.is_empty());
        let none = String::new;
        Self {
            caption: if choice.backward { w.ots_rows_backward } else { w.ots_rows_forward },
            keys: info.key.iter().map(|c| (show::short(&c.name, 300), c.ty.clone())).collect(),
            lines: rows.rows.iter().map(|row| Line::of(shell, place, row, &columns)).collect(),
            more_columns: if names.len() > COLUMNS { fill(w.ots_more_columns, &[("n", &hidden)]) } else { none() },
            columns: columns.into_iter().map(|name| show::short(name, 300)).collect(),
            costs: fill(w.ots_costs, &[("n", &rows.read_units.to_string())]),
            first: if choice.start.is_empty() { none() } else { to(Vec::new(), choice.backward) },
            first_text: if choice.backward { w.ots_from_end } else { w.ots_from_begin },
            next: rows.next.clone().map_or_else(none, |next| to(next, choice.backward)),
            turned: turned.map_or_else(none, |row| to(row.key.clone(), !choice.backward)),
            turned_text: if choice.backward { w.ots_turn_forward } else { w.ots_turn_backward },
            end: to(Vec::new(), !choice.backward),
            end_text: if choice.backward { w.ots_from_begin } else { w.ots_from_end },
        }
    }
}

impl<'a> RowsPage<'a> {
    /// The page, with rows or with the reason why there are none.
    pub(super) fn new(
        shell: &'a Shell,
        place: &Place,
        info: &OtsTableInfo,
        query: &Query,
        found: &Result<(Choice, OtsRows)>,
    ) -> Self {
        let asked = |name: &str| query.get(name).filter(|text| show::seen(text) == *text).unwrap_or_default();
        Self {
            trail: place.trail(shell, true),
            name: show::short(&info.name, 300),
            fields: key::fields(&info.key, query),
            rows: place.rows(shell),
            row: place.row(shell, &[]),
            backward: asked("direction") == "backward",
            columns: asked("columns").to_string(),
            failure: found.as_ref().err().map_or(String::new(), |e| show::seen(e.message()).into_owned()),
            grid: found.as_ref().ok().map(|(choice, rows)| Grid::of(shell, place, info, choice, rows)),
            shell,
        }
    }
}

/// `GET /console/ots/{ots}/tables/{ots_table}/rows`: `start`, or the fields of the form, say where to begin.
pub(crate) async fn show(call: Call) -> Answer {
    let place = Place::of(&call);
    let plain = place.hints(&[&place.table, "rows"], &[]);
    let info = match admin::ots_table(&call).await {
        Ok(info) => info,
        Err(e) => return refused(&call, plain, e),
    };
    let found = match read(&call, &info).await {
        Err(e) if !is_of_the_form(&e) => return refused(&call, plain, e),
        found => found,
    };
    let status = found.as_ref().map_or_else(status, |_| StatusCode::OK);
    let mut shell = place.shell(&call, words::of(&call)?.ots_rows)?;
    shell.hints = match &found {
        Ok((choice, _)) => hints(&place, choice)?,
        Err(_) => plain,
    };
    shell.answer_with(status, &RowsPage::new(&shell, &place, &info, &call.query, &found))
}

async fn read(call: &Call, info: &OtsTableInfo) -> Result<(Choice, OtsRows)> {
    let choice = Choice::of(&call.query, info)?;
    let rows = admin::ots_rows(call, choice.read()?).await?;
    Ok((choice, rows))
}

fn hints(place: &Place, choice: &Choice) -> Result<Vec<String>> {
    let (names, count, bytes) = (choice.names()?, PAGE.to_string(), VALUE_BYTES.to_string());
    let start = if choice.start.is_empty() { String::new() } else { key::json(&choice.start) };
    let columns = if names.is_empty() { String::new() } else { json_of_names(&names) };
    let query = [
        ("start", start.as_str()),
        ("direction", if choice.backward { "backward" } else { "" }),
        ("count", count.as_str()),
        ("columns", columns.as_str()),
        ("value_bytes", bytes.as_str()),
    ];
    Ok(place.hints(&[&place.table, "rows"], &query))
}

fn json_of_names(names: &[String]) -> String {
    serde_json::to_string(names).expect("texts are always JSON")
}
