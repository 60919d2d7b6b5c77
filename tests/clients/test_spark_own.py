"""Random queries in the language that MaxCompute and Spark share, and Spark's answers to them.

An answer that is not Spark's has a reason in `spark_engine.py`, or is wrong. `FEITIAN_TEST_QUERIES`, `FEITIAN_TEST_SEED` and
`FEITIAN_TEST_QUERY` are those of `test_differential.py`.
"""

import os
import shutil
import tempfile
import time

import differential
import random_sql
import spark_oracle
from differential_run import LONG, DifferentialCase
from random_more import More
from random_sql import SPARK
from spark_engine import Spark

QUERIES = int(os.environ.get("FEITIAN_TEST_QUERIES") or (3_000 if LONG else 250))
SEED = os.environ.get("FEITIAN_TEST_SEED") or (str(int(time.time())) if LONG else "spark")


class DifferentialSpark(DifferentialCase):
    """One thread asks both: Spark has one worker."""

    maker = More
    # The explained ones are not among them, and the short form has few.
    share = 1 / 5

    def setUp(self):
        super().setUp()
        scratch = tempfile.mkdtemp(prefix="feitian-spark-")
        self.addCleanup(shutil.rmtree, scratch, ignore_errors=True)
        self.spark = spark_oracle.session(scratch)
        self.addCleanup(self.spark.stop)
        self.both = differential.Engines(self.runner(), Spark(self.spark))

    def engines(self):
        return self.both

    def create(self, table, rows):
        for sql in random_sql.creation(table, rows, SPARK):
            self.spark.sql(sql)

    def test_random_queries_have_sparks_answers_or_a_reason(self):
        skipped = self.compare(SEED, QUERIES, 1, f"Spark {self.spark.version}")
        self.assertEqual(skipped, [], "Spark refuses what no reason explains")
