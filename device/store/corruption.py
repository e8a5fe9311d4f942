"""Tells a damaged database from a failing disk, and puts a damaged one aside."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

_DAMAGED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""SQLITE_ERROR: a table or a column is missing. Errors of the disk (SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN …)
pass, and do not mean that the file is damaged. Source: sqlite.org/rescode.html."""


class Damaged(sqlite3.DatabaseError):
    """Not an intact database of this version."""


def is_damaged(error: Exception) -> bool:
    """Return whether an error means that the file is damaged, and not only unavailable."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, Damaged) or (code is not None and code & 0xFF in _DAMAGED)


def look_through(db: sqlite3.Connection) -> None:
    """Read every page, or damage might be found only months later. Raises Damaged or sqlite3.Error."""
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
    """Rename a database that nobody has open, and its -wal and -shm; return the new path. Nothing is deleted."""
    aside = path.with_name(f"{path.name}.corrupt-{wall_us}")
    number = 1
    while aside.exists():  # the clock has stopped or was set back
        aside = path.with_name(f"{path.name}.corrupt-{wall_us}.{number}")
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside
