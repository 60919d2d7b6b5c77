"""A tab in which the first account has signed in to the console, and what a hand on keyboard and mouse does there."""

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
