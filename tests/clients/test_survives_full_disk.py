"""A full disk: writes fail with a clear error, reads go on, and when there is space again everything does.

The data directory is on a file system of 256 MB in memory, which only root can mount. Expected rows are the rows whose
writing was acknowledged; what was not acknowledged is there whole or not at all.
"""

import base64
import os
import random
import unittest
import unittest.mock
from collections import Counter

from odps import errors, options
from odps.tunnel import TableTunnel
from odps.tunnel.errors import TunnelError
from odps.tunnel.retry import ExponentialWaitRetryPolicy

import harness
import small_disk

DISK = 256 << 20
# What the test itself puts on the disk, to be taken away later.
BALLAST = 208 << 20
ROWS = 200
# Bytes behind a text, which base64 makes a third longer and no codec much smaller than they are: a batch has 1.8 MB.
TEXT = 9_000


def batch(number):
    """The rows of one write; nothing is the same in any two."""
    chance = random.Random(number)
    return [(number, n, base64.b64encode(chance.randbytes(TEXT)).decode()) for n in range(ROWS)]


class FullDisk(unittest.TestCase):
    def setUp(self):
        self.mount = small_disk.mounted(self, DISK)
        self.ballast = small_disk.ballast(self.mount, BALLAST)
        self.server = harness.Server(data=os.path.join(self.mount, "data"), meta=harness.new_database())
        self.addCleanup(self.server.close)
        self.o = self.server.start().entry()
        self.pid = self.server.process.pid
        # The errors are what this test is about; the client would try again for two minutes (odps/tunnel/retry.py).
        self.addCleanup(setattr, options, "retry_times", options.retry_times)
        options.retry_times = 0
        once = unittest.mock.patch.object(ExponentialWaitRetryPolicy, "should_retry", return_value=False)
        once.start()
        self.addCleanup(once.stop)
        self.table = harness.unique("t")
        self.copy = harness.unique("t")
        self.o.create_table(self.table, "b bigint, n bigint, s string")
        self.o.create_table(self.copy, "b bigint, n bigint, s string")
        self.acknowledged = []
        self.failed = []

    def free(self):
        return small_disk.free(self.mount)

    def alive(self):
        self.assertIsNone(self.server.process.poll(), "the server has ended")
        self.assertEqual(self.server.process.pid, self.pid)

    def session(self):
        tunnel = TableTunnel(self.o)
        tunnel.tunnel_rest  # discovers the endpoint
        return tunnel.create_upload_session(self.table)

    def upload(self, number):
        """One session of one block; remembers what became of it."""
        session = None
        try:
            session = self.session()
            # Buffered, because a body that is streamed to a closed connection hides the answer.
            with session.open_record_writer(0) as writer:
                for row in batch(number):
                    writer.write(session.new_record(list(row)))
            session.commit([0])
        except (errors.ODPSError, TunnelError) as error:
            self.failed.append((number, session))
            return error
        self.acknowledged.append(number)
        return None

    def clear(self, error):
        """5xx is for faults of the server's side, with a word that odps/errors.py knows or that says what is wrong."""
        self.assertIsInstance(error, errors.ODPSError)
        self.assertTrue(error.code, repr(error))
        self.assertIn(error.status_code, range(400, 600), repr(error))
        self.assertRegex(str(error).lower(), "space|disk|full", "the error does not say that the disk is full")

    def job_fails_clearly(self, sql):
        """A statement that writes too much: refused at once, or a job that has failed with a code."""
        try:
            job = self.o.run_sql(sql)
            harness.wait_for("the job's end", lambda: job.is_terminated(retry=False))
        except errors.ODPSError as error:
            self.clear(error)
            return
        self.assertFalse(job.is_successful())
        (text,) = job.get_task_results().values()
        self.assertRegex(str(text), r"^FAILED: ODPS-\d{7}")
        self.assertRegex(str(text).lower(), "space|disk|full")

    def counts(self, name):
        """Rows by batch, read by the tunnel, each compared with what was written."""
        found = Counter()
        for b, n, s in (record.values for record in self.server.entry().read_table(name, reopen=True)):
            found[b] += 1
            if n == 0:
                self.assertEqual((b, n, s), batch(b)[0])
        return found

    def check(self, name, sure, maybe=()):
        """Every sure batch once and whole, each other one once and whole or not at all."""
        found = self.counts(name)
        for number in sure:
            self.assertEqual(found.pop(number, 0), ROWS, f"batch {number} of {name}")
        for number, count in found.items():
            self.assertIn(number, maybe, f"batch {number} was never written to {name}")
            self.assertEqual(count, ROWS, f"batch {number} is partly visible in {name}")

    def unsure(self):
        return [number for number, _ in self.failed]

    def fill(self):
        """Uploads until one fails; gives its error."""
        for number in range(1, 200):
            error = self.upload(number)
            if error is not None:
                return error
        self.fail(f"{len(self.acknowledged)} batches fit, {self.free()} bytes are free")

    def query(self, sql):
        with self.o.execute_sql(sql).open_reader(tunnel=True) as reader:
            return [tuple(record.values) for record in reader]

    def reads_go_on(self):
        self.check(self.table, self.acknowledged, self.unsure())
        (sure,) = self.query(f"SELECT COUNT(*), COUNT(DISTINCT b) FROM {self.table}")
        extra = sure[1] - len(self.acknowledged)
        self.assertEqual(sure[0], ROWS * sure[1])
        self.assertIn(extra, range(len(self.failed) + 1))
        self.o.get_project().reload()
        self.alive()

    def test_writes_fail_reads_go_on_and_space_heals(self):
        self.clear(self.fill())
        self.assertGreater(len(self.acknowledged), 10)
        print(f"  {len(self.acknowledged)} batches until full, {self.free() >> 10} KiB free", flush=True)
        self.reads_go_on()
        # It stays so: more of the same, a job that copies everything, one that creates a table with it.
        for number in (1_000, 1_001):
            self.clear(self.upload(number))
        self.job_fails_clearly(f"INSERT INTO TABLE {self.copy} SELECT * FROM {self.table}")
        self.job_fails_clearly(f"INSERT OVERWRITE TABLE {self.copy} SELECT * FROM {self.table}")
        made = harness.unique("t")
        self.job_fails_clearly(f"CREATE TABLE {made} AS SELECT * FROM {self.table}")
        self.check(self.copy, [])
        self.reads_go_on()
        # Space again: the process that was there goes on without a restart.
        os.remove(self.ballast)
        self.assertIsNone(self.upload(2_000))
        self.o.execute_sql(f"INSERT INTO TABLE {self.copy} SELECT * FROM {self.table} WHERE b = 2000")
        self.check(self.copy, [2_000])
        # Sessions whose block or commit had failed are finished, and count once.
        for number, session in [(n, s) for n, s in self.failed if s is not None]:
            with session.open_record_writer(0) as writer:
                for row in batch(number):
                    writer.write(session.new_record(list(row)))
            session.commit([0])
            self.acknowledged.append(number)
        self.failed = [(n, s) for n, s in self.failed if s is None]
        self.reads_go_on()
        for restart in (self.server.stop, self.server.kill):
            restart()
            self.server.start()
            self.o, self.pid = self.server.entry(), self.server.process.pid
            self.reads_go_on()
            self.check(self.copy, [2_000])

    def test_not_a_byte_is_left(self):
        self.assertIsNone(self.upload(1))
        down = TableTunnel(self.o).create_download_session(self.table)
        rest = os.path.join(self.mount, "rest")
        with open(rest, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(64 << 10))
            except OSError:
                pass
            file.seek(0, os.SEEK_END)
            try:
                while True:
                    file.write(bytes(512))
            except OSError:
                pass
        self.assertLess(self.free(), 8 << 10)
        # A session that is open needs nothing from the disk.
        with down.open_record_reader(0, down.count) as reader:
            self.assertEqual([tuple(r.values) for r in reader], batch(1))
        self.clear(self.upload(2))
        self.job_fails_clearly(f"INSERT INTO TABLE {self.copy} SELECT * FROM {self.table}")
        # A job and a new session are rows of the metadata: they may be refused here, but clearly.
        try:
            self.assertEqual(self.query(f"SELECT COUNT(*) FROM {self.table} WHERE b = 1"), [(ROWS,)])
        except errors.ODPSError as error:
            self.clear(error)
        self.o.get_project().reload()
        self.alive()
        os.remove(rest)
        self.assertIsNone(self.upload(3))
        self.o.execute_sql(f"INSERT INTO TABLE {self.copy} SELECT * FROM {self.table} WHERE b = 3")
        self.check(self.copy, [3])
        self.reads_go_on()
        # No job was left behind that never ends.
        harness.wait_for(
            "the end of all jobs", lambda: all(i.status.value == "Terminated" for i in self.o.list_instances())
        )
        self.server.kill()
        self.server.start()
        self.o, self.pid = self.server.entry(), self.server.process.pid
        self.reads_go_on()


if __name__ == "__main__":
    unittest.main()
