//! `feitian project`: create, list, change and delete projects, and say who may use them.

use std::collections::BTreeMap;
use std::io::Write;

use feitian_api::admin::types::{AccountList, Admit, CreateProject, Done, ProjectList, ProjectView, SetProperties};

use super::account;
use super::confirm;
use super::{item, key_value};
use crate::cli::{ProjectArgs, ProjectVerb};
use crate::client::{Client, admin_path};
use crate::failure::{Answer, Result};
use crate::output::{self, Field, Format, Shown, field};

const FIELDS: [Field; 5] = [
    field("name", "NAME", Shown::Text),
    field("owner", "OWNER", Shown::Text),
    field("comment", "COMMENT", Shown::Text),
    field("created_ms", "CREATED", Shown::Time),
    field("modified_ms", "MODIFIED", Shown::Time),
];

/// Names for one request.
const PAGE: &str = "1000";

pub(crate) fn run(args: &ProjectArgs, out: &mut dyn Write) -> Result<Answer> {
    let format = args.client.format();
    let client = Client::connect(&args.client)?;
    match &args.verb {
        ProjectVerb::Create { name, comment, owner, set } => {
            let properties = pairs(set)?;
            let body = CreateProject { name: name.clone(), owner: owner.clone(), comment: comment.clone() };
            let mut project: ProjectView = client.post(&admin_path(["projects"]), &body)?;
            if !properties.is_empty() {
                project = set_properties(&client, name, properties)?;
            }
            show(out, format, &project)
        }
        ProjectVerb::List { prefix } => list(out, format, &client, prefix),
        ProjectVerb::Show { name } => show(out, format, &client.get(&admin_path(["projects", name]), &[])?),
        ProjectVerb::Set { name, properties } => show(out, format, &set_properties(&client, name, pairs(properties)?)?),
        ProjectVerb::Delete { name, confirm } => {
            confirm::ask(&format!("delete project {name}"), *confirm)?;
            let Done {} = client.delete(&admin_path(["projects", name]))?;
            eprintln!("project {name} is gone");
            Ok(())
        }
        ProjectVerb::Admit { name, account } => {
            let body = Admit { account: account.clone() };
            members(out, format, &client.post(&admin_path(["projects", name, "members"]), &body)?)
        }
        ProjectVerb::Expel { name, account, confirm } => {
            confirm::ask(&format!("take away the right of {account} to use project {name}"), *confirm)?;
            members(out, format, &client.delete(&admin_path(["projects", name, "members", account]))?)
        }
        ProjectVerb::Members { name } => {
            members(out, format, &client.get(&admin_path(["projects", name, "members"]), &[])?)
        }
    }?;
    Ok(Answer::Done)
}

fn list(out: &mut dyn Write, format: Format, client: &Client, prefix: &str) -> Result<()> {
    let mut items = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let mut query = vec![("maxitems", PAGE.to_string())];
        query.extend(Some(prefix).filter(|p| !p.is_empty()).map(|p| ("prefix", p.to_string())));
        query.extend(marker.take().map(|m| ("marker", m)));
        let page: ProjectList = client.get(&admin_path(["projects"]), &query)?;
        items.extend(page.projects.iter().map(item));
        match page.next {
            Some(next) => marker = Some(next),
            None => break,
        }
    }
    output::list(out, format, &FIELDS, &items)
}

fn set_properties(client: &Client, name: &str, pairs: Vec<(String, String)>) -> Result<ProjectView> {
    // An empty value takes a property back, as in SETPROJECT of MaxCompute.
    let value = |v: String| if v.is_empty() { None } else { Some(v) };
    let properties: BTreeMap<String, Option<String>> = pairs.into_iter().map(|(k, v)| (k, value(v))).collect();
    client.put(&admin_path(["projects", name, "properties"]), &SetProperties { properties })
}

fn pairs(texts: &[String]) -> Result<Vec<(String, String)>> {
    texts.iter().map(|text| key_value(text)).collect()
}

fn show(out: &mut dyn Write, format: Format, project: &ProjectView) -> Result<()> {
    let mut fields = FIELDS.to_vec();
    fields.push(field("properties", "PROPERTIES", Shown::Pairs));
    output::object(out, format, &fields, &item(project))
}

fn members(out: &mut dyn Write, format: Format, list: &AccountList) -> Result<()> {
    output::list(out, format, &account::FIELDS, &list.accounts.iter().map(item).collect::<Vec<_>>())
}
