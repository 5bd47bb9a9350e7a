"""Opens the dashboard in headless Chromium and does what a person does; prints what there is to be seen as JSON.

Usage: dashboard.py URL [DIRECTORY FOR SCREENSHOTS]
"""

import base64
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, "target/python")
import websocket  # The websocket-client package.

LIMIT = 60
# A desk and a phone.
SIZES = [("desk", 1400, 1500), ("phone", 390, 2600)]


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


TILES = "Object.fromEntries([...document.querySelectorAll('[data-value]')].map(b => [b.dataset.value, b.textContent]))"
ROWS = "Object.fromEntries(['cores', 'series', 'upstreams', 'limits', 'slow'].map(id => [id, [...document.querySelectorAll(`#${id} tr`)].map(row => row.innerText)]))"


def look(page, url, shots):
    page.call("Page.navigate", url=url)
    page.wait("document.readyState == 'complete' && now !== null && past.length > 2")
    seen = {"title": page.run("document.title"), "state": page.run("document.getElementById('state').textContent"), "sizes": {}}
    for button in ["1s", "10s", "1m", "all"]:
        page.click(f"[data-window='{button}']")
        page.wait(f"document.querySelector(\"[data-window='{button}']\").getAttribute('aria-pressed') == 'true'")
        seen[button] = {"tiles": page.run(TILES), "curve": page.run("!!document.querySelector('#curve path')")}
    seen["rows"] = page.run(ROWS)
    seen["rate"] = page.run("document.querySelector('[data-line=answered]').getAttribute('d').split('L').length")
    seen["heat"] = page.run("[...document.getElementById('heat').getContext('2d').getImageData(60, 0, 200, 150).data].some(v => v) || past.some(s => s.heat.some(c => c))")
    for name, width, height in SIZES:
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=name == "phone")
        for scheme in ("light", "dark"):
            page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            page.run("scrollTo(0, 0)")
            page.run("draw()")
            if shots:
                page.screenshot(shots / f"dashboard-{name}-{scheme}.png")
        # What is wider than the window can be reached by scrolling its own table only.
        seen["sizes"][name] = page.run("document.documentElement.scrollWidth") <= width
    seen["problems"] = page.problems
    return seen


def main():
    url = sys.argv[1]
    shots = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0"]
        browser = subprocess.Popen(
            ["timeout", str(LIMIT), "chromium", *arguments, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.DEVNULL
        )
        try:
            told = pathlib.Path(profile, "DevToolsActivePort")
            until = time.monotonic() + 30
            while not (told.exists() and told.read_text().strip()):
                if time.monotonic() > until:
                    raise RuntimeError("chromium doesn't start")
                time.sleep(0.1)
            print(json.dumps(look(Page(told.read_text().split()[0]), url, shots)))
        finally:
            browser.terminate()
            browser.wait()


main()
