//! Where queries run: a runtime of their own, memory that one instance cannot exceed, and disk for what does not fit.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManager, DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionConfig;
use feitian_base::{Error, Kind, Result};
use object_store::ObjectStore;
use tokio::runtime::{Handle, Runtime};
use url::Url;

use crate::Config;
use crate::catalog::STORE_URL;

/// Deeply nested expressions recurse once a level in planning and evaluation; the parser bounds their depth.
const STACK_BYTES: usize = 64 << 20;
/// How long the end of the last query is waited for, by a thread that nobody waits for.
const ENDING: Duration = Duration::from_secs(60);
/// How much less urgent than the network a query thread is (a `nice` value): a heavy query must not delay answers.
const NICENESS: i32 = 10;

/// Runs queries. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    /// Taken out on drop, because a runtime must not be dropped inside another one.
    runtime: Option<Runtime>,
    handle: Handle,
    store: Arc<dyn ObjectStore>,
    memory_per_instance: usize,
    /// One for all queries, so that the limit of spilled bytes holds for all together.
    disk: Arc<DiskManager>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // The threads are joined, by another one. `shutdown_background` detaches them while they end, and `pthread_detach` of
        // glibc 2.36 looks at a thread once more when that may have unmapped itself: a test that ends thousands of engines
        // died of it.
        let end = move || runtime.shutdown_timeout(ENDING);
        let ender = std::thread::Builder::new().name("query-end".to_string()).spawn(end);
        if let Err(e) = ender {
            tracing::warn!(error = %e, "the threads of queries are left to themselves");
        }
    }
}

impl Engine {
    /// Starts the query threads: one a core.
    pub fn new(config: &Config, store: Arc<dyn ObjectStore>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores())
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            .on_thread_start(|| {
                // On Linux this is the calling thread alone. Where it is not permitted, all share the cores evenly.
                let _ = rustix::process::setpriority_process(None, NICENESS);
            })
            .enable_all()
            .build()?;
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![config.tmp_dir.clone()]))
            .with_max_temp_directory_size(config.spill_limit);
        let inner = Inner {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            store,
            memory_per_instance: config.memory_per_instance,
            disk: Arc::new(disk.build().map_err(engine_error)?),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The query threads.
    pub fn runtime(&self) -> &Handle {
        &self.inner.handle
    }

    /// A session for one instance: its own memory pool and spill files, our store, no functions.
    pub(crate) fn session(&self, options: &HashMap<String, String>) -> Result<SessionState> {
        let mut config = SessionConfig::new().with_target_partitions(cores()).with_information_schema(false);
        for (key, value) in options {
            config.options_mut().set(key, value).map_err(engine_error)?;
        }
        Ok(SessionStateBuilder::new().with_config(config).with_runtime_env(self.environment()?).build())
    }

    fn environment(&self) -> Result<Arc<RuntimeEnv>> {
        let largest = NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN);
        let pool = TrackConsumersPool::new(FairSpillPool::new(self.inner.memory_per_instance), largest);
        let builder = RuntimeEnvBuilder { disk_manager: Some(self.inner.disk.clone()), ..RuntimeEnvBuilder::new() };
        let environment = builder.with_memory_pool(Arc::new(pool)).build_arc().map_err(engine_error)?;
        let url = Url::parse(STORE_URL).map_err(|e| Error::internal(e.to_string()))?;
        environment.register_object_store(&url, self.inner.store.clone());
        Ok(environment)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, NonZeroUsize::get)
}

/// What the engine says, under the MaxCompute code that a client knows.
///
/// One of our own errors inside is taken out as it is. The rest: syntax is `ODPS-0130161`, a plan that makes no sense
/// `ODPS-0130071`, a failed cast `ODPS-0123091`, overflow and division by zero `ODPS-0121145`, what the engine lacks
/// `ODPS-0121125`, too little memory or spill space `ODPS-0123144`, and anything else `ODPS-0010000`.
pub(crate) fn engine_error(e: DataFusionError) -> Error {
    if let Some(ours) = own_error(&e) {
        return ours;
    }
    use arrow::error::ArrowError as A;
    let root = e.find_root();
    let words = root.strip_backtrace();
    let short = words.split_once(": ").map_or(words.as_str(), |(_, rest)| rest).to_string();
    if let Some(io) = io_error(root)
        && let Some((kind, what)) = too_little_space(io)
    {
        return Error::new(kind, "ODPS-0123144", format!("ODPS-0123144:[0,0] Fuxi job failed - {what}")).with_source(e);
    }
    let (kind, code, general) = match root {
        DataFusionError::SQL(..) => (Kind::Invalid, "ODPS-0130161", "Parse exception"),
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) => {
            (Kind::Invalid, "ODPS-0130071", "Semantic analysis exception")
        }
        DataFusionError::NotImplemented(_) => (Kind::Unsupported, "ODPS-0121125", "Unsupported function or operation"),
        DataFusionError::ResourcesExhausted(_) => (Kind::Throttled, "ODPS-0123144", "Fuxi job failed"),
        DataFusionError::ArrowError(a, _) => match a.as_ref() {
            A::CastError(_) | A::ParseError(_) => (Kind::Invalid, "ODPS-0123091", "Illegal type cast"),
            A::ArithmeticOverflow(_) | A::DivideByZero => (Kind::Invalid, "ODPS-0121145", "Data overflow"),
            A::InvalidArgumentError(_) => (Kind::Invalid, "ODPS-0121095", "Invalid arguments"),
            _ => (Kind::Internal, "ODPS-0010000", "System internal error"),
        },
        DataFusionError::Execution(_) => (Kind::Invalid, "ODPS-0121095", "Invalid arguments"),
        _ => (Kind::Internal, "ODPS-0010000", "System internal error"),
    };
    Error::new(kind, code, format!("{code}:[0,0] {general} - {short}")).with_source(e)
}

fn io_error(e: &DataFusionError) -> Option<&std::io::Error> {
    match e {
        DataFusionError::IoError(io) => Some(io),
        DataFusionError::ArrowError(a, _) => match a.as_ref() {
            arrow::error::ArrowError::IoError(_, io) => Some(io),
            _ => None,
        },
        _ => None,
    }
}

/// What an error says of the space for spilling. The engine's own limit has no kind of error, only words
/// (`DiskManager` of DataFusion 55).
fn too_little_space(io: &std::io::Error) -> Option<(Kind, &'static str)> {
    if io.kind() == std::io::ErrorKind::StorageFull {
        return Some((
            Kind::Unavailable,
            "the disk of the data directory is full; the job can run again when there is room",
        ));
    }
    let is_limit = io.to_string().contains("exceeded the allowable limit");
    let words =
        "the jobs that run spill more than query.spill allows; give them more memory or more room, or try again later";
    is_limit.then_some((Kind::Throttled, words))
}

/// An error of ours that travelled through the engine.
fn own_error(e: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(c) = cause {
        if let Some(ours) = c.downcast_ref::<Error>() {
            return Some(Error::new(ours.kind(), ours.code().to_string(), ours.message()));
        }
        // DataFusion shares errors between consumers behind an Arc, whose source() skips the shared error itself.
        if let Some(DataFusionError::Shared(inner)) = c.downcast_ref::<DataFusionError>() {
            return own_error(inner);
        }
        if let Some(DataFusionError::External(inner)) = c.downcast_ref::<DataFusionError>()
            && let Some(ours) = inner.downcast_ref::<Error>()
        {
            return Some(Error::new(ours.kind(), ours.code().to_string(), ours.message()));
        }
        cause = c.source();
    }
    None
}
