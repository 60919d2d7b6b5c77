"""Small bodies that inflate to gigabytes, made by hand so that nobody here needs gigabytes of memory.

How small depends on the format, and none of them goes from one kilobyte to ten gigabytes. DEFLATE turns one byte into
at most 1032 (RFC 1951: 258 bytes a match, a quarter of a byte each), LZ4 into 255 (a length goes on in bytes of 255),
Snappy into 21 (64 bytes a copy of 3). Zstandard's blocks of one repeated byte are four bytes for 128 KiB.
"""

import itertools
import struct
import zlib

import lz4.frame
import snappy

MIB = 1 << 20
# Tokens of Content-Encoding: odps/tunnel/base.py.
ENCODINGS = ("deflate", "zstd", "x-lz4-frame", "x-snappy-framed")


def deflate(head, fill, count):
    """`head`, then `count` MiB of the byte `fill`, as pieces of a zlib stream; the checksum at the end is left out."""
    packer = zlib.compressobj(9)
    yield packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block stands alone and begins at a whole byte, so that one can be repeated.
    block = packer.compress(fill * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    yield from itertools.repeat(block, count)


def zstd(head, fill, count):
    """The same as a Zstandard frame."""
    yield zstd_head()
    yield zstd_raw(head)
    yield from itertools.repeat(zstd_repeat(fill, MIB), count)


def zstd_head(window=13 << 3):
    """Magic and a descriptor without size and checksum (RFC 8878, 3.1.1.1); a window of 2**(10 + 13) bytes, 8 MiB."""
    return struct.pack("<IBB", 0xFD2F_B528, 0, window)


def zstd_raw(data):
    """A block of plain bytes: its length above two bits of type and one that says whether it is the last."""
    return struct.pack("<I", len(data) << 3)[:3] + data


def zstd_repeat(fill, count):
    """Blocks of at most 128 KiB that each repeat one byte."""
    sizes = [128 << 10] * (count // (128 << 10)) + ([count % (128 << 10)] if count % (128 << 10) else [])
    return b"".join(struct.pack("<I", size << 3 | 1 << 1)[:3] + fill for size in sizes)


def lz4_frame(head, fill, count):
    """The same as an LZ4 frame of independent blocks; four MiB make one, so that `count` is rounded down to those."""
    options = {"block_size": lz4.frame.BLOCKSIZE_MAX4MB, "block_linked": False, "store_size": False}
    first = lz4.frame.compress(head, **options)
    # A header of seven bytes, blocks, and four zero bytes at the end.
    yield first[:-4]
    yield from itertools.repeat(lz4.frame.compress(fill * 4 * MIB, **options)[7:-4], count // 4)


def snappy_framed(head, fill, count):
    """The same in Snappy's framing format."""
    yield snappy.StreamCompressor().add_chunk(head)
    # The stream identifier is ten bytes; after it chunks stand alone.
    block = snappy.StreamCompressor().add_chunk(fill * MIB)[10:]
    yield from itertools.repeat(block, count)


def bomb(encoding, head, fill, count):
    makers = {"deflate": deflate, "zstd": zstd, "x-lz4-frame": lz4_frame, "x-snappy-framed": snappy_framed}
    return makers[encoding](head, fill, count)
