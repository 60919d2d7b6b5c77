//! What tools show about a job: summary, workers, queue, as JSON.

use std::fmt::Write;

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::{Instance, InstanceState};
use serde_json::{Map, Value, json};

use super::instances::{check_task, status};
use super::interactive;
use crate::answers::{self, plain_time, set_header};
use crate::call::{Answer, Call};
use crate::warehouse::Stage;

/// Workers of a stage that are told: profiles have no more.
const MOST_WORKERS: u64 = 64;

async fn instance(call: &Call) -> Result<Instance> {
    let instance = call.state.warehouse.instance(call.project(), call.instance()).await?;
    check_task(call, &instance)?;
    Ok(instance)
}

/// `?instancesummary`: costs and counts, once there are any.
pub async fn summary(call: Call) -> Answer {
    let instance = instance(&call).await?;
    let profile = match call.state.warehouse.profile(&instance).await? {
        Value::Object(profile) => profile,
        _ => Map::new(),
    };
    let inner = if profile.is_empty() && !instance.state.is_terminal() {
        json!({})
    } else {
        let text = text_summary(&instance, stages_of(&profile));
        json!({ "JsonSummary": json_summary(&instance, profile), "Summary": text })
    };
    let mut response = answers::json(&json!({ "Instance": inner }))?;
    set_header(&mut response, "x-odps-task-finalized", if instance.state.is_terminal() { "true" } else { "false" });
    Ok(response)
}

/// What is stored, with the costs that clients read when the job has left none.
fn json_summary(instance: &Instance, mut stored: Map<String, Value>) -> String {
    let input = stored.get("input_bytes").cloned().unwrap_or(json!(0));
    stored.entry("Cost").or_insert_with(|| json!({ "CPU": run_ms(instance), "Memory": 0, "Input": input }));
    Value::Object(stored).to_string()
}

fn run_ms(instance: &Instance) -> i64 {
    match (instance.started_ms, instance.ended_ms) {
        (Some(start), Some(end)) => (end - start).max(0),
        _ => 0,
    }
}

fn text_summary(instance: &Instance, stages: &[Value]) -> String {
    let mut text = format!(
        "job status: {}\nrun time: {:.3} s\nresult rows: {}\n",
        instance.state.as_str(),
        run_ms(instance) as f64 / 1000.0,
        instance.result_rows
    );
    for stage in stages {
        let run_ms = number(stage, "ended_ms").saturating_sub(number(stage, "started_ms"));
        let _ = write!(
            text,
            "{}:\n\tinstance count: {}\n\trun time: {:.3}\n\tinput records: {}\n\toutput records: {}\n",
            word(stage, "id"),
            number(stage, "workers"),
            run_ms as f64 / 1000.0,
            number(stage, "rows_in"),
            number(stage, "rows_out")
        );
    }
    text
}

fn stages_of(profile: &Map<String, Value>) -> &[Value] {
    profile.get("stages").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn number(of: &Value, key: &str) -> u64 {
    of.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn word<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// `?instancedetail` and `?detail`: the stages and their workers.
pub async fn detail(call: Call) -> Answer {
    let instance = instance(&call).await?;
    let profile = call.state.warehouse.profile(&instance).await?;
    let mut tasks: Vec<Value> = match &profile {
        Value::Object(profile) => stages_of(profile).iter().map(|s| stage_detail(&instance, s)).collect(),
        _ => Vec::new(),
    };
    if tasks.is_empty() && instance.state != InstanceState::Waiting {
        let stages = call.state.warehouse.progress(&instance).await?;
        tasks.extend(stages.iter().map(|s| stage_detail(&instance, &without_operators(&instance, s))));
    }
    answers::json(&json!({
        "Instance": instance.id,
        "Status": status(instance.state).name(),
        "mapReduce": { "jobs": [{ "name": instance.task_name, "tasks": tasks }] },
    }))
}

/// A stage of which no more is known, as a profile has them.
fn without_operators(instance: &Instance, s: &Stage) -> Value {
    json!({
        "id": s.id, "state": if s.percent >= 100 { "done" } else { "running" }, "workers": s.workers_total,
        "started_ms": instance.started_ms, "ended_ms": instance.ended_ms, "rows_in": s.rows_in, "rows_out": s.rows_out,
    })
}

/// One stage with its workers. Keys: odps/models/worker.py of PyODPS. What a worker read is that of the last operator
/// that was counted by worker, what it gave that of the first.
fn stage_detail(instance: &Instance, stage: &Value) -> Value {
    let id = word(stage, "id");
    let workers = number(stage, "workers").clamp(1, MOST_WORKERS);
    let operators: &[Value] = stage.get("operators").and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let rows = |o: &Value| {
        let rows = o.get("partition_rows").and_then(Value::as_array);
        rows.filter(|r| r.len() as u64 == workers).cloned()
    };
    let (first, last) = (operators.iter().find_map(rows), operators.iter().rev().find_map(rows));
    let of = |rows: &Option<Vec<Value>>, worker: u64, key: &str| match rows {
        _ if workers == 1 => Some(number(stage, key)),
        Some(rows) => rows.get(worker as usize).and_then(Value::as_u64),
        None => None,
    };
    let status = match word(stage, "state") {
        "done" => "Terminated",
        "failed" => "Failed",
        "waiting" => "Waiting",
        _ => "Running",
    };
    let worker = |n: u64| {
        json!({
            "id": format!("{id}#{n}"),
            "logId": format!("{}-{id}-{n}", instance.id),
            "IpAndPath": "",
            "status": status,
            "startTime": number(stage, "started_ms") / 1000,
            "endTime": number(stage, "ended_ms") / 1000,
            "input_records": of(&last, n, "rows_in"),
            "output_records": of(&first, n, "rows_out"),
        })
    };
    json!({ "name": id, "instances": (0..workers).map(worker).collect::<Vec<_>>() })
}

/// Kinds of logs that clients know and nobody keeps (odps/models/worker.py of PyODPS).
const NOT_KEPT: [&str; 5] = ["coreinfo.tmp", "hs_err_*.log", "jstack", "pstack", "waterfall_summary"];

/// `?log&id=`: the last of what the job's user code has written. The id is that of any of its workers.
pub async fn log(call: Call) -> Answer {
    let instance = instance(&call).await?;
    let id = call.query.need("id")?;
    if id.strip_prefix(instance.id.as_str()).is_none_or(|rest| !rest.starts_with('-')) {
        let message = format!("instance '{}' has no worker with the log '{id}'", instance.id);
        return Err(Error::new(Kind::NotFound, "NoSuchObject", message));
    }
    match call.query.get("logtype") {
        None | Some("stdout" | "stderr") => {}
        Some(kind) if NOT_KEPT.contains(&kind) => {
            return Err(Error::unsupported(format!("logtype '{kind}' is not kept; stdout and stderr are")));
        }
        Some(kind) => return Err(Error::invalid(format!("there is no logtype '{kind}'"))),
    }
    let written = call.state.warehouse.worker_log(&instance).await?;
    let size = call.query.number("size")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    let from = size.map_or(0, |size| written.len().saturating_sub(size));
    answers::text(String::from_utf8_lossy(&written[from..]).into_owned())
}

/// `?info&key=`: jobs give no warnings, and nothing else is kept under a key but by sessions.
pub async fn info(call: Call) -> Answer {
    let instance = instance(&call).await?;
    match call.query.get("key") {
        Some(key) if interactive::is_session(&instance) => interactive::info(&call, &instance, key).await,
        Some("warnings") => answers::json(&json!({ "warnings": {} })),
        Some(key) => {
            let message = format!("task information '{key}' is not kept; only 'warnings' is");
            Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message))
        }
        None => Err(Error::new(Kind::Invalid, "InvalidParameter", "query parameter 'key' is missing")),
    }
}

/// Sessions take queries. Clients may set information that no task reads; they take an empty answer as "unknown key".
pub async fn put_info(call: Call) -> Answer {
    let body = call.document().await?;
    let instance = instance(&call).await?;
    if interactive::is_session(&instance) {
        return interactive::put(&call, &instance, &body).await;
    }
    answers::empty(StatusCode::OK)
}

/// `?instancequota`
pub async fn quota(call: Call) -> Answer {
    instance(&call).await?;
    answers::json(&json!({ "quota": super::quotas::NAME }))
}

/// `?cached`: one entry of the queue listing; `{}` once the job has ended.
pub async fn queueing(call: Call) -> Answer {
    let instance = instance(&call).await?;
    if instance.state.is_terminal() {
        return answers::json(&json!({}));
    }
    answers::json(&queue_entry(&call, &instance).await?)
}

/// A job as the queue listing shows it.
pub async fn queue_entry(call: &Call, instance: &Instance) -> Result<Value> {
    let place = call.state.warehouse.queue_place(instance).await?;
    let percent = match instance.state {
        InstanceState::Running => {
            let stages = call.state.warehouse.progress(instance).await?;
            stages.iter().map(|s| s.percent).sum::<u64>().checked_div(stages.len() as u64).unwrap_or(0)
        }
        _ => 0,
    };
    let sub_status = match place {
        Some(place) => format!("waiting, place {place} in the queue"),
        None => instance.state.as_str().to_string(),
    };
    Ok(json!({
        "instanceId": instance.id,
        "instancePriority": instance.priority,
        "instanceProcess": format!("{percent}%"),
        "jobName": instance.id,
        "projectName": instance.project,
        "skynetId": "",
        "startTime": plain_time(instance.submitted_ms),
        "taskType": instance.task_type,
        "taskName": instance.task_name,
        "userAccount": instance.owner,
        "status": status(instance.state).name(),
        "subStatusHistory": [{ "code": 0, "description": sub_status }],
    }))
}
