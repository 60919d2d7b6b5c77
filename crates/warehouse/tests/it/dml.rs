//! UPDATE, DELETE and MERGE while others change the table or read it. A gate holds a statement between its query and its
//! commit, so that the other one comes in between for certain.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use feitian_meta::{Instance, InstanceState};
use feitian_store::LocalStore;
use feitian_warehouse::{NewJob, RowRange, SessionRequest};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::old::assert_sound;
use crate::sql::{Bench, OWNER};

/// Whoever puts the next data file waits.
struct Held {
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

/// The files of a bench; one data file can be held up.
pub(crate) struct Gate {
    inner: LocalStore,
    next: Mutex<Option<Held>>,
}

impl Gate {
    /// From now on the next data file waits: the first answer tells that somebody does, the second lets them go on.
    pub(crate) fn close(&self) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let ((reached, is_reached), (open, go_on)) = (oneshot::channel(), oneshot::channel());
        *self.next.lock() = Some(Held { reached, go_on });
        (is_reached, open)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gate of {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Gate {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let is_data = location.as_ref().starts_with("warehouse/") && location.as_ref().ends_with(".parquet");
        let held = if is_data { self.next.lock().take() } else { None };
        if let Some(held) = held {
            let _ = held.reached.send(());
            let _ = held.go_on.await;
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// A bench with the table `t` of rows `(id, n)`, whose writers can be held up.
pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) gate: Arc<Gate>,
}

impl World {
    async fn with(rows: &str) -> Self {
        Self::of("create table t (id bigint, n bigint) tblproperties ('transactional'='true')", rows).await
    }

    /// The same with the table that `create` makes.
    pub(crate) async fn of(create: &str, rows: &str) -> Self {
        let mut gate = None;
        let bench = Bench::open_on(Vec::new(), |inner| {
            let store = Arc::new(Gate { inner, next: Mutex::new(None) });
            gate = Some(store.clone());
            store
        });
        let bench = bench.await;
        let world = Self { bench, gate: gate.expect("the bench has a store") };
        world.run(create).await;
        if !rows.is_empty() {
            world.run(&format!("insert into t values {rows}")).await;
        }
        world
    }

    pub(crate) async fn run(&self, text: &str) {
        let ended = self.bench.run(text, &[]).await;
        assert_eq!(ended.state, InstanceState::Success, "{text}: {:?}", ended.error);
    }

    async fn ended(&self, instance: &Instance) {
        let ended = self.bench.warehouse.wait("demo", &instance.id, Duration::from_secs(120)).await.expect("an end");
        assert_eq!(ended.state, InstanceState::Success, "{}: {:?}", instance.query, ended.error);
    }

    /// Runs `slow`, and `between` to its end after `slow` has read the table and before it changes it.
    pub(crate) async fn cross(&self, slow: &str, between: impl AsyncFnOnce(&Self)) {
        let (reached, open) = self.gate.close();
        let job = NewJob {
            priority: 9,
            task_name: "AnonymousSQLTask".into(),
            task_type: "SQL".into(),
            query: slow.into(),
            ..NewJob::default()
        };
        let slow = self.bench.warehouse.submit(OWNER, "demo", job).await.expect("submitted");
        tokio::time::timeout(Duration::from_secs(120), reached).await.expect("in time").expect("it writes a file");
        between(self).await;
        open.send(()).expect("it waits");
        self.ended(&slow).await;
    }

    pub(crate) async fn rows(&self) -> Vec<String> {
        let query = self.bench.run("select id, n from t order by id, n", &[]).await;
        self.bench.rows(&query).await.1
    }

    pub(crate) async fn end(self) {
        assert_sound(&self.bench.warehouse).await;
        self.bench.warehouse.shutdown().await;
    }
}

const COUNT: &str = "merge into t using (select 1 as k) s on t.id = s.k \
                     when matched then update set n = t.n + 1 when not matched then insert values (s.k, 1)";

// Arithmetic: whoever comes first inserts 1, the other one adds 1. Both inserting would be two rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_merges_the_second_sees_what_the_first_inserted() {
    let world = World::with("").await;
    world.cross(COUNT, async |w: &World| w.run(COUNT).await).await;
    assert_eq!(world.rows().await, ["1 | 2"]);
    // Arithmetic: both find the row now.
    world.cross(COUNT, async |w: &World| w.run(COUNT).await).await;
    assert_eq!(world.rows().await, ["1 | 4"]);
    world.end().await;
}

// Arithmetic: an update that is lost would leave 12 in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost() {
    let world = World::with("(1, 10), (2, 20)").await;
    let add = "update t set n = n + 1 where id = 1";
    // Both rows lie in one file: the first one would write the row again that the second one takes.
    world.cross(add, async |w: &World| w.run("delete from t where id = 2").await).await;
    assert_eq!(world.rows().await, ["1 | 11"]);
    world.cross(add, async |w: &World| w.run(add).await).await;
    assert_eq!(world.rows().await, ["1 | 13"]);
    world.end().await;
}

// An append that reads nothing comes after the UPDATE, whose rows it cannot have changed; MERGE begins again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_comes_before_a_blind_append_and_merge_after_it() {
    let world = World::with("(1, 10)").await;
    world.cross("update t set n = n + 1", async |w: &World| w.run("insert into t values (2, 20)").await).await;
    assert_eq!(world.rows().await, ["1 | 11", "2 | 20"]);
    let upsert = "merge into t using (select 3 as k) s on t.id = s.k \
                  when matched then update set n = -1 when not matched then insert values (s.k, 0)";
    world.cross(upsert, async |w: &World| w.run("insert into t values (3, 30)").await).await;
    assert_eq!(world.rows().await, ["1 | 11", "2 | 20", "3 | -1"]);
    world.end().await;
}

// One after the other, in either order, leaves no row with n = 1: the INSERT copies what the DELETE takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_sees_the_rows_of_an_insert_that_has_read_the_table() {
    let world = World::with("(1, 1), (2, 2)").await;
    let copy = "insert into t select id + 10, n from t where n = 1";
    world.cross("delete from t where n = 1", async |w: &World| w.run(copy).await).await;
    assert_eq!(world.rows().await, ["2 | 2"]);
    world.end().await;
}

// Joining files changes no row, and yet the files that the statement read are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_joined_meanwhile_lose_and_double_no_row() {
    let world = World::with("(1, 1), (2, 2)").await;
    world.run("insert into t values (3, 3)").await;
    let join = async |w: &World| {
        let table = w.bench.warehouse.table("demo", "t").await.expect("the table").table;
        assert_eq!(w.bench.warehouse.join_files(&table.id, &[], 2).await.expect("joined"), 2);
    };
    world.cross("update t set n = 20 where id = 2", join).await;
    assert_eq!(world.rows().await, ["1 | 1", "2 | 20", "3 | 3"]);
    world.end().await;
}

// Arithmetic: the rows that the conditions name. What is read and stays is not counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_summary_tells_how_many_rows_changed() {
    let world = World::with("(1, 1), (2, 2), (3, 3)").await;
    let upsert = "merge into t using (select 1 as k union all select 7 union all select 9) s on t.id = s.k \
                  when matched then update set n = 0 when not matched and s.k < 9 then insert values (s.k, 0)";
    for (text, changed) in [
        ("update t set n = n * 10 where id < 3", 2),
        ("delete from t where id = 3", 1),
        (upsert, 2),
        ("update t set n = 1 where id = 100", 0),
        ("delete from t", 3),
    ] {
        let ended = world.bench.run(text, &[]).await;
        assert_eq!(ended.state, InstanceState::Success, "{text}: {:?}", ended.error);
        let summary: serde_json::Value = serde_json::from_str(&ended.summary).expect("JSON");
        assert_eq!(summary["rows_out"], changed, "{text}");
    }
    let table = world.bench.warehouse.table("demo", "t").await.expect("the table");
    assert_eq!((table.num_rows, table.num_files), (0, 0));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_has_begun_reads_the_rows_of_before() {
    let world = World::with("(1, 1), (2, 2)").await;
    let w = &world.bench.warehouse;
    let request = SessionRequest {
        project: "demo".into(),
        table: "t".into(),
        partition: None,
        overwrite: false,
        create_partition: false,
        schema_version: None,
    };
    let session = w.create_download(OWNER, request).await.expect("a session");
    world.run("update t set n = 0 where id = 1; delete from t where id = 2").await;
    assert_eq!(world.rows().await, ["1 | 0"]);
    w.collect(Duration::ZERO).await.expect("collected");
    let all = RowRange { start: 0, count: u64::MAX };
    let (_, mut batches) = w.read_download(&session, all, None).await.expect("readable");
    let mut found: Vec<i64> = Vec::new();
    while let Some(batch) = batches.next().await {
        found.extend(batch.expect("a batch").column(1).as_primitive::<Int64Type>().values());
    }
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
    world.end().await;
}
