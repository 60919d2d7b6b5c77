//! Security statements, bearer tokens, the accounts and roles of a project, its policies and switches.

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::NO_POLICY;
use feitian_meta::rows::{Account, DEFAULT_SCHEMA, Step, Switch, Switches};
use feitian_wire::xml::{docs, parse_authorization};
use serde::Deserialize;
use serde_json::Value;

use crate::answers;
use crate::auth::key_end;
use crate::call::{Answer, Call};
use crate::identity::Identity;
use crate::warehouse::SecurityQuery;

/// The id under which INSTALL PACKAGE is asked about.
const PACKAGE: &str = "install-package";

/// Runs a statement about users, roles and rights.
pub async fn query(call: Call) -> Answer {
    let request = parse_authorization(&call.document().await?)?;
    let mut words = request.query.split_whitespace().map(str::to_lowercase);
    if (words.next().as_deref(), words.next().as_deref()) == (Some("install"), Some("package")) {
        // Clients take the answer for an id and ask for its end: odps/models/tests/test_security.py of PyODPS.
        let mut response = answers::xml(docs::authorization(PACKAGE))?;
        *response.status_mut() = StatusCode::ACCEPTED;
        return Ok(response);
    }
    let setting = |key: &str| request.settings.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.trim());
    let is_on = |key: &str| setting(key).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let has_schemas = is_on("odps.namespace.schema") || is_on("odps.sql.allow.namespace.schema");
    let schema = if has_schemas { setting("odps.default.schema") } else { None };
    let query = SecurityQuery {
        by_token: matches!(call.identity, Identity::Token { .. }),
        schema: schema.filter(|s| !s.is_empty()).unwrap_or(DEFAULT_SCHEMA).to_lowercase(),
        has_schemas,
        text: request.query.clone(),
    };
    let result = call.state.warehouse.security(call.caller()?, call.project(), query).await?;
    answers::xml(docs::authorization(&result.to_string()))
}

/// How a statement ended that clients wait for: there is one, and it fails.
pub async fn ended(call: Call) -> Answer {
    let id = call.segment("query");
    if id != PACKAGE {
        let message = format!("there is no security query '{id}' in project '{}'", call.project());
        return Err(Error::new(Kind::NotFound, "NoSuchObject", message));
    }
    let why = "packages are not supported; GRANT on tables, or on views of them";
    answers::xml(docs::authorization_query(docs::AuthorizationState::Failed, why))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    expires_in_hours: f64,
    policy: Value,
}

/// Issues a bearer token for the caller in this project, no wider than the policy. It ends with the key that asks for it:
/// clients ask for weeks whatever their key.
pub async fn sign_token(call: Call) -> Answer {
    let request: TokenRequest = call.json().await?;
    let account = &call.caller()?.account_id;
    let left = |end: i64| (end - clock::now_ms()) as f64 / 3_600_000.0;
    let hours = key_end(&call).await?.map_or(request.expires_in_hours, |end| request.expires_in_hours.min(left(end)));
    let token = call.state.tokens.issue(account, call.project(), request.policy, hours)?;
    answers::xml(docs::authorization(&token))
}

/// The owner, the admitted accounts and the users.
async fn accounts(call: &Call) -> Result<Vec<Account>> {
    let (meta, project) = (&call.state.meta, call.project());
    let mut all: Vec<Account> = Vec::new();
    if let Some(project) = meta.project(project).await? {
        all.extend(meta.account(&project.owner_id).await?);
    }
    for account in meta.admitted(project).await?.into_iter().chain(meta.project_users(project).await?) {
        if !all.iter().any(|a| a.id == account.id) {
            all.push(account);
        }
    }
    Ok(all)
}

fn document(account: &Account) -> docs::User {
    docs::User { id: account.id.clone(), display_name: account.name.clone(), comment: String::new() }
}

pub async fn users(call: Call) -> Answer {
    let users: Vec<_> = accounts(&call).await?.iter().map(document).collect();
    answers::xml(docs::users(&users))
}

/// The account of the path: by id, or by name too with `type=displayname`, which clients also send beside an id.
async fn account(call: &Call) -> Result<Account> {
    let (wanted, by_name) = (call.segment("user"), call.query.get("type") == Some("displayname"));
    let missing = || {
        let message = format!("'{wanted}' is no account of project '{}'", call.project());
        Error::new(Kind::NotFound, "NoSuchObject", message)
    };
    let fits = |a: &Account| a.id == wanted || (by_name && a.name == wanted);
    accounts(call).await?.into_iter().find(fits).ok_or_else(missing)
}

pub async fn user(call: Call) -> Answer {
    answers::xml(docs::user(&document(&account(&call).await?)))
}

pub async fn user_roles(call: Call) -> Answer {
    let account = account(&call).await?;
    let roles = call.state.meta.roles(call.project(), Some(&account.id)).await?;
    answers::xml(docs::roles(&roles.into_iter().map(role_document).collect::<Vec<_>>()))
}

fn role_document(name: String) -> docs::Role {
    docs::Role { name, comment: String::new() }
}

pub async fn roles(call: Call) -> Answer {
    call.refuse_parameters(&["name"])?;
    let roles = call.state.meta.roles(call.project(), None).await?;
    answers::xml(docs::roles(&roles.into_iter().map(role_document).collect::<Vec<_>>()))
}

pub async fn role(call: Call) -> Answer {
    let (project, wanted) = (call.project(), call.segment("role"));
    let found = call.state.meta.roles(project, None).await?.into_iter().find(|r| r == wanted);
    let missing = || {
        let message = format!("Role not found - '{wanted}' in project '{project}'");
        Error::new(Kind::NotFound, "NoSuchObject", message)
    };
    answers::xml(docs::role(&role_document(found.ok_or_else(missing)?)))
}

pub async fn role_users(call: Call) -> Answer {
    let users = call.state.meta.role_users(call.project(), call.segment("role")).await?;
    answers::xml(docs::users(&users.iter().map(document).collect::<Vec<_>>()))
}

/// The policy of the project, or of the role that the path names.
pub async fn policy(call: Call) -> Answer {
    let found = call.state.meta.policy(call.project(), call.path.get("role")).await?;
    answers::json_text(found.unwrap_or_else(|| NO_POLICY.to_string()))
}

/// An empty body takes the policy away: `odps/models/project.py` of PyODPS.
pub async fn put_policy(call: Call) -> Answer {
    let document = call.text().await?;
    call.state.meta.put_policy(call.project(), call.path.get("role"), &document).await?;
    answers::empty(StatusCode::OK)
}

/// What stands in the document of the configuration and cannot be switched: `(name, value)`. There is one kind of grants
/// and one of policies, and there are no packages.
const FIXED: [(&str, bool); 10] = [
    ("CheckPermissionUsingAclV2", false),
    ("CheckPermissionUsingPolicyV2", false),
    ("SupportACL", true),
    ("SupportPolicy", true),
    ("SupportPackage", false),
    ("SupportACLV2", false),
    ("SupportPackageV2", false),
    ("CheckPermissionUsingPackage", false),
    ("CreatePackage", false),
    ("CreatePackageV2", false),
];

fn configuration_of(switches: &Switches) -> docs::SecurityConfiguration {
    let value = |name: &str| match Switch::ALL.iter().find(|(_, known)| *known == name) {
        Some((switch, _)) => switches.get(*switch),
        None => FIXED.iter().any(|(known, on)| *known == name && *on),
    };
    docs::SecurityConfiguration { switches: docs::SECURITY_SWITCHES.map(value), project_protection: false }
}

/// How the switches of the project stand.
pub async fn configuration(call: Call) -> Answer {
    let switches = call.state.meta.switches(call.project()).await?;
    answers::xml(docs::security_configuration(&configuration_of(&switches)))
}

/// Turns switches; those that the document leaves out stay.
pub async fn put_configuration(call: Call) -> Answer {
    let body = call.document().await?;
    let meta = &call.state.meta;
    let now = configuration_of(&meta.switches(call.project()).await?);
    let next = docs::parse_security(&body, &now)?;
    let refused = |name: &str| {
        let message = format!("{name} cannot be changed: feitian has nothing that it would switch");
        Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message))
    };
    if next.project_protection {
        return refused("ProjectProtection");
    }
    let mut changes = Vec::new();
    let values = now.switches.iter().zip(next.switches);
    for (name, (_, on)) in docs::SECURITY_SWITCHES.iter().zip(values).filter(|(_, (old, new))| *old != new) {
        match Switch::ALL.iter().find(|(_, known)| known == name) {
            Some((switch, _)) => changes.push((*switch, on)),
            None => return refused(name),
        }
    }
    meta.turn_switches(call.project(), &changes, &Step::None).await?;
    answers::empty(StatusCode::OK)
}
