//! The page of one job at the address that clients print, its profile as JSON, and the pages of error codes.
//!
//! `/logview/?h=..&p=<project>&i=<instance>&token=<bearer token>`: the right to read the job has been checked with the
//! token when a handler runs. The token is in no log and in no header of ours; links to the same job carry it.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LANGUAGE, CONTENT_TYPE, VARY};
use axum::response::Response;
use feitian_api::{Answer, Call, admin, page};
use feitian_base::{Error, Kind, Result, codes, id};
use feitian_meta::rows::Instance;
use serde_json::{Value, json};

use crate::job::{self, Around, Job};
use crate::lang::Lang;
use crate::links::Links;
use crate::view::Frame;

/// Whom the request is answered for. Refused when job pages are switched off.
pub(crate) fn frame(call: &Call) -> Result<Frame> {
    if !call.state.settings.logview {
        return Err(Error::new(Kind::NotFound, "NoSuchObject", "job pages are switched off on this server"));
    }
    let lang = Lang::of(call)?;
    Ok(Frame { w: lang.words(), lang, links: Links::of(call, lang) })
}

/// The job that the address names.
pub(crate) async fn instance(call: &Call) -> Result<Instance> {
    admin::instance_of(call, call.instance()).await
}

/// `/logview/`: the page of a job.
pub(crate) async fn show(call: Call) -> Answer {
    let frame = frame(&call)?;
    let instance = instance(&call).await?;
    let zone = job::zone(&call, &instance).await?;
    let job = Job::look(&call, instance, zone).await?;
    let around = Around::look(&call, &job).await?;
    html(&frame, |nonce| frame.page(&job, &around, nonce))
}

/// `/logview/profile`: everything that is known about the run, as a file.
pub(crate) async fn profile(call: Call) -> Answer {
    frame(&call)?;
    let instance = instance(&call).await?;
    let profile = admin::profile_of(&call, &instance).await?;
    let settings: Value = serde_json::from_str(&instance.settings).unwrap_or_default();
    let document = json!({
        "instance": instance.id,
        "project": instance.project,
        "owner": instance.owner,
        "task_name": instance.task_name,
        "task_type": instance.task_type,
        "priority": instance.priority,
        "state": instance.state.as_str(),
        "error": instance.error,
        "submitted_ms": instance.submitted_ms,
        "started_ms": instance.started_ms,
        "ended_ms": instance.ended_ms,
        "result_rows": instance.result_rows,
        "query": instance.query,
        "settings": settings,
        "profile": profile,
    });
    let mut response = Response::new(Body::from(format!("{document:#}\n")));
    let headers = response.headers_mut();
    page::harden(headers, "");
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // An id has letters and digits only; another one would make no header.
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{}.json\"", instance.id)) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// `/logview/errors/{code}`: what a code means, for everybody.
pub(crate) async fn code(call: Call) -> Answer {
    let frame = frame(&call)?;
    let wanted = call.segment("code");
    let Some(page) = codes::all().iter().find(|page| page.code.eq_ignore_ascii_case(wanted)) else {
        let message = format!("there is no page about the error code '{wanted}'; /logview/errors lists all of them");
        return Err(Error::new(Kind::NotFound, "NoSuchObject", message));
    };
    html(&frame, |nonce| frame.code(page, nonce))
}

/// `/logview/errors`: all codes.
pub(crate) async fn all_codes(call: Call) -> Answer {
    let frame = frame(&call)?;
    html(&frame, |nonce| frame.codes(codes::all(), nonce))
}

/// A page with its headers: only our own stylesheet, script and icon are loaded, and only our own events.
fn html(frame: &Frame, make: impl FnOnce(&str) -> Result<String>) -> Answer {
    let nonce = id::random_text(24);
    let mut response = Response::new(Body::from(make(&nonce)?));
    let headers = response.headers_mut();
    let sources = format!("script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; connect-src 'self'");
    page::harden(headers, &sources);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(frame.w.html_lang));
    headers.insert(VARY, HeaderValue::from_static("accept-language"));
    Ok(response)
}
