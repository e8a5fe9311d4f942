"""Time that has passed over restarts, whatever the wall clock does. Pure: both clocks are handed in.

The monotonic clock counts while the program runs. What passed between two runs is the difference of the wall clocks,
if a time server had set both; else nobody knows it, and it counts as nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedTime:
    """The time that had passed at a moment of an earlier run, in microseconds, and its wall clock."""

    elapsed_us: int
    wall_us: int
    is_set: bool


class ElapsedTime:
    """Counts from 0, or from an earlier run."""

    def __init__(self, saved: SavedTime | None, mono_us: int) -> None:
        """`saved`: of the earlier run, if there was one."""
        self._saved = saved or SavedTime(elapsed_us=0, wall_us=0, is_set=False)
        self._began_us = mono_us
        self._between_us: int | None = None if self._saved.is_set else 0

    def now_us(self, mono_us: int, wall_us: int, *, is_set: bool) -> int:
        """Return how much time has passed. `is_set`: a time server has set the wall clock."""
        run_us = mono_us - self._began_us
        if self._between_us is None and is_set:
            self._between_us = max(0, wall_us - self._saved.wall_us - run_us)
        return self._saved.elapsed_us + (self._between_us or 0) + run_us

    def save(self, mono_us: int, wall_us: int, *, is_set: bool) -> SavedTime:
        """Return it for the next run. Until the clock is set, the time between the runs stays to be counted."""
        elapsed_us = self.now_us(mono_us, wall_us, is_set=is_set)
        if self._between_us is None:
            run_us = mono_us - self._began_us
            return SavedTime(elapsed_us=elapsed_us, wall_us=self._saved.wall_us + run_us, is_set=True)
        return SavedTime(elapsed_us=elapsed_us, wall_us=wall_us, is_set=is_set)
