"""Random queries in the language that MaxCompute and DuckDB share, and DuckDB's answers to them.

`FEITIAN_TEST_QUERIES` says how many, `FEITIAN_TEST_SEED` which; what fails is printed with its seed and number, whole and as
small as it could be made. `FEITIAN_TEST_QUERY=SEED:NUMBER` asks one again.
"""

import collections
import os
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import duckdb

import differential
import random_sql
from harness import ClientCase
from random_sql import OURS, THEIRS

LONG = bool(os.environ.get("FEITIAN_TEST_LONG"))
QUERIES = int(os.environ.get("FEITIAN_TEST_QUERIES") or (30_000 if LONG else 1_500))
# The long form asks others each time; the short one asks the same, and others of each metadata database.
SEED = os.environ.get("FEITIAN_TEST_SEED") or (
    str(int(time.time())) if LONG else "postgres" if os.environ.get("FEITIAN_TEST_META") else "sqlite"
)
# So many queries share their tables.
SHARED = 250
TABLES = 5
# As many as run at once in a project.
THREADS = 4
# So many failures are made small and shown.
SHOWN = 4
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


def names(seed):
    return [f"r{seed}_{at}".replace("-", "_") for at in range(TABLES)]


class Differential(ClientCase):
    """Each thread has an entry to feitian and a cursor of DuckDB."""

    def setUp(self):
        super().setUp()
        self.duck = duckdb.connect()
        self.addCleanup(self.duck.close)
        self.duck.execute(SETTINGS)
        self.own = threading.local()

    def engines(self):
        if not hasattr(self.own, "engines"):
            entry = self.server.entry()

            def run(sql, hints):
                with entry.execute_sql(sql, hints=hints).open_reader(tunnel=False) as reader:
                    return reader.raw

            cursor = self.duck.cursor()
            cursor.execute(SETTINGS)
            self.own.engines = differential.Engines(run, cursor)
        return self.own.engines

    def fill(self, seed):
        """The tables of a seed in both engines."""
        tables = [self.name("random") for _ in range(TABLES)]
        # The rows are those of the seed whatever the tables are called.
        for table, rows in zip(tables, random_sql.universe(seed, names(seed)).values()):
            for sql in random_sql.creation(table, rows, OURS):
                self.o.execute_sql(sql)
            for sql in random_sql.creation(table, rows, THEIRS):
                self.duck.execute(sql)
        return tables

    def test_random_queries_have_duckdbs_answers(self):
        seeds = [(f"{SEED}-{n // SHARED}", n % SHARED) for n in range(QUERIES)]
        if one := os.environ.get("FEITIAN_TEST_QUERY"):
            seed, _, number = one.rpartition(":")
            seeds = [(seed, int(number))]
        counts, skipped, failed = collections.Counter(), [], []
        with ThreadPoolExecutor(THREADS) as pool:
            for seed in dict.fromkeys(seed for seed, _ in seeds):
                tables = self.fill(seed)
                numbers = [number for of, number in seeds if of == seed]
                queries = [random_sql.query(seed, number, tables) for number in numbers]
                ways = [differential.way(number) for number in numbers]
                answers = pool.map(lambda query, way: self.engines().ask(query, way), queries, ways)
                for number, query, found in zip(numbers, queries, answers):
                    word = "wrong" if found.wrong else "skipped" if found.skipped else "with rows" if found.rows else "empty"
                    counts[word] += 1
                    if found.skipped:
                        skipped.append(f"{seed}:{number}: {query.text(THEIRS)}\n{found.skipped}")
                    if found.wrong:
                        failed.append((seed, number, query, found))
                        if len(failed) <= SHOWN:
                            self.show(*failed[-1])
                        else:
                            print(f"{seed}:{number}: {' '.join(found.wrong.split())[:300]}", flush=True)
        share = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        print(f"seed {SEED}: {sum(counts.values())} random queries, DuckDB {duckdb.__version__}: {share}", flush=True)
        again = [f"FEITIAN_TEST_QUERY={seed}:{number}" for seed, number, _, _ in failed]
        self.assertEqual(again, [], f"{len(failed)} answers are not DuckDB's")
        if len(seeds) > 1:
            # A generator whose queries are mostly refused, or find nothing, would prove little.
            self.assertLess(len(skipped), len(seeds) / 50, "\n\n".join(["DuckDB refuses too many", *skipped[:5]]))
            self.assertGreater(counts["with rows"], len(seeds) / 3, "too few queries find rows")

    def show(self, seed, number, query, found):
        way = differential.way(number)
        small, wrong = self.engines().shrink(query, way, found)
        for line in (
            f"seed {seed}, query {number}, as it was made, with {way}:\n{query.text(OURS)}",
            f"and in DuckDB's spelling:\n{query.text(THEIRS)}",
            f"made small:\n{small.text(OURS)}\nand:\n{small.text(THEIRS)}",
            wrong.wrong,
        ):
            print(line + "\n", flush=True)


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
