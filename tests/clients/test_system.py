"""The project `sys`: jobs, tables, sessions and settings as SQL tables, each row for those who may see it.

The columns are those of docs/sys.md; words of states are those of odps/models/instance.py and of the server's own page.
"""

import unittest
from datetime import datetime, timedelta

from odps import errors
from odps.accounts import BearerTokenAccount
from odps.tunnel import TableTunnel

from harness import ClientCase, unique


class System(ClientCase):
    def someone(self):
        """An account with a project of its own: (account name, PyODPS in that project)."""
        name, project = "ALIYUN$" + unique("someone"), unique("theirs")
        self.server.cli("account", "create", name)
        key = self.server.cli("key", "create", "--account", name)
        self.server.cli("project", "create", project, "--owner", name)
        entry = self.server.entry(access_id=key["access_id"], secret_access_key=key["secret"], project=project)
        return name, entry

    def ask(self, entry, sql, **hints):
        with entry.execute_sql(sql, hints=hints or None).open_reader(tunnel=True) as reader:
            return [tuple(record.values) for record in reader]

    def job(self, entry, instance, columns="instance_id"):
        return self.ask(entry, f"SELECT {columns} FROM sys.instances WHERE instance_id = '{instance.id}'")

    def test_everybody_finds_his_own_job_and_no_foreign_one(self):
        name, theirs = self.someone()
        before = datetime.now() - timedelta(minutes=1)
        own = theirs.execute_sql("SELECT 'mine' AS word")
        foreign = self.o.execute_sql("SELECT 'secret' AS word")
        columns = "project, owner, task_type, status, operation_text, submit_time, start_time, end_time, result_rows, error"
        ((project, owner, kind, status, text, submitted, started, ended, rows, error),) = self.job(theirs, own, columns)
        self.assertEqual((project, owner, kind, status), (theirs.project, name, "SQL", "Success"))
        self.assertIn("'mine'", text)
        self.assertTrue(before < submitted <= started <= ended < datetime.now() + timedelta(minutes=1))
        self.assertEqual((rows, error), (1, None))
        self.assertEqual(self.job(theirs, foreign), [])
        self.assertEqual(self.ask(theirs, "SELECT DISTINCT project FROM sys.instances"), [(theirs.project,)])
        self.assertEqual(self.ask(theirs, "SELECT COUNT(*) FROM sys.tables"), [(0,)])
        # The first account is an administrator.
        self.assertEqual(self.job(self.o, own), [(own.id,)])
        self.assertEqual(self.job(self.o, foreign), [(foreign.id,)])

    def test_admission_to_a_project_shows_its_rows_until_it_is_taken_back(self):
        name, theirs = self.someone()
        table = self.table("n bigint", "pt string")
        table.create_partition("pt=1")
        of_demo = f"SELECT partition_name FROM sys.partitions WHERE project = 'demo' AND table_name = '{table.name}'"
        self.assertEqual(self.ask(theirs, of_demo), [])
        self.server.cli("project", "admit", "demo", name)
        self.assertEqual(self.ask(theirs, of_demo), [("pt=1",)])
        self.server.cli("project", "expel", "demo", name, "--yes")
        self.assertEqual(self.ask(theirs, of_demo), [])

    def test_an_error_is_found_by_its_code(self):
        with self.assertRaises(errors.NoSuchTable):
            self.o.execute_sql(f"SELECT * FROM {unique('missing')}")
        found = self.ask(
            self.o,
            "SELECT status, error_code, error FROM sys.instances WHERE error_code = 'ODPS-0130131' "
            "AND submit_time > DATEADD(GETDATE(), -1, 'hh') ORDER BY submit_time DESC LIMIT 1",
        )
        ((status, code, text),) = found
        self.assertEqual((status, code), ("Failed", "ODPS-0130131"))
        self.assertIn("Table not found", text)

    def test_tables_show_what_the_tunnel_wrote(self):
        table = self.table("n bigint")
        self.o.write_table(table, [[1], [2], [3]])
        session = TableTunnel(self.o).create_upload_session(table)
        rows = self.ask(
            self.o,
            "SELECT table_type, owner, num_rows, num_files, data_length > 0 FROM sys.tables "
            f"WHERE project = 'demo' AND schema_name = 'default' AND table_name = '{table.name}'",
        )
        self.assertEqual(rows, [("MANAGED_TABLE", "ALIYUN$demo", 3, 1, True)])
        found = f"SELECT kind, table_name, status FROM sys.sessions WHERE session_id = '{session.id}'"
        self.assertEqual(self.ask(self.o, found), [("upload", table.name, "normal")])

    def test_settings_have_sources_and_hide_what_is_not_for_the_reader(self):
        _, theirs = self.someone()
        shown = "SELECT name, value, source FROM sys.config WHERE name IN ('data', 'query.memory') ORDER BY name LIMIT 9"
        data, memory = self.ask(self.o, shown)
        self.assertEqual(data, ("data", self.server.data, "flag --data"))
        self.assertEqual(memory, ("query.memory", "1GiB", "default"))
        self.assertEqual(self.ask(theirs, shown), [("data", None, "flag"), memory])
        everything = repr(self.ask(theirs, "SELECT * FROM sys.config")) + repr(self.ask(self.o, "SELECT * FROM sys.config"))
        self.assertNotIn(self.server.credentials()["secret"], everything)

    def test_a_bearer_token_sees_its_project_only(self):
        _, theirs = self.someone()
        foreign = theirs.execute_sql("SELECT 1")
        policy = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": ["*"], "Resource": "acs:odps:*:*"}]}
        token = self.o.get_project().generate_auth_token(policy, "bearer", 1)
        account = BearerTokenAccount(token, expired_hours=None)
        bearer = self.server.entry(access_id=None, secret_access_key=None, account=account)
        self.assertEqual(self.ask(bearer, "SELECT DISTINCT project FROM sys.instances"), [("demo",)])
        self.assertEqual(self.job(bearer, foreign), [])
        # Nor does it reach foreign tables through SQL, though its account could.
        theirs.execute_sql("CREATE TABLE kept (n BIGINT)")
        self.assertEqual(self.ask(self.o, f"SELECT COUNT(*) FROM {theirs.project}.kept"), [(0,)])
        with self.assertRaises(errors.NoPermission):
            bearer.execute_sql(f"SELECT COUNT(*) FROM {theirs.project}.kept")

    def test_nobody_writes_to_the_system(self):
        for sql in (
            "INSERT INTO sys.config SELECT 'a', 'b', 'c', 'd'",
            "DROP TABLE sys.instances",
            "CREATE TABLE sys.mine (a BIGINT)",
        ):
            with self.subTest(sql=sql), self.assertRaises(errors.NoPermission):
                self.o.execute_sql(sql)
        with self.assertRaises(errors.NoSuchTable):
            self.o.execute_sql("SELECT * FROM sys.nothing")
        with self.assertRaises(AssertionError) as refused:
            self.server.cli("project", "create", "sys")
        self.assertIn("'sys'", str(refused.exception))
        self.assertFalse(self.o.exist_project("sys"))
        for write in (TableTunnel(self.o, project="sys").create_upload_session, self.o.get_project("sys").tables.delete):
            with self.subTest(write=write), self.assertRaises(errors.NoSuchObject) as refused:
                write("config")
            self.assertIn("'sys'; its tables are read with SQL", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
