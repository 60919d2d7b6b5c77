//! What every request handler may use, built once by the binary.

use std::sync::Arc;

use feitian_base::{Result, Tasks};
use feitian_meta::Meta;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::secrets::Secrets;
use crate::settings::Settings;
use crate::tokens::Tokens;
use crate::warehouse::Warehouse;

/// The parts behind the network edge. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct AppState {
    pub warehouse: Arc<dyn Warehouse>,
    pub meta: Meta,
    pub secrets: Secrets,
    pub settings: Arc<Settings>,
    pub tasks: Tasks,
    pub metrics: Metrics,
    pub(crate) tokens: Tokens,
    /// One permit for each upload or download that runs.
    pub(crate) streams: Arc<Semaphore>,
}

impl AppState {
    /// Joins the parts. Reads the key that signs bearer tokens from `meta`, or makes one when there is none yet.
    pub async fn open(
        warehouse: Arc<dyn Warehouse>,
        meta: Meta,
        secrets: Secrets,
        settings: Settings,
        tasks: Tasks,
    ) -> Result<Self> {
        let tokens = Tokens::open(&meta, &secrets).await?;
        let streams = Arc::new(Semaphore::new(settings.limits.streams));
        let metrics = Metrics::default();
        Ok(Self { warehouse, meta, secrets, settings: Arc::new(settings), tasks, metrics, tokens, streams })
    }
}
