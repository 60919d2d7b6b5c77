"""The console's pages of the table store as a browser gets them: rows that the SDK of Tablestore wrote, page by page.

Expected values are those that were written, or follow from them by arithmetic. Keys in addresses are JSON (RFC 8259).
"""

import datetime
import html
import json
import re
import time
import unittest
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from tablestore import (
    BatchWriteRowRequest,
    PutRowItem,
    Row,
    SecondaryIndexMeta,
    SecondaryIndexType,
    TableInBatchWriteRowItem,
)

import harness
import ots
from ots import IGNORE, OtsCase
from test_console import HARMLESS, HOSTILE, Browser, shown_size

KEYS = [("who", "STRING"), ("n", "INTEGER"), ("raw", "BINARY")]


def key(who, n, raw):
    return [("who", who), ("n", n), ("raw", bytearray(raw))]


def in_address(who, n, raw):
    """The key as addresses have it."""
    return json.dumps([who, n, {"hex": raw.hex()}])


def part(value):
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def keys_of(page):
    """The keys of the rows on a page, in their order, from the links to them."""
    links = re.findall(r'<th scope="row" class="cell"><a href="([^"]*/row\?key=[^"]*)"', page)
    keys = [json.loads(parse_qs(urlsplit(html.unescape(link)).query)["key"][0]) for link in links]
    return [tuple(part(value) for value in key) for key in keys]


def link(page, words):
    """Where the link with these words leads, or None."""
    found = re.search(r'<a href="([^"]+)"(?: rel="next")?>' + re.escape(words) + "</a>", page)
    return html.unescape(found.group(1)) if found else None


def costs(page):
    """The read units that a page says it used."""
    return int(re.search(r"Read units that this page used: (\d+)\.", page).group(1))


class TableStorePages(OtsCase):
    def setUp(self):
        super().setUp()
        self.browser = self.signed_in(self.server.credentials())
        self.base = f"/console/ots/{self.instance}"

    def signed_in(self, login):
        browser = Browser(self.server)
        answer = browser.sign_in(login["access_id"], login["secret"])
        self.assertEqual(answer.status_code, 303)
        return browser

    def page(self, path, status=200):
        answer = self.browser.open(path)
        self.assertEqual(answer.status_code, status, answer.text)
        self.assertTrue(answer.headers["Content-Security-Policy"].startswith("default-src 'none'"))
        self.assertNotIn("unsafe", answer.headers["Content-Security-Policy"])
        return answer.text

    def rows(self, table, **query):
        return self.page(f"{self.base}/tables/{table}/rows" + ("?" + urlencode(query) if query else ""))

    def write(self, table, keys, cells):
        """Writes a row for each key, 200 at once."""
        for first in range(0, len(keys), 200):
            items = [PutRowItem(Row(key(*each), cells), IGNORE) for each in keys[first : first + 200]]
            request = BatchWriteRowRequest()
            request.add(TableInBatchWriteRowItem(table, items))
            self.assertTrue(self.ots.batch_write_row(request).is_all_succeed())

    def units(self, table):
        """What the table has used, as the command line tells it."""
        tables = self.server.cli("ots", "instance", "tables", self.instance)
        (own,) = [each for each in tables if each["table"] == table and not each.get("index")]
        return own["read_units"], own["write_units"]

    def test_an_instance_and_its_tables_are_shown(self):
        index = SecondaryIndexMeta("by_town", ["town"], ["age"], SecondaryIndexType.GLOBAL_INDEX)
        defined = [("town", "STRING"), ("age", "INTEGER")]
        ots.create(self.ots, "people", KEYS, columns=defined, indexes=[index])
        ots.create(self.ots, "log", [("at", "INTEGER")], ttl=86400 * 7, versions=5)
        # The first unit of a row has 4 KB (documentation of capacity units).
        self.write("people", [("Ada", n, b"") for n in range(3)], [("town", "London")])
        reads, writes = self.units("people")
        self.assertEqual((reads, writes), (0, 3))
        listed = self.page("/console/ots")
        self.assertIn(f'href="{self.base}"', listed)
        line = re.search(rf'href="{self.base}".*?</tr>', listed).group(0)
        self.assertIn('<td class="number">2</td>', line)
        page = self.page(self.base)
        for name in ("people", "by_town", "log"):
            self.assertIn(f'href="{self.base}/tables/{name}"><bdi>{name}</bdi>', page)
        self.assertIn("<bdi>who, n, raw</bdi>", page)
        self.assertIn("604,800 seconds", page)
        people = self.page(f"{self.base}/tables/people")
        for name, kind in [("who", "string"), ("n", "integer"), ("raw", "binary"), ("town", "string"), ("age", "integer")]:
            self.assertRegex(people, rf'<th scope="row"><bdi>{name}</bdi>.*?</th><td><code>{kind}</code></td>')
        self.assertIn("<td>global</td><td>ready</td>", people)
        self.assertIn("<dt>Write units</dt><dd><bdi>3</bdi></dd>", people)
        by_town = self.page(f"{self.base}/tables/by_town")
        self.assertIn(f'Index of <a href="{self.base}/tables/people">', by_town)
        self.assertEqual([each[0] for each in keys_of(self.rows("by_town"))], ["London"] * 3)
        log = self.page(f"{self.base}/tables/log")
        self.assertIn("<dt>Versions kept</dt><dd><bdi>5</bdi></dd>", log)
        self.assertEqual(self.browser.open(f"{self.base}/tables/nothing").status_code, 404)

    def test_paging_covers_every_row_once_both_ways(self):
        ots.create(self.ots, "t", KEYS)
        # The order of keys: texts and bytes as bytes, numbers as numbers (documentation, "Primary keys").
        whos = ["", " a&b=c", "A", "a", "a+b", "é", "字"]
        keys = [(who, n, raw) for who in whos for n in (-5, 0, 2**63 - 1) for raw in (b"", b"\0", b"\x7f", b"\xff\0", b"\xff\xff", b"%")]
        keys.sort(key=lambda each: (each[0].encode(), each[1], each[2]))
        self.assertEqual(len(keys), 126)
        self.write("t", keys, [("v", 1)])
        before, used = self.units("t")[0], 0
        for direction, expected in (("forward", keys), ("backward", keys[::-1])):
            page, seen, pages = self.rows("t", direction=direction), [], 0
            while True:
                seen += keys_of(page)
                used += costs(page)
                pages += 1
                follows = link(page, "Next page")
                if follows is None:
                    break
                page = self.page(follows)
            self.assertEqual(seen, expected)
            # Fifty rows on a page.
            self.assertEqual(pages, 3)
        # The console reads as any client does, and says what it used.
        self.assertGreaterEqual(used, 6)
        self.assertEqual(self.units("t")[0] - before, used)

    def test_a_page_can_be_turned_round(self):
        ots.create(self.ots, "t", KEYS)
        keys = [("a", n, b"x") for n in range(120)]
        self.write("t", keys, [])
        second = self.page(link(self.rows("t"), "Next page"))
        self.assertEqual(keys_of(second), keys[50:100])
        back = self.page(link(second, "Backward from the first of these"))
        self.assertEqual(keys_of(back), keys[1:51][::-1])
        forth = self.page(link(back, "Forward from the first of these"))
        self.assertEqual(keys_of(forth), keys[50:100])
        self.assertEqual(keys_of(self.page(link(second, "From the beginning"))), keys[:50])
        self.assertEqual(keys_of(self.page(link(second, "From the end"))), keys[70:][::-1])

    def test_a_key_is_typed_in(self):
        ots.create(self.ots, "t", KEYS)
        keys = [(who, n, raw) for who in ("a", "b", "c") for n in (-1, 7) for raw in (b"", b"\xca\xfe")]
        self.write("t", keys, [("v", 1)])
        typed = lambda **fields: keys_of(self.rows("t", **{"key1": "", "key2": "", "key3": "", "columns": "", **fields}))
        self.assertEqual(typed(), keys)
        self.assertEqual(typed(key1="b"), keys[4:])
        self.assertEqual(typed(key1="b", key2="0"), keys[6:])
        self.assertEqual(typed(key1="b", key2="7", key3="0xCA FE"), keys[7:])
        # Backward what is left empty is the end.
        self.assertEqual(typed(key1="b", direction="backward"), keys[:8][::-1])
        self.assertEqual(typed(key1="b", key2="-1", direction="backward"), keys[:6][::-1])
        row = f"{self.base}/tables/t/row?"
        page = self.page(row + urlencode({"key1": "b", "key2": "7", "key3": "cafe", "direction": "forward", "columns": ""}))
        self.assertIn("<bdi>cafe</bdi> <span class=\"type\">binary, 2 B</span>", page)
        self.assertIn("<bdi>v</bdi>", page)
        self.page(row + "key1=b&key2=7&key3=", 200)
        missing = self.page(row + "key1=b&key2=8&key3=", 404)
        self.assertIn("There is no row with this key.", missing)
        rows = f"{self.base}/tables/t/rows?"
        for path, words in (
            (rows + "key1=a&key2=x", "must be a whole number"),
            (rows + "key1=a&key2=1&key3=0", "must be hexadecimal"),
            (rows + "key2=1", "before it has none"),
            (rows + "start=%5B1%5D", "Validate PK type fail"),
            (rows + "start=nothing", "must be a list of numbers"),
            (rows + "start=%5B%22a%22%5D&key1=b", "either"),
            (rows + "direction=sideways", "must be forward or backward"),
            (rows + "columns=%5B1", "no list of names"),
            (row + "key1=a&key2=&key3=", "must be a whole number"),
            (row + "key=%5B%22a%22%5D", "Validate PK size fail"),
        ):
            with self.subTest(path=path):
                page = self.page(path, 400)
                self.assertIn(words, page)
                # The form is there to be mended.
                self.assertIn('id="key1"', page)

    def test_columns_are_chosen_and_rows_without_them_stay(self):
        ots.create(self.ots, "t", [("k", "INTEGER")])
        self.ots.put_row("t", Row([("k", 1)], [("a", "one"), ("b", "two"), ("c,d", "three")]), IGNORE)
        self.ots.put_row("t", Row([("k", 2)], [("b", "four")]), IGNORE)
        page = self.rows("t", columns="a, x")
        self.assertEqual(keys_of(page), [(1,), (2,)])
        self.assertIn("<bdi>one</bdi>", page)
        self.assertNotIn("<bdi>two</bdi>", page)
        page = self.rows("t", columns='["c,d"]')
        self.assertIn("<bdi>three</bdi>", page)
        self.assertNotIn("<bdi>one</bdi>", page)

    def test_a_row_shows_every_version_with_its_time(self):
        ots.create(self.ots, "t", KEYS, versions=3)
        row, now = key("Ada", 1, b"\0\xff"), int(time.time()) * 1000
        written = [(now - 60_000 * age, f"value {age}") for age in range(3)]
        for at, value in written:
            self.ots.update_row("t", Row(row, {"PUT": [("v", value, at)]}), IGNORE)
        page = self.page(f"{self.base}/tables/t/row?" + urlencode({"key": in_address("Ada", 1, b"\0\xff")}))
        shown = re.findall(r'<bdi>v</bdi></th><td><code>string</code></td><td class="number">(\d+)</td><td><time datetime="[^"]*">([^<]*)</time></td><td class="number">7 B</td><td class="cell"><bdi>([^<]*)</bdi>', page)
        clock = lambda ms: datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        self.assertEqual(shown, [(str(at), clock(at), value) for at, value in written])
        # A page of rows has the newest.
        rows = self.rows("t")
        self.assertIn("<bdi>value 0</bdi>", rows)
        self.assertNotIn("<bdi>value 1</bdi>", rows)

    def test_values_of_every_type_are_shown_and_large_ones_are_cut(self):
        ots.create(self.ots, "t", [("k", "STRING")])
        cells = [
            ("bin", bytearray(range(16))),
            ("empty", ""),
            ("false", False),
            ("int", -(2**63)),
            ("large", "字" * 400_000),
            ("long", bytearray(100_000)),
            ("pi", 3.141592653589793),
            ("text", "5"),
            ("tiny", 5e-324),
        ]
        self.ots.put_row("t", Row([("k", "")], cells), IGNORE)
        for page in (self.rows("t"), self.page(f"{self.base}/tables/t/row?key=%5B%22%22%5D")):
            for value in ("000102030405060708090a0b0c0d0e0f", "false", "-9223372036854775808", "3.141592653589793", "5e-324", "5"):
                self.assertIn(f"<bdi>{value}</bdi>", page)
            # 1,200,000 bytes.
            self.assertIn('<span class="type">1.1 MiB, cut</span>', page)
            self.assertIn(f'<span class="type">binary, {shown_size(100_000)}, cut</span>', page)
            self.assertIn('<span class="type">binary, 16 B</span>', page)
            self.assertIn('<span class="type">empty</span>', page)
            self.assertLess(len(page), 100_000)

    def test_names_keys_and_cells_of_users_are_text(self):
        defined = [(HOSTILE + "d", "STRING")]
        # In rows the SDK says how many characters a name has where the protocol wants bytes.
        name = HOSTILE.replace("\u202e", "")
        ots.create(self.ots, "t", [(name, "STRING")], columns=defined)
        self.ots.put_row("t", Row([(name, HOSTILE)], [(name + "c", HOSTILE)]), IGNORE)
        there = quote(json.dumps([HOSTILE], ensure_ascii=False), safe="")
        for path in (
            self.base,
            f"{self.base}/tables/t",
            f"{self.base}/tables/t/rows",
            f"{self.base}/tables/t/rows?start={there}",
            f"{self.base}/tables/t/rows?columns={quote(json.dumps([name + 'c']))}",
            f"{self.base}/tables/t/row?key={there}",
        ):
            for language in ("en", "zh"):
                with self.subTest(path=path, language=language):
                    answer = self.browser.open(path, headers={"Accept-Language": language})
                    self.assertEqual(answer.status_code, 200, answer.text)
                    self.assertIn(HARMLESS.removesuffix("\\u{202e}"), answer.text)
                    self.assertNotIn("<script>", answer.text)
                    self.assertNotIn("\u202e", answer.text)
        # Refusals say back what they were given.
        for path in (f"{self.base}/tables/t/rows?start={quote(HOSTILE)}", f"{self.base}/tables/{quote(HOSTILE, safe='')}", f"/console/ots/{quote(HOSTILE, safe='')}"):
            answer = self.browser.open(path)
            self.assertIn(answer.status_code, (400, 404))
            self.assertNotIn("<script>", answer.text)
            self.assertNotIn("\u202e", answer.text)

    def test_another_account_finds_nothing_and_learns_nothing(self):
        ots.create(self.ots, "t", [("k", "STRING")])
        self.ots.put_row("t", Row([("k", "secret_key")], [("c", "secret_cell")]), IGNORE)
        name = "ALIYUN$" + harness.unique("visitor")
        self.server.cli("account", "create", name)
        login = self.server.cli("key", "create", "--account", name)
        visitor = self.signed_in(login)
        self.assertNotIn(self.instance, visitor.open("/console/ots").text)
        for path in ("", "/tables/t", "/tables/nothing", "/tables/t/rows", "/tables/t/row?key=%5B%22secret_key%22%5D"):
            with self.subTest(path=path):
                said = []
                for instance in (self.instance, "nobodys"):
                    answer = visitor.open(f"/console/ots/{instance}{path}")
                    self.assertEqual(answer.status_code, 404)
                    self.assertNotIn("secret_cell", answer.text)
                    said.append(re.search(r'role="alert">(.*?)</div>', answer.text, re.S).group(1).replace(instance, "…"))
                self.assertEqual(said[0], said[1])
                # Nobody at all is sent to sign in.
                nobody = Browser(self.server).open(f"/console/ots/{self.instance}{path}")
                self.assertEqual(nobody.status_code, 303)
                self.assertTrue(nobody.headers["Location"].startswith("/console/login?next="))
        answer = visitor.submit(f"/console/ots/{self.instance}", {"action": "really delete"})
        self.assertEqual(answer.status_code, 404)
        self.assertIn("secret_cell", self.rows("t"))

    def test_instances_are_made_and_deleted(self):
        name = harness.unique("c").replace("_", "-")
        there = f"/console/ots/{name}"
        for _ in range(2):
            made = self.browser.submit("/console/ots", {"action": "create", "name": name})
            self.assertEqual((made.status_code, made.headers["Location"]), (303, there))
        self.assertIn(name, [each["name"] for each in self.server.cli("ots", "instance", "list")])
        client = ots.sdk(self.server, name)
        ots.create(client, "t", [("k", "STRING")])
        asked = self.browser.submit(there, {"action": "delete"})
        self.assertEqual(asked.status_code, 200)
        self.assertIn('value="really delete"', asked.text)
        refused = self.browser.submit(there, {"action": "really delete"})
        self.assertEqual(refused.status_code, 409)
        self.assertIn("still has tables", refused.text)
        client.delete_table("t")
        # The second time it is gone already.
        for _ in range(2):
            gone = self.browser.submit(there, {"action": "really delete"})
            self.assertEqual((gone.status_code, gone.headers["Location"]), (303, "/console/ots"))
        self.assertNotIn(name, [each["name"] for each in self.server.cli("ots", "instance", "list")])
        self.page(there, 404)
        refused = self.browser.submit("/console/ots", {"action": "create", "name": HOSTILE})
        self.assertEqual(refused.status_code, 400)
        self.assertNotIn("<script>", refused.text)
        self.assertNotIn("\u202e", refused.text)
        foreign = self.browser.submit("/console/ots", {"action": "create", "name": name}, headers={"Origin": "http://evil.example"})
        self.assertEqual(foreign.status_code, 403)

    def test_every_page_says_what_does_the_same(self):
        ots.create(self.ots, "t", [("k", "STRING")])
        self.ots.put_row("t", Row([("k", "a b")], [("c", 1)]), IGNORE)
        api = f"GET /admin/v1/ots/instances/{self.instance}/tables"
        for path, line, call in (
            ("/console/ots", "feitian ots instance list", "GET /admin/v1/ots/instances"),
            (self.base, f"feitian ots instance tables {self.instance}", api),
            (f"{self.base}/tables/t", f"feitian ots instance tables {self.instance}", f"{api}/t"),
            (f"{self.base}/tables/t/rows?columns=c", f"feitian ots instance tables {self.instance}",
             f"{api}/t/rows?count=50&columns=%5B%22c%22%5D&value_bytes=256"),
            (f"{self.base}/tables/t/row?key=%5B%22a+b%22%5D", f"feitian ots instance tables {self.instance}",
             f"{api}/t/rows?key=%5B%22a+b%22%5D&versions=2147483647&value_bytes=4096"),
        ):
            with self.subTest(path=path):
                page = self.page(path)
                for same in (line, call):
                    self.assertIn(f"<code><bdi>{html.escape(same).replace('&amp;', '&#38;')}</bdi></code>", page)
                # The program knows the line.
                self.server.cli(*line.split()[1:])


if __name__ == "__main__":
    unittest.main()
