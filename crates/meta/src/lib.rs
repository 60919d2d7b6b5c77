//! The small consistent state: accounts, projects, tables, partitions, jobs, sessions and the commit protocol.
//!
//! [`Meta`] is one handle on one database, SQLite for a single machine or PostgreSQL for several, with the same SQL on
//! both. Every method is one transaction: when it has returned `Ok`, its effect survives a crash; when it has returned
//! an error, it has had no effect, except that an error of kind `Unavailable` leaves open whether the last change
//! arrived. Nothing here knows HTTP, SQL of users or files of tables.
//!
//! Read in this order: [`rows`], `db` (opening, transactions, retry), `migrations` (every table and index), then one
//! file per repository.

#[macro_use]
mod tx;

mod accounts;
mod callers;
mod cells;
mod commits;
mod db;
mod expiry;
mod fault;
mod functions;
mod instances;
mod labels;
mod migrations;
mod nodes;
mod ots;
mod partition_rows;
mod partitions;
mod policy;
mod projects;
mod range;
mod requeue;
mod resources;
pub mod rows;
mod rules;
mod schemas;
mod security;
mod sessions;
mod settings;
mod steps;
mod system;
mod tables;
mod volume_entries;
mod volume_sessions;
mod volumes;

#[cfg(test)]
mod tests;

pub use db::Meta;
pub use instances::LISTED_QUERY;
pub use policy::{NO_POLICY, Policy};
pub use rows::*;
pub use rules::{Claim, Target};
pub use system::{InstanceParts, InstancePlace, InstanceScan, PartitionSums, SessionRow, TableScan};
pub use volume_entries::{MAX_VOLUME_PATH_BYTES, VolumeEntry, split_volume_path};
pub use volumes::{FS_VOLUME, PARTED_VOLUME, Volume};
