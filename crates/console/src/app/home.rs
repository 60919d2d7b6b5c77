//! The projects that somebody may use, and making another one.

use askama::Template;
use axum::http::StatusCode;
use feitian_api::admin::types::CreateProject;
use feitian_api::refusal::{see_other, status};
use feitian_api::{Answer, Call, admin};
use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::Project;

use super::form::Form;
use super::shell::Shell;
use super::words;
use crate::hints::{feitian, get, segment};
use crate::show;

/// Projects of one page.
const PAGE: usize = 200;

#[derive(Template)]
#[template(path = "app/home.html")]
struct HomePage<'a> {
    shell: &'a Shell,
    projects: Vec<Line>,
    next: String,
    /// Why a project was not made; empty otherwise.
    failure: String,
    name: String,
    comment: String,
}

struct Line {
    name: String,
    address: String,
    owner: String,
    comment: String,
    created: show::Time,
}

/// `GET /console`
pub(super) async fn show(call: Call) -> Answer {
    page(&call, StatusCode::OK, None, "", "").await
}

/// `POST /console`: makes a project.
pub(super) async fn create(call: Call) -> Answer {
    let form = Form::of(&call).await?;
    if form.text("action") != "create" {
        return Err(form.no_such_action());
    }
    let (name, comment) = (form.text("name").to_string(), form.text("comment").to_string());
    let wanted = CreateProject { name: name.clone(), owner: None, comment: comment.clone() };
    match admin::create_project(&call, wanted).await {
        Ok(project) => Ok(see_other(&format!("{}/console/projects/{}", call.origin.prefix, segment(&project.name)))),
        Err(e) if is_of_the_form(&e) => page(&call, status(&e), Some(&e), &name, &comment).await,
        Err(e) => Err(e),
    }
}

/// Whether an error is about what was filled in, and is best shown beside it.
pub(super) fn is_of_the_form(e: &Error) -> bool {
    matches!(e.kind(), Kind::Invalid | Kind::Conflict | Kind::NotFound | Kind::Denied | Kind::Unsupported)
}

async fn page(call: &Call, status: StatusCode, failure: Option<&Error>, name: &str, comment: &str) -> Answer {
    let words = words::of(call)?;
    let mut shell = Shell::of(call, words.projects)?;
    shell.hints = vec![
        feitian(["project", "list"]),
        feitian(["project", "create", "sales", "--comment", "…"]),
        get(["projects"], &[("marker", call.query.get("marker").unwrap_or_default())]),
    ];
    let (projects, marker) = visible(call).await?;
    let next = marker.map_or(String::new(), |marker| shell.at(&format!("?marker={}", segment(&marker))));
    let line = |project: Project| Line {
        address: shell.at(&format!("/projects/{}", segment(&project.name))),
        name: show::short(&project.name, 200),
        owner: show::short(&project.owner_name, 200),
        comment: show::short(&project.comment, 400),
        created: show::time(project.created_ms, chrono_tz::Tz::UTC),
    };
    let projects = projects.into_iter().map(line).collect();
    let failure = failure.map_or(String::new(), |e| show::seen(e.message()).into_owned());
    let page =
        HomePage { shell: &shell, projects, next, failure, name: name.to_string(), comment: comment.to_string() };
    shell.answer_with(status, &page)
}

async fn visible(call: &Call) -> Result<(Vec<Project>, Option<String>)> {
    let caller = call.caller()?;
    let (mut projects, mut marker) = admin::visible(call, caller, "", caller.admin).await?;
    if projects.len() > PAGE {
        projects.truncate(PAGE);
        marker = projects.last().map(|p| p.name.clone());
    }
    Ok((projects, marker))
}
