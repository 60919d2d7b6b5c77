//! The protocol's codes with their documented words; clients compare both.

use feitian_base::{Error, Kind};

/// A parameter that the service refuses.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "OTSParameterInvalid", message)
}

/// A key that does not fit the table.
pub(crate) fn invalid_key(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, "OTSInvalidPK", message)
}

pub(crate) fn no_table() -> Error {
    Error::new(Kind::NotFound, "OTSObjectNotExist", "Requested table does not exist.")
}

pub(crate) fn no_index(name: &str) -> Error {
    Error::new(Kind::NotFound, "OTSObjectNotExist", format!("Requested index does not exist: '{name}'."))
}

pub(crate) fn no_stream() -> Error {
    Error::new(Kind::NotFound, "OTSObjectNotExist", "Requested stream does not exist.")
}

pub(crate) fn table_exists() -> Error {
    Error::new(Kind::Conflict, "OTSObjectAlreadyExist", "Requested table already exists.")
}

pub(crate) fn condition_failed() -> Error {
    Error::new(Kind::Conflict, "OTSConditionCheckFail", "Condition check failed.")
}

/// Somebody else holds the row; the write certainly did not happen, so clients send it again.
pub(crate) fn row_conflict() -> Error {
    Error::new(Kind::Conflict, "OTSRowOperationConflict", "Data is being modified by the other request.")
}

pub(crate) fn bad_transaction_id() -> Error {
    invalid("TransactionID is invalid.")
}

pub(crate) fn no_session() -> Error {
    Error::new(Kind::NotFound, "OTSSessionNotExist", "Session not exist or may be timeout.")
}

pub(crate) fn too_many_tables(quota: usize) -> Error {
    Error::new(Kind::Throttled, "OTSQuotaExhausted", format!("Number of tables exceeds the quota:{quota}."))
}

pub(crate) fn out_of_scope(atomic: &str, data: &str) -> Error {
    let words = format!("Data out of scope of atomic. Atomic PartKey:{atomic}. Data PartKey:{data}");
    Error::new(Kind::Invalid, "OTSDataOutOfRange", words)
}

/// Stored bytes that we never wrote so.
pub(crate) fn corrupt(what: impl Into<String>) -> Error {
    let what: String = what.into();
    Error::new(Kind::Corrupt, "OTSInternalServerError", "Internal server error.").with_source(what)
}

/// A fault of ours.
pub(crate) fn fault(what: impl Into<String>) -> Error {
    let what: String = what.into();
    Error::new(Kind::Internal, "OTSInternalServerError", "Internal server error.").with_source(what)
}

/// The same error for somebody else, without what only the log is told.
pub(crate) fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.code().to_owned(), error.message())
}
