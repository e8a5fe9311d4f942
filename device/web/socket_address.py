"""The command socket's address, however long its path: a Unix socket's address has at most 107 bytes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET_NAME = "doorbelld.sock"


@contextmanager
def short_address(runtime_dir: Path) -> Iterator[str]:
    """Yield an address for the socket in `runtime_dir` by way of an open folder descriptor."""
    fd = os.open(runtime_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{SOCKET_NAME}"
    finally:
        os.close(fd)
