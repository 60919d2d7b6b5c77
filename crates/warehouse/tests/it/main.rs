//! Everything about the warehouse that needs more than one of its files.
#![allow(clippy::unwrap_used)]

mod columns;
mod dml;
mod files;
mod keys;
mod lifecycle;
mod materialized;
mod old;
mod policies;
mod powercut;
mod profile;
mod reads;
mod registry;
mod shown;
mod sql;
mod storage;
mod system;
mod travel;
mod uploads;
mod users;
mod watched;
