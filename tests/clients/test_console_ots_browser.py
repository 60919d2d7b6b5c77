"""The console's pages of the table store in a real browser: with and without scripts, keyboard, screen reader, dark and light.

What is asked for is in public rules: WCAG 2.2 (contrast 1.4.3, reflow 1.4.10, labels 3.3.2, names 4.1.2), the HTML standard,
and Content-Security-Policy as the browser itself enforces it.
"""

import json
import unittest
from urllib.parse import quote

from tablestore import Row, SecondaryIndexMeta, SecondaryIndexType

import ots
from browser import Browser
from console_tab import SignedIn
from harness import wait_for
from ots import IGNORE, OtsCase

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"&\u202e"
# The SDK says how many characters a name has where the protocol wants bytes.
NAME = HOSTILE.replace("\u202e", "")
# The same as it is shown: the mark by its number.
SHOWN = HOSTILE.replace("\u202e", "\\u{202e}")


class TableStoreInABrowser(SignedIn, OtsCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        super().setUp()
        self.base = f"/console/ots/{self.instance}"

    def fill(self):
        """A table with an index, 120 rows, and cells that somebody meant badly."""
        index = SecondaryIndexMeta("by_town", ["town"], [], SecondaryIndexType.GLOBAL_INDEX)
        keys, columns = [("who", "STRING"), ("n", "INTEGER"), ("raw", "BINARY")], [("town", "STRING")]
        ots.create(self.ots, "people", keys, columns=columns, indexes=[index])
        for n in range(120):
            key = [("who", "Ada"), ("n", n), ("raw", bytearray(b"\0\xff"))]
            cells = [("town", f"town {n}"), (NAME, HOSTILE), ("bytes", bytearray(1000))]
            self.ots.put_row("people", Row(key, cells), IGNORE)

    def row(self, n):
        return f"{self.base}/tables/people/row?key=" + quote(json.dumps(["Ada", n, {"hex": "00ff"}]))

    def test_it_looks_right_in_both_schemes_and_languages_and_on_a_narrow_screen(self):
        self.fill()
        table = f"{self.base}/tables/people"
        pages = {
            "instances": "/console/ots",
            "instance": self.base,
            "table": table,
            "rows": f"{table}/rows",
            "row": self.row(7),
            "no-row": self.row(777),
            "mistake": f"{table}/rows?key1=Ada&key2=x",
        }
        self.check_looks("console-ots", pages, refused=["404", "400"])

    def test_rows_are_found_by_keyboard_without_scripts(self):
        self.fill()
        tab = self.signed_in(scripts=False)
        tab.open(self.address(f"{self.base}/tables/people/rows"))
        self.assertIn("<bdi>town 49</bdi>", tab.source())
        self.assertNotIn("<bdi>town 50</bdi>", tab.source())
        self.focus(tab, "a[rel=next]")
        self.key(tab, "Enter", 13)
        wait_for("the next page", lambda: self.shows(tab, "<bdi>town 99</bdi>"))
        self.type(tab, "#key1", "Ada")
        self.type(tab, "#key2", "118")
        self.key(tab, "Enter", 13)
        wait_for("the rows from the key on", lambda: self.shows(tab, "<bdi>town 118</bdi>") and not self.shows(tab, "<bdi>town 99</bdi>"))
        self.assertIn("<bdi>town 119</bdi>", tab.source())
        # What was typed in is still there; one row needs all of the key.
        self.type(tab, "#key3", "00 ff")
        self.focus(tab, "button[formaction]")
        self.key(tab, "Enter", 13)
        wait_for("the row", lambda: self.shows(tab, "Cells by column"))
        self.assertIn("<bdi>town 118</bdi>", tab.source())
        self.assertIn("1000 B", tab.source())

    def test_values_of_users_run_nothing(self):
        self.fill()
        tab = self.signed_in()
        for path in (f"{self.base}/tables/people/rows", self.row(7)):
            tab.open(self.address(path))
            self.assertEqual(tab.run("document.querySelectorAll('main script, img, [onerror]').length"), 0)
            shown = tab.run("Array.from(document.querySelectorAll('table bdi')).map((b) => b.textContent)")
            self.assertIn(SHOWN, shown)
            self.assertTrue(any(NAME in text for text in shown))
            self.assertFalse(any("\u202e" in text for text in shown))
        self.assertEqual(tab.complaints(), [])

    def test_a_screen_reader_finds_names_for_everything(self):
        self.fill()
        tab = self.signed_in()
        table = f"{self.base}/tables/people"
        for path in ("/console/ots", self.base, table, f"{table}/rows", self.row(7)):
            with self.subTest(path=path):
                tab.open(self.address(path))
                tree = tab.tree()
                roles = [role for role, _ in tree]
                for role in ("main", "banner", "contentinfo"):
                    self.assertEqual(roles.count(role), 1, role)
                for role in ("button", "textbox", "combobox", "link", "table", "region", "navigation", "heading"):
                    names = [name for found, name in tree if found == role]
                    self.assertTrue(all(names), f"{role}: {names}")
                self.assertEqual(tab.run("document.querySelectorAll('h1').length"), 1)


if __name__ == "__main__":
    unittest.main()
