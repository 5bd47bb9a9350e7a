"""The load generators beside each other: what a request costs each of them, and how many it gets out of one core."""

import json
import os
import re
import resource
import shutil
import subprocess

from figure import Figure, Target
from h2load import CONNECTIONS, STREAMS, counts
from load import raise_descriptors, url
from peers import ORIGIN_PORTS, PROXY_CORE
from processes import Failure
from rounds import fill, play

GENERATORS = ["ringload", "wrk", "oha"]
HTTP2_GENERATORS = ["ringload", "h2load", "oha"]
# Where `cargo install oha --locked --root /tmp/oha` puts it; Debian has none.
OHA = shutil.which("oha", path=os.environ["PATH"] + ":/tmp/oha/bin")
URL = url(ORIGIN_PORTS[0], "/")


def generators(bench, connections):
    """A closed loop of each in turn, one thread on the load's core; the endpoint has the other core to itself."""
    return compared(bench, f"{connections} connections", [Target(1 / 1.2, "wrk"), Target(1 / 3, "oha")], GENERATORS, connections)


def http2_generators(bench):
    """The same with many streams on each connection."""
    title = f"HTTP/2, {CONNECTIONS} connections × {STREAMS} streams"
    return compared(bench, title, [Target(1 / 3, "oha")], HTTP2_GENERATORS, CONNECTIONS, STREAMS)


def compared(bench, title, targets, names, connections, streams=0):
    """What a request costs each of them, and how many there are in a second."""
    note = f"{bench.rounds} rounds of {bench.seconds} s"
    spent = Figure(f"CPU per request of the load generator, {title}", "µs", targets, names=names, note=note)
    speed = Figure(f"Requests per second, {title}", "/s", names=names)
    raise_descriptors()
    origin = bench.peers.start_origin(cores={PROXY_CORE}, scripted=streams > 0)
    run = lambda name, number: one(bench.peers, name, bench.seconds if number else 1, connections, streams)
    try:
        kept, _, failed = play(spent.title, names, run, bench.rounds)
    finally:
        origin.end()
    fill((spent, speed), kept, failed)
    return [spent, speed]


def one(peers, name, seconds, connections, streams):
    """Microseconds on a core of one request, and requests per second, of one generator's run; with streams by HTTP/2."""
    length, many = f"{seconds}s", str(connections)
    http2, oha_http2 = (["--http2", "--streams", streams], ["--http2", "-p", streams]) if streams else ([], [])
    commands = {
        # However late the machine makes it, it counts the same.
        "ringload": [peers.ringload, "--json", "-", "--quiet", "--max-lag", "1h", "-c", many, "-d", length, *http2, URL],
        "wrk": ["wrk", "-t1", "-c", many, "-d", length, URL],
        "h2load": ["h2load", "-t1", "-c", many, "-m", streams, "-D", seconds, URL],
        "oha": [OHA, "--no-tui", "--output-format", "json", "-c", many, "-z", length, *oha_http2, URL],
    }
    if commands[name][0] is None:
        raise Failure("missing; try: cargo install oha --locked --root /tmp/oha")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(list(map(str, commands[name])), capture_output=True, text=True, timeout=seconds + 30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(str(error)) from error
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        if name == "wrk":
            if "Socket errors" in done.stdout or "Non-2xx" in done.stdout:
                raise Failure("it counted errors")
            requests, rate = int(re.search(r"(\d+) requests in", done.stdout)[1]), float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])
        elif name == "h2load":
            requests, rate = counts(done.stdout)
        elif name == "oha":
            said = json.loads(done.stdout)
            requests, rate = said["statusCodeDistribution"]["200"], said["summary"]["requestsPerSec"]
        else:
            said = json.loads(done.stdout)
            requests, rate = said["statuses"]["2xx"], said["answered_per_second"]
            if said["failed"]:
                raise Failure(f"{said['failed']} requests have no answer: {said['last_fault']}")
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"no result: {error!r} {done.stderr.strip()[-200:]}") from error
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu * 1e6 / requests, rate
