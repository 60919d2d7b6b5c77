//! `feitian sql`: submit a text, wait for it, print what it answers.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::time::Duration;

use feitian_api::admin::types::{InstanceView, Rows, SubmitSql};
use indicatif::{ProgressBar, ProgressStyle};

use super::key_value;
use crate::cli::SqlArgs;
use crate::client::{Client, admin_path};
use crate::failure::{Answer, Failure, Result};
use crate::output::{self, Format, RowWriter};

/// The submission itself waits this long, so that a quick statement takes one round trip.
const FIRST_WAIT_MS: u64 = 500;
/// On a terminal the progress is asked for this often.
const TERMINAL_WAIT_MS: u64 = 1_000;
/// Elsewhere nobody looks at the progress; the server answers at the end anyway.
const QUIET_WAIT_MS: u64 = 20_000;
/// Rows for one request.
const PAGE_ROWS: u64 = 10_000;

pub(crate) fn run(args: &SqlArgs, out: &mut dyn Write) -> Result<Answer> {
    let sql = match (&args.execute, &args.file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => read_sql(file)?,
        (None, None) => return Err(Failure::new("there is no SQL text").hint("add -e TEXT or -f FILE")),
    };
    let settings = args.set.iter().map(|text| key_value(text)).collect::<Result<BTreeMap<_, _>>>()?;
    let client = Client::connect(&args.client)?;
    let project = args.project.as_deref().unwrap_or(client.default_project()).to_string();
    let body = SubmitSql {
        sql,
        settings,
        priority: None,
        guid: feitian_base::id::ulid(),
        wait_ms: if args.no_wait { 0 } else { FIRST_WAIT_MS },
    };
    let instance: InstanceView = client.post(&admin_path(["projects", &project, "sql"]), &body)?;
    if args.no_wait {
        writeln!(out, "{}", instance.id)?;
        return Ok(Answer::Done);
    }
    let instance = wait(&client, &project, instance)?;
    print(&client, &instance, args.client.format(), out)
}

fn read_sql(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|e| Failure::from(e).context("read stdin"))?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|e| Failure::from(e).context(format!("read {}", file.display())))
}

/// Waits for the end of an instance; on a terminal with its progress.
fn wait(client: &Client, project: &str, mut instance: InstanceView) -> Result<InstanceView> {
    if is_over(&instance) {
        return Ok(instance);
    }
    let terminal = std::io::stderr().is_terminal();
    let spinner = if terminal { spinner() } else { ProgressBar::hidden() };
    let id = instance.id.clone();
    let path = admin_path(["projects", project, "instances", &id]);
    let wait_ms = if terminal { TERMINAL_WAIT_MS } else { QUIET_WAIT_MS };
    while !is_over(&instance) {
        spinner.set_message(progress(&instance));
        instance = client.get(&path, &[("wait_ms", wait_ms.to_string())]).map_err(|e| {
            spinner.finish_and_clear();
            e.hint(format!(
                "instance {id} goes on without us; look with `feitian instance show {id} --project {project}`"
            ))
        })?;
    }
    spinner.finish_and_clear();
    Ok(instance)
}

/// What moves on a terminal while somebody waits.
pub(super) fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}").expect("the template is well formed");
    let spinner = ProgressBar::new_spinner().with_style(style);
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn progress(instance: &InstanceView) -> String {
    let id = &instance.id;
    if let Some(place) = instance.queue_place {
        return format!("{id} waits, place {place} in the queue");
    }
    match instance.stages.iter().find(|s| s.percent < 100).or(instance.stages.last()) {
        Some(stage) => {
            format!("{id} runs {}, {}%, {} rows", stage.id, stage.percent, stage.rows_in.max(stage.rows_out))
        }
        None => format!("{id} runs"),
    }
}

pub(crate) fn is_over(instance: &InstanceView) -> bool {
    matches!(instance.state.as_str(), "Success" | "Failed" | "Cancelled")
}

/// Prints what an instance that has ended left behind; a failed one is a negative answer.
pub(crate) fn print(client: &Client, instance: &InstanceView, format: Format, out: &mut dyn Write) -> Result<Answer> {
    match instance.state.as_str() {
        "Success" => {}
        "Cancelled" => return Err(Failure::negative(format!("instance {} was stopped", instance.id))),
        "Failed" => {
            let why = instance.error.as_deref().unwrap_or("the server does not say why");
            return Err(Failure::negative(why).explained_by(why));
        }
        other => return Err(Failure::negative(format!("instance {} is not over: {other}", instance.id))),
    }
    if instance.is_select {
        print_rows(client, instance, format, out)?;
        return Ok(Answer::Done);
    }
    match (format, instance.text.as_deref()) {
        (Format::Json, text) => output::json(out, &serde_json::json!({ "text": text }))?,
        (Format::Csv, Some(text)) if !text.is_empty() => writeln!(out, "{}", text.trim_end_matches('\n'))?,
        (_, Some(text)) if !text.is_empty() => {
            writeln!(out, "{}", output::printable_lines(text.trim_end_matches('\n')))?;
        }
        _ => eprintln!("OK"),
    }
    Ok(Answer::Done)
}

/// Prints all rows that the server has, page by page.
fn print_rows(client: &Client, instance: &InstanceView, format: Format, out: &mut dyn Write) -> Result<()> {
    let Rows { columns, rows, total } = page(client, instance, 0)?;
    let columns = columns.into_iter().map(|c| (c.name, c.ty)).collect();
    let mut writer = RowWriter::begin(out, format, columns)?;
    writer.add(rows)?;
    while writer.n_rows() < total {
        let more = page(client, instance, writer.n_rows())?.rows;
        if more.is_empty() {
            break;
        }
        writer.add(more)?;
    }
    writer.end()
}

fn page(client: &Client, instance: &InstanceView, start: u64) -> Result<Rows> {
    let path = admin_path(["projects", &instance.project, "instances", &instance.id, "rows"]);
    let query = [("start", start.to_string()), ("count", PAGE_ROWS.to_string()), ("format", "json".to_string())];
    client.get(&path, &query)
}
