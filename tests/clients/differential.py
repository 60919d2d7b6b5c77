"""One query asked of feitian and of another engine: what counts as the same answer, and the smallest query with another."""

import copy
import datetime
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Callable

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
# documentation, "Dynamic filtering"), with groups in the order of rows where there is one. None of them changes an answer.
WAYS = [
    {},
    {},
    {"odps.optimizer.force.dynamic.filter": "true"},
    {"odps.optimizer.cbo.rule.filter.black": "hj"},
    {"odps.optimizer.force.ordered.groups": "true"},
]


@dataclass
class Found:
    """What asking both engines gave: nothing wrong, or why the other one has no answer, or what feitian's is."""

    rows: int = 0
    skipped: str = ""
    # The name of the known difference that it shows, or why there is nothing to compare.
    explained: str = ""
    wrong: str = ""

    @property
    def kind(self):
        """The same for answers that are wrong in the same way."""
        return self.wrong.split(":")[0]

    @property
    def word(self):
        """What it is counted as."""
        for word in ("wrong", "explained", "skipped"):
            if getattr(self, word):
                return word
        return "with rows" if self.rows else "empty"


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
    """The Python type of each column of the other engine's rows; None where it has no value."""
    return [next((type(value) for value in column if value is not None), None) for column in zip(*rows)]


def typed(text, kind):
    """A text of ours as a value of the kind that the other engine's has."""
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
    """A value of the other engine's in the form of ours."""
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


class Refused(Exception):
    """The other engine has no answer, and why."""


@dataclass(frozen=True)
class Difference:
    """Where another engine differs from MaxCompute, as it is known."""

    name: str
    what: str
    # Why that is so, and which side does what the documentation of MaxCompute says.
    why: str
    # What the other engine's refusal says (a pattern), if it refuses.
    refusal: str = ""
    # Changes a copy of a query into one to which feitian's answer is the other engine's answer to the query, and says
    # whether there was anything to change. So nothing is explained by a difference that it does not show.
    adapt: Callable | None = None


class DuckDB:
    """DuckDB as the other engine. The generator's rules evade every difference."""

    name, which, known = "DuckDB", THEIRS, ()

    def __init__(self, connection):
        self.connection = connection

    def rows(self, sql):
        try:
            return self.connection.execute(sql).fetchall()
        except duckdb.Error as error:
            raise Refused(f"{type(error).__name__}: {error}") from error


class Engines:
    """Both engines with the same tables. `run(sql, hints)` gives feitian's result as CSV, `other` is one like DuckDB."""

    def __init__(self, run, other):
        self.run, self.other = run, other

    def ask(self, query, hints):
        """Compares the answers to a query."""
        try:
            theirs = self.other.rows(query.text(self.other.which))
        except Refused as refused:
            known = [one.name for one in self.other.known if one.refusal and re.search(one.refusal, str(refused))]
            return Found(explained=known[0]) if known else Found(skipped=str(refused))
        if len(theirs) > MOST_ROWS:
            return Found(explained="more rows than an inline result has")
        wrong = self.wrong(query, hints, theirs)
        explained = self.explain(query, hints, theirs) if wrong else ""
        return Found(len(theirs), explained=explained, wrong="" if explained else wrong)

    def wrong(self, query, hints, theirs):
        """What is wrong with feitian's answer if `theirs` is right."""
        try:
            texts = parse(self.run(query.text(OURS), hints))
        except errors.ODPSError as error:
            return f"{error.code}: {error}"
        kinds = column_types(theirs) if theirs else [None] * len(texts[0] if texts else [])
        try:
            ours = [[typed(text, kind) for text, kind in zip(row, kinds, strict=True)] for row in texts]
        except (ValueError, ArithmeticError) as error:
            return f"no values of {self.other.name}'s types: {error}"
        theirs = [[plain(value) for value in row] for row in theirs]
        if same_rows(ours, theirs, bool(query.order)):
            return ""
        show = lambda rows: "\n".join(map(str, rows[:20])) + ("\n…" if len(rows) > 20 else "")
        told = f"feitian, {len(ours)} rows\n{show(ours)}\n{self.other.name}, {len(theirs)} rows\n{show(theirs)}"
        return f"rows differ:\n{told}"

    def explain(self, query, hints, theirs):
        """The name of the known difference, or the names of those, without which the answers are the same."""
        shown = [known for known in self.other.known if known.adapt and known.adapt(copy.deepcopy(query))]
        for some in [[known] for known in shown] + ([shown] if len(shown) > 1 else []):
            adapted = copy.deepcopy(query)
            for known in some:
                known.adapt(adapted)
            if not self.wrong(adapted, hints, theirs):
                return " and ".join(known.name for known in some)
        return ""

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
