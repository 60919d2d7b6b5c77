//! Who may work in a project.

use askama::Template;
use axum::http::StatusCode;
use feitian_api::refusal::{see_other, status};
use feitian_api::{Answer, Call, admin};
use feitian_base::Error;

use super::form::Form;
use super::home::is_of_the_form;
use super::shell::{Section, Shell};
use super::words;
use crate::hints::{feitian, get};
use crate::show;

#[derive(Template)]
#[template(path = "app/members.html")]
struct MembersPage<'a> {
    shell: &'a Shell,
    members: Vec<Member>,
    /// The caller may admit and expel.
    manages: bool,
    failure: String,
    account: String,
}

struct Member {
    id: String,
    name: String,
    is_owner: bool,
    expel: String,
}

/// `GET /console/projects/{project}/members`
pub(super) async fn show(call: Call) -> Answer {
    page(&call, StatusCode::OK, None, "").await
}

/// `POST /console/projects/{project}/members`: admits or expels an account.
pub(super) async fn change(call: Call) -> Answer {
    let form = Form::of(&call).await?;
    let account = form.text("account").to_string();
    let done = match form.text("action") {
        "admit" => admin::admit_account(&call, &account).await,
        "expel" => admin::expel_account(&call, &account).await,
        _ => return Err(form.no_such_action()),
    };
    match done {
        Ok(()) => Ok(see_other(&Shell::of_project(&call, Section::Members, "")?.within("/members"))),
        Err(e) if is_of_the_form(&e) => page(&call, status(&e), Some(&e), &account).await,
        Err(e) => Err(e),
    }
}

async fn page(call: &Call, status: StatusCode, failure: Option<&Error>, account: &str) -> Answer {
    let words = words::of(call)?;
    let mut shell = Shell::of_project(call, Section::Members, words.members)?;
    let project = call.project();
    shell.hints = vec![
        feitian(["project", "members", project]),
        feitian(["project", "admit", project, "ALIYUN$anna"]),
        feitian(["project", "expel", project, "ALIYUN$anna"]),
        get(["projects", project, "members"], &[]),
    ];
    let (accounts, caller) = (admin::members_of(call).await?, call.caller()?);
    let owner = admin::project_of(call).await?.owner;
    let manages = caller.admin || owner == caller.name;
    let member = |account: feitian_api::admin::types::AccountView| {
        let name = show::short(&account.name, 200);
        Member {
            is_owner: account.name == owner,
            expel: show::fill(shell.w.expel_whom, &[("account", &name)]),
            id: account.id,
            name,
        }
    };
    let members = accounts.into_iter().map(member).collect();
    let failure = failure.map_or(String::new(), |e| show::seen(e.message()).into_owned());
    let page = MembersPage { shell: &shell, members, manages, failure, account: account.to_string() };
    shell.answer_with(status, &page)
}
