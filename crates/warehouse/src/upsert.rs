//! Upsert sessions: rows that come in buckets replace the rows of their keys or take them away, all of a session at once.
//!
//! 1. The rows of a request go into a file that nothing refers to, with the column that says what happens to the row of
//!    their key. Then a block row names it, behind those of the requests before it.
//! 2. The session begins to close: it takes no more rows.
//! 3. Of the rows with one key the last one counts. Those that stay become files of the table, and the table's files with
//!    rows that give way are written again without these (`keys`).
//! 4. One commit exchanges the files and closes the session. When the table has changed since step 3, that is done again
//!    on its newest version.
//!
//! A request that comes twice at once is two blocks with the same rows, which is as good as one. One that comes again after
//! the next request with rows of its keys would count as the later one; a client waits for an answer before it sends more.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, BooleanBufferBuilder};
use arrow::datatypes::Int8Type;
use arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use feitian_base::{Error, Kind, Result, clock, failpoint, id};
use feitian_meta::rows::{Block, Step};
use feitian_types::arrow::engine_schema;
use feitian_types::{Column, DataType};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::Warehouse;
use crate::catalog::OpenTable;
use crate::commit::{Change, Replace, RowsBy};
use crate::dml::marks::{Marks, Rewritten, kept};
use crate::keys::{DELETE, Keys, New, OPERATION, Rows, UPSERT as PUT, key_of, num_buckets};
use crate::tunnel::{BatchSource, SessionInfo, SessionRequest, Which, open_for_writing, partition_values};
use crate::writer::{NewFile, write_partitioned};

/// The kind of these sessions.
pub(crate) const UPSERT: &str = "upsert";

/// The columns that clients send behind those of the table (PyODPS, `odps/tunnel/tabletunnel.py`).
const HIDDEN: [&str; 5] = ["__version", "__app_version", OPERATION, "__key_cols", "__value_cols"];

/// So often a commit gives way to others that change the table.
const ATTEMPTS: usize = 20;

/// What a session's row keeps; clients are told it.
#[derive(Serialize, Deserialize)]
struct Options {
    hash_key: Vec<String>,
    buckets: i64,
}

impl Options {
    fn of(info: &SessionInfo) -> Result<Self> {
        let broken = |e: serde_json::Error| {
            let text = format!("session {}: {e}", info.session.id);
            Error::new(Kind::Corrupt, "InternalServerError", text)
        };
        serde_json::from_str(&info.session.options).map_err(broken)
    }
}

impl Warehouse {
    /// Opens an upsert session; its options are `hash_key` and `buckets`, as JSON.
    ///
    /// # Errors
    /// `InvalidArgument` for a table whose rows do not replace each other.
    pub async fn create_upsert(&self, owner: &str, request: SessionRequest) -> Result<SessionInfo> {
        let table = self.catalog.open(&request.project, &request.table).await?;
        table.data()?;
        let key = key_of(&table.row);
        let name = format!("{}.{}", table.row.project, table.row.local_name());
        if key.is_empty() {
            let text = format!("table {name} is no transactional table with a primary key; use an upload session");
            return Err(Error::invalid(text));
        }
        if let Some(taken) = table.row.schema.columns.iter().find(|c| HIDDEN.contains(&c.name.as_str())) {
            let text = format!("table {name} has a column {}, which upserted rows have for themselves", taken.name);
            return Err(Error::invalid(text));
        }
        let spec = self.writable_partition(&table, &request).await?;
        let hash_key = key.into_iter().map(|c| c.name).collect();
        let options = Options { hash_key, buckets: i64::from(num_buckets(&table.row)) };
        let options = serde_json::to_string(&options).map_err(|e| Error::internal(e.to_string()))?;
        self.new_session(id::ulid(), UPSERT, owner, &table, spec, false, -1, 0, options).await
    }

    /// Takes the rows of one request, which has so many; durable when this returns. They come with the columns of the table
    /// and five more, as clients send them.
    pub async fn write_upsert(
        &self,
        info: &SessionInfo,
        bucket: u64,
        num_rows: u64,
        batches: BatchSource,
    ) -> Result<()> {
        open_for_writing(info)?;
        let options = Options::of(info)?;
        let bucket = i64::try_from(bucket).unwrap_or(i64::MAX);
        if bucket >= options.buckets {
            return Err(Error::invalid(format!("bucket {bucket} is not between 0 and {}", options.buckets - 1)));
        }
        // A row that only says which one goes has no other values than its key.
        let columns = info.columns.iter().map(|c| Column { nullable: true, ..c.clone() });
        let columns = columns.chain([Column::new(OPERATION, DataType::TinyInt)]).collect();
        let held = SessionInfo { columns, ..info.clone() };
        let (columns, key) = (info.columns.clone(), options.hash_key);
        let rows = Incoming { batches, columns, key, wanted: num_rows, rows: 0 };
        // A name of its own: a bucket has many files.
        let Some(file) = self.write_rows(&held, &id::ulid(), bucket, Box::new(rows)).await? else { return Ok(()) };
        let block = Block {
            session_id: info.session.id.clone(),
            block_id: 0,
            path: file.path,
            num_rows: file.num_rows,
            num_bytes: file.num_bytes,
            stats: file.stats.unwrap_or_default(),
        };
        failpoint::hit("block.before_row");
        self.meta.add_block(&block).await?;
        failpoint::hit("block.after_row");
        Ok(())
    }

    /// Ends a session without its rows, of this kind or one of streams; a repeated call answers the same.
    pub async fn abort_upsert(&self, info: &SessionInfo) -> Result<()> {
        let session_id = &info.session.id;
        if self.meta.set_session_status(session_id, "normal", "aborted").await? {
            return Ok(());
        }
        match self.meta.session(session_id).await?.map(|s| s.status).as_deref() {
            Some("aborted") => Ok(()),
            status => {
                let text = format!("session '{session_id}' is {}: it cannot be aborted", status.unwrap_or("gone"));
                Err(Error::new(Kind::Conflict, "StatusConflict", text))
            }
        }
    }

    /// Steps 3 and 4.
    pub(crate) async fn commit_upserts(&self, info: &SessionInfo) -> Result<()> {
        let (warehouse, info) = (self.clone(), info.clone());
        // Reading and encoding is work; it does not hold up those who answer requests.
        let work = self.engine.runtime().spawn(async move { warehouse.apply(&info).await });
        work.await.map_err(|e| Error::internal(format!("applying upserts: {e}")))?
    }

    async fn apply(&self, info: &SessionInfo) -> Result<()> {
        let entry = self.catalog.entry(&info.session.table_id);
        // Those of one process take turns, so that none undoes what another one has read and written.
        let _turn = entry.upserts.lock().await;
        let _place = self.catalog.upserting().acquire().await.map_err(|e| Error::internal(e.to_string()))?;
        let mut attempt = 1;
        loop {
            // The same commit may have come twice, and the other one had its turn. If it has failed, the session takes rows
            // again, and its client has been told.
            match self.meta.session(&info.session.id).await?.map(|s| s.status).as_deref() {
                Some("closing") => {}
                Some("closed") => return Ok(()),
                status => {
                    let (id, status) = (&info.session.id, status.unwrap_or("gone"));
                    let text = format!("session '{id}' is {status} since another commit of it has ended");
                    return Err(Error::new(Kind::Conflict, "StatusConflict", text));
                }
            }
            match self.apply_once(info).await {
                Err(e) if e.code() == "ODPS-0110061" && attempt < ATTEMPTS => {
                    tracing::info!(attempt, error = %e, "the table changed meanwhile; the upserts are applied again");
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn apply_once(&self, info: &SessionInfo) -> Result<()> {
        let session = &info.session;
        // Here and not before: while this commit waited for its turn, another one may have failed, and rows have come.
        let blocks = self.blocks_of(info, Which::All).await?;
        let table = self.catalog.open_id(&session.table_id).await?;
        let pool = self.engine.session(&HashMap::new())?.runtime_env().memory_pool.clone();
        let keys = Keys::of(self, &table, &pool)?;
        let keys = keys.ok_or_else(|| Error::internal(format!("table {} has lost its key", session.table_id)))?;
        let mut new = New::all(&files_of(info, &blocks));
        let mut marks = Marks::new(table.data()?.clone(), format!("{}.{}", session.project, table.row.local_name()));
        keys.settle(&mut new, Rows::Upserted, Some(&mut marks)).await?;
        let mut files = self.write_new(info, &table, new).await?;
        failpoint::hit("keys.before_rewrite");
        let Rewritten { paths, partitions, files: rewritten } = marks.rewrite(self, &table, 0).await?;
        files.extend(rewritten);
        if files.is_empty() && paths.is_empty() {
            return self.close_unchanged(&session.id).await;
        }
        failpoint::hit("upsert.before_commit");
        let read_version = table.data()?.version;
        let mut row = table.row.clone();
        row.schema_version = session.schema_version;
        let mut change = Change {
            read_version,
            replace: Replace::Rows { by: RowsBy::Merge, paths, partitions },
            must_be_unchanged: true,
            ..Change::append(row, files)
        };
        if !session.partition.is_empty() {
            change.create_partitions = vec![partition_values(session)];
        }
        let step = Step::Session { id: session.id.clone() };
        self.catalog.commit(vec![change], &session.id, 0, 0, &step).await
    }

    /// The rows of `new` that stay, as files of the table that nothing refers to.
    async fn write_new(&self, info: &SessionInfo, table: &OpenTable, new: Vec<New>) -> Result<Vec<NewFile>> {
        let (mut keep, mut sources) = (BooleanBufferBuilder::new(0), Vec::with_capacity(new.len()));
        for New { file, gone } in new {
            match gone {
                Some(gone) => keep.append_buffer(&gone.others()),
                None => keep.append_n(usize::try_from(file.num_rows).unwrap_or(0), true),
            }
            sources.push(file);
        }
        let keep = keep.build();
        let wanted = keep.count_set_bits() as i64;
        let schema = &table.row.schema;
        let rows = kept(self, table, sources, keep);
        let rows = rows.map(|batch| batch.map_err(|e| DataFusionError::External(Box::new(e))));
        let columns = engine_schema(&schema.columns);
        let rows: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(columns, rows));
        let names = schema.partition_columns.iter().map(|c| c.name.clone());
        let fixed: Vec<_> = names.zip(partition_values(&info.session)).collect();
        let files = write_partitioned(&self.catalog, &table.dir(), schema, &fixed, rows, &id::ulid(), 0).await?;
        let written: i64 = files.iter().map(|f| f.num_rows).sum();
        if written != wanted {
            let text = format!("{written} upserted rows of session {} stay, {wanted} were to", info.session.id);
            return Err(Error::new(Kind::Corrupt, "InternalServerError", text));
        }
        Ok(files)
    }
}

/// The files of blocks, in their order.
fn files_of(info: &SessionInfo, blocks: &[Block]) -> Vec<NewFile> {
    let values: Vec<Option<String>> = partition_values(&info.session).into_iter().map(Some).collect();
    let file = |b: &Block| NewFile {
        path: b.path.clone(),
        partition_values: values.clone(),
        num_bytes: b.num_bytes,
        num_rows: b.num_rows,
        modified_ms: clock::now_ms(),
        stats: Some(b.stats.clone()),
    };
    blocks.iter().map(file).collect()
}

/// The rows of a request as they are kept: the columns of the table, then what happens to the row of the key.
struct Incoming {
    batches: BatchSource,
    columns: Vec<Column>,
    key: Vec<String>,
    /// So many rows the request announces.
    wanted: u64,
    rows: u64,
}

impl Iterator for Incoming {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(batch) = self.batches.next() {
            return Some(batch.and_then(|batch| self.checked(&batch)));
        }
        let (found, wanted) = (self.rows, std::mem::replace(&mut self.wanted, self.rows));
        (found != wanted).then(|| Err(Error::invalid(format!("record_count is {wanted}, the body has {found} rows"))))
    }
}

impl Incoming {
    fn checked(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let width = self.columns.len();
        if batch.num_columns() != width + HIDDEN.len() {
            return Err(Error::internal("upserted rows with other columns than those of the table and their own"));
        }
        let operations = batch.column(width + 2).as_primitive::<Int8Type>();
        let lists = [3, 4].map(|i| (HIDDEN[i], batch.column(width + i).as_list::<i32>()));
        for i in 0..batch.num_rows() {
            let row = self.rows + i as u64;
            let operation = if operations.is_valid(i) { operations.value(i) } else { 0 };
            if operation != PUT && operation != DELETE {
                let text =
                    format!("row {row}: {OPERATION} is {operation}, {PUT} (upsert) or {DELETE} (delete) was to be");
                return Err(Error::invalid(text));
            }
            let version = [0, 1].into_iter().find(|v| batch.column(width + v).is_valid(i)).map(|v| HIDDEN[v]);
            let list =
                lists.iter().find(|(_, list)| list.is_valid(i) && list.value_length(i) > 0).map(|(name, _)| *name);
            if let Some(name) = version.or(list) {
                let text =
                    format!("row {row}: {name} has a value, which is not supported; upsert whole rows without it");
                return Err(Error::new(Kind::Unsupported, "MethodNotAllowed", text));
            }
            let must_be = |c: &Column| !c.nullable && (operation == PUT || self.key.contains(&c.name));
            let mut columns = self.columns.iter().zip(batch.columns());
            if let Some((column, _)) = columns.find(|(c, array)| array.is_null(i) && must_be(c)) {
                let text = format!("row {row}: column '{}' is NOT NULL but the value is NULL", column.name);
                return Err(Error::new(Kind::Invalid, "ODPS-0121055", text));
            }
        }
        self.rows += batch.num_rows() as u64;
        let kept: Vec<usize> = (0..width).chain([width + 2]).collect();
        batch.project(&kept).map_err(|e| Error::internal(e.to_string()))
    }
}
