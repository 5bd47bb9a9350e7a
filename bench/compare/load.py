"""The clients: wrk where speed counts, ringload where times do, and a plain one that keeps its connections and counts exactly."""

import contextlib
import json
import re
import resource
import socket
import subprocess
import threading
import time

from peers import HERE, ORIGIN_PORTS, REQUEST
from processes import Failure


def wrk(port, connections, seconds, upload=0):
    """Requests completed and requests per second over keep-alive connections, each with a body of `upload` bytes. Any answer but a 2xx
    is a failure."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "request.lua"]
    command += [f"http://127.0.0.1:{port}", "--", HERE / "request.http", str(upload)]
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 20, check=True).stdout
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise Failure(f"wrk: {error}") from error
    for line in text.splitlines():
        if "Socket errors" in line or "Non-2xx" in line:
            raise Failure(f"wrk: {line.strip()}")
    return int(re.search(r"(\d+) requests in", text)[1]), float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])


def start_ringload(peers, url, *options):
    """A run of ringload that goes on: the request of all comparisons over 64 connections, one thread."""
    command = [peers.ringload, "--json", "-", "--quiet", "-c", "64", *options]
    for line in REQUEST.decode().splitlines()[1:-1]:
        command += ["-H", line]
    try:
        return subprocess.Popen(list(map(str, [*command, url])), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        raise Failure(f"ringload: {error}") from error


def result_of(load, seconds):
    """What a run of ringload has found, once it is over."""
    try:
        out, errors = load.communicate(timeout=seconds)
        return json.loads(out)
    except subprocess.TimeoutExpired as error:
        load.kill()
        raise Failure(f"ringload didn't end within {seconds} s") from error
    except ValueError as error:
        raise Failure(f"ringload: {errors.strip()[-200:] or 'no result'}") from error


def url(port, path=REQUEST.split()[1].decode()):
    """Where a proxy is asked for what all are asked for."""
    return f"http://127.0.0.1:{port}{path}"


class Client:
    """One keep-alive connection."""

    def __init__(self, port, seconds=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request=REQUEST):
        self.socket.sendall(request)

    def receive(self):
        """One whole answer, which must be a 200 with the origin's body; its head."""
        answer = b""
        while (end := answer.find(b"\r\n\r\n")) < 0 or len(answer) < end + 4 + 1024:
            piece = self.socket.recv(65536)
            if not piece:
                raise Failure(f"the connection was closed after {answer[:100]!r}")
            answer += piece
            if not answer.startswith(b"HTTP/1.1 200"[: len(answer)]):
                raise Failure(f"bad answer: {answer[:100]!r}")
        return answer[:end]

    def ask(self, request=REQUEST):
        self.send(request)
        return self.receive()


def ask_many(port, connections, count, varied=False):
    """So many requests in all, each connection's one after the other, all connections at once. Varied ones are of the same length,
    but differ in a header each time, as they seldom do on one connection."""
    clients = [Client(port) for _ in range(connections)]
    try:
        for number in range(count // connections):
            request = re.sub(rb"session=\w{8}", b"session=%08d" % number, REQUEST) if varied else REQUEST
            for client in clients:
                client.send(request)
            for client in clients:
                client.receive()
    except OSError as error:
        raise Failure(f"client: {error}") from error
    finally:
        for client in clients:
            client.socket.close()


def touch(port):
    """A connection that says nothing and leaves."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass


def hold(port, count, seconds):
    """Idle connections, each after one request, opened evenly over so many seconds or as fast as they come."""
    start, clients = time.monotonic(), []
    try:
        for number in range(count):
            time.sleep(max(0, start + seconds * number / count - time.monotonic()))
            clients.append(Client(port))
            clients[-1].ask()
        return clients
    except OSError as error:
        raise Failure(f"connection {len(clients) + 1}: {error}") from error


def raise_descriptors():
    """Takes as many descriptors as this process and its children may have; how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class Listening:
    """An endpoint that notes the heads it gets, to see whether all proxies send the same."""

    def __init__(self):
        self.heads = []
        self.listeners = [socket.create_server(("127.0.0.1", port), backlog=64) for port in ORIGIN_PORTS]
        for listener in self.listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        head = b""
        # A proxy that is killed resets its connections.
        with connection, contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                head += piece
                if head.endswith(b"\r\n\r\n"):
                    if b"/health" not in head:
                        self.heads.append(head.decode())
                    head = b""
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024)

    def close(self):
        for listener in self.listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
