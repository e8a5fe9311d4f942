"""Which pictures of a clip lie inside a span, and can be shown without those outside it."""

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
    """When the next one is shown."""
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
    ends = {pts: shown[place + 1][0] for place, (pts, _) in enumerate(shown[:-1])}
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
    """Return the places, in coded order, of the pictures that are shown in a span from begin to end.

    Copied (not `exact`), they begin with a keyframe and none needs one that is outside. Encoded anew, they
    are all there are.
    """
    if exact:
        return [
            place
            for place, picture in enumerate(coded)
            if picture.from_us >= start_us and picture.until_us <= end_us
        ]
    first = next(
        (
            place
            for place, picture in enumerate(coded)
            if picture.is_key and picture.from_us >= start_us and picture.until_us <= end_us
        ),
        None,
    )
    if first is None:
        return []
    taken: list[int] = []
    for place in range(first, len(coded)):
        if coded[place].until_us > end_us:
            break  # what is coded behind it may need it
        if coded[place].from_us >= coded[first].from_us:  # not one that leans on the pictures before
            taken.append(place)
    return _without_gaps(coded, first, taken)


def _without_gaps(coded: Sequence[Picture], first: int, taken: list[int]) -> list[int]:
    """Shorten it to where no picture is missing between two that are shown."""
    shown = sorted(picture.pts_ticks for picture in coded[first:] if picture.from_us >= coded[first].from_us)
    rank = {pts: place for place, pts in enumerate(shown)}
    whole = highest = 0
    for count, place in enumerate(taken, 1):
        highest = max(highest, rank[coded[place].pts_ticks])
        if highest + 1 == count:
            whole = count
    return taken[:whole]
