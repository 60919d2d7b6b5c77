//! The one operation on search indexes that is answered: there are none.

use feitian_wire::ots::messages::{ListSearchIndexRequest, ListSearchIndexResponse, encode};

use super::{OtsAnswer, OtsCall};

/// Clients ask for the search indexes of a table before they delete it; an error would make them keep the table.
pub async fn list(call: OtsCall) -> OtsAnswer {
    let ListSearchIndexRequest { table_name: _ } = call.message()?;
    Ok(encode(&ListSearchIndexResponse { indices: Vec::new() }))
}
