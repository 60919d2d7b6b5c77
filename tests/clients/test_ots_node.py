"""The table store through the SDK of Tablestore from npm: another client's encoder, reader and signature.

FEITIAN_TEST_OTS_NODE is a folder whose `node_modules` has the package; `ots_node.js` is what it does. Expected values are the
values written, ordered by arithmetic. That SDK has no streams and no split points: test_ots_golden asks for those.
"""

import json
import os
import subprocess
import unittest

import ots
from ots import OtsCase


class Node(OtsCase):
    def test_rows_ranges_transactions_and_indexes(self):
        login = self.server.credentials()
        environment = os.environ | {
            "OTS_TEST_MODULES": os.environ["FEITIAN_TEST_OTS_NODE"],
            "OTS_TEST_ACCESS_KEY_ID": login["access_id"],
            "OTS_TEST_ACCESS_KEY_SECRET": login["secret"],
            "OTS_TEST_ENDPOINT": ots.endpoint(self.server),
            "OTS_TEST_INSTANCE": self.instance,
        }
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ots_node.js")
        done = subprocess.run(["node", script], env=environment, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout.splitlines()[-1])
        rows = [[["a", n], {"v": 10 - n}] for n in range(5)]
        self.assertEqual(told["tables"], ["t"])
        self.assertEqual(told["row"], rows[3])
        self.assertIsNone(told["missing"])
        self.assertEqual(told["forward"], rows)
        self.assertEqual(told["backward"], rows[::-1])
        # It gives status and body of an error as they are.
        self.assertEqual(told["condition"][0], 403)
        self.assertIn("OTSConditionCheckFail", told["condition"][1])
        self.assertEqual(told["increment"], {"sum": 7})
        self.assertEqual((told["commit_locked"], told["abort_locked"]), (409, 409))
        self.assertEqual(told["commit"], [100, 10, 100])
        self.assertEqual(told["abort"], [200, 100, 100])
        values = {0: 100, 1: 9, 2: 8, 3: 7, 4: 6}
        self.assertEqual(told["local"], sorted(["a", v, n] for n, v in values.items()))
        self.assertEqual(told["global"], sorted([v, "a", n] for n, v in values.items()))
        self.assertEqual(told["after"], [])


if __name__ == "__main__":
    unittest.main()
