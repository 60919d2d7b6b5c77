"""A tab in which the first account has signed in to the console, and what a hand on keyboard and mouse does there."""

from test_logview_browser import CONTRAST

CONTROL = 2


class SignedIn:
    """For test cases with a `server` and a `browser`."""

    def address(self, path):
        return self.server.endpoint[: -len("/api")] + path

    def focus(self, tab, selector):
        """As a click would; works where scripts are off."""
        root = tab.call("DOM.getDocument")["root"]["nodeId"]
        node = tab.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.assertTrue(node, selector)
        tab.call("DOM.focus", nodeId=node)

    def type(self, tab, selector, text):
        self.focus(tab, selector)
        tab.call("Input.insertText", text=text)

    def key(self, tab, key, code, modifiers=0):
        text = {"Enter": "\r", " ": " "}.get(key, "") if not modifiers else ""
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, modifiers=modifiers, text=text)

    def signed_in(self, **settings):
        """A tab whose owner signed in by hand and came to the workbench of the first project."""
        tab, login = self.browser.tab(**settings), self.server.credentials()
        tab.open(self.address("/console/projects/demo/sql"))
        self.type(tab, "#access_id", login["access_id"])
        self.type(tab, "#secret", login["secret"])
        self.key(tab, "Enter", 13)
        self.browser.wait("Page.loadEventFired", tab.session)
        self.assertIn('id="workbench"', tab.source())
        return tab

    def shows(self, tab, words):
        """Whether the page has these words; a page that is being left has none."""
        try:
            return words in tab.source()
        except AssertionError:
            return False

    def check_looks(self, prefix, pages, refused, own=()):
        """That the pages, paths by name, can be read in both schemes and languages and on a narrow screen, run nothing and
        fetch nothing from elsewhere. `refused` are the statuses that some of them have, `own` what the browser fetches from
        itself."""
        papers = set()
        for name, settings in {
            "light": {},
            "dark": {"dark": True},
            "zh": {"language": "zh-CN,zh;q=0.9"},
            "narrow": {"width": 390, "height": 840},
        }.items():
            tab = self.signed_in(**settings)
            for page, path in pages.items():
                with self.subTest(name=name, page=page):
                    tab.open(self.address(path))
                    tab.screenshot(f"{prefix}-{page}-{name}")
                    ratio, text = tab.run(CONTRAST)
                    self.assertGreaterEqual(ratio, 4.5, text)
                    self.assertLessEqual(tab.run("document.documentElement.scrollWidth - window.innerWidth"), 0)
                    self.assertEqual(tab.run("document.documentElement.lang"), "zh-CN" if name == "zh" else "en")
                    self.assertEqual(tab.run("document.querySelectorAll('main script, img, [onerror]').length"), 0)
                    papers.add(tab.run("getComputedStyle(document.body).backgroundColor"))
            # A page that was refused is itself an error that the browser tells.
            said = [words for words in tab.complaints() if not any(status in words for status in refused)]
            self.assertEqual(said, [])
            there = (self.address("/"), *own)
            self.assertEqual([url for url in tab.requests() if not url.startswith(there)], [])
        self.assertEqual(len(papers), 2, "light and dark have papers of their own")
