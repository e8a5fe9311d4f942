"""Accepts connections from the home network only, up to a limit in total and for each peer.

It runs before TLS and the web server, so a connection from outside, or one too many, costs one accept and one
close. A crowd on many addresses cannot take all places: some are kept for addresses with a signed-in session, and for
this machine. How long a connection may take for what it does is limited by `timed_protocols`.
"""

import asyncio  # egress: page, command-socket
import errno
import logging
import socket  # egress: page, command-socket
import ssl  # egress: page, command-socket
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn  # egress: page, command-socket
from uvicorn.server import ServerState  # egress: page, command-socket

from device.system.local_network import is_home
from device.web.auth_accounts import THIS_MACHINE
from device.web.timed_protocols import TimedHttp, TimedWebSocket, TimeLimits

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 160
MAX_OF_STRANGERS = 88
"""Together, of all addresses without a signed-in session."""
MAX_WITHOUT_THIS_MACHINE = 136
MAX_OF_ONE_PEER = 24
"""A browser opens six; live view, events and a second page need more."""
MAX_ON_UNIX_SOCKET = 64
SHUT_DOWN_S = 0.4
REPORT_EVERY_S = 60.0


@dataclass(eq=False)
class _Greeting:
    """An accepted connection, until the web server has it in its list."""

    peer: str
    protocol: asyncio.Protocol | None = None


class RefusalLog:
    """Reports refused connections once a minute: a line for each would fill the journal."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._reported_s: float | None = None

    def add(self, why: str, now_s: float) -> None:
        """Count one, and report if it is time."""
        self._count[why] += 1
        if self._reported_s is None or now_s - self._reported_s >= REPORT_EVERY_S:
            counts = " ".join(f"{name}={count}" for name, count in sorted(self._count.items()))
            log.warning("page_refused %s", counts)
            self._reported_s = now_s
            self._count.clear()


def refusal(peer: str, open_now: Counter[str], signed_in: AbstractSet[str]) -> str:
    """Return why one more connection has no place; empty if it has one.

    `peer` is "" on a Unix socket; `open_now` counts the open connections of each peer; `signed_in` are the addresses
    with a signed-in session.
    """
    if not peer:
        return "too_many_on_the_command_socket" if open_now[""] >= MAX_ON_UNIX_SOCKET else ""
    if not is_home(peer):
        return "not_of_the_home_network"
    if open_now[peer] >= MAX_OF_ONE_PEER:
        return "too_many_of_one_address"
    if peer in THIS_MACHINE:
        return "too_many" if open_now.total() >= MAX_CONNECTIONS else ""
    others = open_now.total() - sum(open_now[own] for own in THIS_MACHINE)
    strangers = others - sum(open_now[known] for known in signed_in - THIS_MACHINE)
    full = others >= MAX_WITHOUT_THIS_MACHINE or (peer not in signed_in and strangers >= MAX_OF_STRANGERS)
    return "too_many" if full else ""


def _nobody() -> AbstractSet[str]:
    return frozenset()


class ConnectionLimiter:
    """Serves an ASGI application on listening sockets, with uvicorn's protocols."""

    def __init__(
        self,
        app: Any,
        *,
        signed_in_peers: Callable[[], AbstractSet[str]] = _nobody,
        limits: TimeLimits | None = None,
    ) -> None:
        """`signed_in_peers` returns the addresses that places are kept for."""
        self._limits = limits or TimeLimits()
        self._signed_in_peers = signed_in_peers
        self._config = uvicorn.Config(
            app,
            http=partial(TimedHttp, limits=self._limits),  # type: ignore[arg-type]
            ws=partial(TimedWebSocket, limits=self._limits),  # type: ignore[arg-type]
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ws_max_size=65_536,
            ws_per_message_deflate=False,
            ws_ping_interval=self._limits.ping_s,
            ws_ping_timeout=self._limits.ping_s,
            timeout_keep_alive=self._limits.keep_alive_s,  # type: ignore[arg-type]
        )
        self._config.load()
        # It logs a line for each socket, and a warning for each invalid request.
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
        self._state = ServerState()
        self._greetings: dict[_Greeting, asyncio.Task[None]] = {}
        self._refusals = RefusalLog()

    @property
    def connections(self) -> int:
        """Return how many connections have a place."""
        return self._open_now().total()

    async def serve(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Accept connections until cancelled; socket permissions control access to a Unix socket."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)  # noqa: FBT003  (the socket API has no keyword)
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:  # out of descriptors: wait until some are closed
                self._refusals.add(errno.errorcode.get(error.errno or 0, "accept_failed"), loop.time())
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
        why = refusal(peer, self._open_now(), self._signed_in_peers())
        if why:
            self._refusals.add(why, asyncio.get_running_loop().time())
        return not why

    def _open_now(self) -> Counter[str]:
        """Return the number of connections of each peer."""
        connections = self._state.connections
        clients: list[Any] = [getattr(connection, "client", None) for connection in connections]
        open_now = Counter(str(client[0]) if client else "" for client in clients)
        open_now.update(greeting.peer for greeting in self._greetings if greeting.protocol not in connections)
        return open_now

    async def _greet(self, greeting: _Greeting, client: socket.socket, tls: ssl.SSLContext | None) -> None:
        def protocol() -> asyncio.Protocol:
            greeting.protocol = self._protocol()
            return greeting.protocol

        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                protocol,
                client,
                ssl=tls,
                ssl_handshake_timeout=self._limits.handshake_s if tls else None,
                ssl_shutdown_timeout=self._limits.closing_s if tls else None,
            )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            client.close()
            return
        finally:
            del self._greetings[greeting]

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self._config.http_protocol_class
        # Each connection has its own `app_state`: the application finds the connection's `reset` in it.
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
