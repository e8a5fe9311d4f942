"""The index: SQLite, one row a clip and one row a press picture. See schema_index.sql."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from device.events import Cause
from device.store.corruption import Damaged, look_through
from device.system.clock import rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRow:
    """One row; the columns are explained in schema_index.sql."""

    clip_id: str
    event_id: str
    cause: Cause
    file_name: str
    started_wall_us: int
    duration_us: int
    clock: str
    boot_id: str
    started_mono_us: int
    size_bytes: int
    disk_bytes: int
    sha256: str
    lost_packets: int = 0
    protected: int = 0
    doomed: int = 0

    def public(self, folder: Path) -> dict[str, Any]:
        """Return the row as `doorbell clips list --json` prints it."""
        return {
            "id": self.clip_id,
            "event_id": self.event_id,
            "started_at": rfc3339(self.started_wall_us),
            "ended_at": rfc3339(self.started_wall_us + self.duration_us),
            "duration_s": round(self.duration_us / 1e6, 3),
            "cause": self.cause,
            "file": str(folder / self.file_name),
            "bytes": self.size_bytes,
            "sha256": self.sha256,
            "clock": self.clock,
            "lost_packets": self.lost_packets,
            "protected": bool(self.protected),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PressPictureRow:
    """One row of press_picture; the columns are explained in schema_index.sql."""

    file_name: str
    event_id: str
    press_number: int
    pressed_wall_us: int
    clock: str
    disk_bytes: int


VERSION = 3
"""Version of the schema. An index of another version is put aside and rebuilt from the files."""
_COLUMNS = [field.name for field in fields(ClipRow)]
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM clip"  # noqa: S608  (names of our own columns)
_PICTURE_COLUMNS = [field.name for field in fields(PressPictureRow)]
_SELECT_PICTURE = f"SELECT {', '.join(_PICTURE_COLUMNS)} FROM press_picture"  # noqa: S608  (as above)
_OF_NO_STARRED_VISIT = "event_id NOT IN (SELECT event_id FROM clip WHERE protected = 1)"


class Index:
    """One connection, one thread. `read_only` readers open their own beside the storage worker's."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open. Raises sqlite3.DatabaseError if the file is not an intact database."""
        self._totals: tuple[int, int] | None = None
        self._picture_bytes: int | None = None
        mode = "ro" if read_only else "rwc"
        self._db = sqlite3.connect(
            f"file:{path}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            self._begin(read_only=read_only)
        except BaseException:
            self._db.close()
            raise

    def _begin(self, *, read_only: bool) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if read_only and not version and not self._has_tables():
            raise Damaged("it has not been created yet")
        if version != VERSION and (read_only or version or self._has_tables()):
            raise Damaged(f"made by another version of doorbelld ({version}, here {VERSION})")
        if not read_only:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            if not version:
                # In one transaction: tables without a version would look like a foreign database.
                schema = files("device.store").joinpath("schema_index.sql").read_text()
                self._db.executescript(f"BEGIN IMMEDIATE;{schema}COMMIT;")

    def _has_tables(self) -> bool:
        return self._db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None

    def look_through(self) -> None:
        """Read every page. Raises sqlite3.DatabaseError if one is damaged."""
        look_through(self._db)

    def add(self, row: ClipRow) -> None:
        """Insert a clip whose file is durable already."""
        marks = ", ".join("?" * len(_COLUMNS))
        self._db.execute(
            f"INSERT INTO clip ({', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608  (as above)
            [getattr(row, name) for name in _COLUMNS],
        )
        self._count(1, row.disk_bytes)

    def grow(self, clip_id: str, disk_bytes: int) -> None:
        """Add to a clip's bytes on disk (or subtract): its thumbnail counts too."""
        self._db.execute(
            "UPDATE clip SET disk_bytes = disk_bytes + ? WHERE clip_id = ?", [disk_bytes, clip_id]
        )
        self._count(0, disk_bytes)

    def protect(self, clip_id: str, *, on: bool) -> None:
        """Set or remove the owner's star; durable when this returns."""
        self._durably("UPDATE clip SET protected = ? WHERE clip_id = ?", [int(on), clip_id])

    def doom(self, clip_id: str) -> None:
        """Mark a clip that is about to be deleted; durable when this returns."""
        self._durably("UPDATE clip SET doomed = 1 WHERE clip_id = ?", [clip_id])

    def _durably(self, statement: str, values: list[Any]) -> None:
        self._db.execute("PRAGMA synchronous=FULL")
        try:
            self._db.execute(statement, values)
        finally:
            self._db.execute("PRAGMA synchronous=NORMAL")

    def remove(self, clip_id: str) -> None:
        """Delete the row of a clip."""
        statement = "DELETE FROM clip WHERE clip_id = ? RETURNING disk_bytes"
        for (freed_bytes,) in self._db.execute(statement, [clip_id]).fetchall():
            self._count(-1, -freed_bytes)

    def _count(self, clips: int, disk_bytes: int) -> None:
        if self._totals is not None:
            self._totals = self._totals[0] + clips, self._totals[1] + disk_bytes

    def oldest_first(self) -> list[ClipRow]:
        """Return every clip in order of recording."""
        return list(self._rows(f"{_SELECT} ORDER BY ordinal", []))

    def files(self) -> list[tuple[str, str, int, int]]:
        """Return (clip_id, file_name, size_bytes, doomed) of every clip in order of recording."""
        return self._db.execute(
            "SELECT clip_id, file_name, size_bytes, doomed FROM clip ORDER BY ordinal"
        ).fetchall()

    def oldest_without_star(self) -> Iterator[ClipRow]:
        """Yield the clips without a star in order of recording, read as they are asked for."""
        return self._rows(f"{_SELECT} WHERE protected = 0 ORDER BY ordinal", [])

    def without_star_before(self, wall_us: int) -> Iterator[ClipRow]:
        """Yield those that began before `wall_us` by a synchronised clock, in order of their start."""
        where = "WHERE started_wall_us < ? AND clock = 'synchronised' AND protected = 0"
        return self._rows(f"{_SELECT} {where} ORDER BY started_wall_us", [wall_us])

    def find(self, clip_id: str) -> ClipRow | None:
        """Return one clip, or None."""
        return next(self._rows(f"{_SELECT} WHERE clip_id = ?", [clip_id]), None)

    def newest_first(self, limit: int) -> list[ClipRow]:
        """Return the newest clips."""
        return list(self._rows(f"{_SELECT} ORDER BY ordinal DESC LIMIT ?", [limit]))

    def between(self, from_wall_us: int, until_wall_us: int) -> list[ClipRow]:
        """Return the clips that began in [from, until), in order of their start."""
        where = "WHERE started_wall_us >= ? AND started_wall_us < ? ORDER BY started_wall_us"
        return list(self._rows(f"{_SELECT} {where}", [from_wall_us, until_wall_us]))

    def of_event(self, event_id: str) -> list[ClipRow]:
        """Return the clips of a visit, in order of recording."""
        return list(self._rows(f"{_SELECT} WHERE event_id = ? ORDER BY ordinal", [event_id]))

    def _rows(self, query: str, values: list[Any]) -> Iterator[ClipRow]:
        for columns in self._db.execute(query, values):
            yield ClipRow(**dict(zip(_COLUMNS, columns, strict=True)))

    # --- press pictures ---------------------------------------------------------------------------

    def add_picture(self, row: PressPictureRow) -> None:
        """Insert a press picture whose file is durable already."""
        marks = ", ".join("?" * len(_PICTURE_COLUMNS))
        self._db.execute(
            f"INSERT INTO press_picture ({', '.join(_PICTURE_COLUMNS)}) VALUES ({marks})",  # noqa: S608  (as above)
            [getattr(row, name) for name in _PICTURE_COLUMNS],
        )
        if self._picture_bytes is not None:
            self._picture_bytes += row.disk_bytes

    def remove_picture(self, file_name: str) -> None:
        """Delete the row of a press picture whose file is gone."""
        statement = "DELETE FROM press_picture WHERE file_name = ? RETURNING disk_bytes"
        for (freed_bytes,) in self._db.execute(statement, [file_name]).fetchall():
            if self._picture_bytes is not None:
                self._picture_bytes -= freed_bytes

    def pictures(self) -> list[PressPictureRow]:
        """Return every press picture, in order."""
        return list(self._pictures("ORDER BY ordinal", []))

    def pictures_of(self, event_id: str) -> list[PressPictureRow]:
        """Return the press pictures of a visit, in order."""
        return list(self._pictures("WHERE event_id = ? ORDER BY press_number", [event_id]))

    def find_picture(self, event_id: str, press_number: int) -> PressPictureRow | None:
        """Return the picture of one press, or None."""
        where = "WHERE event_id = ? AND press_number = ? ORDER BY ordinal DESC LIMIT 1"
        return next(self._pictures(where, [event_id, press_number]), None)

    def pictures_between(self, from_wall_us: int, until_wall_us: int) -> list[PressPictureRow]:
        """Return the press pictures of [from, until), in order of their presses."""
        where = "WHERE pressed_wall_us >= ? AND pressed_wall_us < ? ORDER BY pressed_wall_us"
        return list(self._pictures(where, [from_wall_us, until_wall_us]))

    def oldest_pictures(self) -> Iterator[PressPictureRow]:
        """Yield the press pictures of visits without a star, in order, read as they are asked for."""
        return self._pictures(f"WHERE {_OF_NO_STARRED_VISIT} ORDER BY ordinal", [])

    def pictures_before(self, wall_us: int, limit: int) -> list[PressPictureRow]:
        """Return the oldest of those from before `wall_us` by a synchronised clock."""
        where = f"WHERE pressed_wall_us < ? AND clock = 'synchronised' AND {_OF_NO_STARRED_VISIT}"
        return list(self._pictures(f"{where} ORDER BY pressed_wall_us LIMIT ?", [wall_us, limit]))

    def _pictures(self, rest: str, values: list[Any]) -> Iterator[PressPictureRow]:
        for columns in self._db.execute(f"{_SELECT_PICTURE} {rest}", values):
            yield PressPictureRow(**dict(zip(_PICTURE_COLUMNS, columns, strict=True)))

    def picture_bytes(self) -> int:
        """Return how many bytes the press pictures take on disk; counted as `totals` is."""
        if self._picture_bytes is None:
            statement = "SELECT coalesce(sum(disk_bytes), 0) FROM press_picture"
            (self._picture_bytes,) = self._db.execute(statement).fetchone()
        return self._picture_bytes or 0

    def totals(self) -> tuple[int, int, int | None]:
        """Return (clips, bytes on disk with the press pictures, wall time of the oldest clip in Unix microseconds).

        Counted once and then updated: the storage worker asks many times a second, and nobody else writes.
        """
        if self._totals is None:
            self._totals = self._db.execute(
                "SELECT count(*), coalesce(sum(disk_bytes), 0) FROM clip"
            ).fetchone()
        oldest = self._db.execute("SELECT started_wall_us FROM clip ORDER BY ordinal LIMIT 1").fetchone()
        clips, clip_bytes = self._totals
        return clips, clip_bytes + self.picture_bytes(), oldest[0] if oldest else None

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
