"""How long PyODPS takes for `select 1`, beside a bare HTTP server that gives the same answers to the same requests.

    FEITIAN_TEST_BIN=target/debug/feitian python bench_select1.py [--data DIR] [--runs 200]

A run is `o.execute_sql("select 1")`, `open_reader()`, and reading the row, by the unmodified PyODPS. The answers of one run
are recorded by a proxy; then a process of its own, which does nothing else, replays them on the same port. Runs against
feitian and against that process take turns. Both servers share one core, the client has another. Prints a Markdown table;
`step N/M what` on standard error says how far it is.
"""

import argparse
import http.client
import os
import pickle
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

WARM_UP = 20
TARGET_MS = 25
# These describe one connection and are not passed on (RFC 9110, section 7.6.1).
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}


class Bare:
    """The least that HTTP/1.1 needs: a thread a connection, a request read to its end, one write for the answer."""

    def __init__(self, listener, answer):
        # `answer(method, target, headers, body)` gives the bytes of the whole answer.
        self.listener, self.answer = listener, answer
        self.connections = []

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def close(self):
        """Ends the connections; the listener lives on in whoever else holds it."""
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _talk(self, connection):
        with connection, connection.makefile("rb") as stream:
            while (line := stream.readline()).strip():
                method, target, _ = line.decode("latin-1").split()
                headers = {}
                while (line := stream.readline()).strip():
                    name, _, value = line.decode("latin-1").partition(":")
                    headers[name.strip()] = value.strip()
                connection.sendall(self.answer(method, target, headers, _body(stream, headers)))


def _body(stream, headers):
    lower = {name.lower(): value for name, value in headers.items()}
    if "chunked" not in lower.get("transfer-encoding", ""):
        return stream.read(int(lower.get("content-length") or 0))
    body = b""
    while True:
        size = int(stream.readline().split(b";")[0], 16)
        body += stream.read(size)
        stream.readline()
        if size == 0:
            return body


def is_start(method, target):
    """Whether this request begins a run."""
    return method == "POST" and target.split("?")[0].endswith("/instances")


class Recorder:
    """Passes requests on to `port`, and keeps the answers of the last run, with what came before the first one."""

    def __init__(self, port):
        self.port = port
        self.answers = {}
        self.of_run = []
        self._upstream = threading.local()

    def answer(self, method, target, headers, body):
        if not hasattr(self._upstream, "connection"):
            self._upstream.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        upstream = self._upstream.connection
        # The signature covers the target as it was sent; the host is ours, so that answers lead back to us.
        upstream.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP and name.lower() != "content-length":
                upstream.putheader(name, value)
        if body or method in ("POST", "PUT"):
            upstream.putheader("Content-Length", str(len(body)))
        upstream.endheaders(body or None)
        response = upstream.getresponse()
        content = response.read()
        lines = [f"HTTP/1.1 {response.status} {response.reason}"]
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP and name.lower() != "content-length":
                lines.append(f"{name}: {value}")
        lines.append(f"Content-Length: {len(content)}")
        whole = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + content
        self._keep((method, target), whole)
        return whole

    def _keep(self, key, whole):
        if is_start(*key):
            self.of_run = []
        if key in self.of_run:
            self.answers[key].append(whole)
        else:
            self.answers[key] = [whole]
        self.of_run.append(key)


class Replay:
    """Gives the recorded answers, each request's in the order of the recorded run; the last one from then on."""

    def __init__(self, answers):
        self.answers = answers
        self.turns = {}

    def answer(self, method, target, _headers, _body):
        if is_start(method, target):
            self.turns.clear()
        known = self.answers.get((method, target))
        if known is None:
            text = f"not recorded: {method} {target}".encode()
            return b"HTTP/1.1 501 Not Implemented\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
        turn = self.turns.get((method, target), 0)
        self.turns[method, target] = turn + 1
        return known[min(turn, len(known) - 1)]


def replay(descriptor):
    """The other process: the listening socket is inherited, the answers come through standard input."""
    listener = socket.socket(fileno=descriptor)
    listener.settimeout(None)
    Bare(listener, Replay(pickle.load(sys.stdin.buffer)).answer).serve()


def select_one(entry):
    """Seconds of one run."""
    begin = time.perf_counter()
    with entry.execute_sql("select 1").open_reader() as reader:
        rows = [list(record.values) for record in reader]
    seconds = time.perf_counter() - begin
    if [[int(value) for value in row] for row in rows] != [[1]]:
        raise AssertionError(f"`select 1` gave {rows}")
    return seconds


def record(server, listener):
    """The answers of a run with as few requests as any: one in which the client never had to ask twice."""
    recorder = Recorder(server.port)
    bare = Bare(listener, recorder.answer)
    listener.settimeout(0.1)
    stop = threading.Event()

    def serve():
        while not stop.is_set():
            bare.serve()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    entry = server.entry(endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}/api")
    counts = []
    while len(counts) < WARM_UP or counts[-1] > min(counts):
        select_one(entry)
        counts.append(len(recorder.of_run))
    stop.set()
    thread.join()
    bare.close()
    return recorder.answers, recorder.of_run


def run_on(cores, start):
    """Calls `start` so that the process which it starts is bound to `cores`, unlike this one."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        return start()
    finally:
        os.sched_setaffinity(0, mine)


def step(done, of, what):
    print(f"step {done}/{of} {what}", file=sys.stderr, flush=True)


def measure(server, bare_port, runs):
    """Milliseconds of each run: feitian's, the bare server's."""
    entries = [server.entry(), server.entry(endpoint=f"http://127.0.0.1:{bare_port}/api")]
    for _ in range(WARM_UP):
        for entry in entries:
            select_one(entry)
    found = ([], [])
    for n in range(runs):
        step(n + 1, runs, "select 1")
        for which in (0, 1) if n % 2 == 0 else (1, 0):
            found[which].append(select_one(entries[which]) * 1000)
    return found


def show(ours, bare, requests):
    median, bare_median = statistics.median(ours), statistics.median(bare)
    p90, bare_p90 = (statistics.quantiles(v, n=10)[8] for v in (ours, bare))
    verdict = "PASS" if median < TARGET_MS else "miss"
    print("## `select 1`\n")
    print("PyODPS asks, opens a reader and reads the row; beside it a bare HTTP server that replays the same answers.")
    print("Both servers share one core, the client has another; runs against the one and the other take turns.\n")
    print("| what | median ms | p90 ms | bare HTTP server: median ms | p90 ms | ratio | target | |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| `select 1` by PyODPS, {len(ours)} times, {requests} requests each | {median:.1f} | {p90:.1f} "
        f"| {bare_median:.1f} | {bare_p90:.1f} | {median / bare_median:.2f} | median under {TARGET_MS} ms | {verdict} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="an empty or absent directory for the server (default: a temporary one)")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--replay", type=int, metavar="DESCRIPTOR", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.replay is not None:
        return replay(arguments.replay)

    import harness

    cores = sorted(os.sched_getaffinity(0))
    server_cores, client_cores = {cores[0]}, {cores[-1]}
    os.sched_setaffinity(0, client_cores)
    data = arguments.data or tempfile.mkdtemp(prefix="feitian-select1-")
    os.makedirs(data, exist_ok=True)
    server = harness.Server(data=data)
    bare = None
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        run_on(server_cores, server.start)
        answers, requests = record(server, listener)
        descriptor = listener.fileno()
        command = [sys.executable, "-B", os.path.abspath(__file__), "--replay", str(descriptor)]
        bare = run_on(
            server_cores, lambda: subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[descriptor])
        )
        with bare.stdin as pipe:
            pickle.dump(answers, pipe)
        show(*measure(server, listener.getsockname()[1], arguments.runs), len(requests))
    finally:
        listener.close()
        if bare is not None:
            bare.kill()
            bare.wait()
        server.close()
        if not arguments.data:
            shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
