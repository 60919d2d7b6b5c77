"""Jobs as PyODPS sees them: submitted, waited for, read, stopped, listed, and failing with codes and positions.

Expected values follow by arithmetic; failure codes are those of odps/errors.py.
"""

import unittest
import uuid

from odps import errors

from harness import ClientCase, wait_for


class Instances(ClientCase):
    def test_a_query_is_read_typed_and_as_text(self):
        job = self.o.execute_sql("SELECT 1 AS a, 'x' AS b, CAST(NULL AS STRING) AS c, 1.5 AS d")
        self.assertTrue(job.is_successful())
        with job.open_reader(tunnel=True) as reader:
            self.assertEqual(reader.count, 1)
            self.assertEqual([c.name for c in reader.schema.columns], ["a", "b", "c", "d"])
            self.assertEqual([tuple(r.values) for r in reader], [(1, "x", None, 1.5)])
        with job.open_reader(tunnel=False) as reader:
            # Without the tunnel the client gives texts.
            self.assertEqual([tuple(r.values) for r in reader], [("1", "x", None, "1.5")])

    def test_whole_numbers_are_int_or_bigint_by_size(self):
        # MaxCompute documentation, data type edition 2.0: an integer literal is INT, beyond its range BIGINT.
        job = self.o.execute_sql("SELECT 1 AS a, 3000000000 AS b, 1L AS c")
        with job.open_reader(tunnel=True) as reader:
            self.assertEqual([c.type.name for c in reader.schema.columns], ["int", "bigint", "bigint"])

    def test_results_are_read_in_ranges_and_again(self):
        name = self.numbers(1_000)
        job = self.o.execute_sql(f"SELECT n FROM {name} ORDER BY n LIMIT 1000")
        with job.open_reader(tunnel=True) as reader:
            self.assertEqual([r[0] for r in reader[10:20]], list(range(10, 20)))
            self.assertEqual([r[0] for r in reader.read(start=995)], list(range(995, 1_000)))
        again = self.server.entry().get_instance(job.id)
        with again.open_reader(tunnel=True) as reader:
            self.assertEqual(sum(r[0] for r in reader), 1_000 * 999 // 2)

    def test_large_results_arrive_whole(self):
        name = self.numbers(60_000)
        with self.o.execute_sql(f"SELECT n, s FROM {name}").open_reader(tunnel=True) as reader:
            self.assertEqual(reader.count, 60_000)
            self.assertEqual(sorted(tuple(r.values) for r in reader), [(n, f"row {n}") for n in range(60_000)])

    def test_an_empty_result_has_columns_and_no_rows(self):
        name = self.numbers(1)
        for arrow in (False, True):
            with self.subTest(arrow=arrow):
                job = self.o.execute_sql(f"SELECT n, s FROM {name} WHERE n < 0")
                with job.open_reader(tunnel=True, arrow=arrow) as reader:
                    self.assertEqual([c.name for c in reader.schema.columns], ["n", "s"])
                    self.assertEqual(list(reader), [])

    def test_grouping_joins_and_windows_compute(self):
        name = self.numbers(100)
        groups = self.query(f"SELECT n % 10 AS k, COUNT(*) AS c, SUM(n) AS t FROM {name} GROUP BY n % 10 ORDER BY k LIMIT 10")
        # k, k+10, ..., k+90 sum to 10k + 450.
        self.assertEqual(groups, [(k, 10, 10 * k + 450) for k in range(10)])
        joined = self.query(f"SELECT COUNT(*) FROM {name} a JOIN {name} b ON a.n = b.n + 1")
        self.assertEqual(joined, [(99,)])
        ranked = self.query(
            f"SELECT n, ROW_NUMBER() OVER (PARTITION BY n % 2 ORDER BY n DESC) AS r FROM {name} ORDER BY n LIMIT 2"
        )
        self.assertEqual(ranked, [(0, 50), (1, 50)])

    def test_insert_and_overwrite_change_what_is_read(self):
        table = self.table("n bigint", "pt string")
        name = table.name
        self.o.execute_sql(f"INSERT INTO TABLE {name} PARTITION (pt='a') VALUES (1), (2)")
        self.o.execute_sql(f"INSERT INTO TABLE {name} PARTITION (pt='a') SELECT 3")
        self.assertEqual(sorted(self.rows(table, partition="pt=a")), [(1, "a"), (2, "a"), (3, "a")])
        self.o.execute_sql(f"INSERT OVERWRITE TABLE {name} PARTITION (pt='a') SELECT n * 10 FROM {name} WHERE pt = 'a'")
        self.assertEqual(sorted(self.rows(table, partition="pt=a")), [(10, "a"), (20, "a"), (30, "a")])

    def test_dynamic_partitions_are_made_as_needed(self):
        table = self.table("n bigint", "pt string")
        source = self.numbers(6)
        self.o.execute_sql(
            f"INSERT OVERWRITE TABLE {table.name} PARTITION (pt) SELECT n, CONCAT('p', CAST(n % 3 AS STRING)) FROM {source}"
        )
        self.assertEqual([str(p.partition_spec) for p in table.partitions], ["pt='p0'", "pt='p1'", "pt='p2'"])
        self.assertEqual(sorted(self.rows(table, partition="pt=p1")), [(1, "p1"), (4, "p1")])

    def test_a_set_statement_before_the_query_holds_for_it(self):
        table = self.table("n bigint", "pt string")
        self.o.write_table(table, [[1]], partition="pt=a", create_partition=True)
        with self.assertRaises(errors.ODPSError):
            self.o.execute_sql(f"SELECT COUNT(*) FROM {table.name}")
        self.assertEqual(self.query(f"SET odps.sql.allow.fullscan=true; SELECT COUNT(*) FROM {table.name}"), [(1,)])

    def test_a_missing_table_fails_with_code_and_position(self):
        with self.assertRaises(errors.ODPSError) as caught:
            self.o.execute_sql("SELECT *\nFROM no_such_table")
        self.assertIn("ODPS-0130131:[2,6]", str(caught.exception))
        self.assertIn("no_such_table", str(caught.exception))

    def test_a_missing_column_fails_with_its_name(self):
        name = self.numbers(1)
        with self.assertRaises(errors.ODPSError) as caught:
            self.o.execute_sql(f"SELECT nothing_here FROM {name}")
        self.assertIn("ODPS-0130071", str(caught.exception))
        self.assertIn("nothing_here", str(caught.exception))

    def test_nonsense_fails_as_a_parse_error(self):
        with self.assertRaises(errors.ParseError):
            self.o.execute_sql("SELEKT 1")

    def test_a_failed_job_stays_failed_and_explains_itself(self):
        job = self.o.run_sql("SELECT * FROM no_such_table")
        job.wait_for_completion()
        self.assertFalse(job.is_successful())
        self.assertEqual(job.status.value, "Terminated")
        (result,) = job.get_task_results().values()
        self.assertTrue(str(result).startswith("FAILED: ODPS-0130131:"), str(result))

    def test_division_is_never_whole_and_overflow_is_an_error(self):
        # MaxCompute documentation, arithmetic operators: `/` gives DOUBLE, BIGINT overflow is an error.
        self.assertEqual(self.query("SELECT 7 / 2"), [(3.5,)])
        table = self.table("n bigint")
        self.o.write_table(table, [[2**63 - 1]])
        with self.assertRaises(errors.ODPSError):
            self.o.execute_sql(f"SELECT n + 1 FROM {table.name}")

    def test_stop_ends_a_running_job(self):
        job = self.endless()
        wait_for("the job's start", lambda: job.get_task_statuses()[job.get_task_names()[0]].status.value == "RUNNING")
        self.assertFalse(job.is_terminated())
        job.stop()
        wait_for("the job's end", job.is_terminated)
        self.assertFalse(job.is_successful())
        with self.assertRaises(errors.InvalidStateSetting):
            job.stop()

    def test_a_running_job_shows_progress_and_has_no_result_yet(self):
        job = self.endless()
        (task,) = job.get_task_names()
        wait_for("a stage", lambda: job.get_task_progress(task).stages)
        self.assertIn("_job_", job.get_task_progress(task).stages[0].name)
        with self.assertRaises(errors.InstanceNotTerminate):
            job.open_reader(tunnel=True)

    def test_an_ended_job_still_shows_its_stage_and_summary(self):
        job = self.o.execute_sql("SELECT 1")
        (task,) = job.get_task_names()
        self.assertGreaterEqual(len(job.get_task_progress(task).stages), 1)
        self.assertIsNotNone(job.get_task_detail(task))
        job.get_task_summary(task)

    def test_a_query_tells_its_stages_and_their_workers(self):
        name = self.numbers(3)
        job = self.o.execute_sql(f"SELECT n % 2, count(*) FROM {name} GROUP BY n % 2")
        (task,) = job.get_task_names()
        stages = job.get_task_progress(task).stages
        # Arithmetic: three rows go in, two groups come out, and all is done.
        self.assertEqual((stages[0].input_records, stages[-1].output_records), (3, 2))
        self.assertEqual({s.finished_percentage for s in stages}, {100})
        workers = job.get_task_workers(task)
        self.assertEqual(len(workers), sum(s.total_workers for s in stages))
        self.assertEqual({w.type for w in workers}, {s.name for s in stages})
        self.assertEqual({w.status for w in workers}, {"Terminated"})
        summary = job.get_task_summary(task)
        self.assertEqual([s["id"] for s in summary["stages"]], [s.name for s in stages])
        self.assertIn("input records: 3", summary.summary_text)

    def test_the_source_is_kept(self):
        job = self.o.execute_sql("SELECT '飞天' AS a -- & <b>", hints={"my.hint": "1"}, priority=3)
        fresh = self.server.entry().get_instance(job.id)
        self.assertIn("SELECT '飞天' AS a -- & <b>", fresh.get_sql_query())
        self.assertEqual(fresh.priority, 3)
        self.assertIn("my.hint", fresh.tasks[0].properties["settings"])

    def test_a_known_guid_gives_the_same_instance_and_runs_once(self):
        table = self.table("n bigint")
        guid = str(uuid.uuid4())
        sql = f"INSERT INTO TABLE {table.name} VALUES (1)"
        jobs = [self.o.run_sql(sql, unique_identifier_id=guid) for _ in range(3)]
        self.assertEqual(len({job.id for job in jobs}), 1)
        jobs[0].wait_for_success()
        self.assertEqual(self.rows(table), [(1,)])

    def test_jobs_are_listed_newest_first(self):
        jobs = [self.o.execute_sql(f"SELECT {n}") for n in range(3)]
        wanted = {job.id for job in jobs}
        listed = [i.id for i in self.o.list_instances(status="Terminated") if i.id in wanted]
        self.assertEqual(listed, [job.id for job in reversed(jobs)])
        self.assertTrue(self.o.exist_instance(jobs[0].id))
        self.assertFalse(self.o.exist_instance("20240101000000000gnosuch"))

    def test_the_cost_of_a_query_is_told_without_running_it(self):
        name = self.numbers(3)
        cost = self.o.execute_sql_cost(f"SELECT * FROM {name}")
        self.assertEqual(cost.udf_num, 0)
        self.assertEqual(cost.complexity, 1.0)
        self.assertGreater(cost.input_size, 0)

    def test_small_file_merges_are_accepted(self):
        name = self.numbers(3)
        self.o.execute_sql(f"ALTER TABLE {name} MERGE SMALLFILES")
        self.assertEqual(sorted(r[0] for r in self.rows(name)), [0, 1, 2])

    def test_what_is_not_supported_is_refused_with_a_position(self):
        name = self.numbers(1)
        for sql in (
            "SELECT no_such_function(1)",
            f"SELECT TRANSFORM(n) USING 'cat' FROM {name}",
        ):
            with self.subTest(sql=sql), self.assertRaises(errors.ODPSError) as caught:
                self.o.execute_sql(sql)
            self.assertRegex(str(caught.exception), r"ODPS-01\d{5}:\[\d+,\d+\]")

    def test_the_result_of_a_statement_without_rows_is_text(self):
        # DB-API and SQLAlchemy rely on this class to fall back to the text.
        name = self.name()
        job = self.o.execute_sql(f"CREATE TABLE {name} (a BIGINT)")
        with self.assertRaises(errors.InstanceTypeNotSupported):
            job.open_reader(tunnel=True)


if __name__ == "__main__":
    unittest.main()
