//! A warehouse in memory that writes down every call it gets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use feitian_api::warehouse::*;
use feitian_base::{Error, Kind, Result, clock, id};
use feitian_meta::rows::{Block, Instance, InstanceState, Partition, Resource, Session, Table};
use feitian_meta::{Meta, PartitionSums, VolumeEntry};
use feitian_types::arrow::engine_schema;
use feitian_types::{Column, DataType, PartitionSpec, TableSchema};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

pub struct Fake {
    calls: Mutex<Vec<String>>,
    tables: Mutex<BTreeMap<String, Table>>,
    instances: Mutex<BTreeMap<String, Instance>>,
    sessions: Mutex<HashMap<String, SessionInfo>>,
    scans: Mutex<HashMap<String, ScanInfo>>,
    /// Where the rows of volumes are.
    meta: Meta,
    /// What is in files of volumes, by the names of the contents.
    contents: Mutex<HashMap<String, Vec<u8>>>,
    blocks: Mutex<BTreeMap<(String, i64), Vec<RecordBatch>>>,
    rows: Mutex<HashMap<String, Vec<RecordBatch>>>,
    /// The streams of sessions, by the id of their session.
    streams: Mutex<Vec<(String, WriteStream)>>,
    /// An instance came to its end.
    pub ended: Notify,
    /// A call to `wait` has begun, or an upload is about to be drawn.
    pub waiting: Notify,
    /// Held while the batches of an upload are drawn.
    drawing: Arc<Semaphore>,
}

pub fn two_columns() -> Vec<Column> {
    vec![Column::new("s", DataType::String), Column::new("n", DataType::BigInt)]
}

/// Rows ("a", 1) and (NULL, -5): those of the documented record stream.
pub fn two_rows() -> RecordBatch {
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec![Some("a"), None])), Arc::new(Int64Array::from(vec![1, -5]))];
    RecordBatch::try_new(engine_schema(&two_columns()), columns).unwrap()
}

fn missing(code: &'static str, what: &str) -> Error {
    Error::new(Kind::NotFound, code, format!("{what} is not there"))
}

impl Fake {
    /// Tables `t` (s string, n bigint) and `pt`, the same partitioned by ds, both in project `p`.
    pub fn new(meta: Meta) -> Arc<Self> {
        let fake = Self {
            meta,
            contents: Mutex::default(),
            calls: Mutex::default(),
            tables: Mutex::default(),
            instances: Mutex::default(),
            sessions: Mutex::default(),
            scans: Mutex::default(),
            blocks: Mutex::default(),
            rows: Mutex::default(),
            streams: Mutex::default(),
            ended: Notify::new(),
            waiting: Notify::new(),
            drawing: Arc::new(Semaphore::new(1)),
        };
        for (name, partition_columns) in [("t", vec![]), ("pt", vec![Column::new("ds", DataType::String)])] {
            let table = Table {
                id: id::ulid(),
                project: "p".into(),
                schema_name: "default".into(),
                name: name.into(),
                kind: "MANAGED_TABLE".into(),
                owner: "ALIYUN$demo".into(),
                location: format!("warehouse/p/{name}"),
                schema: TableSchema { columns: two_columns(), partition_columns },
                schema_version: 1,
                comment: "a ]]> comment & <more>".into(),
                properties: "{}".into(),
                lifecycle: -1,
                view_text: None,
                created_ms: 1_704_067_200_000,
                ddl_ms: 1_704_067_200_000,
                modified_ms: 1_704_067_200_123,
                log_version: 0,
                dropped_ms: None,
            };
            fake.tables.lock().insert(name.into(), table);
        }
        Arc::new(fake)
    }

    /// Returns once no upload is being drawn.
    pub async fn drained(&self) {
        drop(self.drawing.acquire().await.unwrap());
    }

    async fn drawn(&self, batches: BatchSource) -> Result<Vec<RecordBatch>> {
        self.waiting.notify_one();
        let permit = self.drawing.clone().acquire_owned().await.unwrap();
        let draw = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            batches.collect::<Result<Vec<_>>>()
        });
        draw.await.unwrap()
    }

    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock())
    }

    fn note(&self, call: impl Into<String>) {
        self.calls.lock().push(call.into());
    }

    /// Rows of a table that are visible, as text.
    pub fn visible(&self, table: &str) -> Vec<(Option<String>, i64)> {
        let rows = self.rows.lock();
        rows.get(table).into_iter().flatten().flat_map(text_rows).collect()
    }

    pub fn put_rows(&self, table: &str, rows: RecordBatch) {
        self.rows.lock().entry(table.into()).or_default().push(rows);
    }

    pub fn block_count(&self) -> usize {
        self.blocks.lock().len()
    }

    /// The first batch that was written.
    pub fn written(&self) -> RecordBatch {
        self.blocks.lock().values().next().unwrap()[0].clone()
    }

    /// Ends a running instance.
    pub fn end(&self, id: &str) {
        if let Some(i) = self.instances.lock().get_mut(id) {
            (i.state, i.ended_ms) = (InstanceState::Success, Some(clock::now_ms()));
        }
        self.ended.notify_waiters();
    }

    fn found(&self, project: &str, table: &str) -> Result<Table> {
        let table = self.tables.lock().get(table).filter(|_| project == "p").cloned();
        table.ok_or_else(|| missing("NoSuchTable", "the table"))
    }

    fn info(&self, session: Session) -> Result<SessionInfo> {
        let table = self.tables.lock().values().find(|t| t.id == session.table_id).cloned();
        let schema = table.ok_or_else(|| missing("NoSuchTable", "the table"))?.schema;
        let blocks = self
            .blocks
            .lock()
            .iter()
            .filter(|((s, _), _)| *s == session.id)
            .map(|((s, block_id), batches)| Block {
                session_id: s.clone(),
                block_id: *block_id,
                path: format!("{block_id}.parquet"),
                num_rows: batches.iter().map(|b| b.num_rows() as i64).sum(),
                num_bytes: 1,
                stats: "{}".into(),
            })
            .collect();
        Ok(SessionInfo { session, columns: schema.columns, partition_columns: schema.partition_columns, blocks })
    }

    /// Makes the blocks visible that `wanted` takes, once.
    fn commit(&self, session: &SessionInfo, wanted: impl Fn(i64) -> bool) -> Result<SessionInfo> {
        let mut sessions = self.sessions.lock();
        let stored = sessions.get_mut(&session.session.id).unwrap();
        if stored.session.status == "normal" {
            stored.session.status = "closed".into();
            let name = self.tables.lock().values().find(|t| t.id == session.session.table_id).unwrap().name.clone();
            let blocks = self.blocks.lock();
            let mine = blocks.iter().filter(|((s, id), _)| *s == session.session.id && wanted(*id));
            let mine = mine.flat_map(|(_, b)| b.clone());
            self.rows.lock().entry(name).or_default().extend(mine);
        }
        let session = stored.session.clone();
        drop(sessions);
        self.info(session)
    }

    fn stream(
        &self,
        session: &SessionInfo,
        name: &StreamName,
        change: impl FnOnce(&mut WriteStream),
    ) -> Result<WriteStream> {
        let mut streams = self.streams.lock();
        let found = streams.iter_mut().find(|(of, stream)| *of == session.session.id && stream.name == *name);
        let (_, stream) = found.ok_or_else(|| missing("NoSuchObject", "the stream"))?;
        change(stream);
        Ok(stream.clone())
    }

    fn open(&self, kind: &str, request: SessionRequest) -> Result<SessionInfo> {
        let table = self.found(&request.project, &request.table)?;
        if request.schema_version.is_some_and(|v| v != table.schema_version) {
            return Err(missing("NoSuchSchema", "the schema version"));
        }
        if table.schema.is_partitioned() != request.partition.is_some() {
            return Err(Error::new(Kind::Invalid, "InvalidPartitionSpec", "the partition does not fit the table"));
        }
        let session = Session {
            id: id::ulid(),
            kind: kind.into(),
            project: request.project,
            table_id: table.id,
            schema_version: table.schema_version,
            log_version: 0,
            partition: request.partition.map(|p| p.to_string()).unwrap_or_default(),
            overwrite: request.overwrite,
            status: "normal".into(),
            owner: String::new(),
            record_count: self.visible(&table.name).len() as i64,
            created_ms: clock::now_ms(),
            expires_ms: clock::now_ms() + 86_400_000,
            options: String::new(),
        };
        let info = self.info(session)?;
        self.sessions.lock().insert(info.session.id.clone(), info.clone());
        Ok(info)
    }
}

fn text_rows(batch: &RecordBatch) -> Vec<(Option<String>, i64)> {
    let s = batch.column(0).as_any().downcast_ref::<StringArray>().unwrap();
    let n = batch.column(1).as_any().downcast_ref::<Int64Array>().unwrap();
    s.iter().zip(n.iter()).map(|(s, n)| (s.map(str::to_string), n.unwrap_or_default())).collect()
}

fn selected(
    batches: Vec<RecordBatch>,
    columns: &[Column],
    names: Option<Vec<String>>,
    range: RowRange,
) -> (Vec<Column>, Batches) {
    let keep: Vec<usize> =
        (0..columns.len()).filter(|i| names.as_ref().is_none_or(|names| names.contains(&columns[*i].name))).collect();
    let (mut skip, mut left) = (range.start as usize, range.count as usize);
    let mut out = Vec::new();
    for batch in batches {
        let from = skip.min(batch.num_rows());
        skip -= from;
        let n = left.min(batch.num_rows() - from);
        left -= n;
        if n > 0 {
            out.push(Ok(batch.slice(from, n).project(&keep).unwrap()));
        }
    }
    (keep.iter().map(|i| columns[*i].clone()).collect(), stream::iter(out).boxed())
}

#[async_trait]
impl Warehouse for Fake {
    async fn submit(&self, caller: &Caller, project: &str, job: NewJob) -> Result<Instance> {
        self.note(format!("submit {} {}", caller.name, job.query));
        let mut instances = self.instances.lock();
        if let Some(known) = instances.values().find(|i| !job.guid.is_empty() && i.guid == job.guid) {
            return Ok(known.clone());
        }
        let state = match job.query.split_whitespace().next().unwrap_or_default() {
            "sleep" => InstanceState::Running,
            "queue" => InstanceState::Waiting,
            "fail" => InstanceState::Failed,
            _ => InstanceState::Success,
        };
        let now = clock::now_ms();
        let is_select = job.query.starts_with("select");
        let settings: serde_json::Map<_, _> = job.settings.into_iter().map(|(k, v)| (k, v.into())).collect();
        let instance = Instance {
            id: id::instance_id(),
            project: project.into(),
            owner: caller.name.clone(),
            guid: job.guid,
            priority: job.priority,
            source: job.source,
            task_name: job.task_name,
            task_type: job.task_type,
            query: job.query,
            settings: serde_json::Value::Object(settings).to_string(),
            state,
            node: "n".into(),
            attempt: 1,
            step: 0,
            stop_requested: false,
            submitted_ms: now,
            started_ms: (state != InstanceState::Waiting).then_some(now),
            ended_ms: state.is_terminal().then_some(now + 1000),
            is_select,
            result_columns: None,
            result_inline: (!is_select).then(|| b"hello\x01\n".to_vec()),
            result_path: None,
            result_rows: if is_select { 2 } else { 0 },
            error: (state == InstanceState::Failed)
                .then(|| "ODPS-0130131:[1,15] Table not found - table p.<t> cannot be resolved".into()),
            summary: "{}".into(),
        };
        instances.insert(instance.id.clone(), instance.clone());
        Ok(instance)
    }

    async fn instance(&self, project: &str, id: &str) -> Result<Instance> {
        self.note(format!("instance {id}"));
        let instance = self.instances.lock().get(id).filter(|i| i.project == project).cloned();
        instance.ok_or_else(|| missing("NoSuchObject", "the instance"))
    }

    async fn instance_of_guid(&self, project: &str, guid: &str) -> Result<Option<Instance>> {
        self.note("instance_of_guid");
        Ok(self.instances.lock().values().find(|i| i.project == project && i.guid == guid).cloned())
    }

    /// Does not listen for the stop of the server: the edge must.
    async fn wait(&self, project: &str, id: &str, limit: Duration) -> Result<Instance> {
        self.note(format!("wait {id}"));
        let ended = self.ended.notified();
        self.waiting.notify_one();
        if !self.instance(project, id).await?.state.is_terminal() {
            let _ = tokio::time::timeout(limit, ended).await;
        }
        self.instance(project, id).await
    }

    async fn stop(&self, project: &str, id: &str) -> Result<()> {
        self.note(format!("stop {id}"));
        let instance = self.instance(project, id).await?;
        if instance.state.is_terminal() {
            return Err(Error::new(Kind::Conflict, "InvalidStateSetting", "the instance has ended"));
        }
        self.instances.lock().get_mut(id).unwrap().state = InstanceState::Cancelled;
        Ok(())
    }

    async fn list_instances(
        &self,
        project: &str,
        filter: InstanceFilter,
        _marker: Option<&str>,
        limit: usize,
    ) -> Result<Page<Instance>> {
        self.note("list_instances");
        let all = self.instances.lock();
        let has_state = |i: &Instance| match filter.status.as_deref() {
            None => true,
            Some("Running") => !i.state.is_terminal(),
            Some("Terminated") => i.state.is_terminal(),
            Some(word) => i.state.as_str() == word,
        };
        let has_owner = |i: &Instance| filter.owner.as_ref().is_none_or(|owner| *owner == i.owner);
        let fits = |i: &&Instance| i.project == project && has_owner(i) && has_state(i);
        let mine: Vec<_> = all.values().rev().filter(fits).cloned().collect();
        let next = (mine.len() > limit).then(|| mine[limit - 1].id.clone());
        Ok(Page { items: mine.into_iter().take(limit).collect(), next })
    }

    async fn progress(&self, _instance: &Instance) -> Result<Vec<Stage>> {
        self.note("progress");
        Ok(Stage::of_profile(&a_profile()))
    }

    async fn profile(&self, instance: &Instance) -> Result<serde_json::Value> {
        self.note("profile");
        Ok(if instance.state == InstanceState::Waiting { serde_json::json!({}) } else { a_profile() })
    }

    async fn worker_log(&self, instance: &Instance) -> Result<Vec<u8>> {
        self.note(format!("worker_log {}", instance.id));
        Ok("first\nlast 飞\n".into())
    }

    async fn queue_place(&self, instance: &Instance) -> Result<Option<usize>> {
        self.note("queue_place");
        Ok((instance.state == InstanceState::Waiting).then_some(3))
    }

    async fn queue_load(&self, _project: &str) -> Result<QueueLoad> {
        self.note("queue_load");
        Ok(QueueLoad { project_running: 4, project_limit: 4, process_running: 5, process_limit: 8 })
    }

    async fn earlier_run(&self, instance: &Instance) -> Result<Option<Instance>> {
        self.note("earlier_run");
        let all = self.instances.lock();
        let same = |i: &&Instance| i.query == instance.query && i.project == instance.project && i.id != instance.id;
        Ok(all.values().rev().filter(|i| i.state.is_terminal()).find(same).cloned())
    }

    async fn result(&self, instance: &Instance) -> Result<RowSet> {
        self.note("result");
        match (instance.state, instance.is_select) {
            (InstanceState::Success, true) => Ok(RowSet { columns: two_columns(), num_rows: 2 }),
            (InstanceState::Success, false) => {
                Err(Error::new(Kind::Invalid, "InstanceTypeNotSupported", "the statement has no row set"))
            }
            (InstanceState::Running | InstanceState::Waiting, _) => {
                Err(Error::new(Kind::Conflict, "InstanceNotTerminate", "the instance still runs"))
            }
            _ => Err(Error::new(Kind::Invalid, "ODPS-0130131", instance.error.clone().unwrap_or_default())),
        }
    }

    async fn read_result(
        &self,
        instance: &Instance,
        range: RowRange,
        columns: Option<Vec<String>>,
    ) -> Result<(Vec<Column>, Batches)> {
        self.note("read_result");
        self.result(instance).await?;
        Ok(selected(vec![two_rows()], &two_columns(), columns, range))
    }

    async fn table(&self, project: &str, table: &str) -> Result<TableInfo> {
        self.note(format!("table {table}"));
        let table = self.found(project, table)?;
        Ok(TableInfo { num_rows: self.visible(&table.name).len() as i64, table, num_bytes: 2048, num_files: 1 })
    }

    async fn list_tables(
        &self,
        project: &str,
        _schema: &str,
        prefix: Option<&str>,
        _owner: Option<&str>,
        _kind: Option<&str>,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<Page<Table>> {
        self.note("list_tables");
        let all: Vec<Table> = self.tables.lock().values().filter(|_| project == "p").cloned().collect();
        let mut fitting = all
            .into_iter()
            .filter(|t| t.name.starts_with(prefix.unwrap_or_default()) && marker.is_none_or(|m| t.name.as_str() > m));
        let items: Vec<Table> = fitting.by_ref().take(limit).collect();
        let next = fitting.next().and(items.last().map(|t| t.name.clone()));
        Ok(Page { items, next })
    }

    /// Table `pt` counts as one with too many partitions.
    async fn table_sizes(&self, tables: &[Table]) -> Result<Vec<Option<PartitionSums>>> {
        self.note("table_sizes");
        let size = |table: &Table| {
            let num_rows = self.visible(&table.name).len() as i64;
            let sums = PartitionSums { num_partitions: 0, num_rows, num_bytes: 1_234_567, num_files: 3 };
            (table.name != "pt").then_some(sums)
        };
        Ok(tables.iter().map(size).collect())
    }

    async fn list_partitions(
        &self,
        project: &str,
        table: &str,
        prefix: Option<&PartitionSpec>,
        _reverse: bool,
        _marker: Option<&str>,
        _limit: usize,
    ) -> Result<Page<Partition>> {
        self.note("list_partitions");
        self.found(project, table)?;
        let wanted = prefix.and_then(|p| p.get("ds")).is_none_or(|ds| ds == "20240101");
        let items = if table == "pt" && wanted { vec![partition()] } else { vec![] };
        Ok(Page { items, next: None })
    }

    async fn partition(&self, project: &str, table: &str, spec: &PartitionSpec) -> Result<Partition> {
        self.note("partition");
        self.found(project, table)?;
        if spec.get("ds") == Some("20240101") {
            Ok(partition())
        } else {
            Err(missing("NoSuchPartition", "the partition"))
        }
    }

    async fn preview(
        &self,
        project: &str,
        table: &str,
        _partition: Option<&PartitionSpec>,
        columns: Option<Vec<String>>,
        limit: u64,
    ) -> Result<(Vec<Column>, Batches)> {
        self.note("preview");
        let table = self.found(project, table)?;
        let rows = self.rows.lock().get(&table.name).cloned().unwrap_or_default();
        Ok(selected(rows, &table.schema.columns, columns, RowRange { start: 0, count: limit }))
    }

    async fn put_resource(
        &self,
        caller: &Caller,
        new: NewResource,
        content: ResourceContent,
        overwrite: bool,
    ) -> Result<Resource> {
        let content = match content {
            ResourceContent::Bytes(bytes) => {
                let pieces: Vec<_> = bytes.try_collect().await?;
                format!("{} bytes", pieces.iter().map(|p| p.len()).sum::<usize>())
            }
            ResourceContent::Parts { md5, names, num_bytes } => format!("{md5} {names:?} {num_bytes:?}"),
            ResourceContent::Reference(to) => to,
        };
        let at = new.at;
        let what = format!("{}.{}.{} {} {}", at.project, at.schema_name, at.name, new.kind, new.comment);
        self.note(format!("put_resource {what} temp={} overwrite={overwrite}: {content}", new.is_temp));
        Ok(Resource {
            at,
            kind: new.kind,
            owner: caller.name.clone(),
            updator: caller.name.clone(),
            is_temp: new.is_temp,
            num_bytes: 0,
            md5: String::new(),
            path: String::new(),
            source: String::new(),
            comment: new.comment,
            created_ms: 0,
            modified_ms: 0,
        })
    }

    async fn read_resource(&self, _resource: &Resource, range: Range<u64>) -> Result<ByteStream> {
        self.note(format!("read_resource {range:?}"));
        let bytes: Vec<u8> = range.map(|i| b'a' + (i % 26) as u8).collect();
        Ok(stream::once(async { Ok(bytes.into()) }).boxed())
    }

    async fn put_volume_file(
        &self,
        session: &Session,
        opens: bool,
        file: VolumeEntry,
        bytes: ByteStream,
    ) -> Result<VolumeEntry> {
        self.note(format!("put_volume_file {}", file.name));
        let content = bytes.try_collect::<Vec<_>>().await?.concat();
        let object = format!("volumes/p/{}", id::ulid());
        let (volume_id, num_bytes) = (session.id.clone(), content.len() as i64);
        let file = VolumeEntry { volume_id, num_bytes, object: object.clone(), ..file };
        match opens {
            true => self.meta.open_volume_session(session, Some(&file)).await?,
            false => self.meta.put_volume_file(&file).await?,
        }
        self.contents.lock().insert(object, content);
        Ok(file)
    }

    async fn commit_volume_upload(&self, session: &Session, dir: &str) -> Result<()> {
        self.note(format!("commit_volume_upload {dir}"));
        self.meta.commit_volume_session(session, dir, clock::now_ms()).await
    }

    async fn read_volume_file(&self, file: &VolumeEntry, range: Range<u64>) -> Result<ByteStream> {
        self.note(format!("read_volume_file {range:?}"));
        let content = self.contents.lock().get(&file.object).cloned().ok_or_else(|| missing("NoSuchObject", "it"))?;
        let bytes = content[range.start as usize..range.end as usize].to_vec();
        Ok(stream::once(async { Ok(bytes.into()) }).boxed())
    }

    async fn create_upload(&self, _caller: &Caller, request: SessionRequest) -> Result<SessionInfo> {
        self.note("create_upload");
        self.open("upload", request)
    }

    async fn open_upload(&self, caller: &Caller, id: &str, request: SessionRequest) -> Result<SessionInfo> {
        self.note("open_upload");
        let partition = request.partition.as_ref().map(ToString::to_string).unwrap_or_default();
        let known = self.sessions.lock().get(id).map(|i| i.session.clone());
        if let Some(known) = known {
            let info = self.session("upload", &request.project, &request.table, id).await?;
            let same = known.owner == caller.name && known.partition == partition;
            let taken = || Error::new(Kind::Conflict, "ObjectAlreadyExists", "the session is another one");
            return if same { Ok(info) } else { Err(taken()) };
        }
        let mut info = self.open("upload", request)?;
        let mut sessions = self.sessions.lock();
        sessions.remove(&info.session.id);
        (info.session.id, info.session.owner) = (id.into(), caller.name.clone());
        sessions.insert(id.into(), info.clone());
        Ok(info)
    }

    async fn session(&self, kind: &str, project: &str, table: &str, id: &str) -> Result<SessionInfo> {
        self.note(format!("session {kind}"));
        let table = self.found(project, table)?;
        let known = self.sessions.lock().get(id).map(|i| i.session.clone());
        let code = match kind {
            "upload" | "storage_write" | "storage_stream" => "NoSuchUpload",
            "download" => "NoSuchDownload",
            "upsert" => "UpsertSessionNotFound",
            _ => "StreamSessionNotFound",
        };
        match known {
            Some(session) if session.kind == kind && session.table_id == table.id => self.info(session),
            _ => Err(missing(code, "the session")),
        }
    }

    async fn write_block(&self, session: &SessionInfo, block_id: i64, batches: BatchSource) -> Result<()> {
        self.note(format!("write_block {block_id}"));
        let batches = self.drawn(batches).await?;
        self.blocks.lock().insert((session.session.id.clone(), block_id), batches);
        Ok(())
    }

    async fn commit_upload(&self, session: &SessionInfo) -> Result<SessionInfo> {
        self.note("commit_upload");
        self.commit(session, |_| true)
    }

    async fn commit_write(&self, session: &SessionInfo, blocks: &BTreeSet<i64>) -> Result<SessionInfo> {
        self.note(format!("commit_write {blocks:?}"));
        let known = |id: &i64| self.blocks.lock().contains_key(&(session.session.id.clone(), *id));
        if !blocks.iter().all(known) {
            return Err(Error::invalid("a block is not there"));
        }
        self.commit(session, |block| blocks.contains(&block))
    }

    async fn create_write(
        &self,
        _caller: &Caller,
        request: SessionRequest,
        _partition_limit: u64,
    ) -> Result<SessionInfo> {
        self.note("create_write");
        self.open("storage_write", request)
    }

    async fn create_streamed(&self, _caller: &Caller, request: SessionRequest) -> Result<SessionInfo> {
        self.note("create_streamed");
        // A table with a key is one whose rows are overwritten by their own.
        let kind = if request.overwrite { "upsert" } else { "storage_stream" };
        self.open(kind, request)
    }

    async fn open_write_stream(
        &self,
        session: &SessionInfo,
        name: &StreamName,
        counts_rows: bool,
    ) -> Result<WriteStream> {
        self.note(format!("open_write_stream {} {} {counts_rows}", name.id, name.version));
        let token = counts_rows.then(|| "a token".to_string());
        let new = WriteStream { name: name.clone(), num_rows: 0, num_bytes: 0, is_closed: false, token };
        self.streams.lock().push((session.session.id.clone(), new.clone()));
        Ok(new)
    }

    async fn write_stream_named(&self, session: &SessionInfo, name: &StreamName) -> Result<WriteStream> {
        self.note(format!("write_stream_named {} {}", name.id, name.version));
        self.stream(session, name, |_| {})
    }

    async fn write_streams(&self, session: &SessionInfo) -> Result<Vec<WriteStream>> {
        self.note("write_streams");
        let streams = self.streams.lock();
        Ok(streams.iter().filter(|(of, _)| *of == session.session.id).map(|(_, stream)| stream.clone()).collect())
    }

    async fn write_to_stream(
        &self,
        session: &SessionInfo,
        name: &StreamName,
        part: StreamPart,
        batches: BatchSource,
    ) -> Result<WriteStream> {
        let StreamPart { place, num_rows, request } = part;
        let place = place.map(|p| format!("{} {}", p.row, p.token));
        self.note(format!("write_to_stream {} {} {num_rows} {place:?} {request:?}", name.id, name.version));
        self.stream(session, name, |_| {})?;
        let batches = self.drawn(batches).await?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let block_id = self.block_count() as i64;
        self.blocks.lock().insert((session.session.id.clone(), block_id), batches);
        self.stream(session, name, |stream| stream.num_rows += rows as i64)
    }

    async fn close_write_stream(&self, session: &SessionInfo, name: &StreamName) -> Result<WriteStream> {
        self.note(format!("close_write_stream {} {}", name.id, name.version));
        self.stream(session, name, |stream| stream.is_closed = true)
    }

    async fn commit_streams(&self, session: &SessionInfo, names: &[StreamName]) -> Result<SessionInfo> {
        let named: Vec<String> = names.iter().map(|n| format!("{} {}", n.id, n.version)).collect();
        self.note(format!("commit_streams {named:?}"));
        self.commit(session, |_| true)
    }

    async fn create_scan(
        &self,
        _caller: &Caller,
        project: &str,
        table: &str,
        options: ScanOptions,
    ) -> Result<ScanInfo> {
        self.note(format!("create_scan {options:?}"));
        let request = SessionRequest {
            project: project.into(),
            table: table.into(),
            partition: None,
            overwrite: false,
            create_partition: false,
            schema_version: None,
        };
        let SessionInfo { session, columns, partition_columns, .. } = self.open("storage_read", request)?;
        let scan = ScanInfo { session, options, columns, partition_columns, num_splits: 1, num_bytes: 2048 };
        self.scans.lock().insert(scan.session.id.clone(), scan.clone());
        Ok(scan)
    }

    async fn scan(&self, _project: &str, _table: &str, id: &str) -> Result<ScanInfo> {
        self.note("scan");
        let scan = self.scans.lock().get(id).cloned();
        scan.ok_or_else(|| missing("NoSuchDownload", "the session"))
    }

    async fn read_scan(&self, scan: &ScanInfo, split: u64, rows: Option<RowRange>) -> Result<(Vec<Column>, Batches)> {
        self.note(format!("read_scan {split} {rows:?}"));
        let name = self.tables.lock().values().find(|t| t.id == scan.session.table_id).unwrap().name.clone();
        let all = self.rows.lock().get(&name).cloned().unwrap_or_default();
        Ok(selected(all, &scan.columns, None, rows.unwrap_or(RowRange { start: 0, count: 1000 })))
    }

    async fn create_download(&self, _caller: &Caller, request: SessionRequest) -> Result<SessionInfo> {
        self.note("create_download");
        self.open("download", request)
    }

    async fn read_download(
        &self,
        session: &SessionInfo,
        range: RowRange,
        columns: Option<Vec<String>>,
    ) -> Result<(Vec<Column>, Batches)> {
        self.note("read_download");
        let name = self.tables.lock().values().find(|t| t.id == session.session.table_id).unwrap().name.clone();
        let rows = self.rows.lock().get(&name).cloned().unwrap_or_default();
        Ok(selected(rows, &session.columns, columns, range))
    }

    async fn create_stream(&self, _caller: &Caller, request: SessionRequest) -> Result<SessionInfo> {
        self.note("create_stream");
        self.open("stream", request)
    }

    async fn write_stream(&self, session: &SessionInfo, batches: BatchSource) -> Result<()> {
        self.note("write_stream");
        let batches = self.drawn(batches).await?;
        let name = self.tables.lock().values().find(|t| t.id == session.session.table_id).unwrap().name.clone();
        self.rows.lock().entry(name).or_default().extend(batches);
        Ok(())
    }

    async fn close_stream(&self, _session: &SessionInfo) -> Result<()> {
        self.note("close_stream");
        Ok(())
    }

    async fn create_upsert(&self, _caller: &Caller, request: SessionRequest) -> Result<SessionInfo> {
        self.note("create_upsert");
        let mut info = self.open("upsert", request)?;
        info.session.options = r#"{"hash_key":["n"],"buckets":2}"#.into();
        self.sessions.lock().insert(info.session.id.clone(), info.clone());
        Ok(info)
    }

    async fn write_upsert(
        &self,
        session: &SessionInfo,
        bucket: u64,
        num_rows: u64,
        batches: BatchSource,
    ) -> Result<()> {
        self.note(format!("write_upsert {bucket} {num_rows}"));
        let batches = self.drawn(batches).await?;
        let block_id = self.block_count() as i64;
        self.blocks.lock().insert((session.session.id.clone(), block_id), batches);
        Ok(())
    }

    async fn abort_upsert(&self, session: &SessionInfo) -> Result<()> {
        self.note("abort_upsert");
        if let Some(stored) = self.sessions.lock().get_mut(&session.session.id) {
            stored.session.status = "aborted".into();
        }
        Ok(())
    }

    async fn security(&self, caller: &Caller, project: &str, query: SecurityQuery) -> Result<serde_json::Value> {
        let SecurityQuery { by_token, schema, has_schemas, text } = query;
        let way = if by_token { "token" } else { "key" };
        self.note(format!("security {project} {} {way} {schema} {has_schemas} {text}", caller.name));
        match text.as_str() {
            "whoami" => Ok(serde_json::json!({ "ID": caller.account_id, "DisplayName": caller.name })),
            "pai" => {
                Err(Error::new(Kind::Unsupported, "MethodNotAllowed", "security statement 'pai' is not supported"))
            }
            _ => Ok("done \"it\"".into()),
        }
    }

    fn functions(&self) -> Vec<&'static str> {
        vec!["abs(number)", "count(* | [distinct] value)"]
    }

    async fn collect(&self, _older_than: Duration) -> Result<u64> {
        self.note("collect");
        Ok(7)
    }
}

/// A scan of three rows, and a grouping of them on two workers, of which one has two groups and the other none.
fn a_profile() -> serde_json::Value {
    let stage = |id: &str, inputs: &[&str], workers: u64, rows: [u64; 2], skew: f64, operator: serde_json::Value| {
        serde_json::json!({
            "id": id, "step": 0, "inputs": inputs, "state": "done", "started_ms": 1_704_067_200_000_i64,
            "ended_ms": 1_704_067_201_500_i64, "workers": workers, "workers_running": 0, "workers_done": workers,
            "rows_in": rows[0], "rows_out": rows[1], "bytes_in": 64, "cpu_us": 20, "spilled_bytes": 0, "skew": skew,
            "operators": [operator],
        })
    };
    let operator = |name: &str, rows: &[u64], skew: f64| {
        serde_json::json!({
            "id": 0, "parent": null, "name": name, "text": format!("{name}: <b>&"), "rows": rows.iter().sum::<u64>(),
            "bytes": 64, "cpu_us": 20, "spilled_bytes": 0, "partition_rows": rows, "skew": skew,
        })
    };
    let stages = [
        stage("M1_job_0", &[], 1, [3, 3], 1.0, operator("DataSourceExec", &[3], 1.0)),
        stage("R2_1_job_0", &["M1_job_0"], 2, [3, 2], 2.0, operator("AggregateExec", &[2, 0], 2.0)),
    ];
    serde_json::json!({
        "elapsed_ms": 1500, "rows_in": 3, "rows_out": 2, "stages": stages, "plan_hash": "00000000000000ff",
    })
}

fn partition() -> Partition {
    Partition {
        table_id: "x".into(),
        spec: "ds=20240101".into(),
        values: vec!["20240101".into()],
        created_ms: 1_704_067_200_000,
        ddl_ms: 1_704_067_200_000,
        modified_ms: 1_704_067_260_000,
        num_rows: 12,
        num_bytes: 2048,
        num_files: 1,
    }
}
