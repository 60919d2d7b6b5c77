//! The first rows of a table as one Arrow stream, without a session.

use feitian_base::{Error, Result};

use super::codec;
use crate::call::{Answer, Call};

pub async fn read(call: Call) -> Answer {
    let limit = limit(&call)?;
    let partition = call.partition()?;
    let table = call.state.warehouse.table(call.project(), call.table()).await?.table;
    let known: Vec<_> = table.schema.all_columns().cloned().collect();
    let wanted = super::session::wanted_columns(&call, "columns", &known)?;
    let warehouse = &call.state.warehouse;
    let (columns, batches) = warehouse.preview(call.project(), call.table(), partition.as_ref(), wanted, limit).await?;
    codec::respond_preview(&call, columns, batches).await
}

/// `limit=n`; -1 and absence mean every row.
fn limit(call: &Call) -> Result<u64> {
    match call.query.get("limit") {
        None | Some("-1") => Ok(u64::MAX),
        Some(text) => {
            text.parse().map_err(|_| Error::invalid(format!("limit must be a whole number or -1, not '{text}'")))
        }
    }
}
