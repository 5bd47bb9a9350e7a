"""CPU per request, call, connection and message where clients speak HTTP/2, gRPC, TLS and WebSocket."""

import cpu
from figure import Target
from h2load import CONNECTIONS, STREAMS, h2load
from load import result_of, start_ringload, url
from peers import MESSAGE, PORTS, REQUEST
from processes import Failure

PROGRAMS = ["ringway", "nginx", "HAProxy", "Envoy", "Caddy"]


def named(protocol):
    """Everyone with its config for a protocol, the relay as a measure of the machine."""
    return [f"{program} {protocol}" for program in PROGRAMS] + ["relay"]


def http2(bench):
    """Requests of HTTP/2 without TLS to endpoints of HTTP/1.1."""
    names = named("h2")
    load = lambda name, seconds: h2load(PORTS[name], REQUEST, *streams(seconds))
    title = f"CPU per request of HTTP/2, {CONNECTIONS} connections × {STREAMS} streams"
    return cpu_of(bench, title, CONNECTIONS, names, [Target(0.8, name) for name in names[1:5]], load=load)


def grpc(bench):
    """Unary calls, HTTP/2 on both sides."""
    message = bench.peers.directory / MESSAGE
    load = lambda name, seconds: h2load(PORTS[name], REQUEST, *streams(seconds), message=message)
    title = f"CPU per gRPC call, {CONNECTIONS} connections × {STREAMS} calls"
    return cpu_of(bench, title, CONNECTIONS, named("gRPC"), [Target(1 / 1.3, "Envoy gRPC")], load=load, scripted=True)


def cpu_of(bench, title, connections, names, targets, **what):
    """CPU, and how many per second, for a table and a drawing."""
    spent, speed = cpu.cpu(bench, title, connections, names, targets, **what)
    spent.drawn = {"without": ["relay"]}
    speed.title = "The same, per second"
    return spent, speed


def streams(seconds):
    """How much h2load does at once, and for how long."""
    return f"-c{CONNECTIONS}", f"-m{STREAMS}", f"-D{seconds}"


def handshakes(bench, key):
    """Connections by TLS 1.3, each with a full handshake and one request."""

    def load(name, seconds):
        address = url(PORTS[name]).replace("http:", "https:")
        return told(bench, seconds, "--no-keep-alive", "--insecure", "--no-resumption", address)

    title = f"CPU per TLS connection with a full handshake and a request, {key}"
    return cpu_of(bench, title, 64, named(key), [Target(1 / 1.3, f"nginx {key}")], load=load)


def websocket(bench, size):
    """Messages that the endpoint sends back, over connections that stay."""
    names = ["ringway", "nginx WebSocket", "HAProxy", "Envoy WebSocket", "Caddy", "relay"]
    load = lambda name, seconds: told(bench, seconds, "--message-size", size, url(PORTS[name], "/api/socket").replace("http:", "ws:"))
    title = f"CPU per WebSocket message of {size:,} bytes there and back, 64 connections"
    return cpu_of(bench, title, 64, names, [Target(0.95, name) for name in names[1:5]], load=load, scripted=True)


def told(bench, seconds, *options):
    """What ringload in a closed loop got answered, and how much of it in a second."""
    *options, address = options
    result = result_of(start_ringload(bench.peers, address, "--max-lag", "1h", "-d", f"{seconds}s", *options), seconds + 20)
    if result["failed"] or not result["answered"]:
        raise Failure(f"{result['failed']} have no answer: {result['last_fault']}")
    return result["answered"], result["answered_per_second"]
