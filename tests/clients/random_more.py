"""Random queries with more of what MaxCompute has from Hive, as Spark does: functions, forms of GROUP BY.

What is different is spelled so that it means the same:

- LEAST of NULL is NULL in MaxCompute, and Spark passes it over; GREATEST passes it over in both.
- STDDEV and VARIANCE are of the population in MaxCompute, and of a sample in Spark: the names that say it are used.
- FLOOR and CEIL of DECIMAL are BIGINT in MaxCompute and DECIMAL in Spark: they are cast.
- DATEADD and DATETRUNC, FROM_UNIXTIME (DATETIME in MaxCompute, text in Spark) and BITWISE_OR_AGG have other names in Spark.
- SUBSTR from before the first character is empty in Hive and the whole in Spark; MaxCompute's documentation does not say.
- CONCAT_WS with NULL and REGEXP_EXTRACT without a match are left out: the documentation and the service's relatives disagree.
- ROUND of DOUBLE has digits that a tie cannot lie at: which way one goes whose binary fraction is near it is nobody's promise.
"""

from random_sql import NUMBERS, ORDERED, TYPES, VALUES, WHOLE, Maker, constant, make

OWN = 0.45


class More(Maker):
    """Makes the same tables, and queries that DuckDB cannot be asked."""

    def value(self, kind, scope, depth=1):
        if depth == 0 or self.often(0.8):
            return super().value(kind, scope, depth)
        inner = lambda of: self.value(of, scope, depth - 1)
        makers = [
            lambda: make(kind, "if({0}, {1}, {2})", self.plain(scope, depth - 1), inner(kind), inner(kind)),
            lambda: make(kind, "nvl({0}, {1})", inner(kind), inner(kind)),
        ]
        if kind in ORDERED:
            least = "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN least({0}, {1}) END"
            makers += [
                lambda: make(kind, "greatest({0}, {1})", inner(kind), inner(kind)),
                lambda: make(kind, "least({0}, {1})", inner(kind), inner(kind), spark=least),
            ]
        if kind != "special":
            cases = [constant("big", self.one(VALUES["big"])), inner(kind), inner(kind), inner(kind)]
            makers.append(lambda: make(kind, "decode({0}, {1}, {2}, NULL, {3}, {4})", inner("big"), *cases))
        return self.one(makers)()

    def whole_number(self, inner):
        if not self.often(OWN):
            return super().whole_number(inner)
        return self.one(
            [
                lambda: make("big", "CAST({0} AS BIGINT)", inner(self.one(["double", "decimal"]))),
                lambda: make("big", "({0} DIV nullif(abs({1}), 0))", inner("big"), inner(self.one(WHOLE))),
                lambda: make("big", f"({{0}} {self.one('&|^')} {{1}})", inner("big"), inner("big")),
                lambda: make("big", "datediff({0}, {1})", inner("day"), inner("day")),
                lambda: make("big", "unix_timestamp({0})", inner("at")),
                lambda: make("big", "shiftleft({0}, 1)", inner("big")),
                lambda: make("big", "shiftright({0}, 1)", inner("big")),
                lambda: make("big", "locate('a', {0})", inner("text")),
                lambda: make("big", "crc32({0})", inner("text")),
                lambda: make("big", "floor({0})", inner("decimal"), spark="CAST(floor({0}) AS BIGINT)"),
                lambda: make("big", "ceil({0})", inner("decimal"), spark="CAST(ceil({0}) AS BIGINT)"),
            ]
        )()

    def small_number(self, inner):
        if not self.often(OWN):
            return super().small_number(inner)
        part = self.one(["day", "dayofmonth", "dayofyear", "dayofweek", "weekday", "weekofyear", "quarter", "month", "year"])
        time = self.one(["hour", "minute", "second"])
        return self.one(
            [
                lambda: make("int", f"{part}({{0}})", inner(self.one(["day", "at"]))),
                lambda: make("int", f"{time}({{0}})", inner("at")),
                lambda: make("int", "CAST({0} AS INT)", inner(self.one(["double", "big"]))),
                lambda: make("int", "abs({0})", inner("int")),
            ]
        )()

    def fraction(self, inner):
        if not self.often(OWN):
            return super().fraction(inner)
        return self.one(
            [
                lambda: make("double", "round({0}, 1)", inner("double")),
                lambda: make("double", "sqrt(abs({0}))", inner("double")),
                lambda: make("double", "pow({0}, 2)", inner("double")),
                lambda: make("double", "sign({0})", inner("double")),
            ]
        )()

    def exact(self, inner):
        if not self.often(OWN):
            return super().exact(inner)
        function = self.one(["round({0}, 1)", "abs({0})", "(- {0})", "CAST({0} AS DECIMAL(12,1))"])
        return make("decimal", function, inner("decimal"))

    def text(self, inner):
        if not self.often(OWN):
            return super().text(inner)
        return self.one(
            [
                lambda: make("text", "concat({0}, {1}, '-')", inner("text"), inner("text")),
                lambda: make("text", f"{self.one(['trim', 'ltrim', 'rtrim'])}({{0}} || ' ')", inner("text")),
                lambda: make("text", "reverse({0})", inner("text")),
                lambda: make("text", "repeat({0}, 2)", inner("text")),
                lambda: make("text", f"{self.one(['lpad', 'rpad'])}({{0}}, {self.some(1, 4)}, '*')", inner("text")),
                lambda: make("text", "initcap({0} || ' ab')", inner("text")),
                lambda: make("text", "translate({0}, 'ab', 'x')", inner("text")),
                lambda: make("text", f"substring_index({{0}}, 'b', {self.one([1, -1])})", inner("text")),
                lambda: make("text", f"split_part({{0}}, 'a', {self.some(1, 2)})", inner("text")),
                lambda: make("text", f"substr('--' || {{0}}, {-self.some(1, 2)})", inner("text")),
                lambda: make("text", "md5({0})", inner("text")),
                lambda: make("text", "hex({0})", inner(self.one(["big", "text"]))),
                lambda: make("text", "bin({0})", inner("big")),
                lambda: make("text", "regexp_replace({0}, '[ab]', 'x')", inner("text")),
                lambda: make("text", "CAST({0} AS STRING)", inner("at")),
                lambda: make("text", "date_format({0}, 'yyyyMMdd HH:mm')", inner("at")),
            ]
        )()

    def day(self, inner):
        if not self.often(OWN):
            return super().day(inner)
        days = self.some(1, 40)
        return self.one(
            [
                lambda: make("day", f"date_add({{0}}, {days})", inner("day")),
                lambda: make("day", f"date_sub({{0}}, {days})", inner("day")),
                lambda: make("day", f"dateadd({{0}}, {days}, 'dd')", inner("day"), spark=f"date_add({{0}}, {days})"),
                lambda: make("day", "dateadd({0}, 1, 'mm')", inner("day"), spark="add_months({0}, 1)"),
                lambda: make("day", "datetrunc({0}, 'month')", inner("day"), spark="trunc({0}, 'MM')"),
                lambda: make("day", "to_date(CAST({0} AS STRING))", inner("day")),
            ]
        )()

    def instant(self, inner):
        if not self.often(OWN):
            return super().instant(inner)
        again = "CAST(from_unixtime(unix_timestamp({0})) AS TIMESTAMP)"
        return self.one(
            [
                lambda: make("at", "dateadd({0}, 2, 'hh')", inner("at"), spark="({0} + INTERVAL '2' HOUR)"),
                lambda: make("at", "datetrunc({0}, 'hh')", inner("at"), spark="date_trunc('HOUR', {0})"),
                lambda: make("at", "from_unixtime(unix_timestamp({0}))", inner("at"), spark=again),
                lambda: make("at", "CAST({0} AS DATETIME)", inner("day"), spark="CAST({0} AS TIMESTAMP)"),
            ]
        )()

    def plain(self, scope, depth=1):
        texts = self.columns(scope, ["text"])
        if texts and self.often(0.04):
            return make("bool", f"({{0}} RLIKE '{self.one(['a', '^b', 'b$', '[ab]+', 'a.b'])}')", self.one(texts))
        return super().plain(scope, depth)

    def aggregate(self, scope, kinds=None):
        if kinds or not self.often(0.3):
            return super().aggregate(scope, kinds)
        number = lambda: self.leaf(self.one(NUMBERS[:3]), scope)
        name = self.one(["stddev_pop", "stddev_samp", "var_pop"])
        both = self.one(["covar_pop", "covar_samp"])
        bits = self.one(["bitwise_and_agg", "bitwise_or_agg", "bitwise_xor_agg"])
        theirs = bits.replace("bitwise", "bit").removesuffix("_agg") + "({0})"
        return self.one(
            [
                lambda: make("double", f"round({name}({{0}}), 4)", number()),
                lambda: make("double", f"round({both}({{0}}, {{1}}), 4)", number(), number()),
                lambda: make("double", "percentile({0}, 0.25)", self.leaf(self.one(WHOLE), scope)),
                lambda: make("big", f"{bits}({{0}})", self.leaf("big", scope), spark=theirs),
                lambda: make("text", "concat_ws(',', sort_array(collect_set({0})))", self.leaf("text", scope)),
                lambda: make("text", "concat_ws(',', sort_array(collect_list({0})))", self.leaf("text", scope)),
                lambda: make("bool", f"{self.one(['min', 'max'])}({{0}})", self.leaf("bool", scope)),
            ]
        )()

    def window(self, scope, key):
        if key is None or not self.often(0.25):
            return super().window(scope, key)
        kind = self.kind_in(scope)
        partition, value = (self.one(self.columns(scope, [of])) for of in (self.kind_in(scope), kind))
        order, *parts = self.window_order(scope, key, 3)
        default = constant(kind, self.one(VALUES[kind]))
        call = self.one(
            ["nth_value({1}, 2)", "last_value({1}, TRUE)", "first_value({1}, TRUE)", "lag({1}, 1, {2})", "lead({1}, 2, {2})"]
        )
        return make(kind, f"{call} OVER (PARTITION BY {{0}} {order})", partition, value, default, *parts)

    def group_form(self, count):
        if count == 0 or not self.often(0.15):
            return super().group_form(count)
        places = [f"{{{at}}}" for at in range(count)]
        every = ", ".join(places)
        sets = [f"({every})", *[f"({place})" for place in places if self.often(0.6)], "()"]
        sets = ", ".join(dict.fromkeys(sets))
        return self.one([f"{every} WITH ROLLUP", f"{every} WITH CUBE", f"{every} GROUPING SETS ({sets})"])
