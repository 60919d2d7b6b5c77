//! The bound on uploads and downloads that run at the same time: each one holds a thread.

use feitian_base::{Error, Kind, Result};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::OwnedSemaphorePermit;

use crate::state::AppState;

/// The right to run one upload or download; gone with the value.
pub struct StreamPermit {
    _permit: OwnedSemaphorePermit,
    running: Gauge,
}

impl StreamPermit {
    /// Waits for a free place, at most [`crate::settings::Limits::stream_wait`]; `FlowExceeded` after that.
    pub async fn acquire(state: &AppState) -> Result<Self> {
        let limits = &state.settings.limits;
        let full = || {
            let message = format!("{} uploads and downloads run already; try again later", limits.streams);
            Error::new(Kind::Throttled, "FlowExceeded", message)
        };
        let waiting = state.streams.clone().acquire_owned();
        let permit =
            tokio::time::timeout(limits.stream_wait, waiting).await.map_err(|_| full())?.map_err(|_| full())?;
        let running = state.metrics.streams.clone();
        running.inc();
        Ok(Self { _permit: permit, running })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.running.dec();
    }
}
