"""Relay connections into a network namespace: `python -m scripts.verification.relay FD=PORT ...`, run inside it.

With it a browser outside reaches pages inside. Each FD is a listening socket of the outer namespace (a socket
belongs to the namespace that created it); each PORT is a port on loopback inside.
"""

import socket
import sys
import threading

BLOCK_BYTES = 65_536


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy until the end of the stream."""
    try:
        while block := source.recv(BLOCK_BYTES):
            sink.sendall(block)
    except OSError:
        pass
    finally:
        for connection in (source, sink):
            connection.close()


def serve(listener: socket.socket, port: int) -> None:
    """Relay each client that connects."""
    while True:
        outside, _ = listener.accept()
        try:
            inside = socket.create_connection(("127.0.0.1", port), 5)
        except OSError:
            outside.close()
            continue
        for pair in ((outside, inside), (inside, outside)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


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
