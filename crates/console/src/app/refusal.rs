//! The page of a refused request: what happened, in the reader's language, and the way on.

use askama::Template;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LANGUAGE, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use feitian_api::page::harden;
use feitian_api::refusal::Refusal;
use feitian_base::codes;

use super::shell::Shell;
use crate::lang::Lang;
use crate::show::{self, fill};

#[derive(Template)]
#[template(path = "app/refusal.html")]
struct RefusalPage<'a> {
    shell: &'a Shell,
    heading: &'static str,
    code: String,
    message: String,
    /// The address of the code's page; empty when it has none.
    means: String,
    request: String,
    /// The console has more to show.
    is_console: bool,
}

/// Answers a refused request for a page. Nothing is known of who asked.
pub fn refusal_page(refusal: &Refusal<'_>) -> Response {
    let lang = Lang::of_headers(refusal.headers);
    let mut shell = Shell::plain(lang, refusal.origin, "");
    let heading = heading(&shell, refusal.status);
    shell.title = heading.to_string();
    let e = refusal.error;
    let known = codes::all().iter().any(|page| page.code == e.code());
    let page = RefusalPage {
        heading,
        code: show::short(e.code(), 100),
        message: show::short(e.message(), 4000),
        means: if known { shell.code(e.code()) } else { String::new() },
        request: fill(shell.w.request_id, &[("id", refusal.request_id)]),
        is_console: refusal.path.starts_with("/console"),
        shell: &shell,
    };
    let html = page.render().unwrap_or_else(|_| heading.to_string());
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    let nonce = &shell.nonce;
    harden(headers, &format!("script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(shell.l.html_lang));
    response
}

fn heading(shell: &Shell, status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => shell.w.refused_401,
        403 => shell.w.refused_403,
        404 => shell.w.refused_404,
        429 => shell.w.refused_429,
        400..=499 => shell.w.refused_4xx,
        _ => shell.w.refused_5xx,
    }
}
