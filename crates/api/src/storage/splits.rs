//! Read sessions of versions 2 and 3: the same as those of version 1, under other names; and previews.

use feitian_base::{Error, Kind, Result};
use feitian_types::PartitionSpec;
use feitian_wire::arrow_frame::Flavour;
use serde::Deserialize;
use serde_json::{Value, json};

use super::document;
use super::reads::check_columns;
use super::request::{ReadRequest, RowsRequest};
use crate::answers;
use crate::call::{Answer, Call};
use crate::tunnel::{codec, session};
use crate::warehouse::{RowRange, ScanInfo, Split};

/// Rows of a preview unless the client says how many.
const PREVIEW_ROWS: u64 = 1000;
/// Rows of a batch of a preview.
const PREVIEW_BATCH: usize = 4096;

fn shown(scan: &ScanInfo) -> Value {
    let mut shown = document::read_session(scan, true);
    let mode = match scan.options.split {
        Split::Bytes(_) => "Size",
        Split::Count(_) => "Parallelism",
        Split::Rows => "RowOffset",
    };
    shown["SplitMode"] = json!(mode);
    shown
}

pub async fn create(call: Call) -> Answer {
    let options = call.json::<ReadRequest>().await?.options()?;
    check_columns(&call, &options).await?;
    let scan = call.state.warehouse.create_scan(call.caller()?, call.project(), call.table(), options).await?;
    answers::json(&shown(&scan))
}

async fn find(call: &Call) -> Result<ScanInfo> {
    call.state.warehouse.scan(call.project(), call.table(), call.query.need("SessionId")?).await
}

pub async fn status(call: Call) -> Answer {
    if call.query.flag("session_refresh", false)? {
        return Err(Error::unsupported("session_refresh is not supported; open a new session"));
    }
    answers::json(&shown(&find(&call).await?))
}

pub async fn read(call: Call) -> Answer {
    let batch_rows = call.json::<RowsRequest>().await?.of_table()?.batch_rows()?;
    let scan = find(&call).await?;
    let (split, start, count) =
        (call.query.number("Index")?, call.query.number("Offset")?, call.query.number("Count")?);
    let (split, rows) = match (scan.options.split, split) {
        (Split::Rows, None | Some(0)) => {
            let count = count.unwrap_or(u64::MAX);
            (0, Some(RowRange { start: start.unwrap_or(0), count }))
        }
        (Split::Rows, Some(_)) => {
            return Err(Error::invalid("a session that is read by row numbers has no split but 0"));
        }
        (Split::Bytes(_) | Split::Count(_), Some(split)) if start.unwrap_or(0) == 0 && count.unwrap_or(0) == 0 => {
            (split, None)
        }
        (Split::Bytes(_) | Split::Count(_), Some(_)) => {
            return Err(Error::invalid("Offset and Count are for sessions of SplitMode 'RowOffset'"));
        }
        (Split::Bytes(_) | Split::Count(_), None) => {
            return Err(Error::invalid("Index must say which split is wanted"));
        }
    };
    let (columns, batches) = call.state.warehouse.read_scan(&scan, split, rows).await?;
    codec::respond_packed(&call, columns, batches, Flavour::TableTunnel, batch_rows).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PreviewRequest {
    limit: Option<u64>,
    partition: Option<String>,
    columns: Option<Vec<String>>,
}

/// The first rows of a table, its schema also when there are none.
pub async fn preview(call: Call) -> Answer {
    let request: PreviewRequest = call.json().await?;
    let limit = request.limit.or(call.query.number("Limit")?).unwrap_or(PREVIEW_ROWS);
    let parse = |text: &str| {
        let message = format!("partition '{text}' is no list of name=value pairs");
        PartitionSpec::parse(text).ok_or_else(|| Error::new(Kind::Invalid, "InvalidPartitionSpec", message))
    };
    let partition = request.partition.as_deref().or(call.query.get("Partition")).map(parse).transpose()?;
    let partition = partition.filter(|p| !p.0.is_empty());
    let warehouse = &call.state.warehouse;
    let known: Vec<_> =
        warehouse.table(call.project(), call.table()).await?.table.schema.all_columns().cloned().collect();
    let names = request.columns.unwrap_or_default().iter().map(|n| n.trim().to_lowercase()).collect();
    let wanted = session::known_columns(names, &known)?;
    let (columns, batches) = warehouse.preview(call.project(), call.table(), partition.as_ref(), wanted, limit).await?;
    codec::respond_packed(&call, columns, batches, Flavour::InstanceTunnel, PREVIEW_BATCH).await
}
