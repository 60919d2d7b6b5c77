//! A record stream to batches in engine form.

use std::io::Read;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use feitian_base::{Error, Result};
use feitian_types::Column;
use feitian_types::arrow::engine_schema;

use super::builder::{Budget, Builder};
use super::input::{Cursor, Fault, Held, Input, Tag};
use super::varint::unzigzag;
use super::{
    BYTES, END_METRICS, END_RECORD, META_CHECKSUM, META_COUNT, RecordCrc, TotalCrc, VARINT, number, wire_type,
};
use crate::Limits;
use crate::check;
use crate::crc::crc32c;
use crate::error::malformed;
use crate::limits::ROW_CEILING;

/// Reads a record stream, as an iterator of batches in engine form.
///
/// The stream is whole and undamaged only when the iterator has ended without an error: a batch may come out before the
/// footer that disowns it has been read. After an error the iterator ends. Errors of the stream are
/// [`Kind::Invalid`](feitian_base::Kind::Invalid) and begin with `row N, column c`; rows count from 0.
pub struct Decoder<R> {
    reader: R,
    core: Core,
}

impl<R: Read> Decoder<R> {
    /// A decoder of rows with these columns: field number n of the stream is `columns[n - 1]`.
    pub fn new(columns: &[Column], reader: R, limits: Limits) -> Self {
        Self { reader, core: Core::new(columns, limits) }
    }

    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        self.core.schema.clone()
    }

    /// Rows read so far.
    pub fn rows(&self) -> u64 {
        self.core.rows
    }

    /// The metrics in the footer, once the iterator has ended.
    pub fn metrics(&self) -> Option<&str> {
        self.core.metrics.as_deref()
    }
}

impl<R: Read> Iterator for Decoder<R> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.core.next(&mut self.reader)
    }
}

/// A decoder without its reader: no generic type, so that it is compiled here and not in the crates that use it.
struct Core {
    columns: Vec<Column>,
    /// The tag of each column, which is its number and wire type, and behind them the one that ends a record.
    tags: Vec<Tag>,
    schema: SchemaRef,
    builders: Vec<Builder>,
    held: Held,
    limits: Limits,
    crc: RecordCrc,
    total: TotalCrc,
    /// Rows of all batches, the one under construction included.
    rows: u64,
    batch_rows: usize,
    batch_bytes: usize,
    /// Bytes of a row of NULLs.
    row_bytes: usize,
    metrics: Option<String>,
    ended: bool,
}

/// A footer never holds more than this as metrics.
const MAX_METRICS: u64 = 1 << 20;

impl Core {
    fn new(columns: &[Column], limits: Limits) -> Self {
        let builders: Vec<Builder> = columns.iter().map(|c| Builder::new(&c.ty)).collect();
        let tags = columns.iter().zip(1..).map(|(c, number)| number << 3 | wire_type(&c.ty));
        Self {
            columns: columns.to_vec(),
            tags: tags.chain([END_RECORD << 3 | VARINT]).map(Tag::new).collect(),
            schema: engine_schema(columns),
            row_bytes: builders.iter().map(Builder::slot_bytes).sum(),
            builders,
            held: Held::default(),
            limits,
            crc: RecordCrc::new(columns.len()),
            total: TotalCrc::new(),
            rows: 0,
            batch_rows: 0,
            batch_bytes: 0,
            metrics: None,
            ended: false,
        }
    }

    fn next(&mut self, reader: &mut dyn Read) -> Option<Result<RecordBatch>> {
        let mut input = Input::new(reader, std::mem::take(&mut self.held));
        let next = self.next_batch(&mut input).transpose();
        self.held = input.into_held();
        if matches!(next, Some(Err(_))) {
            // What was gathered is void: the iterator must not hand it out.
            (self.ended, self.batch_rows) = (true, 0);
        }
        next
    }

    fn next_batch(&mut self, input: &mut Input) -> Result<Option<RecordBatch>> {
        while !self.ended {
            if !self.record(input)? {
                self.ended = true;
            } else if self.batch_rows >= self.limits.batch_rows || self.batch_bytes >= self.limits.batch_bytes {
                break;
            }
        }
        if self.batch_rows == 0 { Ok(None) } else { self.flush().map(Some) }
    }

    fn place(&self) -> String {
        format!("row {}", self.rows)
    }

    /// Reads one record, or the footer: then false.
    fn record(&mut self, input: &mut Input) -> Result<bool> {
        let row_limit = self.limits.max_row_bytes.min(ROW_CEILING);
        let field_limit = self.limits.max_field_bytes;
        let mut budget = Budget { left: row_limit.saturating_sub(self.row_bytes), row_limit, field_limit };
        let room = budget.left;
        let (mut fields, mut next) = (0, 0);
        let mut cursor = input.cursor();
        self.crc.record();
        loop {
            // Writers send the columns in order, so that NULLs are all that can surprise.
            let column = match self.tags.get(next) {
                Some(tag) if cursor.accept(tag) => next,
                _ => match cursor.away(|input| self.surprise(input, fields))? {
                    Some(column) => column,
                    None => return Ok(false),
                },
            };
            let Some(builder) = self.builders.get_mut(column) else { break };
            if builder.len() != self.batch_rows {
                return Err(self.twice(column));
            }
            if let Err(fault) = builder.read(&mut cursor, number(column), &mut self.crc, &mut budget) {
                return Err(self.bad_value(column, fault));
            }
            fields += 1;
            next = column + 1;
        }
        self.end_record(&mut cursor, fields)?;
        cursor.done();
        self.batch_bytes += self.row_bytes + (room - budget.left);
        Ok(true)
    }

    /// Reads a tag that is not the one of the next column, and gives its column; the number of columns if it ends the
    /// record, nothing if it began the footer, which has then been read.
    fn surprise(&mut self, input: &mut Input, fields: usize) -> Result<Option<usize>> {
        let tag = input.varint().map_err(|fault| self.no_tag(input, fields, fault))?;
        let (number, wire) = (tag >> 3, tag & 7);
        let column = (number as usize).wrapping_sub(1);
        if let Some(Column { name, ty, .. }) = self.columns.get(column) {
            let want = wire_type(ty);
            if wire != want {
                let place = format!("row {}, column {name}", self.rows);
                let reason = format!("wire type {wire} is not that of {ty}, {want}; is the schema of the sender old?");
                return Err(malformed(format!("{place}: {reason}")));
            }
            Ok(Some(column))
        } else if number == END_RECORD {
            Ok(Some(self.columns.len()))
        } else if number == META_COUNT && fields == 0 {
            let footer = self.footer(input);
            footer.map_err(|fault| fault.into_error(format_args!("the footer after {} rows", self.rows)))?;
            Ok(None)
        } else {
            let columns = self.columns.len();
            let reason = format!("field {number} does not belong to a record of {columns} columns");
            Err(malformed(format!("{}: {reason}", self.place())))
        }
    }

    #[cold]
    fn no_tag(&self, input: &mut Input, fields: usize, fault: Fault) -> Error {
        if !fault.is_io() && fields == 0 && matches!(input.is_empty(), Ok(true)) {
            return malformed(format!("the stream ends after {} rows without its footer; send it again", self.rows));
        }
        fault.into_error(self.place())
    }

    #[cold]
    fn twice(&self, column: usize) -> Error {
        let name = &self.columns[column].name;
        malformed(format!("row {}, column {name}: the record has this field twice", self.rows))
    }

    #[cold]
    fn bad_value(&self, column: usize, fault: Fault) -> Error {
        fault.into_error(format_args!("row {}, column {}", self.rows, self.columns[column].name))
    }

    /// Checks the record's CRC and fills in what is NULL.
    #[inline(always)]
    fn end_record(&mut self, cursor: &mut Cursor, fields: usize) -> Result<()> {
        let want = self.crc.take();
        let got = cursor.varint().map_err(|fault| fault.into_error(self.place()))? as u32;
        if want != got {
            let reason = format!("its CRC-32C is {want:08x}, the stream says {got:08x}; the bytes were damaged");
            return Err(malformed(format!("{}: {reason}", self.place())));
        }
        self.total.push(got);
        self.batch_rows += 1;
        if fields != self.columns.len() {
            for (builder, column) in self.builders.iter_mut().zip(&self.columns) {
                if builder.len() != self.batch_rows {
                    if !column.nullable {
                        let reason = "NULL is not allowed here";
                        return Err(malformed(format!("row {}, column {}: {reason}", self.rows, column.name)));
                    }
                    builder.push_null();
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Reads and checks everything behind the tag of the record count, to the end of the stream.
    fn footer(&mut self, input: &mut Input) -> Result<(), Fault> {
        let count = unzigzag(input.varint()?);
        if u64::try_from(count) != Ok(self.rows) {
            return Err(Fault::bad(format!("it counts {count} rows, but {} came", self.rows)));
        }
        let mut tag = input.varint()?;
        if tag >> 3 != META_CHECKSUM && tag & 7 == BYTES {
            self.read_metrics(input, tag >> 3)?;
            tag = input.varint()?;
        }
        if tag != META_CHECKSUM << 3 | VARINT {
            return Err(Fault::bad(format!("field {} stands where its checksum belongs", tag >> 3)));
        }
        let (want, got) = (self.total.value(), input.varint()? as u32);
        if want != got {
            return Err(Fault::bad(format!("the CRC-32C over all rows is {want:08x}, the stream says {got:08x}")));
        }
        if !input.is_empty()? {
            return Err(Fault::bad("more bytes follow the end of the stream"));
        }
        Ok(())
    }

    fn read_metrics(&mut self, input: &mut Input, number: u64) -> Result<(), Fault> {
        let len = input.varint()?;
        if len > MAX_METRICS {
            return Err(Fault::bad(format!("metrics of {len} bytes are too large")));
        }
        let mut covered = (number as u32).to_le_bytes().to_vec();
        input.pieces(len as usize, |bytes| covered.extend_from_slice(bytes))?;
        let tag = input.varint()?;
        if tag != END_METRICS << 3 | VARINT || input.varint()? as u32 != crc32c(&covered) {
            return Err(Fault::bad("the metrics are damaged"));
        }
        let text = String::from_utf8(covered.split_off(4));
        self.metrics = Some(text.map_err(|_| Fault::bad("the metrics are not UTF-8"))?);
        Ok(())
    }

    /// The rows gathered so far as a batch.
    fn flush(&mut self) -> Result<RecordBatch> {
        let first = self.rows - self.batch_rows as u64;
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (builder, column) in self.builders.iter_mut().zip(&self.columns) {
            let array = builder.finish().and_then(|array| {
                check::column(&column.ty, &array, None)?;
                Ok(array)
            });
            arrays.push(array.map_err(|problem| problem.into_error(first, &column.name))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.batch_rows));
        (self.batch_rows, self.batch_bytes) = (0, 0);
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|e| Error::internal(format!("rows from {first} on make no batch: {e}")))
    }
}
