"""Opens a page in headless Chromium by HTTPS and prints, as JSON, what its script says once it is done, and how each thing was fetched.

Usage: page.py URL CERTIFICATE
"""

import base64
import hashlib
import json
import subprocess
import sys

from browser import opened

FETCHED = "performance.getEntries().filter(e => 'nextHopProtocol' in e).map(e => [new URL(e.name).pathname, e.nextHopProtocol])"


def main():
    url, certificate = sys.argv[1:]
    public = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=public, check=True, capture_output=True).stdout
    trusted = base64.b64encode(hashlib.sha256(der).digest()).decode()
    with opened(f"--ignore-certificate-errors-spki-list={trusted}") as page:
        page.call("Page.navigate", url=url)
        page.wait("window.said !== undefined")
        print(json.dumps({"said": page.run("said"), "fetched": page.run(FETCHED), "problems": page.problems}))


main()
