"""DB-API and SQLAlchemy on top of PyODPS.

Expected values are the rows written, or follow by arithmetic.
"""

import datetime
import decimal
import unittest
import urllib.parse

import sqlalchemy as sa
from odps import dbapi

from harness import ClientCase


class DbApi(ClientCase):
    def setUp(self):
        super().setUp()
        self.connection = dbapi.connect(self.o)
        self.addCleanup(self.connection.close)

    def cursor(self):
        cursor = self.connection.cursor()
        self.addCleanup(cursor.close)
        return cursor

    def test_a_query_has_description_and_rows(self):
        cursor = self.cursor()
        cursor.execute("SELECT 3000000000 AS n, 'x' AS s UNION ALL SELECT 3000000001, NULL")
        self.assertEqual([(c[0], c[1]) for c in cursor.description], [("n", "bigint"), ("s", "string")])
        self.assertEqual(sorted(cursor.fetchall()), [[3_000_000_000, "x"], [3_000_000_001, None]])
        self.assertIsNone(cursor.fetchone())

    def test_rows_are_fetched_one_by_one_and_in_parts(self):
        table = self.table("n bigint")
        self.o.write_table(table, [[n] for n in range(10)])
        cursor = self.cursor()
        cursor.execute(f"SELECT n FROM {table.name} ORDER BY n LIMIT 10")
        self.assertEqual(cursor.fetchone(), [0])
        self.assertEqual(cursor.fetchmany(3), [[1], [2], [3]])
        self.assertEqual(list(cursor), [[n] for n in range(4, 10)])

    def test_parameters_become_literals(self):
        cursor = self.cursor()
        values = {
            "text": "it's \"飞天\" \\ ;",
            "number": 42,
            "dec": decimal.Decimal("1.25"),
            "at": datetime.datetime(2024, 1, 2, 3, 4, 5),
            "none": None,
        }
        cursor.execute("SELECT :text AS a, :number AS b, :dec AS c, :at AS d, :none AS e", values)
        ((text, number, dec, at, none),) = cursor.fetchall()
        self.assertEqual((text, number, none), (values["text"], 42, None))
        self.assertEqual(decimal.Decimal(str(dec)), values["dec"])
        self.assertEqual(at.replace(tzinfo=None), values["at"])

    def test_statements_without_rows_give_their_text(self):
        name = self.name()
        cursor = self.cursor()
        cursor.execute(f"CREATE TABLE {name} (a BIGINT)")
        cursor.execute(f"INSERT INTO TABLE {name} VALUES (1), (2)")
        cursor.execute(f"DESC {name}")
        self.assertEqual([c[0] for c in cursor.description], ["_c0"])
        ((text,),) = cursor.fetchall()
        self.assertIn("bigint", text)
        cursor.execute(f"SELECT SUM(a) AS s FROM {name}")
        self.assertEqual(cursor.fetchall(), [[3]])

    def test_an_error_reaches_the_caller(self):
        with self.assertRaisesRegex(Exception, "ODPS-0130131"):
            self.cursor().execute("SELECT * FROM no_such_table")


class SqlAlchemy(ClientCase):
    def setUp(self):
        super().setUp()
        login = self.server.credentials()
        quoted = urllib.parse.quote_plus
        self.engine = sa.create_engine(
            f"odps://{quoted(login['access_id'])}:{quoted(login['secret'])}@{login['project']}/"
            f"?endpoint={quoted(self.server.endpoint)}"
        )
        self.addCleanup(self.engine.dispose)

    def test_expressions_are_run_and_read(self):
        table = self.table("n bigint, s string")
        self.o.write_table(table, [[1, "a"], [2, "bb"], [3, None]])
        mapped = sa.Table(table.name, sa.MetaData(), sa.Column("n", sa.BigInteger), sa.Column("s", sa.String))
        with self.engine.connect() as connection:
            found = connection.execute(sa.select(sa.func.count(), sa.func.sum(mapped.c.n))).fetchall()
            self.assertEqual([tuple(row) for row in found], [(3, 6)])
            query = sa.select(mapped.c.n, sa.func.length(mapped.c.s)).where(mapped.c.s.isnot(None)).order_by(mapped.c.n).limit(5)
            self.assertEqual([tuple(row) for row in connection.execute(query)], [(1, 1), (2, 2)])

    def test_rows_are_inserted(self):
        table = self.table("n bigint, s string")
        mapped = sa.Table(table.name, sa.MetaData(), sa.Column("n", sa.BigInteger), sa.Column("s", sa.String))
        with self.engine.connect() as connection:
            connection.execute(mapped.insert().values([{"n": 1, "s": "x"}, {"n": 2, "s": "y"}]))
        self.assertEqual(sorted(self.rows(table)), [(1, "x"), (2, "y")])

    def test_tables_are_reflected(self):
        table = self.table("n bigint, s string, d double, t timestamp, dec decimal(10,2), b boolean", "pt string", comment="seen")
        inspector = sa.inspect(self.engine)
        self.assertIn(table.name, inspector.get_table_names())
        names = [column["name"] for column in inspector.get_columns(table.name)]
        self.assertEqual(names, ["n", "s", "d", "t", "dec", "b", "pt"])
        self.assertEqual(inspector.get_table_comment(table.name)["text"], "seen")
        self.assertTrue(inspector.has_table(table.name))
        self.assertFalse(inspector.has_table("no_such_table"))
        reflected = sa.Table(table.name, sa.MetaData(), autoload_with=self.engine)
        self.assertIsInstance(reflected.c.n.type, sa.BigInteger)

    def test_a_table_without_comment_reports_an_empty_one(self):
        # odps/sqlalchemy_odps.py hands the text on; None would break tools that print it.
        table = self.table("n bigint")
        self.assertEqual(sa.inspect(self.engine).get_table_comment(table.name)["text"], "")


if __name__ == "__main__":
    unittest.main()
