//! The network edge against a warehouse in memory and a metadata database in a temporary directory.
#![allow(clippy::unwrap_used)]

mod admin;
mod client;
mod doors;
mod fake;
mod jobs;
mod objects;
mod ots;
mod policies;
mod rest;
mod stop;
mod storage;
mod streams;
mod tunnel;
mod users;
mod volumes;
mod walk;
mod world;
