//! What the storage API answers about sessions.

use feitian_types::Column;
use serde_json::{Value, json};

use super::FORMAT;
use super::writes::{MAX_BLOCKS, partition_columns};
use crate::warehouse::{ScanInfo, SessionInfo, Split};

fn columns(columns: &[Column]) -> Vec<Value> {
    let one =
        |c: &Column| json!({"Name": c.name, "Type": c.ty.to_string(), "Comment": c.comment, "Nullable": c.nullable});
    columns.iter().map(one).collect()
}

/// Columns of both kinds.
pub fn schema(data: &[Column], partition: &[Column]) -> Value {
    json!({"DataColumns": columns(data), "PartitionColumns": columns(partition)})
}

fn formats() -> Value {
    json!([{"Type": FORMAT.0, "Version": FORMAT.1}])
}

/// A read session. Clients that read by row numbers look at the number of rows, the others at that of the splits: -1 is
/// what is not told. `with_stats` adds the sizes.
pub fn read_session(scan: &ScanInfo, with_stats: bool) -> Value {
    let (splits, rows) = match scan.options.split {
        Split::Rows => (-1, scan.session.record_count),
        Split::Bytes(_) | Split::Count(_) => (scan.num_splits as i64, -1),
    };
    let mut document = json!({
        "SessionId": scan.session.id,
        "SessionType": "BATCH_READ",
        "SessionStatus": "NORMAL",
        "Message": "",
        "ExpirationTime": scan.session.expires_ms,
        "SplitsCount": splits,
        "RecordCount": rows,
        "DataSchema": schema(&scan.columns, &scan.partition_columns),
        "SupportedDataFormat": formats(),
    });
    if with_stats {
        let stats = json!({"EstimatedSize": scan.num_bytes, "EstimatedRowCount": scan.session.record_count});
        document["SessionStats"] = stats;
    }
    document
}

/// A write session. Its partition columns are those that rows carry.
pub fn write_session(info: &SessionInfo) -> Value {
    let status = match info.session.status.as_str() {
        "normal" => "NORMAL",
        "closing" => "COMMITTING",
        "closed" => "COMMITTED",
        _ => "EXPIRED",
    };
    json!({
        "SessionId": info.session.id,
        "SessionStatus": status,
        "Message": "",
        "ExpirationTime": info.session.expires_ms,
        "DataSchema": schema(&info.columns, partition_columns(info)),
        "SupportedDataFormat": formats(),
        "MaxBlockNumber": MAX_BLOCKS,
        "RequiredOrdering": [],
        "RequiredDistribution": {},
    })
}
