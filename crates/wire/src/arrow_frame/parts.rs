//! Arrays in engine form from the nodes and buffers of a record batch message, trusting none of them.

use std::io::{Cursor, Read};
use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, DurationNanosecondType, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray, StructArray,
};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::{Buffer as Place, FieldNode};
use arrow_schema::DataType as ArrowType;
use feitian_types::DataType;
use feitian_types::arrow::engine_type;

use super::types::{Flavour, is_sec_nano};
use crate::check::Problem;
use crate::compress::Codec;

/// What a message holds, consumed from the front, column by column.
pub(super) struct Parts<'a, N, B> {
    pub(super) body: &'a Buffer,
    pub(super) nodes: N,
    pub(super) places: B,
    pub(super) flavour: Flavour,
    /// How each buffer is compressed.
    pub(super) codec: Option<Codec>,
    /// Bytes that all further buffers together may have once they are inflated.
    pub(super) inflatable: usize,
    /// Bytes that all further compressed buffers together may have as they came: those of the body, since nobody
    /// writes them over each other. Else every buffer could be the whole body, which is then read for each.
    pub(super) packed: usize,
}

type Made<T> = Result<T, Problem>;

/// A problem with the message itself, not with one value.
fn broken<T>(reason: impl Into<String>) -> Made<T> {
    Err(Problem { slot: 0, reason: reason.into() })
}

fn arrow(e: arrow_schema::ArrowError) -> Problem {
    Problem { slot: 0, reason: e.to_string() }
}

impl<'a, N, B> Parts<'a, N, B>
where
    N: Iterator<Item = &'a FieldNode>,
    B: Iterator<Item = &'a Place>,
{
    /// The next array, of type `ty`.
    pub(super) fn array(&mut self, ty: &DataType) -> Made<ArrayRef> {
        let (len, null_count) = self.node()?;
        let nulls = self.nulls(len, null_count)?;
        if is_sec_nano(ty, self.flavour) {
            return self.sec_nano(ty, len, nulls);
        }
        match ty {
            DataType::TinyInt => self.primitive::<Int8Type>(ty, len, nulls),
            DataType::SmallInt => self.primitive::<Int16Type>(ty, len, nulls),
            DataType::Int => self.primitive::<Int32Type>(ty, len, nulls),
            DataType::BigInt => self.primitive::<Int64Type>(ty, len, nulls),
            DataType::Float => self.primitive::<Float32Type>(ty, len, nulls),
            DataType::Double => self.primitive::<Float64Type>(ty, len, nulls),
            DataType::Date => self.primitive::<Date32Type>(ty, len, nulls),
            DataType::Datetime => self.primitive::<TimestampMillisecondType>(ty, len, nulls),
            DataType::Timestamp | DataType::TimestampNtz => self.primitive::<TimestampNanosecondType>(ty, len, nulls),
            DataType::Decimal(..) => self.primitive::<Decimal128Type>(ty, len, nulls),
            DataType::Boolean => {
                let bits = self.bytes(len.div_ceil(8))?;
                Ok(Arc::new(BooleanArray::new(BooleanBuffer::new(bits, 0, len), nulls)))
            }
            DataType::Binary => {
                let (offsets, bytes) = self.variable(len)?;
                Ok(Arc::new(BinaryArray::new(offsets, bytes, nulls)))
            }
            DataType::String | DataType::Varchar(_) | DataType::Char(_) => self.text(len, nulls),
            DataType::Array(e) => self.list(e, ty, len, nulls),
            DataType::Map(k, v) => self.map(k, v, ty, len, nulls),
            DataType::Struct(fields) => self.fields(fields, ty, len, nulls),
            DataType::IntervalDayTime | DataType::IntervalYearMonth | DataType::Json => {
                broken(format!("{ty} has no Arrow form in this protocol"))
            }
        }
    }

    /// True if nothing is left over.
    pub(super) fn is_empty(&mut self) -> bool {
        self.nodes.next().is_none() && self.places.next().is_none()
    }

    fn node(&mut self) -> Made<(usize, usize)> {
        let Some(node) = self.nodes.next() else { return broken("the message has fewer columns than the schema") };
        match (usize::try_from(node.length()), usize::try_from(node.null_count())) {
            // Offsets are 32 bits wide, and so is what we count.
            (Ok(len), Ok(nulls)) if nulls <= len && len <= i32::MAX as usize => Ok((len, nulls)),
            _ => broken(format!("{} values with {} NULLs cannot be", node.length(), node.null_count())),
        }
    }

    fn buffer(&mut self) -> Made<Buffer> {
        let stored = self.stored()?;
        match self.codec {
            Some(codec) if !stored.is_empty() => self.inflated(codec, &stored),
            _ => Ok(stored),
        }
    }

    /// A compressed buffer: its length as it should be, or -1 when it was left as it was, and then its bytes.
    fn inflated(&mut self, codec: Codec, stored: &Buffer) -> Made<Buffer> {
        let Some((length, packed)) = stored.as_slice().split_first_chunk::<8>() else {
            return broken(format!("a compressed buffer of {} bytes does not tell its length", stored.len()));
        };
        let length = i64::from_le_bytes(*length);
        if length == -1 {
            return Ok(stored.slice_with_length(8, packed.len()));
        }
        let Some(left) = self.packed.checked_sub(stored.len()) else { return broken("compressed buffers overlap") };
        self.packed = left;
        let Some(length) = usize::try_from(length).ok().filter(|n| *n <= self.inflatable) else {
            return broken(format!("a compressed buffer of {length} bytes is too large; send smaller batches"));
        };
        self.inflatable -= length;
        // It grows with what comes out, whatever length is claimed.
        let mut bytes = Vec::new();
        let mut reader = codec.reader(Cursor::new(packed.to_vec())).take(length as u64 + 1);
        if let Err(e) = reader.read_to_end(&mut bytes) {
            return broken(e.to_string());
        }
        if bytes.len() != length {
            return broken(format!("a compressed buffer does not have the {length} bytes that it claims"));
        }
        Ok(Buffer::from_vec(bytes))
    }

    /// The next buffer as it came.
    fn stored(&mut self) -> Made<Buffer> {
        let Some(place) = self.places.next() else { return broken("the message has fewer buffers than the schema") };
        let range = usize::try_from(place.offset()).ok().zip(usize::try_from(place.length()).ok());
        match range.and_then(|(start, len)| Some((start, len, start.checked_add(len)?))) {
            Some((start, len, end)) if end <= self.body.len() => Ok(self.body.slice_with_length(start, len)),
            _ => broken(format!(
                "a buffer of {} bytes at {} lies outside the body of {} bytes",
                place.length(),
                place.offset(),
                self.body.len()
            )),
        }
    }

    /// A buffer cut to exactly `n` bytes.
    fn bytes(&mut self, n: usize) -> Made<Buffer> {
        let buffer = self.buffer()?;
        if buffer.len() < n {
            return broken(format!("a buffer of {} bytes should have {n}", buffer.len()));
        }
        Ok(buffer.slice_with_length(0, n))
    }

    /// `len` values; copied if they do not lie where the processor wants them.
    fn scalars<T: ArrowNativeType>(&mut self, len: usize) -> Made<ScalarBuffer<T>> {
        let Some(n) = len.checked_mul(size_of::<T>()) else { return broken("the lengths are too large") };
        let bytes = self.bytes(n)?;
        let aligned = bytes.as_ptr().align_offset(align_of::<T>()) == 0;
        Ok(ScalarBuffer::from(if aligned { bytes } else { Buffer::from(bytes.as_slice()) }))
    }

    fn nulls(&mut self, len: usize, null_count: usize) -> Made<Option<NullBuffer>> {
        if null_count == 0 {
            self.buffer()?;
            return Ok(None);
        }
        let nulls = NullBuffer::new(BooleanBuffer::new(self.bytes(len.div_ceil(8))?, 0, len));
        if nulls.null_count() != null_count {
            return broken(format!("{} values are NULL where {null_count} should be", nulls.null_count()));
        }
        Ok(Some(nulls))
    }

    fn primitive<T: ArrowPrimitiveType>(
        &mut self,
        ty: &DataType,
        len: usize,
        nulls: Option<NullBuffer>,
    ) -> Made<ArrayRef> {
        let values = self.scalars::<T::Native>(len)?;
        Ok(Arc::new(PrimitiveArray::<T>::new(values, nulls).with_data_type(engine_type(ty))))
    }

    /// Offsets of `len` values, checked against each other and against `limit`, the end of what they point into.
    fn offsets(&mut self, len: usize) -> Made<OffsetBuffer<i32>> {
        if len == 0 {
            self.buffer()?;
            return Ok(OffsetBuffer::new_empty());
        }
        let offsets = self.scalars::<i32>(len + 1)?;
        let rising = offsets.windows(2).fold(true, |ok, w| ok & (w[0] <= w[1]));
        if !rising || offsets[0] < 0 {
            return broken("the offsets do not rise");
        }
        Ok(OffsetBuffer::new(offsets))
    }

    fn variable(&mut self, len: usize) -> Made<(OffsetBuffer<i32>, Buffer)> {
        let offsets = self.offsets(len)?;
        // What lies behind the last value is none of ours, and need not be UTF-8.
        let bytes = self.bytes(offsets[len] as usize)?;
        Ok((offsets, bytes))
    }

    fn text(&mut self, len: usize, nulls: Option<NullBuffer>) -> Made<ArrayRef> {
        let (offsets, bytes) = self.variable(len)?;
        match StringArray::try_new(offsets.clone(), bytes.clone(), nulls) {
            Ok(array) => Ok(Arc::new(array)),
            Err(_) => Err(Problem::not_utf8(&offsets, &bytes)),
        }
    }

    fn sec_nano(&mut self, ty: &DataType, len: usize, nulls: Option<NullBuffer>) -> Made<ArrayRef> {
        let sec = self.child::<Int64Type>(&DataType::BigInt, len)?;
        let nano = self.child::<Int32Type>(&DataType::Int, len)?;
        let mut joined = Vec::with_capacity(len);
        for (slot, (&sec, &nano)) in sec.values().iter().zip(nano.values().iter()).enumerate() {
            if nulls.as_ref().is_some_and(|n| n.is_null(slot)) {
                joined.push(0);
                continue;
            }
            // The sum may fit where the product alone does not.
            let value = i64::try_from(i128::from(sec) * 1_000_000_000 + i128::from(nano));
            match value {
                Ok(value) if nano.unsigned_abs() < 1_000_000_000 => joined.push(value),
                _ => {
                    let reason = format!("{sec} seconds and {nano} nanoseconds do not fit {ty} in nanoseconds");
                    return Err(Problem { slot, reason });
                }
            }
        }
        let values = ScalarBuffer::from(joined);
        Ok(match ty {
            DataType::IntervalDayTime => Arc::new(PrimitiveArray::<DurationNanosecondType>::new(values, nulls)),
            _ => {
                Arc::new(PrimitiveArray::<TimestampNanosecondType>::new(values, nulls).with_data_type(engine_type(ty)))
            }
        })
    }

    fn child<T: ArrowPrimitiveType>(&mut self, ty: &DataType, len: usize) -> Made<PrimitiveArray<T>> {
        let (child_len, null_count) = self.node()?;
        if child_len != len {
            return broken(format!("a struct of {len} rows has a field of {child_len}"));
        }
        let nulls = self.nulls(len, null_count)?;
        let array = self.primitive::<T>(ty, len, nulls)?;
        Ok(PrimitiveArray::<T>::from(array.to_data()))
    }

    fn list(&mut self, e: &DataType, ty: &DataType, len: usize, nulls: Option<NullBuffer>) -> Made<ArrayRef> {
        let offsets = self.offsets(len)?;
        let items = self.array(e).map_err(|p| p.lift(&offsets))?;
        let ArrowType::List(field) = engine_type(ty) else { return broken("not a list") };
        Ok(Arc::new(ListArray::try_new(field, offsets, items, nulls).map_err(arrow)?))
    }

    fn map(
        &mut self,
        k: &DataType,
        v: &DataType,
        ty: &DataType,
        len: usize,
        nulls: Option<NullBuffer>,
    ) -> Made<ArrayRef> {
        let offsets = self.offsets(len)?;
        let (pairs, null_pairs) = self.node()?;
        self.nulls(pairs, null_pairs)?;
        if null_pairs > 0 {
            return broken("a map has a NULL entry");
        }
        let keys = self.array(k).map_err(|p| p.lift(&offsets))?;
        let values = self.array(v).map_err(|p| p.lift(&offsets))?;
        if let Some(slot) = keys.nulls().and_then(|n| (0..n.len()).find(|&i| n.is_null(i))) {
            return Err(Problem { slot, reason: "a map has a NULL key".into() }.lift(&offsets));
        }
        let ArrowType::Map(entries, _) = engine_type(ty) else { return broken("not a map") };
        let ArrowType::Struct(pair) = entries.data_type() else { return broken("not a map") };
        if keys.len() != pairs || values.len() != pairs {
            return broken(format!("a map of {pairs} entries has {} keys and {} values", keys.len(), values.len()));
        }
        let pairs = StructArray::try_new(pair.clone(), vec![keys, values], None).map_err(arrow)?;
        Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, false).map_err(arrow)?))
    }

    fn fields(
        &mut self,
        types: &[(String, DataType)],
        ty: &DataType,
        len: usize,
        nulls: Option<NullBuffer>,
    ) -> Made<ArrayRef> {
        let columns = types.iter().map(|(_, ty)| self.array(ty)).collect::<Made<Vec<_>>>()?;
        if let Some(odd) = columns.iter().find(|c| c.len() != len) {
            return broken(format!("a struct of {len} rows has a field of {}", odd.len()));
        }
        let ArrowType::Struct(fields) = engine_type(ty) else { return broken("not a struct") };
        Ok(Arc::new(StructArray::try_new(fields, columns, nulls).map_err(arrow)?))
    }
}
