"""`/healthz` says that the process lives and `/readyz` that it can serve, which it cannot while its database is away.

A probe is a success with a status from 200 on and below 400, and a failure else (Kubernetes, "Configure Liveness,
Readiness and Startup Probes"); 503 is what is over after some time (RFC 9110, section 15.6.4), and PyODPS has an error
of the code (odps/errors.py, ServiceUnavailable). Expected rows are the rows written.
"""

import http.client
import os
import unittest
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from odps import errors
from odps.tunnel import TableTunnel

import harness
from proxy import Relay
from raw import Wire

JOB = (
    "<Instance><Job><Priority>9</Priority><Tasks><SQL><Name>t</Name><Query><![CDATA[{}]]></Query></SQL></Tasks></Job>"
    "</Instance>"
)


def probe(server, path):
    """Status and text of what the server says of itself."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=harness.DEADLINE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Ready(unittest.TestCase):
    def test_a_server_that_serves_is_alive_and_ready(self):
        for path in ("/healthz", "/readyz"):
            self.assertEqual(probe(harness.shared(), path)[0], 200, path)


def relayed(url):
    """A relay to the PostgreSQL of this address, and the address by way of it."""
    parts = urllib.parse.urlsplit(url)
    relay = Relay((parts.hostname, parts.port or 5432))
    login, at, _ = parts.netloc.rpartition("@")
    return relay, parts._replace(netloc=f"{login}{at}127.0.0.1:{relay.port}").geturl()


class DatabaseAway(unittest.TestCase):
    def setUp(self):
        self.relay, meta = relayed(harness.new_database())
        self.addCleanup(self.relay.close)
        self.server = harness.Server(meta=meta)
        self.addCleanup(self.server.close)
        self.server.start()
        self.o = self.server.entry()
        self.wire = Wire(self.server, self.o)

    def refused(self, answer, form):
        """Checks that the answer is a refusal that clients understand, and says what is missing."""
        self.assertIsNotNone(answer, "the connection was closed without an answer")
        code, message = answer.xml_error() if form == "xml" else answer.json_error()
        self.assertEqual((answer.status, code), (503, errors.ServiceUnavailable.__name__), answer)
        self.assertIn("metadata database", message)

    def test_requests_are_answered_while_it_is_away_and_all_is_there_when_it_is_back(self):
        name = harness.unique("t")
        self.o.create_table(name, "n bigint")
        self.o.write_table(name, [[1], [2]])
        session = TableTunnel(self.o).create_upload_session(name)
        with session.open_record_writer(0) as writer:
            writer.write(session.new_record([3]))
        project = f"/projects/{self.o.project}"
        insert = JOB.format(f"INSERT INTO TABLE {name} VALUES (99)").encode()
        asked = [
            ("xml", "GET", f"/api{project}/tables/{name}", b"", {}),
            ("xml", "POST", f"/api{project}/instances", insert, {}),
            ("json", "POST", f"{project}/tables/{name}", b"", {"uploads": ""}),
            ("json", "POST", f"{project}/tables/{name}", b"", {"uploadid": session.id}),
        ]

        self.relay.cut()
        # Requests wait for a while, because a database that only restarts is back soon.
        with ThreadPoolExecutor(len(asked)) as pool:
            answers = [pool.submit(self.wire.body, *request, params) for _, *request, params in asked]
            self.assertEqual(probe(self.server, "/healthz")[0], 200)
            status, text = probe(self.server, "/readyz")
            self.assertEqual(status, 503, text)
            self.assertIn("the metadata database does not answer", text)
            for (form, method, path, *_), answer in zip(asked, answers):
                with self.subTest(request=f"{method} {path}"):
                    self.refused(answer.result(), form)
        self.assertEqual(probe(self.server, "/healthz")[0], 200)
        self.assertEqual(probe(self.server, "/readyz")[0], 503)

        self.relay.restore()
        harness.wait_for("the server's readiness", lambda: probe(self.server, "/readyz")[0] == 200)
        self.assertIsNone(self.server.process.poll(), "it is the process that was there before")
        self.assertEqual(self.rows(name), [1, 2])
        session.commit([0])
        self.assertEqual(self.rows(name), [1, 2, 3])
        self.o.execute_sql(f"INSERT INTO TABLE {name} VALUES (4)")
        self.assertEqual(self.rows(name), [1, 2, 3, 4])

    def rows(self, name):
        return sorted(r[0] for r in self.o.read_table(name, reopen=True))


if not os.environ.get("FEITIAN_TEST_META"):
    # SQLite is a file of the data directory: there is no way to it that could be cut.
    del DatabaseAway


if __name__ == "__main__":
    unittest.main()
