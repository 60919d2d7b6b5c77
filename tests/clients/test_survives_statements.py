"""Statements far beyond what anybody writes: each is answered, by the same process, in bounded memory.

An answer is a result, whose value follows by arithmetic, or an error with a code of MaxCompute. Where the text is beyond
a documented limit the error is demanded: 256 branches of UNION, 2 MB of statement, and nesting, for which MaxCompute
documents no number, but which no parser with a stack of fixed size can follow without end.
"""

import unittest

from odps import errors

import harness

DEEP = 100_000
# MaxCompute documentation, "Limits on MaxCompute SQL": an SQL statement may be 2 MB long. PyODPS adds a semicolon.
LONGEST = (2 << 20) - 1
# The planner keeps several copies of a list of 250,000 values; what a query itself may use is 1 GiB and more.
MEMORY = 1 << 30
# A debug build on a busy machine; a statement that takes minutes has not been answered.
SECONDS = 120


def filled(head, item, tail, length=LONGEST):
    """`head`, as many `item` as fit separated by commas, and `tail`; also how many they are."""
    count = (length - len(head) - len(tail) + 1) // (len(item) + 1)
    return head + ",".join([item] * count) + tail, count


class Statements(unittest.TestCase):
    def setUp(self):
        self.server = harness.Server(meta=harness.new_database())
        self.addCleanup(self.server.close)
        self.o = self.server.start().entry()

    def tearDown(self):
        self.assertIsNone(self.server.process.poll(), "the server has ended")
        self.assertEqual(self.run_sql("SELECT 6 * 7"), [[42]])
        self.assertLess(self.server.peak_memory(), MEMORY)

    def run_sql(self, sql, hints=None):
        """The rows of a query, or the exception that says why there are none; fails if no answer comes."""
        # Nobody starts it again: where it has died, only the statement that killed it is to blame.
        self.assertIsNone(self.server.process.poll(), "the server has ended")
        try:
            job = self.o.run_sql(sql, hints=hints)
            harness.wait_for("the job's end", lambda: job.is_terminated(retry=False), SECONDS)
            with job.open_reader(tunnel=True) as reader:
                return [list(record.values) for record in reader]
        except errors.InstanceTypeNotSupported:
            return []  # a success without rows
        except errors.ODPSError as error:
            return error
        except OSError as error:
            self.fail(f"the server ended with {self.server.process.wait(10)}: {str(error)[:200]}")

    def refused(self, sql, code=r"ODPS-01\d{5}:\[\d+,\d+\]"):
        """Semantic and syntax errors are ODPS-013…, what is not supported ODPS-012…, with line and column."""
        answer = self.run_sql(sql)
        self.assertIsInstance(answer, errors.ODPSError, str(answer)[:200])
        self.assertRegex(str(answer)[:1000], code)

    def answered(self, sql, expected, hints=None):
        """The expected rows, or an error with a code."""
        answer = self.run_sql(sql, hints)
        if isinstance(answer, errors.ODPSError):
            self.assertRegex(str(answer)[:1000], r"ODPS-\d{7}")
        else:
            self.assertTrue(answer == expected, f"not the expected value: {str(answer)[:200]}")

    def test_nesting_without_end_is_refused(self):
        nested = {
            "parentheses": ("(", "1", ")"),
            "not": ("NOT ", "TRUE", ""),
            "minus": ("- ", "1", ""),
            "plus and minus": ("+-", "1", ""),
            "tilde": ("~", "1", ""),
            # At most twenty bytes a level, so that 100,000 levels fit into 2 MB.
            "case": ("CASE WHEN ", "TRUE", " THEN''END"),
            "case of a value": ("CASE ", "1", ""),
            "function": ("ABS(", "1", ")"),
            "if": ("IF(TRUE,", "1", ",1)"),
            "cast": ("CAST(", "1", " AS INT)"),
            "array": ("ARRAY(", "1", ")"),
            "subquery": ("(SELECT ", "1", ")"),
            "exists": ("EXISTS(SELECT ", "1", ")"),
            "in": ("1 IN(", "1", ")"),
            "index": ("a[", "1", "]"),
            "case without end": ("CASE WHEN ", "1", ""),
        }
        for what, (begin, middle, end) in nested.items():
            with self.subTest(nested=what):
                self.refused(f"SELECT {begin * DEEP}{middle}{end * DEEP}")

    def test_queries_and_types_nested_without_end_are_refused(self):
        nested = {
            "subqueries in from": "SELECT * FROM " + "(SELECT * FROM " * DEEP + "t" + ") a" * DEEP,
            "queries in parentheses": "(" * DEEP + "SELECT 1" + ")" * DEEP,
            "joins in parentheses": "SELECT * FROM " + "(" * DEEP + "t" + " JOIN u)" * DEEP,
            "types": f"CREATE TABLE deep (a {'ARRAY<' * DEEP}INT{'>' * DEEP})",
            "struct types": f"CREATE TABLE deep (a {'STRUCT<a:' * DEEP}INT{'>' * DEEP})",
            "types of a cast": f"SELECT CAST(NULL AS {'ARRAY<' * DEEP}INT{'>' * DEEP})",
            "comments": "/*" * DEEP + "SELECT 1",
        }
        for what, sql in nested.items():
            with self.subTest(nested=what):
                self.refused(sql)
        self.assertFalse(self.o.exist_table("deep"))

    def test_chains_without_end_are_answered(self):
        # Left to right, as arithmetic has it.
        tables = ",".join(f"t{n} AS (SELECT * FROM t{n - 1})" for n in range(1, 10_000))
        chains = {
            "plus": (f"SELECT 1L{'+1' * DEEP}", [[DEEP + 1]]),
            "and": (f"SELECT TRUE{' AND TRUE' * DEEP}", [[True]]),
            "or": (f"SELECT FALSE{' OR FALSE' * DEEP}", [[False]]),
            "concatenation": (f"SELECT ''{'||1' * DEEP}", [["1" * DEEP]]),
            "comparison": (f"SELECT 1{'=1' * DEEP}", None),
            "minus without spaces": ("SELECT 1" + "-" * DEEP + "1", [[1]]),
            "fields": (f"SELECT a{'.a' * DEEP} FROM (SELECT 1 AS a) a", None),
            "joins": (f"SELECT 1 FROM (SELECT 1) a{' JOIN b' * DEEP}", None),
            "common tables": (f"WITH {tables} SELECT * FROM t9999", None),
        }
        for what, (sql, expected) in chains.items():
            with self.subTest(chain=what):
                self.answered(sql, expected)

    def test_ten_thousand_branches_of_union_are_answered(self):
        # MaxCompute documentation, "Limits on MaxCompute SQL": UNION ALL of at most 256 tables.
        self.answered(" UNION ALL ".join(["SELECT 1"] * 10_000), [[1]] * 10_000)
        self.answered(" UNION ".join(["SELECT 1"] * 10_000), [[1]])
        self.answered(" INTERSECT ".join(["SELECT 1"] * 10_000), [[1]])
        branches = " UNION ALL ".join(["SELECT 1 AS a"] * 256)
        self.assertEqual(self.run_sql(f"SELECT COUNT(*) FROM ({branches}) t"), [[256]])

    def test_a_string_of_two_megabytes_is_answered(self):
        head, tail = "SELECT LENGTH('", "') AS n"
        fits = LONGEST - len(head) - len(tail)
        self.assertEqual(self.run_sql(f"{head}{'x' * fits}{tail}"), [[fits]])
        # One byte more than is documented. This is refused before there is a job, with the word of odps/errors.py.
        self.refused(f"{head}{'x' * (fits + 1)}{tail}", "InvalidArgument")

    def test_lists_of_two_megabytes_are_answered(self):
        numbers = ",".join(str(n) for n in range(250_000))
        self.answered(f"SELECT COUNT(*) FROM (SELECT 249999L AS n) t WHERE n IN ({numbers})", [[1]])
        texts = ",".join(f"'{n}'" for n in range(200_000))
        self.answered(f"SELECT COUNT(*) FROM (SELECT 'x' AS s) t WHERE s NOT IN ({texts})", [[1]])
        sql, count = filled("SELECT CONCAT(", "'x'", ") AS s")
        self.answered(sql, [["x" * count]])
        sql, count = filled("SELECT SIZE(ARRAY(", "1", ")) AS n")
        self.answered(sql, [[count]])
        sql, count = filled("SELECT COALESCE(", "NULL", ", 7) AS n")
        self.answered(sql, [[7]])

    def test_a_case_of_two_megabytes_is_answered(self):
        branch = "WHEN n=1 THEN 2 "
        self.answered(f"SELECT CASE {branch * (LONGEST // len(branch) - 10)} END FROM (SELECT 1 AS n) t", [[2]])

    def test_values_of_two_megabytes_are_all_there_or_none(self):
        name = harness.unique("t")
        self.o.create_table(name, "n bigint")
        sql, count = filled(f"INSERT INTO TABLE {name} VALUES ", "(1)", "")
        job = self.o.run_sql(sql)
        harness.wait_for("the job's end", lambda: job.is_terminated(retry=False), SECONDS)
        if job.is_successful():
            self.assertEqual(self.run_sql(f"SELECT COUNT(*), SUM(n) FROM {name}"), [[count, count]])
        else:
            self.assertEqual(self.run_sql(f"SELECT COUNT(*) FROM {name}"), [[0]])
            self.assertIn("ODPS-", str(job.get_task_results()))

    def test_a_million_columns_are_answered(self):
        sql, _ = filled("SELECT ", "1", "")
        answer = self.run_sql(sql)
        # MaxCompute documentation, "Limits on MaxCompute SQL": a table has at most 1,200 columns.
        self.assertRegex(str(answer)[:1000], r"ODPS-\d{7}")

    def test_nothing_of_two_megabytes_is_answered(self):
        for what, sql in {
            "semicolons": ";" * LONGEST,
            "spaces": " " * LONGEST,
            "a comment": "--" + "x" * (LONGEST - 2),
            "a comment without end": "/*" + "x" * (LONGEST - 2),
            "a string without end": "SELECT '" + "x" * (LONGEST - 9),
            "a name": "SELECT " + "x" * (LONGEST - 7),
            "digits": "SELECT " + "9" * (LONGEST - 7),
            "settings": "SET a=1;" * (LONGEST // 8),
        }.items():
            with self.subTest(sql=what):
                self.answered(sql, [])


if __name__ == "__main__":
    unittest.main()
