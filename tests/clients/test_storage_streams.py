"""The storage API, version 2, as `odps.maxstorage` of PyODPS speaks it: streams of rows, exactly-once writers, tables with
a key, splits, previews, results, and commits that a dying server began.

Expected values are the rows written.
"""

import unittest

import pyarrow as pa
from odps import errors
from odps.maxstorage import MaxStorageClient, SplitMode, SplitOptions, WriteMode

import harness
from harness import ClientCase


def batch(rows):
    """Rows of (n bigint, s string)."""
    numbers, texts = pa.array([r[0] for r in rows], pa.int64()), pa.array([r[1] for r in rows], pa.string())
    return pa.RecordBatch.from_arrays([numbers, texts], names=["n", "s"])


def numbered(start, stop):
    return [(n, f"row {n}" if n % 7 else None) for n in range(start, stop)]


def rows_of(session, **arguments):
    rows = []
    for split in session.splits:
        reader = session.open_arrow_reader(split, **arguments)
        rows.extend(tuple(row.values()) for each in reader for row in each.to_pylist())
        reader.close()
    return rows


class Streams(ClientCase):
    def client(self, **arguments):
        return MaxStorageClient(self.o, **arguments)

    def load(self, client, table, rows, **arguments):
        session = client.create_table_write_session(table, **arguments)
        writer = session.open_arrow_writer("only")
        writer.write_batch(batch(rows))
        writer.close()
        session.commit()

    def refused(self, code, step, *arguments, **named):
        with self.assertRaises(errors.ODPSError) as raised:
            step(*arguments, **named)
        self.assertEqual(raised.exception.code, code, raised.exception)

    def read(self, client, table, **arguments):
        return sorted(rows_of(client.create_table_read_session(table, **arguments)))

    def test_streams_of_a_session_become_visible_together(self):
        for version in ("2", "3"):
            with self.subTest(version=version):
                client, table = self.client(api_version=version), self.table("n bigint, s string")
                session = client.create_table_write_session(table)
                for stream in range(3):
                    writer = session.open_arrow_writer(f"stream-{stream}", compress_algo=[None, "zstd", "lz4"][stream])
                    for start in range(stream * 100, stream * 100 + 100, 20):
                        writer.write_batch(batch(numbered(start, start + 20)))
                        writer.flush()
                    writer.close()
                self.assertEqual(self.read(client, table), [])
                session.commit()
                self.assertEqual(self.read(client, table), numbered(0, 300))

    def test_the_commit_names_streams_and_their_versions(self):
        client, table = self.client(), self.table("n bigint, s string")
        session = client.create_table_write_session(table)
        for stream, version, start in (("a", 1, 0), ("a", 2, 10), ("b", 1, 20)):
            writer = session.open_arrow_writer(stream, version)
            writer.write_batch(batch(numbered(start, start + 10)))
            writer.close()
        self.refused("NoSuchObject", session.commit, ["a"], [7])
        session.commit(["a"], [1])
        self.assertEqual(self.read(client, table), numbered(0, 10))

    def test_what_is_aborted_is_never_seen(self):
        client, table = self.client(), self.table("n bigint, s string")
        session = client.create_table_write_session(table)
        writer = session.open_arrow_writer("a")
        writer.write_batch(batch(numbered(0, 10)))
        writer.close()
        session.abort()
        again = client.create_table_write_session(table, session_id=session.id)
        self.refused("StatusConflict", again.commit)
        self.assertEqual(self.read(client, table), [])

    def test_overwriting_and_partitions(self):
        client, table = self.client(), self.table("n bigint, s string", "pt string")
        self.load(client, table, numbered(0, 5), partition_spec="pt=a")
        self.load(client, table, numbered(5, 8), partition_spec="pt=a")
        self.load(client, table, numbered(8, 9), partition_spec="pt=b")
        of_a = [(n, s, "a") for n, s in numbered(0, 8)]
        self.assertEqual(self.read(client, table, partitions=["pt=a"]), of_a)
        self.load(client, table, numbered(100, 101), partition_spec="pt=a", overwrite=True)
        self.assertEqual(self.read(client, table), [(8, "row 8", "b"), (100, "row 100", "a")])

    def test_a_client_that_counts_its_rows_goes_on_where_it_was(self):
        client, table = self.client(), self.table("n bigint, s string")
        session = client.create_table_write_session(table)
        writer = session.open_arrow_writer("a", exactly_once_mode=True)
        writer.write_batch(batch(numbered(0, 10)))
        writer.flush()
        # The answer was lost, so that the client sends the same rows from the same place.
        writer._row_offset = 0
        writer.write_batch(batch(numbered(0, 10)))
        writer.flush()
        self.assertEqual(writer._row_offset, 10)
        another = session.open_arrow_writer("a", exactly_once_mode=True, resume=True)
        another.write_batch(batch(numbered(10, 20)))
        another.close()
        session.commit()
        self.assertEqual(self.read(client, table), numbered(0, 20))

    def test_rows_of_a_table_with_a_key(self):
        name = self.name()
        self.o.execute_sql(
            f"CREATE TABLE {name} (n bigint NOT NULL, s string, PRIMARY KEY (n)) "
            "TBLPROPERTIES ('transactional'='true')"
        )
        client = self.client()
        session = client.create_table_write_session(self.o.get_table(name))
        writer = session.open_arrow_writer("a").get_as_record_writer(row_count_per_batch=2)
        for row in ([1, "a"], [2, "b"], [3, "c"], [2, "new"]):
            writer.write(row)
        writer.delete([3, None])
        writer.close()
        session.commit()
        self.assertEqual(sorted(self.query(f"SELECT * FROM {name}")), [(1, "a"), (2, "new")])

    def test_splits_by_rows_and_compressed_answers(self):
        client, table = self.client(), self.table("n bigint, s string")
        self.load(client, table, numbered(0, 200))
        by_rows = SplitOptions(split_mode=SplitMode.ROW_OFFSET, split_number=50)
        session = client.create_table_read_session(table, split_options=by_rows)
        self.assertEqual((len(session.splits), session.record_count), (4, 200))
        for algorithm in (None, "zstd", "lz4"):
            self.assertEqual(rows_of(session, compress_algo=algorithm, max_batch_rows=7), numbered(0, 200))
        found = self.read(client, table, columns=["n"], filter_predicate="n >= 190")
        self.assertEqual(found, [(n,) for n in range(190, 200)])

    def test_previews_and_results(self):
        client, table = self.client(), self.table("n bigint, s string", "pt string")
        self.load(client, table, numbered(0, 20), partition_spec="pt=a")
        preview = list(client.preview_table(table, partition_spec="pt=a", columns=["n"], limit=10))
        self.assertEqual([row["n"] for each in preview for row in each.to_pylist()], list(range(10)))
        instance = self.o.execute_sql(f"SELECT n, s FROM {table.name} WHERE pt = 'a' ORDER BY n LIMIT 20")
        session = client.create_instance_read_session(instance)
        self.assertEqual(session.record_count, 20)
        self.assertEqual([column.name for column in session.table_schema.columns], ["n", "s"])
        reader = session.open_arrow_reader(offset=5, count=3)
        self.assertEqual([tuple(row.values()) for each in reader for row in each.to_pylist()], numbered(5, 8))

    def test_what_is_not_supported_is_refused(self):
        client, table = self.client(api_version="3"), self.table("n bigint, s string")
        streaming = client.create_table_write_session(table, write_mode=WriteMode.STREAMING)
        self.refused("MethodNotAllowed", streaming.open_arrow_writer, "a")
        self.refused("MethodNotAllowed", client.create_table_write_session, table, enable_schema_evolution=True)
        self.refused("NoSuchDownload", client.create_table_read_session, table, session_id="nothing")


class Killed(unittest.TestCase):
    """The server ends between a request of a stream and its commit; the client, which counts its rows, goes on."""

    STEPS = (
        "block.before_file",
        "block.before_row",
        "block.after_row",
        "upload.closing",
        "commit.after_record",
        "commit.after_log",
    )

    def test_rows_come_once_wherever_the_server_dies(self):
        for point in self.STEPS:
            with self.subTest(point=point):
                self.assertEqual(self.load(point), numbered(0, 20))

    def again(self, server, step):
        """Repeats a step until it is answered; the server dies at most once."""
        try:
            return step()
        except Exception:  # noqa: BLE001 - whatever the client makes of a lost connection
            self.assertEqual(server.process.wait(harness.DEADLINE_S), -9)
            server.variables = {}
            server.start()
            return step()

    def load(self, point):
        server = harness.Server(meta=harness.new_database())
        self.addCleanup(server.close)
        server.start()
        entry = server.entry()
        table = entry.create_table("t", "n bigint, s string")
        client = MaxStorageClient(entry)
        session = client.create_table_write_session(table)
        writer = session.open_arrow_writer("a", exactly_once_mode=True)
        server.stop()
        server.variables = {"FEITIAN_FAILPOINTS": point}
        server.start()
        for start in (0, 10):
            writer.write_batch(batch(numbered(start, start + 10)))
            self.again(server, writer.flush)
        writer.close()
        self.again(server, session.commit)
        self.assertEqual(server.variables, {}, "the step was never passed")
        return sorted(rows_of(client.create_table_read_session(table)))


if __name__ == "__main__":
    unittest.main()
