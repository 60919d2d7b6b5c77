//! Never shipped: what proves and measures a running feitian from outside.
//!
//! [`client`] is a small ODPS client that links nothing of feitian but `wire`; [`server`] starts and kills the binary. The
//! programs are `feitian-kill` (the kill loop), `feitian-tunnel-bench`, `feitian-select-bench` and `feitian-tables-bench`.
//! The last one's clients are [`ots`] and [`peers`], which [`load`] lets work.

pub mod client;
pub mod lineitem;
pub mod load;
pub mod ots;
pub mod peers;
pub mod server;
