"""What lies on disk: it stays readable for later versions, agrees with the metadata, and nothing else lies there.

Expected values are the rows written, and what PyPI's deltalake and SQLite say about the same directory.
"""

import glob
import json
import os
import sqlite3
import subprocess
import tarfile
import tempfile
import unittest

from deltalake import DeltaTable
from odps import options
from odps.tunnel import TableTunnel

import harness
import old_data


class OldData(unittest.TestCase):
    def test_directories_of_earlier_formats_are_read(self):
        archives = sorted(glob.glob(os.path.join(old_data.FIXTURES, "data-*.tar.gz")))
        self.assertTrue(archives, "there are no fixtures")
        for path in archives:
            with self.subTest(fixture=os.path.basename(path)), tempfile.TemporaryDirectory() as home:
                with tarfile.open(path) as archive:
                    archive.extractall(home, filter="tar")
                server = harness.Server(data=os.path.join(home, "data"))
                self.addCleanup(server.close)
                server.start()
                self.check(server.entry())
                server.stop()

    def check(self, o):
        saved = options.struct_as_dict
        self.addCleanup(setattr, options, "struct_as_dict", saved)
        options.struct_as_dict = False
        rows = [tuple(r.values) for r in o.read_table("every_type", reopen=True)]
        for (kind, want), got in zip(old_data.TYPES.items(), zip(*rows), strict=True):
            self.assertEqual(got, (*want, None), kind)
        types = [column.type.name.replace("`", "") for column in o.get_table("every_type").table_schema.columns]
        self.assertEqual(types, list(old_data.TYPES))

        parts = o.get_table("parts")
        self.assertEqual((parts.comment, parts.lifecycle), ("kept", 30))
        self.assertEqual(len(list(parts.partitions)), len(old_data.PARTS) + 1)
        for spec, numbers in old_data.PARTS.items():
            self.assertEqual([r[0] for r in o.read_table("parts", partition=spec)], numbers)
        self.assertEqual([r[0] for r in o.read_table("many", reopen=True)], list(range(old_data.COMMITS)))
        job = o.execute_sql("SELECT n1 FROM odd ORDER BY n1 LIMIT 9", hints={"odps.sql.allow.fullscan": "true"})
        with job.open_reader(tunnel=True) as reader:
            self.assertEqual([r[0] for r in reader], [1, 3, 5])
        # And it can be written to.
        o.write_table("parts", [[9]], partition="pt=a,n=1")
        self.assertEqual([r[0] for r in o.read_table("parts", partition="pt=a,n=1", reopen=True)], [3, 1, 2, 9])


class OneTruth(unittest.TestCase):
    def setUp(self):
        # On SQLite, whatever the run is about: the rows are deleted behind the server's back.
        self.server = harness.Server()
        self.addCleanup(self.server.close)
        self.server.start()
        self.o = self.server.entry()

    def files(self, name):
        """The data files below the directories of a table, whoever refers to them."""
        found = glob.glob(os.path.join(self.server.data, "warehouse", "demo", f"{name}-*", "**", "*.parquet"), recursive=True)
        return {os.path.realpath(path) for path in found}

    def delta(self, name, version=None):
        (directory,) = glob.glob(os.path.join(self.server.data, "warehouse", "demo", f"{name}-*"))
        return {os.path.realpath(uri.removeprefix("file://")) for uri in DeltaTable(directory, version).file_uris()}

    def collect(self):
        root = f"http://127.0.0.1:{self.server.port}"
        headers = {"Content-Type": "application/json"}
        body = json.dumps({"older_than_seconds": 0})
        return self.server.entry(endpoint=root).rest.post(f"{root}/admin/v1/collect", data=body, headers=headers).json()

    def test_a_collection_leaves_exactly_the_files_that_are_referred_to(self):
        name = harness.unique("t")
        table = self.o.create_table(name, "n bigint")
        for n in range(3):
            self.o.write_table(name, [[n]])
        before = self.delta(name)
        download = TableTunnel(self.o).create_download_session(name)
        self.o.execute_sql(f"INSERT OVERWRITE TABLE {name} SELECT 7")
        upload = TableTunnel(self.o).create_upload_session(name)
        with upload.open_record_writer(0) as writer:
            writer.write(upload.new_record([8]))
        pending = self.files(name) - before - self.delta(name)
        self.assertEqual(len(pending), 1, "the block that was not committed")
        # A session that was given up: its block is of a table that goes.
        dropped = harness.unique("dropped")
        self.o.create_table(dropped, "n bigint")
        self.o.write_table(dropped, [[1]])
        self.o.delete_table(dropped)

        self.collect()
        self.assertEqual(self.files(name), before | self.delta(name) | pending)
        self.assertEqual(self.files(dropped), set())
        with download.open_record_reader(0, download.count) as reader:
            self.assertEqual([r[0] for r in reader], [0, 1, 2])
        upload.commit([0])
        self.assertEqual([r[0] for r in self.o.read_table(table, reopen=True)], [7, 8])

    def test_null_in_a_partition_column_that_is_no_text_is_null_to_others(self):
        name = harness.unique("t")
        self.o.create_table(name, ("n bigint", "p bigint"))
        self.o.execute_sql(f"INSERT INTO {name} PARTITION (p) SELECT 1, CAST(NULL AS BIGINT) UNION ALL SELECT 2, 5")
        (directory,) = glob.glob(os.path.join(self.server.data, "warehouse", "demo", f"{name}-*"))
        found = DeltaTable(directory).to_pyarrow_table().to_pylist()
        self.assertEqual(sorted((row["n"], row["p"]) for row in found), [(1, None), (2, 5)])
        job = self.o.execute_sql(f"SELECT n, p FROM {name} WHERE p IS NULL OR p = 5 ORDER BY n LIMIT 9")
        with job.open_reader(tunnel=True) as reader:
            self.assertEqual([(r[0], r[1]) for r in reader], [(1, None), (2, 5)])

    def test_rows_that_change_are_what_others_read(self):
        name = harness.unique("t")
        self.o.execute_sql(
            f"CREATE TABLE {name} (n BIGINT, s STRING) PARTITIONED BY (p STRING) TBLPROPERTIES ('transactional'='true')"
        )
        self.o.execute_sql(f"INSERT INTO {name} PARTITION (p) VALUES (1, 'a', 'x'), (2, 'b', 'x'), (3, 'c', 'y')")
        self.o.execute_sql(f"UPDATE {name} SET s = 'u' WHERE p = 'x' AND n = 1")
        self.o.execute_sql(f"DELETE FROM {name} WHERE p = 'y'")
        self.o.execute_sql(
            f"MERGE INTO {name} t USING (SELECT 2 AS k UNION ALL SELECT 4) src ON t.n = src.k AND t.p = 'x' "
            "WHEN MATCHED THEN UPDATE SET s = 'm' WHEN NOT MATCHED THEN INSERT VALUES (src.k, 'new', 'z')"
        )
        (directory,) = glob.glob(os.path.join(self.server.data, "warehouse", "demo", f"{name}-*"))
        table = DeltaTable(directory)
        found = sorted((row["n"], row["s"], row["p"]) for row in table.to_pyarrow_table().to_pylist())
        self.assertEqual(found, [(1, "u", "x"), (2, "m", "x"), (4, "new", "z")])
        # The names of operations are those of the Delta protocol.
        self.assertEqual([entry["operation"] for entry in table.history(3)], ["MERGE", "DELETE", "UPDATE"])
        self.collect()
        self.assertEqual(self.files(name), self.delta(name))
        self.assertEqual([p.partition_spec["p"] for p in self.o.get_table(name).partitions], ["x", "y", "z"])

    def test_files_that_no_one_names_go(self):
        name = harness.unique("t")
        self.o.create_table(name, "n bigint")
        for n in range(3):
            self.o.execute_sql(f"INSERT OVERWRITE TABLE {name} SELECT {n}")
        self.assertEqual(len(self.files(name)), 3)
        self.collect()
        self.assertEqual(self.files(name), self.delta(name))
        self.assertEqual(len(self.files(name)), 1)

    def test_partition_rows_deleted_by_hand_come_back_from_the_log(self):
        name = harness.unique("t")
        table = self.o.create_table(name, ("n bigint", "pt string"))
        for pt in ("a", "b", "c"):
            self.o.write_table(name, [[1], [2]], partition=f"pt={pt}", create_partition=True)
        self.server.stop()
        with sqlite3.connect(os.path.join(self.server.data, "meta.db")) as database:
            gone = database.execute("DELETE FROM partitions WHERE spec LIKE '%b%' OR spec LIKE '%c%'").rowcount
        database.close()
        self.assertEqual(gone, 2)
        looked = self.check()
        self.assertEqual((looked.returncode, len(json.loads(looked.stdout)["problems"])), (1, 2), looked.stderr)
        repaired = json.loads(self.check("--repair").stdout)
        self.assertEqual((repaired["repaired"], repaired["problems"]), (2, []))
        self.assertEqual(json.loads(self.check().stdout)["problems"], [])
        self.server.start()
        entry = self.server.entry()
        self.assertEqual([p.partition_spec["pt"] for p in entry.get_table(name).partitions], ["a", "b", "c"])
        self.assertEqual([r[0] for r in entry.read_table(name, partition="pt=c")], [1, 2])

    def check(self, *flags):
        return subprocess.run(
            [self.server.program, "check", self.server.data, *flags, "--output", "json"],
            capture_output=True,
            text=True,
            timeout=120,
        )
