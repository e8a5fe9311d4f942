"""sd_notify(3) without a library; a no-op without $NOTIFY_SOCKET."""

import os
import socket  # egress: local


class Notifier:
    """Sends READY=1, WATCHDOG=1, STATUS=… and STOPPING=1 to $NOTIFY_SOCKET."""

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET") if address is None else address
        self._socket: socket.socket | None = None
        if address:
            # A leading @ stands for the abstract namespace (sd_notify(3)).
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)  # noqa: FBT003  (the socket API has no keyword)
            self._socket.connect("\0" + address[1:] if address.startswith("@") else address)

    def send(self, message: str) -> None:
        """Send one line; a socket that is full or gone must not stop the daemon."""
        if self._socket is None:
            return
        try:
            self._socket.send(message.encode())
        except OSError:
            return

    def ready(self, status: str) -> None:
        """Report that the button is live."""
        self.send(f"READY=1\nSTATUS={status}")

    def watchdog(self) -> None:
        """Report that the controller runs and every worker is healthy."""
        self.send("WATCHDOG=1")

    def stopping(self) -> None:
        """Report that an orderly stop has begun."""
        self.send("STOPPING=1")
