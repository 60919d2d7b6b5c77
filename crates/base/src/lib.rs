//! What every other crate stands on: error kinds, ids, the clock, owned background tasks and fail points.
//!
//! Nothing here knows a protocol, a table or a database. Read in this order: [`Error`] and [`Kind`], [`id`],
//! [`clock`], [`Tasks`], [`failpoint`].

pub mod clock;
mod error;
pub mod failpoint;
pub mod id;
mod tasks;

pub use error::{Error, Kind, Result};
pub use tasks::Tasks;
