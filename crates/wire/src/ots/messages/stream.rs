//! Messages that read the log of a table's changes.

use super::ConsumedCapacity;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum StreamStatus {
    Enabling = 1,
    Active = 2,
}

/// What a write did to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ActionType {
    PutRow = 1,
    UpdateRow = 2,
    DeleteRow = 3,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ListStreamRequest {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ListStreamResponse {
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Stream {
    #[prost(string, required, tag = "1")]
    pub stream_id: String,
    #[prost(string, required, tag = "2")]
    pub table_name: String,
    #[prost(int64, required, tag = "3")]
    pub creation_time: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DescribeStreamRequest {
    #[prost(string, required, tag = "1")]
    pub stream_id: String,
    #[prost(string, optional, tag = "2")]
    pub inclusive_start_shard_id: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub shard_limit: Option<i32>,
    #[prost(bool, optional, tag = "4")]
    pub support_timeseries_data_table: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DescribeStreamResponse {
    #[prost(string, required, tag = "1")]
    pub stream_id: String,
    /// In hours.
    #[prost(int32, required, tag = "2")]
    pub expiration_time: i32,
    #[prost(string, required, tag = "3")]
    pub table_name: String,
    #[prost(int64, required, tag = "4")]
    pub creation_time: i64,
    #[prost(enumeration = "StreamStatus", required, tag = "5")]
    pub stream_status: i32,
    #[prost(message, repeated, tag = "6")]
    pub shards: Vec<StreamShard>,
    #[prost(string, optional, tag = "7")]
    pub next_shard_id: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamShard {
    #[prost(string, required, tag = "1")]
    pub shard_id: String,
    #[prost(string, optional, tag = "2")]
    pub parent_id: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub parent_sibling_id: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct GetShardIteratorRequest {
    #[prost(string, required, tag = "1")]
    pub stream_id: String,
    #[prost(string, required, tag = "2")]
    pub shard_id: String,
    #[prost(int64, optional, tag = "3")]
    pub timestamp: Option<i64>,
    #[prost(string, optional, tag = "4")]
    pub token: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct GetShardIteratorResponse {
    #[prost(string, required, tag = "1")]
    pub shard_iterator: String,
    #[prost(string, optional, tag = "2")]
    pub next_token: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct GetStreamRecordRequest {
    #[prost(string, required, tag = "1")]
    pub shard_iterator: String,
    #[prost(int32, optional, tag = "2")]
    pub limit: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub table_name: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct GetStreamRecordResponse {
    #[prost(message, repeated, tag = "1")]
    pub stream_records: Vec<StreamRecord>,
    /// None: the shard has ended, and its children go on.
    #[prost(string, optional, tag = "2")]
    pub next_shard_iterator: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub consumed: Option<ConsumedCapacity>,
    #[prost(bool, optional, tag = "4")]
    pub may_more_record: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamRecord {
    #[prost(enumeration = "ActionType", required, tag = "1")]
    pub action_type: i32,
    /// See [`encode_stream_row`](crate::ots::plain::encode_stream_row).
    #[prost(bytes = "vec", required, tag = "2")]
    pub record: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub origin_record: Option<Vec<u8>>,
}
