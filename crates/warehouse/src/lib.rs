//! The warehouse: tables in Delta Lake, the tunnel that loads them, and the jobs that query them.
//!
//! Read in this order: [`Warehouse`], `catalog` (tables by name), `log`, `history` and `commit` (how rows become visible
//! exactly once), `disk` (types on disk), `writer` and `reader` (data files), `tunnel` and `storage` (sessions), `scan`
//! (tables inside a query), `jobs` (instances and their queue), `query`, `insert`, `dml`, `ddl`, `show`, `security`
//! (statements), `keys` (rows that replace each other) and `upsert` (sessions of them), `resources` and `volumes` (files of
//! clients), `external` (tables over files of buckets, and over another part of the program), `materialized` (tables of a
//! query's rows), `system` (the state as tables), `join`, `analyze`, `lifecycle`, `collect` and `check`.
//!
//! It knows no HTTP and no XML. Arrow batches in engine form (`feitian_types::arrow`) are all that crosses its border.

mod analyze;
mod auto_partition;
mod blooms;
mod catalog;
pub mod check;
mod collect;
mod commit;
mod ddl;
mod disk;
mod dml;
mod engine;
mod external;
mod history;
mod insert;
mod jobs;
mod join;
mod keys;
mod lifecycle;
mod log;
mod materialized;
mod query;
mod reader;
mod resources;
mod scan;
mod security;
mod show;
mod stats;
mod storage;
mod system;
mod tables;
mod tunnel;
mod upsert;
mod volumes;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use feitian_base::{Error, Result, Tasks};
use feitian_meta::Meta;
use object_store::ObjectStore;

pub use catalog::{Catalog, NewTable, OpenTable, STORE_URL, table_not_found};
pub use commit::{Change, Replace, RowsBy};
pub use engine::Engine;
pub use external::source;
pub use feitian_udf::Settings as UserCode;
pub use jobs::*;
pub use log::{DataFile, Snapshot};
pub use reader::{Batches, RowRange};
pub use resources::{ByteStream, NewResource, ResourceContent};
pub use scan::provider;
pub use security::{SecurityAnswer, SecurityRequest};
pub use storage::streams::{StreamName, StreamPart, StreamPlace, WriteStream};
pub use storage::{ScanInfo, ScanOptions, Split};
pub use system::{OtsOptions, OtsRange, OtsTable, OtsUnits, TableStore};
pub use tables::{Page, TableInfo};
pub use tunnel::{BatchSource, SessionInfo, SessionRequest};
pub use writer::{NewFile, TableDir, partition_value, write_partitioned};

pub(crate) use engine::engine_error;
use external::source::RowSource;
use query::user_code::Signatures;

/// What the warehouse needs to know of the machine and the operator's wishes.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory: root of the data store.
    pub data_dir: PathBuf,
    /// Where queries spill; emptied at start by the caller.
    pub tmp_dir: PathBuf,
    /// Bytes of memory that one instance may use before it spills or fails.
    pub memory_per_instance: usize,
    /// Bytes that all queries together may spill.
    pub spill_limit: u64,
    /// Instances of one project that may run at once.
    pub running_per_project: usize,
    /// Instances that may run at once.
    pub running_total: usize,
    /// The name of this process among those that share the metadata.
    pub node: String,
    /// `odps.sql.timezone` of projects that do not set it.
    pub default_project_timezone: String,
    /// What user code may use.
    pub user_code: UserCode,
    /// What `sys.config` shows.
    pub settings: Vec<Setting>,
    /// What `sys.ots_tables` and `sys.ranges` show; a query of them fails without one.
    pub table_store: Option<Arc<dyn TableStore>>,
}

/// A setting of the process as `sys.config` shows it. Secrets must not be in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    /// `None` when it is unset.
    pub value: Option<String>,
    /// What kind of source has set it, one word that anybody may see.
    pub source: String,
    /// Which file, variable or flag; for administrators. Empty for the built-in value.
    pub place: String,
    pub description: String,
    /// The value is for administrators only.
    pub is_private: bool,
}

/// The warehouse of one process. Cheap to clone.
#[derive(Clone)]
pub struct Warehouse {
    pub(crate) meta: Meta,
    pub(crate) catalog: Catalog,
    pub(crate) config: Arc<Config>,
    pub(crate) tasks: Tasks,
    pub(crate) engine: Engine,
    pub(crate) jobs: Jobs,
    pub(crate) signatures: Arc<Signatures>,
    /// Where tables are whose rows are in another part of the program.
    pub(crate) rows: Option<Arc<dyn RowSource>>,
}

impl Warehouse {
    /// Opens the warehouse: commits that a crash cut short are completed, then jobs start.
    ///
    /// `store` is rooted at `config.data_dir`.
    pub async fn open(config: Config, meta: Meta, store: Arc<dyn ObjectStore>, tasks: Tasks) -> Result<Self> {
        Self::open_over(config, meta, store, tasks, None).await
    }

    /// The same with a part of the program in which external tables may be.
    pub async fn open_over(
        config: Config,
        meta: Meta,
        store: Arc<dyn ObjectStore>,
        tasks: Tasks,
        rows: Option<Arc<dyn RowSource>>,
    ) -> Result<Self> {
        let warehouse = Self { rows, ..Self::open_idle(config, meta, store, tasks).await? };
        warehouse.start_jobs().await?;
        Ok(warehouse)
    }

    /// As [`Warehouse::open`], but no job runs: for `feitian check`.
    pub async fn open_idle(config: Config, meta: Meta, store: Arc<dyn ObjectStore>, tasks: Tasks) -> Result<Self> {
        let catalog = Catalog::new(meta.clone(), store.clone(), tasks.clone());
        let engine = Engine::new(&config, store)?;
        let (config, jobs) = (Arc::new(config), Jobs::default());
        let warehouse = Self { meta, catalog, config, tasks, engine, jobs, signatures: Arc::default(), rows: None };
        warehouse.complete_commits(i64::MAX).await?;
        Ok(warehouse)
    }

    /// Carries out every commit record that was put before `before_ms`.
    pub(crate) async fn complete_commits(&self, before_ms: i64) -> Result<()> {
        for record in self.meta.open_commit_records(None).await? {
            if record.created_ms >= before_ms {
                continue;
            }
            match self.catalog.carry_out(&record).await {
                Ok(()) => {
                    tracing::info!(record = %record.id, owner = %record.owner, "commit completed that was left")
                }
                // The statement runs again, or the upload is committed again by its client.
                Err(e) if e.kind() == feitian_base::Kind::Conflict => {
                    tracing::info!(record = %record.id, error = ?e, "commit given up that was left");
                }
                Err(e) => tracing::error!(record = %record.id, error = ?e, "commit cannot be completed"),
            }
        }
        Ok(())
    }

    /// Stops taking jobs, queues those that run again, and ends the background tasks.
    pub async fn shutdown(&self) {
        self.stop_jobs().await;
        let left = self.tasks.shutdown(Duration::from_secs(30)).await;
        if !left.is_empty() {
            tracing::warn!(tasks = ?left, "background tasks did not end in time");
        }
    }

    /// The metadata this warehouse works on.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The tables.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }
}

/// The error of a statement that names something this version does not do.
pub(crate) fn unsupported(what: impl std::fmt::Display) -> Error {
    let text = format!("ODPS-0121125:[0,0] Unsupported function or operation - {what} is not supported");
    Error::new(feitian_base::Kind::Unsupported, "ODPS-0121125", text)
}
