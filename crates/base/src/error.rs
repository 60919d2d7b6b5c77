//! The one error type that crosses crate borders: what the caller should do, the protocol's code, and the words.

use std::borrow::Cow;
use std::fmt;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller must do about an error. Retry policy and HTTP status look at this and at nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong; fix it before sending it again.
    Invalid,
    /// The thing named does not exist.
    NotFound,
    /// The thing exists already or changed meanwhile; look again, then decide.
    Conflict,
    /// The caller is not who it says, or may not do this.
    Denied,
    /// We do not do this; another request may work.
    Unsupported,
    /// Too much at once; the same request works later.
    Throttled,
    /// A part we need is away or full; the same request works once it is back.
    Unavailable,
    /// Stored bytes are not what we wrote; an operator must look.
    Corrupt,
    /// Stopped on request.
    Cancelled,
    /// A fault of ours; please report it.
    Internal,
}

/// An error with its [`Kind`], a protocol code (for example `ODPS-0130131` or `NoSuchTable`) and a message for the user.
///
/// `Display` prints the message alone. The cause, when there is one, is for logs and reached through
/// [`std::error::Error::source`].
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    code: Cow<'static, str>,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` whose `code` a client of the protocol recognises.
    pub fn new(kind: Kind, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, code: code.into(), message: message.into(), source: None }))
    }

    /// Keeps `source` for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error with `prefix: ` before its message.
    #[must_use]
    pub fn context(mut self, prefix: impl fmt::Display) -> Self {
        self.0.message = format!("{prefix}: {}", self.0.message);
        self
    }

    /// A malformed or impossible argument.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, "InvalidArgument", message)
    }

    /// A fault of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, "InternalServerError", message)
    }

    /// An operation that we do not offer.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, "MethodNotAllowed", message)
    }

    /// What the caller must do.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The protocol's code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The words for the user.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}): {}", self.0.kind, self.0.code, self.0.message)?;
        match &self.0.source {
            Some(s) => write!(f, ": {s}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as _)
    }
}

/// An I/O error: a full disk is [`Kind::Unavailable`], everything else that the system refuses is [`Kind::Internal`].
impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let (kind, code) = match e.kind() {
            K::StorageFull | K::QuotaExceeded => (Kind::Unavailable, "ServiceUnavailable"),
            _ => (Kind::Internal, "InternalServerError"),
        };
        Self::new(kind, code, e.to_string()).with_source(e)
    }
}
