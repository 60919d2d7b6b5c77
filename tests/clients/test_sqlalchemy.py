"""SQLAlchemy and pandas through PyODPS's dialect: parameters, reflection of tables, views and schemas, frames in and out.

Expected values are the rows written, or follow by arithmetic; types are those of the table in odps/sqlalchemy_odps.py.
"""

import datetime
import decimal
import unittest
import urllib.parse

import pandas as pd
import sqlalchemy as sa

from harness import ClientCase, unique


def engine_for(server, **query):
    """An engine as its users write it; `query` is what stands behind the endpoint in the address."""
    login = server.credentials()
    quoted = urllib.parse.quote_plus
    more = "".join(f"&{key}={quoted(value)}" for key, value in query.items())
    return sa.create_engine(
        f"odps://{quoted(login['access_id'])}:{quoted(login['secret'])}@{login['project']}/"
        f"?endpoint={quoted(server.endpoint)}{more}"
    )


class EngineCase(ClientCase):
    def setUp(self):
        super().setUp()
        self.engine = self.new_engine()

    def new_engine(self, **query):
        engine = engine_for(self.server, **query)
        self.addCleanup(engine.dispose)
        return engine

    def found(self, statement, parameters=None):
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(statement, parameters or {})]

    def people(self):
        table = self.table("id bigint, name string, score double", comment="people")
        self.o.write_table(table, [[1, "it's", 1.5], [2, "飞\\天", None], [3, None, -2.0]])
        return table.name


class Parameters(EngineCase):
    def test_bound_parameters_are_literals_of_their_type(self):
        name = self.people()
        one = sa.text(f"SELECT id FROM {name} WHERE name = :name")
        self.assertEqual(self.found(one, {"name": "it's"}), [(1,)])
        self.assertEqual(self.found(one, {"name": "飞\\天"}), [(2,)])
        self.assertEqual(self.found(one, {"name": "' OR '1'='1"}), [])
        both = sa.text(f"SELECT COUNT(*) FROM {name} WHERE id >= :low AND score < :high")
        self.assertEqual(self.found(both, {"low": 1, "high": 1.6}), [(2,)])

    def test_times_and_decimals_are_bound(self):
        at, dec = datetime.datetime(2024, 2, 29, 23, 59, 58), decimal.Decimal("12.50")
        ((found_at, found_dec),) = self.found(sa.text("SELECT :at AS a, :dec AS b"), {"at": at, "dec": dec})
        self.assertEqual(found_at.replace(tzinfo=None), at)
        self.assertEqual(decimal.Decimal(str(found_dec)), dec)

    def test_lists_are_expanded(self):
        name = self.people()
        mapped = sa.table(name, sa.column("id"), sa.column("name"))
        query = sa.select(mapped.c.name).where(mapped.c.id.in_([1, 3, 7])).order_by(mapped.c.id).limit(9)
        self.assertEqual(self.found(query), [("it's",), (None,)])

    def test_expressions_of_the_language_are_run(self):
        name = self.people()
        people = sa.Table(name, sa.MetaData(), autoload_with=self.engine)
        label = sa.case((people.c.score > 0, "plus"), (people.c.score < 0, "minus"), else_="none").label("label")
        query = sa.select(label, sa.func.count().label("n")).group_by(label).order_by(label).limit(9)
        self.assertEqual(self.found(query), [("minus", 1), ("none", 1), ("plus", 1)])
        other = people.alias("other")
        pairs = sa.select(sa.func.count()).select_from(people.join(other, people.c.id == other.c.id))
        self.assertEqual(self.found(pairs), [(3,)])
        with_cte = sa.select(people.c.id).where(people.c.score.isnot(None)).cte("scored")
        self.assertEqual(self.found(sa.select(sa.func.max(with_cte.c.id))), [(3,)])

    def test_hints_in_the_address_are_settings_of_the_job(self):
        name = self.name()
        self.o.create_table(name, ("a bigint", "pt string")).create_partition("pt=1")
        self.o.write_table(name, [[5]], partition="pt=1")
        everything = sa.text(f"SELECT a FROM {name}")
        with self.assertRaisesRegex(Exception, "ODPS-0130071.*full scan"):
            self.found(everything)
        self.engine = self.new_engine(**{"odps.sql.allow.fullscan": "true"})
        self.assertEqual(self.found(everything), [(5,)])


class Reflection(EngineCase):
    def test_each_type_is_reflected_as_the_dialect_names_it(self):
        types = {
            "a tinyint": sa.dialects.mysql.TINYINT,
            "b smallint": sa.SmallInteger,
            "c int": sa.Integer,
            "d bigint": sa.BigInteger,
            "e float": sa.Float,
            "f double": sa.Float,
            "g decimal(10,2)": sa.DECIMAL,
            "h string": sa.String,
            "i varchar(9)": sa.String,
            "j char(3)": sa.String,
            "k boolean": sa.Boolean,
            "l date": sa.Date,
            "m datetime": sa.DateTime,
            "n timestamp": sa.TIMESTAMP,
            "o timestamp_ntz": sa.TIMESTAMP,
            "p binary": sa.BINARY,
            "q array<int>": sa.String,
            "r map<string,int>": sa.String,
            "s struct<x:int>": sa.String,
            "t json": sa.String,
        }
        table = self.table(", ".join(types))
        columns = sa.inspect(self.engine).get_columns(table.name)
        self.assertEqual([c["name"] for c in columns], [text.split()[0] for text in types])
        for column, expected in zip(columns, types.values()):
            kind = column["type"] if isinstance(column["type"], type) else type(column["type"])
            self.assertTrue(issubclass(kind, expected), column)

    def test_views_are_listed_beside_tables_and_read(self):
        name, view = self.people(), unique("v")
        self.o.execute_sql(f"CREATE VIEW {view} AS SELECT name, id + 1 AS next FROM {name}")
        self.addCleanup(self.o.delete_view, view)
        inspector = sa.inspect(self.engine)
        self.assertIn(view, inspector.get_view_names())
        self.assertNotIn(view, inspector.get_table_names())
        self.assertNotIn(name, inspector.get_view_names())
        reflected = sa.Table(view, sa.MetaData(), autoload_with=self.engine)
        self.assertEqual(self.found(sa.select(sa.func.sum(reflected.c.next))), [(9,)])

    def test_comments_are_reflected(self):
        table = self.name()
        self.o.execute_sql(f"CREATE TABLE {table} (a BIGINT COMMENT 'it\\'s 甲', b STRING) COMMENT 'the table'")
        reflected = sa.Table(table, sa.MetaData(), autoload_with=self.engine)
        self.assertEqual((reflected.comment, reflected.c.a.comment), ("the table", "it's 甲"))

    def test_what_maxcompute_lacks_is_reflected_as_empty(self):
        name = self.people()
        inspector = sa.inspect(self.engine)
        self.assertEqual(inspector.get_foreign_keys(name), [])
        self.assertEqual(inspector.get_indexes(name), [])
        with self.assertRaises(sa.exc.NoSuchTableError):
            sa.Table("no_such_table", sa.MetaData(), autoload_with=self.engine)

    def test_schemas_are_reflected_with_their_tables(self):
        schema, name = unique("s"), unique("t")
        self.o.create_schema(schema)
        self.addCleanup(self.o.delete_schema, schema)
        table = self.o.create_table(name, "a bigint, b string", schema=schema)
        self.addCleanup(table.drop)
        self.o.write_table(table, [[1, "x"], [2, "y"]])
        engine = self.engine = self.new_engine(**{"odps.namespace.schema": "true"})
        inspector = sa.inspect(engine)
        self.assertIn(schema, inspector.get_schema_names())
        self.assertIn("default", inspector.get_schema_names())
        self.assertEqual(inspector.get_table_names(schema=schema), [name])
        self.assertNotIn(name, inspector.get_table_names())
        self.assertTrue(inspector.has_table(name, schema=schema))
        reflected = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=engine)
        query = sa.select(reflected.c.b).where(reflected.c.a == 2)
        self.assertEqual(self.found(query), [("y",)])


class Pandas(EngineCase):
    def test_a_query_becomes_a_frame(self):
        name = self.people()
        query = sa.text(f"SELECT id, name, score FROM {name} WHERE id < :below ORDER BY id LIMIT 9")
        frame = pd.read_sql(query, self.engine, params={"below": 3})
        self.assertEqual(list(frame.columns), ["id", "name", "score"])
        self.assertEqual(frame["id"].tolist(), [1, 2])
        self.assertEqual(frame["name"].tolist(), ["it's", "飞\\天"])
        self.assertEqual(frame["score"].isna().tolist(), [False, True])

    def test_a_table_becomes_a_frame_in_parts(self):
        table = self.table("n bigint")
        self.o.write_table(table, [[n] for n in range(10)])
        whole = pd.read_sql_table(table.name, self.engine)
        self.assertEqual(sorted(whole["n"]), list(range(10)))
        parts = list(pd.read_sql(sa.text(f"SELECT n FROM {table.name}"), self.engine, chunksize=4))
        self.assertEqual([len(part) for part in parts], [4, 4, 2])
        self.assertEqual(sorted(n for part in parts for n in part["n"]), list(range(10)))

    def test_a_frame_becomes_a_table(self):
        name = self.name()
        frame = pd.DataFrame({"n": [1, 2], "s": ["it's", None], "x": [0.5, -1.0]})

        def insert(table, connection, keys, rows):
            connection.execute(table.table.insert().values([dict(zip(keys, row)) for row in rows]))

        # pandas' own ways to insert want the number of rows, which PyODPS's cursor does not tell. Of a column of doubles
        # pandas would make a FLOAT, and MaxCompute converts no DOUBLE to it by itself.
        how = {"index": False, "method": insert, "dtype": {"x": sa.Double()}}
        frame.to_sql(name, self.engine, **how)
        self.assertEqual([c.type.name for c in self.o.get_table(name).table_schema.columns], ["bigint", "string", "double"])
        self.assertEqual(sorted(self.rows(name)), [(1, "it's", 0.5), (2, None, -1.0)])
        frame.to_sql(name, self.engine, if_exists="append", **how)
        self.assertEqual(len(self.rows(name)), 4)
        frame[:1].to_sql(name, self.engine, if_exists="replace", **how)
        self.assertEqual(self.rows(name), [(1, "it's", 0.5)])
        with self.assertRaises(ValueError):
            frame.to_sql(name, self.engine, **how)


if __name__ == "__main__":
    unittest.main()
