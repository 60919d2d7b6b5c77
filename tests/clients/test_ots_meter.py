"""The ledger of the table store: what was answered with a price is counted, to the unit, whatever the requests were and
however many at once.

Expected are the sums of what the answers say that they consumed, which test_ots and the SDK's own tests compare with the
documented rule. A condition that does not hold has no price in its answer: it costs a unit of each kind (documentation,
"Conditional update").
"""

import http.client
import random
import threading
import time
import unittest

from tablestore import (
    INF_MAX,
    INF_MIN,
    BatchGetRowRequest,
    BatchWriteRowRequest,
    DeleteRowItem,
    OTSServiceError,
    PutRowItem,
    Row,
    SecondaryIndexMeta,
    SecondaryIndexType,
    TableInBatchGetRowItem,
    TableInBatchWriteRowItem,
    UpdateRowItem,
)

import harness
import ots
import ots_raw
from ots import EXIST, IGNORE, NOT_EXIST

CLIENTS = 6
TURNS = 12
TABLE, INDEX = "rows", "by_v"
SHARED = "everybody"


def key(partition, number):
    return [("p", partition), ("n", number)]


def everything(names):
    return [(name, INF_MIN) for name in names], [(name, INF_MAX) for name in names]


class Payer:
    """A client that adds up what its answers cost."""

    def __init__(self, server, instance, number, seed):
        self.client, self.own = ots.sdk(server, instance), f"client {number}"
        self.random = random.Random(f"{seed}/{number}")
        self.read = self.write = 0
        self.failure = None

    def work(self):
        try:
            for turn in range(TURNS):
                self.turn(turn)
        except Exception as error:
            self.failure = error

    def pay(self, consumed):
        self.read += consumed.read
        self.write += consumed.write

    def refused(self, code):
        if code != "OTSConditionCheckFail":
            raise AssertionError(f"a request was refused with {code}")
        self.read += 1
        self.write += 1

    def fail(self, call, *arguments):
        try:
            call(*arguments)
        except OTSServiceError as error:
            self.refused(error.code)
        else:
            raise AssertionError("a condition held that cannot hold")

    def cells(self):
        return [("v", self.random.randint(0, 9)), ("pad", "x" * self.random.choice([10, 5_000, 9_000]))]

    def turn(self, turn):
        client, shared = self.client, key(SHARED, turn % 3)
        self.pay(client.put_row(TABLE, Row(shared, self.cells()), IGNORE)[0])
        self.pay(client.update_row(TABLE, Row(shared, {"INCREMENT": [("count", 1)]}), EXIST)[0])
        self.fail(client.put_row, TABLE, Row(shared, self.cells()), NOT_EXIST)
        self.pay(client.get_row(TABLE, shared, max_version=1)[0])
        self.pay(client.get_row(TABLE, key("nobody", turn), max_version=1)[0])
        self.pay(client.get_range(TABLE, "FORWARD", *everything(["p", "n"]), limit=self.random.randint(1, 9))[0])
        self.pay(client.get_range(INDEX, "FORWARD", *everything(["v", "p", "n"]), limit=self.random.randint(1, 9))[0])
        self.batches(shared)
        self.transaction(turn)
        self.pay(client.delete_row(TABLE, Row(key(self.own, turn)), IGNORE)[0])

    def batches(self, shared):
        request = BatchWriteRowRequest()
        items = [PutRowItem(Row(key(self.own, 100 + n), self.cells()), IGNORE) for n in range(3)]
        items += [
            PutRowItem(Row(shared, self.cells()), NOT_EXIST),
            UpdateRowItem(Row(shared, {"PUT": [("w", 1)]}), IGNORE),
            DeleteRowItem(Row(key(self.own, 102)), EXIST),
        ]
        request.add(TableInBatchWriteRowItem(TABLE, items))
        answer = self.client.batch_write_row(request)
        for what in ("put", "update", "delete"):
            for item in getattr(answer, f"get_{what}_by_table")(TABLE):
                if item.is_ok:
                    self.pay(item.consumed)
                else:
                    self.refused(item.error_code)
        request = BatchGetRowRequest()
        keys = [shared, key(self.own, 100), key(self.own, 101), key("nobody", 1)]
        request.add(TableInBatchGetRowItem(TABLE, keys, max_version=1))
        for item in self.client.batch_get_row(request).get_result_by_table(TABLE):
            self.pay(item.consumed)

    def transaction(self, turn):
        """Committed or not: each of its requests was answered with a price."""
        id = self.client.start_local_transaction(TABLE, key(self.own, 0)[:1])
        self.pay(self.client.put_row(TABLE, Row(key(self.own, turn), self.cells()), IGNORE, transaction_id=id)[0])
        self.pay(self.client.get_row(TABLE, key(self.own, turn), max_version=1, transaction_id=id)[0])
        if turn % 2:
            self.client.commit_transaction(id)
        else:
            self.client.abort_transaction(id)


class Meter(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server(meta=harness.new_database()).start()
        self.addCleanup(self.server.close)
        self.instance = ots.new_instance(self.server)
        index = SecondaryIndexMeta(INDEX, ["v"], [], SecondaryIndexType.GLOBAL_INDEX)
        keys, columns = [("p", "STRING"), ("n", "INTEGER")], [("v", "INTEGER")]
        ots.create(ots.sdk(self.server, self.instance), TABLE, keys, columns=columns, indexes=[index])

    def ledger(self):
        """Read units of the table and its index, write units of the table: what its index cost is in no answer."""
        found = self.server.cli("ots", "instance", "tables", self.instance)
        (table,) = [t for t in found if t["table"] == TABLE and not t.get("index")]
        return sum(t["read_units"] for t in found), table["write_units"]

    def test_it_is_the_sum_of_the_answers_after_many_requests_at_once_and_after_a_clean_stop(self):
        seed = time.time_ns()
        with self.subTest(seed=seed):
            payers = [Payer(self.server, self.instance, number, seed) for number in range(CLIENTS)]
            threads = [threading.Thread(target=payer.work) for payer in payers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for payer in payers:
                if payer.failure:
                    raise payer.failure
            wanted = sum(payer.read for payer in payers), sum(payer.write for payer in payers)
            self.assertEqual(self.ledger(), wanted)
            self.server.stop()
            self.server.start()
            self.assertEqual(self.ledger(), wanted)

    def test_a_crash_counts_nothing_twice_and_keeps_what_was_written_down(self):
        self.server.stop()
        # It dies before it writes its units down for the third time.
        self.server.variables = {"FEITIAN_FAILPOINTS": "tables.meter.before_flush:3"}
        self.server.start()
        wire, read, written = ots.wire(self.server, self.instance), 0, 0
        end = time.monotonic() + harness.DEADLINE_S
        try:
            while time.monotonic() < end:
                written += ots_raw.units(wire.ask("PutRow", ots_raw.put(TABLE, key("a", 1), [("v", 1)])))[1]
                read += ots_raw.units(wire.ask("GetRow", ots_raw.get(TABLE, key("a", 1))))[0]
        except (OSError, http.client.HTTPException):
            wire.close()
        else:
            self.fail("the server did not die")
        self.server.kill()
        self.server.variables = {}
        self.server.start()
        found = self.ledger()
        # Two times it did; the last write may be durable without its answer.
        self.assertGreater(found[0], 0)
        self.assertLessEqual(found[0], read + 1)
        self.assertIn(found[1], (written, written + 1))
        wire = ots.wire(self.server, self.instance)
        more = sum(ots_raw.units(wire.ask("GetRow", ots_raw.get(TABLE, key("a", 1))))[0] for _ in range(10))
        wire.close()
        self.server.stop()
        self.server.start()
        self.assertEqual(self.ledger(), (found[0] + more, found[1]))


if __name__ == "__main__":
    unittest.main()
