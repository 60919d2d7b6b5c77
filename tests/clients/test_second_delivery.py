"""Every third answer is lost on the way back, and still every row arrives exactly once.

The client repeats by itself what it may; what it leaves to its caller (every POST, and blocks that it streams) is
repeated here, as a program that loads data would. Expected rows are the rows written.
"""

import http.client
import unittest
import uuid
from collections import Counter

import requests
import urllib3
from odps import errors
from odps.tunnel import TableTunnel
from odps.tunnel.errors import TunnelError

from harness import ClientCase
from proxy import LossyProxy

# What an application sees of a lost answer. A block whose sending was repeated by the HTTP library without its body is
# refused by the server, which the client reports as an error of the request.
LOST = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    ConnectionError,
    TunnelError,
)


def again(step, attempts=12):
    """Repeats a step until its answer arrives."""
    for left in reversed(range(attempts)):
        try:
            return step()
        except LOST:
            if left == 0:
                raise
        except errors.ODPSError as error:
            # Only what the server calls a broken body may be repeated; other refusals are answers.
            if left == 0 or error.status_code != 400:
                raise


class SecondDelivery(ClientCase):
    def setUp(self):
        super().setUp()
        self.proxy = LossyProxy(self.server.port)
        self.addCleanup(self.proxy.close)
        self.far = self.server.entry(endpoint=f"http://127.0.0.1:{self.proxy.port}/api")

    def lost(self, kind):
        return Counter(self.proxy.lost)[kind]

    def test_uploads_arrive_exactly_once(self):
        table = self.table("session bigint, block bigint, n bigint")
        tunnel = again(lambda: self.tunnel())
        expected = []
        sessions = 0
        # Until every kind of step has lost answers, and at least ten times.
        while sessions < 10 or not all(self.lost(k) >= 2 for k in ("POST commit", "PUT block", "POST upload session")):
            self.assertLess(sessions, 100, f"answers lost so far: {Counter(self.proxy.lost)}")
            expected += self.one_session(tunnel, table, sessions)
            sessions += 1
        self.assertEqual(sorted(self.rows(table)), expected)

    def tunnel(self):
        tunnel = TableTunnel(self.far)
        tunnel.tunnel_rest  # discovers the endpoint, which may need a repetition
        return tunnel

    def one_session(self, tunnel, table, number):
        # A session whose answer was lost stays open and holds nothing; another one takes its place.
        session = again(lambda: tunnel.create_upload_session(table.name))
        blocks = [(block, [(number, block, n) for n in range(20)]) for block in range(3)]
        for block, rows in blocks:
            again(lambda: self.write(session, block, rows))
        again(lambda: session.commit([block for block, _ in blocks]))
        return [row for _, rows in blocks for row in rows]

    def write(self, session, block, rows):
        with session.open_record_writer(block) as writer:
            for row in rows:
                writer.write(session.new_record(list(row)))

    def test_jobs_with_a_guid_run_once(self):
        table = self.table("n bigint")
        number = 0
        while number < 6 or self.lost("POST instance") < 2:
            self.assertLess(number, 100, f"answers lost so far: {Counter(self.proxy.lost)}")
            guid = str(uuid.uuid4())
            sql = f"INSERT INTO TABLE {table.name} VALUES ({number})"
            job = again(lambda: self.far.run_sql(sql, unique_identifier_id=guid))
            again(lambda: job.wait_for_success())
            number += 1
        self.assertEqual(sorted(self.rows(table)), [(n,) for n in range(number)])

    def test_ddl_may_be_repeated(self):
        names = [self.name() for _ in range(6)]
        for name in names:
            again(lambda: self.far.create_table(name, ("n bigint", "pt string"), if_not_exists=True))
            again(lambda: self.far.get_table(name).create_partition("pt=x", if_not_exists=True))
        for name in names:
            self.assertEqual([str(p.partition_spec) for p in self.o.get_table(name).partitions], ["pt='x'"])
        self.assertGreater(len(self.proxy.lost), 5)

    def test_downloads_are_whole(self):
        table = self.table("n bigint")
        self.o.write_table(table, [[n] for n in range(5_000)])
        for _ in range(6):
            found = again(lambda: [r[0] for r in self.far.read_table(table.name, reopen=True)])
            self.assertEqual(found, list(range(5_000)))
        self.assertGreater(len(self.proxy.lost), 3)


if __name__ == "__main__":
    unittest.main()
