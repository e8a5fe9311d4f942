"""The accepted envelopes, in SQLite: the broker may lose everything."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS item (
    number   INTEGER PRIMARY KEY,   -- order of acceptance: what a restart reads again, in this order
    kind     TEXT NOT NULL,         -- request or notice
    sender   TEXT NOT NULL,
    id       TEXT NOT NULL,
    op       TEXT NOT NULL,         -- issue or cancel
    at       INTEGER NOT NULL,      -- Unix seconds when it was accepted
    expires  INTEGER NOT NULL,      -- Unix seconds; of a cancellation, the end of what it cancels
    cells    TEXT NOT NULL,         -- geohash-5, with spaces between
    envelope BLOB NOT NULL,         -- as it came, and as it is published
    live     INTEGER NOT NULL,      -- 1: is published; 0: cancelled, superseded, taken down, expired
    UNIQUE (kind, sender, id, op)
) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One accepted envelope; see the schema above."""

    kind: str
    sender: str
    id: str
    op: str
    at: int
    expires: int
    cells: tuple[str, ...]
    envelope: bytes


class Items:
    """One connection, one thread. Durable when a method returns."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, item: Accepted) -> None:
        """Store an envelope; it is live from now on. A cancellation ends what it cancels."""
        with self._db:
            self._db.execute("BEGIN")
            if item.op == "cancel":
                self._end(item.kind, item.sender, item.id)
            self._db.execute(
                "INSERT OR IGNORE INTO item (kind, sender, id, op, at, expires, cells, envelope, live)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
                (
                    item.kind,
                    item.sender,
                    item.id,
                    item.op,
                    item.at,
                    item.expires,
                    " ".join(item.cells),
                    item.envelope,
                ),
            )

    def end(self, kind: str, sender: str, name: str) -> None:
        """Let something be published no longer."""
        with self._db:
            self._end(kind, sender, name)

    def expire(self, now: int) -> None:
        """End what has expired; forget what ended a month ago."""
        with self._db:
            self._db.execute("UPDATE item SET live = 0 WHERE live AND expires <= ?", (now,))
            self._db.execute("DELETE FROM item WHERE expires < ?", (now - 30 * 86_400,))

    def live(self) -> Iterator[Accepted]:
        """Yield what is published."""
        yield from self._select("WHERE live ORDER BY number")

    def all(self) -> Iterator[Accepted]:
        """Yield everything that is known, in the order in which it was accepted."""
        yield from self._select("ORDER BY number")

    def find(self, kind: str, sender: str, name: str) -> Accepted | None:
        """Return an issued item."""
        rows = self._select("WHERE kind = ? AND sender = ? AND id = ? AND op = 'issue'", kind, sender, name)
        return next(rows, None)

    def _end(self, kind: str, sender: str, name: str) -> None:
        self._db.execute(
            "UPDATE item SET live = 0 WHERE kind = ? AND sender = ? AND id = ?", (kind, sender, name)
        )

    def _select(self, where: str, *values: str) -> Iterator[Accepted]:
        columns = "kind, sender, id, op, at, expires, cells, envelope"
        for row in self._db.execute(f"SELECT {columns} FROM item {where}", values).fetchall():  # noqa: S608
            yield Accepted(
                kind=row[0],
                sender=row[1],
                id=row[2],
                op=row[3],
                at=row[4],
                expires=row[5],
                cells=tuple(row[6].split()),
                envelope=row[7],
            )
