"""Questions asked of a server that is busy with heavy queries: what the test and the bench of it have in common."""

import http.client
import time
from contextlib import closing
from email.utils import formatdate

import requests
from odps import errors

import harness

QUESTIONS = 300
SECONDS = 5
# Rows times rows: far more work than the questions take.
ROWS = 200_000
HEAVY = "SELECT COUNT(*) FROM {0} a JOIN {0} b ON a.n <> b.n"
# Four instances of a project run at once (`query.running_per_project`).
MOST_QUERIES = 4


def start(entry, table):
    """Starts a heavy query and waits until its stages are known."""
    job = entry.run_sql(HEAVY.format(table), hints={"odps.sql.allow.cartesian": "true"})
    (task,) = job.get_task_names()
    harness.wait_for("the query's start", lambda: job.get_task_progress(task).stages)
    return job


def end(job):
    try:
        job.stop()
    except errors.InvalidStateSetting:
        pass  # it has ended
    harness.wait_for("the query's end", lambda: job.is_terminated(retry=False))


def ask(server, entry, seconds=SECONDS):
    """Asks for the project on one connection for some seconds; gives the seconds that each answer took, in order of size.

    What is measured is from the first byte sent to the last one received: signing is the client's own work.
    """
    path = f"/api/projects/{entry.project}"
    base = f"http://127.0.0.1:{server.port}"
    times = []
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        last = time.monotonic() + seconds
        while len(times) < QUESTIONS or time.monotonic() < last:
            headers = {"Date": formatdate(usegmt=True)}
            request = requests.Request("GET", base + path, headers=headers).prepare()
            entry.account.sign_request(request, base + "/api")
            headers = dict(request.headers)
            began = time.perf_counter()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            times.append(time.perf_counter() - began)
            if answer.status != 200 or f"<Name>{entry.project}</Name>".encode() not in body:
                raise AssertionError(f"{answer.status}: {body}")
    return sorted(times)
