"""The console as a browser uses it: a session of `requests`, forms, and files that other programs read."""

import csv
import html
import io
import os
import re
import shlex
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

import duckdb
import requests

from harness import ClientCase, unique

UPLOAD = "/console/projects/demo/upload"
COMPAT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "compat.md")
# A tag, quotes that would end an attribute, and a mark that turns the direction of what follows.
HOSTILE = "<script>alert(1)</script>\"'&\u202e"
# The same as text of HTML: the five characters escaped (OWASP, "Cross Site Scripting Prevention"), the mark by its number.
HARMLESS = "&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;\\u{202e}"


class Browser(requests.Session):
    """A browser on one server. Like a real one it says with every POST where it comes from."""

    def __init__(self, server):
        super().__init__()
        self.base = server.endpoint[: -len("/api")]
        self.headers["Origin"] = self.base

    def open(self, path, **kwargs):
        return self.get(self.base + path, timeout=60, allow_redirects=False, **kwargs)

    def submit(self, path, data=None, **kwargs):
        return self.post(self.base + path, data=data, timeout=60, allow_redirects=False, **kwargs)

    def sign_in(self, access_id, secret, sts_token=""):
        fields = {"access_id": access_id, "secret": secret, "sts_token": sts_token, "next": "/console"}
        return self.submit("/console/login", fields)

    def run(self, project, sql):
        """Submits `sql` and returns the path of its job's page."""
        answer = self.submit(f"/console/projects/{project}/sql", {"text": sql})
        assert answer.status_code == 303, (answer.status_code, answer.text)
        return answer.headers["Location"]

    def form(self, path):
        """The id of a fresh form for loading a file."""
        return re.search(r'name="form" value="([0-9a-z]+)"', self.open(path).text).group(1)

    def ended(self, job):
        """The job as JSON, once it has ended."""
        while True:
            answer = self.open(job + "/state?wait_ms=5000", headers={"Accept": "application/json"})
            assert answer.status_code == 200, (answer.status_code, answer.text)
            if answer.json()["state"] not in ("Waiting", "Running"):
                return answer.json()


def shown_size(count):
    """A number of bytes as the console shows it: IEC 80000-13, 1 KiB is 1024 bytes."""
    if count < 1024:
        return f"{count} B"
    value = count / 1024
    return f"{value:.1f} KiB" if value < 10 else f"{value:.0f} KiB"


def routes():
    """Method and path of every page of the console, from the page of all operations."""
    with open(COMPAT, encoding="utf-8") as page:
        return re.findall(r"`(GET|POST) (/console[^`]*)`", page.read())


class Console(ClientCase):
    def owner(self):
        """A browser in which the first account has signed in."""
        browser, login = Browser(self.server), self.server.credentials()
        answer = browser.sign_in(login["access_id"], login["secret"])
        self.assertEqual((answer.status_code, answer.headers["Location"]), (303, "/console"))
        return browser

    def someone(self):
        """A new account with a key and a browser in which it has signed in: (account name, key, browser)."""
        name = "ALIYUN$" + unique("visitor")
        self.server.cli("account", "create", name)
        key = self.server.cli("key", "create", "--account", name)
        browser = Browser(self.server)
        self.assertEqual(browser.sign_in(key["access_id"], key["secret"]).status_code, 303)
        return name, key, browser

    def is_closed(self, browser):
        """Whether the browser is sent to sign in."""
        answer = browser.open("/console")
        return answer.status_code == 303 and answer.headers["Location"].startswith("/console/login?next=")

    def test_a_key_signs_in_and_out(self):
        browser = Browser(self.server)
        self.assertTrue(self.is_closed(browser))
        browser = self.owner()
        cookie = browser.cookies["feitian_session"]
        self.assertNotIn(self.server.credentials()["secret"], cookie)
        page = browser.open("/console")
        self.assertEqual(page.status_code, 200)
        self.assertIn('href="/console/projects/demo"', page.text)
        self.assertEqual(browser.submit("/console/logout").status_code, 303)
        self.assertTrue(self.is_closed(browser))
        # A copy of the cookie does not work any more either.
        browser.cookies.set("feitian_session", cookie)
        self.assertTrue(self.is_closed(browser))

    def test_a_wrong_secret_opens_nothing_and_says_nothing(self):
        _, key, _ = self.someone()
        said = []
        for access_id, secret in ((key["access_id"], "wrong"), ("nobody" + key["access_id"], key["secret"])):
            browser = Browser(self.server)
            answer = browser.sign_in(access_id, secret)
            self.assertEqual(answer.status_code, 403)
            self.assertNotIn("Set-Cookie", answer.headers)
            self.assertTrue(self.is_closed(browser))
            said.append(re.search(r'role="alert">(.*?)</div>', answer.text, re.S).group(1))
        self.assertEqual(said[0], said[1])

    def test_guessing_is_held_back(self):
        _, key, signed_in = self.someone()
        answers = [Browser(self.server).sign_in(key["access_id"], f"guess {n}").status_code for n in range(12)]
        self.assertEqual(answers, [403] * 10 + [429] * 2)
        self.assertEqual(Browser(self.server).sign_in(key["access_id"], key["secret"]).status_code, 429)
        # Whoever is inside already stays there.
        self.assertEqual(signed_in.open("/console").status_code, 200)

    def test_a_temporary_key_needs_its_token(self):
        key = self.server.cli("key", "create", "--sts", "1h")
        browser = Browser(self.server)
        self.assertEqual(browser.sign_in(key["access_id"], key["secret"]).status_code, 403)
        self.assertEqual(browser.sign_in(key["access_id"], key["secret"], key["sts_token"]).status_code, 303)
        self.assertEqual(browser.open("/console/projects/demo").status_code, 200)

    def test_a_disabled_key_or_account_ends_the_session(self):
        name, key, browser = self.someone()
        self.server.cli("key", "disable", key["access_id"], "--yes")
        self.assertTrue(self.is_closed(browser))
        self.server.cli("key", "enable", key["access_id"])
        self.assertEqual(browser.open("/console").status_code, 200)
        self.server.cli("account", "disable", name, "--yes")
        self.assertEqual(browser.open("/console").status_code, 403)
        self.server.cli("account", "enable", name)
        self.server.cli("key", "delete", key["access_id"], "--yes")
        self.assertTrue(self.is_closed(browser))

    def test_a_link_to_the_sign_in_leads_only_back_to_this_server(self):
        login = self.server.credentials()
        for there, want in (
            ("/console/projects/demo", "/console/projects/demo"),
            ("//evil.example/console", "/console"),
            ("https://evil.example", "/console"),
            ("/\\evil.example", "/console"),
            ("/console/../admin", "/console"),
        ):
            fields = {"access_id": login["access_id"], "secret": login["secret"], "next": there}
            answer = Browser(self.server).submit("/console/login", fields)
            self.assertEqual((answer.status_code, answer.headers["Location"]), (303, want))

    def test_a_post_from_another_site_is_refused(self):
        browser = self.owner()
        name = unique("evil")
        port = self.server.port + 1
        foreign = (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://127.0.0.1:{port}"},
            {"Origin": None},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        )
        for headers in foreign:
            with self.subTest(headers=headers):
                made = browser.submit("/console", {"action": "create", "name": name}, headers=headers)
                self.assertEqual(made.status_code, 403)
                ran = browser.submit("/console/projects/demo/sql", {"text": f"CREATE TABLE {name} (n BIGINT)"}, headers=headers)
                self.assertEqual(ran.status_code, 403)
        self.assertNotIn(name, [p["name"] for p in self.server.cli("project", "list")])
        self.assertFalse(self.o.exist_table(name))

    def test_a_foreign_account_reads_nothing_of_a_project(self):
        """A walk over every page of the console, those of the project with real tables and jobs."""
        table = self.table("secret_column bigint", "secret_part string", comment="secret comment")
        self.o.write_table(table, [[4711]], partition="secret_part=x", create_partition=True)
        job = self.o.execute_sql("SELECT 4711 AS secret_value")
        name, _, visitor = self.someone()
        pages = routes()
        self.assertGreater(len(pages), 15, "docs/compat.md lists the console")
        secrets = ("secret_", "4711", table.name)
        for method, path in pages:
            path = path.replace("{project}", "demo").replace("{table}", table.name).replace("{instance}", job.id)
            # The visitor stays signed in.
            if "{" in path or path == "/console/logout":
                continue
            with self.subTest(route=f"{method} {path}"):
                fields = {"action": "stop", "text": f"SELECT * FROM {table.name}", "account": name}
                answer = visitor.open(path) if method == "GET" else visitor.submit(path, fields)
                if "/projects/" in path:
                    self.assertEqual(answer.status_code, 403)
                for word in secrets:
                    self.assertNotIn(word, answer.text.replace(path, ""))
                # Nobody at all is sent to sign in.
                nobody = Browser(self.server)
                answer = nobody.open(path) if method == "GET" else nobody.submit(path, fields)
                self.assertIn(answer.status_code, (200, 303, 403))
                for word in secrets:
                    self.assertNotIn(word, answer.text)
        self.assertNotIn("/console/projects/demo", visitor.open("/console").text)
        # From a project of its own SQL does not reach over either.
        own = unique("own")
        self.assertEqual(visitor.submit("/console", {"action": "create", "name": own}).status_code, 303)
        spy = visitor.run(own, f"SELECT * FROM demo.{table.name}")
        self.assertIn("ODPS-0130013", visitor.ended(spy)["error"])

    def test_sql_is_run_and_its_result_is_downloaded(self):
        table = self.table("id bigint, name string, price decimal(10,2), at datetime")
        rows = "(1, 'a,\"b\"', 1.50BD, DATETIME '2024-01-02 03:04:05'), (2, NULL, -0.05BD, NULL), (3, '订单', 7BD, NULL)"
        browser = self.owner()
        done = browser.ended(browser.run("demo", f"INSERT INTO {table.name} VALUES {rows}"))
        self.assertEqual(done["state"], "Success")
        job = browser.run("demo", f"SELECT * FROM {table.name} ORDER BY id LIMIT 10")
        self.assertEqual(browser.ended(job)["result_rows"], 3)
        page = browser.open(job)
        self.assertIn("<bdi>订单</bdi>", page.text)
        self.assertIn("Rows 1 to 3 of 3", page.text)
        answer = browser.open(job + "/result.csv")
        self.assertIn("attachment", answer.headers["Content-Disposition"])
        got = list(csv.reader(io.StringIO(answer.content.decode("utf-8"))))
        # The dialect of PyODPS's CsvRecordReader (odps/readers.py): \\N is NULL.
        self.assertEqual(
            got,
            [
                ["id", "name", "price", "at"],
                ["1", 'a,"b"', "1.5", "2024-01-02 03:04:05"],
                ["2", "\\N", "-0.05", "\\N"],
                ["3", "订单", "7", "\\N"],
            ],
        )
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "result.parquet")
            with open(path, "wb") as file:
                file.write(browser.open(job + "/result.parquet").content)
            query = 'SELECT id, name, price::VARCHAR, epoch_ms("at") FROM read_parquet(?) ORDER BY id'
            # 03:04:05 in Shanghai is 19:04:05 UTC of the day before: `date -u -d @1704135845`.
            want = [(1, 'a,"b"', "1.50", 1704135845000), (2, None, "-0.05", None), (3, "订单", "7.00", None)]
            self.assertEqual(duckdb.execute(query, [path]).fetchall(), want)

    def test_a_mistake_is_shown_at_its_place(self):
        browser = self.owner()
        job = browser.run("demo", "SET odps.sql.allow.fullscan=true;\nSELECT * FROM not_there_at_all")
        self.assertEqual(browser.ended(job)["state"], "Failed")
        page = browser.open(job).text
        self.assertIn("ODPS-0130131:[2,15]", page)
        self.assertIn('href="#place"', page)
        self.assertIn('href="/logview/errors/ODPS-0130131"', page)
        logview = re.search(r'href="(/logview/[^"]*i=[^"]*)"', page).group(1)
        self.assertEqual(browser.open(html.unescape(logview)).status_code, 200)

    def test_a_running_job_is_stopped(self):
        browser = self.owner()
        many = "(SELECT EXPLODE(SEQUENCE(1, 100000)) AS n)"
        endless = f"SET odps.sql.allow.cartesian=true; SELECT COUNT(*) FROM {many} a JOIN {many} b ON a.n <> b.n"
        job = browser.run("demo", endless)
        self.assertEqual(browser.submit(job, {"action": "stop"}).status_code, 303)
        self.assertEqual(browser.ended(job)["state"], "Cancelled")

    def test_a_csv_file_becomes_a_table(self):
        browser, name = self.owner(), self.name("loaded")
        text = "Id,Name,Price,Day,Code\n1,\"a,b\",1.5,2024-01-02,007\n2,,2,2024-01-03,\n"

        def load(content, **fields):
            data = {"form": browser.form(UPLOAD), "table": name, "header": "yes", "delimiter": ",", **fields}
            return browser.submit(UPLOAD, data, files={"file": ("f.csv", content)})

        answer = load("\ufeff" + text)
        self.assertEqual(answer.status_code, 303, answer.text)
        page = browser.open(answer.headers["Location"]).text
        self.assertIn(f"2 rows were added to table {name}.", page)
        self.assertIn("The table was created with the columns below.", page)
        schema = self.o.get_table(name).table_schema
        types = [(c.name, c.type.name) for c in schema.columns]
        want = [("id", "bigint"), ("name", "string"), ("price", "double"), ("day", "date"), ("code", "string")]
        self.assertEqual(types, want)
        # Behind the rows that are there, by the names in the header.
        answer = load("name;id\nc;3\n", delimiter=";")
        self.assertEqual(answer.status_code, 303, answer.text)
        page = browser.open(answer.headers["Location"]).text
        self.assertIn(f"1 rows were added to table {name}.", page)
        got = self.query(f"SELECT id, name, price, CAST(day AS STRING), code FROM {name} ORDER BY id LIMIT 10")
        want = [(1, "a,b", 1.5, "2024-01-02", "007"), (2, None, 2.0, "2024-01-03", None), (3, "c", None, None, None)]
        self.assertEqual(got, want)
        # All of a file or nothing.
        refused = load("id\n4\nx\n")
        self.assertEqual(refused.status_code, 400)
        self.assertIn("row 2, column id", html.unescape(refused.text))
        self.assertEqual(self.query(f"SELECT COUNT(*) FROM {name}"), [(3,)])

    def test_a_csv_file_goes_into_a_partition(self):
        browser, table = self.owner(), self.table("n bigint", "ds string")
        fields = {"table": table.name, "header": "", "delimiter": ",", "partition": "ds=20240101"}
        fields["form"] = browser.form(UPLOAD)
        answer = browser.submit(UPLOAD, fields, files={"file": ("f.csv", "1\n2\n")})
        self.assertEqual(answer.status_code, 303, answer.text)
        # A file that does not fit leaves no empty partition.
        wrong = {**fields, "partition": "ds=20240102"}
        self.assertEqual(browser.submit(UPLOAD, wrong, files={"file": ("f.csv", "1,2\n")}).status_code, 400)
        self.assertEqual([str(p) for p in table.partitions], ["ds='20240101'"])
        self.assertEqual(self.rows(table.name, partition="ds=20240101"), [(1, "20240101"), (2, "20240101")])
        page = browser.open(f"/console/projects/demo/tables/{table.name}?partition=ds%3D20240101").text
        self.assertIn("<bdi>ds=20240101</bdi>", page)
        self.assertIn("The first 2 rows of partition ds=20240101", page)

    def test_a_form_with_a_file_that_is_sent_again_adds_nothing(self):
        browser, name = self.owner(), self.name("once")
        fields = {"form": browser.form(UPLOAD), "table": name, "header": "yes", "delimiter": ","}

        def send(who, content="n\n1\n2\n", **others):
            return who.submit(UPLOAD, {**fields, **others}, files={"file": ("f.csv", content)})

        # A double click: both are on their way at once, and the table is not there yet. Then once more.
        with ThreadPoolExecutor(2) as both:
            answers = list(both.map(send, (browser, self.owner())))
        answers.append(send(browser))
        said = {(answer.status_code, answer.headers.get("Location")) for answer in answers}
        self.assertEqual(said, {(303, answers[0].headers["Location"])}, [answer.text for answer in answers])
        count = lambda: self.query(f"SELECT COUNT(*), SUM(n) FROM {name}")
        self.assertEqual(count(), [(2, 3)])
        page = answers[0].headers["Location"]
        self.assertIn(f"2 rows were added to table {name}.", browser.open(page).text)
        # With another file, or from another account of the project, it is another upload.
        account, _, visitor = self.someone()
        self.assertEqual(send(visitor).status_code, 403)
        self.server.cli("project", "admit", "demo", account)
        self.assertEqual(visitor.open(page).status_code, 404)
        for who, content, there in [(browser, "n\n3\n", (3, 6)), (visitor, "n\n1\n2\n", (5, 9)), (visitor, "n\n1\n2\n", (5, 9))]:
            answer = send(who, content)
            self.assertEqual(answer.status_code, 303, answer.text)
            self.assertNotEqual(answer.headers["Location"], page)
            self.assertEqual(count(), [there])
        # A table that was dropped does not come back.
        self.o.delete_table(name)
        send(browser)
        self.assertFalse(self.o.exist_table(name))

    def test_what_users_wrote_is_text(self):
        browser, name = self.owner(), self.name()
        literal = HOSTILE.replace("'", "\\'")
        done = browser.ended(browser.run("demo", f"CREATE TABLE {name} (s STRING COMMENT '{literal}') COMMENT '{literal}'"))
        self.assertEqual(done["state"], "Success", done)
        browser.ended(browser.run("demo", f"INSERT INTO {name} VALUES ('{literal}')"))
        job = browser.run("demo", f"SELECT s FROM {name} -- {HOSTILE}")
        browser.ended(job)
        for path in (f"/console/projects/demo?prefix={name}", f"/console/projects/demo/tables/{name}", job, "/console/projects/demo/sql"):
            with self.subTest(path=path):
                answer = browser.open(path)
                self.assertEqual(answer.status_code, 200)
                self.assertIn(HARMLESS, answer.text)
                self.assertNotIn("<script>alert", answer.text)
                policy = answer.headers["Content-Security-Policy"]
                self.assertTrue(policy.startswith("default-src 'none'") and "unsafe" not in policy, policy)

    def test_jobs_are_filtered_and_paged_by_the_address(self):
        name, key, visitor = self.someone()
        project = unique("paged")
        visitor.submit("/console", {"action": "create", "name": project})
        jobs = [visitor.run(project, f"SELECT {n} AS n") for n in range(55)]
        for job in jobs:
            visitor.ended(job)
        page = visitor.open(f"/console/projects/{project}/jobs?status=Terminated&owner={name.replace('$', '%24')}").text
        listed = re.findall(r'href="(/console/projects/[^"]*/jobs/[^"?]+)"', page)
        following = re.search(r'href="([^"]*marker=[^"]*)"', page)
        self.assertEqual(len(listed), 50)
        rest = visitor.open(html.unescape(following.group(1))).text
        listed += re.findall(r'href="(/console/projects/[^"]*/jobs/[^"?]+)"', rest)
        self.assertEqual(listed, jobs[::-1])
        for query in ("status=Running", "owner=nobody", "to=2001-01-01T00:00", "from=2100-01-01T00:00"):
            with self.subTest(query=query):
                page = visitor.open(f"/console/projects/{project}/jobs?{query}").text
                self.assertNotIn(jobs[0], page)

    def test_jobs_that_did_not_end_well_are_found_by_the_address(self):
        name, _, visitor = self.someone()
        project = unique("broken")
        visitor.submit("/console", {"action": "create", "name": project})
        many = "(SELECT EXPLODE(SEQUENCE(1, 100000)) AS n)"
        texts = {
            "good": "SELECT 1 AS n",
            "failed": "SELECT * FROM not_there_at_all",
            "stopped": f"SET odps.sql.allow.cartesian=true; SELECT COUNT(*) FROM {many} a JOIN {many} b ON a.n <> b.n",
        }
        jobs = {word: visitor.run(project, text) for word, text in texts.items()}
        self.assertEqual(visitor.submit(jobs["stopped"], {"action": "stop"}).status_code, 303)
        states = {word: visitor.ended(job)["state"] for word, job in jobs.items()}
        self.assertEqual(states, {"good": "Success", "failed": "Failed", "stopped": "Cancelled"})
        owner = name.replace("$", "%24")
        for query, want in (
            ("status=failed", {"failed"}),
            (f"status=Failed&owner={owner}&from=2001-01-01T00:00", {"failed"}),
            ("status=failed&owner=nobody", set()),
            ("status=failed&to=2001-01-01T00:00", set()),
            ("status=Cancelled", {"stopped"}),
            ("status=Terminated", {"good", "failed", "stopped"}),
        ):
            with self.subTest(query=query):
                page = visitor.open(f"/console/projects/{project}/jobs?{query}").text
                self.assertEqual({word for word, job in jobs.items() if f'href="{job}"' in page}, want)
        self.assertEqual(visitor.open(f"/console/projects/{project}/jobs?status=broken").status_code, 400)
        listed = self.server.cli("instance", "list", "--project", project, "--status", "failed")
        self.assertEqual([job["state"] for job in listed], ["Failed"])

    def test_the_list_of_tables_says_how_much_each_holds(self):
        owner, project = self.owner(), unique("sized")
        owner.submit("/console", {"action": "create", "name": project})
        theirs = self.server.entry(project=project)
        theirs.create_table("plain", "n bigint, s string")
        theirs.write_table("plain", [[n, "x" * 50] for n in range(1_500)])
        theirs.create_table("parted", ("n bigint", "ds string"))
        for day in ("20240101", "20240102"):
            theirs.write_table("parted", [[1], [2], [3]], partition=f"ds={day}", create_partition=True)
        theirs.create_table("bare", "n bigint")
        theirs.execute_sql("CREATE VIEW looked AS SELECT n FROM plain")
        page = owner.open(f"/console/projects/{project}").text
        cells = {}
        for row in re.findall(r'<tr>(<th scope="row"><a href="/console/projects/[^"]*/tables/.*?)</tr>', page):
            name = re.search(r"<bdi>(.*?)</bdi>", row).group(1)
            cells[name] = re.findall(r'<td class="number">(.*?)</td>', row)
        self.assertEqual(set(cells), {"plain", "parted", "bare", "looked"})
        # Rows and files as they were written, one file for each; a view holds nothing.
        self.assertEqual((cells["plain"][0], cells["plain"][2]), ("1,500", "1"))
        self.assertEqual((cells["parted"][0], cells["parted"][2]), ("6", "2"))
        self.assertEqual(cells["bare"], ["0", "0 B", "0"])
        self.assertEqual(cells["looked"], ["", "", ""])
        # The bytes are those of the Parquet files below the data directory.
        for name in ("plain", "parted"):
            size = 0
            for folder, _, files in os.walk(os.path.join(self.server.data, "warehouse", project)):
                if f"/{name}-" in folder + "/":
                    size += sum(os.path.getsize(os.path.join(folder, file)) for file in files if file.endswith(".parquet"))
            self.assertEqual(cells[name][1], shown_size(size), name)
        # The system's own tables say the same.
        found = theirs.execute_sql(f"SELECT table_name, num_rows, num_files FROM sys.tables WHERE project = '{project}'")
        with found.open_reader(tunnel=True) as reader:
            said = {record[0]: (record[1], record[2]) for record in reader}
        self.assertEqual(said, {"plain": (1500, 1), "parted": (6, 2), "bare": (0, 0), "looked": (None, None)})

    def test_members_are_admitted_and_expelled(self):
        owner = self.owner()
        name, key, visitor = self.someone()
        project = unique("shared")
        owner.submit("/console", {"action": "create", "name": project})
        self.assertEqual(visitor.open(f"/console/projects/{project}").status_code, 403)
        page = f"/console/projects/{project}/members"
        self.assertEqual(owner.submit(page, {"action": "admit", "account": name}).status_code, 303)
        self.assertEqual(visitor.open(f"/console/projects/{project}").status_code, 200)
        self.assertEqual(visitor.submit(page, {"action": "admit", "account": name}).status_code, 403)
        self.assertEqual(owner.submit(page, {"action": "expel", "account": name}).status_code, 303)
        self.assertEqual(visitor.open(f"/console/projects/{project}").status_code, 403)

    def test_the_commands_that_pages_show_are_real(self):
        browser, table = self.owner(), self.table("n bigint", "ds string")
        job = browser.run("demo", "SELECT 1")
        browser.ended(job)
        shown = set()
        for path in (
            "/console",
            "/console/keys",
            "/console/projects/demo",
            "/console/projects/demo/sql",
            "/console/projects/demo/jobs",
            "/console/projects/demo/jobs?status=Running",
            "/console/projects/demo/jobs?status=failed",
            "/console/projects/demo/members",
            "/console/projects/demo/upload",
            f"/console/projects/demo/tables/{table.name}",
            job,
        ):
            lines = re.findall(r"<code><bdi>(feitian [^<]*)</bdi></code>", browser.open(path).text)
            self.assertTrue(lines, path)
            shown.update(html.unescape(line) for line in lines)
        # Those that would change something are only read: the program says what is wrong with them, or asks.
        changes = re.compile(r"^feitian (project (create|admit|expel)|key (create|disable|delete)|sql .*CREATE)")
        login = self.server.credentials()
        key = f"{login['access_id']}:{login['secret']}"
        environment = {**os.environ, "FEITIAN_ENDPOINT": self.server.endpoint, "FEITIAN_KEY": key}
        for line in sorted(shown):
            words = shlex.split(line)[1:]
            if changes.match(line):
                words = [*words, "--help"]
            with self.subTest(line=line):
                done = subprocess.run(
                    [self.server.program, *words], env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
                )
                self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
