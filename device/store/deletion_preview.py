"""Counts what some limits would delete, without deleting it, so that the owner sees it before it happens."""

import os
import sys
from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from device.config import StorageConfig
from device.store.index import ClipRow, Index
from device.store.retention import MAX_PER_LOOK, PICTURES_SHARE, select_clips, select_pictures

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """What limits would delete, of `of_clips` clips; the times are when the oldest and the newest clip begin."""

    clips: int
    of_clips: int
    pictures: int
    disk_bytes: int
    oldest_us: int | None
    newest_us: int | None


def would_delete(index: Index, storage: StorageConfig, wall_us: int, folder: Path) -> Deletion:
    """Return what `Quota` would delete with these limits now, if the wall clock is right."""
    of_clips, used_bytes, _ = index.totals()
    disk = os.statvfs(folder)
    free_bytes = disk.f_bavail * disk.f_frsize
    over_bytes = used_bytes - min(storage.limit_bytes, used_bytes + free_bytes - storage.reserve_bytes)
    longest_us = storage.longest_age_days * _DAY_US
    aged = select_clips(
        index.without_star_before(wall_us - longest_us),
        wall_us=wall_us,
        longest_age_us=longest_us,
        most=sys.maxsize,
    )
    pictures = {row.file_name: row for row in index.pictures_before(wall_us - longest_us, -1)}
    many_bytes = index.picture_bytes() - int(storage.limit_bytes * PICTURES_SHARE)
    oldest_pictures = deque(index.oldest_pictures())
    while over_bytes > 0 and many_bytes > 0 and oldest_pictures:
        for row in select_pictures(list(islice(oldest_pictures, MAX_PER_LOOK)), many_bytes):
            oldest_pictures.popleft()
            pictures[row.file_name] = row
            many_bytes, over_bytes = many_bytes - row.disk_bytes, over_bytes - row.disk_bytes
    for_room: list[ClipRow] = []
    if over_bytes > 0:
        for_room = select_clips(index.oldest_without_star(), over_bytes=over_bytes, most=sys.maxsize)
        over_bytes -= sum(row.disk_bytes for row in for_room)
    while over_bytes > 0 and oldest_pictures:
        picture = oldest_pictures.popleft()
        pictures[picture.file_name] = picture
        over_bytes -= picture.disk_bytes
    clips = {row.clip_id: row for row in (*aged, *for_room)}
    freed_bytes = sum(row.disk_bytes for row in clips.values())
    freed_bytes += sum(row.disk_bytes for row in pictures.values())
    starts = [row.started_wall_us for row in clips.values()]
    return Deletion(
        clips=len(clips),
        of_clips=of_clips,
        pictures=len(pictures),
        disk_bytes=freed_bytes,
        oldest_us=min(starts, default=None),
        newest_us=max(starts, default=None),
    )
