"""The courier's uploads: it looks for grants, uploads their parcels, and reports the progress of each.

One parcel at a time, in order of their hashes. After a kill, a reboot or an outage it resumes at the store's offset,
while the grant is there. Without a lease it waits; it checks both directly before each piece.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from device.courier.backup_upload import BackupUploader
from device.courier.public_address import NotPublic
from device.courier.s3 import S3Uploader
from device.courier.settings import Limits
from device.courier.tus import TusUploader
from device.courier.upload_attempt import (
    GrantGone,
    LeaseLapsed,
    Refusing,
    RevocableUploader,
    UploadAttempt,
    Uploader,
)
from device.spool.folders import Unreadable
from device.spool.leases import LeaseReader
from device.spool.parcels import (
    MAX_WHY,
    Grant,
    RateLimiter,
    UploadKind,
    UploadReport,
    forget_report,
    grant_in,
    names_in,
    report_in,
    write_report,
)

log = logging.getLogger(__name__)

STEP_S = 0.5
FIRST_DELAY_S, MAX_DELAY_S = 2.0, 300.0
FORGET_TRIES = 8
KEPT_S = 7 * 86_400
"""How long a report is kept for the daemon to read."""
_OWN = BackupUploader()
FORGETTING: dict[UploadKind, RevocableUploader] = {"tus": TusUploader(), "s3": S3Uploader()}
WAYS: dict[UploadKind, Uploader] = {**FORGETTING, "bucket": _OWN, "webdav": _OWN, "sftp": _OWN}


class UploadWorker:
    """`run` is the thread's work."""

    def __init__(
        self,
        daemon_folder: Path,
        own_folder: Path,
        *,
        leases: LeaseReader,
        limits: Callable[[], Limits | None],
        tell: Callable[[str], None],
        stopping: threading.Event,
        beat: Callable[[], None],
    ) -> None:
        self._daemon_folder = daemon_folder
        self._own = own_folder
        self._leases = leases
        self._limits = limits
        self._tell = tell
        self._stopping = stopping
        self._beat = beat
        self._due_s: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def run(self) -> None:
        """Work until stopped."""
        while not self._stopping.is_set():
            self._beat()
            try:
                self._step()
            except OSError as error:
                log.warning("spool %s: %s", error.filename or "", error.strerror or error)
                self._stopping.wait(5.0)
            self._stopping.wait(STEP_S)

    def _step(self) -> None:
        granted = sorted(names_in(self._daemon_folder, "grant"))
        reported = list(names_in(self._own, "report"))
        for digest in [*granted, *(name for name in reported if name not in granted)]:
            if self._stopping.is_set() or self._due_s.get(digest, 0.0) > time.monotonic():
                continue
            self._beat()
            grant, report = self._read(digest)
            if grant is not None and (report is None or report.state == "sending"):
                self._carry(grant, report)
            elif grant is None and report is not None:
                self._end(report)

    def _read(self, digest: str) -> tuple[Grant | None, UploadReport | None]:
        try:
            grant = grant_in(self._daemon_folder, digest)
        except Unreadable as error:
            log.warning("spool %s", error)
            grant = None
        if grant is not None and grant.sha256 != digest:
            grant = None
        try:
            return grant, report_in(self._own, digest)
        except Unreadable:
            return grant, None

    def _carry(self, grant: Grant, report: UploadReport | None) -> None:
        limits = self._limits()
        if limits is None or not self._leases.covers(grant.sha256):
            return
        if not limits.may_send_now():
            self._tell(f"waiting for the upload hours ({limits.hours})")
            return
        digest = grant.sha256
        attempt: UploadAttempt | None = None
        try:
            attempt = UploadAttempt(
                grant,
                self._daemon_folder,
                report=report,
                check=lambda: self._check(grant),
                bytes_a_second=limits.bytes_a_second,
                pace=RateLimiter(limits.bytes_a_second, sleep=self._sleep),
                save=lambda report: write_report(self._own, report),
            )
            WAYS[grant.kind].carry(attempt)
            log.info("parcel stored sha256=%s", digest[:16])
            self._tell("up")
            self._failures.pop(digest, None)
        except GrantGone:
            self._due_s.pop(digest, None)
        except LeaseLapsed:
            self._pause(digest)
        except Refusing as error:
            log.error("parcel refused sha256=%s origin=%s %s", digest[:16], grant.origin, error)
            if attempt:
                why = str(error)[:MAX_WHY]
                left = attempt.left_bytes
                write_report(self._own, replace(attempt.report, state="refused", left_bytes=left, why=why))
        except (OSError, Unreadable) as error:
            if self._leases.covers(digest):
                self._wait_after(digest, grant, error)
            else:  # the guard has reset the connection
                self._pause(digest)
        finally:
            if attempt:
                attempt.close()

    def _pause(self, digest: str) -> None:
        log.info("parcel paused sha256=%s", digest[:16])
        self._tell("waiting for doorbelld")

    def _wait_after(self, digest: str, grant: Grant, error: Exception) -> None:
        failures = self._failures[digest] = self._failures.get(digest, 0) + 1
        delay_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** (failures - 1))
        self._due_s[digest] = time.monotonic() + delay_s
        why = str(error) if isinstance(error, NotPublic) else f"{grant.origin}: {error}"
        log.warning("parcel waits sha256=%s delay_s=%.0f %s", digest[:16], delay_s, why)
        self._tell(why[:MAX_WHY])

    def _check(self, grant: Grant) -> None:
        """Raise GrantGone unless the grant is what it was, LeaseLapsed unless a lease covers it now."""
        self._beat()
        if self._stopping.is_set():
            raise LeaseLapsed
        try:
            is_same = grant_in(self._daemon_folder, grant.sha256) == grant
        except (OSError, Unreadable):
            raise LeaseLapsed from None
        if not is_same:
            raise GrantGone
        if not self._leases.covers(grant.sha256):
            raise LeaseLapsed

    def _end(self, report: UploadReport) -> None:
        """The grant is gone: have the store forget a part, say what had left, and forget it oneself later."""
        digest = report.sha256
        if report.state != "sending":
            if time.time() - (self._own / f"{digest}.report").stat().st_mtime > KEPT_S:
                forget_report(self._own, digest)
            self._due_s[digest] = time.monotonic() + 3600
            return
        why = "nothing was there to be forgotten"
        way = FORGETTING.get(report.kind)
        if way is None and report.left_bytes:
            why = "what it had been sent may lie there"
        elif way is not None and report.place:
            try:
                why = self._forget(way, report)
            except (OSError, Refusing, ValueError) as error:
                failures = self._failures[digest] = self._failures.get(digest, 0) + 1
                if failures < FORGET_TRIES:
                    self._due_s[digest] = time.monotonic() + FIRST_DELAY_S * 2 ** (failures - 1)
                    return
                why = f"the store could not be asked to delete what it had: {error}"
        write_report(self._own, replace(report, state="ended", why=why[:MAX_WHY], receipt=None))
        log.info("parcel ended sha256=%s left_bytes=%d %s", digest[:16], report.left_bytes, why)

    def _forget(self, way: RevocableUploader, report: UploadReport) -> str:
        grant = Grant(
            sha256=report.sha256,
            size_bytes=report.size_bytes,
            kind=report.kind,
            origin=report.origin,
        )
        attempt = UploadAttempt(
            grant,
            self._daemon_folder,
            report=report,
            check=_send_nothing,
            bytes_a_second=0,
            pace=lambda _size: None,
            save=lambda _said: None,
        )
        try:
            return way.forget(attempt)
        finally:
            attempt.close()

    def _sleep(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not self._stopping.is_set() and (left := until_s - time.monotonic()) > 0:
            self._beat()
            self._stopping.wait(min(STEP_S, left))


def _send_nothing() -> None:
    """Let not a byte of a parcel go: the grant is gone."""
    raise GrantGone
