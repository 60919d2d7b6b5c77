//! Chunks with a CRC-32C each, the last one with a CRC over everything:
//!
//! ```text
//! u32 BE chunk size
//! ( chunk-size bytes, u32 BE crc of these bytes )*
//! ( fewer bytes, possibly none, u32 BE crc of all bytes so far )      exactly once
//! ```

use std::io::{self, Read};

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
    /// 0 until the header has been read.
    chunk: usize,
    buf: Vec<u8>,
    /// The part of `buf` that has been checked and not been read.
    pos: usize,
    end: usize,
    chunks: u64,
    total: Crc32c,
    ended: bool,
}

impl<R: Read> FrameReader<R> {
    /// A reader of the bytes inside the frame that `reader` gives.
    pub fn new(reader: R) -> Self {
        Self { reader, chunk: 0, buf: vec![], pos: 0, end: 0, chunks: 0, total: Crc32c::new(), ended: false }
    }

    fn fail<T>(&self, reason: impl std::fmt::Display) -> io::Result<T> {
        Err(to_io(malformed(format!("Arrow chunk {}: {reason}", self.chunks))))
    }

    /// Reads up to `n` bytes into `buf`, which grows only as they arrive.
    fn fill(&mut self, n: usize) -> io::Result<()> {
        self.buf.clear();
        while self.buf.len() < n {
            let step = (n - self.buf.len()).min(self.buf.len().max(DEFAULT_CHUNK + 4));
            let have = self.buf.len();
            self.buf.resize(have + step, 0);
            let got = self.reader.read(&mut self.buf[have..]);
            self.buf.truncate(have + *got.as_ref().unwrap_or(&0));
            match got {
                Ok(0) => break,
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    fn header(&mut self) -> io::Result<()> {
        self.fill(4)?;
        let Some(size) = self.buf.first_chunk::<4>() else {
            return self.fail("the body ends before the chunk size");
        };
        let size = u32::from_be_bytes(*size) as usize;
        if size == 0 {
            // PyODPS closes a writer that wrote nothing with the final checksum alone, which is zero.
            self.fill(1)?;
            self.ended = self.buf.is_empty();
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

    fn next_chunk(&mut self) -> io::Result<()> {
        if self.chunk == 0 {
            self.header()?;
        }
        if self.ended {
            return Ok(());
        }
        self.fill(self.chunk + 4)?;
        let Some((data, crc)) = self.buf.split_last_chunk::<4>() else {
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

impl<R: Read> Read for FrameReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.pos == self.end {
            if self.ended || out.is_empty() {
                return Ok(0);
            }
            self.next_chunk()?;
        }
        let n = out.len().min(self.end - self.pos);
        out[..n].copy_from_slice(&self.buf[self.pos..self.pos + n]);
        self.pos += n;
        Ok(n)
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
