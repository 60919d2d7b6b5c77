//! Messages about search indexes: the few by which clients ask whether there are any.

#[derive(Clone, PartialEq, prost::Message)]
pub struct ListSearchIndexRequest {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ListSearchIndexResponse {
    #[prost(message, repeated, tag = "1")]
    pub indices: Vec<IndexInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct IndexInfo {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub index_name: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DescribeSearchIndexRequest {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub index_name: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeleteSearchIndexRequest {
    #[prost(string, optional, tag = "1")]
    pub table_name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub index_name: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeleteSearchIndexResponse {}
