"""What Apache Superset asks of a MaxCompute database, through the engine specification that PyODPS ships for it.

Superset itself is not installed: it is 100 MB with 160 packages, and wants another SQLAlchemy than PyODPS's other users.
`odps/superset_odps.py` brings a small base class for that case, which is what runs here below PyODPS's own methods. The
time grains are run as the statements that Superset makes of them.

Expected values are the rows written, the calendar, or follow by arithmetic.
"""

import datetime
import types
import unittest

import pandas as pd
import sqlalchemy as sa
from odps.superset_odps import ODPSEngineSpec, SupersetException, TimeGrain
from odps.utils import TEMP_TABLE_PREFIX

from harness import unique
from test_sqlalchemy import EngineCase


class Superset(EngineCase):
    def setUp(self):
        super().setUp()
        # The two things of Superset's `Database` and `Table` that the specification asks for.
        engine = self.engine
        self.database = types.SimpleNamespace(get_sqla_engine_with_context=lambda **_: engine)
        self.inspector = sa.inspect(engine)

    def dataset(self, name, schema=None):
        return types.SimpleNamespace(table=name, schema=schema)

    def cursor(self):
        connection = self.engine.raw_connection()
        self.addCleanup(connection.close)
        cursor = connection.cursor()
        self.addCleanup(cursor.close)
        return cursor

    def test_the_table_picker_lists_catalogs_schemas_tables_and_columns(self):
        table = self.table("a bigint, b string", "pt string")
        hidden = self.o.create_table(TEMP_TABLE_PREFIX + unique("x"), "a bigint", lifecycle=1)
        self.addCleanup(hidden.drop)
        self.assertIn(self.o.project, ODPSEngineSpec.get_catalog_names(self.database, self.inspector))
        self.assertIn("default", self.inspector.get_schema_names())
        for schema in (None, "default"):
            names = ODPSEngineSpec.get_table_names(self.database, self.inspector, schema)
            self.assertIn(table.name, names)
            self.assertNotIn(hidden.name, names)
        self.assertEqual([c["name"] for c in self.inspector.get_columns(table.name)], ["a", "b", "pt"])
        # Superset asks for these of every dataset.
        self.assertEqual(self.inspector.get_indexes(table.name), [])
        self.assertFalse(self.inspector.get_pk_constraint(table.name))

    def test_functions_are_offered_and_the_registered_ones_with_them(self):
        resource = self.o.create_resource(unique("m") + ".py", "py", fileobj="class C: pass")
        self.addCleanup(resource.drop)
        function = self.o.create_function(unique("f"), class_type=resource.name[:-3] + ".C", resources=[resource])
        self.addCleanup(function.drop)
        offered = ODPSEngineSpec.get_function_names(self.database)
        self.assertIn(function.name, offered)
        self.assertIn("GET_JSON_OBJECT", offered)

    def test_the_latest_partition_is_the_greatest_one_with_rows(self):
        table = self.table("a bigint", "ds string, hh string")
        query = sa.select(sa.text("a")).select_from(sa.text(table.name))
        columns = [{"name": "a"}, {"name": "ds"}, {"name": "hh"}]

        def latest():
            return ODPSEngineSpec.where_latest_partition(self.database, self.dataset(table.name), query, columns)

        table.create_partition("ds=20240101,hh=01")
        self.assertIsNone(latest())
        for ds, hh, value in (("20240101", "01", 1), ("20240102", "07", 2), ("20240102", "05", 3)):
            self.o.write_table(table, [[value]], partition=f"ds={ds},hh={hh}", create_partition=True)
        table.create_partition("ds=20240103,hh=01")
        self.assertEqual(self.found(latest()), [(2,)])
        plain = self.table("a bigint")
        dataset = self.dataset(plain.name)
        self.assertIsNone(ODPSEngineSpec.where_latest_partition(self.database, dataset, query, columns))

    def test_sql_lab_runs_statements_and_reads_their_rows(self):
        table = self.table("n bigint")
        self.o.write_table(table, [[n] for n in range(5)])
        cursor = self.cursor()
        ODPSEngineSpec.execute(cursor, f"SELECT n -- a comment\nFROM {table.name} ORDER BY n LIMIT 3")
        self.assertEqual([column[0] for column in cursor.description], ["n"])
        self.assertEqual(cursor.fetchall(), [[0], [1], [2]])
        with self.assertRaisesRegex(Exception, "ODPS-0130131"):
            ODPSEngineSpec.execute(self.cursor(), "SELECT * FROM no_such_table")

    def test_a_dataset_of_a_schema_is_queried(self):
        schema, name = unique("s"), unique("t")
        self.o.create_schema(schema)
        self.addCleanup(self.o.delete_schema, schema)
        table = self.o.create_table(name, "a bigint", schema=schema)
        self.addCleanup(table.drop)
        self.o.write_table(table, [[7]])
        self.assertEqual(ODPSEngineSpec.get_table_names(self.database, self.inspector, schema), {name})
        cursor = self.cursor()
        ODPSEngineSpec.execute(cursor, f"SELECT a FROM {schema}.{name}")
        self.assertEqual(cursor.fetchall(), [[7]])

    def test_the_cost_of_a_query_is_what_it_would_read(self):
        table = self.table("n bigint")
        self.o.write_table(table, [[n] for n in range(1_000)])
        cost = self.o.execute_sql_cost(f"SELECT n FROM {table.name}")
        self.assertGreater(cost.input_size, 0)
        self.assertEqual(cost.udf_num, 0)
        self.assertEqual(self.o.execute_sql_cost("SELECT 1 AS a").input_size, 0)

    def test_time_grains_cut_a_time_as_they_say(self):
        # A Thursday. DAYOFWEEK is 1 on Sunday, so that its week, which begins on Sunday, began on 12 May.
        at = datetime.datetime(2024, 5, 16, 13, 47, 58)
        expected = {
            None: at,
            TimeGrain.SECOND: at,
            TimeGrain.MINUTE: datetime.datetime(2024, 5, 16, 13, 47),
            TimeGrain.HOUR: datetime.datetime(2024, 5, 16, 13),
            TimeGrain.DAY: datetime.datetime(2024, 5, 16),
            TimeGrain.WEEK: datetime.datetime(2024, 5, 12),
            TimeGrain.MONTH: datetime.datetime(2024, 5, 1),
            # What PyODPS writes for a quarter: three months before, cut to the day.
            TimeGrain.QUARTER: datetime.datetime(2024, 2, 16),
            TimeGrain.YEAR: datetime.datetime(2024, 1, 1),
            # dateadd(col, 6 - 5) and dateadd(col, 7 - 5).
            TimeGrain.WEEK_ENDING_SATURDAY: datetime.datetime(2024, 5, 17),
            TimeGrain.WEEK_STARTING_SUNDAY: datetime.datetime(2024, 5, 18),
        }
        grains = ODPSEngineSpec._time_grain_expressions
        self.assertEqual(set(grains), set(expected))
        table = self.table("at datetime")
        self.o.write_table(table, [[at]])
        for grain, expression in grains.items():
            with self.subTest(grain=grain):
                ((found,),) = self.found(sa.text(f"SELECT {expression.format(col='at')} AS t FROM {table.name}"))
                self.assertEqual(found.replace(tzinfo=None), expected[grain])

    def test_an_uploaded_file_becomes_a_table(self):
        frame = pd.DataFrame({"s": ["a", "b"], "n": [1, 2]})
        name = self.name()
        self.o.create_table(name, "s string, n bigint")
        with self.assertRaises(SupersetException):
            ODPSEngineSpec.df_to_sql(self.database, self.dataset(name), frame, {"if_exists": "fail"})
        ODPSEngineSpec.df_to_sql(self.database, self.dataset(name), frame, {"if_exists": "replace"})
        self.assertEqual(sorted(self.rows(name)), [("a", 1), ("b", 2)])


if __name__ == "__main__":
    unittest.main()
