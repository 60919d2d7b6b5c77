//! The pages as HTML: templates filled with words of one language. Parts can be made alone, to be sent again while a
//! job runs.

mod now;
mod rest;
mod stages;

use askama::Template;
use feitian_base::codes::{Explanation, Page as CodePage};
use feitian_base::{Error, Result};

use crate::assets::ASSETS;
use crate::job::{Around, Job};
use crate::lang::Lang;
use crate::links::Links;
use crate::words::Words;
use crate::{failure, markdown};

/// For whom a page is made: language and addresses.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) w: &'static Words,
    pub(crate) lang: Lang,
    pub(crate) links: Links,
}

/// A part of a job's page that changes while the job runs: the `id` of its element and its HTML.
pub(crate) type Part = (&'static str, String);

#[derive(Template)]
#[template(path = "page.html")]
struct PageTemplate<'a> {
    w: &'a Words,
    title: String,
    nonce: &'a str,
    icon: String,
    style: String,
    script: String,
    /// Address of the events of a job that has not ended; empty when there is nothing to wait for.
    events: String,
    other_address: String,
    other_lang: &'static str,
    codes: String,
    console: String,
    main_html: String,
}

#[derive(Template)]
#[template(path = "main.html")]
struct MainTemplate<'a> {
    w: &'a Words,
    id: String,
    state_html: String,
    facts_html: String,
    rest_html: String,
}

#[derive(Template)]
#[template(path = "rest.html")]
struct RestTemplate<'a> {
    w: &'a Words,
    failure: Option<FailureView>,
    sql_heading: &'static str,
    sql_cut: String,
    lines: Vec<crate::sql::Line>,
    stages_html: String,
    result: Option<rest::ResultView>,
    comparison: String,
    measures: Vec<crate::compare::Measure>,
    settings: Vec<rest::Setting>,
    commands: String,
    profile: String,
}

/// The error of a job, ready to be shown. Texts are empty when there is nothing to say.
struct FailureView {
    text: String,
    place: String,
    /// The place is in the part of the SQL that is shown.
    is_shown: bool,
    code: &'static str,
    title: &'static str,
    words_html: String,
    more: String,
    address: String,
}

#[derive(Template)]
#[template(path = "code.html")]
struct CodeTemplate<'a> {
    w: &'a Words,
    code: &'static str,
    title: &'static str,
    text_html: String,
    /// What makes the command speak the language of the page.
    in_language: &'static str,
}

#[derive(Template)]
#[template(path = "codes.html")]
struct CodesTemplate<'a> {
    w: &'a Words,
    entries: Vec<Entry>,
    in_language: &'static str,
}

struct Entry {
    code: &'static str,
    title: &'static str,
    address: String,
}

impl Frame {
    /// The parts of a job's page that change while it runs.
    pub(crate) fn live(&self, job: &Job) -> Result<[Part; 3]> {
        Ok([
            ("state", now::state(self, job)?),
            ("facts", now::facts(self, job)?),
            ("stages", stages::stages(self, job)?),
        ])
    }

    /// The parts of the page of a job that has ended: together they are all of it.
    pub(crate) fn last(&self, job: &Job, around: &Around) -> Result<[Part; 3]> {
        Ok([("state", now::state(self, job)?), ("facts", now::facts(self, job)?), ("rest", self.rest(job, around)?)])
    }

    /// What stands below the facts.
    fn rest(&self, job: &Job, around: &Around) -> Result<String> {
        let instance = &job.instance;
        let (listing, failure) = rest::listing_and_failure(self, instance);
        let (comparison, measures) = rest::comparison(self, job, around.earlier.as_ref());
        let is_sql = rest::is_sql(instance);
        rendered(&RestTemplate {
            w: self.w,
            failure,
            sql_heading: if is_sql { self.w.sql } else { self.w.table_of_task },
            sql_cut: listing
                .cut
                .map_or(String::new(), |n| crate::show::fill(self.w.sql_cut, &[("n", &crate::show::count(n as u64))])),
            lines: listing.lines,
            stages_html: stages::stages(self, job)?,
            result: rest::result(self.w, &around.output),
            comparison,
            measures,
            settings: rest::settings(&instance.settings),
            commands: rest::commands(instance),
            profile: self.links.job("profile"),
        })
    }

    /// The whole page of a job.
    pub(crate) fn page(&self, job: &Job, around: &Around, nonce: &str) -> Result<String> {
        let events = if job.is_over() { String::new() } else { self.links.job("events") };
        let other = self.links.job_in("", Some(self.lang.other()));
        let main = rendered(&MainTemplate {
            w: self.w,
            id: crate::show::seen(&job.instance.id).into_owned(),
            state_html: now::state(self, job)?,
            facts_html: now::facts(self, job)?,
            rest_html: self.rest(job, around)?,
        })?;
        self.framed(now::title(self, job), main, events, other, nonce)
    }

    /// The page that explains a code.
    pub(crate) fn code(&self, page: &'static CodePage, nonce: &str) -> Result<String> {
        let (code, Explanation { title, text }) = (page.code, self.lang.explanation(page));
        let text_html = markdown::html(text, &self.links.any_code());
        let in_language = self.in_language();
        let main = rendered(&CodeTemplate { w: self.w, code, title, text_html, in_language })?;
        let other = self.links.code_in(code, Some(self.lang.other()));
        self.framed(format!("{code}: {title}"), main, String::new(), other, nonce)
    }

    /// The list of all codes.
    pub(crate) fn codes(&self, pages: &'static [CodePage], nonce: &str) -> Result<String> {
        let entry = |p: &CodePage| Entry {
            code: p.code,
            title: self.lang.explanation(p).title,
            address: self.links.code(p.code),
        };
        let entries = pages.iter().map(entry).collect();
        let main = rendered(&CodesTemplate { w: self.w, entries, in_language: self.in_language() })?;
        let other = self.links.code_in("", Some(self.lang.other()));
        self.framed(self.w.codes.to_string(), main, String::new(), other, nonce)
    }

    /// The option with which `feitian explain` speaks the language of the page.
    fn in_language(&self) -> &'static str {
        match self.lang {
            Lang::En => "",
            Lang::Zh => " --lang zh",
        }
    }

    fn framed(&self, title: String, main_html: String, events: String, other: String, nonce: &str) -> Result<String> {
        rendered(&PageTemplate {
            w: self.w,
            title,
            nonce,
            icon: self.links.asset(&ASSETS.icon.name),
            style: self.links.asset(&ASSETS.style.name),
            script: self.links.asset(&ASSETS.script.name),
            events,
            other_address: other,
            other_lang: self.lang.other().words().html_lang,
            codes: self.links.code(""),
            console: self.links.console(),
            main_html,
        })
    }
}

fn rendered(template: &impl Template) -> Result<String> {
    template.render().map_err(|e| Error::internal("a page could not be made").with_source(e))
}

/// What `failure` says of its code, for the page.
fn failure_view(frame: &Frame, failure: &failure::Failure, is_shown: bool) -> FailureView {
    let w = frame.w;
    let place = failure.place.map_or(String::new(), |(line, column)| {
        crate::show::fill(w.error_place, &[("line", &line.to_string()), ("column", &column.to_string())])
    });
    let code = failure.page.map_or("", |page| page.code);
    let explanation = failure.page.map(|page| frame.lang.explanation(page));
    FailureView {
        text: crate::show::seen(&failure.text).into_owned(),
        place,
        is_shown,
        code,
        title: explanation.map_or("", |e| e.title),
        words_html: explanation.map_or(String::new(), |e| failure::first_words(e.text, &frame.links.any_code())),
        more: crate::show::fill(w.error_more, &[("code", code)]),
        address: frame.links.code(code),
    }
}
