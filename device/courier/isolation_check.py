"""The courier's half of `doorbell doctor isolation`: it tries to read the daemon's files, and reports the results.

The daemon asks by a file in the spool that lists paths (never a clip's name); the answer has the kernel's error for
each. If the isolation works, every one is "permission denied" or "no such file".
"""

import json
import os
import socket  # egress: isolation-check
from pathlib import Path

from device.spool.folders import DOCTOR, Unreadable, read_small, write_small

MAX = 16
TIMEOUT_S = 3.0


class Doctor:
    """Answers each question once."""

    def __init__(self, daemon_folder: Path, own_folder: Path) -> None:
        self._daemon = daemon_folder
        self._own = own_folder
        self._answered = ""

    def poll(self) -> None:
        """Answer if there is a new question. Raises OSError."""
        try:
            content = read_small(self._daemon, DOCTOR)
            asked = json.loads(content) if content else {}
            nonce = str(asked.get("nonce", ""))[:64]
            paths = [str(path)[:400] for path in asked.get("paths", ())][:MAX]
            ports = [int(port) for port in asked.get("ports", ())][:MAX]
        except (Unreadable, ValueError, TypeError, AttributeError):
            return
        if not nonce or nonce == self._answered:
            return
        self._answered = nonce
        tried = [{"what": path, "result": _read(path)} for path in paths]
        tried += [{"what": f"127.0.0.1:{port}", "result": _connect(port)} for port in ports]
        answer = {"nonce": nonce, "uid": os.getuid(), "tried": tried}
        write_small(self._own, DOCTOR, json.dumps(answer).encode())


def _read(path: str) -> str:
    """Return what became of reading a file, or listing a folder: "read", or why not."""
    try:
        if Path(path).is_dir():
            os.listdir(path)  # noqa: PTH208  (the question is whether the kernel allows it)
        else:
            with Path(path).open("rb") as file:
                file.read(1)
    except OSError as error:
        return error.strerror or str(error)
    return "read"


def _connect(port: int) -> str:
    """Return what became of connecting to a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S).close()
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return error.strerror or str(error)
    return "connected"
