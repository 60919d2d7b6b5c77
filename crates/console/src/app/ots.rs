//! Instances of the table store: the list with what each holds, and making another one.

pub(crate) mod instance;
mod key;
mod place;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::http::StatusCode;
use feitian_api::admin::types::{CreateOtsInstance, OtsInstanceView, OtsUsage};
use feitian_api::refusal::{see_other, status};
use feitian_api::{Answer, Call, admin};
use feitian_base::Error;

use super::form::Form;
use super::home::is_of_the_form;
use super::shell::Shell;
use super::words;
use crate::hints::{feitian, get, segment};
use crate::show;

#[derive(Template)]
#[template(path = "app/ots.html")]
struct InstancesPage<'a> {
    shell: &'a Shell,
    instances: Vec<Line>,
    /// Another process has the table store.
    is_elsewhere: bool,
    /// Why an instance was not made; empty otherwise.
    failure: String,
    name: String,
}

struct Line {
    name: String,
    address: String,
    owner: String,
    created: show::Time,
    /// What is not known is empty.
    tables: String,
    bytes: String,
    read_units: String,
    write_units: String,
}

impl Line {
    fn of(shell: &Shell, instance: &OtsInstanceView) -> Self {
        let told = |of: fn(&OtsUsage) -> u64| instance.usage.as_ref().map(of);
        let count = |of: fn(&OtsUsage) -> u64| told(of).map_or(String::new(), show::count);
        Self {
            name: show::short(&instance.name, 200),
            address: shell.at(&format!("/ots/{}", segment(&instance.name))),
            owner: show::short(&instance.account, 200),
            created: show::time(instance.created_ms, chrono_tz::Tz::UTC),
            tables: count(|usage| usage.tables),
            bytes: told(|usage| usage.bytes).map_or(String::new(), show::bytes),
            read_units: count(|usage| usage.read_units),
            write_units: count(|usage| usage.write_units),
        }
    }
}

/// `GET /console/ots`
pub(super) async fn show(call: Call) -> Answer {
    page(&call, StatusCode::OK, None, "").await
}

/// `POST /console/ots`: makes an instance.
pub(super) async fn create(call: Call) -> Answer {
    let form = Form::of(&call).await?;
    if form.text("action") != "create" {
        return Err(form.no_such_action());
    }
    let name = form.text("name").to_string();
    let wanted = CreateOtsInstance { name: name.clone(), account: None };
    match admin::create_ots_instance(&call, wanted).await {
        Ok(made) => Ok(see_other(&Shell::of(&call, "")?.at(&format!("/ots/{}", segment(&made.name))))),
        Err(e) if is_of_the_form(&e) => page(&call, status(&e), Some(&e), &name).await,
        Err(e) => Err(e),
    }
}

/// The list. Where the table store is open elsewhere it says only which instances there are.
async fn page(call: &Call, status: StatusCode, failure: Option<&Error>, name: &str) -> Answer {
    let words = words::of(call)?;
    let mut shell = Shell::of(call, words.table_store)?;
    shell.hints = vec![
        feitian(["ots", "instance", "list"]),
        feitian(["ots", "instance", "create", "shop"]),
        get(["ots", "instances"], &[]),
    ];
    let is_elsewhere = !admin::is_ots_open(call);
    let instances = admin::ots_instances(call).await?;
    let page = InstancesPage {
        instances: instances.iter().map(|instance| Line::of(&shell, instance)).collect(),
        is_elsewhere,
        failure: failure.map_or(String::new(), |e| show::seen(e.message()).into_owned()),
        // One with hidden characters would show something else than it is.
        name: if show::seen(name) == name { name.to_string() } else { String::new() },
        shell: &shell,
    };
    let status = if is_elsewhere && failure.is_none() { StatusCode::SERVICE_UNAVAILABLE } else { status };
    shell.answer_with(status, &page)
}
