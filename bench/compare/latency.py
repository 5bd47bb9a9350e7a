"""What a full core can do, and response times at loads below that, both by ringload."""

from cpu import started
from figure import PROXIES, REAL, Figure
from load import result_of, start_ringload, url
from peers import PORTS, PROXY_CORE
from processes import Failure
from rounds import fill, play

# From this share on, a core counts as full.
FULL = 0.97
# Percent of the slowest peer's maximum at which response times are measured: of all peers, and of those in C without a runtime.
LOADS = [(30, REAL), (60, REAL), (80, REAL), (60, ["nginx", "HAProxy"]), (80, ["nginx", "HAProxy"])]
# Above this share of its own maximum, a proxy only shows its queue.
BEARABLE = 0.9
PERCENTILES = ["p50", "p99", "p99.9"]


def flat_out(peers, running, name, seconds):
    """Requests per second of a closed loop, and the share of the time for which the proxy was on its core."""
    before = running[name].cpu()
    told = result_of(start_ringload(peers, url(PORTS[name]), "--max-lag", "1h", "-d", f"{seconds}s"), seconds + 20)
    busy = (running[name].cpu() - before) / told["time_ns"]
    if told["failed"] or told["answered"] != told["statuses"]["2xx"]:
        raise Failure(f"{told['failed']} requests have no answer, {told['statuses']}: {told['last_fault']}")
    return told["answered_per_second"], busy


def saturation(bench):
    """Requests per second with the proxy's core full, and how full it was. What it isn't full of is added, as a projection."""
    speed = Figure("Requests per second out of one core, 64 connections", "/s")
    share = Figure("The proxy's core, busy", "%")
    origin = bench.peers.start_origin()
    running = started(bench.peers, speed, PROXIES)

    def one(name, number):
        rate, busy = flat_out(bench.peers, running, name, bench.seconds if number else 1)
        return (rate if busy >= FULL else rate / busy, 100 * busy)

    try:
        kept, _, failed = play(speed.title, running, one, bench.rounds)
    finally:
        for proxy in [*running.values(), origin]:
            proxy.end()
    fill((speed, share), kept, speed.values | failed)
    share.ratios = {}
    speed.note = f"{len(kept)} rounds of {bench.seconds} s"
    projected = [name for name, value in share.values.items() if isinstance(value, float) and value < 100 * FULL]
    if projected:
        speed.note += f"; projected to a full core: {', '.join(projected)}"
    return [speed, share]


def latency(bench):
    """Percentiles of the response time from when requests were due, at fixed rates, and what was thrown away.

    The endpoint is on the proxy's core: a client that shares its own couldn't be believed. The maxima are of this setting too."""
    speed = Figure("Maximum", "/s")
    origin = bench.peers.start_origin(cores={PROXY_CORE})
    running = started(bench.peers, speed, PROXIES)
    figures, notes = [], []
    try:
        kept, _, failed = play("maximum", running, lambda name, _: flat_out(bench.peers, running, name, bench.seconds), 2)
        fill([speed], kept, failed)
        for percent, peers in LOADS:
            most, slowest = min(((speed.values[name], name) for name in peers if isinstance(speed.values[name], float)), default=(None, None))
            if most is None:
                raise Failure(f"none of {', '.join(peers)} could be measured")
            rate = round(most * percent / 100)
            found, note = at_rate(bench, running, speed.values, rate, f"{rate:,}/s, {percent} % of {slowest}'s maximum")
            figures += found
            notes += note
    finally:
        for proxy in [*running.values(), origin]:
            proxy.end()
    return figures, notes


def at_rate(bench, running, most, rate, title):
    """The figures of one rate."""
    figures = [Figure(f"{name} at {title}", "µs", drawn={"rate": rate, "percentile": name}) for name in PERCENTILES]
    bearing = [name for name in running if isinstance(most[name], float) and rate <= BEARABLE * most[name]]
    reasons = {name: value if isinstance(value, str) else f"its own maximum is {value:,.0f}/s" for name, value in most.items() if name not in bearing}
    invalid = []

    def one(name, _):
        load = start_ringload(bench.peers, url(PORTS[name]), "--rate", rate, "-d", f"{bench.seconds}s")
        told = result_of(load, bench.seconds + 30)
        if not told["valid"]:
            invalid.append(f"{name} ({'; '.join(told['doubts'])})")
            return None
        if told["failed"] or told["answered"] != told["statuses"]["2xx"]:
            raise Failure(f"{told['failed']} requests have no answer, {told['statuses']}: {told['last_fault']}")
        return tuple(told["response_ns"][name] / 1000 for name in PERCENTILES)

    kept, _, failed = play(title, bearing, one, bench.rounds, first=1)
    fill(figures, kept, reasons | failed)
    for figure in figures:
        for name in bearing:
            figure.values.setdefault(name, "no run was valid")
    return figures, [f"Thrown away at {title}, as ringload says that they are invalid: {', '.join(invalid)}."] if invalid else []
