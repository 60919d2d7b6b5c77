"""While heavy queries have all cores, small questions are answered before those end. `bench_load.py` says how soon."""

import unittest

import harness
import load


class Load(harness.ClientCase):
    def answered_beside(self, queries):
        name = self.numbers(load.ROWS)
        jobs = []
        for _ in range(queries):
            jobs.append(load.start(self.o, name))
            self.addCleanup(load.end, jobs[-1])
        load.ask(self.server, self.o)
        over = [job.get_task_results() for job in jobs if job.is_terminated(retry=False)]
        # Before `tearDown`, whose DROP TABLE would wait for a place in the queue.
        for job in jobs:
            load.end(job)
        self.assertEqual(over, [], "a query was over too early: the questions had to wait for it, or it was no load")

    def test_beside_a_join_of_everything_with_everything(self):
        self.answered_beside(1)

    def test_beside_as_many_queries_as_may_run(self):
        self.answered_beside(load.MOST_QUERIES)


if __name__ == "__main__":
    unittest.main()
