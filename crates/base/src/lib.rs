//! What every other crate stands on: error kinds, the pages about codes, ids, the clock, owned tasks and fail points.
//!
//! Nothing here knows a protocol, a table or a database. Read in this order: [`Error`] and [`Kind`], [`codes`],
//! [`id`], [`clock`], [`Tasks`], [`failpoint`].

pub mod clock;
pub mod codes;
mod error;
pub mod failpoint;
pub mod id;
mod tasks;

pub use error::{Error, Kind, Result};
pub use tasks::Tasks;
