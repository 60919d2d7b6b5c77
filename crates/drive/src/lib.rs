//! Never shipped: what proves and measures a running feitian from outside.
//!
//! [`client`] is a small ODPS client that links nothing of feitian but `wire`; [`server`] starts and kills the binary. The
//! programs are `feitian-kill` (the kill loop), `feitian-tunnel-bench` and `feitian-select-bench`.

pub mod client;
pub mod lineitem;
pub mod server;
