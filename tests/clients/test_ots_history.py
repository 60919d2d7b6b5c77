"""The judge of histories judges right: those that one row in memory could have, and those that it could not.

Whether a history is linearizable is the definition of Herlihy and Wing, applied by hand to each of these.
"""

import itertools
import random
import unittest

from ots_history import OK, REFUSED, UNKNOWN, NotLinearizable, Operation, check, states_after


def op(kind, start, end, value=None, outcome=OK, expected=None, seen=None):
    return Operation(0, "row", kind, value, expected, start, end, outcome, seen)


def by_hand(operations, states=(None,)):
    """Every order of all of them, one after the other: slow, and too simple to be wrong."""
    for order in itertools.permutations(operations):
        if any(later.end < sooner.start for at, sooner in enumerate(order) for later in order[at + 1 :]):
            continue
        reached = set(states)
        for operation in order:
            reached = {after for state in reached for after in states_after(operation, state)}
        if reached:
            return True
    return False


class Histories(unittest.TestCase):
    def holds(self, *operations):
        self.assertTrue(by_hand(operations))
        return check(list(operations))

    def fails(self, *operations):
        self.assertFalse(by_hand(operations))
        with self.assertRaises(NotLinearizable):
            check(list(operations))

    def test_one_after_the_other(self):
        self.assertEqual(self.holds(op("insert", 1, 2, 5), op("read", 3, 4, seen=5)), {5})
        self.fails(op("put", 1, 2, 5), op("read", 3, 4, seen=None))
        self.fails(op("put", 1, 2, 5), op("put", 3, 4, 6), op("read", 5, 6, seen=5))

    def test_at_the_same_time(self):
        writes = op("put", 1, 10, 5), op("put", 1, 10, 6)
        self.assertEqual(self.holds(*writes), {5, 6})
        self.assertEqual(self.holds(*writes, op("read", 11, 12, seen=5)), {5})
        self.fails(*writes, op("read", 11, 12, seen=5), op("read", 13, 14, seen=6))

    def test_of_two_that_swap_the_same_one_succeeds(self):
        before = op("put", 1, 2, 0)
        one, other = op("swap", 3, 9, 1, OK, 0), op("swap", 3, 9, 2, REFUSED, 0)
        self.assertEqual(self.holds(before, one, other), {1})
        self.fails(before, one, op("swap", 3, 9, 2, OK, 0))
        self.fails(before, op("swap", 3, 9, 1, REFUSED, 0), other)

    def test_a_counter_neither_skips_nor_repeats(self):
        self.assertEqual(self.holds(*[op("add", 1, 9, 1, seen=n) for n in (2, 1, 3)]), {3})
        self.fails(*[op("add", 1, 9, 1, seen=n) for n in (1, 1)])
        self.fails(*[op("add", 1, 9, 1, seen=n) for n in (1, 3)])

    def test_what_was_not_answered_happened_or_not(self):
        lost = op("put", 1, 4, 5, UNKNOWN)
        self.assertEqual(self.holds(lost), {None, 5})
        self.assertEqual(self.holds(lost, op("read", 5, 6, seen=5)), {5})
        self.assertEqual(self.holds(lost, op("read", 5, 6, seen=None)), {None})
        # Not after the server's end.
        self.fails(lost, op("read", 5, 6, seen=None), op("read", 7, 8, seen=5))
        self.assertEqual(self.holds(op("add", 1, 9, 1, UNKNOWN), op("add", 1, 9, 1, seen=2)), {2})
        self.fails(op("add", 1, 3, 1, UNKNOWN), op("add", 4, 9, 1, seen=3))

    def test_what_was_refused_is_never_seen(self):
        self.fails(op("put", 1, 2, 1), op("insert", 3, 4, 2, REFUSED), op("read", 5, 6, seen=2))
        self.fails(op("insert", 1, 2, 2, REFUSED))
        self.assertEqual(self.holds(op("delete", 1, 2, None, REFUSED)), {None})

    def test_random_ones_are_judged_as_by_trying_every_order(self):
        choice = random.Random(7)
        told = {True: 0, False: 0}
        for _ in range(3000):
            operations = []
            for _ in range(choice.randint(2, 5)):
                start = choice.randint(0, 8)
                kind = choice.choice(["read", "put", "insert", "swap", "add", "delete"])
                outcome = OK if kind in ("read", "put", "add") else choice.choice([OK, REFUSED])
                outcome = choice.choice([outcome, outcome, UNKNOWN])
                value, seen = choice.randint(1, 2), choice.choice([None, 1, 2, 3])
                end = start + choice.randint(1, 6)
                operations.append(op(kind, start, end, value, outcome, choice.randint(1, 2), seen))
            wanted = by_hand(operations)
            told[wanted] += 1
            try:
                check(operations)
                found = True
            except NotLinearizable:
                found = False
            self.assertEqual(found, wanted, "\n".join(map(str, operations)))
        self.assertGreater(min(told.values()), 300, "both kinds must be among them")


if __name__ == "__main__":
    unittest.main()
