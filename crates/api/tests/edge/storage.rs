//! The storage API: sessions, Arrow streams in both directions, commits.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;
use axum::body::Body;
use serde_json::{Value, json};

use crate::client::{Client, Reply};
use crate::world::World;

const TABLE: &str = "/api/storage/v1/projects/p/schemas/default/tables/t";

/// The rows as pyarrow would send them: a schema of its own, the batch, the end.
fn stream(rows: &[(Option<&str>, i64)], compression: Option<CompressionType>) -> Vec<u8> {
    let s: ArrayRef = Arc::new(rows.iter().map(|(s, _)| *s).collect::<StringArray>());
    let n: ArrayRef = Arc::new(rows.iter().map(|(_, n)| *n).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("s", s), ("n", n)]).unwrap();
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

async fn open(client: &Client, kind: &str, body: Value) -> Value {
    let reply = client.post(&format!("{TABLE}/sessions?session_type={kind}"), body.to_string()).await.ok();
    // Clients take 201 for a session that is ready and anything else for one to wait for.
    assert_eq!(reply.status, 201);
    reply.json()
}

async fn put(client: &Client, session: &str, block: u64, attempt: u64, rows: Vec<u8>) -> Reply {
    let target = format!("{TABLE}/sessions/{session}/data?block_number={block}&attempt_number={attempt}");
    client.send("POST", &target, &[("Content-Type", "application/octet-stream")], rows.into()).await
}

async fn commit(client: &Client, session: &str, messages: Value) -> Reply {
    let body = json!({"CommitMessages": messages}).to_string();
    client.post(&format!("{TABLE}/commit?session_id={session}"), body).await
}

#[tokio::test]
async fn the_named_attempts_are_committed_and_no_others() {
    let world = World::new().await;
    let client = world.demo();
    let session = open(&client, "batch_write", json!({"Overwrite": false, "PartitionSpec": ""})).await;
    let id = session["SessionId"].as_str().unwrap();
    assert_eq!((&session["SessionStatus"], &session["MaxBlockNumber"]), (&json!("NORMAL"), &json!(20_000)));
    let first = json!({"Name": "s", "Type": "string", "Comment": "", "Nullable": true});
    assert_eq!(session["DataSchema"]["DataColumns"][0], first);
    let mut messages = Vec::new();
    for (block, attempt, compression) in
        [(0, 0, None), (1, 0, Some(CompressionType::ZSTD)), (1, 7, Some(CompressionType::LZ4_FRAME))]
    {
        let rows = stream(&[(Some("a"), block as i64 * 10 + attempt as i64), (None, -5)], compression);
        let reply = put(&client, id, block, attempt, rows).await.ok();
        assert_eq!(reply.status, 200);
        messages.push(reply.json()["CommitMessage"].clone());
    }
    for wrong in [json!(["nonsense"]), json!([messages[0], format!("{id}-99")]), json!(messages)] {
        commit(&client, id, wrong).await.refused(400, "InvalidArgument");
    }
    let other = open(&client, "batch_write", json!({})).await;
    let other = other["SessionId"].as_str().unwrap();
    commit(&client, other, json!([messages[0]])).await.refused(400, "InvalidArgument");
    assert!(world.fake.visible("t").is_empty());
    // The same message twice is one block.
    let named = json!([messages[0], messages[2], messages[0]]);
    let done = commit(&client, id, named.clone()).await.ok();
    assert_eq!((done.status.as_u16(), done.json()["SessionStatus"].clone()), (201, json!("COMMITTED")));
    let a = || Some("a".to_string());
    assert_eq!(world.fake.visible("t"), [(a(), 0), (None, -5), (a(), 17), (None, -5)]);
    assert_eq!(commit(&client, id, named).await.ok().json(), done.json());
    assert_eq!(world.fake.visible("t").len(), 4);
    put(&client, id, 2, 0, stream(&[], None)).await.refused(409, "StatusConflict");
    let again = client.get(&format!("{TABLE}/sessions/{id}?session_type=batch_write")).await.ok().json();
    assert_eq!(again, done.json());
}

#[tokio::test]
async fn rows_are_read_by_split_or_by_number_in_batches_of_the_wanted_size() {
    let world = World::new().await;
    let client = world.demo();
    world.fake.put_rows("t", crate::fake::two_rows());
    let session = open(&client, "batch_read", json!({"EnableEstimateStats": true})).await;
    assert_eq!((&session["SplitsCount"], &session["RecordCount"]), (&json!(1), &json!(-1)));
    assert_eq!(session["SessionStats"]["EstimatedRowCount"], 2);
    let id = session["SessionId"].as_str().unwrap();
    let again = client.get(&format!("{TABLE}/sessions/{id}?session_type=batch_read")).await.ok().json();
    assert_eq!(again, session);
    for encoding in ["", "ZSTD", "LZ4_FRAME", "gzip, deflate"] {
        let target = format!("{TABLE}/data?session_id={id}&max_batch_rows=1&split_index=0&row_count=0&row_index=0");
        let reply = client.send("GET", &target, &[("Accept-Encoding", encoding)], Body::empty()).await.ok();
        assert_eq!(reply.header("content-encoding"), "");
        let batches: Vec<_> = StreamReader::try_new(&reply.body[..], None).unwrap().map(Result::unwrap).collect();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1, 1]);
        let columns = crate::fake::two_rows();
        let got = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
        assert_eq!(got.columns(), columns.columns());
    }
    let rows = open(&client, "batch_read", json!({"SplitOptions": {"SplitMode": "RowOffset"}})).await;
    assert_eq!((&rows["SplitsCount"], &rows["RecordCount"]), (&json!(-1), &json!(2)));
    let by_number = rows["SessionId"].as_str().unwrap();
    let one = client.get(&format!("{TABLE}/data?session_id={by_number}&row_index=1&row_count=1")).await.ok();
    let one: Vec<_> = StreamReader::try_new(&one.body[..], None).unwrap().map(Result::unwrap).collect();
    assert_eq!((one.len(), one[0].columns()), (1, crate::fake::two_rows().slice(1, 1).columns()));
    // No rows are a stream, too.
    let none = client.get(&format!("{TABLE}/data?session_id={by_number}&row_index=9&row_count=1")).await.ok();
    assert_eq!(StreamReader::try_new(&none.body[..], None).unwrap().count(), 0);
    for (query, code) in [
        (format!("session_id={id}&row_index=1"), "InvalidArgument"),
        (format!("session_id={by_number}"), "InvalidArgument"),
        (format!("session_id={by_number}&split_index=1&row_count=1"), "InvalidArgument"),
        (format!("session_id={id}&max_batch_rows=0"), "InvalidArgument"),
        (format!("session_id={id}&split_index=x"), "InvalidParameter"),
    ] {
        client.get(&format!("{TABLE}/data?{query}")).await.refused(400, code);
    }
    client.get(&format!("{TABLE}/data?session_id=x")).await.refused(404, "NoSuchDownload");
    let format = format!("{TABLE}/data?session_id={id}&data_format_type=arrow&data_format_version=v6");
    client.get(&format).await.refused(405, "MethodNotAllowed");
}

#[tokio::test]
async fn a_body_that_is_not_the_tables_changes_nothing() {
    let world = World::new().await;
    let client = world.demo();
    let session = open(&client, "batch_write", json!({})).await;
    let id = session["SessionId"].as_str().unwrap();
    let rows = stream(&[(Some("a"), 1)], None);
    put(&client, id, 0, 0, rows[..rows.len() - 20].to_vec()).await.refused(400, "MalformedDataStream");
    put(&client, id, 0, 0, b"no Arrow at all".to_vec()).await.refused(400, "MalformedDataStream");
    let n: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let other = RecordBatch::try_from_iter([("n", n)]).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &other.schema()).unwrap();
    writer.write(&other).unwrap();
    put(&client, id, 0, 0, writer.into_inner().unwrap()).await.refused(400, "MalformedDataStream");
    put(&client, id, 20_000, 0, rows.clone()).await.refused(400, "InvalidArgument");
    put(&client, "x", 0, 0, rows).await.refused(404, "NoSuchUpload");
    assert_eq!(world.fake.block_count(), 0);
    for (kind, body) in [
        ("batch_read", json!({"SplitOptions": {"SplitMode": "Size", "SplitNumber": 1}})),
        ("batch_read", json!([])),
        ("batch_write", json!({"Unknown": 1})),
    ] {
        let target = format!("{TABLE}/sessions?session_type={kind}");
        client.post(&target, body.to_string()).await.refused(400, "InvalidArgument");
    }
}

// A policy for tables without a schema says nothing about those in one; the schema of the path is the one that counts.
#[tokio::test]
async fn the_schema_of_the_path_is_what_rights_are_asked_for() {
    let world = World::new().await;
    let allow = json!({"Effect": "Allow", "Action": "*", "Resource": "acs:odps:*:projects/p/tables/*"});
    let token = world.token(json!({"Version": "1", "Statement": [allow]})).await;
    let client = world.with_credentials(crate::client::Credentials::Bearer(token));
    open(&client, "batch_read", json!({})).await;
    let target = "/api/storage/v1/projects/p/schemas/s/tables/t/sessions?session_type=batch_read";
    client.post(target, "{}").await.refused(403, "NoPermission");
}
