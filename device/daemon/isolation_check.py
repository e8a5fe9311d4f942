"""`doorbell doctor isolation`: each process tries what it must not be able to do, and reports the result.

doorbelld tries to reach the internet (only the community server and the stores of the pinned agencies, so nobody
else learns of it); the courier tries to read the daemon's files. Where the isolation is missing (the units are not
installed, or the kernel does not support it), the result says so.
"""

import json
import secrets
import socket  # egress: isolation-check
import time
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

from device.daemon.wiring import Daemon
from device.errors import CommandError
from device.spool.folders import DOCTOR, Unreadable, read_small, write_small
from device.system.local_network import addresses, is_home

CONNECT_S, ANSWER_S = 1.5, 4.0
"""Both together are shorter than the time `doorbell` waits for an answer."""
HTTPS_PORT = 443
MAX_TARGETS = 3


class IsolationRow(TypedDict):
    """One attempt: which process, what it tried, the result, and whether the isolation held."""

    who: str
    what: str
    result: str
    holds: bool


class IsolationCheck:
    """Tries both sides."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def tried(self) -> dict[str, object]:
        """Return each attempt of both sides, its result, and whether the isolation holds."""
        rows = [*self._from_daemon(), *self._from_courier()]
        return {"holds": bool(rows) and all(row["holds"] for row in rows), "tried": rows}

    def _from_daemon(self) -> list[IsolationRow]:
        rows: list[IsolationRow] = []
        for host, port in self._targets():
            try:
                address = addresses(host, port)[0]
            except OSError as error:
                rows.append(_row("doorbelld", f"{host}:{port}", f"no address: {error.strerror}", holds=True))
                continue
            if is_home(address):
                continue  # the isolation allows the home network, as it should
            rows.append(_row("doorbelld", f"{host}:{port} ({address})", *_reach(address, port)))
        return rows

    def _targets(self) -> list[tuple[str, int]]:
        config = self._daemon.config.neighbourhood
        wanted = [(config.broker_host, config.broker_port)] if config.broker_host else []
        consent_service = self._daemon.consent_service
        for sender in consent_service.senders() if consent_service else ():
            for upload in sender["uploads"]:
                parts = urlsplit(upload["origin"])
                wanted.append((str(parts.hostname), parts.port or HTTPS_PORT))
        return list(dict.fromkeys(wanted))[:MAX_TARGETS]

    def _from_courier(self) -> list[IsolationRow]:
        config = self._daemon.config
        state = config.device.state_dir
        paths = [
            state / "clips",
            self._daemon.layout.ledger,
            self._daemon.layout.release_secret,
            self._daemon.sources.path,
            config.device.runtime_dir,
        ]
        ports = [config.page.loopback_port] if config.page.enabled else []
        folder = config.neighbourhood.spool_dir
        nonce = secrets.token_hex(8)
        question = {"nonce": nonce, "paths": [str(path) for path in paths], "ports": ports}
        try:
            write_small(folder / "out", DOCTOR, json.dumps(question).encode())
            answer = _answer(folder / "in", nonce)
        except OSError as error:
            raise CommandError(
                f"{error.filename or folder}: {error.strerror}; is there a spool?",
                code="no_spool",
                detail=f"{error.filename or folder}: {error.strerror}",
            ) from error
        if answer is None:
            return [_row("courier", "everything", "it does not answer: is it running?", holds=False)]
        return [
            _row("courier", row["what"], row["result"], holds=row["result"] not in ("read", "connected"))
            for row in answer
        ]


def _answer(folder: Path, nonce: str) -> list[dict[str, str]] | None:
    """Wait for the courier's answer; None after `ANSWER_S`."""
    until_s = time.monotonic() + ANSWER_S
    while time.monotonic() < until_s:
        try:
            content = read_small(folder, DOCTOR)
            answer = json.loads(content) if content else {}
            if answer.get("nonce") == nonce:
                return [
                    {"what": str(row["what"])[:400], "result": str(row["result"])[:100]}
                    for row in answer["tried"]
                ]
        except (Unreadable, ValueError, KeyError, TypeError, AttributeError):
            pass  # not there or not whole yet: read again until the time is over
        time.sleep(0.1)
    return None


def _reach(address: str, port: int) -> tuple[str, bool]:
    """Return the result of a connection attempt, and whether the isolation held."""
    try:
        socket.create_connection((address, port), CONNECT_S).close()
    except TimeoutError:
        return "no answer (dropped)", True
    except OSError as error:
        return error.strerror or str(error), True
    return "connected: not isolated", False


def _row(who: str, what: str, result: str, holds: bool) -> IsolationRow:  # noqa: FBT001
    return {"who": who, "what": what, "result": result, "holds": holds}
