//! Data files: checking rows against the table, writing them as Parquet, and the statistics that go into the log.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::DataType as ArrowType;
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use feitian_base::{Error, Kind, Result, clock};
use feitian_meta::Table;
use feitian_types::{Column, DataType, TableSchema};
use futures::StreamExt;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::blooms::{blooms_of, may_have_bloom};
use crate::disk;
use crate::log::{DataFile, store_error};
use crate::stats;
use crate::stats::distinct::{self, Distinct};
use crate::stats::rising::Rising;

/// The value of a partition column that is NULL, as MaxCompute and Hive write it.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// A file that was written and is not yet part of a table.
pub type NewFile = DataFile;

fn properties(columns: &[Column], blooms: &[String]) -> WriterProperties {
    let all = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by(concat!("feitian ", env!("CARGO_PKG_VERSION")).to_string());
    // Parquet leaves NaN out of the bounds, but NaN is greater than every number: readers would skip rows that belong
    // to an answer, and which ones would depend on how rows lie in files.
    let floats = columns.iter().filter(|c| matches!(c.ty, DataType::Float | DataType::Double));
    let without = |all: WriterPropertiesBuilder, column: &Column| {
        all.set_column_statistics_enabled(ColumnPath::from(column.name.as_str()), EnabledStatistics::None)
    };
    let all = floats.fold(all, without);
    let wanted = columns.iter().filter(|c| blooms.contains(&c.name) && may_have_bloom(&c.ty));
    let with = |all: WriterPropertiesBuilder, column: &Column| {
        all.set_column_bloom_filter_enabled(ColumnPath::from(column.name.as_str()), true)
    };
    wanted.fold(all, with).build()
}

/// Where a table's files are, and what is asked of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDir {
    /// The table id.
    pub id: String,
    /// Path below the data root.
    pub location: String,
    /// Columns that have Bloom filters.
    pub blooms: Vec<String>,
}

impl TableDir {
    /// That of a table.
    pub(crate) fn of(table: &Table) -> Self {
        Self { id: table.id.clone(), location: table.location.clone(), blooms: blooms_of(table) }
    }
}

/// A file is ended when it has grown to about this size.
const FILE_BYTES: usize = 128 << 20;
/// A row group is ended when its encoded pages take this much memory: it bounds what one writer holds.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Bytes are handed to the store in parts of this size.
const PART_BYTES: usize = 8 << 20;
/// More partitions than this in one statement are refused.
pub(crate) const MAX_DYNAMIC_PARTITIONS: usize = 10_000;
/// More open partition writers than this are not kept: each holds a page per column.
const MAX_OPEN_WRITERS: usize = 64;
/// When one more is wanted, so many are ended together: the disk syncs many files in little more time than one.
const ENDED_TOGETHER: usize = 16;

/// One Parquet file on its way to the store. Nothing is visible before [`FileWriter::finish`] returns; dropping the
/// writer leaves at most a temporary file, which the store removes.
pub(crate) struct FileWriter {
    store: Arc<dyn ObjectStore>,
    location: String,
    path: String,
    columns: Arc<Vec<Column>>,
    parquet: ArrowWriter<Vec<u8>>,
    distinct: Distinct,
    rising: Rising,
    upload: Option<Box<dyn MultipartUpload>>,
    handed_over: usize,
    num_rows: u64,
}

impl FileWriter {
    /// A writer for `path` below `dir`.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        dir: &TableDir,
        path: String,
        columns: Arc<Vec<Column>>,
    ) -> Result<Self> {
        let properties = properties(&columns, &dir.blooms);
        let parquet =
            ArrowWriter::try_new(Vec::new(), disk::disk_schema(&columns), Some(properties)).map_err(parquet_error)?;
        let location = dir.location.clone();
        let distinct = Distinct::of(distinct::counted(&columns));
        let rising = Rising::of(&columns);
        let (upload, handed_over, num_rows) = (None, 0, 0);
        Ok(Self { store, location, path, columns, parquet, distinct, rising, upload, handed_over, num_rows })
    }

    /// Adds rows in engine form, after checking them against the columns.
    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        check_rows(&self.columns, batch, self.num_rows)?;
        let disk = disk::to_disk(&self.columns, batch, self.num_rows)?;
        self.parquet.write(&disk).map_err(parquet_error)?;
        self.distinct.add(&self.columns, batch);
        self.rising.add(batch);
        self.num_rows += batch.num_rows() as u64;
        if self.parquet.in_progress_size() > ROW_GROUP_BYTES {
            self.parquet.flush().map_err(parquet_error)?;
        }
        if self.parquet.inner().len() >= PART_BYTES {
            let part = std::mem::take(self.parquet.inner_mut());
            self.hand_over(part.into()).await?;
        }
        Ok(())
    }

    /// About how large the file is so far.
    pub(crate) fn num_bytes(&self) -> usize {
        self.handed_over + self.parquet.inner().len() + self.parquet.in_progress_size()
    }

    pub(crate) fn num_rows(&self) -> u64 {
        self.num_rows
    }

    async fn hand_over(&mut self, part: Bytes) -> Result<()> {
        if self.upload.is_none() {
            self.upload = Some(self.store.put_multipart(&self.object_path()).await.map_err(store_error)?);
        }
        let Some(upload) = &mut self.upload else { return Err(Error::internal("no upload")) };
        self.handed_over += part.len();
        upload.put_part(PutPayload::from(part)).await.map_err(store_error)
    }

    fn object_path(&self) -> Path {
        object_path(&self.location, &self.path)
    }

    /// Ends the file. It is durable at its final place when this returns.
    pub(crate) async fn finish(mut self, partition_values: Vec<Option<String>>) -> Result<NewFile> {
        let metadata = self.parquet.finish().map_err(parquet_error)?;
        let rest: Bytes = std::mem::take(self.parquet.inner_mut()).into();
        let path = self.object_path();
        let num_bytes = self.handed_over + rest.len();
        match self.upload.take() {
            Some(mut upload) => {
                upload.put_part(PutPayload::from(rest)).await.map_err(store_error)?;
                upload.complete().await.map_err(store_error)?;
            }
            None => {
                let options = PutOptions::from(PutMode::Overwrite);
                self.store.put_opts(&path, PutPayload::from(rest), options).await.map_err(store_error)?;
            }
        }
        Ok(NewFile {
            stats: Some(stats::delta_stats(&self.columns, &metadata, &self.distinct, &self.rising)),
            path: self.path,
            partition_values,
            num_bytes: num_bytes as i64,
            num_rows: self.num_rows as i64,
            modified_ms: clock::now_ms(),
        })
    }

    /// Gives the file up.
    pub(crate) async fn abort(mut self) {
        if let Some(mut upload) = self.upload.take() {
            let _ = upload.abort().await;
        }
    }
}

fn parquet_error(e: parquet::errors::ParquetError) -> Error {
    Error::internal(format!("writing a data file: {e}")).with_source(e)
}

/// Refuses NULL in NOT NULL columns and text that is too long, naming row and column.
fn check_rows(columns: &[Column], batch: &RecordBatch, first_row: u64) -> Result<()> {
    if columns.len() != batch.num_columns() {
        let text = format!("{} columns given, the table has {}", batch.num_columns(), columns.len());
        return Err(Error::invalid(text));
    }
    for (c, array) in columns.iter().zip(batch.columns()) {
        if !c.nullable && array.null_count() > 0 {
            let row = (0..array.len()).find(|i| array.is_null(*i)).unwrap_or(0) as u64;
            let text = format!(
                "row {}: column '{}' is NOT NULL but the value is NULL; COALESCE gives it one",
                first_row + row,
                c.name
            );
            return Err(Error::new(Kind::Invalid, "ODPS-0121055", text));
        }
        let limit = match c.ty {
            DataType::Varchar(n) | DataType::Char(n) => n as usize,
            _ => continue,
        };
        let text = array.as_string::<i32>();
        let too_long = |v: &str| v.len() > limit && v.trim_end_matches(' ').chars().count() > limit;
        if let Some(row) = (0..text.len()).find(|i| text.is_valid(*i) && too_long(text.value(*i))) {
            let text =
                format!("row {}: column '{}' is {} but the value is longer", first_row + row as u64, c.name, c.ty);
            return Err(Error::invalid(text));
        }
    }
    Ok(())
}

/// Checks and normalises the value of a partition column: what may be a partition value and how it is written.
///
/// # Errors
/// `ODPS-0123031` naming column and value: empty, longer than 256 bytes, holding `/`, tab, newline or a control character,
/// or not of the column's type.
pub fn partition_value(column: &Column, value: &str) -> Result<String> {
    let bad = |why: &str| {
        let text = format!("invalid partition value '{value}' for column '{}': {why}", column.name);
        Err(Error::new(Kind::Invalid, "ODPS-0123031", format!("ODPS-0123031:[0,0] Partition exception - {text}")))
    };
    if value.is_empty() {
        return bad("it is empty");
    }
    if value.len() > 256 {
        return bad("it is longer than 256 bytes");
    }
    if value.chars().any(|c| c == '/' || c.is_control()) {
        return bad("it holds '/' or a control character");
    }
    if value == NULL_PARTITION {
        return Ok(value.to_string());
    }
    let range = match column.ty {
        DataType::TinyInt => i64::from(i8::MIN)..=i64::from(i8::MAX),
        DataType::SmallInt => i64::from(i16::MIN)..=i64::from(i16::MAX),
        DataType::Int => i64::from(i32::MIN)..=i64::from(i32::MAX),
        DataType::BigInt => i64::MIN + 1..=i64::MAX,
        DataType::Date if chrono::NaiveDate::parse_from_str(value, "%Y-%m-%d").is_err() => {
            return bad("it is not a date");
        }
        DataType::Varchar(n) | DataType::Char(n) if value.chars().count() > n as usize => return bad("it is too long"),
        _ => return Ok(value.to_string()),
    };
    match value.trim().parse::<i64>() {
        Ok(n) if range.contains(&n) => Ok(n.to_string()),
        _ => bad(&format!("it is not a {}", column.ty)),
    }
}

/// The directory of a partition below the table. Its name is for people: the log's partition values are the truth, so
/// characters that file systems, URLs or object stores treat specially are written as `=XX`.
pub(crate) fn partition_dir(columns: &[Column], values: &[Option<String>]) -> String {
    let mut dir = String::new();
    for (c, v) in columns.iter().zip(values) {
        let value = v.as_deref().unwrap_or(NULL_PARTITION);
        let mut part = String::new();
        for b in c.name.bytes().chain(*b"=").chain(value.bytes()) {
            match b {
                b if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=' | b'.') => part.push(b as char),
                b => part.push_str(&format!("={b:02X}")),
            }
        }
        part.truncate(200);
        dir.push_str(&part);
        dir.push('/');
    }
    dir
}

/// Where the data file `path` of the table at `location` lies: there, character by character, so that every reader of the
/// log finds it.
///
/// Only names with `~` lie elsewhere. feitian once wrote special characters as `~XX`, and the store's library makes
/// `%7E` of each `~`.
pub(crate) fn object_path(location: &str, path: &str) -> Path {
    let whole = format!("{location}/{path}");
    match Path::parse(&whole) {
        Ok(parsed) if !path.contains('~') => parsed,
        // Segments like `..` come here as well, and become names.
        _ => Path::from(whole),
    }
}

/// The name of a data file: it sorts by writer, then by block.
pub(crate) fn file_name(prefix: &str, block: i64, attempt: i64) -> String {
    format!("{prefix}-{block:010}-{attempt}.parquet")
}

/// Writes a stream of rows as data files of a table, split by partition. Nothing refers to the files yet.
///
/// - `static_values`: partition columns fixed by the statement, a prefix of the table's.
/// - `input`: data columns in the declared types, then the remaining partition columns.
/// - `prefix`, `attempt`: file names begin with them.
///
/// On error the files that were finished stay behind unreferenced; collection removes them.
///
/// # Errors
/// A row that the table does not take (row and column named), a bad partition value, more than 10,000 partitions, the
/// input's own error, or the store's.
pub async fn write_partitioned(
    catalog: &crate::catalog::Catalog,
    dir: &TableDir,
    schema: &TableSchema,
    static_values: &[(String, String)],
    mut input: SendableRecordBatchStream,
    prefix: &str,
    attempt: i64,
) -> Result<Vec<NewFile>> {
    let mut writers = Writers {
        store: catalog.store(),
        dir: dir.clone(),
        columns: Arc::new(schema.columns.clone()),
        partition_columns: schema.partition_columns.clone(),
        prefix: prefix.to_string(),
        attempt,
        next_file: 0,
        open: HashMap::new(),
        seen: Default::default(),
        files: Vec::new(),
    };
    let fixed: Vec<Option<String>> = static_values.iter().map(|(_, v)| Some(v.clone())).collect();
    let data = schema.columns.len();
    while let Some(batch) = input.next().await {
        let batch = batch.map_err(crate::engine_error)?;
        if batch.num_rows() == 0 {
            continue;
        }
        let rows = batch.project(&(0..data).collect::<Vec<_>>()).map_err(|e| Error::internal(e.to_string()))?;
        if batch.num_columns() == data {
            writers.write(fixed.clone(), &rows).await?;
            continue;
        }
        let dynamic = &schema.partition_columns[fixed.len()..];
        for (values, picked) in split(dynamic, &batch.columns()[data..])? {
            let part = match picked {
                None => rows.clone(),
                Some(indices) => take_record_batch(&rows, &indices).map_err(|e| Error::internal(e.to_string()))?,
            };
            writers.write(fixed.iter().cloned().chain(values).collect(), &part).await?;
        }
    }
    writers.finish().await
}

pub(crate) type Group = (Vec<Option<String>>, Option<UInt32Array>);

/// Rows of one batch by partition values, in order of first appearance; `None` stands for all rows.
pub(crate) fn split(columns: &[Column], arrays: &[ArrayRef]) -> Result<Vec<Group>> {
    let as_text = |a: &ArrayRef| cast(a, &ArrowType::Utf8).map_err(|e| Error::internal(e.to_string()));
    let texts = arrays.iter().map(as_text).collect::<Result<Vec<_>>>()?;
    let texts: Vec<_> = texts.iter().map(|t| t.as_string::<i32>()).collect();
    let num_rows = texts.first().map_or(0, |t| t.len());
    let mut groups: Vec<(Vec<Option<&str>>, Vec<u32>)> = Vec::new();
    let mut index: HashMap<Vec<Option<&str>>, usize> = HashMap::new();
    for row in 0..num_rows {
        let key: Vec<_> = texts.iter().map(|t| t.is_valid(row).then(|| t.value(row))).collect();
        let at = *index.entry(key.clone()).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(row as u32);
    }
    let whole = groups.len() == 1;
    let mut out = Vec::with_capacity(groups.len());
    for (key, rows) in groups {
        let values = columns.iter().zip(key).map(|(c, v)| partition_value(c, v.unwrap_or(NULL_PARTITION)).map(Some));
        out.push((values.collect::<Result<Vec<_>>>()?, (!whole).then(|| UInt32Array::from(rows))));
    }
    Ok(out)
}

struct Writers {
    store: Arc<dyn ObjectStore>,
    dir: TableDir,
    columns: Arc<Vec<Column>>,
    partition_columns: Vec<Column>,
    prefix: String,
    attempt: i64,
    next_file: i64,
    open: HashMap<Vec<Option<String>>, FileWriter>,
    seen: std::collections::HashSet<Vec<Option<String>>>,
    files: Vec<NewFile>,
}

impl Writers {
    async fn write(&mut self, values: Vec<Option<String>>, rows: &RecordBatch) -> Result<()> {
        if !self.open.contains_key(&values) {
            self.make_room(&values).await?;
            let name = file_name(&self.prefix, self.next_file, self.attempt);
            self.next_file += 1;
            let path = format!("{}{name}", partition_dir(&self.partition_columns, &values));
            let writer = FileWriter::new(self.store.clone(), &self.dir, path, self.columns.clone())?;
            self.open.insert(values.clone(), writer);
        }
        let Some(writer) = self.open.get_mut(&values) else { return Err(Error::internal("no writer")) };
        writer.write(rows).await?;
        if writer.num_bytes() >= FILE_BYTES {
            self.close(&values).await?;
        }
        Ok(())
    }

    async fn make_room(&mut self, values: &[Option<String>]) -> Result<()> {
        if self.seen.insert(values.to_vec()) && self.seen.len() > MAX_DYNAMIC_PARTITIONS {
            let text = format!("a statement may write at most {MAX_DYNAMIC_PARTITIONS} partitions");
            let text = format!("ODPS-0123031:[0,0] Partition exception - {text}");
            return Err(Error::new(Kind::Invalid, "ODPS-0123031", text));
        }
        if self.open.len() >= MAX_OPEN_WRITERS {
            let mut sizes: Vec<_> = self.open.iter().map(|(values, w)| (w.num_rows(), values.clone())).collect();
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            self.close_all(sizes.into_iter().take(ENDED_TOGETHER).map(|(_, values)| values).collect()).await?;
        }
        Ok(())
    }

    async fn close(&mut self, values: &Vec<Option<String>>) -> Result<()> {
        if let Some(writer) = self.open.remove(values) {
            self.files.push(writer.finish(values.clone()).await?);
        }
        Ok(())
    }

    /// Ends the writers of these partitions, many at once.
    async fn close_all(&mut self, partitions: Vec<Vec<Option<String>>>) -> Result<()> {
        let writers = partitions.into_iter().filter_map(|values| self.open.remove(&values).map(|w| (w, values)));
        let ends: Vec<_> = writers.map(|(writer, values)| writer.finish(values)).collect();
        let mut ended = futures::stream::iter(ends).buffered(ENDED_TOGETHER);
        while let Some(file) = ended.next().await {
            self.files.push(file?);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<NewFile>> {
        let mut keys: Vec<_> = self.open.keys().cloned().collect();
        keys.sort();
        self.close_all(keys).await?;
        Ok(self.files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_files_lie_where_the_log_says() {
        let columns = [Column::new("ds", DataType::String), Column::new("hh", DataType::BigInt)];
        let values = [Some("2024-01-01 00:00 %".to_string()), None];
        let dir = partition_dir(&columns, &values);
        assert_eq!(dir, "ds=2024-01-01=2000=3A00=20=25/hh=__HIVE_DEFAULT_PARTITION__/");
        let path = format!("{dir}x.parquet");
        assert_eq!(object_path("warehouse/p/t-1", &path).as_ref(), format!("warehouse/p/t-1/{path}"));
        // Spark writes special characters of partition values as `%XX` into the names of directories.
        assert_eq!(object_path("t", "ds=a%3Ab/x.parquet").as_ref(), "t/ds=a%3Ab/x.parquet");
    }

    // RFC 3986: `~` is 7E. The library of the store wrote it so, and does for segments that lead elsewhere.
    #[test]
    fn old_names_are_found_where_they_were_written_and_none_leads_out() {
        assert_eq!(object_path("t", "ds=a~20b/x.parquet").as_ref(), "t/ds=a%7E20b/x.parquet");
        assert_eq!(object_path("t", "../u/x.parquet").as_ref(), "t/%2E%2E/u/x.parquet");
    }
}
