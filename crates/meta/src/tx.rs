//! One write transaction: begun so that it cannot fail half way for want of a lock, ended with commit or rollback.

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, Executor};

use crate::callers::Callers;
use crate::db::Meta;
use crate::fault::Fault;

/// An open write transaction. Dropped without an end, its connection is closed, which rolls it back.
///
/// Not sqlx's own: that one counts depths, and when SQLite itself has undone a transaction (a full disk does that) the
/// count stays wrong, so that the connection goes back to the pool and never begins another one.
pub(crate) struct Tx {
    inner: PoolConnection<Any>,
    shared: bool,
    ended: bool,
    callers: Arc<Callers>,
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.ended {
            self.inner.close_on_drop();
        }
        self.callers.changed();
    }
}

/// How often a transaction is run again after the database undid it for the sake of another one.
const MAX_RUNS: u32 = 10;

/// What to do after [`Tx::end`].
pub(crate) enum Ended<T> {
    Done(Result<T, Fault>),
    Again,
}

/// Runs the block as one write transaction: `Ok` commits, `Err` rolls back; deadlocks and serialization failures run it
/// again. A macro, because a closure over borrowed arguments cannot promise that its future is `Send`.
macro_rules! write_tx {
    ($meta:expr, |$tx:ident| $body:block) => {{
        let mut run = 0u32;
        let done = loop {
            run += 1;
            let mut $tx = match $crate::tx::Tx::begin($meta).await {
                Ok(tx) => tx,
                Err(e) => break Err(e),
            };
            let result: Result<_, $crate::fault::Fault> = async { $body }.await;
            match $tx.end(result, run).await {
                $crate::tx::Ended::Done(done) => break done,
                $crate::tx::Ended::Again => {}
            }
        };
        done.map_err(feitian_base::Error::from)
    }};
}

/// The statement twice: as it is for SQLite, whose writer is alone anyway, and with a row lock for PostgreSQL.
macro_rules! for_update {
    ($sql:expr) => {
        ($sql, concat!($sql, " FOR UPDATE"))
    };
}

impl Tx {
    pub(crate) async fn begin(meta: &Meta) -> Result<Self, Fault> {
        let shared = meta.is_shared();
        let callers = meta.callers().clone();
        let mut tx = Self { inner: meta.writer().acquire().await?, shared, ended: false, callers };
        // IMMEDIATE takes SQLite's write lock now; a lock upgrade later could fail at once with BUSY.
        tx.say(if shared { "BEGIN" } else { "BEGIN IMMEDIATE" }).await?;
        Ok(tx)
    }

    async fn say(&mut self, words: &'static str) -> Result<(), Fault> {
        (&mut *self.inner).execute(words).await?;
        Ok(())
    }

    /// The connection to run statements on.
    pub(crate) fn conn(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }

    /// The variant of a [`for_update!`] pair that this database needs.
    pub(crate) fn locking(&self, pair: (&'static str, &'static str)) -> &'static str {
        if self.shared { pair.1 } else { pair.0 }
    }

    /// Commits when `result` is `Ok`, otherwise rolls back. `run` counts the runs so far.
    pub(crate) async fn end<T>(mut self, result: Result<T, Fault>, run: u32) -> Ended<T> {
        let fault = match result {
            Ok(value) => match self.say("COMMIT").await {
                Ok(()) => {
                    self.ended = true;
                    return Ended::Done(Ok(value));
                }
                Err(fault) => fault,
            },
            Err(fault) => {
                // A failed rollback closes the connection, which rolls back as well; the first fault matters more.
                self.ended = self.say("ROLLBACK").await.is_ok();
                fault
            }
        };
        drop(self);
        if !fault.is_retryable() || run >= MAX_RUNS {
            return Ended::Done(Err(fault));
        }
        let [jitter] = feitian_base::id::random_bytes::<1>();
        let wait = u64::from(run) * (2 + u64::from(jitter % 16));
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        Ended::Again
    }
}
