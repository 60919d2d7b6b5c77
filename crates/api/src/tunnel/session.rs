//! What uploads, downloads and streams have in common: the request that opens them and the document that shows them.

use feitian_base::{Error, Kind, Result};
use feitian_types::{Column, PartitionSpec, TableSchema};

use crate::call::{Answer, Call};
use crate::error;
use crate::warehouse::{RowRange, SessionInfo, SessionRequest};

/// The quota that every session reports unless the client names one.
const DEFAULT_QUOTA: &str = "default";

/// Reads the parameters that open a session.
pub fn request(call: &Call) -> Result<SessionRequest> {
    let schema_version = match call.query.get("schema_version") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            let message = format!("there is no schema version '{text}'");
            Error::new(Kind::NotFound, "NoSuchSchema", message)
        })?),
    };
    Ok(SessionRequest {
        project: call.project().to_string(),
        table: call.table().to_string(),
        partition: call.partition()?.filter(|p| !p.0.is_empty()),
        overwrite: call.query.flag("overwrite", false)?,
        create_partition: call.query.flag("create_partition", false)?,
        schema_version,
    })
}

/// Finds the session that `id` names. A partition that is given must be the session's.
pub async fn find(call: &Call, kind: &str, id: &str) -> Result<SessionInfo> {
    let info = call.state.warehouse.session(kind, call.project(), call.table(), id).await?;
    if let Some(partition) = call.partition()?.filter(|p| !p.0.is_empty()) {
        let canonical = partition.values_for(&info.partition_columns).map(|values| {
            let names = info.partition_columns.iter().map(|c| c.name.clone());
            PartitionSpec(names.zip(values).collect()).to_string()
        });
        if canonical.as_deref() != Some(&info.session.partition) {
            let message = format!("{kind} '{id}' is for partition '{}', not '{partition}'", info.session.partition);
            return Err(Error::new(Kind::Invalid, "InvalidPartitionSpec", message));
        }
    }
    Ok(info)
}

/// Refuses to write into a session that takes nothing any more.
pub fn check_open(info: &SessionInfo) -> Result<()> {
    let session = &info.session;
    if session.status == "normal" {
        return Ok(());
    }
    let message = format!("{} '{}' is {}; open a new one", session.kind, session.id, session.status);
    Err(Error::new(Kind::Conflict, "StatusConflict", message))
}

/// The schema that session documents show.
pub fn schema(info: &SessionInfo) -> TableSchema {
    TableSchema { columns: info.columns.clone(), partition_columns: info.partition_columns.clone() }
}

/// The quota that a session document names.
pub fn quota(call: &Call) -> &str {
    call.query.get("quotaName").unwrap_or(DEFAULT_QUOTA)
}

/// Reads `rowrange=(start,count)`.
pub fn row_range(call: &Call) -> Result<RowRange> {
    let text = call.query.need("rowrange")?;
    let wrong = || {
        let message = format!("rowrange must be (start,count) with two whole numbers, not '{text}'");
        Error::new(Kind::Invalid, "InvalidRowRange", message)
    };
    let inner = text.trim().strip_prefix('(').and_then(|t| t.strip_suffix(')')).ok_or_else(wrong)?;
    let (start, count) = inner.split_once(',').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    Ok(RowRange { start: number(start)?, count: number(count)? })
}

/// Reads the list of names in parameter `key`, which must be columns of `known`, each once.
pub fn wanted_columns(call: &Call, key: &str, known: &[Column]) -> Result<Option<Vec<String>>> {
    let Some(names) = call.query.names(key) else { return Ok(None) };
    known_columns(names, known)
}

/// These names, which must be columns of `known`, each once; `None` for all when there is none.
pub fn known_columns(names: Vec<String>, known: &[Column]) -> Result<Option<Vec<String>>> {
    for (i, name) in names.iter().enumerate() {
        let message = if !known.iter().any(|c| c.name == *name) {
            format!("there is no column '{name}' to read")
        } else if names[..i].contains(name) {
            format!("column '{name}' is asked for twice")
        } else {
            continue;
        };
        return Err(Error::new(Kind::Invalid, "InvalidArgument", message));
    }
    Ok(Some(names).filter(|n| !n.is_empty()))
}

/// The answer to a failed write. `SchemaModified` tells the version that the table has now: clients read the header
/// `odps-tunnel-latest-schema-version` and open a new session with it.
pub async fn failed(call: &Call, e: Error) -> Answer {
    if e.code() != "SchemaModified" {
        return Err(e);
    }
    let version = call.state.warehouse.table(call.project(), call.table()).await?.table.schema_version;
    let mut response = error::response(&e, call.operation.surface, &call.request_id);
    response.headers_mut().insert("odps-tunnel-latest-schema-version", version.into());
    Ok(response)
}
