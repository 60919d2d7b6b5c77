//! The instance tunnel: rows of a query's result.
//!
//! A result never changes, so its download session is nothing but the instance and whether the rows are limited: the id
//! says both, and it works on any server and after a restart.

use feitian_base::{Error, Kind, Result};
use feitian_meta::rows::Instance;
use feitian_types::TableSchema;
use feitian_wire::schema_json::{Session, download_session, schema_json};

use super::codec::Output;
use super::session;
use crate::answers;
use crate::call::{Answer, Call};
use crate::odps::instances::wait_for;
use crate::odps::interactive;
use crate::odps::projects::read_limit;
use crate::warehouse::{RowRange, RowSet};

const LIMIT_FLAG: &str = "instance_tunnel_limit_enabled";

/// The rows of a result that a session shows.
pub struct Download {
    pub instance: Instance,
    pub rows: RowSet,
    /// Rows that this session shows, at most those of the result.
    pub count: u64,
    pub id: String,
}

/// The session of the instance that the call names, with all of its rows or as many as the project shows.
pub async fn download(call: &Call, limited: bool) -> Result<Download> {
    let instance = call.state.warehouse.instance(call.project(), call.instance()).await?;
    let rows = call.state.warehouse.result(&instance).await?;
    let count = if limited { rows.num_rows.min(read_limit(call).await?) } else { rows.num_rows };
    let id = format!("{}-{}", instance.id, if limited { "limited" } else { "all" });
    Ok(Download { instance, rows, count, id })
}

/// The session that a request names.
async fn find(call: &Call) -> Result<Download> {
    named(call, call.query.need("downloadid")?).await
}

/// The session of this id.
pub async fn named(call: &Call, id: &str) -> Result<Download> {
    let limited = match id.strip_prefix(call.instance()) {
        Some("-limited") => true,
        Some("-all") => false,
        _ => {
            let message = format!("there is no download '{id}' of instance '{}'", call.instance());
            return Err(Error::new(Kind::NotFound, "NoSuchDownload", message));
        }
    };
    download(call, limited).await
}

fn document(call: &Call, download: &Download) -> Answer {
    let schema = TableSchema { columns: download.rows.columns.clone(), partition_columns: Vec::new() };
    let shown = Session { id: &download.id, status: "normal", schema: &schema, quota: session::quota(call) };
    answers::json_text(download_session(&shown, download.count))
}

pub async fn create(call: Call) -> Answer {
    let limited = call.query.has(LIMIT_FLAG) && call.query.flag(LIMIT_FLAG, true)?;
    document(&call, &download(&call, limited).await?)
}

pub async fn status(call: Call) -> Answer {
    document(&call, &find(&call).await?)
}

pub async fn read(call: Call) -> Answer {
    call.refuse_parameters(&["raw_size"])?;
    let download = find(&call).await?;
    let asked = session::row_range(&call)?;
    let start = asked.start.min(download.count);
    let range = RowRange { start, count: asked.count.min(download.count - start) };
    let wanted = session::wanted_columns(&call, "columns", &download.rows.columns)?;
    let output = Output::of_result(&call, wanted.as_deref())?;
    let (columns, batches) = call.state.warehouse.read_result(&download.instance, range, wanted).await?;
    output.respond(&call, columns, batches).await
}

/// The rows of a query of an interactive session, once it has ended. Their schema is a header.
pub async fn read_cached(call: Call) -> Answer {
    call.refuse_parameters(&["raw_size"])?;
    let opened = call.state.warehouse.instance(call.project(), call.instance()).await?;
    let query = interactive::query(&call, &opened.id, call.query.need("queryid")?).await?;
    let query = wait_for(&call, &query.id, call.state.settings.limits.admin_wait).await?;
    let rows = call.state.warehouse.result(&query).await?;
    let wanted = session::wanted_columns(&call, "columns", &rows.columns)?;
    let output = Output::of_result(&call, wanted.as_deref())?;
    let all = RowRange { start: 0, count: rows.num_rows };
    let (columns, batches) = call.state.warehouse.read_result(&query, all, wanted).await?;
    let mut response = output.respond(&call, columns, batches).await?;
    let schema = TableSchema { columns: rows.columns, partition_columns: Vec::new() };
    answers::set_header(&mut response, "odps-tunnel-schema", &in_ascii(&schema_json(&schema).to_string()));
    Ok(response)
}

/// The same JSON with everything that a header cannot carry as `\uXXXX`.
fn in_ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if c.is_ascii() => out.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 8259, section 7: U+1D11E is the pair D834 DD1E.
    #[test]
    fn a_header_holds_any_name() {
        assert_eq!(in_ascii("{\"a\":\"\u{e9}\u{1d11e}\"}"), "{\"a\":\"\\u00e9\\ud834\\udd1e\"}");
    }
}
