//! Upload sessions: open, write blocks, look, commit.

use axum::http::StatusCode;
use feitian_base::Result;
use feitian_wire::schema_json::{Session, upload_session};

use super::codec::{self, Input};
use super::permit::StreamPermit;
use super::{body_in, session};
use crate::answers;
use crate::call::{Answer, Call};
use crate::warehouse::SessionInfo;

async fn document(call: &Call, info: &SessionInfo) -> Answer {
    let schema = session::schema(info);
    let (id, status) = (&info.session.id, &info.session.status);
    let shown = Session { id, status, schema: &schema, quota: session::quota(call) };
    // Block ids were checked when they came: they are not negative.
    let blocks = info.blocks.iter().map(|b| b.block_id.unsigned_abs());
    answers::json_text(upload_session(&shown, blocks, codec::max_field_bytes(call).await?))
}

pub async fn create(call: Call) -> Answer {
    let request = session::request(&call)?;
    let info = call.state.warehouse.create_upload(call.caller()?, request).await?;
    document(&call, &info).await
}

pub async fn status(call: Call) -> Answer {
    let info = session::find(&call, "upload", call.query.need("uploadid")?).await?;
    document(&call, &info).await
}

/// Writes one block. It is durable when the answer comes; on any failure the block is as it was before.
pub async fn write(call: Call) -> Answer {
    let block_id = block_id(&call)?;
    let info = session::find(&call, "upload", call.query.need("uploadid")?).await?;
    session::check_open(&info)?;
    let input = Input::of(&call, &info.columns).await?;
    let _permit = StreamPermit::acquire(&call.state).await?;
    let limits = &call.state.settings.limits;
    let (reader, pump, waited) =
        body_in::split(call.take_body(), limits.body_idle, call.state.metrics.upload_bytes.clone());
    let source = input.source(reader);
    let (written, ()) = tokio::join!(call.state.warehouse.write_block(&info, block_id, source), pump.run());
    match written {
        Ok(()) => {
            let mut response = answers::empty(StatusCode::OK)?;
            codec::add_metrics(&call, &mut response, waited.micros());
            Ok(response)
        }
        Err(e) => session::failed(&call, e).await,
    }
}

fn block_id(call: &Call) -> Result<i64> {
    call.query.need("blockid")?;
    let id = call.query.number("blockid")?.and_then(|n| i64::try_from(n).ok());
    id.ok_or_else(|| feitian_base::Error::invalid("blockid is larger than a block id can be"))
}

/// Commits exactly the blocks that the session has. A second commit answers as the first.
pub async fn commit(call: Call) -> Answer {
    let info = session::find(&call, "upload", call.query.need("uploadid")?).await?;
    match call.state.warehouse.commit_upload(&info).await {
        Ok(info) => document(&call, &info).await,
        Err(e) => session::failed(&call, e).await,
    }
}
