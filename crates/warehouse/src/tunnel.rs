//! Tunnel sessions: uploads in blocks that become visible at once, downloads of a fixed version, streams.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use feitian_base::{Error, Kind, Result, clock, failpoint, id};
use feitian_meta::rows::{Block, Partition, Session, Step, Table};
use feitian_types::{Column, PartitionSpec};
use futures::StreamExt;
use tokio::runtime::Handle;

use crate::Warehouse;
use crate::catalog::OpenTable;
use crate::commit::{Change, Replace};
use crate::keys::refuse_plain_writes;
use crate::log::DataFile;
use crate::reader::{Batches, Reading, RowRange, canonical_spec, choose_columns, files_of, read};
use crate::storage::dynamic::{files_of_blocks, is_dynamic};
use crate::storage::streams::{STREAMED, StreamName, chosen};
use crate::upsert::UPSERT;
use crate::writer::{FileWriter, NewFile, TableDir, file_name, partition_dir};

/// Batches of one upload; drawn on a blocking thread. An `Err` makes the whole block void.
pub type BatchSource = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// A session may be used this long.
const SESSION_MS: i64 = 24 * 3600 * 1000;
/// The greatest block id: file names hold ten digits.
const MAX_BLOCK_ID: i64 = 9_999_999_999;
/// Blocks smaller than this are joined at commit, into files of up to [`JOINED_BYTES`].
const SMALL_BLOCK_BYTES: i64 = 4 << 20;
const JOINED_BYTES: i64 = 64 << 20;

/// What a tunnel session is about.
#[derive(Debug, Clone)]
pub struct SessionRequest {
    pub project: String,
    pub table: String,
    pub partition: Option<PartitionSpec>,
    pub overwrite: bool,
    pub create_partition: bool,
    /// Streams: refused with `NoSuchSchema` unless it is the table's.
    pub schema_version: Option<i64>,
}

/// A session with what its document shows.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    pub session: Session,
    pub columns: Vec<Column>,
    pub partition_columns: Vec<Column>,
    pub blocks: Vec<Block>,
}

/// Which blocks of a session a commit is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which<'a> {
    All,
    Blocks(&'a BTreeSet<i64>),
    /// Those of these streams, or of every stream when none is named.
    Streams(&'a [StreamName]),
}

impl Warehouse {
    /// Opens an upload session. See the trait of the network edge for what each of these promises.
    pub async fn create_upload(&self, owner: &str, request: SessionRequest) -> Result<SessionInfo> {
        self.new_upload(id::ulid(), owner, &request).await
    }

    /// The upload session of this id, opened now or before by the same request.
    pub async fn open_upload(&self, owner: &str, session_id: &str, request: SessionRequest) -> Result<SessionInfo> {
        const TAKEN: &str = "ObjectAlreadyExists";
        if self.meta.session(session_id).await?.is_none() {
            match self.new_upload(session_id.to_string(), owner, &request).await {
                // The same request has come twice at once.
                Err(e) if e.code() == TAKEN => {}
                opened => return opened,
            }
        }
        let info = self.session("upload", &request.project, &request.table, session_id).await?;
        let (spec, _) = canonical_spec(&info.partition_columns, request.partition.as_ref())?;
        let session = &info.session;
        if session.owner != owner || session.partition != spec || session.overwrite != request.overwrite {
            let text = format!("session '{session_id}' was opened for something else; open one with another id");
            return Err(Error::new(Kind::Conflict, TAKEN, text));
        }
        Ok(info)
    }

    async fn new_upload(&self, session_id: String, owner: &str, request: &SessionRequest) -> Result<SessionInfo> {
        let table = self.catalog.open(&request.project, &request.table).await?;
        table.data()?;
        refuse_plain_writes(&table.row)?;
        let spec = self.writable_partition(&table, request).await?;
        self.new_session(session_id, "upload", owner, &table, spec, request.overwrite, -1, 0, String::new()).await
    }

    /// Opens a download session: it reads the version that is newest now, for as long as it lives.
    pub async fn create_download(&self, owner: &str, request: SessionRequest) -> Result<SessionInfo> {
        let table = self.catalog.open(&request.project, &request.table).await?;
        let snapshot = table.data()?.clone();
        let (spec, _) = canonical_spec(&table.row.schema.partition_columns, request.partition.as_ref())?;
        if !spec.is_empty() {
            self.known_partition(&table.row, &spec).await?;
        }
        let rows: i64 = files_of(&snapshot, &spec).iter().map(|f| f.num_rows.max(0)).sum();
        let (id, version, none) = (id::ulid(), snapshot.version, String::new());
        self.new_session(id, "download", owner, &table, spec, false, version, rows, none).await
    }

    /// Opens a stream session.
    pub async fn create_stream(&self, owner: &str, request: SessionRequest) -> Result<SessionInfo> {
        let table = self.catalog.open(&request.project, &request.table).await?;
        table.data()?;
        refuse_plain_writes(&table.row)?;
        if let Some(wanted) = request.schema_version.filter(|v| *v != table.row.schema_version) {
            let text =
                format!("table {} has schema version {}, not {wanted}", table.row.name, table.row.schema_version);
            return Err(Error::new(Kind::NotFound, "NoSuchSchema", text));
        }
        let spec = self.writable_partition(&table, &request).await?;
        self.new_session(id::ulid(), "stream", owner, &table, spec, false, -1, 0, String::new()).await
    }

    pub(crate) async fn writable_partition(&self, table: &OpenTable, request: &SessionRequest) -> Result<String> {
        let columns = &table.row.schema.partition_columns;
        let (spec, values) = canonical_spec(columns, request.partition.as_ref())?;
        if spec.is_empty() {
            return Ok(spec);
        }
        if request.create_partition {
            let now = clock::tick_ms();
            let row = Partition {
                table_id: table.row.id.clone(),
                spec: spec.clone(),
                values,
                created_ms: now,
                ddl_ms: now,
                modified_ms: now,
                num_rows: 0,
                num_bytes: 0,
                num_files: 0,
            };
            self.meta.add_partitions(&table.row.id, &[row], true, &Step::None).await?;
        } else {
            self.known_partition(&table.row, &spec).await?;
        }
        Ok(spec)
    }

    /// The partition row of `spec`, or `NoSuchPartition`.
    pub(crate) async fn known_partition(&self, table: &Table, spec: &str) -> Result<Partition> {
        let missing = || {
            let name = format!("{}.{}", table.project, table.local_name());
            let text = format!(
                "partition '{spec}' of table {name} does not exist; SHOW PARTITIONS {name} lists those that exist"
            );
            Error::new(Kind::NotFound, "NoSuchPartition", text)
        };
        self.meta.partition(&table.id, spec).await?.ok_or_else(missing)
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn new_session(
        &self,
        session_id: String,
        kind: &str,
        owner: &str,
        table: &OpenTable,
        partition: String,
        overwrite: bool,
        log_version: i64,
        record_count: i64,
        options: String,
    ) -> Result<SessionInfo> {
        let now = clock::now_ms();
        let session = Session {
            id: session_id,
            kind: kind.to_string(),
            project: table.row.project.clone(),
            table_id: table.row.id.clone(),
            schema_version: table.row.schema_version,
            log_version,
            partition,
            overwrite,
            status: "normal".to_string(),
            owner: owner.to_string(),
            record_count,
            created_ms: now,
            expires_ms: now + SESSION_MS,
            options,
        };
        failpoint::hit("session.before_row");
        self.meta.create_session(&session).await?;
        failpoint::hit("session.after_row");
        Ok(info(session, &table.row, Vec::new()))
    }

    /// The session `session_id` of `table`, whoever opened it and wherever.
    ///
    /// # Errors
    /// `NoSuchUpload`, `NoSuchDownload`, `StreamSessionNotFound` or `UpsertSessionNotFound`; `TableModified` when the name
    /// now means another table; `SchemaModified` when its columns changed.
    pub async fn session(&self, kind: &str, project: &str, table: &str, session_id: &str) -> Result<SessionInfo> {
        let code = match kind {
            "upload" | "storage_write" | STREAMED => "NoSuchUpload",
            "download" | "storage_read" => "NoSuchDownload",
            "upsert" => "UpsertSessionNotFound",
            _ => "StreamSessionNotFound",
        };
        let missing = || Error::new(Kind::NotFound, code, format!("{kind} session '{session_id}' does not exist"));
        let session = self.meta.session(session_id).await?.ok_or_else(missing)?;
        if session.kind != kind || session.project != project || session.expires_ms < clock::now_ms() {
            return Err(missing());
        }
        let row = self.meta.table_by_id(&session.table_id).await?.ok_or_else(missing)?;
        if row.local_name() != table {
            let now = self.meta.table_named(project, table).await?;
            let text = match now {
                Some(_) => format!("'{table}' is another table than the one this session was opened for"),
                None => format!("table {project}.{table} does not exist"),
            };
            return Err(Error::new(Kind::Invalid, "TableModified", text));
        }
        if row.schema_version != session.schema_version && session.status != "closed" {
            let text =
                format!("the columns of {project}.{table} changed after this session was opened; open a new one");
            return Err(Error::new(Kind::Invalid, "SchemaModified", text));
        }
        let blocks = if kind == "upload" { self.meta.blocks(session_id).await? } else { Vec::new() };
        Ok(info(session, &row, blocks))
    }

    /// Writes one block; durable when this returns.
    pub async fn write_block(&self, info: &SessionInfo, block_id: i64, batches: BatchSource) -> Result<()> {
        open_for_writing(info)?;
        if !(0..=MAX_BLOCK_ID).contains(&block_id) {
            return Err(Error::invalid(format!("block id {block_id} is not between 0 and {MAX_BLOCK_ID}")));
        }
        let (session_id, path, stats) = (info.session.id.clone(), String::new(), String::new());
        let mut block = Block { session_id, block_id, path, num_rows: 0, num_bytes: 0, stats };
        if is_dynamic(info) {
            self.write_dynamic(info, &mut block, batches).await?;
        } else if let Some(f) = self.write_rows(info, &info.session.id, block_id, batches).await? {
            (block.num_rows, block.num_bytes) = (f.num_rows, f.num_bytes);
            (block.path, block.stats) = (f.path, f.stats.unwrap_or_default());
        }
        failpoint::hit("block.before_row");
        self.meta.put_block(&block).await?;
        failpoint::hit("block.after_row");
        Ok(())
    }

    /// Writes the rows as one file below the session's partition; `None` when there are no rows.
    pub(crate) async fn write_rows(
        &self,
        info: &SessionInfo,
        prefix: &str,
        block_id: i64,
        batches: BatchSource,
    ) -> Result<Option<NewFile>> {
        let row = self.meta.table_by_id(&info.session.table_id).await?;
        let row = row.filter(|r| r.dropped_ms.is_none());
        let gone = || Error::new(Kind::NotFound, "NoSuchTable", "the table of this session was dropped");
        let dir = TableDir::of(&row.ok_or_else(gone)?);
        let (values, path) = place(info, prefix, block_id);
        let (store, columns) = (self.catalog.store(), Arc::new(info.columns.clone()));
        let runtime = Handle::current();
        failpoint::hit("block.before_file");
        let work = move || -> Result<Option<NewFile>> {
            let mut writer: Option<FileWriter> = None;
            for batch in batches {
                let written = match batch {
                    Ok(batch) if batch.num_rows() == 0 => Ok(()),
                    Ok(batch) => {
                        if writer.is_none() {
                            let new = FileWriter::new(store.clone(), &dir, path.clone(), columns.clone())?;
                            writer = Some(new);
                        }
                        match &mut writer {
                            Some(w) => runtime.block_on(w.write(&batch)),
                            None => Ok(()),
                        }
                    }
                    Err(e) => Err(e),
                };
                if let Err(e) = written {
                    if let Some(w) = writer {
                        runtime.block_on(w.abort());
                    }
                    return Err(e);
                }
            }
            writer.map(|w| runtime.block_on(w.finish(values))).transpose()
        };
        let joined = tokio::task::spawn_blocking(work).await;
        joined.map_err(|e| Error::internal(format!("writing a block: {e}")))?
    }

    /// Makes the session's blocks visible, once; a repeated call answers the same.
    pub async fn commit_upload(&self, info: &SessionInfo) -> Result<SessionInfo> {
        self.commit_session(info, Which::All).await
    }

    /// Makes these blocks of a write session visible, and no others, once; a repeated call answers the same.
    pub async fn commit_write(&self, info: &SessionInfo, blocks: &BTreeSet<i64>) -> Result<SessionInfo> {
        if info.session.status != "closed" {
            // Before the session takes no more rows: a wrong request must not open it again under a right one.
            let named = self.blocks_of(info, Which::Blocks(blocks)).await?;
            if is_dynamic(info) {
                files_of_blocks(info, &named)?;
            }
        }
        self.commit_session(info, Which::Blocks(blocks)).await
    }

    /// The blocks of a session that have rows, of those that `which` names, which must be there.
    pub(crate) async fn blocks_of(&self, info: &SessionInfo, which: Which<'_>) -> Result<Vec<Block>> {
        let mut blocks = self.meta.blocks(&info.session.id).await?;
        match which {
            Which::All => {}
            Which::Blocks(only) => {
                blocks.retain(|b| only.contains(&b.block_id));
                if blocks.len() < only.len() {
                    let text = "a block is to be committed that this session does not have; write it first";
                    return Err(Error::invalid(text));
                }
            }
            Which::Streams(names) => blocks = chosen(blocks, names)?,
        }
        blocks.retain(|b| b.num_rows > 0);
        Ok(blocks)
    }

    pub(crate) async fn commit_session(&self, info: &SessionInfo, which: Which<'_>) -> Result<SessionInfo> {
        let session_id = &info.session.id;
        let status = info.session.status.as_str();
        if status == "closed" {
            return Ok(info.clone());
        }
        if status != "normal" || !self.meta.set_session_status(session_id, "normal", "closing").await? {
            // Another request has begun to commit it, or has ended it, or its time is over.
            match self.meta.session(session_id).await?.map(|s| s.status).as_deref() {
                Some("closing") => tracing::info!(session = %session_id, "a commit of a session that is closing"),
                Some("closed") => return self.closed(info).await,
                status => {
                    let status = status.unwrap_or("gone");
                    let text = format!("session '{session_id}' is {status}: it cannot be committed; open a new one");
                    return Err(Error::new(Kind::Conflict, "StatusConflict", text));
                }
            }
        }
        failpoint::hit("upload.closing");
        let table = self.catalog.open_id(&info.session.table_id).await;
        let done = match table {
            Ok(table) => self.commit_blocks(info, which, table).await,
            Err(e) => Err(e),
        };
        if let Err(e) = done
            && !self.is_closed(session_id).await?
        {
            // Nothing was changed: the client may end the session, or try it again.
            if matches!(e.kind(), Kind::Invalid | Kind::NotFound | Kind::Conflict | Kind::Unsupported) {
                self.meta.set_session_status(session_id, "closing", "normal").await?;
            }
            return Err(e);
        }
        self.closed(info).await
    }

    /// The answer to every commit that succeeds.
    async fn closed(&self, info: &SessionInfo) -> Result<SessionInfo> {
        let mut answer = info.clone();
        answer.session.status = "closed".to_string();
        answer.blocks = self.meta.blocks(&info.session.id).await?;
        Ok(answer)
    }

    /// Closes a session whose commit changes nothing. One that has just expired has lost its blocks, and may have had rows.
    pub(crate) async fn close_unchanged(&self, session_id: &str) -> Result<()> {
        if self.meta.set_session_status(session_id, "closing", "closed").await? || self.is_closed(session_id).await? {
            return Ok(());
        }
        let text = format!("session '{session_id}' is not being committed any more; open a new one");
        Err(Error::new(Kind::Conflict, "StatusConflict", text))
    }

    /// Whether another request has ended the session meanwhile: then its answer is that of every other one.
    async fn is_closed(&self, session_id: &str) -> Result<bool> {
        Ok(self.meta.session(session_id).await?.is_some_and(|s| s.status == "closed"))
    }

    async fn commit_blocks(&self, info: &SessionInfo, which: Which<'_>, table: OpenTable) -> Result<()> {
        let session = &info.session;
        let step = Step::Session { id: session.id.clone() };
        let blocks = self.blocks_of(info, which).await?;
        let is_dynamic = is_dynamic(info);
        // Rows that name their partitions overwrite those, and none without any.
        if blocks.is_empty() && (!session.overwrite || is_dynamic) {
            return self.close_unchanged(&session.id).await;
        }
        if session.kind == UPSERT {
            return self.commit_upserts(info).await;
        }
        let (files, specs) = if is_dynamic {
            files_of_blocks(info, &blocks)?
        } else if session.kind == STREAMED {
            (files_of_blocks(info, &blocks)?.0, vec![session.partition.clone()])
        } else {
            (self.join_small(info, &table, blocks).await?, vec![session.partition.clone()])
        };
        failpoint::hit("upload.joined");
        let mut row = table.row;
        row.schema_version = session.schema_version;
        let mut change = Change::append(row, files);
        if session.overwrite {
            let is_whole = info.partition_columns.is_empty();
            change.replace = if is_whole { Replace::Table } else { Replace::Partitions(specs) };
        }
        if !session.partition.is_empty() {
            change.create_partitions = vec![partition_values(session)];
        }
        self.catalog.commit(vec![change], &session.id, 0, 0, &step).await
    }

    /// Joins runs of small blocks, in block order, so that many little uploads do not become many little files.
    async fn join_small(&self, info: &SessionInfo, table: &OpenTable, blocks: Vec<Block>) -> Result<Vec<NewFile>> {
        let mut files = Vec::new();
        let mut run: Vec<Block> = Vec::new();
        for block in blocks {
            let run_bytes: i64 = run.iter().map(|b| b.num_bytes).sum();
            let small = block.num_bytes < SMALL_BLOCK_BYTES;
            if !run.is_empty() && (!small || run_bytes + block.num_bytes > JOINED_BYTES) {
                files.push(self.join_run(info, table, std::mem::take(&mut run)).await?);
            }
            run.push(block);
            if !small {
                files.push(self.join_run(info, table, std::mem::take(&mut run)).await?);
            }
        }
        if !run.is_empty() {
            files.push(self.join_run(info, table, run).await?);
        }
        Ok(files)
    }

    async fn join_run(&self, info: &SessionInfo, table: &OpenTable, run: Vec<Block>) -> Result<NewFile> {
        let values: Vec<Option<String>> = partition_values(&info.session).into_iter().map(Some).collect();
        let as_file = |b: &Block| NewFile {
            path: b.path.clone(),
            partition_values: values.clone(),
            num_bytes: b.num_bytes,
            num_rows: b.num_rows,
            modified_ms: clock::now_ms(),
            stats: Some(b.stats.clone()),
        };
        let [first, _, ..] = run.as_slice() else {
            return run.first().map(as_file).ok_or_else(|| Error::internal("an empty run of blocks"));
        };
        let (_, path) = place(info, &info.session.id, first.block_id);
        let location = &table.row.location;
        let columns = Arc::new(info.columns.clone());
        let mut writer = FileWriter::new(self.catalog.store(), &table.dir(), path, columns)?;
        let reading = Reading {
            store: self.catalog.store(),
            location: location.clone(),
            files: run.iter().map(|b| Arc::new(as_file(b))).collect::<Vec<Arc<DataFile>>>(),
            columns: info.columns.clone(),
            partition_columns: Vec::new(),
        };
        let mut batches = read(reading, RowRange { start: 0, count: u64::MAX }, self.engine.runtime());
        while let Some(batch) = batches.next().await {
            writer.write(&batch?).await?;
        }
        writer.finish(values).await
    }

    /// Rows of a download session; batches come in table column order.
    pub async fn read_download(
        &self,
        info: &SessionInfo,
        range: RowRange,
        columns: Option<Vec<String>>,
    ) -> Result<(Vec<Column>, Batches)> {
        let row = self.meta.table_by_id(&info.session.table_id).await?;
        let gone = || Error::new(Kind::NotFound, "NoSuchTable", "the table of this session is gone");
        let row = row.ok_or_else(gone)?;
        let snapshot = self.catalog.at_version(&row, info.session.log_version).await?;
        let chosen = choose_columns(&info.columns, columns.as_deref())?;
        let reading = Reading {
            store: self.catalog.store(),
            location: row.location,
            files: files_of(&snapshot, &info.session.partition),
            columns: chosen.clone(),
            partition_columns: Vec::new(),
        };
        Ok((chosen, read(reading, range, self.engine.runtime())))
    }

    /// Appends rows that are durable and visible when this returns. The protocol gives a stream write no identity, so one
    /// that is sent twice is written twice.
    pub async fn write_stream(&self, info: &SessionInfo, batches: BatchSource) -> Result<()> {
        open_for_writing(info)?;
        let owner = id::ulid();
        let Some(file) = self.write_rows(info, &owner, 0, batches).await? else { return Ok(()) };
        let mut row = self.catalog.open_id(&info.session.table_id).await?.row;
        row.schema_version = info.session.schema_version;
        let mut change = Change::append(row, vec![file]);
        if !info.session.partition.is_empty() {
            change.create_partitions = vec![partition_values(&info.session)];
        }
        self.catalog.commit(vec![change], &owner, 0, 0, &Step::None).await
    }

    /// Ends a stream session; what was written stays.
    pub async fn close_stream(&self, info: &SessionInfo) -> Result<()> {
        self.meta.set_session_status(&info.session.id, "normal", "closed").await.map(|_| ())
    }
}

fn info(session: Session, row: &Table, blocks: Vec<Block>) -> SessionInfo {
    let schema = row.schema.clone();
    SessionInfo { session, columns: schema.columns, partition_columns: schema.partition_columns, blocks }
}

pub(crate) fn open_for_writing(info: &SessionInfo) -> Result<()> {
    if info.session.status == "normal" {
        return Ok(());
    }
    let text = format!("session '{}' is {}: it takes no more rows", info.session.id, info.session.status);
    Err(Error::new(Kind::Conflict, "StatusConflict", text))
}

pub(crate) fn partition_values(session: &Session) -> Vec<String> {
    let pairs = session.partition.split('/').filter_map(|p| p.split_once('='));
    pairs.map(|(_, v)| v.to_string()).collect()
}

/// Partition values and path of a new file of this session.
fn place(info: &SessionInfo, prefix: &str, block_id: i64) -> (Vec<Option<String>>, String) {
    let values: Vec<Option<String>> = partition_values(&info.session).into_iter().map(Some).collect();
    let attempt = i64::from(u32::from_le_bytes(id::random_bytes()));
    let path = partition_dir(&info.partition_columns, &values) + &file_name(prefix, block_id, attempt);
    (values, path)
}
