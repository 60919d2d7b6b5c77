//! Arrow IPC record batch messages to batches in engine form.

use std::io::{self, BufRead};

use arrow_array::{Array, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_ipc::{
    BodyCompression, BodyCompressionMethod, CompressionType, Message, MessageHeader, MetadataVersion, root_as_message,
};
use arrow_schema::SchemaRef;
use feitian_base::{Error, Result};
use feitian_types::Column;
use feitian_types::arrow::engine_schema;

use super::parts::Parts;
use super::schema;
use super::types::{Flavour, wire_schema};
use crate::compress::Codec;
use crate::error::malformed;
use crate::{Limits, check, from_io};

/// Reads record batch messages, without a schema unless told otherwise, as an iterator of batches in engine form, one per
/// message.
///
/// Offsets, lengths, UTF-8 and value ranges are all checked. Errors name the message (from 0), and the row (from 0,
/// counted over the stream) and column where there is one. After an error the iterator ends. The stream may end with
/// Arrow's end-of-stream mark, and needs not. Values share the memory of their message where alignment allows.
pub struct ArrowDecoder<R> {
    reader: R,
    core: Core,
}

impl<R: BufRead> ArrowDecoder<R> {
    /// A decoder of what table tunnels carry; fails if a column has no Arrow form.
    pub fn new(columns: &[Column], reader: R, limits: Limits) -> Result<Self> {
        Self::with_flavour(columns, Flavour::TableTunnel, reader, limits)
    }

    /// A decoder of complete Arrow streams: the schema comes first and must be that of the columns, and buffers may be
    /// compressed. Fails if a column has no Arrow form.
    pub fn of_stream(columns: &[Column], reader: R, limits: Limits) -> Result<Self> {
        let mut decoder = Self::new(columns, reader, limits)?;
        decoder.core.stream = Stream::BeforeSchema;
        Ok(decoder)
    }

    /// A decoder of either flavour; fails if a column has no Arrow form.
    pub fn with_flavour(columns: &[Column], flavour: Flavour, reader: R, limits: Limits) -> Result<Self> {
        Ok(Self { reader, core: Core::new(columns, flavour, limits)? })
    }

    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        self.core.schema.clone()
    }

    /// Rows read so far.
    pub fn rows(&self) -> u64 {
        self.core.rows
    }
}

impl<R: BufRead> Iterator for ArrowDecoder<R> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.core.next(&mut self.reader)
    }
}

/// A decoder without its reader: no generic type, so that it is compiled here and not in the crates that use it.
struct Core {
    columns: Vec<Column>,
    flavour: Flavour,
    schema: SchemaRef,
    limits: Limits,
    stream: Stream,
    messages: u64,
    rows: u64,
    ended: bool,
}

/// Whether the messages are a complete Arrow stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// They are record batches alone.
    No,
    BeforeSchema,
    AfterSchema,
}

/// Metadata holds a few dozen bytes for each buffer; a schema of ten thousand columns stays far below this.
const MAX_METADATA: usize = 16 << 20;
const CONTINUATION: [u8; 4] = [0xff; 4];

impl Core {
    fn new(columns: &[Column], flavour: Flavour, limits: Limits) -> Result<Self> {
        wire_schema(columns, flavour)?;
        let (columns, schema) = (columns.to_vec(), engine_schema(columns));
        Ok(Self { columns, flavour, schema, limits, stream: Stream::No, messages: 0, rows: 0, ended: false })
    }

    fn next(&mut self, reader: &mut dyn BufRead) -> Option<Result<RecordBatch>> {
        if self.ended {
            return None;
        }
        let next = self.next_batch(reader).transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }

    fn fail(&self, reason: impl std::fmt::Display) -> Error {
        malformed(format!("Arrow message {}: {reason}", self.messages))
    }

    fn read_exactly(&self, reader: &mut dyn BufRead, n: usize, what: &str) -> Result<Buffer> {
        let bytes = read(reader, n)?;
        if bytes.len() < n {
            return Err(self.fail(format_args!("the body ends after {} of {n} bytes of its {what}", bytes.len())));
        }
        Ok(Buffer::from_vec(bytes))
    }

    /// The metadata of the next message; `None` at the end.
    fn metadata(&self, reader: &mut dyn BufRead) -> Result<Option<Buffer>> {
        let prefix = read(reader, 8)?;
        if prefix.is_empty() {
            return Ok(None);
        }
        let prefix = prefix.first_chunk::<8>().copied();
        let [a, b, c, d, len @ ..] = prefix.ok_or_else(|| self.fail("the body ends inside its prefix"))?;
        if [a, b, c, d] != CONTINUATION {
            return Err(self.fail("it does not begin with ff ff ff ff; is the body framed and compressed as declared?"));
        }
        let len = u32::from_le_bytes(len) as usize;
        if len == 0 {
            return match read(reader, 1)?.is_empty() {
                true => Ok(None),
                false => Err(self.fail("bytes follow the end-of-stream mark")),
            };
        }
        if len > MAX_METADATA {
            return Err(self.fail(format_args!("metadata of {len} bytes is too large")));
        }
        self.read_exactly(reader, len, "metadata").map(Some)
    }

    fn next_batch(&mut self, reader: &mut dyn BufRead) -> Result<Option<RecordBatch>> {
        let Some(metadata) = self.metadata(reader)? else {
            // HTTP libraries repeat a request without the body that they have sent already.
            return match self.stream {
                Stream::BeforeSchema => Err(self.fail("the stream ends before its schema")),
                Stream::No | Stream::AfterSchema => Ok(None),
            };
        };
        let message = root_as_message(&metadata).map_err(|e| self.fail(format_args!("damaged metadata: {e}")))?;
        if !matches!(message.version(), MetadataVersion::V4 | MetadataVersion::V5) {
            return Err(self.fail(format_args!("metadata version {:?} is not V4 or V5", message.version())));
        }
        let batch = match message.header_type() {
            MessageHeader::Schema if self.stream == Stream::BeforeSchema => {
                self.check_schema(message)?;
                self.stream = Stream::AfterSchema;
                // Another schema is refused, so that this goes no deeper.
                return self.next_batch(reader);
            }
            MessageHeader::RecordBatch if self.stream == Stream::BeforeSchema => {
                return Err(self.fail("a record batch comes before the schema of the stream"));
            }
            MessageHeader::Schema if self.stream == Stream::AfterSchema => {
                return Err(self.fail("the stream has a second schema"));
            }
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::Schema => {
                return Err(self.fail("it is a schema, which this protocol leaves out; send record batches only"));
            }
            other => return Err(self.fail(format_args!("a message of type {other:?} does not belong here"))),
        };
        let batch = batch.ok_or_else(|| self.fail("it has no record batch"))?;
        let codec = batch.compression().map(|c| self.codec(c)).transpose()?;
        let limit = self.limits.max_message_bytes;
        let body = usize::try_from(message.bodyLength()).ok().filter(|&n| n <= limit);
        let body = body.ok_or_else(|| {
            self.fail(format_args!(
                "a body of {} bytes is larger than {limit}; send smaller batches",
                message.bodyLength()
            ))
        })?;
        let body = self.read_exactly(reader, body, "body")?;
        let (Some(nodes), Some(places)) = (batch.nodes(), batch.buffers()) else {
            return Err(self.fail("it has no columns"));
        };
        let (nodes, places) = (nodes.iter(), places.iter());
        let (flavour, packed) = (self.flavour, body.len());
        let parts = Parts { body: &body, nodes, places, flavour, codec, inflatable: limit, packed };
        let batch = self.assemble(batch.length(), parts)?;
        self.messages += 1;
        self.rows += batch.num_rows() as u64;
        Ok(Some(batch))
    }

    fn check_schema(&self, message: Message<'_>) -> Result<()> {
        let given = message.header_as_schema().ok_or_else(|| self.fail("it has no schema"))?;
        if message.bodyLength() != 0 {
            return Err(self.fail("the schema has a body"));
        }
        let wanted = wire_schema(&self.columns, self.flavour)?;
        schema::problem(given, &wanted).map_or(Ok(()), |problem| Err(self.fail(problem)))
    }

    /// How the buffers of a batch are compressed.
    fn codec(&self, compression: BodyCompression<'_>) -> Result<Codec> {
        if self.stream == Stream::No {
            let reason = "its buffers are compressed; compress the whole body instead (Content-Encoding)";
            return Err(Error::unsupported(self.fail(reason).to_string()));
        }
        match (compression.method(), compression.codec()) {
            (BodyCompressionMethod::BUFFER, CompressionType::LZ4_FRAME) => Ok(Codec::Lz4Frame),
            (BodyCompressionMethod::BUFFER, CompressionType::ZSTD) => Ok(Codec::Zstd),
            (_, codec) => Err(self.fail(format_args!("its buffers are compressed in an unknown way, {codec:?}"))),
        }
    }

    fn assemble<'a>(
        &self,
        len: i64,
        mut parts: Parts<
            'a,
            impl Iterator<Item = &'a arrow_ipc::FieldNode>,
            impl Iterator<Item = &'a arrow_ipc::Buffer>,
        >,
    ) -> Result<RecordBatch> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let array = parts.array(&column.ty).and_then(|array| {
                check::column(&column.ty, &array, Some(&self.limits))?;
                check::nullable(column.nullable, &array)?;
                Ok(array)
            });
            let array = array.map_err(|p| p.into_error(self.rows, &column.name))?;
            if usize::try_from(len) != Ok(array.len()) {
                let got = array.len();
                return Err(self.fail(format_args!("column {} has {got} values in a batch of {len}", column.name)));
            }
            arrays.push(array);
        }
        if !parts.is_empty() {
            let want = self.columns.len();
            return Err(self.fail(format_args!("it has more columns than the {want} of the schema")));
        }
        let options = RecordBatchOptions::new().with_row_count(usize::try_from(len).ok());
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(|e| self.fail(e))
    }
}

/// Reads `n` bytes, fewer at the end. The buffer grows only as bytes arrive: while it grows, the old one is in memory beside
/// the new one. That should not be half of a message of the largest size, so a sixteenth of it is enough to take room for all,
/// most of which is not touched yet.
fn read(reader: &mut dyn BufRead, n: usize) -> Result<Vec<u8>> {
    const STEP: usize = 1 << 16;
    const ENOUGH: usize = 16;
    let mut bytes = Vec::new();
    while bytes.len() < n {
        let piece = match reader.fill_buf() {
            Ok([]) => break,
            Ok(piece) => &piece[..piece.len().min(n - bytes.len())],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(from_io(e)),
        };
        if bytes.capacity() - bytes.len() < piece.len() {
            let factor = if bytes.len() < n / ENOUGH { 2 } else { ENOUGH };
            let want = n.min(bytes.len().saturating_mul(factor).max(bytes.len() + piece.len()).max(STEP));
            bytes.reserve_exact(want - bytes.len());
        }
        bytes.extend_from_slice(piece);
        let taken = piece.len();
        reader.consume(taken);
    }
    Ok(bytes)
}
