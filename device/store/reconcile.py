"""Makes the index and the files agree at start, and checks them for `doorbell check`.

Three invariants: a row has its file, of that size and hash; a file has its row, or is adopted or
quarantined; after an orderly stop there is no `.part`. Nothing unknown is deleted, and only
ordinary files are opened.
"""

import logging
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from device.store.clip_name import ClipName
from device.store.files import plain_size, sha256_of
from device.store.index import ClipRow, Index
from device.store.mp4 import HEV1, offset_in_moov, playable_us, whole_fragments
from device.system.durable_files import rename_durably, sync_folder

log = logging.getLogger(__name__)

PART = ".part"
MAX_HOLES = 8
"""A file this many times longer than its space on disk is not read: that could take days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """The repair of one file or row; without a `clip_id` it was no clip."""

    path: Path
    row: ClipRow | None
    reason: str
    clip_id: str | None


def disk_bytes(path: Path) -> int:
    """Return a file's space on disk in bytes (stat(2) counts blocks of 512)."""
    return path.stat().st_blocks * 512


def reconcile(
    index: Index, folder: Path, quarantine: Path, *, growing: Collection[Path] = ()
) -> Iterator[Repair]:
    """Make rows and files agree again; yield what was adopted, lost or put aside.

    `growing`: files that are being written and are left alone.
    """
    listed, sizes = index.files(), _sizes(folder)
    for clip_id, file_name, size_bytes, doomed in listed:
        path = folder / file_name
        if doomed and (row := index.find(clip_id)):
            delete(row, index, folder)
        elif file_name not in sizes:
            index.remove(clip_id)
            yield Repair(path=path, row=None, reason="its file is gone", clip_id=clip_id)
        elif sizes[file_name] != size_bytes:
            reason = _other_size(sizes[file_name], size_bytes)
            aside = put_aside(path, quarantine, reason, clip_id)
            index.remove(clip_id)
            yield aside
    for name in sorted(sizes.keys() - {file_name for _, file_name, _, _ in listed}):
        if folder / name not in growing:
            yield adopt(folder / name, index, quarantine)


def _sizes(folder: Path) -> dict[str, int | None]:
    """Return the size of each ordinary file in a folder, None for anything else."""
    sizes: dict[str, int | None] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # a running daemon has renamed or deleted it meanwhile
                plain = entry.is_file(follow_symlinks=False)
                sizes[entry.name] = entry.stat(follow_symlinks=False).st_size if plain else None
    return sizes


def _other_size(found_bytes: int | None, size_bytes: int) -> str:
    found = "is no ordinary file" if found_bytes is None else f"has {found_bytes} bytes"
    return f"its file {found}, {size_bytes} were recorded"


def delete(row: ClipRow, index: Index, folder: Path) -> None:
    """Delete a clip in an order that stays consistent after a power cut; also finishes one that was begun."""
    if not row.doomed:
        index.doom(row.clip_id)
    (folder / row.file_name).unlink(missing_ok=True)
    sync_folder(folder)
    index.remove(row.clip_id)


def adopt(path: Path, index: Index, quarantine: Path) -> Repair:
    """Adopt a file without a row (a `.part` is truncated and renamed first), or put it aside."""
    if plain_size(path) is None:
        return put_aside(path, quarantine, "it is no ordinary file")
    final = path.with_name(path.name.removesuffix(PART))
    name = ClipName.parse(final.name)
    if name is None or (path != final and final.exists()):
        return put_aside(path, quarantine, "its name is not a clip's")
    if path.stat().st_size > MAX_HOLES * max(disk_bytes(path), 4096):
        return put_aside(path, quarantine, "it is nearly all holes, which no clip has", name.clip_id)
    # After a power cut the last fragments may only look complete; those before them are good.
    fragments = whole_fragments(path) if path != final else [(0, path.stat().st_size)]
    lengths = ((end, playable_us(path, (begin, end))) for begin, end in reversed(fragments))
    end, duration_us = next(((end, us) for end, us in lengths if us is not None), (0, 0))
    if not end:
        cut_off = "it was cut off before its first picture was whole"
        reason = cut_off if path != final else "it cannot be read as a clip"
        return put_aside(path, quarantine, reason, name.clip_id)
    if path != final:
        _cut(path, end)
        rename_durably(path, final)
    row = row_for(name, final, duration_us=duration_us, sha256=sha256_of(final))
    index.add(row)
    reason = "was cut off, and saved" if path != final else "had no row, and got one"
    return Repair(path=final, row=row, reason=reason, clip_id=row.clip_id)


def _cut(path: Path, end: int) -> None:
    with path.open("r+b") as file:
        file.truncate(end)
        if offset := offset_in_moov(path, HEV1):
            os.pwrite(file.fileno(), b"hvc1", offset)  # as at the close of a clip
        os.fsync(file.fileno())


def put_aside(path: Path, quarantine: Path, reason: str, clip_id: str | None = None) -> Repair:
    """Move a file that was not recognised into the quarantine."""
    quarantine.mkdir(exist_ok=True)
    target = quarantine / path.name
    number = 1
    while target.exists():
        target = quarantine / f"{path.name}.{number}"
        number += 1
    path.rename(target)
    sync_folder(quarantine)
    sync_folder(path.parent)
    return Repair(
        path=target, row=None, reason=f"{reason}; put aside into {quarantine.name}/", clip_id=clip_id
    )


def row_for(
    name: ClipName,
    path: Path,
    *,
    duration_us: int,
    sha256: str,
    boot_id: str = "",
    started_mono_us: int = 0,
    lost_packets: int = 0,
) -> ClipRow:
    """Return the row of a clip file that is durable under its final name."""
    return ClipRow(
        clip_id=name.clip_id,
        event_id=name.event_id,
        cause=name.cause,
        file_name=path.name,
        started_wall_us=name.started_wall_us,
        duration_us=duration_us,
        clock=name.clock,
        boot_id=boot_id,
        started_mono_us=started_mono_us,
        size_bytes=path.stat().st_size,
        disk_bytes=disk_bytes(path),
        sha256=sha256,
        lost_packets=lost_packets,
    )


def findings(
    index: Index,
    folder: Path,
    *,
    running: bool,
    deep: bool = False,
    progress: Callable[[int, int], None] = lambda _done_bytes, _all_bytes: None,
) -> Iterator[str]:
    """Yield one sentence for each broken invariant. With a `running` daemon a `.part` is normal.

    `deep`: read every file and compare its SHA-256; `progress` gets (bytes read, bytes in all).
    """
    rows = {row.file_name: row for row in index.oldest_first()}
    sizes = _sizes(folder)
    all_bytes, done_bytes = sum(row.size_bytes for row in rows.values()), 0
    for row in rows.values():
        path = folder / row.file_name
        if row.doomed:
            yield f"{row.clip_id}: its deletion was cut off; the next start finishes it"
        elif row.file_name not in sizes:
            yield f"{row.clip_id}: the index knows it, but its file {path} is gone"
        elif sizes[row.file_name] != row.size_bytes:
            other = _other_size(sizes[row.file_name], row.size_bytes)
            yield f"{row.clip_id}: {other}; the next start puts it aside"
        elif deep and sha256_of(path) != row.sha256:
            yield (
                f"{row.clip_id}: its file is not what was recorded (another SHA-256); "
                "play it to see what is left"
            )
        done_bytes += row.size_bytes
        progress(done_bytes, all_bytes)
    for file_name in sorted(sizes):
        if file_name in rows or (running and file_name.endswith(PART)):
            continue
        if sizes[file_name] is None:
            yield f"{folder / file_name}: no ordinary file; the next start puts it aside, unread"
        elif file_name.endswith(PART):
            yield f"{folder / file_name}: a clip was cut off; the next start of doorbelld repairs it"
        else:
            yield f"{folder / file_name}: no row knows this file; the next start adopts it or puts it aside"
