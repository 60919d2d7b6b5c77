//! Download sessions: a snapshot of a table that can be read at any row, by many readers at once.

use feitian_wire::schema_json::{Session, download_session};

use super::codec::Output;
use super::session;
use crate::answers;
use crate::call::{Answer, Call};
use crate::warehouse::SessionInfo;

fn document(call: &Call, info: &SessionInfo) -> Answer {
    let schema = session::schema(info);
    let (id, status) = (&info.session.id, &info.session.status);
    let shown = Session { id, status, schema: &schema, quota: session::quota(call) };
    answers::json_text(download_session(&shown, info.session.record_count.unsigned_abs()))
}

pub async fn create(call: Call) -> Answer {
    let request = session::request(&call)?;
    let info = call.state.warehouse.create_download(call.caller()?, request).await?;
    document(&call, &info)
}

pub async fn status(call: Call) -> Answer {
    let info = session::find(&call, "download", call.query.need("downloadid")?).await?;
    document(&call, &info)
}

pub async fn read(call: Call) -> Answer {
    call.refuse_parameters(&["raw_size"])?;
    let info = session::find(&call, "download", call.query.need("downloadid")?).await?;
    let range = session::row_range(&call)?;
    let wanted = session::wanted_columns(&call, "columns", &info.columns)?;
    let output = Output::of_table(&call, wanted.as_deref())?;
    let (columns, batches) = call.state.warehouse.read_download(&info, range, wanted).await?;
    output.respond(&call, columns, batches).await
}
