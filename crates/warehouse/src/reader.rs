//! Reading rows of data files by number, for the tunnel: files in name order, rows in file order.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::Schema;
use bytes::Bytes;
use feitian_base::{Error, Kind, Result};
use feitian_types::arrow::engine_field;
use feitian_types::{Column, PartitionSpec};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::disk;
use crate::log::DataFile;

/// Batches in engine form.
pub type Batches = BoxStream<'static, Result<RecordBatch>>;

/// Rows `start .. start + count`, clipped at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRange {
    pub start: u64,
    pub count: u64,
}

/// Rows of one batch.
const BATCH_ROWS: usize = 8192;
/// Batches that may wait for the consumer.
const BATCHES_AHEAD: usize = 2;

/// Which files and columns to read.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The table's directory.
    pub(crate) location: String,
    pub(crate) files: Vec<Arc<DataFile>>,
    /// The wanted data columns, in the order in which they shall come.
    pub(crate) columns: Vec<Column>,
    /// Partition columns to append, with their place among the table's partition columns.
    pub(crate) partition_columns: Vec<(Column, usize)>,
}

/// The wanted ones among `all`, in the order of `all`; all of them when nothing is named.
///
/// # Errors
/// `InvalidArgument` for a name that is not there.
pub fn choose_columns(all: &[Column], names: Option<&[String]>) -> Result<Vec<Column>> {
    let Some(names) = names else { return Ok(all.to_vec()) };
    let lower: Vec<String> = names.iter().map(|n| n.trim().to_lowercase()).collect();
    if let Some(unknown) = lower.iter().find(|n| !all.iter().any(|c| c.name == **n)) {
        return Err(Error::invalid(format!("column '{unknown}' does not exist")));
    }
    Ok(all.iter().filter(|c| lower.contains(&c.name)).cloned().collect())
}

/// The files of one partition, or all when `spec` is empty.
pub(crate) fn files_of(snapshot: &crate::log::Snapshot, spec: &str) -> Vec<Arc<DataFile>> {
    let all = snapshot.files().iter();
    if spec.is_empty() { all.cloned().collect() } else { all.filter(|f| snapshot.is_in(f, spec)).cloned().collect() }
}

/// Reads `range` on `runtime`. Dropping the stream ends the reading. A batch never spans two files.
pub(crate) fn read(reading: Reading, range: RowRange, runtime: &Handle) -> Batches {
    let (tx, rx) = mpsc::channel(BATCHES_AHEAD);
    runtime.spawn(async move {
        if let Err(e) = read_range(&reading, range, &tx).await {
            let _ = tx.send(Err(e)).await;
        }
    });
    ReceiverStream::new(rx).boxed()
}

/// A data file as the Parquet reader wants it.
pub(crate) struct StoredFile {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
    pub(crate) num_bytes: u64,
}

fn external(e: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(e))
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.store.get_range(&self.path, range).map(|r| r.map_err(external)).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let metadata_options = options.map(|o| o.metadata_options().clone());
        let num_bytes = self.num_bytes;
        async move {
            let reader = ParquetMetaDataReader::new().with_metadata_options(metadata_options);
            reader.load_and_finish(self, num_bytes).await.map(Arc::new)
        }
        .boxed()
    }
}

async fn read_range(reading: &Reading, range: RowRange, tx: &mpsc::Sender<Result<RecordBatch>>) -> Result<()> {
    let (mut skip, mut left) = (range.start, range.count);
    for file in &reading.files {
        let rows = file.num_rows.max(0) as u64;
        if skip >= rows {
            skip -= rows;
            continue;
        }
        let take = left.min(rows - skip);
        if take == 0 {
            break;
        }
        if !read_file(reading, file, skip, take, tx).await? {
            return Ok(());
        }
        (skip, left) = (0, left - take);
    }
    Ok(())
}

/// Sends `take` rows of `file` from row `skip`; `false` when nobody listens any more.
async fn read_file(
    reading: &Reading,
    file: &DataFile,
    skip: u64,
    take: u64,
    tx: &mpsc::Sender<Result<RecordBatch>>,
) -> Result<bool> {
    let broken = |e: parquet::errors::ParquetError| {
        Error::new(Kind::Corrupt, "InternalServerError", format!("data file {}: {e}", file.path)).with_source(e)
    };
    let path = crate::writer::object_path(&reading.location, &file.path);
    let source = StoredFile { store: reading.store.clone(), path, num_bytes: file.num_bytes.max(0) as u64 };
    let builder = ParquetRecordBatchStreamBuilder::new(source).await.map_err(broken)?;
    let wanted = disk::disk_fields_of(&reading.columns);
    let in_file = builder.schema().clone();
    let roots = wanted.iter().filter_map(|f| in_file.index_of(f.name()).ok());
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let mut stream = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .with_offset(skip as usize)
        .with_limit(take as usize)
        .build()
        .map_err(broken)?;
    while let Some(batch) = stream.next().await {
        let batch = engine_batch(reading, file, &batch.map_err(broken)?)?;
        if tx.send(Ok(batch)).await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts the columns into the wanted order, fills those that the file does not have, and appends partition columns.
fn engine_batch(reading: &Reading, file: &DataFile, batch: &RecordBatch) -> Result<RecordBatch> {
    let corrupt = |e: arrow::error::ArrowError| Error::new(Kind::Corrupt, "InternalServerError", e.to_string());
    let rows = batch.num_rows();
    let fields = disk::disk_fields_of(&reading.columns);
    let arrays: Vec<ArrayRef> = fields
        .iter()
        .map(|f| batch.column_by_name(f.name()).cloned().unwrap_or_else(|| new_null_array(f.data_type(), rows)))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let relaxed: Vec<_> = fields
        .iter()
        .zip(&arrays)
        .map(|(f, a)| f.as_ref().clone().with_data_type(a.data_type().clone()).with_nullable(true))
        .collect();
    let disk_batch =
        RecordBatch::try_new_with_options(Arc::new(Schema::new(relaxed)), arrays, &options).map_err(corrupt)?;
    let engine = disk::to_engine(&reading.columns, &disk_batch)?;
    if reading.partition_columns.is_empty() {
        return Ok(engine);
    }
    let mut fields: Vec<_> = engine.schema().fields().iter().cloned().collect();
    let mut arrays = engine.columns().to_vec();
    for (column, at) in &reading.partition_columns {
        let value = file.partition_values.get(*at).and_then(|v| v.as_deref());
        let array = crate::scan::scalar(column, value).to_array_of_size(rows).map_err(crate::engine_error)?;
        fields.push(Arc::new(engine_field(column).with_nullable(true)));
        arrays.push(array);
    }
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).map_err(corrupt)
}

/// The canonical spec of a partition that a client named, or the error that says what is wrong with it.
///
/// # Errors
/// `InvalidPartitionSpec`: missing for a partitioned table, given for another, incomplete, or with a bad value.
pub(crate) fn canonical_spec(columns: &[Column], spec: Option<&PartitionSpec>) -> Result<(String, Vec<String>)> {
    let bad = |why: String| Error::new(Kind::Invalid, "InvalidPartitionSpec", why);
    let names = || columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(spec) = spec.filter(|s| !s.0.is_empty()) else {
        if columns.is_empty() {
            return Ok((String::new(), Vec::new()));
        }
        return Err(bad(format!("the table is partitioned: name a partition by {}", names())));
    };
    if columns.is_empty() {
        return Err(bad(format!("the table is not partitioned, but partition '{spec}' was named")));
    }
    let values = spec.values_for(columns);
    let values = values.ok_or_else(|| bad(format!("partition '{spec}' must give a value for each of {}", names())))?;
    let checked = columns.iter().zip(&values).map(|(c, v)| crate::writer::partition_value(c, v));
    let values = checked.collect::<Result<Vec<_>>>().map_err(|e| bad(e.message().to_string()))?;
    let pairs: Vec<String> = columns.iter().zip(&values).map(|(c, v)| format!("{}={v}", c.name)).collect();
    Ok((pairs.join("/"), values))
}
