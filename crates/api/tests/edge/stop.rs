//! The real listener: connections that break, URLs that follow the request, and the orderly stop.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use feitian_api::{Limits, Settings, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;
use crate::jobs::submit;
use crate::tunnel::{ROWS, hex, open_upload};
use crate::world::World;

async fn listening(world: &World) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    world.tasks.spawn("http server", serve(listener, world.router.clone(), world.state.clone()));
    address
}

/// The head of a signed request.
fn head(client: &Client, method: &str, target: &str, extra: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in client.headers(method, target, extra) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
    read.expect("an answer").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_question_is_answered_at_once_when_the_server_stops() {
    let limits = Limits { long_poll: Duration::from_secs(60), ..Limits::default() };
    let world = World::with(Settings { limits, ..Settings::default() }).await;
    let address = listening(&world).await;
    let client = world.demo();
    let id = submit(&client, "sleep").await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let target = format!("/api/projects/p/instances/{id}?instancestatus");
    stream.write_all(head(&client, "GET", &target, &[]).as_bytes()).await.unwrap();
    world.fake.waiting.notified().await;
    let started = Instant::now();
    let left = world.tasks.shutdown(Duration::from_secs(20)).await;
    assert!(left.is_empty(), "still running: {left:?}");
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("<Status>Running</Status>"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_off_voids_the_block() {
    let world = World::new().await;
    let address = listening(&world).await;
    let client = world.demo();
    let id = open_upload(&client).await;
    let target = format!("/projects/p/tables/t?uploadid={id}&blockid=1");
    let request = head(&client, "PUT", &target, &[("Transfer-Encoding", "chunked")]);
    let rows = hex(ROWS);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    // Every row came, and the last chunk that ends the body did not.
    stream.write_all(format!("{:x}\r\n", rows.len()).as_bytes()).await.unwrap();
    stream.write_all(&rows).await.unwrap();
    stream.write_all(b"\r\n").await.unwrap();
    stream.flush().await.unwrap();
    world.fake.waiting.notified().await;
    drop(stream);
    // The stop waits for the connection, so that whatever the server makes of it has been made.
    world.tasks.shutdown(Duration::from_secs(20)).await;
    world.fake.drained().await;
    assert_eq!(world.fake.block_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_not_http_are_refused() {
    let world = World::new().await;
    let address = listening(&world).await;
    let client = world.demo();
    let id = open_upload(&client).await;
    let target = format!("/projects/p/tables/t?uploadid={id}&blockid=1");
    let request = head(&client, "PUT", &target, &[("Transfer-Encoding", "chunked"), ("Connection", "close")]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(b"zz\r\nnot a chunk\r\n0\r\n\r\n").await.unwrap();
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    assert_eq!(world.fake.block_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_refusal_is_read_although_the_body_is_long() {
    let world = World::new().await;
    let address = listening(&world).await;
    let stranger = world.client("otherkey");
    let target = "/projects/p/tables/t?uploadid=x&blockid=1";
    let length = (4 << 20).to_string();
    let request = head(&stranger, "PUT", target, &[("Content-Length", &length), ("Connection", "close")]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(&vec![0u8; 4 << 20]).await.unwrap();
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 403") && text.contains("NoPermission"), "{text}");
}
