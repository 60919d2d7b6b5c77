"""External tables, LOAD and UNLOAD as clients see them: documents of tables, files that other tools read and write, and
a server that dies at every step of writing.

Expected values are the rows written; names of documents are those of odps/models/table.py.
"""

import csv
import glob
import os
import unittest

import pyarrow as pa
import pyarrow.parquet as pq
from odps import errors

import harness
from harness import ClientCase

HANDLER = "com.aliyun.odps.CsvStorageHandler"


class ExternalTables(ClientCase):
    def directory(self, name):
        """The files of `oss://project/name/`."""
        return os.path.join(self.server.data, "objects", self.o.project, name)

    def external(self, columns, clauses, place=None):
        name = self.name("e")
        location = f"oss://{self.o.project}/{place or name}/"
        self.o.execute_sql(f"create external table {name} ({columns}) {clauses} location '{location}'")
        return name

    def test_the_document_tells_where_the_files_are(self):
        options = "with serdeproperties ('odps.text.option.delimiter'='|')"
        name = self.external("a bigint, b string", f"stored by '{HANDLER}' {options}")
        table = self.o.get_table(name)
        self.assertEqual(table.type.value, "EXTERNAL_TABLE")
        self.assertEqual(table.storage_handler, HANDLER)
        self.assertEqual(table.location, f"oss://{self.o.project}/{name}/")
        self.assertEqual(table.serde_properties["odps.text.option.delimiter"], "|")
        self.assertIn(name, [t.name for t in self.o.list_tables(type="external_table")])
        self.assertNotIn(name, [t.name for t in self.o.list_tables(type="managed_table")])

    def test_a_format_is_told_by_its_word(self):
        table = self.o.get_table(self.external("a bigint", "stored as parquet"))
        self.assertEqual(table.stored_as, "PARQUET")
        self.assertIn("CREATE EXTERNAL TABLE", table.get_ddl())

    def test_a_materialized_view_is_one_for_clients(self):
        table = self.table("a bigint")
        name = self.name("mv")
        self.addCleanup(self.o.delete_materialized_view, name, if_exists=True)
        self._tables.remove(name)
        self.o.execute_sql(f"create materialized view {name} disable rewrite as select a from {table.name}")
        view = self.o.get_table(name)
        self.assertEqual(view.type.value, "MATERIALIZED_VIEW")
        self.assertTrue(view.is_materialized_view and not view.is_virtual_view)
        self.assertEqual(view.view_text, f"select a from {table.name}")
        self.assertFalse(view.is_materialized_view_rewrite_enabled)
        self.assertFalse(view.is_materialized_view_outdated)
        self.o.write_table(table.name, [[7]])
        # The client keeps what it knows of a table.
        view.reload()
        self.assertTrue(view.is_materialized_view_outdated)
        self.o.execute_sql(f"alter materialized view {name} rebuild")
        self.assertEqual(self.rows(name), [(7,)])
        with self.assertRaises(errors.ODPSError):
            self.o.write_table(name, [[8]])
        view.reload()
        self.assertFalse(view.is_materialized_view_outdated)
        self.assertIn("CREATE MATERIALIZED VIEW", view.get_ddl())

    def test_other_tools_read_what_is_written(self):
        name = self.external("a bigint, b string", "stored as parquet")
        self.o.execute_sql(f"insert into {name} values (1, 'x'), (2, null)")
        (path,) = glob.glob(os.path.join(self.directory(name), "*.parquet"))
        self.assertEqual(pq.read_table(path).to_pydict(), {"a": [1, 2], "b": ["x", None]})
        location = f"oss://{self.o.project}/{name}_csv/"
        options = "with serdeproperties ('odps.text.option.use.quote'='true')"
        self.o.execute_sql(
            f"unload from (select a, 'q\"' from {name}) into location '{location}' stored by '{HANDLER}' {options}"
        )
        (path,) = glob.glob(os.path.join(self.directory(f"{name}_csv"), "*.csv"))
        with open(path, encoding="utf-8", newline="") as file:
            self.assertEqual(sorted(csv.reader(file)), [["1", 'q"'], ["2", 'q"']])

    def test_what_other_tools_wrote_is_read(self):
        name = self.external("b string, a bigint", "stored as parquet")
        folder = os.path.join(self.directory(name), "deeper")
        os.makedirs(folder)
        pq.write_table(pa.table({"A": pa.array([1, 2], pa.int32()), "B": ["x", None]}), os.path.join(folder, "f"))
        self.assertEqual(sorted(self.query(f"select a, b from {name}"), key=lambda r: r[0]), [(1, "x"), (2, None)])
        os.symlink("/etc", os.path.join(self.directory(name), "link"))
        with self.assertRaises(errors.ODPSError) as caught:
            self.query(f"select a from {name}")
        self.assertNotIn(self.server.data, str(caught.exception))

    def test_damaged_files_are_named(self):
        name = self.external("a bigint, s string", "stored as parquet")
        folder = self.directory(name)
        os.makedirs(folder)
        path = os.path.join(folder, "f.parquet")
        pq.write_table(pa.table({"a": list(range(1000)), "s": [f"text {n}" for n in range(1000)]}), path)
        with open(path, "rb") as file:
            whole = file.read()
        for at in range(4, len(whole), max(1, len(whole) // 60)):
            with self.subTest(at=at):
                with open(path, "wb") as file:
                    file.write(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
                try:
                    self.assertLessEqual(len(self.query(f"select a, s from {name}")), 1000)
                except errors.ODPSError as e:
                    self.assertIn(f"oss://{self.o.project}/{name}/f.parquet", str(e))

    def test_the_tunnel_refuses_them(self):
        name = self.external("a bigint", "stored as csv")
        with self.assertRaises(errors.ODPSError):
            self.o.write_table(name, [[1]])


class Deaths(unittest.TestCase):
    STEPS = ("before_marker", "after_marker", "after_names", "before_end")

    def test_rows_come_once_wherever_the_server_dies(self):
        for step in self.STEPS:
            with self.subTest(step=step):
                self.die(step)

    def die(self, step):
        server = harness.Server(meta=harness.new_database())
        self.addCleanup(server.close)
        server.start()
        entry = server.entry()
        entry.execute_sql("create external table e (a bigint) stored as csv location 'oss://demo/e/'")
        entry.execute_sql("insert into e values (1)")
        server.stop()
        server.variables = {"FEITIAN_FAILPOINTS": f"external.{step}"}
        server.start()
        unload = "unload from e into location 'oss://demo/u/' stored as csv"
        job = entry.run_sql(f"insert overwrite table e select a + 1 from e; {unload}")
        self.assertEqual(server.process.wait(harness.DEADLINE_S), -9)
        server.variables = {}
        server.start()
        job.wait_for_success()
        folder = os.path.join(server.data, "objects", "demo")
        for name in ("e", "u"):
            files = glob.glob(os.path.join(folder, name, "*.csv"))
            self.assertEqual([open(path, encoding="utf-8").read() for path in files], ["2\n"], name)
            self.assertEqual(glob.glob(os.path.join(folder, name, "_feitian_new-*")), [])


if __name__ == "__main__":
    unittest.main()
