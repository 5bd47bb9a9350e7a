"""User instructions per request, which repeat within some percent on any machine."""

import re
import urllib.request

from figure import Figure, Target
from load import ask_many, touch
from peers import PORTS
from processes import Failure
from rounds import each

COUNTED = ["ringway", "nginx", "HAProxy", "relay"]
# User instructions of a request over many connections, as CPU per request is: the targets that were set.
CONNECTIONS = 64
TARGETS = {"ringway": 10_000, "all on": 10_000}
# What the gate allows over one connection, where each operation pays for a whole turn of the loop: 2 % above what is counted.
# Over many, how many requests share a turn is the machine's whim, and a count swings by more.
GATE_LIMITS = {"ringway": 11_250, "all on": 12_420, "all off": 10_880}


def instructions(peers, connections, lengths=(2_000, 12_000), names=COUNTED, varied=False):
    """User instructions per request: what a longer run costs the serving thread more, over the requests it has more.

    Others work by the clock, and as a program under valgrind runs some thirty times slower, would weigh so many times too much.
    """
    mine = names[0]
    plural = "1 connection" if connections == 1 else f"{connections} connections"
    targets = [Target(TARGETS[mine])] if connections == CONNECTIONS and not varied else []
    if varied:
        plural += ", a header different each time"
    if mine != "ringway":
        plural += f", {mine}"
    figure = Figure(f"User instructions per request, {plural}", "", targets, names=names)
    drivers = []

    def run(name, count):
        counts = peers.directory / f"callgrind.{name}"
        valgrind = ["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={counts}.%p"]
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
        return max(totals)

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
