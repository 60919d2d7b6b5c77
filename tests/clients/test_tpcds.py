"""The rows of `tpcds.py`: they fit their columns, keys join, and the same come each time."""

import datetime
import unittest
from decimal import Decimal

import tpcds

# Days that lie behind the last one of date_dim: what is sold on it comes back later.
BEYOND = ("ship_date_sk", "returned_date_sk")
TYPES = {"bigint": int, "string": str, "date": datetime.date}


class Rows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rows = tpcds.make()

    def column(self, table, name):
        at = list(tpcds.TABLES[table]).index(name)
        return [row[at] for row in self.rows[table]]

    def test_there_are_24_tables_with_425_columns(self):
        # The specification of TPC-DS, revision 3.2, has so many, and four more columns about the database itself (dbgen_version).
        self.assertEqual(len(self.rows), 24)
        self.assertEqual(sum(len(columns) for columns in tpcds.TABLES.values()), 425)

    def test_values_fit_their_columns(self):
        for table, columns in tpcds.TABLES.items():
            self.assertTrue(self.rows[table], table)
            for name, kind in columns.items():
                values = [value for value in self.column(table, name) if value is not None]
                wrong = [value for value in values if type(value) is not TYPES.get(kind, Decimal)]
                self.assertEqual(wrong[:3], [], f"{table}.{name} is {kind}")
                if kind.startswith("decimal"):
                    precision, scale = map(int, kind[8:-1].split(","))
                    most = Decimal(10) ** (precision - scale)
                    self.assertTrue(all(abs(value) < most for value in values), f"{table}.{name}: {max(values)}")

    def test_keys_are_there(self):
        known = {table: set(self.column(table, next(iter(columns)))) for table, columns in tpcds.TABLES.items()}
        for table, columns in tpcds.TABLES.items():
            for name in list(columns)[1:]:
                target = next((to for end, to in tpcds.KEYS.items() if name.endswith(end)), None)
                if target and not name.endswith(BEYOND):
                    unknown = set(self.column(table, name)) - known[target] - {None}
                    self.assertEqual(sorted(unknown)[:3], [], f"{table}.{name} is no key of {target}")

    def test_what_comes_back_was_sold(self):
        for returns, sales, r, s in [
            ("store_returns", "store_sales", "sr_ticket_number", "ss_ticket_number"),
            ("catalog_returns", "catalog_sales", "cr_order_number", "cs_order_number"),
            ("web_returns", "web_sales", "wr_order_number", "ws_order_number"),
        ]:
            sold = set(zip(self.column(sales, s), self.column(sales, f"{s[:2]}_item_sk")))
            back = list(zip(self.column(returns, r), self.column(returns, f"{r[:2]}_item_sk")))
            self.assertTrue(back)
            self.assertEqual(set(back) - sold, set())
            self.assertEqual(len(set(back)), len(back))

    def test_the_same_rows_come_each_time(self):
        self.assertEqual(tpcds.make(), self.rows)


if __name__ == "__main__":
    unittest.main()
