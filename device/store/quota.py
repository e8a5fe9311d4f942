"""Which clips must go, and when it is worth looking: the whole index is read for it."""

import os
from pathlib import Path

from device.clock import Clock
from device.config import StorageConfig
from device.policy.retention import Kept, to_delete
from device.store.index import ClipRow, Index

AGE_EVERY_US = 60_000_000
FULL_EVERY_US = 5_000_000
"""How often room is looked for when there was none to be made."""


class Quota:
    """Holds a limit of bytes, a reserve of free space, and an age."""

    def __init__(self, storage: StorageConfig, clock: Clock, folder: Path) -> None:
        self._storage = storage
        self._clock = clock
        self._folder = folder
        self._aged_us = 0
        self._full_until_us = 0
        self._stuck_bytes = 0

    def look(self, index: Index, growing_bytes: int) -> tuple[list[ClipRow], int]:
        """Return the clips that must go, oldest first, and how many bytes are too many if none may.

        `growing_bytes`: what is being written and has no row yet.
        """
        _, used_bytes, _ = index.totals()
        over_bytes = used_bytes + growing_bytes - self._limit_bytes(used_bytes + growing_bytes)
        now_us = self._clock.mono_us()
        if over_bytes <= 0:
            self._stuck_bytes = 0
        if now_us - self._aged_us < AGE_EVERY_US and (over_bytes <= 0 or now_us < self._full_until_us):
            return [], self._stuck_bytes
        self._aged_us = now_us
        rows = {row.clip_id: row for row in index.oldest_first()}
        wall_us = self._clock.wall_us() if self._clock.flag() == "synchronised" else None
        doomed = to_delete(
            [_kept(row, wall_us) for row in rows.values()],
            used_bytes=used_bytes + growing_bytes,
            limit_bytes=used_bytes + growing_bytes - over_bytes,
            longest_age_us=self._storage.longest_age_days * 86_400_000_000,
        )
        self._stuck_bytes = over_bytes if over_bytes > 0 and not doomed else 0
        if self._stuck_bytes:
            self._full_until_us = now_us + FULL_EVERY_US
        return [rows[clip_id] for clip_id in doomed], self._stuck_bytes

    def _limit_bytes(self, used_bytes: int) -> int:
        disk = os.statvfs(self._folder)
        free_bytes = disk.f_bavail * disk.f_frsize
        return min(self._storage.limit_bytes, used_bytes + free_bytes - self._storage.reserve_bytes)


def _kept(row: ClipRow, wall_us: int | None) -> Kept:
    """Return what retention sees of a clip; `wall_us` is None while this machine's clock is not trusted."""
    trusted_us = wall_us if row.clock == "synchronised" else None
    return Kept(
        clip_id=row.clip_id,
        disk_bytes=row.disk_bytes,
        protected=bool(row.protected),
        age_us=None if trusted_us is None else trusted_us - row.started_wall_us,
    )
