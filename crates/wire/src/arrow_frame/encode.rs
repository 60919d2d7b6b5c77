//! Batches in engine form to Arrow IPC messages.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{DurationNanosecondType, Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, ListArray, MapArray, PrimitiveArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamEncoder};
use arrow_schema::{ArrowError, DataType as ArrowType, Field, Fields, Schema, SchemaRef};
use feitian_base::{Error, Result};
use feitian_types::arrow::engine_type;
use feitian_types::{Column, DataType};

use super::types::{Flavour, SEC_NANO, is_sec_nano, needs_rewrite, wire_schema};
use crate::compress::Codec;

/// Writes batches as a complete Arrow IPC stream: schema, batches, end.
pub struct IpcStream {
    columns: Vec<Column>,
    flavour: Flavour,
    schema: SchemaRef,
    encoder: StreamEncoder,
}

fn internal(e: ArrowError) -> Error {
    Error::internal(format!("Arrow encoding failed: {e}")).with_source(e)
}

impl IpcStream {
    /// A stream of these columns; fails if a type has no Arrow form (see [`wire_type`](super::wire_type)).
    pub fn new(columns: &[Column], flavour: Flavour) -> Result<Self> {
        Self::compressed(columns, flavour, Codec::Identity)
    }

    /// A stream whose buffers are compressed one by one, which Arrow does with Zstandard and LZ4 frames only.
    pub fn compressed(columns: &[Column], flavour: Flavour, codec: Codec) -> Result<Self> {
        let compression = match codec {
            Codec::Identity => None,
            Codec::Zstd => Some(CompressionType::ZSTD),
            Codec::Lz4Frame => Some(CompressionType::LZ4_FRAME),
            Codec::Deflate | Codec::SnappyFramed => {
                return Err(Error::unsupported("buffers of Arrow are compressed with zstd or lz4_frame"));
            }
        };
        let schema = wire_schema(columns, flavour)?;
        let options = IpcWriteOptions::default().try_with_compression(compression).map_err(internal)?;
        let encoder = StreamEncoder::try_new_with_options(&schema, options).map_err(internal)?;
        Ok(Self { columns: columns.to_vec(), flavour, schema, encoder })
    }

    /// The bytes of one batch, in pieces. The first call gives the schema, too. The columns of `batch` must be the engine
    /// form of the stream's columns. Most pieces share memory with the batch.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<Buffer>> {
        let batch = self.to_wire(batch)?;
        self.encoder.encode(&batch).map_err(internal)
    }

    /// The end of the stream, in pieces; the schema, too, if there was no batch.
    pub fn finish(self) -> Result<Vec<Buffer>> {
        self.encoder.finish().map_err(internal)
    }

    /// Rewrites the columns that need it. The others keep their engine type: a message holds no types, so that a time
    /// zone makes no difference.
    fn to_wire(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if batch.num_columns() != self.columns.len() {
            let (got, want) = (batch.num_columns(), self.columns.len());
            return Err(Error::internal(format!("a batch of {got} columns came for a stream of {want}")));
        }
        for (column, array) in self.columns.iter().zip(batch.columns()) {
            if !engine_type(&column.ty).equals_datatype(array.data_type()) {
                let (name, ty, got) = (&column.name, &column.ty, array.data_type());
                return Err(Error::internal(format!("column {name}: {got} is not the engine form of {ty}")));
            }
        }
        if !self.columns.iter().any(|c| needs_rewrite(&c.ty, self.flavour)) {
            return Ok(batch.clone());
        }
        let arrays = self.columns.iter().zip(batch.columns());
        let arrays = arrays.map(|(column, array)| rewrite(&column.ty, array, self.flavour));
        let arrays = arrays.collect::<Result<Vec<_>, _>>().map_err(internal)?;
        let fields = self.columns.iter().zip(&arrays);
        let fields = fields.map(|(column, array)| Field::new(&column.name, array.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(schema, arrays, &options).map_err(internal)
    }
}

/// Writes batches as record batch messages alone, the content of a tunnel body.
pub struct ArrowEncoder(IpcStream);

impl ArrowEncoder {
    /// An encoder of these columns; fails if a type has no Arrow form (see [`wire_type`](super::wire_type)).
    pub fn new(columns: &[Column], flavour: Flavour) -> Result<Self> {
        let mut stream = IpcStream::new(columns, flavour)?;
        // The schema message comes out with the first batch; clients of the tunnel do not want it.
        let empty = RecordBatch::new_empty(stream.schema.clone());
        stream.encoder.encode(&empty).map_err(internal)?;
        Ok(Self(stream))
    }

    /// One message in pieces, to be sent one after the other. The columns of `batch` must be the engine form of the
    /// encoder's columns. Most pieces share memory with the batch.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<Buffer>> {
        self.0.encode(batch)
    }
}

/// `batches` as one complete Arrow IPC stream in memory, schema and end included.
pub fn ipc_stream(columns: &[Column], flavour: Flavour, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut stream = IpcStream::new(columns, flavour)?;
    let mut out = Vec::new();
    let mut append = |pieces: Vec<Buffer>| pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    for batch in batches {
        append(stream.encode(batch)?);
    }
    append(stream.finish()?);
    Ok(out)
}

type Rewritten = Result<ArrayRef, ArrowError>;

/// Seconds and nanoseconds for what travels so; all else as it is, under whatever type that gives.
fn rewrite(ty: &DataType, array: &ArrayRef, flavour: Flavour) -> Rewritten {
    if is_sec_nano(ty, flavour) {
        return sec_nano(array);
    }
    if !needs_rewrite(ty, flavour) {
        return Ok(array.clone());
    }
    let field = |name: &str, array: &ArrayRef, nullable| Field::new(name, array.data_type().clone(), nullable);
    match ty {
        DataType::Array(e) => {
            let list = array.as_list::<i32>();
            let (offsets, first, len) = rebase(list.offsets());
            let items = rewrite(e, &list.values().slice(first, len), flavour)?;
            let item = Arc::new(field("item", &items, true));
            Ok(Arc::new(ListArray::try_new(item, offsets, items, list.nulls().cloned())?))
        }
        DataType::Map(k, v) => {
            let map = array.as_map();
            let (offsets, first, len) = rebase(map.offsets());
            let keys = rewrite(k, &map.keys().slice(first, len), flavour)?;
            let values = rewrite(v, &map.values().slice(first, len), flavour)?;
            let pair = Fields::from(vec![field("key", &keys, false), field("value", &values, true)]);
            let entries = Arc::new(Field::new("entries", ArrowType::Struct(pair.clone()), false));
            let pairs = StructArray::try_new(pair, vec![keys, values], None)?;
            Ok(Arc::new(MapArray::try_new(entries, offsets, pairs, map.nulls().cloned(), false)?))
        }
        DataType::Struct(types) => {
            let row = array.as_struct();
            let columns = types.iter().zip(row.columns()).map(|((_, ty), array)| rewrite(ty, array, flavour));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let fields = types.iter().zip(&columns).map(|((name, _), array)| field(name, array, true));
            Ok(Arc::new(StructArray::try_new(fields.collect(), columns, row.nulls().cloned())?))
        }
        _ => Ok(array.clone()),
    }
}

/// Offsets from 0, with the first slot and the number of slots that they cover: a slice must not drag the rest along.
fn rebase(offsets: &OffsetBuffer<i32>) -> (OffsetBuffer<i32>, usize, usize) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let rebased = offsets.iter().map(|o| o - first).collect::<Vec<_>>();
    (OffsetBuffer::new(ScalarBuffer::from(rebased)), first as usize, (last - first) as usize)
}

/// Nanoseconds as `struct<sec, nano>`; seconds round down, so that nanoseconds are never negative.
fn sec_nano(array: &ArrayRef) -> Rewritten {
    let nanos: &[i64] = match array.data_type() {
        ArrowType::Duration(_) => array.as_primitive::<DurationNanosecondType>().values(),
        _ => array.as_primitive::<TimestampNanosecondType>().values(),
    };
    const SECOND: i64 = 1_000_000_000;
    let sec = nanos.iter().map(|v| v.div_euclid(SECOND)).collect::<Vec<_>>();
    let nano = nanos.iter().map(|v| v.rem_euclid(SECOND) as i32).collect::<Vec<_>>();
    let columns: Vec<ArrayRef> = vec![
        // PyODPS reads the fields and not the struct's own validity, so each must know where there is no value.
        Arc::new(PrimitiveArray::<Int64Type>::new(sec.into(), array.nulls().cloned())),
        Arc::new(PrimitiveArray::<Int32Type>::new(nano.into(), array.nulls().cloned())),
    ];
    Ok(Arc::new(StructArray::try_new(SEC_NANO.clone(), columns, array.nulls().cloned())?))
}
