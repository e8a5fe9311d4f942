"""Databases that are damaged: how that is told from a disk that fails, and where they go."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

_DAMAGED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""SQLITE_ERROR: a table or a column that has to be there is not. What a disk does (SQLITE_IOERR, SQLITE_FULL,
SQLITE_CANTOPEN …) passes, and says nothing of what is written there. Source: sqlite.org/rescode.html."""


class Damaged(sqlite3.DatabaseError):
    """Not a sound database of this version."""


def is_damaged(error: Exception) -> bool:
    """Return whether an error says that the file is bad, and not only that it could not be had."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, Damaged) or (code is not None and code & 0xFF in _DAMAGED)


def look_through(db: sqlite3.Connection) -> None:
    """Read every page. Raises Damaged (or what reading raises); some are met months later otherwise."""
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Damaged(verdict)


def stars_of(path: Path) -> set[str]:
    """Return the ids of the clips with a star, as far as a damaged index can be read from either end."""
    stars: set[str] = set()
    for question in (
        "SELECT clip_id FROM clip WHERE protected ORDER BY ordinal",
        "SELECT clip_id FROM clip WHERE protected ORDER BY ordinal DESC",
    ):
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as index:
            for (clip_id,) in index.execute(question):
                stars.add(clip_id)
    return stars


def put_aside(path: Path, wall_us: int) -> Path:
    """Rename a database that nobody has open, and what belongs to it; return its name. Nothing is deleted."""
    aside = path.with_name(f"{path.name}.corrupt-{wall_us}")
    number = 1
    while aside.exists():  # a clock that stands still, or was set back
        aside = path.with_name(f"{path.name}.corrupt-{wall_us}.{number}")
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside
