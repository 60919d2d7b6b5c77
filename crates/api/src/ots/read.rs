//! From messages to what the table store is asked: the parts that several operations share.

use feitian_base::Result;
use feitian_tables::model::{
    ColumnType, Condition, DefinedColumn, Existence, IndexKind, IndexMeta, KeySchema, KeyType, OptionsChange, Returns,
    RowChange, RowWrite, Select, StreamSpec, ThroughputChange, TimeRange,
};
use feitian_wire::ots::errors::parameter_invalid as invalid;
use feitian_wire::ots::messages as wire;
use feitian_wire::ots::{Filter, KeyColumn, decode_change, decode_filter, decode_key};

pub(super) fn key_schema(schema: wire::PrimaryKeySchema) -> KeySchema {
    let kind = match schema.r#type() {
        wire::PrimaryKeyType::Integer => KeyType::Integer,
        wire::PrimaryKeyType::String => KeyType::String,
        wire::PrimaryKeyType::Binary => KeyType::Binary,
    };
    // It has one value.
    let auto_increment = schema.option.is_some();
    KeySchema { name: schema.name, kind, auto_increment }
}

pub(super) fn defined_column(schema: wire::DefinedColumnSchema) -> DefinedColumn {
    let kind = match schema.r#type() {
        wire::DefinedColumnType::Integer => ColumnType::Integer,
        wire::DefinedColumnType::Double => ColumnType::Double,
        wire::DefinedColumnType::Boolean => ColumnType::Boolean,
        wire::DefinedColumnType::String => ColumnType::String,
        wire::DefinedColumnType::Blob => ColumnType::Binary,
    };
    DefinedColumn { name: schema.name, kind }
}

pub(super) fn options(options: wire::TableOptions) -> OptionsChange {
    OptionsChange {
        time_to_live_s: options.time_to_live,
        max_versions: options.max_versions,
        deviation_s: options.deviation_cell_version_in_sec,
        allow_update: options.allow_update,
        update_full_row: options.update_full_row,
    }
}

pub(super) fn throughput(throughput: wire::ReservedThroughput) -> ThroughputChange {
    let units = throughput.capacity_unit;
    ThroughputChange { read: units.read, write: units.write }
}

pub(super) fn stream(spec: wire::StreamSpecification) -> StreamSpec {
    StreamSpec { enable: spec.enable_stream, expiration_h: spec.expiration_time, columns_to_get: spec.columns_to_get }
}

/// An index. How soon it is brought up to date follows from its type, and clients say both.
pub(super) fn index(meta: wire::IndexMeta) -> Result<IndexMeta> {
    let kind = match (meta.index_type(), meta.index_update_mode()) {
        (wire::IndexType::Global, wire::IndexUpdateMode::Async) => IndexKind::Global,
        (wire::IndexType::Local, wire::IndexUpdateMode::Sync) => IndexKind::Local,
        (wire::IndexType::Global, wire::IndexUpdateMode::Sync) => {
            return Err(invalid(format!("The global index '{}' cannot be updated synchronously.", meta.name)));
        }
        (wire::IndexType::Local, wire::IndexUpdateMode::Async) => {
            return Err(invalid(format!("The local index '{}' cannot be updated asynchronously.", meta.name)));
        }
    };
    Ok(IndexMeta { name: meta.name, key: meta.primary_key, columns: meta.defined_column, kind })
}

/// A key as a read names it: exactly the columns of a row without any other.
pub(super) fn key(bytes: &[u8]) -> Result<Vec<KeyColumn>> {
    decode_key(bytes)
}

/// A filter or condition. One without bytes is no filter that always holds: it is refused as what it is, a broken one.
fn filter(bytes: Option<&[u8]>) -> Result<Option<Filter>> {
    bytes.map(decode_filter).transpose()
}

/// What the messages of all reads have alike.
pub(super) struct Wanted<'a> {
    pub columns: Vec<String>,
    pub time: Option<wire::TimeRange>,
    pub max_versions: Option<i32>,
    pub filter: Option<&'a [u8]>,
    pub start_column: Option<String>,
    pub end_column: Option<String>,
    pub token: Option<Vec<u8>>,
}

/// [`Wanted`] of a request for one row or for a range, which are messages of their own with the same fields.
macro_rules! wanted {
    ($request:ident) => {
        $crate::ots::read::Wanted {
            columns: $request.columns_to_get,
            time: $request.time_range,
            max_versions: $request.max_versions,
            filter: $request.filter.as_deref(),
            start_column: $request.start_column,
            end_column: $request.end_column,
            token: $request.token,
        }
    };
}
pub(super) use wanted;

pub(super) fn select(wanted: Wanted<'_>) -> Result<Select> {
    Ok(Select {
        columns: wanted.columns,
        time: wanted.time.map(time_range).transpose()?,
        max_versions: wanted.max_versions,
        filter: filter(wanted.filter)?,
        start_column: wanted.start_column,
        end_column: wanted.end_column,
        // A client that begins at the beginning may say so with an empty one.
        token: wanted.token.filter(|token| !token.is_empty()),
    })
}

fn time_range(range: wire::TimeRange) -> Result<TimeRange> {
    match (range.specific_time, range.start_time, range.end_time) {
        (Some(at), None, None) => Ok(TimeRange::Exactly(at)),
        (None, Some(start_ms), Some(end_ms)) => Ok(TimeRange::Between { start_ms, end_ms }),
        _ => Err(invalid("A time range has either start_time and end_time, or specific_time.")),
    }
}

/// A write as its message has it, before it is known which write it is.
pub(super) struct Change {
    pub kind: wire::OperationType,
    pub row: Vec<u8>,
    pub condition: wire::Condition,
    pub returns: Option<wire::ReturnContent>,
}

pub(super) fn write(change: Change) -> Result<RowWrite> {
    let row = decode_change(&change.row)?;
    let marked = row.deleted;
    let change_of_row = match change.kind {
        wire::OperationType::Put | wire::OperationType::Update if marked => {
            return Err(invalid("The row has a delete marker, which only a deletion may have."));
        }
        wire::OperationType::Put => RowChange::Put(row),
        wire::OperationType::Update => RowChange::Update(row),
        wire::OperationType::Delete if !row.cells.is_empty() => {
            return Err(invalid("A deletion of a row names its primary key only."));
        }
        wire::OperationType::Delete => RowChange::Delete(row.key),
    };
    let existence = match change.condition.row_existence() {
        wire::RowExistenceExpectation::Ignore => Existence::Ignore,
        wire::RowExistenceExpectation::ExpectExist => Existence::Exists,
        wire::RowExistenceExpectation::ExpectNotExist => Existence::Missing,
    };
    let condition = Condition { existence, filter: filter(change.condition.column_condition.as_deref())? };
    let (returns, return_columns) = match change.returns {
        None => (Returns::Nothing, Vec::new()),
        Some(content) => {
            let returns = match content.return_type() {
                wire::ReturnType::None => Returns::Nothing,
                wire::ReturnType::Pk => Returns::Key,
                wire::ReturnType::AfterModify => Returns::AfterModify,
            };
            (returns, content.return_column_names)
        }
    };
    Ok(RowWrite { change: change_of_row, condition, returns, return_columns })
}
