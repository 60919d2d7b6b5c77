//! The old rows of a statement: which row of which file it takes away, and the files written again without them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use feitian_base::{Error, Kind, Result, id};
use futures::{FutureExt, StreamExt};

use super::plan::{ACTION_AT, DELETE, FILE_AT, INSERT, ROW_AT, VALUES};
use crate::catalog::OpenTable;
use crate::join::path_in_place_of;
use crate::log::{DataFile, Snapshot};
use crate::query::Session;
use crate::reader::{Reading, RowRange, read};
use crate::writer::{FileWriter, NewFile, file_name, partition_dir};

/// So many files are written again at once: the disk syncs several in little more time than one.
const WRITTEN_TOGETHER: usize = 4;

/// The old rows of a statement, as places in `snapshot`.
#[derive(Default)]
pub(super) struct Marks {
    snapshot: Arc<Snapshot>,
    /// The table, as messages show it.
    name: String,
    /// For each file of the snapshot with marked rows, which these are.
    files: Vec<Option<Marked>>,
}

struct Marked {
    rows: BooleanBufferBuilder,
    count: usize,
}

/// What becomes of the files with marked rows.
pub(super) struct Rewritten {
    pub(super) paths: Vec<String>,
    /// The partitions in which these files are.
    pub(super) partitions: Vec<String>,
    /// The files that hold the rows that stay.
    pub(super) files: Vec<NewFile>,
}

impl Marks {
    /// No row of `snapshot`, which is of table `name`.
    pub(super) fn new(snapshot: Arc<Snapshot>, name: String) -> Self {
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
        let file = usize::try_from(file).unwrap_or(usize::MAX);
        let Some((data, marked)) = self.snapshot.files().get(file).zip(self.files.get_mut(file)) else {
            return Err(Error::internal(format!("a row of file {file} of {}", self.name)));
        };
        let Ok(num_rows) = usize::try_from(data.num_rows) else {
            let what = format!("to change rows of {}, which another writer put without their number,", data.path);
            return Err(crate::unsupported(what));
        };
        let row = usize::try_from(row).unwrap_or(usize::MAX);
        if row >= num_rows {
            let text = format!("data file {} has a row {row}, the log says {num_rows} rows", data.path);
            return Err(Error::new(Kind::Corrupt, "InternalServerError", text));
        }
        let marked = marked.get_or_insert_with(|| {
            let mut rows = BooleanBufferBuilder::new(num_rows);
            rows.append_n(num_rows, false);
            Marked { rows, count: 0 }
        });
        if marked.rows.get_bit(row) {
            let text = format!(
                "ODPS-0121095:[0,0] Invalid arguments - more than one source row matches a row of {}; give the source one \
                 row for each row that it changes, by GROUP BY or ROW_NUMBER",
                self.name
            );
            return Err(Error::new(Kind::Invalid, "ODPS-0121095", text));
        }
        marked.rows.set_bit(row, true);
        marked.count += 1;
        Ok(())
    }

    /// Writes the files with marked rows again without them. Nothing refers to the new files yet.
    pub(super) async fn rewrite(self, session: &Session, table: &OpenTable) -> Result<Rewritten> {
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
                format!("{dir}{}", file_name(&prefix, place as i64, session.instance.attempt))
            });
            rest.push(rest_of(session, table, file, marked, path).boxed());
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
async fn rest_of(
    session: &Session,
    table: &OpenTable,
    file: &Arc<DataFile>,
    mut marked: Marked,
    path: String,
) -> Result<NewFile> {
    let keep = !&marked.rows.finish();
    let columns = &table.row.schema.columns;
    let (store, location) = (session.warehouse.catalog().store(), table.row.location.clone());
    let mut writer = FileWriter::new(store.clone(), &location, path, Arc::new(columns.clone()))?;
    let (files, columns) = (vec![file.clone()], columns.clone());
    let reading = Reading { store, location, files, columns, partition_columns: Vec::new() };
    let mut batches = read(reading, RowRange { start: 0, count: u64::MAX }, session.warehouse.engine.runtime());
    let mut at = 0;
    while let Some(batch) = batches.next().await {
        let written = match batch {
            Ok(batch) => {
                let here = BooleanArray::new(keep.slice(at, batch.num_rows().min(keep.len() - at)), None);
                at += here.len();
                write_kept(&mut writer, &batch, &here).await
            }
            Err(e) => Err(e),
        };
        if let Err(e) = written {
            writer.abort().await;
            return Err(e);
        }
    }
    let new = writer.finish(file.partition_values.clone()).await?;
    let wanted = file.num_rows - marked.count as i64;
    if new.num_rows != wanted {
        let text = format!("{} rows of data file {} stay, {wanted} were to", new.num_rows, file.path);
        return Err(Error::new(Kind::Corrupt, "InternalServerError", text));
    }
    Ok(new)
}

async fn write_kept(writer: &mut FileWriter, batch: &RecordBatch, keep: &BooleanArray) -> Result<()> {
    if keep.len() != batch.num_rows() {
        return Err(Error::new(Kind::Corrupt, "InternalServerError", "a data file has more rows than the log says"));
    }
    let kept = filter_record_batch(batch, keep).map_err(|e| Error::internal(e.to_string()))?;
    if kept.num_rows() == 0 { Ok(()) } else { writer.write(&kept).await }
}
