"""Eight clients that change the same rows of the table store, and what their answers say about it.

Each does one thing after another until the server is gone, and writes down what it asked, what it was told, and when. A row
that all of them change is a register or a counter; its history is judged by `ots_history`. Besides, every client has a pair
of rows of its own that it changes in one transaction or one atomic batch. The rows of a register have a second column that
belongs to the first, so that half a write would be seen.

Half of the rows lie in a table with an index, half in one without: there, a put without a condition does not look at
the row that it replaces, until a row of that table was large for the first time. So that both states and the moment
between them are met, that table has small rows alone in its first two turns, large ones too in the next two, and then
another takes its place. Each table has a stream, which must tell the same as the answers.
"""

import http.client
import itertools
import math
import random
import threading
import time
from collections import Counter

import harness
import ots
import ots_raw
from ots_history import OK, REFUSED, UNKNOWN, Operation, check_all
from ots_raw import INTEGER, STRING, Cell, InfMax, InfMin, fields, one

CLIENTS = 8
TABLE, INDEX, PLAIN = "rows", "by_v", "plain"
STREAM_H = 24
REGISTERS = [("r", n) for n in range(10)]
COUNTERS = [("c", n) for n in range(4)]

# What the service answers when a write certainly did not happen (its SDKs send such a write again).
NOT_DONE = {"OTSRowOperationConflict", "OTSPartitionUnavailable", "OTSServerBusy", "OTSTableNotReady"}
# What it answers when nobody knows.
IN_DOUBT = {"OTSTimeout", "OTSInternalServerError", "OTSServerUnavailable"}
GONE = (OSError, http.client.HTTPException)

READER = CLIENTS

# A row of so many bytes is not one pair of the engine any more (docs/format-tables.md), and costs two units. The name
# of its long column depends on the value: what a put leaves behind of one large row is seen beside the next.
LARGE_BYTES, LARGE_SHARE = 5000, 1 / 8
LARGE = [f"large{n}" for n in range(3)]
# Turns of a table without an index: in the first ones all its rows are small, then some are large, from a moment on
# that comes within so many writes of each client.
SMALL_TURNS, TURNS = 2, 4
SMALL_WRITES = 40

STREAM_PUT, STREAM_DELETE = 1, 3
# What an increment is in the list of writes: its sum is not known without an answer.
ADDED = "added"


def create_table(wire):
    index = {1: INDEX, 2: ["p", "v"], 4: 1, 5: 1}
    _create(wire, TABLE, [index])
    _create(wire, PLAIN, [])


def _create(wire, name, indexes):
    keys, columns = [("p", STRING), ("n", INTEGER)], [("v", INTEGER)]
    request = ots_raw.create_table(name, keys, columns, stream=STREAM_H, indexes=indexes, transactions=True)
    wire.ask("CreateTable", request)


def table_of(row):
    """Every other register and counter, and every other client's pair, is in the table without an index."""
    number = int(row[0].removeprefix("pair")) if row[0].startswith("pair") else row[1]
    return PLAIN if number % 2 else TABLE


def key(row):
    return [("p", row[0]), ("n", row[1])]


def is_large(value):
    """Whether a register of this value is large: a part of the value, so that the cells follow from it alone."""
    return value % 2 == 1


def register(value):
    """The cells of a register in the order of names: what the others are follows from `v`."""
    pad = value % 200
    large = [(LARGE[value % 3], "y" * (LARGE_BYTES + pad))] if is_large(value) else []
    return [*large, ("pad", "x" * pad), ("twin", -value), ("v", value)]


def changes(value):
    """The same for an update, which by itself would keep what else the row has."""
    cells = register(value)
    gone = [name for name in LARGE if name != cells[0][0]]
    return [*cells, *(Cell(name, op=ots_raw.DELETE_ALL) for name in gone)]


def cost(operation):
    """The write units that an operation has at most."""
    return 2 if operation.kind in ("put", "insert", "swap") and is_large(operation.value) else 1


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
        # Values of the pair since all was judged: those that may be or have been there, and those that were answered.
        self.pairs_begun, self.pairs_done = [], []
        # Writes to the table without an index that are still to be small.
        self.small_writes = math.inf
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
            table = self.random.choice([TABLE, PLAIN])
            self.batch(self.random.sample([row for row in REGISTERS if table_of(row) == table], 3))
        else:
            self.write(self.random.choice(REGISTERS))

    def value(self, table):
        """A value that no row has had, for one of this table."""
        may_be_large = True
        if table == PLAIN:
            self.small_writes -= 1
            may_be_large = self.small_writes < 0
        return 2 * next(self.values) + int(self.random.random() < LARGE_SHARE and may_be_large)

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
            self.more_units += cost(operation)
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
        answer = self.ask(operation, "GetRow", ots_raw.get(table_of(row), key(row)))
        if answer is not None:
            got = ots_raw.got_row(answer)
            self.known[row] = state(row, None if got is None else got.cells)
            self.ended(operation, OK, self.known[row])

    def add(self, row):
        delta = self.random.randint(1, 5)
        operation = self.begun(row, "add", delta)
        cells = [Cell(name, delta, ots_raw.INCREMENT) for name in ("c", "m")]
        request = ots_raw.update(table_of(row), key(row), cells, after=["c", "m"])
        answer = self.ask(operation, "UpdateRow", request)
        if answer is not None:
            self.ended(operation, OK, state(row, ots_raw.got_row(answer).cells))

    def write(self, row):
        table = table_of(row)
        value = self.value(table)
        # Where a put need not look, it is what matters most.
        often = "put" if table == PLAIN else "swap"
        kind = self.random.choice(["put", "insert", "swap", "swap", often, "delete"])
        expected = self.known.get(row)
        if kind == "swap" and expected is None:
            kind = "insert"
        operation = self.begun(row, kind, None if kind == "delete" else value, expected if kind == "swap" else None)
        if kind == "put":
            name, request = "PutRow", ots_raw.put(table, key(row), register(value))
        elif kind == "insert":
            name, request = "PutRow", ots_raw.put(table, key(row), register(value), ots_raw.EXPECT_NOT_EXIST)
        elif kind == "delete":
            name, request = "DeleteRow", ots_raw.delete(table, key(row), ots_raw.EXPECT_EXIST)
        else:
            same = ots_raw.compare("v", expected)
            name, request = "UpdateRow", ots_raw.update(table, key(row), changes(value), ots_raw.EXPECT_EXIST, same)
        if self.ask(operation, name, request) is not None:
            self.ended(operation, OK)
            self.known[row] = operation.value

    def batch(self, rows):
        """Puts to rows of one table, each for itself."""
        begun = [self.begun(row, "put", self.value(table_of(row))) for row in rows]
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
        pair = pair_of(self)
        value = self.value(table_of(pair[0]))
        rows = [(row, value) for row in pair]
        self.pair_in_doubt.append(value)
        self.pairs_begun.append(value)
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
                self.pairs_begun.remove(value)
                self.not_done += 1
            elif error.code not in IN_DOUBT:
                raise
            return
        self.pair, self.pair_in_doubt = value, []
        self.pairs_done.append(value)
        self.acknowledged += 1

    def transaction(self, rows):
        table = table_of(rows[0][0])
        begun = self.wire.ask("StartLocalTransaction", {1: table, 2: ots_raw.row([("p", rows[0][0][0])])})
        id = one(begun, 1).decode()
        for row, value in rows:
            self.wire.ask("PutRow", ots_raw.put(table, key(row), register(value), transaction=id))
        self.wire.ask("CommitTransaction", {1: id})


def pair_of(client):
    return [(f"pair{client.number}", n) for n in range(2)]


def batch(rows, atomic=None):
    """A BatchWriteRow that puts registers of one table."""
    puts = [{1: ots_raw.PUT, 2: ots_raw.row(key(row), register(value)), 3: ots_raw.condition()} for row, value in rows]
    return {1: [{1: table_of(rows[0][0]), 2: puts}], 3: None if atomic is None else int(atomic)}


def failed_rows(answer):
    """The codes of the rows of a BatchWriteRow over one table that did not go well."""
    return [one(item, 2, 1).decode() for item in fields(one(answer, 1))[2] if not one(item, 1)]


class Stream:
    """The stream of a table, and its rows as the records that were read say."""

    def __init__(self, table):
        self.table, self.iterator = table, None
        self.cells, self.states = {}, {}

    def read(self, wire):
        """The changes since the last time: the row, and its states before and after."""
        if self.iterator is None:
            id = one(wire.ask("ListStream", {1: self.table}), 1, 1)
            shard = one(wire.ask("DescribeStream", {1: id}), 6, 1)
            self.iterator = one(wire.ask("GetShardIterator", {1: id, 2: shard}), 1)
        while True:
            answer = wire.ask("GetStreamRecord", {1: self.iterator})
            self.iterator = one(answer, 2)
            records = fields(answer).get(1, [])
            if not records:
                return
            for record in records:
                (read,) = ots_raw.rows(one(record, 2))
                yield self._apply(one(record, 1), read)

    def _apply(self, action, read):
        row = tuple(value for _, value in read.key)
        before = self.states.pop(row, None)
        kept = self.cells.pop(row, {})
        if action == STREAM_DELETE:
            return row, before, None
        cells = {} if action == STREAM_PUT else kept
        for (name, value, _), op in zip(read.cells, read.ops, strict=True):
            if op == ots_raw.DELETE_ALL:
                cells.pop(name, None)
            else:
                cells[name] = value
        self.cells[row] = cells
        self.states[row] = state(row, [(name, value, None) for name, value in cells.items()])
        return row, before, self.states[row]


class Crowd:
    """All clients on the two tables, and what is known of their rows."""

    def __init__(self, instance, seed):
        self.instance = instance
        values = itertools.count(1)
        self.clients = [Client(number, seed, values) for number in range(CLIENTS)]
        self.states = {row: {None} for row in REGISTERS + COUNTERS}
        self.streams = {table: Stream(table) for table in (TABLE, PLAIN)}
        # Of the table without an index, and the write units of those that it took the place of.
        self.turns = self.dropped_units = 0

    @property
    def acknowledged(self):
        return sum(client.acknowledged for client in self.clients)

    def work(self, servers, ends):
        """Lets every client work, number n at server n modulo their count, until `ends()` is true and has killed them."""
        stop, threads = threading.Event(), []
        self.turns += 1
        for client in self.clients:
            if self.turns > SMALL_TURNS:
                client.small_writes = client.random.randrange(SMALL_WRITES) if client.small_writes == math.inf else 0
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
        rows = {row: reader.known[row] for row in self.states if reader.known[row] is not None}
        for client in self.clients:
            self._settle_pair(client, reader, rows)
        self._same_in_ranges(wire, rows)
        self._same_in_streams(wire, rows)
        for client in self.clients:
            client.more_units += sum(cost(operation) for operation in client.operations if operation.outcome == UNKNOWN)
            client.operations, client.pairs_begun, client.pairs_done = [], [], []
        if self.turns == TURNS:
            self._renew(server, wire)
        wire.close()

    def _renew(self, server, wire):
        """Puts another table in the place of the one without an index: in that one, no row has been large."""
        self.dropped_units += self._units(server, [PLAIN])
        wire.ask("DeleteTable", {1: PLAIN})
        _create(wire, PLAIN, [])
        self.turns, self.streams[PLAIN] = 0, Stream(PLAIN)
        self.states |= {row: {None} for row in self.states if table_of(row) == PLAIN}
        for client in self.clients:
            client.small_writes = math.inf
            client.known = {row: value for row, value in client.known.items() if table_of(row) != PLAIN}
            if table_of(pair_of(client)[0]) == PLAIN:
                client.pair = None

    def _settle_pair(self, client, reader, rows):
        pair = pair_of(client)
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
        """The tables in both directions and the index hold what reads of single rows found."""
        low, high = [("p", InfMin), ("n", InfMin)], [("p", InfMax), ("n", InfMax)]
        for table, backward in itertools.product((TABLE, PLAIN), (False, True)):
            found = {}
            for got in scan(wire, table, *((high, low) if backward else (low, high)), backward):
                row = tuple(value for _, value in got.key)
                found[row] = state(row, got.cells)
            wanted = {row: value for row, value in rows.items() if table_of(row) == table}
            if found != wanted:
                raise AssertionError(f"a range of {table} has {found}, single reads {wanted}")
        low, high = ([(name, bound) for name in ("p", "v", "n")] for bound in (InfMin, InfMax))
        entries = sorted(tuple(value for _, value in got.key) for got in scan(wire, INDEX, low, high))
        registers = {row: value for row, value in rows.items() if row[0] != "c" and table_of(row) == TABLE}
        wanted = sorted((row[0], value, row[1]) for row, value in registers.items())
        if entries != wanted:
            raise AssertionError(f"the index has {entries}, the rows are {wanted}")

    def _same_in_streams(self, wire, rows):
        """The streams tell of each acknowledged write once, of one in doubt once or not, and of no other; in an order
        that fits what the writes expected; and the rows are as they tell."""
        least, most, expected = Counter(), Counter(), {}
        for client in self.clients:
            for operation in client.operations:
                if operation.kind == "read" or operation.outcome == REFUSED:
                    continue
                write = operation.key, ADDED if operation.kind == "add" else operation.value
                most[write] += 1
                least[write] += operation.outcome == OK
                if operation.kind in ("insert", "swap"):
                    expected[write] = operation.expected
            for row in pair_of(client):
                most.update((row, value) for value in client.pairs_begun)
                least.update((row, value) for value in client.pairs_done)
        told = Counter()
        for stream in self.streams.values():
            for row, before, after in stream.read(wire):
                write = row, ADDED if row[0] == "c" else after
                told[write] += 1
                fits = after > (before or 0) if row[0] == "c" else expected.get(write, before) == before
                if not fits or before is after is None:
                    raise AssertionError(f"the stream tells that {row} was {before} and then {after}")
        if not least <= told <= most:
            words = f"{dict(least - told)} are lost, {dict(told - most)} too many"
            raise AssertionError(f"of the writes in the streams, {words}")
        found = {row: value for stream in self.streams.values() for row, value in stream.states.items()}
        if found != rows:
            raise AssertionError(f"by the streams, the rows are {found}, by single reads {rows}")

    def _units(self, server, names):
        tables = server.cli("ots", "instance", "tables", self.instance)
        return sum(table["write_units"] for table in tables if table["table"] in names and not table.get("index"))

    def check_units(self, server):
        """The write units of the tables are those of the answers, and not more than those and what had no answer."""
        units = self.dropped_units + self._units(server, [TABLE, PLAIN])
        least = sum(client.units for client in self.clients)
        most = least + sum(client.more_units for client in self.clients)
        if not least <= units <= most:
            raise AssertionError(f"{units} write units; the answers say {least}, and at most {most}")
        return units, least, most


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
