"""The table tunnel: sessions, blocks, compression, ranges, overwriting, streams and previews.

Expected values are the rows written, or follow by arithmetic from their numbers.
"""

import itertools
import unittest

import pyarrow as pa
from odps import errors, options
from odps.errors import NoSuchObject, NoSuchPartition
from odps.tunnel import CompressOption, TableTunnel
from odps.tunnel.errors import TunnelError

from harness import ClientCase

ALGORITHMS = CompressOption.CompressAlgorithm
COMPRESSIONS = {
    "none": None,
    "zlib": ALGORITHMS.ODPS_ZLIB,
    "zstd": ALGORITHMS.ODPS_ZSTD,
    "lz4": ALGORITHMS.ODPS_LZ4,
    "snappy": ALGORITHMS.ODPS_SNAPPY,
}


def numbered(start, stop):
    return [(n, f"row {n}" if n % 7 else None) for n in range(start, stop)]


def as_arrow(rows):
    return pa.table({"n": pa.array([r[0] for r in rows], pa.int64()), "s": pa.array([r[1] for r in rows], pa.string())})


class Tunnel(ClientCase):
    def setUp(self):
        super().setUp()
        self.tunnel = TableTunnel(self.o)

    def numbers(self, partitions=None):
        return self.table("n bigint, s string", partitions)

    def write_block(self, session, block, rows, arrow=False, compress=False):
        if arrow:
            with session.open_arrow_writer(block, compress=compress) as writer:
                writer.write(as_arrow(rows))
        else:
            with session.open_record_writer(block, compress=compress) as writer:
                for row in rows:
                    writer.write(session.new_record(list(row)))

    def download(self, session, start, count, arrow=False, compress=False, columns=None):
        if arrow:
            with session.open_arrow_reader(start, count, compress=compress, columns=columns) as reader:
                return [tuple(row.values()) for row in reader.read().to_pylist()]
        with session.open_record_reader(start, count, compress=compress, columns=columns) as reader:
            return [tuple(record.values) for record in reader]

    def test_every_compression_in_both_protocols_and_directions(self):
        rows = numbered(0, 5_000)
        for (name, algorithm), arrow in itertools.product(COMPRESSIONS.items(), (False, True)):
            with self.subTest(compression=name, arrow=arrow):
                option = None if algorithm is None else CompressOption(algorithm)
                table = self.numbers()
                up = self.tunnel.create_upload_session(table, compress_option=option)
                self.write_block(up, 0, rows, arrow=arrow, compress=option is not None)
                up.commit([0])
                # The Arrow writer renames LZ4 in the option that it was given, so the reader gets its own.
                option = None if algorithm is None else CompressOption(algorithm)
                down = self.tunnel.create_download_session(table, compress_option=option)
                self.assertEqual(down.count, len(rows))
                got = self.download(down, 0, down.count, arrow=arrow, compress=option is not None)
                self.assertEqual(got, rows)

    def test_blocks_come_back_in_the_order_of_their_numbers(self):
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        for block, arrow in ((7, False), (2, True), (100_000, False), (3, True)):
            self.write_block(session, block, numbered(block, block + 3), arrow=arrow)
        self.assertEqual(sorted(session.get_block_list()), [2, 3, 7, 100_000])
        session.commit([2, 3, 7, 100_000])
        expected = numbered(2, 5) + numbered(3, 6) + numbered(7, 10) + numbered(100_000, 100_003)
        self.assertEqual(self.rows(table), expected)

    def test_nothing_is_visible_before_commit(self):
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        self.write_block(session, 0, numbered(0, 10))
        self.assertEqual(self.rows(table), [])
        session.commit([0])
        self.assertEqual(self.rows(table), numbered(0, 10))

    def test_a_block_written_again_replaces_itself(self):
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        self.write_block(session, 1, numbered(0, 50))
        self.write_block(session, 1, numbered(100, 103))
        self.assertEqual(session.get_block_list(), [1])
        session.commit([1])
        self.assertEqual(self.rows(table), numbered(100, 103))

    def test_a_second_commit_answers_as_the_first_and_adds_nothing(self):
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        self.write_block(session, 0, numbered(0, 10))
        session.commit([0])
        session._complete_upload()
        self.assertEqual(session.status, session.Status.Closed)
        self.assertEqual(self.rows(table), numbered(0, 10))

    def test_a_commit_without_blocks_adds_nothing(self):
        table = self.numbers()
        self.tunnel.create_upload_session(table).commit([])
        self.assertEqual(self.rows(table), [])

    def test_an_empty_block_is_a_block(self):
        for arrow in (False, True):
            with self.subTest(arrow=arrow):
                table = self.numbers()
                session = self.tunnel.create_upload_session(table)
                self.write_block(session, 0, [], arrow=arrow)
                session.commit([0])
                down = self.tunnel.create_download_session(table)
                self.assertEqual(down.count, 0)
                self.assertEqual(self.download(down, 0, 1, arrow=arrow), [])

    def test_a_session_is_resumed_by_its_id(self):
        table = self.numbers()
        first = self.tunnel.create_upload_session(table)
        self.write_block(first, 0, numbered(0, 10))
        second = TableTunnel(self.server.entry()).create_upload_session(table.name, upload_id=first.id)
        self.assertEqual(second.id, first.id)
        self.assertEqual(second.get_block_list(), [0])
        self.write_block(second, 1, numbered(10, 20))
        second.commit([0, 1])
        self.assertEqual(self.rows(table), numbered(0, 20))

    def test_two_sessions_of_a_table_both_arrive(self):
        table = self.numbers()
        sessions = [self.tunnel.create_upload_session(table) for _ in range(2)]
        for number, session in enumerate(sessions):
            self.write_block(session, 0, numbered(number * 10, number * 10 + 10))
        for session in reversed(sessions):
            session.commit([0])
        self.assertEqual(sorted(self.rows(table)), sorted(numbered(0, 20)))

    def test_an_unknown_session_is_an_error_that_names_it(self):
        table = self.numbers()
        with self.assertRaises(errors.ODPSError) as caught:
            self.tunnel.create_upload_session(table, upload_id="2024010100000000000000000nosuch")
        self.assertIn("nosuch", str(caught.exception))
        with self.assertRaises(errors.ODPSError):
            self.tunnel.create_download_session(table, download_id="2024010100000000000000000nosuch")

    def test_a_session_of_another_table_is_refused(self):
        mine, other = self.numbers(), self.numbers()
        session = self.tunnel.create_upload_session(mine)
        with self.assertRaises(errors.ODPSError):
            self.tunnel.create_upload_session(other, upload_id=session.id)

    def test_ranges_cut_rows_exactly(self):
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        for block in range(3):
            self.write_block(session, block, numbered(block * 100, block * 100 + 100))
        session.commit([0, 1, 2])
        rows = numbered(0, 300)
        down = self.tunnel.create_download_session(table)
        ranges = [(0, 300), (0, 1), (99, 2), (100, 100), (150, 120), (299, 1), (290, 1_000), (300, 10), (5, 0)]
        for (start, count), arrow in itertools.product(ranges, (False, True)):
            if arrow and count == 0:
                continue  # PyODPS opens no stream for that and then reads from it
            with self.subTest(start=start, count=count, arrow=arrow):
                self.assertEqual(self.download(down, start, count, arrow=arrow), rows[start : start + count])

    def test_columns_are_selected(self):
        table = self.table("a bigint, b string, c double")
        self.o.write_table(table, [[1, "x", 0.5], [2, None, None]])
        down = self.tunnel.create_download_session(table)
        # Records follow the request, Arrow the table (odps/tunnel/io/reader.py orders Arrow columns itself).
        self.assertEqual(self.download(down, 0, 2, columns=["c", "a"]), [(0.5, 1), (None, 2)])
        self.assertEqual(self.download(down, 0, 2, columns=["b"]), [("x",), (None,)])
        self.assertEqual(self.download(down, 0, 2, columns=["c", "a"], arrow=True), [(0.5, 1), (None, 2)])

    def test_a_download_keeps_its_snapshot(self):
        table = self.numbers()
        self.o.write_table(table, numbered(0, 10))
        down = self.tunnel.create_download_session(table)
        self.o.write_table(table, numbered(10, 20))
        self.o.execute_sql(f"INSERT OVERWRITE TABLE {table.name} SELECT n, s FROM {table.name} WHERE n < 3")
        self.assertEqual(down.count, 10)
        self.assertEqual(self.download(down, 0, 10), numbered(0, 10))
        again = self.tunnel.create_download_session(table.name, download_id=down.id)
        self.assertEqual(self.download(again, 5, 5, arrow=True), numbered(5, 10))
        self.assertEqual(self.rows(table), numbered(0, 3))

    def test_overwrite_replaces_the_table(self):
        table = self.numbers()
        self.o.write_table(table, numbered(0, 10))
        self.o.write_table(table, numbered(20, 25), overwrite=True)
        self.assertEqual(self.rows(table), numbered(20, 25))

    def test_overwrite_replaces_one_partition(self):
        table = self.numbers("pt string")
        for part in ("a", "b"):
            self.o.write_table(table, numbered(0, 10), partition=f"pt={part}", create_partition=True)
        self.o.write_table(table, numbered(20, 22), partition="pt=a", overwrite=True)
        self.assertEqual(self.rows(table, partition="pt=a"), [(n, s, "a") for n, s in numbered(20, 22)])
        self.assertEqual(self.rows(table, partition="pt=b"), [(n, s, "b") for n, s in numbered(0, 10)])

    def test_a_missing_partition_is_refused_unless_it_may_be_created(self):
        table = self.numbers("pt string, hh bigint")
        with self.assertRaises(NoSuchPartition):
            self.tunnel.create_upload_session(table, partition_spec="pt=x,hh=1")
        session = self.tunnel.create_upload_session(table, partition_spec="pt=x,hh=1", create_partition=True)
        self.write_block(session, 0, numbered(0, 3))
        session.commit([0])
        self.assertEqual([str(p.partition_spec) for p in table.partitions], ["pt='x',hh='1'"])
        self.assertEqual(table.get_partition("pt=x,hh=1").record_num, 3)

    def test_a_partitioned_table_wants_a_whole_partition(self):
        table = self.numbers("pt string, hh string")
        for spec in (None, "pt=x"):
            with self.subTest(spec=spec), self.assertRaises(errors.ODPSError) as caught:
                self.tunnel.create_upload_session(table, partition_spec=spec)
            self.assertIn("partition", str(caught.exception).lower())

    def test_a_missing_table_is_refused(self):
        for create in (self.tunnel.create_upload_session, self.tunnel.create_download_session):
            with self.assertRaises(NoSuchObject):
                create("surely_no_such_table")

    def test_a_dropped_table_refuses_the_commit(self):
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        self.write_block(session, 0, numbered(0, 10))
        self.o.delete_table(table.name)
        again = self.o.create_table(table.name, "n bigint, s string")
        with self.assertRaises(errors.ODPSError):
            session._complete_upload()
        self.assertEqual(self.rows(again), [])

    def test_a_wrong_checksum_leaves_no_block(self):
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        # One record ("a", 1) whose checksum is off by one, then a well-formed footer.
        wrong = bytes.fromhex("0801120161" "80c0ff7f" "01" "f0ffff7f02" "f8ffff7f00")
        url = session._table.table_resource()
        headers = session.get_common_headers(chunked=True)
        with self.assertRaises(errors.ODPSError):
            answer = session._client.put(
                url, data=iter([wrong]), params={"uploadid": session.id, "blockid": 0}, headers=headers
            )
            session.check_tunnel_response(answer)
        self.assertEqual(session.get_block_list(), [])

    def test_a_body_that_ends_early_leaves_no_block(self):
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        url = session._table.table_resource()
        headers = session.get_common_headers(chunked=True)
        for arrow, body in ((False, b""), (False, bytes.fromhex("0801")), (True, b""), (True, b"\x00\x01\x00\x00")):
            params = {"uploadid": session.id, "blockid": 0, **({"arrow": ""} if arrow else {})}
            with self.subTest(arrow=arrow, body=body), self.assertRaises(errors.ODPSError):
                answer = session._client.put(url, data=iter([body]), params=params, headers=headers)
                session.check_tunnel_response(answer)
            self.assertEqual(session.get_block_list(), [])

    def test_buffered_writers_cut_blocks_by_themselves(self):
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        with session.open_record_writer(buffer_size=4_096) as writer:
            for row in numbered(0, 2_000):
                writer.write(session.new_record(list(row)))
        blocks = writer.get_blocks_written()
        self.assertGreater(len(blocks), 3)
        session.commit(blocks)
        self.assertEqual(self.rows(table), numbered(0, 2_000))

    def test_stream_upload_is_visible_at_once(self):
        table = self.numbers()
        session = self.tunnel.create_stream_upload_session(table)
        with session.open_record_writer() as writer:
            for row in numbered(0, 10):
                writer.write(session.new_record(list(row)))
        self.assertEqual(self.rows(table), numbered(0, 10))
        with session.open_record_writer(compress=True) as writer:
            for row in numbered(10, 20):
                writer.write(session.new_record(list(row)))
        self.assertEqual(sorted(self.rows(table)), sorted(numbered(0, 20)))
        session.abort()

    def test_stream_upload_into_a_partition(self):
        table = self.numbers("pt string")
        session = self.tunnel.create_stream_upload_session(table, partition_spec="pt=x", create_partition=True)
        with session.open_record_writer() as writer:
            writer.write(session.new_record([1, "one"]))
        self.assertEqual(self.rows(table, partition="pt=x"), [(1, "one", "x")])

    def test_preview_shows_the_first_rows_with_partition_columns(self):
        table = self.numbers("pt string")
        self.o.write_table(table, numbered(0, 50), partition="pt=x", create_partition=True)
        with self.tunnel.open_preview_reader(table, partition_spec="pt=x", limit=5) as reader:
            rows = [tuple(row.values()) for row in reader.read().to_pylist()]
        self.assertEqual(rows, [(n, s, "x") for n, s in numbered(0, 5)])

    def test_head_shows_the_first_rows(self):
        table = self.numbers()
        self.o.write_table(table, numbered(0, 50))
        for legacy in (True, False):
            with self.subTest(legacy=legacy):
                rows = [tuple(record.values) for record in table.head(3, use_legacy=legacy)]
                self.assertEqual(rows, numbered(0, 3))

    def test_metrics_add_up(self):
        # odps/tunnel/tests/test_tabletunnel.py asks of the server's numbers: the total covers its parts.
        self.addCleanup(setattr, options.tunnel, "enable_client_metrics", False)
        options.tunnel.enable_client_metrics = True
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        with session.open_record_writer(0) as writer:
            writer.write(session.new_record([1, "x"]))
        session.commit([0])
        metrics = writer.metrics
        self.assertIsNotNone(metrics)
        self.assertGreater(metrics.server_total_cost, metrics.server_io_cost + metrics.storage_cost)

    def test_a_hundred_thousand_rows_in_one_block(self):
        rows = numbered(0, 100_000)
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        self.write_block(session, 0, rows)
        session.commit([0])
        self.assertEqual(self.rows(table), rows)

    def test_blocks_that_the_client_does_not_know_stop_its_commit(self):
        table = self.numbers()
        session = self.tunnel.create_upload_session(table)
        self.write_block(session, 0, numbered(0, 3))
        self.write_block(session, 1, numbered(3, 6))
        with self.assertRaises(TunnelError):
            session.commit([0])
        self.assertEqual(self.rows(table), [])


if __name__ == "__main__":
    unittest.main()
