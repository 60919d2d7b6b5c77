"""Users, roles and grants through PyODPS, and that they are asked for wherever rows could be reached.

The calls are those of the client's own tests, odps/models/tests/test_security.py; what a privilege opens is MaxCompute's
documentation, "MaxCompute permissions".
"""

import json
import unittest

from odps import errors

from harness import ClientCase, unique


class Security(ClientCase):
    def setUp(self):
        super().setUp()
        self.project = self.o.get_project()

    def account(self):
        """A new account that is nowhere: its name and an entry that signs with its key."""
        name = "ALIYUN$" + unique("user")
        self.server.cli("account", "create", name)
        key = self.server.cli("key", "create", "--account", name)
        return name, self.server.entry(access_id=key["access_id"], secret_access_key=key["secret"])

    def user(self):
        """A new user of the project, without any right."""
        name, entry = self.account()
        self.project.users.create(name)
        self.addCleanup(self.leave, name)
        return name, entry

    def leave(self, name):
        try:
            self.project.users.delete(name)
        except errors.NoSuchObject:
            pass

    def say(self, statement, entry=None):
        return (entry or self.o).execute_security_query(statement)

    def refused(self, attempt):
        with self.assertRaises(errors.ODPSError) as caught:
            attempt()
        self.assertRegex(str(caught.exception) + type(caught.exception).__name__, "NoPermission|ODPS-0130013")

    def full_table(self):
        table = self.table("n bigint")
        self.o.write_table(table, [[1], [2], [3]])
        return table.name

    def test_roles_are_made_listed_and_dropped(self):
        name = unique("role")
        role = self.project.roles.create(name)
        self.assertIn(name, [r.name for r in self.project.roles])
        self.assertIn(name, self.project.roles)
        self.assertIn(role, self.project.roles)
        self.assertNotIn("non_exist_role_name", self.project.roles)
        with self.assertRaises(errors.ObjectAlreadyExists):
            self.project.roles.create(name)
        self.project.roles.delete(name)
        self.assertNotIn(name, self.project.roles)
        with self.assertRaises(errors.NoSuchObject):
            self.project.roles.delete(name)

    def test_users_are_added_listed_and_removed(self):
        name, _ = self.account()
        self.project.users.create(name)
        self.assertIn(name, self.project.users)
        self.assertIn(name, [user.display_name for user in self.project.users])
        self.assertNotIn("non_exist_user", self.project.users)
        self.project.users.delete(name)
        self.assertNotIn(name, self.project.users)

    def test_roles_are_given_and_taken_from_either_side(self):
        name, _ = self.user()
        user = self.project.users[name]
        role = self.project.roles.create(unique("role"))
        for give, take, what in ((role.grant_to, role.revoke_from, user), (user.grant_role, user.revoke_role, role)):
            give(what)
            self.assertIn(user, role.users)
            self.assertIn(role, user.roles)
            take(what)
            self.assertNotIn(user, role.users)
            self.assertNotIn(role, user.roles)
        self.project.roles.delete(role)

    def test_a_user_reads_what_was_granted_and_nothing_else(self):
        table, secret = self.full_table(), self.full_table()
        name, theirs = self.user()
        for privileges in ("read, list, createinstance on project", f"describe, select on table {table}"):
            self.assertEqual(self.say(f"grant {privileges} to user {name}"), "OK")
        self.assertEqual([r[0] for r in theirs.read_table(table)], [1, 2, 3])
        with theirs.execute_sql(f"SELECT SUM(n) FROM {table}").open_reader(tunnel=True) as reader:
            self.assertEqual([r[0] for r in reader], [6])
        self.assertEqual([c.name for c in theirs.get_table(table).table_schema.columns], ["n"])
        self.assertTrue(theirs.run_sql("SELECT 1").get_logview_address())
        for attempt in (
            lambda: list(theirs.read_table(secret)),
            lambda: theirs.get_table(secret).reload(),
            lambda: list(theirs.get_table(secret).head(1)),
            lambda: theirs.execute_sql(f"SELECT * FROM {secret}"),
            lambda: theirs.execute_sql(f"SELECT a.n FROM {table} a JOIN {secret} b ON a.n = b.n"),
            lambda: theirs.execute_sql(f"DESC {secret}"),
            lambda: theirs.write_table(table, [[4]]),
            lambda: theirs.execute_sql(f"INSERT INTO {table} VALUES (4)"),
            lambda: theirs.delete_table(table),
            lambda: theirs.execute_sql(f"CREATE TABLE {self.name()} AS SELECT n FROM {table}"),
            lambda: theirs.execute_sql(f"ALTER TABLE {table} ADD COLUMNS (m BIGINT)"),
            lambda: self.say(f"grant select on {secret} to user {name}", theirs),
            lambda: list(theirs.get_project().users),
        ):
            self.refused(attempt)
        self.assertEqual(self.rows(table), [(1,), (2,), (3,)])
        self.assertEqual(self.say(f"revoke select on table {table} from user {name}"), "OK")
        self.refused(lambda: list(theirs.read_table(table)))
        self.refused(lambda: theirs.execute_sql(f"SELECT * FROM {table}"))

    def test_a_role_opens_what_was_granted_to_it(self):
        table = self.full_table()
        name, theirs = self.user()
        role = self.project.roles.create(unique("writer"))
        self.say(f"grant createinstance, read on project to role {role.name}")
        self.say(f"grant update on table {table} to role {role.name}")
        self.refused(lambda: theirs.execute_sql(f"INSERT INTO {table} VALUES (4)"))
        role.grant_to(name)
        theirs.execute_sql(f"INSERT INTO {table} VALUES (4)")
        self.refused(lambda: theirs.execute_sql(f"SELECT * FROM {table}"))
        self.assertIn(f"tables/{table}: Update", self.say(f"describe role {role.name}"))
        role.revoke_from(name)
        self.refused(lambda: theirs.execute_sql(f"INSERT INTO {table} VALUES (5)"))
        self.assertEqual(self.rows(table), [(1,), (2,), (3,), (4,)])
        self.project.roles.delete(role.name)

    def test_jobs_of_others_stay_theirs(self):
        job = self.o.execute_sql("SELECT 'secret' AS s")
        name, theirs = self.user()
        self.say(f"grant read, list, createinstance on project to user {name}")
        own = theirs.execute_sql("SELECT 'mine' AS s")
        self.assertEqual([i.id for i in theirs.list_instances()], [own.id])
        self.refused(lambda: theirs.get_instance(job.id).reload())
        self.refused(lambda: theirs.get_instance(job.id).open_reader(tunnel=True))
        self.refused(lambda: theirs.stop_instance(job.id))
        with theirs.execute_sql("SHOW P").open_reader(tunnel=False) as reader:
            self.assertIn(own.id, reader.raw)
            self.assertNotIn(job.id, reader.raw)
        self.assertIn("Success", self.text(f"STATUS {own.id}"))

    def test_a_running_job_is_killed_by_a_statement(self):
        job = self.endless()
        self.assertIn(f"Instance {job.id} is killed.", self.text(f"KILL {job.id}"))
        with self.assertRaises(errors.ODPSError):
            job.wait_for_success()

    def test_grants_are_told_in_the_form_that_dbt_reads(self):
        table, (name, _) = self.full_table(), self.user()
        self.say(f"grant select on table demo.default.{table} to USER {name}")
        told = self.o.run_security_query(f"show grants on demo.default.{table}")
        (entry,) = told["ACL"][""]
        self.assertEqual(entry["Action"], ["Select"])
        (principal,) = entry["Principal"]
        self.assertEqual(principal[principal.index("/") + 1 : principal.index("(")], name)
        self.say(f"revoke select on table demo.default.{table} from USER {name}")
        self.assertEqual(self.say(f"show grants on {table}"), {"ACL": {"": []}})

    def test_the_same_statements_are_sql(self):
        name, _ = self.account()
        self.assertEqual(self.text(f"ADD USER {name}").strip(), "OK")
        self.assertIn(name, self.text("LIST USERS").split())
        self.assertEqual(json.loads(self.text("WHOAMI"))["ID"], self.project.current_user.id)
        self.assertEqual(self.text(f"REMOVE USER {name}").strip(), "OK")
        self.assertNotIn(name, self.text("LIST USERS").split())

    def test_what_is_not_enforced_is_refused(self):
        table, (name, _) = self.full_table(), self.user()
        self.assertIn("RAM", self.o.run_security_query("LIST ACCOUNTPROVIDERS"))
        for statement in (
            f"grant select(n) on table {table} to user {name}",
            f"grant select on table {table} to user {name} privilegeproperties ('expires'='30')",
            f"grant showhistory on table {table} to user {name}",
            f"grant read on resource r.py to user {name}",
            "set projectprotection=true",
            "put policy p.json",
            "create package pack",
        ):
            with self.subTest(statement=statement), self.assertRaises(errors.MethodNotAllowed):
                self.say(statement)
        # The client waits for this one: odps/models/tests/test_security.py.
        waited = self.o.run_security_query("INSTALL PACKAGE demo.non_exist_package")
        with self.assertRaisesRegex(errors.SecurityQueryError, "packages are not supported"):
            waited.wait_for_success()
        self.assertTrue(waited.is_terminated)
        self.assertFalse(waited.is_successful)
        self.assertEqual(self.say(f"show grants for user {name}"), {"ACL": {"": []}})
        allowed = {"Effect": "Allow", "Principal": ["*"], "Action": ["odps:Select"]}
        allowed["Resource"] = [self.named("tables/*")]
        for odd in (
            {"Condition": {"DateLessThan": {"acs:CurrentTime": "2030-01-01T00:00:00Z"}}},
            {"Action": ["odps:Download"]},
            {"Resource": ["acs:odps:*:projects/another/tables/*"]},
            {"Principal": ["ALIYUN$nobody@example.com"]},
        ):
            with self.subTest(odd=odd), self.assertRaises(errors.ODPSError) as caught:
                self.project.policy = {"Version": "1", "Statement": [allowed | odd]}
            self.assertIn("InvalidParameter", str(caught.exception) + caught.exception.code)
        self.project.reload()
        self.assertEqual(self.project.policy["Statement"], [])
        options = self.project.security_options
        self.assertFalse(options.support_package)
        options.support_package = True
        with self.assertRaises(errors.MethodNotAllowed):
            options.update()

    def named(self, rest):
        return f"acs:odps:*:projects/{self.project.name}/{rest}"

    def policy(self, *statements):
        """The policy of the project until the test ends."""
        self.addCleanup(setattr, self.project, "policy", None)
        self.project.policy = {"Statement": list(statements), "Version": "1"}

    # The documents of the client's own tests, TEST_PROJECT_POLICY_STRING and TEST_ROLE_POLICY_STRING.
    def test_policies_come_back_as_they_were_given(self):
        everybody = {"Action": ["odps:*"], "Effect": "Allow", "Principal": ["*"]}
        of_project = {
            "Statement": [
                everybody | {"Resource": [self.named(rest).rstrip("/")]}
                for rest in ("", "tables/*", "functions/*", "resources/*", "packages/base_common.datamask")
            ],
            "Version": "1",
        }
        old = self.project.policy
        self.project.policy = of_project
        self.project.reload()
        self.assertEqual(json.dumps(self.project.policy), json.dumps(of_project))
        self.project.policy = old
        self.project.reload()
        self.assertEqual(self.project.policy, old)
        changes = ["Write", "CreateTable", "CreateFunction", "CreateResource", "CreateJob", "CreateVolume"]
        of_role = {
            "Statement": [
                {"Action": ["odps:Describe", "odps:Select"], "Effect": "Allow", "Resource": [self.named("tables/*")]},
                {"Action": ["odps:" + c for c in changes], "Effect": "Deny", "Resource": [self.named("").rstrip("/")]},
            ],
            "Version": "1",
        }
        role = self.project.roles.create(unique("role"))
        role.policy = of_role
        role.reload()
        self.assertEqual(json.dumps(role.policy), json.dumps(of_role))
        self.project.roles.delete(role)

    def test_a_policy_opens_and_closes_every_way_to_the_rows(self):
        table = self.full_table()
        name, theirs = self.user()
        self.say(f"grant createinstance, read on project to user {name}")
        allow = {"Effect": "Allow", "Principal": [name], "Action": ["odps:Describe", "odps:Select"]}
        self.policy(allow | {"Resource": [self.named("tables/" + table)]})
        self.assertEqual([r[0] for r in theirs.read_table(table)], [1, 2, 3])
        theirs.execute_sql(f"SELECT * FROM {table}")
        self.say(f"grant all on table {table} to user {name}")
        deny = {"Effect": "Deny", "Principal": ["*"], "Action": ["odps:Select"]}
        self.policy(deny | {"Resource": [self.named("tables/" + table)]})
        for attempt in (
            lambda: list(theirs.read_table(table)),
            lambda: list(theirs.get_table(table).head(1)),
            lambda: theirs.execute_sql(f"SELECT * FROM {table}"),
            lambda: theirs.execute_sql(f"CREATE TABLE {self.name()} AS SELECT n FROM {table}"),
            lambda: theirs.execute_sql(f"ALTER TABLE {table} RENAME TO {self.name()}"),
        ):
            self.refused(attempt)
        theirs.write_table(table, [[4]])
        self.assertEqual(self.rows(table), [(1,), (2,), (3,), (4,)])

    def test_labels_hide_columns_from_users_below_them(self):
        table = self.table("n bigint, secret bigint")
        self.o.write_table(table, [[1, 42]])
        name, theirs = self.user()
        self.say(f"grant createinstance, read on project to user {name}")
        self.say(f"grant describe, select on table {table.name} to user {name}")
        options = self.project.security_options
        self.assertFalse(options.label_security)
        options.label_security = True
        options.update()
        self.addCleanup(self.say, "set LabelSecurity=false")
        options.reload()
        self.assertTrue(options.label_security)
        self.assertEqual([list(r.values) for r in theirs.read_table(table.name)], [[1, 42]])
        self.say(f"set label 2 to table {table.name}(secret)")
        with theirs.execute_sql(f"SELECT n FROM {table.name}").open_reader(tunnel=True) as reader:
            self.assertEqual([r[0] for r in reader], [1])
        for attempt in (
            lambda: theirs.execute_sql(f"SELECT * FROM {table.name}"),
            lambda: theirs.execute_sql(f"SELECT n FROM {table.name} WHERE secret > 41"),
            lambda: list(theirs.read_table(table.name)),
            lambda: list(theirs.get_table(table.name).head(1)),
        ):
            self.refused(attempt)
        self.say(f"grant label 2 on table {table.name}(secret) to user {name} with exp 1")
        self.assertEqual([list(r.values) for r in theirs.read_table(table.name)], [[1, 42]])


if __name__ == "__main__":
    unittest.main()
