//! Batches in engine form to a record stream.

use arrow_array::RecordBatch;
use feitian_base::{Error, Result};
use feitian_types::{Column, DataType};

use super::cells::Cells;
use super::varint::{Lead, Sink, encode_word, zigzag};
use super::{
    BYTES, END_METRICS, END_RECORD, FIELD, META_CHECKSUM, META_COUNT, RecordCrc, TotalCrc, VARINT, number, wire_type,
};
use crate::crc::crc32c;

/// Writes a record stream: any number of [`Encoder::encode_batch`], then one [`Encoder::finish`].
pub struct Encoder {
    columns: Vec<Plan>,
    rows: u64,
    crc: RecordCrc,
    total: TotalCrc,
}

struct Plan {
    name: String,
    ty: DataType,
    tag: Lead,
}

/// The field of a footer that carries the metrics; readers take any number but that of the checksum.
const METRICS: u64 = 33_554_176 + 1;

fn tag(number: u64, wire_type: u64) -> Lead {
    let (word, len) = encode_word(number << 3 | wire_type);
    Lead { word, len }
}

impl Encoder {
    /// An encoder for rows of these columns, in this order.
    pub fn new(columns: &[Column]) -> Self {
        let plan = |(i, column): (usize, &Column)| Plan {
            name: column.name.clone(),
            ty: column.ty.clone(),
            tag: tag(i as u64 + 1, wire_type(&column.ty)),
        };
        Self {
            columns: columns.iter().enumerate().map(plan).collect(),
            rows: 0,
            crc: RecordCrc::new(columns.len()),
            total: TotalCrc::new(),
        }
    }

    /// Appends the rows of `batch` to `out`. The columns of the batch must be the engine form of the encoder's columns;
    /// field names do not matter. CHAR values are padded with blanks.
    ///
    /// Nothing is appended when it fails.
    pub fn encode_batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        if batch.num_columns() != self.columns.len() {
            let (got, want) = (batch.num_columns(), self.columns.len());
            return Err(Error::internal(format!("a batch of {got} columns came for a stream of {want}")));
        }
        let mut cells = Vec::with_capacity(self.columns.len());
        for (plan, array) in self.columns.iter().zip(batch.columns()) {
            let wrong = || {
                let (name, ty, got) = (&plan.name, &plan.ty, array.data_type());
                Error::internal(format!("column {name}: {got} is not the engine form of {ty}"))
            };
            cells.push(Cells::new(&plan.ty, array).ok_or_else(wrong)?);
        }
        let end = tag(END_RECORD, VARINT);
        out.reserve(batch.num_rows().saturating_mul(8 * self.columns.len() + 16));
        let mut sink = Sink::over(std::mem::take(out), FIELD * (self.columns.len() + 1));
        for row in 0..batch.num_rows() {
            sink.room(0);
            self.crc.record();
            for (column, (plan, cells)) in self.columns.iter().zip(&cells).enumerate() {
                if !cells.is_null(row) {
                    cells.put(row, plan.tag, number(column), &mut sink, &mut self.crc);
                }
            }
            let crc = self.crc.take();
            sink.led_varint(end, crc.into());
            self.total.push(crc);
        }
        self.rows += batch.num_rows() as u64;
        *out = sink.into_vec();
        Ok(())
    }

    /// Rows encoded so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Appends the footer, with `metrics` (JSON text) in it if given, and ends the stream.
    pub fn finish(mut self, metrics: Option<&str>, out: &mut Vec<u8>) {
        let mut sink = Sink::over(std::mem::take(out), FIELD);
        let field = |sink: &mut Sink, number: u64, wire_type: u64, value: u64| {
            let tag = tag(number, wire_type);
            sink.room(0);
            sink.led_varint(tag, value);
        };
        field(&mut sink, META_COUNT, VARINT, zigzag(self.rows as i64));
        if let Some(metrics) = metrics {
            field(&mut sink, METRICS, BYTES, metrics.len() as u64);
            sink.bytes(metrics.as_bytes());
            let crc = crc32c(&[&(METRICS as u32).to_le_bytes(), metrics.as_bytes()].concat());
            field(&mut sink, END_METRICS, VARINT, crc.into());
        }
        field(&mut sink, META_CHECKSUM, VARINT, self.total.value().into());
        *out = sink.into_vec();
    }
}
