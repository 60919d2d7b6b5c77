//! The page of one job at the address that clients print: `/logview/?h=..&p=<project>&i=<instance>&token=<bearer token>`.

use std::fmt::Write;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use feitian_base::{Error, Kind, clock, id};
use feitian_meta::rows::{Instance, InstanceState};

use crate::answers::{self, plain_time};
use crate::call::{Answer, Call};
use crate::warehouse::Stage;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1d2733}\
h1{font-size:1.2rem}h2{font-size:1rem;margin-top:1.6rem}pre{background:#f4f6f8;padding:.8rem;overflow:auto}\
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}\
.error{background:#fdecea}.state{font-weight:600}";

/// Seconds between two looks at a job that still runs.
const REFRESH_SECONDS: u32 = 3;

/// Shows one job. The right to read it has been checked with the token of the address.
pub async fn page(call: Call) -> Answer {
    if !call.state.settings.logview {
        return Err(Error::new(Kind::NotFound, "NoSuchObject", "job pages are switched off on this server"));
    }
    let warehouse = &call.state.warehouse;
    let instance = warehouse.instance(call.project(), call.instance()).await?;
    let stages = match instance.state {
        InstanceState::Waiting => Vec::new(),
        _ => warehouse.progress(&instance).await.unwrap_or_default(),
    };
    let place = warehouse.queue_place(&instance).await?;
    let nonce = id::random_text(24);
    let mut response = answers::text(document(&instance, &stages, place, &nonce))?;
    harden(response.headers_mut(), &nonce);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(response)
}

/// Headers of every page: no script, no frame, no cache, and the address with its token goes nowhere.
pub fn harden(headers: &mut HeaderMap, nonce: &str) {
    let style = if nonce.is_empty() { String::new() } else { format!("; style-src 'nonce-{nonce}'") };
    let policy = format!("default-src 'none'{style}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// The page of a refusal.
pub fn error_page(status: StatusCode, error: &Error, request_id: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{status}</title><h1>{status}</h1>\
         <p>{}: {}</p><p>Request {}</p></html>",
        escape(error.code()),
        escape(error.message()),
        escape(request_id)
    )
}

fn document(instance: &Instance, stages: &[Stage], place: Option<usize>, nonce: &str) -> String {
    let mut page = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    if !instance.state.is_terminal() {
        let _ = write!(page, "<meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">");
    }
    let id = escape(&instance.id);
    let _ = write!(page, "<title>{id}</title><style nonce=\"{nonce}\">{STYLE}</style></head><body><h1>Job {id}</h1>");
    facts(&mut page, instance, place);
    if let Some(error) = &instance.error {
        let _ = write!(page, "<h2>Error</h2><pre class=\"error\">FAILED: {}</pre>", escape(error));
    }
    let _ = write!(page, "<h2>SQL</h2><pre>{}</pre>", escape(&instance.query));
    settings(&mut page, &instance.settings);
    stage_table(&mut page, stages);
    page.push_str("</body></html>");
    page
}

fn facts(page: &mut String, instance: &Instance, place: Option<usize>) {
    let time = |ms: Option<i64>| ms.map_or_else(|| "-".to_string(), |ms| format!("{} UTC", plain_time(ms)));
    let seconds = |from: i64, to: i64| format!("{:.1} s", (to - from).max(0) as f64 / 1000.0);
    let end = instance.ended_ms.unwrap_or_else(clock::now_ms);
    let mut rows = vec![
        ("Status", instance.state.as_str().to_string()),
        ("Project", instance.project.clone()),
        ("Owner", instance.owner.clone()),
        ("Task", format!("{} ({})", instance.task_name, instance.task_type)),
        ("Priority", instance.priority.to_string()),
        ("Submitted", time(Some(instance.submitted_ms))),
        ("Started", time(instance.started_ms)),
        ("Ended", time(instance.ended_ms)),
        ("Waited", seconds(instance.submitted_ms, instance.started_ms.unwrap_or(end))),
    ];
    if let Some(started) = instance.started_ms {
        rows.push(("Ran", seconds(started, end)));
    }
    if let Some(place) = place {
        rows.push(("Place in the queue", place.to_string()));
    }
    if instance.is_select {
        rows.push(("Result rows", instance.result_rows.to_string()));
    }
    page.push_str("<table>");
    for (name, value) in rows {
        let _ = write!(page, "<tr><th>{name}</th><td>{}</td></tr>", escape(&value));
    }
    page.push_str("</table>");
}

fn settings(page: &mut String, text: &str) {
    let settings: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    if settings.is_empty() {
        return;
    }
    page.push_str("<h2>Settings</h2><table>");
    for (key, value) in settings {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        let _ = write!(page, "<tr><th>{}</th><td>{}</td></tr>", escape(&key), escape(&value));
    }
    page.push_str("</table>");
}

fn stage_table(page: &mut String, stages: &[Stage]) {
    if stages.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Stages</h2><table><tr><th>Stage</th><th>Done</th><th>Workers</th><th>Rows in</th><th>Rows out</th></tr>",
    );
    for s in stages {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{} %</td><td>{} running, {} done of {}</td><td>{}</td><td>{}</td></tr>",
            escape(&s.id),
            s.percent,
            s.workers_running,
            s.workers_done,
            s.workers_total,
            s.rows_in,
            s.rows_out
        );
    }
    page.push_str("</table>");
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
