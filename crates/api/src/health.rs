//! Liveness, readiness and metrics for machines that watch this one.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use feitian_base::{Error, Kind, Result, clock};

use crate::answers;
use crate::call::{Answer, Call};
use crate::state::AppState;

/// So long `/readyz` waits for the metadata. Requests wait longer, to bridge a restart of the database; whoever watches
/// wants to know.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// How many jobs run and wait, in all projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    pub running: i64,
    pub waiting: i64,
}

/// Reads the numbers of running and waiting jobs.
pub async fn queue(state: &AppState) -> Result<Queue> {
    let running = state.meta.running_counts().await?.values().sum();
    Ok(Queue { running, waiting: state.meta.waiting_count().await? })
}

/// `/healthz`: the process answers.
pub async fn live(_call: Call) -> Answer {
    answers::text("ok\n")
}

/// `/readyz`: it can serve requests: metadata answers and the server is not about to stop.
pub async fn ready(call: Call) -> Answer {
    if call.state.tasks.is_stopping() {
        return Err(Error::new(Kind::Unavailable, "ServiceUnavailable", "the server is stopping"));
    }
    let away = || Error::new(Kind::Unavailable, "ServiceUnavailable", "the metadata database does not answer");
    let asked = tokio::time::timeout(READY_WITHIN, call.state.meta.get_setting("ready")).await;
    asked.map_err(|e| away().with_source(e))?.map_err(|e| away().with_source(e))?;
    answers::text("ready\n")
}

/// `/metrics` in the OpenMetrics text format.
pub async fn metrics(call: Call) -> Answer {
    let metrics = &call.state.metrics;
    let queue = queue(&call.state).await?;
    metrics.instances_running.set(queue.running);
    metrics.instances_waiting.set(queue.waiting);
    metrics.uptime_seconds.set((clock::now_ms() - call.state.settings.started_ms) as f64 / 1000.0);
    let mut response = answers::text(metrics.text())?;
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}
