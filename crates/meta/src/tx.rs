//! One write transaction: begun so that it cannot fail half way for want of a lock, ended with commit or rollback.

use sqlx::Any;
use sqlx::AnyConnection;

use crate::db::Meta;
use crate::fault::Fault;

/// An open write transaction. Dropped without an end, it is rolled back.
pub(crate) struct Tx {
    inner: sqlx::Transaction<'static, Any>,
    shared: bool,
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
        // IMMEDIATE takes SQLite's write lock now; a lock upgrade later could fail at once with BUSY.
        let inner =
            if shared { meta.writer().begin().await? } else { meta.writer().begin_with("BEGIN IMMEDIATE").await? };
        Ok(Self { inner, shared })
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
    pub(crate) async fn end<T>(self, result: Result<T, Fault>, run: u32) -> Ended<T> {
        let fault = match result {
            Ok(value) => match self.inner.commit().await {
                Ok(()) => return Ended::Done(Ok(value)),
                Err(e) => Fault::Sql(e),
            },
            Err(fault) => {
                // A failed rollback closes the connection, which rolls back as well; the first fault matters more.
                let _ = self.inner.rollback().await;
                fault
            }
        };
        if !fault.is_retryable() || run >= MAX_RUNS {
            return Ended::Done(Err(fault));
        }
        let [jitter] = feitian_base::id::random_bytes::<1>();
        let wait = u64::from(run) * (2 + u64::from(jitter % 16));
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        Ended::Again
    }
}
