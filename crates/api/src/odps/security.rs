//! Security statements, bearer tokens and the accounts of a project.

use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::Account;
use feitian_wire::xml::{docs, parse_authorization};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answers;
use crate::call::{Answer, Call};

/// Answers `whoami` and `list accountproviders`; every other statement is refused by its text.
pub async fn query(call: Call) -> Answer {
    let request = parse_authorization(&call.document().await?)?;
    let words: Vec<String> = request.query.trim_end_matches(';').split_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["whoami"] => {
            let caller = call.caller()?;
            json!({ "ID": caller.account_id, "DisplayName": caller.name })
        }
        ["list", "accountproviders"] => json!("ALIYUN, RAM"),
        _ => {
            let message = format!(
                "security statement '{}' is not supported; accounts enter a project by 'feitian project admit'",
                request.query
            );
            return Err(Error::new(Kind::Unsupported, "MethodNotAllowed", message));
        }
    };
    answers::xml(docs::authorization(&result.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    expires_in_hours: f64,
    policy: Value,
}

/// Issues a bearer token for the caller in this project, no wider than the policy.
pub async fn sign_token(call: Call) -> Answer {
    let request: TokenRequest = call.json().await?;
    let account = &call.caller()?.account_id;
    let token = call.state.tokens.issue(account, call.project(), request.policy, request.expires_in_hours)?;
    answers::xml(docs::authorization(&token))
}

/// The owner and the admitted accounts.
async fn accounts(call: &Call) -> Result<Vec<Account>> {
    let meta = &call.state.meta;
    let mut all = meta.admitted(call.project()).await?;
    if let Some(project) = meta.project(call.project()).await?
        && let Some(owner) = meta.account(&project.owner_id).await?
        && !all.iter().any(|a| a.id == owner.id)
    {
        all.insert(0, owner);
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

/// By id, or by name with `type=displayname`.
pub async fn user(call: Call) -> Answer {
    let (wanted, by_name) = (call.segment("user"), call.query.get("type") == Some("displayname"));
    let fits = |a: &&Account| if by_name { a.name == wanted } else { a.id == wanted };
    let missing = || {
        let message = format!("'{wanted}' is no account of project '{}'", call.project());
        Error::new(Kind::NotFound, "NoSuchObject", message)
    };
    let all = accounts(&call).await?;
    answers::xml(docs::user(&document(all.iter().find(fits).ok_or_else(missing)?)))
}
