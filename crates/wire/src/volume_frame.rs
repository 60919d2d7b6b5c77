//! The content of a volume's file on its way: chunks, each followed by a CRC-32 over everything so far.
//!
//! ```text
//! u32 BE chunk size                               which the CRC covers too
//! ( chunk-size bytes, u32 BE crc )*
//! ( fewer bytes, u32 BE crc )?
//! ```
//!
//! Nothing says how long the content is: the last four bytes of a body are a CRC, and it ends after one. As in
//! `odps/tunnel/volumetunnel.py` of PyODPS.

use std::io::Read;

use feitian_base::Result;

use crate::crc::Crc32;
use crate::error::{from_io, malformed};

/// The chunk size of a writer, as clients have it.
const CHUNK: usize = 512 << 10;
/// The largest chunk that clients read and write.
const MAX_CHUNK: u32 = 256 << 20;
const CRC_BYTES: usize = 4;
/// A reader hands over no more at once, however large the chunks are.
const PIECE: usize = 256 << 10;

/// Takes the frame off a body.
pub struct VolumeReader<R> {
    reader: R,
    crc: Crc32,
    /// 0 until the head has been read.
    chunk: u32,
    /// Bytes of the chunk that are still to come, if it is whole.
    left: u32,
    /// What was read and not handed over. Once the end is reached, its last bytes are a CRC.
    ahead: Vec<u8>,
    /// Bytes handed over, for messages.
    given: u64,
    is_over: bool,
}

impl<R: Read> VolumeReader<R> {
    /// A reader of the content inside the frame that `reader` gives.
    pub fn new(reader: R) -> Self {
        Self { reader, crc: Crc32::default(), chunk: 0, left: 0, ahead: Vec::new(), given: 0, is_over: false }
    }

    /// The next bytes; `None` once the body has ended as it should. A chunk's bytes come before its CRC is checked: the
    /// content is whole, and what was sent, only when `None` has come.
    ///
    /// # Errors
    /// `MalformedDataStream` for a body that is damaged or cut off, and errors of the reader below.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>> {
        if self.chunk == 0 {
            self.read_head()?;
        }
        if self.is_over {
            return Ok(None);
        }
        let wanted = (self.left as usize).min(PIECE);
        self.fill(wanted + CRC_BYTES)?;
        if self.ahead.is_empty() && self.left == self.chunk {
            self.is_over = true;
            return Ok(None);
        }
        if self.ahead.len() == wanted + CRC_BYTES {
            let rest = self.ahead.split_off(wanted);
            let piece = std::mem::replace(&mut self.ahead, rest);
            self.take(&piece);
            self.left -= wanted as u32;
            if self.left == 0 {
                self.check()?;
                self.left = self.chunk;
            }
            return Ok(Some(piece));
        }
        let Some(length) = self.ahead.len().checked_sub(CRC_BYTES) else {
            return Err(malformed(format!("the content breaks off in a checksum, after {} bytes", self.given)));
        };
        let rest = self.ahead.split_off(length);
        let piece = std::mem::replace(&mut self.ahead, rest);
        self.take(&piece);
        self.check()?;
        self.is_over = true;
        Ok(Some(piece).filter(|p| !p.is_empty()))
    }

    fn read_head(&mut self) -> Result<()> {
        self.fill(CRC_BYTES)?;
        let Ok(head) = <[u8; CRC_BYTES]>::try_from(self.ahead.as_slice()) else {
            return Err(malformed("the content has no chunk size in front"));
        };
        let chunk = u32::from_be_bytes(head);
        if !(1..=MAX_CHUNK).contains(&chunk) {
            return Err(malformed(format!("chunks of {chunk} bytes are not between 1 and {MAX_CHUNK}")));
        }
        self.crc.update(&head);
        self.ahead.clear();
        (self.chunk, self.left) = (chunk, chunk);
        Ok(())
    }

    /// Reads until so many bytes are ahead, or the body ends. Memory grows only as bytes arrive.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        let missing = wanted.saturating_sub(self.ahead.len()) as u64;
        Read::take(&mut self.reader, missing).read_to_end(&mut self.ahead).map_err(from_io)?;
        Ok(())
    }

    fn take(&mut self, piece: &[u8]) {
        self.crc.update(piece);
        self.given += piece.len() as u64;
    }

    /// The CRC that is ahead must be that of everything so far.
    fn check(&mut self) -> Result<()> {
        let (sent, computed) = (std::mem::take(&mut self.ahead), self.crc.value());
        if sent != computed.to_be_bytes() {
            return Err(malformed(format!("the checksum after byte {} of the content does not fit it", self.given)));
        }
        Ok(())
    }
}

/// Puts a content into its frame, piece by piece.
#[derive(Default)]
pub struct VolumeWriter {
    crc: Crc32,
    has_head: bool,
    /// Bytes of the chunk that is not full yet.
    filled: usize,
}

impl VolumeWriter {
    /// Appends `bytes`, framed, to `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        self.head(out);
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.filled));
            out.extend_from_slice(now);
            self.crc.update(now);
            self.filled += now.len();
            bytes = later;
            if self.filled == CHUNK {
                self.end_chunk(out);
            }
        }
    }

    /// Appends the end of the content.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.head(out);
        if self.filled > 0 {
            self.end_chunk(out);
        }
    }

    fn head(&mut self, out: &mut Vec<u8>) {
        if !self.has_head {
            let head = (CHUNK as u32).to_be_bytes();
            out.extend_from_slice(&head);
            self.crc.update(&head);
            self.has_head = true;
        }
    }

    fn end_chunk(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.crc.value().to_be_bytes());
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn framed(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut writer, mut out) = (VolumeWriter::default(), Vec::new());
        pieces.iter().for_each(|piece| writer.push(piece, &mut out));
        writer.finish(&mut out);
        out
    }

    fn read(body: &[u8]) -> Result<Vec<u8>> {
        let (mut reader, mut content) = (VolumeReader::new(body), Vec::new());
        while let Some(piece) = reader.next_piece()? {
            content.extend_from_slice(&piece);
        }
        Ok(content)
    }

    // zlib.crc32(struct.pack(">I", 4) + b"abcd") and zlib.crc32(struct.pack(">I", 4) + b"abcdef") of Python 3.
    const SMALL: [u8; 18] = *b"\x00\x00\x00\x04abcd\x5c\x64\x6b\xa4ef\xed\x89\xd4\x29";

    #[test]
    fn a_body_of_a_client_is_read() {
        assert_eq!(read(&SMALL).unwrap(), b"abcdef");
        assert_eq!(read(&SMALL[..12]).unwrap(), b"abcd");
        assert_eq!(read(&SMALL[..4]).unwrap(), b"");
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_an_error() {
        for end in [0, 1, 3, 5, 7, 9, 11, 13, 15, 17] {
            assert_eq!(read(&SMALL[..end]).unwrap_err().code(), "MalformedDataStream", "{end}");
        }
        for at in 0..SMALL.len() {
            let mut body = SMALL;
            body[at] ^= 1;
            assert!(read(&body).is_err(), "{at}");
        }
        for chunk in [0u32, MAX_CHUNK + 1, u32::MAX] {
            assert_eq!(read(&chunk.to_be_bytes()).unwrap_err().code(), "MalformedDataStream");
        }
    }

    #[test]
    fn a_chunk_is_followed_by_its_checksum_and_nothing_by_none() {
        assert_eq!(framed(&[]), (CHUNK as u32).to_be_bytes());
        let content = vec![7u8; CHUNK];
        for (extra, length) in [(0, 4 + CHUNK + 4), (1, 4 + CHUNK + 4 + 1 + 4)] {
            let body = framed(&[&content[..5], &content[5..], &content[..extra]]);
            assert_eq!(body.len(), length);
            assert_eq!(read(&body).unwrap().len(), CHUNK + extra);
        }
    }

    proptest! {
        #[test]
        fn any_content_comes_back(content in proptest::collection::vec(any::<u8>(), 0..2000), cut in 0usize..2000) {
            let (a, b) = content.split_at(cut.min(content.len()));
            prop_assert_eq!(read(&framed(&[a, b])).unwrap(), content);
        }

        #[test]
        fn any_bytes_are_a_content_or_an_error(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body);
        }
    }
}
