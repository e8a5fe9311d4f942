"""What the owner has stopped, in a file of its own, so that stopping needs no ledger.

A revocation takes effect in memory at once, then in this file, then in the ledger. If the ledger cannot be read or
written, the file remembers it until there is a ledger again; whatever ledger that is, nothing that is named here is
sent again.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from device.system.durable_files import write_durably

RevocationKind = Literal["request", "destination", "reader"]
EVERY_REQUEST = "*"
"""Stands for every approval up to then, if the ledger could not tell which there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentParcel:
    """A parcel on its way, or a copy of a clip, when it was stopped."""

    sha256: str
    left_bytes: int
    """At most so many of its bytes had left."""
    of_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One withdrawal of a request's approval, the end of a backup, or the end of a reader's access."""

    kind: RevocationKind
    name: str
    """The request's handle (SENDER.ID; its id alone, if nobody could tell whose); a target's or reader's name."""
    at: str
    """RFC 3339."""
    parcels: tuple[SentParcel, ...] = ()
    in_ledger: bool = False


class Revocations:
    """Its methods may be called from any thread, and none waits for the ledger."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held: set[tuple[RevocationKind, str]] = set()
        self._being_written: list[tuple[RevocationKind, str]] = []
        self._entries: list[Revocation] = []
        self.unreadable = ""
        """Why the file cannot be read, "" if it can: then nobody knows what was stopped, and nothing is sent."""
        try:
            self._entries = _read(path)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.unreadable = f"{path}: {getattr(error, 'strerror', None) or error}"

    def is_revoked(self, kind: RevocationKind, name: str) -> bool:
        """Return whether something may not be sent any more."""
        if self.unreadable:
            return True
        names = _names(kind, name)
        if any((kind, each) in self._held for each in names):
            return True
        return any(
            entry.kind == kind
            and (entry.name in names or (entry.name == EVERY_REQUEST and not entry.in_ledger))
            for entry in self._entries
        )

    @contextmanager
    def being_written(self, kind: RevocationKind, name: str) -> Iterator[None]:
        """Keep the release worker from writing a revocation into the ledger that its caller is about to write."""
        with self._lock:
            self._being_written.append((kind, name))
        try:
            yield
        finally:
            with self._lock:
                self._being_written.remove((kind, name))

    def is_left_over(self, kind: RevocationKind, name: str) -> bool:
        """Return whether something was revoked, and nobody is about to write that into the ledger."""
        with self._lock:
            if any((kind, each) in self._being_written for each in _names(kind, name)):
                return False
        return self.is_revoked(kind, name)

    def hold(self, kind: RevocationKind, name: str) -> None:
        """Stop something in memory, before anything else is known about it."""
        with self._lock:
            self._held.add((kind, name))

    def release(self, kind: RevocationKind, name: str) -> None:
        """Take `hold` back: there was nothing to stop."""
        with self._lock:
            self._held.discard((kind, name))

    def add(self, revocation: Revocation) -> None:
        """Write a revocation down, durably. Raises OSError; it is held in memory all the same."""
        with self._lock:
            self._held.add((revocation.kind, revocation.name))
            self._write([*self._entries, revocation])

    def forget(self, kind: RevocationKind, name: str) -> None:
        """Allow a name again that the owner gives to something new. Raises OSError."""
        with self._lock:
            self._held.discard((kind, name))
            kept = [entry for entry in self._entries if (entry.kind, entry.name) != (kind, name)]
            if len(kept) != len(self._entries):
                self._write(kept)

    def not_in_ledger(self) -> list[Revocation]:
        """Return those that no ledger has yet."""
        with self._lock:
            return [entry for entry in self._entries if not entry.in_ledger]

    def now_in_ledger(self, written: list[Revocation], withdrawn: list[str]) -> None:
        """Note that the ledger has some of them now, and which requests it withdrew for them. Raises OSError."""
        with self._lock:
            self._held.discard(("request", EVERY_REQUEST))
            entries = [
                replace(entry, in_ledger=entry.in_ledger or entry in written) for entry in self._entries
            ]
            named = {entry.name for entry in entries}
            entries += [
                Revocation(kind="request", name=name, at=written[-1].at, in_ledger=True)
                for name in withdrawn
                if name not in named and written
            ]
            self._write(entries)

    def _write(self, entries: list[Revocation]) -> None:
        if self.unreadable:
            raise OSError(0, "cannot be read, so nothing is added to it", str(self._path))
        write_durably(
            self._path, json.dumps([asdict(entry) for entry in entries], indent=1).encode(), mode=0o600
        )
        self._entries = entries


def _names(kind: RevocationKind, name: str) -> set[str]:
    """Return the names by which something may have been revoked: a request's handle, or its id alone."""
    return {name, name.rpartition(".")[2]} if kind == "request" else {name}


def _read(path: Path) -> list[Revocation]:
    entries = []
    document = json.loads(path.read_bytes())
    if not isinstance(document, list):
        raise TypeError("is no list of revocations")
    for values in document:
        parcels = tuple(SentParcel(**parcel) for parcel in values.pop("parcels"))
        entry = Revocation(**values, parcels=parcels)
        if entry.kind not in ("request", "destination", "reader") or not isinstance(entry.name, str):
            raise ValueError("is no list of revocations")
        entries.append(entry)
    return entries
