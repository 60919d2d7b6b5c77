//! Who asks, once that is proven.

use feitian_base::{Error, Kind, Result};
use feitian_meta::Policy;

use crate::warehouse::Caller;

/// The proven identity of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody was asked to prove anything: operations open to everyone.
    Nobody,
    /// An account that signed the request with one of its keys.
    Account(Caller),
    /// A bearer token: it acts for `caller`, in one project, and only as far as its policy goes.
    Token { caller: Caller, grant: Grant },
}

/// What a bearer token carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub project: String,
    pub policy: Policy,
}

impl Identity {
    /// The account, whether it signed or a token acts for it.
    pub fn caller(&self) -> Result<&Caller> {
        match self {
            Self::Account(caller) | Self::Token { caller, .. } => Ok(caller),
            Self::Nobody => Err(missing_credentials()),
        }
    }
}

/// The answer to a request without credentials.
pub fn missing_credentials() -> Error {
    Error::new(
        Kind::Denied,
        "Unauthorized",
        "the request carries no credentials: sign it with an access key or send a bearer token",
    )
}
