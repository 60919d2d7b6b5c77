//! Tests of the store through its public face, on the machine's disk and on the simulated one.
#![allow(clippy::unwrap_used)]

mod contract;
mod faults;
mod files;
mod power_cut;
mod spy;
