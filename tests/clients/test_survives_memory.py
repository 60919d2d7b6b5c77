"""Little memory: queries use the disk and are right, fail clearly where it does not do, and leave nothing there.

Expected values: MD5 is that of Python, the rest is arithmetic.
"""

import hashlib
import os
import signal
import unittest

import harness

# Rows of a small table, which squared are the rows of the large one.
SIDE = 900
ROWS = SIDE * SIDE
# Copies of an MD5 in one text: 128 bytes, so that all texts together are 104 MB, half as much again as the memory.
COPIES = 4
MEMORY = {"FEITIAN_QUERY__MEMORY": "64MiB"}
EVERY = 50_000
# All texts must be brought into order before the first row can be numbered.
NUMBERED = "SELECT n, s, ROW_NUMBER() OVER (ORDER BY s) AS place FROM {0}"


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(meta=harness.new_database(), variables=MEMORY)
        cls.addClassCleanup(cls.server.close)
        o = cls.server.start().entry()
        small, cls.table = harness.unique("t"), harness.unique("t")
        o.create_table(small, "n bigint")
        o.write_table(small, [[n] for n in range(SIDE)])
        o.execute_sql(
            f"CREATE TABLE {cls.table} AS SELECT n, REPEAT(MD5(CAST(n AS STRING)), {COPIES}) AS s "
            f"FROM (SELECT a.n * {SIDE} + b.n AS n FROM {small} a JOIN {small} b ON a.n >= 0 AND b.n >= 0) p",
            hints={"odps.sql.allow.cartesian": "true"},
        )
        ordered = sorted((hashlib.md5(str(n).encode()).hexdigest(), n) for n in range(ROWS))
        cls.wanted = [(place, n) for place, (_, n) in enumerate(ordered, 1) if place % EVERY == 0]

    def serve(self, **variables):
        """The server anew, with these settings besides its memory."""
        self.server.stop()
        self.server.variables = {**MEMORY, **variables}
        return self.server.start().entry()

    def spilled_files(self):
        """Files below DATA/tmp; a process keeps a directory of its own there, which is empty when nothing runs."""
        found = []
        for folder, _, names in os.walk(os.path.join(self.server.data, "tmp")):
            found += [os.path.join(folder, name) for name in names]
        return found

    def places(self):
        inner = NUMBERED.format(self.table)
        long = 32 * COPIES
        return f"SELECT place, n FROM ({inner}) x WHERE place % {EVERY} = 0 AND LENGTH(s) = {long} ORDER BY place"

    def rows(self, job):
        with job.open_reader(tunnel=True) as reader:
            return [tuple(record.values) for record in reader]

    def spilled_bytes(self, o, job):
        sql = f"SELECT SUM(spilled_bytes) FROM sys.tasks WHERE instance_id = '{job.id}'"
        ((count,),) = self.rows(o.execute_sql(sql))
        return count

    def test_what_does_not_fit_into_memory_is_sorted_on_disk(self):
        o = self.serve()
        job = o.execute_sql(self.places())
        self.assertEqual(self.rows(job), self.wanted)
        self.assertGreater(self.spilled_bytes(o, job), 0)
        self.assertEqual(self.spilled_files(), [])
        # A query that needs no order needs no disk either.
        job = o.execute_sql(f"SELECT COUNT(*), SUM(LENGTH(s)) FROM {self.table}")
        self.assertEqual(self.rows(job), [(ROWS, ROWS * 32 * COPIES)])
        self.assertEqual(self.spilled_bytes(o, job), 0)

    def test_too_little_disk_is_said_and_the_next_query_runs(self):
        o = self.serve(FEITIAN_QUERY__SPILL="1MiB")
        job = o.run_sql(self.places())
        job.wait_for_completion()
        self.assertFalse(job.is_successful())
        (text,) = job.get_task_results().values()
        self.assertRegex(str(text), r"^FAILED: ODPS-0123144")
        self.assertEqual(self.spilled_files(), [])
        job = o.execute_sql(f"SELECT COUNT(*), SUM(n) FROM {self.table}")
        self.assertEqual(self.rows(job), [(ROWS, ROWS * (ROWS - 1) // 2)])

    def test_what_a_killed_process_left_on_disk_is_gone_at_the_next_start(self):
        o = self.serve()
        job = o.run_sql(self.places())
        process = self.server.process

        def caught():
            """The process stopped in a moment in which it has files; where it had none any more it goes on."""
            if not self.spilled_files():
                return False
            process.send_signal(signal.SIGSTOP)
            if self.spilled_files():
                return True
            process.send_signal(signal.SIGCONT)
            return False

        harness.wait_for("a file of the query", caught)
        self.server.kill()
        left = self.spilled_files()
        self.assertTrue(left, "nothing was left that could be removed")
        o = self.server.start().entry()
        self.assertEqual([path for path in left if os.path.exists(path)], [])
        # The job runs again, as after every end of a process, and cleans up behind itself.
        again = o.get_instance(job.id)
        again.wait_for_success()
        self.assertEqual(self.rows(again), self.wanted)
        self.assertEqual(self.spilled_files(), [])


if __name__ == "__main__":
    unittest.main()
