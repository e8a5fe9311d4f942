"""Ends a transfer that may no longer go on, also while its `send` is blocked.

A blocked send cannot check anything, and what the kernel holds for a slow peer would leave later. So a thread
watches, and resets the connection: the send fails, and the kernel drops what it holds (SO_LINGER of 0 seconds).
The send buffer is bounded, so little is in the kernel at any time.
"""

import logging
import socket  # egress: parcels, backups-home, backups-outside
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import urllib3  # egress: parcels, backups-home, backups-outside

log = logging.getLogger(__name__)

SEND_BUFFER_BYTES = 32_768
"""Linux doubles it for its own bookkeeping (socket(7), SO_SNDBUF)."""
LOOK_S = 0.1
_LINGER_0 = struct.pack("ii", 1, 0)


class SendGuard:
    """Watches the connections of one transfer while it is armed. A context manager."""

    def __init__(self, may_send: Callable[[], bool]) -> None:
        """`may_send` is called from another thread."""
        self._may_send = may_send
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._armed, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, sock: socket.socket) -> None:
        """Bound a new connection's send buffer, and reset the connection when it may not send any more."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        with self._lock:
            self._sockets.append(sock.dup())  # stays valid when TLS takes the socket over

    def watch_pool(self, pool: urllib3.HTTPConnectionPool) -> None:
        """Watch each connection that a pool opens."""
        guard = self
        base: Any = pool.ConnectionCls

        class Guarded(base):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                sock: socket.socket = super()._new_conn()
                guard.watch(sock)
                return sock

        pool.ConnectionCls = Guarded

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Look at `may_send` while the body runs: it is sending."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="send guard", daemon=True)
            self._thread.start()
        self._armed.set()
        try:
            yield
        finally:
            self._armed.clear()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self._armed.set()
        if self._thread:
            self._thread.join()
        with self._lock:
            for sock in self._sockets:
                sock.close()
            self._sockets.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._armed.wait()
            if self._closed.wait(LOOK_S):
                return
            if self._armed.is_set() and not self._may_send():
                self.reset()

    def reset(self) -> None:
        """Reset the connections; what the kernel holds for them is dropped once their owner closes them."""
        with self._lock:
            for sock in self._sockets:
                with suppress(OSError):  # closed by its peer
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
            if self._sockets:
                log.info("transfer_reset connections=%d", len(self._sockets))
            self._sockets.clear()
