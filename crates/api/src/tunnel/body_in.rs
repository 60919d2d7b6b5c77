//! A request body as a blocking reader: chunks cross a short bounded channel from the connection to the decoder.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::{Buf, Bytes};
use feitian_base::{Error, Kind};
use http_body_util::BodyExt;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use crate::call::{body_timeout, broken_body};
use crate::dispatch::discard_body;

/// Chunks that wait for the decoder. HTTP hands over at most a few hundred kilobytes at a time.
const QUEUE: usize = 4;

enum Piece {
    Data(Bytes),
    /// The body ended as HTTP says it must. Without it the sender was lost, and the body is not whole.
    End,
    Failed(Error),
}

/// The reading half; it belongs on a blocking thread.
pub struct BodyReader {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
    waited: Arc<AtomicU64>,
}

/// The half that draws from the connection.
pub struct Pump {
    body: Body,
    pieces: mpsc::Sender<Piece>,
    idle: Duration,
    received: Counter,
}

/// Microseconds that the reader waited for the network.
#[derive(Clone, Default)]
pub struct Waited(Arc<AtomicU64>);

impl Waited {
    pub fn micros(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Splits a body into a reader for a blocking thread and a [`Pump`] that must run beside it.
pub fn split(body: Body, idle: Duration, received: Counter) -> (BodyReader, Pump, Waited) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let waited = Waited::default();
    let reader = BodyReader { pieces: receiver, current: Bytes::new(), ended: false, waited: waited.0.clone() };
    (reader, Pump { body, pieces: sender, idle, received }, waited)
}

impl Pump {
    /// Moves the body to the reader until it ends. When the reader has gone, what is left is read and dropped, so that
    /// the client comes to read its answer. Dropping this future makes the reader fail.
    pub async fn run(mut self) {
        loop {
            // A reader that has refused the body is not kept waiting for a client that waits for its answer.
            let frame = tokio::select! {
                () = self.pieces.closed() => None,
                frame = tokio::time::timeout(self.idle, self.body.frame()) => Some(frame),
            };
            let Some(frame) = frame else { return discard_body(self.body).await };
            let piece = match frame {
                Err(_) => Piece::Failed(body_timeout(self.idle)),
                Ok(None) => Piece::End,
                Ok(Some(Err(e))) => Piece::Failed(broken_body(e)),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        self.received.inc_by(data.len() as u64);
                        Piece::Data(data)
                    }
                    Err(_trailers) => continue,
                },
            };
            let last = !matches!(piece, Piece::Data(_));
            let delivered = self.pieces.send(piece).await.is_ok();
            if last {
                return;
            }
            if !delivered {
                return discard_body(self.body).await;
            }
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            let started = Instant::now();
            let piece = self.pieces.blocking_recv();
            self.waited.fetch_add(started.elapsed().as_micros() as u64, Ordering::Relaxed);
            match piece {
                Some(Piece::Data(data)) => self.current = data,
                Some(Piece::End) => self.ended = true,
                Some(Piece::Failed(e)) => return Err(io::Error::other(e)),
                None => {
                    let gone =
                        Error::new(Kind::Cancelled, "IncompleteBody", "the connection closed before the body ended");
                    return Err(io::Error::other(gone));
                }
            }
        }
        let n = self.current.len().min(buf.len());
        self.current.copy_to_slice(&mut buf[..n]);
        Ok(n)
    }
}
