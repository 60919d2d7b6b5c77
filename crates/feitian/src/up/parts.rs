//! Opens the parts of a process on its data directory; `feitian up` and `feitian check` share it.

use std::sync::Arc;

use feitian_base::Tasks;
use feitian_meta::Meta;
use feitian_store::LocalStore;
use feitian_warehouse::{UserCode, Warehouse};
use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::datadir::DataDir;
use crate::failure::{Failure, Result};

/// `odps.sql.timezone` of projects that do not set it, as in MaxCompute; the machine's time zone is never read.
pub(crate) const PROJECT_TIMEZONE: &str = "Asia/Shanghai";

/// The runtime for HTTP and metadata. Two threads at least, so that one blocked call does not stop all.
pub(crate) fn runtime() -> Result<Runtime> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let built = Builder::new_multi_thread().worker_threads(threads).thread_name("feitian-http").enable_all().build();
    built.map_err(|e| Failure::from(e).context("start the threads of the server"))
}

/// The metadata database that `config` names, by default SQLite in the directory.
pub(crate) async fn open_meta(config: &Config, dir: &DataDir) -> Result<Meta> {
    let url = config.meta.clone().unwrap_or_else(|| dir.sqlite_url());
    Meta::open(&url).await.map_err(|e| Failure::from(e).context("open the metadata"))
}

/// What tables leave free on the disk: a job writes its metadata before it reads, and a full database would stop reads too.
const KEPT_FREE_BYTES: u64 = 16 << 20;

/// The bytes in the directory.
pub(crate) fn open_store(dir: &DataDir) -> Result<Arc<LocalStore>> {
    let store = LocalStore::open(dir.root())?;
    store.keep_free(KEPT_FREE_BYTES);
    Ok(Arc::new(store))
}

/// The settings of the warehouse on `dir`.
pub(crate) fn warehouse_config(config: &Config, dir: &DataDir, node: &str) -> feitian_warehouse::Config {
    feitian_warehouse::Config {
        data_dir: dir.root().to_path_buf(),
        tmp_dir: dir.tmp().to_path_buf(),
        memory_per_instance: usize::try_from(config.query_memory).unwrap_or(usize::MAX),
        spill_limit: config.query_spill,
        running_per_project: config.query_running_per_project,
        running_total: config.query_running_total,
        node: node.to_string(),
        default_project_timezone: PROJECT_TIMEZONE.to_string(),
        user_code: UserCode { hidden: dir.root().to_path_buf(), ..config.user_code.clone() },
        settings: config.settings(),
        table_store: None,
    }
}

/// A warehouse that runs no job.
pub(crate) async fn open_idle_warehouse(config: &Config, dir: &DataDir, meta: Meta, tasks: Tasks) -> Result<Warehouse> {
    let store = open_store(dir)?;
    Ok(Warehouse::open_idle(warehouse_config(config, dir, dir.id()), meta, store, tasks).await?)
}
