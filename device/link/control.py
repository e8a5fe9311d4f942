"""The command socket: `doorbell` asks, the house answers. One JSON object a line, both ways.

    {"do": "ring"}                   →  {"ok": {...}}
    {"do": "clip", "id": "…"}        →  {"error": "there is no clip …"}

A Unix stream socket in the runtime directory, mode 0660: who is in the daemon's group may speak.
"""

import json
import logging
import os
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device.errors import CommandError, StateError
from device.link.socket_address import SOCKET_NAME, short_address
from device.worker import Worker

log = logging.getLogger(__name__)

LONGEST_LINE_BYTES = 4096
MOST_CLIENTS = 16
IDLE_S = 30.0

Answer = Callable[[dict[str, Any]], Any]
"""Takes the arguments of one command; returns what `ok` holds; raises CommandError."""


class ControlSocket:
    """Listens; each client has a short-lived thread, at most `MOST_CLIENTS` at a time."""

    def __init__(self, runtime_dir: Path, commands: dict[str, Answer]) -> None:
        """Bind. Raises StateError if another daemon listens there or the folder cannot be used."""
        self._path = runtime_dir / SOCKET_NAME
        try:
            runtime_dir.mkdir(parents=True, exist_ok=True)
            with short_address(runtime_dir) as address:
                self._refuse_second(address)
                self._path.unlink(missing_ok=True)
                mask = os.umask(0o117)
                try:
                    self._server = _Server(address, commands)
                finally:
                    os.umask(mask)
        except OSError as error:
            raise StateError(
                f"command socket {self._path}: {error.strerror}; "
                "make the runtime directory writable for the user that runs doorbelld"
            ) from error

    def _refuse_second(self, address: str) -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(address)
            except OSError:
                return
        raise StateError(f"another doorbelld listens on {self._path}; stop it first")

    def run(self, worker: Worker) -> None:
        """Serve until stopped."""
        self._server.timeout = 0.5
        while not worker.stopping.is_set():
            worker.beat()
            self._server.handle_request()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64
    block_on_close = False

    def __init__(self, address: str, commands: dict[str, Answer]) -> None:
        self.commands = commands
        self.room = threading.BoundedSemaphore(MOST_CLIENTS)
        super().__init__(address, _Client)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        log.error("command_failed error=%r", sys.exception())


class _Client(socketserver.StreamRequestHandler):
    timeout = IDLE_S
    server: _Server

    def handle(self) -> None:
        if not self.server.room.acquire(blocking=False):
            return self._say({"error": "too many clients; try again"})
        try:
            while line := self.rfile.readline(LONGEST_LINE_BYTES):
                self._say(self._answer(line))
        except (OSError, TimeoutError):
            return None  # The client went away; the house goes on.
        finally:
            self.server.room.release()
        return None

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "not a JSON object on one line of at most 4096 bytes"}
        if not isinstance(request, dict) or not isinstance(request.get("do"), str):
            return {"error": 'not an object with a "do"'}
        answer = self.server.commands.get(request["do"])
        if answer is None:
            return {"error": f"there is no command {request['do']!r:.40}"}
        try:
            return {"ok": answer(request)}
        except CommandError as error:
            return {"error": str(error)}

    def _say(self, reply: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(reply, ensure_ascii=False).encode() + b"\n")
