"""What the client tests share: a feitian of their own, PyODPS entries to it, and names that nobody else uses.

The environment says what is tested: FEITIAN_TEST_BIN is the program, FEITIAN_TEST_META the address of a PostgreSQL
server for the metadata (unset: SQLite), FEITIAN_TEST_LOGS a directory for server logs.
"""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

import pandas as pd
from odps import ODPS, errors, options

DEADLINE_S = 60
_numbers = itertools.count(1)


def unique(prefix):
    """A name that no other test of this run, or of a run before, has used."""
    return f"{prefix}_{os.getpid()}_{next(_numbers)}"


def wait_for(what, probe, seconds=DEADLINE_S):
    """Calls `probe` until it returns something true, and returns that; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def new_database():
    """The address of an empty PostgreSQL database, or None when the run is about SQLite."""
    admin = os.environ.get("FEITIAN_TEST_META")
    if not admin:
        return None
    name = unique("clients")
    subprocess.run(
        ["psql", "--no-psqlrc", "--quiet", "--dbname", admin, "--command", f'CREATE DATABASE "{name}"'], check=True
    )
    base, _, query = admin.partition("?")
    return base.rsplit("/", 1)[0] + "/" + name + (f"?{query}" if query else "")


def two_processes(cleanup):
    """Two servers on one directory and one database; `cleanup` is the test's way to have something done at its end."""
    database = new_database()
    if database is None:
        raise AssertionError("two processes need PostgreSQL: set FEITIAN_TEST_META")
    first = Server(meta=database).start()
    cleanup(first.close)
    second = Server(data=first.data, meta=database).start()
    cleanup(second.close)
    return first, second


class Server:
    """One feitian process on a directory. Several of them may share a directory when they share a database."""

    def __init__(self, data=None, meta=None, variables=None):
        self.program = os.environ["FEITIAN_TEST_BIN"]
        self.variables = variables or {}
        self.owns_data = data is None
        self.data = data or tempfile.mkdtemp(prefix="feitian-clients-")
        self.meta = meta
        self.port = free_port()
        self.ots_port = free_port()
        self.process = None
        # Not in the data directory: feitian refuses one that holds files which are not its own.
        logs = os.environ.get("FEITIAN_TEST_LOGS", tempfile.gettempdir())
        self.log_path = os.path.join(logs, unique("feitian-server") + ".log")
        self.banner_path = self.log_path.removesuffix(".log") + ".banner"

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}/api"

    def start(self):
        command = [self.program, "up", "--data", self.data, "--listen", f"127.0.0.1:{self.port}"]
        command += ["--ots-listen", f"127.0.0.1:{self.ots_port}"]
        if self.meta:
            command += ["--meta", self.meta]
        environment = {**os.environ, **self.variables}
        with open(self.log_path, "ab") as log, open(self.banner_path, "wb") as banner:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=banner, stderr=log, env=environment
            )
        wait_for("the server's readiness", self._ready)
        return self

    def _ready(self):
        if self.process.poll() is not None:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                raise AssertionError(f"feitian ended with {self.process.returncode}:\n{log.read()[-4000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def peak_memory(self):
        """The most memory in bytes that the process has had at once (VmHWM of proc(5))."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            (line,) = [line for line in status if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    def stop(self):
        """Asks the process to end, as an operator would."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(DEADLINE_S)
        if code != 0:
            raise AssertionError(f"feitian ended with {code} after SIGTERM, see {self.log_path}")

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def close(self):
        """Ends the process and removes its directory."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if self.owns_data:
            shutil.rmtree(self.data, ignore_errors=True)

    def credentials(self):
        with open(os.path.join(self.data, "credentials"), encoding="utf-8") as file:
            return json.load(file)

    def entry(self, **changes):
        """A PyODPS entry of the first account; `changes` replace its arguments."""
        login = self.credentials()
        arguments = {
            "access_id": login["access_id"],
            "secret_access_key": login["secret"],
            "project": login["project"],
            "endpoint": self.endpoint,
            **changes,
        }
        # PyODPS keeps that of the first entry for all later ones (odps/core.py, to_global), whatever server they are of.
        options.logview_host = None
        return ODPS(**arguments)

    def cli(self, *arguments):
        """Runs a subcommand against this server and returns what it prints as JSON."""
        login = self.credentials()
        key = f"{login['access_id']}:{login['secret']}"
        environment = {**os.environ, "FEITIAN_ENDPOINT": self.endpoint, "FEITIAN_KEY": key}
        done = subprocess.run(
            [self.program, *arguments, "--output", "json"], env=environment, capture_output=True, text=True, timeout=120
        )
        if done.returncode != 0:
            raise AssertionError(f"feitian {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else None


_shared = None


def shared():
    """The server that all tests use which need none of their own."""
    global _shared
    if _shared is None:
        _shared = Server(meta=new_database()).start()
    return _shared


def close_shared():
    global _shared
    if _shared is not None:
        server, _shared = _shared, None
        server.close()


# Rows times rows: far more work than a test would wait for. With more tables the engine holds the pairs of the first two,
# and the job ends early, without memory.
ENDLESS = "SELECT COUNT(*) FROM {0} a JOIN {0} b ON a.n <> b.n"


class ClientCase(unittest.TestCase):
    """A test against the shared server: `self.o` is PyODPS, tables made by `self.table` are dropped at the end."""

    maxDiff = 4000

    def setUp(self):
        self.server = shared()
        self.o = self.server.entry()
        self._tables = []
        saved = options.struct_as_dict
        self.addCleanup(setattr, options, "struct_as_dict", saved)

    def tearDown(self):
        for name in self._tables:
            self.o.delete_table(name, if_exists=True)

    def name(self, prefix="t"):
        name = unique(prefix)
        self._tables.append(name)
        return name

    def table(self, columns, partitions=None, **kwargs):
        """Creates an empty table, for example `self.table("a bigint, b string", "pt string")`."""
        schema = (columns, partitions) if partitions else columns
        return self.o.create_table(self.name(), schema, **kwargs)

    def numbers(self, count):
        """A table with the columns `n`, from 0 on, and `s`."""
        table = self.table("n bigint, s string")
        self.o.write_table(table, [[n, f"row {n}"] for n in range(count)])
        return table.name

    def many(self):
        """A table that gives an endless job when it is joined with itself."""
        table = self.table("n bigint")
        self.o.write_table(table, pd.DataFrame({"n": range(300_000)}))
        return table.name

    def endless(self, table=None):
        """A job that would not end by itself. It waits, or runs."""
        job = self.o.run_sql(ENDLESS.format(table or self.many()), hints={"odps.sql.allow.cartesian": "true"})
        self.addCleanup(self.end, job)
        return job

    def end(self, job):
        try:
            job.stop()
        except errors.InvalidStateSetting:
            pass

    def rows(self, table, **kwargs):
        """All rows of a table in the order in which the tunnel gives them."""
        return [tuple(record.values) for record in self.o.read_table(table, reopen=True, **kwargs)]

    def query(self, sql, **hints):
        """The rows of a SELECT, typed, through the instance tunnel."""
        with self.o.execute_sql(sql, hints=hints or None).open_reader(tunnel=True) as reader:
            return [tuple(record.values) for record in reader]

    def text(self, sql):
        """The text result of a statement that is no SELECT."""
        with self.o.execute_sql(sql).open_reader(tunnel=False) as reader:
            return reader.raw
