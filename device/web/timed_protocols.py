"""Uvicorn's protocols with limits of time, so that no connection keeps its place without using it.

Limits are for the whole request, head and body together: a limit between two bytes lets a client that sends one byte
now and then stay for ever. An application that works on an answer is not limited.
"""

import asyncio  # egress: page, command-socket
import socket  # egress: page, command-socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol  # egress: page, command-socket
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)  # egress: page, command-socket

CHECKS = 10
"""Checks in the time of the shortest limit."""
_READING = (h11.IDLE, h11.SEND_BODY)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """How long a client may take, in seconds; then its connection is aborted."""

    handshake_s: float = 5.0
    request_s: float = 10.0
    """From the connection, or from the first byte of a later request, to the last byte of its body."""
    keep_alive_s: float = 20.0
    """Between two requests."""
    unread_s: float = 30.0
    """Of what was sent, the buffer's upper part (48 KiB; of TLS 384 KiB) must be taken in this time."""
    closing_s: float = 5.0
    """From the close to the last byte that is taken."""
    ping_s: float = 20.0
    """Interval of the pings of a WebSocket, and the time for each answer."""

    @property
    def check_s(self) -> float:
        """Interval of the checks of a connection."""
        return min(self.request_s, self.unread_s, self.closing_s) / CHECKS


class _Timed(asyncio.Protocol):
    """The checks of one connection, from its beginning to its end."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    connections: set[Any]
    app_state: dict[str, Any]

    def __init__(self, *arguments: Any, limits: TimeLimits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._began_s: float | None = None
        """When the request began that is not complete."""
        self._unread_s: float | None = None
        self._closing_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._began_s = self.loop.time()
        self.app_state["reset"] = self.reset
        self._check()

    def reset(self) -> None:
        """End the connection and drop what the client has not got yet, also what the kernel would still send."""
        own: socket.socket = self.transport.get_extra_info("socket")
        with suppress(OSError):  # closed already
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_s = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_s = None

    def _check(self) -> None:
        if self not in self.connections:
            return  # lost, or a WebSocket by now
        now_s = self.loop.time()
        if self._closing_s is None and self.transport.is_closing():
            self._closing_s = now_s
        limits = self._limits
        for since_s, limit_s in (
            (self._began_s, limits.request_s),
            (self._unread_s, limits.unread_s),
            (self._closing_s, limits.closing_s),
        ):
            if since_s is not None and now_s - since_s > limit_s:
                self.transport.abort()
                return
        self.loop.call_later(limits.check_s, self._check)


class TimedHttp(_Timed, H11Protocol):
    """HTTP/1.1 with limits."""

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        if self._began_s is None:
            self._began_s = self.loop.time()
        super().data_received(data)
        self._end_request()

    def on_response_complete(self) -> None:
        """Go on with the next request, of which a part may have come already."""
        super().on_response_complete()
        self._end_request()

    def _end_request(self) -> None:
        if self.conn.their_state not in _READING:
            self._began_s = None


class TimedWebSocket(_Timed, WebSocketsSansIOProtocol):
    """A WebSocket with limits; pings find out whether its client is still there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the request is complete already."""
        super().connection_made(transport)
        self._began_s = None
