"""Two feitian processes on one directory, of which one has the table store: what SQL says of it in either.

A job runs in one of the two, and nobody says in which. What it may say is in docs/sys.md: the tables that there are, or an
error that names the process which has them; never that there are none.
"""

import unittest

from odps import errors

import harness
import ots

ROUNDS = 12


class TwoOfOne(unittest.TestCase):
    def setUp(self):
        self.owner, self.other = harness.two_processes(self.addCleanup)
        self.instance = ots.new_instance(self.owner)
        ots.create(ots.sdk(self.owner, self.instance), "t", [("k", "STRING")])

    def answer(self, server):
        """The table names, or the words of the error."""
        try:
            with server.entry().execute_sql("SELECT table_name FROM sys.ots_tables").open_reader(tunnel=True) as reader:
                return [record[0] for record in reader]
        except errors.ODPSError as error:
            return str(error)

    def test_a_query_says_what_there_is_or_who_knows(self):
        named = f"process {self.owner.process.pid} opened it last"
        for _ in range(ROUNDS):
            for server in (self.owner, self.other):
                said = self.answer(server)
                if said != ["t"]:
                    self.assertIsInstance(said, str)
                    self.assertIn("ODPS-0123144", said)
                    self.assertIn("the table store is not open in process", said)
                    self.assertIn(named, said)
        # Whoever is left takes it over, and knows.
        self.owner.kill()
        harness.wait_for("the other process's answer", lambda: self.answer(self.other) == ["t"])


if __name__ == "__main__":
    unittest.main()
