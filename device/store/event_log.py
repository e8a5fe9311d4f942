"""The event log on disk: facts whose number always grows by one. See schema_event_log.sql.

The storage worker writes, and reads the rows to be sent. The web server reads through its own connections, which in
WAL mode do not wait for the writer.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from device.store.corruption import look_through
from device.store.messages import NewFact
from device.system.clock import rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One row: `seq` and the JSON object of the `log` topic."""

    seq: int
    payload: dict[str, Any]


_SELECT = "SELECT seq, kind, event_id, occurred_wall_us, clock, late, fields FROM fact"


class EventLogReader:
    """Reads the log; one connection, one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)

    def latest(self, limit: int) -> list[LogRow]:
        """Return the newest rows, oldest of them first."""
        rows = self._db.execute(
            f"{_SELECT} ORDER BY seq DESC LIMIT ?",
            [limit],
        ).fetchall()
        return [_row(row) for row in reversed(rows)]

    def of_event(self, part: str, limit: int) -> list[LogRow]:
        """Return the rows whose event id begins or ends with `part`, oldest first."""
        rows = self._db.execute(
            f"{_SELECT} WHERE substr(event_id, 1, length(?1)) = ?1 OR substr(event_id, -length(?1)) = ?1 "
            "ORDER BY seq LIMIT ?2",
            [part, limit],
        )
        return [_row(row) for row in rows]

    def beyond(self, rows: int) -> int:
        """Return how many rows there are beyond the newest `rows`."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM fact WHERE seq <= (SELECT max(seq) FROM fact) - ?", [rows]
        ).fetchone()
        return int(count)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def _row(row: Sequence[Any]) -> LogRow:
    seq, kind, event_id, wall_us, clock, late, extra = row
    payload = {
        "seq": seq,
        "kind": kind,
        "event_id": event_id,
        "occurred_at": rfc3339(wall_us),
        "clock": clock,
        "late": None if late is None else bool(late),
        **json.loads(extra),
    }
    return LogRow(seq=seq, payload=payload)


MAX_SEQ = 1 << 53
"""The largest number that every JSON reader takes; a number above it is damage."""


def last_seq(path: Path) -> int | None:
    """Return the highest number that can still be read in a damaged log, or None."""
    found: list[int] = []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for question in (
        "SELECT seq FROM sqlite_sequence WHERE name = 'fact'",
        "SELECT max(seq) FROM fact",
        "SELECT acked_seq FROM sent",
    ):
        with suppress(sqlite3.Error):
            found += [seq for (seq,) in db.execute(question) if isinstance(seq, int) and 0 <= seq < MAX_SEQ]
    db.close()
    return max(found, default=None)


class EventLog:
    """Writes the log; the storage worker's thread only."""

    def __init__(self, path: Path, *, boot_id: str, keep_rows: int) -> None:
        """Open, and mark presses that the last run left undecided as late.

        Raises sqlite3.DatabaseError if the file is not an intact database.
        """
        self._boot_id = boot_id
        self.keep_rows = keep_rows
        self._db = sqlite3.connect(path, isolation_level=None)
        try:
            self._begin()
        except BaseException:
            self._db.close()
            raise

    def _begin(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        schema = files("device.store").joinpath("schema_event_log.sql").read_text()
        self._db.executescript(f"BEGIN IMMEDIATE;{schema}COMMIT;")
        look_through(self._db)
        self._db.execute("UPDATE fact SET late = 1 WHERE late IS NULL")

    def go_on_above(self, seq: int) -> None:
        """Start the numbers of a new log above `seq`; up to there everything counts as sent."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('fact', ?)", [seq])
        self._db.execute("UPDATE sent SET acked_seq = ?", [seq])
        self._db.execute("COMMIT")

    def write(
        self, facts: Sequence[NewFact], settled: Sequence[tuple[int, bool]], acked_seq: int | None
    ) -> None:
        """Write in one transaction: new facts, `late` of presses (press_id, late), and the acknowledged seq."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for fact in facts:
                self._db.execute(
                    "INSERT INTO fact (kind, event_id, occurred_wall_us, clock, boot_id, mono_us, "
                    "late, press_id, fields) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        fact.kind,
                        fact.event_id,
                        fact.wall_us,
                        fact.clock,
                        self._boot_id,
                        fact.mono_us,
                        fact.late,
                        fact.press_id,
                        json.dumps(fact.fields, ensure_ascii=False),
                    ],
                )
            self._db.executemany(
                "UPDATE fact SET late = ? WHERE late IS NULL AND press_id = ?",
                [(late, press_id) for press_id, late in settled],
            )
            if acked_seq is not None:
                self._db.execute("UPDATE sent SET acked_seq = ?", [acked_seq])
            if facts:
                self._db.execute(
                    "DELETE FROM fact WHERE seq <= (SELECT max(seq) FROM fact) - ?",
                    [self.keep_rows],
                )
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # on a full disk SQLite has rolled back by itself
                self._db.execute("ROLLBACK")
            raise

    def acked_seq(self) -> int:
        """Return the seq up to which the broker has acknowledged every row."""
        row = self._db.execute("SELECT acked_seq FROM sent").fetchone()
        return int(row[0])

    def pending(self, after_seq: int, limit: int) -> list[LogRow]:
        """Return what may be sent after `after_seq`, in order, up to the first undecided press."""
        rows = self._db.execute(
            f"{_SELECT} WHERE seq > ? AND seq < coalesce("  # noqa: S608  (our own columns)
            "(SELECT min(seq) FROM fact WHERE late IS NULL), 9223372036854775807) "
            "ORDER BY seq LIMIT ?",
            [after_seq, limit],
        )
        return [_row(row) for row in rows]

    def pending_count(self) -> int:
        """Return how many rows wait for their PUBACK."""
        row = self._db.execute(
            "SELECT coalesce(max(seq), 0) - (SELECT acked_seq FROM sent) FROM fact"
        ).fetchone()
        return max(0, int(row[0]))

    def last_press_wall_us(self) -> int | None:
        """Return the time of the newest press in the log."""
        row = self._db.execute(
            "SELECT occurred_wall_us FROM fact WHERE kind = 'press' ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return int(row[0]) if row else None

    def close(self) -> None:
        """Close the connection. Everything is in one file then, which can be copied alone."""
        with suppress(sqlite3.Error):  # a full disk; the -wal beside it holds the rest
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
