//! What stands around every page of the console: language, navigation, headers, and how the page's work is done by hand.

use askama::Template;
use axum::body::Body;
use axum::http::header::{CONTENT_LANGUAGE, CONTENT_TYPE, REFERRER_POLICY, SET_COOKIE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use feitian_api::{Answer, Call, Origin, page};
use feitian_base::{Error, Result, id};
use url::form_urlencoded::Serializer;

use super::words::{Words, words};
use crate::assets::ASSETS;
use crate::hints::segment;
use crate::lang::{COOKIE, Lang};
use crate::show;

/// A choice of language is remembered for a year.
const REMEMBERED: &str = "Path=/; Max-Age=31536000; SameSite=Lax";

/// A link in the navigation.
pub(super) struct Tab {
    pub address: String,
    pub text: &'static str,
    pub current: bool,
}

/// Which page of a project this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Tables,
    Sql,
    Jobs,
    Load,
    Members,
}

/// The frame of one page.
pub(super) struct Shell {
    pub w: &'static Words,
    /// The words of the Logview, for what it says too.
    pub l: &'static crate::words::Words,
    pub lang: Lang,
    pub title: String,
    /// Name of the account that has signed in; empty when nobody has.
    pub account: String,
    /// Empty outside a project.
    pub project: String,
    pub section: Option<Section>,
    /// Command lines or calls that do the same.
    pub hints: Vec<String>,
    pub nonce: String,
    /// Seconds after which a browser without scripts looks again; 0 for never.
    pub refresh: u32,
    /// Path before ours, put there by a proxy.
    prefix: String,
    /// The address of this page in the other language.
    pub other_address: String,
    /// The language was chosen with this request.
    chosen: bool,
}

impl Shell {
    /// The frame for the answer to `call`.
    pub(super) fn of(call: &Call, title: impl Into<String>) -> Result<Self> {
        let lang = Lang::of(call)?;
        let mut shell = Self::plain(lang, &call.origin, title);
        shell.account = call.caller().map_or(String::new(), |caller| caller.name.clone());
        shell.chosen = call.query.get("lang").is_some();
        let mut query = Serializer::new(String::new());
        for (key, value) in call.query.pairs().filter(|(key, _)| *key != "lang") {
            query.append_pair(key, value);
        }
        query.append_pair("lang", lang.other().tag());
        // The path as it came in; it has been decoded only to find the page.
        shell.other_address = format!("?{}", query.finish());
        Ok(shell)
    }

    /// The same for a page of the call's project.
    pub(super) fn of_project(call: &Call, section: Section, title: &str) -> Result<Self> {
        let mut shell = Self::of(call, format!("{title} · {}", call.project()))?;
        shell.project = call.project().to_string();
        shell.section = Some(section);
        Ok(shell)
    }

    /// A frame for somebody who is not known.
    pub(super) fn plain(lang: Lang, origin: &Origin, title: impl Into<String>) -> Self {
        Self {
            w: words(lang),
            l: lang.words(),
            lang,
            title: title.into(),
            account: String::new(),
            project: String::new(),
            section: None,
            hints: Vec::new(),
            nonce: id::random_text(24),
            refresh: 0,
            prefix: origin.prefix.clone(),
            other_address: format!("?lang={}", lang.other().tag()),
            chosen: false,
        }
    }

    /// The address of a page of the console; `path` begins with a slash or is empty.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}/console{path}", self.prefix)
    }

    /// The address of a page of the project.
    pub(super) fn within(&self, path: &str) -> String {
        self.at(&format!("/projects/{}{path}", segment(&self.project)))
    }

    /// The address of a table's page.
    pub(super) fn table(&self, local_name: &str) -> String {
        self.within(&format!("/tables/{}", segment(local_name)))
    }

    /// The address of a job's page.
    pub(super) fn job(&self, id: &str) -> String {
        self.within(&format!("/jobs/{}", segment(id)))
    }

    /// The address of a job's Logview, for whoever has signed in.
    pub(super) fn logview(&self, id: &str) -> String {
        format!("{}/logview/?p={}&i={}", self.prefix, segment(&self.project), segment(id))
    }

    /// The page of an error code.
    pub(super) fn code(&self, code: &str) -> String {
        format!("{}/logview/errors/{}", self.prefix, segment(code))
    }

    /// The text of a link to the page of an error code.
    pub(super) fn means(&self, code: &str) -> String {
        show::fill(self.w.what_it_means, &[("code", code)])
    }

    fn asset(&self, name: &str) -> String {
        format!("{}/console/assets/{name}", self.prefix)
    }

    pub(super) fn icon(&self) -> String {
        self.asset(&ASSETS.icon.name)
    }

    pub(super) fn styles(&self) -> [String; 2] {
        [self.asset(&ASSETS.style.name), self.asset(&ASSETS.app_style.name)]
    }

    pub(super) fn scripts(&self) -> Vec<String> {
        let paint = (self.section == Some(Section::Sql)).then_some(&ASSETS.paint_script);
        paint.into_iter().chain([&ASSETS.app_script]).map(|script| self.asset(&script.name)).collect()
    }

    /// On whose clock the times of the page are.
    pub(super) fn clock(&self, zone: &str) -> String {
        show::fill(self.w.clock, &[("zone", zone)])
    }

    pub(super) fn sections(&self) -> String {
        show::fill(self.w.sections, &[("project", &self.project)])
    }

    /// The pages of the project.
    pub(super) fn tabs(&self) -> Vec<Tab> {
        let tab = |section, text, path: &str| Tab {
            address: self.within(path),
            text,
            current: self.section == Some(section),
        };
        vec![
            tab(Section::Tables, self.w.overview, ""),
            tab(Section::Sql, self.w.workbench, "/sql"),
            tab(Section::Jobs, self.w.jobs, "/jobs"),
            tab(Section::Load, self.w.load, "/upload"),
            tab(Section::Members, self.w.members, "/members"),
        ]
    }

    /// 200 with the page.
    pub(super) fn answer(&self, page: &impl Template) -> Answer {
        self.answer_with(StatusCode::OK, page)
    }

    /// `status` with the page: only our own files are loaded, and forms go only to us.
    pub(super) fn answer_with(&self, status: StatusCode, page: &impl Template) -> Answer {
        let html = page.render().map_err(|e| Error::internal("a page could not be made").with_source(e))?;
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = status;
        self.headers(response.headers_mut());
        Ok(response)
    }

    fn headers(&self, headers: &mut HeaderMap) {
        let nonce = &self.nonce;
        let sources = format!(
            "script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; connect-src 'self'; form-action 'self'"
        );
        page::harden(headers, &sources);
        // Addresses of the console hold no token. Under `no-referrer` browsers would hide the origin of our own forms,
        // by which we tell them from those of other sites (Fetch standard, "append a request Origin header").
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(self.l.html_lang));
        headers.insert(VARY, HeaderValue::from_static("accept-language, cookie"));
        if self.chosen
            && let Ok(cookie) = HeaderValue::from_str(&format!("{COOKIE}={}; {REMEMBERED}", self.lang.tag()))
        {
            headers.append(SET_COOKIE, cookie);
        }
    }
}

/// An answer in JSON for a script of our pages, with the headers of a page.
pub(super) fn hardened(mut response: Response) -> Response {
    page::harden(response.headers_mut(), "");
    response
}

/// Whether a script asks, which shows the answer itself.
pub(super) fn wants_json(call: &Call) -> bool {
    call.header("accept").is_some_and(|accept| accept.starts_with("application/json"))
}
