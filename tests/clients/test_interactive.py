"""Interactive sessions (MCQA, version 1) as PyODPS, its DB-API and SQLAlchemy use them.

Expected values are the rows written, or follow by arithmetic from their numbers.
"""

import unittest

import sqlalchemy as sa
from odps import dbapi, errors

from harness import ClientCase
from test_sqlalchemy import engine_for


class Interactive(ClientCase):
    def test_rows_come_typed_and_whole(self):
        name = self.numbers(20_000)
        query = self.o.run_sql_interactive(f"SELECT n, s FROM {name} WHERE n % 2 = 0 ORDER BY n LIMIT 20000")
        query.wait_for_success(interval=0.1)
        with query.open_reader(tunnel=True) as reader:
            rows = [tuple(record.values) for record in reader]
        self.assertEqual(rows, [(n, f"row {n}") for n in range(0, 20_000, 2)])
        self.assertIn(f"FROM {name}", query.get_sql_query())

    def test_queries_of_one_session_do_not_take_each_other_for_themselves(self):
        queries = [(n, self.o.run_sql_interactive(f"SELECT {n} AS number")) for n in range(5)]
        self.assertEqual(len({query.id for _, query in queries}), 1)
        for n, query in reversed(queries):
            query.wait_for_success(interval=0.1)
            with query.open_reader(tunnel=True) as reader:
                self.assertEqual([tuple(record.values) for record in reader], [(n,)])
                self.assertEqual([column.name for column in reader.schema.columns], ["number"])

    def test_rows_become_a_frame(self):
        name = self.numbers(5)
        query = self.o.run_sql_interactive(f"SELECT n, s FROM {name} ORDER BY n LIMIT 5")
        query.wait_for_success(interval=0.1)
        # Without a count the client asks for -1 rows, and sends nothing.
        frame = query.to_pandas(count=5)
        self.assertEqual(frame["n"].tolist(), list(range(5)))
        self.assertEqual(frame["s"].tolist(), [f"row {n}" for n in range(5)])

    def test_statements_and_failures(self):
        table = self.table("n bigint")
        with self.assertRaises(errors.ODPSError):
            self.o.execute_sql_interactive(f"INSERT INTO {table.name} SELECT 7", fallback=False)
        self.assertEqual(self.rows(table), [])
        self.o.execute_sql_interactive(f"INSERT INTO {table.name} SELECT 7")
        self.assertEqual(self.rows(table), [(7,)])
        with self.assertRaises(errors.ODPSError) as raised:
            self.o.execute_sql_interactive("SELECT * FROM nothing_of_this_name", fallback=False)
        self.assertEqual(raised.exception.code, "ODPS-0130131")
        with self.assertRaises(errors.ODPSError):
            self.o.execute_sql_interactive("SELECT 1", hints={"odps.mcqa.disable": "true"}, fallback=False)
        # Told to fall back, the client asks for an ordinary job.
        again = self.o.execute_sql_interactive("SELECT 1", hints={"odps.mcqa.disable": "true"}, fallback=True)
        with again.open_reader(tunnel=True) as reader:
            self.assertEqual([tuple(record.values) for record in reader], [(1,)])

    def test_the_db_api_and_sqlalchemy(self):
        name = self.numbers(10)
        connection = dbapi.connect(self.o, use_sqa="v1")
        self.addCleanup(connection.close)
        cursor = connection.cursor()
        self.addCleanup(cursor.close)
        cursor.execute(f"SELECT SUM(n) FROM {name}")
        self.assertEqual([tuple(row) for row in cursor.fetchall()], [(45,)])
        engine = engine_for(self.server, interactive_mode="true")
        self.addCleanup(engine.dispose)
        with engine.connect() as connection:
            found = connection.execute(sa.text(f"SELECT COUNT(*) FROM {name}")).fetchall()
        self.assertEqual([tuple(row) for row in found], [(10,)])


if __name__ == "__main__":
    unittest.main()
