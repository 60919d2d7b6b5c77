"""`feitian ots export`: what the SDK of Tablestore wrote is in the Parquet files, every version of it.

Expected values are the values written; the columns of the files are those of docs/table-store.md. The files are read with
pyarrow and DuckDB.
"""

import functools
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest

import duckdb
import pyarrow
import pyarrow.parquet
from tablestore import BatchWriteRowRequest, PutRowItem, Row, TableInBatchWriteRowItem

import harness
import ots
from ots import IGNORE, OtsCase

TYPES = {int: "INTEGER", float: "DOUBLE", bool: "BOOLEAN", str: "STRING", bytearray: "BINARY"}
VALUES = {
    "INTEGER": "cell_int",
    "DOUBLE": "cell_double",
    "BOOLEAN": "cell_bool",
    "STRING": "cell_string",
    "BINARY": "cell_binary",
}


def plain(value):
    return bytes(value) if isinstance(value, bytearray) else value


def read(to):
    """The table of an export, of the files that its list names."""
    with open(os.path.join(to, "_export.json"), encoding="utf-8") as file:
        listed = json.load(file)
    tables = [pyarrow.parquet.read_table(os.path.join(to, f["name"])) for f in listed["files"]]
    assert [t.num_rows for t in tables] == [f["records"] for f in listed["files"]]
    assert sorted(os.listdir(to)) == ["_export.json", *(f["name"] for f in listed["files"])]
    return pyarrow.concat_tables(tables), listed


def records(table, keys):
    """(key, column, version, type, value) of each record, in the order of the files."""
    found = []
    for row in table.to_pylist():
        kind = row["cell_type"]
        there = {name for name in VALUES.values() if row[name] is not None}
        assert there == ({VALUES[kind]} if kind else set()), row
        key = tuple(row[name] for name in keys)
        value = row[VALUES[kind]] if kind else None
        found.append((key, row["cell_name"], row["cell_version"], kind, value))
    return found


class Model:
    """Rows as Python wrote them: {key: {column: {version: value}}}."""

    def __init__(self):
        self.rows = {}

    def put(self, key, cells):
        self.rows[key] = {}
        self.update(key, cells)

    def update(self, key, cells):
        for name, value, version in cells:
            self.rows.setdefault(key, {}).setdefault(name, {})[version] = value

    def records(self, all_versions):
        """What an export should have, in the order of keys, columns, and versions from the newest."""
        found = []
        for key in sorted(self.rows):
            columns = {name: versions for name, versions in self.rows[key].items() if versions}
            if not columns:
                found.append((tuple(map(plain, key)), None, None, None, None))
            for name in sorted(columns, key=str.encode):
                versions = sorted(columns[name], reverse=True)
                for version in versions if all_versions else versions[:1]:
                    value = columns[name][version]
                    found.append((tuple(map(plain, key)), name, version, TYPES[type(value)], plain(value)))
        return found


class Export(OtsCase):
    def setUp(self):
        super().setUp()
        self.dir = tempfile.mkdtemp(prefix="feitian-export-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.base = int(time.time() * 1000)

    def export(self, table, *more):
        """Where the export is, and what the command said."""
        to = os.path.join(self.dir, harness.unique("out"))
        address = ("--ots-endpoint", ots.endpoint(self.server))
        return to, self.server.cli("ots", "export", self.instance, table, "--to", to, *address, *more)

    def exported(self, table, keys, *more):
        to, said = self.export(table, *more)
        found = records(read(to)[0], keys)
        self.assertEqual(said["directory"], os.path.realpath(to))
        self.assertEqual(said["rows"], len({record[0] for record in found}))
        self.assertEqual(said["cells"], len([record for record in found if record[1] is not None]))
        # What is beside it would be left over.
        self.assertEqual([name for name in os.listdir(self.dir) if name.startswith(".")], [])
        return found

    def batch(self, table, rows):
        """Puts rows of (key, cells), as many at a time as the service takes."""
        for at in range(0, len(rows), 200):
            request = BatchWriteRowRequest()
            items = [PutRowItem(Row(key, cells), IGNORE) for key, cells in rows[at : at + 200]]
            request.add(TableInBatchWriteRowItem(table, items))
            self.assertTrue(self.ots.batch_write_row(request).is_all_succeed())

    def test_every_version_of_every_type_is_in_the_files(self):
        t = ots.create(self.ots, "t", [("s", "STRING"), ("n", "INTEGER"), ("b", "BINARY")], versions=5)
        model, base = Model(), self.base

        def key(s, n, b):
            return [("s", s), ("n", n), ("b", bytearray(b))]

        def put(k, cells):
            model.put(k, cells)
            self.ots.put_row(t, Row(key(*k), cells), IGNORE)

        def update(k, cells):
            model.update(k, cells)
            self.ots.update_row(t, Row(key(*k), {"PUT": cells}), IGNORE)

        first, second, bare, gone, last = (
            ("", -(2**63), b""),
            ("Ada", 2**63 - 1, b"\0\xff"),
            ("Ada, 字", 0, b"x"),
            ("gone", 1, b""),
            ("🐘", 7, bytes(range(256))),
        )
        put(first, [("a", 1, base), ("empty", "", base), ("ok", False, base)])
        # One column has values of several types.
        for n, value in enumerate([2**63 - 1, -0.5, True, "four", bytearray(b"\0five")]):
            update(second, [("any", value, base + n)])
        # More versions than the table keeps: the oldest goes.
        update(second, [("any", -(2**63), base + 5)])
        del model.rows[second]["any"][base]
        put(bare, [])
        put(gone, [("a", 1, base)])
        self.ots.delete_row(t, Row(key(*gone)), IGNORE)
        del model.rows[gone]
        put(last, [("x", 5e-324, base), ("y", bytearray(range(256)), base), ("z", "Zeichen", base)])
        update(last, [("x", 1.7976931348623157e308, base + 1), ("w", 0, base + 1)])
        # A version, and a column; the row stays.
        self.ots.update_row(t, Row(key(*last), {"DELETE": [("x", None, base)], "DELETE_ALL": ["z"]}), IGNORE)
        del model.rows[last]["x"][base], model.rows[last]["z"]

        names = ("s", "n", "b")
        self.assertEqual(self.exported(t, names, "--versions"), model.records(all_versions=True))
        self.assertEqual(self.exported(t, names), model.records(all_versions=False))

    def test_files_say_what_they_are_of(self):
        columns = [("total", "DOUBLE"), ("note", "STRING")]
        t = ots.create(self.ots, "t", [("k", "STRING"), ("n", "INTEGER")], columns=columns, versions=3)
        for n in range(3):
            self.ots.put_row(t, Row([("k", "a"), ("n", n)], [("total", n * 0.5), ("note", f"n{n}")]), IGNORE)
        to, said = self.export(t, "--versions", "--from-key", '["a", 1]')
        table, listed = read(to)
        self.assertEqual(
            [(field.name, str(field.type)) for field in table.schema],
            [
                ("k", "string"),
                ("n", "int64"),
                ("cell_name", "string"),
                ("cell_version", "int64"),
                ("cell_type", "string"),
                ("cell_int", "int64"),
                ("cell_double", "double"),
                ("cell_bool", "bool"),
                ("cell_string", "string"),
                ("cell_binary", "binary"),
            ],
        )
        self.assertEqual([(k["name"], k["type"]) for k in listed["key"]], [("k", "STRING"), ("n", "INTEGER")])
        defined = sorted((c["name"], c["type"]) for c in listed["defined_columns"])
        self.assertEqual(defined, [("note", "STRING"), ("total", "DOUBLE")])
        about = {name: listed[name] for name in ("instance", "table", "versions", "rows", "cells", "max_versions")}
        wanted = {"instance": self.instance, "table": "t", "versions": True, "rows": 2, "cells": 4, "max_versions": 3}
        self.assertEqual(about, wanted)
        self.assertEqual((listed["from_key"], listed["to_key"], listed["time_to_live"]), (["a", 1], None, -1))
        inside = pyarrow.parquet.read_metadata(os.path.join(to, listed["files"][0]["name"])).metadata
        self.assertEqual(json.loads(inside[b"feitian.ots"])["table"], "t")
        sizes = [os.path.getsize(os.path.join(to, file["name"])) for file in listed["files"]]
        self.assertEqual([file["bytes"] for file in listed["files"]], sizes)
        self.assertEqual((said["files"], said["bytes"]), (len(sizes), sum(sizes)))
        # The query of docs/table-store.md: a column for each that is asked for.
        wide = duckdb.sql(
            f"""
            SELECT k, n, max(cell_double) FILTER (WHERE cell_name = 'total') AS total,
                   max(cell_string) FILTER (WHERE cell_name = 'note') AS note
            FROM read_parquet('{to}/*.parquet') GROUP BY k, n ORDER BY k, n
            """
        ).fetchall()
        self.assertEqual(wide, [("a", 1, 0.5, "n1"), ("a", 2, 1.0, "n2")])

    def test_many_pages_follow_each_other_and_a_range_has_its_begin_and_not_its_end(self):
        t = ots.create(self.ots, "t", [("k", "STRING"), ("n", "INTEGER")])
        # More rows than one answer has, 5,000.
        keys = [(k, n) for k in ("a", "b", "c") for n in range(2500)]
        self.batch(t, [([("k", k), ("n", n)], [("v", n * 3, self.base)]) for k, n in keys])
        wanted = [((k, n), "v", self.base, "INTEGER", n * 3) for k, n in keys]
        self.assertEqual(self.exported(t, ("k", "n")), wanted)
        for more, chosen in (
            (["--from-key", '["b"]'], wanted[2500:]),
            (["--to-key", '["b"]'], wanted[:2500]),
            (["--from-key", '["a", 2499]', "--to-key", '["b", 1]'], wanted[2499:2501]),
            (["--from-key", '["d"]'], []),
        ):
            with self.subTest(range=more):
                self.assertEqual(self.exported(t, ("k", "n"), *more), chosen)
        with self.assertRaises(AssertionError) as refused:
            self.export(t, "--from-key", '["b"]', "--to-key", '["a"]')
        self.assertIn("Begin key must less than end key in FORWARD", str(refused.exception))
        with self.assertRaises(AssertionError) as refused:
            self.export(t, "--from-key", "[1]")
        self.assertIn("column k has the type STRING", str(refused.exception))
        self.assertEqual([name for name in os.listdir(self.dir) if name.startswith(".")], [])

    def test_a_row_that_no_answer_holds_comes_whole(self):
        t = ots.create(self.ots, "t", [("k", "STRING")])
        # 36 cells of 1.9 MiB are more than the 64 MiB of one answer; two of them are all that one write may carry.
        sizes = {f"c{n:02}": 1_990_000 + n for n in range(36)}
        self.ots.put_row(t, Row([("k", "wide")], []), IGNORE)
        names = sorted(sizes)
        for pair in zip(names[::2], names[1::2], strict=True):
            cells = [(name, bytearray(name[-1:].encode() * sizes[name]), self.base) for name in pair]
            self.ots.update_row(t, Row([("k", "wide")], {"PUT": cells}), IGNORE)
        around = [*(f"a{n}" for n in range(40)), *(f"z{n}" for n in range(40))]
        self.batch(t, [([("k", k)], [("v", k, self.base)]) for k in around])
        found = self.exported(t, ("k",))
        wide = [record for record in found if record[0] == ("wide",)]
        self.assertEqual([(name, len(value)) for _, name, _, _, value in wide], sorted(sizes.items()))
        self.assertTrue(all(value == name[-1:].encode() * sizes[name] for _, name, _, _, value in wide))
        others = [((k,), "v", self.base, "STRING", k) for k in sorted(around)]
        self.assertEqual([record for record in found if record[0] != ("wide",)], others)

    def test_a_directory_that_has_something_stays_as_it_is(self):
        t = ots.create(self.ots, "t", [("k", "STRING")])
        to = os.path.join(self.dir, "mine")
        os.mkdir(to)
        with open(os.path.join(to, "note"), "w", encoding="utf-8") as file:
            file.write("keep")
        address = ("--ots-endpoint", ots.endpoint(self.server))
        with self.assertRaises(AssertionError) as refused:
            self.server.cli("ots", "export", self.instance, t, "--to", to, *address)
        self.assertIn("is not empty", str(refused.exception))
        self.assertEqual((os.listdir(self.dir), os.listdir(to)), (["mine"], ["note"]))
        # An empty one is taken, and so is an empty table.
        os.remove(os.path.join(to, "note"))
        said = self.server.cli("ots", "export", self.instance, t, "--to", to, *address)
        self.assertEqual((said["rows"], said["cells"], said["files"]), (0, 0, 1))
        self.assertEqual(records(read(to)[0], ("k",)), [])

    def test_a_foreign_key_gets_nothing_and_a_temporary_one_of_the_owner_everything(self):
        t = ots.create(self.ots, "t", [("k", "STRING")])
        self.ots.put_row(t, Row([("k", "a")], [("v", 1, self.base)]), IGNORE)
        name = "ALIYUN$" + harness.unique("someone")
        self.server.cli("account", "create", name)
        foreign = self.server.cli("key", "create", "--account", name)
        with self.assertRaises(AssertionError) as refused:
            self.export(t, "--key", f"{foreign['access_id']}:{foreign['secret']}")
        self.assertIn("OTSAuthFailed: The instance is not found.", str(refused.exception))
        own = self.server.cli("key", "create", "--sts", "1h")
        key = ("--key", f"{own['access_id']}:{own['secret']}", "--sts-token", own["sts_token"])
        self.assertEqual(self.exported(t, ("k",), *key), [(("a",), "v", self.base, "INTEGER", 1)])

    def test_a_kill_leaves_no_export_that_looks_whole(self):
        t = ots.create(self.ots, "t", [("k", "INTEGER")])
        rows = [([("k", n)], [("v", "x" * 500, self.base)]) for n in range(6000)]
        self.batch(t, rows)
        login = self.server.credentials()
        environment = {**os.environ, "FEITIAN_KEY": f"{login['access_id']}:{login['secret']}"}
        for n in range(5):
            to = os.path.join(self.dir, f"out{n}")
            command = [self.server.program, "ots", "export", self.instance, t, "--to", to]
            command += ["--ots-endpoint", ots.endpoint(self.server)]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = subprocess.Popen(command, env=environment, **quiet)
            # Later in some rounds than in others; or it is over.
            look = functools.partial(self.is_at_work, process, f".out{n}.", n % 2 == 1)
            harness.wait_for("the beginning of an export", look)
            process.kill()
            process.wait(harness.DEADLINE_S)
            if os.path.exists(to):
                self.assertEqual(len(records(read(to)[0], ("k",))), len(rows))
        # What is left over does not mind the next one.
        to, _ = self.export(t)
        self.assertEqual(len(records(read(to)[0], ("k",))), len(rows))

    def is_at_work(self, process, hidden, with_file):
        """Whether an export has its hidden directory, and a file in it, or is over."""
        if process.poll() is not None:
            return True
        try:
            found = [os.listdir(os.path.join(self.dir, name)) for name in os.listdir(self.dir) if name.startswith(hidden)]
        except FileNotFoundError:
            # It was renamed while we looked.
            return True
        return any(found) if with_file else bool(found)


if __name__ == "__main__":
    unittest.main()
