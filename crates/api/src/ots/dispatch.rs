//! The path of a request to the table store: who sent it, whose instance it names, what it asks, the signed answer.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::EXPECT;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use feitian_base::{Error, Kind, Result, id};
use feitian_wire::ots::errors;
use futures::FutureExt;
use tracing::Instrument;

use super::auth::{self, Who};
use super::call::{OtsAnswer, OtsCall};
use super::respond::respond;
use crate::call::read_body;
use crate::dispatch::{after_panic, discard_body};
use crate::metrics::{Route, RouteStatus};
use crate::operations::OtsOperation;
use crate::operations::ots::find;
use crate::state::AppState;

/// The table store's routes, for a listener of their own.
pub fn ots_router(state: AppState) -> Router {
    Router::new().fallback(dispatch).with_state(state)
}

/// Answers one request. Never fails and never panics.
async fn dispatch(State(state): State<AppState>, request: Request) -> Response {
    let started = Instant::now();
    let request_id = id::request_id();
    let (parts, body) = request.into_parts();
    let name = operation_name(parts.uri.path());
    let found = find(name);
    let route = found.map_or("ots/unknown", |op| op.route);
    let span = tracing::info_span!(
        "request",
        id = %request_id,
        route,
        ots = tracing::field::Empty,
        account = tracing::field::Empty,
    );
    let work = async {
        let mut body = Some(body);
        let (who, answer) = match prove(&state, &parts, name).await {
            Ok(who) => {
                let answer = run(&state, &parts, &who, name, found, &mut body).await;
                (Some(who), answer)
            }
            Err(e) => (None, Err(e)),
        };
        // A client that is still sending would find its connection closed instead of the answer. One that asked first
        // whether to send does not when the answer is no.
        if let Some(body) = body.filter(|_| !parts.headers.contains_key(EXPECT)) {
            discard_body(body).await;
        }
        let signer = who.as_ref().map(|who| &who.signer);
        match answer {
            Ok(body) => respond(StatusCode::OK, body, name, &request_id, signer),
            Err(e) => {
                let status = status(&e);
                log_failure(&e, status);
                respond(status, errors::body(&e), name, &request_id, signer)
            }
        }
    };
    let response = work.instrument(span).await;
    let status = response.status().as_u16();
    state.metrics.requests.get_or_create(&RouteStatus { route, status }).inc();
    state.metrics.seconds.get_or_create(&Route { route }).observe(started.elapsed().as_secs_f64());
    response
}

/// The name at the end of a path. An endpoint may have a path of its own, which clients do not sign; names of the tunnel
/// service have two words.
fn operation_name(path: &str) -> &str {
    let path = path.trim_matches('/');
    let Some((before, last)) = path.rsplit_once('/') else { return path };
    if before == "tunnel" || before.ends_with("/tunnel") {
        return &path[path.len() - last.len() - "tunnel/".len()..];
    }
    last
}

/// Who sent the request; whatever is no POST is refused before anybody is asked for.
async fn prove(state: &AppState, parts: &Parts, name: &str) -> Result<Who> {
    if parts.method != Method::POST {
        return Err(errors::method_not_allowed(parts.method.as_str()));
    }
    auth::authenticate(state, &parts.headers, name).await
}

/// What an authenticated request gets.
async fn run(
    state: &AppState,
    parts: &Parts,
    who: &Who,
    name: &str,
    found: Option<&'static OtsOperation>,
    body: &mut Option<Body>,
) -> OtsAnswer {
    if parts.uri.query().is_some_and(|q| !q.is_empty()) {
        return Err(errors::parameter_invalid("The request has a query string; no operation takes one."));
    }
    let instance = who.instance()?;
    let span = tracing::Span::current();
    span.record("ots", instance.name.as_str());
    span.record("account", who.caller.account.name.as_str());
    let Some(op) = found else {
        return Err(errors::unsupported_operation(name));
    };
    let Some(handler) = op.handler else {
        return Err(errors::parameter_invalid(format!("Unsupported operation: '{name}': {}.", op.note)));
    };
    let most = state.settings.limits.ots_body_bytes;
    // It stays where it is, to be discarded before the answer.
    if body.as_ref().is_some_and(|body| body.size_hint().lower() > most as u64) {
        return Err(errors::body_too_large());
    }
    let bytes = read_body(body.take().unwrap_or_default(), most).await;
    let bytes = bytes.map_err(body_error)?;
    who.check_body(&bytes)?;
    let call = OtsCall {
        tables: state.ots.tables()?,
        instance: instance.id.clone(),
        instance_name: instance.name.clone(),
        ots: state.ots.clone(),
        meta: state.meta.clone(),
        body: bytes,
    };
    if op.may_stop {
        let work = AssertUnwindSafe(handler(call)).catch_unwind();
        return work.await.unwrap_or_else(|panic| Err(after_panic(&*panic)));
    }
    // On a task of its own: a client that goes away must not stop a change between two of its steps.
    let work = state.tasks.spawn("ots-request", handler(call).instrument(span));
    work.await.unwrap_or_else(|e| Err(ended(e)))
}

/// What is wrong with a body before it is a message.
fn body_error(e: Error) -> Error {
    match e.code() {
        "RequestEntityTooLarge" => errors::body_too_large(),
        "RequestTimeout" => Error::new(Kind::Invalid, "OTSRequestTimeout", e.message()),
        _ => e,
    }
}

fn ended(e: tokio::task::JoinError) -> Error {
    match e.try_into_panic() {
        Ok(panic) => after_panic(&*panic),
        Err(_) => Error::internal("the task of a request was stopped"),
    }
}

fn status(e: &Error) -> StatusCode {
    StatusCode::from_u16(errors::status(errors::code(e))).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn log_failure(e: &Error, status: StatusCode) {
    let (status, code, why) = (status.as_u16(), errors::code(e), e.message());
    if errors::is_fault(code) {
        tracing::error!(status, code, error = ?e, "request failed");
    } else if code == "OTSAuthFailed" {
        tracing::info!(status, code, why, "request refused");
    } else {
        // Conditions that do not hold, rows that others write, and a store that is not here are everyday answers.
        tracing::debug!(status, code, why, "request refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The Python client posts to the path of its endpoint and `/` and the name (`tablestore/connection.py`).
    #[test]
    fn the_operation_is_the_end_of_the_path() {
        for (path, want) in [
            ("/GetRow", "GetRow"),
            ("/abc/GetRow", "GetRow"),
            ("/a/b/GetRow", "GetRow"),
            ("/tunnel/create", "tunnel/create"),
            ("/abc/tunnel/create", "tunnel/create"),
            ("/mytunnel/create", "create"),
            ("/", ""),
            ("", ""),
            ("*", "*"),
        ] {
            assert_eq!(operation_name(path), want, "{path}");
        }
    }
}
