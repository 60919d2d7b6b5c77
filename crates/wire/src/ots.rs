//! The bytes of the table store (OTS): signatures, protobuf messages, rows in PlainBuffer, filters, errors.
//!
//! One request from the outside in:
//!
//! * [`sign`]: who sent it, and is its body what was signed;
//! * [`messages`]: the body as a protobuf message;
//! * [`plain`]: the rows and keys within it, as the types of [`value`];
//! * [`filter`]: the conditions within it;
//! * [`errors`]: what is answered when something of it is wrong.
//!
//! Bytes from outside are [`Invalid`](feitian_base::Kind::Invalid) and `OTSParameterInvalid` when they are not
//! well-formed; what they cost is bounded by their number.

pub mod errors;
pub mod filter;
pub mod messages;
pub mod plain;
mod shape;
pub mod sign;
pub mod value;

pub use filter::{Cast, Compare, Filter, Transfer, decode_filter};
pub use plain::{decode_change, decode_key, decode_row, encode_key, encode_row, encode_rows};
pub use value::{Cell, CellOp, KeyColumn, KeyValue, Row, Sequence, Value};
