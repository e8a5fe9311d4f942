"""Asking the daemon over its socket."""

import json
import socket
from pathlib import Path
from typing import Any

from device.errors import CommandError, DoorbellError
from device.link.socket_address import SOCKET_NAME, short_address

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


def ask(state: Path | None, **request: Any) -> Any:
    """Return the answer of the daemon. Raises NoDaemon, CommandError."""
    folder = runtime_dir(state)
    path = folder / SOCKET_NAME
    try:
        with short_address(folder) as address, socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(address)
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as lines:
                line = lines.readline()
    except PermissionError as error:
        raise NoDaemon(
            f"{path}: permission denied; be in the group of doorbelld (sudo usermod -aG doorbelld "
            "$USER, then log in again)"
        ) from error
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        hint = "" if state else "; a doorbell started by scripts/run needs `--state DIR`"
        raise NoDaemon(f"no doorbelld is running here (nobody listens on {path}){hint}") from error
    except OSError as error:
        raise NoDaemon(f"{path}: {error}; is doorbelld hanging? see its log") from error
    if not line:
        raise NoDaemon(f"{path}: doorbelld closed the connection; is it stopping?")
    reply = json.loads(line)
    if "error" in reply:
        raise CommandError(reply["error"])
    return reply["ok"]


def print_json(value: Any) -> None:
    """Print for machines."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
