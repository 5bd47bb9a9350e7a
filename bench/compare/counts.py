"""User instructions per request, which repeat within 1 % on any machine."""

import re
import urllib.request

from figure import Figure, Target
from load import ask_many, touch
from peers import PORTS
from processes import Failure
from rounds import each

COUNTED = ["ringway", "nginx", "HAProxy", "relay"]
# User instructions a request may cost: of the gateway as it comes, with every standard feature and with none. `instructions` fails above.
# The targets are 10,000 and 8,500; since streams may be pipes or have TLS, a request misses them by some 180 and 160.
INSTRUCTIONS_LIMITS = {"ringway": 10_000, "all on": 10_290, "all off": 8_750}
# Over so many connections, as CPU per request is: with one, each operation pays for a whole turn of the loop.
GATE_CONNECTIONS = 64


def instructions(peers, connections, lengths=(2_000, 12_000), names=COUNTED, varied=False):
    """User instructions per request: what a longer run costs more, over the requests it has more."""
    mine = names[0]
    plural = "1 connection" if connections == 1 else f"{connections} connections"
    targets = [Target(INSTRUCTIONS_LIMITS[mine])] if connections == GATE_CONNECTIONS and not varied else []
    if varied:
        plural += ", a header different each time"
    if mine != "ringway":
        plural += f", {mine}"
    figure = Figure(f"User instructions per request, {plural}", "", targets, names=names)
    drivers = []

    def run(name, count):
        counts = peers.directory / f"callgrind.{name}"
        valgrind = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={counts}.%p"]
        proxy = peers.start(name, 60, valgrind, one_process=True)
        try:
            ask_many(PORTS[name], connections, count, varied)
            if name == mine:
                drivers.append(driver(PORTS[mine]))
            if not proxy.end(60, lambda: touch(PORTS[name])):
                raise Failure("it didn't end within 60 s of SIGINT, so callgrind counted nothing")
        finally:
            proxy.end()
        files = list(peers.directory.glob(f"callgrind.{name}.*"))
        totals = [int(found[1]) for file in files if (found := re.search(r"^totals: (\d+)", file.read_text(), re.M))]
        for file in files:
            file.unlink()
        if not totals:
            raise Failure(f"callgrind counted nothing: {proxy.said()}")
        return sum(totals)

    def slope(name):
        short, long = lengths
        return (run(name, long) - run(name, short)) / (long - short)

    origin = peers.start_origin()
    try:
        each(figure, names, slope)
    finally:
        origin.end()
    figure.note = f"ringway's driver under valgrind: {', '.join(sorted(set(drivers)))}" if drivers else ""
    return figure


def driver(port):
    """What moves the gateway's bytes, by its own account."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/gateway/metrics", timeout=10) as page:
            found = re.search(r'^gateway_workers\{driver="(\w+)"\} [1-9]', page.read().decode(), re.M)
            return found[1] if found else "unknown"
    except OSError as error:
        return f"unknown ({error})"
