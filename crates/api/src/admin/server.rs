//! The server itself: who am I, how is it, what runs, collection.

use std::time::Duration;

use feitian_base::clock;

use super::accounts;
use super::types::{Collect, Collected, ServerStatus, TaskList, WhoAmI};
use crate::answers;
use crate::call::{Answer, Call};
use crate::health;

const DAY_SECONDS: u64 = 86_400;

pub async fn whoami(call: Call) -> Answer {
    let account = accounts::view(accounts::find(&call.state.meta, &call.caller()?.account_id).await?);
    let settings = &call.state.settings;
    answers::json(&WhoAmI { account, region: settings.region.clone(), version: settings.version.clone() })
}

pub async fn status(call: Call) -> Answer {
    let state = &call.state;
    let queue = health::queue(state).await?;
    answers::json(&ServerStatus {
        version: state.settings.version.clone(),
        region: state.settings.region.clone(),
        node: state.settings.node.clone(),
        started_ms: state.settings.started_ms,
        uptime_ms: clock::now_ms() - state.settings.started_ms,
        stopping: state.tasks.is_stopping(),
        instances_running: queue.running,
        instances_waiting: queue.waiting,
        streams: state.metrics.streams.get(),
        connections: state.metrics.connections.get(),
    })
}

pub async fn tasks(call: Call) -> Answer {
    answers::json(&TaskList { tasks: call.state.tasks.running() })
}

pub async fn collect(call: Call) -> Answer {
    let wanted: Collect = call.json().await?;
    let older_than = Duration::from_secs(wanted.older_than_seconds.unwrap_or(DAY_SECONDS));
    let files = call.state.warehouse.collect(older_than).await?;
    tracing::info!(files, "collected");
    answers::json(&Collected { files })
}
