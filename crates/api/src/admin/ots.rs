//! Instances of the table store: who has which, and what each holds.

pub mod rows;
pub mod tables;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::OtsInstance;
use feitian_tables::Tables;

use super::accounts;
use super::types::{CreateOtsInstance, Done, OtsInstanceList, OtsInstanceView, OtsUsage};
use crate::answers;
use crate::call::{Answer, Call};
use crate::ots::instance_name;
use crate::rights::own_or_admin;

/// The words for whoever asks a process that does not have the table store open.
const ELSEWHERE: &str = "the table store is not open in this process; ask the one that has it";

fn view(instance: OtsInstance, usage: Option<OtsUsage>) -> OtsInstanceView {
    let OtsInstance { name, account_name, created_ms, .. } = instance;
    OtsInstanceView { name, account: account_name, created_ms, usage }
}

/// The instances with what each holds and has used, which is known where the table store is open.
fn with_usage(call: &Call, instances: Vec<OtsInstance>) -> Vec<OtsInstanceView> {
    let Ok(store) = call.state.ots.tables() else {
        return instances.into_iter().map(|instance| view(instance, None)).collect();
    };
    let mut held: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for used in store.usage() {
        let (tables, bytes) = held.entry(used.instance).or_default();
        *tables += u64::from(used.index.is_none());
        *bytes = bytes.saturating_add(used.bytes);
    }
    let usage = |id: &str| {
        let (units, (tables, bytes)) = (store.instance_usage(id), held.get(id).copied().unwrap_or_default());
        OtsUsage { tables, bytes, read_units: units.read_units, write_units: units.write_units }
    };
    let seen = |instance: OtsInstance| {
        let usage = usage(&instance.id);
        view(instance, Some(usage))
    };
    instances.into_iter().map(seen).collect()
}

pub async fn list(call: Call) -> Answer {
    answers::json(&OtsInstanceList { instances: ots_instances(&call).await? })
}

/// The caller's own instances; all of them for an administrator.
pub async fn ots_instances(call: &Call) -> Result<Vec<OtsInstanceView>> {
    let caller = call.caller()?;
    let account = if caller.admin { None } else { Some(caller.account_id.as_str()) };
    Ok(with_usage(call, call.state.meta.list_ots_instances(account).await?))
}

pub async fn create(call: Call) -> Answer {
    let wanted: CreateOtsInstance = call.json().await?;
    answers::json_with(StatusCode::CREATED, &create_ots_instance(&call, wanted).await?)
}

/// Makes an instance; one of the same name and account is the same.
pub async fn create_ots_instance(call: &Call, wanted: CreateOtsInstance) -> Result<OtsInstanceView> {
    let Some(name) = instance_name(&wanted.name) else {
        return Err(Error::invalid(format!(
            "'{}' is no name for an instance: 3 to 16 letters, digits and -, a letter first and no - last",
            wanted.name
        )));
    };
    let (meta, caller) = (&call.state.meta, call.caller()?);
    let (account_id, account_name) = match &wanted.account {
        Some(name) if *name != caller.name && *name != caller.account_id => {
            own_or_admin(caller, None)?;
            let account = accounts::find(meta, name).await?;
            (account.id, account.name)
        }
        _ => (caller.account_id.clone(), caller.name.clone()),
    };
    let instance = OtsInstance { id: id::ulid(), name, account_id, account_name, created_ms: clock::now_ms() };
    let instance = match meta.create_ots_instance(&instance).await {
        Ok(()) => {
            tracing::info!(ots = instance.name, owner = instance.account_name, "instance of the table store created");
            instance
        }
        // The same request again, or its first answer was lost.
        Err(e) if e.kind() == Kind::Conflict => match meta.ots_instance(&instance.name).await? {
            Some(existing) if existing.account_id == instance.account_id => existing,
            _ => return Err(e),
        },
        Err(e) => return Err(e),
    };
    Ok(view(instance, None))
}

/// The instance of the path, whosever it is.
async fn named(call: &Call) -> Result<Option<OtsInstance>> {
    call.state.meta.ots_instance(&call.segment("ots").to_ascii_lowercase()).await
}

/// The instance of the path, which must be there and the caller's to look after: one of somebody else is as one that is
/// not there, in the same words.
async fn this(call: &Call) -> Result<OtsInstance> {
    let (caller, found) = (call.caller()?, named(call).await?);
    let own = found.filter(|instance| own_or_admin(caller, Some(&instance.account_id)).is_ok());
    own.ok_or_else(|| {
        let message = format!("there is no instance '{}' of the table store", call.segment("ots"));
        Error::new(Kind::NotFound, "NoSuchObject", message)
    })
}

/// The same with the table store, which must be open here.
async fn opened(call: &Call) -> Result<(Tables, OtsInstance)> {
    let instance = this(call).await?;
    let store = call.state.ots.tables().map_err(|_| elsewhere())?;
    Ok((store, instance))
}

pub async fn get(call: Call) -> Answer {
    answers::json(&ots_instance(&call).await?)
}

/// The instance of the path.
pub async fn ots_instance(call: &Call) -> Result<OtsInstanceView> {
    let instance = this(call).await?;
    with_usage(call, vec![instance]).pop().ok_or_else(|| Error::internal("an instance is there and is not"))
}

pub async fn delete(call: Call) -> Answer {
    delete_ots_instance(&call).await?;
    answers::json(&Done {})
}

/// Deletes an instance that has no tables, if it is still there. Its name is free afterwards; whoever takes it gets
/// another id, under which nothing of this one is found. Who names one of somebody else is told so: that it is gone
/// would be wrong.
///
/// 1. nobody makes a table in any instance, and this one has none;
/// 2. what the table store counted for it goes;
/// 3. the row goes. A delete that is cut before leaves an instance without tables, which is deleted by the next one.
pub async fn delete_ots_instance(call: &Call) -> Result<()> {
    let Some(instance) = named(call).await? else { return Ok(()) };
    own_or_admin(call.caller()?, Some(&instance.account_id))?;
    let ots = &call.state.ots;
    let tables = ots.tables().map_err(|_| elsewhere())?;
    let _alone = ots.change_instances().await;
    if let Some(table) = tables.list_tables(&instance.id).await?.first() {
        let name = &instance.name;
        let message = format!("Instance '{name}' still has tables, for example '{table}'; delete them first");
        return Err(Error::new(Kind::Conflict, "InstanceNotEmpty", message));
    }
    tables.drop_instance(&instance.id).await?;
    call.state.meta.delete_ots_instance(&instance.id).await?;
    tracing::info!(ots = instance.name, "instance of the table store deleted");
    Ok(())
}

/// Whether this process has the table store.
pub fn is_ots_open(call: &Call) -> bool {
    call.state.ots.tables().is_ok()
}

fn elsewhere() -> Error {
    Error::new(Kind::Unavailable, "ServiceUnavailable", ELSEWHERE)
}

/// Whether an error says that another process has the table store.
pub fn is_ots_elsewhere(e: &Error) -> bool {
    e.kind() == Kind::Unavailable && e.message() == ELSEWHERE
}
