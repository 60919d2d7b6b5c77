//! Write sessions: open, write blocks, look, commit.
//!
//! A block may be written by several attempts; each gets a message of its own, and the commit names those that count.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use feitian_base::{Error, Result};
use feitian_types::Column;
use feitian_wire::arrow_frame::{Flavour, wire_schema};
use serde_json::json;

use super::request::{CommitRequest, Target, WriteRequest};
use super::{check_format, document};
use crate::answers;
use crate::call::{Answer, Call};
use crate::tunnel::codec::Input;
use crate::tunnel::permit::StreamPermit;
use crate::tunnel::{body_in, session};
use crate::warehouse::{SessionInfo, SessionRequest};

const KIND: &str = "storage_write";
/// Blocks of one session.
pub const MAX_BLOCKS: u64 = 20_000;
/// Attempts at one block. Together they make the numbers of the warehouse's blocks.
const MAX_ATTEMPTS: u64 = 100_000;

pub async fn create(call: Call) -> Answer {
    let Target { partition, overwrite, partition_limit } = call.json::<WriteRequest>().await?.target()?;
    let warehouse = &call.state.warehouse;
    let (project, table) = (call.project().to_string(), call.table().to_string());
    let schema = warehouse.table(&project, &table).await?.table.schema;
    let columns: Vec<Column> = schema.all_columns().cloned().collect();
    wire_schema(&columns, Flavour::TableTunnel)?;
    let request =
        SessionRequest { project, table, partition, overwrite, create_partition: false, schema_version: None };
    let info = warehouse.create_write(call.caller()?, request, partition_limit).await?;
    answers::json_with(StatusCode::CREATED, &document::write_session(&info))
}

pub async fn status(call: Call) -> Answer {
    let info = session::find(&call, KIND, call.segment("session")).await?;
    answers::json(&document::write_session(&info))
}

/// Writes one attempt at a block. It is durable when the answer comes; on any failure it is as it was before.
pub async fn write(call: Call) -> Answer {
    check_format(&call)?;
    let block_id = block_id(&call)?;
    let info = session::find(&call, KIND, call.segment("session")).await?;
    session::check_open(&info)?;
    let columns: Vec<Column> = info.columns.iter().chain(partition_columns(&info)).cloned().collect();
    let input = Input::of_stream(&call, &columns).await?;
    let _permit = StreamPermit::acquire(&call.state).await?;
    let limits = &call.state.settings.limits;
    let (reader, pump, _) = body_in::split(call.take_body(), limits.body_idle, call.state.metrics.upload_bytes.clone());
    let source = input.source(reader);
    let (written, ()) = tokio::join!(call.state.warehouse.write_block(&info, block_id, source), pump.run());
    match written {
        Ok(()) => answers::json(&json!({"CommitMessage": message(&info, block_id)})),
        Err(e) => session::failed(&call, e).await,
    }
}

fn block_id(call: &Call) -> Result<i64> {
    let number = |key: &str, end: u64| -> Result<u64> {
        let given = call.query.number(key)?.unwrap_or(0);
        let wrong = || Error::invalid(format!("{key} {given} is not below {end}"));
        Some(given).filter(|n| *n < end).ok_or_else(wrong)
    };
    let (block, attempt) = (number("block_number", MAX_BLOCKS)?, number("attempt_number", MAX_ATTEMPTS)?);
    Ok((block * MAX_ATTEMPTS + attempt) as i64)
}

/// What a client hands back to have a block committed.
fn message(info: &SessionInfo, block_id: i64) -> String {
    format!("{}-{block_id}", info.session.id)
}

/// The partition columns that rows of the session carry: those of one that names its partition carry none.
pub fn partition_columns(info: &SessionInfo) -> &[Column] {
    if info.session.partition.is_empty() { &info.partition_columns } else { &[] }
}

/// The blocks that the messages of a commit name. One that comes twice counts once.
fn named_blocks(info: &SessionInfo, messages: &[String]) -> Result<BTreeSet<i64>> {
    let number = |text: &String| text.strip_prefix(info.session.id.as_str())?.strip_prefix('-')?.parse::<u32>().ok();
    let mut named = BTreeSet::new();
    for text in messages {
        let unknown = || Error::invalid(format!("commit message '{text}' is of no block of this session"));
        named.insert(i64::from(number(text).ok_or_else(unknown)?));
    }
    let block = |id: &i64| id / MAX_ATTEMPTS as i64;
    let ids: Vec<i64> = named.iter().copied().collect();
    match ids.windows(2).find(|pair| block(&pair[0]) == block(&pair[1])) {
        Some(pair) => {
            let text = format!("block {} would be committed by two of its attempts; name one", block(&pair[0]));
            Err(Error::invalid(text))
        }
        None => Ok(named),
    }
}

/// Commits exactly the named blocks. A second commit answers as the first.
pub async fn commit(call: Call) -> Answer {
    let info = session::find(&call, KIND, call.query.need("session_id")?).await?;
    let request: CommitRequest = call.json().await?;
    if request.wait_flying_writers_timeout_seconds.is_some_and(|seconds| seconds != 0) {
        let text = "WaitFlyingWritersTimeoutSeconds is not supported: commit when the writers have ended";
        return Err(Error::unsupported(text));
    }
    let blocks = named_blocks(&info, &request.commit_messages)?;
    match call.state.warehouse.commit_write(&info, &blocks).await {
        Ok(info) => answers::json_with(StatusCode::CREATED, &document::write_session(&info)),
        Err(e) => session::failed(&call, e).await,
    }
}
