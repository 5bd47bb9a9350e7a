"""Figures that are measured of one proxy after the other: memory, starts, and whether all do the same work."""

import time
from statistics import median

import routes
from figure import REAL, Figure, Target
from load import Listening, hold, raise_descriptors, wrk
from peers import PORTS, PROXY_CORE, REQUEST
from processes import Failure, Running, answered_once, say
from rounds import each

# Long enough for a gateway to give an idle connection's buffers back.
IDLE_SECONDS = 3


def memory(peers, wanted, seconds):
    """User memory that each idle keep-alive connection adds. Opened fast, what a gateway keeps of a rush is counted as well."""
    allowed = min(wanted, raise_descriptors() - 200)
    pace = f"opened over {seconds} s" if seconds else "opened at once"
    figure = Figure(f"Memory per idle connection, {allowed:,} {pace}", "B", [Target(2048)], names=REAL)
    if allowed < wanted:
        figure.note = f"{wanted:,} connections need more descriptors than this machine allows a process"

    def grow(name):
        proxy = peers.start(name)
        clients = []
        try:
            wrk(PORTS[name], 64, 1)
            time.sleep(IDLE_SECONDS)
            before = proxy.memory()
            clients = hold(PORTS[name], allowed, seconds)
            time.sleep(IDLE_SECONDS)
            grown = (proxy.memory() - before) / len(clients)
            # All must still be there: closing them early is no saving.
            for client in clients:
                client.ask()
            return grown
        finally:
            for client in clients:
                client.socket.close()
            proxy.end()

    origin = peers.start_origin()
    try:
        return each(figure, REAL, grow)
    finally:
        origin.end()


def starts(peers, count, many_routes=False):
    """Milliseconds from starting the process to its first good answer, proxies in turn."""
    title, limit = (f"Start with {routes.COUNT:,} routes", 60) if many_routes else ("Cold start to first answer", 10)
    names = routes.ROUTED if many_routes else REAL
    figure = Figure(title, "ms", [Target(limit)], note=f"median of {count}", names=names)
    files, request = routes.write(peers.directory) if many_routes else ({}, REQUEST)
    times = {name: [] for name in names}
    origin = peers.start_origin()
    try:
        for _ in range(count):
            for name in [name for name in names if name not in figure.values]:
                try:
                    proxy = Running(peers.command(name, files.get(name)), {PROXY_CORE}, [PORTS[name]])
                    times[name].append(1000 * proxy.answers(name, 20, lambda: answered_once(PORTS[name], request)))
                    proxy.end()
                except Failure as failure:
                    figure.values[name] = str(failure)
    finally:
        origin.end()
    figure.values.update({name: median(times[name]) for name in names if name not in figure.values})
    say(f"{title}: " + "  ".join(f"{name} {value}" for name, value in figure.values.items()))
    return figure.divide()


def same_work(peers):
    """Which headers each proxy adds to the request and whether all add the same; for the notes under the table."""
    asked = {line.split(":")[0].lower() for line in REQUEST.decode().splitlines() if ":" in line}
    added = {}
    for name in REAL:
        origin = Listening()
        try:
            proxy = peers.start(name)
            proxy.end()
            heads = [line.split(":")[0].lower() for line in origin.heads[-1].splitlines()[1:] if ":" in line]
            added[name] = sorted(set(heads) - asked - {"connection"})
        except Failure as failure:
            say(f"same work: {name}: {failure}")
            added[name] = [f"not measured ({failure})"]
        finally:
            origin.close()
    for name, headers in added.items():
        say(f"same work: {name} adds {', '.join(headers) or 'nothing'}")
    if len(set(map(tuple, added.values()))) <= 1:
        return f"All proxies add the same request headers: {', '.join(next(iter(added.values())))}."
    return "Request headers added: " + "; ".join(f"{name}: {', '.join(headers)}" for name, headers in added.items()) + "."
