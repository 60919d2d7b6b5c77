//! Instances of the table store: who has which, and what is in them.

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::OtsInstance;

use super::accounts;
use super::types::{CreateOtsInstance, Done, OtsInstanceList, OtsInstanceView, OtsTableList, OtsTableView};
use crate::answers;
use crate::call::{Answer, Call};
use crate::ots::instance_name;
use crate::rights::own_or_admin;

fn view(instance: OtsInstance) -> OtsInstanceView {
    let OtsInstance { name, account_name, created_ms, .. } = instance;
    OtsInstanceView { name, account: account_name, created_ms }
}

pub async fn list(call: Call) -> Answer {
    let caller = call.caller()?;
    let account = if caller.admin { None } else { Some(caller.account_id.as_str()) };
    let instances = call.state.meta.list_ots_instances(account).await?.into_iter().map(view).collect();
    answers::json(&OtsInstanceList { instances })
}

pub async fn create(call: Call) -> Answer {
    let wanted: CreateOtsInstance = call.json().await?;
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
    answers::json_with(StatusCode::CREATED, &view(instance))
}

/// The instance of the path, if it is there; the caller must be the one to look after it.
async fn owned(call: &Call) -> Result<Option<OtsInstance>> {
    let name = call.segment("ots").to_ascii_lowercase();
    let instance = call.state.meta.ots_instance(&name).await?;
    if let Some(instance) = &instance {
        own_or_admin(call.caller()?, Some(&instance.account_id))?;
    }
    Ok(instance)
}

/// The instance of the path, which must be there.
async fn this(call: &Call) -> Result<OtsInstance> {
    let missing = || {
        let message = format!("there is no instance '{}' of the table store", call.segment("ots"));
        Error::new(Kind::NotFound, "NoSuchObject", message)
    };
    owned(call).await?.ok_or_else(missing)
}

pub async fn get(call: Call) -> Answer {
    answers::json(&view(this(&call).await?))
}

/// Deletes an instance that has no tables. Its name is free afterwards; whoever takes it gets another id, under which
/// nothing of this one is found.
///
/// 1. nobody makes a table in any instance, and this one has none;
/// 2. what the table store counted for it goes;
/// 3. the row goes. A delete that is cut before leaves an instance without tables, which is deleted by the next one.
pub async fn delete(call: Call) -> Answer {
    let Some(instance) = owned(&call).await? else { return answers::json(&Done {}) };
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
    answers::json(&Done {})
}

/// The tables of the instance, each followed by its indexes.
pub async fn tables(call: Call) -> Answer {
    let instance = this(&call).await?;
    let usage = call.state.ots.tables().map_err(|_| elsewhere())?.usage();
    let mut tables: Vec<OtsTableView> = usage
        .into_iter()
        .filter(|used| used.instance == instance.id)
        .map(|used| OtsTableView {
            table: used.table,
            index: used.index,
            state: used.state.to_string(),
            bytes: used.bytes,
            read_units: used.read_units,
            write_units: used.write_units,
        })
        .collect();
    tables.sort_by(|a, b| (&a.table, &a.index).cmp(&(&b.table, &b.index)));
    answers::json(&OtsTableList { tables })
}

/// The words for whoever asks a process that does not have the table store open.
fn elsewhere() -> Error {
    let message = "the table store is not open in this process; ask the one that has it";
    Error::new(Kind::Unavailable, "ServiceUnavailable", message)
}
