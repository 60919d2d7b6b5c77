//! Write sessions of versions 2 and 3: open, begin streams, write, look, end, commit.
//!
//! The rows of a table with a key come with what happens to the row of their key, and its sessions are upsert sessions.

use std::collections::BTreeMap;

use arrow::array::new_null_array;
use arrow::record_batch::RecordBatch;
use feitian_base::{Error, Kind, Result};
use feitian_types::arrow::engine_schema;
use feitian_types::{Column, DataType, PartitionSpec};
use feitian_wire::arrow_frame::{Flavour, wire_schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::request::DataFormat;
use super::write_schema::write_schema;
use super::writes::partition_columns;
use crate::answers;
use crate::call::{Answer, Call};
use crate::tunnel::codec::Input;
use crate::tunnel::permit::StreamPermit;
use crate::tunnel::{body_in, session, upserts};
use crate::warehouse::{BatchSource, SessionInfo, SessionRequest, StreamName, StreamPart, StreamPlace, WriteStream};

const KIND: &str = "storage_stream";
/// Sessions of tables with a key.
const KEYED: &str = "upsert";
/// What rows of a table with a key carry behind their own columns: the letter U or D.
const OPERATION: &str = "__operation";
const TOKEN: &str = "x-odps-max-storage-write-access-token";

/// The modes in which rows become visible with the commit are one.
fn check_mode(call: &Call) -> Result<()> {
    match call.query.get("WriteMode") {
        None | Some("Batch" | "BatchCompatible") => Ok(()),
        Some(mode) => Err(Error::unsupported(format!("WriteMode '{mode}' is not supported; use Batch and commit"))),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateRequest {
    partial_partition_spec: Option<String>,
    flags: Option<BTreeMap<String, Value>>,
    required_data_format: Option<DataFormat>,
}

impl CreateRequest {
    /// Whether what was there goes.
    fn overwrites(&self) -> Result<bool> {
        let mut overwrites = false;
        for (key, value) in self.flags.iter().flatten() {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            match (key.as_str(), text.as_str()) {
                ("overwrite", "true") => overwrites = true,
                ("overwrite" | "enable_schema_evolution", "false") => {}
                // There is one quota, which has every name.
                ("quota_name", _) => {}
                _ => return Err(Error::unsupported(format!("flag {key}={text} is not supported; leave it out"))),
            }
        }
        Ok(overwrites)
    }
}

pub async fn create(call: Call) -> Answer {
    check_mode(&call)?;
    let request: CreateRequest = call.json().await?;
    if let Some(format) = &request.required_data_format {
        format.check()?;
    }
    let overwrite = request.overwrites()?;
    let parse = |text: &str| {
        let message = format!("partition '{text}' is no list of name=value pairs");
        PartitionSpec::parse(text).ok_or_else(|| Error::new(Kind::Invalid, "InvalidPartitionSpec", message))
    };
    let partition = request.partial_partition_spec.as_deref().filter(|text| !text.trim().is_empty()).map(parse);
    let partition = partition.transpose()?.filter(|p| !p.0.is_empty());
    let warehouse = &call.state.warehouse;
    let (project, table) = (call.project().to_string(), call.table().to_string());
    let schema = warehouse.table(&project, &table).await?.table.schema;
    let columns: Vec<Column> = schema.all_columns().cloned().collect();
    wire_schema(&columns, Flavour::TableTunnel)?;
    let request =
        SessionRequest { project, table, partition, overwrite, create_partition: false, schema_version: None };
    let info = warehouse.create_streamed(call.caller()?, request).await?;
    answers::json(&json!({"SessionId": info.session.id}))
}

/// The session that the call names, of either kind.
async fn find(call: &Call) -> Result<SessionInfo> {
    check_mode(call)?;
    let id = call.query.need("SessionId")?;
    match session::find(call, KIND, id).await {
        Err(missing) if missing.code() == "NoSuchUpload" => match session::find(call, KEYED, id).await {
            Err(e) if e.code() == "UpsertSessionNotFound" => Err(missing),
            found => found,
        },
        found => found,
    }
}

fn is_keyed(info: &SessionInfo) -> bool {
    info.session.kind == KEYED
}

/// The columns that rows carry, and behind them those of the system.
fn columns(info: &SessionInfo) -> (Vec<Column>, Vec<Column>) {
    if is_keyed(info) {
        return (info.columns.clone(), vec![Column::new(OPERATION, DataType::TinyInt)]);
    }
    (info.columns.iter().chain(partition_columns(info)).cloned().collect(), Vec::new())
}

fn shown_schema(info: &SessionInfo) -> Value {
    let (data, system) = columns(info);
    write_schema(&data, &system)
}

pub async fn schema(call: Call) -> Answer {
    let info = find(&call).await?;
    answers::json(&json!({"TableSchema": shown_schema(&info)}))
}

/// What the session has of each stream; of one that was begun again its newest version.
pub async fn status(call: Call) -> Answer {
    let info = find(&call).await?;
    let mut streams = Map::new();
    for stream in call.state.warehouse.write_streams(&info).await? {
        let state = json!({"StreamVersion": stream.name.version, "Status": state(&stream)});
        streams.insert(stream.name.id, state);
    }
    let state = match info.session.status.as_str() {
        "normal" => "NORMAL",
        "closing" => "COMMITTING",
        "closed" => "COMMITTED",
        _ => "EXPIRED",
    };
    answers::json(&json!({"SessionId": info.session.id, "SessionStatus": state, "Streams": streams}))
}

fn state(stream: &WriteStream) -> &'static str {
    if stream.is_closed { "CLOSED" } else { "NORMAL" }
}

/// Which stream a request is about.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StreamRequest {
    stream_id: Option<String>,
    stream_version: Option<i64>,
    exactly_once_mode: Option<bool>,
    /// The query names the session and the table, and counts.
    #[serde(rename = "SessionId")]
    _session_id: Option<String>,
    #[serde(rename = "TableId")]
    _table_id: Option<String>,
}

impl StreamRequest {
    fn name(self) -> Result<StreamName> {
        let id = self.stream_id.ok_or_else(|| Error::invalid("StreamId must name the stream"))?;
        Ok(StreamName { id, version: self.stream_version.unwrap_or(0) })
    }
}

fn name_in_query(call: &Call) -> Result<StreamName> {
    let version = call.query.number("StreamVersion")?.unwrap_or(0);
    let version = i64::try_from(version).map_err(|_| Error::invalid(format!("there is no StreamVersion {version}")))?;
    Ok(StreamName { id: call.query.need("StreamId")?.to_string(), version })
}

/// One client reads `status` and `recordCount`, the other one `Status` and `RecordCount`.
fn document(info: &SessionInfo, stream: &WriteStream, counts_rows: bool) -> Value {
    let mut shown = json!({
        "TableSchema": shown_schema(info),
        "TableId": info.session.table_id,
        "SchemaVersion": info.session.schema_version,
        "LatestSchemaVersion": info.session.schema_version,
        "Status": state(stream),
        "status": state(stream),
    });
    if !is_keyed(info) {
        shown["RecordCount"] = json!(stream.num_rows);
        shown["recordCount"] = json!(stream.num_rows);
        shown["ByteSize"] = json!(stream.num_bytes);
    }
    if let Some(token) = stream.token.as_ref().filter(|_| counts_rows) {
        shown["AccessToken"] = json!(token);
        shown["RowOffset"] = json!(stream.num_rows);
    }
    shown
}

/// Begins a stream. One that has begun is that one.
pub async fn begin(call: Call) -> Answer {
    let info = find(&call).await?;
    session::check_open(&info)?;
    let request: StreamRequest = call.json().await?;
    let counts_rows = request.exactly_once_mode.unwrap_or(false);
    let stream = call.state.warehouse.open_write_stream(&info, &request.name()?, counts_rows).await?;
    answers::json(&document(&info, &stream, counts_rows))
}

pub async fn look(call: Call) -> Answer {
    let request: StreamRequest = call.json().await?;
    let counts_rows = request.exactly_once_mode.unwrap_or(false);
    look_at(&call, &request.name()?, counts_rows).await
}

pub async fn look_by_query(call: Call) -> Answer {
    look_at(&call, &name_in_query(&call)?, call.query.flag("ExactlyOnceMode", false)?).await
}

async fn look_at(call: &Call, name: &StreamName, counts_rows: bool) -> Answer {
    let info = find(call).await?;
    let stream = call.state.warehouse.write_stream_named(&info, name).await?;
    answers::json(&document(&info, &stream, counts_rows))
}

/// Takes rows of a stream. They are durable when the answer comes; on any failure it is as if they had not come.
pub async fn write(call: Call) -> Answer {
    let name = name_in_query(&call)?;
    let num_rows = call.query.number("Count")?.unwrap_or(0);
    let info = find(&call).await?;
    session::check_open(&info)?;
    check_schema(&call, &info)?;
    let part = StreamPart { place: place(&call)?, num_rows, request: request_id(&call) };
    let counts_rows = part.place.is_some();
    let (data, system) = columns(&info);
    let width = data.len();
    // A row that only says which one goes has no other values than its key.
    let nullable = |c: Column| Column { nullable: c.nullable || is_keyed(&info), ..c };
    let columns: Vec<Column> = data.into_iter().chain(system).map(nullable).collect();
    let input = Input::of_stream(&call, &columns).await?;
    let _permit = StreamPermit::acquire(&call.state).await?;
    let limits = &call.state.settings.limits;
    let (reader, pump, _) = body_in::split(call.take_body(), limits.body_idle, call.state.metrics.upload_bytes.clone());
    let source = input.source(reader);
    let source = if is_keyed(&info) { as_upserts(source, &columns[..width]) } else { source };
    let written = call.state.warehouse.write_to_stream(&info, &name, part, source);
    let (written, ()) = tokio::join!(written, pump.run());
    match written {
        Ok(stream) if counts_rows => answers::json(&json!({"ExactlyOnceRowOffset": stream.num_rows})),
        Ok(_) => answers::json(&json!({})),
        Err(e) => session::failed(&call, e).await,
    }
}

/// A client that names the table and its version by what it was told must mean those of the session.
fn check_schema(call: &Call, info: &SessionInfo) -> Result<()> {
    let other = |what: &str| Error::invalid(format!("{what} is not that of the session"));
    if call.query.get("TableId").is_some_and(|id| id != info.session.table_id) {
        return Err(other("TableId"));
    }
    if call.query.get("SchemaVersion").is_some_and(|text| text != info.session.schema_version.to_string()) {
        return Err(other("SchemaVersion"));
    }
    Ok(())
}

fn place(call: &Call) -> Result<Option<StreamPlace>> {
    let Some(row) = call.query.number("RowOffset")? else { return Ok(None) };
    let row = i64::try_from(row).map_err(|_| Error::invalid(format!("there is no row {row}")))?;
    Ok(Some(StreamPlace { row, token: call.header(TOKEN).unwrap_or_default().to_string() }))
}

/// Newer clients give all attempts at a request one name and count them from 0.
fn request_id(call: &Call) -> Option<(String, bool)> {
    let id = call.header("odps-tunnel-retry-trace-id").filter(|id| !id.is_empty() && id.len() <= 256)?;
    let index = call.header("odps-tunnel-retry-index").and_then(|text| text.parse::<u64>().ok())?;
    Some((id.to_string(), index > 0))
}

/// The rows with all that upsert sessions have behind the columns of a table, which are `table`.
fn as_upserts(batches: BatchSource, table: &[Column]) -> BatchSource {
    let width = table.len();
    let hidden = upserts::hidden();
    let schema = engine_schema(table.iter().chain(&hidden));
    Box::new(batches.map(move |batch| {
        let batch = batch?;
        let mut arrays = batch.columns()[..width].to_vec();
        for field in &schema.fields()[width..] {
            arrays.push(match field.name() == OPERATION {
                true => batch.column(width).clone(),
                false => new_null_array(field.data_type(), batch.num_rows()),
            });
        }
        RecordBatch::try_new(schema.clone(), arrays).map_err(|e| Error::internal(e.to_string()))
    }))
}

/// Ends a stream: it takes no more rows.
pub async fn close(call: Call) -> Answer {
    let info = find(&call).await?;
    let name = call.json::<StreamRequest>().await?.name()?;
    call.state.warehouse.close_write_stream(&info, &name).await?;
    answers::json(&json!({}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CommitRequest {
    stream_ids: Option<Vec<String>>,
    stream_versions: Option<Vec<i64>>,
}

/// Commits the named streams, or all of them. A second commit answers as the first.
pub async fn commit(call: Call) -> Answer {
    let info = find(&call).await?;
    let request: CommitRequest = call.json().await?;
    let (ids, versions) = (request.stream_ids.unwrap_or_default(), request.stream_versions.unwrap_or_default());
    if ids.len() != versions.len() {
        let text = format!("{} StreamIds come with {} StreamVersions", ids.len(), versions.len());
        return Err(Error::invalid(text));
    }
    let named = ids.into_iter().zip(versions).map(|(id, version)| StreamName { id, version });
    let names: Vec<StreamName> = named.collect();
    match call.state.warehouse.commit_streams(&info, &names).await {
        Ok(_) => answers::json(&json!({"SessionId": info.session.id, "SessionStatus": "COMMITTED"})),
        Err(e) => session::failed(&call, e).await,
    }
}

/// Ends the session without its rows.
pub async fn abort(call: Call) -> Answer {
    let info = find(&call).await?;
    call.state.warehouse.abort_upsert(&info).await?;
    answers::json(&json!({}))
}
