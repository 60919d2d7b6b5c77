"""TPC-H through the ODPS API beside DataFusion, DuckDB and Spark over the same files, and `select 1` by many clients.

    FEITIAN_TEST_BIN=target/debug/feitian python bench_sql.py --data DIR --select-bench BIN [--scale 10] [--rounds 3]

- The tables are made by tpchgen and loaded once by PyODPS through the tunnel, as Arrow. DIR keeps them for the next run; a
  load that was cut off is begun again.
- DIR keeps every round of every engine, too, until the whole run has been printed: one that was cut off goes on where it
  was. A round of another feitian, or of the same queries written differently, is taken again.
- feitian answers PyODPS: a query is timed from `execute_sql` to the last row of its reader. The other engines are libraries
  in a Python process (`tpch_engines.py`), timed from the text to the last row in Python. They read the Parquet files that
  the Delta log of each table names, and no others, through hard links.
- Every engine has 2 threads on the same 2 cores and a limit of 8 GiB by its own settings, and the machine for itself: a
  round is one process of one engine that answers all queries once, after a COUNT(*) of each table. The order of engines
  turns round with every round. A query's time is the median of its rounds. Spark, which compiles while it runs, has all its
  rounds in one process.
- Every answer of every engine is compared with DuckDB's.
- `select 1`: the server on a core of its own, all clients on another one. A client is a process with PyODPS, or a thread of
  `feitian-select-bench`, which costs so little that the server is what is timed.

Prints Markdown; `step N/M what` on standard error says how far it is.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import time
from decimal import Decimal
from functools import partial

import harness
import tpch
from bench_select1 import run_on, select_one
from tpch_engines import processor_seconds

THREADS = 2
MEMORY = 8 << 30
# Of all queries: how many times as long they may take as in DataFusion and DuckDB.
MOST_OF_DATAFUSION, MOST_OF_DUCKDB = 0.6, 1.2
# And each in DuckDB, unless it takes less than so many seconds.
MOST_OF_A_QUERY, LEAST_SECONDS = 2.5, 0.5
# A query is looked at that takes more times as long as in DataFusion.
BEHIND = 1.15
# One upload takes this many rows: a lineitem block of some 200 MB of Parquet.
BLOCK_ROWS = 6_000_000
BATCH_ROWS = 65_536
# As many queries are named with what they took when they are further behind DataFusion than the target.
WORST = 8
CLIENTS = 16
RUNS_OF_ONE, RUNS_OF_MANY, WARM_UP = 400, 100, 10
ENGINES = ("feitian", "DataFusion", "DuckDB", "Spark")
PACKAGES = {"DataFusion": "datafusion", "DuckDB": "duckdb", "Spark": "pyspark"}


class Steps:
    """Says how far the run is."""

    def __init__(self, of):
        self.done, self.of = 0, of

    def next(self, what):
        self.done += 1
        print(f"step {min(self.done, self.of)}/{self.of} {what}", file=sys.stderr, flush=True)


# --- Loading ---


def arrow_schema(columns):
    import pyarrow

    types = {"bigint": pyarrow.int64(), "string": pyarrow.string(), "date": pyarrow.date32()}
    named = [(column.name, str(column.type).lower()) for column in columns]
    return pyarrow.schema([(name, types.get(ty) or pyarrow.decimal128(15, 2)) for name, ty in named])


def generate(scale, folder):
    """One Parquet file for each table."""
    program = os.path.join(os.path.dirname(sys.executable), "tpchgen-cli")
    command = [program, "parquet", "--scale-factor", scale, "--output-dir", folder, "--quiet", "--no-progress"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def upload(entry, name, path):
    """Makes the table and writes the file's rows into it, in blocks of one session. Returns how many."""
    import pyarrow
    from odps.tunnel import TableTunnel
    from pyarrow import parquet

    table = entry.create_table(name, tpch.TABLES[name])
    schema = arrow_schema(table.table_schema.simple_columns)
    session = TableTunnel(entry).create_upload_session(name)
    writer, blocks, in_block, total = None, [], 0, 0
    for batch in parquet.ParquetFile(path).iter_batches(BATCH_ROWS):
        if writer is None:
            writer = session.open_arrow_writer(len(blocks))
            blocks.append(len(blocks))
        for part in pyarrow.Table.from_batches([batch]).cast(schema).combine_chunks().to_batches():
            writer.write(part)
        total += batch.num_rows
        in_block += batch.num_rows
        if in_block >= BLOCK_ROWS:
            writer.close()
            writer, in_block = None, 0
    if writer is not None:
        writer.close()
    session.commit(blocks)
    return total


def load(server, data, scale, steps):
    """Loads what is not there yet. What the load took stays beside the data, as the sign that it is whole."""
    stamp = os.path.join(data, "loaded.json")
    if os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as file:
            return json.load(file)
    source = os.path.join(data, "source")
    shutil.rmtree(source, ignore_errors=True)
    steps.next("generating the tables")
    generate(scale, source)
    entry = server.entry()
    rows, begun = 0, time.perf_counter()
    for name in tpch.TABLES:
        steps.next(f"loading {name}")
        entry.delete_table(name, if_exists=True)
        rows += upload(entry, name, os.path.join(source, f"{name}.parquet"))
    found = {"rows": rows, "seconds": time.perf_counter() - begun}
    shutil.rmtree(source)
    with open(f"{stamp}.part", "w", encoding="utf-8") as file:
        json.dump(found, file)
    os.rename(f"{stamp}.part", stamp)
    return found


def link(data, target):
    """A folder for each table with the files of its Delta log. Returns how many files and bytes these are."""
    from deltalake import DeltaTable

    shutil.rmtree(target, ignore_errors=True)
    linked = {}
    project = os.path.join(data, "server/warehouse/demo")
    for directory in sorted(os.listdir(project)):
        # A table that was dropped by a load after one that was cut off.
        if not os.path.isdir(os.path.join(project, directory, "_delta_log")):
            continue
        table = DeltaTable(os.path.join(project, directory))
        name = table.metadata().name.split(".")[-1]
        if name in tpch.TABLES:
            linked.setdefault(name, []).append((directory, [uri.removeprefix("file://") for uri in table.file_uris()]))
    total = 0
    for name in tpch.TABLES:
        # Directories end in ids that grow with time: the last one is the table that has the name now.
        files = max(linked[name])[1]
        os.makedirs(os.path.join(target, name))
        for number, path in enumerate(sorted(files)):
            os.link(path, os.path.join(target, name, f"{number:04}.parquet"))
            total += os.path.getsize(path)
    return sum(len(max(found)[1]) for found in linked.values()), total


# --- Measuring ---


class Found:
    """What one engine did: seconds and processor seconds by query, one for each round, and its last answers."""

    def __init__(self):
        self.seconds, self.processor, self.errors, self.answers = {}, {}, {}, {}
        self.peak = 0
        self.absent = None

    def join(self, later):
        for mine, theirs in ((self.seconds, later.seconds), (self.processor, later.processor)):
            for number, times in theirs.items():
                mine.setdefault(number, []).extend(times)
        self.errors.update(later.errors)
        self.answers.update(later.answers)
        self.peak = max(self.peak, later.peak)

    def add(self, line):
        number = line["query"]
        if "error" in line:
            self.errors[number] = line["error"]
        else:
            self.seconds.setdefault(number, []).append(line["seconds"])
            self.processor.setdefault(number, []).append(line["processor"])

    def median(self, number):
        if number in self.errors or number not in self.seconds:
            return None
        return statistics.median(self.seconds[number])

    def total(self):
        medians = [self.median(number) for number in tpch.QUERIES]
        return None if None in medians else sum(medians)


def exact(value, ty):
    """The record reader leaves out zeros at the end of a DECIMAL; its scale says what an equal value may be off by."""
    scale = getattr(ty, "scale", None)
    return value.quantize(Decimal(1).scaleb(-scale)) if isinstance(value, Decimal) and scale is not None else value


def ask(entry, text):
    """The rows of a query by PyODPS."""
    with entry.execute_sql(text).open_reader(tunnel=True) as reader:
        types = [column.type for column in reader.schema.columns]
        return [tuple(map(exact, record.values, types)) for record in reader]


def feitian_round(server, scale, steps):
    found = Found()
    server.start()
    try:
        entry, process = server.entry(), server.process.pid
        for table in tpch.TABLES:
            ask(entry, f"SELECT COUNT(*) FROM {table}")
        for number in tpch.QUERIES:
            steps.next(f"query {number}, feitian")
            text = tpch.query(number, scale)
            begun, processor = time.perf_counter(), processor_seconds(process)
            try:
                found.answers[number] = ask(entry, text)
            except Exception as error:  # Whatever it is, it is the answer.
                found.add({"query": number, "error": f"{type(error).__name__}: {error}"[:300]})
                continue
            seconds = time.perf_counter() - begun
            found.add({"query": number, "seconds": seconds, "processor": processor_seconds(process) - processor})
        found.peak = server.peak_memory()
    finally:
        server.stop()
    return found


def engine_round(engine, files, scale, scratch, rounds, steps):
    found = Found()
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    answers = f"{scratch}.answers"
    here = os.path.dirname(os.path.abspath(__file__))
    command = [sys.executable, "-B", os.path.join(here, "tpch_engines.py"), engine, "--files", files, "--scale", scale]
    command += ["--rounds", str(rounds), "--threads", str(THREADS), "--memory", str(MEMORY)]
    command += ["--scratch", scratch, "--answers", answers]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        for text in process.stdout:
            line = json.loads(text)
            if "query" in line:
                steps.next(f"query {line['query']}, {engine}")
                found.add(line)
            else:
                found.peak = line["peak"]
    if process.returncode != 0:
        raise AssertionError(f"{engine} ended with {process.returncode}")
    with open(answers, "rb") as file:
        # Our own child has just written it.
        found.answers = pickle.load(file)
    os.remove(answers)
    # Spark's own processes may still be removing theirs.
    shutil.rmtree(scratch, ignore_errors=True)
    return found


class Kept:
    """The rounds that a run before this one has finished."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def path(self, engine, number):
        return os.path.join(self.folder, f"{engine}-{number}.pickle")

    def stamp(self, engine):
        """What may not have changed since."""
        program = os.stat(os.environ["FEITIAN_TEST_BIN"])
        build = (program.st_size, program.st_mtime_ns) if engine == "feitian" else importlib.metadata.version(PACKAGES[engine])
        return (tpch.TABLES, tpch.QUERIES, THREADS, MEMORY, build)

    def get(self, engine, number):
        try:
            with open(self.path(engine, number), "rb") as file:
                # This program has written it.
                stamp, found = pickle.load(file)
        except FileNotFoundError:
            return None
        return found if stamp == self.stamp(engine) else None

    def put(self, engine, number, found):
        path = self.path(engine, number)
        with open(f"{path}.part", "wb") as file:
            pickle.dump((self.stamp(engine), found), file)
        os.rename(f"{path}.part", path)

    def remove(self):
        shutil.rmtree(self.folder)


def spark_is_missing():
    """Why Spark is not measured; None if it can be."""
    if importlib.util.find_spec("pyspark") is None:
        return "not measured: `pyspark` is not installed"
    return None if shutil.which("java") else "not measured: there is no `java` on the PATH"


def schedule(arguments):
    """The rounds in their order: engine, number, and how many rounds it makes at once."""
    compared = [name for name in ("feitian", "DataFusion", "DuckDB") if name in arguments.engines]
    for number in range(arguments.rounds):
        for name in compared if number % 2 == 0 else reversed(compared):
            yield name, number, 1
    if "Spark" in arguments.engines and spark_is_missing() is None:
        yield "Spark", f"all-{arguments.rounds}", arguments.rounds


def measure(server, files, arguments, kept, steps):
    engines = {name: Found() for name in ENGINES}
    scratch = os.path.join(arguments.data, "scratch")
    for name, number, rounds in schedule(arguments):
        found = kept.get(name, number)
        if found is None:
            try:
                if name == "feitian":
                    found = feitian_round(server, arguments.scale, steps)
                else:
                    found = engine_round(name, files, arguments.scale, scratch, rounds, steps)
            except AssertionError as error:
                if name != "Spark":
                    raise
                engines[name].absent = f"not measured: {error}"
                continue
            kept.put(name, number, found)
        engines[name].join(found)
    for name, found in engines.items():
        if name not in arguments.engines:
            found.absent = "not asked for"
    if "Spark" in arguments.engines:
        engines["Spark"].absent = engines["Spark"].absent or spark_is_missing()
    return engines


# --- Comparing ---


def is_same(value, other):
    """Whether two values are equal: what is DOUBLE on either side to 1e-9 of it, and where the other side is a DECIMAL, to
    half of its last place as well; everything else exactly."""
    if value is None or other is None:
        return value is other
    floats = isinstance(value, float) + isinstance(other, float)
    if floats == 0:
        return value == other
    allowed = 1e-9 * max(abs(float(value)), abs(float(other)))
    if floats == 1:
        decimal = other if isinstance(value, float) else value
        allowed += 0.5 * 10.0 ** decimal.as_tuple().exponent if isinstance(decimal, Decimal) else 0
    return abs(float(value) - float(other)) <= allowed


def difference(number, answer, reference):
    """The first difference between two answers in words; None if they are equal."""
    if len(answer) != len(reference):
        return f"{len(answer)} rows, DuckDB has {len(reference)}"
    if number not in tpch.TOTALLY_ORDERED:
        answer, reference = (sorted(rows, key=lambda row: [(v is None, v) for v in row]) for rows in (answer, reference))
    for at, (row, other) in enumerate(zip(answer, reference), start=1):
        if len(row) != len(other) or not all(map(is_same, row, other)):
            return f"row {at} is {row}, DuckDB has {other}"
    return None


def differences(found, reference):
    """By query, for those that ran."""
    wrong = {}
    for number in tpch.QUERIES:
        if number in found.answers and number not in found.errors and number in reference.answers:
            text = difference(number, found.answers[number] or [], reference.answers[number] or [])
            if text:
                wrong[number] = text
    return wrong


# --- `select 1` ---


def client(arguments, runs, barrier, results):
    entry = harness.ODPS(**arguments)
    for _ in range(WARM_UP):
        select_one(entry)
    barrier.wait()
    begun = time.perf_counter()
    times = [select_one(entry) for _ in range(runs)]
    results.put((begun, time.perf_counter(), times))


def by_pyodps(server, clients, runs):
    """Milliseconds of each run, and seconds of all together."""
    login = server.credentials()
    arguments = {
        "access_id": login["access_id"],
        "secret_access_key": login["secret"],
        "project": login["project"],
        "endpoint": server.endpoint,
    }
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(clients + 1), context.Queue()
    processes = [context.Process(target=client, args=(arguments, runs, barrier, results)) for _ in range(clients)]
    for process in processes:
        process.start()
    barrier.wait()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join()
    seconds = max(end for _, end, _ in found) - min(begun for begun, _, _ in found)
    return [1000 * seconds for _, _, times in found for seconds in times], seconds


def by_threads(program, server, clients, runs):
    """The same by `feitian-select-bench`."""
    command = [program, "--base", f"http://127.0.0.1:{server.port}", "--clients", str(clients), "--runs", str(runs)]
    command += ["--credentials", os.path.join(server.data, "credentials")]
    printed = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout
    found = json.loads(printed)
    return found["milliseconds"], found["seconds"]


def measure_select(server, program, steps):
    """For each kind and number of clients: milliseconds of each run, runs a second, and the processor's share of each run on
    the server in milliseconds."""
    cores = sorted(os.sched_getaffinity(0))
    run_on({cores[0]}, server.start)
    # Processes inherit the cores.
    os.sched_setaffinity(0, {cores[-1]})
    found = {}
    try:
        for clients, runs in ((1, RUNS_OF_ONE), (CLIENTS, RUNS_OF_MANY)):
            for name, times_of in (("PyODPS", by_pyodps), ("a bare client", partial(by_threads, program))):
                steps.next(f"select 1, {clients} times {name}")
                processor = processor_seconds(server.process.pid)
                times, seconds = times_of(server, clients, runs)
                processor = processor_seconds(server.process.pid) - processor
                # The runs before the first that counts are the server's work, too.
                found[clients, name] = times, len(times) / seconds, 1000 * processor / (len(times) + clients * WARM_UP)
    finally:
        os.sched_setaffinity(0, cores)
        server.stop()
    return found


# --- Showing ---


def seconds_shown(value):
    return "-" if value is None else f"{value:.2f}"


def ratio(value, other):
    return "-" if value is None or other is None else f"{value / other:.2f}"


def show_tpch(arguments, engines, loaded, files, wrong):
    ours, plain, duck, spark = engines.values()
    print(f"## TPC-H at scale factor {arguments.scale}\n")
    print(
        f"{loaded['rows']:,} rows in 8 tables, loaded by PyODPS through the tunnel as Arrow in {loaded['seconds']:.0f} s: "
        f"{files[0]} Parquet files, {files[1] / 1e6:,.0f} MB."
    )
    print("Every engine reads these files, with 2 threads on the same 2 cores and 8 GiB, alone on the machine.")
    print(f"Seconds, each the median of {arguments.rounds}; for feitian from `execute_sql` to the last row of the reader.\n")
    print("| query | feitian | DataFusion | DuckDB | Spark | feitian / DataFusion | feitian / DuckDB | answer |")
    print("|---|---|---|---|---|---|---|---|")
    for number in tpch.QUERIES:
        times = [engine.median(number) for engine in engines.values()]
        answer = "failed" if number in ours.errors else "differs" if number in wrong["feitian"] else "equal"
        shown = " | ".join(map(seconds_shown, times))
        print(f"| {number} | {shown} | {ratio(times[0], times[1])} | {ratio(times[0], times[2])} | {answer} |")
    totals = [engine.total() for engine in engines.values()]
    shown = " | ".join(map(seconds_shown, totals))
    print(f"| total | {shown} | {ratio(totals[0], totals[1])} | {ratio(totals[0], totals[2])} | |\n")
    show_engines(engines)
    for name, engine in engines.items():
        for number, text in sorted(engine.errors.items()):
            print(f"- {name} fails at query {number}: {' '.join(text.split())}")
        for number, text in sorted(wrong[name].items()):
            print(f"- {name} differs at query {number}: {' '.join(text.split())[:300]}")
    print()
    show_targets(ours, plain, duck, wrong["feitian"])
    show_worst(ours, plain)


def show_engines(engines):
    print("| engine | version | build | processor seconds of all queries | peak memory, MB |")
    print("|---|---|---|---|---|")
    for name, engine in engines.items():
        if engine.absent:
            print(f"| {name} | - | {engine.absent} | - | - |")
            continue
        package = PACKAGES.get(name)
        version = importlib.metadata.version(package) if package else "this commit"
        build = f"release, `{package}` of PyPI" if package else "release, of this repository"
        processor = sum(statistics.median(times) for times in engine.processor.values())
        print(f"| {name} | {version} | {build} | {processor:.1f} | {engine.peak / 1e6:,.0f} |")
    print()


def show_targets(ours, plain, duck, wrong):
    print("| what | found | target | |")
    print("|---|---|---|---|")
    mine = ours.total()
    for name, theirs, most in (("DataFusion", plain.total(), MOST_OF_DATAFUSION), ("DuckDB", duck.total(), MOST_OF_DUCKDB)):
        verdict = "PASS" if mine and theirs and mine / theirs <= most else "miss"
        print(f"| total, feitian / {name} | {ratio(mine, theirs)} | at most {most:.2f} | {verdict} |")
    both = [n for n in tpch.QUERIES if ours.median(n) is not None and duck.median(n) is not None]
    over = [n for n in both if ours.median(n) >= LEAST_SECONDS and ours.median(n) > MOST_OF_A_QUERY * duck.median(n)]
    what = f"queries of {LEAST_SECONDS} s and more that take over {MOST_OF_A_QUERY} times as long as in DuckDB"
    print(f"| {what} | {', '.join(map(str, over)) or 'none'} | none | {'miss' if over else 'PASS'} |")
    count = len(tpch.QUERIES)
    equal = sum(number not in ours.errors and number not in wrong and number in duck.seconds for number in tpch.QUERIES)
    print(f"| answers equal to DuckDB's | {equal} of {count} | {count} | {'PASS' if equal == count else 'miss'} |\n")
    print("DOUBLE is compared to 1e-9 of the value. AVG and `/` of DECIMAL are DECIMAL in MaxCompute and DOUBLE in DuckDB;")
    print("these may differ by half of the last place as well. Everything else is exact; rows are compared in order where")
    print("ORDER BY leaves no choice, else sorted.\n")


def show_worst(ours, plain):
    both = [n for n in tpch.QUERIES if ours.median(n) is not None and plain.median(n) is not None]
    behind = sorted(both, key=lambda n: ours.median(n) / plain.median(n), reverse=True)
    behind = [n for n in behind if ours.median(n) / plain.median(n) > BEHIND][:WORST]
    if not behind:
        print(f"No query takes more than {BEHIND:.2f} times as long as in DataFusion.\n")
        return
    print(f"Furthest behind DataFusion, of those beyond {BEHIND:.2f}; two cores are all in use when the processor seconds are")
    print("twice the seconds:\n")
    print("| query | ratio | s | processor s | DataFusion: s | processor s | lost, s |")
    print("|---|---|---|---|---|---|---|")
    for n in behind:
        mine, theirs = ours.median(n), plain.median(n)
        cpu, their_cpu = (statistics.median(engine.processor[n]) for engine in (ours, plain))
        print(f"| {n} | {mine / theirs:.2f} | {mine:.2f} | {cpu:.2f} | {theirs:.2f} | {their_cpu:.2f} | {mine - theirs:.2f} |")
    print()


def show_select(found):
    print("## `select 1`\n")
    print("The server has one core, all clients together another. A client of PyODPS is a process that asks, opens a reader and")
    print("reads the row; a bare client is a thread in Rust that submits, waits and takes the result. The last column is what a")
    print("run costs the server: as many as fit into a second are the most that its core can answer.\n")
    print("| clients at once | runs | p50 ms | p99 ms | runs a second | server's processor ms a run |")
    print("|---|---|---|---|---|---|")
    for (clients, name), (times, rate, processor) in found.items():
        p50, p99 = (statistics.quantiles(times, n=100)[at] for at in (49, 98))
        print(f"| {clients}, {name} | {len(times)} | {p50:.1f} | {p99:.1f} | {rate:.0f} | {processor:.1f} |")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a directory of its own; the tables in it are used again")
    parser.add_argument("--select-bench", required=True, help="the program feitian-select-bench")
    parser.add_argument("--scale", default="10", help="scale factor of TPC-H")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES, help="a part of the comparison")
    arguments = parser.parse_args()
    # Threads and processes inherit the cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    os.makedirs(os.path.join(arguments.data, "server"), exist_ok=True)
    variables = {"FEITIAN_QUERY__MEMORY": f"{MEMORY >> 30}GiB"}
    server = harness.Server(data=os.path.join(arguments.data, "server"), variables=variables)
    is_loaded = os.path.exists(os.path.join(arguments.data, "loaded.json"))
    kept = Kept(os.path.join(arguments.data, "rounds"))
    to_come = sum(rounds for name, number, rounds in schedule(arguments) if kept.get(name, number) is None)
    steps = Steps((0 if is_loaded else len(tpch.TABLES) + 1) + to_come * len(tpch.QUERIES) + 4)
    server.start()
    try:
        loaded = load(server, arguments.data, arguments.scale, steps)
    finally:
        server.stop()
    links = os.path.join(arguments.data, "files")
    files = link(arguments.data, links)
    engines = measure(server, links, arguments, kept, steps)
    wrong = {name: differences(engine, engines["DuckDB"]) for name, engine in engines.items()}
    show_tpch(arguments, engines, loaded, files, wrong)
    show_select(measure_select(server, arguments.select_bench, steps))
    shutil.rmtree(links)
    kept.remove()


if __name__ == "__main__":
    sys.exit(main())
