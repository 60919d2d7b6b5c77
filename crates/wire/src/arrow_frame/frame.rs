//! Chunks with a CRC-32C each, the last one with a CRC over everything:
//!
//! ```text
//! u32 BE chunk size
//! ( chunk-size bytes, u32 BE crc of these bytes )*
//! ( fewer bytes, possibly none, u32 BE crc of all bytes so far )      exactly once
//! ```

use std::io::{self, BufRead, Read};

use crate::crc::{Crc32c, crc32c};
use crate::error::{malformed, to_io};

/// The chunk size of a writer unless told otherwise, as clients have it.
pub const DEFAULT_CHUNK: usize = 65_536;

/// Larger chunks are refused: a chunk is held in memory until its CRC has been checked.
const MAX_CHUNK: usize = 64 << 20;

/// Takes the frame off a body: reading gives the bytes inside, each chunk only once its CRC has been checked.
///
/// A damaged or truncated frame is an `io::Error` that names the chunk; [`from_io`](crate::from_io) turns it into an
/// [`Error`](feitian_base::Error). Reading to the end (`Ok(0)`) proves that the body is whole.
pub struct FrameReader<R> {
    reader: R,
    core: Core,
}

impl<R: Read> FrameReader<R> {
    /// A reader of the bytes inside the frame that `reader` gives.
    pub fn new(reader: R) -> Self {
        Self { reader, core: Core::default() }
    }
}

impl<R: Read> BufRead for FrameReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.core.fill_buf(&mut self.reader)
    }

    fn consume(&mut self, n: usize) {
        self.core.pos = self.core.pos.saturating_add(n).min(self.core.end);
    }
}

impl<R: Read> Read for FrameReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let bytes = self.fill_buf()?;
        let n = out.len().min(bytes.len());
        out[..n].copy_from_slice(&bytes[..n]);
        self.consume(n);
        Ok(n)
    }
}

/// A reader without what it reads from: no generic type, so that it is compiled here and not in the crates that use it.
#[derive(Default)]
struct Core {
    /// 0 until the header has been read.
    chunk: usize,
    /// What was read last, then leftovers that the next read overwrites.
    buf: Vec<u8>,
    filled: usize,
    /// The part of `buf` that has been checked and not been read.
    pos: usize,
    end: usize,
    chunks: u64,
    total: Crc32c,
    ended: bool,
}

impl Core {
    fn fill_buf(&mut self, reader: &mut dyn Read) -> io::Result<&[u8]> {
        while self.pos == self.end && !self.ended {
            self.next_chunk(reader)?;
        }
        Ok(&self.buf[self.pos..self.end])
    }

    fn fail<T>(&self, reason: impl std::fmt::Display) -> io::Result<T> {
        Err(to_io(malformed(format!("Arrow chunk {}: {reason}", self.chunks))))
    }

    /// Reads up to `n` bytes into `buf`, which grows only as they arrive.
    fn fill(&mut self, reader: &mut dyn Read, n: usize) -> io::Result<()> {
        (self.pos, self.end, self.filled) = (0, 0, 0);
        while self.filled < n {
            if self.filled == self.buf.len() {
                let step = (n - self.filled).min(self.filled.max(DEFAULT_CHUNK + 4));
                self.buf.resize(self.filled + step, 0);
            }
            let end = self.buf.len().min(n);
            match reader.read(&mut self.buf[self.filled..end]) {
                Ok(0) => break,
                Ok(got) => self.filled += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn header(&mut self, reader: &mut dyn Read) -> io::Result<()> {
        self.fill(reader, 4)?;
        let Some(size) = self.buf[..self.filled].first_chunk::<4>() else {
            return self.fail("the body ends before the chunk size");
        };
        let size = u32::from_be_bytes(*size) as usize;
        if size == 0 {
            // PyODPS closes a writer that wrote nothing with the final checksum alone, which is zero.
            self.fill(reader, 1)?;
            self.ended = self.filled == 0;
        }
        if self.ended {
            return Ok(());
        }
        if size == 0 || size > MAX_CHUNK {
            return self.fail(format_args!("a chunk size of {size} is not between 1 and {MAX_CHUNK}"));
        }
        self.chunk = size;
        Ok(())
    }

    fn next_chunk(&mut self, reader: &mut dyn Read) -> io::Result<()> {
        if self.chunk == 0 {
            self.header(reader)?;
        }
        if self.ended {
            return Ok(());
        }
        self.fill(reader, self.chunk + 4)?;
        let Some((data, crc)) = self.buf[..self.filled].split_last_chunk::<4>() else {
            return self.fail("the body ends before the checksum over all chunks");
        };
        let got = u32::from_be_bytes(*crc);
        self.total.update(data);
        self.ended = data.len() < self.chunk;
        let want = if self.ended { self.total.value() } else { crc32c(data) };
        if want != got {
            let what = if self.ended { "over all chunks " } else { "" };
            return self.fail(format_args!(
                "its CRC-32C {what}is {want:08x}, the body says {got:08x}; the body was damaged or cut off"
            ));
        }
        (self.pos, self.end) = (0, data.len());
        self.chunks += 1;
        Ok(())
    }
}

/// Puts bytes into frames: any number of [`FrameWriter::push`], then one [`FrameWriter::finish`].
pub struct FrameWriter {
    chunk: usize,
    started: bool,
    /// Bytes in the chunk that is open.
    filled: usize,
    crc: Crc32c,
    total: Crc32c,
}

impl Default for FrameWriter {
    fn default() -> Self {
        Self::new(DEFAULT_CHUNK)
    }
}

impl FrameWriter {
    /// A writer of chunks of `chunk` bytes (at least 1, at most 64 MiB).
    pub fn new(chunk: usize) -> Self {
        let chunk = chunk.clamp(1, MAX_CHUNK);
        Self { chunk, started: false, filled: 0, crc: Crc32c::new(), total: Crc32c::new() }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !self.started {
            out.extend_from_slice(&(self.chunk as u32).to_be_bytes());
            self.started = true;
        }
    }

    /// Appends `data` to `out`, with the header and the checksums that fall due.
    pub fn push(&mut self, mut data: &[u8], out: &mut Vec<u8>) {
        self.start(out);
        out.reserve(data.len() + 4 * (data.len() / self.chunk + 1));
        while !data.is_empty() {
            let (piece, rest) = data.split_at(data.len().min(self.chunk - self.filled));
            out.extend_from_slice(piece);
            self.total.update(piece);
            self.filled += piece.len();
            if piece.len() == self.chunk {
                out.extend_from_slice(&crc32c(piece).to_be_bytes());
                self.filled = 0;
            } else {
                self.crc.update(piece);
                if self.filled == self.chunk {
                    out.extend_from_slice(&self.crc.value().to_be_bytes());
                    self.filled = 0;
                    self.crc.reset();
                }
            }
            data = rest;
        }
    }

    /// Appends the last checksum. A frame without data is eight bytes.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.start(out);
        out.extend_from_slice(&self.total.value().to_be_bytes());
    }
}
