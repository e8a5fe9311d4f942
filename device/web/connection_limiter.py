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
from dataclasses import dataclass
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


@dataclass(eq=False)
class _Greeting:
    """An accepted connection, until the web server has it in its list."""

    peer: str
    protocol: asyncio.Protocol | None = None


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
        self._greetings: dict[_Greeting, asyncio.Task[None]] = {}

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
            greeting = _Greeting(peer)
            self._greetings[greeting] = asyncio.create_task(self._greet(greeting, client, tls))
            await asyncio.sleep(
                0
            )  # accepting a waiting connection does not yield: a crowd would hold up the others

    def _has_room(self, peer: str) -> bool:
        if not peer:
            return True
        if not is_home(peer):
            log.warning("page_refused peer=%s: not of the home network", peer)
            return False
        connections = self._state.connections
        clients: list[Any] = [getattr(connection, "client", None) for connection in connections]
        open_now = Counter(str(client[0]) for client in clients if client)
        open_now.update(greeting.peer for greeting in self._greetings if greeting.protocol not in connections)
        return open_now.total() < MAX_CONNECTIONS and open_now[peer] < MAX_OF_ONE_PEER

    async def _greet(self, greeting: _Greeting, client: socket.socket, tls: ssl.SSLContext | None) -> None:
        def protocol() -> asyncio.Protocol:
            greeting.protocol = self._protocol()
            return greeting.protocol

        loop = asyncio.get_running_loop()
        try:
            transport, made = await loop.connect_accepted_socket(
                protocol, client, ssl=tls, ssl_handshake_timeout=HANDSHAKE_S if tls else None
            )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            client.close()
            return
        finally:
            del self._greetings[greeting]
        loop.call_later(IDLE_S, _close_idle, transport, made)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self._config.http_protocol_class
        protocol: asyncio.Protocol = make(config=self._config, server_state=self._state, app_state={})
        return protocol

    async def shut_down(self) -> None:
        """Give responses in progress a moment to finish, then end the rest."""
        for connection in list(self._state.connections):
            connection.shutdown()
        tasks = [*self._state.tasks, *self._greetings.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=SHUT_DOWN_S)
        for task in [*self._state.tasks, *self._greetings.values()]:
            task.cancel()
        for connection in list(self._state.connections):
            with suppress(AttributeError):
                connection.transport.abort()


def _close_idle(transport: Any, protocol: Any) -> None:
    """Close a connection without a request; a WebSocket has another protocol by then."""
    if transport.get_protocol() is protocol and protocol.cycle is None:
        transport.abort()
