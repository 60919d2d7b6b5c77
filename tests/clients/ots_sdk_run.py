"""Runs test modules of the Tablestore SDK where it is installed, with time made short: a JSON line for each test.

    python ots_sdk_run.py FOLDER RESULTS MODULE...

FOLDER holds the SDK's folder `tests`. A test waits for minutes where the service needs them (row_op_test alone for 38): waits
of a second or more are made a hundred times shorter. Shorter ones stay: they are polls.
"""

import json
import os
import shutil
import sys
import time
import unittest

import tablestore


def hurry():
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(seconds if seconds < 1 else seconds / 100)


class Result(unittest.TestResult):
    """Writes what became of each test."""

    def __init__(self, out):
        super().__init__()
        self.out = out

    def write(self, test, outcome, text=""):
        # `tests.row_op_test.RowOpTest.test_bytearray`
        _, module, _, name = test.id().split(".")
        self.out.write(json.dumps({"test": f"{module}.{name}", "outcome": outcome, "text": text}) + "\n")
        self.out.flush()

    def addSuccess(self, test):
        self.write(test, "ok")

    def addFailure(self, test, err):
        self.write(test, "failed", self._exc_info_to_string(err, test))

    addError = addFailure

    def addSkip(self, test, reason):
        self.write(test, "skipped", reason)


def main():
    folder, results, *modules = sys.argv[1:]
    # Two modules import these packages as top-level ones; the SDK's set-up script copies them there, too.
    inside = os.path.join(os.path.dirname(tablestore.__file__), "flatbuffer")
    for package in ("dataprotocol", "timeseries"):
        if os.path.isdir(os.path.join(inside, package)):
            shutil.copytree(os.path.join(inside, package), os.path.join(folder, package), dirs_exist_ok=True)
    # They write logs where they are.
    os.chdir(folder)
    sys.path.insert(0, folder)
    hurry()
    suite = unittest.defaultTestLoader.loadTestsFromNames([f"tests.{module}" for module in modules])
    with open(results, "w", encoding="utf-8") as out:
        suite.run(Result(out))


if __name__ == "__main__":
    main()
