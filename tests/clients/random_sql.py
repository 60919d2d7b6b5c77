"""Random queries that MaxCompute, DuckDB and Spark all define, each in the spelling of each.

Every table has columns of the same names, and every name in a query says its table. A seed gives the same tables and queries
on every machine. What differs between the languages is a rule of this generator:

- `/` and AVG of DECIMAL are DECIMAL in MaxCompute and DOUBLE in DuckDB: it is cast to DOUBLE before.
- x / 0 is NULL in MaxCompute and infinite in DuckDB: divisors go through NULLIF.
- SUM of whole numbers is BIGINT in MaxCompute, and overflow is an error; DuckDB has wider sums, cast back. Columns with
  the ends of BIGINT (`g`) are compared, sorted and grouped, and never added.
- BIGINT meets DOUBLE as DOUBLE, and which neighbours of 2^53 are equal then is nobody's promise: `g` meets whole numbers.
- A literal 1.5 is DOUBLE in MaxCompute and DECIMAL in DuckDB; a literal 1 is INT in both; BIGINT has a suffix or a CAST.
- CAST of a fraction to a whole number cuts in MaxCompute and rounds in DuckDB; CAST of DOUBLE, DECIMAL, BOOLEAN to text
  have other forms: FLOOR and CEIL (BIGINT in MaxCompute, DOUBLE in DuckDB) and CAST of whole numbers and DATE are used.
- CONCAT of NULL is NULL in MaxCompute and skips it in DuckDB: `||` is used. GREATEST and LEAST take NULL in other ways.
- LIKE has the escape character `\\` in MaxCompute and none in DuckDB: patterns have none.
- `<=>`, LEFT SEMI JOIN, LEFT ANTI JOIN, COUNT (DISTINCT a, b), DATE + INTERVAL (DATE here, TIMESTAMP there), DATETIME, L and
  BD have other spellings.
- A whole number in GROUP BY and ORDER BY is a position in DuckDB: what is grouped by has a column in it.
- NULL is the smallest value: a setting of DuckDB.
- What NaN is after arithmetic with infinities differs between machines (its sign): NaN and infinities lie in a column (`x`)
  that is compared, sorted, grouped and joined.
- Which zero is shown of -0.0 and 0.0, which are equal, is nobody's promise: answers are compared as values. DuckDB reads a
  literal -0.0 as DECIMAL, which has one zero, so that it is a CAST. No DOUBLE becomes text.
- Spark's language is MaxCompute's but for the types of DATETIME and of the literal 1.5, and frames of GROUPS, which it lacks:
  they are those of ROWS where no rows are ties. What else is different is in `spark_engine.py`.
- Whatever depends on the order of rows (LIMIT, ROW_NUMBER, LAG, frames of ROWS) has an order without ties but equal rows.
"""

import copy
import datetime
import math
import random
from dataclasses import dataclass, field
from decimal import Decimal

OURS, THEIRS, SPARK = 0, 1, 2

# Of every table; `u` is never NULL and never twice.
COLUMNS = {
    "u": "big",
    "id": "big",
    "k": "big",
    "n": "int",
    "g": "wide",
    "d": "double",
    "x": "special",
    "m": "decimal",
    "s": "text",
    "dt": "day",
    "ts": "at",
    "b": "bool",
}
TYPES = {
    "big": ("BIGINT", "BIGINT", "BIGINT"),
    "int": ("INT", "INTEGER", "INT"),
    "wide": ("BIGINT", "BIGINT", "BIGINT"),
    "double": ("DOUBLE", "DOUBLE", "DOUBLE"),
    "special": ("DOUBLE", "DOUBLE", "DOUBLE"),
    "decimal": ("DECIMAL(10,2)", "DECIMAL(10,2)", "DECIMAL(10,2)"),
    "text": ("STRING", "VARCHAR", "STRING"),
    "day": ("DATE", "DATE", "DATE"),
    "at": ("DATETIME", "TIMESTAMP", "TIMESTAMP"),
    "bool": ("BOOLEAN", "BOOLEAN", "BOOLEAN"),
}
VALUES = {
    "big": [0, 1, 2, 3, 4, 5],
    "int": [-2, -1, 0, 1, 2, 3],
    "wide": [-(2**63) + 1, -1, 0, 1, 2**53 + 1, 2**63 - 1],
    "double": [-1.5, -0.0, 0.0, 0.25, 1.0, 2.5, 1000.0],
    "special": [math.nan, math.inf, -math.inf, -0.0, 0.0, 1.0, -1e100],
    "decimal": [Decimal(v) for v in ("-1.50", "0.00", "0.25", "1.00", "2.50", "12345678.90")],
    "text": ["", "a", "b", "ab", "B", "é", "飞天", "a%", "a_b"],
    "day": [datetime.date(*day) for day in [(1970, 1, 1), (1999, 12, 31), (2024, 2, 28), (2024, 2, 29), (2024, 3, 1)]],
    "at": [
        datetime.datetime(*at)
        for at in [(1999, 12, 31, 23, 59, 59), (2024, 2, 29, 0, 0, 0), (2024, 2, 29, 8, 0, 1), (2024, 3, 1, 23, 30, 0)]
    ],
    "bool": [True, False],
}
# Kinds that are compared with each other, and what a value of either can stand for.
WHOLE = ("big", "int")
NUMBERS = ("big", "int", "double", "decimal")
MEETS = {
    **{kind: NUMBERS for kind in NUMBERS},
    "wide": ("wide", "big", "int"),
    "special": ("special", "double"),
    **{kind: (kind,) for kind in ("text", "day", "at", "bool")},
}
ORDERED = tuple(kind for kind in TYPES if kind != "bool")
# Rows of one INSERT.
FILE_ROWS = 3
PATTERNS = ["a%", "%b", "%a%", "_", "a_", "", "%", "B", "飞%"]


@dataclass(frozen=True)
class Expr:
    """An expression of one kind in every spelling, and the expressions inside it."""

    kind: str
    texts: tuple
    parts: tuple = ()


def make(kind, template, *parts, theirs=None, spark=None):
    """An expression by a template, whose places `{0}`, `{1}` … are `parts`."""
    templates = (template, theirs or template, spark or template)
    texts = [text.format(*[part.texts[which] for part in parts]) for which, text in enumerate(templates)]
    return Expr(kind, tuple(texts), parts)


def literal(kind, value, which):
    """A constant in one spelling."""
    if value is None:
        # With a type: NULLs alone would make a STRING of a column of VALUES.
        return f"CAST(NULL AS {TYPES[kind][which]})"
    if kind == "bool":
        return str(value).upper()
    if kind in ("big", "wide"):
        text = f"CAST({value} AS BIGINT)" if which == THEIRS else f"{value}L"
    elif kind == "int":
        text = str(value)
    elif kind in ("double", "special"):
        if math.isnan(value) or math.isinf(value):
            name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
            return f"CAST('{name}' AS DOUBLE)"
        if value == 0 and math.copysign(1, value) < 0:
            return "CAST('-0.0' AS DOUBLE)"
        text = repr(value).replace("e+", "e")
        text = (text, f"CAST({text} AS DOUBLE)", f"{text}D")[which]
    elif kind == "decimal":
        return f"CAST('{value}' AS DECIMAL(10,2))"
    elif kind == "text":
        return f"'{value}'"
    elif kind == "day":
        return f"DATE '{value}'"
    else:
        return f"{'DATETIME' if which == OURS else 'TIMESTAMP'} '{value:%Y-%m-%d %H:%M:%S}'"
    # A minus must not meet another one: two begin a comment.
    return f"({text})" if value < 0 else text


def constant(kind, value):
    return Expr(kind, tuple(literal(kind, value, which) for which in (OURS, THEIRS, SPARK)))


@dataclass
class Relation:
    """What FROM names: a table, a query in WITH, or a query in parentheses."""

    alias: str
    name: str
    columns: dict
    # Names of columns that together differ in every row, if some do.
    key: list | None
    query: "Query | None" = None

    def text(self, which):
        return f"({self.query.text(which)}) {self.alias}" if self.query else f"{self.name} {self.alias}"


@dataclass
class Join:
    kind: str
    relation: Relation
    on: list
    using: str = ""

    def text(self, which):
        words = self.kind
        if which == THEIRS and self.kind in ("LEFT SEMI JOIN", "LEFT ANTI JOIN"):
            words = self.kind.removeprefix("LEFT ")
        if self.kind == ",":
            return f", {self.relation.text(which)}"
        text = f" {words} {self.relation.text(which)}"
        if self.using:
            return f"{text} USING ({self.using})"
        if self.on:
            text += " ON " + " AND ".join(on.texts[which] for on in self.on)
        return text


@dataclass
class Select:
    items: list  # of (Expr, name)
    first: Relation
    joins: list = field(default_factory=list)
    where: list = field(default_factory=list)
    glue: str = " AND "
    group: list = field(default_factory=list)
    # How the keys stand in GROUP BY: with one place each.
    form: str = ""
    having: list = field(default_factory=list)
    qualify: list = field(default_factory=list)
    distinct: bool = False

    def text(self, which):
        items = ", ".join(f"{item.texts[which]} AS {name}" for item, name in self.items)
        text = f"SELECT {'DISTINCT ' if self.distinct else ''}{items} FROM {self.first.text(which)}"
        text += "".join(join.text(which) for join in self.joins)
        where = [on.texts[which] for join in self.joins if join.kind == "," for on in join.on]
        if self.where:
            own = self.glue.join(condition.texts[which] for condition in self.where)
            where.append(f"({own})" if where and len(self.where) > 1 else own)
        if where:
            text += " WHERE " + " AND ".join(where)
        if self.group:
            keys = [key.texts[which] for key in self.group]
            text += " GROUP BY " + (self.form.format(*keys) if self.form else ", ".join(keys))
        for word, conditions in ((" HAVING ", self.having), (" QUALIFY ", self.qualify)):
            if conditions:
                text += word + " AND ".join(condition.texts[which] for condition in conditions)
        return text

    def queries(self):
        """The queries in parentheses in FROM."""
        relations = [self.first, *[join.relation for join in self.joins]]
        return [relation.query for relation in relations if relation.query]


@dataclass
class Query:
    branches: list  # of (operator, Select); the first operator is empty
    ctes: list = field(default_factory=list)  # of (name, Query)
    order: list = field(default_factory=list)  # of (name, words)
    limit: str = ""

    def text(self, which):
        text = ""
        if self.ctes:
            text = "WITH " + ", ".join(f"{name} AS ({query.text(which)})" for name, query in self.ctes) + " "
        text += "".join(f"{operator}{select.text(which)}" for operator, select in self.branches)
        if self.order:
            text += " ORDER BY " + ", ".join(f"{name}{words}" for name, words in self.order)
        return text + self.limit

    def selects(self):
        """Every SELECT of it, those inside first."""
        inner = [query for _, query in self.ctes]
        inner += [query for _, select in self.branches for query in select.queries()]
        found = [select for query in inner for select in query.selects()]
        return found + [select for _, select in self.branches]

    def queries(self):
        """It and every query inside."""
        inner = [query for _, query in self.ctes]
        inner += [query for _, select in self.branches for query in select.queries()]
        return [found for query in inner for found in query.queries()] + [self]


class Maker:
    """Makes tables and queries; `tables` are their names."""

    def __init__(self, tables, chance):
        self.tables, self.chance = tables, chance
        self.aliases = 0

    # Chance.

    def one(self, items):
        return self.chance.choice(items)

    def often(self, part):
        return self.chance.random() < part

    def some(self, low, high):
        return self.chance.randint(low, high)

    def alias(self, letter):
        self.aliases += 1
        return f"{letter}{self.aliases}"

    # Data.

    def rows(self):
        """A few rows with NULLs, values that occur several times, and numbers in `u`, which rise in half of the tables."""
        numbers = list(range(1, self.some(3, 7) + 1))
        if self.often(0.5):
            self.chance.shuffle(numbers)
        value = lambda kind: None if self.often(0.2) else self.one(VALUES[kind])
        return [[u, *[value(kind) for name, kind in COLUMNS.items() if name != "u"]] for u in numbers]

    # Values.

    def columns(self, scope, kinds):
        """Columns of these kinds that `scope`, a list of relations, has."""
        return [
            make(kind, f"{relation.alias}.{name}")
            for relation in scope
            for name, kind in relation.columns.items()
            if kind in kinds
        ]

    def leaf(self, kind, scope):
        found = self.columns(scope, [kind])
        return self.one(found) if found and self.often(0.85) else constant(kind, self.one(VALUES[kind]))

    def keyed(self, scope):
        """Something to group by: it has a column in it, and no parentheses around it, which ROLLUP takes for its own."""
        kinds = sorted({kind for relation in scope for kind in relation.columns.values()})
        column = self.one(self.columns(scope, [self.one(kinds)]))
        if self.often(0.7):
            return column
        if column.kind in WHOLE:
            return make(column.kind, "{0} % 3", column) if column.kind == "big" else make("int", "{0} + 1", column)
        if column.kind == "text":
            return self.one([make("text", "upper({0})", column), make("text", "{0} || '.'", column)])
        if column.kind in ("day", "at"):
            return make("int", "year({0})", column)
        return make("bool", "{0} IS NULL", column)

    def value(self, kind, scope, depth=1):
        """Any value of a kind."""
        if depth == 0 or self.often(0.45):
            return self.leaf(kind, scope)
        inner = lambda of: self.value(of, scope, depth - 1)
        searched, simple = "CASE WHEN {0} THEN {1} ELSE {2} END", "CASE {0} WHEN {1} THEN {2} WHEN {3} THEN {4} END"
        general = [
            lambda: make(kind, searched, self.plain(scope, depth - 1), inner(kind), inner(kind)),
            lambda: make(kind, simple, *self.cases(kind, inner)),
            lambda: make(kind, "coalesce({0}, {1})", inner(kind), inner(kind)),
            lambda: make(kind, "nullif({0}, {1})", inner(kind), inner(kind)),
        ]
        own = {
            "big": self.whole_number,
            "int": self.small_number,
            "double": self.fraction,
            "decimal": self.exact,
            "text": self.text,
            "day": self.day,
            "at": self.instant,
        }.get(kind)
        if kind == "bool":
            return self.plain(scope, depth - 1)
        return own(inner) if own and self.often(0.6) else self.one(general)()

    def cases(self, kind, inner):
        subject = self.one(["big", "int", "double", "text"])
        return inner(subject), constant(subject, self.one(VALUES[subject])), inner(kind), inner(subject), inner(kind)

    def whole_number(self, inner):
        return self.one(
            [
                lambda: make("big", "({0} + {1})", inner("big"), inner(self.one(WHOLE))),
                lambda: make("big", "({0} - {1})", inner(self.one(WHOLE)), inner("big")),
                # What is multiplied again and again would not fit.
                lambda: make("big", f"({{0}} * {self.some(2, 3)})", inner("big")),
                lambda: make("big", f"({{0}} % {self.some(2, 4)})", inner("big")),
                lambda: make("big", "abs({0})", inner("big")),
                lambda: make("big", "(- {0})", inner("big")),
                lambda: make("big", "length({0})", inner("text")),
                lambda: make("big", "instr({0}, 'a')", inner("text")),
                lambda: make("big", "CAST({0} AS BIGINT)", inner("int")),
                lambda: make("big", "floor({0})", inner("double"), theirs="CAST(floor({0}) AS BIGINT)"),
                lambda: make("big", "ceil({0})", inner("double"), theirs="CAST(ceil({0}) AS BIGINT)"),
            ]
        )()

    def small_number(self, inner):
        return self.one(
            [
                lambda: make("int", "({0} + {1})", inner("int"), inner("int")),
                lambda: make("int", "({0} - {1})", inner("int"), inner("int")),
                lambda: make("int", "({0} * 2)", inner("int")),
                lambda: make("int", "year({0})", inner(self.one(["day", "at"]))),
                lambda: make("int", "month({0})", inner("day")),
            ]
        )()

    def fraction(self, inner):
        return self.one(
            [
                lambda: make("double", "({0} / nullif(abs({1}), 0))", inner(self.one(WHOLE)), inner(self.one(WHOLE))),
                lambda: make("double", "({0} / nullif(abs({1}), 0))", inner("double"), inner(self.one(["double", "int"]))),
                lambda: make("double", "({0} + {1})", inner("double"), inner(self.one(["double", *WHOLE]))),
                lambda: make("double", "({0} - {1})", inner("double"), inner("double")),
                lambda: make("double", "({0} * {1})", inner("double"), constant("double", self.one([0.5, 2.5]))),
                lambda: make("double", "CAST({0} AS DOUBLE)", inner(self.one(["decimal", *WHOLE]))),
                lambda: make("double", "abs({0})", inner("double")),
            ]
        )()

    def exact(self, inner):
        return self.one(
            [
                lambda: make("decimal", "({0} + {1})", inner("decimal"), inner("decimal")),
                lambda: make("decimal", "({0} - {1})", inner("decimal"), inner("decimal")),
                lambda: make("decimal", "({0} + {1})", inner("decimal"), inner("int")),
                lambda: make("decimal", "({0} * 2)", inner("decimal")),
            ]
        )()

    def text(self, inner):
        return self.one(
            [
                lambda: make("text", "({0} || {1})", inner("text"), inner("text")),
                lambda: make("text", "upper({0})", inner("text")),
                lambda: make("text", "lower({0})", inner("text")),
                lambda: make("text", f"substr({{0}}, {self.some(1, 3)}, {self.some(1, 2)})", inner("text")),
                lambda: make("text", "replace({0}, 'a', 'xy')", inner("text")),
                lambda: self.written(inner(self.one(["big", "int", "day"]))),
            ]
        )()

    def written(self, value):
        return make("text", "CAST({0} AS STRING)", value, theirs="CAST({0} AS VARCHAR)")

    def day(self, inner):
        if self.often(0.3):
            return make("day", "CAST({0} AS DATE)", inner("at"))
        step = f"{self.one('+-')} INTERVAL '{self.some(1, 40)}' DAY"
        return make("day", f"({{0}} {step})", inner("day"), theirs=f"CAST({{0}} {step} AS DATE)")

    def instant(self, inner):
        step = f"{self.one('+-')} INTERVAL '{self.some(1, 30)}' {self.one(['HOUR', 'MINUTE', 'DAY'])}"
        return make("at", f"({{0}} {step})", inner("at"))

    # Conditions.

    def kind_in(self, scope):
        return self.one(sorted({kind for relation in scope for kind in relation.columns.values()}))

    def plain(self, scope, depth=1):
        """A condition without queries in it."""
        if depth > 0 and self.often(0.25):
            a, b = self.plain(scope, depth - 1), self.plain(scope, depth - 1)
            return self.one(
                [
                    lambda: make("bool", "({0} AND {1})", a, b),
                    lambda: make("bool", "({0} OR {1})", a, b),
                    lambda: make("bool", "(NOT {0})", a),
                    lambda: make("bool", "({0} IS NOT TRUE)", a),
                ]
            )()
        kind = self.kind_in(scope)
        value = self.value(kind, scope, depth)
        other = lambda: self.value(self.one(MEETS[kind]), scope, 0)
        no = self.one(["", "NOT "])
        makers = [
            lambda: make("bool", f"({{0}} IS {no}NULL)", value),
            lambda: self.comparison(value, other()),
            lambda: self.comparison(value, other()),
            lambda: self.in_list(kind, value),
        ]
        if kind == "text":
            makers.append(lambda: make("bool", f"({{0}} {no}LIKE '{self.one(PATTERNS)}')", value))
        if kind == "bool":
            makers += [lambda: value, lambda: make("bool", "(NOT {0})", value), lambda: make("bool", "({0} IS TRUE)", value)]
        else:
            makers.append(lambda: make("bool", f"({{0}} {no}BETWEEN {{1}} AND {{2}})", value, other(), other()))
        return self.one(makers)()

    def comparison(self, a, b):
        if self.often(0.12):
            return make("bool", "({0} <=> {1})", a, b, theirs="({0} IS NOT DISTINCT FROM {1})")
        words = ["=", "=", "<>", "IS DISTINCT FROM"] + ([] if a.kind == "bool" else ["<", "<=", ">", ">="])
        return make("bool", f"({{0}} {self.one(words)} {{1}})", a, b)

    def in_list(self, kind, value):
        items = [constant(kind, self.one(VALUES[kind])) for _ in range(self.some(1, 3))]
        if self.often(0.15):
            items.append(Expr(kind, ("NULL",) * 3))
        places = ", ".join(f"{{{at + 1}}}" for at in range(len(items)))
        return make("bool", f"({{0}} {self.one(['', 'NOT '])}IN ({places}))", value, *items)

    def condition(self, scope, correlated_in=False):
        """A condition, perhaps with a query in it. IN with a query about its own row stands alone only."""
        if self.often(0.7):
            return self.plain(scope)
        inner = Relation(self.alias("e"), self.one(self.tables), dict(COLUMNS), ["u"])
        outer = self.columns(scope, WHOLE)
        if not outer:
            return self.plain(scope)
        own = lambda: self.one(self.columns([inner], WHOLE))
        about = make("bool", "{0} = {1}", own(), self.one(outer))
        more = " AND {1}" if self.often(0.6) else ""
        only = self.plain([inner], 0)
        source = f"FROM {inner.name} {inner.alias} WHERE {{0}}{more}"
        shape = self.chance.random()
        if shape < 0.4:
            if self.often(0.3):
                only = make("bool", "{0} <> {1}", own(), self.one(outer))
            return make("bool", f"({self.one(['', 'NOT '])}EXISTS (SELECT 1 {source}))", about, only)
        if shape < 0.75:
            no = self.one(["", "NOT "])
            first = about if correlated_in and self.often(0.3) else self.plain([inner], 0)
            return make("bool", f"({{2}} {no}IN (SELECT {{3}} {source}))", first, only, self.one(outer), own())
        function = self.one(["max", "min", "count", "sum"])
        cast = f"CAST({function}({{3}}) AS BIGINT)" if function == "sum" else f"{function}({{3}})"
        sign = self.one(["=", "<", ">=", "<>"])
        query = "({2} " + sign + " (SELECT {} " + source + "))"
        ours, theirs = (query.replace("{}", text, 1) for text in (f"{function}({{3}})", cast))
        return make("bool", ours, about, only, self.one(outer), own(), theirs=theirs)

    # FROM.

    def relation(self, depth, ctes):
        if ctes and self.often(0.4):
            name, columns, key = self.one(ctes)
            return Relation(self.alias("w"), name, dict(columns), key)
        if depth > 0 and self.often(0.18):
            query, columns, key = self.subquery(depth - 1, ctes)
            return Relation(self.alias("q"), "", columns, key, query)
        return Relation(self.alias("t"), self.one(self.tables), dict(COLUMNS), ["u"])

    def equality(self, scope, relation):
        """An equality between a new relation and those before it, if they share a kind."""
        kinds = sorted(set(relation.columns.values()) - {"bool"})
        self.chance.shuffle(kinds)
        # Mostly whole numbers: other keys join too few rows.
        kinds.sort(key=lambda kind: kind not in WHOLE and self.often(0.8))
        for kind in kinds:
            if before := self.columns(scope, WHOLE if kind in WHOLE else [kind]):
                return make("bool", "{0} = {1}", self.one(self.columns([relation], [kind])), self.one(before))
        return None

    def source(self, count, depth, ctes):
        """FROM with so many relations: the first, the joins, and what can be named afterwards."""
        first = self.relation(depth, ctes)
        scope, joins, crossed = [first], [], False
        comma = self.often(0.25)
        for _ in range(count - 1):
            relation = self.relation(depth, ctes)
            equal = self.equality(scope, relation)
            if equal is None or (not comma and count <= 3 and not crossed and self.often(0.06)):
                if crossed:
                    continue
                crossed = True
                joins.append(Join("," if comma else "CROSS JOIN", relation, []))
                scope.append(relation)
                continue
            if comma:
                on = [equal]
                if self.often(0.3):
                    sides = [self.columns([of], WHOLE) or [constant("int", 1)] for of in (relation, self.one(scope))]
                    on.append(make("bool", "({0} + {1} < 6)", *map(self.one, sides)))
                joins.append(Join(",", relation, on))
                scope.append(relation)
                continue
            kind = self.one(
                ["JOIN", "JOIN", "INNER JOIN", "LEFT JOIN", "LEFT OUTER JOIN", "RIGHT JOIN", "FULL OUTER JOIN"]
                + ["LEFT SEMI JOIN", "LEFT ANTI JOIN"]
            )
            join = Join(kind, relation, [equal])
            if kind != "FULL OUTER JOIN" and self.often(0.25):
                # What a side says of itself, and what both say together.
                sides = [relation] if "SEMI" in kind or "ANTI" in kind else [relation, *scope]
                join.on.append(self.plain([self.one(sides)], 0))
            shares = first.columns.get("k") == relation.columns.get("k") == "big"
            if kind in ("JOIN", "LEFT JOIN") and not joins and shares and self.often(0.15):
                join.using = "k"
            joins.append(join)
            if "SEMI" not in kind and "ANTI" not in kind:
                scope.append(relation)
        return first, joins, scope

    # SELECT.

    def filters(self, scope):
        """Conditions of WHERE and what stands between them."""
        if self.often(0.3):
            return [], " AND "
        glue = self.one([" AND ", " AND ", " OR "])
        return [self.condition(scope, glue == " AND ") for _ in range(self.some(1, 3))], glue

    def names(self, items, shared):
        """Names for items: those that tables have, if `shared`, else c0, c1 …"""
        taken, named = set(), []
        for at, item in enumerate(items):
            free = [name for name, kind in COLUMNS.items() if kind == item.kind and name not in taken and name != "u"]
            name = self.one(free) if shared and free else f"c{at}"
            taken.add(name)
            named.append((item, name))
        return named

    def select(self, depth, ctes, kinds=None, shared=False):
        """A SELECT and the key of its rows. With `kinds` its items are of these."""
        first, joins, scope = self.source(self.one([1, 2, 2, 3, 3, 4, 5]), depth, ctes)
        where, glue = self.filters(scope)
        select = Select([], first, joins, where, glue)
        shape = self.chance.random()
        if kinds is not None:
            items = [self.value(kind, scope) for kind in kinds]
            select.distinct = self.often(0.2)
            select.items = self.names(items, shared)
            return select, [name for _, name in select.items] if select.distinct else None
        if shape < 0.3:
            return self.grouped(select, scope, shared)
        if shape < 0.5:
            return self.windowed(select, scope, shared)
        items = [self.value(self.kind_in(scope), scope, 2) for _ in range(self.some(1, 5))]
        if self.often(0.12):
            items.append(self.scalar(scope))
        select.distinct = self.often(0.15)
        select.items = self.names(items, shared)
        if select.distinct:
            return select, [name for _, name in select.items]
        return select, self.export_key(select, scope)

    def scalar(self, scope):
        """A query in the SELECT list."""
        inner = Relation(self.alias("e"), self.one(self.tables), dict(COLUMNS), ["u"])
        outer, own = self.columns(scope, WHOLE), self.columns([inner], WHOLE)
        if not outer:
            return constant("int", 1)
        source = f"FROM {inner.name} {inner.alias} WHERE"
        about = make("bool", "{0} = {1}", self.one(own), self.one(outer))
        shape = self.some(1, 3)
        if shape == 1:
            return make("big", f"(SELECT {self.one(['max', 'count'])}({{0}}) {source} {{1}})", self.one(own), about)
        if shape == 2:
            return make("bool", f"EXISTS (SELECT 1 {source} {{0}})", about)
        only = self.plain([inner], 0)
        return make("bool", f"({{0}} IN (SELECT {{1}} {source} {{2}}))", self.one(outer), self.one(own), only)

    def row_key(self, scope):
        """Columns that together differ in every row of these relations, or None."""
        if any(relation.key is None for relation in scope):
            return None
        return [make(relation.columns[name], f"{relation.alias}.{name}") for relation in scope for name in relation.key]

    def export_key(self, select, scope):
        """Adds the key of the rows to what a SELECT gives, so that whoever reads it can order by it."""
        key = self.row_key(scope)
        if key is None or self.often(0.5):
            return None
        names = [f"y{at}" for at in range(len(key))]
        select.items += list(zip(key, names))
        return names

    def grouped(self, select, scope, shared):
        keys, seen = [], set()
        for _ in range(self.some(0, 3)):
            key = self.keyed(scope)
            if key.texts not in seen:
                seen.add(key.texts)
                keys.append(key)
        select.group, select.form = keys, self.group_form(len(keys))
        items = [key for key in keys if self.often(0.85)]
        if select.form and self.often(0.7):
            items += [make("big", "grouping({0})", key) for key in keys]
        items += [self.aggregate(scope) for _ in range(self.some(1, 3))]
        if keys and self.often(0.3):
            select.having.append(self.having(scope))
        plain = not select.form and len(items) >= len(keys) and items[: len(keys)] == keys
        select.items = self.names(items, shared)
        return select, [name for _, name in select.items[: len(keys)]] if plain and keys else None

    def group_form(self, count):
        """How so many keys stand in GROUP BY; empty for a list of them."""
        if count == 0 or self.often(0.6):
            return ""
        places = [f"{{{at}}}" for at in range(count)]
        every = ", ".join(places)
        forms = [f"ROLLUP({every})", f"CUBE({every})"]
        sets = [f"({every})", *[f"({place})" for place in places if self.often(0.6)], "()"]
        forms.append(f"GROUPING SETS ({', '.join(dict.fromkeys(sets))})")
        if count > 1:
            forms.append(f"{places[0]}, ROLLUP({', '.join(places[1:])})")
        return self.one(forms)

    def having(self, scope):
        if self.often(0.5):
            return make("bool", f"count(*) {self.one(['>', '<=', '<>'])} {self.some(1, 3)}")
        total = self.aggregate(scope, ["big", "double"])
        return self.comparison(total, constant(total.kind, self.one(VALUES[total.kind])))

    def aggregate(self, scope, kinds=None):
        """An aggregate, of these kinds if they are given."""
        def value(*kinds):
            # What is added is exact, mostly: sums of thirds depend on their order.
            of = self.one(kinds)
            return self.leaf(of, scope) if of == "double" else self.value(of, scope)

        sums = {
            "big": "CAST(sum({0}) AS BIGINT)",
            "int": "CAST(sum({0}) AS BIGINT)",
            "double": "sum({0})",
            "decimal": "CAST(sum({0}) AS DECIMAL(20,2))",
        }
        only = ""
        if self.often(0.15):
            only = " FILTER (WHERE {1})"

        def total(distinct=""):
            of = self.one(WHOLE if distinct else NUMBERS)
            kind = "big" if of == "int" else of
            ours = "CAST(sum({0}) AS DECIMAL(20,2))" if of == "decimal" else "sum({0})"
            ours, theirs = (text.replace("sum({0})", f"sum({distinct}{{0}}){only}") for text in (ours, sums[of]))
            return make(kind, ours, value(of), self.plain(scope, 0), theirs=theirs)

        def least():
            of = self.one(ORDERED)
            return make(of, f"{self.one(['min', 'max'])}({{0}}){only}", value(of), self.plain(scope, 0))

        several = "count(DISTINCT ({0}, {1})) FILTER (WHERE {0} IS NOT NULL AND {1} IS NOT NULL)"
        makers = {
            "big": [
                lambda: make("big", f"count(*){only}", constant("int", 1), self.plain(scope, 0)),
                lambda: make("big", f"count({{0}}){only}", value(*TYPES), self.plain(scope, 0)),
                lambda: make("big", f"count(DISTINCT {{0}}){only}", value(*TYPES), self.plain(scope, 0)),
                lambda: make("big", "count(DISTINCT {0}, {1})", value(*ORDERED), value(*ORDERED), theirs=several),
                lambda: make("big", "count_if({0})", self.plain(scope, 0), theirs="count(CASE WHEN {0} THEN 1 END)"),
                lambda: make("big", "sum(DISTINCT {0})", value(*WHOLE), theirs="CAST(sum(DISTINCT {0}) AS BIGINT)"),
            ],
            "double": [
                lambda: make("double", f"avg({{0}}){only}", value("double", *WHOLE), self.plain(scope, 0)),
                lambda: make("double", "avg(CAST({0} AS DOUBLE))", value("decimal")),
                lambda: make("double", "median({0})", value(*WHOLE)),
                # There are several ways to compute it, and they end in other digits.
                lambda: make("double", "round(var_samp({0}), 4)", value(*WHOLE)),
            ],
            None: [total, total, lambda: total("DISTINCT "), least, least],
        }
        return self.one([maker for kind in kinds or makers for maker in makers[kind]])()

    def windowed(self, select, scope, shared):
        key = self.row_key(scope)
        items = [self.one(self.columns(scope, [self.kind_in(scope)])) for _ in range(self.some(1, 2))]
        items += [self.window(scope, key) for _ in range(self.some(1, 3))]
        if key and self.often(0.15):
            order, *parts = self.window_order(scope, key)
            partition = self.one(self.columns(scope, [self.kind_in(scope)]))
            first = f"row_number() OVER (PARTITION BY {{0}} {order}) <= {self.some(1, 2)}"
            select.qualify.append(make("bool", first, partition, *parts))
        select.items = self.names(items, shared)
        return select, self.export_key(select, scope)

    def window_order(self, scope, key, first=1):
        """ORDER BY of a window, whose places begin at `first`, and what fills them. With a key it has no ties."""
        found = self.columns(scope, ORDERED) or self.columns(scope, ["bool"])
        parts = [self.one(found) for _ in range(self.some(1, 2))] + (key or [])
        words = lambda: self.one(["", "", " DESC"]) + self.one(["", "", " NULLS FIRST", " NULLS LAST"])
        text = ", ".join(f"{{{first + at}}}{words()}" for at in range(len(parts)))
        return [f"ORDER BY {text}", *parts]

    def window(self, scope, key):
        """A call over a window. What depends on the order of equal rows is asked only where there is a key."""
        partition = self.one(self.columns(scope, [self.kind_in(scope)]))
        by = self.one(["", "PARTITION BY {0} "])
        order, *parts = self.window_order(scope, key, 2)
        shape = self.chance.random()
        if key and shape < 0.35:
            kind = self.kind_in(scope)
            value = self.one(self.columns(scope, [kind]))
            text, kind = self.one(
                [
                    ("row_number()", "big"),
                    (f"ntile({self.some(2, 3)})", "big"),
                    (f"lag({{1}}, {self.some(1, 2)})", kind),
                    ("lead({1})", kind),
                    ("first_value({1})", kind),
                    ("last_value({1})", kind),
                ]
            )
            return make(kind, f"{text} OVER ({by}{order})", partition, value, *parts)
        if shape < 0.55:
            name = self.one(["rank", "dense_rank", "percent_rank", "cume_dist"])
            kind = "double" if name in ("percent_rank", "cume_dist") else "big"
            return make(kind, f"{name}() OVER ({by}{order})", partition, partition, *parts)
        of = self.one([*NUMBERS, "text", "day"])
        value = self.value(of, scope, 0)
        name = self.one(["min", "max", "count"] + (["sum", "sum", "avg"] if of in NUMBERS else []))
        # AVG of DECIMAL is another type, and whole numbers are summed in other widths.
        if name == "avg" and of == "decimal":
            name = "count"
        kind = {"count": "big", "avg": "double", "sum": "big" if of in WHOLE else of}.get(name, of)
        over = f"OVER ({by}{self.frame(key, order)})"
        ours, theirs = f"{name}({{1}}) {over}", f"{name}({{1}}) {over}"
        if name == "sum" and of in (*WHOLE, "decimal"):
            wide = "BIGINT" if of in WHOLE else "DECIMAL(20,2)"
            theirs = f"CAST({theirs} AS {wide})"
            ours = ours if of in WHOLE else f"CAST({ours} AS {wide})"
        # Where every row is a group of its own.
        spark = ours.replace(" GROUPS BETWEEN ", " ROWS BETWEEN ") if key else ours
        return make(kind, ours, partition, value, *parts, theirs=theirs, spark=spark)

    def frame(self, key, order):
        """ORDER BY and a frame, or neither."""
        shape = self.chance.random()
        if shape < 0.25:
            return ""
        if shape < 0.5:
            return order
        if shape < 0.75 and key:
            start = self.one(["UNBOUNDED PRECEDING", "2 PRECEDING", "1 PRECEDING", "CURRENT ROW"])
            end = self.one(["CURRENT ROW", "1 FOLLOWING", "2 FOLLOWING", "UNBOUNDED FOLLOWING"])
            return f"{order} ROWS BETWEEN {start} AND {end}"
        start = self.one(["UNBOUNDED PRECEDING", "1 PRECEDING", "CURRENT ROW"])
        end = self.one(["CURRENT ROW", "UNBOUNDED FOLLOWING"])
        if "1" in start:
            return f"{order} GROUPS BETWEEN {start} AND {end}"
        return f"{order} RANGE BETWEEN {start} AND {end}"

    # Queries.

    def branches(self, depth, ctes, shared):
        """A SELECT, or several with set operators between them, and the key of the rows."""
        if self.often(0.8):
            select, key = self.select(depth, ctes, shared=shared)
            return [("", select)], key
        kinds = [self.one(list(TYPES)) for _ in range(self.some(1, 3))]
        operators = [" UNION ALL ", " UNION ", " INTERSECT ", " EXCEPT ", " INTERSECT ALL ", " EXCEPT ALL "]
        branches = [("", self.select(depth, ctes, kinds)[0])]
        for _ in range(self.some(1, 2)):
            branches.append((self.one(operators), self.select(depth, ctes, kinds)[0]))
        # The operator that is applied last decides; INTERSECT binds tighter.
        is_set = len(branches) == 2 and "ALL" not in branches[1][0]
        return branches, [name for _, name in branches[0][1].items] if is_set else None

    def ordered(self, branches):
        """ORDER BY all columns: rows that are equal in them may change places unseen."""
        names = [name for _, name in branches[0][1].items]
        words = lambda: self.one(["", " ASC", " DESC"]) + self.one(["", "", " NULLS FIRST", " NULLS LAST"])
        return [(name, words()) for name in names]

    def limit(self):
        return f" LIMIT {self.some(1, 8)}" + (f" OFFSET {self.some(1, 3)}" if self.often(0.25) else "")

    def subquery(self, depth, ctes):
        """A query for FROM, its columns and its key."""
        limited = self.often(0.15)
        branches, key = self.branches(depth, ctes, shared=not limited)
        query = Query(branches)
        if limited:
            query.order, query.limit = self.ordered(branches), self.limit()
        return query, {name: item.kind for item, name in branches[0][1].items}, key

    def query(self):
        ctes, known = [], []
        for _ in range(self.one([0, 0, 0, 1, 2])):
            query, columns, key = self.subquery(0, known)
            name = self.alias("cte")
            ctes.append((name, query))
            known.append((name, columns, key))
        branches, _ = self.branches(1, known, shared=False)
        query = Query(branches, ctes)
        if self.often(0.4):
            query.order = self.ordered(branches)
            query.limit = self.limit() if self.often(0.6) else ""
        return query


def universe(seed, tables):
    """The rows of each table."""
    maker = Maker(tables, random.Random(f"{seed} tables"))
    return {table: maker.rows() for table in tables}


def query(seed, number, tables, maker=Maker):
    """The query of a number."""
    return maker(tables, random.Random(f"{seed} query {number}")).query()


def creation(table, rows, which):
    """The statements that make and fill a table, ours in files of a few rows."""
    columns = ", ".join(f"{name} {TYPES[kind][which]}" for name, kind in COLUMNS.items())
    line = lambda row: "(" + ", ".join(literal(kind, v, which) for kind, v in zip(COLUMNS.values(), row)) + ")"
    step = FILE_ROWS if which == OURS else len(rows)
    parts = [rows[at : at + step] for at in range(0, len(rows), step)]
    inserts = [f"INSERT INTO {table} VALUES {', '.join(map(line, part))}" for part in parts]
    return [f"CREATE TABLE {table} ({columns})", *inserts]


def smaller(query):
    """Queries that are `query` without one part of it, the largest parts first. Some of them are no queries."""
    for at in range(len(query.branches)):
        if len(query.branches) > 1:
            yield _changed(query, lambda q, at=at: _drop_branch(q, at))
    for at in range(len(query.ctes)):
        yield _changed(query, lambda q, at=at: q.ctes.pop(at))
    for n, one in enumerate(query.queries()):
        if one.limit:
            yield _changed(query, lambda q, n=n: setattr(q.queries()[n], "limit", ""))
        if one.order:
            yield _changed(query, lambda q, n=n: _unordered(q.queries()[n]))
    for n, select in enumerate(query.selects()):
        for part in ("joins", "where", "having", "qualify", "group", "items"):
            for at in range(len(getattr(select, part))):
                if part != "items" or len(select.items) > 1:
                    yield _changed(query, lambda q, n=n, part=part, at=at: _drop(q, n, part, at))
        for at, join in enumerate(select.joins):
            for on in range(1, len(join.on)):
                yield _changed(query, lambda q, n=n, at=at, on=on: q.selects()[n].joins[at].on.pop(on))
        if select.form:
            yield _changed(query, lambda q, n=n: setattr(q.selects()[n], "form", ""))
        if select.distinct:
            yield _changed(query, lambda q, n=n: setattr(q.selects()[n], "distinct", False))
        for part in ("where", "having"):
            for at, condition in enumerate(getattr(select, part)):
                for inner in condition.parts:
                    if inner.kind == "bool":
                        put = lambda q, n=n, p=part, at=at, e=inner: _put(getattr(q.selects()[n], p), at, e)
                        yield _changed(query, put)
        for at, (item, name) in enumerate(select.items):
            for inner in item.parts:
                if inner.kind == item.kind:
                    yield _changed(query, lambda q, n=n, at=at, e=(inner, name): _put(q.selects()[n].items, at, e))


def _changed(query, change):
    made = copy.deepcopy(query)
    change(made)
    return made


def _put(items, at, value):
    items[at] = value


def _drop_branch(query, at):
    query.branches.pop(at)
    query.branches[0] = ("", query.branches[0][1])


def _unordered(query):
    query.order, query.limit = [], ""


def _drop(query, n, part, at):
    select = query.selects()[n]
    dropped = getattr(select, part).pop(at)
    if part == "group":
        select.form = ""
    if part == "items":
        # It has no name to order by any more.
        for one in query.queries():
            if select is one.branches[0][1]:
                one.order = [(name, words) for name, words in one.order if name != dropped[1]]
