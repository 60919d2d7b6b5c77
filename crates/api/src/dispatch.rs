//! The path of every request: find the operation, prove the identity, check the right, run the handler, answer.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderValue;
use axum::http::header::EXPECT;
use axum::http::request::Parts;
use axum::response::Response;
use feitian_base::{Error, Kind, Result, id};
use feitian_meta::{DEFAULT_SCHEMA, local_name};
use futures::FutureExt;
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use tracing::Instrument;

use crate::auth;
use crate::call::{BodySlot, Call, IN_SCHEMA, Params};
use crate::error;
use crate::metrics::{Route, RouteStatus};
use crate::operations::{Found, Operation, Routes, Surface};
use crate::origin::Origin;
use crate::query::Query;
use crate::refusal;
use crate::rights::{Right, authorize};
use crate::same_origin::check_same_origin;
use crate::state::AppState;
use crate::storage::target;

/// How much of an unread body is taken in before an error is answered, so that the client reads the answer instead of
/// a closed connection.
const DISCARD_BYTES: usize = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// Answers one request. Never fails and never panics.
pub(crate) async fn dispatch(State(state): State<AppState>, request: Request) -> Response {
    let started = Instant::now();
    let request_id = id::request_id();
    let (parts, body) = request.into_parts();
    let target = Target::of(&parts);
    let found = target.as_ref().ok().map(|t| t.find(&state.routes, parts.method.as_str()));
    let (route, surface) = match (&found, &target) {
        (Some(Found::Operation(op, _)), _) => (op.name, op.surface),
        (_, Ok(target)) => ("unknown", target.surface),
        _ => ("unknown", Surface::Rest),
    };
    let span = tracing::info_span!(
        "request",
        id = %request_id,
        route,
        project = tracing::field::Empty,
        instance = tracing::field::Empty,
        account = tracing::field::Empty,
    );
    let slot: BodySlot = Arc::new(parking_lot::Mutex::new(Some(body)));
    let work = async {
        let result = match (found, target) {
            (Some(Found::Operation(op, params)), Ok(target)) => {
                let work = run(&state, &parts, target, op, params, &request_id, slot.clone());
                AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(after_panic(&*panic)))
            }
            (Some(Found::NoSuchAction(why)), _) => Err(Error::unsupported(why)),
            (Some(Found::NoSuchPath), _) => {
                Err(Error::new(Kind::NotFound, "NoSuchObject", "no operation has this path; see docs/compat.md"))
            }
            (_, Err(e)) => Err(e),
            (_, Ok(_)) => Err(Error::internal("a request has a place and has none")),
        };
        let response = match result {
            Ok(response) => response,
            Err(e) => {
                log_failure(&e);
                // A client that asked first whether to send its body does not send it when the answer is no.
                if !parts.headers.contains_key(EXPECT) {
                    discard(&slot).await;
                }
                match surface {
                    Surface::Page => {
                        refusal::respond(&e, &parts, &origin(&state, &parts), state.refusal_page, &request_id)
                    }
                    _ => error::response(&e, surface, &request_id),
                }
            }
        };
        tracing::debug!(status = response.status().as_u16(), ms = started.elapsed().as_millis() as u64, "answered");
        response
    };
    let mut response = work.instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-odps-request-id", value);
    }
    let status = response.status().as_u16();
    state.metrics.requests.get_or_create(&RouteStatus { route, status }).inc();
    state.metrics.seconds.get_or_create(&Route { route }).observe(started.elapsed().as_secs_f64());
    response
}

/// A request's decoded place: which protocol, which path, which query.
struct Target {
    surface: Surface,
    segments: Vec<String>,
    /// The schema of a tunnel path; taken out of the segments.
    schema: Option<String>,
    query: Query,
}

impl Target {
    fn of(parts: &Parts) -> Result<Self> {
        // Names may hold an encoded slash (`registration%2Ffunctions`): decode first, then cut.
        let path = percent_decode_str(parts.uri.path())
            .decode_utf8()
            .map_err(|_| Error::invalid("the path of the request is not UTF-8"))?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments: Vec<String> = path.split('/').map(str::to_string).collect();
        let word = |i: usize| segments.get(i).map(String::as_str).unwrap_or_default();
        let surface = match (word(0), word(1)) {
            ("api", "storage") => Surface::Tunnel,
            ("api", _) => Surface::Rest,
            ("admin", _) => Surface::Admin,
            ("logview" | "console", _) => Surface::Page,
            ("healthz" | "readyz" | "metrics", "") => Surface::Probe,
            _ => Surface::Tunnel,
        };
        if surface == Surface::Rest {
            segments.remove(0);
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        if surface == Surface::Tunnel
            && let Some(named) = target::segments(&segments, &query)?
        {
            segments = named;
        }
        let mut schema = None;
        // Behind `projects/p`, which is behind `api/storage/v1` in the storage API.
        let at = if segments.first().is_some_and(|s| s == "api") { 5 } else { 2 };
        let named = |i: usize, word: &str| segments.get(i).is_some_and(|s| s == word);
        if surface == Surface::Tunnel && named(at, "schemas") && named(at + 2, "tables") {
            schema = segments.drain(at..at + 2).next_back();
        }
        Ok(Self { surface, segments, schema, query })
    }

    fn find(&self, routes: &Routes, method: &str) -> Found {
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        routes.find(self.surface, method, &segments, &self.query)
    }
}

async fn run(
    state: &AppState,
    parts: &Parts,
    target: Target,
    op: &'static Operation,
    mut path: Params,
    request_id: &str,
    body: BodySlot,
) -> Result<Response> {
    for (name, value) in &mut path.0 {
        // Names of these have no case and are stored in lower case.
        if matches!(*name, "project" | "table" | "schema" | "function" | "volume") {
            *value = value.to_lowercase();
        }
    }
    if matches!(op.surface, Surface::Rest | Surface::Tunnel) {
        place_in_schema(&target, &mut path)?;
    }
    if op.surface == Surface::Page && op.right != Right::Public {
        // Clients put the project and the instance of a page into its query.
        let from_query = |key: &str| target.query.get(key).unwrap_or_default().to_string();
        path.0.extend([("project", from_query("p").to_lowercase()), ("instance", from_query("i"))]);
    }
    let span = tracing::Span::current();
    for name in ["project", "instance"] {
        if let Some(value) = path.get(name) {
            span.record(name, value);
        }
    }
    let origin = origin(state, parts);
    if op.surface == Surface::Page && op.method != "GET" {
        check_same_origin(&parts.headers, &origin)?;
    }
    let identity = if op.right == Right::Public {
        crate::identity::Identity::Nobody
    } else {
        auth::authenticate(state, op.surface, &origin, parts, &target.query).await?
    };
    if let Ok(caller) = identity.caller() {
        span.record("account", caller.name.as_str());
    }
    authorize(&state.meta, &identity, op.right, &path).await?;
    let Some(handler) = op.handler else {
        return Err(Error::unsupported(format!("{} is not supported: {}", op.name, op.note)));
    };
    handler(Call {
        state: state.clone(),
        operation: op,
        path,
        query: target.query,
        headers: parts.headers.clone(),
        origin,
        identity,
        request_id: request_id.to_string(),
        arrived: Instant::now(),
        body,
    })
    .await
}

fn origin(state: &AppState, parts: &Parts) -> Origin {
    let peer: Option<IpAddr> = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip());
    Origin::of(&state.settings, &parts.uri, &parts.headers, peer)
}

/// Puts the request into the schema that it names, before rights are asked.
///
/// A schema with the project's name is `default`: clients of projects without schemas write the project there
/// (`odps/sqlalchemy_odps.py` of PyODPS), and no schema may have that name.
fn place_in_schema(target: &Target, path: &mut Params) -> Result<()> {
    if let Some(table) = path.get("table").filter(|t| t.contains('.')) {
        // A local name joins schema and table with a dot; it must not come in from outside.
        let message = format!("Table not found - '{table}': a table's name has no dots");
        return Err(Error::new(Kind::NotFound, "NoSuchTable", message));
    }
    let named = [target.schema.as_deref(), target.query.get("curr_schema"), target.query.get("schema_name")];
    let Some(schema) = named.into_iter().flatten().next().map(str::to_lowercase) else { return Ok(()) };
    if schema == DEFAULT_SCHEMA || path.get("project") == Some(schema.as_str()) {
        return Ok(());
    }
    if !schema.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(Error::new(Kind::NotFound, "NoSuchObject", format!("Schema not found - '{schema}'")));
    }
    for (_, table) in path.0.iter_mut().filter(|(name, _)| *name == "table") {
        *table = local_name(&schema, table);
    }
    path.0.push((IN_SCHEMA, schema));
    Ok(())
}

/// The error of a handler that panicked; its words go to the log.
pub(crate) fn after_panic(panic: &(dyn std::any::Any + Send)) -> Error {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = words.unwrap_or("no message"), "a handler panicked");
    Error::internal("the server failed at this request; its log has the details under the request id")
}

fn log_failure(e: &Error) {
    let status = error::status(e).as_u16();
    if status >= 500 {
        tracing::error!(status, code = e.code(), error = ?e, "request failed");
    } else {
        // The message of a wrong signature repeats the request, which may hold what does not belong into a log.
        let why = if e.code() == "SignatureNotMatch" { "" } else { e.message() };
        // Not named `message`: that field is printed as it is, and a request could write lines of its own into the log.
        tracing::info!(status, code = e.code(), why, "request refused");
    }
}

/// Reads what is left of a body that no handler took.
async fn discard(slot: &BodySlot) {
    let body = slot.lock().take();
    if let Some(body) = body {
        discard_body(body).await;
    }
}

/// Reads and drops a body, within bounds.
pub(crate) async fn discard_body(mut body: Body) {
    let read = async {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            match left.checked_sub(frame.data_ref().map_or(0, |d| d.len())) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIME, read).await;
}
