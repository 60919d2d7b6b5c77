"""Every row that a SQL test file says is DuckDB's, computed again by DuckDB."""

import unittest

import duckdb

import oracle

# What differs between the two languages for any query.
SETTINGS = "SET default_null_order = 'nulls_first_on_asc_last_on_desc'; SET TimeZone = 'Asia/Shanghai'"


class DuckdbOracle(unittest.TestCase):
    """One test for each file."""

    counted = {}

    @classmethod
    def tearDownClass(cls):
        files = sum(1 for count in cls.counted.values() if count)
        print(f"DuckDB {duckdb.__version__} computed {sum(cls.counted.values())} blocks of {files} files", flush=True)

    def check(self, name):
        connection = duckdb.connect()
        self.addCleanup(connection.close)
        connection.execute(SETTINGS)
        self.counted[name], wrong = oracle.recompute(name, "duckdb", lambda sql: connection.execute(sql).fetchall())
        self.assertEqual(wrong, [], "\n\n" + "\n\n".join(wrong))

    def test_enough_is_computed(self):
        blocks = [block for name in oracle.names() for block in oracle.blocks(name)]
        computed = sum(1 for block in blocks if block.source == "duckdb")
        self.assertGreater(computed, 100, f"{computed} of {len(blocks)} blocks are DuckDB's: is the folder the right one?")


class Comparison(unittest.TestCase):
    """What counts as the same answer."""

    def test_fractions_agree_to_nine_digits_and_whole_numbers_exactly(self):
        self.assertTrue(oracle.same("0.1 | x", "0.10000000000000001 | x"))
        self.assertTrue(oracle.same("[1, {a: 2}]", "[1, {a: 2.0}]"))
        self.assertFalse(oracle.same("0.1", "0.1001"))
        self.assertFalse(oracle.same("9223372036854775807", "9223372036854775806"))
        self.assertFalse(oracle.same("x1", "x2"))
        self.assertFalse(oracle.same("NULL", "0"))

    def test_values_are_written_as_in_the_files(self):
        row = (None, True, 1, "it's", [1, None, True], {"a": [2]}, b"ab")
        self.assertEqual(oracle.row_text(row), "NULL | TRUE | 1 | it's | [1, NULL, true] | {a: [2]} | ab")

    def test_rows_have_an_order_only_where_the_whole_query_has_one(self):
        self.assertTrue(oracle.is_ordered("select a from t\nORDER  BY a"))
        self.assertFalse(oracle.is_ordered("select sum(a) over (order by a), 'order by' from t"))

    def test_a_wrong_row_and_a_block_that_cannot_run_are_told(self):
        block = oracle.Block(1, "query", "select 1", ["2"], "duckdb")
        self.assertIn("and the engine\n1", oracle.difference(block, [(1,)]))
        name = next(name for name in oracle.names() if any(b.source == "duckdb" for b in oracle.blocks(name)))
        count, wrong = oracle.recompute(name, "duckdb", lambda sql: 1 / 0)
        self.assertEqual(sum("cannot run: division by zero" in text for text in wrong), count)


def _test(name):
    return lambda self: self.check(name)


for _name in oracle.names():
    if any(block.source == "duckdb" for block in oracle.blocks(_name)):
        setattr(DuckdbOracle, f"test_{_name}", _test(_name))


if __name__ == "__main__":
    unittest.main()
