"""Random queries in the language that MaxCompute and DuckDB share, and DuckDB's answers to them.

`FEITIAN_TEST_QUERIES` says how many, `FEITIAN_TEST_SEED` which; what fails is printed with its seed and number, whole and as
small as it could be made. `FEITIAN_TEST_QUERY=SEED:NUMBER` asks one again.
"""

import os
import re
import threading
import time
import unittest

import duckdb

import differential
import random_more
import random_sql
import spark_engine
from differential_run import LONG, DifferentialCase, names
from random_sql import OURS, SPARK, THEIRS

QUERIES = int(os.environ.get("FEITIAN_TEST_QUERIES") or (30_000 if LONG else 1_500))
# The long form asks others each time; the short one asks the same, and others of each metadata database.
SEED = os.environ.get("FEITIAN_TEST_SEED") or (
    str(int(time.time())) if LONG else "postgres" if os.environ.get("FEITIAN_TEST_META") else "sqlite"
)
# As many as run at once in a project.
THREADS = 4
SETTINGS = "SET default_null_order = 'nulls_first_on_asc_last_on_desc'; SET threads = 1"
FORMS = [
    *["INNER JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL OUTER JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN", "CROSS JOIN"],
    *["USING (k)", "NOT EXISTS (", "NOT IN (SELECT", "IN (SELECT", "(SELECT max(", "(SELECT count(", "CASE WHEN"],
    *["BETWEEN", "LIKE", "IS NULL", "<=>", "IS DISTINCT FROM", "ROLLUP(", "CUBE(", "GROUPING SETS (", "grouping("],
    *["count(DISTINCT", "sum(DISTINCT", "FILTER (WHERE", "HAVING", "QUALIFY", "ROWS BETWEEN", "RANGE BETWEEN"],
    *["GROUPS BETWEEN", "row_number()", "lag(", "dense_rank()", "UNION ALL", "UNION SELECT", "INTERSECT SELECT"],
    *["EXCEPT SELECT", "INTERSECT ALL", "EXCEPT ALL", "WITH ", "SELECT DISTINCT", "NULLS FIRST", "NULLS LAST", "LIMIT"],
    *["OFFSET", "INTERVAL", "DATETIME '", "CAST('NaN'"],
]
# Those that Spark alone is asked.
MORE = [
    *["WITH ROLLUP", "WITH CUBE", " GROUPING SETS (", "if(", "nvl(", "least(", "greatest(", "decode(", " DIV ", "dateadd("],
    *["datetrunc(", "concat(", "split_part(", "regexp_replace(", "RLIKE", "collect_set(", "bitwise_or_agg(", "stddev_pop("],
    *["percentile(", "nth_value(", "last_value(", "weekofyear(", "from_unixtime(", "AS DATETIME)", "CAST("],
]


class Differential(DifferentialCase):
    """Each thread has an entry to feitian and a cursor of DuckDB."""

    def setUp(self):
        super().setUp()
        self.duck = duckdb.connect()
        self.addCleanup(self.duck.close)
        self.duck.execute(SETTINGS)
        self.own = threading.local()

    def engines(self):
        if not hasattr(self.own, "engines"):
            cursor = self.duck.cursor()
            cursor.execute(SETTINGS)
            self.own.engines = differential.Engines(self.runner(), differential.DuckDB(cursor))
        return self.own.engines

    def create(self, table, rows):
        for sql in random_sql.creation(table, rows, THEIRS):
            self.duck.execute(sql)

    def test_random_queries_have_duckdbs_answers(self):
        self.compare(SEED, QUERIES, THREADS, f"DuckDB {duckdb.__version__}")


class Generator(unittest.TestCase):
    """What the generator makes, and what counts as the same answer."""

    def test_a_seed_makes_the_same_queries_and_another_one_others(self):
        made = lambda seed: [random_sql.query(seed, n, names("x")).text(OURS) for n in range(20)]
        self.assertEqual(made("a"), made("a"))
        self.assertNotEqual(made("a"), made("b"))
        rows = lambda seed: random_sql.universe(seed, names("x")).items()
        data = lambda seed: [random_sql.creation(table, of, OURS) for table, of in rows(seed)]
        self.assertEqual(data("a"), data("a"))
        self.assertNotEqual(data("a"), data("b"))

    def test_every_form_is_made(self):
        made = "\n".join(random_sql.query("forms", n, ["t"]).text(OURS) for n in range(1_500))
        self.assertEqual([form for form in FORMS if form not in made], [])
        more = [random_sql.query("forms", n, ["t"], random_more.More).text(OURS) for n in range(1_500)]
        self.assertEqual([form for form in FORMS + MORE if form not in "\n".join(more)], [])

    def test_duckdb_takes_its_spelling(self):
        duck = duckdb.connect()
        self.addCleanup(duck.close)
        duck.execute(SETTINGS)
        for table, rows in random_sql.universe("taken", names("x")).items():
            for sql in random_sql.creation(table, rows, THEIRS):
                duck.execute(sql)
        refused = []
        for n in range(200):
            sql = random_sql.query("taken", n, names("x")).text(THEIRS)
            try:
                duck.execute(sql).fetchall()
            except duckdb.Error as error:
                refused.append(f"{sql}\n{error}")
        self.assertLess(len(refused), 5, "\n\n".join(refused[:5]))

    def test_a_result_in_csv_is_read_as_it_was_written(self):
        text = '"a","b"\n"x ""y"", z",1\n\\N,\\N\n"\\N",\n'
        self.assertEqual(differential.parse(text), [['x "y", z', "1"], [None, None], ["\\N", ""]])

    def test_rows_are_compared_as_values(self):
        same = lambda a, b, ordered=False: differential.same_rows(a, b, ordered)
        self.assertTrue(same([[0.1 + 0.2], [None]], [[None], [0.3]]))
        self.assertFalse(same([[0.1], [None]], [[None], [0.1]], ordered=True))
        self.assertTrue(same([[float("nan")]], [[float("nan")]]))
        self.assertFalse(same([[1.0]], [[1.001]]))
        self.assertFalse(same([["1"]], [[None]]))
        self.assertFalse(same([["1"]], [["1"], ["1"]]))
        self.assertEqual(differential.typed("1.50", int), differential.plain(random_sql.Decimal("1.5")))

    def test_a_known_difference_explains_what_it_shows_and_nothing_else(self):
        class Other:
            name, which, known = "Spark", SPARK, spark_engine.KNOWN

            def __init__(self, answer):
                self.answer = answer

            def rows(self, sql):
                if isinstance(self.answer, str):
                    raise differential.Refused(self.answer)
                return self.answer

        # As if feitian had a total of no rows.
        run = lambda sql, hints: '"c0"\n' if "count(*) > 0" in sql else '"c0"\n0\n'
        queries = (random_sql.query("known", n, ["t"]) for n in range(1_500))
        totals, others = [], []
        for query in queries:
            text = query.text(OURS)
            if "count(*) >" not in text:
                (totals if "CUBE(" in text and ", CUBE(" not in text else others).append(query)
        ask = lambda query, answer: differential.Engines(run, Other(answer)).ask(query, {})
        plain = next(query for query in others if "ROLLUP" not in query.text(OURS) and "SETS" not in query.text(OURS))
        self.assertEqual(ask(totals[0], []).explained, "totals of no rows")
        self.assertEqual(ask(totals[0], [(0,)]).word, "with rows")
        self.assertEqual(ask(totals[0], [(1,)]).word, "wrong")
        self.assertEqual(ask(plain, []).word, "wrong")
        groups = "[PARSE_SYNTAX_ERROR] Syntax error at or near 'GROUPS'. SQLSTATE: 42601"
        self.assertEqual(ask(plain, groups).explained, "frames of GROUPS")
        self.assertEqual(ask(plain, "[DIVIDE_BY_ZERO] Division by zero.").word, "skipped")

        # As if feitian had a NULL that Spark takes for FALSE.
        run = lambda sql, hints: '"c0"\nfalse\n' if "coalesce((t" in sql and "), FALSE)" in sql else '"c0"\n\\N\n'
        asked = re.compile(r"(?:SELECT|,) \(\w+\.\w+ IN \(SELECT [^()]*\)\) AS ")
        inside = next(query for query in others if asked.search(query.text(OURS)))
        self.assertEqual(ask(inside, [(False,)]).explained, "IN (query) that is NULL")
        self.assertEqual(ask(inside, [(True,)]).word, "wrong")
        self.assertEqual(ask(plain, [(False,)]).word, "wrong")

    def test_a_query_is_made_small_as_long_as_it_is_wrong(self):
        class Engines(differential.Engines):
            def ask(self, query, hints):
                return differential.Found(wrong="no: LIKE" if "LIKE" in query.text(OURS) else "")

        engines = Engines(None, None)
        queries = (random_sql.query("small", n, ["t"]) for n in range(500))
        before, after = 0, 0
        for query in [query for query in queries if " LIKE " in query.text(OURS)][:5]:
            small, found = engines.shrink(query, {}, engines.ask(query, {}))
            self.assertIn("LIKE", small.text(OURS))
            self.assertEqual(found.kind, "no")
            before, after = before + len(query.text(OURS)), after + len(small.text(OURS))
        self.assertLess(after, before / 2)


if __name__ == "__main__":
    unittest.main()
