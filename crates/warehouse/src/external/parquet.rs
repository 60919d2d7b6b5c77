//! Reading Parquet files that others have written: columns by name, and nothing that a file says is believed.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as ArrowType, Schema, TimeUnit};
use datafusion::execution::memory_pool::MemoryConsumer;
use feitian_base::{Error, Result};
use feitian_functions::cast_array;
use feitian_types::arrow::engine_type;
use feitian_types::{Column, DataType};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::pages::{CheckedFile, Codec, Pages};
use super::scan::Reading;
use super::{broken, footer};
use crate::reader::StoredFile;

/// Rows of one batch.
const BATCH_ROWS: usize = 8192;
/// What stands at the end of a file.
const MAGIC: &[u8] = b"PAR1";
/// The description of a file's columns and pages has at most so many bytes.
const MAX_FOOTER: u32 = 64 << 20;
const DAMAGED: &str = "the file is damaged: its reader gave up";

/// The rows of a file. A reader that panics, because the file lies, is the file's fault.
pub(super) async fn read(
    path: Path,
    num_bytes: u64,
    reading: Arc<Reading>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let opened = AssertUnwindSafe(open(path.clone(), num_bytes, reading)).catch_unwind().await;
    let rows = opened.unwrap_or_else(|_| Err(broken(&path, None, DAMAGED)))?;
    let caught = AssertUnwindSafe(rows).catch_unwind();
    let ours = move |batch: Result<Result<RecordBatch>, Box<dyn Any + Send>>| {
        batch.unwrap_or_else(|_| Err(broken(&path, None, DAMAGED)))
    };
    Ok(caught.map(ours).boxed())
}

async fn open(path: Path, num_bytes: u64, reading: Arc<Reading>) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    check_footer(&path, num_bytes, &reading).await?;
    let file = StoredFile { store: reading.store.clone(), path: path.clone(), num_bytes };
    let pages = Arc::new(OnceLock::new());
    let source = CheckedFile { file, pages: pages.clone() };
    // The Arrow schema inside is another's word about the same columns.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchStreamBuilder::new_with_options(source, options).await;
    let builder = builder.map_err(|e| refused(&path, &e))?;
    let columns = columns(&path, builder.schema(), &reading)?;
    let roots: Vec<usize> = columns.iter().flatten().map(|(place, _)| *place).collect();
    let held = hold(&path, num_bytes, builder.metadata(), &roots, &reading)?;
    pages.set(held).map_err(|_| Error::internal("the columns of a file are known already"))?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let rows = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
    let rows = rows.map_err(|e| refused(&path, &e))?;
    let batches = rows.map(move |batch| {
        // The memory is given back with the last row.
        let _held = &pages;
        engine_batch(&path, &batch.map_err(|e| refused(&path, &e))?, &columns, &reading)
    });
    Ok(batches.boxed())
}

/// The words of the reader. Those of the store tell paths of the machine; they are for the log.
fn refused(path: &Path, e: &ParquetError) -> Error {
    match e {
        ParquetError::External(e) => {
            tracing::warn!(%path, error = %e, "a file of a bucket cannot be read");
            broken(path, None, "it cannot be read")
        }
        e => broken(path, None, e),
    }
}

/// Refuses what is no Parquet file before anything of the length that it claims is read.
async fn check_footer(path: &Path, num_bytes: u64, reading: &Reading) -> Result<()> {
    let no_parquet = || broken(path, None, "it is no Parquet file");
    if num_bytes < 12 {
        return Err(no_parquet());
    }
    let end = reading.store.get_range(path, num_bytes - 8..num_bytes).await;
    let end = end.map_err(|e| super::unreadable(path, e))?;
    let Some((len, magic)) = end.split_first_chunk::<4>() else { return Err(no_parquet()) };
    if magic != MAGIC {
        return Err(no_parquet());
    }
    let len = u32::from_le_bytes(*len);
    if len > MAX_FOOTER || u64::from(len) + 8 > num_bytes {
        return Err(broken(path, None, format!("its footer claims {len} bytes")));
    }
    let end = num_bytes - 8;
    let bytes = reading.store.get_range(path, end - u64::from(len)..end).await;
    footer::check(&bytes.map_err(|e| super::unreadable(path, e))?).map_err(|why| broken(path, None, why))
}

/// For each wanted column its place and name in the file; `None` if the file has none of the name. Letter case does not
/// matter.
fn columns(path: &Path, schema: &Schema, reading: &Reading) -> Result<Vec<Option<(usize, String)>>> {
    let mut found = Vec::with_capacity(reading.wanted.len());
    for column in reading.wanted.iter().filter_map(|place| reading.columns.get(*place)) {
        let fields = schema.fields().iter().enumerate();
        let mut same = fields.filter(|(_, field)| field.name().to_lowercase() == column.name);
        let first = same.next().map(|(place, field)| (place, field.name().clone()));
        if same.next().is_some() {
            return Err(broken(path, None, format!("it has more than one column {}", column.name)));
        }
        found.push(first);
    }
    Ok(found)
}

/// Takes the memory for the bytes of the largest row group, after its places were compared with the file. What its pages
/// need is taken when they are there.
fn hold(path: &Path, num_bytes: u64, metadata: &ParquetMetaData, roots: &[usize], reading: &Reading) -> Result<Pages> {
    let schema = metadata.file_metadata().schema_descr();
    let (mut largest, mut columns) = (0, HashMap::new());
    for group in metadata.row_groups() {
        // Rows without columns are only counted: by this number.
        let most = group.columns().iter().map(|chunk| chunk.num_values()).max().unwrap_or_default();
        if !(0..=most).contains(&group.num_rows()) {
            return Err(broken(path, None, "a row group claims more rows than it has values"));
        }
        let mut bytes = 0u64;
        for (leaf, chunk) in group.columns().iter().enumerate() {
            let begin = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
            let (Ok(begin), Ok(len)) = (u64::try_from(begin), u64::try_from(chunk.compressed_size())) else {
                return Err(broken(path, None, "a column begins before the file"));
            };
            if begin.checked_add(len).is_none_or(|end| end > num_bytes) {
                return Err(broken(path, None, "a column ends behind the file"));
            }
            if leaf < schema.num_columns() && roots.contains(&schema.get_column_root_idx(leaf)) {
                bytes += len;
                let Some(codec) = Codec::of(chunk.compression()) else {
                    let why = format!("{} is no codec that is read from files of others", chunk.compression());
                    return Err(broken(path, None, why));
                };
                // Of two columns at one place the stricter rule holds.
                let known = columns.entry(begin).or_insert(codec);
                if *known != codec {
                    *known = Codec::Streamed;
                }
            }
        }
        largest = largest.max(bytes);
    }
    let held = MemoryConsumer::new("external files").register(&reading.pool);
    let fetched = usize::try_from(largest).unwrap_or(usize::MAX);
    held.try_grow(fetched).map_err(crate::engine_error)?;
    Ok(Pages { columns, held, fetched })
}

/// A batch of the file as the wanted columns.
fn engine_batch(
    path: &Path,
    batch: &RecordBatch,
    columns: &[Option<(usize, String)>],
    reading: &Reading,
) -> Result<RecordBatch> {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    let wanted = reading.wanted.iter().filter_map(|place| reading.columns.get(*place));
    for (column, in_file) in wanted.zip(columns) {
        let array = in_file.as_ref().and_then(|(_, name)| batch.column_by_name(name));
        arrays.push(match array {
            Some(array) => fit(array, column, reading).map_err(|why| broken(path, None, why))?,
            None => new_null_array(&engine_type(&column.ty), batch.num_rows()),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(reading.schema.clone(), arrays, &options)
        .map_err(|e| broken(path, None, e.to_string()))
}

/// A column of the file as the table has it. Values are never changed, but a DATETIME loses what is finer than it.
fn fit(array: &ArrayRef, column: &Column, reading: &Reading) -> Result<ArrayRef, String> {
    let (from, to) = (array.data_type(), engine_type(&column.ty));
    let is_sized = matches!(column.ty, DataType::Varchar(_) | DataType::Char(_));
    if *from == to && !is_sized {
        return Ok(array.clone());
    }
    if *from != to && !fits(from, &to) {
        let ty = column.ty.to_string().to_uppercase();
        return Err(format!("column {} is {from} in the file and {ty} in the table", column.name));
    }
    let bad = |e: String| format!("column {}: {e}", column.name);
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let plain = cast_with_options(array, &to, &options).map_err(|e| bad(e.to_string()))?;
    match is_sized {
        true => cast_array(&plain, &column.ty, &reading.context).map_err(|e| bad(e.to_string())),
        false => Ok(plain),
    }
}

/// Whether every value of the one type that fits into the other is the same there.
fn fits(from: &ArrowType, to: &ArrowType) -> bool {
    use ArrowType as T;
    match (from, to) {
        (f, t) if f.is_integer() && t.is_integer() => true,
        (T::Float32, T::Float64) => true,
        (T::Decimal128(_, f), T::Decimal128(_, t)) => f <= t,
        (T::Binary | T::LargeBinary | T::BinaryView | T::LargeUtf8 | T::Utf8View, T::Utf8) => true,
        (T::Utf8 | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_), T::Binary) => true,
        (T::Timestamp(_, Some(_)), T::Timestamp(TimeUnit::Millisecond | TimeUnit::Nanosecond, Some(_))) => true,
        (T::Timestamp(_, None), T::Timestamp(TimeUnit::Nanosecond, None)) => true,
        _ => false,
    }
}
