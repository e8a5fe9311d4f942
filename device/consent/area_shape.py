"""The shape of a request's area: wide everywhere, so that no thin arm reaches for a single house.

The rule: an opening of the area by a disc of 50 m (mathematical morphology: erode, then dilate) keeps at least 90 %
of it, and nothing that the opening takes away is further than 50 m from what it keeps.

The area is cut into rows at most 2 m apart. On a row each set is a list of intervals, whose ends are exact: the part
of a row near a side is one interval, because the points near a line segment form a convex set. Each side of the
area is then checked along its whole length, so that nothing thin hides between two rows. Because of the rows the
erosion is 1 m smaller and the dilation 1 m larger. So every area that obeys the rule passes, and an area may pass
whose narrowest part is 98 m wide instead of 100 m. All of it is IEEE arithmetic and square roots, the same on each
platform except for the cosine of one latitude (a unit in the last place).
"""

import math

import numpy as np
from numpy.typing import NDArray

from device.consent.area import EARTH_RADIUS_KM, CornerArray
from device.consent.reasons import Reason, Refused

DISC_M = 50.0
MIN_SHARE_KEPT = 0.9
ROW_M = 2.0
_WIDEST_M = 34_000.0
"""No area of an allowed size that obeys the rule is wider. Each piece that the opening keeps has a disc of 50 m, and
the next piece is at most 100 m away, so 200 m of width cost the area of a disc at least."""
_ROUNDING_M = 1e-6

Floats = NDArray[np.float64]
Intervals = tuple[Floats, Floats]
"""Begins and ends on one line, sorted, without overlap. Row n occupies n * pitch and what follows it."""


def check_shape(corners: CornerArray) -> None:
    """Raise Refused unless a simple polygon is wide everywhere."""
    x, y = _metres(corners)
    if np.ptp(x) > np.ptp(y):
        x, y = y, x  # rows across the longer side: many short ones cost less than few with many pieces
    if np.ptp(y) > _WIDEST_M or np.ptp(x) > _WIDEST_M:
        raise Refused(Reason.AREA_SHAPE, f"it is longer than {_WIDEST_M / 1000:g} km")
    rows = _Rows(x, y)
    core = rows.minus(rows.inside(), rows.near_sides(DISC_M - ROW_M / 2))
    if not len(core[0]):
        raise Refused(Reason.AREA_SHAPE, "it is nowhere 100 m wide")
    kept = rows.length(rows.inside()) - rows.length(
        rows.minus(rows.inside(), rows.grown(core, DISC_M + ROW_M / 2))
    )
    share = kept * rows.step_m / _planar_area(x, y)
    if share < MIN_SHARE_KEPT:
        raise Refused(Reason.AREA_SHAPE, f"only {share:.0%} of it is at least 100 m wide")
    reach_m = 2 * DISC_M + ROW_M / 2
    far = rows.minus(rows.inside(), rows.grown(core, reach_m))
    if rows.length(far) > _ROUNDING_M or not rows.sides_are_near(core, reach_m):
        raise Refused(Reason.AREA_SHAPE, "a narrow part reaches more than 50 m away from the rest")


def _metres(corners: CornerArray) -> tuple[Floats, Floats]:
    """Return the corners on a flat map around the middle latitude; 34 km at 85 degrees are off by 2 %."""
    middle = math.radians(float(np.min(corners[:, 1]) + np.max(corners[:, 1])) / 2)
    metres_a_degree = math.radians(EARTH_RADIUS_KM * 1000)
    x, y = (corners - corners.min(axis=0)).T * metres_a_degree
    return x * math.cos(middle), y


def _planar_area(x: Floats, y: Floats) -> float:
    return abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2


class _Rows:
    """Rows through a polygon in metres, and sets of intervals on them."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self._x, self._y = x, y - np.min(y)
        self._next_x, self._next_y = np.roll(self._x, -1), np.roll(self._y, -1)
        height = float(np.ptp(y))
        self._number = max(1, math.ceil(height / ROW_M))
        self.step_m = height / self._number
        self._heights: Floats = (np.arange(self._number, dtype=np.float64) + 0.5) * self.step_m
        self._pitch = float(np.ptp(x)) + 8 * DISC_M
        self._inside: Intervals | None = None

    def inside(self) -> Intervals:
        """Return the polygon's part of each row."""
        if self._inside is None:
            spans = (self._y > self._heights[:, None]) != (self._next_y > self._heights[:, None])
            row, side = np.nonzero(spans)
            along = (self._heights[row] - self._y[side]) / (self._next_y[side] - self._y[side])
            crossings = self._x[side] + along * (self._next_x[side] - self._x[side])
            ordered = np.sort(row * self._pitch + crossings)  # an even number of crossings a row
            self._inside = ordered[::2], ordered[1::2]
        return self._inside

    def near_sides(self, distance_m: float) -> Intervals:
        """Return the part of each row that is nearer than a distance to a side."""
        lows, highs = [], []
        for number in range(len(self._x)):
            one = self._x[number], self._y[number]
            two = self._next_x[number], self._next_y[number]
            low, high = _near_segment(one, two, distance_m, self._heights)
            met = np.nonzero(low < high)[0]
            lows.append(met * self._pitch + low[met])
            highs.append(met * self._pitch + high[met])
        return _united(np.concatenate(lows), np.concatenate(highs))

    def grown(self, intervals: Intervals, distance_m: float) -> Intervals:
        """Return the part of each row that is at most so far from some intervals."""
        row = self._row(intervals)
        lows, highs = [], []
        most = int(distance_m / self.step_m)
        for offset in range(-most, most + 1):
            reach = math.sqrt(max(0.0, distance_m**2 - (offset * self.step_m) ** 2))
            there = (row + offset >= 0) & (row + offset < self._number)
            lows.append(intervals[0][there] + offset * self._pitch - reach)
            highs.append(intervals[1][there] + offset * self._pitch + reach)
        return _united(np.concatenate(lows), np.concatenate(highs))

    def sides_are_near(self, core: Intervals, distance_m: float) -> bool:
        """Return whether no point of a side is further than a distance from the core."""
        row = self._row(core)
        height = self._heights[row]
        axis: Floats = np.zeros(len(row), dtype=np.float64)
        west, east = core[0] - row * self._pitch, core[1] - row * self._pitch
        for number in range(len(self._x)):
            # Turned so that the side is on the axis: what is near a piece of the core is one interval of it.
            delta_x = self._next_x[number] - self._x[number]
            delta_y = self._next_y[number] - self._y[number]
            length = math.hypot(delta_x, delta_y)
            cos, sin = delta_x / length, delta_y / length
            one, two = (
                (
                    (end - self._x[number]) * cos + (height - self._y[number]) * sin,
                    (height - self._y[number]) * cos - (end - self._x[number]) * sin,
                )
                for end in (west, east)
            )
            low, high = _near_segment(one, two, distance_m, axis)
            met = low < high
            near = _united(low[met], high[met])
            bare = self.minus((np.array([0.0]), np.array([length])), near)
            if self.length(bare) > _ROUNDING_M:
                return False
        return True

    @staticmethod
    def minus(intervals: Intervals, others: Intervals) -> Intervals:
        """Return the parts of intervals that are not in others."""
        places = np.concatenate((*intervals, *others))
        counts = (len(intervals[0]), len(intervals[1]), len(others[0]), len(others[1]))
        order = np.argsort(places, kind="stable")
        places = places[order]
        depth = np.cumsum(np.repeat((1, -1, -1, 1), counts)[order])
        alone = np.nonzero((depth[:-1] == 1) & (places[1:] > places[:-1]))[0]
        return places[alone], places[alone + 1]

    @staticmethod
    def length(intervals: Intervals) -> float:
        """Return the total length in metres."""
        return float((intervals[1] - intervals[0]).sum())

    def _row(self, intervals: Intervals) -> NDArray[np.int64]:
        row: NDArray[np.int64] = ((intervals[0] + intervals[1]) / 2 // self._pitch).astype(np.int64)
        return row


def _united(lows: Floats, highs: Floats) -> Intervals:
    order = np.argsort(lows, kind="stable")
    lows, furthest = lows[order], np.maximum.accumulate(highs[order])
    begins = np.ones(len(lows), dtype=bool)
    begins[1:] = lows[1:] > furthest[:-1]
    ends = np.append(np.nonzero(begins)[0][1:] - 1, len(lows) - 1) if len(lows) else np.array([], dtype=int)
    return lows[begins], furthest[ends]


def _near_segment(
    one: tuple[Floats, Floats], two: tuple[Floats, Floats], distance_m: float, height: Floats
) -> Intervals:
    """Return for each height the interval of x whose points are near the segment one-two; low > high: none."""
    low, high = np.full(height.shape, np.inf), np.full(height.shape, -np.inf)
    for x, y in (one, two):
        squared = distance_m**2 - (height - y) ** 2
        half = np.sqrt(np.maximum(squared, 0.0))
        low = np.where(squared > 0, np.minimum(low, x - half), low)
        high = np.where(squared > 0, np.maximum(high, x + half), high)
    delta_x, delta_y = two[0] - one[0], two[1] - one[1]
    length = np.hypot(delta_x, delta_y)
    safe = np.where(length > 0, length, 1.0)
    normal_x, normal_y = -delta_y / safe * distance_m, delta_x / safe * distance_m
    # The two long edges of the rectangle around the segment; its short ones are inside the two discs.
    for sign in (1, -1):
        x, y = one[0] + sign * normal_x, one[1] + sign * normal_y
        with np.errstate(divide="ignore", invalid="ignore"):
            along = (height - y) / delta_y
        met = (delta_y != 0) & (along >= 0) & (along <= 1)
        crossing = x + np.where(met, along, 0.0) * delta_x
        low = np.where(met, np.minimum(low, crossing), low)
        high = np.where(met, np.maximum(high, crossing), high)
    return low, high
