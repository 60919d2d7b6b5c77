//! `sys.tasks`: one row for each stage of a job, from the profile that the job keeps.

use feitian_base::Result;
use feitian_meta::{Instance, InstanceParts};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use super::column::{Cell, Col, Type, may, must};
use super::instances::Instances;
use super::{Pages, Reading};
use crate::Warehouse;

/// A stage of a job. Older feitians wrote less into a profile, so every value may be missing.
pub(super) struct Row {
    project: String,
    instance_id: String,
    submitted_ms: i64,
    stage: Value,
}

impl Row {
    fn int(&self, key: &str) -> Option<i64> {
        self.stage.get(key).and_then(Value::as_i64)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.stage.get(key).and_then(Value::as_str)
    }

    /// In the words of `sys.instances`.
    fn status(&self) -> Option<&str> {
        self.text("state").map(|state| match state {
            "waiting" => "Waiting",
            "running" => "Running",
            "done" => "Success",
            "failed" => "Failed",
            other => other,
        })
    }
}

fn cpu_ms(row: &Row) -> Cell<'_> {
    row.int("cpu_us").map(|us| us / 1000).into()
}

impl Pages for Tasks {
    type Row = Row;

    const COLUMNS: &'static [Col<Row>] = &[
        must("project", Type::Text, "Project that the job was submitted to.", |r| (&r.project).into()),
        must("instance_id", Type::Text, "Id of the instance.", |r| (&r.instance_id).into()),
        must("submit_time", Type::Time, "When the job was submitted.", |r| r.submitted_ms.into()),
        may("step", Type::Int, "Statement of the job's text, counted from 0.", |r| r.int("step").into()),
        may("stage", Type::Text, "Name of the stage, such as R2_1_job_0.", |r| r.text("id").into()),
        may("status", Type::Text, "Waiting, Running, Success or Failed.", |r| r.status().into()),
        may("workers", Type::Int, "Workers that share the rows of the stage.", |r| r.int("workers").into()),
        may("rows_in", Type::Int, "Rows that it read.", |r| r.int("rows_in").into()),
        may("rows_out", Type::Int, "Rows that it gave out.", |r| r.int("rows_out").into()),
        may("bytes_in", Type::Int, "Bytes that it read.", |r| r.int("bytes_in").into()),
        may("cpu_ms", Type::Int, "Milliseconds of computing, of all workers together.", cpu_ms),
        may("spilled_bytes", Type::Int, "Bytes that did not fit into memory.", |r| r.int("spilled_bytes").into()),
        may("skew", Type::Real, "Rows of the fullest worker by the mean of all; 1.0 is even.", |r| {
            r.stage.get("skew").and_then(Value::as_f64).into()
        }),
        may("start_time", Type::Time, "When it started; NULL before.", |r| r.int("started_ms").into()),
        may("end_time", Type::Time, "When it ended; NULL before.", |r| r.int("ended_ms").into()),
    ];

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Vec<Row>>>> {
        async move {
            let Some(jobs) = self.jobs.page().await? else { return Ok(None) };
            let mut rows = Vec::new();
            for job in jobs {
                let profile = self.warehouse.profile(&job).await?;
                rows.extend(stages(&job, profile));
            }
            Ok(Some(rows))
        }
        .boxed()
    }
}

/// Reads the stages of the jobs that a viewer may see.
pub(super) struct Tasks {
    jobs: Instances,
    /// Knows what jobs that run here have done so far.
    warehouse: Warehouse,
}

impl Tasks {
    pub(super) fn new(reading: &Reading) -> Self {
        Self { jobs: Instances::new(reading, InstanceParts::Texts), warehouse: reading.warehouse.clone() }
    }
}

/// The stages that the job's profile names.
fn stages(job: &Instance, mut profile: Value) -> Vec<Row> {
    let stages = match profile.get_mut("stages").map(Value::take) {
        Some(Value::Array(stages)) => stages,
        _ => Vec::new(),
    };
    let row = |mut stage: Value| {
        // Operators are most of a profile and in no column; a page holds the stages of many jobs.
        if let Some(stage) = stage.as_object_mut() {
            stage.remove("operators");
        }
        Row { project: job.project.clone(), instance_id: job.id.clone(), submitted_ms: job.submitted_ms, stage }
    };
    stages.into_iter().map(row).collect()
}
