"""Two feitian processes on one directory, and the table store that one of them has: the other refuses with an error that clients
take for a reason to try again, and has it when the first is gone. No write is lost and none done twice.

What is right is judged as in test_ots_model: by the definition of linearizability.
"""

import signal
import time
import unittest

import harness
import ots_raw
from ots import new_instance, wire
from ots_clients import Crowd, create_table, is_open
from test_console import Browser

ROUNDS = 4
# Acknowledged by one process, before it goes.
ENOUGH = 500


class TwoOfOne(unittest.TestCase):
    def setUp(self):
        self.owner, self.other = harness.two_processes(self.addCleanup)
        self.instance = new_instance(self.owner)

    def wire(self, server):
        way = wire(server, self.instance)
        self.addCleanup(way.close)
        return way

    def answers(self, crowd):
        wanted = crowd.acknowledged + ENOUGH
        harness.wait_for("answers", lambda: crowd.acknowledged >= wanted)

    def test_the_one_without_it_refuses_with_the_error_that_is_tried_again(self):
        create_table(self.wire(self.owner))
        with self.assertRaises(ots_raw.Refused) as raised:
            create_table(self.wire(self.other))
        error = raised.exception
        words = (503, "OTSPartitionUnavailable", "The partition is not available.")
        self.assertEqual((error.status, error.code, error.text), words)

    def test_the_console_of_the_one_without_it_says_so(self):
        create_table(self.wire(self.owner))
        login, page = self.owner.credentials(), f"/console/ots/{self.instance}"
        for server, status in ((self.owner, 200), (self.other, 503)):
            browser = Browser(server)
            self.assertEqual(browser.sign_in(login["access_id"], login["secret"]).status_code, 303)
            for path in ("/console/ots", page):
                answer = browser.open(path)
                self.assertEqual(answer.status_code, status)
                said = "The table store is not open in this process" in answer.text
                self.assertEqual(said, status == 503)
                self.assertIn(self.instance, answer.text)

    def test_rows_are_kept_while_it_goes_from_one_to_the_other(self):
        create_table(self.wire(self.owner))
        crowd = Crowd(self.instance, time.time_ns())
        for turn in range(ROUNDS):

            def ends():
                self.answers(crowd)
                if turn % 2:
                    self.owner.stop()
                else:
                    self.owner.kill()
                # The clients of the other one go on, now with answers.
                self.answers(crowd)

            crowd.work([self.owner, self.other], ends)
            crowd.settle(self.other)
            self.owner.start()
            self.owner, self.other = self.other, self.owner
        crowd.check_units(self.owner)

    def test_one_that_stands_still_keeps_it_and_goes_on_until_it_is_killed(self):
        """What holds the other one back is a lock of the system's: it is held by a process that is there, whether that
        runs or not, and nobody else's before that process can do nothing more."""
        create_table(self.wire(self.owner))
        crowd = Crowd(self.instance, time.time_ns())
        beside = self.wire(self.other)

        def ends():
            self.answers(crowd)
            self.owner.process.send_signal(signal.SIGSTOP)
            self.assertFalse(is_open(beside))
            self.owner.process.send_signal(signal.SIGCONT)
            # No client of the other one has any, so these are of the one that goes on.
            self.answers(crowd)
            self.owner.process.send_signal(signal.SIGSTOP)
            self.assertFalse(is_open(beside))
            self.owner.kill()
            self.answers(crowd)

        crowd.work([self.owner, self.other], ends)
        crowd.settle(self.other)
        crowd.check_units(self.other)


if __name__ == "__main__":
    unittest.main()
