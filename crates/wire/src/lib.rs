//! The bytes of the protocols of MaxCompute and of the table store: signatures, documents, streams and framing of rows.
//!
//! Nothing here opens a socket, runs SQL or stores anything: every module turns bytes into values or values into bytes,
//! for servers and clients alike. Read in this order:
//!
//! * [`sign`] and [`bearer`]: who sent a request;
//! * [`xml`], [`schema_json`] and [`csv`]: the documents of the REST half;
//! * [`compress`], then [`record`], [`arrow_frame`] or [`volume_frame`]: the body of a tunnel request, from the outside in;
//! * [`Limits`]: how much of a foreign body is held in memory at once;
//! * [`ots`]: the table store, which shares none of the above.
//!
//! Bytes from outside never panic: what is not well-formed is an [`Error`](feitian_base::Error) of kind
//! [`Invalid`](feitian_base::Kind::Invalid) that names the row and column, the chunk, or the element.

pub mod arrow_frame;
pub mod bearer;
mod check;
pub mod compress;
mod crc;
pub mod csv;
mod decimal;
mod error;
mod limits;
pub mod ots;
pub mod record;
pub mod schema_json;
pub mod sign;
pub mod text;
pub mod volume_frame;
pub mod xml;

pub use error::from_io;
pub use limits::Limits;
