"""One query asked of feitian and of DuckDB: what counts as the same answer, and the smallest query that has another one."""

import datetime
import math
import re
from dataclasses import dataclass
from decimal import Decimal

import duckdb
from odps import errors

import random_sql
from random_sql import OURS, THEIRS

CELL = re.compile(r'"((?:[^"]|"")*)"|([^,\n]*)')
# Doubles agree to this part of their size.
CLOSE = 1e-9
# Rows of an answer that are matched one by one when sorting does not bring equal ones together.
FEW = 300
# An inline result has hardly more rows (READ_TABLE_MAX_ROW).
MOST_ROWS = 9_000
# Smaller queries that are tried for one that disagrees.
ATTEMPTS = 150
HINTS = {"odps.sql.allow.cartesian": "true"}
# A query goes one of these ways: as it is chosen, with every scan that may be late, with joins that sort (MaxCompute
# documentation, "Dynamic filtering"). None of them changes an answer.
WAYS = [
    {},
    {},
    {"odps.optimizer.force.dynamic.filter": "true"},
    {"odps.optimizer.cbo.rule.filter.black": "hj"},
]


@dataclass
class Found:
    """What asking both engines gave: nothing wrong, or why DuckDB has no answer, or what feitian's is."""

    rows: int = 0
    skipped: str = ""
    wrong: str = ""

    @property
    def kind(self):
        """The same for answers that are wrong in the same way."""
        return self.wrong.split(":")[0]


def parse(text):
    """The rows of a result in CSV (`odps/readers.py`): texts as they are, NULL as None; without the line of names."""
    rows, row, at = [], [], 0
    while at < len(text):
        cell = CELL.match(text, at)
        quoted, plain = cell.groups()
        row.append(quoted.replace('""', '"') if quoted is not None else None if plain == r"\N" else plain)
        at = cell.end()
        if text[at : at + 1] != ",":
            rows.append(row)
            row = []
        at += 1
    return rows[1:]


def column_types(rows):
    """The Python type of each column of DuckDB's rows; None where it has no value."""
    return [next((type(value) for value in column if value is not None), None) for column in zip(*rows)]


def typed(text, kind):
    """A text of ours as a value of the kind that DuckDB's has."""
    if text is None:
        return None
    if kind is float:
        return float(text)
    if kind in (int, Decimal):
        return Decimal(text)
    if kind is bool:
        return {"true": True, "false": False}.get(text, text)
    return text


def plain(value):
    """A value of DuckDB's in the form of ours."""
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, datetime.date):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return value


def same(a, b):
    """Whether two values are equal, fractions to CLOSE."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isnan(a) and math.isnan(b) or math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE)
    return type(a) is type(b) and a == b


def same_row(a, b):
    return len(a) == len(b) and all(map(same, a, b))


def sortable(row):
    """Equal rows next to each other, fractions with a few digits only."""

    def key(value):
        if isinstance(value, float):
            return f"{value + 0.0:.6g}"
        return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)

    return [(value is not None, key(value)) for value in row]


def same_rows(ours, theirs, ordered):
    """Whether two answers are equal."""
    if len(ours) != len(theirs):
        return False
    if not ordered:
        ours, theirs = sorted(ours, key=sortable), sorted(theirs, key=sortable)
    if all(map(same_row, ours, theirs)):
        return True
    if ordered or len(ours) > FEW:
        return False
    # Two fractions that are the same to us may be sorted apart.
    left = list(theirs)
    for row in ours:
        at = next((at for at, other in enumerate(left) if same_row(row, other)), None)
        if at is None:
            return False
        left.pop(at)
    return True


def way(number):
    """The settings of the query of a number."""
    return {**HINTS, **WAYS[number % len(WAYS)]}


class Engines:
    """Both engines with the same tables. `run(sql, hints)` gives feitian's result as CSV."""

    def __init__(self, run, connection):
        self.run, self.connection = run, connection

    def ask(self, query, hints):
        """Compares the answers to a query."""
        try:
            theirs = self.connection.execute(query.text(THEIRS)).fetchall()
        except duckdb.Error as error:
            return Found(skipped=f"{type(error).__name__}: {error}")
        if len(theirs) > MOST_ROWS:
            return Found(skipped=f"{len(theirs)} rows")
        try:
            texts = parse(self.run(query.text(OURS), hints))
        except errors.ODPSError as error:
            return Found(len(theirs), wrong=f"{error.code}: {error}")
        kinds = column_types(theirs) if theirs else [None] * len(texts[0] if texts else [])
        try:
            ours = [[typed(text, kind) for text, kind in zip(row, kinds, strict=True)] for row in texts]
        except (ValueError, ArithmeticError) as error:
            return Found(len(theirs), wrong=f"no values of DuckDB's types: {error}")
        theirs = [[plain(value) for value in row] for row in theirs]
        if same_rows(ours, theirs, bool(query.order)):
            return Found(len(theirs))
        show = lambda rows: "\n".join(map(str, rows[:20])) + ("\n…" if len(rows) > 20 else "")
        told = f"rows differ:\nfeitian, {len(ours)} rows\n{show(ours)}\nDuckDB, {len(theirs)} rows\n{show(theirs)}"
        return Found(len(theirs), wrong=told)

    def shrink(self, query, hints, found):
        """The smallest query at hand that is wrong in the same way, and how."""
        attempts = 0
        while True:
            for smaller in random_sql.smaller(query):
                attempts += 1
                if attempts > ATTEMPTS:
                    return query, found
                now = self.ask(smaller, hints)
                if now.wrong and now.kind == found.kind:
                    query, found = smaller, now
                    break
            else:
                return query, found
