"""The table store under eight clients at once, beside one row in memory for each of its rows: no acknowledged write is lost, no
refused one visible, no counter skips or repeats, also when the server is killed every few seconds.

`ots_clients` says what the clients do, `ots_history` judges their answers by the definition of linearizability.
"""

import os
import time
import unittest

import harness
import ots
from ots_kill import Loop

LONG = bool(os.environ.get("FEITIAN_TEST_LONG"))
# A few in every run; the kill loop of `cargo xtask kill` has many, at every fail point.
KILLS = 40 if LONG else 4


class Model(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server(meta=harness.new_database()).start()
        self.addCleanup(self.server.close)
        self.seed = time.time_ns()

    def test_answers_are_those_of_one_row_after_another(self):
        with self.subTest(seed=self.seed):
            loop = Loop(self.server, self.seed)
            for _ in range(KILLS):
                loop.round(None, loop.random.uniform(0.5, 3))
            self.assertGreater(loop.acknowledged, 100 * KILLS)
            loop.crowd.check_units(self.server)

    def test_after_a_clean_stop_the_ledger_is_the_sum_of_the_answers(self):
        with self.subTest(seed=self.seed):
            loop = Loop(self.server, self.seed)
            # Nothing is in doubt: every client ends with an answer.
            for client in loop.crowd.clients:
                # One after the other: each of them sees what the one before has written.
                client.wire = ots.wire(self.server, loop.instance)
                for _ in range(50):
                    client.write(("r", client.random.randint(0, 9)))
            refused = sum(client.more_units for client in loop.crowd.clients)
            self.server.stop()
            self.server.start()
            loop.crowd.settle(self.server)
            # A failed condition costs a write unit, too (documentation, "Conditional update").
            ledger, answered, _ = loop.crowd.check_units(self.server)
            self.assertEqual(ledger, answered + refused)


if __name__ == "__main__":
    unittest.main()
