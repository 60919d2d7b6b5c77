//! From bodies to batches and back: which format, which compression, which limits a tunnel request asks for.

use std::io::{BufReader, Write};
use std::time::{Duration, Instant};

use arrow::array::Array;
use arrow::buffer::Buffer;
use arrow::record_batch::RecordBatch;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use feitian_base::{Error, Result};
use feitian_types::Column;
use feitian_wire::arrow_frame::{ArrowDecoder, ArrowEncoder, Flavour, FrameReader, FrameWriter, IpcStream};
use feitian_wire::compress::{Codec, Compressor};
use feitian_wire::record::{Decoder, Encoder};
use feitian_wire::{Limits, from_io};

use super::body_in::BodyReader;
use super::body_out::{BlockingBatches, BodyWriter, body_of};
use super::permit::StreamPermit;
use crate::answers::set_header;
use crate::call::{Answer, Call};
use crate::odps::projects::property;
use crate::warehouse::{BatchSource, Batches};

/// Project property that raises the longest text, in KiB.
const FIELD_SIZE_PROPERTY: &str = "odps.sql.cfile2.field.maxsize";
/// A batch is encoded in slices of about this size, so that one wide batch does not fill the memory twice.
const SLICE_BYTES: usize = 4 << 20;

/// The longest text or binary value in bytes that the project takes.
pub async fn max_field_bytes(call: &Call) -> Result<usize> {
    let default = Limits::default();
    let kib = property(call, FIELD_SIZE_PROPERTY).await?.and_then(|text| text.parse::<usize>().ok());
    let bytes = kib.map_or(default.max_field_bytes, |kib| kib.saturating_mul(1024));
    Ok(bytes.clamp(default.max_field_bytes, default.max_row_bytes))
}

/// What the rows of an upload are written in.
enum Form {
    Records,
    /// Arrow messages in checksummed chunks, without their schema.
    ArrowMessages,
    ArrowStream,
}

/// How the body of an upload is to be read.
pub struct Input {
    columns: Vec<Column>,
    form: Form,
    compression: Codec,
    limits: Limits,
}

impl Input {
    /// Reads what the request says about its body. Columns without an Arrow form are refused before a byte is read.
    pub async fn of(call: &Call, columns: &[Column]) -> Result<Self> {
        let form = if call.query.has("arrow") { Form::ArrowMessages } else { Form::Records };
        Self::in_form(call, columns, form).await
    }

    /// The body is a complete Arrow stream, as the storage API has it.
    pub async fn of_stream(call: &Call, columns: &[Column]) -> Result<Self> {
        Self::in_form(call, columns, Form::ArrowStream).await
    }

    async fn in_form(call: &Call, columns: &[Column], form: Form) -> Result<Self> {
        let compression = Codec::from_token(call.header(CONTENT_ENCODING.as_str()).unwrap_or_default())?;
        if !matches!(form, Form::Records) {
            feitian_wire::arrow_frame::wire_schema(columns, Flavour::TableTunnel)?;
        }
        let limits = Limits { max_field_bytes: max_field_bytes(call).await?, ..Limits::default() };
        Ok(Self { columns: columns.to_vec(), form, compression, limits })
    }

    /// The batches of the body. They are decoded where the iterator is drawn.
    pub fn source(self, reader: BodyReader) -> BatchSource {
        let plain = self.compression.reader(reader);
        let failed = |e: Error| -> BatchSource { Box::new(std::iter::once(Err(e))) };
        match self.form {
            Form::Records => Box::new(Decoder::new(&self.columns, plain, self.limits)),
            Form::ArrowMessages => match ArrowDecoder::new(&self.columns, FrameReader::new(plain), self.limits) {
                Ok(decoder) => Box::new(decoder),
                Err(e) => failed(e),
            },
            Form::ArrowStream => match ArrowDecoder::of_stream(&self.columns, BufReader::new(plain), self.limits) {
                Ok(decoder) => Box::new(decoder),
                Err(e) => failed(e),
            },
        }
    }
}

/// How the rows of a download are to be sent.
pub struct Output {
    arrow: Option<Flavour>,
    compression: Codec,
    /// The order in which a record stream has its columns.
    order: Option<Vec<String>>,
}

impl Output {
    /// For a table: timestamps in Arrow are nanoseconds.
    pub fn of_table(call: &Call, order: Option<&[String]>) -> Result<Self> {
        Self::of(call, Flavour::TableTunnel, order)
    }

    /// For a result: timestamps in Arrow are seconds and nanoseconds.
    pub fn of_result(call: &Call, order: Option<&[String]>) -> Result<Self> {
        Self::of(call, Flavour::InstanceTunnel, order)
    }

    fn of(call: &Call, flavour: Flavour, order: Option<&[String]>) -> Result<Self> {
        let arrow = call.query.has("arrow").then_some(flavour);
        Ok(Self { arrow, compression: accepted(call), order: order.map(<[String]>::to_vec) })
    }

    /// Starts the download.
    pub async fn respond(self, call: &Call, columns: Vec<Column>, batches: Batches) -> Answer {
        let permit = StreamPermit::acquire(&call.state).await?;
        let metrics = wants_metrics(call);
        let compression = self.compression;
        let body = match self.arrow {
            Some(flavour) => {
                let encoder = ArrowEncoder::new(&columns, flavour)?;
                let encode = move |b: &mut BlockingBatches, w| arrow_stream(encoder, b, compression, w);
                body_of(&call.state, permit, batches, encode).await?
            }
            None => {
                // Record streams have the columns as they were asked for, batches in table order.
                let order = positions(&columns, self.order.as_deref())?;
                let columns: Vec<Column> = order.iter().map(|i| columns[*i].clone()).collect();
                let encode =
                    move |b: &mut BlockingBatches, w| record_stream(&columns, &order, b, compression, w, metrics);
                body_of(&call.state, permit, batches, encode).await?
            }
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if let Some(token) = compression.token() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(token));
        }
        Ok(response)
    }
}

/// Clients name one codec; what we do not know is answered plain, which they take as well.
pub(super) fn accepted(call: &Call) -> Codec {
    let names = call.header(ACCEPT_ENCODING.as_str()).unwrap_or_default();
    let token = |part: &str| Codec::from_token(part.split(';').next().unwrap_or_default()).ok();
    names.split(',').find_map(token).unwrap_or(Codec::Identity)
}

fn positions(columns: &[Column], order: Option<&[String]>) -> Result<Vec<usize>> {
    let Some(order) = order else { return Ok((0..columns.len()).collect()) };
    let place = |name: &String| {
        let at = columns.iter().position(|c| c.name == *name);
        at.ok_or_else(|| Error::internal(format!("column '{name}' was asked for and did not come")))
    };
    order.iter().map(place).collect()
}

/// Cuts a batch so that its encoded form stays in bounds.
pub fn slices(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let bytes: usize = batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum();
    let bytes_per_row = bytes.checked_div(batch.num_rows()).unwrap_or(0).max(1);
    let rows = (SLICE_BYTES / bytes_per_row).max(1);
    (0..batch.num_rows()).step_by(rows).map(move |from| batch.slice(from, rows.min(batch.num_rows() - from)))
}

fn record_stream(
    columns: &[Column],
    order: &[usize],
    batches: &mut BlockingBatches,
    compression: Codec,
    writer: BodyWriter,
    metrics: bool,
) -> Result<()> {
    let started = Instant::now();
    let mut encoder = Encoder::new(columns);
    let mut out = compression.writer(writer).map_err(from_io)?;
    let mut bytes = Vec::new();
    let mut reading = Duration::ZERO;
    loop {
        let before = Instant::now();
        let batch = batches.next();
        reading += before.elapsed();
        let Some(batch) = batch else { break };
        let batch = batch?.project(order).map_err(|e| Error::internal("a batch lacks columns").with_source(e))?;
        for slice in slices(&batch) {
            bytes.clear();
            encoder.encode_batch(&slice, &mut bytes)?;
            out.write_all(&bytes).map_err(from_io)?;
        }
    }
    bytes.clear();
    let text = metrics.then(|| metrics_text(started.elapsed(), 0, reading.as_micros() as u64));
    encoder.finish(text.as_deref(), &mut bytes);
    finish(out, &bytes)
}

fn arrow_stream(
    mut encoder: ArrowEncoder,
    batches: &mut BlockingBatches,
    compression: Codec,
    writer: BodyWriter,
) -> Result<()> {
    let mut frame = FrameWriter::default();
    let mut out = compression.writer(writer).map_err(from_io)?;
    let mut bytes = Vec::new();
    for batch in batches {
        for slice in slices(&batch?) {
            for piece in encoder.encode(&slice)? {
                bytes.clear();
                frame.push(&piece, &mut bytes);
                out.write_all(&bytes).map_err(from_io)?;
            }
        }
    }
    bytes.clear();
    frame.finish(&mut bytes);
    finish(out, &bytes)
}

fn finish(mut out: Compressor<BodyWriter>, last: &[u8]) -> Result<()> {
    out.write_all(last).map_err(from_io)?;
    out.finish().map_err(from_io)?.finish()
}

/// Answers a preview: a complete Arrow stream, or nothing when there are no rows.
pub async fn respond_preview(call: &Call, columns: Vec<Column>, batches: Batches) -> Answer {
    let permit = StreamPermit::acquire(&call.state).await?;
    let mut stream = IpcStream::new(&columns, Flavour::InstanceTunnel)?;
    let encode = move |batches: &mut BlockingBatches, mut out: BodyWriter| {
        let mut rows = 0;
        for batch in batches {
            for slice in slices(&batch?) {
                rows += slice.num_rows();
                for piece in stream.encode(&slice)? {
                    out.write_all(&piece).map_err(from_io)?;
                }
            }
        }
        if rows > 0 {
            for piece in stream.finish()? {
                out.write_all(&piece).map_err(from_io)?;
            }
        }
        out.finish()
    };
    let mut response = Response::new(body_of(&call.state, permit, batches, encode).await?);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

/// Answers with a complete Arrow stream, its schema also when there are no rows, in batches of at most `max_rows`. Its
/// buffers are compressed with `compression`, the body is not.
pub async fn respond_stream(
    call: &Call,
    columns: Vec<Column>,
    batches: Batches,
    compression: Codec,
    max_rows: usize,
) -> Answer {
    let permit = StreamPermit::acquire(&call.state).await?;
    let mut stream = IpcStream::compressed(&columns, Flavour::TableTunnel, compression)?;
    let encode = move |batches: &mut BlockingBatches, mut out: BodyWriter| {
        let mut send = |pieces: Vec<Buffer>| pieces.iter().try_for_each(|piece| out.write_all(piece).map_err(from_io));
        for batch in batches {
            for slice in slices(&batch?) {
                for from in (0..slice.num_rows()).step_by(max_rows) {
                    let rows = slice.slice(from, max_rows.min(slice.num_rows() - from));
                    send(stream.encode(&rows)?)?;
                }
            }
        }
        send(stream.finish()?)?;
        out.finish()
    };
    let mut response = Response::new(body_of(&call.state, permit, batches, encode).await?);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

/// The same with a compressed body, as versions 2 and 3 of the storage API have it, and with the times of `flavour`.
pub async fn respond_packed(
    call: &Call,
    columns: Vec<Column>,
    batches: Batches,
    flavour: Flavour,
    max_rows: usize,
) -> Answer {
    let permit = StreamPermit::acquire(&call.state).await?;
    // Their clients know these two.
    let compression = match accepted(call) {
        known @ (Codec::Zstd | Codec::Lz4Frame) => known,
        _ => Codec::Identity,
    };
    let mut stream = IpcStream::new(&columns, flavour)?;
    let encode = move |batches: &mut BlockingBatches, out: BodyWriter| {
        let mut out = compression.writer(out).map_err(from_io)?;
        for batch in batches {
            for slice in slices(&batch?) {
                for from in (0..slice.num_rows()).step_by(max_rows) {
                    let rows = slice.slice(from, max_rows.min(slice.num_rows() - from));
                    for piece in stream.encode(&rows)? {
                        out.write_all(&piece).map_err(from_io)?;
                    }
                }
            }
        }
        for piece in stream.finish()? {
            out.write_all(&piece).map_err(from_io)?;
        }
        finish(out, &[])
    };
    let mut response = Response::new(body_of(&call.state, permit, batches, encode).await?);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Some(token) = compression.token() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(token));
    }
    Ok(response)
}

/// Tunnel clients of version 6 and later read metrics.
fn wants_metrics(call: &Call) -> bool {
    call.header("x-odps-tunnel-version").and_then(|v| v.trim().parse::<u32>().ok()).is_some_and(|v| v >= 6)
}

/// Costs in microseconds; clients expect the total to exceed the sum of the others.
fn metrics_text(total: Duration, server_io: u64, storage_io: u64) -> String {
    let total = (total.as_micros() as u64).max(server_io + storage_io + 1);
    format!(
        "{{\"PanguIOCost\":{storage_io},\"ServerIOCost\":{server_io},\"ServerTotalCost\":{total},\"RateLimitCost\":0}}"
    )
}

/// Adds the header of an upload's metrics: `waited_us` is the time that the decoder waited for the network.
pub fn add_metrics(call: &Call, response: &mut Response, waited_us: u64) {
    if wants_metrics(call) {
        set_header(response, "odps-tunnel-metrics", &metrics_text(call.arrived.elapsed(), waited_us, 0));
    }
}
