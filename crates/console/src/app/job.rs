//! One job with its result: the rows in a table, the error at its place, and what can be done next.

use askama::Template;
use feitian_api::refusal::see_other;
use feitian_api::warehouse::RowRange;
use feitian_api::{Answer, Call, admin, instance_zone, text_rows};
use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::{Instance, InstanceState};
use futures::StreamExt;

use super::form::Form;
use super::jobs::state;
use super::shell::{Section, Shell, hardened, wants_json};
use super::words;
use crate::failure::{Failure, first_words};
use crate::hints::{get, of_job, segment};
use crate::job::is_number;
use crate::show::{self, fill};
use crate::sql::{Line, listing};

/// Rows of a result on one page.
const PAGE: u64 = 200;
/// Columns that a page shows; files hold all.
const COLUMNS: usize = 200;
/// Characters of a cell that a page shows.
const CELL: usize = 2000;
/// Bytes of a text result that a page shows.
const TEXT: usize = 256 << 10;
/// Seconds after which a browser without scripts looks again.
const REFRESH: u32 = 3;

#[derive(Template)]
#[template(path = "app/job.html")]
struct JobPage<'a> {
    shell: &'a Shell,
    id: String,
    state: &'static str,
    class: &'static str,
    /// How long it took, or has taken.
    took: String,
    is_over: bool,
    /// Where a script asks whether the job has ended; empty when it has.
    poll: String,
    failure: Option<FailureView>,
    lines: Vec<Line>,
    output: OutputView,
    address: String,
    logview: String,
    edit: String,
}

struct FailureView {
    text: String,
    place: String,
    code: &'static str,
    address: String,
    words_html: String,
}

/// What the job gave back. Texts are empty when there is nothing to say.
#[derive(Default)]
struct OutputView {
    text: String,
    note: String,
    caption: String,
    columns: Vec<Heading>,
    rows: Vec<Vec<Option<String>>>,
    next: String,
    first: String,
    csv: String,
    parquet: String,
}

/// A column of a result or of a preview.
pub(super) struct Heading {
    pub name: String,
    pub ty: String,
    pub is_number: bool,
}

/// `GET /console/projects/{project}/jobs/{instance}`
pub(super) async fn show(call: Call) -> Answer {
    let instance = admin::instance_of(&call, call.instance()).await?;
    let mut shell = Shell::of_project(&call, Section::Jobs, &format!("{} {}", words::of(&call)?.job, call.instance()))?;
    let (state, class) = state(&shell, &instance);
    let is_over = instance.state.is_terminal();
    let address = shell.job(&instance.id);
    if !is_over {
        shell.refresh = REFRESH;
    }
    shell.hints = hints(&instance, call.query.get("start").unwrap_or_default());
    let failure = instance.error.as_deref().map(Failure::of);
    let is_sql = instance.task_type.to_ascii_uppercase().starts_with("SQL");
    let listing = listing(&instance.query, is_sql, failure.as_ref().and_then(|f| f.place));
    let page = JobPage {
        id: show::seen(&instance.id).into_owned(),
        state,
        class,
        took: took(&shell, &instance),
        is_over,
        poll: if is_over { String::new() } else { format!("{address}/state") },
        failure: failure.map(|f| failure_view(&shell, &f)),
        lines: listing.lines,
        output: output(&call, &shell, &instance).await?,
        logview: shell.logview(&instance.id),
        edit: shell.within(&format!("/sql?job={}", segment(&instance.id))),
        address,
        shell: &shell,
    };
    shell.answer(&page)
}

/// `POST /console/projects/{project}/jobs/{instance}`: stops the job. One that has ended stays as it is.
pub(super) async fn change(call: Call) -> Answer {
    let form = Form::of(&call).await?;
    if form.text("action") != "stop" {
        return Err(form.no_such_action());
    }
    let stopped = admin::stop_instance(&call).await?;
    if wants_json(&call) {
        return Ok(hardened(feitian_api::json(&stopped)?));
    }
    let shell = Shell::of_project(&call, Section::Jobs, "")?;
    Ok(see_other(&shell.job(&stopped.id)))
}

/// `GET …/jobs/{instance}/state`: the job as JSON, after a wait of at most `wait_ms` for its end.
pub(super) async fn state_json(call: Call) -> Answer {
    admin::instance_json(call).await.map(hardened)
}

/// `GET …/jobs/{instance}/rows`: rows of its result as JSON.
pub(super) async fn rows_json(call: Call) -> Answer {
    if call.query.get("format").is_some_and(|format| format != "json") {
        return Err(Error::new(
            Kind::Invalid,
            "InvalidParameter",
            "format must be json; files are result.csv and .parquet",
        ));
    }
    admin::instance_rows(call).await.map(hardened)
}

fn took(shell: &Shell, instance: &Instance) -> String {
    let end = instance.ended_ms.unwrap_or_else(feitian_base::clock::now_ms);
    instance.started_ms.map_or(String::new(), |start| show::duration(shell.l, end - start))
}

fn failure_view(shell: &Shell, failure: &Failure) -> FailureView {
    let place = failure.place.map_or(String::new(), |(line, column)| {
        fill(shell.w.line_column, &[("line", &line.to_string()), ("column", &column.to_string())])
    });
    let code = failure.page.map_or("", |page| page.code);
    FailureView {
        text: show::seen(&failure.text).into_owned(),
        place,
        code,
        address: shell.code(code),
        words_html: failure.page.map_or(String::new(), |page| {
            first_words(shell.lang.explanation(page).text, &format!("{}{{}}", shell.code("")))
        }),
    }
}

async fn output(call: &Call, shell: &Shell, instance: &Instance) -> Result<OutputView> {
    let none = OutputView::default();
    match (instance.state, instance.is_select) {
        (InstanceState::Success, true) => match rows(call, shell, instance).await {
            Ok(view) => Ok(view),
            // A result may have been removed before its job.
            Err(e) => Ok(OutputView { note: show::seen(e.message()).into_owned(), ..none }),
        },
        (InstanceState::Success, false) => {
            let text = String::from_utf8_lossy(instance.result_inline.as_deref().unwrap_or_default());
            let end = text.floor_char_boundary(TEXT.min(text.len()));
            let note = match text.len() {
                0 => shell.w.done_without_output.to_string(),
                _ if end < text.len() => shell.l.result_text_cut.to_string(),
                _ => String::new(),
            };
            Ok(OutputView { text: show::seen(&text[..end]).into_owned(), note, ..none })
        }
        _ => Ok(none),
    }
}

async fn rows(call: &Call, shell: &Shell, instance: &Instance) -> Result<OutputView> {
    let set = admin::result_of(call, instance).await?;
    let zone = instance_zone(call, instance).await?;
    let start = call.query.number("start")?.unwrap_or(0).min(set.num_rows);
    let shown: Option<Vec<String>> = match set.columns.len() {
        0..=COLUMNS => None,
        _ => Some(set.columns.iter().take(COLUMNS).map(|c| c.name.clone()).collect()),
    };
    let range = RowRange { start, count: PAGE };
    let (columns, mut batches) = admin::result_rows(call, instance, range, shown).await?;
    let mut texts = Vec::new();
    while let Some(batch) = batches.next().await {
        text_rows(&columns, zone, &batch?, &mut texts)?;
    }
    let end = start + texts.len() as u64;
    let address = shell.job(&instance.id);
    let [from, to, total] = [start + 1, end, set.num_rows].map(show::count);
    let (all, some) = (set.columns.len().to_string(), columns.len().to_string());
    Ok(OutputView {
        caption: match set.num_rows {
            0 => shell.w.result_none.to_string(),
            _ => fill(shell.w.result_caption, &[("from", &from), ("to", &to), ("total", &total)]),
        },
        note: match columns.len() < set.columns.len() {
            true => fill(shell.w.result_columns, &[("n", &some), ("total", &all)]),
            false => String::new(),
        },
        columns: columns.iter().map(heading).collect(),
        rows: texts.into_iter().map(cells).collect(),
        next: if end < set.num_rows { format!("{address}?start={end}") } else { String::new() },
        first: if start > 0 { address.clone() } else { String::new() },
        csv: format!("{address}/result.csv"),
        parquet: format!("{address}/result.parquet"),
        text: String::new(),
    })
}

pub(super) fn heading(column: &feitian_types::Column) -> Heading {
    let ty = show::short(&column.ty.to_string(), 200);
    Heading { name: show::short(&column.name, 200), ty, is_number: is_number(&column.ty) }
}

/// The texts of a row, cut and without hidden characters.
pub(super) fn cells(row: Vec<Option<String>>) -> Vec<Option<String>> {
    row.into_iter().map(|cell| cell.map(|text| show::short(&text, CELL))).collect()
}

fn hints(instance: &Instance, start: &str) -> Vec<String> {
    let mut hints = of_job(instance);
    if instance.is_select {
        let count = PAGE.to_string();
        let page = [("start", start), ("count", count.as_str())];
        hints.push(get(["projects", &instance.project, "instances", &instance.id, "rows"], &page));
    }
    hints
}
