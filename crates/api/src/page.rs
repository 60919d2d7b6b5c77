//! What every page for people has, and the page of a refusal.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use feitian_base::Error;

/// Headers of every page: nothing is loaded but what `sources` allow, no frame, no cache, and the address, which may
/// hold a token, goes nowhere.
///
/// `sources` are directives of a Content-Security-Policy that widen `default-src 'none'`, for example
/// `style-src 'nonce-x'`; empty for a page that loads nothing.
pub fn harden(headers: &mut HeaderMap, sources: &str) {
    let between = if sources.is_empty() { "" } else { "; " };
    let forms = if sources.contains("form-action") { "" } else { "; form-action 'none'" };
    let policy = format!("default-src 'none'{between}{sources}; base-uri 'none'{forms}; frame-ancestors 'none'");
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// The page of a refusal.
pub(crate) fn error_page(status: StatusCode, error: &Error, request_id: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{status}</title><h1>{status}</h1>\
         <p>{}: {}</p><p>Request {}</p></html>",
        escape(error.code()),
        escape(error.message()),
        escape(request_id)
    )
}

/// Text for HTML, between tags or inside a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
