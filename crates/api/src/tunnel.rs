//! The tunnel: bulk upload and download of tables, results and files of volumes.
//!
//! Rows travel as record streams or Arrow, compressed or not ([`codec`]). Bodies cross from the connection to a
//! blocking thread and back through short channels ([`body_in`], [`body_out`]), so that a transfer holds a few chunks
//! and one batch in memory, whatever its size.

pub mod body_in;
pub mod body_out;
pub mod codec;
pub mod downloads;
pub mod permit;
pub mod preview;
pub mod results;
pub mod session;
pub mod streams;
pub mod uploads;
pub mod upserts;
pub mod volume_body;
pub mod volume_files;
pub mod volumes;
