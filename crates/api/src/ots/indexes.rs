//! Operations on secondary indexes.

use feitian_wire::ots::messages::{
    CreateIndexRequest, CreateIndexResponse, DropIndexRequest, DropIndexResponse, encode,
};

use super::{OtsAnswer, OtsCall, read};

pub async fn create(call: OtsCall) -> OtsAnswer {
    let request: CreateIndexRequest = call.message()?;
    let (index, with_rows) = (read::index(request.index_meta)?, request.include_base_data.unwrap_or(false));
    call.tables.create_index(&call.instance, &request.main_table_name, index, with_rows).await?;
    Ok(encode(&CreateIndexResponse {}))
}

pub async fn drop(call: OtsCall) -> OtsAnswer {
    let request: DropIndexRequest = call.message()?;
    call.tables.drop_index(&call.instance, &request.main_table_name, &request.index_name).await?;
    Ok(encode(&DropIndexResponse {}))
}
