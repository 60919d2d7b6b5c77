//! The storage API: tables as Arrow streams, read in splits and written in blocks (version 1) or streams (2 and 3).
//!
//! It is the tunnel's work under another protocol: the sessions, bodies, limits and codes are those of `tunnel`. What
//! the requests mean is in `request`, what the answers say in `document`; both are as `odps/apis/storage_api`,
//! `odps/apis/storage_api_v2` and `odps/maxstorage` of PyODPS have them. `reads` and `writes` are version 1; `target`,
//! `splits`, `results` and `streams` are the others.

pub mod document;
pub mod reads;
pub mod request;
pub mod results;
pub mod splits;
pub mod streams;
pub mod target;
pub mod write_schema;
pub mod writes;

use feitian_base::{Error, Result};

use crate::call::Call;

/// The one format of rows, and its version.
pub const FORMAT: (&str, &str) = ("ARROW", "V5");

/// Refuses another format of rows than [`FORMAT`], if the request names one.
fn check_format(call: &Call) -> Result<()> {
    for (key, only) in [("data_format_type", FORMAT.0), ("data_format_version", FORMAT.1)] {
        if let Some(given) = call.query.get(key).filter(|given| !given.eq_ignore_ascii_case(only)) {
            return Err(Error::unsupported(format!("{key} '{given}' is not supported; rows come as {only}")));
        }
    }
    Ok(())
}
