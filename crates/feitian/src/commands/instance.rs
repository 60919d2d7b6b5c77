//! `feitian instance`: look at jobs, stop them, fetch their results.

use std::io::Write;

use feitian_api::admin::types::{InstanceList, InstanceView};
use serde_json::{Map, Value};

use super::confirm;
use super::item;
use super::sql;
use crate::cli::{InstanceArgs, InstanceVerb, StatusFilter};
use crate::client::{Client, admin_path};
use crate::failure::{Answer, Result};
use crate::output::{self, Field, Format, Shown, field};

const LIST_FIELDS: [Field; 6] = [
    field("id", "ID", Shown::Text),
    field("state", "STATE", Shown::Text),
    field("owner", "OWNER", Shown::Text),
    field("submitted_ms", "SUBMITTED", Shown::Time),
    field("took_ms", "TOOK", Shown::Duration),
    field("query", "QUERY", Shown::Text),
];

const SHOW_FIELDS: [Field; 13] = [
    field("id", "ID", Shown::Text),
    field("project", "PROJECT", Shown::Text),
    field("owner", "OWNER", Shown::Text),
    field("state", "STATE", Shown::Text),
    field("queue_place", "QUEUE PLACE", Shown::Number),
    field("submitted_ms", "SUBMITTED", Shown::Time),
    field("started_ms", "STARTED", Shown::Time),
    field("ended_ms", "ENDED", Shown::Time),
    field("took_ms", "TOOK", Shown::Duration),
    field("result_rows", "RESULT ROWS", Shown::Number),
    field("error", "ERROR", Shown::Text),
    field("settings", "SETTINGS", Shown::Pairs),
    field("query", "QUERY", Shown::Text),
];

/// In JSON, `profile` follows the fields that a table shows.
const PROFILE: Field = field("profile", "PROFILE", Shown::Text);

const STAGE_FIELDS: [Field; 8] = [
    field("id", "STAGE", Shown::Text),
    field("state", "STATE", Shown::Text),
    field("took_ms", "TOOK", Shown::Duration),
    field("workers", "WORKERS", Shown::Number),
    field("rows_in", "ROWS IN", Shown::Number),
    field("rows_out", "ROWS OUT", Shown::Number),
    field("spilled_bytes", "SPILLED", Shown::Number),
    field("skew", "SKEW", Shown::Number),
];

/// Instances for one request.
const PAGE: usize = 1000;
/// Characters of a query in a table of instances.
const QUERY_CHARS: usize = 60;

pub(crate) fn run(args: &InstanceArgs, out: &mut dyn Write) -> Result<Answer> {
    let format = args.client.format();
    let client = Client::connect(&args.client)?;
    let project = args.project.as_deref().unwrap_or(client.default_project()).to_string();
    let path = |id: &str| admin_path(["projects", &project, "instances", id]);
    match &args.verb {
        InstanceVerb::List { status, limit } => {
            let items = list(&client, &project, *status, *limit, format)?;
            output::list(out, format, &LIST_FIELDS, &items)?;
        }
        InstanceVerb::Show { id } => show(out, format, &client.get(&path(id), &[])?)?,
        InstanceVerb::Stop { id, confirm } => {
            confirm::ask(&format!("stop instance {id}"), *confirm)?;
            let stop = admin_path(["projects", &project, "instances", id, "stop"]);
            show(out, format, &client.post(&stop, &serde_json::json!({}))?)?;
        }
        InstanceVerb::Result { id } => {
            let instance: InstanceView = client.get(&path(id), &[])?;
            return sql::print(&client, &instance, format, out);
        }
    }
    Ok(Answer::Done)
}

fn list(
    client: &Client,
    project: &str,
    status: Option<StatusFilter>,
    limit: usize,
    format: Format,
) -> Result<Vec<Map<String, Value>>> {
    let mut items = Vec::new();
    let mut marker: Option<String> = None;
    while items.len() < limit {
        let mut query = vec![("maxitems", (limit - items.len()).min(PAGE).to_string())];
        query.extend(status.map(|s| ("status", format!("{s:?}"))));
        query.extend(marker.take().map(|m| ("marker", m)));
        let page: InstanceList = client.get(&admin_path(["projects", project, "instances"]), &query)?;
        items.extend(page.instances.iter().map(with_duration));
        match page.next {
            Some(next) => marker = Some(next),
            None => break,
        }
    }
    items.truncate(limit);
    if format == Format::Table {
        items.iter_mut().for_each(shorten_query);
    }
    Ok(items)
}

fn show(out: &mut dyn Write, format: Format, instance: &InstanceView) -> Result<()> {
    let fields = with_duration(instance);
    if format == Format::Json {
        let shown: Vec<Field> = SHOW_FIELDS.into_iter().chain([PROFILE]).collect();
        return output::object(out, format, &shown, &fields);
    }
    output::object(out, format, &SHOW_FIELDS, &fields)?;
    let stages = stages(instance);
    if format == Format::Table && !stages.is_empty() {
        writeln!(out)?;
        output::list(out, format, &STAGE_FIELDS, &stages)?;
    }
    Ok(())
}

/// The stages of the instance's profile, each with how long it took.
fn stages(instance: &InstanceView) -> Vec<Map<String, Value>> {
    let stages = instance.profile.as_ref().and_then(|p| p.get("stages")).and_then(Value::as_array);
    let one = |stage: &Value| {
        let mut fields = stage.as_object()?.clone();
        let time = |key: &str| stage.get(key).and_then(Value::as_i64);
        if let (Some(started), Some(ended)) = (time("started_ms"), time("ended_ms")) {
            fields.insert("took_ms".to_string(), Value::from(ended.saturating_sub(started).max(0)));
        }
        Some(fields)
    };
    stages.into_iter().flatten().filter_map(one).collect()
}

/// How long an instance ran, beside its other fields.
fn with_duration(instance: &InstanceView) -> Map<String, Value> {
    let mut fields = item(instance);
    if let (Some(started), Some(ended)) = (instance.started_ms, instance.ended_ms) {
        fields.insert("took_ms".to_string(), Value::from(ended.saturating_sub(started).max(0)));
    }
    fields
}

/// One line and not too long: a table of instances is for finding one.
fn shorten_query(fields: &mut Map<String, Value>) {
    let Some(Value::String(query)) = fields.get_mut("query") else { return };
    let line = query.split_whitespace().collect::<Vec<_>>().join(" ");
    *query = match line.char_indices().nth(QUERY_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    };
}
