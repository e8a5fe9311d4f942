"""Detects visitors in small grey pictures.

`background.py` removes changes of light and finds what differs from the scene; `tracker.py` follows the differences
and decides whether one behaves like a person. docs/motion.md explains the method with pictures.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.motion.background import Box, Cells, Reducer, Scene, SceneTuning, part
from device.motion.frame_sampler import FrameSampler
from device.motion.tracker import Track, Tracker, TrackTuning
from device.motion.zones import Zones

THRESHOLD = 0.5
"""Scores go from 0 to 1; from this one on it is a person."""
_VISITOR_US = 1_000_000
"""How long after a detection a large change of the picture is attributed to that person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """All parameters of the detector."""

    scene: SceneTuning = field(default_factory=SceneTuning)
    tracks: TrackTuning = field(default_factory=TrackTuning)
    calm_step_s: float = 0.19
    """While nothing differs, or a visitor is known to move, five pictures a second are used instead of ten."""

    def numbers(self) -> dict[str, str]:
        """Return the name of each number of `scene` and `tracks`, and in which of the two it is."""
        parts = ("scene", "tracks")
        return {number.name: part for part in parts for number in fields(getattr(self, part))}

    def changed(self, name: str, value: float | str) -> "Tuning":
        """Return the tuning with one parameter changed. Raises KeyError, or ValueError if it is not a number."""
        where = self.numbers()[name]
        part: Any = getattr(self, where)
        kind = type(getattr(part, name))
        other: dict[str, Any] = {where: replace(part, **{name: kind(value)})}
        return replace(self, **other)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedObject:
    """One thing that differs from the scene and is followed.

    `box` is (x, y, width, height) relative to the picture; `zones` names the include zones it is in. A second
    stage that tells people from animals would take the crops of `box` of the movers of `score` >= THRESHOLD.
    """

    number: int
    box: tuple[float, float, float, float]
    score: float
    zones: tuple[str, ...]
    known: bool
    """It was recognised as a person before, and may be standing still now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionResult:
    """The detector's result for the picture of `mono_us`."""

    mono_us: int
    settling: bool = False
    """The scene is being learnt, after the start or after another picture altogether; nothing is reported."""
    movers: tuple[TrackedObject, ...] = ()

    @property
    def score(self) -> float:
        """The highest score of the movers; 0 if there is none."""
        return max((mover.score for mover in self.movers), default=0.0)

    @property
    def moves(self) -> bool:
        """Whether somebody moves."""
        return self.score >= THRESHOLD

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones in which somebody moves, each once."""
        names = (n for mover in self.movers if mover.score >= THRESHOLD for n in mover.zones)
        return tuple(dict.fromkeys(names))

    @property
    def present(self) -> bool:
        """Whether somebody who moved before is still in view."""
        return any(mover.known for mover in self.movers)


class MotionDetector:
    """Takes one camera's pictures, of any size and stride, at 5 a second or more.

    A picture of a different size starts the scene again.
    """

    def __init__(self, zones: Zones, tuning: Tuning | None = None) -> None:
        self._zones = zones
        self._tuning = tuning or Tuning()
        self._eye: _Pipeline | None = None

    def begin(self, width_px: int, height_px: int) -> None:
        """Start again, for pictures of this size."""
        self._eye = _Pipeline(width_px, height_px, self._zones, self._tuning)

    def feed(self, luma: NDArray[np.uint8], mono_us: int) -> MotionResult:
        """Take one grey picture (uint8, H x W) and its time; return the result of the last picture that was used.

        Not every picture is used; `MotionResult.mono_us` says which one was.
        """
        height_px, width_px = luma.shape
        if self._eye is None or self._eye.size != (width_px, height_px):
            self._eye = _Pipeline(width_px, height_px, self._zones, self._tuning)
        return self._eye.feed(luma, mono_us)


class _Pipeline:
    """A detector for pictures of one size."""

    def __init__(self, width_px: int, height_px: int, zones: Zones, tuning: Tuning) -> None:
        self.size = (width_px, height_px)
        self._calm_step_us = int(tuning.calm_step_s * 1e6)
        self._reducer = Reducer(width_px, height_px)
        inside, eagerness, self._masks = zones.on_grid(*self._reducer.size)
        self._scene = Scene(inside, eagerness, tuning.scene)
        self._tracker = Tracker(tuning.tracks)
        self._pace = FrameSampler()
        self._look: MotionResult | None = None
        self._seen_us: int | None = None

    def feed(self, luma: Cells, mono_us: int) -> MotionResult:
        taken, last = self._pace.takes(mono_us), self._look
        if last is not None:
            # The full rate is for what may become a person; a known person is followed at half of it.
            calm = last.moves or not (self._tracker.tracks or last.settling)
            if not taken or (calm and mono_us - last.mono_us < self._calm_step_us):
                return last
        step_s = 0.0 if last is None else (mono_us - last.mono_us) / 1e6
        self._look = self._see(self._reducer(luma), mono_us, step_s)
        return self._look

    def _see(self, grid: Cells, mono_us: int, step_s: float) -> MotionResult:
        scene, tracker = self._scene, self._tracker
        visitor = self._seen_us is not None and mono_us - self._seen_us <= _VISITOR_US
        scene.look(grid, mono_us, visitor=visitor)
        settling = scene.settling(mono_us)
        if settling:
            tracker.forget()
        else:
            tracker.feed(scene, mono_us)
        seen = list(tracker.seen(mono_us))
        scene.learn(step_s, mono_us, [t.last.box for t in seen if t.somebody_us is not None])
        look = MotionResult(
            mono_us=mono_us, settling=settling, movers=tuple(self._mover(track) for track in seen)
        )
        if look.present:
            self._seen_us = mono_us
        return look

    def _mover(self, track: Track) -> TrackedObject:
        columns, rows = self._reducer.size
        x, y, width, height = track.last.box
        return TrackedObject(
            number=track.number,
            box=(x / columns, y / rows, width / columns, height / rows),
            score=THRESHOLD * min(track.score, 2.0),
            zones=tuple(self._zones_of(track.last.box)) if track.score >= 1 else (),
            known=track.somebody_us is not None,
        )

    def _zones_of(self, box: Box) -> Iterable[str]:
        for name, mask in self._masks.items():
            inside = part(mask, box)
            if 4 * cv2.countNonZero(inside) >= inside.size:
                yield name


def make(
    width: int, height: int, zone: NDArray[np.bool_] | None, tuning: Tuning | None = None
) -> Callable[[NDArray[np.uint8], int], bool]:
    """Return f(luma, mono_us) -> whether somebody moves: a new detector as the daemon has it.

    `zone` (bool, height x width) is True where motion counts; None is everywhere.
    """
    detector = MotionDetector(Zones.of_mask(zone), tuning)
    detector.begin(width, height)

    def moves(luma: NDArray[np.uint8], mono_us: int) -> bool:
        return detector.feed(luma, mono_us).moves

    return moves
