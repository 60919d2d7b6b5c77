//! The listener: connections, their bounds, and the orderly stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use feitian_base::Result;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::dispatch::dispatch;
use crate::state::AppState;

/// Time for a client to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Every route of feitian. All of them go through one dispatcher, which reads [`crate::operations`].
pub fn router(state: AppState) -> Router {
    Router::new().fallback(dispatch).with_state(state)
}

/// Accepts connections until `tasks` is told to stop.
///
/// On the stop no connection is accepted any more, waiting status questions are answered at once, idle connections are
/// closed, and requests under way get [`crate::settings::Limits::shutdown`] to finish. Returns when all are done or
/// that time is over. Run it as one of `tasks`.
pub async fn serve(listener: TcpListener, router: Router, state: AppState) -> Result<()> {
    let Tools { builder, graceful, places } = Tools::new(&state);
    let stop = state.tasks.stop_token();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // Out of file descriptors, most likely: let some connections end before the next attempt.
                tracing::warn!(error = %e, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!(%peer, "too many connections, one was closed");
            continue;
        };
        let _ = stream.set_nodelay(true);
        let connection = connect(&builder, &graceful, stream, peer, router.clone());
        let open = state.metrics.connections.clone();
        open.inc();
        state.tasks.spawn("http connection", async move {
            if let Err(e) = connection.await {
                tracing::debug!(%peer, error = %e, "connection ended");
            }
            open.dec();
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(state.settings.limits.shutdown, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running when the time to stop was over");
    }
    Ok(())
}

struct Tools {
    builder: auto::Builder<TokioExecutor>,
    graceful: GracefulShutdown,
    places: Arc<Semaphore>,
}

impl Tools {
    fn new(state: &AppState) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256).max_header_list_size(64 << 10);
        let places = Arc::new(Semaphore::new(state.settings.limits.connections));
        Self { builder, graceful: GracefulShutdown::new(), places }
    }
}

fn connect<S>(
    builder: &auto::Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    stream: S,
    peer: SocketAddr,
    router: Router,
) -> impl Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send + 'static
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(axum::body::Body::new)
    });
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    graceful.watch(connection)
}
