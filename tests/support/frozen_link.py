"""A TCP relay in front of a doorbell's page that can be frozen: connections stay open, and nothing moves."""

import socket
import threading
from contextlib import suppress


class FrozenLink:
    """Relays 127.0.0.1:`port` to another port of this machine."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Let nothing pass in either direction; new connections are accepted and wait."""
        self._flows.clear()

    def thaw(self) -> None:
        """Deliver what waited, and go on."""
        self._flows.set()

    def close(self) -> None:
        """End every connection."""
        self._flows.set()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        self._flows.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._to_port))
        except OSError:
            client.close()
            return
        self._sockets.append(server)
        threading.Thread(target=self._copy, args=(client, server), daemon=True).start()
        self._copy(server, client)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self._flows.wait()
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
