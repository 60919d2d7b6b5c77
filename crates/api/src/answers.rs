//! Bodies of successful answers.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use feitian_base::{Error, Result};
use serde::Serialize;

use crate::call::Answer;

/// 200 with an XML document.
pub fn xml(document: impl Into<String>) -> Answer {
    Ok(with_type(document.into(), "application/xml; charset=utf-8"))
}

/// 200 with a JSON document.
pub fn json<T: Serialize>(value: &T) -> Answer {
    json_with(StatusCode::OK, value)
}

/// `status` with a JSON document.
pub fn json_with<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let text = serde_json::to_string(value).map_err(|e| Error::internal("an answer is not JSON").with_source(e))?;
    let mut response = with_type(text, "application/json");
    *response.status_mut() = status;
    Ok(response)
}

/// 200 with a JSON document that is text already.
pub fn json_text(text: String) -> Answer {
    Ok(with_type(text, "application/json"))
}

/// 200 with plain text.
pub fn text(text: impl Into<String>) -> Answer {
    Ok(with_type(text.into(), "text/plain; charset=utf-8"))
}

/// `status` with no body.
pub fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    Ok(response)
}

fn with_type(body: String, content_type: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds a header whose value was made from stored text. Characters that a header cannot carry become `?`.
pub fn set_header(response: &mut Response, name: &'static str, value: &str) {
    let clean: String = value.chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' }).collect();
    if let Ok(value) = HeaderValue::from_str(&clean) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

fn utc(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// `2024-01-01T00:00:00.000Z`
pub fn iso(ms: i64) -> String {
    utc(ms).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `2024-01-01 00:00:00`, UTC.
pub fn plain_time(ms: i64) -> String {
    utc(ms).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Reads `Mon, 01 Jan 2024 00:00:00 GMT` as milliseconds since 1970-01-01 UTC.
pub fn parse_rfc822(text: &str) -> Result<i64> {
    chrono::NaiveDateTime::parse_from_str(text.trim(), "%a, %d %b %Y %H:%M:%S GMT")
        .map(|t| t.and_utc().timestamp_millis())
        .or_else(|_| DateTime::parse_from_rfc2822(text.trim()).map(|t| t.timestamp_millis()))
        .map_err(|_| Error::invalid(format!("'{text}' is no date of the form Mon, 01 Jan 2024 00:00:00 GMT")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // 2024-01-01 00:00 UTC is 19,723 days after 1970-01-01.
    #[test]
    fn times_have_the_forms_of_the_protocol() {
        let ms = 19_723 * 86_400_000;
        assert_eq!(plain_time(ms), "2024-01-01 00:00:00");
        assert_eq!(iso(ms), "2024-01-01T00:00:00.000Z");
        assert_eq!(parse_rfc822("Mon, 01 Jan 2024 00:00:00 GMT").unwrap(), ms);
        assert_eq!(parse_rfc822("Mon, 01 Jan 2024 08:00:00 +0800").unwrap(), ms);
        assert!(parse_rfc822("2024-01-01").is_err());
    }
}
