"""Press pictures on the disk: writes and deletes them, and makes files and rows agree at start.

See schema_index.sql for the order of writes. The storage worker's thread only, except for `findings`.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from device.store.files import is_finished_jpeg, plain_size
from device.store.index import ClipRow, Index, PressPictureRow
from device.store.press_picture_name import PressPictureName
from device.store.reconcile import Repair, disk_bytes, put_aside
from device.system.durable_files import sync_folder, write_durably

NEW = ".new"
"""How the name of a file ends that was being written (system/durable_files.py)."""


def keep(name: PressPictureName, jpeg: bytes, index: Index, folder: Path) -> None:
    """Write a press picture and its row. Raises OSError, sqlite3.Error."""
    write_durably(folder / name.file_name, jpeg)
    index.add_picture(_row_for(name, folder / name.file_name))


def delete(row: PressPictureRow, index: Index, folder: Path) -> None:
    """Delete a press picture in an order that stays consistent after a power cut. Raises OSError, sqlite3.Error."""
    (folder / row.file_name).unlink(missing_ok=True)
    sync_folder(folder)
    index.remove_picture(row.file_name)


def of_clip(clip: ClipRow, index: Index, *, growing: bool) -> list[PressPictureRow]:
    """Return the pictures that show what a clip shows; with a visit's last clip all of its pictures.

    `growing`: another clip of the visit is being recorded.
    """
    pictures = index.pictures_of(clip.event_id)
    if not growing and len(index.of_event(clip.event_id)) <= 1:
        return pictures
    until_us = clip.started_wall_us + clip.duration_us
    return [row for row in pictures if clip.started_wall_us <= row.pressed_wall_us <= until_us]


def reconcile_pictures(index: Index, folder: Path, quarantine: Path) -> Iterator[Repair]:
    """Make rows and files agree again; yield what was adopted, lost or put aside."""
    listed, names = {row.file_name for row in index.pictures()}, _names(folder)
    for file_name in sorted(listed - names):
        index.remove_picture(file_name)
        yield Repair(path=folder / file_name, row=None, reason="its file is gone", clip_id=None)
    for file_name in sorted(names - listed):
        path, name = folder / file_name, PressPictureName.parse(file_name)
        if file_name.endswith(NEW):
            path.unlink()  # a power cut came while it was written; it was never reported as kept
        elif name is None or not is_finished_jpeg(path):
            yield put_aside(path, quarantine, "it is no press picture")
        else:
            index.add_picture(_row_for(name, path))
            yield Repair(path=path, row=None, reason="had no row, and got one", clip_id=None)


def findings(index: Index, folder: Path, *, running: bool) -> Iterator[str]:
    """Yield one sentence for each picture without a row and each row without a picture."""
    listed, names = {row.file_name for row in index.pictures()}, _names(folder)
    for file_name in sorted(listed - names):
        yield f"{file_name}: the index knows it, but its file {folder / file_name} is gone"
    for file_name in sorted(names - listed):
        if not (running and file_name.endswith(NEW)):
            yield f"{folder / file_name}: no row knows this file; the next start adopts it or puts it aside"


def _names(folder: Path) -> set[str]:
    with suppress(FileNotFoundError):  # of a version that made none
        return {path.name for path in folder.iterdir()}
    return set()


def _row_for(name: PressPictureName, path: Path) -> PressPictureRow:
    return PressPictureRow(
        file_name=path.name,
        event_id=name.event_id,
        press_number=name.press_number,
        pressed_wall_us=name.pressed_wall_us,
        clock=name.clock,
        disk_bytes=disk_bytes(path) if plain_size(path) is not None else 0,
    )
