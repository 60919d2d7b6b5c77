"""The Logview: the page behind the address that PyODPS prints, its events, its profile, and who may open it.

Words of the pages are feitian's own; what must hold of them (escaping, headers, languages) is said by the HTML and
Content-Security-Policy standards, numbers follow by arithmetic.
"""

import html
import json
import re
import subprocess
import unittest
from urllib.parse import urlsplit, urlunsplit

import requests
from harness import ClientCase, wait_for

# A tag, quotes, and U+202E, which turns the direction of what follows.
HOSTILE = "<script>alert(1)</script>\"&\u202e"
CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}


def beside(address, page):
    """The address of another page about the same job."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/" + page))


def source(page):
    """The SQL as a reader of the page would copy it."""
    (inside,) = re.findall(r'<pre class="sql"[^>]*><code>(.*?)</code></pre>', page, re.S)
    return html.unescape(re.sub(r"<[^>]*>", "", inside))


class Logview(ClientCase):
    def open(self, address, headers=None, status=200):
        answer = requests.get(address, headers=headers, timeout=60)
        self.assertEqual(answer.status_code, status, answer.text)
        self.assertTrue(answer.headers["Content-Security-Policy"].startswith("default-src 'none'"), answer.headers)
        self.assertEqual(answer.headers["Referrer-Policy"], "no-referrer")
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(answer.headers["X-Frame-Options"], "DENY")
        answer.encoding = "utf-8"
        return answer

    def running(self):
        job = self.endless()
        wait_for("the job's start", lambda: job.get_task_statuses()[job.get_task_names()[0]].status.value == "RUNNING")
        return job

    def documented(self, setting):
        """The default of a setting, as the program's help says it."""
        command = [self.server.program, "up", "--help"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        (value,) = re.findall(rf"^  {re.escape(setting)} \(default `(.*?)`\)$", text, re.M)
        return value

    def failed(self, sql):
        job = self.o.run_sql(sql)
        job.wait_for_completion()
        return job

    def test_the_address_opens_the_page_in_the_browsers_language_or_the_asked_one(self):
        job = self.o.execute_sql("SELECT 1 AS one")
        address = job.get_logview_address()
        english = self.open(address).text
        self.assertIn('<html lang="en"', english)
        for words in ("<strong>Succeeded</strong>", job.id, "Waited", "Asia/Shanghai", "All rows: 1"):
            self.assertIn(words, english)
        chinese = self.open(address, headers=CHINESE)
        self.assertEqual(chinese.headers["Content-Language"], "zh-CN")
        for words in ('<html lang="zh-CN"', "<strong>成功</strong>", "排队", "共 1 行"):
            self.assertIn(words, chinese.text)
        self.assertIn('<html lang="en"', self.open(address + "&lang=en", headers=CHINESE).text)
        self.assertIn('<html lang="zh-CN"', self.open(address + "&lang=zh").text)
        self.open(address + "&lang=fr", status=400)

    def test_nothing_is_loaded_but_our_own_files(self):
        answer = self.open(self.running().get_logview_address())
        policy = answer.headers["Content-Security-Policy"]
        self.assertNotIn("unsafe", policy)
        (nonce,) = set(re.findall(r"'nonce-([a-z0-9]+)'", policy))
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        base = self.server.endpoint[: -len("/api")]
        files = re.findall(r'(?:src|href)="(/console/[^"]+)"', answer.text)
        self.assertEqual(len(files), 3)
        for file in files:
            self.assertIn("immutable", self.open(base + file).headers["Cache-Control"])
        for tag in re.findall(r"<(?:script|link rel=\"stylesheet\")[^>]*>", answer.text):
            self.assertIn(f'nonce="{nonce}"', tag)
        self.assertNotIn("http://", answer.text.split("<main")[0], "nothing is named by another address")

    def test_the_sql_is_shown_as_it_was_sent_and_coloured(self):
        sql = "SELECT  1 AS a -- one\r\n     , 'it\\'s <b>' AS b\nFROM (SELECT 1) t"
        page = self.open(self.o.execute_sql(sql).get_logview_address()).text
        # HTML has one kind of line end, and PyODPS ends a statement.
        self.assertEqual(source(page), sql.replace("\r\n", "\n") + ";")
        for piece in ('<span class="k">SELECT</span>', '<span class="c">-- one</span>', '<span class="n">1</span>'):
            self.assertIn(piece, page)

    def test_an_error_is_explained_and_marked_where_it_is(self):
        job = self.failed("SELECT *\nFROM no_such_table")
        page = self.open(job.get_logview_address()).text
        self.assertIn("FAILED: ODPS-0130131:[2,6]", html.unescape(page))
        self.assertIn("At line 2, column 6", page)
        (marked,) = re.findall(r'<mark id="place"[^>]*>(.*?)</mark>', page)
        self.assertEqual(marked, "no_such_table")
        (link,) = set(re.findall(r'href="(/logview/errors/ODPS-[^"]*)"', page))
        self.assertEqual(link, "/logview/errors/ODPS-0130131")
        base = self.server.endpoint[: -len("/api")]
        self.assertIn("<h1>", self.open(base + link).text)
        self.assertIn(link, self.open(base + "/logview/errors").text)
        self.open(base + "/logview/errors/ODPS-9999999", status=404)
        chinese = self.open(job.get_logview_address() + "&lang=zh").text
        self.assertIn("位置：第 2 行，第 6 列", chinese)
        # The explanation speaks the language of the page; the error is what the job has said.
        self.assertIn("语句或客户端使用了不存在的表或视图", chinese)
        self.assertNotIn("A statement or a client named a table", chinese)
        self.assertIn("A statement or a client named a table", page)
        self.assertIn("FAILED: ODPS-0130131:[2,6]", html.unescape(chinese))
        explained = self.open(base + link + "?lang=zh").text
        for words in ("发生了什么", "可能的原因", "处理办法", "feitian explain ODPS-0130131 --lang zh"):
            self.assertIn(words, explained)
        self.assertNotIn("Likely cause", explained)

    def test_every_error_code_is_explained_in_both_languages(self):
        base = self.server.endpoint[: -len("/api")]
        codes = re.findall(r'href="/logview/errors/([^"?]+)"', self.open(base + "/logview/errors").text)
        self.assertGreater(len(codes), 50)
        for code in codes:
            with self.subTest(code=code):
                for lang, parts in (
                    ("en", ["What happened", "Likely cause", "What to do"]),
                    ("zh", ["发生了什么", "可能的原因", "处理办法"]),
                ):
                    page = self.open(f"{base}/logview/errors/{code}?lang={lang}").text
                    found = [part for part in re.findall(r"<h2>(.*?)</h2>", page) if part in parts]
                    self.assertEqual(found, parts)

    def test_stages_are_drawn_and_tabled(self):
        name = self.numbers(1_000)
        job = self.o.execute_sql(f"SELECT a.n % 10, COUNT(*) FROM {name} a JOIN {name} b ON a.n = b.n GROUP BY a.n % 10")
        page = self.open(job.get_logview_address()).text
        (task,) = job.get_task_names()
        stages = [stage.name for stage in job.get_task_progress(task).stages]
        (table,) = re.findall(r'<caption id="stages-caption">.*?</table>', page, re.S)
        for stage in stages:
            self.assertIn(stage, table)
        self.assertEqual(page.count('<g class="node'), len(stages))
        self.assertIn("1,000", table)
        self.assertIn("AggregateExec", page)
        self.assertEqual(page.count("<table"), page.count("<caption"))
        # The words that stand for the pictures, and headings that go down one step at a time.
        self.assertEqual(page.count("<svg"), len(re.findall(r'<svg[^>]*role="img"[^>]*aria-labelledby', page)))
        levels = [int(n) for n in re.findall(r"<h([1-6])", page)]
        self.assertEqual(levels[0], 1)
        self.assertTrue(all(b <= a + 1 for a, b in zip(levels, levels[1:])), levels)

    def test_the_first_rows_of_a_result_and_the_text_of_a_statement_are_shown(self):
        name = self.numbers(100)
        page = self.open(self.o.execute_sql(f"SELECT n, s FROM {name} ORDER BY n LIMIT 50").get_logview_address()).text
        self.assertIn("The first 20 of 50 rows", page)
        self.assertIn("<bdi>row 19</bdi>", page)
        self.assertNotIn("<bdi>row 20</bdi>", page)
        page = self.open(self.o.execute_sql("SELECT CAST(NULL AS STRING) AS x").get_logview_address()).text
        self.assertIn('<span class="null">NULL</span>', page)
        page = self.open(self.o.execute_sql(f"DESC {name}").get_logview_address()).text
        self.assertIn("Native Columns", page.split('id="result-heading"')[1])

    def test_a_run_is_compared_with_the_one_before(self):
        sql = f"SELECT COUNT(*) FROM {self.numbers(10)}"
        first = self.o.execute_sql(sql)
        self.assertNotIn("comparison-heading", self.open(first.get_logview_address()).text)
        second = self.o.execute_sql(sql)
        page = self.open(second.get_logview_address()).text
        (table,) = re.findall(r'<caption id="comparison-caption">.*?</table>', page, re.S)
        for words in (first.id, "the same plan", "the same"):
            self.assertIn(words, table)
        # Another text is another query, though it means the same.
        other = self.o.execute_sql(sql.replace(" ", "  "))
        self.assertNotIn("comparison-heading", self.open(other.get_logview_address()).text)

    def test_the_profile_is_a_json_file(self):
        job = self.o.execute_sql(f"SELECT COUNT(*) FROM {self.numbers(10)}", hints={"odps.sql.timezone": "UTC"})
        answer = self.open(beside(job.get_logview_address(), "profile"))
        self.assertEqual(answer.headers["Content-Disposition"], f'attachment; filename="{job.id}.json"')
        document = json.loads(answer.text)
        self.assertEqual((document["instance"], document["state"]), (job.id, "Success"))
        self.assertEqual(document["settings"]["odps.sql.timezone"], "UTC")
        self.assertIn("COUNT(*)", document["query"])
        self.assertIn("_job_", document["profile"]["stages"][0]["id"])
        self.assertIn("UTC", self.open(job.get_logview_address()).text)

    def test_events_follow_a_job_to_its_end(self):
        job = self.running()
        address = job.get_logview_address()
        page = self.open(address).text
        self.assertIn("<strong>Running</strong>", page)
        self.assertIn('http-equiv="refresh"', page)
        self.assertIn('data-events="/logview/events?', page)
        with requests.get(beside(address, "events"), stream=True, timeout=60) as answer:
            self.assertEqual(answer.headers["Content-Type"], "text/event-stream")
            seen, stopped = [], False
            for line in answer.iter_lines(decode_unicode=True):
                seen.append(line)
                if "<strong>Running</strong>" in line and not stopped:
                    stopped = True
                    job.stop()
        # The stream has ended by itself.
        self.assertTrue(stopped)
        self.assertIn("event: end", seen)
        self.assertTrue(any("<strong>Stopped</strong>" in line for line in seen))
        self.assertIn("data: rest", seen)
        page = self.open(address).text
        self.assertIn("<strong>Stopped</strong>", page)
        self.assertNotIn("data-events", page)

    def test_a_waiting_job_says_where_it_stands_and_why(self):
        jobs = [self.running()]
        table = self.many()
        waiting = None
        for _ in range(100):
            job = self.endless(table)
            jobs.append(job)
            page = self.open(job.get_logview_address()).text
            if "<strong>Waiting</strong>" in page and "and may run" in page:
                waiting = page
                break
        self.assertIsNotNone(waiting, "no limit was reached")
        self.assertRegex(waiting, r"place \d+ in the queue")
        # The limit of a project is the lower one, so it is met first. All jobs are of one project.
        limit = int(self.documented("query.running_per_project"))
        self.assertLess(limit, int(self.documented("query.running_total")))
        self.assertIn(f"Project {self.o.project} runs {limit} jobs at once and may run {limit}.", waiting)
        # Newest first: the waiting ones go before the running ones could make room for them.
        for job in reversed(jobs):
            self.end(job)

    def test_hostile_texts_are_shown_as_text(self):
        settings = {"odps.sql.mapper.split.size": "256", "odd.key": HOSTILE}
        sql = f"SELECT '{HOSTILE}' AS `{HOSTILE.replace('.', '')}` FROM nowhere_{self.name()}"
        failing = self.o.run_sql(sql, hints=settings)
        failing.wait_for_completion()
        right = self.o.execute_sql(f"SELECT '{HOSTILE}' AS x")
        for job in (failing, right):
            for lang in ("en", "zh"):
                with self.subTest(job=job.id, lang=lang):
                    page = self.open(f"{job.get_logview_address()}&lang={lang}").text
                    self.assertNotIn("<script>", page)
                    self.assertNotIn("\u202e", page)
                    self.assertIn("\\u{202e}", page)
                    self.assertIn("&#60;script&#62;alert(1)&#60;/script&#62;&#34;", page)

    def test_a_token_opens_one_job_and_nothing_else(self):
        job, other = self.o.execute_sql("SELECT 1"), self.o.execute_sql("SELECT 2")
        address = job.get_logview_address()
        (token,) = re.findall(r"token=([^&]*)", address)
        for page in ("", "events", "profile"):
            there = beside(address, page)
            with self.subTest(page=page):
                self.open(there.replace(job.id, other.id), status=403)
                self.open(there.replace("p=demo", "p=elsewhere"), status=404)
                self.open(re.sub(r"token=[^&]*", "token=nonsense", there), status=401)
                self.open(re.sub(r"&token=[^&]*", "", there), status=401)
        self.server.cli("account", "create", "ALIYUN$page_owner_" + job.id[-6:])
        self.server.cli("project", "create", "pages_" + job.id[-6:], "--owner", "ALIYUN$page_owner_" + job.id[-6:])
        self.open(address.replace("p=demo", "p=pages_" + job.id[-6:]), status=403)
        with open(self.server.log_path, encoding="utf-8", errors="replace") as log:
            self.assertNotIn(token, log.read())


if __name__ == "__main__":
    unittest.main()
