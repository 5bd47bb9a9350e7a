"""CPU per request, and requests per second, of proxies in turn under a closed loop of wrk."""

from figure import PROXIES, Figure
from load import wrk
from peers import BODY, PORTS
from processes import Failure
from rounds import fill, play

# Rounds in which the relay is so many times above its best were disturbed by the machine.
DISTURBED = 1.15


def cpu(bench, title, connections, names=PROXIES, targets=(), upload=0, load=None, **endpoint):
    """CPU per request as a figure, and requests per second as another; `upload` makes each request a POST of so many bytes. Where
    `load(name, seconds)` is given, it is what clients do, to all but the relay."""
    spent = Figure(title, "µs", list(targets), names=list(names))
    speed = Figure(f"Requests per second, {connections} connections", "/s", names=list(names))
    origin = bench.peers.start_origin(upload=upload, **endpoint)
    running = started(bench.peers, spent, names)

    def one(name, number):
        try:
            before = running[name].cpu()
            seconds = bench.seconds if number else 1
            requests, rate = load(name, seconds) if load and name != "relay" else wrk(PORTS[name], connections, seconds, upload)
            return ((running[name].cpu() - before) / 1000 / requests, rate)
        except Failure:
            running[name].end()
            raise

    try:
        kept, played, failed = play(title, running, one, bench.rounds, undisturbed)
    finally:
        for proxy in [*running.values(), origin]:
            proxy.end()
    fill((spent, speed), kept, spent.values | failed)
    spent.note = f"{len(kept)} of {played} rounds of {bench.seconds} s"
    # The client's core is full before the fast proxies' is: the rate isn't ranked.
    speed.ratios = {}
    return spent, speed


def undisturbed(rows):
    """The rounds in which the relay was close to its best; without a relay there is nothing to judge by."""
    best = min((row["relay"][0] for row in rows if "relay" in row), default=0)
    return [row for row in rows if row.get("relay", (0,))[0] <= DISTURBED * best]


def started(peers, figure, names):
    """All proxies that start; the others' reasons go into the figure."""
    running = {}
    for name in names:
        try:
            running[name] = peers.start(name)
        except Failure as failure:
            figure.values[name] = str(failure)
    return running
