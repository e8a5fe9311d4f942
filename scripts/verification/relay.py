"""Relay connections into a network namespace: `python -m scripts.verification.relay FD=PORT ...`, run inside it.

With it a browser outside reaches pages inside. Each FD is a listening socket of the outer namespace (a socket
belongs to the namespace that created it); each PORT is a port on loopback inside.
"""

import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

BLOCK_BYTES = 65_536
CONNECT_S = 5.0


def connect(address: str, port: int) -> socket.socket:
    """Connect within CONNECT_S; afterwards the connection may be silent for any time. Raises OSError."""
    connection = socket.create_connection((address, port), CONNECT_S)
    connection.settimeout(None)  # the time-out for connecting would also end every pause of the conversation
    return connection


def relay(
    client: socket.socket, server: socket.socket, sent: Callable[[bytes], object] = lambda _block: None
) -> None:
    """Copy both ways until either side closes. `sent` gets each block that comes from the client."""
    for source, sink, note in ((client, server, sent), (server, client, lambda _block: None)):
        threading.Thread(target=_pump, args=(source, sink, note), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, note: Callable[[bytes], object]) -> None:
    try:
        while block := source.recv(BLOCK_BYTES):
            note(block)
            sink.sendall(block)
    except OSError:
        pass
    finally:
        for connection in (source, sink):
            with suppress(OSError):  # the other side's end may have come first
                connection.shutdown(socket.SHUT_RDWR)  # close alone does not wake the thread that reads it
            connection.close()


def serve(listener: socket.socket, port: int) -> None:
    """Relay each client that connects, until the listener is closed."""
    while True:
        try:
            outside, _ = listener.accept()
        except OSError:
            return
        try:
            inside = connect("127.0.0.1", port)
        except OSError:
            outside.close()
            continue
        relay(outside, inside)


def main() -> None:
    """Serve every pair until killed."""
    threads = []
    for pair in sys.argv[1:]:
        fd, port = map(int, pair.split("="))
        listener = socket.socket(fileno=fd)
        threads.append(threading.Thread(target=serve, args=(listener, port), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
