//! The error of a broken stream, and the way of our errors through `std::io`.

use std::io;

use feitian_base::{Error, Kind};

/// The code MaxCompute Tunnel gives for a stream that is not well-formed or does not fit the schema.
const MALFORMED: &str = "MalformedDataStream";

pub(crate) fn malformed(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, MALFORMED, message)
}

/// The error behind an `io::Error` of a body.
///
/// Readers of this crate hide an [`Error`] inside an `io::Error`; it comes out unchanged. A body that is damaged or ends
/// early is [`Kind::Invalid`]; any other failure of the reader below keeps its own kind.
pub fn from_io(e: io::Error) -> Error {
    if e.get_ref().is_some_and(|inner| inner.is::<Error>()) {
        let inner = e.into_inner().and_then(|inner| inner.downcast::<Error>().ok());
        return inner.map_or_else(|| malformed("the body is damaged"), |error| *error);
    }
    match e.kind() {
        io::ErrorKind::InvalidData => malformed(format!("the body is damaged: {e}")),
        io::ErrorKind::UnexpectedEof => malformed(format!("the body ends early: {e}")),
        _ => Error::from(e),
    }
}

/// Hides `error` in an `io::Error`, for [`from_io`] to find.
pub(crate) fn to_io(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_a_trip_through_io() {
        let back = from_io(to_io(Error::unsupported("no such thing")));
        assert_eq!(
            (back.kind(), back.code(), back.message()),
            (Kind::Unsupported, "MethodNotAllowed", "no such thing")
        );
        assert_eq!(from_io(io::ErrorKind::UnexpectedEof.into()).kind(), Kind::Invalid);
        assert_eq!(from_io(io::ErrorKind::StorageFull.into()).kind(), Kind::Unavailable);
    }
}
