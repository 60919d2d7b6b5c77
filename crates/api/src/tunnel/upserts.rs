//! Upsert sessions: open, send rows bucket by bucket, look, commit, abort.

use axum::http::StatusCode;
use feitian_base::{Error, Kind, Result};
use feitian_types::{Column, DataType};
use feitian_wire::schema_json::{Session, upsert_session};
use serde::Deserialize;

use super::codec::{self, Input};
use super::permit::StreamPermit;
use super::{body_in, session, streams};
use crate::answers;
use crate::call::{Answer, Call};
use crate::warehouse::SessionInfo;

const KIND: &str = "upsert";
/// Any slot reaches the same server, so one owns all buckets.
const SLOT: &str = "0";
/// A session lives a day, which is the longest life that clients ask for.
const MOST_HOURS: u64 = 24;

/// What a session keeps for its clients.
#[derive(Deserialize)]
struct Options {
    hash_key: Vec<String>,
    buckets: u32,
}

/// What clients know a status by (PyODPS, `TableUpsertSession.Status`).
fn status_of(info: &SessionInfo) -> &str {
    match info.session.status.as_str() {
        "closing" => "committing",
        "closed" => "committed",
        status => status,
    }
}

fn document(call: &Call, info: &SessionInfo) -> Answer {
    let schema = session::schema(info);
    let options: Options = serde_json::from_str(&info.session.options).map_err(|e| {
        let text = format!("session {}: {e}", info.session.id);
        Error::new(Kind::Corrupt, "InternalServerError", text)
    })?;
    let shown = Session { id: &info.session.id, status: status_of(info), schema: &schema, quota: session::quota(call) };
    answers::json_text(upsert_session(&shown, &options.hash_key, &streams::server(call), options.buckets))
}

async fn find(call: &Call) -> Result<SessionInfo> {
    session::find(call, KIND, call.query.need("upsertid")?).await
}

/// The columns that clients send behind those of the table.
pub fn hidden() -> [Column; 5] {
    let list = || DataType::Array(Box::new(DataType::BigInt));
    [
        Column::new("__version", DataType::BigInt),
        Column::new("__app_version", DataType::BigInt),
        Column::new("__operation", DataType::TinyInt),
        Column::new("__key_cols", list()),
        Column::new("__value_cols", list()),
    ]
}

pub async fn create(call: Call) -> Answer {
    call.refuse_parameters(&["overwrite", "schema_version"])?;
    if let Some(hours) = call.query.number("lifecycle")?.filter(|hours| !(1..=MOST_HOURS).contains(hours)) {
        return Err(Error::invalid(format!("lifecycle is {hours}, a session lives 1 to {MOST_HOURS} hours")));
    }
    let request = session::request(&call)?;
    let info = call.state.warehouse.create_upsert(call.caller()?, request).await?;
    document(&call, &info)
}

pub async fn status(call: Call) -> Answer {
    document(&call, &find(&call).await?)
}

/// Takes the rows of one bucket that a client has gathered. They are durable when the answer comes, and take effect with the
/// commit; on any failure it is as if they had not come.
pub async fn write(call: Call) -> Answer {
    let number = |key: &str| {
        call.query.need(key)?;
        call.query.number(key).map(Option::unwrap_or_default)
    };
    let (bucket, num_rows) = (number("bucketid")?, number("record_count")?);
    if let Some(slot) = call.query.get("slotid").filter(|slot| *slot != SLOT) {
        return Err(Error::invalid(format!("there is no slot '{slot}', only {SLOT}")));
    }
    let info = find(&call).await?;
    session::check_open(&info)?;
    // A row that only says which one goes has no other values than its key.
    let columns = info.columns.iter().map(|c| Column { nullable: true, ..c.clone() });
    let columns: Vec<Column> = columns.chain(hidden()).collect();
    let input = Input::of(&call, &columns).await?;
    let _permit = StreamPermit::acquire(&call.state).await?;
    let limits = &call.state.settings.limits;
    let (reader, pump, waited) =
        body_in::split(call.take_body(), limits.body_idle, call.state.metrics.upload_bytes.clone());
    let source = input.source(reader);
    let written = call.state.warehouse.write_upsert(&info, bucket, num_rows, source);
    let (written, ()) = tokio::join!(written, pump.run());
    if let Err(e) = written {
        return session::failed(&call, e).await;
    }
    let mut response = answers::empty(StatusCode::OK)?;
    codec::add_metrics(&call, &mut response, waited.micros());
    Ok(response)
}

/// Lets the rows that have come take effect. A second commit answers as the first.
pub async fn commit(call: Call) -> Answer {
    let info = find(&call).await?;
    match call.state.warehouse.commit_upload(&info).await {
        Ok(info) => document(&call, &info),
        Err(e) => session::failed(&call, e).await,
    }
}

/// Ends the session without its rows.
pub async fn abort(call: Call) -> Answer {
    let info = find(&call).await?;
    call.state.warehouse.abort_upsert(&info).await?;
    answers::empty(StatusCode::OK)
}
