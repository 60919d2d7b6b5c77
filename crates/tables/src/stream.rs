//! The log of a table's changes: records in the order of their commits, and places in it that a reader may come back to.
//!
//! A record lies under the stream's own generation and its time, in the commit of the change. A stream has one shard.
//! An iterator is a text with the stream's id and the time behind which reading goes on; it stays good over restarts.
//! Readers stop before the earliest change that is on its way (`StreamTail`).

use std::sync::Arc;

use feitian_base::Result;
use feitian_wire::ots::{Row, decode_row, encode_row};

use crate::engine::Order;
use crate::errors::{corrupt, invalid, no_stream};
use crate::inner::Inner;
use crate::keys;
use crate::model::{Action, Stream, StreamDescription, StreamPage, StreamRecord, Units};
use crate::table::{StreamState, Table};
use crate::units;
use crate::view::View;

const PUT: u8 = 1;
const UPDATE: u8 = 2;
const DELETE: u8 = 3;

/// Records of one answer, at most.
const MAX_RECORDS: usize = 1000;
/// Bytes of one answer, about.
const PAGE_BYTES: usize = 2 << 20;

/// A record as the engine keeps it: what it did, then the row as PlainBuffer.
pub(crate) fn encode(action: Action, row: &Row) -> Vec<u8> {
    let tag = match action {
        Action::Put => PUT,
        Action::Update => UPDATE,
        Action::Delete => DELETE,
    };
    let mut bytes = vec![tag];
    bytes.extend(encode_row(row));
    bytes
}

fn decode(key: &[u8], bytes: &[u8]) -> Result<StreamRecord> {
    let (tag, row) = bytes.split_first().ok_or_else(|| corrupt("a stream's record without a byte"))?;
    let action = match *tag {
        PUT => Action::Put,
        UPDATE => Action::Update,
        DELETE => Action::Delete,
        _ => return Err(corrupt("a stream's record of an unknown kind")),
    };
    let row = decode_row(row).map_err(|e| corrupt("a stream's row").with_source(e))?;
    Ok(StreamRecord { action, row, timestamp_us: keys::stream_time(key)? })
}

/// The streams of an instance, or of one table of it.
pub(crate) fn list(inner: &Inner, instance: &str, table: Option<&str>) -> Result<Vec<Stream>> {
    let of = |table: &Table| {
        let stream = table.record().ok()?.stream.clone()?;
        Some(Stream { stream_id: stream.id, table: table.name.clone(), created_us: stream.enabled_us })
    };
    match table {
        Some(name) => Ok(of(&inner.name(instance, name)?.table).into_iter().collect()),
        None => {
            Ok(inner.tables().iter().filter(|table| table.instance == instance).filter_map(|table| of(table)).collect())
        }
    }
}

fn find(inner: &Inner, instance: &str, id: &str) -> Result<(Arc<Table>, StreamState)> {
    let mut tables = inner.tables().into_iter().filter(|table| table.instance == instance);
    let found = tables.find_map(|table| {
        let stream = table.record().ok()?.stream.clone()?;
        (stream.id == id).then_some((table, stream))
    });
    found.ok_or_else(no_stream)
}

/// A stream with its shard.
pub(crate) fn describe(inner: &Inner, instance: &str, id: &str) -> Result<StreamDescription> {
    let (table, stream) = find(inner, instance, id)?;
    let shards = vec![shard(&stream)];
    let described = Stream { stream_id: stream.id, table: table.name.clone(), created_us: stream.enabled_us };
    Ok(StreamDescription { stream: described, expiration_h: stream.expiration_h, shards })
}

fn shard(stream: &StreamState) -> String {
    format!("shard-{}", stream.generation)
}

/// A place in a shard: its begin, or the first change at or after a time in microseconds.
pub(crate) fn iterator(
    inner: &Inner,
    instance: &str,
    id: &str,
    shard_id: &str,
    from_us: Option<i64>,
) -> Result<String> {
    let (_, stream) = find(inner, instance, id)?;
    if shard(&stream) != shard_id {
        return Err(invalid(format!("Requested shard does not exist: '{shard_id}'.")));
    }
    Ok(format_iterator(id, from_us.unwrap_or(0)))
}

/// The first time that is still to be read stands behind the id.
fn format_iterator(id: &str, next_us: i64) -> String {
    format!("{id}@{next_us}")
}

fn parse_iterator(text: &str) -> Result<(&str, i64)> {
    let parts = text.rsplit_once('@').and_then(|(id, next)| Some((id, next.parse::<i64>().ok()?)));
    parts.ok_or_else(|| invalid("The shard iterator is invalid."))
}

/// The records behind an iterator.
pub(crate) async fn records(inner: &Inner, instance: &str, iterator: &str, limit: Option<i32>) -> Result<StreamPage> {
    let (id, next_us) = parse_iterator(iterator)?;
    let limit = match limit {
        None => MAX_RECORDS,
        Some(limit) if limit <= 0 => return Err(invalid("The limit must be greater than 0.")),
        Some(limit) => usize::try_from(limit).unwrap_or(MAX_RECORDS).min(MAX_RECORDS),
    };
    let (table, stream) = find(inner, instance, id)?;
    let from_us = next_us.max(oldest_us(inner, &stream));
    // What has no time yet is asked before the scan is opened: what the scan sees below it is complete.
    let settled_us = table.tail.settled_us();
    let (mut records, mut bytes, mut at, mut may_have_more) = (Vec::new(), 0, from_us, false);
    if from_us < settled_us {
        let (from, to) = (keys::stream(stream.generation, from_us), keys::stream(stream.generation, settled_us));
        let mut pairs = View::of(&*inner.engine).pairs(from, to, Order::Forward).await?;
        while let Some((key, value)) = pairs.next().await? {
            if records.len() >= limit || bytes >= PAGE_BYTES {
                may_have_more = true;
                break;
            }
            let record = decode(&key, &value)?;
            bytes += value.len();
            at = record.timestamp_us.saturating_add(1);
            records.push(record);
        }
    }
    // What was switched off is being removed: records that were read meanwhile may have gaps.
    let record = table.record()?;
    if record.stream.as_ref().is_none_or(|now| now.generation != stream.generation) {
        return Err(no_stream());
    }
    let consumed = Units { read: units::units(bytes), write: 0 };
    table.meters.count(record.generation, consumed);
    Ok(StreamPage { consumed, records, next_iterator: Some(format_iterator(id, at)), may_have_more })
}

/// What is older than this has expired.
pub(crate) fn oldest_us(inner: &Inner, stream: &StreamState) -> i64 {
    let hours = i64::from(stream.expiration_h);
    inner.now_us().saturating_sub(hours.saturating_mul(3_600_000_000))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use feitian_wire::ots::{Cell, KeyColumn, KeyValue, Value};

    use super::*;

    // What was written is what is read.
    #[test]
    fn records_and_iterators_come_back() {
        let key = vec![KeyColumn { name: "pk".into(), value: KeyValue::Int(1) }];
        let cell = Cell { name: "a".into(), value: Some(Value::Bool(true)), op: None, version: Some(3) };
        let row = Row { key, cells: vec![cell], deleted: false };
        let read = decode(&keys::stream(9, 5), &encode(Action::Update, &row)).unwrap();
        assert_eq!(read, StreamRecord { action: Action::Update, row, timestamp_us: 5 });
        assert_eq!(parse_iterator(&format_iterator("t@x_1", 7)).unwrap(), ("t@x_1", 7));
        for bad in ["", "t", "t@", "t@x"] {
            assert!(parse_iterator(bad).is_err(), "{bad}");
        }
    }
}
