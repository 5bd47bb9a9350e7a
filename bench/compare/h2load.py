"""h2load: requests of HTTP/2 and calls of gRPC, many at once on each connection."""

import re
import subprocess

from processes import Failure

CONNECTIONS, STREAMS = 8, 32


def h2load(port, request, *length, message=None):
    """Answers with a 2xx and their number per second, to that request or, with a file that holds a message, to a gRPC call of its kind.
    Anything else that comes is a failure."""
    line, *fields = request.decode().strip().split("\r\n")
    command = ["h2load", "-t1", *length]
    if message:
        command += ["-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "user-agent: grpc-go/1.60.0"]
    else:
        for field in fields:
            name, value = field.split(": ", 1)
            command += ["-H", f"{':authority' if name == 'Host' else name.lower()}: {value}"]
    path = "/api/users.Users/Find" if message else line.split()[1]
    command.append(f"http://127.0.0.1:{port}{path}")
    try:
        text = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=40, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise Failure(f"h2load: {error}") from error
    return counts(text)


def counts(text):
    """Those two numbers of what it printed."""
    kinds = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout\s+status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    if not kinds or any(int(kinds[place]) for place in (1, 2, 3, 5, 6, 7)):
        raise Failure(f"h2load: {kinds[0] if kinds else text[-200:]!r}")
    return int(kinds[4]), float(re.search(r"([\d.]+) req/s", text)[1])


def answers(port, request, message=None):
    """Whether one request is answered as it should be."""
    try:
        return h2load(port, request, "-c1", "-m1", "-n1", message=message)[0] == 1
    except Failure:
        return False
