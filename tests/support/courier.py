"""A spool and the real courier at it, on an island."""

import hashlib
import json
import os
import secrets
import signal
import threading
from pathlib import Path
from typing import Any

from device.spool.leases import MAX_LEASE_S, boottime_s, write_leases
from device.spool.parcels import (
    Account,
    Grant,
    UploadKind,
    UploadReport,
    report_in,
    revoke,
    stage_parcel,
    write_grant,
)
from server.dev_processes import Process, wait_for
from tests.support.doorbell import BIN
from tests.support.network_namespace import Island

LEASE_S = MAX_LEASE_S
"""A busy machine may take long to renew; tests end a lease by `end_lease`."""


class CourierHarness:
    """A spool and the courier at it."""

    def __init__(self, folder: Path, island: Island, ca: Path) -> None:
        self.folder, self.island, self.ca = folder, island, ca
        for name in ("in", "out", "leases"):
            (folder / name).mkdir(parents=True)
        self.leased: set[str] = set()
        self.process: Process | None = None
        self.log = folder / "courier.log"
        self._lock, self._over = threading.Lock(), threading.Event()
        self._renewing: threading.Thread | None = None

    def limits(self, *, kbps: int = 0, hours: str = "") -> None:
        settings: dict[str, Any] = {
            "v": 1,
            "broker": None,
            "cells": [],
            "feeds": {},
            "upload": {"kbps": kbps, "hours": hours},
        }
        (self.folder / "out/settings.json").write_text(json.dumps(settings))

    def start(self) -> None:
        leases = self.folder / "leases"
        command = self.island.command(BIN / "doorbelld-courier", "--spool", self.folder, "--leases", leases)
        self.process = Process(command, log=self.log, env={**os.environ, "SSL_CERT_FILE": str(self.ca)})

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process:
            self.process.end(number)
            self.process = None

    def close(self) -> None:
        self.stop()
        self._over.set()
        if self._renewing:
            self._renewing.join()

    def parcel(
        self,
        origin: str,
        size: int = 300_000,
        *,
        leased: bool = True,
        kind: UploadKind = "tus",
        account: Account | None = None,
    ) -> str:
        content = secrets.token_bytes(size)
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "p").write_bytes(content)
        stage_parcel(self.folder / "out", self.folder / "p", digest)
        (self.folder / "p").unlink()
        grant = Grant(sha256=digest, size_bytes=size, kind=kind, origin=origin, account=account)
        write_grant(self.folder / "out", grant)
        if leased:
            self.lease(digest)
        return digest

    def lease(self, *digests: str) -> None:
        """Renew the leases of some parcels until `end_lease`, as doorbelld does."""
        self.leased |= set(digests)
        self._renew()
        if self._renewing is None:
            self._renewing = threading.Thread(target=self._run, daemon=True)
            self._renewing.start()

    def end_lease(self, *digests: str) -> None:
        self.leased -= set(digests)
        self._renew()

    def _run(self) -> None:
        while not self._over.wait(LEASE_S / 3):
            self._renew()

    def _renew(self) -> None:
        with self._lock:
            write_leases(self.folder / "leases", dict.fromkeys(self.leased, boottime_s() + LEASE_S))

    def report(self, digest: str) -> UploadReport | None:
        return report_in(self.folder / "in", digest)

    def ends(self, digest: str, state: str) -> UploadReport:
        def found() -> UploadReport | None:
            report = self.report(digest)
            return report if report and report.state == state else None

        report: UploadReport = wait_for(f"{state}: {self.report(digest)}", found)
        return report

    def withdraw(self, digest: str) -> None:
        revoke(self.folder / "out", digest)

    def status(self) -> str:
        path = self.folder / "in/status.json"
        return str(json.loads(path.read_text())["how"].get("parcels", "")) if path.exists() else ""
