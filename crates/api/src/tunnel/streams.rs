//! Stream uploads: rows are visible when the answer comes.

use axum::http::StatusCode;
use feitian_wire::schema_json::{Session, stream_session};
use serde_json::json;

use super::codec::{self, Input};
use super::permit::StreamPermit;
use super::{body_in, session};
use crate::answers;
use crate::call::{Answer, Call};
use crate::warehouse::SessionInfo;

/// Any slot reaches the same server, so one is enough.
const SLOT: &str = "0";

/// Clients take a slot's server apart at its one colon (PyODPS `odps/tunnel/tabletunnel.py`), which leaves out IPv6.
pub(super) fn server(call: &Call) -> String {
    let host = call.origin.host_port();
    if host.matches(':').count() == 1 { host } else { call.state.settings.default_host.clone() }
}

fn document(call: &Call, info: &SessionInfo) -> Answer {
    let schema = session::schema(info);
    let (id, status) = (&info.session.id, &info.session.status);
    let shown = Session { id, status, schema: &schema, quota: session::quota(call) };
    let slots = [(SLOT.to_string(), server(call))];
    answers::json_text(stream_session(&shown, &info.session.schema_version.to_string(), &slots))
}

pub async fn create(call: Call) -> Answer {
    call.refuse_parameters(&["zorder_columns"])?;
    if call.query.flag("dynamic_partition", false)? {
        call.refuse_parameters(&["dynamic_partition"])?;
    }
    let request = session::request(&call)?;
    let info = call.state.warehouse.create_stream(call.caller()?, request).await?;
    document(&call, &info)
}

pub async fn status(call: Call) -> Answer {
    let info = session::find(&call, "stream", call.query.need("uploadid")?).await?;
    document(&call, &info)
}

/// Writes rows. They are durable and visible when the answer comes.
pub async fn write(call: Call) -> Answer {
    let info = session::find(&call, "stream", call.query.need("uploadid")?).await?;
    session::check_open(&info)?;
    let input = Input::of(&call, &info.columns).await?;
    let _permit = StreamPermit::acquire(&call.state).await?;
    let limits = &call.state.settings.limits;
    let (reader, pump, waited) =
        body_in::split(call.take_body(), limits.body_idle, call.state.metrics.upload_bytes.clone());
    let source = input.source(reader);
    let (written, ()) = tokio::join!(call.state.warehouse.write_stream(&info, source), pump.run());
    if let Err(e) = written {
        return session::failed(&call, e).await;
    }
    let mut response = answers::empty(StatusCode::OK)?;
    answers::set_header(&mut response, "odps-tunnel-routed-server", &server(&call));
    answers::set_header(&mut response, "odps-tunnel-slot-num", "1");
    codec::add_metrics(&call, &mut response, waited.micros());
    Ok(response)
}

pub async fn close(call: Call) -> Answer {
    let info = session::find(&call, "stream", call.query.need("uploadid")?).await?;
    call.state.warehouse.close_stream(&info).await?;
    answers::json(&json!({}))
}
