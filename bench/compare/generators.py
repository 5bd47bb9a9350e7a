"""The load generators beside each other: what a request costs each of them, and how many it gets out of one core."""

import json
import os
import re
import resource
import shutil
import subprocess

from figure import Figure, Target
from load import raise_descriptors, url
from peers import ORIGIN_PORTS, PROXY_CORE
from processes import Failure
from rounds import fill, play

GENERATORS = ["ringload", "wrk", "oha"]
# Where `cargo install oha --locked --root /tmp/oha` puts it; Debian has none.
OHA = shutil.which("oha", path=os.environ["PATH"] + ":/tmp/oha/bin")
URL = url(ORIGIN_PORTS[0], "/")


def generators(bench, connections):
    """A closed loop of each in turn, one thread on the load's core; the endpoint has the other core to itself."""
    title = f"CPU per request of the load generator, {connections} connections"
    note = f"{bench.rounds} rounds of {bench.seconds} s"
    spent = Figure(title, "µs", [Target(1 / 1.2, "wrk"), Target(1 / 3, "oha")], names=GENERATORS, note=note)
    speed = Figure(f"Requests per second, {connections} connections", "/s", names=GENERATORS)
    raise_descriptors()
    origin = bench.peers.start_origin(cores={PROXY_CORE})
    try:
        kept, _, failed = play(title, GENERATORS, lambda name, number: one(bench.peers, name, connections, bench.seconds if number else 1), bench.rounds)
    finally:
        origin.end()
    fill((spent, speed), kept, failed)
    return [spent, speed]


def one(peers, name, connections, seconds):
    """Microseconds on a core of one request, and requests per second, of one generator's run."""
    length, many = f"{seconds}s", str(connections)
    commands = {
        # However late the machine makes it, it counts the same.
        "ringload": [peers.ringload, "--json", "-", "--quiet", "--max-lag", "1h", "-c", many, "-d", length, URL],
        "wrk": ["wrk", "-t1", "-c", many, "-d", length, URL],
        "oha": [OHA, "--no-tui", "--output-format", "json", "-c", many, "-z", length, URL],
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
