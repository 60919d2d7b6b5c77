"""How feitian is when it has grown old: many small writes, many partitions, many tables, a long history.

    FEITIAN_TEST_BIN=target/debug/feitian python bench_old.py [--data DIR] [--scale 1] [--only streams,history]

- Every part has a server and a directory of its own, SQLite, and the machine for itself. Times are those of a PyODPS client
  or of one signed request, from the call to the last byte of the answer; medians of several.
- Streams: the PUTs come from processes of their own, each with a stream session of PyODPS, rows as records. The same rows
  are in another table by one upload. Counting takes turns between the two.
- Partitions: dynamic INSERTs of 10,000 partitions with one row each. `after a restart` is the first call that opens the
  table in a new process.
- Tables: scripts of CREATE TABLE.
- History: rows are written into `meta.db` while no server runs, in the form that feitian gives them; the oldest of them
  are due to be forgotten. A start is timed from the process to the first answer of `/readyz`, asked every 5 ms.

`--scale 0.01` makes everything smaller. Prints Markdown; `step N/M what` on standard error says how far it is.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse

import harness

CLIENTS = 8
PUTS, ROWS_OF_PUT = 5_000, 100
PARTITIONS, PARTITIONS_OF_INSERT = 100_000, 10_000
TABLES, TABLES_OF_SCRIPT = 10_000, 500
# 30 days of one job a second, and what is a day older.
HISTORY, HISTORY_DUE = 30 * 86_400, 86_400
DAY_MS = 86_400_000
RUNS = 15
PAGE = 1000
FULL_SCAN = {"odps.sql.allow.fullscan": "true"}

COUNT_RATIO_TARGET = 2.0
# What the log may hold beyond what retention keeps: two stretches between checkpoints.
LOG_FILES_TARGET = 210
PARTITIONS_TARGET_MS = 1000
LISTING_TARGET_MS = 200
START_TARGET_MS = 1000
WRITER_TARGET_MS = 500


class Steps:
    """Says how far the run is."""

    def __init__(self, of):
        self.done, self.of = 0, of

    def next(self, what):
        self.done += 1
        print(f"step {min(self.done, self.of)}/{self.of} {what}", file=sys.stderr, flush=True)


class Table:
    """A Markdown table of results with their targets."""

    def __init__(self, title, text):
        print(f"## {title}\n\n{text}\n\n| what | found | target | |\n|---|---|---|---|")

    def line(self, what, found, target="", is_met=None):
        verdict = {None: "", True: "PASS", False: "miss"}[is_met]
        print(f"| {what} | {found} | {target} | {verdict} |")

    def below(self, what, milliseconds, target):
        self.line(what, f"{milliseconds:.0f} ms", f"under {target} ms", milliseconds < target)

    def end(self):
        print()


def timed(call):
    """Milliseconds of one call, and its result."""
    begun = time.perf_counter()
    result = call()
    return (time.perf_counter() - begun) * 1000, result


def median_of(call, runs=RUNS):
    """The median milliseconds of several calls that give the same result, and that result."""
    found = [timed(call) for _ in range(runs)]
    results = {json.dumps(result, default=str) for _, result in found}
    if len(results) != 1:
        raise AssertionError(f"the same call gave different results: {sorted(results)[:2]}")
    return statistics.median(ms for ms, _ in found), found[0][1]


def rows_of(entry, sql):
    with entry.execute_sql(sql, hints=FULL_SCAN).open_reader() as reader:
        return [list(record.values) for record in reader]


def get(entry, path, **params):
    """The text of one GET below the project."""
    answer = entry.rest.get(f"{entry.endpoint}/projects/{entry.project}/{path}", params=params)
    return answer.text


def admin_get(server, path, **params):
    """The answer of the admin API to one GET below the project: what pages of the console show."""
    # The path of the admin API is not below that of the REST endpoint, and PyODPS signs what comes after its endpoint.
    root = server.endpoint.removesuffix("/api")
    entry = server.entry(endpoint=root)
    return entry.rest.get(f"{root}/admin/v1/projects/{entry.project}/{path}", params=params).json()


def expect(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {found}, not {wanted}")


def start_ms(server):
    """Starts the server; milliseconds from the process to its first ready answer."""
    sleep = time.sleep
    begun = time.perf_counter()
    harness.time.sleep = lambda _: sleep(0.005)
    try:
        server.start()
    finally:
        harness.time.sleep = sleep
    return (time.perf_counter() - begun) * 1000


# --- Streams ---


def put_rows(login, table, first, count, ready, answers):
    """A client: `count` PUTs of ROWS_OF_PUT rows each, numbered from `first`, once all clients are ready.

    Gives the seconds of its begin and end on the machine's clock and the milliseconds of each PUT.
    """
    from odps import ODPS
    from odps.tunnel import TableTunnel

    entry = ODPS(**login)
    session = TableTunnel(entry).create_stream_upload_session(table)
    taken = []
    ready.wait()
    start = time.monotonic()
    for n in range(first, first + count):
        begun = time.perf_counter()
        writer = session.open_record_writer()
        for row in range(ROWS_OF_PUT):
            number = n * ROWS_OF_PUT + row
            writer.write(session.new_record([number, f"row {number}"]))
        writer.close()
        taken.append((time.perf_counter() - begun) * 1000)
    answers.put((start, time.monotonic(), taken))


def all_puts(entry, table, puts):
    """Seconds of all PUTs from CLIENTS processes, and the milliseconds of each."""
    login = {
        "access_id": entry.account.access_id,
        "secret_access_key": entry.account.secret_access_key,
        "project": entry.project,
        "endpoint": entry.endpoint,
    }
    context = multiprocessing.get_context("spawn")
    answers, ready = context.Queue(), context.Barrier(CLIENTS)
    share = puts // CLIENTS
    clients = [
        context.Process(target=put_rows, args=(login, table, i * share, share, ready, answers)) for i in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    found = [answers.get() for _ in clients]
    for client in clients:
        client.join()
    seconds = max(end for _, end, _ in found) - min(start for start, _, _ in found)
    return seconds, [ms for _, _, taken in found for ms in taken]


def upload_at_once(entry, table, rows):
    import pyarrow
    from odps.tunnel import TableTunnel

    session = TableTunnel(entry).create_upload_session(table)
    with session.open_arrow_writer(0) as writer:
        numbers = list(range(rows))
        texts = [f"row {n}" for n in numbers]
        writer.write(pyarrow.record_batch([pyarrow.array(numbers), pyarrow.array(texts)], names=["a", "b"]))
    session.commit([0])


def log_files(server, table):
    """Commit files, checkpoints and data files in the directory of a table."""
    project = os.path.join(server.data, "warehouse/demo")
    (directory,) = [d for d in os.listdir(project) if d.startswith(f"{table}-")]
    log = os.listdir(os.path.join(project, directory, "_delta_log"))
    data = [f for f in os.listdir(os.path.join(project, directory)) if f.endswith(".parquet")]
    return sum(f.endswith(".json") for f in log), sum(".checkpoint." in f for f in log), len(data)


def collect(server, seconds):
    """Removes what nobody needs any more; versions are kept for `seconds`, their log twice as long."""
    # The path of the admin API is not below that of the REST endpoint, and PyODPS signs what comes after its endpoint.
    root = server.endpoint.removesuffix("/api")
    body = json.dumps({"older_than_seconds": seconds})
    headers = {"Content-Type": "application/json"}
    server.entry(endpoint=root).rest.post(f"{root}/admin/v1/collect", data=body, headers=headers)


def streams(server, scale, steps):
    puts = max(int(PUTS * scale) // CLIENTS, 1) * CLIENTS
    rows = puts * ROWS_OF_PUT
    server.start()
    entry = server.entry()
    steps.next(f"{puts} PUTs from {CLIENTS} clients")
    for name in ("streamed", "at_once"):
        entry.create_table(name, "a bigint, b string")
    seconds, taken = all_puts(entry, "streamed", puts)
    steps.next("the same rows in one commit")
    upload_at_once(entry, "at_once", rows)
    table = Table(
        "Small writes",
        f"{puts:,} stream PUTs of {ROWS_OF_PUT} rows from {CLIENTS} clients into one table, and the same rows in one commit.",
    )
    percentiles = statistics.quantiles(taken, n=100)
    table.line("PUTs a second, durable and visible", f"{puts / seconds:.0f}")
    table.line("one PUT, p50 and p99", f"{percentiles[49]:.0f} ms, {percentiles[98]:.0f} ms")
    for what, sql, wanted in (
        ("select count(*)", "select count(*) from {}", rows),
        ("select sum(a)", "select sum(a) from {}", rows * (rows - 1) // 2),
    ):
        steps.next(what)
        found = {"streamed": [], "at_once": []}
        for _ in range(RUNS):
            for name, times in found.items():
                ms, result = timed(lambda name=name: rows_of(entry, sql.format(name)))
                expect(what, [[int(v) for v in row] for row in result], [[wanted]])
                times.append(ms)
        many, one = (statistics.median(times) for times in found.values())
        times = f"{many:.0f} ms and {one:.0f} ms: {many / one:.2f} times"
        if what.endswith("count(*)"):
            target = f"at most {COUNT_RATIO_TARGET:.0f} times"
            table.line(f"`{what}`, streamed and at once", times, target, many / one <= COUNT_RATIO_TARGET)
        else:
            table.line(f"`{what}`, streamed and at once", times)
    steps.next("collection")
    commits, checkpoints, data = log_files(server, "streamed")
    table.line("log before collection", f"{commits} commit files, {checkpoints} checkpoints")
    table.line("data files written, old ones included", data)
    # Twice the age of the versions that are kept has to pass.
    time.sleep(3)
    collect(server, 1)
    commits, checkpoints, data = log_files(server, "streamed")
    held = f"{commits} commit files, {checkpoints} checkpoints"
    table.line("log after it, versions kept for a second", held, f"up to {LOG_FILES_TARGET}", commits <= LOG_FILES_TARGET)
    table.line("data files after it", data)
    expect("rows after it", [[int(v) for v in row] for row in rows_of(entry, "select count(*) from streamed")], [[rows]])
    table.end()


# --- Partitions ---


def partition_page(entry, marker=None, **more):
    params = {"partitions": "", "expectmarker": "true", "maxitems": str(PAGE), **more}
    if marker:
        params["marker"] = marker
    return get(entry, "tables/many", **params).count("<Partition>")


def partitions(server, scale, steps):
    count = max(int(PARTITIONS * scale), 10)
    server.start()
    entry = server.entry()
    entry.create_table("many", ("a bigint", "ds string"))
    begun = time.perf_counter()
    for first in range(0, count, PARTITIONS_OF_INSERT):
        last = min(first + PARTITIONS_OF_INSERT, count) - 1
        steps.next(f"partitions {first:,} to {last:,}")
        rows = f"select id, concat('p', lpad(cast(id as string), 6, '0')) from (select explode(sequence({first}, {last})) as id) t"
        entry.execute_sql(f"insert into many partition (ds) {rows}")
    seconds = time.perf_counter() - begun
    table = Table("Partitions", f"One table with {count:,} partitions, one row each.")
    table.line("making them, by dynamic INSERTs", f"{seconds:.0f} s, {count / seconds:.0f} a second")
    page = min(PAGE, count)
    middle = f"p{count // 2:06}"
    largest = f"p{count - 1:06}"
    calls = [
        (f"first page of {PAGE} partitions", lambda: partition_page(entry), page),
        (f"a page in the middle of {PAGE}", lambda: partition_page(entry, f"ds=p{count // 2 - 1:06}"), min(page, count // 2)),
        ("the page of one value", lambda: partition_page(entry, partition=f"ds='{middle}'"), 1),
        ("one partition's document", lambda: get(entry, "tables/many", partition=f"ds='{middle}'").count("<LocalDateTime") >= 0, True),
        ("`select count(*) … where ds = 'x'`", lambda: rows_of(entry, f"select count(*) from many where ds = '{middle}'"), None),
        ("`select a … where ds = 'x'`", lambda: rows_of(entry, f"select a from many where ds = '{middle}'"), None),
        ("`select a … where ds > 'x'`, the last ten", lambda: len(rows_of(entry, f"select a from many where ds > 'p{count - 11:06}'")), 10),
        ("`select max_pt('many')`", lambda: rows_of(entry, "select max_pt('many')"), [[largest]]),
        ("`select count(*)`, all partitions", lambda: rows_of(entry, "select count(*) from many"), None),
    ]
    for what, call, wanted in calls:
        steps.next(what)
        ms, found = median_of(call)
        if wanted is not None:
            expect(what, found, wanted)
        table.below(what, ms, PARTITIONS_TARGET_MS)
    steps.next("show partitions")
    ms, text = timed(lambda: entry.execute_sql("show partitions many").open_reader().raw)
    expect("SHOW PARTITIONS", len(text.split()), count)
    table.line("`show partitions`, all of them", f"{ms:.0f} ms")
    steps.next("a small INSERT")
    ms, _ = timed(lambda: entry.execute_sql(f"insert into many partition (ds = '{middle}') values (1)"))
    table.below("INSERT of one row into one of them", ms, PARTITIONS_TARGET_MS)
    steps.next("after a restart")
    server.stop()
    table.below("start", start_ms(server), START_TARGET_MS)
    ms, found = timed(lambda: rows_of(entry, f"select count(*) from many where ds = '{middle}'"))
    expect("count after a restart", [[int(v) for v in row] for row in found], [[2]])
    table.below("`select count(*) … where ds = 'x'` after a restart", ms, PARTITIONS_TARGET_MS)
    table.end()


# --- Tables ---


def table_page(entry, marker=None, **more):
    params = {"expectmarker": "true", "maxitems": str(PAGE), **more}
    if marker:
        params["marker"] = marker
    return get(entry, "tables", **params).count("<Table")


def tables(server, scale, steps):
    count = max(int(TABLES * scale), 10)
    server.start()
    entry = server.entry()
    begun = time.perf_counter()
    for first in range(0, count, TABLES_OF_SCRIPT):
        last = min(first + TABLES_OF_SCRIPT, count)
        steps.next(f"tables {first:,} to {last - 1:,}")
        entry.execute_sql("\n".join(f"create table t{n:05} (a bigint, b string);" for n in range(first, last)))
    seconds = time.perf_counter() - begun
    table = Table("Tables", f"One project with {count:,} tables.")
    table.line("making them, by CREATE TABLE", f"{seconds:.0f} s, {count / seconds:.0f} a second")
    after = f"t{max(count * 9 // 10 - 1, 0):05}"
    calls = [
        (f"first page of {PAGE} tables", lambda: table_page(entry), LISTING_TARGET_MS),
        (f"a page near the end", lambda: table_page(entry, after), LISTING_TARGET_MS),
        ("the console's page of 100 tables, with what each holds", lambda: len(admin_get(server, "tables", maxitems="100")["tables"]), LISTING_TARGET_MS),
        ("the tables with a prefix", lambda: table_page(entry, name=f"t{count // 20000:02}"), LISTING_TARGET_MS),
        ("one table's document", lambda: len(get(entry, f"tables/t{count // 2:05}")) > 0, LISTING_TARGET_MS),
        ("`show tables like 't0000*'`", lambda: len(entry.execute_sql("show tables like 't0000*'").open_reader().raw.split()), 1000),
        ("`show tables`, all of them", lambda: len(entry.execute_sql("show tables").open_reader().raw.split()), 1000),
    ]
    for what, call, target in calls:
        steps.next(what)
        ms, _ = median_of(call)
        table.below(what, ms, target)
    steps.next("collection")
    ms, _ = timed(lambda: collect(server, 86_400))
    table.line("one collection over all tables, in the background", f"{ms:.0f} ms")
    server.stop()
    table.below("start", start_ms(server), START_TARGET_MS)
    table.end()


# --- History ---


def instance_rows(columns, count, now_ms, login):
    """Rows of `instances` as ended queries leave them, one a second up to now."""
    owner = login["owner"]
    rng = random.Random(1)
    query = "select l_returnflag, l_linestatus, sum(l_quantity), count(*) from lineitem where l_shipdate < '{}' group by 1, 2"
    summary = json.dumps(
        {"elapsed_ms": 812, "rows_in": 6_001_215, "rows_out": 4, "operators": [{"depth": d, "operator": "DataSourceExec", "text": "x" * 40, "rows": 10, "cpu_us": 10, "spilled_bytes": 0} for d in range(4)]}
    )
    source = "<Job><Priority>9</Priority><Tasks><SQL><Name>AnonymousSQLTask</Name></SQL></Tasks></Job>"
    for n in range(count):
        submitted = now_ms - (count - n) * 1000
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(submitted / 1000)) + f"{submitted % 1000:03}"
        values = {
            "id": f"{stamp}g{rng.getrandbits(48):012x}",
            "project": "demo" if n % 4 else "other",
            "owner": owner if n % 3 else "ALIYUN$somebody",
            "guid": f"{rng.getrandbits(128):032x}",
            "priority": 9,
            "task_name": "AnonymousSQLTask",
            "task_type": "SQL",
            "state": "Success" if n % 10 else "Failed",
            "node": "node",
            "attempt": 1,
            "step": 0,
            "stop_requested": 0,
            "submitted_ms": submitted,
            "started_ms": submitted + 5,
            "ended_ms": submitted + 817,
            "is_select": 1,
            "result_rows": 4,
            "result_path": None,
            "error": None if n % 10 else "ODPS-0130131:[1,15] Table not found",
            "settings": '{"odps.sql.timezone":"Asia/Shanghai"}',
            "query": query.format(n),
            "source": source,
            "summary": summary,
            "result_columns": None,
            "result_inline": None,
        }
        yield [values[c] for c in columns]


def write_history(database, count, now_ms, login):
    """Writes `count` instances; the indexes are made after the rows, as that is faster."""
    db = sqlite3.connect(database)
    known = [row[1] for row in db.execute("PRAGMA table_info(instances)")]
    sample = "id project owner guid priority task_name task_type state node attempt step stop_requested submitted_ms"
    sample += " started_ms ended_ms is_select result_rows result_path error settings query source summary"
    sample += " result_columns result_inline"
    columns = [c for c in known if c in sample.split()]
    expect("columns of instances that are filled", len(columns), len(sample.split()))
    indexes = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'instances' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}")
    marks = ", ".join("?" for _ in columns)
    insert = f"INSERT INTO instances ({', '.join(columns)}) VALUES ({marks})"
    with db:
        db.executemany(insert, instance_rows(columns, count, now_ms, login))
    with db:
        for _, sql in indexes:
            db.execute(sql)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def due(database, before_ms):
    """How many instances should be forgotten, read beside the server."""
    db = sqlite3.connect(f"file:{urllib.parse.quote(database)}?mode=ro", uri=True)
    (count,) = db.execute("SELECT count(*) FROM instances WHERE ended_ms < ?", [before_ms]).fetchone()
    db.close()
    return count


class Writing(threading.Thread):
    """Writes metadata all the time, a job that ends at once, and keeps how long each took."""

    def __init__(self, entry):
        super().__init__(daemon=True)
        self.entry, self.taken, self.over = entry, [], threading.Event()

    def run(self):
        while not self.over.is_set():
            ms, _ = timed(lambda: self.entry.execute_sql("select 1"))
            self.taken.append(ms)

    def end(self):
        self.over.set()
        self.join()
        return self.taken


def history(server, scale, steps):
    count, old = max(int(HISTORY * scale), 2000), max(int(HISTORY_DUE * scale), 600)
    steps.next("a first start")
    server.start()
    entry = server.entry()
    login = {"owner": entry.get_project().owner}
    server.stop()
    steps.next(f"writing {count + old:,} instances")
    database = os.path.join(server.data, "meta.db")
    # Scaled down the seconds are fewer: then the oldest are older than their number says.
    now_ms = int(time.time() * 1000)
    begun = time.perf_counter()
    write_history(database, count + old, now_ms, login)
    seconds = time.perf_counter() - begun
    before_ms = now_ms - 30 * DAY_MS
    if scale != 1:
        db = sqlite3.connect(database)
        with db:
            db.execute("UPDATE instances SET ended_ms = ? WHERE submitted_ms < ?", [before_ms - 1, now_ms - count * 1000])
        db.close()
    table = Table("History", f"{count:,} ended jobs of 30 days, and {old:,} that are older and due to be forgotten.")
    table.line("`meta.db`", f"{os.path.getsize(database) / 1e9:.2f} GB, written in {seconds:.0f} s")
    steps.next("starting")
    starts = []
    for n in range(5):
        starts.append(start_ms(server))
        if n < 4:
            server.kill()
    table.below("start, the median of 5 (4 after kill -9)", statistics.median(starts), START_TARGET_MS)
    started = time.monotonic()
    calls = [
        ("newest page of instances", {}),
        ("newest page, those of one account", {"onlyowner": "yes"}),
        ("newest page, those that ended", {"status": "Terminated"}),
        ("those that run or wait", {"status": "Running"}),
        ("those that run or wait, of one account", {"status": "Running", "onlyowner": "yes"}),
    ]
    for what, params in calls:
        steps.next(what)
        page = lambda: get(entry, "instances", expectmarker="true", maxitems="100", **params).count("<Instance>")
        ms, found = median_of(page)
        expect(what, found, 0 if params.get("status") == "Running" else 100)
        table.below(what, ms, LISTING_TARGET_MS)
    failed = {"status": "Failed", "maxitems": "50"}
    calls = [
        ("the console's page of those that failed", failed, 50),
        ("the same, of one account", {**failed, "owner": login["owner"]}, 50),
        ("the console's page of those that were stopped", {**failed, "status": "Cancelled"}, 0),
    ]
    for what, params, wanted in calls:
        steps.next(what)
        ms, found = median_of(lambda: len(admin_get(server, "instances", **params)["instances"]))
        expect(what, found, wanted)
        table.below(what, ms, LISTING_TARGET_MS)
    clean_up(server, entry, database, before_ms, started, table, steps)
    table.end()


def clean_up(server, entry, database, before_ms, started, table, steps):
    """Writes while nothing is cleaned up and while it is."""
    steps.next("writing beside nothing")
    writing = Writing(entry)
    writing.start()
    time.sleep(10)
    quiet = writing.end()
    whole = due(database, before_ms)
    steps.next("writing beside the clean-up")
    harness.wait_for("the first clean-up", lambda: due(database, before_ms) < whole, seconds=180)
    waited = time.monotonic() - started
    writing = Writing(entry)
    begun = time.perf_counter()
    left = due(database, before_ms)
    writing.start()
    harness.wait_for("the end of the clean-up", lambda: time.sleep(0.2) or due(database, before_ms) == 0, seconds=900)
    seconds = time.perf_counter() - begun
    busy = writing.end()
    table.line("first clean-up after a start", f"{waited:.0f} s")
    table.line("forgetting", f"{left:,} jobs in {seconds:.0f} s, {left / max(seconds, 0.001):.0f} a second")
    table.line("a job `select 1` beside nothing, median and longest", f"{statistics.median(quiet):.0f} ms, {max(quiet):.0f} ms")
    found = f"{statistics.median(busy):.0f} ms, {max(busy):.0f} ms"
    table.line("the same beside the clean-up", found, f"longest under {WRITER_TARGET_MS} ms", max(busy) < WRITER_TARGET_MS)


PARTS = {"streams": (streams, 6), "partitions": (partitions, 24), "tables": (tables, 28), "history": (history, 13)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="an empty or absent directory (default: a temporary one)")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--only", help="parts, separated by commas: " + ", ".join(PARTS))
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else list(PARTS)
    data = arguments.data or tempfile.mkdtemp(prefix="feitian-old-")
    steps = Steps(sum(PARTS[name][1] for name in chosen))
    try:
        for name in chosen:
            os.makedirs(os.path.join(data, name), exist_ok=True)
            server = harness.Server(data=os.path.join(data, name))
            try:
                PARTS[name][0](server, arguments.scale, steps)
            finally:
                server.close()
                shutil.rmtree(os.path.join(data, name), ignore_errors=True)
    finally:
        if not arguments.data:
            shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
