"""A reload under load: requests it fails, and response times while it goes on."""

import signal
import time

import routes
from figure import Figure
from load import result_of, start_ringload, url
from peers import PORTS
from processes import answered_once, wait_until
from rounds import fill, play

# Which signal of the process that was started makes it read its config again.
SIGNALS = {"ringway": signal.SIGHUP, "nginx": signal.SIGHUP, "HAProxy": signal.SIGUSR2}
RATE, SECONDS, AFTER = 10_000, 4, 1.5


def reload(bench):
    """Ringload at a fixed rate over some seconds, in which the config becomes one with a route more; a fresh process in each round."""
    title = f"reload of {routes.COUNT:,} routes at {RATE:,}/s"
    figures = [
        Figure(f"Requests without a good answer, {title}", "", names=routes.ROUTED),
        Figure(f"p99.9 of {SECONDS} s, {title}", "ms", names=routes.ROUTED),
        Figure(f"Worst response time, {title}", "ms", names=routes.ROUTED),
    ]
    invalid = []

    def one(name, _):
        files, request = routes.write(bench.peers.directory)
        proxy = bench.peers.start(name, 20, request=request, config=files[name], reloads=True)
        try:
            load = start_ringload(bench.peers, url(PORTS[name], request.split()[1].decode()), "--rate", RATE, "-d", f"{SECONDS}s")
            time.sleep(AFTER)
            _, further = routes.write(bench.peers.directory, routes.COUNT + 1)
            proxy.process.send_signal(SIGNALS[name])
            told = result_of(load, SECONDS + 30)
            wait_until(lambda: answered_once(PORTS[name], further), 5, "the new config isn't in use")
        finally:
            proxy.end()
        if not told["valid"]:
            invalid.append(f"{name} ({'; '.join(told['doubts'])})")
            return None
        times = told["response_ns"]
        return (told["due"] - told["statuses"]["2xx"], times["p99.9"] / 1e6, times["max"] / 1e6)

    origin = bench.peers.start_origin()
    try:
        kept, _, failed = play(title, routes.ROUTED, one, bench.rounds, first=1)
    finally:
        origin.end()
    fill(figures, kept, failed)
    for figure in figures:
        figure.note = f"{len(kept)} reloads"
    # One request lost in a year of reloads is one too many: the sum, not the median.
    for name in figures[0].names:
        lost = [row[name][0] for row in kept if name in row]
        if isinstance(figures[0].values.get(name), float):
            figures[0].values[name] = float(sum(lost))
    figures[0].ratios = {}
    return figures, [f"Thrown away of reloads, as ringload says that they are invalid: {', '.join(invalid)}."] if invalid else []
