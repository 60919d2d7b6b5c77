"""The table store in SQL: `sys.ots_tables` and `sys.ranges` beside what the SDK of Tablestore was told.

The columns are those of docs/sys.md. Capacity units are the sums of what the SDK's answers say, options those that the
tables were made with.
"""

import os
import unittest

from tablestore import (
    INF_MAX,
    INF_MIN,
    BatchWriteRowRequest,
    PutRowItem,
    Row,
    SecondaryIndexMeta,
    SecondaryIndexType,
    TableInBatchWriteRowItem,
)

import harness
import ots
import ots_raw
from ots import IGNORE, OtsCase


def key(*values):
    return [(f"k{i}", value) for i, value in enumerate(values)]


class Seen(OtsCase):
    def ask(self, sql, entry=None):
        entry = entry or self.server.entry()
        with entry.execute_sql(sql).open_reader(tunnel=True) as reader:
            return [tuple(record.values) for record in reader]

    def used(self, table):
        """Read and write units of a table, without its indexes."""
        where = f"instance_name = '{self.instance}' AND table_name = '{table}' AND index_name IS NULL"
        (row,) = self.ask(f"SELECT read_units, write_units FROM sys.ots_tables WHERE {where}")
        return row

    def work(self, t):
        """Writes and reads; the units that the answers name."""
        answers = []
        for n in range(5):
            answers.append(self.ots.put_row(t, Row(key("a", n), [("v", "x" * 3000 * n)]), IGNORE)[0])
        answers.append(self.ots.update_row(t, Row(key("a", 0), {"PUT": [("v", 1), ("w", "y" * 9000)]}), IGNORE)[0])
        answers.append(self.ots.delete_row(t, Row(key("a", 1)), IGNORE)[0])
        answers.append(self.ots.get_row(t, key("a", 0), max_version=1)[0])
        answers.append(self.ots.get_row(t, key("a", 1), max_version=1)[0])
        low, high = key(INF_MIN, INF_MIN), key(INF_MAX, INF_MAX)
        answers.append(self.ots.get_range(t, "FORWARD", low, high, max_version=1)[0])
        batch = BatchWriteRowRequest()
        items = [PutRowItem(Row(key("b", n), [("v", n)]), IGNORE) for n in range(3)]
        batch.add(TableInBatchWriteRowItem(t, items))
        answers += [item.consumed for item in self.ots.batch_write_row(batch).get_put_by_table(t)]
        return sum(a.read for a in answers), sum(a.write for a in answers)

    def test_units_are_the_sum_of_what_the_answers_said(self):
        t = ots.create(self.ots, "t", [("k0", "STRING"), ("k1", "INTEGER")])
        self.assertEqual(self.used(t), (0, 0))
        read, write = self.work(t)
        # Something of both, and more than one unit for what is larger than 4 KiB.
        self.assertGreater(read, 3)
        self.assertGreater(write, 11)
        self.assertEqual(self.used(t), (read, write))
        again = self.work(t)
        self.assertEqual(self.used(t), (read + again[0], write + again[1]))

    def test_units_outlive_a_restart_and_heat_does_not(self):
        server = harness.Server().start()
        self.addCleanup(server.close)
        self.use(server)
        t = ots.create(self.ots, "t", [("k0", "STRING"), ("k1", "INTEGER")])
        units = self.work(t)
        server.stop()
        server.start()
        self.assertEqual(self.used(t), units)
        rates = "read_units_per_second, write_units_per_second"
        self.assertEqual(self.ask(f"SELECT read_units, write_units, {rates} FROM sys.ranges"), [(*units, 0.0, 0.0)])

    def test_a_range_in_use_is_hot(self):
        for name in ("hot", "cold"):
            ots.create(self.ots, name, [("k0", "STRING")])
        hottest = (
            "SELECT table_name, read_units_per_second, read_units FROM sys.ranges "
            f"WHERE instance_name = '{self.instance}' ORDER BY read_units_per_second DESC LIMIT 1"
        )

        def probe():
            self.ots.get_row("hot", key("a"), max_version=1)
            ((name, rate, units),) = self.ask(hottest)
            # What was read within a minute was read since the table was made.
            self.assertLessEqual(rate * 60, units + 1e-6)
            return name == "hot" and rate > 0

        harness.wait_for("a hot range", probe)

    def test_tables_indexes_and_streams_are_told_as_they_were_made(self):
        index = SecondaryIndexMeta("by_v", ["v"], [], SecondaryIndexType.GLOBAL_INDEX)
        ots.create(self.ots, "plain", [("k0", "STRING")], versions=1, columns=[("v", "INTEGER")], indexes=[index])
        made = ots_raw.create_table("kept", [("k0", ots_raw.STRING)], ttl=172_800, versions=3, stream=24)
        self.wire.ask("CreateTable", made)
        columns = "table_name, index_name, owner, state, max_versions, time_to_live, has_stream, create_time IS NULL"
        mine = f"WHERE instance_name = '{self.instance}'"
        rows = self.ask(f"SELECT {columns} FROM sys.ots_tables {mine} ORDER BY table_name DESC, index_name LIMIT 9")
        owner = "ALIYUN$demo"
        plain = ("plain", None, owner, "ready", 1, None, False, False)
        by_v = ("plain", "by_v", owner, "ready", None, None, None, True)
        kept = ("kept", None, owner, "ready", 3, 172_800, True, False)
        self.assertEqual(sorted(rows, key=repr), sorted([plain, by_v, kept], key=repr))
        ranges = self.ask(f"SELECT table_name, index_name, kind, first_key, last_key, read_units FROM sys.ranges {mine}")
        self.assertEqual(
            sorted(ranges, key=repr),
            sorted(
                [
                    ("plain", None, "table", None, None, 0),
                    ("plain", "by_v", "index", None, None, 0),
                    ("kept", None, "table", None, None, 0),
                    ("kept", None, "stream", None, None, None),
                ],
                key=repr,
            ),
        )
        # Numbers of keys are given once.
        numbers = self.ask(f"SELECT COUNT(*), COUNT(DISTINCT generation) FROM sys.ranges {mine}")
        self.assertEqual(numbers, [(4, 4)])
        self.ots.delete_table("kept")
        self.assertEqual(self.ask(f"SELECT COUNT(*) FROM sys.ranges {mine}"), [(2,)])

    def test_rows_make_a_table_larger(self):
        # A server of its own: the engine estimates how what is in memory is spread over the tables.
        server = harness.Server().start()
        self.addCleanup(server.close)
        self.use(server)
        t = ots.create(self.ots, "t", [("k0", "STRING"), ("k1", "INTEGER")])
        size = "SELECT data_length FROM sys.ots_tables"
        ((before,),) = self.ask(size)
        for n in range(20):
            self.ots.put_row(t, Row(key("a", n), [("v", bytearray(os.urandom(200_000)))]), IGNORE)

        def probe():
            ((now,),) = self.ask(size)
            return now > before

        harness.wait_for("a larger table", probe)

    def test_nobody_else_sees_an_instance(self):
        name, project = "ALIYUN$" + harness.unique("someone"), harness.unique("theirs")
        self.server.cli("account", "create", name)
        login = self.server.cli("key", "create", "--account", name)
        self.server.cli("project", "create", project, "--owner", name)
        theirs = self.server.entry(access_id=login["access_id"], secret_access_key=login["secret"], project=project)
        instance = harness.unique("o").replace("_", "-")
        self.server.cli("ots", "instance", "create", instance, "--account", name)
        other = ots.sdk(self.server, instance, access_id=login["access_id"], secret=login["secret"])
        ots.create(other, "secret", [("k0", "STRING")])
        ots.create(self.ots, "mine", [("k0", "STRING")])
        for table in ("sys.ots_tables", "sys.ranges"):
            with self.subTest(table=table):
                everything = self.ask(f"SELECT DISTINCT instance_name, table_name FROM {table}", theirs)
                self.assertEqual(everything, [(instance, "secret")])
                foreign = f"SELECT COUNT(*) FROM {table} WHERE instance_name = '{self.instance}'"
                self.assertEqual(self.ask(foreign, theirs), [(0,)])
                # The first account is an administrator.
                seen = set(self.ask(f"SELECT instance_name, table_name FROM {table}"))
                self.assertLessEqual({(instance, "secret"), (self.instance, "mine")}, seen)


if __name__ == "__main__":
    unittest.main()
