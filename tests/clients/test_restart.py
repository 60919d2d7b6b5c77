"""What a server has acknowledged is there after it is stopped or killed and started again.

Each test has a server of its own. Expected values are the rows written before.
"""

import unittest

from odps.tunnel import TableTunnel

import harness


class Restart(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server(meta=harness.new_database())
        self.addCleanup(self.server.close)
        self.server.start()
        self.o = self.server.entry()

    def stops(self):
        """Both ways in which a server ends, each followed by a start."""
        for way in (self.server.stop, self.server.kill):
            yield way.__name__, lambda: (way(), self.server.start())

    def write(self, session, block, rows):
        with session.open_record_writer(block) as writer:
            for row in rows:
                writer.write(session.new_record(list(row)))

    def rows(self, name):
        return [tuple(r.values) for r in self.server.entry().read_table(name, reopen=True)]

    def test_an_upload_session_goes_on(self):
        for way, restart in self.stops():
            with self.subTest(way=way):
                name = harness.unique("t")
                self.o.create_table(name, "n bigint")
                session = TableTunnel(self.o).create_upload_session(name)
                self.write(session, 0, [(1,), (2,)])
                restart()
                again = TableTunnel(self.server.entry()).create_upload_session(name, upload_id=session.id)
                self.assertEqual(again.get_block_list(), [0])
                self.write(again, 1, [(3,)])
                again.commit([0, 1])
                self.assertEqual(self.rows(name), [(1,), (2,), (3,)])

    def test_a_commit_is_remembered(self):
        name = harness.unique("t")
        self.o.create_table(name, "n bigint")
        session = TableTunnel(self.o).create_upload_session(name)
        self.write(session, 0, [(1,)])
        session.commit([0])
        for way, restart in self.stops():
            with self.subTest(way=way):
                restart()
                session._complete_upload()
                self.assertEqual(self.rows(name), [(1,)])

    def test_a_download_session_keeps_its_snapshot(self):
        name = harness.unique("t")
        self.o.create_table(name, "n bigint")
        self.o.write_table(name, [[n] for n in range(10)])
        session = TableTunnel(self.o).create_download_session(name)
        self.o.execute_sql(f"INSERT OVERWRITE TABLE {name} SELECT 99")
        for way, restart in self.stops():
            with self.subTest(way=way):
                restart()
                again = TableTunnel(self.server.entry()).create_download_session(name, download_id=session.id)
                with again.open_record_reader(0, again.count) as reader:
                    self.assertEqual([r[0] for r in reader], list(range(10)))

    def test_tables_jobs_and_results_are_kept(self):
        name = harness.unique("t")
        self.o.create_table(name, ("n bigint", "pt string"), comment="kept")
        self.o.write_table(name, [[1], [2]], partition="pt=x", create_partition=True)
        job = self.o.execute_sql(f"SELECT SUM(n) AS s FROM {name} WHERE pt = 'x'")
        for way, restart in self.stops():
            with self.subTest(way=way):
                restart()
                entry = self.server.entry()
                self.assertEqual(entry.get_table(name).comment, "kept")
                self.assertEqual([str(p.partition_spec) for p in entry.get_table(name).partitions], ["pt='x'"])
                with entry.get_instance(job.id).open_reader(tunnel=True) as reader:
                    self.assertEqual([r[0] for r in reader], [3])

    def test_a_running_job_runs_again_after_a_stop(self):
        name = harness.unique("t")
        self.o.create_table(name, "n bigint")
        self.o.write_table(name, [[n] for n in range(3_000)])
        target = harness.unique("t")
        self.o.create_table(target, "c bigint")
        # Nine million pairs: long enough that the stop finds it running, short enough to wait for.
        job = self.o.run_sql(
            f"INSERT INTO TABLE {target} SELECT COUNT(*) FROM {name} a JOIN {name} b ON a.n <> b.n",
            hints={"odps.sql.allow.cartesian": "true"},
        )
        self.server.stop()
        self.server.start()
        entry = self.server.entry()
        entry.get_instance(job.id).wait_for_success()
        self.assertEqual(self.rows(target), [(3_000 * 3_000 - 3_000,)])

    def test_a_second_server_on_the_directory_is_refused(self):
        if self.server.meta:
            # Processes that share a database may share its directory; that is another test.
            return
        second = harness.Server(data=self.server.data)
        with self.assertRaises(AssertionError) as caught:
            second.start()
        self.assertIn("feitian ended with", str(caught.exception))
        self.o.get_project().reload()


if __name__ == "__main__":
    unittest.main()
