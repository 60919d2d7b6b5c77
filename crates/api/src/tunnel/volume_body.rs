//! Contents of volumes' files as bodies: taken out of their frame on the way in, put into it on the way out.

use std::io::{Read, Write};

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use feitian_base::{Error, Kind, Result};
use feitian_wire::compress::{Codec, Compressor};
use feitian_wire::from_io;
use feitian_wire::volume_frame::{VolumeReader, VolumeWriter};
use futures::{StreamExt, TryStreamExt};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use super::body_in;
use super::codec::accepted;
use super::permit::StreamPermit;
use crate::call::{Answer, Call};
use crate::warehouse::ByteStream;

/// Pieces that wait for the disk.
const QUEUE: usize = 4;

enum Piece {
    Data(Bytes),
    /// The content is whole. Without it the decoder was lost.
    End,
    Failed(Error),
}

/// The content of the request's body, and what must run beside whoever draws it.
pub(super) fn content(call: &Call) -> Result<(ByteStream, impl Future<Output = ()> + Send)> {
    let codec = Codec::from_token(call.header(CONTENT_ENCODING.as_str()).unwrap_or_default())?;
    let (limits, received) = (&call.state.settings.limits, call.state.metrics.upload_bytes.clone());
    let (reader, pump, _) = body_in::split(call.take_body(), limits.body_idle, received);
    let (sender, receiver) = mpsc::channel(QUEUE);
    let decoder = tokio::task::spawn_blocking(move || decode(codec.reader(reader), &sender));
    let beside = async move {
        pump.run().await;
        // Its body is over, or nobody draws any more. What it has to say it has sent.
        let _ = decoder.await;
    };
    Ok((drawn(receiver), beside))
}

fn decode(reader: Box<dyn Read + Send>, pieces: &mpsc::Sender<Piece>) {
    let mut reader = VolumeReader::new(reader);
    loop {
        let piece = match reader.next_piece() {
            Ok(Some(bytes)) => Piece::Data(bytes.into()),
            Ok(None) => Piece::End,
            Err(e) => Piece::Failed(e),
        };
        let is_last = !matches!(piece, Piece::Data(_));
        if pieces.blocking_send(piece).is_err() || is_last {
            return;
        }
    }
}

fn drawn(pieces: mpsc::Receiver<Piece>) -> ByteStream {
    let next = |pieces: Option<mpsc::Receiver<Piece>>| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Piece::Data(bytes)) => Some((Ok(bytes), Some(pieces))),
            Some(Piece::End) => None,
            Some(Piece::Failed(e)) => Some((Err(e), None)),
            None => {
                let lost = Error::new(Kind::Internal, "InternalServerError", "the decoder of a volume's file was lost");
                Some((Err(lost), None))
            }
        }
    };
    futures::stream::unfold(Some(pieces), next).boxed()
}

/// A content on its way out.
struct Sending {
    bytes: ByteStream,
    /// `None` once the end has been sent.
    framing: Option<Framing>,
    sent: Counter,
    _permit: StreamPermit,
}

/// The frame, and the compressor around it.
struct Framing {
    frame: VolumeWriter,
    out: Compressor<Vec<u8>>,
}

impl Framing {
    /// What goes out for a piece of the content, or for its end.
    fn step(mut self, piece: Option<Bytes>) -> Result<(Option<Self>, Bytes)> {
        let mut framed = Vec::new();
        match piece {
            Some(piece) => {
                self.frame.push(&piece, &mut framed);
                self.out.write_all(&framed).map_err(from_io)?;
                let chunk = std::mem::take(self.out.get_mut());
                Ok((Some(self), chunk.into()))
            }
            None => {
                self.frame.finish(&mut framed);
                self.out.write_all(&framed).map_err(from_io)?;
                Ok((None, self.out.finish().map_err(from_io)?.into()))
            }
        }
    }
}

/// The next bytes of the body; what fails breaks it off.
async fn next(mut sending: Sending) -> Result<Option<(Bytes, Sending)>> {
    while let Some(framing) = sending.framing.take() {
        let piece = sending.bytes.try_next().await?;
        // Compressing takes longer than a task may hold its thread.
        let stepped = tokio::task::spawn_blocking(move || framing.step(piece)).await;
        let (framing, chunk) = stepped.map_err(|e| Error::internal(format!("framing a volume's file: {e}")))??;
        sending.framing = framing;
        if !chunk.is_empty() {
            sending.sent.inc_by(chunk.len() as u64);
            return Ok(Some((chunk, sending)));
        }
    }
    Ok(None)
}

/// Answers with a content, compressed as the client asks.
pub(super) async fn respond(call: &Call, bytes: ByteStream) -> Answer {
    let permit = StreamPermit::acquire(&call.state).await?;
    let codec = accepted(call);
    let framing = Framing { frame: VolumeWriter::default(), out: codec.writer(Vec::new()).map_err(from_io)? };
    let sent = call.state.metrics.download_bytes.clone();
    let sending = Sending { bytes, framing: Some(framing), sent, _permit: permit };
    let mut response = Response::new(Body::from_stream(futures::stream::try_unfold(sending, next)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Some(token) = codec.token() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(token));
    }
    Ok(response)
}
