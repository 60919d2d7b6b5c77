//! What a browser gets for a refused request: the way to sign in, a JSON error for a script, or a page.

use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use feitian_base::Error;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::error;
pub use crate::error::status;
use crate::operations::Surface;
use crate::origin::Origin;
use crate::sessions::SIGN_IN_PATH;

/// A refused request, for its page.
pub struct Refusal<'a> {
    pub status: StatusCode,
    pub error: &'a Error,
    pub request_id: &'a str,
    pub headers: &'a HeaderMap,
    pub origin: &'a Origin,
    /// The path that was asked for, without the prefix of a proxy.
    pub path: &'a str,
}

/// Writes the page of a refusal. Its status and its headers are the writer's to set.
pub type RefusalPage = fn(&Refusal<'_>) -> Response;

/// What may not stand in the value of a query parameter.
const IN_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'&').add(b'+').add(b'<').add(b'>').add(b'%');

/// The answer to a refused request for a page.
pub(crate) fn respond(
    e: &Error,
    parts: &Parts,
    origin: &Origin,
    page: Option<RefusalPage>,
    request_id: &str,
) -> Response {
    if wants_json(&parts.headers) {
        return error::response(e, Surface::Admin, request_id);
    }
    let status = error::status(e);
    if let Some(there) = sign_in_first(status, parts, origin) {
        return see_other(&there);
    }
    match page {
        Some(page) => {
            let path = parts.uri.path();
            page(&Refusal { status, error: e, request_id, headers: &parts.headers, origin, path })
        }
        None => error::response(e, Surface::Page, request_id),
    }
}

/// Scripts of our pages ask for JSON and show the words of an error themselves.
fn wants_json(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.starts_with("application/json"))
}

/// Where to sign in, for a page of the console that nobody has signed in for. An address with a token of its own has had
/// its chance.
fn sign_in_first(status: StatusCode, parts: &Parts, origin: &Origin) -> Option<String> {
    let has_token = parts.uri.query().is_some_and(|q| q.split('&').any(|pair| pair.starts_with("token=")));
    if status != StatusCode::UNAUTHORIZED || has_token || !parts.uri.path().starts_with("/console") {
        return None;
    }
    // The page of a form is at the form's own address.
    let wanted = parts.uri.path_and_query().map_or("/console", |p| p.as_str());
    Some(format!("{}{SIGN_IN_PATH}?next={}", origin.prefix, utf8_percent_encode(wanted, IN_QUERY)))
}

/// 303: the browser goes on with a GET of `there`.
pub fn see_other(there: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let there = HeaderValue::from_str(there).unwrap_or(HeaderValue::from_static("/console"));
    response.headers_mut().insert(LOCATION, there);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::Request;
    use feitian_base::Kind;

    use super::*;

    fn answer(target: &str, headers: &[(&str, &str)], code: &'static str) -> Response {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let origin = Origin { scheme: "http".into(), host: "h".into(), prefix: "/x".into() };
        respond(&Error::new(Kind::Denied, code, "m"), &parts, &origin, None, "r")
    }

    #[test]
    fn whoever_has_not_signed_in_is_sent_to_where_one_does_and_back() {
        let went = answer("/console/projects/p/jobs?owner=a%26b&status=Running", &[], "Unauthorized");
        assert_eq!(went.status(), 303);
        let want = "/x/console/login?next=/console/projects/p/jobs?owner=a%2526b%26status=Running";
        assert_eq!(went.headers()[LOCATION], want);
    }

    #[test]
    fn scripts_tokens_other_pages_and_other_errors_get_their_answer() {
        for (target, accept, code, status, kind) in [
            ("/console", "application/json", "Unauthorized", 401, "application/json"),
            ("/console?p=p&token=x", "text/html", "Unauthorized", 401, "text/html; charset=utf-8"),
            ("/logview/?p=p", "text/html", "Unauthorized", 401, "text/html; charset=utf-8"),
            ("/console", "text/html", "NoPermission", 403, "text/html; charset=utf-8"),
        ] {
            let got = answer(target, &[("accept", accept)], code);
            assert_eq!((got.status().as_u16(), got.headers()["content-type"].to_str().unwrap()), (status, kind));
        }
    }
}
