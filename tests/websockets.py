"""WebSockets by a library that nobody here wrote (the `websockets` package): an endpoint, and clients that come through the gateway.

Usage: websockets.py serve          serves on a free port, which it prints
       websockets.py check URL      all that a client does; prints what went wrong, or `good`
       websockets.py hold URL N     opens N, and for each line of its input says whether all of them still echo; at its end how each was closed
"""

import asyncio
import sys

sys.path.insert(0, "target/python")
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

LARGE = 8 << 20


async def answer(socket):
    try:
        async for message in socket:
            if message == "close with 4002":
                await socket.close(4002, "as told")
            elif message == "how was I closed":
                await socket.send(str(closed.pop() if closed else None))
            elif message == "in pieces":
                await socket.send(["piece ", "by ", "piece"])
            else:
                await socket.send(message)
    except ConnectionClosed:
        pass
    closed.append((socket.close_code, socket.close_reason))


closed = []


def chat_if_offered(_, offered):
    return "chat" if "chat" in offered else None


async def endpoint():
    async with serve(answer, "127.0.0.1", 0, max_size=None, select_subprotocol=chat_if_offered) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


async def check(url):
    async with connect(url, max_size=None, subprotocols=["other", "chat"]) as socket:
        assert socket.subprotocol == "chat", socket.subprotocol
        assert "permessage-deflate" in socket.response.headers["Sec-WebSocket-Extensions"]
        for text in ["", "a", "\u00e4\U0001f600" * 50_000]:
            await socket.send(text)
            assert await socket.recv() == text
        for _ in range(3):
            assert await asyncio.wait_for(await socket.ping(b"are you there"), 10) >= 0
        await socket.send([b"frag", b"men", b"", b"ts"])
        assert await socket.recv() == b"fragments"
        await socket.send("in pieces")
        assert [piece async for piece in socket.recv_streaming() if piece] == ["piece ", "by ", "piece"]
        # Faster than they come back.
        for number in range(500):
            await socket.send(str(number))
        assert [await socket.recv() for _ in range(500)] == [str(number) for number in range(500)]
        await socket.send("close with 4002")
        try:
            await socket.recv()
            raise AssertionError("closed")
        except ConnectionClosed as end:
            assert (end.rcvd.code, end.rcvd.reason) == (4002, "as told"), end
    async with connect(url, max_size=None, compression=None) as socket:
        large = bytes(range(256)) * (LARGE // 256)
        await socket.send(large)
        assert await socket.recv() == large
        closed_with = (4711, "I have seen enough")
        await socket.close(*closed_with)
    async with connect(url) as socket:
        for _ in range(100):
            await socket.send("how was I closed")
            told = await socket.recv()
            if told == str(closed_with):
                break
            await asyncio.sleep(0.05)
        assert told == str(closed_with), told

    async def one(number):
        async with connect(url) as socket:
            for turn in range(20):
                await socket.send(f"{number} {turn}")
                assert await socket.recv() == f"{number} {turn}"

    await asyncio.gather(*(one(number) for number in range(100)))
    try:
        async with connect(url.replace("/chat", "/nowhere")):
            raise AssertionError("let in")
    except InvalidStatus as refused:
        assert refused.response.status_code == 404, refused
    print("good")


async def hold(url, count):
    sockets = [await connect(url, ping_interval=None) for _ in range(count)]
    print("open", flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().strip():
        for socket in sockets:
            await socket.send(line)
            assert await asyncio.wait_for(socket.recv(), 10) == line
        print(line, flush=True)
    for socket in sockets:
        await asyncio.wait_for(socket.wait_closed(), 20)
    print(*sorted({socket.close_code for socket in sockets}), flush=True)


match sys.argv[1:]:
    case ["serve"]:
        asyncio.run(endpoint())
    case ["check", url]:
        asyncio.run(check(url))
    case ["hold", url, count]:
        asyncio.run(hold(url, int(count)))
    case _:
        sys.exit(__doc__)
