//! The record stream of the tunnel: rows as tagged fields, each row with a CRC-32C, a footer over all of them.
//!
//! [`Encoder`] turns batches in engine form into a stream, [`Decoder`] a stream into batches. Both follow
//! `odps/tunnel/io/writer.py` and `reader.py` of PyODPS:
//!
//! ```text
//! stream  := record* footer
//! record  := field*  tag(33553408, varint) varint(crc of the record)
//! field   := varint(column number << 3 | wire type)  value          columns count from 1; NULL is absent
//! footer  := tag(33554430, varint) zigzag(record count)
//!            [ tag(any, bytes) bytes(metrics)  tag(33554176, varint) varint(crc of the metrics) ]
//!            tag(33554431, varint) varint(crc over the record crcs)
//! ```
//!
//! A checksum covers column numbers and values in one fixed width, not the varints that carry them.

mod builder;
mod cells;
mod decoder;
mod encoder;
mod input;
mod varint;

use feitian_types::DataType;

pub use decoder::Decoder;
pub use encoder::Encoder;

use crate::crc::{Crc32c, crc32c};
use varint::Sink;

/// Ends a record; its value is the record's CRC.
const END_RECORD: u64 = 33_553_408;
/// Ends the metrics of a footer; its value is their CRC.
const END_METRICS: u64 = 33_554_176;
/// Starts the footer; its value is the number of records.
const META_COUNT: u64 = 33_554_430;
/// Ends the stream; its value is the CRC over the record CRCs.
const META_CHECKSUM: u64 = 33_554_431;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

fn wire_type(ty: &DataType) -> u64 {
    match ty {
        DataType::TinyInt
        | DataType::SmallInt
        | DataType::Int
        | DataType::BigInt
        | DataType::Boolean
        | DataType::Date
        | DataType::Datetime
        | DataType::IntervalYearMonth => VARINT,
        DataType::Float => FIXED32,
        DataType::Double => FIXED64,
        _ => BYTES,
    }
}

/// The checksum of one record. Small values are gathered and summed in one go: a call per value costs more than the sum.
struct RecordCrc {
    small: Sink,
    streamed: Option<Crc32c>,
}

/// A value of this size is summed where it lies.
const LARGE: usize = 4096;

impl RecordCrc {
    fn new() -> Self {
        Self { small: Sink::new(), streamed: None }
    }

    /// Adds the low `n` bytes of `word`.
    #[inline]
    fn word(&mut self, word: u64, n: usize) {
        self.small.room(8);
        self.small.word(word, n);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        if bytes.len() < LARGE {
            self.small.room(bytes.len());
            self.small.bytes(bytes);
        } else {
            self.stream(bytes);
        }
    }

    #[cold]
    fn stream(&mut self, bytes: &[u8]) {
        let crc = self.streamed.get_or_insert_with(Crc32c::new);
        crc.update(self.small.filled());
        crc.update(bytes);
        self.small.clear();
    }

    /// The value since the last call.
    #[inline]
    fn take(&mut self) -> u32 {
        let value = match self.streamed.take() {
            None => crc32c(self.small.filled()),
            Some(mut crc) => {
                crc.update(self.small.filled());
                crc.value()
            }
        };
        self.small.clear();
        value
    }
}

/// The checksum over the checksums of all records.
struct TotalCrc {
    pending: Sink,
    crc: Crc32c,
}

impl TotalCrc {
    fn new() -> Self {
        Self { pending: Sink::new(), crc: Crc32c::new() }
    }

    #[inline]
    fn push(&mut self, record: u32) {
        self.pending.room(8);
        self.pending.word(record.into(), 4);
        if self.pending.filled().len() >= LARGE {
            self.fold();
        }
    }

    fn fold(&mut self) {
        self.crc.update(self.pending.filled());
        self.pending.clear();
    }

    fn value(&mut self) -> u32 {
        self.fold();
        self.crc.value()
    }
}
