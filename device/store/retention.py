"""Selects the clips and press pictures to delete now, a few at a time. Nothing here takes longer with more of them.

Room is made by the oldest clips. Press pictures stay when their clip goes, unless they take too large a share of the
limit or there is no clip left to delete. Age takes both.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from device.config import StorageConfig
from device.events import DeleteReason, Fault
from device.policy.retention import KeptClip, to_delete
from device.store.index import ClipRow, Index, PressPictureRow
from device.system.clock import Clock

AGE_EVERY_US = 60_000_000
FULL_EVERY_US = 5_000_000
"""Interval between checks while nothing may be deleted."""

MAX_PER_LOOK = 3
"""Maximum number of clips deleted before the storage worker takes messages and packets again."""

PICTURES_SHARE = 0.25
"""The share of the limit above which the oldest press pictures are deleted before clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What to delete next, and by how many bytes the limit is exceeded if nothing may be deleted."""

    clips: tuple[ClipRow, ...] = ()
    pictures: tuple[PressPictureRow, ...] = ()
    stuck_bytes: int = 0


def full_fault(cause: DeleteReason, over_bytes: int) -> Fault:
    """Return the fault that no clip may be deleted although there is too little room, and what would help."""
    if cause == "reserve":
        text = f"{over_bytes} bytes of the free space that storage.reserve_bytes keeps are missing"
        remedy = "other files fill the disk: delete some of them, or lower storage.reserve_bytes"
    else:
        text = f"the clips are {over_bytes} bytes over storage.limit_bytes"
        remedy = "raise storage.limit_bytes, or take the star from clips"
    return Fault(
        code="storage_full",
        active=True,
        reason=cause,
        params={"over_bytes": over_bytes},
        text=f"{text}, and no clip may be deleted",
        remedy=remedy,
    )


class Quota:
    """Enforces a limit of bytes, a reserve of free space, and an age."""

    def __init__(self, storage: StorageConfig, clock: Clock, folder: Path) -> None:
        self._storage = storage
        self._clock = clock
        self._folder = folder
        self._aged_us = 0
        self._full_until_us = 0
        self._stuck_bytes = 0
        self.cause: DeleteReason = "limit"
        """Why the last `look` found something to delete, or too much."""

    def look(self, index: Index, growing_bytes: int) -> Selected:
        """Return what to delete next.

        There may be more: ask again when these are deleted. `growing_bytes`: the size of the files that are being
        written and have no row yet.
        """
        _, used_bytes, _ = index.totals()
        over_bytes = used_bytes + growing_bytes - self._limit_bytes(used_bytes + growing_bytes)
        now_us = self._clock.mono_us()
        if over_bytes <= 0:
            self._stuck_bytes = self._full_until_us = 0
            self.cause = "age"
            return self._too_old(index, now_us)
        if now_us < self._full_until_us:
            return Selected(stuck_bytes=self._stuck_bytes)
        many_bytes = index.picture_bytes() - int(self._storage.limit_bytes * PICTURES_SHARE)
        pictures = select_pictures(index.oldest_pictures(), many_bytes)
        doomed = [] if pictures else select_clips(index.oldest_without_star(), over_bytes=over_bytes)
        if not doomed and not pictures:
            pictures = select_pictures(index.oldest_pictures(), over_bytes)
        self._stuck_bytes = 0 if doomed or pictures else over_bytes
        if self._stuck_bytes:
            self._full_until_us = now_us + FULL_EVERY_US
        return Selected(clips=tuple(doomed), pictures=pictures, stuck_bytes=self._stuck_bytes)

    def _too_old(self, index: Index, now_us: int) -> Selected:
        if now_us - self._aged_us < AGE_EVERY_US or self._clock.flag() != "synchronised":
            return Selected()
        wall_us, longest_us = self._clock.wall_us(), self._storage.longest_age_days * 86_400_000_000
        candidates = index.without_star_before(wall_us - longest_us)
        doomed = select_clips(candidates, wall_us=wall_us, longest_age_us=longest_us)
        pictures = index.pictures_before(wall_us - longest_us, MAX_PER_LOOK)
        if max(len(doomed), len(pictures)) < MAX_PER_LOOK:
            self._aged_us = now_us
        return Selected(clips=tuple(doomed), pictures=tuple(pictures))

    def _limit_bytes(self, used_bytes: int) -> int:
        disk = os.statvfs(self._folder)
        free_bytes = disk.f_bavail * disk.f_frsize
        room_bytes = used_bytes + free_bytes - self._storage.reserve_bytes
        self.cause = "reserve" if room_bytes < self._storage.limit_bytes else "limit"
        return min(self._storage.limit_bytes, room_bytes)


def select_pictures(rows: Iterable[PressPictureRow], over_bytes: int) -> tuple[PressPictureRow, ...]:
    """Return the oldest press pictures of `rows` that take `over_bytes` together, a few at most."""
    chosen: list[PressPictureRow] = []
    if over_bytes <= 0:
        return ()
    for row in rows:
        chosen.append(row)
        over_bytes -= row.disk_bytes
        if over_bytes <= 0 or len(chosen) == MAX_PER_LOOK:
            break
    return tuple(chosen)


def select_clips(
    rows: Iterable[ClipRow],
    *,
    wall_us: int | None = None,
    over_bytes: int = 0,
    longest_age_us: int | None = None,
    most: int = MAX_PER_LOOK,
) -> list[ClipRow]:
    """Return the rows that the retention rule selects; reads no more rows than it needs."""
    read: dict[str, ClipRow] = {}

    def kept() -> Iterator[KeptClip]:
        for row in rows:
            read[row.clip_id] = row
            yield _kept(row, wall_us)

    doomed = to_delete(kept(), over_bytes=over_bytes, longest_age_us=longest_age_us, most=most)
    return [read[clip_id] for clip_id in doomed]


def _kept(row: ClipRow, wall_us: int | None) -> KeptClip:
    """Return a clip as the retention rule takes it; `wall_us` is None while this machine's clock is not trusted."""
    trusted_us = wall_us if row.clock == "synchronised" else None
    return KeptClip(
        clip_id=row.clip_id,
        disk_bytes=row.disk_bytes,
        protected=bool(row.protected),
        age_us=None if trusted_us is None else trusted_us - row.started_wall_us,
    )
