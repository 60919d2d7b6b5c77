"""The table store through the Python SDK of Tablestore as it is on PyPI: what the SDK's own tests (test_ots_sdk) do not reach.

Expected values are the values written, or follow from them by arithmetic. Words of errors are those that the tests of the
Python and Java SDKs compare, or those of the service's documentation, "Error codes". Capacity units are the documentation's
rule: the bytes of names and values, in steps of 4096, rounded up.
"""

import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from tablestore import (
    INF_MAX,
    INF_MIN,
    PK_AUTO_INCR,
    BatchGetRowRequest,
    BatchWriteRowRequest,
    CapacityUnit,
    ComparatorType,
    Condition,
    DeleteRowItem,
    PutRowItem,
    ReturnType,
    Row,
    RowExistenceExpectation,
    SecondaryIndexMeta,
    SecondaryIndexType,
    SingleColumnCondition,
    TableInBatchGetRowItem,
    TableInBatchWriteRowItem,
    TableOptions,
    UpdateRowItem,
)

import harness
import ots
from ots import EXIST, FAILED_CONDITION, IGNORE, NO_TABLE, NOT_EXIST, OtsCase

MEGABYTE = 1 << 20
DAY_MS = 86_400_000


def now_ms():
    return int(time.time() * 1000)


def key(*values):
    """A key of the columns k0, k1, …"""
    return [(f"k{i}", value) for i, value in enumerate(values)]


class Rows(OtsCase):
    def table(self, *kinds, name="t", **options):
        """A table with key columns of these types."""
        return ots.create(self.ots, name, [(f"k{i}", kind) for i, kind in enumerate(kinds)], **options)

    def test_a_put_replaces_the_row_and_an_update_changes_columns(self):
        t = self.table("STRING")
        self.ots.put_row(t, Row(key("a"), [("x", 1), ("y", "two")]), IGNORE)
        self.ots.update_row(t, Row(key("a"), {"PUT": [("z", 3.5)], "DELETE_ALL": ["x"]}), IGNORE)
        self.assertEqual(self.columns(t, key("a")), [("y", "two"), ("z", 3.5)])
        self.ots.put_row(t, Row(key("a"), [("only", True)]), IGNORE)
        self.assertEqual(self.columns(t, key("a")), [("only", True)])

    def test_a_row_outlives_its_last_column(self):
        t = self.table("STRING")
        self.ots.put_row(t, Row(key("a"), [("x", 1)]), IGNORE)
        self.ots.update_row(t, Row(key("a"), {"DELETE_ALL": ["x"]}), IGNORE)
        self.assertEqual(self.columns(t, key("a")), [])
        self.ots.put_row(t, Row(key("b"), []), IGNORE)
        self.assertEqual(self.columns(t, key("b")), [])
        self.ots.delete_row(t, Row(key("b")), EXIST)
        self.assertIsNone(self.columns(t, key("b")))
        self.assertEqual(self.refusal(self.ots.delete_row, t, Row(key("b")), EXIST), FAILED_CONDITION)

    def test_values_of_every_type_come_back_as_they_were(self):
        t = self.table("STRING", "INTEGER", "BINARY")
        cells = [
            ("bin", bytearray(range(256))),
            ("empty", ""),
            ("false", False),
            ("int_max", 2**63 - 1),
            ("int_min", -(2**63)),
            ("pi", 3.141592653589793),
            ("text", "Zeichen, 字, 🐘"),
            ("tiny", 5e-324),
        ]
        for k in (key("", 0, bytearray()), key("字\0\x01", -1, bytearray(b"\0\xff\0"))):
            with self.subTest(key=k):
                self.ots.put_row(t, Row(k, cells), IGNORE)
                self.assertEqual(self.columns(t, k), cells)

    def test_keys_are_in_the_order_of_their_values(self):
        # Integers as numbers; texts and binaries as bytes, a shorter prefix first (documentation, "Primary keys").
        for kind, values in {
            "INTEGER": [-(2**63), -256, -1, 0, 1, 255, 256, 2**63 - 1],
            "STRING": ["", "\0", "\0\0", "\0a", "A", "a", "a\0", "aa", "b", "é", "字"],
            "BINARY": [bytearray(v) for v in (b"", b"\0", b"\0\0", b"\0\x01", b"\x01", b"\xfe", b"\xff", b"\xff\0")],
        }.items():
            with self.subTest(kind=kind):
                t = self.table(kind, "INTEGER", name=f"t_{kind}")
                for value in reversed(values):
                    for second in (1, -1):
                        self.ots.put_row(t, Row(key(value, second), []), IGNORE)
                wanted = [(value, second) for value in values for second in (-1, 1)]
                low, high = key(INF_MIN, INF_MIN), key(INF_MAX, INF_MAX)
                for direction, ends, expected in (
                    ("FORWARD", (low, high), wanted),
                    ("BACKWARD", (high, low), wanted[::-1]),
                ):
                    rows = self.ots.xget_range(t, direction, *ends, CapacityUnit(0, 0))
                    self.assertEqual([tuple(v for _, v in row.primary_key) for row in rows], expected)

    def test_infinities_of_a_later_column_bound_a_range(self):
        t = self.table("STRING", "INTEGER")
        for a in "abc":
            for n in range(3):
                self.ots.put_row(t, Row(key(a, n), []), IGNORE)

        def between(start, end, direction="FORWARD"):
            rows = self.ots.xget_range(t, direction, start, end, CapacityUnit(0, 0))
            return ["".join(str(v) for _, v in row.primary_key) for row in rows]

        self.assertEqual(between(key("b", INF_MIN), key("b", INF_MAX)), ["b0", "b1", "b2"])
        self.assertEqual(between(key("a", 1), key("b", 1)), ["a1", "a2", "b0"])
        self.assertEqual(between(key("b", INF_MAX), key("c", 1)), ["c0"])
        self.assertEqual(between(key("c", 0), key("a", 1), "BACKWARD"), ["c0", "b2", "b1", "b0", "a2"])

    def test_a_range_is_answered_in_pieces_of_5000_rows(self):
        t = self.table("INTEGER")
        count = 5003
        for first in range(0, count, 200):
            self.batch(t, [PutRowItem(Row(key(n), [("v", n)]), IGNORE) for n in range(first, min(first + 200, count))])
        _, follows, rows, _ = self.ots.get_range(t, "FORWARD", key(INF_MIN), key(INF_MAX))
        self.assertEqual([row.primary_key[0][1] for row in rows], list(range(5000)))
        self.assertEqual(follows, key(5000))
        _, follows, rows, _ = self.ots.get_range(t, "FORWARD", follows, key(INF_MAX))
        self.assertEqual([row.primary_key[0][1] for row in rows], [5000, 5001, 5002])
        self.assertIsNone(follows)
        _, follows, rows, _ = self.ots.get_range(t, "BACKWARD", key(INF_MAX), key(INF_MIN), limit=4)
        self.assertEqual([row.primary_key[0][1] for row in rows], [5002, 5001, 5000, 4999])
        self.assertEqual(follows, key(4998))

    def test_a_range_is_answered_in_pieces_of_4_megabytes(self):
        t = self.table("INTEGER")
        for n in range(6):
            self.ots.put_row(t, Row(key(n), [("v", bytearray([n]) * MEGABYTE)]), IGNORE)
        _, follows, rows, _ = self.ots.get_range(t, "FORWARD", key(INF_MIN), key(INF_MAX))
        self.assertLess(len(rows), 6)
        self.assertEqual(follows, key(len(rows)))
        everything = list(self.ots.xget_range(t, "FORWARD", key(INF_MIN), key(INF_MAX), CapacityUnit(0, 0)))
        self.assertEqual([row.primary_key[0][1] for row in everything], list(range(6)))
        for n, row in enumerate(everything):
            self.assertEqual(row.attribute_columns[0][1], bytearray([n]) * MEGABYTE)

    def test_a_limit_counts_rows_that_are_returned(self):
        t = self.table("INTEGER")
        self.batch(t, [PutRowItem(Row(key(n), [("v", n % 10)]), IGNORE) for n in range(100)])
        seventh = SingleColumnCondition("v", 7, ComparatorType.EQUAL)
        found, start = [], key(INF_MIN)
        while start:
            _, start, rows, _ = self.ots.get_range(t, "FORWARD", start, key(INF_MAX), limit=3, column_filter=seventh)
            self.assertLessEqual(len(rows), 3)
            found += [row.primary_key[0][1] for row in rows]
        self.assertEqual(found, list(range(7, 100, 10)))

    def batch(self, table, items):
        """A batch of which every row is good."""
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem(table, items))
        answer = self.ots.batch_write_row(request)
        failed = answer.get_failed_of_put() + answer.get_failed_of_update() + answer.get_failed_of_delete()
        self.assertEqual([(item.error_code, item.error_message) for item in failed], [])

    def test_rows_of_a_batch_succeed_and_fail_alone_and_in_their_order(self):
        t = self.table("STRING")
        self.ots.put_row(t, Row(key("there"), [("n", 1)]), IGNORE)
        request = BatchWriteRowRequest()
        items = [
            PutRowItem(Row(key("there"), [("n", 2)]), NOT_EXIST),
            UpdateRowItem(Row(key("new"), {"PUT": [("n", 3)]}), IGNORE),
            DeleteRowItem(Row(key("missing")), EXIST),
            PutRowItem(Row(key("new"), [("n", 4)]), IGNORE),
            PutRowItem(Row([("other", "x")], [("n", 5)]), IGNORE),
        ]
        request.add(TableInBatchWriteRowItem(t, items))
        answer = self.ots.batch_write_row(request)
        puts, (update,), (deleted,) = (getattr(answer, f"get_{what}_by_table")(t) for what in ("put", "update", "delete"))
        self.assertEqual([item.is_ok for item in puts], [False, True, False])
        self.assertEqual((puts[0].error_code, puts[0].error_message), FAILED_CONDITION[1:])
        self.assertEqual(puts[2].error_code, "OTSInvalidPK")
        self.assertEqual(puts[2].error_message, "Validate PK name fail. Input: other, Meta: k0.")
        self.assertTrue(update.is_ok)
        self.assertEqual((deleted.is_ok, deleted.error_code), (False, FAILED_CONDITION[1]))
        self.assertEqual(self.columns(t, key("there")), [("n", 1)])
        self.assertEqual(self.columns(t, key("new")), [("n", 4)])

    def test_a_batch_of_reads_answers_in_the_order_asked(self):
        t = self.table("INTEGER")
        self.ots.put_row(t, Row(key(1), [("v", "one")]), IGNORE)
        self.ots.put_row(t, Row(key(2), [("v", "two")]), IGNORE)
        request = BatchGetRowRequest()
        request.add(TableInBatchGetRowItem(t, [key(2), key(9), key(1), key(2)], max_version=1))
        answer = self.ots.batch_get_row(request).get_result_by_table(t)
        self.assertEqual([item.is_ok for item in answer], [True] * 4)
        values = [item.row.attribute_columns[0][1] if item.row and item.row.attribute_columns else None for item in answer]
        self.assertEqual(values, ["two", None, "one", "two"])

    def test_units_are_the_bytes_in_steps_of_4096(self):
        t = self.table("STRING")
        # The name of the key has 2 bytes, its value 1, the name of the column 1.
        for size, units in ((4096 - 4, 1), (4096 - 3, 2), (3 * 4096 - 4, 3)):
            with self.subTest(size=size):
                written, _ = self.ots.put_row(t, Row(key("a"), [("c", "x" * size)]), IGNORE)
                self.assertEqual((written.read, written.write), (0, units))
                read, _, _ = self.ots.get_row(t, key("a"), max_version=1)
                self.assertEqual((read.read, read.write), (units, 0))
        conditional, _ = self.ots.put_row(t, Row(key("a"), [("c", "字")]), EXIST)
        self.assertEqual((conditional.read, conditional.write), (1, 1))
        missing, _, _ = self.ots.get_row(t, key("nobody"), max_version=1)
        self.assertEqual((missing.read, missing.write), (1, 0))
        # A range adds up first: 10 rows of 3 + 1 + 1000 bytes are 10,040 bytes, which are 3 units.
        self.batch(t, [PutRowItem(Row(key(str(n)), [("c", "x" * 1000)]), IGNORE) for n in range(10)])
        units, _, rows, _ = self.ots.get_range(t, "FORWARD", key("0"), key("a"))
        self.assertEqual((len(rows), units.read), (10, 3))

    def test_a_table_that_is_made_again_shows_nothing_of_the_one_before(self):
        t = self.table("STRING")
        self.ots.put_row(t, Row(key("a"), [("old", 1)]), IGNORE)
        self.ots.delete_table(t)
        self.assertEqual(self.refusal(self.ots.get_row, t, key("a"), max_version=1), NO_TABLE)
        self.assertEqual(self.refusal(self.ots.put_row, t, Row(key("a"), []), IGNORE), NO_TABLE)
        self.table("STRING")
        self.assertIsNone(self.columns(t, key("a")))
        _, follows, rows, _ = self.ots.get_range(t, "FORWARD", key(INF_MIN), key(INF_MAX))
        self.assertEqual((follows, rows), (None, []))

    def test_names_of_tables_are_case_sensitive_and_of_one_instance(self):
        self.table("STRING", name="Name")
        self.table("STRING", name="name")
        self.ots.put_row("Name", Row(key("a"), []), IGNORE)
        self.assertIsNone(self.columns("name", key("a")))
        self.assertEqual(sorted(self.ots.list_table()), ["Name", "name"])
        other = ots.sdk(self.server, ots.new_instance(self.server))
        self.assertEqual(list(other.list_table()), [])
        self.assertEqual(self.refusal(other.get_row, "Name", key("a"), max_version=1), NO_TABLE)

    def test_a_generated_key_is_unique_and_grows(self):
        t = ots.create(self.ots, "t", [("k0", "STRING"), ("k1", "INTEGER", PK_AUTO_INCR)])

        def put(n):
            _, row = self.patient.put_row(t, Row(key("a", PK_AUTO_INCR), [("n", n)]), IGNORE, ReturnType.RT_PK)
            return row.primary_key[1][1]

        one_by_one = [put(n) for n in range(20)]
        self.assertEqual(one_by_one, sorted(set(one_by_one)))
        with ThreadPoolExecutor(8) as pool:
            at_once = list(pool.map(put, range(20, 100)))
        self.assertEqual(len(set(at_once)), 80)
        self.assertGreater(min(at_once), one_by_one[-1])
        _, _, rows, _ = self.ots.get_range(t, "FORWARD", key("a", INF_MIN), key("a", INF_MAX))
        self.assertEqual([row.primary_key[1][1] for row in rows], sorted(one_by_one + at_once))
        refused = self.refusal(self.ots.put_row, t, Row(key("a", PK_AUTO_INCR), []), NOT_EXIST)
        text = "Can't set condition when modify row with pk auto increment."
        self.assertEqual(refused, (400, "OTSParameterInvalid", text))

    def test_conditions_hold_for_one_of_many_at_a_time(self):
        t = self.table("STRING")
        self.ots.put_row(t, Row(key("a"), [("n", 0)]), IGNORE)

        def take(n):
            """From n to n + 1, which one of all can do."""
            same = SingleColumnCondition("n", n, ComparatorType.EQUAL, pass_if_missing=False)
            condition = Condition(RowExistenceExpectation.EXPECT_EXIST, same)
            try:
                self.ots.update_row(t, Row(key("a"), {"PUT": [("n", n + 1)]}), condition)
            except ots.OTSServiceError as error:
                self.assertIn(error.code, ("OTSConditionCheckFail", "OTSRowOperationConflict"))
                return 0
            return 1

        with ThreadPoolExecutor(8) as pool:
            for n in range(20):
                self.assertEqual(sum(pool.map(take, [n] * 8)), 1)
        self.assertEqual(self.columns(t, key("a")), [("n", 20)])

    def test_increments_of_many_are_all_counted(self):
        t = self.table("STRING")

        def increment(n):
            self.patient.update_row(t, Row(key("a"), {"INCREMENT": [("n", n)]}), IGNORE)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(increment, range(-50, 151)))
        self.assertEqual(self.columns(t, key("a")), [("n", sum(range(-50, 151)))])

    def test_what_cannot_be_incremented_stays(self):
        t = self.table("STRING")
        cells = [("max", 2**63 - 1), ("text", "1")]
        self.ots.put_row(t, Row(key("a"), cells), IGNORE)
        for column in ("max", "text"):
            with self.subTest(column=column):
                change = Row(key("a"), {"INCREMENT": [(column, 1)]})
                status, code, _ = self.refusal(self.ots.update_row, t, change, IGNORE)
                self.assertEqual((status, code), (400, "OTSParameterInvalid"))
        self.assertEqual(self.columns(t, key("a")), cells)


class Versions(OtsCase):
    def table(self, **options):
        return ots.create(self.ots, "t", [("k0", "STRING")], **{"versions": 3, **options})

    def versions(self, table, **options):
        """(value, timestamp) of the column c, newest first."""
        _, row, _ = self.ots.get_row(table, key("a"), **{"max_version": 100, **options})
        return [] if row is None else [(value, stamp) for name, value, stamp in row.attribute_columns if name == "c"]

    def put(self, table, value, stamp):
        self.ots.update_row(table, Row(key("a"), {"PUT": [("c", value, stamp)]}), IGNORE)

    def test_the_newest_versions_are_kept_and_chosen_by_time(self):
        t, base = self.table(), now_ms()
        for n in (2, 0, 3, 1, 4):
            self.put(t, n, base + n)
        kept = [(4, base + 4), (3, base + 3), (2, base + 2)]
        self.assertEqual(self.versions(t), kept)
        self.assertEqual(self.versions(t, max_version=2), kept[:2])
        # The range has its begin and not its end.
        self.assertEqual(self.versions(t, time_range=(base + 2, base + 4)), kept[1:])
        self.assertEqual(self.versions(t, time_range=base + 3), [kept[1]])
        self.assertEqual(self.versions(t, max_version=1, time_range=(base, base + 4)), [kept[1]])

    def test_the_same_timestamp_is_written_over(self):
        t, base = self.table(), now_ms()
        self.put(t, "first", base)
        self.put(t, "second", base)
        self.assertEqual(self.versions(t), [("second", base)])

    def test_fewer_versions_count_from_the_next_read(self):
        t, base = self.table(), now_ms()
        for n in range(3):
            self.put(t, n, base + n)
        self.ots.update_table(t, TableOptions(-1, 1, 86400))
        self.assertEqual(self.versions(t), [(2, base + 2)])

    def test_one_version_is_deleted_and_may_be_written_again(self):
        t, base = self.table(), now_ms()
        for n in range(3):
            self.put(t, n, base + n)
        self.ots.update_row(t, Row(key("a"), {"DELETE": [("c", None, base + 1)]}), IGNORE)
        self.assertEqual(self.versions(t), [(2, base + 2), (0, base)])
        self.put(t, "again", base + 1)
        self.assertEqual(self.versions(t), [(2, base + 2), ("again", base + 1), (0, base)])

    def test_deleting_takes_what_was_written_before_and_nothing_of_later(self):
        # By the order of writing, not by the timestamps (the Java SDK's tests).
        t, base = self.table(), now_ms()
        deletions = {
            "the column": lambda: self.ots.update_row(t, Row(key("a"), {"DELETE_ALL": ["c"]}), IGNORE),
            "the row": lambda: self.ots.delete_row(t, Row(key("a")), IGNORE),
            "another row in its place": lambda: self.ots.put_row(t, Row(key("a"), [("d", 1)]), IGNORE),
        }
        for what, delete in deletions.items():
            with self.subTest(deleted=what):
                self.put(t, "newer", base + 10_000)
                delete()
                self.assertEqual(self.versions(t), [])
                self.put(t, "older", base - 10_000)
                self.assertEqual(self.versions(t), [("older", base - 10_000)])
                delete()

    def test_a_version_is_gone_when_its_time_has_passed(self):
        t = self.table(ttl=86400, deviation=10 * 86400)
        # Some seconds before its end.
        stamp = now_ms() - DAY_MS + 8000
        self.put(t, "soon", stamp)
        self.put(t, "later", stamp + 3_600_000)
        self.assertEqual(self.versions(t), [("later", stamp + 3_600_000), ("soon", stamp)])
        gone = [("later", stamp + 3_600_000)]
        harness.wait_for("the version's end", lambda: self.versions(t) == gone)
        self.assertGreater(now_ms(), stamp + DAY_MS)

    def test_timestamps_far_from_now_are_refused(self):
        t = self.table(deviation=3600)
        for stamp in (now_ms() - 3_660_000, now_ms() + 3_660_000):
            with self.subTest(stamp=stamp):
                status, code, _ = self.refusal(self.put, t, 1, stamp)
                self.assertEqual((status, code), (400, "OTSParameterInvalid"))
        self.assertEqual(self.versions(t), [])

    def test_what_a_write_does_not_date_has_one_time_of_the_server(self):
        t, before = self.table(), now_ms()
        self.ots.put_row(t, Row(key("a"), [("c", 1), ("d", 2)]), IGNORE)
        _, row, _ = self.ots.get_row(t, key("a"), max_version=1)
        stamps = {stamp for _, _, stamp in row.attribute_columns}
        self.assertEqual(len(stamps), 1)
        # The server may give one time only once, so that it runs ahead of the clock by as many writes.
        self.assertTrue(before - 1 <= min(stamps) <= now_ms() + 1000, (before, stamps))


class Limits(OtsCase):
    def refused(self, text, call, *arguments):
        self.assertEqual(self.refusal(call, *arguments), (400, "OTSParameterInvalid", text))

    def test_definitions_of_tables(self):
        five = [(f"k{i}", "STRING") for i in range(5)]
        many = [(f"c{i}", "INTEGER") for i in range(33)]

        def create(keys=(("k0", "STRING"),), columns=(), **options):
            ots.create(self.ots, "t", list(keys), columns=columns, **options)

        for text, arguments in (
            ("The number of primary key columns must be in range: [1, 4].", {"keys": five}),
            ("The number of defined columns must be in range: [0, 32].", {"columns": many}),
            ("TimeToLive cannot be 0 or less than -1.", {"ttl": 0}),
            ("TimeToLive cannot be 0 or less than -1.", {"ttl": -2}),
            ("The maximum versions cannot be less than or equal to 0.", {"versions": 0}),
            ("First primary key can't be auto increment, table: t.", {"keys": [("k0", "INTEGER", PK_AUTO_INCR)]}),
        ):
            with self.subTest(text=text):
                self.assertEqual(self.refusal(create, **arguments), (400, "OTSParameterInvalid", text))
        for name in ("1t", "a b", "ä", "x" * 256):
            with self.subTest(name=name):
                self.refused(f"Invalid table name: '{name}'.", ots.create, self.ots, name, [("k0", "STRING")])
        self.assertEqual(list(self.ots.list_table()), [])

    def test_sizes_of_keys_and_cells(self):
        t = ots.create(self.ots, "t", [("k0", "STRING"), ("k1", "BINARY")])
        self.ots.put_row(t, Row(key("x" * 1024, bytearray(1024)), [("c", "x" * 2 * MEGABYTE)]), IGNORE)
        self.assertEqual(len(self.columns(t, key("x" * 1024, bytearray(1024)))[0][1]), 2 * MEGABYTE)
        for text, row in (
            (
                "The length of primary key column: 'k0' exceeds the MaxLength:1024 with CurrentLength:1025.",
                Row(key("x" * 1025, bytearray()), []),
            ),
            (
                "The length of primary key column: 'k1' exceeds the MaxLength:1024 with CurrentLength:1025.",
                Row(key("x", bytearray(1025)), []),
            ),
            (
                "The length of attribute column: 'c' exceeds the MaxLength:2097152 with CurrentLength:2097153.",
                Row(key("x", bytearray()), [("c", "x" * (2 * MEGABYTE + 1))]),
            ),
        ):
            with self.subTest(text=text):
                self.refused(text, self.ots.put_row, t, row, IGNORE)
        # Of a row that has none of the columns its key comes when a column of the key is asked for.
        _, _, rows, _ = self.ots.get_range(t, "FORWARD", key(INF_MIN, INF_MIN), key(INF_MAX, INF_MAX), ["k0"])
        self.assertEqual([row.primary_key for row in rows], [key("x" * 1024, bytearray(1024))])

    def test_numbers_of_columns_and_rows(self):
        t = ots.create(self.ots, "t", [("k0", "INTEGER")])
        cells = [(f"c{n:04}", n) for n in range(1025)]
        self.ots.put_row(t, Row(key(1), cells[:1024]), IGNORE)
        self.assertEqual(self.columns(t, key(1)), cells[:1024])
        text = "The number of attribute columns exceeds the limit, limit count: 1024, column count: 1025."
        self.refused(text, self.ots.put_row, t, Row(key(2), cells), IGNORE)
        # The row itself may grow beyond what one write can say.
        self.ots.update_row(t, Row(key(1), {"PUT": cells[1024:]}), IGNORE)
        self.assertEqual(self.columns(t, key(1)), cells)

        def write(count):
            request = BatchWriteRowRequest()
            rows = [PutRowItem(Row(key(n), [("v", n)]), IGNORE) for n in range(count)]
            request.add(TableInBatchWriteRowItem(t, rows))
            return self.ots.batch_write_row(request)

        def read(count):
            request = BatchGetRowRequest()
            request.add(TableInBatchGetRowItem(t, [key(n) for n in range(count)], max_version=1))
            return self.ots.batch_get_row(request)

        self.assertTrue(write(200).is_all_succeed())
        self.assertTrue(read(100).is_all_succeed())
        self.refused("Rows count exceeds the upper limit: 200.", write, 201)
        self.refused("Rows count exceeds the upper limit: 100.", read, 101)

    def test_a_request_of_more_than_4_megabytes(self):
        t = ots.create(self.ots, "t", [("k0", "INTEGER")])
        big = [PutRowItem(Row(key(n), [("c", "x" * MEGABYTE)]), IGNORE) for n in range(5)]
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem(t, big))
        status, code, _ = self.refusal(self.ots.batch_write_row, request)
        self.assertIn((status, code), ((400, "OTSParameterInvalid"), (413, "OTSRequestBodyTooLarge")))
        for n in range(5):
            self.assertIsNone(self.columns(t, key(n)))

    def test_numbers_that_are_none(self):
        t = ots.create(self.ots, "t", [("k0", "INTEGER")])
        self.refused("NaN can't be set to double value.", self.ots.put_row, t, Row(key(1), [("c", float("nan"))]), IGNORE)
        for value in (float("inf"), float("-inf")):
            status, code, _ = self.refusal(self.ots.put_row, t, Row(key(1), [("c", value)]), IGNORE)
            self.assertEqual((status, code), (400, "OTSParameterInvalid"))
        self.assertIsNone(self.columns(t, key(1)))

    def test_infinities_are_no_keys_of_rows(self):
        t = ots.create(self.ots, "t", [("k0", "INTEGER")])
        for value, name in ((INF_MIN, "VT_INF_MIN"), (INF_MAX, "VT_INF_MAX")):
            text = f"{name} is an invalid type for the primary key."
            self.refused(text, self.ots.put_row, t, Row(key(value), []), IGNORE)

    def test_so_many_tables_and_no_more(self):
        for n in range(64):
            ots.create(self.ots, f"t{n}", [("k0", "INTEGER")])
        refused = self.refusal(ots.create, self.ots, "one_more", [("k0", "INTEGER")])
        self.assertEqual(refused, (403, "OTSQuotaExhausted", "Number of tables exceeds the quota:64."))
        self.ots.delete_table("t5")
        ots.create(self.ots, "one_more", [("k0", "INTEGER")])
        self.assertEqual(len(self.ots.list_table()), 64)


class Indexes(OtsCase):
    COLUMNS = [("city", "STRING"), ("age", "INTEGER"), ("note", "STRING")]

    def people(self, index_type):
        keys = [("k0", "STRING"), ("k1", "INTEGER")]
        by = ["k0", "city"] if index_type == SecondaryIndexType.LOCAL_INDEX else ["city", "age"]
        index = SecondaryIndexMeta("by_city", by, ["note"], index_type)
        ots.create(self.ots, "people", keys, columns=self.COLUMNS, indexes=[index])

    def entries(self, *names):
        low, high = ([(name, bound) for name in names] for bound in (INF_MIN, INF_MAX))
        rows = self.ots.xget_range("by_city", "FORWARD", low, high, CapacityUnit(0, 0))
        return [(tuple(v for _, v in row.primary_key), [(n, v) for n, v, _ in row.attribute_columns]) for row in rows]

    def put(self, a, n, **cells):
        self.ots.put_row("people", Row(key(a, n), sorted(cells.items())), IGNORE)

    def test_a_local_index_changes_with_the_row(self):
        self.people(SecondaryIndexType.LOCAL_INDEX)
        names = ("k0", "city", "k1")
        self.put("x", 2, city="Ulm", note="b", age=1)
        self.put("x", 1, city="Ulm", note="a")
        self.put("x", 3, city="Aix")
        # Without the column there is no entry.
        self.put("x", 4, note="nowhere")
        wanted = [(("x", "Aix", 3), []), (("x", "Ulm", 1), [("note", "a")]), (("x", "Ulm", 2), [("note", "b")])]
        self.assertEqual(self.entries(*names), wanted)
        self.ots.update_row("people", Row(key("x", 1), {"PUT": [("city", "Rom")]}), IGNORE)
        self.ots.update_row("people", Row(key("x", 3), {"DELETE_ALL": ["city"]}), IGNORE)
        self.ots.delete_row("people", Row(key("x", 2)), IGNORE)
        self.assertEqual(self.entries(*names), [(("x", "Rom", 1), [("note", "a")])])

    def test_a_global_index_follows(self):
        self.people(SecondaryIndexType.GLOBAL_INDEX)
        names = ("city", "age", "k0", "k1")
        self.put("x", 1, city="Ulm", age=30, note="a")
        self.put("y", 1, city="Aix", age=20)
        self.put("z", 1, city="Ulm")
        wanted = [(("Aix", 20, "y", 1), []), (("Ulm", 30, "x", 1), [("note", "a")])]
        harness.wait_for("the index", lambda: self.entries(*names) == wanted)
        self.ots.delete_row("people", Row(key("y", 1)), IGNORE)
        self.ots.update_row("people", Row(key("x", 1), {"PUT": [("age", 31)]}), IGNORE)
        wanted = [(("Ulm", 31, "x", 1), [("note", "a")])]
        harness.wait_for("the index", lambda: self.entries(*names) == wanted)

    def test_an_index_is_read_and_not_written(self):
        self.people(SecondaryIndexType.LOCAL_INDEX)
        row = Row([("k0", "x"), ("city", "Ulm"), ("k1", 1)], [("note", "a")])
        refused = self.refusal(self.ots.put_row, "by_city", row, IGNORE)
        self.assertEqual(refused, (400, "OTSParameterInvalid", "Can't write index table directly."))
        self.ots.delete_table("people")
        self.assertEqual(self.refusal(self.entries, "k0", "city", "k1"), NO_TABLE)

    def test_an_index_over_rows_that_are_there(self):
        ots.create(self.ots, "people", [("k0", "STRING"), ("k1", "INTEGER")], columns=self.COLUMNS)
        for n in range(50):
            self.put("x", n, city=f"c{n % 5}", note=str(n))
        meta = SecondaryIndexMeta("by_city", ["city"], ["note"], SecondaryIndexType.GLOBAL_INDEX)
        self.ots.create_secondary_index("people", meta, True)
        wanted = sorted(((f"c{n % 5}", "x", n), [("note", str(n))]) for n in range(50))

        def built():
            try:
                return self.entries("city", "k0", "k1") == wanted
            except ots.OTSServiceError as error:
                self.assertEqual(error.message, "Disallow read index table in building base state")

        harness.wait_for("the index", built)
        self.ots.delete_secondary_index("people", "by_city")
        self.assertEqual(self.refusal(self.entries, "city", "k0", "k1"), NO_TABLE)


class Transactions(OtsCase):
    def setUp(self):
        super().setUp()
        ots.create(self.ots, "t", [("k0", "STRING"), ("k1", "INTEGER")])
        self.ots.put_row("t", Row(key("a", 1), [("v", "before")]), IGNORE)

    def test_others_cannot_write_and_see_what_was_before(self):
        id = self.ots.start_local_transaction("t", key("a"))
        self.ots.put_row("t", Row(key("a", 1), [("v", "inside")]), IGNORE, None, id)
        conflict = (409, "OTSRowOperationConflict")
        self.assertEqual(self.refusal(self.ots.put_row, "t", Row(key("a", 2), []), IGNORE)[:2], conflict)
        self.assertEqual(self.refusal(self.ots.start_local_transaction, "t", key("a"))[:2], conflict)
        self.ots.put_row("t", Row(key("b", 1), [("v", "elsewhere")]), IGNORE)
        self.assertEqual(self.columns("t", key("a", 1)), [("v", "before")])
        self.assertEqual(self.columns("t", key("a", 1), transaction_id=id), [("v", "inside")])
        self.ots.commit_transaction(id)
        self.assertEqual(self.columns("t", key("a", 1)), [("v", "inside")])
        self.ots.put_row("t", Row(key("a", 2), []), IGNORE)

    def test_an_abort_leaves_nothing_and_an_end_is_an_end(self):
        id = self.ots.start_local_transaction("t", key("a"))
        self.ots.delete_row("t", Row(key("a", 1)), IGNORE, None, id)
        self.assertIsNone(self.columns("t", key("a", 1), transaction_id=id))
        self.ots.abort_transaction(id)
        self.assertEqual(self.columns("t", key("a", 1)), [("v", "before")])
        text = "Session not exist or may be timeout."
        for call in (self.ots.commit_transaction, self.ots.abort_transaction):
            self.assertEqual(self.refusal(call, id)[1:], ("OTSSessionNotExist", text))

    def test_a_row_outside_of_it_is_refused_and_it_goes_on(self):
        id = self.ots.start_local_transaction("t", key("a"))
        status, _, _ = self.refusal(self.ots.put_row, "t", Row(key("b", 1), []), IGNORE, None, id)
        self.assertEqual(status, 400)
        self.ots.put_row("t", Row(key("a", 3), []), IGNORE, None, id)
        self.ots.commit_transaction(id)
        self.assertEqual((self.columns("t", key("b", 1)), self.columns("t", key("a", 3))), (None, []))


class Who(OtsCase):
    def someone(self):
        """The key of a new account."""
        name = "ALIYUN$" + harness.unique("someone")
        self.server.cli("account", "create", name)
        made = self.server.cli("key", "create", "--account", name)
        return {"access_id": made["access_id"], "secret": made["secret"]}

    def test_a_key_of_another_account_sees_nothing_of_an_instance(self):
        t = ots.create(self.ots, "t", [("k0", "STRING")])
        self.ots.put_row(t, Row(key("a"), [("v", 1)]), IGNORE)
        other = ots.sdk(self.server, self.instance, **self.someone())
        for call, arguments in (
            (other.list_table, ()),
            (other.describe_table, (t,)),
            (other.get_row, (t, key("a"))),
            (other.get_range, (t, "FORWARD", key(INF_MIN), key(INF_MAX))),
            (other.put_row, (t, Row(key("a"), []), IGNORE)),
            (other.delete_row, (t, Row(key("a")), IGNORE)),
            (other.start_local_transaction, (t, key("a"))),
            (other.delete_table, (t,)),
        ):
            with self.subTest(call=call.__name__):
                status, code, text = self.refusal(call, *arguments)
                self.assertIn((status, code), ((403, "OTSAuthFailed"), (403, "OTSNoPermissionAccess")))
                self.assertNotIn("k0", text)
        self.assertEqual(self.columns(t, key("a")), [("v", 1)])

    def test_an_instance_of_another_account_is_as_one_that_is_not_there(self):
        theirs = self.someone()
        answers = {
            self.refusal(ots.sdk(self.server, name, **theirs).list_table) for name in (self.instance, "nobody-has-it")
        }
        self.assertEqual(len(answers), 1, answers)

    def test_keys_that_do_not_hold(self):
        login = self.server.credentials()
        for changes, text in (
            ({"secret": "wrong"}, "Signature mismatch."),
            ({"access_id": "nobody" + login["access_id"]}, "The AccessKeyID does not exist."),
        ):
            with self.subTest(text=text):
                refused = self.refusal(ots.sdk(self.server, self.instance, **changes).list_table)
                self.assertEqual(refused, (403, "OTSAuthFailed", text))
        refused = self.refusal(ots.sdk(self.server, "nobody-has-it").list_table)
        self.assertEqual(refused, (403, "OTSAuthFailed", "The instance is not found."))


class Refusals(OtsCase):
    def test_what_clients_list_before_they_clean_up_is_empty(self):
        ots.create(self.ots, "t", [("k0", "STRING")])
        self.assertEqual(list(self.ots.list_search_index()), [])
        self.assertEqual(list(self.ots.list_search_index("t")), [])

    def test_services_that_are_not_there_are_refused_by_name_and_at_once(self):
        # A 5xx would be tried again for a minute.
        for call, arguments, name in (
            (self.ots.exe_sql_query, ("select 1",), "SQLQuery"),
            (self.ots.delete_search_index, ("t", "i"), "DeleteSearchIndex"),
            (self.ots.compute_splits, ("t", "i"), "ComputeSplits"),
            (self.ots.list_timeseries_table, (), "ListTimeseriesTable"),
            (self.ots.delete_timeseries_table, ("t",), "DeleteTimeseriesTable"),
        ):
            with self.subTest(name=name):
                status, _, text = self.refusal(call, *arguments)
                self.assertTrue(400 <= status < 500, status)
                self.assertIn(name, text)

    def test_tables_that_are_not_there(self):
        for call, arguments in (
            (self.ots.describe_table, ("t",)),
            (self.ots.delete_table, ("t",)),
            (self.ots.update_table, ("t", TableOptions(-1, 2, 86400))),
            (self.ots.get_row, ("t", key("a"))),
            (self.ots.get_range, ("t", "FORWARD", key(INF_MIN), key(INF_MAX))),
            (self.ots.delete_row, ("t", Row(key("a")), IGNORE)),
        ):
            with self.subTest(call=call.__name__):
                self.assertEqual(self.refusal(call, *arguments), NO_TABLE)

    def test_a_read_must_say_which_versions(self):
        t = ots.create(self.ots, "t", [("k0", "STRING")])
        refused = self.refusal(self.ots.get_row, t, key("a"), max_version=None)
        text = "No version condition is specified while querying row."
        self.assertEqual(refused, (400, "OTSParameterInvalid", text))


class Restart(OtsCase):
    """What was acknowledged is there after both ways in which a server ends."""

    def setUp(self):
        server = harness.Server(meta=harness.new_database())
        self.addCleanup(server.close)
        self.use(server.start())

    def restarts(self):
        """The server anew, three times: what is written after the first and second is read after the next."""
        for way in (self.server.kill, self.server.stop, self.server.kill):
            way()
            self.server.start()
            self.connect()
            yield way.__name__

    def test_rows_tables_and_options_are_kept(self):
        t = ots.create(self.ots, "t", [("k0", "INTEGER")], versions=2, columns=[("city", "STRING")])
        ots.create(self.ots, "gone", [("k0", "INTEGER")])
        self.ots.put_row("gone", Row(key(1), []), IGNORE)
        self.ots.delete_table("gone")
        base = now_ms()
        wanted = {}
        for way in self.restarts():
            self.assertEqual(list(self.ots.list_table()), [t])
            described = self.ots.describe_table(t)
            self.assertEqual(described.table_options.max_version, 2)
            self.assertEqual(described.table_meta.schema_of_primary_key, [("k0", "INTEGER")])
            self.assertEqual(described.table_meta.defined_columns, [("city", "STRING")])
            for n, cells in wanted.items():
                _, row, _ = self.ots.get_row(t, key(n), max_version=2)
                self.assertEqual(None if row is None else row.attribute_columns, cells)
            first = len(wanted)
            for n in range(first, first + 20):
                cells = [("c", f"new {way}", base + 1), ("c", n, base)]
                self.ots.put_row(t, Row(key(n), [cells[1]]), IGNORE)
                self.ots.update_row(t, Row(key(n), {"PUT": [cells[0]]}), IGNORE)
                wanted[n] = cells
            self.ots.delete_row(t, Row(key(first)), IGNORE)
            wanted[first] = None
        self.assertEqual(len(wanted), 60)

    def test_counters_and_generated_keys_go_on(self):
        t = ots.create(self.ots, "t", [("k0", "STRING"), ("k1", "INTEGER", PK_AUTO_INCR)])
        counters = ots.create(self.ots, "c", [("k0", "STRING")])
        keys, total = [], 0
        for _ in self.restarts():
            for n in range(5):
                _, row = self.ots.put_row(t, Row(key("a", PK_AUTO_INCR), [("n", n)]), IGNORE, ReturnType.RT_PK)
                keys.append(row.primary_key[1][1])
                self.ots.update_row(counters, Row(key("c"), {"INCREMENT": [("n", n)]}), IGNORE)
                total += n
            self.assertEqual(keys, sorted(set(keys)))
            self.assertEqual(self.columns(counters, key("c")), [("n", total)])

    def test_an_open_transaction_ends_with_the_server_and_leaves_nothing(self):
        t = ots.create(self.ots, "t", [("k0", "STRING"), ("k1", "INTEGER")])
        id = None
        for _ in self.restarts():
            if id is not None:
                self.assertEqual(self.refusal(self.ots.commit_transaction, id)[1], "OTSSessionNotExist")
                self.assertIsNone(self.columns(t, key("a", 1)))
            id = self.ots.start_local_transaction(t, key("a"))
            self.ots.put_row(t, Row(key("a", 1), []), IGNORE, None, id)

    def test_indexes_are_kept_with_their_rows(self):
        index = SecondaryIndexMeta("by_city", ["k0", "city"], [], SecondaryIndexType.LOCAL_INDEX)
        keys = [("k0", "STRING"), ("k1", "INTEGER")]
        ots.create(self.ots, "t", keys, columns=[("city", "STRING")], indexes=[index])
        wanted = []
        for way in self.restarts():
            for n in range(3):
                self.ots.put_row("t", Row(key("a", len(wanted)), [("city", f"{way} {n}")]), IGNORE)
                wanted.append((f"{way} {n}", len(wanted)))
            low, high = ([("k0", "a"), ("city", bound), ("k1", bound)] for bound in (INF_MIN, INF_MAX))
            _, _, rows, _ = self.ots.get_range("by_city", "FORWARD", low, high)
            self.assertEqual([(row.primary_key[1][1], row.primary_key[2][1]) for row in rows], sorted(wanted))


if __name__ == "__main__":
    unittest.main()
