"""Many random queries asked of feitian and of another engine: a test case that counts the answers and shows the wrong ones."""

import collections
import os
from concurrent.futures import ThreadPoolExecutor

import differential
import random_sql
from harness import ClientCase
from random_sql import OURS

LONG = bool(os.environ.get("FEITIAN_TEST_LONG"))
# So many queries share their tables.
SHARED = 250
TABLES = 5
# So many failures are made small and shown.
SHOWN = 4


def names(seed):
    return [f"r{seed}_{at}".replace("-", "_") for at in range(TABLES)]


def wanted(seed, count):
    """The seed and the number of each query: `count` of them, or the one of FEITIAN_TEST_QUERY."""
    if one := os.environ.get("FEITIAN_TEST_QUERY"):
        of, _, number = one.rpartition(":")
        return [(of, int(number))]
    return [(f"{seed}-{n // SHARED}", n % SHARED) for n in range(count)]


class DifferentialCase(ClientCase):
    """What both engines are is said by `engines`, which is asked in every thread, and by `create`."""

    maker = random_sql.Maker
    # So many queries find rows, at the least.
    share = 1 / 3

    def create(self, table, rows):
        """Makes a table of the other engine."""
        raise NotImplementedError

    def engines(self):
        raise NotImplementedError

    def runner(self):
        """What gives feitian's result of a query as CSV."""
        entry = self.server.entry()

        def run(sql, hints):
            with entry.execute_sql(sql, hints=hints).open_reader(tunnel=False) as reader:
                return reader.raw

        return run

    def fill(self, seed):
        """The tables of a seed in both engines."""
        tables = [self.name("random") for _ in range(TABLES)]
        # The rows are those of the seed whatever the tables are called.
        for table, rows in zip(tables, random_sql.universe(seed, names(seed)).values()):
            for sql in random_sql.creation(table, rows, OURS):
                self.o.execute_sql(sql)
            self.create(table, rows)
        return tables

    def compare(self, seed, count, threads, version):
        """Asks both engines and fails if an answer is neither the same nor explained."""
        seeds = wanted(seed, count)
        counts, explained, skipped, failed = collections.Counter(), collections.Counter(), [], []
        with ThreadPoolExecutor(threads) as pool:
            for of in dict.fromkeys(one for one, _ in seeds):
                tables = self.fill(of)
                numbers = [number for one, number in seeds if one == of]
                queries = [random_sql.query(of, number, tables, self.maker) for number in numbers]
                ways = [differential.way(number) for number in numbers]
                answers = pool.map(lambda query, way: self.engines().ask(query, way), queries, ways)
                for number, query, found in zip(numbers, queries, answers):
                    counts[found.word] += 1
                    if found.explained:
                        explained[found.explained] += 1
                    if found.skipped:
                        which = self.engines().other.which
                        skipped.append(f"{of}:{number}: {query.text(which)}\n{found.skipped}")
                    if found.wrong:
                        failed.append((of, number, query, found))
                        if len(failed) <= SHOWN:
                            self.show(*failed[-1])
                        else:
                            print(f"{of}:{number}: {' '.join(found.wrong.split())[:300]}", flush=True)
        share = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        # What follows `proof: ` is kept of a long run.
        print(f"proof: seed {seed}: {sum(counts.values())} random queries, {version}: {share}", flush=True)
        for name, times in sorted(explained.items()):
            print(f"proof: explained {times} times: {name}", flush=True)
        again = [f"FEITIAN_TEST_QUERY={of}:{number}" for of, number, _, _ in failed]
        self.assertEqual(again, [], f"{len(failed)} answers are not those of {version}")
        if len(seeds) > 1:
            # A generator whose queries are mostly refused, or find nothing, would prove little.
            self.assertLess(len(skipped), len(seeds) / 50, "\n\n".join(["too many are refused", *skipped[:5]]))
            self.assertGreater(counts["with rows"], len(seeds) * self.share, "too few queries find rows")
        return skipped

    def show(self, seed, number, query, found):
        way, engines = differential.way(number), self.engines()
        # An answer that changes from run to run is another fault than a wrong one.
        again = engines.ask(query, way)
        small, wrong = engines.shrink(query, way, found)
        which, name = engines.other.which, engines.other.name
        for line in (
            f"seed {seed}, query {number}, as it was made, with {way}:\n{query.text(OURS)}",
            f"and in {name}'s spelling:\n{query.text(which)}",
            f"{found.wrong}\nasked again it is {again.word}",
            f"made small:\n{small.text(OURS)}\nand:\n{small.text(which)}",
            wrong.wrong,
        ):
            print(line + "\n", flush=True)
