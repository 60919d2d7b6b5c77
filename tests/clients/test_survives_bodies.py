"""Bodies that are no XML, JSON, record stream, Arrow frame or chunked body are refused clearly and change nothing.

The rule for every upload is the protocol's: on a body that is damaged the server answers 400 and there is no block.
Error documents are judged by what odps/errors.py needs to read them.
"""

import struct
import unittest

import pyarrow as pa
from odps.tunnel import TableTunnel

import harness
from raw import LAST_CHUNK, Wire, chunk
from streams import VARINT, footer, framed, record, record_crc, tag, varint

ROW = [(1, 7), (2, b"seven")]
GOOD = record(ROW) + footer([record_crc(ROW)])
DEEP = 100_000

JOB = """<?xml version="1.0" encoding="utf-8"?><Instance><Job><Priority>9</Priority><Tasks><SQL><Name>t</Name>
<Config><Property><Name>settings</Name><Value>{settings}</Value></Property></Config>
<Query><![CDATA[{query}]]></Query></SQL></Tasks></Job></Instance>"""

# Ten entities of ten entities each, nine levels up: a billion words if anybody expanded them.
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


def batch(count=1):
    return pa.record_batch([pa.array([7] * count, pa.int64()), pa.array(["seven"] * count)], names=["n", "s"])


class Bodies(harness.ClientCase):
    def setUp(self):
        super().setUp()
        self.wire = Wire(self.server, self.o)
        self.project = f"/projects/{self.o.project}"
        self.pid = self.server.process.pid

    def tearDown(self):
        # It is the process that was there before, and it answers.
        self.assertIsNone(self.server.process.poll())
        self.assertEqual(self.server.process.pid, self.pid)
        self.assertEqual(self.query("SELECT 6 * 7"), [(42,)])
        super().tearDown()

    def refused(self, answer, form, statuses=range(400, 500)):
        """Checks that the answer is a refusal that a client can read; gives code and message."""
        self.assertIsNotNone(answer, "the connection was closed without an answer")
        self.assertIn(answer.status, statuses, answer)
        code, message = answer.xml_error() if form == "xml" else answer.json_error()
        # Codes are words or ODPS-nnnnnnn; an empty message explains nothing.
        self.assertRegex(code, r"^[A-Za-z]+$|^ODPS-\d{7}$")
        self.assertGreater(len(message), 10, answer)
        self.assertTrue(answer.headers["x-odps-request-id"])
        return code, message

    def instances(self):
        return {i.id for i in self.o.list_instances()}


class Documents(Bodies):
    def test_jobs_that_are_no_xml_or_no_job_are_refused(self):
        name = self.name()
        good = JOB.format(settings="{}", query=f"CREATE TABLE {name} (a BIGINT)")
        cases = {
            "nothing": b"",
            "no XML": b"CREATE TABLE t",
            "cut in a tag": good[: good.index("<Priority") + 5].encode(),
            "cut in the query": good[: good.index("BIGINT")].encode(),
            "cut before the last tag": good[: good.rindex("</Instance>")].encode(),
            "tags crossed": good.replace("</SQL></Tasks>", "</Tasks></SQL>").encode(),
            "bytes behind the end": good.encode() + b"<Instance/>",
            "no UTF-8": good.encode().replace(b"<Name>t<", b"<Name>\xff\xfe<"),
            "no job": b"<Instance/>",
            "no task": b"<Instance><Job><Tasks/></Job></Instance>",
            "unknown task": good.replace("SQL>", "COBOL>").encode(),
            "priority in words": good.replace(">9<", ">high<").encode(),
            "settings are no JSON": JOB.format(settings='{"a": ', query="SELECT 1").encode(),
            "settings are a list": JOB.format(settings="[1]", query="SELECT 1").encode(),
            "settings nested deeply": JOB.format(settings='{"a":' + "[" * DEEP, query="SELECT 1").encode(),
            "elements nested deeply": b"<Instance>" + b"<Job>" * DEEP,
            "elements nested deeply and closed": b"<Job>" * DEEP + b"</Job>" * DEEP,
            "entities of entities": f"<!DOCTYPE Instance [<!ENTITY l0 'ha'>{LAUGHS}]>".encode()
            + JOB.format(settings="{}", query="SELECT 1").partition("?>")[2].replace(">t<", ">&l9;<").encode(),
        }
        before = self.instances()
        for what, body in cases.items():
            with self.subTest(body=what):
                answer = self.wire.body("POST", f"/api{self.project}/instances", body)
                self.refused(answer, "xml", [400])
        self.assertEqual(self.instances(), before)
        self.assertFalse(self.o.exist_table(name))

    def test_tables_from_no_xml_are_refused(self):
        # Tables are created by SQL (odps/models/tables.py); the path takes no documents, and says so in the same form.
        before = {t.name for t in self.o.list_tables()}
        for body in (b"", b"<Table><Name>", b"\x00\xff", b"<Table>" * DEEP):
            with self.subTest(body=body[:20]):
                self.refused(self.wire.body("POST", f"/api{self.project}/tables", body), "xml")
        self.assertEqual({t.name for t in self.o.list_tables()}, before)

    def test_stop_requests_from_no_xml_stop_nothing(self):
        job = self.o.execute_sql("SELECT 1")
        for body in (b"", b"<Instance><Status>Terminated", b"stop", b"<Instance>" * DEEP):
            with self.subTest(body=body[:20]):
                self.refused(self.wire.body("PUT", f"/api{self.project}/instances/{job.id}", body), "xml", [400])
        self.assertTrue(self.o.get_instance(job.id).is_successful())

    def test_json_that_is_none_is_refused(self):
        token = f"/api{self.project}/authorization"
        accounts = "/admin/v1/accounts"
        before = self.wire.body("GET", accounts, b"").body
        cases = {
            "nothing": b"",
            "cut": b'{"name": "ALIYUN$cut',
            "no JSON": b"name=ALIYUN$form",
            "no object": b'["ALIYUN$list"]',
            "wrong type": b'{"name": 7}',
            "unknown key": b'{"name": "ALIYUN$key", "root": true}',
            "no UTF-8": b'{"name": "ALIYUN$\xff"}',
            "twice": b'{"name": "ALIYUN$one"}{"name": "ALIYUN$two"}',
            "nested deeply": b'{"name": ' + b"[" * DEEP,
        }
        for what, body in cases.items():
            with self.subTest(body=what):
                self.refused(self.wire.body("POST", accounts, body), "json", [400])
                answer = self.wire.body("POST", token, body, {"sign_bearer_token": ""})
                self.refused(answer, "xml", [400])
        self.assertEqual(self.wire.body("GET", accounts, b"").body, before)


class Uploads(Bodies):
    def setUp(self):
        super().setUp()
        self.target = self.table("n bigint, s string")
        self.session = TableTunnel(self.o).create_upload_session(self.target)
        self.path = f"{self.project}/tables/{self.target.name}"

    def put(self, body, arrow=False, encoding=None):
        """Sends a block whole and well-framed, whatever is inside."""
        params = {"uploadid": self.session.id, "blockid": 0, **({"arrow": ""} if arrow else {})}
        headers = {"Content-Encoding": encoding} if encoding else {}
        return self.wire.chunked("PUT", self.path, [chunk(body) if body else b"", LAST_CHUNK], params, headers)

    def no_block(self, answer, statuses=(400,)):
        self.refused(answer, "json", statuses)
        self.assertEqual(self.session.get_block_list(), [])

    def tearDown(self):
        # The table is still empty and the session, which was refused so often, still takes the good body, once.
        self.assertEqual(self.session.get_block_list(), [])
        self.assertEqual(self.rows(self.target), [])
        self.assertEqual(self.put(GOOD).status, 200)
        self.session.commit([0])
        self.assertEqual(self.rows(self.target), [(7, "seven")])
        super().tearDown()

    def test_record_streams_that_are_none_leave_no_block(self):
        crc = record_crc(ROW)
        cases = {
            "text": b"this is no record stream",
            "varint without end": b"\xff" * 20,
            "field 3 of 2": tag(3, VARINT) + varint(1) + GOOD,
            "wire type of a string": tag(2, VARINT) + varint(1) + GOOD,
            "a field twice": record([(1, 7), (1, 7)]) + footer([record_crc([(1, 7), (1, 7)])]),
            "text that is no UTF-8": record([(2, b"\xff")]) + footer([record_crc([(2, b"\xff")])]),
            "wrong checksum of a record": record(ROW, crc ^ 1) + footer([crc ^ 1]),
            "wrong checksum over all": record(ROW) + footer([crc], total=crc),
            "a row too few": record(ROW) + footer([crc], count=2),
            "a row too many": record(ROW) * 2 + footer([crc, crc], count=1),
            "bytes behind the footer": GOOD + b"\x00",
            "two streams": GOOD + GOOD,
        }
        for what, body in cases.items():
            with self.subTest(body=what):
                self.no_block(self.put(body))

    def test_record_streams_cut_anywhere_leave_no_block(self):
        for length in range(len(GOOD)):
            with self.subTest(length=length):
                self.no_block(self.put(GOOD[:length]))

    def test_arrow_bodies_that_are_none_leave_no_block(self):
        message = batch().serialize().to_pybytes()
        whole = framed(message)
        metadata = 8 + struct.unpack("<i", message[4:8])[0]
        offsets = message.index(struct.pack("<ii", 0, 5), metadata)
        beyond = message[:offsets] + struct.pack("<ii", 0, 0x7FFF_FFFF) + message[offsets + 8 :]
        backwards = message[:offsets] + struct.pack("<ii", 5, 0) + message[offsets + 8 :]
        other = pa.record_batch([pa.array([7], pa.int64())], names=["n"])
        cases = {
            "no frame": message,
            "no Arrow in the frame": framed(b"this is no Arrow message, though it is long enough to look like one"),
            "wrong checksum at the end": whole[:-1] + bytes([whole[-1] ^ 1]),
            "wrong checksum of a chunk": framed(message, 16)[:20] + b"\x00\x00\x00\x00" + framed(message, 16)[24:],
            "bytes behind the frame": whole + b"\x00",
            "chunks of no bytes": b"\x00\x00\x00\x00" + whole[4:],
            "chunks of 4 GiB": b"\xff\xff\xff\xff" + whole[4:],
            "metadata of 2 GiB": framed(b"\xff\xff\xff\xff\xff\xff\xff\x7f" + message[8:]),
            "metadata overwritten": framed(message[:8] + b"\xff" * (metadata - 8) + message[metadata:]),
            "offsets beyond the text": framed(beyond),
            "offsets backwards": framed(backwards),
            "a schema": framed(batch().schema.serialize().to_pybytes()),
            "a column too few": framed(other.serialize().to_pybytes()),
        }
        for what, body in cases.items():
            with self.subTest(body=what):
                self.no_block(self.put(body, arrow=True))

    def test_arrow_bodies_cut_anywhere_leave_no_block(self):
        whole = framed(batch(3).serialize().to_pybytes(), 64)
        for length in range(0, len(whole), 5):
            with self.subTest(length=length):
                self.no_block(self.put(whole[:length], arrow=True))

    def test_bodies_that_are_not_compressed_as_they_say_leave_no_block(self):
        for encoding in ("deflate", "zstd", "x-lz4-frame", "x-odps-lz4-frame", "x-snappy-framed"):
            for body in (b"", GOOD, b"\xff" * 1000):
                with self.subTest(encoding=encoding, body=body[:10]):
                    self.no_block(self.put(body, encoding=encoding))
        # 4.7 of RFC 9110 would be another matter: this protocol knows five words and nothing nested.
        for encoding in ("gzip", "br", "zstd, zstd", "deflate,deflate,deflate"):
            with self.subTest(encoding=encoding):
                self.no_block(self.put(GOOD, encoding=encoding), range(400, 500))

    def test_broken_chunked_encoding_leaves_no_block(self):
        params = {"uploadid": self.session.id, "blockid": 0}
        cases = {
            "a length in no digits": b"zz\r\n" + GOOD,
            "a negative length": b"-5\r\n" + GOOD,
            "a length beyond 64 bits": b"1" + b"0" * 16 + b"\r\n" + GOOD,
            "no end of line after the data": chunk(GOOD)[:-2] + LAST_CHUNK,
            "data longer than its length": b"2\r\n" + GOOD + b"\r\n" + LAST_CHUNK,
            "a chunk extension without an end": b"2;" + b"x" * 100_000,
        }
        for what, pieces in cases.items():
            with self.subTest(body=what):
                self.no_block(self.wire.chunked("PUT", self.path, [pieces], params))

    def test_a_client_that_dies_in_a_chunked_body_leaves_no_block(self):
        params = {"uploadid": self.session.id, "blockid": 0}
        for pieces in (b"", b"5", b"5\r\n", b"5\r\nab", chunk(GOOD), chunk(GOOD) + b"0", chunk(GOOD) + b"0\r\n"):
            with self.subTest(pieces=pieces):
                answer = self.wire.chunked("PUT", self.path, [pieces], params, end=True)
                # Nobody is there to read an answer; if one comes it is a refusal.
                if answer is not None:
                    self.refused(answer, "json")
                self.assertEqual(self.session.get_block_list(), [])

    def test_broken_chunked_encoding_of_a_job_runs_nothing(self):
        name = self.name()
        body = JOB.format(settings="{}", query=f"CREATE TABLE {name} (a BIGINT)").encode()
        before = self.instances()
        for pieces in (b"zz\r\n" + body, chunk(body)[:-2] + LAST_CHUNK, b"2\r\n" + body):
            with self.subTest(pieces=pieces[:10]):
                answer = self.wire.chunked("POST", f"/api{self.project}/instances", [pieces])
                self.refused(answer, "xml", [400])
        self.assertEqual(self.instances(), before)
        self.assertFalse(self.o.exist_table(name))


if __name__ == "__main__":
    unittest.main()
