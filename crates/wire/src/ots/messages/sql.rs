//! Messages of SQLQuery.

use super::{ConsumedCapacity, ReservedThroughput};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SqlPayloadVersion {
    PlainBuffer = 1,
    FlatBuffers = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SqlStatementType {
    Select = 1,
    CreateTable = 2,
    ShowTable = 3,
    DescribeTable = 4,
    DropTable = 5,
    AlterTable = 6,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SqlQueryRequest {
    #[prost(string, required, tag = "1")]
    pub query: String,
    #[prost(enumeration = "SqlPayloadVersion", optional, tag = "2")]
    pub version: Option<i32>,
    #[prost(int64, optional, tag = "3")]
    pub sql_version: Option<i64>,
    #[prost(string, optional, tag = "5")]
    pub search_token: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TableConsumedCapacity {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub consumed: Option<ConsumedCapacity>,
    #[prost(message, optional, tag = "3")]
    pub reserved_throughput: Option<ReservedThroughput>,
    #[prost(bool, optional, tag = "4")]
    pub is_timeseries_meta: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SearchConsumedCapacity {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub index_name: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub consumed: Option<ConsumedCapacity>,
    #[prost(message, optional, tag = "4")]
    pub reserved_throughput: Option<ReservedThroughput>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SqlQueryResponse {
    #[prost(message, repeated, tag = "1")]
    pub consumes: Vec<TableConsumedCapacity>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub rows: Option<Vec<u8>>,
    #[prost(enumeration = "SqlPayloadVersion", optional, tag = "3")]
    pub version: Option<i32>,
    #[prost(enumeration = "SqlStatementType", optional, tag = "4")]
    pub r#type: Option<i32>,
    #[prost(message, repeated, tag = "5")]
    pub search_consumes: Vec<SearchConsumedCapacity>,
    #[prost(string, optional, tag = "8")]
    pub next_search_token: Option<String>,
}
