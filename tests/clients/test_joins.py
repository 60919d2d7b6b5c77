"""Queries over tables whose columns have the same names, made at random, and DuckDB's answers to them.

Every name that a query uses says its table. What one condition says of one table must never be done to another.
"""

import random

import duckdb

from harness import ClientCase

# Enough for every kind of join below every other kind; more take their time and find nothing new.
QUERIES = 250
SEED = 20260521
KINDS = ["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL OUTER JOIN"]
# As it is chosen, with every scan that may be late, and with joins that sort (MaxCompute documentation, "Dynamic filtering").
WAYS = [
    {},
    {"odps.optimizer.force.dynamic.filter": "true"},
    {"odps.optimizer.cbo.rule.filter.black": "hj"},
]


class Maker:
    """Makes queries over `tables`, each of which has the columns id, k and v."""

    def __init__(self, tables, chance):
        self.tables, self.chance = tables, chance

    def rows(self):
        """A few rows with NULLs and keys that occur several times."""
        pick = self.chance.choice
        numbers, texts = [None, *range(6)], [None, "a", "b", "c", ""]
        return [(pick(numbers), pick(numbers), pick(texts)) for _ in range(self.chance.randint(3, 9))]

    def number(self, aliases):
        return f"{self.chance.choice(aliases)}.{self.chance.choice(['id', 'k'])}"

    def condition(self, aliases):
        column, alias = self.number(aliases), self.chance.choice(aliases)
        return self.chance.choice(
            [
                f"{column} IS NULL",
                f"{column} IS NOT NULL",
                f"{column} > {self.chance.randint(0, 5)}",
                f"{column} IN (1, 3, 4)",
                f"{column} IN (SELECT k FROM {self.chance.choice(self.tables)})",
                f"{column} NOT IN (SELECT k FROM {self.chance.choice(self.tables)} WHERE id > 2)",
                f"{self.chance.choice(['', 'NOT '])}EXISTS (SELECT 1 FROM {self.chance.choice(self.tables)} e "
                f"WHERE e.k = {column} AND e.id <> {self.number([alias])})",
                f"coalesce({column}, 9) >= {self.chance.randint(0, 9)}",
                f"{alias}.v = '{self.chance.choice('abc')}'",
            ]
        )

    def source(self, aliases):
        """FROM and WHERE."""
        if self.chance.random() < 0.4:
            return self.list_of_tables(aliases)
        text = f"{self.chance.choice(self.tables)} {aliases[0]}"
        for at, alias in enumerate(aliases[1:], 1):
            equal = f"{self.number([alias])} = {self.number(aliases[:at])}"
            text += f" {self.chance.choice(KINDS)} {self.chance.choice(self.tables)} {alias} ON {equal}"
        if self.chance.random() < 0.8:
            word = self.chance.choice([" AND ", " OR "])
            text += " WHERE " + word.join(self.condition(aliases) for _ in range(self.chance.randint(1, 3)))
        return text

    def list_of_tables(self, aliases):
        """FROM with commas, and WHERE with what joins them: of such joins the engine chooses the order."""
        equal = [f"{self.number([alias])} = {self.number(aliases[:at])}" for at, alias in enumerate(aliases) if at]
        equal += [f"{self.number(aliases)} = {self.number(aliases)}" for _ in range(self.chance.randint(0, 2))]
        more = [self.condition(aliases) for _ in range(self.chance.randint(0, 3))]
        if self.chance.random() < 0.3:
            more.append(f"{self.number(aliases)} + {self.number(aliases)} < {self.chance.randint(2, 9)}")
        named = ", ".join(f"{self.chance.choice(self.tables)} {alias}" for alias in aliases)
        return f"{named} WHERE " + " AND ".join(equal + more)

    def query(self):
        """A query, and whether its rows have an order."""
        aliases = [f"x{at}" for at in range(self.chance.randint(2, 5))]
        source, shape = self.source(aliases), self.chance.random()
        if shape < 0.3:
            group, value = f"{self.chance.choice(aliases)}.v", self.number(aliases)
            return f"SELECT {group} AS g, count(*) AS n, sum({value}) AS s FROM {source} GROUP BY {group}", False
        if shape < 0.5:
            window = f"count(*) OVER (PARTITION BY {self.number(aliases)})"
            return f"SELECT {self.number(aliases)} AS a, {window} AS n FROM {source}", False
        columns = [f"{alias}.{name}" for alias in aliases for name in ("id", "k", "v") if self.chance.random() < 0.7]
        columns = columns or [self.number(aliases)]
        items = ", ".join(f"{column} AS c{at}" for at, column in enumerate(columns))
        if shape < 0.75:
            return f"SELECT {items} FROM {source}", False
        order = ", ".join(f"c{at}{self.chance.choice(['', ' DESC'])}" for at in range(len(columns)))
        return f"SELECT {items} FROM {source} ORDER BY {order} LIMIT {self.chance.randint(1, 6)}", True


def sortable(row):
    return [(value is not None, str(value)) for value in row]


class Joins(ClientCase):
    def test_names_that_tables_share_are_kept_apart(self):
        theirs = duckdb.connect()
        self.addCleanup(theirs.close)
        # Which way a query goes is chosen apart, so that the queries stay the same.
        ways = random.Random(SEED)
        # NULL is the smallest value.
        theirs.execute("SET default_null_order = 'nulls_first_on_asc_last_on_desc'")
        tables = [self.table("id bigint, k bigint, v string").name for _ in range(4)]
        maker = Maker(tables, random.Random(SEED))
        for table in tables:
            rows = maker.rows()
            self.o.write_table(table, [list(row) for row in rows])
            theirs.execute(f"CREATE TABLE {table} (id BIGINT, k BIGINT, v VARCHAR)")
            theirs.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
        for _ in range(QUERIES):
            sql, ordered = maker.query()
            way = ways.choice(WAYS)
            with self.subTest(sql, **way):
                found = self.query(sql, **way)
                wanted = theirs.execute(sql).fetchall()
                if not ordered:
                    found, wanted = sorted(found, key=sortable), sorted(wanted, key=sortable)
                self.assertEqual(found, wanted)
