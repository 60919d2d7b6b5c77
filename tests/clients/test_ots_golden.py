"""Requests to the table store that no client on PyPI sends, by hand; and whole bodies, byte for byte.

Bodies in hexadecimal were made with the Python SDK's encoder, and by hand with its PlainBuffer rules. Messages, numbers of
fields and texts are those of the Java SDK (`table_store.proto`, its tests against the service) and of the service's
documentation; where a test says more, the rest is arithmetic.
"""

import hashlib
import time
import unittest
import zlib
from base64 import b64encode

import harness
import ots
import ots_raw
from ots import FAILED_CONDITION, NO_TABLE, OtsCase
from ots_raw import INTEGER, STRING, Auto, Cell, InfMax, InfMin, fields, one

STREAM_PUT, STREAM_UPDATE, STREAM_DELETE = 1, 2, 3
EQUAL, NOT_EQUAL, GREATER_THAN, GREATER_EQUAL, EXIST, NOT_EXIST = 1, 2, 3, 4, 7, 8
VT_INTEGER, VT_DOUBLE, VT_STRING = 0, 1, 3
TABLE_ACTIVE = 1
REFUSED = (400, "OTSParameterInvalid")


# pk1 = "hz", pk2 = 100; c1 = true, c2 = 1.5 at a given time.
PUT = """
    75000000 01 03 04 03000000 706b31 05 07000000 03 02000000 687a 0a e8
    03 04 03000000 706b32 05 09000000 00 6400000000000000 0a 05
    02 03 04 02000000 6331 05 02000000 02 01 0a c8
    03 04 02000000 6332 05 09000000 01 000000000000f83f 07 0068e5cf8b010000 0a d1 09 1f"""
# pk1 = 7; a put, a version deleted, a column deleted, an increment by -1.
UPDATE = """
    75000000 01 03 04 03000000 706b31 05 09000000 00 0700000000000000 0a 3a
    02 03 04 01000000 61 05 06000000 03 01000000 78 0a 4d
    03 04 01000000 62 06 03 07 0068e5cf8b010000 0a 66
    03 04 01000000 63 06 01 0a cd
    03 04 01000000 6e 05 09000000 00 ffffffffffffffff 06 04 0a b1 09 e3"""
# A GetRow of pk1 = "hz" in table t, newest version.
GET = "0a0174121e7500000001030403000000706b3105070000000302000000687a0ae809eb2801"


class Codec(unittest.TestCase):
    """The writer of these tests makes what the SDK makes; a mistake in it would be no mistake of the server."""

    def test_rows(self):
        put = ots_raw.row([("pk1", "hz"), ("pk2", 100)], [("c1", True), ("c2", 1.5, 1700000000000)])
        self.assertEqual(put, bytes.fromhex(PUT))
        changes = [
            ("a", "x"),
            Cell("b", op=ots_raw.DELETE_ONE, timestamp=1700000000000),
            Cell("c", op=ots_raw.DELETE_ALL),
            Cell("n", -1, ots_raw.INCREMENT),
        ]
        changed = ots_raw.row([("pk1", 7)], changes)
        self.assertEqual(changed, bytes.fromhex(UPDATE))
        removed = ots_raw.row([("pk1", 7)], delete=True)
        self.assertEqual(removed.hex(), "7500000001030403000000706b3105090000000007000000000000000a3a08097c")
        for data, key in ((put, [("pk1", "hz"), ("pk2", 100)]), (changed, [("pk1", 7)]), (removed, [("pk1", 7)])):
            (read,) = ots_raw.rows(data)
            self.assertEqual(read.key, key)

    def test_messages(self):
        get = ots_raw.message({1: "t", 2: ots_raw.row([("pk1", "hz")]), 5: 1})
        self.assertEqual(get.hex(), GET)
        self.assertEqual(ots_raw.compare("age", 5).hex(), "08011216080112036167651a0900050000000000000020012801")

    def test_signatures(self):
        # Key `ak`, secret `sk`, instance `inst`, an empty body, at a fixed time, signed by the SDK.
        changes = {"x-ots-date": "2024-01-02T03:04:05.000Z"}
        wire = ots_raw.Wire(1, "ak", "sk", "inst")
        self.assertEqual(wire.headers("ListTable", b"", changes)["x-ots-signature"], "eQciA6Z3eIwK6GdxaOO/clZVrcE=")
        wire = ots_raw.Wire(1, "ak", "sk", "inst", region="cn-hangzhou")
        changes["x-ots-signdate"] = "20240102"
        self.assertEqual(wire.signing_key("20240102"), b"ZTQ77z9vqEGlB283FbL2EbMyNBdBoFGY2acYbBbuevA=")
        signed = wire.headers("ListTable", b"", changes)["x-ots-signaturev4"]
        self.assertEqual(signed, "0PpP60+zceRL7IfW2PtmIpOi5ubcgqjktVGJHkwaXd8=")


class Bodies(OtsCase):
    def setUp(self):
        super().setUp()
        self.wire.ask("CreateTable", ots_raw.create_table("t", [("pk1", STRING)]))

    def test_a_row_that_is_not_there(self):
        answer = self.wire.ask("GetRow", bytes.fromhex(GET))
        self.assertEqual(answer.hex(), "0a060a04080110001200")

    def test_a_write(self):
        answer = self.wire.ask("PutRow", ots_raw.put("t", [("pk1", "hz")]))
        self.assertEqual(answer.hex(), "0a060a0408001001")

    def test_a_range_with_nothing(self):
        answer = self.wire.ask("GetRange", ots_raw.get_range("t", [("pk1", InfMin)], [("pk1", InfMax)]))
        # Both forms are read by the SDKs: no bytes, and the header of a PlainBuffer alone.
        self.assertIn(one(answer, 2), (b"", ots_raw.HEADER))
        self.assertEqual((ots_raw.units(answer), one(answer, 3)), ((1, 0), None))

    def test_a_table_as_it_is_described(self):
        # What `table_store.proto` of the Go SDK requires: its reader and that of Node.js refuse an answer with less.
        found = fields(self.wire.ask("DescribeTable", {1: "t"}))
        self.assertEqual([len(found.get(number, [])) for number in (1, 2, 3)], [1, 1, 1])
        self.assertEqual(found[4], [TABLE_ACTIVE])

    def test_a_condition_that_fails(self):
        body = ots_raw.message(ots_raw.put("t", [("pk1", "hz")], existence=ots_raw.EXPECT_EXIST))
        sent = self.wire.headers("PutRow", body)
        status, headers, answer = self.wire.send("PutRow", body, sent)
        self.assertEqual(status, 403)
        self.assertEqual(
            answer.hex(),
            "0a154f5453436f6e646974696f6e436865636b4661696c1217436f6e646974696f6e20636865636b206661696c65642e",
        )
        # Without its signature the SDK 6.1.0 would fall over this answer.
        self.wire.verify("PutRow", sent, headers, answer)

    def test_a_row_comes_back_with_its_checksums(self):
        stamp = int(time.time() * 1000)
        self.wire.ask("PutRow", ots_raw.put("t", [("pk1", "hz")], [("c1", True, stamp), ("c2", 1.5, stamp)]))
        row = ots_raw.got_row(self.wire.ask("GetRow", ots_raw.get("t", [("pk1", "hz")])))
        self.assertEqual((row.key, row.cells), ([("pk1", "hz")], [("c1", True, stamp), ("c2", 1.5, stamp)]))
        # An op in an answer makes the SDK's reader fail.
        self.assertEqual(row.ops, [None, None])


class Signatures(OtsCase):
    def test_version_4(self):
        wire = ots.wire(self.server, self.instance, region="cn-local")
        self.addCleanup(wire.close)
        wire.ask("CreateTable", ots_raw.create_table("t", [("k", STRING)]))
        self.assertEqual(fields(wire.ask("ListTable", b"")), {1: [b"t"]})
        wire.secret = "wrong"
        with self.assertRaises(ots_raw.Refused) as raised:
            wire.ask("ListTable", b"")
        error = raised.exception
        self.assertEqual((error.status, error.code, error.text), (403, "OTSAuthFailed", "Signature mismatch."))

    def test_temporary_keys_need_their_token(self):
        made = self.server.cli("key", "create", "--sts", "1h")
        for region in (None, "cn-local"):
            login = {"access_id": made["access_id"], "secret": made["secret"], "region": region}
            wire = ots.wire(self.server, self.instance, token=made["sts_token"], **login)
            self.addCleanup(wire.close)
            wire.ask("ListTable", b"")
            bare = ots.wire(self.server, self.instance, **login)
            self.addCleanup(bare.close)
            with self.assertRaises(ots_raw.Refused) as raised:
                bare.ask("ListTable", b"")
            self.assertEqual((raised.exception.status, raised.exception.code), (403, "OTSAuthFailed"))

    def test_headers_of_tracing_are_signed_too(self):
        given = self.wire.headers("ListTable", b"", {"x-ots-traceinfo": " of nobody "})
        self.wire.ask("ListTable", b"", given)
        status, code, text = self.raw_refusal("ListTable", b"", given | {"x-ots-traceinfo": "of somebody"})
        self.assertEqual((status, code, text), (403, "OTSAuthFailed", "Signature mismatch."))

    def test_what_is_wrong_with_a_header_is_said(self):
        good = self.wire.headers("ListTable", b"")
        for name in good:
            with self.subTest(missing=name):
                bare = {key: value for key, value in good.items() if key != name}
                status, code, text = self.raw_refusal("ListTable", b"", bare)
                self.assertIn((status, code), ((400, "OTSParameterInvalid"), (403, "OTSAuthFailed")))
                if status == 400:
                    self.assertEqual(text, f"Missing header: '{name}'.")
        old = "2020-01-02T03:04:05.000Z"
        refused = self.raw_refusal("ListTable", b"", self.wire.headers("ListTable", b"", {"x-ots-date": old}))
        self.assertEqual(refused, (403, "OTSAuthFailed", f"Mismatch between system time and x-ots-date: {old}."))
        other = self.wire.headers("ListTable", b"", {"x-ots-contentmd5": b64encode(hashlib.md5(b"x").digest()).decode()})
        text = "Mismatch between MD5 value of request body and x-ots-contentmd5 in header."
        self.assertEqual(self.raw_refusal("ListTable", b"", other), (403, "OTSAuthFailed", text))

    def test_a_request_may_come_twice(self):
        # A retry of the SDKs is the same request with the same signature.
        given = self.wire.headers("ListTable", b"")
        for _ in range(3):
            self.wire.ask("ListTable", b"", given)


class Requests(OtsCase):
    def test_operations_and_verbs_that_are_not_there(self):
        for operation in ("Nothing", "listtable", "SQLQuery", "CreateTimeseriesTable", "Search", "CreateSearchIndex"):
            with self.subTest(operation=operation):
                status, _, text = self.raw_refusal(operation, b"")
                self.assertTrue(400 <= status < 500)
                self.assertIn(operation, text)
        status, _, body = self.wire.send("ListTable", b"", method="GET")
        self.assertEqual((status, ots_raw.refused(status, body).code), (405, "OTSMethodNotAllowed"))

    def test_bytes_that_are_no_message_change_nothing_and_are_answered(self):
        self.wire.ask("CreateTable", ots_raw.create_table("t", [("k", STRING)]))
        good = ots_raw.message(ots_raw.put("t", [("k", "a")], [("c", 1)]))
        row = ots_raw.row([("k", "a")], [("c", 1)])
        broken = [good[:-1], good[: len(good) // 2], b"\xff" * 50, good.replace(row, row[:-1]), good.replace(row, b"")]
        # One bit of the row at a time: either its checksum or its shape does not hold.
        for at in range(len(row)):
            flipped = row[:at] + bytes([row[at] ^ 1]) + row[at + 1 :]
            broken.append(good.replace(row, flipped))
        for body in broken:
            status, code, _ = self.raw_refusal("PutRow", body)
            self.assertEqual(status, 400, (code, body))
        self.assertIsNone(ots_raw.got_row(self.wire.ask("GetRow", ots_raw.get("t", [("k", "a")]))))

    def test_a_body_that_is_too_large(self):
        # The most is 12 MiB (docs/table-store.md).
        status, code, _ = self.raw_refusal("PutRow", b"\0" * ((12 << 20) + 1))
        self.assertEqual((status, code), (413, "OTSRequestBodyTooLarge"))
        status, code, _ = self.raw_refusal("PutRow", b"\0" * (12 << 20))
        self.assertEqual((status, code), (400, "OTSParameterInvalid"))

    def test_a_compressed_body_is_inflated_or_refused(self):
        # The Java SDK sends this pair of headers with large bodies.
        body = ots_raw.message(ots_raw.create_table("t", [("k", STRING)]))
        packed = zlib.compress(body)
        pair = {"x-ots-request-compress-type": "deflate", "x-ots-request-compress-size": str(len(body))}
        try:
            self.wire.ask("CreateTable", packed, self.wire.headers("CreateTable", packed, pair))
        except ots_raw.Refused as refused:
            self.assertEqual(refused.status, 400)
            self.assertEqual(fields(self.wire.ask("ListTable", b"")), {})
        else:
            self.assertEqual(fields(self.wire.ask("ListTable", b"")), {1: [b"t"]})

    def test_what_is_not_done_is_refused_by_name(self):
        # Less would be done than was asked for. The words are ours, and name the field as docs/table-store.md says.
        table = ots_raw.create_table("t", [("k", STRING)], stream=24)
        every_column = {1: 3}
        streams = [
            ("columns", {1: 1, 2: 24, 3: ["c"]}),
            ("old_columns_to_get", {1: 1, 2: 24, 4: every_column}),
            ("new_columns_to_get", {1: 1, 2: 24, 5: every_column}),
        ]
        creations = [("sse_spec", {6: {1: 1, 2: 1}}), ("update_full_row", {3: table[3] | {7: 1}})]
        for word, change in creations + [(word, {5: stream}) for word, stream in streams]:
            self.check_refused(word, "CreateTable", table | change)
        self.assertEqual(fields(self.wire.ask("ListTable", b"")), {})
        # To ask for no encryption is to ask for nothing.
        self.wire.ask("CreateTable", table | {6: {1: 0}})
        described = self.wire.ask("DescribeTable", {1: "t"})
        self.check_refused("update_full_row", "UpdateTable", {1: "t", 3: {7: 1}})
        for word, stream in streams:
            self.check_refused(word, "UpdateTable", {1: "t", 4: stream})
        self.check_refused("split_point_limit", "ComputeSplitPointsBySize", {1: "t", 2: 1, 4: 10})
        self.check_refused("old_columns_to_get", "GetStreamRecord", {1: "i", 6: every_column})
        self.check_refused("new_columns_to_get", "GetStreamRecord", {1: "i", 7: every_column})
        key = ots_raw.row([("k", "a")])
        self.check_refused("rowKeys", "StartLocalTransaction", {1: "t", 2: key, 3: [key]})
        # Nothing of it was done: the table is as it was, and no transaction holds its row.
        self.assertEqual(self.wire.ask("DescribeTable", {1: "t"}), described)
        self.wire.ask("PutRow", ots_raw.put("t", [("k", "a")]))

    def check_refused(self, word, operation, request):
        with self.subTest(operation=operation, word=word):
            status, code, text = self.raw_refusal(operation, request)
            self.assertEqual((status, code), REFUSED)
            # Options have their names in the documentation: UpdateFullRow.
            self.assertIn(word.lower().replace("_", ""), text.lower().replace("_", ""))

    def test_deep_filters_are_refused(self):
        self.wire.ask("CreateTable", ots_raw.create_table("t", [("k", STRING)]))
        nested = ots_raw.compare("c", 1)
        for _ in range(5000):
            nested = ots_raw.message({1: 2, 2: {1: 1, 2: nested}})
        status, code, _ = self.raw_refusal("GetRow", ots_raw.get("t", [("k", "a")], filter_bytes=nested))
        self.assertEqual((status, code), (400, "OTSParameterInvalid"))
        # 32 comparisons side by side are documented to hold.
        wide = ots_raw.both(*[ots_raw.compare(f"c{n}", n, if_missing=True) for n in range(32)])
        self.wire.ask("GetRow", ots_raw.get("t", [("k", "a")], filter_bytes=wide))


class Writes(OtsCase):
    def table(self, *keys, name="t", **options):
        self.wire.ask("CreateTable", ots_raw.create_table(name, list(keys) or [("k", STRING)], **options))

    def test_an_increment_returns_what_it_made(self):
        self.table()
        for delta, total in ((5, 5), (-7, -2), (0, -2)):
            request = ots_raw.update("t", [("k", "a")], [Cell("n", delta, ots_raw.INCREMENT)], after=["n"])
            row = ots_raw.got_row(self.wire.ask("UpdateRow", request))
            self.assertEqual([(name, value) for name, value, _ in row.cells], [("n", total)])
        both = [Cell("n", 1, ots_raw.INCREMENT), Cell("n", op=ots_raw.DELETE_ALL)]
        self.assertEqual(self.raw_refusal("UpdateRow", ots_raw.update("t", [("k", "a")], both))[0], 400)
        row = ots_raw.got_row(self.wire.ask("GetRow", ots_raw.get("t", [("k", "a")])))
        self.assertEqual(row.cells[0][1], -2)

    def batch(self, table, rows, atomic=None):
        """(is ok, code, text) of every row of a batch of one table; rows are (key, cells)."""
        items = [{1: ots_raw.PUT, 2: ots_raw.row(*row), 3: ots_raw.condition()} for row in rows]
        answer = self.wire.ask("BatchWriteRow", {1: [{1: table, 2: items}], 3: atomic})
        found = []
        for item in fields(one(answer, 1))[2]:
            said = one(item, 2)
            found.append((one(item, 1) == 1, *(one(said, n).decode() if said else None for n in (1, 2))))
        return found

    def test_rows_of_one_partition_key_are_written_together(self):
        self.table(("k", INTEGER), ("n", INTEGER))
        rows = [([("k", 1), ("n", n)], [("v", n)]) for n in range(5)]
        self.assertEqual(self.batch("t", rows, atomic=1), [(True, None, None)] * 5)
        apart = [([("k", 0), ("n", 9)], [("v", 1)]), ([("k", 1), ("n", 9)], [("v", 1)])]
        text = "Data out of scope of atomic. Atomic PartKey:0. Data PartKey:1"
        self.assertEqual(self.batch("t", apart, atomic=1), [(False, "OTSDataOutOfRange", text)] * 2)
        for key, _ in apart:
            self.assertIsNone(ots_raw.got_row(self.wire.ask("GetRow", ots_raw.get("t", key))))

    def test_a_table_may_forbid_updates(self):
        options = {3: {1: -1, 2: 1, 6: 0}}
        self.wire.ask("CreateTable", ots_raw.create_table("t", [("k", STRING)]) | options)
        key = [("k", "a")]
        change = ots_raw.update("t", key, [("v", 2)])
        self.wire.ask("PutRow", ots_raw.put("t", key, [("v", 1)]))
        self.assertEqual(self.raw_refusal("UpdateRow", change)[:2], REFUSED)
        # In a batch it fails alone.
        items = [
            {1: ots_raw.UPDATE, 2: change[2], 3: ots_raw.condition()},
            {1: ots_raw.PUT, 2: ots_raw.row([("k", "b")], [("v", 3)]), 3: ots_raw.condition()},
        ]
        answer = self.wire.ask("BatchWriteRow", {1: [{1: "t", 2: items}]})
        self.assertEqual([one(item, 1) for item in fields(one(answer, 1))[2]], [0, 1])
        self.assertEqual([self.value("a"), self.value("b")], [1, 3])
        self.wire.ask("DeleteRow", ots_raw.delete("t", [("k", "b")]))
        self.assertIsNone(self.value("b"))
        self.wire.ask("UpdateTable", {1: "t", 3: {6: 1}})
        self.wire.ask("UpdateRow", change)
        self.assertEqual(self.value("a"), 2)

    def value(self, key):
        """The one cell of a row of t; None without the row."""
        row = ots_raw.got_row(self.wire.ask("GetRow", ots_raw.get("t", [("k", key)])))
        return None if row is None else row.cells[0][1]

    def test_transactions_are_of_tables_that_have_them(self):
        self.table(name="with", transactions=True)
        self.table(name="without", transactions=False)
        key = ots_raw.row([("k", "a")])
        id = one(self.wire.ask("StartLocalTransaction", {1: "with", 2: key}), 1).decode()
        self.wire.ask("PutRow", ots_raw.put("with", [("k", "a")], [("v", 1)], transaction=id))
        self.wire.ask("CommitTransaction", {1: id})
        refused = self.raw_refusal("StartLocalTransaction", {1: "without", 2: key})
        text = "Try to call method using explicit transaction on explicit-transaction-disabled table."
        self.assertEqual(refused, (400, "OTSParameterInvalid", text))
        self.table(("k", STRING), ("n", INTEGER), name="two", transactions=True)
        both = ots_raw.row([("k", "a"), ("n", 1)])
        refused = self.raw_refusal("StartLocalTransaction", {1: "two", 2: both})
        self.assertEqual(refused, (400, "OTSParameterInvalid", "StartLocalTransaction support only one primary key."))

    def test_a_generated_key_is_for_writes(self):
        self.table(("k", STRING), ("n", INTEGER, 1))
        made = self.wire.ask("PutRow", ots_raw.put("t", [("k", "a"), ("n", Auto)], returns=ots_raw.RT_PK))
        row = ots_raw.got_row(made)
        self.assertEqual((row.key[0], row.cells), (("k", "a"), []))
        self.wire.ask("GetRow", ots_raw.get("t", row.key))
        refused = self.raw_refusal("GetRow", ots_raw.get("t", [("k", "a"), ("n", Auto)]))
        self.assertEqual(refused, (400, "OTSParameterInvalid", "PKAutoIncr can't be used for read operations."))

    def test_defined_columns_come_and_go(self):
        self.table(columns=[("a", 1)])
        self.wire.ask("AddDefinedColumn", {1: "t", 2: [{1: "b", 2: 4}, {1: "c", 2: 2}]})
        self.wire.ask("DeleteDefinedColumn", {1: "t", 2: ["a"]})
        described = one(self.wire.ask("DescribeTable", {1: "t"}), 1)
        columns = [(one(c, 1).decode(), one(c, 2)) for c in fields(described)[3]]
        self.assertEqual(columns, [("b", 4), ("c", 2)])


class Reads(OtsCase):
    def test_columns_in_pages(self):
        self.wire.ask("CreateTable", ots_raw.create_table("t", [("k", STRING)]))
        cells = [(f"c{n:02}", n) for n in range(20)]
        self.wire.ask("PutRow", ots_raw.put("t", [("k", "a")], cells))
        for offset, limit in ((0, 3), (3, 5), (18, 10)):
            page = ots_raw.message({1: 3, 2: {1: offset, 2: limit}})
            row = ots_raw.got_row(self.wire.ask("GetRow", ots_raw.get("t", [("k", "a")], filter_bytes=page)))
            self.assertEqual([(n, v) for n, v, _ in row.cells], cells[offset : offset + limit])
        page = ots_raw.message({1: 3, 2: {1: 0, 2: 2}})
        for first, expected in ((0, 2), (1, None)):
            chosen = ots_raw.both(ots_raw.compare("c00", first), page)
            row = ots_raw.got_row(self.wire.ask("GetRow", ots_raw.get("t", [("k", "a")], filter_bytes=chosen)))
            self.assertEqual(None if row is None else len(row.cells), expected)

    def matched(self, column, comparator, value, rule=None):
        """The keys of the rows that pass a filter as the Java SDK's SingleColumnValueRegexFilter sends it."""
        # A missing column does not pass, and the newest version counts.
        single = {1: comparator, 2: column, 3: bytes.fromhex(value), 4: 1, 5: 1, 6: rule}
        request = ots_raw.get_range("t", [("k", InfMin)], [("k", InfMax)], filter_bytes=ots_raw.message({1: 1, 2: single}))
        return [row.key[0][1] for row in ots_raw.rows(one(self.wire.ask("GetRange", request), 2))]

    def test_values_within_texts(self):
        self.wire.ask("CreateTable", ots_raw.create_table("t", [("k", STRING)]))
        texts = [("seven", "xxx7yyy"), ("seventy", "xxx70yyy"), ("other", "7"), ("number", 7)]
        for key, text in texts:
            self.wire.ask("PutRow", ots_raw.put("t", [("k", key)], [("t", text)]))
        self.wire.ask("PutRow", ots_raw.put("t", [("k", "none")], [("u", "xxx7yyy")]))
        rule = "xxx([0-9]+)yyy"
        # The integer 7, the double 70.0 and the text "7" as filters have them.
        integer, double, text = "00 0700000000000000", "01 0000000000805140", "03 01000000 37"
        for comparator, value, kind, wanted in (
            (EQUAL, integer, VT_INTEGER, ["seven"]),
            (GREATER_EQUAL, integer, VT_INTEGER, ["seven", "seventy"]),
            # What does not match is not unequal: no comparison of it is true.
            (NOT_EQUAL, integer, VT_INTEGER, ["seventy"]),
            (EQUAL, double, VT_DOUBLE, ["seventy"]),
            (EQUAL, text, VT_STRING, ["seven"]),
            (GREATER_THAN, text, VT_STRING, ["seventy"]),
            # Values of different types never match.
            (NOT_EQUAL, text, VT_INTEGER, []),
        ):
            with self.subTest(comparator=comparator, value=value, kind=kind):
                self.assertEqual(self.matched("t", comparator, value, {1: rule, 2: kind}), wanted)
        with self.assertRaises(ots_raw.Refused) as raised:
            self.matched("t", EQUAL, integer, {1: "(", 2: VT_INTEGER})
        self.assertEqual((raised.exception.status, raised.exception.code), REFUSED)

    def test_columns_that_are_there_or_not(self):
        self.wire.ask("CreateTable", ots_raw.create_table("t", [("k", STRING)]))
        self.wire.ask("PutRow", ots_raw.put("t", [("k", "a")], [("v", "text")]))
        self.wire.ask("PutRow", ots_raw.put("t", [("k", "b")], [("w", 1)]))
        # The SDKs send the integer 0, which says nothing.
        zero = "00 0000000000000000"
        for comparator, column, wanted in (
            (EXIST, "v", ["a"]),
            (NOT_EXIST, "v", ["b"]),
            (EXIST, "w", ["b"]),
            (EXIST, "x", []),
            (NOT_EXIST, "x", ["a", "b"]),
        ):
            with self.subTest(comparator=comparator, column=column):
                self.assertEqual(self.matched(column, comparator, zero), wanted)

    def test_columns_between_two_names(self):
        self.wire.ask("CreateTable", ots_raw.create_table("t", [("k", STRING)]))
        self.wire.ask("PutRow", ots_raw.put("t", [("k", "a")], [(name, 1) for name in ("a", "b", "ba", "c", "d")]))
        request = ots_raw.get("t", [("k", "a")]) | {8: "b", 9: "d"}
        row = ots_raw.got_row(self.wire.ask("GetRow", request))
        self.assertEqual([name for name, _, _ in row.cells], ["b", "ba", "c"])

    def test_points_that_split_a_table(self):
        self.wire.ask("CreateTable", ots_raw.create_table("t", [("k", STRING), ("n", INTEGER)]))
        for n in range(8):
            self.wire.ask("PutRow", ots_raw.put("t", [("k", f"k{n}"), ("n", n)], [("v", bytearray(1 << 20))]))
        answer = self.wire.ask("ComputeSplitPointsBySize", {1: "t", 2: 1, 3: 1 << 20})
        found = fields(answer)
        self.assertEqual([(one(s, 1), one(s, 2)) for s in found[2]], [(b"k", STRING), (b"n", INTEGER)])
        points = [ots_raw.rows(point)[0].key for point in found.get(3, [])]
        self.assertEqual([point[0][1] for point in points], sorted({point[0][1] for point in points}))
        # n points make n + 1 splits; that all of them are read finds every row once.
        bounds = [[("k", InfMin), ("n", InfMin)]]
        bounds += [point + [("n", InfMin)][len(point) - 1 :] for point in points] + [[("k", InfMax), ("n", InfMax)]]
        read = []
        for start, end in zip(bounds, bounds[1:]):
            while start:
                answer = self.wire.ask("GetRange", ots_raw.get_range("t", start, end, columns=["k"]))
                read += [row.key[1][1] for row in ots_raw.rows(one(answer, 2))]
                follows = one(answer, 3)
                start = ots_raw.rows(follows)[0].key if follows else None
        self.assertEqual(read, list(range(8)))
        self.assertEqual(self.raw_refusal("ComputeSplitPointsBySize", {1: "none", 2: 1}), NO_TABLE)


class Streams(OtsCase):
    def setUp(self):
        super().setUp()
        self.wire.ask("CreateTable", ots_raw.create_table("t", [("k", STRING)], stream=24))

    def streams(self, table):
        return fields(self.wire.ask("ListStream", {1: table})).get(1, [])

    def stream(self, table="t"):
        streams = self.streams(table)
        self.assertEqual([one(stream, 2) for stream in streams], [table.encode()])
        return one(streams[0], 1).decode()

    def records(self, table="t", hours=24, from_us=None):
        """Every change of the table since a time: (what was done, key, cells with ops, sequence)."""
        id = self.stream(table)
        described = self.wire.ask("DescribeStream", {1: id})
        self.assertEqual((one(described, 2), one(described, 3), one(described, 5)), (hours, table.encode(), 2))
        found = []
        for shard in fields(described)[6]:
            asked = {1: id, 2: one(shard, 1), 3: from_us}
            iterator = one(self.wire.ask("GetShardIterator", asked), 1)
            while iterator:
                answer = self.wire.ask("GetStreamRecord", {1: iterator, 2: 3})
                records = fields(answer).get(1, [])
                for record in records:
                    (row,) = ots_raw.rows(one(record, 2))
                    cells = [(name, value, op) for (name, value, _), op in zip(row.cells, row.ops)]
                    found.append((one(record, 1), row.key, cells, row.sequence))
                iterator = one(answer, 2) if records else None
        return found

    def test_changes_come_in_their_order(self):
        key = [("k", "a")]
        self.wire.ask("PutRow", ots_raw.put("t", key, [("x", 1), ("y", "two")]))
        self.wire.ask("UpdateRow", ots_raw.update("t", key, [("x", 2), Cell("y", op=ots_raw.DELETE_ALL)]))
        self.wire.ask("DeleteRow", ots_raw.delete("t", key))
        for n in range(10):
            self.wire.ask("PutRow", ots_raw.put("t", [("k", f"b{n}")], [("n", n)]))
        refused = self.raw_refusal("PutRow", ots_raw.put("t", key, existence=ots_raw.EXPECT_EXIST))
        self.assertEqual(refused, FAILED_CONDITION)
        wanted = [
            (STREAM_PUT, key, [("x", 1, None), ("y", "two", None)]),
            (STREAM_UPDATE, key, [("x", 2, None), ("y", None, ots_raw.DELETE_ALL)]),
            (STREAM_DELETE, key, []),
        ]
        wanted += [(STREAM_PUT, [("k", f"b{n}")], [("n", n, None)]) for n in range(10)]
        harness.wait_for("the records", lambda: len(self.records()) >= len(wanted))
        records = self.records()
        self.assertEqual([record[:3] for record in records], wanted)
        # Epoch, time and number of the row order changes.
        sequences = [record[3] for record in records]
        self.assertEqual(sequences, sorted(set(sequences)))

    def test_a_stream_is_read_from_a_time(self):
        for n in range(6):
            self.wire.ask("PutRow", ots_raw.put("t", [("k", f"k{n}")], [("n", n)]))
        harness.wait_for("the records", lambda: len(self.records()) >= 6)
        records = self.records()
        self.assertEqual([key for _, key, _, _ in records], [[("k", f"k{n}")] for n in range(6)])
        # Microseconds, as the records have them.
        times = [sequence[1] for _, _, _, sequence in records]
        for from_us in [0, times[0] - 1, *times, times[2] + 1, times[-1] + 1]:
            with self.subTest(from_us=from_us):
                wanted = [record for record, time_us in zip(records, times) if time_us >= from_us]
                self.assertEqual(self.records(from_us=from_us), wanted)

    def test_a_stream_is_switched_on_and_off(self):
        self.wire.ask("CreateTable", ots_raw.create_table("later", [("k", STRING)]))
        self.wire.ask("PutRow", ots_raw.put("later", [("k", "before")], [("n", 1)]))
        # Changes are kept for 1 to 168 hours.
        for hours in (0, 169):
            refused = self.raw_refusal("UpdateTable", {1: "later", 4: {1: 1, 2: hours}})
            self.assertEqual(refused[:2], REFUSED)
        self.assertEqual(self.streams("later"), [])
        answer = self.wire.ask("UpdateTable", {1: "later", 4: {1: 1, 2: 48}})
        id = self.stream("later")
        described = one(self.wire.ask("DescribeTable", {1: "later"}), 5)
        for details in (one(answer, 3), described):
            self.assertEqual((one(details, 1), one(details, 2), one(details, 3)), (1, id.encode(), 48))
        self.wire.ask("PutRow", ots_raw.put("later", [("k", "after")], [("n", 2)]))
        wanted = [(STREAM_PUT, [("k", "after")], [("n", 2, None)])]
        harness.wait_for("the record", lambda: self.records("later", 48))
        self.assertEqual([record[:3] for record in self.records("later", 48)], wanted)

        answer = self.wire.ask("UpdateTable", {1: "later", 4: {1: 0}})
        self.assertEqual(one(answer, 3, 1), 0)
        self.assertEqual(self.streams("later"), [])
        self.assertIn(self.raw_refusal("DescribeStream", {1: id})[0], (400, 404))
        for key, n in (("before", 1), ("after", 2)):
            row = ots_raw.got_row(self.wire.ask("GetRow", ots_raw.get("later", [("k", key)])))
            self.assertEqual([(name, value) for name, value, _ in row.cells], [("n", n)])

    def test_a_stream_goes_with_its_table(self):
        id = self.stream()
        self.wire.ask("DeleteTable", {1: "t"})
        self.assertEqual(self.raw_refusal("ListStream", {1: "t"})[:2], (404, "OTSObjectNotExist"))
        self.assertIn(self.raw_refusal("DescribeStream", {1: id})[0], (400, 404))


if __name__ == "__main__":
    unittest.main()
