//! What a job left behind: its tasks' status, its result, its source, its progress.

use feitian_base::Result;
use feitian_meta::rows::{Instance, InstanceState};
use feitian_wire::xml::docs::{self, TaskResult, TaskStatus};

use super::instances::{check_task, status};
use super::projects::read_limit;
use crate::answers;
use crate::call::{Answer, Call};
use crate::csv::{csv_text, instance_zone};
use crate::warehouse::{RowRange, Stage};

async fn instance(call: &Call) -> Result<Instance> {
    let instance = call.state.warehouse.instance(call.project(), call.instance()).await?;
    check_task(call, &instance)?;
    Ok(instance)
}

pub async fn task_status(call: Call) -> Answer {
    let instance = instance(&call).await?;
    let task = TaskStatus {
        kind: instance.task_type.clone(),
        name: instance.task_name.clone(),
        start_ms: instance.started_ms.unwrap_or(instance.submitted_ms).max(instance.submitted_ms),
        end_ms: instance.ended_ms,
        status: instance.state.as_str().to_string(),
    };
    answers::xml(docs::task_status(status(instance.state), [&task]))
}

/// Rows as CSV up to the project's limit, text as it is, or why the job failed.
pub async fn result(call: Call) -> Answer {
    let instance = instance(&call).await?;
    let (format, result) = match instance.state {
        InstanceState::Success if instance.is_select => ("csv", csv_of(&call, &instance).await?),
        InstanceState::Success => ("text", instance.result_inline.clone().unwrap_or_default()),
        InstanceState::Failed | InstanceState::Cancelled => ("text", failure(&instance).into_bytes()),
        InstanceState::Waiting | InstanceState::Running => ("text", Vec::new()),
    };
    let task = TaskResult {
        kind: instance.task_type.clone(),
        name: instance.task_name.clone(),
        status: instance.state.as_str().to_string(),
        format,
        result,
        descriptor: None,
    };
    answers::xml(docs::result([&task]))
}

fn failure(instance: &Instance) -> String {
    instance.error.as_ref().map_or_else(|| instance.state.as_str().to_string(), |e| format!("FAILED: {e}"))
}

/// The rows of a query as CSV, up to the project's limit.
pub async fn csv_of(call: &Call, instance: &Instance) -> Result<Vec<u8>> {
    let range = RowRange { start: 0, count: read_limit(call).await? };
    let (columns, batches) = call.state.warehouse.read_result(instance, range, None).await?;
    let csv = csv_text(&columns, instance_zone(call, instance).await?, batches).await?;
    Ok(csv.into_bytes())
}

/// The job as it was submitted.
pub async fn source(call: Call) -> Answer {
    answers::xml(instance(&call).await?.source)
}

pub async fn progress(call: Call) -> Answer {
    let instance = instance(&call).await?;
    let stages = match instance.state {
        InstanceState::Waiting => Vec::new(),
        _ => call.state.warehouse.progress(&instance).await?,
    };
    let shown = |s: Stage| docs::Stage {
        id: s.id,
        backup_workers: 0,
        terminated_workers: s.workers_done,
        running_workers: s.workers_running,
        total_workers: s.workers_total,
        input_records: s.rows_in,
        output_records: s.rows_out,
        finished_percentage: s.percent,
    };
    let stages: Vec<_> = stages.into_iter().map(shown).collect();
    answers::xml(docs::progress(&stages))
}
