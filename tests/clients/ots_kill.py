"""The kill loop of the table store: eight clients, a server that dies at every step of every protocol, and all answers judged.

    ots_kill.py --data DIR --kills N [--seed S]

FEITIAN_TEST_BIN is the program. The clients are those of `ots_clients`; besides them one makes and drops a table over and
over. It prints one line a round and, at the end, how often each fail point was reached.
"""

import argparse
import random
import threading
import time

import harness
import ots
import ots_raw
from ots_clients import (
    GONE,
    IN_DOUBT,
    NOT_DONE,
    REGISTERS,
    TABLE,
    Crowd,
    create_table,
    failed_rows,
    key,
    register,
    state,
)
from ots_raw import INTEGER, InfMax, InfMin, one

# Every numbered step of the table store's protocols.
POINTS = [
    "engine.made",
    "engine.renewed",
    "engine.before_write",
    "engine.before_sync",
    "engine.after_sync",
    "engine.buried",
    "engine.dropped",
    "tables.before_commit",
    "tables.after_commit",
    "tables.catalog.before_commit",
    "tables.catalog.after_commit",
    "tables.backfill.before_row",
    "tables.backfill.before_ready",
    "tables.meter.before_flush",
    "tables.clean.before_row",
    "tables.clean.after_range",
    "tables.clean.before_forget",
    "tables.reopen.taken",
    "tables.reopen.closed",
    "tables.reopen.opened",
]
# On the way of the first start of all, which needs a directory of its own.
MADE = "engine.made"
# Those of a store that is opened again by its process: a write must have failed before that.
REOPENING = "tables.reopen."
# Those of the cleaning, which a server does when it starts, and once a minute: there must be something to clean before that.
CLEANING = ("engine.buried", "engine.dropped", "tables.clean.")
# A long enough run reaches every fail point so often, a shorter one each equally often.
TIMES = 10
ROUND_S = 8
# Acknowledged for each kill, so that a run that does nothing is none.
LEAST = 50

DROPPED, DROPPED_INDEX = "dropped", "dropped_by_v"
ROWS = 50
SURPLUS = "surplus"
BUILDING = "Disallow read index table in building base state"


class Dropper:
    """Makes a table, fills it, adds an index to it, drops both, and makes another one of its name."""

    def __init__(self):
        self.exists, self.rows = False, {0}
        self.failure = None
        self.acknowledged = 0

    def work(self, wire, stop):
        try:
            while not stop.is_set():
                self.round(wire)
        except GONE:
            pass
        except ots_raw.Refused as error:
            if error.code not in NOT_DONE | IN_DOUBT:
                self.failure = error
        except Exception as error:
            self.failure = error
        finally:
            wire.close()

    def round(self, wire):
        if self.exists is True:
            self.exists = None
            wire.ask("DeleteTable", {1: DROPPED})
        self.exists = None
        wire.ask("CreateTable", ots_raw.create_table(DROPPED, [("n", INTEGER)], [("v", INTEGER)]))
        self.exists, self.rows = True, {0}
        self.expect(count(wire))
        # A batch is not atomic: any number of its rows may be there when its answer is not.
        self.rows = set(range(ROWS + 1))
        rows = [ots_raw.row([("n", n)], [("pad", "x" * 1000), ("v", ROWS - n)]) for n in range(ROWS)]
        puts = [{1: ots_raw.PUT, 2: row, 3: ots_raw.condition()} for row in rows]
        failed = failed_rows(wire.ask("BatchWriteRow", {1: [{1: DROPPED, 2: puts}]}))
        if failed:
            raise ots_raw.Refused(200, failed[0], "a row of a batch")
        self.rows = {ROWS}
        self.expect(count(wire))
        wire.ask("CreateIndex", {1: DROPPED, 2: {1: DROPPED_INDEX, 2: ["v"], 4: 0, 5: 0}, 3: 1})
        self.expect(indexed(wire))
        self.acknowledged += 4

    def expect(self, found):
        if found not in self.rows:
            raise AssertionError(f"{found} rows in the table that is dropped; it was {self.rows}")

    def settle(self, server, instance):
        wire = ots.wire(server, instance)
        there = DROPPED.encode() in ots_raw.fields(wire.ask("ListTable", b"")).get(1, [])
        if self.exists not in (there, None):
            raise AssertionError(f"the table that is dropped is {'' if there else 'not '}there")
        # When neither its making nor its dropping was answered, it may be the one before or the new one.
        if there:
            self.rows = self.rows if self.exists else set(range(ROWS + 1))
            self.expect(count(wire))
        self.exists = there
        wire.close()


def count(wire, table=DROPPED, key=("n",)):
    found = 0
    start, end = ([(name, bound) for name in key] for bound in (InfMin, InfMax))
    while start:
        answer = wire.ask("GetRange", ots_raw.get_range(table, start, end))
        found += len(ots_raw.rows(one(answer, 2) or b""))
        follows = one(answer, 3)
        start = ots_raw.rows(follows)[0].key if follows else None
    return found


def indexed(wire):
    """The entries of the index, once those of the rows before it are in it."""

    def entries():
        try:
            return [count(wire, DROPPED_INDEX, ("v", "n"))]
        except ots_raw.Refused as error:
            if error.text != BUILDING:
                raise
            return None

    return harness.wait_for("the index", entries)[0]


def leave_surplus(wire, turn):
    """A table of whose rows two versions of three may not be read any more; what must be read was written last."""
    if not turn:
        wire.ask("CreateTable", ots_raw.create_table(SURPLUS, [("n", INTEGER)], versions=3))
    wire.ask("UpdateTable", {1: SURPLUS, 3: {2: 3}})
    for version in range(3):
        rows = [ots_raw.row([("n", n)], [("v", 3 * turn + version)]) for n in range(ROWS)]
        updates = [{1: ots_raw.UPDATE, 2: row, 3: ots_raw.condition()} for row in rows]
        wire.ask("BatchWriteRow", {1: [{1: SURPLUS, 2: updates}]})
    wire.ask("UpdateTable", {1: SURPLUS, 3: {2: 1}})


def check_surplus(wire, turn):
    found = ots_raw.rows(one(wire.ask("GetRange", ots_raw.get_range(SURPLUS, [("n", InfMin)], [("n", InfMax)])), 2))
    values = [[value for _, value, _ in row.cells] for row in found]
    if values != [[3 * turn + 2]] * ROWS:
        raise AssertionError(f"the newest versions were all {3 * turn + 2}, and are {values}")


class Loop:
    """A server that dies again and again under its clients."""

    def __init__(self, server, seed):
        self.server, self.random = server, random.Random(seed)
        self.instance = ots.new_instance(server)
        wire = ots.wire(server, self.instance)
        create_table(wire)
        wire.close()
        self.crowd, self.dropper = Crowd(self.instance, seed), Dropper()
        self.reached = {}
        self.surplus = 0

    @property
    def acknowledged(self):
        return self.crowd.acknowledged + self.dropper.acknowledged

    def round(self, point=None, limit_s=ROUND_S):
        """Works until the server has died at the point, or is killed after the limit; then everything must be right.
        Returns where it died."""
        if point == MADE:
            return self.die_while_made()
        if point and point.startswith(CLEANING):
            self.leave_something()
        for client in self.crowd.clients:
            client.may_lose_transactions = bool(point and point.startswith(REOPENING))
        self.server.kill()
        self.arm(self.armed(point) if point else None)
        try:
            self.server.start()
        except AssertionError:
            # The point lies on the way of a start, too.
            if self.server.process.poll() is None:
                raise
            return self.settled(point)
        died = self.work(limit_s)
        return self.settled(point if died and point else "a random moment")

    def armed(self, point):
        fails = f"engine.before_sync:{self.random.randint(20, 100)}:error," if point.startswith(REOPENING) else ""
        return f"{fails}{point}:{self.passes(point)}"

    def die_while_made(self):
        """A server of its own that dies when its table store was made and not yet put in its place; then it keeps a row."""
        server = harness.Server(variables={"FEITIAN_FAILPOINTS": MADE})
        try:
            try:
                server.start()
            except AssertionError:
                if server.process.poll() is None:
                    raise
            else:
                raise AssertionError(f"the server did not die at {MADE}")
            server.variables = {}
            server.start()
            instance, row = ots.new_instance(server), REGISTERS[0]
            wire = ots.wire(server, instance)
            create_table(wire)
            wire.ask("PutRow", ots_raw.put(TABLE, key(row), register(1)))
            wire.close()
            server.kill()
            server.start()
            wire = ots.wire(server, instance)
            got = ots_raw.got_row(wire.ask("GetRow", ots_raw.get(TABLE, key(row))))
            if got is None or state(row, got.cells) != 1:
                raise AssertionError(f"{row} is {got}")
            wire.close()
        finally:
            server.close()
        self.reached[MADE] = self.reached.get(MADE, 0) + 1
        return MADE

    def leave_something(self):
        """What the next start has to clean away: versions, and tables with what they held."""
        wire = ots.wire(self.server, self.instance)
        leave_surplus(wire, self.surplus)
        self.surplus += 1
        for _ in range(3):
            self.dropper.round(wire)
        wire.close()

    def work(self, limit_s):
        """True if the server died by itself."""
        stop, died = threading.Event(), []
        wire = ots.wire(self.server, self.instance)
        dropper = threading.Thread(target=self.dropper.work, args=(wire, stop))
        dropper.start()

        def ends():
            end = time.monotonic() + limit_s
            while time.monotonic() < end and self.server.process.poll() is None:
                time.sleep(0.005)
            died.append(self.server.process.poll() is not None)
            self.server.kill()

        try:
            self.crowd.work([self.server], ends)
        finally:
            stop.set()
            dropper.join()
        if self.dropper.failure:
            raise self.dropper.failure
        return died[0]

    def settled(self, name):
        self.arm(None)
        self.server.start()
        self.crowd.settle(self.server)
        self.dropper.settle(self.server, self.instance)
        if self.surplus:
            wire = ots.wire(self.server, self.instance)
            check_surplus(wire, self.surplus - 1)
            wire.close()
        self.reached[name] = self.reached.get(name, 0) + 1
        return name

    def arm(self, point):
        self.server.variables = {"FEITIAN_FAILPOINTS": point} if point else {}

    def passes(self, point):
        """How often the point is passed before the server dies at it: what happens seldom would not happen in a round."""
        if point == "engine.renewed" or point.startswith(REOPENING):
            return 1
        often = ("engine.before_", "engine.after_", "tables.before_", "tables.after_")
        if point.startswith(often):
            return self.random.randint(1, 300)
        return self.random.randint(1, 40 if point.endswith(".before_row") else 3)

    def short_of(self, kills):
        """Fail points that a run of so many kills should have reached more often."""
        wanted = min(TIMES, kills * 7 // 8 // len(POINTS))
        return [point for point in POINTS if self.reached.get(point, 0) < wanted]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--seed", default="1")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.kills} kills", flush=True)
    server = harness.Server(data=arguments.data).start()
    try:
        loop = Loop(server, arguments.seed)
        turn = 0
        for kill in range(arguments.kills):
            begun, before = time.monotonic(), loop.acknowledged
            # Every eighth kill falls at a random moment, the others at the points in turn.
            point = None
            if kill % 8 != 7:
                point, turn = POINTS[turn % len(POINTS)], turn + 1
            name = loop.round(point, ROUND_S if point else loop.random.uniform(0.3, 3))
            told, took = loop.acknowledged - before, time.monotonic() - begun
            print(f"kill {kill:4} at {name:28} {told:5} acknowledged, all in order, {took:.1f} s", flush=True)
        units, least, most = loop.crowd.check_units(server)
        server.stop()
    finally:
        server.close()
    print(f"{arguments.kills} kills, {loop.acknowledged} acknowledged, no answer that no order explains")
    print(f"{units} write units in the ledger, of which {least} in answers; {most} would be the most")
    for name, times in sorted(loop.reached.items()):
        print(f"{times:5} kills at {name}")
    short = loop.short_of(arguments.kills)
    if short:
        raise SystemExit(f"fail points that were reached too seldom: {', '.join(short)}")
    if loop.acknowledged < LEAST * arguments.kills:
        raise SystemExit(f"fewer than {LEAST} acknowledged a kill")


if __name__ == "__main__":
    main()
