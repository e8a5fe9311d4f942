"""Accepts connections from the home network only, up to a limit in total and for each peer.

It runs before TLS and the web server, so a connection from outside, or one too many, costs one accept and one
close. Idle connections are closed.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from contextlib import suppress
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from device.system.local_network import is_home

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 160
MAX_OF_ONE_PEER = 24
"""A browser opens six; live view, events and a second page need more."""
HANDSHAKE_S = 5.0
IDLE_S = 10.0
SHUT_DOWN_S = 0.4


class ConnectionLimiter:
    """Serves an ASGI application on listening sockets, with uvicorn's protocols."""

    def __init__(self, app: Any) -> None:
        self._config = uvicorn.Config(
            app,
            http="h11",
            ws="websockets-sansio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ws_max_size=65_536,
            ws_per_message_deflate=False,
            timeout_keep_alive=20,
        )
        self._config.load()
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it logs a line for each socket
        self._state = ServerState()
        self._greeting: Counter[str] = Counter()
        self._greetings: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Accept connections until cancelled; socket permissions control access to a Unix socket."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)  # noqa: FBT003  (the socket API has no keyword)
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:  # out of descriptors: wait until some are closed
                log.warning("page_accept_failed error=%r", error)
                await asyncio.sleep(0.5)
                continue
            peer = "" if client.family == socket.AF_UNIX else str(address[0])
            if not self._has_room(peer):
                client.close()
                continue
            greeting = asyncio.create_task(self._greet(client, peer, tls))
            self._greetings.add(greeting)
            greeting.add_done_callback(self._greetings.discard)

    def _has_room(self, peer: str) -> bool:
        if not peer:
            return True
        if not is_home(peer):
            log.warning("page_refused peer=%s: not of the home network", peer)
            return False
        clients: list[Any] = [getattr(connection, "client", None) for connection in self._state.connections]
        open_now = Counter(str(client[0]) for client in clients if client)
        open_now.update(self._greeting)
        return open_now.total() < MAX_CONNECTIONS and open_now[peer] < MAX_OF_ONE_PEER

    async def _greet(self, client: socket.socket, peer: str, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        self._greeting[peer] += 1
        try:
            transport, protocol = await loop.connect_accepted_socket(
                self._protocol, client, ssl=tls, ssl_handshake_timeout=HANDSHAKE_S if tls else None
            )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            client.close()
            return
        finally:
            self._greeting[peer] -= 1
            if not self._greeting[peer]:
                del self._greeting[peer]
        loop.call_later(IDLE_S, _close_idle, transport, protocol)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self._config.http_protocol_class
        protocol: asyncio.Protocol = make(config=self._config, server_state=self._state, app_state={})
        return protocol

    async def shut_down(self) -> None:
        """Give responses in progress a moment to finish, then end the rest."""
        for connection in list(self._state.connections):
            connection.shutdown()
        tasks = [*self._state.tasks, *self._greetings]
        if tasks:
            await asyncio.wait(tasks, timeout=SHUT_DOWN_S)
        for task in [*self._state.tasks, *self._greetings]:
            task.cancel()
        for connection in list(self._state.connections):
            with suppress(AttributeError):
                connection.transport.abort()


def _close_idle(transport: Any, protocol: Any) -> None:
    """Close a connection without a request; a WebSocket has another protocol by then."""
    if transport.get_protocol() is protocol and protocol.cycle is None:
        transport.abort()
