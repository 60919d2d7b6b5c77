//! Everything about the warehouse that needs more than one of its files.
#![allow(clippy::unwrap_used)]

mod columns;
mod old;
mod powercut;
mod profile;
mod reads;
mod shown;
mod sql;
mod system;
mod uploads;
mod users;
mod watched;
