//! Everything about the warehouse that needs more than one of its files.
#![allow(clippy::unwrap_used)]

mod blooms;
mod columns;
mod dml;
mod files;
mod keys;
mod late;
mod lifecycle;
mod materialized;
mod memory;
mod old;
mod policies;
mod powercut;
mod profile;
mod reads;
mod registry;
mod rising;
mod rows;
mod scripts;
mod shared;
mod shown;
mod sql;
mod statistics;
mod storage;
mod system;
mod system_ots;
mod travel;
mod uploads;
mod users;
mod volumes;
mod watched;
