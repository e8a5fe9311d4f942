"""Connections that keep their place without using it are closed, with limits of fractions of a second."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.asyncio.client import connect

from device.web.connection_limiter import ConnectionLimiter
from device.web.timed_protocols import TimeLimits
from tests.support.event_loop import run_async

LIMITS = TimeLimits(handshake_s=0.3, request_s=0.3, keep_alive_s=0.3, unread_s=0.3, closing_s=0.3, ping_s=0.3)
PATIENCE_S = 60.0
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
LARGE = 32 << 20
Client = Callable[["Peer"], Awaitable[None]]


async def _application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body", False):
            break
    size = LARGE if scope["path"] == "/large" else 2
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * LIMITS.request_s)
    for start in range(0, size, 65_536):
        more = start + 65_536 < size
        await send(
            {"type": "http.response.body", "body": bytes(min(65_536, size - start)), "more_body": more}
        )


class Peer:
    """A client's socket, without a library in between."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> bool:
        """Return whether the connection still takes bytes."""
        try:
            await self._loop.sock_sendall(self.client, data)
        except OSError:
            return False
        return True

    async def read(self, size: int = 65_536) -> bytes:
        try:
            return await self._loop.sock_recv(self.client, size)
        except OSError:
            return b""

    async def drip(self, data: bytes) -> None:
        """Send a byte now and then, much more often than any limit, until the connection ends."""
        while await self.send(data):  # noqa: ASYNC110  (the pauses are the point)
            await asyncio.sleep(LIMITS.request_s / 6)


async def silence(peer: Peer) -> None:
    assert await peer.read() == b""


async def a_slow_head(peer: Peer) -> None:
    await peer.send(HEAD + b"X-A: ")
    await peer.drip(b"a")


async def a_slow_body(peer: Peer) -> None:
    await peer.send(HEAD + b"Content-Length: 100000\r\n\r\n")
    await peer.drip(b"a")


async def a_slow_second_request(peer: Peer) -> None:
    await peer.send(HEAD + b"Content-Length: 0\r\n\r\n")
    assert b" 200 " in await peer.read()
    await peer.send(HEAD + b"X-A: ")
    await peer.drip(b"a")


async def nothing_after_an_answer(peer: Peer) -> None:
    await peer.send(HEAD + b"Content-Length: 0\r\n\r\n")
    while await peer.read():
        pass


async def an_answer_that_nobody_reads(peer: Peer) -> None:
    await peer.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    await peer.drip(b"")  # never reads


async def an_answer_that_is_read_byte_by_byte(peer: Peer) -> None:
    await peer.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    while await peer.read(1):  # noqa: ASYNC110  (the pauses are the point)
        await asyncio.sleep(LIMITS.unread_s / 6)


async def a_websocket_without_pongs(peer: Peer) -> None:
    await peer.send(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    while await peer.read():
        pass


CLIENTS = [silence, a_slow_head, a_slow_body, a_slow_second_request, nothing_after_an_answer]
CLIENTS += [an_answer_that_nobody_reads, an_answer_that_is_read_byte_by_byte, a_websocket_without_pongs]


@pytest.fixture(autouse=True)
def _no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def _wait_until_gone(limiter: ConnectionLimiter) -> None:
    loop = asyncio.get_running_loop()
    until_s = loop.time() + PATIENCE_S
    while limiter.connections:
        assert loop.time() < until_s, "the connection keeps its place"
        await asyncio.sleep(0.02)


async def _serve(
    listener: socket.socket, run: Callable[[ConnectionLimiter], Awaitable[None]], tls: Any = None
) -> None:
    limiter = ConnectionLimiter(_application, limits=LIMITS)
    serving = asyncio.create_task(limiter.serve(listener, tls))
    try:
        await run(limiter)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await limiter.shut_down()


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_connection_that_wastes_its_place_loses_it(client: Client, tmp_path: Path, *, unix: bool) -> None:
    async def run(limiter: ConnectionLimiter) -> None:
        with closing(socket.socket(socket.AF_UNIX if unix else socket.AF_INET)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)  # noqa: FBT003  (the socket API has no keyword)
            await asyncio.get_running_loop().sock_connect(connection, listener.getsockname())
            talking = asyncio.ensure_future(client(Peer(connection)))
            while not limiter.connections and not talking.done():  # noqa: ASYNC110  (the limiter has no event)
                await asyncio.sleep(0)
            await _wait_until_gone(limiter)
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)

    address: Any = str(tmp_path / "s") if unix else ("127.0.0.1", 0)
    with closing(socket.socket(socket.AF_UNIX if unix else socket.AF_INET)) as listener:
        listener.bind(address)
        listener.listen()
        run_async(_serve(listener, run))


def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server on localhost, and of a client that trusts it."""
    authority = trustme.CA()
    tls, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(tls)
    authority.configure_trust(trusting)
    return tls, trusting


def test_a_slow_handshake_loses_its_place() -> None:
    tls, _ = _contexts()

    async def run(limiter: ConnectionLimiter) -> None:
        del limiter
        with closing(socket.socket()) as connection:
            connection.setblocking(False)  # noqa: FBT003  (the socket API has no keyword)
            await asyncio.get_running_loop().sock_connect(connection, listener.getsockname())
            await asyncio.wait_for(Peer(connection).drip(b"\x16"), PATIENCE_S)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        run_async(_serve(listener, run, tls))


@pytest.mark.parametrize("secure", [False, True])
def test_who_uses_a_connection_keeps_it(*, secure: bool) -> None:
    """An answer that takes the application long, requests one after another, and a WebSocket that answers pings."""
    tls, trusting = _contexts() if secure else (None, None)

    async def run(limiter: ConnectionLimiter) -> None:
        port = listener.getsockname()[1]
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trusting)
        for path in (b"/slow", b"/", b"/slow"):
            writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            answer = await asyncio.wait_for(reader.readuntil(b"\0\0"), PATIENCE_S)
            assert b" 200 " in answer
        writer.close()
        scheme = "wss" if secure else "ws"
        async with connect(f"{scheme}://localhost:{port}/ws", ssl=trusting, proxy=None) as websocket:
            await asyncio.sleep(5 * LIMITS.ping_s)
            await websocket.send("still here")
            await asyncio.wait_for(await websocket.ping(), PATIENCE_S)
        await _wait_until_gone(limiter)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        run_async(_serve(listener, run, tls))


@pytest.mark.parametrize("secure", [False, True])
def test_a_connection_that_its_client_closes_soon_leaves_no_trace(*, secure: bool) -> None:
    tls, trusting = _contexts() if secure else (None, None)

    async def run(limiter: ConnectionLimiter) -> None:
        for _ in range(3):
            _, writer = await asyncio.open_connection("localhost", listener.getsockname()[1], ssl=trusting)
            writer.close()
        await _wait_until_gone(limiter)
        await asyncio.sleep(2 * LIMITS.request_s)  # the checks that were due

    with socket.create_server(("127.0.0.1", 0)) as listener:
        run_async(_serve(listener, run, tls))
