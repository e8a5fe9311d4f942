"""Opens the clip index, and replaces it when it is damaged.

The files hold everything in the index except the stars. A damaged index is put aside, never deleted. `reconcile.py`
adds the clips to the new one, and then the stars that could still be read are set again.
"""

import logging
import sqlite3
from collections.abc import Callable

from device.store.corruption import is_damaged, put_aside, stars_of
from device.store.index import Index
from device.store.layout import Layout
from device.system.clock import Clock

log = logging.getLogger(__name__)

REBUILD_AGAIN_US = 60_000_000
"""Minimum interval between two replacements: the card may damage each new index."""


class IndexRecovery:
    """Belongs to the storage worker's thread. `replaced` is called when an index was put aside."""

    def __init__(self, layout: Layout, clock: Clock, *, replaced: Callable[[], None]) -> None:
        self._layout = layout
        self._clock = clock
        self._replaced = replaced
        self._stars: set[str] = set()
        self._rebuild_us = 0

    def open(self) -> Index:
        """Open the index, or an empty one in place of a damaged one. Raises sqlite3.Error, OSError."""
        index: Index | None = None
        try:
            index = Index(self._layout.index)
            index.look_through()
        except sqlite3.DatabaseError as error:
            if index:
                index.close()
            if not is_damaged(error):
                raise
            return self._new_index(error)
        return index

    def rebuild(self, damaged: Index, error: sqlite3.Error) -> Index:
        """Return an empty index in place of one that turned out to be damaged.

        Raises `error` if it is no damage, or if an index was replaced less than a minute ago.
        """
        now_us = self._clock.mono_us()
        if not is_damaged(error) or now_us < self._rebuild_us:
            raise error
        self._rebuild_us = now_us + REBUILD_AGAIN_US
        damaged.close()
        return self._new_index(error)

    def restore_stars(self, index: Index) -> None:
        """Set the stars that were read from a damaged index, once its clips have rows again."""
        for clip_id in tuple(self._stars):
            index.protect(clip_id, on=True)
            self._stars.remove(clip_id)

    def _new_index(self, error: sqlite3.Error) -> Index:
        aside = put_aside(self._layout.index, self._clock.wall_us())
        self._stars |= stars_of(aside)
        log.error("index_corrupt error=%r put_aside=%s", error, aside)
        self._replaced()
        return Index(self._layout.index)
