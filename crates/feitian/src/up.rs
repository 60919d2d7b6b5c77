//! `feitian up`: the life of a server, from its settings to the answer to SIGTERM.
//!
//! Two runtimes: this file's serves HTTP and reads metadata; queries run on the warehouse's own, with less priority, so
//! that a heavy query never holds up a question.

mod banner;
pub(crate) mod parts;
mod table_source;
mod table_usage;
mod tables;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use feitian_api::{AppState, Limits, Ots, Settings, ots_router, router};
use feitian_base::{Tasks, clock, id};
use feitian_meta::Meta;
use feitian_store::LocalStore;
use feitian_warehouse::Warehouse;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::bootstrap::{self, Endpoints};
use crate::cli::{SettingsArgs, UpArgs};
use crate::config::{Config, Sources};
use crate::credentials::Credentials;
use crate::datadir::{DataDir, Share};
use crate::failure::{Answer, Failure, Result};
use crate::logging;
use crate::warehouse_adapter::Adapter;
use table_source::TableSource;

/// How long background tasks may take beyond the time that requests get.
const BACKGROUND_END: Duration = Duration::from_secs(3);
/// How long what is left in the runtime may take once the server has stopped.
const RUNTIME_END: Duration = Duration::from_secs(2);
/// The exit code of a process that a SIGINT ended, as shells report it: 128 + 2.
const EXIT_INTERRUPTED: i32 = 130;

/// Runs a server until it is told to stop.
pub(crate) fn run(args: &UpArgs, out: &mut dyn Write) -> Result<Answer> {
    let config = Config::load(&sources(args)?)?;
    logging::start(&config)?;
    let runtime = parts::runtime()?;
    let answer = runtime.block_on(serve(&config, out));
    // Threads that read from a client which sends nothing would keep a runtime waiting for ever.
    runtime.shutdown_timeout(RUNTIME_END);
    answer
}

async fn serve(config: &Config, out: &mut dyn Write) -> Result<Answer> {
    let cannot_listen = |e| Failure::from(e).context("listen for signals");
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot_listen)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot_listen)?;
    let mut server = Server::start(config).await?;
    // Whoever started us may not read what we print; that is no reason to stop.
    let _ = banner::print(&server, out).and_then(|()| out.flush());
    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        ended = &mut server.serving => return Err(ended_early(ended)),
        ended = &mut server.ots_serving => return Err(ended_early(ended)),
    };
    tracing::info!(signal, grace_s = config.server_grace.as_secs(), "stopping; a further SIGINT ends at once");
    tokio::select! {
        () = server.stop() => {}
        _ = interrupt.recv() => {
            tracing::warn!("ended at once by a second SIGINT");
            std::process::exit(EXIT_INTERRUPTED);
        }
    }
    Ok(Answer::Done)
}

fn ended_early(ended: Result<feitian_base::Result<()>, tokio::task::JoinError>) -> Failure {
    match ended {
        Ok(Ok(())) => Failure::new("the listener ended by itself"),
        Ok(Err(e)) => Failure::from(e).context("the listener ended"),
        Err(e) => Failure::new(format!("the listener ended: {e}")),
    }
}

/// A running server. [`Server::stop`] ends it in order; dropping it leaves its tasks to the runtime.
pub struct Server {
    /// `http://host:port/api`, as a client on this machine reaches it.
    pub endpoint: String,
    /// `http://host:port` of the table store, likewise.
    pub ots_endpoint: String,
    /// What `DATA/credentials` holds, if it is there.
    pub credentials: Option<Credentials>,
    /// True when this was the first start on the directory.
    pub first: bool,
    dir: DataDir,
    meta: Meta,
    tasks: Tasks,
    warehouse: Warehouse,
    ots: Ots,
    serving: JoinHandle<feitian_base::Result<()>>,
    ots_serving: JoinHandle<feitian_base::Result<()>>,
    grace: Duration,
}

impl Server {
    /// Opens the data directory and serves; when this returns, requests are answered.
    pub async fn start(config: &Config) -> Result<Self> {
        let started_ms = clock::now_ms();
        let share = if config.meta.is_some() { Share::Together } else { Share::Alone };
        let dir = DataDir::open(&config.data, share)?;
        // Before anything is created: a port that is taken should leave an empty directory empty.
        let (listener, address) = listen(config.listen, "--listen", "127.0.0.1:7710").await?;
        let (ots_listener, ots_address) = listen(config.ots_address(), "--ots-listen", "127.0.0.1:7711").await?;
        let at = Endpoints {
            odps: format!("http://{}/api", reachable(address)),
            ots: format!("http://{}", reachable(ots_address)),
        };
        let meta = parts::open_meta(config, &dir).await?;
        let ready = bootstrap::complete(&dir, &meta, config.master_key.as_deref(), &at).await?;
        let tasks = Tasks::new();
        // With SQLite there is one process at a time: what the last one ran is this one's to run again.
        let node = if meta.is_shared() { id::ulid() } else { dir.id().to_string() };
        let ots = tables::open(config, &dir, &tasks).await?;
        let store = parts::open_store(&dir)?;
        let rows = Arc::new(TableSource::new(ots.clone(), meta.clone()));
        let mut wanted = parts::warehouse_config(config, &dir, &node);
        wanted.table_store = Some(Arc::new(table_usage::Usage::new(ots.clone(), &node, dir.root())));
        let warehouse = Warehouse::open_over(wanted, meta.clone(), store.clone(), tasks.clone(), Some(rows)).await?;
        let settings = Settings {
            default_host: reachable(address).to_string(),
            forwarded_from: config.server_proxies.clone(),
            node: node.clone(),
            started_ms,
            limits: Limits { shutdown: config.server_grace, ..Limits::default() },
            ..Settings::default()
        };
        let adapter = Arc::new(Adapter::new(warehouse.clone()));
        let state = AppState::open(adapter, meta.clone(), ready.secrets, settings, tasks.clone()).await?;
        let state = state.with_pages(feitian_console::GROUPS).with_refusal_page(feitian_console::refusal_page);
        let state = state.with_ots(ots.clone());
        let serving = feitian_api::serve(listener, router(state.clone()), state.clone());
        let serving = tasks.spawn("http-listener", serving);
        let ots_serving = feitian_api::serve(ots_listener, ots_router(state.clone()), state);
        let ots_serving = tasks.spawn("ots-listener", ots_serving);
        if dir.was_alone() {
            sweep(&tasks, store, meta.is_shared());
        }
        let ms = clock::now_ms() - started_ms;
        tracing::info!(%address, %ots_address, %node, data = %dir.root().display(), ms, "ready");
        let (credentials, first) = (ready.credentials, ready.first);
        Ok(Self {
            endpoint: at.odps,
            ots_endpoint: at.ots,
            credentials,
            first,
            dir,
            meta,
            tasks,
            warehouse,
            ots,
            serving,
            ots_serving,
            grace: config.server_grace,
        })
    }

    /// The data directory.
    pub fn data(&self) -> &std::path::Path {
        self.dir.root()
    }

    /// Ends in order: no new connection, waiting questions answered at once, requests under way get their time, running
    /// instances are queued again, background tasks end, the table store and the database are closed.
    pub async fn stop(&mut self) {
        self.tasks.stop_token().cancel();
        // The connections are among the tasks that the warehouse waits for, so that the grace bounds both.
        let background = tokio::time::timeout(self.grace + BACKGROUND_END, self.warehouse.shutdown());
        let (served, ots_served, _) = tokio::join!(&mut self.serving, &mut self.ots_serving, background);
        for served in [served, ots_served] {
            if let Ok(Err(e)) = served {
                tracing::error!(error = ?e, "a listener ended with an error");
            }
        }
        let left = self.tasks.shutdown(Duration::from_secs(1)).await;
        if !left.is_empty() {
            tracing::warn!(tasks = ?left, "some tasks were still running at the end");
        }
        tables::close(&self.ots).await;
        self.meta.close().await;
        self.dir.remove_tmp();
        tracing::info!("stopped");
    }
}

/// Removes, in the background, what writes of earlier processes left. Nothing depends on it but the space.
fn sweep(tasks: &Tasks, store: Arc<LocalStore>, shared: bool) {
    // Another process may have started meanwhile; no write of it takes this long.
    let age = if shared { Duration::from_secs(3600) } else { Duration::ZERO };
    tasks.spawn("sweep", async move {
        match store.sweep_temporaries(age).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed temporary files of earlier processes"),
            Err(e) => tracing::warn!(error = ?e, "temporary files of earlier processes stay until the next start"),
        }
    });
}

/// The settings of `feitian up` in order of strength.
fn sources(args: &UpArgs) -> Result<Sources> {
    let mut flags = settings_flags(&args.settings)?;
    let named = [
        ("listen", "--listen", &args.listen),
        ("ots.listen", "--ots-listen", &args.ots_listen),
        ("master_key", "--master-key", &args.master_key),
        ("log.filter", "--log", &args.log),
        ("log.format", "--log-format", &args.log_format),
    ];
    for (key, flag, value) in named {
        flags.extend(value.iter().map(|v| (key.to_string(), v.clone(), flag.to_string())));
    }
    Ok(Sources { file: args.settings.config.clone(), environment: std::env::vars_os().collect(), flags })
}

fn settings_flags(args: &SettingsArgs) -> Result<Vec<(String, String, String)>> {
    let mut flags = Vec::new();
    for text in &args.set {
        let (key, value) = crate::commands::key_value(text)?;
        flags.push((key, value, "--set".to_string()));
    }
    for (key, flag, value) in [("data", "--data", &args.data), ("meta", "--meta", &args.meta)] {
        flags.extend(value.iter().map(|v| (key.to_string(), v.clone(), flag.to_string())));
    }
    Ok(flags)
}

async fn listen(wanted: SocketAddr, flag: &str, another: &str) -> Result<(TcpListener, SocketAddr)> {
    let bind = async {
        let listener = TcpListener::bind(wanted).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind.await.map_err(|e: std::io::Error| {
        let taken = e.kind() == std::io::ErrorKind::AddrInUse;
        let failure = Failure::from(e).context(format!("cannot listen on {wanted}"));
        if taken { failure.hint(format!("choose another port with {flag}, for example {another}")) } else { failure }
    })
}

/// The address as a client on this machine reaches it: "all addresses" is none that one could connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // RFC 1122, section 3.2.1.3: 0.0.0.0 is no destination; RFC 4291, section 2.5.2 says it of ::.
    #[test]
    fn the_endpoint_is_an_address_that_a_client_can_use() {
        for (listen, want) in
            [("0.0.0.0:7700", "127.0.0.1:7700"), ("[::]:7700", "[::1]:7700"), ("192.168.1.2:80", "192.168.1.2:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), want);
        }
    }
}
