//! Results of queries in versions 2 and 3 of the storage API: the instance tunnel's sessions under other names.

use feitian_base::{Error, Kind, Result};
use feitian_wire::arrow_frame::{Flavour, wire_schema};
use serde_json::{Map, Value, json};

use super::document;
use super::request::{ReadRequest, RowsRequest};
use super::write_schema::write_schema;
use crate::answers;
use crate::call::{Answer, Call};
use crate::tunnel::results::{Download, download, named};
use crate::tunnel::{codec, session};
use crate::warehouse::RowRange;

/// What every client calls the task, whatever the job calls it.
const TASK: &str = "AnonymousSQLTask";

fn shown(call: &Call, download: &Download) -> Answer {
    let columns = &download.rows.columns;
    wire_schema(columns, Flavour::InstanceTunnel)?;
    answers::json(&json!({
        "DownloadID": download.id,
        "Status": "NORMAL",
        "RecordCount": download.count,
        "TableSchema": write_schema(columns, &[]),
        "DataSchema": document::schema(columns, &[]),
        "QuotaName": session::quota(call),
    }))
}

/// One client asks for a result as it would for a table: then it must ask for all of it.
pub async fn create(call: Call) -> Answer {
    let mut body: Map<String, Value> = call.json().await?;
    let limited = match body.remove("EnableLimit") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(limited)) => limited,
        Some(other) => return Err(Error::invalid(format!("EnableLimit is true or false, not {other}"))),
    };
    let request: ReadRequest = serde_json::from_value(Value::Object(body))
        .map_err(|e| Error::invalid(format!("the body is not the expected JSON: {e}")))?;
    let options = request.options()?;
    for (key, is_given) in [
        ("RequiredDataColumns", !options.columns.is_empty()),
        ("RequiredPartitionColumns", !options.partition_columns.is_empty()),
        ("RequiredPartitions", !options.partitions.is_empty()),
        ("FilterPredicate", !options.filter.is_empty()),
    ] {
        if is_given {
            return Err(Error::unsupported(format!("{key} is not supported for results; say it in the query")));
        }
    }
    shown(&call, &download(&call, limited).await?)
}

async fn find(call: &Call) -> Result<Download> {
    named(call, call.query.need("SessionId")?).await
}

pub async fn status(call: Call) -> Answer {
    shown(&call, &find(&call).await?)
}

pub async fn read(call: Call) -> Answer {
    let request: RowsRequest = call.json().await?;
    let batch_rows = request.batch_rows()?;
    if let Some(index) = call.query.number("Index")?.filter(|index| *index != 0) {
        return Err(Error::invalid(format!("a result has one split, which is 0, not {index}")));
    }
    if request.query_id.is_some_and(|id| id != 0) {
        return Err(Error::unsupported("QueryId is not supported; a job has the result of its last query"));
    }
    let mut download = find(&call).await?;
    if let Some(task) = request.task_name.filter(|task| task != TASK && *task != download.instance.task_name) {
        let text = format!("instance '{}' has no task '{task}'", call.instance());
        return Err(Error::new(Kind::NotFound, "NoSuchObject", text));
    }
    if request.enable_limit.unwrap_or(false) {
        download = crate::tunnel::results::download(&call, true).await?;
    }
    let start = call.query.number("Offset")?.unwrap_or(0).min(download.count);
    let count = call.query.number("Count")?.unwrap_or(u64::MAX).min(download.count - start);
    let names = request.columns.unwrap_or_default().iter().map(|n| n.trim().to_lowercase()).collect();
    let wanted = session::known_columns(names, &download.rows.columns)?;
    let range = RowRange { start, count };
    let (columns, batches) = call.state.warehouse.read_result(&download.instance, range, wanted).await?;
    codec::respond_packed(&call, columns, batches, Flavour::InstanceTunnel, batch_rows).await
}
