"""gRPC's own library on both sides of the gateway, for tests/gateway/grpc: `server [CERTIFICATE KEY]` serves until its input ends,
`client ADDRESS CHECK` runs one check and fails loudly."""

import sys
import threading
import time
from concurrent import futures

sys.path.insert(0, "target/python")
import grpc  # noqa: E402

ROOM = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def echo(request, context):
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata([("x-begun", "yes"), ("x-seen", sent.get("x-asked", "nothing"))])
    context.set_trailing_metadata([("x-ended", "yes"), ("x-raw-bin", b"\x00\xff")])
    return request


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: 100 % sure, äöü")


failures = {}


def flaky(request, context):
    """Takes `CODE TIMES NAME`: so many calls of this name fail, the next one is answered."""
    code, times, name = request.decode().split()
    failures[name] = failures.get(name, 0) + 1
    if failures[name] <= int(times):
        context.abort(next(known for known in grpc.StatusCode if known.value[0] == int(code)), "not yet")
    return str(failures[name]).encode()


def count_and_fail(request, context):
    yield b"1"
    yield b"2"
    context.abort(grpc.StatusCode.DATA_LOSS, "the rest is gone")


cancelled = threading.Event()


def hang(request, context):
    context.add_callback(cancelled.set)
    left = context.time_remaining()
    while context.is_active():
        time.sleep(0.01)
    return str(left).encode()


def was_cancelled(request, context):
    return b"yes" if cancelled.wait(5) else b"no"


def remaining(request, context):
    left = context.time_remaining()
    return b"none" if left is None or left > 1e6 else str(left).encode()


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def join(requests, context):
    return b",".join(requests)


def chat(requests, context):
    for request in requests:
        yield b"re: " + request


SERVING = {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3}
health = {"": "SERVING"}


def set_health(request, context):
    """Takes `SERVICE=STATE`."""
    service, state = request.decode().split("=")
    health[service] = state
    return b""


def check_health(request, context):
    """As grpc.health.v1.Health/Check is to answer; the messages are written out, as their module isn't there."""
    assert request == b"" or request[:2] == bytes([0x0A, len(request) - 2]), request
    state = health.get(request[2:].decode())
    if state is None:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return bytes([8, SERVING[state]]) if SERVING[state] else b""


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(16), options=ROOM)
    unary = {"Echo": echo, "Fail": fail, "Flaky": flaky, "Hang": hang, "WasCancelled": was_cancelled, "Remaining": remaining, "SetHealth": set_health}
    methods = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in unary.items()}
    methods["CountAndFail"] = grpc.unary_stream_rpc_method_handler(count_and_fail)
    methods["Count"] = grpc.unary_stream_rpc_method_handler(count)
    methods["Join"] = grpc.stream_unary_rpc_method_handler(join)
    methods["Chat"] = grpc.stream_stream_rpc_method_handler(chat)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Peer", methods)])
    check = grpc.unary_unary_rpc_method_handler(check_health)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check})])
    if len(sys.argv) == 4:
        certificate, key = (open(name, "rb").read() for name in sys.argv[2:])
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0)


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it was to fail")


class Checks:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=ROOM)

    def unary(self, method):
        return self.channel.unary_unary("/test.Peer/" + method)

    def set_health(self):
        self.unary("SetHealth")(sys.argv[4].encode(), timeout=10)

    def kinds(self):
        answer, call = self.unary("Echo").with_call(b"hello", metadata=[("x-asked", "this")], timeout=10)
        begun, ended = dict(call.initial_metadata()), dict(call.trailing_metadata())
        assert answer == b"hello" and begun["x-begun"] == "yes" and begun["x-seen"] == "this", begun
        assert ended["x-ended"] == "yes" and ended["x-raw-bin"] == b"\x00\xff", ended
        assert list(self.channel.unary_stream("/test.Peer/Count")(b"1000", timeout=10)) == [str(n).encode() for n in range(1000)]
        words = [str(n).encode() for n in range(1000)]
        assert self.channel.stream_unary("/test.Peer/Join")(iter(words), timeout=10) == b",".join(words)

    def chat(self):
        """Each message is sent only once the answer to the one before is there."""
        turn = threading.Semaphore(1)

        def talk():
            for number in range(50):
                assert turn.acquire(timeout=10)
                yield str(number).encode()

        heard = []
        for answer in self.channel.stream_stream("/test.Peer/Chat")(talk(), timeout=10):
            heard.append(answer)
            turn.release()
        assert heard == [b"re: " + str(n).encode() for n in range(50)], heard

    def large(self):
        message = bytes(range(256)) * (4 << 12)
        assert len(message) == 4 << 20
        answers = [self.unary("Echo").future(message, timeout=30) for _ in range(3)]
        assert all(answer.result() == message for answer in answers)

    def fails(self):
        error = failure(lambda: self.unary("Fail")(b"", timeout=10))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and error.details() == "no: 100 % sure, äöü", error
        error = failure(lambda: self.unary("Missing")(b"", timeout=10))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error

    def retried(self):
        """Those that the gateway is to repeat, twice at most, and those that it isn't."""
        assert self.unary("Flaky")(b"14 2 a", timeout=10) == b"3"
        assert self.unary("Flaky")(b"8 1 b", timeout=10) == b"2"
        error = failure(lambda: self.unary("Flaky")(b"14 9 c", timeout=10))
        assert error.code() == grpc.StatusCode.UNAVAILABLE and error.details() == "not yet", error
        assert self.unary("Flaky")(b"14 1 c", timeout=10) == b"4"
        error = failure(lambda: self.unary("Flaky")(b"13 1 d", timeout=10))
        assert error.code() == grpc.StatusCode.INTERNAL, error
        heard = []
        error = failure(lambda: heard.extend(self.channel.unary_stream("/test.Peer/CountAndFail")(b"", timeout=10)))
        assert error.code() == grpc.StatusCode.DATA_LOSS, error

    def deadline(self):
        # gRPC's library turns a deadline into the time of day and back, so what is left is known to some milliseconds.
        left = float(self.unary("Remaining")(b"", timeout=7))
        assert 0 < left <= 7.5, left
        began = time.monotonic()
        error = failure(lambda: self.unary("Hang")(b"", timeout=0.5))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - began < 3, error

    def cancel(self):
        call = self.unary("Hang").future(b"", timeout=30)
        time.sleep(0.3)
        call.cancel()
        assert self.unary("WasCancelled")(b"", timeout=10) == b"yes"

    def unavailable(self):
        error = failure(lambda: self.unary("Echo")(b"", timeout=10))
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        assert "endpoint refused the connection" in error.details(), error


if sys.argv[1] == "server":
    serve()
else:
    getattr(Checks(sys.argv[2]), sys.argv[3])()
