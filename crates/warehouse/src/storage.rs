//! Sessions of the storage API: reads of a fixed version in splits, and writes of which the named blocks are committed.

pub(crate) mod dynamic;
mod splits;
pub(crate) mod streams;

use std::collections::{BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::rows::{Session, Table};
use feitian_types::{Column, PartitionSpec};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::Warehouse;
use crate::keys::refuse_plain_writes;
use crate::log::{DataFile, Snapshot};
use crate::query::{Condition, RowFilter};
use crate::reader::{Batches, Reading, RowRange, canonical_spec, choose_columns, read};
use crate::tunnel::{SessionInfo, SessionRequest};

/// Partitions that one read session may name: each is looked up.
const MAX_NAMED_PARTITIONS: usize = 10_000;

/// What a read session reads. Its row keeps it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanOptions {
    /// Data columns by name; all columns of both kinds when neither list has a name.
    pub columns: Vec<String>,
    pub partition_columns: Vec<String>,
    /// Partitions to read; all when there is none.
    pub partitions: Vec<String>,
    pub split: Split,
    /// A split may hold rows of several partitions.
    pub cross_partition: bool,
    /// What follows WHERE; empty for all rows.
    pub filter: String,
}

/// How the rows of a read session are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Split {
    /// Into splits of about so many bytes of files.
    Bytes(u64),
    /// Into so many splits, fewer when there are fewer rows.
    Count(u64),
    /// Not at all: readers ask for rows by number.
    Rows,
}

/// A read session with what its document shows.
#[derive(Debug, Clone)]
pub struct ScanInfo {
    pub session: Session,
    pub options: ScanOptions,
    /// The data columns that are read, and the partition columns behind them.
    pub columns: Vec<Column>,
    pub partition_columns: Vec<Column>,
    pub num_splits: u64,
    /// Bytes of the files that are read.
    pub num_bytes: u64,
}

impl Warehouse {
    /// Opens a read session: it reads the version that is newest now, for as long as it lives.
    pub async fn create_scan(
        &self,
        owner: &str,
        project: &str,
        table: &str,
        mut options: ScanOptions,
    ) -> Result<ScanInfo> {
        let open = self.catalog.open(project, table).await?;
        let snapshot = open.data()?;
        let schema = &open.row.schema;
        let everything = options.columns.is_empty() && options.partition_columns.is_empty();
        let chosen = |all: &[Column], named: &[String]| -> Result<Vec<String>> {
            let columns = choose_columns(all, (!everything).then_some(named))?;
            Ok(columns.into_iter().map(|c| c.name).collect())
        };
        options.columns = chosen(&schema.columns, &options.columns)?;
        options.partition_columns = chosen(&schema.partition_columns, &options.partition_columns)?;
        options.partitions = self.known_specs(&open.row, &options.partitions).await?;
        if !options.filter.is_empty() {
            if options.split == Split::Rows {
                return Err(Error::invalid("rows that are read by number cannot be filtered; split them by size"));
            }
            self.filter(owner, &open.row, &options.filter, clock::now_ms(), &[]).await?;
        }
        let files = files_of(snapshot, &options.partitions);
        splits::cut(&files, options.split, options.cross_partition)?;
        let rows: i64 = files.iter().map(|f| f.num_rows.max(0)).sum();
        let text = serde_json::to_string(&options).map_err(|e| Error::internal(e.to_string()))?;
        let (session_id, version) = (id::ulid(), snapshot.version);
        let opened =
            self.new_session(session_id, "storage_read", owner, &open, String::new(), false, version, rows, text);
        let session = opened.await?.session;
        self.scan_info(session, &open.row).await
    }

    /// The canonical specs of partitions that exist, each once.
    async fn known_specs(&self, table: &Table, named: &[String]) -> Result<Vec<String>> {
        if named.len() > MAX_NAMED_PARTITIONS {
            let text = format!("{} partitions are named, more than {MAX_NAMED_PARTITIONS}", named.len());
            return Err(Error::invalid(text));
        }
        let mut specs = BTreeSet::new();
        for text in named {
            let wrong = || {
                let message = format!("partition '{text}' is no list of name=value pairs");
                Error::new(Kind::Invalid, "InvalidPartitionSpec", message)
            };
            let spec = PartitionSpec::parse(text).ok_or_else(wrong)?;
            let (spec, _) = canonical_spec(&table.schema.partition_columns, Some(&spec))?;
            if spec.is_empty() {
                return Err(wrong());
            }
            self.known_partition(table, &spec).await?;
            specs.insert(spec);
        }
        Ok(specs.into_iter().collect())
    }

    /// The read session `session_id` of `table`, whoever opened it and wherever.
    pub async fn scan(&self, project: &str, table: &str, session_id: &str) -> Result<ScanInfo> {
        let session = self.session("storage_read", project, table, session_id).await?.session;
        let row = self.table_of(&session).await?;
        self.scan_info(session, &row).await
    }

    async fn scan_info(&self, session: Session, table: &Table) -> Result<ScanInfo> {
        let options: ScanOptions = serde_json::from_str(&session.options).map_err(|e| {
            Error::new(Kind::Corrupt, "InternalServerError", format!("read session {}: {e}", session.id))
        })?;
        let snapshot = self.catalog.at_version(table, session.log_version).await?;
        let files = files_of(&snapshot, &options.partitions);
        Ok(ScanInfo {
            columns: choose_columns(&table.schema.columns, Some(&options.columns))?,
            partition_columns: choose_columns(&table.schema.partition_columns, Some(&options.partition_columns))?,
            num_splits: splits::cut(&files, options.split, options.cross_partition)?.len() as u64,
            num_bytes: files.iter().map(|f| f.num_bytes.max(0).unsigned_abs()).sum(),
            session,
            options,
        })
    }

    /// The table of a session, as long as it has the columns that it had then.
    async fn table_of(&self, session: &Session) -> Result<Table> {
        let gone = || Error::new(Kind::NotFound, "NoSuchTable", "the table of this session is gone");
        let row = self.meta.table_by_id(&session.table_id).await?.ok_or_else(gone)?;
        if row.schema_version != session.schema_version {
            let text = "the columns of the table changed after this session was opened; open a new one";
            return Err(Error::new(Kind::Invalid, "SchemaModified", text));
        }
        Ok(row)
    }

    /// The rows of one split, or rows by number where the session is not split.
    pub async fn read_scan(
        &self,
        scan: &ScanInfo,
        split: u64,
        rows: Option<RowRange>,
    ) -> Result<(Vec<Column>, Batches)> {
        let (options, session) = (&scan.options, &scan.session);
        let row = self.table_of(session).await?;
        let snapshot = self.catalog.at_version(&row, session.log_version).await?;
        let files = files_of(&snapshot, &options.partitions);
        let range = match (options.split, rows) {
            (Split::Rows, Some(range)) => range,
            (Split::Rows, None) => return Err(Error::invalid("this session is read by row numbers: name some")),
            (_, Some(_)) => return Err(Error::invalid("this session is read split by split, not by row numbers")),
            (_, None) => {
                let splits = splits::cut(&files, options.split, options.cross_partition)?;
                let found = usize::try_from(split).ok().and_then(|i| splits.get(i).copied());
                let missing = || Error::invalid(format!("there is no split {split} of {}", splits.len()));
                found.ok_or_else(missing)?
            }
        };
        let shown: Vec<Column> = scan.columns.iter().chain(&scan.partition_columns).cloned().collect();
        let (read_columns, filter) =
            self.filter(&session.owner, &row, &options.filter, session.created_ms, &shown).await?;
        let is_read = |column: &Column| read_columns.iter().any(|r| r.name == column.name);
        let (columns, partition_columns) = (row.schema.columns.iter(), row.schema.partition_columns.iter());
        let reading = Reading {
            store: self.catalog.store(),
            location: row.location.clone(),
            files,
            columns: columns.filter(|c| is_read(c)).cloned().collect(),
            partition_columns: partition_columns
                .enumerate()
                .filter(|(_, c)| is_read(c))
                .map(|(at, c)| (c.clone(), at))
                .collect(),
        };
        let places: Vec<usize> =
            shown.iter().filter_map(|c| read_columns.iter().position(|r| r.name == c.name)).collect();
        let runtime = self.engine.runtime();
        Ok((shown, chosen(read(reading, range, runtime), filter, places, runtime)))
    }

    /// The filter `text` over the rows of `table`, if there is one, and the columns that it and the reader need, in the
    /// order of the table.
    async fn filter(
        &self,
        owner: &str,
        table: &Table,
        text: &str,
        now_ms: i64,
        wanted: &[Column],
    ) -> Result<(Vec<Column>, Option<RowFilter>)> {
        if text.is_empty() {
            return Ok((wanted.to_vec(), None));
        }
        let (warehouse, table, wanted) = (self.clone(), table.clone(), wanted.to_vec());
        let (owner, text) = (owner.to_string(), text.to_string());
        // A deeply nested condition needs the stack of a query thread.
        let planning = self.engine.runtime().spawn(async move {
            let condition = Condition::plan(&warehouse, &owner, &table, &text, now_ms).await?;
            let is_needed = |c: &&Column| wanted.iter().any(|w| w.name == c.name) || condition.reads(&c.name);
            let columns: Vec<Column> = table.schema.all_columns().filter(is_needed).cloned().collect();
            let filter = condition.over(&columns)?;
            Ok::<_, Error>((columns, Some(filter)))
        });
        planning.await.map_err(|e| Error::internal(format!("planning a filter: {e}")))?
    }

    /// Opens a write session. Its partition need not exist: the commit makes it. Without one, the rows of a partitioned
    /// table name theirs, which may be `partition_limit` different ones.
    pub async fn create_write(
        &self,
        owner: &str,
        request: SessionRequest,
        partition_limit: u64,
    ) -> Result<SessionInfo> {
        let table = self.catalog.open(&request.project, &request.table).await?;
        table.data()?;
        refuse_plain_writes(&table.row)?;
        let spec = match &request.partition {
            None => String::new(),
            named => canonical_spec(&table.row.schema.partition_columns, named.as_ref())?.0,
        };
        let (session_id, limit) = (id::ulid(), partition_limit.to_string());
        self.new_session(session_id, "storage_write", owner, &table, spec, request.overwrite, -1, 0, limit).await
    }
}

/// The wanted rows and columns of the batches, chosen on the query threads: see [`Warehouse::filter`].
fn chosen(mut batches: Batches, filter: Option<RowFilter>, places: Vec<usize>, runtime: &Handle) -> Batches {
    let (sender, receiver) = mpsc::channel(1);
    runtime.spawn(async move {
        while let Some(batch) = batches.next().await {
            // Rows that end where a function panics would look whole.
            let choose = |batch: RecordBatch| {
                let choose = AssertUnwindSafe(|| chosen_of(&batch, filter.as_ref(), &places));
                catch_unwind(choose).unwrap_or_else(|_| Err(Error::internal("a filter panicked")))
            };
            let batch = batch.and_then(choose);
            let is_last = batch.is_err();
            if sender.send(batch).await.is_err() || is_last {
                return;
            }
        }
    });
    ReceiverStream::new(receiver).boxed()
}

/// The wanted rows and columns of a batch.
fn chosen_of(batch: &RecordBatch, filter: Option<&RowFilter>, places: &[usize]) -> Result<RecordBatch> {
    let project =
        |batch: &RecordBatch| batch.project(places).map_err(|e| Error::internal(format!("choosing columns: {e}")));
    match filter {
        Some(filter) => project(&filter.apply(batch)?),
        None => project(batch),
    }
}

/// The files of these partitions, or all when none is named.
fn files_of(snapshot: &Snapshot, partitions: &[String]) -> Vec<Arc<DataFile>> {
    if partitions.is_empty() {
        return snapshot.files().to_vec();
    }
    let wanted: HashSet<&str> = partitions.iter().map(String::as_str).collect();
    // The files of a partition mostly follow each other.
    let runs = snapshot.files().chunk_by(|a, b| a.partition_values == b.partition_values);
    runs.filter(|run| wanted.contains(snapshot.spec_of(&run[0]).as_str())).flatten().cloned().collect()
}
