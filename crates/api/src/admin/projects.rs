//! Projects and who may work in them.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::rows::Project;

use super::accounts;
use super::types::{AccountList, AccountView, Admit, CreateProject, Done, ProjectList, ProjectView, SetProperties};
use crate::answers;
use crate::call::{Answer, Call};
use crate::csv::{DEFAULT_ZONE, ZONE_KEY};
use crate::rights::own_or_admin;
use crate::warehouse::Caller;

/// What MaxCompute sets for projects that are created today, and the names by which its documentation knows them.
const DEFAULTS: [(&str, &str); 8] = [
    ("odps.sql.type.system.odps2", "true"),
    ("odps.sql.decimal.odps2", "true"),
    ("odps.sql.type.json.enable", "true"),
    ("odps.sql.hive.compatible", "false"),
    ("odps.sql.allow.fullscan", "false"),
    ("odps.namespace.schema", "false"),
    ("odps.sql.validate.orderby.limit", "false"),
    ("READ_TABLE_MAX_ROW", "10000"),
];

/// The properties with which a project begins, as a JSON object of strings.
pub fn default_properties() -> String {
    let all = DEFAULTS.into_iter().chain([(ZONE_KEY, DEFAULT_ZONE.name())]);
    let properties: serde_json::Map<String, serde_json::Value> =
        all.map(|(key, value)| (key.to_string(), value.into())).collect();
    serde_json::Value::Object(properties).to_string()
}

/// Properties of a project: the stored JSON object of strings.
pub fn properties(project: &Project) -> BTreeMap<String, String> {
    serde_json::from_str(&project.properties).unwrap_or_default()
}

fn view(project: Project) -> ProjectView {
    ProjectView {
        properties: properties(&project),
        name: project.name,
        owner: project.owner_name,
        comment: project.comment,
        created_ms: project.created_ms,
        modified_ms: project.modified_ms,
    }
}

/// A page of the projects in which `caller` may act; all of them when `everything`. The marker is the last name seen.
pub async fn visible(
    call: &Call,
    caller: &Caller,
    prefix: &str,
    everything: bool,
) -> Result<(Vec<Project>, Option<String>)> {
    let meta = &call.state.meta;
    let limit = call.page_size(1000)?;
    let mut marker = call.query.get("marker").map(str::to_string);
    let mut found = Vec::new();
    loop {
        let page = meta.list_projects(prefix, marker.as_deref(), limit as i64).await?;
        let last_page = page.len() < limit;
        for project in page {
            marker = Some(project.name.clone());
            if everything || meta.is_admitted(&project.name, &caller.account_id).await? {
                found.push(project);
                if found.len() == limit {
                    return Ok((found, marker));
                }
            }
        }
        if last_page {
            return Ok((found, None));
        }
    }
}

pub async fn list(call: Call) -> Answer {
    let caller = call.caller()?;
    let prefix = call.query.get("prefix").unwrap_or_default().to_lowercase();
    let (projects, next) = visible(&call, caller, &prefix, caller.admin).await?;
    answers::json(&ProjectList { projects: projects.into_iter().map(view).collect(), next })
}

pub async fn create(call: Call) -> Answer {
    let wanted: CreateProject = call.json().await?;
    answers::json_with(StatusCode::CREATED, &create_project(&call, wanted).await?)
}

/// Makes a project with the properties of a new one. The same again answers as the first time.
pub async fn create_project(call: &Call, wanted: CreateProject) -> Result<ProjectView> {
    check_name(&wanted.name)?;
    let (meta, caller) = (&call.state.meta, call.caller()?);
    let (owner_id, owner_name) = match &wanted.owner {
        Some(name) if *name != caller.name && *name != caller.account_id => {
            own_or_admin(caller, None)?;
            let owner = accounts::find(meta, name).await?;
            (owner.id, owner.name)
        }
        _ => (caller.account_id.clone(), caller.name.clone()),
    };
    let now = clock::now_ms();
    let project = Project {
        name: wanted.name,
        owner_id,
        owner_name,
        comment: wanted.comment,
        properties: default_properties(),
        created_ms: now,
        modified_ms: now,
    };
    match meta.create_project(&project).await {
        Ok(()) => {
            tracing::info!(project = project.name, owner = project.owner_name, "project created");
            Ok(view(project))
        }
        Err(e) if e.kind() == Kind::Conflict => match meta.project(&project.name).await? {
            Some(existing) if existing.owner_id == project.owner_id && existing.comment == project.comment => {
                Ok(view(existing))
            }
            _ => Err(e),
        },
        Err(e) => Err(e),
    }
}

fn check_name(name: &str) -> Result<()> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let fits = (2..=64).contains(&name.len()) && name.as_bytes()[0].is_ascii_lowercase() && name.bytes().all(word);
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{name}' is no name for a project: 2 to 64 lower-case letters, digits and _, beginning with a letter"
    )))
}

/// The project of the path. The right to it has been checked, but it may have been deleted since.
async fn this(call: &Call) -> Result<Project> {
    let gone = || Error::new(Kind::NotFound, "NoSuchObject", format!("Project not found - '{}'", call.project()));
    call.state.meta.project(call.project()).await?.ok_or_else(gone)
}

pub async fn get(call: Call) -> Answer {
    answers::json(&project_of(&call).await?)
}

/// The project of the path.
pub async fn project_of(call: &Call) -> Result<ProjectView> {
    Ok(view(this(call).await?))
}

pub async fn delete(call: Call) -> Answer {
    call.state.meta.delete_project(call.project()).await?;
    tracing::info!("project deleted");
    answers::json(&Done {})
}

pub async fn set_properties(call: Call) -> Answer {
    let changes: SetProperties = call.json().await?;
    let project = this(&call).await?;
    let mut properties = properties(&project);
    for (key, value) in changes.properties {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if key.is_empty() || key.len() > 128 || !key.bytes().all(plain) {
            return Err(Error::invalid(format!("'{key}' is no property: 1 to 128 letters, digits and . _ -")));
        }
        if key == ZONE_KEY
            && let Some(zone) = &value
            && zone.parse::<chrono_tz::Tz>().is_err()
        {
            return Err(Error::invalid(format!("'{zone}' is no time zone; write one like Asia/Shanghai")));
        }
        match value {
            Some(value) => properties.insert(key, value),
            None => properties.remove(&key),
        };
    }
    let text =
        serde_json::to_string(&properties).map_err(|e| Error::internal("properties are not JSON").with_source(e))?;
    call.state.meta.update_project(&project.name, None, Some(&text), clock::now_ms()).await?;
    answers::json(&view(this(&call).await?))
}

pub async fn members(call: Call) -> Answer {
    answers::json(&AccountList { accounts: members_of(&call).await? })
}

/// The accounts of the project, its owner first.
pub async fn members_of(call: &Call) -> Result<Vec<AccountView>> {
    let project = this(call).await?;
    let meta = &call.state.meta;
    let mut accounts: Vec<_> = meta.account(&project.owner_id).await?.into_iter().collect();
    accounts.extend(meta.admitted(&project.name).await?.into_iter().filter(|a| a.id != project.owner_id));
    Ok(accounts.into_iter().map(accounts::view).collect())
}

pub async fn admit(call: Call) -> Answer {
    let wanted: Admit = call.json().await?;
    admit_account(&call, &wanted.account).await?;
    members(call).await
}

/// Lets an account, by name or id, into the project of the path.
pub async fn admit_account(call: &Call, account: &str) -> Result<()> {
    let account = accounts::find(&call.state.meta, account).await?;
    call.state.meta.admit(call.project(), &account.id).await?;
    tracing::info!(admitted = account.name, "account admitted to the project");
    Ok(())
}

pub async fn expel(call: Call) -> Answer {
    expel_account(&call, call.segment("account")).await?;
    members(call).await
}

/// Takes the admission of an account, by name or id, to the project of the path back.
pub async fn expel_account(call: &Call, account: &str) -> Result<()> {
    let account = accounts::find(&call.state.meta, account).await?;
    if account.id == this(call).await?.owner_id {
        return Err(Error::invalid("the owner of a project cannot be expelled from it"));
    }
    call.state.meta.expel(call.project(), &account.id).await?;
    tracing::info!(expelled = account.name, "account expelled from the project");
    Ok(())
}
