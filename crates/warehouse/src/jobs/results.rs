//! Row sets of queries: small ones in the instance row, larger ones as one Arrow IPC file in the store.
//!
//! Both are the same bytes. Every record batch but the last has [`BATCH_ROWS`] rows, so a range of rows needs only the
//! batches that hold it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::writer::FileWriter;
use arrow::ipc::{Block, convert::fb_to_schema, root_as_footer};
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use feitian_base::{Error, Kind, Result, failpoint};
use feitian_meta::{Instance, InstanceState, Outcome};
use feitian_types::Column;
use feitian_types::arrow::engine_field;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

use super::JobContext;
use crate::Warehouse;
use crate::log::store_error;
use crate::reader::{Batches, RowRange};

/// The folder of stored results.
pub(crate) const RESULTS: &str = "results";
/// Rows of every stored batch but the last.
const BATCH_ROWS: usize = 8192;
/// A result up to this size lives in the instance row.
const INLINE_BYTES: usize = 64 << 10;
/// Larger results are handed to the store in parts of this size.
const PART_BYTES: usize = 8 << 20;

/// A row set that can be read.
#[derive(Debug, Clone)]
pub struct RowSet {
    pub columns: Vec<Column>,
    pub num_rows: u64,
}

/// The row set of an instance, or why it has none.
pub(super) fn row_set(instance: &Instance) -> Result<RowSet> {
    let id = &instance.id;
    match instance.state {
        InstanceState::Success if instance.is_select => {}
        InstanceState::Success => {
            let text = format!("instance {id}: Non select query not supported, its result is text");
            return Err(Error::new(Kind::Invalid, "InstanceTypeNotSupported", text));
        }
        InstanceState::Waiting | InstanceState::Running => {
            let text = format!("instance {id} has not ended; wait for it, then ask again");
            return Err(Error::new(Kind::Invalid, "InstanceNotTerminate", text));
        }
        InstanceState::Failed | InstanceState::Cancelled => {
            let text = instance.error.clone().unwrap_or_else(|| "the job failed".to_string());
            let code = text.split([':', ' ']).next().filter(|c| c.starts_with("ODPS-")).unwrap_or("InvalidArgument");
            return Err(Error::new(Kind::Invalid, code.to_string(), text.clone()));
        }
    }
    let columns = instance.result_columns.as_deref().unwrap_or("[]");
    let columns = serde_json::from_str(columns)
        .map_err(|e| Error::new(Kind::Corrupt, "InternalServerError", format!("result columns of {id}: {e}")))?;
    Ok(RowSet { columns, num_rows: instance.result_rows.max(0) as u64 })
}

/// Fields without their names, which may be repeated in a result.
fn storage_schema(columns: &[Column]) -> SchemaRef {
    let field = |(i, c): (usize, &Column)| engine_field(c).with_name(format!("c{i}")).with_nullable(true);
    Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()))
}

/// Where one attempt of an instance keeps its rows.
fn result_path(project: &str, id: &str, attempt: i64) -> String {
    format!("{RESULTS}/{project}/{id}-{attempt}.arrow")
}

/// Project and id of the instance for which [`result_path`] made `path`.
pub(crate) fn instance_of(path: &str) -> Option<(&str, &str)> {
    let (project, name) = path.strip_prefix(RESULTS)?.strip_prefix('/')?.split_once('/')?;
    let (id, _attempt) = name.strip_suffix(".arrow")?.rsplit_once('-')?;
    Some((project, id))
}

/// Where one attempt of an instance keeps what its user code has written.
fn log_path(project: &str, id: &str, attempt: i64) -> String {
    format!("{RESULTS}/{project}/{id}-{attempt}.log")
}

/// Project, id and attempt of the instance for which [`log_path`] made `path`.
pub(crate) fn log_of(path: &str) -> Option<(&str, &str, i64)> {
    let (project, name) = path.strip_prefix(RESULTS)?.strip_prefix('/')?.split_once('/')?;
    let (id, attempt) = name.strip_suffix(".log")?.rsplit_once('-')?;
    Some((project, id, attempt.parse().ok()?))
}

/// Keeps what the user code of an attempt has written, if it has. A job does not fail because nobody can.
pub(super) async fn store_log(warehouse: &Warehouse, instance: &Instance, bytes: Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let path = Path::from(log_path(&instance.project, &instance.id, instance.attempt));
    if let Err(e) = warehouse.catalog().store().put(&path, bytes.into()).await {
        tracing::warn!(error = %e, "what the user code of a job has written is lost");
    }
}

/// What the user code of the newest attempt has written, the last of it; nothing while another process runs it.
pub(super) async fn read_log(warehouse: &Warehouse, instance: &Instance) -> Result<Vec<u8>> {
    let path = Path::from(log_path(&instance.project, &instance.id, instance.attempt));
    match warehouse.catalog().store().get(&path).await {
        Ok(found) => Ok(found.bytes().await.map_err(store_error)?.to_vec()),
        Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
        Err(e) => Err(store_error(e)),
    }
}

/// Draws all rows and keeps them; durable when this returns.
pub(super) async fn store(
    ctx: &JobContext,
    columns: Vec<Column>,
    mut rows: SendableRecordBatchStream,
) -> Result<Outcome> {
    let schema = storage_schema(&columns);
    let (project, id, attempt) = (&ctx.instance.project, &ctx.instance.id, ctx.instance.attempt);
    let path = result_path(project, id, attempt);
    let mut sink = Sink {
        store: ctx.warehouse.catalog().store(),
        path: Path::from(path.as_str()),
        file: FileWriter::try_new(Vec::new(), &schema).map_err(broken)?,
        upload: None,
    };
    let mut coalescer = BatchCoalescer::new(schema.clone(), BATCH_ROWS);
    let mut num_rows = 0;
    failpoint::hit("result.before_write");
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(crate::engine_error)?;
        num_rows += batch.num_rows() as i64;
        if columns.is_empty() {
            continue;
        }
        coalescer.push_batch(engine_form(&schema, &batch)?).map_err(broken)?;
        while let Some(full) = coalescer.next_completed_batch() {
            sink.write(&full).await?;
        }
    }
    coalescer.finish_buffered_batch().map_err(broken)?;
    while let Some(last) = coalescer.next_completed_batch() {
        sink.write(&last).await?;
    }
    let inline = sink.finish().await?;
    failpoint::hit("result.after_write");
    let result_columns = serde_json::to_string(&columns).map_err(|e| Error::internal(e.to_string()))?;
    Ok(Outcome {
        is_select: true,
        result_columns: Some(result_columns),
        result_path: if inline.is_some() { None } else { Some(path) },
        result_inline: inline,
        result_rows: num_rows,
        error: None,
        summary: String::new(),
    })
}

/// The batch under the stored schema; a column of another representation (a view, a dictionary) is cast to engine form.
fn engine_form(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    let cast = |(array, field): (&arrow::array::ArrayRef, &Arc<arrow::datatypes::Field>)| {
        if array.data_type() == field.data_type() {
            return Ok(array.clone());
        }
        arrow::compute::cast(array, field.data_type()).map_err(broken)
    };
    let arrays = batch.columns().iter().zip(schema.fields()).map(cast).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options).map_err(broken)
}

fn broken(e: arrow::error::ArrowError) -> Error {
    Error::internal(format!("result: {e}")).with_source(e)
}

struct Sink {
    store: Arc<dyn ObjectStore>,
    path: Path,
    file: FileWriter<Vec<u8>>,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Sink {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.file.write(batch).map_err(broken)?;
        if self.file.get_ref().len() >= PART_BYTES {
            let part = std::mem::take(self.file.get_mut());
            self.hand_over(part).await?;
        }
        Ok(())
    }

    async fn hand_over(&mut self, part: Vec<u8>) -> Result<()> {
        if self.upload.is_none() {
            self.upload = Some(self.store.put_multipart(&self.path).await.map_err(store_error)?);
        }
        let Some(upload) = &mut self.upload else { return Err(Error::internal("no upload")) };
        upload.put_part(PutPayload::from(part)).await.map_err(store_error)
    }

    /// The bytes of a small result; `None` when they are in the store.
    async fn finish(mut self) -> Result<Option<Vec<u8>>> {
        self.file.finish().map_err(broken)?;
        let rest = std::mem::take(self.file.get_mut());
        if self.upload.is_none() && rest.len() <= INLINE_BYTES {
            return Ok(Some(rest));
        }
        self.hand_over(rest).await?;
        if let Some(mut upload) = self.upload {
            upload.complete().await.map_err(store_error)?;
        }
        Ok(None)
    }
}

/// Where the bytes of a result are.
#[derive(Clone)]
enum Source {
    Inline(Bytes),
    Stored(Arc<dyn ObjectStore>, Path),
}

impl Source {
    async fn len(&self) -> Result<u64> {
        match self {
            Self::Inline(bytes) => Ok(bytes.len() as u64),
            Self::Stored(store, path) => Ok(store.head(path).await.map_err(store_error)?.size),
        }
    }

    async fn get(&self, range: Range<u64>) -> Result<Bytes> {
        match self {
            Self::Inline(bytes) if range.end <= bytes.len() as u64 => {
                Ok(bytes.slice(range.start as usize..range.end as usize))
            }
            Self::Inline(_) => Err(Error::new(Kind::Corrupt, "InternalServerError", "a stored result is cut short")),
            Self::Stored(store, path) => store.get_range(path, range).await.map_err(store_error),
        }
    }
}

struct Stored {
    source: Source,
    decoder: FileDecoder,
    blocks: Vec<Block>,
}

impl Stored {
    async fn open(source: Source) -> Result<Self> {
        let corrupt = |e: String| Error::new(Kind::Corrupt, "InternalServerError", format!("stored result: {e}"));
        let len = source.len().await?;
        let trailer = source.get(len.saturating_sub(10)..len).await?;
        let trailer: [u8; 10] = trailer.as_ref().try_into().map_err(|_| corrupt("too short".into()))?;
        let footer_len = read_footer_length(trailer).map_err(|e| corrupt(e.to_string()))? as u64;
        let footer = source.get((len - 10).saturating_sub(footer_len)..len - 10).await?;
        let footer = root_as_footer(&footer).map_err(|e| corrupt(e.to_string()))?;
        let schema = fb_to_schema(footer.schema().ok_or_else(|| corrupt("no schema".into()))?);
        let decoder = FileDecoder::new(Arc::new(schema), footer.version());
        let blocks = footer.recordBatches().map(|b| b.iter().copied().collect()).unwrap_or_default();
        Ok(Self { source, decoder, blocks })
    }

    async fn batch(&self, i: usize) -> Result<Option<RecordBatch>> {
        let Some(block) = self.blocks.get(i) else { return Ok(None) };
        let start = block.offset() as u64;
        let bytes = self.source.get(start..start + block.metaDataLength() as u64 + block.bodyLength() as u64).await?;
        self.decoder.read_record_batch(block, &Buffer::from(bytes)).map_err(broken)
    }
}

/// Rows `range` of the result.
pub(super) async fn read(
    warehouse: &Warehouse,
    instance: &Instance,
    range: RowRange,
    columns: Option<Vec<String>>,
) -> Result<(Vec<Column>, Batches)> {
    let set = row_set(instance)?;
    let chosen = chosen_indices(&set.columns, columns.as_deref())?;
    let out_columns: Vec<Column> = chosen.iter().map(|i| set.columns[*i].clone()).collect();
    let end = range.start.saturating_add(range.count).min(set.num_rows);
    if range.start >= end {
        return Ok((out_columns, stream::empty().boxed()));
    }
    let source = match (&instance.result_inline, &instance.result_path) {
        (Some(bytes), _) => Source::Inline(Bytes::copy_from_slice(bytes)),
        (None, Some(path)) => Source::Stored(warehouse.catalog().store(), Path::from(path.as_str())),
        (None, None) => return Err(Error::new(Kind::NotFound, "NoSuchObject", "the result has expired")),
    };
    let stored = Arc::new(Stored::open(source).await?);
    let schema =
        Arc::new(Schema::new(out_columns.iter().map(|c| engine_field(c).with_nullable(true)).collect::<Vec<_>>()));
    let batches = range.start as usize / BATCH_ROWS..(end as usize).div_ceil(BATCH_ROWS);
    let cut = move |i: usize| {
        let (stored, chosen, schema) = (stored.clone(), chosen.clone(), schema.clone());
        async move {
            let missing = || Error::new(Kind::Corrupt, "InternalServerError", "a stored result is cut short");
            let batch = stored.batch(i).await?.ok_or_else(missing)?;
            let first = (i * BATCH_ROWS) as u64;
            let from = range.start.saturating_sub(first) as usize;
            let to = ((end - first) as usize).min(batch.num_rows());
            let batch = batch.slice(from, to - from).project(&chosen).map_err(broken)?;
            RecordBatch::try_new(schema, batch.columns().to_vec()).map_err(broken)
        }
    };
    Ok((out_columns, stream::iter(batches).then(cut).boxed()))
}

/// Places of the wanted columns, in the order of the result. A repeated name stands for each of its columns.
fn chosen_indices(columns: &[Column], names: Option<&[String]>) -> Result<Vec<usize>> {
    let Some(names) = names else { return Ok((0..columns.len()).collect()) };
    let names: Vec<String> = names.iter().map(|n| n.trim().to_lowercase()).collect();
    if let Some(unknown) = names.iter().find(|n| !columns.iter().any(|c| c.name.eq_ignore_ascii_case(n))) {
        return Err(Error::invalid(format!("column '{unknown}' is not in the result")));
    }
    let wanted = |c: &Column| names.iter().any(|n| c.name.eq_ignore_ascii_case(n));
    Ok((0..columns.len()).filter(|i| wanted(&columns[*i])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_result_names_its_instance() {
        assert_eq!(instance_of(&result_path("p", "20260101_a-b", 3)), Some(("p", "20260101_a-b")));
        for other in ["results/x", "results", "resultsx/p/i-1.arrow", "results/p/i-1", "results/p/i.arrow"] {
            assert_eq!(instance_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_path_of_a_log_names_its_attempt() {
        assert_eq!(log_of(&log_path("p", "20260101_a-b", 3)), Some(("p", "20260101_a-b", 3)));
        for other in ["results/p/i-1.arrow", "results/p/i.log", "results/p/i-x.log", "results/i-1.log"] {
            assert_eq!(log_of(other), None, "{other}");
        }
        assert_eq!(instance_of(&log_path("p", "i", 1)), None);
    }
}
