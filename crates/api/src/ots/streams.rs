//! Operations on streams: the logs of tables' changes.

use feitian_tables::model::{Action, Stream, StreamRecord};
use feitian_wire::ots::Sequence;
use feitian_wire::ots::errors::parameter_invalid;
use feitian_wire::ots::messages::{
    self as wire, ActionType, DescribeStreamRequest, DescribeStreamResponse, GetShardIteratorRequest,
    GetShardIteratorResponse, GetStreamRecordRequest, GetStreamRecordResponse, ListStreamRequest, ListStreamResponse,
    StreamShard, StreamStatus, encode,
};
use feitian_wire::ots::plain::encode_stream_row;

use super::{OtsAnswer, OtsCall, told};

/// Streams are read by the order of their times alone, so there is one epoch.
const EPOCH: u32 = 0;

pub async fn list(call: OtsCall) -> OtsAnswer {
    let request: ListStreamRequest = call.message()?;
    let streams = call.tables.list_streams(&call.instance, request.table_name.as_deref()).await?;
    let of = |stream: Stream| wire::Stream {
        stream_id: stream.stream_id,
        table_name: stream.table,
        creation_time: stream.created_us,
    };
    Ok(encode(&ListStreamResponse { streams: streams.into_iter().map(of).collect() }))
}

pub async fn describe(call: OtsCall) -> OtsAnswer {
    let request: DescribeStreamRequest = call.message()?;
    let limit = match request.shard_limit {
        None => usize::MAX,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or_else(|| parameter_invalid("The shard limit must be greater than 0."))?,
    };
    let found = call.tables.describe_stream(&call.instance, &request.stream_id).await?;
    let mut shards = found.shards;
    if let Some(start) = &request.inclusive_start_shard_id {
        let at = shards.iter().position(|shard| shard == start);
        let at = at.ok_or_else(|| parameter_invalid(format!("Requested shard does not exist: '{start}'.")))?;
        shards.drain(..at);
    }
    let next_shard_id = shards.get(limit).cloned();
    shards.truncate(limit);
    let shard = |shard_id| StreamShard { shard_id, parent_id: None, parent_sibling_id: None };
    Ok(encode(&DescribeStreamResponse {
        stream_id: found.stream.stream_id,
        expiration_time: found.expiration_h,
        table_name: found.stream.table,
        creation_time: found.stream.created_us,
        stream_status: StreamStatus::Active as i32,
        shards: shards.into_iter().map(shard).collect(),
        next_shard_id,
    }))
}

pub async fn iterator(call: OtsCall) -> OtsAnswer {
    let request: GetShardIteratorRequest = call.message()?;
    if request.token.is_some_and(|token| !token.is_empty()) {
        return Err(parameter_invalid("A place in a stream is found at once: there are no tokens to go on with."));
    }
    let (stream, shard, from_us) = (&request.stream_id, &request.shard_id, request.timestamp);
    let shard_iterator = call.tables.shard_iterator(&call.instance, stream, shard, from_us).await?;
    Ok(encode(&GetShardIteratorResponse { shard_iterator, next_token: None }))
}

pub async fn records(call: OtsCall) -> OtsAnswer {
    let request: GetStreamRecordRequest = call.message()?;
    let page = call.tables.stream_record(&call.instance, &request.shard_iterator, request.limit).await?;
    Ok(encode(&GetStreamRecordResponse {
        stream_records: page.records.iter().map(record).collect(),
        next_shard_iterator: page.next_iterator,
        consumed: Some(told::consumed(page.consumed)),
        may_more_record: Some(page.may_have_more),
    }))
}

fn record(record: &StreamRecord) -> wire::StreamRecord {
    let action = match record.action {
        Action::Put => ActionType::PutRow,
        Action::Update => ActionType::UpdateRow,
        Action::Delete => ActionType::DeleteRow,
    };
    let sequence = Sequence { epoch: EPOCH, timestamp_us: record.timestamp_us, row_index: 0 };
    let bytes = encode_stream_row(&record.row, sequence);
    wire::StreamRecord { action_type: action as i32, record: bytes, origin_record: None }
}
