"""The process: one loop over its sockets. It ends when doorbelld closes the socket pair."""

import argparse
import json
import logging
import os
import selectors
import socket  # egress: rtsp
import sys
import time
from contextlib import suppress
from typing import Any

from device.rtsp.connection import Connection
from device.rtsp.messages import Account, Messages, Picture, Reset, Sound, StreamFormat
from device.rtsp.protocol import BadRequest
from device.system.local_network import is_home

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 24
MAX_OF_ONE_PEER = 8
MAX_PLAYING = 8
MAX_GROUP_BYTES = 12_000_000
"""Of pictures since the last keyframe; then a new client waits for the next one."""
KEEP_WANTED_S = 10.0
"""How long pictures still come after the last client has left: most connect again at once."""
STEP_S = 0.5


class Server:
    """Serves until the socket pair ends."""

    def __init__(self, link: socket.socket) -> None:
        self.accounts: dict[str, Account] = {}
        self.format: StreamFormat | None = None
        self.group: list[Picture | Sound] = []
        self._group_bytes = 0
        self._link = link
        self._messages = Messages()
        self._connections: dict[socket.socket, Connection] = {}
        self._selector = selectors.DefaultSelector()
        self._wanted = False
        self._wanted_s = 0.0

    def serve(self, listeners: list[socket.socket]) -> None:
        """Serve; return when doorbelld has closed the socket pair."""
        self._selector.register(self._link, selectors.EVENT_READ)
        for listener in listeners:
            listener.setblocking(False)  # noqa: FBT003  (the socket API has no keyword)
            self._selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, events in self._selector.select(STEP_S):
                if key.fileobj is self._link:
                    data = self._link.recv(1 << 20)
                    if not data:
                        return
                    for message in self._messages.feed(data):
                        self._take(message)
                elif key.fileobj in listeners:
                    self._accept(key.fileobj)
                elif connection := self._connections.get(key.fileobj):  # type: ignore[call-overload]
                    self._serve_one(connection, events)
            self._check(time.monotonic())

    # --- what all clients share ---------------------------------------------------------------------------

    def has_room(self) -> bool:
        """Return whether one more may play."""
        return sum(each.playing for each in self._connections.values()) < MAX_PLAYING

    def used(self, name: str, peer: str) -> None:
        """Tell doorbelld that a reader has connected."""
        self._tell(used=[name, peer])

    # --- doorbelld ----------------------------------------------------------------------------------------

    def _take(self, message: Any) -> None:
        match message:
            case Picture() | Sound():
                self._keep(message)
            case StreamFormat():
                self.format = message
            case Reset():
                self.format, self.group = None, []
                self._close(each for each in self._connections.values() if each.described)
            case dict():
                before, self.accounts = self.accounts, message
                self._close(
                    each
                    for each in self._connections.values()
                    if each.reader and before.get(each.reader) != message.get(each.reader)
                )

    def _keep(self, part: Picture | Sound) -> None:
        if isinstance(part, Picture) and part.is_keyframe:
            self.group, self._group_bytes = [], 0
        elif not self.group:
            return
        self.group.append(part)
        self._group_bytes += len(part.data)
        if self._group_bytes > MAX_GROUP_BYTES:
            self.group = []
        for connection in list(self._connections.values()):
            with self._closing(connection):
                if connection.playing:
                    connection.deliver(part)
                else:
                    connection.describe_if_possible()
            self._watch(connection)

    def _tell(self, **report: object) -> None:
        self._link.sendall(json.dumps(report).encode() + b"\n")

    # --- clients ------------------------------------------------------------------------------------------

    def _accept(self, listener: Any) -> None:
        with suppress(OSError):
            client, address = listener.accept()
            peer = str(address[0])
            same = sum(each.peer == peer for each in self._connections.values())
            if not is_home(peer) or same >= MAX_OF_ONE_PEER or len(self._connections) >= MAX_CONNECTIONS:
                client.close()
                return
            self._connections[client] = Connection(self, client, peer)
            self._selector.register(client, selectors.EVENT_READ)

    def _serve_one(self, connection: Connection, events: int) -> None:
        with self._closing(connection):
            if events & selectors.EVENT_READ:
                connection.read()
            if events & selectors.EVENT_WRITE:
                connection.write()
        self._watch(connection)

    def _closing(self, connection: Connection) -> "_Closing":
        return _Closing(self, connection)

    def _watch(self, connection: Connection) -> None:
        if not connection.closed:
            write = selectors.EVENT_WRITE if connection.wants_to_write else 0
            if self._selector.get_key(connection.socket).events != selectors.EVENT_READ | write:
                self._selector.modify(connection.socket, selectors.EVENT_READ | write)

    def end(self, connection: Connection) -> None:
        """End a connection, if it has not ended."""
        if not connection.closed:
            self._selector.unregister(connection.socket)
            del self._connections[connection.socket]
            connection.close()

    def _close(self, connections: Any) -> None:
        for connection in list(connections):
            self.end(connection)

    def _check(self, now_s: float) -> None:
        for connection in self._connections.values():
            connection.hear_reports()
        self._close(each for each in self._connections.values() if each.is_overdue(now_s))
        if any(each.reader for each in self._connections.values()):
            self._wanted_s = now_s
        wanted = bool(self._wanted_s) and now_s - self._wanted_s < KEEP_WANTED_S
        if wanted != self._wanted:
            self._wanted = wanted
            if not wanted:
                self.format, self.group = None, []  # old by the time that the next client comes
            self._tell(wanted=wanted)


class _Closing:
    """Ends a connection whose client has left or sends nonsense."""

    def __init__(self, server: Server, connection: Connection) -> None:
        self._server = server
        self._connection = connection

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, OSError | BadRequest):
            self._server.end(self._connection)
            return True
        return False


def listen(port: int) -> list[socket.socket]:
    """Return listening sockets on a port of every address. Raises OSError if it is taken."""
    found: list[socket.socket] = []
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
        try:
            listener = socket.socket(family)
        except OSError:
            continue  # a kernel without IPv6
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            listener.bind((address, port))
            listener.listen(16)
        except OSError:
            listener.close()
            if family == socket.AF_INET:
                raise
            continue
        found.append(listener)
    return found


def main() -> None:
    """Serve the pictures that come through standard input, a socket pair."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    logging.basicConfig(format="rtsp: %(message)s", level=logging.INFO)
    os.nice(5)  # the bell comes first
    link = socket.socket(fileno=os.dup(0))
    try:
        listeners = listen(port)
    except OSError as error:
        link.sendall(json.dumps({"failed": error.strerror or str(error)}).encode() + b"\n")
        sys.exit(1)
    link.sendall(json.dumps({"listening": port}).encode() + b"\n")
    with suppress(BrokenPipeError, ConnectionResetError):
        Server(link).serve(listeners)
