//! A reader with a buffer of its own, for values that are a few bytes each, and what can go wrong with one.

use std::io::{self, Read};

use super::varint::decode;

/// Why a value cannot be read; the caller adds row and column.
pub(super) struct Fault(Box<Why>);

enum Why {
    Io(io::Error),
    Bad(String),
}

impl Fault {
    #[cold]
    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self(Box::new(Why::Bad(reason.into())))
    }

    /// True if the reader below failed, rather than the bytes it gave.
    pub(super) fn is_io(&self) -> bool {
        matches!(*self.0, Why::Io(_))
    }

    /// The error, with `place` before a reason of ours.
    pub(super) fn into_error(self, place: impl std::fmt::Display) -> feitian_base::Error {
        match *self.0 {
            Why::Io(e) => crate::from_io(e),
            Why::Bad(reason) => crate::error::malformed(format!("{place}: {reason}")),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        Self(Box::new(Why::Io(e)))
    }
}

pub(super) type Got<T> = Result<T, Fault>;

const CAPACITY: usize = 128 << 10;

/// What has been read and not been taken.
#[derive(Default)]
pub(super) struct Held {
    /// Empty until something is read.
    buf: Box<[u8]>,
    pos: usize,
    end: usize,
    ended: bool,
}

/// The reader is behind a pointer, so that all that is done with its bytes is compiled once and in this crate, which is
/// optimised for it. One call a buffer costs nothing.
pub(super) struct Input<'r> {
    reader: &'r mut dyn Read,
    buf: Box<[u8]>,
    pos: usize,
    end: usize,
    ended: bool,
}

impl<'r> Input<'r> {
    pub(super) fn new(reader: &'r mut dyn Read, held: Held) -> Self {
        let Held { buf, pos, end, ended } = held;
        Self { reader, buf, pos, end, ended }
    }

    /// What is left for the next input of the same reader.
    pub(super) fn into_held(self) -> Held {
        let Self { buf, pos, end, ended, .. } = self;
        Held { buf, pos, end, ended }
    }

    fn held(&self) -> usize {
        self.end - self.pos
    }

    /// Holds at least `n` bytes (at most [`CAPACITY`]), or all that are left.
    #[cold]
    fn fill(&mut self, n: usize) -> Got<()> {
        if self.buf.is_empty() {
            self.buf = vec![0; CAPACITY].into_boxed_slice();
        }
        self.buf.copy_within(self.pos..self.end, 0);
        (self.pos, self.end) = (0, self.held());
        while self.end < n && !self.ended {
            match self.reader.read(&mut self.buf[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(got) => self.end += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn truncated() -> Fault {
        Fault::bad("the stream ends in the middle of a value")
    }

    /// True when no byte is left.
    pub(super) fn is_empty(&mut self) -> Got<bool> {
        if self.held() == 0 {
            self.fill(1)?;
        }
        Ok(self.held() == 0)
    }

    /// A varint of up to ten bytes.
    #[inline]
    pub(super) fn varint(&mut self) -> Got<u64> {
        match self.buf[self.pos..self.end].first_chunk::<10>() {
            Some(bytes) => match decode(bytes) {
                Some((value, n)) => {
                    self.pos += n;
                    Ok(value)
                }
                None => Err(Fault::bad("a varint is longer than 64 bits")),
            },
            None => self.varint_at_edge(),
        }
    }

    #[cold]
    fn varint_at_edge(&mut self) -> Got<u64> {
        self.fill(10)?;
        let held = self.held().min(10);
        let mut bytes = [0xff; 10];
        bytes[..held].copy_from_slice(&self.buf[self.pos..self.pos + held]);
        match decode(&bytes) {
            Some((value, n)) if n <= held => {
                self.pos += n;
                Ok(value)
            }
            _ if held < 10 => Err(Self::truncated()),
            _ => Err(Fault::bad("a varint is longer than 64 bits")),
        }
    }

    #[inline]
    pub(super) fn fixed<const N: usize>(&mut self) -> Got<[u8; N]> {
        if self.held() < N {
            self.fill(N)?;
        }
        let bytes = self.buf[self.pos..self.end].first_chunk::<N>().copied().ok_or_else(Self::truncated)?;
        self.pos += N;
        Ok(bytes)
    }

    /// Hands `n` bytes to `sink`, in one piece if they are here, else piece by piece as they arrive.
    #[inline]
    pub(super) fn take(&mut self, n: usize, mut sink: impl FnMut(&[u8])) -> Got<()> {
        if let Some(bytes) = self.buf[self.pos..self.end].get(..n) {
            sink(bytes);
            self.pos += n;
            return Ok(());
        }
        self.take_pieces(n, sink)
    }

    #[cold]
    fn take_pieces(&mut self, mut n: usize, mut sink: impl FnMut(&[u8])) -> Got<()> {
        while n > 0 {
            if self.is_empty()? {
                return Err(Self::truncated());
            }
            let piece = self.held().min(n);
            sink(&self.buf[self.pos..self.pos + piece]);
            self.pos += piece;
            n -= piece;
        }
        Ok(())
    }
}
