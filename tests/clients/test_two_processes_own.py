"""Two feitian processes on one directory and one PostgreSQL: what begins at one is finished at the other.

Expected values are the rows written.
"""

import signal
import unittest
import uuid
from concurrent.futures import ThreadPoolExecutor

from odps.tunnel import TableTunnel

import harness

# Rows of a table that is joined with itself: 144 million pairs, seconds of work, so that a process starts meanwhile.
PAIRED = 12_000


class TwoProcesses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.first, cls.second = harness.two_processes(cls.addClassCleanup)

    def setUp(self):
        self.a = self.first.entry()
        self.b = self.second.entry()

    def write(self, session, block, rows):
        with session.open_record_writer(block) as writer:
            for row in rows:
                writer.write(session.new_record(list(row)))

    def rows(self, entry, name, **kwargs):
        return [tuple(r.values) for r in entry.read_table(name, reopen=True, **kwargs)]

    def on_b(self, session, name):
        """The same upload session, at the other process."""
        return TableTunnel(self.b).create_upload_session(name, upload_id=session.id)

    def test_a_session_opened_on_one_is_finished_on_the_other(self):
        name = harness.unique("t")
        self.a.create_table(name, "n bigint")
        session = TableTunnel(self.a).create_upload_session(name)
        self.write(session, 0, [(1,), (2,)])
        other = self.on_b(session, name)
        self.assertEqual(other.get_block_list(), [0])
        self.write(other, 1, [(3,)])
        other.commit([0, 1])
        for entry in (self.a, self.b):
            self.assertEqual(self.rows(entry, name), [(1,), (2,), (3,)])
        session._complete_upload()
        self.assertEqual(self.rows(self.a, name), [(1,), (2,), (3,)])

    def test_tables_made_on_one_are_seen_by_the_other_at_once(self):
        name = harness.unique("t")
        self.assertFalse(self.b.exist_table(name))
        self.a.create_table(name, ("n bigint", "pt string"))
        self.assertTrue(self.b.exist_table(name))
        for n in range(10):
            here, there = (self.a, self.b) if n % 2 else (self.b, self.a)
            here.write_table(name, [[n]], partition=f"pt=p{n}", create_partition=True)
            self.assertEqual(self.rows(there, name, partition=f"pt=p{n}"), [(n, f"p{n}")])
        self.assertEqual(len(list(self.b.get_table(name).partitions)), 10)
        self.b.delete_table(name)
        self.assertFalse(self.a.exist_table(name))

    def test_a_job_submitted_to_one_is_read_from_the_other(self):
        job = self.a.run_sql("SELECT 6 * 7 AS n")
        seen = self.b.get_instance(job.id)
        seen.wait_for_success()
        with seen.open_reader(tunnel=True) as reader:
            self.assertEqual([r[0] for r in reader], [42])

    def test_one_guid_is_one_job_at_both(self):
        name = harness.unique("t")
        self.a.create_table(name, "n bigint")
        guid = str(uuid.uuid4())
        sql = f"INSERT INTO TABLE {name} VALUES (1)"
        jobs = [entry.run_sql(sql, unique_identifier_id=guid) for entry in (self.a, self.b, self.a)]
        self.assertEqual(len({job.id for job in jobs}), 1)
        jobs[0].wait_for_success()
        self.assertEqual(self.rows(self.b, name), [(1,)])

    def test_inserts_from_both_sides_are_all_there(self):
        name = harness.unique("t")
        self.a.create_table(name, "n bigint")
        jobs = []
        for n in range(20):
            entry = self.a if n % 2 else self.b
            jobs.append(entry.run_sql(f"INSERT INTO TABLE {name} VALUES ({n})"))
        for job in jobs:
            job.wait_for_success()
        self.assertEqual(sorted(self.rows(self.a, name)), [(n,) for n in range(20)])

    def collect(self, server):
        """Removes at once what nobody needs any more, the beginning of logs included."""
        # The path of the admin API is not below that of the REST endpoint, and PyODPS signs what comes after its endpoint.
        root = server.endpoint.removesuffix("/api")
        headers = {"Content-Type": "application/json"}
        server.entry(endpoint=root).rest.post(f"{root}/admin/v1/collect", data='{"older_than_seconds": 0}', headers=headers)

    def test_small_writes_from_both_sides_are_joined_while_both_clean_up_and_all_are_there(self):
        name = harness.unique("t")
        self.a.create_table(name, "n bigint")
        puts = 60

        def put(entry, first):
            session = TableTunnel(entry).create_stream_upload_session(name)
            for n in range(first, first + puts):
                writer = session.open_record_writer()
                writer.write(session.new_record([n]))
                writer.close()

        sides = [self.first.entry(), self.second.entry(), self.first.entry(), self.second.entry()]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, sides, range(0, 4 * puts, puts)))
            # 241 versions: files have been joined and a checkpoint was written. Both remove the same files now.
            list(pool.map(self.collect, [self.first, self.second]))
            list(pool.map(put, [self.b, self.a], [1000, 2000]))
            list(pool.map(self.collect, [self.second, self.first]))
        wanted = sorted([*range(4 * puts), *range(1000, 1000 + puts), *range(2000, 2000 + puts)])
        for entry in (self.a, self.b):
            with entry.execute_sql(f"SELECT COUNT(*), SUM(n) FROM {name}").open_reader() as reader:
                self.assertEqual([[int(v) for v in r.values] for r in reader], [[len(wanted), sum(wanted)]])
            self.assertEqual(sorted(n for (n,) in self.rows(entry, name)), wanted)

    def test_one_takes_over_when_the_other_is_killed(self):
        name = harness.unique("t")
        self.a.create_table(name, "n bigint")
        dying = harness.Server(data=self.first.data, meta=self.first.meta).start()
        self.addCleanup(dying.close)
        session = TableTunnel(dying.entry()).create_upload_session(name)
        self.write(session, 0, [(1,), (2,)])
        dying.kill()
        other = self.on_b(session, name)
        other.commit([0])
        self.assertEqual(self.rows(self.b, name), [(1,), (2,)])

    def test_a_job_on_a_killed_process_is_run_by_the_other_and_counts_once(self):
        database = harness.new_database()
        dying = harness.Server(meta=database).start()
        self.addCleanup(dying.close)
        entry = dying.entry()
        name, target = harness.unique("t"), harness.unique("t")
        entry.create_table(name, "n bigint")
        entry.write_table(name, [[n] for n in range(PAIRED)])
        entry.create_table(target, "n bigint, c bigint")
        # No other process is there yet, so that it can only be this one that runs the job.
        job = entry.run_sql(
            f"INSERT INTO TABLE {target} SELECT a.n % 10, COUNT(*) FROM {name} a JOIN {name} b ON a.n <> b.n "
            "GROUP BY a.n % 10",
            hints={"odps.sql.allow.cartesian": "true"},
        )
        (task,) = job.get_task_names()
        harness.wait_for("the job's start", lambda: job.get_task_statuses()[task].status.value == "RUNNING")
        other = harness.Server(data=dying.data, meta=database).start()
        self.addCleanup(other.close)
        # It can do nothing from here on, not even end: what is seen after this was so when it was killed.
        dying.process.send_signal(signal.SIGSTOP)
        seen = other.entry().get_instance(job.id)
        self.assertFalse(seen.is_terminated(), "the job was too short")
        dying.kill()
        seen.wait_for_success()
        # Each n meets all others but itself.
        wanted = [(n, PAIRED // 10 * (PAIRED - 1)) for n in range(10)]
        self.assertEqual(sorted(self.rows(other.entry(), target)), wanted)
        known = f"SELECT status FROM sys.instances WHERE instance_id = '{job.id}'"
        with other.entry().execute_sql(known).open_reader(tunnel=True) as reader:
            self.assertEqual([r[0] for r in reader], ["Success"])


if __name__ == "__main__":
    unittest.main()
