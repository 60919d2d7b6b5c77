"""One engine without a server runs the 22 queries over Parquet files: `tpch_engines.py ENGINE --files DIR ...`.

DIR holds one folder of Parquet files for each table. For each query one line of JSON goes to standard output: its number,
seconds from the text to the last row in Python, processor seconds, or the error. The answers go to `--answers` as a pickle.
What an engine keeps for a table (a view, a listing of its files) is made before the first query, and a COUNT(*) of each
table has been asked by then, as it has of the server.
"""

import argparse
import json
import os
import pickle
import sys
import time

import tpch

GIB = 1 << 30


def parquet(folder):
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


class DuckDb:
    def __init__(self, files, threads, memory, scratch):
        import duckdb

        self.connection = duckdb.connect(config={"threads": threads, "memory_limit": f"{memory // GIB}GiB"})
        self.connection.execute(f"SET temp_directory = '{scratch}'")
        for table in tpch.TABLES:
            names = ", ".join(f"'{name}'" for name in parquet(os.path.join(files, table)))
            self.connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet([{names}])")

    def rows(self, text):
        return self.connection.execute(text).fetchall()


class DataFusion:
    def __init__(self, files, threads, memory, scratch):
        from datafusion import RuntimeEnvBuilder, SessionConfig, SessionContext

        runtime = RuntimeEnvBuilder().with_fair_spill_pool(memory).with_disk_manager_specified(scratch)
        self.context = SessionContext(SessionConfig().with_target_partitions(threads), runtime)
        for table in tpch.TABLES:
            self.context.register_parquet(table, os.path.join(files, table) + "/")

    def rows(self, text):
        found = []
        for batch in self.context.sql(text).collect():
            found += zip(*(column.to_pylist() for column in batch.columns))
        return found


class Spark:
    def __init__(self, files, threads, memory, scratch):
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master(f"local[{threads}]").appName("tpch")
        for key, value in {
            "spark.driver.memory": f"{memory // GIB}g",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.local.dir": scratch,
            "spark.sql.warehouse.dir": os.path.join(scratch, "warehouse"),
            # As many as the threads can use; 200 is made for clusters.
            "spark.sql.shuffle.partitions": "8",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }.items():
            builder = builder.config(key, value)
        self.session = builder.getOrCreate()
        self.session.sparkContext.setLogLevel("ERROR")
        for table in tpch.TABLES:
            self.session.read.parquet(*parquet(os.path.join(files, table))).createOrReplaceTempView(table)

    def rows(self, text):
        return [tuple(row) for row in self.session.sql(text).collect()]

    def process(self):
        """The Java process does the work."""
        return self.session.sparkContext._gateway.proc.pid


ENGINES = {"DataFusion": DataFusion, "DuckDB": DuckDb, "Spark": Spark}


def processor_seconds(process):
    """User and system time of a process so far (fields 14 and 15 of proc_pid_stat(5))."""
    with open(f"/proc/{process}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(process):
    """The most memory that a process has had at once."""
    with open(f"/proc/{process}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def timed(rows, text, process):
    """The answer to one query and what it took; an engine may fail at it."""
    begun, processor = time.perf_counter(), processor_seconds(process)
    try:
        answer = rows(text)
    except Exception as error:  # Whatever it is, it is the engine's answer.
        return None, {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]}
    seconds = time.perf_counter() - begun
    return answer, {"seconds": seconds, "processor": processor_seconds(process) - processor}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=sorted(ENGINES))
    parser.add_argument("--files", required=True)
    parser.add_argument("--scale", required=True)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--memory", type=int, required=True, help="in bytes")
    parser.add_argument("--scratch", required=True, help="an empty directory for what does not fit into memory")
    parser.add_argument("--answers", required=True)
    arguments = parser.parse_args()
    # Engines print, too: only we write to what was standard output.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    engine = ENGINES[arguments.engine](arguments.files, arguments.threads, arguments.memory, arguments.scratch)
    process = engine.process() if hasattr(engine, "process") else os.getpid()
    for table in tpch.TABLES:
        engine.rows(f"SELECT COUNT(*) FROM {table}")
    answers = {}
    for _ in range(arguments.rounds):
        for number in tpch.QUERIES:
            text = tpch.standard(tpch.query(number, arguments.scale))
            answers[number], took = timed(engine.rows, text, process)
            print(json.dumps({"query": number, **took}), file=out, flush=True)
    print(json.dumps({"peak": peak_bytes(process)}), file=out, flush=True)
    with open(arguments.answers, "wb") as file:
        pickle.dump(answers, file)


if __name__ == "__main__":
    sys.exit(main())
