"""A disk on which the table store may not write any more: writes are refused with the error that clients try again, reads go on,
and when there is space again everything does.

The data directory is on a file system in memory, which only root can mount. The store leaves a part of the disk free, so that
its own work in the background never fails; a file of ours takes what is above that part. Expected rows are those whose
writing was acknowledged.
"""

import os
import unittest

from tablestore import INF_MAX, INF_MIN, CapacityUnit, Row

import harness
import ots
import small_disk
from ots import IGNORE, OtsCase

DISK = 640 << 20
# Less than the store leaves free, and enough for everything else.
LEFT = 96 << 20
# "The server is busy": the write did not happen (the SDKs' retry.py tries it again, whatever it was).
BUSY = (503, "OTSServerBusy")


class FullDisk(OtsCase):
    def setUp(self):
        self.mount = small_disk.mounted(self, DISK)
        server = harness.Server(data=os.path.join(self.mount, "data"), meta=harness.new_database())
        self.addCleanup(server.close)
        self.use(server.start())

    def fill(self):
        """Takes all of the disk but what is left; returns the file that does."""
        return small_disk.ballast(self.mount, small_disk.free(self.mount) - LEFT)

    def rows(self, table):
        found = self.ots.xget_range(table, "FORWARD", [("n", INF_MIN)], [("n", INF_MAX)], CapacityUnit(0, 0))
        return [(row.primary_key[0][1], row.attribute_columns[0][1]) for row in found]

    def put(self, table, n):
        self.ots.put_row(table, Row([("n", n)], [("v", f"row {n}")]), IGNORE)

    def test_writes_are_refused_while_it_is_full_and_reads_are_not(self):
        t = ots.create(self.ots, "t", [("n", "INTEGER")])
        wanted = []
        for turn in range(2):
            for n in range(100 * turn, 100 * turn + 50):
                self.put(t, n)
                wanted.append((n, f"row {n}"))
            ballast = self.fill()
            for n in range(10_000, 10_010):
                self.assertEqual(self.refusal(self.put, t, n)[:2], BUSY)
            increment = Row([("n", 0)], {"INCREMENT": [("count", 1)]})
            self.assertEqual(self.refusal(self.ots.update_row, t, increment, IGNORE)[:2], BUSY)
            self.assertEqual(self.refusal(ots.create, self.ots, "other", [("n", "INTEGER")])[:2], BUSY)
            self.assertEqual(self.rows(t), wanted)
            self.assertIsNone(self.server.process.poll(), "the server has ended")
            os.remove(ballast)
        # What was refused is not there afterwards either, nor after a start.
        self.server.kill()
        self.server.start()
        self.connect()
        self.assertEqual(self.rows(t), wanted)
        self.assertEqual(list(self.ots.list_table()), [t])


if __name__ == "__main__":
    unittest.main()
