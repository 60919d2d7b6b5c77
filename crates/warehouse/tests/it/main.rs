//! Everything about the warehouse that needs more than one of its files.
#![allow(clippy::unwrap_used)]

mod columns;
mod dml;
mod old;
mod powercut;
mod profile;
mod reads;
mod sql;
mod storage;
mod system;
mod uploads;
mod watched;
