"""A table store whose disk fails under eight clients: the process that has it opens it again by itself. No acknowledged write is
lost, no refused one visible, and what was answered in between is right.

The disk fails at fail points of the engine; what is right is judged as in test_ots_model.
"""

import time
import unittest

import harness
from ots import new_instance, wire
from ots_clients import Crowd, create_table

# Each write of a group of commits, and each sync of one, that fails: so many have gone well since the start.
FAILURES = {"engine.before_sync": 150, "engine.before_write": 400}
# Acknowledged after the last failure.
ENOUGH = 500
# What the server logs when it has the store: at its start, and after each failure.
IS_OPEN = "the table store is open"


class Reopen(unittest.TestCase):
    def setUp(self):
        armed = ",".join(f"{point}:{nth}:error" for point, nth in FAILURES.items())
        self.server = harness.Server(meta=harness.new_database(), variables={"FEITIAN_FAILPOINTS": armed}).start()
        self.addCleanup(self.server.close)
        self.instance = new_instance(self.server)
        self.crowd = Crowd(self.instance, time.time_ns())
        for client in self.crowd.clients:
            client.may_lose_transactions = True
        way = wire(self.server, self.instance)
        create_table(way)
        way.close()

    def openings(self):
        with open(self.server.log_path, encoding="utf-8", errors="replace") as log:
            return log.read().count(IS_OPEN)

    def test_the_store_comes_back_by_itself_with_all_that_was_acknowledged(self):
        self.assertEqual(self.openings(), 1)

        def ends():
            harness.wait_for("all failures", lambda: self.openings() == 1 + len(FAILURES))
            wanted = self.crowd.acknowledged + ENOUGH
            harness.wait_for("answers", lambda: self.crowd.acknowledged >= wanted)

        self.crowd.work([self.server], ends)
        self.assertIsNone(self.server.process.poll(), "the server has ended")
        self.crowd.settle(self.server)
        self.crowd.check_units(self.server)
        # And it is on the disk: what a process that is killed leaves is the same.
        self.server.variables = {}
        self.server.kill()
        self.server.start()
        self.crowd.settle(self.server)
        self.crowd.check_units(self.server)


if __name__ == "__main__":
    unittest.main()
