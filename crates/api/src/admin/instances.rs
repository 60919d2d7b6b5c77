//! Jobs: submit, look, wait, stop, read the rows.

use std::time::Duration;

use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::{Access, Instance, InstanceState};
use feitian_types::Column;
use feitian_wire::xml::{Task, TaskKind};
use futures::StreamExt;
use serde_json::Value;

use super::types::{ColumnView, InstanceList, InstanceView, QueueView, Rows, StageView, SubmitSql};
use crate::answers;
use crate::call::{Answer, Call};
use crate::csv::{csv_answer, instance_zone, text_rows};
use crate::jobs::{self, Envelope, job_element};
use crate::odps::instances::wait_for;
use crate::warehouse::{Batches, InstanceFilter, Page, QueueLoad, RowRange, RowSet, Stage};

const TASK_NAME: &str = "AdminSQLTask";
/// Rows that one answer in JSON holds.
const MOST_ROWS: u64 = 10_000;

/// Jobs of the project, newest first, with the beginnings of their statements; `marker` is the last id seen.
pub async fn instances_of(
    call: &Call,
    filter: InstanceFilter,
    marker: Option<&str>,
    size: usize,
) -> Result<Page<Instance>> {
    call.state.warehouse.list_instances(call.project(), filter, marker, size).await
}

/// A job of the project.
pub async fn instance_of(call: &Call, id: &str) -> Result<Instance> {
    call.state.warehouse.instance(call.project(), id).await
}

/// The job of the path when it has ended or `limit` has passed.
pub async fn ended_of(call: &Call, limit: Duration) -> Result<Instance> {
    call.state.warehouse.wait(call.project(), call.instance(), limit).await
}

/// What a job did or has done so far.
pub async fn profile_of(call: &Call, instance: &Instance) -> Result<Value> {
    call.state.warehouse.profile(instance).await
}

/// The place of a job that waits, and the limits that it may wait for; none when it does not wait.
pub async fn queue_of(call: &Call, instance: &Instance) -> Result<Option<(usize, QueueLoad)>> {
    let warehouse = &call.state.warehouse;
    Ok(match warehouse.queue_place(instance).await? {
        Some(place) => Some((place, warehouse.queue_load(&instance.project).await?)),
        None => None,
    })
}

/// The run of the same SQL before a job.
pub async fn earlier_of(call: &Call, instance: &Instance) -> Result<Option<Instance>> {
    call.state.warehouse.earlier_run(instance).await
}

/// Columns and number of rows of a job's result; says why when there is none.
pub async fn result_of(call: &Call, instance: &Instance) -> Result<RowSet> {
    call.state.warehouse.result(instance).await
}

/// Rows of a job's result; `columns` selects by name.
pub async fn result_rows(
    call: &Call,
    instance: &Instance,
    range: RowRange,
    columns: Option<Vec<String>>,
) -> Result<(Vec<Column>, Batches)> {
    call.state.warehouse.read_result(instance, range, columns).await
}

/// The id of the run before; a user who may look at own jobs only hears of no others.
async fn earlier_id(call: &Call, instance: &Instance) -> Result<Option<String>> {
    let Some(run) = earlier_of(call, instance).await? else { return Ok(None) };
    let caller = call.caller()?;
    let access = call.state.meta.access(call.project(), &caller.account_id).await?;
    let may_see = run.owner == caller.name || caller.admin || access == Access::Whole;
    Ok(may_see.then_some(run.id))
}

async fn view(call: &Call, instance: Instance, in_full: bool) -> Result<InstanceView> {
    let warehouse = &call.state.warehouse;
    let waits = instance.state == InstanceState::Waiting;
    let queue = if waits && in_full { queue_of(call, &instance).await? } else { None };
    let is_over = instance.state.is_terminal();
    let earlier = if is_over && in_full { earlier_id(call, &instance).await? } else { None };
    let profile = if waits || !in_full { None } else { Some(warehouse.profile(&instance).await?) };
    let stages = match profile.as_ref().map(Stage::of_profile) {
        Some(stages) if stages.is_empty() => warehouse.progress(&instance).await?,
        stages => stages.unwrap_or_default(),
    };
    let text = match &instance.result_inline {
        Some(bytes) if !instance.is_select && instance.state == InstanceState::Success => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => None,
    };
    Ok(InstanceView {
        settings: serde_json::from_str(&instance.settings).unwrap_or_default(),
        state: instance.state.as_str().to_string(),
        stages: stages.into_iter().map(stage).collect(),
        profile,
        queue_place: queue.map(|(place, _)| place),
        queue: queue.map(|(_, load)| queue_view(load)),
        earlier,
        text,
        task_name: instance.task_name,
        task_type: instance.task_type,
        priority: instance.priority,
        attempt: instance.attempt,
        stopping: instance.stop_requested && !is_over,
        id: instance.id,
        project: instance.project,
        owner: instance.owner,
        query: instance.query,
        submitted_ms: instance.submitted_ms,
        started_ms: instance.started_ms,
        ended_ms: instance.ended_ms,
        is_select: instance.is_select,
        result_rows: instance.result_rows,
        error: instance.error,
    })
}

fn queue_view(load: QueueLoad) -> QueueView {
    let QueueLoad { project_running, project_limit, process_running, process_limit } = load;
    QueueView { project_running, project_limit, process_running, process_limit }
}

fn stage(s: Stage) -> StageView {
    let Stage { id, workers_total, workers_running, workers_done, rows_in, rows_out, percent } = s;
    StageView { id, workers_total, workers_running, workers_done, rows_in, rows_out, percent }
}

/// Waits for the end of an instance, at most `ms` and at most as long as the server grants.
async fn waited(call: &Call, id: &str, ms: u64) -> Result<Instance> {
    let limit = Duration::from_millis(ms).min(call.state.settings.limits.admin_wait);
    wait_for(call, id, limit).await
}

pub async fn submit(call: Call) -> Answer {
    let wanted: SubmitSql = call.json().await?;
    answers::json(&submit_sql(&call, wanted).await?)
}

/// Submits SQL in the project of the path; the job is durable when this returns.
pub async fn submit_sql(call: &Call, wanted: SubmitSql) -> Result<InstanceView> {
    if wanted.sql.trim().is_empty() {
        return Err(Error::invalid("'sql' is empty"));
    }
    let settings: Vec<(String, String)> = wanted.settings.into_iter().collect();
    let priority = wanted.priority.unwrap_or(9);
    let source = job_element(priority, &wanted.guid, TASK_NAME, &wanted.sql, &settings);
    let envelope = Envelope { guid: wanted.guid, priority, source };
    let task = Task {
        kind: TaskKind::Sql,
        name: TASK_NAME.into(),
        query: wanted.sql,
        table: None,
        settings,
        aliases: Vec::new(),
        properties: Vec::new(),
    };
    let instance = jobs::submit(call, call.caller()?, envelope, task).await?;
    let instance = if wanted.wait_ms == 0 { instance } else { waited(call, &instance.id, wanted.wait_ms).await? };
    view(call, instance, true).await
}

/// The job of the path, after a wait of at most `wait_ms` for its end.
pub async fn get(call: Call) -> Answer {
    let wait_ms = call.query.number("wait_ms")?.unwrap_or(0);
    let instance = waited(&call, call.instance(), wait_ms).await?;
    answers::json(&view(&call, instance, true).await?)
}

pub async fn list(call: Call) -> Answer {
    let time = |key: &str| -> Result<Option<i64>> {
        Ok(call.query.number(key)?.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)))
    };
    let status = call.query.get("status").map(str::to_string);
    if let Some(status) = &status
        && !matches!(status.as_str(), "Running" | "Suspended" | "Terminated" | "Failed" | "Cancelled")
    {
        let words = "Running, Suspended, Terminated, Failed or Cancelled";
        return Err(Error::invalid(format!("status must be {words}, not '{status}'")));
    }
    let filter = InstanceFilter {
        status,
        from_ms: time("from_ms")?,
        to_ms: time("to_ms")?,
        owner: call.query.get("owner").map(str::to_string),
    };
    let (marker, size) = (call.query.get("marker"), call.page_size(200)?);
    let page = instances_of(&call, filter, marker, size).await?;
    let mut instances = Vec::with_capacity(page.items.len());
    for instance in page.items {
        instances.push(view(&call, instance, false).await?);
    }
    answers::json(&InstanceList { instances, next: page.next })
}

pub async fn stop(call: Call) -> Answer {
    answers::json(&stop_instance(&call).await?)
}

/// Stops the job of the path. One that has ended stays as it is, so that the call may be sent again.
pub async fn stop_instance(call: &Call) -> Result<InstanceView> {
    let warehouse = &call.state.warehouse;
    match warehouse.stop(call.project(), call.instance()).await {
        Err(e) if e.code() != "InvalidStateSetting" => return Err(e),
        _ => {}
    }
    let instance = warehouse.instance(call.project(), call.instance()).await?;
    view(call, instance, true).await
}

/// Rows of a result: JSON, or CSV with `format=csv`.
pub async fn rows(call: Call) -> Answer {
    let instance = instance_of(&call, call.instance()).await?;
    let set = result_of(&call, &instance).await?;
    let zone = instance_zone(&call, &instance).await?;
    let start = call.query.number("start")?.unwrap_or(0);
    let count = call.query.number("count")?;
    match call.query.get("format").unwrap_or("json") {
        "csv" => {
            let range = RowRange { start, count: count.unwrap_or(u64::MAX) };
            let (columns, batches) = result_rows(&call, &instance, range, None).await?;
            csv_answer(&call, columns, zone, batches).await
        }
        "json" => {
            let range = RowRange { start, count: count.unwrap_or(MOST_ROWS).min(MOST_ROWS) };
            let (columns, mut batches) = result_rows(&call, &instance, range, None).await?;
            let mut rows = Vec::new();
            while let Some(batch) = batches.next().await {
                text_rows(&columns, zone, &batch?, &mut rows)?;
            }
            let columns = columns.iter().map(|c| ColumnView { name: c.name.clone(), ty: c.ty.to_string() }).collect();
            answers::json(&Rows { columns, rows, total: set.num_rows })
        }
        other => {
            Err(Error::new(Kind::Invalid, "InvalidParameter", format!("format must be json or csv, not '{other}'")))
        }
    }
}
