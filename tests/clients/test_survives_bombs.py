"""Bodies that are small and mean gigabytes, compressed or by a length field: refused, in bounded memory.

A refusal is an answer 4xx in the protocol's form, or a closed connection where the client goes on sending after it.
"""

import itertools
import struct
import unittest

import pyarrow as pa
from odps.tunnel import TableTunnel

import harness
from bombs import ENCODINGS, MIB, bomb, zstd_head, zstd_raw, zstd_repeat
from raw import LAST_CHUNK, Wire, chunk
from streams import BYTES, COUNT, END_RECORD, VARINT, crc32c, footer, framed, record, record_crc, tag, varint

MEMORY = 512 << 20
HUGE = 1 << 60
TEN_GIB = 10 << 10  # in MiB


class Bombs(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server(meta=harness.new_database())
        self.addCleanup(self.server.close)
        self.o = self.server.start().entry()
        self.wire = Wire(self.server, self.o)
        self.use("n bigint, s string, a array<bigint>, m map<bigint,bigint>")

    def use(self, columns):
        """Makes the table that the next bodies go to."""
        self.table = self.o.create_table(harness.unique("t"), columns)
        self.session = TableTunnel(self.o).create_upload_session(self.table)
        self.path = f"/projects/{self.o.project}/tables/{self.table.name}"

    def tearDown(self):
        self.assertIsNone(self.server.process.poll(), "the server has ended")
        self.assertEqual(self.session.get_block_list(), [])
        self.assertEqual(list(self.o.read_table(self.table)), [])
        with self.o.execute_sql("SELECT 6 * 7").open_reader(tunnel=True) as reader:
            self.assertEqual([r[0] for r in reader], [42])
        self.assertLess(self.server.peak_memory(), MEMORY)

    def put(self, pieces, arrow=False, encoding=None):
        """Sends the body in chunks, as every tunnel client does."""
        params = {"uploadid": self.session.id, "blockid": 0, **({"arrow": ""} if arrow else {})}
        headers = {"Content-Encoding": encoding} if encoding else {}
        chunks = itertools.chain((chunk(piece) for piece in pieces), [LAST_CHUNK])
        return self.wire.chunked("PUT", self.path, chunks, params, headers)

    def refused(self, answer, closed=False):
        """A 4xx that a client can read; `closed`: the connection may also have been closed."""
        if answer is None and closed:
            return
        self.assertIsNotNone(answer, "the connection was closed without an answer")
        self.assertIn(answer.status, range(400, 500), answer)
        code, message = answer.json_error()
        self.assertTrue(code and message, answer)

    def test_ten_gigabytes_of_one_byte(self):
        # One value of ten gigabytes; a value of the largest size that is followed by what is no field; rows of nothing.
        heads = {
            "one value": (tag(2, BYTES) + varint(10 << 30), b"a"),
            "a value and more": (tag(2, BYTES) + varint(8 << 20), b"a"),
            "zeros": (b"\0", b"\0"),
        }
        for encoding, (what, (head, fill)) in itertools.product(ENCODINGS, heads.items()):
            with self.subTest(encoding=encoding, what=what):
                # Snappy's body has 470 MiB, of which the server need not take all.
                self.refused(self.put(bomb(encoding, head, fill, TEN_GIB), encoding=encoding), closed=True)

    def test_ten_gigabytes_in_arrow_frames(self):
        # The largest chunk that a frame may have is not documented; these two ask for 64 MiB and for 4 GiB less a byte.
        for encoding, size in itertools.product(ENCODINGS, (64 << 20, 0xFFFF_FFFF)):
            with self.subTest(encoding=encoding, size=size):
                pieces = bomb(encoding, struct.pack(">I", size), b"a", TEN_GIB)
                self.refused(self.put(pieces, arrow=True, encoding=encoding), closed=True)

    def test_one_kilobyte_of_each(self):
        # As much of the bomb as fits: one MiB from DEFLATE, 32 MiB from Zstandard. It is cut off, so it is refused.
        for encoding, arrow in itertools.product(ENCODINGS, (False, True)):
            with self.subTest(encoding=encoding, arrow=arrow):
                head = struct.pack(">I", 1 << 20) if arrow else tag(2, BYTES) + varint(8 << 20)
                body = b"".join(itertools.islice(bomb(encoding, head, b"a", TEN_GIB), 40))[:1024]
                self.refused(self.put([body], arrow=arrow, encoding=encoding))

    def test_rows_that_are_as_large_as_may_be(self):
        # Seven values of 8 MiB each are a row of 56 MiB; three hundred bytes of Zstandard hold one. All checksums are
        # right but the one over everything, which comes last: nothing can be refused before.
        columns, rows, value = 7, 12, b"a" * (8 << 20)
        self.use(", ".join(f"s{n} string" for n in range(columns)))
        fields = [(number + 1, value) for number in range(columns)]
        crc = record_crc(fields)
        row = b"".join(
            zstd_raw(tag(number, BYTES) + varint(len(data))) + zstd_repeat(b"a", len(data)) for number, data in fields
        ) + zstd_raw(tag(END_RECORD, VARINT) + varint(crc))
        end = zstd_raw(footer([crc] * rows, total=0))
        # A window of 8 MiB, and one of 128 MiB, which may be refused at once but must not cost the memory.
        for window in (13 << 3, 17 << 3):
            with self.subTest(window=window):
                pieces = [zstd_head(window), row * rows, end]
                self.assertLess(sum(map(len, pieces)), 32 << 10)
                self.refused(self.put(pieces, encoding="zstd"))

    def test_one_arrow_message_of_gigabytes(self):
        # Zeros in chunks of 1 MiB with the right checksums: 43 kilobytes for a gigabyte. None of them comes to its end.
        whole = pa.record_batch([pa.array([7] * 12_345)], names=["n"]).serialize().to_pybytes()
        self.use("n bigint")
        metadata = 8 + struct.unpack("<i", whole[4:8])[0]
        true = struct.pack("<q", len(whole) - metadata)
        self.assertIn(true, whole[:metadata])
        for size in (1 << 30, 512 << 20, 511 << 20, 256 << 20):
            with self.subTest(size=size):
                first = whole[:metadata].replace(true, struct.pack("<q", size)).ljust(MIB, b"\0")
                zeros = zstd_repeat(b"\0", MIB) + zstd_raw(struct.pack(">I", crc32c(bytes(MIB))))
                pieces = [zstd_head(), zstd_raw(struct.pack(">I", MIB))]
                # A block of plain bytes holds at most 128 KiB; the metadata is far smaller.
                pieces.append(zstd_raw(first[: 4 << 10]) + zstd_repeat(b"\0", MIB - (4 << 10)))
                pieces.append(zstd_raw(struct.pack(">I", crc32c(first))))
                pieces += [zeros] * (size // MIB - 1)
                self.assertLess(sum(map(len, pieces)), 64 << 10)
                self.refused(self.put(pieces, arrow=True, encoding="zstd"))

    def test_windows_beyond_what_is_decoded(self):
        # RFC 8878, 3.1.1.1.2: the largest window is 3.75 TiB; decoders may refuse more than 8 MiB.
        for descriptor in (14 << 3, 17 << 3, 18 << 3, 21 << 3, 31 << 3 | 7):
            with self.subTest(descriptor=descriptor):
                self.refused(self.put([zstd_head(descriptor) + zstd_repeat(b"a", MIB)], encoding="zstd"))

    def test_lengths_of_two_to_the_sixty_in_records(self):
        good = [(1, 7), (2, b"x")]
        bodies = {
            "a string": tag(2, BYTES) + varint(HUGE) + b"x" * 1000,
            "a string of 2**64 - 1": tag(2, BYTES) + varint((1 << 64) - 1) + b"x" * 1000,
            "an array": tag(3, BYTES) + varint(HUGE) + b"\1" * 1000,
            "an array of values": tag(3, BYTES) + varint(HUGE) + b"\0\2" * 1000,
            "a map": tag(4, BYTES) + varint(HUGE) + b"\1" * 1000,
            "metrics": record(good) + tag(COUNT, VARINT) + varint(2) + tag(9, BYTES) + varint(HUGE) + b"x" * 1000,
            "the count of rows": record(good) + footer([record_crc(good)], count=HUGE),
            "a field number": tag(HUGE, BYTES) + varint(5),
        }
        for what, body in bodies.items():
            with self.subTest(length=what):
                self.refused(self.put([body]))

    def test_lengths_of_two_to_the_sixty_in_arrow(self):
        # A number of rows that is found nowhere else in the message, and the length of the body, which follows from it.
        rows = 12_345
        self.use("n bigint")
        whole = pa.record_batch([pa.array([7] * rows)], names=["n"]).serialize().to_pybytes()
        metadata = 8 + struct.unpack("<i", whole[4:8])[0]
        for number in (HUGE, -1, (1 << 63) - 1):
            for what, true in {"rows": rows, "buffers": rows * 8, "body": len(whole) - metadata}.items():
                with self.subTest(what=what, number=number):
                    old, new = struct.pack("<q", true), struct.pack("<q", number)
                    self.assertIn(old, whole[:metadata])
                    self.refused(self.put([framed(whole[:metadata].replace(old, new) + whole[metadata:])], arrow=True))
        # The length of a chunk has 32 bits: this is its largest.
        self.refused(self.put([b"\xff\xff\xff\xff" + whole], arrow=True))

    def test_lengths_of_two_to_the_sixty_in_http(self):
        targets = {
            "a job": ("POST", f"/api/projects/{self.o.project}/instances", {}),
            "a block": ("PUT", self.path, {"uploadid": self.session.id, "blockid": 0}),
            "an account": ("POST", "/admin/v1/accounts", {}),
        }
        for what, (method, path, params) in targets.items():
            for end, length in itertools.product((False, True), (HUGE, (1 << 64) - 1, 1 << 70)):
                with self.subTest(target=what, length=length, end=end):
                    head = self.wire.head(method, path, params) + f"\r\nContent-Length: {length}".encode()
                    # No byte of this fits the form of any of these bodies.
                    answer = self.wire.send(head, [b"\xff" * 4000], end=end)
                    if answer is not None:
                        self.assertIn(answer.status, range(400, 500), answer)
            with self.subTest(target=what, chunk=HUGE):
                pieces = [b"%x\r\n" % HUGE + b"\xff" * 4000]
                answer = self.wire.chunked(method, path, pieces, params, end=True)
                if answer is not None:
                    self.assertIn(answer.status, range(400, 500), answer)


if __name__ == "__main__":
    unittest.main()
