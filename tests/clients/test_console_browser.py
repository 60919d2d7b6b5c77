"""The console in a real browser: signing in, the workbench with and without scripts, keyboard, screen reader, dark and light.

What is asked for is in public rules: WCAG 2.2 (contrast 1.4.3, reflow 1.4.10, labels 3.3.2, names 4.1.2), the HTML standard,
and Content-Security-Policy as the browser itself enforces it.
"""

import tempfile
import unittest

from browser import Browser
from console_tab import CONTROL, SignedIn
from harness import ClientCase, wait_for
from test_logview_browser import CONTRAST

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"&\u202e"


class ConsoleInABrowser(SignedIn, ClientCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def numbers(self, count):
        table = self.table("n bigint, label string")
        self.o.write_table(table, [[n, f"row {n}"] for n in range(count)])
        return table.name

    def test_it_looks_right_in_both_schemes_and_languages_and_on_a_narrow_screen(self):
        parted = self.table("n bigint comment 'a number', s string", "ds string", comment="what sales were")
        for day in range(3):
            self.o.write_table(parted, [[day, HOSTILE]], partition=f"ds=2024010{day}", create_partition=True)
        job = self.o.run_sql("SELECT *\nFROM no_such_table\nWHERE 1 = 1")
        job.wait_for_completion()
        done = self.o.execute_sql(f"SELECT * FROM {self.numbers(300)} ORDER BY n LIMIT 1000")
        base = "/console/projects/demo"
        pages = {
            "home": "/console",
            "project": base,
            "table": f"{base}/tables/{parted.name}",
            "workbench": f"{base}/sql?table={parted.name}",
            "jobs": f"{base}/jobs?status=Terminated",
            "failed": f"{base}/jobs/{job.id}",
            "done": f"{base}/jobs/{done.id}",
            "upload": f"{base}/upload",
            "members": f"{base}/members",
            "keys": "/console/keys",
            "refused": f"{base}/tables/not_there",
        }
        # The browser draws the button of a field for times from a picture of its own.
        self.check_looks("console", pages, refused=["404"], own=["data:image/svg+xml"])

    def test_the_sign_in_looks_right_and_says_what_was_wrong(self):
        for name, settings in {"light": {}, "dark": {"dark": True}, "narrow": {"width": 390, "height": 840}}.items():
            tab = self.browser.tab(**settings)
            tab.open(self.address("/console"))
            self.assertEqual(tab.run("document.activeElement.id"), "access_id")
            self.type(tab, "#access_id", "nobody at all")
            self.type(tab, "#secret", "x")
            self.key(tab, "Enter", 13)
            wait_for("the answer", lambda: self.shows(tab, "no such access id"))
            self.assertEqual(tab.run("document.querySelector('[role=alert]') !== null"), True)
            self.assertEqual(tab.run("document.getElementById('access_id').value"), "nobody at all")
            ratio, text = tab.run(CONTRAST)
            self.assertGreaterEqual(ratio, 4.5, text)
            tab.screenshot(f"console-sign-in-{name}")

    def test_a_statement_runs_in_the_page(self):
        tab, name = self.signed_in(), self.numbers(700)
        rows = lambda: tab.run("document.querySelectorAll('#outcome-body tbody tr').length")
        self.type(tab, "#text", f"SELECT n, label FROM {name} ORDER BY n LIMIT 1000")
        self.key(tab, "Enter", 13, CONTROL)
        wait_for("the rows", lambda: rows() == 500)
        self.assertEqual(tab.run("document.querySelector('#outcome-body tbody tr').textContent"), "0row 0")
        self.assertIn("700", tab.run("document.querySelector('#outcome-body caption').textContent"))
        tab.run("document.querySelector('#outcome-body button').click()")
        wait_for("the other rows", lambda: rows() == 700)
        self.assertEqual(tab.run("document.getElementById('to-csv').hidden"), False)
        tab.screenshot("console-workbench-result-light")
        # Only what is selected is run, and the place of its mistake is selected.
        tab.run("document.getElementById('text').value = 'SELECT 1;\\nSELECT * FROM nowhere_at_all'")
        tab.run("document.getElementById('text').setSelectionRange(10, 38)")
        self.key(tab, "Enter", 13, CONTROL)
        picked = "(() => { const t = document.getElementById('text'); return t.value.slice(t.selectionStart, t.selectionEnd); })()"
        wait_for("the error", lambda: "ODPS-0130131" in tab.run("document.getElementById('outcome').textContent"))
        wait_for("its place", lambda: tab.run(picked) == "nowhere_at_all")
        self.assertTrue(tab.run("document.querySelector('#outcome-body a').href").endswith("/logview/errors/ODPS-0130131"))
        same = tab.run("document.querySelector('.hints bdi').textContent")
        self.assertEqual(same, "feitian sql --project demo -e 'SELECT * FROM nowhere_at_all'")
        # How long it took is said, and the statement is among the last ones.
        self.assertRegex(tab.run("document.getElementById('outcome-state').textContent"), r"^Failed, in [\d.]+ m?s$")
        wait_for("the history", lambda: "nowhere_at_all" in tab.run("document.getElementById('history-part').textContent"))
        self.assertEqual(tab.complaints(), [])

    def test_the_editor_colours_what_is_typed(self):
        tab = self.signed_in()
        self.type(tab, "#text", f"SELECT count(*), '<b>' -- {HOSTILE}\nFROM `t` WHERE n > 1.5")
        pieces = tab.run("Array.from(document.querySelectorAll('.below span')).map((s) => [s.className, s.textContent])")
        # What each piece is follows from the grammar of SQL.
        want = [["k", "SELECT"], ["f", "count"], ["s", "'<b>'"], ["c", f"-- {HOSTILE}"], ["k", "FROM"], ["q", "`t`"], ["k", "WHERE"], ["n", "1.5"]]
        self.assertEqual(pieces, want)
        # Letter for letter below the text.
        self.assertTrue(tab.run("document.querySelector('.below').textContent.startsWith(document.getElementById('text').value)"))
        place = "(s) => { const e = document.querySelector(s), c = getComputedStyle(e); return [c.font, c.tabSize, e.getBoundingClientRect().top, c.paddingLeft]; }"
        self.assertEqual(tab.run(f"({place})('.below')"), tab.run(f"({place})('#text')"))
        self.assertEqual(tab.run("document.querySelectorAll('main script, img, [onerror]').length"), 0)
        self.assertEqual(tab.complaints(), [])

    def test_values_of_users_run_nothing(self):
        tab = self.signed_in()
        self.type(tab, "#text", f"SELECT '{HOSTILE}' AS x")
        self.key(tab, "Enter", 13, CONTROL)
        wait_for("the row", lambda: tab.run("document.querySelectorAll('#outcome-body tbody tr').length") == 1)
        self.assertEqual(tab.run("document.querySelectorAll('main script, img, [onerror]').length"), 0)
        shown = tab.run("document.querySelector('#outcome-body td').textContent")
        self.assertEqual(shown, HOSTILE.replace("\u202e", "\\u{202e}"))
        tab.open(self.address("/console/projects/demo/sql"))
        self.assertEqual(tab.run("document.querySelectorAll('main script, img, [onerror]').length"), 0)
        self.assertEqual(tab.complaints(), [])

    def test_names_are_completed(self):
        tab, name = self.signed_in(), self.numbers(1)
        proposals = "Array.from(document.querySelectorAll('#proposals:not([hidden]) li bdi')).map((b) => b.textContent)"
        value = "document.getElementById('text').value"
        self.type(tab, "#text", f"SELECT  FROM {name} x WHERE x.")
        tab.call("Input.insertText", text="lab")
        wait_for("the column", lambda: tab.run(proposals) == ["label"])
        self.assertEqual(tab.run("document.getElementById('text').getAttribute('aria-activedescendant')"), "proposal-0")
        self.key(tab, "Tab", 9)
        self.assertEqual(tab.run(value), f"SELECT  FROM {name} x WHERE x.label")
        tab.call("Input.insertText", text=" = subst")
        wait_for("the function", lambda: "substr" in tab.run(proposals))
        self.key(tab, "Escape", 27)
        self.assertEqual(tab.run(proposals), [])
        tab.run(f"document.getElementById('text').value = 'SELECT * FROM {name[:-1]}'")
        tab.run("document.getElementById('text').dispatchEvent(new Event('change'))")
        tab.run("document.getElementById('text').setSelectionRange(999, 999)")
        self.key(tab, " ", 32, CONTROL)
        wait_for("the table", lambda: name in tab.run(proposals))
        tab.screenshot("console-completion-light")
        self.assertEqual(tab.complaints(), [])

    def test_a_running_job_is_stopped_in_the_page(self):
        tab, name = self.signed_in(), self.numbers(100_000)
        join = f"SELECT COUNT(*) FROM {name} a JOIN {name} b ON a.n <> b.n"
        self.type(tab, "#text", f"SET odps.sql.allow.cartesian=true; {join}")
        self.key(tab, "Enter", 13, CONTROL)
        wait_for("the button", lambda: not tab.run("document.getElementById('stop').hidden"))
        wait_for("its start", lambda: "Running" in tab.run("document.getElementById('outcome-state').textContent"))
        tab.run("document.getElementById('stop').click()")
        wait_for("the end", lambda: "Stopped" in tab.run("document.getElementById('outcome-state').textContent"))
        self.assertEqual(tab.complaints(), [])

    def test_it_works_without_scripts(self):
        tab, name = self.signed_in(scripts=False), self.numbers(3)
        self.type(tab, "#text", f"SELECT label FROM {name} ORDER BY n LIMIT 10")
        self.focus(tab, "#run")
        self.key(tab, "Enter", 13)
        wait_for("the rows on the page of the job", lambda: self.shows(tab, "<bdi>row 2</bdi>"))
        self.assertIn("Rows 1 to 3 of 3", tab.source())

    def test_a_page_that_is_loaded_again_loads_no_file_again(self):
        tab, name = self.signed_in(scripts=False), self.name("loaded")
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            file.write("n\n1\n2\n")
            file.flush()
            tab.open(self.address("/console/projects/demo/upload"))
            self.type(tab, "#table", name)
            root = tab.call("DOM.getDocument")["root"]["nodeId"]
            node = tab.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
            tab.call("DOM.setFileInputFiles", files=[file.name], nodeId=node)
            self.focus(tab, "form.fields button.main")
            self.key(tab, "Enter", 13)
            self.browser.wait("Page.loadEventFired", tab.session)
            self.assertIn(f"2 rows were added to table {name}.", tab.source())
            tab.call("Page.reload")
            self.browser.wait("Page.loadEventFired", tab.session)
            self.assertIn(f"2 rows were added to table {name}.", tab.source())
        self.assertEqual(self.query(f"SELECT COUNT(*) FROM {name}"), [(2,)])

    def test_a_screen_reader_finds_names_for_everything(self):
        tab, name = self.signed_in(), self.numbers(3)
        for path in ("/console", "/console/keys", "/console/projects/demo", "/console/projects/demo/sql", "/console/projects/demo/upload", f"/console/projects/demo/tables/{name}"):
            with self.subTest(path=path):
                tab.open(self.address(path))
                tree = tab.tree()
                roles = [role for role, _ in tree]
                for role in ("main", "banner", "contentinfo"):
                    self.assertEqual(roles.count(role), 1, role)
                for role in ("button", "textbox", "combobox", "checkbox", "link", "table", "region", "navigation", "heading"):
                    names = [name for found, name in tree if found == role]
                    self.assertTrue(all(names), f"{role}: {names}")
                self.assertEqual(tab.run("document.querySelectorAll('h1').length"), 1)


if __name__ == "__main__":
    unittest.main()
