"""Runs the query texts of a folder against feitian and DuckDB, over the rows of `tpcds.py`, and compares the answers.

    FEITIAN_TEST_BIN=target/debug/feitian python tpcds_run.py FOLDER [--only 1,7,99]

A file is a query; its number is the first in its name. `tpcds_texts.py` writes such a folder: the texts are not part of
this repository. Queries run without their last LIMIT, which may cut between equal rows, and answers are compared as sets of
rows. Prints a line for each query, and ends with 0 if all answers are equal and nine in ten queries find rows.
"""

import argparse
import collections
import math
import re
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
from odps import errors

import differential
import harness
import tpcds

HINTS = {
    "odps.sql.allow.cartesian": "true",
    "odps.sql.groupby.orderby.position.alias": "true",
    "odps.sql.groupby.position.alias": "true",
    "odps.sql.orderby.position.alias": "true",
}
# DECIMAL through DECIMAL is DECIMAL in MaxCompute and DOUBLE in DuckDB, and so is AVG; a literal 1.2 the other way round.
CLOSE, LEAST = 1e-6, 1e-4
# So many of the queries find rows: an answer without any proves little.
ENOUGH = 0.9
# What is written otherwise in MaxCompute.
SPELLINGS = [
    (re.compile(r"\bas\s+(integer|int4)\b", re.IGNORECASE), "AS INT"),
    (re.compile(r"\bas\s+double\s+precision\b", re.IGNORECASE), "AS DOUBLE"),
    (re.compile(r"\bas\s+varchar\b(?!\s*\()", re.IGNORECASE), "AS STRING"),
    # A number of days is added to a DATE as an interval.
    (re.compile(r"\b(d_date\s*\+\s*)(\d+)\b", re.IGNORECASE), r"\1INTERVAL '\2' DAY"),
]
LAST_LIMIT = re.compile(r"\blimit\s+\d+\s*$", re.IGNORECASE)
ARROW = {"bigint": pa.int64(), "string": pa.string(), "date": pa.date32()}


def texts(folder, only):
    """Number, part and text of each query."""
    found = []
    for path in sorted(folder.iterdir()):
        number = re.search(r"\d+", path.name)
        if not number or path.suffix != ".sql" or only and int(number[0]) not in only:
            continue
        text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
        parts = [part.strip() for part in text.split(";") if part.strip()]
        found += [(int(number[0]), "" if len(parts) == 1 else "abcdef"[at], part) for at, part in enumerate(parts)]
    return sorted(found)


def arrow_type(kind):
    if kind in ARROW:
        return ARROW[kind]
    precision, scale = map(int, re.findall(r"\d+", kind))
    return pa.decimal128(precision, scale)


def load(entry, connection):
    """The tables in both engines."""
    for table, rows in tpcds.make().items():
        columns = tpcds.TABLES[table]
        arrays = [pa.array([row[at] for row in rows], arrow_type(kind)) for at, kind in enumerate(columns.values())]
        made = pa.Table.from_arrays(arrays, names=list(columns))
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        entry.execute_sql(f"CREATE TABLE {table} ({listed})")
        with entry.get_table(table).open_writer(arrow=True) as writer:
            writer.write(made)
        connection.register("made", made)
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM made")
        connection.unregister("made")


def same(a, b):
    """Whether two values are equal, numbers nearly."""
    numbers = [isinstance(value, (float, differential.Decimal)) for value in (a, b)]
    if all(numbers):
        return math.isclose(float(a), float(b), rel_tol=CLOSE, abs_tol=LEAST)
    return a == b


def without_twins(ours, theirs):
    """The rows that only one of the two answers has."""

    def key(row):
        return str([value for value in row if value is None or isinstance(value, (str, bool))])

    # Rows that agree in their texts are few.
    left = collections.defaultdict(list)
    for row in theirs:
        left[key(row)].append(row)
    only_ours = []
    for row in ours:
        twins = left[key(row)]
        at = next((at for at, other in enumerate(twins) if all(map(same, row, other))), None)
        if at is None:
            only_ours.append(row)
        else:
            twins.pop(at)
    return only_ours, [row for rows in left.values() for row in rows]


def ask(entry, connection, text):
    """What is wrong with feitian's answer, or None, and the number of rows."""
    whole = LAST_LIMIT.sub("", text)
    theirs = connection.execute(whole).fetchall()
    if len(theirs) > differential.MOST_ROWS:
        whole = text
        theirs = connection.execute(whole).fetchall()
    for pattern, other in SPELLINGS:
        whole = pattern.sub(other, whole)
    try:
        with entry.execute_sql(whole, hints=HINTS).open_reader(tunnel=False) as reader:
            found = differential.parse(reader.raw)
    except errors.ODPSError as error:
        return f"feitian: {error}", len(theirs)
    kinds = differential.column_types(theirs) if theirs else [None] * len(found[0] if found else [])
    ours = [[differential.typed(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in found]
    theirs = [[differential.plain(value) for value in row] for row in theirs]
    only_ours, only_theirs = without_twins(ours, theirs)
    if only_ours or only_theirs:
        return f"feitian alone has {only_ours[:3]}, DuckDB alone {only_theirs[:3]}", len(theirs)
    return None, len(theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the query texts, one file each")
    parser.add_argument("--only", default="", help="numbers of queries, with commas")
    arguments = parser.parse_args()
    queries = texts(arguments.folder, {int(number) for number in arguments.only.split(",") if number})
    if not queries:
        parser.error(f"no queries in {arguments.folder}")
    connection = duckdb.connect()
    connection.execute("SET default_null_order = 'nulls_first_on_asc_last_on_desc'")
    counts = collections.Counter()
    server = harness.Server().start()
    try:
        entry = server.entry()
        load(entry, connection)
        for number, part, text in queries:
            try:
                wrong, rows = ask(entry, connection, text)
            except duckdb.Error as error:
                wrong, rows = f"DuckDB: {error}", 0
            except (ValueError, ArithmeticError) as error:
                wrong, rows = f"no values of DuckDB's types: {error}", 0
            counts["otherwise" if wrong else "equal" if rows else "equal, without rows"] += 1
            print(f"test query {number}{part} ... {'FAILED: ' + wrong if wrong else f'ok, {rows} rows'}", flush=True)
    finally:
        server.close()
    print(", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    enough = counts["equal"] >= ENOUGH * len(queries)
    print(f"test queries that find rows ... {'ok' if enough else 'FAILED: too few'}")
    failed = counts["otherwise"] + (not enough)
    print(f"{len(queries) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
