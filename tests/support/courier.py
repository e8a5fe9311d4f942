"""A spool and the real courier at it, on an island."""

import hashlib
import json
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Any

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


class CourierHarness:
    """A spool and the courier at it."""

    def __init__(self, folder: Path, island: Island, ca: Path) -> None:
        self.folder, self.island, self.ca = folder, island, ca
        for name in ("in", "out"):
            (folder / name).mkdir(parents=True)
        self.process: Process | None = None
        self.log = folder / "courier.log"

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
        command = self.island.command(BIN / "doorbelld-courier", "--spool", self.folder)
        self.process = Process(command, log=self.log, env={**os.environ, "SSL_CERT_FILE": str(self.ca)})

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process:
            self.process.end(number)
            self.process = None

    def parcel(
        self,
        origin: str,
        size: int = 300_000,
        *,
        lasts_s: float = 600,
        kind: UploadKind = "tus",
        account: Account | None = None,
    ) -> str:
        content = secrets.token_bytes(size)
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "p").write_bytes(content)
        stage_parcel(self.folder / "out", self.folder / "p", digest)
        (self.folder / "p").unlink()
        expires_s = int(time.time() + lasts_s)
        grant = Grant(
            sha256=digest, size_bytes=size, kind=kind, origin=origin, expires_s=expires_s, account=account
        )
        write_grant(self.folder / "out", grant)
        return digest

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
