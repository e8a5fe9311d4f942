"""The scene without visitors, and how a picture differs from it once the light is taken out.

All is done on a small grid of cells, 160 along the longer side of the picture. The expected picture is the learnt
background under today's light: the median, over neighbouring blocks, of how much brighter each block has
become. A lamp, a cloud, a jump of the exposure or the switch to infra-red change whole neighbourhoods alike;
a person changes few blocks, which a median does not follow. Light as a ratio is the usual model of retinex
and of homomorphic filtering; the running average, and a range of accepted values by place, go back to Wren et
al., "Pfinder" (1997), and Haritaoglu et al., "W4" (2000).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.motion.zones import FULL

Cells = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""x, y, width, height in cells."""

Levels = NDArray[np.float32]

LONGER_SIDE_CELLS = 160
BLOCK_CELLS = 10
"""Cells to a side of a light block. The light of a block is the median of 5 x 5 blocks, so a person who hides less
than half of them does not change it."""
MIN_BLOCK = 0.3
"""A block with a smaller watched share does not count."""
HAZE_BLOCKS = 3
"""The rest of the light is smoothed over this many blocks: glare, the fall-off of a lamp, fog."""
HAZE_MEDIANS = 8.0
HAZE_LEVELS = 2.0
"""Limit of what a block adds to it, in medians of all blocks: a person is not haze."""
CALM_EVERY_S = 0.5
"""Interval between reductions of the restlessness, which takes many seconds."""
DETAIL_CELLS = (5, 5)
"""Detail is the difference from the mean of this many cells; a pool of light is smoother."""
ROUNDING = 1 / 12
"""The least variance of whole grey levels; a simulated picture has no other noise."""
BLACK_LEVELS = 8.0
"""Added before ratios are taken: in the dark a ratio of small numbers is meaningless."""
NOISE_EVERY = 5
"""The noise is measured every this many pictures; it changes with the gain, over minutes."""

_NEXT = np.ones((3, 3), np.uint8)
_AROUND = np.ones((5, 5), np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneTuning:
    """Which differences count, and how fast the scene is learnt."""

    floor_levels: float = 5.0
    """Grey levels (of 255) that rounding and the encoder leave in a still picture."""
    noise_sigmas: float = 3.0
    """Added to it: this factor times the median change between pictures (the sensor's noise)."""
    usual_times: float = 3.0
    """Added to it: this factor times the usual difference in this cell (leaves, a flag, the edge of a web)."""
    learn_s: float = 6.0
    """Time constant of the background. A parked car stops counting as movement by other means."""
    held_share: float = 0.1
    """Factor by which the background learns more slowly where something hides it."""
    restless_up_s: float = 1.5
    restless_down_s: float = 20.0
    """How fast a cell becomes restless by false movement, and calms down again."""
    restless_from: float = 0.1
    """From this restlessness (0..1) on, two cells of swaying are accepted instead of one."""
    stir_s: float = 0.25
    """Age of the picture that movement is compared with; anything motionless does not differ from it."""
    settle_s: float = 2.0
    """Time after the start in which everything is background, and exposure and white balance settle."""
    resettle_s: float = 1.0
    """The same after a change of the whole picture (camera turned, lens uncovered)."""
    another_share: float = 0.3
    stale_share: float = 0.1
    stale_s: float = 5.0
    """It counts as another picture if this share of the watched picture differs and nobody walked in, or the smaller
    share for this long."""


def part(cells: NDArray[Any], box: Box) -> NDArray[Any]:
    """Return the cells in the box, as a view."""
    x, y, width, height = box
    return cells[y : y + height, x : x + width]


def grid_size(width_px: int, height_px: int) -> tuple[int, int]:
    """Return (columns, rows) of the grid for pictures of this size; both are multiples of a block."""
    longer = max(width_px, height_px)
    columns, rows = (
        max(2, round(LONGER_SIDE_CELLS * side / longer / BLOCK_CELLS)) * BLOCK_CELLS
        for side in (width_px, height_px)
    )
    return columns, rows


class Reducer:
    """Averages pictures of one size down to the grid."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self.size = grid_size(width_px, height_px)
        columns, rows = self.size
        self._grid = np.zeros((rows, columns), np.uint8)
        # Two steps, of which the second halves: halving has a fast path, other ratios of areas have none.
        self._half = np.zeros((2 * rows, 2 * columns), np.uint8)
        self._twice = width_px >= 2 * columns and height_px >= 2 * rows
        whole = width_px % (2 * columns) == 0 and height_px % (2 * rows) == 0
        self._first = cv2.INTER_AREA if whole else cv2.INTER_LINEAR

    def __call__(self, luma: Cells) -> Cells:
        """Return the grid of `luma` (H x W, rows may be views); it is overwritten by the next call."""
        columns, rows = self.size
        if not self._twice:
            cv2.resize(luma, self.size, dst=self._grid, interpolation=cv2.INTER_AREA)
            return self._grid
        cv2.resize(luma, (2 * columns, 2 * rows), dst=self._half, interpolation=self._first)
        cv2.resize(self._half, self.size, dst=self._grid, interpolation=cv2.INTER_AREA)
        return self._grid


class _Light:
    """Finds how today's light differs from the light of the background, block by block."""

    def __init__(self, inside: Cells) -> None:
        rows, columns = inside.shape
        self._cells = (columns, rows)
        self._blocks = (columns // BLOCK_CELLS, rows // BLOCK_CELLS)
        share = cv2.resize(inside.astype(np.float32) / FULL, self._blocks, interpolation=cv2.INTER_AREA)
        self._black = (BLACK_LEVELS * np.maximum(share, 1e-3)).astype(np.float32)
        self._share = self._mean(np.asarray(share, np.float32)) + 1e-3
        self._nearest = _nearest(share >= MIN_BLOCK)

    @staticmethod
    def _mean(blocks: Levels) -> Levels:
        side = (HAZE_BLOCKS, HAZE_BLOCKS)
        return np.asarray(cv2.blur(blocks, side, borderType=cv2.BORDER_REPLICATE), np.float32)

    def fit(self, now: Cells, background: Levels, gain: Levels, shift: Levels) -> float:
        """Fill `gain` and `shift` so that background * gain + shift is the scene under the light of `now`.

        Returns the gain of the whole picture.
        """
        seen = cv2.resize(now, self._blocks, interpolation=cv2.INTER_AREA) + self._black
        known = cv2.resize(background, self._blocks, interpolation=cv2.INTER_AREA) + self._black
        ratios = cv2.log(seen / known).ravel()[self._nearest]
        gains = cv2.exp(cv2.medianBlur(ratios, 5))
        rest = np.asarray(seen - known * gains, np.float32)
        most = HAZE_MEDIANS * _middle(np.abs(rest)) + HAZE_LEVELS
        haze = self._mean(np.clip(rest, -most, most)) / self._share
        cv2.resize(gains, self._cells, dst=gain, interpolation=cv2.INTER_LINEAR)
        cv2.resize(haze + BLACK_LEVELS * (gains - 1), self._cells, dst=shift, interpolation=cv2.INTER_LINEAR)
        return _middle(gains)


def _detail(cells: NDArray[Any]) -> Levels:
    levels = cells.astype(np.float32)
    return np.asarray(levels - cv2.blur(levels, DETAIL_CELLS), np.float32)


def _middle(values: NDArray[Any]) -> float:
    """Return the median (the upper of two), many times faster than np.median for a few values."""
    return float(np.sort(values, axis=None)[values.size // 2])


def _nearest(valid: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return, for each block, the index of the nearest block that is watched (its own, if it is)."""
    if valid.all() or not valid.any():
        return np.arange(valid.size).reshape(valid.shape)
    _, labels = cv2.distanceTransformWithLabels(
        (~valid).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Each watched block has a label of its own, from 1 on.
    index_of_label = np.zeros(int(np.count_nonzero(valid)) + 1, np.intp)
    index_of_label[labels[valid]] = np.flatnonzero(valid)
    return np.asarray(index_of_label[labels], np.intp)


class Scene:
    """The background, its light, and how restless each part of it is.

    `inside` is the watched part (uint8, rows x columns, 255 or 0); `eagerness` says, per cell, by how much a
    difference is multiplied before it is judged (float32, 1 is normal), or None.
    """

    def __init__(self, inside: Cells, eagerness: NDArray[np.float32] | None, tuning: SceneTuning) -> None:
        self._tuning = tuning
        self._inside = inside
        self._eagerness = eagerness
        self._light = _Light(inside)
        self._watched = max(1, cv2.countNonZero(inside))
        smoothed = cv2.blur(inside.astype(np.float32), (3, 3)) / FULL
        # At the zone's edge the mean of 3 x 3 cells has fewer than nine of them.
        edge = np.where(inside > 0, 1 / np.maximum(smoothed, 0.1), 0).astype(np.float32)
        self._edge = None if inside.all() else edge
        self._sampled = np.flatnonzero(inside)[::7]
        shape = inside.shape
        self._now, self._low, self._high, self._under = (np.zeros(shape, np.uint8) for _ in range(4))
        self._difference, self._step, self._spare = (np.zeros(shape, np.uint8) for _ in range(3))
        self._gain, self._shift, self._expected = (np.zeros(shape, np.float32) for _ in range(3))
        self.changed = np.zeros(shape, np.uint8)
        """255 where the picture differs from the expected picture."""
        self.stirred = np.zeros(shape, np.uint8)
        """255 where it also differs from the picture a quarter of a second ago."""
        self.restless = np.zeros(shape, np.float32)
        """0..255: how often false movement was seen here lately."""
        self._background = np.zeros(shape, np.float32)
        self._usual = np.zeros(shape, np.float32)
        self._past = [np.zeros(shape, np.uint8) for _ in range(8)]
        self._past_us = [0] * len(self._past)
        self._restless_from = np.full(shape, FULL * tuning.restless_from, np.float32)
        self._calm_s = 0.0
        self._filled = 0
        self._noise = 1.0
        self._brighter = 1.0
        self._started_us = 0
        self._settled_us = 0
        self._fresh_us = 0

    def settling(self, mono_us: int) -> bool:
        """Return whether the scene is still being learnt at `mono_us`."""
        return mono_us < self._settled_us

    def look(self, grid: Cells, mono_us: int, *, visitor: bool) -> float:
        """Compare one picture with the scene; return the share of the watched cells that changed.

        With a `visitor` in view even a great change is attributed to the visitor; without, it is another picture.
        """
        cv2.bitwise_and(grid, self._inside, dst=grid)
        cv2.blur(grid, (3, 3), dst=self._now)
        if self._edge is not None:
            cv2.multiply(self._now, self._edge, dst=self._now, dtype=cv2.CV_8U)
        if self._filled == 0:
            self._begin(mono_us, self._tuning.settle_s)
        self._expect()
        self._measure_noise(grid)
        share = self._compare()
        self._find_stirred(grid, mono_us)
        if self._another(share, mono_us, visitor=visitor):
            self._begin(mono_us, self._tuning.resettle_s)
        return share

    def _another(self, share: float, mono_us: int, *, visitor: bool) -> bool:
        if visitor or share < self._tuning.stale_share or self.settling(mono_us):
            self._fresh_us = mono_us
        stale_us = mono_us - self._fresh_us
        return stale_us > 0 and (share > self._tuning.another_share or stale_us > self._tuning.stale_s * 1e6)

    def _begin(self, mono_us: int, settle_s: float) -> None:
        np.copyto(self._background, self._now)
        self._started_us, self._settled_us = mono_us, mono_us + int(settle_s * 1e6)

    def _expect(self) -> None:
        self._brighter = self._light.fit(self._now, self._background, self._gain, self._shift)
        cv2.multiply(self._background, self._gain, dst=self._expected)
        cv2.add(self._expected, self._shift, dst=self._expected)

    def _measure_noise(self, grid: Cells) -> None:
        if (self._filled + 1) % NOISE_EVERY == 0:
            cv2.absdiff(grid, self._past[(self._filled - 1) % len(self._past)], dst=self._step)
            change = self._step.ravel()[self._sampled]
            if change.size:
                self._noise += 0.3 * (_middle(change) - self._noise)

    @property
    def _least(self) -> float:
        return self._tuning.floor_levels + self._tuning.noise_sigmas * self._noise

    def _compare(self) -> float:
        cv2.convertScaleAbs(self._expected, dst=self._spare)
        cv2.erode(self._spare, _NEXT, dst=self._low)
        cv2.dilate(self._spare, _NEXT, dst=self._high)
        cv2.compare(self.restless, self._restless_from, cv2.CMP_GT, dst=self._spare)
        if cv2.countNonZero(self._spare):
            cv2.erode(self._low, _NEXT, dst=self._under)
            cv2.copyTo(self._under, self._spare, self._low)
            cv2.dilate(self._high, _NEXT, dst=self._under)
            cv2.copyTo(self._under, self._spare, self._high)
        cv2.subtract(self._now, self._high, dst=self._difference)
        cv2.subtract(self._low, self._now, dst=self._under)
        cv2.max(self._difference, self._under, dst=self._difference)
        if self._eagerness is not None:
            cv2.multiply(self._difference, self._eagerness, dst=self._difference, dtype=cv2.CV_8U)
        cv2.convertScaleAbs(self._usual, dst=self._spare, alpha=self._tuning.usual_times, beta=self._least)
        cv2.compare(self._difference, self._spare, cv2.CMP_GT, dst=self.changed)
        cv2.bitwise_and(self.changed, self._inside, dst=self.changed)
        changed = cv2.countNonZero(self.changed)
        if changed:
            cv2.morphologyEx(self.changed, cv2.MORPH_CLOSE, _NEXT, dst=self.changed)
        return changed / self._watched

    def _find_stirred(self, grid: Cells, mono_us: int) -> None:
        count = len(self._past)
        oldest = max(0, self._filled - count)
        before = self._filled - 1
        while before > oldest and mono_us - self._past_us[before % count] < self._tuning.stir_s * 1e6:
            before -= 1
        if self._filled:
            cv2.absdiff(grid, self._past[before % count], dst=self._step)
            cv2.threshold(self._step, self._least, FULL, cv2.THRESH_BINARY, dst=self.stirred)
            cv2.bitwise_and(self.stirred, self.changed, dst=self.stirred)
        np.copyto(self._past[self._filled % count], grid)
        self._past_us[self._filled % count] = mono_us
        self._filled += 1

    def likeness(self, box: Box) -> float:
        """Return how far the changed cells in `box` still show the scene's own texture, -1 to 1.

        It is the correlation of the fine detail with the background's, noise counting as difference: near 1
        where the light has changed or a shadow fell, about 0 where something hides it, and where there is
        no detail to compare.
        """
        changed = part(self.changed, box) > 0
        now, known = (_detail(part(cells, box))[changed] for cells in (self._now, self._background))
        noise = self._noise**2 + ROUNDING
        alike = float((now * known).mean())
        return alike / math.sqrt(
            (float((now * now).mean()) + noise) * (float((known * known).mean()) + noise)
        )

    def learn(self, step_s: float, mono_us: int, visitors: Sequence[Box]) -> None:
        """Learn from the last picture; `visitors` are the boxes of detected persons."""
        tuning = self._tuning
        anything = cv2.countNonZero(self.changed) > 0
        age_s = (mono_us - self._started_us) / 1e6
        rate = min(0.5, max(step_s / tuning.learn_s, step_s / max(age_s, 0.1)))
        if self.settling(mono_us):
            cv2.accumulateWeighted(self._now, self._background, rate)
            cv2.accumulateWeighted(self._difference, self._usual, rate)
            np.maximum(self._usual, self._difference * np.float32(0.3), out=self._usual)
        elif anything:
            held, free = self._low, self._high
            cv2.dilate(self.changed, _AROUND, dst=held)
            cv2.bitwise_not(held, dst=free)
            cv2.accumulateWeighted(self._now, self._background, rate, mask=free)
            cv2.accumulateWeighted(self._difference, self._usual, rate, mask=free)
            # Where something hides the scene the light is followed, and the thing itself is learnt much more slowly.
            # Behind a visitor it is the light of the whole picture: the light found there may be half the visitor's.
            for box in visitors:
                np.multiply(part(self._background, box), self._brighter, out=part(self._expected, box))
            cv2.accumulateWeighted(self._now, self._expected, tuning.held_share)
            cv2.accumulateWeighted(self._expected, self._background, rate, mask=held)
            cv2.accumulateWeighted(self._difference, self._usual, 0.3 * rate, mask=held)
        else:
            cv2.accumulateWeighted(self._now, self._background, rate)
            cv2.accumulateWeighted(self._difference, self._usual, rate)
        self._calm_s += step_s
        if self._calm_s > CALM_EVERY_S:
            self.restless *= 1 - min(1.0, self._calm_s / tuning.restless_down_s)
            self._calm_s = 0.0
        if anything:
            nothing = self._spare
            np.copyto(nothing, self.changed)
            for box in visitors:
                part(nothing, box)[:] = 0
            cv2.accumulateWeighted(
                nothing, self.restless, min(0.5, step_s / tuning.restless_up_s), mask=nothing
            )
