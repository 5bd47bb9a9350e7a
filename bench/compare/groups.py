"""The groups of figures, in the table's order: each says what it found, and notes for below its table."""

from dataclasses import dataclass

import protocols
from counts import CONNECTIONS, instructions
from cpu import cpu
from figure import FEATURES, REAL, Figure, Target
from generators import generators, http2_generators
from latency import latency, saturation
from peers import KEYS, Peers
from reload import reload
from turns import memory, same_work, starts
from workers import workers


@dataclass
class Bench:
    """What a group measures with; see the options of `run`."""

    peers: Peers
    rounds: int
    seconds: int
    connections: list
    idle: int
    starts: int


def same(bench):
    return [], [same_work(bench.peers)]


def proxies(bench):
    usual = {64: [Target(0.95, "nginx"), Target(1.25, "relay")], 8: [Target(1.0, "nginx")]}
    figures = []
    for connections in bench.connections:
        spent, speed = cpu(bench, f"CPU per request, {connections} connections", connections, targets=usual.get(connections, []))
        spent.drawn = {"connections": connections}
        figures += [spent, speed]
    return figures, [
        "CPU per request is each proxy's own; ratios are medians over rounds, with the middle half of the rounds in brackets. "
        "Requests per second are not ranked: client and endpoint share a core, which is full first."
    ]


def full_core(bench):
    return saturation(bench), [
        "Ringload in a closed loop. What a proxy would do with the rest of its core, where client and endpoint fill theirs first, is a projection: "
        "its requests per second over the share of the time for which it was on its core."
    ]


def engines(bench):
    names = ["io_uring", "epoll", "relay"]
    return [cpu(bench, f"CPU per request by driver, {connections} connections", connections, names)[0] for connections in bench.connections], []


def unix(bench):
    title, names = "CPU per request, endpoints on Unix sockets, 64 connections", ["Unix", "ringway", "nginx Unix", "HAProxy Unix", "relay"]
    return [cpu(bench, title, 64, names, unix=True)[0]], ["Over Unix sockets to the endpoints; *ringway* and *relay* reach the same ones over TCP, for comparison."]


def bodies(bench):
    figures = []
    for size, text in ((64 << 10, "64 KiB"), (1 << 20, "1 MiB")):
        spent, _ = cpu(bench, f"CPU per answer of {text}, 16 connections", 16, body=size)
        figures += [spent] if size == 1 << 20 else [spent, per_mebibyte(spent, size, text)]
    return [*figures, cpu(bench, "CPU per upload of 64 KiB, 16 connections", 16, REAL, upload=64 << 10)[0]], []


def per_mebibyte(figure, size, text):
    """The same by volume."""
    values = {name: value * (1 << 20) / size if isinstance(value, float) else value for name, value in figure.values.items()}
    return Figure(f"CPU per MiB in answers of {text}", "µs", values=values)


def two_workers(bench):
    return workers(bench), [
        "Both cores are shared with client and endpoint, for one and the other alike; *two processes* of one worker each are what two workers "
        "would cost if they shared nothing."
    ]


def features(bench):
    figures = []
    for connections in bench.connections:
        title = f"CPU per request with all features on, {connections} connections"
        figures.append(cpu(bench, title, connections, [*FEATURES, "relay"], [Target(1.08, "all off")])[0])
    return [*figures, instructions(bench.peers, CONNECTIONS, names=FEATURES)], []


def caches(bench):
    names, targets = ["hit", "nginx hit", "Varnish hit", "relay"], [Target(0.75, "nginx hit"), Target(0.6, "Varnish hit")]
    return [cpu(bench, f"CPU per cache hit of 1 KB, {connections} connections", connections, names, targets)[0] for connections in bench.connections], []


def counted(bench):
    kinds = ((CONNECTIONS, False), (CONNECTIONS, True), (1, False))
    return [instructions(bench.peers, connections, varied=varied) for connections, varied in kinds], []


def memories(bench):
    return [memory(bench.peers, bench.idle, seconds) for seconds in (0, 20)], []


def cold_start(bench):
    return [starts(bench.peers, bench.starts)], []


def many_routes(bench):
    figures, notes = reload(bench)
    return [starts(bench.peers, bench.starts, many_routes=True), *figures], [
        "While a config is read, whoever reads it has the proxy's core in turn with the worker: there is one core for both.",
        *notes,
    ]


# What the relay's column is where clients don't speak plain HTTP/1.1.
YARDSTICK = "The relay is asked in plain HTTP/1.1, by wrk: its column only tells how the machine was."


def http2(bench):
    return [*protocols.http2(bench)], [YARDSTICK]


def grpc(bench):
    return [*protocols.grpc(bench)], ["Calls of 64 bytes, which the endpoint sends back. " + YARDSTICK]


def handshakes(bench):
    return [protocols.handshakes(bench, key)[0] for key in KEYS], ["TLS 1.3, nothing resumed, a connection for each request. " + YARDSTICK]


def websocket(bench):
    return [protocols.websocket(bench, size)[0] for size in (125, 4096)], [YARDSTICK]


def ringload(bench):
    return sum((generators(bench, connections) for connections in bench.connections), http2_generators(bench)), [
        "The load generators' CPU per request is user and system time of the whole process. Their requests per second are also "
        "the endpoint's, which has one core as well; where that is full first, only the CPU tells."
    ]


# By name, with the programs they want besides those that are built here.
GROUPS = {
    "same": (same, ["nginx", "haproxy", "envoy", "caddy"]),
    "cpu": (proxies, ["nginx", "haproxy", "envoy", "caddy", "wrk"]),
    "saturation": (full_core, ["nginx", "haproxy", "envoy", "caddy"]),
    "http2": (http2, ["nginx", "haproxy", "envoy", "caddy", "wrk", "h2load"]),
    "grpc": (grpc, ["nginx", "haproxy", "envoy", "caddy", "wrk", "h2load"]),
    "handshakes": (handshakes, ["nginx", "haproxy", "envoy", "caddy", "wrk", "openssl"]),
    "websocket": (websocket, ["nginx", "haproxy", "envoy", "caddy", "wrk"]),
    "latency": (latency, ["nginx", "haproxy", "envoy", "caddy"]),
    "engines": (engines, ["wrk"]),
    "unix": (unix, ["nginx", "haproxy", "wrk"]),
    "bodies": (bodies, ["nginx", "haproxy", "envoy", "caddy", "wrk"]),
    "workers": (two_workers, ["wrk"]),
    "features": (features, ["wrk", "valgrind"]),
    "cache": (caches, ["nginx", "varnishd", "wrk"]),
    "instructions": (counted, ["nginx", "haproxy", "valgrind"]),
    "memory": (memories, ["nginx", "haproxy", "envoy", "caddy", "wrk"]),
    "start": (cold_start, ["nginx", "haproxy", "envoy", "caddy"]),
    "routes": (many_routes, ["nginx", "haproxy"]),
    "ringload": (ringload, ["wrk", "h2load"]),
}
