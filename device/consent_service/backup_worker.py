"""Backups of clips to the owner's own targets, off until the owner adds one: the only permanent grants.

Each clip is encrypted with the owner's own key; its ledger entry is durable before the first byte is sent. This
thread serves targets on the home network, the courier those outside, under a grant like a parcel's; both only while
a lease covers the clip. A target that is full, misconfigured or unreachable is a fault, and is tried again at
growing intervals.
"""

import json
import logging
import subprocess  # egress: local
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from device.backup_targets import BackupTarget, TargetFull, TargetKind, TargetRejected, put
from device.config import NeighbourhoodConfig
from device.consent import entries
from device.consent.documents import AddedDestination
from device.consent.entries import LedgerEntryDraft
from device.consent.ledger_state import Backup, Destination
from device.consent_service.lease_keeper import LeaseKeeper
from device.consent_service.ledger import LedgerBroken
from device.consent_service.ledger_store import LedgerStore, LockedLedger
from device.errors import CommandError
from device.events import Fault
from device.spool.folders import Unreadable, write_small
from device.spool.leases import piece_bytes
from device.spool.parcels import (
    Account,
    Grant,
    RateLimiter,
    is_granted,
    report_in,
    revoke,
    stage_parcel,
    write_grant,
)
from device.system.local_network import addresses, is_home
from device.system.send_guard import SendGuard
from device.system.urls import endpoint
from device.system.worker import Worker

log = logging.getLogger(__name__)

STEP_S = 2.0
FIRST_DELAY_S, MAX_DELAY_S = 60.0, 3600.0
SEAL_PATIENCE_S = 600.0
SECRETS_FILE = "destinations.json"
KINDS: dict[str, TargetKind] = {"s3": "s3", "webdav": "webdav", "sftp": "sftp"}


class Clips(Protocol):
    """The clips, as the backup worker needs them. The composition implements it."""

    def next_clip(self, since_us: int, known: Callable[[str], bool]) -> str | None:
        """Return the oldest clip that ended since then and is not `known`; None if there is none.

        Raises CommandError.
        """

    def file_of(self, clip_id: str, beat: Callable[[], None]) -> Path | None:
        """Return a clip's file with its masks, None if it was deleted; `beat` while it is encoded.

        Raises CommandError.
        """


class NotHome(OSError):
    """A target is no longer on the home network."""


def home_address(host: str, port: int) -> str:
    """Return the address of a host of the home network. Raises NotHome, OSError."""
    found = addresses(host, port)
    if not all(is_home(address) for address in found):
        raise NotHome(
            f"{host} resolves to {', '.join(found)}: not on the home network; nothing is sent there"
        )
    return found[0]


class BackupWorker:
    """`run` is the thread."""

    def __init__(
        self,
        ledger_store: LedgerStore,
        config: NeighbourhoodConfig,
        state_dir: Path,
        folder: Path,
        clips: Clips,
        *,
        leases: LeaseKeeper,
    ) -> None:
        """`folder` holds sealed copies on their way, and nothing else."""
        self._ledger_store = ledger_store
        self._config = config
        self._state_dir = state_dir
        self._folder = folder
        self._clips = clips
        self._leases = leases
        self.sent_bytes: dict[str, int] = {}
        """What has left, at most, of each copy that doorbelld itself sends: SHA-256 → bytes."""
        self._due_s: dict[str, float] = {}
        self._delay_s: dict[str, float] = {}
        self._beat: Callable[[], None] = lambda: None

    def configure(self, config: NeighbourhoodConfig) -> None:
        """Take other settings."""
        self._config = config

    def run(self, worker: Worker) -> None:
        """Work until `worker.stopping` is set."""
        self._beat = worker.beat
        while not worker.stopping.is_set():
            worker.beat()
            try:
                self.step()
            except LedgerBroken as error:
                self._ledger_store.report_broken(error)
            worker.stopping.wait(STEP_S)

    def step(self) -> None:
        """Send one clip to each destination that is due. Raises LedgerBroken."""
        with self._ledger_store.locked() as ledger:
            if ledger is None or not self._ledger_store.clock_is_good():
                return
            self._account(ledger)
            destinations = list(ledger.state.destinations.values())
        self._sweep(destinations)
        self._ledger_store.faults.end_except("backup", {destination.name for destination in destinations})
        for destination in destinations:
            if self._due_s.get(destination.name, 0.0) <= time.monotonic():
                self._serve(destination)

    def _serve(self, destination: Destination) -> None:
        waiting = next((backup for backup in destination.backups.values() if not backup.done), None)
        try:
            if waiting is None:
                waiting = self._seal_next(destination)
            elif not self._path(waiting).exists() and not self._lies_outside(waiting):
                self._seal(destination, waiting.clip_id)
                return
            if waiting is None:
                return
            if destination.outside:
                self._hand_over(destination, waiting)
            else:
                self._send(destination, waiting)
                self._done(destination, waiting)
        except _LeaseEnded:
            return  # its target was removed, or it goes on once there is a lease again
        except (TargetRejected, CommandError, OSError, subprocess.SubprocessError, ValueError) as error:
            self._wait(destination, error)

    def _send(self, destination: Destination, backup: Backup) -> None:
        """Send a copy to a target on the home network. Raises _LeaseEnded, TargetRejected, OSError."""
        target, name = self._target(destination), f"{backup.sha256}.age"
        rate = self._config.upload_kbps * 125
        self._leases.renew()
        with (
            self._path(backup).open("rb") as file,
            SendGuard(lambda: self._leases.covers(backup.sha256)) as guard,
        ):
            content = _LeasedCopy(
                file,
                guard,
                piece_bytes=piece_bytes(rate),
                pace=RateLimiter(rate, sleep=self._rest),
                check=lambda: self._check(backup),
                note=lambda left_bytes: self._note(backup, left_bytes),
            )
            try:
                put(target, name, content, backup.size_bytes, home_address, guard)
            except (TargetRejected, OSError):
                self._check(backup)  # the guard may have reset the connection
                raise

    def _note(self, backup: Backup, left_bytes: int) -> None:
        self.sent_bytes[backup.sha256] = max(self.sent_bytes.get(backup.sha256, 0), left_bytes)

    def _check(self, backup: Backup) -> None:
        self._beat()
        if not self._leases.covers(backup.sha256):
            raise _LeaseEnded

    def _account(self, ledger: LockedLedger) -> None:
        """Record how much of each copy had left whose target was removed meanwhile. Raises LedgerBroken."""
        drafts = []
        for digest, (destination, backup) in ledger.state.stopped_backups.items():
            try:
                report = report_in(self._config.spool_dir / "in", digest)
            except (OSError, Unreadable):
                report = None
            if report and report.state == "sending":
                continue  # the courier is about to say how it ended
            left_bytes = max(self.sent_bytes.get(digest, 0), report.left_bytes if report else 0)
            why = "its target was removed"
            drafts.append(entries.backup_stopped(destination, backup, left_bytes=left_bytes, why=why))
        if drafts:
            ledger.write(drafts)

    def _seal_next(self, destination: Destination) -> Backup | None:
        since_us = destination.added_at * 1_000_000
        clip_id = self._clips.next_clip(since_us, lambda clip: clip in destination.backups)
        return self._seal(destination, clip_id) if clip_id else None

    def _seal(self, destination: Destination, clip_id: str) -> Backup | None:
        """Encrypt a clip and write its ledger entry before it is sent."""
        clip = self._clips.file_of(clip_id, self._beat)
        if clip is None:  # deleted since: nothing to back up
            if clip_id in destination.backups:
                self._write(destination, [entries.backed_up(destination.name, clip_id, "")])
            return None
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._folder / "sealing"
        part.unlink(missing_ok=True)
        words = ["-m", "device.release.backup", str(clip), str(part), destination.age]
        done = subprocess.run(  # noqa: S603  (this very program)
            [sys.executable, "-P", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=SEAL_PATIENCE_S,
        )
        if done.returncode:
            raise OSError(f"the clip could not be sealed: {done.stderr.strip()[-200:]}")
        digest, size = done.stdout.split()[0], part.stat().st_size
        if destination.limit_bytes and destination.stored_bytes + size > destination.limit_bytes:
            part.unlink()
            raise TargetFull(f"{destination.limit_bytes} bytes is the limit that you set")
        part.rename(self._folder / f"{digest}.age")
        written = self._write(destination, [entries.backup(destination.name, clip_id, digest, size)])
        return destination.backups[clip_id] if written else None

    def _hand_over(self, destination: Destination, backup: Backup) -> None:
        """Hand it to the courier, and follow the courier's reports."""
        out = self._config.spool_dir / "out"
        if not self._lies_outside(backup):
            target = self._target(destination)
            stage_parcel(out, self._path(backup), backup.sha256)
            account = Account(
                url=target.url, user=target.user, secret=target.secret, host_key=target.host_key
            )
            grant = Grant(
                sha256=backup.sha256,
                size_bytes=backup.size_bytes,
                kind=target.kind if target.kind != "s3" else "bucket",
                origin=f"{target.scheme}://{target.netloc}",
                account=account,
            )
            with self._ledger_store.locked() as ledger:  # a removal comes before this, or revokes the grant
                if ledger is None or destination.name not in ledger.state.destinations:
                    return
                write_grant(out, grant)
            self._leases.renew()
            self._path(backup).unlink(missing_ok=True)
            return
        try:
            report = report_in(self._config.spool_dir / "in", backup.sha256)
        except Unreadable as error:
            raise OSError(str(error)) from error
        if report and report.state == "stored":
            self._done(destination, backup)
        elif report and report.state in ("refused", "ended"):
            revoke(out, backup.sha256)
            raise TargetRejected(report.why)

    def _lies_outside(self, backup: Backup) -> bool:
        return is_granted(self._config.spool_dir / "out", backup.sha256)

    def _done(self, destination: Destination, backup: Backup) -> None:
        self.sent_bytes.pop(backup.sha256, None)
        self._write(destination, [entries.backed_up(destination.name, backup.clip_id, backup.sha256)])
        with suppress(OSError):
            revoke(self._config.spool_dir / "out", backup.sha256)
        self._path(backup).unlink(missing_ok=True)
        self._delay_s.pop(destination.name, None)
        self._ledger_store.faults.end("backup", destination.name)

    def _write(self, destination: Destination, drafts: Sequence[LedgerEntryDraft]) -> bool:
        """Write entries about a target; return False if it was removed meanwhile."""
        with self._ledger_store.locked() as ledger:
            if ledger is None or destination.name not in ledger.state.destinations:
                return False
            ledger.write(drafts)
            return True

    def _wait(self, destination: Destination, error: Exception) -> None:
        delay_s = self._delay_s.get(destination.name, FIRST_DELAY_S / 2) * 2
        self._delay_s[destination.name] = min(MAX_DELAY_S, delay_s)
        self._due_s[destination.name] = time.monotonic() + self._delay_s[destination.name]
        is_full = isinstance(error, TargetFull)
        what = "is full" if is_full else "cannot be used"
        text = f"the backup {destination.name} {what}: {error}"
        remedy = (
            "waiting clips are sent later; `doorbell backup list` shows them, `backup remove` ends the backup"
        )
        log.warning("%s", text)
        fault = Fault(
            code="backup",
            active=True,
            subject=destination.name,
            reason="full" if is_full else "unusable",
            params={"why": str(error)[:300]},
            text=text[:400],
            remedy=remedy,
        )
        self._ledger_store.faults.report(fault)

    def _rest(self, seconds: float) -> None:
        """Wait for the owner's bandwidth limit; may take long without being a hang."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self._beat()
            time.sleep(min(STEP_S, left_s))

    def _target(self, destination: Destination) -> BackupTarget:
        try:
            secrets = json.loads((self._state_dir / SECRETS_FILE).read_bytes())
            secret = str(secrets[destination.name])
        except (OSError, ValueError, KeyError, TypeError):
            raise OSError(
                "its password is missing on the card; remove the backup target and add it again"
            ) from None
        return BackupTarget(
            kind=KINDS[destination.kind],
            url=destination.url,
            user=destination.user,
            secret=secret,
            host_key=destination.host_key,
        )

    def _path(self, backup: Backup) -> Path:
        return self._folder / f"{backup.sha256}.age"

    def _sweep(self, destinations: list[Destination]) -> None:
        """Delete encrypted copies that no backup needs."""
        needed = {
            f"{backup.sha256}.age"
            for destination in destinations
            for backup in destination.backups.values()
            if not backup.done
        }
        with suppress(OSError):
            for path in list(self._folder.iterdir()):
                if path.name not in needed:
                    path.unlink()


class _LeaseEnded(Exception):
    """No lease covers the copy at this moment."""


class _LeasedCopy:
    """A sealed copy, read no faster than the owner's limit, and only while a lease covers it."""

    def __init__(
        self,
        file: BinaryIO,
        guard: SendGuard,
        *,
        piece_bytes: int,
        pace: Callable[[int], None],
        check: Callable[[], None],
        note: Callable[[int], None],
    ) -> None:
        """`note` receives the number of bytes that have left, at most, before the last of them do."""
        self._file = file
        self._guard = guard
        self._piece_bytes = piece_bytes
        self._pace = pace
        self._check = check
        self._note = note

    def pieces(self, begin: int) -> Iterator[bytes]:
        """Yield the bytes from an offset to the end. Raises _LeaseEnded."""
        left_bytes = self._file.seek(begin)
        with self._guard.armed():
            while piece := self._file.read(self._piece_bytes):
                self._pace(len(piece))
                try:
                    self._check()
                except _LeaseEnded:
                    self._guard.reset()
                    raise
                left_bytes += len(piece)
                self._note(left_bytes)
                yield piece


def checked_destination(wanted: Mapping[str, Any], secret: str) -> AddedDestination:
    """Return a backup target's ledger data: its address, and for SFTP its host key.

    Raises CommandError.
    """
    from device.backup_targets.sftp import key_of  # loads paramiko

    host_key = str(wanted.get("host_key") or "")
    try:
        known = host_key or ("SHA256:" if wanted["kind"] == "sftp" else "")
        target = BackupTarget(
            kind=wanted["kind"], url=wanted["url"], user=wanted.get("user", ""), secret=secret, host_key=known
        )
    except ValueError as error:
        raise CommandError(str(error), code="backup_url", url=endpoint(wanted["url"])) from error
    try:
        found = addresses(target.host, target.port)
    except OSError as error:
        raise CommandError(
            f"{target.host} cannot be found: {error.strerror}", code="host_unknown", host=target.host
        ) from error
    home = {is_home(address) for address in found}
    if home == {True, False}:
        raise CommandError(
            f"{target.host} is both on the home network and outside: name one of its addresses",
            code="host_inside_and_outside",
            host=target.host,
        )
    outside = home == {False}
    if outside and target.scheme == "http":
        raise CommandError(
            f"{target.url}: outside the home network only https:// and sftp:// are used",
            code="backup_not_encrypted",
            url=target.url,
        )
    if target.kind == "sftp" and not host_key:
        if outside:
            raise CommandError(
                "name the server's key (SHA256:…), as `ssh-keyscan HOST | ssh-keygen -lf -` does",
                code="host_key_needed",
            )
        try:
            host_key = key_of(target.host, target.port, home_address)
        except OSError as error:
            raise CommandError(
                f"{target.netloc}: {error}",
                code="backup_unreachable",
                host=target.netloc,
                detail=error.strerror or str(error),
            ) from error
    return {
        "name": wanted["name"],
        "kind": target.kind,
        "url": target.url,
        "user": target.user,
        "age": wanted["age"],
        "host_key": host_key,
        "limit_bytes": wanted.get("limit_bytes", 0),
        "outside": outside,
    }


def keep_secret(state_dir: Path, name: str, secret: str | None) -> None:
    """Store a target's secret in a file that only the daemon can read; None deletes it. Raises CommandError."""
    path = state_dir / SECRETS_FILE
    kept: dict[str, str] = {}
    with suppress(OSError, ValueError):
        kept = dict(json.loads(path.read_bytes()))
    kept.pop(name, None)
    if secret is not None:
        kept[name] = secret
    try:
        write_small(state_dir, SECRETS_FILE, json.dumps(kept).encode(), mode=0o600)
    except OSError as error:
        raise CommandError(
            f"{path}: {error.strerror}", code="not_saved", detail=str(error.strerror)
        ) from error
