"""Finds who moves: differences become blobs, blobs become tracks, and a track has to behave like a person.

A person at the door keeps a direction for a while, makes progress, and moves no more than a few of their own lengths
a second. A leaf, a flag or a web swings in place; rain, snow and insects move many of their lengths a second; noise
is elsewhere in every picture. All rules are ratios of lengths and times, so that they hold near and far and at any
frame rate.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2

from device.motion.background import Box, Scene, part
from device.motion.zones import FULL

MAX_BLOBS = 12
"""Only the largest blobs are used, so that snow does not cost more than a visit."""
MAX_TRACKS = 24
WINDOW_S = 1.2
"""A course is judged by its last seconds."""
LOST_S = 0.4
"""A track without a blob for this long has ended."""
SMALLER = 1 / 3
"""Weight of a smaller thing among many alike: flakes fall in pairs, too."""
MIN_POINTS = 3
"""Two points always form a line; three may be a course."""
GATE_CELLS = 4.0
GATE_CELLS_PER_S = 20.0
"""How far from its expected position a track may continue; the second grows with the time since it was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackTuning:
    """The conditions for a track to count as a person. Lengths are the longer side of its box."""

    least_cells: int = 5
    """Smaller blobs are ignored (5 cells of 160 x 90 are 80 pixels of 640 x 360)."""
    confirm_s: float = 0.6
    least_points: int = 5
    """Three or four positions are on a straight line by chance, five seldom."""
    crowd: float = 0.2
    """Among many alike (flakes, drops, leaves) a course soon arises by chance: each adds this much time."""
    travel_cells: float = 5.0
    travel_lengths: float = 0.15
    """Progress: this many cells and lengths within the window,"""
    growth: float = 1.8
    growth_cells: float = 30.0
    """or coming nearer: growth by this factor, to at least this many cells."""
    straight: float = 0.4
    """Minimum ratio of distance gained to path length."""
    bend_cells: float = 0.5
    bend_lengths: float = 0.15
    """Maximum deviation (root mean square) from a straight course."""
    lengths_per_s: float = 4.0
    """Lengths a second: a walker has one, a runner or a cat three, a flake or an insect ten."""
    level_lengths_per_s: float = 10.0
    """The same for a thing that has moved level and straight for a second: perhaps only its legs are in the zone."""
    cells_per_s: float = 55.0
    """Nobody crosses the whole view in under three seconds."""
    restless: float = 0.6
    """Movement in a place this restless is no evidence."""
    lit: float = 0.8
    """If the scene's texture shows through with this correlation, it is light or shadow."""
    known_s: float = 3.0
    """A person stays one at each movement, until they have not moved for this long."""
    stir_share: float = 0.2
    """Minimum share of the blob that moves now; a parked car, or the place that it left, has none."""
    stir_cells: float = 60.0
    stir_lengths: float = 0.25
    """Larger blobs move at their edges only; they have to gain this many lengths within the window."""


@dataclass(slots=True)
class Blob:
    """A connected difference, not changed: box, centre and areas in cells, restlessness 0..1."""

    box: Box
    x: float
    y: float
    area: float
    stirred: float
    restless: float


@dataclass(slots=True)
class TrackPoint:
    """Where a track was: `length` is the longer side of its box."""

    mono_us: int
    x: float
    y: float
    area: float
    length: int


@dataclass(slots=True)
class Course:
    """A track's movement within the window: cells, seconds, and cells a second."""

    speed_x: float
    speed_y: float
    bend: float
    travel: float
    way: float
    growth: float
    length: float
    span_s: float

    @property
    def speed(self) -> float:
        """Cells per second."""
        return math.hypot(self.speed_x, self.speed_y)


@dataclass(slots=True)
class Track:
    """One thing followed."""

    number: int
    first_us: int
    last: Blob
    last_us: int
    area: float
    speed_x: float = 0.0
    speed_y: float = 0.0
    points: list[TrackPoint] = field(default_factory=list)
    score: float = 0.0
    """Evidence now: the weakest criterion, each relative to its threshold; 1 or more is a person."""
    somebody_us: int | None = None
    """When it last counted as a person."""

    def follow(self, blob: Blob, mono_us: int) -> None:
        """Continue with `blob`."""
        step_s = (mono_us - self.last_us) / 1e6
        if step_s > 0:
            weight = min(1.0, step_s / 0.25)
            self.speed_x += ((blob.x - self.last.x) / step_s - self.speed_x) * weight
            self.speed_y += ((blob.y - self.last.y) / step_s - self.speed_y) * weight
        self.area = 0.7 * self.area + 0.3 * blob.area
        self.last, self.last_us = blob, mono_us
        self._note(blob, mono_us)

    def _note(self, blob: Blob, mono_us: int) -> None:
        self.points.append(TrackPoint(mono_us, blob.x, blob.y, blob.area, max(blob.box[2], blob.box[3])))
        horizon_us = mono_us - int(WINDOW_S * 1e6)
        while self.points[0].mono_us < horizon_us:
            del self.points[0]

    @classmethod
    def begin(cls, number: int, blob: Blob, mono_us: int) -> "Track":
        """Return a new track."""
        track = cls(number, mono_us, blob, mono_us, blob.area)
        track._note(blob, mono_us)
        return track

    def distance(self, blob: Blob, mono_us: int) -> float | None:
        """Return how far (cells) `blob` is from the track's expected position, None if it cannot continue it."""
        age_s = (mono_us - self.last_us) / 1e6
        if not self.area / 6 - 10 < blob.area < 6 * self.area + 20:
            return None
        known = len(self.points) >= MIN_POINTS
        ahead_x = self.speed_x * age_s if known else 0.0
        ahead_y = self.speed_y * age_s if known else 0.0
        x, y, width, height = self.last.box
        left, top, wide, high = blob.box
        gap_x = max(left - (x + ahead_x + width), x + ahead_x - (left + wide), 0.0)
        gap_y = max(top - (y + ahead_y + height), y + ahead_y - (top + high), 0.0)
        gap = max(gap_x, gap_y)
        if gap > GATE_CELLS + GATE_CELLS_PER_S * age_s:
            return None
        return gap + 0.2 * (abs(blob.x - self.last.x - ahead_x) + abs(blob.y - self.last.y - ahead_y))


def blobs(scene: Scene, least_cells: int) -> list[Blob]:
    """Return the largest differences of the scene, largest first."""
    contours, _ = cv2.findContours(scene.changed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(contour) for contour in contours]
    boxes = [box for box in boxes if box[2] * box[3] >= least_cells]
    boxes.sort(key=lambda box: box[2] * box[3], reverse=True)
    found = (_blob(scene, (x, y, w, h)) for x, y, w, h in boxes[:MAX_BLOBS])
    return [blob for blob in found if blob.area >= least_cells]


def _blob(scene: Scene, box: Box) -> Blob:
    changed = part(scene.changed, box)
    moments = cv2.moments(changed, binaryImage=True)
    area = moments["m00"]
    x, y, _, _ = box
    return Blob(
        box=box,
        x=x + moments["m10"] / area,
        y=y + moments["m01"] / area,
        area=area,
        stirred=cv2.countNonZero(part(scene.stirred, box)),
        restless=cv2.mean(part(scene.restless, box), mask=changed)[0] / FULL,
    )


def course(points: list[TrackPoint]) -> Course | None:
    """Return the straight course nearest to `points` (least squares), or None for fewer than three."""
    n = len(points)
    if n < MIN_POINTS:
        return None
    start_us = points[0].mono_us
    sum_t = sum_x = sum_y = sum_tt = sum_xx = sum_yy = sum_tx = sum_ty = way = 0.0
    before = points[0]
    for point in points:
        t, x, y = (point.mono_us - start_us) / 1e6, point.x, point.y
        sum_t, sum_x, sum_y = sum_t + t, sum_x + x, sum_y + y
        sum_tt, sum_xx, sum_yy = sum_tt + t * t, sum_xx + x * x, sum_yy + y * y
        sum_tx, sum_ty = sum_tx + t * x, sum_ty + t * y
        way += math.hypot(x - before.x, y - before.y)
        before = point
    spread = sum_tt - sum_t * sum_t / n
    if spread <= 0:
        return None
    speed_x, speed_y = (sum_tx - sum_t * sum_x / n) / spread, (sum_ty - sum_t * sum_y / n) / spread
    rest = sum_xx - sum_x**2 / n + sum_yy - sum_y**2 / n - (speed_x**2 + speed_y**2) * spread
    third = max(1, n // 3)
    early, late = points[:third], points[-third:]
    travel_x = sum(p.x for p in late) / third - sum(p.x for p in early) / third
    travel_y = sum(p.y for p in late) / third - sum(p.y for p in early) / third
    return Course(
        speed_x=speed_x,
        speed_y=speed_y,
        bend=math.sqrt(max(0.0, rest) / n),
        travel=math.hypot(travel_x, travel_y),
        way=way,
        growth=sum(p.area for p in late) / sum(p.area for p in early),
        length=float(sorted(p.length for p in points)[n // 2]),
        span_s=(points[-1].mono_us - start_us) / 1e6,
    )


class Tracker:
    """Follows blobs from picture to picture and judges each track."""

    def __init__(self, tuning: TrackTuning) -> None:
        self._tuning = tuning
        self._next = 1
        self.tracks: list[Track] = []

    def feed(self, scene: Scene, mono_us: int) -> None:
        """Continue the tracks with what the scene shows now."""
        free = blobs(scene, self._tuning.least_cells)
        kept = []
        for track in self.tracks:
            best = self._best(track, free, mono_us)
            if best is not None:
                free.remove(best)
                track.follow(best, mono_us)
            elif mono_us - track.last_us > LOST_S * 1e6:
                continue
            kept.append(track)
        for blob in free:
            kept.append(Track.begin(self._next, blob, mono_us))
            self._next += 1
        self.tracks = kept[:MAX_TRACKS]
        seen = list(self.seen(mono_us))
        for track in seen:
            alike = sum(1.0 if other.area >= track.area / 2 else SMALLER for other in seen) - 1
            track.score = self._evidence(track, mono_us, self._tuning.crowd * alike)
            if track.score >= 1 and track.somebody_us is None:
                track.score = min(track.score, self._hiding(scene.likeness(track.last.box)))
            if track.score >= 1:
                track.somebody_us = mono_us

    def seen(self, mono_us: int) -> Iterator[Track]:
        """Yield the tracks that the picture of `mono_us` continued."""
        return (track for track in self.tracks if track.last_us == mono_us)

    def forget(self) -> None:
        """Start again."""
        self.tracks = []

    @staticmethod
    def _best(track: Track, free: list[Blob], mono_us: int) -> Blob | None:
        best, least = None, math.inf
        for blob in free:
            distance = track.distance(blob, mono_us)
            if distance is not None and distance < least:
                best, least = blob, distance
        return best

    def _evidence(self, track: Track, mono_us: int, crowd: float) -> float:
        """Return the weakest criterion for a person, relative to its threshold."""
        ask = self._tuning
        life_s = (mono_us - track.first_us) / 1e6
        # Most tracks are noise and end soon: skip the arithmetic for them.
        way = course(track.points) if life_s >= ask.confirm_s / 2 else None
        if way is None:
            return 0.0
        known = track.somebody_us is not None and mono_us - track.somebody_us <= ask.known_s * 1e6
        confirm_s = ask.confirm_s if known else ask.confirm_s * (1 + crowd)
        reasons = [life_s / confirm_s, way.span_s / (ask.confirm_s - 0.1)]
        reasons.append(len(track.points) / ask.least_points)
        level = abs(way.speed_x) > 2 * abs(way.speed_y) and life_s >= 1
        fastest = ask.lengths_per_s
        if level and way.bend < 0.5 + 0.05 * way.length:
            fastest = ask.level_lengths_per_s
        speed = max(way.speed, 1e-3)
        reasons += [fastest * way.length / speed, ask.cells_per_s / speed]
        # The path is longer than the distance gained, since measured positions jitter.
        reasons.append((fastest + 2) * way.length / max(way.way / max(way.span_s, 0.1), 1e-3))
        reasons.append(self._stirring(track, way))
        if not known:
            reasons.append(self._arrival(track, way))
        return min(reasons)

    def _hiding(self, likeness: float) -> float:
        return (1 - likeness) / (1 - self._tuning.lit)

    def _stirring(self, track: Track, way: Course) -> float:
        """Return how much it moves, relative to the threshold: all over, or at its edges while it makes progress."""
        ask, area = self._tuning, track.area
        all_over = track.last.stirred / max(ask.stir_share * area, 0.35 * min(area, 8))
        edges = track.last.stirred / (ask.stir_share * math.sqrt(ask.stir_cells * area))
        return max(all_over, min(edges, way.travel / (ask.stir_lengths * way.length)))

    def _arrival(self, track: Track, way: Course) -> float:
        """Return the weakest criterion for a track that was not a person before."""
        ask = self._tuning
        nearer = 0.0
        if track.points[-1].area >= ask.growth_cells:
            nearer = math.log(max(way.growth, 1.0)) / math.log(ask.growth)
        gained = way.travel / max(ask.travel_cells, ask.travel_lengths * way.length)
        straight = way.travel / max(ask.straight * way.way, 1e-3)
        bend = (ask.bend_cells + ask.bend_lengths * way.length) / max(way.bend, 1e-3)
        calm = ask.restless / max(track.last.restless, 1e-3)
        return min(max(min(gained, straight), nearer), bend, calm)
