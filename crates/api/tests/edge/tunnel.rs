//! Uploads, downloads, results and previews.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use axum::body::Body;
use bytes::Bytes;
use serde_json::json;

use crate::client::{Client, Reply};
use crate::jobs::submit;
use crate::world::World;

/// Rows ("a", 1) and (NULL, -5) of columns (s string, n bigint), as the C writer of PyODPS 0.13.2 sends them and as its
/// reader takes them: checksums of 2^31 and more may be sign-extended to ten bytes.
pub const ROWS: &str = "0a0161 1002 80c0ff7f 9ebadba309 1009 80c0ff7f 9dccc5e60a f0ffff7f 04 f8ffff7f c1d6809b0c";
const ROWS_SIGN_EXTENDED: &str = "0a0161 1002 80c0ff7f 9ebadba3f9ffffffff01 1009 80c0ff7f 9dccc5e6faffffffff01 \
                                  f0ffff7f 04 f8ffff7f c1d6809bfcffffffff01";
const NO_ROWS: &str = "f0ffff7f 00 f8ffff7f 00";

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

pub async fn open_upload(client: &Client) -> String {
    let session = client.post("/projects/p/tables/t?uploads=1&reload=False", "").await.ok().json();
    assert_eq!((&session["Status"], &session["UploadedBlockList"]), (&json!("normal"), &json!([])));
    session["UploadID"].as_str().unwrap().to_string()
}

fn block(id: &str, block: u32) -> String {
    format!("/projects/p/tables/t?uploadid={id}&blockid={block}")
}

pub async fn filled(client: &Client) -> String {
    let id = open_upload(client).await;
    client.put(&block(&id, 1), hex(ROWS)).await.ok();
    client.post(&format!("/projects/p/tables/t?uploadid={id}"), "").await.ok();
    let session = client.post("/projects/p/tables/t?downloads=&asyncmode=true", "").await.ok().json();
    assert_eq!((&session["RecordCount"], &session["Status"]), (&json!(2), &json!("normal")));
    session["DownloadID"].as_str().unwrap().to_string()
}

pub async fn read(client: &Client, id: &str, query: &str, headers: &[(&str, &str)]) -> Reply {
    let target = format!("/projects/p/tables/t?data&downloadid={id}&{query}");
    client.send("GET", &target, headers, Body::empty()).await
}

#[tokio::test]
async fn rows_go_up_block_by_block_and_come_down_as_they_were() {
    let world = World::new().await;
    let client = world.demo();
    let id = open_upload(&client).await;
    for rows in [ROWS, ROWS_SIGN_EXTENDED] {
        let target = block(&id, 7);
        let put = client.send("PUT", &target, &[("Content-Type", "application/octet-stream")], hex(rows).into());
        assert!(put.await.ok().body.is_empty());
    }
    client.put(&block(&id, 3), hex(NO_ROWS)).await.ok();
    let status = client.get(&format!("/projects/p/tables/t?uploadid={id}&reload=True&quotaName=q")).await.ok().json();
    assert_eq!(status["UploadedBlockList"], json!([{"BlockID": 3}, {"BlockID": 7}]));
    assert_eq!((&status["QuotaName"], &status["MaxFieldSize"]), (&json!("q"), &json!(8_388_608)));
    assert_eq!(status["Schema"]["columns"][0]["name"], "s");
    assert!(world.fake.visible("t").is_empty(), "nothing is visible before the commit");
    let commit = format!("/projects/p/tables/t?uploadid={id}");
    let first = client.post(&commit, "").await.ok().json();
    assert_eq!(first["Status"], "closed");
    // The answer was lost, the client asks again.
    assert_eq!(client.post(&commit, "").await.ok().json(), first);
    assert_eq!(world.fake.visible("t"), [(Some("a".into()), 1), (None, -5)]);
    client.put(&block(&id, 9), hex(ROWS)).await.refused(409, "StatusConflict");

    let session = client.post("/projects/p/tables/t?downloads=&asyncmode=true", "").await.ok().json();
    let id = session["DownloadID"].as_str().unwrap();
    let down = read(&client, id, "rowrange=%280%2C100%29", &[("Content-Length", "0")]).await.ok();
    assert_eq!(down.body, hex(ROWS));
    assert_eq!(down.header("content-encoding"), "");
    let none = read(&client, id, "rowrange=(5,1)", &[]).await.ok();
    assert_eq!(none.body, hex(NO_ROWS));
    let again = client.get(&format!("/projects/p/tables/t?downloadid={id}")).await.ok().json();
    assert_eq!(again, session);
}

#[tokio::test]
async fn columns_come_in_the_order_asked_for() {
    let world = World::new().await;
    let client = world.demo();
    let id = filled(&client).await;
    let down = read(&client, &id, "rowrange=(0,1)&columns=N,s", &[]).await.ok();
    // Field 1 is now n = 1 (zigzag 2, varint), field 2 is s = "a".
    assert_eq!(down.body[..5], hex("0802 12 0161"));
    let one = read(&client, &id, "rowrange=(0,1)&columns=n", &[]).await.ok();
    assert_eq!(one.body[..2], hex("0802"));
    let session = client.post("/projects/p/tables/t?downloads", "").await.ok().json();
    let arrow =
        read(&client, session["DownloadID"].as_str().unwrap(), "rowrange=(0,1)&columns=n,s&arrow", &[]).await.ok();
    // Arrow has table order: the first buffer with bytes of text comes before the numbers.
    let batches = arrow_rows(&arrow.body, &[("s", DataType::Utf8), ("n", DataType::Int64)]);
    assert_eq!(batches[0].num_rows(), 1);
    for (query, code) in [
        ("rowrange=(0,1)&columns=x", "InvalidArgument"),
        ("rowrange=(0,1)&columns=s,s", "InvalidArgument"),
        ("rowrange=0,1", "InvalidRowRange"),
        ("rowrange=(0,-1)", "InvalidRowRange"),
        ("columns=s", "InvalidParameter"),
    ] {
        read(&client, &id, query, &[]).await.refused(400, code);
    }
    read(&client, &id, "rowrange=(0,1)&raw_size=5", &[]).await.refused(405, "MethodNotAllowed");
    client.get("/projects/p/tables/t?data&downloadid=x&rowrange=(0,1)").await.refused(404, "NoSuchDownload");
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn inflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

#[tokio::test]
async fn bodies_are_compressed_both_ways() {
    use feitian_wire::compress::Codec;
    let world = World::new().await;
    let client = world.demo();
    let id = open_upload(&client).await;
    client.send("PUT", &block(&id, 0), &[("Content-Encoding", "deflate")], deflate(&hex(ROWS)).into()).await.ok();
    for (n, codec) in [Codec::Zstd, Codec::Lz4Frame, Codec::SnappyFramed].into_iter().enumerate() {
        let mut out = codec.writer(Vec::new()).unwrap();
        out.write_all(&hex(NO_ROWS)).unwrap();
        let body = out.finish().unwrap();
        let headers = [("Content-Encoding", codec.token().unwrap())];
        client.send("PUT", &block(&id, 1 + n as u32), &headers, body.into()).await.ok();
    }
    let odd = client.send("PUT", &block(&id, 9), &[("Content-Encoding", "rot13")], hex(ROWS).into()).await;
    assert!(odd.status.is_client_error());
    assert_eq!(world.fake.block_count(), 4);
    client.post(&format!("/projects/p/tables/t?uploadid={id}"), "").await.ok();
    let session = client.post("/projects/p/tables/t?downloads", "").await.ok().json();
    let id = session["DownloadID"].as_str().unwrap();
    let down = read(&client, id, "rowrange=(0,9)", &[("Accept-Encoding", "deflate")]).await.ok();
    assert_eq!((down.header("content-encoding"), inflate(&down.body)), ("deflate", hex(ROWS)));
    for token in ["zstd", "x-lz4-frame", "x-snappy-framed"] {
        let down = read(&client, id, "rowrange=(0,9)", &[("Accept-Encoding", token)]).await.ok();
        assert_eq!(down.header("content-encoding"), token);
        let mut plain = Vec::new();
        Codec::from_token(token).unwrap().reader(std::io::Cursor::new(down.body)).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, hex(ROWS), "{token}");
    }
    // What nobody asked for is not compressed: the HTTP library of clients would stumble over it.
    let plain = read(&client, id, "rowrange=(0,9)", &[("Accept-Encoding", "identity")]).await.ok();
    assert_eq!((plain.header("content-encoding"), &plain.body[..]), ("", &hex(ROWS)[..]));
}

fn rows_as_arrow() -> RecordBatch {
    let schema = Schema::new(vec![Field::new("s", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec![Some("a"), None])), Arc::new(Int64Array::from(vec![1, -5]))];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// A batch as a message without schema and end, cut into chunks as PyODPS (`odps/tunnel/io/writer.py`) does.
fn framed(batch: &RecordBatch, chunk: usize) -> Vec<u8> {
    let mut schema_only = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    schema_only.flush().unwrap();
    let head = schema_only.get_ref().len();
    let mut all = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    all.write(batch).unwrap();
    let message = all.get_ref()[head..].to_vec();
    let mut out = (chunk as u32).to_be_bytes().to_vec();
    let mut chunks = message.chunks_exact(chunk);
    for piece in chunks.by_ref() {
        out.extend_from_slice(piece);
        out.extend_from_slice(&crc32c(piece).to_be_bytes());
    }
    out.extend_from_slice(chunks.remainder());
    out.extend_from_slice(&crc32c(&message).to_be_bytes());
    out
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Takes the frame off and puts the schema before the messages.
fn arrow_rows(body: &Bytes, columns: &[(&str, DataType)]) -> Vec<RecordBatch> {
    let chunk = u32::from_be_bytes(body[..4].try_into().unwrap()) as usize;
    let (mut rest, mut message) = (&body[4..], Vec::new());
    while rest.len() >= chunk + 4 {
        message.extend_from_slice(&rest[..chunk]);
        assert_eq!(rest[chunk..chunk + 4], crc32c(&rest[..chunk]).to_be_bytes());
        rest = &rest[chunk + 4..];
    }
    let (last, crc) = rest.split_at(rest.len() - 4);
    message.extend_from_slice(last);
    assert_eq!(crc, crc32c(&message).to_be_bytes());
    let fields: Vec<Field> = columns.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect();
    let mut head = StreamWriter::try_new(Vec::new(), &Schema::new(fields)).unwrap();
    head.flush().unwrap();
    let stream = [head.get_ref().as_slice(), &message].concat();
    StreamReader::try_new(stream.as_slice(), None).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn arrow_goes_up_and_down() {
    let world = World::new().await;
    let client = world.demo();
    let id = open_upload(&client).await;
    // Chunks of 16 bytes and of 64 KiB, as tests and clients use them.
    for (n, chunk) in [(0, 16), (1, 65_536)] {
        client.put(&format!("{}&arrow", block(&id, n)), framed(&rows_as_arrow(), chunk)).await.ok();
    }
    client.post(&format!("/projects/p/tables/t?uploadid={id}"), "").await.ok();
    let two = [(Some("a".to_string()), 1), (None, -5)];
    assert_eq!(world.fake.visible("t"), [two.clone(), two].concat());
    let session = client.post("/projects/p/tables/t?downloads", "").await.ok().json();
    let id = session["DownloadID"].as_str().unwrap();
    let down = read(&client, id, "rowrange=(0,9)&arrow", &[]).await.ok();
    let batches = arrow_rows(&down.body, &[("s", DataType::Utf8), ("n", DataType::Int64)]);
    // A batch does not span two uploads.
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(batches[0].columns(), rows_as_arrow().columns());
    let none = read(&client, id, "rowrange=(9,9)&arrow", &[]).await.ok();
    assert_eq!(none.body.len(), 8, "chunk size and an empty checksum");
}

#[tokio::test]
async fn a_damaged_block_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let client = world.demo();
    let id = open_upload(&client).await;
    let good = hex(ROWS);
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    type Upload<'a> = (Vec<u8>, &'a [(&'a str, &'a str)], &'a str);
    let mut bad: Vec<Upload<'_>> = vec![
        (flipped(2), &[], ""),                       // a letter of a text
        (flipped(9), &[], ""),                       // the checksum of a record
        (flipped(good.len() - 1), &[], ""),          // the checksum of the stream
        (good[..good.len() - 3].to_vec(), &[], ""),  // the end is missing
        (Vec::new(), &[], ""),                       // everything is missing
        ([good.clone(), vec![0]].concat(), &[], ""), // too much
        (hex("1a0161"), &[], ""),                    // a third column
        (vec![0xff; 64], &[], ""),
        (good.clone(), &[("Content-Encoding", "deflate")], ""), // not compressed
        (deflate(&good)[..8].to_vec(), &[("Content-Encoding", "deflate")], ""),
        (good.clone(), &[], "&arrow"),
        (Vec::new(), &[], "&arrow"),
    ];
    let mut arrow = framed(&rows_as_arrow(), 16);
    arrow[30] ^= 1;
    bad.push((arrow, &[], "&arrow"));
    for (n, (body, headers, arrow)) in bad.into_iter().enumerate() {
        let reply = client.send("PUT", &format!("{}{arrow}", block(&id, 1)), headers, body.into()).await;
        assert_eq!(reply.status.as_u16(), 400, "case {n}: {}", reply.text());
        assert_eq!(reply.code(), "MalformedDataStream", "case {n}");
        assert_eq!(world.fake.block_count(), 0, "case {n}");
    }
    // A block that was written before stays as it was.
    client.put(&block(&id, 1), good.clone()).await.ok();
    client.put(&block(&id, 1), flipped(2)).await.refused(400, "MalformedDataStream");
    client.post(&format!("/projects/p/tables/t?uploadid={id}"), "").await.ok();
    assert_eq!(world.fake.visible("t"), [(Some("a".into()), 1), (None, -5)]);
    for target in ["uploadid=x&blockid=1", &format!("uploadid={id}&blockid=-1"), &format!("uploadid={id}&blockid=z")] {
        let reply = client.put(&format!("/projects/p/tables/t?{target}"), good.clone()).await;
        assert!(reply.status.is_client_error(), "{target}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_no_block() {
    let world = World::new().await;
    let client = world.demo();
    let id = open_upload(&client).await;
    let whole = Bytes::from(hex(ROWS));
    // Every byte came, but HTTP did not say that the body ended.
    let pieces = vec![Ok(whole), Err(std::io::Error::other("reset"))];
    let body = Body::from_stream(futures::stream::iter(pieces));
    client.send("PUT", &block(&id, 1), &[], body).await.refused(400, "IncompleteBody");
    assert_eq!(world.fake.block_count(), 0);
}

#[tokio::test]
async fn metrics_come_with_protocol_version_6() {
    let world = World::new().await;
    let client = world.demo();
    let id = open_upload(&client).await;
    let check = |text: &str| {
        let costs: serde_json::Value = serde_json::from_str(text).unwrap();
        let cost = |name: &str| costs[name].as_u64().unwrap();
        // What the tests of PyODPS demand (odps/tunnel/tests/test_tabletunnel.py).
        assert!(cost("ServerTotalCost") > cost("ServerIOCost") + cost("PanguIOCost") + cost("RateLimitCost"));
    };
    let put = async |version: &str| {
        let headers = [("x-odps-tunnel-version", version)];
        client
            .send("PUT", &block(&id, 1), &headers, hex(ROWS).into())
            .await
            .ok()
            .header("odps-tunnel-metrics")
            .to_string()
    };
    check(&put("6").await);
    assert_eq!(put("5").await, "");
    client.post(&format!("/projects/p/tables/t?uploadid={id}"), "").await.ok();
    let session = client.post("/projects/p/tables/t?downloads", "").await.ok().json();
    let id = session["DownloadID"].as_str().unwrap();
    let down = read(&client, id, "rowrange=(0,9)", &[("x-odps-tunnel-version", "6")]).await.ok();
    let text = String::from_utf8_lossy(&down.body).into_owned();
    let from = text.find('{').unwrap();
    check(&text[from..=text.find('}').unwrap()]);
}

#[tokio::test]
async fn a_session_belongs_to_its_table_and_partition() {
    let world = World::new().await;
    let client = world.demo();
    client.post("/projects/p/tables/pt?uploads=1", "").await.refused(400, "InvalidPartitionSpec");
    client.post("/projects/p/tables/t?uploads=1&partition=ds%3D1", "").await.refused(400, "InvalidPartitionSpec");
    client.post("/projects/p/tables/nope?uploads=1", "").await.refused(404, "NoSuchTable");
    client.post("/projects/p/tables/t?uploads=1&overwrite=maybe", "").await.refused(400, "InvalidParameter");
    let session = client.post("/projects/p/tables/pt?uploads=1&partition=ds%3D1&create_partition=true", "").await.ok();
    let id = session.json()["UploadID"].as_str().unwrap().to_string();
    client.get(&format!("/projects/p/tables/pt?uploadid={id}&partition=ds%3D1")).await.ok();
    client
        .get(&format!("/projects/p/tables/pt?uploadid={id}&partition=ds%3D2"))
        .await
        .refused(400, "InvalidPartitionSpec");
    client.get(&format!("/projects/p/tables/t?uploadid={id}")).await.refused(404, "NoSuchUpload");
    client.get(&format!("/projects/p/tables/pt?downloadid={id}")).await.refused(404, "NoSuchDownload");
}

#[tokio::test]
async fn results_of_queries_are_read_like_tables() {
    let world = World::new().await;
    let client = world.demo();
    let id = submit(&client, "select 1;").await;
    let base = format!("/projects/p/instances/{id}");
    let session = client.post(&format!("{base}?downloads"), "").await.ok().json();
    assert_eq!((&session["RecordCount"], &session["Schema"]["partitionKeys"]), (&json!(2), &json!([])));
    let download = session["DownloadID"].as_str().unwrap().to_string();
    assert_eq!(client.get(&format!("{base}?downloadid={download}")).await.ok().json(), session);
    let rows = client.get(&format!("{base}?downloadid={download}&rowrange=%280%2C2%29&data=")).await.ok();
    assert_eq!(rows.body, hex(ROWS));
    let arrow = client.get(&format!("{base}?downloadid={download}&rowrange=(1,5)&data=&arrow")).await.ok();
    assert_eq!(arrow_rows(&arrow.body, &[("s", DataType::Utf8), ("n", DataType::Int64)])[0].num_rows(), 1);
    client.get(&format!("{base}?downloadid=x&rowrange=(0,1)&data")).await.refused(404, "NoSuchDownload");
    // The class of these errors decides what DB-API does next.
    let text = submit(&client, "desc t;").await;
    client.post(&format!("/projects/p/instances/{text}?downloads"), "").await.refused(400, "InstanceTypeNotSupported");
    let running = submit(&client, "sleep").await;
    client.post(&format!("/projects/p/instances/{running}?downloads"), "").await.refused(400, "InstanceNotTerminate");
}

#[tokio::test]
async fn a_limited_download_ends_at_the_projects_limit() {
    let world = World::new().await;
    let client = world.demo();
    let set = json!({"properties": {"READ_TABLE_MAX_ROW": "1"}}).to_string();
    client.put("/admin/v1/projects/p/properties", set).await.ok();
    let id = submit(&client, "select 1;").await;
    let base = format!("/projects/p/instances/{id}");
    let session = client.post(&format!("{base}?downloads&instance_tunnel_limit_enabled="), "").await.ok().json();
    assert_eq!(session["RecordCount"], 1);
    let download = session["DownloadID"].as_str().unwrap();
    let rows = client.get(&format!("{base}?downloadid={download}&rowrange=(0,9)&data")).await.ok();
    assert_eq!(rows.body[..5], hex("0a0161 1002"));
    // The footer counts one row: zigzag of 1 is 2.
    assert!(rows.body.windows(5).any(|w| w == hex("f0ffff7f 02")));
    let all = client.post(&format!("{base}?downloads"), "").await.ok().json();
    assert_eq!(all["RecordCount"], 2);
}

#[tokio::test]
async fn a_preview_is_one_arrow_stream_or_csv() {
    let world = World::new().await;
    let client = world.demo();
    let target = "/projects/p/schemas/default/tables/t/preview?limit=-1";
    assert!(client.get(target).await.ok().body.is_empty(), "no rows, no bytes");
    filled(&client).await;
    let reply = client.get(target).await.ok();
    let batches: Vec<_> = StreamReader::try_new(&reply.body[..], None).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches[0].columns(), rows_as_arrow().columns());
    let one = client.get("/projects/p/schemas/default/tables/t/preview?limit=1&columns=n").await.ok();
    let batches: Vec<_> = StreamReader::try_new(&one.body[..], None).unwrap().map(Result::unwrap).collect();
    assert_eq!((batches[0].num_rows(), batches[0].num_columns()), (1, 1));
    client.get("/projects/p/schemas/default/tables/t/preview?limit=x").await.refused(400, "InvalidArgument");
    let csv = client.get("/api/projects/p/tables/t?data=&linenum=1&cols=s,n").await.ok();
    assert_eq!(csv.text(), "\"s\",\"n\"\n\"a\",1\n");
    client.get("/api/projects/p/tables/t?data=&cols=x").await.refused(400, "InvalidArgument");
}

/// A server on which no upload and no download may run.
async fn without_streams() -> World {
    let limits = feitian_api::Limits {
        streams: 0,
        stream_wait: std::time::Duration::from_millis(10),
        ..feitian_api::Limits::default()
    };
    World::with(feitian_api::Settings { limits, ..feitian_api::Settings::default() }).await
}

#[tokio::test]
async fn rows_as_csv_are_downloads_like_others() {
    let world = without_streams().await;
    let client = world.demo();
    let id = submit(&client, "select 1;").await;
    let rows = format!("/admin/v1/projects/p/instances/{id}/rows");
    client.get(&format!("{rows}?format=csv")).await.refused(429, "FlowExceeded");
    client.get("/api/projects/p/tables/t?data").await.refused(429, "FlowExceeded");
    // Few rows, and they are in memory before the answer begins.
    client.get(&rows).await.ok();
    client.get(&format!("/api/projects/p/instances/{id}?result")).await.ok();
}

/// A client that stays connected and reads no more keeps what is on its way, and no place among the streams.
#[tokio::test]
async fn a_reader_that_stalls_gives_its_place_away() {
    let limits = feitian_api::Limits {
        streams: 1,
        stream_wait: std::time::Duration::from_secs(600),
        body_idle: std::time::Duration::from_millis(1),
        ..feitian_api::Limits::default()
    };
    let world = World::with(feitian_api::Settings { limits, ..feitian_api::Settings::default() }).await;
    let client = world.demo();
    // Ten megabytes in a hundred pieces: more than is ever on its way.
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1000); 100]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1; 100]));
    let rows = RecordBatch::try_from_iter_with_nullable([("s", texts, true), ("n", numbers, true)]).unwrap();
    (0..100).for_each(|_| world.fake.put_rows("t", rows.clone()));
    let preview = async || client.answer("GET", "/api/projects/p/tables/t?data", &[], Body::empty()).await;
    let stalled = preview().await;
    assert_eq!(stalled.status().as_u16(), 200);
    assert_eq!(preview().await.status().as_u16(), 200, "the place of the first came free");
    let read_on = Reply::of(stalled).await;
    assert!(read_on.broken, "a part of {} bytes was given out as all", read_on.body.len());
}

#[tokio::test]
async fn uploads_wait_for_a_place_and_are_refused_when_none_comes_free() {
    let world = without_streams().await;
    let client = world.demo();
    let id = open_upload(&client).await;
    client.put(&block(&id, 1), hex(ROWS)).await.refused(429, "FlowExceeded");
    assert_eq!(world.fake.block_count(), 0);
}
