//! Accounts.

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::Meta;
use feitian_meta::rows::Account;

use super::types::{AccountList, AccountView, CreateAccount};
use crate::answers;
use crate::call::{Answer, Call};

/// Finds an account by name, or by id.
pub async fn find(meta: &Meta, name_or_id: &str) -> Result<Account> {
    if let Some(account) = meta.account_by_name(name_or_id).await? {
        return Ok(account);
    }
    let missing = || Error::new(Kind::NotFound, "NoSuchObject", format!("there is no account '{name_or_id}'"));
    meta.account(name_or_id).await?.ok_or_else(missing)
}

pub fn view(account: Account) -> AccountView {
    let Account { id, name, enabled, admin, created_ms } = account;
    AccountView { id, name, enabled, admin, created_ms }
}

pub async fn list(call: Call) -> Answer {
    let accounts = call.state.meta.list_accounts().await?.into_iter().map(view).collect();
    answers::json(&AccountList { accounts })
}

pub async fn get(call: Call) -> Answer {
    answers::json(&view(find(&call.state.meta, call.segment("account")).await?))
}

pub async fn create(call: Call) -> Answer {
    let wanted: CreateAccount = call.json().await?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "$_-.@:".contains(c);
    if wanted.name.is_empty() || wanted.name.len() > 64 || !wanted.name.chars().all(allowed) {
        return Err(Error::invalid("an account's name is 1 to 64 letters, digits and $ _ - . @ :"));
    }
    let meta = &call.state.meta;
    let account =
        Account { id: id::ulid(), name: wanted.name, enabled: true, admin: wanted.admin, created_ms: clock::now_ms() };
    match meta.create_account(&account).await {
        Ok(()) => answers::json_with(StatusCode::CREATED, &view(account)),
        // The same request again, or its first answer was lost.
        Err(e) if e.kind() == Kind::Conflict => match meta.account_by_name(&account.name).await? {
            Some(existing) if existing.admin == account.admin => {
                answers::json_with(StatusCode::CREATED, &view(existing))
            }
            _ => Err(e),
        },
        Err(e) => Err(e),
    }
}

pub async fn enable(call: Call) -> Answer {
    set_enabled(call, true).await
}

pub async fn disable(call: Call) -> Answer {
    let account = find(&call.state.meta, call.segment("account")).await?;
    if account.id == call.caller()?.account_id {
        return Err(Error::invalid("an administrator cannot disable its own account; ask another one"));
    }
    set_enabled(call, false).await
}

async fn set_enabled(call: Call, enabled: bool) -> Answer {
    let meta = &call.state.meta;
    let account = find(meta, call.segment("account")).await?;
    meta.set_account_enabled(&account.id, enabled).await?;
    tracing::info!(account = account.name, enabled, "account changed");
    answers::json(&view(Account { enabled, ..account }))
}
