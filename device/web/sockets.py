"""The listening sockets, bound before anything heavy is loaded, so that an early client only waits."""

import os
import socket  # egress: page, command-socket
from collections.abc import Iterator
from pathlib import Path

from device.config import PageConfig
from device.errors import StateError
from device.events import Fault, Inbox
from device.web.socket_address import SOCKET_NAME, short_address


class ListeningSockets:
    """`unix`: the command socket; `http` on loopback, `https` for the home network."""

    def __init__(self, runtime_dir: Path, config: PageConfig, inbox: Inbox) -> None:
        """Raises StateError if another daemon listens on the command socket or the folder cannot be used.

        A port in use is a fault: the doorbell works without the page.
        """
        self.path = runtime_dir / SOCKET_NAME
        try:
            runtime_dir.mkdir(parents=True, exist_ok=True)
            with short_address(runtime_dir) as address:
                self._refuse_second(address)
                self.path.unlink(missing_ok=True)
                self.unix = socket.socket(socket.AF_UNIX)
                mask = os.umask(0o117)
                try:
                    self.unix.bind(address)
                finally:
                    os.umask(mask)
                self.unix.listen(64)
        except OSError as error:
            raise StateError(
                f"command socket {self.path}: {error.strerror}; "
                "make the runtime directory writable for the user that runs doorbelld"
            ) from error
        self.http: list[socket.socket] = []
        self.https: list[socket.socket] = []
        if config.enabled:
            self.http = list(_bound(config.loopback_port, ("127.0.0.1", "::1"), "page.loopback_port", inbox))
            self.https = list(_bound(config.port, ("0.0.0.0", "::"), "page.port", inbox))  # noqa: S104

    def _refuse_second(self, address: str) -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(address)
            except OSError:
                return
        raise StateError(f"another doorbelld listens on {self.path}; stop it first")

    def close_network(self) -> None:
        """Close the page's sockets, so that no client waits for it in vain."""
        for listener in (*self.http, *self.https):
            listener.close()
        self.http.clear()
        self.https.clear()

    def close(self) -> None:
        """Close all sockets and remove the command socket."""
        self.close_network()
        self.unix.close()
        self.path.unlink(missing_ok=True)


def _bound(port: int, addresses: tuple[str, str], key: str, inbox: Inbox) -> Iterator[socket.socket]:
    for address in addresses if port else ():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            listener = socket.socket(family)
        except OSError:
            continue  # a kernel without IPv6
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, port))
            listener.listen(64)
        except OSError as error:
            listener.close()
            if family == socket.AF_INET:
                text = f"{key} {port} cannot be used: {error.strerror}"
                remedy = "see what else listens there (ss -ltnp), or choose another port"
                inbox(
                    Fault(
                        code="page_failed",
                        active=True,
                        reason="port",
                        params={"port": str(port), "detail": error.strerror or ""},
                        text=text,
                        remedy=remedy,
                    )
                )
            continue
        yield listener
