//! Access keys.

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::AccessKey;

use super::accounts;
use super::types::{CreateKey, Done, KeyList, KeyView, NewKey};
use crate::answers;
use crate::auth::key_end;
use crate::call::{Answer, Call};
use crate::keys::{ChosenKey, IssuedKey, issue_key};
use crate::rights::{denied, own_or_admin};
use crate::secrets::Secret;

const LONGEST_TTL_SECONDS: i64 = 30 * 86_400;

fn view(key: AccessKey) -> KeyView {
    let AccessKey { access_id, account_id, enabled, expires_ms, created_ms, .. } = key;
    KeyView { access_id, account_id, enabled, expires_ms, created_ms }
}

pub async fn list(call: Call) -> Answer {
    answers::json(&KeyList { keys: keys_of(&call, call.query.get("account")).await? })
}

/// The keys of an account, by name or id: the caller's own for `None`, all keys for `*`. Whoever is no administrator sees
/// only its own.
pub async fn keys_of(call: &Call, account: Option<&str>) -> Result<Vec<KeyView>> {
    let (meta, caller) = (&call.state.meta, call.caller()?);
    let account = match account {
        None => Some(caller.account_id.clone()),
        Some("*") => {
            own_or_admin(caller, None)?;
            None
        }
        Some(name) => Some(owned_account(call, name).await?),
    };
    Ok(meta.list_keys(account.as_deref()).await?.into_iter().map(view).collect())
}

pub async fn create(call: Call) -> Answer {
    let wanted: CreateKey = call.json().await?;
    answers::json_with(StatusCode::CREATED, &create_key(&call, wanted).await?)
}

/// Refuses changes of keys to a temporary one: whoever was given an account for an hour would have it for ever, or take it
/// from its owner.
async fn refuse_temporary(call: &Call) -> Result<()> {
    match key_end(call).await? {
        Some(_) => {
            Err(denied("a temporary key may not change keys; sign the request with a key that lasts".to_string()))
        }
        None => Ok(()),
    }
}

/// Makes a key; it is durable when this returns, and its secret cannot be had again.
pub async fn create_key(call: &Call, wanted: CreateKey) -> Result<NewKey> {
    refuse_temporary(call).await?;
    let account_id = match &wanted.account {
        Some(name) => owned_account(call, name).await?,
        None => call.caller()?.account_id.clone(),
    };
    let ttl_ms = match wanted.sts_ttl_seconds {
        Some(seconds) if !(1..=LONGEST_TTL_SECONDS).contains(&seconds) => {
            return Err(Error::invalid(format!("sts_ttl_seconds must be 1 to {LONGEST_TTL_SECONDS}, not {seconds}")));
        }
        seconds => seconds.map(|s| s * 1000),
    };
    let chosen = chosen(wanted.access_id, wanted.secret)?;
    if chosen.is_some() && ttl_ms.is_some() {
        return Err(Error::invalid("a temporary key cannot have a chosen access_id: its token is made by the server"));
    }
    let issued = issue_key(&call.state.meta, &call.state.secrets, &account_id, ttl_ms, chosen).await?;
    tracing::info!(access_id = issued.row.access_id, temporary = ttl_ms.is_some(), "access key created");
    shown(issued)
}

fn shown(issued: IssuedKey) -> Result<NewKey> {
    Ok(NewKey {
        secret: issued.secret.as_str()?.to_string(),
        sts_token: issued.sts_token.as_ref().map(|t| t.as_str().map(str::to_string)).transpose()?,
        key: view(issued.row),
    })
}

fn chosen(access_id: Option<String>, secret: Option<String>) -> Result<Option<ChosenKey>> {
    let (access_id, secret) = match (access_id, secret) {
        (None, None) => return Ok(None),
        (Some(a), Some(s)) => (a, Secret::new(s)),
        _ => return Err(Error::invalid("access_id and secret come together or not at all")),
    };
    if !(8..=64).contains(&access_id.len()) || !access_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Error::invalid("access_id must be 8 to 64 letters and digits"));
    }
    if !(16..=128).contains(&secret.as_bytes().len()) || !secret.as_bytes().iter().all(u8::is_ascii_graphic) {
        return Err(Error::invalid("secret must be 16 to 128 visible ASCII characters"));
    }
    Ok(Some(ChosenKey { access_id, secret }))
}

pub async fn enable(call: Call) -> Answer {
    answers::json(&set_key_enabled(&call, call.segment("key"), true).await?)
}

pub async fn disable(call: Call) -> Answer {
    answers::json(&set_key_enabled(&call, call.segment("key"), false).await?)
}

/// Lets a key work, or not; own keys, or anyone's for administrators.
pub async fn set_key_enabled(call: &Call, access_id: &str, enabled: bool) -> Result<KeyView> {
    refuse_temporary(call).await?;
    let Some(key) = owned_key(call, access_id).await? else {
        return Err(Error::new(Kind::NotFound, "NoSuchObject", format!("there is no key '{access_id}'")));
    };
    call.state.meta.set_key_enabled(&key.access_id, enabled).await?;
    tracing::info!(access_id = key.access_id, enabled, "access key changed");
    Ok(view(AccessKey { enabled, ..key }))
}

pub async fn delete(call: Call) -> Answer {
    delete_key(&call, call.segment("key")).await?;
    answers::json(&Done {})
}

/// Deletes a key, if it is still there; own keys, or anyone's for administrators.
pub async fn delete_key(call: &Call, access_id: &str) -> Result<()> {
    refuse_temporary(call).await?;
    if let Some(key) = owned_key(call, access_id).await? {
        call.state.meta.delete_key(&key.access_id).await?;
        tracing::info!(access_id = key.access_id, "access key deleted");
    }
    Ok(())
}

/// The key of this id, if it is there and the caller may touch it.
async fn owned_key(call: &Call, access_id: &str) -> Result<Option<AccessKey>> {
    let key = call.state.meta.key(access_id).await?;
    if let Some(key) = &key {
        own_or_admin(call.caller()?, Some(&key.account_id))?;
    }
    Ok(key)
}

/// The id of the account `name`, if the caller may manage its keys. Others learn nothing about who exists.
async fn owned_account(call: &Call, name: &str) -> Result<String> {
    let caller = call.caller()?;
    if name == caller.name || name == caller.account_id {
        return Ok(caller.account_id.clone());
    }
    own_or_admin(caller, None)?;
    Ok(accounts::find(&call.state.meta, name).await?.id)
}
