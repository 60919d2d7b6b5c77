//! From an error to what goes over the wire: the HTTP status and the document of each protocol.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use feitian_base::{Error, Kind};
use feitian_wire::xml::docs;

use crate::admin::types::ErrorBody;
use crate::operations::Surface;

/// Clients drop an error document that names no host.
const HOST_ID: &str = "feitian";

/// The status of an error: by the protocol's code where clients expect a certain one, else by [`Kind`].
///
/// Clients send a request that failed with 5xx again for minutes, so 5xx is left to faults of ours.
pub fn status(error: &Error) -> StatusCode {
    let by_code = match error.code() {
        "Unauthorized" | "AuthenticationRequestExpired" => Some(StatusCode::UNAUTHORIZED),
        "SignatureNotMatch" | "RequestTimeTooSkewed" | "AuthorizationRequired" | "NoPermission" => {
            Some(StatusCode::FORBIDDEN)
        }
        "RequestEntityTooLarge" => Some(StatusCode::PAYLOAD_TOO_LARGE),
        "RequestTimeout" => Some(StatusCode::REQUEST_TIMEOUT),
        // Tunnel clients look for these with the status of a wrong request.
        "SchemaModified" | "InstanceNotTerminate" | "InstanceTypeNotSupported" | "TableModified" => {
            Some(StatusCode::BAD_REQUEST)
        }
        _ => None,
    };
    by_code.unwrap_or(match error.kind() {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict | Kind::Cancelled => StatusCode::CONFLICT,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
        Kind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Corrupt | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    })
}

/// The answer to a failed request in the protocol of `surface`.
pub fn response(error: &Error, surface: Surface, request_id: &str) -> Response {
    let status = status(error);
    let (content_type, body) = match surface {
        Surface::Rest => {
            ("application/xml; charset=utf-8", docs::error(error.code(), error.message(), request_id, HOST_ID))
        }
        Surface::Tunnel | Surface::Admin => ("application/json", json(error, request_id)),
        Surface::Page => ("text/html; charset=utf-8", crate::page::error_page(status, error, request_id)),
        Surface::Probe => ("text/plain; charset=utf-8", format!("{}: {}\n", error.code(), error.message())),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if surface == Surface::Page {
        crate::page::harden(headers, "");
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json(error: &Error, request_id: &str) -> String {
    let body = ErrorBody {
        code: error.code().to_string(),
        message: error.message().to_string(),
        request_id: request_id.to_string(),
    };
    serde_json::to_string(&body).expect("three texts are always JSON")
}
