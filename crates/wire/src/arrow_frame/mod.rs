//! The Arrow half of the tunnel: record batch messages without a schema, cut into checksummed chunks.
//!
//! From the outside in: [`FrameReader`] and [`FrameWriter`] are the chunks, [`ArrowDecoder`] and [`ArrowEncoder`] the
//! messages in them. A download is `encoder.encode(batch)`, each piece through `FrameWriter::push`; an upload is
//! `ArrowDecoder::new(columns, FrameReader::new(body), limits)`. [`IpcStream`] is a complete Arrow stream, schema and
//! end included, without chunks: the form of a table preview and of the storage API, which reads what clients send with
//! `ArrowDecoder::of_stream`.
//!
//! The layout follows `odps/tunnel/io/writer.py` and `reader.py` of PyODPS; the types follow `odps_type_to_arrow_type`
//! there.

mod decode;
mod encode;
mod frame;
mod parts;
mod schema;
mod types;

pub use decode::ArrowDecoder;
pub use encode::{ArrowEncoder, IpcStream, ipc_stream};
pub use frame::{DEFAULT_CHUNK, FrameReader, FrameWriter};
pub use types::{Flavour, wire_schema, wire_type};
