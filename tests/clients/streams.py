"""The formats of tunnel bodies by hand, so that tests can make them wrong: record streams and Arrow frames.

Written after odps/tunnel/io/writer.py and odps/tunnel/wireconstants.py of PyODPS.
"""

import struct

from odps.crc import Crc32c
from odps.tunnel.wireconstants import ProtoWireConstants

END_RECORD = ProtoWireConstants.TUNNEL_END_RECORD
COUNT = ProtoWireConstants.TUNNEL_META_COUNT
CHECKSUM = ProtoWireConstants.TUNNEL_META_CHECKSUM
VARINT, BYTES = 0, 2


def crc32c(data):
    crc = Crc32c()
    crc.update(bytearray(data))
    return crc.getvalue() & 0xFFFF_FFFF


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(number, wire):
    return varint(number << 3 | wire)


def record(fields, crc=None):
    """A record of (number, value) with ints as BIGINT and bytes as STRING; `crc` replaces the true checksum."""
    out, covered = b"", b""
    for number, value in fields:
        covered += struct.pack("<i", number)
        if isinstance(value, int):
            # Zigzag: 0, -1, 1, -2, … become 0, 1, 2, 3, …
            out += tag(number, VARINT) + varint((value << 1 ^ value >> 63) & (1 << 64) - 1)
            covered += struct.pack("<q", value)
        else:
            out += tag(number, BYTES) + varint(len(value)) + value
            covered += value
    return out + tag(END_RECORD, VARINT) + varint(crc32c(covered) if crc is None else crc)


def record_crc(fields):
    """The checksum alone."""
    covered = b""
    for number, value in fields:
        covered += struct.pack("<i", number) + (struct.pack("<q", value) if isinstance(value, int) else value)
    return crc32c(covered)


def footer(crcs, count=None, total=None):
    """The end of a stream of records with these checksums; `count` and `total` replace what is true."""
    total = crc32c(b"".join(struct.pack("<I", crc) for crc in crcs)) if total is None else total
    count = len(crcs) if count is None else count
    return tag(COUNT, VARINT) + varint(count << 1) + tag(CHECKSUM, VARINT) + varint(total)


def framed(data, size=65_536):
    """Arrow messages in their frame: chunks with a checksum each, the last one with a checksum over everything."""
    out = [struct.pack(">I", size)]
    whole = len(data) // size * size
    for at in range(0, whole, size):
        piece = data[at : at + size]
        out += [piece, struct.pack(">I", crc32c(piece))]
    return b"".join(out + [data[whole:], struct.pack(">I", crc32c(data))])
