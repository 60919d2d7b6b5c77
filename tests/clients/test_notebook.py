"""What a notebook asks of a job while people watch it: PyODPS's progress groups, its progress log, and the %sql magic.

Expected values follow by arithmetic, or are what odps/ui/progress.py and odps/ipython/magics.py make of them.
"""

import io
import json
import types
import unittest
from contextlib import redirect_stderr, redirect_stdout

from odps import errors, options
from odps.ipython.magics import ODPSSql
from odps.models import Instance
from odps.ui import create_instance_group, fetch_instance_group, reload_instance_status

from harness import ClientCase, wait_for


class Notebook(ClientCase):
    def option(self, name, value):
        """Sets one of PyODPS's options for the time of a test."""
        *path, last = name.split(".")
        holder = options
        for part in path:
            holder = getattr(holder, part)
        self.addCleanup(setattr, holder, last, getattr(holder, last))
        setattr(holder, last, value)



class Groups(Notebook):
    def test_a_group_follows_its_jobs_until_they_end(self):
        group = create_instance_group("two jobs")
        running, done = self.endless(), self.o.execute_sql("SELECT 1 AS a")

        def shown():
            for job in (running, done):
                reload_instance_status(self.o, group, job.id)
            return fetch_instance_group(group).instances

        found = wait_for("the running job's stages", lambda: shown() if stages(shown()[running.id]) else None)
        self.assertEqual(found[done.id].status, Instance.Status.TERMINATED)
        self.assertEqual(found[running.id].status, Instance.Status.RUNNING)
        self.assertIn(running.id, found[running.id].logview)
        (task,) = found[running.id].tasks.values()
        self.assertEqual(task.status, Instance.Task.TaskStatus.RUNNING)
        self.assertIn("_job_", task.get_stage_progress_formatted_string())
        # What the widget in the browser is sent.
        sent = json.loads(fetch_instance_group(group).serialize())
        self.assertEqual({i["id"] for i in sent["instances"]}, {running.id, done.id})
        self.assertEqual(sent["name"], "two jobs")
        running.stop()
        wait_for("the end", lambda: shown()[running.id].status == Instance.Status.TERMINATED)

    def test_the_stages_of_an_ended_job_are_all_done(self):
        table = self.table("n bigint")
        self.o.write_table(table, [[n] for n in range(10)])
        job = self.o.execute_sql(f"SELECT n % 3 AS k, COUNT(*) AS c FROM {table.name} GROUP BY n % 3")
        (progress,) = job.get_all_task_progresses().values()
        self.assertGreaterEqual(len(progress.stages), 1)
        for stage in progress.stages:
            self.assertEqual((stage.finished_percentage, stage.running_workers), (100, 0))
            self.assertEqual(stage.terminated_workers, stage.total_workers)
        self.assertEqual((progress.stages[0].input_records, progress.stages[-1].output_records), (10, 3))
        self.assertIn("[100%]", progress.get_stage_progress_formatted_string())

    def test_waiting_aloud_logs_the_logview_and_the_stages(self):
        logged = []

        def note(message):
            logged.append(message)
            if "_job_" in message:
                self.end(job)

        for name, value in {"verbose": True, "verbose_log": note, "progress_time_interval": 0.01}.items():
            self.option(name, value)
        job = self.endless()
        with self.assertRaises(errors.ODPSError):
            job.wait_for_success(interval=0.05, blocking=False)
        text = "\n".join(logged)
        self.assertIn(f"Instance ID: {job.id}", text)
        self.assertIn("_job_", text)


def stages(shown):
    return [stage for task in shown.tasks.values() for stage in task.stages]


class Magic(Notebook):
    """`%%sql` of PyODPS's IPython extension, called as IPython calls it. Its shell is the names of a notebook's user."""

    def setUp(self):
        super().setUp()
        self.shell = types.SimpleNamespace(user_ns={}, register_magics=lambda magics: None)
        self.magic = ODPSSql(shell=None)
        self.magic.shell = self.shell
        self.magic._odps = self.o
        self.printed = io.StringIO()

    def sql(self, line, cell=""):
        with redirect_stdout(self.printed), redirect_stderr(self.printed):
            return self.magic.execute(line, cell)

    def test_a_cell_is_run_and_its_rows_become_a_frame(self):
        table = self.table("n bigint, s string")
        self.o.write_table(table, [[1, "a"], [2, "b"], [3, None]])
        frame = self.sql("", f"SELECT n, s FROM {table.name}\nORDER BY n LIMIT 2;").values
        self.assertEqual(frame["n"].tolist(), [1, 2])
        self.assertEqual(frame["s"].tolist(), ["a", "b"])

    def test_names_of_the_notebook_are_put_into_the_text(self):
        self.shell.user_ns["limit"], self.shell.user_ns["word"] = 2, "it's"
        self.shell.user_ns["some"] = [1, 3]
        frame = self.sql("SELECT :limit + 1 AS n, :word AS s, 3 IN :some AS b").values
        self.assertEqual(frame.values.tolist(), [[3, "it's", True]])

    def test_settings_before_the_query_are_hints_of_the_job(self):
        table = self.table("n bigint", "pt string")
        self.o.write_table(table, [[4]], partition="pt=1", create_partition=True)
        frame = self.sql("", f"set odps.sql.allow.fullscan=true;\nSELECT n FROM {table.name};").values
        self.assertEqual(frame["n"].tolist(), [4])

    def test_statements_without_rows_show_their_text(self):
        name = self.name()
        self.sql(f"CREATE TABLE {name} (a BIGINT)")
        self.assertIn(name, str(self.sql("SHOW TABLES")))
        self.assertIn("bigint", str(self.sql(f"DESC {name}")))

    def test_an_error_is_raised_with_its_code(self):
        with self.assertRaisesRegex(Exception, "ODPS-0130131"):
            self.sql("SELECT * FROM no_such_table")


if __name__ == "__main__":
    unittest.main()
