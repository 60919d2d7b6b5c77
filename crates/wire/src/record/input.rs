//! A reader with a buffer of its own, for values that are a few bytes each, and what can go wrong with one.

use std::io::{self, Read};

use super::WINDOW;
use super::varint::{decode, encode_word};

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

/// The bytes of a tag, to be compared rather than decoded.
pub(super) struct Tag {
    word: u64,
    mask: u64,
    len: usize,
}

impl Tag {
    /// `tag` is below 2^56.
    pub(super) fn new(tag: u64) -> Self {
        let (word, len) = encode_word(tag);
        Self { word, mask: u64::MAX >> (64 - 8 * len), len }
    }
}

pub(super) type Got<T> = Result<T, Fault>;

const CAPACITY: usize = 128 << 10;

/// What has been read and not been taken.
#[derive(Default)]
pub(super) struct Held {
    /// Empty before the first read, then [`CAPACITY`] bytes and slack for a window at the last of them.
    buf: Box<[u8]>,
    pos: usize,
    end: usize,
    ended: bool,
}

/// The reader is behind a pointer, so that all that is done with its bytes is compiled once and in this crate, which is
/// optimised for it. One call a buffer costs nothing.
pub(super) struct Input<'r> {
    reader: &'r mut dyn Read,
    held: Held,
}

impl<'r> Input<'r> {
    /// `held` is what an earlier input of the same reader left.
    pub(super) fn new(reader: &'r mut dyn Read, held: Held) -> Self {
        Self { reader, held }
    }

    pub(super) fn into_held(self) -> Held {
        self.held
    }

    /// Reads on from here.
    #[inline(always)]
    pub(super) fn cursor(&mut self) -> Cursor<'_, 'r> {
        Cursor { pos: self.held.pos, input: self }
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.held.end - self.held.pos
    }

    /// Holds at least `n` bytes (at most [`CAPACITY`]), or all that are left.
    fn fill(&mut self, n: usize) -> Got<()> {
        let held = &mut self.held;
        if held.buf.is_empty() {
            held.buf = vec![0; CAPACITY + WINDOW].into_boxed_slice();
        }
        held.buf.copy_within(held.pos..held.end, 0);
        (held.pos, held.end) = (0, held.end - held.pos);
        while held.end < n && !held.ended {
            match self.reader.read(&mut held.buf[held.end..CAPACITY]) {
                Ok(0) => held.ended = true,
                Ok(got) => held.end += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// True when no byte is left.
    pub(super) fn is_empty(&mut self) -> Got<bool> {
        if self.len() == 0 {
            self.fill(1)?;
        }
        Ok(self.len() == 0)
    }

    /// A varint of up to ten bytes.
    pub(super) fn varint(&mut self) -> Got<u64> {
        let mut cursor = self.cursor();
        let value = cursor.varint();
        cursor.done();
        value
    }

    fn varint_at_edge(&mut self) -> Got<u64> {
        self.fill(10)?;
        let here = self.len().min(10);
        let mut bytes = [0xff; 10];
        bytes[..here].copy_from_slice(&self.held.buf[self.held.pos..][..here]);
        match decode(&bytes) {
            Some((value, n)) if n <= here => {
                self.held.pos += n;
                Ok(value)
            }
            _ if here < 10 => Err(Self::truncated()),
            _ => Err(Fault::bad("a varint is longer than 64 bits")),
        }
    }

    fn fixed_at_edge<const N: usize>(&mut self) -> Got<[u8; N]> {
        self.fill(N)?;
        if self.len() < N {
            return Err(Self::truncated());
        }
        let bytes = self.held.buf[self.held.pos..].first_chunk::<N>().copied().ok_or_else(Self::truncated)?;
        self.held.pos += N;
        Ok(bytes)
    }

    fn truncated() -> Fault {
        Fault::bad("the stream ends in the middle of a value")
    }

    /// Hands `n` bytes to `sink`, piece by piece as they arrive.
    pub(super) fn pieces(&mut self, mut n: usize, mut sink: impl FnMut(&[u8])) -> Got<()> {
        while n > 0 {
            if self.is_empty()? {
                return Err(Self::truncated());
            }
            let held = &mut self.held;
            let piece = (held.end - held.pos).min(n);
            sink(&held.buf[held.pos..][..piece]);
            held.pos += piece;
            n -= piece;
        }
        Ok(())
    }
}

/// Takes small values from an input. Each begins where the one before ends, so that the processor waits for the place:
/// here it is in a register. For that everything is inlined, and what is not goes through [`Cursor::away`].
pub(super) struct Cursor<'i, 'r> {
    input: &'i mut Input<'r>,
    pos: usize,
}

impl<'r> Cursor<'_, 'r> {
    /// Lets `read` take from the input itself.
    #[inline(always)]
    pub(super) fn away<T>(&mut self, read: impl FnOnce(&mut Input<'r>) -> T) -> T {
        self.input.held.pos = self.pos;
        let got = read(self.input);
        self.pos = self.input.held.pos;
        got
    }

    /// Leaves the input where the cursor is.
    #[inline(always)]
    pub(super) fn done(self) {
        self.input.held.pos = self.pos;
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.input.held.end - self.pos
    }

    /// The next bytes, of which those beyond [`Cursor::len`] are stale; nothing before the first read.
    #[inline(always)]
    fn window(&self) -> Option<&[u8; WINDOW]> {
        self.input.held.buf.get(self.pos..)?.first_chunk()
    }

    /// Takes the next bytes if they are those of `tag`.
    #[inline(always)]
    pub(super) fn accept(&mut self, tag: &Tag) -> bool {
        let word = self.window().and_then(|w| w.first_chunk()).map(|w| u64::from_le_bytes(*w));
        let here = word.is_some_and(|word| (word ^ tag.word) & tag.mask == 0) && tag.len <= self.len();
        if here {
            self.pos += tag.len;
        }
        here
    }

    /// A varint of up to ten bytes.
    #[inline(always)]
    pub(super) fn varint(&mut self) -> Got<u64> {
        // One compare afterwards tells whether it was all there.
        if let Some(bytes) = self.window().and_then(|w| w.first_chunk::<10>()) {
            if bytes[0] < 0x80 && self.len() > 0 {
                let value = bytes[0].into();
                self.pos += 1;
                return Ok(value);
            }
            if let Some((value, n)) = decode(bytes)
                && n <= self.len()
            {
                self.pos += n;
                return Ok(value);
            }
        }
        self.away(|input| cold(|| input.varint_at_edge()))
    }

    #[inline(always)]
    pub(super) fn fixed<const N: usize>(&mut self) -> Got<[u8; N]> {
        match self.window().and_then(|w| w.first_chunk::<N>().copied()) {
            Some(bytes) if N <= self.len() => {
                self.pos += N;
                Ok(bytes)
            }
            _ => self.away(|input| cold(|| input.fixed_at_edge())),
        }
    }

    /// The next `n` bytes if they are here and few, and behind them what is to be ignored.
    #[inline(always)]
    pub(super) fn short(&mut self, n: usize) -> Option<&[u8; WINDOW]> {
        if n > WINDOW || n > self.len() {
            return None;
        }
        let window = self.input.held.buf.get(self.pos..)?.first_chunk()?;
        self.pos += n;
        Some(window)
    }
}

/// What hardly ever happens, and is not worth to be inlined.
#[cold]
#[inline(never)]
fn cold<T>(run: impl FnOnce() -> T) -> T {
    run()
}
