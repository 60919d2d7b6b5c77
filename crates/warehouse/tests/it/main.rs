//! Everything about the warehouse that needs more than one of its files.
#![allow(clippy::unwrap_used)]

mod old;
mod powercut;
mod profile;
mod sql;
mod system;
