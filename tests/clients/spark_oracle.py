"""Every row that a SQL test file says is Spark's, computed again by Spark: `python spark_oracle.py [NAME...]`.

A file is one test; the last line is `N passed, N failed`. It needs Java and a minute, so the short tests leave it out.
"""

import logging
import os
import shutil
import sys
import tempfile
import time

# Python shows times in the zone of the process.
os.environ["TZ"] = "Asia/Shanghai"
time.tzset()

from pyspark.sql import Row, SparkSession  # noqa: E402

import oracle  # noqa: E402


def session(scratch):
    """Spark in one process; everything that it writes lies in `scratch`."""
    builder = SparkSession.builder.master("local[1]").appName("oracle")
    for key, value in {
        "spark.driver.memory": "1g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": scratch,
        "spark.sql.warehouse.dir": os.path.join(scratch, "warehouse"),
        "spark.sql.session.timeZone": "Asia/Shanghai",
        "spark.sql.shuffle.partitions": "1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # What is remembered of queries for pages that nobody looks at. Thousands of them would fill the memory.
        "spark.sql.ui.retainedExecutions": "1",
        "spark.ui.retainedJobs": "1",
        "spark.ui.retainedStages": "1",
        "spark.ui.retainedTasks": "1",
    }.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    # A statement that Spark cannot run is told with the query that fails after it.
    logging.disable(logging.CRITICAL)
    return spark


def statements(text):
    """The statements of a text. A `;` inside quotes is none."""
    found, quote, begin = [], None, 0
    for at, char in enumerate(text):
        if quote:
            quote = None if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == ";":
            found.append(text[begin:at])
            begin = at + 1
    return [statement for statement in [*found, text[begin:]] if statement.strip()]


def plain(value):
    """A value without Spark's own classes."""
    if isinstance(value, Row):
        return {name: plain(value[at]) for at, name in enumerate(value.__fields__)}
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value


def runner(spark, database):
    """What runs SQL with tables of its own."""
    spark.sql(f"create database {database}")
    spark.sql(f"use {database}")

    def run(sql):
        rows = []
        for statement in statements(sql):
            rows = spark.sql(statement).collect()
        return [tuple(plain(value) for value in row) for row in rows]

    return run


def main():
    wanted = sys.argv[1:] or oracle.names()
    names = [name for name in wanted if any(block.source == "spark" for block in oracle.blocks(name))]
    scratch = tempfile.mkdtemp(prefix="feitian-spark-")
    passed = failed = total = 0
    try:
        spark = session(scratch)
        for name in names:
            begun = time.monotonic()
            count, wrong = oracle.recompute(name, "spark", runner(spark, f"test_{name}"))
            total += count
            failed += bool(wrong)
            passed += not wrong
            word = "FAILED" if wrong else "ok"
            print(f"test {name}, {count} blocks ... {word} ({time.monotonic() - begun:.2f} s)", flush=True)
            for text in wrong:
                print(text, flush=True)
        print(f"proof: Spark {spark.version} computed {total} blocks of {len(names)} files")
        spark.stop()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
