//! Tables by name: their metadata row and the newest snapshot of their log, kept in memory and advanced.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use feitian_base::{Error, Kind, Result, Tasks, clock, failpoint, id};
use feitian_meta::rows::{Partition, Step, Table};
use feitian_meta::{Meta, split_local_name};
use feitian_types::TableSchema;
use object_store::ObjectStore;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::commit::{partition_rows, with_nulls};
use crate::disk;
use crate::log::{CHECKPOINT_FILES, CHECKPOINT_INTERVAL, Commit, DeltaLog, MetadataAction, Snapshot};
use crate::writer::{NewFile, TableDir};

/// The scheme and authority under which the data store is known to the query engine.
pub const STORE_URL: &str = "feitian://data";

/// Snapshots of at most this many tables are kept; the least recently opened goes first.
const CACHED_TABLES: usize = 4096;
/// So many upsert sessions are applied at once.
const UPSERTING: usize = 4;
/// So many versions of a table that are not the newest are kept: downloads read theirs request by request.
const CACHED_VERSIONS: usize = 4;

/// Finds tables and changes them. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    meta: Meta,
    store: Arc<dyn ObjectStore>,
    tasks: Tasks,
    tables: Mutex<HashMap<String, Cached>>,
    /// Counts uses, so that they have an order.
    uses: AtomicU64,
    joins: Joins,
    /// Places of commits of upsert sessions, each of which takes memory as a job does.
    upserting: Semaphore,
}

/// Tables whose small files somebody should join.
#[derive(Default)]
pub(crate) struct Joins {
    tables: Mutex<BTreeSet<String>>,
    pub(crate) wake: Notify,
}

impl Joins {
    pub(crate) fn ask(&self, table_id: &str) {
        self.tables.lock().insert(table_id.to_string());
        self.wake.notify_one();
    }

    pub(crate) fn next(&self) -> Option<String> {
        self.tables.lock().pop_first()
    }
}

struct Cached {
    entry: Arc<Entry>,
    used: u64,
}

/// What this process knows of one table.
#[derive(Default)]
pub(crate) struct Entry {
    /// Held while this process adds a version and until the metadata reflects it.
    pub(crate) lock: tokio::sync::Mutex<()>,
    /// Held by an upsert session of this process from its look at the table to its commit.
    pub(crate) upserts: tokio::sync::Mutex<()>,
    newest: Mutex<Option<Arc<Snapshot>>>,
    /// Older versions that were asked for, the last one used last.
    older: Mutex<Vec<Arc<Snapshot>>>,
    /// A checkpoint is being written.
    checkpointing: AtomicBool,
}

/// A table or view to create.
#[derive(Debug, Clone)]
pub struct NewTable {
    /// Where CTAS has written files already; `None` makes a new directory.
    pub dir: Option<TableDir>,
    pub project: String,
    /// Its name within the project: `t` or `schema.t`.
    pub name: String,
    /// `MANAGED_TABLE`, `EXTERNAL_TABLE` or `VIRTUAL_VIEW`.
    pub kind: String,
    pub owner: String,
    pub schema: TableSchema,
    pub comment: String,
    /// Table properties.
    pub properties: serde_json::Map<String, serde_json::Value>,
    /// Days; -1 when unset.
    pub lifecycle: i64,
    pub view_text: Option<String>,
}

/// A table as it was when it was opened.
#[derive(Clone)]
pub struct OpenTable {
    pub row: Table,
    /// `None` for a view.
    pub snapshot: Option<Arc<Snapshot>>,
}

impl OpenTable {
    /// Where the table's files are.
    pub fn dir(&self) -> TableDir {
        TableDir::of(&self.row)
    }

    /// The snapshot of a table that is not a view.
    pub fn data(&self) -> Result<&Arc<Snapshot>> {
        let not_a_table = || {
            let name = format!("{}.{}", self.row.project, self.row.local_name());
            let text = match crate::external::is_external(&self.row) {
                true => format!("{name} is an external table: SQL alone reads and writes its rows"),
                false => format!("{name} is a view: it has no data of its own"),
            };
            Error::new(Kind::Invalid, "InvalidArgument", text)
        };
        self.snapshot.as_ref().ok_or_else(not_a_table)
    }
}

/// The error for a table that does not exist.
pub fn table_not_found(project: &str, name: &str) -> Error {
    let text = format!("ODPS-0130131:[0,0] Table not found - table {project}.{name} cannot be resolved");
    Error::new(Kind::NotFound, "ODPS-0130131", text)
}

impl Catalog {
    /// A catalog over `meta` for the tables whose files are in `store`. Checkpoints are written by `tasks`.
    pub fn new(meta: Meta, store: Arc<dyn ObjectStore>, tasks: Tasks) -> Self {
        let (tables, uses, joins) = (Mutex::default(), AtomicU64::default(), Joins::default());
        let upserting = Semaphore::new(UPSERTING);
        Self { inner: Arc::new(Inner { meta, store, tasks, tables, uses, joins, upserting }) }
    }

    pub(crate) fn upserting(&self) -> &Semaphore {
        &self.inner.upserting
    }

    pub(crate) fn joins(&self) -> &Joins {
        &self.inner.joins
    }

    /// The data store, rooted at the data directory.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.inner.store.clone()
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.inner.meta
    }

    pub(crate) fn log(&self, table: &Table) -> DeltaLog {
        DeltaLog::new(self.store(), &table.location)
    }

    pub(crate) fn entry(&self, table_id: &str) -> Arc<Entry> {
        let used = self.inner.uses.fetch_add(1, Ordering::Relaxed);
        let mut tables = self.inner.tables.lock();
        if tables.len() >= CACHED_TABLES
            && !tables.contains_key(table_id)
            && let Some(oldest) = tables.iter().min_by_key(|(_, c)| c.used).map(|(k, _)| k.clone())
        {
            tables.remove(&oldest);
        }
        let cached = tables.entry(table_id.to_string()).or_insert_with(|| Cached { entry: Arc::default(), used });
        cached.used = used;
        cached.entry.clone()
    }

    /// The live table or view whose name within the project is `name` (`feitian_meta::local_name`), with its newest
    /// snapshot.
    ///
    /// # Errors
    /// `ODPS-0130131` when there is none.
    pub async fn open(&self, project: &str, name: &str) -> Result<OpenTable> {
        let row = self.inner.meta.table_named(project, name).await?;
        let row = row.ok_or_else(|| table_not_found(project, name))?;
        self.open_row(row).await
    }

    /// The table with this id, as long as it is live.
    ///
    /// # Errors
    /// `ODPS-0130131` when it was dropped.
    pub async fn open_id(&self, table_id: &str) -> Result<OpenTable> {
        match self.inner.meta.table_by_id(table_id).await? {
            Some(row) if row.dropped_ms.is_none() => self.open_row(row).await,
            Some(row) => Err(table_not_found(&row.project, &row.local_name())),
            None => Err(table_not_found("", table_id)),
        }
    }

    async fn open_row(&self, mut row: Table) -> Result<OpenTable> {
        if row.location.is_empty() {
            return Ok(OpenTable { row, snapshot: None });
        }
        let mut snapshot = self.newest(&row).await?;
        while snapshot.described_version > row.log_version {
            row = self.settled(row, &snapshot).await?;
            if row.log_version <= snapshot.version {
                break;
            }
            // The columns may have changed once more: the row is not to have some that the snapshot has not.
            snapshot = self.newest(&row).await?;
        }
        let row = if snapshot.version > row.log_version { self.catch_up(row, &snapshot).await? } else { row };
        Ok(OpenTable { row, snapshot: Some(snapshot) })
    }

    /// The row of a table whose columns may be other ones in `snapshot`, once it has those: files read by the columns of
    /// before would have NULL where they have values.
    async fn settled(&self, row: Table, snapshot: &Snapshot) -> Result<Table> {
        // A commit of this process ends soon.
        drop(self.entry(&row.id).lock.lock().await);
        // The records before the row: a change that ends between the two looks is seen by the second.
        let record = self.changing_columns(&row, snapshot, None).await?;
        let now = self.live_row(&row).await?;
        let Some(record) = record.filter(|_| snapshot.described_version > now.log_version) else { return Ok(now) };
        // Another process is just about to end it, or died before it could. What is left to do is one transaction.
        let ended = self.carry_out(&record).await;
        let now = self.live_row(&row).await?;
        match ended {
            Err(e) if snapshot.described_version > now.log_version => Err(e),
            _ => Ok(now),
        }
    }

    /// The row of a table as it is now, as long as the table is live.
    async fn live_row(&self, row: &Table) -> Result<Table> {
        let now = self.inner.meta.table_by_id(&row.id).await?.filter(|r| r.dropped_ms.is_none());
        now.ok_or_else(|| table_not_found(&row.project, &row.local_name()))
    }

    /// The newest snapshot, whatever the metadata says.
    pub(crate) async fn newest(&self, row: &Table) -> Result<Arc<Snapshot>> {
        let entry = self.entry(&row.id);
        let known = entry.newest.lock().clone();
        let log = self.log(row);
        let snapshot = match known {
            Some(s) => log.advance(s).await?,
            None => Arc::new(log.load(None).await?),
        };
        self.remember(&entry, &snapshot);
        Ok(snapshot)
    }

    pub(crate) fn remember(&self, entry: &Entry, snapshot: &Arc<Snapshot>) {
        let mut newest = entry.newest.lock();
        if newest.as_ref().is_none_or(|s| s.version < snapshot.version) {
            *newest = Some(snapshot.clone());
        }
    }

    /// The newest snapshot for a look at the table that is no use of it: what it read is not kept.
    pub(crate) async fn peek(&self, row: &Table) -> Result<Arc<Snapshot>> {
        let known = self.inner.tables.lock().get(&row.id).and_then(|c| c.entry.newest.lock().clone());
        match known {
            Some(s) => self.log(row).advance(s).await,
            None => Ok(Arc::new(self.log(row).load(None).await?)),
        }
    }

    /// The table at `version`, from memory or from its log.
    pub(crate) async fn at_version(&self, row: &Table, version: i64) -> Result<Arc<Snapshot>> {
        let entry = self.entry(&row.id);
        let known = entry.newest.lock().clone();
        if let Some(newest) = known.filter(|s| s.version == version) {
            return Ok(newest);
        }
        {
            let mut older = entry.older.lock();
            if let Some(at) = older.iter().position(|s| s.version == version) {
                let found = older.remove(at);
                older.push(found.clone());
                return Ok(found);
            }
        }
        let loaded = Arc::new(self.log(row).load(Some(version)).await?);
        let mut older = entry.older.lock();
        if older.len() >= CACHED_VERSIONS {
            older.remove(0);
        }
        older.push(loaded.clone());
        Ok(loaded)
    }

    /// Has the checkpoint of `snapshot`, whose version changed so many files, written in the background if it is one that gets
    /// one. When one of the table is being written, there is none of this version; the next one does as well.
    pub(crate) fn checkpoint_if_due(&self, table: &Table, snapshot: &Snapshot, changed_files: usize) {
        let version = snapshot.version;
        let entry = self.entry(&table.id);
        let is_due = version % CHECKPOINT_INTERVAL == 0 || changed_files >= CHECKPOINT_FILES;
        if !is_due || entry.checkpointing.swap(true, Ordering::SeqCst) {
            return;
        }
        let (log, id) = (self.log(table), table.id.clone());
        // The library computes where it stands; that is for a thread that may block.
        let runtime = tokio::runtime::Handle::current();
        let write = move || runtime.block_on(log.checkpoint(version));
        self.inner.tasks.spawn("checkpoint", async move {
            match tokio::task::spawn_blocking(write).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => tracing::warn!(table = %id, version, error = ?e, "no checkpoint"),
                Err(e) => tracing::warn!(table = %id, version, error = ?e, "no checkpoint"),
            }
            entry.checkpointing.store(false, Ordering::SeqCst);
        });
    }

    /// Brings the partition rows up to a log that is ahead of them, unless a commit of this process is about to.
    async fn catch_up(&self, row: Table, snapshot: &Arc<Snapshot>) -> Result<Table> {
        let entry = self.entry(&row.id);
        let Ok(_guard) = entry.lock.try_lock() else { return Ok(row) };
        let touched = match row.log_version {
            from if from >= 0 => self.log(&row).touched_since(from, snapshot).await?,
            _ => None,
        };
        let touched = touched.map(|t| t.into_iter().collect::<BTreeSet<_>>());
        let mut changes = partition_rows(&row, snapshot, touched.as_ref());
        // Whether a partition without files is empty or dropped is for its own commit to say.
        changes.retain(|c| c.num_files > 0 || c.spec.is_empty());
        changes.iter_mut().for_each(|c| c.modified_ms = snapshot.data_ms);
        let (from, to) = (row.log_version, snapshot.version);
        self.inner.meta.catch_up(&row.id, from, to, &changes, &[], snapshot.data_ms).await?;
        let now = self.inner.meta.table_by_id(&row.id).await?;
        let now = now.ok_or_else(|| table_not_found(&row.project, &row.local_name()))?;
        // Another process may have changed the columns meanwhile, which the snapshot does not have.
        Ok(if now.schema_version == row.schema_version { now } else { row })
    }

    /// A table id and a directory for it that nothing refers to yet.
    pub fn reserve(&self, project: &str, name: &str) -> TableDir {
        let id = id::ulid();
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
        let location = format!("warehouse/{project}/{}-{id}", plain.chars().take(100).collect::<String>());
        TableDir { id, location, blooms: Vec::new() }
    }

    /// Creates a table or view, with `data` as its first rows; it takes effect together with `step`.
    ///
    /// 1. Version 0 of the log, with the files, in a directory that nobody knows: a crash leaves only garbage.
    /// 2. The metadata row, its partition rows and the step, in one transaction: now the table is there.
    ///
    /// # Errors
    /// `ODPS-0130211` when a table or view of that name exists.
    pub async fn create(&self, new: NewTable, data: Option<Vec<NewFile>>, step: &Step) -> Result<()> {
        let has_no_files = new.view_text.is_some() || new.kind == crate::external::EXTERNAL_TABLE;
        let dir = new.dir.clone().unwrap_or_else(|| self.reserve(&new.project, &new.name));
        let now = clock::tick_ms();
        let (schema_name, name) = split_local_name(&new.name);
        let mut row = Table {
            id: dir.id,
            project: new.project,
            schema_name: schema_name.to_string(),
            name: name.to_string(),
            kind: new.kind,
            owner: new.owner,
            location: if has_no_files { String::new() } else { dir.location },
            schema: new.schema,
            schema_version: 0,
            comment: new.comment,
            properties: serde_json::Value::Object(new.properties).to_string(),
            lifecycle: new.lifecycle,
            view_text: new.view_text,
            created_ms: now,
            ddl_ms: now,
            modified_ms: now,
            log_version: -1,
            dropped_ms: None,
        };
        let mut partitions = Vec::new();
        if !has_no_files {
            failpoint::hit("ddl.before_log");
            let snapshot = self.write_first_version(&row, data.unwrap_or_default()).await?;
            row.log_version = 0;
            partitions = first_partitions(&row, &snapshot);
            self.remember(&self.entry(&row.id), &snapshot);
        }
        failpoint::hit("ddl.before_row");
        self.inner.meta.create_table(&row, &partitions, step).await
    }

    async fn write_first_version(&self, row: &Table, files: Vec<NewFile>) -> Result<Arc<Snapshot>> {
        let commit = Commit {
            operation: "CREATE TABLE",
            timestamp_ms: row.created_ms,
            txn: None,
            read_version: None,
            reads: BTreeMap::new(),
            metadata: Some(metadata_action(row, &row.schema, true)),
            add: files.into_iter().map(|f| Arc::new(with_nulls(f, row))).collect(),
            remove: Vec::new(),
            keeps_rows: false,
            is_blind_append: false,
            partition_columns: row.schema.partition_columns.iter().map(|c| c.name.clone()).collect(),
        };
        let log = self.log(row);
        if !log.put(0, &commit).await? {
            return Err(Error::internal(format!("{} has a log already", row.location)));
        }
        Ok(Arc::new(log.apply(&Snapshot::before_first(), &commit.to_bytes())?))
    }
}

/// The log's description of a table with `schema`.
pub(crate) fn metadata_action(row: &Table, schema: &TableSchema, with_protocol: bool) -> MetadataAction {
    MetadataAction {
        table_id: row.id.clone(),
        name: format!("{}.{}", row.project, row.local_name()),
        comment: row.comment.clone(),
        schema_json: disk::delta_schema(&schema.columns, &schema.partition_columns),
        created_ms: row.created_ms,
        needs_ntz: disk::needs_ntz(&schema.columns),
        with_protocol,
    }
}

fn first_partitions(row: &Table, snapshot: &Snapshot) -> Vec<Partition> {
    let mut rows: Vec<Partition> = partition_rows(row, snapshot, None)
        .into_iter()
        .map(|c| Partition {
            table_id: row.id.clone(),
            spec: c.spec,
            values: c.values,
            created_ms: row.created_ms,
            ddl_ms: row.created_ms,
            modified_ms: c.modified_ms,
            num_rows: c.num_rows,
            num_bytes: c.num_bytes,
            num_files: c.num_files,
        })
        .collect();
    if rows.is_empty() && !row.schema.is_partitioned() {
        rows.push(Partition {
            table_id: row.id.clone(),
            spec: String::new(),
            values: Vec::new(),
            created_ms: row.created_ms,
            ddl_ms: row.created_ms,
            modified_ms: row.created_ms,
            num_rows: 0,
            num_bytes: 0,
            num_files: 0,
        });
    }
    rows
}
