//! Every metric of the network edge, by name.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The operation's name and the answer's status: both closed lists.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteStatus {
    pub route: &'static str,
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Route {
    pub route: &'static str,
}

/// Counters of the network edge. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics {
    /// `feitian_http_requests_total{route,status}`
    pub requests: Family<RouteStatus, Counter>,
    /// `feitian_http_request_seconds{route}`: until the answer's head is ready.
    pub seconds: Family<Route, Histogram>,
    /// `feitian_http_connections`
    pub connections: Gauge,
    /// `feitian_tunnel_streams`: uploads and downloads that run now.
    pub streams: Gauge,
    /// `feitian_tunnel_upload_bytes_total`, as they come over the wire.
    pub upload_bytes: Counter,
    /// `feitian_tunnel_download_bytes_total`, as they go over the wire.
    pub download_bytes: Counter,
    /// `feitian_instances_running`, brought up to date by every scrape.
    pub instances_running: Gauge,
    /// `feitian_instances_waiting`, brought up to date by every scrape.
    pub instances_waiting: Gauge,
    /// `feitian_uptime_seconds`
    pub uptime_seconds: Gauge<f64, AtomicU64>,
    registry: Arc<Registry>,
}

fn seconds_histogram() -> Histogram {
    // 1 ms to 65 s: from a metadata read to a long upload.
    Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(0.001, 2.0, 17))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("feitian");
        let requests = Family::<RouteStatus, Counter>::default();
        let seconds = Family::<Route, Histogram>::new_with_constructor(seconds_histogram as fn() -> Histogram);
        let (connections, streams) = (Gauge::default(), Gauge::default());
        let (upload_bytes, download_bytes) = (Counter::default(), Counter::default());
        let (instances_running, instances_waiting) = (Gauge::default(), Gauge::default());
        let uptime_seconds = Gauge::<f64, AtomicU64>::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_seconds", "Time until the head of the answer", seconds.clone());
        registry.register("http_connections", "Open connections", connections.clone());
        registry.register("tunnel_streams", "Uploads and downloads that run now", streams.clone());
        registry.register("tunnel_upload_bytes", "Bytes received by the tunnel", upload_bytes.clone());
        registry.register("tunnel_download_bytes", "Bytes sent by the tunnel", download_bytes.clone());
        registry.register("instances_running", "Jobs that run now", instances_running.clone());
        registry.register("instances_waiting", "Jobs in the queue", instances_waiting.clone());
        registry.register("uptime_seconds", "Time since the server started", uptime_seconds.clone());
        Self {
            requests,
            seconds,
            connections,
            streams,
            upload_bytes,
            download_bytes,
            instances_running,
            instances_waiting,
            uptime_seconds,
            registry: Arc::new(registry),
        }
    }
}

impl Metrics {
    /// All metrics in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut out = String::new();
        prometheus_client::encoding::text::encode(&mut out, &self.registry).expect("writing to a String does not fail");
        out
    }
}
