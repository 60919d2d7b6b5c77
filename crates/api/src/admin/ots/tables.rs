//! Tables and indexes of an instance: what they are, hold and have used.

use feitian_base::Result;
use feitian_tables::model::{
    ColumnType, DefinedColumn, IndexKind, IndexMeta, KeySchema, KeyType, StreamInfo, TableInfo, TableUsage,
};
use feitian_wire::ots::errors;

use super::opened;
use crate::admin::types::{
    OtsColumn, OtsIndexView, OtsKeyColumn, OtsStreamView, OtsTableInfo, OtsTableList, OtsTableView,
};
use crate::answers;
use crate::call::{Answer, Call};

pub async fn list(call: Call) -> Answer {
    answers::json(&OtsTableList { tables: ots_tables(&call).await? })
}

/// The tables of the instance of the path, each followed by its indexes.
pub async fn ots_tables(call: &Call) -> Result<Vec<OtsTableView>> {
    let (store, instance) = opened(call).await?;
    let mut tables = Vec::new();
    for used in store.usage().into_iter().filter(|used| used.instance == instance.id) {
        let name = used.index.as_ref().unwrap_or(&used.table);
        // What was deleted meanwhile is in the list no more.
        let Ok(info) = store.describe_table(&instance.id, name).await else { continue };
        tables.push(line(used, info));
    }
    tables.sort_by(|a, b| (&a.table, &a.index).cmp(&(&b.table, &b.index)));
    Ok(tables)
}

fn line(used: TableUsage, info: TableInfo) -> OtsTableView {
    OtsTableView {
        table: used.table,
        index: used.index,
        state: used.state.to_string(),
        bytes: used.bytes,
        read_units: used.read_units,
        write_units: used.write_units,
        key: info.key.into_iter().map(key_column).collect(),
        max_versions: info.options.max_versions,
        time_to_live_s: info.options.time_to_live_s,
        stream: info.stream.enable,
    }
}

pub async fn get(call: Call) -> Answer {
    answers::json(&ots_table(&call).await?)
}

/// The table or index of the path.
pub async fn ots_table(call: &Call) -> Result<OtsTableInfo> {
    let (store, instance) = opened(call).await?;
    let name = call.segment("ots_table");
    let info = store.describe_table(&instance.id, name).await?;
    let mut used = store.usage();
    used.retain(|used| used.instance == instance.id);
    let own = used.iter().find(|used| used.index.as_deref().unwrap_or(&used.table) == name);
    // It was deleted between the two looks.
    let own = own.ok_or_else(errors::table_not_found)?;
    let index = |meta: IndexMeta| {
        let found = used.iter().find(|used| used.index.as_ref() == Some(&meta.name));
        index(meta, found)
    };
    Ok(OtsTableInfo {
        index_of: own.index.is_some().then(|| own.table.clone()),
        state: own.state.to_string(),
        bytes: own.bytes,
        read_units: own.read_units,
        write_units: own.write_units,
        name: info.name,
        key: info.key.into_iter().map(key_column).collect(),
        columns: info.defined.into_iter().map(column).collect(),
        max_versions: info.options.max_versions,
        time_to_live_s: info.options.time_to_live_s,
        deviation_s: info.options.deviation_s,
        allow_update: info.options.allow_update,
        transactions: info.transactions,
        reserved_read_units: info.throughput.read,
        reserved_write_units: info.throughput.write,
        stream: stream(info.stream),
        indexes: info.indexes.into_iter().map(index).collect(),
        created_ms: info.created_ms,
    })
}

fn key_column(schema: KeySchema) -> OtsKeyColumn {
    let ty = match schema.kind {
        KeyType::Integer => "integer",
        KeyType::String => "string",
        KeyType::Binary => "binary",
    };
    OtsKeyColumn { name: schema.name, ty: ty.to_string(), auto_increment: schema.auto_increment }
}

fn column(column: DefinedColumn) -> OtsColumn {
    let ty = match column.kind {
        ColumnType::Integer => "integer",
        ColumnType::Double => "double",
        ColumnType::Boolean => "boolean",
        ColumnType::String => "string",
        ColumnType::Binary => "binary",
    };
    OtsColumn { name: column.name, ty: ty.to_string() }
}

fn stream(stream: StreamInfo) -> Option<OtsStreamView> {
    Some(OtsStreamView { id: stream.stream_id?, expiration_h: stream.expiration_h? })
}

/// An index with what it has used; one that was dropped between the two looks has used nothing.
fn index(meta: IndexMeta, used: Option<&TableUsage>) -> OtsIndexView {
    let kind = match meta.kind {
        IndexKind::Local => "local",
        IndexKind::Global => "global",
    };
    OtsIndexView {
        name: meta.name,
        kind: kind.to_string(),
        state: used.map_or("ready", |used| used.state).to_string(),
        key: meta.key,
        columns: meta.columns,
        bytes: used.map_or(0, |used| used.bytes),
        read_units: used.map_or(0, |used| used.read_units),
        write_units: used.map_or(0, |used| used.write_units),
    }
}
