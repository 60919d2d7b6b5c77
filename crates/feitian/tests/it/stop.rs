//! Stopping: who waits is answered, who works gets time, what runs is queued again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::{Up, expect, feitian, json, text};

/// Ten rows joined with themselves twelve times: 10^13 rows to add up, which no machine does in a test.
fn endless_query() -> String {
    let ten: Vec<String> = (0..10).map(|n| format!("select {n} as n")).collect();
    let ten = ten.join(" union all ");
    let joins: Vec<String> = (0..13).map(|i| format!("({ten}) t{i}")).collect();
    format!("set odps.sql.allow.cartesian=true; select sum(t0.n * t12.n) as s from {}", joins.join(" cross join "))
}

fn submit_endless(up: &Up) -> String {
    let (id, _) = expect(&up.dir, 0, &["sql", "--no-wait", "-e", &endless_query()]);
    id.trim().to_string()
}

#[test]
fn sigterm_answers_a_waiting_client_at_once_and_queues_its_job_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path());
    let id = submit_endless(&up);
    // The client asks for up to 20 s at a time.
    let mut client = feitian(dir.path());
    client
        .args(["sql", "-e", &endless_query()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let client = client.spawn().unwrap();
    // Both jobs are known once the list shows two; the second one's client is waiting from then on.
    wait_until(|| json(dir.path(), &["instance", "list"]).as_array().unwrap().len() == 2);
    wait_until(|| json(dir.path(), &["instance", "show", &id])["state"] == "Running");
    let began = Instant::now();
    up.signal(Signal::TERM);
    assert_eq!(up.wait(), Some(0));
    let output = client.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(2), "the server is gone: {}", text(&output.stderr));
    assert!(text(&output.stderr).contains("goes on without us"), "{}", text(&output.stderr));

    let _up = Up::start(dir.path());
    wait_until(|| json(dir.path(), &["instance", "show", &id])["state"] == "Running");
    for instance in json(dir.path(), &["instance", "list"]).as_array().unwrap() {
        expect(dir.path(), 0, &["instance", "stop", instance["id"].as_str().unwrap(), "--yes"]);
    }
    wait_until(|| json(dir.path(), &["instance", "show", &id])["state"] == "Cancelled");
}

#[test]
fn a_request_under_way_gets_its_time_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start_with(dir.path(), &["--set", "server.grace=1s"]);
    let mut stuck = unfinished_request(&up);
    let began = Instant::now();
    up.signal(Signal::TERM);
    assert_eq!(up.wait(), Some(0));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
    assert!(matches!(stuck.read(&mut [0; 16]), Ok(0) | Err(_)));
}

#[test]
fn a_request_under_way_that_ends_in_time_gets_its_whole_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path());
    let mut request = unfinished_request(&up);
    up.signal(Signal::TERM);
    // Once it accepts no more it is waiting for the request.
    wait_until(|| TcpStream::connect(up.address()).is_err());
    request.write_all(BODY.as_bytes()).unwrap();
    let mut answer = String::new();
    request.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 201 "), "{answer}");
    let length = head.to_lowercase().lines().find_map(|l| Some(l.strip_prefix("content-length: ")?.to_string()));
    assert_eq!(length.as_deref(), Some(body.len().to_string().as_str()), "{answer}");
    let made: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(made["name"], "in_time");
    assert_eq!(up.wait(), Some(0));
}

#[test]
fn a_second_sigint_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path());
    let _stuck = unfinished_request(&up);
    up.signal(Signal::INT);
    // Once it accepts no more it is waiting for the request.
    wait_until(|| TcpStream::connect(up.address()).is_err());
    up.signal(Signal::INT);
    // 128 + the number of SIGINT, as shells report it.
    assert_eq!(up.wait(), Some(130));
}

/// The body of [`unfinished_request`].
const BODY: &str = r#"{"name":"in_time"}"#;

/// A request for a new project that has announced its body and does not send it.
fn unfinished_request(up: &Up) -> TcpStream {
    let (key, path) = (up.credentials(), "/admin/v1/projects");
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let signed = [("content-type", "application/json"), ("date", date.as_str())];
    let authorization = feitian_wire::sign::sign_request(&key.access_id, &key.secret, "POST", path, signed);
    let mut stream = TcpStream::connect(up.address()).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ndate: {date}\r\nauthorization: {authorization}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        BODY.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // `100 Continue` comes when the server begins to read the body: from then on the request is under way.
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// Asks until it is so; a test that waits for ever is a test that fails.
fn wait_until(mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(60), "it did not become so");
        std::thread::yield_now();
    }
}
