"""Eight clients that change the same rows of the table store, and what their answers say about it.

Each does one thing after another until the server is gone, and writes down what it asked, what it was told, and when. A row
that all of them change is a register or a counter; its history is judged by `ots_history`. Besides, every client has a pair
of rows of its own that it changes in one transaction or one atomic batch. The rows of a register have a second column that
belongs to the first, and an index, so that half a write would be seen.
"""

import http.client
import itertools
import random
import threading
import time

import harness
import ots
import ots_raw
from ots_history import OK, REFUSED, UNKNOWN, Operation, check_all
from ots_raw import INTEGER, STRING, Cell, InfMax, InfMin, fields, one

CLIENTS = 8
TABLE, INDEX = "rows", "by_v"
REGISTERS = [("r", n) for n in range(10)]
COUNTERS = [("c", n) for n in range(4)]

# What the service answers when a write certainly did not happen (its SDKs send such a write again).
NOT_DONE = {"OTSRowOperationConflict", "OTSPartitionUnavailable", "OTSServerBusy", "OTSTableNotReady"}
# What it answers when nobody knows.
IN_DOUBT = {"OTSTimeout", "OTSInternalServerError", "OTSServerUnavailable"}
GONE = (OSError, http.client.HTTPException)

READER = CLIENTS


def create_table(wire):
    index = {1: INDEX, 2: ["p", "v"], 4: 1, 5: 1}
    keys, columns = [("p", STRING), ("n", INTEGER)], [("v", INTEGER)]
    wire.ask("CreateTable", ots_raw.create_table(TABLE, keys, columns, indexes=[index], transactions=True))


def key(row):
    return [("p", row[0]), ("n", row[1])]


def register(value):
    """The cells of a register: what the others are follows from the first."""
    return [("pad", "x" * (value % 200)), ("twin", -value), ("v", value)]


def state(row, cells):
    """The number that a row stands for. None is a row that is not there."""
    if cells is None:
        return None
    found = {name: value for name, value, _ in cells}
    if row[0] == "c":
        if found.get("c") != found.get("m"):
            raise AssertionError(f"half an increment in {row}: {found}")
        return found["c"]
    value = found.get("v")
    if value is None or sorted(found.items()) != register(value):
        raise AssertionError(f"half a write in {row}: {found}")
    return value


class Client:
    """One of the clients; `work` does one thing after another in a thread of its own."""

    def __init__(self, number, seed, values):
        self.number, self.values = number, values
        self.random = random.Random(f"{seed}/{number}")
        self.operations, self.known = [], {}
        self.pair, self.pair_in_doubt = None, []
        self.acknowledged = self.not_done = 0
        # Whether the server may forget open transactions, of which nothing is durable, under a client that is connected.
        self.may_lose_transactions = False
        # Of acknowledged writes, and at most of all that are not: refused ones may cost, and those in doubt.
        self.units = self.more_units = 0
        self.failure = None
        self.wire = None

    def work(self, wire, stop):
        self.wire = wire
        try:
            while not stop.is_set():
                self.step()
        except GONE:
            pass
        except Exception as error:
            self.failure = error
        finally:
            wire.close()

    def step(self):
        chance = self.random.random()
        if chance < 0.25:
            self.read(self.random.choice(REGISTERS + COUNTERS))
        elif chance < 0.45:
            self.add(self.random.choice(COUNTERS))
        elif chance < 0.55:
            self.change_pair()
        elif chance < 0.6:
            self.batch(self.random.sample(REGISTERS, 3))
        else:
            self.write(self.random.choice(REGISTERS))

    def begun(self, row, kind, value=None, expected=None):
        operation = Operation(self.number, row, kind, value, expected, time.monotonic_ns())
        self.operations.append(operation)
        return operation

    def ended(self, operation, outcome, seen=None):
        operation.end, operation.outcome, operation.seen = time.monotonic_ns(), outcome, seen
        self.acknowledged += 1

    def refused(self, operation, code):
        """Notes an answer that is no success; what did not happen is taken back, and must never be seen."""
        if code == "OTSConditionCheckFail":
            self.ended(operation, REFUSED)
            self.more_units += 1
        elif code in NOT_DONE:
            self.operations.remove(operation)
            self.not_done += 1
            self.more_units += 1
            # As the SDKs do before they try again, only shorter.
            time.sleep(0.01)
        elif code not in IN_DOUBT:
            raise AssertionError(f"{operation} was answered with {code}")

    def ask(self, operation, name, request):
        """The answer, or None when it is noted as another one."""
        try:
            answer = self.wire.ask(name, request)
        except ots_raw.Refused as error:
            self.refused(operation, error.code)
            return None
        if name != "GetRow":
            self.units += ots_raw.units(answer)[1]
        return answer

    def read(self, row):
        operation = self.begun(row, "read")
        answer = self.ask(operation, "GetRow", ots_raw.get(TABLE, key(row)))
        if answer is not None:
            got = ots_raw.got_row(answer)
            self.known[row] = state(row, None if got is None else got.cells)
            self.ended(operation, OK, self.known[row])

    def add(self, row):
        delta = self.random.randint(1, 5)
        operation = self.begun(row, "add", delta)
        cells = [Cell(name, delta, ots_raw.INCREMENT) for name in ("c", "m")]
        answer = self.ask(operation, "UpdateRow", ots_raw.update(TABLE, key(row), cells, after=["c", "m"]))
        if answer is not None:
            self.ended(operation, OK, state(row, ots_raw.got_row(answer).cells))

    def write(self, row):
        value = next(self.values)
        kind = self.random.choice(["put", "insert", "swap", "swap", "swap", "delete"])
        expected = self.known.get(row)
        if kind == "swap" and expected is None:
            kind = "insert"
        operation = self.begun(row, kind, None if kind == "delete" else value, expected if kind == "swap" else None)
        if kind == "put":
            name, request = "PutRow", ots_raw.put(TABLE, key(row), register(value))
        elif kind == "insert":
            name, request = "PutRow", ots_raw.put(TABLE, key(row), register(value), ots_raw.EXPECT_NOT_EXIST)
        elif kind == "delete":
            name, request = "DeleteRow", ots_raw.delete(TABLE, key(row), ots_raw.EXPECT_EXIST)
        else:
            same = ots_raw.compare("v", expected)
            name, request = "UpdateRow", ots_raw.update(TABLE, key(row), register(value), ots_raw.EXPECT_EXIST, same)
        if self.ask(operation, name, request) is not None:
            self.ended(operation, OK)
            self.known[row] = operation.value

    def batch(self, rows):
        begun = [self.begun(row, "put", next(self.values)) for row in rows]
        try:
            answer = self.wire.ask("BatchWriteRow", batch([(op.key, op.value) for op in begun]))
        except ots_raw.Refused as error:
            for operation in begun:
                self.refused(operation, error.code)
            return
        for operation, item in zip(begun, fields(one(answer, 1))[2], strict=True):
            if one(item, 1):
                self.ended(operation, OK)
                self.units += one(item, 3, 1, 2) or 0
            else:
                self.refused(operation, one(item, 2, 1).decode())

    def change_pair(self):
        """Both rows of this client's pair, at once."""
        value = next(self.values)
        rows = [((f"pair{self.number}", n), value) for n in range(2)]
        self.pair_in_doubt.append(value)
        self.more_units += 8
        try:
            if self.random.random() < 0.5:
                answer = self.wire.ask("BatchWriteRow", batch(rows, atomic=True))
                failed = failed_rows(answer)
                if failed:
                    raise ots_raw.Refused(200, failed[0], "a row of an atomic batch")
            else:
                self.transaction(rows)
        except ots_raw.Refused as error:
            is_lost = error.code == "OTSSessionNotExist" and self.may_lose_transactions
            if is_lost or error.code in NOT_DONE:
                self.pair_in_doubt.remove(value)
                self.not_done += 1
            elif error.code not in IN_DOUBT:
                raise
            return
        self.pair, self.pair_in_doubt = value, []
        self.acknowledged += 1

    def transaction(self, rows):
        begun = self.wire.ask("StartLocalTransaction", {1: TABLE, 2: ots_raw.row([("p", rows[0][0][0])])})
        id = one(begun, 1).decode()
        for row, value in rows:
            self.wire.ask("PutRow", ots_raw.put(TABLE, key(row), register(value), transaction=id))
        self.wire.ask("CommitTransaction", {1: id})


def batch(rows, atomic=None):
    """A BatchWriteRow that puts registers."""
    puts = [{1: ots_raw.PUT, 2: ots_raw.row(key(row), register(value)), 3: ots_raw.condition()} for row, value in rows]
    return {1: [{1: TABLE, 2: puts}], 3: None if atomic is None else int(atomic)}


def failed_rows(answer):
    """The codes of the rows of a BatchWriteRow over one table that did not go well."""
    return [one(item, 2, 1).decode() for item in fields(one(answer, 1))[2] if not one(item, 1)]


class Crowd:
    """All clients on one table, and what is known of its rows."""

    def __init__(self, instance, seed):
        self.instance = instance
        values = itertools.count(1)
        self.clients = [Client(number, seed, values) for number in range(CLIENTS)]
        self.states = {row: {None} for row in REGISTERS + COUNTERS}

    @property
    def acknowledged(self):
        return sum(client.acknowledged for client in self.clients)

    def work(self, servers, ends):
        """Lets every client work, number n at server n modulo their count, until `ends()` is true and has killed them."""
        stop, threads = threading.Event(), []
        for client in self.clients:
            wire = ots.wire(servers[client.number % len(servers)], self.instance)
            threads.append(threading.Thread(target=client.work, args=(wire, stop)))
        for thread in threads:
            thread.start()
        try:
            ends()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        now = time.monotonic_ns()
        for client in self.clients:
            for operation in client.operations:
                operation.end = operation.end or now
        failures = [client.failure for client in self.clients if client.failure]
        if failures:
            raise failures[0]

    def settle(self, server):
        """Reads every row, and judges all that was answered since the last time. Nobody writes meanwhile."""
        wire = ots.wire(server, self.instance)
        harness.wait_for("the table store's readiness", lambda: is_open(wire))
        reader = Client(READER, 0, None)
        reader.wire = wire
        for row in self.states:
            reader.read(row)
        operations = [operation for client in [*self.clients, reader] for operation in client.operations]
        self.states = check_all(operations, self.states)
        for client in self.clients:
            client.more_units += sum(operation.outcome == UNKNOWN for operation in client.operations)
            client.operations = []
        rows = {row: reader.known[row] for row in self.states if reader.known[row] is not None}
        for client in self.clients:
            self._settle_pair(client, reader, rows)
        self._same_in_ranges(wire, rows)
        wire.close()

    def _settle_pair(self, client, reader, rows):
        pair = [(f"pair{client.number}", n) for n in range(2)]
        for row in pair:
            reader.read(row)
        one_value, other = (reader.known[row] for row in pair)
        if one_value != other or one_value not in [client.pair, *client.pair_in_doubt]:
            expected = f"{client.pair}, or {client.pair_in_doubt}"
            raise AssertionError(f"the pair of client {client.number} is {one_value} and {other}; it was {expected}")
        client.pair, client.pair_in_doubt = one_value, []
        if one_value is not None:
            rows.update({row: one_value for row in pair})

    def _same_in_ranges(self, wire, rows):
        """The table in both directions and its index hold what reads of single rows found."""
        low, high = [("p", InfMin), ("n", InfMin)], [("p", InfMax), ("n", InfMax)]
        for backward in (False, True):
            found = {}
            for got in scan(wire, TABLE, *((high, low) if backward else (low, high)), backward):
                row = tuple(value for _, value in got.key)
                found[row] = state(row, got.cells)
            if found != rows:
                raise AssertionError(f"a range has {found}, single reads {rows}")
        low, high = ([(name, bound) for name in ("p", "v", "n")] for bound in (InfMin, InfMax))
        entries = sorted(tuple(value for _, value in got.key) for got in scan(wire, INDEX, low, high))
        wanted = sorted((row[0], value, row[1]) for row, value in rows.items() if row[0] != "c")
        if entries != wanted:
            raise AssertionError(f"the index has {entries}, the rows are {wanted}")

    def check_units(self, server):
        """The write units of the table are those of the answers, and not more than those and what had no answer."""
        tables = server.cli("ots", "instance", "tables", self.instance)
        (table,) = [t for t in tables if t["table"] == TABLE and not t.get("index")]
        least = sum(client.units for client in self.clients)
        most = least + sum(client.more_units for client in self.clients)
        if not least <= table["write_units"] <= most:
            raise AssertionError(f"{table['write_units']} write units; the answers say {least}, and at most {most}")
        return table["write_units"], least, most


def is_open(wire):
    """Whether the server has the table store: of several on one directory, one has it at a time."""
    try:
        wire.ask("ListTable", b"")
    except ots_raw.Refused as error:
        if error.code not in NOT_DONE:
            raise
        return False
    return True


def scan(wire, table, start, end, backward=False):
    """All rows between two keys, in pieces of three."""
    while start:
        answer = wire.ask("GetRange", ots_raw.get_range(table, start, end, backward, limit=3))
        yield from ots_raw.rows(one(answer, 2) or b"")
        follows = one(answer, 3)
        start = ots_raw.rows(follows)[0].key if follows else None
