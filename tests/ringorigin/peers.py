"""Clients of gRPC and WebSockets that nobody here wrote, for tests/ringorigin/protocols.rs: `grpc ADDRESS`, `websocket URL CA`."""

import asyncio
import ssl
import sys
import time

sys.path.insert(0, "target/python")


def calls(address):
    import grpc

    channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])

    def ask(path, message=b"\x08\x07", timeout=20):
        return channel.unary_unary(path)(message, timeout=timeout)

    def code(path, timeout=20):
        try:
            ask(path, timeout=timeout)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    for message in [b"", b"a", bytes(range(256)) * 20_000]:
        assert ask("/any.Service/Method", message) == message
    words = [str(number).encode() for number in range(100)]
    assert list(channel.stream_stream("/any.Service/Chat")(iter(words), timeout=20)) == words
    assert ask("/grpc.health.v1.Health/Check", b"") == b"\x08\x01"
    assert code("/grpc_status/5") == grpc.StatusCode.NOT_FOUND
    assert [code("/fail/0.5") for _ in range(10)].count(grpc.StatusCode.UNAVAILABLE) == 5
    assert code("/stauts/delay/1s") == grpc.StatusCode.OK
    assert code("/hang", timeout=0.2) == grpc.StatusCode.DEADLINE_EXCEEDED
    began = time.monotonic()
    assert code("/delay/100ms") == grpc.StatusCode.OK and time.monotonic() - began >= 0.1


async def sockets(url, ca):
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus

    trust = ssl.create_default_context(cafile=ca) if url.startswith("wss") else None
    async with connect(url + "/chat", max_size=None, ssl=trust) as socket:
        for text in ["", "a", "\u00e4\U0001f600" * 50_000]:
            await socket.send(text)
            assert await socket.recv() == text
        await socket.send([b"frag", b"men", b"", b"ts"])
        assert await socket.recv() == b"fragments"
        assert await asyncio.wait_for(await socket.ping(b"are you there"), 10) >= 0
        large = bytes(range(256)) * (8 << 12)
        await socket.send(large)
        assert await socket.recv() == large
        await socket.close(4002, "as told")
    assert (socket.close_code, socket.close_reason) == (4002, "as told")
    try:
        async with connect(url + "/status/503", ssl=trust):
            raise AssertionError("let in")
    except InvalidStatus as refused:
        assert refused.response.status_code == 503, refused
    print("good")


match sys.argv[1:]:
    case ["grpc", address]:
        calls(address)
    case ["websocket", url, ca]:
        asyncio.run(sockets(url, ca))
    case _:
        sys.exit(__doc__)
