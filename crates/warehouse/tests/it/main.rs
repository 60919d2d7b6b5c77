//! Everything about the warehouse that needs more than one of its files.
#![allow(clippy::unwrap_used)]

mod powercut;
mod sql;
