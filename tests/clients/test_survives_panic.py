"""A panic inside a running job fails that job alone: the jobs beside it and after it, and the server, go on.

The panic is armed with the server's own fail points (crates/base/src/failpoint.rs).
"""

import unittest

from odps import errors

import harness

ROWS = 50_000


class Panic(unittest.TestCase):
    def start(self, fail_points):
        """A server of its own; all jobs, DDL too, pass `job.operator` in the order of their starts."""
        server = harness.Server(meta=harness.new_database(), variables={"FEITIAN_FAILPOINTS": fail_points})
        self.addCleanup(server.close)
        server.start()
        return server, server.entry()

    def failed(self, job):
        """Waits for the failure of the job and returns its text."""
        harness.wait_for("the job's end", lambda: job.is_terminated(retry=False))
        self.assertFalse(job.is_successful())
        (text,) = job.get_task_results().values()
        return str(text)

    def test_the_job_fails_and_all_others_go_on(self):
        # Jobs 1 and 2 make the tables; job 3 runs when job 4 panics.
        server, o = self.start("job.operator:4:panic")
        source, target = harness.unique("t"), harness.unique("t")
        o.create_table(source, "n bigint")
        o.create_table(target, "n bigint")
        o.write_table(source, [[n] for n in range(ROWS)])
        beside = o.run_sql(
            f"SELECT COUNT(*) FROM {source} a JOIN {source} b ON a.n <> b.n", hints={"odps.sql.allow.cartesian": "true"}
        )
        (task,) = beside.get_task_names()
        # A stage is shown once the query is planned: it has passed the fail point.
        harness.wait_for("the first job's start", lambda: beside.get_task_progress(task).stages)
        job = o.run_sql(f"INSERT INTO TABLE {target} SELECT n FROM {source}")
        text = self.failed(job)
        # The text of a failure begins so (odps/models/instance.py reads the code from it).
        self.assertRegex(text, r"^FAILED: ODPS-\d{7}:")
        self.assertIn("fail point job.operator", text)
        self.assertFalse(beside.is_terminated(retry=False), "the first job was over too early to show anything")
        with self.assertRaises(errors.ODPSError):
            job.wait_for_success()
        # The same statement again works, and nothing of the first attempt is there.
        o.execute_sql(f"INSERT INTO TABLE {target} SELECT n FROM {source} WHERE n < 3")
        self.assertEqual(sorted(r[0] for r in o.read_table(target)), [0, 1, 2])
        # Pairs of different numbers: all pairs without those of equal ones.
        harness.wait_for("the first job's end", lambda: beside.is_terminated(retry=False))
        with beside.open_reader(tunnel=True) as reader:
            self.assertEqual([r[0] for r in reader], [ROWS * ROWS - ROWS])
        self.assertIsNone(server.process.poll())
        # It has failed for good: a restart does not run it again.
        server.stop()
        server.start()
        self.assertEqual(self.failed(server.entry().get_instance(job.id)), text)
        self.assertEqual(sorted(r[0] for r in server.entry().read_table(target)), [0, 1, 2])

    def test_a_panic_while_a_result_is_written_fails_the_job(self):
        server, o = self.start("result.after_write:1:panic")
        text = self.failed(o.run_sql("SELECT 1"))
        self.assertRegex(text, r"^FAILED: ODPS-\d{7}:")
        with o.execute_sql("SELECT 6 * 7").open_reader(tunnel=True) as reader:
            self.assertEqual([r[0] for r in reader], [42])
        self.assertIsNone(server.process.poll())


if __name__ == "__main__":
    unittest.main()
