//! SQL in the engine, in process: every file `sql/*.test` is run block by block in a warehouse of its own.
//!
//! A block ends at an empty line. Its first line says what follows:
//!
//! ```text
//! statement            must succeed
//! query bigint string  rows follow `----`, values between ` | `; the types of the columns may be left out
//! text                 the answer of a statement without rows follows `----`
//! part                 the same, but the lines after `----` are parts of lines of the answer, in this order
//! error ODPS-0130131:[1,15] Table not found      the failure text begins so (after the place `[0,0]` may stand `*`)
//! set odps.sql.allow.fullscan=true               a flag for the rest of the file
//! ```
//!
//! Lines that begin with `#` are remarks. Each block has one `# from: SOURCE[, WORDS]`, which says who vouches for what is
//! expected: `duckdb` and `spark` (computed again by `tests/clients/test_oracle_duckdb.py` and `spark_oracle.py`, in the
//! spelling of a line `# duckdb: SELECT …` if there is one), `documentation` (published, and the words say where),
//! `client` (the source of a client), `arithmetic` (a person can follow it), or `text` (our own words, such as those of a
//! refusal, which nobody publishes). `cargo xtask tidy` refuses a block without it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType as ArrowType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use feitian_base::Tasks;
use feitian_functions::Context;
use feitian_meta::{Account, Instance, InstanceState, Meta, Project};
use feitian_store::LocalStore;
use feitian_types::{Column, DataType};
use feitian_warehouse::source::RowSource;
use feitian_warehouse::{Config, NewJob, RowRange, Setting, TableStore, UserCode, Warehouse};
use futures::StreamExt;
use object_store::ObjectStore;

/// A warehouse with the project `demo`, and where it lies.
pub(crate) struct Bench {
    pub(crate) warehouse: Warehouse,
    dir: tempfile::TempDir,
}

pub(crate) const OWNER: &str = "ALIYUN$demo";

impl Bench {
    pub(crate) async fn open() -> Self {
        Self::open_with(Vec::new()).await
    }

    /// With these settings to show in `sys.config`.
    pub(crate) async fn open_with(settings: Vec<Setting>) -> Self {
        Self::open_on(settings, as_it_is).await
    }

    /// The same over a store that the test makes of the one on the disk.
    pub(crate) async fn open_on(
        settings: Vec<Setting>,
        store: impl FnOnce(LocalStore) -> Arc<dyn ObjectStore>,
    ) -> Self {
        Self::open_of(settings, 256 << 20, None, store, None).await
    }

    /// With so much memory for each job.
    pub(crate) async fn open_small(memory: usize) -> Self {
        Self::open_of(Vec::new(), memory, None, as_it_is, None).await
    }

    /// With tables that are in another part of the program.
    pub(crate) async fn open_over(rows: Arc<dyn RowSource>) -> Self {
        Self::open_of(Vec::new(), 256 << 20, None, as_it_is, Some(rows)).await
    }

    /// With a table store that the test makes up.
    pub(crate) async fn open_beside(table_store: Arc<dyn TableStore>) -> Self {
        Self::open_of(Vec::new(), 256 << 20, Some(table_store), as_it_is, None).await
    }

    async fn open_of(
        settings: Vec<Setting>,
        memory: usize,
        table_store: Option<Arc<dyn TableStore>>,
        store: impl FnOnce(LocalStore) -> Arc<dyn ObjectStore>,
        rows: Option<Arc<dyn RowSource>>,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let meta = Meta::open(&format!("sqlite://{}/meta.db", dir.path().display())).await.expect("metadata");
        for (id, name) in [("1", OWNER), ("2", "ALIYUN$other")] {
            let account = Account { id: id.into(), name: name.into(), enabled: true, admin: false, created_ms: 1 };
            meta.create_account(&account).await.expect("an account");
        }
        for name in ["demo", "other"] {
            let project = Project {
                name: name.into(),
                owner_id: if name == "demo" { "1".into() } else { "2".into() },
                owner_name: if name == "demo" { OWNER.into() } else { "ALIYUN$other".into() },
                comment: String::new(),
                properties: "{}".into(),
                created_ms: 1,
                modified_ms: 1,
            };
            meta.create_project(&project).await.expect("a project");
        }
        let tmp = dir.path().join("tmp");
        std::fs::create_dir_all(&tmp).expect("a directory");
        let config = Config {
            data_dir: dir.path().into(),
            tmp_dir: tmp,
            memory_per_instance: memory,
            spill_limit: 1 << 30,
            running_per_project: 4,
            running_total: 4,
            node: "test".into(),
            default_project_timezone: "Asia/Shanghai".into(),
            user_code: UserCode::default(),
            settings,
            table_store,
        };
        let store = store(LocalStore::open(dir.path()).expect("a store"));
        let warehouse = Warehouse::open_over(config, meta, store, Tasks::new(), rows).await.expect("a warehouse");
        Self { warehouse, dir }
    }

    /// The data directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn run(&self, query: &str, settings: &[(String, String)]) -> Instance {
        self.run_task("SQL", query, settings).await
    }

    pub(crate) async fn run_task(&self, task: &str, query: &str, settings: &[(String, String)]) -> Instance {
        let job = NewJob {
            priority: 9,
            task_name: "AnonymousSQLTask".into(),
            task_type: task.into(),
            query: query.into(),
            settings: settings.to_vec(),
            ..NewJob::default()
        };
        let submitted = self.warehouse.submit(OWNER, "demo", job).await.expect("submitted");
        let ended = self.warehouse.wait("demo", &submitted.id, Duration::from_secs(120)).await.expect("an end");
        assert!(ended.state.is_terminal(), "it still runs: {query}");
        ended
    }

    pub(crate) async fn rows(&self, instance: &Instance) -> (Vec<Column>, Vec<String>) {
        let all = RowRange { start: 0, count: u64::MAX };
        let (columns, mut batches) = self.warehouse.read_result(instance, all, None).await.expect("a result");
        let mut lines = Vec::new();
        while let Some(batch) = batches.next().await {
            lines.extend(lines_of(&batch.expect("a batch")));
        }
        (columns, lines)
    }
}

fn as_it_is(store: LocalStore) -> Arc<dyn ObjectStore> {
    Arc::new(store)
}

fn lines_of(batch: &RecordBatch) -> Vec<String> {
    let context = Context { zone: chrono_tz::Asia::Shanghai, strict: true, statement_ms: 0, seed: 0 };
    let text = |array: &Arc<dyn Array>| -> Vec<String> {
        let nested = matches!(array.data_type(), ArrowType::List(_) | ArrowType::Map(..) | ArrowType::Struct(_));
        let other = matches!(array.data_type(), ArrowType::Duration(_) | ArrowType::Interval(_));
        if nested || other {
            let options = FormatOptions::default().with_null("NULL");
            let formatter = ArrayFormatter::try_new(array, &options).expect("printable");
            return (0..array.len()).map(|i| formatter.value(i).to_string()).collect();
        }
        let texts = feitian_functions::cast_array(array, &DataType::String, &context).expect("text");
        let texts = texts.as_any().downcast_ref::<arrow::array::StringArray>().expect("text").clone();
        texts.iter().map(|t| t.unwrap_or("NULL").to_string()).collect()
    };
    let columns: Vec<Vec<String>> = batch.columns().iter().map(text).collect();
    (0..batch.num_rows()).map(|r| columns.iter().map(|c| c[r].as_str()).collect::<Vec<_>>().join(" | ")).collect()
}

/// One block of a file.
struct Block {
    line: usize,
    directive: String,
    sql: String,
    expected: Vec<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut out = Vec::new();
    let mut lines = text.lines().enumerate().filter(|(_, l)| !l.starts_with('#')).peekable();
    while let Some((at, first)) = lines.next() {
        if first.trim().is_empty() {
            continue;
        }
        let mut block =
            Block { line: at + 1, directive: first.trim().to_string(), sql: String::new(), expected: Vec::new() };
        let mut rows = false;
        while let Some((_, line)) = lines.next_if(|(_, l)| !l.trim().is_empty()) {
            match line {
                "----" => rows = true,
                line if rows => block.expected.push(line.to_string()),
                line => {
                    block.sql.push_str(line);
                    block.sql.push('\n');
                }
            }
        }
        out.push(block);
    }
    out
}

async fn check(bench: &Bench, block: &Block, settings: &mut Vec<(String, String)>) -> Result<(), String> {
    let (kind, rest) = block.directive.split_once(' ').unwrap_or((block.directive.as_str(), ""));
    if kind == "set" {
        let (key, value) = rest.split_once('=').expect("key=value");
        settings.retain(|(k, _)| k != key);
        settings.push((key.to_string(), value.to_string()));
        return Ok(());
    }
    let instance = bench.run(&block.sql, settings).await;
    let error = instance.error.clone().unwrap_or_default();
    if kind == "error" {
        return match instance.state {
            InstanceState::Failed if error.starts_with(rest) => Ok(()),
            InstanceState::Failed => Err(format!("wanted error {rest}\n   got error {error}")),
            state => Err(format!("wanted error {rest}, but it is {state:?}")),
        };
    }
    if instance.state != InstanceState::Success {
        return Err(format!("{:?}: {error}", instance.state));
    }
    match kind {
        "statement" => Ok(()),
        "text" => {
            let text = String::from_utf8(instance.result_inline.clone().unwrap_or_default()).expect("text");
            let got: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
            compare(&block.expected, &got)
        }
        "part" => {
            let text = String::from_utf8(instance.result_inline.clone().unwrap_or_default()).expect("text");
            let mut lines = text.lines();
            match block.expected.iter().find(|part| !lines.any(|line| line.contains(part.trim()))) {
                Some(part) => Err(format!("wanted, after what stands before it\n  {part}\n got\n{text}")),
                None => Ok(()),
            }
        }
        "query" => {
            let (columns, lines) = bench.rows(&instance).await;
            let types = columns.iter().map(|c| c.ty.to_string()).collect::<Vec<_>>().join(" ");
            if !rest.is_empty() && rest != types {
                return Err(format!("wanted types {rest}\n   got types {types}"));
            }
            compare(&block.expected, &lines.iter().map(String::as_str).collect::<Vec<_>>())
        }
        other => Err(format!("unknown directive {other}")),
    }
}

fn compare(wanted: &[String], got: &[&str]) -> Result<(), String> {
    if wanted == got { Ok(()) } else { Err(format!("wanted\n  {}\n got\n  {}", wanted.join("\n  "), got.join("\n  "))) }
}

async fn run_file(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sql").join(format!("{name}.test"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let bench = Bench::open().await;
    let (mut settings, mut failures) = (Vec::new(), Vec::new());
    for block in blocks(&text) {
        if let Err(why) = check(&bench, &block, &mut settings).await {
            failures.push(format!("{name}.test:{}: {}\n{why}", block.line, block.sql.trim()));
        }
    }
    bench.warehouse.shutdown().await;
    assert!(failures.is_empty(), "{} blocks failed\n\n{}", failures.len(), failures.join("\n\n"));
}

macro_rules! files {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                run_file(stringify!($name)).await;
            }
        )*

        #[test]
        fn every_file_is_run() {
            let mut there: Vec<String> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sql"))
                .expect("the files")
                .map(|f| f.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned())
                .collect();
            there.sort();
            assert_eq!(there, [$(stringify!($name)),*]);
        }
    };
}

files! {
    aggregates
    arrays
    casts
    clauses
    dates
    ddl
    dml
    external
    external_json
    external_partitions
    forms_alter
    forms_create
    forms_flags
    forms_function
    forms_script
    forms_security
    forms_select
    forms_show
    forms_view
    forms_write
    grouping
    hints
    insert
    joins
    json
    keys
    lambdas
    lateral
    literals
    maps
    multiinsert
    names
    nested
    numbers
    ordered_groups
    pivot
    queries
    risks
    scans
    show
    strings
    texts
    windows
    zeros
}
