"""Asking the daemon: its API (device/web/routes_device.py), as HTTP over the command socket."""

import http.client  # egress: command-socket
import json
import socket  # egress: command-socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from device.errors import CommandError, DoorbellError
from device.web.socket_address import SOCKET_NAME, short_address

ApiObject = Mapping[str, Any]
"""An answer of the API; device/web/ describes each."""
OK, FAILED, USAGE, NO_DAEMON = 0, 1, 2, 3
TIMEOUT_S = 10.0
SYSTEM_STATE = Path("/var/lib/doorbelld")
SYSTEM_RUNTIME = Path("/run/doorbelld")


class NoDaemon(DoorbellError):
    """Nobody listens on the command socket."""


def runtime_dir(state: Path | None) -> Path:
    """Return where the command socket is."""
    return state / "run" if state else SYSTEM_RUNTIME


def state_dir(state: Path | None) -> Path:
    """Return where clips and index are."""
    return state / "state" if state else SYSTEM_STATE


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, folder: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._folder = folder

    def connect(self) -> None:
        """Connect. Raises OSError."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(self.timeout)
        try:
            with short_address(self._folder) as address:
                sock.connect(address)
        except BaseException:
            sock.close()
            raise
        self.sock = sock

    def ask(self, method: str, path: str, body: Any = None, /, **query: Any) -> bytes:
        """Return what is answered. Raises OSError, http.client.HTTPException, CommandError."""
        parameters = {name: value for name, value in query.items() if value is not None}
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        self.request(
            method, f"/api{path}{'?' if parameters else ''}{urlencode(parameters)}", content, headers
        )
        response = self.getresponse()
        answer = response.read()
        if response.status >= http.client.BAD_REQUEST:
            try:
                message = json.loads(answer)["error"]
            except (ValueError, KeyError, TypeError):
                message = f"doorbelld answered {response.status} {response.reason}"
            raise CommandError(str(message))
        return answer


def ask_raw(state: Path | None, method: str, path: str, body: Any = None, /, **query: Any) -> bytes:
    """Return the answer of the daemon as it comes. Raises NoDaemon, CommandError."""
    folder = runtime_dir(state)
    socket_path = folder / SOCKET_NAME
    connection = Connection(folder)
    try:
        return connection.ask(method, path, body, **query)
    except PermissionError as error:
        raise NoDaemon(
            f"{socket_path}: permission denied; be in the group of doorbelld (sudo usermod -aG doorbelld "
            "$USER, then log in again)"
        ) from error
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        hint = "" if state else "; a doorbell started by scripts/run needs `--state DIR`"
        raise NoDaemon(f"no doorbelld is running here (nobody listens on {socket_path}){hint}") from error
    except (http.client.HTTPException, ConnectionResetError, BrokenPipeError) as error:
        raise NoDaemon(f"{socket_path}: doorbelld closed the connection; is it stopping?") from error
    except OSError as error:
        raise NoDaemon(f"{socket_path}: {error}; is doorbelld hanging? see its log") from error
    finally:
        connection.close()


def ask(state: Path | None, method: str, path: str, body: Any = None, /, **query: Any) -> Any:
    """Return the answer of the daemon. Raises NoDaemon, CommandError."""
    return json.loads(ask_raw(state, method, path, body, **query))


def clip_path(clip_id: str, tail: str = "") -> str:
    """Return the path of a clip that somebody typed the id of."""
    if "/" in clip_id:
        raise CommandError(f"there is no clip {clip_id}; `doorbell clips list` shows them")
    return f"/clips/{quote(clip_id, safe='', errors='replace')}{tail}"


def print_json(value: Any) -> None:
    """Print for machines."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
