"""The table store through the SDK of Tablestore from npm: another client's encoder, reader and signature.

FEITIAN_TEST_OTS_NODE is a folder whose `node_modules` has the package; `ots_node.js` is what it does. Expected values are the
values written, ordered by arithmetic, and numbers of enums are those of its `tablestore.proto`. That SDK switches streams on
and off but does not read them, and it has no split points: test_ots_golden asks for those.
"""

import json
import os
import subprocess
import unittest

import ots
from ots import FAILED_CONDITION, OtsCase

# TableStatus, PrimaryKeyType and DefinedColumnType, IndexType.
ACTIVE = 1
INTEGER, STRING = 1, 2
IT_LOCAL_INDEX = 1


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
        self.check_descriptions(told)
        self.check_another_table(told)

    def check_descriptions(self, told):
        """DescribeTable gives what the table was made with, and UpdateTable what it made of that."""
        plain = {
            "status": ACTIVE,
            "key": [["p", STRING], ["n", INTEGER]],
            # A deviation that is not given is a day, and updates are allowed.
            "options": [-1, 1, 86400, True],
            "throughput": [0, 0],
            "stream": False,
        }
        # It has what the table has: its phase is the last one.
        local = [["local_v", ["p", "v"], IT_LOCAL_INDEX, "INCR"]]
        self.assertEqual(told["described"], plain | {"name": "t", "columns": [["v", INTEGER]], "indexes": local})
        streaming = plain | {"name": "u", "columns": [], "indexes": [], "stream": 24}
        self.assertEqual(told["streaming"], streaming)
        updated = {"options": [864000, 3, 86400, False], "throughput": [5, 7], "stream": False}
        self.assertEqual(told["updated"], updated)
        self.assertEqual(told["afterwards"], streaming | updated)

    def check_another_table(self, told):
        """Rows of one table, as batches, filters and deletions leave them one after the other."""
        first, last = [["b", 0], {"v": 0, "w": "x"}], [["b", 3], {"v": 3}]
        changed = [["b", 1], {"w": "y"}]
        fine = [True, None, None, None]
        self.assertEqual(told["puts"], [[True, None, None, ["b", 0]], fine, fine, fine])
        # A row that fails takes no other one with it.
        self.assertEqual(told["changes"], [fine, fine, [False, *FAILED_CONDITION[1:], None]])
        of_u = [[True, "u", row] for row in (first, changed, None, last)]
        self.assertEqual(told["batch"], [of_u, [[True, "t", [["a", 3], {"v": 7}]]]])
        self.assertEqual(told["over"], [last])
        self.assertEqual(told["over_or_missing"], [changed, last])
        self.assertEqual(told["either"], [first, last])
        self.assertEqual(told["filtered"], [last, None])
        self.assertEqual(told["page"], [["b", 0], {"w": "x"}])
        self.assertEqual(told["kept"][0], 403)
        self.assertIn("OTSConditionCheckFail", told["kept"][1])
        self.assertEqual(told["left"], [first, changed])
        self.assertEqual(told["no_updates"][0], 400)
        self.assertIn("OTSParameterInvalid", told["no_updates"][1])
        self.assertEqual(told["unchanged"], first)


if __name__ == "__main__":
    unittest.main()
