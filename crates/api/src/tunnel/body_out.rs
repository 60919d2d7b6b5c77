//! A blocking encoder as a response body: it runs on its own thread and fills a short bounded channel.

use std::io::{self, Write};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use feitian_base::{Error, Kind, Result};
use futures::{Stream, StreamExt};
use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::permit::StreamPermit;
use crate::state::AppState;
use crate::warehouse::Batches;

/// Bytes that are gathered before they go to the connection.
const CHUNK: usize = 128 << 10;
/// Chunks that wait for the connection.
const QUEUE: usize = 4;

type Piece = Result<Bytes, Error>;

/// Where an encoder writes.
pub struct BodyWriter {
    pieces: mpsc::Sender<Piece>,
    buffer: BytesMut,
    runtime: Handle,
    /// How long a client may leave a full channel standing before it counts as gone.
    patience: Duration,
    sent: Counter,
}

/// The batches of a download, drawn on the encoder's thread.
pub struct BlockingBatches {
    batches: Batches,
    runtime: Handle,
    pieces: mpsc::Sender<Piece>,
}

/// Runs `encode` on a blocking thread and returns its output as a body.
///
/// Returns once the first bytes are there, so that what fails before them is an error answer and not a broken body. What
/// fails later breaks the connection off, which clients notice. The thread ends when the client goes away.
pub async fn body_of<F>(state: &AppState, permit: StreamPermit, batches: Batches, encode: F) -> Result<Body>
where
    F: FnOnce(&mut BlockingBatches, BodyWriter) -> Result<()> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel::<Piece>(QUEUE);
    let mut source = BlockingBatches { batches, runtime: Handle::current(), pieces: sender.clone() };
    let sent = state.metrics.download_bytes.clone();
    let patience = state.settings.limits.body_idle;
    let work = tokio::task::spawn_blocking(move || {
        let runtime = source.runtime.clone();
        let (pieces, buffer) = (sender.clone(), BytesMut::with_capacity(CHUNK));
        let writer = BodyWriter { pieces, buffer, runtime: runtime.clone(), patience, sent };
        let panicked = |_| Err(Error::internal("an encoder panicked; its download broke off"));
        let encoded = std::panic::catch_unwind(AssertUnwindSafe(|| encode(&mut source, writer)));
        drop((source, permit));
        if let Err(e) = encoded.unwrap_or_else(panicked) {
            if e.kind() != Kind::Cancelled {
                tracing::warn!(code = e.code(), error = ?e, "a download broke off");
            }
            // A client that reads no more and stays connected leaves the channel full for good. It keeps those few chunks,
            // but no thread, no rows and no place among the streams; one that reads on must not take what it got for all.
            runtime.spawn(async move { sender.send(Err(e)).await });
        }
    });
    state.tasks.spawn("tunnel download", work);
    match receiver.recv().await {
        None => Ok(Body::empty()),
        Some(Err(e)) => Err(e),
        Some(Ok(first)) => {
            let rest: std::pin::Pin<Box<dyn Stream<Item = Piece> + Send>> = Box::pin(ReceiverStream::new(receiver));
            Ok(Body::from_stream(futures::stream::once(async { Ok(first) }).chain(rest)))
        }
    }
}

impl Iterator for BlockingBatches {
    type Item = Result<arrow::record_batch::RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let (batches, pieces) = (&mut self.batches, &self.pieces);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = pieces.closed() => Some(Err(client_gone())),
                batch = batches.next() => batch,
            }
        })
    }
}

impl BodyWriter {
    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = self.buffer.split().freeze();
        self.sent.inc_by(chunk.len() as u64);
        let send = self.pieces.send_timeout(Ok(chunk), self.patience);
        self.runtime.block_on(send).map_err(|_| io::Error::other(client_gone()))
    }

    /// Sends what is left. Without this call the last bytes are lost.
    pub fn finish(mut self) -> Result<()> {
        self.send().map_err(feitian_wire::from_io)
    }
}

impl Write for BodyWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(buf);
        if self.buffer.len() >= CHUNK {
            self.send()?;
        }
        Ok(buf.len())
    }

    /// Small pieces are gathered on purpose: only [`BodyWriter::finish`] sends a chunk that is not full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn client_gone() -> Error {
    Error::new(Kind::Cancelled, "IncompleteBody", "the client closed the connection")
}
