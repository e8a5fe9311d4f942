"""Selects the pictures of a clip that lie inside a span and can be shown without those outside it."""

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


def inside(coded: Sequence[Picture], start_us: int, end_us: int, *, exact: bool) -> list[int]:
    """Return the indexes, in coded order, of the pictures that are shown in a span from begin to end.

    For a copy (not `exact`) they begin with a keyframe, and none depends on a picture outside. If they are encoded
    again (`exact`) they are all pictures of the span.
    """
    if exact:
        return [
            index
            for index, picture in enumerate(coded)
            if picture.from_us >= start_us and picture.until_us <= end_us
        ]
    first = next(
        (
            index
            for index, picture in enumerate(coded)
            if picture.is_key and picture.from_us >= start_us and picture.until_us <= end_us
        ),
        None,
    )
    if first is None:
        return []
    taken: list[int] = []
    for index in range(first, len(coded)):
        if coded[index].until_us > end_us:
            break  # pictures that are coded after it may need it
        if coded[index].from_us >= coded[first].from_us:  # not one that depends on earlier pictures
            taken.append(index)
    return _without_gaps(coded, first, taken)


def _without_gaps(coded: Sequence[Picture], first: int, taken: list[int]) -> list[int]:
    """Shorten the selection so that no picture is missing between two that are shown."""
    shown = sorted(picture.pts_ticks for picture in coded[first:] if picture.from_us >= coded[first].from_us)
    rank = {pts: index for index, pts in enumerate(shown)}
    whole = highest = 0
    for count, index in enumerate(taken, 1):
        highest = max(highest, rank[coded[index].pts_ticks])
        if highest + 1 == count:
            whole = count
    return taken[:whole]
