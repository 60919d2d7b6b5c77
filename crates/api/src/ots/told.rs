//! From what the table store answers to messages: the parts that several operations share.

use feitian_base::Result;
use feitian_tables::model::{
    ColumnType, DefinedColumn, IndexKind, IndexMeta, KeySchema, KeyType, Options, StreamInfo, TableInfo, Units,
};
use feitian_wire::ots::messages as wire;
use feitian_wire::ots::{KeyColumn, Row, encode_key, encode_row, errors};

pub(super) fn key_schema(schema: KeySchema) -> wire::PrimaryKeySchema {
    let kind = match schema.kind {
        KeyType::Integer => wire::PrimaryKeyType::Integer,
        KeyType::String => wire::PrimaryKeyType::String,
        KeyType::Binary => wire::PrimaryKeyType::Binary,
    };
    let option = schema.auto_increment.then_some(wire::PrimaryKeyOption::AutoIncrement as i32);
    wire::PrimaryKeySchema { name: schema.name, r#type: kind as i32, option }
}

pub(super) fn defined_column(column: DefinedColumn) -> wire::DefinedColumnSchema {
    let kind = match column.kind {
        ColumnType::Integer => wire::DefinedColumnType::Integer,
        ColumnType::Double => wire::DefinedColumnType::Double,
        ColumnType::Boolean => wire::DefinedColumnType::Boolean,
        ColumnType::String => wire::DefinedColumnType::String,
        ColumnType::Binary => wire::DefinedColumnType::Blob,
    };
    wire::DefinedColumnSchema { name: column.name, r#type: kind as i32 }
}

pub(super) fn options(options: Options) -> wire::TableOptions {
    wire::TableOptions {
        time_to_live: Some(options.time_to_live_s),
        max_versions: Some(options.max_versions),
        deviation_cell_version_in_sec: Some(options.deviation_s),
        allow_update: Some(options.allow_update),
        update_full_row: Some(options.update_full_row),
    }
}

pub(super) fn throughput(table: &TableInfo) -> wire::ReservedThroughputDetails {
    let units = table.throughput;
    wire::ReservedThroughputDetails {
        capacity_unit: wire::CapacityUnit { read: Some(units.read), write: Some(units.write) },
        last_increase_time: table.last_increase_ms / 1000,
        last_decrease_time: table.last_decrease_ms.map(|ms| ms / 1000),
    }
}

pub(super) fn stream(stream: StreamInfo) -> wire::StreamDetails {
    wire::StreamDetails {
        enable_stream: stream.enable,
        stream_id: stream.stream_id,
        expiration_time: stream.expiration_h,
        last_enable_time: stream.last_enable_us,
        column_to_get: Vec::new(),
    }
}

pub(super) fn index(meta: IndexMeta, is_building: bool) -> wire::IndexMeta {
    let (kind, mode) = match meta.kind {
        IndexKind::Global => (wire::IndexType::Global, wire::IndexUpdateMode::Async),
        IndexKind::Local => (wire::IndexType::Local, wire::IndexUpdateMode::Sync),
    };
    let phase = if is_building { wire::IndexSyncPhase::Full } else { wire::IndexSyncPhase::Incr };
    wire::IndexMeta {
        name: meta.name,
        primary_key: meta.key,
        defined_column: meta.columns,
        index_update_mode: mode as i32,
        index_type: kind as i32,
        index_sync_phase: Some(phase as i32),
    }
}

pub(super) fn consumed(units: Units) -> wire::ConsumedCapacity {
    wire::ConsumedCapacity::of(units.read, units.write)
}

/// The bytes of a key, as the place where a client goes on.
pub(super) fn key(key: Vec<KeyColumn>) -> Vec<u8> {
    encode_key(&key)
}

/// The bytes of a row; none for a row that is not there.
pub(super) fn row(row: Option<&Row>) -> Vec<u8> {
    row.map(encode_row).unwrap_or_default()
}

/// The outcome of one row of a batch: what it is when it went well, or the error in its place.
pub(super) fn outcome<T>(outcome: Result<T>) -> Result<T, wire::Error> {
    outcome.map_err(|e| {
        let code = errors::code(&e);
        if errors::is_fault(code) {
            tracing::error!(code, error = ?e, "a row of a batch failed");
        }
        errors::message(&e)
    })
}
