//! The table store: sparse sorted tables of rows with versioned cells, over an ordered durable engine.
//!
//! Callers see [`Tables`] and the plain structs of [`model`]; the bytes of the protocol are `feitian_wire::ots`, and who may
//! do what is asked before. Read in this order: [`model`], [`engine`], then `keys.rs` and `cells.rs` (what lies where),
//! `write.rs` (how a row changes) and `range.rs` (how rows are read).

pub mod clock;
pub mod engine;
pub mod model;
mod settings;

pub use clock::{Clock, SystemClock};
pub use engine::Engine;
pub use settings::Settings;
