//! Opens the metadata database and keeps its connection pools.

use std::sync::Arc;
use std::time::Duration;

use feitian_base::{Error, Kind, Result};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, Connection, Executor, Row};

use crate::callers::Callers;
use crate::fault::Fault;
use crate::migrations;

/// A handle on the metadata database. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Meta {
    readers: AnyPool,
    writer: AnyPool,
    shared: bool,
    callers: Arc<Callers>,
}

/// FULL fsyncs the log at every commit, so that a transaction that was answered survives power loss.
const SQLITE_WRITER: &str = "PRAGMA busy_timeout = 10000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; \
     PRAGMA journal_size_limit = 67108864";
/// `query_only`: a statement that writes on a reader is a fault of ours and fails.
const SQLITE_READER: &str = "PRAGMA busy_timeout = 10000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; \
     PRAGMA query_only = ON";
/// A process that is paused inside a transaction must not hold its row locks for ever: the server ends it.
const POSTGRES_SESSION: &str = "SET idle_in_transaction_session_timeout = '30s'; SET lock_timeout = '30s'; \
     SET default_transaction_isolation = 'read committed'";

const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 10;

impl Meta {
    /// Opens `sqlite:///abs/path/meta.db` (created when missing) or `postgres://…`, and brings its tables up to date.
    ///
    /// SQLite runs in WAL mode with `synchronous=FULL`: one writing connection and a few readers. Everything after
    /// `sqlite://` is the path, taken literally. Errors: `Invalid` for another scheme, `Unavailable` when the database
    /// cannot be reached, `Unsupported` when a newer feitian has written it.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let meta = if let Some(path) = url.strip_prefix("sqlite://") {
            Self::open_sqlite(path).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Self::open_postgres(url).await?
        } else {
            return Err(Error::invalid(
                "The metadata database must be sqlite:///absolute/path or postgres://user@host/database",
            ));
        };
        migrations::run(&meta).await?;
        Ok(meta)
    }

    async fn open_sqlite(path: &str) -> Result<Self> {
        if !path.starts_with('/') {
            return Err(Error::invalid(format!("The path of the metadata database must be absolute, not '{path}'")));
        }
        let options = parse(&format!("sqlite://{}?mode=rwc", percent_encode(path)))?;
        let failed = |e: Fault| Error::from(e).context(format!("cannot open {path}"));
        start_wal(&options).await.map_err(failed)?;
        let writer = pool(1, false, SQLITE_WRITER);
        let readers = pool(SQLITE_READERS, false, SQLITE_READER);
        Ok(Self {
            writer: writer.connect_with(options.clone()).await.map_err(|e| failed(e.into()))?,
            readers: readers.connect_with(options).await.map_err(|e| failed(e.into()))?,
            shared: false,
            callers: Arc::default(),
        })
    }

    async fn open_postgres(url: &str) -> Result<Self> {
        let options = parse(url)?;
        // The pool would retry a refused connection and then only say that it timed out. The URL may hold a password.
        let failed = |e: sqlx::Error| Error::from(Fault::from(e)).context("cannot open the PostgreSQL database");
        let probe = tokio::time::timeout(Duration::from_secs(30), AnyConnection::connect_with(&options));
        let probe = probe.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(failed)?;
        probe.close().await.map_err(failed)?;
        let pool = pool(POSTGRES_CONNECTIONS, true, POSTGRES_SESSION).connect_with(options).await.map_err(failed)?;
        Ok(Self { readers: pool.clone(), writer: pool, shared: true, callers: Arc::default() })
    }

    /// True when several processes may use this database at once (PostgreSQL).
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Closes every connection; SQLite's log is folded into the database file. Later calls fail with `Unavailable`.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(crate) fn reader(&self) -> &AnyPool {
        &self.readers
    }

    pub(crate) fn writer(&self) -> &AnyPool {
        &self.writer
    }

    pub(crate) fn callers(&self) -> &Arc<Callers> {
        &self.callers
    }
}

fn parse(url: &str) -> Result<AnyConnectOptions> {
    // sqlx's own message would repeat the URL, which may hold a password.
    url.parse().map_err(|_| Error::invalid("The URL of the metadata database cannot be parsed"))
}

/// A literal path as the path of a URL: sqlx decodes it again.
fn percent_encode(path: &str) -> String {
    let mut url = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => url.push(byte as char),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// Creates the file and switches it to WAL, which stays with the file.
async fn start_wal(options: &AnyConnectOptions) -> Result<(), Fault> {
    let mut conn = AnyConnection::connect_with(options).await?;
    conn.execute(SQLITE_WRITER).await?;
    let mode: String = conn.fetch_one("PRAGMA journal_mode = WAL").await?.try_get(0)?;
    conn.close().await?;
    if mode != "wal" {
        let message = format!("SQLite stays in journal mode '{mode}': its directory must be on a local disk");
        return Err(Error::new(Kind::Unavailable, "ServiceUnavailable", message).into());
    }
    Ok(())
}

/// A pool whose connections begin with `setup`; `check` pings one before use, for servers that may restart.
fn pool(size: u32, check: bool, setup: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(Duration::from_secs(30))
        .test_before_acquire(check)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |conn, _| {
            Box::pin(async move {
                conn.execute(setup).await?;
                Ok(())
            })
        })
}
