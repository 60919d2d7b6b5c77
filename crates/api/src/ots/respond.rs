//! The answer of the table store: the headers that clients check, and their signature.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use feitian_base::clock;
use feitian_wire::ots::sign::{content_md5, date};

use super::auth::Signer;
use crate::answers::set_header;

/// An answer as clients take it. Without a `signer` it is one to a request that did not prove who sent it: clients take
/// such errors as they are.
pub(super) fn respond(
    status: StatusCode,
    body: Vec<u8>,
    operation: &str,
    request_id: &str,
    signer: Option<&Signer>,
) -> Response {
    let (md5, now) = (content_md5(&body), date(clock::now_ms()));
    let headers = [
        ("x-ots-contentmd5", md5.as_str()),
        ("x-ots-contenttype", "protocol buffer"),
        ("x-ots-date", now.as_str()),
        ("x-ots-requestid", request_id),
    ];
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    for (name, value) in headers {
        set_header(&mut response, name, value);
    }
    // A key that is not text has verified no signature.
    if let Some(Ok(authorization)) = signer.map(|signer| signer.sign(operation, &headers)) {
        set_header(&mut response, "authorization", &authorization);
    }
    response
}
