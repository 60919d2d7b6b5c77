"""The storage API, version 1, as `odps.apis.storage_api` of PyODPS speaks it: read sessions in every way of splitting,
filters, partitions, blocks with several attempts, commits that come twice and commits that a dying server began.

Expected values are the rows written, or follow by arithmetic from their numbers.
"""

import datetime
import decimal
import unittest
import zlib

import numpy as np
import pyarrow as pa
import requests
import urllib3
from odps import errors
from odps.apis.storage_api import (
    ArrowOptions,
    Compression,
    DataFormat,
    DynamicPartitionOptions,
    ReadRowsRequest,
    SessionRequest,
    SessionStatus,
    SplitOptions,
    Status,
    StorageApiArrowClient,
    TableBatchScanRequest,
    TableBatchWriteRequest,
    WriteRowsRequest,
)

import harness
from harness import ClientCase

MODES = SplitOptions.SplitMode
LOST = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, ConnectionError, errors.ODPSError)


def batch(rows):
    """Rows of (n bigint, s string)."""
    numbers, texts = pa.array([r[0] for r in rows], pa.int64()), pa.array([r[1] for r in rows], pa.string())
    return pa.RecordBatch.from_arrays([numbers, texts], names=["n", "s"])


def placed(rows):
    """Rows of (n bigint, s string, pt string, hh bigint)."""
    types = {"n": pa.int64(), "s": pa.string(), "pt": pa.string(), "hh": pa.int64()}
    arrays = [pa.array([row[i] for row in rows], type) for i, type in enumerate(types.values())]
    return pa.RecordBatch.from_arrays(arrays, names=list(types))


def numbered(start, stop):
    return [(n, f"row {n}" if n % 7 else None) for n in range(start, stop)]


def checksum(rows):
    """How many rows, and the sum of a checksum of each: their order does not matter, one twice or lost does."""
    rows = list(rows)
    return len(rows), sum(zlib.crc32(repr(row).encode()) for row in rows)


def split(mode, number, cross_partition=True):
    options = SplitOptions.get_default_options(mode)
    options.split_number, options.cross_partition = number, cross_partition
    return options


def open_write(client, **arguments):
    response = client.create_write_session(TableBatchWriteRequest(**arguments))
    assert (response.status, response.session_status) == (Status.OK, SessionStatus.NORMAL)
    return response.session_id


def write(client, session, block, batches, attempt=0, compression=Compression.UNCOMPRESSED):
    """Writes one block and returns its commit message."""
    request = WriteRowsRequest(
        session_id=session, block_number=block, attempt_number=attempt, compression=compression
    )
    writer = client.write_rows_arrow(request)
    for each in batches:
        assert writer.write(each)
    message, ok = writer.finish()
    assert ok
    return message


def commit(client, session, messages):
    response = client.commit_write_session(SessionRequest(session_id=session), messages)
    assert (response.status, response.session_status) == (Status.OK, SessionStatus.COMMITTED)
    return response


def batches_of(client, session, **arguments):
    reader = client.read_rows_arrow(ReadRowsRequest(session_id=session, **arguments))
    found = []
    while (each := reader.read()) is not None:
        found.append(each)
    assert reader.get_status() == Status.OK and reader.get_request_id()
    return found


def rows_of(client, session, **arguments):
    return [tuple(row.values()) for each in batches_of(client, session, **arguments) for row in each.to_pylist()]


class StorageApi(ClientCase):
    def client(self, table):
        return StorageApiArrowClient(self.o, table)

    def load(self, client, rows, **arguments):
        session = open_write(client, **arguments)
        commit(client, session, [write(client, session, 0, [batch(rows)])])

    def numbers(self):
        """A table of the rows 0 to 999 in five files, with its client."""
        client = self.client(self.table("n bigint, s string"))
        for start in range(0, 1000, 200):
            self.load(client, numbered(start, start + 200), overwrite=False)
        return client

    def days(self):
        """Three partitions of 100, 10 and 1 rows."""
        client = self.client(self.table("n bigint, s string", "pt string"))
        for day, (start, stop) in {"a": (0, 100), "b": (100, 110), "c": (110, 111)}.items():
            self.load(client, numbered(start, stop), partition_spec=f"pt={day}")
        return client

    def open_read(self, client, **arguments):
        response = client.create_read_session(TableBatchScanRequest(**arguments))
        self.assertEqual((response.status, response.session_status), (Status.OK, SessionStatus.NORMAL))
        again = client.get_read_session(SessionRequest(session_id=response.session_id))
        self.assertEqual((again.split_count, again.record_count), (response.split_count, response.record_count))
        return response

    def read_all(self, client, **arguments):
        """The rows of each split."""
        session = self.open_read(client, **arguments)
        self.assertEqual(session.record_count, -1)
        return [rows_of(client, session.session_id, split_index=i) for i in range(session.split_count)]

    def refused(self, code, step, *arguments, **named):
        with self.assertRaises(errors.ODPSError) as raised:
            step(*arguments, **named)
        self.assertEqual(raised.exception.code, code, raised.exception)

    def test_every_number_of_splits_gives_every_row_once(self):
        client, expected = self.numbers(), checksum(numbered(0, 1000))
        for count in (1, 2, 3, 7, 100, 999, 1000, 5000):
            with self.subTest(count=count):
                if count > 100:
                    session = self.open_read(client, split_options=split(MODES.PARALLELISM, count))
                    self.assertEqual(session.split_count, min(count, 1000))
                    continue
                splits = self.read_all(client, split_options=split(MODES.PARALLELISM, count))
                self.assertEqual(len(splits), count)
                self.assertLessEqual(max(map(len, splits)) - min(map(len, splits)), 1)
                self.assertEqual(checksum(row for rows in splits for row in rows), expected)

    def test_splits_by_size_give_every_row_once(self):
        client = self.client(self.table("n bigint"))
        numbers = np.random.default_rng(7).integers(-(2**62), 2**62, 2_000_000)
        session = open_write(client)
        blocks = [
            write(client, session, i, [pa.RecordBatch.from_arrays([pa.array(part)], names=["n"])])
            for i, part in enumerate(np.array_split(numbers, 4))
        ]
        commit(client, session, blocks)
        read = self.open_read(client, split_options=split(MODES.SIZE, 10 * 1024 * 1024), enable_estimate_stats=True)
        self.assertEqual(read.session_stats.estimated_row_count, 2_000_000)
        # Random numbers of 63 bits do not become smaller than 15.7 million bytes.
        self.assertGreaterEqual(read.split_count, 2)
        self.assertEqual(read.split_count, -(-read.session_stats.estimated_size // (10 * 1024 * 1024)))
        parts = [
            each.column(0).to_numpy()
            for i in range(read.split_count)
            for each in batches_of(client, read.session_id, split_index=i)
        ]
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.sort(numbers))
        whole = self.open_read(client, split_options=SplitOptions.get_default_options(MODES.SIZE))
        self.assertEqual(whole.split_count, 1)
        self.assertEqual(sum(each.num_rows for each in batches_of(client, whole.session_id)), 2_000_000)

    def test_rows_by_number(self):
        client = self.numbers()
        session = self.open_read(client, split_options=SplitOptions.get_default_options(MODES.ROW_OFFSET))
        self.assertEqual(session.record_count, 1000)

        def read(start, count):
            return rows_of(client, session.session_id, row_index=start, row_count=count)

        self.assertEqual(read(0, 1000), numbered(0, 1000))
        self.assertEqual(read(195, 10), numbered(195, 205))
        self.assertEqual(read(999, 10), numbered(999, 1000))
        self.assertEqual(read(1000, 10), [])
        self.refused("InvalidArgument", rows_of, client, session.session_id)

    def test_batches_are_as_small_as_wanted_and_compressed(self):
        client = self.numbers()
        session = self.open_read(client)
        self.assertEqual(session.split_count, 1)
        for compression in Compression:
            for most in (1, 77, 4096):
                with self.subTest(compression=compression, most=most):
                    found = batches_of(client, session.session_id, max_batch_rows=most, compression=compression)
                    self.assertLessEqual(max(each.num_rows for each in found), most)
                    self.assertEqual(pa.Table.from_batches(found).to_pydict()["n"], list(range(1000)))

    def test_columns_and_partitions(self):
        client = self.days()
        everything = [(n, s, "a" if n < 100 else "b" if n < 110 else "c") for n, s in numbered(0, 111)]
        by_partition = self.read_all(client, split_options=split(MODES.PARALLELISM, 1, cross_partition=False))
        self.assertEqual(by_partition, [everything[:100], everything[100:110], everything[110:]])
        self.assertEqual(self.read_all(client, split_options=split(MODES.PARALLELISM, 1)), [everything])
        session = self.open_read(client, required_partitions=["pt=b", "pt='c'", "pt=b"])
        self.assertEqual([c.name for c in session.data_schema.data_columns], ["n", "s"])
        self.assertEqual([c.name for c in session.data_schema.partition_columns], ["pt"])
        self.assertEqual(rows_of(client, session.session_id), everything[100:])
        one = self.read_all(client, required_data_columns=["S"], required_partitions=["pt=c"])
        self.assertEqual(one, [[(everything[110][1],)]])
        only = self.read_all(client, required_partition_columns=["pt"], required_partitions=["pt=b"])
        self.assertEqual(only, [[("b",)] * 10])
        both = self.read_all(client, required_data_columns=["n"], required_partition_columns=["pt"])
        self.assertEqual(both, [[(n, pt) for n, _, pt in everything]])
        for code, arguments in (
            ("InvalidArgument", {"required_data_columns": ["x"]}),
            ("InvalidArgument", {"required_data_columns": ["pt"]}),
            ("NoSuchPartition", {"required_partitions": ["pt=d"]}),
            ("InvalidPartitionSpec", {"required_partitions": ["n=1"]}),
            ("InvalidPartitionSpec", {"required_partitions": ["nothing"]}),
        ):
            with self.subTest(arguments=arguments):
                self.refused(code, self.open_read, client, **arguments)

    def test_filters(self):
        client = self.days()
        everything = [(n, s, "a" if n < 100 else "b" if n < 110 else "c") for n, s in numbered(0, 111)]
        for text, keep in (
            ("n % 7 = 3 and s <> 'row 10'", lambda n, s, pt: n % 7 == 3 and n != 10),
            ("s is null", lambda n, s, pt: s is None),
            ("pt = 'b' or n in (1, 2)", lambda n, s, pt: pt == "b" or n in (1, 2)),
            ("length(concat(s, 'x')) > 7", lambda n, s, pt: s is not None and len(s) > 6),
            ("n > 1e9", lambda n, s, pt: False),
            ("n >= 0 -- a comment", lambda n, s, pt: True),
        ):
            with self.subTest(filter=text):
                expected = [row for row in everything if keep(*row)]
                for number in (1, 5):
                    splits = self.read_all(
                        client, filter_predicate=text, split_options=split(MODES.PARALLELISM, number)
                    )
                    self.assertEqual([row for rows in splits for row in rows], expected)
                # The filter may look at columns that nobody wants to see.
                narrow = self.read_all(client, filter_predicate=text, required_data_columns=["n"])
                self.assertEqual(narrow, [[(n,) for n, _, _ in expected]])

    def test_what_is_no_condition_on_the_row_is_refused(self):
        client = self.numbers()
        name = client.table.name
        for text in (
            "n IN (SELECT n FROM " + name + ")",
            "TRUE ORDER BY n",
            "TRUE LIMIT 1",
            "n = 1; DROP TABLE " + name,
            "n = 1) OR (n = 2",
            "nothing = 1",
            "n",
            "SUM(n) > 1",
            "rand() < 0.5",
            "table_exists('" + name + "')",
        ):
            with self.subTest(filter=text):
                with self.assertRaises(errors.ODPSError) as raised:
                    client.create_read_session(TableBatchScanRequest(filter_predicate=text))
                self.assertRegex(str(raised.exception.code), "^ODPS-01")
        rows = SplitOptions.get_default_options(MODES.ROW_OFFSET)
        self.refused("InvalidArgument", self.open_read, client, filter_predicate="n = 1", split_options=rows)

    def test_a_session_reads_the_version_that_it_was_opened_on(self):
        client = self.numbers()
        session = self.open_read(client)
        self.o.execute_sql(f"INSERT OVERWRITE TABLE {client.table.name} SELECT 1, 'new'")
        self.assertEqual(rows_of(client, session.session_id), numbered(0, 1000))
        self.assertEqual(self.read_all(client), [[(1, "new")]])
        self.o.execute_sql(f"ALTER TABLE {client.table.name} ADD COLUMNS (more bigint)")
        self.refused("SchemaModified", rows_of, client, session.session_id)

    def test_attempts_of_which_the_commit_names_one(self):
        table = self.table("n bigint, s string")
        client = self.client(table)
        session = open_write(client)
        lost = write(client, session, 1, [batch([(666, "lost")])])
        won = write(client, session, 1, [batch(numbered(10, 20))], attempt=3)
        first = write(client, session, 0, [batch(numbered(0, 5)), batch(numbered(5, 10))])
        empty = write(client, session, 9, [batch([])])
        # HTTP libraries repeat a request without the body that they have sent already.
        self.refused("MalformedDataStream", write, client, session, 0, [])
        # The attempt is written again: its message stays.
        self.assertEqual(write(client, session, 1, [batch(numbered(10, 20))], attempt=3), won)
        self.assertEqual(self.rows(table), [])
        self.refused("InvalidArgument", commit, client, session, [first, lost, won])
        self.refused("InvalidArgument", commit, client, session, [first, "nonsense"])
        self.assertEqual(self.rows(table), [])
        for _ in range(3):
            commit(client, session, [won, first, empty])
            self.assertEqual(self.rows(table), numbered(0, 20))
        done = client.get_write_session(SessionRequest(session_id=session))
        self.assertEqual(done.session_status, SessionStatus.COMMITTED)
        self.refused("StatusConflict", write, client, session, 2, [batch([(1, "late")])])

    def test_every_compression_of_what_is_written(self):
        rows = numbered(0, 3000)
        for compression in Compression:
            with self.subTest(compression=compression):
                table = self.table("n bigint, s string")
                client = self.client(table)
                session = open_write(client)
                commit(client, session, [write(client, session, 0, [batch(rows)], compression=compression)])
                self.assertEqual(self.rows(table), rows)

    def test_overwriting_and_appending(self):
        client = self.days()
        self.load(client, [(1, "x")], partition_spec="pt='b'", overwrite=False)
        self.load(client, [(2, "y")], partition_spec="pt=c", overwrite=True)
        self.load(client, [(3, "z")], partition_spec="pt=d", overwrite=False)
        splits = self.read_all(client, split_options=split(MODES.PARALLELISM, 1, cross_partition=False))
        self.assertEqual(splits[0], [(*row, "a") for row in numbered(0, 100)])
        self.assertEqual(sorted(splits[1]), sorted((*row, "b") for row in [*numbered(100, 110), (1, "x")]))
        self.assertEqual(splits[2:], [[(2, "y", "c")], [(3, "z", "d")]])
        self.assertTrue(self.o.get_table(client.table.name).exist_partition("pt=d"))
        # A commit of nothing that overwrites leaves nothing, one that appends changes nothing.
        commit(client, open_write(client, partition_spec="pt=a", overwrite=True), [])
        commit(client, open_write(client, partition_spec="pt=b", overwrite=False), [])
        counts = self.query(f"SELECT pt, COUNT(*) FROM {client.table.name} WHERE pt <= 'b' GROUP BY pt")
        self.assertEqual(counts, [("b", 11)])

    def test_rows_that_name_their_partitions(self):
        client = self.client(self.table("n bigint, s string", "pt string, hh bigint"))
        response = client.create_write_session(TableBatchWriteRequest())
        self.assertEqual([c.name for c in response.data_schema.partition_columns], ["pt", "hh"])
        old = [(-1, "old", "a", 0), (-2, "old", "z", 9)]
        commit(client, response.session_id, [write(client, response.session_id, 0, [placed(old)])])
        rows = [(n, s, "abc"[n % 3], n % 2) for n, s in numbered(0, 600)]
        session = open_write(client)
        blocks = [
            write(client, session, i, [placed(rows[start : start + 50]), placed(rows[start + 50 : start + 300])])
            for i, start in enumerate((0, 300))
        ]
        write(client, session, 1, [placed([(666, "lost", "lost", 0)])], attempt=1)
        self.refused("MalformedDataStream", write, client, session, 2, [batch([(1, "x")])])
        self.refused("ODPS-0123031", write, client, session, 2, [placed([(1, "x", "", 0)])])
        self.refused("InvalidArgument", commit, client, session, [*blocks, f"{session}-7"])
        self.assertEqual(sorted(sum(self.read_all(client), [])), sorted(old))
        # Only what gets rows is overwritten.
        for _ in range(2):
            commit(client, session, blocks)
            self.assertEqual(sorted(sum(self.read_all(client), [])), sorted([*rows, old[1]]))
        specs = sorted(str(partition.partition_spec) for partition in client.table.partitions)
        self.assertEqual(specs, [f"pt='{pt}',hh='{hh}'" for pt in "abc" for hh in "01"] + ["pt='z',hh='9'"])
        more = [(1000 + n, None, "b", n) for n in range(5)]
        session = open_write(client, overwrite=False)
        commit(client, session, [write(client, session, 0, [placed(more)])])
        self.assertEqual(sorted(sum(self.read_all(client), [])), sorted([*rows, old[1], *more]))
        commit(client, open_write(client), [])
        self.assertEqual(sum(map(len, self.read_all(client))), 606)

    def test_rows_name_no_more_partitions_than_the_session_allows(self):
        client = self.client(self.table("n bigint, s string", "pt string, hh bigint"))
        options = DynamicPartitionOptions(dynamic_partition_limit=2)
        session = open_write(client, dynamic_partition_options=options)
        self.refused("ODPS-0123031", write, client, session, 0, [placed([(n, "x", "a", n) for n in range(3)])])
        two = write(client, session, 0, [placed([(n, "x", "a", n) for n in range(2)])])
        one = write(client, session, 1, [placed([(2, "x", "a", 2)])])
        self.refused("ODPS-0123031", commit, client, session, [two, one])
        self.assertEqual(self.read_all(client), [])
        commit(client, session, [two])
        self.assertEqual(self.read_all(client), [[(0, "x", "a", 0), (1, "x", "a", 1)]])

    def test_types(self):
        columns = (
            "a tinyint, b smallint, c int, d bigint, e float, f double, g boolean, h string, i binary, j date, "
            "k datetime, l timestamp, m decimal(38,18), n varchar(9), o array<bigint>, p map<string,int>, "
            "q struct<x:bigint,y:string>"
        )
        types = [
            pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_(), pa.string(),
            pa.binary(), pa.date32(), pa.timestamp("ms"), pa.timestamp("ns"), pa.decimal128(38, 18), pa.string(),
            pa.list_(pa.int64()), pa.map_(pa.string(), pa.int32()),
            pa.struct([("x", pa.int64()), ("y", pa.string())]),
        ]
        moment = datetime.datetime(2024, 2, 29, 12, 34, 56, 789000)
        values = [
            -128, -32768, 2**31 - 1, -(2**63) + 1, 0.5, -2.5, True, "文字", b"\xff\x00", datetime.date(1582, 10, 4),
            moment, moment, decimal.Decimal("12345678901234567890.123456789012345678"), "nine char", [1, None, 3],
            [("k", 1), ("l", None)], {"x": 1, "y": None},
        ]
        names = [chr(ord("a") + i) for i in range(len(types))]
        arrays = [pa.array([value, None], type) for value, type in zip(values, types)]
        rows = pa.RecordBatch.from_arrays(arrays, names=names)
        for compression in Compression:
            with self.subTest(compression=compression):
                client = self.client(self.table(columns))
                session = open_write(client)
                commit(client, session, [write(client, session, 0, [rows], compression=compression)])
                read = self.open_read(client)
                (found,) = batches_of(client, read.session_id, compression=compression)
                self.assertEqual(found.schema.types, types)
                self.assertEqual(found.to_pylist(), rows.to_pylist())
        filtered = self.read_all(client, filter_predicate="j < DATE '1900-01-01' AND m > 1 AND g")
        self.assertEqual([len(found) for found in filtered], [1])

    def test_what_is_wrong_changes_nothing(self):
        client = self.days()
        before = self.read_all(client)
        self.refused("InvalidPartitionSpec", open_write, client, partition_spec="day=1")
        self.refused("MethodNotAllowed", open_write, client, arrow_options=ArrowOptions(timestamp_unit="second"))
        self.refused("InvalidArgument", self.open_read, client, split_options=split(MODES.SIZE, 1))
        bucket = SplitOptions.get_default_options(MODES.BUCKET)
        self.refused("MethodNotAllowed", self.open_read, client, split_options=bucket)
        session = open_write(client, partition_spec="pt=a")
        numbers = pa.array([1, 2], pa.int64())
        for arrays, names in (
            ([numbers], ["n"]),
            ([numbers, numbers], ["n", "s"]),
            ([numbers, numbers.cast(pa.string())], ["n", "x"]),
            ([numbers, numbers.cast(pa.string()), numbers.cast(pa.string())], ["n", "s", "pt"]),
            ([numbers.cast(pa.int32()), numbers.cast(pa.string())], ["n", "s"]),
            ([numbers, numbers.cast(pa.string()).dictionary_encode()], ["n", "s"]),
        ):
            with self.subTest(names=names, types=[a.type for a in arrays]):
                wrong = pa.RecordBatch.from_arrays(arrays, names=names)
                self.refused("MalformedDataStream", write, client, session, 0, [wrong])
        request = WriteRowsRequest(session_id=session, data_format=DataFormat(type="arrow", version="v6"))
        with self.assertRaises(errors.MethodNotAllowed):
            writer = client.write_rows_arrow(request)
            writer.write(batch([(1, "x")]))
            writer.finish()
        self.refused("InvalidArgument", write, client, session, 20_000, [batch([(1, "x")])])
        self.refused("NoSuchUpload", write, client, "nothing", 0, [batch([(1, "x")])])
        self.refused("NoSuchUpload", commit, client, "nothing", [])
        self.refused("NoSuchDownload", rows_of, client, session)
        read = self.open_read(client).session_id
        self.refused("NoSuchUpload", commit, client, read, [])
        self.refused("InvalidArgument", rows_of, client, read, split_index=1)
        self.refused("InvalidArgument", rows_of, client, read, row_index=1, row_count=1)
        self.assertEqual(self.read_all(client), before)

    def test_a_table_in_a_schema(self):
        schema = harness.unique("s")
        self.o.create_schema(schema)
        self.addCleanup(self.o.delete_schema, schema)
        table = self.o.create_table("t", "n bigint, s string", schema=schema)
        self.addCleanup(table.drop)
        client = self.client(table)
        self.load(client, numbered(0, 10))
        self.assertEqual(self.read_all(client), [numbered(0, 10)])


class Killed(unittest.TestCase):
    """The server ends at each step between a block and its commit; it is started again and asked again."""

    STEPS = (
        "session.before_row",
        "session.after_row",
        "block.before_file",
        "block.before_row",
        "block.after_row",
        "upload.closing",
        "upload.joined",
        "commit.before_record",
        "commit.after_record",
        "commit.before_log",
        "commit.after_log",
        "commit.after_settle",
    )

    def again(self, server, step):
        """Repeats a step until it is answered; the server dies at most once."""
        try:
            return step()
        except LOST:
            self.assertEqual(server.process.wait(harness.DEADLINE_S), -9)
            server.variables = {}
            server.start()
            return step()

    def load(self, point, partitions, batch_of):
        """The rows of a table whose load the server survives once, dying at `point`."""
        server = harness.Server(meta=harness.new_database())
        self.addCleanup(server.close)
        server.start()
        entry = server.entry()
        columns = "n bigint, s string"
        table = entry.create_table("t", (columns, partitions) if partitions else columns)
        server.stop()
        server.variables = {"FEITIAN_FAILPOINTS": point}
        server.start()
        client = StorageApiArrowClient(entry, table)
        client.tunnel_rest  # finds the endpoint
        session = self.again(server, lambda: open_write(client))
        blocks = [
            self.again(server, lambda: write(client, session, block, [batch_of(start, start + 100)]))
            for block, start in enumerate((0, 100))
        ]
        write(client, session, 1, [batch_of(666, 667)], attempt=1)
        self.again(server, lambda: commit(client, session, blocks))
        self.assertEqual(server.variables, {}, "the step was never passed")
        commit(client, session, blocks)
        read = client.create_read_session(TableBatchScanRequest())
        self.assertEqual(read.split_count, 1)
        return rows_of(client, read.session_id)

    def test_rows_come_once_wherever_the_server_dies(self):
        for point in self.STEPS:
            with self.subTest(point=point):
                rows = self.load(point, None, lambda start, stop: batch(numbered(start, stop)))
                self.assertEqual(rows, numbered(0, 200))

    def test_rows_that_name_their_partitions_come_once_wherever_the_server_dies(self):
        def where(start, stop):
            return [(n, s, "ab"[n % 2], n % 3) for n, s in numbered(start, stop)]

        for point in self.STEPS:
            with self.subTest(point=point):
                rows = self.load(point, "pt string, hh bigint", lambda start, stop: placed(where(start, stop)))
                self.assertEqual(sorted(rows), sorted(where(0, 200)))


if __name__ == "__main__":
    unittest.main()
