//! What the requests look like: field by field, as the structs beside them say.
//!
//! Hints that clients are known to send are not listed, so they are passed over: `cache_blocks` of reads,
//! `data_block_type_hint` and `compress_type_hint` of GetRange (an answer that names neither is a plain PlainBuffer),
//! `bloom_filter_type` and `block_size` of tables, `index_sync_phase` of indexes.

use crate::ots::shape::What::{Bytes, Enum, Exact, Message, Number, Text};
use crate::ots::shape::{Shape, may, must, no};

static PRIMARY_KEY_SCHEMA: Shape = Shape {
    name: "PrimaryKeySchema",
    // BOOLEAN, 5, is named by newer clients and is no type of a key here.
    fields: &[must(1, Text), must(2, Enum(&[1, 2, 3])), may(3, Enum(&[1]))],
};
static DEFINED_COLUMN_SCHEMA: Shape =
    Shape { name: "DefinedColumnSchema", fields: &[must(1, Text), must(2, Enum(&[1, 2, 3, 4, 7]))] };
static TABLE_META: Shape = Shape {
    name: "TableMeta",
    fields: &[
        must(1, Text),
        may(2, Message(&PRIMARY_KEY_SCHEMA)),
        may(3, Message(&DEFINED_COLUMN_SCHEMA)),
        // Indexes come beside the table; here nobody would make them.
        no(4, "index_meta"),
        no(6, "global_table_id"),
    ],
};
static TABLE_OPTIONS: Shape = Shape {
    name: "TableOptions",
    fields: &[may(1, Number), may(2, Number), may(5, Number), may(6, Number), may(7, Number)],
};
static CAPACITY_UNIT: Shape = Shape { name: "CapacityUnit", fields: &[may(1, Number), may(2, Number)] };
static RESERVED_THROUGHPUT: Shape = Shape { name: "ReservedThroughput", fields: &[must(1, Message(&CAPACITY_UNIT))] };
static STREAM_SPECIFICATION: Shape = Shape {
    name: "StreamSpecification",
    fields: &[
        must(1, Number),
        may(2, Number),
        may(3, Text),
        // What a record has of its row before and after the change: the Java SDK sends them only if they are set.
        no(4, "old_columns_to_get"),
        no(5, "new_columns_to_get"),
    ],
};
static SSE_SPECIFICATION: Shape =
    Shape { name: "SSESpecification", fields: &[must(1, Number), may(2, Enum(&[1, 2])), may(3, Bytes), may(4, Bytes)] };
static INDEX_META: Shape = Shape {
    name: "IndexMeta",
    fields: &[
        must(1, Text),
        may(2, Text),
        may(3, Text),
        must(4, Enum(&[0, 1])),
        must(5, Enum(&[0, 1])),
        may(6, Enum(&[0, 1, 2])),
    ],
};
static PARTITION_RANGE: Shape = Shape { name: "PartitionRange", fields: &[must(1, Bytes), must(2, Bytes)] };
static CONDITION: Shape = Shape { name: "Condition", fields: &[must(1, Enum(&[0, 1, 2])), may(2, Bytes)] };
static RETURN_CONTENT: Shape = Shape { name: "ReturnContent", fields: &[may(1, Enum(&[0, 1, 2])), may(2, Text)] };
static TIME_RANGE: Shape = Shape { name: "TimeRange", fields: &[may(1, Number), may(2, Number), may(3, Number)] };

pub(super) static NOTHING: Shape = Shape { name: "ListTableRequest", fields: &[] };
/// The requests that name a table and nothing else.
pub(super) static TABLE: Shape = Shape { name: "Request", fields: &[must(1, Text)] };
/// The requests that name a transaction and nothing else.
pub(super) static TRANSACTION: Shape = Shape { name: "Request", fields: &[must(1, Text)] };
pub(super) static CREATE_TABLE: Shape = Shape {
    name: "CreateTableRequest",
    fields: &[
        must(1, Message(&TABLE_META)),
        must(2, Message(&RESERVED_THROUGHPUT)),
        may(3, Message(&TABLE_OPTIONS)),
        may(4, Message(&PARTITION_RANGE)),
        may(5, Message(&STREAM_SPECIFICATION)),
        may(6, Message(&SSE_SPECIFICATION)),
        may(7, Message(&INDEX_META)),
        may(8, Number),
    ],
};
pub(super) static UPDATE_TABLE: Shape = Shape {
    name: "UpdateTableRequest",
    fields: &[
        must(1, Text),
        may(2, Message(&RESERVED_THROUGHPUT)),
        may(3, Message(&TABLE_OPTIONS)),
        may(4, Message(&STREAM_SPECIFICATION)),
    ],
};
pub(super) static ADD_DEFINED_COLUMN: Shape =
    Shape { name: "AddDefinedColumnRequest", fields: &[must(1, Text), may(2, Message(&DEFINED_COLUMN_SCHEMA))] };
pub(super) static DELETE_DEFINED_COLUMN: Shape =
    Shape { name: "DeleteDefinedColumnRequest", fields: &[must(1, Text), may(2, Text)] };
pub(super) static CREATE_INDEX: Shape =
    Shape { name: "CreateIndexRequest", fields: &[must(1, Text), must(2, Message(&INDEX_META)), may(3, Number)] };
pub(super) static DROP_INDEX: Shape = Shape { name: "DropIndexRequest", fields: &[must(1, Text), must(2, Text)] };
pub(super) static COMPUTE_SPLIT_POINTS: Shape = Shape {
    name: "ComputeSplitPointsBySizeRequest",
    fields: &[must(1, Text), must(2, Number), may(3, Number), may(4, Number)],
};

/// PutRow, UpdateRow and DeleteRow have the same fields.
pub(super) static WRITE_ROW: Shape = Shape {
    name: "Request",
    fields: &[
        must(1, Text),
        must(2, Bytes),
        must(3, Exact(&CONDITION)),
        may(4, Message(&RETURN_CONTENT)),
        may(5, Text),
    ],
};
pub(super) static GET_ROW: Shape = Shape {
    name: "GetRowRequest",
    fields: &[
        must(1, Text),
        must(2, Bytes),
        may(3, Text),
        may(4, Exact(&TIME_RANGE)),
        may(5, Number),
        may(7, Bytes),
        may(8, Text),
        may(9, Text),
        may(10, Bytes),
        may(11, Text),
    ],
};
pub(super) static GET_RANGE: Shape = Shape {
    name: "GetRangeRequest",
    fields: &[
        must(1, Text),
        must(2, Enum(&[0, 1])),
        may(3, Text),
        may(4, Exact(&TIME_RANGE)),
        may(5, Number),
        may(6, Number),
        must(7, Bytes),
        must(8, Bytes),
        may(10, Bytes),
        may(11, Text),
        may(12, Text),
        may(13, Bytes),
        may(14, Text),
        // return_entire_primary_keys: rows always have their keys.
        may(16, Enum(&[1])),
    ],
};
static TABLE_IN_BATCH_GET: Shape = Shape {
    name: "TableInBatchGetRowRequest",
    fields: &[
        must(1, Text),
        may(2, Bytes),
        may(3, Bytes),
        may(4, Text),
        may(5, Exact(&TIME_RANGE)),
        may(6, Number),
        may(8, Bytes),
        may(9, Text),
        may(10, Text),
    ],
};
pub(super) static BATCH_GET_ROW: Shape =
    Shape { name: "BatchGetRowRequest", fields: &[may(1, Message(&TABLE_IN_BATCH_GET))] };
static ROW_IN_BATCH_WRITE: Shape = Shape {
    name: "RowInBatchWriteRowRequest",
    fields: &[must(1, Enum(&[1, 2, 3])), must(2, Bytes), must(3, Exact(&CONDITION)), may(4, Message(&RETURN_CONTENT))],
};
static TABLE_IN_BATCH_WRITE: Shape =
    Shape { name: "TableInBatchWriteRowRequest", fields: &[must(1, Text), may(2, Message(&ROW_IN_BATCH_WRITE))] };
pub(super) static BATCH_WRITE_ROW: Shape = Shape {
    name: "BatchWriteRowRequest",
    fields: &[may(1, Message(&TABLE_IN_BATCH_WRITE)), may(2, Text), may(3, Number)],
};
pub(super) static START_TRANSACTION: Shape = Shape {
    name: "StartLocalTransactionRequest",
    // The rows to lock, where a transaction here locks its partition key. The Java SDK sends them only if they are set.
    fields: &[must(1, Text), must(2, Bytes), no(3, "rowKeys")],
};

pub(super) static LIST_STREAM: Shape = Shape { name: "ListStreamRequest", fields: &[may(1, Text)] };
pub(super) static DESCRIBE_STREAM: Shape =
    Shape { name: "DescribeStreamRequest", fields: &[must(1, Text), may(2, Text), may(3, Number), may(4, Number)] };
pub(super) static GET_SHARD_ITERATOR: Shape =
    Shape { name: "GetShardIteratorRequest", fields: &[must(1, Text), must(2, Text), may(3, Number), may(4, Text)] };
pub(super) static GET_STREAM_RECORD: Shape = Shape {
    name: "GetStreamRecordRequest",
    fields: &[
        must(1, Text),
        may(2, Number),
        may(3, Text),
        // As those of StreamSpecification, for one call.
        no(6, "old_columns_to_get"),
        no(7, "new_columns_to_get"),
    ],
};
pub(super) static SQL_QUERY: Shape =
    Shape { name: "SQLQueryRequest", fields: &[must(1, Text), may(2, Enum(&[1, 2])), may(3, Number), may(5, Text)] };
pub(super) static LIST_SEARCH_INDEX: Shape = Shape { name: "ListSearchIndexRequest", fields: &[may(1, Text)] };
/// DescribeSearchIndex and DeleteSearchIndex.
pub(super) static SEARCH_INDEX: Shape = Shape { name: "Request", fields: &[may(1, Text), may(2, Text)] };
