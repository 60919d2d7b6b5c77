"""Tables and partitions as PyODPS sees them: made by REST calls and DDL, listed, changed, dropped.

Expected values are the definitions written; error classes are those of odps/errors.py.
"""

import unittest

from odps import errors
from odps.models import TableSchema
from odps.types import Column, Partition

from harness import ClientCase, unique


class Tables(ClientCase):
    def test_a_table_shows_how_it_was_made(self):
        name = self.name()
        schema = TableSchema(
            columns=[Column("id", "bigint", comment="the 'key'", nullable=False), Column("tags", "array<string>")],
            partitions=[Partition("ds", "string", comment="day"), Partition("hh", "bigint")],
        )
        self.o.create_table(name, schema, comment="order \"lines\"", lifecycle=30)
        table = self.server.entry().get_table(name)
        self.assertEqual([(c.name, c.type) for c in table.table_schema.simple_columns], [("id", "bigint"), ("tags", "array<string>")])
        self.assertEqual([(c.name, c.type) for c in table.table_schema.partitions], [("ds", "string"), ("hh", "bigint")])
        self.assertEqual(table.table_schema["id"].comment, "the 'key'")
        self.assertFalse(table.table_schema["id"].nullable)
        self.assertTrue(table.table_schema["tags"].nullable)
        self.assertEqual(table.comment, "order \"lines\"")
        self.assertEqual(table.lifecycle, 30)
        self.assertEqual(table.owner, "ALIYUN$demo")
        self.assertFalse(table.is_virtual_view)
        self.assertEqual(table.type.value, "MANAGED_TABLE")

    def test_a_table_partitions_itself_by_a_time_of_its_rows(self):
        name = self.name()
        self.o.execute_sql(
            f"CREATE TABLE {name} (at TIMESTAMP_NTZ, n BIGINT) AUTO PARTITIONED BY (TRUNC_TIME(at, 'day') AS d)"
        )
        rows = ", ".join(f"(TIMESTAMP_NTZ'2025-02-2{day} 11:0{n}:00', {n})" for day, n in ((1, 1), (2, 2), (2, 3)))
        self.o.execute_sql(f"INSERT INTO {name} VALUES {rows}")
        table = self.server.entry().get_table(name)
        self.assertEqual([str(p) for p in table.partitions], ["d='2025-02-21'", "d='2025-02-22'"])
        expression = table.table_schema["d"].generate_expression
        self.assertEqual((expression.name, expression.references), ("trunc_time", ["at"]))
        self.assertIn("AUTO PARTITIONED BY", table.get_ddl())
        # An overwrite replaces the days of its rows and no others.
        self.o.execute_sql(f"INSERT OVERWRITE TABLE {name} SELECT TIMESTAMP_NTZ'2025-02-22 23:00:00', 4")
        self.assertEqual(self.query(f"SELECT d, n FROM {name} WHERE d > '' ORDER BY n LIMIT 9"), [("2025-02-21", 1), ("2025-02-22", 4)])
        for refused in (
            f"INSERT INTO {name} PARTITION (d='2025-02-21') SELECT TIMESTAMP_NTZ'2025-02-21 00:00:00', 1",
            f"ALTER TABLE {name} DROP COLUMNS at",
            f"CREATE TABLE {self.name()} (n BIGINT) AUTO PARTITIONED BY (TRUNC_TIME(n, 'day') AS d)",
            f"CREATE TABLE {self.name()} (at DATE) AUTO PARTITIONED BY (TRUNC_TIME(at, 'week') AS d)",
        ):
            with self.subTest(refused), self.assertRaises(errors.ODPSError) as caught:
                self.o.execute_sql(refused)
            self.assertIn("ODPS-0130071", str(caught.exception))

    def test_a_table_partitions_itself_by_the_time_of_arrival(self):
        source, name = self.name(), self.name()
        self.o.execute_sql(f"CREATE TABLE {source} AS SELECT 'a' a, 1L b UNION ALL SELECT 'b', 2L")
        table = self.o.create_table(
            name,
            ("_partitiontime timestamp_ntz, a string, b bigint", "trunc_time(_partitiontime, 'day') as pt"),
            table_properties={"ingestion_time_partition": "true"},
        )
        # PyODPS does not ask the server for it; its own test sets it as well (odps/models/tests/test_tableio.py).
        table.table_properties = {"ingestion_time_partition": "true"}
        for overwrite in (False, True):
            self.o.write_sql_result_to_table(name, f"SELECT * FROM {source}", overwrite=overwrite)
        rows = self.query(f"SELECT pt, `_partitiontime`, a, b FROM {name} WHERE pt > '' ORDER BY b LIMIT 9")
        # The clock may pass midnight between the two writings, then both days have rows.
        self.assertEqual(len(rows), 2 * len({row[0] for row in rows}))
        for day, arrived, _, _ in rows:
            self.assertEqual(arrived.strftime("%Y-%m-%d %H:%M:%S"), f"{day} 00:00:00")
        self.assertTrue(table.exist_partition(f"pt='{rows[-1][0]}'"))

    def test_clauses_that_do_not_move_rows_are_shown_as_written(self):
        name = self.name()
        self.o.execute_sql(
            f"CREATE TABLE {name} (a BIGINT, b BIGINT) PARTITIONED BY (ds STRING) CLUSTERED BY (a) SORTED BY (a, b DESC) "
            "INTO 8 BUCKETS TBLPROPERTIES ('transactional'='true', 'storagetier'='lowfrequency') INTO 4 SHARDS"
        )
        table = self.server.entry().get_table(name)
        clusters = table.cluster_info
        self.assertEqual((clusters.cluster_type.value, clusters.bucket_num, clusters.cluster_cols), ("hash", 8, ["a"]))
        self.assertEqual([(c.name, c.order.value.lower()) for c in clusters.sort_cols], [("a", "asc"), ("b", "desc")])
        self.assertTrue(table.is_transactional)
        self.assertEqual(table.storage_tier_info.storage_tier.value, "lowfrequency")
        self.assertEqual(table.shard.shard_num, 4)
        partition = table.create_partition("ds=1")
        partition.set_storage_tier("longterm")
        self.assertEqual(partition.storage_tier_info.storage_tier.value, "longterm")
        table.delete_partition("ds=1")
        self.assertIsNone(table.create_partition("ds=1").storage_tier_info)

    def test_a_primary_key_is_shown_and_decides_from_the_beginning_or_never(self):
        columns = "(a BIGINT NOT NULL, b STRING, PRIMARY KEY (a))"
        name = self.name()
        self.o.execute_sql(f"CREATE TABLE {name} {columns}")
        self.assertEqual(self.server.entry().get_table(name).primary_key, ["a"])
        with self.assertRaises(errors.ODPSError) as caught:
            self.o.execute_sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('transactional'='true')")
        self.assertIn("ODPS-0121125", str(caught.exception))
        keyed = self.table("a bigint not null, b string", primary_key="a", transactional=True)
        self.assertEqual((keyed.primary_key, keyed.is_transactional), (["a"], True))
        with self.assertRaises(errors.ODPSError):
            self.o.execute_sql(f"CREATE TABLE {self.name()} (a BIGINT, PRIMARY KEY (a))")

    def test_exists_follows_create_and_drop(self):
        name = self.name()
        self.assertFalse(self.o.exist_table(name))
        self.o.create_table(name, "a bigint")
        self.assertTrue(self.o.exist_table(name))
        self.assertTrue(self.o.exist_table(name.upper()))
        self.o.delete_table(name)
        self.assertFalse(self.o.exist_table(name))
        with self.assertRaises(errors.NoSuchObject):
            self.o.get_table(name).reload()

    def test_creating_twice_is_refused_unless_allowed(self):
        name = self.name()
        self.o.create_table(name, "a bigint")
        self.o.create_table(name, "a bigint", if_not_exists=True)
        with self.assertRaises(errors.ODPSError) as caught:
            self.o.create_table(name, "a bigint")
        # The code that MaxCompute gives, and dbt-maxcompute looks for.
        self.assertIn("ODPS-0130211", str(caught.exception))

    def test_dropping_a_missing_table_is_refused_unless_allowed(self):
        name = unique("never")
        self.o.delete_table(name, if_exists=True)
        with self.assertRaises(errors.ODPSError) as caught:
            self.o.delete_table(name)
        self.assertIn("ODPS-0130131", str(caught.exception))

    def test_tables_are_listed_by_prefix_over_pages(self):
        prefix = unique("listed")
        names = sorted(f"{prefix}_{n}" for n in range(7))
        self._tables += names
        for name in names:
            self.o.create_table(name, "a bigint")
        self.assertEqual([t.name for t in self.o.list_tables(prefix=prefix)], names)
        self.assertEqual([t.name for t in self.o.list_tables(prefix=prefix, extended=True)], names)
        self.assertEqual(list(self.o.list_tables(prefix=unique("no_such_prefix"))), [])

    def test_a_recreated_table_is_empty(self):
        table = self.table("a bigint")
        self.o.write_table(table, [[1], [2]])
        self.o.delete_table(table.name)
        again = self.o.create_table(table.name, "a bigint, b string")
        self.assertEqual(self.rows(again), [])
        self.assertEqual(len(again.table_schema.simple_columns), 2)

    def test_partitions_are_added_listed_and_dropped(self):
        table = self.table("a bigint", "ds string, hh string")
        for spec in ("ds=20240102,hh=01", "ds=20240101,hh=02", "ds=20240101,hh=01"):
            table.create_partition(spec)
        table.create_partition("ds=20240101,hh=01", if_not_exists=True)
        with self.assertRaises(errors.ODPSError):
            table.create_partition("ds=20240101,hh=01")
        specs = lambda found: [tuple(p.partition_spec.values()) for p in found]
        self.assertEqual(specs(table.partitions), [("20240101", "01"), ("20240101", "02"), ("20240102", "01")])
        self.assertEqual(specs(table.iterate_partitions("ds=20240101")), [("20240101", "01"), ("20240101", "02")])
        self.assertEqual(specs(table.iterate_partitions(reverse=True)), [("20240102", "01"), ("20240101", "02"), ("20240101", "01")])
        self.assertTrue(table.exist_partition("ds=20240102,hh=01"))
        self.assertFalse(table.exist_partition("ds=20240103,hh=01"))
        table.delete_partition("ds=20240101,hh=01")
        table.delete_partition("ds=20240101,hh=01", if_exists=True)
        with self.assertRaises(errors.ODPSError):
            table.delete_partition("ds=20240101,hh=01")
        self.assertEqual(specs(table.partitions), [("20240101", "02"), ("20240102", "01")])

    def test_a_partition_counts_its_rows(self):
        table = self.table("a bigint", "pt string")
        table.create_partition("pt=empty")
        self.o.write_table(table, [[n] for n in range(5)], partition="pt=full", create_partition=True)
        self.assertEqual(table.get_partition("pt=empty").record_num, 0)
        self.assertEqual(table.get_partition("pt=empty").physical_size, 0)
        self.assertEqual(table.get_partition("pt=full").record_num, 5)
        self.assertGreater(table.get_partition("pt=full").physical_size, 0)
        self.assertEqual(str(table.get_max_partition().partition_spec), "pt='full'")

    def test_dropping_a_partition_drops_its_rows(self):
        table = self.table("a bigint", "pt string")
        for part in ("x", "y"):
            self.o.write_table(table, [[1], [2]], partition=f"pt={part}", create_partition=True)
        table.delete_partition("pt=x")
        table.create_partition("pt=x")
        self.assertEqual(self.rows(table, partition="pt=x"), [])
        self.assertEqual(self.rows(table, partition="pt=y"), [(1, "y"), (2, "y")])

    def test_a_partition_is_renamed_with_its_rows(self):
        table = self.table("a bigint", "pt string")
        self.o.write_table(table, [[1], [2]], partition="pt=old", create_partition=True)
        table.change_partition_spec("pt=old", "pt=new")
        self.assertEqual([str(p.partition_spec) for p in table.partitions], ["pt='new'"])
        self.assertEqual(self.rows(table, partition="pt=new"), [(1, "new"), (2, "new")])

    def test_partition_values_may_hold_anything_printable(self):
        table = self.table("a bigint", "pt string")
        for value in ("A b", "a", "飞天", "50%", "x+y", "a.b-c_d:e"):
            with self.subTest(value=value):
                self.o.write_table(table, [[7]], partition=f"pt={value}", create_partition=True)
                self.assertEqual(self.rows(table, partition=f"pt={value}"), [(7, value)])
                self.assertTrue(table.exist_partition(f"pt='{value}'"))

    def test_truncate_empties_a_table_and_one_partition(self):
        plain = self.table("a bigint")
        self.o.write_table(plain, [[1]])
        plain.truncate()
        self.assertEqual(self.rows(plain), [])
        parts = self.table("a bigint", "pt string")
        for part in ("x", "y"):
            self.o.write_table(parts, [[1]], partition=f"pt={part}", create_partition=True)
        parts.truncate("pt=x")
        self.assertEqual(self.rows(parts, partition="pt=x"), [])
        self.assertEqual(self.rows(parts, partition="pt=y"), [(1, "y")])

    def test_columns_are_added_renamed_and_dropped(self):
        table = self.table("a bigint, b string")
        self.o.write_table(table, [[1, "x"]])
        table.add_columns("c double")
        table.rename_column("b", "bb")
        self.assertEqual([c.name for c in table.table_schema.simple_columns], ["a", "bb", "c"])
        self.o.write_table(table, [[2, "y", 0.5]])
        self.assertEqual(sorted(self.rows(table)), [(1, "x", None), (2, "y", 0.5)])
        table.delete_columns("a")
        self.assertEqual(sorted(self.rows(table)), [("x", None), ("y", 0.5)])

    def test_a_table_is_renamed_with_its_rows(self):
        table = self.table("a bigint")
        self.o.write_table(table, [[1], [2]])
        new = self.name("renamed")
        old = table.name
        table.rename(new)
        self.assertFalse(self.o.exist_table(old))
        self.assertEqual(self.rows(new), [(1,), (2,)])

    def test_comment_lifecycle_and_times_change(self):
        table = self.table("a bigint")
        created = table.creation_time
        table.set_comment("飞天's table")
        table.set_lifecycle(7)
        fresh = self.server.entry().get_table(table.name)
        self.assertEqual((fresh.comment, fresh.lifecycle), ("飞天's table", 7))
        before = fresh.last_data_modified_time
        self.o.write_table(table, [[1]])
        fresh.reload()
        self.assertGreater(fresh.last_data_modified_time, before)
        self.assertEqual(fresh.creation_time, created)

    def test_the_ddl_that_the_client_writes_makes_an_equal_table(self):
        table = self.table("a bigint, `b` map<string,array<decimal(10,2)>>", "pt string", comment="it's \"quoted\"")
        copy = self.name()
        self.o.execute_sql(table.get_ddl().replace(table.name, copy))
        made = self.o.get_table(copy)
        self.assertEqual([(c.name, c.type) for c in made.table_schema.columns], [(c.name, c.type) for c in table.table_schema.columns])
        self.assertEqual(made.comment, table.comment)

    def test_show_and_desc_tell_of_the_table(self):
        table = self.table("a bigint, b string", "pt string")
        table.create_partition("pt=x")
        table.create_partition("pt=y")
        self.assertEqual(self.text(f"SHOW PARTITIONS {table.name}").split(), ["pt=x", "pt=y"])
        self.assertIn(table.name, self.text("SHOW TABLES"))
        described = self.text(f"DESC {table.name}")
        for word in ("demo", "a", "bigint", "pt"):
            self.assertIn(word, described)

    def test_names_never_become_paths(self):
        for name in ("../evil", "a/b", "a b", "", "x" * 200):
            with self.subTest(name=name), self.assertRaises((errors.ODPSError, ValueError, AttributeError)):
                self.o.execute_sql(f"CREATE TABLE `{name}` (a BIGINT)")

    def test_unknown_projects_are_refused(self):
        self.assertFalse(self.o.exist_project("no_such_project"))
        with self.assertRaises(errors.NoSuchObject):
            self.o.get_project("no_such_project").reload()

    def test_the_project_names_itself(self):
        project = self.o.get_project()
        project.reload()
        self.assertEqual((project.name, project.owner), ("demo", "ALIYUN$demo"))
        self.assertIn("demo", [p.name for p in self.o.list_projects()])


if __name__ == "__main__":
    unittest.main()
