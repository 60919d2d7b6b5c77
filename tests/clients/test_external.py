"""External tables, LOAD and UNLOAD as clients see them: documents of tables, files that other tools read and write, and
a server that dies at every step of writing.

Expected values are the rows written; names of documents are those of odps/models/table.py.
"""

import csv
import glob
import json
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

    def test_pages_of_every_codec_that_has_a_bound_are_read(self):
        rows = pa.table({"a": list(range(1000)), "s": [f"text {n % 7}" for n in range(1000)]})
        for codec in ("none", "snappy", "gzip", "zstd", "lz4", "brotli"):
            with self.subTest(codec=codec):
                name = self.external("a bigint, s string", "stored as parquet")
                os.makedirs(self.directory(name))
                pq.write_table(rows, os.path.join(self.directory(name), "f.parquet"), compression=codec)
                if codec == "brotli":
                    with self.assertRaises(errors.ODPSError) as caught:
                        self.query(f"select a from {name}")
                    self.assertIn(f"oss://{self.o.project}/{name}/f.parquet", str(caught.exception))
                else:
                    # 0 + 1 + … + 999, and seven texts.
                    counted = self.query(f"select sum(a), count(distinct s) from {name}")
                    self.assertEqual(counted, [(499500, 7)])

    def parted(self, columns, partitions, clauses):
        name = self.name("e")
        location = f"oss://{self.o.project}/{name}/"
        self.o.execute_sql(
            f"create external table {name} ({columns}) partitioned by ({partitions}) {clauses} location '{location}'"
        )
        return name

    def test_a_data_set_of_another_tool_is_found_by_msck(self):
        name = self.parted("a bigint", "ds string, hh bigint", "stored as parquet")
        rows = {"a": [1, 2, 3], "ds": ["x", "x", "y"], "hh": [1, 2, 1]}
        pq.write_to_dataset(pa.table(rows), self.directory(name), partition_cols=["ds", "hh"])
        self.assertEqual(self.query(f"select a from {name} where ds = 'x'"), [])
        self.o.execute_sql(f"msck repair table {name} add partitions")
        table = self.o.get_table(name)
        self.assertEqual([c.name for c in table.table_schema.partitions], ["ds", "hh"])
        self.assertTrue(table.exist_partition("ds=x,hh=2"))
        self.assertFalse(table.exist_partition("ds=y,hh=2"))
        self.assertEqual(len(list(table.partitions)), 3)
        self.assertEqual(self.query(f"select a, ds, hh from {name} where hh = 2"), [(2, "x", 2)])
        self.assertIn("PARTITIONED BY", table.get_ddl())

    def test_another_tool_reads_partitions_that_are_written(self):
        name = self.parted("a bigint", "ds string", "stored as parquet")
        self.o.execute_sql(f"insert into {name} partition (ds) select 1, 'x' union all select 2, 'y'")
        self.o.execute_sql(f"insert overwrite table {name} partition (ds='y') values (3)")
        files = glob.glob(os.path.join(self.directory(name), "ds=*", "*.parquet"))
        # Partitions are directories of the name; what begins with an underscore is passed over.
        read = [(os.path.basename(os.path.dirname(path)), pq.ParquetFile(path).read().to_pydict()) for path in files]
        self.assertEqual(sorted(read), [("ds=x", {"a": [1]}), ("ds=y", {"a": [3]})])
        partitions = self.o.get_table(name)
        self.assertTrue(partitions.exist_partition("ds=x") and partitions.exist_partition("ds=y"))
        partitions.delete_partition("ds=x")
        self.assertFalse(partitions.exist_partition("ds=x"))
        partitions.create_partition("ds=x")
        self.assertEqual(self.query(f"select a from {name} where ds = 'x'"), [(1,)])

    def test_json_lines_go_both_ways(self):
        serde = "row format serde 'org.apache.hive.hcatalog.data.JsonSerDe' stored as textfile"
        name = self.external("a bigint, b string, c double", serde)
        self.o.execute_sql(f"insert into {name} values (1, 'x\"\\n', 0.5), (2, null, null)")
        (path,) = glob.glob(os.path.join(self.directory(name), "*.json"))
        with open(path, encoding="utf-8") as file:
            read = [json.loads(line) for line in file]
        wanted = [{"a": 1, "b": 'x"\n', "c": 0.5}, {"a": 2, "b": None, "c": None}]
        self.assertEqual(sorted(read, key=lambda row: row["a"]), wanted)
        with open(os.path.join(self.directory(name), "other.json"), "w", encoding="utf-8") as file:
            for row in ({"A": 3, "b": "\u4e2d\u2028", "more": {"x": [1]}}, {"c": -1e-3}):
                file.write(json.dumps(row) + "\n")
        rows = self.query(f"select a, b, c from {name} where c is null or c < 0")
        wanted = [(2, None, None), (3, "\u4e2d\u2028", None), (None, None, -1e-3)]
        self.assertEqual(sorted(rows, key=str), sorted(wanted, key=str))

    def test_the_tunnel_refuses_them(self):
        name = self.external("a bigint", "stored as csv")
        with self.assertRaises(errors.ODPSError):
            self.o.write_table(name, [[1]])


class Deaths(unittest.TestCase):
    STEPS = ("after_turn", "before_marker", "after_marker", "after_names", "before_end")

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


    def test_partitions_change_once_wherever_the_server_dies(self):
        for step in ("after_partitions", *self.STEPS):
            with self.subTest(step=step):
                self.die_over_partitions(step)

    def die_over_partitions(self, step):
        server = harness.Server(meta=harness.new_database())
        self.addCleanup(server.close)
        server.start()
        entry = server.entry()
        entry.execute_sql(
            "create external table e (a bigint) partitioned by (ds string) stored as csv location 'oss://demo/e/'"
        )
        entry.execute_sql("insert into e partition (ds) select 1, 'x' union all select 2, 'y' union all select 3, 'z'")
        server.stop()
        server.variables = {"FEITIAN_FAILPOINTS": f"external.{step}"}
        server.start()
        # One partition is overwritten, one stays, and one is new.
        rows = "select a * 10, ds from e where ds = 'x' union all select 4, 'new' from e where ds = 'y'"
        job = entry.run_sql(f"insert overwrite table e partition (ds) {rows}")
        self.assertEqual(server.process.wait(harness.DEADLINE_S), -9)
        server.variables = {}
        server.start()
        job.wait_for_success()
        folder = os.path.join(server.data, "objects", "demo", "e")
        read = {}
        for path in glob.glob(os.path.join(folder, "ds=*", "*")):
            with open(path, encoding="utf-8") as file:
                read.setdefault(os.path.basename(os.path.dirname(path)), []).append(file.read())
        self.assertEqual(read, {"ds=x": ["10\n"], "ds=y": ["2\n"], "ds=z": ["3\n"], "ds=new": ["4\n"]})
        self.assertEqual(glob.glob(os.path.join(folder, "_feitian_new-*")), [])
        with entry.execute_sql("select a from e where ds in ('x', 'y', 'z', 'new')").open_reader() as reader:
            self.assertEqual(sorted(record[0] for record in reader), [2, 3, 4, 10])


class TwoProcesses(unittest.TestCase):
    def test_a_directory_is_overwritten_by_one_after_the_other(self):
        meta = harness.new_database()
        first = harness.Server(meta=meta).start()
        self.addCleanup(first.close)
        servers = [first]
        # Two processes share a directory if they share a database; otherwise there is one.
        if meta:
            second = harness.Server(data=first.data, meta=meta).start()
            self.addCleanup(second.close)
            servers.append(second)
        entries = [server.entry() for server in servers]
        entries[0].execute_sql("create external table e (a bigint) stored as csv location 'oss://demo/e/'")
        for _ in range(3):
            texts = [f"insert overwrite table e values ({n}), ({n})" for n in range(8)]
            jobs = [entries[n % len(entries)].run_sql(text) for n, text in enumerate(texts)]
            for job in jobs:
                try:
                    job.wait_for_success()
                except errors.ODPSError as e:
                    # It may be told to come again, and has changed nothing then.
                    self.assertIn("ODPS-0110061", str(e))
            with entries[0].execute_sql("select a from e").open_reader() as reader:
                rows = [record[0] for record in reader]
            self.assertEqual(len(rows), 2, rows)
            self.assertEqual(rows[0], rows[1])


if __name__ == "__main__":
    unittest.main()
