//! Messages about tables, their columns, secondary indexes and split points.

use super::{
    ConsumedCapacity, DefinedColumnSchema, IndexMeta, PrimaryKeySchema, ReservedThroughput, ReservedThroughputDetails,
    SseSpecification, StreamDetails, StreamSpecification, TableMeta, TableOptions,
};

/// A range over the first column of the key, as a hint; each bound is a type byte and its payload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PartitionRange {
    #[prost(bytes = "vec", required, tag = "1")]
    pub begin: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "2")]
    pub end: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateTableRequest {
    #[prost(message, required, tag = "1")]
    pub table_meta: TableMeta,
    #[prost(message, required, tag = "2")]
    pub reserved_throughput: ReservedThroughput,
    #[prost(message, optional, tag = "3")]
    pub table_options: Option<TableOptions>,
    #[prost(message, repeated, tag = "4")]
    pub partitions: Vec<PartitionRange>,
    #[prost(message, optional, tag = "5")]
    pub stream_spec: Option<StreamSpecification>,
    #[prost(message, optional, tag = "6")]
    pub sse_spec: Option<SseSpecification>,
    #[prost(message, repeated, tag = "7")]
    pub index_metas: Vec<IndexMeta>,
    #[prost(bool, optional, tag = "8")]
    pub enable_local_txn: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateTableResponse {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ListTableRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ListTableResponse {
    #[prost(string, repeated, tag = "1")]
    pub table_names: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeleteTableRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeleteTableResponse {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DescribeTableRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
}

/// Whether a table serves requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum TableStatus {
    Active = 1,
    Inactive = 2,
    Loading = 3,
    Unloading = 4,
    Updating = 5,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DescribeTableResponse {
    #[prost(message, required, tag = "1")]
    pub table_meta: TableMeta,
    #[prost(message, required, tag = "2")]
    pub reserved_throughput_details: ReservedThroughputDetails,
    #[prost(message, required, tag = "3")]
    pub table_options: TableOptions,
    /// The SDKs for Go and Node.js refuse an answer without it; those for Java and Python do not know it.
    #[prost(enumeration = "TableStatus", required, tag = "4")]
    pub table_status: i32,
    #[prost(message, optional, tag = "5")]
    pub stream_details: Option<StreamDetails>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub shard_splits: Vec<Vec<u8>>,
    /// The details have the fields of the specification.
    #[prost(message, optional, tag = "7")]
    pub sse_details: Option<SseSpecification>,
    #[prost(message, repeated, tag = "8")]
    pub index_metas: Vec<IndexMeta>,
    /// In microseconds since 1970.
    #[prost(int64, optional, tag = "9")]
    pub creation_time: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateTableRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(message, optional, tag = "2")]
    pub reserved_throughput: Option<ReservedThroughput>,
    #[prost(message, optional, tag = "3")]
    pub table_options: Option<TableOptions>,
    #[prost(message, optional, tag = "4")]
    pub stream_spec: Option<StreamSpecification>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateTableResponse {
    #[prost(message, required, tag = "1")]
    pub reserved_throughput_details: ReservedThroughputDetails,
    #[prost(message, required, tag = "2")]
    pub table_options: TableOptions,
    #[prost(message, optional, tag = "3")]
    pub stream_details: Option<StreamDetails>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AddDefinedColumnRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(message, repeated, tag = "2")]
    pub columns: Vec<DefinedColumnSchema>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AddDefinedColumnResponse {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeleteDefinedColumnRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    #[prost(string, repeated, tag = "2")]
    pub columns: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeleteDefinedColumnResponse {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LoadTableRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LoadTableResponse {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct UnloadTableRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct UnloadTableResponse {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateIndexRequest {
    #[prost(string, required, tag = "1")]
    pub main_table_name: String,
    #[prost(message, required, tag = "2")]
    pub index_meta: IndexMeta,
    #[prost(bool, optional, tag = "3")]
    pub include_base_data: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateIndexResponse {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DropIndexRequest {
    #[prost(string, required, tag = "1")]
    pub main_table_name: String,
    #[prost(string, required, tag = "2")]
    pub index_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DropIndexResponse {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ComputeSplitPointsBySizeRequest {
    #[prost(string, required, tag = "1")]
    pub table_name: String,
    /// In units of 100 MB unless the unit is given.
    #[prost(int64, required, tag = "2")]
    pub split_size: i64,
    #[prost(int64, optional, tag = "3")]
    pub split_size_unit_in_byte: Option<i64>,
    #[prost(int32, optional, tag = "4")]
    pub split_point_limit: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ComputeSplitPointsBySizeResponse {
    #[prost(message, required, tag = "1")]
    pub consumed: ConsumedCapacity,
    #[prost(message, repeated, tag = "2")]
    pub schema: Vec<PrimaryKeySchema>,
    /// Keys that increase; columns at the end that are INF_MIN are left out.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub split_points: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    pub locations: Vec<SplitLocation>,
}

/// Where the next `repeat` splits are.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SplitLocation {
    #[prost(string, required, tag = "1")]
    pub location: String,
    #[prost(sint64, required, tag = "2")]
    pub repeat: i64,
}
