"""How long a scalar function in Python takes over ten million BIGINT rows, beside the same loop in plain CPython.

    FEITIAN_TEST_BIN=target/debug/feitian python bench_udf.py [--data DIR] [--rows 10000000]

- The function is `MODULE` below, once as a registered function of a project and once imported by this program.
- feitian: `SELECT sum(f(n)) FROM t`, from submitting it to having its row. Starting the function's processes is part of it.
- CPython: the values lie in a list, `evaluate` is called for each, its results are kept and added: one process, the
  interpreter that feitian starts too.
- Both take turns; the median of each counts.

Prints Markdown; `step N/M what` on standard error says how far it is.
"""

import argparse
import io
import shutil
import statistics
import sys
import tempfile
import time

import pyarrow

import harness
from bench_old import Steps, Table

ROUNDS = 3
MOST = 3.0
BLOCK = 1_000_000
MODULE = """
from odps.udf import annotate

@annotate("bigint->bigint")
class F(object):
    def evaluate(self, n):
        if n is None:
            return None
        return n * 3 + 1
"""


def load(entry, rows):
    """A table of the numbers below `rows`, and its name."""
    table = entry.create_table("numbers", "n bigint")
    with table.open_writer(arrow=True, blocks=list(range(-(-rows // BLOCK)))) as writer:
        for block, start in enumerate(range(0, rows, BLOCK)):
            numbers = pyarrow.array(range(start, min(start + BLOCK, rows)), pyarrow.int64())
            writer.write(block, pyarrow.RecordBatch.from_arrays([numbers], ["n"]))
    return table.name


def register(entry):
    resource = entry.create_resource("bench_f.py", "py", fileobj=io.BytesIO(MODULE.encode()))
    entry.create_function("bench_f", class_type="bench_f.F", resources=[resource])


def query(entry, sql):
    """The one value of a query, and its seconds."""
    began = time.perf_counter()
    with entry.execute_sql(sql).open_reader(tunnel=False) as reader:
        value = int(reader[0][0])
    return value, time.perf_counter() - began


def loop(values):
    """The same in this process."""
    names = {}
    # The decorator only notes the types.
    exec(MODULE.replace("from odps.udf import annotate", "annotate = lambda types: lambda cls: cls"), names)
    evaluate = names["F"]().evaluate
    began = time.perf_counter()
    results = []
    keep = results.append
    for value in values:
        keep(evaluate(value))
    return sum(results), time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="an empty or absent directory (default: a temporary one)")
    parser.add_argument("--rows", type=int, default=10_000_000)
    arguments = parser.parse_args()
    data, rows = arguments.data or tempfile.mkdtemp(prefix="feitian-udf-"), arguments.rows
    steps = Steps(1 + 3 * ROUNDS)
    server = harness.Server(data=data)
    try:
        steps.next("the table")
        entry = server.start().entry()
        table = load(entry, rows)
        register(entry)
        values = list(range(rows))
        right = 3 * (rows - 1) * rows // 2 + rows
        ours, theirs, without = [], [], []
        for turn in range(1, ROUNDS + 1):
            steps.next(f"feitian, {turn}")
            total, seconds = query(entry, f"SELECT sum(bench_f(n)) FROM {table}")
            ours.append(seconds)
            steps.next(f"CPython, {turn}")
            own, seconds = loop(values)
            theirs.append(seconds)
            steps.next(f"feitian without a function, {turn}")
            without.append(query(entry, f"SELECT sum(n) FROM {table}")[1])
            if not total == own == right:
                raise AssertionError(f"{total} of feitian, {own} of CPython, {right} by arithmetic")
        report(rows, ours, theirs, without)
    finally:
        server.close()
        if not arguments.data:
            shutil.rmtree(data, ignore_errors=True)


def report(rows, ours, theirs, without):
    told = lambda seconds: ", ".join(f"{s:.2f}" for s in seconds) + f" s; median {statistics.median(seconds):.2f} s"
    ratio = statistics.median(ours) / statistics.median(theirs)
    lines = Table("A scalar function", f"{rows:,} rows; {ROUNDS} rounds in turns.")
    lines.line("`SELECT sum(f(n))` on feitian", told(ours))
    lines.line("the loop in CPython", told(theirs))
    lines.line("`SELECT sum(n)` on feitian", told(without))
    lines.line("feitian / CPython", f"{ratio:.2f}", f"at most {MOST:.0f}", ratio <= MOST)


if __name__ == "__main__":
    sys.exit(main())
