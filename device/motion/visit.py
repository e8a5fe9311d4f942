"""One visit is one event, from a person's first movement to the last, with the reasons for detecting it."""

from dataclasses import dataclass, field
from typing import Literal

from device.motion.detector import MotionResult, TrackedObject

MAX_GLIMPSES = 24
"""Maximum number of positions stored for a visit of any length; about a kilobyte in the log."""
GLIMPSE_US = 250_000

LINGER_US = 15_000_000
"""How long a visit stays open while someone stands still in view."""
MIN_CHANGE = 0.03
"""Less, as a share of the picture, has no direction."""

Direction = Literal["nearer", "away", "left", "right", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """Where somebody was: `box` is (x, y, width, height), relative to the picture."""

    mono_us: int
    score: float
    box: tuple[float, float, float, float]
    zone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitStarted:
    """Somebody moves."""

    mono_us: int
    score: float
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitEnded:
    """Nobody has moved for a while; `last_us` is when somebody last did, `peak_us` when it was surest."""

    mono_us: int
    started_us: int
    last_us: int
    peak_us: int
    peak_score: float
    zones: tuple[str, ...]
    direction: Direction
    glimpses: tuple[Glimpse, ...]


@dataclass(slots=True)
class _Going:
    started_us: int
    last_us: int
    peak_us: int
    peak_score: float = 0.0
    zones: list[str] = field(default_factory=list)
    glimpses: list[Glimpse] = field(default_factory=list)
    step_us: int = GLIMPSE_US

    def take(self, look: MotionResult, mover: TrackedObject) -> None:
        self.last_us = look.mono_us
        if mover.score > self.peak_score:
            self.peak_score, self.peak_us = mover.score, look.mono_us
        self.zones += [name for name in look.zones if name not in self.zones]
        if self.glimpses and look.mono_us - self.glimpses[-1].mono_us < self.step_us:
            return
        if len(self.glimpses) == MAX_GLIMPSES:
            del self.glimpses[1::2]
            self.step_us *= 2
        zone = mover.zones[0] if mover.zones else None
        self.glimpses.append(Glimpse(mono_us=look.mono_us, score=mover.score, box=mover.box, zone=zone))


class Visit:
    """Takes each result; returns when a visit starts and when it has ended.

    It ends after `quiet_us` without movement. While a person who moved before stays in view, it ends after
    `linger_us`, since a person at a door may stand still and a parked car must not prolong it for ever.
    """

    def __init__(self, *, quiet_us: int, linger_us: int) -> None:
        self._quiet_us = quiet_us
        self._linger_us = max(quiet_us, linger_us)
        self._going: _Going | None = None

    def feed(self, look: MotionResult) -> VisitStarted | VisitEnded | None:
        """Take one result."""
        now_us, going = look.mono_us, self._going
        if look.moves:
            mover = max(look.movers, key=lambda m: m.score)
            if going is None:
                self._going = _Going(now_us, now_us, now_us)
                self._going.take(look, mover)
                return VisitStarted(mono_us=now_us, score=mover.score, zones=look.zones)
            going.take(look, mover)
            return None
        if going is None:
            return None
        patience_us = self._linger_us if look.present else self._quiet_us
        return self.stop(now_us) if now_us - going.last_us >= patience_us else None

    def stop(self, mono_us: int) -> VisitEnded | None:
        """End the open visit, if any."""
        going, self._going = self._going, None
        if going is None:
            return None
        return VisitEnded(
            mono_us=mono_us,
            started_us=going.started_us,
            last_us=going.last_us,
            peak_us=going.peak_us,
            peak_score=going.peak_score,
            zones=tuple(going.zones),
            direction=direction(going.glimpses[0].box, going.glimpses[-1].box),
            glimpses=tuple(going.glimpses),
        )


def direction(first: tuple[float, float, float, float], last: tuple[float, float, float, float]) -> Direction:
    """Return the direction from box `first` to box `last`: that of the greatest change.

    A person who comes nearer grows, and their feet move down in the picture.
    """
    sideways = (last[0] + last[2] / 2) - (first[0] + first[2] / 2)
    taller = last[3] - first[3]
    lower = (last[1] + last[3]) - (first[1] + first[3])
    towards = taller if abs(taller) > abs(lower) else lower
    if max(abs(sideways), abs(towards)) < MIN_CHANGE:
        return "none"
    if abs(towards) >= abs(sideways):
        return "nearer" if towards > 0 else "away"
    return "right" if sideways > 0 else "left"
