//! Jobs: submit, list, ask, wait, stop.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::rows::{Access, Instance, InstanceState};
use feitian_wire::xml::docs::{self, InstanceStatus};
use feitian_wire::xml::{parse_instance, parse_stop};

use super::instance_detail::queue_entry;
use crate::answers::{self, set_header};
use crate::call::{Answer, Call};
use crate::jobs::{self, Envelope};
use crate::warehouse::InstanceFilter;

const PAGE: usize = 1000;
/// An instance this young may end within the hold of the first status question.
const YOUNG_MS: i64 = 3000;

/// What an instance is to clients: it waits and runs under one word.
pub fn status(state: InstanceState) -> InstanceStatus {
    if state.is_terminal() { InstanceStatus::Terminated } else { InstanceStatus::Running }
}

/// Refuses a task name that is not the instance's one task.
pub fn check_task(call: &Call, instance: &Instance) -> Result<()> {
    match call.query.get("taskname") {
        Some(name) if !name.eq_ignore_ascii_case(&instance.task_name) => {
            let message = format!("instance '{}' has no task '{name}', only '{}'", instance.id, instance.task_name);
            Err(Error::new(Kind::NotFound, "NoSuchObject", message))
        }
        _ => Ok(()),
    }
}

/// Waits for the end of an instance, at most `limit`. When the server stops it answers at once.
pub async fn wait_for(call: &Call, id: &str, limit: Duration) -> Result<Instance> {
    let warehouse = &call.state.warehouse;
    let stop = call.state.tasks.stop_token();
    if limit.is_zero() || stop.is_cancelled() {
        return warehouse.instance(call.project(), id).await;
    }
    tokio::select! {
        () = stop.cancelled() => warehouse.instance(call.project(), id).await,
        ended = warehouse.wait(call.project(), id, limit) => ended,
    }
}

/// Submits the one task of a job. The answer has no body: clients take one for a finished result.
pub async fn create(call: Call) -> Answer {
    let job = parse_instance(&call.document().await?)?;
    let [task] = <[_; 1]>::try_from(job.tasks).map_err(|tasks| {
        let message = format!("the job has {} tasks; submit one job for each", tasks.len());
        Error::new(Kind::Invalid, "InvalidParameter", message)
    })?;
    let envelope = Envelope { guid: job.guid.unwrap_or_default(), priority: job.priority.into(), source: job.job_xml };
    let instance = jobs::submit(&call, call.caller()?, envelope, task).await?;
    let mut response = answers::empty(StatusCode::CREATED)?;
    let location = format!("{}/api/projects/{}/instances/{}", call.origin.base(), call.project(), instance.id);
    set_header(&mut response, "location", &location);
    Ok(response)
}

fn status_answer(instance: &Instance) -> Answer {
    let mut response = answers::xml(docs::instance_status(status(instance.state)))?;
    add_headers(&mut response, instance);
    Ok(response)
}

fn add_headers(response: &mut Response, instance: &Instance) {
    set_header(response, "x-odps-owner", &instance.owner);
    set_header(response, "x-odps-start-time", &docs::http_date(instance.submitted_ms));
    set_header(response, "x-odps-end-time", &instance.ended_ms.map(docs::http_date).unwrap_or_default());
}

/// The status now, held back a moment for a young instance: clients that see it running wait a full second before they
/// ask again.
pub async fn get(call: Call) -> Answer {
    let mut instance = call.state.warehouse.instance(call.project(), call.instance()).await?;
    if !instance.state.is_terminal() && clock::now_ms() - instance.submitted_ms < YOUNG_MS {
        instance = wait_for(&call, call.instance(), call.state.settings.limits.first_status_hold).await?;
    }
    status_answer(&instance)
}

/// The status once the instance has ended, or after a few seconds.
pub async fn wait(call: Call) -> Answer {
    status_answer(&wait_for(&call, call.instance(), call.state.settings.limits.long_poll).await?)
}

pub async fn stop(call: Call) -> Answer {
    parse_stop(&call.document().await?)?;
    call.state.warehouse.stop(call.project(), call.instance()).await?;
    answers::empty(StatusCode::OK)
}

/// Whose jobs to list, if not everybody's. A user who has only what was granted sees its own.
async fn listed_owner(call: &Call) -> Result<Option<String>> {
    let caller = call.caller()?;
    let access = call.state.meta.access(call.project(), &caller.account_id).await?;
    let only_own = call.query.get("onlyowner") == Some("yes") || access != Access::Whole;
    Ok(only_own.then(|| caller.name.clone()))
}

async fn filter(call: &Call) -> Result<InstanceFilter> {
    call.refuse_parameters(&["jobname", "quotaIndex"])?;
    let status = call.query.get("status").map(str::to_string);
    if let Some(status) = &status
        && !matches!(status.as_str(), "Running" | "Suspended" | "Terminated")
    {
        let message = format!("status must be Running, Suspended or Terminated, not '{status}'");
        return Err(Error::new(Kind::Invalid, "InvalidParameter", message));
    }
    let (from_ms, to_ms) = match call.query.get("daterange") {
        Some(text) => date_range(text)?,
        None => (None, None),
    };
    Ok(InstanceFilter { status, from_ms, to_ms, owner: listed_owner(call).await? })
}

/// `from:to` in epoch seconds; either side may be missing.
fn date_range(text: &str) -> Result<(Option<i64>, Option<i64>)> {
    let wrong = || {
        let message = format!("daterange must be from:to in seconds since 1970, not '{text}'");
        Error::new(Kind::Invalid, "InvalidParameter", message)
    };
    let side = |text: &str| match text.trim() {
        "" => Ok(None),
        number => number.parse::<i64>().ok().and_then(|s| s.checked_mul(1000)).map(Some).ok_or_else(wrong),
    };
    let (from, to) = text.split_once(':').ok_or_else(wrong)?;
    Ok((side(from)?, side(to)?))
}

pub async fn list(call: Call) -> Answer {
    let (filter, size) = (filter(&call).await?, call.page_size(PAGE)?);
    let marker = call.query.get("marker");
    let page = call.state.warehouse.list_instances(call.project(), filter, marker, size).await?;
    let summary = |i: Instance| docs::InstanceSummary {
        id: i.id,
        owner: i.owner,
        start_ms: i.submitted_ms,
        end_ms: i.ended_ms,
        status: status(i.state),
    };
    let items: Vec<_> = page.items.into_iter().map(summary).collect();
    answers::xml(docs::instances(&items, &docs::Page { marker: page.next, max_items: Some(size as u64) }))
}

/// Jobs that run or wait.
pub async fn list_cached(call: Call) -> Answer {
    call.refuse_parameters(&["status", "quotaIndex"])?;
    let owner = listed_owner(&call).await?;
    let filter = InstanceFilter { status: Some("Running".into()), owner, ..InstanceFilter::default() };
    let (marker, size) = (call.query.get("marker"), call.page_size(PAGE)?);
    let page = call.state.warehouse.list_instances(call.project(), filter, marker, size).await?;
    let mut entries = Vec::with_capacity(page.items.len());
    for instance in &page.items {
        entries.push(queue_entry(&call, instance).await?);
    }
    let shown = docs::Page { marker: page.next, max_items: Some(size as u64) };
    answers::xml(docs::cached_instances(&entries.into(), &shown))
}
