//! Operations on tables: create, list, describe, change, delete, and their defined columns.

use feitian_base::Result;
use feitian_tables::model::{IndexMeta, NewTable, TableChange, Throughput};
use feitian_wire::ots::errors;
use feitian_wire::ots::messages::{
    AddDefinedColumnRequest, AddDefinedColumnResponse, CreateTableRequest, CreateTableResponse,
    DeleteDefinedColumnRequest, DeleteDefinedColumnResponse, DeleteTableRequest, DeleteTableResponse,
    DescribeTableRequest, DescribeTableResponse, ListTableRequest, ListTableResponse, TableMeta, TableStatus,
    UpdateTableRequest, UpdateTableResponse, encode,
};

use super::{OtsAnswer, OtsCall, read, told};

pub async fn create(call: OtsCall) -> OtsAnswer {
    let table = new_table(call.message()?)?;
    // An instance is deleted when it has no tables: until this one is there, it is not.
    let _held = call.ots.hold_instances().await;
    let still_there = call.meta.ots_instance(&call.instance_name).await?.is_some_and(|i| i.id == call.instance);
    if !still_there {
        return Err(errors::instance_not_found());
    }
    call.tables.create_table(&call.instance, table).await?;
    Ok(encode(&CreateTableResponse {}))
}

fn new_table(request: CreateTableRequest) -> Result<NewTable> {
    if request.sse_spec.is_some_and(|sse| sse.enable) {
        return Err(errors::parameter_invalid("Encryption on the server is not supported: leave sse_spec out."));
    }
    let throughput = read::throughput(request.reserved_throughput);
    Ok(NewTable {
        name: request.table_meta.table_name,
        key: request.table_meta.primary_key.into_iter().map(read::key_schema).collect(),
        defined: request.table_meta.defined_column.into_iter().map(read::defined_column).collect(),
        throughput: Throughput {
            read: throughput.read.unwrap_or_default(),
            write: throughput.write.unwrap_or_default(),
        },
        options: request.table_options.map(read::options),
        stream: request.stream_spec.map(read::stream),
        indexes: request.index_metas.into_iter().map(read::index).collect::<Result<_>>()?,
        transactions: request.enable_local_txn,
    })
}

pub async fn list(call: OtsCall) -> OtsAnswer {
    let ListTableRequest {} = call.message()?;
    let table_names = call.tables.list_tables(&call.instance).await?;
    Ok(encode(&ListTableResponse { table_names }))
}

pub async fn describe(call: OtsCall) -> OtsAnswer {
    let request: DescribeTableRequest = call.message()?;
    let table = call.tables.describe_table(&call.instance, &request.table_name).await?;
    let building = &table.building;
    let told = |index: &IndexMeta| told::index(index.clone(), building.contains(&index.name));
    let index_metas = table.indexes.iter().map(told).collect();
    Ok(encode(&DescribeTableResponse {
        reserved_throughput_details: told::throughput(&table),
        table_meta: TableMeta {
            table_name: table.name,
            primary_key: table.key.into_iter().map(told::key_schema).collect(),
            defined_column: table.defined.into_iter().map(told::defined_column).collect(),
        },
        table_options: told::options(table.options),
        // A table serves requests from its creation to its deletion, and changes of it are done when they are answered.
        table_status: TableStatus::Active as i32,
        stream_details: Some(told::stream(table.stream)),
        shard_splits: Vec::new(),
        sse_details: None,
        index_metas,
        creation_time: Some(table.created_ms.saturating_mul(1000)),
    }))
}

pub async fn update(call: OtsCall) -> OtsAnswer {
    let request: UpdateTableRequest = call.message()?;
    let change = TableChange {
        throughput: request.reserved_throughput.map(read::throughput),
        options: request.table_options.map(read::options),
        stream: request.stream_spec.map(read::stream),
    };
    let table = call.tables.update_table(&call.instance, &request.table_name, change).await?;
    Ok(encode(&UpdateTableResponse {
        reserved_throughput_details: told::throughput(&table),
        table_options: told::options(table.options),
        stream_details: Some(told::stream(table.stream)),
    }))
}

pub async fn delete(call: OtsCall) -> OtsAnswer {
    let request: DeleteTableRequest = call.message()?;
    call.tables.delete_table(&call.instance, &request.table_name).await?;
    Ok(encode(&DeleteTableResponse {}))
}

pub async fn add_columns(call: OtsCall) -> OtsAnswer {
    let request: AddDefinedColumnRequest = call.message()?;
    let columns = request.columns.into_iter().map(read::defined_column).collect();
    call.tables.add_columns(&call.instance, &request.table_name, columns).await?;
    Ok(encode(&AddDefinedColumnResponse {}))
}

pub async fn delete_columns(call: OtsCall) -> OtsAnswer {
    let request: DeleteDefinedColumnRequest = call.message()?;
    call.tables.delete_columns(&call.instance, &request.table_name, request.columns).await?;
    Ok(encode(&DeleteDefinedColumnResponse {}))
}
