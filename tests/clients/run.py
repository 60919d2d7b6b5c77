"""Runs client test modules and ends with a line `N passed, N failed`: `python run.py [--only TEXT] MODULE...`.

Without modules all of them run but those named `*_own`, which are stages of their own. A name that is no module stands
for all modules that begin with it: `test_survives` for `test_survives_load` and others. A skipped test counts as failed:
what cannot run has not been shown to work.
"""

import argparse
import os
import sys
import time
import unittest

# A zone far from UTC shows every place where an instant and a wall clock are mistaken for each other. feitian's default
# project has the same zone, so that texts made by SQL and values made by the client can be compared.
os.environ["TZ"] = "Asia/Shanghai"
time.tzset()

import harness  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


class Result(unittest.TestResult):
    """Prints one line for each test as it ends, and what failed in full."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self.failed = 0

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()

    def _line(self, test, word):
        print(f"test {test.id()} ... {word} ({time.monotonic() - self._started:.2f} s)", flush=True)

    def addSuccess(self, test):
        self.passed += 1
        self._line(test, "ok")

    def _fail(self, test, error):
        self.failed += 1
        self._line(test, "FAILED")
        print(self._exc_info_to_string(error, test), flush=True)

    def addFailure(self, test, err):
        self._fail(test, err)

    def addError(self, test, err):
        if not hasattr(self, "_started"):
            self._started = time.monotonic()
        self._fail(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._fail(subtest, err)

    def addSkip(self, test, reason):
        self.failed += 1
        self._line(test, f"SKIPPED, which counts as failed: {reason}")

    def addUnexpectedSuccess(self, test):
        self.failed += 1
        self._line(test, "FAILED: it was expected to fail")


def selected(suite, text):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from selected(item, text)
        elif text in item.id():
            yield item


def modules(names):
    """The modules that these names mean; without names all but those that are stages of their own."""
    known = sorted(f[:-3] for f in os.listdir(HERE) if f.startswith("test_") and f.endswith(".py"))
    if not names:
        return [module for module in known if not module.endswith("_own")]
    meant = []
    for name in names:
        meant += [name] if name in known else [module for module in known if module.startswith(f"{name}_")] or [name]
    return meant


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="for example test_tunnel")
    parser.add_argument("--only", default="", metavar="TEXT", help="run only tests whose name contains this")
    arguments = parser.parse_args()
    sys.path.insert(0, HERE)
    found = unittest.defaultTestLoader.loadTestsFromNames(modules(arguments.modules))
    suite = unittest.TestSuite(selected(found, arguments.only))
    result = Result()
    try:
        suite.run(result)
    finally:
        harness.close_shared()
    print(f"{result.passed} passed, {result.failed} failed")
    return 0 if result.failed == 0 and result.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
