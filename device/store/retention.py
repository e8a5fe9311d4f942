"""Selects the clips to delete now, a few at a time. Nothing here takes longer with more clips."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from device.config import StorageConfig
from device.policy.retention import KeptClip, to_delete
from device.store.index import ClipRow, Index
from device.system.clock import Clock

AGE_EVERY_US = 60_000_000
FULL_EVERY_US = 5_000_000
"""Interval between checks while nothing may be deleted."""

MAX_PER_LOOK = 3
"""Maximum number of clips deleted before the storage worker takes messages and packets again."""


class Quota:
    """Enforces a limit of bytes, a reserve of free space, and an age."""

    def __init__(self, storage: StorageConfig, clock: Clock, folder: Path) -> None:
        self._storage = storage
        self._clock = clock
        self._folder = folder
        self._aged_us = 0
        self._full_until_us = 0
        self._stuck_bytes = 0

    def look(self, index: Index, growing_bytes: int) -> tuple[list[ClipRow], int]:
        """Return the clips to delete next, and by how many bytes the limit is exceeded if none may be deleted.

        There may be more: ask again when these are deleted. `growing_bytes`: the size of the files that are being
        written and have no row yet.
        """
        _, used_bytes, _ = index.totals()
        over_bytes = used_bytes + growing_bytes - self._limit_bytes(used_bytes + growing_bytes)
        now_us = self._clock.mono_us()
        if over_bytes <= 0:
            self._stuck_bytes = self._full_until_us = 0
            return self._too_old(index, now_us), 0
        if now_us < self._full_until_us:
            return [], self._stuck_bytes
        doomed = _chosen(index.oldest_without_star(), over_bytes=over_bytes)
        self._stuck_bytes = 0 if doomed else over_bytes
        if self._stuck_bytes:
            self._full_until_us = now_us + FULL_EVERY_US
        return doomed, self._stuck_bytes

    def _too_old(self, index: Index, now_us: int) -> list[ClipRow]:
        if now_us - self._aged_us < AGE_EVERY_US or self._clock.flag() != "synchronised":
            return []
        wall_us, longest_us = self._clock.wall_us(), self._storage.longest_age_days * 86_400_000_000
        candidates = index.without_star_before(wall_us - longest_us)
        doomed = _chosen(candidates, wall_us=wall_us, longest_age_us=longest_us)
        if len(doomed) < MAX_PER_LOOK:
            self._aged_us = now_us
        return doomed

    def _limit_bytes(self, used_bytes: int) -> int:
        disk = os.statvfs(self._folder)
        free_bytes = disk.f_bavail * disk.f_frsize
        return min(self._storage.limit_bytes, used_bytes + free_bytes - self._storage.reserve_bytes)


def _chosen(
    rows: Iterable[ClipRow],
    *,
    wall_us: int | None = None,
    over_bytes: int = 0,
    longest_age_us: int | None = None,
) -> list[ClipRow]:
    """Return the rows that the retention rule selects; reads no more rows than it needs."""
    read: dict[str, ClipRow] = {}

    def kept() -> Iterator[KeptClip]:
        for row in rows:
            read[row.clip_id] = row
            yield _kept(row, wall_us)

    doomed = to_delete(kept(), over_bytes=over_bytes, longest_age_us=longest_age_us, most=MAX_PER_LOOK)
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
