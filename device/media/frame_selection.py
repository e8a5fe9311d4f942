"""Selects the pictures of a clip that lie inside a span."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

_US = 1_000_000


class Ratio(Protocol):
    """A Fraction, or what PyAV has for one (from 19 on its own kind)."""

    @property
    def numerator(self) -> int:
        """Above the line."""

    @property
    def denominator(self) -> int:
        """Below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One coded picture. Ticks are the file's; microseconds count from the clip's first picture."""

    pts_ticks: int
    until_ticks: int
    """The time at which the next picture is shown."""
    from_us: int
    until_us: int
    is_key: bool


def pictures(coded: Sequence[tuple[int, int, bool]], tick_s: Ratio | None) -> list[Picture]:
    """Return a clip's pictures in the order in which they are coded, from each one's pts, duration (ticks)
    and whether it is a keyframe. A tick is a second where the file does not say.
    """
    tick_us = Fraction(tick_s.numerator * _US, tick_s.denominator) if tick_s else Fraction(_US)
    shown = sorted((pts, duration) for pts, duration, _ in coded)
    if not shown:
        return []
    last_pts, last_duration = shown[-1]
    ends = {pts: shown[index + 1][0] for index, (pts, _) in enumerate(shown[:-1])}
    ends[last_pts] = last_pts + last_duration
    zero_us = int(shown[0][0] * tick_us)
    return [
        Picture(
            pts_ticks=pts,
            until_ticks=ends[pts],
            from_us=int(pts * tick_us) - zero_us,
            until_us=int(ends[pts] * tick_us) - zero_us,
            is_key=is_key,
        )
        for pts, _, is_key in coded
    ]


def inside(coded: Sequence[Picture], start_us: int, end_us: int) -> list[int]:
    """Return the indexes, in coded order, of the pictures that are shown completely within a span."""
    return [
        index
        for index, picture in enumerate(coded)
        if picture.from_us >= start_us and picture.until_us <= end_us
    ]
