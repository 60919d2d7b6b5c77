//! The program from outside: settings, the data directory, start and stop, and every command against a real server.

#![allow(clippy::unwrap_used)]

mod client;
mod config;
mod datadir;
mod explain;
mod process;
mod shared;
mod start;
mod stop;
