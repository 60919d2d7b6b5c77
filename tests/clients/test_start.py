"""What `feitian up` prints is true: its lines of Python run as they are and do what they say."""

import re
import subprocess
import sys
import textwrap
import unittest

import harness


class Start(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server(meta=harness.new_database())
        self.addCleanup(self.server.close)
        self.server.start()

    def snippet(self):
        """The indented lines after the words that announce them."""

        def announced():
            with open(self.server.banner_path, encoding="utf-8") as file:
                # An empty line ends it, so that it is never read in halves.
                return re.search(r"^From Python .*:\n\n((?:  .*\n)+)\n", file.read(), re.M)

        return textwrap.dedent(harness.wait_for("the banner", announced).group(1))

    def run_it(self, code):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=harness.DEADLINE_S)
        self.assertEqual(done.returncode, 0, f"{code}\n{done.stderr}")
        return done.stdout

    def test_the_printed_python_selects_1_at_the_first_start_and_at_a_later_one(self):
        first = self.snippet()
        self.assertIn("select 1 as x", first)
        # One row that holds 1.
        self.assertEqual(self.run_it(first).split(), ["1"])
        self.server.stop()
        self.server.start()
        later = self.snippet()
        self.assertIn("select 1 as x", later)
        self.assertNotIn(self.server.credentials()["secret"], later)
        # The same row in a list.
        self.assertEqual(self.run_it(later).split(), ["[1]"])


if __name__ == "__main__":
    unittest.main()
