"""The log: it tells which request made which job, and neither it nor the metadata holds a secret.

The forms in which secrets are looked for are those of RFC 4648 and the bytes themselves.
"""

import base64
import glob
import json
import os
import pathlib
import secrets
import subprocess
import unittest

from odps import errors
from odps.accounts import StsAccount

import harness


def in_base64(secret):
    """What of `secret` is seen in the base64 of any text that holds it, wherever in the text it begins."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + secret)
        # Characters at both ends also depend on what is beside the secret.
        yield whole[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]


def forms(secret):
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for text in in_base64(secret):
        yield text
        yield text.replace(b"+", b"-").replace(b"/", b"_")


class Logs(unittest.TestCase):
    def setUp(self):
        # The most that it can say, from its very first start on.
        variables = {"FEITIAN_LOG__FILTER": "trace", "FEITIAN_LOG__FORMAT": "json"}
        self.server = harness.Server(meta=harness.new_database(), variables=variables)
        self.addCleanup(self.server.close)
        self.o = self.server.start().entry()

    def log(self):
        return pathlib.Path(self.server.log_path).read_bytes()

    def told(self, request, job):
        """Whether a line names both, as fields of the event or of the spans around it."""
        # What comes after the last line end is not written to its end yet.
        for line in self.log().split(b"\n")[:-1]:
            event = json.loads(line)
            fields = [event, event.get("span", {}), *event.get("spans", [])]
            if any(f.get("id") == request for f in fields) and any(f.get("instance") == job for f in fields):
                return True
        return False

    def metadata(self):
        """All bytes of the metadata: SQLite's files, or every row of PostgreSQL's tables as text."""
        if not self.server.meta:
            paths = glob.glob(os.path.join(self.server.data, "meta.db*"))
            return {path: pathlib.Path(path).read_bytes() for path in paths}

        def psql(command):
            base = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--dbname", self.server.meta]
            return subprocess.run([*base, "--command", command], capture_output=True, check=True).stdout

        names = psql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").decode().split()
        return {name: psql(f'TABLE "{name}"') for name in names}

    def test_a_request_and_its_job_are_told_and_no_secret_is(self):
        job = self.o.execute_sql("SELECT 1")
        request = self.o.rest.get(job.resource()).headers["x-odps-request-id"]
        harness.wait_for("a line with request and job", lambda: self.told(request, job.id))

        login = self.server.credentials()
        key = self.server.cli("key", "create")
        temporary = self.server.cli("key", "create", "--sts", "1h")
        self.server.entry(access_id=key["access_id"], secret_access_key=key["secret"]).execute_sql("SELECT 2")
        account = StsAccount(temporary["access_id"], temporary["secret"], temporary["sts_token"])
        sts = self.server.entry(account=account)
        self.assertTrue(sts.get_instance(sts.execute_sql("SELECT 3").id).is_successful())
        wrong = secrets.token_urlsafe(32)
        with self.assertRaises(errors.ODPSError) as caught:
            self.server.entry(secret_access_key=wrong).get_project().reload()
        self.assertEqual(caught.exception.status_code, 403)
        harness.wait_for("a line about the refusal", lambda: caught.exception.request_id.encode() in self.log())

        master = pathlib.Path(self.server.data, "master.key").read_bytes().strip()
        hidden = {
            "the first secret": login["secret"].encode(),
            "a key's secret": key["secret"].encode(),
            "a temporary key's secret": temporary["secret"].encode(),
            "an STS token": temporary["sts_token"].encode(),
            "a wrong secret": wrong.encode(),
            # 32 bytes in base64.
            "the master key as it is written": master,
            "the master key": base64.b64decode(master, validate=True),
        }
        self.assertEqual(len(hidden["the master key"]), 32)
        for running in (True, False):
            if not running:
                self.server.stop()
            places = {"the log": self.log(), **self.metadata()}
            # That the search finds what is there: the ids of keys are no secret.
            kept = b"".join(content for place, content in places.items() if place != "the log")
            for known in (login["access_id"], key["access_id"], temporary["access_id"]):
                self.assertTrue(known.encode() in kept, f"{known} is not found in the metadata")
            for known in (key["access_id"], temporary["access_id"]):
                self.assertTrue(known.encode() in places["the log"], f"{known} is not found in the log")
            for what, secret in hidden.items():
                for form in forms(secret):
                    for place, content in places.items():
                        # Not assertNotIn, which would print the secret and all of the log.
                        self.assertFalse(form in content, f"{what} is in {place}")


if __name__ == "__main__":
    unittest.main()
