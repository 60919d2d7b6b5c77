//! One row of the table store, with every version of its cells and their times.

use askama::Template;
use axum::http::StatusCode;
use feitian_api::admin::types::{OtsCellView, OtsKeyColumn, OtsKeyPart, OtsRows, OtsTableInfo};
use feitian_api::admin::{OtsRead, OtsWhat};
use feitian_api::refusal::status;
use feitian_api::{Answer, Call, Query, admin};
use feitian_base::Result;

use super::key::{self, Field, Shown};
use super::place::{Link, Place, refused};
use super::rows::value;
use crate::app::home::is_of_the_form;
use crate::app::shell::Shell;
use crate::app::words;
use crate::hints::segment;
use crate::show::{self, fill};

/// Cells that a page shows.
const CELLS: usize = 2000;
/// Bytes of a value that a page shows.
const VALUE_BYTES: u64 = 4096;
/// Versions that are asked for: all that there are.
const VERSIONS: u64 = i32::MAX as u64;

#[derive(Template)]
#[template(path = "app/ots_row.html")]
pub(super) struct RowPage<'a> {
    shell: &'a Shell,
    trail: Vec<Link>,
    key: Vec<KeyLine>,
    /// To look for another row, when there was no such one.
    fields: Vec<Field>,
    row: String,
    /// The page of rows that begins with this one; empty without a key.
    around: String,
    failure: String,
    /// What is said instead of cells; empty when there are some.
    nothing: &'static str,
    cells: Vec<CellLine>,
    more: String,
    costs: String,
}

struct KeyLine {
    name: String,
    ty: String,
    value: Shown,
}

struct CellLine {
    name: String,
    ty: String,
    version: String,
    /// None for a version that is no time on a calendar.
    time: Option<show::Time>,
    size: String,
    value: Shown,
}

impl CellLine {
    fn of(shell: &Shell, cell: &OtsCellView) -> Self {
        let is_time = chrono::DateTime::from_timestamp_millis(cell.version).is_some();
        Self {
            name: show::short(&cell.name, 300),
            ty: cell.ty.clone(),
            version: cell.version.to_string(),
            time: is_time.then(|| show::time(cell.version, chrono_tz::Tz::UTC)),
            size: show::bytes(cell.bytes),
            value: value(shell.w, cell),
        }
    }
}

impl<'a> RowPage<'a> {
    pub(super) fn new(
        shell: &'a Shell,
        place: &Place,
        info: &OtsTableInfo,
        query: &Query,
        found: &Result<(Vec<OtsKeyPart>, OtsRows)>,
    ) -> Self {
        let w = shell.w;
        let (parts, rows) = found.as_ref().map_or((&[][..], None), |(parts, rows)| (&parts[..], Some(rows)));
        let row = rows.and_then(|rows| rows.rows.first());
        let line = |(column, part): (&OtsKeyColumn, &OtsKeyPart)| KeyLine {
            name: show::short(&column.name, 300),
            ty: column.ty.clone(),
            value: key::shown(w, part),
        };
        let cells = row.map_or(&[][..], |row| &row.cells[..]);
        let hidden = row.map_or(0, |row| row.more_cells) + cells.len().saturating_sub(CELLS) as u64;
        let more = fill(w.ots_more_cells, &[("n", &show::count(hidden))]);
        Self {
            trail: place.trail(shell, true),
            key: info.key.iter().zip(parts).map(line).collect(),
            fields: if row.is_some() { Vec::new() } else { key::fields(&info.key, query) },
            row: place.row(shell, &[]),
            around: if parts.is_empty() { String::new() } else { around(shell, place, parts) },
            failure: found.as_ref().err().map_or(String::new(), |e| show::seen(e.message()).into_owned()),
            nothing: match row {
                None if rows.is_some() => w.ots_row_none,
                Some(row) if row.cells.is_empty() && row.more_cells == 0 => w.ots_row_empty,
                _ => "",
            },
            cells: cells.iter().take(CELLS).map(|cell| CellLine::of(shell, cell)).collect(),
            more: if hidden > 0 { more } else { String::new() },
            costs: rows.map_or(String::new(), |rows| fill(w.ots_costs, &[("n", &rows.read_units.to_string())])),
            shell,
        }
    }
}

/// The page of rows from this key on.
fn around(shell: &Shell, place: &Place, parts: &[OtsKeyPart]) -> String {
    format!("{}?start={}", place.rows(shell), segment(&key::json(parts)))
}

/// `GET /console/ots/{ots}/tables/{ots_table}/row`: `key`, or the fields of the form, say which.
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
    let status = match &found {
        Ok((_, rows)) if rows.rows.is_empty() => StatusCode::NOT_FOUND,
        Ok(_) => StatusCode::OK,
        Err(e) => status(e),
    };
    let mut shell = place.shell(&call, words::of(&call)?.ots_row)?;
    shell.hints = match &found {
        Ok((parts, _)) => hints(&place, parts),
        Err(_) => plain,
    };
    shell.answer_with(status, &RowPage::new(&shell, &place, &info, &call.query, &found))
}

async fn read(call: &Call, info: &OtsTableInfo) -> Result<(Vec<OtsKeyPart>, OtsRows)> {
    let parts = match call.query.get("key") {
        Some(_) if key::is_typed(&call.query) => {
            return Err(key::wrong("either 'key' says which row, or the fields of the form do".to_string()));
        }
        Some(key) => admin::ots_key("key", key)?,
        None => key::typed_whole(&info.key, &call.query)?,
    };
    let what = OtsWhat::Row(parts.clone());
    let read = OtsRead { what, columns: Vec::new(), versions: VERSIONS, value_bytes: VALUE_BYTES };
    Ok((parts, admin::ots_rows(call, read).await?))
}

fn hints(place: &Place, parts: &[OtsKeyPart]) -> Vec<String> {
    let (key, versions, bytes) = (key::json(parts), VERSIONS.to_string(), VALUE_BYTES.to_string());
    let query = [("key", key.as_str()), ("versions", versions.as_str()), ("value_bytes", bytes.as_str())];
    place.hints(&[&place.table, "rows"], &query)
}
