//! Operations on local transactions.

use feitian_wire::ots::messages::{
    AbortTransactionRequest, AbortTransactionResponse, CommitTransactionRequest, CommitTransactionResponse,
    StartLocalTransactionRequest, StartLocalTransactionResponse, encode,
};

use super::{OtsAnswer, OtsCall, read};

pub async fn start(call: OtsCall) -> OtsAnswer {
    let request: StartLocalTransactionRequest = call.message()?;
    let key = read::key(&request.key)?;
    let transaction_id = call.tables.start_transaction(&call.instance, &request.table_name, key).await?;
    Ok(encode(&StartLocalTransactionResponse { transaction_id }))
}

pub async fn commit(call: OtsCall) -> OtsAnswer {
    let request: CommitTransactionRequest = call.message()?;
    call.tables.commit_transaction(&call.instance, &request.transaction_id).await?;
    Ok(encode(&CommitTransactionResponse {}))
}

pub async fn abort(call: OtsCall) -> OtsAnswer {
    let request: AbortTransactionRequest = call.message()?;
    call.tables.abort_transaction(&call.instance, &request.transaction_id).await?;
    Ok(encode(&AbortTransactionResponse {}))
}
