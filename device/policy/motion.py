"""Does something move? A first honest detector; a later one takes its place behind `Detector`.

Frames are reduced to a small grid and compared with a slowly learnt background. What changes everywhere
at once is light, not movement, and starts the learning anew. Source of the scheme: the running average
of Wren et al., "Pfinder" (1997), with a per-cell noise estimate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from device.policy.zones import Zone, watched

GRID_WIDTH = 80
LEARN_US = 4_000_000
"""Time constant of the background: a parked car belongs to it after some ten seconds."""
SETTLE_US = 1_500_000
"""Auto-exposure of Pi cameras settles within about a second."""
NOISE_SIGMAS = 5.0
LEAST_STEP = 7.0
"""Grey levels (of 255) below which nothing counts: H.264 and gain noise stay under it."""
LIGHT_SHARE = 0.6
"""If more of the watched cells change at once, it is the light."""
CONFIRM_US = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Something moves now: `score` 0..1 is the share of watched cells that changed."""

    score: float
    zones: tuple[str, ...]


class Detector(Protocol):
    """What the watch asks of a detector."""

    def feed(self, luma: NDArray[np.uint8], mono_us: int) -> Motion | None:
        """Take one grey frame (uint8, H x W, any size) and its time; return what moves."""


class BackgroundDetector:
    """A running-average background on a grid 80 cells wide.

    `least_share` is the share of watched cells that must change (0.004 is a person at 5 m).
    """

    def __init__(self, zones: Sequence[Zone], *, least_share: float) -> None:
        self._zones = tuple(zones)
        self._least_share = least_share
        self._shape: tuple[int, int] | None = None

    def _start(self, shape: tuple[int, int], mono_us: int) -> None:
        self._shape = shape
        height = max(1, round(GRID_WIDTH * shape[0] / shape[1]))
        self._size = (GRID_WIDTH, height)
        self._mask, self._zone_masks = watched(self._zones, *self._size)
        self._cells = max(1, int(self._mask.sum()))
        self._background: NDArray[np.float32] | None = None
        self._previous = np.zeros((height, GRID_WIDTH), np.float32)
        self._noise = np.full((height, GRID_WIDTH), 1.0, np.float32)
        self._settled_us = mono_us + SETTLE_US
        self._last_us = mono_us
        self._since_us: int | None = None

    def feed(self, luma: NDArray[np.uint8], mono_us: int) -> Motion | None:
        """Take one frame; None until the picture has settled and while nothing moves."""
        shape = (luma.shape[0], luma.shape[1])
        if shape != self._shape:
            self._start(shape, mono_us)
        grid = cv2.resize(luma, self._size, interpolation=cv2.INTER_AREA).astype(np.float32)
        if self._background is None:
            self._background, self._previous = grid.copy(), grid
            return None
        step_us = max(1, mono_us - self._last_us)
        self._last_us = mono_us
        rate = min(0.5, step_us / LEARN_US)
        difference = cv2.absdiff(grid, self._background)
        changed = difference > np.maximum(LEAST_STEP, NOISE_SIGMAS * self._noise)
        changed &= self._mask.astype(bool)
        stirs = changed & (cv2.absdiff(grid, self._previous) > LEAST_STEP)
        self._previous = grid
        share = float(changed.sum()) / self._cells
        if mono_us < self._settled_us:
            cv2.accumulateWeighted(grid, self._background, min(0.5, rate * 8))
            return None
        if share > LIGHT_SHARE:
            self._background, self._settled_us = grid.copy(), mono_us + SETTLE_US
            self._since_us = None
            return None
        # What moves is learnt ten times slower, so that a visitor who stands still is not forgotten.
        quiet = (~changed).astype(np.uint8)
        cv2.accumulateWeighted(grid, self._background, rate, quiet)
        cv2.accumulateWeighted(grid, self._background, rate / 10, 1 - quiet)
        cv2.accumulateWeighted(difference, self._noise, rate, quiet)
        # A difference that stays as it is (a parked car, the place where a visitor stood) is no movement.
        if share < self._least_share or not stirs.any():
            self._since_us = None if share < self._least_share else self._since_us
            return None
        if self._since_us is None:
            self._since_us = mono_us
        if mono_us - self._since_us < CONFIRM_US:
            return None
        hit = tuple(n for n, mask in self._zone_masks.items() if (changed & mask.astype(bool)).any())
        return Motion(score=round(share, 4), zones=hit)


@dataclass(slots=True, kw_only=True)
class Visit:
    """Makes one visit of many moving frames: it starts at once and ends after `quiet_us` of none."""

    quiet_us: int
    started: bool = False
    peak_score: float = 0.0
    _last_us: int = 0

    def feed(self, motion: Motion | None, mono_us: int) -> bool | None:
        """Return True when the visit starts, False when it ends, None otherwise."""
        if motion is not None:
            first, self.started, self._last_us = not self.started, True, mono_us
            self.peak_score = motion.score if first else max(self.peak_score, motion.score)
            return True if first else None
        if self.started and mono_us - self._last_us >= self.quiet_us:
            self.started = False
            return False
        return None

    @property
    def last_us(self) -> int:
        """When something last moved."""
        return self._last_us
