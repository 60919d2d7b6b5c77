//! What goes wrong on a disk, as `object_store` errors that keep the system's own error within.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use feitian_base::{Error as BaseError, Kind};
use object_store::Error;

/// A result as [`object_store::ObjectStore`] gives it.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A file operation that the system refused; the source is the [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct DiskError {
    /// What was tried: `write`, `sync`, `link to`.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

/// A directory could not be synced, so what this store shows may not be what is on the disk.
///
/// Every later operation of the store fails with it, reads too: who saw the object and built on it would promise
/// what the disk may not hold. It ends with a restart, after the disk was looked at.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store stopped because {reason}: what is on the disk is not known; check the disk, then restart")]
pub struct StoreFailed {
    /// The first failure.
    pub reason: String,
}

/// A failed operation of a kind that says nothing about whether an object exists.
pub(crate) fn failed(action: &'static str, path: &Path, source: io::Error) -> Error {
    let denied = source.kind() == io::ErrorKind::PermissionDenied;
    let source = DiskError { action, path: path.to_path_buf(), source };
    match denied {
        true => Error::PermissionDenied { path: path.display().to_string(), source: source.into() },
        false => generic(source),
    }
}

/// A failed search for an object: a missing file, directory or parent is `NotFound`.
pub(crate) fn lookup(action: &'static str, path: &Path, source: io::Error) -> Error {
    use io::ErrorKind as K;
    match source.kind() {
        K::NotFound | K::NotADirectory | K::IsADirectory => Error::NotFound {
            path: path.display().to_string(),
            source: DiskError { action, path: path.to_path_buf(), source }.into(),
        },
        _ => failed(action, path, source),
    }
}

/// The object that was to be created is there already.
pub(crate) fn exists(path: &Path) -> Error {
    let source = io::Error::from(io::ErrorKind::AlreadyExists);
    Error::AlreadyExists {
        path: path.display().to_string(),
        source: DiskError { action: "create", path: path.to_path_buf(), source }.into(),
    }
}

/// Everything that has no variant of its own.
pub(crate) fn generic(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Generic { store: "LocalStore", source: source.into() }
}

/// True if `error`, or any error that it wraps, says that the disk or the quota on it is full.
///
/// It looks through DataFusion's, Delta's and `object_store`'s wrappers alike.
pub fn storage_full(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|e| {
        e.downcast_ref::<io::Error>()
            .is_some_and(|e| matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    })
}

/// An error of the store in the form that crosses crate borders.
///
/// A missing object is `NotFound`, a taken name or failed condition `Conflict`, a full disk and a stopped store
/// `Unavailable`, an operation or option that we do not offer `Unsupported`, everything else `Internal`.
pub fn base_error(error: Error) -> BaseError {
    let stopped = chain(&error).any(|e| e.is::<StoreFailed>());
    let full = storage_full(&error);
    let (kind, code) = match &error {
        _ if stopped || full => (Kind::Unavailable, "ServiceUnavailable"),
        Error::NotFound { .. } => (Kind::NotFound, "NoSuchObject"),
        Error::AlreadyExists { .. } => (Kind::Conflict, "ObjectAlreadyExists"),
        Error::Precondition { .. } | Error::NotModified { .. } => (Kind::Conflict, "PreconditionFailed"),
        Error::NotImplemented { .. } | Error::NotSupported { .. } => (Kind::Unsupported, "MethodNotAllowed"),
        Error::InvalidPath { .. } => (Kind::Invalid, "InvalidArgument"),
        _ => (Kind::Internal, "InternalServerError"),
    };
    let words = match &error {
        // `object_store` would put "Generic LocalStore error: " before words that stand alone.
        Error::Generic { source, .. } => source.to_string(),
        _ => error.to_string(),
    };
    let message = match full {
        true => format!("the disk is full, free some space and try again: {words}"),
        false => words,
    };
    BaseError::new(kind, code, message).with_source(error)
}

/// `error` and everything below it. An [`io::Error`] hides the error that it wraps from `source()`, so it is opened.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |e: &&'a (dyn StdError + 'static)| {
        let e = *e;
        match e.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => e.source(),
        }
    })
}
