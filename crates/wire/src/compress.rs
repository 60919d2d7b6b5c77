//! The compressed bodies of the tunnel, streaming in both directions.
//!
//! The tokens are those of `odps/tunnel/base.py` in PyODPS (`Content-Encoding` of uploads, `Accept-Encoding` of
//! downloads).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use feitian_base::{Error, Kind, Result};
use flate2::{Decompress, FlushDecompress, Status};
use lz4_flex::frame::{BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use crate::error::{malformed, to_io};

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    Identity,
    /// RFC 1950, the zlib wrapper.
    Deflate,
    /// Zstandard frames.
    Zstd,
    /// LZ4 frames.
    Lz4Frame,
    /// Snappy's framing format.
    SnappyFramed,
}

/// The largest window of a Zstandard frame that we decode: 8 MiB, beyond which RFC 8878 (3.1.1.1.2) asks senders not to
/// go. Levels up to 19 stay within it.
const ZSTD_WINDOW_LOG: u32 = 23;
const BUFFER: usize = 64 << 10;

impl Codec {
    /// The codec a client names, in any letter case; an empty token is [`Codec::Identity`].
    pub fn from_token(token: &str) -> Result<Self> {
        match token.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "deflate" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            "x-lz4-frame" | "x-odps-lz4-frame" => Ok(Self::Lz4Frame),
            "x-snappy-framed" => Ok(Self::SnappyFramed),
            _ => Err(Error::new(
                Kind::Unsupported,
                "InvalidArgument",
                format!("content encoding '{token}' is unknown; use deflate, zstd, x-lz4-frame or x-snappy-framed"),
            )),
        }
    }

    /// The name for `Content-Encoding`; nothing for [`Codec::Identity`].
    pub fn token(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
            Self::Lz4Frame => Some("x-lz4-frame"),
            Self::SnappyFramed => Some("x-snappy-framed"),
        }
    }

    /// The plain bytes of the compressed `reader`.
    ///
    /// Memory is bounded by the format's window (at most 8 MiB for Zstandard, 16 MiB for LZ4, less for the others)
    /// however much the body inflates to: the caller decides how much it reads. Damage is an `io::Error` for
    /// [`from_io`](crate::from_io); errors of `reader` itself pass through. A body cut off exactly between two blocks of
    /// LZ4 or Snappy looks whole here; the formats inside the body notice.
    pub fn reader<R: Read + Send + 'static>(self, reader: R) -> Box<dyn Read + Send> {
        if self == Self::Identity {
            return Box::new(reader);
        }
        let source = Arc::new(Source::default());
        let input = BufReader::with_capacity(BUFFER, Tap { reader, source: source.clone() });
        let inner: Box<dyn Read + Send> = match self {
            Self::Identity | Self::Deflate => Box::new(Inflate::new(input)),
            Self::Zstd => match zstd_reader(input) {
                Ok(decoder) => Box::new(decoder),
                Err(e) => Box::new(Failed(Some(e))),
            },
            Self::Lz4Frame => Box::new(FrameDecoder::new(input)),
            Self::SnappyFramed => Box::new(snap::read::FrameDecoder::new(input)),
        };
        Box::new(Decompressor { codec: self, inner, source })
    }

    /// A writer that compresses into `writer`, quickly rather than well.
    pub fn writer<W: Write>(self, writer: W) -> io::Result<Compressor<W>> {
        Ok(Compressor(match self {
            Self::Identity => Inner::Identity(writer),
            Self::Deflate => Inner::Deflate(flate2::write::ZlibEncoder::new(writer, flate2::Compression::fast())),
            Self::Zstd => Inner::Zstd(zstd::stream::write::Encoder::new(writer, 1)?),
            Self::Lz4Frame => {
                // Without a size the first write decides, which may be four bytes.
                let info = FrameInfo::new().block_size(BlockSize::Max256KB);
                Inner::Lz4(Box::new(FrameEncoder::with_frame_info(info, writer)))
            }
            Self::SnappyFramed => Inner::Snappy(Box::new(snap::write::FrameEncoder::new(writer))),
        }))
    }
}

fn zstd_reader<R: BufRead>(input: R) -> io::Result<zstd::stream::read::Decoder<'static, R>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

/// A decoder that could not be made says so at the first read.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// What happened to the compressed bytes below a decoder, which would blur it.
#[derive(Default)]
struct Source {
    error: Mutex<Option<io::Error>>,
    ended: AtomicBool,
}

struct Tap<R> {
    reader: R,
    source: Arc<Source>,
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.reader.read(buf) {
            Ok(0) if !buf.is_empty() => {
                self.source.ended.store(true, Ordering::Relaxed);
                Ok(0)
            }
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                let surrogate = io::Error::from(e.kind());
                *self.source.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
                Err(surrogate)
            }
            other => other,
        }
    }
}

struct Decompressor {
    codec: Codec,
    inner: Box<dyn Read + Send>,
    source: Arc<Source>,
}

impl Read for Decompressor {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buf) {
                // The LZ4 decoder stops after each frame, though more may follow.
                Ok(0)
                    if self.codec == Codec::Lz4Frame
                        && !buf.is_empty()
                        && !self.source.ended.load(Ordering::Relaxed) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let below = self.source.error.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let name = self.codec.token().unwrap_or("identity");
                    return Err(below.unwrap_or_else(|| to_io(malformed(format!("the {name} body is damaged: {e}")))));
                }
                other => return other,
            }
        }
    }
}

/// RFC 1950, strictly: a stream without its end and bytes behind the end are errors.
struct Inflate<R> {
    input: R,
    state: Decompress,
    ended: bool,
}

impl<R: BufRead> Inflate<R> {
    fn new(input: R) -> Self {
        Self { input, state: Decompress::new(true), ended: false }
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let input = self.input.fill_buf()?;
            if self.ended {
                return match input.is_empty() {
                    true => Ok(0),
                    false => Err(io::Error::other("bytes follow its end")),
                };
            }
            let at_end = input.is_empty();
            let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(input, out, FlushDecompress::None).map_err(io::Error::other)?;
            let consumed = (self.state.total_in() - before_in) as usize;
            let produced = (self.state.total_out() - before_out) as usize;
            self.input.consume(consumed);
            self.ended = matches!(status, Status::StreamEnd);
            if produced > 0 {
                return Ok(produced);
            }
            if at_end && !self.ended {
                return Err(io::Error::other("it ends early"));
            }
        }
    }
}

/// Compresses what is written; [`Compressor::finish`] ends the body.
pub struct Compressor<W: Write>(Inner<W>);

enum Inner<W: Write> {
    Identity(W),
    Deflate(flate2::write::ZlibEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Lz4(Box<FrameEncoder<W>>),
    Snappy(Box<snap::write::FrameEncoder<W>>),
}

impl<W: Write> Compressor<W> {
    /// The writer below, for example to take away what has been compressed so far.
    pub fn get_mut(&mut self) -> &mut W {
        match &mut self.0 {
            Inner::Identity(w) => w,
            Inner::Deflate(w) => w.get_mut(),
            Inner::Zstd(w) => w.get_mut(),
            Inner::Lz4(w) => w.get_mut(),
            Inner::Snappy(w) => w.get_mut(),
        }
    }

    /// Writes what is held back and the end of the body; gives the writer below back.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Inner::Identity(w) => Ok(w),
            Inner::Deflate(w) => w.finish(),
            Inner::Zstd(w) => w.finish(),
            Inner::Lz4(w) => w.finish().map_err(io::Error::other),
            Inner::Snappy(w) => w.into_inner().map_err(|e| io::Error::other(e.to_string())),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Identity(w) => w.write(buf),
            Inner::Deflate(w) => w.write(buf),
            Inner::Zstd(w) => w.write(buf),
            Inner::Lz4(w) => w.write(buf),
            Inner::Snappy(w) => w.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Inner::Identity(w) => w.flush(),
            Inner::Deflate(w) => w.flush(),
            Inner::Zstd(w) => w.flush(),
            Inner::Lz4(w) => w.flush(),
            Inner::Snappy(w) => w.flush(),
        }
    }
}
