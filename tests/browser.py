"""Headless Chromium, driven by the DevTools protocol."""

import base64
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, "target/python")
import websocket  # The websocket-client package.

# Seconds that it may run.
LIMIT = 60


class Page:
    """A tab, driven by the DevTools protocol."""

    def __init__(self, port):
        targets = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10))
        address = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        self.socket = websocket.create_connection(address, timeout=20, suppress_origin=True)
        self.number, self.problems = 0, []
        self.call("Runtime.enable")
        self.call("Log.enable")

    def call(self, method, **parameters):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.problems.append(message["params"])
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def run(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, expression):
        until = time.monotonic() + 20
        while not self.run(expression):
            if time.monotonic() > until:
                raise RuntimeError(f"waited in vain for {expression}; problems: {self.problems}")
            time.sleep(0.1)

    def click(self, selector):
        """With the mouse, where the thing is."""
        place = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{ block: 'center' }});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def opened(*more):
    """A browser's one tab; `more` is for its command line."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0"]
        browser = subprocess.Popen(
            ["timeout", str(LIMIT), "chromium", *arguments, *more, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.DEVNULL
        )
        try:
            told = pathlib.Path(profile, "DevToolsActivePort")
            until = time.monotonic() + 30
            while not (told.exists() and told.read_text().strip()):
                if time.monotonic() > until:
                    raise RuntimeError("chromium doesn't start")
                time.sleep(0.1)
            yield Page(told.read_text().split()[0])
        finally:
            browser.terminate()
            browser.wait()
