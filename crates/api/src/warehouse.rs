//! The one trait through which the network edge sees the warehouse, and the values that cross it.
//!
//! The binary implements it over the real warehouse; tests implement it in memory.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use feitian_base::Result;
use feitian_meta::rows::{Block, Instance, ObjectName, Partition, Resource, Session, Table};
use feitian_meta::{PartitionSums, VolumeEntry};
use feitian_types::{Column, PartitionSpec};
use futures::stream::BoxStream;
use serde_json::Value;

/// Batches in engine form, in row order.
pub type Batches = BoxStream<'static, Result<RecordBatch>>;

/// Batches of one upload in engine form. It is drawn on a blocking thread, so `next` may read from the network.
/// An `Err` item makes the whole block void.
pub type BatchSource = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Who asks: an authenticated account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub account_id: String,
    /// `Account::name`, for example `ALIYUN$demo`.
    pub name: String,
    pub admin: bool,
}

/// A job to submit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewJob {
    /// The client's own id of this submission; empty when none.
    pub guid: String,
    pub priority: i64,
    /// The `<Job>` element as submitted.
    pub source: String,
    pub task_name: String,
    /// `SQL`, `SQLCost`, `SQLRT` or `Merge`.
    pub task_type: String,
    pub query: String,
    pub settings: Vec<(String, String)>,
}

/// One stage of a running or finished job. All counts are totals so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stage {
    /// Contains `_job_`, for example `M1_job_0`.
    pub id: String,
    pub workers_total: u64,
    pub workers_running: u64,
    pub workers_done: u64,
    pub rows_in: u64,
    pub rows_out: u64,
    /// 0 to 100; below 100 until the stage has ended.
    pub percent: u64,
}

impl Stage {
    /// The stages of a [`Warehouse::profile`]; none when it has none.
    pub fn of_profile(profile: &Value) -> Vec<Self> {
        let one = |stage: &Value| {
            let number = |key: &str| stage.get(key).and_then(Value::as_u64).unwrap_or(0);
            let text = |key: &str| stage.get(key).and_then(Value::as_str).unwrap_or_default();
            let (total, done) = (number("workers"), number("workers_done"));
            let share = (done * 100).checked_div(total).unwrap_or(0).min(99);
            Self {
                id: text("id").to_string(),
                workers_total: total,
                workers_running: number("workers_running"),
                workers_done: done,
                rows_in: number("rows_in"),
                rows_out: number("rows_out"),
                percent: if text("state") == "done" { 100 } else { share },
            }
        };
        profile.get("stages").and_then(Value::as_array).into_iter().flatten().map(one).collect()
    }
}

/// How many jobs run, and how many may at once: what a waiting job waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueLoad {
    /// Jobs of the project that run, in every process.
    pub project_running: usize,
    pub project_limit: usize,
    /// Jobs of any project that run in this process.
    pub process_running: usize,
    pub process_limit: usize,
}

/// Which instances to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    /// `Running` (which wait too), `Suspended` or `Terminated`, or of these `Failed` or `Cancelled`; anything else lists
    /// all.
    pub status: Option<String>,
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    /// Only instances of this account name.
    pub owner: Option<String>,
}

/// A page of a listing; `next` is the marker of the following page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// A table with the sums of its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    pub table: Table,
    pub num_rows: i64,
    pub num_bytes: i64,
    pub num_files: i64,
}

/// A row set that can be read: its columns and how many rows it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSet {
    pub columns: Vec<Column>,
    pub num_rows: u64,
}

/// Rows `start .. start + count`; a range beyond the end is clipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRange {
    pub start: u64,
    pub count: u64,
}

/// What a tunnel session is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRequest {
    pub project: String,
    pub table: String,
    /// `None` when the client named no partition.
    pub partition: Option<PartitionSpec>,
    pub overwrite: bool,
    pub create_partition: bool,
    /// Stream sessions: refused with `NoSuchSchema` unless it is the table's.
    pub schema_version: Option<i64>,
}

/// A tunnel session with what its document shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    pub session: Session,
    pub columns: Vec<Column>,
    pub partition_columns: Vec<Column>,
    pub blocks: Vec<Block>,
}

/// What a read session of the storage API reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanOptions {
    /// Data columns by name; all columns of both kinds when neither list has a name.
    pub columns: Vec<String>,
    pub partition_columns: Vec<String>,
    /// Partitions to read; all when there is none.
    pub partitions: Vec<String>,
    pub split: Split,
    /// A split may hold rows of several partitions.
    pub cross_partition: bool,
    /// What follows WHERE in SQL; empty for all rows.
    pub filter: String,
}

/// How the rows of a read session are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Into splits of about so many bytes of files.
    Bytes(u64),
    /// Into so many splits, fewer when there are fewer rows.
    Count(u64),
    /// Not at all: readers ask for rows by number.
    Rows,
}

/// A read session with what its document shows. `session.record_count` are its rows before the filter.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A stream of rows in a write session. One that is begun again has the same id and another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamName {
    pub id: String,
    pub version: i64,
}

/// A stream as its session knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteStream {
    pub name: StreamName,
    /// 0, as the bytes, for a table with a key.
    pub num_rows: i64,
    pub num_bytes: i64,
    pub is_closed: bool,
    /// By which a client that counts its rows shows that the stream is its own.
    pub token: Option<String>,
}

/// Where the rows of a request stand in a stream whose client counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPlace {
    pub row: i64,
    pub token: String,
}

/// What is said of the rows of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamPart {
    /// Only of clients that count their rows.
    pub place: Option<StreamPlace>,
    /// How many the client says there are, which counts for tables with a key only.
    pub num_rows: u64,
    /// What the client knows the request by, and whether it sends it again.
    pub request: Option<(String, bool)>,
}

/// The content of a resource or a volume's file as it arrives or leaves.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A resource to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewResource {
    pub at: ObjectName,
    /// `file`, `py`, `jar`, `archive`, `table`, `volumefile` or `volumearchive`.
    pub kind: String,
    pub is_temp: bool,
    pub comment: String,
}

/// What is in it.
pub enum ResourceContent {
    Bytes(ByteStream),
    /// The contents of these resources, one after the other; they go.
    Parts {
        md5: String,
        names: Vec<String>,
        num_bytes: Option<u64>,
    },
    /// What it refers to, as the client wrote it.
    Reference(String),
}

/// A statement about users, roles and rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityQuery {
    /// It came with a bearer token.
    pub by_token: bool,
    /// The schema of names without one.
    pub schema: String,
    /// Two-part names mean schema and table.
    pub has_schemas: bool,
    pub text: String,
}

/// The warehouse as the network edge needs it.
///
/// Project and table names are lower case; a table in another schema than `default` is named `schema.table`. Every
/// method that names a project answers `NoSuchProject` for an unknown one and `NoSuchTable` for an unknown table. Rights
/// are the edge's business and were checked before.
#[allow(clippy::too_many_arguments, reason = "a listing has as many filters as the protocol's request")]
#[async_trait]
pub trait Warehouse: Send + Sync + 'static {
    /// Writes the instance and returns it; it runs later. A known `guid` returns the instance of that `guid`.
    ///
    /// The instance survives a crash once this returns. Dropping the future may or may not submit.
    async fn submit(&self, caller: &Caller, project: &str, job: NewJob) -> Result<Instance>;
    async fn instance(&self, project: &str, id: &str) -> Result<Instance>;
    /// The instance that was submitted with this `guid`.
    async fn instance_of_guid(&self, project: &str, guid: &str) -> Result<Option<Instance>>;
    /// Returns when the instance has ended, `limit` has passed or the server stops, whichever is first.
    async fn wait(&self, project: &str, id: &str, limit: Duration) -> Result<Instance>;
    /// Asks the instance to end; `InvalidStateSetting` when it has ended already.
    async fn stop(&self, project: &str, id: &str) -> Result<()>;
    /// Newest first, without their sources, and of each statement the beginning ([`feitian_meta::LISTED_QUERY`]). `marker`
    /// is an instance id.
    async fn list_instances(
        &self,
        project: &str,
        filter: InstanceFilter,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<Page<Instance>>;
    /// At least one stage for an instance that has started.
    async fn progress(&self, instance: &Instance) -> Result<Vec<Stage>>;
    /// What the instance did or has done so far: `elapsed_ms`, `rows_in`, `rows_out`, `plan_hash`, and `stages` with their
    /// operators; the ids of the stages are those of [`Warehouse::progress`]. Every key may be missing, and all are for
    /// an instance that waits.
    async fn profile(&self, instance: &Instance) -> Result<Value>;
    /// What the user code of the instance has written, the last of it; nothing while another process runs the instance.
    async fn worker_log(&self, instance: &Instance) -> Result<Vec<u8>>;
    /// Place in the queue of a waiting instance, 1 is next; `None` when it does not wait.
    async fn queue_place(&self, instance: &Instance) -> Result<Option<usize>>;
    /// The limits on jobs that run at once, as they stand for `project`.
    async fn queue_load(&self, project: &str) -> Result<QueueLoad>;
    /// The newest ended instance of the project with the same SQL that was submitted before this one. It comes without
    /// its result.
    async fn earlier_run(&self, instance: &Instance) -> Result<Option<Instance>>;
    /// The row set of a successful query; `InstanceTypeNotSupported` for other statements, `InstanceNotTerminate` while
    /// it runs, the job's own error when it failed.
    async fn result(&self, instance: &Instance) -> Result<RowSet>;
    /// Rows of the result. `columns` selects by name, in table order.
    async fn read_result(
        &self,
        instance: &Instance,
        range: RowRange,
        columns: Option<Vec<String>>,
    ) -> Result<(Vec<Column>, Batches)>;

    async fn table(&self, project: &str, table: &str) -> Result<TableInfo>;
    /// By name; `marker` is the last name seen. `prefix`, `owner` and `kind` filter.
    async fn list_tables(
        &self,
        project: &str,
        schema: &str,
        prefix: Option<&str>,
        owner: Option<&str>,
        kind: Option<&str>,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<Page<Table>>;
    /// What each of these tables holds, as of its last commit: `None` for a view, and for a table with so many partitions
    /// that adding them up would keep a list waiting. [`Warehouse::table`] tells it for every table.
    async fn table_sizes(&self, tables: &[Table]) -> Result<Vec<Option<PartitionSums>>>;
    /// Partitions whose leading columns have the values of `prefix`, by value; `marker` is the last spec seen.
    async fn list_partitions(
        &self,
        project: &str,
        table: &str,
        prefix: Option<&PartitionSpec>,
        reverse: bool,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<Page<Partition>>;
    /// `NoSuchPartition` when it is not there.
    async fn partition(&self, project: &str, table: &str, spec: &PartitionSpec) -> Result<Partition>;
    /// At most `limit` rows of the current version; partition columns follow the data columns.
    async fn preview(
        &self,
        project: &str,
        table: &str,
        partition: Option<&PartitionSpec>,
        columns: Option<Vec<String>>,
        limit: u64,
    ) -> Result<(Vec<Column>, Batches)>;

    /// Writes a resource, durable when this returns: a new one (`ObjectAlreadyExists`), or with `overwrite` over the one
    /// of that name (`NoSuchObject`). Parts are joined in order; size and checksum must be right.
    async fn put_resource(
        &self,
        caller: &Caller,
        new: NewResource,
        content: ResourceContent,
        overwrite: bool,
    ) -> Result<Resource>;
    /// The bytes of a resource that has some; `range` lies inside it.
    async fn read_resource(&self, resource: &Resource, range: Range<u64>) -> Result<ByteStream>;

    /// Writes the bytes as the content of `file`, a file of an upload session of a volume, and returns the file with its
    /// size; if `opens`, the session is opened with it. Durable when this returns; on error, or when the future is dropped,
    /// everything is as it was before.
    async fn put_volume_file(
        &self,
        session: &Session,
        opens: bool,
        file: VolumeEntry,
        bytes: ByteStream,
    ) -> Result<VolumeEntry>;
    /// Puts the session's files into `dir` of its volume, once. A second call answers as the first.
    async fn commit_volume_upload(&self, session: &Session, dir: &str) -> Result<()>;
    /// The bytes of a volume's file; `range` lies inside it.
    async fn read_volume_file(&self, file: &VolumeEntry, range: Range<u64>) -> Result<ByteStream>;

    async fn create_upload(&self, caller: &Caller, request: SessionRequest) -> Result<SessionInfo>;
    /// The caller's upload session `id`, which the caller made as `feitian_base::id::ulid` does: opened now, or by the same
    /// request before, so that a request that comes twice opens one. It is known for a day at least.
    /// `ObjectAlreadyExists` when that id was for something else.
    async fn open_upload(&self, caller: &Caller, id: &str, request: SessionRequest) -> Result<SessionInfo>;
    /// An upload, download, stream, upsert, storage_write or storage_stream session of this table;
    /// `NoSuchUpload`/`NoSuchDownload`/`StreamSessionNotFound`/`UpsertSessionNotFound`.
    async fn session(&self, kind: &str, project: &str, table: &str, id: &str) -> Result<SessionInfo>;
    /// Writes one block. It is durable when this returns, and replaces an earlier block of the same id. On error, or
    /// when the future is dropped, the block is as it was before.
    async fn write_block(&self, session: &SessionInfo, block_id: i64, batches: BatchSource) -> Result<()>;
    /// Makes exactly the session's blocks visible, once. A second call answers as the first.
    async fn commit_upload(&self, session: &SessionInfo) -> Result<SessionInfo>;
    async fn create_download(&self, caller: &Caller, request: SessionRequest) -> Result<SessionInfo>;
    /// Rows of the session's snapshot; `columns` selects by name, batches come in table column order and never span two
    /// data files.
    async fn read_download(
        &self,
        session: &SessionInfo,
        range: RowRange,
        columns: Option<Vec<String>>,
    ) -> Result<(Vec<Column>, Batches)>;
    async fn create_stream(&self, caller: &Caller, request: SessionRequest) -> Result<SessionInfo>;
    /// Writes rows that are durable and visible when this returns.
    async fn write_stream(&self, session: &SessionInfo, batches: BatchSource) -> Result<()>;
    async fn close_stream(&self, session: &SessionInfo) -> Result<()>;
    /// Opens an upsert session (kind `upsert`), whose options are `hash_key` and `buckets` as JSON; it is committed by
    /// [`Warehouse::commit_upload`]. `InvalidArgument` for a table whose rows do not replace each other.
    async fn create_upsert(&self, caller: &Caller, request: SessionRequest) -> Result<SessionInfo>;
    /// Takes rows of one bucket, behind all that came before. There must be `num_rows` of them, with five columns behind
    /// those of the table. They are durable when this returns; on error, or when the future is dropped, none has come.
    async fn write_upsert(&self, session: &SessionInfo, bucket: u64, num_rows: u64, batches: BatchSource)
    -> Result<()>;
    /// Ends an upsert or storage_stream session without its rows. A second call answers as the first.
    async fn abort_upsert(&self, session: &SessionInfo) -> Result<()>;

    /// Opens a read session of the version that is newest now.
    async fn create_scan(&self, caller: &Caller, project: &str, table: &str, options: ScanOptions) -> Result<ScanInfo>;
    /// A read session of this table; `NoSuchDownload`.
    async fn scan(&self, project: &str, table: &str, id: &str) -> Result<ScanInfo>;
    /// The rows of one split, in an order that never changes, or `rows` by number where the session is not split. Every
    /// row is in one split.
    async fn read_scan(&self, scan: &ScanInfo, split: u64, rows: Option<RowRange>) -> Result<(Vec<Column>, Batches)>;
    /// Opens a write session (kind `storage_write`); its blocks are written with [`Warehouse::write_block`]. Without a
    /// partition the rows of a partitioned table name theirs, in columns behind the others, at most `partition_limit`.
    async fn create_write(&self, caller: &Caller, request: SessionRequest, partition_limit: u64)
    -> Result<SessionInfo>;
    /// Makes these blocks of a write session visible, and no others, once. A second call answers as the first.
    /// `InvalidArgument` for a block that is not there.
    async fn commit_write(&self, session: &SessionInfo, blocks: &BTreeSet<i64>) -> Result<SessionInfo>;
    /// Opens a write session whose rows come in streams: of kind `storage_stream`, or of kind `upsert` for a table with a
    /// key. Its rows are as those of [`Warehouse::create_write`], or have [`__operation`](Warehouse::write_upsert) too.
    async fn create_streamed(&self, caller: &Caller, request: SessionRequest) -> Result<SessionInfo>;
    /// Begins a stream, or finds it; with a new token for a client that counts its rows.
    async fn open_write_stream(
        &self,
        session: &SessionInfo,
        name: &StreamName,
        counts_rows: bool,
    ) -> Result<WriteStream>;
    /// `NoSuchObject` for one that was never begun.
    async fn write_stream_named(&self, session: &SessionInfo, name: &StreamName) -> Result<WriteStream>;
    /// Every stream of the session, by id and version.
    async fn write_streams(&self, session: &SessionInfo) -> Result<Vec<WriteStream>>;
    /// Takes the rows of one request, durable when this returns; on error, or when the future is dropped, none has come.
    /// Of one with a place, a second call changes nothing and answers the same, as one does that is sent again.
    async fn write_to_stream(
        &self,
        session: &SessionInfo,
        name: &StreamName,
        part: StreamPart,
        batches: BatchSource,
    ) -> Result<WriteStream>;
    /// Ends a stream. A second call answers as the first.
    async fn close_write_stream(&self, session: &SessionInfo, name: &StreamName) -> Result<WriteStream>;
    /// Makes the rows of these streams visible, or of the newest version of each when none is named, once. A second call
    /// answers as the first.
    async fn commit_streams(&self, session: &SessionInfo, names: &[StreamName]) -> Result<SessionInfo>;

    /// Runs a statement about users, roles and rights; its answer as JSON. Who may is asked there, because it depends on
    /// the statement: `NoPermission`. `MethodNotAllowed` for one that is missing.
    async fn security(&self, caller: &Caller, project: &str, query: SecurityQuery) -> Result<Value>;

    /// How each function of SQL is called, for example `abs(number)`; sorted.
    fn functions(&self) -> Vec<&'static str>;

    /// Removes files that nothing refers to and that are older than `older_than`; returns how many went.
    async fn collect(&self, older_than: Duration) -> Result<u64>;
}
