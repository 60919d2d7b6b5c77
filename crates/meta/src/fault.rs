//! What can go wrong inside a transaction, and how a database error becomes one that crosses the crate's border.

use feitian_base::{Error, Kind};
use sqlx::error::DatabaseError;

/// The error of code inside a transaction: told to the caller as it is, or a database error still to be judged.
pub(crate) enum Fault {
    Told(Error),
    Sql(sqlx::Error),
}

impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        Self::Told(e)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(e: sqlx::Error) -> Self {
        Self::Sql(e)
    }
}

impl Fault {
    /// True when the database has undone the transaction because of another one, so that running it again is safe.
    pub(crate) fn is_retryable(&self) -> bool {
        let Self::Sql(sqlx::Error::Database(e)) = self else { return false };
        // serialization_failure and deadlock_detected: the server has rolled back; nothing of it took effect.
        matches!(e.code().as_deref(), Some("40001" | "40P01"))
    }

    /// True when a unique index refused a row.
    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(e)) if e.is_unique_violation())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Told(e) => e,
            Fault::Sql(e) => told(e),
        }
    }
}

/// The error for the caller; the database's own words stay in the source and in the message, which is for operators.
fn told(e: sqlx::Error) -> Error {
    let (kind, code) = match &e {
        sqlx::Error::Database(d) => judge(d.as_ref()),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => (Kind::Unavailable, "ServiceUnavailable"),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => (Kind::Corrupt, "InternalServerError"),
        sqlx::Error::Configuration(_) => (Kind::Invalid, "InvalidArgument"),
        _ => (Kind::Internal, "InternalServerError"),
    };
    Error::new(kind, code, format!("metadata database: {e}")).with_source(e)
}

/// PostgreSQL names its errors with five characters (its manual, appendix A), SQLite with a number whose low byte is
/// the class (sqlite.org/rescode.html).
fn judge(e: &dyn DatabaseError) -> (Kind, &'static str) {
    const AWAY: (Kind, &str) = (Kind::Unavailable, "ServiceUnavailable");
    const BROKEN: (Kind, &str) = (Kind::Corrupt, "InternalServerError");
    if e.is_unique_violation() {
        return (Kind::Conflict, "ObjectAlreadyExists");
    }
    let code = e.code().unwrap_or_default();
    if code.len() == 5 {
        return match code.as_ref() {
            // character_not_in_repertoire, untranslatable_character: U+0000 in a text.
            "22021" | "22P05" => (Kind::Invalid, "InvalidArgument"),
            // read_only_sql_transaction: a standby answers; idle_in_transaction_session_timeout: we were paused.
            "25006" | "25P03" => AWAY,
            "40001" | "40P01" | "55P03" => AWAY,
            "XX001" | "XX002" => BROKEN,
            c if ["08", "53", "57", "58"].contains(&&c[..2]) => AWAY,
            _ => (Kind::Internal, "InternalServerError"),
        };
    }
    match code.parse::<i64>().map(|c| c & 0xff) {
        // BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN.
        Ok(5 | 6 | 8 | 10 | 13 | 14) => AWAY,
        // CORRUPT, NOTADB.
        Ok(11 | 26) => BROKEN,
        _ => (Kind::Internal, "InternalServerError"),
    }
}

/// An object of the protocol that is not there.
pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Error {
    Error::new(Kind::NotFound, code, message)
}

/// Something that exists already or changed meanwhile.
pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Error {
    Error::new(Kind::Conflict, code, message)
}

/// A row that we would never have written.
pub(crate) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "InternalServerError", format!("metadata database: {}", message.into()))
}

/// The conflict of a change that lost against another statement; clients run theirs again on this code.
pub(crate) fn ddl_conflict(message: impl std::fmt::Display) -> Error {
    conflict("ODPS-0110061", format!("ODPS-0110061:[0,0] Failed to run ddltask - {message}"))
}
