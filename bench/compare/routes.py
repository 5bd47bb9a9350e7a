"""Configs with many routes, `/svc0/` and up, for those who are compared with them."""

import json
import re

from peers import CONFIGS, REQUEST

COUNT = 10_000
ROUTED = ["ringway", "nginx", "HAProxy"]


def write(directory, count=COUNT):
    """Writes a config for each of `ROUTED`: the files by name, and a request for the last route, so all must be there."""
    gateway = json.loads((CONFIGS / "ringway.json").read_text())
    gateway["routes"] = [{"path": f"/svc{n}/*", "upstream": "app"} for n in range(count)]

    nginx = (CONFIGS / "nginx.conf").read_text()
    routes = "".join(f"        location /svc{n}/ {{ proxy_pass http://app; }}\n" for n in range(count))
    nginx = re.sub(r" *# routes\n.*?\n        }\n", lambda _: routes, nginx, flags=re.S)

    table = directory / "routes.map"
    table.write_text("".join(f"/svc{n}/ app\n" for n in range(count)))
    haproxy = (CONFIGS / "haproxy.cfg").read_text()
    haproxy = re.sub(r"use_backend app if .*", f"use_backend %[path,map_beg({table})]", haproxy)

    files = {name: directory / f"routes-{name}" for name in ROUTED}
    files["ringway"] = files["ringway"].with_suffix(".json")
    for name, text in zip(ROUTED, (json.dumps(gateway), nginx, haproxy)):
        files[name].write_text(text)
    return files, REQUEST.replace(b"/api/", b"/svc%d/" % (count - 1), 1)
