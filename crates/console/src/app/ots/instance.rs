//! An instance of the table store: its tables and indexes with what they hold and have used, and deleting it.

use askama::Template;
use axum::http::StatusCode;
use feitian_api::admin::types::{OtsInstanceView, OtsTableView};
use feitian_api::refusal::{see_other, status};
use feitian_api::{Answer, Call, admin};
use feitian_base::Error;

use super::place::{Link, Place, refused};
use super::table::{kept_for, state};
use crate::app::form::Form;
use crate::app::home::is_of_the_form;
use crate::app::shell::Shell;
use crate::app::words;
use crate::hints::{feitian, get};
use crate::show::{self, fill};

#[derive(Template)]
#[template(path = "app/ots_instance.html")]
pub(super) struct InstancePage<'a> {
    shell: &'a Shell,
    trail: Vec<Link>,
    name: String,
    facts: Vec<(&'static str, String)>,
    tables: Vec<Line>,
    /// Why it was not deleted; empty otherwise.
    failure: String,
    address: String,
}

#[derive(Template)]
#[template(path = "app/ots_delete.html")]
struct DeletePage<'a> {
    shell: &'a Shell,
    question: String,
    address: String,
}

struct Line {
    name: String,
    address: String,
    is_index: bool,
    state: &'static str,
    key: String,
    versions: String,
    kept_for: String,
    stream: &'static str,
    bytes: String,
    read_units: String,
    write_units: String,
}

impl Line {
    fn of(shell: &Shell, place: &Place, table: &OtsTableView) -> Self {
        let (w, name) = (shell.w, table.index.as_ref().unwrap_or(&table.table));
        let key: Vec<String> = table.key.iter().map(|column| show::short(&column.name, 100)).collect();
        Self {
            name: show::short(name, 300),
            address: place.table(shell, name),
            is_index: table.index.is_some(),
            state: state(w, &table.state),
            key: key.join(shell.l.comma),
            versions: table.max_versions.to_string(),
            kept_for: kept_for(w, table.time_to_live_s),
            stream: if table.stream { w.yes } else { w.no },
            bytes: show::bytes(table.bytes),
            read_units: show::count(table.read_units),
            write_units: show::count(table.write_units),
        }
    }
}

impl<'a> InstancePage<'a> {
    pub(super) fn new(
        shell: &'a Shell,
        place: &Place,
        instance: &OtsInstanceView,
        tables: &[OtsTableView],
        failure: Option<&Error>,
    ) -> Self {
        let w = shell.w;
        let mut facts = vec![
            (w.owner, show::short(&instance.account, 200)),
            (w.created, format!("{} (UTC)", show::time(instance.created_ms, chrono_tz::Tz::UTC).text)),
        ];
        if let Some(usage) = &instance.usage {
            facts.push((w.ots_tables, show::count(usage.tables)));
            facts.push((w.size, show::bytes(usage.bytes)));
            facts.push((w.ots_read_units, show::count(usage.read_units)));
            facts.push((w.ots_write_units, show::count(usage.write_units)));
        }
        Self {
            trail: place.trail(shell, false),
            name: show::short(&instance.name, 200),
            facts,
            tables: tables.iter().map(|table| Line::of(shell, place, table)).collect(),
            failure: failure.map_or(String::new(), |e| show::seen(e.message()).into_owned()),
            address: place.instance(shell),
            shell,
        }
    }
}

/// `GET /console/ots/{ots}`
pub(crate) async fn show(call: Call) -> Answer {
    page(&call, StatusCode::OK, None).await
}

/// `POST /console/ots/{ots}`: deletes the instance, once that was asked.
pub(crate) async fn change(call: Call) -> Answer {
    let form = Form::of(&call).await?;
    match form.text("action") {
        "delete" => ask(&call).await,
        "really delete" => match admin::delete_ots_instance(&call).await {
            Ok(()) => Ok(see_other(&Shell::of(&call, "")?.at("/ots"))),
            Err(e) if is_of_the_form(&e) => page(&call, status(&e), Some(&e)).await,
            Err(e) => refused(&call, delete_hints(&Place::of(&call)), e),
        },
        _ => Err(form.no_such_action()),
    }
}

fn delete_hints(place: &Place) -> Vec<String> {
    vec![feitian(["ots", "instance", "delete", &place.ots])]
}

/// Asks before an instance is deleted, since that cannot be taken back.
async fn ask(call: &Call) -> Answer {
    let instance = admin::ots_instance(call).await?;
    let place = Place::of(call);
    let mut shell = place.shell(call, words::of(call)?.ots_delete)?;
    shell.hints = delete_hints(&place);
    let question = fill(shell.w.ots_delete_ask, &[("name", &show::short(&instance.name, 200))]);
    shell.answer(&DeletePage { shell: &shell, question, address: place.instance(&shell) })
}

async fn page(call: &Call, status: StatusCode, failure: Option<&Error>) -> Answer {
    let place = Place::of(call);
    let mut hints = place.hints(&[], &[]);
    hints.insert(1, feitian(["ots", "instance", "delete", &place.ots]));
    hints.push(get(["ots", "instances", &place.ots], &[]));
    let instance = admin::ots_instance(call).await?;
    let tables = match admin::ots_tables(call).await {
        Ok(tables) => tables,
        Err(e) => return refused(call, hints, e),
    };
    let mut shell = place.shell(call, words::of(call)?.ots_instance)?;
    shell.hints = hints;
    shell.answer_with(status, &InstancePage::new(&shell, &place, &instance, &tables, failure))
}
