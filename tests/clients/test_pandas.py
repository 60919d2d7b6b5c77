"""pandas frames in and out, through tables and query results.

Expected values are the frames written.
"""

import unittest

import numpy as np
import pandas as pd

from harness import ClientCase


def frame():
    return pd.DataFrame(
        {
            "n": np.arange(1_000, dtype="int64"),
            "x": np.arange(1_000) / 8.0,
            "s": [f"row {n}" if n % 5 else None for n in range(1_000)],
            "b": [n % 2 == 0 for n in range(1_000)],
            "t": pd.date_range("2024-01-01", periods=1_000, freq="37min"),
        }
    )


class Pandas(ClientCase):
    def same(self, found, expected):
        """Equal columns and values; the client is free in how it represents text and missing values."""
        self.assertEqual(list(found.columns), list(expected.columns))
        plain = lambda f: [tuple(None if pd.isna(v) else v for v in row) for row in f.itertuples(index=False)]
        self.assertEqual(plain(found), plain(expected))

    def test_a_frame_makes_a_table_and_comes_back(self):
        name = self.name()
        self.o.write_table(name, frame(), create_table=True)
        self.assertEqual(
            [(c.name, c.type.name) for c in self.o.get_table(name).table_schema.columns],
            [("n", "bigint"), ("x", "double"), ("s", "string"), ("b", "boolean"), ("t", "datetime")],
        )
        self.same(self.o.get_table(name).to_pandas(), frame())

    def test_a_table_is_read_by_columns_ranges_and_batches(self):
        name = self.name()
        self.o.write_table(name, frame(), create_table=True)
        table = self.o.get_table(name)
        self.same(table.to_pandas(columns=["s", "n"]), frame()[["s", "n"]])
        self.same(table.to_pandas(start=100, count=50), frame()[100:150])
        batches = list(table.iter_pandas(batch_size=300))
        self.assertEqual([len(batch) for batch in batches], [300, 300, 300, 100])
        self.same(pd.concat(batches), frame())

    def test_a_table_is_read_by_several_threads(self):
        name = self.name()
        self.o.write_table(name, frame(), create_table=True)
        self.same(self.o.get_table(name).to_pandas(n_thread=4), frame())

    def test_a_frame_is_spread_over_partitions(self):
        name = self.name()
        data = frame()[["n", "s"]].assign(pt=lambda f: (f["n"] % 3).map("p{}".format))
        self.o.create_table(name, ("n bigint, s string", "pt string"))
        self.o.write_table(name, data, partition_cols=["pt"], create_partition=True)
        table = self.o.get_table(name)
        self.assertEqual([str(p.partition_spec) for p in table.partitions], ["pt='p0'", "pt='p1'", "pt='p2'"])
        self.same(table.to_pandas(partition="pt=p1"), data[data["n"] % 3 == 1][["n", "s"]])

    def test_a_query_result_is_a_frame(self):
        name = self.name()
        self.o.write_table(name, frame(), create_table=True)
        job = self.o.execute_sql(f"SELECT n, x, s FROM {name} WHERE n < 10 ORDER BY n LIMIT 10")
        with job.open_reader(tunnel=True) as reader:
            self.same(reader.to_pandas(), frame()[["n", "x", "s"]][:10])
        with job.open_reader(tunnel=True, arrow=True) as reader:
            self.same(reader.to_pandas(), frame()[["n", "x", "s"]][:10])

    def test_a_frame_appended_to_a_table_adds_its_rows(self):
        name = self.name()
        self.o.write_table(name, frame()[:10], create_table=True)
        self.o.write_table(name, frame()[10:20])
        found = self.o.get_table(name).to_pandas().sort_values("n")
        self.same(found, frame()[:20])


if __name__ == "__main__":
    unittest.main()
