"""A headless Chromium, driven over the pipe of its DevTools protocol: pages are opened, asked and drawn.

FEITIAN_TEST_SCREENSHOTS is the directory for drawings; without it they lie beside the server logs.
"""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

DEADLINE_S = 60
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
MISSING = (
    "there is no Chromium on this machine, and a page that no browser has shown is not tested; "
    "install one with: sudo apt-get install -y chromium-headless-shell fonts-wqy-microhei"
)


class Browser:
    """One process with a profile of its own. `with Browser() as browser` ends it."""

    def __init__(self):
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise AssertionError(MISSING)
        self.profile = tempfile.mkdtemp(prefix="feitian-browser-")
        self.log = open(os.path.join(self.profile, "log"), "wb")
        ours, theirs = self._pipes()
        command = [program, "--headless", "--remote-debugging-pipe", f"--user-data-dir={self.profile}", "--no-first-run"]
        # The sandbox does not run as root, and no page here comes from elsewhere. /dev/shm is small in containers.
        command += ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", "about:blank"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, close_fds=False, preexec_fn=theirs
        )
        self._to, self._from = ours()
        self._rest = b""
        self._ids = itertools.count(1)
        self.events = []

    @staticmethod
    def _pipes():
        """Chromium reads commands from descriptor 3 and writes answers to descriptor 4."""
        read_commands, write_commands = os.pipe()
        read_answers, write_answers = os.pipe()
        # Above 4, so that neither stands in the other's way.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (read_commands, write_answers)]
        os.close(read_commands)
        os.close(write_answers)

        def theirs():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        def ours():
            for fd in high:
                os.close(fd)
            return write_commands, read_answers

        return ours, theirs

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait(DEADLINE_S)
        os.close(self._to)
        os.close(self._from)
        self.log.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _message(self, end):
        """The next message, or None when the time is over."""
        while b"\0" not in self._rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                return None
            read = os.read(self._from, 1 << 20)
            if not read:
                with open(os.path.join(self.profile, "log"), encoding="utf-8", errors="replace") as log:
                    raise AssertionError(f"Chromium ended:\n{log.read()[-3000:]}")
            self._rest += read
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        """Calls a method of the protocol and returns its result; events that come meanwhile are kept."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        end = time.monotonic() + DEADLINE_S
        while True:
            answer = self._message(end)
            if answer is None:
                raise AssertionError(f"Chromium did not answer {method} within {DEADLINE_S} s")
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait(self, method, session, seconds=DEADLINE_S):
        """Waits for an event that has not been waited for before."""
        end = time.monotonic() + seconds
        while True:
            for at, event in enumerate(self.events):
                if event.get("method") == method and event.get("sessionId") == session:
                    return self.events.pop(at)["params"]
            event = self._message(end)
            if event is None:
                raise AssertionError(f"{method} did not happen within {seconds} s")
            self.events.append(event)

    def tab(self, **settings):
        return Tab(self, **settings)


class Tab:
    """An empty page in a context of its own."""

    def __init__(self, browser, width=1280, height=900, dark=False, language="en", scripts=True):
        self.browser = browser
        context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM", "Accessibility"):
            self.call(f"{domain}.enable")
        mobile = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})
        if not scripts:
            self.call("Emulation.setScriptExecutionDisabled", value=True)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def open(self, address):
        found = self.call("Page.navigate", url=address)
        if found.get("errorText"):
            raise AssertionError(f"{address}: {found['errorText']}")
        self.browser.wait("Page.loadEventFired", self.session)

    def run(self, expression):
        """The value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def source(self):
        """The page as it is now, also where its scripts are off."""
        root = self.call("DOM.getDocument")["root"]
        return self.call("DOM.getOuterHTML", nodeId=root["nodeId"])["outerHTML"]

    def press(self, key, code):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def parameters_of(self, *methods):
        """What events of these kinds have said so far."""
        self.run("1")
        mine = [e for e in self.browser.events if e.get("sessionId") == self.session]
        return [event["params"] for event in mine if event.get("method") in methods]

    def complaints(self):
        """What the browser had to say against the page: errors, refused loads, dialogs."""
        said = [p["entry"]["text"] for p in self.parameters_of("Log.entryAdded") if p["entry"]["level"] == "error"]
        said += [str(p) for p in self.parameters_of("Runtime.exceptionThrown", "Page.javascriptDialogOpening")]
        return said

    def requests(self):
        return [p["request"]["url"] for p in self.parameters_of("Network.requestWillBeSent")]

    def tree(self):
        """(role, name) of everything that a screen reader is told about."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        text = lambda node, key: node.get(key, {}).get("value", "")
        return [(text(node, "role"), text(node, "name")) for node in nodes if not node.get("ignored")]

    def screenshot(self, name):
        """Draws the whole page into a PNG file and returns its path."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}
        drawn = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        directory = os.environ.get("FEITIAN_TEST_SCREENSHOTS") or os.environ.get("FEITIAN_TEST_LOGS") or tempfile.gettempdir()
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, f"{name}.png")
        with open(path, "wb") as file:
            file.write(base64.b64decode(drawn["data"]))
        return path
