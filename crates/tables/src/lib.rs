//! The table store: sparse sorted tables of rows with versioned cells, over an ordered durable engine.
//!
//! Callers see [`Tables`] and the plain structs of [`model`]; the bytes of the protocol are `feitian_wire::ots`, and
//! who may do what is asked before. Read in this order: [`model`], [`engine`], then `keys.rs` and `cells.rs` (what lies
//! where), `write.rs` (how a row changes), `read.rs`, `txn.rs`, `catalog.rs` (which tables there are) and `clean.rs`.

mod alter;
mod apply;
mod backfill;
mod batch;
mod catalog;
mod cells;
mod check;
mod clean;
pub mod clock;
mod define;
pub mod engine;
mod errors;
mod filter;
mod heat;
mod hot;
mod index;
mod inner;
mod keys;
mod latch;
mod meter;
pub mod model;
mod plan;
mod project;
mod read;
mod settings;
mod split;
mod stream;
mod table;
mod tables;
mod txn;
mod units;
mod usage;
mod view;
mod whole;
mod write;

pub use clock::{Clock, SystemClock};
pub use engine::Engine;
pub use settings::Settings;
pub use tables::Tables;
