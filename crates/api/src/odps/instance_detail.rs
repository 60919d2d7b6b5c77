//! What tools show about a job: summary, workers, queue, as JSON.

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::{Instance, InstanceState};
use serde_json::{Map, Value, json};

use super::instances::{check_task, status};
use crate::answers::{self, plain_time, set_header};
use crate::call::{Answer, Call};

async fn instance(call: &Call) -> Result<Instance> {
    let instance = call.state.warehouse.instance(call.project(), call.instance()).await?;
    check_task(call, &instance)?;
    Ok(instance)
}

/// `?instancesummary`: costs and counts, once there are any.
pub async fn summary(call: Call) -> Answer {
    let instance = instance(&call).await?;
    let stored: Map<String, Value> = serde_json::from_str(&instance.summary).unwrap_or_default();
    let inner = if stored.is_empty() && !instance.state.is_terminal() {
        json!({})
    } else {
        json!({ "JsonSummary": json_summary(&instance, stored), "Summary": text_summary(&instance) })
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

fn text_summary(instance: &Instance) -> String {
    format!(
        "job status: {}\nrun time: {:.3} s\nresult rows: {}\n",
        instance.state.as_str(),
        run_ms(instance) as f64 / 1000.0,
        instance.result_rows
    )
}

/// `?instancedetail` and `?detail`: one worker for every stage.
pub async fn detail(call: Call) -> Answer {
    let instance = instance(&call).await?;
    let stages = match instance.state {
        InstanceState::Waiting => Vec::new(),
        _ => call.state.warehouse.progress(&instance).await?,
    };
    let ended = instance.ended_ms.map_or(0, |ms| ms / 1000);
    let tasks: Vec<Value> = stages
        .iter()
        .map(|s| {
            let status = if s.percent >= 100 { "Terminated" } else { "Running" };
            json!({
                "name": s.id,
                "instances": [{
                    "id": format!("{}#0", s.id),
                    "logId": format!("{}-{}-0", instance.id, s.id),
                    "IpAndPath": "",
                    "status": status,
                    "startTime": instance.started_ms.map_or(0, |ms| ms / 1000),
                    "endTime": ended,
                    "inputRecords": s.rows_in,
                    "outputRecords": s.rows_out,
                }],
            })
        })
        .collect();
    answers::json(&json!({
        "Instance": instance.id,
        "Status": status(instance.state).name(),
        "mapReduce": { "jobs": [{ "name": instance.task_name, "tasks": tasks }] },
    }))
}

/// `?info&key=`: jobs give no warnings, and nothing else is kept under a key.
pub async fn info(call: Call) -> Answer {
    instance(&call).await?;
    match call.query.get("key") {
        Some("warnings") => answers::json(&json!({ "warnings": {} })),
        Some(key) => {
            let message = format!("task information '{key}' is not kept; only 'warnings' is");
            Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message))
        }
        None => Err(Error::new(Kind::Invalid, "InvalidParameter", "query parameter 'key' is missing")),
    }
}

/// Clients may set information that no task reads; they take an empty answer as "unknown key".
pub async fn put_info(call: Call) -> Answer {
    call.document().await?;
    instance(&call).await?;
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
