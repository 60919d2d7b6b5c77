//! Compressed bodies.

use std::io::{self, Cursor, Read, Write};

use feitian_base::Kind;
use feitian_wire::compress::Codec;
use feitian_wire::record::Decoder;
use feitian_wire::{Limits, from_io};
use proptest::prelude::*;

use crate::{broken, columns, hex};

const CODECS: [Codec; 5] = [Codec::Identity, Codec::Deflate, Codec::Zstd, Codec::Lz4Frame, Codec::SnappyFramed];

fn compress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let mut writer = codec.writer(vec![]).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn expand(codec: Codec, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = vec![];
    codec.reader(Cursor::new(bytes.to_vec())).read_to_end(&mut out)?;
    Ok(out)
}

// Tokens: odps/tunnel/base.py of PyODPS.
#[test]
fn every_token_of_the_client_is_known() {
    for (token, codec) in [
        ("", Codec::Identity),
        ("identity", Codec::Identity),
        ("Deflate", Codec::Deflate),
        ("zstd", Codec::Zstd),
        ("x-lz4-frame", Codec::Lz4Frame),
        ("x-odps-lz4-frame", Codec::Lz4Frame),
        ("x-snappy-framed", Codec::SnappyFramed),
    ] {
        assert_eq!(Codec::from_token(token).unwrap(), codec, "{token}");
        assert_eq!(codec.token().map_or(Codec::Identity, |t| Codec::from_token(t).unwrap()), codec);
    }
    let e = Codec::from_token("br").unwrap_err();
    assert!(e.kind() == Kind::Unsupported && e.message().contains("'br'"), "{e}");
}

// Made by other writers: `python3 -c "import zlib; print(zlib.compress(b'hello', 1).hex())"`, `printf hello | zstd` and
// `printf hello | lz4`; the Snappy bytes follow its framing_format.txt, an uncompressed chunk with masked CRC-32C.
#[test]
fn bodies_of_other_writers_are_read() {
    assert_eq!(expand(Codec::Deflate, &hex("7801cb48cdc9c907 00062c0215")).unwrap(), b"hello");
    let zstd = "28b52ffd 00 58 290000 68656c6c6f";
    assert_eq!(expand(Codec::Zstd, &hex(zstd)).unwrap(), b"hello");
    let lz4 = "04224d18 6040 82 05000080 68656c6c6f 00000000";
    assert_eq!(expand(Codec::Lz4Frame, &hex(lz4)).unwrap(), b"hello");
    assert_eq!(expand(Codec::Lz4Frame, &hex(&[lz4, lz4].concat())).unwrap(), b"hellohello");
}

#[test]
fn damage_and_leftovers_are_errors() {
    let plain: Vec<u8> = (0..100_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
    for codec in &CODECS[1..] {
        let good = compress(*codec, &plain);
        for (what, bytes) in [
            ("a cut", good[..good.len() / 2].to_vec()),
            ("bytes behind the end", [&good[..], b"leftover"].concat()),
            ("noise", b"this is not compressed at all".to_vec()),
        ] {
            let e = from_io(expand(*codec, &bytes).expect_err(what));
            assert!(broken(&e).contains(codec.token().unwrap()), "{codec:?}, {what}: {e}");
        }
    }
    let good = compress(Codec::Deflate, b"");
    assert!(expand(Codec::Deflate, &good[..good.len() - 1]).is_err());
    assert!(expand(Codec::Deflate, b"").is_err());
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::StorageFull, "the disk below is full"))
    }
}

#[test]
fn errors_of_the_reader_below_come_through() {
    for codec in CODECS {
        let e = codec.reader(Broken).read(&mut [0; 10]).unwrap_err();
        assert_eq!(
            (e.kind(), e.to_string()),
            (io::ErrorKind::StorageFull, "the disk below is full".to_string()),
            "{codec:?}"
        );
    }
}

/// A gigabyte for some hundred kilobytes: the decoder must stop long before it has seen it all.
#[test]
fn bombs_end_at_the_limits() {
    let columns = columns(&["array<string>"]);
    for codec in CODECS {
        let mut writer = codec.writer(vec![]).unwrap();
        // Field 1, 2^60 elements, each not NULL and empty.
        writer.write_all(&hex("0a 808080808080808010")).unwrap();
        for _ in 0..256 {
            writer.write_all(&[0; 1 << 16]).unwrap();
        }
        let bomb = writer.finish().unwrap();
        let limits = Limits { max_row_bytes: 1 << 20, ..Limits::default() };
        let mut counted = Counted { reader: codec.reader(Cursor::new(bomb)), read: 0 };
        let e = Decoder::new(&columns, &mut counted, limits).next().unwrap().unwrap_err();
        assert_eq!(broken(&e), "row 0, column a: the row is larger than 1048576 bytes");
        // An element takes two bytes of the stream and five in memory.
        assert!(counted.read < (1 << 20), "{codec:?}: {}", counted.read);
    }
}

struct Counted<R> {
    reader: R,
    read: usize,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buf)?;
        self.read += n;
        Ok(n)
    }
}

// A frame header that asks for a window of 2 GiB: RFC 8878, 3.1.1.1.2 (window descriptor a8: exponent 21).
#[test]
fn a_window_beyond_the_limit_is_refused() {
    let e = from_io(expand(Codec::Zstd, &hex("28b52ffd 00 a8 290000 68656c6c6f")).unwrap_err());
    assert!(broken(&e).contains("zstd"), "{e}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bodies_round_trip(pieces in proptest::collection::vec(proptest::collection::vec(0u8..4, 0..3000), 0..8)) {
        for codec in CODECS {
            let mut writer = codec.writer(vec![]).unwrap();
            for piece in &pieces {
                writer.write_all(piece).unwrap();
            }
            let bytes = writer.finish().unwrap();
            prop_assert_eq!(expand(codec, &bytes).unwrap(), pieces.concat());
        }
    }

    #[test]
    fn any_bytes_are_a_body_or_an_error(noise in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0u32..8) {
        for codec in CODECS {
            let _ = expand(codec, &noise);
            let mut bytes = compress(codec, &noise);
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 1u8 << bit;
                let _ = expand(codec, &bytes);
            }
        }
    }
}
