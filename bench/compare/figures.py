"""The figures: how each is measured. A figure holds a value, or why there is none, for each proxy."""

import re
import time
from dataclasses import dataclass, field
from statistics import median, quantiles

from load import Listening, ask_many, hold, raise_descriptors, touch, wrk
from peers import PORTS, PROXY_CORE, REQUEST, Failure, Running

PROXIES = ["ringway", "nginx", "HAProxy", "relay"]
# Ringway with every standard feature, and with none.
FEATURES = ["all on", "all off"]
# A cache each, answering from what it has stored.
CACHES = ["hit", "nginx hit", "Varnish hit", "relay"]
# User instructions a request may cost: of the gateway as it comes, with every standard feature and with none. `instructions` fails above.
INSTRUCTIONS_LIMITS = {"ringway": 10_000, "all on": 10_000, "all off": 8_500}
# Over so many connections, as CPU per request is: with one, each operation pays for a whole turn of the loop.
GATE_CONNECTIONS = 64
# Rounds in which the relay is so many times above its best were disturbed by the machine.
DISTURBED = 1.15
# With fewer rounds than this, no target counts as met or missed.
FEWEST_ROUNDS = 6


@dataclass
class Figure:
    """One row: values in `unit` or reasons by proxy, ratios of the first to others as (median, lower and upper quartile)."""

    title: str
    unit: str
    targets: list = field(default_factory=list)
    values: dict = field(default_factory=dict)
    ratios: dict = field(default_factory=dict)
    note: str = ""
    # Why the values, though measured, decide no target.
    doubt: str = ""
    # Who is compared; the first one's value is held against the others' and the targets.
    names: list = field(default_factory=lambda: PROXIES)

    @property
    def mine(self):
        return self.names[0]

    def divide(self):
        """Ratios of values measured one after the other."""
        mine = self.values.get(self.mine)
        if isinstance(mine, float):
            others = {name: value for name, value in self.values.items() if name != self.mine and isinstance(value, float)}
            self.ratios = {name: (mine / value,) for name, value in others.items() if value > 0}
        return self


@dataclass
class Target:
    """At most `limit`, of the ratio to `against`, or of the value itself."""

    limit: float
    against: str = ""


def features(peers, say, connections, rounds, seconds):
    """CPU per request with every standard feature, against none."""
    title, names = f"CPU per request with all features on, {connections} connections", ["all on", "all off", "relay"]
    return cpu(peers, say, connections, rounds, seconds, names, title, [Target(1.08, "all off")])[0]


def caches(peers, say, connections, rounds, seconds):
    """CPU per request that is answered from the cache; the relay, which has none, tells disturbed rounds."""
    title, targets = f"CPU per cache hit of 1 KB, {connections} connections", [Target(0.75, "nginx hit"), Target(0.6, "Varnish hit")]
    return cpu(peers, say, connections, rounds, seconds, CACHES, title, targets)[0]


def cpu(peers, say, connections, rounds, seconds, names=PROXIES, title="", targets=()):
    """CPU and requests per second of all proxies, one after the other in each round, in an order that turns."""
    usual = {64: [Target(0.95, "nginx"), Target(1.25, "relay")], 8: [Target(1.0, "nginx")]}
    mine, title = names[0], title or f"CPU per request, {connections} connections"
    spent = Figure(title, "µs", list(targets) or usual.get(connections, []), names=names)
    speed = Figure(f"Requests per second, {connections} connections", "/s")
    origin = peers.start_origin()
    running = started(peers, spent, names)
    try:
        # Round 0 only warms up.
        turn(running, spent, say, 0, connections, 1)
        rows = kept = []
        while len(kept) < rounds and len(rows) < 3 * rounds:
            rows = [*rows, turn(running, spent, say, len(rows) + 1, connections, seconds)]
            kept = undisturbed(rows)
    finally:
        for proxy in [*running.values(), origin]:
            proxy.end()
    spent.note = f"{len(kept)} of {len(rows)} rounds of {seconds} s"
    if len(kept) < FEWEST_ROUNDS:
        spent.doubt = f"too few rounds ({len(kept)})"
    speed.values = dict(spent.values)
    for name in running:
        spent.values[name] = median(row[name][0] for row in kept)
        speed.values[name] = median(row[name][1] for row in kept)
        if name != mine and mine in running:
            spent.ratios[name] = spread([row[mine][0] / row[name][0] for row in kept])
    # The client's core is full before the fast proxies are: the rate isn't ranked.
    return [spent, speed]


def undisturbed(rows):
    """The rounds in which the relay was close to its best; without a relay there is nothing to judge by."""
    best = min(row.get("relay", (0, 0))[0] for row in rows)
    return [row for row in rows if row.get("relay", (0, 0))[0] <= DISTURBED * best]


def turn(running, figure, say, number, connections, seconds):
    """One round: (µs, requests per second) by proxy. One that fails drops out, and its reason goes into the figure."""
    row = {}
    first = number % max(len(running), 1)
    names = list(running)
    for name in names[first:] + names[:first]:
        try:
            before = running[name].cpu()
            requests, rate = wrk(PORTS[name], connections, seconds)
            row[name] = ((running[name].cpu() - before) / 1000 / requests, rate)
        except Failure as failure:
            figure.values[name] = f"in round {number}: {failure}"
            running.pop(name).end()
    shown = "  ".join(f"{name} {row[name][0]:.2f} µs at {row[name][1]:,.0f}/s" for name in running)
    say(f"{connections} connections, round {number}: {shown}")
    return row


def started(peers, figure, names):
    """All proxies that start; the others' reasons go into the figure."""
    running = {}
    for name in names:
        try:
            running[name] = peers.start(name)
        except Failure as failure:
            figure.values[name] = str(failure)
    return running


def spread(values):
    if len(values) < 2:
        return (values[0],) * 3
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return (middle, low, high)


def each(figure, names, say, measure):
    """Fills a figure by measuring one proxy after the other."""
    for name in names:
        try:
            figure.values[name] = float(measure(name))
            say(f"{figure.title}: {name} {figure.values[name]:.1f} {figure.unit}")
        except Failure as failure:
            figure.values[name] = str(failure)
            say(f"{figure.title}: {name}: {failure}")
    return figure.divide()


def instructions(peers, say, connections, lengths=(2_000, 12_000), names=PROXIES, varied=False):
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
        each(figure, names, say, slope)
    finally:
        origin.end()
    figure.note = f"ringway's driver under valgrind: {', '.join(sorted(set(drivers)))}" if drivers else ""
    return figure


def driver(port):
    """What moves the gateway's bytes, by its own account."""
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/gateway/metrics", timeout=10) as page:
            found = re.search(r'^gateway_workers\{driver="(\w+)"\} [1-9]', page.read().decode(), re.M)
            return found[1] if found else "unknown"
    except OSError as error:
        return f"unknown ({error})"


def memory(peers, say, wanted, seconds):
    """User memory that each idle keep-alive connection adds. Opened fast, what a gateway keeps of a rush is counted as well."""
    allowed = min(wanted, raise_descriptors() - 200)
    pace = f"opened over {seconds} s" if seconds else "opened at once"
    figure = Figure(f"Memory per idle connection, {allowed:,} {pace}", "B", [Target(2048)])
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
        # The relay holds buffers and an upstream connection for each client; its figure says nothing.
        return each(figure, [name for name in PROXIES if name != "relay"], say, grow)
    finally:
        origin.end()


def starts(peers, say, count, many_routes=False):
    """Milliseconds from starting the process to its first good answer, proxies in turn."""
    title, limit = ("Start with 10,000 routes", 60) if many_routes else ("Cold start to first answer", 10)
    figure = Figure(title, "ms", [Target(limit)], note=f"median of {count}")
    request = peers.write_many_routes() if many_routes else REQUEST
    names = [name for name in PROXIES if name != "relay"]
    times = {name: [] for name in names}
    origin = peers.start_origin()
    try:
        for _ in range(count):
            for name in [name for name in names if name not in figure.values]:
                try:
                    proxy = Running(peers.command(name, many_routes=many_routes), PROXY_CORE, [PORTS[name]])
                    times[name].append(1000 * proxy.answers(PORTS[name], name, 20, request))
                    proxy.end()
                except Failure as failure:
                    figure.values[name] = str(failure)
    finally:
        origin.end()
    figure.values.update({name: median(times[name]) for name in names if name not in figure.values})
    say(f"{title}: " + "  ".join(f"{name} {value}" for name, value in figure.values.items()))
    return figure.divide()


def same_work(peers, say):
    """Which headers each proxy adds to the request and whether all add the same; for the notes under the table."""
    names = [name for name in PROXIES if name != "relay"]
    asked = {line.split(":")[0].lower() for line in REQUEST.decode().splitlines() if ":" in line}
    added = {}
    for name in names:
        origin = Listening()
        try:
            proxy = peers.start(name)
            proxy.end()
            heads = [line.split(":")[0].lower() for line in origin.heads[-1].splitlines()[1:] if ":" in line]
            added[name] = sorted(set(heads) - asked - {"connection"})
        except Failure as failure:
            say(f"same work: {name}: {failure}")
        finally:
            origin.close()
    for name, headers in added.items():
        say(f"same work: {name} adds {', '.join(headers) or 'nothing'}")
    if len(set(map(tuple, added.values()))) <= 1:
        return f"All proxies add the same request headers: {', '.join(next(iter(added.values()), []))}."
    return "Request headers added: " + "; ".join(f"{name}: {', '.join(headers)}" for name, headers in added.items()) + "."


# Long enough for a gateway to give an idle connection's buffers back.
IDLE_SECONDS = 3
