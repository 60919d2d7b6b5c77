"""The Logview in a real browser: it moves by itself, works without scripts, keyboard and screen reader, dark and light.

What is asked for is in public rules: WCAG 2.2 (contrast 1.4.3, reflow 1.4.10, focus 2.4.7, headings and names 1.3.1), the
HTML standard, and Content-Security-Policy as the browser itself enforces it.
"""

import unittest

from browser import Browser
from harness import ClientCase, wait_for

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"&\u202e"

# The least contrast of any visible text, by the formula of WCAG 2.2 (relative luminance), with the text it is of.
CONTRAST = """
(() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = (c) => {
    const f = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); };
    return 0.2126 * f(c[0]) + 0.7152 * f(c[1]) + 0.0722 * f(c[2]);
  };
  const paper = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) { return c; }
    }
    return [255, 255, 255];
  };
  let least = [99, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || e.closest("svg, .skip, script, noscript") || !e.getClientRects().length) { continue; }
    const ink = parse(getComputedStyle(e).color);
    // The editor's own letters are not drawn; the coloured ones below them are looked at.
    if (ink.length === 4 && ink[3] === 0) { continue; }
    const [a, b] = [light(ink), light(paper(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) { least = [ratio, walker.currentNode.data]; }
  }
  return least;
})()
"""


class LogviewInABrowser(ClientCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def running(self):
        job = self.endless()
        wait_for("the job's start", lambda: job.get_task_statuses()[job.get_task_names()[0]].status.value == "RUNNING")
        return job

    def joined(self):
        """The address of a job with several stages that has run twice."""
        name = self.numbers(2_000)
        sql = (
            "-- Which remainder has how many rows?\n"
            f"SELECT  a.n % 7 AS remainder, COUNT(*) AS rows_of_it, MAX(b.s) AS last_name\nFROM    {name} a\n"
            f"JOIN    {name} b\nON      a.n = b.n\nWHERE   b.s <> 'row 13'\nGROUP BY a.n % 7\nORDER BY remainder\nLIMIT   100"
        )
        self.o.execute_sql(sql)
        return self.o.execute_sql(sql, hints={"odps.sql.timezone": "Asia/Shanghai"}).get_logview_address()

    def failed(self, sql):
        job = self.o.run_sql(sql)
        job.wait_for_completion()
        return job.get_logview_address()

    def test_it_looks_right_in_both_schemes_and_languages_and_on_a_narrow_screen(self):
        papers = set()
        for name, settings in {
            "light": {},
            "dark": {"dark": True},
            "zh": {"language": "zh-CN,zh;q=0.9"},
            "narrow": {"width": 390, "height": 840},
        }.items():
            for page, address in {"done": self.joined(), "failed": self.failed("SELECT *\nFROM no_such_table\nWHERE 1 = 1")}.items():
                with self.subTest(name=name, page=page):
                    tab = self.browser.tab(**settings)
                    tab.open(address)
                    tab.screenshot(f"logview-{page}-{name}")
                    self.assertEqual(tab.complaints(), [])
                    base = self.server.endpoint[: -len("api")]
                    self.assertEqual([url for url in tab.requests() if not url.startswith(base)], [])
                    ratio, text = tab.run(CONTRAST)
                    self.assertGreaterEqual(ratio, 4.5, text)
                    self.assertLessEqual(tab.run("document.documentElement.scrollWidth - window.innerWidth"), 0)
                    self.assertEqual(tab.run("document.documentElement.lang"), "zh-CN" if name == "zh" else "en")
                    papers.add(tab.run("getComputedStyle(document.body).backgroundColor"))
        self.assertEqual(len(papers), 2, "light and dark have papers of their own")

    def test_it_moves_by_itself_and_is_not_loaded_again(self):
        job = self.running()
        tab = self.browser.tab()
        tab.open(job.get_logview_address())
        tab.run("window.mark = 'still here'")
        state = lambda: tab.run("document.querySelector('#state strong').textContent")
        self.assertEqual(state(), "Running")
        before = tab.run("document.getElementById('facts').textContent")
        wait_for("a tick", lambda: tab.run("document.getElementById('facts').textContent") != before)
        tab.screenshot("logview-running-light")
        job.stop()
        wait_for("the end on the page", lambda: state() == "Stopped")
        wait_for("the error on the page", lambda: tab.run("!!document.getElementById('error-heading')"))
        self.assertTrue(tab.run("document.title").startswith("Stopped"))
        self.assertEqual(tab.run("window.mark"), "still here")
        self.assertEqual(tab.complaints(), [])

    def test_it_works_without_scripts(self):
        job = self.running()
        tab = self.browser.tab(scripts=False)
        tab.open(job.get_logview_address())
        self.assertIn("<strong>Running</strong>", tab.source())
        self.assertEqual([url for url in tab.requests() if ".js" in url], [])
        job.stop()
        # The page loads itself again every few seconds.
        self.browser.wait("Page.loadEventFired", tab.session)
        self.assertIn("<strong>Stopped</strong>", tab.source())
        self.assertIn("FAILED: ", tab.source())

    def test_texts_of_users_run_nothing(self):
        failing = self.failed(f"SELECT '{HOSTILE}' FROM no_such_table")
        right = self.o.execute_sql(f"SELECT '{HOSTILE}' AS x, '{HOSTILE}' AS y").get_logview_address()
        for address in (failing, right):
            tab = self.browser.tab()
            tab.open(address)
            self.assertEqual(tab.complaints(), [])
            self.assertEqual(tab.run("document.querySelectorAll('script, img, [onerror]').length"), 0)
            self.assertIn("<script>alert(1)</script>", tab.run("document.querySelector('.sql').textContent"))
        tab.screenshot("logview-hostile-light")

    def test_the_keyboard_reaches_everything_and_shows_where_it_is(self):
        tab = self.browser.tab()
        tab.open(self.joined())
        focused = "document.activeElement"
        tab.press("Tab", 9)
        self.assertEqual(tab.run(f"{focused}.className"), "skip")
        self.assertGreaterEqual(tab.run(f"{focused}.getBoundingClientRect().left"), 0, "the link is hidden where it matters")
        seen = set()
        for _ in range(60):
            tab.press("Tab", 9)
            if tab.run(f"{focused} === document.body"):
                break
            self.assertNotEqual(tab.run(f"getComputedStyle({focused}).outlineStyle"), "none", tab.run(f"{focused}.outerHTML"))
            seen.add(tab.run(f"{focused}.id || {focused}.tagName"))
        for wanted in ("graph", "timeline", "stage-table", "summary-1", "PRE", "A"):
            self.assertIn(wanted, seen)

    def test_a_screen_reader_finds_landmarks_headings_tables_and_the_state(self):
        tab = self.browser.tab()
        tab.open(self.joined())
        tree = tab.tree()
        roles = [role for role, _ in tree]
        for role in ("main", "banner", "navigation", "contentinfo", "status"):
            self.assertEqual(roles.count(role), 1, role)
        headings = [name for role, name in tree if role == "heading"]
        for words in ("Facts", "SQL", "Stages", "Graph", "Timeline", "Result", "The run before", "Settings"):
            self.assertIn(words, headings)
        for role in ("table", "figure", "region", "link"):
            names = [name for found, name in tree if found == role]
            self.assertTrue(names and all(names), f"{role}: {names}")
        pictures = [name for role, name in tree if role in ("image", "img")]
        self.assertEqual(len(pictures), 2)
        self.assertTrue(all(pictures))


if __name__ == "__main__":
    unittest.main()
