"""The limit of connections of one peer, without a daemon."""

import asyncio
import socket
from contextlib import ExitStack

from device.web.connection_limiter import MAX_OF_ONE_PEER, ConnectionLimiter
from tests.support.event_loop import run_async

PATIENCE_S = 60.0
CROWD = 60


async def _application(scope: object, receive: object, send: object) -> None:
    del scope, receive, send


async def _served_of(clients: list[socket.socket], listener: socket.socket) -> int:
    """Serve a crowd that connected while the event loop was busy; return how many connections were not closed."""
    limiter = ConnectionLimiter(_application)
    serving = asyncio.create_task(limiter.serve(listener, None))
    loop = asyncio.get_running_loop()
    reads = [asyncio.create_task(loop.sock_recv(client, 1)) for client in clients]
    try:
        closed = 0
        while closed < CROWD - MAX_OF_ONE_PEER:
            over, _ = await asyncio.wait(
                [read for read in reads if not read.done()],
                timeout=PATIENCE_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not over:
                break
            closed += len(over)
        return CROWD - closed
    finally:
        serving.cancel()
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
        await limiter.shut_down()


def test_a_crowd_that_waited_for_a_busy_page_gets_no_more_places_than_one_peer_may_have() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=CROWD))
        clients = [
            stack.enter_context(socket.create_connection(listener.getsockname())) for _ in range(CROWD)
        ]
        for client in clients:
            client.setblocking(False)  # noqa: FBT003  (the socket API has no keyword)
        assert run_async(_served_of(clients, listener)) == MAX_OF_ONE_PEER
