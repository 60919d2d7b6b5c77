"""Spark as the engine beside feitian, and the differences between the two that are known.

Both have the same language but for what `random_sql.py` spells in two ways: NULL is the smallest value, sums of whole numbers
are BIGINT and fail when they do not fit, `/` is DOUBLE, TIMESTAMP is an instant in the zone of the session like DATETIME.
"""

from differential import Difference, Refused
from random_sql import OURS, SPARK, make

# Each query is another one: compiling it would take longer than to run it over a few rows. The rest are defaults that answers
# hang on.
SETTINGS = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
}


def without_empty_totals(query):
    """A total has a row only if there are rows."""
    # A key beside ROLLUP is in each of its sets.
    found = [select for select in query.selects() if select.form and ", ROLLUP(" not in select.form]
    for select in found:
        select.having.append(make("bool", "count(*) > 0"))
    return bool(found)


def in_query_of_two_values(query):
    """IN (query) in a SELECT list is TRUE or FALSE."""
    found = False
    for select in query.selects():
        for at, (item, name) in enumerate(select.items):
            if item.kind == "bool" and " IN (SELECT " in item.texts[OURS]:
                select.items[at] = (make("bool", "coalesce({0}, FALSE)", item), name)
                found = True
    return found


KNOWN = (
    Difference(
        "frames of GROUPS",
        "Spark has frames of ROWS and RANGE alone.",
        'MaxCompute has all three ("Window functions", frame_clause).',
        refusal=r"PARSE_SYNTAX_ERROR\] Syntax error at or near 'GROUPS'",
    ),
    Difference(
        "the second column of USING under ROLLUP, CUBE and GROUPING SETS",
        "Spark refuses `sum(b.k)` of `a JOIN b USING (k)` there.",
        "Such a column is hidden in Spark, and forgotten when rows are copied for each set; without the sets it takes it. "
        "MaxCompute's documentation knows no such limit.",
        refusal=r"MISSING_ATTRIBUTES\.RESOLVED_ATTRIBUTE_APPEAR_IN_OPERATION(?s:.*)spark_grouping_id",
    ),
    Difference(
        "totals of no rows",
        "Of no rows ROLLUP, CUBE and GROUPING SETS with () have no total in Spark, and a row in feitian.",
        "Spark groups copies of the rows, and there are none (SPARK-53565). MaxCompute's documentation gives a UNION ALL for "
        'GROUPING SETS, with an aggregate without GROUP BY for () ("GROUPING SETS"), which has a row; so have PostgreSQL and '
        "DuckDB.",
        adapt=without_empty_totals,
    ),
    Difference(
        "IN (query) that is NULL",
        "`NULL IN (SELECT ...)`, and IN a query with a NULL and without the value, are FALSE in a SELECT list of Spark.",
        "Spark only asks whether there is an equal row, which will do where NULL is as good as FALSE, in WHERE (SPARK-58442). "
        "MaxCompute's documentation promises the standard's NULL of IN; feitian and DuckDB keep it.",
        adapt=in_query_of_two_values,
    ),
)


class Spark:
    """A session of Spark as the other engine."""

    name, which, known = "Spark", SPARK, KNOWN

    def __init__(self, session):
        self.session = session
        for key, value in SETTINGS.items():
            session.conf.set(key, value)

    def rows(self, sql):
        try:
            return [tuple(row) for row in self.session.sql(sql).collect()]
        except Exception as error:  # It has many, of its own and of py4j.
            raise Refused(f"{type(error).__name__}: {str(error).strip()[:800]}") from error
