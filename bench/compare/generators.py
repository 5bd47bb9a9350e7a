"""The load generators beside each other: what a request costs each of them, and how many it gets out of one core."""

import json
import os
import re
import resource
import shutil
import subprocess
from statistics import median

from figures import FEWEST_ROUNDS, Figure, Target, spread
from load import raise_descriptors
from peers import ORIGIN_PORTS, PROXY_CORE, Failure, Running

GENERATORS = ["ringload", "wrk", "oha"]
# Where `cargo install oha --locked --root /tmp/oha` puts it; Debian has none.
OHA = shutil.which("oha", path=os.environ["PATH"] + ":/tmp/oha/bin")
URL = f"http://127.0.0.1:{ORIGIN_PORTS[0]}/"


def generators(peers, say, connections, rounds, seconds):
    """A closed loop of each in turn, one thread on the load's core; the endpoint has the other core to itself."""
    targets = [Target(1 / 1.2, "wrk"), Target(1 / 3, "oha")]
    title = f"CPU per request of the load generator, {connections} connections"
    spent = Figure(title, "µs", targets, names=GENERATORS, note=f"{rounds} rounds of {seconds} s")
    speed = Figure(f"Requests per second, {connections} connections", "/s", names=GENERATORS)
    raise_descriptors()
    origin = Running([peers.origin, *map(str, ORIGIN_PORTS)], PROXY_CORE, ORIGIN_PORTS)
    origin.answers(ORIGIN_PORTS[0], "the origin", 5)
    running, rows = list(GENERATORS), []
    try:
        for number in range(rounds + 1):
            row, first = {}, number % len(running)
            for name in running[first:] + running[:first]:
                try:
                    # Round 0 only warms up.
                    row[name] = one(peers, name, connections, seconds if number else 1)
                except Failure as failure:
                    spent.values[name] = speed.values[name] = f"in round {number}: {failure}"
                    running.remove(name)
            shown = "  ".join(f"{name} {row[name][0]:.2f} µs at {row[name][1]:,.0f}/s" for name in running)
            say(f"{connections} connections, round {number}: {shown}")
            rows += [row] if number else []
    finally:
        origin.end()
    for index, figure in enumerate((spent, speed)):
        for name in running:
            figure.values[name] = median(row[name][index] for row in rows)
            if name != "ringload" and "ringload" in running:
                figure.ratios[name] = spread([row["ringload"][index] / row[name][index] for row in rows])
    if rounds < FEWEST_ROUNDS:
        spent.doubt = f"too few rounds ({rounds})"
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
