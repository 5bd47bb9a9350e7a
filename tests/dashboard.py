"""Opens the dashboard in headless Chromium and does what a person does; prints what there is to be seen as JSON.

Usage: dashboard.py URL [DIRECTORY FOR SCREENSHOTS]
"""

import json
import pathlib
import sys

from browser import opened

# A desk and a phone.
SIZES = [("desk", 1400, 1500), ("phone", 390, 2600)]

TILES = "Object.fromEntries([...document.querySelectorAll('[data-value]')].map(b => [b.dataset.value, b.textContent]))"
ROWS = "Object.fromEntries(['cores', 'series', 'upstreams', 'limits', 'protocols', 'slow'].map(id => [id, [...document.querySelectorAll(`#${id} tr`)].map(row => row.innerText)]))"


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
    shots = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with opened() as page:
        print(json.dumps(look(page, sys.argv[1], shots)))


main()
