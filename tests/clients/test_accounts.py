"""Who may: access keys, temporary keys, bearer tokens, and accounts that have no business here.

Error classes are those that odps/errors.py makes of the server's answer.
"""

import unittest

import requests
from odps import errors
from odps.accounts import BearerTokenAccount, StsAccount
from odps.tunnel import TableTunnel

from harness import ClientCase, unique

DENIED = (errors.NoPermission, errors.Unauthorized, errors.SignatureNotMatch, errors.AuthorizationRequired)


class Accounts(ClientCase):
    def someone(self):
        """A new account with a key, which was admitted nowhere: (account name, key)."""
        name = "ALIYUN$" + unique("someone")
        self.server.cli("account", "create", name)
        return name, self.server.cli("key", "create", "--account", name)

    def as_key(self, key, **changes):
        return self.server.entry(access_id=key["access_id"], secret_access_key=key["secret"], **changes)

    def full_table(self):
        table = self.table("n bigint")
        self.o.write_table(table, [[1], [2], [3]])
        return table

    def uses_everything(self, entry, table):
        """A round through REST, SQL and both tunnels, as this entry."""
        self.assertIn(table.name, [t.name for t in entry.list_tables(prefix=table.name)])
        with entry.execute_sql(f"SELECT SUM(n) FROM {table.name}").open_reader(tunnel=True) as reader:
            self.assertEqual([r[0] for r in reader], [6])
        self.assertEqual([r[0] for r in entry.read_table(table.name)], [1, 2, 3])

    def test_signature_v4_is_used_when_a_region_is_known(self):
        entry = self.server.entry(region_name="cn-local")
        answer = entry.rest.get(entry.get_project().resource())
        self.assertIn("/cn-local/odps/aliyun_v4_request:", answer.request.headers["Authorization"])
        self.uses_everything(entry, self.full_table())

    def test_signature_v2_is_used_without_a_region(self):
        answer = self.o.rest.get(self.o.get_project().resource())
        self.assertNotIn("aliyun_v4", answer.request.headers["Authorization"])
        self.uses_everything(self.o, self.full_table())

    def test_a_wrong_secret_and_an_unknown_key_are_refused(self):
        table = self.full_table()
        access_id = self.server.credentials()["access_id"]
        for changes in (
            {"secret_access_key": "wrong"},
            {"secret_access_key": "wrong", "region_name": "cn-local"},
            {"access_id": "nobody" + access_id},
        ):
            with self.subTest(changes=list(changes)), self.assertRaises(DENIED):
                self.server.entry(**changes).get_table(table.name).reload()

    def test_a_request_without_a_signature_is_refused(self):
        for path in ("/projects/demo", "/projects/demo/tables", "/projects/demo/instances"):
            with self.subTest(path=path):
                answer = requests.get(self.server.endpoint + path, timeout=30)
                self.assertEqual(answer.status_code, 401)

    def test_a_signature_for_another_request_is_refused(self):
        table = self.full_table()
        answer = self.o.rest.get(self.o.get_project().resource())
        stolen = {h: answer.request.headers[h] for h in ("Authorization", "Date", "x-odps-user-agent")}
        other = requests.get(f"{self.server.endpoint}/projects/demo/tables/{table.name}", headers=stolen, timeout=30)
        self.assertIn(other.status_code, (401, 403))
        self.assertNotIn("Schema", other.text)

    def test_temporary_keys_work_and_need_their_token(self):
        key = self.server.cli("key", "create", "--sts", "1h")
        account = StsAccount(key["access_id"], key["secret"], key["sts_token"])
        table = self.full_table()
        for region in (None, "cn-local"):
            with self.subTest(region=region):
                entry = self.server.entry(access_id=None, secret_access_key=None, account=account, region_name=region)
                self.uses_everything(entry, table)
        for token in (None, key["sts_token"][:-4] + "AAAA"):
            with self.subTest(token=token is not None), self.assertRaises(errors.ODPSError):
                if token is None:
                    entry = self.as_key(key)
                else:
                    changed = StsAccount(key["access_id"], key["secret"], token)
                    entry = self.server.entry(access_id=None, secret_access_key=None, account=changed)
                entry.get_table(table.name).reload()

    def token(self, *statements):
        return self.o.get_project().generate_auth_token({"Version": "1", "Statement": list(statements)}, "bearer", 1)

    def as_bearer(self, token):
        account = BearerTokenAccount(token, expired_hours=None)
        return self.server.entry(access_id=None, secret_access_key=None, account=account)

    def test_a_bearer_token_may_what_its_policy_allows(self):
        table = self.full_table()
        token = self.token({"Effect": "Allow", "Action": ["*"], "Resource": "acs:odps:*:*"})
        self.uses_everything(self.as_bearer(token), table)
        # What submitting SQL asks of a policy is about tables.
        for change in (f"CREATE SCHEMA {unique('s')}", f"DROP RESOURCE {unique('r')}", f"DROP FUNCTION {unique('f')}"):
            with self.subTest(change=change), self.assertRaises(errors.ODPSError) as caught:
                self.as_bearer(token).execute_sql(change)
            self.assertRegex(str(caught.exception) + type(caught.exception).__name__, "NoPermission|ODPS-0130013")

    def test_a_bearer_token_may_nothing_else(self):
        table = self.full_table()
        job = self.o.execute_sql("SELECT 1")
        # The policy that odps/models/instance.py asks for when it makes a Logview link.
        token = self.token({"Effect": "Allow", "Action": ["odps:Read"], "Resource": f"acs:odps:*:projects/demo/instances/{job.id}"})
        entry = self.as_bearer(token)
        self.assertEqual(entry.get_instance(job.id).status.value, "Terminated")
        for attempt in (
            lambda: entry.get_table(table.name).reload(),
            lambda: entry.execute_sql(f"SELECT * FROM {table.name}"),
            lambda: list(entry.read_table(table.name)),
            lambda: entry.delete_table(table.name),
        ):
            with self.assertRaises(errors.NoPermission):
                attempt()
        self.assertTrue(self.o.exist_table(table.name))

    def test_a_forged_bearer_token_is_refused(self):
        token = self.token({"Effect": "Allow", "Action": ["*"], "Resource": "acs:odps:*:*"})
        for wrong in (token[:-6] + "AAAAAA", "bm9ib2R5LDEsOTk5OTk5OTk5OSx4", "x"):
            with self.subTest(wrong=len(wrong)), self.assertRaises(DENIED):
                self.as_bearer(wrong).get_project().reload()

    def attempts(self, entry, table, job, session, download):
        """Everything that someone might try on a project that is not theirs."""
        tunnel = TableTunnel(entry, endpoint=self.server.endpoint[: -len("/api")])
        return {
            "get project": lambda: entry.get_project().reload(),
            "list tables": lambda: list(entry.list_tables()),
            "get table": lambda: entry.get_table(table.name).reload(),
            "head": lambda: list(entry.get_table(table.name).head(1)),
            "partitions": lambda: list(entry.get_table(table.name).partitions),
            "select": lambda: entry.execute_sql(f"SELECT * FROM {table.name}"),
            "drop": lambda: entry.delete_table(table.name),
            "list jobs": lambda: list(entry.list_instances()),
            "get job": lambda: entry.get_instance(job.id).reload(),
            "stop job": lambda: entry.stop_instance(job.id),
            "read job": lambda: entry.get_instance(job.id).open_reader(tunnel=True),
            "upload": lambda: tunnel.create_upload_session(table.name),
            "resume upload": lambda: tunnel.create_upload_session(table.name, upload_id=session.id),
            "download": lambda: tunnel.create_download_session(table.name),
            "resume download": lambda: tunnel.create_download_session(table.name, download_id=download.id),
            "stream": lambda: tunnel.create_stream_upload_session(table.name),
            "token": lambda: entry.get_project().generate_auth_token({"Version": "1", "Statement": []}, "bearer", 1),
        }

    def test_a_foreign_key_may_nothing_and_changes_nothing(self):
        table = self.full_table()
        job = self.o.execute_sql("SELECT 'secret' AS s")
        session = TableTunnel(self.o).create_upload_session(table)
        download = TableTunnel(self.o).create_download_session(table)
        _, key = self.someone()
        for name, attempt in self.attempts(self.as_key(key), table, job, session, download).items():
            with self.subTest(attempt=name), self.assertRaises(errors.NoPermission):
                attempt()
        self.assertEqual(session.get_block_list(), [])
        self.assertEqual(self.rows(table), [(1,), (2,), (3,)])

    def test_an_admitted_account_may_use_the_project_until_it_is_expelled(self):
        table = self.full_table()
        name, key = self.someone()
        self.server.cli("project", "admit", "demo", name)
        self.uses_everything(self.as_key(key), table)
        self.server.cli("project", "expel", "demo", name, "--yes")
        with self.assertRaises(errors.NoPermission):
            self.as_key(key).get_table(table.name).reload()

    def test_a_disabled_key_and_a_disabled_account_are_locked_out(self):
        name, key = self.someone()
        self.server.cli("project", "admit", "demo", name)
        self.as_key(key).get_project().reload()
        for lock, unlock in ((("key", key["access_id"]), ("key", key["access_id"])), (("account", name), ("account", name))):
            self.server.cli(lock[0], "disable", lock[1], "--yes")
            with self.subTest(lock=lock[0]), self.assertRaises(DENIED):
                self.as_key(key).get_project().reload()
            self.server.cli(unlock[0], "enable", unlock[1])
            self.as_key(key).get_project().reload()

    def test_projects_of_another_account_are_its_own(self):
        name, key = self.someone()
        project = unique("theirs")
        self.server.cli("project", "create", project, "--owner", name)
        theirs = self.as_key(key, project=project)
        theirs.create_table("t", "n bigint")
        theirs.write_table("t", [[5]])
        self.assertEqual([r[0] for r in theirs.read_table("t")], [5])
        self.assertNotIn("demo", [p.name for p in theirs.list_projects()])

    def test_sql_of_another_project_may_not_touch_ours(self):
        """Every form that names a table, from a project of one's own; existing and missing tables answer alike."""
        ours, view = self.full_table(), self.name("v")
        parted = self.table("n bigint", "pt string")
        parted.create_partition("pt=1")
        self.o.execute_sql(f"CREATE VIEW {view} AS SELECT n FROM {ours.name}")
        name, key = self.someone()
        project = unique("theirs")
        self.server.cli("project", "create", project, "--owner", name)
        theirs = self.as_key(key, project=project)
        theirs.execute_sql("CREATE TABLE own (n BIGINT)")
        tables = len(list(self.o.list_tables()))
        there, part, seen = f"demo.{ours.name}", f"demo.{parted.name}", f"demo.{view}"
        for sql in (
            f"SELECT * FROM {there}",
            "SELECT * FROM demo.not_there",
            f"SELECT * FROM {seen}",
            f"SELECT (SELECT MAX(n) FROM {there}) AS m",
            f"SELECT own.n FROM own JOIN {there} b ON own.n = b.n",
            f"WITH x AS (SELECT * FROM {there}) SELECT * FROM x",
            f"SELECT n FROM own UNION ALL SELECT n FROM {there}",
            f"SELECT MAX_PT('{part}') AS m",
            f"INSERT INTO own SELECT n FROM {there}",
            f"INSERT INTO {there} VALUES (9)",
            f"INSERT OVERWRITE TABLE {there} SELECT 9",
            f"INSERT INTO {part} PARTITION (pt = '1') VALUES (9)",
            f"CREATE TABLE copied AS SELECT * FROM {there}",
            f"CREATE TABLE alike LIKE {there}",
            f"CREATE VIEW spy AS SELECT * FROM {there}",
            "CREATE TABLE demo.planted (n BIGINT)",
            f"DROP TABLE {there}",
            f"DROP VIEW {seen}",
            f"TRUNCATE TABLE {there}",
            f"ALTER TABLE {there} ADD COLUMNS (m BIGINT)",
            f"ALTER TABLE {there} RENAME TO taken",
            f"ALTER TABLE {part} ADD PARTITION (pt = '2')",
            f"ALTER TABLE {part} DROP PARTITION (pt = '1')",
            f"DESC {there}",
            f"SHOW CREATE TABLE {there}",
            f"SHOW PARTITIONS {part}",
            "SHOW TABLES IN demo",
        ):
            with self.subTest(sql=sql):
                # 0130013 is "Authorization exception" in the published list of SQL errors.
                with self.assertRaisesRegex(errors.ODPSError, "ODPS-0130013"):
                    theirs.execute_sql(sql).open_reader(tunnel=False)
        self.assertEqual(self.rows(ours), [(1,), (2,), (3,)])
        self.assertEqual([p.name for p in parted.partitions], ["pt='1'"])
        self.assertEqual(len(list(self.o.list_tables())), tables)
        self.assertEqual([t.name for t in theirs.list_tables()], ["own"])


if __name__ == "__main__":
    unittest.main()
