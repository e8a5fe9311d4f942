"""Relay one port and write down when how many bytes came from the sender: `python -m scripts.verification.meter`.

    LISTEN_PORT TARGET_ADDRESS TARGET_PORT LOG

Each line of the log is a time (CLOCK_MONOTONIC, seconds) and a number of bytes. The receive buffer is small, so that
hardly anything waits in it: what is counted late has arrived late.
"""

import socket
import sys
import time
from pathlib import Path

from scripts.verification.relay import connect, relay

BLOCK_BYTES = 16_384


def main() -> None:
    """Serve until killed."""
    port, target, target_port, log = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    with log.open("a", buffering=1) as lines, socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BLOCK_BYTES)
        listener.bind(("0.0.0.0", port))  # noqa: S104  (of a namespace without a network)
        listener.listen()
        while True:
            sender, _ = listener.accept()
            try:
                server = connect(target, target_port)
            except OSError:
                sender.close()
                continue
            relay(sender, server, lambda block: lines.write(f"{time.monotonic()} {len(block)}\n"))


if __name__ == "__main__":
    main()
