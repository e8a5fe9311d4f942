"""Bugs to plant: each breaks one step of docs/storage.md. A trial must detect each of them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.store import clip_file, event_log, index, reconcile, storage_worker
from device.system import durable_files


@dataclass(frozen=True, slots=True)
class Plant:
    """One broken rule."""

    what: str
    plant: Callable[[], None]
    hidden_by_ext4: str = ""
    """The reason why no cut on real ext4 shows it; the simulated disk does."""


def _replace(owner: Any, name: str, step: Callable[..., Any]) -> None:
    """Replace a function, also where it was imported by name; it must exist."""
    getattr(owner, name)
    setattr(owner, name, step)


def _no_sync(*_args: Any) -> None:
    """Do nothing, like a store that forgot to sync."""


def _clips_unsynced() -> None:
    _replace(clip_file._SyncedFile, "sync", _no_sync)  # noqa: SLF001  (the step itself)


def _folder_unsynced() -> None:
    for room in (durable_files, clip_file, reconcile):
        _replace(room, "sync_folder", _no_sync)


def _patch_first() -> None:
    def write(self: Any, data: bytes) -> int:
        count = self.raw.write(data)
        self.end_bytes = max(self.end_bytes, self.raw.tell())
        self._dirty = True
        return int(count)

    _replace(clip_file._SyncedFile, "write", write)  # noqa: SLF001  (the step itself)


def _rename_first() -> None:
    close = clip_file.ClipFile.close

    def renamed_first(self: Any, final_path: Path) -> str:
        self.part_path.rename(final_path)
        self.part_path = final_path
        durable_files.sync_folder(final_path.parent)
        return close(self, final_path)

    _replace(clip_file.ClipFile, "close", renamed_first)


def _log_normal() -> None:
    begin = event_log.EventLog.__init__

    def normal(self: Any, *args: Any, **named: Any) -> None:
        begin(self, *args, **named)
        self._db.execute("PRAGMA synchronous=NORMAL")

    _replace(event_log.EventLog, "__init__", normal)


def _owner_normal() -> None:
    def as_usual(self: Any, statement: str, values: list[Any]) -> None:
        self._db.execute(statement, values)

    _replace(index.Index, "_durably", as_usual)


def _row_first() -> None:
    def row_first(row: Any, clips: Any, folder: Path) -> None:
        clips.doom(row.clip_id)
        clips.remove(row.clip_id)
        (folder / row.file_name).unlink(missing_ok=True)

    for room in (reconcile, storage_worker):
        _replace(room, "delete", row_first)


def _settings_in_place() -> None:
    def in_place(path: Path, content: bytes, **_mode: int) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        os.write(fd, content)
        os.fsync(fd)
        os.close(fd)

    _replace(storage_worker, "write_durably", in_place)


PLANTS = {
    "clip-unsynced": Plant("a clip is never synced", _clips_unsynced),
    "folder-unsynced": Plant("a folder is never synced behind a rename or a deletion", _folder_unsynced),
    "patch-first": Plant("closing a clip patches its front before its moov is synced", _patch_first),
    "rename-first": Plant("a clip gets its name before it is finished", _rename_first),
    "log-normal": Plant("the log is written with synchronous=NORMAL", _log_normal),
    "owner-normal": Plant("stars and deletions are written with synchronous=NORMAL", _owner_normal),
    "row-first": Plant("a deletion takes the row before the file", _row_first),
    "settings-in-place": Plant(
        "the settings are overwritten in place",
        _settings_in_place,
        hidden_by_ext4="ext4 commits the truncation and what is written behind it in one transaction",
    ),
}
