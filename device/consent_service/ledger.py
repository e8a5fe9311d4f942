"""The ledger: every request, decision and delivery, in order, each with the hash of the one before. See schema.sql.

An entry is canonical JSON (RFC 8785); its hash is the SHA-256 of that text, and the next entry holds it. So
the head's hash covers everything before it. Anybody who has noted it can detect a changed or rolled back ledger.
"""

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rfc8785

from device.consent.documents import EntryData
from device.consent.views import RefusedBody, RefusedCount
from device.errors import DoorbellError
from device.events import ClockFlag
from device.system.clock import rfc3339

GENESIS = "0" * 64
_SCHEMA = Path(__file__).with_name("schema.sql")


_UNREADABLE = (sqlite3.Error, ValueError, TypeError, AttributeError)
"""Errors from reading a damaged database: undecodable text, a value of another type."""


class LedgerBroken(DoorbellError):
    """The ledger cannot be read, or was changed; no decision may be made any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry; `hash` is the next one's `prev`."""

    seq: int
    at: str
    clock: str
    kind: str
    body: str | None
    data: EntryData
    prev: str
    hash: str


class Ledger:
    """Append and read. One writer; durable when `append` returns."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open it, or make it. Raises LedgerBroken."""
        try:
            if read_only:
                # Without a write-ahead log nobody writes: it can be read without a right to the folder.
                still = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
                self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{still}", uri=True)
            else:
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")  # NORMAL lost rows in half of all power cuts
                self._db.executescript(_SCHEMA.read_text())
            self._db.execute("PRAGMA trusted_schema = OFF")
            row = self._db.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        except _UNREADABLE as error:
            raise LedgerBroken(f"{path}: {error}; see docs/consent.md, 'The ledger is broken'") from error
        self._path = path
        self._seq: int = row[0] if row else 0
        self._head: str = row[1] if row else GENESIS
        self._inode = self._current_inode()
        self._proven_version = -1

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def head(self) -> str:
        """The newest entry's hash, hex."""
        return self._head

    @property
    def length(self) -> int:
        """Number of entries."""
        return self._seq

    def append(
        self, kind: str, data: EntryData, *, wall_us: int, clock: ClockFlag, body: bytes | None = None
    ) -> Entry:
        """Add an entry, durably, with the bytes it is about. Raises LedgerBroken: then nothing was added."""
        return self.append_all([(kind, data, body)], wall_us=wall_us, clock=clock)[0]

    def append_all(
        self, wanted: Sequence[tuple[str, EntryData, bytes | None]], *, wall_us: int, clock: ClockFlag
    ) -> list[Entry]:
        """Add some entries, all or none."""
        entries, bodies = [], []
        seq, prev = self._seq, self._head
        for kind, data, body in wanted:
            digest = None if body is None else hashlib.sha256(body).hexdigest()
            fields: Mapping[str, Any] = {
                "seq": seq + 1,
                "at": rfc3339(wall_us),
                "clock": clock,
                "kind": kind,
                "body": digest,
                "data": data if seq else {**data, "nonce": secrets.token_hex(16)},
                "prev": prev,
            }
            text = rfc8785.dumps(fields)
            entry = Entry(**fields, hash=hashlib.sha256(text).hexdigest())
            entries.append((entry, text.decode()))
            if digest is not None:
                bodies.append((digest, body))
            seq, prev = entry.seq, entry.hash
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT OR IGNORE INTO body VALUES (?, ?)", bodies)
                self._db.executemany(
                    "INSERT INTO entry (seq, hash, text) VALUES (?, ?, ?)",
                    [(entry.seq, entry.hash, text) for entry, text in entries],
                )
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise LedgerBroken(f"{self._path}: {error}; nothing was decided") from error
        self._seq, self._head = seq, prev
        return [entry for entry, _ in entries]

    def entries(self, after_seq: int = 0, *, newest: int | None = None) -> Iterator[Entry]:
        """Yield the entries behind one, oldest first, or the newest so many. Raises LedgerBroken."""
        if newest is not None:
            after_seq = max(after_seq, self._last_seq() - newest)
        try:
            rows = self._db.execute("SELECT text, hash FROM entry WHERE seq > ? ORDER BY seq", (after_seq,))
            for text, digest in rows:
                yield Entry(**json.loads(text), hash=digest)
        except _UNREADABLE as error:
            raise LedgerBroken(f"{self._path}: {error}") from error

    def body(self, digest: str) -> bytes | None:
        """Return the bytes that an entry is about, None if they were erased."""
        row = self._db.execute("SELECT bytes FROM body WHERE sha256 = ?", (digest,)).fetchone()
        return None if row is None else bytes(row[0])

    def erase_body(self, digest: str) -> None:
        """Delete a notice's body once nobody needs it; its hash stays."""
        with self._db:
            self._db.execute("DELETE FROM body WHERE sha256 = ?", (digest,))

    # --- what was refused: counted, and the first hundred kept ------------------------------------

    def count_refused(
        self, counts: dict[str, int], bodies: list[tuple[str, str, bytes]], wall_us: int
    ) -> None:
        """Add to the counters; keep bodies (reason, detail, bytes) until a hundred are."""
        try:
            with self._db:
                self._db.executemany(
                    "INSERT INTO refused VALUES (?, ?, ?, ?) ON CONFLICT (reason)"
                    " DO UPDATE SET number = number + excluded.number, last_wall_us = excluded.last_wall_us",
                    [(reason, number, wall_us, wall_us) for reason, number in counts.items()],
                )
                self._db.executemany(
                    "INSERT INTO refused_body (reason, detail, wall_us, bytes) VALUES (?, ?, ?, ?)",
                    [(reason, detail, wall_us, content) for reason, detail, content in bodies],
                )
        except sqlite3.Error as error:
            raise LedgerBroken(f"{self._path}: {error}") from error

    def refused(self) -> list[RefusedCount]:
        """Return how much was refused, by reason, the most frequent first."""
        rows = self._db.execute(
            "SELECT reason, number, first_wall_us, last_wall_us FROM refused ORDER BY number DESC, reason"
        )
        return [
            {"reason": reason, "count": number, "first": rfc3339(first), "last": rfc3339(last)}
            for reason, number, first, last in rows
        ]

    def refused_bodies(self) -> list[RefusedBody]:
        """Return the first refused messages, unchanged."""
        rows = self._db.execute("SELECT reason, detail, wall_us, bytes FROM refused_body ORDER BY number")
        return [
            {"reason": reason, "detail": detail, "at": rfc3339(wall_us), "bytes": bytes(content)}
            for reason, detail, wall_us, content in rows
        ]

    def prove(self) -> None:
        """Raise LedgerBroken if it was changed."""
        wrong = next(self.faults(), None)
        if wrong:
            raise LedgerBroken(f"{self._path}: {wrong}; see docs/consent.md, 'The ledger is broken'")
        self._proven_version = self._version()

    def prove_newest(self) -> None:
        """Raise LedgerBroken unless it is the file that `prove` read, with what was appended since, and no more.

        Cheap: it reads the newest entry alone, unless somebody else has written to the file.
        """
        if self._current_inode() != self._inode:
            raise LedgerBroken(f"{self._path}: another file was put in its place while doorbelld runs")
        if self._version() != self._proven_version:
            self.prove()
        row = self._newest_row()
        if row is None or (row[0], row[2]) != (self._seq, self._head):
            raise LedgerBroken(f"{self._path}: its newest entry is not the one that was written last")
        wrong = next(_entry_faults(row[0], row[1], row[2], None), None)
        if wrong:
            raise LedgerBroken(f"{self._path}: {wrong}; see docs/consent.md, 'The ledger is broken'")

    def _current_inode(self) -> int:
        try:
            return self._path.stat().st_ino
        except OSError as error:
            raise LedgerBroken(f"{self._path}: {error.strerror}") from error

    def _version(self) -> int:
        """Return a number that changes when another connection writes to the file."""
        try:
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])
        except _UNREADABLE as error:
            raise LedgerBroken(f"{self._path}: {error}") from error

    def _newest_row(self) -> tuple[int, str, str] | None:
        try:
            row = self._db.execute("SELECT seq, text, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        except _UNREADABLE as error:
            raise LedgerBroken(f"{self._path}: {error}") from error
        return None if row is None else (int(row[0]), str(row[1]), str(row[2]))

    # --- proof -------------------------------------------------------------------------------------

    def faults(self, known_head: str | None = None) -> Iterator[str]:
        """Yield a sentence for each fault; none if it is unchanged.

        `known_head` is a head that somebody wrote down earlier: it must still be one of the hashes.
        """
        prev, expected, seen = GENESIS, 1, known_head in (None, GENESIS)
        try:
            names = {
                name for (name,) in self._db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            }
            if missing := {"entry_stays", "entry_is_never_deleted", "body_stays"} - names:
                yield f"the triggers that protect entries are gone: {', '.join(sorted(missing))}"
            for seq, text, digest in self._db.execute("SELECT seq, text, hash FROM entry ORDER BY seq"):
                if seq != expected:
                    yield f"entry {expected} is missing; the next one is {seq}"
                yield from _entry_faults(seq, text, digest, prev)
                yield from self._body_faults(seq, text)
                seen = seen or digest == known_head
                prev, expected = digest, seq + 1
        except _UNREADABLE as error:
            yield f"it cannot be read: {error}"
            return
        if not seen:
            yield f"the head {known_head} is not in it: it was rolled back, or replaced by another one"

    def _body_faults(self, seq: int, text: str) -> Iterator[str]:
        try:
            entry = json.loads(text)
            digest, kind = entry["body"], entry["kind"]
        except (ValueError, KeyError, TypeError):
            return  # reported by _entry_faults
        if digest is None:
            return
        content = self.body(digest)
        if content is None and kind != "notice":
            yield f"what entry {seq} ({kind}) is about is gone"
        elif content is not None and hashlib.sha256(content).hexdigest() != digest:
            yield f"what entry {seq} ({kind}) is about was changed"

    def _last_seq(self) -> int:
        row = self._db.execute("SELECT max(seq) FROM entry").fetchone()
        return row[0] or 0


def _entry_faults(seq: int, text: str, digest: str, prev: str | None) -> Iterator[str]:
    """Yield what is wrong with an entry; `prev` None: it may follow any."""
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        yield f"entry {seq} was changed: its text does not have its hash"
    try:
        entry = json.loads(text)
        if rfc8785.dumps(entry).decode() != text:
            yield f"entry {seq} is not canonical JSON"
        if entry["seq"] != seq:
            yield f"entry {seq} says that it is {entry['seq']}"
        if prev is not None and entry["prev"] != prev:
            yield f"entry {seq} does not follow the one before it"
    except (ValueError, KeyError, TypeError) as error:
        yield f"entry {seq} cannot be read: {error}"
