//! What every request handler may use, built once by the binary.

use std::sync::Arc;

use feitian_base::{Result, Tasks};
use feitian_meta::Meta;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::operations::{Groups, Routes};
use crate::ots::Ots;
use crate::refusal::RefusalPage;
use crate::secrets::Secrets;
use crate::sessions::Sessions;
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
    /// Who has signed in with a browser.
    pub(crate) sessions: Sessions,
    pub(crate) routes: Arc<Routes>,
    pub(crate) refusal_page: Option<RefusalPage>,
    /// One permit for each upload or download that runs.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) ots: Ots,
}

impl AppState {
    /// Joins the parts. Reads the keys that sign bearer tokens and sessions from `meta`, or makes them when there are none
    /// yet.
    pub async fn open(
        warehouse: Arc<dyn Warehouse>,
        meta: Meta,
        secrets: Secrets,
        settings: Settings,
        tasks: Tasks,
    ) -> Result<Self> {
        let tokens = Tokens::open(&meta, &secrets).await?;
        let sessions = Sessions::open(&meta, &secrets).await?;
        let streams = Arc::new(Semaphore::new(settings.limits.streams));
        let (settings, metrics, routes) = (Arc::new(settings), Metrics::default(), Arc::new(Routes::new(&[])));
        Ok(Self {
            warehouse,
            meta,
            secrets,
            settings,
            tasks,
            metrics,
            tokens,
            sessions,
            routes,
            refusal_page: None,
            streams,
            ots: Ots::default(),
        })
    }

    /// The same server with further operations: the pages that stand above this crate.
    #[must_use]
    pub fn with_pages(mut self, pages: Groups) -> Self {
        self.routes = Arc::new(Routes::new(pages));
        self
    }

    /// The same server with a table store; without one, its requests are answered as if it were open elsewhere.
    #[must_use]
    pub fn with_ots(mut self, ots: Ots) -> Self {
        self.ots = ots;
        self
    }

    /// The same server, which answers a refused request for a page with `page`.
    #[must_use]
    pub fn with_refusal_page(mut self, page: RefusalPage) -> Self {
        self.refusal_page = Some(page);
        self
    }
}
