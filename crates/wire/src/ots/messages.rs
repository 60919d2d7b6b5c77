//! The protobuf messages of the table store: bodies of requests and answers.
//!
//! A name is that of the service's message, spelt as Rust spells names. Numbers of enums are checked by [`decode`], so
//! that the accessors of a decoded request (`request.direction()`) give what was sent.
//!
//! Rows and keys stay bytes here (see [`plain`](super::plain)), and so do conditions (see [`filter`](super::filter)).

mod common;
mod rows;
mod search;
mod shapes;
mod sql;
mod stream;
mod tables;

pub use common::*;
pub use rows::*;
pub use search::*;
pub use sql::*;
pub use stream::*;
pub use tables::*;

use feitian_base::{Error as Failure, Kind, Result};
use prost::Message;

use super::errors::parameter_invalid;
use super::shape::{self, Shape};

/// The body of a request.
pub trait Request: Message + Default {
    /// What [`decode`] compares bytes with.
    fn shape() -> &'static Shape;
}

/// Reads the body of a request. A field that is missing, not of its type, or known to ask for what is not done is an
/// error that names it; others that are not known are passed over.
pub fn decode<M: Request>(body: &[u8]) -> Result<M> {
    shape::check(M::shape(), body)?;
    M::decode(body).map_err(|e| parameter_invalid(format!("The body is not the message of this operation: {e}.")))
}

/// The bytes of a message.
pub fn encode(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

/// Reads an answer, as clients do: what is unknown is skipped.
pub fn decode_answer<M: Message + Default>(body: &[u8]) -> Result<M> {
    M::decode(body)
        .map_err(|e| Failure::new(Kind::Internal, "OTSInternalServerError", format!("the answer cannot be read: {e}")))
}

macro_rules! requests {
    ($($message:ident: $shape:ident,)*) => {
        $(impl Request for $message {
            fn shape() -> &'static Shape {
                &shapes::$shape
            }
        })*
    };
}

requests! {
    CreateTableRequest: CREATE_TABLE,
    ListTableRequest: NOTHING,
    DeleteTableRequest: TABLE,
    DescribeTableRequest: TABLE,
    UpdateTableRequest: UPDATE_TABLE,
    AddDefinedColumnRequest: ADD_DEFINED_COLUMN,
    DeleteDefinedColumnRequest: DELETE_DEFINED_COLUMN,
    LoadTableRequest: TABLE,
    UnloadTableRequest: TABLE,
    CreateIndexRequest: CREATE_INDEX,
    DropIndexRequest: DROP_INDEX,
    ComputeSplitPointsBySizeRequest: COMPUTE_SPLIT_POINTS,
    PutRowRequest: WRITE_ROW,
    UpdateRowRequest: WRITE_ROW,
    DeleteRowRequest: WRITE_ROW,
    GetRowRequest: GET_ROW,
    GetRangeRequest: GET_RANGE,
    BatchGetRowRequest: BATCH_GET_ROW,
    BatchWriteRowRequest: BATCH_WRITE_ROW,
    StartLocalTransactionRequest: START_TRANSACTION,
    CommitTransactionRequest: TRANSACTION,
    AbortTransactionRequest: TRANSACTION,
    ListStreamRequest: LIST_STREAM,
    DescribeStreamRequest: DESCRIBE_STREAM,
    GetShardIteratorRequest: GET_SHARD_ITERATOR,
    GetStreamRecordRequest: GET_STREAM_RECORD,
    SqlQueryRequest: SQL_QUERY,
    ListSearchIndexRequest: LIST_SEARCH_INDEX,
    DescribeSearchIndexRequest: SEARCH_INDEX,
    DeleteSearchIndexRequest: SEARCH_INDEX,
}
