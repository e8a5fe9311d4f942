"""Sealed parcels in the spool: handed over by the daemon, reported on by the courier.

    out/    SHA256.parcel   the sealed bytes          in/    SHA256.report   how far it is, or how it ended
            SHA256.grant    where they may go, until when

A parcel may be sent only while its grant exists and a lease covers it (leases.py). doorbelld ends an upload for
good by deleting the grant; a lease that lapses is a pause. Each folder has one writer. Standard library alone, like
the spool.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, TypedDict, cast, get_args

from device.spool.folders import MAX_NAMES, Unreadable, open_plain, read_small, write_small
from device.system.durable_files import copy_durably, sync_folder
from device.system.host_patterns import UPLOAD_ORIGIN

UploadKind = Literal["tus", "s3", "bucket", "webdav", "sftp"]
"""The first two take parcels in for an agency; the others are the owner's own places (device/backup_targets/)."""
MAX_PARCEL_BYTES = 1 << 36
MAX_WHY = 300
_FILE = re.compile(r"([0-9a-f]{64})\.(parcel|grant|report)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Receipt(TypedDict):
    """A parcel is stored: where, and what the store answered. The ledger keeps it."""

    sha256: str
    size_bytes: int
    kind: UploadKind
    origin: str
    said: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account at a backup target; an agency's store has no accounts."""

    url: str
    user: str
    secret: str
    host_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One parcel may be sent to one target."""

    sha256: str
    size_bytes: int
    kind: UploadKind
    origin: str
    account: Account | None = None

    def __post_init__(self) -> None:
        fits = (
            _SHA256.fullmatch(self.sha256)
            and (self.account is None) is (self.kind in ("tus", "s3"))
            and 0 < self.size_bytes <= MAX_PARCEL_BYTES
            and self.kind in get_args(UploadKind)
            and re.fullmatch(UPLOAD_ORIGIN, self.origin)
        )
        if not fits:
            raise ValueError("is no grant")


UploadState = Literal["sending", "stored", "ended", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadReport:
    """The courier's report on a parcel.

    `sent_bytes`: the store has them. `left_bytes`: at most so many have left, whatever became of them; it is
    written down before they do. `stored`: it is complete, `receipt` is the store's answer. `ended`: the
    grant was deleted; `why` says whether the store was asked to delete it. `refused`: the store
    does not do what it must, and asking again would not help.
    """

    sha256: str
    kind: UploadKind
    origin: str
    size_bytes: int
    state: UploadState
    sent_bytes: int = 0
    left_bytes: int = 0
    why: str = ""
    place: str = ""
    """The upload's own address or name at the store, for going on with it; the courier's business."""
    parts: tuple[str, ...] = ()
    """The ETags of the parts that an S3 store has; used only by the courier."""
    receipt: Receipt | None = None

    def __post_init__(self) -> None:
        fits = (
            _SHA256.fullmatch(self.sha256)
            and self.state in get_args(UploadState)
            and self.kind in get_args(UploadKind)
            and re.fullmatch(UPLOAD_ORIGIN, self.origin)
            and all(isinstance(part, str) for part in self.parts)
            and 0 < self.size_bytes <= MAX_PARCEL_BYTES
            and 0 <= self.sent_bytes <= MAX_PARCEL_BYTES
            and 0 <= self.left_bytes <= MAX_PARCEL_BYTES
            and isinstance(self.why, str)
            and isinstance(self.place, str)
            and (self.receipt is None or isinstance(self.receipt, dict))
        )
        if not fits:
            raise ValueError("is no report")


def grant_in(folder: Path, sha256: str) -> Grant | None:
    """Return a parcel's grant, None if there is none. Raises Unreadable, OSError."""
    return cast("Grant | None", _small(folder, f"{sha256}.grant", Grant))


def report_in(folder: Path, sha256: str) -> UploadReport | None:
    """Return what the courier says of a parcel, None if nothing. Raises Unreadable, OSError."""
    return cast("UploadReport | None", _small(folder, f"{sha256}.report", UploadReport))


def write_report(folder: Path, report: UploadReport) -> None:
    """Say how a parcel is, durably. Raises OSError."""
    write_small(folder, f"{report.sha256}.report", json.dumps(asdict(report)).encode())


def open_parcel(folder: Path, sha256: str) -> BinaryIO:
    """Open the sealed bytes. Raises Unreadable, OSError."""
    return open_plain(folder, f"{sha256}.parcel")


def is_granted(folder: Path, sha256: str) -> bool:
    """Return whether a parcel may go at this moment, as far as its grant's file is there."""
    return (folder / f"{sha256}.grant").exists()


def names_in(folder: Path, suffix: Literal["parcel", "grant", "report"]) -> Iterator[str]:
    """Yield the SHA-256 of each file of a kind. Raises OSError."""
    with os.scandir(folder) as entries:
        for entry in islice(entries, MAX_NAMES):
            match = _FILE.fullmatch(entry.name)
            if match and match[2] == suffix:
                yield match[1]


def stage_parcel(folder: Path, parcel: Path, sha256: str) -> None:
    """Copy a sealed parcel into the spool, durably; without a grant it goes nowhere. Raises OSError."""
    copy_durably(parcel, folder / f"{sha256}.parcel")


def write_grant(folder: Path, grant: Grant) -> None:
    """Write a parcel's grant, durably. Raises OSError."""
    write_small(folder, f"{grant.sha256}.grant", json.dumps(asdict(grant)).encode())


def revoke(folder: Path, sha256: str) -> None:
    """Take a grant away, durably, then what it was for. Raises OSError."""
    for name in (f"{sha256}.grant", f"{sha256}.parcel", f".{sha256}.parcel"):
        (folder / name).unlink(missing_ok=True)
        if name.endswith(".grant"):
            sync_folder(folder)
    sync_folder(folder)


def _small(folder: Path, name: str, kind: type[Grant] | type[UploadReport]) -> Grant | UploadReport | None:
    content = read_small(folder, name)
    if content is None:
        return None
    try:
        values = json.loads(content)
        if "parts" in values:
            values["parts"] = tuple(values["parts"])
        if values.get("account"):
            values["account"] = Account(**values["account"])
        return kind(**values)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Unreadable("broken_file", name) from None


def forget_report(folder: Path, sha256: str) -> None:
    """Take a report away that nobody needs any more."""
    with suppress(OSError):
        (folder / f"{sha256}.report").unlink()


class RateLimiter:
    """The owner's limit: so many bytes a second, on average since it began."""

    def __init__(
        self,
        bytes_a_second: int,
        *,
        sleep: Callable[[float], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """0: no limit."""
        self._rate = bytes_a_second
        self._sleep = sleep
        self._now_s = now_s
        self._began_s = now_s()
        self._sent = 0

    def __call__(self, size: int) -> None:
        """Wait until so much more may be sent."""
        if not self._rate:
            return
        self._sent += size
        ahead_s = self._sent / self._rate - (self._now_s() - self._began_s)
        if ahead_s > 0:
            self._sleep(ahead_s)
