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
use varint::{Lead, Sink};

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

/// Room for one field that is no long text: number, tag, length, value, and the slack of one store.
const FIELD: usize = 64;

/// The bytes that are looked at and stored at once, though a text may have fewer of them.
const WINDOW: usize = 32;

/// The checksum of one record. Small values are gathered and summed in one go: a call per value costs more than the sum.
struct RecordCrc {
    small: Sink,
    streamed: Option<Crc32c>,
}

/// A value of this size is summed where it lies.
const LARGE: usize = 4096;

/// The number of a field, which its checksum has before the value.
#[inline(always)]
fn number(column: usize) -> Lead {
    Lead { word: column as u64 + 1, len: 4 }
}

impl RecordCrc {
    /// For records of so many columns.
    fn new(columns: usize) -> Self {
        Self { small: Sink::new(FIELD * (columns + 1)), streamed: None }
    }

    /// Makes room for a record.
    #[inline(always)]
    fn record(&mut self) {
        self.small.room(0);
    }

    /// Makes room for one more value inside a value.
    #[inline(always)]
    fn element(&mut self) {
        if self.small.len() >= LARGE {
            self.stream(&[]);
        }
        self.small.room(0);
    }

    #[inline(always)]
    fn lead(&mut self, lead: Lead) {
        self.small.word(lead.word, lead.len);
    }

    /// Adds the low `n` bytes of `word`.
    #[inline(always)]
    fn word(&mut self, lead: Lead, word: u64, n: usize) {
        self.small.led(lead, &word.to_le_bytes(), n);
    }

    /// Adds the first `n` of `bytes`.
    #[inline(always)]
    fn short<const N: usize>(&mut self, lead: Lead, bytes: &[u8; N], n: usize) {
        self.small.led(lead, bytes, n);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if bytes.len() < LARGE {
            self.small.bytes(bytes);
        } else {
            self.stream(bytes);
        }
    }

    #[cold]
    #[inline(never)]
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
        Self { pending: Sink::new(8), crc: Crc32c::new() }
    }

    #[inline]
    fn push(&mut self, record: u32) {
        self.pending.room(0);
        self.pending.word(record.into(), 4);
        if self.pending.len() >= LARGE {
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
