//! A table or index of the table store: its key and columns, options, indexes, and what it holds and has used.

use askama::Template;
use feitian_api::admin::types::{OtsIndexView, OtsTableInfo};
use feitian_api::{Answer, Call, admin};

use super::place::{Link, Place, refused};
use crate::app::shell::Shell;
use crate::app::words::{self, Words};
use crate::show::{self, fill};

#[derive(Template)]
#[template(path = "app/ots_table.html")]
pub(super) struct TablePage<'a> {
    shell: &'a Shell,
    trail: Vec<Link>,
    name: String,
    is_index: bool,
    /// The page of the index's table; empty for a table.
    of: String,
    of_name: String,
    rows: String,
    facts: Vec<(&'static str, String)>,
    columns: Vec<ColumnLine>,
    indexes: Vec<IndexLine>,
}

struct ColumnLine {
    name: String,
    ty: String,
    is_key: bool,
    is_auto: bool,
}

struct IndexLine {
    name: String,
    address: String,
    kind: &'static str,
    state: &'static str,
    key: String,
    columns: String,
    bytes: String,
    read_units: String,
    write_units: String,
}

/// How a table or index is, in words.
pub(super) fn state(w: &Words, state: &str) -> &'static str {
    if state == "building" { w.ots_building } else { w.ots_ready }
}

/// How long versions live.
pub(super) fn kept_for(w: &Words, seconds: i32) -> String {
    match u64::try_from(seconds) {
        Ok(seconds) => fill(w.ots_seconds, &[("n", &show::count(seconds))]),
        Err(_) => w.ots_for_ever.to_string(),
    }
}

impl IndexLine {
    fn of(shell: &Shell, place: &Place, index: &OtsIndexView) -> Self {
        let w = shell.w;
        let names = |names: &[String]| {
            let names: Vec<String> = names.iter().map(|name| show::short(name, 100)).collect();
            names.join(shell.l.comma)
        };
        Self {
            name: show::short(&index.name, 300),
            address: place.table(shell, &index.name),
            kind: if index.kind == "local" { w.ots_local } else { w.ots_global },
            state: state(w, &index.state),
            key: names(&index.key),
            columns: names(&index.columns),
            bytes: show::bytes(index.bytes),
            read_units: show::count(index.read_units),
            write_units: show::count(index.write_units),
        }
    }
}

impl<'a> TablePage<'a> {
    pub(super) fn new(shell: &'a Shell, place: &Place, info: &OtsTableInfo) -> Self {
        let key = info.key.iter().map(|column| ColumnLine {
            name: show::short(&column.name, 300),
            ty: column.ty.clone(),
            is_key: true,
            is_auto: column.auto_increment,
        });
        let defined = info.columns.iter().map(|column| ColumnLine {
            name: show::short(&column.name, 300),
            ty: column.ty.clone(),
            is_key: false,
            is_auto: false,
        });
        let of = info.index_of.as_deref();
        Self {
            trail: place.trail(shell, false),
            name: show::short(&info.name, 300),
            is_index: of.is_some(),
            of: of.map_or(String::new(), |table| place.table(shell, table)),
            of_name: of.map_or(String::new(), |table| show::short(table, 300)),
            rows: place.rows(shell),
            facts: facts(shell.w, info),
            columns: key.chain(defined).collect(),
            indexes: info.indexes.iter().map(|index| IndexLine::of(shell, place, index)).collect(),
            shell,
        }
    }
}

fn facts(w: &Words, info: &OtsTableInfo) -> Vec<(&'static str, String)> {
    let yes = |is: bool| String::from(if is { w.yes } else { w.no });
    let seconds = |n: i64| fill(w.ots_seconds, &[("n", &show::count(u64::try_from(n).unwrap_or(0)))]);
    let stream = info.stream.as_ref().map_or(w.no.to_string(), |stream| {
        let (id, hours) = (show::short(&stream.id, 300), stream.expiration_h.to_string());
        fill(w.ots_stream_kept, &[("id", &id), ("n", &hours)])
    });
    let reserved = format!("{}, {}", info.reserved_read_units, info.reserved_write_units);
    vec![
        (w.state, state(w, &info.state).to_string()),
        (w.created, format!("{} (UTC)", show::time(info.created_ms, chrono_tz::Tz::UTC).text)),
        (w.size, show::bytes(info.bytes)),
        (w.ots_read_units, show::count(info.read_units)),
        (w.ots_write_units, show::count(info.write_units)),
        (w.ots_versions, info.max_versions.to_string()),
        (w.ots_ttl, kept_for(w, info.time_to_live_s)),
        (w.ots_deviation, seconds(info.deviation_s)),
        (w.ots_allow_update, yes(info.allow_update)),
        (w.ots_transactions, yes(info.transactions)),
        (w.ots_reserved, reserved),
        (w.ots_stream, stream),
    ]
}

/// `GET /console/ots/{ots}/tables/{ots_table}`
pub(crate) async fn show(call: Call) -> Answer {
    let place = Place::of(&call);
    let hints = place.hints(&[&place.table], &[]);
    let info = match admin::ots_table(&call).await {
        Ok(info) => info,
        Err(e) => return refused(&call, hints, e),
    };
    let mut shell = place.shell(&call, words::of(&call)?.table)?;
    shell.hints = hints;
    shell.answer(&TablePage::new(&shell, &place, &info))
}
