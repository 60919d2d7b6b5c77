"""Schemas, resources and functions as PyODPS makes, reads, changes and drops them.

Expected values are what was written; error classes are those of odps/errors.py.
"""

import hashlib
import io
import unittest

from odps import errors, options

import harness
from harness import ClientCase, unique


class Resources(ClientCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(setattr, options, "resource_chunk_size", options.resource_chunk_size)

    def resource(self, kind, content, **kwargs):
        name = unique("Res") + "." + kind
        made = self.o.create_resource(name, kind, fileobj=io.BytesIO(content), **kwargs)
        self.addCleanup(self.o.delete_resource, name)
        return made

    def test_a_file_comes_back_byte_by_byte(self):
        content = bytes(range(256)) * 5
        for kind in ("file", "py", "jar", "archive"):
            with self.subTest(kind=kind):
                made = self.resource(kind, content, comment="the comment")
                again = self.server.entry().get_resource(made.name)
                self.assertEqual(again.type.value.lower(), kind)
                self.assertEqual((again.size, again.comment, again.owner), (len(content), "the comment", "ALIYUN$demo"))
                self.assertEqual(again.content_md5, hashlib.md5(content).hexdigest())
                with again.open("rb") as file:
                    self.assertEqual(file.read(), content)

    def test_an_empty_file_is_a_file(self):
        made = self.resource("file", b"")
        with self.server.entry().get_resource(made.name).open("rb") as file:
            self.assertEqual(file.read(), b"")

    def test_an_update_replaces_the_content(self):
        made = self.resource("file", b"old")
        made.update(file_obj=io.BytesIO(b"newer"))
        with self.server.entry().get_resource(made.name).open("rb") as file:
            self.assertEqual(file.read(), b"newer")

    def test_names_are_taken_once_and_have_letter_case(self):
        made = self.resource("file", b"x")
        with self.assertRaises(errors.ODPSError) as caught:
            self.o.create_resource(made.name, "file", fileobj=io.BytesIO(b"y"))
        self.assertNotIsInstance(caught.exception, errors.NoSuchObject)
        self.assertFalse(self.o.exist_resource(made.name.upper()))

    def test_a_content_in_many_parts_becomes_one_resource(self):
        options.resource_chunk_size = 7
        content = bytes(range(100))
        made = self.resource("file", content)
        with self.server.entry().get_resource(made.name).open("rb", stream=True) as file:
            self.assertEqual(file.read(), content)
        self.assertEqual([r.name for r in self.o.list_resources(prefix=made.name)], [made.name])

    def test_a_reference_to_a_table_reads_and_writes_it(self):
        table = self.table("a bigint", "ds string")
        table.create_partition("ds=1")
        name = unique("ref")
        made = self.o.create_resource(name, "table", table_name=table.name, partition="ds=1")
        self.addCleanup(self.o.delete_resource, name)
        with made.open_writer() as writer:
            writer.write([7])
        again = self.server.entry().get_resource(name)
        self.assertEqual((again.get_source_table().name, str(again.get_source_table_partition())), (table.name, "ds='1'"))
        self.assertEqual(self.rows(table, partition="ds=1"), [(7, "1")])

    def test_a_missing_resource_is_no_such_object(self):
        self.assertFalse(self.o.exist_resource("never_was"))
        with self.assertRaises(errors.NoSuchObject):
            self.o.delete_resource("never_was")


class Functions(ClientCase):
    def test_a_function_is_registered_changed_and_dropped(self):
        module, name = unique("mod"), unique("fun")
        resource = self.o.create_resource(module + ".py", "py", fileobj=io.BytesIO(b"class Plus: pass"))
        self.addCleanup(resource.drop)
        made = self.o.create_function(name, class_type=module + ".Plus", resources=[resource])
        again = self.server.entry().get_function(name)
        self.assertEqual((again.class_type, again.owner), (module + ".Plus", "ALIYUN$demo"))
        self.assertEqual([r.name for r in again.resources], [module + ".py"])
        self.assertIn(name, [f.name for f in self.o.list_functions()])
        with self.assertRaises(errors.ODPSError) as caught:
            self.query(f"SELECT {name}(1)")
        # It has no @annotate.
        self.assertIn("ODPS-0130071", str(caught.exception))
        self.assertIn(name, str(caught.exception))
        made.drop()
        self.assertFalse(self.o.exist_function(name))
        with self.assertRaises(errors.ODPSError) as caught:
            self.query(f"SELECT {name}(1)")
        self.assertIn("ODPS-0130071", str(caught.exception))

    def test_a_function_needs_resources_that_exist(self):
        with self.assertRaises(errors.NoSuchObject):
            self.o.create_function(unique("fun"), class_type="m.C", resources=["never_was.py"])


class Schemas(ClientCase):
    def setUp(self):
        super().setUp()
        self.schema = unique("s")
        self.o.create_schema(self.schema)
        self.addCleanup(self.o.delete_schema, self.schema)
        self.addCleanup(setattr, options, "enable_schema", options.enable_schema)

    def test_schemas_are_listed_and_exist_until_they_are_dropped(self):
        names = [s.name for s in self.o.list_schemas()]
        self.assertIn("default", names)
        self.assertIn(self.schema, names)
        self.assertEqual(self.o.get_schema(self.schema).owner, "ALIYUN$demo")
        self.assertFalse(self.o.exist_schema("never_was"))
        with self.assertRaises(errors.ODPSError):
            self.o.create_schema(self.schema)

    def test_tables_of_two_schemas_may_have_one_name(self):
        name = self.name()
        for schema, rows in ((None, [[1]]), (self.schema, [[2], [3]])):
            table = self.o.create_table(name, "a bigint", schema=schema)
            self.o.write_table(table, rows)
        inside = self.o.get_table(name, schema=self.schema)
        self.addCleanup(inside.drop)
        self.assertEqual(self.rows(self.o.get_table(name)), [(1,)])
        self.assertEqual(self.rows(inside), [(2,), (3,)])
        self.assertIn(name, [t.name for t in self.o.list_tables(schema=self.schema)])
        three = f"{self.o.project}.{self.schema}.{name}"
        self.assertEqual(self.query(f"SELECT COUNT(*), SUM({name}.a) FROM {three}"), [(2, 5)])
        self.assertEqual(self.query(f"SELECT a FROM {self.schema}.{name} ORDER BY a LIMIT 1", **{"odps.namespace.schema": "true"}), [(2,)])
        both = f"SELECT /*+ MAPJOIN(y) */ x.a AS mine, y.a AS theirs FROM {name} x JOIN {three} y ON x.a < y.a ORDER BY y.a LIMIT 9"
        self.assertEqual(self.query(both), [(1, 2), (1, 3)])

    def test_a_schema_with_a_table_is_not_dropped(self):
        table = self.o.create_table(unique("t"), "a bigint", schema=self.schema)
        with self.assertRaises(errors.ODPSError):
            self.o.delete_schema(self.schema)
        table.drop()

    def test_statements_make_describe_and_drop_schemas(self):
        other = unique("sql")
        self.o.execute_sql(f"CREATE SCHEMA {self.o.project}.{other} COMMENT 'ours'")
        self.assertIn(other, self.text(f"SHOW SCHEMAS IN {self.o.project}").split())
        self.assertIn('"ours"', self.text(f"DESC SCHEMA {other}"))
        self.o.execute_sql(f"CREATE SCHEMA IF NOT EXISTS {other}")
        with self.assertRaises(errors.ODPSError):
            self.o.execute_sql(f"CREATE SCHEMA {other}")
        self.o.execute_sql(f"DROP SCHEMA {other}")
        self.o.execute_sql(f"DROP SCHEMA IF EXISTS {other}")
        with self.assertRaises(errors.ODPSError):
            self.o.execute_sql(f"CREATE TABLE {self.o.project}.{other}.t (a bigint)")

    def test_resources_and_functions_lie_in_schemas(self):
        name = unique("r") + ".py"
        made = self.o.create_resource(name, "py", fileobj=io.BytesIO(b"x"), schema=self.schema)
        self.assertFalse(self.o.exist_resource(name))
        function = self.o.create_function(unique("f"), class_type="r.C", resources=[made])
        self.assertEqual(self.server.entry().get_function(function.name).resources[0].schema.name, self.schema)
        function.drop()
        made.drop()


class Kept(unittest.TestCase):
    def test_what_was_acknowledged_survives_a_kill(self):
        server = harness.Server(meta=harness.new_database())
        self.addCleanup(server.close)
        o = server.start().entry()
        o.create_schema("s")
        resource = o.create_resource("m.py", "py", fileobj=io.BytesIO(b"content"), schema="s")
        o.create_function("f", class_type="m.C", resources=[resource], schema="s")
        server.kill()
        o = server.start().entry()
        with o.open_resource("m.py", schema="s", mode="rb") as file:
            self.assertEqual(file.read(), b"content")
        self.assertEqual(o.get_function("f", schema="s").class_type, "m.C")
