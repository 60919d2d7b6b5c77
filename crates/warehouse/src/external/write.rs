//! Writing files: rows in engine form become lines, JSON or Parquet, under hidden names.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::take_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use feitian_base::{Error, Kind, Result};
use feitian_functions::{Context, cast_array};
use feitian_sql::{Position, SqlError};
use feitian_types::arrow::engine_field;
use feitian_types::{Column, DataType};
use futures::StreamExt;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::directories::{Places, parts};
use super::files::Directory;
use super::format::{Format, TextFormat};
use super::json;
use super::location::Location;
use crate::log::store_error;
use crate::query::errors::front_end;
use crate::writer::{MAX_DYNAMIC_PARTITIONS, split};

/// A file is ended when it has so many bytes.
const FILE_BYTES: usize = 256 << 20;
/// A row group is ended when its pages take so much memory.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Bytes are handed to the store in parts of this size.
const PART_BYTES: usize = 8 << 20;
/// So many files are written at once; each holds what is not handed over yet.
const MAX_OPEN: usize = 32;

/// What a statement has written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Hidden names, in the order of the rows, and the directories that the files are for, below that of the table.
    pub(super) names: Vec<(String, String)>,
    /// Values of the partitions that got rows, by spec.
    pub(super) partitions: BTreeMap<String, Vec<String>>,
    pub(super) num_bytes: i64,
}

/// Which directory a row is for.
pub(super) enum Parting<'a> {
    /// All of them for this one below the table's, `ds=1/`; empty for that itself.
    One(String),
    /// The last columns of the rows are the values of partition columns.
    Open(Open<'a>),
}

/// Partitions that come out of the rows.
pub(super) struct Open<'a> {
    pub(super) location: &'a Location,
    /// All partition columns, of which the first have these values.
    pub(super) columns: &'a [Column],
    pub(super) fixed: Vec<String>,
    pub(super) places: &'a Places,
    pub(super) at: Position,
}

impl Open<'_> {
    /// The directory of a partition below the table's, noted as one that gets rows.
    fn directory(&self, open: Vec<Option<String>>, known: &mut BTreeMap<String, Vec<String>>) -> Result<String> {
        let open = open.into_iter().map(Option::unwrap_or_default);
        let values: Vec<String> = self.fixed.iter().cloned().chain(open).collect();
        let parts = parts(self.columns, &values);
        let spec = parts.join("/");
        let directory = format!("{spec}/");
        if known.contains_key(&spec) {
            return Ok(directory);
        }
        self.location.below(&parts)?;
        if self.places.get(&spec).is_some() {
            // Its files would come to count at another moment than those of the others.
            let what = format!("INSERT of a query's partition {spec}, which has a LOCATION of its own: name it");
            return Err(front_end(SqlError::unsupported(self.at, what)));
        }
        if known.len() >= MAX_DYNAMIC_PARTITIONS {
            let text = format!("a statement may write at most {MAX_DYNAMIC_PARTITIONS} partitions");
            let text = format!("ODPS-0123031:[0,0] Partition exception - {text}");
            return Err(Error::new(Kind::Invalid, "ODPS-0123031", text));
        }
        known.insert(spec, values);
        Ok(directory)
    }
}

/// Where, how and for whom rows are written.
pub(super) struct Writing<'a> {
    pub(super) directory: &'a Directory,
    pub(super) format: &'a Format,
    pub(super) columns: &'a [Column],
    pub(super) parting: Parting<'a>,
    pub(super) context: Context,
    pub(super) statement: &'a str,
    pub(super) attempt: i64,
}

impl Writing<'_> {
    /// Writes all rows, whose columns are those of `columns` and then the open ones of partitions. The files are durable;
    /// nobody counts them yet.
    pub(super) async fn write(&self, mut rows: SendableRecordBatchStream) -> Result<Written> {
        let fields: Vec<_> = self.columns.iter().map(|c| engine_field(c).with_nullable(true)).collect();
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(fields));
        let (open, written) = (BTreeMap::new(), Written::default());
        let mut files = Files { writing: self, schema: schema.clone(), open, written };
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(crate::engine_error)?;
            if batch.num_rows() == 0 {
                continue;
            }
            let strange = |e: arrow::error::ArrowError| Error::internal(format!("rows for files: {e}"));
            let (data, values) = batch.columns().split_at(self.columns.len().min(batch.num_columns()));
            let rows = RecordBatch::try_new(schema.clone(), data.to_vec()).map_err(strange)?;
            let open = match &self.parting {
                Parting::One(directory) => {
                    files.write(directory, &rows).await?;
                    continue;
                }
                Parting::Open(open) => open,
            };
            let columns = open.columns.get(open.fixed.len()..).unwrap_or_default();
            for (values, picked) in split(columns, values)? {
                let directory = open.directory(values, &mut files.written.partitions)?;
                match picked {
                    None => files.write(&directory, &rows).await?,
                    Some(picked) => {
                        let rows = take_record_batch(&rows, &picked).map_err(strange)?;
                        files.write(&directory, &rows).await?;
                    }
                }
            }
        }
        files.finish().await
    }
}

/// The files that a statement writes, at most one at a time for each directory.
struct Files<'a> {
    writing: &'a Writing<'a>,
    schema: SchemaRef,
    open: BTreeMap<String, File>,
    written: Written,
}

impl Files<'_> {
    async fn write(&mut self, directory: &str, rows: &RecordBatch) -> Result<()> {
        let writing = self.writing;
        let mut file = match self.open.remove(directory) {
            Some(file) => file,
            None => {
                self.make_room().await?;
                let number = self.written.names.len();
                let (name, path) = writing.directory.new_file(writing.statement, writing.attempt, number)?;
                self.written.names.push((name, directory.to_string()));
                File::new(writing.directory.store().clone(), path, writing.format, &self.schema)?
            }
        };
        file.write(rows, writing).await?;
        if file.num_bytes() >= FILE_BYTES {
            self.written.num_bytes += file.finish().await?;
        } else {
            self.open.insert(directory.to_string(), file);
        }
        Ok(())
    }

    /// Ends the largest file when there are too many.
    async fn make_room(&mut self) -> Result<()> {
        if self.open.len() < MAX_OPEN {
            return Ok(());
        }
        let largest = self.open.iter().max_by_key(|(_, file)| file.num_bytes()).map(|(directory, _)| directory.clone());
        if let Some(file) = largest.and_then(|directory| self.open.remove(&directory)) {
            self.written.num_bytes += file.finish().await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Written> {
        for file in std::mem::take(&mut self.open).into_values() {
            self.written.num_bytes += file.finish().await?;
        }
        Ok(self.written)
    }
}

/// The bytes that are not handed over yet.
enum Encoder {
    Text(Vec<u8>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

struct File {
    store: Arc<dyn ObjectStore>,
    path: Path,
    encoder: Encoder,
    upload: Option<Box<dyn MultipartUpload>>,
    handed_over: usize,
}

fn parquet_error(e: parquet::errors::ParquetError) -> Error {
    Error::internal(format!("writing a Parquet file: {e}")).with_source(e)
}

impl File {
    fn new(store: Arc<dyn ObjectStore>, path: Path, format: &Format, schema: &SchemaRef) -> Result<Self> {
        let encoder = match format {
            Format::Text(_) | Format::Json => Encoder::Text(Vec::new()),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by(concat!("feitian ", env!("CARGO_PKG_VERSION")).to_string())
                    .build();
                let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties));
                Encoder::Parquet(Box::new(writer.map_err(parquet_error)?))
            }
        };
        Ok(Self { store, path, encoder, upload: None, handed_over: 0 })
    }

    async fn write(&mut self, batch: &RecordBatch, writing: &Writing<'_>) -> Result<()> {
        let ready = match (&mut self.encoder, writing.format) {
            (Encoder::Text(out), Format::Text(format)) => {
                lines(batch, format, writing, out)?;
                out
            }
            (Encoder::Text(out), Format::Json) => {
                json::lines(batch, writing.columns, &writing.context, out)?;
                out
            }
            (Encoder::Parquet(parquet), _) => {
                parquet.write(batch).map_err(parquet_error)?;
                if parquet.in_progress_size() > ROW_GROUP_BYTES {
                    parquet.flush().map_err(parquet_error)?;
                }
                parquet.inner_mut()
            }
            (Encoder::Text(_), Format::Parquet) => return Err(Error::internal("lines of a Parquet file")),
        };
        if ready.len() >= PART_BYTES {
            let part = std::mem::take(ready);
            self.hand_over(part.into()).await?;
        }
        Ok(())
    }

    fn num_bytes(&self) -> usize {
        let waiting = match &self.encoder {
            Encoder::Text(out) => out.len(),
            Encoder::Parquet(parquet) => parquet.inner().len() + parquet.in_progress_size(),
        };
        self.handed_over + waiting
    }

    async fn hand_over(&mut self, part: Bytes) -> Result<()> {
        if self.upload.is_none() {
            self.upload = Some(self.store.put_multipart(&self.path).await.map_err(store_error)?);
        }
        let Some(upload) = &mut self.upload else { return Err(Error::internal("no upload")) };
        self.handed_over += part.len();
        upload.put_part(PutPayload::from(part)).await.map_err(store_error)
    }

    /// Ends the file, which is durable then; its size.
    async fn finish(mut self) -> Result<i64> {
        let rest: Bytes = match &mut self.encoder {
            Encoder::Text(out) => std::mem::take(out).into(),
            Encoder::Parquet(parquet) => {
                parquet.finish().map_err(parquet_error)?;
                std::mem::take(parquet.inner_mut()).into()
            }
        };
        let num_bytes = self.handed_over + rest.len();
        match self.upload.take() {
            Some(mut upload) => {
                upload.put_part(PutPayload::from(rest)).await.map_err(store_error)?;
                upload.complete().await.map_err(store_error)?;
            }
            None => {
                let options = PutOptions::from(PutMode::Overwrite);
                self.store.put_opts(&self.path, PutPayload::from(rest), options).await.map_err(store_error)?;
            }
        }
        Ok(i64::try_from(num_bytes).unwrap_or(i64::MAX))
    }
}

/// Appends the rows as lines.
fn lines(batch: &RecordBatch, format: &TextFormat, writing: &Writing<'_>, out: &mut Vec<u8>) -> Result<()> {
    let mut texts: Vec<StringArray> = Vec::with_capacity(batch.num_columns());
    for (array, column) in batch.columns().iter().zip(writing.columns) {
        if column.ty == DataType::Datetime {
            check_seconds(array, column)?;
        }
        let text = cast_array(array, &DataType::String, &writing.context).map_err(crate::engine_error)?;
        texts.push(text.as_string::<i32>().clone());
    }
    for row in 0..batch.num_rows() {
        let begin = out.len();
        for (i, (text, column)) in texts.iter().zip(writing.columns).enumerate() {
            if i > 0 {
                out.push(format.delimiter);
            }
            match text.is_valid(row) {
                true => field(text.value(row), column, format, out)?,
                false => out.extend_from_slice(format.null.as_bytes()),
            }
        }
        if out.len() == begin && format.skips_empty_lines {
            let why = "a row would be an empty line, which is no row; 'odps.text.option.ignore.empty.lines'='false' \
                       keeps it";
            return Err(no_text(why));
        }
        out.push(b'\n');
    }
    Ok(())
}

/// Appends a value that is not NULL.
fn field(text: &str, column: &Column, format: &TextFormat, out: &mut Vec<u8>) -> Result<()> {
    let delimiter = char::from(format.delimiter);
    // At the beginning of a file a byte order mark would be no part of the value.
    let is_special = text.contains(['\n', '\r', delimiter]) || text.starts_with('\u{feff}');
    if !format.quotes {
        if is_special {
            let why = format!(
                "a value of column {} has a delimiter, a line end or a byte order mark in it; \
                 'odps.text.option.use.quote'='true' of CSV lets it",
                column.name
            );
            return Err(no_text(&why));
        }
        // An empty text is read as NULL where that is written so, as in MaxCompute; other texts are not to be.
        if !text.is_empty() && text == format.null {
            return Err(no_text(&format!("a value of column {} is what stands for NULL", column.name)));
        }
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    if is_special || text.contains('"') || text == format.null || text.is_empty() {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

/// The text of a DATETIME ends with its second.
pub(super) fn check_seconds(array: &arrow::array::ArrayRef, column: &Column) -> Result<()> {
    let millis = array.as_primitive::<TimestampMillisecondType>();
    if millis.iter().flatten().any(|value| value.rem_euclid(1000) != 0) {
        let why = format!(
            "a DATETIME of column {} has a fraction of a second, which its text has not; CAST it to TIMESTAMP",
            column.name
        );
        return Err(no_text(&why));
    }
    Ok(())
}

pub(super) fn no_text(why: &str) -> Error {
    let text = format!("ODPS-0123131:[0,0] User defined function exception - {why}");
    Error::new(Kind::Invalid, "ODPS-0123131", text)
}
