//! Read sessions: a fixed version of a table, read in splits or by row numbers.

use axum::http::StatusCode;
use axum::http::header::ACCEPT_ENCODING;
use feitian_base::{Error, Result};
use feitian_types::Column;
use feitian_wire::arrow_frame::{Flavour, wire_schema};
use feitian_wire::compress::Codec;

use super::request::ReadRequest;
use super::{check_format, document};
use crate::answers;
use crate::call::{Answer, Call};
use crate::tunnel::codec;
use crate::warehouse::{RowRange, ScanOptions, Split};

/// Rows of a batch unless the client says otherwise; what PyODPS asks for.
const BATCH_ROWS: u64 = 4096;

pub async fn create(call: Call) -> Answer {
    let request: ReadRequest = call.json().await?;
    let with_stats = request.wants_stats();
    let options = request.options()?;
    check_columns(&call, &options).await?;
    let scan = call.state.warehouse.create_scan(call.caller()?, call.project(), call.table(), options).await?;
    answers::json_with(StatusCode::CREATED, &document::read_session(&scan, with_stats))
}

/// Refuses columns that no Arrow stream can hold before there is a session.
pub async fn check_columns(call: &Call, options: &ScanOptions) -> Result<()> {
    let schema = call.state.warehouse.table(call.project(), call.table()).await?.table.schema;
    let everything = options.columns.is_empty() && options.partition_columns.is_empty();
    let is_read =
        |c: &&Column| everything || options.columns.contains(&c.name) || options.partition_columns.contains(&c.name);
    let columns: Vec<Column> = schema.all_columns().filter(is_read).cloned().collect();
    wire_schema(&columns, Flavour::TableTunnel).map(drop)
}

pub async fn status(call: Call) -> Answer {
    if call.query.flag("session_refresh", false)? {
        return Err(Error::unsupported("session_refresh is not supported; open a new session"));
    }
    let id = call.segment("session");
    let scan = call.state.warehouse.scan(call.project(), call.table(), id).await?;
    answers::json(&document::read_session(&scan, true))
}

pub async fn read(call: Call) -> Answer {
    check_format(&call)?;
    let warehouse = &call.state.warehouse;
    let scan = warehouse.scan(call.project(), call.table(), call.query.need("session_id")?).await?;
    let number = |key: &str| -> Result<u64> { Ok(call.query.number(key)?.unwrap_or(0)) };
    let (split, start, count) = (number("split_index")?, number("row_index")?, number("row_count")?);
    let rows = match scan.options.split {
        Split::Rows if count == 0 => return Err(Error::invalid("row_count must say how many rows are wanted")),
        Split::Rows if split == 0 => Some(RowRange { start, count }),
        Split::Rows => return Err(Error::invalid("a session that is read by row numbers has no split but 0")),
        Split::Bytes(_) | Split::Count(_) if start == 0 && count == 0 => None,
        Split::Bytes(_) | Split::Count(_) => {
            return Err(Error::invalid("row_index and row_count are for sessions of SplitMode 'RowOffset'"));
        }
    };
    let batch_rows = call.query.number("max_batch_rows")?.unwrap_or(BATCH_ROWS);
    if batch_rows == 0 {
        return Err(Error::invalid("max_batch_rows must be 1 or more"));
    }
    let batch_rows = usize::try_from(batch_rows).unwrap_or(usize::MAX);
    let (columns, batches) = warehouse.read_scan(&scan, split, rows).await?;
    codec::respond_stream(&call, columns, batches, accepted(&call), batch_rows).await
}

/// Clients name the compression of the buffers as if it were one of the body; what we do not know is answered plain,
/// which they take as well.
fn accepted(call: &Call) -> Codec {
    let names = call.header(ACCEPT_ENCODING.as_str()).unwrap_or_default();
    let known = |name: &str| match name.trim().to_ascii_uppercase().as_str() {
        "ZSTD" => Some(Codec::Zstd),
        "LZ4_FRAME" => Some(Codec::Lz4Frame),
        _ => None,
    };
    names.split(',').find_map(known).unwrap_or(Codec::Identity)
}
