//! Joining small files: what came in many little writes is not to stay in many little files.
//!
//! 1. Small files of one partition that follow each other in reading order are written again as one file. Its name takes
//!    the place of the first one's, so that rows come in the order in which they came before; what others add meanwhile
//!    between them comes after it.
//! 2. One commit exchanges the files. It says that no row changes, so that statements which read the table meanwhile need
//!    not run again, and it is given up when one of the files has gone since.
//!
//! The old files stay for those who read an older version until they are collected.

use std::sync::Arc;

use feitian_base::{Error, Kind, Result, failpoint, id};
use feitian_meta::rows::Step;
use futures::StreamExt;

use crate::Warehouse;
use crate::catalog::OpenTable;
use crate::commit::{Change, Replace};
use crate::log::{DataFile, Snapshot};
use crate::reader::{Reading, RowRange, read};
use crate::writer::{FileWriter, NewFile, file_name};

/// Files smaller than this are joined, into files of up to [`JOINED_BYTES`].
const SMALL_BYTES: i64 = 4 << 20;
const JOINED_BYTES: i64 = 64 << 20;
/// So many files are joined at once at most: their names go into the commit record.
const MOST_FILES: usize = 1000;
/// In the background fewer files than this are left until there are more.
const LEAST_FILES: usize = 16;
/// So often another one's change of the same files is given way to; then they are left as they are.
const ATTEMPTS: usize = 5;

/// Files to join, and the path of the new one.
struct Run {
    files: Vec<Arc<DataFile>>,
    path: String,
}

/// The part of a path that decides its place among the files of other writers and blocks: all before the attempt.
fn stem(path: &str) -> Option<&str> {
    let (stem, attempt) = path.strip_suffix(".parquet")?.rsplit_once('-')?;
    let name = stem.rsplit_once('/').map_or(stem, |(_, name)| name);
    let (prefix, block) = name.rsplit_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits(attempt) && digits(block) && block.len() == 10 && !prefix.is_empty()).then_some(stem)
}

/// The path of a file that comes where the one of this path comes, and nowhere else.
pub(crate) fn path_in_place_of(path: &str) -> Option<String> {
    let stem = stem(path)?;
    let (dir, name) = stem.rsplit_once('/').map_or(("", stem), |(dir, name)| (dir, name));
    let (prefix, block) = name.rsplit_once('-')?;
    let attempt = i64::from(u32::from_le_bytes(id::random_bytes()));
    let name = file_name(prefix, block.parse().ok()?, attempt);
    Some(if dir.is_empty() { name } else { format!("{dir}/{name}") })
}

fn is_small(file: &DataFile) -> bool {
    file.num_bytes < SMALL_BYTES && file.num_rows >= 0 && stem(&file.path).is_some()
}

/// The first run of at least `least` small files in a partition whose first values are `leading`.
fn next_run(snapshot: &Snapshot, leading: &[String], least: usize) -> Option<Run> {
    let is_meant = |f: &DataFile| {
        let values = f.partition_values.iter().map(Option::as_deref);
        leading.iter().map(|v| Some(v.as_str())).eq(values.take(leading.len()))
    };
    let files = snapshot.files();
    let mut start = 0;
    while start < files.len() {
        let (mut end, mut bytes) = (start, 0);
        while end < files.len()
            && end - start < MOST_FILES
            && is_small(&files[end])
            && files[end].partition_values == files[start].partition_values
            && bytes + files[end].num_bytes <= JOINED_BYTES
        {
            bytes += files[end].num_bytes;
            end += 1;
        }
        if end - start >= least && is_meant(&files[start]) {
            let run = run_of(files, start, end);
            if run.is_some() {
                return run;
            }
        }
        start = end.max(start + 1);
    }
    None
}

/// `files[start..end]`, unless a neighbour's name leaves no place for the new one.
fn run_of(files: &[Arc<DataFile>], start: usize, end: usize) -> Option<Run> {
    let first = &files[start].path;
    let before = start.checked_sub(1).and_then(|i| files.get(i));
    let is_crowded = before.into_iter().chain(files.get(end)).any(|n| stem(&n.path) == stem(first));
    if is_crowded {
        return None;
    }
    Some(Run { files: files[start..end].to_vec(), path: path_in_place_of(first)? })
}

impl Warehouse {
    /// Joins the small files of tables that have got many, one table after the other, until the warehouse stops.
    pub(crate) async fn join_loop(&self) {
        let stop = self.tasks.stop_token();
        let joins = self.catalog.joins();
        while !stop.is_cancelled() {
            let Some(table_id) = joins.next() else {
                tokio::select! {
                    () = joins.wake.notified() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            };
            let (warehouse, id) = (self.clone(), table_id.clone());
            // Where queries run, with their little priority.
            let work = self.engine.runtime().spawn(async move { warehouse.join_files(&id, &[], LEAST_FILES).await });
            match work.await {
                Ok(Ok(0)) => {}
                Ok(Ok(files)) => tracing::debug!(table = %table_id, files, "small files joined"),
                // Somebody changed the table meanwhile; more small files bring us back.
                Ok(Err(e)) if matches!(e.kind(), Kind::Conflict | Kind::NotFound) => {
                    tracing::debug!(table = %table_id, error = %e, "small files are left as they are");
                }
                Ok(Err(e)) => tracing::warn!(table = %table_id, error = ?e, "small files could not be joined"),
                Err(e) => tracing::warn!(table = %table_id, error = ?e, "small files could not be joined"),
            }
        }
    }

    /// Joins small files of the table `table_id`, in the partitions whose first values are `leading`, wherever `least` of
    /// them follow each other; returns how many went. Rows, their order and the times of their change stay.
    ///
    /// # Errors
    /// `Conflict` when others change the table all the time: it is as they left it.
    pub async fn join_files(&self, table_id: &str, leading: &[String], least: usize) -> Result<usize> {
        let (mut joined, mut conflicts) = (0, 0);
        while !self.tasks.is_stopping() {
            let table = self.catalog.open_id(table_id).await?;
            let Some(snapshot) = &table.snapshot else { break };
            let Some(run) = next_run(snapshot, leading, least.max(2)) else { break };
            failpoint::hit("join.before_file");
            let file = self.write_joined(&table, &run).await?;
            failpoint::hit("join.before_commit");
            let change = Change {
                read_version: snapshot.version,
                replace: Replace::Files(run.files.iter().map(|f| f.path.clone()).collect()),
                ..Change::append(table.row.clone(), vec![file])
            };
            match self.catalog.commit(vec![change], &id::ulid(), 0, 0, &Step::None).await {
                Ok(()) => joined += run.files.len(),
                Err(e) if e.kind() == Kind::Conflict && conflicts + 1 < ATTEMPTS => conflicts += 1,
                Err(e) => return Err(e),
            }
            failpoint::hit("join.after_commit");
        }
        Ok(joined)
    }

    async fn write_joined(&self, table: &OpenTable, run: &Run) -> Result<NewFile> {
        let columns = &table.row.schema.columns;
        let location = table.row.location.clone();
        let (dir, path) = (table.dir(), run.path.clone());
        let mut writer = FileWriter::new(self.catalog.store(), &dir, path, Arc::new(columns.clone()))?;
        let reading = Reading {
            store: self.catalog.store(),
            location,
            files: run.files.clone(),
            columns: columns.clone(),
            partition_columns: Vec::new(),
        };
        let mut batches = read(reading, RowRange { start: 0, count: u64::MAX }, self.engine.runtime());
        while let Some(batch) = batches.next().await {
            let written = match batch {
                Ok(batch) => writer.write(&batch).await,
                Err(e) => Err(e),
            };
            if let Err(e) = written {
                writer.abort().await;
                return Err(e);
            }
        }
        let values = run.files.first().map(|f| f.partition_values.clone()).unwrap_or_default();
        let file = writer.finish(values).await?;
        let rows: i64 = run.files.iter().map(|f| f.num_rows).sum();
        if file.num_rows != rows {
            let text = format!("{} files hold {} rows, the log says {rows}", run.files.len(), file.num_rows);
            return Err(Error::new(Kind::Corrupt, "InternalServerError", text));
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_have_a_place() {
        assert_eq!(stem("01k-0000000007-3.parquet"), Some("01k-0000000007"));
        assert_eq!(stem("ds=a-b/01k-0000000007-3.parquet"), Some("ds=a-b/01k-0000000007"));
        for foreign in [
            "part-00000-2f3a1c.snappy.parquet",
            "0-e5f1ec5c-8a1c-4c43-b6d1-3d3c1f4f2f11-0.parquet",
            "01k-0000000007-3.orc",
            "ds=x/-0000000007-3.parquet",
            "01k-7-3.parquet",
        ] {
            assert_eq!(stem(foreign), None, "{foreign}");
        }
    }

    // Byte order of names: block 7 comes after block 6 of the same writer and before every name of a later one.
    #[test]
    fn the_new_name_comes_where_the_first_one_came() {
        let path = path_in_place_of("ds=1/01k-0000000007-3.parquet").expect("a name of ours");
        assert!(path.as_str() > "ds=1/01k-0000000006-999.parquet");
        assert!(path.as_str() < "ds=1/01k-0000000008-0.parquet");
        assert!(path.as_str() < "ds=1/01m-0000000000-0.parquet");
        assert!(path_in_place_of("01k-0000000007-3.parquet").is_some_and(|p| p.starts_with("01k-0000000007-")));
    }
}
