"""The Python SDK's own tests of Tablestore, from the source archive of its version 6.1.0 on PyPI, against feitian: once with
that SDK and once with the newest one.

FEITIAN_TEST_OTS_SOURCE is the archive, FEITIAN_TEST_OTS_NEWEST the interpreter that has the newest SDK. What is expected was
written by the SDK's authors. 56 of the first 76 tests reach the server, and the two of indexes; all others of theirs are about
search indexes, time series and SQL. `ots_sdk_run.py` runs them, in a process of their own. A test that is listed here and did
not run has failed.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

import harness
import ots
import ots_raw

# What the archive has of each module, without `test_`.
TESTS = {
    "row_op_test": """
        pk_name_not_match pk_value_type_not_match pk_num_not_match pk_order_insensitive all_the_types
        row_op_with_binary_type_pk columns_to_get_semantics CU_consumed_for_whole_row get_row_miss update_row_when_row_exist
        update_row_when_value_type_changed update_row_but_expect_row_not_exist delete_row_but_expect_row_not_exist
        get_range_less_than_4K max_data_size_row batch_get_on_the_same_row batch_write_on_the_same_row no_item_in_batch_ops
        no_table_in_batch_ops get_range_when_direction_is_wrong_for_1_PK all_the_ranges_for_2_PK 4_PK_range empty_range
        get_range_limit_invalid all_item_in_batch_write_row_failed one_delete_in_update all_delete_in_update
        one_delete_in_update_of_batch_write all_delete_in_update_of_batch_write bytearray""",
    "table_operation_test": """
        delete_existing_table create_table_already_exist create_table_with_sequence duplicate_PK_name_in_table_meta PK_option
        PK_type create_table_again CU_not_messed_up_with_two_tables create_table_with_CU create_table_with_secondary_index
        create_secondary_index""",
    "filter_and_condition_update_unitttest": """
        update_row put_row get_row delete_row batch_write_row batch_get_row get_range""",
    "transaction_test": """
        put_row_abort put_row_commit update_row_abort update_row_commit batch_write_row_abort batch_write_row_commit
        delete_row_abort delete_row_commit invalid_transaction_id""",
    "sdk_param_unittest": """
        list_table create_table delete_table update_table describe_table put_row get_row update_row delete_row
        delete_row_compatible batch_get_row batch_write_row get_range xget_range condition column_condition
        relation_condition composite_condition""",
    "decoder_unittest": "decode_timeseries_tag_or_attribute",
    "enum_test": "IntEnum_equal_int",
    "timeseries_flat_buffer_unittest": "flat_buffer_encode",
}
# 76, and the two of secondary indexes in table_operation_test.
COUNT = 78

# The words that this one compares are the older client's own: the newer client refuses before it sends anything.
NOT_THE_NEWEST = ("table_operation_test", "PK_type")

LIMIT_S = 600


def unpacked(archive):
    """A new folder with the archive's folder `tests`."""
    folder = tempfile.mkdtemp(prefix="feitian-ots-sdk-")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (inside,) = os.listdir(folder)
    # Beside the tests lies the SDK of the archive: the installed one is meant.
    shutil.move(os.path.join(folder, inside, "tests"), os.path.join(folder, "tests"))
    shutil.rmtree(os.path.join(folder, inside))
    return folder


class OfSdk(unittest.TestCase):
    """Runs everything once for each interpreter; the tests below say what became of each."""

    python = None

    @classmethod
    def setUpClass(cls):
        if cls.python is None:
            raise AssertionError("the interpreter of the SDK is not known")
        cls.server = harness.Server(meta=harness.new_database()).start()
        cls.addClassCleanup(cls.server.close)
        folder = unpacked(os.environ["FEITIAN_TEST_OTS_SOURCE"])
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.outcomes, cls.printed = cls.run_all(folder)

    @classmethod
    def run_all(cls, folder):
        instance = ots.new_instance(cls.server)
        # It must be there with transactions, which this SDK cannot ask for.
        keys = [("PK0", ots_raw.INTEGER), ("PK1", ots_raw.STRING)]
        wire = ots.wire(cls.server, instance)
        wire.ask("CreateTable", ots_raw.create_table("TransactionTable", keys, transactions=True))
        wire.close()
        login = cls.server.credentials()
        environment = os.environ | {
            "OTS_TEST_ACCESS_KEY_ID": login["access_id"],
            "OTS_TEST_ACCESS_KEY_SECRET": login["secret"],
            "OTS_TEST_ENDPOINT": ots.endpoint(cls.server),
            "OTS_TEST_INSTANCE": instance,
        }
        results = os.path.join(folder, "results")
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ots_sdk_run.py")
        done = subprocess.run(
            [cls.python, "-B", program, folder, results, *TESTS],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
        )
        outcomes = {}
        if os.path.exists(results):
            with open(results, encoding="utf-8") as lines:
                outcomes = {found["test"]: found for found in map(json.loads, lines)}
        return outcomes, done.stdout[-4000:]

    def says(self, test):
        found = self.outcomes.get(test)
        if found is None:
            self.fail(f"{test} was not run:\n{self.printed}")
        self.assertEqual(found["outcome"], "ok", found["text"])


def tests_of(name, python, left_out=()):
    """A class with a test for each of the SDK's, with the interpreter that the function `python` names."""

    def set_up(cls):
        cls.python = python()
        super(made, cls).setUpClass()

    def check(test):
        return lambda self: self.says(test)

    tests = {"setUpClass": classmethod(set_up), "__module__": __name__}
    for module, names in TESTS.items():
        for test in names.split():
            if (module, test) not in left_out:
                tests[f"test_{module}_{test}"] = check(f"{module}.test_{test}")
    made = type(name, (OfSdk,), tests)
    return made


Sdk610 = tests_of("Sdk610", lambda: sys.executable)
SdkNewest = tests_of("SdkNewest", lambda: os.environ["FEITIAN_TEST_OTS_NEWEST"], [NOT_THE_NEWEST])
# Only the two classes made of it are tests.
del OfSdk


class TheList(unittest.TestCase):
    def test_it_names_every_test_once(self):
        names = [f"{module}.{test}" for module, tests in TESTS.items() for test in tests.split()]
        self.assertEqual(len(names), COUNT)
        self.assertEqual(len(set(names)), COUNT)


if __name__ == "__main__":
    unittest.main()
