//! What of a job's page stays as it is: the text and its error, the result, the comparison, the settings.

use feitian_meta::rows::Instance;
use serde_json::{Map, Value};

use super::{FailureView, Frame, failure_view};
use crate::compare::{self, Measure, Run};
use crate::failure::Failure;
use crate::hints::of_job;
use crate::job::{Head, Job, Output};
use crate::profile::Profile;
use crate::show::{self, fill};
use crate::sql::{self, Listing};
use crate::words::Words;

/// Characters of a cell that are shown.
const CELL: usize = 1000;

/// A setting of the job.
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
}

/// What the job gave back, ready to be shown. Texts are empty when there is nothing to say.
pub(super) struct ResultView {
    pub(super) note: String,
    pub(super) text: String,
    pub(super) caption: String,
    pub(super) columns: Vec<Head>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

/// Whether the text of the job is SQL; for other tasks it is the name of a table.
pub(super) fn is_sql(instance: &Instance) -> bool {
    instance.task_type.to_ascii_uppercase().starts_with("SQL")
}

/// The text of the job with the place of its error marked, and the error.
pub(super) fn listing_and_failure(frame: &Frame, instance: &Instance) -> (Listing, Option<FailureView>) {
    let failure = instance.error.as_deref().map(Failure::of);
    let place = failure.as_ref().and_then(|f| f.place);
    let listing = sql::listing(&instance.query, is_sql(instance), place);
    let is_shown = listing.lines.iter().any(|line| line.marked);
    (listing, failure.map(|f| failure_view(frame, &f, is_shown)))
}

pub(super) fn settings(text: &str) -> Vec<Setting> {
    let settings: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let setting = |(name, value): (String, Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        Setting { name: show::short(&name, CELL), value: show::short(&value, CELL) }
    };
    settings.into_iter().map(setting).collect()
}

pub(super) fn result(w: &Words, output: &Output) -> Option<ResultView> {
    let none = ResultView {
        note: String::new(),
        text: String::new(),
        caption: String::new(),
        columns: Vec::new(),
        rows: Vec::new(),
    };
    Some(match output {
        Output::Nothing => return None,
        Output::Unreadable(why) => {
            ResultView { note: fill(w.result_unreadable, &[("why", &show::short(why, CELL))]), ..none }
        }
        Output::Text { text, cut } => {
            let note = if *cut { w.result_text_cut.to_string() } else { String::new() };
            ResultView { note, text: show::seen(text).into_owned(), ..none }
        }
        Output::Rows { columns, rows, total, total_columns } => {
            let cut =
                fill(w.result_columns_cut, &[("n", &columns.len().to_string()), ("total", &total_columns.to_string())]);
            let cells = |row: &Vec<Option<String>>| {
                row.iter().map(|cell| cell.as_ref().map(|text| show::short(text, CELL))).collect()
            };
            ResultView {
                note: if columns.len() < *total_columns { cut } else { String::new() },
                caption: rows_caption(w, rows.len() as u64, *total),
                columns: columns.iter().map(|c| Head { name: show::short(&c.name, 200), ..*c }).collect(),
                rows: rows.iter().map(cells).collect(),
                ..none
            }
        }
    })
}

fn rows_caption(w: &Words, shown: u64, total: u64) -> String {
    let pattern = match total {
        0 => w.result_none,
        _ if shown < total => w.result_first,
        _ => w.result_all,
    };
    fill(pattern, &[("n", &show::count(shown)), ("total", &show::count(total))])
}

/// The caption and the lines of the comparison; none without an earlier run, or while nothing but the time of this one is
/// known.
pub(super) fn comparison(frame: &Frame, job: &Job, earlier: Option<&Instance>) -> (String, Vec<Measure>) {
    let w = frame.w;
    let Some(earlier) = earlier.filter(|_| job.instance.started_ms.is_some()) else {
        return (String::new(), Vec::new());
    };
    let now = Run::of(&job.instance, &job.profile);
    if now.rows.is_none() && now.bytes_in.is_none() && now.plan_hash.is_none() {
        return (String::new(), Vec::new());
    }
    let before = Run::of(earlier, &Profile::of_summary(&earlier.summary));
    let time = show::time(earlier.submitted_ms, job.zone).text;
    let caption = fill(w.comparison_caption, &[("id", &show::seen(&earlier.id)), ("time", &time)]);
    (caption, compare::measures(w, &now, &before))
}

/// The commands and the call that show this job without the page, a line for each.
pub(super) fn commands(instance: &Instance) -> String {
    of_job(instance).join("\n")
}
