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

/// A request of version 2 on `Target=projects.p.{object}`.
async fn act(client: &Client, object: &str, action: &str, query: &str, body: Value) -> Reply {
    let target = format!("/api/storage/v2?Action={action}&Target=projects.p.{object}{query}");
    client.post(&target, body.to_string()).await
}

/// What `odps/maxstorage` sends, call by call, and its older sibling where it differs.
#[tokio::test]
async fn streams_are_begun_written_ended_and_committed() {
    let world = World::new().await;
    let client = world.demo();
    const T: &str = "schemas.default.tables.t";
    let flags = json!({"PartialPartitionSpec": "", "Flags": {"quota_name": "q"}});
    let session = act(&client, T, "TableCreateWriteSession", "", flags).await.ok().json();
    let id = session["SessionId"].as_str().unwrap();
    let of = format!("&SessionId={id}");
    let begin = json!({"StreamId": "s-0", "StreamVersion": 1});
    let begun = act(&client, T, "TableCreateWriteStream", &of, begin.clone()).await.ok().json();
    let first = json!({"MemberName": "s", "Type": 4, "ColumnId": 0, "Nullable": true});
    assert_eq!(begun["TableSchema"]["DataColumns"][0]["columnType"], first);
    assert_eq!((&begun["SchemaVersion"], &begun["AccessToken"]), (&json!(1), &Value::Null));
    let schema = act(&client, T, "TableGetWriteSchema", &of, json!({})).await.ok().json();
    assert_eq!(schema["TableSchema"], begun["TableSchema"]);
    let write = async |query: &str, rows: Vec<u8>| {
        let target = format!("/api/storage/v2?Action=TableWrite&Target=projects.p.{T}{of}{query}");
        client.send("POST", &target, &[("Content-Type", "application/octet-stream")], rows.into()).await
    };
    world.fake.calls();
    let table = begun["TableId"].as_str().unwrap();
    let query = format!("&StreamId=s-0&StreamVersion=1&Count=2&TableId={table}&SchemaVersion=1");
    let rows = stream(&[(Some("a"), 1), (None, -5)], Some(CompressionType::ZSTD));
    assert_eq!(write(&query, rows.clone()).await.ok().json(), json!({}));
    assert!(world.fake.calls().contains(&"write_to_stream s-0 1 2 None None".to_string()));
    for (query, status, code) in [
        ("&StreamId=s-1&StreamVersion=1", 404, "NoSuchObject"),
        ("&StreamId=s-0&StreamVersion=1&TableId=x", 400, "InvalidArgument"),
        ("&StreamId=s-0&StreamVersion=1&SchemaVersion=2", 400, "InvalidArgument"),
        ("&StreamId=s-0&StreamVersion=x", 400, "InvalidParameter"),
        ("&StreamId=s-0&StreamVersion=1&WriteMode=Streaming", 405, "MethodNotAllowed"),
        ("&StreamVersion=1", 400, "InvalidParameter"),
    ] {
        write(query, rows.clone()).await.refused(status, code);
    }
    let cut = rows[..rows.len() - 20].to_vec();
    write("&StreamId=s-0&StreamVersion=1", cut).await.refused(400, "MalformedDataStream");
    let looked = act(&client, T, "TableGetWriteStream", &of, begin.clone()).await.ok().json();
    assert_eq!((&looked["recordCount"], &looked["status"]), (&json!(2), &json!("NORMAL")));
    let get = format!("/api/storage/v2?Action=TableGetWriteStream&Target=projects.p.{T}{of}");
    assert_eq!(client.get(&format!("{get}&StreamId=s-0&StreamVersion=1")).await.ok().json(), looked);
    let mut end = begin.clone();
    end["SessionId"] = json!(id);
    act(&client, T, "TableCloseWriteStream", &of, end).await.ok();
    let state = act(&client, T, "TableGetWriteSession", &of, json!({})).await.ok().json();
    assert_eq!(state["Streams"]["s-0"], json!({"StreamVersion": 1, "Status": "CLOSED"}));
    assert!(world.fake.visible("t").is_empty());
    let uneven = json!({"StreamIds": ["s-0"], "StreamVersions": []});
    act(&client, T, "TableCommitWriteSession", &of, uneven).await.refused(400, "InvalidArgument");
    world.fake.calls();
    let named = json!({"StreamIds": ["s-0"], "StreamVersions": [1]});
    let done = act(&client, T, "TableCommitWriteSession", &of, named).await.ok().json();
    assert!(world.fake.calls().contains(&"commit_streams [\"s-0 1\"]".to_string()));
    assert_eq!(act(&client, T, "TableCommitWriteSession", &of, json!({})).await.ok().json(), done);
    assert_eq!(world.fake.visible("t"), [(Some("a".to_string()), 1), (None, -5)]);
    write("&StreamId=s-0&StreamVersion=1", rows).await.refused(409, "StatusConflict");
    act(&client, T, "TableGetWriteSession", "&SessionId=x", json!({})).await.refused(404, "NoSuchUpload");
    for (flags, mode) in [
        (json!({"Flags": {"enable_schema_evolution": "true"}}), ""),
        (json!({"Flags": {"other": 1}}), ""),
        (json!({}), "&WriteMode=StreamingRealtime"),
        (json!({"RequiredDataFormat": {"Type": "CSV"}}), ""),
    ] {
        act(&client, T, "TableCreateWriteSession", mode, flags).await.refused(405, "MethodNotAllowed");
    }
}

#[tokio::test]
async fn a_client_that_counts_its_rows_is_told_where_it_is() {
    let world = World::new().await;
    let client = world.demo();
    const T: &str = "tables.t";
    let session = act(&client, T, "TableCreateWriteSession", "", json!({})).await.ok().json();
    let of = format!("&SessionId={}", session["SessionId"].as_str().unwrap());
    let begin = json!({"StreamId": "a", "StreamVersion": 1, "ExactlyOnceMode": true});
    let begun = act(&client, T, "TableCreateWriteStream", &of, begin.clone()).await.ok().json();
    assert_eq!((&begun["AccessToken"], &begun["RowOffset"]), (&json!("a token"), &json!(0)));
    world.fake.calls();
    let target = format!("/api/storage/v3?Action=TableWrite&Target=projects.p.{T}{of}");
    let target = format!("{target}&StreamId=a&StreamVersion=1&RowOffset=0");
    let token = ("x-odps-max-storage-write-access-token", "a token");
    let rows = stream(&[(Some("a"), 1), (None, -5)], None);
    // A retry as `RetryContext` of odps/tunnel/retry.py marks it.
    let (trace, index) = (("odps-tunnel-retry-trace-id", "r"), ("odps-tunnel-retry-index", "1"));
    let reply = client.send("POST", &target, &[token, trace, index], rows.into()).await.ok();
    assert_eq!(reply.json(), json!({"ExactlyOnceRowOffset": 2}));
    let call = "write_to_stream a 1 0 Some(\"0 a token\") Some((\"r\", true))".to_string();
    assert!(world.fake.calls().contains(&call));
    let looked = act(&client, T, "TableGetWriteStream", &of, begin).await.ok().json();
    assert_eq!((&looked["AccessToken"], &looked["RowOffset"]), (&json!("a token"), &json!(2)));
}

// Rows of a table with a key say what happens to the row of their key; the warehouse gets them as from the tunnel.
#[tokio::test]
async fn rows_of_a_table_with_a_key_say_what_happens_to_theirs() {
    let world = World::new().await;
    let client = world.demo();
    const T: &str = "tables.t";
    let keyed = json!({"Flags": {"overwrite": "true"}});
    let session = act(&client, T, "TableCreateWriteSession", "", keyed).await.ok().json();
    let of = format!("&SessionId={}", session["SessionId"].as_str().unwrap());
    let begun = act(&client, T, "TableCreateWriteStream", &of, json!({"StreamId": "a"})).await.ok().json();
    let operation = json!({"MemberName": "__operation", "Type": 6, "ColumnId": 2, "Nullable": true});
    assert_eq!(begun["TableSchema"]["SystemColumns"][0]["columnType"], operation);
    let s: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let n: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let what: ArrayRef = Arc::new(arrow::array::Int8Array::from(vec![b'U' as i8, b'D' as i8]));
    let batch = RecordBatch::try_from_iter([("s", s), ("n", n), ("__operation", what.clone())]).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    let target = format!("/api/storage/v2?Action=TableWrite&Target=projects.p.{T}{of}&StreamId=a&Count=2");
    client.send("POST", &target, &[], writer.into_inner().unwrap().into()).await.ok();
    let written = world.fake.written();
    let names: Vec<String> = written.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["s", "n", "__version", "__app_version", "__operation", "__key_cols", "__value_cols"]);
    assert_eq!(written.column(4), &what);
    assert!([2, 3, 5, 6].iter().all(|i| written.column(*i).null_count() == 2));
    act(&client, T, "TableAbortWriteSession", &of, json!({})).await.ok();
    assert!(world.fake.calls().contains(&"abort_upsert".to_string()));
}

#[tokio::test]
async fn tables_and_results_are_read_in_the_second_version() {
    let world = World::new().await;
    let client = world.demo();
    const T: &str = "tables.t";
    world.fake.put_rows("t", crate::fake::two_rows());
    let batches = |reply: &Reply| -> Vec<RecordBatch> {
        StreamReader::try_new(&reply.body[..], None).unwrap().map(Result::unwrap).collect()
    };
    let all = json!({"MaxBatchRows": 1, "SkipRowNum": 0, "DataFormat": {"Type": "Arrow", "Version": "V5"}});
    let session = act(&client, T, "TableCreateReadSession", "", json!({})).await.ok().json();
    assert_eq!((&session["SplitMode"], &session["SplitsCount"]), (&json!("Size"), &json!(1)));
    let of = format!("&SessionId={}", session["SessionId"].as_str().unwrap());
    let again = act(&client, T, "TableGetReadSession", &format!("{of}&session_refresh=false"), json!({})).await;
    assert_eq!(again.ok().json(), session);
    let read = act(&client, T, "TableRead", &format!("{of}&Index=0"), all.clone()).await.ok();
    assert_eq!(batches(&read).iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1, 1]);
    // These clients inflate the body and not the buffers.
    let target = format!("/api/storage/v2?Action=TableRead&Target=projects.p.{T}{of}&Index=0");
    for (encoding, token) in [("zstd", "zstd"), ("x-lz4-frame", "x-lz4-frame"), ("gzip, deflate", ""), ("", "")] {
        let reply = client.send("POST", &target, &[("Accept-Encoding", encoding)], all.to_string().into()).await.ok();
        assert_eq!(reply.header("content-encoding"), token);
        assert_eq!(token.is_empty(), reply.body.starts_with(&[0xff; 4]), "{encoding}");
    }
    let by_number = json!({"SplitOptions": {"SplitMode": "RowOffset", "SplitUnit": "ByteSize", "SplitNumber": 50}});
    let rows = act(&client, T, "TableCreateReadSession", "", by_number).await.ok().json();
    assert_eq!((&rows["SplitMode"], &rows["RecordCount"]), (&json!("RowOffset"), &json!(2)));
    let number = format!("&SessionId={}", rows["SessionId"].as_str().unwrap());
    let one = act(&client, T, "TableRead", &format!("{number}&Offset=1&Count=1"), json!({})).await.ok();
    assert_eq!(batches(&one)[0].columns(), crate::fake::two_rows().slice(1, 1).columns());
    for (query, body) in [
        (of.clone(), json!({})),
        (format!("{of}&Index=0&Offset=1"), json!({})),
        (format!("{number}&Index=1"), json!({})),
        (format!("{of}&Index=0"), json!({"TaskName": "x"})),
        (format!("{of}&Index=0"), json!({"Unknown": 1})),
    ] {
        act(&client, T, "TableRead", &query, body).await.refused(400, "InvalidArgument");
    }
    let preview = act(&client, T, "TablePreview", "&Limit=1", json!({"Limit": 1, "Columns": ["N"]})).await.ok();
    let preview = batches(&preview);
    assert_eq!((preview[0].num_rows(), preview[0].num_columns()), (1, 1));
    act(&client, T, "TablePreview", "", json!({"Columns": ["x"]})).await.refused(400, "InvalidArgument");

    let result = format!("instances.{}", crate::jobs::submit(&client, "select 1;").await);
    let table_like = json!({"RequiredDataColumns": [], "SplitOptions": {"SplitMode": "Size"}, "FilterPredicate": ""});
    for body in [json!({"EnableLimit": false}), table_like] {
        let session = act(&client, &result, "InstanceCreateReadSession", "", body).await.ok().json();
        assert_eq!((&session["Status"], &session["RecordCount"]), (&json!("NORMAL"), &json!(2)));
        let of = format!("&SessionId={}", session["DownloadID"].as_str().unwrap());
        let get = format!("/api/storage/v2?Action=InstanceGetReadSession&Target=projects.p.{result}{of}");
        assert_eq!(client.get(&get).await.ok().json(), session);
        let by_post = act(&client, &result, "InstanceGetReadSession", &of, json!({})).await.ok().json();
        assert_eq!(by_post, session);
        let body = json!({"TaskName": "AnonymousSQLTask", "QueryId": 0, "EnableLimit": false, "Columns": []});
        let read = act(&client, &result, "InstanceRead", &format!("{of}&Count=1&Offset=1"), body).await.ok();
        assert_eq!(batches(&read)[0].columns(), crate::fake::two_rows().slice(1, 1).columns());
        let other = json!({"TaskName": "another"});
        act(&client, &result, "InstanceRead", &of, other).await.refused(404, "NoSuchObject");
    }
    let filter = json!({"FilterPredicate": "n > 1"});
    act(&client, &result, "InstanceCreateReadSession", "", filter).await.refused(405, "MethodNotAllowed");
}
