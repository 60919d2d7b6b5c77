//! The old rows of a statement: which row of which file it takes away, and the files written again without them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use feitian_base::{Error, Kind, Result, id};
use feitian_types::Column;
use futures::{FutureExt, StreamExt};

use super::plan::{ACTION_AT, DELETE, FILE_AT, INSERT, ROW_AT, VALUES};
use crate::Warehouse;
use crate::catalog::OpenTable;
use crate::join::path_in_place_of;
use crate::log::{DataFile, Snapshot};
use crate::reader::{Batches, Reading, RowRange, read};
use crate::writer::{FileWriter, NewFile, file_name, partition_dir};

/// So many files are written again at once: the disk syncs several in little more time than one.
const WRITTEN_TOGETHER: usize = 4;

/// The old rows of a statement, as places in `snapshot`.
#[derive(Default)]
pub(crate) struct Marks {
    snapshot: Arc<Snapshot>,
    /// The table, as messages show it.
    name: String,
    /// For each file of the snapshot with marked rows, which these are.
    files: Vec<Option<Marked>>,
}

/// Rows of a file, by number.
pub(crate) struct Marked {
    rows: BooleanBufferBuilder,
    count: usize,
}

impl Marked {
    /// No row of a file that has so many.
    pub(crate) fn none_of(num_rows: usize) -> Self {
        let mut rows = BooleanBufferBuilder::new(num_rows);
        rows.append_n(num_rows, false);
        Self { rows, count: 0 }
    }

    /// Marks `row`, which the file has; false if it was marked before.
    pub(crate) fn set(&mut self, row: usize) -> bool {
        let is_new = !self.rows.get_bit(row);
        self.rows.set_bit(row, true);
        self.count += usize::from(is_new);
        is_new
    }

    /// The rows that are not marked.
    pub(crate) fn others(self) -> BooleanBuffer {
        !&self.rows.build()
    }
}

/// What becomes of the files with marked rows.
pub(crate) struct Rewritten {
    pub(crate) paths: Vec<String>,
    /// The partitions in which these files are.
    pub(crate) partitions: Vec<String>,
    /// The files that hold the rows that stay.
    pub(crate) files: Vec<NewFile>,
}

impl Marks {
    /// No row of `snapshot`, which is of table `name`.
    pub(crate) fn new(snapshot: Arc<Snapshot>, name: String) -> Self {
        let files = snapshot.files().iter().map(|_| None).collect();
        Self { snapshot, name, files }
    }

    /// Marks the old rows that `rows` names, and gives the new ones.
    ///
    /// # Errors
    /// `ODPS-0121095` if a row is named a second time.
    pub(super) fn take(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let internal = |e: arrow::error::ArrowError| Error::internal(e.to_string());
        let actions = rows.column(ACTION_AT).as_string::<i32>();
        let files = rows.column(FILE_AT).as_primitive::<Int64Type>();
        let numbers = rows.column(ROW_AT).as_primitive::<Int64Type>();
        let mut is_new = BooleanBufferBuilder::new(rows.num_rows());
        for i in 0..rows.num_rows() {
            let action = actions.value(i);
            if action != INSERT {
                if files.is_null(i) || numbers.is_null(i) {
                    return Err(Error::internal("a row without a place"));
                }
                self.mark(files.value(i), numbers.value(i))?;
            }
            is_new.append(action != DELETE);
        }
        let values: Vec<usize> = (VALUES..rows.num_columns()).collect();
        let new = rows.project(&values).map_err(internal)?;
        filter_record_batch(&new, &BooleanArray::new(is_new.finish(), None)).map_err(internal)
    }

    fn mark(&mut self, file: i64, row: i64) -> Result<()> {
        let (file, row) = (usize::try_from(file).unwrap_or(usize::MAX), usize::try_from(row).unwrap_or(usize::MAX));
        if self.give_way(file, row)? {
            return Ok(());
        }
        let text = format!(
            "ODPS-0121095:[0,0] Invalid arguments - more than one source row matches a row of {}; give the source one \
             row for each row that it changes, by GROUP BY or ROW_NUMBER",
            self.name
        );
        Err(Error::new(Kind::Invalid, "ODPS-0121095", text))
    }

    /// Marks row `row` of file `file` of the snapshot; false if it was marked before.
    pub(crate) fn give_way(&mut self, file: usize, row: usize) -> Result<bool> {
        let Some((data, marked)) = self.snapshot.files().get(file).zip(self.files.get_mut(file)) else {
            return Err(Error::internal(format!("a row of file {file} of {}", self.name)));
        };
        let Ok(num_rows) = usize::try_from(data.num_rows) else {
            let what = format!("to change rows of {}, which another writer put without their number,", data.path);
            return Err(crate::unsupported(what));
        };
        if row >= num_rows {
            let text = format!("data file {} has a row {row}, the log says {num_rows} rows", data.path);
            return Err(Error::new(Kind::Corrupt, "InternalServerError", text));
        }
        Ok(marked.get_or_insert_with(|| Marked::none_of(num_rows)).set(row))
    }

    /// Writes the files with marked rows again without them. Nothing refers to the new files yet.
    pub(crate) async fn rewrite(self, warehouse: &Warehouse, table: &OpenTable, attempt: i64) -> Result<Rewritten> {
        let (mut paths, mut partitions, mut rest) = (Vec::new(), BTreeSet::new(), Vec::new());
        let prefix = id::ulid();
        for (place, (file, marked)) in self.snapshot.files().iter().zip(self.files).enumerate() {
            let Some(marked) = marked else { continue };
            paths.push(file.path.clone());
            partitions.insert(self.snapshot.spec_of(file));
            if marked.count as i64 == file.num_rows {
                continue;
            }
            let path = path_in_place_of(&file.path).unwrap_or_else(|| {
                let dir = partition_dir(&table.row.schema.partition_columns, &file.partition_values);
                format!("{dir}{}", file_name(&prefix, place as i64, attempt))
            });
            rest.push(rest_of(warehouse, table, file, marked, path).boxed());
        }
        let mut files = Vec::with_capacity(rest.len());
        let mut written = futures::stream::iter(rest).buffered(WRITTEN_TOGETHER);
        while let Some(file) = written.next().await {
            files.push(file?);
        }
        Ok(Rewritten { paths, partitions: partitions.into_iter().collect(), files })
    }
}

/// The rows of `file` that are not marked, as the file `path`.
pub(crate) async fn rest_of(
    warehouse: &Warehouse,
    table: &OpenTable,
    file: &Arc<DataFile>,
    marked: Marked,
    path: String,
) -> Result<NewFile> {
    let wanted = file.num_rows - marked.count as i64;
    let columns = Arc::new(table.row.schema.columns.clone());
    let mut writer = FileWriter::new(warehouse.catalog().store(), &table.dir(), path, columns)?;
    let mut batches = kept(warehouse, table, vec![file.clone()], marked.others());
    while let Some(batch) = batches.next().await {
        let written = match batch {
            Ok(batch) if batch.num_rows() == 0 => Ok(()),
            Ok(batch) => writer.write(&batch).await,
            Err(e) => Err(e),
        };
        if let Err(e) = written {
            writer.abort().await;
            return Err(e);
        }
    }
    let new = writer.finish(file.partition_values.clone()).await?;
    if new.num_rows != wanted {
        let text = format!("{} rows of data file {} stay, {wanted} were to", new.num_rows, file.path);
        return Err(Error::new(Kind::Corrupt, "InternalServerError", text));
    }
    Ok(new)
}

/// The rows that `keep` names of those of `files`, one file after the other.
pub(crate) fn kept(
    warehouse: &Warehouse,
    table: &OpenTable,
    files: Vec<Arc<DataFile>>,
    keep: BooleanBuffer,
) -> Batches {
    // What is taken out may lack values: of an upserted row that only says which one goes there is no more than the key.
    let columns = table.row.schema.columns.iter().map(|c| Column { nullable: true, ..c.clone() }).collect();
    let (store, location) = (warehouse.catalog().store(), table.row.location.clone());
    let reading = Reading { store, location, files, columns, partition_columns: Vec::new() };
    let batches = read(reading, RowRange { start: 0, count: u64::MAX }, warehouse.engine.runtime());
    let mut at = 0;
    let keep = move |batch: Result<RecordBatch>| {
        let batch = batch?;
        let here = BooleanArray::new(keep.slice(at, batch.num_rows().min(keep.len() - at)), None);
        at += here.len();
        if here.len() != batch.num_rows() {
            let text = "a data file has more rows than the log says";
            return Err(Error::new(Kind::Corrupt, "InternalServerError", text));
        }
        filter_record_batch(&batch, &here).map_err(|e| Error::internal(e.to_string()))
    };
    batches.map(keep).boxed()
}
