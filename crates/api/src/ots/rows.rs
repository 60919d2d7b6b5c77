//! Operations on single rows and on batches of them.

use feitian_base::Result;
use feitian_tables::model::{BatchWrite, GetRow, Got, TableGets, TableWrites, WriteRow, Written};
use feitian_wire::ots::encode_row;
use feitian_wire::ots::messages::{
    BatchGetRowRequest, BatchGetRowResponse, BatchWriteRowRequest, BatchWriteRowResponse, DeleteRowRequest,
    DeleteRowResponse, GetRowRequest, GetRowResponse, OperationType, PutRowRequest, PutRowResponse,
    RowInBatchGetRowResponse, RowInBatchWriteRowRequest, RowInBatchWriteRowResponse, TableInBatchGetRowRequest,
    TableInBatchGetRowResponse, TableInBatchWriteRowRequest, TableInBatchWriteRowResponse, UpdateRowRequest,
    UpdateRowResponse, encode,
};

use super::read::{Change, Wanted};
use super::{OtsAnswer, OtsCall, read, told};

pub async fn get(call: OtsCall) -> OtsAnswer {
    let request: GetRowRequest = call.message()?;
    let get = GetRow {
        table: request.table_name,
        key: read::key(&request.primary_key)?,
        select: read::select(read::wanted!(request))?,
        transaction: request.transaction_id,
    };
    let got = call.tables.get_row(&call.instance, get).await?;
    Ok(encode(&GetRowResponse {
        consumed: told::consumed(got.consumed),
        row: told::row(got.row.as_ref()),
        next_token: got.next_token,
    }))
}

pub async fn put(call: OtsCall) -> OtsAnswer {
    let PutRowRequest { table_name, row, condition, return_content, transaction_id } = call.message()?;
    let change = Change { kind: OperationType::Put, row, condition, returns: return_content };
    let written = write(&call, table_name, change, transaction_id).await?;
    let row = written.row.as_ref().map(encode_row);
    Ok(encode(&PutRowResponse { consumed: told::consumed(written.consumed), row }))
}

pub async fn update(call: OtsCall) -> OtsAnswer {
    let UpdateRowRequest { table_name, row_change, condition, return_content, transaction_id } = call.message()?;
    let change = Change { kind: OperationType::Update, row: row_change, condition, returns: return_content };
    let written = write(&call, table_name, change, transaction_id).await?;
    let row = written.row.as_ref().map(encode_row);
    Ok(encode(&UpdateRowResponse { consumed: told::consumed(written.consumed), row }))
}

pub async fn delete(call: OtsCall) -> OtsAnswer {
    let DeleteRowRequest { table_name, primary_key, condition, return_content, transaction_id } = call.message()?;
    let change = Change { kind: OperationType::Delete, row: primary_key, condition, returns: return_content };
    let written = write(&call, table_name, change, transaction_id).await?;
    let row = written.row.as_ref().map(encode_row);
    Ok(encode(&DeleteRowResponse { consumed: told::consumed(written.consumed), row }))
}

async fn write(call: &OtsCall, table: String, change: Change, transaction: Option<String>) -> Result<Written> {
    let write = WriteRow { table, write: read::write(change)?, transaction };
    call.tables.write_row(&call.instance, write).await
}

pub async fn batch_get(call: OtsCall) -> OtsAnswer {
    let request: BatchGetRowRequest = call.message()?;
    let tables = request.tables.into_iter().map(gets_of).collect::<Result<_>>()?;
    let answers = call.tables.batch_get(&call.instance, tables).await?;
    let tables = answers.into_iter().map(|(table_name, rows)| TableInBatchGetRowResponse {
        table_name,
        rows: rows.into_iter().map(got_row).collect(),
    });
    Ok(encode(&BatchGetRowResponse { tables: tables.collect() }))
}

fn gets_of(table: TableInBatchGetRowRequest) -> Result<TableGets> {
    Ok(TableGets {
        table: table.table_name,
        keys: table.primary_key.iter().map(|bytes| read::key(bytes)).collect::<Result<_>>()?,
        select: read::select(Wanted {
            columns: table.columns_to_get,
            time: table.time_range,
            max_versions: table.max_versions,
            filter: table.filter.as_deref(),
            start_column: table.start_column,
            end_column: table.end_column,
            // One for each row, and empty for a row that is to be read from its beginning.
            token: table.token.into_iter().find(|token| !token.is_empty()),
        })?,
    })
}

fn got_row(got: Result<Got>) -> RowInBatchGetRowResponse {
    match told::outcome(got) {
        Ok(got) => RowInBatchGetRowResponse {
            is_ok: true,
            error: None,
            consumed: Some(told::consumed(got.consumed)),
            row: Some(told::row(got.row.as_ref())),
            next_token: got.next_token,
        },
        Err(error) => {
            RowInBatchGetRowResponse { is_ok: false, error: Some(error), consumed: None, row: None, next_token: None }
        }
    }
}

pub async fn batch_write(call: OtsCall) -> OtsAnswer {
    let request: BatchWriteRowRequest = call.message()?;
    let batch = BatchWrite {
        tables: request.tables.into_iter().map(writes_of).collect::<Result<_>>()?,
        transaction: request.transaction_id,
        atomic: request.is_atomic.unwrap_or(false),
    };
    let answers = call.tables.batch_write(&call.instance, batch).await?;
    let tables = answers.into_iter().map(|(table_name, rows)| TableInBatchWriteRowResponse {
        table_name,
        rows: rows.into_iter().map(written_row).collect(),
    });
    Ok(encode(&BatchWriteRowResponse { tables: tables.collect() }))
}

fn written_row(written: Result<Written>) -> RowInBatchWriteRowResponse {
    match told::outcome(written) {
        Ok(written) => RowInBatchWriteRowResponse {
            is_ok: true,
            error: None,
            consumed: Some(told::consumed(written.consumed)),
            row: written.row.as_ref().map(encode_row),
        },
        Err(error) => RowInBatchWriteRowResponse { is_ok: false, error: Some(error), consumed: None, row: None },
    }
}

fn writes_of(table: TableInBatchWriteRowRequest) -> Result<TableWrites> {
    let rows = table.rows.into_iter().map(|row| read::write(change_of(row))).collect::<Result<_>>()?;
    Ok(TableWrites { table: table.table_name, rows })
}

fn change_of(row: RowInBatchWriteRowRequest) -> Change {
    let kind = row.r#type();
    Change { kind, row: row.row_change, condition: row.condition, returns: row.return_content }
}
